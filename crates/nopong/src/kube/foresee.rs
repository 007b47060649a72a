//! What a client in the cluster would see, when nobody there could be asked: from the objects alone, in the order in
//! which it would meet them. A symptom, not a cause: the causes weigh the same objects as with a real dial.

use super::{endpoints, names, path, ports};
use crate::diagnosis::{Stage, Symptom};
use crate::evidence::kube::Kubernetes;

/// The symptom, its stage and a sentence; none where the objects show no obstacle.
pub fn foresee(k8s: &Kubernetes, host: &str, port: u16) -> Option<(Symptom, Stage, String)> {
    let path = path::path(k8s, host, port, None);
    if path.as_ref().is_some_and(path::Path::dns_denied) {
        let says = format!("the client may not ask the name servers for {host}");
        return Some((Symptom::ResolverFailed, Stage::Resolve, says));
    }
    if names::missing(k8s) {
        return Some((
            Symptom::NameNotFound,
            Stage::Resolve,
            format!("the name {host} does not resolve there"),
        ));
    }
    if let Some(empty) = endpoints::empty(k8s, port) {
        if empty.service.headless {
            let says =
                format!("the name {host} has no address there: its Service is headless and nobody is ready");
            return Some((Symptom::NameNotFound, Stage::Resolve, says));
        }
        let says = format!("nobody stands behind {host}:{port}");
        return Some((Symptom::Refused, Stage::Connect, says));
    }
    let denied = path.as_ref().and_then(|p| p.denied().map(|_| p));
    if denied.is_some_and(|p| p.open == 0) {
        return Some((
            Symptom::TimedOut,
            Stage::Connect,
            format!("nothing that the client sends reaches {host}:{port}"),
        ));
    }
    match ports::fault(k8s, port)? {
        // kube-proxy's iptables mode translates nothing for such a port: the packet is lost.
        ports::Fault::NotOfService(_) => {
            Some((Symptom::TimedOut, Stage::Connect, format!("the Service behind {host} has no port {port}")))
        }
        _ => Some((Symptom::Refused, Stage::Connect, format!("nobody listens behind {host}:{port}"))),
    }
}
