//! Weigh, rank, mask.

use super::weights::{self, OTHER};
use super::{
    Band, Bearing, BlindSpot, Case, Diagnosis, Finding, Fix, Latent, Place, Reason, Stage, Symptom, ends,
    ladder, next,
};
use crate::cause::{self, Category, Cause};
use crate::evidence::CaseFile;

/// Judges a case. Deterministic: the same file gives the same diagnosis on any machine.
pub fn diagnose(file: &CaseFile) -> Diagnosis {
    // What was read of a host that this dial never came to does not explain it, and may stand behind it.
    let alone = ends::without_server(file);
    let case = Case::new(alone.as_ref().unwrap_or(file));
    let pong = case.symptom == Symptom::Pong;
    let mut ruled_out = Vec::new();
    let causes = if pong { Vec::new() } else { rank(&case, &mut ruled_out) };
    let lost = matches!(ends::journey(file), ends::Journey::Lost { .. });
    let whole = Case::new(file);
    let (behind, warnings) = latent(if lost { &whole } else { &case }, pong, &causes);
    let blind_spots = file
        .blind_spots()
        .into_iter()
        .map(|(id, side, what, why)| BlindSpot { id, side, what, why: why.to_string() })
        .collect();
    Diagnosis {
        pong,
        stage: case.stage,
        symptom: case.symptom_text(),
        next: if pong { Vec::new() } else { next::next(&case, &causes) },
        ladder: ladder::ladder(&case, pong),
        causes,
        behind,
        warnings,
        ruled_out,
        blind_spots,
    }
}

/// A cause with its reasons, before probabilities.
struct Weighed {
    cause: &'static dyn Cause,
    reasons: Vec<Reason>,
    confirmed: bool,
    weight: f64,
}

fn rank(case: &Case<'_>, ruled_out: &mut Vec<(&'static str, Reason)>) -> Vec<Finding> {
    let mut weighed = Vec::new();
    let lost = matches!(ends::journey(case.file), ends::Journey::Lost { .. });
    let objects_only = case.client.kubernetes.get().is_some_and(|k| k.objects_only);
    for cause in cause::all() {
        let mut reasons = cause.weigh(case);
        if lost && matches!(cause.meta().category, Category::NotRunning | Category::Bind) {
            reasons = vec![Reason::rules_out("syn", "our SYN never came in at the Redis host")];
        }
        let prior = weights::prior(case.symptom, cause.meta().id);
        let confirmed = reasons.iter().any(|r| r.bearing == Bearing::Confirms);
        if let Some(out) = reasons.iter().find(|r| r.bearing == Bearing::RulesOut).filter(|_| !confirmed) {
            // Where nobody dialled, only the objects exclude anything: the symptom is inferred from them.
            if out.cites == "kubernetes" || !objects_only {
                ruled_out.push((cause.meta().id, out.clone()));
            }
            continue;
        }
        let speaks_for = reasons.iter().any(|r| matches!(r.bearing, Bearing::Strong | Bearing::Confirms));
        if prior <= 0.0 && !speaks_for {
            continue;
        }
        // The reply is there to be read: a cause that does not know its own words in it is not the cause.
        if case.symptom == Symptom::ErrorReply
            && reasons.is_empty()
            && !weights::SPEAKS_ANY_ERROR.contains(&cause.meta().id)
        {
            continue;
        }
        let log: f64 = reasons.iter().map(|r| weights::bearing(r.bearing)).sum();
        weighed.push(Weighed {
            cause,
            confirmed,
            weight: prior.max(weights::UNEXPECTED) * log.exp(),
            reasons,
        });
    }
    mask(&mut weighed);
    let mut findings = share(case, weighed);
    // A stable sort keeps the order of the examination for equals.
    findings.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    findings.truncate(weights::SHOWN);
    findings
}

