//! Owner, group and mode of one path. Never recursive: what is below it belongs to somebody too.
#![expect(clippy::disallowed_methods, reason = "a writer")]

use super::{Change, Fault, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

/// New ownership of a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ownership {
    /// The path; a link is refused.
    pub path: String,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New mode bits.
    pub mode: Option<u32>,
}

impl Ownership {
    fn set(&self, uid: Option<u32>, gid: Option<u32>, mode: Option<u32>) -> Result<(), Fault> {
        let fault = |e: std::io::Error| Fault::new(format!("{}: {}", self.path, sys::errno_name(&e)));
        if sys::lstat(&self.path).map_err(fault)?.is_symlink() {
            return Err(Fault::new(format!("{} is a link; name what it points to", self.path)));
        }
        std::os::unix::fs::chown(&self.path, uid, gid).map_err(fault)?;
        super::point();
        match mode {
            Some(mode) => {
                std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(mode)).map_err(fault)
            }
            None => Ok(()),
        }
    }
}

impl Change for Ownership {
    fn says(&self) -> String {
        let owner = self.uid.map(|u| format!("owner {u}"));
        let group = self.gid.map(|g| format!("group {g}"));
        let mode = self.mode.map(|m| format!("mode {m:04o}"));
        let parts: Vec<_> = [owner, group, mode].into_iter().flatten().collect();
        format!("give {} {}", self.path, parts.join(", "))
    }

    fn command(&self) -> Option<String> {
        let owner = match (self.uid, self.gid) {
            (Some(u), Some(g)) => Some(format!("chown {u}:{g} {}", self.path)),
            (Some(u), None) => Some(format!("chown {u} {}", self.path)),
            (None, Some(g)) => Some(format!("chgrp {g} {}", self.path)),
            (None, None) => None,
        };
        let mode = self.mode.map(|m| format!("chmod {m:04o} {}", self.path));
        Some([owner, mode].into_iter().flatten().collect::<Vec<_>>().join(" && "))
    }

    fn observe(&self) -> Result<State, Fault> {
        let meta = sys::lstat(&self.path)
            .map_err(|e| Fault::new(format!("{}: {}", self.path, sys::errno_name(&e))))?;
        Ok(serde_json::json!({ "uid": meta.uid(), "gid": meta.gid(), "mode": meta.mode() & 0o7777 }))
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        self.set(self.uid, self.gid, self.mode)
    }

    fn is_ours(&self, now: &State, before: &State) -> bool {
        // Killed between owner and mode, one of them is still as before.
        let is =
            |key: &str, wanted: Option<u32>| now[key] == before[key] || wanted.is_some_and(|w| now[key] == w);
        is("uid", self.uid) && is("gid", self.gid) && is("mode", self.mode)
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        let number = |key: &str| before[key].as_u64().map(|n| n as u32);
        self.set(number("uid"), number("gid"), number("mode"))
    }
}
