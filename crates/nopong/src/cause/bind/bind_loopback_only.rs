//! Redis listens on loopback only, and the client is elsewhere or dials another address of the host.

use crate::cause::access::password_wanted;
use crate::cause::common::{
    binds_loopback_only, dials_loopback, directive, holder, is_loopback, listing, outside_addresses, place,
    public_address, redis_listeners, restart, servers_here, sh,
};
use crate::cause::containers::{self, Meant, Tie};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::{Listener, Unit};
use std::net::SocketAddr;

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
    if containers::surely(case) {
        return None;
    }
    let config = case.config().filter(|c| c.pid.is_none() && c.file.is_some())?;
    config.value("bind").filter(|b| binds_loopback_only(b))?;
    directive(config, "bind")
}

/// The unit's processes have a network of their own, with nothing but loopback (systemd.exec(5), PrivateNetwork=).
fn shut_in<'a>(case: &Case<'a>) -> Option<&'a Unit> {
    let unit = case.unit()?;
    let private = unit.sandbox.get("PrivateNetwork").is_some_and(|v| v == "yes");
    (private
        && unit.main_pid > 0
        && case.ask.unix.is_none()
        && case.symptom == Symptom::Refused
        && case.holder().is_none())
    .then_some(unit)
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

/// A container whose Redis listens on the loopback of the container only: nothing from outside it arrives there, by
/// whatever way. Behind a published port the proxy has accepted already, and closes.
fn in_container<'a>(case: &Case<'a>) -> Option<(Meant<'a>, Vec<SocketAddr>)> {
    let fits = matches!(case.symptom, Symptom::Refused | Symptom::Closed | Symptom::Reset);
    let meant =
        containers::meant(case).filter(|m| fits && m.tie != Tie::Only && m.container.status == "running")?;
    // With the host's network its loopback is the host's.
    let apart = meant.container.network_mode != "host" && !containers::own_loopback(case);
    let own = containers::listeners(&meant).filter(|own| apart && !own.is_empty())?;
    own.iter().all(|at| is_loopback(at.ip())).then_some((meant, own))
}

fn because_of_container(meant: &Meant<'_>, own: &[SocketAddr]) -> Vec<Reason> {
    let at: Vec<_> = own.iter().map(ToString::to_string).collect();
    let mut reasons = vec![Reason::confirms(
        "container",
        format!(
            "Redis in {} listens on {} of that container, nowhere else",
            containers::named(meant.container),
            at.join(" and ")
        ),
    )];
    let bind = meant.container.config.as_ref().and_then(|c| c.settings.get("bind"));
    if let Some(bind) = bind {
        let place = bind.line.map_or_else(|| bind.file.clone(), |n| format!("{}:{n}", bind.file));
        reasons.push(Reason::strong("container", format!("{place} says: bind {}", bind.value)));
    }
    reasons
}

/// Inside a container every address is the container's own: the network and the published ports decide who gets there.
fn fix_of_container(case: &Case<'_>, meant: &Meant<'_>) -> Fix {
    let c = meant.container;
    let fix = Fix::new(Risk::Ask, "let Redis listen on all addresses of its container, with a password set");
    let file = c.config.as_ref().and_then(|c| c.host.clone());
    let by_file = c.config.as_ref().and_then(|c| c.settings.get("bind")).is_some_and(|b| b.line.is_some());
    let fix = match file.filter(|_| by_file) {
        Some(file) => {
            let file = sh(&file);
            fix.run("the line that says so", format!("grep -nE '^ *(bind|protected-mode|requirepass)' {file}"))
                .step("write there: bind * -::*")
                .step("and requirepass with a long random value: protected mode refuses other addresses without one")
        }
        None => fix.step("in its command or configuration: bind * -::* instead of a loopback address").step(
            "and requirepass with a long random value: protected mode refuses other addresses without one",
        ),
    };
    containers::restart(fix, case, c)
}

