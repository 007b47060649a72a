//! The file already says what is needed, but the running server does not: it was edited and not loaded.

use crate::cause::common::{
    dials_loopback, is_loopback, listing, meta, named, place, redis_listeners, restart, servers_here,
    somebody_listens,
};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::{Config, Process};

/// See the module.
#[derive(Debug)]
pub(super) struct ConfigNotApplied;

static META: Meta = meta(
    "config-not-applied",
    Category::Bind,
    Stage::Connect,
    "the running Redis does not have the configuration of its file",
    &["config", "process", "listener"],
);

/// Clock and file times are whole seconds: closer than this, edited and started are the same moment.
const SAME_MOMENT_S: u64 = 2;

/// How a file was found when nothing ties it to the process (see `Config::found_by`).
const USUAL_PLACE: &str = "usual place";

/// What of the file is not in force, in words, where that is what keeps the client out.
fn unapplied(case: &Case<'_>, config: &Config) -> Option<String> {
    match case.symptom {
        Symptom::Refused => {
            let own = redis_listeners(case)?;
            // A server that has just been started has not come to its sockets yet.
            let settled = |p: &Process| p.age_s.is_some_and(|age| age > SAME_MOMENT_S);
            if own.is_empty() && !servers_here(case)?.iter().any(|p| settled(p)) {
                return None;
            }
            let wanted = case.dialled().into_iter().find(|to| file_takes(config, *to))?;
            let at = config.value("bind").map(|b| format!("bind {b}")).unwrap_or_default();
            let port = config.value("port").unwrap_or("6379");
            let runs = if own.is_empty() { "no TCP port".to_owned() } else { listing(&own) };
            (!somebody_listens(case)).then(|| {
                format!(
                    "{} says {at}, port {port}, which would take {wanted}; the server listens on {runs}",
                    place(case, "bind")
                )
            })
        }
        Symptom::ErrorReply => match case.error_word() {
            Some("DENIED") if config.value("protected-mode") == Some("no") => Some(format!(
                "{} says protected-mode no; the server refuses all the same",
                place(case, "protected-mode")
            )),
            Some("DENIED") if config.default_user_has_password == Some(true) => Some(format!(
                "{} sets a password; the server has none and refuses in protected mode",
                place(case, "requirepass")
            )),
            Some("ERR") if auth_without_password(case) && config.default_user_has_password == Some(true) => {
                Some(format!("{} sets a password; the running server has none", place(case, "requirepass")))
            }
            Some("NOAUTH") if config.default_user_has_password == Some(false) => {
                Some("the file sets no password; the running server asks for one".to_owned())
            }
            _ => None,
        },
        _ => None,
    }
}

fn auth_without_password(case: &Case<'_>) -> bool {
    case.talk()
        .and_then(|t| t.auth.as_ref()?.error())
        .is_some_and(|e| e.contains("without any password") || e.contains("no password is set"))
}

/// A server started on this file would take connections to that address (redis.conf's `bind`: `*` and `::*` are
/// wildcards, `-` marks an address that may be absent, none at all means every address).
fn file_takes(config: &Config, to: std::net::SocketAddr) -> bool {
    if config.value("port") != Some(to.port().to_string().as_str()) {
        return false;
    }
    let Some(bind) = config.value("bind") else { return false };
    let mut words = bind.split_whitespace().peekable();
    // No address at all means every one before 7.0 and none since.
    if words.peek().is_none() {
        return false;
    }
    words.any(|word| match word {
        "*" | "0.0.0.0" => to.is_ipv4(),
        "::*" | "::" => to.is_ipv6(),
        // An optional address that was absent at the start is not a file that was not loaded.
        word => word.parse::<std::net::IpAddr>().is_ok_and(|ip| ip == to.ip()),
    })
}

/// The directives whose difference can keep this client out.
fn matters(case: &Case<'_>, directive: &str) -> bool {
    match case.symptom {
        Symptom::Refused => matches!(directive, "bind" | "port"),
        _ => matches!(directive, "protected-mode" | "requirepass" | "user" | "aclfile"),
    }
}

