//! The folder of the server's log: given to the server's user, or made, where it is the server's alone.

use super::{Draft, NoPlan};
use crate::apply::{Action, MakeFolder, Ownership};
use crate::evidence::server::NeededPath;
use crate::sys;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Names looked at in a folder.
const NAMES_MAX: usize = 1000;
/// Files that packages of Redis put there beside the log itself.
const OF_REDIS: &[&str] = &["redis", "valkey", "sentinel"];
/// As Debian's packages make it; elsewhere the group is the server's own.
const MODE: u32 = 0o750;

/// Whether the folder of that log is what stands in the way.
pub(super) fn is_in_the_way(path: &NeededPath) -> bool {
    let folder = Path::new(&path.path).parent().and_then(Path::to_str);
    path.purpose == "logfile" && folder.is_some() && path.obstacle_path.as_deref() == folder
}

/// Adds what gives it to the server's user.
pub(super) fn give(draft: &mut Draft<'_>, path: &NeededPath, uid: u32, gid: u32) -> Result<(), NoPlan> {
    let Some(folder) = path.obstacle_path.clone() else { return Err(NoPlan::Advice(None)) };
    if draft.first.iter().any(|a| match a {
        Action::Ownership(given) => given.path == folder,
        Action::MakeFolder(made) => made.path == folder,
        _ => false,
    }) {
        return Ok(());
    }
    if super::storage::is_shared(&folder) {
        return Err(NoPlan::Refused(format!(
            "{folder} belongs to the system: its owner is not changed; point logfile into a folder of its own"
        )));
    }
    match sys::lstat(&folder) {
        Ok(found) if found.is_dir() => {
            if let Some(other) = somebody_elses(path, &folder, uid)? {
                return Err(NoPlan::Refused(format!(
                    "{folder} is not the server's alone, {other}: its owner is not changed; point logfile into a folder of its own"
                )));
            }
            draft.first.push(to_user(&folder, found.uid(), found.gid(), found.mode(), (uid, gid), 0o700));
            // Behind the folder the log itself may be root's too.
            if let Ok(log) = sys::lstat(&path.path).map(|m| (m.is_file(), m)) {
                let (true, log) = log else { return Err(NoPlan::Advice(None)) };
                let bits = if log.uid() == uid { 0o200 } else { 0o002 };
                if log.mode() & bits == 0 {
                    let given = to_user(&path.path, log.uid(), log.gid(), log.mode(), (uid, gid), 0o600);
                    draft.first.push(given);
                }
            }
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => make(draft, folder, uid, gid),
        _ => Err(NoPlan::Advice(None)),
    }
}

/// The owner, and a group that was root's; any other group keeps its right to read.
fn to_user(path: &str, uid: u32, gid: u32, mode: u32, user: (u32, u32), needed: u32) -> Action {
    Action::Ownership(Ownership {
        path: path.to_owned(),
        uid: (uid != user.0).then_some(user.0),
        gid: (gid == 0).then_some(user.1),
        mode: Some((mode & 0o7777) | needed),
    })
}

/// Who else has something in that folder, in words.
fn somebody_elses(path: &NeededPath, folder: &str, uid: u32) -> Result<Option<String>, NoPlan> {
    let cannot = |e: &std::io::Error| NoPlan::Refused(format!("{folder}: {}", sys::errno_name(e)));
    let owner = sys::lstat(folder).map_err(|e| cannot(&e))?.uid();
    if owner != 0 && owner != uid {
        return Ok(Some(format!("it belongs to user {owner}")));
    }
    let log = Path::new(&path.path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let names = sys::list(folder, NAMES_MAX).map_err(|e| cannot(&e))?;
    for name in &names {
        let shown = crate::text::shown_str(&name.to_string_lossy(), 100);
        let owner = sys::lstat(Path::new(folder).join(name)).map_or(uid, |m| m.uid());
        let redis = OF_REDIS.iter().any(|n| shown.starts_with(n)) || shown.starts_with(&log);
        if owner != uid && !(owner == 0 && redis) {
            return Ok(Some(format!("{shown} is in it")));
        }
    }
    Ok((names.len() >= NAMES_MAX).then(|| format!("more than {NAMES_MAX} files are in it")))
}

fn make(draft: &mut Draft<'_>, folder: String, uid: u32, gid: u32) -> Result<(), NoPlan> {
    let above = Path::new(&folder).parent().and_then(|p| sys::lstat(p).ok());
    let above = above.filter(std::fs::Metadata::is_dir).ok_or(NoPlan::Advice(None))?;
    if above.uid() != 0 || above.mode() & 0o002 != 0 {
        return Err(NoPlan::Refused(format!(
            "{folder} is missing, and not root alone decides what is in the folder above it: make it by hand"
        )));
    }
    if draft.case.server.mac.get().is_some_and(|m| m.selinux.as_deref() == Some("enforcing")) {
        return Err(NoPlan::Refused(format!(
            "{folder} is missing, and SELinux wants its label: make it, then restorecon {folder}"
        )));
    }
    // Debian lets its group of log readers in, and what is rotated stays readable to it.
    let readers = sys::stat("/etc/debian_version").ok().filter(|_| folder.starts_with("/var/log/"));
    let readers = readers.and_then(|_| nix::unistd::Group::from_name("adm").ok().flatten());
    let (gid, mode) = readers.map_or((gid, MODE), |adm| (adm.gid.as_raw(), 0o2000 | MODE));
    let kept = format!("{folder}.nopong-{}", sys::unix_time());
    draft.plan.advice.push(format!(
        "find out what took {folder} away: where /var/log is emptied at boot, LogsDirectory= in a drop-in of the unit makes it at each start"
    ));
    draft.first.push(Action::MakeFolder(MakeFolder { path: folder, uid, gid, mode, kept }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{is_in_the_way, somebody_elses};
    use crate::evidence::server::NeededPath;

    fn log(path: &str, in_the_way: &str) -> NeededPath {
        NeededPath {
            path: path.to_owned(),
            purpose: "logfile".to_owned(),
            obstacle_path: Some(in_the_way.to_owned()),
            ..NeededPath::default()
        }
    }

    #[test]
    fn only_the_folder_of_the_log() {
        assert!(is_in_the_way(&log("/var/log/redis/redis.log", "/var/log/redis")));
        assert!(!is_in_the_way(&log("/var/log/redis/redis.log", "/var/log")));
        assert!(!is_in_the_way(&log("/var/log/redis/redis.log", "/var/log/redis/redis.log")));
    }

    #[test]
    fn a_folder_with_others_files_is_not_the_servers_alone() {
        // Root's, and full of what is not Redis's.
        let says = somebody_elses(&log("/etc/redis.log", "/etc"), "/etc", 65000).unwrap();
        assert!(says.is_some_and(|s| s.ends_with("is in it")));
    }
}
