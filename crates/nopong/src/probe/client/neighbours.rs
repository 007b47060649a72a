//! What else answers nearby: the usual ports of the host, the other family, other addresses of this machine.

use super::dial::outcome_of;
use super::ladder::side_by_side;
use super::limits;
use super::talk::{Login, Peer, converse};
use crate::evidence::client::{DialOutcome, Neighbour, Speaks};
use crate::evidence::{CaseFile, Seen};
use crate::probe::timed;
use crate::sys;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Redis, its common second port and TLS port, cluster nodes, the cluster bus of 6379, Sentinel.
const PORTS: [u16; 7] = [6379, 6380, 6381, 7000, 7001, 16_379, 26_379];
/// The cluster bus is at the port plus this, unless configured (Redis cluster.h, CLUSTER_PORT_INCR).
const BUS: u16 = 10_000;
/// A neighbour is only a hint: one round trip on earth, not more.
const WAIT: Duration = Duration::from_millis(250);
/// Most neighbours tried.
const NEIGHBOURS_MAX: usize = 24;

/// Tries them all at once.
pub(super) fn look(file: &CaseFile) -> Seen<Vec<Neighbour>> {
    let dialled: Vec<SocketAddr> =
        file.client.connect.get().map(|d| d.iter().map(|d| d.to).collect()).unwrap_or_default();
    let candidates = candidates(file, &dialled);
    let host = super::name::quoted(&file.ask.host);
    let by_hand = format!("for p in 6379 6380 6381 7000 7001 16379 26379; do nc -vz -w1 {host} $p; done");
    timed(&by_hand, || {
        let mut seen = side_by_side(&candidates, |(to, why)| neighbour(*to, why));
        // A look that our own machine would not let us take says nothing of the neighbour.
        seen.retain(|n| !limits::own_fault(&n.outcome));
        name_the_bus(file, &mut seen);
        Ok(seen)
    })
}

fn candidates(file: &CaseFile, dialled: &[SocketAddr]) -> Vec<(SocketAddr, &'static str)> {
    let mut found: Vec<(SocketAddr, &'static str)> = Vec::new();
    let mut add = |to: SocketAddr, why: &'static str| {
        if !dialled.contains(&to) && !found.iter().any(|(f, _)| *f == to) && found.len() < NEIGHBOURS_MAX {
            found.push((to, why));
        }
    };
    let Some(first) = dialled.first() else { return Vec::new() };
    let port = first.port();
    for other in redis_listeners(file) {
        add(other, "other-address");
    }
    // `localhost` is one machine in two families; a client may take either.
    if dialled.iter().all(|a| a.ip().to_canonical().is_loopback() || a.ip().is_unspecified()) {
        add(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port), "other-family");
        add(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port), "other-family");
    }
    // An ordinary user does not see whose a socket is, but every server writes its port into its title.
    let titled = if file.ask.local { titled_ports(file) } else { Vec::new() };
    for usual in titled.into_iter().chain(PORTS).chain(port.checked_sub(BUS).filter(|p| *p > 0)) {
        let mut to = *first;
        to.set_port(usual);
        add(to, "usual-port");
    }
    found
}

/// The ports in the titles of this namespace's servers: `redis-server 127.0.0.1:6399` (proc-title-template, since
/// Redis 2.6 with the address), or `--port 6399`.
fn titled_ports(file: &CaseFile) -> Vec<u16> {
    let processes = file.server.process.get().map_or(&[][..], Vec::as_slice);
    processes
        .iter()
        .filter(|p| p.same_netns != Some(false))
        .filter_map(|p| {
            let line = p.cmdline.join(" ");
            let mut words = line.split_whitespace().skip(1);
            let title = words.clone().next().and_then(|w| w.rsplit_once(':')?.1.parse().ok());
            title.or_else(|| words.find(|w| *w == "--port").and_then(|_| words.next()?.parse().ok()))
        })
        .filter(|port| *port > 0)
        .collect()
}

