//! Redis runs on that host, on another port than the one dialled.

use super::shared::remark_beside;
use crate::cause::common::{
    CLUSTER_BUS, directive, holder, is_redis, listing, meta, neighbours, redis_listeners, servers_here, sh,
    stands, url,
};
use crate::cause::containers::{self, Tie};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage, cluster};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Neighbour, Reply, Speaks};

/// See the module.
#[derive(Debug)]
pub(super) struct WrongPort;

static META: Meta = Meta {
    masked_by: &[
        "config-not-applied",
        "tcp-port-disabled",
        "server-firewall-rejects",
        "client-firewall-blocks",
    ],
    ..meta(
        "wrong-port",
        Category::Address,
        Stage::Connect,
        "Redis is on another port of that host",
        &["neighbours", "listener", "process", "kubernetes"],
    )
};

/// Another port of the same host where Redis answers.
fn next_door<'a>(case: &Case<'a>) -> Option<&'a Neighbour> {
    let dialled = case.dialled();
    neighbours(case)
        .iter()
        .find(|n| is_redis(n) && n.to.port() != case.ask.port && dialled.iter().any(|d| d.ip() == n.to.ip()))
}

fn answer(neighbour: &Neighbour) -> String {
    match &neighbour.ping {
        Some(reply @ (Reply::Text { .. } | Reply::Error { .. })) => crate::evidence::Says::says(reply),
        _ => "Redis".to_owned(),
    }
}

