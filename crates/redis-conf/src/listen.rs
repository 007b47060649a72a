//! The sockets a configuration asks for, opened on paper: which `bind` refuses, and whether any is left.
//!
//! Linux refuses a second listener on a port if the addresses are the same or one of them is the wildcard of the same
//! family; IPv6 sockets are opened for IPv6 only, so the families never meet (measured with 7.0.15 and 8.0.2). A `-`
//! forgives only an address that the machine does not have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::files::{Bindable, OsError};
use crate::load::{Loader, to_path};
use crate::sentinel::legacy_ipv4;

/// CLUSTER_PORT_INCR, cluster.h.
const CLUSTER_OFFSET: u16 = 10_000;
/// The room for a path in `sockaddr_un`, the closing NUL included.
const SOCKET_PATH_MAX: usize = 108;

/// A socket as it would be opened.
type Open = (IpAddr, u16);

impl Loader<'_> {
    pub(crate) fn check_sockets(&mut self) {
        let words = if self.start.release.listens_last() { ("tcp", "tls") } else { ("TCP", "TLS") };
        let (port, tls_port) = (self.port("port"), self.port("tls-port"));
        let mut open: Vec<Open> = Vec::new();
        let mut failed = false;
        for (port, word, directive) in [(port, words.0, "port"), (tls_port, words.1, "tls-port")] {
            if port != 0 {
                failed |= !self.open_port(port, word, directive, &mut open);
            }
        }
        let unix = !self.value("unixsocket").is_empty();
        if unix {
            self.check_unix_socket();
        }
        if open.is_empty() && !unix && !failed {
            // Whichever directive took the last address away.
            let bound = port != 0 || tls_port != 0;
            let directive = if bound { "bind" } else { "port" };
            let says = "Configured to not listen anywhere, exiting.".to_owned();
            let origin = self.origin(directive);
            self.problem(origin, None, Some(directive), says, None);
        }
        self.opened = open;
    }

    /// Opens a port on every address; false where the server gives up.
    fn open_port(&mut self, port: u16, word: &str, directive: &'static str, open: &mut Vec<Open>) -> bool {
        for name in self.specials.bind.clone() {
            let optional = name.first() == Some(&b'-');
            let host = String::from_utf8_lossy(&name[usize::from(optional)..]).into_owned();
            let refused = match self.address(&host) {
                Bindable::Yes(ip) if clashes(open, ip, port) => format!("bind: {}", OsError::ADDRESS_IN_USE),
                Bindable::Yes(ip) => {
                    open.push((ip, port));
                    continue;
                }
                Bindable::No(OsError::ADDRESS_MISSING) if optional => {
                    let origin = self.origin("bind");
                    let says =
                        format!("no address {host} on this machine; its - makes the server go on without it");
                    self.warn(&origin, Some("bind"), says);
                    continue;
                }
                Bindable::No(error) => format!("bind: {error}"),
                Bindable::NotResolved(words) => words,
                Bindable::NoFamily => continue,
                // Nothing speaks against it; it cannot be compared with the others either.
                Bindable::Unknown => {
                    open.push((IpAddr::V4(Ipv4Addr::BROADCAST), 0));
                    continue;
                }
            };
            let says = format!(
                "Could not create server TCP listening socket {host}:{port}: {refused}. Failed listening on port \
                 {port} ({word}), aborting."
            );
            let in_use = refused.ends_with(&OsError::ADDRESS_IN_USE.text());
            let blamed = if in_use && self.clash_is_of_ports(open, port) { directive } else { "bind" };
            let origin = self.origin(blamed);
            self.problem(origin, None, Some(blamed), says, None);
            return false;
        }
        true
    }

    /// Whether `port` and `tls-port` are to blame and not the list of addresses.
    fn clash_is_of_ports(&self, open: &[Open], port: u16) -> bool {
        self.port("port") == self.port("tls-port") && open.iter().any(|(_, p)| *p == port)
    }

    /// The address that one word of `bind` stands for.
    fn address(&self, host: &str) -> Bindable {
        let ipv6 = host.contains(':');
        let wildcard = match host {
            "*" | "0.0.0.0" | "" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            "::*" | "::" => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            _ => None,
        };
        if let Some(ip) = wildcard {
            // An IPv6 wildcard is skipped where the machine has no IPv6.
            return match ip {
                IpAddr::V6(_) if self.files.bindable("::", true) == Bindable::NoFamily => Bindable::NoFamily,
                _ => Bindable::Yes(ip),
            };
        }
        let literal = match host.parse::<IpAddr>() {
            Ok(ip) => Some(ip),
            Err(_) => legacy_ipv4(host).map(IpAddr::V4),
        };
        let scoped =
            host.split_once('%').is_some_and(|(ip, dev)| !dev.is_empty() && ip.parse::<Ipv6Addr>().is_ok());
        match (self.files.bindable(host, ipv6), literal) {
            (Bindable::Unknown, Some(IpAddr::V6(ip))) if ip.to_ipv4_mapped().is_some() => {
                Bindable::No(OsError(22))
            }
            (Bindable::Unknown, Some(ip)) => Bindable::Yes(ip),
            // Neither an address nor a name of anything.
            (Bindable::Unknown, None) if !scoped && (ipv6 || !is_host_name(host)) => {
                Bindable::NotResolved("Name or service not known".to_owned())
            }
            (answer, _) => answer,
        }
    }

    fn check_unix_socket(&mut self) {
        let name = self.value("unixsocket").to_vec();
        let path = self.cwd.join(to_path(&name));
        let refused = if name.len() >= SOCKET_PATH_MAX {
            let len = name.len();
            Some(format!("unix socket path too long ({len}), must be under {SOCKET_PATH_MAX}"))
        } else {
            let dir = path.parent().unwrap_or(&path);
            let made = self.files.enter(dir).and_then(|dir| self.files.writable(&dir));
            made.err().map(|error| format!("bind: {error}"))
        };
        if let Some(refused) = refused {
            let origin = self.origin("unixsocket");
            let says = format!("Failed opening Unix socket: {refused}");
            self.problem(origin, None, Some("unixsocket"), says, None);
        }
    }

    pub(crate) fn check_cluster_socket(&mut self) {
        if self.value("cluster-enabled") != b"yes" {
            return;
        }
        let tls = self.value("tls-cluster") == b"yes";
        let (port, cluster_port) =
            (self.port(if tls { "tls-port" } else { "port" }), self.port("cluster-port"));
        let name = if tls { "tls-port" } else { "port" };
        if cluster_port == 0 && port > u16::MAX - CLUSTER_OFFSET {
            let brand = match self.start.release.fork() {
                crate::Fork::Redis => "Redis",
                crate::Fork::Valkey => "Valkey",
            };
            let says = format!(
                "{brand} port number too high. Cluster communication port is 10,000 port numbers higher than your \
                 {brand} port. Your {brand} port number must be 55535 or less."
            );
            let origin = self.origin(name);
            return self.problem(origin, None, Some(name), says, None);
        }
        if self.specials.bind.is_empty() {
            let says = "No bind address is configured, but it is required for the Cluster bus.".to_owned();
            let origin = self.origin("bind");
            return self.problem(origin, None, Some("bind"), says, None);
        }
        let bus = if cluster_port != 0 { cluster_port } else { port + CLUSTER_OFFSET };
        // The same addresses as above: only a port that is taken already can be new.
        if self.opened.iter().any(|(_, p)| *p == bus) {
            let blamed = if cluster_port != 0 { "cluster-port" } else { name };
            let says = format!("Failed listening on port {bus} (cluster), aborting.");
            let origin = self.origin(blamed);
            self.problem(origin, None, Some(blamed), says, None);
        }
    }
}

