//! One allow rule for one source and one port, in whoever owns the host's rules: ufw, firewalld, nft, iptables.
//!
//! Every kind is told from its absence by the tool's own answer, so undoing removes exactly the rule that was added
//! and leaves one alone that stood there before. All need root.
#![expect(clippy::disallowed_methods, reason = "a writer")]

use super::{Change, Fault, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// firewall-cmd is Python over D-Bus and takes its time.
const LIMIT: Duration = Duration::from_secs(15);

/// Runs a program of the usual directories; its exit code and what it printed.
fn run(name: &str, arguments: &[&str]) -> Result<(i32, String), Fault> {
    let program = sys::program(name).ok_or_else(|| Fault::new(format!("{name} is not here")))?;
    let program = program.to_string_lossy().into_owned();
    let argv: Vec<&str> = std::iter::once(program.as_str()).chain(arguments.iter().copied()).collect();
    let output = sys::run(&argv, LIMIT, 1 << 20).map_err(|why| Fault::new(format!("{name}: {why}")))?;
    let text = if output.code == Some(0) { &output.stdout } else { &output.stderr };
    Ok((output.code.unwrap_or(-1), String::from_utf8_lossy(text).into_owned()))
}

/// Runs it and wants success.
fn must(name: &str, arguments: &[&str]) -> Result<String, Fault> {
    match run(name, arguments)? {
        (0, text) => Ok(text),
        (_, text) => {
            let text = crate::text::shown_str(text.trim(), 300);
            Err(Fault::new(format!("{name} {}: {text}", arguments.join(" "))))
        }
    }
}

/// `ufw prepend allow from SOURCE to any port PORT proto tcp`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ufw {
    /// Address or network in CIDR.
    pub source: String,
    /// Port.
    pub port: u16,
    /// One address of this machine instead of any: ufw takes no second rule that says the same as one further down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Ufw {
    fn rule(&self) -> [String; 9] {
        let port = self.port.to_string();
        let to = self.to.as_deref().unwrap_or("any");
        ["allow", "from", &self.source, "to", to, "port", &port, "proto", "tcp"].map(str::to_owned)
    }

    /// The rule stands somewhere in ufw's list.
    pub fn stands(&self) -> bool {
        self.observe().is_ok_and(|state| state["present"] == true)
    }
}

impl Change for Ufw {
    fn says(&self) -> String {
        format!("ufw: allow {} to TCP port {}", self.source, self.port)
    }
    fn command(&self) -> Option<String> {
        Some(format!("ufw prepend {}", self.rule().join(" ")))
    }
    fn observe(&self) -> Result<State, Fault> {
        let added = must("ufw", &["show", "added"])?;
        let wanted = format!("ufw {}", self.rule().join(" "));
        // ufw prints a rule for any destination without `to any`-less forms of its own: compare the parts that matter.
        let to = self.to.as_deref().unwrap_or("any");
        let short = format!("ufw allow from {} to {to} port {} proto tcp", self.source, self.port);
        Ok(serde_json::json!({ "present": added.lines().any(|l| l.trim() == wanted || l.trim() == short) }))
    }
    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if before["present"] == true {
            return Ok(());
        }
        let rule = self.rule();
        let arguments: Vec<&str> =
            std::iter::once("prepend").chain(rule.iter().map(String::as_str)).collect();
        must("ufw", &arguments).map(drop)
    }
    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["present"] == true
    }
    fn restore(&self, _before: &State) -> Result<(), Fault> {
        let rule = self.rule();
        let arguments: Vec<&str> =
            ["--force", "delete"].into_iter().chain(rule.iter().map(String::as_str)).collect();
        must("ufw", &arguments).map(drop)
    }
}

/// A rich rule in the zone of the client's interface, at run time and permanently.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Firewalld {
    /// Zone.
    pub zone: String,
    /// Before everything else of the zone: what blocks is a rich rule of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// Address or network in CIDR.
    pub source: String,
    /// Port.
    pub port: u16,
}

impl Firewalld {
    fn rule(&self) -> String {
        let family = if self.source.contains(':') { "ipv6" } else { "ipv4" };
        // Rules with a negative priority come before those without (firewalld.richlanguage(5)).
        let priority = if self.first { "priority=\"-32768\" " } else { "" };
        format!(
            "rule {priority}family=\"{family}\" source address=\"{}\" port port=\"{}\" protocol=\"tcp\" accept",
            self.source, self.port
        )
    }
    fn zone_file(&self) -> String {
        format!("/etc/firewalld/zones/{}.xml", self.zone)
    }
    fn present(&self, permanent: bool) -> Result<bool, Fault> {
        let zone = format!("--zone={}", self.zone);
        let query = format!("--query-rich-rule={}", self.rule());
        let mut arguments = vec![zone.as_str(), query.as_str()];
        if permanent {
            arguments.insert(0, "--permanent");
        }
        // 0 yes, 1 no; anything else is a failure (firewall-cmd(1)).
        match run("firewall-cmd", &arguments)? {
            (0, _) => Ok(true),
            (1, _) => Ok(false),
            (_, text) => {
                Err(Fault::new(format!("firewall-cmd: {}", crate::text::shown_str(text.trim(), 300))))
            }
        }
    }
    fn change(&self, verb: &str, permanent: bool) -> Result<(), Fault> {
        let zone = format!("--zone={}", self.zone);
        let rule = format!("--{verb}-rich-rule={}", self.rule());
        let mut arguments = vec![zone.as_str(), rule.as_str()];
        if permanent {
            arguments.insert(0, "--permanent");
        }
        must("firewall-cmd", &arguments).map(drop)
    }
}

