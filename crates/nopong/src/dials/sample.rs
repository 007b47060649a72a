//! Without root: the sockets of our own network namespace, looked at again and again (sock_diag).
//!
//! A connect that begins and ends between two samples leaves a trace only when the client closes first (TIME-WAIT).

use super::table::{Outcome, Table, Told};
use super::who::{People, Who};
use super::{Wanted, trace};
use crate::evidence::Why;
use crate::probe::server::{Holders, pids};
use crate::sys::{self, sockets::Tcp};
use nix::sys::signalfd::SignalFd;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Sockets taken of one namespace.
const SOCKETS_MAX: usize = 100_000;
/// Pause between two samples; longer where one takes long, so that sampling takes at most a tenth of a core.
const PAUSE: Duration = Duration::from_millis(5);
/// Other network namespaces whose open connections are listed.
const NAMESPACES_MAX: usize = 200;
/// States (include/net/tcp_states.h).
const SYN_SENT: u8 = 2;
const CLOSE_WAIT: u8 = 8;
/// A process that could not be told.
const UNKNOWN: &str = "?";

/// The sockets of this namespace that dial what is wanted.
fn dialling(wanted: &Wanted) -> Result<Vec<Tcp>, Why> {
    let mut found = sys::sockets::connections(SOCKETS_MAX)?;
    found.retain(|s| wanted.takes(s.remote));
    Ok(found)
}

/// Connections that are open already, of this namespace and, as root, of the others.
pub(super) fn held(wanted: &Wanted, people: &mut People, table: &mut Table) {
    let mut found = dialling(wanted).unwrap_or_default();
    let own = sys::read_link("/proc/self/ns/net").ok();
    let mut seen: BTreeSet<_> = own.into_iter().collect();
    for pid in pids() {
        let path = format!("/proc/{pid}/ns/net");
        let Ok(link) = sys::read_link(&path) else { continue };
        if seen.len() > NAMESPACES_MAX || !seen.insert(link) {
            continue;
        }
        // A thread of its own is moved there and ends with the look.
        let there = std::thread::scope(|scope| {
            let look = scope.spawn(|| {
                sys::namespaces::enter_network(path.as_ref())?;
                dialling(wanted)
            });
            look.join()
        });
        found.extend(there.ok().and_then(Result::ok).unwrap_or_default());
    }
    found.retain(|s| s.inode != 0 && s.state != SYN_SENT);
    for (socket, who) in owners(&found, people) {
        if let Some(line) = who.and_then(|w| table.place(&w, socket.remote)).and_then(|p| table.line(p)) {
            line.held += 1;
        }
    }
}

/// Sockets with the process that holds each, as far as it may be seen.
fn owners(sockets: &[Tcp], people: &mut People) -> Vec<(Tcp, Option<Who>)> {
    let inodes: Vec<u64> = sockets.iter().map(|s| s.inode).collect();
    let holders = if inodes.is_empty() { Holders::default() } else { Holders::find(&inodes, &[]) };
    let mut owner = |s: &Tcp| holders.of(s.inode).first().map(|pid| people.of(*pid, &|_| None));
    sockets.iter().map(|s| (*s, owner(s))).collect()
}

/// The process whose socket has these two ends.
pub(super) fn owner(local: SocketAddr, remote: SocketAddr) -> Option<Who> {
    let canonical = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
    let ends = (canonical(local), canonical(remote));
    let mut found = sys::sockets::connections(SOCKETS_MAX).ok()?;
    found.retain(|s| (s.local, s.remote) == ends && s.inode != 0);
    owners(&found, &mut People::default()).into_iter().find_map(|(_, who)| who)
}

/// A socket that was seen.
struct Followed {
    place: Option<usize>,
    since: Duration,
    state: u8,
    seen: u64,
}

/// Samples for so long, or until a signal.
pub(super) fn watch(
    wanted: &Wanted,
    length: Duration,
    stop: &SignalFd,
    live: &mut (dyn FnMut(&Told<'_>) + Send),
) -> Result<Table, Why> {
    let started = sys::now();
    let mut people = People::default();
    let mut table = Table::default();
    let mut followed: BTreeMap<(SocketAddr, SocketAddr), Followed> = BTreeMap::new();
    // What is open at the beginning is held, not dialled.
    let first = dialling(wanted)?;
    for (socket, who) in owners(&first, &mut people) {
        let place = who.and_then(|w| table.place(&w, socket.remote));
        if let Some(line) = place.and_then(|p| table.line(p)).filter(|_| socket.state != SYN_SENT) {
            line.held += 1;
        }
        let known = Followed { place: None, since: Duration::ZERO, state: socket.state, seen: 0 };
        followed.insert((socket.local, socket.remote), known);
    }
    for round in 1.. {
        let left = length.saturating_sub(started.elapsed());
        let before = sys::now();
        let now = started.elapsed();
        let sample = dialling(wanted)?;
        let new: Vec<Tcp> =
            sample.iter().filter(|s| !followed.contains_key(&(s.local, s.remote))).copied().collect();
        for (socket, who) in owners(&new, &mut people) {
            let who = who.unwrap_or_else(|| people.of_user(socket.inode, socket.uid, UNKNOWN));
            let place = table.place(&who, socket.remote);
            if let Some(line) = place.and_then(|p| table.line(p)) {
                line.attempts += 1;
            }
            let state = SYN_SENT;
            followed
                .insert((socket.local, socket.remote), Followed { place, since: now, state, seen: round });
        }
        for socket in &sample {
            let Some(known) = followed.get_mut(&(socket.local, socket.remote)) else { continue };
            known.seen = round;
            let Some(place) = known.place.filter(|_| known.state == SYN_SENT && socket.state != SYN_SENT)
            else {
                known.state = socket.state;
                continue;
            };
            // CLOSE_WAIT in the first look that shows it open: the other side closed within the pause.
            let outcome = if socket.state == CLOSE_WAIT { Outcome::ClosedAtOnce } else { Outcome::Connected };
            known.state = socket.state;
            tell(&mut table, place, outcome, now - known.since, now, live);
        }
        let mut ended = Vec::new();
        followed.retain(|_, known| {
            let here = known.seen == round;
            if !here && known.state == SYN_SENT {
                ended.extend(known.place.map(|place| (place, known.since)));
            }
            here
        });
        for (place, since) in ended {
            tell(&mut table, place, Outcome::Failed, now - since, now, live);
        }
        if left.is_zero() || trace::paused(stop, left.min(PAUSE.max(before.elapsed() * 9))) {
            break;
        }
    }
    let end = started.elapsed();
    for known in followed.into_values().filter(|k| k.state == SYN_SENT) {
        let outcome =
            if end - known.since >= Duration::from_secs(1) { Outcome::TimedOut } else { Outcome::Pending };
        if let Some(place) = known.place {
            table.note(place, outcome, end - known.since, end);
        }
    }
    Ok(table)
}

fn tell(
    table: &mut Table,
    place: usize,
    outcome: Outcome,
    after: Duration,
    at: Duration,
    live: &mut (dyn FnMut(&Told<'_>) + Send),
) {
    if let Some(told) = table.note(place, outcome, after, at) {
        live(&told);
    }
}