fn is_host_name(host: &str) -> bool {
    host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

fn clashes(open: &[Open], ip: IpAddr, port: u16) -> bool {
    open.iter().any(|(other, p)| {
        *p == port
            && other.is_ipv4() == ip.is_ipv4()
            && (*other == ip || other.is_unspecified() || ip.is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use crate::{InMemory, Release, Start, load};

    fn first(release: Release, text: &str) -> Option<String> {
        let files = InMemory::one("/c", text.as_bytes());
        let loaded = load(&Start::file(release, "/c"), &files).expect("readable");
        loaded.errors.first().map(|p| format!("{}:{}", p.line().unwrap_or(0), p.says))
    }

    /// What Redis 7.0.15 and 8.0.2 made of these lists in a network namespace with only `lo`.
    #[test]
    fn bind_lists_as_measured() {
        let up =
            ["* -::*", "0.0.0.0 ::", "127.0.0.1 -10.9.9.9", "::1", "*", "\"127.0.0.1 ::1\"", "localhost"];
        for list in up {
            assert_eq!(first(Release::Redis70, &format!("bind {list}\n")), None, "{list}");
        }
        let in_use = [
            ("0.0.0.0 127.0.0.1", "127.0.0.1"),
            ("127.0.0.1 0.0.0.0", "0.0.0.0"),
            (":: ::1", "::1"),
            ("::1 ::", "::"),
            ("127.0.0.1 127.0.0.1", "127.0.0.1"),
            ("-127.0.0.1 -127.0.0.1", "127.0.0.1"),
            ("0.0.0.0 ::1 192.168.1.10", "192.168.1.10"),
        ];
        for (list, host) in in_use {
            let want = format!(
                "1:Could not create server TCP listening socket {host}:6379: bind: Address already in use. Failed \
                 listening on port 6379 (TCP), aborting."
            );
            assert_eq!(first(Release::Redis70, &format!("bind {list}\n")), Some(want), "{list}");
        }
        for list in ["127.0.0.1,::1", "127.0.0.1:6379"] {
            let says = first(Release::Redis80, &format!("bind {list}\n")).expect("refused");
            assert!(says.contains("Name or service not known") && says.contains("(tcp)"), "{says}");
        }
        let says = first(Release::Redis70, "bind 127.0.0.1 ::ffff:127.0.0.1").expect("refused");
        assert!(says.contains("Invalid argument"), "{says}");
    }

    #[test]
    fn nothing_to_listen_on() {
        let says = Some("1:Configured to not listen anywhere, exiting.".to_owned());
        assert_eq!(first(Release::Redis70, "port 0\n"), says);
        assert_eq!(first(Release::Redis70, "bind \"\"\n"), says);
        assert_eq!(first(Release::Redis70, "port 0\nunixsocket /tmp/s\n"), None);
        let long = format!("unixsocket /{}\n", "x".repeat(107));
        let says = first(Release::Redis70, &long).expect("refused");
        assert!(says.ends_with("unix socket path too long (108), must be under 108"), "{says}");
    }

    #[test]
    fn the_cluster_bus_needs_a_port_of_its_own() {
        let says = first(Release::Redis70, "cluster-enabled yes\nport 60000\n").expect("refused");
        assert!(says.starts_with("2:Redis port number too high."), "{says}");
        let says = first(Release::Redis70, "cluster-enabled yes\ncluster-port 6379\n").expect("refused");
        assert!(says.ends_with("Failed listening on port 6379 (cluster), aborting."), "{says}");
    }
}
