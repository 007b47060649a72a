//! Ports on the way: the one dialled, the Service's, the pods'.

use super::{endpoints, health};
use crate::evidence::kube::{Kubernetes, Pod, Port, Service, ServicePort};

/// The pods' port that the dialled one leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodPort {
    /// A number.
    Number(u16),
    /// A name that each pod gives a number to.
    Name(String),
}

impl PodPort {
    /// Its number in that pod.
    pub fn of(&self, pod: &Pod) -> Option<u16> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Name(name) => super::policy::names_port(pod, name, "TCP").first().copied(),
        }
    }
}

/// What is wrong with the port, where Service and pods tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The Service has no such port; the ones it has.
    NotOfService(Vec<u16>),
    /// No pod names a port like the targetPort; the names there are.
    NoSuchName(String, Vec<String>),
    /// The pods declare other ports than the targetPort, or were told another: `--port`.
    NotOfPods(u16, Vec<u16>),
    /// A headless Service translates nothing: the pods' port must be dialled.
    Headless(u16),
}

/// The Service's TCP port of that number.
pub fn service_port(service: &Service, port: u16) -> Option<&ServicePort> {
    service.ports.iter().find(|p| p.port == port && p.protocol == "TCP")
}

/// Where the dialled port leads, as far as the Service tells: nothing is translated for a headless one, nor for a pod's
/// own address.
pub fn pod_port(k8s: &Kubernetes, host: &str, port: u16) -> PodPort {
    let service = k8s
        .service()
        .filter(|s| !s.headless && !k8s.pods.iter().any(|p| p.addresses.iter().any(|a| a == host)));
    match service.and_then(|s| service_port(s, port)).map(|p| &p.target) {
        Some(Port::Number(n)) => PodPort::Number(*n),
        Some(Port::Name(name)) => PodPort::Name(name.clone()),
        None => PodPort::Number(port),
    }
}

/// Ports that the pod's own words name: `--port`, else those its containers declare.
fn told(pod: &Pod) -> Vec<u16> {
    let main = || pod.containers.iter().filter(|c| !c.init);
    let argument: Vec<u16> = main().filter_map(|c| c.port_argument).collect();
    if !argument.is_empty() {
        return argument;
    }
    main().flat_map(|c| c.ports.iter().filter(|p| p.2 == "TCP").map(|p| p.1)).collect()
}

/// What is wrong with the port dialled.
pub fn fault(k8s: &Kubernetes, port: u16) -> Option<Fault> {
    let service = k8s.service().filter(|s| s.external_name.is_none())?;
    let selected = endpoints::selected(k8s, service);
    if service.headless {
        let wanted = service_port(service, port).map(|p| p.target.clone());
        let told: Vec<u16> = selected.iter().flat_map(|p| told(p)).collect();
        let right = told.first().copied().filter(|_| !told.contains(&port))?;
        // Only where the Service pretends to translate is it known what was meant.
        return (wanted.is_some_and(|t| t != Port::Number(port))).then_some(Fault::Headless(right));
    }
    let Some(found) = service_port(service, port) else {
        let all: Vec<u16> = service.ports.iter().filter(|p| p.protocol == "TCP").map(|p| p.port).collect();
        return (!all.is_empty()).then_some(Fault::NotOfService(all));
    };
    if selected.is_empty() {
        return None;
    }
    match &found.target {
        Port::Name(name) => {
            let lacks = |p: &&Pod| super::policy::names_port(p, name, "TCP").is_empty();
            selected.iter().copied().all(|p| lacks(&p)).then(|| {
                let names = selected.iter().flat_map(|p| &p.containers).flat_map(|c| &c.ports);
                let mut names: Vec<String> = names.filter_map(|(n, ..)| n.clone()).collect();
                names.sort();
                names.dedup();
                Fault::NoSuchName(name.clone(), names)
            })
        }
        Port::Number(n) => {
            let ready: Vec<_> = selected.iter().filter(|p| health::ready(p)).collect();
            let told: Vec<u16> = ready.iter().flat_map(|p| told(p)).collect();
            (!told.is_empty() && ready.iter().all(|p| !self::told(p).is_empty()) && !told.contains(n))
                .then_some(Fault::NotOfPods(*n, told))
        }
    }
}
