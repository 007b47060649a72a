//! Conditions and expressions against a packet at a place.

use super::state::{Place, State, rtn};
use crate::model::{Cond, Expr, Field, Op, Ruleset, SetRef, Table, Usual};
use crate::packet::{Address, CtState, Packet, addr_bits};
use crate::set::{Datum, SetData};
use crate::value::{Tri, Value, bits_name};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Hardware type of an Ethernet (linux/if_arp.h).
const ARPHRD_ETHER: u128 = 1;

/// All an expression can look at.
pub(super) struct Scope<'a> {
    pub(super) packet: &'a Packet,
    pub(super) rulesets: &'a [&'a Ruleset],
    pub(super) table: &'a Table,
    pub(super) place: &'a Place,
    pub(super) state: &'a State,
    /// Set when the way back to the source was asked for.
    pub(super) asked_way_back: &'a Cell<bool>,
    /// What was taken for granted.
    pub(super) assumed: &'a RefCell<BTreeSet<String>>,
}

impl<'a> Scope<'a> {
    pub(super) fn cond(&self, cond: &Cond) -> Tri {
        match cond {
            Cond::Never => Tri::No,
            Cond::Cmp(left, op, right) => self.compare(self.expr(left), *op, right),
            Cond::In(key, SetRef::Ipset(name), _) => self.ipset(key, name),
            Cond::In(key, set, negate) => {
                let Some(values) = self.key(key) else { return Tri::No };
                let found = self.contains(set, &values);
                if *negate { found.not() } else { found }
            }
            Cond::AnyBit(expr, mask, negate) => match self.expr(expr) {
                Value::Absent => Tri::No,
                value if *negate => value.any_bit(*mask).not(),
                value => value.any_bit(*mask),
            },
            Cond::Not(inner) => self.cond(inner).not(),
            Cond::All(list) => list.iter().fold(Tri::Yes, |acc, c| acc.and(self.cond(c))),
            Cond::Any(list) => list.iter().fold(Tri::No, |acc, c| acc.or(self.cond(c))),
            Cond::Unknown(_) => Tri::Maybe,
            Cond::Rate(holds, says) if self.packet.unhurried => {
                self.assume(says);
                (*holds).into()
            }
            Cond::Rate(..) => Tri::Maybe,
            Cond::Time(times) => {
                let holds = times.holds(self.packet.now);
                if let (Some(now), true) = (self.packet.now, holds != times.holds(None)) {
                    self.assume(&format!("it is {}", now.words()));
                }
                holds
            }
            Cond::Assumed(holds, says) => {
                self.assume(says);
                (*holds).into()
            }
        }
    }

    fn assume(&self, says: &str) {
        let mut all = self.assumed.borrow_mut();
        if !all.contains(says) {
            all.insert(says.to_owned());
        }
    }

    /// A set that rules change is as the listing shows it, until this packet's own way changes it.
    pub(super) fn contains(&self, set: &SetRef, values: &[Value]) -> Tri {
        if self.touched(set) {
            return Tri::Maybe;
        }
        let Some(data) = self.set(set) else { return Tri::Maybe };
        let found = data.contains(values);
        if let (true, SetRef::Named(name)) = (data.changing && found != Tri::Maybe, set) {
            self.assume(&format!("@{name}, which rules change, still holds what was listed"));
        }
        found
    }

    pub(super) fn touched(&self, set: &SetRef) -> bool {
        let (SetRef::Named(name) | SetRef::Ipset(name)) = set else { return false };
        self.state.touched.iter().any(|t| **t == **name)
    }

