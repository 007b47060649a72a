//! Connect and talk, to every address at once.

use super::dial::dial;
use super::name::ADDRESSES_DIALLED;
use super::talk::{Login, Peer, converse};
use super::tls::{self, Material, Wait};
use super::{offer, route, topology, unix};
use crate::evidence::client::{Dial, Speaks, Talk, Tls, Topology, Verified};
use crate::evidence::{CaseFile, Client, Seen};
use crate::probe::Request;
use crate::sys;
use crate::sys::net::Stream;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What came of one address.
struct Rung {
    dial: Dial,
    talk: Option<Talk>,
    tls: Option<Tls>,
    tls_offer: Option<Tls>,
    plain_offer: Option<Talk>,
    topology: Option<Topology>,
}

/// Dials every address and talks to what answers.
pub(super) fn climb(request: &Request, file: &CaseFile, client: &mut Client) {
    let Some(name) = file.client.name.get() else { return };
    let addresses = targets(&file.ask.host, file.ask.port, &name.addresses);
    if addresses.is_empty() {
        return;
    }
    let to: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    client.route = route::look(&to, file.ask.port);
    let watch = file.client.standing.get().is_some_and(|s| s.net_raw);
    let material = request.target.tls.then(|| Material::load(&request.tls));
    let before = sys::now();
    let rungs = side_by_side(&addresses, |to| rung(request, *to, watch, material.as_ref()));
    let took = before.elapsed();
    let mut dials = Vec::new();
    let mut talks = Vec::new();
    let mut sessions = Vec::new();
    for rung in rungs {
        sessions.extend(rung.tls);
        if let Some(offer) = rung.tls_offer.filter(|_| client.tls_offer == Seen::NotRun) {
            let by_hand = format!("openssl s_client -connect {}", rung.dial.to);
            client.tls_offer = Seen::yes(offer, took, by_hand);
        }
        if let Some(topology) = rung.topology.filter(|_| client.topology == Seen::NotRun) {
            let words = if topology.mode == "sentinel" { "SENTINEL MASTERS" } else { "CLUSTER SLOTS" };
            let (ip, port) = (rung.dial.to.ip(), rung.dial.to.port());
            client.topology = Seen::yes(topology, took, format!("redis-cli -h {ip} -p {port} {words}"));
        }
        if let Some(offer) = rung.plain_offer.filter(|_| client.plain_offer == Seen::NotRun) {
            let by_hand = format!("redis-cli -h {} -p {} ping", rung.dial.to.ip(), rung.dial.to.port());
            client.plain_offer = Seen::yes(offer, took, by_hand);
        }
        dials.push(rung.dial);
        talks.extend(rung.talk);
    }
    let first = addresses.first().map(ToString::to_string).unwrap_or_default();
    let dialled = Duration::from_secs_f64(dials.iter().map(|d| d.took_ms).fold(0.0, f64::max) / 1e3);
    let (host, port) = (super::name::quoted(&file.ask.host), file.ask.port);
    client.unix = Seen::not_applicable("the target is not a unix socket");
    client.connect = Seen::yes(dials, dialled, format!("nc -vz -w2 {host} {port}   # {first}"));
    if !sessions.is_empty() {
        let by_hand = format!("openssl s_client -connect {first} -servername {host} -showcerts");
        client.tls = Seen::yes(sessions, took.saturating_sub(dialled), by_hand);
    } else if !request.target.tls {
        client.tls = Seen::not_applicable("TLS was not asked for");
    }
    if !talks.is_empty() {
        let tls = if request.target.tls { " --tls" } else { "" };
        let by_hand = format!("redis-cli{tls} -h {host} -p {port} ping");
        client.protocol = Seen::yes(talks, took.saturating_sub(dialled), by_hand);
    }
}

/// The same over a unix socket.
pub(super) fn unix(request: &Request, path: &str, client: &mut Client) {
    let before = sys::now();
    let (seen, stream) = unix::look(path, request.timeout);
    let shell = super::name::quoted(path);
    client.unix = Seen::yes(seen, before.elapsed(), format!("namei -l {shell}; ss -xl | grep {shell}"));
    let because = "the target is a unix socket";
    client.name = Seen::not_applicable(because);
    client.route = Seen::not_applicable(because);
    client.connect = Seen::not_applicable(because);
    if let Some(mut stream) = stream {
        let before = sys::now();
        let talk = unix::talk(&mut stream, path, login(request), request.timeout);
        if let Some(topology) = topology::look(&mut stream, &talk, request, None) {
            let by_hand = format!("redis-cli -s {shell} CLUSTER SLOTS");
            client.topology = Seen::yes(topology, before.elapsed(), by_hand);
        }
        client.protocol = Seen::yes(vec![talk], before.elapsed(), format!("redis-cli -s {shell} ping"));
    }
}

