//! What Docker or Podman tells of the containers that may be the target, and of the one the client stands in.

use super::Says;
use super::server::{Death, Setting};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What an engine was asked, and the containers that may be the target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Containers {
    /// `Docker 26.1.5`, `Podman 5.4.0`.
    pub engine: String,
    /// Its API socket.
    pub socket: String,
    /// Containers of the engine, of whatever kind.
    pub total: usize,
    /// Those that look like Redis, bear the target's name or address, or publish its port.
    pub found: Vec<Container>,
    /// A compose file of the working directory has a service of the target's name.
    pub composed: Option<Composed>,
    /// The engine does not run: this is what it left on disk.
    pub asleep: bool,
    /// Other engines or containers that could not be asked, with the reason.
    pub unread: Vec<String>,
}

/// A service of a compose file here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Composed {
    /// The file.
    pub file: String,
    /// The service.
    pub service: String,
    /// Line of it.
    pub line: u32,
    /// Its `ports:`, as written.
    pub ports: Vec<String>,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its whole id.
    pub id: String,
    /// Its name, without the slash that the API puts before it.
    pub name: String,
    /// The image as named at its creation.
    pub image: String,
    /// Entry point and arguments, secrets replaced.
    pub command: Vec<String>,
    /// Image, command or service say that it is a Redis.
    pub redis: bool,
    /// It was named by `--server container:`.
    pub named: bool,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub status: String,
    /// Exit code of the last run, of a container that does not run.
    pub exit_code: Option<i64>,
    /// The kernel killed something in it for its memory limit.
    pub oom_killed: bool,
    /// Why the engine could not start it.
    pub error: Option<String>,
    /// Restarts by the policy.
    pub restarts: u64,
    /// Restart policy: `no`, `always`, `on-failure`, `unless-stopped`.
    pub policy: String,
    /// Unix time of the last start.
    pub started_at: Option<u64>,
    /// Unix time of the last end.
    pub finished_at: Option<u64>,
    /// Its health check.
    pub health: Option<Health>,
    /// Ports it exposes or publishes, also those it had while it ran.
    pub ports: Vec<Published>,
    /// `bridge`, `host`, `none`, `container:ID`, or a network's name.
    pub network_mode: String,
    /// Networks it is, or was, attached to.
    pub networks: Vec<Attachment>,
    /// Project of compose.
    pub project: Option<String>,
    /// Service of compose.
    pub service: Option<String>,
    /// Folder of the compose project.
    pub folder: Option<String>,
    /// Mounts of files and folders.
    pub mounts: Vec<Mount>,
    /// Memory limit in bytes.
    pub memory_limit: Option<u64>,
    /// Its main process, as seen here.
    pub pid: Option<u32>,
    /// User it runs as, as configured; none for the image's own.
    pub user: Option<String>,
    /// Listening TCP sockets in its network namespace; none when they could not be read.
    pub listens: Option<Vec<SocketAddr>>,
    /// The configuration file it is started with: where it is on the host.
    pub config: Option<ConfigFile>,
    /// Words of its log that tell of an end, newest first.
    pub deaths: Vec<Death>,
    /// The last lines of its log.
    pub log: Vec<String>,
    /// Why the log could not be read.
    pub log_unread: Option<String>,
}

/// A health check's last word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing: u64,
    /// What the last check printed.
    pub output: Option<String>,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Published {
    /// TCP port inside.
    pub inside: u16,
    /// Address and port of the host where it is published; none when it is only exposed.
    pub at: Option<SocketAddr>,
}

/// An attachment to a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The container's addresses there, while it runs.
    pub addresses: Vec<IpAddr>,
    /// Names that resolve to it there.
    pub names: Vec<String>,
}

/// A mounted file, folder or volume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Where it is on the host, or the volume's name.
    pub source: String,
    /// Where it is inside.
    pub inside: String,
    /// `bind`, `volume`, `tmpfs`.
    pub kind: String,
    /// Writable inside.
    pub writable: bool,
}

/// The configuration file that a container's server is started with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigFile {
    /// Its path inside.
    pub inside: String,
    /// Its path on the host, when it is mounted.
    pub host: Option<String>,
    /// `bind`, `port`, `protected-mode` as the file and the arguments set them.
    pub settings: std::collections::BTreeMap<String, Setting>,
    /// The default user has a password.
    pub password: Option<bool>,
    /// Why it could not be read.
    pub unread: Option<String>,
}

impl Container {
    /// It runs, or at least is not gone: paused counts.
    pub fn runs(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }

    /// It bears that name: its own, its service's, or an alias on some network.
    pub fn answers_to(&self, name: &str) -> bool {
        let same = |n: &str| n.eq_ignore_ascii_case(name);
        same(&self.name)
            || self.service.as_deref().is_some_and(same)
            || self.networks.iter().any(|n| n.names.iter().any(|n| same(n)))
    }

    /// It has that address on some network.
    pub fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|n| n.addresses.contains(&address))
    }

    /// The ports it publishes: inside, and where on the host.
    pub fn published(&self) -> impl Iterator<Item = (u16, SocketAddr)> + '_ {
        self.ports.iter().filter_map(|p| Some((p.inside, p.at?)))
    }

    /// The port of the host that it publishes for a client's address and port.
    pub fn publishes(&self, to: SocketAddr) -> Option<u16> {
        self.published()
            .find(|(_, at)| at.port() == to.port() && (at.ip().is_unspecified() || at.ip() == to.ip()))
            .map(|(inside, _)| inside)
    }

    /// The mount that brings a path of the container: where several do, the one nearest to it.
    pub fn mount_of(&self, inside: &str) -> Option<&Mount> {
        let brings = |m: &&Mount| {
            let within = inside.strip_prefix(m.inside.trim_end_matches('/'));
            within.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.mounts.iter().filter(brings).max_by_key(|m| m.inside.len())
    }

    /// Names of the networks it is attached to.
    pub fn network_names(&self) -> Vec<&str> {
        self.networks.iter().map(|n| n.network.as_str()).collect()
    }
}

impl Says for Container {
    fn says(&self) -> String {
        let mut text = format!("container {} ({}) {}", self.name, self.image, self.status);
        if let Some(code) = self.exit_code {
            text.push_str(&format!(" with code {code}"));
        }
        if self.oom_killed {
            text.push_str(", killed for its memory limit");
        }
        if self.restarts > 0 {
            text.push_str(&format!(", restarted {} times", self.restarts));
        }
        if let Some(health) = self.health.as_ref().filter(|h| h.status == "unhealthy") {
            text.push_str(&format!(", {}", health.status));
        }
        let published: Vec<String> =
            self.published().map(|(inside, at)| format!("{at} to {inside}")).collect();
        if self.redis {
            text.push_str(&match published.is_empty() {
                true => ", no port published".to_owned(),
                false => format!(", published: {}", published.join(", ")),
            });
        }
        if !self.networks.is_empty() {
            text.push_str(&format!(", on {}", self.network_names().join(", ")));
        }
        text
    }
}

impl Says for Containers {
    fn says(&self) -> String {
        let found = match self.found.is_empty() {
            true => "no Redis and none of the target's name".to_owned(),
            false => self.found.iter().map(Says::says).collect::<Vec<_>>().join("; "),
        };
        format!("{}, {} containers: {found}", self.engine, self.total)
    }
}
