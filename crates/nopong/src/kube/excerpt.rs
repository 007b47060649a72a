//! What matters for one target, out of everything read: small enough for a report and a bundle.

use super::{Cluster, links, names, selector};
use crate::evidence::kube::{Key, Kubernetes, Labels, Pod, Service};

/// Most pods kept.
const PODS_MAX: usize = 40;
/// Most pods kept that are not selected and nearly would be.
const NEAR_MAX: usize = 5;
/// Most policies kept; a namespace has a handful.
const POLICIES_MAX: usize = 100;
/// Most Services kept beside the one meant.
const SERVICES_MAX: usize = 20;
/// Most endpoints kept of one Service.
const ENDPOINTS_MAX: usize = 100;
/// Where the cluster's name servers run, and their label (kubeadm, k3s, the clouds; OpenShift has others).
const DNS: &[(&str, &str, &str)] = &[
    ("kube-system", "k8s-app", "kube-dns"),
    ("openshift-dns", "dns.operator.openshift.io/daemonset-dns", "default"),
];

/// What is asked of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The target's host.
    pub host: String,
    /// The target's port.
    pub port: u16,
    /// The client's namespace, where known without its pod.
    pub namespace: Option<String>,
    /// The client's pod.
    pub client: Option<Key>,
    /// The server's pod.
    pub server: Option<Key>,
    /// The client's address, to find its pod by.
    pub address: Option<std::net::IpAddr>,
    /// Where the objects are from.
    pub source: String,
    /// Nobody dials.
    pub objects_only: bool,
}

/// Takes the excerpt.
pub fn excerpt(cluster: &Cluster, question: &Question) -> Kubernetes {
    let client = question.client.clone().or_else(|| by_address(cluster, question.address));
    let namespace = client.as_ref().map(|c| c.namespace.clone()).or_else(|| question.namespace.clone());
    let means = names::means(&question.host, namespace.as_deref(), cluster);
    let mut out = Kubernetes {
        source: question.source.clone(),
        objects_only: question.objects_only,
        namespace,
        client,
        server: question.server.clone(),
        means,
        plugins: cluster.plugins.clone(),
        others: cluster.others.iter().take(10).cloned().collect(),
        ..Kubernetes::default()
    };
    out.plugins.sort_by(|a, b| a.name.cmp(&b.name));
    out.plugins.dedup();
    services(cluster, &mut out);
    pods(cluster, question, &mut out);
    let concerned = concerned(&out);
    let here = |namespace: &str| concerned.iter().any(|n| n == namespace);
    out.policies = cluster.policies.iter().filter(|p| here(&p.key.namespace)).cloned().collect();
    out.cut |= out.policies.len() > POLICIES_MAX;
    out.policies.truncate(POLICIES_MAX);
    out.namespaces = cluster
        .namespaces
        .iter()
        .filter(|n| here(&n.name) || DNS.iter().any(|d| d.0 == n.name))
        .cloned()
        .collect();
    // A mesh's root namespace speaks for all of them (Istio, PeerAuthentication).
    out.strict_mtls = cluster
        .strict_mtls
        .iter()
        .filter(|k| here(&k.namespace) || k.namespace == "istio-system")
        .cloned()
        .collect();
    let concerned: Vec<&str> = concerned.iter().map(String::as_str).collect();
    let server: Vec<&str> = out.means.iter().map(|m| m.namespace.as_str()).collect();
    out.read = vec![
        cluster.read("Service", &server),
        cluster.read("EndpointSlice", &server),
        cluster.read("Pod", &server),
        cluster.read("NetworkPolicy", &concerned),
        cluster.read("Namespace", &[""]),
    ];
    if !out.knows("EndpointSlice") && cluster.read("Endpoints", &server).complete {
        out.read[1] = crate::evidence::kube::Read {
            kind: "EndpointSlice".to_owned(),
            ..cluster.read("Endpoints", &server)
        };
    }
    out
}

/// The namespaces of both ends.
fn concerned(out: &Kubernetes) -> Vec<String> {
    let ends = [out.means.as_ref(), out.server.as_ref()].into_iter().flatten().map(|k| k.namespace.clone());
    let mut all: Vec<String> = ends.chain(out.namespace.clone()).filter(|n| !n.is_empty()).collect();
    all.sort();
    all.dedup();
    all
}

fn by_address(cluster: &Cluster, address: Option<std::net::IpAddr>) -> Option<Key> {
    let address = address?.to_string();
    // A pod with the node's network shares its address with others.
    let mut at = cluster
        .pods
        .iter()
        .filter(|p| !p.host_network && p.phase == "Running" && p.addresses.contains(&address));
    at.next().map(|p| p.key.clone())
}

