//! What is asked, in which order, and where each reply goes.

use super::{Channel, Conversation};
use crate::evidence::client::{Reply, Speaks, Talk};
use crate::secret::Secret;
use crate::sys;
use crate::wire::{Value, command, recognise};
use std::time::{Duration, Instant};

/// A PING without an answer for this long is worth looking elsewhere meanwhile.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Who we say we are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Login<'a> {
    /// User name.
    pub user: Option<&'a str>,
    /// Password.
    pub password: Option<&'a Secret>,
    /// Database.
    pub db: Option<u32>,
}

/// INFO fields that causes read.
const INFO: &[&str] = &[
    "redis_version",
    "valkey_version",
    "server_name",
    "redis_mode",
    "run_id",
    "process_id",
    "tcp_port",
    "config_file",
    "executable",
    "uptime_in_seconds",
    "os",
    "role",
    "master_host",
    "master_port",
    "master_link_status",
    "master_link_down_since_seconds",
    "master_sync_in_progress",
    "master_last_io_seconds_ago",
    "slave_read_only",
    "connected_slaves",
    "min_slaves_good_slaves",
    "master_failover_state",
    "loading",
    "async_loading",
    "loading_start_time",
    "loading_eta_seconds",
    "loading_loaded_perc",
    "loading_total_bytes",
    "loading_loaded_bytes",
    "used_memory",
    "used_memory_rss",
    "maxmemory",
    "maxmemory_policy",
    "total_system_memory",
    "mem_clients_normal",
    "connected_clients",
    "cluster_connections",
    "maxclients",
    "blocked_clients",
    "rejected_connections",
    "total_connections_received",
    "rdb_last_bgsave_status",
    "rdb_bgsave_in_progress",
    "rdb_changes_since_last_save",
    "rdb_last_save_time",
    "aof_enabled",
    "aof_last_write_status",
    "aof_last_bgrewrite_status",
    "aof_rewrite_in_progress",
    "cluster_enabled",
    "total_error_replies",
    "evicted_keys",
    "evicted_clients",
    "acl_access_denied_auth",
    "acl_access_denied_cmd",
    "io_threads_active",
    "sentinel_masters",
    "sentinel_tilt",
    "listener0",
    "listener1",
    "listener2",
    "listener3",
];

/// CONFIG values that causes read; none of them is a secret.
const CONFIG: &[&str] = &[
    "bind",
    "port",
    "tls-port",
    "protected-mode",
    "unixsocket",
    "unixsocketperm",
    "maxclients",
    "timeout",
    "tcp-keepalive",
    "tcp-backlog",
    "dir",
    "dbfilename",
    "logfile",
    "pidfile",
    "appendonly",
    "maxmemory",
    "maxmemory-policy",
    "cluster-enabled",
    "cluster-announce-ip",
    "cluster-announce-port",
    "cluster-announce-tls-port",
    "cluster-announce-bus-port",
    "cluster-announce-hostname",
    "cluster-require-full-coverage",
    "replica-serve-stale-data",
    "replica-announce-ip",
    "replica-announce-port",
    "min-replicas-to-write",
    "stop-writes-on-bgsave-error",
    "aclfile",
    "supervised",
    "replicaof",
    "loadmodule",
    "tls-auth-clients",
    "tls-protocols",
    "databases",
    "rename-command",
];

/// What a conversation is held with.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The address or the socket's path.
    pub to: String,
    /// Over TLS.
    pub tls: bool,
    /// Nobody on the way can read what is said (loopback, unix socket).
    pub private: bool,
}

/// Talks until everything is told that will be. `limit` bounds each of the two waits. `waiting` is called once when
/// PING has had no answer for [`PATIENCE`].
pub fn converse(
    io: &mut dyn Conversation,
    peer: Peer,
    login: Login<'_>,
    limit: Duration,
    waiting: &mut dyn FnMut(),
) -> Talk {
    let Peer { to, tls, private } = peer;
    let mut talk = Talk { to, tls, ..Talk::default() };
    let mut channel = Channel::new(io, login.password);
    let before = sys::now();
    let deadline = before + limit;
    channel.send(&command(&["PING"]), deadline);
    let soon = deadline.min(before + PATIENCE);
    let mut ping = channel.reply(soon);
    if matches!(&ping, Reply::None { what } if what.starts_with("timeout")) && soon < deadline {
        waiting();
        ping = channel.reply(deadline);
    }
    talk.ping_ms = Some(before.elapsed().as_secs_f64() * 1e3);
    talk.speaks = speaks(&channel, &ping);
    if talk.speaks != Speaks::Resp {
        if !channel.first().is_empty() {
            talk.first_bytes = Some(channel.clean(channel.first(), 120));
        }
        talk.ping = Some(ping);
        return talk;
    }
    if unasked(&ping) {
        talk.unasked = Some(ping);
        // The server closes behind it; only a proxy would go on.
        talk.ping = Some(channel.reply(deadline.min(sys::now() + Duration::from_millis(50))));
        return talk;
    }
    if !is_redis(&ping) || channel.ended() {
        talk.ping = Some(ping);
        return talk;
    }
    second_round(&mut channel, &mut talk, ping, private, login, sys::now() + limit);
    talk
}

