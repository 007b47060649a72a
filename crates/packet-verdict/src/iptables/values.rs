//! Arguments of matches: rates, ports, interfaces, flags, states.

use crate::judge::{ct, rtn};
use crate::model::{Cond, Expr, Field, Op};
use crate::nft::types::{ADDR_TYPES, PORTS, PROTOCOLS, TCP_FLAGS};
use crate::value::{name_bits, name_prefix};

/// `25/sec`, `3/min`, `512kb/s` for bytes, of which a SYN has less than 100.
pub(super) fn rate_per_second(text: &str) -> Option<f64> {
    let (rate, per) = text.split_once('/')?;
    let seconds = match per.chars().next()? {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        'd' => 86_400.0,
        _ => return None,
    };
    let digits = rate.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &rate[digits.len()..] {
        "" => 1.0,
        "b" => 0.01,
        "kb" => 10.24,
        "mb" => 10_485.76,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * unit / seconds)
}

/// Reserved (RFC 3692): no packet carries it.
const OTHER_PROTOCOL: u128 = 255;

pub(super) fn protocol(text: &str) -> Result<u128, String> {
    let lower = text.to_ascii_lowercase();
    if lower == "all" || lower == "ip" {
        return Ok(0);
    }
    let named = PROTOCOLS.iter().find(|(name, _)| *name == lower).map(|(_, n)| *n);
    named
        .or_else(|| lower.parse::<u8>().ok().map(u128::from))
        // A name out of /etc/protocols that is not above: whatever its number, it is not TCP's.
        .or_else(|| lower.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(OTHER_PROTOCOL))
        .ok_or(format!("the protocol `{text}` is not known"))
}

pub(super) fn port_range(text: &str) -> Result<(u128, u128), String> {
    let one = |t: &str| {
        let named = PORTS.iter().find(|(name, _)| *name == t).map(|(_, n)| *n);
        named.or_else(|| t.parse::<u16>().ok().map(u128::from)).ok_or(format!("`{t}` is not a port"))
    };
    match text.split_once(':') {
        None => one(text).map(|n| (n, n)),
        Some((lo, hi)) => {
            let lo = if lo.is_empty() { 0 } else { one(lo)? };
            let hi = if hi.is_empty() { 65535 } else { one(hi)? };
            Ok((lo, hi))
        }
    }
}

pub(super) fn interface(field: Field, name: &str) -> Result<Cond, String> {
    let range = match name.strip_suffix('+') {
        Some(prefix) => name_prefix(prefix),
        None => name_bits(name).map(|b| (b, b)),
    };
    let (lo, hi) = range.ok_or_else(|| format!("`{name}` is not an interface name"))?;
    let right = if lo == hi { Expr::Const(lo) } else { Expr::Range(lo, hi) };
    Ok(Cond::Cmp(Expr::Field(field), Op::Eq, right))
}

pub(super) fn flag_bits(text: &str) -> Result<u128, String> {
    let mut bits = 0;
    for word in text.split(',') {
        let lower = word.to_ascii_lowercase();
        bits |= match lower.as_str() {
            "none" => 0,
            "all" => 0x3f,
            other => TCP_FLAGS
                .iter()
                .find(|(name, _)| *name == other)
                .map(|(_, n)| *n)
                .ok_or_else(|| format!("the TCP flag {word} is not known"))?,
        };
    }
    Ok(bits)
}

/// conntrack's list also knows SNAT and DNAT, which are kept in the status.
pub(super) fn states(text: &str, virtual_too: bool) -> Result<Cond, String> {
    let (mut mask, mut status) = (0, 0);
    for word in text.split(',') {
        match word {
            "INVALID" => mask |= ct::INVALID,
            "ESTABLISHED" => mask |= ct::ESTABLISHED,
            "RELATED" => mask |= 4,
            "NEW" => mask |= ct::NEW,
            "UNTRACKED" => mask |= ct::UNTRACKED,
            "SNAT" if virtual_too => status |= ct::SNAT,
            "DNAT" if virtual_too => status |= ct::DNAT,
            other => return Err(format!("the connection state {other} is not known")),
        }
    }
    let state = Cond::AnyBit(Expr::Field(Field::CtState), mask, false);
    if status == 0 {
        return Ok(state);
    }
    Ok(Cond::Any(vec![state, Cond::AnyBit(Expr::Field(Field::CtStatus), status, false)]))
}

/// IPv4 asks for any of the kinds. IPv6 asks for all: UNICAST is whatever is not multicast, LOCAL and the like are looked
/// up in the routes (match_type6 in xt_addrtype.c).
pub(super) fn kinds(field: Field, text: &str, v6: bool) -> Result<Cond, String> {
    let (mut any, mut all) = (Vec::new(), Vec::new());
    for word in text.split(',') {
        let lower = word.to_ascii_lowercase();
        let known = ADDR_TYPES.iter().find(|(name, _)| *name == lower).map(|(_, n)| *n);
        match known {
            Some(rtn::UNICAST) if v6 => {
                all.push(Cond::Cmp(Expr::Field(field), Op::Ne, Expr::Const(rtn::MULTICAST)));
            }
            Some(rtn::MULTICAST) if v6 => {
                all.push(Cond::Cmp(Expr::Field(field), Op::Eq, Expr::Const(rtn::MULTICAST)));
            }
            Some(n) => any.push(Cond::Cmp(Expr::Field(field), Op::Eq, Expr::Const(n))),
            None if ["throw", "nat", "xresolve"].contains(&lower.as_str()) => any.push(Cond::Never),
            None => return Err(format!("the kind of address {word} is not known")),
        }
    }
    if !v6 || !any.is_empty() {
        all.push(Cond::Any(any));
    }
    Ok(Cond::All(all))
}

pub(super) fn id_range(text: &str) -> Option<(u128, u128)> {
    let (lo, hi) = text.split_once('-').unwrap_or((text, text));
    let one = |t: &str| if t == "root" { Some(0) } else { t.parse::<u32>().ok().map(u128::from) };
    Some((one(lo)?, one(hi)?))
}

pub(super) fn num(text: &str) -> Result<u128, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse::<u32>(),
    };
    parsed.map(u128::from).map_err(|_| format!("`{text}` is not a number of 32 bits"))
}

pub(super) fn value_mask(text: &str) -> Result<(u128, u128), String> {
    match text.split_once('/') {
        Some((value, mask)) => Ok((num(value)?, num(mask)?)),
        None => Ok((num(text)?, u128::from(u32::MAX))),
    }
}
