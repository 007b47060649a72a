//! Where one stands: this host, a network namespace, a running process, a container, a machine that ssh reaches.
//!
//! A process's place is its network namespace, its resolv.conf, hosts and nsswitch.conf, its environment and its
//! working directory; no tool is needed inside its container. Entering another namespace needs root
//! (CAP_SYS_ADMIN); a process of our own namespace needs no right beyond reading its environment.

pub(crate) mod docker;
mod far;
mod ssh;

pub use far::{Carrier, Far};
pub use ssh::Host;
pub mod kubectl;

use crate::evidence::Why;
use crate::evidence::ends::Place;
use crate::sys;
use std::net::IpAddr;
use std::path::PathBuf;

/// A place to look from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Vantage {
    /// Here.
    #[default]
    Local,
    /// A network namespace: a name of `ip netns`, or a path.
    Netns(PathBuf),
    /// A running process.
    Pid(u32),
    /// A container of Docker or Podman.
    Container(String),
    /// A machine that ssh reaches. Nothing of it can be entered: a nopong over there looks ([`Far`]).
    Ssh(Host),
    /// A pod of Kubernetes: its namespace, where one was given, and its name.
    Pod(Option<String>, String),
}

/// Where `ip netns` keeps its names (iproute2, NETNS_RUN_DIR).
const NETNS: &str = "/run/netns";
/// Files that decide how names resolve.
const NAME_FILES: &[&str] = &["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];

impl Vantage {
    /// `local`, `netns:NAME|PATH`, `pid:PID`, `container:NAME|ID`, `ssh:[user@]host`, `pod:[NAMESPACE/]NAME`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((kind, what)) = text.split_once(':') else {
            return match text {
                "local" => Ok(Self::Local),
                _ => Err(
                    "not a place to look from: write local, netns:NAME, pid:PID, container:NAME, ssh:HOST or pod:NAME"
                        .to_owned(),
                ),
            };
        };
        match kind {
            _ if what.is_empty() => Err(format!("{kind}: what?")),
            "netns" if what.contains('/') => Ok(Self::Netns(PathBuf::from(what))),
            "netns" if what == "." || what == ".." => Err("not a name of a network namespace".to_owned()),
            "netns" => Ok(Self::Netns(PathBuf::from(NETNS).join(what))),
            "pid" => match what.parse::<u32>() {
                Ok(pid) if pid > 0 => Ok(Self::Pid(pid)),
                _ => Err(format!("{} is not a process id", crate::text::shown_str(what, 40))),
            },
            "container" => Ok(Self::Container(what.to_owned())),
            "ssh" => Host::parse(what).map(Self::Ssh),
            "pod" => kubectl::pod_name(what).map(|(namespace, name)| Self::Pod(namespace, name)),
            _ => {
                Err("not a place to look from: write local, netns:NAME, pid:PID, container:NAME, ssh:HOST or pod:NAME"
                    .to_owned())
            }
        }
    }

    /// A container becomes the process that runs in it.
    pub fn resolve(self) -> Result<Self, Why> {
        match self {
            Self::Container(name) => match docker::main_pid(&name)? {
                Ok(pid) => Ok(Self::Pid(pid)),
                Err(status) => Err(Why::Failed {
                    what: format!("container {name} is {status}: only in a running one can one stand"),
                }),
            },
            Self::Pid(pid) if sys::stat(format!("/proc/{pid}")).is_err() => {
                Err(Why::Missing { what: format!("process {pid}") })
            }
            other => Ok(other),
        }
    }

    /// The same for the Redis host's side: a container that is there and does not run is no place to enter, but its
    /// engine tells of it.
    pub fn resolve_server(self) -> Result<Option<Self>, Why> {
        match self {
            Self::Container(name) => Ok(docker::main_pid(&name)?.ok().map(Self::Pid)),
            other => other.resolve().map(Some),
        }
    }

    /// The process one stands in, if any.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Pid(pid) => Some(*pid),
            _ => None,
        }
    }

    fn namespace(&self) -> Option<PathBuf> {
        match self {
            Self::Netns(path) => Some(path.clone()),
            Self::Pid(pid) => Some(PathBuf::from(format!("/proc/{pid}/ns/net"))),
            Self::Local | Self::Container(_) | Self::Ssh(_) | Self::Pod(..) => None,
        }
    }

    /// Moves the calling thread, and every thread it starts from then on, into the network namespace.
    pub fn enter_network(&self) -> Result<(), Why> {
        if let Self::Ssh(_) = self {
            let what =
                "another machine cannot be entered from here: run nopong there, through ssh".to_owned();
            return Err(Why::Failed { what });
        }
        match self.namespace() {
            Some(path) => sys::namespaces::enter_network(&path),
            None => Ok(()),
        }
    }

    /// Lays the files that decide how names resolve over our own, in a mount namespace that only we see.
    pub fn enter_names(&self) -> Result<(), Why> {
        let over: Vec<(PathBuf, &'static str)> = match self {
            Self::Pid(pid) => {
                NAME_FILES.iter().map(|f| (PathBuf::from(format!("/proc/{pid}/root{f}")), *f)).collect()
            }
            Self::Netns(path) => {
                // What `ip netns exec` does with /etc/netns/NAME.
                let own = PathBuf::from("/etc/netns").join(path.file_name().unwrap_or_default());
                NAME_FILES.iter().map(|f| (own.join(f.trim_start_matches("/etc/")), *f)).collect()
            }
            Self::Local | Self::Container(_) | Self::Ssh(_) | Self::Pod(..) => return Ok(()),
        };
        const MAX: usize = 64 << 10;
        let theirs = |from: &PathBuf, to: &str| match sys::read(from, MAX) {
            Ok(text) => Some(text),
            // Without the file musl and most images' glibc read the hosts file, then ask the name servers.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && to.ends_with("nsswitch.conf") => {
                self.pid().map(|_| b"hosts: files dns\n".to_vec())
            }
            Err(_) => None,
        };
        let over: Vec<_> = over
            .into_iter()
            .filter_map(|(from, to)| Some((theirs(&from, to)?, to)))
            .filter(|(theirs, to)| sys::read(to, MAX).is_ok_and(|ours| ours != *theirs))
            .collect();
        if over.is_empty() { Ok(()) } else { sys::namespaces::lay_over(&over) }
    }
}

