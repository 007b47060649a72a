//! Redis-like processes, from /proc.
//!
//! Short-lived children (background saves, rewrites) are left out: they serve nobody.

use super::holders;
use crate::evidence::redact;
use crate::evidence::server::{Process, Program};
use crate::sys;
use crate::text;
use std::collections::BTreeMap;

/// A command line longer than this is cut.
const CMDLINE_MAX: usize = 16 << 10;
/// Arguments kept.
const ARGUMENTS_MAX: usize = 128;
/// /etc/passwd on a large site.
const PASSWD_MAX: usize = 4 << 20;
/// USER_HZ: clock ticks of /proc are always these to user space (Documentation/filesystems/proc).
const TICKS: u64 = 100;

/// Looks for all of them.
pub(super) fn look() -> Vec<Process> {
    let own_netns = sys::read_link("/proc/thread-self/ns/net").ok();
    let mut found: Vec<(u32, Process)> = Vec::new();
    let mut users = Users::default();
    for pid in holders::pids() {
        let Some((program, cmdline)) = recognise(pid) else { continue };
        let Some((parent, mut process)) = read(pid, program, cmdline) else { continue };
        process.user = users.name(process.uid);
        process.same_netns = sys::read_link(format!("/proc/{pid}/ns/net"))
            .ok()
            .zip(own_netns.as_ref())
            .map(|(its, own)| its == *own);
        found.push((parent, process));
    }
    let servers: Vec<u32> = found.iter().map(|(_, p)| p.pid).collect();
    found.retain(|(parent, p)| !(servers.contains(parent) && is_child(p)));
    found.into_iter().map(|(_, p)| p).collect()
}

/// A forked child of a server: it carries its job as title, or the parent's own title.
fn is_child(process: &Process) -> bool {
    let title = process.cmdline.first().map_or("", String::as_str);
    let name = title.split_whitespace().next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    // redisSetProcTitle("redis-rdb-bgsave") and its kin: rdb.c, aof.c, module.c.
    ["-rdb-bgsave", "-aof-rewrite", "-module-fork", "-rdb-to-slaves", "-slot-migration"]
        .iter()
        .any(|job| name.contains(job))
}

/// The program's kind from a name of it: `redis-server`, `valkey-server-8`, `redis-server 127.0.0.1:6379`.
pub(super) fn program_of(name: &str) -> Option<Program> {
    // A kernel name is cut at 15 bytes (TASK_COMM_LEN), so `redis-stack-server` is `redis-stack-ser`.
    const KNOWN: [(&str, Program); 13] = [
        ("redis-server", Program::Redis),
        ("redis-sentinel", Program::Redis),
        ("redis-stack-ser", Program::Redis),
        ("redis-rdb-bgsav", Program::Redis),
        ("valkey-server", Program::Valkey),
        ("valkey-sentinel", Program::Valkey),
        ("valkey-sentine", Program::Valkey),
        ("keydb-server", Program::Keydb),
        ("keydb-sentinel", Program::Keydb),
        ("dragonfly", Program::Other),
        ("kvrocks", Program::Other),
        ("garnet-server", Program::Other),
        ("pika", Program::Other),
    ];
    let name = name.rsplit('/').next().unwrap_or(name);
    KNOWN
        .into_iter()
        .find(|(known, _)| {
            name == *known || name.strip_prefix(known).is_some_and(|r| !r.starts_with(char::is_alphabetic))
        })
        .map(|(_, program)| program)
}

/// Whether it is one, and its command line.
fn recognise(pid: u32) -> Option<(Program, Vec<String>)> {
    let comm = holders::comm(pid).unwrap_or_default();
    let by_name = program_of(&comm);
    // A renamed copy, or a main thread that renamed itself: the file tells. Only root sees others' links.
    let exe = || sys::read_link(format!("/proc/{pid}/exe")).ok();
    let by_exe = || exe().and_then(|e| program_of(e.to_str()?.trim_end_matches(" (deleted)")));
    let program = by_name.or_else(by_exe)?;
    let bytes = sys::read(format!("/proc/{pid}/cmdline"), CMDLINE_MAX).ok()?;
    let words: Vec<String> =
        bytes.split(|b| *b == 0).map(|w| text::shown(w, 1000)).take(ARGUMENTS_MAX).collect();
    let used = words.iter().rposition(|w| !w.is_empty()).map_or(0, |last| last + 1);
    let mut words = words;
    words.truncate(used);
    Some((program, redact::argv(&words)))
}

