//! The fence: every call to the operating system goes through here, bounded in time and size.
//!
//! `clippy.toml` bans the underlying functions elsewhere in this crate.
#![expect(clippy::disallowed_methods, reason = "this module is the fence")]

pub mod below;
pub mod conf;
pub mod local_http;
pub mod managers;
pub mod names;
pub mod namespaces;
pub mod net;
pub mod netfilter;
pub mod netlink;
pub mod nftrace;
pub mod packets;
pub mod pipe;
pub mod raw;
pub mod reach;
pub mod ring;
pub mod route;
pub mod serve;
pub mod signals;
pub mod sockets;
#[cfg(test)]
mod test_dir;
pub mod trace;
mod window;

#[cfg(test)]
pub use test_dir::TestDir;

use crate::evidence::Why;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most bytes read of a file of configuration size.
pub const FILE_MAX: usize = 4 << 20;

/// Reads at most `max` bytes of a regular or pseudo file; never blocks on a FIFO.
pub fn read(path: impl AsRef<Path>, max: usize) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // O_NONBLOCK: a FIFO or a device under a configured name must not hang us.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
        .open(path)?;
    let mut bytes = Vec::new();
    file.take(max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text, invalid UTF-8 replaced.
pub fn read_text(path: impl AsRef<Path>, max: usize) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path, max)?).into_owned())
}

/// The last `max` bytes of a file.
pub fn read_tail(path: impl AsRef<Path>, max: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Seek as _, SeekFrom};
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
        .open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(max)))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// At most `max` bytes of standard input.
pub fn read_stdin(max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Lines of standard input as they come, each at most `max` bytes; ends with the input, or with a line that is longer.
pub fn stdin_lines(max: usize) -> std::sync::mpsc::Receiver<Vec<u8>> {
    use std::io::BufRead as _;
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = (&mut input).take(max as u64 + 1).read_until(b'\n', &mut line);
            if read.is_err() || line.pop() != Some(b'\n') || send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// One line on standard output, whole.
pub fn write_line(line: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// This very program and its size, as it runs: also where its file was replaced since.
pub fn own_program() -> std::io::Result<(std::fs::File, u64)> {
    let file = std::fs::File::open("/proc/self/exe")?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// Writes a file that only its owner may read, as a whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    // O_EXCL: a link that somebody laid under this name is not followed.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| std::fs::rename(&beside, path));
    if placed.is_err() {
        drop(std::fs::remove_file(&beside));
    }
    placed
}

/// Names in a directory, at most `max`.
pub fn list(path: impl AsRef<Path>, max: usize) -> std::io::Result<Vec<std::ffi::OsString>> {
    std::fs::read_dir(path)?.take(max).map(|e| e.map(|e| e.file_name())).collect()
}

/// Metadata, following links.
pub fn stat(path: impl AsRef<Path>) -> std::io::Result<std::fs::Metadata> {
    std::fs::metadata(path)
}

/// Metadata of the link itself.
pub fn lstat(path: impl AsRef<Path>) -> std::io::Result<std::fs::Metadata> {
    std::fs::symlink_metadata(path)
}

/// Target of a link.
pub fn read_link(path: impl AsRef<Path>) -> std::io::Result<PathBuf> {
    std::fs::read_link(path)
}

/// An extended attribute of a file, links followed, when there is one and it is small.
pub fn xattr(path: impl AsRef<Path>, name: &str) -> Option<Vec<u8>> {
    let mut buffer = [0u8; 1024];
    let size = rustix::fs::getxattr(path.as_ref(), name, &mut buffer).ok()?;
    buffer.get(..size).map(<[u8]>::to_vec)
}

/// Room on a file system: bytes for others than root, inodes where they are counted, mounted read-only.
pub fn room(path: impl AsRef<Path>) -> Option<(u64, Option<u64>, bool)> {
    let found = rustix::fs::statvfs(path.as_ref()).ok()?;
    let inodes = (found.f_files != 0).then_some(found.f_favail);
    let read_only = found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    Some((found.f_bavail.saturating_mul(found.f_frsize), inodes, read_only))
}

/// What is there is lost when it is unmounted: tmpfs (statfs(2)).
pub fn is_in_memory(path: &str) -> Option<bool> {
    let found = nix::sys::statfs::statfs(path).ok()?;
    Some(found.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
}

/// Why a path cannot be replaced by another file, where that is known beforehand: a flag of chattr(1), or a mount.
pub fn pinned(path: impl AsRef<Path>) -> Option<&'static str> {
    use rustix::fs::{AtFlags, CWD, IFlags, StatxAttributes, StatxFlags};
    let path = path.as_ref();
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS).ok()?;
    if !path.is_dir() && found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Some("a mount point of its own");
    }
    let flags = std::fs::File::open(path).ok().and_then(|f| rustix::fs::ioctl_getflags(&f).ok())?;
    if flags.contains(IFlags::IMMUTABLE) {
        return Some("immutable (chattr +i)");
    }
    flags.contains(IFlags::APPEND).then_some("append-only (chattr +a)")
}

/// The kernel's log as /dev/kmsg gives it, one record for each read, newest last; never waits.
pub fn kernel_log(max: usize) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
        .open("/dev/kmsg")?;
    let mut bytes = Vec::new();
    // A record has at most 8 KiB (CONSOLE_EXT_LOG_MAX, kernel/printk); a shorter buffer is EINVAL.
    let mut record = [0u8; 8 << 10];
    while bytes.len() < max {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(size) => bytes.extend_from_slice(&record[..size]),
            // EPIPE: the record was overwritten meanwhile, the next read goes on.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(bytes)
}

/// The path with all links resolved.
pub fn canonical(path: impl AsRef<Path>) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()
}

