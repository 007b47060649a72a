//! The cluster does not serve: slots without a node, or a node without its majority.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct ClusterDown;

static META: Meta = Meta {
    id: "cluster-down",
    category: Category::Health,
    stage: Stage::Ready,
    title: "the cluster is down",
    masked_by: &[],
    settled_by: &["topology"],
};

fn because(case: &Case<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(text) = runtime::replied(case, "CLUSTERDOWN") {
        reasons.push(Reason::confirms("protocol", format!("it answers: {text}")));
    }
    let Some(topology) = case.client.topology.get() else { return reasons };
    if topology.cluster_state.as_deref() == Some("fail") {
        reasons.push(Reason::confirms("topology", "CLUSTER INFO says cluster_state:fail"));
    }
    if let Some(text) =
        topology.probe_reply.as_ref().filter(|r| r.word() == Some("CLUSTERDOWN")).and_then(|r| r.error())
    {
        reasons.push(Reason::confirms("topology", format!("a read is answered: {text}")));
    }
    if let Some(missing) = topology.slots_missing.filter(|n| *n > 0 && !reasons.is_empty()) {
        reasons.push(Reason::strong("topology", format!("{missing} of 16384 slots are served by no node")));
    }
    reasons
}

impl Cause for ClusterDown {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match case.symptom {
            Symptom::NotReady | Symptom::ErrorReply => because(case),
            _ => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match case.client.topology.get().and_then(|t| t.slots_missing).filter(|n| *n > 0) {
            Some(16384) => "the cluster is down: no slot is assigned to any node".to_owned(),
            Some(missing) => format!("the cluster is down: {missing} of 16384 slots are served by no node"),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let cli = common::cli(case);
        let port = case.ask.port;
        let host = crate::text::shell(&case.ask.host);
        Some(
            Fix::new(Risk::Advice, "bring the failed nodes back, or give their slots to living ones")
                .run("which nodes failed, and which slots they had", format!("{cli} CLUSTER NODES"))
                .run("check the whole cluster", format!("redis-cli --cluster check {host}:{port}"))
                .step("start the failed nodes first; only when their data is gone for good: redis-cli --cluster fix, which assigns their slots anew, empty")
                .step("cluster-require-full-coverage no lets the other slots be served meanwhile"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if !matches!(case.symptom, Symptom::Pong) {
            return None;
        }
        // With cluster-require-full-coverage no, the state stays ok while slots are missing.
        let missing = case.client.topology.get()?.slots_missing.filter(|n| *n > 0)?;
        let says = format!("{missing} of 16384 slots are served by no node");
        Some(Latent {
            place: Place::Warning,
            title: format!("keys of some slots cannot be read: {says}"),
            reasons: vec![Reason::confirms("topology", says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ClusterDown;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::client::Topology;

    #[test]
    fn confirms_by_state() {
        let mut file = pong(&[("cluster_enabled", "1")]);
        file.client.topology = seen(Topology {
            mode: "cluster".to_owned(),
            cluster_state: Some("fail".to_owned()),
            slots_missing: Some(5001),
            ..Topology::default()
        });
        assert_eq!(first(&file), Some(("cluster-down", Band::Confirmed)));
    }

    #[test]
    fn confirms_by_the_reply() {
        assert_eq!(
            first(&ping_error("CLUSTERDOWN The cluster is down")),
            Some(("cluster-down", Band::Confirmed))
        );
    }

    #[test]
    fn silent_without_evidence() {
        let mut file = pong(&[("cluster_enabled", "1")]);
        file.client.topology = seen(Topology {
            mode: "cluster".to_owned(),
            cluster_state: Some("ok".to_owned()),
            slots_missing: Some(0),
            ..Topology::default()
        });
        assert!(silent(&ClusterDown, &file));
        assert!(silent(&ClusterDown, &refused()));
    }
}