fn read(pid: u32, program: Program, cmdline: Vec<String>) -> Option<(u32, Process)> {
    let stat = Stat::read(pid)?;
    let status = sys::read_text(format!("/proc/{pid}/status"), 16 << 10).unwrap_or_default();
    let status = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    // "Uid: real effective saved fs"
    let uid = status("Uid:").and_then(|v| v.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0);
    let rss =
        status("VmRSS:").and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok()).map(|kib| kib << 10);
    let cgroup = sys::read_text(format!("/proc/{pid}/cgroup"), 16 << 10).unwrap_or_default();
    let cwd = sys::read_link(format!("/proc/{pid}/cwd")).ok().map(|p| p.to_string_lossy().into_owned());
    let exe = sys::read_link(format!("/proc/{pid}/exe"))
        .ok()
        .map(|p| text::shown_str(p.to_string_lossy().trim_end_matches(" (deleted)"), 500));
    let exe = exe.map(|exe| spoken_name(cmdline.first(), &exe).unwrap_or(exe));
    let title = cmdline.join(" ");
    let sentinel = title.contains("[sentinel]")
        || cmdline.iter().any(|w| w == "--sentinel")
        || cmdline.first().is_some_and(|w| w.contains("-sentinel"));
    Some((
        stat.parent,
        Process {
            pid,
            program,
            sentinel,
            config_file: config_argument(&cmdline, cwd.as_deref()),
            exe,
            cmdline,
            cwd,
            uid,
            user: None,
            state: stat.state,
            fd_limit: fd_limit(&sys::read_text(format!("/proc/{pid}/limits"), 4 << 10).unwrap_or_default()),
            fd_open: sys::list(format!("/proc/{pid}/fd"), 1 << 20).ok().map(|l| l.len() as u64),
            rss,
            cpu: None,
            age_s: age(stat.started_ticks),
            same_netns: None,
            unit: unit_of(&cgroup),
            container: container_of(&cgroup),
            frozen: frozen(&cgroup),
        },
    ))
}

/// The name it was started by, where that is a link to the same file: Debian's redis-server is redis-check-rdb on disk.
fn spoken_name(argument: Option<&String>, exe: &str) -> Option<String> {
    let name = argument?.split_whitespace().next().filter(|n| n.starts_with('/'))?;
    let canonical = |path: &str| {
        use std::os::unix::fs::MetadataExt as _;
        sys::stat(path).ok().map(|m| (m.dev(), m.ino()))
    };
    (canonical(name).is_some() && canonical(name) == canonical(exe)).then(|| name.to_owned())
}

/// The file argument: the first that is no option, made absolute. Redis overwrites its arguments by a title
/// (`redis-server 127.0.0.1:6379`) unless set-proc-title is off; then there is nothing to find.
fn config_argument(cmdline: &[String], cwd: Option<&str>) -> Option<String> {
    let first = cmdline.get(1)?;
    // The title may end in blanks, and its second word is an address: `*:6379`, `127.0.0.1:6379`, `unixsocket:…`.
    if first.is_empty() || first.starts_with('-') || cmdline.first().is_some_and(|t| t.contains(' ')) {
        return None;
    }
    match (first.starts_with('/'), cwd) {
        (true, _) => Some(first.clone()),
        // The server changes to `dir` after reading the file, so this may be wrong; who opens it will see.
        (false, Some(cwd)) => Some(format!("{}/{first}", cwd.trim_end_matches('/'))),
        (false, None) => None,
    }
}

struct Stat {
    state: char,
    parent: u32,
    started_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&sys::read_text(format!("/proc/{pid}/stat"), 4 << 10).ok()?)
    }

    /// proc_pid_stat(5): the name may hold anything, so fields count from the last parenthesis; 3 is the state,
    /// 4 the parent, 22 the start.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            started_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Time the main thread has run, in nanoseconds: the first field of schedstat. The event loop is that thread.
pub(super) fn main_thread_ns(pid: u32) -> Option<u64> {
    sys::read_text(format!("/proc/{pid}/schedstat"), 200).ok()?.split_whitespace().next()?.parse().ok()
}

fn age(started_ticks: u64) -> Option<u64> {
    let uptime = sys::read_text("/proc/uptime", 200).ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some((seconds as u64).saturating_sub(started_ticks / TICKS))
}

fn fd_limit(limits: &str) -> Option<u64> {
    limits.lines().find_map(|l| l.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

/// Path of a controller, or of systemd's own hierarchy, in /proc/PID/cgroup.
fn cgroup_path<'a>(cgroup: &'a str, controller: &str) -> Option<&'a str> {
    cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let names = parts.nth(1)?;
        let path = parts.next()?;
        names.split(',').any(|n| n == controller).then_some(path)
    })
}