    /// The key holds address, port and interface for each direction; the set's type picks of them (ip_set_test).
    fn ipset(&self, key: &[Expr], name: &str) -> Tri {
        if self.state.touched.iter().any(|t| **t == *name) {
            return Tri::Maybe;
        }
        let found = self.rulesets.iter().find_map(|r| r.ipsets.get(name));
        if let Some(list) = found.filter(|s| !s.members.is_empty()) {
            // The kernel takes no list within a list.
            let plain = |m: &&String| {
                self.rulesets.iter().all(|r| r.ipsets.get(*m).is_none_or(|s| s.members.is_empty()))
            };
            let of = list.members.iter().filter(plain).map(|m| self.ipset(key, m));
            return of.fold(Tri::No, Tri::or);
        }
        let Some((set, layout)) = found.and_then(|s| Some((s, s.layout.as_ref()?))) else {
            return Tri::Maybe;
        };
        if layout.v6.is_some_and(|v6| v6 == self.packet.src.is_ipv4()) || layout.parts.len() * 3 > key.len() {
            return Tri::No;
        }
        let mut values = Vec::with_capacity(layout.parts.len());
        for (dimension, part) in layout.parts.iter().enumerate() {
            let Some(expr) = key.get(dimension * 3 + *part as usize) else { return Tri::Maybe };
            values.push(self.expr(expr));
        }
        let changes = self.rulesets.iter().any(|r| r.changed_ipsets.iter().any(|c| c == name));
        let found = set.contains(&values);
        if changes && found != Tri::Maybe {
            self.assume(&format!("the ipset {name}, which rules change, still holds what was saved"));
        }
        found
    }

    fn compare(&self, left: Value, op: Op, right: &Expr) -> Tri {
        if left == Value::Absent {
            return Tri::No;
        }
        if let Expr::Range(lo, hi) = right {
            let within = left.within(*lo, *hi);
            return match op {
                Op::Eq => within,
                Op::Ne => within.not(),
                _ => Tri::Maybe,
            };
        }
        let right = self.expr(right);
        if right == Value::Absent {
            return Tri::No;
        }
        match op {
            Op::Eq => left.equals(right),
            Op::Ne => left.equals(right).not(),
            Op::Lt => left.less(right),
            Op::Gt => right.less(left),
            Op::Le => right.less(left).not(),
            Op::Ge => left.less(right).not(),
        }
    }

    /// Whether it is known on which interface the address is that is dialled.
    fn interface_known(&self) -> bool {
        let addr = |a: &&Address| Value::Known(addr_bits(a.addr)) == self.state.daddr;
        self.packet.local.iter().flatten().find(addr).is_some_and(|a| a.dev.is_some())
    }

