//! From evidence to a ranked diagnosis. Pure: no IO, no clock.
//!
//! Every cause is asked for its reasons. A `Confirms` settles; otherwise the prior odds of the cause given
//! what the client saw, and one table of weights ([`weights`]). Unknown facts move nothing. Consequences are
//! masked by their causes. What could not be seen becomes a blind spot and a proposal of what to look at next.

mod case;
pub(crate) mod ends;
mod engine;
mod ladder;
mod next;
pub mod weights;

pub use case::{Case, Symptom};
pub(crate) use case::{holds, memory_full, takes};
pub use ends::Journey;
pub use engine::diagnose;
pub use ladder::{Rung, RungState};

use crate::cause::Cause;
use crate::evidence::Side;

/// The stages of the client's ladder, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The target's text.
    Target,
    /// Name to addresses.
    Resolve,
    /// Address to route.
    Route,
    /// TCP, or the unix socket.
    Connect,
    /// TLS.
    Tls,
    /// Does Redis answer at all.
    Protocol,
    /// AUTH.
    Auth,
    /// PONG, and ready to serve.
    Ready,
}

impl Stage {
    /// All of them in order.
    pub const ALL: [Self; 8] = [
        Self::Target,
        Self::Resolve,
        Self::Route,
        Self::Connect,
        Self::Tls,
        Self::Protocol,
        Self::Auth,
        Self::Ready,
    ];

    /// The word of the JSON report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Resolve => "resolve",
            Self::Route => "route",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Auth => "auth",
            Self::Ready => "ready",
        }
    }
}

/// How a reason bears on its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bearing {
    /// Settles it: with this fact, it is so.
    Confirms,
    /// Makes it much more probable.
    Strong,
    /// Makes it more probable.
    Weak,
    /// Makes it less probable.
    Against,
    /// Settles it: with this fact, it is not so.
    RulesOut,
}

/// One reason, citing a fact by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// How it bears.
    pub bearing: Bearing,
    /// Id of the fact, one of [`crate::evidence::IDS`].
    pub cites: &'static str,
    /// A sentence naming the thing, without a final period.
    pub says: String,
}

impl Reason {
    /// A reason that settles the cause.
    pub fn confirms(cites: &'static str, says: impl Into<String>) -> Self {
        Self { bearing: Bearing::Confirms, cites, says: says.into() }
    }
    /// A strong reason.
    pub fn strong(cites: &'static str, says: impl Into<String>) -> Self {
        Self { bearing: Bearing::Strong, cites, says: says.into() }
    }
    /// A weak reason.
    pub fn weak(cites: &'static str, says: impl Into<String>) -> Self {
        Self { bearing: Bearing::Weak, cites, says: says.into() }
    }
    /// A reason against.
    pub fn against(cites: &'static str, says: impl Into<String>) -> Self {
        Self { bearing: Bearing::Against, cites, says: says.into() }
    }
    /// A reason that excludes the cause.
    pub fn rules_out(cites: &'static str, says: impl Into<String>) -> Self {
        Self { bearing: Bearing::RulesOut, cites, says: says.into() }
    }
}

/// How careful one has to be with a fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Harmless and reversible.
    Safe,
    /// Changes how something behaves: ask first.
    Ask,
    /// Only a human can do it.
    Advice,
}

impl Risk {
    /// The word of the JSON report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Ask => "ask",
            Self::Advice => "advice",
        }
    }
}

/// One step of a fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub says: String,
    /// The exact command, when there is one.
    pub command: Option<String>,
}

/// How to remove a cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// One line.
    pub title: String,
    /// Risk.
    pub risk: Risk,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Fix {
    /// A fix without steps yet.
    pub fn new(risk: Risk, title: impl Into<String>) -> Self {
        Self { title: title.into(), risk, steps: Vec::new() }
    }
    /// Adds a step with a command.
    #[must_use]
    pub fn run(mut self, says: impl Into<String>, command: impl Into<String>) -> Self {
        self.steps.push(Step { says: says.into(), command: Some(command.into()) });
        self
    }
    /// Adds a step for a human.
    #[must_use]
    pub fn step(mut self, says: impl Into<String>) -> Self {
        self.steps.push(Step { says: says.into(), command: None });
        self
    }
}

/// Where something goes that is wrong, but not the first obstacle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It will stand in the way once the first cause is gone. With a PONG it is a warning.
    Behind,
    /// It does not stand in this client's way.
    Warning,
}