/// Ports that Redis listens on here, where none is the one dialled.
fn ports(case: &Case<'_>) -> Option<Vec<u16>> {
    let own = redis_listeners(case)?;
    if own.is_empty() || own.iter().any(|l| l.at.port() == case.ask.port) {
        return None;
    }
    let mut ports: Vec<u16> = own.iter().map(|l| l.at.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    Some(ports)
}

/// A server that does not run is to blame for the port: its configuration or its unit says so.
fn owner_is_down(case: &Case<'_>) -> Option<String> {
    let port = case.ask.port.to_string();
    let configs = case.server.config.get().map_or(&[][..], Vec::as_slice);
    let running: Vec<u32> = case.servers().iter().map(|p| p.pid).collect();
    if let Some(config) =
        configs.iter().find(|c| c.value("port") == Some(&port) && c.pid.is_none_or(|p| !running.contains(&p)))
    {
        return Some(format!(
            "{} has port {port}, and its server does not run",
            config.file.as_deref().unwrap_or("another instance")
        ));
    }
    // Without its file at hand: a unit that failed, or that is enabled and does not run, may own the port.
    let units = &case.server.unit.get()?.units;
    let down = |u: &&crate::evidence::server::Unit| {
        !u.name.contains("sentinel")
            && u.load_state == "loaded"
            && u.active != "active"
            && (u.active == "failed" || u.file_state.as_deref() == Some("enabled"))
            && !configs.iter().any(|c| c.found_by == u.name && c.value("port").is_some_and(|p| p != port))
    };
    units.iter().find(down).map(|u| format!("{} does not run, and may be the one that owns the port", u.name))
}

/// The port dialled is a cluster bus: Redis's own port is 10000 lower.
fn bus(case: &Case<'_>) -> Option<(u16, Vec<Reason>)> {
    let data = case.ask.port.checked_sub(CLUSTER_BUS).filter(|p| *p > 0)?;
    let mut reasons = Vec::new();
    if case.talk().is_some_and(|t| t.speaks == Speaks::ClusterBus) {
        reasons.push(Reason::confirms("protocol", "what answers there is the bus of a cluster node"));
    }
    let pids = |port: u16| -> Vec<u32> {
        let all = case.server.listener.get().map_or(&[][..], |l| l.tcp.as_slice());
        all.iter().filter(|l| l.at.port() == port).flat_map(|l| l.pids.clone()).collect()
    };
    let same = pids(case.ask.port).into_iter().find(|p| pids(data).contains(p));
    if same.is_some_and(|pid| case.servers().iter().any(|s| s.pid == pid)) {
        let says = format!("the same Redis listens on {data}: {} is its cluster bus", case.ask.port);
        reasons.push(Reason::confirms("listener", says));
    }
    if neighbours(case).iter().any(|n| is_redis(n) && n.to.port() == data) {
        let says =
            format!("Redis answers on port {data}, and a cluster node has its bus {CLUSTER_BUS} above");
        reasons.push(Reason::strong("neighbours", says));
    }
    (!reasons.is_empty()).then_some((data, reasons))
}

/// The only Redis container of this machine publishes its port under another number.
fn published(case: &Case<'_>) -> Option<(u16, String)> {
    let meant = containers::meant(case).filter(|m| m.tie == Tie::Only && m.container.status == "running")?;
    let c = meant.container;
    let reaches = |at: &std::net::SocketAddr| {
        at.ip().is_unspecified() || case.dialled().iter().any(|to| to.ip() == at.ip())
    };
    let (inside, at) = c.published().find(|(_, at)| reaches(at) && at.port() != case.ask.port)?;
    let says = format!("{} publishes its port {inside} at {at}", containers::named(c));
    (servers_here(case)?.is_empty() && case.symptom == Symptom::Refused).then_some((at.port(), says))
}

/// Where Redis really is.
fn right_port(case: &Case<'_>) -> Option<u16> {
    if let Some((port, _)) = published(case) {
        return Some(port);
    }
    if case.symptom != Symptom::Refused {
        return bus(case).map(|(port, _)| port);
    }
    ports(case).and_then(|p| p.first().copied()).or_else(|| next_door(case).map(|n| n.to.port()))
}

/// The port of the only Redis there; none where which one is meant is not evident.
pub(in crate::cause) fn evident(case: &Case<'_>) -> Option<u16> {
    if case.symptom != Symptom::Refused {
        return bus(case).map(|(port, _)| port);
    }
    if let Some(own) = ports(case) {
        return <[u16; 1]>::try_from(own).ok().map(|[port]| port);
    }
    let dialled = case.dialled();
    let there = |n: &&Neighbour| is_redis(n) && dialled.iter().any(|d| d.ip() == n.to.ip());
    let mut others: Vec<u16> = neighbours(case).iter().filter(there).map(|n| n.to.port()).collect();
    others.sort_unstable();
    others.dedup();
    <[u16; 1]>::try_from(others).ok().map(|[port]| port)
}

impl Cause for WrongPort {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(reasons) = cluster::port_reasons(case) {
            return reasons;
        }
        if matches!(case.symptom, Symptom::Silent | Symptom::Closed | Symptom::Reset | Symptom::NotRedis) {
            return bus(case).map(|(_, reasons)| reasons).unwrap_or_default();
        }
        if case.symptom != Symptom::Refused {
            return Vec::new();
        }
        if let Some((_, says)) = published(case) {
            let mut reasons = Vec::new();
            if containers::unit_wanted(case) {
                reasons.push(Reason::strong("container", says));
                reasons.extend(owner_is_down(case).map(|down| Reason::against("unit", down)));
            } else {
                reasons.push(Reason::confirms("container", says));
            }
            return reasons;
        }
        if case.server_seen() {
            let own = redis_listeners(case).unwrap_or_default();
            if own.iter().any(|l| l.at.port() == case.ask.port) {
                return vec![Reason::rules_out(
                    "listener",
                    format!("Redis listens on port {} here: {}", case.ask.port, listing(&own)),
                )];
            }
            if servers_here(case).is_some_and(|s| s.is_empty()) {
                return vec![Reason::rules_out("process", "no Redis runs here, on whatever port")];
            }
            if own.is_empty() && neighbours(case).is_empty() {
                return vec![Reason::rules_out("listener", "Redis listens on no TCP port here at all")];
            }
        }
        let mut reasons = Vec::new();
        if ports(case).is_some() {
            let own = redis_listeners(case).unwrap_or_default();
            let says = format!(
                "{} listens on {}, and nothing on port {}",
                holder(case, &own),
                listing(&own),
                case.ask.port
            );
            match owner_is_down(case) {
                Some(down) => {
                    reasons.push(Reason::strong("listener", says));
                    reasons.push(Reason::against("unit", down));
                }
                None => {
                    reasons.push(Reason::confirms("listener", says));
                    if let Some(says) = case.config().and_then(|c| directive(c, "port")) {
                        reasons.push(Reason::strong("config", says));
                    }
                }
            }
        }
        if let Some(n) = next_door(case) {
            reasons.push(Reason::strong("neighbours", format!("{} answers {}", n.to, answer(n))));
            if case.ask.port_given && case.ask.port != 6379 && n.to.port() == 6379 {
                reasons.push(Reason::weak("neighbours", "that is Redis's usual port"));
            } else {
                reasons.push(Reason::weak(
                    "connect",
                    format!("nothing listens on port {} there", case.ask.port),
                ));
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(title) = cluster::port_title(case) {
            return title;
        }
        match right_port(case) {
            Some(port) if case.symptom == Symptom::Refused => {
                format!("Redis is on port {port} there, and you dial {}", case.ask.port)
            }
            Some(port) => format!("port {} is the cluster bus: Redis's own port is {port}", case.ask.port),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some(fix) = cluster::port_fix(case) {
            return Some(fix);
        }
        let port = right_port(case)?;
        Some(
            Fix::new(Risk::Advice, format!("dial port {port}"))
                .run("see whether it is the Redis you mean", format!("nopong {}", sh(&url(case, port))))
                .step(format!("then correct the port {}", stands(case))),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        remark_beside(case, META.id, self.fix(case))
    }
}

#[cfg(test)]
mod tests {
    use super::WrongPort;
    use crate::cause::testing::{
        bearings, first, listener, mute, on_server, process, refused, rules_out, running, seen, silent, unit,
        with_listener, with_process, with_unit,
    };
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::client::{DialOutcome, Neighbour, Reply, Speaks};

    #[test]
    fn confirmed_by_the_only_listener() {
        assert_eq!(
            first(&running(on_server(refused()), "0.0.0.0:6380")),
            Some(("wrong-port", Band::Confirmed))
        );
    }

    #[test]
    fn not_confirmed_when_the_ports_own_unit_is_down() {
        let mut file = with_unit(on_server(refused()), "inactive", "dead", "success");
        let mut units = file.server.unit.get().cloned().unwrap();
        units.units.push(unit("redis-server@two.service", "active", "running", "success"));
        file.server.unit = seen(units);
        let mut two = process(900);
        two.unit = Some("redis-server@two.service".to_owned());
        let file = with_listener(with_process(file, two), listener("0.0.0.0:6380", 900, "redis-server"));
        assert_eq!(bearings(&WrongPort, &file), [Bearing::Strong, Bearing::Against]);
    }

    #[test]
    fn likely_from_a_lone_client_that_finds_redis_next_door() {
        let mut file = refused();
        file.client.neighbours = seen(vec![Neighbour {
            to: "10.0.0.5:6380".parse().unwrap(),
            why: "usual-port".to_owned(),
            outcome: DialOutcome::Connected,
            speaks: Some(Speaks::Resp),
            ping: Some(Reply::Text { text: "PONG".to_owned() }),
            mode: None,
        }]);
        assert_eq!(first(&file), Some(("wrong-port", Band::Likely)));
    }

    #[test]
    fn the_cluster_bus() {
        let mut file = mute(Speaks::ClusterBus);
        file.ask.port = 16379;
        assert_eq!(first(&file), Some(("wrong-port", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_the_right_port_and_by_no_server() {
        assert!(rules_out(&WrongPort, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(rules_out(&WrongPort, &on_server(refused())));
    }

    #[test]
    fn silent_for_a_lone_client() {
        assert!(silent(&WrongPort, &refused()));
    }
}
