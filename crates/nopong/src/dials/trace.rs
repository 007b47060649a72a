//! Every connect of the machine, told by the kernel (sock:inet_sock_set_state, Linux 4.16 and newer).

use super::follow::{Event, Follow, What};
use super::table::{Table, Told};
use super::who::People;
use super::{Wanted, sample};
use crate::evidence::Why;
use crate::sys::{self, ring};
use nix::sys::signalfd::SignalFd;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// Events, by their place in this list.
const STATE: &str = "sock/inet_sock_set_state";
const RESET: &str = "tcp/tcp_receive_reset";
const AGAIN: &str = "tcp/tcp_retransmit_skb";
/// Linux 5.14 and newer.
const ERROR: &str = "sock/inet_sk_error_report";
/// States (include/net/tcp_states.h).
const ESTABLISHED: u64 = 1;
const SYN_SENT: u64 = 2;
const CLOSE: u64 = 7;
const CLOSE_WAIT: u64 = 8;
/// Pause between two reads under load: pages fill up meanwhile, and each read takes more.
const PAUSE: Duration = Duration::from_millis(20);
/// Events are put in order over all CPUs once they are so old.
const SETTLED: Duration = Duration::from_millis(2);
/// The inode of the first process id namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO): the kernel tells ids of that
/// one.
const FIRST_PIDS: &str = "pid:[4026531836]";

/// Looks for so long, or until a signal; the lines, and how many events were lost.
pub(super) fn watch(
    wanted: &Wanted,
    length: Duration,
    stop: &SignalFd,
    live: &mut (dyn FnMut(&Told<'_>) + Send),
) -> Result<(Table, u64), Why> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Why::NotPermitted { needs: "root (to trace every connect)".to_owned() });
    }
    if sys::read_link("/proc/self/ns/pid").ok().is_none_or(|l| l.as_os_str() != FIRST_PIDS) {
        return Err(Why::Missing { what: "the machine's own process ids (this is a container)".to_owned() });
    }
    let ports = filter_of(wanted);
    let state = format!(
        "{ports}(newstate == {SYN_SENT} || oldstate == {SYN_SENT} || (oldstate == {ESTABLISHED} && (newstate == {CLOSE} || newstate == {CLOSE_WAIT})))"
    );
    // Without ports every RST and retransmission of the machine would come; there they are few.
    let other =
        if ports.is_empty() { "dport != 0".to_owned() } else { ports.trim_end_matches(" && ").to_owned() };
    let failed = |e: std::io::Error| sys::why("/sys/kernel/tracing", &e);
    let began = clock();
    let started = sys::now();
    let mut people = People::default();
    let mut follow = Follow::new(began);
    sample::held(wanted, &mut people, &mut follow.table);
    let mut recorder =
        ring::Recorder::start("dials", &[(STATE, &state), (RESET, &other), (AGAIN, &other), (ERROR, &other)])
            .map_err(failed)?;
    let end = started + length;
    let mut waiting: Vec<Event> = Vec::new();
    loop {
        let left = end.saturating_duration_since(sys::now());
        let idle = if waiting.is_empty() { left.min(Duration::from_millis(250)) } else { SETTLED * 2 };
        let mut stopped = recorder.wait(stop.as_fd(), idle) || left.is_zero();
        let horizon = clock();
        // A machine that dials faster than we read must not keep us beyond the end.
        take(&mut recorder, wanted, end + Duration::from_secs(1), &mut people, &mut waiting);
        settle(&mut waiting, horizon.saturating_sub(SETTLED), &mut people, &mut follow, live, &recorder);
        if stopped {
            break;
        }
        if !waiting.is_empty() {
            stopped = paused(stop, PAUSE.min(end.saturating_duration_since(sys::now())));
        }
        if stopped {
            break;
        }
    }
    take(&mut recorder, wanted, sys::now() + Duration::from_secs(1), &mut people, &mut waiting);
    settle(&mut waiting, Duration::MAX, &mut people, &mut follow, live, &recorder);
    let lost = recorder.lost();
    Ok((follow.end(clock(), lost), lost))
}

