//! nft's data types: how wide they are, and which numbers their words stand for.
//!
//! Sources: nftables' symbol tables (datatype.c, ct.c, meta.c, proto.c), which follow the kernel's headers.

use crate::clock::{parse_date, parse_time};
use crate::packet::prefix_range;
use crate::value::{name_bits, name_prefix};
use serde_json::Value as Json;
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Ipv4,
    Ipv6,
    Port,
    Proto,
    Mark,
    IfName,
    /// Listed by name; a bare number is an interface that is gone.
    IfIndex,
    CtState,
    CtStatus,
    CtDirection,
    TcpFlags,
    Id,
    AddrKind,
    PktKind,
    NfProto,
    EtherProto,
    Ether,
    ArpHrd,
    Dscp,
    Ecn,
    Hour,
    Weekday,
    Date,
    Priority,
    /// The number of a bit.
    Bit,
    /// An address of either family.
    Address,
    Number,
    /// Of no known type: only its numbers can be read.
    Other,
}

impl Type {
    /// By the name a set's declaration uses.
    pub(super) fn by_name(name: &str) -> Self {
        match name {
            "ipv4_addr" => Self::Ipv4,
            "ipv6_addr" => Self::Ipv6,
            "inet_service" => Self::Port,
            "inet_proto" => Self::Proto,
            "mark" => Self::Mark,
            "ifname" => Self::IfName,
            "iface_index" => Self::IfIndex,
            "ct_state" => Self::CtState,
            "ct_status" => Self::CtStatus,
            "ct_dir" => Self::CtDirection,
            "tcp_flag" => Self::TcpFlags,
            "uid" | "gid" => Self::Id,
            "fib_addrtype" => Self::AddrKind,
            "pkt_type" => Self::PktKind,
            "nf_proto" => Self::NfProto,
            "ether_type" => Self::EtherProto,
            "ether_addr" => Self::Ether,
            "dscp" => Self::Dscp,
            "ecn" => Self::Ecn,
            "hour" => Self::Hour,
            "day" => Self::Weekday,
            "time" => Self::Date,
            "integer" | "boolean" => Self::Number,
            _ => Self::Other,
        }
    }

    fn width(self) -> u32 {
        match self {
            Self::Ipv6 => 128,
            Self::Port | Self::EtherProto => 16,
            Self::Proto | Self::TcpFlags => 8,
            Self::Ether => 48,
            _ => 32,
        }
    }