/// Where this machine's own Redis processes listen, as addresses that can be dialled.
fn redis_listeners(file: &CaseFile) -> Vec<SocketAddr> {
    if !file.ask.local {
        return Vec::new();
    }
    let Some(listeners) = file.server.listener.get() else { return Vec::new() };
    let pids: Vec<u32> =
        file.server.process.get().map(|p| p.iter().map(|p| p.pid).collect()).unwrap_or_default();
    let redis = |comm: &str| ["redis", "valkey", "keydb"].iter().any(|w| comm.contains(w));
    listeners
        .tcp
        .iter()
        .filter(|l| l.pids.iter().any(|p| pids.contains(p)) || l.comm.as_deref().is_some_and(redis))
        .map(|l| match l.at.ip() {
            IpAddr::V4(a) if a.is_unspecified() => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), l.at.port())
            }
            IpAddr::V6(a) if a.is_unspecified() => {
                SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), l.at.port())
            }
            _ => l.at,
        })
        .collect()
}

fn neighbour(to: SocketAddr, why: &str) -> Neighbour {
    let deadline = sys::now() + WAIT;
    let mut seen = Neighbour {
        to,
        why: why.to_owned(),
        outcome: DialOutcome::Connected,
        speaks: None,
        ping: None,
        mode: None,
    };
    match sys::net::connect(to, deadline) {
        Err(e) => seen.outcome = outcome_of(&e),
        Ok(mut stream) => {
            let left = deadline.saturating_duration_since(sys::now());
            let peer = Peer { to: to.to_string(), tls: false, private: false };
            let talk = converse(&mut stream, peer, Login::default(), left, &mut || {});
            seen.speaks = Some(talk.speaks);
            seen.mode = talk.info("redis_mode").map(str::to_owned);
            seen.ping = talk.unasked.or(talk.ping).filter(|_| talk.speaks == Speaks::Resp);
        }
    }
    seen
}

/// A port that closes on RESP is a cluster bus when a cluster node answers at that port less 10000.
fn name_the_bus(file: &CaseFile, seen: &mut [Neighbour]) {
    let cluster: Vec<SocketAddr> =
        seen.iter().filter(|n| n.mode.as_deref() == Some("cluster")).map(|n| n.to).collect();
    let talked = file.client.protocol.get().map(Vec::as_slice).unwrap_or_default();
    let node = |to: SocketAddr| {
        cluster.contains(&to)
            || talked.iter().any(|t| t.to == to.to_string() && t.info("cluster_enabled") == Some("1"))
    };
    for neighbour in seen.iter_mut() {
        let silent = matches!(neighbour.speaks, Some(Speaks::Closed | Speaks::Reset | Speaks::Silent));
        if let Some(port) = neighbour.to.port().checked_sub(BUS).filter(|_| silent)
            && node(SocketAddr::new(neighbour.to.ip(), port))
        {
            neighbour.speaks = Some(Speaks::ClusterBus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{candidates, titled_ports};
    use crate::evidence::server::Process;
    use crate::evidence::{CaseFile, Seen};

    #[test]
    fn usual_ports_and_the_other_family() {
        let dialled = ["127.0.0.1:16379".parse().unwrap()];
        let found = candidates(&CaseFile::default(), &dialled);
        let has = |to: &str, why: &str| found.contains(&(to.parse().unwrap(), leak(why)));
        assert!(has("[::1]:16379", "other-family"));
        assert!(has("127.0.0.1:6379", "usual-port"));
        assert!(!found.iter().any(|(to, _)| dialled.contains(to)));
    }

    #[test]
    fn ports_in_titles() {
        let process = |words: &[&str]| Process {
            cmdline: words.iter().map(|w| (*w).to_owned()).collect(),
            ..Process::default()
        };
        let mut file = CaseFile::default();
        let all = vec![
            process(&["redis-server 127.0.0.1:6399"]),
            process(&["redis-server", "*:7009", "[cluster]"]),
            process(&["/usr/bin/redis-server", "/etc/redis.conf", "--port", "6400"]),
            process(&["redis-server", "unixsocket:/run/r.sock"]),
        ];
        file.server.process = Seen::yes(all, std::time::Duration::ZERO, "ps");
        assert_eq!(titled_ports(&file), [6399, 7009, 6400]);
    }

    fn leak(text: &str) -> &'static str {
        if text == "other-family" { "other-family" } else { "usual-port" }
    }
}
