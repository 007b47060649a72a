//! A connection that was idle is dead when it is used again: the server's own time-out, or a path that forgot it.

use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Idle, IdleEnd, IdleRung};

/// See the module.
#[derive(Debug)]
pub(super) struct IdleConnectionCut;

static META: Meta = Meta {
    id: "idle-connection-cut",
    category: Category::Capacity,
    stage: Stage::Ready,
    title: "idle connections are cut",
    masked_by: &[],
    settled_by: &["idle"],
};

/// Redis looks at each client about once a second (server.c, clientsCron); a loaded one later.
const CRON_MS: f64 = 5000.0;

/// What the rungs show together.
struct Shown<'a> {
    idle: &'a Idle,
    /// The longest idle time outlived, where there is one.
    alive: Option<u64>,
    /// The shortest that was not.
    dead: u64,
    /// The rung of that time.
    first: &'a IdleRung,
}

fn shown<'a>(case: &Case<'a>) -> Option<Shown<'a>> {
    let idle = case.file.client.idle.get()?;
    let (alive, dead) = case.idle_bounds()?;
    let first = idle.rungs.iter().find(|r| r.idle_ms == dead && r.end != IdleEnd::Alive)?;
    Some(Shown { idle, alive, dead, first })
}

impl Shown<'_> {
    fn dead_rungs(&self) -> impl Iterator<Item = &IdleRung> {
        self.idle.rungs.iter().filter(|r| r.end != IdleEnd::Alive)
    }

    /// Whoever was idle longer is dead as well: a limit, not an accident.
    fn is_a_limit(&self) -> bool {
        self.idle.rungs.iter().all(|r| r.idle_ms < self.dead || r.end != IdleEnd::Alive)
    }

    /// Each was closed after the same time, as far as Redis's clock goes.
    fn closed_after(&self) -> Option<f64> {
        let closed = |r: &IdleRung| r.end == IdleEnd::Closed { while_idle: true };
        let times: Vec<f64> = self.dead_rungs().filter(|r| closed(r)).map(|r| r.after_ms).collect();
        let (low, high) =
            (times.iter().copied().fold(f64::MAX, f64::min), times.iter().copied().fold(0.0, f64::max));
        (times.len() == self.dead_rungs().count() && high - low < CRON_MS).then_some(low)
    }

    /// The server's `timeout`, when it is what closed them: in seconds.
    fn own_timeout(&self, case: &Case<'_>) -> Option<u64> {
        let timeout = timeout(case).filter(|t| *t > 0)?;
        let after = self.closed_after()?;
        let from = timeout as f64 * 1e3;
        (from - 500.0..from + CRON_MS).contains(&after).then_some(timeout)
    }

    /// `between 3 and 5 s`.
    fn between(&self) -> String {
        let dead = self.dead as f64 / 1e3;
        match (self.closed_after(), self.alive) {
            (Some(after), _) => format!("after {:.1} s", after / 1e3),
            (None, Some(alive)) => format!("between {} and {dead} s", alive as f64 / 1e3),
            (None, None) => format!("within {dead} s"),
        }
    }
}

/// CONFIG GET timeout, of the conversation or of the server's configuration.
fn timeout(case: &Case<'_>) -> Option<u64> {
    let said = case.talk().and_then(|t| t.config("timeout"));
    said.or_else(|| case.config().and_then(|c| c.value("timeout")))?.parse().ok()
}

