//! The folder of the receipts: whose it is, what is in it, and who is at work.
//!
//! Mode 0700 under /var/lib/nopong (root) or `$XDG_STATE_HOME/nopong`. What others could have written there is not
//! trusted: an undo writes what a receipt says, with our rights.
#![expect(clippy::disallowed_methods, reason = "makes the folder and its lock")]

use super::Fault;
use crate::sys;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where root's receipts are.
const ROOTS: &str = "/var/lib/nopong/receipts";

/// Where receipts are.
#[derive(Debug, Clone)]
pub struct Place(PathBuf);

impl Place {
    /// /var/lib/nopong for root, else the user's state directory (XDG Base Directory Specification).
    pub fn default_for_user() -> Self {
        if nix::unistd::geteuid().is_root() {
            return Self(PathBuf::from(ROOTS));
        }
        let state = sys::env("XDG_STATE_HOME").filter(|d| d.starts_with('/')).map(PathBuf::from);
        let home = || sys::env("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".local/state");
        Self(state.unwrap_or_else(home).join("nopong/receipts"))
    }

    /// We are not root, and root has changed something here once.
    pub(super) fn is_for_root() -> bool {
        let there = || sys::lstat(ROOTS).err().is_none_or(|e| e.kind() != std::io::ErrorKind::NotFound);
        !nix::unistd::geteuid().is_root() && there()
    }

    /// A place of one's own, for tests.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Ids of all receipts, oldest first.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = sys::list(&self.0, 10_000)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|n| n.into_string().ok()?.strip_suffix(".jsonl").map(str::to_owned))
            .collect();
        ids.sort();
        ids
    }

    pub(super) fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.jsonl"))
    }

    pub(super) fn make(&self) -> Result<(), Fault> {
        let missing: Vec<&Path> = self.0.ancestors().take_while(|p| sys::lstat(p).is_err()).collect();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|e| self.fault("create", &e))?;
        // The names of new folders must survive a power cut too, or the receipt in them does not.
        for folder in missing.iter().filter_map(|p| p.parent()).filter(|p| !p.as_os_str().is_empty()) {
            File::open(folder).and_then(|f| f.sync_all()).map_err(|e| self.fault("sync", &e))?;
        }
        self.trusted()
    }

    /// Who may write here decides what an undo writes, with our rights.
    pub(super) fn trusted(&self) -> Result<(), Fault> {
        let meta = std::fs::metadata(&self.0).map_err(|e| self.fault("read", &e))?;
        let own = nix::unistd::geteuid().as_raw();
        if meta.uid() == own && meta.mode() & 0o022 == 0 {
            return Ok(());
        }
        let path = self.0.display();
        Err(Fault::conflict(format!(
            "{path} belongs to user {} with mode {:04o}: others could have written its receipts; \
             look at them, then chown {own} and chmod 0700 it",
            meta.uid(),
            meta.mode() & 0o7777
        )))
    }

    /// A number after that of every receipt that is there: their order is that in which they were made, also when the
    /// clock was put back.
    pub(super) fn next_id(&self, time: u64) -> String {
        let newest = self.ids().iter().filter_map(|id| id.split('-').next()?.parse::<u64>().ok()).max();
        // A name of somebody's own far in the future does not count.
        let newest = newest.filter(|n| *n < u64::MAX / 2);
        let number = newest.map_or(time, |n| time.max(n + 1));
        format!("{number}-{}", nix::unistd::getpid())
    }

    pub(super) fn fault(&self, verb: &str, error: &std::io::Error) -> Fault {
        Fault::new(format!("cannot {verb} {}: {}", self.0.display(), sys::errno_name(error)))
    }

    /// One fix or undo at a time. The lock dies with the process; who has it stands in the file.
    pub fn lock(&self) -> Result<nix::fcntl::Flock<File>, Fault> {
        self.make()?;
        let path = self.0.join(".lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|e| self.fault("lock", &e))?;
        let mut lock = match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                let who = sys::read_text(&path, 64).unwrap_or_default();
                let pid = who.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"));
                return Err(Fault::new(format!(
                    "another nopong fix or undo is at work{pid}; wait for it and try again"
                )));
            }
            Err((_, e)) => return Err(self.fault("lock", &e.into())),
        };
        // For the message above only: a full disk must not keep anybody from an undo.
        drop(lock.set_len(0).and_then(|()| lock.write_all(nix::unistd::getpid().to_string().as_bytes())));
        Ok(lock)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Place;
    use std::os::unix::fs::DirBuilderExt as _;

    /// A place of its own, removed at the end.
    pub(in crate::apply) struct Dir(pub(in crate::apply) std::path::PathBuf);

    impl Dir {
        pub(in crate::apply) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("nopong-journal-{name}-{}", nix::unistd::getpid()));
            std::fs::DirBuilder::new().mode(0o700).create(&path).expect("a directory");
            Self(path)
        }
        pub(in crate::apply) fn place(&self) -> Place {
            Place::at(&self.0)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn the_newest_is_the_last_made_whatever_the_clock_says() {
        let dir = Dir::new("clock");
        let place = dir.place();
        let first = place.next_id(2_000_000_000);
        std::fs::write(place.file(&first), "").expect("written");
        assert_eq!(place.next_id(1_000), format!("2000000001-{}", nix::unistd::getpid()));
        assert!(place.next_id(2_000_000_000) > first);
    }

    #[test]
    fn the_lock_says_who_has_it() {
        let dir = Dir::new("lock");
        let lock = dir.place().lock().expect("free");
        let says = dir.place().lock().expect_err("taken").says;
        assert!(says.contains(&format!("process {}", nix::unistd::getpid())), "{says}");
        drop(lock);
        dir.place().lock().expect("free again");
    }
}
