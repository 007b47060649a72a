//! The Kubernetes Service that is dialled has nobody behind it who is ready: its selector matches no pod, or its pods
//! crash, wait or fail their readiness probe.

use crate::cause::common::{meta, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, cluster};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::kube::Kubernetes;
use crate::kube::endpoints::{Empty, Lack, empty};

/// See the module.
#[derive(Debug)]
pub(super) struct NoReadyEndpoints;

static META: Meta = meta(
    "no-ready-endpoints",
    Category::NotRunning,
    Stage::Connect,
    "no pod behind the Kubernetes Service is ready",
    &["kubernetes"],
);

/// Most pods told of.
const PODS: usize = 3;

fn found<'a>(case: &Case<'a>) -> Option<(&'a Kubernetes, Empty<'a>)> {
    let k8s = case.file.client.kubernetes.get()?;
    Some((k8s, empty(k8s, case.file.ask.port)?))
}

/// What a client sees of such a Service: kube-proxy rejects (iptables mode) or drops, a headless one has no address.
fn fits(case: &Case<'_>) -> bool {
    matches!(
        case.symptom,
        Symptom::Refused
            | Symptom::TimedOut
            | Symptom::Unreachable
            | Symptom::NameNotFound
            | Symptom::ResolverFailed
    )
}

fn why(lack: &Lack) -> Vec<String> {
    match lack {
        Lack::NoPods { wants, near, makers } => {
            let first = format!("no pod of its namespace has the labels its selector wants: {wants}");
            std::iter::once(first)
                .chain(makers.clone())
                .chain(near.iter().map(|n| format!("nearest: {n}")))
                .collect()
        }
        Lack::Pods(troubles) => troubles.iter().take(PODS).map(|t| t.says.clone()).collect(),
        lack => vec![lack.short()],
    }
}

