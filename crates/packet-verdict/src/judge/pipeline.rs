//! The hooks a packet meets, in the kernel's order, and what comes out behind the last.

use super::state::{CONNTRACK, Place, State};
use super::walk::{At, End, Event, Exit, POLICY, PathId, Walker};
use super::{Need, Outcome, Passed, RuleRef, Verdict, outcome_of};
use crate::model::{Base, Family, HookPoint, Kind, Ruleset};
use crate::packet::{CtState, Hook, Packet, addr_bits};
use crate::value::{Value, bits_name, name_bits};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the kernel calls all nat chains, whatever their own priority (NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC).
const NAT_DST: i32 = -100;
const NAT_SRC: i32 = 100;
/// Steps shown of a way.
const TRACE: usize = 200;

pub(super) struct Final {
    pub(super) outcome: Outcome,
    /// Why nothing can be said, for [`Outcome::Undecided`].
    lost: Option<&'static str>,
    path: PathId,
    at: Option<At>,
    /// Accepted for this host, at another port than the one written in it.
    to_port: Option<u16>,
    /// On its way to another host that a nat rule chose.
    through: Option<(IpAddr, u16)>,
}

pub(super) struct Pipeline<'a> {
    packet: &'a Packet,
    rulesets: &'a [&'a Ruleset],
    walker: Walker<'a>,
    iif: Value,
    oif: Value,
    assumptions: Vec<String>,
    /// Decides between chains of equal priority in different rule sets, whose order no listing shows.
    reversed: bool,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        packet: &'a Packet,
        rulesets: &'a [&'a Ruleset],
        iif: Value,
        oif: Value,
        budget: u64,
    ) -> Self {
        let walker = Walker::new(packet, rulesets, budget);
        Self { packet, rulesets, walker, iif, oif, assumptions: Vec::new(), reversed: false }
    }

    pub(super) fn budget_left(&self) -> u64 {
        self.walker.budget_left()
    }

    pub(super) fn run(&mut self) -> Vec<Final> {
        let mut finals = self.through();
        if self.rulesets.iter().filter(|r| !r.tables.is_empty()).count() > 1 {
            self.reversed = true;
            finals.extend(self.through());
            self.reversed = false;
        }
        finals
    }

    fn through(&mut self) -> Vec<Final> {
        let mut start = State::start(self.packet, self.oif);
        if self.packet.hook == Hook::Forward {
            self.find_oif(&mut start, Some(self.packet.dst));
        }
        let mut finals = Vec::new();
        let live = vec![(start, 0 as PathId)];
        if self.packet.hook == Hook::Output {
            let live = self.hook(HookPoint::Output, live, &mut finals);
            let live = self.reroute_output(live);
            let live = self.hook(HookPoint::Postrouting, live, &mut finals);
            let live = self.hook(HookPoint::Egress, live, &mut finals);
            self.accept(live, &mut finals);
            return finals;
        }
        let live = self.hook(HookPoint::Ingress, live, &mut finals);
        let live = self.hook(HookPoint::Prerouting, live, &mut finals);
        let (ours, passing) = self.route(live, &mut finals);
        let ours = self.hook(HookPoint::Input, ours, &mut finals);
        self.accept(ours, &mut finals);
        let passing = self.hook(HookPoint::Forward, passing, &mut finals);
        let passing = self.hook(HookPoint::Postrouting, passing, &mut finals);
        let passing = self.hook(HookPoint::Egress, passing, &mut finals);
        self.accept(passing, &mut finals);
        finals
    }

    /// All base chains of one hook; what passes them all comes back.
    fn hook(
        &mut self,
        hook: HookPoint,
        mut live: Vec<(State, PathId)>,
        finals: &mut Vec<Final>,
    ) -> Vec<(State, PathId)> {
        if live.is_empty() {
            return live;
        }
        for (at, priority, nat) in self.chains(hook) {
            let place = Place { hook, priority, iif: self.iif, ours: self.packet.hook == Hook::Output };
            let mut next: Vec<(State, PathId)> = Vec::new();
            for (state, path) in live {
                if nat && (state.untracked || (state.dst_done && dst_hook(hook))) {
                    add(&mut next, state, path);
                    continue;
                }
                if let Some(doubt) = self.device_doubt(at) {
                    match doubt {
                        Doubt::Other => {
                            add(&mut next, state, path);
                            continue;
                        }
                        Doubt::Unknown => {
                            let why = "the device of the ingress chain";
                            let path = self.walker.step(path, at, Event::Supposed(false, why.into()));
                            add(&mut next, state.clone(), path);
                        }
                    }
                }
                for exit in self.walker.base(at, &place, &state, path) {
                    self.leave(exit, nat, &mut next, finals);
                }
            }
            live = next;
        }
        live
    }

    /// A later packet of a connection does not meet the nat chains: it is translated as the first one was.
    fn leave(&mut self, exit: Exit, nat: bool, next: &mut Vec<(State, PathId)>, finals: &mut Vec<Final>) {
        let known = nat && self.packet.state != CtState::New;
        let outcome = match exit.end {
            End::Accept | End::Return => return add(next, exit.state, exit.path),
            End::Drop | End::Reject(_) | End::Lost(_) if known => return,
            End::Drop => Outcome::Drop,
            End::Reject(how) => Outcome::Reject(how),
            End::Lost(_) => Outcome::Undecided,
        };
        let lost = if let End::Lost(why) = exit.end { Some(why) } else { None };
        let at = self.walker.steps(exit.path, 1).last().map(|(at, _)| *at);
        let through = self.sent_on(&exit.state);
        add_final(finals, Final { outcome, lost, path: exit.path, at, to_port: None, through });
    }

    /// Base chains of a hook by priority. Of equal ones the kernel asks the one registered last first
    /// (nf_hook_entries_grow); a listing shows the oldest first.
    fn chains(&self, hook: HookPoint) -> Vec<(At, i32, bool)> {
        let v4 = self.packet.src.is_ipv4();
        let mut found = Vec::new();
        for (r, ruleset) in self.rulesets.iter().enumerate() {
            for (t, table) in ruleset.tables.iter().enumerate() {
                let sees = match table.family {
                    Family::Ip => v4,
                    Family::Ip6 => !v4,
                    Family::Inet => true,
                    Family::Netdev => matches!(hook, HookPoint::Ingress | HookPoint::Egress),
                    Family::Other => false,
                };
                if !sees || table.dormant {
                    continue;
                }
                for (c, chain) in table.chains.iter().enumerate() {
                    if let Some(base) = chain.base.as_ref().filter(|b| b.hook == hook) {
                        let at = At { ruleset: r, table: t, chain: c, rule: 0 };
                        found.push((at, at_priority(base), base.priority, base.nat));
                    }
                }
            }
        }
        let order = |at: &At| {
            let ruleset = if self.reversed { usize::MAX - at.ruleset } else { at.ruleset };
            (ruleset, std::cmp::Reverse((at.table, at.chain)))
        };
        found.sort_by_key(|(at, effective, own, _)| (*effective, *own, order(at)));
        found.into_iter().map(|(at, effective, _, nat)| (at, effective, nat)).collect()
    }

    /// Whether a netdev chain sits on another device, or on one that is not known.
    fn device_doubt(&self, at: At) -> Option<Doubt> {
        let base = self.rulesets[at.ruleset].tables[at.table].chains[at.chain].base.as_ref()?;
        let device = match base.hook {
            HookPoint::Ingress => self.iif,
            HookPoint::Egress => self.oif,
            _ => return None,
        };
        match device {
            Value::Known(bits) if !base.devices.is_empty() => {
                let here = base.devices.iter().any(|d| name_bits(d) == Some(bits));
                if here { None } else { Some(Doubt::Other) }
            }
            _ => Some(Doubt::Unknown),
        }
    }

    /// Behind PREROUTING the kernel asks where the destination, translated or not, lives.
    fn route(&mut self, live: Vec<(State, PathId)>, finals: &mut Vec<Final>) -> (Ways, Ways) {
        let (mut ours, mut passing) = (Vec::new(), Vec::new());
        for (mut state, path) in live {
            if !state.dnat {
                let to = if state.to_us { &mut ours } else { &mut passing };
                to.push((state, path));
                continue;
            }
            let target = self.address(state.daddr);
            if target.is_some_and(|a| a.is_loopback()) && !state.redirected && !self.packet.loops() {
                // Only with route_localnet does a packet from outside reach 127.0.0.1.
                finals.push(Final {
                    outcome: Outcome::Undecided,
                    lost: Some("the packet is translated to a loopback address, which net.ipv4.conf.*.route_localnet must allow"),
                    path,
                    at: None,
                    to_port: None,
                    through: None,
                });
                continue;
            }
            match self.is_ours(&state, target) {
                Some(true) => {
                    state.to_us = true;
                    ours.push((state, path));
                }
                Some(false) => {
                    state.to_us = false;
                    self.find_oif(&mut state, target);
                    passing.push((state, path));
                }
                None => {
                    let mut other = state.clone();
                    state.to_us = true;
                    ours.push((state, path));
                    other.to_us = false;
                    passing.push((other, path));
                }
            }
        }
        (ours, passing)
    }

    fn is_ours(&mut self, state: &State, target: Option<IpAddr>) -> Option<bool> {
        if state.redirected {
            return Some(true);
        }
        let target = target?;
        if target == self.packet.dst {
            return Some(self.packet.hook == Hook::Input);
        }
        if self.packet.has_local(target) {
            return Some(true);
        }
        if self.packet.local.is_none() {
            // A neighbour of the address dialled may as well be another one of this host; so may any, for what passes it.
            let near = if target.is_ipv4() { 24 } else { 64 };
            let passes = self.packet.hook == Hook::Forward;
            if (passes || crate::packet::prefix_holds(self.packet.dst, near, target))
                && crate::combine::behind(self.rulesets, addr_bits(target)).is_none()
            {
                return None;
            }
            self.assume(format!("{target} is another host"));
        }
        Some(false)
    }

    fn find_oif(&mut self, state: &mut State, target: Option<IpAddr>) {
        if self.packet.routes.is_empty()
            && self.packet.oif.is_none()
            && let Some(target) = target
            && let Some(bits) = crate::combine::behind(self.rulesets, addr_bits(target))
        {
            state.oif = Value::Known(bits);
            self.assume(format!("{target} is behind {}, as a rule has it", bits_name(bits)));
            return;
        }
        if !matches!(self.oif, Value::Known(_))
            && let Some(bits) = target.and_then(|t| self.packet.route_dev(t)).and_then(name_bits)
        {
            state.oif = Value::Known(bits);
        }
    }

    fn reroute_output(&mut self, mut live: Vec<(State, PathId)>) -> Vec<(State, PathId)> {
        for (state, _) in live.iter_mut().filter(|(s, _)| s.dnat) {
            let target = self.address(state.daddr);
            if state.redirected || target.is_some_and(|t| self.packet.has_local(t)) {
                state.oif = name_bits("lo").map_or(Value::UNKNOWN, Value::Known);
            } else {
                state.oif = Value::UNKNOWN;
                self.find_oif(state, target);
            }
        }
        live
    }

    fn address(&self, value: Value) -> Option<IpAddr> {
        let Value::Known(bits) = value else { return None };
        if self.packet.src.is_ipv4() {
            Some(IpAddr::V4(Ipv4Addr::from(u32::try_from(bits).ok()?)))
        } else {
            Some(IpAddr::V6(Ipv6Addr::from(bits)))
        }
    }

    /// Where a nat rule sends it, if that is another host.
    fn sent_on(&self, state: &State) -> Option<(IpAddr, u16)> {
        let to = self.address(state.daddr).filter(|_| state.dnat && !state.redirected)?;
        let Value::Known(port) = state.dport else { return None };
        (!self.packet.has_local(to) && to != self.packet.dst).then_some((to, u16::try_from(port).ok()?))
    }

    fn accept(&self, live: Ways, finals: &mut Vec<Final>) {
        let port = |state: &State| match state.dport {
            Value::Known(bits) if state.dnat => u16::try_from(bits).ok(),
            _ => None,
        };
        let here = |state: &State| port(state).filter(|_| state.to_us);
        let there = |state: &State| self.sent_on(state);
        let first = live.first().map(|(state, _)| (here(state), there(state)));
        let (to_port, through) = first.unwrap_or_default();
        let to_port = to_port.filter(|p| live.iter().all(|(state, _)| here(state) == Some(*p)));
        let through = through.filter(|t| live.iter().all(|(state, _)| there(state) == Some(*t)));
        for (_, path) in live.into_iter().take(1) {
            let accepted = Final { outcome: Outcome::Accept, lost: None, path, at: None, to_port, through };
            add_final(finals, accepted);
        }
    }

    fn assume(&mut self, says: String) {
        if !self.assumptions.contains(&says) {
            self.assumptions.push(says);
        }
    }

    pub(super) fn summarise(&mut self, finals: &[Final]) -> Verdict {
        if self.walker.asked_way_back.get() && self.packet.reverse_path.is_none() {
            let src = self.packet.src;
            self.assume(format!("the way back to {src} leaves by the interface the packet came in on"));
        }
        for says in self.walker.assumed.take() {
            self.assume(says);
        }
        let outcome = outcome_of(finals);
        let mut verdict = Verdict {
            outcome,
            rule: None,
            because: String::new(),
            trace: Vec::new(),
            assumptions: self.assumptions.clone(),
            possible: Vec::new(),
            need: None,
            to_port: None,
            through: None,
        };
        if outcome == Outcome::Undecided {
            self.explain_undecided(finals, &mut verdict);
            return verdict;
        }
        let Some(main) = finals.first() else { return verdict };
        verdict.trace = self.trace(main.path);
        let port = main.to_port.filter(|p| finals.iter().all(|f| f.to_port == Some(*p)));
        verdict.to_port = port.filter(|p| outcome == Outcome::Accept && *p != self.packet.dport);
        let through = main.through.filter(|t| finals.iter().all(|f| f.through == Some(*t)));
        verdict.through = through;
        verdict.rule = self.deciding(main).map(|at| self.rule_ref(at));
        verdict.because = self.words(&verdict, finals);
        verdict
    }

    fn explain_undecided(&self, finals: &[Final], verdict: &mut Verdict) {
        for f in finals {
            if f.outcome != Outcome::Undecided && !verdict.possible.iter().any(|(o, _)| *o == f.outcome) {
                verdict.possible.push((f.outcome, self.deciding(f).map(|at| self.rule_ref(at))));
            }
        }
        if let Some(why) = finals.iter().find_map(|f| f.lost) {
            verdict.because = why.into();
            verdict.need = Some(Need::Other);
            return;
        }
        // The first rule taken to match on one way and not on another is what the outcome hangs on.
        let ways: Vec<_> = finals.iter().map(|f| self.walker.steps(f.path, usize::MAX)).collect();
        for (n, way) in ways.iter().enumerate() {
            for other in &ways[n + 1..] {
                let split = way.iter().zip(other).position(|(a, b)| !same_step(a, b));
                let at = split.unwrap_or_else(|| way.len().min(other.len()));
                for (at, event) in way.get(at).into_iter().chain(other.get(at)) {
                    if let Event::Supposed(_, why) = event {
                        let rule = self.rule_ref(*at);
                        let need = match why.as_ref() {
                            w if w.contains("incoming interface") => Need::IncomingInterface,
                            w if w.contains("outgoing interface") => Need::OutgoingInterface,
                            _ => Need::Other,
                        };
                        verdict.because = format!("whether `{}` matches depends on {why}", rule.text);
                        verdict.rule = Some(rule);
                        verdict.need = Some(need);
                        return;
                    }
                }
            }
        }
        // Ways that were joined hide where they parted: then any rule that was supposed to match, or not to.
        if self.rulesets.iter().filter(|r| !r.tables.is_empty()).count() < 2
            && let Some((at, why)) = ways.iter().flatten().find_map(|(at, event)| match event {
                Event::Supposed(_, why) => Some((*at, why)),
                _ => None,
            })
        {
            let rule = self.rule_ref(at);
            verdict.because = format!("whether `{}` matches depends on {why}", rule.text);
            verdict.rule = Some(rule);
            verdict.need = Some(Need::Other);
            return;
        }
        verdict.because = "the order of two chains of equal priority decides, and no listing shows it".into();
        verdict.need = Some(Need::Other);
    }

    /// The rule that ended the way; for an accept the one at the packet's own hook, not a later formality.
    fn deciding(&self, f: &Final) -> Option<At> {
        if f.outcome != Outcome::Accept {
            return f.at;
        }
        let ends: Vec<At> = self
            .walker
            .steps(f.path, usize::MAX)
            .into_iter()
            .filter(|(at, event)| matches!(event, Event::Ended) && self.is_filter(*at))
            .map(|(at, _)| at)
            .collect();
        ends.iter().rev().find(|at| at.rule != POLICY).or(ends.last()).copied()
    }

    fn is_filter(&self, at: At) -> bool {
        let table = &self.rulesets[at.ruleset].tables[at.table];
        let nat = table.xt && table.name != "filter";
        !nat && table.chains[at.chain].base.as_ref().is_none_or(|b| {
            matches!(b.hook, HookPoint::Input | HookPoint::Forward | HookPoint::Output) && !b.nat
        })
    }

    fn words(&self, verdict: &Verdict, finals: &[Final]) -> String {
        let others = finals.iter().skip(1).filter(|f| f.at.is_some() && f.at != finals[0].at).count();
        match &verdict.rule {
            None => "no rule concerns this connection".into(),
            Some(rule) => {
                let mut says = format!("{} in {} {}", rule.subject(), rule.table_words(), rule.chain);
                if let Some(owner) = &rule.owner {
                    says = format!("{says} ({owner})");
                }
                if others > 0 {
                    says = format!("{says}, or another rule with the same result");
                }
                says
            }
        }
    }

    fn trace(&self, path: PathId) -> Vec<Passed> {
        let steps = self.walker.steps(path, TRACE);
        steps
            .into_iter()
            .map(|(at, event)| Passed {
                rule: self.rule_ref(at),
                says: match event {
                    Event::Jumped => "calls a chain".into(),
                    Event::Ended => "decides".into(),
                    Event::Translated => "translates the address".into(),
                    Event::Marked => "sets a mark".into(),
                    Event::Supposed(true, why) => format!("may match, depending on {why}"),
                    Event::Supposed(false, why) => format!("may not match, depending on {why}"),
                },
            })
            .collect()
    }

    fn rule_ref(&self, at: At) -> RuleRef {
        rule_ref(self.rulesets[at.ruleset], at.table, at.chain, at.rule)
    }
}

