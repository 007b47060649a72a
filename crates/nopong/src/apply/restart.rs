//! Restarts a unit that runs: when the plan comes to it, or, placed before an edit, when that edit has been undone.

use super::{Change, Fault, Gate, State, unit_state};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When the restart is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// In the plan.
    Now,
    /// In the undo, after everything that comes later in the plan was undone.
    AfterUndo,
    /// Likewise, for a unit that systemd was trying again and again: it goes on with that.
    TriesAfterUndo,
}

/// A restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restart {
    /// Canonical unit name.
    pub unit: String,
    /// When.
    pub when: When,
    /// How to ask the server whether it may be restarted; none where the operator wants it all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// A start may load a data set.
const LIMIT: Duration = Duration::from_secs(120);

impl Restart {
    fn restart(&self) -> Result<(), Fault> {
        // Forgets earlier starts: a fix and its undo close together must not meet the start limit.
        drop(unit_state::systemctl(&["reset-failed", "--", &self.unit], LIMIT));
        unit_state::systemctl(&["restart", "--", &self.unit], LIMIT).map(drop)
    }

    /// It has not been started again since: it never read what was undone. Receipts before this was noted do not say.
    fn is_untouched(&self, before: &State) -> bool {
        before["run"].as_str().is_some_and(|run| !run.is_empty() && run == unit_state::invocation(&self.unit))
    }

    /// How to ask the server that undoing this restarts.
    pub(super) fn stops_at_undo(&self, before: &State) -> Option<&Gate> {
        let restarts = self.when == When::AfterUndo && before["runs"] == true && !self.is_untouched(before);
        self.gate.as_ref().filter(|_| restarts)
    }
}

impl Change for Restart {
    fn says(&self) -> String {
        match self.when {
            When::Now => format!("restart {}", self.unit),
            When::AfterUndo => format!("when undone: restart {}", self.unit),
            When::TriesAfterUndo => format!("when undone: let systemd try {} again", self.unit),
        }
    }

    fn command(&self) -> Option<String> {
        (self.when == When::Now).then(|| format!("systemctl restart {}", self.unit))
    }

    fn observe(&self) -> Result<State, Fault> {
        let (active, _) = unit_state::states(&self.unit)?;
        // `unseen`: no state tells whether it was restarted, so undoing it means doing it.
        let runs = active == "active" || active == "activating";
        Ok(serde_json::json!({ "unseen": true, "runs": runs, "run": unit_state::invocation(&self.unit) }))
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        if self.when != When::Now {
            return Ok(());
        }
        Gate::allows(self.gate.as_ref())?;
        self.restart()
    }

    fn is_ours(&self, _now: &State, _before: &State) -> bool {
        true
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        if self.when == When::TriesAfterUndo {
            // What it died of is back: nobody waits for a start that fails.
            return unit_state::systemctl(&["start", "--no-block", "--", &self.unit], LIMIT).map(drop);
        }
        let due = self.when == When::AfterUndo && before["runs"] == true && !self.is_untouched(before);
        if due { self.restart() } else { Ok(()) }
    }
}