/// The directory is there and we may not enter it.
pub fn may_not_enter(directory: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    access(directory, AccessFlags::X_OK) == Err(nix::errno::Errno::EACCES)
}

/// The soft limit on open descriptors of this process.
pub fn descriptor_limit() -> Option<u64> {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok().map(|l| l.0)
}

/// An environment variable, when set and UTF-8.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Every environment variable that is UTF-8 by name.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.to_string_lossy().into_owned())))
        .collect()
}

/// Columns of the terminal that stdout is; none when it is something else.
pub fn terminal_width() -> Option<usize> {
    use std::io::IsTerminal as _;
    let out = std::io::stdout();
    out.is_terminal().then(|| crate::sys::window::columns(&out).unwrap_or(80))
}

/// One line from the controlling terminal, without echo.
pub fn ask_hidden(prompt: &str) -> std::io::Result<String> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    use std::io::{BufRead as _, Write as _};
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &hidden)?;
    let read = (|| {
        terminal.write_all(prompt.as_bytes())?;
        let mut line = String::new();
        std::io::BufReader::new(&terminal).take(4096).read_line(&mut line)?;
        Ok(line)
    })();
    // Restored whatever happened in between.
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &before)?;
    terminal.write_all(b"\n")?;
    read.map(|line: String| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A person can be asked: stdin and stderr are terminals.
pub fn is_terminal() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal; anything but y or yes is no, and so is a signal.
pub fn ask_yes(prompt: &str, stop: &signals::Held) -> bool {
    use std::io::{BufRead as _, Write as _};
    let mut error = std::io::stderr();
    drop(write!(error, "{prompt}").and_then(|()| error.flush()));
    if !stop.input_first() {
        return false;
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().take(64).read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// The monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// The socket of D-Bus's system bus (D-Bus specification, "Well-known Message Bus Instances").
pub const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The errno's name for an IO error: `ECONNREFUSED`.
pub fn errno_name(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => format!("{:?}", nix::errno::Errno::from_raw(code)),
        None => error.kind().to_string(),
    }
}

/// An IO error as a reason, naming the operand.
pub fn why(operand: &str, error: &std::io::Error) -> Why {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Why::NotPermitted { needs: format!("root (to read {operand})") }
        }
        std::io::ErrorKind::NotFound => Why::Missing { what: operand.to_owned() },
        _ => Why::Failed { what: format!("{operand}: {}", errno_name(error)) },
    }
}

/// What a subprocess printed.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output, cut at the bound.
    pub stdout: Vec<u8>,
    /// Standard error, cut at 8 KiB.
    pub stderr: Vec<u8>,
    /// stdout was cut.
    pub cut: bool,
}

/// The first of the usual directories that has the program; PATH is not trusted, we may be root.
pub fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|p| p.is_file())
}

/// A program of the user's own, found in PATH: absolute directories only, and for root only what root alone can change.
pub fn program_of_user(name: &str) -> Result<PathBuf, Why> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let root = nix::unistd::geteuid().is_root();
    let safe = |m: &std::fs::Metadata| !root || (m.uid() == 0 && m.mode() & 0o022 == 0);
    let mut unsafe_at = None;
    for directory in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        let path = directory.join(name);
        let (Ok(there), Ok(file)) = (std::fs::metadata(&directory), std::fs::metadata(&path)) else {
            continue;
        };
        if !directory.is_absolute() || !file.is_file() || file.permissions().mode() & 0o111 == 0 {
            continue;
        }
        if safe(&there) && safe(&file) {
            return Ok(path);
        }
        unsafe_at.get_or_insert(path);
    }
    Err(match unsafe_at {
        Some(path) => {
            let path = crate::text::shown_str(&path.to_string_lossy(), 200);
            Why::Failed { what: format!("{path} can be changed by others than root and is not run as root") }
        }
        None => Why::Missing { what: format!("{name} (in PATH)") },
    })
}