/// Something wrong that is not the first obstacle.
#[derive(Debug, Clone)]
pub struct Latent {
    /// Where it belongs.
    pub place: Place,
    /// The title with particulars.
    pub title: String,
    /// Why; a `Confirms` among them makes it confirmed.
    pub reasons: Vec<Reason>,
    /// How to remove it.
    pub fix: Option<Fix>,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// Evidence settles it.
    Confirmed,
    /// More probable than all others together.
    Likely,
    /// One of several.
    Possible,
}

impl Band {
    /// The word of the JSON report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Likely => "likely",
            Self::Possible => "possible",
        }
    }
}

/// One cause, weighed.
#[derive(Clone)]
pub struct Finding {
    /// The cause.
    pub cause: &'static dyn Cause,
    /// Title with particulars.
    pub title: String,
    /// Probability of being the first obstacle; the sum over all causes is at most 1.
    pub probability: f64,
    /// How sure.
    pub band: Band,
    /// The reasons for it (and against it, last).
    pub reasons: Vec<Reason>,
    /// The fix.
    pub fix: Option<Fix>,
}

impl std::fmt::Debug for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:.3} {}: {}", self.cause.meta().id, self.probability, self.band.word(), self.title)
    }
}

/// A look that would move the ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// What would settle it.
    pub says: String,
    /// The command.
    pub command: String,
}

/// A fact nobody could see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindSpot {
    /// Evidence id.
    pub id: &'static str,
    /// Side.
    pub side: Side,
    /// What it is.
    pub what: &'static str,
    /// Why it could not be seen.
    pub why: String,
}

/// The whole judgement.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// PONG, and ready.
    pub pong: bool,
    /// The first stage that failed; `Ready` with PONG.
    pub stage: Stage,
    /// What the client saw, one sentence.
    pub symptom: String,
    /// Rivals for the first obstacle, most probable first.
    pub causes: Vec<Finding>,
    /// What stands behind it.
    pub behind: Vec<Finding>,
    /// What is wrong but not in the way.
    pub warnings: Vec<Finding>,
    /// Causes that evidence excludes: id and the reason.
    pub ruled_out: Vec<(&'static str, Reason)>,
    /// What could not be looked at.
    pub blind_spots: Vec<BlindSpot>,
    /// What would settle it.
    pub next: Vec<Next>,
    /// The path, for drawing.
    pub ladder: Vec<Rung>,
}

/// Warnings that are the reason why a PONG is not enough for somebody who asked for more.
const UNMET: [&str; 5] =
    ["loading", "read-only-replica", "writes-stopped", "memory-full", "primary-link-down"];

impl Diagnosis {
    /// The same for somebody whom a PONG is not enough (`wait --role`, `--writable`): what was a warning is then
    /// the cause, and without one the server is merely not ready for him.
    #[must_use]
    pub fn unmet(mut self, lack: &str) -> Self {
        let (mut causes, warnings): (Vec<_>, Vec<_>) =
            self.warnings.into_iter().partition(|w| UNMET.contains(&w.cause.meta().id));
        self.warnings = warnings;
        if let (true, Some(cause)) = (causes.is_empty(), crate::cause::by_id("not-ready")) {
            causes.push(Finding {
                cause,
                title: lack.to_owned(),
                probability: 1.0 - weights::OTHER,
                band: Band::Confirmed,
                reasons: vec![Reason::confirms("protocol", lack)],
                fix: None,
            });
        }
        let share = (1.0 - weights::OTHER) / causes.len().max(1) as f64;
        for cause in &mut causes {
            cause.probability = share;
        }
        self.causes = causes;
        lack.clone_into(&mut self.symptom);
        self.pong = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Band, diagnose};
    use crate::cause::testing::pong;

    #[test]
    fn a_pong_that_is_not_enough_has_a_cause() {
        let replica = diagnose(&pong(&[("role", "slave")])).unmet("it is a replica");
        assert_eq!((replica.pong, replica.causes[0].cause.meta().id), (false, "read-only-replica"));
        assert!(replica.warnings.is_empty());
        let primary = diagnose(&pong(&[("role", "master")])).unmet("it is no replica");
        assert_eq!(
            (primary.causes[0].cause.meta().id, primary.causes[0].band),
            ("not-ready", Band::Confirmed)
        );
    }
}
