//! CONFIG SET on the running server, so that no restart is needed.
//!
//! A password set this way is in the file too (the plan writes it there first); the undo reads it from there, so the
//! receipt needs none.

use super::{Change, Fault, State, in_container};
use crate::secret::Secret;
use crate::sys;
use crate::wire::resp;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Limit of one exchange.
const LIMIT: Duration = Duration::from_secs(3);

/// How the server is reached on its own host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Door {
    /// TCP, usually loopback.
    Tcp {
        /// Address.
        at: SocketAddr,
    },
    /// TCP with TLS; the server must show the certificate of its file.
    Tls {
        /// Address.
        at: SocketAddr,
        /// The server's certificate file; the same is shown as the client's, where the server asks.
        cert: String,
        /// Its key file.
        key: String,
    },
    /// Unix socket.
    Unix {
        /// Path.
        path: String,
    },
    /// A port of a container, from within its network.
    Container {
        /// The engine's API socket.
        socket: String,
        /// Whole id.
        id: String,
        /// `docker` or `podman`, and the name: for the words.
        engine: String,
        /// See `engine`.
        name: String,
        /// Port inside.
        port: u16,
        /// Its unix socket, by its path inside: instead of the port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unix: Option<String>,
    },
}

/// One directive of the running server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfigSet {
    /// Where.
    pub door: Door,
    /// Directive.
    pub directive: String,
    /// New value; for a secret only in memory.
    pub value: Option<String>,
    /// New secret value.
    #[serde(skip)]
    pub secret: Option<Secret>,
    /// The directive is a secret: only set or empty is stored.
    pub is_secret: bool,
    /// The configuration file that has the password.
    pub file: Option<String>,
    /// User name and password that the operator gave.
    #[serde(skip)]
    pub login: Option<(Option<String>, Secret)>,
}

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

impl ConfigSet {
    fn open(&self) -> Result<Box<dyn Both>, Fault> {
        let fault = |e: std::io::Error| {
            Fault::new(format!("cannot reach the running server: {}", sys::errno_name(&e)))
        };
        let bounded = |stream: TcpStream| -> Result<TcpStream, Fault> {
            stream.set_read_timeout(Some(LIMIT)).map_err(fault)?;
            stream.set_write_timeout(Some(LIMIT)).map_err(fault)?;
            Ok(stream)
        };
        let tcp = |at: &SocketAddr| bounded(TcpStream::connect_timeout(at, LIMIT).map_err(fault)?);
        let unix = |path: &str| -> Result<UnixStream, Fault> {
            let stream = UnixStream::connect(path).map_err(fault)?;
            stream.set_read_timeout(Some(LIMIT)).map_err(fault)?;
            stream.set_write_timeout(Some(LIMIT)).map_err(fault)?;
            Ok(stream)
        };
        match &self.door {
            Door::Container { socket, id, unix: Some(path), .. } => {
                Ok(Box::new(unix(&in_container::path(socket, id, path)?)?))
            }
            Door::Container { socket, id, port, unix: None, .. } => {
                Ok(Box::new(bounded(in_container::connect(socket, id, *port, LIMIT)?)?))
            }
            Door::Tcp { at } => Ok(Box::new(tcp(at)?)),
            Door::Tls { at, cert, key } => {
                let session = crate::probe::client::own_server(tcp(at)?, cert, key);
                Ok(Box::new(
                    session.map_err(|why| Fault::new(format!("TLS with the running server: {why}")))?,
                ))
            }
            Door::Unix { path } => Ok(Box::new(unix(path)?)),
        }
    }

    /// A connection that has said nothing yet.
    fn stranger(&self) -> Result<Session, Fault> {
        Ok(Session { io: self.open()?, reader: resp::Decoder::new(resp::Bounds::default()) })
    }

    /// A connection that may do CONFIG: as it is, else with the operator's login, else with the file's password.
    fn session(&self) -> Result<Session, Fault> {
        let mut session = self.stranger()?;
        let first = session.ask(&["PING"])?;
        // These it says to whom it has let in: it takes INFO and CONFIG all the same (commands.def, CMD_LOADING, CMD_STALE).
        let let_in = |e: &String| ["LOADING", "BUSY", "MASTERDOWN"].iter().any(|word| e.starts_with(word));
        if first.as_ref().err().is_none_or(let_in) {
            return Ok(session);
        }
        let from_file = || self.file.as_deref().and_then(requirepass_of);
        // An undo has no login of its own: the file's password, else the environment's.
        let from_environment = || {
            let word = sys::env("REDISCLI_AUTH").or_else(|| sys::env("REDIS_PASSWORD"))?;
            Some((sys::env("REDIS_USERNAME"), Secret::new(word)))
        };
        let ways = [self.login.clone(), from_file().map(|p| (None, p)), from_environment()];
        let mut refused =
            "it is in no file in clear; set REDISCLI_AUTH to it (and REDIS_USERNAME, for another \
            user than default), with sudo --preserve-env=REDISCLI_AUTH,REDIS_USERNAME"
                .to_owned();
        for (user, password) in ways.into_iter().flatten() {
            let said = match user.as_deref().filter(|u| !u.is_empty()) {
                Some(user) => session.ask(&["AUTH", user, password.reveal()])?,
                None => session.ask(&["AUTH", password.reveal()])?,
            };
            match said {
                Ok(_) => return Ok(session),
                Err(e) => refused = password.scrub(&e),
            }
        }
        Err(Fault::new(format!("the running server wants a password: {refused}")))
    }

