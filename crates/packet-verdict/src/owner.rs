//! Who made a rule: ufw, firewalld, Docker and others, told by their chains' names and comments.

use crate::model::{Chain, Table};
use std::fmt;

/// The program that made a rule, and where in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `ufw`, `firewalld`, `docker`, `kubernetes`, `fail2ban`, …
    pub name: &'static str,
    /// `rule 3`, `zone public`, `DOCKER-USER`.
    pub part: Option<String>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Some(part) => write!(f, "{}, {part}", self.name),
            None => f.write_str(self.name),
        }
    }
}

/// Chain names' beginnings and their makers.
const CHAINS: &[(&str, &str)] = &[
    ("ufw-", "ufw"),
    ("ufw6-", "ufw"),
    ("DOCKER", "docker"),
    ("KUBE-", "kubernetes"),
    ("cali-", "calico"),
    ("CILIUM_", "cilium"),
    ("OLD_CILIUM_", "cilium"),
    ("FLANNEL-", "flannel"),
    ("WEAVE", "weave"),
    ("CNI-", "cni"),
    ("NETAVARK", "podman"),
    ("LIBVIRT_", "libvirt"),
    ("f2b-", "fail2ban"),
    ("fail2ban-", "fail2ban"),
    ("sshguard", "sshguard"),
    ("CROWDSEC", "crowdsec"),
    ("ts-", "tailscale"),
    ("LXC_", "lxc"),
];

/// nft tables' names and their makers.
const TABLES: &[(&str, &str)] = &[
    ("firewalld", "firewalld"),
    (FIREWALLD_CLOSED, "firewalld"),
    ("f2b-table", "fail2ban"),
    ("crowdsec", "crowdsec"),
    ("crowdsec6", "crowdsec"),
    ("sshguard", "sshguard"),
    ("netavark", "podman"),
    ("docker-bridges", "docker"),
    ("kube-proxy", "kubernetes"),
    ("libvirt_network", "libvirt"),
    ("lxd", "lxd"),
    ("incus", "incus"),
    ("fw4", "openwrt"),
    ("tailscale", "tailscale"),
];

/// The table by which firewalld closes everything (its core/nftables.py, TABLE_NAME_POLICY).
const FIREWALLD_CLOSED: &str = "firewalld_policy_drop";

pub(crate) fn owner(table: &Table, chain: &Chain, rule: usize) -> Option<Owner> {
    let by_table = TABLES.iter().find(|(name, _)| *name == table.name).map(|(_, owner)| *owner);
    let by_chain = CHAINS.iter().find(|(start, _)| chain.name.starts_with(start)).map(|(_, owner)| *owner);
    let name = by_table.or(by_chain).or_else(|| zone_chain(table, chain))?;
    let part = match name {
        "ufw" => ufw_part(table, chain, rule),
        "firewalld" => firewalld_part(table, chain, rule),
        "docker" | "kubernetes" | "fail2ban" if by_chain.is_some() => Some(chain.name.clone()),
        _ => None,
    };
    Some(Owner { name, part })
}

fn firewalld_part(table: &Table, chain: &Chain, rule: usize) -> Option<String> {
    if table.name == FIREWALLD_CLOSED {
        let panic = chain.name.starts_with("raw_");
        return Some(if panic { "panic mode" } else { "closed while it loads its rules" }.into());
    }
    if let Some(policy) = policy(&chain.name) {
        return Some(format!("policy {policy}"));
    }
    let named = zone(&chain.name).or_else(|| {
        // Since 1.1 a zone's target stands behind the jump to the zone's chain.
        let before = chain.rules.get(..rule).filter(|_| chain.name.ends_with("_POLICIES"))?;
        before.iter().rev().find_map(|r| zone(called(&r.text)?))
    });
    named.map(|z| format!("zone {z}"))
}

/// The chain that a rule calls.
fn called(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace();
    words.find(|w| matches!(*w, "jump" | "goto" | "-j" | "-g"))?;
    words.next()
}

