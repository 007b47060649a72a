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
