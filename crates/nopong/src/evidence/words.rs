//! The words: one line of a server's log, or of systemd's, and what it says. Tables, no state.

use super::server::DeathKind;

/// What a line of the server says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// `Ready to accept connections`.
    Ready,
    /// It dies of this.
    Dies(DeathKind, Option<String>),
    /// A general line after a particular one: counts only where nothing was said before.
    Follows(DeathKind),
    /// A listening socket failed; whether that is fatal is said later.
    BindFailed(DeathKind, String),
    /// `*** FATAL CONFIG FILE ERROR`: more lines follow.
    Config,
    /// `*** FATAL AOF MANIFEST FILE ERROR`: more lines follow.
    Manifest,
    /// A signal asked it to stop: who.
    StopAsked(String),
    /// It begins to stop, and by whom where the line tells.
    Stops(Option<String>),
    /// It is about to exit.
    Stopped,
    /// It could not save and goes on.
    StopFailed,
    /// Not fatal, but to be known.
    Complaint,
}

/// What a line of systemd says of the unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Manager {
    /// A new attempt is due.
    Scheduled,
    /// A new attempt begins.
    Starting,
    /// A stop was asked for.
    Stopping,
    /// The main process ended well.
    Deactivated,
    /// A time limit ended it.
    TimedOut(String),
    /// It died of this.
    Dies(DeathKind, Option<String>),
}

/// The kind by the error text of the operating system that ends a line.
pub(super) fn by_errno(said: &str) -> Option<DeathKind> {
    let said = said.trim_end_matches(". Exiting.");
    Some(match () {
        () if said.contains("Read-only file system") => DeathKind::ReadOnlyFs,
        () if said.contains("No space left on device") || said.contains("Disk quota exceeded") => {
            DeathKind::NoSpace
        }
        () if said.contains("Permission denied") || said.contains("Operation not permitted") => {
            DeathKind::PathDenied
        }
        () if said.contains("No such file or directory") || said.contains("Not a directory") => {
            DeathKind::PathMissing
        }
        () => return None,
    })
}

fn bind_kind(reason: &str) -> DeathKind {
    match () {
        () if reason.contains("Address already in use") => DeathKind::PortTaken,
        () if reason.contains("Permission denied") => DeathKind::BindDenied,
        // Also `Name or service not known`, `Address family not supported`: the address is not one of this host's.
        () => DeathKind::AddressMissing,
    }
}

/// Reading or writing data: by errno where the line has one that is the storage's fault, else as given.
fn data(kind: DeathKind, said: &str) -> Word {
    Word::Dies(by_errno(said).filter(|k| *k != DeathKind::PathMissing).unwrap_or(kind), quoted(said))
}

/// What stands between the first pair of quotes.
fn quoted(said: &str) -> Option<String> {
    let (_, rest) = said.split_once('\'')?;
    let (inner, after) = rest.split_once('\'')?;
    // An apostrophe (`can't`) is no quote.
    if after.starts_with(char::is_alphanumeric) || inner.starts_with("t ") {
        return quoted(rest);
    }
    Some(inner.to_owned())
}

fn after<'s>(said: &'s str, words: &str) -> Option<&'s str> {
    said.split_once(words).map(|(_, rest)| rest.trim())
}

