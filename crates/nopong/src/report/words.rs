//! Sentences that several formats share.

use crate::diagnosis::{Band, Bearing, Diagnosis, Finding, Reason, RungState, Stage};
use crate::evidence::CaseFile;
use crate::evidence::client::IdleEnd;

/// The first line: what there is instead of a PONG, in plain words.
pub(super) fn headline(file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let url = &file.ask.url;
    if diagnosis.pong {
        let took = diagnosis.ladder.iter().find(|r| r.stage == Stage::Ready).map(|r| r.detail.as_str());
        return match took.filter(|t| !t.is_empty()) {
            Some(took) => format!("{url} answers PONG, {took}"),
            None => format!("{url} answers PONG"),
        };
    }
    if diagnosis.stage == Stage::Target {
        return format!("{url} is no address of a Redis: {}", diagnosis.symptom);
    }
    // There was a PONG; what fails comes later.
    let late = file.client.idle.get().is_some_and(|i| i.rungs.iter().any(|r| r.end != IdleEnd::Alive));
    if late && diagnosis.stage == Stage::Ready {
        let says = diagnosis.causes.first().map_or(&diagnosis.symptom, |first| &first.title);
        return format!("{url} answers PONG, and loses idle connections: {says}");
    }
    match diagnosis.causes.first() {
        Some(first) if first.band == Band::Confirmed => format!("{url} gives no PONG: {}", first.title),
        Some(first) if first.band == Band::Likely => {
            format!("{url} gives no PONG, probably because: {}", first.title)
        }
        _ => format!("{url} gives no PONG: {}", diagnosis.symptom),
    }
}

/// `bind-loopback-only, confirmed`; for an undecided one what is known of it.
pub(super) fn standing(diagnosis: &Diagnosis) -> Option<String> {
    let first = diagnosis.causes.first()?;
    Some(match first.band {
        Band::Confirmed => format!("{}, confirmed", id(first)),
        Band::Likely => format!("{}, likely ({})", id(first), percent(first)),
        Band::Possible => "the cause is not decided from here; the candidates are below".to_owned(),
    })
}

/// The cause's id.
pub(super) fn id(finding: &Finding) -> &'static str {
    finding.cause.meta().id
}

/// `45 %`.
pub(super) fn percent(finding: &Finding) -> String {
    format!("{:.0} %", (finding.probability * 100.0).max(1.0))
}

/// The reasons that speak for a finding.
pub(super) fn because(finding: &Finding) -> impl Iterator<Item = &Reason> {
    finding.reasons.iter().filter(|r| r.bearing <= Bearing::Weak)
}

/// The first cause, when the evidence speaks for it rather than for its rivals.
pub(super) fn decided(diagnosis: &Diagnosis) -> Option<&Finding> {
    diagnosis.causes.first().filter(|f| f.band != Band::Possible)
}

/// A rung's state as a mark that needs no colour.
pub(super) fn mark(state: RungState) -> &'static str {
    match state {
        RungState::Good => "✓",
        RungState::Failed => "✗",
        RungState::NotReached => "–",
    }
}

/// A rung's state as a word.
pub(super) fn state(state: RungState) -> &'static str {
    match state {
        RungState::Good => "passed",
        RungState::Failed => "failed",
        RungState::NotReached => "not reached or not needed",
    }
}

/// `n more` when a list was cut.
pub(super) fn more(all: usize, shown: usize) -> Option<String> {
    (all > shown).then(|| format!("and {} more: --verbose", all - shown))
}
