//! The receipt on disk: one JSON document a line, appended and synced before each step.
//!
//! A file of mode 0600 in the folder of [`Place`]. A torn line is what a kill leaves; it is passed over, because nothing was
//! done before its line was whole and synced. Any other line that is not understood stops the undo.
#![expect(clippy::disallowed_methods, reason = "the receipt is written here")]

use super::{Action, Fault, Place, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
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
    Intent { number: usize, action: Box<Action>, before: State },
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
    /// Takes one more line; an error where it does not follow from those before.
    fn take(&mut self, line: Line) -> Result<(), &'static str> {
        match line {
            Line::Head(head) => self.head = head,
            Line::Intent { number, .. } if number != self.steps.len() => return Err("a step is missing"),
            Line::Intent { number, action, before } => {
                self.steps.push(Step { number, action: *action, before, after: None, undone: false });
            }
            Line::Done { number, after } => self.step(number)?.after = Some(after),
            Line::Undone { number } => self.step(number)?.undone = true,
            Line::Closed { how } => self.closed = Some(how),
        }
        Ok(())
    }

    fn step(&mut self, number: usize) -> Result<&mut Step, &'static str> {
        self.steps.get_mut(number).ok_or("it is about a step that was never begun")
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
        let id = place.next_id(time);
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

    /// Opens a receipt to undo it: the one named, else the newest that has something to undo. One that cannot be read is
    /// never passed over for an older one.
    pub fn open(place: &Place, id: Option<&str>) -> Result<Self, Fault> {
        let candidates = match id {
            Some(id) if id.contains(['/', '\0']) => return Err(Fault::new("a receipt's name has no slash")),
            // As `undo --list` prints it, or as the file is called.
            Some(id) => vec![id.strip_suffix(".jsonl").unwrap_or(id).to_owned()],
            None => place.ids().into_iter().rev().collect(),
        };
        if sys::stat(place.path()).is_ok() {
            place.trusted()?;
        }
        for candidate in candidates {
            let path = place.file(&candidate);
            let receipt = read(&path)?;
            if id.is_none() && !receipt.can_undo() {
                continue;
            }
            let file = OpenOptions::new()
                .append(true)
                .custom_flags(nix::libc::O_NOFOLLOW)
                .open(&path)
                .map_err(|e| place.fault("write in", &e))?;
            return Ok(Self { id: candidate, path, file, receipt });
        }
        let elsewhere =
            if Place::is_for_root() { "; what root changed, root undoes: sudo nopong undo" } else { "" };
        let place = place.path().display();
        Err(Fault::new(format!("no receipt in {place} has anything to undo{elsewhere}")))
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
        self.append(Line::Intent { number, action: Box::new(action.clone()), before: before.clone() })
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
        self.receipt.take(line).map_err(fault)
    }
}

