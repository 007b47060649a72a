//! Verifying is looking again, from the client's side: not an exit code.

use super::Work;
use crate::cause::containers;
use crate::diagnosis::{self, Case, Symptom};
use crate::evidence::CaseFile;
use crate::plan::Plan;
use crate::{apply, probe, sys};
use std::time::Duration;

/// A start that systemd calls done listens within this.
pub(super) const MOMENT: Duration = Duration::from_millis(300);

/// What verification saw.
pub(super) enum Verified {
    /// PONG, in words.
    Pong(String),
    /// The obstacle is gone and another one is there.
    Other(Box<CaseFile>, String),
}

/// The configuration file of the server that answers: a container has its own.
fn file_of<'a>(case: &Case<'a>) -> Option<&'a str> {
    match containers::meant(case).filter(|m| m.tie != containers::Tie::Only) {
        Some(meant) => meant.container.config.as_ref()?.host.as_deref(),
        None => case.config()?.file.as_deref(),
    }
}

impl Work<'_> {
    /// Looks again, as the client did. A service may take a moment to listen.
    pub(super) fn verify(
        &mut self,
        before: &CaseFile,
        plan: &Plan,
        patience: Duration,
    ) -> Result<Verified, String> {
        let mut request = self.request.clone();
        if let Some(target) = &plan.retarget {
            request.target = target.clone();
        }
        if request.target.password.is_none() {
            request.target.password = plan.new_password.clone();
        }
        request.everything = before.ask.client.is_some();
        let began = sys::now();
        let deadline = began + patience;
        loop {
            if let Some(why) = self.stop.came() {
                return Err(why);
            }
            let file = probe::look(&request);
            self.secrets.extend(request.target.password.clone());
            self.last = Some(file.clone());
            let case = Case::new(&file);
            let diagnosis = diagnosis::diagnose(&file);
            let gone =
                !diagnosis.warnings.iter().chain(&diagnosis.causes).any(|f| f.cause.meta().id == plan.cause);
            if case.symptom == Symptom::Pong && gone {
                return Ok(Verified::Pong(diagnosis.symptom));
            }
            // A server with a password of its own: that a client who knows it gets through is what is verified.
            if case.error_word() == Some("NOAUTH")
                && request.target.password.is_none()
                && let Some(secret) = file_of(&case).and_then(apply::requirepass_of)
            {
                request.target.password = Some(secret);
                continue;
            }
            // Something else than before, confirmed, and for longer than a service takes to listen.
            let first = diagnosis.causes.first().filter(|f| f.band == diagnosis::Band::Confirmed);
            // Of two refused lines the second is met when the first is right.
            let next_line = first.is_some_and(|f| {
                f.cause.meta().id == "config-invalid"
                    && plan.cause == "config-invalid"
                    && f.title != plan.finding
            });
            let other = next_line || (gone && first.is_some_and(|f| f.cause.meta().id != plan.cause));
            if other && sys::now() > began + MOMENT {
                let why = format!("expected PONG, got: {}", diagnosis.symptom);
                return Ok(Verified::Other(Box::new(file), why));
            }
            // The timer outside would undo it in a moment: who is still here does it better.
            if self.timer.is_some() && sys::now() > self.began + self.fix.confirm_within {
                return Err(format!("not verified in time; got: {}", diagnosis.symptom));
            }
            let loading = case.error_word() == Some("LOADING");
            if sys::now() > deadline && !loading {
                let rest = if gone { String::new() } else { format!("; {} is still there", plan.cause) };
                return Err(format!("expected PONG, got: {}{rest}", diagnosis.symptom));
            }
            std::thread::sleep(Duration::from_millis(if loading { 500 } else { 50 }));
        }
    }
}
