//! From rule sets and a packet to the verdict.
//!
//! Where an interface is not given, every interface that the rules tell apart is tried, and one that they do not
//! name: only if they disagree is the verdict undecided, and then the interface is what would settle it.

mod eval;
mod pipeline;
mod state;
mod walk;

pub(crate) use state::{ct, rtn};

use crate::model::{Family, Kind, Reject, Ruleset};
use crate::owner::Owner;
use crate::packet::{Hook, Packet};
use crate::value::{Value, bits_name, name_bits};
use pipeline::{Final, Pipeline};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Interfaces tried one by one; beyond it the interface is one more unknown.
const INTERFACES: usize = 300;

/// What the rules do with the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Accept,
    Drop,
    /// Refused, with this answer; `None` if rules differ in it.
    Reject(Option<Reject>),
    Undecided,
}

impl Outcome {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Reject(_) => "reject",
            Self::Undecided => "undecided",
        }
    }

    #[must_use]
    pub fn blocks(self) -> bool {
        matches!(self, Self::Drop | Self::Reject(_))
    }
}

/// A rule, or a chain's policy, as the reader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// The rule set's label: a file, a command.
    pub source: String,
    /// `inet`, `ip`, `ip6`, `netdev`; `ip` or `ip6` too for iptables.
    pub family: &'static str,
    pub table: String,
    pub chain: String,
    pub text: String,
    pub comment: Option<String>,
    pub handle: Option<u64>,
    pub packets: Option<u64>,
    /// In the text it was read from; 0 if not known.
    pub line: u32,
    pub column: u32,
    pub policy: bool,
    /// From an iptables text, whose tables are named without their family.
    pub xt: bool,
    pub owner: Option<Owner>,
}

impl RuleRef {
    /// As its tool names it: `inet filter`, or `filter` for iptables.
    #[must_use]
    pub fn table_words(&self) -> String {
        if self.xt { self.table.clone() } else { format!("{} {}", self.family, self.table) }
    }
}

/// One thing that happened on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub rule: RuleRef,
    pub says: String,
}

/// What would settle an undecided verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    IncomingInterface,
    OutgoingInterface,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// The rule that gave it; `None` when no rule concerns the packet, or when it is undecided.
    pub rule: Option<RuleRef>,
    pub because: String,
    pub trace: Vec<Passed>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// Undecided: the outcomes that are possible, each with its rule.
    pub possible: Vec<(Outcome, Option<RuleRef>)>,
    pub need: Option<Need>,
    /// Accepted for this host, but at this port: a nat rule (REDIRECT, DNAT) wrote another one into the packet.
    pub to_port: Option<u16>,
    /// On its way to another host: a nat rule (DNAT) wrote this address and port into the packet.
    pub through: Option<(IpAddr, u16)>,
}

/// What the rule sets, all together, do with the packet.
#[must_use]
pub fn judge(rulesets: &[Ruleset], packet: &Packet) -> Verdict {
    let kept = crate::combine::for_judging(rulesets);
    let refs: Vec<&Ruleset> = kept.iter().map(AsRef::as_ref).collect();
    if let Some(says) = not_covered(&refs, packet) {
        return undecided(says, Need::Other);
    }
    let verdict = judge_ports(&refs, packet);
    if verdict.outcome != Outcome::Undecided {
        return verdict;
    }
    // `limit rate 5/second reject` before a policy of drop: it is blocked either way, and by the rule as long as it can be.
    if !verdict.possible.is_empty() && verdict.possible.iter().all(|(outcome, _)| outcome.blocks()) {
        let calm = judge_ports(&refs, &Packet { unhurried: true, ..packet.clone() });
        if calm.outcome.blocks() {
            return calm;
        }
    }
    if packet.sport != ANY_PORT {
        return verdict;
    }
    // A rule that asks for a port below the usual ephemeral ones hardly means this connection.
    let mut usual = judge_ports(&refs, &Packet { sport: EPHEMERAL, ..packet.clone() });
    if usual.outcome == Outcome::Undecided {
        return verdict;
    }
    usual.assumptions.push(format!("the client dials from a port above {}", EPHEMERAL.0 - 1));
    usual
}