fn services(cluster: &Cluster, out: &mut Kubernetes) {
    let Some(means) = out.means.clone() else { return };
    let injects = |s: &Service| out.namespace.as_ref() == Some(&s.key.namespace) && links::about_redis(s);
    let wanted = |s: &&Service| s.key.name == means.name || injects(s);
    let mut found: Vec<Service> = cluster.services.iter().filter(wanted).cloned().collect();
    found.sort_by_key(|s| (s.key != means, s.key.clone()));
    found.dedup_by(|a, b| a.key == b.key);
    out.cut |= found.len() > SERVICES_MAX;
    found.truncate(SERVICES_MAX);
    out.services = found;
    let of = |all: &[crate::evidence::kube::Slice]| -> Vec<_> {
        all.iter().filter(|s| s.service == means).cloned().collect()
    };
    out.slices = of(&cluster.slices);
    if out.slices.is_empty() {
        out.slices = of(&cluster.endpoints);
    }
    for slice in &mut out.slices {
        out.cut |= slice.endpoints.len() > ENDPOINTS_MAX;
        slice.endpoints.truncate(ENDPOINTS_MAX);
    }
}

/// The pods kept, each once, in order.
struct Kept<'a>(Vec<&'a Pod>);

impl<'a> Kept<'a> {
    fn all(&mut self, pods: impl IntoIterator<Item = &'a Pod>) {
        for pod in pods {
            if !self.0.iter().any(|k| k.key == pod.key) {
                self.0.push(pod);
            }
        }
    }
}

fn pods(cluster: &Cluster, question: &Question, out: &mut Kubernetes) {
    let mut kept = Kept(Vec::new());
    kept.all(
        [out.client.as_ref(), out.server.as_ref()].into_iter().flatten().filter_map(|key| cluster.pod(key)),
    );
    // A target that is a pod's own address.
    kept.all(cluster.pods.iter().filter(|p| !p.host_network && p.addresses.contains(&question.host)));
    if let (Some(service), Some(means)) = (out.service().cloned(), out.means.clone()) {
        let backed: Vec<_> =
            out.slices.iter().flat_map(|s| &s.endpoints).filter_map(|e| e.pod.clone()).collect();
        let selects = |labels: &Labels| {
            service.selector.as_ref().is_some_and(|s| selector::matches(&selector::of_labels(s), labels))
        };
        let here = cluster.pods.iter().filter(|p| p.key.namespace == means.namespace);
        let (mut selected, rest): (Vec<&Pod>, Vec<&Pod>) = here.partition(|p| selects(&p.labels));
        if let (true, Some(wanted)) = (selected.is_empty(), &service.selector) {
            kept.all(nearly(cluster, wanted, &means.namespace));
        }
        // The ones in trouble say more than the healthy.
        selected.sort_by_key(|p| super::health::ready(p));
        kept.all(selected);
        kept.all(rest.into_iter().filter(|p| backed.contains(&p.key.name)));
        let makes =
            |w: &&crate::evidence::kube::Workload| w.key.namespace == means.namespace && selects(&w.labels);
        out.workloads = cluster.workloads.iter().filter(makes).take(5).cloned().collect();
    }
    for (namespace, label, value) in DNS {
        let serves =
            |p: &&Pod| p.key.namespace == *namespace && p.labels.get(*label).is_some_and(|v| v == value);
        kept.all(cluster.pods.iter().filter(serves).take(3));
    }
    let kept = kept.0;
    out.cut |= kept.len() > PODS_MAX;
    out.pods = kept.into_iter().take(PODS_MAX).cloned().collect();
}

/// Pods that have a part of the labels wanted in the same namespace, all of them in another one, or an image of Redis.
fn nearly<'a>(cluster: &'a Cluster, wanted: &Labels, namespace: &str) -> Vec<&'a Pod> {
    let shared = |p: &Pod| wanted.iter().filter(|(k, v)| p.labels.get(*k) == Some(*v)).count();
    let redis = |p: &Pod| p.containers.iter().any(|c| is_redis(&c.image));
    let mut near: Vec<&Pod> = cluster
        .pods
        .iter()
        .filter(|p| {
            let here = p.key.namespace == namespace;
            (here && (shared(p) > 0 || redis(p))) || (!here && shared(p) == wanted.len())
        })
        .collect();
    near.sort_by_key(|p| (p.key.namespace != namespace, !redis(p), std::cmp::Reverse(shared(p))));
    near.truncate(NEAR_MAX);
    near
}

/// The image's last path element is a Redis's.
pub(super) fn is_redis(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    ["redis", "valkey", "keydb"].iter().any(|w| name.starts_with(w))
}

/// The pod is one of the cluster's name servers.
pub(super) fn is_dns(pod: &Pod) -> bool {
    DNS.iter().any(|(ns, label, value)| {
        pod.key.namespace == *ns && pod.labels.get(*label).is_some_and(|v| v == value)
    })
}
