//! Connect and talk, to every address at once.

use super::dial::dial;
use super::name::ADDRESSES_DIALLED;
use super::talk::{Login, converse};
use super::{route, unix};
use crate::evidence::client::{Dial, Talk};
use crate::evidence::{CaseFile, Client, Seen};
use crate::probe::Request;
use crate::sys;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// What came of one address.
struct Rung {
    dial: Dial,
    talk: Option<Talk>,
}

/// Dials every address and talks to what answers.
pub(super) fn climb(request: &Request, file: &CaseFile, client: &mut Client) {
    let Some(name) = file.client.name.get() else { return };
    let addresses = targets(&file.ask.host, file.ask.port, &name.addresses);
    if addresses.is_empty() {
        return;
    }
    let to: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    client.route = route::look(&to);
    let watch = file.client.standing.get().is_some_and(|s| s.net_raw);
    let before = sys::now();
    let rungs = side_by_side(&addresses, |to| rung(request, *to, watch));
    let took = before.elapsed();
    let mut dials = Vec::new();
    let mut talks = Vec::new();
    for rung in rungs {
        dials.push(rung.dial);
        talks.extend(rung.talk);
    }
    let first = addresses.first().map(ToString::to_string).unwrap_or_default();
    let dialled = Duration::from_secs_f64(dials.iter().map(|d| d.took_ms).fold(0.0, f64::max) / 1e3);
    let (host, port) = (super::name::quoted(&file.ask.host), file.ask.port);
    client.unix = Seen::not_applicable("the target is not a unix socket");
    client.connect = Seen::yes(dials, dialled, format!("nc -vz -w2 {host} {port}   # {first}"));
    if !talks.is_empty() {
        let by_hand = format!("redis-cli -h {host} -p {port} ping");
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
    if let Some(stream) = stream {
        let before = sys::now();
        let talk = unix::talk(stream, path, login(request), request.timeout);
        client.protocol = Seen::yes(vec![talk], before.elapsed(), format!("redis-cli -s {shell} ping"));
    }
}

fn rung(request: &Request, to: SocketAddr, watch: bool) -> Rung {
    let (dial, stream) = dial(to, request.timeout, watch);
    let talk = stream.map(|mut stream| {
        let login = login(request);
        let private = to.ip().to_canonical().is_loopback();
        converse(&mut stream, to.to_string(), false, private, login, request.timeout)
    });
    Rung { dial, talk }
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
