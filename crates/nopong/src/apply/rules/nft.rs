//! A rule of nft.

use super::must;
use crate::apply::{Change, Fault, State};
use serde::{Deserialize, Serialize};

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
    /// It is the port that the client dialled, which a nat rule of a container's has replaced by another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub published: bool,
}

impl Nft {
    /// The rule itself.
    pub fn words(&self) -> String {
        let family = if self.source.contains(':') { "ip6" } else { "ip" };
        let port = match self.published {
            true => format!("meta l4proto tcp ct original proto-dst {}", self.port),
            false => format!("tcp dport {}", self.port),
        };
        format!("{family} saddr {} {port} accept comment \"nopong\"", self.source)
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
        let port = if self.published { "published TCP port" } else { "TCP port" };
        format!(
            "nft {} {} {}: allow {} to {port} {}",
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
