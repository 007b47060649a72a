//! The server answers, and sends its clients to addresses that they cannot reach.

use crate::cause::common::{meta, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::Says as _;
use crate::evidence::client::{Announced, DialOutcome};

/// See the module.
#[derive(Debug)]
pub(super) struct AnnouncedUnreachable;

static META: Meta = Meta {
    // A primary or node that is down is no matter of what it announces. And who dials a Sentinel as a server
    // stops there first.
    masked_by: &["no-primary", "cluster-down", "sentinel-port"],
    ..meta(
        "announced-unreachable",
        Category::Topology,
        Stage::Ready,
        "the server sends its clients to addresses they cannot reach",
        &["topology"],
    )
};

/// Announced addresses shown.
const SHOWN: usize = 4;

/// The announced addresses of clients' way that do not connect. A replica is on the way of some reads only.
fn unreachable<'a>(case: &Case<'a>, replicas: bool) -> Vec<&'a Announced> {
    case.file
        .client
        .topology
        .get()
        .map(|t| {
            t.announced
                .iter()
                .filter(|a| (a.what == "replica") == replicas)
                .filter(|a| a.unresolved || a.outcome.as_ref().is_some_and(|o| *o != DialOutcome::Connected))
                .collect()
        })
        .unwrap_or_default()
}

fn reasons(all: &[&Announced]) -> Vec<Reason> {
    all.iter()
        .take(SHOWN)
        .map(|a| {
            let what = match &a.outcome {
                _ if a.unresolved => "the name does not resolve here".to_owned(),
                Some(outcome) => outcome.says(),
                None => "not tried".to_owned(),
            };
            Reason::confirms(
                "topology",
                format!("announced as {}: {}, and from here: {what}", a.what, a.address),
            )
        })
        .collect()
}

impl Cause for AnnouncedUnreachable {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::NotReady {
            return Vec::new();
        }
        let Some(topology) = case.client.topology.get() else { return Vec::new() };
        let found = unreachable(case, false);
        if found.is_empty() {
            return if topology.announced.is_empty() {
                Vec::new()
            } else {
                vec![Reason::rules_out("topology", "every address announced can be reached from here")]
            };
        }
        reasons(&found)
    }

    fn title(&self, case: &Case<'_>) -> String {
        match unreachable(case, false).first() {
            Some(a) => format!(
                "{} sends its clients to {}, which cannot be reached from here",
                case.target(),
                a.address
            ),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let cluster = case.client.topology.get().is_some_and(|t| t.mode == "cluster");
        let fix = Fix::new(Risk::Advice, "let the server announce addresses that its clients can reach");
        let fix = if cluster {
            fix.run("see what is announced", format!("{} CLUSTER SLOTS", crate::cause::common::cli(case)))
                .step("on every node: cluster-announce-ip and cluster-announce-port (or cluster-announce-hostname with cluster-preferred-endpoint-type hostname, Redis 7) set to what clients dial")
                .step("or run the client where the nodes' own addresses are routed: in the same Docker network or cluster")
        } else {
            fix.run("see what is announced", format!("{} SENTINEL MASTERS", crate::cause::common::cli(case)))
                .step("on the server: replica-announce-ip and replica-announce-port; on the Sentinels: sentinel announce-ip and announce-port; with names also sentinel resolve-hostnames yes and sentinel announce-hostnames yes")
        };
        let first = unreachable(case, false).first().map(|a| format!("redis://{}", a.address));
        Some(match first {
            Some(url) => {
                fix.run("then look again, from where the application runs", format!("nopong {}", sh(&url)))
            }
            None => fix,
        })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let stopped = unreachable(case, false);
        if case.symptom == Symptom::NotReady && !stopped.is_empty() {
            let title = self.title(case);
            return Some(Latent {
                place: Place::Behind,
                title,
                reasons: reasons(&stopped),
                fix: self.fix(case),
            });
        }
        let replicas = unreachable(case, true);
        let first = replicas.first()?;
        Some(Latent {
            place: Place::Warning,
            title: format!("the replica announced as {} cannot be reached from here", first.address),
            reasons: reasons(&replicas),
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AnnouncedUnreachable;
    use crate::cause::testing::{first, pong, refused, rules_out, seen, silent};
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Announced, DialOutcome, Topology};

    fn announces(outcome: Option<DialOutcome>) -> CaseFile {
        announces_as("cluster", "cluster-node", outcome)
    }

    fn announces_as(mode: &str, what: &str, outcome: Option<DialOutcome>) -> CaseFile {
        let mut file = pong(&[("redis_mode", mode)]);
        file.client.topology = seen(Topology {
            mode: mode.to_owned(),
            cluster_state: Some("ok".to_owned()),
            announced: vec![Announced {
                what: what.to_owned(),
                address: "172.18.0.3:7001".to_owned(),
                unresolved: outcome.is_none(),
                outcome,
            }],
            ..Topology::default()
        });
        file
    }

    #[test]
    fn confirmed_by_dialling_them() {
        for outcome in [Some(DialOutcome::TimedOut), None] {
            assert_eq!(first(&announces(outcome)), Some(("announced-unreachable", Band::Confirmed)));
        }
    }

    #[test]
    fn stands_behind_a_sentinel_taken_for_a_server() {
        let file = announces_as("sentinel", "sentinel-master", Some(DialOutcome::TimedOut));
        let diagnosis = diagnose(&file);
        assert_eq!(diagnosis.causes[0].cause.meta().id, "sentinel-port");
        assert_eq!(diagnosis.behind[0].cause.meta().id, "announced-unreachable");
    }

    #[test]
    fn ruled_out_when_all_connect() {
        let mut file = announces(Some(DialOutcome::Connected));
        let mut topology = file.client.topology.get().cloned().unwrap();
        topology.cluster_state = Some("fail".to_owned());
        file.client.topology = seen(topology);
        assert!(rules_out(&AnnouncedUnreachable, &file));
    }

    #[test]
    fn silent_without_a_topology() {
        assert!(silent(&AnnouncedUnreachable, &refused()));
        assert!(silent(&AnnouncedUnreachable, &pong(&[])));
    }
}
