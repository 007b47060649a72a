//! One connect(): errno, time, and (as root) what exactly answered.

use super::ladder::side_by_side;
use super::reach;
use crate::evidence::CaseFile;
use crate::evidence::client::{Dial, DialOutcome, Icmp, Rst};
use crate::sys;
use crate::sys::net::{Connecting, Stream};
use crate::sys::raw::{Watch, icmp_name};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A SYN without an answer for this long is looked after. Few round trips on earth take longer.
const UNANSWERED: Duration = Duration::from_millis(250);

/// Dials one address; `watch` opens raw sockets beside it.
pub(super) fn dial(to: SocketAddr, limit: Duration, watch: bool) -> (Dial, Option<Stream>) {
    let watch = if watch { Watch::open(to).ok() } else { None };
    let before = sys::now();
    let deadline = before + limit;
    let mut dial = Dial {
        to,
        outcome: DialOutcome::TimedOut,
        took_ms: 0.0,
        from: None,
        icmp: None,
        rst: None,
        reach: None,
        watched: watch.is_some(),
    };
    let mut stream = None;
    match Connecting::start(to, None) {
        Err(e) => dial.outcome = outcome_of(&e),
        Ok(mut connecting) => {
            dial.from = connecting.from;
            match wait(&mut connecting, &mut dial, deadline) {
                None => {}
                Some(Err(e)) => dial.outcome = outcome_of(&e),
                Some(Ok(())) => {
                    dial.outcome = DialOutcome::Connected;
                    stream = connecting.stream(deadline).ok();
                }
            }
        }
    }
    dial.took_ms = before.elapsed().as_secs_f64() * 1e3;
    if let Some(watch) = watch.filter(|_| dial.outcome != DialOutcome::Connected) {
        dial.icmp = watch.icmp(dial.from).map(|e| Icmp {
            from: e.from,
            kind: e.kind,
            code: e.code,
            name: icmp_name(to.is_ipv4(), e.kind, e.code),
        });
        dial.rst = watch.rst(dial.from).map(|ttl| Rst { ttl, closed_port_ttl: None });
    }
    (dial, stream)
}

/// Waits for the outcome, and meanwhile looks after a SYN that stays unanswered.
fn wait(connecting: &mut Connecting, dial: &mut Dial, deadline: Instant) -> Option<std::io::Result<()>> {
    let soon = deadline.min(sys::now() + UNANSWERED);
    if let Some(done) = connecting.wait(soon) {
        return Some(done);
    }
    if soon >= deadline {
        return None;
    }
    std::thread::scope(|scope| {
        let to = dial.to;
        let looking = std::thread::Builder::new().spawn_scoped(scope, move || reach::look(to, deadline)).ok();
        let done = connecting.wait(deadline);
        // What was looked at for a SYN that got its answer late is of no use.
        let reach = looking.and_then(|l| l.join().ok());
        if !matches!(done, Some(Ok(()))) {
            dial.reach = reach;
        }
        done
    })
}

/// An IO error as an outcome.
pub(super) fn outcome_of(error: &std::io::Error) -> DialOutcome {
    if error.raw_os_error().is_none() && error.kind() == std::io::ErrorKind::TimedOut {
        return DialOutcome::TimedOut;
    }
    DialOutcome::Errno { errno: sys::errno_name(error) }
}

/// Ports that are surely closed nearly everywhere: tcpmux and one between the registered and the usual dynamic ones.
const CLOSED: [u16; 2] = [1, 49_999];
/// A host that refuses one port refuses another as fast.
const CLOSED_WAIT: Duration = Duration::from_millis(250);

/// A connection came about.
pub(super) fn connected(file: &CaseFile) -> bool {
    file.client.connect.get().is_some_and(|d| d.iter().any(|d| d.outcome == DialOutcome::Connected))
}

/// For each dial that a RST answered: the TTL of a RST from a closed port of the same host.
pub(super) fn closed_port_ttls(file: &CaseFile) -> Vec<Option<u8>> {
    let dials = file.client.connect.get().map(Vec::as_slice).unwrap_or_default();
    side_by_side(dials, |seen| {
        seen.rst.as_ref()?;
        CLOSED.iter().filter(|port| **port != seen.to.port()).find_map(|port| {
            let mut to = seen.to;
            to.set_port(*port);
            dial(to, CLOSED_WAIT, true).0.rst.map(|rst| rst.ttl)
        })
    })
}
