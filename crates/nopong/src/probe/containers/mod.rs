//! Containers of this machine's engines that may be the target, and the one that the client stands in.
//!
//! Asked only after a failure, or when one name led to several servers. Which container is meant is for the causes.

mod compose;
mod details;
mod disk;
mod inspect;

pub(crate) use details::{is_of, listens};

use super::server::processes::container_of;
use super::{Request, timed};
use crate::evidence::containers::{Container, Containers};
use crate::evidence::{CaseFile, Seen, Why};
use crate::sys;
use crate::vantage::docker;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Containers told of; a host with more Redis than this is not looked through for one.
const FOUND_MAX: usize = 12;
/// Limit of all questions to one engine after the list: a host may have hundreds of containers.
const TOTAL: Duration = Duration::from_secs(2);
/// Of so many the log is read.
const LOGS_MAX: usize = 4;

/// Worth a look: something failed, or one name led to servers that differ.
pub(super) fn wanted(request: &Request, file: &CaseFile, healthy: bool) -> bool {
    if file.ask.unix.is_some() || request.light || file.ask.problem.is_some() {
        return false;
    }
    let talks = file.client.protocol.get().map_or(&[][..], Vec::as_slice);
    let ids: Vec<_> = talks.iter().filter_map(|t| t.info("run_id")).collect();
    !healthy || request.everything || ids.windows(2).any(|w| w[0] != w[1])
}

/// Looks, and keeps both facts.
pub(super) fn look(request: &Request, file: &mut CaseFile) {
    look_with(request, file, own_id(request.from.pid()).as_deref());
}

/// On the Redis host, for a client that is elsewhere: that host is meant, and the client's container is none of its own.
pub(super) fn look_at_server(request: &Request, file: &mut CaseFile) {
    look_with(&Request { server_here: true, ..request.clone() }, file, None);
}

fn look_with(request: &Request, file: &mut CaseFile, own: Option<&str>) {
    let (sockets, unread, _served) = docker::sockets_with_podman();
    let by_hand = "docker ps -a; docker inspect NAME; docker logs --tail 50 NAME";
    if sockets.is_empty() {
        if request.server_container.is_some() || !unread.is_empty() {
            let what = unread.first().cloned().unwrap_or_else(|| "a Docker or Podman API socket".to_owned());
            file.server.container = Seen::unknown(Why::Missing { what }, Duration::ZERO, by_hand);
        }
        return;
    }
    let mut seen = timed(by_hand, || engines(request, file, &sockets, unread, own));
    if let Seen::Yes(fact) = &mut seen {
        fact.value.1.composed = compose::service(request, file);
        if let Some(container) = fact.value.0.take() {
            if let (Seen::Yes(standing), true) = (&mut file.client.standing, container.network_mode != "host")
            {
                let engine = fact.value.1.engine.split(' ').next().unwrap_or_default();
                standing.value.container = Some(format!("{engine} container {}", container.name));
            }
            let by_hand = format!("docker inspect {}", container.name);
            file.client.container =
                Seen::Yes(crate::evidence::Fact { value: container, took_ms: fact.took_ms, by_hand });
        }
    }
    // The log of a server in a container is the container's, and read with it.
    let read = seen.get().is_some_and(|(_, c)| c.found.iter().any(|c| c.runs() && !c.log.is_empty()));
    let inside = file.server.process.get().is_some_and(|p| p.iter().any(|p| p.container.is_some()));
    if read && inside && matches!(file.server.log.why(), Some(Why::Missing { .. })) {
        file.server.log = Seen::not_applicable("it runs in a container, whose log is read with it");
    }
    file.server.container = match seen {
        Seen::Yes(fact) if fact.value.1.found.is_empty() && !concerns(request, file, own) => {
            Seen::not_applicable("none of this machine's bears the target's name or address")
        }
        Seen::Yes(fact) => Seen::Yes(crate::evidence::Fact {
            value: fact.value.1,
            took_ms: fact.took_ms,
            by_hand: fact.by_hand,
        }),
        // An engine that cannot be asked says nothing of a server elsewhere.
        Seen::Unknown { .. } if !concerns(request, file, own) => Seen::NotRun,
        Seen::Unknown { why, by_hand, took_ms } => Seen::Unknown { why, by_hand, took_ms },
        Seen::NotApplicable { because } => Seen::NotApplicable { because },
        Seen::NotRun => Seen::NotRun,
    };
}

