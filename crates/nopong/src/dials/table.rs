//! One line for each process and address: counts, the first error, and the sentence that matters.

use super::{Setting, Who};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// More lines than anyone reads; what comes beyond is counted.
const LINES_MAX: usize = 4096;

/// What became of a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Established.
    Connected,
    /// A RST answered the SYN.
    Refused,
    /// Nobody answered, and the kernel or the application gave up.
    TimedOut,
    /// An ICMP error answered.
    Unreachable,
    /// Established, then closed or reset by the other side at once.
    ClosedAtOnce,
    /// The kernel found no local port.
    NoLocalPort,
    /// The application closed it at once, before an answer.
    GivenUp,
    /// It ended without a connection; a sample does not show how.
    Failed,
    /// No answer yet when the look ended, or its end was lost.
    Pending,
}

impl Outcome {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 9] = [
        Self::Connected,
        Self::Refused,
        Self::TimedOut,
        Self::Unreachable,
        Self::ClosedAtOnce,
        Self::NoLocalPort,
        Self::GivenUp,
        Self::Failed,
        Self::Pending,
    ];

    /// As the JSON document has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::ClosedAtOnce => "closed_at_once",
            Self::NoLocalPort => "no_local_port",
            Self::GivenUp => "given_up",
            Self::Failed => "failed",
            Self::Pending => "pending",
        }
    }

    /// As people say it.
    pub fn says(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable (an ICMP error)",
            Self::ClosedAtOnce => "closed at once by the other side",
            Self::NoLocalPort => "no local port left",
            Self::GivenUp => "closed by itself before an answer",
            Self::Failed => "failed, how was not seen",
            Self::Pending => "no answer seen",
        }
    }

    /// The client surely got no connection of use.
    fn fails(self) -> bool {
        matches!(self, Self::Refused | Self::TimedOut | Self::Unreachable | Self::NoLocalPort | Self::Failed)
    }
}

/// One process and one address.
#[derive(Debug, Clone)]
pub struct Line {
    /// Who dials.
    pub who: Who,
    /// Processes of that kind, where short-lived ones were put together.
    pub processes: u32,
    /// Which address.
    pub to: SocketAddr,
    /// Connects begun.
    pub attempts: u64,
    /// Connections that were open before the look began.
    pub held: u64,
    /// What became of them; the rest of the attempts is open or pending.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The first that failed: what, how long after the SYN, and when since the beginning.
    pub first_error: Option<(Outcome, Duration, Duration)>,
    /// The setting this dial is to be compared with.
    pub setting: Option<Setting>,
}

impl Line {
    /// So many had this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// Connects that surely failed; those closed at once only when no connection lasted: a client that says QUIT is
    /// closed by the server as well.
    pub fn failures(&self) -> u64 {
        let failed: u64 = self.outcomes.iter().filter(|(o, _)| o.fails()).map(|(_, n)| n).sum();
        let lasting = self.count(Outcome::Connected) + self.held;
        failed + if lasting == 0 { self.count(Outcome::ClosedAtOnce) } else { 0 }
    }

    /// The sentence that matters, if there is one.
    pub fn says(&self) -> Option<String> {
        let who = self.who.says();
        if let Some(setting) = self.setting.as_ref().filter(|s| s.agrees == Some(false)) {
            let (place, also) = (&setting.place, if setting.also_dialled { "also " } else { "" });
            return Some(format!(
                "{who} {also}dials {} although its {place} says {}",
                self.to,
                setting.address()
            ));
        }
        let failures = self.failures();
        if failures == 0 {
            return None;
        }
        let all = self.attempts.max(failures);
        let (outcome, _, _) = self.first_error?;
        let how = outcome.says();
        Some(if failures < all {
            format!("{who} dials {}: {failures} of {all} failed, the first {how}", self.to)
        } else {
            format!("{who} dials {}: {how}", self.to)
        })
    }
}

/// What is told while it happens.
#[derive(Debug)]
pub struct Told<'a> {
    /// Since the beginning.
    pub at: Duration,
    /// Whose.
    pub line: &'a Line,
    /// What became of one connect.
    pub outcome: Outcome,
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Table {
    lines: Vec<Line>,
    places: BTreeMap<(u32, Option<String>, SocketAddr), usize>,
    /// Connects of processes beyond the bound.
    pub(super) beyond: u64,
}

impl Table {
    /// The place of a process and address; none beyond the bound.
    pub(super) fn place(&mut self, who: &Who, to: SocketAddr) -> Option<usize> {
        // Of a process that could not be told, the user is all there is.
        let key = (who.pid, who.user.clone().filter(|_| who.pid == 0), to);
        // A process id that came back with another name is another process.
        if let Some(place) = self.places.get(&key).copied()
            && self.lines.get(place).is_some_and(|l| l.who.comm == who.comm)
        {
            return Some(place);
        }
        if self.lines.len() >= LINES_MAX {
            self.beyond += 1;
            return None;
        }
        self.places.insert(key, self.lines.len());
        self.lines.push(Line {
            who: who.clone(),
            processes: 1,
            to,
            attempts: 0,
            held: 0,
            outcomes: BTreeMap::new(),
            first_error: None,
            setting: None,
        });
        Some(self.lines.len() - 1)
    }

