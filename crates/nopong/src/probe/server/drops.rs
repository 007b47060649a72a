//! Why the kernel dropped our packets: its own drop reason (skb:kfree_skb, Linux 5.17 and newer), for two SYNs of ours.
//!
//! A packet to one's own machine is received in the context of the thread that sends it, so the trace is limited to
//! that thread; what arrives of others in between is told apart by number: a reason counts only if every SYN had it.

use crate::evidence::server::Drops;
use crate::evidence::{CaseFile, Seen, Why};
use crate::sys;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// SYNs sent.
const SYNS: u32 = 2;
/// How long each is waited for: a drop happens within the call that sends.
const WAIT: Duration = Duration::from_millis(8);
/// Limit of the whole look.
const LIMIT: Duration = Duration::from_millis(150);
/// Text taken of the trace.
const TRACE_MAX: usize = 256 << 10;

/// Looks, if the dial was refused or timed out. None: it was not, there is nothing to ask.
pub(super) fn target(file: &CaseFile) -> Option<SocketAddr> {
    use crate::evidence::client::DialOutcome;
    let dial = file.client.connect.get()?.first()?;
    match &dial.outcome {
        DialOutcome::TimedOut => Some(dial.to),
        DialOutcome::Errno { errno } if errno == "ECONNREFUSED" || errno == "ETIMEDOUT" => Some(dial.to),
        _ => None,
    }
}

/// Sends the SYNs under the trace.
pub(super) fn look(to: SocketAddr) -> Result<Drops, Why> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Why::NotPermitted { needs: "root (to trace the kernel's drop reasons)".to_owned() });
    }
    sys::bounded(LIMIT, move || {
        let mut trace =
            sys::trace::Trace::start("skb/kfree_skb").map_err(|e| sys::why("/sys/kernel/tracing", &e))?;
        for _ in 0..SYNS {
            drop(sys::net::connect(to, sys::now() + WAIT));
        }
        let text = trace.read(TRACE_MAX);
        drop(trace);
        let reasons = reasons(&text, if to.is_ipv6() { 0x86dd } else { 0x0800 });
        if reasons.is_empty() {
            return Err(Why::Garbled { what: "the trace shows no packet that is surely ours".to_owned() });
        }
        Ok(Drops { reasons })
    })
}

/// What the reader can run.
pub(in crate::probe) const BY_HAND: &str =
    "trace-cmd record -e skb:kfree_skb; or: perf trace -e skb:kfree_skb";
/// Events kept; a host that drops more in a few seconds drops too much to tell ours apart.
const EVENTS_MAX: usize = 50_000;
/// A packet is dropped within this after it came in: both happen in one run of the softirq, which a virtual machine's host
/// may interrupt.
const SOON: Duration = Duration::from_millis(1);
/// So many of our SYNs must have met the reason that soon, in percent.
const MOST: usize = 75;
/// That so many of them have such a neighbour by accident must be less probable than this.
const ACCIDENT: f64 = 1e-4;
/// How often the trace is read.
const STEP: Duration = Duration::from_millis(20);
/// A watch nobody ends, ends by itself.
const LONGEST: Duration = Duration::from_secs(120);

/// Every drop of the machine while a client of another host dials: which of them are ours, their time tells.
#[derive(Debug)]
pub(in crate::probe) struct DropWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Event>>>,
    started: Instant,
}

/// When, by the monotonic clock, and why.
type Event = (Duration, String);

impl DropWatch {
    /// Starts, and is running when this returns.
    pub(in crate::probe) fn start() -> Result<Self, Why> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Why::NotPermitted { needs: "root (to trace the kernel's drop reasons)".to_owned() });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let work = move || {
            // ETH_P_IP and ETH_P_IPV6 (linux/if_ether.h).
            let trace =
                sys::trace::Trace::of_machine("skb/kfree_skb", "protocol == 2048 || protocol == 34525");
            let mut trace = match trace {
                Ok(trace) => trace,
                Err(e) => {
                    drop(ready.send(Err(sys::why("/sys/kernel/tracing", &e))));
                    return Vec::new();
                }
            };
            drop(ready.send(Ok(())));
            let end = sys::now() + LONGEST;
            let mut events = Vec::new();
            loop {
                let stopping = stopped.load(Ordering::Relaxed) || sys::now() > end;
                events.extend(trace.read(TRACE_MAX).lines().filter_map(event));
                if stopping || events.len() > EVENTS_MAX {
                    return events;
                }
                std::thread::sleep(STEP);
            }
        };
        let thread = std::thread::Builder::new().spawn(work).map_err(|e| sys::why("a thread", &e))?;
        is_ready
            .recv_timeout(LIMIT * 4)
            .map_err(|_| Why::TimedOut { after_ms: 4 * LIMIT.as_millis() as u64 })??;
        Ok(Self { stop, thread: Some(thread), started: sys::now() })
    }

    /// Ends it: the reasons that these SYNs met, which came in at those times.
    pub(in crate::probe) fn finish(mut self, came: &[Duration]) -> Seen<Drops> {
        let took = self.started.elapsed();
        let reasons = match self.end() {
            Some(events) if events.len() <= EVENTS_MAX => met(&events, came, took),
            Some(_) => BTreeMap::new(),
            None => return Seen::unknown(Why::Panicked, took, BY_HAND),
        };
        if reasons.is_empty() {
            let what = "the trace shows no drop that is surely of our packets".to_owned();
            return Seen::unknown(Why::Garbled { what }, took, BY_HAND);
        }
        Seen::yes(Drops { reasons }, took, BY_HAND)
    }
}

impl DropWatch {
    fn end(&mut self) -> Option<Vec<Event>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok()
    }
}

