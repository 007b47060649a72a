//! What is seen on the Redis host.

pub use super::firewall::{Drops, Firewall, Permanent, Traced, Verdict};
pub use super::way_back::WayBack;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A listening TCP socket (sock_diag).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Local address and port. `[::]` with `v6only` false also takes IPv4.
    pub at: SocketAddr,
    /// IPV6_V6ONLY, for an IPv6 socket, when known.
    pub v6only: Option<bool>,
    /// Connections waiting to be accepted.
    pub queue: u32,
    /// The queue's limit: min(backlog, somaxconn).
    pub queue_max: u32,
    /// Processes that hold it.
    pub pids: Vec<u32>,
    /// Name of the first of them.
    pub comm: Option<String>,
    /// Owner.
    pub uid: u32,
    /// Interface it is bound to (SO_BINDTODEVICE).
    pub device: Option<String>,
}

/// All listening sockets of the network namespace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Listeners {
    /// TCP.
    pub tcp: Vec<Listener>,
    /// Paths of listening unix sockets that look like Redis's, or equal the target.
    pub unix: Vec<UnixListener>,
    /// Half-open connections to the target's port (SYN-RECV): the SYN arrived, our SYN-ACK was not answered.
    pub syn_recv: Vec<SocketAddr>,
    /// Socket units for which systemd itself holds the target's port.
    #[serde(default)]
    pub socket_units: Vec<SocketUnit>,
}

/// A socket unit of systemd and what it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SocketUnit {
    /// Where it listens.
    pub at: SocketAddr,
    /// `shop.socket`.
    pub unit: String,
    /// `shop.service`.
    pub activates: String,
    /// The program that the service starts, where it is seen.
    pub program: Option<String>,
    /// Its command line has to do with a Redis, or passes connections on.
    pub of_redis: bool,
}

/// A listening unix socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnixListener {
    /// The path.
    pub path: String,
    /// Processes that hold it.
    pub pids: Vec<u32>,
}

/// What a server program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// redis-server.
    #[default]
    Redis,
    /// valkey-server.
    Valkey,
    /// keydb-server.
    Keydb,
    /// dragonfly and other compatible servers.
    Other,
}

/// A Redis-like process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Process {
    /// Process id, as seen from here.
    pub pid: u32,
    /// Which program.
    pub program: Program,
    /// It runs as a Sentinel.
    pub sentinel: bool,
    /// /proc/PID/exe.
    pub exe: Option<String>,
    /// Command line, secrets replaced by `***`.
    pub cmdline: Vec<String>,
    /// The configuration file argument, made absolute.
    pub config_file: Option<String>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Effective user id and name.
    pub uid: u32,
    /// User name, when it resolves.
    pub user: Option<String>,
    /// State letter of /proc/PID/stat: R, S, D, T, Z …
    pub state: char,
    /// RLIMIT_NOFILE soft limit.
    pub fd_limit: Option<u64>,
    /// Open descriptors.
    pub fd_open: Option<u64>,
    /// Resident memory in bytes.
    pub rss: Option<u64>,
    /// CPU share since the previous sample of this look, 0 to 1 of one core.
    pub cpu: Option<f32>,
    /// Seconds since it started.
    pub age_s: Option<u64>,
    /// Its network namespace is the one looked from.
    pub same_netns: Option<bool>,
    /// systemd unit, from its cgroup.
    pub unit: Option<String>,
    /// Container id, from its cgroup.
    pub container: Option<String>,
    /// The cgroup is frozen.
    pub frozen: Option<bool>,
}

