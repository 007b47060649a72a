//! The only writer. A change is observed, its undo is on disk and synced, and only then is it made.
//!
//! One file for each kind of change. A receipt is the journal of one fix: after a kill at any moment, `nopong undo`
//! reads it and puts back what was done, in reverse order. What somebody changed since is never overwritten.

mod config_set;
mod container;
mod data_file;
mod drop_in;
mod edit_file;
mod gate;
mod in_container;
mod journal;
mod make_folder;
mod ownership;
mod place;
mod repair_aof;
mod restart;
mod restore_dump;
mod rules;
mod supervised;
mod timer;
mod unit_state;

pub use config_set::{ConfigSet, Door, config_command, requirepass_of};
pub use container::{Container, ContainerVerb};
pub use drop_in::DropIn;
pub use edit_file::{EditFile, unreplaceable};
pub use gate::{Gate, Standing, before_undo};
pub use journal::{Journal, Receipt};
pub use make_folder::MakeFolder;
pub use ownership::Ownership;
pub use place::Place;
pub use repair_aof::RepairAof;
pub use restart::{Restart, When};
pub use restore_dump::RestoreDump;
pub use rules::{Firewalld, Iptables, Nft, Ufw, firewalld_zone};
pub use supervised::{Supervised, SupervisedVerb};
pub use timer::{Timer, end_owner};
pub use unit_state::UnitState;

#[cfg(debug_assertions)]
use crate::sys;
use serde::{Deserialize, Serialize};

/// What something looks like, as data: compared, stored in the receipt, never with a secret in it.
pub type State = serde_json::Value;

/// Why a change could not be made or undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A fragment naming the thing.
    pub says: String,
    /// Somebody changed the thing since: it was left alone.
    pub conflict: bool,
}

impl Fault {
    /// An ordinary failure.
    pub fn new(says: impl Into<String>) -> Self {
        Self { says: says.into(), conflict: false }
    }
    /// Left alone, because it is not as we left it.
    pub fn conflict(says: impl Into<String>) -> Self {
        Self { says: says.into(), conflict: true }
    }
}

/// One kind of change.
pub trait Change {
    /// What it does, one sentence.
    fn says(&self) -> String;
    /// The command a person would run for the same, when there is one.
    fn command(&self) -> Option<String>;
    /// The state that it changes.
    fn observe(&self) -> Result<State, Fault>;
    /// Makes the change.
    fn apply(&mut self, before: &State) -> Result<(), Fault>;
    /// `now` is what this change leaves behind, even when nobody could write that down.
    fn is_ours(&self, now: &State, before: &State) -> bool;
    /// Undone only from exactly the state that was written down after the change, where it was.
    fn only_as_left(&self) -> bool {
        false
    }
    /// What there is now is what was there before.
    fn is_back(&self, now: &State, before: &State) -> bool {
        now == before
    }
    /// The thing that was changed is gone, and the change with it.
    fn is_gone(&self, _before: &State) -> bool {
        false
    }
    /// Puts `before` back.
    fn restore(&self, before: &State) -> Result<(), Fault>;
    /// Removes what a kill in the middle left lying about.
    fn tidy(&self) {}
}

