//! The handshakes on the wire of one end while the client dials: did the SYN leave, did it come in, what went back.
//!
//! Everything is counted while the dial lasts, because which addresses it will have is not known before; what is not about
//! the target is dropped at the end.

use crate::evidence::client::Dial;
use crate::evidence::ends::{Handshake, Handshakes};
use crate::evidence::{Seen, Why};
use crate::sys;
use crate::sys::packets::{Packets, Segment};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections counted; a host with more in a few seconds is told as incomplete.
const FLOWS_MAX: usize = 16 << 10;
/// Connections reported.
const SHOWN_MAX: usize = 32;
/// Times kept of one connection's SYNs; the kernel sends six at most within a minute (net.ipv4.tcp_syn_retries).
const TIMES_MAX: usize = 8;
/// How often the end is looked for.
const STEP: Duration = Duration::from_millis(20);
/// A watch nobody ends, ends by itself.
const LONGEST: Duration = Duration::from_secs(120);
/// What the reader can run.
const BY_HAND: &str = "tcpdump -ni any 'tcp[tcpflags] & (tcp-syn|tcp-rst) != 0'";

/// Client, server, interface.
type Flow = (SocketAddr, SocketAddr, u32);

/// What was counted.
#[derive(Debug, Default)]
struct Tally {
    flows: BTreeMap<Flow, Counts>,
    incomplete: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Counts {
    syn: [u32; 2],
    ack: [u32; 2],
    rst: [u32; 2],
    /// When SYNs came in.
    came: Vec<Duration>,
}

/// A look under way.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Tally>,
    started: Instant,
}