impl Cause for ConfigNotApplied {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let (Some(config), Some(process)) = (case.config(), case.process()) else { return Vec::new() };
        // Another instance's file says nothing about this one.
        if config.pid.is_some_and(|pid| pid != process.pid) || config.file.is_none() {
            return Vec::new();
        }
        let Some(says) = unapplied(case, config) else {
            let dialled = case.dialled();
            let neither = case.symptom == Symptom::Refused
                && config.value("bind").is_some()
                && !dialled.is_empty()
                && dialled.iter().all(|to| !file_takes(config, *to));
            return Vec::from_iter(neither.then(|| {
                Reason::rules_out(
                    "config",
                    "a server started on its file would not take the connection either",
                )
            }));
        };
        let mut reasons = Vec::new();
        for (name, file, running) in config.disagree.iter().filter(|(name, ..)| matters(case, name)) {
            let says = if name == "requirepass" {
                "the running password setting is not the file's".to_owned()
            } else {
                format!("{} says {name} {file}, the running server has {running}", place(case, name))
            };
            reasons.push(Reason::confirms("config", says));
        }
        let own_file = config.found_by != USUAL_PLACE;
        let now = case.client.standing.get().map(|s| s.at);
        let started = now.zip(process.age_s).map(|(now, age)| now.saturating_sub(age));
        let times = config.modified_at.zip(started);
        let edited = times.filter(|(edited, started)| *edited > started + SAME_MOMENT_S);
        let file = config.file.as_deref().unwrap_or("its file");
        if config.hides_arguments() && edited.is_none() {
            let says = format!(
                "{file} was not changed since {} started: an argument or CONFIG SET is stronger",
                named(process)
            );
            return vec![Reason::against("process", says)];
        }
        match edited {
            Some((edited, started)) => {
                let says = format!(
                    "{file} was changed {} after {} started",
                    crate::text::span(edited - started),
                    named(process)
                );
                reasons.push(if own_file {
                    Reason::confirms("process", says)
                } else {
                    Reason::strong("process", says)
                });
            }
            None if case.symptom == Symptom::Refused && own_file => {}
            // The server is younger than the file: something else made it so.
            None if times.is_some() && reasons.is_empty() => {
                return vec![Reason::against(
                    "process",
                    format!("{} is younger than its file", named(process)),
                )];
            }
            None => {}
        }
        // What a server listens on is what it runs with: no start on this file gives these sockets.
        reasons.push(if case.symptom == Symptom::Refused && own_file {
            Reason::confirms("listener", says)
        } else {
            Reason::strong("config", says)
        });
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match case.config().and_then(|c| c.file.as_deref()) {
            Some(file) => format!("{file} was changed, but the running server still has the old settings"),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let mut fix = Fix::new(Risk::Ask, "restart the server, so that it reads its file");
        if let Some(file) = case.config().and_then(|c| c.file.as_deref()) {
            fix = fix.run(
                "check the file first: a fault in it would keep the server down",
                format!("nopong config {}", crate::cause::common::sh(file)),
            );
        }
        let open = case.config().is_some_and(|c| c.default_user_has_password == Some(false));
        let outside = redis_listeners(case).is_some_and(|l| l.iter().all(|l| is_loopback(l.at.ip())));
        if open && outside && !dials_loopback(case) {
            fix = fix.step("set a password in it as well before the server can be reached from outside");
        }
        Some(restart(fix, case))
    }
}

#[cfg(test)]
mod tests {
    use super::{ConfigNotApplied, file_takes};
    use crate::cause::testing::{
        bearings, confirms, first, on_server, refused, rules_out, running, seen, silent, with_config,
    };
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::{CaseFile, client::Standing};

    /// Started an hour ago; the file changed `ago` seconds ago.
    fn edited(ago: u64) -> CaseFile {
        let file = running(on_server(refused()), "127.0.0.1:6379");
        let mut file = with_config(file, &[("bind", "127.0.0.1 10.0.0.5"), ("port", "6379")]);
        file.client.standing = seen(Standing { at: 1_700_000_000, ..Standing::default() });
        let mut configs = file.server.config.get().cloned().unwrap();
        configs[0].modified_at = Some(1_700_000_000 - ago);
        file.server.config = seen(configs);
        file
    }

    #[test]
    fn confirmed_by_a_file_younger_than_its_server() {
        assert!(confirms(&ConfigNotApplied, &edited(60)));
        assert_eq!(first(&edited(60)), Some(("config-not-applied", Band::Confirmed)));
    }

    #[test]
    fn the_listener_shows_it_whatever_the_age() {
        assert!(confirms(&ConfigNotApplied, &edited(7200)));
    }

    #[test]
    fn a_file_that_nothing_ties_to_the_process_confirms_nothing() {
        let mut file = edited(7200);
        let mut configs = file.server.config.get().cloned().unwrap();
        configs[0].found_by = "usual place".to_owned();
        file.server.config = seen(configs);
        assert_eq!(bearings(&ConfigNotApplied, &file), [Bearing::Against]);
    }

    #[test]
    fn an_argument_that_nobody_sees_may_be_stronger_than_the_file() {
        let of = |ago| {
            let mut file = edited(ago);
            let mut configs = file.server.config.get().cloned().unwrap();
            configs[0].found_by = format!("{} 812", crate::evidence::server::Config::BY_ITS_WORD);
            file.server.config = seen(configs);
            file
        };
        assert_eq!(bearings(&ConfigNotApplied, &of(7200)), [Bearing::Against]);
        assert_eq!(first(&of(7200)), Some(("bind-loopback-only", Band::Confirmed)));
        assert_eq!(first(&of(60)), Some(("config-not-applied", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_when_the_file_would_not_help_either() {
        let file = running(on_server(refused()), "127.0.0.1:6379");
        let file = with_config(file, &[("bind", "127.0.0.1"), ("port", "6379")]);
        assert!(rules_out(&ConfigNotApplied, &file));
    }

    #[test]
    fn silent_for_a_lone_client() {
        assert!(silent(&ConfigNotApplied, &refused()));
    }

    #[test]
    fn bind_as_redis_reads_it() {
        let with = |bind| with_config(on_server(refused()), &[("bind", bind), ("port", "6379")]);
        let takes =
            |bind, to: &str| file_takes(&with(bind).server.config.get().unwrap()[0], to.parse().unwrap());
        assert!(
            takes("*", "10.0.0.5:6379")
                && !takes("-10.0.0.5", "10.0.0.5:6379")
                && takes("* -::*", "10.0.0.5:6379")
        );
        assert!(!takes("127.0.0.1", "10.0.0.5:6379") && !takes("*", "10.0.0.5:6380"));
        assert!(takes("::*", "[fd00::5]:6379") && !takes("*", "[fd00::5]:6379"));
    }
}