/// Any port that needs no privilege, and those that systems dial from unless told otherwise
/// (net.ipv4.ip_local_port_range; IANA's range is within).
const ANY_PORT: (u16, u16) = (1024, 65535);
const EPHEMERAL: (u16, u16) = (32768, 65535);

/// The rule with that handle in nft's listing, or the chain's policy; where an `iptables-save` text shows the same table,
/// in its words.
#[must_use]
pub fn rule_by_handle(
    rulesets: &[Ruleset],
    family: &str,
    table: &str,
    chain: &str,
    handle: Option<u64>,
) -> Option<RuleRef> {
    let find = |kind: Kind| {
        rulesets.iter().filter(move |r| r.kind == kind).find_map(|r| {
            let same = |t: &&crate::model::Table| t.name == table && family_word(t.family) == family;
            let t = r.tables.iter().position(|t| same(&t))?;
            Some((r, t, *r.tables[t].by_name.get(chain)?))
        })
    };
    let (ruleset, t, c) = find(Kind::Nft)?;
    let rules = &ruleset.tables[t].chains[c].rules;
    let at = match handle {
        Some(handle) => rules.iter().position(|r| r.handle == Some(handle))?,
        None => usize::MAX,
    };
    let listed = pipeline::rule_ref(ruleset, t, c, at);
    let better =
        find(Kind::IptablesNft).filter(|(r, t, c)| r.tables[*t].chains[*c].rules.len() == rules.len());
    Some(match better {
        Some((r, t, c)) => RuleRef { handle: listed.handle, ..pipeline::rule_ref(r, t, c, at) },
        None => listed,
    })
}

pub(crate) fn family_word(family: Family) -> &'static str {
    match family {
        Family::Ip => "ip",
        Family::Ip6 => "ip6",
        Family::Inet => "inet",
        Family::Netdev => "netdev",
        Family::Other => "other",
    }
}

fn judge_ports(refs: &[&Ruleset], packet: &Packet) -> Verdict {
    let iifs = incoming(refs, packet);
    let oifs = outgoing(refs, packet);
    let all: Vec<(Value, Value)> = iifs.iter().flat_map(|i| oifs.iter().map(move |o| (*i, *o))).collect();
    let tries = if all.len() > INTERFACES { vec![(Value::UNKNOWN, Value::UNKNOWN)] } else { all };
    let mut budget = walk::Walker::BUDGET;
    let mut results = Vec::with_capacity(tries.len());
    for (iif, oif) in tries {
        let mut pipeline = Pipeline::new(packet, refs, iif, oif, budget);
        let finals = pipeline.run();
        budget = pipeline.budget_left();
        results.push(((iif, oif), pipeline.summarise(&finals)));
    }
    combine(&results)
}

/// Rule sets that say nothing of the packet's family cannot let it pass.
fn not_covered(rulesets: &[&Ruleset], packet: &Packet) -> Option<String> {
    let v4 = packet.src.is_ipv4();
    if v4 != packet.dst.is_ipv4() {
        return Some("source and destination are of different address families".into());
    }
    if rulesets.iter().any(|r| if v4 { r.covers_v4 } else { r.covers_v6 }) {
        return None;
    }
    let (this, tool) = if v4 { ("IPv4", "iptables-save") } else { ("IPv6", "ip6tables-save") };
    Some(format!(
        "none of the rule sets covers {this}; `{tool}` or `nft -j list ruleset` would show its rules"
    ))
}

