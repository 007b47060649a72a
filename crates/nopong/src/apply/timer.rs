//! The dead man's timer: something outside this process that undoes the fix unless it was verified in time.
//!
//! A systemd transient timer where systemd runs, else a process of its own session. Both run
//! `nopong undo ID --unless-verified`, which reads the receipt: a fix that was verified stays.
#![expect(clippy::disallowed_methods, reason = "starts the watchdog")]

use super::Fault;
use crate::sys;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Ends the fix that a receipt belongs to, if it still runs: stopped (Ctrl-Z) or hanging, it holds the lock. Its steps are
/// in the receipt. The process must run this very program; a number may have been given to another since.
pub fn end_owner(receipt: &str) {
    let Some(pid) = receipt.rsplit_once('-').and_then(|(_, pid)| pid.parse::<i32>().ok()) else { return };
    let exe = |of: &str| sys::read_link(format!("/proc/{of}/exe")).ok();
    if exe(&pid.to_string()).is_some_and(|theirs| Some(theirs) == exe("self")) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// An armed timer.
#[derive(Debug)]
pub struct Timer {
    /// Name of the transient unit, where systemd holds it.
    unit: Option<String>,
}

impl Timer {
    /// Arms it for a receipt.
    pub fn arm(receipt: &str, after: Duration) -> Result<Self, Fault> {
        let own = sys::read_link("/proc/self/exe")
            .map_err(|e| Fault::new(format!("/proc/self/exe: {}", sys::errno_name(&e))))?;
        let own = own.to_string_lossy().into_owned();
        let seconds = after.as_secs().max(1);
        if let Some(program) =
            sys::program("systemd-run").filter(|_| sys::stat("/run/systemd/system").is_ok())
        {
            let unit = format!("nopong-undo-{receipt}");
            let program = program.to_string_lossy().into_owned();
            let argv = [
                program.as_str(),
                "--quiet",
                "--collect",
                &format!("--unit={unit}"),
                &format!("--on-active={seconds}s"),
                "--timer-property=AccuracySec=1s",
                &own,
                "undo",
                receipt,
                "--unless-verified",
            ];
            let started = sys::run(&argv, Duration::from_secs(5), 4096);
            if started.is_ok_and(|o| o.code == Some(0)) {
                return Ok(Self { unit: Some(unit) });
            }
        }
        // A session of its own: a hang-up of the operator's terminal must not end it.
        Command::new("/proc/self/exe")
            .args(["undo", receipt, "--unless-verified", "--after", &format!("{seconds}s")])
            .env("NOPONG_DETACH", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Fault::new(format!("cannot start the watchdog: {}", sys::errno_name(&e))))?;
        Ok(Self { unit: None })
    }

    /// Disarms it. The receipt says `verified` already; a watchdog process reads that and ends by itself.
    pub fn disarm(self) {
        if let (Some(unit), Some(program)) = (self.unit, sys::program("systemctl")) {
            let program = program.to_string_lossy().into_owned();
            drop(sys::run(&[&program, "stop", &format!("{unit}.timer")], Duration::from_secs(5), 4096));
        }
    }
}
