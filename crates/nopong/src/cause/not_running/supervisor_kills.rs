//! The service manager ends a server that is well: its start takes too long, or it never says that it is ready.

use super::shared::{self, Down};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::Unit;

/// See the module.
#[derive(Debug)]
pub(super) struct SupervisorKills;

/// Seconds from a server's start to its word to systemd, the loading not counted: it is a moment.
const READY_MAX: u64 = 5;

static META: Meta = Meta {
    id: "supervisor-kills",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the service manager kills the server",
    masked_by: &["service-masked"],
    settled_by: &["unit", "log"],
};

fn circumstances(down: &Down<'_>) -> Vec<Reason> {
    let Some(unit) = down.unit.filter(|u| shared::failed(Some(u))) else { return Vec::new() };
    match unit.result.as_str() {
        "timeout" | "watchdog" => vec![Reason::confirms("unit", verdict(unit))],
        // The process ended before it said that it was ready, or left no PID file.
        "protocol" => vec![Reason::strong("unit", verdict(unit))],
        result => {
            vec![Reason::rules_out("unit", format!("{} ended by {result}, not by a time-out", unit.name))]
        }
    }
}

fn verdict(unit: &Unit) -> String {
    match (unit.result.as_str(), unit.timeout_start_s) {
        ("watchdog", _) => format!("{} was ended by systemd's watchdog, which Redis never feeds", unit.name),
        ("protocol", _) => format!("{} did not report to systemd as Type={} asks", unit.name, unit.kind),
        (_, Some(s)) => {
            format!("{} was not ready within {s} s (TimeoutStartSec), so systemd ended it", unit.name)
        }
        (_, None) => format!("{} ran into a time-out of systemd, which ended it", unit.name),
    }
}

/// How the server is set, in its file or on its command line; none where that was not seen.
fn set<'a>(case: &Case<'a>, directive: &str) -> Option<&'a str> {
    case.config().and_then(|c| c.value(directive))
}

/// Type=notify waits for a word that the server never sends.
pub(crate) fn never_reports(case: &Case<'_>, unit: &Unit) -> bool {
    let told = unit.exec_start.iter().any(|a| a.contains("supervised"));
    unit.kind == "notify" && set(case, "supervised").map_or(!told, |value| value == "no")
}

/// Type=forking waits for the first process to end, which stays.
pub(crate) fn never_leaves(case: &Case<'_>, unit: &Unit) -> bool {
    let told = unit.exec_start.iter().any(|a| a.contains("daemonize"));
    unit.kind == "forking" && set(case, "daemonize").map_or(!told, |value| value == "no")
}

/// Type= of the unit does not fit how the server reports.
fn mismatch(case: &Case<'_>) -> Option<String> {
    let unit = case.unit()?;
    if never_reports(case, unit) {
        return Some(
            "Type=notify waits for a word that a server with `supervised no` never sends".to_owned(),
        );
    }
    never_leaves(case, unit).then(|| {
        "Type=forking waits for the first process to end, and with `daemonize no` it never does".to_owned()
    })
}

/// The server runs, and its unit waits for a word of it until TimeoutStartSec, when systemd ends the server.
fn awaited<'a>(case: &Case<'a>) -> Option<(&'a Unit, String)> {
    let unit = case.unit().filter(|u| u.active == "activating" && u.sub == "start")?;
    unit.timeout_start_s?;
    case.process()?;
    let waits = format!("{} is activating (start)", unit.name);
    let why = mismatch(case).or_else(|| {
        // One that answers PONG has said that it is ready, if it says so at all.
        let uptime =
            case.talk()?.info.iter().find(|(name, _)| name == "uptime_in_seconds")?.1.parse::<u64>().ok()?;
        (case.symptom == Symptom::Pong && uptime >= READY_MAX)
            .then(|| format!("the server is ready and up for {uptime} s, and systemd was not told"))
    })?;
    Some((unit, format!("{waits}: {why}")))
}

/// What makes the unit and the server agree.
fn fit(case: &Case<'_>) -> Fix {
    let name = crate::text::shell(&shared::unit_name(case));
    Fix::new(Risk::Ask, "make the unit's Type= fit the server")
        .step("use Type=notify with `supervised systemd` (or auto), or Type=exec with `supervised no` and `daemonize no`")
        .run("edit a drop-in", format!("systemctl edit {name}"))
        .run("then restart it, before systemd ends it by itself", format!("systemctl restart {name}"))
}