/// The innermost unit of the path: `redis-server.service`. Scopes are sessions, not services.
pub(crate) fn unit_of(cgroup: &str) -> Option<String> {
    let path = cgroup_path(cgroup, "name=systemd")
        .filter(|p| p.contains(".service"))
        .or_else(|| cgroup_path(cgroup, ""))?;
    // systemd escapes `-` of a name's path part in slices only; `\x2d` in unit names is the unit's own spelling.
    path.rsplit('/').find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// 64 hexadecimal digits in a path are a container id with Docker, Podman, containerd and CRI-O.
pub(crate) fn container_of(cgroup: &str) -> Option<String> {
    cgroup
        .lines()
        .flat_map(|l| l.split(['/', '-', '.', ':']))
        .find(|part| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(str::to_owned)
}

/// cgroup v2 says `frozen 1` in cgroup.events, v1 `FROZEN` in freezer.state.
fn frozen(cgroup: &str) -> Option<bool> {
    let v2 = cgroup_path(cgroup, "").and_then(|path| {
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .iter()
            .find_map(|root| sys::read_text(format!("{root}{path}/cgroup.events"), 4 << 10).ok())
    });
    let v1 = cgroup_path(cgroup, "freezer")
        .and_then(|path| sys::read_text(format!("/sys/fs/cgroup/freezer{path}/freezer.state"), 100).ok());
    let v2 = v2.map(|events| events.lines().any(|l| l.trim() == "frozen 1"));
    let v1 = v1.map(|state| state.trim() == "FROZEN");
    match (v2, v1) {
        (None, None) => None,
        (a, b) => Some(a == Some(true) || b == Some(true)),
    }
}

/// Names from /etc/passwd. NSS is not asked: a directory server that hangs would hang us.
#[derive(Debug, Default)]
pub(crate) struct Users {
    names: Option<BTreeMap<u32, String>>,
}

impl Users {
    /// The name of a user id.
    pub(crate) fn name(&mut self, uid: u32) -> Option<String> {
        self.names
            .get_or_insert_with(|| {
                let text = sys::read_text("/etc/passwd", PASSWD_MAX).unwrap_or_default();
                let mut names = BTreeMap::new();
                for line in text.lines() {
                    let mut fields = line.split(':');
                    if let (Some(name), Some(uid)) =
                        (fields.next(), fields.nth(1).and_then(|u| u.parse().ok()))
                    {
                        names.entry(uid).or_insert_with(|| text::shown_str(name, 64));
                    }
                }
                names
            })
            .get(&uid)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Stat, config_argument, container_of, fd_limit, look, program_of, unit_of};
    use crate::evidence::server::Program;

    #[test]
    fn programs_by_name() {
        assert_eq!(program_of("redis-server"), Some(Program::Redis));
        assert_eq!(program_of("/opt/valkey/bin/valkey-server-8.1"), Some(Program::Valkey));
        assert_eq!(program_of("redis-server 127.0.0.1:6379"), Some(Program::Redis));
        assert_eq!(program_of("keydb-server"), Some(Program::Keydb));
        for other in
            ["redis-cli", "redis-exporter", "redis_exporter", "redis-servers", "dragonflyd", "pikachu", "sh"]
        {
            assert_eq!(program_of(other), None, "{other}");
        }
    }

    #[test]
    fn stat_with_a_hostile_name() {
        let line = "7 (a) R 1) T 3 7 7 0 -1 4 0 0 0 0 1 2 0 0 20 0 5 0 12345 1 2 3";
        let stat = Stat::parse(line).expect("parses");
        assert_eq!((stat.state, stat.parent, stat.started_ticks), ('T', 3, 12345));
        assert!(Stat::parse("").is_none());
    }

    #[test]
    fn units_and_containers() {
        let v2 = "0::/system.slice/redis-server.service\n";
        assert_eq!(unit_of(v2).as_deref(), Some("redis-server.service"));
        let instance = "1:name=systemd:/system.slice/system-redis.slice/redis@cache.service\n0::/\n";
        assert_eq!(unit_of(instance).as_deref(), Some("redis@cache.service"));
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(container_of(&format!("0::/system.slice/docker-{id}.scope\n")).as_deref(), Some(id));
        assert_eq!(container_of(&format!("3:cpu:/docker/{id}\n")).as_deref(), Some(id));
        assert_eq!(container_of(v2), None);
        assert_eq!(unit_of("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }

    #[test]
    fn config_file_of_a_command_line() {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let cwd = Some("/srv");
        assert_eq!(config_argument(&words(&["redis-server", "a.conf"]), cwd).as_deref(), Some("/srv/a.conf"));
        assert_eq!(config_argument(&words(&["redis-server 127.0.0.1:6379"]), cwd), None);
        assert_eq!(config_argument(&words(&["redis-server", "--port", "1"]), cwd), None);
    }

    #[test]
    fn limits() {
        let text =
            "Limit  Soft Limit Hard Limit Units\nMax open files            10032     10032     files\n";
        assert_eq!(fd_limit(text), Some(10032));
    }

    #[test]
    fn looks_without_a_panic() {
        for process in look() {
            assert!(process.pid > 0);
            assert!(!process.cmdline.iter().any(|w| w.contains('\n')));
        }
    }
}
