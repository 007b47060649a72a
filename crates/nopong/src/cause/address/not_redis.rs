//! Something else than Redis has that port.

use crate::cause::common::{meta, speaker, stands};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Speaks, Talk};
use crate::evidence::server::SocketUnit;

/// See the module.
#[derive(Debug)]
pub(super) struct NotRedis;

static META: Meta = Meta {
    // A unit that lost its port to this stranger is the nearer cause.
    masked_by: &["wrong-port", "tls-required", "port-taken"],
    ..meta(
        "not-redis",
        Category::Address,
        Stage::Protocol,
        "what answers at that port is not Redis",
        &["listener", "neighbours"],
    )
};

/// Programs that pass connections on: what stands behind them may well be a Redis.
const PROXIES: &[&str] = &[
    "haproxy",
    "envoy",
    "stunnel",
    "nginx",
    "nutcracker",
    "twemproxy",
    "socat",
    "ssh",
    "sshd",
    "kubectl",
    "docker-proxy",
    "rootlessport",
    "systemd",
    "xinetd",
    "traefik",
    "ghostunnel",
    "redis",
    "valkey",
    "keydb",
    "dragonfly",
    "predixy",
    "pproxy",
    "rinetd",
    "passt",
    "slirp4netns",
    "gost",
    "caddy",
    "conmon",
    "containerd-shim",
    "dockerd",
];

/// What it is by its first words.
fn told(talk: &Talk) -> Option<Speaks> {
    match talk.speaks {
        Speaks::Http | Speaks::Ssh | Speaks::Memcached | Speaks::Mysql | Speaks::Smtp | Speaks::Postgres => {
            Some(talk.speaks)
        }
        _ => None,
    }
}

/// The program that holds the socket dialled, when it is neither a Redis nor a proxy.
fn program(case: &Case<'_>) -> Option<String> {
    let listener = case.dialled().into_iter().find_map(|to| case.listener_for(to))?;
    if let Some(socket) = case.socket_unit(listener) {
        return of_socket(socket);
    }
    let comm = listener.comm.as_deref()?;
    if PROXIES.iter().any(|p| comm.starts_with(p)) {
        return None;
    }
    let pid = listener.pids.first().map(|p| format!(" (pid {p})")).unwrap_or_default();
    Some(format!("{}{pid}", crate::text::shown_str(comm, 40)))
}

/// What a shell or an interpreter does there is not told by its name.
const INTERPRETERS: &[&str] =
    &["sh", "bash", "dash", "env", "python", "perl", "ruby", "node", "java", "nc", "ncat"];

/// The program that systemd starts for whoever connects, when it is known and neither a Redis nor a proxy.
fn of_socket(socket: &SocketUnit) -> Option<String> {
    let path = socket.program.as_deref().filter(|_| !socket.of_redis)?;
    let name = path.rsplit('/').next()?;
    let passes_on = PROXIES.iter().any(|p| name.starts_with(p));
    let open = INTERPRETERS.iter().any(|p| name == *p || (p.len() > 3 && name.starts_with(p)));
    (!passes_on && !open).then(|| format!("{name} of {} ({} of systemd)", socket.activates, socket.unit))
}

fn talk<'a>(case: &Case<'a>) -> Option<&'a Talk> {
    if case.symptom == Symptom::TlsFailed { case.file.client.plain_offer.get() } else { case.talk() }
}

