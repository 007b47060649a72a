//! What several causes read out of an engine's answers: which container is meant, whether it runs, and the commands
//! that start it or publish its port. Nothing here judges.

use super::Fix;
use super::common::{is_loopback, sh};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Speaks;
use crate::evidence::containers::{Container, Containers};
use std::net::{IpAddr, SocketAddr};

/// By what a container is known to be the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// `--server container:` names it.
    Named,
    /// The address dialled is its own.
    Address,
    /// It publishes, or would publish, the port of the host that was dialled.
    Port,
    /// It bears the name dialled.
    Name,
    /// It is the only Redis that this machine's engine has: a guess.
    Only,
}

/// The container that is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meant<'a> {
    /// It.
    pub container: &'a Container,
    /// How that is known.
    pub tie: Tie,
    /// The port inside that the dial ends at.
    pub port: u16,
}

/// What the engine told.
pub(crate) fn all<'a>(case: &Case<'a>) -> Option<&'a Containers> {
    case.file.server.container.get()
}

/// The container the client stands in.
pub(crate) fn own<'a>(case: &Case<'a>) -> Option<&'a Container> {
    case.file.client.container.get()
}

/// The client stands in a container, and dials that container's own loopback: the machine around it is another host.
pub(crate) fn own_loopback(case: &Case<'_>) -> bool {
    own(case).is_some_and(|c| c.network_mode != "host")
        && case.dialled().iter().any(|to| is_loopback(to.ip()))
}

/// An address of the machine that the engine runs on, as the client dials it.
fn of_host(case: &Case<'_>, ip: IpAddr) -> bool {
    let inside = own(case).is_some_and(|c| c.network_mode != "host");
    let addresses = case.file.server.address.get().map_or(&[][..], Vec::as_slice);
    match is_loopback(ip) {
        true => case.ask.local && !inside,
        false => (case.ask.local && !inside) || addresses.iter().any(|a| a.address == ip),
    }
}

/// Which one is meant.
pub(crate) fn meant<'a>(case: &Case<'a>) -> Option<Meant<'a>> {
    let found = &all(case)?.found;
    let dialled: Vec<SocketAddr> = case.dialled();
    let port = case.ask.port;
    let is = |container: &'a Container, tie: Tie, port: u16| Some(Meant { container, tie, port });
    if let Some(c) = found.iter().find(|c| c.named) {
        let inside =
            dialled.iter().find_map(|to| c.publishes(*to)).filter(|_| case.ask.local).unwrap_or(port);
        return is(c, Tie::Named, inside);
    }
    if let Some(c) = found.iter().find(|c| dialled.iter().any(|to| c.has(to.ip()))) {
        return is(c, Tie::Address, port);
    }
    let hosts: Vec<SocketAddr> = dialled.into_iter().filter(|to| of_host(case, to.ip())).collect();
    let publishes = |c: &&Container| hosts.iter().any(|to| c.publishes(*to).is_some());
    // One that runs holds the port; of those that do not, the one that ended last comes first.
    let publisher =
        found.iter().filter(|c| c.runs()).find(publishes).or_else(|| found.iter().find(publishes));
    if let Some(c) = publisher {
        return is(c, Tie::Port, hosts.iter().find_map(|to| c.publishes(*to)).unwrap_or(port));
    }
    if case.ask.host.parse::<IpAddr>().is_err() {
        let near = |c: &Container| own(case).is_some_and(|own| shared_network(own, c).is_some());
        let best =
            found.iter().filter(|c| c.answers_to(&case.ask.host)).min_by_key(|c| (!near(c), !c.runs()));
        if let Some(c) = best {
            return is(c, Tie::Name, port);
        }
    }
    let mut redis = found.iter().filter(|c| c.redis);
    match (redis.next(), redis.next()) {
        (Some(only), None) if own(case).is_none() && !hosts.is_empty() => is(only, Tie::Only, port),
        _ => None,
    }
}

/// A network on which both can reach each other by name.
pub(crate) fn shared_network<'a>(a: &Container, b: &'a Container) -> Option<&'a str> {
    let names = |c: &Container, n: &str| c.networks.iter().any(|x| x.network == n);
    b.networks.iter().map(|n| n.network.as_str()).find(|n| !matches!(*n, "none" | "host") && names(a, n))
}

/// It dies again and again: the engine is between two starts, or just made one more.
pub(crate) fn loops(case: &Case<'_>, container: &Container) -> bool {
    /// A server that is up for longer has got over it, in seconds.
    const FRESH: u64 = 10;
    let now = case.client.standing.get().map_or(0, |s| s.at);
    container.status == "restarting"
        || (container.status == "running"
            && container.restarts > 0
            && container.policy != "no"
            && container.started_at.is_some_and(|at| at + FRESH >= now))
}

/// The container that is meant and does not run, where what the client saw is what that gives.
pub(crate) fn down<'a>(case: &Case<'a>) -> Option<Meant<'a>> {
    let meant = meant(case)?;
    let c = meant.container;
    if case.talk().is_some_and(|t| !matches!(t.speaks, Speaks::Silent | Speaks::Closed | Speaks::Reset)) {
        return None;
    }
    let gone = !c.runs() || loops(case, c);
    let fits = match meant.tie {
        Tie::Named => true,
        Tie::Address => matches!(
            case.symptom,
            Symptom::TimedOut | Symptom::Unreachable | Symptom::NoRoute | Symptom::Refused
        ),
        Tie::Port => matches!(case.symptom, Symptom::Refused | Symptom::Closed | Symptom::Reset),
        // On the host the name would not resolve if it ran, either.
        Tie::Name => {
            let named = matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed);
            let old = matches!(case.symptom, Symptom::TimedOut | Symptom::Unreachable | Symptom::Refused);
            named && inside(case) || old && loops(case, c)
        }
        Tie::Only => false,
    };
    (gone && fits).then_some(meant)
}

