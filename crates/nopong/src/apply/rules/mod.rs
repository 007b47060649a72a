//! One allow rule for one source and one port, in whoever owns the host's rules: ufw, firewalld, nft, iptables.
//!
//! Every kind is told from its absence by the tool's own answer, so undoing removes exactly the rule that was added
//! and leaves one alone that stood there before. All need root.
mod firewalld;
mod firewalld_bus;
mod iptables;
mod nft;
mod ufw;

pub use firewalld::{Firewalld, firewalld_zone};
pub use iptables::Iptables;
pub use nft::Nft;
pub use ufw::Ufw;

use super::Fault;
use crate::sys;
use std::time::Duration;

/// firewall-cmd is Python over D-Bus and takes its time.
const LIMIT: Duration = Duration::from_secs(15);

/// Runs a program of the usual directories; its exit code and what it printed.
fn run(name: &str, arguments: &[&str]) -> Result<(i32, String), Fault> {
    let program = sys::program(name).ok_or_else(|| Fault::new(format!("{name} is not here")))?;
    let program = program.to_string_lossy().into_owned();
    let argv: Vec<&str> = std::iter::once(program.as_str()).chain(arguments.iter().copied()).collect();
    let output = sys::run(&argv, LIMIT, 1 << 20).map_err(|why| Fault::new(format!("{name}: {why}")))?;
    let text = if output.code == Some(0) { &output.stdout } else { &output.stderr };
    Ok((output.code.unwrap_or(-1), String::from_utf8_lossy(text).into_owned()))
}

/// Runs it and wants success.
fn must(name: &str, arguments: &[&str]) -> Result<String, Fault> {
    match run(name, arguments)? {
        (0, text) => Ok(text),
        (_, text) => {
            let text = crate::text::shown_str(text.trim(), 300);
            Err(Fault::new(format!("{name} {}: {text}", arguments.join(" "))))
        }
    }
}

fn failed(tool: &str, says: &str) -> Fault {
    Fault::new(format!("{tool}: {}", crate::text::shown_str(says.trim(), 300)))
}
