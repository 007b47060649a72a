//! What `fix` prints: the plan, the end, or both as one document.

use crate::diagnosis::{Diagnosis, Risk};
use crate::evidence::CaseFile;
use crate::plan::{self, Plan};
use crate::report::json::{self, Report};
use serde::Serialize;
use serde_json::Value;

/// How a fix ended, as the document names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// The target answers: nothing to do.
    Nothing,
    /// Only people can do it.
    Advice,
    /// There could be a plan, and there is a reason against it.
    Refused,
    /// Shown, not applied.
    DryRun,
    /// The operator said no.
    Declined,
    /// Another fix or undo is at work, or no receipt can be written: nothing was changed.
    NotStarted,
    /// Applied and verified.
    Fixed,
    /// Applied, not verified, put back.
    RolledBack,
    /// Applied, not verified, and not everything went back.
    Incomplete,
}

/// The part of the document that `diagnose` does not have.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) outcome: End,
    /// One sentence.
    pub(super) says: String,
    /// The receipt's name, for `nopong undo`, and its file.
    pub(super) receipt: Option<String>,
    pub(super) receipt_path: Option<String>,
    /// What was put back, and what could not be, with the reason.
    pub(super) restored: Vec<String>,
    pub(super) not_restored: Vec<String>,
}

impl Outcome {
    pub(super) fn new(outcome: End, says: impl Into<String>) -> Self {
        Self {
            outcome,
            says: says.into(),
            receipt: None,
            receipt_path: None,
            restored: Vec::new(),
            not_restored: Vec::new(),
        }
    }
}

/// The report's document with the plan and what became of it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: Report,
    plan: Option<&'a Value>,
    fix: &'a Outcome,
}

/// Writes the document: the report of the last look, the plan, the outcome.
pub(super) fn document(
    file: &CaseFile,
    diagnosis: &Diagnosis,
    plan: Option<&Value>,
    outcome: &Outcome,
) -> String {
    json::escaped(&Document { report: Report::new(file, diagnosis), plan, fix: outcome })
}

/// A plan as a part of the document.
pub(super) fn json(plan: &Plan) -> Value {
    let step = |(says, command, diff): (String, Option<String>, Option<String>)| serde_json::json!({ "says": says, "command": command, "diff": diff });
    let steps: Vec<_> = plan::shown(plan).into_iter().map(step).collect();
    serde_json::json!({
        "cause": plan.cause,
        "title": plan.title,
        "risk": plan.risk.map(Risk::word),
        "steps": steps,
        "also": plan.also,
        "judged": plan.judged,
        "noticed_by": plan.noticed_by,
        "advice": plan.advice,
    })
}

/// What was applied after the first plan joins it.
pub(super) fn join(document: &mut Value, further: &Plan) {
    let more = json(further);
    for key in ["steps", "also", "judged", "noticed_by", "advice"] {
        if let (Some(own), Some(new)) = (document[key].as_array_mut(), more[key].as_array()) {
            own.extend(new.iter().cloned());
        }
    }
    if let Some(also) = document["also"].as_array_mut() {
        also.push(Value::String(further.cause.clone()));
    }
}

/// The plan in words.
pub(super) fn words(plan: &Plan, file: &CaseFile) -> String {
    let mut out = format!("Plan for {} ({}): {}\n", file.ask.url, plan.cause, plan.title);
    for id in &plan.also {
        out.push_str(&format!("  also removes what stands behind it: {id}\n"));
    }
    for (number, (says, command, diff)) in plan::shown(plan).into_iter().enumerate() {
        out.push_str(&format!("  {}. {}\n", number + 1, crate::text::shown_str(&says, 300)));
        if let Some(command) = command {
            out.push_str(&format!("       {}\n", crate::text::shown_str(&command, 400)));
        }
        for line in diff.unwrap_or_default().lines() {
            out.push_str(&format!("       {line}\n"));
        }
    }
    for judged in &plan.judged {
        out.push_str(&format!("  judged: {}\n", crate::text::shown_str(judged, 600)));
    }
    for who in &plan.noticed_by {
        out.push_str(&format!("  noticed by {who}\n"));
    }
    for advice in &plan.advice {
        out.push_str(&format!("  then: {advice}\n"));
    }
    if let Some(risk) = plan.risk {
        out.push_str(&format!("  risk: {}\n", risk.word()));
    }
    out
}

/// The end of a fix that worked. The one place where a new password is shown, once.
pub(super) fn said(plan: &Plan, says: &str, receipt: &str) -> String {
    let mut out = format!("Fixed: {says}\n");
    if let Some(secret) = &plan.new_password
        && plan.advice.iter().any(|a| a.contains("new password"))
    {
        out.push_str(&format!("The new password, shown this once: {}\n", secret.reveal()));
    }
    for advice in &plan.advice {
        out.push_str(&format!("Then: {advice}\n"));
    }
    out.push_str(&format!("Undo with: nopong undo {receipt}\n"));
    out
}
