//! The service manager ends a server that is well: its start takes too long, or it never says that it is ready.

use super::shared::{self, Down};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::server::Unit;

/// See the module.
#[derive(Debug)]
pub(super) struct SupervisorKills;

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
        shared::behind(case, META.id, self.title(case), self.fix(case), circumstances)
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
    fn rules_out_and_silent() {
        assert!(rules_out(
            &SupervisorKills,
            &with_unit(on_server(refused()), "failed", "failed", "exit-code")
        ));
        assert!(rules_out(&SupervisorKills, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&SupervisorKills, &refused()));
    }
}
