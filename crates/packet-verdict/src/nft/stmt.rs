//! nft's statements, from their JSON.

use super::expr::{self, Data, condition, is_expr, key, operand, set_ref, single};
use super::types::Type;
use crate::model::{Action, Cond, Expr, Reject, SetRef, Stmt};
use serde_json::Value as Json;

/// Targets of iptables that let the packet go on unchanged, as far as a verdict goes.
pub(crate) const XT_HARMLESS: &[&str] = &[
    "LOG",
    "NFLOG",
    "ULOG",
    "TCPMSS",
    "TRACE",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "DSCP",
    "TOS",
    "TTL",
    "HL",
    "ECN",
    "TEE",
    "SECMARK",
    "CONNSECMARK",
    "TCPOPTSTRIP",
    "RATEEST",
    "IDLETIMER",
    "LED",
    "HMARK",
    "SET",
];

/// What a rule changes besides the packet, found on the way.
#[derive(Default)]
pub(super) struct Found {
    pub(super) packets: Option<u64>,
    pub(super) counter: Option<String>,
    /// Sets that the rule adds to.
    pub(super) touched: Vec<String>,
}

pub(super) fn verdict(json: &Json) -> Option<Action> {
    let (word, body) = single(json)?;
    let target = || body.get("target").and_then(Json::as_str).map(str::to_owned);
    match word {
        "accept" => Some(Action::Accept),
        "drop" => Some(Action::Drop),
        "return" => Some(Action::Return),
        "continue" => Some(Action::Continue),
        "jump" => target().map(Action::Jump),
        "goto" => target().map(Action::Goto),
        _ => None,
    }
}

pub(super) fn statement(json: &Json, found: &mut Found) -> Option<Stmt> {
    if let Some(action) = verdict(json) {
        return Some(Stmt::Do(action));
    }
    let Some((word, body)) = single(json) else {
        return Some(Stmt::Opaque("a statement that is not understood".into()));
    };
    let unknown = |what: &str| Some(Stmt::If(Cond::Unknown(what.into())));
    match word {
        "match" => Some(Stmt::If(condition(body))),
        "counter" => {
            found.packets = body.get("packets").and_then(Json::as_u64);
            found.counter = body.as_str().map(str::to_owned);
            None
        }
        "log" | "last" | "ct helper" | "ct timeout" | "ct expectation" | "secmark" | "dup" | "flow" => None,
        "limit" => unknown("a rate limit"),
        "quota" => unknown("a quota"),
        "ct count" => unknown("the number of connections"),
        "notrack" => Some(Stmt::Notrack),
        "reject" => Some(Stmt::Reject(reject(body))),
        "vmap" => vmap(body),
        "mangle" => mangle(body),
        "set" | "map" | "meter" => touch(body, found),
        "dnat" => Some(dnat(body)),
        "redirect" => Some(Stmt::Redirect { port: body.get("port").map(|p| operand(p, Type::Port)) }),
        "snat" | "masquerade" => Some(Stmt::Snat),
        "queue" => Some(Stmt::Taken("the program behind an NFQUEUE".into())),
        "tproxy" => Some(Stmt::Opaque("a transparent proxy".into())),
        "synproxy" => Some(Stmt::Taken("a SYN proxy".into())),
        "fwd" => Some(Stmt::Taken("another device it is forwarded to".into())),
        "xt" => xt(body),
        other => Some(Stmt::Opaque(format!("`{other}`, which is not understood"))),
    }
}

fn reject(body: &Json) -> Option<Reject> {
    let kind = body.get("type").and_then(Json::as_str);
    let code = body.get("expr").and_then(Json::as_str);
    Some(match (kind, code) {
        (Some("tcp reset"), _) => Reject::TcpReset,
        // Without a type nft means port-unreachable of the packet's family.
        (None, _) => Reject::IcmpxPortUnreachable,
        (Some("icmp"), code) => match code {
            Some("net-unreachable") => Reject::IcmpNetUnreachable,
            Some("host-unreachable") => Reject::IcmpHostUnreachable,
            Some("prot-unreachable") => Reject::IcmpProtoUnreachable,
            Some("port-unreachable") | None => Reject::IcmpPortUnreachable,
            Some("net-prohibited") => Reject::IcmpNetProhibited,
            Some("host-prohibited") => Reject::IcmpHostProhibited,
            Some("admin-prohibited") => Reject::IcmpAdminProhibited,
            Some(_) => return None,
        },
        (Some("icmpv6"), code) => match code {
            Some("no-route") => Reject::Icmp6NoRoute,
            Some("admin-prohibited") => Reject::Icmp6AdmProhibited,
            Some("addr-unreachable") => Reject::Icmp6AddrUnreachable,
            Some("port-unreachable") | None => Reject::Icmp6PortUnreachable,
            Some("policy-fail") => Reject::Icmp6PolicyFail,
            Some("reject-route") => Reject::Icmp6RejectRoute,
            Some(_) => return None,
        },
        (Some("icmpx"), code) => match code {
            Some("no-route") => Reject::IcmpxNoRoute,
            Some("port-unreachable") | None => Reject::IcmpxPortUnreachable,
            Some("host-unreachable") => Reject::IcmpxHostUnreachable,
            Some("admin-prohibited") => Reject::IcmpxAdminProhibited,
            Some(_) => return None,
        },
        (Some(_), _) => return None,
    })
}