    /// The line at a place.
    pub(super) fn line(&mut self, place: usize) -> Option<&mut Line> {
        self.lines.get_mut(place)
    }

    /// Writes down an outcome; the line, when it is the first of its kind there.
    pub(super) fn note(
        &mut self,
        place: usize,
        outcome: Outcome,
        after: Duration,
        at: Duration,
    ) -> Option<Told<'_>> {
        let line = self.lines.get_mut(place)?;
        let count = line.outcomes.entry(outcome).or_default();
        *count += 1;
        let first = *count == 1;
        if (outcome.fails() || outcome == Outcome::ClosedAtOnce) && line.first_error.is_none() {
            line.first_error = Some((outcome, after, at));
        }
        first.then_some(Told { at, line, outcome })
    }

    /// A connection counted as lasting did not last.
    pub(super) fn take_back(&mut self, place: usize, outcome: Outcome) {
        if let Some(count) = self.lines.get_mut(place).and_then(|l| l.outcomes.get_mut(&outcome)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Connects seen.
    pub(super) fn attempts(&self) -> u64 {
        self.lines.iter().map(|l| l.attempts).sum::<u64>() + self.beyond
    }

    /// The lines; short-lived processes of one kind in one line.
    pub(super) fn finish(self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
        for mut line in self.lines {
            line.outcomes.retain(|_, n| *n > 0);
            if line.who.gone() {
                let who = &line.who;
                let key =
                    (who.comm.clone(), who.user.clone(), who.container.clone(), who.unit.clone(), line.to);
                if let Some(kind) = kinds.get(&key).and_then(|place| lines.get_mut(*place)) {
                    kind.take(line);
                    continue;
                }
                kinds.insert(key, lines.len());
            }
            lines.push(line);
        }
        lines
    }
}

impl Line {
    /// Adds another process of the same kind.
    fn take(&mut self, other: Self) {
        self.processes += 1;
        self.attempts += other.attempts;
        self.held += other.held;
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.first_error = self.first_error.or(other.first_error);
        self.setting = self.setting.take().or(other.setting);
        self.who.pid = other.who.pid;
    }
}

#[cfg(test)]
mod tests {
    use super::super::who::{Setting, Who};
    use super::{Outcome, Table};
    use std::time::Duration;

    fn who(pid: u32) -> Who {
        Who { pid, comm: "worker".to_owned(), ..Who::default() }
    }

    #[test]
    fn counts_and_sentences() {
        let to = "127.0.0.1:6379".parse().expect("address");
        let mut table = Table::default();
        // A pid beyond the kernel's largest (PID_MAX_LIMIT) is surely gone.
        let place = table.place(&who(5_000_000), to).expect("room");
        table.line(place).expect("line").attempts = 2;
        assert!(table.note(place, Outcome::Refused, Duration::ZERO, Duration::ZERO).is_some());
        assert!(table.note(place, Outcome::Refused, Duration::ZERO, Duration::ZERO).is_none());
        let other = table.place(&who(5_000_001), to).expect("room");
        table.line(other).expect("line").attempts = 1;
        table.note(other, Outcome::Connected, Duration::ZERO, Duration::ZERO);
        assert_eq!(table.attempts(), 3);
        let mut lines = table.finish();
        assert_eq!((lines.len(), lines[0].processes, lines[0].attempts), (1, 2, 3));
        assert_eq!(
            lines[0].says().as_deref(),
            Some("worker (pid 5000001) dials 127.0.0.1:6379: 2 of 3 failed, the first refused")
        );
        lines[0].setting = Some(Setting {
            place: "REDIS_URL".to_owned(),
            host: "redis".to_owned(),
            port: 6379,
            agrees: Some(false),
            ..Setting::default()
        });
        assert_eq!(
            lines[0].says().as_deref(),
            Some("worker (pid 5000001) dials 127.0.0.1:6379 although its REDIS_URL says redis:6379")
        );
    }

    #[test]
    fn a_client_that_says_quit_is_not_accused() {
        let mut table = Table::default();
        let place = table.place(&who(7), "10.0.0.1:6379".parse().expect("address")).expect("room");
        table.note(place, Outcome::ClosedAtOnce, Duration::ZERO, Duration::ZERO);
        table.note(place, Outcome::Connected, Duration::ZERO, Duration::ZERO);
        assert_eq!(table.finish()[0].says(), None);
    }
}
