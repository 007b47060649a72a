//! A conversation with whatever answers at an address.

use serde::{Deserialize, Serialize};

/// What speaks at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaks {
    /// RESP: Redis, Valkey, KeyDB or a Sentinel.
    Resp,
    /// TLS records.
    Tls,
    /// HTTP.
    Http,
    /// An SSH banner.
    Ssh,
    /// Memcached.
    Memcached,
    /// MySQL or MariaDB greeting.
    Mysql,
    /// SMTP or FTP (a `220` greeting).
    Smtp,
    /// PostgreSQL.
    Postgres,
    /// A Redis Cluster bus.
    ClusterBus,
    /// Bytes of no known protocol.
    #[default]
    Unknown,
    /// Accepted, then never a byte before the deadline.
    Silent,
    /// Accepted, then closed by the peer without a byte.
    Closed,
    /// Accepted, then reset by the peer without a byte.
    Reset,
}

/// One reply, cut to a bounded length, unprintable bytes escaped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Reply {
    /// A simple or bulk string (or a bounded rendering of an aggregate).
    Text {
        /// The text.
        text: String,
    },
    /// An error; `word` is its first word (`NOAUTH`, `ERR`, `LOADING` …).
    Error {
        /// The first word.
        word: String,
        /// The whole line.
        text: String,
    },
    /// Null.
    Nil,
    /// No reply: `timeout`, `closed`, `reset`, `garbled: …`.
    None {
        /// What happened.
        what: String,
    },
}

impl Reply {
    /// The error word, for an error reply.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Error { word, .. } => Some(word),
            _ => None,
        }
    }
    /// The error text, for an error reply.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error { text, .. } => Some(text),
            _ => None,
        }
    }
    /// The text, for a text reply.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => Some(text),
            _ => None,
        }
    }
    /// It is +PONG.
    pub fn is_pong(&self) -> bool {
        self.text() == Some("PONG")
    }
}

/// The conversation with one address.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Talk {
    /// The address, or the socket path.
    pub to: String,
    /// Over TLS.
    pub tls: bool,
    /// What speaks there.
    pub speaks: Speaks,
    /// The first bytes, escaped and cut, when it is not RESP.
    pub first_bytes: Option<String>,
    /// Bytes that came before we sent any (`-DENIED`, `-ERR max number of clients reached`, a banner).
    pub unasked: Option<Reply>,
    /// Reply to AUTH, when a password was given.
    pub auth: Option<Reply>,
    /// Reply to PING.
    pub ping: Option<Reply>,
    /// Reply to PING sent before AUTH or without one, when AUTH was refused.
    pub ping_without_auth: Option<Reply>,
    /// Reply to SELECT, when a database was given.
    pub select: Option<Reply>,
    /// Time from PING to its reply, in milliseconds.
    pub ping_ms: Option<f64>,
    /// INFO fields that matter, where INFO was allowed (see [`Talk::info`]).
    pub info: Vec<(String, String)>,
    /// Reply to INFO when it was refused.
    pub info_refused: Option<Reply>,
    /// CONFIG GET values that matter (secrets as `set`/empty only), where allowed.
    pub config: Vec<(String, String)>,
    /// Reply to CONFIG GET when it was refused.
    pub config_refused: Option<Reply>,
    /// Name of the user `ACL WHOAMI` gave.
    pub whoami: Option<String>,
    /// Reply to HELLO without arguments, the last thing asked; an error on servers before 6.0 and in many proxies.
    #[serde(default)]
    pub hello: Option<Reply>,
    /// Recent entries of ACL LOG, as sentences, newest first.
    pub acl_log: Vec<String>,
}

impl Talk {
    /// A field of INFO: `role`, `loading`, `run_id`, `redis_version`, `maxclients` …
    pub fn info(&self, key: &str) -> Option<&str> {
        self.info.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
    /// A value of CONFIG GET.
    pub fn config(&self, key: &str) -> Option<&str> {
        self.config.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
    /// PING was answered by PONG.
    pub fn pong(&self) -> bool {
        self.ping.as_ref().is_some_and(Reply::is_pong)
    }
}
