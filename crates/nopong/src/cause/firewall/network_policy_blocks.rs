//! A Kubernetes NetworkPolicy does not admit the connection: out of the client, into the server, or to the name servers.
//!
//! Never `confirmed`: the objects say what is to be enforced, and only a network plugin that enforces them does it. Some
//! do not (flannel), some let policies of their own come first. See docs/design/network-policies.md.

use crate::cause::common::{meta, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, cluster};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::kube::{Key, Kubernetes, Labels};
use crate::kube::path::{Path, path};
use crate::kube::policy::{Decision, Direction, Verdict};
use serde_json::{Value, json};

/// See the module.
#[derive(Debug)]
pub(super) struct NetworkPolicyBlocks;

static META: Meta = meta(
    "network-policy-blocks",
    Category::Firewall,
    Stage::Connect,
    "a network policy of Kubernetes does not admit the connection",
    &["kubernetes"],
);

/// Namespace, label and value of the cluster's name servers (kubeadm, k3s, the clouds).
const DNS: (&str, &str, &str) = ("kube-system", "k8s-app", "kube-dns");
/// Most rules whose miss is told.
const MISSES: usize = 3;
/// Labels that name one pod or one revision: of no use in a rule.
const PASSING: &[&str] = &[
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];
/// Labels that name an application: enough for a rule (the recommended ones, and the customary one).
const NAMING: &[&str] =
    &["app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app"];

fn judged<'a>(case: &Case<'a>) -> Option<(&'a Kubernetes, Path)> {
    let k8s = case.file.client.kubernetes.get()?;
    Some((k8s, path(k8s, &case.file.ask.host, case.file.ask.port, case.client_address())?))
}

/// The denial that explains this symptom. Plugins drop (Calico, Cilium, OVN, Antrea) or reject (kube-router).
fn explains(case: &Case<'_>, path: &Path) -> bool {
    match case.symptom {
        Symptom::NameNotFound | Symptom::ResolverFailed => path.dns_denied(),
        Symptom::TimedOut | Symptom::Refused | Symptom::Unreachable => {
            !path.dns_denied() && path.denied().is_some()
        }
        _ => false,
    }
}

/// `the egress policies of the client (web/default-deny)`.
fn whose(decision: &Decision) -> String {
    let names = decision.policies.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match decision.policies.len() {
        0 | 1 => format!("NetworkPolicy {names}"),
        n if n > 3 => format!("NetworkPolicies {names} and {} more", n - 3),
        _ => format!("NetworkPolicies {names}"),
    }
}

impl Cause for NetworkPolicyBlocks {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let named = matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed);
        if !named && !matches!(case.symptom, Symptom::TimedOut | Symptom::Refused | Symptom::Unreachable) {
            return Vec::new();
        }
        let Some((k8s, path)) = judged(case) else { return Vec::from_iter(cluster::none_here(case)) };
        let denied = path.denied().filter(|_| explains(case, &path));
        let Some(denied) = denied else { return undenied(case, &path) };
        let side = match (path.dns_denied(), denied.direction) {
            (true, _) => "the client's questions to the name servers (UDP 53)".to_owned(),
            (false, Direction::Egress) => format!("the way out of the client to TCP {}", path.port),
            (false, Direction::Ingress) => format!("the way into the server's pods at TCP {}", path.port),
        };
        let says = format!("{} limits {side}, and no rule admits it", whose(denied));
        let mut reasons = vec![Reason::strong("kubernetes", says)];
        // The nearest miss is the proof; the others are for reading.
        let bearing = |i: usize, m: &String| {
            if i == 0 { Reason::strong("kubernetes", m) } else { Reason::weak("kubernetes", m) }
        };
        reasons.extend(denied.misses.iter().take(MISSES).enumerate().map(|(i, m)| bearing(i, m)));
        if path.open > 0 && !path.dns_denied() {
            let says = format!("{} of {} pods of the server can be reached all the same", path.open, path.of);
            reasons.push(Reason::against("kubernetes", says));
        }
        reasons.extend(enforced(k8s));
        if case.symptom == Symptom::Refused {
            reasons.push(Reason::against(
                "connect",
                "most network plugins drop what a policy denies, they do not refuse it",
            ));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let Some((k8s, path)) = judged(case) else { return META.title.to_owned() };
        let Some(denied) = path.denied().filter(|_| explains(case, &path)) else {
            return META.title.to_owned();
        };
        let client = k8s.client.as_ref().map_or_else(|| "this client".to_owned(), Key::to_string);
        match (path.dns_denied(), denied.direction) {
            (true, _) => format!("{} does not let {client} ask the name servers", whose(denied)),
            (false, Direction::Egress) => {
                format!("{} does not let {client} out to TCP {}", whose(denied), path.port)
            }
            (false, Direction::Ingress) => {
                format!("{} does not let {client} in at TCP {}", whose(denied), path.port)
            }
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let (k8s, path) = judged(case)?;
        let denied = path.denied()?;
        let fix = Fix::new(Risk::Ask, "admit this client to this port, and nobody else");
        let namespace = denied.policies.first().and_then(|p| p.split('/').next()).unwrap_or_default();
        let see = format!("kubectl -n {} describe networkpolicy", sh(namespace));
        let fix = fix.run("see the policies", see);
        Some(match snippet(k8s, &path, denied) {
            Some(json) => fix.run("add a policy: policies add up, and none takes back what another admits", format!("echo {} | kubectl apply -f -", sh(&json))),
            None => fix.step("add a rule for the client's labels (or network) and this port to the policy"),
        }
        .step("where the policies come from a chart or a repository, make the change there: else it is undone"))
    }

    /// Denied, and yet not what this client meets first; or it gets through: then nobody enforces it, or not yet.
    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let (_, path) = judged(case)?;
        let denied = path.denied().filter(|_| !explains(case, &path) && path.open == 0)?;
        let mut reasons = vec![Reason::strong(
            "kubernetes",
            format!("{} selects it, and no rule admits it", whose(denied)),
        )];
        reasons.extend(denied.misses.iter().take(MISSES).map(|m| Reason::weak("kubernetes", m.clone())));
        let pong = case.symptom == Symptom::Pong;
        let title = if pong {
            format!("{} does not admit this connection, and nobody enforces that", whose(denied))
        } else {
            format!("{} does not admit the connection either", whose(denied))
        };
        Some(Latent {
            place: if pong { Place::Warning } else { Place::Behind },
            title,
            reasons,
            fix: self.fix(case),
        })
    }
}

