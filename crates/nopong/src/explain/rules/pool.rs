//! The client's own pool, threads and queues.

use super::{CONNECT, REPLY, Rule, WRAPPER, Weights, refused, rule};
use crate::explain::address::Address;
use crate::explain::text::Text;

/// The first that matches counts.
pub(super) const RULES: &[Rule] = &[
    rule(
        "the client's pool is empty",
        &[
            "pool is exhausted",
            "jedisexhaustedpoolexception",
            "return the resource to the pool",
            "return the broken resource to the pool",
            "connection pool timeout",
            "connection pool exhausted",
            "no connection available.",
            "unable to get connection!",
            "timeout waiting for idle object",
            "too many connections",
            "pool exhausted",
            "pool timed out",
            "timeout waiting for connection from pool",
            "timed out waiting for connection",
            "all pooled connections were in use",
            "timeouterror: queue",
            "could not checkout",
            "connectionpool::timeouterror",
            "unable to acquire connection!",
            "increase connection pool size",
            "maxconnectionserror",
            "max connections exceeded",
            "acquire timeout",
        ],
        &[("client-pool-exhausted", 0.82), ("clients-exhausted", 0.06), ("hung", 0.04)],
    ),
    rule(
        "the client waits for a thread or a reply",
        &["worker: (busy=", "timeout performing ", "timeout awaiting response"],
        &[("client-pool-exhausted", 0.55), ("hung", 0.15), ("busy-script", 0.08), ("tls-required", 0.04)],
    ),
    rule(
        "no reply in time",
        &["redis server response timeout", "redisresponsetimeoutexception"],
        &[
            ("hung", 0.36),
            ("client-pool-exhausted", 0.26),
            ("idle-connection-cut", 0.12),
            ("tls-required", 0.1),
        ],
    ),
];

/// What a client says after, or instead of, the error that it had.
pub(super) const NO_WORD_WHY: &[&str] = &[
    "failed connecting to host",
    "unabletoconnect",
    "it was not possible to connect",
    "could not get a resource from the pool",
    "unable to connect to redis",
    "could not connect to redis",
    "failed to connect to redis",
    "cannot connect to redis",
    "cannot connect to server",
    "connection failure occurred",
    "redis server went away",
    "max retries per request",
    "please check the connection details",
    "connection is closed",
    "redis connection failed",
    "redis is not available",
    "redis is unavailable",
    "failed to reach redis",
    "redis connection error",
    "econn failure",
    "redisconnectionexception: unable to connect to",
    "can't connect to server",
    "no connection is active/available",
    "enableofflinequeue",
];

/// A timeout that is of the pool, not of the network.
pub(super) fn is_empty(text: &Text) -> bool {
    RULES.iter().any(|r| r.matches(text))
}

/// The pool's rules, and the clients that do not say why.
pub(super) fn weigh(text: &Text, dialled: Option<&Address>, refused: bool, weights: &mut Weights) {
    // A pool that could not be filled is not exhausted: why not stands beside it.
    let explained = refused || !weights.recognised.is_empty();
    let wrapped = text.has("could not get a resource from the pool") && explained;
    if !wrapped {
        weights.first(text, REPLY, RULES);
    }
    let explained = refused || !weights.recognised.is_empty();
    if !explained && text.any(NO_WORD_WHY) {
        let loopback = dialled.filter(|a| a.is_loopback() && !a.is_v6());
        let shares: &[(&str, f64)] = if let Some(a) = loopback {
            // On loopback nothing is in the way: it was refused, whatever the client calls it.
            refused::odds(text, Some(a)).1
        } else if text.has("unabletoconnect") && text.has("interactive") {
            &[
                ("service-stopped", 0.22),
                ("server-firewall-drops", 0.18),
                ("client-library-fault", 0.16),
                ("settings-not-applied", 0.12),
                ("tls-required", 0.08),
            ]
        } else if text.has("server went away") {
            &[("service-stopped", 0.34), ("idle-connection-cut", 0.26), ("server-firewall-drops", 0.1)]
        } else if text.has("connection failure occurred") {
            &[("settings-not-applied", 0.3), ("service-stopped", 0.25), ("server-firewall-drops", 0.15)]
        } else if text.has("failed connecting to host") {
            &[
                ("server-firewall-drops", 0.28),
                ("service-stopped", 0.24),
                ("bind-loopback-only", 0.14),
                ("port-not-published", 0.1),
                ("wrong-host", 0.06),
            ]
        } else {
            &[
                ("service-stopped", 0.27),
                ("settings-not-applied", 0.2),
                ("server-firewall-drops", 0.12),
                ("loopback-in-container", 0.1),
                ("bind-loopback-only", 0.08),
                ("tls-required", 0.05),
            ]
        };
        weights.add("no connection, and no word why", CONNECT * 0.6, shares);
    }
    if text.any(&["enableofflinequeue", "stream isn't writeable"]) {
        let shares = &[("not-ready", 0.4), ("client-library-fault", 0.3)];
        weights.add("a command before the connection was there", WRAPPER, shares);
    }
}
