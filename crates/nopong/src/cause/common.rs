//! What several causes read out of a case, and the words their fixes share. Nothing here judges.

use super::{Fix, Meta, Reason, managers};
use crate::diagnosis::{Case, holds};
use crate::evidence::client::{Dial, DialOutcome, Neighbour, RouteOutcome, Speaks};
use crate::evidence::server::{Address, Config, Listener, Process, Program, Verdict};
use std::net::{IpAddr, SocketAddr};

/// The cluster bus listens at the data port plus this (Redis cluster.h, CLUSTER_PORT_INCR).
pub(crate) const CLUSTER_BUS: u16 = 10000;

/// The TCP listeners that Redis servers (not Sentinels) hold in this network namespace, the cluster bus left
/// out; none when the sockets or the processes were not seen.
pub(crate) fn redis_listeners<'a>(case: &Case<'a>) -> Option<Vec<&'a Listener>> {
    let listeners = case.file.server.listener.get()?;
    let servers = servers_here(case)?;
    let held = |l: &&Listener| servers.iter().any(|p| holds(p, l));
    let own: Vec<_> = listeners.tcp.iter().filter(held).collect();
    let bus = |l: &Listener| {
        own.iter().any(|o| o.pids == l.pids && o.at.port().checked_add(CLUSTER_BUS) == Some(l.at.port()))
    };
    Some(own.iter().copied().filter(|l| !bus(l)).collect())
}

/// Running servers (not Sentinels) of this network namespace.
pub(crate) fn servers_here<'a>(case: &Case<'a>) -> Option<Vec<&'a Process>> {
    case.file.server.process.get()?;
    Some(case.servers().into_iter().filter(|p| p.same_netns != Some(false)).collect())
}

/// The configuration that a server on the target's port will start with, while none runs there.
pub(crate) fn planned<'a>(case: &Case<'a>) -> Option<&'a Config> {
    let elsewhere = super::containers::surely(case);
    if !case.server_seen() || case.file.ask.unix.is_some() || case.process().is_some() || elsewhere {
        return None;
    }
    let port = case.file.ask.port.to_string();
    case.config().filter(|c| c.pid.is_none() && c.value("port") == Some(&port))
}

/// nopong's own dial fails before a word is said; the fact that shows it.
pub(crate) fn dial_fails(case: &Case<'_>) -> Option<&'static str> {
    use crate::diagnosis::Symptom;
    match case.symptom {
        Symptom::Refused | Symptom::TimedOut | Symptom::Unreachable | Symptom::NoRoute => Some("connect"),
        Symptom::NameNotFound | Symptom::ResolverFailed => Some("name"),
        _ => None,
    }
}

/// A `bind` line of loopback addresses and nothing else.
pub(crate) fn binds_loopback_only(bind: &str) -> bool {
    let ip = |w: &str| w.trim_start_matches('-').parse::<IpAddr>();
    !bind.trim().is_empty() && bind.split_whitespace().all(|w| ip(w).is_ok_and(is_loopback))
}

/// A server that is installed on the machine dialled and does not run: reason enough for most symptoms.
pub(crate) fn down_here(case: &Case<'_>) -> Option<Reason> {
    let inside = super::containers::own_loopback(case);
    if !case.file.ask.local || inside || servers_here(case).is_none_or(|s| !s.is_empty()) {
        return None;
    }
    let units = &case.file.server.unit.get()?.units;
    let down = units.iter().find(|u| {
        !u.name.contains("sentinel")
            && u.active != "active"
            && matches!(u.load_state.as_str(), "loaded" | "masked")
    })?;
    Some(Reason::against("unit", format!("{} is installed on the host dialled, and does not run", down.name)))
}

/// `redis-server (pid 812)`.
pub(crate) fn named(process: &Process) -> String {
    // Not the file's name: Debian's /usr/bin/redis-server is a link to redis-check-rdb.
    let name = match process.program {
        Program::Redis => "redis-server",
        Program::Valkey => "valkey-server",
        Program::Keydb => "keydb-server",
        Program::Other => process.exe.as_deref().and_then(|e| e.rsplit('/').next()).unwrap_or("the server"),
    };
    format!("{name} (pid {})", process.pid)
}

/// The server that holds one of these listeners, named.
pub(crate) fn holder(case: &Case<'_>, listeners: &[&Listener]) -> String {
    case.servers()
        .into_iter()
        .find(|p| listeners.iter().any(|l| holds(p, l)))
        .or(case.process())
        .map_or_else(|| "Redis".to_owned(), named)
}

/// `127.0.0.1:6379 and [::1]:6379`.
pub(crate) fn listing(listeners: &[&Listener]) -> String {
    let mut all: Vec<_> = listeners.iter().map(|l| l.at.to_string()).collect();
    all.dedup();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => all.concat(),
    }
}

