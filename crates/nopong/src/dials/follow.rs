//! From changes of state to outcomes: each socket followed from its SYN on. Pure: times come with the events.

use super::table::{Outcome, Table, Told};
use super::who::Who;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Closed by the other side so soon after it was opened, a connection was of no use to anybody.
const AT_ONCE: Duration = Duration::from_millis(50);
/// TCP_TIMEOUT_INIT is 1 s (include/net/tcp.h, RFC 6298): the kernel gives up at least that long after its last SYN, and
/// an ICMP error comes sooner after the SYN that it answers.
const LAST_SYN: Duration = Duration::from_millis(900);
/// An application that closes a socket sooner than this did not wait for an answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// Sockets followed at a time; beyond that the oldest that are open are forgotten.
const SOCKETS_MAX: usize = 1 << 16;

/// What happened to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A connect began.
    Syn {
        /// Whom it dials.
        to: SocketAddr,
        /// Which thread.
        tid: u32,
    },
    /// The SYN was sent again.
    Again,
    /// A RST came.
    Reset,
    /// The application was told of an error; of which socket, only its ports tell.
    Error {
        /// Its local port.
        port: u16,
        /// Whom it dialled.
        to: SocketAddr,
        /// The errno.
        errno: i32,
    },
    /// It is established.
    Opened,
    /// It ended before it was established.
    Ended {
        /// The network or a timer ended it, not the application.
        softirq: bool,
        /// Its local port; 0 when it had got none.
        port: u16,
    },
    /// The other side closed it.
    Closed,
    /// It went from established to closed in one step: reset, or aborted by the application.
    Gone,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// CLOCK_MONOTONIC.
    pub(super) at: Duration,
    /// The kernel's name of the socket.
    pub(super) socket: u64,
    /// What happened.
    pub(super) what: What,
}

/// A socket on its way.
#[derive(Debug)]
struct Open {
    place: usize,
    syn: Duration,
    last_syn: Duration,
    opened: Option<Duration>,
    reset: bool,
}

/// All sockets on their way.
#[derive(Debug, Default)]
pub(super) struct Follow {
    open: HashMap<u64, Open>,
    /// Errors that were told and not yet put to a socket, with their time.
    errors: HashMap<(u16, SocketAddr), (Duration, i32)>,
    /// The lines.
    pub(super) table: Table,
    began: Duration,
}

impl Follow {
    /// Begins now.
    pub(super) fn new(began: Duration) -> Self {
        Self { began, ..Self::default() }
    }

