//! The name exists, but on another network: a compose service, a pod's service name, a home's or a company's.

use super::name_not_found::{of_one_network, surely_meant};
use super::shared::{answered, name, remark_beside, remarked};
use crate::cause::common::{meta, sh, stands};
use crate::cause::containers::{self, Tie};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::containers::{Composed, Container};
use crate::evidence::kube::Key;
use crate::kube::names;

/// See the module.
#[derive(Debug)]
pub(super) struct NameOnOtherNetwork;

static META: Meta = Meta {
    // Docker's resolver forgets the name of a container that does not run.
    masked_by: &["container-stopped", "container-crashing", "config-invalid", "oom-killed"],
    ..meta(
        "name-on-other-network",
        Category::Address,
        Stage::Resolve,
        "the name exists on another network only",
        &["name", "settings", "container", "kubernetes"],
    )
};

/// Docker's resolver inside user-defined networks (libnetwork, resolver.go).
const DOCKER_RESOLVER: &str = "127.0.0.11";

/// The Service that the name means in a cluster, which is not there, and those of its name in other namespaces.
fn namesakes<'a>(case: &Case<'a>) -> Option<(&'a Key, Vec<&'a Key>)> {
    let k8s = case.file.client.kubernetes.get().filter(|k| names::missing(k))?;
    let others = names::elsewhere(k8s);
    Some((k8s.means.as_ref()?, others)).filter(|(_, others)| !others.is_empty())
}

/// What the engine tells of the name or the address.
enum Told<'a> {
    /// The container that bears it is on networks that the client's container is not on.
    Apart(&'a Container, &'a Container),
    /// Both are on the default bridge, which resolves no names.
    Bridge(&'a Container, &'a Container),
    /// It is a container's, and the client stands on the host, or uses its network.
    Host(&'a Container),
    /// It is a service of a compose file here, of which there is no container.
    Composed(&'a Composed),
}

fn told<'a>(case: &Case<'a>) -> Option<Told<'a>> {
    let all = containers::all(case)?;
    let unresolved = matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed);
    let cut_off = matches!(case.symptom, Symptom::TimedOut | Symptom::Unreachable | Symptom::NoRoute);
    let meant = containers::meant(case).filter(|m| match m.tie {
        Tie::Name => unresolved,
        Tie::Named => unresolved && m.container.answers_to(&case.ask.host),
        Tie::Address => cut_off,
        _ => false,
    });
    let Some(meant) = meant else {
        return all.composed.as_ref().filter(|_| unresolved && !containers::inside(case)).map(Told::Composed);
    };
    let (c, own) = (meant.container, containers::own(case).filter(|_| containers::inside(case)));
    let Some(own) = own else { return unresolved.then_some(Told::Host(c)) };
    match containers::shared_network(own, c) {
        None => Some(Told::Apart(c, own)),
        Some("bridge") if unresolved && c.runs() => Some(Told::Bridge(c, own)),
        Some(_) => None,
    }
}

fn on(c: &Container) -> String {
    match c.network_names().as_slice() {
        [] | ["none"] => "no network".to_owned(),
        ["host"] => "the host's network".to_owned(),
        names => names.join(", "),
    }
}

fn because(case: &Case<'_>, told: &Told<'_>) -> Vec<Reason> {
    let host = crate::text::shown_str(&case.ask.host, 100);
    let says = match told {
        Told::Apart(c, own) => {
            format!(
                "{} is on {}, and {} is on {}",
                containers::named(c),
                on(c),
                containers::named(own),
                on(own)
            )
        }
        Told::Bridge(c, own) => format!(
            "{} and {} are on Docker's default bridge, and that resolves no names of containers",
            containers::named(c),
            containers::named(own)
        ),
        Told::Host(c) => format!(
            "{host} is {} on {}; its names exist inside these networks, and you dial from the host",
            containers::named(c),
            on(c)
        ),
        Told::Composed(service) => {
            let says =
                format!("{host} is the service {} of {}:{}", service.service, service.file, service.line);
            return vec![Reason::confirms(
                "container",
                format!("{says}; no container of it is here, and its name exists inside its network only"),
            )];
        }
    };
    vec![Reason::confirms("container", says)]
}

