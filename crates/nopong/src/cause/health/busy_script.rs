//! A script or function runs and blocks everybody else.

use super::hung::BUSY;
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct BusyScript;

static META: Meta = Meta {
    id: "busy-script",
    category: Category::Health,
    stage: Stage::Ready,
    title: "a script blocks the server",
    masked_by: &[],
    settled_by: &["process", "inside"],
};

impl Cause for BusyScript {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(text) = runtime::replied(case, "BUSY") {
            return vec![Reason::confirms("protocol", format!("it answers: {text}"))];
        }
        if case.symptom != Symptom::Silent {
            return Vec::new();
        }
        let inside = case.server.inside.get().and_then(|t| t.ping.as_ref());
        if let Some(text) = inside.filter(|r| r.word() == Some("BUSY")).and_then(|r| r.error()) {
            return vec![Reason::confirms("inside", format!("through another door it answers: {text}"))];
        }
        // BUSY is answered only after busy-reply-threshold, 5 s by default: before that a script is mere silence.
        match case.holder() {
            Some(p) if p.cpu.is_some_and(|c| c >= BUSY) && p.state == 'R' => {
                let says =
                    format!("pid {} uses a whole core and answers nobody: one command or script runs", p.pid);
                vec![Reason::strong("process", says)]
            }
            Some(p) if matches!(p.state, 'T' | 't') || p.cpu.is_some_and(|c| c < 0.5) => {
                vec![Reason::rules_out("process", format!("pid {} is idle (state {})", p.pid, p.state))]
            }
            None if case.ask.local && common::servers_here(case).is_some_and(|s| s.is_empty()) => {
                vec![Reason::against("process", "no Redis process runs on this machine")]
            }
            _ => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        if case.error_word() == Some("BUSY") {
            format!("a script or function runs on {} and blocks everybody else", case.target())
        } else {
            META.title.to_owned()
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let cli = common::cli(case);
        Some(
            Fix::new(Risk::Ask, "wait for the script, or kill it while it has not written")
                .run("which script runs, and for how long (function)", format!("{cli} FUNCTION STATS"))
                .run("kill a script that has written nothing", format!("{cli} SCRIPT KILL"))
                .run("the same for a function", format!("{cli} FUNCTION KILL"))
                .step("UNKILLABLE means that it has written: wait; SHUTDOWN NOSAVE ends it and loses what is not saved"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::BusyScript;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::client::Speaks;

    #[test]
    fn confirms_by_the_reply() {
        let file = ping_error(
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        );
        assert_eq!(first(&file), Some(("busy-script", Band::Confirmed)));
    }

    #[test]
    fn a_stopped_process_rules_it_out() {
        let mut one = process(812);
        one.state = 'T';
        let file = with_process(on_server(mute(Speaks::Silent)), one);
        let file = with_listener(file, listener("0.0.0.0:6379", 812, "redis-server"));
        assert!(rules_out(&BusyScript, &file));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&BusyScript, &mute(Speaks::Silent)));
        assert!(silent(&BusyScript, &ping_error("NOAUTH Authentication required.")));
    }
}
