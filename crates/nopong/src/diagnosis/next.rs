//! Which look would move the ranking most: the facts that undecided causes say would settle them, weighed by
//! the probability at stake.

use super::{Band, Case, Finding, Next};
use crate::evidence::{Seen, Side};

/// How many proposals a reader can use.
const SHOWN: usize = 3;

pub(super) fn next(case: &Case<'_>, causes: &[Finding]) -> Vec<Next> {
    if causes.first().is_some_and(|f| f.band == Band::Confirmed) {
        return Vec::new();
    }
    let mut proposals: Vec<(f64, Next)> = Vec::new();
    let stake = |id: &str| -> f64 {
        causes.iter().filter(|f| f.cause.meta().settled_by.contains(&id)).map(|f| f.probability).sum()
    };
    let server_unseen = matches!(case.server.listener, Seen::NotRun);
    let mut on_server = 0.0;
    for item in case.items() {
        let worth = stake(item.id);
        if worth <= 0.0 || item.state == "seen" || item.state == "not-applicable" {
            continue;
        }
        if item.from == Side::Server && server_unseen {
            on_server += worth;
            continue;
        }
        if let (Some(by_hand), Some(why)) = (item.by_hand.filter(|b| !b.is_empty()), item.why) {
            proposals.push((worth, Next { says: format!("{} ({why})", item.says), command: by_hand }));
        }
    }
    if on_server > 0.0 {
        let says = format!(
            "look from the Redis host {} as well: a client alone cannot tell these apart",
            case.ask.host
        );
        proposals.push((on_server, Next { says, command: format!("sudo nopong {}", case.ask.url) }));
    }
    proposals.sort_by(|a, b| b.0.total_cmp(&a.0));
    proposals.into_iter().take(SHOWN).map(|(_, n)| n).collect()
}
