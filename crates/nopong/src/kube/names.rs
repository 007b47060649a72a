//! What a host name means in a cluster (the DNS specification for Kubernetes: `SERVICE.NAMESPACE.svc.ZONE`).

use super::Cluster;
use crate::evidence::kube::{Key, Kubernetes};

/// The name is certainly one of a cluster: it has the label `svc` where only clusters have it.
pub fn of_a_cluster(host: &str) -> bool {
    explicit(&parts(host)).is_some()
}

/// The name may be one of a cluster: `redis`, `redis.prod`, `redis-0.redis.prod`.
pub fn may_be_of_a_cluster(host: &str) -> bool {
    let parts = parts(host);
    explicit(&parts).is_some() || ((1..=3).contains(&parts.len()) && parts.iter().all(|p| is_label(p)))
}

fn parts(host: &str) -> Vec<String> {
    host.trim_end_matches('.').split('.').map(str::to_ascii_lowercase).collect()
}

/// A DNS label (RFC 1123), as names of Services and namespaces are.
pub fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let edge = |c: Option<&u8>| c.is_some_and(|c| *c != b'-');
    let bytes = text.as_bytes();
    bytes.len() <= 63 && bytes.iter().all(|c| inner(*c)) && edge(bytes.first()) && edge(bytes.last())
}

/// A pod's name: labels with dots between, 253 characters at most.
pub fn is_pod_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 253 && text.split('.').all(is_label)
}

/// `SERVICE.NAMESPACE.svc…` and `POD.SERVICE.NAMESPACE.svc…`.
fn explicit(parts: &[String]) -> Option<Key> {
    let at = parts.iter().position(|p| p == "svc").filter(|at| (2..=3).contains(at))?;
    let (name, namespace) = (parts.get(at - 2)?, parts.get(at - 1)?);
    (is_label(name) && is_label(namespace)).then(|| Key { namespace: namespace.clone(), name: name.clone() })
}

/// The Service that the host means for a client of that namespace, whether it exists or not.
pub fn means(host: &str, namespace: Option<&str>, cluster: &Cluster) -> Option<Key> {
    let parts = parts(host);
    if let Some(key) = explicit(&parts) {
        return Some(key);
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        let has = |all: &[String]| all.iter().any(|a| a == host);
        return cluster.services.iter().find(|s| has(&s.addresses) || has(&s.outside)).map(|s| s.key.clone());
    }
    if !parts.iter().all(|p| is_label(p)) {
        return None;
    }
    let key = |namespace: &str, name: &str| Key { namespace: namespace.to_owned(), name: name.to_owned() };
    match parts.as_slice() {
        [name] => namespace.map(|ns| key(ns, name)),
        // `redis-0.redis` is a pod of a headless Service; `redis.prod` a Service of another namespace.
        [name, ns] if cluster.has_namespace(ns) => Some(key(ns, name)),
        [_, service] => namespace.map(|ns| key(ns, service)).filter(|k| cluster.service(k).is_some()),
        [_, service, ns] => Some(key(ns, service)).filter(|k| cluster.service(k).is_some()),
        _ => None,
    }
}

/// The pod that the name means among those of a headless Service.
pub(super) fn pod_of(host: &str, means: &Key) -> Option<String> {
    let parts = parts(host);
    let at = parts.iter().position(|p| *p == means.name).filter(|at| *at == 1)?;
    parts.get(at - 1).filter(|p| **p != means.name || parts.get(2) == Some(&means.namespace)).cloned()
}

/// Other namespaces that have a Service of the name meant.
pub fn elsewhere(k8s: &Kubernetes) -> Vec<&Key> {
    let Some(means) = &k8s.means else { return Vec::new() };
    let same =
        |s: &&crate::evidence::kube::Service| s.key.name == means.name && s.key.namespace != means.namespace;
    k8s.services.iter().filter(same).map(|s| &s.key).collect()
}

/// The Service meant certainly does not exist.
pub fn missing(k8s: &Kubernetes) -> bool {
    k8s.means.is_some() && k8s.service().is_none() && k8s.knows("Service")
}

#[cfg(test)]
mod tests {
    use super::{is_pod_name, may_be_of_a_cluster, means, of_a_cluster, pod_of};
    use crate::evidence::kube::{Key, Namespace};
    use crate::kube::Cluster;

    #[test]
    fn names_of_a_cluster() {
        for yes in ["redis.prod.svc", "redis.prod.svc.cluster.local.", "redis-0.redis.prod.svc.k8s.example"] {
            assert!(of_a_cluster(yes), "{yes}");
        }
        for no in ["redis", "redis.prod", "svc", "a.svc", "redis.example.com", "10.0.0.1"] {
            assert!(!of_a_cluster(no), "{no}");
        }
        assert!(may_be_of_a_cluster("redis.prod") && !may_be_of_a_cluster("a.b.example.com"));
    }

    #[test]
    fn what_they_mean() {
        let mut cluster = Cluster::default();
        cluster.namespaces.push(Namespace { name: "prod".to_owned(), ..Namespace::default() });
        let of = |host: &str, ns: Option<&str>| means(host, ns, &cluster).map(|k| k.to_string());
        assert_eq!(of("redis", Some("web")).as_deref(), Some("web/redis"));
        assert_eq!(of("redis", None), None);
        assert_eq!(of("redis.prod", Some("web")).as_deref(), Some("prod/redis"));
        assert_eq!(of("redis.example", Some("web")), None);
        assert_eq!(of("Redis.Prod.svc.cluster.local", None).as_deref(), Some("prod/redis"));
        assert_eq!(of("redis-0.redis.prod.svc", None).as_deref(), Some("prod/redis"));
    }

    #[test]
    fn pods_of_headless_services() {
        let key = Key { namespace: "prod".to_owned(), name: "redis".to_owned() };
        assert_eq!(pod_of("redis-0.redis.prod.svc", &key).as_deref(), Some("redis-0"));
        assert_eq!(pod_of("redis.prod.svc", &key), None);
        assert_eq!(
            pod_of("redis.redis.svc", &Key { namespace: "redis".to_owned(), name: "redis".to_owned() }),
            None
        );
    }

    #[test]
    fn hostile_names_are_none() {
        assert!(is_pod_name("web-5f7c-x2x9z") && is_pod_name("a.b"));
        for bad in ["", "--foo", "-a", "a-", "A", "a/b", "a b", "a\n", "..", &"a".repeat(300)] {
            assert!(!is_pod_name(bad), "{bad:?}");
        }
    }
}
