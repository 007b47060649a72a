//! The process is there and answers nobody: stopped, frozen, waiting for a disk, or busy with one command.

use crate::cause::common::servers_here;
use crate::cause::containers::{self, Tie};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Speaks;
use crate::evidence::containers::Container;
use crate::evidence::server::Process;

/// See the module.
#[derive(Debug)]
pub(super) struct Hung;

static META: Meta = Meta {
    id: "hung",
    category: Category::Health,
    stage: Stage::Protocol,
    title: "the server process hangs",
    masked_by: &["server-fds-exhausted"],
    settled_by: &["process", "listener"],
};

/// A process is busy when it uses so much of one core: Redis runs commands in one thread.
pub(super) const BUSY: f32 = 0.9;

/// It does not run at all.
fn halted(process: &Process) -> Option<&'static str> {
    if process.frozen == Some(true) {
        return Some("its cgroup is frozen");
    }
    match process.state {
        'T' => Some("it is stopped (SIGSTOP, state T)"),
        't' => Some("a debugger holds it (state t)"),
        _ => None,
    }
}

/// The port completes connections, and nothing comes back. A TLS session or a door inside that answers shows
/// a living server.
fn mute(case: &Case<'_>) -> bool {
    let tls = case.client.tls_offer.get().is_some_and(|t| t.handshake);
    let inside = case.server.inside.get().is_some_and(|t| t.speaks == Speaks::Resp && t.ping.is_some());
    case.symptom == Symptom::Silent && !tls && !inside
}

fn queued(case: &Case<'_>) -> Option<(u32, u32)> {
    let listener = case.dial().and_then(|d| case.listener_for(d.to))?;
    (listener.queue > 0).then_some((listener.queue, listener.queue_max))
}

/// The container that is meant runs and does not answer; its health check may say so as well.
fn in_container(case: &Case<'_>) -> Option<String> {
    let meant = containers::meant(case).filter(|m| m.tie != Tie::Only && m.container.status == "running")?;
    let c = meant.container;
    // Behind a published port something always accepts: whether Redis does, its own sockets tell.
    let listens = containers::listeners(&meant).is_some_and(|l| !l.is_empty());
    let ill = c.health.as_ref().filter(|h| h.status == "unhealthy");
    let ill = ill.map(|h| {
        let said = h.output.as_deref().map(|o| format!(", and said last: {o}")).unwrap_or_default();
        format!("; its health check failed {} times in a row{said}", h.failing)
    });
    (case.symptom == Symptom::Silent && c.redis && listens).then(|| {
        format!("Redis in {} listens and answers nobody{}", containers::named(c), ill.unwrap_or_default())
    })
}

/// The container that is meant, when it is paused: all its processes are frozen, and its sockets still take connections.
fn paused<'a>(case: &Case<'a>) -> Option<&'a Container> {
    let meant = containers::meant(case).filter(|m| m.tie != Tie::Only && m.container.status == "paused")?;
    matches!(case.symptom, Symptom::Silent | Symptom::TimedOut | Symptom::TlsFailed)
        .then_some(meant.container)
}

