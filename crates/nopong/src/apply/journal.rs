//! The receipt on disk: one JSON document a line, appended and synced before each step.
//!
//! Mode 0600 in a directory of mode 0700 under /var/lib/nopong (root) or `$XDG_STATE_HOME/nopong`. A torn last line
//! is what a kill leaves; it is ignored, because nothing was done before its line was whole and synced.
#![expect(clippy::disallowed_methods, reason = "the receipt is written here")]

use super::{Action, Fault, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Version of the receipt format.
const VERSION: u32 = 1;
/// A receipt has a few lines of some hundred bytes each, and parts of a configuration file.
const ROOM: i64 = 64 << 10;
/// No receipt of ours comes near this.
const SIZE_MAX: usize = 4 << 20;

/// One line of the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Head(Head),
    Intent { number: usize, action: Action, before: State },
    Done { number: usize, after: State },
    Undone { number: usize },
    Closed { how: String },
}

/// What the receipt is about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Head {
    /// Format version.
    pub version: u32,
    /// Version of nopong.
    pub nopong: String,
    /// The target, without secrets.
    pub target: String,
    /// The cause that was fixed.
    pub cause: String,
    /// Unix time.
    #[serde(rename = "at")]
    pub time: u64,
    /// The network namespace where it was made, by path; none for the machine's own.
    #[serde(default, rename = "netns", skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A step that was begun.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number in the plan.
    pub number: usize,
    /// The change.
    pub action: Action,
    /// State before.
    pub before: State,
    /// State after, when it was finished.
    pub after: Option<State>,
    /// It was put back.
    pub undone: bool,
}

/// A receipt as read.
#[derive(Debug, Clone, Default)]
pub struct Receipt {
    /// What it is about.
    pub head: Head,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// `verified`, `rolled-back`, `undone`; none while open.
    pub closed: Option<String>,
}

impl Receipt {
    fn take(&mut self, line: Line) {
        match line {
            Line::Head(head) => self.head = head,
            Line::Intent { number, action, before } => {
                self.steps.push(Step { number, action, before, after: None, undone: false });
            }
            Line::Done { number, after } => self.edit(number, |s| s.after = Some(after)),
            Line::Undone { number } => self.edit(number, |s| s.undone = true),
            Line::Closed { how } => self.closed = Some(how),
        }
    }

    fn edit(&mut self, number: usize, edit: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.iter_mut().find(|s| s.number == number) {
            edit(step);
        }
    }

    /// Steps to put back, newest first.
    pub fn open_steps(&self) -> Vec<Step> {
        self.steps.iter().rev().filter(|s| !s.undone).cloned().collect()
    }

    /// There is something to undo.
    pub fn can_undo(&self) -> bool {
        !matches!(self.closed.as_deref(), Some("undone" | "rolled-back"))
            && self.steps.iter().any(|s| !s.undone)
    }
}

/// Where receipts are.
#[derive(Debug, Clone)]
pub struct Place(PathBuf);

impl Place {
    /// /var/lib/nopong for root, else the user's state directory (XDG Base Directory Specification).
    pub fn default_for_user() -> Self {
        if nix::unistd::geteuid().is_root() {
            return Self(PathBuf::from("/var/lib/nopong/receipts"));
        }
        let state = sys::env("XDG_STATE_HOME").filter(|d| d.starts_with('/')).map(PathBuf::from);
        let home = || sys::env("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".local/state");
        Self(state.unwrap_or_else(home).join("nopong/receipts"))
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

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.jsonl"))
    }

    fn make(&self) -> Result<(), Fault> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|e| self.fault("create", &e))
    }

    fn fault(&self, verb: &str, error: &std::io::Error) -> Fault {
        Fault::new(format!("cannot {verb} {}: {}", self.0.display(), sys::errno_name(error)))
    }

    /// One fix or undo at a time. The lock dies with the process.
    pub fn lock(&self) -> Result<nix::fcntl::Flock<File>, Fault> {
        self.make()?;
        let path = self.0.join(".lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| self.fault("lock", &e))?;
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
            .map_err(|_| Fault::new("another nopong fix or undo is at work; wait for it and try again"))
    }
}