    pub(super) fn expr(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Const(n) => Value::Known(*n),
            Expr::Range(lo, hi) if lo == hi => Value::Known(*lo),
            Expr::Range(lo, hi) => Value::Range(*lo, *hi),
            Expr::Field(field) => {
                if *field == Field::ReversePath {
                    self.asked_way_back.set(true);
                }
                if *field == Field::Ttl {
                    self.assume("the packet arrives with 30 to 128 hops left, as from common systems");
                }
                if matches!(field, Field::Hour | Field::Weekday | Field::Date)
                    && let Some(now) = self.packet.now
                {
                    self.assume(&format!("it is {}", now.words()));
                }
                if let Some(known) = self.interface_kind(*field) {
                    return known;
                }
                // One who has only the rules: a host answers where its address is, but for odd set-ups.
                if *field == Field::DaddrTypeOnIface && self.state.to_us && !self.interface_known() {
                    self.assume("the interface it comes in on has the address that is dialled");
                    return Value::Known(rtn::LOCAL);
                }
                self.state.read(*field, self.place, self.packet)
            }
            Expr::And(a, b) => self.expr(a).and(self.expr(b)),
            Expr::Or(a, b) => self.expr(a).or(self.expr(b)),
            Expr::Xor(a, b) => self.expr(a).xor(self.expr(b)),
            Expr::Shl(a, b) => self.expr(a).shl(self.expr(b)),
            Expr::Shr(a, b) => self.expr(a).shr(self.expr(b)),
            Expr::Map(key, map) => self.map_value(key, map),
            Expr::Unknown(_) => Value::UNKNOWN,
            Expr::Between(_, lo, hi) => Value::Range(*lo, *hi),
            Expr::With(others, value) => {
                if others.iter().any(|e| self.expr(e) == Value::Absent) {
                    Value::Absent
                } else {
                    self.expr(value)
                }
            }
            Expr::Usual(usual) => self.usual(usual),
        }
    }

    fn usual(&self, usual: &Usual) -> Value {
        let mut tables = self.rulesets.iter().flat_map(|r| &r.tables);
        let changed = usual.unless.is_some_and(|c| tables.any(|t| t.changes.contains(&c)));
        if changed || (self.packet.state != CtState::New && !usual.later) {
            return Value::UNKNOWN;
        }
        self.assume(usual.says);
        if usual.first == usual.last {
            Value::Known(usual.first)
        } else {
            Value::Range(usual.first, usual.last)
        }
    }

    /// The type of an interface by its name: of a tunnel there are too many, all else is an Ethernet.
    fn interface_kind(&self, field: Field) -> Option<Value> {
        let of = match field {
            Field::IifType => Field::IifName,
            Field::OifType => Field::OifName,
            _ => return None,
        };
        let value = self.state.read(field, self.place, self.packet);
        let Value::Known(bits) = self.state.read(of, self.place, self.packet) else { return None };
        if matches!(value, Value::Absent | Value::Known(_)) || is_tunnel(&bits_name(bits)) {
            return None;
        }
        self.assume("the interface is an Ethernet, by its name");
        Some(Value::Known(ARPHRD_ETHER))
    }

    /// The one value behind the key; a missing entry ends the rule, like an absent field.
    fn map_value(&self, key: &[Expr], map: &SetRef) -> Value {
        let Some(values) = self.key(key) else { return Value::Absent };
        let settled = |m: &&SetData| m.unknown.is_none() && !self.touched(map);
        let Some(map) = self.set(map).filter(settled) else { return Value::UNKNOWN };
        let hits = map.find(&values);
        match (hits.data.as_slice(), hits.may_miss) {
            ([], _) => Value::Absent,
            ([Datum::Values(v)], false) => match v.as_slice() {
                [(lo, hi)] if lo == hi => Value::Known(*lo),
                [(lo, hi)] => Value::Range(*lo, *hi),
                _ => Value::UNKNOWN,
            },
            _ => Value::UNKNOWN,
        }
    }

    /// Address and port behind the key of a map of both.
    pub(super) fn map_pair(&self, key: &[Expr], map: &SetRef) -> (Value, Value) {
        let Some(values) = self.key(key) else { return (Value::Absent, Value::Absent) };
        let unknown = (Value::UNKNOWN, Value::Range(0, 65535));
        let settled = |m: &&SetData| m.unknown.is_none() && !self.touched(map);
        let Some(map) = self.set(map).filter(settled) else { return unknown };
        let hits = map.find(&values);
        let one = |(lo, hi): (u128, u128)| if lo == hi { Value::Known(lo) } else { Value::Range(lo, hi) };
        match (hits.data.as_slice(), hits.may_miss) {
            ([], _) => (Value::Absent, Value::Absent),
            ([Datum::Values(v)], false) => match v.as_slice() {
                [addr, port] => (one(*addr), one(*port)),
                [addr] => (one(*addr), self.state.dport),
                _ => unknown,
            },
            _ => unknown,
        }
    }

    /// The joined fields; `None` if the packet lacks one of them.
    pub(super) fn key(&self, key: &[Expr]) -> Option<Vec<Value>> {
        let values: Vec<Value> = key.iter().map(|e| self.expr(e)).collect();
        if values.contains(&Value::Absent) { None } else { Some(values) }
    }

    pub(super) fn set<'s>(&'s self, set: &'s SetRef) -> Option<&'s SetData> {
        match set {
            SetRef::Anonymous(data) => Some(data),
            SetRef::Named(name) => self.table.sets.get(name).map(Arc::as_ref),
            SetRef::Ipset(name) => self.rulesets.iter().find_map(|r| r.ipsets.get(name)).map(Arc::as_ref),
        }
    }

    /// What of the condition is not known, in words.
    pub(super) fn why(&self, cond: &Cond) -> String {
        let mut parts = Vec::new();
        self.unknowns(cond, &mut parts);
        parts.dedup();
        if parts.is_empty() { "a part of the rule".into() } else { parts.join(" and ") }
    }

    fn unknowns(&self, cond: &Cond, out: &mut Vec<String>) {
        match cond {
            Cond::Never => {}
            Cond::Cmp(left, _, right) => {
                self.unknown_expr(left, out);
                self.unknown_expr(right, out);
            }
            Cond::In(key, set, _) => {
                if !matches!(set, SetRef::Ipset(_)) {
                    key.iter().for_each(|e| self.unknown_expr(e, out));
                }
                match (self.set(set), set) {
                    (_, SetRef::Named(name)) if self.touched(set) => {
                        out.push(format!("the content of @{name}, which a rule before changes"));
                    }
                    (_, SetRef::Ipset(name)) => {
                        out.push(format!("the content of ipset {name} (`ipset save` shows it)"));
                    }
                    (Some(data), _) => {
                        out.extend(data.unknown.clone());
                        if data.limits {
                            out.push("a limit kept with the element".into());
                        }
                    }
                    (None, SetRef::Named(name)) => out.push(format!("the content of set @{name}")),
                    (None, SetRef::Anonymous(_)) => {}
                }
            }
            Cond::AnyBit(expr, ..) => self.unknown_expr(expr, out),
            Cond::Not(inner) => self.unknowns(inner, out),
            Cond::All(list) | Cond::Any(list) => {
                list.iter().filter(|c| self.cond(c) == Tri::Maybe).for_each(|c| self.unknowns(c, out));
            }
            Cond::Unknown(why) => out.push(why.clone()),
            Cond::Rate(..) => out.push("a rate limit".into()),
            Cond::Time(_) => out.push("the time of day".into()),
            Cond::Assumed(..) => {}
        }
    }

    pub(super) fn unknown_expr(&self, expr: &Expr, out: &mut Vec<String>) {
        match expr {
            Expr::Const(_) | Expr::Range(..) => {}
            Expr::Field(field) => {
                if !matches!(self.expr(expr), Value::Known(_) | Value::Absent) {
                    out.push(field_words(*field).into());
                }
            }
            Expr::And(a, b) | Expr::Or(a, b) | Expr::Xor(a, b) | Expr::Shl(a, b) | Expr::Shr(a, b) => {
                self.unknown_expr(a, out);
                self.unknown_expr(b, out);
            }
            Expr::Map(key, map) => {
                key.iter().for_each(|e| self.unknown_expr(e, out));
                if let Some(data) = self.set(map) {
                    out.extend(data.unknown.clone());
                }
            }
            Expr::Unknown(what) | Expr::Between(what, ..) => out.push(what.clone()),
            Expr::With(others, value) => {
                others.iter().chain([&**value]).for_each(|e| self.unknown_expr(e, out));
            }
            Expr::Usual(usual) => {
                if !matches!(self.usual(usual), Value::Known(_)) {
                    out.push(usual.what.to_owned());
                }
            }
        }
    }
}

