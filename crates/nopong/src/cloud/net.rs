//! Addresses, networks and ports as the clouds' rules write them, and the three answers a rule can give.

use std::net::IpAddr;

/// Does a rule's part apply?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// Not to be told from what was read, and why.
    Maybe(String),
}

impl Match {
    /// Both parts have to apply.
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Maybe(why) => match other() {
                Self::No => Self::No,
                Self::Yes | Self::Maybe(_) => Self::Maybe(why),
            },
        }
    }

    /// One of them is enough.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let mut best = Self::No;
        for one in all {
            match one {
                Self::Yes => return Self::Yes,
                Self::Maybe(_) if best == Self::No => best = one,
                Self::Maybe(_) | Self::No => {}
            }
        }
        best
    }

    pub(super) fn of(applies: bool) -> Self {
        if applies { Self::Yes } else { Self::No }
    }
}

/// A network: address and prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    address: IpAddr,
    prefix: u8,
}

impl Net {
    /// `10.0.0.0/8`, `fd00::/8`, or an address alone.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) =
            text.trim().split_once('/').map_or((text.trim(), None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(width), |p| p.parse().ok())?;
        (prefix <= width).then_some(Self { address, prefix })
    }

    pub(super) fn holds(self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(net).checked_shr(shift).unwrap_or(0)
                    == u32::from(ip).checked_shr(shift).unwrap_or(0)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(net).checked_shr(shift).unwrap_or(0)
                    == u128::from(ip).checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    }

    /// Nothing but addresses that no packet from the internet has as its source.
    fn is_private(self) -> bool {
        let least = match self.address {
            IpAddr::V4(v4) => match v4.octets() {
                [10, ..] => 8,
                [172, b, ..] if (16..32).contains(&b) => 12,
                [192, 168, ..] | [169, 254, ..] => 16,
                [100, b, ..] if (64..128).contains(&b) => 10,
                _ => return false,
            },
            IpAddr::V6(v6) if v6.segments()[0] & 0xfe00 == 0xfc00 => 7,
            IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80 => 10,
            IpAddr::V6(_) => return false,
        };
        self.prefix >= least
    }
}

/// Not routed on the internet: RFC 1918, 6598, 4193, 3927, 4291 section 2.5.6.
pub(super) fn is_private(ip: IpAddr) -> bool {
    Net { address: ip, prefix: if ip.is_ipv4() { 32 } else { 128 } }.is_private()
}

/// The other end of a connection, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Its address.
    At(IpAddr),
    /// Some address of the internet.
    Internet { v6: bool },
    /// Any address at all.
    Anywhere { v6: bool },
}

impl Peer {
    pub(super) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::At(ip) => Some(ip),
            Self::Internet { .. } | Self::Anywhere { .. } => None,
        }
    }

    pub(super) fn is_v6(self) -> bool {
        match self {
            Self::At(ip) => ip.is_ipv6(),
            Self::Internet { v6 } | Self::Anywhere { v6 } => v6,
        }
    }

    /// It comes from the internet, for certain.
    pub(super) fn is_public(self) -> bool {
        match self {
            Self::At(ip) => !is_private(ip),
            Self::Internet { .. } => true,
            Self::Anywhere { .. } => false,
        }
    }

    /// Is the peer in that network?
    pub(super) fn within(self, net: Net) -> Match {
        let v6 = match self {
            Self::At(ip) => return Match::of(net.holds(ip)),
            Self::Internet { v6 } | Self::Anywhere { v6 } => v6,
        };
        if net.address.is_ipv6() != v6 {
            return Match::No;
        }
        match self {
            _ if net.prefix == 0 => Match::Yes,
            Self::Internet { .. } if net.is_private() => Match::No,
            _ => Match::Maybe("the client's address as the cloud sees it is not known".to_owned()),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(ip) => ip.fmt(f),
            Self::Internet { .. } => f.write_str("any address of the internet"),
            Self::Anywhere { .. } => f.write_str("any address"),
        }
    }
}

