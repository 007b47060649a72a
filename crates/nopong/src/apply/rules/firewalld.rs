//! A rich rule of firewalld.
#![expect(clippy::disallowed_methods, reason = "removes the zone file that firewalld made")]

use super::firewalld_bus::Bus;
use super::{failed, must, run};
use crate::apply::{Change, Fault, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;

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

/// A zone's file is about 1 KiB.
const LARGEST: usize = 64 << 10;

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
    /// The zone's file and the copy that firewalld makes of it.
    fn files(&self) -> [String; 2] {
        [self.zone_file(), format!("{}.old", self.zone_file())]
    }
    fn present(&self, permanent: bool) -> Result<bool, Fault> {
        if let Some(bus) = Bus::connect() {
            return bus.has(&bus.zone(&self.zone, permanent)?, &self.rule());
        }
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
            (_, text) => Err(failed("firewall-cmd", &text)),
        }
    }
    fn change(&self, verb: &str, permanent: bool) -> Result<(), Fault> {
        if let Some(bus) = Bus::connect() {
            return bus.change(&bus.zone(&self.zone, permanent)?, &self.rule(), verb == "add");
        }
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
    let by_source =
        |word: &str| word == client || word.split('/').next() == Some(client) || within(client, word);
    if let Some(bus) = Bus::connect() {
        let active = bus.active_zones()?;
        let of = |key: &str, is: &dyn Fn(&str) -> bool| {
            let has = |parts: &HashMap<String, Vec<String>>| {
                parts.get(key).is_some_and(|all| all.iter().any(|w| is(w)))
            };
            active.iter().find(|(_, parts)| has(parts)).map(|(zone, _)| zone.clone())
        };
        let found =
            of("sources", &by_source).or_else(|| interface.and_then(|i| of("interfaces", &|w| w == i)));
        return found.map_or_else(|| bus.default_zone(), Ok);
    }
    let default = must("firewall-cmd", &["--get-default-zone"])?.trim().to_owned();
    let active = must("firewall-cmd", &["--get-active-zones"])?;
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
        let texts = self.files().map(|f| sys::read_text(f, LARGEST).ok());
        let (now, permanent) = (self.present(false)?, self.present(true)?);
        Ok(serde_json::json!({ "now": now, "permanent": permanent, "file": file, "texts": texts }))
    }
    fn is_back(&self, now: &State, before: &State) -> bool {
        // Of the texts only firewalld's own rewriting is undone; what somebody else wrote meanwhile stays.
        ["now", "permanent", "file"].iter().all(|key| now[key] == before[key])
    }
    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if before["now"] != true {
            self.change("add", false)?;
        }
        crate::apply::point();
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
        for (at, path) in self.files().iter().enumerate() {
            let text = before["texts"][at].as_str();
            let is = sys::read_text(path, LARGEST).ok();
            match (text, is) {
                // firewalld writes its built-in zone down at the first permanent change, and a copy of it.
                (None, Some(_)) if before["file"] == false || before["texts"].is_array() => {
                    std::fs::remove_file(path)
                        .map_err(|e| Fault::new(format!("{path}: {}", sys::errno_name(&e))))?;
                }
                // It writes the whole file anew, without comments and in its own order.
                (Some(text), Some(is)) if text != is && (at == 1 || elements(text) == elements(&is)) => {
                    crate::apply::edit_file::replace(path.as_ref(), text.as_bytes())?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a zone's file says, whatever its comments, order and spacing.
fn elements(text: &str) -> Vec<Vec<&str>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        out.push(vec![before.trim()]);
        let end = if tag.starts_with("!--") { "-->" } else { ">" };
        let (tag, after) = tag.split_once(end).unwrap_or((tag, ""));
        if !tag.starts_with(['!', '?', '/']) {
            let mut words: Vec<&str> = tag.trim_end_matches('/').split_whitespace().collect();
            words.sort_unstable();
            out.push(words);
        }
        rest = after;
    }
    out.retain(|words| words.iter().any(|w| !w.is_empty()));
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::elements;

    #[test]
    fn a_zone_says_the_same_in_another_order() {
        let own = "<?xml version=\"1.0\"?>\n<zone>\n  <!-- a > comment -->\n  <short>Public</short>\n  <port protocol=\"tcp\" port=\"80\"/>\n  <service name=\"ssh\" />\n</zone>\n";
        let written =
            "<zone><short>Public</short><service name=\"ssh\"/><port port=\"80\" protocol=\"tcp\"/></zone>";
        assert_eq!(elements(own), elements(written));
        assert_ne!(elements(own), elements(&written.replace("80", "81")));
        assert_ne!(elements(own), elements(&written.replace("Public", "Other")));
        assert!(elements("<!-- <zone").len() < 2 && elements("<").is_empty());
    }
}
