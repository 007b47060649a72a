//! When a restart would lose data or make things worse.

use super::{NoPlan, Wish};
use crate::diagnosis::Case;
use crate::evidence::client::Talk;

/// Refuses a restart while loading, saving or rewriting, with unsaved data and persistence off, or during a failover.
pub(super) fn restart(case: &Case<'_>, wish: &Wish) -> Result<(), NoPlan> {
    if wish.force {
        return Ok(());
    }
    let talk = case
        .server
        .inside
        .get()
        .filter(|t| !t.info.is_empty())
        .or_else(|| case.talk().filter(|t| !t.info.is_empty()));
    // On SIGTERM Redis saves first, and stays when it cannot: the stop would hang.
    let unwritable = |p: &crate::evidence::server::NeededPath| p.purpose == "dir" && p.usable == Some(false);
    let saves = talk.is_none_or(|t| t.config("save").is_none_or(|s| !s.is_empty()));
    if saves
        && case.process().is_some()
        && case.server.storage.get().is_some_and(|s| s.paths.iter().any(unwritable))
    {
        return Err(refuse("the server cannot write its folder, and does not stop before it has saved"));
    }
    let Some(talk) = talk else {
        return match case.process() {
            // Nobody can ask a server that runs and does not answer; a stopped one has nothing to lose.
            Some(_) => Err(refuse("what a restart would lose cannot be seen: INFO is not allowed here")),
            None => Ok(()),
        };
    };
    match reason(talk) {
        Some(reason) => Err(refuse(reason)),
        None => Ok(()),
    }
}

fn reason(talk: &Talk) -> Option<&'static str> {
    let is = |key: &str, value: &str| talk.info(key) == Some(value);
    if is("loading", "1") {
        return Some("the server is loading its data");
    }
    if is("rdb_bgsave_in_progress", "1") {
        return Some("a background save is running");
    }
    if is("aof_rewrite_in_progress", "1") {
        return Some("the append-only file is being rewritten");
    }
    if talk.info("master_failover_state").is_some_and(|s| s != "no-failover") {
        return Some("a failover is under way");
    }
    let unsaved = talk.info("rdb_changes_since_last_save").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let saves = talk.config("save").is_some_and(|s| !s.is_empty());
    let appends = is("aof_enabled", "1") || talk.config("appendonly") == Some("yes");
    if unsaved > 0 && !saves && !appends {
        return Some("there is unsaved data, and nothing is saved at shutdown");
    }
    None
}

fn refuse(reason: &str) -> NoPlan {
    NoPlan::Refused(format!("no restart now: {reason}; `--force` restarts all the same"))
}