/// Beginnings (or parts) of lines that say it all by themselves.
const FATAL: &[(&str, DeathKind)] = &[
    ("Configured to not listen anywhere", DeathKind::NowhereToListen),
    ("Wrong signature trying to load DB from file", DeathKind::RdbUnloadable),
    ("Can't handle RDB format version", DeathKind::RdbUnloadable),
    ("Short read or OOM loading DB", DeathKind::RdbUnloadable),
    ("Internal error in RDB reading", DeathKind::RdbUnloadable),
    ("Wrong RDB checksum", DeathKind::RdbUnloadable),
    ("Unknown RDB encoding type", DeathKind::RdbUnloadable),
    ("Terminating server after rdb file reading failure", DeathKind::RdbUnloadable),
    ("The RDB file contains module data I can't load", DeathKind::RdbUnloadable),
    ("The RDB file contains AUX module data I can't load", DeathKind::RdbUnloadable),
    ("Error in loading RDB", DeathKind::RdbUnloadable),
    ("FATAL: Data file was created with a newer version", DeathKind::RdbUnloadable),
    ("FATAL: Data file was created with a Valkey server", DeathKind::RdbUnloadable),
    ("Bad file format reading the append only file", DeathKind::AofUnloadable),
    ("Unexpected end of file reading the append only file", DeathKind::AofUnloadable),
    ("Unable to obtain the AOF file", DeathKind::AofUnloadable),
    ("reading the append only file", DeathKind::AofUnloadable),
    ("Fatal error: can't open the append log file", DeathKind::AofUnloadable),
    ("The AOF file contains", DeathKind::AofUnloadable),
    ("AOF format error", DeathKind::AofUnloadable),
    ("No tls-cert-file configured", DeathKind::TlsMaterial),
    ("No tls-key-file configured", DeathKind::TlsMaterial),
    ("Failed to load certificate", DeathKind::TlsMaterial),
    ("Failed to load client certificate", DeathKind::TlsMaterial),
    ("Failed to load private key", DeathKind::TlsMaterial),
    ("Failed to load client private key", DeathKind::TlsMaterial),
    ("Failed to configure ca certificate", DeathKind::TlsMaterial),
    ("Failed to load DH params", DeathKind::TlsMaterial),
    ("Failed to read DH params", DeathKind::TlsMaterial),
    ("Failed loading DH params", DeathKind::TlsMaterial),
    ("Either tls-ca-cert-file or tls-ca-cert-dir must be specified", DeathKind::TlsMaterial),
    ("Failed to configure ciphers", DeathKind::TlsMaterial),
    ("Failed to configure ciphersuites", DeathKind::TlsMaterial),
    ("Failed finding TLS support", DeathKind::TlsMaterial),
    ("Failed to initialize SSL", DeathKind::TlsMaterial),
    ("Error loading ACL rule", DeathKind::AclError),
    ("startup because of ACL errors", DeathKind::AclError),
    ("and at the same setting an ACL file path is invalid", DeathKind::AclError),
    ("Error loading ACLs, opening file", DeathKind::AclError),
    ("Unresolved Configuration(s) Detected", DeathKind::ConfigError),
    ("failed to load: ", DeathKind::ModuleFailed),
    ("Error loading the extension", DeathKind::ModuleFailed),
    ("Your current 'ulimit -n' of", DeathKind::UlimitTooSmall),
    ("Sorry, the cluster configuration file", DeathKind::ClusterConfig),
    ("Unrecoverable error: corrupted cluster config", DeathKind::ClusterConfig),
    ("Cluster communication port is 10,000 port numbers higher", DeathKind::ClusterConfig),
    ("Cluster communication port is required to be", DeathKind::ClusterConfig),
    ("Sentinel needs config file on disk", DeathKind::SentinelConfig),
    ("Sentinel started without a config file", DeathKind::SentinelConfig),
    ("Out Of Memory allocating", DeathKind::OutOfMemory),
    ("Failed to configure LOCALE", DeathKind::Environment),
    ("Can't initialize Background Jobs", DeathKind::Environment),
    ("Redis will now exit to prevent data loss", DeathKind::Environment),
    ("will now exit to prevent data loss", DeathKind::Environment),
    ("Can't open /dev/null", DeathKind::Environment),
    ("error while loading shared libraries", DeathKind::ExecFailed),
    ("Exec format error", DeathKind::ExecFailed),
    ("cannot execute binary file", DeathKind::ExecFailed),
    ("symbol lookup error", DeathKind::ExecFailed),
    ("Illegal instruction", DeathKind::ExecFailed),
];

/// Lines that only repeat that something above was fatal.
const FOLLOWS: &[(&str, DeathKind)] = &[
    ("Failed listening on port", DeathKind::PortTaken),
    ("Failed to configure TLS", DeathKind::TlsMaterial),
    ("Critical error while loading ACLs", DeathKind::AclError),
    ("Can't load module from", DeathKind::ModuleFailed),
    ("Module Configuration detected without loadmodule", DeathKind::ConfigError),
    ("Fatal error loading the DB, check server logs", DeathKind::RdbUnloadable),
    ("Exiting on error loading AOF", DeathKind::AofUnloadable),
    ("Segmentation fault", DeathKind::Crashed),
];

/// Lines that matter while it runs.
const COMPLAINTS: &[&str] = &[
    "Too many open files",
    "Possible SECURITY ATTACK detected",
    "Background saving error",
    "Failed opening the temp RDB file",
    "Failed opening the RDB file",
    "Can't save in background",
    "Can't rewrite append only file in background",
    "Write error saving DB on disk",
    "Write error while saving DB",
    "Error writing to the AOF file",
    "Short write while writing to the AOF file",
    "Error accepting a client connection",
    "Error registering fd event",
    "Creating Client: ",
    "Failed to write PID file",
    "maxclients has been reduced",
    "The TCP backlog setting of",
    "Unable to connect to MASTER",
    "Unable to connect to PRIMARY",
    "Error condition on socket for SYNC",
    "MASTER aborted replication",
    "overcoming of output buffer limits",
    "Asynchronous AOF fsync is taking too long",
    "supervision error",
    "compiled without libsystemd",
    "SSL routines",
    "CONFIG REWRITE failed",
    "Could not rename tmp config file",
    "Error trying to save the DB",
    "FAIL message received",
    "Cluster state changed: fail",
];

