//! The way in to a server in a container: from within its network, where it takes whoever comes for its own host. No port
//! need be published, and protected mode lets one in.

use super::Fault;
use crate::probe::containers::{is_of, listens};
use crate::vantage::docker;
use crate::{sys, text};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// The container's main process on this machine, by its engine's word at the moment; none while it does not run.
pub(super) fn main_process(socket: &str, id: &str) -> Result<Option<u32>, Fault> {
    let short = text::shown_str(id.get(..12).unwrap_or(id), 40);
    if !docker::is_name(id) {
        return Err(Fault::new(format!("{short} is not a container's id")));
    }
    if docker::asleep(Path::new(socket)) {
        return Ok(None);
    }
    let found = docker::inspect(Path::new(socket), id).map_err(|why| Fault::new(why.to_string()))?;
    let Some(found) = found else { return Ok(None) };
    let pid = found["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    // Between two starts it may still tell the last one's.
    let Some(pid) = pid.filter(|pid| sys::stat(format!("/proc/{pid}/exe")).is_ok()) else { return Ok(None) };
    match is_of(pid, id) {
        true => Ok(Some(pid)),
        false => Err(Fault::new(format!("container {short} does not run on this machine itself"))),
    }
}

/// Where one dials a port in there: loopback, where it is served.
fn address(all: &[SocketAddr], port: u16) -> Option<SocketAddr> {
    let mut own: Vec<SocketAddr> = all.iter().copied().filter(|at| at.port() == port).collect();
    for at in &mut own {
        match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => at.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => at.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
    }
    own.into_iter().min_by_key(|at| (!at.ip().is_loopback(), at.is_ipv6()))
}

/// A connection to the port. A socket stays in the network that it was made in.
pub(super) fn connect(socket: &str, id: &str, port: u16, limit: Duration) -> Result<TcpStream, Fault> {
    let pid = main_process(socket, id)?.ok_or_else(|| Fault::new("its container does not run"))?;
    let at = listens(pid).and_then(|all| address(&all, port)).ok_or_else(|| {
        Fault::new(format!("nobody listens at port {port} of its container (ECONNREFUSED)"))
    })?;
    let dial = || {
        let namespace = format!("/proc/{pid}/ns/net");
        sys::namespaces::enter_network(Path::new(&namespace)).map_err(|why| Fault::new(why.to_string()))?;
        TcpStream::connect_timeout(&at, limit)
            .map_err(|e| Fault::new(format!("cannot reach the running server: {}", sys::errno_name(&e))))
    };
    std::thread::scope(|scope| scope.spawn(dial).join())
        .unwrap_or_else(|_| Err(Fault::new("the container's network cannot be entered")))
}

/// Where a path of the container is found from here.
pub(super) fn path(socket: &str, id: &str, inside: &str) -> Result<String, Fault> {
    let pid = main_process(socket, id)?.ok_or_else(|| Fault::new("its container does not run"))?;
    Ok(format!("/proc/{pid}/root{inside}"))
}

#[cfg(test)]
mod tests {
    use super::{address, main_process};

    #[test]
    fn dialled_where_it_is_served() {
        let of = |all: &[&str]| {
            let all: Vec<_> = all.iter().map(|a| a.parse().expect("address")).collect();
            address(&all, 6379).map(|at| at.to_string())
        };
        assert_eq!(of(&["[::]:6379", "0.0.0.0:6379"]).as_deref(), Some("127.0.0.1:6379"));
        assert_eq!(of(&["172.17.0.2:6379", "[::1]:6379"]).as_deref(), Some("[::1]:6379"));
        assert_eq!(of(&["172.17.0.2:6379"]).as_deref(), Some("172.17.0.2:6379"));
        assert_eq!(of(&["127.0.0.1:16379"]), None);
    }

    #[test]
    fn no_id_leaves_the_path() {
        assert!(main_process("/nonexistent", "x/../../images").is_err());
    }
}
