//! Nothing comes back in time, or the connection is cut.

use super::{CONNECT, Rule, WRAPPER, Weights, place, pool, rule};
use crate::explain::address::Address;
use crate::explain::text::Text;

/// The connection attempt itself had no answer: Linux 110, macOS 60, Windows 10060.
pub(super) const CONNECTING: &[&str] = winsock!(
    10060,
    "wsaetimedout",
    "connect etimedout",
    "error 110 ",
    "error 60 ",
    "errno 110]",
    "errno 60]",
    "os error 110",
    "winerror 121",
    "connecttimeout",
    "connectiontimeouterror",
    "connection timeout",
    "connection timed out",
    "connect timed out",
    "connect timeout",
    "operation timed out",
    "timeout connecting to server",
    "timed out connecting",
    "connection attempt failed because",
    "any host resolved",
    "operation was canceled",
    "dial tcp",
    "dial timeout",
    "timeout on connect",
);

/// A reply did not come.
pub(super) const WAITING: &[&str] = &[
    "i/o timeout",
    "command timed out",
    "read timed out",
    "timeout reading from socket",
    "timeouterror",
    "timeoutexception",
    "timed out",
    "etimedout",
    "deadline exceeded",
    "read error on connection",
    "resource temporarily unavailable",
    "not respond",
    "no response",
];

/// Timeouts of something else.
pub(super) const NOT_THE_NETWORK: &[&str] = &[
    "timeout performing",
    "timeout awaiting response",
    "start operation timed out",
    "watchdog timeout",
    "probe failed",
    "response timeout",
    "handshake timeout",
    "handshake timed out",
    "failed with result 'timeout'",
    "waiting on response",
    "master timed out",
];

/// The first that matches counts.
pub(super) const CUT: &[Rule] = &[
    rule(
        "cut while it was held and unused",
        // redis-py looks at a connection of its pool, or waits for a message of a subscription.
        &["connection.can_read(", "in can_read", "in get_message", "health_check_interval"],
        &[("idle-connection-cut", 0.6), ("tls-required", 0.1), ("network-policy-blocks", 0.06)],
    )
    .with(&["reset by peer", "closed by server", "broken pipe", "(10054)", "winerror 10054"]),
    rule(
        "cut while it was starting to talk",
        &["connection closed prematurely", "read econnreset"],
        &[
            ("tls-required", 0.46),
            ("idle-connection-cut", 0.22),
            ("clients-exhausted", 0.1),
            ("bind-loopback-only", 0.04),
        ],
    )
    .unless(&["tlswrap", "tlssocket"]),
    rule(
        "an established connection was cut",
        &[
            "socket closed unexpectedly",
            "socketclosedunexpectedly",
            "unexpected end of stream",
            "broken pipe",
            "epipe",
            "read econnreset",
            "while writing to socket",
            "connection lost and command aborted",
            "redisconnectionclosedexception",
            "bad pubsub connection",
            "socketclosed on",
            "connection lost",
        ],
        &[
            ("idle-connection-cut", 0.52),
            ("tls-required", 0.14),
            ("network-policy-blocks", 0.07),
            ("supervisor-kills", 0.05),
            ("clients-exhausted", 0.05),
        ],
    ),
    rule(
        "closed by the other side",
        &[
            "disconnected by peer",
            "connection closed by server",
            "closed the connection",
            "closed by the remote host",
            "unexpected eof",
            "connection closed",
            "connection is closed",
            "error while reading line from the server",
            "socketfailure",
            "socket closed",
            ": eof",
            "read error on connection",
        ],
        &[
            ("tls-required", 0.36),
            ("idle-connection-cut", 0.26),
            ("clients-exhausted", 0.1),
            ("service-stopped", 0.05),
            ("bind-loopback-only", 0.05),
        ],
    )
    .unless(winsock!(10061, "wsaeconnrefused", "refused",)),
    rule(
        "reset, with both ends named",
        // Go names both ends only of an established connection: a mesh or a policy cut it, or TLS was wanted.
        &["read tcp", "reset by peer"],
        &[
            ("network-policy-blocks", 0.28),
            ("tls-required", 0.27),
            ("idle-connection-cut", 0.22),
            ("clients-exhausted", 0.06),
        ],
    )
    .with(&["reset by peer"])
    .unless(&["error while reading", "writing to socket"]),
    rule(
        "reset by the other side",
        winsock!(
            10054,
            "wsaeconnreset",
            "econnreset",
            "connection reset",
            "error 104 ",
            "errno 104",
            "errno 54]",
            "os error 104",
            "forcibly closed",
        ),
        &[
            ("tls-required", 0.4),
            ("idle-connection-cut", 0.24),
            ("network-policy-blocks", 0.13),
            ("clients-exhausted", 0.06),
        ],
    ),
];

