//! Restarts a unit that runs: when the plan comes to it, or, placed before an edit, when that edit has been undone.

use super::{Change, Fault, State, unit_state};
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
}

/// A restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restart {
    /// Canonical unit name.
    pub unit: String,
    /// When.
    pub when: When,
}

/// A start may load a data set.
const LIMIT: Duration = Duration::from_secs(120);

impl Restart {
    fn restart(&self) -> Result<(), Fault> {
        // Forgets earlier starts: a fix and its undo close together must not meet the start limit.
        drop(unit_state::systemctl(&["reset-failed", "--", &self.unit], LIMIT));
        unit_state::systemctl(&["restart", "--", &self.unit], LIMIT).map(drop)
    }
}

impl Change for Restart {
    fn says(&self) -> String {
        match self.when {
            When::Now => format!("restart {}", self.unit),
            When::AfterUndo => format!("when undone: restart {}", self.unit),
        }
    }

    fn command(&self) -> Option<String> {
        (self.when == When::Now).then(|| format!("systemctl restart {}", self.unit))
    }

    fn observe(&self) -> Result<State, Fault> {
        let (active, _) = unit_state::states(&self.unit)?;
        // `unseen`: no state tells whether it was restarted, so undoing it means doing it.
        Ok(serde_json::json!({ "unseen": true, "runs": active == "active" || active == "activating" }))
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        if self.when == When::Now { self.restart() } else { Ok(()) }
    }

    fn is_ours(&self, _now: &State, _before: &State) -> bool {
        true
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        if self.when == When::AfterUndo && before["runs"] == true { self.restart() } else { Ok(()) }
    }
}