/// The rule, or the chain's policy, as the reader knows it.
pub(super) fn rule_ref(ruleset: &Ruleset, table: usize, chain: usize, rule: usize) -> RuleRef {
    let table = &ruleset.tables[table];
    let chain = &table.chains[chain];
    let family = super::family_word(table.family);
    let mut out = RuleRef {
        source: ruleset.label.clone(),
        family,
        table: table.name.clone(),
        chain: chain.name.clone(),
        text: String::new(),
        comment: None,
        handle: None,
        packets: None,
        line: 0,
        column: 0,
        policy: false,
        xt: table.xt,
        owner: None,
    };
    if let Some(rule) = chain.rules.get(rule) {
        out.text.clone_from(&rule.text);
        out.comment.clone_from(&rule.comment);
        (out.handle, out.packets) = (rule.handle, rule.packets);
        (out.line, out.column) = (rule.line, rule.column);
    } else if let Some(base) = &chain.base {
        out.policy = true;
        out.packets = base.packets;
        (out.line, out.column) = (base.line, base.column);
        let word = if base.accept { "accept" } else { "drop" };
        out.text = match ruleset.kind {
            Kind::Nft => format!("policy {word}"),
            _ => format!("-P {} {}", chain.name, word.to_uppercase()),
        };
    }
    out.owner = crate::owner::owner(table, chain, rule);
    out
}