impl Cause for Hung {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(c) = paused(case) {
            return vec![Reason::confirms("container", format!("{} is paused", containers::named(c)))];
        }
        let full = queued(case).is_some_and(|(queue, max)| queue > max);
        let fits = match case.symptom {
            Symptom::Silent | Symptom::TlsFailed => true,
            Symptom::TimedOut => full,
            _ => return Vec::new(),
        };
        if case.client.tls_offer.get().is_some_and(|t| t.handshake) {
            return vec![Reason::rules_out("tls-offer", "it answers when TLS is offered")];
        }
        let Some(process) = case.holder().filter(|_| fits) else {
            if let Some(says) = in_container(case) {
                return vec![Reason::strong("container", says)];
            }
            // Behind a proxy it may be one on another machine.
            let none_here = fits && case.ask.local && servers_here(case).is_some_and(|s| s.is_empty());
            return Vec::from_iter(
                none_here.then(|| Reason::against("process", "no Redis process runs on this machine")),
            );
        };
        let name = format!("pid {}", process.pid);
        if let Some(how) = halted(process) {
            return vec![Reason::confirms("process", format!("{name} does not run: {how}"))];
        }
        if case.symptom == Symptom::TlsFailed
            && case.tls().and_then(|t| t.failure.as_deref()) != Some("timeout")
        {
            return Vec::new();
        }
        if case.server.inside.get().is_some_and(|t| t.ping.as_ref().is_some_and(|p| p.text().is_some())) {
            return vec![Reason::rules_out("inside", "it answers through another door")];
        }
        let mut reasons = Vec::new();
        match (process.state, process.cpu) {
            ('D', _) => reasons.push(Reason::strong("process", format!("{name} waits for a disk (state D)"))),
            (_, Some(cpu)) if cpu >= BUSY => {
                let says = format!(
                    "{name} uses {:.0} % of a core and answers nobody: one command or script runs",
                    cpu * 100.0
                );
                reasons.push(Reason::strong("process", says));
            }
            _ => reasons.push(Reason::strong(
                "process",
                format!("{name} holds the port and did not answer within {} ms", case.ask.timeout_ms),
            )),
        }
        if let Some((queue, max)) = queued(case) {
            reasons.push(Reason::weak(
                "listener",
                format!("{queue} connections wait to be accepted (limit {max})"),
            ));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(c) = paused(case) {
            return format!("{} is paused", containers::named(c));
        }
        if let (None, Some(says)) = (case.holder(), in_container(case)) {
            return says;
        }
        let Some(process) = case.holder() else { return META.title.to_owned() };
        match halted(process) {
            Some(how) => format!("redis-server (pid {}) hangs: {how}", process.pid),
            None if process.state == 'D' => {
                format!("redis-server (pid {}) hangs in the kernel, waiting for a disk", process.pid)
            }
            None if process.cpu.is_some_and(|c| c >= BUSY) => {
                format!("redis-server (pid {}) is busy with one command and answers nobody", process.pid)
            }
            None => format!("redis-server (pid {}) holds the port and does not answer", process.pid),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some(c) = paused(case) {
            let command = format!("{} unpause {}", containers::engine(case), crate::text::shell(&c.name));
            return Some(Fix::new(Risk::Ask, "let the container go on").run("end the pause", command));
        }
        if let (None, Some(_), Some(meant)) = (case.holder(), in_container(case), containers::meant(case)) {
            let (engine, name) = (containers::engine(case), crate::text::shell(&meant.container.name));
            return Some(
                Fix::new(Risk::Ask, "see what it is busy with, then restart the container")
                    .run(
                        "what it does (state, processor)",
                        format!("{engine} top {name} -o pid,stat,pcpu,wchan:20,args"),
                    )
                    .run("what it said last", format!("{engine} logs --tail 50 {name}"))
                    .run("start it anew; what was not saved is lost", format!("{engine} restart {name}")),
            );
        }
        let Some(process) = case.holder() else {
            return Some(Fix::new(Risk::Advice, "look on the Redis host what the process does").run(
                "on the Redis host: its state and CPU",
                "ps -o pid,stat,pcpu,wchan:20,cmd -C redis-server,valkey-server",
            ));
        };
        let pid = process.pid;
        let look = format!("ps -o pid,stat,pcpu,wchan:20,cmd -p {pid}");
        if process.frozen == Some(true) {
            let fix = Fix::new(Risk::Ask, "thaw it").run("what it does", look);
            return Some(match &process.unit {
                Some(unit) => {
                    fix.run("thaw the unit", format!("systemctl thaw {}", crate::text::shell(unit)))
                }
                None => fix.step("thaw its cgroup: echo 0 into cgroup.freeze (or THAWED into freezer.state)"),
            });
        }
        if process.state == 'T' {
            return Some(
                Fix::new(Risk::Ask, "let it go on, once you know who stopped it")
                    .run("what it does", look)
                    .run("let it go on", format!("kill -CONT {pid}")),
            );
        }
        let fix =
            Fix::new(Risk::Advice, "find out what it does before you restart it: unsaved data would be lost")
                .run("what it does", look);
        Some(if process.state == 'D' {
            fix.run("the disk's state", "dmesg --level=err,warn | tail -20")
        } else {
            fix.step("it answers again when the command ends; then SLOWLOG GET names the command")
        })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if mute(case) || matches!(case.symptom, Symptom::Pong | Symptom::Silent | Symptom::TlsFailed) {
            return None;
        }
        let process = case.holder()?;
        let how = halted(process)?;
        Some(Latent {
            place: Place::Behind,
            title: self.title(case),
            reasons: vec![Reason::confirms("process", format!("pid {} does not run: {how}", process.pid))],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Hung;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Speaks, Tls};

    fn with_state(state: char, cpu: f32) -> CaseFile {
        let file = with_unit(on_server(mute(Speaks::Silent)), "active", "running", "success");
        let mut one = process(812);
        one.state = state;
        one.cpu = Some(cpu);
        with_listener(with_process(file, one), listener("0.0.0.0:6379", 812, "redis-server"))
    }

    #[test]
    fn confirms_a_stopped_process() {
        assert_eq!(first(&with_state('T', 0.0)), Some(("hung", Band::Confirmed)));
    }

    #[test]
    fn a_silent_process_is_likely_to_hang() {
        assert_eq!(first(&with_state('S', 0.0)), Some(("hung", Band::Likely)));
    }

    #[test]
    fn an_answer_to_tls_rules_it_out() {
        let mut file = with_state('S', 0.0);
        file.client.tls_offer = seen(Tls { handshake: true, ..Tls::default() });
        assert!(rules_out(&Hung, &file));
    }

    #[test]
    fn silent_from_a_lone_client() {
        assert!(silent(&Hung, &mute(Speaks::Silent)));
        assert!(silent(&Hung, &refused()));
        assert!(silent(&Hung, &timed_out()));
    }
}
