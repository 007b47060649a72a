//! What several causes read out of an engine's answers: which container is meant, whether it runs, and the commands
//! that start it or publish its port. Nothing here judges.

use super::Fix;
use super::common::{is_loopback, sh};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Speaks;
use crate::evidence::containers::{Container, Containers};
use crate::evidence::redact::MASK;
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
        Tie::Port => {
            // A SYN that came at a start is led to an address that is gone a moment later, and so are its repetitions.
            let lost = matches!(case.symptom, Symptom::TimedOut | Symptom::Unreachable | Symptom::NoRoute);
            matches!(case.symptom, Symptom::Refused | Symptom::Closed | Symptom::Reset)
                || (lost && loops(case, c))
        }
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
                "in the compose file of {folder}, to the service {service}:  + ports: [\"{port}\"]"
            ))
            .run(
                "make the container anew",
                format!("cd {} && {engine} compose up -d {}", sh(folder), sh(service)),
            ),
        _ => {
            let fix = fix.step(
                "ports are fixed when a container is made: it has to be made anew; what is not in a volume stays in the old one",
            );
            let fix = fix.run("keep the old one aside", {
                let name = sh(&c.name);
                format!("{engine} stop {name} && {engine} rename {name} {name}-old")
            });
            fix.run(remake_note(c), remade(engine, c, &port))
        }
    }
}

/// What the line that makes a container anew leaves out.
fn remake_note(c: &Container) -> String {
    let masked = c.command.iter().any(|w| w == MASK);
    let lacks = if masked {
        "its environment variables, and *** stands for a secret"
    } else {
        "its environment variables"
    };
    format!("make it anew with the port (not in this line, inspect shows them: {lacks})")
}

/// The line that makes a container anew with a port, with what the engine told of it.
fn remade(engine: &str, c: &Container, port: &str) -> String {
    let mut line = format!("{engine} run -d --name {} -p {port}", sh(&c.name));
    if !matches!(c.policy.as_str(), "" | "no") {
        line.push_str(&format!(" --restart {}", sh(&c.policy)));
    }
    if !matches!(c.network_mode.as_str(), "" | "bridge" | "default") {
        line.push_str(&format!(" --network {}", sh(&c.network_mode)));
    }
    for mount in c.mounts.iter().filter(|m| m.kind != "tmpfs" && !m.source.is_empty()) {
        let read_only = if mount.writable { "" } else { ":ro" };
        line.push_str(&format!(" -v {}", sh(&format!("{}:{}{read_only}", mount.source, mount.inside))));
    }
    if let Some(user) = &c.user {
        line.push_str(&format!(" --user {}", sh(user)));
    }
    if let Some(limit) = c.memory_limit {
        line.push_str(&format!(" --memory {limit}"));
    }
    line.push_str(&format!(" {}", sh(&c.image)));
    // The entry point is the image's own.
    let own = c.command.first().is_some_and(|w| w.contains("entrypoint"));
    for word in c.command.iter().skip(usize::from(own)) {
        line.push_str(&format!(" {}", if word == MASK { word.clone() } else { sh(word) }));
    }
    line
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

/// Inside a container, without the engine's word: the name of another container does not resolve. That it runs on another
/// network, does not run, or has another name, all look the same (libnetwork's resolver forgets who does not run).
pub(crate) fn lone_name(case: &Case<'_>) -> bool {
    let inside = case
        .client
        .standing
        .get()
        .is_some_and(|s| s.container.as_deref().is_some_and(|c| !c.contains("Kubernetes")));
    let unresolved = matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed);
    let plain = !case.ask.host.trim_end_matches('.').contains('.');
    inside && unresolved && plain && own(case).is_none() && all(case).is_none()
}

/// A container is surely meant: what the machine's own units and files would do is beside the point.
pub(crate) fn surely(case: &Case<'_>) -> bool {
    own_loopback(case) || meant(case).is_some_and(|m| m.tie != Tie::Only)
}

#[cfg(test)]
mod tests {
    use super::{Tie, meant, remade};
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, Case};
    use crate::evidence::client::Speaks;
    use crate::evidence::containers::{Container, Mount};

    #[test]
    fn made_anew_with_what_it_had() {
        let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect();
        let mount = Mount {
            source: "data".to_owned(),
            inside: "/data".to_owned(),
            kind: "volume".to_owned(),
            writable: true,
        };
        let c = Container {
            name: "redis".to_owned(),
            image: "redis:8".to_owned(),
            policy: "always".to_owned(),
            network_mode: "back".to_owned(),
            mounts: vec![mount],
            command: words(&[
                "docker-entrypoint.sh",
                "redis-server",
                "--requirepass",
                "***",
                "--save",
                "60 1",
            ]),
            ..Container::default()
        };
        assert_eq!(
            remade("docker", &c, "127.0.0.1:6379:6379"),
            "docker run -d --name redis -p 127.0.0.1:6379:6379 --restart always --network back -v data:/data redis:8 \
             redis-server --requirepass *** --save '60 1'"
        );
    }

    #[test]
    fn which_one_is_meant() {
        let tie = |file: &crate::evidence::CaseFile| meant(&Case::new(file)).map(|m| (m.tie, m.port));
        let file = with_container(on_server(refused()), |c| publish(c, "0.0.0.0:6379"));
        assert_eq!(tie(&file), Some((Tie::Port, 6379)));
        assert_eq!(tie(&with_container(on_server(refused()), |_| {})), Some((Tie::Only, 6379)));
        let two = with_container(with_container(on_server(refused()), |_| {}), |_| {});
        assert_eq!(tie(&two), None, "two, and nothing tells which");
        let elsewhere = with_container(refused(), |c| publish(c, "0.0.0.0:6379"));
        assert_eq!(tie(&elsewhere), None, "10.0.0.5 is another machine");
        let own = with_container(refused(), |c| c.networks = vec![attached("back", "10.0.0.5", &[])]);
        assert_eq!(tie(&own), Some((Tie::Address, 6379)));
        assert_eq!(tie(&with_container(refused(), |c| c.named = true)), Some((Tie::Named, 6379)));
    }

    #[test]
    fn a_paused_one_hangs() {
        let file = with_container(on_server(mute(Speaks::Silent)), |c| {
            c.status = "paused".to_owned();
            publish(c, "0.0.0.0:6379");
        });
        assert_eq!(first(&file), Some(("hung", Band::Confirmed)));
    }

    #[test]
    fn localhost_of_the_clients_container() {
        let mut file = from_container(on_server(refused()), "back");
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].to = "127.0.0.1:6379".parse().unwrap();
        file.client.connect = seen(dials);
        let file = with_unit(file, "inactive", "dead", "success");
        assert_eq!(
            first(&file),
            Some(("loopback-in-container", Band::Confirmed)),
            "the host's units are not meant"
        );
        let with_redis =
            with_container(file, |c| c.networks = vec![attached("back", "172.18.0.2", &["redis"])]);
        let fix = crate::diagnosis::diagnose(&with_redis).causes[0].fix.clone().unwrap();
        assert_eq!(fix.title, "dial redis://redis:6379");
    }

    #[test]
    fn published_under_another_number() {
        let file = with_container(on_server(refused()), |c| publish(c, "0.0.0.0:6380"));
        assert_eq!(first(&file), Some(("wrong-port", Band::Confirmed)));
    }
}
