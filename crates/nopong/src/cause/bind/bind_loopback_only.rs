//! Redis listens on loopback only, and the client is elsewhere or dials another address of the host.

use crate::cause::common::{
    binds_loopback_only, dials_loopback, directive, holder, is_loopback, listing, outside_addresses, place,
    public_address, redis_listeners, restart, servers_here,
};
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
    // A rule that rejects comes before the socket; a file that already says otherwise is the nearer cause.
    masked_by: &["config-not-applied", "server-firewall-rejects", "client-firewall-blocks"],
    settled_by: &["listener", "process"],
};

/// Redis's own listeners on the target's port, if they are all on loopback.
fn loopback_listeners<'a>(case: &Case<'a>) -> Option<Vec<&'a Listener>> {
    let mut own = redis_listeners(case)?;
    own.retain(|l| l.at.port() == case.ask.port);
    (case.ask.unix.is_none() && !own.is_empty() && own.iter().all(|l| is_loopback(l.at.ip()))).then_some(own)
}

/// The only server listens on another port than the one dialled, and there on loopback only.
fn on_another_port<'a>(case: &Case<'a>) -> Option<Vec<&'a Listener>> {
    let own = redis_listeners(case)?;
    let other = case.symptom == Symptom::Refused && own.iter().all(|l| l.at.port() != case.ask.port);
    (other && servers_here(case)?.len() == 1 && !own.is_empty() && own.iter().all(|l| is_loopback(l.at.ip())))
        .then_some(own)
}

/// A server that does not run would listen on loopback only, and the client dials another address.
fn would_listen_on_loopback(case: &Case<'_>) -> Option<String> {
    if case.ask.unix.is_some() || dials_loopback(case) || !case.server_seen() || case.process().is_some() {
        return None;
    }
    let config = case.config().filter(|c| c.pid.is_none() && c.file.is_some())?;
    config.value("bind").filter(|b| binds_loopback_only(b))?;
    directive(config, "bind")
}

fn because(case: &Case<'_>, own: &[&Listener]) -> Vec<Reason> {
    let mut reasons = vec![Reason::confirms(
        "listener",
        format!("{} listens on {}, nowhere else", holder(case, own), listing(own)),
    )];
    if let Some(says) = case.config().and_then(|c| directive(c, "bind")) {
        reasons.push(Reason::strong("config", says));
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
        if dials_loopback(case) {
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
        let address = public_address(case).map_or_else(|| "the address".to_owned(), |a| a.to_string());
        // Only a line of loopback addresses is worth keeping.
        let bind = case.config().and_then(|c| c.value("bind")).filter(|b| binds_loopback_only(b));
        let loopback = bind.unwrap_or("127.0.0.1 -::1");
        let on = if case.server_seen() { "" } else { "on the Redis host, " };
        let fix =
            Fix::new(Risk::Ask, format!("{on}let Redis listen on {address} as well, with a password set"))
                .step(format!("in {}: bind {loopback} {address}", place(case, "bind")))
                .step("set requirepass or an ACL user first: protected mode refuses other hosts without one")
                .step("let a firewall admit only the clients' addresses to the port");
        Some(restart(fix, case))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(says) = would_listen_on_loopback(case) {
            return Some(Latent {
                place: Place::Behind,
                title: format!(
                    "once it runs, Redis listens on loopback only, and you dial {}",
                    case.target()
                ),
                reasons: vec![Reason::confirms("config", says)],
                fix: self.fix(case),
            });
        }
        let own = loopback_listeners(case).or_else(|| on_another_port(case))?;
        let refused = case.symptom == Symptom::Refused && !dials_loopback(case);
        // A machine without an address of its own has no other hosts to keep out.
        if !refused && case.server.address.get().is_some() && outside_addresses(case).is_empty() {
            return None;
        }
        let behind = !dials_loopback(case)
            && matches!(case.symptom, Symptom::Refused | Symptom::TimedOut | Symptom::Unreachable);
        Some(Latent {
            place: if behind { Place::Behind } else { Place::Warning },
            title: format!("other hosts cannot connect: Redis listens on {} only", listing(&own)),
            reasons: because(case, &own),
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BindLoopbackOnly;
    use crate::cause::Cause as _;
    use crate::cause::testing::{
        client, confirms, first, listener, on_server, pong_talk, refused, rules_out, running, seen, silent,
        with_config, with_listener, with_process,
    };
    use crate::diagnosis::{Band, Case};
    use crate::evidence::CaseFile;

    #[test]
    fn confirmed_by_the_listener() {
        let file = running(on_server(refused()), "127.0.0.1:6379");
        assert!(confirms(&BindLoopbackOnly, &file));
        let file = with_config(
            with_listener(file, listener("[::1]:6379", 812, "redis-server")),
            &[("bind", "127.0.0.1 -::1"), ("port", "6379")],
        );
        assert_eq!(first(&file), Some(("bind-loopback-only", Band::Confirmed)));
    }

    #[test]
    fn an_ordinary_user_sees_whose_the_socket_is() {
        let mut socket = listener("127.0.0.1:6379", 0, "");
        (socket.pids, socket.comm) = (Vec::new(), None);
        let file =
            with_listener(with_process(on_server(refused()), crate::cause::testing::process(812)), socket);
        assert!(confirms(&BindLoopbackOnly, &file));
    }

    #[test]
    fn ruled_out_by_a_wildcard_listener() {
        assert!(rules_out(&BindLoopbackOnly, &running(on_server(refused()), "0.0.0.0:6379")));
        assert!(rules_out(&BindLoopbackOnly, &on_server(refused())));
    }

    #[test]
    fn silent_for_a_lone_client_and_for_another_program() {
        assert!(silent(&BindLoopbackOnly, &refused()));
        let other = with_listener(on_server(refused()), listener("127.0.0.1:6379", 9, "nginx"));
        assert!(rules_out(&BindLoopbackOnly, &other));
    }

    #[test]
    fn warns_beside_a_pong_on_the_redis_host() {
        let mut file = running(on_server(client("127.0.0.1", 6379)), "127.0.0.1:6379");
        file.client.protocol = seen(vec![pong_talk(&[])]);
        let warns = |file: &CaseFile| BindLoopbackOnly.latent(&Case::new(file)).is_some();
        assert!(warns(&file));
        file.server.address = seen(Vec::new());
        assert!(!warns(&file), "no address, no other hosts");
    }
}
