//! Paths that the server's user cannot use: owner of exactly the path in the way, nothing recursive.

use super::{Draft, NoPlan, log_folder, start};
use crate::apply::{Action, Ownership, RepairAof};
use crate::evidence::server::DeathKind;
use crate::sys;
use std::time::Duration;

/// Gives the server's user what stands in the way, and starts it again.
pub(super) fn owner(draft: &mut Draft<'_>, only_config: bool) -> Result<(), NoPlan> {
    give(draft, only_config)?;
    start::again(draft);
    Ok(())
}

/// The same without a start. A server that comes up and cannot write its data would neither save nor stop: on SIGTERM
/// Redis saves first, and stays when it cannot.
pub(super) fn give(draft: &mut Draft<'_>, only_config: bool) -> Result<(), NoPlan> {
    let storage = draft.case.server.storage.get().ok_or(NoPlan::Advice(None))?;
    let user = draft
        .case
        .unit()
        .and_then(|u| u.user.clone())
        .or_else(|| draft.case.process().and_then(|p| p.user.clone()));
    let user = user.ok_or_else(|| NoPlan::Refused("the server's user is not known".to_owned()))?;
    let account = nix::unistd::User::from_name(&user).ok().flatten();
    let account = account.ok_or_else(|| NoPlan::Refused(format!("there is no user {user}")))?;
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    let blocked: Vec<_> = storage
        .paths
        .iter()
        .filter(|p| p.usable == Some(false) && p.read_only != Some(true))
        .filter(|p| !only_config || p.purpose == "config")
        .collect();
    let mut given = false;
    for path in &blocked {
        if log_folder::is_in_the_way(path) {
            log_folder::give(draft, path, uid, gid)?;
            given = true;
            continue;
        }
        if !path.exists {
            continue;
        }
        if is_shared(&path.path) {
            return Err(NoPlan::Refused(format!(
                "{} belongs to the system: its owner is not changed; point the directive elsewhere",
                path.path
            )));
        }
        // Only the path itself: an obstacle further up belongs to somebody else.
        let own = match &path.obstacle_path {
            Some(at) => *at == path.path,
            None => path.obstacle.as_deref().is_none_or(|o| o.contains(&path.path)),
        };
        if !own {
            continue;
        }
        given = true;
        if draft.first.iter().any(|a| matches!(a, Action::Ownership(o) if o.path == path.path)) {
            continue;
        }
        let secret = matches!(path.purpose.as_str(), "tls-key-file" | "config");
        draft.first.push(Action::Ownership(match secret {
            // A key or a configuration stays its owner's; the server's group may read it.
            true => Ownership {
                path: path.path.clone(),
                uid: None,
                gid: Some(gid),
                mode: path.mode.map(|m| (m & 0o7700) | 0o040),
            },
            false => Ownership {
                path: path.path.clone(),
                uid: Some(uid),
                gid: Some(gid),
                mode: path.mode.map(|m| (m & 0o7777) | needed(&path.purpose)),
            },
        }));
    }
    if given { Ok(()) } else { Err(NoPlan::Advice(None)) }
}

/// A damaged append only file: a copy is kept and the damaged end cut off, by the server's own tool. A damaged dump
/// cannot be repaired.
pub(super) fn append_only_file(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    /// The tool reads the whole file.
    const CHECK: Duration = Duration::from_secs(60);
    let by_hand = || NoPlan::Advice(None);
    let deaths = draft.case.server.log.get().map_or(&[][..], |l| l.deaths.as_slice());
    let died_of_it = deaths.iter().any(|d| d.last && d.kind == DeathKind::AofUnloadable);
    if !died_of_it || draft.case.process().is_some() {
        return Err(by_hand());
    }
    let config = draft.case.config().ok_or_else(by_hand)?;
    let folder = config.value("dir").filter(|d| d.starts_with('/')).ok_or_else(by_hand)?;
    let name = config.value("appendfilename").unwrap_or("appendonly.aof");
    let sub = config.value("appenddirname").unwrap_or("appendonlydir");
    // Since Redis 7.0 a manifest names the parts.
    let manifest = format!("{folder}/{sub}/{name}.manifest");
    let file = if sys::stat(&manifest).is_ok() { manifest } else { format!("{folder}/{name}") };
    let tool =
        ["redis-check-aof", "valkey-check-aof"].iter().find_map(|t| sys::program(t)).ok_or_else(by_hand)?;
    let tool = tool.to_string_lossy().into_owned();
    let output = sys::run(&[&tool, &file], CHECK, 64 << 10).map_err(|_| by_hand())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // `AOF analyzed: filename=appendonly.aof.1.incr.aof, size=970, ok_up_to=193, ok_up_to_line=35, diff=777`
    let analysed = said.lines().rfind(|l| l.contains("ok_up_to=")).ok_or_else(by_hand)?;
    let field = |key: &str| {
        let at = analysed.find(key)? + key.len();
        analysed[at..].split([',', ' ']).next().map(str::to_owned)
    };
    let lost = field("diff=").and_then(|n| n.parse::<u64>().ok()).filter(|n| *n > 0).ok_or_else(by_hand)?;
    let damaged = match field("filename=").filter(|f| !f.contains('/')) {
        Some(part) => format!("{}/{part}", file.rsplit_once('/').map_or("", |(folder, _)| folder)),
        None => file.clone(),
    };
    let size = sys::stat(&damaged).map_err(|_| by_hand())?.len();
    if sys::room(folder).is_some_and(|(free, ..)| free < size) {
        return Err(NoPlan::Refused(format!("there is no room in {folder} for a copy of {damaged}")));
    }
    let copy = format!("{damaged}.nopong-{}", sys::unix_time());
    "keep a copy of the append only file, and cut its damaged end off".clone_into(&mut draft.plan.title);
    draft
        .plan
        .noticed_by
        .push(format!("clients: what the last {lost} bytes of {size} held is not there any more"));
    draft.plan.advice.push(format!(
        "delete {copy} when nothing in it is missed; with it, an undo works until the first write"
    ));
    draft.first.push(Action::RepairAof(RepairAof { tool, file, damaged, copy, lost }));
    start::again(draft);
    Ok(())
}

/// What the owner needs there.
fn needed(purpose: &str) -> u32 {
    match purpose {
        "dir" => 0o700,
        "tls-cert-file" | "tls-ca-cert-file" => 0o400,
        _ => 0o600,
    }
}

/// Directories that many programs share.
pub(super) fn is_shared(path: &str) -> bool {
    [
        "/",
        "/tmp",
        "/var",
        "/var/lib",
        "/var/log",
        "/var/run",
        "/run",
        "/etc",
        "/home",
        "/root",
        "/usr",
        "/opt",
        "/srv",
        "/dev/shm",
        "/var/tmp",
        "/etc/ssl/private",
    ]
    .contains(&path.trim_end_matches('/'))
        || path == "/"
}
