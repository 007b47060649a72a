//! When a restart would lose data or make things worse.

use super::{NoPlan, Wish, door};
use crate::apply::{Door, Gate, Standing};
use crate::diagnosis::Case;
use crate::evidence::server::NeededPath;
use std::net::{IpAddr, SocketAddr};

/// Settings that say where the data are read from at the start.
const PLACES: &[&str] = &["dir", "dbfilename", "appendonly"];

/// How the running server is asked.
pub(super) fn gate(case: &Case<'_>, wish: &Wish) -> Option<Gate> {
    let config = case.config();
    Some(Gate {
        door: door(case)?,
        file: config.and_then(|c| c.file.clone()),
        save: config.and_then(|c| c.value("save")).map(str::to_owned),
        login: wish.login.clone(),
    })
}

/// How a server is asked that the plan starts, by the configuration that it starts with: an undo stops it.
pub(super) fn gate_of_start(case: &Case<'_>, wish: &Wish) -> Option<Gate> {
    let config = case.config()?;
    let port = config.value("port").and_then(|p| p.parse::<u16>().ok()).filter(|p| *p != 0);
    let own = case.server.address.get().map_or(&[][..], Vec::as_slice);
    let here = |ip: &IpAddr| ip.is_loopback() || own.iter().any(|a| a.address == *ip);
    let words = config.value("bind").unwrap_or_default().split_whitespace();
    let addresses = words.filter_map(|w| match w.trim_start_matches('-') {
        "*" | "0.0.0.0" => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        "::" | "::*" => Some(std::net::Ipv6Addr::LOCALHOST.into()),
        word => word.parse::<IpAddr>().ok().filter(here),
    });
    let ip = addresses.min_by_key(|ip| !ip.is_loopback());
    let tcp = || Some(Door::Tcp { at: SocketAddr::new(ip?, port?) });
    let path = config.value("unixsocket").filter(|p| p.starts_with('/'));
    let door = path.map(|path| Door::Unix { path: path.to_owned() }).or_else(tcp)?;
    let save = config.value("save").map(str::to_owned);
    Some(Gate { door, file: config.file.clone(), save, login: wish.login.clone() })
}

/// Refuses a restart while loading, saving or rewriting, with unsaved data and persistence off, during a failover, or
/// where the server does not tell. What comes back asks again right before the restart; nothing with `--force`.
pub(super) fn restart(case: &Case<'_>, wish: &Wish) -> Result<Option<Gate>, NoPlan> {
    if wish.force {
        return Ok(None);
    }
    // A stopped one has nothing to lose.
    if case.process().is_none() {
        return Ok(None);
    }
    let gate = gate(case, wish);
    let asked = gate.as_ref().map(Gate::ask);
    let standing = match asked {
        Some(Ok(standing)) => standing,
        unasked => told(case).ok_or_else(|| {
            let why = unasked.and_then(Result::err).map_or("no way in is known".to_owned(), |f| f.says);
            refuse(&format!("what it would lose cannot be seen ({why})"))
        })?,
    };
    // On SIGTERM Redis saves first, and stays when it cannot: the stop would hang.
    let unwritable = |p: &NeededPath| p.purpose == "dir" && p.usable == Some(false);
    let saves = standing.save.as_deref() != Some("");
    if saves && case.server.storage.get().is_some_and(|s| s.paths.iter().any(unwritable)) {
        return Err(refuse("the server cannot write its folder, and does not stop before it has saved"));
    }
    if let Some(against) = standing.against() {
        return Err(refuse(&against.to_string()));
    }
    if let Some(says) = elsewhere(case, &standing).filter(|_| standing.holds_keys()) {
        return Err(refuse(&format!("it would not load what it holds: {says}; make both agree first")));
    }
    Ok(gate)
}

/// The file names another place for the data than the running server has.
fn elsewhere(case: &Case<'_>, standing: &Standing) -> Option<String> {
    let config = case.config()?;
    let says = |name: &str, file: &str, running: &str| {
        format!("its file says `{name} {file}`, and it runs with {running}")
    };
    if let Some((name, file, running)) = config.disagree.iter().find(|(n, ..)| PLACES.contains(&n.as_str())) {
        return Some(says(name, file, running));
    }
    // INFO tells it where CONFIG may not be asked.
    let running = standing.info.get("aof_enabled").map(|on| if on == "1" { "yes" } else { "no" })?;
    let file = config.value("appendonly").filter(|file| *file != running)?;
    Some(says("appendonly", file, running))
}

/// What the conversations of the look told, where the server cannot be asked anew.
fn told(case: &Case<'_>) -> Option<Standing> {
    let talk = [case.server.inside.get(), case.talk()].into_iter().flatten().find(|t| !t.info.is_empty())?;
    Some(Standing {
        info: talk.info.iter().cloned().collect(),
        save: case.config().and_then(|c| c.value("save")).map(str::to_owned),
        on_sigterm: case.config().and_then(|c| c.value("shutdown-on-sigterm")).map(str::to_owned),
        ..Standing::default()
    })
}

fn refuse(reason: &str) -> NoPlan {
    NoPlan::Refused(format!("no restart now: {reason}; `--force` restarts all the same"))
}