    /// Takes an event; events of one socket must come in order.
    pub(super) fn take(
        &mut self,
        event: Event,
        who: &mut dyn FnMut(u32) -> Who,
        live: &mut (dyn FnMut(&Told<'_>) + Send),
    ) {
        let at = event.at;
        if let What::Syn { to, tid } = event.what {
            if self.open.len() >= SOCKETS_MAX {
                self.open.retain(|_, o| o.opened.is_none_or(|opened| at.saturating_sub(opened) < AT_ONCE));
            }
            if let Some(place) = self.table.place(&who(tid), to) {
                if let Some(line) = self.table.line(place) {
                    line.attempts += 1;
                }
                let open = Open { place, syn: at, last_syn: at, opened: None, reset: false };
                if let Some(before) = self.open.insert(event.socket, open)
                    && before.opened.is_none()
                {
                    // Its end was not seen, the event was lost: nothing is known, and nobody accused.
                    self.note(before.place, Outcome::Pending, before.syn, at, live);
                }
            }
            return;
        }
        if let What::Error { port, to, errno } = event.what {
            if self.errors.len() >= SOCKETS_MAX {
                self.errors.clear();
            }
            self.errors.insert((port, to), (at, errno));
            return;
        }
        let Some(open) = self.open.get_mut(&event.socket) else { return };
        let (place, syn, opened) = (open.place, open.syn, open.opened);
        let outcome = match event.what {
            What::Syn { .. } | What::Error { .. } => return,
            What::Again => {
                open.last_syn = at;
                return;
            }
            What::Reset => {
                open.reset = true;
                return;
            }
            What::Opened => {
                open.opened = Some(at);
                self.note(place, Outcome::Connected, syn, at, live);
                return;
            }
            What::Ended { softirq, port } => {
                let to = self.table.line(place).map(|l| l.to);
                // An error from before this connect was of another socket.
                let error =
                    to.and_then(|to| self.errors.remove(&(port, to))).filter(|(told, _)| *told >= syn);
                match (open.reset, error, softirq, port) {
                    (true, ..) | (_, Some((_, nix::libc::ECONNREFUSED)), ..) => Outcome::Refused,
                    (_, Some((_, nix::libc::ETIMEDOUT)), ..) => Outcome::TimedOut,
                    (_, Some(_), ..) => Outcome::Unreachable,
                    (_, None, false, 0) => Outcome::NoLocalPort,
                    (_, None, false, _) if at.saturating_sub(syn) < PATIENCE => Outcome::GivenUp,
                    (_, None, false, _) => Outcome::TimedOut,
                    // Kernels before 5.14 do not tell the error.
                    (_, None, true, _) if at.saturating_sub(open.last_syn) >= LAST_SYN => Outcome::TimedOut,
                    (_, None, true, _) => Outcome::Unreachable,
                }
            }
            What::Closed | What::Gone => {
                let by_peer = event.what == What::Closed || open.reset;
                let soon = opened.is_some_and(|opened| at.saturating_sub(opened) < AT_ONCE);
                self.open.remove(&event.socket);
                if by_peer && soon {
                    self.table.take_back(place, Outcome::Connected);
                    self.note(place, Outcome::ClosedAtOnce, syn, at, live);
                }
                return;
            }
        };
        self.open.remove(&event.socket);
        self.note(place, outcome, syn, at, live);
    }

    fn note(
        &mut self,
        place: usize,
        outcome: Outcome,
        syn: Duration,
        at: Duration,
        live: &mut (dyn FnMut(&Told<'_>) + Send),
    ) {
        let since = at.saturating_sub(self.began);
        if let Some(told) = self.table.note(place, outcome, at.saturating_sub(syn), since) {
            live(&told);
        }
    }

    /// The look is over: what waits for an answer is pending, or has waited longer than one SYN takes; where events were
    /// lost, the answer may be among them.
    pub(super) fn end(mut self, at: Duration, lost: u64) -> Table {
        for open in std::mem::take(&mut self.open).into_values().filter(|o| o.opened.is_none()) {
            let waited = at.saturating_sub(open.syn);
            let outcome = if waited >= LAST_SYN && lost == 0 { Outcome::TimedOut } else { Outcome::Pending };
            self.table.note(open.place, outcome, waited, at.saturating_sub(self.began));
        }
        self.table
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Follow, What};
    use crate::dials::table::Outcome;
    use crate::dials::who::Who;
    use std::time::Duration;

    /// Events in milliseconds after the SYN; the outcomes.
    fn outcomes(events: &[(u64, What)], end: u64) -> Vec<(Outcome, u64)> {
        let mut follow = Follow::new(Duration::ZERO);
        let syn = What::Syn { to: "10.0.0.5:6379".parse().expect("address"), tid: 7 };
        let mut who = |pid| Who { pid, ..Who::default() };
        for (ms, what) in [(0, syn)].iter().chain(events) {
            let event = Event { at: Duration::from_millis(*ms), socket: 1, what: *what };
            follow.take(event, &mut who, &mut |_| {});
        }
        let lines = follow.end(Duration::from_millis(end), 0).finish();
        assert_eq!(lines[0].attempts, 1);
        lines[0].outcomes.clone().into_iter().collect()
    }

    #[test]
    fn what_becomes_of_a_connect() {
        let ended = |softirq, port| What::Ended { softirq, port: if port { 40000 } else { 0 } };
        let to = "10.0.0.5:6379".parse().expect("address");
        let error = |errno| What::Error { port: 40000, to, errno };
        let one = |outcome| vec![(outcome, 1)];
        assert_eq!(outcomes(&[(1, What::Opened)], 9), one(Outcome::Connected));
        assert_eq!(outcomes(&[(1, What::Reset), (1, ended(true, true))], 9), one(Outcome::Refused));
        // A RST taken from the backlog ends the socket outside a softirq.
        assert_eq!(outcomes(&[(1, What::Reset), (1, ended(false, true))], 9), one(Outcome::Refused));
        assert_eq!(outcomes(&[(2, ended(true, true))], 9), one(Outcome::Unreachable));
        assert_eq!(outcomes(&[(1000, What::Again), (1002, ended(true, true))], 9), one(Outcome::Unreachable));
        assert_eq!(outcomes(&[(1000, What::Again), (3001, ended(true, true))], 9), one(Outcome::TimedOut));
        assert_eq!(outcomes(&[(2000, ended(false, true))], 9), one(Outcome::TimedOut));
        assert_eq!(outcomes(&[(3, ended(false, true))], 9), one(Outcome::GivenUp));
        assert_eq!(outcomes(&[(0, ended(false, false))], 9), one(Outcome::NoLocalPort));
        // The kernel's own word goes before what the times suggest.
        let unreachable = error(nix::libc::EHOSTUNREACH);
        assert_eq!(outcomes(&[(1, unreachable), (2, ended(false, true))], 9), one(Outcome::Unreachable));
        let late = error(nix::libc::ETIMEDOUT);
        assert_eq!(outcomes(&[(9, late), (9, ended(true, true))], 9), one(Outcome::TimedOut));
        assert_eq!(
            outcomes(&[(1, error(nix::libc::ECONNREFUSED)), (1, ended(true, true))], 9),
            one(Outcome::Refused)
        );
        assert_eq!(outcomes(&[], 9), one(Outcome::Pending));
        assert_eq!(outcomes(&[], 1500), one(Outcome::TimedOut));
    }

    #[test]
    fn closed_at_once_and_closed_later() {
        let one = |outcome| vec![(outcome, 1)];
        assert_eq!(outcomes(&[(1, What::Opened), (3, What::Closed)], 9), one(Outcome::ClosedAtOnce));
        assert_eq!(
            outcomes(&[(1, What::Opened), (1, What::Reset), (2, What::Gone)], 9),
            one(Outcome::ClosedAtOnce)
        );
        assert_eq!(outcomes(&[(1, What::Opened), (2, What::Gone)], 9), one(Outcome::Connected));
        assert_eq!(outcomes(&[(1, What::Opened), (300, What::Closed)], 999), one(Outcome::Connected));
    }
}
