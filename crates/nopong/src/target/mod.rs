//! What is to be dialled, and where that was said.

use crate::evidence::{Ask, Problem};
use crate::secret::Secret;
use std::net::IpAddr;

/// A target as a client would dial it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Target {
    /// TLS (`rediss://`, `valkeys://`).
    pub tls: bool,
    /// Host name or address literal, without brackets; empty for a unix socket.
    pub host: String,
    /// TCP port, 6379 by default.
    pub port: u16,
    /// The port was written.
    pub port_given: bool,
    /// Unix socket path.
    pub unix: Option<String>,
    /// Database number.
    pub db: Option<u32>,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// `argument`, `environment REDIS_URL`, `.env:3`, `default`.
    pub source: String,
    /// Why it cannot be parsed.
    pub problem: Option<Problem>,
    /// The text that could not be parsed, already redacted.
    pub raw: Option<String>,
}

impl Target {
    /// The target as a URL, secrets replaced.
    pub fn redacted(&self) -> String {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        if let Some(path) = &self.unix {
            return format!("unix://{path}");
        }
        let scheme = if self.tls { "rediss" } else { "redis" };
        let user = self.user.as_deref().unwrap_or_default();
        let login = match (&self.password, user.is_empty()) {
            (Some(_), _) => format!("{user}:***@"),
            (None, false) => format!("{user}@"),
            (None, true) => String::new(),
        };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let db = self.db.map(|n| format!("/{n}")).unwrap_or_default();
        format!("{scheme}://{login}{host}:{}{db}", self.port)
    }

    /// The same without its secrets, for the case file.
    pub fn ask(&self, timeout_ms: u64, client: Option<IpAddr>) -> Ask {
        Ask {
            url: self.redacted(),
            source: self.source.clone(),
            tls: self.tls,
            host: self.host.clone(),
            port: self.port,
            unix: self.unix.clone(),
            db: self.db,
            user: self.user.clone(),
            has_password: self.password.is_some(),
            port_given: self.port_given,
            problem: self.problem.clone(),
            local: false,
            client,
            timeout_ms,
        }
    }
}
