//! What becomes of a SYN that nobody answers: how far it gets, and whether the host is up at all.

use super::ladder::side_by_side;
use crate::evidence::client::{Hop, Reach};
use crate::sys;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Most hops tried. All SYNs leave at once, so the bound is on packets, not on time.
const HOPS_MAX: u32 = 12;
/// Ports that are commonly open, or closed and not filtered: any answer from one shows a live host.
const PORTS: [u16; 5] = [22, 80, 443, 1, 49_999];
/// A port that nobody filters by name, to compare with.
const OTHER: u16 = 49_999;
/// Hops tried towards it: the comparison matters near us.
const OTHER_HOPS: u32 = 4;
/// A router on the way answers within this, or rate-limits its answers and never will.
const ANSWER: Duration = Duration::from_millis(900);

/// Looks while the dial itself is still waiting; ends at `deadline`.
pub(super) fn look(to: SocketAddr, deadline: Instant) -> Reach {
    let deadline = deadline.min(sys::now() + ANSWER);
    let other = SocketAddr::new(to.ip(), if to.port() == OTHER { OTHER - 1 } else { OTHER });
    let (hops, other_hops, alive) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new;
        let alive = thread().spawn_scoped(scope, || host_alive(to, deadline)).ok();
        let other = thread().spawn_scoped(scope, move || sys::reach::hops(other, OTHER_HOPS, deadline)).ok();
        let hops = sys::reach::hops(to, HOPS_MAX, deadline);
        let other = other.and_then(|o| o.join().ok()).unwrap_or_default();
        (hops, other, alive.and_then(|a| a.join().ok()).unwrap_or_default())
    });
    let next_hop = sys::route::get(to.ip()).ok().and_then(|r| r.gateway).unwrap_or(to.ip());
    Reach {
        silent_after: Some(hops.iter().map(|h| h.0).max().unwrap_or(0)),
        hops: hops.into_iter().map(|(ttl, from)| Hop { ttl, from }).collect(),
        other_hops: other_hops.into_iter().map(|(ttl, from)| Hop { ttl, from }).collect(),
        host_alive: alive.0,
        alive_by: alive.1,
        link: sys::route::neighbour(next_hop),
    }
}

/// Whether anything of the host answers, and what did.
fn host_alive(to: SocketAddr, deadline: Instant) -> (Option<bool>, Option<String>) {
    let mut looks: Vec<Option<u16>> = PORTS.into_iter().filter(|p| *p != to.port()).map(Some).collect();
    looks.push(None);
    let answers = side_by_side(&looks, |look| match look {
        None => (sys::reach::ping(to.ip(), deadline), "ping".to_owned()),
        Some(port) => (answers(SocketAddr::new(to.ip(), *port), deadline), format!("port {port}")),
    });
    match answers.iter().find(|(answer, _)| *answer == Some(true)) {
        Some((_, by)) => (Some(true), Some(by.clone())),
        None if answers.iter().any(|(answer, _)| *answer == Some(false)) => (Some(false), None),
        None => (None, None),
    }
}

/// A port answers by itself: a SYN-ACK or a refusal. An error from the network is no sign of the host.
fn answers(to: SocketAddr, deadline: Instant) -> Option<bool> {
    match sys::net::connect(to, deadline) {
        Ok(_) => Some(true),
        Err(e) => match e.kind() {
            std::io::ErrorKind::ConnectionRefused => Some(true),
            std::io::ErrorKind::TimedOut => Some(false),
            _ => None,
        },
    }
}