/// Nothing denies, as far as the standard policies go. Others may.
fn undenied(case: &Case<'_>, path: &Path) -> Vec<Reason> {
    let named = matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed);
    let mut asked: Vec<&Decision> = path.all().collect();
    if named {
        asked.retain(|d| path.dns.as_ref() == Some(*d));
    }
    if asked.is_empty() {
        return Vec::new();
    }
    // What cannot be said moves nothing.
    if asked.iter().any(|d| matches!(d.verdict, Verdict::Undecided(_))) {
        return Vec::new();
    }
    let block = asked.iter().find_map(|d| match &d.verdict {
        Verdict::Allowed { by: Some(by), by_block: true } => Some(by),
        _ => None,
    });
    match block {
        Some(by) => vec![Reason::weak(
            "kubernetes",
            format!(
                "only an ipBlock admits it ({by}): some plugins match those with addresses outside of the cluster only"
            ),
        )],
        None => vec![Reason::against("kubernetes", "the network policies admit this client to this port")],
    }
}

/// Whether anybody enforces policies.
fn enforced(k8s: &Kubernetes) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(plugin) = k8s.plugins.iter().find(|p| p.enforces == Some(true)) {
        reasons.push(Reason::strong(
            "kubernetes",
            format!("{}, which enforces network policies, runs in the cluster", plugin.name),
        ));
    } else if let Some(plugin) = k8s.plugins.iter().find(|p| p.enforces == Some(false)) {
        let says =
            format!("{} does not enforce network policies, and no agent that does was seen", plugin.name);
        reasons.push(Reason::against("kubernetes", says));
        reasons.push(Reason::against("kubernetes", "so the objects are likely to be of no effect"));
    }
    if let Some(other) = k8s.others.first() {
        reasons
            .push(Reason::against("kubernetes", format!("{other} is not evaluated here, and may admit it")));
    }
    reasons
}

