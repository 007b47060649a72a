//! nft's statements, from their JSON.

use super::expr::{self, Data, condition, is_expr, key, operand, set_ref, single};
use super::types::Type;
use crate::model::{Action, Changed, Cond, Expr, Field, Kept, Reject, SetRef, Stmt};
use crate::usual::{connections, present};
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
    match word {
        "match" => Some(Stmt::If(condition(body))),
        "counter" => {
            found.packets = body.get("packets").and_then(Json::as_u64);
            found.counter = body.as_str().map(str::to_owned);
            None
        }
        "log" | "last" | "ct helper" | "ct timeout" | "ct expectation" | "secmark" | "dup" | "flow" => None,
        "limit" => Some(Stmt::If(limit(body))),
        "quota" => Some(Stmt::If(quota(body))),
        "ct count" => {
            let over = body.get("inv").is_some_and(|i| i.as_bool() == Some(true) || i.as_u64() > Some(0));
            Some(Stmt::If(connections(body.get("val").and_then(Json::as_u64), over)))
        }
        "notrack" => Some(Stmt::Notrack),
        "reject" => Some(Stmt::Reject(reject(body))),
        "vmap" => vmap(body),
        "mangle" => mangle(body),
        "set" | "map" => touch(body, found),
        // nft before 1.1 names its set only in the text; nothing else can refer to it.
        "meter" => meter(body),
        // A value taken out of the packet's options is no other packet.
        "reset" => None,
        "dnat" => Some(dnat(body)),
        "redirect" => Some(Stmt::Redirect { port: body.get("port").map(|p| operand(p, Type::Port)) }),
        "snat" | "masquerade" => Some(Stmt::Snat),
        "queue" => Some(queue(body)),
        "tproxy" => Some(Stmt::Rewrites("a transparent proxy takes the packet")),
        "synproxy" => Some(Stmt::Taken("a SYN proxy".into())),
        "fwd" => Some(Stmt::Taken("another device it is forwarded to".into())),
        "xt" => xt(body),
        other => Some(Stmt::Opaque(format!("`{other}`, which is not understood"))),
    }
}