/// A systemd unit that runs, or would run, Redis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Unit {
    /// Canonical name: `redis-server.service`.
    pub name: String,
    /// All names (`redis.service` is often an alias).
    pub names: Vec<String>,
    /// `loaded`, `not-found`, `masked`, `error`, `bad-setting`.
    pub load_state: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `running`, `dead`, `auto-restart`, `start` …
    pub sub: String,
    /// `success`, `exit-code`, `signal`, `oom-kill`, `timeout`, `start-limit-hit`, `watchdog`, `core-dump`, `protocol`, `resources` …
    pub result: String,
    /// `enabled`, `disabled`, `masked`, `static` … None when systemd does not know.
    pub file_state: Option<String>,
    /// `exited`, `killed`, `dumped`, or none.
    pub exit_kind: Option<String>,
    /// Exit status or signal number of the main process.
    pub exit_status: Option<i32>,
    /// Automatic restarts so far.
    pub restarts: u32,
    /// Main pid, 0 when none.
    pub main_pid: u32,
    /// ExecStart, the first command's argv (secrets replaced).
    pub exec_start: Vec<String>,
    /// Path of the unit file.
    pub fragment: Option<String>,
    /// Drop-in files.
    pub drop_ins: Vec<String>,
    /// `notify`, `forking`, `simple` …
    pub kind: String,
    /// User= the service runs as.
    pub user: Option<String>,
    /// Group=.
    #[serde(default)]
    pub group: Option<String>,
    /// WatchdogSec in seconds, when set.
    #[serde(default)]
    pub watchdog_s: Option<f64>,
    /// PIDFile=.
    #[serde(default)]
    pub pid_file: Option<String>,
    /// Restart=: `no`, `always`, `on-failure` …
    #[serde(default)]
    pub restart: String,
    /// The files changed since systemd read them: `systemctl daemon-reload` is due.
    #[serde(default)]
    pub needs_reload: bool,
    /// TimeoutStartUSec in seconds; none when infinite.
    pub timeout_start_s: Option<f64>,
    /// LimitNOFILE (soft).
    pub limit_nofile: Option<u64>,
    /// MemoryMax in bytes, when set.
    pub memory_max: Option<u64>,
    /// Unix time of the last change to inactive or failed.
    pub stopped_at: Option<u64>,
    /// Unix time of the last start.
    pub started_at: Option<u64>,
    /// A start or stop job is queued or running: its type.
    pub job: Option<String>,
    /// Sandbox settings that can break Redis or its network: `PrivateNetwork=yes`, `IPAddressDeny=…`, `RestrictAddressFamilies=…`, `ReadWritePaths=…`, `ProtectSystem=…`.
    pub sandbox: BTreeMap<String, String>,
    /// A command that the unit runs beside the server (ExecStartPre=, ExecStartPost=) failed in its last attempt, as a sentence.
    #[serde(default)]
    pub helper_failed: Option<String>,
    /// Units it needs that failed (`Requires=`, failed conditions or asserts), as sentences.
    pub blocked_by: Vec<String>,
}

/// The service manager.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Units {
    /// Every Redis, Valkey, KeyDB or Sentinel unit known, canonical ones once.
    pub units: Vec<Unit>,
    /// Unix time of boot.
    pub booted_at: Option<u64>,
}

/// A server program on disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Binary {
    /// Its path.
    pub path: String,
    /// Which program.
    pub program: Program,
    /// `7.0.15`, from `--version`, when it runs.
    pub version: Option<String>,
    /// Why it does not run: `Exec format error`, a missing library, an illegal instruction.
    pub broken: Option<String>,
}