fn incoming(rulesets: &[&Ruleset], packet: &Packet) -> Vec<Value> {
    if packet.hook == Hook::Output {
        return vec![Value::Known(0)];
    }
    if let Some(bits) = packet.iif.as_deref().and_then(name_bits) {
        return vec![Value::Known(bits)];
    }
    if packet.loops() {
        return vec![Value::Known(name_bits("lo").unwrap_or(0))];
    }
    let mut all = interfaces(rulesets);
    // A rule may ask whether the address is one of the interface that the packet comes in on.
    for dev in packet.local.iter().flatten().filter_map(|a| a.dev.as_deref()).filter_map(name_bits) {
        if !all.contains(&Value::Known(dev)) && Some(dev) != name_bits("lo") {
            all.push(Value::Known(dev));
        }
    }
    all
}

fn outgoing(rulesets: &[&Ruleset], packet: &Packet) -> Vec<Value> {
    if let Some(bits) = packet.oif.as_deref().and_then(name_bits) {
        return vec![Value::Known(bits)];
    }
    if packet.hook == Hook::Output && packet.loops() {
        return vec![Value::Known(name_bits("lo").unwrap_or(0))];
    }
    if packet.hook != Hook::Input
        && let Some(bits) = packet.route_dev(packet.dst).and_then(name_bits)
    {
        return vec![Value::Known(bits)];
    }
    // A packet for this host leaves by none, unless a rule turns it to another host.
    let turns = rulesets.iter().any(|r| crate::combine::translates(r));
    if packet.hook == Hook::Input && (!turns || !packet.routes.is_empty()) {
        return vec![Value::UNKNOWN];
    }
    interfaces(rulesets)
}

/// One name of every group that the rules tell apart; `lo` is left out, it carries no packet of another host.
fn interfaces(rulesets: &[&Ruleset]) -> Vec<Value> {
    let mut ranges = BTreeSet::new();
    for ruleset in rulesets {
        crate::combine::interface_ranges(ruleset, &mut ranges);
    }
    let lo = name_bits("lo").unwrap_or(0);
    // A prefix is stood for by itself and the byte 0x7f, which names do not use.
    let mut starts: BTreeSet<u128> = BTreeSet::from([OTHER]);
    for (first, last) in ranges {
        if first == last {
            starts.insert(first);
        } else {
            starts.insert(wildcard_name(first, last));
        }
    }
    starts.into_iter().filter(|n| *n != lo && *n != 0).map(Value::Known).collect()
}

/// The name that stands for every interface the rules do not name.
const OTHER: u128 = 0x7f << 120;

/// A name within a prefix's range: the prefix and a byte that names do not use.
fn wildcard_name(first: u128, last: u128) -> u128 {
    let free = (first ^ last).count_ones();
    if free < 8 { first } else { first | (0x7f << (free - 8)) }
}

fn name_words(bits: u128) -> String {
    let name = bits_name(bits);
    match name.strip_suffix('\u{7f}') {
        Some("") => "any other".into(),
        Some(prefix) => format!("{prefix}*"),
        None => name,
    }
}

fn undecided(because: String, need: Need) -> Verdict {
    Verdict {
        outcome: Outcome::Undecided,
        rule: None,
        because,
        trace: Vec::new(),
        assumptions: Vec::new(),
        possible: Vec::new(),
        need: Some(need),
        to_port: None,
        through: None,
    }
}

/// One verdict of those for each interface.
fn combine(results: &[((Value, Value), Verdict)]) -> Verdict {
    let Some((_, first)) = results.first() else {
        return undecided("no interface to judge for".into(), Need::Other);
    };
    let same = |a: &Verdict, b: &Verdict| a.outcome.word() == b.outcome.word();
    if results.iter().all(|(_, v)| same(v, first)) {
        // Of equal verdicts the one for an interface the rules do not name says least about interfaces.
        let plain = results.iter().find(|((i, o), _)| {
            let other = |v: &Value| matches!(v, Value::Known(OTHER)) || !matches!(v, Value::Known(_));
            other(i) && (other(o) || *o == Value::Known(0))
        });
        let mut verdict = plain.map_or(first, |(_, v)| v).clone();
        let rejects: BTreeSet<Option<&str>> = results.iter().map(|(_, v)| reject_word(v.outcome)).collect();
        if rejects.len() > 1 && matches!(verdict.outcome, Outcome::Reject(_)) {
            verdict.outcome = Outcome::Reject(None);
        }
        verdict.to_port = verdict.to_port.filter(|p| results.iter().all(|(_, v)| v.to_port == Some(*p)));
        verdict.through = verdict.through.filter(|t| results.iter().all(|(_, v)| v.through == Some(*t)));
        return verdict;
    }
    differing(results)
}

