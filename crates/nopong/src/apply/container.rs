//! A container that is started, or goes on after a pause, through its engine's own command. Needs the right to use it.

use super::{Change, Fault, Gate, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A start sets up networks and mounts.
const VERB: Duration = Duration::from_secs(60);
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
    /// How to ask the server what an undo, which stops it, would lose.
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
            "podman" => argv.extend(["--remote", "--url", &at]),
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
}

impl Change for Container {
    fn says(&self) -> String {
        match self.verb {
            ContainerVerb::Start => format!("start container {}", self.name),
            ContainerVerb::Unpause => format!("end the pause of container {}", self.name),
        }
    }

    fn command(&self) -> Option<String> {
        let verb = if self.verb == ContainerVerb::Start { "start" } else { "unpause" };
        Some(format!("{} {verb} {}", self.engine, crate::text::shell(&self.name)))
    }

    fn observe(&self) -> Result<State, Fault> {
        let status =
            self.run(&["inspect", "--type", "container", "--format", "{{.State.Status}}", &self.id], ASK)?;
        // How it came to be down cannot be put back, and is the same to a client.
        let status = match status.as_str() {
            "created" | "configured" | "exited" | "stopped" | "dead" | "initialized" => "down",
            other => other,
        };
        Ok(serde_json::json!({ "status": status }))
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        let verb = if self.verb == ContainerVerb::Start { "start" } else { "unpause" };
        self.run(&[verb, &self.id], VERB).map(drop)
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["status"] == "running"
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        let arguments: &[&str] = match before["status"].as_str() {
            Some("down") => &["stop", "-t", GRACE, &self.id],
            Some("paused") => &["pause", &self.id],
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
