//! Ctrl-C as something that can be waited for: what is under way is ended in order.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What ends a process in order.
const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// From now on SIGINT, SIGTERM and SIGHUP can be read here instead of ending the process. To be called before any thread
/// is started: threads inherit the mask.
pub fn stop() -> std::io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    ENDS.into_iter().for_each(|signal| mask.add(signal));
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Lets them end the process again: a child starts with what its parent holds back.
pub fn release() {
    let mut mask = SigSet::empty();
    ENDS.into_iter().for_each(|signal| mask.add(signal));
    mask.thread_unblock().ok();
}

/// Signals of a program that looks first and changes later: while it looks a signal ends it at once, as if nobody listened;
/// from [`Held::hold`] on it waits to be asked for.
#[derive(Debug, Clone)]
pub struct Held {
    stop: Arc<SignalFd>,
    holds: Arc<AtomicBool>,
}

impl Held {
    /// To be called before any thread is started. What the parent wants ignored (nohup) stays ignored.
    pub fn new() -> std::io::Result<Self> {
        let held = Self { stop: Arc::new(stop()?), holds: Arc::default() };
        let watcher = held.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || watcher.watch())?;
        Ok(held)
    }

    fn watch(&self) {
        let mut fds = [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        while poll(&mut fds, PollTimeout::NONE) != Ok(1) {}
        if !self.holds.load(Ordering::SeqCst)
            && let Ok(Some(info)) = self.stop.read_signal()
        {
            // As a shell sees a program that the signal ended.
            std::process::exit(128 + i32::try_from(info.ssi_signo).unwrap_or(0));
        }
    }

    /// From now on nothing ends the program but itself.
    pub fn hold(&self) {
        self.holds.store(true, Ordering::SeqCst);
    }

    /// The signal that came since, in words for a sentence; none where none did.
    pub fn came(&self) -> Option<String> {
        let info = self.stop.read_signal().ok().flatten()?;
        let name = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
        Some(format!("interrupted by {}", name.map_or("a signal", Signal::as_str)))
    }

    /// Waits for a line on the terminal, or a signal; false where the signal came.
    pub fn input_first(&self) -> bool {
        let input = std::io::stdin();
        let (input, stop) = (input.as_fd(), self.stop.as_fd());
        let mut both = [PollFd::new(input, PollFlags::POLLIN), PollFd::new(stop, PollFlags::POLLIN)];
        poll(&mut both, PollTimeout::NONE).is_ok() && both[1].any() != Some(true)
    }
}