/// Loopback, with IPv4 in IPv6 seen through.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Every address dialled is loopback (and there is one).
pub(crate) fn dials_loopback(case: &Case<'_>) -> bool {
    let dialled = case.dialled();
    !dialled.is_empty() && dialled.iter().all(|a| is_loopback(a.ip()))
}

/// Some listener takes one of the addresses dialled.
pub(crate) fn somebody_listens(case: &Case<'_>) -> bool {
    case.dialled().iter().any(|to| case.listener_for(*to).is_some())
}

/// Addresses of this machine that other hosts could use: up, not loopback, not link-local.
pub(crate) fn outside_addresses<'a>(case: &Case<'a>) -> Vec<&'a Address> {
    let usable = |a: &&Address| {
        let link_local = match a.address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0) == 0xfe80,
        };
        a.up && !is_loopback(a.address) && !link_local
    };
    case.file.server.address.get().map(|all| all.iter().filter(usable).collect()).unwrap_or_default()
}

/// The address another host would dial: the one dialled, unless that is loopback, else the machine's first.
pub(crate) fn public_address(case: &Case<'_>) -> Option<IpAddr> {
    case.dialled()
        .iter()
        .map(std::net::SocketAddr::ip)
        .find(|ip| !is_loopback(*ip))
        .or_else(|| outside_addresses(case).first().map(|a| a.address))
}

/// Whom a rule should let in: the client, where it is another host; else the network of the server's
/// address; never the whole world.
pub(crate) fn source(case: &Case<'_>) -> Option<String> {
    let own = |ip: IpAddr| {
        is_loopback(ip)
            || case.file.server.address.get().is_some_and(|all| all.iter().any(|a| a.address == ip))
    };
    if let Some(client) = case.client_address().filter(|ip| !own(*ip)) {
        return Some(client.to_string());
    }
    let public = public_address(case)?;
    let address = outside_addresses(case).into_iter().find(|a| a.address == public)?;
    Some(network(address.address, address.prefix))
}

