//! The name exists, but on another network: a compose service, a pod's service name, a home's or a company's.

use super::name_not_found::{of_one_network, surely_meant};
use super::shared::{answered, name};
use crate::cause::common::{meta, stands};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::kube::Key;
use crate::kube::names;

/// See the module.
#[derive(Debug)]
pub(super) struct NameOnOtherNetwork;

static META: Meta = meta(
    "name-on-other-network",
    Category::Address,
    Stage::Resolve,
    "the name exists on another network only",
    &["name", "settings", "kubernetes"],
);

/// Docker's resolver inside user-defined networks (libnetwork, resolver.go).
const DOCKER_RESOLVER: &str = "127.0.0.11";

/// The Service that the name means in a cluster, which is not there, and those of its name in other namespaces.
fn namesakes<'a>(case: &Case<'a>) -> Option<(&'a Key, Vec<&'a Key>)> {
    let k8s = case.file.client.kubernetes.get().filter(|k| names::missing(k))?;
    let others = names::elsewhere(k8s);
    Some((k8s.means.as_ref()?, others)).filter(|(_, others)| !others.is_empty())
}

impl Cause for NameOnOtherNetwork {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed) {
            return Vec::new();
        }
        if let Some((means, others)) = namesakes(case) {
            let list: Vec<_> = others.iter().take(3).map(ToString::to_string).collect();
            let says = format!("there is no Service {means}, and there is {}", list.join(" and "));
            let bearing = if surely_meant(case) { Reason::confirms } else { Reason::strong };
            return vec![bearing("kubernetes", says)];
        }
        let Some(name) = name(case) else { return Vec::new() };
        if !of_one_network(&name.asked) {
            return vec![Reason::rules_out("name", "the name is a full one, not one of a local network")];
        }
        let mut reasons = Vec::new();
        let container = case.client.standing.get().and_then(|s| s.container.as_deref());
        let asked = &name.asked;
        let says = match container {
            Some(container) if !asked.contains('.') => {
                let docker = name
                    .resolvers
                    .iter()
                    .any(|r| r.server.ip().to_string() == DOCKER_RESOLVER && answered(r));
                let whose = if docker {
                    "Docker's own resolver answers, and knows no such service"
                } else {
                    "names of services exist on their own network only"
                };
                Some(format!("{asked} is a name without dots, asked inside {container}: {whose}"))
            }
            None if asked.ends_with(".cluster.local") || asked.ends_with(".svc") => {
                Some(format!("{asked} is a name of a Kubernetes cluster, and this is no pod"))
            }
            None if asked.ends_with(".docker.internal") => {
                Some(format!("{asked} is a name that Docker makes inside containers, and this is none"))
            }
            _ => None,
        };
        if let Some(says) = says {
            reasons.push(Reason::strong("name", says));
        }
        // The setting comes from a compose file, and its names exist inside its containers.
        let of_compose = |place: &str| place.contains("compose");
        let settings = case.client.settings.get().map_or(&[][..], |s| s.found.as_slice());
        if container.is_none() {
            if let Some(s) =
                settings.iter().find(|s| of_compose(&s.place) && s.value.contains(asked.as_str()))
            {
                reasons.push(Reason::strong(
                    "settings",
                    format!("{} names it: names of a compose file exist inside its containers", s.place),
                ));
            } else if !asked.contains('.') && reasons.is_empty() {
                reasons.push(Reason::weak(
                    "name",
                    format!(
                        "{asked} is a name without dots, as compose services have, and this is no container"
                    ),
                ));
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some((means, others)) = namesakes(case) {
            return format!(
                "Service {} is in namespace {}, not in {}",
                means.name, others[0].namespace, means.namespace
            );
        }
        format!(
            "the name {} probably exists on another network only",
            crate::text::shown_str(&case.ask.host, 100)
        )
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some((_, others)) = namesakes(case) {
            let host = format!("{}.{}.svc", others[0].name, others[0].namespace);
            return Some(
                Fix::new(Risk::Advice, format!("dial {host}"))
                    .run(
                        "see which of them is meant",
                        format!("kubectl get service -A --field-selector metadata.name={}", others[0].name),
                    )
                    .step(format!("then correct the name {}", stands(case)))
                    .step("a password or certificate of the one namespace may not fit the other's server"),
            );
        }
        let container = case.client.standing.get().is_some_and(|s| s.container.is_some());
        let fix = Fix::new(Risk::Advice, "dial by a name that exists where the client stands");
        Some(if container {
            fix.step("put client and Redis on one network: the same compose project, or an external network named by both")
                .step("in Kubernetes, from another namespace: SERVICE.NAMESPACE.svc")
                .step("see also whether the Redis container runs: the name of a crashed one does not resolve")
        } else {
            fix.step("from the host: publish the port (ports: \"127.0.0.1:6379:6379\") and dial 127.0.0.1")
                .step("or run the command inside the network: docker compose run, kubectl exec")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::NameOnOtherNetwork;
    use crate::cause::testing::{bearings, client, refused, rules_out, seen, silent};
    use crate::diagnosis::Bearing;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Name, Standing};

    fn asked(host: &str, container: Option<&str>) -> CaseFile {
        let mut file = client(host, 6379);
        let error = Some("EAI_NONAME".to_owned());
        file.client.name = seen(Name { asked: host.to_owned(), error, ..Name::default() });
        file.client.standing =
            seen(Standing { container: container.map(str::to_owned), ..Standing::default() });
        file
    }

    #[test]
    fn strong_where_the_name_and_the_place_do_not_fit() {
        assert_eq!(
            bearings(&NameOnOtherNetwork, &asked("redis", Some("a Docker container"))),
            [Bearing::Strong]
        );
        assert_eq!(bearings(&NameOnOtherNetwork, &asked("redis.app.svc", None)), [Bearing::Strong]);
        assert_eq!(bearings(&NameOnOtherNetwork, &asked("redis", None)), [Bearing::Weak]);
    }

    #[test]
    fn ruled_out_for_a_full_name() {
        assert!(rules_out(&NameOnOtherNetwork, &asked("redis.example.org", None)));
    }

    #[test]
    fn silent_about_addresses() {
        assert!(silent(&NameOnOtherNetwork, &refused()));
    }
}
