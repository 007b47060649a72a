//! The one table of weights. Tuned only with the lab's and the incidents' numbers in the commit message.

use super::{Bearing, Symptom};

/// Share kept for everything else once something is confirmed.
pub const OTHER: f64 = 0.03;
/// Weight of "none of the catalogue", against priors that sum to about 100.
pub const UNEXPLAINED: f64 = 4.0;
/// Prior of a cause in a symptom where it is not expected, when something speaks strongly for it.
pub const UNEXPECTED: f64 = 0.5;
/// Above this a cause is `likely`.
pub const LIKELY: f64 = 0.5;
/// Below this a cause is not mentioned.
pub const NEGLIGIBLE: f64 = 0.005;
/// At most so many rivals are shown.
pub const SHOWN: usize = 8;

/// Log-odds of a reason.
pub fn bearing(bearing: Bearing) -> f64 {
    match bearing {
        Bearing::Confirms => 6.0,
        Bearing::Strong => 2.5,
        Bearing::Weak => 0.9,
        Bearing::Against => -1.8,
        Bearing::RulesOut => -20.0,
    }
}

/// What may answer with an error that no cause knows: another program, a proxy, another Redis, an old one.
pub(super) const SPEAKS_ANY_ERROR: &[&str] = &["not-redis", "wrong-server", "protocol-unsupported"];

/// Prior weight of a cause, given what the client saw; about 100 a symptom. The runbook's 50/25/15/10 hold for
/// "refused or timed out, nothing else known"; here they are split by what connect() really returned: a DROP
/// never refuses, a stopped service never times out while its host is up.
pub fn prior(symptom: Symptom, id: &str) -> f64 {
    table(symptom).iter().find(|(cause, _)| *cause == id).map_or(0.0, |(_, weight)| *weight)
}