/// How a server died, or refuses to start, told from its own words, the service manager's or the kernel's.
/// Each is one recognised text; the causes decide what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeathKind {
    /// `*** FATAL CONFIG FILE ERROR ***`: `detail` has the directive line (secrets removed) and the reason.
    ConfigError,
    /// `can't open config file`.
    ConfigUnreadable,
    /// `bind: Address already in use`.
    PortTaken,
    /// `bind: Cannot assign requested address`.
    AddressMissing,
    /// `bind: Permission denied`.
    BindDenied,
    /// `Configured to not listen anywhere`.
    NowhereToListen,
    /// `Failed opening Unix socket`.
    UnixSocketFailed,
    /// RDB: wrong signature, bad version, short read, internal error.
    RdbUnloadable,
    /// AOF: bad format, truncated, missing file of the manifest.
    AofUnloadable,
    /// `Can't chdir to`, `Can't open the log file`, `Can't open the append-only file`, pid file: permission or missing directory.
    PathDenied,
    /// The same for `No such file or directory`.
    PathMissing,
    /// `Read-only file system`.
    ReadOnlyFs,
    /// `No space left on device`.
    NoSpace,
    /// Certificate, key, CA or DH file missing, unreadable, not matching; TLS not built in.
    TlsMaterial,
    /// ACL file or user rule.
    AclError,
    /// A module could not be loaded.
    ModuleFailed,
    /// ulimit too small.
    UlimitTooSmall,
    /// nodes.conf locked or corrupt, cluster bus port taken.
    ClusterConfig,
    /// Sentinel's configuration file is not writable.
    SentinelConfig,
    /// Out of memory inside the process (`Out Of Memory allocating`).
    OutOfMemory,
    /// The kernel's OOM killer took it.
    OomKilled,
    /// Crash report, SIGSEGV, assertion.
    Crashed,
    /// SIGTERM or SHUTDOWN: an orderly stop. `detail` says by whom.
    OrderlyStop,
    /// SIGKILL by something that is not the OOM killer.
    Killed,
    /// systemd's start time-out or watchdog ended it, or a probe did.
    SupervisorTimeout,
    /// `Start request repeated too quickly`.
    StartLimit,
    /// Exec failed: format error, missing library, illegal instruction, `203/EXEC`, GLIBC version.
    ExecFailed,
    /// systemd could not set up the sandbox: `status=226/NAMESPACE`, `233/RUNTIME_DIRECTORY`, `200/CHDIR`, `217/USER` …
    SandboxFailed,
    /// SELinux or AppArmor denied it.
    MacDenied,
    /// Locale, overcommit guard and other fatal environment checks.
    Environment,
}

/// `Death::source` of what the kernel's own log tells.
pub const KERNEL_LOG: &str = "kernel log";

/// One recognised line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// What it is.
    pub kind: DeathKind,
    /// The line as it stood, bounded, escaped, secrets removed.
    pub text: String,
    /// What matters in it: the path, the address, the directive, the reason.
    pub detail: Option<String>,
    /// File and line of the configuration to blame, when told.
    pub file: Option<String>,
    /// Line in that file.
    pub line: Option<u32>,
    /// Where it was read: `journal of redis-server.service`, `/var/log/redis/redis-server.log`, `kernel log`.
    pub source: String,
    /// Unix time, when told.
    pub at: Option<u64>,
    /// Process id, when told.
    pub pid: Option<u32>,
    /// It is of the last attempt to run: nothing later shows a successful start.
    pub last: bool,
}

/// What the logs tell of the server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Logs {
    /// Recognised lines, newest first.
    pub deaths: Vec<Death>,
    /// Other lines that matter while it runs (`Accepting client connection: … Too many open files`,
    /// `Possible SECURITY ATTACK detected`, failed background saves …), newest first, bounded and escaped.
    pub complaints: Vec<String>,
    /// Unix time of the last `Ready to accept connections`.
    pub last_ready: Option<u64>,
    /// What was read.
    pub sources: Vec<String>,
    /// What could not be read, with the reason.
    #[serde(default)]
    pub unread: Vec<String>,
}

/// One OOM kill of the kernel log or a cgroup counter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OomKill {
    /// Process id killed.
    pub pid: Option<u32>,
    /// Its name.
    pub comm: String,
    /// The limit was a cgroup's, not the machine's: its path.
    pub cgroup: Option<String>,
    /// Unix time, when known.
    pub at: Option<u64>,
}

