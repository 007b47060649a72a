//! Connections that fail before anybody answers: no route, no local port, no descriptor, a socket file.

use super::{CONNECT, REPLY, Rule, Weights, rule};
use crate::explain::address::Address;
use crate::explain::text::Text;

/// Each that matches counts.
pub(super) const RULES: &[Rule] = &[
    rule(
        "no route to the host",
        winsock!(
            10065,
            "wsaehostunreach",
            "ehostunreach",
            "no route to host",
            "noroutetohost",
            "error 113",
            "error 65 ",
            "errno 113",
            "errno 65]",
            "host is unreachable",
            "host unreachable",
            "unreachable host",
            "ehostdown",
            "host is down",
        ),
        &[
            ("host-unreachable", 0.43),
            ("server-firewall-rejects", 0.37),
            ("path-firewall-blocks", 0.08),
            ("stale-address", 0.05),
        ],
    ),
    rule(
        "not permitted by a rule here",
        &["operation not permitted", "eperm"],
        &[("client-firewall-blocks", 0.75), ("mac-denied", 0.12)],
    )
    .with(&["connect", "sendto", "dial tcp"]),
    rule(
        "the client is out of descriptors",
        &["emfile", "enfile", "too many open files", "error 24 ", "errno 24]"],
        &[("client-fds-exhausted", 0.85), ("server-fds-exhausted", 0.08)],
    )
    .unless(&["error accepting"]),
    rule(
        "no local port is left",
        winsock!(
            10055,
            "wsaenobufs",
            "only one usage of each socket address",
            "lacked sufficient buffer space",
        ),
        &[("client-ports-exhausted", 0.85), ("port-taken", 0.05)],
    )
    .unless(&["listening socket", "bind:"]),
];

/// ENETUNREACH: Linux 101, macOS 51.
pub(super) const UNREACHABLE: &[&str] = winsock!(
    10051,
    "wsaenetunreach",
    "enetunreach",
    "network is unreachable",
    "network unreachable",
    "error 101 ",
    "error 51 ",
    "errno 101",
);

/// EADDRNOTAVAIL: Linux 99, macOS 49.
pub(super) const NOT_AVAILABLE: &[&str] = winsock!(
    10049,
    "wsaeaddrnotavail",
    "cannot assign requested address",
    "can't assign requested address",
    "eaddrnotavail",
    "error 99 ",
    "error 49 ",
    "errno 99",
);

/// The same from a server that binds.
pub(super) const LISTENING: &[&str] = &["listening socket", "could not create server tcp", "bind:"];

/// What depends on the address: EADDRNOTAVAIL, ENETUNREACH, EACCES, ENOENT.
pub(super) fn local(text: &Text, dialled: Option<&Address>, weights: &mut Weights) {
    if text.any(UNREACHABLE) {
        let shares: &[(&str, f64)] = if dialled.is_some_and(Address::is_v6) {
            &[("family-mismatch", 0.5), ("host-unreachable", 0.4)]
        } else if dialled.is_some_and(Address::is_docker_like) {
            // Nobody configures such an address: a node inside announced it.
            &[("announced-unreachable", 0.45), ("host-unreachable", 0.35), ("stale-address", 0.06)]
        } else {
            &[("host-unreachable", 0.7), ("family-mismatch", 0.1), ("server-firewall-rejects", 0.05)]
        };
        weights.add("no route to the network", CONNECT, shares);
    }
    // 0.0.0.0/8 is no host's (RFC 1122, 3.2.1.3): a cut address, or a number in its place.
    if dialled.is_some_and(|a| a.host.starts_with("0.") && a.host != "0.0.0.0") {
        weights.add("an address of no host", CONNECT, &[("url-malformed", 0.5), ("wrong-host", 0.35)]);
    }
    not_available(text, dialled, weights);
    socket(text, dialled, weights);
}

fn not_available(text: &Text, dialled: Option<&Address>, weights: &mut Weights) {
    if !text.any(NOT_AVAILABLE) || text.any(LISTENING) {
        return;
    }
    let by_name = dialled.is_some_and(|a| a.host.eq_ignore_ascii_case("localhost") || a.host == "::1");
    if text.has("time_wait") || !by_name {
        let shares =
            &[("client-ports-exhausted", 0.75), ("loopback-in-container", 0.12), ("family-mismatch", 0.05)];
        weights.add("no local port or address is left", REPLY, shares);
        return;
    }
    // A container without ::1 answers a dial to localhost with this errno.
    let shares: &[(&str, f64)] = if text.has("cannot connect to redis://") {
        &[("loopback-in-container", 0.6), ("settings-not-applied", 0.14), ("second-client-on-defaults", 0.1)]
    } else {
        &[
            ("second-client-on-defaults", 0.38),
            ("loopback-in-container", 0.32),
            ("settings-not-applied", 0.16),
        ]
    };
    weights.add("localhost inside a container", REPLY, shares);
}

fn socket(text: &Text, dialled: Option<&Address>, weights: &mut Weights) {
    // A connect that answers ENOENT was to a path, whether it is shown or not.
    let path =
        dialled.is_some_and(Address::is_socket) || text.any(&[".sock", "unix:", "unix socket", "unix://"]);
    let php = text.has("redisexception") && !text.any(&["config file", "rdb"]);
    let denied = text.any(&["permission denied", "eacces", "error 13 "]);
    let gone = text.any(&["no such file", "enoent", "error 2 connecting"]);
    if path && denied {
        weights.add("the socket may not be opened", REPLY, &[("socket-denied", 0.9), ("mac-denied", 0.05)]);
    } else if (path || php) && gone && !weights_spoke(weights) {
        weights.add("the socket is not there", REPLY, &[("socket-missing", 0.75), ("service-stopped", 0.18)]);
    } else if denied && text.any(&["connect", "socket"]) && !weights_spoke(weights) {
        let shares = &[
            ("mac-denied", 0.5),
            ("server-firewall-rejects", 0.15),
            ("socket-denied", 0.15),
            ("client-firewall-blocks", 0.1),
        ];
        weights.add("the connection is not permitted", CONNECT, shares);
    }
}

/// The server's own words explain a path or a permission better.
fn weights_spoke(weights: &Weights) -> bool {
    weights.causes.values().any(|w| *w >= REPLY * 0.5)
}