/// Where a test kills the process: at the point whose number `NOPONG_DIE_AFTER` says. Nothing in a release build.
fn point() {
    #[cfg(debug_assertions)]
    {
        static PASSED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
        let number = PASSED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if sys::env("NOPONG_DIE_AFTER").and_then(|n| n.parse().ok()) == Some(number) {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// Every kind of change with its type, and the change behind it.
macro_rules! actions {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// Every kind of change, as the receipt stores it. Kinds are added, never renamed: old receipts load for ever.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Action {
            $($(#[$doc])* $kind($kind),)*
        }

        impl Action {
            /// As a change.
            pub fn change(&self) -> &dyn Change {
                match self {
                    $(Self::$kind(change) => change,)*
                }
            }

            fn change_mut(&mut self) -> &mut dyn Change {
                match self {
                    $(Self::$kind(change) => change,)*
                }
            }
        }
    };
}

actions! {
    /// A file's lines.
    EditFile,
    /// Owner, group and mode of a path.
    Ownership,
    /// A folder that was missing.
    MakeFolder,
    /// Running, enabled, masked.
    UnitState,
    /// A restart, now or when undone.
    Restart,
    /// A setting of the running server.
    ConfigSet,
    /// A ufw rule.
    Ufw,
    /// A firewalld rich rule.
    Firewalld,
    /// An nft rule.
    Nft,
    /// An iptables rule.
    Iptables,
    /// A damaged append only file.
    RepairAof,
    /// A damaged dump.
    RestoreDump,
    /// A drop-in of a unit.
    DropIn,
    /// A container, started, restarted or let go on.
    Container,
    /// A program of another service manager.
    Supervised,
}

impl Action {
    /// Whether an ordinary user lacks the right to it. Redis decides for itself who may set something.
    pub fn needs_root(&self) -> bool {
        match self {
            // To enter a container's network is root's.
            Self::ConfigSet(set) => matches!(set.door, Door::Container { .. }),
            Self::EditFile(edit) => !edit.is_ours_to_write(),
            _ => true,
        }
    }

    /// How to ask the server that undoing this would stop or restart; none where that stops nothing, or was agreed to.
    fn stops_at_undo(&self, before: &State) -> Option<&Gate> {
        match self {
            Self::Restart(c) => c.stops_at_undo(before),
            Self::Container(c) => c.stops_at_undo(before),
            Self::Supervised(c) => c.stops_at_undo(before),
            Self::UnitState(c) => c.gate.as_ref().filter(|_| c.start && before["runs"] == false),
            _ => None,
        }
    }
}

/// Makes every change in order, each written down and synced first. Stops at the first that fails, and where `stop` says so.
pub fn apply(
    journal: &mut Journal,
    actions: &mut [Action],
    stop: impl Fn() -> Option<String>,
) -> Result<(), Fault> {
    let first = journal.receipt().steps.len();
    for (number, action) in actions.iter_mut().enumerate() {
        if let Some(why) = stop() {
            return Err(Fault::new(why));
        }
        let number = first + number;
        let before = action.change().observe()?;
        journal.intend(number, action, &before)?;
        point();
        action.change_mut().apply(&before)?;
        point();
        let after = action.change().observe()?;
        journal.done(number, &after)?;
        point();
    }
    Ok(())
}

/// What became of an undo.
#[derive(Debug, Default)]
pub struct Undone {
    /// What was put back.
    pub restored: Vec<String>,
    /// What could not be, and why.
    pub failed: Vec<(String, Fault)>,
    /// It went back, and that could not be written down (a full disk): why.
    pub unwritten: Option<Fault>,
}

/// Puts back, newest first, whatever the receipt says was begun. Goes on after a failure: less left behind is better.
pub fn undo(journal: &mut Journal) -> Undone {
    let mut undone = Undone::default();
    for step in journal.receipt().open_steps() {
        let change = step.action.change();
        let done = put_back(change, &step.before, step.after.as_ref());
        change.tidy();
        point();
        match done {
            Ok(changed) => {
                if changed {
                    undone.restored.push(change.says());
                }
                undone.unwritten = journal.undone(step.number).err().or(undone.unwritten);
            }
            Err(fault) => undone.failed.push((change.says(), fault)),
        }
    }
    if undone.failed.is_empty() {
        undone.unwritten = journal.close("undone").err().or(undone.unwritten);
    }
    undone
}

fn put_back(change: &dyn Change, before: &State, after: Option<&State>) -> Result<bool, Fault> {
    if before.get("unseen").is_some() {
        // No state shows a restart: it is undone by doing.
        return change.restore(before).map(|()| true);
    }
    let now = match change.observe() {
        Err(_) if change.is_gone(before) => return Ok(false),
        now => now?,
    };
    if change.is_back(&now, before) {
        // Killed before the change was made, or somebody put it back: nothing to do.
        return Ok(false);
    }
    let strict = change.only_as_left() && after.is_some();
    if after != Some(&now) && (strict || !change.is_ours(&now, before)) {
        return Err(Fault::conflict("somebody changed it since; left as it is"));
    }
    change.restore(before)?;
    if change.is_back(&change.observe()?, before) {
        Ok(true)
    } else {
        Err(Fault::new("it did not go back to what it was"))
    }
}