    /// The replies to some commands, one connection for all: text, or the error's text.
    pub(super) fn answers(&self, commands: &[&[&str]]) -> Result<Vec<Result<Vec<String>, String>>, Fault> {
        let mut session = self.session()?;
        commands.iter().map(|parts| session.ask(parts)).collect()
    }

    /// The reply to one command, without a password: for an address that others have named.
    pub(super) fn answers_a_stranger(&self, command: &[&str]) -> Result<Result<Vec<String>, String>, Fault> {
        self.stranger()?.ask(command)
    }

    /// The next message of a channel, waited for as long as an exchange may take.
    pub(super) fn message(&self, channel: &str) -> Result<String, Fault> {
        let mut session = self.session()?;
        session.ask(&["SUBSCRIBE", channel])?.map_err(Fault::new)?;
        let message = session.reply()?.map_err(Fault::new)?;
        message.get(2).cloned().ok_or_else(|| Fault::new("no message"))
    }

    /// Nobody listens there.
    pub(super) fn is_refused(&self) -> bool {
        if let Door::Container { socket, id, .. } = &self.door
            && in_container::main_process(socket, id).is_ok_and(|pid| pid.is_none())
        {
            return true;
        }
        self.open().is_err_and(|f| ["ECONNREFUSED", "ENOENT"].iter().any(|e| f.says.contains(e)))
    }

    fn verb(&self) -> Result<String, Fault> {
        let none = || Fault::new("the server has no CONFIG: `rename-command` takes it away");
        config_command(self.file.as_deref()).ok_or_else(none)
    }

    fn set(&self, value: &str) -> Result<(), Fault> {
        let mut session = self.session()?;
        let said = session.ask(&[&self.verb()?, "SET", &self.directive, value])?;
        let scrub = |e: String| if self.is_secret { Secret::new(value).scrub(&e) } else { e };
        said.map(drop).map_err(|e| Fault::new(format!("CONFIG SET {}: {}", self.directive, scrub(e))))
    }
}

struct Session {
    io: Box<dyn Both>,
    reader: resp::Decoder,
}

impl Session {
    /// One command and its reply: text, or the error's text.
    fn ask(&mut self, parts: &[&str]) -> Result<Result<Vec<String>, String>, Fault> {
        let fault = |what: String| Fault::new(format!("the running server: {what}"));
        self.io.write_all(&resp::command(parts)).map_err(|e| fault(word(&e)))?;
        self.reply()
    }

    fn reply(&mut self) -> Result<Result<Vec<String>, String>, Fault> {
        let fault = |what: String| Fault::new(format!("the running server: {what}"));
        let mut buffer = [0u8; 4096];
        // One that drips bytes keeps each read within its limit.
        let until = sys::now() + LIMIT;
        loop {
            if sys::now() > until {
                return Err(fault("no whole reply in time".to_owned()));
            }
            match self.reader.next() {
                Ok(Some(value)) => return Ok(plain(&value)),
                Ok(None) => {}
                Err(e) => return Err(fault(format!("{e:?}"))),
            }
            match self.io.read(&mut buffer) {
                Ok(0) => return Err(fault("closed the connection".to_owned())),
                Ok(n) => self.reader.feed(&buffer[..n]),
                Err(e) => return Err(fault(word(&e))),
            }
        }
    }
}

/// A failed handshake is told by rustls, without an errno.
fn word(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        None if error.get_ref().is_some() => crate::text::shown_str(&error.to_string(), 200),
        _ => sys::errno_name(error),
    }
}

fn plain(value: &resp::Value) -> Result<Vec<String>, String> {
    if let resp::Value::Error(text) = value {
        return Err(crate::text::shown(text, 300));
    }
    match value.items() {
        Some(items) => Ok(items.iter().filter_map(resp::Value::text).collect()),
        None => Ok(value.text().into_iter().collect()),
    }
}

/// What CONFIG is called in a configuration file's server: `rename-command` may give it another name; none where it takes
/// the command away.
pub fn config_command(path: Option<&str>) -> Option<String> {
    let text = path.and_then(|p| sys::read(p, sys::FILE_MAX).ok()).unwrap_or_default();
    renamed_config(&text)
}

fn renamed_config(text: &[u8]) -> Option<String> {
    let document = redis_conf::Document::parse(text);
    let lines = document.find("rename-command").into_iter().rev().filter_map(|l| document.line(l));
    let mut names = lines.filter_map(|line| {
        let line = String::from_utf8_lossy(line).into_owned();
        let mut words = line.split_whitespace().skip(1).map(|w| w.trim_matches(['"', '\'']).to_owned());
        words.next().filter(|w| w.eq_ignore_ascii_case("config")).map(|_| words.next().unwrap_or_default())
    });
    Some(names.next().unwrap_or_else(|| "CONFIG".to_owned())).filter(|name| !name.is_empty())
}

