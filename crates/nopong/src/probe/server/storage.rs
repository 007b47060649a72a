//! What the server's user can do with the paths the configuration names: directory, logs, data, keys; and whether there
//! is room.
//!
//! Root's own view is walked with the server's user id and groups; nothing is opened for writing.

use super::access::{Answer, User, Want, obstacle};
use super::machine::user_of;
use super::sandbox::{Reach, Sandbox};
use super::tls_files;
use crate::evidence::Why;
use crate::evidence::server::{Config, NeededPath, Process, Storage, Unit, Units};
use crate::sys;
use crate::text;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One path and what is wanted of it.
struct Needed {
    purpose: &'static str,
    path: PathBuf,
    want: Want,
    /// The server makes it when it is not there.
    made: bool,
    /// The server starts without it.
    optional: bool,
}

/// Looks at the paths of the target's instance.
pub(super) fn look(configs: &[Config], units: Option<&Units>, processes: &[Process]) -> Result<Storage, Why> {
    let Some(config) = configs.first() else {
        return Err(Why::Missing { what: "a configuration that names paths".to_owned() });
    };
    if config.settings.is_empty() {
        return Err(match &config.unreadable {
            Some(file) => Why::NotPermitted { needs: format!("root (to read {})", file.path) },
            None => Why::Missing { what: "a configuration that names paths".to_owned() },
        });
    }
    let process = config.pid.and_then(|pid| processes.iter().find(|p| p.pid == pid));
    let unit = config.unit.as_ref().and_then(|name| units?.units.iter().find(|u| &u.name == name));
    let user = user_of(process, unit);
    let name = process
        .and_then(|p| p.user.clone())
        .or_else(|| unit.map(|u| u.user.clone().unwrap_or_else(|| "root".to_owned())))
        .unwrap_or_else(|| "of the server".to_owned());
    let sandbox = unit.map(Sandbox::of).unwrap_or_default();
    let paths =
        needed(config).into_iter().map(|n| examine(n, user.as_ref(), &name, unit, &sandbox)).collect();
    Ok(Storage { paths, tls: tls_files::look(config) })
}

/// A path of the configuration, relative ones within the server's directory (it changes there before using them).
fn resolved(config: &Config, path: &str) -> PathBuf {
    Path::new(config.value("dir").unwrap_or("/")).join(path)
}

fn needed(config: &Config) -> Vec<Needed> {
    let mut found = Vec::new();
    let value = |name: &str| config.value(name).filter(|v| !v.is_empty());
    let mut add = |purpose, path: PathBuf, want, made, optional| {
        found.push(Needed { purpose, path, want, made, optional });
    };
    if let Some(file) = &config.file {
        add("config", PathBuf::from(file), Want::Read, false, false);
    }
    if let Some(dir) = value("dir") {
        add("dir", PathBuf::from(dir), Want::Enter, false, false);
    }
    if let Some(log) = value("logfile") {
        add("logfile", resolved(config, log), Want::Write, true, false);
    }
    if let Some(rdb) = value("dbfilename") {
        add("rdb", resolved(config, rdb), Want::Read, true, true);
    }
    if value("appendonly") == Some("yes") {
        // Since 7.0 a directory of files; before, one file.
        match value("appenddirname") {
            Some(dir) => add("aof", resolved(config, dir), Want::Enter, true, false),
            None => {
                let file = resolved(config, value("appendfilename").unwrap_or("appendonly.aof"));
                add("aof", file, Want::Write, true, false);
            }
        }
    }
    if let Some(pid) = value("pidfile") {
        add("pidfile", PathBuf::from(pid), Want::Write, true, true);
    }
    if let Some(socket) = value("unixsocket") {
        add("unixsocket", resolved(config, socket), Want::Write, true, false);
    }
    if let Some(acl) = value("aclfile") {
        add("aclfile", resolved(config, acl), Want::Read, false, false);
    }
    if value("tls-port").is_some_and(|p| p != "0") || value("tls-replication") == Some("yes") {
        for purpose in ["tls-cert-file", "tls-key-file", "tls-ca-cert-file", "tls-dh-params-file"] {
            if let Some(path) = value(purpose) {
                add(purpose, resolved(config, path), Want::Read, false, false);
            }
        }
        if let Some(dir) = value("tls-ca-cert-dir") {
            add("tls-ca-cert-dir", resolved(config, dir), Want::Search, false, false);
        }
    }
    found
}