fn title(case: &Case<'_>, told: &Told<'_>) -> String {
    let host = crate::text::shown_str(&case.ask.host, 100);
    match told {
        Told::Apart(c, own) => {
            format!("{} and {} share no network", containers::named(c), containers::named(own))
        }
        Told::Bridge(..) => format!("{host} is on the default bridge, where containers have no names"),
        Told::Host(c) => match c.published().next() {
            Some((_, at)) => {
                format!(
                    "{host} is a container's name: it means nothing on the host, where its port is {}",
                    dial(at)
                )
            }
            None => format!(
                "{host} is a container's name: it means nothing on the host, and its port is not published"
            ),
        },
        Told::Composed(service) => match service.ports.first() {
            Some(port) => format!(
                "{host} is a compose service: its name means nothing on the host, where it would publish {port}"
            ),
            None => format!(
                "{host} is a compose service: its name means nothing on the host, and it publishes no port"
            ),
        },
    }
}

/// The address that leads to a published port from the host itself.
fn dial(at: std::net::SocketAddr) -> String {
    if at.ip().is_unspecified() { format!("127.0.0.1:{}", at.port()) } else { at.to_string() }
}

fn fix(case: &Case<'_>, told: &Told<'_>) -> Fix {
    let engine = containers::engine(case);
    match told {
        Told::Apart(c, own) | Told::Bridge(c, own) => {
            let usable = |c: &Container| {
                c.networks
                    .iter()
                    .map(|n| n.network.clone())
                    .find(|n| !matches!(n.as_str(), "bridge" | "none" | "host"))
            };
            let fix = Fix::new(Risk::Ask, "put both containers on one network");
            // `none` cannot be left for another network while the container runs.
            let fix = match (usable(own), usable(c)) {
                _ if on(own) == "no network" => fix.step(format!(
                    "container {} was made without a network: make it anew with --network {}",
                    own.name,
                    usable(c).unwrap_or_else(|| "a network of its own with Redis".to_owned())
                )),
                (_, Some(network)) => fix.run(
                    "attach the client to Redis's network",
                    format!("{engine} network connect {} {}", sh(&network), sh(&own.name)),
                ),
                (Some(network), None) => fix.run(
                    "attach Redis to the client's network",
                    format!("{engine} network connect {} {}", sh(&network), sh(&c.name)),
                ),
                (None, None) => fix
                    .run("make a network", format!("{engine} network create redis-net"))
                    .run("attach Redis", format!("{engine} network connect redis-net {}", sh(&c.name)))
                    .run(
                        "attach the client",
                        format!("{engine} network connect redis-net {}", sh(&own.name)),
                    ),
            };
            let fix = fix.run(
                "see that it answers from there",
                format!(
                    "nopong --from {} redis://{}:{}",
                    sh(&format!("container:{}", own.name)),
                    sh(&c.name),
                    case.ask.port
                ),
            );
            fix.step("to keep it: in compose the same under networks: of the service, and networks: NAME: external: true when it is another project's")
        }
        Told::Host(c) => {
            let fix =
                Fix::new(Risk::Advice, "from the host dial the published port; the name is for containers");
            match c.published().next() {
                Some((_, at)) => fix
                    .run("see that it answers", format!("nopong redis://{}", dial(at)))
                    .step(format!("then correct the address {}", stands(case))),
                None => {
                    let at = std::net::SocketAddr::new([127, 0, 0, 1].into(), case.ask.port);
                    containers::publish(fix, case, c, at, case.ask.port)
                        .run("then dial it", format!("nopong redis://{at}"))
                }
            }
        }
        Told::Composed(service) => {
            Fix::new(Risk::Advice, "start the service, and from the host dial its published port")
                .run("start it", format!("{engine} compose up -d {}", sh(&service.service)))
                .run(
                    "see where its port is published",
                    format!("{engine} compose port {} {}", sh(&service.service), case.ask.port),
                )
                .step("without one: add to the service  ports: [\"127.0.0.1:6379:6379\"]")
        }
    }
}

