//! The client runs in a container and dials loopback: that is the container itself, not the host.

use super::shared::{remark_beside, remarked};
use crate::cause::common::{dials_loopback, down_here, meta, servers_here, sh, stands};
use crate::cause::containers;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::containers::Container;

/// See the module.
#[derive(Debug)]
pub(super) struct LoopbackInContainer;

static META: Meta = Meta {
    // A server that should run in this very container is the nearer cause.
    masked_by: &["service-stopped", "config-invalid", "crashed", "oom-killed"],
    ..meta(
        "loopback-in-container",
        Category::Address,
        Stage::Connect,
        "localhost inside a container is the container itself",
        &["standing", "process", "binary"],
    )
};

/// What the engine tells of the container that the client stands in.
fn by_engine(case: &Case<'_>, own: &Container) -> Vec<Reason> {
    let here = own.listens.as_ref().is_some_and(|l| l.iter().any(|at| at.port() == case.ask.port));
    let running = servers_here(case).is_some_and(|s| !s.is_empty());
    if own.redis || here || running {
        return vec![Reason::against("client-container", "the container has a Redis of its own")];
    }
    let mut reasons = vec![Reason::confirms(
        "client-container",
        format!(
            "the client is in container {}, which runs `{}` and no Redis: {} is the container itself",
            own.name,
            own.command.join(" "),
            case.target()
        ),
    )];
    let others = containers::all(case).map_or(&[][..], |c| &c.found);
    if let Some(other) = others.iter().find(|c| c.redis && c.runs()) {
        reasons.push(Reason::strong("container", format!("Redis runs in {}", containers::named(other))));
    }
    reasons
}

/// The name by which a Redis container can be dialled from the client's own.
fn by_name<'a>(case: &Case<'a>) -> Option<(&'a Container, Option<String>)> {
    let own = containers::own(case)?;
    let others = &containers::all(case)?.found;
    let other = others
        .iter()
        .filter(|c| c.redis && c.id != own.id)
        .min_by_key(|c| (containers::shared_network(own, c).is_none(), !c.runs()))?;
    // The default bridge resolves no names.
    let near = containers::shared_network(own, other).is_some_and(|n| n != "bridge");
    let name = other.service.clone().unwrap_or_else(|| other.name.clone());
    Some((other, near.then_some(name)))
}