/// The zone that takes a client's packets: by its address, else by the interface, else the default one.
pub fn firewalld_zone(client: &str, interface: Option<&str>) -> Result<String, Fault> {
    let default = must("firewall-cmd", &["--get-default-zone"])?.trim().to_owned();
    let active = must("firewall-cmd", &["--get-active-zones"])?;
    let by_source =
        |word: &str| word == client || word.split('/').next() == Some(client) || within(client, word);
    let (mut zone, mut by_interface) = ("", None);
    for line in active.lines() {
        if !line.starts_with(char::is_whitespace) {
            zone = line.split_whitespace().next().unwrap_or_default();
            continue;
        }
        let (key, words) = line.trim().split_once(':').unwrap_or((line, ""));
        let has = |wanted: &dyn Fn(&str) -> bool| words.split_whitespace().any(wanted);
        match key {
            "sources" if has(&by_source) => return Ok(zone.to_owned()),
            "interfaces" if interface.is_some_and(|i| has(&|w| w == i)) => {
                by_interface = Some(zone.to_owned());
            }
            _ => {}
        }
    }
    Ok(by_interface.unwrap_or(default))
}

/// An address is in a network.
fn within(address: &str, network: &str) -> bool {
    let Some((base, prefix)) = network.split_once('/') else { return false };
    match (address.parse::<IpAddr>(), base.parse::<IpAddr>(), prefix.parse::<u8>()) {
        (Ok(a), Ok(b), Ok(p)) if a.is_ipv4() == b.is_ipv4() => {
            crate::cause::common::network(a, p) == crate::cause::common::network(b, p)
        }
        _ => false,
    }
}

impl Change for Firewalld {
    fn says(&self) -> String {
        format!(
            "firewalld, zone {}: allow {} to TCP port {}, now and after a reload",
            self.zone, self.source, self.port
        )
    }
    fn command(&self) -> Option<String> {
        let rule = format!("firewall-cmd --zone={} --add-rich-rule='{}'", self.zone, self.rule());
        Some(format!("{rule} && {}", rule.replacen("firewall-cmd", "firewall-cmd --permanent", 1)))
    }
    fn observe(&self) -> Result<State, Fault> {
        let file = sys::stat(self.zone_file()).is_ok();
        Ok(serde_json::json!({ "now": self.present(false)?, "permanent": self.present(true)?, "file": file }))
    }
    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if before["now"] != true {
            self.change("add", false)?;
        }
        super::point();
        if before["permanent"] != true {
            self.change("add", true)?;
        }
        Ok(())
    }
    fn is_ours(&self, now: &State, _before: &State) -> bool {
        // Killed between the two it is half there: still ours.
        now["now"] == true || now["permanent"] == true
    }
    fn restore(&self, before: &State) -> Result<(), Fault> {
        if before["now"] != true && self.present(false)? {
            self.change("remove", false)?;
        }
        if before["permanent"] != true && self.present(true)? {
            self.change("remove", true)?;
        }
        if before["file"] == false {
            // firewalld writes its built-in zone down at the first permanent change, and a copy of it.
            for name in [self.zone_file(), format!("{}.old", self.zone_file())] {
                if sys::stat(&name).is_ok() {
                    std::fs::remove_file(&name)
                        .map_err(|e| Fault::new(format!("{name}: {}", sys::errno_name(&e))))?;
                }
            }
        }
        Ok(())
    }
}

/// A rule at the head of an nft chain, or before the rule that blocks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nft {
    /// `inet`, `ip`, `ip6`.
    pub family: String,
    /// Table.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// Handle of the rule that blocks; none puts it at the head of the chain.
    pub before: Option<u64>,
    /// Address or network in CIDR.
    pub source: String,
    /// Port.
    pub port: u16,
}

