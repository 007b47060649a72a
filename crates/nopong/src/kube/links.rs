//! Service links: the variables that the kubelet injects into every container for every Service of its namespace that has
//! a cluster address (`enableServiceLinks`, true unless said): `REDIS_PORT=tcp://10.96.0.10:6379`.

use crate::evidence::kube::{Kubernetes, Pod, Service};

/// The Service's name as the variables have it (kubelet envvars, makeEnvVariableName).
fn prefix(service: &Service) -> String {
    service.key.name.to_ascii_uppercase().replace('-', "_")
}

/// Its variables are ones that applications read as settings of Redis.
pub(super) fn about_redis(service: &Service) -> bool {
    let prefix = prefix(service);
    injects(service) && ["REDIS", "VALKEY", "KEYDB"].iter().any(|w| prefix.contains(w))
}

/// Headless Services and external names have no address and inject nothing.
fn injects(service: &Service) -> bool {
    !service.addresses.is_empty() && !service.headless && service.external_name.is_none()
}

/// The Service that injects a variable of that name into pods of the client's namespace.
pub fn injected_by<'a>(k8s: &'a Kubernetes, variable: &str) -> Option<&'a Service> {
    let namespace = k8s.namespace.as_ref()?;
    let stem = variable.strip_suffix("_PORT")?;
    k8s.services.iter().find(|s| s.key.namespace == *namespace && injects(s) && prefix(s) == stem)
}

/// The value injected: the first port's.
pub fn value(service: &Service) -> Option<String> {
    let (address, port) = (service.addresses.first()?, service.ports.first()?);
    let address = if address.contains(':') { format!("[{address}]") } else { address.clone() };
    Some(format!("{}://{address}:{}", port.protocol.to_ascii_lowercase(), port.port))
}

/// A collision of the client's pod: its application reads HOST and PORT variables, sets the one itself, and gets the other
/// injected. The variable and the Service.
pub fn collision(k8s: &Kubernetes) -> Option<(String, &Service)> {
    let pod = k8s.client_pod().filter(|p| !p.no_service_links)?;
    let namespace = &pod.key.namespace;
    k8s.services
        .iter()
        .filter(|s| s.key.namespace == *namespace && about_redis(s) && older(s, pod))
        .map(|s| (format!("{}_PORT", prefix(s)), s))
        .find(|(port, _)| {
            let host = format!("{}_HOST", port.trim_end_matches("_PORT"));
            pod.containers.iter().any(|c| {
                let sets = |name: &str| c.env.iter().any(|v| v.name == name);
                // What comes from a whole ConfigMap or Secret is not seen here, and may well set it.
                !c.init && c.env_from.is_empty() && sets(&host) && !sets(port)
            })
        })
}

/// Only Services that are there when a pod starts are injected into it. RFC 3339 in UTC sorts as text.
fn older(service: &Service, pod: &Pod) -> bool {
    match (&service.created, &pod.started) {
        (Some(created), Some(started)) => created <= started,
        _ => true,
    }
}
