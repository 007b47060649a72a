//! Who a dialler is, and what its own settings say it should dial.
//!
//! All of it from /proc while the process lives; a name is resolved through the process's own hosts file, and through
//! the resolver only when the process has the same one as we.

use super::Line;
use crate::cause::address_of;
use crate::probe::server::{Users, comm, container_of, unit_of};
use crate::target::{self, Surroundings};
use crate::{sys, text};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A process's identity is looked at again after so long: ids come back.
const FRESH: Duration = Duration::from_secs(2);
/// At most so many processes a second are looked at in full; of others the name is kept.
const A_SECOND: u32 = 200;
/// Limit for one name when the look is over.
const NAME: Duration = Duration::from_millis(500);
/// Largest hosts file read.
const HOSTS: usize = 256 << 10;
/// Programs that read no settings of an application, whatever directory and environment they are started in.
const TOOLS: &[&str] = &[
    "redis-cli",
    "redis-benchmark",
    "redis-server",
    "redis-sentinel",
    "valkey-cli",
    "valkey-benchmark",
    "valkey-server",
    "nopong",
    "docker-proxy",
    "haproxy",
    "envoy",
    "nginx",
    "stunnel",
    "stunnel4",
    "nc",
    "ncat",
    "telnet",
    "curl",
    "openssl",
    "socat",
    "ssh",
    "nmap",
];

/// A process.
#[derive(Debug, Clone, Default)]
pub struct Who {
    /// Its id; 0 when it could not be told.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// The user it runs as: name or number.
    pub user: Option<String>,
    /// Id of its container.
    pub container: Option<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
    pub(super) settings: Arc<Vec<Named>>,
}

impl Who {
    /// `worker (pid 812)`.
    pub fn says(&self) -> String {
        match self.pid {
            0 => match &self.user {
                Some(user) => format!("a process of {user}"),
                None => "a process that is gone".to_owned(),
            },
            pid => format!("{} (pid {pid})", self.comm),
        }
    }

    /// It may read settings of an application: it is no tool that takes its address from arguments alone.
    pub fn reads_settings(&self) -> bool {
        !TOOLS.contains(&self.comm.as_str())
    }

    /// It lives no longer.
    pub(super) fn gone(&self) -> bool {
        sys::stat(format!("/proc/{}", self.pid)).is_err()
    }
}

/// What a setting says, beside what was dialled.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// `environment REDIS_URL`, `.env:3 REDIS_URL`.
    pub source: String,
    /// As a sentence has it: `REDIS_URL`, `.env:3`.
    pub place: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The dial is what it says; none when the name could not be resolved as the process does.
    pub agrees: Option<bool>,
    /// The process dials what the setting says as well.
    pub also_dialled: bool,
}

impl Setting {
    /// `redis:6379`, `[fd00::5]:6379`.
    pub fn address(&self) -> String {
        let host = text::shown_str(&self.host, 200);
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }
}

/// A setting of a process.
#[derive(Debug, Clone)]
pub(super) struct Named {
    setting: Setting,
    /// What the name is, as far as the process's own files say.
    addresses: Option<Vec<IpAddr>>,
    /// Our resolver is the process's.
    ask: bool,
    /// It names a set of nodes that announces further addresses.
    announces: bool,
}

/// Processes by thread.
#[derive(Debug, Default)]
pub(super) struct People {
    threads: BTreeMap<u32, (Instant, Who)>,
    users: Users,
    budget: Option<(Instant, u32)>,
}

impl People {
    /// The process of a thread; `saved` is asked for the name of one that is gone.
    pub(super) fn of(&mut self, tid: u32, saved: &dyn Fn(u32) -> Option<String>) -> Who {
        let now = sys::now();
        if let Some((at, who)) = self.threads.get(&tid)
            && now.duration_since(*at) < FRESH
        {
            return who.clone();
        }
        // Ids of threads long gone would pile up.
        if self.threads.len() > 10_000 {
            self.threads.retain(|_, (at, _)| now.duration_since(*at) < FRESH);
        }
        let before = self.threads.remove(&tid).map(|(_, who)| who);
        let who = self.look(tid, before.as_ref(), now).unwrap_or_else(|| {
            let comm = saved(tid).map(|name| text::shown_str(&name, 32));
            before.unwrap_or_else(|| Who {
                pid: tid,
                comm: comm.unwrap_or_else(|| "?".to_owned()),
                ..Who::default()
            })
        });
        self.threads.insert(tid, (now, who.clone()));
        who
    }