/// What a line of the server's says.
pub(super) fn of_server(said: &str) -> Option<Word> {
    let said = said.trim_start();
    if said.contains("Ready to accept connections") || said.contains("ready to accept connections") {
        return Some(Word::Ready);
    }
    // Before Redis 4 the same was said in other words; the socket has a line of its own in every release.
    if said.starts_with("The server is now ready to accept connections") {
        return Some(Word::Ready);
    }
    if said.contains("FATAL CONFIG FILE ERROR") {
        return Some(Word::Config);
    }
    if said.contains("FATAL AOF MANIFEST FILE ERROR") {
        return Some(Word::Manifest);
    }
    if let Some(word) =
        stopping(said).or_else(|| sockets(said)).or_else(|| files(said)).or_else(|| crash(said))
    {
        return Some(word);
    }
    if said.contains("GLIBC") && said.contains("not found") {
        return Some(Word::Dies(DeathKind::ExecFailed, Some(said.to_owned())));
    }
    for (words, kind) in FATAL {
        if said.contains(words) {
            return Some(Word::Dies(*kind, detail(*kind, said)));
        }
    }
    if let Some((_, kind)) = FOLLOWS.iter().find(|(words, _)| said.contains(words)) {
        return Some(Word::Follows(*kind));
    }
    COMPLAINTS.iter().any(|words| said.contains(words)).then_some(Word::Complaint)
}

/// What matters in a line, by kind.
fn detail(kind: DeathKind, said: &str) -> Option<String> {
    match kind {
        DeathKind::TlsMaterial => said.split_once(": ").map(|(_, rest)| rest.to_owned()),
        DeathKind::ModuleFailed => said
            .strip_prefix("Module ")
            .and_then(|rest| rest.split_once(" failed to load: "))
            .map(|(path, reason)| format!("{path}: {reason}")),
        DeathKind::AclError => said
            .split_once("ACL errors: ")
            .map(|(_, rest)| rest.split(". WARNING").next().unwrap_or(rest).to_owned())
            .or_else(|| after(said, "Error loading ACL rule").map(str::to_owned)),
        DeathKind::OutOfMemory => after(said, "allocating").map(str::to_owned),
        DeathKind::AofUnloadable => after(said, "append only file")
            .or_else(|| after(said, "Unable to obtain the AOF file"))
            .map(|rest| rest.split([':', ' ']).next().unwrap_or(rest).trim_end_matches('.').to_owned()),
        DeathKind::ExecFailed => said.split_once(": ").map(|(_, rest)| rest.to_owned()),
        DeathKind::ClusterConfig => {
            after(said, "configuration file").map(|r| r.split(' ').next().unwrap_or(r).to_owned())
        }
        _ => quoted(said),
    }
}

fn stopping(said: &str) -> Option<Word> {
    if let Some(rest) = said.strip_prefix("Received ").filter(|r| r.contains("scheduling shutdown")) {
        let signal = rest.split(' ').next().unwrap_or(rest);
        return Some(Word::StopAsked(if signal == "shutdown" {
            "a signal".to_owned()
        } else {
            signal.to_owned()
        }));
    }
    if said.starts_with("User requested shutdown") {
        // Redis 7.2: `(user request from 'id=2 addr=127.0.0.1:52116 …')`.
        let from = after(said, "addr=").and_then(|r| r.split(' ').next());
        return Some(Word::Stops(from.map(|a| format!("a SHUTDOWN command from {a}"))));
    }
    if said.contains("now ready to exit, bye bye") {
        return Some(Word::Stopped);
    }
    (said.starts_with("Errors trying to shut down") || said.contains("can't exit"))
        .then_some(Word::StopFailed)
}

