//! What is to be dialled, and where that was said.

mod correct;
mod expand;
mod frameworks;
mod mask;
mod pairs;
mod settings;
mod source;
mod tree;
mod url;

pub use correct::{Correction, correct, hidden, shown_line};
pub(crate) use frameworks::unit_of;
pub use frameworks::{redis_services, service_at, service_named};
pub use mask::redacted as redact;
pub use settings::{Found, Surroundings, from_argument, from_settings};
pub use url::parse;

use crate::evidence::{Ask, Problem};
use crate::secret::Secret;
use crate::text::shown_str;
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
    /// The user name was given as such, not as the only thing before an `@`.
    pub user_is_name: bool,
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
            return format!("unix://{}", shown_str(path, 200));
        }
        let scheme = if self.tls { "rediss" } else { "redis" };
        let login = match (&self.password, self.shown_user()) {
            (Some(_), user) => format!("{}:***@", user.unwrap_or_default()),
            (None, Some(user)) => format!("{user}@"),
            (None, None) => String::new(),
        };
        let host = shown_str(&self.host, 260);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let db = self.db.map(|n| format!("/{n}")).unwrap_or_default();
        format!("{scheme}://{login}{host}:{}{db}", self.port)
    }

    /// The user name as it may be shown. Alone before the `@` it may be a password: redis-cli takes it as one.
    fn shown_user(&self) -> Option<String> {
        let user = self.user.as_deref().filter(|u| !u.is_empty())?;
        let surely = self.password.is_some() || self.user_is_name || user == "default";
        Some(if surely { shown_str(user, 100) } else { "***".to_owned() })
    }

    /// What may not be shown: the password, and a lone user name that may be one.
    pub fn secrets(&self) -> Vec<Secret> {
        let user = self
            .user
            .as_deref()
            .filter(|u| self.shown_user().is_some_and(|shown| shown != shown_str(u, 100)));
        self.password.iter().cloned().chain(user.map(Secret::new)).collect()
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
            user: self.shown_user(),
            has_password: self.password.is_some(),
            port_given: self.port_given,
            problem: self.problem.clone(),
            local: false,
            client,
            timeout_ms,
            trace: false,
        }
    }
}