type Row = (&'static str, f64);

fn table(symptom: Symptom) -> &'static [Row] {
    match symptom {
        Symptom::Malformed => &[("url-malformed", 90.0), ("env-collision", 10.0)],
        Symptom::NameNotFound => &[
            ("name-not-found", 60.0),
            ("name-on-other-network", 15.0),
            ("url-malformed", 8.0),
            ("resolver-unavailable", 5.0),
            ("container-crashing", 4.0),
            ("container-stopped", 3.0),
            ("endpoint-moved", 4.0),
            ("no-ready-endpoints", 2.0),
            ("network-policy-blocks", 0.5),
        ],
        Symptom::ResolverFailed => &[
            ("resolver-unavailable", 60.0),
            ("name-not-found", 15.0),
            ("name-on-other-network", 12.0),
            ("network-policy-blocks", 3.0),
        ],
        Symptom::NoRoute => &[("host-unreachable", 90.0), ("client-firewall-blocks", 3.0)],
        Symptom::Refused => &[
            ("service-stopped", 27.0),
            ("not-installed", 4.0),
            ("config-invalid", 4.0),
            ("crashed", 3.0),
            ("oom-killed", 3.0),
            ("port-taken", 1.5),
            ("bind-address-missing", 1.5),
            ("data-unloadable", 2.0),
            ("storage-unwritable", 2.0),
            ("disk-full", 1.0),
            ("tls-material-unusable", 1.0),
            ("service-masked", 0.7),
            ("supervisor-kills", 1.0),
            ("binary-incompatible", 0.7),
            ("bind-loopback-only", 12.0),
            ("bind-other-address", 2.0),
            ("tcp-port-disabled", 1.0),
            ("config-not-applied", 1.0),
            ("server-firewall-rejects", 6.0),
            ("client-firewall-blocks", 1.0),
            ("path-firewall-blocks", 1.5),
            ("wrong-port", 8.0),
            ("wrong-host", 6.0),
            ("settings-not-applied", 4.0),
            ("second-client-on-defaults", 2.0),
            ("loopback-in-container", 3.0),
            ("family-mismatch", 2.0),
            ("stale-address", 1.5),
            ("endpoint-moved", 1.0),
            ("container-stopped", 1.0),
            ("port-not-published", 1.0),
            ("no-ready-endpoints", 1.0),
            ("network-policy-blocks", 0.5),
        ],
        Symptom::TimedOut => &[
            ("server-firewall-drops", 35.0),
            ("path-firewall-blocks", 14.0),
            ("cloud-firewall-blocks", 14.0),
            ("client-firewall-blocks", 4.0),
            ("network-policy-blocks", 2.0),
            ("host-unreachable", 8.0),
            ("wrong-host", 6.0),
            ("stale-address", 5.0),
            ("backlog-full", 3.0),
            ("conntrack-full", 1.5),
            ("hung", 1.0),
            ("no-ready-endpoints", 0.5),
        ],
        Symptom::Unreachable => &[
            ("server-firewall-rejects", 35.0),
            ("host-unreachable", 35.0),
            ("path-firewall-blocks", 12.0),
            ("wrong-host", 6.0),
            ("stale-address", 5.0),
            ("client-firewall-blocks", 4.0),
        ],
        Symptom::LocalErrno => &[
            ("client-ports-exhausted", 30.0),
            ("client-fds-exhausted", 30.0),
            ("client-firewall-blocks", 15.0),
            ("host-unreachable", 6.0),
            ("mac-denied", 6.0),
            ("url-malformed", 3.0),
        ],
        Symptom::SocketMissing => &[
            ("socket-missing", 50.0),
            ("service-stopped", 30.0),
            ("config-invalid", 4.0),
            ("not-installed", 3.0),
            ("crashed", 2.0),
        ],
        Symptom::SocketDenied => &[("socket-denied", 90.0), ("mac-denied", 5.0)],
        Symptom::SocketStale => &[
            ("service-stopped", 40.0),
            ("crashed", 15.0),
            ("oom-killed", 10.0),
            ("socket-missing", 5.0),
            ("config-invalid", 5.0),
        ],
        Symptom::Reset | Symptom::Closed => &[
            ("tls-required", 30.0),
            ("clients-exhausted", 10.0),
            ("bind-loopback-only", 6.0),
            ("service-stopped", 8.0),
            ("not-redis", 8.0),
            ("path-firewall-blocks", 4.0),
            ("crashed", 3.0),
            ("server-fds-exhausted", 4.0),
            ("wrong-port", 5.0),
            ("loading", 1.0),
            ("protected-mode", 2.0),
        ],
        Symptom::Silent => &[
            ("hung", 25.0),
            ("tls-required", 20.0),
            ("busy-script", 12.0),
            ("backlog-full", 6.0),
            ("not-redis", 8.0),
            ("wrong-port", 5.0),
            ("path-firewall-blocks", 5.0),
            ("server-fds-exhausted", 3.0),
        ],
        Symptom::NotRedis => {
            &[("not-redis", 70.0), ("wrong-port", 15.0), ("tls-required", 8.0), ("wrong-host", 5.0)]
        }
        Symptom::TlsFailed => &[
            ("tls-not-spoken", 25.0),
            ("tls-issuer-unknown", 20.0),
            ("tls-cert-expired", 12.0),
            ("tls-name-mismatch", 12.0),
            ("tls-client-cert-required", 10.0),
            ("tls-version-mismatch", 5.0),
            ("hung", 3.0),
            ("not-redis", 4.0),
            ("clients-exhausted", 2.0),
        ],
        Symptom::ErrorReply => &[
            ("auth-missing", 10.0),
            ("auth-wrong", 10.0),
            ("auth-unexpected", 5.0),
            ("acl-denied", 5.0),
            ("protected-mode", 10.0),
            ("clients-exhausted", 5.0),
            ("loading", 5.0),
            ("busy-script", 3.0),
            ("writes-stopped", 5.0),
            ("memory-full", 3.0),
            ("read-only-replica", 3.0),
            ("primary-link-down", 3.0),
            ("cluster-down", 3.0),
            ("mode-mismatch", 2.0),
            ("database-missing", 2.0),
            ("not-redis", 3.0),
            ("wrong-server", 2.0),
            ("protocol-unsupported", 2.0),
        ],
        Symptom::NotReady => &[
            ("sentinel-port", 15.0),
            ("cluster-down", 15.0),
            ("memory-full", 15.0),
            ("announced-unreachable", 15.0),
            ("no-primary", 15.0),
            ("loading", 5.0),
            ("mode-mismatch", 3.0),
        ],
        Symptom::IdleCut => &[("idle-connection-cut", 80.0)],
        Symptom::Pong | Symptom::NotDialled => &[],
    }
}
