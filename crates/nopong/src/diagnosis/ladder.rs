//! The path application → name → route → port → TLS → protocol → AUTH → PONG, as rungs to draw.

use super::{Case, Stage};
use crate::evidence::client::{DialOutcome, RouteOutcome};

/// How a rung fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RungState {
    /// Passed.
    Good,
    /// The client stopped here.
    Failed,
    /// Not reached, or not needed.
    NotReached,
}

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Its stage.
    pub stage: Stage,
    /// `name`, `route`, `port`, `tls`, `protocol`, `auth`, `pong`.
    pub label: &'static str,
    /// How it fared.
    pub state: RungState,
    /// A few words: `eth0`, `refused, 0.3 ms`.
    pub detail: String,
}

/// The rungs of a case.
pub(super) fn ladder(case: &Case<'_>, pong: bool) -> Vec<Rung> {
    let labels = [
        (Stage::Target, "target"),
        (Stage::Resolve, "name"),
        (Stage::Route, "route"),
        (Stage::Connect, "port"),
        (Stage::Tls, "tls"),
        (Stage::Protocol, "protocol"),
        (Stage::Auth, "auth"),
        (Stage::Ready, "pong"),
    ];
    let unclimbed = case.client.kubernetes.get().is_some_and(|k| k.objects_only);
    labels
        .into_iter()
        .filter(|(stage, _)| *stage != Stage::Target || case.stage == Stage::Target)
        .map(|(stage, label)| {
            let unused = match stage {
                Stage::Resolve | Stage::Route => case.ask.unix.is_some(),
                Stage::Tls => !case.ask.tls,
                Stage::Auth => !case.ask.has_password && case.stage != Stage::Auth,
                _ => false,
            };
            let state = match stage.cmp(&case.stage) {
                std::cmp::Ordering::Equal if !pong => RungState::Failed,
                // Nobody climbed: only where it would break is inferred.
                _ if unused || unclimbed => RungState::NotReached,
                std::cmp::Ordering::Greater => RungState::NotReached,
                _ => RungState::Good,
            };
            let detail = if state == RungState::NotReached { String::new() } else { detail(case, stage) };
            Rung { stage, label, state, detail }
        })
        .collect()
}

fn detail(case: &Case<'_>, stage: Stage) -> String {
    match stage {
        Stage::Resolve => match case.client.name.get() {
            Some(name) if name.literal => String::new(),
            Some(name) => {
                name.addresses.first().map(ToString::to_string).or(name.error.clone()).unwrap_or_default()
            }
            None => String::new(),
        },
        Stage::Route => match case.client.route.get().and_then(|r| r.first()).map(|r| &r.outcome) {
            Some(RouteOutcome::Via { dev, .. }) => dev.clone(),
            Some(RouteOutcome::Forbidden { kind }) => kind.clone(),
            Some(RouteOutcome::None { errno }) => errno.clone(),
            None => String::new(),
        },
        Stage::Connect => match case.dial() {
            Some(dial) => {
                let word = match &dial.outcome {
                    DialOutcome::Connected => "open".to_owned(),
                    DialOutcome::TimedOut => "no answer".to_owned(),
                    DialOutcome::Errno { errno } if errno == "ECONNREFUSED" => "refused".to_owned(),
                    DialOutcome::Errno { errno } => errno.clone(),
                };
                format!("{word}, {:.1} ms", dial.took_ms)
            }
            None => String::new(),
        },
        Stage::Tls => case
            .tls()
            .map(|t| t.failure.clone().or(t.version.clone()).unwrap_or_default())
            .unwrap_or_default(),
        Stage::Protocol if case.stage == stage && case.error_word().is_some() => {
            case.error_word().unwrap_or_default().to_owned()
        }
        Stage::Protocol => case.talk().map(|t| format!("{:?}", t.speaks).to_lowercase()).unwrap_or_default(),
        Stage::Auth => {
            case.talk().and_then(|t| t.auth.as_ref()?.word().map(str::to_owned)).unwrap_or_default()
        }
        Stage::Ready => {
            case.talk().and_then(|t| t.ping_ms).map(|ms| format!("{ms:.1} ms")).unwrap_or_default()
        }
        Stage::Target => String::new(),
    }
}
