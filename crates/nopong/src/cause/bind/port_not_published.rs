//! Redis runs in a container, and its port is not published where the client dials: not at all, on another address of
//! the host only, or from a port inside at which nothing listens.

use crate::cause::common::{dials_loopback, servers_here};
use crate::cause::containers::{self, Meant, Tie};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use std::net::SocketAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct PortNotPublished;

static META: Meta = Meta {
    id: "port-not-published",
    category: Category::Bind,
    stage: Stage::Connect,
    title: "the container's port is not published where you dial",
    masked_by: &["container-stopped", "container-crashing", "oom-killed"],
    settled_by: &["container"],
};

/// What is wrong with the way from the host's port to Redis.
enum Gap<'a> {
    /// No port is published.
    Nothing(Meant<'a>),
    /// The port is published on that address only.
    Elsewhere(Meant<'a>, SocketAddr),
    /// It ends at a port inside where nothing listens; Redis listens at the other one, if at any.
    Inside(Meant<'a>, Option<u16>),
}

fn gap<'a>(case: &Case<'a>) -> Option<Gap<'a>> {
    let meant = containers::meant(case).filter(|m| m.container.status == "running" && m.container.redis)?;
    let c = meant.container;
    match (meant.tie, case.symptom) {
        (Tie::Port, Symptom::Refused | Symptom::Closed | Symptom::Reset) => {
            let all = c.listens.as_ref()?;
            let there = all.iter().any(|at| at.port() == meant.port);
            (!there && !all.is_empty() && !containers::loops(case, c))
                .then(|| Gap::Inside(meant, all.first().map(SocketAddr::port)))
        }
        (Tie::Only, Symptom::Refused) => {
            // The host's own network is the container's: nothing to publish.
            if c.network_mode == "host" || servers_here(case).is_some_and(|s| !s.is_empty()) {
                return None;
            }
            let published: Vec<SocketAddr> = c.published().map(|(_, at)| at).collect();
            match published.iter().find(|at| at.port() == case.ask.port) {
                Some(at) => Some(Gap::Elsewhere(meant, *at)),
                // On another port: that is another cause's.
                None => published.is_empty().then_some(Gap::Nothing(meant)),
            }
        }
        _ => None,
    }
}

impl Cause for PortNotPublished {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let settles = |says: String| {
            if containers::unit_wanted(case) {
                Reason::strong("container", says)
            } else {
                Reason::confirms("container", says)
            }
        };
        match gap(case) {
            Some(Gap::Nothing(m)) => vec![settles(format!(
                "{} runs Redis and publishes no port: from the host only its own address leads there",
                containers::named(m.container)
            ))],
            Some(Gap::Elsewhere(m, at)) => vec![settles(format!(
                "{} publishes its port at {at}, and nowhere else",
                containers::named(m.container)
            ))],
            Some(Gap::Inside(m, other)) => {
                let other = other.map(|p| format!("; what runs in it listens on {p}")).unwrap_or_default();
                vec![Reason::confirms(
                    "container",
                    format!(
                        "port {} leads to port {} of {}, at which nothing listens{other}",
                        case.ask.port,
                        m.port,
                        containers::named(m.container)
                    ),
                )]
            }
            None => match containers::meant(case) {
                Some(m) if m.tie == Tie::Port => {
                    vec![Reason::rules_out(
                        "container",
                        format!("{} publishes it", containers::named(m.container)),
                    )]
                }
                _ => Vec::new(),
            },
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match gap(case) {
            Some(Gap::Nothing(m)) => {
                format!("Redis runs in {}, which does not publish its port", containers::named(m.container))
            }
            Some(Gap::Elsewhere(m, at)) => format!(
                "{} publishes Redis at {at} only, and you dial {}",
                containers::named(m.container),
                case.target()
            ),
            Some(Gap::Inside(m, _)) => format!(
                "the published port leads to port {} in {}, where nothing listens",
                m.port,
                containers::named(m.container)
            ),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = case.ask.port;
        let loopback: SocketAddr = SocketAddr::new([127, 0, 0, 1].into(), port);
        let dialled = case.dial().map_or(loopback, |d| SocketAddr::new(d.to.ip(), port));
        let inside = |m: &Meant<'_>| {
            let listens = m.container.listens.iter().flatten().map(SocketAddr::port);
            let exposed = m.container.ports.iter().map(|p| p.inside);
            listens.chain(exposed).next().unwrap_or(6379)
        };
        Some(match gap(case)? {
            Gap::Nothing(m) => {
                let fix = Fix::new(Risk::Ask, format!("publish the port on {}", dialled.ip()));
                let own = m.container.networks.iter().flat_map(|n| &n.addresses).next();
                let fix = match own {
                    Some(ip) => fix.run(
                        "see that it answers at its own address, from this machine",
                        format!("nopong redis://{}", SocketAddr::new(*ip, inside(&m))),
                    ),
                    None => fix,
                };
                let fix = containers::publish(fix, case, m.container, dialled, inside(&m));
                if dials_loopback(case) {
                    fix.step("127.0.0.1 keeps it from other hosts; Docker's published ports pass by ufw and firewalld")
                } else {
                    fix.step("set a password first: Docker's published ports pass by ufw and firewalld")
                }
            }
            Gap::Elsewhere(m, at) => {
                let fix = Fix::new(
                    Risk::Ask,
                    format!("dial {at} on that host, or publish on {} as well", dialled.ip()),
                )
                .run("what answers there", format!("nopong redis://{at}"));
                let fix = containers::publish(fix, case, m.container, dialled, inside(&m));
                fix.step("with a password: other hosts can reach it then, and Docker's ports pass by ufw and firewalld")
            }
            Gap::Inside(m, other) => {
                let other = other.unwrap_or(6379);
                let fix = Fix::new(Risk::Ask, format!("publish port {other} of the container instead"));
                let at =
                    m.container.published().find(|(_, at)| at.port() == port).map_or(dialled, |(_, at)| at);
                containers::publish(fix, case, m.container, at, other)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PortNotPublished;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;

    #[test]
    fn confirmed_for_the_only_redis_of_the_machine() {
        let file = with_container(on_server(refused()), |_| {});
        assert_eq!(first(&file), Some(("port-not-published", Band::Confirmed)));
    }

    #[test]
    fn on_another_address() {
        let file = with_container(on_server(refused()), |c| publish(c, "127.0.0.1:6379"));
        assert_eq!(first(&file), Some(("port-not-published", Band::Confirmed)));
    }

    #[test]
    fn to_a_port_at_which_nothing_listens() {
        let file = with_container(on_server(refused()), |c| {
            publish(c, "0.0.0.0:6379");
            c.listens = Some(vec!["0.0.0.0:7000".parse().unwrap()]);
        });
        assert_eq!(first(&file), Some(("port-not-published", Band::Confirmed)));
    }

    #[test]
    fn likely_beside_a_unit_that_should_run() {
        let file = with_container(with_unit(on_server(refused()), "failed", "failed", "exit-code"), |_| {});
        assert!(!confirms(&PortNotPublished, &file));
    }

    #[test]
    fn ruled_out_or_silent_otherwise() {
        assert!(rules_out(
            &PortNotPublished,
            &with_container(on_server(refused()), |c| publish(c, "0.0.0.0:6379"))
        ));
        assert!(silent(&PortNotPublished, &with_container(refused(), |_| {})));
        assert!(silent(&PortNotPublished, &refused()));
    }
}