/// Beginnings of the names that tunnels and dialled lines have.
const TUNNELS: [&str; 13] =
    ["tun", "tap", "ppp", "wg", "gre", "ipip", "sit", "vti", "ip6tnl", "xfrm", "tailscale", "nebula", "zt"];

fn is_tunnel(name: &str) -> bool {
    TUNNELS.iter().any(|t| name.starts_with(t))
}

fn field_words(field: Field) -> &'static str {
    match field {
        Field::Sport | Field::CtOrigSport => "the client's source port",
        Field::IifName => "the incoming interface",
        Field::OifName => "the outgoing interface",
        Field::Mark => "the packet's mark",
        Field::CtMark => "the connection's mark",
        Field::CtBytes | Field::CtPackets => "how much the connection has carried",
        Field::CtStatus => "the connection's status",
        Field::Uid | Field::Gid => "the owner of the sending socket",
        Field::DaddrTypeOnIface => "the interface that carries the address",
        Field::ReversePath | Field::WayBack => "the way back to the source",
        Field::PktType => "the packet's type",
        Field::IifType => "the type of the incoming interface",
        Field::OifType => "the type of the outgoing interface",
        Field::Hour | Field::Weekday | Field::Date => "the time of day",
        Field::Mac => "the hardware address of the sender",
        Field::Cgroup => "the control group of the sending socket",
        Field::Length => "the packet's length",
        Field::Ttl => "the hops that the packet may still go",
        Field::FragOff => "whether the packet may be fragmented",
        Field::Mss => "the largest segment that the client announces",
        Field::TcpFlags => "the TCP flags",
        Field::Saddr | Field::SaddrV4 | Field::SaddrV6 => "the translated source address",
        Field::Daddr | Field::DaddrV4 | Field::DaddrV6 => "the translated destination address",
        Field::Dport => "the translated port",
        _ => "a field of the packet",
    }
}