/// What the kernel tells.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// net.core.somaxconn.
    pub somaxconn: Option<u32>,
    /// TcpExt ListenOverflows since boot (this namespace).
    pub listen_overflows: Option<u64>,
    /// TcpExt ListenDrops.
    pub listen_drops: Option<u64>,
    /// Connection tracking entries and maximum.
    pub conntrack: Option<(u64, u64)>,
    /// vm.overcommit_memory.
    pub overcommit: Option<u8>,
    /// net.ipv6.bindv6only.
    pub bindv6only: Option<bool>,
    /// IPv6 is switched off.
    pub ipv6_disabled: Option<bool>,
    /// net.ipv4.conf.all.rp_filter or the device's, whichever is greater.
    pub rp_filter: Option<u8>,
    /// MemAvailable and MemTotal in bytes.
    pub memory: Option<(u64, u64)>,
}

/// OOM kills found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OomKills {
    /// Newest first.
    pub kills: Vec<OomKill>,
}

/// A directive and where it stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Setting {
    /// The value as CONFIG GET prints it; for secrets `set` or empty.
    pub value: String,
    /// The file, `command line`, or `default`.
    pub file: String,
    /// The line, for a file.
    pub line: Option<u32>,
}

/// A line Redis would refuse.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ConfigFault {
    /// The file.
    pub file: String,
    /// The line, when one is to blame.
    pub line: Option<u32>,
    /// The directive.
    pub directive: Option<String>,
    /// What redis-server would print.
    pub says: String,
}

/// The configuration of one instance, as the file gives it and as it runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Config {
    /// The file really used (process argument, unit's ExecStart, or the distribution's default).
    pub file: Option<String>,
    /// How the file was found: `process 812`, `redis-server.service`, `usual place`, `INFO of process 812`.
    pub found_by: String,
    /// Why the file could not be read.
    pub unreadable: Option<Unreadable>,
    /// Effective settings by directive (at least those of the contract, and tls-*, unixsocketperm, aclfile,
    /// requirepass, pidfile, dbfilename, appendonly, maxmemory*, timeout, cluster-enabled, replicaof …).
    pub settings: BTreeMap<String, Setting>,
    /// What Redis would refuse, in the order it would meet them.
    pub errors: Vec<ConfigFault>,
    /// What it would take, but should be known.
    pub warnings: Vec<ConfigFault>,
    /// Modification time of the newest file involved, Unix time.
    pub modified_at: Option<u64>,
    /// Settings whose running value differs from the file's: directive, file's, running.
    pub disagree: Vec<(String, String, String)>,
    /// Pid of the process it belongs to, when it runs.
    pub pid: Option<u32>,
    /// The default user has a password (requirepass, or ACL of the file).
    pub default_user_has_password: Option<bool>,
    /// The unit that starts it.
    #[serde(default)]
    pub unit: Option<String>,
    /// The program of another service manager that starts it.
    #[serde(default)]
    pub managed: Option<String>,
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Unreadable {
    /// The path.
    pub path: String,
    /// The errno's name: ENOENT, EACCES.
    pub errno: String,
}

impl Process {
    /// No service started it. (A session's shell is in a scope.)
    pub fn is_by_hand(&self) -> bool {
        self.unit.as_deref().is_none_or(|unit| !unit.ends_with(".service"))
    }
}

impl Unit {
    /// One of its names.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.names.iter().any(|n| n == name)
    }

    /// A signal ended its last main process.
    pub fn ended_by_signal(&self) -> bool {
        matches!(self.exit_kind.as_deref(), Some("killed" | "dumped"))
    }

    /// It was made to run a server like this one: it names one, or the process is its main one. What supervisord, cron or
    /// a shell in a service started is in that service's cgroup, and no restart of the service is a restart of it alone.
    pub fn is_for(&self, process: &Process) -> bool {
        let speaks = |text: &str| ["redis", "valkey", "keydb"].iter().any(|name| text.contains(name));
        self.main_pid == process.pid
            || self.names.iter().chain([&self.name]).any(|name| speaks(name))
            || self.exec_start.iter().any(|word| speaks(word))
    }

    /// What tells a unit that should run from one that a package brought and nobody uses, as sorting key: it
    /// failed or is under way, it is enabled, it was tried since the boot, somebody masked it.
    pub fn merit(&self) -> (bool, bool, bool, bool) {
        (
            !matches!(self.active.as_str(), "failed" | "activating" | "deactivating" | "reloading"),
            !self.file_state.as_deref().unwrap_or_default().starts_with("enabled"),
            self.stopped_at.is_none() && self.started_at.is_none(),
            self.load_state != "masked",
        )
    }
}

