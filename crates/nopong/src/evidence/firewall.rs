//! What a host's packet filter does with a connection, and what the kernel says it dropped.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one rule set says of a connection.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose connection: source address.
    pub source: String,
    /// Destination address and port.
    pub destination: String,
    /// `input` or `output`.
    pub hook: String,
    /// `accept`, `drop`, `reject`, `undecided`.
    pub verdict: String,
    /// What a reject answers with: `tcp-reset`, `icmp-port-unreachable` …
    pub with: Option<String>,
    /// The deciding rule as text.
    pub rule: Option<String>,
    /// `table chain` of it.
    pub chain: Option<String>,
    /// Handle, for nft.
    pub handle: Option<u64>,
    /// Packet counter before our SYN.
    pub packets: Option<u64>,
    /// Packet counter moved during our own SYN.
    pub moved: Option<bool>,
    /// Who owns the rule: `ufw`, `firewalld, zone public`, `nft`, `iptables`, `docker`.
    pub owner: Option<String>,
    /// Why, or why not decided.
    pub because: String,
    /// The request passes; this is about the answer to it (SYN-ACK), met in the other direction.
    #[serde(default)]
    pub answer: bool,
    /// A nat rule of this host sends the connection to another of its ports, this one.
    #[serde(default)]
    pub to_port: Option<u16>,
    /// What was taken for granted, such as a rate limit that is not used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    /// A nat rule of this host sends the connection on to another host or a container, at this address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The sysctl by which this host passes nothing on for such a client, where it is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
    /// The kernel's own account of a SYN, where `--trace` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traced: Option<Traced>,
}

/// The way of one SYN through the rules of nftables, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Traced {
    /// `accept` (no rule stopped it), `drop` or `reject`.
    pub verdict: String,
    /// The rule that stopped it.
    pub rule: Option<String>,
    /// `table chain` of it.
    pub chain: Option<String>,
    /// Its handle.
    pub handle: Option<u64>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Each step: chain, rule, what it did.
    pub steps: Vec<String>,
}

/// A zone of firewalld as its file has it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Permanent {
    /// The zone.
    pub zone: String,
    /// Its file.
    pub file: String,
    /// What in it admits the client to the port: `service redis`, `port 6379`, `a rich rule`; none: nothing does.
    pub by: Option<String>,
}

/// The packet filter of a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Firewall {
    /// Rule sets read: `nft, 14 rules`, `iptables-legacy, 3 rules`.
    pub read: Vec<String>,
    /// Rule sets that could not be read, with the reason.
    pub unread: Vec<String>,
    /// Active managers: `ufw`, `firewalld`.
    pub managers: Vec<String>,
    /// Verdicts: for the target as dialled from here, and (server) for a client of another host.
    pub verdicts: Vec<Verdict>,
    /// What firewalld's permanent configuration says, where the rule that decides is of a zone of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permanent: Option<Permanent>,
    /// What sees packets before the rules, and may drop them: `an XDP program (id 7) on eth0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<String>,
    /// Why `--trace` traced nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untraced: Option<String>,
}

/// Why the kernel dropped packets to the port during our dial (skb:kfree_skb).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Drops {
    /// Reason as the kernel names it (`NETFILTER_DROP`, `NO_SOCKET`, …) and how often.
    pub reasons: BTreeMap<String, u32>,
}