/// The machine and network that the calling thread is in.
pub fn here(asked: &str) -> Place {
    use std::os::unix::fs::MetadataExt as _;
    let line = |path: &str| sys::read_text(path, 200).ok().map(|t| crate::text::shown_str(t.trim(), 100));
    Place {
        asked: asked.to_owned(),
        shell: String::new(),
        hostname: nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default(),
        boot: line("/proc/sys/kernel/random/boot_id"),
        netns: sys::stat("/proc/thread-self/ns/net").ok().map(|m| m.ino()),
        vendor: line("/sys/class/dmi/id/sys_vendor"),
        by: "this nopong".to_owned(),
    }
}

/// The place we came from, to go back to for the Redis host's side.
#[derive(Debug, Clone)]
pub struct Home {
    /// Addresses of the namespace we came from.
    pub addresses: Vec<IpAddr>,
    namespace: std::sync::Arc<std::os::fd::OwnedFd>,
}

impl Home {
    /// Remembers where we are.
    pub fn here() -> Result<Self, Why> {
        let namespace = sys::namespaces::own_network()?;
        Ok(Self { addresses: sys::net::own_addresses(), namespace: std::sync::Arc::new(namespace) })
    }

    /// Takes the calling thread back.
    pub fn return_to(&self) -> Result<(), Why> {
        sys::namespaces::set_network(&self.namespace, "our own network namespace")
    }
}

#[cfg(test)]
mod tests {
    use super::Vantage;

    #[test]
    fn places() {
        assert_eq!(Vantage::parse("local"), Ok(Vantage::Local));
        assert_eq!(Vantage::parse("netns:blue"), Ok(Vantage::Netns("/run/netns/blue".into())));
        assert_eq!(Vantage::parse("netns:/proc/1/ns/net"), Ok(Vantage::Netns("/proc/1/ns/net".into())));
        assert_eq!(Vantage::parse("pid:812"), Ok(Vantage::Pid(812)));
        assert!(
            Vantage::parse("pid:0").is_err()
                && Vantage::parse("pid:-1").is_err()
                && Vantage::parse("pid:").is_err()
        );
        assert!(Vantage::parse("netns:..").is_err());
        assert!(Vantage::parse("moon").is_err_and(|e| e.contains("not a place")));
    }
}
