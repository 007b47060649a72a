//! Protected mode: without a password for the default user, Redis answers only its own host.

use crate::cause::common::{
    dials_loopback, holder, is_loopback, meta, outside_addresses, place, planned, redis_listeners, restart,
    source_or_blank,
};
use crate::cause::containers;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::containers::Container;

/// See the module.
#[derive(Debug)]
pub(super) struct ProtectedMode;

static META: Meta = Meta {
    masked_by: &["config-not-applied"],
    ..meta(
        "protected-mode",
        Category::Bind,
        Stage::Protocol,
        "protected mode: Redis takes no other hosts without a password",
        &["protocol", "inside", "config"],
    )
};

/// Major version of the running server, where it told.
fn major(case: &Case<'_>) -> Option<u32> {
    let told = |t: &crate::evidence::client::Talk| t.info("redis_version").map(str::to_owned);
    let asked = case.server.inside.get().and_then(told).or_else(|| case.talk().and_then(told));
    let installed = || case.server.binary.get()?.iter().find_map(|b| b.version.clone());
    asked.or_else(installed)?.split('.').next()?.parse().ok()
}

/// Reasons to know that other hosts would be answered `-DENIED`, from the server's side.
fn in_force(case: &Case<'_>) -> Option<Vec<Reason>> {
    let inside = case.server.inside.get().or_else(|| case.ask.local.then(|| case.talk()).flatten());
    let config = case.config();
    let running = inside.and_then(|t| t.config("protected-mode"));
    let mode = running.or_else(|| config.and_then(|c| c.value("protected-mode")))?;
    if mode != "yes" {
        return None;
    }
    // A PONG without AUTH shows that the default user needs no password; so does the file.
    let open = inside.is_some_and(|t| t.pong() && t.auth.is_none());
    let open = open && !case.ask.has_password
        || inside.and_then(|t| t.config("requirepass")).is_some_and(str::is_empty)
        || config.and_then(|c| c.default_user_has_password) == Some(false);
    if !open || config.and_then(|c| c.default_user_has_password) == Some(true) {
        return None;
    }
    // Before 7.0 an explicit bind switched it off (networking.c, clientAcceptHandler: bindaddr_count == 0).
    let bound = config.and_then(|c| c.place("bind")).is_some_and(|p| p != "default");
    if bound && major(case).is_some_and(|v| v < 7) {
        return None;
    }
    let mut reasons = Vec::new();
    if running.is_none() {
        let place = config.and_then(|c| c.place("protected-mode")).filter(|p| p != "default");
        reasons.push(Reason::strong(
            "config",
            match place {
                Some(place) => format!("{place} says: protected-mode yes"),
                None => "protected-mode is not set: the default is yes".to_owned(),
            },
        ));
    }
    reasons.push(Reason::strong("config", "the default user has no password"));
    if running.is_some() && (major(case).is_some_and(|v| v >= 7) || !bound) {
        let says = "the running server has protected-mode yes and takes PING without a password";
        reasons.insert(0, Reason::confirms("inside", says));
    }
    Some(reasons)
}

/// A published port makes every client another host, the machine itself included.
fn in_container(case: &Case<'_>, c: &Container) -> Fix {
    let fix = Fix::new(Risk::Ask, "set a password; protected mode then lets other hosts in");
    let host = c.config.as_ref().and_then(|c| c.host.clone());
    let fix = match (&host, &c.folder, &c.service) {
        (Some(file), ..) => fix.step(format!("in {file}: requirepass with a long random value, and keep protected-mode yes")),
        (None, Some(folder), Some(service)) => fix.step(format!(
            "in the compose file of {folder}, to the service {service}:  + command: [\"redis-server\", \"--requirepass\", \"${{REDIS_PASSWORD:?}}\"]"
        )),
        _ => fix.step("start its server with --requirepass and a long random value"),
    };
    let fix = fix.step("give the application the same password");
    let fix = if host.is_some() || c.service.is_some() {
        containers::restart(fix, case, c)
    } else {
        fix.step("a container's command is fixed when it is made: remove it and run it anew")
    };
    fix.step(format!(
        "Docker's published ports pass by ufw and firewalld: publish on 127.0.0.1 only, or admit {} in the chain DOCKER-USER",
        source_or_blank(case)
    ))
}

