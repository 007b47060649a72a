//! `ipset save` into sets, for `-m set --match-set` in an iptables text judged beside it.
//!
//! Each set knows which parts of a packet its type asks for. Types that ask for marks or hardware addresses, and
//! exceptions (`nomatch`) among joined fields, are kept as sets of unknown content.

use crate::model::{Kind, Ruleset};
use crate::nft::types::PROTOCOLS;
use crate::packet::prefix_range;
use crate::parse::Trouble;
use crate::set::{Datum, SetBuilder};
use crate::value::{name_bits, name_prefix};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What one dimension of a set asks for, on the side its `--match-set` direction names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Address,
    Port,
    Interface,
}

/// Of which family the set is, and what its dimensions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) v6: Option<bool>,
    pub(crate) parts: Vec<Part>,
}

struct Building {
    layout: Layout,
    builder: SetBuilder,
    /// One dimension, of addresses: how much of the packet's is looked up.
    netmask: Option<u32>,
    /// One dimension: its ranges, and whether each is an exception.
    nets: Vec<((u128, u128), bool)>,
    list: bool,
    members: Vec<String>,
}

pub(crate) fn looks_like(text: &str) -> bool {
    text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).is_some_and(|l| {
        l.starts_with("create ") && l.split_whitespace().nth(2).is_some_and(|kind| kind.contains(':'))
    })
}

pub(crate) fn read(text: &str) -> Result<Ruleset, Trouble> {
    let mut sets: HashMap<String, Building> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["create" | "-N", name, kind, options @ ..] => {
                sets.insert((*name).to_owned(), create(kind, options));
            }
            ["add" | "-A", name, element, options @ ..] => {
                let set = sets
                    .get_mut(*name)
                    .ok_or_else(|| Trouble::at(number, format!("the set {name} was not created")))?;
                add(set, element, options).map_err(|says| Trouble::at(number, says))?;
            }
            _ => return Err(Trouble::at(number, "`create SET TYPE …` or `add SET ELEMENT` was expected")),
        }
    }
    let finish = |mut b: Building| {
        for range in without_exceptions(std::mem::take(&mut b.nets)) {
            b.builder.add(vec![range], Datum::None);
        }
        let mut set = b.builder.build();
        set.layout = Some(b.layout);
        set.members = b.members;
        set
    };
    Ok(Ruleset {
        kind: Kind::Ipset,
        label: String::new(),
        covers_v4: false,
        covers_v6: false,
        notes: Vec::new(),
        tables: Vec::new(),
        ipsets: sets.into_iter().map(|(name, b)| (name, Arc::new(finish(b)))).collect(),
        changed_ipsets: Vec::new(),
        may_ask_time: false,
    })
}

fn create(kind: &str, options: &[&str]) -> Building {
    let (method, fields) = kind.split_once(':').unwrap_or((kind, ""));
    let v6 = options.windows(2).any(|w| w == ["family", "inet6"]);
    let mut parts = Vec::new();
    let mut unknown = None;
    for field in fields.split(',') {
        match field {
            "ip" | "net" => parts.push(Part::Address),
            "port" => parts.push(Part::Port),
            "iface" => parts.push(Part::Interface),
            _ => unknown = Some(format!("an ipset of type {kind}")),
        }
    }
    let list = method == "list";
    if list {
        unknown = None;
    }
    let family = parts.contains(&Part::Address).then_some(v6);
    let mut builder = SetBuilder::new(parts.len());
    // The packet's address is masked before it is looked up.
    let option = |name: &str| options.windows(2).find(|w| w[0] == name).map(|w| w[1]);
    let netmask = option("netmask").map(str::parse::<u32>);
    if option("bitmask").is_some()
        || matches!(netmask, Some(Err(_)))
        || (netmask.is_some() && parts.len() > 1)
    {
        unknown.get_or_insert_with(|| "an ipset with a mask".to_owned());
    }
    builder.unknown = unknown;
    let netmask = netmask.and_then(Result::ok);
    Building {
        layout: Layout { v6: family, parts },
        builder,
        netmask,
        nets: Vec::new(),
        list,
        members: Vec::new(),
    }
}

