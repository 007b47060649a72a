//! Ctrl-C as something that can be waited for: what is under way is ended in order.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// From now on SIGINT, SIGTERM and SIGHUP can be read here instead of ending the process. To be called before any thread
/// is started: threads inherit the mask.
pub fn stop() -> std::io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}