/// An open receipt.
#[derive(Debug)]
pub struct Journal {
    id: String,
    path: PathBuf,
    file: File,
    receipt: Receipt,
}

impl Journal {
    /// Starts a new receipt.
    pub fn create(place: &Place, target: &str, cause: &str, at: Option<String>) -> Result<Self, Fault> {
        place.make()?;
        let time = sys::unix_time();
        let id = format!("{time}-{}", nix::unistd::getpid());
        let path = place.file(&id);
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| place.fault("write a receipt in", &e))?;
        // Room for what comes later: a disk that fills up in the middle must not keep the undo from being noted.
        // A file system that cannot promise any (EOPNOTSUPP) is found out line by line.
        let room = nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, ROOM);
        if let Err(e @ (nix::errno::Errno::ENOSPC | nix::errno::Errno::EDQUOT)) = room {
            drop(std::fs::remove_file(&path));
            return Err(place.fault("write a receipt in", &e.into()));
        }
        let mut journal = Self { id, path, file, receipt: Receipt::default() };
        let head = Head {
            version: VERSION,
            nopong: env!("CARGO_PKG_VERSION").to_owned(),
            target: target.to_owned(),
            cause: cause.to_owned(),
            time,
            at,
        };
        journal.append(Line::Head(head))?;
        // The name itself must survive a power cut too.
        File::open(place.path()).and_then(|d| d.sync_all()).map_err(|e| place.fault("sync", &e))?;
        Ok(journal)
    }

    /// Opens a receipt to undo it: the one named, else the newest that has something to undo.
    pub fn open(place: &Place, id: Option<&str>) -> Result<Self, Fault> {
        let candidates = match id {
            Some(id) if id.contains(['/', '\0']) => return Err(Fault::new("a receipt's name has no slash")),
            Some(id) => vec![id.to_owned()],
            None => place.ids().into_iter().rev().collect(),
        };
        for candidate in candidates {
            let path = place.file(&candidate);
            let Ok(receipt) = read(&path) else {
                if id.is_some() {
                    return Err(Fault::new(format!("no readable receipt {}", path.display())));
                }
                continue;
            };
            if id.is_none() && !receipt.can_undo() {
                continue;
            }
            let file =
                OpenOptions::new().append(true).open(&path).map_err(|e| place.fault("write in", &e))?;
            return Ok(Self { id: candidate, path, file, receipt });
        }
        Err(Fault::new(format!("no receipt in {} has anything to undo", place.path().display())))
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Writes down a step before it is made.
    pub fn intend(&mut self, number: usize, action: &Action, before: &State) -> Result<(), Fault> {
        self.append(Line::Intent { number, action: action.clone(), before: before.clone() })
    }

    /// Writes down that it was made.
    pub fn done(&mut self, number: usize, after: &State) -> Result<(), Fault> {
        self.append(Line::Done { number, after: after.clone() })
    }

    /// Writes down that it was put back.
    pub fn undone(&mut self, number: usize) -> Result<(), Fault> {
        self.append(Line::Undone { number })
    }

    /// Closes it: `verified`, `rolled-back`, `undone`.
    pub fn close(&mut self, how: &str) -> Result<(), Fault> {
        self.append(Line::Closed { how: how.to_owned() })
    }

    fn append(&mut self, line: Line) -> Result<(), Fault> {
        let fault =
            |what: &str| Fault::new(format!("cannot write the receipt {}: {what}", self.path.display()));
        let mut text = serde_json::to_vec(&line).map_err(|e| fault(&e.to_string()))?;
        text.push(b'\n');
        // A torn line of an earlier kill must not swallow this one.
        if sys::read_tail(&self.path, 1).is_ok_and(|b| !b.is_empty() && b != b"\n") {
            text.insert(0, b'\n');
        }
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| fault(&sys::errno_name(&e)))?;
        self.receipt.take(line);
        Ok(())
    }
}

fn read(path: &Path) -> std::io::Result<Receipt> {
    let text = sys::read_text(path, SIZE_MAX)?;
    let mut receipt = Receipt::default();
    for line in text.lines() {
        if let Ok(line) = serde_json::from_str(line) {
            receipt.take(line);
        }
    }
    if receipt.head.version == 0 || receipt.head.version > VERSION {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    Ok(receipt)
}