fn second_round(
    channel: &mut Channel<'_>,
    talk: &mut Talk,
    ping: Reply,
    private: bool,
    login: Login<'_>,
    deadline: Instant,
) {
    let mut bytes = Vec::new();
    let mut send = |parts: &[&str]| bytes.extend_from_slice(&command(parts));
    if let Some(password) = login.password {
        match login.user {
            Some(user) if !user.is_empty() => send(&["AUTH", user, password.reveal()]),
            _ => send(&["AUTH", password.reveal()]),
        }
        send(&["PING"]);
    }
    let db = login.db.map(|n| n.to_string());
    if let Some(db) = &db {
        send(&["SELECT", db]);
    }
    send(&["INFO"]);
    let mut config = vec!["CONFIG", "GET"];
    config.extend_from_slice(CONFIG);
    // The reply holds the password itself: asked for only where nobody can listen, and not kept.
    if private {
        config.push("requirepass");
    }
    send(&config);
    send(&["ACL", "WHOAMI"]);
    send(&["HELLO"]);
    channel.send(&bytes, deadline);

    let started = sys::now();
    if login.password.is_some() {
        talk.auth = Some(channel.reply(deadline));
        talk.ping_without_auth = Some(ping);
        talk.ping = Some(channel.reply(deadline));
        talk.ping_ms = Some(started.elapsed().as_secs_f64() * 1e3);
    } else {
        talk.ping = Some(ping);
    }
    if db.is_some() {
        talk.select = Some(channel.reply(deadline));
    }
    match channel.value(deadline) {
        Ok(Value::Text(text)) => talk.info = info(channel, &text),
        Ok(other) => talk.info_refused = Some(channel.keep(&other)),
        Err(what) => talk.info_refused = Some(Reply::None { what }),
    }
    let config = channel.value(deadline);
    if let Ok(Value::Text(name)) = channel.value(deadline) {
        talk.whoami = Some(channel.clean(&name, 100));
    }
    talk.hello = Some(channel.reply(deadline));
    match config {
        Ok(value) if value.items().is_some() => keep_config(channel, talk, &value),
        Ok(Value::Error(text)) if text.to_ascii_lowercase().windows(16).any(|w| w == b"number of argume") => {
            one_by_one(channel, talk, private, deadline);
        }
        Ok(other) => talk.config_refused = Some(channel.keep(&other)),
        Err(what) => talk.config_refused = Some(Reply::None { what }),
    }
    acl_log(channel, talk, private, deadline);
}

/// Asked only of a server that has shown us CONFIG, so that a limited user's refusals do not fill that very log; and
/// only where it is near or something is wrong, since it is a third round trip.
fn acl_log(channel: &mut Channel<'_>, talk: &mut Talk, private: bool, deadline: Instant) {
    let refused = [&talk.auth, &talk.ping, &talk.select].into_iter().flatten().any(|r| r.word().is_some());
    if talk.config.is_empty() || talk.whoami.is_none() || !(private || refused) {
        return;
    }
    channel.send(&command(&["ACL", "LOG", super::acl::ENTRIES]), deadline);
    if let Ok(log) = channel.value(deadline) {
        talk.acl_log = super::acl::sentences(channel, &log);
    }
}

/// Before Redis 7.0, CONFIG GET takes one argument.
fn one_by_one(channel: &mut Channel<'_>, talk: &mut Talk, private: bool, deadline: Instant) {
    let keys: Vec<&str> = CONFIG.iter().copied().chain(private.then_some("requirepass")).collect();
    let bytes: Vec<u8> = keys.iter().flat_map(|key| command(&["CONFIG", "GET", key])).collect();
    channel.send(&bytes, deadline);
    for _ in &keys {
        match channel.value(deadline) {
            Ok(value) if value.items().is_some() => keep_config(channel, talk, &value),
            Ok(other) => talk.config_refused = Some(channel.keep(&other)),
            Err(what) => {
                talk.config_refused = Some(Reply::None { what });
                return;
            }
        }
    }
}

fn keep_config(channel: &Channel<'_>, talk: &mut Talk, value: &Value) {
    for (key, value) in value.pairs() {
        if key == "requirepass" {
            let set = value.text().is_some_and(|v| !v.is_empty());
            talk.config.push((key, if set { "set".to_owned() } else { String::new() }));
        } else if CONFIG.contains(&key.as_str()) {
            let text = value.text().unwrap_or_default();
            talk.config.push((key, channel.clean(text.as_bytes(), 500)));
        }
    }
}

fn info(channel: &Channel<'_>, text: &[u8]) -> Vec<(String, String)> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .filter(|(key, _)| INFO.contains(key) || master_line(key))
        .take(200)
        .map(|(key, value)| (key.to_owned(), channel.clean(value.as_bytes(), 300)))
        .collect()
}

/// `master0:name=…` of a Sentinel's INFO, `slave0:ip=…` of a primary's.
fn master_line(key: &str) -> bool {
    ["master", "slave"].iter().any(|prefix| {
        key.strip_prefix(prefix)
            .is_some_and(|n| !n.is_empty() && n.len() < 4 && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Replies that Redis sends on accept, before it has read anything (networking.c, acceptCommonHandler).
fn unasked(reply: &Reply) -> bool {
    match reply {
        Reply::Error { word, text } => word == "DENIED" || text.starts_with("ERR max number of clients"),
        _ => false,
    }
}

/// PONG, or an error as Redis words them: enough to trust it with a password meant for it.
fn is_redis(reply: &Reply) -> bool {
    match reply {
        Reply::Text { .. } => reply.is_pong(),
        Reply::Error { word, .. } => !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase()),
        _ => false,
    }
}

fn speaks(channel: &Channel<'_>, first: &Reply) -> Speaks {
    let what = match first {
        Reply::None { what } => what.as_str(),
        _ => return Speaks::Resp,
    };
    if channel.first().is_empty() {
        return match what {
            _ if what.starts_with("closed") => Speaks::Closed,
            _ if what.starts_with("reset") => Speaks::Reset,
            _ => Speaks::Silent,
        };
    }
    match recognise(channel.first()) {
        Speaks::Resp if what.starts_with("garbled") => Speaks::Unknown,
        other => other,
    }
}
