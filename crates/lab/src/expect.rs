//! Whether a report of nopong is what a scenario expects. Pure: text in, complaints out. Beside the
//! scenario's own words it holds every report to the contract: order, sums, citations, exit code.

use serde::Deserialize;
use serde_json::Value;

use crate::scenario::{Band, Expect};

/// The parts of the public report that are judged.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Report {
    #[serde(default)]
    pub schema_version: u32,
    #[serde(default)]
    pub outcome: String,
    #[serde(default)]
    pub stage: String,
    #[serde(default)]
    pub symptom: String,
    #[serde(default)]
    pub causes: Vec<Found>,
    #[serde(default)]
    pub behind: Vec<Found>,
    #[serde(default)]
    pub warnings: Vec<Found>,
    #[serde(default)]
    pub evidence: Vec<Value>,
    #[serde(default)]
    pub took_ms: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Found {
    pub id: String,
    #[serde(default)]
    pub probability: f64,
    pub band: Band,
    #[serde(default)]
    pub because: Vec<Because>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Because {
    #[serde(default)]
    pub evidence: Option<String>,
}

impl Report {
    pub fn first(&self) -> &str {
        match self.causes.first() {
            Some(cause) => &cause.id,
            None if self.outcome == "pong" => "pong",
            None => "none",
        }
    }
}

/// Everything that is not as expected; empty when all is well.
pub fn judge(expect: &Expect, report: &Report, exit: i32, text: &str, secrets: &[String]) -> Vec<String> {
    let mut wrong = contract(report, exit);
    let mut claim = |holds: bool, says: String| {
        if !holds {
            wrong.push(says);
        }
    };
    let wanted = expect.first.all();
    let first = report.causes.first();
    if report.outcome == "pong" {
        let fine = wanted.is_empty() || wanted.iter().any(|w| w == "pong");
        claim(fine, format!("pong, expected {}", wanted.join(" or ")));
        for warning in &report.warnings {
            let known = [&expect.warnings, &expect.may_warn, &expect.named, &expect.beside];
            let known = known.iter().any(|list| list.contains(&warning.id));
            claim(known, format!("{} is a false alarm", warning.id));
        }
    } else {
        let wanted: &[String] = if wanted.is_empty() { &["pong".to_owned()] } else { wanted };
        claim(
            first.is_some_and(|c| wanted.contains(&c.id)),
            format!("first is {}, expected {}", report.first(), wanted.join(" or ")),
        );
        for cause in report.causes.iter().filter(|c| c.band == Band::Confirmed) {
            claim(wanted.contains(&cause.id), format!("{} is confirmed, and is not so", cause.id));
        }
    }
    if let (Some(least), Some(cause)) = (expect.at_least, first) {
        claim(cause.band >= least, format!("{} is {:?}, expected at least {least:?}", cause.id, cause.band));
    }
    if let Some(most) = expect.at_most {
        for cause in report.causes.iter().filter(|c| c.band > most) {
            claim(false, format!("{} is {:?}, expected at most {most:?}", cause.id, cause.band));
        }
    }
    if let Some(stage) = &expect.stage {
        claim(*stage == report.stage, format!("stage {}, expected {stage}", report.stage));
    }
    if let Some(code) = expect.exit {
        claim(code == exit, format!("exit {exit}, expected {code}"));
    }
    for id in &expect.never {
        let accused = first.is_some_and(|c| c.id == *id)
            || report.causes.iter().any(|c| c.id == *id && c.band >= Band::Likely)
            || report.warnings.iter().any(|c| c.id == *id);
        claim(!accused, format!("{id} is accused wrongly"));
    }
    let has = |list: &[Found], id: &String| list.iter().any(|c| c.id == *id);
    for id in &expect.behind {
        claim(has(&report.behind, id), format!("{id} is missing among behind"));
    }
    for id in &expect.warnings {
        claim(has(&report.warnings, id), format!("{id} is missing among the warnings"));
    }
    for id in &expect.named {
        let there = [&report.causes, &report.behind, &report.warnings].iter().any(|list| has(list, id));
        claim(there, format!("{id} is named nowhere"));
    }
    for id in &expect.beside {
        let there = has(&report.behind, id) || has(&report.warnings, id);
        claim(there, format!("{id} is missing among behind and warnings"));
    }
    for word in &expect.says {
        claim(text.contains(word.as_str()), format!("the report does not say {word}"));
    }
    for secret in secrets {
        claim(!text.contains(secret.as_str()), "a secret is in the output".to_owned());
    }
    wrong
}

/// What holds for every report, whatever the fault.
fn contract(report: &Report, exit: i32) -> Vec<String> {
    let mut wrong = Vec::new();
    let exits: &[i32] = match (report.outcome.as_str(), report.stage.as_str()) {
        ("pong", _) => &[0],
        (_, "target") => &[2],
        _ => &[1, 3],
    };
    if !exits.contains(&exit) {
        wrong.push(format!("exit {exit} with outcome {} at {}", report.outcome, report.stage));
    }
    if (report.outcome == "pong") != (report.stage == "ready") {
        // A Redis that is reached and not ready is a fault of the stage ready.
        if report.outcome == "pong" {
            wrong.push(format!("pong at stage {}", report.stage));
        }
    }
    if report.outcome == "pong" && !report.causes.is_empty() {
        wrong.push(format!("pong and yet a cause, {}", report.first()));
    }
    let sum: f64 = report.causes.iter().map(|c| c.probability).sum();
    if sum > 1.001 {
        wrong.push(format!("the probabilities sum to {sum:.3}"));
    }
    if report.causes.windows(2).any(|w| w[0].probability < w[1].probability - 1e-9) {
        wrong.push("the causes are not in order of probability".into());
    }
    let known: Vec<&str> = report.evidence.iter().filter_map(|e| e.get("id")?.as_str()).collect();
    for found in report.causes.iter().chain(&report.behind).chain(&report.warnings) {
        for because in &found.because {
            if let Some(id) = &because.evidence
                && !known.contains(&id.as_str())
            {
                wrong.push(format!("{} cites {id}, which is not in the evidence", found.id));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Many;

    fn report(text: &str) -> Report {
        serde_json::from_str(text).unwrap()
    }

    fn expect(toml: &str) -> Expect {
        toml::from_str(&format!("from='client-user'\n{toml}")).unwrap()
    }

    const FAULT: &str = r#"{"outcome":"fault","stage":"connect","causes":[
        {"id":"service-stopped","probability":0.6,"band":"likely","because":[{"evidence":"tcp"}]},
        {"id":"wrong-port","probability":0.2,"band":"possible","because":[]}],
        "behind":[{"id":"auth-missing","band":"likely"}],"evidence":[{"id":"tcp"}]}"#;

    #[test]
    fn a_report_as_expected_has_no_complaint() {
        let e = expect(
            "first=['service-stopped','bind-loopback-only']\nat_least='likely'\nat_most='likely'\nbeside=['auth-missing']\nnever=['wrong-port']",
        );
        assert_eq!(judge(&e, &report(FAULT), 1, FAULT, &[]), Vec::<String>::new());
        assert!(matches!(e.from, Many::One(_)));
    }

    #[test]
    fn each_deviation_is_told() {
        let e = expect(
            "first='wrong-port'\nat_least='confirmed'\nstage='auth'\nexit=3\nnever=['service-stopped']\nwarnings=['x']",
        );
        let wrong = judge(&e, &report(FAULT), 1, FAULT, &["wrong-port".into()]);
        assert_eq!(wrong.len(), 7, "{wrong:?}");
    }

    #[test]
    fn the_contract_is_held_without_being_asked() {
        let text = r#"{"outcome":"fault","stage":"connect","causes":[
            {"id":"a","probability":0.3,"band":"possible","because":[{"evidence":"gone"}]},
            {"id":"b","probability":0.9,"band":"likely"}],"evidence":[]}"#;
        let wrong = contract(&report(text), 0);
        assert_eq!(wrong.len(), 4, "{wrong:?}");
    }
}
