//! A private instance of the kernel's event tracer, for one event and one thread, gone with its value.
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
/// Instances of ours carry this name and our pid.
const PREFIX: &str = "nopong-";

/// A running trace.
#[derive(Debug)]
pub struct Trace {
    dir: PathBuf,
    pipe: File,
}

impl Trace {
    /// Starts tracing an event (`skb/kfree_skb`) for what happens in the context of the calling thread. To be called on
    /// a thread of its own: where tracefs is not mounted, the thread gets its own mount namespace.
    pub fn start(event: &str) -> std::io::Result<Self> {
        let instances = Path::new(TRACEFS).join("instances");
        if !instances.is_dir() {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS)?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            mount(Some("tracefs"), TRACEFS, Some("tracefs"), MsFlags::empty(), none)?;
        }
        sweep(&instances);
        let dir = instances.join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir(&dir)?;
        // From here on the guard removes it, whatever fails.
        let guard = Guard(Some(dir.clone()));
        write(
            &dir.join("events").join(event).join("filter"),
            &format!("common_pid == {}", nix::unistd::gettid()),
        )?;
        write(&dir.join("events").join(event).join("enable"), "1")?;
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
            .open(dir.join("trace_pipe"))?;
        std::mem::forget(guard);
        Ok(Self { dir, pipe })
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

impl Drop for Trace {
    fn drop(&mut self) {
        // An instance with an open pipe is busy (EBUSY): the pipe goes first.
        if let Ok(null) = File::open("/dev/null") {
            self.pipe = null;
        }
        drop(std::fs::remove_dir(&self.dir));
    }
}

struct Guard(Option<PathBuf>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(dir) = &self.0 {
            drop(std::fs::remove_dir(dir));
        }
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// Removes instances of ours whose process is gone: one that was killed could not clean up.
fn sweep(instances: &Path) {
    let Ok(names) = std::fs::read_dir(instances) else { return };
    for entry in names.flatten().take(1000) {
        let name = entry.file_name();
        let pid: Option<u32> = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.parse().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            drop(std::fs::remove_dir(entry.path()));
        }
    }
}