/// firewalld with its iptables back-end has no table of its own, but its chains are unmistakable.
fn zone_chain(table: &Table, chain: &Chain) -> Option<&'static str> {
    (table.by_name.contains_key("INPUT_ZONES")
        && (zone(&chain.name).is_some() || chain.name.ends_with("_ZONES")))
    .then_some("firewalld")
}

/// The policy in a chain's name: `filter_IN_policy_guard_deny`.
fn policy(chain: &str) -> Option<&str> {
    let name = chain.split_once("_policy_")?.1;
    let name = ["_allow", "_deny", "_log", "_pre", "_post"]
        .iter()
        .find_map(|e| name.strip_suffix(e))
        .unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

/// The zone in a chain's name: `filter_IN_public_allow`, `IN_public_deny`, `nat_PRE_home`.
fn zone(chain: &str) -> Option<String> {
    let chain =
        ["filter_", "nat_", "mangle_", "raw_"].iter().find_map(|p| chain.strip_prefix(p)).unwrap_or(chain);
    let zone =
        ["IN_", "FWD_", "FWDI_", "FWDO_", "PRE_", "POST_"].iter().find_map(|p| chain.strip_prefix(p))?;
    if zone.starts_with("policy_") || zone.starts_with("POLICIES") {
        return None;
    }
    let ends = ["_allow", "_deny", "_log", "_pre", "_post"];
    let zone = ends.iter().find_map(|e| zone.strip_suffix(e)).unwrap_or(zone);
    (!zone.is_empty()).then(|| zone.to_owned())
}

/// The number `ufw status numbered` shows, where ufw's own files were read. From a listing alone it can be told only if all
/// rules are for one direction: a rule for both protocols is two lines, one with a limit three or more.
fn ufw_part(table: &Table, chain: &Chain, rule: usize) -> Option<String> {
    let user =
        ["-user-input", "-user-output", "-user-forward"].iter().find_map(|e| chain.name.strip_suffix(e))?;
    if let Some(number) = chain.rules.get(rule)?.number {
        return Some(format!("rule {number}"));
    }
    let others = |c: &Chain| {
        c.name != chain.name && c.name.starts_with(&format!("{user}-user-")) && {
            ["input", "output", "forward"].iter().any(|e| c.name.ends_with(e)) && !c.name.contains("logging")
        }
    };
    if table.chains.iter().any(|c| others(c) && !c.rules.is_empty()) {
        return Some(format!("chain {}", chain.name));
    }
    let (mut least, mut most, mut protocols) = (0, 0, Vec::new());
    let mut last = None;
    for r in &chain.rules[..=rule] {
        let key = ufw_key(&r.text);
        let protocol = r.text.split(" -p ").nth(1).and_then(|p| p.split(' ').next());
        if key.is_empty() || last.as_ref() != Some(&key) {
            (least, most) = (least + 1, most + 1);
            protocols = vec![protocol];
        } else if !protocols.contains(&protocol) {
            // `allow 53`, or `allow 53/tcp` and `allow 53/udp`.
            protocols.push(protocol);
            most += 1;
        }
        last = Some(key);
    }
    // IPv6 rules are numbered behind those for IPv4, which this table does not show.
    let which = if user == "ufw6" { "IPv6 rule" } else { "rule" };
    Some(if least == most { format!("{which} {least}") } else { format!("{which} {least} to {most}") })
}

/// A rule without its protocol, target and the matches of `ufw limit`.
fn ufw_key(text: &str) -> Vec<String> {
    let mut words = text.split_whitespace();
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-p" | "-m" | "-j" | "--name" | "--mask" | "--ctstate" | "--seconds" | "--hitcount" => {
                words.next();
            }
            "--set" | "--update" | "--rsource" => {}
            _ => out.push(word.to_owned()),
        }
    }
    out
}
