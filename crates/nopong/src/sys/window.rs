//! The size of a terminal window.
#![expect(unsafe_code, reason = "an ioctl that fills a struct")]

use nix::libc;
use std::os::fd::{AsFd, AsRawFd};

nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, libc::winsize);

/// Columns, when the descriptor is a terminal that knows them.
pub(super) fn columns(terminal: &impl AsFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which `size` is, and the descriptor is open as long as borrowed.
    unsafe { window_size(terminal.as_fd().as_raw_fd(), &raw mut size) }.ok()?;
    Some(usize::from(size.ws_col)).filter(|n| *n > 0)
}