impl Cause for ProtectedMode {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        match case.error_word() {
            // Sentinel and Redis use the same word and text (networking.c, since 3.2).
            Some("DENIED") => vec![Reason::confirms(
                "protocol",
                "the server answers -DENIED: it runs in protected mode, no password is set, and you come from another host",
            )],
            Some(word) => vec![Reason::rules_out(
                "protocol",
                format!("the server answers -{word}, protected mode would answer -DENIED before anything"),
            )],
            None => Vec::new(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some(meant) = containers::meant(case) {
            return Some(in_container(case, meant.container));
        }
        let fix = Fix::new(Risk::Ask, "set a password; protected mode then lets other hosts in")
            .step(format!(
                "on the Redis host, in {}: requirepass with a long random value (or an ACL user), and keep \
                 protected-mode yes",
                place(case, "requirepass")
            ))
            .step("give the application the same password");
        let fix = restart(fix, case);
        Some(fix.step(format!(
            "let the firewall admit only {} to port {}",
            source_or_blank(case),
            case.ask.port
        )))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.error_word() == Some("DENIED") || case.ask.unix.is_some() {
            return None;
        }
        let reasons = in_force(case)?;
        let listeners = redis_listeners(case).unwrap_or_default();
        if listeners.iter().all(|l| l.at.port() != case.ask.port) && planned(case).is_none() {
            return None;
        }
        let outside = !dials_loopback(case) && !case.dialled().is_empty();
        if !outside && case.server.address.get().is_some() && outside_addresses(case).is_empty() {
            return None;
        }
        let behind_bind = listeners.iter().all(|l| is_loopback(l.at.ip()));
        let failed_before = matches!(
            case.symptom,
            Symptom::Refused | Symptom::TimedOut | Symptom::Unreachable | Symptom::NoRoute
        );
        Some(Latent {
            place: if failed_before && outside { Place::Behind } else { Place::Warning },
            title: if listeners.is_empty() {
                "protected mode would then refuse other hosts: no password is set".to_owned()
            } else if behind_bind && !failed_before {
                "protected mode would refuse other hosts too: no password is set".to_owned()
            } else {
                format!("protected mode refuses other hosts: {} has no password", holder(case, &listeners))
            },
            reasons,
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ProtectedMode;
    use crate::cause::Cause as _;
    use crate::cause::testing::{
        confirms, first, on_server, ping_error, pong_talk, refused, rules_out, running, seen, silent, talks,
        with_config, with_unit,
    };
    use crate::diagnosis::{Band, Case, Place, diagnose};
    use crate::evidence::CaseFile;

    fn open(mut file: CaseFile, version: &str) -> CaseFile {
        let mut talk = pong_talk(&[("redis_version", version)]);
        talk.config =
            vec![("protected-mode".to_owned(), "yes".to_owned()), ("requirepass".to_owned(), String::new())];
        file.server.inside = seen(talk);
        with_config(file, &[("bind", "127.0.0.1"), ("protected-mode", "yes")])
    }

    #[test]
    fn confirmed_by_the_servers_own_word() {
        let file = ping_error("DENIED Redis is running in protected mode because protected mode is enabled");
        assert_eq!(first(&file), Some(("protected-mode", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_another_answer() {
        assert!(rules_out(&ProtectedMode, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&ProtectedMode, &refused()));
        assert!(!confirms(&ProtectedMode, &running(on_server(refused()), "127.0.0.1:6379")));
    }

    #[test]
    fn stands_behind_a_loopback_bind() {
        let file = open(running(on_server(refused()), "127.0.0.1:6379"), "7.0.15");
        let diagnosis = diagnose(&file);
        assert_eq!(diagnosis.causes[0].cause.meta().id, "bind-loopback-only");
        assert_eq!(diagnosis.behind[0].cause.meta().id, "protected-mode");
        assert_eq!(diagnosis.behind[0].band, Band::Confirmed);
    }

    #[test]
    fn stands_behind_a_stopped_server_by_its_file() {
        let file = with_unit(on_server(refused()), "inactive", "dead", "success");
        let settings = [("bind", "127.0.0.1"), ("port", "6379"), ("protected-mode", "yes")];
        let mut file = with_config(file, &settings);
        let mut configs = file.server.config.get().cloned().unwrap();
        configs[0].default_user_has_password = Some(false);
        file.server.config = seen(configs);
        let behind: Vec<_> = diagnose(&file).behind.iter().map(|f| f.cause.meta().id).collect();
        assert_eq!(behind, ["bind-loopback-only", "protected-mode"]);
    }

    #[test]
    fn warns_beside_a_pong() {
        let mut file = open(running(on_server(talks(pong_talk(&[]))), "0.0.0.0:6379"), "7.0.15");
        let place = |file: &CaseFile| ProtectedMode.latent(&Case::new(file)).map(|l| l.place);
        assert_eq!(place(&file), Some(Place::Warning));
        file.ask.has_password = true;
        file.server.config = crate::evidence::Seen::NotRun;
        file.server.inside = crate::evidence::Seen::NotRun;
        assert_eq!(place(&file), None);
    }

    #[test]
    fn an_explicit_bind_switches_it_off_before_7() {
        let file = open(running(on_server(refused()), "127.0.0.1:6379"), "6.2.7");
        assert!(ProtectedMode.latent(&Case::new(&file)).is_none());
    }
}