/// Of prefixes around an address the longest decides (hash:net); they are nested or apart.
fn without_exceptions(mut nets: Vec<((u128, u128), bool)>) -> Vec<(u128, u128)> {
    if nets.iter().all(|(_, except)| !except) {
        return nets.into_iter().map(|(range, _)| range).collect();
    }
    nets.sort_unstable_by_key(|((lo, hi), _)| (*lo, std::cmp::Reverse(*hi)));
    let mut out = Vec::new();
    let mut open: Vec<((u128, u128), bool)> = Vec::new();
    let mut at = 0;
    let mut upto = |open: &[((u128, u128), bool)], at: &mut u128, end: u128| {
        if let Some((_, false)) = open.last()
            && *at <= end
        {
            out.push((*at, end));
        }
        *at = (*at).max(end.saturating_add(1));
    };
    for net in nets {
        let (lo, _) = net.0;
        while let Some(((_, hi), _)) = open.last().copied().filter(|((_, hi), _)| *hi < lo) {
            upto(&open, &mut at, hi);
            open.pop();
        }
        if lo > 0 {
            upto(&open, &mut at, lo - 1);
        }
        at = lo;
        open.push(net);
    }
    while let Some(((_, hi), _)) = open.last().copied() {
        upto(&open, &mut at, hi);
        open.pop();
    }
    out
}

fn add(set: &mut Building, element: &str, options: &[&str]) -> Result<(), String> {
    if set.builder.unknown.is_some() {
        return Ok(());
    }
    if set.list {
        set.members.push(element.to_owned());
        return Ok(());
    }
    let except = options.contains(&"nomatch");
    if except && set.layout.parts != [Part::Address] {
        set.builder.unknown = Some("an ipset with exceptions (nomatch)".into());
        return Ok(());
    }
    let bad = || format!("`{element}` is not an element of this set");
    let fields: Vec<&str> = element.split(',').collect();
    if fields.len() != set.layout.parts.len() {
        return Err(bad());
    }
    let v6 = set.layout.v6 == Some(true);
    let mut key = Vec::with_capacity(fields.len());
    for (field, part) in fields.iter().zip(&set.layout.parts) {
        key.push(match part {
            Part::Address => {
                let (lo, hi) = addresses(field, v6).ok_or_else(bad)?;
                let width = if v6 { 128 } else { 32 };
                let len = set.netmask.map_or(width, |n| n.min(width));
                (prefix_range(lo, len, width).0, prefix_range(hi, len, width).1)
            }
            // Of another protocol: TCP does not find it.
            Part::Port => match ports(field).ok_or_else(bad)? {
                Some(range) => range,
                None => return Ok(()),
            },
            Part::Interface => {
                let name = field.strip_prefix("physdev:");
                if name.is_some() {
                    set.builder.unknown = Some("an ipset of bridge ports".into());
                    return Ok(());
                }
                match options.contains(&"wildcard") {
                    true => name_prefix(field),
                    false => name_bits(field).map(|b| (b, b)),
                }
                .ok_or_else(bad)?
            }
        });
    }
    match key.as_slice() {
        [range] => set.nets.push((*range, except)),
        _ => set.builder.add(key, Datum::None),
    }
    Ok(())
}

fn addresses(text: &str, v6: bool) -> Option<(u128, u128)> {
    let one = |t: &str| match t.parse::<IpAddr>().ok()? {
        ip if ip.is_ipv6() == v6 => Some(crate::packet::addr_bits(ip)),
        _ => None,
    };
    if let Some((addr, len)) = text.split_once('/') {
        let width = if v6 { 128 } else { 32 };
        let len = len.parse::<u32>().ok().filter(|l| *l <= width)?;
        return Some(prefix_range(one(addr)?, len, width));
    }
    match text.split_once('-') {
        Some((lo, hi)) => Some((one(lo)?, one(hi)?)),
        None => one(text).map(|n| (n, n)),
    }
}

/// `80`, `80-90`, `tcp:80`; `Some(None)` for another protocol.
fn ports(text: &str) -> Option<Option<(u128, u128)>> {
    let (protocol, range) = text.split_once(':').unwrap_or(("tcp", text));
    let number = PROTOCOLS.iter().find(|(name, _)| *name == protocol).map(|(_, n)| *n);
    if number.or_else(|| protocol.parse().ok()) != Some(6) {
        return Some(None);
    }
    let one = |t: &str| t.parse::<u16>().ok().map(u128::from);
    match range.split_once('-') {
        Some((lo, hi)) => Some(Some((one(lo)?, one(hi)?))),
        None => one(range).map(|n| Some((n, n))),
    }
}

#[cfg(test)]
mod tests {
    use super::without_exceptions;

    #[test]
    fn the_longest_prefix_decides() {
        let nets = vec![
            ((0, 255), false),
            ((16, 31), true),
            ((20, 20), false),
            ((300, 310), true),
            ((40, 40), true),
        ];
        assert_eq!(without_exceptions(nets), [(0, 15), (20, 20), (32, 39), (41, 255)]);
        assert_eq!(without_exceptions(vec![((0, u128::MAX), false), ((0, 0), true)]), [(1, u128::MAX)]);
    }
}