impl Cause for NameOnOtherNetwork {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(told) = told(case) {
            return because(case, &told);
        }
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
        let mut reasons: Vec<Reason> = remarked(case, META.id).into_iter().collect();
        if containers::inside(case)
            && containers::all(case)
                .is_some_and(|c| c.unread.is_empty() && !c.found.iter().any(|c| c.answers_to(&name.asked)))
        {
            return vec![Reason::rules_out(
                "container",
                "no container of this machine bears the name, on whatever network",
            )];
        }
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
        let of_compose =
            |s: &crate::evidence::client::Setting| s.inside.is_some() || s.place.contains("compose");
        let settings = case.client.settings.get().map_or(&[][..], |s| s.found.as_slice());
        if container.is_none() {
            if let Some(s) = settings.iter().find(|s| of_compose(s) && s.value.contains(asked.as_str())) {
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
        if let Some(told) = told(case) {
            return title(case, &told);
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
        if let Some(told) = told(case) {
            return Some(fix(case, &told));
        }
        let container = case.client.standing.get().is_some_and(|s| s.container.is_some());
        let fix = Fix::new(Risk::Advice, "dial by a name that exists where the client stands");
        Some(if container {
            let fix = match case.client.standing.get().filter(|_| containers::lone_name(case)) {
                Some(standing) => fix.run(
                    "on the Docker host: see which container it is, and whether it runs",
                    format!(
                        "sudo nopong --from {} redis://{}:{}",
                        sh(&format!("container:{}", standing.hostname)),
                        sh(&case.ask.host),
                        case.ask.port
                    ),
                ),
                None => fix,
            };
            fix.step("put client and Redis on one network: the same compose project, or an external network named by both")
                .step("in Kubernetes, from another namespace: SERVICE.NAMESPACE.svc")
                .step("see also whether the Redis container runs: the name of a crashed one does not resolve")
        } else {
            fix.step("from the host: publish the port (ports: \"127.0.0.1:6379:6379\") and dial 127.0.0.1")
                .step("or run the command inside the network: docker compose run, kubectl exec")
        })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        remark_beside(case, META.id, self.fix(case))
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

    #[test]
    fn confirmed_where_the_engine_knows_the_networks() {
        use crate::cause::testing::{attached, first, from_container, with_container};
        use crate::diagnosis::Band;
        let on = |network: &str, asked_from: &str| {
            let file = from_container(asked("redis", None), asked_from);
            with_container(file, |c| c.networks = vec![attached(network, "172.19.0.2", &["redis"])])
        };
        let confirmed = Some(("name-on-other-network", Band::Confirmed));
        assert_eq!(first(&on("back", "front")), confirmed);
        assert_eq!(first(&on("bridge", "bridge")), confirmed);
        assert_eq!(first(&with_container(asked("redis", None), |_| {})), confirmed, "from the host");
        assert_eq!(bearings(&NameOnOtherNetwork, &on("front", "front")), [Bearing::Strong]);
    }

    #[test]
    fn a_container_that_does_not_run_comes_first() {
        use crate::cause::testing::{attached, first, from_container, with_container};
        let file = with_container(from_container(asked("redis", None), "front"), |c| {
            c.networks = vec![attached("front", "", &["redis"])];
            c.status = "exited".to_owned();
            c.exit_code = Some(0);
        });
        assert_eq!(first(&file).map(|f| f.0), Some("container-stopped"));
    }

    #[test]
    fn a_name_that_no_container_bears() {
        use crate::cause::testing::{first, from_container, with_container};
        let file = with_container(from_container(asked("cache", None), "bridge"), |_| {});
        assert!(rules_out(&NameOnOtherNetwork, &file));
        assert_eq!(first(&file).map(|f| f.0), Some("name-not-found"));
    }
}
