//! Sentinel and cluster: who is primary, where the nodes say they are, and what a client makes of it.

use super::{REPLY, Rule, Weights, rule};
use crate::explain::address::Address;
use crate::explain::text::Text;

/// The first that matches counts.
pub(super) const RULES: &[Rule] = &[
    rule(
        "no primary",
        &[
            "no master found",
            "no such master",
            "all sentinels are unreachable",
            "all sentinels specified in configuration are unreachable",
            "all sentinels down",
            "no sentinels available",
            "unable to connect to any sentinel",
            "can't find master",
            "cannot find master",
            "no primary",
            "master not found",
            "masternotfounderror",
            "seems to be not monitored",
            "can't determine master",
            "cannot determine where is",
            "cannot connect redis sentinel",
            "unable to determine current master",
        ],
        &[("no-primary", 0.6), ("mode-mismatch", 0.15), ("announced-unreachable", 0.12)],
    ),
    rule(
        "a cluster client and no cluster, or the reverse",
        &[
            "cluster support disabled",
            "cluster mode is not enabled",
            "select is not allowed in cluster mode",
            "crossslot",
            "keys in request don't hash to the same slot",
            "movederror",
            "jedismoveddataexception",
            "cluster mode enabled but",
        ],
        &[("mode-mismatch", 0.86), ("announced-unreachable", 0.08)],
    ),
    rule(
        "the cluster is down",
        &["clusterdown", "hash slot not served", "clusterdownerror", "cluster_state:fail"],
        &[("cluster-down", 0.9), ("announced-unreachable", 0.04)],
    ),
    rule(
        "no node of a managed cluster can be asked",
        &["failed to refresh slots", "clusterallfailederror", "cannot retrieve initial cluster partitions"],
        &[
            ("tls-required", 0.42),
            ("announced-unreachable", 0.22),
            ("mode-mismatch", 0.14),
            ("cloud-firewall-blocks", 0.1),
        ],
    )
    .with(&["clustercfg.", "cache.amazonaws.com", "memorydb", "upstash", "ondigitalocean"])
    .unless(&["rediss:"]),
    rule(
        "cluster nodes cannot be reached",
        &[
            "failed to refresh slots",
            "redirected to slot",
            "clusterallfailederror",
            "unable to establish a connection to redis cluster",
            "redis cluster cannot be connected",
            "could not initialize cluster",
            "cluster has no nodes",
            "can't communicate with any node",
            "no reachable node in cluster",
            "no more cluster attempts left",
            "could not get a resource from the cluster",
            "cannot retrieve initial cluster partitions",
            "rootnodesunavailable",
            "can't connect to servers!",
            "couldn't map cluster keyspace",
        ],
        &[
            ("announced-unreachable", 0.5),
            ("mode-mismatch", 0.24),
            ("cluster-down", 0.08),
            ("tls-required", 0.08),
        ],
    ),
];

/// MOVED and ASK: the library does not follow, or cannot reach where it is sent.
pub(super) fn moved(text: &Text, weights: &mut Weights) {
    let slot = |rest: &str| {
        let slot = rest.split_whitespace().next().unwrap_or_default();
        slot.parse::<u16>().is_ok_and(|n| n < 16_384) || slot.trim_matches(['<', '>']) == "slot"
    };
    if !text.lower_after("moved ").any(slot) && !text.lower_after("ask ").any(slot) {
        return;
    }
    let inner = text.addresses.iter().any(Address::is_docker_like);
    let private = text.addresses.iter().any(|a| a.is_private() || a.is_loopback());
    let follows = text.any(&["redirect", "cluster.js", "clusterredis"]);
    let shares: &[(&str, f64)] = match (inner, follows) {
        (true, _) | (_, true) => &[("announced-unreachable", 0.5), ("mode-mismatch", 0.44)],
        // A client that follows would have dialled there and told of that: this one shows the reply itself.
        _ if private => &[("mode-mismatch", 0.54), ("announced-unreachable", 0.4)],
        _ => &[("mode-mismatch", 0.7), ("announced-unreachable", 0.25)],
    };
    weights.add("sent to another node", REPLY, shares);
}

/// A Sentinel has its own port, and knows few commands: what it answers there is said of it, not of Redis.
pub(super) fn sentinel(text: &Text, dialled: Option<&Address>, weights: &mut Weights) {
    let there = dialled.is_some_and(|a| a.port == Some(26_379));
    if there && text.any(&["unknown command", "no password is set", "without any password"]) {
        weights.add("a Sentinel was spoken to as Redis", REPLY * 1.5, &[("sentinel-port", 0.85)]);
    }
}
