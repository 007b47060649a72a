//! Listening sockets: TCP from the kernel's own table (sock_diag), unix ones from /proc/net/unix.
//!
//! Does not judge which of them is Redis; says which process holds each where /proc lets us see it.

use super::holders::{self, Holders};
use crate::evidence::Why;
use crate::evidence::server::{Listener, Listeners, UnixListener};
use crate::sys;
use crate::text;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host with more listening sockets than this is not understood better by reading on.
const SOCKETS_MAX: usize = 4096;
/// /proc/net/unix has about 80 bytes for each socket.
const UNIX_MAX: usize = 2 << 20;
/// Most half-open connections reported.
const SYN_RECV_MAX: usize = 64;
/// Ports a Redis usually has, beside the target's: server, TLS, replica of the documentation, Sentinel, bus.
const USUAL_PORTS: [u16; 4] = [6379, 6380, 26379, 16379];

/// How far holders are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only sockets on the target's and the usual ports, and what Redis-like processes hold.
    Usual,
    /// Every socket.
    All,
}

struct Socket {
    listener: Listener,
    inode: u64,
}

/// Looks at all listening sockets. `redis` are the pids of Redis-like processes, asked first.
pub(super) fn look(port: u16, unix: Option<&str>, redis: &[u32], reach: Reach) -> Result<Listeners, Why> {
    let mut sockets = match diag(&StateFlags::LISTEN, 0) {
        Ok(found) => found.iter().filter_map(listening).collect(),
        // A kernel without inet_diag (module not there, gVisor, a seccomp filter) still has the text table.
        Err(_) => from_text()?,
    };
    let unix_sockets =
        sys::read_text("/proc/thread-self/net/unix", UNIX_MAX).map(|t| unix_table(&t)).unwrap_or_default();
    let ports: Vec<u16> = USUAL_PORTS.into_iter().chain((port != 0).then_some(port)).collect();
    let mut wanted = Vec::new();
    for socket in &sockets {
        if reach == Reach::All || ports.contains(&socket.listener.at.port()) {
            wanted.push(socket.inode);
        }
    }
    let target = unix.and_then(resolved);
    let is_target = |path: &str| unix == Some(path) || (target.is_some() && resolved(path) == target);
    wanted.extend(unix_sockets.iter().filter(|(_, path)| is_target(path)).map(|(inode, _)| *inode));
    let holders = Holders::find(&wanted, redis);
    for Socket { listener, inode } in &mut sockets {
        listener.pids = holders.of(*inode);
        listener.comm = listener.pids.first().and_then(|pid| holders::comm(*pid));
    }
    let unix_listeners = unix_sockets
        .into_iter()
        .map(|(inode, path)| UnixListener { pids: holders.of(inode), path })
        .filter(|u| {
            is_target(&u.path) || looks_like_redis(&u.path) || u.pids.iter().any(|p| redis.contains(p))
        })
        .map(|u| match unix {
            // The same file by another name (/var/run is a link): named as it was asked for.
            Some(asked) if is_target(&u.path) => UnixListener { path: asked.to_owned(), ..u },
            _ => UnixListener { path: text::shown_str(&u.path, 200), ..u },
        })
        .collect();
    let mut tcp: Vec<Listener> = sockets.into_iter().map(|s| s.listener).collect();
    tcp.sort_by_key(|l| (l.at.port(), l.at.is_ipv6(), l.at.ip()));
    let socket_units = super::socket_units::look(&tcp, port);
    Ok(Listeners { tcp, unix: unix_listeners, syn_recv: syn_recv(port), socket_units })
}

/// The remote ends of half-open connections to a port.
pub(super) fn syn_recv(port: u16) -> Vec<SocketAddr> {
    if port == 0 {
        return Vec::new();
    }
    let found = diag(&StateFlags::SYN_RECV, port).unwrap_or_default();
    found
        .iter()
        .filter(|r| r.header.socket_id.source_port == port)
        .map(|r| SocketAddr::new(r.header.socket_id.destination_address, r.header.socket_id.destination_port))
        .take(SYN_RECV_MAX)
        .collect()
}

/// The file a path stands for, links followed: device and inode.
fn resolved(path: &str) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    sys::stat(path).ok().map(|m| (m.dev(), m.ino()))
}

fn looks_like_redis(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["redis", "valkey", "keydb", "dragonfly"].iter().any(|name| path.contains(name))
}

fn diag(states: &StateFlags, port: u16) -> Result<Vec<InetResponse>, Why> {
    let mut found = Vec::new();
    for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: states.clone(),
            // A source port makes the kernel skip all others without a copy (inet_diag_dump_icsk).
            socket_id: SocketId { source_port: port, ..id },
        });
        let answers = sys::netlink::dump(NETLINK_SOCK_DIAG, request, SOCKETS_MAX);
        // IPv6 switched off (ipv6.disable=1) fails the second request only.
        let answers = if family == AF_INET { answers? } else { answers.unwrap_or_default() };
        found.extend(answers.into_iter().filter_map(|m| match m {
            SockDiagMessage::InetResponse(response) => Some(*response),
            _ => None,
        }));
    }
    Ok(found)
}

