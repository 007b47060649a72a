//! The kernel killed the server for memory, or an allocation failed.

use super::shared::{self, Down};
use crate::cause::containers;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::containers::Container;
use crate::evidence::server::{DeathKind, OomKill};

/// See the module.
#[derive(Debug)]
pub(super) struct OomKilled;

static META: Meta = Meta {
    id: "oom-killed",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server was killed for want of memory",
    masked_by: &["service-masked"],
    settled_by: &["oom", "unit", "log"],
};

/// A kill and the end of the unit are one event when they are no further apart than this, in seconds.
const SAME: u64 = 2;
/// A supervisor starts it again within this, in seconds.
const RESTART: u64 = 10;
/// A kill is news for so long, in seconds.
const RECENT: u64 = 3600;

fn sentence(kill: &OomKill) -> String {
    let pid = kill.pid.map(|p| format!(" (pid {p})")).unwrap_or_default();
    match &kill.cgroup {
        Some(cgroup) => {
            format!("the kernel killed {}{pid}: the memory limit of {cgroup} was reached", kill.comm)
        }
        None => format!("the kernel killed {}{pid}: the machine had no memory left", kill.comm),
    }
}

/// SIGKILL ended the unit.
fn killed(down: &Down<'_>) -> bool {
    down.unit.is_some_and(|u| u.exit_kind.as_deref() == Some("killed") && u.exit_status == Some(9))
}

/// A kill that ended this attempt: by time, or by the process id of the last words.
fn kill<'a>(case: &Case<'a>, down: &Down<'_>) -> Option<(&'a OomKill, bool)> {
    let kills = &case.file.server.oom.get()?.kills;
    let stopped = down.unit.and_then(|u| u.stopped_at);
    let pids: Vec<u32> = case
        .file
        .server
        .log
        .get()
        .map(|l| l.deaths.iter().filter(|d| d.last).filter_map(|d| d.pid).collect())
        .unwrap_or_default();
    let same = |k: &&OomKill| {
        k.pid.is_some_and(|pid| pids.contains(&pid))
            || k.at.zip(stopped).is_some_and(|(at, stop)| at.abs_diff(stop) <= SAME)
    };
    kills.iter().find(same).map(|k| (k, true)).or_else(|| {
        // A kill without a time, of a unit that SIGKILL ended: probably the same.
        kills.iter().find(|k| k.at.is_none() || stopped.is_none()).map(|k| (k, false))
    })
}

/// The kill ended the run before the present one: by the unit's own times, or because the present one started right
/// after it. The kernel's log is the machine's; a Redis of another container that was killed is none of ours.
fn ended_ours(case: &Case<'_>, at: u64, started: u64) -> bool {
    let stopped = case.unit().and_then(|u| u.stopped_at);
    stopped.is_some_and(|stop| at.abs_diff(stop) <= SAME) || (at..=at + RESTART).contains(&started)
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(unit) = down.unit.filter(|u| u.result == "oom-kill") {
        reasons.push(Reason::confirms("unit", format!("{} ended by oom-kill, says systemd", unit.name)));
    }
    match kill(case, down) {
        Some((kill, true)) if killed(down) || down.unit.is_none() || !reasons.is_empty() => {
            reasons.push(Reason::confirms("oom", sentence(kill)));
        }
        Some((kill, _)) if killed(down) => reasons.push(Reason::strong("oom", sentence(kill))),
        // SIGKILL is what the OOM killer sends; whether it did, only its log tells.
        None if reasons.is_empty() && case.server.oom.get().is_none() && killed(down) => {
            reasons.push(Reason::strong(
                "unit",
                "the server ended by SIGKILL, and the kernel's log could not be read",
            ));
        }
        None if reasons.is_empty() && case.server.oom.get().is_some() && down.unit.is_some() => {
            reasons.push(Reason::rules_out("oom", "the kernel's log has no OOM kill of Redis"));
        }
        _ if reasons.is_empty() && down.unit.is_some_and(|u| u.exit_kind.is_some()) && !killed(down) => {
            reasons.push(Reason::rules_out("unit", "the server did not end by SIGKILL"));
        }
        _ => {}
    }
    reasons
}

/// The container that ended by its memory limit.
fn of_container<'a>(case: &Case<'a>) -> Option<&'a Container> {
    containers::down(case).map(|m| m.container).filter(|c| c.oom_killed)
}

fn limit(c: &Container) -> String {
    let limit = c.memory_limit.map(|n| format!(" of {}", crate::cause::runtime::size(n))).unwrap_or_default();
    format!("the kernel killed {}: its memory limit{limit} was reached", containers::named(c))
}

