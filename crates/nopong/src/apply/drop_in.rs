//! A drop-in file of a systemd unit under /etc/systemd/system, read by systemd at once. Needs root.
#![expect(clippy::disallowed_methods, reason = "a writer")]

use super::{Change, Fault, State, unit_state};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the administrator's drop-ins are (systemd.unit(5)).
const ADMIN: &str = "/etc/systemd/system";
/// systemd reads all units anew.
const RELOAD: Duration = Duration::from_secs(30);
/// Of a drop-in that is not ours; ours has a few lines.
const SIZE_MAX: usize = 64 << 10;

/// A drop-in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DropIn {
    /// Canonical unit name.
    pub unit: String,
    /// `start-timeout`: the file is `zz-nopong-start-timeout.conf`, which comes after what others put there.
    pub name: String,
    /// What is in it.
    pub text: String,
}

impl DropIn {
    fn folder(&self) -> PathBuf {
        Path::new(ADMIN).join(format!("{}.d", self.unit))
    }

    fn path(&self) -> PathBuf {
        self.folder().join(format!("zz-nopong-{}.conf", self.name))
    }

    fn beside(&self) -> PathBuf {
        self.folder().join(format!(".nopong-{}", self.name))
    }

    fn fault(path: &Path, e: &std::io::Error) -> Fault {
        Fault::new(format!("{}: {}", path.display(), sys::errno_name(e)))
    }

    fn reload() -> Result<(), Fault> {
        unit_state::systemctl(&["daemon-reload"], RELOAD).map(drop)
    }

    fn write(&self) -> std::io::Result<()> {
        let folder = self.folder();
        if sys::stat(&folder).is_err() {
            std::fs::create_dir(&folder)?;
        }
        let beside = self.beside();
        drop(std::fs::remove_file(&beside));
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o644).open(&beside)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()?;
        super::point();
        std::fs::rename(&beside, self.path())?;
        File::open(&folder)?.sync_all()
    }
}

impl Change for DropIn {
    fn says(&self) -> String {
        let lines: Vec<&str> = self.text.lines().filter(|l| !l.starts_with('#')).collect();
        format!("write {}: {}; systemd reads it", self.path().display(), lines.join(" "))
    }

    fn command(&self) -> Option<String> {
        let lines: Vec<String> =
            self.text.lines().filter(|l| !l.starts_with('#')).map(crate::text::shell).collect();
        let (folder, path) = (self.folder(), self.path());
        Some(format!(
            "mkdir -p {} && printf '%s\\n' {} > {} && systemctl daemon-reload",
            folder.display(),
            lines.join(" "),
            path.display()
        ))
    }

    fn observe(&self) -> Result<State, Fault> {
        let text = match sys::read_text(self.path(), SIZE_MAX) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Self::fault(&self.path(), &e)),
        };
        // A folder with something else in it stays whatever becomes of ours.
        let ours = [self.path(), self.beside()];
        let others = |n: &std::ffi::OsString| ours.iter().all(|o| o.file_name() != Some(n.as_os_str()));
        let bare = sys::list(self.folder(), 1000).is_ok_and(|all| !all.iter().any(others));
        Ok(serde_json::json!({ "text": text, "bare": bare }))
    }

    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if !before["text"].is_null() {
            return Err(Fault::conflict(format!("{} is there already", self.path().display())));
        }
        self.write().map_err(|e| Self::fault(&self.path(), &e))?;
        super::point();
        Self::reload()
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["text"].is_null() || now["text"] == self.text.as_str()
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        let gone = |path: &Path| match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Self::fault(path, &e)),
            _ => Ok(()),
        };
        gone(&self.beside())?;
        gone(&self.path())?;
        if before["bare"] == false {
            // Fails, as it should, where something else is in it.
            drop(std::fs::remove_dir(self.folder()));
        }
        super::point();
        Self::reload()
    }

    fn tidy(&self) {
        drop(std::fs::remove_file(self.beside()));
        // Killed between the removal and the reload: systemd still knows of it.
        let known = unit_state::systemctl(&["show", "-P", "DropInPaths", "--", &self.unit], RELOAD);
        let path = self.path();
        let stale = known.is_ok_and(|t| t.split_whitespace().any(|p| Path::new(p) == path));
        if stale && sys::lstat(&path).is_err() {
            drop(Self::reload());
        }
    }
}
