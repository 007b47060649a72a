//! The server is being started: its port opens in a moment.

use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage, runtime};
use crate::diagnosis::{Case, Symptom, holds};
use crate::evidence::server::{Process, Unit};

/// See the module.
#[derive(Debug)]
pub(super) struct NotReady;

static META: Meta = Meta {
    id: "not-ready",
    category: Category::Health,
    stage: Stage::Connect,
    title: "the server is still starting",
    masked_by: &[],
    settled_by: &["unit", "process"],
};

/// A server opens its port within this time of its start, in seconds; loading comes after that (server.c, main).
const YOUNG: u64 = 5;

/// systemd is about to start it, for the first time: a restart after a failure is another story.
fn starting<'a>(case: &Case<'a>) -> Option<&'a Unit> {
    let unit = case.unit()?;
    let now = unit.active == "activating" && unit.sub.starts_with("start");
    let queued = unit.job.as_deref() == Some("start") && unit.active != "failed";
    ((now || queued) && unit.restarts == 0).then_some(unit)
}

/// A server that has just been started and listens on nothing yet.
fn newborn<'a>(case: &Case<'a>) -> Option<&'a Process> {
    let listeners = case.file.server.listener.get()?;
    let mut servers = case.servers().into_iter();
    servers.find(|p| {
        p.same_netns != Some(false)
            && p.age_s.is_some_and(|age| age < YOUNG)
            && !listeners.tcp.iter().any(|l| holds(p, l))
    })
}

impl Cause for NotReady {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::Refused | Symptom::SocketMissing | Symptom::SocketStale)
            || case.holder().is_some()
        {
            return Vec::new();
        }
        if let Some(unit) = starting(case) {
            let why = if unit.active == "activating" {
                format!("{} ({})", unit.active, unit.sub)
            } else {
                "its start is queued".to_owned()
            };
            let mut reasons =
                vec![Reason::confirms("unit", format!("{} is being started: {why}", unit.name))];
            reasons.extend(unit.blocked_by.iter().map(|b| Reason::strong("unit", b.clone())));
            return reasons;
        }
        match newborn(case) {
            Some(process) => vec![Reason::strong(
                "process",
                format!(
                    "pid {} was started {} s ago and does not listen yet",
                    process.pid,
                    process.age_s.unwrap_or(0)
                ),
            )],
            None => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match starting(case) {
            Some(unit) => format!("{} is still being started", unit.name),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let fix = Fix::new(Risk::Safe, "wait for it; let clients wait and retry, too")
            .run("wait until it answers", format!("nopong wait {}", runtime::target(case)));
        Some(match case.unit() {
            Some(unit) => fix.run("what it waits for", format!("systemctl status {}", unit.name)),
            None => fix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::NotReady;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;

    #[test]
    fn how_the_run_before_ended_is_history() {
        use crate::evidence::server::DeathKind;
        let file = died(DeathKind::OrderlyStop, "User requested shutdown...");
        let file = edit_unit(file, |unit| {
            (unit.active, unit.sub) = ("activating".to_owned(), "start-pre".to_owned());
            unit.result = "success".to_owned();
        });
        assert_eq!(first(&file).map(|f| f.0), Some("not-ready"));
    }

    #[test]
    fn confirms_a_start_under_way() {
        let file = with_unit(on_server(refused()), "activating", "start", "success");
        assert_eq!(first(&file), Some(("not-ready", Band::Confirmed)));
    }

    #[test]
    fn a_restart_loop_is_another_story() {
        let file = with_unit(on_server(refused()), "activating", "start", "exit-code");
        assert!(silent(&NotReady, &edit_unit(file, |u| u.restarts = 3)));
    }

    #[test]
    fn a_newborn_process_speaks_for_it() {
        let mut young = process(900);
        young.age_s = Some(1);
        young.unit = None;
        assert!(!bearings(&NotReady, &with_process(on_server(refused()), young)).is_empty());
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&NotReady, &refused()));
        assert!(silent(&NotReady, &with_unit(on_server(refused()), "inactive", "dead", "success")));
    }
}