/// The labels to write into a rule: those that name the application, else all that do not name one pod.
fn lasting(labels: &Labels) -> Labels {
    let naming: Labels = labels
        .iter()
        .filter(|(k, _)| NAMING.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if !naming.is_empty() {
        return naming;
    }
    labels
        .iter()
        .filter(|(k, _)| !PASSING.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// A peer that means pods with these labels in that namespace: named by the label that every namespace has since 1.22, else
/// by all of its own. None without labels: that would mean everybody.
fn peer(k8s: &Kubernetes, namespace: &str, pods: &Labels) -> Option<Value> {
    const NAME: &str = "kubernetes.io/metadata.name";
    let known = k8s.namespaces.iter().find(|n| n.name == namespace).map(|n| &n.labels);
    let labels = match known.filter(|labels| !labels.contains_key(NAME)) {
        Some(old) => old.clone(),
        None => [(NAME.to_owned(), namespace.to_owned())].into(),
    };
    let meant = (!labels.is_empty() || namespace == DNS.0) && !pods.is_empty();
    meant.then(|| json!({"namespaceSelector": {"matchLabels": labels}, "podSelector": {"matchLabels": pods}}))
}

/// A policy that admits exactly this: JSON on one line, which kubectl takes like YAML.
fn snippet(k8s: &Kubernetes, path: &Path, denied: &Decision) -> Option<String> {
    let client = k8s.client_pod()?;
    let (own, labels) = (client.key.namespace.as_str(), lasting(&client.labels));
    let ports = |all: &[(&str, u16)]| -> Value {
        all.iter().map(|(protocol, port)| json!({"protocol": protocol, "port": port})).collect()
    };
    if path.dns_denied() {
        let to = peer(k8s, DNS.0, &[(DNS.1.to_owned(), DNS.2.to_owned())].into())?;
        let rule = json!({"to": [to], "ports": ports(&[("UDP", 53), ("TCP", 53)])});
        return document("dns", own, &labels, &json!({"policyTypes": ["Egress"], "egress": [rule]}));
    }
    let pod = k8s.pods.iter().find(|p| Some(p.key.to_string()) == path.pod)?;
    let (at, selector) = (pod.key.namespace.as_str(), k8s.service().and_then(|s| s.selector.clone()));
    let server = selector.unwrap_or_else(|| lasting(&pod.labels));
    let tcp = ports(&[("TCP", path.port)]);
    if denied.direction == Direction::Egress {
        let rule = json!({"to": [peer(k8s, at, &server)?], "ports": tcp});
        document("redis-out", own, &labels, &json!({"policyTypes": ["Egress"], "egress": [rule]}))
    } else {
        let rule = json!({"from": [peer(k8s, own, &labels)?], "ports": tcp});
        document("redis-in", at, &server, &json!({"policyTypes": ["Ingress"], "ingress": [rule]}))
    }
}

/// The object, for pods with these labels; none without any, which would mean all of the namespace's.
fn document(name: &str, namespace: &str, pods: &Labels, spec: &Value) -> Option<String> {
    let mut spec = spec.clone();
    spec["podSelector"] = json!({"matchLabels": pods});
    let metadata = json!({"name": format!("admit-{name}"), "namespace": namespace});
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec});
    (!pods.is_empty()).then(|| object.to_string())
}

#[cfg(test)]
mod tests {
    use super::NetworkPolicyBlocks;
    use crate::cause::testing::{
        bearings, errno, first, in_cluster, pod, pong, refused, service, silent, timed_out,
    };
    use crate::diagnosis::{Band, Bearing, diagnose};
    use crate::evidence::CaseFile;
    use serde_json::{Value, json};

    fn policy(namespace: &str, spec: &Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "deny", "namespace": namespace}, "spec": spec})
    }

    fn with(mut file: CaseFile, more: &[Value]) -> CaseFile {
        file.ask.host = "redis.prod.svc".to_owned();
        let mut objects = service("prod", true);
        objects.extend([pod("prod", "redis-0", "redis", true), pod("web", "worker-1", "worker", true)]);
        objects.push(policy("web", &json!({"podSelector": {"matchLabels": {"app": "other"}}})));
        objects.extend(more.iter().cloned());
        in_cluster(file, &json!(objects))
    }

    fn denied(file: CaseFile, more: &[Value]) -> CaseFile {
        with(file, &[&[policy("prod", &json!({"podSelector": {}}))], more].concat())
    }

    fn agent(app: &str) -> Value {
        let mut pod = pod("kube-system", "agent-1", app, true);
        pod["metadata"]["ownerReferences"] = json!([{"kind": "DaemonSet", "name": app}]);
        pod
    }

    #[test]
    fn likely_with_a_time_out_and_never_confirmed() {
        assert_eq!(first(&denied(timed_out(), &[])), Some(("network-policy-blocks", Band::Likely)));
        assert_eq!(
            first(&denied(timed_out(), &[agent("cilium")])),
            Some(("network-policy-blocks", Band::Likely))
        );
        let fix = diagnose(&denied(timed_out(), &[])).causes[0].fix.clone().unwrap();
        let commands: Vec<_> = fix.steps.iter().filter_map(|s| s.command.clone()).collect();
        assert!(commands[1].contains(r#""podSelector":{"matchLabels":{"app":"worker"}}"#), "{commands:?}");
        assert!(commands[1].contains(r#""port":6379"#), "{commands:?}");
    }

    #[test]
    fn not_likely_where_nobody_enforces_it_or_others_come_first() {
        assert_ne!(first(&denied(timed_out(), &[agent("flannel")])).unwrap().0, "network-policy-blocks");
        let other = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "a", "namespace": "prod"}});
        assert!(bearings(&NetworkPolicyBlocks, &denied(timed_out(), &[other])).contains(&Bearing::Against));
        assert_ne!(first(&denied(refused(), &[])).unwrap().0, "network-policy-blocks");
    }

    #[test]
    fn a_pong_makes_it_a_warning() {
        let diagnosis = diagnose(&denied(pong(&[]), &[]));
        assert!(diagnosis.pong);
        assert!(diagnosis.warnings.iter().any(|w| w.title.contains("nobody enforces that")));
    }

    #[test]
    fn admitted_speaks_against_it() {
        let admit =
            policy("prod", &json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}));
        assert_eq!(bearings(&NetworkPolicyBlocks, &with(timed_out(), &[admit])), [Bearing::Against]);
    }

    #[test]
    fn silent_without_a_cluster_and_about_other_symptoms() {
        assert!(silent(&NetworkPolicyBlocks, &timed_out()));
        assert!(bearings(&NetworkPolicyBlocks, &denied(errno("EMFILE"), &[])).is_empty());
    }
}