impl Cause for NoReadyEndpoints {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !fits(case) {
            return Vec::new();
        }
        let Some((k8s, empty)) = found(case) else {
            let k8s = case.client.kubernetes.get().filter(|k| k.knows("EndpointSlice"));
            let service = k8s.and_then(|k| k.service()).filter(|s| s.external_name.is_none());
            return service
                .map(|s| Reason::rules_out("kubernetes", format!("Service {} has ready endpoints", s.key)))
                .or_else(|| cluster::none_here(case))
                .into_iter()
                .collect();
        };
        let key = &empty.service.key;
        let says = match (empty.by_slices, empty.listed) {
            (true, 0) => format!("the endpoint slices of Service {key} list nobody"),
            (true, n) => {
                format!("the endpoint slices of Service {key} list {n}, none of them ready to be used")
            }
            (false, _) => format!("none of the pods that Service {key} selects is ready"),
        };
        // With a symptom of the name, a Service with an address of its own is not what failed.
        let name_failed = matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed);
        if name_failed && !empty.service.headless {
            return vec![Reason::against(
                "kubernetes",
                "the name of a Service with a cluster address resolves all the same",
            )];
        }
        let mut reasons = vec![if empty.by_slices || k8s.knows("Pod") {
            Reason::confirms("kubernetes", says)
        } else {
            Reason::strong("kubernetes", says)
        }];
        reasons.extend(why(&empty.lack).into_iter().map(|w| Reason::strong("kubernetes", w)));
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        found(case).map_or_else(
            || META.title.to_owned(),
            |(_, e)| format!("Service {} has no ready endpoint: {}", e.service.key, e.lack.short()),
        )
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let (_, empty) = found(case)?;
        let key = &empty.service.key;
        let kubectl = format!("kubectl -n {}", sh(&key.namespace));
        let by_label =
            format!("{kubectl} get endpointslices -l kubernetes.io/service-name={} -o wide", sh(&key.name));
        Some(match &empty.lack {
            Lack::NoPods { makers, .. } => {
                let fix = Fix::new(Risk::Ask, "give the Service pods that its selector matches")
                    .run("compare selector and labels", format!("{kubectl} get service {} -o wide; {kubectl} get pods --show-labels", sh(&key.name)));
                match makers.first().and_then(|m| m.strip_suffix(" is scaled to 0")).and_then(|m| m.split_once(' ')) {
                    Some((kind, of)) => {
                        let name = of.rsplit('/').next().unwrap_or_default();
                        fix.run("start it", format!("{kubectl} scale {} {} --replicas=1", kind.to_ascii_lowercase(), sh(name)))
                    }
                    None => fix.step("correct the Service's selector (kubectl edit), or the labels in the pod template of what makes the pods"),
                }
            }
            Lack::Pods(troubles) => {
                let fix = Fix::new(Risk::Advice, "make a pod behind the Service ready");
                let mut seen = Vec::new();
                troubles.iter().take(PODS).fold(fix, |fix, t| {
                    let fix = fix.run("see why", format!("{kubectl} {}", t.look));
                    if seen.contains(&&t.remedy) {
                        return fix;
                    }
                    seen.push(&t.remedy);
                    fix.step(t.remedy.clone())
                })
            }
            Lack::ByHand => Fix::new(Risk::Advice, "give the Service a selector, or endpoints")
                .run("see what there is", by_label)
                .step("a Service without a selector needs an EndpointSlice made by hand, with the label kubernetes.io/service-name"),
            Lack::NotOnNode(_) => Fix::new(Risk::Ask, "let the Service use endpoints of other nodes")
                .run("allow it", format!("{kubectl} patch service {} -p '{{\"spec\":{{\"internalTrafficPolicy\":\"Cluster\"}}}}'", sh(&key.name))),
            Lack::Unknown => Fix::new(Risk::Advice, "see why no endpoint is ready").run("look", by_label),
        })
    }

    /// It waits behind another obstacle: a policy, a wrong name.
    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.symptom == Symptom::Pong
            || self.weigh(case).iter().any(|r| r.bearing < crate::cause::Bearing::Against)
        {
            return None;
        }
        found(case).map(|(_, empty)| Latent {
            place: Place::Behind,
            title: self.title(case),
            reasons: why(&empty.lack).into_iter().map(|w| Reason::confirms("kubernetes", w)).collect(),
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::NoReadyEndpoints;
    use crate::cause::testing::{
        bearings, confirms, dialled, first, in_cluster, pod, refused, rules_out, service, silent,
    };
    use crate::diagnosis::{Band, Bearing, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::client::DialOutcome;
    use serde_json::json;

    fn with(mut file: CaseFile, ready: bool) -> CaseFile {
        file.ask.host = "redis.prod.svc".to_owned();
        let mut objects = service("prod", ready);
        objects.push(pod("prod", "redis-0", "redis", ready));
        in_cluster(file, &json!(objects))
    }

    #[test]
    fn confirmed_by_the_slices_with_a_refusal_or_a_time_out() {
        assert_eq!(first(&with(refused(), false)), Some(("no-ready-endpoints", Band::Confirmed)));
        assert!(confirms(&NoReadyEndpoints, &with(dialled(DialOutcome::TimedOut), false)));
        let why = &diagnose(&with(refused(), false)).causes[0].title.clone();
        assert!(why.contains("redis-0 runs and is not ready"), "{why}");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_not_its_doing() {
        let mut file = with(refused(), false);
        file.client.name = crate::cause::testing::seen(crate::evidence::client::Name {
            asked: file.ask.host.clone(),
            error: Some("EAI_NONAME".to_owned()),
            ..Default::default()
        });
        assert_eq!(bearings(&NoReadyEndpoints, &file), [Bearing::Against]);
        assert!(diagnose(&file).behind.iter().any(|f| f.cause.meta().id == "no-ready-endpoints"));
    }

    #[test]
    fn ruled_out_by_a_ready_endpoint() {
        assert!(rules_out(&NoReadyEndpoints, &with(refused(), true)));
    }

    #[test]
    fn silent_without_a_cluster() {
        assert!(silent(&NoReadyEndpoints, &refused()));
    }
}