impl Cause for OomKilled {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(c) = of_container(case) {
            return vec![Reason::confirms("container", limit(c))];
        }
        let by_log = shared::last_word(case, META.id).is_some()
            || matches!(shared::last_word(case, "crashed"), Some(d) if d.kind == DeathKind::Killed);
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        // "killed by SIGKILL" is all that the service manager's log may say: who did it, the kernel knows.
        if let (true, shared::State::Down(down)) = (by_log, shared::state(case))
            && down.fit != shared::Fit::Behind
        {
            let more = circumstances(case, &down);
            if more.iter().any(|r| r.bearing == crate::cause::Bearing::Confirms) {
                reasons.retain(|r| r.bearing != crate::cause::Bearing::RulesOut);
                reasons.extend(more);
            } else if !more.is_empty() && shared::last_word(case, META.id).is_none() {
                reasons = more;
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(c) = of_container(case) {
            return limit(c);
        }
        if let Some(death) = shared::last_word(case, META.id).filter(|d| d.kind == DeathKind::OutOfMemory) {
            return format!(
                "redis-server could not get memory and ended: {}",
                death.detail.as_deref().unwrap_or(&death.text)
            );
        }
        let matched = match shared::state(case) {
            shared::State::Down(down) => kill(case, &down).map(|(kill, _)| kill),
            _ => None,
        };
        match matched.or_else(|| case.server.oom.get()?.kills.first()) {
            Some(kill) => sentence(kill),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some(c) = of_container(case) {
            let (engine, name) = (containers::engine(case), crate::text::shell(&c.name));
            let raise = match c.memory_limit {
                Some(n) => format!("{engine} update --memory {0} --memory-swap {0} {name}", n * 2),
                None => format!("{engine} update --memory 1g --memory-swap 1g {name}"),
            };
            let fix = Fix::new(Risk::Ask, "give the container more memory, or make Redis use less")
                .run("see its limit", format!("{engine} inspect -f '{{{{.HostConfig.Memory}}}}' {name}"))
                .run("raise it (in compose: mem_limit, or deploy.resources.limits.memory)", raise)
                .step("set maxmemory to at most 70 % of the limit (a background save copies pages), with a maxmemory-policy");
            return Some(containers::start(fix, case, c));
        }
        let cgroup = case.server.oom.get().and_then(|o| o.kills.first()).is_some_and(|k| k.cgroup.is_some())
            || case.unit().is_some_and(|u| u.memory_max.is_some());
        let name = crate::text::shell(&shared::unit_name(case));
        Some(shared::then_start(Risk::Ask, "give the server more memory, or make it use less", case, |fix| {
            let fix = if cgroup {
                fix.run("see the unit's limit", format!("systemctl show -p MemoryMax -p MemoryHigh {name}"))
            } else {
                fix.run("see what else uses the memory", "ps -eo pid,rss,comm --sort=-rss | head")
            };
            fix.step("set maxmemory to at most 70 % of what it may use (a background save copies pages), with a maxmemory-policy")
                .step("or raise the limit (MemoryMax= in a drop-in) or the machine's memory")
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(behind) =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
        {
            return Some(behind);
        }
        // It is up again: somebody will still want to know.
        let holder = case.holder()?;
        let now = case.client.standing.get()?.at;
        let started = now.saturating_sub(holder.age_s?);
        let kill = case.server.oom.get()?.kills.iter().find(|k| {
            k.at.is_some_and(|at| now.saturating_sub(at) < RECENT && ended_ours(case, at, started))
        })?;
        let minutes = now.saturating_sub(kill.at?) / 60;
        Some(Latent {
            place: Place::Warning,
            title: format!("{minutes} minutes ago {}", sentence(kill)),
            reasons: vec![Reason::confirms("oom", sentence(kill))],
            fix: Some(
                Fix::new(Risk::Ask, "set maxmemory below what the server may use")
                    .step("maxmemory at most 70 % of it, with a maxmemory-policy, or more memory"),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::OomKilled;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::server::{DeathKind, OomKill, OomKills};

    fn killed(result: &str) -> CaseFile {
        edit_unit(with_unit(on_server(refused()), "failed", "failed", result), |u| {
            u.exit_kind = Some("killed".to_owned());
            u.exit_status = Some(9);
            u.stopped_at = Some(1_700_000_000);
        })
    }

    fn with_kill(mut file: CaseFile, at: u64) -> CaseFile {
        let kill = OomKill { pid: Some(700), comm: "redis-server".to_owned(), cgroup: None, at: Some(at) };
        file.server.oom = seen(OomKills { kills: vec![kill] });
        file
    }

    #[test]
    fn confirms_by_systemd() {
        assert_eq!(first(&killed("oom-kill")), Some(("oom-killed", Band::Confirmed)));
    }

    #[test]
    fn confirms_by_the_kernels_log() {
        assert_eq!(first(&with_kill(killed("signal"), 1_699_999_999)), Some(("oom-killed", Band::Confirmed)));
        let said = with_death(
            killed("signal"),
            death(DeathKind::Killed, "Main process exited, code=killed, status=9/KILL"),
        );
        assert_eq!(first(&with_kill(said, 1_699_999_999)), Some(("oom-killed", Band::Confirmed)));
    }

    #[test]
    fn a_kill_of_another_day_is_not_this_one() {
        assert!(!confirms(&OomKilled, &with_kill(killed("signal"), 1_600_000_000)));
    }

    #[test]
    fn sigkill_by_somebody_is_not_the_kernels() {
        let mut file = killed("signal");
        file.server.oom = seen(OomKills::default());
        assert!(rules_out(&OomKilled, &file));
        let (id, band) = first(&file).unwrap();
        assert_eq!((id, band == Band::Confirmed), ("crashed", false));
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&OomKilled, &with_unit(on_server(refused()), "failed", "failed", "exit-code")));
        assert!(rules_out(&OomKilled, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&OomKilled, &refused()));
    }
}
