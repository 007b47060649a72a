//! The route of the answer: what this host's routing tables and policy rules do with a SYN-ACK to a client that is known.
//!
//! The kernel looks the route up when it makes the SYN-ACK, with the listening socket's owner, mark and interface
//! (net/ipv4/inet_connection_sock.c, inet_csk_route_req); without a route none is sent, and nobody is told.

use super::{kernel, timed};
use crate::evidence::client::RouteOutcome;
use crate::evidence::server::{Config, Listener, WayBack};
use crate::evidence::{CaseFile, Seen, Why};
use crate::probe::client::route_outcome;
use crate::probe::firewall::clients;
use crate::sys;
use crate::sys::route::Query;
use std::net::{IpAddr, SocketAddr};

/// Looks for each client of another host that dialled, and for the one that `--client` names.
pub(super) fn look(file: &CaseFile) -> Seen<Vec<WayBack>> {
    let clients = clients(file);
    let Some((client, served)) = clients.first() else {
        return Seen::not_applicable("no client of another host is known");
    };
    let port = file.ask.port;
    let by_hand =
        format!("ip rule; ip route get {} from {} ipproto tcp sport {port}", client.ip(), served.ip());
    timed(&by_hand, || clients.iter().map(|(client, served)| one(file, *client, *served)).collect())
}

fn one(file: &CaseFile, client: SocketAddr, served: SocketAddr) -> Result<WayBack, Why> {
    let listeners = file.server.listener.get().map_or(&[][..], |l| l.tcp.as_slice());
    let listener = listeners.iter().find(|l| crate::diagnosis::takes(l, served));
    let query = Query {
        from: Some(served.ip()),
        sport: served.port(),
        dport: client.port(),
        uid: listener.map(|l| l.uid),
        mark: mark(file.server.config.get()).filter(|m| *m != 0),
        oif: listener.and_then(|l| sys::net::scope_of(l.device.as_deref()?)),
        ..Query::default()
    };
    let outcome = route_outcome(client.ip(), &query)?;
    let hop = match &outcome {
        RouteOutcome::Via { local: false, gateway, .. } => Some(gateway.unwrap_or_else(|| client.ip())),
        _ => None,
    };
    let came_by = came_by(file, client.ip(), served.ip());
    Ok(WayBack {
        client: client.ip(),
        served: served.ip(),
        link: hop.and_then(sys::route::neighbour),
        rp_filter: came_by.as_deref().filter(|_| client.is_ipv4()).and_then(kernel::rp_filter_of),
        came_by,
        doubt: doubt(listener),
        outcome,
    })
}

fn came_by(file: &CaseFile, client: IpAddr, served: IpAddr) -> Option<String> {
    let seen = file.server.syn.get()?.target.iter();
    let of = |h: &&crate::evidence::ends::Handshake| {
        h.syn_in > 0 && h.client.ip().to_canonical() == client && h.server.ip().to_canonical() == served
    };
    seen.filter(of).map(|h| h.dev.clone()).next()
}

/// The mark of the listening sockets (redis.conf, socket-mark-id; Redis 7.0).
fn mark(configs: Option<&Vec<Config>>) -> Option<u32> {
    configs?.first()?.value("socket-mark-id")?.parse().ok()
}

/// What this look does not know of the real packet.
fn doubt(listener: Option<&Listener>) -> Option<String> {
    let on = |name: &str| kernel::number::<u8>(name).is_some_and(|n| n != 0);
    match listener {
        None => Some("nothing listens for it here, so another host or namespace answers".to_owned()),
        // What forwards for a container: the container's own answer takes another way.
        Some(l) if l.comm.as_deref().is_some_and(|c| c.contains("proxy") || c.contains("rootlessport")) => {
            Some("it is passed on from here, and another host or namespace answers".to_owned())
        }
        _ if on("net/ipv4/tcp_fwmark_accept") => {
            Some("the SYN's mark chooses the route (net.ipv4.tcp_fwmark_accept)".to_owned())
        }
        _ if on("net/ipv4/tcp_l3mdev_accept") => {
            Some("the SYN's VRF chooses the route (net.ipv4.tcp_l3mdev_accept)".to_owned())
        }
        Some(_) => None,
    }
}