fn listening(response: &InetResponse) -> Option<Socket> {
    let header = &response.header;
    let v6only = response.nlas.iter().find_map(|nla| match nla {
        Nla::SkV6Only(only) => Some(*only),
        _ => None,
    });
    let device = (header.socket_id.interface_id != 0)
        .then(|| nix::net::if_::if_indextoname(header.socket_id.interface_id).ok())
        .flatten()
        .map(|name| name.to_string_lossy().into_owned());
    let at = SocketAddr::new(header.socket_id.source_address, header.socket_id.source_port);
    (at.port() != 0).then(|| Socket {
        listener: Listener {
            at,
            v6only: at.is_ipv6().then_some(v6only).flatten(),
            queue: header.recv_queue,
            queue_max: header.send_queue,
            pids: Vec::new(),
            comm: None,
            uid: header.uid,
            device,
        },
        inode: u64::from(header.inode),
    })
}

fn from_text() -> Result<Vec<Socket>, Why> {
    let v4 = sys::read_text("/proc/thread-self/net/tcp", 8 << 20)
        .map_err(|e| sys::why("/proc/thread-self/net/tcp", &e))?;
    let v6 = sys::read_text("/proc/thread-self/net/tcp6", 8 << 20).unwrap_or_default();
    Ok(v4.lines().chain(v6.lines()).filter_map(tcp_line).take(SOCKETS_MAX).collect())
}

/// One line of /proc/net/tcp or tcp6: `sl local rem st tx:rx tr:tm retr uid timeout inode` (tcp_ipv4.c).
fn tcp_line(line: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace();
    let at = hex_address(fields.nth(1)?)?;
    let state = fields.nth(1)?;
    let queues = fields.next()?;
    let uid = fields.nth(2)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    // 0A is TCP_LISTEN (include/net/tcp_states.h).
    (state == "0A").then(|| Socket {
        listener: Listener {
            at,
            v6only: None,
            queue: queues.split_once(':').and_then(|(_, rx)| u32::from_str_radix(rx, 16).ok()).unwrap_or(0),
            // This table does not tell the limit; "no limit known" must never look like a full queue.
            queue_max: u32::MAX,
            pids: Vec::new(),
            comm: None,
            uid,
            device: None,
        },
        inode,
    })
}

/// `0100007F:18EB`, or 32 digits for IPv6: words in host byte order.
fn hex_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Inode and path of the listening sockets of /proc/net/unix: flags carry __SO_ACCEPTCON (1 << 16).
fn unix_table(table: &str) -> Vec<(u64, String)> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(7, ' ');
            let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
            let rest = fields.nth(2)?.trim_start();
            let (inode, path) = rest.split_once(' ')?;
            (flags & 0x1_0000 != 0 && !path.is_empty())
                .then(|| Some((inode.parse().ok()?, path.to_owned())))
                .flatten()
        })
        .take(SOCKETS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Reach, hex_address, look, tcp_line, unix_table};
    use std::net::TcpListener;

    #[test]
    fn text_tables_are_read() {
        let line = "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000002 00:00000000 00000000   106        0 24721 1 0";
        let socket = tcp_line(line).expect("listens");
        assert_eq!(socket.listener.at.to_string(), "127.0.0.1:6379");
        assert_eq!((socket.listener.queue, socket.listener.uid, socket.inode), (2, 106, 24721));
        assert_eq!(
            hex_address("00000000000000000000000001000000:18EB").map(|a| a.to_string()).as_deref(),
            Some("[::1]:6379")
        );
        assert!(tcp_line("  sl  local_address rem_address   st tx_queue").is_none());
        let unix = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff8a: 00000002 00000000 00010000 0001 01 31337 /run/redis/redis server.sock\n\
            ffff8b: 00000003 00000000 00000000 0001 03 31338 /run/other.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 57 @abstract\n";
        assert_eq!(
            unix_table(unix),
            [(31337, "/run/redis/redis server.sock".to_owned()), (57, "@abstract".to_owned())]
        );
    }

    #[test]
    fn sees_its_own_socket() {
        let own = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = own.local_addr().expect("bound").port();
        let found = look(port, None, &[], Reach::Usual).expect("looked");
        let listener = found.tcp.iter().find(|l| l.at.port() == port).expect("seen");
        assert_eq!(listener.pids, [std::process::id()]);
        assert_eq!(listener.queue, 0);
        assert!(listener.queue_max > 0);
    }

    #[test]
    fn sees_v6only() {
        let Ok(own) = TcpListener::bind("[::1]:0") else { return };
        let port = own.local_addr().expect("bound").port();
        let found = look(port, None, &[], Reach::Usual).expect("looked");
        assert!(found.tcp.iter().any(|l| l.at.port() == port && l.v6only.is_some()));
    }
}
