//! Scenario files: one real fault each, or one healthy but odd set-up, and what nopong must say about
//! it from where. The format is described in `docs/lab.md`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Fail;

/// Where nopong runs: machine and user.
pub const VANTAGES: &[(&str, &str, &str)] = &[
    ("server-root", "server", "root"),
    ("server-user", "server", "app"),
    ("client-root", "client", "root"),
    ("client-user", "client", "app"),
    ("router-root", "router", "root"),
];

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Folder and file name, `bind/bind-loopback-only`.
    #[serde(skip)]
    pub name: String,
    pub about: String,
    #[serde(default = "bookworm")]
    pub tree: String,
    /// How Redis stands before `setup`.
    #[serde(default)]
    pub redis: Base,
    #[serde(default)]
    pub setup: Vec<String>,
    /// The real client's command: PONG when healthy, `fails` after the break.
    #[serde(default = "ping")]
    pub ping: String,
    #[serde(default, rename = "break")]
    pub breaks: Vec<String>,
    /// The real client's command after the break, where it is not `ping`.
    pub then: Option<String>,
    /// What the real client prints once broken; `timeout` when it never ends. Absent: still healthy.
    pub fails: Option<String>,
    /// Texts that may not be seen in anything nopong prints.
    #[serde(default)]
    pub secrets: Vec<String>,
    #[serde(default, rename = "run")]
    pub runs: Vec<Expect>,
    /// What `nopong fix` makes of it.
    pub fix: Option<crate::fix::Fix>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// Reachable from everywhere without a password.
    #[default]
    Open,
    /// As the package leaves it, started.
    Stock,
    /// Not started.
    None,
}

/// One run of nopong and what is expected of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub from: Many,
    #[serde(default = "target")]
    pub target: String,
    /// The verb, where it is not diagnose.
    pub verb: Option<String>,
    #[serde(default)]
    pub args: Vec<String>,
    /// A command that starts nopong, for limits.
    #[serde(default)]
    pub wrap: Vec<String>,
    /// nopong must be done by then; entering the machine included.
    pub within_ms: Option<f64>,
    /// Environment of nopong, `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// The first cause, or any of several where the evidence cannot decide. Absent: PONG, which the
    /// word `pong` also stands for. `@refused`, `@silent` and `@died` are [`SETS`].
    #[serde(default, deserialize_with = "spread")]
    pub first: Many,
    pub stage: Option<String>,
    pub exit: Option<i32>,
    pub at_least: Option<Band>,
    pub at_most: Option<Band>,
    /// Causes that may be neither first, nor `likely` or more, nor a warning.
    #[serde(default)]
    pub never: Vec<String>,
    /// Causes that must be named among `behind`.
    #[serde(default)]
    pub behind: Vec<String>,
    /// Causes that must be named among the warnings. Beside a PONG any other warning is a false alarm.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Warnings that are true here, and that nopong need not find.
    #[serde(default)]
    pub may_warn: Vec<String>,
    /// Causes that must be named among `behind` or `warnings`.
    #[serde(default)]
    pub beside: Vec<String>,
    /// Causes that must be named somewhere: among the causes, behind or the warnings.
    #[serde(default)]
    pub named: Vec<String>,
    /// Texts that must be in the report.
    #[serde(default)]
    pub says: Vec<String>,
    /// A step that must succeed after the run: nothing was left behind.
    pub after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Band {
    Possible,
    Likely,
    Confirmed,
}

/// One word, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Many {
    One(String),
    Several(Vec<String>),
}

impl Default for Many {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Many {
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words,
        }
    }
}

fn bookworm() -> String {
    "bookworm".into()
}

fn ping() -> String {
    "client: $CLI -h $SERVER ping".into()
}

fn target() -> String {
    "redis://{server}:6379".into()
}

/// What a lone client cannot tell apart: nothing listens there or something rejects in its name; and
/// nobody answers at all. `@died`: an ordinary user on the server, who may not read the logs, sees
/// that the unit failed and not of what.
pub const SETS: &[(&str, &[&str])] = &[
    (
        "@refused",
        &[
            "service-stopped",
            "bind-loopback-only",
            "bind-other-address",
            "wrong-port",
            "server-firewall-rejects",
        ],
    ),
    (
        "@silent",
        &["server-firewall-drops", "path-firewall-blocks", "cloud-firewall-blocks", "host-unreachable"],
    ),
    (
        "@died",
        &[
            "service-stopped",
            "config-invalid",
            "port-taken",
            "bind-address-missing",
            "data-unloadable",
            "storage-unwritable",
            "disk-full",
            "tls-material-unusable",
            "crashed",
            "supervisor-kills",
            "binary-incompatible",
        ],
    ),
];