/// `6379`, `6000-7000`, `*`; none when it is none of these.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let text = text.trim();
    if text == "*" {
        return Some((0, u16::MAX));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
}

/// The port is in one of these ranges.
pub(super) fn holds_port<'a>(ranges: impl IntoIterator<Item = &'a str>, port: u16) -> Match {
    Match::any(ranges.into_iter().map(|text| match ports(text) {
        Some((low, high)) => Match::of((low..=high).contains(&port)),
        None => Match::Maybe(format!("the port range {} is not understood", shown(text))),
    }))
}

/// A foreign word, bounded and harmless.
pub(super) fn shown(text: &str) -> String {
    crate::text::shown_str(text, 80)
}

/// The first rule that applies decides. Rules of which it cannot be told matter only where they would change that.
pub(super) fn first_match<R>(
    rules: impl IntoIterator<Item = (Match, bool, R)>,
    otherwise: (bool, R),
) -> Result<(bool, R), String> {
    let mut doubts: Vec<(bool, String)> = Vec::new();
    let mut end = otherwise;
    for (applies, allows, rule) in rules {
        match applies {
            Match::No => {}
            Match::Maybe(why) => doubts.push((allows, why)),
            Match::Yes => {
                end = (allows, rule);
                break;
            }
        }
    }
    match doubts.into_iter().find(|(allows, _)| *allows != end.0) {
        Some((_, why)) => Err(why),
        None => Ok(end),
    }
}

#[cfg(test)]
mod tests {
    use super::{Match, Net, Peer, first_match, holds_port, is_private};

    fn net(text: &str) -> Net {
        Net::parse(text).expect("a network")
    }

    #[test]
    fn networks_hold_their_addresses() {
        assert!(net("10.0.0.0/8").holds("10.255.0.1".parse().unwrap()));
        assert!(!net("10.0.0.0/9").holds("10.255.0.1".parse().unwrap()));
        assert!(net("0.0.0.0/0").holds("203.0.113.1".parse().unwrap()));
        assert!(!net("0.0.0.0/0").holds("::1".parse().unwrap()));
        assert!(net("::/0").holds("fd00::1".parse().unwrap()));
        assert!(net("fd00::7").holds("fd00::7".parse().unwrap()));
        for bad in ["", "/", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1"] {
            assert_eq!(Net::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_peer_not_known_is_in_the_whole_world_only() {
        let internet = Peer::Internet { v6: false };
        assert_eq!(internet.within(net("0.0.0.0/0")), Match::Yes);
        assert_eq!(internet.within(net("::/0")), Match::No);
        assert_eq!(internet.within(net("10.0.0.0/8")), Match::No);
        assert!(matches!(internet.within(net("203.0.113.0/24")), Match::Maybe(_)));
        assert!(matches!(Peer::Anywhere { v6: false }.within(net("10.0.0.0/8")), Match::Maybe(_)));
        assert!(is_private("172.31.0.1".parse().unwrap()) && !is_private("172.32.0.1".parse().unwrap()));
    }

    #[test]
    fn ports_in_words() {
        assert_eq!(holds_port(["80", "6000-7000"], 6379), Match::Yes);
        assert_eq!(holds_port(["*"], 6379), Match::Yes);
        assert_eq!(holds_port(["80"], 6379), Match::No);
        assert!(matches!(holds_port(["http"], 6379), Match::Maybe(_)));
    }

    #[test]
    fn a_doubt_counts_only_where_it_would_change_the_end() {
        let maybe = || Match::Maybe("why".to_owned());
        assert_eq!(first_match([(maybe(), true, 1), (Match::Yes, true, 2)], (false, 3)), Ok((true, 2)));
        assert_eq!(first_match([(maybe(), true, 1), (Match::Yes, false, 2)], (true, 3)), Err("why".into()));
        assert_eq!(first_match([(Match::No, true, 1)], (false, 3)), Ok((false, 3)));
        assert_eq!(first_match([(Match::Yes, true, 1), (maybe(), false, 2)], (false, 3)), Ok((true, 1)));
    }
}