fn examine(
    needed: Needed,
    user: Option<&User>,
    name: &str,
    unit: Option<&Unit>,
    sandbox: &Sandbox,
) -> NeededPath {
    let Needed { purpose, path, want, made, optional } = needed;
    let found = sys::stat(&path);
    let exists = found.is_ok();
    // What is to be made, is made in its directory.
    let (asked, wanted) = match path.parent() {
        Some(dir) if made && !exists => (dir.to_path_buf(), Want::Enter),
        // The socket is bound anew: an old one is removed first.
        Some(dir) if purpose == "unixsocket" => (dir.to_path_buf(), Want::Enter),
        _ => (path.clone(), want),
    };
    let writes = matches!(wanted, Want::Write | Want::Enter);
    // Made by systemd at the start, gone with the stop.
    let given = unit.is_some() && sandbox.made(&asked) && sys::stat(&asked).is_err();
    let answer = match user {
        _ if given => Answer::Unknown,
        Some(user) => user.can(&asked, wanted),
        None => missing(&asked),
    };
    let mut usable = match &answer {
        Answer::Yes => Some(true),
        Answer::No { .. } => Some(false),
        Answer::Unknown => None,
    };
    let mut reason = obstacle(name, &asked, &answer, wanted);
    let mut in_the_way = match &answer {
        Answer::No { at, .. } => Some(shown(at)),
        _ => None,
    };
    let room = room(&asked);
    if let Some(says) = &mut reason {
        // Behind it stands the unit itself.
        match sandbox.reach(&asked) {
            (Reach::ReadOnly, by) if writes => {
                in_the_way = None;
                says.push_str(&format!(", and the unit makes it read-only: {by}"));
            }
            (Reach::Hidden, by) => {
                in_the_way = None;
                says.push_str(&format!(", and the unit hides it: {by}"));
            }
            _ => {}
        }
    }
    if usable != Some(false) && !given {
        match sandbox.reach(&asked) {
            (Reach::ReadOnly, by) if writes => {
                usable = Some(false);
                reason = Some(format!("the unit makes {} read-only: {by}", shown(&asked)));
            }
            (Reach::Hidden, by) => {
                usable = Some(false);
                reason = Some(format!("the unit hides {}: {by}", shown(&asked)));
            }
            _ => {}
        }
    }
    if writes && usable != Some(false) && room.is_some_and(|(_, _, read_only)| read_only) {
        usable = Some(false);
        reason = Some(format!("{} is on a file system that is mounted read-only", shown(&asked)));
    }
    if optional && usable == Some(false) {
        // Worth telling, and no reason for not starting.
        usable = None;
    }
    let meta = found.ok();
    NeededPath {
        path: shown(&path),
        purpose: purpose.to_owned(),
        exists,
        mode: meta.as_ref().map(|m| m.mode() & 0o7777),
        uid: meta.as_ref().map(MetadataExt::uid),
        gid: meta.as_ref().map(MetadataExt::gid),
        owner: meta.as_ref().and_then(|m| super::processes::Users::default().name(m.uid())),
        label: sys::xattr(&path, "security.selinux")
            .map(|l| text::shown(l.strip_suffix(b"\0").unwrap_or(&l), 200)),
        usable,
        obstacle: reason.filter(|_| !optional || exists),
        obstacle_path: in_the_way.filter(|_| usable == Some(false)),
        free_bytes: room.map(|(bytes, ..)| bytes),
        free_inodes: room.and_then(|(_, inodes, _)| inodes),
        read_only: room.map(|(.., read_only)| read_only),
    }
}

