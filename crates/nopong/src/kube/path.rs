//! The client's way to the server's pods, and what the policies do with it: the names it must ask for, out, and in.

use super::policy::{Decision, Direction, End, Flow, Verdict, decide};
use super::{endpoints, excerpt, ports};
use crate::evidence::kube::{Kubernetes, Labels, Pod};
use std::net::IpAddr;

/// Most of the server's pods judged one by one.
const PODS_MAX: usize = 10;

/// Both ends, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The client's questions to the name servers, UDP 53; none where the client is no pod or the target an address.
    pub dns: Option<Decision>,
    /// Out of the client, the worst over the server's pods.
    pub egress: Option<Decision>,
    /// Into the server, the worst over its pods.
    pub ingress: Option<Decision>,
    /// The pods' port.
    pub port: u16,
    /// The pod that the worst was found for.
    pub pod: Option<String>,
    /// Pods that the client is not kept from, when others are: the outcome is then a matter of luck.
    pub open: usize,
    /// Pods judged.
    pub of: usize,
}

impl Path {
    /// What stands in the way, in the order in which the client meets it.
    pub fn denied(&self) -> Option<&Decision> {
        self.all().find(|d| d.verdict == Verdict::Denied)
    }

    /// All decisions, in the order in which the client meets them.
    pub fn all(&self) -> impl Iterator<Item = &Decision> {
        [&self.dns, &self.egress, &self.ingress].into_iter().flatten()
    }

    /// The denial is that of the name servers.
    pub fn dns_denied(&self) -> bool {
        self.dns.as_ref().is_some_and(|d| d.verdict == Verdict::Denied)
    }
}

/// The client as one end. A client that is no pod of the cluster has an address at most.
fn client<'a>(k8s: &'a Kubernetes, address: Option<IpAddr>) -> End<'a> {
    let name = match &k8s.client {
        Some(key) => format!("the client ({key})"),
        None => "the client".to_owned(),
    };
    match k8s.client_pod() {
        Some(pod) => End::pod(name, pod),
        None => End {
            name,
            namespace: k8s.namespace.as_deref(),
            labels: None,
            addresses: address.into_iter().collect(),
            host_network: false,
            pod: None,
        },
    }
}

/// Judges the way to the target; none where no pod of the server is known.
pub fn path(k8s: &Kubernetes, host: &str, port: u16, address: Option<IpAddr>) -> Option<Path> {
    let client = client(k8s, address);
    let pods = servers(k8s, host);
    let pod_port = ports::pod_port(k8s, host, port);
    let mut path = Path {
        dns: None,
        egress: None,
        ingress: None,
        port: port_of(&pod_port, port),
        pod: None,
        open: 0,
        of: pods.len(),
    };
    if k8s.namespace.is_some() && host.parse::<IpAddr>().is_err() {
        path.dns = Some(dns(k8s, &client));
    }
    for pod in pods.iter().take(PODS_MAX) {
        let to = End::pod(format!("the server ({})", pod.key), pod);
        let port = pod_port.of(pod).unwrap_or(port);
        let flow = Flow { from: &client, to: &to, protocol: "TCP", port };
        let egress = decide(k8s, Direction::Egress, &flow);
        let ingress = decide(k8s, Direction::Ingress, &flow);
        let badness = |d: &Decision| match d.verdict {
            Verdict::Denied => 2,
            Verdict::Undecided(_) => 1,
            Verdict::Allowed { .. } => 0,
        };
        let worse =
            |new: &Decision, old: &Option<Decision>| old.as_ref().is_none_or(|o| badness(new) > badness(o));
        path.open += usize::from(badness(&egress) == 0 && badness(&ingress) == 0);
        if worse(&egress, &path.egress) || worse(&ingress, &path.ingress) {
            (path.port, path.pod) = (port, Some(pod.key.to_string()));
        }
        if worse(&egress, &path.egress) {
            path.egress = Some(egress);
        }
        if worse(&ingress, &path.ingress) {
            path.ingress = Some(ingress);
        }
    }
    if pods.is_empty() {
        path.egress = outside(k8s, &client, port);
    }
    (path.dns.is_some() || path.egress.is_some()).then_some(path)
}

