//! Cuts the damaged end off an append only file with the server's own tool, on a file of which a copy was made first.
//!
//! Undoing puts the copy back, as long as nobody has written to the file since: what was written then would be lost.
#![expect(clippy::disallowed_methods, reason = "a writer")]

use super::data_file::{copy_as, digest, fault, sync_folder};
use super::{Change, Fault, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::time::Duration;

/// The tool reads the whole file; a gigabyte takes a few seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// A repair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepairAof {
    /// `redis-check-aof`, or Valkey's.
    pub tool: String,
    /// What the tool is given: the manifest (since Redis 7.0), or the file itself.
    pub file: String,
    /// The file that is cut.
    pub damaged: String,
    /// Its copy.
    pub copy: String,
    /// Bytes that are cut off.
    pub lost: u64,
}

impl RepairAof {
    fn keep(&self) -> std::io::Result<()> {
        let from = File::open(&self.damaged)?;
        let owner = from.metadata()?;
        copy_as(from, &self.damaged, &owner, &self.copy)?;
        sync_folder(&self.copy)
    }
}

impl Change for RepairAof {
    fn says(&self) -> String {
        format!(
            "keep a copy of {} as {}, and cut its damaged end off: {} bytes",
            self.damaged, self.copy, self.lost
        )
    }

    fn command(&self) -> Option<String> {
        let name = self.tool.rsplit('/').next().unwrap_or_default();
        Some(format!("cp -a {} {} && {name} --fix {}", self.damaged, self.copy, self.file))
    }

    fn observe(&self) -> Result<State, Fault> {
        let sha256 = digest(&self.damaged).map_err(|e| fault(&self.damaged, &e))?;
        Ok(serde_json::json!({ "sha256": sha256, "copy": sys::lstat(&self.copy).is_ok() }))
    }

    fn apply(&mut self, _before: &State) -> Result<(), Fault> {
        self.keep().map_err(|e| fault(&self.copy, &e))?;
        super::point();
        let argv = [self.tool.as_str(), "--fix", &self.file];
        let output = sys::run_answered(&argv, b"y\n", LIMIT, 64 << 10)
            .map_err(|why| Fault::new(format!("{}: {why}", self.tool)))?;
        match output.code {
            Some(0) => Ok(()),
            _ => Err(Fault::new(format!("{}: {}", self.tool, crate::text::shown(&output.stdout, 300)))),
        }
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["copy"] == true
    }

    fn only_as_left(&self) -> bool {
        true
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        let whole = digest(&self.copy).is_ok_and(|d| before["sha256"] == d.as_str());
        let done = match whole {
            true => std::fs::rename(&self.copy, &self.damaged),
            // Killed while the copy was made: the file itself is untouched.
            false => std::fs::remove_file(&self.copy),
        };
        done.and_then(|()| sync_folder(&self.copy)).map_err(|e| fault(&self.copy, &e))
    }
}
