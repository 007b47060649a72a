//! The application's own pool has no connection to give.
//!
//! A pool's size and its waiters are inside the application: from outside, one at its limit looks like one at work. So
//! the evidence never speaks for it; `explain` knows it by the texts of client libraries. What the evidence can
//! do is to rule it out as the first obstacle: whoever cannot dial needs no pool for that.

use crate::cause::common::{dial_fails, meta};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;

/// See the module.
#[derive(Debug)]
pub(super) struct ClientPoolExhausted;

static META: Meta = meta(
    "client-pool-exhausted",
    Category::Capacity,
    Stage::Ready,
    "the application's connection pool is used up",
    &[],
);

impl Cause for ClientPoolExhausted {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let says = "a dial without any pool fails as well";
        dial_fails(case).map(|cites| Reason::rules_out(cites, says)).into_iter().collect()
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = case.ask.port;
        Some(
            Fix::new(
                Risk::Advice,
                "give connections back, and make the pool as large as the work at one time",
            )
            .run(
                "how many the application holds",
                format!("ss -Htnp 'dport = :{port}' | grep -o 'users:(([^)]*' | sort | uniq -c"),
            )
            .run(
                "what they do: the last command and the idle time of each",
                "redis-cli CLIENT LIST | grep -o 'addr=[^ ]*\\|idle=[^ ]*\\|cmd=[^ ]*' | paste - - -",
            )
            .step(
                "all idle: they are borrowed and not returned; close them in a finally block, with or using",
            )
            .step(
                "all in a blocking command (BLPOP, XREAD BLOCK, SUBSCRIBE): give those a pool of their own",
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::ClientPoolExhausted;
    use crate::cause::testing::{error, pong, refused, rules_out, silent, talks, timed_out};
    use crate::evidence::client::{Speaks, Talk};

    #[test]
    fn ruled_out_when_a_dial_of_its_own_fails() {
        assert!(rules_out(&ClientPoolExhausted, &refused()));
        assert!(rules_out(&ClientPoolExhausted, &timed_out()));
    }

    #[test]
    fn silent_otherwise() {
        assert!(silent(&ClientPoolExhausted, &pong(&[])));
        let talk = Talk { speaks: Speaks::Resp, ping: Some(error("LOADING x")), ..Talk::default() };
        assert!(silent(&ClientPoolExhausted, &talks(talk)));
    }
}
