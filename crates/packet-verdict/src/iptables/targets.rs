//! The target of one rule.

use super::values::{num, value_mask};
use super::words::Words;
use crate::model::{Action, Cond, Expr, Field, Op, Reject, SetRef, Stmt};
use crate::nft::XT_HARMLESS;
use std::net::IpAddr;

const ALL: u128 = u32::MAX as u128;

/// The options behind `-j TARGET`, each with its argument.
struct Options(Vec<(String, Vec<String>)>);

impl Options {
    fn read(words: &mut Words) -> Self {
        let mut out: Vec<(String, Vec<String>)> = Vec::new();
        // A match of a rule written by hand may stand behind the target.
        while !words.at_match()
            && let Some(word) = words.next()
        {
            match out.last_mut() {
                Some((_, args)) if !word.starts_with("--") => args.push(word),
                _ => out.push((word, Vec::new())),
            }
        }
        Self(out)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).and_then(|(_, args)| args.first()).map(String::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }
}

/// What stands behind the target belongs to it, up to the next short option.
pub(super) fn target(name: &str, goto: bool, words: &mut Words, v6: bool) -> Result<Vec<Stmt>, String> {
    if goto {
        return Ok(vec![Stmt::Do(Action::Goto(name.to_owned()))]);
    }
    let simple = match name {
        "ACCEPT" => Some(Action::Accept),
        "DROP" => Some(Action::Drop),
        "RETURN" => Some(Action::Return),
        _ => None,
    };
    if let Some(action) = simple {
        return Ok(vec![Stmt::Do(action)]);
    }
    let options = Options::read(words);
    Ok(match name {
        "REJECT" => vec![Stmt::Reject(Some(reject(options.get("--reject-with"), v6)?))],
        "DNAT" => dnat(
            options.get("--to-destination").or(options.get("--to")).ok_or("DNAT without --to-destination")?,
        )?,
        "REDIRECT" => {
            let port = ["--to-ports", "--to-port", "--to"]
                .iter()
                .find_map(|o| options.get(o))
                .map(port)
                .transpose()?;
            vec![tcp_only(), Stmt::Redirect { port }]
        }
        "SNAT" | "MASQUERADE" => vec![Stmt::Snat],
        "MARK" => vec![Stmt::SetMark(new_mark(&options, &Expr::Field(Field::Mark))?)],
        "CONNMARK" => connmark(&options)?,
        "CT" if options.has("--notrack") => vec![Stmt::Notrack],
        "CT" => vec![],
        "NOTRACK" => vec![Stmt::Notrack],
        "NFQUEUE" => vec![queue(&options)?],
        "QUEUE" => vec![Stmt::Queue { first: 0, last: 0, bypass: false }],
        "TPROXY" => vec![Stmt::Rewrites("a transparent proxy takes the packet")],
        "NETMAP" | "DNPT" | "RAWDNAT" => {
            vec![Stmt::Rewrites("a rule gives the packet another destination, which is not understood")]
        }
        "SYNPROXY" => vec![Stmt::Taken("a SYN proxy".into())],
        "SET" => {
            let changes = ["--add-set", "--del-set", "--map-set"];
            let names = changes.iter().filter_map(|o| options.get(o));
            names
                .map(|n| Stmt::Touch { set: SetRef::Ipset(n.to_owned()), key: Vec::new(), keeps: Vec::new() })
                .collect()
        }
        harmless if XT_HARMLESS.contains(&harmless) => vec![],
        "SNPT" | "CLUSTERIP" | "TARPIT" | "DELUDE" | "CHAOS" | "STEAL" | "ACCOUNT" | "RAWSNAT"
        | "FLOWOFFLOAD" | "NETFLOW" | "IPMARK" | "ULOGD" | "MIRROR" | "SYSRQ" => {
            vec![Stmt::Opaque(format!("the target {name}, which is not understood"))]
        }
        chain if options.0.is_empty() => vec![Stmt::Do(Action::Jump(chain.to_owned()))],
        other => vec![Stmt::Opaque(format!("the target {other}, which is not understood"))],
    })
}

fn reject(with: Option<&str>, v6: bool) -> Result<Reject, String> {
    // As written by iptables-save, and the short forms its manual names.
    Ok(match (with, v6) {
        (None, false) => Reject::IcmpPortUnreachable,
        (None, true) => Reject::Icmp6PortUnreachable,
        (Some("tcp-reset" | "tcp-rst"), _) => Reject::TcpReset,
        (Some("icmp-net-unreachable" | "net-unreach"), false) => Reject::IcmpNetUnreachable,
        (Some("icmp-host-unreachable" | "host-unreach"), false) => Reject::IcmpHostUnreachable,
        (Some("icmp-proto-unreachable" | "proto-unreach"), false) => Reject::IcmpProtoUnreachable,
        (Some("icmp-port-unreachable" | "port-unreach"), false) => Reject::IcmpPortUnreachable,
        (Some("icmp-net-prohibited" | "net-prohib"), false) => Reject::IcmpNetProhibited,
        (Some("icmp-host-prohibited" | "host-prohib"), false) => Reject::IcmpHostProhibited,
        (Some("icmp-admin-prohibited" | "admin-prohib"), false) => Reject::IcmpAdminProhibited,
        (Some("icmp6-no-route" | "no-route"), true) => Reject::Icmp6NoRoute,
        (Some("icmp6-adm-prohibited" | "adm-prohibited"), true) => Reject::Icmp6AdmProhibited,
        (Some("icmp6-addr-unreachable" | "addr-unreach"), true) => Reject::Icmp6AddrUnreachable,
        (Some("icmp6-port-unreachable" | "port-unreach"), true) => Reject::Icmp6PortUnreachable,
        (Some("icmp6-policy-fail" | "policy-fail"), true) => Reject::Icmp6PolicyFail,
        (Some("icmp6-reject-route" | "reject-route"), true) => Reject::Icmp6RejectRoute,
        (Some(other), _) => return Err(format!("--reject-with {other} is not known")),
    })
}

