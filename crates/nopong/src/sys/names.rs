//! The system's resolver, with its error code kept: std's `ToSocketAddrs` throws it away.
#![expect(unsafe_code, reason = "getaddrinfo has no safe binding that keeps the error code")]

use nix::libc;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Most addresses taken of one name.
const ADDRESSES_MAX: usize = 64;

/// What getaddrinfo said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Addresses in its order, without repetition.
    Addresses(Vec<IpAddr>),
    /// `EAI_NONAME`, …
    Error(String),
    /// No answer before the deadline.
    TimedOut,
}

/// A literal in any form the C library takes (`127.1`, `0x7f.1`, `::1`), never asking anyone.
pub fn literal(host: &str) -> Option<IpAddr> {
    match getaddrinfo(host, true) {
        Resolved::Addresses(addresses) => addresses.first().copied(),
        _ => None,
    }
}

/// Resolves as the C library does. The call cannot be cancelled: at the deadline its thread is left behind.
pub fn resolve(host: &str, limit: Duration) -> Resolved {
    let (send, receive) = std::sync::mpsc::channel();
    let name = host.to_owned();
    let started = std::thread::Builder::new()
        .name("getaddrinfo".to_owned())
        .spawn(move || drop(send.send(getaddrinfo(&name, false))));
    match started {
        Ok(_) => receive.recv_timeout(limit).unwrap_or(Resolved::TimedOut),
        // No thread to be had: ask without a deadline rather than not at all.
        Err(_) => getaddrinfo(host, false),
    }
}

fn getaddrinfo(host: &str, numeric: bool) -> Resolved {
    let Ok(name) = CString::new(host) else { return Resolved::Error("EAI_NONAME".to_owned()) };
    // SAFETY: all-zero is a valid addrinfo (no pointers set).
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = libc::AF_UNSPEC;
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_flags = if numeric { libc::AI_NUMERICHOST } else { 0 };
    let mut list: *mut libc::addrinfo = std::ptr::null_mut();
    // SAFETY: name is NUL-terminated, hints is initialised, list receives a list that is freed below.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &hints, &mut list) };
    if code != 0 {
        return Resolved::Error(error_name(code));
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut node = list;
    while !node.is_null() && addresses.len() < ADDRESSES_MAX {
        // SAFETY: node is an element of the list that getaddrinfo gave, not yet freed.
        let info = unsafe { &*node };
        if let Some(address) = address(info)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
        node = info.ai_next;
    }
    // SAFETY: list is what getaddrinfo gave, freed once.
    unsafe { libc::freeaddrinfo(list) };
    Resolved::Addresses(addresses)
}

fn address(info: &libc::addrinfo) -> Option<IpAddr> {
    if info.ai_addr.is_null() {
        return None;
    }
    match info.ai_family {
        libc::AF_INET => {
            // SAFETY: family says that ai_addr points to a sockaddr_in.
            let v4 = unsafe { &*info.ai_addr.cast::<libc::sockaddr_in>() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: family says that ai_addr points to a sockaddr_in6.
            let v6 = unsafe { &*info.ai_addr.cast::<libc::sockaddr_in6>() };
            Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

fn error_name(code: i32) -> String {
    let name = match code {
        libc::EAI_NONAME => "EAI_NONAME",
        libc::EAI_AGAIN => "EAI_AGAIN",
        libc::EAI_FAIL => "EAI_FAIL",
        libc::EAI_NODATA => "EAI_NODATA",
        libc::EAI_MEMORY => "EAI_MEMORY",
        libc::EAI_FAMILY => "EAI_FAMILY",
        libc::EAI_SERVICE => "EAI_SERVICE",
        libc::EAI_BADFLAGS => "EAI_BADFLAGS",
        libc::EAI_SYSTEM => {
            return format!("EAI_SYSTEM: {}", super::errno_name(&std::io::Error::last_os_error()));
        }
        _ => return format!("EAI {code}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Resolved, literal, resolve};
    use std::time::Duration;

    #[test]
    fn odd_literals() {
        for text in ["127.0.0.1", "127.1", "0x7f.1", "2130706433"] {
            assert_eq!(literal(text), Some("127.0.0.1".parse().unwrap()), "{text}");
        }
        assert_eq!(literal("::1"), Some("::1".parse().unwrap()));
        assert_eq!(literal("localhost"), None);
        assert_eq!(literal(""), None);
        assert_eq!(literal("a\0b"), None);
    }

    #[test]
    fn localhost_resolves() {
        let Resolved::Addresses(found) = resolve("localhost", Duration::from_secs(2)) else { panic!() };
        assert!(found.iter().all(std::net::IpAddr::is_loopback));
    }
}
