//! The kernel's route to each address.

use crate::evidence::client::{Route, RouteOutcome};
use crate::evidence::{Seen, Why};
use crate::probe::timed;
use crate::sys;
use crate::sys::route::Query;
use std::net::IpAddr;

/// Asks for the route of a TCP connection to each address.
pub(super) fn look(addresses: &[IpAddr], port: u16) -> Seen<Vec<Route>> {
    let first = addresses.first().map(ToString::to_string).unwrap_or_default();
    timed(&format!("ip route get {first} ipproto tcp dport {port}"), || {
        let outcome = |to: &IpAddr| outcome(*to, &Query { dport: port, ..Query::default() });
        addresses.iter().map(|to| Ok(Route { to: *to, outcome: outcome(to)? })).collect()
    })
}

/// What the routing tables and policy rules of this machine do with such a packet to that address.
pub(in crate::probe) fn outcome(to: IpAddr, query: &Query) -> Result<RouteOutcome, Why> {
    // `connect` takes the unspecified address for loopback (net/ipv4/tcp_ipv4.c, ip_route_connect).
    let asked = match to {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        other => other.to_canonical(),
    };
    match sys::route::find(&Query { to: Some(asked), ..*query }) {
        Ok(chosen) => Ok(match chosen.forbidden {
            Some(kind) => RouteOutcome::Forbidden { kind: kind.to_owned() },
            None => RouteOutcome::Via {
                dev: chosen.dev,
                source: chosen.source,
                gateway: chosen.gateway,
                local: chosen.local,
            },
        }),
        // The errors of the route types (net/ipv4/fib_semantics.c, fib_props).
        Err(e) => match sys::errno_name(&e).as_str() {
            "EINVAL" => Ok(RouteOutcome::Forbidden { kind: "blackhole".to_owned() }),
            "EACCES" => Ok(RouteOutcome::Forbidden { kind: "prohibit".to_owned() }),
            "EHOSTUNREACH" => Ok(RouteOutcome::Forbidden { kind: "unreachable".to_owned() }),
            "EAGAIN" if asked.is_ipv6() => Ok(RouteOutcome::Forbidden { kind: "throw".to_owned() }),
            "ENETUNREACH" => Ok(RouteOutcome::None { errno: "ENETUNREACH".to_owned() }),
            other => Err(Why::Failed { what: format!("route to {to}: {other}") }),
        },
    }
}
