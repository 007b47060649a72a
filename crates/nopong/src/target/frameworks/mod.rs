//! Where applications keep the address of their Redis: one file for each kind of place, in order of precedence.
//!
//! A reader gives every address of its place, those that nobody takes too, with the reason. It may ask [`Surroundings`]
//! for files of the application's directory, and for nothing else.

mod compose;
mod dotenv;
mod dotnet;
mod environment;
mod ini;
mod laravel;
mod nextcloud;
mod node;
mod plain;
mod python;
mod rails;
mod spring;
mod systemd;

pub(super) use compose::variable_lines;
pub use compose::{redis_services, service_at, service_named};
pub(super) use laravel::is_cached;
pub(crate) use systemd::unit_of;

use super::expand;
use super::pairs::{Candidate, Place, connection_string, from_parts, is_redis_url, whole};
use super::settings::Surroundings;
use super::tree::Leaf;

/// Gives the addresses of one kind of place, the one taken first.
pub(super) type Framework = fn(&Surroundings) -> Vec<Candidate>;

/// In order of precedence: what a running process has, what is loaded into it at its start, what it starts from.
pub(super) const ALL: &[Framework] = &[
    environment::read,
    systemd::read,
    laravel::read,
    compose::read,
    rails::read,
    spring::read,
    dotnet::read,
    python::read,
    node::read,
    nextcloud::read,
    ini::read,
    plain::read,
];

/// The environment's name for the stage that runs, as each framework calls it.
fn stage(here: &Surroundings) -> Option<&str> {
    ["RAILS_ENV", "RACK_ENV", "NODE_ENV", "APP_ENV", "DJANGO_ENV", "FLASK_ENV"]
        .iter()
        .find_map(|k| here.env(k))
}

/// Candidates of a tree of settings: every address in it, and every `host` below a key that names Redis.
///
/// `known` gives the value of a variable that the file refers to.
fn tree(name: &str, leaves: Vec<Leaf>, here: &Surroundings) -> Vec<Candidate> {
    let vars = dotenv::variables(here);
    let known = |key: &str| vars.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let leaves: Vec<Leaf> = leaves
        .into_iter()
        .filter_map(|leaf| {
            let value = expand::erb(&leaf.value, &known)?;
            let value = expand::variables(&value, &known, &str::to_owned);
            Some(Leaf { value, ..leaf })
        })
        .collect();
    let mut found = Vec::new();
    for leaf in &leaves {
        let key = leaf.path.join(".");
        let lower = key.to_ascii_lowercase();
        let about = ["redis", "valkey"].iter().any(|w| lower.contains(w) || name.contains(w));
        let last = lower.rsplit('.').next().unwrap_or_default().trim_start_matches(':');
        let place = Place::at(name, leaf.line);
        if is_redis_url(&leaf.value) {
            found.push(whole(&key, &leaf.value, place));
        } else if about && matches!(last, "host" | "hostname") && !leaf.value.is_empty() {
            found.extend(parts(name, &leaves, leaf));
        } else if about && matches!(last, "addr" | "address" | "addrs") && leaf.value.contains(':') {
            found.push(whole(&key, &leaf.value, place));
        } else if about
            && !leaf.value.is_empty()
            && (lower.starts_with("connectionstrings.")
                || matches!(last, "connectionstring" | "configuration" | "instancename"))
            && last != "instancename"
        {
            found.push(connection_string(&key, &leaf.value, place));
        }
    }
    found
}

/// Candidates of the stage that runs first, those of other stages as such.
fn staged(found: Vec<(String, Candidate)>, running: &str) -> Vec<Candidate> {
    const STAGES: &[&str] = &["production", "development", "test", "staging"];
    let (own, other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(stage, _)| !STAGES.contains(&stage.as_str()) || stage == running);
    let others = other.into_iter().map(|(stage, c)| c.idle(format!("it is for {stage}, and {running} runs")));
    own.into_iter().map(|(_, c)| c).chain(others).collect()
}

/// `host` and its siblings, named as the variables are.
fn parts(name: &str, leaves: &[Leaf], host: &Leaf) -> Option<Candidate> {
    let parent = &host.path[..host.path.len().saturating_sub(1)];
    let mut pairs = Vec::new();
    let mut lines = Vec::new();
    for leaf in leaves.iter().filter(|l| l.path.starts_with(parent)) {
        let rest = leaf.path[parent.len()..].join("_").to_ascii_uppercase().replace('-', "_");
        let suffix = match rest.trim_start_matches(':') {
            "HOSTNAME" => "HOST",
            other => other,
        };
        let key = format!("REDIS_{suffix}");
        lines.push((key.clone(), leaf.line, leaf.path.join(".")));
        pairs.push((key, leaf.value.clone()));
    }
    let line = |key: &str| lines.iter().find(|(k, ..)| k == key).map_or(1, |(_, line, _)| *line);
    let mut candidate = from_parts(&pairs, "REDIS", &|key| Place::at(name, line(key)))?;
    // The report names the file's own keys.
    for setting in &mut candidate.settings {
        if let Some((.., own)) = lines.iter().find(|(k, ..)| *k == setting.key) {
            setting.key = crate::text::shown_str(own, 100);
        }
    }
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Surroundings, from_settings};
    use crate::evidence::client::Settings;

    /// What is dialled, with its source.
    pub(super) fn taken(env: &[(&str, &str)], files: &[(&str, &str)]) -> String {
        let found = from_settings(&Surroundings::of(env, files));
        assert!(found.target.problem.is_none(), "{:?}", found.target);
        format!("{} {}", found.target.redacted(), found.target.source)
    }

    /// All settings.
    pub(super) fn listed(env: &[(&str, &str)], files: &[(&str, &str)]) -> Settings {
        from_settings(&Surroundings::of(env, files)).settings
    }

    /// Why nobody takes the setting of that place.
    pub(super) fn ignored(settings: &Settings, place: &str) -> String {
        let all: Vec<_> = settings.found.iter().filter(|s| s.place == place).collect();
        assert!(!all.is_empty(), "nothing at {place}: {settings:?}");
        all.iter().find_map(|s| s.ignored.clone()).unwrap_or_default()
    }

    #[test]
    fn the_table_has_every_file() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/target/frameworks");
        let files = crate::sys::list(folder, 100).unwrap();
        // mod.rs is no framework, and dotenv.rs is read with the environment.
        assert_eq!(files.len(), super::ALL.len() + 2);
    }

    #[test]
    fn hostile_files_end() {
        let names = [
            ".env",
            "compose.yaml",
            "config/redis.yml",
            "config/database.php",
            "settings.py",
            "application.yml",
            "appsettings.json",
            "config/default.json",
            "config/config.php",
            "php.ini",
            "config.toml",
        ];
        for name in names {
            for text in [
                "\u{0}".repeat(9_999),
                "[{(".repeat(9_999),
                "a: &a [*a]\n".repeat(999),
                "\u{feff}=\n:".into(),
            ] {
                let _ = listed(&[], &[(name, &text)]);
            }
        }
    }
}
