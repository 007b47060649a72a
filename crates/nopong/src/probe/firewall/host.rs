//! What of this host a verdict may hang on: its addresses and routes, read once for a look.

use super::{Asked, Rules, moment};
use crate::sys;
use crate::sys::route::Query;
use packet_verdict::{Address, Clock, Hook, Packet, Route, Ruleset};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses and routes of the network namespace that was read.
#[derive(Debug, Clone, Default)]
pub struct Host {
    own: Vec<IpAddr>,
    routes: Vec<Route>,
    now: Option<Clock>,
    queues: Option<Vec<u16>>,
    neighbours: Vec<(IpAddr, u64)>,
}

impl Host {
    /// Reads them, in the calling thread's namespace. Where this host's clock stands costs a process in most time zones:
    /// that is asked only for rules that may ask for it.
    pub fn read(rules: &Rules) -> Self {
        Self {
            own: sys::net::own_addresses(),
            routes: routes(),
            now: Some(moment::now(rules.read.iter().any(Ruleset::may_ask_time))),
            queues: moment::queues(),
            neighbours: moment::neighbours(),
        }
    }

    /// The address is one of this host's.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.own.contains(&ip)
    }

    /// The packet of a connection, with what this host knows: its addresses, and the interface by its routes.
    pub fn packet(&self, asked: &Asked) -> Packet {
        let mut packet = Packet::new(asked.src, asked.dst, asked.port);
        packet.hook = asked.hook;
        packet.local = (!self.own.is_empty())
            .then(|| self.own.iter().map(|addr| Address { addr: *addr, dev: None }).collect());
        packet.routes.clone_from(&self.routes);
        packet.now = self.now;
        packet.queues.clone_from(&self.queues);
        packet.mac = self.neighbours.iter().find(|(ip, _)| *ip == asked.src).map(|(_, mac)| *mac);
        if asked.hook == Hook::Output {
            packet.uid = asked.uid;
            // By all tables and rules, not the main ones alone.
            let query = Query {
                to: Some(asked.dst),
                from: Some(asked.src).filter(|ip| self.has(*ip)),
                uid: asked.uid,
                ..Query::default()
            };
            packet.oif = sys::route::find(&query).ok().map(|r| r.dev).filter(|dev| !dev.is_empty());
        } else {
            packet.iif = incoming(&packet, asked.src);
        }
        packet
    }

    /// The sysctl that is 0 where this host passes nothing on that such a client sends (net/ipv4/route.c, ip_route_input_slow).
    pub(super) fn keeps(&self, asked: &Asked) -> Option<String> {
        if asked.hook != Hook::Input || self.has(asked.src) {
            return None;
        }
        let dev = incoming(&self.packet(asked), asked.src)?;
        let family = if asked.src.is_ipv4() { "ipv4" } else { "ipv6" };
        // A name is part of a path here.
        let plain = !dev.contains('/') && !dev.starts_with('.');
        let path = format!("/proc/sys/net/{family}/conf/{dev}/forwarding");
        let off = plain && sys::read_text(path, 16).is_ok_and(|text| text.trim() == "0");
        off.then(|| format!("net.{family}.conf.{dev}.forwarding"))
    }
}

/// What the machine sends itself comes in by lo, whatever address it carries; the tables read here are the main ones,
/// where the address's network lies on a real interface.
fn incoming(packet: &Packet, src: IpAddr) -> Option<String> {
    let own = packet.local.as_ref().is_some_and(|all| all.iter().any(|a| a.addr == src));
    if own || src.is_loopback() {
        return Some("lo".to_owned());
    }
    dev_of(&packet.routes, src).filter(|d| d != "lo")
}

/// The interface that the longest matching route names.
fn dev_of(routes: &[Route], addr: IpAddr) -> Option<String> {
    routes.iter().filter(|r| r.holds(addr)).max_by_key(|r| r.prefix).map(|r| r.dev.clone())
}

/// The main tables, as the kernel shows them without a tool.
fn routes() -> Vec<Route> {
    let v4 = sys::read_text("/proc/thread-self/net/route", sys::FILE_MAX).unwrap_or_default();
    let v6 = sys::read_text("/proc/thread-self/net/ipv6_route", sys::FILE_MAX).unwrap_or_default();
    v4.lines().filter_map(route_v4).chain(v6.lines().filter_map(route_v6)).collect()
}

/// `eth0 00006E0A 00000000 0001 0 0 0 00FFFFFF …`: numbers as they lie in memory (fib_route_seq_show).
fn route_v4(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let dev = words.next()?.to_owned();
    let hex = |w: Option<&str>| u32::from_str_radix(w?, 16).ok();
    let dst = hex(words.next())?;
    let mask = hex(words.nth(5))?;
    let prefix = u8::try_from(mask.count_ones()).ok()?;
    Some(Route { dst: IpAddr::V4(Ipv4Addr::from(u32::from_be(dst))), prefix, dev })
}

/// `fd00…0 40 00…0 00 00…0 00000100 … eth0`: destination, its length in hex, and the device at the end.
fn route_v6(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (dst, prefix, dev) = (words.first()?, words.get(1)?, words.get(9)?);
    // RTF_REJECT (0x0200): a route that refuses.
    let flags = u32::from_str_radix(words.get(8)?, 16).ok()?;
    if flags & 0x0200 != 0 {
        return None;
    }
    let dst = Ipv6Addr::from(u128::from_str_radix(dst, 16).ok()?);
    Some(Route { dst: IpAddr::V6(dst), prefix: u8::from_str_radix(prefix, 16).ok()?, dev: (*dev).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{dev_of, incoming, route_v4, route_v6};
    use std::net::IpAddr;

    #[test]
    fn routes_of_the_kernel() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("address");
        let text = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nwg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0";
        let mut routes: Vec<_> = text.lines().filter_map(route_v4).collect();
        assert_eq!(dev_of(&routes, ip("10.1.2.3")).as_deref(), Some("wg0"));
        assert_eq!(dev_of(&routes, ip("11.1.2.3")).as_deref(), Some("eth0"));
        let line = "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1";
        routes.extend(route_v6(line));
        assert_eq!(dev_of(&routes, ip("fd00::9")).as_deref(), Some("eth1"));
        assert_eq!(dev_of(&routes, ip("fd01::9")), None);
    }

    #[test]
    fn what_is_sent_to_oneself_comes_in_by_lo() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("address");
        let route = packet_verdict::Route { dst: ip("10.0.0.0"), prefix: 24, dev: "eth0".to_owned() };
        let mut packet = packet_verdict::Packet::new(ip("10.0.0.5"), ip("10.0.0.5"), 6379);
        packet.routes = vec![route];
        packet.local = Some(vec![packet_verdict::Address { addr: ip("10.0.0.5"), dev: None }]);
        assert_eq!(incoming(&packet, ip("10.0.0.5")).as_deref(), Some("lo"));
        assert_eq!(incoming(&packet, ip("127.0.0.1")).as_deref(), Some("lo"));
        assert_eq!(incoming(&packet, ip("10.0.0.7")).as_deref(), Some("eth0"));
    }
}
