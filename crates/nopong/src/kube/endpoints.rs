//! Whether a Service has anybody behind it, and why not.

use super::health::{self, Trouble};
use super::{ports, selector};
use crate::evidence::kube::{Endpoint, Kubernetes, Labels, Pod, Service};

/// Why nobody stands behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// The selector matches no pod: what it wants; the nearest pods and what they lack; what makes such pods.
    NoPods {
        /// The selector in words.
        wants: String,
        /// `redis-0 wants app=redis, there is app=cache`.
        near: Vec<String>,
        /// `Deployment prod/redis is scaled to 0`.
        makers: Vec<String>,
    },
    /// The pods are there, and this is wrong with each.
    Pods(Vec<Trouble>),
    /// There is no selector, and nobody made endpoints by hand.
    ByHand,
    /// `internalTrafficPolicy: Local`, and none of the ready ones is on the client's node.
    NotOnNode(String),
    /// Not ready, and why cannot be told: the pods were not read.
    Unknown,
}

/// A Service without a usable endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Empty<'a> {
    /// The Service.
    pub service: &'a Service,
    /// Endpoints that are listed and not ready.
    pub listed: usize,
    /// The endpoint slices themselves say so; else it was concluded from the pods.
    pub by_slices: bool,
    /// Why.
    pub lack: Lack,
}

/// The pods that the Service's selector matches.
pub fn selected<'a>(k8s: &'a Kubernetes, service: &Service) -> Vec<&'a Pod> {
    let Some(wanted) = &service.selector else { return Vec::new() };
    let wanted = selector::of_labels(wanted);
    k8s.pods
        .iter()
        .filter(|p| p.key.namespace == service.key.namespace && selector::matches(&wanted, &p.labels))
        .collect()
}

fn endpoints<'a>(k8s: &'a Kubernetes, service: &Service) -> Vec<&'a Endpoint> {
    k8s.slices.iter().filter(|s| s.service == service.key).flat_map(|s| &s.endpoints).collect()
}

/// An endpoint takes connections: what is not said of it is to be taken as ready (discovery/v1).
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.ready != Some(false)
}

/// The pods behind the ready endpoints; by their own condition where no slices were read.
pub fn ready_pods<'a>(k8s: &'a Kubernetes, service: &Service) -> Vec<&'a Pod> {
    if !k8s.knows("EndpointSlice") {
        return selected(k8s, service).into_iter().filter(|p| health::ready(p)).collect();
    }
    let ready: Vec<&str> = endpoints(k8s, service)
        .into_iter()
        .filter(|e| is_ready(e))
        .filter_map(|e| e.pod.as_deref())
        .collect();
    let of = |p: &&Pod| p.key.namespace == service.key.namespace && ready.contains(&p.key.name.as_str());
    k8s.pods.iter().filter(of).collect()
}

/// The Service meant has no usable endpoint; none where it has one, or where that is not known.
pub fn empty<'a>(k8s: &'a Kubernetes, port: u16) -> Option<Empty<'a>> {
    let service = k8s.service().filter(|s| s.external_name.is_none())?;
    let all = endpoints(k8s, service);
    let by_slices = k8s.knows("EndpointSlice");
    let ready = all.iter().filter(|e| is_ready(e)).count();
    let pods = selected(k8s, service);
    let lack = |lack: Lack| Some(Empty { service, listed: all.len(), by_slices, lack });
    if by_slices && ready > 0 {
        let node = k8s.client_pod().and_then(|p| p.node.as_deref());
        let near = |e: &&&Endpoint| is_ready(e) && (e.node.is_none() || e.node.as_deref() == node);
        return match node {
            Some(node) if service.local_only && all.iter().filter(near).count() == 0 => {
                lack(Lack::NotOnNode(node.to_owned()))
            }
            _ => None,
        };
    }
    // A targetPort that no pod names leaves no endpoint either: that is the port's fault, not the pods'.
    if matches!(ports::fault(k8s, port), Some(ports::Fault::NoSuchName(..))) {
        return None;
    }
    let Some(wanted) = &service.selector else {
        return by_slices.then(|| lack(Lack::ByHand)).flatten();
    };
    if pods.is_empty() {
        if !k8s.knows("Pod") {
            return by_slices.then(|| lack(Lack::Unknown)).flatten();
        }
        return lack(no_pods(k8s, service, wanted));
    }
    // Pods that are ready although the slices list nobody: one of the two is older than the other.
    let serving =
        pods.iter().filter(|p| health::ready(p) || (service.publish_not_ready && !p.addresses.is_empty()));
    if serving.count() > 0 {
        return None;
    }
    let troubles: Vec<Trouble> = pods.iter().filter_map(|p| health::trouble(p)).collect();
    if troubles.is_empty() && !by_slices {
        return None;
    }
    lack(if troubles.is_empty() { Lack::Unknown } else { Lack::Pods(troubles) })
}

fn no_pods(k8s: &Kubernetes, service: &Service, wanted: &Labels) -> Lack {
    let wanted = selector::of_labels(wanted);
    let near = k8s
        .pods
        .iter()
        .filter(|p| !super::excerpt::is_dns(p) && Some(&p.key) != k8s.client.as_ref())
        .filter_map(|p| match selector::lacks(&wanted, &p.labels) {
            Some(lacks) if p.key.namespace == service.key.namespace => {
                Some(format!("{}: the selector {lacks}", p.key.name))
            }
            None => Some(format!("{} has these labels, in another namespace", p.key)),
            Some(_) => None,
        })
        .take(3)
        .collect();
    let makers = k8s.workloads.iter().filter_map(|w| {
        let of = format!("{} {}", w.kind, w.key);
        match &w.trouble {
            Some(trouble) => Some(format!("{of} cannot make pods: {trouble}")),
            None if w.replicas == 0 => Some(format!("{of} is scaled to 0")),
            None => None,
        }
    });
    Lack::NoPods { wants: selector::shown(&wanted), near, makers: makers.collect() }
}

impl Lack {
    /// In a title, after "Service prod/redis has no ready endpoint: ".
    pub fn short(&self) -> String {
        match self {
            Self::NoPods { makers, .. } if !makers.is_empty() => makers[0].clone(),
            Self::NoPods { wants, .. } => format!("no pod has the labels {wants}"),
            Self::Pods(troubles) => {
                let first = troubles.first().map(|t| t.short.clone()).unwrap_or_default();
                match troubles.len() {
                    0 | 1 => first,
                    n => format!("{first}, and {} more", n - 1),
                }
            }
            Self::ByHand => "it has no selector, and nobody gave it endpoints".to_owned(),
            Self::NotOnNode(node) => {
                format!("internalTrafficPolicy is Local, and none runs on the client's node {node}")
            }
            Self::Unknown => "why was not to be seen".to_owned(),
        }
    }
}
