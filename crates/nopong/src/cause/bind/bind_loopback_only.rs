//! Redis listens on loopback only, and the client is elsewhere or dials another address of the host.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::Listener;

/// See the module.
#[derive(Debug)]
pub(super) struct BindLoopbackOnly;

static META: Meta = Meta {
    id: "bind-loopback-only",
    category: Category::Bind,
    stage: Stage::Connect,
    title: "Redis listens on loopback only",
    masked_by: &[],
    settled_by: &["listener"],
};

/// Redis's own listeners on the target's port, if they are all on loopback.
fn loopback_listeners<'a>(case: &Case<'a>) -> Option<Vec<&'a Listener>> {
    let redis: Vec<u32> = case.server.process.get()?.iter().map(|p| p.pid).collect();
    let own: Vec<_> = case
        .listeners_on_port()
        .into_iter()
        .filter(|l| l.pids.iter().any(|pid| redis.contains(pid)))
        .collect();
    (!own.is_empty() && own.iter().all(|l| l.at.ip().to_canonical().is_loopback())).then_some(own)
}

fn listing(listeners: &[&Listener]) -> String {
    listeners.iter().map(|l| l.at.to_string()).collect::<Vec<_>>().join(" and ")
}

fn because(case: &Case<'_>, own: &[&Listener]) -> Vec<Reason> {
    let pid = own.first().and_then(|l| l.pids.first()).copied().unwrap_or_default();
    let mut reasons = vec![Reason::confirms(
        "listener",
        format!("redis-server (pid {pid}) listens on {}, nowhere else", listing(own)),
    )];
    if let Some(place) = case.config().and_then(|c| c.place("bind")) {
        let bind = case.config().and_then(|c| c.value("bind")).unwrap_or_default();
        reasons.push(Reason::strong("config", format!("{place} says: bind {bind}")));
    }
    reasons
}

impl Cause for BindLoopbackOnly {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::Refused {
            return Vec::new();
        }
        let dialled_loopback = case.dialled().iter().all(|a| a.ip().to_canonical().is_loopback());
        if dialled_loopback {
            return vec![Reason::rules_out("connect", "loopback itself was dialled")];
        }
        match loopback_listeners(case) {
            Some(own) => because(case, &own),
            None if case.server_seen() => vec![Reason::rules_out(
                "listener",
                format!("no Redis listens on loopback only at port {}", case.ask.port),
            )],
            None => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match loopback_listeners(case) {
            Some(own) => format!("Redis listens on {} only, and you dial {}", listing(&own), case.target()),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let place = case.config().and_then(|c| c.place("bind")).unwrap_or_else(|| "redis.conf".to_owned());
        let unit = case.unit().map_or("redis-server.service", |u| u.name.as_str());
        Some(
            Fix::new(Risk::Ask, format!("add {} to the bind line and require a password", case.ask.host))
                .step(format!("in {place}: bind 127.0.0.1 -::1 {}", case.ask.host))
                .step("set requirepass (or an ACL user): protected mode refuses other hosts without one")
                .run("restart the server", format!("systemctl restart {unit}")),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let own = loopback_listeners(case)?;
        Some(Latent {
            place: if case.symptom == Symptom::Refused { Place::Behind } else { Place::Warning },
            title: format!("other hosts cannot connect: Redis listens on {} only", listing(&own)),
            reasons: because(case, &own),
            fix: self.fix(case),
        })
    }
}