type Ways = Vec<(State, PathId)>;

enum Doubt {
    Other,
    Unknown,
}

impl RuleRef {
    fn subject(&self) -> String {
        if self.policy { "the policy".into() } else { format!("`{}`", self.text) }
    }
}

fn dst_hook(hook: HookPoint) -> bool {
    matches!(hook, HookPoint::Prerouting | HookPoint::Output)
}

fn at_priority(base: &Base) -> i32 {
    match base.hook {
        _ if !base.nat => base.priority,
        HookPoint::Prerouting | HookPoint::Output => NAT_DST,
        _ => NAT_SRC,
    }
}

fn same_step(a: &(At, &Event), b: &(At, &Event)) -> bool {
    a.0 == b.0
        && match (a.1, b.1) {
            (Event::Supposed(x, _), Event::Supposed(y, _)) => x == y,
            (x, y) => std::mem::discriminant(x) == std::mem::discriminant(y),
        }
}

fn add(live: &mut Ways, state: State, path: PathId) {
    if !live.iter().any(|(s, _)| *s == state) {
        live.push((state, path));
    }
}

/// A few ways to the same outcome are enough to say whether one rule or several give it.
fn add_final(finals: &mut Vec<Final>, new: Final) {
    if finals.iter().filter(|f| f.outcome == new.outcome).count() < 4 {
        finals.push(new);
    }
}

const _: () = assert!(CONNTRACK < NAT_DST);
