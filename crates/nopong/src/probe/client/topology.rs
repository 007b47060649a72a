//! Where a cluster or a Sentinel sends its clients, dialled from here. Follows no redirect: it only looks at the
//! addresses announced.

use super::dial::outcome_of;
use super::ladder::side_by_side;
use super::talk::{Channel, Conversation, Login, Peer, converse};
use crate::evidence::client::{Announced, DialOutcome, Master, Talk, Topology};
use crate::probe::Request;
use crate::sys;
use crate::wire::{Value, command};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Slots of a cluster (Redis cluster.h, CLUSTER_SLOTS).
const SLOTS: u32 = 16_384;
/// Most addresses dialled.
const ANNOUNCED_MAX: usize = 32;
/// Most masters of one Sentinel looked at.
const MASTERS_MAX: usize = 16;
/// An announced address answers within this, or a client would not be served well either.
const DIAL: Duration = Duration::from_secs(1);

/// What was asked on the conversation, before anything is dialled.
pub(super) fn look(
    io: &mut dyn Conversation,
    talk: &Talk,
    request: &Request,
    at: Option<SocketAddr>,
) -> Option<Topology> {
    let is = |key: &str, value: &str| talk.info(key) == Some(value);
    let deadline = sys::now() + request.timeout;
    let mut channel = Channel::new(io, request.target.password.as_ref());
    if is("cluster_enabled", "1") {
        Some(cluster(&mut channel, at, request, deadline))
    } else if is("redis_mode", "sentinel") {
        Some(sentinel(&mut channel, request, deadline))
    } else if is("role", "slave") && is("master_link_status", "down") {
        Some(Topology {
            mode: "standalone".to_owned(),
            probe_reply: Some(data_command(&mut channel, deadline)),
            ..Topology::default()
        })
    } else {
        None
    }
}

/// A read that changes nothing, of a key that nobody has.
const PROBE: [&str; 2] = ["EXISTS", "nopong"];

fn data_command(channel: &mut Channel<'_>, deadline: Instant) -> crate::evidence::client::Reply {
    channel.send(&command(&PROBE), deadline);
    channel.reply(deadline)
}

fn cluster(
    channel: &mut Channel<'_>,
    at: Option<SocketAddr>,
    request: &Request,
    deadline: Instant,
) -> Topology {
    let asked: [&[&str]; 3] = [&["CLUSTER", "INFO"], &["CLUSTER", "SLOTS"], &PROBE];
    channel.send(&asked.iter().flat_map(|c| command(c)).collect::<Vec<u8>>(), deadline);
    let info = channel.value(deadline).ok().and_then(|v| v.text()).unwrap_or_default();
    let slots = channel.value(deadline).ok();
    let probe_reply = Some(channel.reply(deadline));
    let field = |key: &str| {
        info.lines().find_map(|l| l.trim_end().strip_prefix(key)?.strip_prefix(':')).map(str::to_owned)
    };
    let served = field("cluster_slots_ok").and_then(|n| n.parse::<u32>().ok());
    let mut nodes: Vec<(String, u16)> = Vec::new();
    for range in slots.as_ref().and_then(Value::items).unwrap_or_default() {
        for node in range.items().unwrap_or_default().iter().skip(2) {
            let Some((host, port)) = endpoint(channel, node, at) else { continue };
            if !nodes.contains(&(host.clone(), port)) && nodes.len() < ANNOUNCED_MAX {
                nodes.push((host, port));
            }
        }
    }
    Topology {
        mode: "cluster".to_owned(),
        cluster_state: field("cluster_state").map(|s| channel.clean(s.as_bytes(), 40)),
        slots_missing: served.map(|n| SLOTS.saturating_sub(n)),
        masters: Vec::new(),
        announced: side_by_side(&nodes, |(host, port)| dialled("cluster-node", host, *port, request)),
        probe_reply,
    }
}

/// A node of CLUSTER SLOTS: endpoint and port. A null or empty endpoint means the address that was asked.
fn endpoint(channel: &Channel<'_>, node: &Value, at: Option<SocketAddr>) -> Option<(String, u16)> {
    let fields = node.items()?;
    let port = fields.get(1)?.text()?.parse().ok()?;
    let host = fields.first()?.text().filter(|h| !h.is_empty());
    match host {
        Some(host) => Some((channel.clean(host.as_bytes(), 253), port)),
        None => at.map(|at| (at.ip().to_string(), port)),
    }
}

fn sentinel(channel: &mut Channel<'_>, request: &Request, deadline: Instant) -> Topology {
    channel.send(&command(&["SENTINEL", "MASTERS"]), deadline);
    let masters = channel.value(deadline).ok();
    let probe_reply = Some(data_command(channel, deadline));
    let masters: Vec<(Master, Option<(String, u16)>)> = masters
        .as_ref()
        .and_then(Value::items)
        .unwrap_or_default()
        .iter()
        .take(MASTERS_MAX)
        .map(|master| {
            let field = |key: &str| {
                let value = master.pairs().find(|(k, _)| k == key)?.1.text()?;
                Some(channel.clean(value.as_bytes(), 253))
            };
            let at = field("ip")
                .filter(|ip| !ip.is_empty())
                .zip(field("port").and_then(|p| p.parse::<u16>().ok()).filter(|p| *p != 0));
            let master = Master {
                name: field("name").unwrap_or_default(),
                address: at.as_ref().map(|(host, port)| joined(host, *port)),
                flags: field("flags").unwrap_or_default(),
                quorum: field("quorum").and_then(|n| n.parse().ok()),
                other_sentinels: field("num-other-sentinels").and_then(|n| n.parse().ok()),
                role_there: None,
            };
            (master, at)
        })
        .collect();
    let looked = side_by_side(&masters, |(master, at)| {
        let mut master = master.clone();
        let announced = at.as_ref().map(|(host, port)| {
            master.role_there = role(host, *port, request);
            dialled("sentinel-master", host, *port, request)
        });
        (master, announced)
    });
    let (masters, announced): (Vec<_>, Vec<_>) = looked.into_iter().unzip();
    Topology {
        mode: "sentinel".to_owned(),
        masters,
        announced: announced.into_iter().flatten().collect(),
        probe_reply,
        ..Topology::default()
    }
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The address behind an announced host, if it is one or resolves.
fn address(host: &str, limit: Duration) -> Option<IpAddr> {
    sys::names::literal(host).or_else(|| match sys::names::resolve(host, limit) {
        sys::names::Resolved::Addresses(found) => found.first().copied(),
        _ => None,
    })
}

fn dialled(what: &str, host: &str, port: u16, request: &Request) -> Announced {
    let limit = request.timeout.min(DIAL);
    let at = address(host, limit).map(|ip| SocketAddr::new(ip, port));
    let outcome = at.map(|at| match sys::net::connect(at, sys::now() + limit) {
        Ok(_) => DialOutcome::Connected,
        Err(e) => outcome_of(&e),
    });
    Announced { what: what.to_owned(), address: joined(host, port), outcome, unresolved: at.is_none() }
}

/// The role that the address really has. The password given is for the target, not for what it points to.
fn role(host: &str, port: u16, request: &Request) -> Option<String> {
    if request.target.tls {
        return None;
    }
    let limit = request.timeout.min(DIAL);
    let at = SocketAddr::new(address(host, limit)?, port);
    let mut stream = sys::net::connect(at, sys::now() + limit).ok()?;
    let peer = Peer { to: at.to_string(), tls: false, private: false };
    let talk = converse(&mut stream, peer, Login::default(), limit, &mut || {});
    talk.info("role").map(str::to_owned)
}
