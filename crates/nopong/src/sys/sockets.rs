//! Counts this machine's TCP connections towards an address (sock_diag).

use super::netlink;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use std::net::SocketAddr;

/// TCP_TIME_WAIT (include/net/tcp_states.h).
const TIME_WAIT: u8 = 6;

/// Connections towards any of the addresses, and how many of them are in TIME-WAIT; none when it cannot be asked.
pub fn towards(to: &[SocketAddr], max: usize) -> Option<(u32, u32)> {
    let port = to.first()?.port();
    let (mut all, mut waiting) = (0, 0);
    for (family, mut socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        if !to.iter().any(|a| a.is_ipv4() == (family == AF_INET)) {
            continue;
        }
        // The kernel filters by port (net/ipv4/inet_diag.c, inet_diag_dump_icsk).
        socket_id.destination_port = port;
        let mut states = StateFlags::all();
        states.remove(StateFlags::LISTEN);
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states,
            socket_id,
        });
        for message in netlink::dump(NETLINK_SOCK_DIAG, request, max).ok()? {
            let SockDiagMessage::InetResponse(response) = message else { continue };
            let id = &response.header.socket_id;
            let peer = SocketAddr::new(id.destination_address, id.destination_port);
            if to.contains(&peer) {
                all += 1;
                waiting += u32::from(response.header.state == TIME_WAIT);
            }
        }
    }
    Some((all, waiting))
}