impl Config {
    /// How `found_by` begins where the server itself named its file.
    pub const BY_ITS_WORD: &str = "INFO of process";

    /// A title hides the arguments of the process, and what is known of its file is by its own word: an argument
    /// that nobody can see may be stronger than the file.
    pub fn hides_arguments(&self) -> bool {
        self.found_by.starts_with(Self::BY_ITS_WORD)
    }

    /// The running value of a directive, where it is another than the file's.
    pub fn running_otherwise(&self, directive: &str) -> Option<&str> {
        self.disagree.iter().find(|(name, ..)| name == directive).map(|(.., running)| running.as_str())
    }

    /// The effective value of a directive.
    pub fn value(&self, directive: &str) -> Option<&str> {
        self.settings.get(directive).map(|s| s.value.as_str())
    }
    /// `file:line` of a directive, for showing.
    pub fn place(&self, directive: &str) -> Option<String> {
        let setting = self.settings.get(directive)?;
        Some(match setting.line {
            Some(line) => format!("{}:{line}", setting.file),
            None => setting.file.clone(),
        })
    }
}

/// An address of this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// Interface.
    pub dev: String,
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// The interface is up.
    pub up: bool,
    /// Tentative or duplicate (IPv6 DAD).
    pub tentative: bool,
}

/// A path that the server needs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NeededPath {
    /// The path.
    pub path: String,
    /// `dir`, `logfile`, `pidfile`, `aclfile`, `tls-cert-file`, `tls-key-file`, `tls-ca-cert-file`, `unixsocket`, `config`, `rdb`, `aof`.
    pub purpose: String,
    /// It exists.
    pub exists: bool,
    /// Mode bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Owner's name.
    pub owner: Option<String>,
    /// SELinux label, when there is one.
    pub label: Option<String>,
    /// The server's user can do what it needs there (read for TLS files, write for dir and log); what stands in the way otherwise.
    pub usable: Option<bool>,
    /// What stands in the way, naming the path component.
    pub obstacle: Option<String>,
    /// That component, where its owner, its mode or its absence is all that stands in the way.
    #[serde(default)]
    pub obstacle_path: Option<String>,
    /// Free bytes for non-root on its file system.
    pub free_bytes: Option<u64>,
    /// Free inodes (0 with a file system that has none fixed is reported as none).
    pub free_inodes: Option<u64>,
    /// The file system is mounted read-only.
    pub read_only: Option<bool>,
}

/// Certificate files on the server's disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The certificate, parsed.
    pub certificate: Option<super::client::Certificate>,
    /// The key belongs to the certificate; none when not both could be read.
    pub key_matches: Option<bool>,
    /// What could not be parsed.
    pub problem: Option<String>,
}

/// Storage and permissions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Storage {
    /// Paths.
    pub paths: Vec<NeededPath>,
    /// TLS files, where configured.
    pub tls: Option<TlsFiles>,
}

/// A mandatory-access-control denial about Redis or its port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MacDenial {
    /// `selinux` or `apparmor`.
    pub system: String,
    /// Program denied.
    pub comm: String,
    /// What it wanted: `name_bind`, `name_connect`, `open` …
    pub operation: String,
    /// On what.
    pub object: String,
    /// Unix time.
    pub at: Option<u64>,
}

/// SELinux and AppArmor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Mac {
    /// SELinux mode: `enforcing`, `permissive`, or none without SELinux.
    pub selinux: Option<String>,
    /// AppArmor profiles in enforce mode that name Redis or Valkey.
    pub apparmor: Vec<String>,
    /// Denials found, newest first.
    pub denials: Vec<MacDenial>,
}
