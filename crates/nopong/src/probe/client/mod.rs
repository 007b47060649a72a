//! The client's ladder: name, route, connect, TLS, conversation; each stage only when the one before let it.

mod dial;
mod idle;
pub mod kubernetes;
mod ladder;
mod limits;
mod name;
mod neighbours;
mod offer;
mod reach;
mod resolvers;
mod route;
pub mod standing;
pub mod talk;
pub(super) mod tls;
mod topology;
mod unix;

pub(in crate::probe) use route::outcome as route_outcome;
pub(crate) use tls::{own_server, server_config};

use super::Request;
use crate::evidence::{CaseFile, Client, Seen};
use std::time::Duration;

/// A resolver's time when the name is the problem. A live one answers from its cache or its forwarder well within.
const RESOLVERS: Duration = Duration::from_secs(1);
/// A resolver's time when it is only a by-fact.
const RESOLVERS_BESIDE: Duration = Duration::from_millis(250);

/// Resolves the name and decides whether the target is this machine (`ask.local`).
pub fn find(request: &Request, file: &mut CaseFile) {
    if file.ask.unix.is_some() {
        file.ask.local = true;
        return;
    }
    name::find(request, file);
}

/// Dials every address and talks to what answers.
pub fn ladder(request: &Request, file: &CaseFile, client: &mut Client) {
    if let Some(path) = &file.ask.unix {
        ladder::unix(request, path, client);
        return;
    }
    ladder::climb(request, file, client);
}

/// Holds connections idle, where that was asked for and a PONG came.
pub fn idle(request: &Request, file: &mut CaseFile) {
    if let Some(limit) = request.idle {
        file.client.idle = idle::look(request, limit, file);
    }
}

/// What is worth a look only when something failed: resolvers one by one, neighbours, limits, a closed port's RST.
/// Everything at once, so that a dropped SYN costs little more than its own time-out.
pub fn after_failure(request: &Request, file: &mut CaseFile) {
    if file.ask.unix.is_some() {
        file.client.firewall = super::firewall::of_client(file);
        return;
    }
    let connected = dial::connected(file);
    let name = file.client.name.get().filter(|n| !n.literal).cloned();
    let unresolved = name.as_ref().is_some_and(|n| n.error.is_some());
    let limit = if unresolved { request.timeout.min(RESOLVERS) } else { RESOLVERS_BESIDE };
    let file_now = &*file;
    let (name, neighbours, closed_port, firewall) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new;
        let host = file_now.ask.host.as_str();
        let name = name.and_then(|mut name| {
            let ask = move || {
                resolvers::ask(&mut name, host, limit);
                name
            };
            thread().spawn_scoped(scope, ask).ok()
        });
        let closed = thread().spawn_scoped(scope, || dial::closed_port_ttls(file_now)).ok();
        let firewall = thread().spawn_scoped(scope, || super::firewall::of_client(file_now)).ok();
        let wanted = !unresolved && (!connected || worth_neighbours(file_now));
        let neighbours = wanted.then(|| neighbours::look(file_now));
        (
            name.and_then(|n| n.join().ok()),
            neighbours,
            closed.and_then(|c| c.join().ok()),
            firewall.and_then(|f| f.join().ok()),
        )
    });
    if let (Some(name), Seen::Yes(fact)) = (name, &mut file.client.name) {
        fact.value = name;
    }
    if let (Some(ttls), Seen::Yes(fact)) = (closed_port, &mut file.client.connect) {
        for (dial, ttl) in fact.value.iter_mut().zip(ttls) {
            if let Some(rst) = &mut dial.rst {
                rst.closed_port_ttl = ttl;
            }
        }
    }
    if let Some(neighbours) = neighbours {
        file.client.neighbours = neighbours;
    }
    file.client.firewall = firewall.unwrap_or_default();
    file.client.limits = limits::look(file);
    kubernetes::after_failure(request, file);
}

/// A connection came about, but what answered makes one wonder what else there is.
fn worth_neighbours(file: &CaseFile) -> bool {
    let talks = file.client.protocol.get().map(Vec::as_slice).unwrap_or_default();
    talks.iter().all(|t| !t.pong() || t.info("redis_mode") == Some("sentinel"))
}