fn port_of(found: &ports::PodPort, dialled: u16) -> u16 {
    match found {
        ports::PodPort::Number(n) => *n,
        ports::PodPort::Name(_) => dialled,
    }
}

/// The server's pods: the one named, the ready endpoints, else all that are selected.
fn servers<'a>(k8s: &'a Kubernetes, host: &str) -> Vec<&'a Pod> {
    if let Some(pod) = k8s.server.as_ref().and_then(|key| k8s.pod(key)) {
        return vec![pod];
    }
    let at = |p: &&Pod| !p.host_network && p.addresses.iter().any(|a| a == host);
    if let Some(pod) = k8s.pods.iter().find(at) {
        return vec![pod];
    }
    let Some(service) = k8s.service() else { return Vec::new() };
    if let Some(name) = super::names::pod_of(host, &service.key) {
        return endpoints::selected(k8s, service).into_iter().filter(|p| p.key.name == name).collect();
    }
    let ready = endpoints::ready_pods(k8s, service);
    if ready.is_empty() { endpoints::selected(k8s, service) } else { ready }
}

/// A Service whose endpoints are no pods: databases outside of the cluster.
fn outside(k8s: &Kubernetes, client: &End<'_>, port: u16) -> Option<Decision> {
    let service = k8s.service()?;
    let addresses: Vec<IpAddr> = k8s
        .slices
        .iter()
        .filter(|s| s.service == service.key)
        .flat_map(|s| &s.endpoints)
        .filter(|e| e.pod.is_none())
        .flat_map(|e| e.addresses.iter().filter_map(|a| a.parse().ok()))
        .collect();
    let to = End {
        name: "the server".to_owned(),
        namespace: None,
        labels: None,
        addresses,
        host_network: false,
        pod: None,
    };
    (!to.addresses.is_empty())
        .then(|| decide(k8s, Direction::Egress, &Flow { from: client, to: &to, protocol: "TCP", port }))
}

/// Whether the client may ask the cluster's name servers. Their port is 53 unless their pods say otherwise (OpenShift:
/// 5353). Where none was seen they are taken to be where kubeadm and the clouds put them.
fn dns(k8s: &Kubernetes, client: &End<'_>) -> Decision {
    let usual: Labels = [("k8s-app".to_owned(), "kube-dns".to_owned())].into();
    let pod = k8s.pods.iter().find(|p| excerpt::is_dns(p));
    let to = match pod {
        Some(pod) => End::pod("the name server".to_owned(), pod),
        None => End {
            name: "the name server".to_owned(),
            namespace: Some("kube-system"),
            labels: Some(&usual),
            addresses: Vec::new(),
            host_network: false,
            pod: None,
        },
    };
    let port = pod.and_then(|p| super::policy::names_port(p, "dns", "UDP").first().copied()).unwrap_or(53);
    let mut decision = decide(k8s, Direction::Egress, &Flow { from: client, to: &to, protocol: "UDP", port });
    // A cache on the node (NodeLocal DNSCache, 169.254.20.10) is no pod: an address that a rule names may be its.
    let named = |p: &&crate::evidence::kube::Policy| decision.policies.contains(&p.key.to_string());
    let block = k8s.policies.iter().filter(named).flat_map(|p| &p.egress).find(|rule| {
        let by_block = rule.peers.iter().any(|p| p.block.is_some());
        by_block && (rule.ports.is_empty() || rule.ports.iter().any(|p| p.protocol == "UDP"))
    });
    if decision.verdict == Verdict::Denied && block.is_some() {
        decision.verdict =
            Verdict::Undecided("a rule names an address, and the name server may be there".to_owned());
    }
    decision
}