    /// All that is known of a socket whose process may not be seen: the user who made it.
    pub(super) fn of_user(&mut self, inode: u64, uid: u32, comm: &str) -> Who {
        let name = self.users.name(uid).unwrap_or_else(|| uid.to_string());
        // One that no process has any more (TIME-WAIT) shows user 0.
        Who { comm: comm.to_owned(), user: (inode != 0).then_some(name), ..Who::default() }
    }

    fn look(&mut self, tid: u32, before: Option<&Who>, now: Instant) -> Option<Who> {
        let status = sys::read_text(format!("/proc/{tid}/status"), 8 << 10).ok()?;
        let field = |name: &str| {
            status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u32>().ok())
        };
        let pid = field("Tgid:")?;
        let name = comm(pid)?;
        // Whoever is known keeps what was read: an environment does not change.
        if let Some(known) = before.filter(|w| w.pid == pid && w.comm == name) {
            return Some(known.clone());
        }
        let user = field("Uid:").map(|uid| self.users.name(uid).unwrap_or_else(|| uid.to_string()));
        if !self.may_look(now) {
            return Some(Who { pid, comm: name, user, ..Who::default() });
        }
        let cgroup = sys::read_text(format!("/proc/{pid}/cgroup"), 16 << 10).unwrap_or_default();
        let settings = if TOOLS.contains(&name.as_str()) { Vec::new() } else { settings_of(pid) };
        Some(Who {
            pid,
            comm: name,
            user,
            container: container_of(&cgroup),
            unit: unit_of(&cgroup).map(|u| text::shown_str(&u, 100)),
            settings: Arc::new(settings),
        })
    }

    /// Bounds the looks of a second.
    fn may_look(&mut self, now: Instant) -> bool {
        match &mut self.budget {
            Some((since, count)) if now.duration_since(*since) < Duration::from_secs(1) => {
                *count += 1;
                *count <= A_SECOND
            }
            budget => {
                *budget = Some((now, 1));
                true
            }
        }
    }
}

/// The settings of a process that name an address.
fn settings_of(pid: u32) -> Vec<Named> {
    let found = target::from_settings(&Surroundings::of_process(pid)).settings.found;
    if found.is_empty() {
        return Vec::new();
    }
    let hosts = sys::read_text(format!("/proc/{pid}/root/etc/hosts"), HOSTS).unwrap_or_default();
    let same = |what: &str| {
        let theirs = sys::read_link(format!("/proc/{pid}/ns/{what}")).ok();
        theirs.is_some() && theirs == sys::read_link(format!("/proc/self/ns/{what}")).ok()
    };
    let ask = same("net") && same("mnt");
    let named = found.into_iter().filter_map(|s| {
        let (host, port) = s.dials.as_deref().and_then(address_of)?;
        let upper = s.key.to_ascii_uppercase();
        let announces = ["SENTINEL", "CLUSTER", "NODE", "SEED"].iter().any(|w| upper.contains(w))
            || (port != 6379 && port != 6380 && super::PORTS.contains(&port));
        let addresses = fixed(&host, &hosts);
        let setting = Setting {
            source: format!("{} {}", s.place, s.key),
            place: if s.place == "environment" { s.key } else { s.place },
            host,
            port,
            ..Setting::default()
        };
        Some(Named { setting, addresses, ask, announces })
    });
    named.collect()
}

/// Addresses of a host that nobody has to be asked for: a literal, `localhost` (RFC 6761), a line of the hosts file.
fn fixed(host: &str, hosts: &str) -> Option<Vec<IpAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(vec![ip]);
    }
    let lower = host.to_ascii_lowercase();
    let lines = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let ip = words.next()?.parse::<IpAddr>().ok()?;
        words.any(|w| w.eq_ignore_ascii_case(&lower)).then_some(ip)
    });
    let found: Vec<IpAddr> = lines.take(64).collect();
    if !found.is_empty() {
        return Some(found);
    }
    (lower == "localhost" || lower.ends_with(".localhost"))
        .then(|| vec![[127, 0, 0, 1].into(), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16])])
}