impl Nft {
    /// The rule itself.
    pub fn words(&self) -> String {
        let family = if self.source.contains(':') { "ip6" } else { "ip" };
        format!("{family} saddr {} tcp dport {} accept comment \"nopong\"", self.source, self.port)
    }
    fn insert(&self) -> Vec<String> {
        let mut words = vec![
            "insert".to_owned(),
            "rule".to_owned(),
            self.family.clone(),
            self.table.clone(),
            self.chain.clone(),
        ];
        if let Some(handle) = self.before {
            words.extend(["position".to_owned(), handle.to_string()]);
        }
        words.push(self.words());
        words
    }
    /// Handles of our rules in the chain.
    fn handles(&self) -> Result<Vec<u64>, Fault> {
        let text = must("nft", &["-a", "list", "chain", &self.family, &self.table, &self.chain])?;
        let ours = |l: &&str| l.trim().starts_with(&self.words());
        Ok(text
            .lines()
            .filter(ours)
            .filter_map(|l| l.rsplit_once("# handle ")?.1.trim().parse().ok())
            .collect())
    }
}

impl Change for Nft {
    fn says(&self) -> String {
        format!(
            "nft {} {} {}: allow {} to TCP port {}",
            self.family, self.table, self.chain, self.source, self.port
        )
    }
    fn command(&self) -> Option<String> {
        Some(format!("nft '{}'", self.insert().join(" ")))
    }
    fn observe(&self) -> Result<State, Fault> {
        Ok(serde_json::json!({ "handles": self.handles()? }))
    }
    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        let words = self.insert().join(" ");
        must("nft", &[&words]).map(drop)
    }
    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["handles"].as_array().is_some_and(|h| !h.is_empty())
    }
    fn restore(&self, before: &State) -> Result<(), Fault> {
        let old: Vec<u64> = before["handles"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_u64)
            .collect();
        for handle in self.handles()?.into_iter().filter(|h| !old.contains(h)) {
            must(
                "nft",
                &["delete", "rule", &self.family, &self.table, &self.chain, "handle", &handle.to_string()],
            )?;
        }
        Ok(())
    }
}

/// A rule before the one that blocks, in iptables or ip6tables of either back-end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Iptables {
    /// `iptables`, `ip6tables`, `iptables-legacy`, `ip6tables-legacy`.
    pub tool: String,
    /// Table.
    #[serde(default = "filter")]
    pub table: String,
    /// Chain.
    pub chain: String,
    /// Place, from 1.
    pub place: u32,
    /// Address or network in CIDR.
    pub source: String,
    /// Port.
    pub port: u16,
}

fn filter() -> String {
    "filter".to_owned()
}

impl Iptables {
    /// The tool that fits the source's family.
    pub fn tool_for(source: IpAddr, legacy: bool) -> String {
        let family = if source.is_ipv6() { "ip6tables" } else { "iptables" };
        if legacy { format!("{family}-legacy") } else { family.to_owned() }
    }
    /// The rule itself, after the chain.
    pub fn specification(&self) -> Vec<String> {
        let port = self.port.to_string();
        [
            "-s",
            &self.source,
            "-p",
            "tcp",
            "-m",
            "tcp",
            "--dport",
            &port,
            "-m",
            "comment",
            "--comment",
            "nopong",
            "-j",
            "ACCEPT",
        ]
        .map(str::to_owned)
        .to_vec()
    }
    fn run(&self, verb: &[&str]) -> Result<(i32, String), Fault> {
        let specification = self.specification();
        // -w: another program may hold the lock of the tables.
        let arguments: Vec<&str> = ["-w", "5", "-t", &self.table]
            .into_iter()
            .chain(verb.iter().copied())
            .chain(specification.iter().map(String::as_str))
            .collect();
        run(&self.tool, &arguments)
    }
}

impl Change for Iptables {
    fn says(&self) -> String {
        format!("{} {}: allow {} to TCP port {}", self.tool, self.chain, self.source, self.port)
    }
    fn command(&self) -> Option<String> {
        let table = if self.table == "filter" { String::new() } else { format!(" -t {}", self.table) };
        let rule = self.specification().join(" ");
        Some(format!("{}{table} -I {} {} {rule}", self.tool, self.chain, self.place))
    }
    fn observe(&self) -> Result<State, Fault> {
        let (code, text) = self.run(&["-C", &self.chain])?;
        match code {
            0 => Ok(serde_json::json!({ "present": true })),
            1 => Ok(serde_json::json!({ "present": false })),
            _ => Err(Fault::new(format!("{}: {}", self.tool, crate::text::shown_str(text.trim(), 300)))),
        }
    }
    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if before["present"] == true {
            return Ok(());
        }
        match self.run(&["-I", &self.chain, &self.place.to_string()])? {
            (0, _) => Ok(()),
            (_, text) => {
                Err(Fault::new(format!("{}: {}", self.tool, crate::text::shown_str(text.trim(), 300))))
            }
        }
    }
    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["present"] == true
    }
    fn restore(&self, _before: &State) -> Result<(), Fault> {
        match self.run(&["-D", &self.chain])? {
            (0, _) => Ok(()),
            (_, text) => {
                Err(Fault::new(format!("{}: {}", self.tool, crate::text::shown_str(text.trim(), 300))))
            }
        }
    }
}