/// Timeouts and cuts. Beside a refusal they are what the client did afterwards.
pub(super) fn weigh(text: &Text, dialled: Option<&Address>, refused: bool, weights: &mut Weights) {
    let weight = if refused { WRAPPER } else { CONNECT };
    timed_out(text, dialled, weight, weights);
    // A service that takes TLS only closes on the first plain byte.
    let plain = text.any(place::MANAGED) && !text.any(&["rediss:", ":6380", "tlssocket", "tlswrap"]);
    if plain && CUT.iter().any(|r| r.matches(text)) {
        let shares = &[("tls-required", 0.52), ("idle-connection-cut", 0.26), ("clients-exhausted", 0.06)];
        weights.add("cut by a service that mostly takes TLS only", weight, shares);
    } else {
        weights.first(text, weight, CUT);
    }
}

fn timed_out(text: &Text, dialled: Option<&Address>, weight: f64, weights: &mut Weights) {
    // The bare word stands in options as well: it counts where nothing else does.
    let waiting = text.any(WAITING) || (weights.recognised.is_empty() && text.has("timeout"));
    let connecting = text.any(CONNECTING) && (waiting || !text.has("dial tcp"));
    if (!connecting && !waiting) || text.any(NOT_THE_NETWORK) || pool::is_empty(text) {
        return;
    }
    // redis-rb has another class for connecting; a prompt that hangs and Go's `read tcp` are connected.
    let established = text.any(&[
        "redis::timeouterror",
        "read tcp",
        "read timed out",
        "reading from socket",
        "command timed out",
        "hello timed out",
        "read error on connection",
        "rescue in io",
    ]) && !text.any(&["connect timed out", "connect etimedout", "dial tcp"]);
    let managed = text.any(place::MANAGED);
    let cloud = text.any(place::CLOUD);
    let bridge = dialled.is_some_and(Address::is_docker_like);
    if established || (!connecting && !bridge) {
        let shares: &[(&str, f64)] = if managed && !text.has("rediss:") {
            &[("tls-required", 0.5), ("cloud-firewall-blocks", 0.2), ("idle-connection-cut", 0.1)]
        } else if text.any(&["command timed out", "after 1 minute", "commandtimeout"]) {
            &[
                ("hung", 0.26),
                ("tls-required", 0.24),
                ("idle-connection-cut", 0.22),
                ("busy-script", 0.08),
                ("client-pool-exhausted", 0.05),
            ]
        } else if established {
            &[
                ("tls-required", 0.3),
                ("hung", 0.26),
                ("idle-connection-cut", 0.12),
                ("busy-script", 0.08),
                ("server-firewall-drops", 0.08),
            ]
        } else {
            &[
                ("tls-required", 0.3),
                ("server-firewall-drops", 0.2),
                ("cloud-firewall-blocks", 0.14),
                ("hung", 0.12),
                ("idle-connection-cut", 0.08),
            ]
        };
        weights.add("no answer in time", weight, shares);
    } else if managed && !text.has("rediss:") {
        let shares =
            &[("cloud-firewall-blocks", 0.5), ("tls-required", 0.26), ("server-firewall-drops", 0.06)];
        weights.add("no answer from a managed service", weight, shares);
    } else if cloud || dialled.is_some_and(Address::is_public) {
        let shares = &[
            ("cloud-firewall-blocks", 0.5),
            ("server-firewall-drops", 0.25),
            ("tls-required", 0.06),
            ("wrong-host", 0.05),
        ];
        weights.add("no answer from a cloud host", weight, shares);
    } else if bridge {
        let shares = &[
            ("announced-unreachable", 0.45),
            ("server-firewall-drops", 0.2),
            ("wrong-host", 0.1),
            ("host-unreachable", 0.08),
        ];
        weights.add("no answer from a container's address", weight, shares);
    } else {
        let shares = &[
            ("server-firewall-drops", 0.34),
            ("cloud-firewall-blocks", 0.28),
            ("path-firewall-blocks", 0.1),
            ("wrong-host", 0.06),
            ("network-policy-blocks", 0.05),
            ("tls-required", 0.05),
            ("host-unreachable", 0.04),
        ];
        weights.add("no answer to the connection attempt", weight, shares);
    }
}