impl Cause for NotRedis {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match case.symptom {
            Symptom::ErrorReply | Symptom::NotReady => {
                return vec![Reason::rules_out("protocol", "it answers in Redis's own words")];
            }
            Symptom::NotRedis | Symptom::Silent | Symptom::Closed | Symptom::Reset | Symptom::TlsFailed => {}
            _ => return Vec::new(),
        }
        if case.ask.unix.is_some() && case.symptom != Symptom::NotRedis {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        if let Some(talk) = talk(case) {
            let fact = if case.symptom == Symptom::TlsFailed { "plain-offer" } else { "protocol" };
            let bytes = talk.first_bytes.as_deref().map(|b| format!(": {b}")).unwrap_or_default();
            if let Some(what) = told(talk) {
                reasons.push(Reason::confirms(
                    fact,
                    format!("{} answers like {}{bytes}", talk.to, speaker(what)),
                ));
            } else if talk.speaks == Speaks::Resp {
                return vec![Reason::rules_out(fact, "it answers in Redis's protocol")];
            } else if matches!(talk.speaks, Speaks::Tls | Speaks::ClusterBus) {
                return Vec::new();
            } else if talk.speaks == Speaks::Unknown && case.symptom == Symptom::NotRedis {
                reasons
                    .push(Reason::strong(fact, format!("{} answers in no way Redis does{bytes}", talk.to)));
            }
        }
        if let Some(program) = program(case) {
            reasons.push(Reason::confirms("listener", format!("the port belongs to {program}")));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match (talk(case).and_then(told), program(case)) {
            (Some(what), Some(program)) => format!("{} is {}, {program}", case.target(), speaker(what)),
            (Some(what), None) => format!("{} is {}, not Redis", case.target(), speaker(what)),
            (None, Some(program)) => format!("{} is {program}, not Redis", case.target()),
            _ => format!("what answers at {} is not Redis", case.target()),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "dial the port that Redis has")
                .run("on that host: see who has which port", "ss -ltnp")
                .step(format!("then correct the address {}", stands(case))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::NotRedis;
    use crate::cause::testing::{
        bearings, confirms, first, listener, mute, on_server, ping_error, refused, rules_out, silent,
        with_listener,
    };
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::client::Speaks;

    #[test]
    fn confirmed_by_what_it_says() {
        for speaks in [Speaks::Http, Speaks::Ssh, Speaks::Memcached, Speaks::Mysql, Speaks::Smtp] {
            assert_eq!(first(&mute(speaks)), Some(("not-redis", Band::Confirmed)), "{speaks:?}");
        }
        assert_eq!(bearings(&NotRedis, &mute(Speaks::Unknown)), [Bearing::Strong]);
    }

    #[test]
    fn a_socket_units_program_is_known_unless_it_may_pass_connections_on() {
        let held = |program: &str, of_redis| {
            let mut file =
                with_listener(on_server(mute(Speaks::Silent)), listener("0.0.0.0:6379", 1, "systemd"));
            if let crate::evidence::Seen::Yes(fact) = &mut file.server.listener {
                fact.value.socket_units.push(crate::evidence::server::SocketUnit {
                    at: "0.0.0.0:6379".parse().unwrap(),
                    unit: "shop.socket".to_owned(),
                    activates: "shop.service".to_owned(),
                    program: Some(program.to_owned()),
                    of_redis,
                });
            }
            confirms(&NotRedis, &file)
        };
        assert!(held("/usr/bin/shop", false));
        assert!(!held("/usr/bin/shop", true) && !held("/bin/sh", false));
        assert!(!held("/usr/bin/python3.11", false) && !held("/lib/systemd/systemd-socket-proxyd", false));
    }

    #[test]
    fn confirmed_by_the_holder_of_the_port_unless_it_is_a_proxy() {
        let held = |comm| with_listener(on_server(mute(Speaks::Silent)), listener("0.0.0.0:6379", 9, comm));
        assert!(confirms(&NotRedis, &held("nc")));
        assert!(silent(&NotRedis, &held("haproxy")));
        assert!(silent(&NotRedis, &held("redis-server")));
    }

    #[test]
    fn ruled_out_by_redis_words() {
        assert!(rules_out(&NotRedis, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn silent_without_a_conversation() {
        assert!(silent(&NotRedis, &refused()));
        assert!(silent(&NotRedis, &mute(Speaks::Closed)));
    }
}
