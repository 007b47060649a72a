//! The public JSON report. Its types are apart from the inner ones: they change only with `SCHEMA_VERSION`.

use crate::diagnosis::{Bearing, Diagnosis, Finding};
use crate::evidence::{CaseFile, Side};
use serde::Serialize;

/// Version of this document.
pub const SCHEMA_VERSION: u32 = 1;

/// The document.
#[derive(Debug, Serialize)]
pub struct Report {
    schema_version: u32,
    tool: Tool,
    target: Target,
    outcome: &'static str,
    stage: &'static str,
    symptom: String,
    causes: Vec<Cause>,
    behind: Vec<Cause>,
    warnings: Vec<Cause>,
    evidence: Vec<Evidence>,
    next: Vec<Next>,
    took_ms: f64,
}

#[derive(Debug, Serialize)]
struct Tool {
    name: &'static str,
    version: String,
}

#[derive(Debug, Serialize)]
struct Target {
    url: String,
    source: String,
    /// Only with a target that cannot be parsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    says: String,
    /// The text with secrets masked, and the column (from 0) of the offending place.
    marked: Option<String>,
    column: Option<usize>,
    meant: Option<String>,
}

#[derive(Debug, Serialize)]
struct Cause {
    id: &'static str,
    category: &'static str,
    probability: f64,
    band: &'static str,
    title: String,
    because: Vec<Because>,
    fix: Option<Fix>,
}

#[derive(Debug, Serialize)]
struct Because {
    says: String,
    evidence: &'static str,
}

#[derive(Debug, Serialize)]
struct Fix {
    title: String,
    risk: &'static str,
    steps: Vec<Next>,
}

#[derive(Debug, Serialize)]
struct Next {
    says: String,
    command: Option<String>,
}

#[derive(Debug, Serialize)]
struct Evidence {
    id: &'static str,
    from: &'static str,
    /// The far machine it was seen on: `ssh:db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    state: &'static str,
    says: String,
    why: Option<String>,
    by_hand: Option<String>,
    took_ms: Option<f64>,
    data: serde_json::Value,
}

/// Three decimals: more would be noise.
fn round(n: f64) -> f64 {
    (n * 1e3).round() / 1e3
}

impl Report {
    /// Words a diagnosis.
    pub fn new(file: &CaseFile, diagnosis: &Diagnosis) -> Self {
        let evidence = file
            .items()
            .into_iter()
            .map(|i| Evidence {
                id: i.id,
                from: if i.from == Side::Client { "client" } else { "server" },
                at: i.at,
                state: i.state,
                says: i.says,
                why: i.why,
                by_hand: i.by_hand,
                took_ms: i.took_ms.map(round),
                data: i.data,
            })
            .collect();
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool { name: "nopong", version: file.nopong.clone() },
            target: Target {
                url: file.ask.url.clone(),
                source: file.ask.source.clone(),
                problem: file.ask.problem.as_ref().map(|p| Problem {
                    says: p.says.clone(),
                    marked: p.marked.as_ref().map(|(text, _)| text.clone()),
                    column: p.marked.as_ref().map(|(_, column)| *column),
                    meant: p.meant.clone(),
                }),
            },
            outcome: if diagnosis.pong { "pong" } else { "fault" },
            stage: diagnosis.stage.word(),
            symptom: diagnosis.symptom.clone(),
            causes: diagnosis.causes.iter().map(cause).collect(),
            behind: diagnosis.behind.iter().map(cause).collect(),
            warnings: diagnosis.warnings.iter().map(cause).collect(),
            evidence,
            next: diagnosis
                .next
                .iter()
                .map(|n| Next { says: n.says.clone(), command: Some(n.command.clone()) })
                .collect(),
            took_ms: round(file.took_ms),
        }
    }
}

/// Writes the document.
pub fn write(file: &CaseFile, diagnosis: &Diagnosis) -> String {
    escaped(&Report::new(file, diagnosis))
}

/// A document as text that no terminal obeys.
pub fn escaped(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    // JSON leaves C1 controls and bidirectional overrides as they are, and terminals obey them. All of them stand
    // within strings, where the escape means the same.
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let obeyed = matches!(c, '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if obeyed { out.push_str(&format!("\\u{:04x}", c as u32)) } else { out.push(c) }
    }
    out
}

fn cause(finding: &Finding) -> Cause {
    let meta = finding.cause.meta();
    Cause {
        id: meta.id,
        category: meta.category.word(),
        // Rounded down, so that the sum of the rounded ones stays at most 1.
        probability: (finding.probability * 1e3).floor() / 1e3,
        band: finding.band.word(),
        title: finding.title.clone(),
        because: finding
            .reasons
            .iter()
            .filter(|r| r.bearing <= Bearing::Weak)
            .map(|r| Because { says: r.says.clone(), evidence: r.cites })
            .collect(),
        fix: finding.fix.as_ref().map(|f| Fix {
            title: f.title.clone(),
            risk: f.risk.word(),
            steps: f
                .steps
                .iter()
                .map(|s| Next { says: s.says.clone(), command: s.command.clone() })
                .collect(),
        }),
    }
}
