//! `nopong undo [RECEIPT]`: put back what a fix changed.

use super::{Fail, Verb, exit, io};
use crate::apply::{self, Journal, Place};
use crate::sys;
use std::time::Duration;

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Undo {
    /// The receipt's name; without one, the newest that has anything to undo
    #[arg(value_name = "RECEIPT")]
    receipt: Option<String>,
    /// List the receipts
    #[arg(long)]
    list: bool,
    /// Restart or stop the server even where that loses data
    #[arg(long)]
    force: bool,
    /// Do nothing when the fix was verified (what the timer calls)
    #[arg(long, hide = true)]
    unless_verified: bool,
    /// Wait first (what the watchdog calls)
    #[arg(long, hide = true, value_parser = super::args::duration)]
    after: Option<Duration>,
}

/// A fix puts back by itself at the time when the timer goes off; this is for its last step.
const PATIENCE: Duration = Duration::from_secs(10);

impl Verb for Undo {
    const NAME: &'static str = "undo";
    const ABOUT: &'static str = "Put back what a fix changed (the newest, without an argument)";
    const EXITS: &'static str = exit::UNDO;

    fn run(self) -> Result<u8, Fail> {
        let place = Place::default_for_user();
        if self.list {
            return list(&place);
        }
        if let Some(after) = self.after {
            // Not the terminal's process any more: its hang-up must not end the watchdog.
            nix::unistd::setsid().ok();
            // A shutdown in the meantime need not wait for it.
            sys::signals::release();
            std::thread::sleep(after);
        }
        if self.unless_verified
            && Journal::open(&place, self.receipt.as_deref()).is_ok_and(|j| j.receipt().closed.is_some())
        {
            return Ok(exit::PONG);
        }
        let _lock = self.lock(&place)?;
        let mut journal = Journal::open(&place, self.receipt.as_deref()).map_err(unusable)?;
        if self.unless_verified && journal.receipt().closed.is_some() {
            return Ok(exit::PONG);
        }
        if !journal.receipt().can_undo() {
            return Err(Fail::usage(format!("{} has nothing left to undo", journal.id())));
        }
        // The timer gives the operator the way in back, at any price.
        if !self.force
            && !self.unless_verified
            && let Err(fault) = super::fix::may_undo(&journal)
        {
            io::say(&format!("nothing was put back: {}; `--force` does it all the same", fault.says));
            io::say(&format!("the receipt is {}", journal.path().display()));
            return Ok(exit::INCOMPLETE);
        }
        let failed = super::fix::roll_back(&mut journal, "undone").failed;
        if !failed.is_empty() {
            if failed.iter().any(|(_, fault)| fault.conflict)
                && let Some(later) = later(&place, journal.id())
            {
                io::say(&format!(
                    "a later fix changed this machine too: `nopong undo {later}` first, then this one"
                ));
            }
            return Ok(exit::INCOMPLETE);
        }
        io::emit(format!("Undone: {}\n", journal.id()).as_bytes())?;
        Ok(exit::PONG)
    }
}

impl Undo {
    /// The timer waits for a fix that is just ending, and ends one that hangs or was stopped; a person is told at once.
    fn lock(&self, place: &Place) -> Result<nix::fcntl::Flock<std::fs::File>, Fail> {
        let began = sys::now();
        let mut ended = false;
        loop {
            match place.lock() {
                Ok(lock) => return Ok(lock),
                Err(fault) if !self.unless_verified || sys::now() > began + 3 * PATIENCE => {
                    return Err(unusable(fault));
                }
                Err(_) if !ended && sys::now() > began + PATIENCE => {
                    ended = true;
                    apply::end_owner(self.receipt.as_deref().unwrap_or_default());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

/// A receipt that is there and cannot be used leaves undone what it is about.
fn unusable(fault: apply::Fault) -> Fail {
    match fault.conflict {
        true => Fail { code: exit::INCOMPLETE, says: format!("nothing was undone: {}", fault.says) },
        false => Fail::usage(fault.says),
    }
}

/// The newest receipt after this one that has something to undo.
fn later(place: &Place, id: &str) -> Option<String> {
    let journal = Journal::open(place, None).ok()?;
    (journal.id() > id).then(|| journal.id().to_owned())
}

fn list(place: &Place) -> Result<u8, Fail> {
    let mut out = String::new();
    for id in place.ids() {
        let shown = crate::text::shown_str(&id, 60);
        match Journal::open(place, Some(&id)) {
            Ok(journal) => {
                let receipt = journal.receipt();
                let state = match &receipt.closed {
                    Some(closed) => closed.as_str(),
                    None if receipt.steps.is_empty() => "nothing changed",
                    None => "open",
                };
                let head = &receipt.head;
                let line = format!("{state}  {}  {}", head.cause, head.target);
                out.push_str(&format!("{shown}  {}\n", crate::text::shown_str(&line, 300)));
            }
            Err(fault) => out.push_str(&format!("{shown}  unusable: {}\n", fault.says)),
        }
    }
    io::emit(out.as_bytes())?;
    Ok(exit::PONG)
}