/// Sleeps; true when a signal came.
pub(super) fn paused(stop: &SignalFd, length: Duration) -> bool {
    sys::net::readable(stop.as_fd(), sys::now() + length)
}

/// CLOCK_MONOTONIC.
fn clock() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// `(dport == 6379 || …) && `, or nothing.
fn filter_of(wanted: &Wanted) -> String {
    if wanted.ports.is_empty() {
        return String::new();
    }
    let ports: Vec<String> = wanted.ports.iter().map(|p| format!("dport == {p}")).collect();
    format!("({}) && ", ports.join(" || "))
}

/// Reads what there is. Who dials is looked up at once: a short-lived process is soon gone.
fn take(
    recorder: &mut ring::Recorder,
    wanted: &Wanted,
    deadline: Instant,
    people: &mut People,
    waiting: &mut Vec<Event>,
) {
    let from = waiting.len();
    recorder.read(deadline, &mut |record| waiting.extend(event(record, wanted)));
    for event in waiting.get(from..).unwrap_or_default() {
        if let What::Syn { tid, .. } = event.what {
            people.of(tid, &|tid| recorder.saved_name(tid));
        }
    }
}

/// Follows the events that are old enough for none before them to be missing.
fn settle(
    waiting: &mut Vec<Event>,
    until: Duration,
    people: &mut People,
    follow: &mut Follow,
    live: &mut (dyn FnMut(&Told<'_>) + Send),
    recorder: &ring::Recorder,
) {
    waiting.sort_by_key(|e| e.at);
    let ready = waiting.partition_point(|e| e.at <= until);
    for event in waiting.drain(..ready) {
        follow.take(event, &mut |tid| people.of(tid, &|tid| recorder.saved_name(tid)), live);
    }
}

fn event(record: &ring::Record<'_>, wanted: &Wanted) -> Option<Event> {
    let what = match record.event {
        0 => {
            // SCTP has such states too; MPTCP's subflows are TCP.
            if record.number("protocol").is_some_and(|p| p != 6) {
                return None;
            }
            match (record.number("oldstate")?, record.number("newstate")?) {
                (_, SYN_SENT) => {
                    let to = remote(record)?;
                    if !wanted.takes(to) {
                        return None;
                    }
                    What::Syn { to, tid: record.tid }
                }
                (SYN_SENT, CLOSE) => What::Ended { softirq: record.softirq, port: local_port(record)? },
                // SYN_SENT to SYN_RECV is a simultaneous open, which ends here or there as well.
                (SYN_SENT, _) => What::Opened,
                (ESTABLISHED, CLOSE_WAIT) => What::Closed,
                (ESTABLISHED, CLOSE) => What::Gone,
                _ => return None,
            }
        }
        1 => What::Reset,
        2 => What::Again,
        _ => {
            let errno = i32::from_ne_bytes(record.bytes("error")?.try_into().ok()?);
            let what = What::Error { port: local_port(record)?, to: remote(record)?, errno };
            return Some(Event { at: Duration::from_nanos(record.at_ns), socket: 0, what });
        }
    };
    Some(Event { at: Duration::from_nanos(record.at_ns), socket: record.number("skaddr")?, what })
}

fn local_port(record: &ring::Record<'_>) -> Option<u16> {
    u16::try_from(record.number("sport")?).ok()
}

/// The address dialled, an IPv4 address as such.
fn remote(record: &ring::Record<'_>) -> Option<SocketAddr> {
    let port = u16::try_from(record.number("dport")?).ok()?;
    let ip = if record.number("family")? == nix::libc::AF_INET as u64 {
        IpAddr::from(<[u8; 4]>::try_from(record.bytes("daddr")?).ok()?)
    } else {
        IpAddr::from(<[u8; 16]>::try_from(record.bytes("daddr_v6")?).ok()?).to_canonical()
    };
    Some(SocketAddr::new(ip, port))
}
