//! The queue of connections that wait to be accepted is full: the kernel drops new ones.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::Listener;

/// See the module.
#[derive(Debug)]
pub(super) struct BacklogFull;

static META: Meta = Meta {
    id: "backlog-full",
    category: Category::Capacity,
    stage: Stage::Connect,
    title: "the server's queue of new connections is full",
    masked_by: &["server-fds-exhausted"],
    settled_by: &["listener", "kernel"],
};

fn target<'a>(case: &Case<'a>) -> Option<&'a Listener> {
    let dial = case.dial()?;
    case.listener_for(dial.to)
}

/// The kernel drops a SYN once more than the limit wait (include/net/sock.h, sk_acceptq_is_full).
fn full(listener: &Listener) -> bool {
    listener.queue > listener.queue_max
}

fn sentence(listener: &Listener) -> String {
    format!(
        "{} connections to {} wait to be accepted, and the limit is {}",
        listener.queue, listener.at, listener.queue_max
    )
}

fn overflows(case: &Case<'_>) -> Option<Reason> {
    let count = case.server.kernel.get()?.listen_overflows.filter(|n| *n > 0)?;
    Some(Reason::weak(
        "kernel",
        format!("the kernel counts {count} overflows of such queues since boot (ListenOverflows)"),
    ))
}

impl Cause for BacklogFull {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::TimedOut | Symptom::Silent) {
            return Vec::new();
        }
        if !case.server_seen() {
            // From outside a full queue and a rule that drops are the same silence: the host being up speaks for both.
            let alive =
                case.dials().iter().any(|d| d.reach.as_ref().and_then(|r| r.host_alive) == Some(true));
            let says = "the host is up and answers elsewhere: a port whose queue is full is as silent as one behind a rule that drops";
            return (alive && case.symptom == Symptom::TimedOut)
                .then(|| Reason::weak("connect", says))
                .into_iter()
                .collect();
        }
        let Some(listener) = target(case) else {
            return vec![Reason::rules_out("listener", format!("nothing listens at {}", case.target()))];
        };
        let mut reasons = match (full(listener), case.symptom) {
            (true, Symptom::TimedOut) => vec![Reason::confirms("listener", sentence(listener))],
            (true, _) => vec![Reason::weak("listener", sentence(listener))],
            // The queue may have moved by one between the dial and the look.
            (false, Symptom::TimedOut) if listener.queue == listener.queue_max => {
                vec![Reason::strong("listener", sentence(listener))]
            }
            (false, _) => {
                let says = format!(
                    "{} of {} places in the queue of {} are taken",
                    listener.queue, listener.queue_max, listener.at
                );
                return vec![Reason::rules_out("listener", says)];
            }
        };
        reasons.extend(overflows(case));
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match target(case).filter(|l| l.queue >= l.queue_max) {
            Some(listener) => format!("the queue of new connections is full: {}", sentence(listener)),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = case.ask.port;
        let pid = case.holder().map(|p| p.pid);
        let fix = Fix::new(
            Risk::Advice,
            "find out why the server does not accept: a longer queue only helps against short bursts",
        )
        .run("the queue (Recv-Q) and its limit (Send-Q)", format!("ss -Hltn 'sport = :{port}'"));
        let fix = match pid {
            Some(pid) => {
                fix.run("what the process does", format!("ps -o pid,stat,pcpu,wchan:20,cmd -p {pid}"))
            }
            None => fix,
        };
        Some(fix.step("for bursts: tcp-backlog in the configuration and net.core.somaxconn, the smaller counts; and clients with pools"))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if matches!(case.symptom, Symptom::TimedOut) {
            return None;
        }
        let listener = case.listeners_on_port().into_iter().find(|l| full(l))?;
        Some(Latent {
            place: if case.symptom == Symptom::Pong { Place::Warning } else { Place::Behind },
            title: format!("new connections are dropped: {}", sentence(listener)),
            reasons: vec![Reason::confirms("listener", sentence(listener))],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BacklogFull;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;

    fn queue(file: CaseFile, queue: u32, queue_max: u32) -> CaseFile {
        let mut one = listener("0.0.0.0:6379", 812, "redis-server");
        (one.queue, one.queue_max) = (queue, queue_max);
        let file = with_unit(on_server(file), "active", "running", "success");
        with_listener(with_process(file, process(812)), one)
    }

    #[test]
    fn confirms_a_full_queue() {
        assert_eq!(first(&queue(timed_out(), 3, 2)), Some(("backlog-full", Band::Confirmed)));
    }

    #[test]
    fn an_empty_queue_rules_it_out() {
        assert!(rules_out(&BacklogFull, &queue(timed_out(), 0, 511)));
        assert!(rules_out(&BacklogFull, &on_server(timed_out())));
    }

    #[test]
    fn from_outside_it_is_no_more_than_a_rival_of_a_firewall() {
        let mut file = timed_out();
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].reach =
            Some(crate::evidence::client::Reach { host_alive: Some(true), ..Default::default() });
        file.client.connect = seen(dials);
        let found = crate::diagnosis::diagnose(&file).causes;
        assert!(found.iter().any(|f| f.cause.meta().id == "backlog-full" && f.band == Band::Possible));
        assert!(found[0].probability < 0.5, "{} {}", found[0].cause.meta().id, found[0].probability);
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&BacklogFull, &timed_out()));
        assert!(silent(&BacklogFull, &queue(pong(&[]), 1, 511)));
    }
}