fn sockets(said: &str) -> Option<Word> {
    // `Creating Server TCP` until Redis 5, `Could not create server TCP` since, `Warning:` before it since 6.2.
    if let Some(rest) =
        after(said, "server TCP listening socket").or_else(|| after(said, "Server TCP listening socket"))
    {
        let reason = rest.split_once(": ").map_or(rest, |(_, reason)| reason);
        return Some(Word::BindFailed(bind_kind(reason), rest.to_owned()));
    }
    let unix = said
        .strip_prefix("Failed opening Unix socket:")
        .or_else(|| said.strip_prefix("Opening Unix socket:"));
    unix.map(|reason| Word::Dies(DeathKind::UnixSocketFailed, Some(reason.trim().to_owned())))
}

/// At the start it dies of this; later it only lost a rewrite of its file (aof.c, rewriteAppendOnlyFile).
pub(super) fn survived(said: &str) -> bool {
    said.starts_with("Error moving temp append only file")
        || said.starts_with("Opening the temp file for AOF rewrite")
}

/// Lines that name a file and the error of the operating system.
fn files(said: &str) -> Option<Word> {
    if let Some(rest) = after(said, "can't open config file").filter(|_| said.starts_with("Fatal error")) {
        return Some(Word::Dies(
            DeathKind::ConfigUnreadable,
            Some(rest.trim_start_matches('\'').replacen('\'', "", 1)),
        ));
    }
    if said.starts_with("Sentinel config file") && said.contains("is not writable") {
        return Some(Word::Dies(
            DeathKind::SentinelConfig,
            after(said, "Sentinel config file").map(str::to_owned),
        ));
    }
    if said.starts_with("Can't chdir to") {
        return by_errno(said).map(|kind| Word::Dies(kind, after(said, "Can't chdir to").map(str::to_owned)));
    }
    if said.starts_with("Can't open the log file") {
        return by_errno(said).map(|kind| Word::Dies(kind, Some(said.to_owned())));
    }
    for start in [
        "Can't open the append-only file",
        "Can't open or create append-only dir",
        "Error moving temp append only file on the final destination",
        "Opening the temp file for AOF rewrite in rewriteAppendOnlyFile()",
        "Fatal error: can't open the AOF manifest",
        "Fatal error: can't open the append",
        "Write error writing append only file",
        "Fail to open AOF",
        "Can not open",
        "Can't open the cluster config file",
    ] {
        if said.starts_with(start) {
            let named = said.strip_prefix(start).unwrap_or_default().trim_start_matches([':', ' ']);
            let kind = by_errno(said).unwrap_or(DeathKind::AofUnloadable);
            return Some(Word::Dies(kind, Some(named.to_owned())));
        }
    }
    if said.starts_with("Fatal error: can't open the RDB file") {
        let named = after(said, "RDB file").unwrap_or_default();
        return Some(Word::Dies(by_errno(said).unwrap_or(DeathKind::RdbUnloadable), Some(named.to_owned())));
    }
    // Until 7.0 with the errno's text, which is `Invalid argument` for a file that is no RDB.
    if let Some(reason) = said.strip_prefix("Fatal error loading the DB: ") {
        return Some(match by_errno(reason) {
            Some(_) => data(DeathKind::RdbUnloadable, said),
            None => Word::Follows(DeathKind::RdbUnloadable),
        });
    }
    None
}

fn crash(said: &str) -> Option<Word> {
    if let Some(rest) = after(said, "crashed by signal:") {
        let signal = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        // SIGILL: the machine lacks an instruction the program was built with.
        let kind = if signal == "4" { DeathKind::ExecFailed } else { DeathKind::Crashed };
        return Some(Word::Dies(kind, Some(format!("signal {signal}"))));
    }
    if said.contains("=== ASSERTION FAILED ===") {
        return Some(Word::Dies(DeathKind::Crashed, Some("an assertion failed".to_owned())));
    }
    if let Some(rest) = said.strip_prefix("==> ").filter(|r| r.contains("is not true")) {
        return Some(Word::Dies(DeathKind::Crashed, Some(rest.to_owned())));
    }
    if let Some(rest) = after(said, "Guru Meditation:") {
        return Some(if rest.contains("OUT OF MEMORY") {
            Word::Dies(DeathKind::OutOfMemory, Some(rest.to_owned()))
        } else {
            Word::Dies(DeathKind::Crashed, Some(rest.to_owned()))
        });
    }
    // A report whose cause stands in a later line, or was cut off.
    said.contains("BUG REPORT START").then_some(Word::Follows(DeathKind::Crashed))
}