fn spread<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Many, D::Error> {
    let words = Many::deserialize(from)?;
    let all = words.all().iter().flat_map(|word| match SETS.iter().find(|(name, _)| name == word) {
        Some((_, set)) => set.iter().map(|&s| s.to_owned()).collect(),
        None => vec![word.clone()],
    });
    Ok(Many::Several(all.collect()))
}

/// The container of a place or vantage `container:NAME`.
pub fn container(place: &str) -> Option<&str> {
    place.strip_prefix("container:").filter(|name| !name.is_empty())
}

/// Machine and shell text of a step; a step without a prefix is the server's.
pub fn step(text: &str) -> (&str, &str) {
    if let Some((name, _)) = text.strip_prefix("container:").and_then(|t| t.split_once(": "))
        && !name.contains(' ')
    {
        let place = "container:".len() + name.len();
        return (&text[..place], &text[place + 2..]);
    }
    for role in ["server", "client", "router", "sysctl-server", "sysctl-client", "sysctl-router", "lab"] {
        if let Some(rest) = text.strip_prefix(role).and_then(|t| t.strip_prefix(": ")) {
            return (role, rest);
        }
    }
    ("server", text)
}

/// The folder with nopong's scenarios.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../nopong/scenarios"))
}

/// All scenarios below `dir` whose name contains one of the filters, sorted by name.
pub fn load(dir: &Path, filters: &[String]) -> Result<Vec<Scenario>, Fail> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = listing(dir)?;
    folders.retain(|p| p.is_dir());
    for folder in folders {
        for file in listing(&folder)? {
            if file.extension().is_some_and(|e| e == "toml") {
                found.push(read(dir, &file)?);
            }
        }
    }
    found.retain(|s| filters.is_empty() || filters.iter().any(|f| s.name.contains(f.as_str())));
    Ok(found)
}

fn listing(dir: &Path) -> Result<Vec<PathBuf>, Fail> {
    let entries = fs::read_dir(dir).map_err(|e| format!("cannot list {}: {e}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    Ok(paths)
}

fn read(dir: &Path, file: &Path) -> Result<Scenario, Fail> {
    let text = fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let mut scenario: Scenario = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let name = file.strip_prefix(dir).unwrap_or(file).with_extension("");
    scenario.name = name.to_string_lossy().into_owned();
    check(&scenario).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(scenario)
}

/// What the format itself cannot say.
fn check(scenario: &Scenario) -> Result<(), Fail> {
    crate::tree::host(&scenario.tree)?;
    if scenario.runs.is_empty() {
        return Err("no [[run]]".into());
    }
    if scenario.fails.is_some() == scenario.breaks.is_empty() && scenario.then.is_none() {
        return Err("`break` and `fails` belong together".into());
    }
    for run in &scenario.runs {
        for from in run.from.all() {
            if !VANTAGES.iter().any(|(name, ..)| name == from) && container(from).is_none() {
                return Err(format!("no vantage {from}"));
            }
        }
        if run.from.all().is_empty() {
            return Err("a run without `from`".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_name_their_machine() {
        assert_eq!(step("client: ip a"), ("client", "ip a"));
        assert_eq!(step("echo client: x"), ("server", "echo client: x"));
        assert_eq!(step("sysctl-client: net.x=1"), ("sysctl-client", "net.x=1"));
        assert_eq!(step("container:app: redis-cli ping"), ("container:app", "redis-cli ping"));
    }

    #[test]
    fn a_scenario_is_small() {
        let text = "about='x'\nbreak=['systemctl stop $UNIT']\nfails='refused'\n\
                    [[run]]\nfrom=['server-root','client-user']\nfirst='service-stopped'\nat_least='likely'\n";
        let s: Scenario = toml::from_str(text).unwrap();
        assert!(check(&s).is_ok());
        assert_eq!(s.runs[0].first.all(), ["service-stopped"]);
        assert_eq!(s.runs[0].at_least, Some(Band::Likely));
        assert!(Band::Confirmed > Band::Likely && Band::Likely > Band::Possible);
    }

    #[test]
    fn every_scenario_of_nopong_is_readable() {
        let all = load(&folder(), &[]).unwrap();
        assert!(!all.is_empty());
    }
}
