//! The facts: what was looked at, what was seen, how long it took, and how to see it by hand.
//!
//! Nothing here does IO and nothing here judges. "Could not look" is a value with its reason, never a
//! false: a cause that reads an unknown fact must stay silent about it.

pub mod bind_word;
pub mod bundle;
mod case;
pub mod client;
pub mod cloud;
pub mod containers;
pub mod ends;
mod firewall;
pub mod kube;
pub mod managed;
pub mod redact;
mod says;
mod scrub;
pub mod server;
pub mod startup;
mod talk;
mod way_back;
mod words;

#[doc(hidden)]
pub use bundle::fuzz_bundle;
pub use case::{Ask, CaseFile, Client, IDS, Item, Problem, SCHEMA_VERSION, Server, Side};
pub use says::Says;
pub use scrub::scrub;

use serde::{Deserialize, Serialize};

/// A fact with its provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// What was seen.
    pub value: T,
    /// How long the look took, in milliseconds.
    pub took_ms: f64,
    /// A shell line the reader can run to see the same thing.
    pub by_hand: String,
}

/// One look: done, impossible, pointless, or not done at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Seen<T> {
    /// It was looked at.
    Yes(Fact<T>),
    /// It could not be looked at, and why.
    Unknown {
        /// The reason.
        why: Why,
        /// The command that would show it, given what is missing.
        by_hand: String,
        /// How long the attempt took, in milliseconds.
        took_ms: f64,
    },
    /// Looking makes no sense here ("the target is a unix socket").
    NotApplicable {
        /// Why it makes no sense.
        because: String,
    },
    /// Nobody looked, because an earlier stage failed or nothing asked for it.
    #[default]
    NotRun,
}

impl<T> Seen<T> {
    /// The value, where it was seen.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Yes(fact) => Some(&fact.value),
            _ => None,
        }
    }

    /// The reason, where it could not be seen.
    pub fn why(&self) -> Option<&Why> {
        match self {
            Self::Unknown { why, .. } => Some(why),
            _ => None,
        }
    }

    /// A fact seen in `took`.
    pub fn yes(value: T, took: std::time::Duration, by_hand: impl Into<String>) -> Self {
        Self::Yes(Fact { value, took_ms: took.as_secs_f64() * 1e3, by_hand: by_hand.into() })
    }

    /// A look that failed after `took`.
    pub fn unknown(why: Why, took: std::time::Duration, by_hand: impl Into<String>) -> Self {
        Self::Unknown { why, by_hand: by_hand.into(), took_ms: took.as_secs_f64() * 1e3 }
    }

    /// A look that makes no sense here.
    pub fn not_applicable(because: impl Into<String>) -> Self {
        Self::NotApplicable { because: because.into() }
    }
}

/// Why something could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Why {
    /// The kernel said EPERM or EACCES.
    NotPermitted {
        /// What would permit it: `root`, `CAP_NET_ADMIN`, `group systemd-journal`.
        needs: String,
    },
    /// A time limit ran out.
    TimedOut {
        /// The limit in milliseconds.
        after_ms: u64,
    },
    /// A tool or kernel feature is absent.
    Missing {
        /// What is absent: `nft`, `/run/dbus/system_bus_socket`.
        what: String,
    },
    /// The answer made no sense or broke a bound.
    Garbled {
        /// What was wrong with it, already bounded and without secrets.
        what: String,
    },
    /// Any other operating-system error, with the operand.
    Failed {
        /// The thing that failed and the errno text.
        what: String,
    },
    /// The probe itself panicked: a defect of ours.
    Panicked,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPermitted { needs } => write!(f, "not permitted, needs {needs}"),
            Self::TimedOut { after_ms } => write!(f, "timed out after {after_ms} ms"),
            Self::Missing { what } => write!(f, "{what} is not here"),
            Self::Garbled { what } | Self::Failed { what } => f.write_str(what),
            Self::Panicked => f.write_str("the probe panicked, which is a defect of nopong"),
        }
    }
}