/// Without knowing the user, only what nobody could use is told.
fn missing(path: &Path) -> Answer {
    match sys::stat(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Answer::No { errno: nix::libc::ENOENT, at: path.to_path_buf() }
        }
        _ => Answer::Unknown,
    }
}

/// Room where the path is, or will be.
fn room(path: &Path) -> Option<(u64, Option<u64>, bool)> {
    path.ancestors().find_map(sys::room)
}

fn shown(path: &Path) -> String {
    text::shown_str(&path.to_string_lossy(), 300)
}

#[cfg(test)]
mod tests {
    use super::look;
    use crate::evidence::server::{Config, Setting, Unit, Units};

    fn config(settings: &[(&str, &str)]) -> Config {
        let setting = |v: &str| Setting { value: v.to_owned(), ..Setting::default() };
        Config {
            unit: Some("redis.service".to_owned()),
            settings: settings.iter().map(|(k, v)| ((*k).to_owned(), setting(v))).collect(),
            ..Config::default()
        }
    }

    fn unit(user: &str, sandbox: &[(&str, &str)]) -> Units {
        let sandbox = sandbox.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let unit = Unit {
            name: "redis.service".to_owned(),
            user: Some(user.to_owned()),
            sandbox,
            ..Unit::default()
        };
        Units { units: vec![unit], booted_at: None }
    }

    #[test]
    fn what_a_stranger_may_not_write() {
        let configs =
            [config(&[("dir", "/etc"), ("logfile", "/no/such/redis.log"), ("dbfilename", "x.rdb")])];
        let storage = look(&configs, Some(&unit("65000", &[])), &[]).expect("looked");
        let path = |purpose: &str| storage.paths.iter().find(|p| p.purpose == purpose).expect("there");
        assert_eq!(path("dir").usable, Some(false));
        assert!(path("dir").obstacle.as_deref().is_some_and(|o| o.contains("65000 may not write to /etc")));
        assert_eq!(path("logfile").usable, Some(false));
        assert!(path("logfile").obstacle.as_deref().is_some_and(|o| o.contains("/no does not exist")));
        assert!(path("dir").free_bytes.is_some());
        assert_eq!(path("dir").obstacle_path.as_deref(), Some("/etc"));
        assert_eq!(path("logfile").obstacle_path.as_deref(), Some("/no"));
    }

    #[test]
    fn behind_a_missing_folder_stands_the_unit() {
        let configs = [config(&[("logfile", "/no/redis.log")])];
        let storage =
            look(&configs, Some(&unit("65000", &[("ProtectSystem", "strict")])), &[]).expect("looked");
        let log = &storage.paths[0];
        assert_eq!((log.usable, &log.obstacle_path), (Some(false), &None));
        assert!(log.obstacle.as_deref().is_some_and(|o| o.contains("does not exist, and the unit makes it")));
    }

    #[test]
    fn what_the_unit_forbids_even_to_root() {
        let configs = [config(&[("dir", "/var/tmp"), ("pidfile", "/run/nopong-none/x.pid")])];
        let sandbox = [("ReadOnlyPaths", "/"), ("RuntimeDirectory", "nopong-none")];
        let storage = look(&configs, Some(&unit("root", &sandbox)), &[]).expect("looked");
        assert_eq!(storage.paths[0].usable, Some(false));
        assert!(storage.paths[0].obstacle.as_deref().is_some_and(|o| o.contains("ReadOnlyPaths")));
        assert_eq!(storage.paths[1].obstacle, None);
        let allowed = [("ReadOnlyPaths", "/"), ("ReadWritePaths", "-/var/tmp")];
        let storage = look(&configs, Some(&unit("root", &allowed)), &[]).expect("looked");
        assert_eq!(storage.paths[0].usable, Some(true));
    }
}
