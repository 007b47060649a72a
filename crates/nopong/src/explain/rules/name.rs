//! Names that do not resolve, in each language's and system's words.

use super::{CONNECT, Weights, place};
use crate::explain::address::Address;
use crate::explain::text::Text;

/// There is no such name, as far as the resolver knows.
pub(super) const MISSING: &[&str] = &[
    "enotfound",
    "enodata",
    "name or service not known",
    "nodename nor servname",
    "no such host",
    "host not found",
    "eai_noname",
    "eai_nodata",
    "unknownhostexception",
    "name does not resolve",
    "no address associated",
    "hostname could not be resolved",
    "failed to resolve",
    "failed to lookup address",
    "getaddrinfo failed",
    "getaddrinfo for ",
    "nxdomain",
    "unknown host",
    "error -2 connecting",
    "error -5 connecting",
    "error 11001",
    "(11001)",
    "11001 connecting",
    "error 8 connecting",
    "could not resolve host",
    "cannot resolve",
    "couldn't resolve",
    "unresolvedaddress",
    "name resolution failed",
    "hôte inconnu",
    "不知道这样的主机",
    "host is unknown",
];

/// The resolver gave no answer, or one that may change.
pub(super) const AGAIN: &[&str] = &[
    "eai_again",
    "eai_fail",
    "temporary failure in name",
    "error -3 connecting",
    "(11002)",
    "error 11002",
    "server misbehaving",
    "esrvfail",
    "servfail",
    "dns timeout",
    "querya etimeout",
    "querya econnrefused",
    "queryaaaa econnrefused",
    ":53: i/o timeout",
    ":53: read: connection refused",
    "dns query timed out",
    "dnsnameresolvertimeout",
    "lookup timed out",
    "query timed out",
];

/// Names by which stacks call their Redis service; unresolved, the client is not on that stack's network.
const SERVICE_NAMES: &[&str] = &[
    "redis",
    "valkey",
    "cache",
    "redis-server",
    "redis-master",
    "redis-primary",
    "keydb",
    "redis-cache",
    "broker",
    "queue",
    "dragonfly",
    "redis-stack",
    "redisdb",
];

/// The rule about names; whether it spoke, in which case nothing was ever dialled.
pub(super) fn weigh(text: &Text, dialled: Option<&Address>, weights: &mut Weights) -> bool {
    let lookup = dialled.is_some_and(|a| {
        // `dial tcp: lookup HOST: i/o timeout`
        text.lower_after("lookup ").any(|rest| {
            let line = rest.lines().next().unwrap_or_default();
            line.starts_with(&a.host.to_ascii_lowercase())
                && (line.contains("i/o timeout") || line.contains("connection refused"))
        })
    });
    let again = lookup || text.any(AGAIN);
    let missing = text.any(MISSING) && !lookup;
    if !missing && !again {
        return false;
    }
    let service = dialled.is_none_or(|a| SERVICE_NAMES.contains(&a.host.to_lowercase().as_str()));
    let single = dialled.is_none_or(Address::is_single_label);
    let managed = text.any(place::MANAGED) || text.any(&["amazonaws.com", "redislabs.com", "heroku"]);
    let cluster = text.has(".svc.cluster.local");
    let server =
        lookup || text.any(&["querya econnrefused", ":53: ", "servfail", "esrvfail", "server misbehaving"]);
    let shares: &[(&str, f64)] = match (again && !missing, service, single) {
        (true, false, _) if server => &[("resolver-unavailable", 0.75), ("name-not-found", 0.12)],
        (true, true, _) if server => {
            &[("resolver-unavailable", 0.5), ("name-on-other-network", 0.25), ("container-crashing", 0.1)]
        }
        (true, _, true) => &[
            ("name-on-other-network", 0.45),
            ("container-crashing", 0.2),
            ("resolver-unavailable", 0.15),
            ("name-not-found", 0.12),
        ],
        (true, _, false) => {
            &[("resolver-unavailable", 0.6), ("name-not-found", 0.2), ("name-on-other-network", 0.08)]
        }
        (false, true, _) => {
            &[("name-on-other-network", 0.5), ("name-not-found", 0.32), ("container-crashing", 0.08)]
        }
        (false, false, true) => {
            &[("name-not-found", 0.55), ("name-on-other-network", 0.3), ("container-crashing", 0.06)]
        }
        (false, false, false) if managed => {
            &[("endpoint-moved", 0.45), ("name-not-found", 0.4), ("resolver-unavailable", 0.05)]
        }
        (false, false, false) if cluster => {
            &[("name-not-found", 0.55), ("name-on-other-network", 0.2), ("no-ready-endpoints", 0.12)]
        }
        (false, false, false) => &[
            ("name-not-found", 0.65),
            ("endpoint-moved", 0.15),
            ("name-on-other-network", 0.08),
            ("url-malformed", 0.05),
        ],
    };
    weights.add("the name does not resolve", CONNECT, shares);
    true
}