fn queue(options: &Options) -> Result<Stmt, String> {
    let number = |t: &str| t.parse::<u16>().map_err(|_| format!("`{t}` is no number of a queue"));
    let (first, last) = match options.get("--queue-balance").map(|b| b.split_once(':').unwrap_or((b, b))) {
        Some((first, last)) => (number(first)?, number(last)?),
        None => {
            let one = options.get("--queue-num").map_or(Ok(0), number)?;
            (one, one)
        }
    };
    Ok(Stmt::Queue { first, last, bypass: options.has("--queue-bypass") })
}

fn tcp_only() -> Stmt {
    Stmt::If(Cond::Cmp(Expr::Field(Field::L4Proto), Op::Eq, Expr::Const(6)))
}

/// `10.0.0.5:6379`, `10.0.0.5-10.0.0.9:1-5`, `[fd00::5]:6379`, `:6379`, an address alone.
fn dnat(text: &str) -> Result<Vec<Stmt>, String> {
    let bad = || format!("`--to-destination {text}` is not ADDRESS[:PORT]");
    let (addr, ports) = if let Some(rest) = text.strip_prefix('[') {
        let (addr, rest) = rest.split_once(']').ok_or_else(bad)?;
        (addr, rest.strip_prefix(':'))
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(a, p)| (a, Some(p)))
    };
    let number = |t: &str| t.parse::<IpAddr>().map(crate::packet::addr_bits).map_err(|_| bad());
    let addr = match addr.split_once('-') {
        _ if addr.is_empty() => None,
        Some((lo, hi)) => Some(Expr::Range(number(lo)?, number(hi)?)),
        None => Some(Expr::Const(number(addr)?)),
    };
    let port = ports.map(port).transpose()?;
    Ok(vec![Stmt::Dnat { addr, port, map: None }])
}

/// A port or a range of them; what follows a `/` only shifts the range.
fn port(text: &str) -> Result<Expr, String> {
    let range = text.split_once('/').map_or(text, |(r, _)| r);
    let one = |t: &str| t.parse::<u16>().map(u128::from).map_err(|_| format!("`{text}` is not a port"));
    match range.split_once('-') {
        Some((lo, hi)) => Ok(Expr::Range(one(lo)?, one(hi)?)),
        None => Ok(Expr::Const(one(range)?)),
    }
}

/// The kernel computes (old & ~mask) ^ value for all of them (mark_tg, connmark_tg).
fn new_mark(options: &Options, old: &Expr) -> Result<Expr, String> {
    let formula = |value: u128, mask: u128| {
        let kept = Expr::And(Box::new(old.clone()), Box::new(Expr::Const(!mask & ALL)));
        Expr::Xor(Box::new(kept), Box::new(Expr::Const(value)))
    };
    if let Some(text) = options.get("--set-xmark") {
        let (value, mask) = value_mask(text)?;
        return Ok(formula(value, mask));
    }
    if let Some(text) = options.get("--set-mark") {
        let (value, mask) = value_mask(text)?;
        return Ok(formula(value, mask | value));
    }
    if let Some(text) = options.get("--and-mark") {
        return Ok(formula(0, !num(text)? & ALL));
    }
    if let Some(text) = options.get("--or-mark") {
        let bits = num(text)?;
        return Ok(formula(bits, bits));
    }
    if let Some(text) = options.get("--xor-mark") {
        return Ok(formula(num(text)?, 0));
    }
    Err("a mark without a value".into())
}

/// Saving and restoring: new = (old & ~mask of its own) ^ (other & mask of the other).
fn connmark(options: &Options) -> Result<Vec<Stmt>, String> {
    let (save, restore) = (options.has("--save-mark"), options.has("--restore-mark"));
    if !save && !restore {
        return Ok(vec![Stmt::SetCtMark(new_mark(options, &Expr::Field(Field::CtMark))?)]);
    }
    let mask = options.get("--mask").map(num).transpose()?;
    let nf = options.get("--nfmask").map(num).transpose()?.or(mask).unwrap_or(ALL);
    let ct = options.get("--ctmask").map(num).transpose()?.or(mask).unwrap_or(ALL);
    let mix = |own: Field, own_mask: u128, other: Field, other_mask: u128| {
        let kept = Expr::And(Box::new(Expr::Field(own)), Box::new(Expr::Const(!own_mask & ALL)));
        let taken = Expr::And(Box::new(Expr::Field(other)), Box::new(Expr::Const(other_mask)));
        Expr::Xor(Box::new(kept), Box::new(taken))
    };
    Ok(vec![if save {
        Stmt::SetCtMark(mix(Field::CtMark, ct, Field::Mark, nf))
    } else {
        Stmt::SetMark(mix(Field::Mark, nf, Field::CtMark, ct))
    }])
}