fn vmap(body: &Json) -> Option<Stmt> {
    let (Some(key_json), Some(data)) = (body.get("key"), body.get("data")) else {
        return Some(Stmt::Opaque("a verdict map that is not understood".into()));
    };
    let key = key(key_json);
    let types: Vec<Type> = key.iter().map(|(_, t)| *t).collect();
    let map = set_ref(data, &types, &Data::Verdict);
    if let SetRef::Anonymous(data) = &map
        && data.unknown.is_some()
    {
        return Some(Stmt::Opaque("a verdict map that is not understood".into()));
    }
    Some(Stmt::Vmap(key.into_iter().map(|(e, _)| e).collect(), map))
}

fn mangle(body: &Json) -> Option<Stmt> {
    let (Some(target), Some(value)) = (body.get("key"), body.get("value")) else {
        return Some(Stmt::Opaque("a change that is not understood".into()));
    };
    let bits32 = |e: Expr| Expr::And(Box::new(e), Box::new(Expr::Const(u128::from(u32::MAX))));
    let key = |k: &str| target.get(k).and_then(|t| t.get("key")).and_then(Json::as_str);
    if key("meta") == Some("mark") {
        return Some(Stmt::SetMark(bits32(operand(value, Type::Mark))));
    }
    if key("ct") == Some("mark") {
        return Some(Stmt::SetCtMark(bits32(operand(value, Type::Mark))));
    }
    // Another address or port is another packet; its length, TTL or class are not.
    let field = target.get("payload").and_then(|p| p.get("field")).and_then(Json::as_str);
    match (target.get("payload"), field) {
        (Some(_), Some("saddr" | "daddr" | "sport" | "dport" | "flags" | "protocol" | "nexthdr") | None) => {
            Some(Stmt::Opaque("a rule that rewrites the packet".into()))
        }
        _ => None,
    }
}

/// Adding to a set goes on, unless a limit is kept with the element.
fn touch(body: &Json, found: &mut Found) -> Option<Stmt> {
    let name = ["set", "map"].iter().find_map(|k| body.get(k)).and_then(Json::as_str);
    if let Some(name) = name.and_then(|n| n.strip_prefix('@')) {
        found.touched.push(name.to_owned());
    }
    let limits = match body.get("stmt") {
        Some(Json::Array(list)) => list.iter().any(|s| !matches!(single(s), Some(("counter" | "last", _)))),
        Some(Json::Object(_)) => true,
        _ => false,
    };
    if limits || name.is_none() {
        return Some(Stmt::If(Cond::Unknown("a limit per address".into())));
    }
    // Without the field that is to be added the rule ends.
    let elem = body.get("elem")?;
    let keys = key(elem);
    let there = keys.into_iter().map(|(e, _)| Cond::Cmp(e, crate::model::Op::Ge, Expr::Const(0))).collect();
    if is_expr(elem) || matches!(single(elem), Some(("concat", _))) {
        Some(Stmt::If(Cond::All(there)))
    } else {
        None
    }
}

fn dnat(body: &Json) -> Stmt {
    let port = body.get("port").map(|p| operand(p, Type::Port));
    let Some(addr) = body.get("addr") else { return Stmt::Dnat { addr: None, port, map: None } };
    if let Some(("map", map)) = single(addr)
        && let (Some(key_json), Some(data)) = (map.get("key"), map.get("data"))
    {
        let key = key(key_json);
        let types: Vec<Type> = key.iter().map(|(_, t)| *t).collect();
        let data = set_ref(data, &types, &Data::Guess);
        return Stmt::Dnat { addr: None, port, map: Some((key.into_iter().map(|(e, _)| e).collect(), data)) };
    }
    let v6 = body.get("family").and_then(Json::as_str) == Some("ip6")
        || addr.as_str().is_some_and(|a| a.contains(':'))
        || expr_text_is_v6(addr);
    let ty = if v6 { Type::Ipv6 } else { Type::Ipv4 };
    Stmt::Dnat { addr: Some(operand(addr, ty)), port, map: None }
}

fn expr_text_is_v6(addr: &Json) -> bool {
    let first =
        addr.get("range").and_then(|r| r.get(0)).or_else(|| addr.get("prefix").and_then(|p| p.get("addr")));
    first.and_then(Json::as_str).is_some_and(|a| a.contains(':'))
}

fn xt(body: &Json) -> Option<Stmt> {
    let name = body.get("name").and_then(Json::as_str).unwrap_or("?");
    let hint = "`iptables-save` shows it";
    match body.get("type").and_then(Json::as_str) {
        Some("match") if name == "comment" => None,
        Some("match") => Some(Stmt::If(Cond::Unknown(format!(
            "the iptables match {name}, which nft does not show; {hint}"
        )))),
        Some("target") if XT_HARMLESS.contains(&name) => None,
        Some("target") if name == "REJECT" => Some(Stmt::Reject(None)),
        Some("target") if name == "MASQUERADE" || name == "SNAT" => Some(Stmt::Snat),
        _ => Some(Stmt::Opaque(format!("an iptables part ({name}) which nft does not show; {hint}"))),
    }
}

/// Types of a named set's fields, or of a map's data.
pub(super) fn declared(json: Option<&Json>) -> Vec<Type> {
    match json {
        Some(Json::String(one)) => one.split(" . ").map(Type::by_name).collect(),
        Some(Json::Array(list)) => {
            list.iter().map(|t| t.as_str().map_or(Type::Other, Type::by_name)).collect()
        }
        Some(Json::Object(map)) => match map.get("typeof") {
            Some(inner) => expr::key(inner).into_iter().map(|(_, t)| t).collect(),
            None => vec![Type::Other],
        },
        _ => vec![Type::Other],
    }
}