impl Cause for SupervisorKills {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, circumstances);
        if reasons.iter().any(|r| r.bearing <= crate::cause::Bearing::Strong) {
            reasons.extend(mismatch(case).map(|says| Reason::strong("unit", says)));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match case.unit().filter(|u| matches!(u.result.as_str(), "timeout" | "watchdog" | "protocol")) {
            Some(unit) => verdict(unit),
            None => match shared::last_word(case, META.id) {
                Some(death) => format!("systemd ended the server: {}", death.text),
                None => META.title.to_owned(),
            },
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let name = crate::text::shell(&shared::unit_name(case));
        let fix = match (mismatch(case), case.unit().map(|u| u.result.as_str())) {
            (Some(says), _) => Fix::new(Risk::Ask, "make the unit's Type= fit the server")
                .step(says)
                .step("use Type=notify with `supervised systemd` (or auto), or Type=exec with `supervised no` and `daemonize no`"),
            (None, Some("watchdog")) => {
                Fix::new(Risk::Ask, "switch the watchdog off").step("in a drop-in: [Service] WatchdogSec=0")
            }
            (None, _) => Fix::new(Risk::Ask, "give the server the time it needs to load")
                .step("in a drop-in: [Service] TimeoutStartSec=infinity"),
        };
        Some(shared::start(fix.run("edit a drop-in", format!("systemctl edit {name}")), case))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let behind = shared::behind(case, META.id, self.title(case), self.fix(case), circumstances);
        behind.or_else(|| {
            let (unit, says) = awaited(case)?;
            Some(Latent {
                place: Place::Warning,
                title: format!(
                    "systemd will end this server: {} is still starting for it, and is given up {} s after its start",
                    unit.name, unit.timeout_start_s?
                ),
                reasons: vec![Reason::confirms("unit", says)],
                fix: Some(fit(case)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SupervisorKills;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::server::DeathKind;

    #[test]
    fn confirms_a_start_time_out() {
        let file = with_unit(on_server(refused()), "failed", "failed", "timeout");
        assert_eq!(first(&file), Some(("supervisor-kills", Band::Confirmed)));
    }

    #[test]
    fn the_orderly_stop_is_its_consequence() {
        let file = with_unit(on_server(refused()), "failed", "failed", "timeout");
        let file = with_death(file, death(DeathKind::OrderlyStop, "Received SIGTERM scheduling shutdown..."));
        let file =
            with_death(file, death(DeathKind::SupervisorTimeout, "start operation timed out. Terminating."));
        assert_eq!(first(&file), Some(("supervisor-kills", Band::Confirmed)));
    }

    #[test]
    fn a_watchdogs_abort_is_no_crash() {
        let file = with_unit(on_server(refused()), "failed", "failed", "watchdog");
        let file = with_death(file, death(DeathKind::Crashed, "Redis 7.0.15 crashed by signal: 6"));
        let file = with_death(file, death(DeathKind::SupervisorTimeout, "Watchdog timeout (limit 400ms)!"));
        assert_eq!(first(&file), Some(("supervisor-kills", Band::Confirmed)));
    }

    #[test]
    fn kills_while_loading_are_told_from_plain_loading() {
        let mut file = with_unit(on_server(refused()), "activating", "start", "timeout");
        file.client = ping_error("LOADING Redis is loading the dataset in memory").client;
        file = edit_unit(file, |u| u.restarts = 7);
        assert_eq!(first(&file), Some(("supervisor-kills", Band::Confirmed)));
    }

    #[test]
    fn warns_of_a_server_that_never_says_that_it_is_ready() {
        let starting = |config: &[(&str, &str)]| {
            let file = edit_unit(running(on_server(pong(&[])), "10.0.0.5:6379"), |u| {
                (u.active, u.sub, u.kind) = ("activating".into(), "start".into(), "notify".into());
                u.timeout_start_s = Some(90.0);
            });
            crate::diagnosis::diagnose(&with_config(file, config)).warnings.len()
        };
        assert_eq!(starting(&[("supervised", "no")]), 1);
        // It may have started this moment.
        assert_eq!(starting(&[("supervised", "systemd")]), 0);
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(
            &SupervisorKills,
            &with_unit(on_server(refused()), "failed", "failed", "exit-code")
        ));
        assert!(rules_out(&SupervisorKills, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&SupervisorKills, &refused()));
    }
}
