//! What leaves the program: the report on stdout, everything else on stderr.

use super::{Fail, exit};
use std::io::Write as _;

/// One remark on stderr. A closed stderr is nobody's problem.
pub(super) fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "nopong: {text}"));
}

/// The report. A reader that went away (EPIPE) has what it wanted; any other failure must not look like success.
pub(super) fn emit(bytes: &[u8]) -> Result<(), Fail> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Fail {
            code: exit::USAGE,
            says: format!("standard output cannot be written: {}", crate::sys::errno_name(&e)),
        }),
        _ => Ok(()),
    }
}

/// Replaces the panic message by the place alone: the message of a failed slice or parse quotes its operand, which
/// may hold a secret. `RUST_BACKTRACE` asks for more and gets the frames, still without the message.
pub(super) fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        say(&format!("a defect of nopong at {place}; please report it"));
        if crate::sys::env("RUST_BACKTRACE").is_some_and(|v| v != "0") {
            say(&std::backtrace::Backtrace::force_capture().to_string());
        }
    }));
}

/// A line on stderr that tells what is being done: on a terminal only, and wiped when dropped.
pub(super) struct Progress {
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    terminal: bool,
}

/// A look shorter than this needs no explanation.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(300);

impl Progress {
    /// Says it once a moment has passed.
    pub(super) fn after_a_moment(text: &'static str) -> Self {
        let mut progress = Self::shown_at_once();
        if progress.terminal {
            let (stop, stopped) = std::sync::mpsc::channel();
            progress.stop = Some(stop);
            progress.thread = Some(std::thread::spawn(move || {
                if stopped.recv_timeout(MOMENT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    line(text);
                }
            }));
        }
        progress
    }

    /// Says it every second, with the time that is left.
    pub(super) fn counting_down(text: &'static str, length: std::time::Duration) -> Self {
        let mut progress = Self::shown_at_once();
        if progress.terminal {
            let (stop, stopped) = std::sync::mpsc::channel();
            progress.stop = Some(stop);
            progress.thread = Some(std::thread::spawn(move || {
                let started = crate::sys::now();
                let timeout = Err(std::sync::mpsc::RecvTimeoutError::Timeout);
                let mut pause = MOMENT;
                while stopped.recv_timeout(pause) == timeout {
                    let left = length.saturating_sub(started.elapsed()).as_secs();
                    line(&format!("{text}, {} min {:02} s left …", left / 60, left % 60));
                    pause = std::time::Duration::from_secs(1);
                }
            }));
        }
        progress
    }

    /// Says what [`Progress::say`] is given.
    pub(super) fn shown_at_once() -> Self {
        use std::io::IsTerminal as _;
        Self { stop: None, thread: None, terminal: std::io::stderr().is_terminal() }
    }

    /// Replaces the line.
    pub(super) fn say(&mut self, text: &str) {
        if self.terminal {
            line(&crate::text::shown_str(text, 100));
        }
    }
}

/// Carriage return, text, erase to the end of the line (ECMA-48 EL).
fn line(text: &str) {
    let mut err = std::io::stderr().lock();
    drop(write!(err, "\r{text}\x1b[K").and_then(|()| err.flush()));
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        if self.terminal {
            line("");
        }
    }
}
