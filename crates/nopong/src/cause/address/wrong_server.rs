//! Another Redis answers than the one that is meant: one name for two servers, or two servers on one port.

use crate::cause::common::{is_loopback, listing, meta, named, redis_listeners};
use crate::cause::containers;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom, holds};
use crate::evidence::client::Talk;

/// See the module.
#[derive(Debug)]
pub(super) struct WrongServer;

static META: Meta = meta(
    "wrong-server",
    Category::Address,
    Stage::Protocol,
    "another Redis answers than the one that is meant",
    &["protocol", "listener", "name"],
);

/// Conversations with primaries of different run ids: a name that leads to two servers.
fn strangers<'a>(case: &Case<'a>) -> Option<(&'a Talk, &'a Talk)> {
    let talks = case.file.client.protocol.get()?;
    let primary = |t: &&Talk| t.info("role") == Some("master") && t.info("redis_mode") != Some("cluster");
    let first = talks.iter().find(|t| primary(t) && t.info("run_id").is_some())?;
    let other = talks
        .iter()
        .find(|t| primary(t) && t.info("run_id").is_some_and(|id| Some(id) != first.info("run_id")))?;
    Some((first, other))
}

/// Addresses of one name where some take the client and some ask for a password.
fn of_two_minds<'a>(case: &Case<'a>) -> Option<(&'a Talk, &'a Talk)> {
    let talks = case.file.client.protocol.get()?;
    let first = talks.iter().find(|t| t.pong())?;
    let asks = |t: &&Talk| {
        [&t.unasked, &t.auth, &t.ping]
            .into_iter()
            .flatten()
            .any(|r| matches!(r.word(), Some("NOAUTH" | "WRONGPASS")))
    };
    Some((first, talks.iter().find(asks)?))
}

/// Two Redis processes hold the target's port, on different addresses.
fn two_holders(case: &Case<'_>) -> Option<String> {
    let own = redis_listeners(case)?;
    let at: Vec<_> = own.into_iter().filter(|l| l.at.port() == case.ask.port).collect();
    let servers = case.servers();
    let mut holders: Vec<_> = servers
        .iter()
        .filter(|p| at.iter().any(|l| l.pids.contains(&p.pid)))
        .map(|p| {
            let of: Vec<_> = at.iter().copied().filter(|l| holds(p, l)).collect();
            format!("{} on {}", named(p), listing(&of))
        })
        .collect();
    holders.dedup();
    (holders.len() > 1).then(|| holders.join(", "))
}

/// Several containers bear the name on the client's networks, and their stacks are different ones.
fn namesakes(case: &Case<'_>) -> Option<String> {
    let (own, all) = (containers::own(case)?, containers::all(case)?);
    let mut near: Vec<_> = all
        .found
        .iter()
        .filter(|c| c.runs() && c.answers_to(&case.ask.host))
        .filter(|c| containers::shared_network(own, c).is_some())
        .collect();
    near.sort_by(|a, b| a.project.cmp(&b.project));
    near.dedup_by(|a, b| a.project.is_some() && a.project == b.project);
    let each: Vec<String> = near
        .iter()
        .map(|c| match &c.project {
            Some(project) => format!("{} of the project {project}", c.name),
            None => c.name.clone(),
        })
        .collect();
    (each.len() > 1).then(|| each.join(" and "))
}

/// The address with the name of the container that has it.
fn at(case: &Case<'_>, talk: &Talk) -> String {
    let ip = talk.to.parse::<std::net::SocketAddr>().map(|a| a.ip());
    let all = containers::all(case).map_or(&[][..], |c| &c.found);
    match ip.ok().and_then(|ip| all.iter().find(|c| c.has(ip))) {
        Some(c) => format!("{} (container {})", talk.to, c.name),
        None => talk.to.clone(),
    }
}

