//! Subprocesses with an absolute time limit. Waiting is blocking: `timeout` ends what hangs, so
//! nothing here polls or sleeps.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Fail;

/// What a command printed and how it ended; never a failure by itself.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; 124 when the time limit ended it (`timeout`'s convention), 128+n for a signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Output {
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    pub fn timed_out(&self) -> bool {
        self.code == 124 || self.code == 137
    }

    /// Both streams on one line, cut, for messages.
    pub fn brief(&self) -> String {
        let mut text = format!("{} {}", self.stdout.trim(), self.stderr.trim());
        let length = text.chars().count();
        if length > 600 {
            text = text.chars().skip(length - 600).collect();
        }
        format!("exit {}: {}", self.code, text.trim())
    }
}

/// Runs `argv` under `timeout`, feeding it `stdin`.
pub fn run(limit: Duration, argv: &[&str], stdin: &str) -> Result<Output, Fail> {
    let began = Instant::now();
    let mut child = Command::new("timeout")
        .args(["-k", "1", &limit.as_secs_f32().to_string()])
        .args(argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", argv.first().unwrap_or(&"")))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that ends without reading is no failure of ours.
        let _ = pipe.write_all(stdin.as_bytes());
    }
    let out = child.wait_with_output().map_err(|e| format!("lost {}: {e}", argv.join(" ")))?;
    let code = {
        use std::os::unix::process::ExitStatusExt;
        out.status.code().unwrap_or_else(|| 128 + out.status.signal().unwrap_or(0))
    };
    Ok(Output {
        code,
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        took: began.elapsed(),
    })
}

/// As [`run`], where anything but exit code 0 is a failure.
pub fn must(limit: Duration, argv: &[&str], stdin: &str) -> Result<Output, Fail> {
    let out = run(limit, argv, stdin)?;
    if out.ok() { Ok(out) } else { Err(format!("{}: {}", argv.join(" "), out.brief())) }
}