/// Reads a receipt. A torn line is what a kill leaves, and nothing was done for it; any other line that is not understood
/// may be a step that was made, and without it an undo would be half of one.
fn read(path: &Path) -> Result<Receipt, Fault> {
    let shown = path.display();
    let unreadable =
        |e: &std::io::Error| Fault::new(format!("cannot read the receipt {shown}: {}", sys::errno_name(e)));
    let meta = std::fs::symlink_metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Fault::new(format!("there is no receipt {shown}; `nopong undo --list` lists them"))
        }
        _ => unreadable(&e),
    })?;
    if !meta.is_file() || meta.uid() != nix::unistd::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        return Err(Fault::conflict(format!(
            "{shown} is not a file that only its owner, this user, can write: not trusted"
        )));
    }
    let bytes = sys::read(path, SIZE_MAX).map_err(|e| unreadable(&e))?;
    if bytes.len() >= SIZE_MAX {
        return Err(Fault::conflict(format!("the receipt {shown} is larger than any that nopong writes")));
    }
    let mut receipt = Receipt::default();
    let damaged = |number: usize, what: &str| {
        Fault::conflict(format!(
            "the receipt {shown} is damaged in line {number} ({what}); \
             its other lines say what was changed, and what was there before"
        ))
    };
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let number = number + 1;
        match serde_json::from_slice::<Line>(line) {
            Ok(Line::Head(head)) if head.version > VERSION => {
                return Err(Fault::conflict(format!(
                    "the receipt {shown} was written by nopong {} in a newer format ({}): undo it with that version",
                    crate::text::shown_str(&head.nopong, 40),
                    head.version
                )));
            }
            Ok(line) => receipt.take(line).map_err(|what| damaged(number, what))?,
            // Room that a power cut left unwritten reads as zeros.
            Err(e) if e.is_eof() || line.iter().all(|b| *b == 0) => {}
            Err(e) => return Err(damaged(number, &crate::text::shown_str(&e.to_string(), 120))),
        }
    }
    if receipt.head.version == 0 && !receipt.steps.is_empty() {
        return Err(damaged(1, "its first line is missing"));
    }
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    use super::{Journal, Place};
    use crate::apply::place::tests::Dir;
    use crate::apply::{Action, Ufw};
    use std::os::unix::fs::PermissionsExt as _;

    fn step() -> (Action, serde_json::Value) {
        let rule = Ufw { source: "10.0.0.9".into(), port: 6379, to: None };
        (Action::Ufw(rule), serde_json::json!({ "present": false }))
    }

    fn made(place: &Place, steps: usize) -> Journal {
        let mut journal = Journal::create(place, "redis://h", "x", None).expect("a receipt");
        let (action, before) = step();
        for number in 0..steps {
            journal.intend(number, &action, &before).expect("a line");
        }
        journal
    }

    fn opened(place: &Place) -> Result<usize, String> {
        Journal::open(place, None).map(|j| j.receipt().open_steps().len()).map_err(|f| f.says)
    }

    #[test]
    fn a_torn_line_was_never_acted_upon() {
        let dir = Dir::new("torn");
        let path = made(&dir.place(), 2).path().to_owned();
        let whole = std::fs::read(&path).expect("its lines");
        let second = whole.split_inclusive(|b| *b == b'\n').take(2).map(<[u8]>::len).sum::<usize>();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            let steps = opened(&dir.place());
            let wanted = [second - 1, whole.len() - 1].iter().filter(|end| cut >= **end).count();
            assert_eq!(steps.clone().unwrap_or(0), wanted, "cut at {cut}: {steps:?}");
        }
    }

    #[test]
    fn a_step_that_is_not_understood_stops_the_undo() {
        let dir = Dir::new("damage");
        let path = made(&dir.place(), 2).path().to_owned();
        let whole = std::fs::read_to_string(&path).expect("its lines");
        let says = |text: String| {
            std::fs::write(&path, text).expect("written");
            opened(&dir.place()).expect_err("refused")
        };
        assert!(says(whole.replacen("\"ufw\"", "\"from-the-future\"", 1)).contains("damaged in line 2"));
        assert!(
            says(whole.replacen("\"line\":\"intent\"", "\"line\":\"other\"", 1))
                .contains("damaged in line 2")
        );
        assert!(says(whole.replacen("\"version\":1", "\"version\":2", 1)).contains("newer format (2)"));
        assert!(says(whole.replacen("\"number\":1", "\"number\":0", 1)).contains("damaged in line 3"));
        assert!(
            says(whole.lines().skip(1).collect::<Vec<_>>().join("\n")).contains("its first line is missing")
        );
        assert!(says("[".repeat(100_000)).contains("damaged"));
        assert!(says("\u{fffd}{}".to_owned()).contains("damaged"));
    }

    #[test]
    fn what_others_could_have_written_is_not_trusted() {
        let dir = Dir::new("trust");
        let path = made(&dir.place(), 1).path().to_owned();
        let mode = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        };
        mode(&path, 0o622);
        assert!(opened(&dir.place()).expect_err("refused").contains("not trusted"));
        mode(&path, 0o600);
        mode(&dir.0, 0o777);
        assert!(opened(&dir.place()).expect_err("refused").contains("mode 0777"));
        assert!(Journal::create(&dir.place(), "redis://h", "x", None).is_err());
        mode(&dir.0, 0o700);
        let aside = dir.0.join("aside");
        std::fs::rename(&path, &aside).expect("moved");
        std::os::unix::fs::symlink(&aside, &path).expect("linked");
        assert!(opened(&dir.place()).expect_err("refused").contains("not trusted"));
    }
}