impl Cause for WrongServer {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply
            || !matches!(case.error_word(), Some("NOAUTH" | "WRONGPASS" | "ERR" | "READONLY" | "NOPERM"))
        {
            return Vec::new();
        }
        if let Some(says) = namesakes(case) {
            let says =
                format!("{} is the name of {says}: Docker answers with all of them in turn", case.ask.host);
            return vec![Reason::strong("container", says)];
        }
        // Which of them is meant nobody can see: strong, never more.
        match two_holders(case) {
            Some(says) => vec![Reason::strong("listener", format!("two servers share the port: {says}"))],
            None => Vec::new(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let host = crate::cause::common::sh(&case.ask.host);
        Some(
            Fix::new(Risk::Advice, "dial the one that is meant by an address or name of its own")
                .run(
                    "compare run_id and config_file of what answers",
                    format!("{} INFO server", crate::cause::common::cli(case)),
                )
                .run("see every address of the name", format!("getent ahosts {host}"))
                .step("two compose projects on one network: give each service a name of its own"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let shown = crate::text::shown_str(&case.ask.host, 100);
        let warning = |title: String, reason: Reason| Latent {
            place: Place::Warning,
            title,
            reasons: vec![reason],
            fix: self.fix(case),
        };
        if let Some((a, b)) = strangers(case) {
            return Some(warning(
                format!("{shown} leads to two different servers, {} and {}", at(case, a), at(case, b)),
                Reason::confirms(
                    "protocol",
                    format!("{} and {} are primaries with different run ids", a.to, b.to),
                ),
            ));
        }
        if let Some((a, b)) = of_two_minds(case) {
            return Some(warning(
                format!("the addresses of {shown} answer differently: {} and {}", at(case, a), at(case, b)),
                Reason::strong("protocol", format!("{} answers PONG, {} wants another login", a.to, b.to)),
            ));
        }
        if let Some(says) = namesakes(case) {
            return Some(warning(
                format!("{shown} is the name of several containers: {says}"),
                Reason::strong("container", format!("Docker answers with the addresses of {says} in turn")),
            ));
        }
        let loopback = case.dialled().iter().all(|a| is_loopback(a.ip()));
        let says = two_holders(case).filter(|_| case.symptom == Symptom::Pong && loopback)?;
        Some(warning(
            format!("two servers share port {}: which one answers depends on the address", case.ask.port),
            Reason::strong("listener", says),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::WrongServer;
    use crate::cause::Cause as _;
    use crate::cause::testing::{
        bearings, listener, on_server, ping_error, pong_talk, process, refused, running, seen, silent, talks,
        with_listener, with_process,
    };
    use crate::diagnosis::{Bearing, Case};

    fn info<'a>(id: &'a str, role: &'a str) -> [(&'a str, &'a str); 2] {
        [("run_id", id), ("role", role)]
    }

    #[test]
    fn warns_of_one_name_for_two_primaries() {
        let mut file = talks(pong_talk(&info("aa", "master")));
        file.client.protocol = seen(vec![pong_talk(&info("aa", "master")), pong_talk(&info("bb", "master"))]);
        assert!(WrongServer.latent(&Case::new(&file)).is_some());
        file.client.protocol = seen(vec![pong_talk(&info("aa", "master")), pong_talk(&info("bb", "slave"))]);
        assert!(WrongServer.latent(&Case::new(&file)).is_none(), "a replica is no stranger");
    }

    #[test]
    fn two_servers_on_one_port_are_strong_never_confirmed() {
        let file = running(on_server(ping_error("NOAUTH Authentication required.")), "127.0.0.1:6379");
        let file =
            with_listener(with_process(file, process(900)), listener("[::]:6379", 900, "redis-server"));
        assert_eq!(bearings(&WrongServer, &file), [Bearing::Strong]);
    }

    #[test]
    fn silent_with_one_server() {
        assert!(silent(&WrongServer, &running(on_server(ping_error("NOAUTH x")), "127.0.0.1:6379")));
        assert!(silent(&WrongServer, &refused()));
    }
}