/// Drops consequences whose cause is as well proven.
fn mask(weighed: &mut Vec<Weighed>) {
    let proven: Vec<(&str, bool)> = weighed.iter().map(|w| (w.cause.meta().id, w.confirmed)).collect();
    weighed.retain(|w| {
        let masks = w.cause.meta().masked_by;
        !proven.iter().any(|(id, confirmed)| masks.contains(id) && *confirmed)
    });
}

/// Turns weights into probabilities that sum to at most 1.
fn share(case: &Case<'_>, weighed: Vec<Weighed>) -> Vec<Finding> {
    let any_confirmed = weighed.iter().any(|w| w.confirmed);
    let total_confirmed: f64 = weighed.iter().filter(|w| w.confirmed).map(|w| w.weight).sum();
    let total_open: f64 = weighed.iter().filter(|w| !w.confirmed).map(|w| w.weight).sum::<f64>();
    // What is in no catalogue keeps a share, so that nobody reads certainty out of a short list.
    let unexplained = weights::UNEXPLAINED;
    weighed
        .into_iter()
        .map(|w| {
            let probability = if w.confirmed {
                (1.0 - OTHER) * w.weight / total_confirmed
            } else if any_confirmed {
                OTHER * w.weight / (total_open + unexplained)
            } else {
                w.weight / (total_open + unexplained)
            };
            let band = if w.confirmed {
                Band::Confirmed
            } else if probability > weights::LIKELY {
                Band::Likely
            } else {
                Band::Possible
            };
            finding(case, w.cause, w.reasons, probability, band)
        })
        .filter(|f| f.probability >= weights::NEGLIGIBLE)
        .collect()
}

fn finding(
    case: &Case<'_>,
    cause: &'static dyn Cause,
    mut reasons: Vec<Reason>,
    probability: f64,
    band: Band,
) -> Finding {
    reasons.sort_by_key(|r| r.bearing);
    let fix = cause.fix(case).map(|fix| over_there(case, cause, fix));
    Finding { cause, title: cause.title(case), probability, band, reasons, fix }
}

/// A fix of the Redis host says on which machine its commands are run, where that is another one.
fn over_there(case: &Case<'_>, cause: &dyn Cause, mut fix: Fix) -> Fix {
    let of_server = match cause.meta().category {
        Category::NotRunning | Category::Bind | Category::Health => true,
        Category::Firewall => cause.meta().id.starts_with("server-"),
        _ => false,
    };
    if of_server && case.server_seen() && case.file.server_far().is_some() {
        fix.title = format!("on {}: {}", case.server_called(), fix.title);
    }
    fix
}

fn latent(case: &Case<'_>, pong: bool, causes: &[Finding]) -> (Vec<Finding>, Vec<Finding>) {
    let (mut behind, mut warnings): (Vec<Finding>, Vec<Finding>) = (Vec::new(), Vec::new());
    let first = causes.first();
    for cause in cause::all() {
        let id = cause.meta().id;
        let named = causes.iter().any(|f| f.cause.meta().id == id && f.band == Band::Confirmed)
            || first.is_some_and(|f| f.cause.meta().id == id);
        if named {
            continue;
        }
        let Some(Latent { place, title, mut reasons, fix }) = cause.latent(case) else { continue };
        reasons.sort_by_key(|r| r.bearing);
        let confirmed = reasons.first().is_some_and(|r| r.bearing == Bearing::Confirms);
        let fix = fix.map(|fix| over_there(case, cause, fix));
        let (probability, band) = if confirmed { (0.97, Band::Confirmed) } else { (0.6, Band::Likely) };
        let finding = Finding { cause, title, probability, band, reasons, fix };
        if place == Place::Behind && !pong { behind.push(finding) } else { warnings.push(finding) }
    }
    // What the client meets first comes first.
    behind.sort_by_key(|f| f.cause.meta().stage);
    warnings.sort_by_key(|f| std::cmp::Reverse(f.cause.meta().stage == Stage::Target));
    (behind, warnings)
}
