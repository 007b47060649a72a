//! The server crashed, or a signal ended it that nobody accounts for.

use super::shared::{self, Down};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::server::{DeathKind, Unit};

/// See the module.
#[derive(Debug)]
pub(super) struct Crashed;

static META: Meta = Meta {
    id: "crashed",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server crashed",
    masked_by: &["service-masked", "oom-killed", "supervisor-kills", "binary-incompatible"],
    settled_by: &["log", "unit"],
};

/// Names of the signals that a fault in the program raises (signal(7)); SIGILL is another cause's.
fn fault_signal(number: i32) -> Option<&'static str> {
    Some(match number {
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        _ => return None,
    })
}

fn by_signal(unit: &Unit) -> Option<i32> {
    unit.ended_by_signal().then_some(unit.exit_status).flatten()
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    let Some(unit) = down.unit.filter(|u| shared::failed(Some(u))) else { return Vec::new() };
    // A watchdog and a start time-out end it by a signal, too.
    if matches!(unit.result.as_str(), "watchdog" | "timeout" | "oom-kill") {
        return vec![Reason::rules_out("unit", format!("{} ended by {}", unit.name, unit.result))];
    }
    match by_signal(unit) {
        Some(9) => {
            let oom = if case.server.oom.get().is_some() {
                ", and the kernel's OOM killer did not do it"
            } else {
                ""
            };
            vec![Reason::strong("unit", format!("{} was ended by SIGKILL{oom}", unit.name))]
        }
        Some(number) => match fault_signal(number) {
            Some(name) => vec![Reason::confirms("unit", format!("{} was ended by {name}", unit.name))],
            None => vec![Reason::weak("unit", format!("{} was ended by signal {number}", unit.name))],
        },
        None if unit.result == "core-dump" => {
            vec![Reason::confirms("unit", format!("{} dumped core", unit.name))]
        }
        None if unit.exit_kind.as_deref() == Some("exited") => {
            vec![Reason::rules_out("unit", format!("{} exited by itself, no signal ended it", unit.name))]
        }
        None => Vec::new(),
    }
}

fn by_kill(case: &Case<'_>) -> bool {
    match shared::last_word(case, META.id) {
        Some(death) => death.kind == DeathKind::Killed,
        None => case.unit().is_some_and(|u| by_signal(u) == Some(9)),
    }
}

impl Cause for Crashed {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        shared::weigh(case, META.id, |down| circumstances(case, down))
    }

    fn title(&self, case: &Case<'_>) -> String {
        if !case.server_seen() {
            return META.title.to_owned();
        }
        if by_kill(case) {
            return format!("{} was killed by SIGKILL, by whom is not recorded", shared::unit_name(case));
        }
        match shared::last_word(case, META.id) {
            Some(death) => {
                let says = death.detail.as_deref().unwrap_or(&death.text);
                shared::placed(format!("redis-server crashed: {says}"), case)
            }
            None => match case.unit().and_then(by_signal).and_then(fault_signal) {
                Some(name) => format!("redis-server crashed with {name}"),
                None => META.title.to_owned(),
            },
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let name = crate::text::shell(&shared::unit_name(case));
        if by_kill(case) {
            return Some(shared::then_start(
                Risk::Safe,
                "start it, and find out who killed it",
                case,
                |fix| fix.run("what went on at the time", format!("journalctl -u {name} -n 50 --no-pager")),
            ));
        }
        Some(shared::then_start(Risk::Ask, "start it, and keep the crash report", case, |fix| {
            fix.run("the report", format!("journalctl -u {name} -n 200 --no-pager"))
                .run("the core, where systemd keeps them", "coredumpctl info redis-server")
                .step("update to the newest patch release; leave out modules to see whether one is at fault")
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
    }
}

#[cfg(test)]
mod tests {
    use super::Crashed;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::server::DeathKind;

    #[test]
    fn confirms_by_the_report() {
        let file = died(DeathKind::Crashed, "Redis 7.0.15 crashed by signal: 11");
        assert_eq!(first(&file), Some(("crashed", Band::Confirmed)));
    }

    #[test]
    fn the_kernels_log_may_speak_of_another_containers_server() {
        let mut crash = death(DeathKind::Crashed, "redis-server[12]: segfault at 0");
        crash.source = crate::evidence::server::KERNEL_LOG.to_owned();
        let bare = with_death(on_server(refused()), crash.clone());
        assert_eq!(first(&bare).map(|(_, band)| band), Some(Band::Likely));
        let file = edit_unit(with_unit(on_server(refused()), "failed", "failed", "core-dump"), |u| {
            u.exit_kind = Some("dumped".to_owned());
            u.exit_status = Some(11);
        });
        assert_eq!(first(&with_death(file, crash)), Some(("crashed", Band::Confirmed)));
    }

    #[test]
    fn confirms_by_the_signal() {
        let file = with_unit(on_server(refused()), "failed", "failed", "core-dump");
        let file = edit_unit(file, |u| {
            u.exit_kind = Some("dumped".to_owned());
            u.exit_status = Some(11);
        });
        assert_eq!(first(&file), Some(("crashed", Band::Confirmed)));
    }

    #[test]
    fn who_sent_sigkill_is_not_known() {
        let file = died(DeathKind::Killed, "Main process exited, code=killed, status=9/KILL");
        assert_eq!(first(&file), Some(("crashed", Band::Likely)));
    }

    #[test]
    fn a_watchdog_is_no_crash() {
        let file = with_unit(on_server(refused()), "failed", "failed", "watchdog");
        assert!(rules_out(&Crashed, &edit_unit(file, |u| u.exit_status = Some(6))));
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&Crashed, &died(DeathKind::ConfigError, ">>> 'x'")));
        assert!(silent(&Crashed, &refused()));
    }
}
