//! A subprocess that is talked with over its standard input and output: lines, each with a deadline and a bound.
#![expect(clippy::disallowed_methods, reason = "part of the fence")]

use crate::evidence::Why;
use crate::text;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// What of standard error is kept.
const ERRORS_MAX: usize = 8 << 10;
/// After its input is closed a child may tidy up for so long, then it is killed.
const TIDY: Duration = Duration::from_secs(2);

/// Why a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Nothing came before the deadline.
    TimedOut,
    /// The other end went, or closed its output.
    Closed,
    /// A line longer than its bound.
    TooLong,
}

/// The child and our ends of its pipes.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    read: Vec<u8>,
    errors: Receiver<(Vec<u8>, bool)>,
}

impl Pipe {
    /// Starts an absolute argv without a shell; of our environment it gets the variables that `keep` says yes to.
    pub fn start(argv: &[String], keep: impl Fn(&str) -> bool) -> Result<Self, Why> {
        let name = argv.first().filter(|n| n.starts_with('/')).cloned().unwrap_or_default();
        let failed = |e: &std::io::Error| super::why(&name, e);
        let mut child = Command::new(&name)
            .args(argv.iter().skip(1))
            .env_clear()
            .envs(std::env::vars_os().filter(|(k, _)| k.to_str().is_some_and(&keep)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(&e))?;
        let errors = super::reader(child.stderr.take(), ERRORS_MAX);
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Why::Failed { what: format!("{name}: no pipe") });
        };
        // A full pipe must not hang us: writes wait by poll(2), which has a limit.
        fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|e| failed(&e.into()))?;
        Ok(Self { child, input: Some(input), output, read: Vec::new(), errors })
    }

    /// Writes all of it.
    pub fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Broken> {
        let input = self.input.as_mut().ok_or(Broken::Closed)?;
        while !bytes.is_empty() {
            match input.write(bytes) {
                Ok(size) => bytes = bytes.get(size..).unwrap_or_default(),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    if !super::net::writable(input.as_fd(), deadline) {
                        return Err(Broken::TimedOut);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken::Closed),
            }
        }
        Ok(())
    }

    /// The next line without its end, of at most `max` bytes.
    pub fn line(&mut self, max: usize, deadline: Instant) -> Result<Vec<u8>, Broken> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.read.iter().skip(searched).position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=searched + at).collect();
                line.pop();
                return Ok(line);
            }
            searched = self.read.len();
            if searched > max {
                return Err(Broken::TooLong);
            }
            if !super::net::readable(self.output.as_fd(), deadline) {
                return Err(Broken::TimedOut);
            }
            let mut buffer = [0u8; 64 << 10];
            match self.output.read(&mut buffer) {
                Ok(0) => return Err(Broken::Closed),
                Ok(size) => self.read.extend_from_slice(buffer.get(..size).unwrap_or_default()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken::Closed),
            }
        }
    }

    /// Closes the child's input, waits until it is gone, and gives what it said on standard error.
    pub fn end(mut self) -> String {
        self.close();
        let said = self.errors.recv_timeout(Duration::from_millis(200)).map(|(e, _)| e).unwrap_or_default();
        text::shown(&said, ERRORS_MAX)
    }

    fn close(&mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + TIDY;
        // What it still prints must not keep it from ending.
        let mut buffer = [0u8; 4096];
        while super::net::readable(self.output.as_fd(), deadline) {
            if !matches!(self.output.read(&mut buffer), Ok(size) if size > 0) {
                break;
            }
        }
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.input.is_some() {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, Pipe};
    use std::time::Duration;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    fn soon() -> std::time::Instant {
        crate::sys::now() + Duration::from_secs(5)
    }

    #[test]
    fn lines_go_and_come() {
        let mut pipe = Pipe::start(&argv(&["/bin/cat"]), |_| false).expect("cat");
        let long = "x".repeat(200_000);
        pipe.write(b"one\n\ntw", soon()).expect("written");
        assert_eq!(pipe.line(10, soon()), Ok(b"one".to_vec()));
        assert_eq!(pipe.line(10, soon()), Ok(Vec::new()));
        assert_eq!(pipe.line(10, crate::sys::now()), Err(Broken::TimedOut));
        pipe.write(b"o\n", soon()).expect("written");
        assert_eq!(pipe.line(10, soon()), Ok(b"two".to_vec()));
        pipe.write(&long.as_bytes()[..60_000], soon()).expect("written");
        assert_eq!(pipe.line(10, soon()), Err(Broken::TooLong));
        assert_eq!(pipe.end(), "");
    }

    #[test]
    fn an_end_is_told_with_its_last_words() {
        let mut pipe = Pipe::start(&argv(&["/bin/ls", "/no/such/file"]), |_| false).expect("ls");
        assert_eq!(pipe.line(10, soon()), Err(Broken::Closed));
        assert!(pipe.end().contains("/no/such/file"));
    }

    #[test]
    fn a_full_pipe_is_not_waited_for_for_ever() {
        let mut pipe = Pipe::start(&argv(&["/bin/sleep", "20"]), |_| false).expect("sleep");
        let much = vec![0u8; 4 << 20];
        let limit = crate::sys::now() + Duration::from_millis(50);
        assert_eq!(pipe.write(&much, limit), Err(Broken::TimedOut));
    }
}
