//! Whether a systemd unit runs, is enabled, is masked. Needs root (or polkit's permission).

use super::{Change, Fault, Gate, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A start may have to load a data set; systemd's own limit ends it earlier.
const VERB: Duration = Duration::from_secs(120);
/// A question.
const ASK: Duration = Duration::from_secs(5);

/// A wish for a unit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UnitState {
    /// Canonical name.
    pub unit: String,
    /// Remove a mask first.
    pub unmask: bool,
    /// The mask is one that the next boot forgets (`systemctl mask --runtime`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_run_time: bool,
    /// Forget earlier failures, so that the start limit does not refuse.
    pub reset_failed: bool,
    /// Start it.
    pub start: bool,
    /// Start it at boot.
    pub enable: bool,
    /// How to ask the server what an undo, which stops it, would lose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// Runs systemctl.
pub(super) fn systemctl(arguments: &[&str], limit: Duration) -> Result<String, Fault> {
    let program = sys::program("systemctl").ok_or_else(|| Fault::new("systemctl is not here"))?;
    let program = program.to_string_lossy().into_owned();
    let argv: Vec<&str> = std::iter::once(program.as_str()).chain(arguments.iter().copied()).collect();
    let shown = format!("systemctl {}", arguments.join(" "));
    let output = sys::run(&argv, limit, 64 << 10).map_err(|why| Fault::new(format!("{shown}: {why}")))?;
    if output.code == Some(0) {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Fault::new(format!("{shown} failed: {}", crate::text::shown(output.stderr.trim_ascii(), 300))))
}

/// A word that is another one after each start of the unit (systemd.exec(5), INVOCATION_ID); empty while it never ran.
pub(super) fn invocation(unit: &str) -> String {
    systemctl(&["show", "-P", "InvocationID", "--", unit], ASK)
        .map(|t| t.trim().to_owned())
        .unwrap_or_default()
}

/// Active state, and file state, of a unit.
pub(super) fn states(unit: &str) -> Result<(String, String), Fault> {
    let text = systemctl(&["show", "-p", "ActiveState,UnitFileState", "--", unit], ASK)?;
    let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().to_owned();
    Ok((value("ActiveState="), value("UnitFileState=")))
}

impl UnitState {
    /// It is between its start and its word that it is ready.
    fn is_starting(&self) -> bool {
        systemctl(&["show", "-P", "SubState", "--", &self.unit], ASK).is_ok_and(|s| s.trim() == "start")
    }

    fn words(&self) -> Vec<String> {
        let words = [
            ("unmask --runtime", self.unmask && self.at_run_time),
            ("unmask", self.unmask && !self.at_run_time),
            ("reset-failed", self.reset_failed),
            ("enable", self.enable),
            ("start", self.start),
        ];
        words.into_iter().filter(|(_, on)| *on).map(|(w, _)| w.to_owned()).collect()
    }
}

impl Change for UnitState {
    fn says(&self) -> String {
        format!("{} {}", self.words().join(", "), self.unit)
    }

    fn command(&self) -> Option<String> {
        Some(
            self.words()
                .iter()
                .map(|w| format!("systemctl {w} {}", self.unit))
                .collect::<Vec<_>>()
                .join(" && "),
        )
    }

    fn observe(&self) -> Result<State, Fault> {
        let (active, file) = states(&self.unit)?;
        // `failed` and `inactive` are the same to a client, and a failure cannot be put back.
        // One that systemd tries again and again (auto-restart) is activating, and down to whoever has to start it.
        let runs =
            matches!(active.as_str(), "active" | "reloading") || (active == "activating" && !self.start);
        let mut state = serde_json::json!({ "runs": runs, "file": file });
        if self.start && active == "activating" {
            state["tries"] = true.into();
        }
        Ok(state)
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        for word in self.words() {
            super::point();
            let began = sys::now();
            let argv: Vec<&str> = word.split(' ').chain(["--", &self.unit]).collect();
            let failed = systemctl(&argv, VERB);
            if word == "start" && failed.is_err() && began.elapsed() >= VERB && self.is_starting() {
                // Still at it: a large data set. The verification waits for as long as it says LOADING.
                return Ok(());
            }
            if word == "start" && failed.is_err() {
                // Or systemd would try it again for as long as its limit lets it.
                drop(systemctl(&["stop", "--", &self.unit], VERB));
            }
            // A unit that never failed has nothing to reset.
            if word != "reset-failed" {
                failed?;
            }
        }
        Ok(())
    }

    fn is_ours(&self, now: &State, before: &State) -> bool {
        // Killed between two of its words, some of it is still as before.
        let enabled = now["file"] == "enabled" || now["file"] == "enabled-runtime";
        let runs = now["runs"] == before["runs"] || (self.start && now["runs"] == true);
        let file = now["file"] == before["file"] || (self.enable && enabled) || self.unmask;
        runs && file
    }

    fn is_back(&self, now: &State, before: &State) -> bool {
        // Where systemd was trying it again and again it is stopped here: what it died of comes back later in the undo.
        // Otherwise one that is on its way is a start of ours that is not over.
        let ours = now["tries"] == true && before["tries"] != true;
        now["runs"] == before["runs"] && now["file"] == before["file"] && !ours
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        if self.start && before["runs"] == false {
            systemctl(&["stop", "--", &self.unit], VERB)?;
        }
        if self.enable && before["file"] == "disabled" {
            systemctl(&["disable", "--", &self.unit], VERB)?;
        }
        if before["file"] == "masked" {
            systemctl(&["mask", "--", &self.unit], VERB)?;
        }
        if before["file"] == "masked-runtime" {
            systemctl(&["mask", "--runtime", "--", &self.unit], VERB)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Change as _, UnitState};
    use serde_json::json;

    #[test]
    fn a_start_that_is_not_over_is_not_back() {
        let unit = UnitState { start: true, ..UnitState::default() };
        let down = json!({ "runs": false, "file": "enabled" });
        let tried = json!({ "runs": false, "file": "enabled", "tries": true });
        assert!(unit.is_back(&down, &down) && unit.is_back(&tried, &tried));
        assert!(!unit.is_back(&tried, &down), "killed while it starts: it has to be stopped");
        assert!(unit.is_back(&down, &tried), "what tried it again and again is stopped here");
        assert!(!unit.is_back(&json!({ "runs": true, "file": "enabled" }), &down));
    }
}
