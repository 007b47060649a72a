//! Servers that another service manager than systemd looks after.

use super::Says;
use serde::{Deserialize, Serialize};

/// What the managers of this machine are told to run, as far as it is a Redis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Managers {
    /// The programs.
    pub programs: Vec<Managed>,
    /// What could not be read or asked, with the reason.
    pub unread: Vec<String>,
}

/// Which manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// supervisord (supervisord.org).
    #[default]
    Supervisord,
    /// runit's runsvdir and runsv.
    Runit,
    /// A script of System V's kind, without anything that watches over it.
    InitScript,
}

impl Manager {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supervisord => "supervisord",
            Self::Runit => "runit",
            Self::InitScript => "init",
        }
    }

    /// A program of it, in words: `supervisord's program redis`.
    pub fn called(self, program: &str) -> String {
        match self {
            Self::InitScript => format!("the init script {program}"),
            _ => format!("{}'s program {program}", self.name()),
        }
    }

    /// Its command for a person, with its verb: `supervisorctl start NAME`.
    pub fn command(self, verb: &str, program: &str) -> String {
        let tool = match self {
            Self::Supervisord => "supervisorctl",
            Self::Runit => "sv",
            Self::InitScript => return format!("service {} {verb}", crate::text::shell(program)),
        };
        format!("{tool} {verb} {}", crate::text::shell(program))
    }
}

/// How a program stands with its manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It runs.
    Up,
    /// It was stopped, ended by itself, or was never started; nothing is under way.
    Down,
    /// The manager gave up: every start failed.
    GivenUp,
    /// It is being started, stopped, or waits for its next attempt.
    Moving,
    /// The manager runs and does not know it: it has not read its files since.
    Unlisted,
    /// The manager does not run.
    Unmanaged,
    /// Nobody could be asked.
    #[default]
    Unknown,
}

/// A program that runs, or would run, Redis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Managed {
    /// Its manager.
    pub manager: Manager,
    /// The name that the manager's command takes: `redis`, `cache:redis`.
    pub name: String,
    /// The manager's main configuration file, or its folder of services.
    pub config: String,
    /// The file that declares the program.
    pub file: String,
    /// Command line, secrets replaced by `***`.
    pub argv: Vec<String>,
    /// Directory it is started in.
    pub cwd: Option<String>,
    /// User it is started as, where one is named.
    pub user: Option<String>,
    /// It is started with the manager.
    pub autostart: bool,
    /// How it stands.
    pub standing: Standing,
    /// The manager's own words for that, bounded and escaped.
    pub says: String,
    /// Process id, while it runs.
    pub pid: Option<u32>,
    /// Where its output and its errors go.
    pub logs: Vec<String>,
    /// Seconds that it has to end in after it was asked to, before SIGKILL.
    pub stop_wait_s: Option<u32>,
}

impl Managed {
    /// `supervisord's program redis`.
    pub fn called(&self) -> String {
        self.manager.called(&self.name)
    }

    /// A Sentinel.
    pub fn is_sentinel(&self) -> bool {
        self.argv.iter().any(|w| w == "--sentinel" || w.contains("-sentinel"))
    }
}

impl Says for Managed {
    fn says(&self) -> String {
        let how = match self.standing {
            Standing::Up => "runs",
            Standing::Down => "is down",
            Standing::GivenUp => "was given up",
            Standing::Moving => "is on its way",
            Standing::Unlisted => "is not known to it yet",
            Standing::Unmanaged => "is down: its manager does not run",
            Standing::Unknown => "could not be asked about",
        };
        let said = if self.says.is_empty() { String::new() } else { format!(" ({})", self.says) };
        format!("{} of {} {how}{said}", self.called(), self.file)
    }
}

impl Says for Managers {
    fn says(&self) -> String {
        let programs = match self.programs.is_empty() {
            true => "no other service manager has a Redis".to_owned(),
            false => self.programs.says(),
        };
        let unread: Vec<&str> = self.unread.iter().map(String::as_str).collect();
        if unread.is_empty() { programs } else { format!("{programs}; unread: {}", unread.join("; ")) }
    }
}