/// A watch that nobody asks still takes its trace instance with it.
impl Drop for DropWatch {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// `  <idle>-0  [000] ..s2.  1234.567890: kfree_skb: … reason: NETFILTER_DROP`.
fn event(line: &str) -> Option<Event> {
    let (head, _) = line.split_once(": kfree_skb:")?;
    let (seconds, micros) = head.split_whitespace().next_back()?.split_once('.')?;
    let at = Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
    Some((at, named(line)?))
}

/// Reasons that followed the SYNs at once, and would hardly do so by accident.
fn met(events: &[Event], came: &[Duration], watched: Duration) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let kinds: BTreeSet<&String> = events.iter().map(|(_, reason)| reason).collect();
    for reason in kinds {
        let times: Vec<Duration> = events.iter().filter(|(_, r)| r == reason).map(|(at, _)| *at).collect();
        // Stamps of the trace are cut to whole microseconds.
        let follows = |syn: &Duration| {
            times.iter().any(|at| *at + Duration::from_micros(1) >= *syn && *at <= *syn + SOON)
        };
        let foreign = times.len().saturating_sub(came.len()) as f64;
        let rate = foreign / watched.as_secs_f64().max(0.1);
        let count = came.iter().filter(|syn| follows(syn)).count();
        // At most 2^n ways to choose which of them met it.
        let accident =
            (1.0 - (-rate * SOON.as_secs_f64()).exp()).powi(count as i32) * 2f64.powi(came.len() as i32);
        if count > 0 && count * 100 >= came.len() * MOST && accident < ACCIDENT {
            found.insert(reason.clone(), count as u32);
        }
    }
    found
}

/// The reason at the end of a line of the trace. Not specified is what is freed in the ordinary course.
fn named(line: &str) -> Option<String> {
    let known = line.rsplit_once("reason: ")?.1.trim();
    let named = known != "NOT_SPECIFIED"
        && known.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    named.then(|| known.to_owned())
}

/// Reasons that every SYN met. A line ends in `protocol=2048 location=… reason: NETFILTER_DROP`.
fn reasons(trace: &str, protocol: u16) -> BTreeMap<String, u32> {
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let protocol = format!("protocol={protocol} ");
    for line in trace.lines().filter(|l| l.contains("kfree_skb:") && l.contains(&protocol)) {
        if let Some(reason) = named(line) {
            *found.entry(reason).or_default() += 1;
        }
    }
    found.retain(|_, count| *count >= SYNS);
    found
}

#[cfg(test)]
mod tests {
    use super::{event, look, met, reasons};
    use std::time::Duration;

    #[test]
    fn a_watch_leaves_no_instance_behind() {
        drop(super::DropWatch::start());
        let left = crate::sys::list("/sys/kernel/tracing/instances", 100).unwrap_or_default();
        let ours = format!("nopong-{}-machine", std::process::id());
        assert!(!left.iter().any(|name| name.to_string_lossy() == ours));
    }

    #[test]
    fn a_drop_is_ours_when_it_follows_each_of_our_syns() {
        let line = |at: &str, reason: &str| {
            format!(
                "  <idle>-0  [001] b.s1.  {at}: kfree_skb: skbaddr=00000000a rx_sk=0 protocol=2048 location=nf_hook_slow+0x1 reason: {reason}"
            )
        };
        let events: Vec<_> = [
            line("12.000050", "NETFILTER_DROP"),
            line("12.400000", "NO_SOCKET"),
            line("13.000060", "NETFILTER_DROP"),
            line("13.000061", "NOT_SPECIFIED"),
        ]
        .iter()
        .filter_map(|l| event(l))
        .collect();
        assert_eq!(events.len(), 3);
        let came = [Duration::from_micros(12_000_030), Duration::from_micros(13_000_040)];
        let found = met(&events, &came, Duration::from_secs(2));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("NETFILTER_DROP".to_owned(), 2)]);
        // A host that drops all the time drops beside our SYNs too.
        let busy: Vec<_> = (0..4000)
            .map(|n| (Duration::from_micros(11_500_000 + n * 500), "NETFILTER_DROP".to_owned()))
            .collect();
        assert!(met(&busy, &came, Duration::from_secs(2)).is_empty());
    }

    #[test]
    fn only_what_every_syn_met() {
        let line = |reason: &str, protocol: u16| {
            format!(
                "nopong-7 [000] b.s1. 5.1: kfree_skb: skbaddr=00000000a rx_sk=0 protocol={protocol} location=tcp_v4_rcv+0x1 reason: {reason}\n"
            )
        };
        let trace = [
            line("NO_SOCKET", 2048),
            line("NETFILTER_DROP", 2048),
            line("NO_SOCKET", 2048),
            line("NOT_SPECIFIED", 2048),
            line("NOT_SPECIFIED", 2048),
            line("NO_SOCKET", 34525),
        ]
        .concat();
        let found = reasons(&trace, 2048);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("NO_SOCKET".to_owned(), 2)]);
        assert!(reasons("", 2048).is_empty());
    }

    #[test]
    fn a_closed_port_has_no_socket_or_it_is_said_why_not() {
        // Port 1 (tcpmux) is closed on any machine a test runs on.
        match look("127.0.0.1:1".parse().expect("address")) {
            Ok(drops) => assert!(drops.reasons.contains_key("NO_SOCKET"), "{drops:?}"),
            Err(why) => assert!(!why.to_string().is_empty()),
        }
        let left = crate::sys::list("/sys/kernel/tracing/instances", 100).unwrap_or_default();
        let ours = format!("nopong-{}-drops", std::process::id());
        assert!(!left.iter().any(|name| name.to_string_lossy() == ours));
    }
}
