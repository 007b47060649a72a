//! The test bench of nopong: client, router and Redis host in network namespaces, the host booted
//! with a real systemd from a cached Debian tree, real faults made on it, and nopong's answer judged.
//! The product never depends on this crate. It changes nothing on the machine outside its own
//! namespaces, its cache folder and its run folder; see `docs/lab.md`.

pub mod cli;
pub mod cloud;
pub mod expect;
pub mod fix;
pub mod instance;
pub mod needs;
pub mod net;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shell;
pub mod tree;

/// What the lab could not do, as one fragment naming the thing.
pub type Fail = String;

/// A line on stdout; a closed pipe is no reason to stop.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}