impl Cause for IdleConnectionCut {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let Some(shown) = shown(case).filter(|_| case.symptom == Symptom::IdleCut) else { return Vec::new() };
        if shown.idle.restarted == Some(true) {
            return vec![Reason::rules_out(
                "idle",
                "the server was started anew while the connections were held",
            )];
        }
        if shown.idle.fresh != Some(true) {
            return vec![Reason::against("idle", "a new connection got no PONG at the end either")];
        }
        if !shown.is_a_limit() {
            return vec![Reason::weak(
                "idle",
                "some connections died, and others that were idle longer did not",
            )];
        }
        let when = shown.between();
        if let Some(timeout) = shown.own_timeout(case) {
            let says = format!("the other end closed them {when}, and Redis's timeout is {timeout} s");
            return vec![Reason::confirms("idle", says)];
        }
        let several = shown.alive.is_some();
        match &shown.first.end {
            IdleEnd::Closed { while_idle: true } => match timeout(case) {
                // Redis has a time-out or none, and this is not its: a proxy, or an administrator's CLIENT KILL.
                Some(_) if several => vec![Reason::confirms(
                    "idle",
                    format!(
                        "the other end closed them {when}, which is not Redis's own timeout: a proxy or load balancer on the way"
                    ),
                )],
                _ => vec![Reason::strong(
                    "idle",
                    format!("the other end closed them {when}: Redis's timeout, or a proxy on the way"),
                )],
            },
            IdleEnd::Silent => {
                let says = format!(
                    "what was idle got no answer any more ({when}), not even a reset, while a new connection got PONG: the path forgot it"
                );
                vec![if several { Reason::confirms("idle", says) } else { Reason::strong("idle", says) }]
            }
            IdleEnd::Reset { .. } | IdleEnd::Closed { .. } => {
                let says = format!(
                    "what was idle was {} ({when}), while a new connection got PONG",
                    crate::evidence::Says::says(&shown.first.end)
                );
                vec![if several { Reason::confirms("idle", says) } else { Reason::strong("idle", says) }]
            }
            IdleEnd::Other { what } => {
                vec![Reason::strong("idle", format!("what was idle ended with {what}"))]
            }
            IdleEnd::Alive => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        let Some(shown) = shown(case) else { return META.title.to_owned() };
        match shown.own_timeout(case) {
            Some(timeout) => format!("Redis closes connections that are idle for {timeout} s (its timeout)"),
            None => format!("the path to {} cuts idle connections {}", case.target(), shown.between()),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let shown = shown(case);
        let own = shown.as_ref().and_then(|s| s.own_timeout(case));
        let limit = shown.as_ref().map_or(60_000, |s| s.alive.unwrap_or(s.dead / 2)) / 1000;
        if let Some(timeout) = own {
            return Some(
                Fix::new(Risk::Ask, "let clients give connections back before the server does, or the server keep them")
                    .step(format!("in the client: close what was idle for more than {} s, or check it before use (pool idle time, health check, testOnBorrow)", timeout.saturating_sub(1).max(1)))
                    .run("or never close them on the server", "redis-cli CONFIG SET timeout 0")
                    .step("and the same in redis.conf, so that it outlives a restart; dead clients are then found by tcp-keepalive"),
            );
        }
        // A third of what surely lives: two probes may be lost.
        let seconds = (limit / 3).max(1);
        Some(
            Fix::new(Risk::Ask, "send keepalive probes more often than the path forgets")
                .run("from the server, for all its clients", format!("redis-cli CONFIG SET tcp-keepalive {seconds}"))
                .step(format!("and tcp-keepalive {seconds} in redis.conf"))
                .step(format!("or from the client: socket keepalive with an idle time of {seconds} s (redis-py socket_keepalive_options, ioredis keepAlive, Lettuce KeepAliveOptions), or a health check every {seconds} s"))
                .step("or raise the idle time-out of the load balancer, NAT gateway or firewall on the way"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::IdleConnectionCut;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Idle, IdleEnd, IdleRung};

    /// Idle seconds and ends; the server's timeout.
    fn held(rungs: &[(u64, IdleEnd, f64)], timeout: Option<&str>) -> CaseFile {
        let mut file = pong(&[]);
        let rungs = rungs.iter().map(|(s, end, after)| IdleRung {
            idle_ms: s * 1000,
            end: end.clone(),
            after_ms: after * 1000.0,
        });
        file.client.idle = seen(Idle { rungs: rungs.collect(), fresh: Some(true), restarted: Some(false) });
        if let (Some(timeout), crate::evidence::Seen::Yes(talks)) = (timeout, &mut file.client.protocol) {
            talks.value[0].config.push(("timeout".to_owned(), timeout.to_owned()));
        }
        file
    }

    const CLOSED: IdleEnd = IdleEnd::Closed { while_idle: true };

    #[test]
    fn confirmed_by_the_servers_timeout() {
        let file = held(&[(1, IdleEnd::Alive, 1.0), (3, CLOSED, 2.3), (6, CLOSED, 2.4)], Some("2"));
        assert_eq!(first(&file), Some(("idle-connection-cut", Band::Confirmed)));
        assert!(diagnose(&file).causes[0].title.contains("idle for 2 s (its timeout)"));
    }

    #[test]
    fn confirmed_by_a_path_that_forgets() {
        let file = held(
            &[(60, IdleEnd::Alive, 60.0), (300, IdleEnd::Silent, 302.0), (350, IdleEnd::Silent, 352.0)],
            Some("0"),
        );
        assert_eq!(first(&file), Some(("idle-connection-cut", Band::Confirmed)));
        assert!(diagnose(&file).causes[0].title.contains("between 60 and 300 s"));
        let reset = IdleEnd::Reset { while_idle: false };
        let file = held(&[(60, IdleEnd::Alive, 60.0), (300, reset, 300.0)], None);
        assert_eq!(first(&file), Some(("idle-connection-cut", Band::Confirmed)));
    }

    #[test]
    fn not_confirmed_when_who_closed_is_unknown() {
        let file = held(&[(1, IdleEnd::Alive, 1.0), (3, CLOSED, 2.3)], None);
        assert_eq!(first(&file), Some(("idle-connection-cut", Band::Likely)));
        // No limit: a longer one lives.
        let file = held(&[(1, IdleEnd::Silent, 3.0), (3, IdleEnd::Alive, 3.0)], None);
        assert!(!confirms(&IdleConnectionCut, &file));
    }

    #[test]
    fn ruled_out_by_a_restart_and_silent_without_a_cut() {
        let mut file = held(&[(1, IdleEnd::Alive, 1.0), (3, CLOSED, 2.3)], None);
        if let crate::evidence::Seen::Yes(fact) = &mut file.client.idle {
            fact.value.restarted = Some(true);
        }
        assert!(rules_out(&IdleConnectionCut, &file));
        assert!(silent(&IdleConnectionCut, &held(&[(3, IdleEnd::Alive, 3.0)], None)));
        assert!(diagnose(&held(&[(3, IdleEnd::Alive, 3.0)], None)).pong);
        assert!(silent(&IdleConnectionCut, &refused()));
    }
}