/// Removes a socket that nobody needs any more.
pub fn remove_socket(path: &Path) {
    drop(std::fs::remove_file(path));
}

/// Runs an absolute argv without a shell, with an empty standard input, a fixed locale, a time limit and a size
/// limit. The child is killed when the limit runs out.
pub fn run(argv: &[&str], limit: Duration, max: usize) -> Result<Output, Why> {
    run_in(argv, &[("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")], limit, max)
}

/// The same with these environment variables and no others.
pub fn run_in(
    argv: &[&str],
    environment: &[(&str, &str)],
    limit: Duration,
    max: usize,
) -> Result<Output, Why> {
    run_with(argv, environment, &[], limit, max)
}

/// The same as [`run`], with an answer to what the program asks.
pub fn run_answered(argv: &[&str], answer: &[u8], limit: Duration, max: usize) -> Result<Output, Why> {
    run_with(argv, &[("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")], answer, limit, max)
}

fn run_with(
    argv: &[&str],
    environment: &[(&str, &str)],
    answer: &[u8],
    limit: Duration,
    max: usize,
) -> Result<Output, Why> {
    let name = argv.first().copied().unwrap_or_default();
    if !name.starts_with('/') {
        return Err(Why::Missing { what: name.to_owned() });
    }
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Why::Missing { what: name.to_owned() },
        std::io::ErrorKind::PermissionDenied => {
            Why::NotPermitted { needs: format!("the right to run {name}") }
        }
        _ => Why::Failed { what: format!("{name}: {}", errno_name(&e)) },
    };
    let mut child = Command::new(name)
        .args(argv.iter().skip(1))
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(if answer.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A few bytes fit the pipe; who does not read them does not want them.
        drop(std::io::Write::write_all(&mut stdin, answer));
    }
    let out = reader(child.stdout.take(), max);
    let err = reader(child.stderr.take(), 8 << 10);
    let deadline = Instant::now() + limit;
    // Both readers end when the child closes its ends; waiting on them needs no polling.
    let Ok((stdout, cut)) = out.recv_timeout(limit) else {
        drop(child.kill());
        drop(child.wait());
        return Err(Why::TimedOut { after_ms: limit.as_millis() as u64 });
    };
    let stderr = err
        .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        .map(|(e, _)| e)
        .unwrap_or_default();
    if cut {
        drop(child.kill());
    }
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_micros(300)),
            Ok(None) => {
                drop(child.kill());
                drop(child.wait());
                return Err(Why::TimedOut { after_ms: limit.as_millis() as u64 });
            }
            Err(e) => return Err(failed(e)),
        }
    };
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    Ok(Output { code: status.code(), signal, stdout, stderr, cut })
}

/// Does work that has no limit of its own on another thread and waits only so long. A thread that never ends is left
/// behind; the process's end takes it.
pub fn bounded<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Why> + Send + 'static,
) -> Result<T, Why> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(send.send(work())));
    receive.recv_timeout(limit).unwrap_or_else(|e| {
        Err(match e {
            std::sync::mpsc::RecvTimeoutError::Timeout => {
                Why::TimedOut { after_ms: limit.as_millis() as u64 }
            }
            // The sender went without a word: the work panicked.
            std::sync::mpsc::RecvTimeoutError::Disconnected => Why::Panicked,
        })
    })
}

fn reader(
    pipe: Option<impl std::io::Read + Send + 'static>,
    max: usize,
) -> std::sync::mpsc::Receiver<(Vec<u8>, bool)> {
    let (send, receive) = std::sync::mpsc::channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(pipe.take(max as u64 + 1).read_to_end(&mut bytes));
            let cut = bytes.len() > max;
            bytes.truncate(max);
            drop(send.send((bytes, cut)));
        });
    }
    receive
}

#[cfg(test)]
mod tests {
    use super::run;
    use crate::evidence::Why;
    use std::time::Duration;

    #[test]
    fn a_slow_child_is_killed() {
        let before = super::now();
        let result = run(&["/bin/sleep", "20"], Duration::from_millis(50), 100);
        assert!(matches!(result, Err(Why::TimedOut { .. })));
        assert!(before.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn output_is_bounded() {
        let out = run(&["/bin/cat", "/dev/zero"], Duration::from_secs(5), 1000).expect("runs");
        assert_eq!(out.stdout.len(), 1000);
        assert!(out.cut);
    }

    #[test]
    fn a_missing_program_is_said() {
        assert!(matches!(run(&["/no/such/program"], Duration::from_secs(1), 10), Err(Why::Missing { .. })));
    }
}