/// With `-n` nft lists the codes as numbers.
fn reject(body: &Json) -> Option<Reject> {
    let code = match body.get("expr") {
        Some(Json::String(word)) => word.clone(),
        Some(Json::Number(number)) => number.to_string(),
        Some(_) => return None,
        None => String::new(),
    };
    Some(match (body.get("type").and_then(Json::as_str), code.as_str()) {
        (Some("tcp reset"), _) => Reject::TcpReset,
        // Without a type nft means port-unreachable of the packet's family.
        (None, _) => Reject::IcmpxPortUnreachable,
        (Some("icmp"), "net-unreachable" | "0") => Reject::IcmpNetUnreachable,
        (Some("icmp"), "host-unreachable" | "1") => Reject::IcmpHostUnreachable,
        (Some("icmp"), "prot-unreachable" | "2") => Reject::IcmpProtoUnreachable,
        (Some("icmp"), "port-unreachable" | "3" | "") => Reject::IcmpPortUnreachable,
        (Some("icmp"), "net-prohibited" | "9") => Reject::IcmpNetProhibited,
        (Some("icmp"), "host-prohibited" | "10") => Reject::IcmpHostProhibited,
        (Some("icmp"), "admin-prohibited" | "13") => Reject::IcmpAdminProhibited,
        (Some("icmpv6"), "no-route" | "0") => Reject::Icmp6NoRoute,
        (Some("icmpv6"), "admin-prohibited" | "1") => Reject::Icmp6AdmProhibited,
        (Some("icmpv6"), "addr-unreachable" | "3") => Reject::Icmp6AddrUnreachable,
        (Some("icmpv6"), "port-unreachable" | "4" | "") => Reject::Icmp6PortUnreachable,
        (Some("icmpv6"), "policy-fail" | "5") => Reject::Icmp6PolicyFail,
        (Some("icmpv6"), "reject-route" | "6") => Reject::Icmp6RejectRoute,
        (Some("icmpx"), "no-route" | "0") => Reject::IcmpxNoRoute,
        (Some("icmpx"), "port-unreachable" | "1" | "") => Reject::IcmpxPortUnreachable,
        (Some("icmpx"), "host-unreachable" | "2") => Reject::IcmpxHostUnreachable,
        (Some("icmpx"), "admin-prohibited" | "3") => Reject::IcmpxAdminProhibited,
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

fn queue(body: &Json) -> Stmt {
    let flag = |f: &Json| f.as_str() == Some("bypass");
    let flags = body.get("flags");
    let bypass = flags.is_some_and(|f| flag(f) || f.as_array().is_some_and(|a| a.iter().any(flag)));
    let number = |n: &Json| n.as_u64().and_then(|n| u16::try_from(n).ok());
    let ends = match body.get("num") {
        None => Some((0, 0)),
        Some(num) => match num.get("range") {
            Some(range) => range.get(0).and_then(number).zip(range.get(1).and_then(number)),
            None => number(num).map(|n| (n, n)),
        },
    };
    match ends {
        Some((first, last)) => Stmt::Queue { first, last, bypass },
        None => Stmt::Taken("the program behind an NFQUEUE".into()),
    }
}

/// What a statement may write, for rules that ask for it.
pub(super) fn changes(json: &Json) -> Option<Changed> {
    let (word, body) = single(json)?;
    if word == "xt" {
        return match body.get("name").and_then(Json::as_str)? {
            "TOS" | "DSCP" | "ECN" => Some(Changed::Tos),
            "CT" => Some(Changed::Zone),
            "CLASSIFY" => Some(Changed::Priority),
            _ => None,
        };
    }
    let (kind, key) = single(body.get("key").filter(|_| word == "mangle")?)?;
    let name = |k: &str| key.get(k).and_then(Json::as_str);
    match (kind, name("key").or(name("field"))) {
        ("payload", Some("dscp" | "ecn" | "tos") | None) => Some(Changed::Tos),
        ("ct", Some("zone")) => Some(Changed::Zone),
        ("ct", Some("label")) => Some(Changed::Label),
        ("meta", Some("priority")) => Some(Changed::Priority),
        _ => None,
    }
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
            Some(Stmt::Rewrites("a rule rewrites the packet, and what it is then is not known"))
        }
        // Without the field the rule ends (nft_payload_set_eval, nft_exthdr_tcp_set_eval).
        _ => Some(Stmt::If(present(written(target)?))),
    }
}

/// The field that a packet has if it has the part that is written.
fn written(target: &Json) -> Option<Field> {
    let (kind, body) = single(target)?;
    match (kind, body.get("protocol").and_then(Json::as_str)) {
        ("tcp option", _) => {
            (body.get("name").and_then(Json::as_str) == Some("maxseg")).then_some(Field::Mss)
        }
        ("payload", Some("ip")) => Some(Field::SaddrV4),
        ("payload", Some("ip6")) => Some(Field::SaddrV6),
        ("payload", Some("udp" | "sctp" | "dccp" | "icmp" | "icmpv6")) => Some(Field::Foreign),
        _ => None,
    }
}

/// Below this many packets a second a limit is easily used up by others; above, only by a flood.
pub(crate) const GENEROUS: f64 = 10.0;

/// A limit that only a flood uses up is taken not to be used up; of any other nobody knows.
pub(crate) fn rate_limit(per_second: f64, over: bool, shown: &str) -> Cond {
    let says = format!("the rate limit of {shown} is not used up");
    if per_second >= GENEROUS { Cond::Assumed(!over, says) } else { Cond::Rate(!over, says) }
}

fn limit(body: &Json) -> Cond {
    let seconds = match body.get("per").and_then(Json::as_str) {
        Some("second") => 1.0,
        Some("minute") => 60.0,
        Some("hour") => 3600.0,
        Some("day") => 86_400.0,
        Some("week") => 604_800.0,
        _ => return Cond::Unknown("a rate limit".into()),
    };
    // Of bytes: a SYN has less than 100.
    let unit = match body.get("rate_unit").and_then(Json::as_str) {
        None | Some("packets") => 1.0,
        Some("bytes") => 0.01,
        Some("kbytes") => 10.24,
        Some("mbytes") => 10_485.76,
        Some(_) => return Cond::Unknown("a rate limit".into()),
    };
    let Some(rate) = body.get("rate").and_then(Json::as_f64) else {
        return Cond::Unknown("a rate limit".into());
    };
    let over = body.get("inv").and_then(Json::as_bool) == Some(true);
    let text = super::text::statement_words("limit", body);
    rate_limit(
        rate * unit / seconds,
        over,
        text.trim_start_matches("limit rate ").trim_start_matches("over "),
    )
}

/// Bytes in nft's unit.
fn bytes(body: &Json, key: &str) -> Option<u64> {
    let unit = match body.get(format!("{key}_unit")).and_then(Json::as_str) {
        None | Some("bytes") => 1,
        Some("kbytes") => 1 << 10,
        Some("mbytes") => 1 << 20,
        Some(_) => return None,
    };
    body.get(key)?.as_u64()?.checked_mul(unit)
}

/// A statement's or a named object's. A SYN has less than 200 bytes; what is used up stays so until someone resets it.
fn quota(body: &Json) -> Cond {
    let over = body.get("inv").and_then(Json::as_bool) == Some(true);
    let (Some(all), used) = (bytes(body, "val").or_else(|| bytes(body, "bytes")), bytes(body, "used")) else {
        return Cond::Unknown("a quota".into());
    };
    let used = used.unwrap_or(0);
    if used >= all {
        return if over { Cond::Not(Box::new(Cond::Never)) } else { Cond::Never };
    }
    if all - used < 200 {
        return Cond::Unknown("a quota".into());
    }
    Cond::Assumed(!over, format!("the quota of {all} bytes is not used up"))
}

/// Adding to a set goes on, unless a limit is kept with the element.
fn touch(body: &Json, found: &mut Found) -> Option<Stmt> {
    let unknown = || Some(Stmt::If(Cond::Unknown("a limit per address".into())));
    let name = ["set", "map"].iter().find_map(|k| body.get(k)).and_then(Json::as_str);
    let Some(name) = name.and_then(|n| n.strip_prefix('@')) else { return unknown() };
    found.touched.push(name.to_owned());
    let stmts = match body.get("stmt") {
        Some(Json::Array(list)) => list.iter().collect(),
        Some(one @ Json::Object(_)) => vec![one],
        _ => Vec::new(),
    };
    let Some(keeps) = stmts.into_iter().filter_map(keeps).collect::<Option<Vec<Kept>>>() else {
        return unknown();
    };
    let elem = body.get("elem")?;
    let elem =
        single(elem).filter(|(kind, _)| *kind == "elem").and_then(|(_, e)| e.get("val")).unwrap_or(elem);
    let keyed = is_expr(elem) || matches!(single(elem), Some(("concat", _)));
    let key = if keyed { key(elem).into_iter().map(|(e, _)| e).collect() } else { Vec::new() };
    Some(Stmt::Touch { set: SetRef::Named(name.to_owned()), key, keeps })
}

fn meter(body: &Json) -> Option<Stmt> {
    let unknown = || Some(Stmt::If(Cond::Unknown("a limit per address".into())));
    let Some(kept) = body.get("stmt").and_then(keeps) else { return unknown() };
    match kept {
        // Which elements it has by now is not listed.
        Some(Kept { first, later: Cond::Assumed(holds, says) }) if first == holds => {
            Some(Stmt::If(Cond::Assumed(holds, says)))
        }
        _ => unknown(),
    }
}

/// What a count kept with an element does to the rule; nothing for those that only count, `Some(None)` if not known.
#[expect(clippy::option_option, reason = "no effect, an effect that is not known, a known one")]
fn keeps(stmt: &Json) -> Option<Option<Kept>> {
    let (kind, body) = single(stmt)?;
    let over = body.get("inv").and_then(Json::as_bool) == Some(true)
        || body.get("inv").and_then(Json::as_u64).is_some_and(|n| n > 0);
    match kind {
        "counter" | "last" => None,
        "limit" => Some(Some(Kept { first: !over, later: limit(body) })),
        "ct count" => {
            let most = body.get("val").and_then(Json::as_u64);
            let later = connections(most, over);
            Some(most.filter(|n| *n > 0).map(|_| Kept { first: !over, later }))
        }
        "quota" => Some(Some(Kept { first: !over, later: quota(body) })),
        _ => Some(None),
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
        Some("target") if ["DNAT", "REDIRECT", "NETMAP", "TPROXY", "DNPT"].contains(&name) => {
            Some(Stmt::Rewrites(
                "iptables gives the packet another destination, which nft does not show; `iptables-save` shows it",
            ))
        }
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
