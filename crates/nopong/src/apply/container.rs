//! A container that is started, restarted, or goes on after a pause, through its engine's own command. Needs the right to
//! use it.

use super::{Change, Fault, Gate, State};
use crate::sys;
use crate::vantage::docker;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// A stop takes its grace, and a start sets up networks and mounts.
const VERB: Duration = Duration::from_secs(90);
/// A question.
const ASK: Duration = Duration::from_secs(10);
/// How long Redis may save when it is stopped, in seconds, before the engine kills it (its own default is 10).
const GRACE: &str = "50";

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerVerb {
    /// Start one that does not run.
    Start,
    /// End a pause.
    Unpause,
    /// Restart one that runs, or that its policy starts again and again. What it mounts is looked up anew.
    Restart,
    /// The same in the undo, after everything that comes later in the plan was undone.
    RestartAfterUndo,
}

impl ContainerVerb {
    /// The engine's word.
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Unpause => "unpause",
            Self::Restart | Self::RestartAfterUndo => "restart",
        }
    }

    fn restarts(self) -> bool {
        matches!(self, Self::Restart | Self::RestartAfterUndo)
    }
}

/// A container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// `docker` or `podman`.
    pub engine: String,
    /// The engine's API socket.
    pub socket: String,
    /// Whole id: a name may be another's by the time of the undo.
    pub id: String,
    /// Name, for the words.
    pub name: String,
    /// What is done.
    #[serde(rename = "verb")]
    pub verb: ContainerVerb,
    /// How to ask the server what a stop would lose; none where nothing can be lost, or the operator wants it all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

impl Container {
    /// The command of the engine is here.
    pub fn can(&self) -> bool {
        sys::program(&self.engine).is_some()
    }

    fn run(&self, arguments: &[&str], limit: Duration) -> Result<String, Fault> {
        let missing = || Fault::new(format!("the command {} is not here", self.engine));
        let program = sys::program(&self.engine).ok_or_else(missing)?.to_string_lossy().into_owned();
        let at = format!("unix://{}", self.socket);
        let mut argv = vec![program.as_str()];
        match self.engine.as_str() {
            // Without a service it does the same by itself.
            "podman" if sys::lstat(&self.socket).is_ok() => argv.extend(["--remote", "--url", &at]),
            "podman" => {}
            _ => argv.extend(["--host", &at]),
        }
        argv.extend(arguments);
        let shown = format!("{} {}", self.engine, arguments.join(" "));
        let output = sys::run(&argv, limit, 64 << 10).map_err(|why| Fault::new(format!("{shown}: {why}")))?;
        if output.code == Some(0) {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(Fault::new(format!("{shown} failed: {}", crate::text::shown(output.stderr.trim_ascii(), 300))))
    }

    fn restart(&self) -> Result<(), Fault> {
        self.run(&["restart", "-t", GRACE, &self.id], VERB).map(drop)
    }

    /// Somebody removed it: one that was made since, of whatever name, is theirs.
    fn is_removed(&self) -> bool {
        let socket = Path::new(&self.socket);
        docker::is_name(&self.id)
            && !docker::asleep(socket)
            && docker::inspect(socket, &self.id).is_ok_and(|found| found.is_none())
    }

    /// It has not been started again since: it never read what was undone.
    fn is_untouched(&self, before: &State) -> bool {
        let started = before["started"].as_str().filter(|at| !at.is_empty());
        started.is_some() && self.observe().is_ok_and(|now| now["started"] == before["started"])
    }

    /// How to ask the server that undoing this stops or restarts.
    pub(super) fn stops_at_undo(&self, before: &State) -> Option<&Gate> {
        let stops = match self.verb {
            ContainerVerb::Start => before["status"] == "down",
            ContainerVerb::RestartAfterUndo => !self.is_untouched(before),
            ContainerVerb::Unpause | ContainerVerb::Restart => false,
        };
        self.gate.as_ref().filter(|_| stops)
    }
}

impl Change for Container {
    fn says(&self) -> String {
        match self.verb {
            ContainerVerb::Start => format!("start container {}", self.name),
            ContainerVerb::Unpause => format!("end the pause of container {}", self.name),
            ContainerVerb::Restart => format!("restart container {}", self.name),
            ContainerVerb::RestartAfterUndo => format!("when undone: restart container {}", self.name),
        }
    }

    fn command(&self) -> Option<String> {
        let now = self.verb != ContainerVerb::RestartAfterUndo;
        now.then(|| format!("{} {} {}", self.engine, self.verb.word(), crate::text::shell(&self.name)))
    }

    fn observe(&self) -> Result<State, Fault> {
        let format = "{{.State.Status}} {{.State.StartedAt}}";
        let said = self.run(&["inspect", "--type", "container", "--format", format, &self.id], ASK)?;
        let (status, started) = said.split_once(' ').unwrap_or((&said, ""));
        // How it came to be down cannot be put back, and is the same to a client.
        let status = match status {
            "created" | "configured" | "exited" | "stopped" | "dead" | "initialized" => "down",
            other => other,
        };
        // `unseen`: no state tells whether it was restarted, so undoing it means doing it.
        Ok(match self.verb.restarts() {
            true => serde_json::json!({ "unseen": true, "status": status, "started": started }),
            false => serde_json::json!({ "status": status }),
        })
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        match self.verb {
            ContainerVerb::RestartAfterUndo => Ok(()),
            ContainerVerb::Restart => {
                Gate::allows(self.gate.as_ref())?;
                self.restart()
            }
            verb => self.run(&[verb.word(), &self.id], VERB).map(drop),
        }
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["status"] == "running"
    }

    fn is_gone(&self, _before: &State) -> bool {
        self.is_removed()
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        let arguments: &[&str] = match (self.verb, before["status"].as_str()) {
            (ContainerVerb::Restart, _) => return Ok(()),
            (ContainerVerb::RestartAfterUndo, _) => {
                return if self.is_untouched(before) || self.is_removed() { Ok(()) } else { self.restart() };
            }
            (_, Some("down")) => &["stop", "-t", GRACE, &self.id],
            (_, Some("paused")) => &["pause", &self.id],
            _ => {
                return Err(Fault::new(format!(
                    "container {} was in a state that nobody can put back",
                    self.name
                )));
            }
        };
        self.run(arguments, VERB).map(drop)
    }
}