impl Cause for LoopbackInContainer {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::Refused {
            return Vec::new();
        }
        // A setting of a container, looked at from its host.
        let outside = case.client.standing.get().is_none_or(|s| s.container.is_none());
        if let Some(reason) = remarked(case, META.id).filter(|_| outside) {
            let says = format!(
                "the setting is a container's: what {} is on this host is another matter",
                case.target()
            );
            return vec![reason, Reason::strong("settings", says)];
        }
        if let Some(reason) = down_here(case) {
            return vec![reason];
        }
        let Some(standing) = case.client.standing.get() else { return Vec::new() };
        if let Some(own) = containers::own(case).filter(|_| containers::own_loopback(case)) {
            return by_engine(case, own);
        }
        let Some(container) = &standing.container else {
            return vec![Reason::rules_out("standing", "the client does not run in a container")];
        };
        if !dials_loopback(case) {
            return vec![Reason::rules_out("connect", "not loopback was dialled")];
        }
        let says = format!("the client is inside {container}: {} is the container itself", case.target());
        let nobody = servers_here(case).map(|s| s.is_empty());
        let installed = case.server.binary.get().map(|b| !b.is_empty());
        match (nobody, installed) {
            (Some(true), Some(false)) => vec![
                Reason::confirms("binary", "no Redis is installed in it, and none runs"),
                Reason::strong("standing", says),
            ],
            (Some(true), None) => {
                vec![Reason::strong("standing", says), Reason::weak("process", "no Redis runs in it")]
            }
            // A Redis of its own: then that one is meant, or at least may be.
            (Some(false), _) | (_, Some(true)) => {
                vec![Reason::against("process", "the container has a Redis of its own")]
            }
            _ => vec![Reason::strong("standing", says)],
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match remarked(case, META.id) {
            Some(_) => {
                format!("{} is each container itself, not the host and not the Redis service", case.target())
            }
            None => format!("{} is the container itself, and no Redis runs in it", case.target()),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let (Some((other, name)), Some(own)) = (by_name(case), containers::own(case)) {
            let engine = containers::engine(case);
            let from = format!("container:{}", own.name);
            if let Some(name) = name {
                let url = format!("redis://{name}:6379");
                return Some(
                    Fix::new(Risk::Advice, format!("dial {url}"))
                        .run(
                            "see that it answers from there",
                            format!("nopong --from {} {}", sh(&from), sh(&url)),
                        )
                        .step(format!("then correct the address {}", stands(case))),
                );
            }
            let network = own.networks.iter().map(|n| n.network.as_str()).find(|n| *n != "bridge");
            let fix = Fix::new(
                Risk::Advice,
                format!("put both on one network, and dial {} by its name", other.name),
            );
            let fix = match network {
                Some(network) => fix.run(
                    "attach Redis to the client's network",
                    format!("{engine} network connect {} {}", sh(network), sh(&other.name)),
                ),
                None => {
                    fix.run(
                        "make a network (the default bridge resolves no names)",
                        format!("{engine} network create redis-net"),
                    )
                    .run("attach Redis", format!("{engine} network connect redis-net {}", sh(&other.name)))
                    .run("attach the client", format!("{engine} network connect redis-net {}", sh(&own.name)))
                }
            };
            return Some(fix.step(format!(
                "then dial redis://{}:6379: correct the address {}",
                other.name,
                stands(case)
            )));
        }
        Some(
            Fix::new(Risk::Advice, "dial Redis by a name that means it from inside")
                .step("Redis in the same compose project: its service's name, redis://redis:6379")
                .step("Redis on the host: host.docker.internal (on Linux with extra_hosts: \"host.docker.internal:host-gateway\"), and Redis has to listen on that address, with a password")
                .step("Redis in Kubernetes: its Service's name"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        remark_beside(case, META.id, self.fix(case))
    }
}

#[cfg(test)]
mod tests {
    use super::LoopbackInContainer;
    use crate::cause::testing::{bearings, confirms, on_server, refused, rules_out, seen, silent};
    use crate::diagnosis::Bearing;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Remark, Setting, Settings, Standing};

    fn inside(container: Option<&str>) -> CaseFile {
        let mut file = refused();
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].to = "127.0.0.1:6379".parse().unwrap();
        file.client.connect = seen(dials);
        let container = container.map(str::to_owned);
        file.client.standing = seen(Standing { container, ..Standing::default() });
        file
    }

    #[test]
    fn confirmed_when_the_container_has_no_redis_at_all() {
        let mut file = on_server(inside(Some("a Docker container")));
        file.server.binary = seen(Vec::new());
        assert!(confirms(&LoopbackInContainer, &file));
        assert_eq!(bearings(&LoopbackInContainer, &inside(Some("a Docker container"))), [Bearing::Strong]);
    }

    #[test]
    fn ruled_out_outside_of_one() {
        assert!(rules_out(&LoopbackInContainer, &inside(None)));
    }

    #[test]
    fn strong_for_a_services_setting_seen_from_its_host() {
        let mut file = inside(None);
        file.ask.source = "compose.yaml:6".to_owned();
        let setting = Setting {
            place: file.ask.source.clone(),
            inside: Some("service web".to_owned()),
            remark: Some(Remark {
                cause: "loopback-in-container".to_owned(),
                says: "web is told localhost".to_owned(),
            }),
            ..Setting::default()
        };
        file.client.settings = seen(Settings { found: vec![setting] });
        assert_eq!(bearings(&LoopbackInContainer, &file), [Bearing::Strong, Bearing::Strong]);
    }

    #[test]
    fn silent_when_nobody_knows() {
        assert!(silent(&LoopbackInContainer, &refused()));
    }
}