impl Cause for BindLoopbackOnly {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some((meant, own)) = in_container(case) {
            return because_of_container(&meant, &own);
        }
        if case.symptom != Symptom::Refused {
            return Vec::new();
        }
        if let Some(unit) = shut_in(case) {
            return vec![Reason::confirms(
                "unit",
                format!(
                    "{} runs (pid {}) with PrivateNetwork=yes: in a network of its own that has loopback alone",
                    unit.name, unit.main_pid
                ),
            )];
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
        if let Some((meant, _)) = in_container(case) {
            let name = containers::named(meant.container);
            return format!("Redis in {name} listens on the loopback of that container only");
        }
        if let Some(unit) = shut_in(case) {
            return format!("{} has a network of its own, which nobody else reaches", unit.name);
        }
        match loopback_listeners(case) {
            Some(own) => format!("Redis listens on {} only, and you dial {}", listing(&own), case.target()),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some((meant, _)) = in_container(case) {
            return Some(fix_of_container(case, &meant));
        }
        if let Some(unit) = shut_in(case) {
            let name = sh(&unit.name);
            return Some(
                Fix::new(Risk::Ask, "give the unit the host's network: PrivateNetwork=no")
                    .run("where it says so", format!("systemctl cat {name} | grep -n PrivateNetwork"))
                    .run("in a drop-in, under [Service]: PrivateNetwork=no", format!("systemctl edit {name}"))
                    .run("restart the server", format!("systemctl restart {name}")),
            );
        }
        let address = public_address(case).map_or_else(|| "the address".to_owned(), |a| a.to_string());
        // Only a line of loopback addresses is worth keeping.
        let bind = case.config().and_then(|c| c.value("bind")).filter(|b| binds_loopback_only(b));
        let loopback = bind.unwrap_or("127.0.0.1 -::1");
        let on = if case.server_seen() { "" } else { "on the Redis host, " };
        let has_password = password_wanted(case).is_some();
        let too = if has_password { "" } else { ", with a password set" };
        let fix = Fix::new(Risk::Ask, format!("{on}let Redis listen on {address} as well{too}"))
            .step(format!("in {}: bind {loopback} {address}", place(case, "bind")));
        let fix = match has_password {
            true => fix,
            false => fix
                .step("set requirepass or an ACL user first: protected mode refuses other hosts without one"),
        };
        Some(restart(fix.step("let a firewall admit only the clients' addresses to the port"), case))
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
        client, confirms, edit_unit, first, listener, on_server, pong_talk, refused, rules_out, running,
        seen, silent, with_config, with_listener, with_process, with_unit,
    };
    use crate::diagnosis::{Band, Case};
    use crate::evidence::CaseFile;

    #[test]
    fn a_unit_with_a_network_of_its_own() {
        let file = with_unit(on_server(refused()), "active", "running", "success");
        let file = edit_unit(file, |unit| {
            unit.main_pid = 7;
            unit.sandbox.insert("PrivateNetwork".to_owned(), "yes".to_owned());
        });
        assert_eq!(first(&file), Some(("bind-loopback-only", Band::Confirmed)));
    }

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

    #[test]
    fn behind_a_published_port() {
        use crate::cause::testing::{attached, mute, publish, with_container};
        use crate::evidence::client::Speaks;
        let file = with_container(on_server(mute(Speaks::Closed)), |c| {
            publish(c, "0.0.0.0:6379");
            c.listens = Some(vec!["127.0.0.1:6379".parse().unwrap()]);
            c.networks = vec![attached("bridge", "172.17.0.2", &[])];
        });
        assert_eq!(first(&file), Some(("bind-loopback-only", Band::Confirmed)));
        let file = with_container(on_server(mute(Speaks::Closed)), |c| {
            publish(c, "0.0.0.0:6379");
            c.listens = Some(vec!["0.0.0.0:6379".parse().unwrap()]);
        });
        assert!(!confirms(&BindLoopbackOnly, &file));
    }
}