fn reject_word(outcome: Outcome) -> Option<&'static str> {
    if let Outcome::Reject(Some(r)) = outcome { Some(r.word()) } else { None }
}

/// The verdict hangs on the interface: say how.
fn differing(results: &[((Value, Value), Verdict)]) -> Verdict {
    let varies = |pick: fn(&(Value, Value)) -> Value| {
        results.iter().map(|(k, _)| pick(k).bounds()).collect::<BTreeSet<_>>().len() > 1
    };
    // With both unknown, the incoming one is to blame if the verdict changes with it alone.
    let by_iif = varies(|k| k.0)
        && results.iter().any(|((i, o), v)| {
            results.iter().any(|((i2, o2), v2)| o == o2 && i != i2 && v.outcome.word() != v2.outcome.word())
        });
    let pick = |k: &(Value, Value)| if by_iif { k.0 } else { k.1 };
    // Where one side alone does not settle it, both are named.
    let both = by_iif
        && results.iter().any(|((i, o), v)| {
            results.iter().any(|((i2, o2), v2)| i == i2 && o != o2 && v.outcome.word() != v2.outcome.word())
        });
    let mut seen: Vec<(String, &Verdict)> = Vec::new();
    for (key, verdict) in results {
        if let Value::Known(bits) = pick(key) {
            let name = match key.1 {
                Value::Known(out) if both => format!("{} to {}", name_words(bits), name_words(out)),
                _ => name_words(bits),
            };
            if !seen.iter().any(|(n, v)| *n == name && v.outcome.word() == verdict.outcome.word()) {
                seen.push((name, verdict));
            }
        }
    }
    let (what, flag, need) = if by_iif {
        ("incoming", "`--in IFACE` would settle it", Need::IncomingInterface)
    } else {
        ("outgoing", "`--out IFACE` would settle it", Need::OutgoingInterface)
    };
    let flag = if both { "`--in IFACE` and `--out IFACE` would settle it" } else { flag };
    let mut words: Vec<String> =
        seen.iter().take(6).map(|(name, v)| format!("{name}: {}", v.outcome.word())).collect();
    if seen.len() > 6 {
        words.push("…".into());
    }
    let mut verdict =
        undecided(format!("it depends on the {what} interface ({}); {flag}", words.join(", ")), need);
    for (_, v) in &seen {
        if v.outcome == Outcome::Undecided {
            v.possible.iter().for_each(|p| add_possible(&mut verdict.possible, p));
        } else {
            add_possible(&mut verdict.possible, &(v.outcome, v.rule.clone()));
        }
    }
    verdict.assumptions = results[0].1.assumptions.clone();
    verdict
}

fn add_possible(list: &mut Vec<(Outcome, Option<RuleRef>)>, item: &(Outcome, Option<RuleRef>)) {
    if !list.iter().any(|(o, _)| *o == item.0) {
        list.push(item.clone());
    }
}

/// The verdict of one try, from the ends of all ways.
fn outcome_of(finals: &[Final]) -> Outcome {
    let mut outcomes = finals.iter().map(|f| f.outcome);
    let Some(first) = outcomes.next() else { return Outcome::Undecided };
    outcomes.fold(first, |acc, next| match (acc, next) {
        (a, b) if a == b => a,
        (Outcome::Reject(_), Outcome::Reject(_)) => Outcome::Reject(None),
        _ => Outcome::Undecided,
    })
}
