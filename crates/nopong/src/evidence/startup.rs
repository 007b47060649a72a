//! From log lines to deaths: which words of a server, of systemd or of a loader say that a server did not start or
//! did not live on, and which attempt they belong to.
//!
//! Pure: no clock, no files. It does not say what to blame; a death is a recognised text and nothing more.
//! Texts are those of Redis 3 to 8, Valkey 7.2 to 8.1 and KeyDB, and of systemd 219 to 257.

use super::redact;
use super::server::{Death, DeathKind};
use super::words::{self, Word};
use crate::text;

/// Most deaths handed on; a restart loop writes the same one for ever.
const DEATHS_MAX: usize = 24;
/// Most other lines handed on.
const COMPLAINTS_MAX: usize = 20;
/// Longest text of one of them.
const TEXT_MAX: usize = 400;

/// One log line, in any order of sources, with what is known of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    /// Microseconds since 1970, when known.
    pub at: Option<u64>,
    /// Process that wrote it (not the service manager).
    pub pid: Option<u32>,
    /// systemd wrote it, or its child before the exec.
    pub manager: bool,
    /// Without prefix.
    pub text: String,
    /// Which source it is from.
    pub source: String,
}

/// What was recognised.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Newest first.
    pub deaths: Vec<Death>,
    /// Newest first.
    pub complaints: Vec<String>,
    /// Unix time of the last `Ready to accept connections`.
    pub last_ready: Option<u64>,
    /// There was one, at whatever time, and nothing died after it.
    pub alive: bool,
}

/// Splits a line as the servers write it: `PID:ROLE DD Mon YYYY HH:MM:SS.mmm LEVEL TEXT`. The time has no zone: it comes
/// back as if it were UTC, to be shifted by who knows the zone. A line of another form is all text.
pub fn parse(line: &str) -> (Option<u32>, Option<u64>, &str) {
    if let Some(found) = logfmt(line) {
        return found;
    }
    let Some((head, rest)) = line.split_once(' ') else { return (None, None, line) };
    let Some(pid) = head.split(':').next().and_then(|p| p.parse().ok()).filter(|_| head.contains(':')) else {
        return (None, None, line);
    };
    // `592:signal-handler (1795370406) Received SIGTERM scheduling shutdown...`: seconds since 1970, no zone needed,
    // but the other lines are shifted, so this one is left without a time and keeps its place.
    if head.ends_with(":signal-handler") {
        let text = rest.split_once(") ").map_or(rest, |(_, text)| text);
        return (Some(pid), None, text);
    }
    let mut words = rest.splitn(6, ' ');
    let date: Vec<&str> = words.by_ref().take(4).collect();
    let (level, text) = (words.next(), words.next());
    match (time_of(&date), level) {
        (Some(at), Some(level)) if level.len() == 1 => (Some(pid), Some(at), text.unwrap_or_default()),
        // Valkey's log-timestamp-format: one word instead of four, `2026-11-22T18:00:06.609+01:00` or milliseconds.
        _ => {
            let mut words = rest.splitn(3, ' ');
            let (at, level, text) = (words.next(), words.next(), words.next());
            if level.is_some_and(|l| l.len() == 1) {
                (Some(pid), at.and_then(millis), text.unwrap_or_default())
            } else {
                (Some(pid), None, rest)
            }
        }
    }
}

/// Valkey's `log-format logfmt`: `pid=1 role=primary timestamp="…" level=warning message="…"`.
fn logfmt(line: &str) -> Option<(Option<u32>, Option<u64>, &str)> {
    let rest = line.strip_prefix("pid=")?;
    let pid = rest.split(' ').next()?.parse().ok()?;
    let (_, message) = line.split_once("message=")?;
    let stamp = line.split_once("timestamp=").map(|(_, t)| t.trim_start_matches('"'));
    let at = stamp.and_then(|t| {
        let date: Vec<&str> = t.split(['"', ' ']).take(4).collect();
        time_of(&date).or_else(|| millis(date.first()?))
    });
    Some((Some(pid), at, message.trim_matches('"')))
}

fn millis(word: &str) -> Option<u64> {
    let ms: u64 = word.parse().ok()?;
    ms.checked_mul(1000)
}

