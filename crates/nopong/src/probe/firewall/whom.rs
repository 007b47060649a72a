//! Whose connection is judged: who dialled which address, and, on the Redis host, a client of another host.

use crate::evidence::client::Dial;
use crate::evidence::{CaseFile, Seen};
use crate::sys;
use packet_verdict::Route;
use std::net::{IpAddr, SocketAddr};

/// Each address dialled, and the one it was dialled from; before the dial the loopback address for itself.
pub(super) fn dialled(file: &CaseFile) -> Vec<(Option<IpAddr>, SocketAddr)> {
    let dials = file.client.connect.get().map_or(&[][..], Vec::as_slice);
    let from = |d: &Dial| d.from.map(|f| f.ip()).filter(|f| !f.is_unspecified());
    // The routes of another machine than the client's tell nothing of the client's address.
    let guessed = |d: &Dial| if file.server.syn == Seen::NotRun { source_for(file, d.to.ip()) } else { None };
    let came = |d: &Dial| match translated(file) {
        Some(clients) => {
            if let [only] = clients.as_slice() {
                Some(*only)
            } else {
                None
            }
        }
        None => from(d).or_else(|| guessed(d)),
    };
    dials.iter().map(|d| (came(d), d.to)).collect()
}

/// Clients of other hosts as this one, the Redis host, meets them, and the address of ours that each dials; ports are 0 where
/// they are not known.
pub(in crate::probe) fn clients(file: &CaseFile) -> Vec<(SocketAddr, SocketAddr)> {
    let own = own_networks(file);
    let ours = |ip: IpAddr| ip.is_loopback() || own.iter().any(|(o, _)| *o == ip);
    let port = file.ask.port;
    let mut found: Vec<(SocketAddr, SocketAddr)> = Vec::new();
    if !file.ask.local {
        for (dial, (from, to)) in file.client.connect.get().into_iter().flatten().zip(dialled(file)) {
            let Some(from) = from.filter(|from| ours(to.ip()) && !ours(*from)) else { continue };
            let sport = dial.from.filter(|f| f.ip() == from).map_or(0, |f| f.port());
            found.push((SocketAddr::new(from, sport), to));
        }
    }
    if file.ask.client.is_some_and(|c| !ours(c) && !found.iter().any(|(f, _)| f.ip() == c))
        && let Some((from, to)) = outside(file, &own)
    {
        found.push((SocketAddr::new(from, 0), SocketAddr::new(to, port)));
    }
    found
}

/// The clients' addresses as the Redis host's wire shows them, where none of our SYNs came in there as it was sent, but some that
/// may be ours: an address was translated on the way, and the rules meet the new one.
fn translated(file: &CaseFile) -> Option<Vec<IpAddr>> {
    let came: Vec<_> = file.server.syn.get()?.target.iter().filter(|h| h.syn_in > 0).collect();
    (!came.is_empty() && !came.iter().any(|h| h.ours)).then(|| {
        let mut clients: Vec<IpAddr> = came.iter().map(|h| h.client.ip()).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    })
}

/// A dial that was refused at once leaves no source behind: the address of the interface the route names.
fn source_for(file: &CaseFile, dst: IpAddr) -> Option<IpAddr> {
    let own = own_networks(file);
    if dst.is_loopback() || own.iter().any(|(ip, _)| *ip == dst) {
        return Some(dst);
    }
    sys::net::source_towards(dst)
}

pub(super) fn own_networks(file: &CaseFile) -> Vec<(IpAddr, u8)> {
    let seen = file.server.address.get().map(|all| all.iter().map(|a| (a.address, a.prefix)).collect());
    seen.unwrap_or_else(|| sys::net::own_addresses().into_iter().map(|ip| (ip, 32)).collect())
}

/// A client that is not this host, and the address it dials: `--client`, else a neighbour in the target's network.
pub(super) fn outside(file: &CaseFile, own: &[(IpAddr, u8)]) -> Option<(IpAddr, IpAddr)> {
    let target = file.client.connect.get().and_then(|d| d.first()).map(|d| d.to.ip());
    let reachable = |ip: &IpAddr| !ip.is_loopback() && !is_link_local(*ip);
    let fits = |ip: &IpAddr| file.ask.client.is_none_or(|c| c.is_ipv4() == ip.is_ipv4());
    let by_target = target.filter(|t| reachable(t) && fits(t) && own.iter().any(|(ip, _)| ip == t));
    let mut addresses = own.iter().map(|(ip, _)| *ip).filter(|ip| reachable(ip) && fits(ip));
    let dst = by_target
        .or_else(|| addresses.find(IpAddr::is_ipv4))
        .or_else(|| own.iter().map(|(ip, _)| *ip).find(|ip| reachable(ip) && fits(ip)))?;
    match file.ask.client {
        Some(client) if client.is_ipv4() == dst.is_ipv4() => Some((client, dst)),
        Some(_) => None,
        None => Some((neighbour(dst, own), dst)),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The next address, or the one before where that is our own or the network's last.
fn neighbour(dst: IpAddr, own: &[(IpAddr, u8)]) -> IpAddr {
    let step = |by: i32| match dst {
        IpAddr::V4(ip) => IpAddr::V4(u32::from(ip).wrapping_add_signed(by).into()),
        IpAddr::V6(ip) => IpAddr::V6(u128::from(ip).wrapping_add_signed(by.into()).into()),
    };
    let prefix = own.iter().find(|(ip, _)| *ip == dst).map_or(24, |(_, p)| *p);
    let inside = Route { dst, prefix, dev: String::new() };
    let good = |ip: &IpAddr| !own.iter().any(|(o, _)| o == ip) && inside.holds(*ip);
    [1, -1, 2, -2].into_iter().map(step).find(good).unwrap_or_else(|| step(1))
}

#[cfg(test)]
mod tests {
    use super::neighbour;
    use std::net::IpAddr;

    #[test]
    fn a_neighbour_is_of_the_same_network_and_not_ourselves() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("address");
        let own = [(ip("10.0.0.5"), 24), (ip("10.0.0.6"), 24), (ip("fd00::1"), 64), (ip("10.9.9.9"), 32)];
        assert_eq!(neighbour(own[0].0, &own), ip("10.0.0.4"));
        assert_eq!(neighbour(own[1].0, &own), ip("10.0.0.7"));
        assert_eq!(neighbour(own[2].0, &own), ip("fd00::2"));
        assert_eq!(neighbour(own[3].0, &own), ip("10.9.9.10"));
    }
}
