//! The machine as a configuration sees it: files read through the fence, and what the server's user may do with them.

use super::access::{Answer, User, Want};
use crate::evidence::server::{Address, Process, Unit};
use crate::sys;
use redis_conf::{Bindable, Files, OsError};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Files one pattern may match.
const MATCHES_MAX: usize = 512;

/// Answers for one instance.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    /// None: unknown, then nothing is said against a path.
    user: Option<User>,
    addresses: &'a [Address],
    files_limit: Option<u64>,
}

impl<'a> Machine<'a> {
    /// The user of the process, else the unit's, else nobody's.
    pub(super) fn new(process: Option<&Process>, unit: Option<&Unit>, addresses: &'a [Address]) -> Self {
        Self {
            user: user_of(process, unit),
            addresses,
            files_limit: process.and_then(|p| p.fd_limit).or_else(|| unit.and_then(|u| u.limit_nofile)),
        }
    }

    fn ask(&self, path: &Path, want: Want) -> Result<(), OsError> {
        match self.user.as_ref().map(|u| u.can(path, want)) {
            Some(Answer::No { errno, .. }) => Err(OsError(errno)),
            _ => Ok(()),
        }
    }
}

/// Whose rights count.
pub(super) fn user_of(process: Option<&Process>, unit: Option<&Unit>) -> Option<User> {
    if let Some(process) = process {
        return User::of_process(process.pid);
    }
    let unit = unit?;
    if unit.sandbox.contains_key("DynamicUser") {
        return None;
    }
    match &unit.user {
        Some(user) => User::named(user, unit.group.as_deref()),
        // A system service without User= runs as root.
        None => Some(User::default()),
    }
}

impl Files for Machine<'_> {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, OsError> {
        let found = sys::stat(path).map_err(|e| OsError::of(&e))?;
        if found.is_dir() {
            return Err(OsError::IS_DIRECTORY);
        }
        sys::read(path, limit).map_err(|e| OsError::of(&e))
    }

    fn glob(&self, cwd: &Path, pattern: &[u8]) -> Vec<PathBuf> {
        let pattern = cwd.join(String::from_utf8_lossy(pattern).as_ref());
        let mut found = vec![PathBuf::new()];
        for part in pattern.components() {
            let part = part.as_os_str();
            let wild = part.as_encoded_bytes().iter().any(|b| matches!(b, b'*' | b'?' | b'['));
            let mut next = Vec::new();
            for dir in found {
                if !wild {
                    next.push(dir.join(part));
                    continue;
                }
                for name in sys::list(&dir, 4096).unwrap_or_default() {
                    let (name_bytes, pattern) = (name.as_encoded_bytes(), part.as_encoded_bytes());
                    // glob(3): a leading dot must be written.
                    let hidden = name_bytes.first() == Some(&b'.') && pattern.first() != Some(&b'.');
                    if !hidden && matches(pattern, name_bytes) && next.len() < MATCHES_MAX {
                        next.push(dir.join(&name));
                    }
                }
            }
            found = next;
        }
        found.retain(|p| sys::lstat(p).is_ok());
        found.sort();
        found
    }

    fn enter(&self, dir: &Path) -> Result<PathBuf, OsError> {
        let found = sys::stat(dir).map_err(|e| OsError::of(&e));
        match found {
            Ok(found) if !found.is_dir() => return Err(OsError(nix::libc::ENOTDIR)),
            // Ours is not the server's user: only what it may not do counts.
            Err(OsError::DENIED) => return Ok(dir.to_path_buf()),
            Err(e) => return Err(e),
            Ok(_) => {}
        }
        self.ask(dir, Want::Search)?;
        Ok(sys::canonical(dir).unwrap_or_else(|| dir.to_path_buf()))
    }

    fn appendable(&self, path: &Path) -> Result<(), OsError> {
        match sys::stat(path) {
            Ok(found) if found.is_dir() => Err(OsError::IS_DIRECTORY),
            Ok(_) => self.ask(path, Want::Write),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                path.parent().map_or(Ok(()), |dir| self.ask(dir, Want::Enter))
            }
            Err(_) => Ok(()),
        }
    }

    fn writable(&self, path: &Path) -> Result<(), OsError> {
        self.ask(path, Want::Write)
    }

    fn executable(&self, path: &Path) -> Result<(), OsError> {
        self.ask(path, Want::Search)
    }

    fn bindable(&self, host: &str, ipv6: bool) -> Bindable {
        let text = host.split('%').next().unwrap_or(host);
        let Ok(ip) = text.parse::<IpAddr>() else { return Bindable::Unknown };
        if self.addresses.is_empty() || ip.is_unspecified() {
            return Bindable::Unknown;
        }
        if ipv6 && sys::stat("/proc/net/if_inet6").is_err() {
            return Bindable::NoFamily;
        }
        let loopback_net = matches!(ip, IpAddr::V4(v4) if v4.is_loopback())
            && self.addresses.iter().any(|a| a.dev == "lo" && a.address.is_ipv4());
        match self.addresses.iter().find(|a| a.address == ip) {
            Some(own) if !own.tentative => Bindable::Yes(ip),
            None if loopback_net => Bindable::Yes(ip),
            _ if nonlocal(ip) => Bindable::Yes(ip),
            _ => Bindable::No(OsError::ADDRESS_MISSING),
        }
    }

    fn open_files_limit(&self) -> Option<u64> {
        self.files_limit
    }
}

/// net.ipv4.ip_nonlocal_bind and its IPv6 twin let a server bind what the host does not have.
fn nonlocal(ip: IpAddr) -> bool {
    let family = if ip.is_ipv6() { "ipv6" } else { "ipv4" };
    sys::read_text(format!("/proc/sys/net/{family}/ip_nonlocal_bind"), 16).is_ok_and(|t| t.trim() == "1")
}

/// glob(7) of one path component: `*`, `?`, `[a-z]`, `[!a]`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(pattern.get(p..).unwrap_or_default(), name[n]),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((star_p, star_n))) => {
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

/// The length of a bracket expression at the start of `pattern`, if the byte is in it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|b| *b == b']')? + 2;
    let mut set = pattern.get(1..end)?;
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    if negated {
        set = &set[1..];
    }
    let mut hit = false;
    while let Some(first) = set.first() {
        if let [low, b'-', high, ..] = set {
            hit |= (*low..=*high).contains(&byte);
            set = &set[3..];
        } else {
            hit |= *first == byte;
            set = &set[1..];
        }
    }
    (hit != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::{Machine, matches};
    use redis_conf::{Bindable, Files};
    use std::path::Path;

    #[test]
    fn patterns() {
        for (pattern, name, hit) in [
            ("*.conf", "a.conf", true),
            ("[0-9]*.conf", "1a.conf", true),
            ("[!0-9]*", "1", false),
            ("a?c", "abc", true),
            ("[", "[", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), hit, "{pattern} {name}");
        }
    }

    #[test]
    fn own_addresses_can_be_bound() {
        let addresses = super::super::addresses::look().expect("netlink");
        let machine = Machine::new(None, None, &addresses);
        assert!(matches!(machine.bindable("127.0.0.1", false), Bindable::Yes(_)));
        assert!(matches!(machine.bindable("127.8.8.8", false), Bindable::Yes(_)));
        assert!(matches!(machine.bindable("203.0.113.77", false), Bindable::No(_)));
        assert_eq!(machine.glob(Path::new("/etc"), b"passw[d]"), [Path::new("/etc/passwd")]);
    }
}
