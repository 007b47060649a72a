//! A private instance of the kernel's event tracer, gone with its value.
//!
//! Nothing of the machine's own tracing is touched: an instance has its own buffer, filter and switch
//! (Documentation/trace/ftrace, "Instances").

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where tracefs is, or is to be mounted (for this thread only).
const TRACEFS: &str = "/sys/kernel/tracing";
/// Instances of ours carry this name, our pid and what they are for.
const PREFIX: &str = "nopong-";

/// An instance of ours, removed with its value. Files opened in it must be closed first: an instance with an open pipe
/// is busy (EBUSY).
#[derive(Debug)]
pub(super) struct Instance {
    /// Its directory.
    pub(super) dir: PathBuf,
}

impl Instance {
    /// Makes one. To be called on a thread of its own, on which everything in it is done: where tracefs is not mounted,
    /// the thread gets its own mount namespace. Instances of processes that are gone are removed.
    pub(super) fn new(purpose: &str) -> std::io::Result<Self> {
        let instances = Path::new(TRACEFS).join("instances");
        if !instances.is_dir() {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS)?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            mount(Some("tracefs"), TRACEFS, Some("tracefs"), MsFlags::empty(), none)?;
        }
        sweep(&instances);
        let dir = instances.join(format!("{PREFIX}{}-{purpose}", std::process::id()));
        std::fs::create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Writes one of its files.
    pub(super) fn set(&self, file: &str, text: &str) -> std::io::Result<()> {
        OpenOptions::new().write(true).open(self.dir.join(file))?.write_all(text.as_bytes())
    }

    /// Opens one of its pipes, for reads that never wait.
    pub(super) fn pipe(&self, file: &str) -> std::io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
            .open(self.dir.join(file))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.dir));
    }
}

/// A running trace. Fields are dropped in order: the pipe before the instance.
#[derive(Debug)]
pub struct Trace {
    pipe: File,
    _instance: Instance,
}

impl Trace {
    /// Starts tracing an event (`skb/kfree_skb`) for what happens in the context of the calling thread, which is best
    /// one of its own: it may get its own mount namespace.
    pub fn start(event: &str) -> std::io::Result<Self> {
        let instance = Instance::new("drops")?;
        let filter = format!("common_pid == {}", nix::unistd::gettid());
        instance.set(&format!("events/{event}/filter"), &filter)?;
        instance.set(&format!("events/{event}/enable"), "1")?;
        Ok(Self { pipe: instance.pipe("trace_pipe")?, _instance: instance })
    }

    /// Starts tracing an event of the whole machine, by the monotonic clock; on a thread of its own likewise.
    pub fn of_machine(event: &str, filter: &str) -> std::io::Result<Self> {
        let instance = Instance::new("machine")?;
        instance.set("trace_clock", "mono")?;
        instance.set(&format!("events/{event}/filter"), filter)?;
        instance.set(&format!("events/{event}/enable"), "1")?;
        Ok(Self { pipe: instance.pipe("trace_pipe")?, _instance: instance })
    }

    /// What was traced so far, as text; never waits.
    pub fn read(&mut self, max: usize) -> String {
        let mut bytes = Vec::new();
        let mut buffer = [0u8; 8 << 10];
        while bytes.len() < max {
            match self.pipe.read(&mut buffer) {
                Ok(size) if size > 0 => bytes.extend_from_slice(&buffer[..size]),
                _ => break,
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Removes instances of ours whose process is gone: one that was killed could not clean up.
fn sweep(instances: &Path) {
    let Ok(names) = std::fs::read_dir(instances) else { return };
    for entry in names.flatten().take(1000) {
        let name = entry.file_name();
        // `nopong-812-dials`; up to version 0.1.0 `nopong-812`.
        let pid = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            drop(std::fs::remove_dir(entry.path()));
        }
    }
}
