//! The machine as a configuration sees it: files read through the fence, and what the server's user may do with them.

use super::access::{Answer, User, Want};
use crate::evidence::bind_word::BindWord;
use crate::evidence::server::{Address, Process, Unit};
use crate::sys;
use redis_conf::{Bindable, Files, OsError};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

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
        sys::conf::glob(cwd, pattern).into_iter().map(|path| cwd.join(path)).collect()
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
        match BindWord::of(host, self.addresses) {
            // The same on another interface is another: not to be compared by the address.
            BindWord::Here if host.contains('%') => Bindable::Unknown,
            BindWord::Here if !ip.is_loopback() || ip.is_ipv6() || loopback_net => Bindable::Yes(ip),
            BindWord::NoInterface(_) => Bindable::No(OsError(nix::libc::EINVAL)),
            BindWord::UnknownInterface(_) => Bindable::NotResolved("Name or service not known".to_owned()),
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

#[cfg(test)]
mod tests {
    use super::Machine;
    use redis_conf::{Bindable, Files};
    use std::path::Path;

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