/// The network of an address: `10.0.0.0/24`.
pub(crate) fn network(ip: IpAddr, prefix: u8) -> String {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            format!("{}/{prefix}", std::net::Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            format!("{}/{prefix}", std::net::Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

/// The same, or a word that says what to fill in.
pub(crate) fn source_or_blank(case: &Case<'_>) -> String {
    source(case).unwrap_or_else(|| "CLIENT_ADDRESS".to_owned())
}

/// The canonical unit of the instance, where known.
pub(crate) fn unit_name(case: &Case<'_>) -> Option<String> {
    case.unit().map(|u| u.name.clone())
}

/// Adds the restart of the instance: its canonical unit, or words when no unit is known.
pub(crate) fn restart(fix: Fix, case: &Case<'_>) -> Fix {
    if let Some((process, manager)) = case.process().and_then(|p| Some((p, managers::of(case, p)?))) {
        return manager.restart(fix, &named(process));
    }
    let by_hand = case.process().is_some_and(Process::is_by_hand);
    match unit_name(case) {
        Some(unit) if !by_hand => fix.run("restart the server", format!("systemctl restart {}", sh(&unit))),
        _ => match case.process() {
            Some(process) => {
                fix.step(format!("restart {}: it runs outside any unit of its own", named(process)))
            }
            None => fix.step("restart the server on its host"),
        },
    }
}

/// Where a server that has no file by its own word has its settings from.
const ARGUMENTS: &str = "the server's command line (it has no configuration file)";

/// `file:line` of a directive, else the file, else the arguments, else the usual name.
pub(crate) fn place(case: &Case<'_>, directive: &str) -> String {
    let config = case.config();
    let stronger = config.filter(|c| c.hides_arguments() && c.running_otherwise(directive).is_some());
    if let Some(place) = stronger.and_then(|c| c.place(directive).filter(|p| p != "default")) {
        return format!("{place} and the server's command line, which may override it");
    }
    config
        .and_then(|c| c.place(directive).filter(|p| p != "default" && p != "running"))
        .or_else(|| config.and_then(|c| c.file.clone()))
        .unwrap_or_else(|| {
            if config.is_some_and(Config::hides_arguments) { ARGUMENTS } else { "redis.conf" }.to_owned()
        })
}

/// A reason to blame a directive: where it stands and what it says; defaults are said to be defaults.
pub(crate) fn directive(config: &Config, name: &str) -> Option<String> {
    fn shown(value: &str) -> &str {
        if value.is_empty() { "\"\"" } else { value }
    }
    let value = shown(config.value(name)?);
    if let Some(running) = config.running_otherwise(name) {
        let file = config.place(name).filter(|p| p != "default").map(|p| format!(", and {p} says {value}"));
        return Some(format!("the running server has {name} {}{}", shown(running), file.unwrap_or_default()));
    }
    Some(match config.place(name)? {
        place if place == "default" => format!("{name} is not set: the default is {value}"),
        place if place == "running" => format!("the running server has {name} {value}"),
        place => format!("{place} says: {name} {value}"),
    })
}

/// The start of a redis-cli line for the target, without secrets.
pub(crate) fn cli(case: &Case<'_>) -> String {
    let ask = &case.file.ask;
    let mut line = match &ask.unix {
        Some(path) => format!("redis-cli -s {}", sh(path)),
        None => format!("redis-cli -h {} -p {}", sh(&ask.host), ask.port),
    };
    if ask.tls {
        line.push_str(" --tls");
    }
    line
}

/// A word for a shell line: quoted when it has to be.
pub(crate) fn sh(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let shown: String = word.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", shown.replace('\'', "'\\''"))
}

/// The address dialled, as a URL without its user part: what a reader can run.
pub(crate) fn url(case: &Case<'_>, port: u16) -> String {
    let ask = &case.file.ask;
    let scheme = if ask.tls { "rediss" } else { "redis" };
    let host = if ask.host.contains(':') { format!("[{}]", ask.host) } else { ask.host.clone() };
    let db = ask.db.map(|n| format!("/{n}")).unwrap_or_default();
    format!("{scheme}://{host}:{port}{db}")
}

/// Where the address dialled was taken from, for "correct it …".
pub(crate) fn stands(case: &Case<'_>) -> String {
    match case.file.ask.source.as_str() {
        "argument" | "" => "in the address given, and wherever the application has it from".to_owned(),
        "default" => "by giving an address: none was found, and the default was taken".to_owned(),
        source => format!("where it stands: {source}"),
    }
}

/// What speaks, in words.
pub(crate) fn speaker(speaks: Speaks) -> &'static str {
    match speaks {
        Speaks::Resp => "Redis",
        Speaks::Tls => "TLS",
        Speaks::Http => "an HTTP server",
        Speaks::Ssh => "an SSH server",
        Speaks::Memcached => "memcached",
        Speaks::Mysql => "MySQL or MariaDB",
        Speaks::Smtp => "an SMTP or FTP server",
        Speaks::Postgres => "PostgreSQL",
        Speaks::ClusterBus => "the bus of a Redis Cluster node",
        Speaks::Unknown => "something unknown",
        Speaks::Silent => "something silent",
        Speaks::Closed => "something that closes",
        Speaks::Reset => "something that resets",
    }
}

/// A neighbour that speaks Redis and is no Sentinel.
pub(crate) fn is_redis(neighbour: &Neighbour) -> bool {
    neighbour.outcome == DialOutcome::Connected
        && neighbour.speaks == Some(Speaks::Resp)
        && neighbour.mode.as_deref() != Some("sentinel")
}

/// Neighbours, where they were tried.
pub(crate) fn neighbours<'a>(case: &Case<'a>) -> &'a [Neighbour] {
    case.file.client.neighbours.get().map_or(&[], Vec::as_slice)
}