/// `22`, `Nov`, `2026`, `18:00:06.609` in microseconds, as if UTC.
fn time_of(words: &[&str]) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [day, month, year, clock] = words else { return None };
    let day: u64 = day.parse().ok().filter(|d| (1..=31).contains(d))?;
    let month = MONTHS.iter().position(|m| m == month)? as u64 + 1;
    let year: u64 = year.parse().ok().filter(|y| (1970..3000).contains(y))?;
    let mut parts = clock.split([':', '.']).map(|p| p.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let ms = parts.next().flatten().unwrap_or(0).min(999);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some((((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + ms * 1000)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (years counted from March, so leap days come last).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// One attempt to run: from its start to the next one.
#[derive(Debug, Default)]
struct Attempt {
    deaths: Vec<Death>,
    ready: bool,
    /// Opened by `Scheduled restart job`; the `Starting` that follows belongs to it.
    scheduled: bool,
    pid: Option<u32>,
    /// `bind:` failures that may yet turn out harmless (an optional address).
    pending: Vec<(Death, bool)>,
    /// systemd ended it for a time limit: what the server says of SIGTERM afterwards is a consequence.
    timed_out: bool,
    /// Who asked for the stop.
    stopper: Option<String>,
    /// The server said that it stops.
    stopping: Option<Death>,
    /// Waiting for the rest of a message of several lines.
    open: Option<Open>,
}

/// A message of several lines.
#[derive(Debug)]
struct Open {
    death: Death,
    parts: Vec<String>,
    manifest: bool,
}

/// Reads lines in the order of time and recognises.
pub fn recognise(lines: &[Line]) -> Found {
    let mut reader = Reader::default();
    for line in lines {
        reader.take(line);
    }
    reader.finish()
}

#[derive(Debug, Default)]
struct Reader {
    done: Vec<Attempt>,
    now: Attempt,
    complaints: Vec<String>,
    last_ready: Option<u64>,
}

impl Reader {
    fn take(&mut self, line: &Line) {
        if line.manager {
            return self.take_manager(line);
        }
        let message = line.text.trim_end();
        if self.continues(line, message) {
            return;
        }
        if message.trim().is_empty() {
            return;
        }
        let starts = message.contains("is starting oO0OoO0OoO0Oo")
            || message.starts_with("Server started, Redis version");
        if starts
            || (self.now.pid.is_some() && line.pid.is_some() && line.pid != self.now.pid && self.now.over())
        {
            if self.now.pid.is_some() || self.now.over() {
                self.next(false);
            }
            self.now.pid = line.pid;
            if starts {
                return;
            }
        }
        self.settle_pending(line, message);
        match words::of_server(message) {
            Some(Word::Ready) => {
                self.now.ready = true;
                self.now.deaths.clear();
                self.now.pending.clear();
                self.now.stopping = None;
                self.now.stopper = None;
                self.now.timed_out = false;
                self.now.pid = line.pid.or(self.now.pid);
                self.last_ready = line.at.map(|us| us / 1_000_000).or(self.last_ready);
            }
            Some(Word::Dies(..)) if self.now.ready && words::survived(message) => self.complain(message),
            Some(Word::Dies(kind, detail)) => self.die(line, kind, detail, message),
            Some(Word::Follows(kind)) if self.now.deaths.is_empty() => self.die(line, kind, None, message),
            Some(Word::BindFailed(kind, detail)) => {
                let death = death(line, kind, Some(detail), message);
                self.now.pending.push((death, false));
            }
            Some(Word::Config) => {
                if self.now.over() {
                    self.next(false);
                }
                self.now.pid = line.pid.or(self.now.pid);
                self.open(line, false);
            }
            Some(Word::Manifest) => self.open(line, true),
            Some(Word::StopAsked(who)) => self.now.stopper = Some(who),
            Some(Word::Stops(who)) => {
                let who = who
                    .or_else(|| self.now.stopper.clone())
                    .unwrap_or_else(|| "a SHUTDOWN command".to_owned());
                self.now.stopping = Some(death(line, DeathKind::OrderlyStop, Some(who), message));
            }
            Some(Word::Stopped) => {
                let stopping = self.now.stopping.take();
                if !self.now.timed_out {
                    let said = stopping.unwrap_or_else(|| {
                        death(line, DeathKind::OrderlyStop, self.now.stopper.clone(), message)
                    });
                    self.now.deaths.push(Death { at: line.at.map(seconds).or(said.at), ..said });
                }
            }
            Some(Word::StopFailed) => {
                self.now.stopping = None;
                self.complain(message);
            }
            Some(Word::Complaint) => self.complain(message),
            Some(Word::Follows(_)) | None => {}
        }
    }

    fn take_manager(&mut self, line: &Line) {
        // What the manager says never continues the server's message; the server's goes on after it.
        match words::of_manager(&line.text) {
            Some(words::Manager::Scheduled) => self.next(true),
            Some(words::Manager::Starting) => {
                if self.now.scheduled {
                    self.now.scheduled = false;
                } else if self.now.over() || self.now.ready {
                    self.next(false);
                }
            }
            Some(words::Manager::Stopping) => {
                self.now.stopper = Some("systemd, asked to stop the unit".to_owned());
            }
            Some(words::Manager::TimedOut(detail)) => {
                self.now.timed_out = true;
                self.die(line, DeathKind::SupervisorTimeout, Some(detail), &line.text);
            }
            Some(words::Manager::Dies(DeathKind::StartLimit, detail)) => {
                // It ends the attempt before it: the one that was scheduled never began.
                if self.now.scheduled && !self.now.over() {
                    self.now = self.done.pop().unwrap_or_default();
                }
                self.die(line, DeathKind::StartLimit, detail, &line.text);
            }
            Some(words::Manager::Dies(kind, detail)) => {
                // A start whose preparation fails is not announced; the run before it had ended well.
                let ended = !self.now.deaths.is_empty()
                    && self.now.deaths.iter().all(|d| d.kind == DeathKind::OrderlyStop);
                if kind == DeathKind::SandboxFailed && ended {
                    self.next(false);
                }
                // A signal is the consequence of what was said before it; so is the exit after a spawn that failed.
                let known = self.now.deaths.iter().any(|d| d.kind == kind)
                    || (matches!(kind, DeathKind::Killed | DeathKind::Crashed | DeathKind::SandboxFailed)
                        && !self.now.deaths.is_empty());
                if !known {
                    self.die(line, kind, detail, &line.text);
                }
            }
            Some(words::Manager::Deactivated) if self.now.deaths.is_empty() => {
                let who = self.now.stopper.clone();
                self.die(line, DeathKind::OrderlyStop, who, &line.text);
            }
            Some(words::Manager::Deactivated) | None => {}
        }
    }

    fn die(&mut self, line: &Line, kind: DeathKind, detail: Option<String>, message: &str) {
        // One crash report has many lines that all say so: the first that tells what happened is kept.
        let known =
            self.now.deaths.iter_mut().find(|d| d.kind == kind && (d.pid == line.pid || d.pid.is_none()));
        if let Some(known) = known {
            if known.detail.is_none() && detail.is_some() {
                *known = death(line, kind, detail, message);
            }
            return;
        }
        self.now.deaths.push(death(line, kind, detail, message));
    }

    fn complain(&mut self, message: &str) {
        self.complaints.push(text::shown_str(&redact::line(message), TEXT_MAX));
    }

    fn open(&mut self, line: &Line, manifest: bool) {
        let kind = if manifest { DeathKind::AofUnloadable } else { DeathKind::ConfigError };
        self.now.open = Some(Open { death: death(line, kind, None, ""), parts: Vec::new(), manifest });
    }

    /// Adds a line to the message that is being read; the message ends with the line that gives the reason.
    fn continues(&mut self, line: &Line, message: &str) -> bool {
        let Some(open) = &mut self.now.open else { return false };
        if open.death.pid != line.pid || message.contains("is starting oO0") {
            let open = self.now.open.take().expect("just seen");
            self.now.deaths.push(open.close());
            return false;
        }
        if message.trim().is_empty() || message.contains("FATAL") {
            return true;
        }
        open.parts.push(message.trim().to_owned());
        let ends = !message.starts_with("Reading the ") && !message.starts_with(">>> ");
        if ends || open.parts.len() > 4 {
            let open = self.now.open.take().expect("just seen");
            self.now.deaths.push(open.close());
        }
        true
    }

    /// A failed bind is fatal when the server says so next, or says nothing more.
    fn settle_pending(&mut self, line: &Line, message: &str) {
        if self.now.pending.is_empty() {
            return;
        }
        let fatal = message.starts_with("Failed listening on port")
            || message.starts_with("Configured to not listen");
        if fatal {
            let cluster = message.contains("(cluster)");
            for (mut death, _) in std::mem::take(&mut self.now.pending) {
                if cluster {
                    death.kind = DeathKind::ClusterConfig;
                }
                self.now.deaths.push(death);
            }
        } else if words::of_server(message).is_none_or(|w| !matches!(w, Word::BindFailed(..))) {
            for (death, harmless) in &mut self.now.pending {
                *harmless |= death.pid == line.pid;
            }
        }
    }

    fn next(&mut self, scheduled: bool) {
        let mut attempt = std::mem::take(&mut self.now);
        attempt.close();
        self.done.push(attempt);
        self.now.scheduled = scheduled;
        // Only the newest attempts matter, however long the log is.
        if self.done.len() > 64 {
            self.done.remove(0);
        }
    }

    fn finish(mut self) -> Found {
        self.now.close();
        // A restart that was only scheduled is no attempt yet.
        let mut attempts = self.done;
        if !(self.now.deaths.is_empty() && !self.now.ready && self.now.pid.is_none()) {
            attempts.push(self.now);
        }
        let alive = attempts.last().is_some_and(|a| a.ready && a.deaths.is_empty());
        if let Some(attempt) = attempts.last_mut() {
            for death in &mut attempt.deaths {
                death.last = true;
            }
        }
        let mut deaths: Vec<Death> =
            attempts.into_iter().rev().flat_map(|a| a.deaths.into_iter().rev()).collect();
        deaths.truncate(DEATHS_MAX);
        self.complaints.reverse();
        let mut complaints: Vec<String> = Vec::new();
        for complaint in self.complaints {
            if complaints.len() < COMPLAINTS_MAX && !complaints.contains(&complaint) {
                complaints.push(complaint);
            }
        }
        Found { deaths, complaints, last_ready: self.last_ready, alive }
    }
}

impl Attempt {
    /// It has died.
    fn over(&self) -> bool {
        !self.deaths.is_empty() || self.open.is_some()
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.deaths.push(open.close());
        }
        for (death, harmless) in std::mem::take(&mut self.pending) {
            if !harmless && !self.ready {
                self.deaths.push(death);
            }
        }
    }
}

impl Open {
    fn close(mut self) -> Death {
        let said = self.parts.join(" ");
        self.death.text = text::shown_str(&redact::line(&said), TEXT_MAX);
        self.death.line = self.parts.iter().find_map(|p| p.split_once("at line ")?.1.trim().parse().ok());
        let quoted = self.parts.iter().find_map(|p| p.strip_prefix(">>> "));
        let reason = self.parts.last().map_or("", String::as_str);
        let directive = quoted.map(|q| redact::directive(q.trim_matches('\'')));
        self.death.detail = Some(text::shown_str(
            &match &directive {
                Some(directive) => format!("{directive}: {reason}"),
                None => reason.to_owned(),
            },
            TEXT_MAX,
        ));
        if !self.manifest {
            let first = directive.as_deref().and_then(|d| d.split_whitespace().next()).unwrap_or_default();
            // The server could not use what a right line names: the path is to blame, not the line.
            let path = matches!(first.to_ascii_lowercase().as_str(), "dir" | "logfile" | "")
                && quoted.is_none_or(|q| q.split_whitespace().count() > 1);
            let about_path = path && (quoted.is_some() || reason.starts_with("Can't open the log file"));
            if let Some(kind) = words::by_errno(reason).filter(|_| about_path) {
                self.death.kind = kind;
            }
        }
        self.death
    }
}

fn seconds(us: u64) -> u64 {
    us / 1_000_000
}

fn death(line: &Line, kind: DeathKind, detail: Option<String>, message: &str) -> Death {
    let acl = kind == DeathKind::AclError;
    let safe = |said: &str| {
        let said = if acl { redact::acl(said) } else { redact::line(said) };
        text::shown_str(&said, TEXT_MAX)
    };
    Death {
        kind,
        text: safe(message),
        detail: detail.map(|d| safe(&d)),
        file: None,
        line: None,
        source: line.source.clone(),
        at: line.at.map(seconds),
        pid: line.pid,
        last: false,
    }
}

#[cfg(test)]
mod tests;
