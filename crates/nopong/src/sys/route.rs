//! One question to the kernel's routing table, and the state of its neighbour table.

use super::netlink;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use std::net::IpAddr;

/// Most neighbour entries looked through.
const NEIGHBOURS_MAX: usize = 16 << 10;

/// IPPROTO_TCP.
const TCP: u8 = 6;

/// The route the kernel would take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chosen {
    /// `blackhole`, `unreachable`, `prohibit`, `throw`: no packet leaves.
    pub forbidden: Option<&'static str>,
    /// Output interface.
    pub dev: String,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// The destination is this machine.
    pub local: bool,
}

/// One packet whose route is asked for. What is not set is not compared by any rule.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query {
    /// Destination.
    pub to: Option<IpAddr>,
    /// Source; has to be an address of this machine, or the kernel answers EINVAL as for a blackhole.
    pub from: Option<IpAddr>,
    /// It is TCP from this port, 0 for any …
    pub sport: u16,
    /// … to this one.
    pub dport: u16,
    /// Owner of the socket (`ip rule … uidrange`); the asking process's where it is not set.
    pub uid: Option<u32>,
    /// SO_MARK of the socket.
    pub mark: Option<u32>,
    /// Interface that the socket is bound to, its index.
    pub oif: Option<u32>,
}

/// Asks for the route to an address, as `ip route get` does. The error is the kernel's own, for "no route" too.
pub fn get(to: IpAddr) -> std::io::Result<Chosen> {
    find(&Query { to: Some(to), ..Query::default() })
}

/// The same for one packet, as policy rules tell packets apart (`ip route get TO from … ipproto tcp sport …`). Ports need
/// Linux 4.17; an older kernel does not compare them.
pub fn find(query: &Query) -> std::io::Result<Chosen> {
    let to = query.to.ok_or(std::io::ErrorKind::InvalidInput)?;
    let (family, bits) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    let mut request = RouteMessage::default();
    request.header =
        RouteHeader { address_family: family, destination_prefix_length: bits, ..RouteHeader::default() };
    request.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
    if let Some(from) = query.from {
        request.header.source_prefix_length = bits;
        request.attributes.push(RouteAttribute::Source(RouteAddress::from(from)));
    }
    if query.sport != 0 || query.dport != 0 {
        request.attributes.push(RouteAttribute::IpProto(TCP));
        let ports = [RouteAttribute::Sport(query.sport), RouteAttribute::Dport(query.dport)];
        request.attributes.extend(
            ports.into_iter().filter(|p| !matches!(p, RouteAttribute::Sport(0) | RouteAttribute::Dport(0))),
        );
    }
    request.attributes.extend(query.uid.map(RouteAttribute::Uid));
    request.attributes.extend(query.mark.map(RouteAttribute::Mark));
    request.attributes.extend(query.oif.map(RouteAttribute::Oif));
    let answer = ask(RouteNetlinkMessage::GetRoute(request))?;
    let RouteNetlinkMessage::NewRoute(route) = answer else {
        return Err(std::io::ErrorKind::InvalidData.into());
    };
    let mut chosen = Chosen { local: route.header.kind == RouteType::Local, ..Chosen::default() };
    chosen.forbidden = match route.header.kind {
        RouteType::BlackHole => Some("blackhole"),
        RouteType::Unreachable => Some("unreachable"),
        RouteType::Prohibit => Some("prohibit"),
        RouteType::Throw => Some("throw"),
        _ => None,
    };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => {
                chosen.dev = nix::net::if_::if_indextoname(*index)
                    .map(|n| n.to_string_lossy().into_owned())
                    .unwrap_or_default();
            }
            RouteAttribute::PrefSource(address) => chosen.source = ip(address),
            RouteAttribute::Gateway(address) => chosen.gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => chosen.gateway = Some(IpAddr::V6(*v6)),
            RouteAttribute::Via(RouteVia::Inet(v4)) => chosen.gateway = Some(IpAddr::V4(*v4)),
            _ => {}
        }
    }
    Ok(chosen)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// One request with one answer.
fn ask(request: RouteNetlinkMessage) -> std::io::Result<RouteNetlinkMessage> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // The kernel answers at once; half a second without an answer means that it never will.
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, 500_000))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut buffer = vec![0; 16 << 10];
    let size = socket.recv(&mut &mut buffer[..], 0)?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(buffer.get(..size).unwrap_or_default())
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(inner) => Ok(inner),
        NetlinkPayload::Error(e) => Err(e.to_io()),
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

/// The neighbour table's word on a next hop: `reachable`, `stale`, `incomplete`, `failed` …
pub fn neighbour(of: IpAddr) -> Option<String> {
    let mut request = NeighbourMessage::default();
    request.header.family = if of.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let found =
        netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetNeighbour(request), NEIGHBOURS_MAX).ok()?;
    found.iter().find_map(|message| {
        let RouteNetlinkMessage::NewNeighbour(entry) = message else { return None };
        let same = entry.attributes.iter().any(|a| match (a, of) {
            (NeighbourAttribute::Destination(NeighbourAddress::Inet(a)), IpAddr::V4(b)) => *a == b,
            (NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)), IpAddr::V6(b)) => *a == b,
            _ => false,
        });
        let word = match entry.header.state {
            NeighbourState::Incomplete => "incomplete",
            NeighbourState::Reachable => "reachable",
            NeighbourState::Stale => "stale",
            NeighbourState::Delay => "delay",
            NeighbourState::Probe => "probe",
            NeighbourState::Failed => "failed",
            NeighbourState::Noarp => "noarp",
            NeighbourState::Permanent => "permanent",
            _ => "none",
        };
        same.then(|| word.to_owned())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_local() {
        let chosen = super::get("127.0.0.1".parse().unwrap()).unwrap();
        assert!(chosen.local);
        assert_eq!(chosen.dev, "lo");
    }
}