/// The client stands in a container that has a network of its own.
pub(crate) fn inside(case: &Case<'_>) -> bool {
    own(case).is_some_and(|c| !matches!(c.network_mode.as_str(), "host"))
}

/// The listening sockets at that port inside, if any were seen.
pub(crate) fn listeners(meant: &Meant<'_>) -> Option<Vec<SocketAddr>> {
    let all = meant.container.listens.as_ref()?;
    Some(all.iter().copied().filter(|at| at.port() == meant.port).collect())
}

/// `container shop-redis-1 of service redis`.
pub(crate) fn named(c: &Container) -> String {
    match &c.service {
        Some(service) if *service != c.name => format!("container {} (service {service})", c.name),
        _ => format!("container {}", c.name),
    }
}

/// How it ended, in words: `exited with code 1`.
pub(crate) fn ending(c: &Container) -> String {
    match (c.status.as_str(), c.exit_code) {
        ("created", _) => "was made and never started".to_owned(),
        ("restarting", Some(code)) => {
            format!("ends with code {code} and is restarted, {} times so far", c.restarts)
        }
        ("running", _) => format!("ended and was restarted {} times, the last time just now", c.restarts),
        // 128 and the signal, as in a shell.
        (_, Some(137)) => "was ended by SIGKILL (code 137)".to_owned(),
        (_, Some(143)) => "was ended by SIGTERM (code 143)".to_owned(),
        (_, Some(code)) => format!("exited with code {code}"),
        (status, None) => format!("is {status}"),
    }
}

/// The engine's command.
pub(crate) fn engine(case: &Case<'_>) -> &'static str {
    if all(case).is_some_and(|c| c.engine.starts_with("Podman")) { "podman" } else { "docker" }
}

/// Adds the start of a container: compose's own words where compose made it.
pub(crate) fn start(fix: Fix, case: &Case<'_>, c: &Container) -> Fix {
    let engine = engine(case);
    match (&c.folder, &c.service) {
        (Some(folder), Some(service)) => fix
            .run("start the service", format!("cd {} && {engine} compose up -d {}", sh(folder), sh(service))),
        _ => fix.run("start the container", format!("{engine} start {}", sh(&c.name))),
    }
}

/// Adds the restart of a container after its settings were changed.
pub(crate) fn restart(fix: Fix, case: &Case<'_>, c: &Container) -> Fix {
    let engine = engine(case);
    match (&c.folder, &c.service) {
        (Some(folder), Some(service)) => fix.run(
            "make it anew with the changed settings",
            format!("cd {} && {engine} compose up -d --force-recreate {}", sh(folder), sh(service)),
        ),
        _ => fix.run("restart the container", format!("{engine} restart {}", sh(&c.name))),
    }
}

/// Adds the publishing of a port: lines for compose, or the way of a container made by hand, which cannot get one
/// later.
pub(crate) fn publish(fix: Fix, case: &Case<'_>, c: &Container, at: SocketAddr, inside: u16) -> Fix {
    let engine = engine(case);
    let host = if at.ip().is_unspecified() { String::new() } else { format!("{}:", bracketed(at.ip())) };
    let port = format!("{host}{}:{inside}", at.port());
    match (&c.folder, &c.service) {
        (Some(folder), Some(service)) => fix
            .step(format!(
                "in the compose file of {folder}, under services: {service}:\n+    ports:\n+      - \"{port}\""
            ))
            .run(
                "make the container anew",
                format!("cd {} && {engine} compose up -d {}", sh(folder), sh(service)),
            ),
        _ => fix
            .step("ports are fixed when a container is made: note how this one was (mounts, environment, networks)")
            .run("what it was made with", format!("{engine} inspect {}", sh(&c.name)))
            .run(
                "then make it anew with the port; data in volumes stays",
                format!(
                    "{engine} rm -f {name} && {engine} run -d --name {name} -p {port} {image}",
                    name = sh(&c.name),
                    image = sh(&c.image)
                ),
            ),
    }
}

fn bracketed(ip: IpAddr) -> String {
    if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
}

/// A unit of the machine's own should run: then it is less clear that a container is meant. A unit that is not enabled
/// and was never started is one that a package brought.
pub(crate) fn unit_wanted(case: &Case<'_>) -> bool {
    case.server.unit.get().is_some_and(|u| {
        u.units.iter().any(|u| {
            !u.name.contains("sentinel")
                && u.load_state == "loaded"
                && u.active != "active"
                && (u.active == "failed"
                    || u.started_at.is_some()
                    || u.stopped_at.is_some()
                    || u.file_state.as_deref().is_some_and(|s| s.starts_with("enabled")))
        })
    })
}

/// It cannot be told whether a container is meant: an engine is here, and could not be asked, or has a Redis that does
/// not run.
pub(crate) fn perhaps(case: &Case<'_>) -> bool {
    let unasked = matches!(
        case.server.container.why(),
        Some(crate::evidence::Why::NotPermitted { .. } | crate::evidence::Why::Failed { .. })
    );
    unasked || all(case).is_some_and(|c| c.found.iter().any(|c| c.redis))
}
