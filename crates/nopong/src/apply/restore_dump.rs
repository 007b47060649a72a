//! Puts a whole dump in the place of a damaged one, which is kept under another name.
//!
//! Undoing puts the damaged one back. What the server has saved meanwhile is kept too: nothing is ever deleted but a
//! copy of what is still there.
#![expect(clippy::disallowed_methods, reason = "a writer")]

use super::data_file::{copy_as, digest, fault, sync_folder};
use super::{Change, Fault, State};
use crate::sys;
use crate::text::shell;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

/// An exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoreDump {
    /// The file that the server loads.
    pub damaged: String,
    /// The whole one.
    pub good: String,
    /// The name under which the damaged one is kept; nothing has it yet.
    pub kept: String,
    /// Keys in the whole one, by redis-check-rdb.
    pub keys: u64,
}

impl RestoreDump {
    /// Where the copy is made, before it takes its place.
    fn fresh(&self) -> String {
        format!("{}.new", self.kept)
    }

    /// Where an undo keeps what the server saved since.
    fn later(&self) -> String {
        format!("{}.later", self.kept)
    }

    fn exchange(&self) -> io::Result<()> {
        let fresh = self.fresh();
        // The folder is the server's: a link there leads where its user likes.
        let from = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(&self.good)?;
        copy_as(from, &self.damaged, &sys::lstat(&self.damaged)?, &fresh)?;
        super::point();
        // A second name, then one rename: at no moment is there no dump, with which a server would start empty.
        std::fs::hard_link(&self.damaged, &self.kept)?;
        sync_folder(&self.damaged)?;
        super::point();
        std::fs::rename(&fresh, &self.damaged)?;
        sync_folder(&self.damaged)
    }

    fn put_back(&self, before: &State) -> io::Result<()> {
        let (now, kept) = (sys::lstat(&self.damaged), sys::lstat(&self.kept)?);
        if let Ok(now) = now {
            if (now.dev(), now.ino()) == (kept.dev(), kept.ino()) {
                // Killed between the two names.
                std::fs::remove_file(&self.kept)?;
                return sync_folder(&self.damaged);
            }
            let now = digest(&self.damaged)?;
            if before["sha256"] != now.as_str() && now != digest(&self.good).unwrap_or_default() {
                std::fs::hard_link(&self.damaged, self.later())?;
            }
        }
        std::fs::rename(&self.kept, &self.damaged)?;
        sync_folder(&self.damaged)
    }
}

impl Change for RestoreDump {
    fn says(&self) -> String {
        format!(
            "keep {} as {}, and put {} in its place: {} keys",
            self.damaged, self.kept, self.good, self.keys
        )
    }

    fn command(&self) -> Option<String> {
        let [damaged, good, kept] = [&self.damaged, &self.good, &self.kept].map(|p| shell(p));
        Some(format!("cp -a {damaged} {kept} && cp {good} {damaged}"))
    }

    fn observe(&self) -> Result<State, Fault> {
        let sha256 = digest(&self.damaged).map_err(|e| fault(&self.damaged, &e))?;
        Ok(serde_json::json!({ "sha256": sha256, "kept": sys::lstat(&self.kept).is_ok() }))
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        self.exchange().map_err(|e| fault(&self.damaged, &e))
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["kept"] == true
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        self.put_back(before).map_err(|e| fault(&self.damaged, &e))
    }

    fn tidy(&self) {
        let _ = std::fs::remove_file(self.fresh());
    }
}

#[cfg(test)]
mod tests {
    use super::RestoreDump;
    use crate::apply::Change as _;

    #[test]
    fn the_damaged_one_comes_back_and_what_was_saved_since_is_kept() {
        let folder = std::env::temp_dir().join(format!("nopong-dump-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::write(path("dump.rdb"), "broken").unwrap();
        std::fs::write(path("dump.bak"), "whole").unwrap();
        let mut change = RestoreDump {
            damaged: path("dump.rdb"),
            good: path("dump.bak"),
            kept: path("dump.rdb.nopong-1"),
            keys: 4,
        };
        let before = change.observe().unwrap();
        change.apply(&before).unwrap();
        let read = |name: &str| std::fs::read_to_string(path(name)).ok();
        assert_eq!(read("dump.rdb").as_deref(), Some("whole"));
        assert_eq!(read("dump.rdb.nopong-1").as_deref(), Some("broken"));
        let now = change.observe().unwrap();
        assert!(change.is_ours(&now, &before) && !change.is_back(&now, &before));

        std::fs::write(path("dump.rdb"), "saved since").unwrap();
        change.restore(&before).unwrap();
        assert!(change.is_back(&change.observe().unwrap(), &before));
        assert_eq!(read("dump.rdb").as_deref(), Some("broken"));
        assert_eq!(read("dump.rdb.nopong-1.later").as_deref(), Some("saved since"));
        assert_eq!(read("dump.bak").as_deref(), Some("whole"));

        // Killed between the two names.
        std::fs::hard_link(path("dump.rdb"), path("dump.rdb.nopong-1")).unwrap();
        change.restore(&before).unwrap();
        assert!(change.is_back(&change.observe().unwrap(), &before));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
