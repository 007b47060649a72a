//! What the two nopongs of one look say to each other: lines of JSON over the standard input and output of the far one.
//!
//! ```text
//! far   {"nopong-far": 1, …}           who it is
//! near  {"role": "client", …}          what to look at; secrets travel here only
//! far   {"addresses": […]}             ready: names resolved, or the wire watched
//! near  {"server_side": false}         a client: dial;    a server: the client's bundle, finish
//! far   {bundle}
//! ```
//!
//! Then the next order, or the end of the input. What the far one says is judged as any bundle is: hostile.

use crate::evidence::SCHEMA_VERSION;
use crate::evidence::ends::Place;
use crate::probe::{Request, TlsOptions};
use crate::secret::Secret;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Version of this conversation.
pub const PROTOCOL: u32 = 1;
/// Longest line but for bundles.
pub const LINE: usize = 64 << 10;

/// The far one's first line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the conversation.
    #[serde(rename = "nopong-far")]
    pub protocol: u32,
    /// Version of the bundles it writes.
    pub schema_version: u32,
    /// Where it is.
    pub place: Place,
}

impl Hello {
    /// That of this nopong here.
    pub fn here() -> Self {
        Self { protocol: PROTOCOL, schema_version: SCHEMA_VERSION, place: crate::vantage::here("local") }
    }
}

/// Which end is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Dial from there.
    Client,
    /// Read the Redis host's side there, and watch its wire meanwhile.
    Server,
}

/// One look. Has no `Debug`: it holds the password.
#[derive(Serialize, Deserialize)]
pub struct Order {
    pub(super) role: Role,
    /// None: the settings over there are looked up.
    target: Option<Handed>,
    timeout_ms: u64,
    client: Option<IpAddr>,
    trace: bool,
    #[serde(default)]
    follow: bool,
    tls: TlsOptions,
    light: bool,
    everything: bool,
}

/// A target with its secret.
#[derive(Serialize, Deserialize)]
struct Handed {
    tls: bool,
    host: String,
    port: u16,
    port_given: bool,
    unix: Option<String>,
    db: Option<u32>,
    user: Option<String>,
    user_is_name: bool,
    password: Option<String>,
    source: String,
}

/// The far one is ready.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ready {
    /// A client: what the name resolves to there.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// Dial now.
#[derive(Debug, Serialize, Deserialize)]
pub struct Go {
    /// Read the Redis host's side there too, where the target is that machine.
    pub server_side: bool,
}

impl Order {
    /// The same look, for the other end. Only the end that dials is given the password.
    pub fn of(request: &Request, role: Role) -> Self {
        let t = &request.target;
        let password = t.password.as_ref().filter(|_| role == Role::Client).map(|p| p.reveal().to_owned());
        let target = (!request.settings_there || role == Role::Server).then(|| Handed {
            tls: t.tls,
            host: t.host.clone(),
            port: t.port,
            port_given: t.port_given,
            unix: t.unix.clone(),
            db: t.db,
            user: t.user.clone(),
            user_is_name: t.user_is_name,
            password,
            source: t.source.clone(),
        });
        Self {
            role,
            target,
            timeout_ms: request.timeout.as_millis() as u64,
            client: request.client,
            trace: request.trace,
            follow: request.follow,
            tls: request.tls.clone(),
            light: request.light,
            everything: request.everything,
        }
    }

    /// The request it makes here, and the secrets that may be in nothing written.
    pub fn request(self) -> (Request, Vec<Secret>) {
        let (target, settings, mut secrets) = match self.target {
            Some(handed) => (handed.target(), None, Vec::new()),
            None => {
                let here = crate::target::Surroundings::read();
                let found = crate::target::from_settings(&here);
                (found.target, Some(found.settings), here.secrets())
            }
        };
        secrets.extend(target.secrets());
        let request = Request {
            // Whoever gave the order asks the cluster, with his own rights.
            kube: crate::probe::client::kubernetes::Objects { never: true, ..Default::default() },
            target,
            settings,
            timeout: Duration::from_millis(self.timeout_ms.clamp(1, 86_400_000)),
            client: self.client,
            trace: self.trace,
            follow: self.follow,
            tls: self.tls,
            light: self.light,
            everything: self.everything,
            watch: true,
            ..Request::default()
        };
        (request, secrets)
    }
}

impl Handed {
    fn target(self) -> Target {
        Target {
            tls: self.tls,
            host: self.host,
            port: self.port,
            port_given: self.port_given,
            unix: self.unix,
            db: self.db,
            user: self.user,
            user_is_name: self.user_is_name,
            password: self.password.map(Secret::new),
            source: self.source,
            ..Target::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Role};
    use crate::probe::Request;
    use crate::secret::Secret;

    #[test]
    fn only_the_client_is_given_the_password() {
        let mut request = Request::default();
        request.target.host = "db".to_owned();
        request.target.password = Some(Secret::new("hunter2"));
        let line = |role| serde_json::to_string(&Order::of(&request, role)).expect("writes");
        assert!(line(Role::Client).contains("hunter2") && !line(Role::Server).contains("hunter2"));
        let order: Order = serde_json::from_str(&line(Role::Client)).expect("reads");
        let (again, secrets) = order.request();
        assert_eq!((again.target.host.as_str(), secrets.len()), ("db", 1));
        assert_eq!(again.target.password, request.target.password);
    }
}