/// Compares every line with the settings of its process.
pub(super) fn compare(lines: &mut [Line]) {
    let mut names: BTreeMap<String, Option<Vec<IpAddr>>> = BTreeMap::new();
    let mut resolve = |host: &str| {
        let known = names.entry(host.to_owned()).or_insert_with(|| match sys::names::resolve(host, NAME) {
            sys::names::Resolved::Addresses(addresses) => Some(addresses),
            _ => None,
        });
        known.clone()
    };
    for line in lines.iter_mut() {
        line.setting = verdict(line.to, &line.who.settings, &mut resolve);
    }
    // A process that dials its setting too may have been sent on from there (MOVED, Sentinel), except to loopback.
    let follow: BTreeSet<u32> = lines
        .iter()
        .filter(|l| l.setting.as_ref().is_some_and(|s| s.agrees == Some(true)))
        .map(|l| l.who.pid)
        .collect();
    for line in lines.iter_mut().filter(|l| follow.contains(&l.who.pid)) {
        let loopback = line.to.ip().is_loopback();
        if let Some(setting) = line.setting.as_mut().filter(|s| s.agrees == Some(false)) {
            setting.also_dialled = true;
            if !loopback {
                setting.agrees = None;
            }
        }
    }
}

/// The setting a dial is to be compared with: one that it agrees with, else the first.
fn verdict(
    to: SocketAddr,
    settings: &[Named],
    resolve: &mut dyn FnMut(&str) -> Option<Vec<IpAddr>>,
) -> Option<Setting> {
    let loopback = to.ip().is_loopback();
    let mut judged: Vec<(Setting, bool)> = Vec::new();
    for named in settings {
        let mut setting = named.setting.clone();
        let addresses = match &named.addresses {
            None if named.ask => resolve(&setting.host),
            known => known.clone(),
        };
        setting.agrees = match addresses {
            _ if setting.port != to.port() => Some(false),
            // Any address of one's own machine: 127.0.0.1 and ::1 are the same place for a client.
            Some(all) => {
                Some(all.iter().any(|a| a.to_canonical() == to.ip() || (loopback && a.is_loopback())))
            }
            // No resolver gives a container's or another host's name as loopback; its own hosts file was read.
            None if loopback => Some(false),
            None => None,
        };
        judged.push((setting, named.announces));
    }
    if let Some((agreeing, _)) = judged.iter().find(|(s, _)| s.agrees == Some(true)) {
        return Some(agreeing.clone());
    }
    let open = judged.iter().any(|(s, announces)| s.agrees.is_none() || (*announces && !loopback));
    let mut first = judged.into_iter().next()?.0;
    if open {
        first.agrees = None;
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::{Named, Setting, fixed, verdict};
    use std::net::IpAddr;

    fn named(key: &str, host: &str, port: u16, hosts: &str) -> Named {
        let setting = Setting { place: key.to_owned(), host: host.to_owned(), port, ..Setting::default() };
        Named { setting, addresses: fixed(host, hosts), ask: false, announces: key.contains("SENTINEL") }
    }

    fn agrees(to: &str, settings: &[Named]) -> Option<bool> {
        verdict(to.parse().expect("address"), settings, &mut |_| None)?.agrees
    }

    #[test]
    fn literals_hosts_and_loopback() {
        let one = |host| vec![named("REDIS_URL", host, 6379, "10.0.0.5 redis cache\n127.0.1.1 me")];
        assert_eq!(agrees("10.0.0.5:6379", &one("10.0.0.5")), Some(true));
        assert_eq!(agrees("10.0.0.5:6379", &one("Redis")), Some(true));
        assert_eq!(agrees("10.0.0.6:6379", &one("redis")), Some(false));
        assert_eq!(agrees("127.0.0.1:6379", &one("redis")), Some(false));
        assert_eq!(agrees("127.0.0.1:6379", &one("elsewhere")), Some(false));
        assert_eq!(agrees("[::1]:6379", &one("localhost")), Some(true));
        assert_eq!(agrees("127.0.0.1:6379", &one("me")), Some(true));
        assert_eq!(agrees("127.0.0.1:6380", &one("localhost")), Some(false));
    }

    #[test]
    fn what_cannot_be_told_is_not_said() {
        let unknown = named("REDIS_URL", "elsewhere", 6379, "");
        assert_eq!(agrees("10.0.0.5:6379", std::slice::from_ref(&unknown)), None);
        // One of several settings fits.
        let both = [unknown, named("CACHE_URL", "10.0.0.5", 6379, "")];
        assert_eq!(agrees("10.0.0.5:6379", &both), Some(true));
        // Sentinels and clusters announce other addresses; loopback is none of them.
        let sentinel = [named("REDIS_SENTINEL", "10.0.0.1", 26379, "")];
        assert_eq!(agrees("10.0.0.5:6379", &sentinel), None);
        assert_eq!(agrees("127.0.0.1:6379", &sentinel), Some(false));
        assert_eq!(
            verdict("10.0.0.5:6379".parse().expect("address"), &[], &mut |_| None::<Vec<IpAddr>>).map(|_| ()),
            None
        );
    }
}
