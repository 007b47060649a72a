//! Random rule sets over everything the crate claims to understand, biased towards matching the packet.

use crate::net::{BEHIND_V4, BEHIND_V6, Host, OWN_V4, OWN_V6, PORTS, SOURCES_V4, SOURCES_V6};
use crate::rng::Rng;
use crate::spec::{Case, Chain, Table, Tool};
use crate::{iptables, iptables_more, nft};

/// The packet all rules are about, and the dice.
pub(crate) struct Gen {
    pub(crate) rng: Rng,
    pub(crate) v4: bool,
    pub(crate) from: Host,
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) port: u16,
}

pub(crate) fn case(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let v4 = rng.chance(65);
    let own = if v4 { OWN_V4 } else { OWN_V6 };
    let behind = if v4 { BEHIND_V4 } else { BEHIND_V6 };
    let sources = if v4 { SOURCES_V4 } else { SOURCES_V6 };
    let (from, src, dst) = match rng.below(10) {
        0..=5 => (Host::Client, rng.pick(&sources), rng.pick(&own)),
        6 | 7 => (Host::Client, rng.pick(&sources), behind),
        _ => (Host::Rules, if v4 { "10.78.0.1" } else { "fd78::1" }, behind),
    };
    let port = if rng.chance(70) { 6379 } else { PORTS[rng.below(PORTS.len())] };
    let mut g = Gen { rng, v4, from, src: src.into(), dst: dst.into(), port };
    let mut tables = match g.rng.below(11) {
        10 => {
            let mut both = nft::tables(&mut g);
            both.extend(iptables::tables(&mut g, Tool::IptablesNft));
            both
        }
        0..=4 => nft::tables(&mut g),
        5 | 6 => iptables::tables(&mut g, Tool::IptablesNft),
        7 | 8 => iptables::tables(&mut g, Tool::IptablesLegacy),
        _ => {
            let mut both = nft::tables(&mut g);
            both.extend(iptables::tables(&mut g, Tool::IptablesLegacy));
            both
        }
    };
    let asks = |tables: &[Table]| {
        let mut rules = tables.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules);
        rules.any(|r| r.contains("-m set ") || r.contains("-j SET "))
    };
    let ipsets = if asks(&tables) { iptables_more::ipsets(&mut g) } else { Vec::new() };
    tables.sort_by_key(|t| t.tool as u8);
    let ip = |s: &str| s.parse().expect("an address");
    Case { seed, from, src: ip(src), dst: ip(dst), port, tables, ipsets }
}

impl Gen {
    pub(crate) fn forwards(&self) -> bool {
        self.from == Host::Client && (self.dst == BEHIND_V4 || self.dst == BEHIND_V6)
    }

    /// Hooks the packet meets on the host with the rules.
    pub(crate) fn hooks(&self) -> &'static [&'static str] {
        match (self.from, self.forwards()) {
            (Host::Rules, _) => &["output"],
            (_, true) => &["prerouting", "forward"],
            _ => &["prerouting", "input"],
        }
    }

    pub(crate) fn main_hook(&self) -> &'static str {
        self.hooks()[self.hooks().len() - 1]
    }

    fn any_address(&mut self) -> String {
        let list: Vec<&str> = if self.v4 {
            SOURCES_V4.iter().chain(&OWN_V4).copied().chain([BEHIND_V4, "10.78.0.1"]).collect()
        } else {
            SOURCES_V6.iter().chain(&OWN_V6).copied().chain([BEHIND_V6, "fd78::1"]).collect()
        };
        list[self.rng.below(list.len())].to_owned()
    }

    /// The packet's own address in most cases, any other in the rest.
    pub(crate) fn address(&mut self, source: bool) -> String {
        if self.rng.chance(65) {
            if source { self.src.clone() } else { self.dst.clone() }
        } else {
            self.any_address()
        }
    }

    /// A prefix around an address.
    pub(crate) fn prefix(&mut self, source: bool) -> String {
        let addr = self.address(source);
        let len = if self.v4 {
            [8, 16, 24, 25, 30, 31][self.rng.below(6)]
        } else {
            [16, 32, 64, 120, 126][self.rng.below(5)]
        };
        network(&addr, len)
    }

    pub(crate) fn range(&mut self, source: bool) -> (String, String) {
        let addr = self.address(source);
        let (below, above) = (self.rng.below(4) as i64, self.rng.below(4) as i64);
        (shift(&addr, -below), shift(&addr, above))
    }

    pub(crate) fn a_port(&mut self) -> u16 {
        if self.rng.chance(60) { self.port } else { PORTS[self.rng.below(PORTS.len())] }
    }

    pub(crate) fn port_range(&mut self) -> (u16, u16) {
        let port = self.a_port();
        let lo = port.saturating_sub(u16::try_from(self.rng.below(200)).expect("small"));
        let hi = port.saturating_add(u16::try_from(self.rng.below(200)).expect("small"));
        (lo.max(1), hi)
    }

    pub(crate) fn iface(&mut self) -> &'static str {
        self.rng.pick(&["eth0", "eth0", "eth0", "eth1", "lo", "wg0", "docker0"])
    }

    pub(crate) fn mark(&mut self) -> u32 {
        [0, 1, 2, 3, 0x10, 0x4000, 0xff00][self.rng.below(7)]
    }
}

fn network(addr: &str, len: u32) -> String {
    match addr.parse().expect("an address") {
        std::net::IpAddr::V4(a) => {
            let mask = u32::MAX << (32 - len);
            format!("{}/{len}", std::net::Ipv4Addr::from(u32::from(a) & mask))
        }
        std::net::IpAddr::V6(a) => {
            let mask = u128::MAX << (128 - len);
            format!("{}/{len}", std::net::Ipv6Addr::from(u128::from(a) & mask))
        }
    }
}

fn shift(addr: &str, by: i64) -> String {
    match addr.parse().expect("an address") {
        std::net::IpAddr::V4(a) => {
            std::net::Ipv4Addr::from(u32::from(a).wrapping_add_signed(i32::try_from(by).expect("small")))
                .to_string()
        }
        std::net::IpAddr::V6(a) => {
            std::net::Ipv6Addr::from(u128::from(a).wrapping_add_signed(by.into())).to_string()
        }
    }
}

pub(crate) fn chain(name: &str, head: Option<String>) -> Chain {
    Chain { name: name.to_owned(), head, rules: Vec::new() }
}

pub(crate) fn table(tool: Tool, name: &str) -> Table {
    Table { tool, name: name.to_owned(), sets: Vec::new(), chains: Vec::new() }
}
