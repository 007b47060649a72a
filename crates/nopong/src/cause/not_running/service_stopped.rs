//! The server is installed and nobody started it, or somebody stopped it.

use super::shared::{self, Down, Fit, State};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::cause::{containers, managers};
use crate::diagnosis::Case;
use crate::evidence::Says as _;
use crate::evidence::managed::{Managed, Standing};
use crate::evidence::server::Unit;

/// See the module.
#[derive(Debug)]
pub(super) struct ServiceStopped;

static META: Meta = Meta {
    id: "service-stopped",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server does not run",
    masked_by: &[
        "not-installed",
        "service-masked",
        "config-invalid",
        "port-taken",
        "bind-address-missing",
        "data-unloadable",
        "storage-unwritable",
        "disk-full",
        "tls-material-unusable",
        "oom-killed",
        "crashed",
        "supervisor-kills",
        "binary-incompatible",
        "server-fds-exhausted",
        "mac-denied",
    ],
    settled_by: &["unit", "process", "listener", "log"],
};

/// systemd has it as stopped without a failure.
fn at_rest(unit: &Unit) -> bool {
    (unit.active == "inactive" && unit.result == "success")
        || unit.active == "deactivating"
        || shared::start_limited(unit)
}

/// The service manager is busy starting it, for the first time.
fn starting(unit: &Unit) -> bool {
    !shared::restarting(unit) && (unit.active == "activating" || unit.job.as_deref() == Some("start"))
}

fn history(case: &Case<'_>, unit: &Unit) -> String {
    let booted = case.server.unit.get().and_then(|u| u.booted_at);
    let disabled = unit.file_state.as_deref() == Some("disabled");
    if unit.active == "deactivating" {
        return format!("{} is being stopped", unit.name);
    }
    if shared::start_limited(unit) {
        return format!(
            "{} was started too often in a row: systemd refuses to start it again (start-limit-hit)",
            unit.name
        );
    }
    let never = unit
        .started_at
        .zip(booted)
        .map_or(unit.started_at.is_none() && booted.is_some(), |(at, boot)| at < boot);
    match (never, disabled) {
        (true, true) => {
            format!(
                "{} is inactive: it was not started since the machine booted, and it is not enabled",
                unit.name
            )
        }
        (true, false) => format!("{} is inactive: it was not started since the machine booted", unit.name),
        _ => format!("{} is inactive: it was stopped without a failure", unit.name),
    }
}

fn nobody_listens(case: &Case<'_>) -> String {
    match &case.ask.unix {
        Some(path) => format!("no Redis process runs here, and none listens on {path}"),
        None => format!("no Redis process runs here, and none listens on port {}", case.ask.port),
    }
}

/// What another service manager says of its program.
fn by_manager(case: &Case<'_>, managed: &Managed) -> Vec<Reason> {
    let nobody = Reason::strong("process", nobody_listens(case));
    let says = managed.says();
    match managed.standing {
        // Ended by itself, it may have failed: then a log tells.
        Standing::Down if managed.says.starts_with("EXITED") => vec![nobody, Reason::strong("managed", says)],
        Standing::Down => vec![nobody, Reason::confirms("managed", says)],
        Standing::Up => vec![Reason::rules_out("managed", says)],
        Standing::Moving => vec![Reason::weak("managed", says)],
        Standing::GivenUp | Standing::Unlisted | Standing::Unmanaged | Standing::Unknown => {
            vec![nobody, Reason::strong("managed", says)]
        }
    }
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    if let Some(managed) = down.managed {
        return by_manager(case, managed);
    }
    let Some(unit) = down.unit.filter(|u| u.load_state == "loaded") else {
        // Without a unit there is a program that nobody runs, or nothing at all.
        let program = case.server.binary.get().and_then(|b| b.iter().find(|b| shared::present(b)));
        let in_container = case.client.standing.get().is_some_and(|s| s.container.is_some());
        return match program {
            Some(binary) if !in_container && down.fit == Fit::First => vec![
                Reason::confirms("process", nobody_listens(case)),
                Reason::strong("binary", format!("{} is installed", binary.path)),
            ],
            _ => vec![Reason::weak("process", nobody_listens(case))],
        };
    };
    if starting(unit) {
        return vec![Reason::rules_out("unit", format!("{} is being started", unit.name))];
    }
    if at_rest(unit) {
        let mut reasons = vec![Reason::strong("process", nobody_listens(case))];
        reasons.extend(unit.blocked_by.iter().map(|why| Reason::strong("unit", why.clone())));
        let says = history(case, unit);
        reasons.push(match down.fit {
            // What its last run died of stands in a log that may not have been read.
            // A unit that nobody ever wanted to run, beside an engine whose container may be what is meant.
            _ if !containers::unit_wanted(case) && containers::perhaps(case) => Reason::strong("unit", says),
            // Another service manager has a program for the same port.
            _ if case.managed_for().is_some() => Reason::strong("unit", says),
            Fit::First | Fit::Behind if !(shared::start_limited(unit) && case.server.log.get().is_none()) => {
                Reason::confirms("unit", says)
            }
            _ => Reason::strong("unit", says),
        });
        return reasons;
    }
    let says = format!("{} failed ({}): it was not stopped by somebody", unit.name, unit.result);
    let signal = unit.ended_by_signal();
    vec![if case.server.log.get().is_some() && !signal {
        Reason::weak("unit", says)
    } else {
        Reason::against("unit", says)
    }]
}

