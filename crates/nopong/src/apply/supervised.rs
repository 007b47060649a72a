//! A program of supervisord or runit that is started, or restarted, through its manager. Needs root, or the right to its
//! socket.

use super::{Change, Fault, Gate, State, When};
use crate::evidence::managed::{Manager, Standing};
use crate::sys::managers;
use serde::{Deserialize, Serialize};

/// How long a server may take to be seen after its start was called done.
const SETTLES: std::time::Duration = std::time::Duration::from_secs(2);

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SupervisedVerb {
    /// Start one that does not run.
    Start,
    /// Restart one that runs.
    Restart(When),
}

/// A program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Supervised {
    /// Its manager.
    pub manager: Manager,
    /// The manager's configuration file, or folder.
    pub config: String,
    /// Its name there.
    pub name: String,
    /// What is done.
    pub verb: SupervisedVerb,
    /// How to ask the server what a stop would lose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

impl Supervised {
    fn state(&self) -> Result<managers::State, Fault> {
        managers::state(self.manager, &self.config, &self.name).map_err(Fault::new)
    }

    fn act(&self, verb: &str) -> Result<(), Fault> {
        managers::act(self.manager, &self.config, &self.name, verb).map_err(Fault::new)
    }

    /// It is to be started.
    pub fn starts(&self) -> bool {
        self.verb == SupervisedVerb::Start
    }

    /// It runs as the process that it was: it never read what was undone.
    fn is_untouched(&self, before: &State) -> bool {
        let now = self.state().ok().and_then(|s| s.pid);
        now.is_some() && before["pid"].as_u64() == now.map(u64::from)
    }

    /// How to ask the server that undoing this stops or restarts.
    pub(super) fn stops_at_undo(&self, before: &State) -> Option<&Gate> {
        let stops = match self.verb {
            SupervisedVerb::Start => before["standing"] == "down",
            SupervisedVerb::Restart(When::Now | When::TriesAfterUndo) => false,
            SupervisedVerb::Restart(When::AfterUndo) => self.is_due(before),
        };
        self.gate.as_ref().filter(|_| stops)
    }

    fn is_due(&self, before: &State) -> bool {
        before["standing"] == "up" && !self.is_untouched(before)
    }
}

impl Change for Supervised {
    fn says(&self) -> String {
        let called = self.manager.called(&self.name);
        match self.verb {
            SupervisedVerb::Start => format!("start {called}"),
            SupervisedVerb::Restart(When::Now) => format!("restart {called}"),
            SupervisedVerb::Restart(_) => format!("when undone: restart {called}"),
        }
    }

    fn command(&self) -> Option<String> {
        let verb = match self.verb {
            SupervisedVerb::Start => "start",
            SupervisedVerb::Restart(When::Now) => "restart",
            SupervisedVerb::Restart(_) => return None,
        };
        Some(self.manager.command(verb, &self.name))
    }

    fn observe(&self) -> Result<State, Fault> {
        let state = self.state()?;
        let standing = match state.standing {
            Standing::Up => "up",
            // How it came to be down cannot be put back, and is the same to a client.
            Standing::Down | Standing::GivenUp => "down",
            _ => "moving",
        };
        Ok(match self.verb {
            SupervisedVerb::Start => serde_json::json!({ "standing": standing }),
            // `unseen`: no state tells whether it was restarted, so undoing it means doing it.
            SupervisedVerb::Restart(_) => {
                serde_json::json!({ "unseen": true, "standing": standing, "pid": state.pid })
            }
        })
    }

    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        match self.verb {
            SupervisedVerb::Restart(When::AfterUndo | When::TriesAfterUndo) => return Ok(()),
            SupervisedVerb::Restart(When::Now) => {
                Gate::allows(self.gate.as_ref())?;
                self.act("restart")?;
            }
            SupervisedVerb::Start if before["standing"] == "up" => return Ok(()),
            SupervisedVerb::Start => {
                if let Err(fault) = self.act("start") {
                    // Or its manager would try it again and again.
                    drop(self.act("stop"));
                    return Err(fault);
                }
            }
        }
        let began = crate::sys::now();
        let mut state = self.state()?;
        // What goes to the background by itself is there a moment later.
        while state.standing != Standing::Up && began.elapsed() < SETTLES {
            std::thread::sleep(std::time::Duration::from_millis(50));
            state = self.state()?;
        }
        match state.standing {
            Standing::Up => Ok(()),
            _ => Err(Fault::new(format!("{} did not come up: {}", self.name, state.says))),
        }
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["standing"] != "down"
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        match self.verb {
            SupervisedVerb::Start if before["standing"] == "down" => self.act("stop"),
            SupervisedVerb::Restart(When::AfterUndo) if self.is_due(before) => self.act("restart"),
            _ => Ok(()),
        }
    }
}