fn rung(request: &Request, to: SocketAddr, watch: bool, material: Option<&Material>) -> Rung {
    let (dial, stream) = dial(to, request.timeout, watch);
    let mut rung = Rung { dial, talk: None, tls: None, tls_offer: None, plain_offer: None, topology: None };
    let Some(stream) = stream else { return rung };
    match material {
        Some(material) => over_tls(request, to, stream, material, &mut rung),
        None => plainly(request, to, stream, &mut rung),
    }
    rung
}

fn peer(to: SocketAddr, tls: bool) -> Peer {
    Peer { to: to.to_string(), tls, private: to.ip().to_canonical().is_loopback() }
}

/// A plain target: talk; where that comes to nothing, offer TLS (a TLS-only endpoint looks like a firewall).
fn plainly(request: &Request, to: SocketAddr, mut stream: Stream, rung: &mut Rung) {
    let deadline = sys::now() + request.timeout;
    std::thread::scope(|scope| {
        let mut offered = None;
        let mut wait = || {
            offered = std::thread::Builder::new()
                .spawn_scoped(scope, move || offer::tls(request, to, deadline))
                .ok();
        };
        let talk = converse(&mut stream, peer(to, false), login(request), request.timeout, &mut wait);
        rung.tls_offer = match offered.map(std::thread::ScopedJoinHandle::join) {
            // A slow answer is an answer: the offer was for nothing.
            Some(Ok(_)) if talk.speaks == Speaks::Resp => None,
            Some(Ok(offer)) => Some(offer),
            None if matches!(talk.speaks, Speaks::Closed | Speaks::Reset | Speaks::Tls | Speaks::Silent) => {
                Some(offer::tls(request, to, deadline))
            }
            _ => None,
        };
        rung.topology = topology::look(&mut stream, &talk, request, Some(to));
        rung.talk = Some(talk);
    });
}

/// A TLS target: shake hands, then talk inside; where there is no handshake, offer plain RESP without the password.
fn over_tls(request: &Request, to: SocketAddr, stream: Stream, material: &Material, rung: &mut Rung) {
    let deadline = sys::now() + request.timeout;
    let host = &request.target.host;
    let settled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut offered = None;
        let settled = &settled;
        let mut then = || {
            let offer = move || {
                let talk = offer::plain(request, to, deadline);
                let resp = talk.as_ref().is_some_and(|t| t.speaks == Speaks::Resp);
                settled.store(resp, Ordering::Relaxed);
                talk
            };
            offered = std::thread::Builder::new().spawn_scoped(scope, offer).ok();
        };
        let (mut tls, session) =
            tls::handshake(stream, to, host, material, deadline, Wait { then: &mut then, settled });
        rung.plain_offer = match offered.map(std::thread::ScopedJoinHandle::join) {
            Some(Ok(_)) if tls.handshake => None,
            Some(Ok(offer)) => offer,
            None if !tls.handshake && tls.failure.is_some() => offer::plain(request, to, deadline),
            _ => None,
        };
        if let Some(mut session) = session {
            let trusted = request.tls.insecure || tls.verified == Some(Verified::Ok);
            // A password is for the server that was meant, and this one has not shown that it is.
            let login = if trusted { login(request) } else { Login::default() };
            let talk = converse(&mut session, peer(to, true), login, request.timeout, &mut || {});
            tls.speaks = Some(talk.speaks);
            tls.died_at_first_read.clone_from(&session.died);
            rung.topology = topology::look(&mut session, &talk, request, Some(to));
            rung.talk = Some(talk);
        }
        rung.tls = Some(tls);
    });
}

/// The login of the request.
pub(super) fn login(request: &Request) -> Login<'_> {
    let target = &request.target;
    Login { user: target.user.as_deref(), password: target.password.as_ref(), db: target.db }
}

/// Socket addresses to dial, with the scope of a link-local literal.
pub(super) fn targets(host: &str, port: u16, addresses: &[IpAddr]) -> Vec<SocketAddr> {
    let scope = host.split_once('%').and_then(|(_, dev)| sys::net::scope_of(dev)).unwrap_or(0);
    addresses
        .iter()
        .take(ADDRESSES_DIALLED)
        .map(|a| match a {
            IpAddr::V6(a) if scope != 0 => SocketAddr::V6(SocketAddrV6::new(*a, port, 0, scope)),
            a => SocketAddr::new(*a, port),
        })
        .collect()
}

/// Does the same with each item, at once; results in order. A thread that cannot be had is done without.
pub(super) fn side_by_side<I: Sync, O: Send>(items: &[I], work: impl Fn(&I) -> O + Sync) -> Vec<O> {
    if let [only] = items {
        return vec![work(only)];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .iter()
            .map(|item| {
                let work = &work;
                std::thread::Builder::new().spawn_scoped(scope, move || work(item)).map_err(|_| item)
            })
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| match thread {
                Ok(thread) => thread.join().ok(),
                Err(item) => Some(work(item)),
            })
            .collect()
    })
}