impl Watch {
    /// Starts in the calling thread's network namespace.
    pub fn start() -> Result<Self, Why> {
        let packets = Packets::open().map_err(|e| match e.kind() {
            std::io::ErrorKind::PermissionDenied => {
                Why::NotPermitted { needs: "root (CAP_NET_RAW, to see packets)".to_owned() }
            }
            _ => sys::why("a packet socket", &e),
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new().spawn(move || tally(packets, &seen));
        let thread = thread.map_err(|e| sys::why("a thread", &e))?;
        Ok(Self { stop, thread, started: sys::now() })
    }

    /// Ends it; what was seen of these dials to that port, and when SYNs of ours came in that nothing answered.
    pub fn finish(self, dials: &[Dial], port: u16, xdp: bool) -> (Seen<Handshakes>, Vec<Duration>) {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.started.elapsed();
        match self.thread.join() {
            Ok(tally) => {
                let found = Handshakes { xdp, ..about(&tally, dials, port) };
                let times = unanswered(&tally, &found);
                (Seen::yes(found, took, BY_HAND), times)
            }
            Err(_) => (Seen::unknown(Why::Panicked, took, BY_HAND), Vec::new()),
        }
    }
}

/// The fact where the watch could not be started.
pub fn unseen(why: Why) -> Seen<Handshakes> {
    Seen::unknown(why, Duration::ZERO, BY_HAND)
}

fn tally(mut packets: Packets, stop: &AtomicBool) -> Tally {
    let end = sys::now() + LONGEST;
    let mut tally = Tally::default();
    loop {
        // What was on the wire before the stop is in the buffer already, and read to its end.
        let stopping = stop.load(Ordering::Relaxed) || sys::now() > end;
        match packets.next(if stopping { sys::now() } else { sys::now() + STEP }) {
            Some(segment) => tally.count(&segment),
            None if stopping => break,
            None => {}
        }
    }
    tally.incomplete |= packets.lost() > 0;
    tally
}

impl Tally {
    fn count(&mut self, s: &Segment) {
        let (there, back) = ((s.from, s.to, s.dev), (s.to, s.from, s.dev));
        let way = usize::from(s.out);
        if s.syn && !s.ack {
            self.flow(there, |c| {
                c.syn[way] += 1;
                c.came.extend(s.at.filter(|_| !s.out && c.came.len() < TIMES_MAX));
            });
        } else if s.syn {
            self.flow(back, |c| c.ack[way] += 1);
        } else if s.rst {
            // Either end may reset; one that was not seen to begin is an old connection's.
            let key = if self.flows.contains_key(&back) { back } else { there };
            if let Some(counts) = self.flows.get_mut(&key) {
                counts.rst[way] += 1;
            }
        }
    }

    fn flow(&mut self, key: Flow, add: impl FnOnce(&mut Counts)) {
        if self.flows.len() >= FLOWS_MAX && !self.flows.contains_key(&key) {
            self.incomplete = true;
            return;
        }
        add(self.flows.entry(key).or_default());
    }
}

/// When our own SYNs came in that nothing left in answer to.
fn unanswered(tally: &Tally, found: &Handshakes) -> Vec<Duration> {
    let mute = |h: &&Handshake| h.ours && h.syn_in > 0 && h.ack_out == 0 && h.rst_out == 0;
    let ours: Vec<_> = found.target.iter().filter(mute).map(|h| (h.client, h.server)).collect();
    let flows = tally.flows.iter().filter(|((client, server, _), _)| ours.contains(&(*client, *server)));
    flows.flat_map(|(_, counts)| counts.came.iter().copied()).collect()
}

/// Keeps what is about the dials: ours, what may be ours under another address, and ours to other ports.
fn about(tally: &Tally, dials: &[Dial], port: u16) -> Handshakes {
    let mut found = Handshakes { incomplete: tally.incomplete, ..Handshakes::default() };
    for ((client, server), on) in connections(tally) {
        let counts = &on.counts;
        let same = |a: SocketAddr, b: SocketAddr| a.ip().to_canonical() == b.ip().to_canonical();
        let of = |d: &Dial| d.from.is_some_and(|from| same(from, client)) && same(d.to, server);
        let ours = server.port() == port && dials.iter().any(of);
        // A translation of addresses usually keeps the client's port, and one of the destination its address and port.
        let translated = dials.iter().any(|d| {
            d.from.is_some_and(|from| {
                from.port() == client.port() && (server.port() == port || same(from, client))
            })
        });
        let shake = || handshake(client, server, ours, &on);
        let [unanswered_in, _] = counts.syn;
        if ours || translated {
            found.target.push(shake());
        } else if dials.iter().any(of) {
            found.other_ports.push(shake());
        } else if server.port() == port {
            // A SYN that is sent again, or not answered, is what ours would look like behind a translation.
            let usual = counts.syn.iter().all(|n| *n < 2) && (counts.ack != [0; 2] || counts.rst != [0; 2]);
            if usual || unanswered_in == 0 {
                found.others += 1;
            } else {
                found.target.push(shake());
            }
        }
    }
    for list in [&mut found.target, &mut found.other_ports] {
        list.sort_by_key(|h| (!h.ours, std::cmp::Reverse(h.syn_in + h.syn_out)));
        list.truncate(SHOWN_MAX);
    }
    found
}

/// One connection on all the interfaces it was seen on.
#[derive(Debug, Default)]
struct Connection {
    /// The interface of the SYN.
    dev: u32,
    /// Where the SYN-ACK left, if it left by none on which the SYN came in.
    answered_by: Option<u32>,
    counts: Counts,
}

/// Of a bridge, a bond or a VLAN the same packet is seen on each layer: counts are not added up. An answer may leave by another
/// interface than the SYN came in on.
fn connections(tally: &Tally) -> BTreeMap<(SocketAddr, SocketAddr), Connection> {
    let mut found: BTreeMap<(SocketAddr, SocketAddr), Vec<(u32, &Counts)>> = BTreeMap::new();
    for (&(client, server, dev), counts) in &tally.flows {
        found.entry((client, server)).or_default().push((dev, counts));
    }
    let joined = |(key, on): (_, Vec<(u32, &Counts)>)| {
        let of = |what: fn(&Counts) -> u32| on.iter().find(|(_, c)| what(c) > 0).map(|(dev, _)| *dev);
        let came = of(|c| c.syn[0]);
        let same = on.iter().any(|(_, c)| c.syn[0] > 0 && c.ack[1] > 0);
        let mut all = Connection {
            dev: came.or(of(|c| c.syn[1])).or(on.first().map(|(dev, _)| *dev)).unwrap_or_default(),
            answered_by: of(|c| c.ack[1]).filter(|_| came.is_some() && !same),
            counts: Counts::default(),
        };
        for way in 0..2 {
            let most =
                |what: fn(&Counts) -> [u32; 2]| on.iter().map(|(_, c)| what(c)[way]).max().unwrap_or(0);
            all.counts.syn[way] = most(|c| c.syn);
            all.counts.ack[way] = most(|c| c.ack);
            all.counts.rst[way] = most(|c| c.rst);
        }
        (key, all)
    };
    found.into_iter().map(joined).collect()
}

fn handshake(client: SocketAddr, server: SocketAddr, ours: bool, on: &Connection) -> Handshake {
    let name = |dev: u32| sys::net::interface_name(dev).unwrap_or_else(|| dev.to_string());
    let counts = &on.counts;
    Handshake {
        client,
        server,
        dev: name(on.dev),
        answered_by: on.answered_by.map(name),
        ours,
        syn_in: counts.syn[0],
        syn_out: counts.syn[1],
        ack_in: counts.ack[0],
        ack_out: counts.ack[1],
        rst_in: counts.rst[0],
        rst_out: counts.rst[1],
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, about};
    use crate::evidence::client::{Dial, DialOutcome};
    use crate::sys::packets::Segment;

    fn segment(from: &str, to: &str, flags: &str, out: bool) -> Segment {
        let has = |c| flags.contains(c);
        let (from, to) = (from.parse().expect("address"), to.parse().expect("address"));
        Segment { from, to, syn: has('s'), ack: has('a'), rst: has('r'), out, dev: 1, at: None }
    }

    fn dial() -> Dial {
        Dial {
            to: "10.0.0.5:6379".parse().expect("address"),
            outcome: DialOutcome::TimedOut,
            took_ms: 2000.0,
            from: Some("10.0.0.7:40000".parse().expect("address")),
            icmp: None,
            rst: None,
            reach: None,
            watched: true,
        }
    }

    fn seen(segments: &[Segment]) -> crate::evidence::ends::Handshakes {
        let mut tally = Tally::default();
        segments.iter().for_each(|s| tally.count(s));
        about(&tally, &[dial()], 6379)
    }

    #[test]
    fn our_own_are_told_from_others() {
        let found = seen(&[
            segment("10.0.0.7:40000", "10.0.0.5:6379", "s", false),
            segment("10.0.0.5:6379", "10.0.0.7:40000", "sa", true),
            segment("10.0.0.7:40001", "10.0.0.5:22", "s", false),
            segment("10.0.0.5:22", "10.0.0.7:40001", "ra", true),
            segment("10.0.0.9:50000", "10.0.0.5:6379", "s", false),
            segment("10.0.0.5:6379", "10.0.0.9:50000", "sa", true),
            segment("10.0.0.8:3", "10.0.0.5:80", "s", false),
            segment("10.0.0.8:4", "10.0.0.5:6379", "r", false),
        ]);
        assert_eq!((found.target.len(), found.other_ports.len(), found.others), (1, 1, 1), "{found:?}");
        let ours = &found.target[0];
        assert!(ours.ours && (ours.syn_in, ours.ack_out, ours.rst_out) == (1, 1, 0));
        assert_eq!(found.other_ports[0].rst_out, 1);
    }

    #[test]
    fn an_answer_by_another_interface_is_an_answer() {
        let syn = segment("10.0.0.7:40000", "10.0.0.5:6379", "s", false);
        let ack = Segment { dev: 2, ..segment("10.0.0.5:6379", "10.0.0.7:40000", "sa", true) };
        let found = seen(&[syn, ack]);
        let ours = &found.target[0];
        assert_eq!((found.target.len(), ours.syn_in, ours.ack_out), (1, 1, 1));
        assert!(ours.answered_by.is_some());
        // A bond shows each packet twice: on itself and on the one of its members that carries it.
        let on = |dev, s: Segment| Segment { dev, ..s };
        let ack = segment("10.0.0.5:6379", "10.0.0.7:40000", "sa", true);
        let found = seen(&[on(1, syn), on(9, syn), on(9, ack), on(2, ack)]);
        let ours = &found.target[0];
        assert_eq!((ours.syn_in, ours.ack_out, ours.answered_by.as_deref()), (1, 1, None));
    }

    #[test]
    fn behind_a_translation_it_may_be_ours() {
        let syn = |from: &str| segment(from, "10.0.0.5:6379", "s", false);
        let kept_port = seen(&[syn("192.0.2.1:40000")]);
        assert!(kept_port.target.len() == 1 && !kept_port.target[0].ours);
        let sent_again = seen(&[syn("192.0.2.1:1024"), syn("192.0.2.1:1024")]);
        assert!(sent_again.target.len() == 1 && !sent_again.target[0].ours);
        let moved = seen(&[segment("10.0.0.7:40000", "172.17.0.2:6380", "s", false)]);
        assert!(moved.target.len() == 1 && !moved.target[0].ours);
    }
}