/// The password that a configuration file sets, or the default user of its ACL file has in clear, read at the moment it
/// is needed.
pub fn requirepass_of(path: &str) -> Option<Secret> {
    let text = sys::read(path, sys::FILE_MAX).ok()?;
    let document = redis_conf::Document::parse(&text);
    if let Some(acl) = document.find("aclfile").last().and_then(|l| document.line(*l)) {
        let path = String::from_utf8_lossy(acl)
            .trim()
            .split_once(char::is_whitespace)?
            .1
            .trim()
            .trim_matches('"')
            .to_owned();
        let users = sys::read_text(path, sys::FILE_MAX).ok()?;
        let default = users.lines().find(|l| l.split_whitespace().take(2).eq(["user", "default"]))?;
        // `>word` is a password in clear, `#…` its digest (ACL SETUSER).
        return default.split_whitespace().find_map(|w| w.strip_prefix('>')).map(Secret::new);
    }
    let line = *document.find("requirepass").last()?;
    let line = String::from_utf8_lossy(document.line(line)?).into_owned();
    let value = line.trim().split_once(char::is_whitespace)?.1.trim();
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    Some(Secret::new(value))
}

impl Change for ConfigSet {
    fn says(&self) -> String {
        format!(
            "CONFIG SET {} {}",
            self.directive,
            if self.is_secret { "***" } else { self.value.as_deref().unwrap_or_default() }
        )
    }

    fn command(&self) -> Option<String> {
        let value = if self.is_secret {
            "…".to_owned()
        } else {
            format!("\"{}\"", self.value.as_deref().unwrap_or_default())
        };
        let door = match &self.door {
            Door::Tcp { at } => format!("-h {} -p {}", at.ip(), at.port()),
            Door::Tls { at, cert, key } => {
                format!("--tls --insecure --cert {cert} --key {key} -h {} -p {}", at.ip(), at.port())
            }
            Door::Unix { path } => format!("-s {path}"),
            Door::Container { engine, name, port, unix, .. } => {
                let name = crate::text::shell(name);
                let at = unix.as_ref().map_or_else(|| format!("-p {port}"), |path| format!("-s {path}"));
                return Some(format!(
                    "{engine} exec {name} redis-cli {at} CONFIG SET {} {value}",
                    self.directive
                ));
            }
        };
        Some(format!("redis-cli {door} CONFIG SET {} {value}", self.directive))
    }

    fn observe(&self) -> Result<State, Fault> {
        let mut session = self.session()?;
        let reply = session.ask(&[&self.verb()?, "GET", &self.directive])?;
        let reply = reply.map_err(|e| Fault::new(format!("CONFIG GET {}: {e}", self.directive)))?;
        let value = reply.get(1).cloned().unwrap_or_default();
        // Who may do CONFIG and no INFO does without.
        let info = session.ask(&["INFO", "server"])?.unwrap_or_default().concat();
        let of = |key: &str| info.lines().find_map(|l| l.strip_prefix(key)).map(str::to_owned);
        // A container counts its processes for itself.
        let process = match &self.door {
            Door::Container { socket, id, .. } => in_container::main_process(socket, id)?,
            _ => of("process_id:").and_then(|p| p.trim().parse::<u32>().ok()),
        };
        Ok(match self.is_secret {
            true => serde_json::json!({ "set": !value.is_empty(), "process": process }),
            false => serde_json::json!({ "value": value, "process": process }),
        })
    }

    fn is_back(&self, now: &State, before: &State) -> bool {
        // A server that was restarted meanwhile is another process, and has the setting or not.
        ["set", "value"].iter().all(|key| now[key] == before[key])
    }

    fn is_gone(&self, before: &State) -> bool {
        // A setting lives as long as its process does.
        before["process"].as_u64().is_some_and(|pid| sys::stat(format!("/proc/{pid}/exe")).is_err())
    }

    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if self.is_secret && before["set"] == true {
            return Err(Fault::conflict(format!("{} is set already", self.directive)));
        }
        match (&self.secret, &self.value) {
            (Some(secret), _) => self.set(secret.reveal()),
            (None, Some(value)) => self.set(value),
            (None, None) => Err(Fault::new("the value is not in memory any more")),
        }
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        if self.is_secret {
            now["set"] == true
        } else {
            self.value.as_deref().is_some_and(|v| now["value"] == v)
        }
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        if self.is_secret { self.set("") } else { self.set(before["value"].as_str().unwrap_or_default()) }
    }
}

#[cfg(test)]
mod tests {
    use super::renamed_config;

    #[test]
    fn config_by_another_name() {
        let of = |text: &str| renamed_config(text.as_bytes());
        assert_eq!(of("port 1\n").as_deref(), Some("CONFIG"));
        let other = "rename-command FLUSHALL \"\"\nrename-command config a1b2\n";
        assert_eq!(of(other).as_deref(), Some("a1b2"));
        assert_eq!(of("rename-command CONFIG \"\"\n"), None);
    }
}
