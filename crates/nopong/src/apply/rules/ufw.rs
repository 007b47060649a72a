//! A rule of ufw, before its others.

use super::must;
use crate::apply::{Change, Fault, State};
use serde::{Deserialize, Serialize};

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
