//! What one word of `bind` stands for on a machine with these addresses.

use super::server::Address;
use std::net::IpAddr;

/// Whether the server could listen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindWord {
    /// It is here, or nothing speaks against it: a wildcard, a name.
    Here,
    /// No interface has it.
    Missing,
    /// It is in duplicate detection or lost it: bind(2) says EADDRNOTAVAIL.
    Tentative,
    /// Link-local without its interface, EINVAL: these have the address.
    NoInterface(Vec<String>),
    /// Link-local, and on these interfaces instead of the named one, which is here: EADDRNOTAVAIL.
    OtherInterface(Vec<String>),
    /// Link-local on an interface that is not seen here: its name is not resolved, which no `-` forgives. These have the
    /// address.
    UnknownInterface(Vec<String>),
}

impl BindWord {
    /// Of a word, its `-` left out.
    pub fn of(word: &str, own: &[Address]) -> Self {
        let (text, scope) = word.split_once('%').map_or((word, None), |(text, scope)| (text, Some(scope)));
        let Ok(ip) = text.parse::<IpAddr>() else { return Self::Here };
        // All of 127.0.0.0/8 is local to lo (net/ipv4/devinet.c), whatever addresses are set.
        if ip.is_unspecified() || (ip.is_ipv4() && ip.is_loopback()) {
            return Self::Here;
        }
        let found: Vec<&Address> =
            own.iter().filter(|o| o.address.to_canonical() == ip.to_canonical()).collect();
        let devs = || found.iter().map(|o| o.dev.clone()).collect::<Vec<_>>();
        let on = match (ip, scope) {
            (IpAddr::V6(v6), None) if v6.is_unicast_link_local() => return Self::NoInterface(devs()),
            // By its index, which addresses do not tell.
            (IpAddr::V6(v6), Some(dev)) if v6.is_unicast_link_local() && dev.parse::<u32>().is_err() => {
                let here: Vec<&Address> = found.iter().copied().filter(|o| o.dev == dev).collect();
                match (here.is_empty(), own.iter().any(|o| o.dev == dev)) {
                    (true, false) => return Self::UnknownInterface(devs()),
                    (true, true) if !found.is_empty() => return Self::OtherInterface(devs()),
                    _ => here,
                }
            }
            _ => found.clone(),
        };
        match on.first() {
            None => Self::Missing,
            Some(_) if on.iter().all(|o| o.tentative) => Self::Tentative,
            Some(_) => Self::Here,
        }
    }

    /// What is wrong with it, none where nothing is.
    pub fn says(&self, word: &str) -> Option<String> {
        let on = |devs: &[String]| match devs {
            [] => "no interface has it".to_owned(),
            _ => format!("it is on {}", devs.join(" and ")),
        };
        Some(match self {
            Self::Here => return None,
            Self::Missing => format!("{word}, which no interface has"),
            Self::Tentative => {
                format!(
                    "{word}, which is tentative: duplicate address detection is at work, or found another host with it"
                )
            }
            Self::NoInterface(devs) => {
                format!(
                    "{word} without its interface, as a link-local address needs (ADDRESS%INTERFACE); {}",
                    on(devs)
                )
            }
            Self::OtherInterface(devs) => format!("{word}; {}", on(devs)),
            Self::UnknownInterface(devs) => format!("{word}, whose interface is not here; {}", on(devs)),
        })
    }

    /// The word with the interface that has the address, where it is one.
    pub fn corrected(&self, word: &str) -> Option<String> {
        let (Self::NoInterface(devs) | Self::OtherInterface(devs) | Self::UnknownInterface(devs)) = self
        else {
            return None;
        };
        let [dev] = devs.as_slice() else { return None };
        Some(format!("{}%{dev}", word.split('%').next().unwrap_or(word)))
    }

    /// A `-` before the word makes the server go on without it: what it forgives is EADDRNOTAVAIL alone.
    pub fn is_forgiven(&self) -> bool {
        matches!(self, Self::Missing | Self::Tentative | Self::OtherInterface(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, BindWord};

    fn own(dev: &str, address: &str, tentative: bool) -> Address {
        Address { dev: dev.to_owned(), address: address.parse().unwrap(), prefix: 64, up: true, tentative }
    }

    #[test]
    fn link_local_addresses_need_their_interface() {
        let own = [own("lo", "::1", false), own("eth0", "fe80::1", false), own("eth1", "fe80::2", true)];
        let of = |word: &str| BindWord::of(word, &own);
        for word in ["*", "::", "localhost", "127.9.9.9", "::1", "fe80::1%eth0", "fe80::1%2"] {
            assert_eq!(of(word), BindWord::Here, "{word}");
        }
        assert_eq!(of("10.0.0.1"), BindWord::Missing);
        assert_eq!(of("fe80::3%eth0"), BindWord::Missing);
        assert_eq!(of("fe80::2%eth1"), BindWord::Tentative);
        assert_eq!(of("fe80::1").corrected("fe80::1").as_deref(), Some("fe80::1%eth0"));
        assert_eq!(of("fe80::1%lo").corrected("fe80::1%lo").as_deref(), Some("fe80::1%eth0"));
        assert_eq!(of("fe80::1%wg0"), BindWord::UnknownInterface(vec!["eth0".to_owned()]));
        assert!(!of("fe80::1%wg0").is_forgiven() && of("fe80::1%lo").is_forgiven());
    }
}
