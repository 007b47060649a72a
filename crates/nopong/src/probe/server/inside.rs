//! The server asked through a side door: another address or the unix socket of the instance that the client's own
//! attempt did not get an answer from.

use super::Request;
use crate::evidence::client::{Speaks, Talk};
use crate::evidence::server::{Listeners, Process};
use crate::evidence::{CaseFile, Why};
use crate::probe::client::talk::{Login, Peer, converse};
use crate::sys;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// On one's own machine an answer takes microseconds; a server that is busy for longer is told as silent.
const LIMIT: Duration = Duration::from_millis(150);
/// Doors tried.
const DOORS_MAX: usize = 4;

/// A way in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Door {
    Unix(String),
    Tcp(SocketAddr),
}

/// Whether the client's own conversation already told everything.
pub(super) fn is_needed(file: &CaseFile) -> bool {
    let talks = file.client.protocol.get().map_or(&[][..], Vec::as_slice);
    !talks.iter().any(|t| t.pong() && !t.info.is_empty() && !t.config.is_empty())
}

/// Tries the doors of the target's server until one is answered by RESP.
pub(super) fn look(request: &Request, file: &CaseFile) -> Result<Talk, Why> {
    let listeners = file.server.listener.get();
    let processes = file.server.process.get().map_or(&[][..], Vec::as_slice);
    let (Some(listeners), Some((process, certain))) = (listeners, server_of(file, processes)) else {
        return Err(Why::Missing { what: "a running server to ask".to_owned() });
    };
    let doors = doors(listeners, process, configured_tls(file));
    if doors.is_empty() {
        return Err(Why::Missing { what: format!("a socket of process {} to ask", process.pid) });
    }
    // The password is for the target's server, not for another that happens to run here.
    let login = Login {
        user: request.target.user.as_deref().filter(|_| certain),
        password: request.target.password.as_ref().filter(|_| certain),
        db: None,
    };
    let mut last = None;
    for door in doors.into_iter().take(DOORS_MAX) {
        match ask(&door, login) {
            Ok(talk) if talk.speaks == Speaks::Resp => return Ok(talk),
            Ok(talk) => last = Some(Ok(talk)),
            Err(why) => last = last.or(Some(Err(why))),
        }
    }
    last.unwrap_or(Err(Why::Missing { what: "a socket to ask".to_owned() }))
}

fn ask(door: &Door, login: Login<'_>) -> Result<Talk, Why> {
    let deadline = sys::now() + LIMIT;
    let (to, stream) = match door {
        Door::Unix(path) => (path.clone(), sys::net::connect_unix(Path::new(path), deadline)),
        Door::Tcp(at) => (at.to_string(), sys::net::connect(*at, deadline)),
    };
    let mut stream = stream.map_err(|e| match e.kind() {
        std::io::ErrorKind::TimedOut => Why::TimedOut { after_ms: LIMIT.as_millis() as u64 },
        _ => sys::why(&to, &e),
    })?;
    let peer = Peer { to, tls: false, private: true };
    Ok(converse(&mut stream, peer, login, LIMIT, &mut || {}))
}

/// The holder of the target's port or socket (then it is certain), else the only server of this network namespace.
fn server_of<'a>(file: &CaseFile, processes: &'a [Process]) -> Option<(&'a Process, bool)> {
    let listeners = file.server.listener.get()?;
    let holders: Vec<u32> = match &file.ask.unix {
        Some(path) => {
            listeners.unix.iter().filter(|u| &u.path == path).flat_map(|u| u.pids.clone()).collect()
        }
        None => listeners
            .tcp
            .iter()
            .filter(|l| l.at.port() == file.ask.port)
            .flat_map(|l| l.pids.clone())
            .collect(),
    };
    let servers: Vec<&Process> =
        processes.iter().filter(|p| !p.sentinel && p.state != 'Z' && p.same_netns != Some(false)).collect();
    processes
        .iter()
        .find(|p| holders.contains(&p.pid))
        .map(|p| (p, true))
        .or_else(|| if servers.len() == 1 { servers.first().map(|p| (*p, false)) } else { None })
}

/// Ports that speak TLS, from the configuration, where it is known.
fn configured_tls(file: &CaseFile) -> Option<u16> {
    let config = file.server.config.get()?.first()?;
    config.value("tls-port")?.parse().ok().filter(|p| *p != 0)
}

/// Ways in, the surest first: the unix socket, then loopback, then the rest. Not the TLS port, not the cluster bus.
fn doors(listeners: &Listeners, process: &Process, tls: Option<u16>) -> Vec<Door> {
    // Without root nobody tells whose a socket is; then the server's user and the usual names do.
    let own = |pids: &[u32], uid: Option<u32>| {
        pids.contains(&process.pid)
            || (pids.is_empty() && uid.is_none_or(|uid| uid == process.uid && uid != 0))
    };
    let mut doors: Vec<Door> =
        listeners.unix.iter().filter(|u| own(&u.pids, None)).map(|u| Door::Unix(u.path.clone())).collect();
    let mut tcp: Vec<SocketAddr> = listeners
        .tcp
        .iter()
        .filter(|l| own(&l.pids, Some(l.uid)) && Some(l.at.port()) != tls)
        .map(|l| match l.at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), l.at.port()),
            IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), l.at.port()),
            _ => l.at,
        })
        .collect();
    let ports: Vec<u16> = tcp.iter().map(SocketAddr::port).collect();
    // The cluster bus is the port plus 10000 and would take PING for a broken packet.
    tcp.retain(|a| a.port().checked_sub(10_000).is_none_or(|base| !ports.contains(&base)));
    tcp.sort_by_key(|a| (!a.ip().is_loopback(), a.is_ipv6(), a.port()));
    doors.extend(tcp.into_iter().map(Door::Tcp));
    doors
}

#[cfg(test)]
mod tests {
    use super::{Door, doors};
    use crate::evidence::server::{Listener, Listeners, Process, UnixListener};

    fn listener(at: &str) -> Listener {
        Listener {
            at: at.parse().expect("address"),
            v6only: None,
            queue: 0,
            queue_max: 511,
            pids: vec![7],
            comm: None,
            uid: 0,
            device: None,
        }
    }

    #[test]
    fn the_surest_door_first_and_never_the_bus() {
        let listeners = Listeners {
            tcp: vec![
                listener("10.0.0.5:6379"),
                listener("0.0.0.0:6379"),
                listener("10.0.0.5:16379"),
                listener("10.0.0.5:6390"),
            ],
            unix: vec![UnixListener { path: "/run/redis.sock".to_owned(), pids: vec![7] }],
            syn_recv: Vec::new(),
            socket_units: Vec::new(),
        };
        let process = Process { pid: 7, ..Process::default() };
        let found = doors(&listeners, &process, Some(6390));
        assert_eq!(
            found,
            [
                Door::Unix("/run/redis.sock".to_owned()),
                Door::Tcp("127.0.0.1:6379".parse().expect("address")),
                Door::Tcp("10.0.0.5:6379".parse().expect("address")),
            ]
        );
        assert!(doors(&listeners, &Process { pid: 8, ..Process::default() }, None).is_empty());
    }
}