impl Cause for ServiceStopped {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if let (State::Down(down), true) = (shared::state(case), shared::last_word(case, META.id).is_some()) {
            // What the service manager says now weighs more than an old last word.
            if let Some(unit) = down.unit.filter(|u| at_rest(u)) {
                reasons.push(Reason::strong("unit", history(case, unit)));
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let State::Down(down) = shared::state(case) else { return META.title.to_owned() };
        if let Some(managed) = down.managed {
            let called = managed.called();
            return match managed.standing {
                Standing::GivenUp => format!("{called} was given up: {}", managed.says),
                Standing::Unlisted => format!("{called} is not known to it yet"),
                Standing::Unmanaged => format!("{called} does not run: nor does {}", managed.manager.name()),
                Standing::Unknown => format!("{called} does not run"),
                _ => format!("{called} is stopped"),
            };
        }
        match down.unit {
            Some(unit) if !unit.blocked_by.is_empty() && at_rest(unit) => {
                format!("{} was not started: {}", unit.name, unit.blocked_by.join("; "))
            }
            Some(unit) if at_rest(unit) => format!("{} is stopped", unit.name),
            Some(unit) if unit.load_state == "loaded" => {
                format!("{} does not run ({}, {})", unit.name, unit.active, unit.result)
            }
            _ => "no Redis server runs on this machine".to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if !case.server_seen() {
            return Some(Fix::new(Risk::Advice, "look on the Redis host whether the server runs").run(
                "on the Redis host: list its units",
                "systemctl list-units --all 'redis*' 'valkey*' 'keydb*'",
            ));
        }
        if let Some(managed) = case.managed() {
            return Some(managers::start(Fix::new(Risk::Safe, "start the server"), managed));
        }
        let Some(unit) = case.unit().filter(|u| u.load_state == "loaded") else {
            let program = case.server.binary.get()?.first()?;
            return Some(
                Fix::new(Risk::Ask, "start the server under a service manager")
                    .step(
                        "write a unit for it (or use the distribution's package), then enable and start that",
                    )
                    .run("to try it in the foreground", format!("{} /etc/redis/redis.conf", program.path)),
            );
        };
        if !unit.blocked_by.is_empty() {
            return Some(
                Fix::new(Risk::Advice, "remove what keeps it from starting, then start it")
                    .run("what it waits for", format!("systemctl status {}", unit.name))
                    .run("start the server", format!("systemctl start {}", unit.name)),
            );
        }
        let fix = shared::start(Fix::new(Risk::Safe, "start the server"), case);
        Some(if unit.file_state.as_deref() == Some("disabled") {
            fix.run("start it at boot as well", format!("systemctl enable {}", unit.name))
        } else {
            fix
        })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let behind =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down));
        behind.or_else(|| {
            let process = case.holder()?;
            let unit =
                case.unit().filter(|u| process.unit.as_deref() == Some(&u.name) && u.active == "active")?;
            let state =
                unit.file_state.as_deref().filter(|s| matches!(*s, "disabled" | "enabled-runtime"))?;
            Some(Latent {
                place: Place::Warning,
                title: format!("{} runs, but it is not started at boot", unit.name),
                reasons: vec![Reason::confirms("unit", format!("{} is {state}", unit.name))],
                fix: Some(
                    Fix::new(
                        Risk::Ask,
                        "enable it, unless something else starts it (a cluster manager, say)",
                    )
                    .run("start it at boot", format!("systemctl enable {}", unit.name)),
                ),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ServiceStopped;
    use crate::cause::testing::*;
    use crate::cause::{Cause, Place};
    use crate::diagnosis::{Band, Case};
    use crate::evidence::managed::Standing;
    use crate::evidence::server::{Binary, DeathKind, Firewall, Verdict};

    #[test]
    fn confirms_an_inactive_unit() {
        let file = with_unit(on_server(refused()), "inactive", "dead", "success");
        assert_eq!(first(&file), Some(("service-stopped", Band::Confirmed)));
    }

    #[test]
    fn confirms_an_orderly_stop() {
        let file = with_unit(on_server(refused()), "inactive", "dead", "success");
        let file = with_death(file, death(DeathKind::OrderlyStop, "User requested shutdown..."));
        assert_eq!(first(&file), Some(("service-stopped", Band::Confirmed)));
    }

    #[test]
    fn confirms_a_program_that_nobody_runs() {
        let mut file = on_server(refused());
        file.server.binary =
            seen(vec![Binary { path: "/usr/local/bin/redis-server".to_owned(), ..Binary::default() }]);
        assert_eq!(first(&file), Some(("service-stopped", Band::Confirmed)));
    }

    #[test]
    fn a_failed_unit_was_not_stopped() {
        let mut file = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        assert!(!confirms(&ServiceStopped, &file));
        file.server.log = crate::evidence::Seen::NotRun;
        let (id, band) = first(&file).unwrap();
        assert!(id != "service-stopped" || band == Band::Possible, "{id} {band:?}");
    }

    #[test]
    fn a_running_server_rules_it_out() {
        assert!(rules_out(&ServiceStopped, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(rules_out(&ServiceStopped, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn a_reject_comes_first() {
        let mut file = with_unit(on_server(refused()), "inactive", "dead", "success");
        let verdict = Verdict { verdict: "reject".to_owned(), moved: Some(true), ..Verdict::default() };
        file.server.firewall = seen(Firewall { verdicts: vec![verdict], ..Firewall::default() });
        assert!(!confirms(&ServiceStopped, &file));
        let latent = ServiceStopped.latent(&Case::new(&file)).unwrap();
        assert_eq!(latent.place, Place::Behind);
    }

    #[test]
    fn silent_from_a_lone_client() {
        assert!(silent(&ServiceStopped, &refused()));
        let (_, band) = first(&refused()).unwrap();
        assert_eq!(band, Band::Possible, "a lone client cannot tell");
    }

    #[test]
    fn warns_of_a_unit_that_is_not_enabled() {
        let file = running(on_server(pong(&[])), "10.0.0.5:6379");
        assert!(crate::diagnosis::diagnose(&file).warnings.is_empty());
        let file = edit_unit(file, |u| u.file_state = Some("disabled".to_owned()));
        assert_eq!(crate::diagnosis::diagnose(&file).warnings[0].cause.meta().id, "service-stopped");
    }

    /// A program of supervisord's with a file of its own, beside the unit of a package.
    fn managed(standing: Standing) -> crate::evidence::CaseFile {
        use crate::evidence::managed::{Managed, Managers};
        use crate::evidence::server::{Config, Setting};
        let mut file = with_unit(on_server(refused()), "inactive", "dead", "success");
        file = edit_unit(file, |u| {
            u.file_state = Some("disabled".to_owned());
            (u.started_at, u.stopped_at) = (None, None);
        });
        let program = Managed { name: "cache".to_owned(), standing, autostart: true, ..Managed::default() };
        let port = Setting { value: "6379".to_owned(), ..Setting::default() };
        let config = Config {
            managed: Some(program.name.clone()),
            found_by: program.called(),
            settings: [("port".to_owned(), port)].into(),
            ..Config::default()
        };
        file.server.managed = seen(Managers { programs: vec![program], ..Managers::default() });
        file.server.config = seen(vec![config]);
        file
    }

    #[test]
    fn a_program_of_another_manager_is_meant() {
        let file = managed(Standing::Down);
        assert_eq!(first(&file), Some(("service-stopped", Band::Confirmed)));
        let case = Case::new(&file);
        assert!(case.unit().is_none() && ServiceStopped.title(&case).contains("supervisord's program cache"));
        let fix = ServiceStopped.fix(&case).unwrap();
        assert_eq!(fix.steps[0].command.as_deref(), Some("supervisorctl start cache"));
    }

    #[test]
    fn a_unit_that_is_enabled_may_be_meant_as_well() {
        let file = edit_unit(managed(Standing::Down), |u| u.file_state = Some("enabled".to_owned()));
        let case = Case::new(&file);
        assert!(case.managed().is_none() && case.managed_for().is_some());
        assert_eq!(first(&file).map(|(_, band)| band), Some(Band::Likely));
    }

    #[test]
    fn what_nobody_was_asked_is_not_confirmed() {
        for standing in [Standing::Unknown, Standing::Unmanaged, Standing::GivenUp, Standing::Moving] {
            let found = first(&managed(standing));
            assert!(found.is_none_or(|(_, band)| band != Band::Confirmed), "{standing:?} {found:?}");
        }
    }
}