/// What a line of systemd's, or of its child before the exec, says.
pub(super) fn of_manager(said: &str) -> Option<Manager> {
    // `redis-server.service: Main process exited, …`; the longer sentences have no unit before them.
    let said = match said.split_once(": ") {
        Some((unit, rest)) if unit.contains('.') && !unit.contains(' ') => rest,
        _ => said,
    };
    if said.starts_with("Starting ") {
        return Some(Manager::Starting);
    }
    if said.starts_with("Scheduled restart job") || said.contains("holdoff time over, scheduling restart") {
        return Some(Manager::Scheduled);
    }
    if said.starts_with("Stopping ") {
        return Some(Manager::Stopping);
    }
    if said.starts_with("Deactivated successfully") || said.starts_with("Succeeded.") {
        return Some(Manager::Deactivated);
    }
    if said.contains("start operation timed out") || said.contains("start-pre operation timed out") {
        return Some(Manager::TimedOut("starting took longer than TimeoutStartSec".to_owned()));
    }
    if said.starts_with("Watchdog timeout") {
        return Some(Manager::TimedOut(said.trim_end_matches('!').to_owned()));
    }
    if said.contains("Can't open PID file")
        || said.contains("New main PID") && said.contains("does not exist")
    {
        return None;
    }
    if said.starts_with("Start request repeated too quickly")
        || said.contains("start request repeated too quickly")
    {
        return Some(Manager::Dies(DeathKind::StartLimit, None));
    }
    if said.contains("has been killed by the OOM killer") || said.contains("Failed with result 'oom-kill'") {
        return Some(Manager::Dies(DeathKind::OomKilled, None));
    }
    if said.contains("Failed with result 'protocol'") || said.contains("Failed with result 'timeout'") {
        return Some(Manager::TimedOut(said.trim_end_matches('.').to_owned()));
    }
    if said.contains("State 'stop-") && said.contains("timed out") {
        return Some(Manager::Dies(
            DeathKind::Killed,
            Some("stopping took longer than TimeoutStopSec".to_owned()),
        ));
    }
    spawning(said).or_else(|| exited(said))
}

/// The child of systemd that is to become the server tells which step failed.
fn spawning(said: &str) -> Option<Manager> {
    if said.starts_with("Failed to execute") || said.starts_with("Failed to locate executable") {
        let named =
            said.trim_start_matches("Failed to execute ").trim_start_matches("Failed to locate executable ");
        return Some(Manager::Dies(DeathKind::ExecFailed, Some(named.to_owned())));
    }
    if let Some(rest) = said.strip_prefix("Failed at step ") {
        let step = rest.split(' ').next().unwrap_or(rest);
        let reason = rest.rsplit_once(": ").map_or("", |(_, reason)| reason);
        let kind = if step == "EXEC" { DeathKind::ExecFailed } else { DeathKind::SandboxFailed };
        return Some(Manager::Dies(kind, Some(format!("{step}: {reason}"))));
    }
    for start in [
        "Failed to set up mount namespacing",
        "Failed to set up special execution directory",
        "Changing to the requested working directory failed",
        "Failed to determine user credentials",
        "Failed to determine group credentials",
        "Failed to set up network namespacing",
        "Failed to load environment files",
        "Failed to run 'start' task",
        "Failed to run 'start-pre' task",
        "Failed to apply ",
        "Failed to set up credentials",
    ] {
        if said.starts_with(start) {
            return Some(Manager::Dies(DeathKind::SandboxFailed, Some(said.to_owned())));
        }
    }
    None
}

/// `Main process exited, code=exited, status=203/EXEC`; `control process` for what runs before it.
fn exited(said: &str) -> Option<Manager> {
    let said = said.to_ascii_lowercase();
    if !(said.starts_with("main process exited") || said.starts_with("control process exited")) {
        return None;
    }
    let (_, status) = said.split_once("status=")?;
    let code = if said.contains("code=exited") { 'e' } else { 's' };
    let number: u32 = status.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let name = status.split('/').nth(1).unwrap_or_default().to_ascii_uppercase();
    let kind = match (code, number) {
        ('e', 203 | 126 | 127) => DeathKind::ExecFailed,
        // systemd's own exit codes for what it sets up before the exec (systemd.exec(5), process exit codes).
        ('e', 200..=245) => DeathKind::SandboxFailed,
        ('s', 4) => DeathKind::ExecFailed,
        ('s', 6 | 7 | 8 | 11) => DeathKind::Crashed,
        // SIGSYS: a call that SystemCallFilter= forbids.
        ('s', 31) => DeathKind::SandboxFailed,
        ('s', 9) => DeathKind::Killed,
        ('s', 15) => DeathKind::OrderlyStop,
        _ => return None,
    };
    Some(Manager::Dies(kind, Some(format!("status={number}/{name}"))))
}
