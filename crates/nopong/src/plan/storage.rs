//! Paths that the server's user cannot use: owner of exactly the path in the way, nothing recursive.

use super::{Draft, NoPlan, start};
use crate::apply::{Action, Ownership};

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
        .filter(|p| p.usable == Some(false) && p.exists && p.read_only != Some(true))
        .filter(|p| !only_config || p.purpose == "config")
        .collect();
    let mut given = false;
    for path in &blocked {
        if is_shared(&path.path) {
            return Err(NoPlan::Refused(format!(
                "{} belongs to the system: its owner is not changed; point the directive elsewhere",
                path.path
            )));
        }
        // Only the path itself: an obstacle further up belongs to somebody else.
        let own = path.obstacle.as_deref().is_none_or(|o| o.contains(&path.path));
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

/// What the owner needs there.
fn needed(purpose: &str) -> u32 {
    match purpose {
        "dir" => 0o700,
        "tls-cert-file" | "tls-ca-cert-file" => 0o400,
        _ => 0o600,
    }
}

/// Directories that many programs share.
fn is_shared(path: &str) -> bool {
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