    fn symbol(self, word: &str) -> Option<(u128, u128)> {
        let one = |n: u128| Some((n, n));
        let look = |table: &[(&str, u128)]| table.iter().find(|(w, _)| *w == word).map(|(_, n)| (*n, *n));
        match self {
            Self::Ipv4 => one(u128::from(u32::from(word.parse::<Ipv4Addr>().ok()?))),
            Self::Ipv6 => one(u128::from(word.parse::<Ipv6Addr>().ok()?)),
            Self::IfName | Self::IfIndex => interface(word),
            Self::Ether => one(mac(word)?),
            Self::Port => look(PORTS),
            Self::Proto => look(PROTOCOLS),
            Self::CtState => look(CT_STATES),
            Self::CtStatus => look(CT_STATUS),
            Self::CtDirection => look(&[("original", 0), ("reply", 1)]),
            Self::TcpFlags => look(TCP_FLAGS),
            Self::Id => look(&[("root", 0)]),
            Self::AddrKind => look(ADDR_TYPES),
            Self::PktKind => {
                look(&[("host", 0), ("unicast", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)])
            }
            Self::ArpHrd => look(ARPHRD),
            Self::NfProto => look(&[("ipv4", 2), ("ipv6", 10)]),
            Self::EtherProto => look(&[
                ("ip", 0x0800),
                ("arp", 0x0806),
                ("ip6", 0x86dd),
                ("8021q", 0x8100),
                ("8021ad", 0x88a8),
                ("vlan", 0x8100),
            ]),
            Self::Dscp => look(DSCP),
            Self::Ecn => look(&[("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)]),
            Self::Weekday => look(DAYS),
            Self::Hour => one(u128::try_from(parse_time(word)?).ok()?),
            // Before 1970 was nothing.
            Self::Date => one(u128::try_from(parse_date(word)?).unwrap_or(0)),
            Self::Priority if word == "none" => one(0),
            Self::Priority => one(handle(word)?),
            Self::Bit => one(1 << word.parse::<u32>().ok().filter(|n| *n < 128)?),
            Self::Address => return Self::Ipv4.symbol(word).or_else(|| Self::Ipv6.symbol(word)),
            Self::Mark | Self::Number | Self::Other => None,
        }
        .or_else(|| number(word))
        .or_else(|| if self == Self::Proto { other_protocol(word) } else { None })
    }

    /// A constant as the range of numbers it stands for; `None` if it is not understood.
    pub(super) fn constant(self, json: &Json) -> Option<(u128, u128)> {
        match json {
            Json::Number(_) if self == Self::IfIndex => Some(NOTHING),
            Json::Number(n) if self == Self::EtherProto => n.as_u64().map(ether_number),
            Json::Number(n) if self == Self::Bit => self.symbol(&n.to_string()),
            Json::Number(n) => n.as_u64().map(|n| (u128::from(n), u128::from(n))),
            Json::Bool(b) => Some((u128::from(*b), u128::from(*b))),
            Json::String(word) => self.symbol(word),
            Json::Array(words) => self.flags(words),
            Json::Object(map) => {
                let (key, inner) = map.iter().next()?;
                match (key.as_str(), map.len()) {
                    ("elem", 1) => self.constant(inner.get("val")?),
                    ("prefix", 1) if self == Self::Address => {
                        Self::Ipv4.prefix(inner).or_else(|| Self::Ipv6.prefix(inner))
                    }
                    ("prefix", 1) => self.prefix(inner),
                    ("range", 1) => {
                        let ends = inner.as_array().filter(|a| a.len() == 2)?;
                        Some((self.constant(&ends[0])?.0, self.constant(&ends[1])?.1))
                    }
                    ("|", 1) => self.flags(inner.as_array()?),
                    _ => None,
                }
            }
            Json::Null => None,
        }
    }

    fn prefix(self, json: &Json) -> Option<(u128, u128)> {
        let (addr, _) = self.constant(json.get("addr")?)?;
        let len = u32::try_from(json.get("len")?.as_u64()?).ok().filter(|l| *l <= self.width())?;
        Some(prefix_range(addr, len, self.width()))
    }

    fn flags(self, words: &[Json]) -> Option<(u128, u128)> {
        let mut all = 0;
        for word in words {
            let (lo, hi) = self.constant(word)?;
            if lo != hi {
                return None;
            }
            all |= lo;
        }
        Some((all, all))
    }
}

/// With `-n` nft lists 0x0800 as 8: in the order of the packet's bytes, read as this machine's.
fn ether_number(n: u64) -> (u128, u128) {
    let n = u128::from(n);
    let swapped = u16::try_from(n).map_or(n, |n| n.swap_bytes().into());
    let known = [0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8].contains(&swapped);
    if known { (swapped, swapped) } else { (n, n) }
}

/// A class of queueing, `1:10`, in hexadecimal.
fn handle(word: &str) -> Option<u128> {
    let (major, minor) = word.split_once(':')?;
    let part = |t: &str| if t.is_empty() { Some(0) } else { u128::from_str_radix(t, 16).ok() };
    Some((part(major)? << 16) | part(minor)?)
}

/// A range that nothing is in.
const NOTHING: (u128, u128) = (1, 0);

fn interface(word: &str) -> Option<(u128, u128)> {
    if let Some(prefix) = word.strip_suffix("\\*") {
        let bits = name_bits(&format!("{prefix}*"))?;
        return Some((bits, bits));
    }
    match word.strip_suffix('*') {
        Some(prefix) => name_prefix(prefix),
        None => name_bits(word).map(|b| (b, b)),
    }
}

/// A name out of /etc/protocols: a number beyond those of protocols, of its own.
fn other_protocol(word: &str) -> Option<(u128, u128)> {
    let bytes = word.bytes().take(12);
    let n = bytes.fold(1u128, |n, b| (n << 8) | u128::from(b));
    word.starts_with(|c: char| c.is_ascii_alphabetic()).then_some((n, n))
}

fn number(word: &str) -> Option<(u128, u128)> {
    // nft's own words for a number whose type it lost, as in `ct original proto-dst { 6379 }`.
    let word = word.strip_suffix(" [invalid type]").unwrap_or(word);
    let n = match word.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok()?,
        None => word.parse().ok()?,
    };
    Some((n, n))
}

fn mac(word: &str) -> Option<u128> {
    let mut out = 0u128;
    let mut count = 0;
    for part in word.split(':') {
        out = (out << 8) | u128::from(u8::from_str_radix(part, 16).ok()?);
        count += 1;
    }
    (count == 6).then_some(out)
}

pub(crate) const PROTOCOLS: &[(&str, u128)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipv4", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("comp", 108),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
    ("mptcp", 262),
];

/// Of the service names `nft -S` and `iptables` may print, those around which a rule for Redis is likely to stand.
pub(crate) const PORTS: &[(&str, u128)] = &[
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("http", 80),
    ("ntp", 123),
    ("imap2", 143),
    ("snmp", 161),
    ("https", 443),
    ("submission", 587),
    ("imaps", 993),
    ("mysql", 3306),
    ("postgresql", 5432),
    ("redis", 6379),
    ("http-alt", 8080),
];

/// RFC 2474, 2597, 3246, 5865, 8622; nftables' proto.c.
pub(crate) const DSCP: &[(&str, u128)] = &[
    ("cs0", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("df", 0),
    ("be", 0),
    ("lephb", 1),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("va", 44),
    ("ef", 46),
];

const DAYS: &[(&str, u128)] = &[
    ("Sunday", 0),
    ("Monday", 1),
    ("Tuesday", 2),
    ("Wednesday", 3),
    ("Thursday", 4),
    ("Friday", 5),
    ("Saturday", 6),
];

/// linux/if_arp.h
const ARPHRD: &[(&str, u128)] = &[
    ("ether", 1),
    ("ppp", 512),
    ("ipip", 768),
    ("ipip6", 769),
    ("loopback", 772),
    ("sit", 776),
    ("ipgre", 778),
];

const CT_STATES: &[(&str, u128)] =
    &[("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64)];

const CT_STATUS: &[(&str, u128)] = &[
    ("expected", 1),
    ("seen-reply", 2),
    ("assured", 4),
    ("confirmed", 8),
    ("snat", 16),
    ("dnat", 32),
    ("dying", 512),
];

pub(crate) const TCP_FLAGS: &[(&str, u128)] = &[
    ("fin", 1),
    ("syn", 2),
    ("rst", 4),
    ("psh", 8),
    ("ack", 16),
    ("urg", 32),
    ("ecn", 64),
    ("ece", 64),
    ("cwr", 128),
];

pub(crate) const ADDR_TYPES: &[(&str, u128)] = &[
    ("unspec", 0),
    ("unicast", 1),
    ("local", 2),
    ("broadcast", 3),
    ("anycast", 4),
    ("multicast", 5),
    ("blackhole", 6),
    ("unreachable", 7),
    ("prohibit", 8),
];
