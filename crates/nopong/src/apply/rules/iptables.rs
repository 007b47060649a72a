//! A rule of iptables or ip6tables, of either back-end.

use super::{failed, run};
use crate::apply::{Change, Fault, State};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

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
    /// It is the port that the client dialled, which a nat rule of a container's has replaced by another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub published: bool,
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
        let asks: [&str; 3] = match self.published {
            true => ["conntrack", "--ctorigdstport", &port],
            false => ["tcp", "--dport", &port],
        };
        let mut words = vec!["-s", &self.source, "-p", "tcp", "-m"];
        words.extend(asks);
        words.extend(["-m", "comment", "--comment", "nopong", "-j", "ACCEPT"]);
        words.into_iter().map(str::to_owned).collect()
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
        let port = if self.published { "published TCP port" } else { "TCP port" };
        format!("{} {}: allow {} to {port} {}", self.tool, self.chain, self.source, self.port)
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
            _ => Err(failed(&self.tool, &text)),
        }
    }
    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if before["present"] == true {
            return Ok(());
        }
        match self.run(&["-I", &self.chain, &self.place.to_string()])? {
            (0, _) => Ok(()),
            (_, text) => Err(failed(&self.tool, &text)),
        }
    }
    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["present"] == true
    }
    fn restore(&self, _before: &State) -> Result<(), Fault> {
        match self.run(&["-D", &self.chain])? {
            (0, _) => Ok(()),
            (_, text) => Err(failed(&self.tool, &text)),
        }
    }
}