/// The target is this machine, or the client is in a container of it, or the name is one as containers have.
fn concerns(request: &Request, file: &CaseFile, own: Option<&str>) -> bool {
    let name = file.client.name.get();
    let unresolved = name.is_some_and(|n| n.error.is_some() && !n.asked.trim_end_matches('.').contains('.'));
    file.ask.local || request.server_here || request.server_container.is_some() || own.is_some() || unresolved
}

/// The id of the container that the client stands in: by its control group, else by the files that the engine lays
/// into it (a private cgroup namespace hides the path).
fn own_id(from: Option<u32>) -> Option<String> {
    let process = from.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let groups = sys::read_text(format!("/proc/{process}/cgroup"), 64 << 10).ok()?;
    container_of(&groups).or_else(|| {
        let mounts = sys::read_text(format!("/proc/{process}/mountinfo"), 1 << 20).ok()?;
        let line = mounts.lines().find(|l| l.contains("/containers/") && l.contains("/hostname"))?;
        container_of(line)
    })
}

/// Asks one engine after the other; the first that has something to tell counts.
fn engines(
    request: &Request,
    file: &CaseFile,
    sockets: &[PathBuf],
    unread: Vec<String>,
    own: Option<&str>,
) -> Result<(Option<Container>, Containers), Why> {
    let mut all: Vec<(Option<Container>, Containers)> = Vec::new();
    let mut failed: Vec<Why> = Vec::new();
    for socket in sockets {
        let found = if docker::asleep(socket) {
            // Without the right to read its files nothing is known of what it would run.
            disk::containers().map(|list| asleep(request, file, &list)).map_err(|_| Why::Failed {
                what: "dockerd does not run, and with it none of its containers".to_owned(),
            })
        } else {
            engine(request, file, socket, own)
        };
        match found {
            Ok(found) => all.push(found),
            Err(why) => failed.push(why),
        }
    }
    all.sort_by_key(|(own, c)| (own.is_none(), c.found.is_empty(), c.total == 0));
    let Some((own, mut first)) = all.into_iter().next() else {
        return Err(failed.into_iter().next().unwrap_or(Why::Missing { what: "an engine".to_owned() }));
    };
    first.unread.extend(unread.into_iter().chain(failed.iter().map(ToString::to_string)));
    Ok((own, first))
}

/// What a Docker that does not run has left on disk.
fn asleep(request: &Request, file: &CaseFile, list: &[Value]) -> (Option<Container>, Containers) {
    let wish = Wish::of(request, file, false);
    let found = list.iter().filter_map(inspect::container);
    let mut found: Vec<_> =
        found.map(|c| Container { named: wish.names(&c), ..c }).filter(|c| wish.is(c)).collect();
    found.sort_by_key(|c| (!c.named, std::cmp::Reverse(c.finished_at)));
    found.truncate(FOUND_MAX);
    let engine = "Docker, which does not run".to_owned();
    (None, Containers { engine, total: list.len(), found, asleep: true, ..Containers::default() })
}

fn engine(
    request: &Request,
    file: &CaseFile,
    socket: &Path,
    own: Option<&str>,
) -> Result<(Option<Container>, Containers), Why> {
    let list = docker::json(socket, "/containers/json?all=1")?;
    let end = sys::now() + TOTAL;
    let list = list.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let version = docker::json(socket, "/version").ok().flatten().unwrap_or(Value::Null);
    let podman = version["Components"]
        .as_array()
        .is_some_and(|parts| parts.iter().any(|p| p["Name"].as_str().is_some_and(|n| n.contains("Podman"))));
    let mut containers = Containers {
        engine: format!(
            "{} {}",
            if podman { "Podman" } else { "Docker" },
            crate::text::shown_str(version["Version"].as_str().unwrap_or("of an unknown version"), 40)
        ),
        socket: crate::text::shown_str(&socket.to_string_lossy(), 200),
        total: list.len(),
        ..Containers::default()
    };
    let whole = |id: &str| {
        (docker::is_name(id) && sys::now() < end)
            .then(|| docker::json(socket, &format!("/containers/{id}/json")))
    };
    let inspected = |id: &str| whole(id)?.ok().flatten().and_then(|v| inspect::container(&v).map(|c| (c, v)));
    let wish = Wish::of(request, file, own.is_some());
    let own = own.and_then(&inspected).map(|(c, _)| c);
    // Redis first: it is what is meant most likely, and the time may run out.
    let redis =
        |e: &&Value| inspect::is_redis(e["Image"].as_str().unwrap_or_default(), &words(&e["Command"]));
    let (first, rest): (Vec<&Value>, Vec<&Value>) = list.iter().partition(redis);
    let mut found: Vec<(Container, Value)> = first
        .into_iter()
        .chain(rest)
        .filter(|entry| wish.may_be(entry))
        .filter_map(|entry| inspected(entry["Id"].as_str()?))
        .map(|(c, v)| (Container { named: wish.names(&c), ..c }, v))
        .filter(|(c, _)| wish.is(c))
        .collect();
    if sys::now() >= end {
        containers.unread.push(format!("not every container could be asked within {} s", TOTAL.as_secs()));
    }
    // What runs comes first, then what ended last.
    found.sort_by_key(|(c, _)| {
        (!c.named, !c.answers_to(&file.ask.host), !c.runs(), std::cmp::Reverse(c.finished_at))
    });
    found.truncate(FOUND_MAX);
    containers.found = found
        .into_iter()
        .filter(|(c, _)| own.as_ref().is_none_or(|o| o.id != c.id || c.redis))
        .enumerate()
        .map(|(n, (mut container, whole))| {
            details::add(socket, &mut container, &whole, n < LOGS_MAX && sys::now() < end);
            container
        })
        .collect();
    Ok((own, containers))
}

