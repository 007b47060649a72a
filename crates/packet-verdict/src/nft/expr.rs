//! nft's expressions and matches, from their JSON.

use super::types::Type;
use crate::judge::rtn;
use crate::model::{Cond, Expr, Field, Op, SetRef};
use crate::set::{Datum, SetBuilder};
use crate::value::name_bits;
use serde_json::Value as Json;
use std::sync::Arc;

/// An expression and the type its constants have.
pub(super) type Typed = (Expr, Type);

fn text(json: &Json, key: &str) -> String {
    json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn unknown(what: impl Into<String>) -> Typed {
    (Expr::Unknown(what.into()), Type::Other)
}

/// One key: an object's only entry.
pub(super) fn single(json: &Json) -> Option<(&str, &Json)> {
    let map = json.as_object().filter(|m| m.len() == 1)?;
    map.iter().next().map(|(k, v)| (k.as_str(), v))
}

/// The fields of a key: one, or several joined.
pub(super) fn key(json: &Json) -> Vec<Typed> {
    match single(json) {
        Some(("concat", Json::Array(parts))) => parts.iter().map(expr).collect(),
        _ => vec![expr(json)],
    }
}

/// Anything that is read from the packet or computed from it.
pub(super) fn expr(json: &Json) -> Typed {
    let Some((kind, body)) = single(json) else { return unknown("an expression that is not understood") };
    match kind {
        "payload" => payload(body),
        "meta" => meta(body),
        "ct" => ct(body),
        "fib" => fib(body),
        "&" | "|" | "^" | "<<" | ">>" => bitwise(kind, body),
        "map" => map(body),
        "elem" => body.get("val").map_or_else(|| unknown("an element"), expr),
        "rt" => unknown("the route"),
        "socket" => unknown("the socket that takes it"),
        // The SYN of a client carries no extension header and no option of IP.
        "exthdr" => missing(body, Field::SaddrV6),
        "ip option" => missing(body, Field::SaddrV4),
        "tcp option" if text(body, "name") == "maxseg" && text(body, "field") == "size" => {
            (Expr::Field(Field::Mss), Type::Number)
        }
        "jhash" => {
            let there =
                body.get("expr").map_or_else(Vec::new, |e| key(e).into_iter().map(|(e, _)| e).collect());
            let (hash, ty) = modulo(body, "a hash of the packet");
            (Expr::With(there, Box::new(hash)), ty)
        }
        "tcp option" | "sctp chunk" | "dccp option" => unknown(format!("a {kind}")),
        "numgen" => modulo(body, "a number generator"),
        "symhash" => modulo(body, "a hash of the packet"),
        "osf" => unknown("the client's operating system"),
        "ipsec" => unknown("IPsec"),
        other => unknown(format!("`{other}`, which is not understood")),
    }
}

/// Of unknown value, but there only if the other field is.
fn with(field: Field, what: &str) -> Typed {
    (only_if(field, Expr::Unknown(what.into())), Type::Number)
}

/// The same of any expression.
fn only_if(field: Field, value: Expr) -> Expr {
    Expr::With(vec![Expr::Field(field)], Box::new(value))
}

/// DSCP: the upper six bits of the class of service; ECN: the lower two. Both are 0 together.
fn class_of_service(family: Field, ty: Type) -> Typed {
    (only_if(family, crate::usual::tos()), ty)
}

/// A part of a header that the packet does not have: asked whether it exists, it does not; else the rule ends.
fn missing(body: &Json, family: Field) -> Typed {
    let field =
        if body.get("field").is_some() { Expr::Field(Field::Foreign) } else { constant_with(family, 0) };
    (field, Type::Number)
}

/// `numgen … mod 4 offset 10` yields 10 to 13.
fn modulo(body: &Json, what: &str) -> Typed {
    let number = |key: &str| body.get(key).and_then(Json::as_u64).map(u128::from);
    match (number("mod"), number("offset").unwrap_or(0)) {
        (Some(n), first) if n > 0 => (Expr::Between(what.into(), first, first + n - 1), Type::Number),
        _ => unknown(what),
    }
}

fn payload(body: &Json) -> Typed {
    let (protocol, field) = (text(body, "protocol"), text(body, "field"));
    let f = |field, ty| (Expr::Field(field), ty);
    match (protocol.as_str(), field.as_str()) {
        ("ip", "saddr") => f(Field::SaddrV4, Type::Ipv4),
        ("ip", "daddr") => f(Field::DaddrV4, Type::Ipv4),
        ("ip6", "saddr") => f(Field::SaddrV6, Type::Ipv6),
        ("ip6", "daddr") => f(Field::DaddrV6, Type::Ipv6),
        ("ip", "protocol") => (only_with(Field::SaddrV4, Field::L4Proto), Type::Proto),
        ("ip6", "nexthdr") => (only_with(Field::SaddrV6, Field::L4Proto), Type::Proto),
        ("ip", "frag-off") => f(Field::FragOff, Type::Number),
        ("ip", "length") => (only_with(Field::SaddrV4, Field::Length), Type::Number),
        ("ip", "version") => (constant_with(Field::SaddrV4, 4), Type::Number),
        ("ip6", "version") => (constant_with(Field::SaddrV6, 6), Type::Number),
        ("ip", "ttl") => (only_with(Field::SaddrV4, Field::Ttl), Type::Number),
        ("ip6", "hoplimit") => (only_with(Field::SaddrV6, Field::Ttl), Type::Number),
        ("ip", "hdrlength") => (constant_with(Field::SaddrV4, 5), Type::Number),
        ("ip", "dscp") => class_of_service(Field::SaddrV4, Type::Dscp),
        ("ip6", "dscp") => class_of_service(Field::SaddrV6, Type::Dscp),
        ("ip", "ecn") => class_of_service(Field::SaddrV4, Type::Ecn),
        ("ip6", "ecn") => class_of_service(Field::SaddrV6, Type::Ecn),
        ("ip", name) => with(Field::SaddrV4, &format!("ip {name}")),
        ("ip6", name) => with(Field::SaddrV6, &format!("ip6 {name}")),
        ("tcp" | "th", "sport") => f(Field::Sport, Type::Port),
        ("tcp" | "th", "dport") => f(Field::Dport, Type::Port),
        ("tcp", "flags") => f(Field::TcpFlags, Type::TcpFlags),
        ("tcp" | "th", name) => {
            let field = crate::usual::tcp_field(name);
            (field.unwrap_or_else(|| Expr::Unknown(format!("tcp {name}"))), Type::Number)
        }
        // Only behind a device that has such headers, and before they are taken off.
        ("ether", "type") => (only_with(Field::Mac, Field::EtherType), Type::EtherProto),
        ("ether", "saddr") => f(Field::Mac, Type::Ether),
        ("ether", name) => (only_if(Field::Mac, Expr::Unknown(format!("ether {name}"))), Type::Ether),
        (
            "udp" | "udplite" | "dccp" | "sctp" | "icmp" | "icmpv6" | "igmp" | "ah" | "esp" | "comp" | "arp"
            | "gre" | "vlan",
            _,
        ) => f(Field::Foreign, Type::Other),
        ("", _) => raw_payload(body),
        (other, _) => unknown(format!("the {other} header")),
    }
}

/// A field that reads as `value` where `there` is present.
fn only_with(there: Field, value: Field) -> Expr {
    only_if(there, Expr::Field(value))
}

/// A number where the field is present.
fn constant_with(there: Field, number: u128) -> Expr {
    only_if(there, Expr::Const(number))
}

fn raw_payload(body: &Json) -> Typed {
    let at = |k: &str| body.get(k).and_then(Json::as_u64);
    match (text(body, "base").as_str(), at("offset"), at("len")) {
        ("th", Some(0), Some(16)) => (Expr::Field(Field::Sport), Type::Port),
        ("th", Some(16), Some(16)) => (Expr::Field(Field::Dport), Type::Port),
        ("th", Some(104), Some(8)) => (Expr::Field(Field::TcpFlags), Type::TcpFlags),
        _ => (Expr::Unknown("raw bytes of the packet".into()), Type::Number),
    }
}

fn meta(body: &Json) -> Typed {
    let f = |field, ty| (Expr::Field(field), ty);
    match text(body, "key").as_str() {
        "l4proto" => f(Field::L4Proto, Type::Proto),
        "nfproto" => f(Field::NfProto, Type::NfProto),
        "protocol" => f(Field::EtherType, Type::EtherProto),
        "iifname" => f(Field::IifName, Type::IfName),
        "oifname" => f(Field::OifName, Type::IfName),
        "iif" => f(Field::IifName, Type::IfIndex),
        "oif" => f(Field::OifName, Type::IfIndex),
        "mark" => f(Field::Mark, Type::Mark),
        "skuid" => f(Field::Uid, Type::Id),
        "skgid" => f(Field::Gid, Type::Id),
        "pkttype" => f(Field::PktType, Type::PktKind),
        "oiftype" => f(Field::OifType, Type::ArpHrd),
        "cgroup" => f(Field::Cgroup, Type::Number),
        "hour" => f(Field::Hour, Type::Hour),
        "day" => f(Field::Weekday, Type::Weekday),
        "time" => f(Field::Date, Type::Date),
        "priority" => (crate::usual::priority(), Type::Priority),
        "iiftype" => f(Field::IifType, Type::ArpHrd),
        "length" => f(Field::Length, Type::Number),
        other => unknown(format!("meta {other}")),
    }
}

fn ct(body: &Json) -> Typed {
    let f = |field, ty| (Expr::Field(field), ty);
    let original = text(body, "dir") == "original";
    let reply = text(body, "dir") == "reply";
    match text(body, "key").as_str() {
        "state" => f(Field::CtState, Type::CtState),
        "status" => f(Field::CtStatus, Type::CtStatus),
        "mark" => f(Field::CtMark, Type::Mark),
        "direction" => f(Field::CtDirection, Type::CtDirection),
        "ip saddr" if original => (v4_only(Field::CtOrigSaddr), Type::Ipv4),
        "ip daddr" if original => (v4_only(Field::CtOrigDaddr), Type::Ipv4),
        "ip6 saddr" if original => (v6_only(Field::CtOrigSaddr), Type::Ipv6),
        "ip6 daddr" if original => (v6_only(Field::CtOrigDaddr), Type::Ipv6),
        "proto-src" if original => f(Field::CtOrigSport, Type::Port),
        "proto-dst" if original => f(Field::CtOrigDport, Type::Port),
        "ip saddr" if reply => (v4_only(Field::CtReplySaddr), Type::Ipv4),
        "ip daddr" if reply => (v4_only(Field::CtReplyDaddr), Type::Ipv4),
        "ip6 saddr" if reply => (v6_only(Field::CtReplySaddr), Type::Ipv6),
        "ip6 daddr" if reply => (v6_only(Field::CtReplyDaddr), Type::Ipv6),
        "proto-src" if reply => f(Field::CtReplySport, Type::Port),
        "proto-dst" if reply => f(Field::CtReplyDport, Type::Port),
        // In a table of one family, which is the addresses'.
        "saddr" if original => f(Field::CtOrigSaddr, Type::Address),
        "daddr" if original => f(Field::CtOrigDaddr, Type::Address),
        "saddr" if reply => f(Field::CtReplySaddr, Type::Address),
        "daddr" if reply => f(Field::CtReplyDaddr, Type::Address),
        "zone" => (crate::usual::zone(), Type::Number),
        "label" => (crate::usual::labels(), Type::Bit),
        // No helper of the kernel is for the protocols of a database.
        "helper" => f(Field::Foreign, Type::Other),
        "bytes" | "avgpkt" => f(Field::CtBytes, Type::Number),
        "packets" => f(Field::CtPackets, Type::Number),
        "l3proto" => (only_with(Field::CtDirection, Field::NfProto), Type::NfProto),
        "protocol" => (only_with(Field::CtDirection, Field::L4Proto), Type::Proto),
        other => unknown(format!("ct {other}")),
    }
}

fn v4_only(field: Field) -> Expr {
    only_with(Field::SaddrV4, field)
}

fn v6_only(field: Field) -> Expr {
    only_with(Field::SaddrV6, field)
}

fn fib_flags(body: &Json) -> Vec<&str> {
    match body.get("flags") {
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
        Some(Json::String(one)) => vec![one],
        _ => Vec::new(),
    }
}

fn fib(body: &Json) -> Typed {
    let flags = fib_flags(body);
    let has = |flag: &str| flags.contains(&flag);
    match text(body, "result").as_str() {
        "type" if has("daddr") && has("iif") => (Expr::Field(Field::DaddrTypeOnIface), Type::AddrKind),
        "type" if has("saddr") && has("iif") => {
            // As seen from the interface it came in on, by which its way back leaves.
            let here =
                Expr::With(vec![Expr::Field(Field::ReversePath)], Box::new(Expr::Field(Field::SaddrType)));
            (here, Type::AddrKind)
        }
        "type" if has("oif") || has("iif") => (Expr::Unknown("the route".into()), Type::AddrKind),
        "type" if has("daddr") => (Expr::Field(Field::DaddrType), Type::AddrKind),
        "type" if has("saddr") => (Expr::Field(Field::SaddrType), Type::AddrKind),
        "oif" | "oifname" if has("saddr") && has("iif") => (Expr::Field(Field::ReversePath), Type::Other),
        _ => unknown("the route"),
    }
}

fn bitwise(kind: &str, body: &Json) -> Typed {
    let Some(parts) = body.as_array().filter(|a| a.len() >= 2) else {
        return unknown("an expression that is not understood");
    };
    // The constant's words are those of the field beside it.
    let ty = parts.iter().filter(|p| is_expr(p)).map(expr).map(|(_, t)| t).next().unwrap_or(Type::Number);
    let mut terms = parts.iter().map(|p| operand(p, if kind.len() == 2 { Type::Number } else { ty }));
    let Some(mut out) = terms.next() else { return unknown("an expression") };
    for term in terms {
        let (a, b) = (Box::new(out), Box::new(term));
        out = match kind {
            "&" => Expr::And(a, b),
            "|" => Expr::Or(a, b),
            "^" => Expr::Xor(a, b),
            "<<" => Expr::Shl(a, b),
            _ => Expr::Shr(a, b),
        };
    }
    (out, ty)
}

/// Whether it is computed from the packet, not a constant.
pub(super) fn is_expr(json: &Json) -> bool {
    match single(json) {
        Some(("prefix" | "range" | "set" | "concat", _)) | None => false,
        Some(("|" | "&" | "^" | "<<" | ">>", Json::Array(parts))) => parts.iter().any(is_expr),
        Some(("elem", body)) => body.get("val").is_some_and(is_expr),
        Some(_) => true,
    }
}

/// A constant of the type, or an expression.
pub(super) fn operand(json: &Json, ty: Type) -> Expr {
    if is_expr(json) {
        return expr(json).0;
    }
    match ty.constant(json) {
        Some((lo, hi)) if lo == hi => Expr::Const(lo),
        Some((lo, hi)) => Expr::Range(lo, hi),
        None => Expr::Unknown("a value that is not understood".into()),
    }
}

fn map(body: &Json) -> Typed {
    let (Some(key_json), Some(data)) = (body.get("key"), body.get("data")) else {
        return unknown("a map that is not understood");
    };
    let key = key(key_json);
    let types: Vec<Type> = key.iter().map(|(_, t)| *t).collect();
    let exprs = key.into_iter().map(|(e, _)| e).collect();
    (Expr::Map(exprs, set_ref(data, &types, &Data::Guess)), Type::Other)
}

/// What the elements of a map yield.
pub(super) enum Data {
    None,
    Verdict,
    Values(Vec<Type>),
    /// An anonymous map does not say; an address looks like one.
    Guess,
}

pub(super) fn set_ref(json: &Json, types: &[Type], data: &Data) -> SetRef {
    if let Some(name) = json.as_str().and_then(|s| s.strip_prefix('@')) {
        return SetRef::Named(name.to_owned());
    }
    let mut builder = SetBuilder::new(types.len());
    match single(json) {
        Some(("set", Json::Array(elements))) => fill(&mut builder, elements, types, data),
        Some(("set", one)) => fill(&mut builder, std::slice::from_ref(one), types, data),
        _ => builder.unknown = Some("a set that is not understood".into()),
    }
    SetRef::Anonymous(Arc::new(builder.build()))
}

pub(super) fn fill(builder: &mut SetBuilder, elements: &[Json], types: &[Type], data: &Data) {
    for element in elements {
        let (key, value) = match (data, element) {
            (Data::None, _) => (element, None),
            (_, Json::Array(pair)) if pair.len() == 2 => (&pair[0], Some(&pair[1])),
            _ => {
                builder.unknown = Some("a map that is not understood".into());
                continue;
            }
        };
        let datum = match (data, value) {
            (Data::None, _) | (_, None) => Some(Datum::None),
            (Data::Verdict, Some(v)) => super::stmt::verdict(v).map(Datum::Action),
            (Data::Values(types), Some(v)) => values(v, types).map(Datum::Values),
            (Data::Guess, Some(v)) => guess(v).map(Datum::Values),
        };
        let key = match single(key) {
            Some(("elem", body)) => {
                // Looked up by a rule, an element is found only while its own limit lasts.
                if ["limit", "quota", "ct count"].iter().any(|k| body.get(k).is_some()) {
                    builder.limits = true;
                }
                body.get("val").unwrap_or(key)
            }
            _ => key,
        };
        if key.as_str() == Some("*") && !types.contains(&Type::IfName) {
            builder.default = datum;
            continue;
        }
        match (key_ranges(key, types), datum) {
            (Some(key), Some(datum)) => builder.add(key, datum),
            _ => builder.unknown = Some("an element that is not understood".into()),
        }
    }
}

fn key_ranges(json: &Json, types: &[Type]) -> Option<Vec<(u128, u128)>> {
    match single(json) {
        Some(("concat", Json::Array(parts))) if parts.len() == types.len() => {
            parts.iter().zip(types).map(|(p, t)| t.constant(p)).collect()
        }
        _ if types.len() == 1 => types[0].constant(json).map(|r| vec![r]),
        _ => None,
    }
}

fn values(json: &Json, types: &[Type]) -> Option<Vec<(u128, u128)>> {
    key_ranges(json, types)
}

fn guess(json: &Json) -> Option<Vec<(u128, u128)>> {
    let one = |j: &Json| [Type::Number, Type::Ipv4, Type::Ipv6].iter().find_map(|t| t.constant(j));
    match single(json) {
        Some(("concat", Json::Array(parts))) => parts.iter().map(one).collect(),
        _ => one(json).map(|r| vec![r]),
    }
}

/// What most packets are.
pub(crate) const NO_IPSEC: &str = "the connection does not come by IPsec";

/// A match statement as a condition.
pub(super) fn condition(body: &Json) -> Cond {
    let (Some(left), Some(right)) = (body.get("left"), body.get("right")) else {
        return Cond::Unknown("a match that is not understood".into());
    };
    let op = body.get("op").and_then(Json::as_str).unwrap_or("==");
    if let Some(cond) = special(left, op, right) {
        return cond;
    }
    let key = key(left);
    let is_set =
        right.as_str().is_some_and(|s| s.starts_with('@')) || matches!(single(right), Some(("set", _)));
    if is_set {
        let types: Vec<Type> = key.iter().map(|(_, t)| *t).collect();
        let exprs: Vec<Expr> = key.into_iter().map(|(e, _)| e).collect();
        return match op {
            "==" | "in" => Cond::In(exprs, set_ref(right, &types, &Data::None), false),
            "!=" => Cond::In(exprs, set_ref(right, &types, &Data::None), true),
            _ => Cond::Unknown(format!("the comparison `{op}`")),
        };
    }
    let [(left, ty)] = key.as_slice() else { return joined(&key, op, right) };
    let loopback = right.as_str() == Some("loopback") || right.as_u64() == Some(ARPHRD_LOOPBACK);
    if let (Expr::Field(Field::IifType), true) = (left, loopback) {
        let lo = Expr::Const(name_bits("lo").unwrap_or(0));
        let op = if op == "!=" { Op::Ne } else { Op::Eq };
        // Without an incoming interface the rule ends (nft_meta_store_iftype).
        let there = Cond::Cmp(left.clone(), Op::Ge, Expr::Const(0));
        return Cond::All(vec![there, Cond::Cmp(Expr::Field(Field::IifName), op, lo)]);
    }
    let right = operand(right, *ty);
    let left = left.clone();
    match (op, &right) {
        ("in", Expr::Const(mask)) => Cond::AnyBit(left, *mask, false),
        ("!", Expr::Const(mask)) => Cond::AnyBit(left, *mask, true),
        ("in" | "==", _) => Cond::Cmp(left, Op::Eq, right),
        ("!=", _) => Cond::Cmp(left, Op::Ne, right),
        ("<", _) => Cond::Cmp(left, Op::Lt, right),
        (">", _) => Cond::Cmp(left, Op::Gt, right),
        ("<=", _) => Cond::Cmp(left, Op::Le, right),
        (">=", _) => Cond::Cmp(left, Op::Ge, right),
        (other, _) => Cond::Unknown(format!("the comparison `{other}`")),
    }
}

/// Hardware type of lo (linux/if_arp.h).
const ARPHRD_LOOPBACK: u64 = 772;

/// Matches whose sense is not that of a comparison of two numbers.
fn special(left: &Json, op: &str, right: &Json) -> Option<Cond> {
    let (kind, body) = single(left)?;
    match (kind, right.as_bool()) {
        ("fib", there) if text(body, "result").starts_with("oif") => {
            let has = |flag: &str| fib_flags(body).contains(&flag);
            match (has("saddr"), has("iif"), there) {
                (true, true, Some(_)) => None,
                (true, true, None) if right.as_u64() == Some(0) || right.as_str() == Some("0") => None,
                (true, true, None) => Some(way_back(body, op, right)),
                (true, false, Some(there)) => {
                    Some(Cond::Assumed(there == (op != "!="), "there is a route back to the source".into()))
                }
                (true, false, None) => Some(named_interface(Field::WayBack, body, op, right)),
                (false, false, Some(there)) if has("daddr") => {
                    // For an address of this host it says none (nft_fib4_eval).
                    let local = Cond::Cmp(Expr::Field(Field::DaddrType), Op::Eq, Expr::Const(rtn::LOCAL));
                    let none = Cond::Assumed(false, "there is a route to the destination".into());
                    let missing = Cond::Any(vec![local, none]);
                    Some(if there == (op == "!=") { missing } else { Cond::Not(Box::new(missing)) })
                }
                _ => None,
            }
        }
        ("socket", None) if text(body, "key") == "transparent" && (op, right.as_u64()) == ("==", Some(1)) => {
            Some(Cond::Assumed(false, "no transparent proxy waits for the connection".into()))
        }
        ("meta", Some(there)) if matches!(text(body, "key").as_str(), "ipsec" | "secpath") => {
            Some(Cond::Assumed(there == (op == "!="), NO_IPSEC.into()))
        }
        ("tcp option", Some(there)) if body.get("field").is_none() => {
            let number = body.get("base").and_then(Json::as_u64).map(u128::from);
            let number = number.or_else(|| crate::usual::tcp_option_number(&text(body, "name")))?;
            let op = if op == "!=" { Op::Ne } else { Op::Eq };
            Some(Cond::Cmp(crate::usual::tcp_option(number), op, Expr::Const(there.into())))
        }
        _ => None,
    }
}

/// `fib saddr . iif oif "eth0"`: what the way back leaves by, if it is the interface that the packet came in on.
fn way_back(body: &Json, op: &str, right: &Json) -> Cond {
    let by_it = Cond::Cmp(Expr::Field(Field::ReversePath), Op::Eq, Expr::Const(1));
    let named = named_interface(Field::IifName, body, op, right);
    if op == "!=" {
        let otherwise = Cond::Any(vec![by_it, Cond::Unknown("the way back to the source".into())]);
        return Cond::All(vec![otherwise, named]);
    }
    Cond::All(vec![by_it, named])
}

/// The interface against a name, or a set of them.
fn named_interface(field: Field, body: &Json, op: &str, right: &Json) -> Cond {
    let ty = if text(body, "result") == "oif" { Type::IfIndex } else { Type::IfName };
    let left = Expr::Field(field);
    match single(right) {
        Some(("set", _)) => Cond::In(vec![left], set_ref(right, &[ty], &Data::None), op == "!="),
        _ if right.as_str().is_some_and(|s| s.starts_with('@')) => {
            Cond::In(vec![left], set_ref(right, &[ty], &Data::None), op == "!=")
        }
        _ => Cond::Cmp(left, if op == "!=" { Op::Ne } else { Op::Eq }, operand(right, ty)),
    }
}

/// Several fields against one joined value.
fn joined(key: &[Typed], op: &str, right: &Json) -> Cond {
    let types: Vec<Type> = key.iter().map(|(_, t)| *t).collect();
    let exprs = key.iter().map(|(e, _)| e.clone()).collect();
    let mut builder = SetBuilder::new(types.len());
    fill(&mut builder, std::slice::from_ref(right), &types, &Data::None);
    match op {
        "==" | "in" => Cond::In(exprs, SetRef::Anonymous(Arc::new(builder.build())), false),
        "!=" => Cond::In(exprs, SetRef::Anonymous(Arc::new(builder.build())), true),
        _ => Cond::Unknown(format!("the comparison `{op}`")),
    }
}