/// The target answers on link: no router stands between.
pub(crate) fn on_link(case: &Case<'_>, to: IpAddr) -> Option<bool> {
    let routes = case.file.client.route.get()?;
    routes.iter().find(|r| r.to == to).and_then(|r| match &r.outcome {
        RouteOutcome::Via { gateway, .. } => Some(gateway.is_none()),
        _ => None,
    })
}

/// The first dial that failed with this outcome's class.
pub(crate) fn failed(case: &Case<'_>, errnos: &[&str]) -> Option<Dial> {
    case.dials()
        .iter()
        .find(|d| matches!(&d.outcome, DialOutcome::Errno { errno } if errnos.contains(&errno.as_str())))
        .cloned()
}

/// An address is this machine's.
fn is_own(case: &Case<'_>, ip: IpAddr) -> bool {
    is_loopback(ip)
        || case.file.server.address.get().is_some_and(|all| all.iter().any(|a| a.address == ip))
        || case.dials().iter().any(|d| d.from.map(|f| f.ip()) == Some(ip))
}

/// The destination of a verdict: the target's port.
fn about_target(case: &Case<'_>, verdict: &Verdict) -> bool {
    verdict.destination.parse::<SocketAddr>().map_or(true, |to| to.port() == case.file.ask.port)
}

/// What the Redis host's rules do with the connection as dialled from here.
pub(crate) fn own_input<'a>(case: &Case<'a>) -> Option<&'a Verdict> {
    let firewall = case.file.server.firewall.get()?;
    firewall.verdicts.iter().find(|v| {
        v.hook == "input" && about_target(case, v) && v.source.parse().is_ok_and(|ip| is_own(case, ip))
    })
}

/// What they do with a client of another host.
pub(crate) fn outside_input<'a>(case: &Case<'a>) -> Option<&'a Verdict> {
    let firewall = case.file.server.firewall.get()?;
    firewall.verdicts.iter().find(|v| {
        v.hook == "input"
            && about_target(case, v)
            && match v.source.parse() {
                Ok(ip) => case.file.ask.client == Some(ip) || !is_own(case, ip),
                Err(_) => true,
            }
    })
}

/// What this machine's own OUTPUT rules do with the dial.
pub(crate) fn own_output<'a>(case: &Case<'a>) -> Option<&'a Verdict> {
    let of = |f: &'a crate::evidence::server::Firewall| {
        f.verdicts.iter().find(|v| v.hook == "output" && about_target(case, v))
    };
    case.file.client.firewall.get().and_then(of)
}

/// A rule in one sentence: text, chain, owner.
pub(crate) fn rule(verdict: &Verdict) -> String {
    let mut text = match (&verdict.rule, &verdict.chain) {
        (Some(rule), Some(chain)) => format!("in {chain}: {rule}"),
        (Some(rule), None) => rule.clone(),
        (None, Some(chain)) => format!("the policy of {chain}"),
        (None, None) => verdict.because.clone(),
    };
    if let Some(owner) = &verdict.owner {
        text.push_str(&format!(" ({owner})"));
    }
    if verdict.answer {
        text.push_str(", which stops the answer");
    }
    text
}

/// A table line.
pub(crate) const fn meta(
    id: &'static str,
    category: super::Category,
    stage: super::Stage,
    title: &'static str,
    settled_by: &'static [&'static str],
) -> Meta {
    Meta { id, category, stage, title, masked_by: &[], settled_by }
}

#[cfg(test)]
mod tests {
    use super::{network, sh};

    #[test]
    fn networks() {
        assert_eq!(network("10.1.2.3".parse().unwrap(), 24), "10.1.2.0/24");
        assert_eq!(network("fd00::1:2".parse().unwrap(), 64), "fd00::/64");
        assert_eq!(network("10.1.2.3".parse().unwrap(), 0), "0.0.0.0/0");
    }

    #[test]
    fn shell_words_are_quoted() {
        assert_eq!(sh("redis-server.service"), "redis-server.service");
        assert_eq!(sh("a b;rm"), "'a b;rm'");
        assert_eq!(sh("it's"), "'it'\\''s'");
    }
}