/// Which containers are worth telling of.
struct Wish<'a> {
    named: Option<&'a str>,
    host: &'a str,
    port: u16,
    dialled: Vec<SocketAddr>,
    /// Any Redis will do: the target is this machine, or the client is in a container of it.
    any: bool,
}

impl<'a> Wish<'a> {
    fn of(request: &'a Request, file: &'a CaseFile, inside: bool) -> Self {
        let addresses = file.client.name.get().map_or(&[][..], |n| n.addresses.as_slice());
        Self {
            named: request.server_container.as_deref(),
            host: &file.ask.host,
            port: file.ask.port,
            dialled: addresses.iter().map(|ip| SocketAddr::new(*ip, file.ask.port)).collect(),
            any: inside || file.ask.local || request.server_here,
        }
    }

    /// By the list's few words.
    fn may_be(&self, entry: &Value) -> bool {
        let names = entry["Names"].as_array().map_or(&[][..], Vec::as_slice);
        let name = |n: &Value| n.as_str().map(|n| n.trim_start_matches('/').to_ascii_lowercase());
        let host = self.host.to_ascii_lowercase();
        let service = entry["Labels"]["com.docker.compose.service"].as_str().unwrap_or_default();
        let named = names.iter().filter_map(name).any(|n| n == host || self.is_named(&n))
            || entry["Id"].as_str().is_some_and(|id| self.is_named(id))
            || service.eq_ignore_ascii_case(&host);
        let networks = entry["NetworkSettings"]["Networks"].as_object();
        let has = |ip: &IpAddr| {
            networks.into_iter().flat_map(|n| n.values()).any(|n| {
                [&n["IPAddress"], &n["GlobalIPv6Address"]]
                    .iter()
                    .any(|a| a.as_str().is_some_and(|a| a.parse() == Ok(*ip)))
            })
        };
        let ports = entry["Ports"].as_array().map_or(&[][..], Vec::as_slice);
        named
            || self.dialled.iter().any(|to| has(&to.ip()))
            || (self.any && ports.iter().any(|p| p["PublicPort"].as_u64() == Some(u64::from(self.port))))
            || inspect::is_redis(entry["Image"].as_str().unwrap_or_default(), &words(&entry["Command"]))
            // An alias is told by the whole answer only; so is a port that a stopped container published.
            || !host.contains('.')
            || entry["State"].as_str() != Some("running")
    }

    fn is(&self, container: &Container) -> bool {
        self.names(container)
            || container.answers_to(self.host)
            || self.dialled.iter().any(|to| container.has(to.ip()))
            || (self.any && self.dialled.iter().any(|to| container.publishes(*to).is_some()))
            || (self.any && container.redis)
    }

    fn names(&self, container: &Container) -> bool {
        self.is_named(&container.name) || self.is_named(&container.id)
    }

    fn is_named(&self, name: &str) -> bool {
        // Docker takes the beginning of an id for the whole.
        self.named.is_some_and(|n| n == name || (n.len() >= 4 && name.len() == 64 && name.starts_with(n)))
    }
}

fn words(command: &Value) -> Vec<String> {
    command.as_str().unwrap_or_default().split_whitespace().take(64).map(str::to_owned).collect()
}
