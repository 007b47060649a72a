//! `--idle`: connections held without a word, each for another time, then asked again; which of them died?
//!
//! All at once, so that the whole takes as long as the longest. Our side sends no keepalive probes, as most client
//! libraries by default; the server's own (tcp-keepalive) do what they do for every client.

use super::ladder::login;
use super::talk::{Channel, Conversation};
use super::tls::{Material, Wait, handshake};
use crate::evidence::client::{Idle, IdleEnd, IdleRung, Verified};
use crate::evidence::{CaseFile, Seen};
use crate::probe::Request;
use crate::sys;
use crate::wire::{Value, command};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Times in seconds, chosen around the limits one meets: Azure's load balancer 240, Redis's own keepalive 300, AWS's
/// load balancers and NAT gateways 350, GCP's firewall 600, Linux conntrack after FIN 120 and established 432000.
const TIMES: &[u64] = &[
    1, 2, 3, 5, 10, 15, 30, 60, 120, 240, 300, 350, 400, 600, 900, 1200, 1800, 3600, 7200, 14400, 28800,
    43200,
];
/// At most so many connections between the shortest and the longest.
const RUNGS: usize = 9;
/// Hardly idle at all: it shows that a connection lives when it is used.
const IN_USE: Duration = Duration::from_millis(200);

/// The idle times up to a limit: the last ones below it, and the limit.
fn times(limit: Duration) -> Vec<Duration> {
    let below: Vec<Duration> = TIMES.iter().map(|s| Duration::from_secs(*s)).filter(|t| *t < limit).collect();
    let mut times = vec![IN_USE.min(limit / 2)];
    times.extend_from_slice(&below[below.len().saturating_sub(RUNGS)..]);
    times.push(limit);
    times
}

/// Holds the connections to the address that gave PONG.
pub(super) fn look(request: &Request, limit: Duration, file: &CaseFile) -> Seen<Idle> {
    let talks = file.client.protocol.get().map(Vec::as_slice).unwrap_or_default();
    let Some(to) = talks.iter().find(|t| t.pong()).and_then(|t| t.to.parse::<SocketAddr>().ok()) else {
        return Seen::not_applicable("idle connections are held over TCP");
    };
    let before = sys::now();
    let by_hand = format!("(sleep {}; echo PING) | nc {} {}", limit.as_secs(), to.ip(), to.port());
    let rungs: Vec<IdleRung> = std::thread::scope(|scope| {
        let threads: Vec<_> = times(limit)
            .into_iter()
            .filter_map(|idle| {
                std::thread::Builder::new().spawn_scoped(scope, move || rung(request, to, idle)).ok()
            })
            .collect();
        threads.into_iter().filter_map(|t| t.join().ok().flatten()).collect()
    });
    let took = before.elapsed();
    let mut fresh = None;
    let mut restarted = None;
    if rungs.iter().any(|r| r.end != IdleEnd::Alive) {
        let uptime = with(request, to, |channel| {
            channel.send(&command(&["INFO", "server"]), sys::now() + request.timeout);
            let info = channel.value(sys::now() + request.timeout).ok()?.text()?;
            info.lines().find_map(|l| l.strip_prefix("uptime_in_seconds:")?.trim().parse::<u64>().ok())
        });
        fresh = Some(uptime.is_some());
        restarted = uptime.flatten().map(|up| up < took.as_secs());
    }
    Seen::yes(Idle { rungs, fresh, restarted }, took, by_hand)
}

/// One connection; none when it could not be opened.
fn rung(request: &Request, to: SocketAddr, idle: Duration) -> Option<IdleRung> {
    let (end, after) = with(request, to, |channel| {
        let began = sys::now();
        let end = quiet(channel, began + idle).or_else(|| {
            channel.send(&command(&["PING"]), sys::now() + request.timeout);
            match channel.value(sys::now() + request.timeout) {
                Ok(_) => None,
                Err(what) => Some(ended(&what, false)),
            }
        });
        (end.unwrap_or(IdleEnd::Alive), began.elapsed())
    })?;
    Some(IdleRung { idle_ms: idle.as_millis() as u64, end, after_ms: after.as_secs_f64() * 1e3 })
}

/// Waits without a word; how the connection ended meanwhile, if it did.
fn quiet(channel: &mut Channel<'_>, until: Instant) -> Option<IdleEnd> {
    loop {
        match channel.value(until) {
            // Something pushed (RESP3 is not asked for): heard, and no end.
            Ok(_) if sys::now() < until => {}
            Ok(_) => return None,
            Err(what) if what.starts_with("timeout") => return None,
            Err(what) => return Some(ended(&what, true)),
        }
    }
}

fn ended(what: &str, while_idle: bool) -> IdleEnd {
    let is = |word: &str| what.starts_with(word);
    match () {
        () if is("closed") => IdleEnd::Closed { while_idle },
        () if is("reset") => IdleEnd::Reset { while_idle },
        () if is("timeout") => IdleEnd::Silent,
        () => IdleEnd::Other { what: what.to_owned() },
    }
}

/// Opens a connection as the application does, logs in and gets a PONG, then does the work.
fn with<T>(request: &Request, to: SocketAddr, work: impl FnOnce(&mut Channel<'_>) -> T) -> Option<T> {
    let deadline = sys::now() + request.timeout;
    let mut stream = sys::net::connect(to, deadline).ok()?;
    if !request.target.tls {
        return logged_in(request, &mut stream, work);
    }
    let material = Material::load(&request.tls);
    let wait = Wait { then: &mut || {}, settled: &AtomicBool::new(false) };
    let (tls, mut session) = handshake(stream, to, &request.target.host, &material, deadline, wait);
    let trusted = request.tls.insecure || tls.verified == Some(Verified::Ok);
    logged_in(request, session.as_mut().filter(|_| trusted)?, work)
}

fn logged_in<T>(
    request: &Request,
    io: &mut dyn Conversation,
    work: impl FnOnce(&mut Channel<'_>) -> T,
) -> Option<T> {
    let login = login(request);
    let deadline = sys::now() + request.timeout;
    let mut channel = Channel::new(io, login.password);
    if let Some(password) = login.password {
        let auth = match login.user {
            Some(user) => command(&["AUTH", user, password.reveal()]),
            None => command(&["AUTH", password.reveal()]),
        };
        channel.send(&auth, deadline);
        drop(channel.value(deadline).ok()?);
    }
    channel.send(&command(&["PING"]), deadline);
    match channel.value(deadline) {
        Ok(Value::Text(pong)) if pong == b"PONG" => Some(work(&mut channel)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::times;
    use std::time::Duration;

    #[test]
    fn the_ladder_ends_at_the_limit() {
        let seconds = |limit| {
            times(Duration::from_secs(limit)).iter().skip(1).map(Duration::as_secs).collect::<Vec<_>>()
        };
        assert_eq!(seconds(6), [1, 2, 3, 5, 6]);
        assert_eq!(seconds(900), [15, 30, 60, 120, 240, 300, 350, 400, 600, 900]);
        assert_eq!(times(Duration::from_millis(300)), [150, 300].map(Duration::from_millis));
        assert_eq!(times(Duration::from_secs(6))[0], Duration::from_millis(200));
        assert_eq!(seconds(86_400).len(), 10);
    }
}
