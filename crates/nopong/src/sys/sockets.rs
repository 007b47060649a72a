//! This machine's TCP connections (sock_diag).

use super::netlink;
use crate::evidence::Why;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use std::net::{IpAddr, SocketAddr};

/// TCP_TIME_WAIT (include/net/tcp_states.h).
const TIME_WAIT: u8 = 6;

/// A TCP socket of this network namespace that is no listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Its own end.
    pub local: SocketAddr,
    /// The other end, an IPv4 address as such.
    pub remote: SocketAddr,
    /// Its state (include/net/tcp_states.h).
    pub state: u8,
    /// Who made it; 0 as well for one that no process has any more.
    pub uid: u32,
    /// Its inode; 0 for one that no process has any more.
    pub inode: u64,
}

/// All TCP sockets of both families but the listeners.
pub fn connections(max: usize) -> Result<Vec<Tcp>, Why> {
    let mut found = ask(AF_INET, None, max)?;
    found.extend(ask(AF_INET6, None, max)?);
    Ok(found)
}

/// Connections towards any of the addresses, and how many of them are in TIME-WAIT; none when it cannot be asked.
pub fn towards(to: &[SocketAddr], max: usize) -> Option<(u32, u32)> {
    let port = to.first()?.port();
    let (mut all, mut waiting) = (0, 0);
    for family in [AF_INET, AF_INET6] {
        if !to.iter().any(|a| a.is_ipv4() == (family == AF_INET)) {
            continue;
        }
        for socket in ask(family, Some(port), max).ok()?.iter().filter(|s| to.contains(&s.remote)) {
            all += 1;
            waiting += u32::from(socket.state == TIME_WAIT);
        }
    }
    Some((all, waiting))
}

/// The sockets of a family that do not listen, towards one port or any.
fn ask(family: u8, towards: Option<u16>, max: usize) -> Result<Vec<Tcp>, Why> {
    let mut socket_id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    // The kernel filters by port; 0 stands for any (net/ipv4/inet_diag.c, inet_diag_dump_icsk).
    socket_id.destination_port = towards.unwrap_or(0);
    let mut states = StateFlags::all();
    states.remove(StateFlags::LISTEN);
    let request = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id,
    });
    let canonical = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
    let mut found = Vec::new();
    for message in netlink::dump(NETLINK_SOCK_DIAG, request, max)? {
        let SockDiagMessage::InetResponse(response) = message else { continue };
        let (header, id) = (&response.header, &response.header.socket_id);
        found.push(Tcp {
            local: canonical(id.source_address, id.source_port),
            remote: canonical(id.destination_address, id.destination_port),
            state: header.state,
            uid: header.uid,
            inode: u64::from(header.inode),
        });
    }
    Ok(found)
}
