//! A folder that is missing, made for one owner.
//!
//! Undoing takes it away when it is empty. What its owner wrote meanwhile is not deleted: the folder then goes to a name
//! beside it. Whatever anybody else put there keeps it where it is.
#![expect(clippy::disallowed_methods, reason = "a writer")]

use super::data_file::{fault, sync_folder};
use super::{Change, Fault, State};
use crate::sys;
use crate::text::shell;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};

/// Names looked at in it; a log and what it was rotated to are a few.
const NAMES_MAX: usize = 1000;

/// A new folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MakeFolder {
    /// The folder. The one above it is there.
    pub path: String,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its mode bits.
    pub mode: u32,
    /// Where an undo puts it when its owner has written into it; nothing has that name yet.
    pub kept: String,
}

impl MakeFolder {
    fn make(&self) -> io::Result<()> {
        // Closed until its owner is right.
        DirBuilder::new().mode(0o700).create(&self.path)?;
        super::point();
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY;
        let made = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        std::os::unix::fs::fchown(&made, Some(self.uid), Some(self.gid))?;
        made.set_permissions(Permissions::from_mode(self.mode))?;
        made.sync_all()?;
        sync_folder(&self.path)
    }

    /// What somebody else than its owner put there.
    fn foreign(&self) -> Result<Option<String>, Fault> {
        let names = sys::list(&self.path, NAMES_MAX).map_err(|e| fault(&self.path, &e))?;
        let path = |name: &std::ffi::OsString| std::path::Path::new(&self.path).join(name);
        // What is gone again was nobody's.
        let foreign = |n: &&std::ffi::OsString| sys::lstat(path(n)).is_ok_and(|m| m.uid() != self.uid);
        Ok(names.iter().find(foreign).map(|n| crate::text::shown_str(&n.to_string_lossy(), 100)))
    }

    fn take_away(&self) -> Result<(), Fault> {
        if let Some(name) = self.foreign()? {
            return Err(Fault::conflict(format!(
                "{}: {name} in it belongs to somebody else; the folder is left as it is",
                self.path
            )));
        }
        let done = match std::fs::remove_dir(&self.path) {
            Err(e) if e.raw_os_error() == Some(nix::libc::ENOTEMPTY) => self.put_aside(),
            done => done,
        };
        done.and_then(|()| sync_folder(&self.path)).map_err(|e| fault(&self.path, &e))
    }

    fn put_aside(&self) -> io::Result<()> {
        if sys::lstat(&self.kept).is_ok() {
            return Err(io::Error::from_raw_os_error(nix::libc::EEXIST));
        }
        std::fs::rename(&self.path, &self.kept)
    }
}

impl Change for MakeFolder {
    fn says(&self) -> String {
        format!(
            "make the folder {}, owner {}, group {}, mode {:04o}; an undo keeps what is written there as {}",
            self.path, self.uid, self.gid, self.mode, self.kept
        )
    }

    fn command(&self) -> Option<String> {
        Some(format!("install -d -o {} -g {} -m {:04o} {}", self.uid, self.gid, self.mode, shell(&self.path)))
    }

    fn observe(&self) -> Result<State, Fault> {
        match sys::lstat(&self.path) {
            Ok(m) => Ok(serde_json::json!({
                "folder": m.is_dir(), "uid": m.uid(), "gid": m.gid(), "mode": m.mode() & 0o7777
            })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(serde_json::json!({ "folder": null })),
            Err(e) => Err(fault(&self.path, &e)),
        }
    }

    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if !before["folder"].is_null() {
            return Err(Fault::new(format!("{} is there meanwhile", self.path)));
        }
        self.make().map_err(|e| fault(&self.path, &e))
    }

    fn is_ours(&self, now: &State, before: &State) -> bool {
        // Killed in the middle, owner or mode are still those it was made with.
        let ours = [self.uid, nix::unistd::geteuid().as_raw()].iter().any(|uid| now["uid"] == *uid);
        before["folder"].is_null() && now["folder"] == true && ours
    }

    fn restore(&self, _before: &State) -> Result<(), Fault> {
        self.take_away()
    }
}

#[cfg(test)]
mod tests {
    use super::MakeFolder;
    use crate::apply::Change as _;
    use crate::apply::place::tests::Dir;

    fn folder(dir: &Dir) -> MakeFolder {
        let path = |name: &str| dir.0.join(name).display().to_string();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        MakeFolder { path: path("log"), uid, gid, mode: 0o750, kept: path("log.nopong-1") }
    }

    #[test]
    fn an_empty_one_goes_and_a_log_is_kept_beside() {
        let dir = Dir::new("make-folder");
        let mut change = folder(&dir);
        let before = change.observe().unwrap();
        change.apply(&before).unwrap();
        let now = change.observe().unwrap();
        assert!(change.is_ours(&now, &before) && !change.is_back(&now, &before));
        change.restore(&before).unwrap();
        assert!(change.is_back(&change.observe().unwrap(), &before));

        change.apply(&before).unwrap();
        std::fs::write(dir.0.join("log/redis.log"), "ready").unwrap();
        change.restore(&before).unwrap();
        assert!(change.is_back(&change.observe().unwrap(), &before));
        assert_eq!(std::fs::read_to_string(dir.0.join("log.nopong-1/redis.log")).unwrap(), "ready");

        // That name is taken now: nothing is overwritten.
        change.apply(&before).unwrap();
        std::fs::write(dir.0.join("log/redis.log"), "again").unwrap();
        assert!(change.restore(&before).unwrap_err().says.contains("EEXIST"));
        assert_eq!(std::fs::read_to_string(dir.0.join("log/redis.log")).unwrap(), "again");
    }

    #[test]
    fn what_was_there_first_is_not_ours() {
        let dir = Dir::new("make-folder-there");
        let mut change = folder(&dir);
        std::fs::create_dir(dir.0.join("log")).unwrap();
        let before = change.observe().unwrap();
        assert!(change.apply(&before).unwrap_err().says.contains("is there meanwhile"));
        assert!(!change.is_ours(&before, &before));
    }
}
