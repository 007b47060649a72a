//! How far a SYN gets: connects with a small TTL, whose time-exceeded errors the socket's own error queue tells
//! (IP_RECVERR, ip(7)); no privilege needed. And a ping, where the kernel lets us.

use super::net::{Connecting, readable};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{IoSliceMut, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

/// The routers that answered, by TTL, for TTLs up to `max`.
pub fn hops(to: SocketAddr, max: u32, deadline: Instant) -> Vec<(u8, IpAddr)> {
    let dials: Vec<_> =
        (1..=max).filter_map(|ttl| Some((ttl, Connecting::start(to, Some(ttl)).ok()?))).collect();
    dials
        .into_iter()
        .filter_map(|(ttl, mut dial)| {
            drop(dial.wait(deadline)?);
            Some((u8::try_from(ttl).ok()?, time_exceeded(dial.socket())?))
        })
        .collect()
}

/// The router that sent the time-exceeded error waiting in the socket's error queue.
fn time_exceeded(socket: &Socket) -> Option<IpAddr> {
    let mut buffer = [0u8; 256];
    let mut control = vec![0u8; 512];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let got = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags).ok()?;
    got.cmsgs().ok()?.find_map(|c| match c {
        // Type 11 is ICMP's time exceeded, 3 is ICMPv6's (RFC 792, RFC 4443).
        ControlMessageOwned::Ipv4RecvErr(error, Some(from)) if error.ee_type == 11 => {
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr))))
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(from)) if error.ee_type == 3 => {
            Some(IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)))
        }
        _ => None,
    })
}

/// Whether the host answers a ping; none when we may not send one.
pub fn ping(to: IpAddr, deadline: Instant) -> Option<bool> {
    let address = SocketAddr::new(to, 0);
    let domain = Domain::for_address(address);
    let (protocol, request) = match to {
        IpAddr::V4(_) => (Protocol::ICMPV4, 8u8),
        IpAddr::V6(_) => (Protocol::ICMPV6, 128u8),
    };
    // Unprivileged where net.ipv4.ping_group_range lets us, else raw where CAP_NET_RAW does.
    let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(_) => (Socket::new(domain, Type::RAW, Some(protocol)).ok()?, true),
    };
    let token = std::process::id().to_be_bytes();
    let mut packet = [request, 0, 0, 0, token[2], token[3], 0, 1, b'n', b'o', b'p', b'o', b'n', b'g', 0, 0];
    if to.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    socket.send_to(&packet, &SockAddr::from(address)).ok()?;
    socket.set_nonblocking(true).ok()?;
    let mut buffer = [0u8; 256];
    // A raw socket sees other programs' replies too: as many looks as it takes, until the deadline.
    while readable(socket.as_fd(), deadline) {
        let Ok(size) = (&socket).read(&mut buffer) else { return Some(false) };
        let mut reply = buffer.get(..size).unwrap_or_default();
        if raw && to.is_ipv4() {
            let header = usize::from(reply.first().copied().unwrap_or_default() & 0xf) * 4;
            let source = reply.get(12..16).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(Ipv4Addr::from);
            if source.map(IpAddr::V4) != Some(to) {
                continue;
            }
            reply = reply.get(header..).unwrap_or_default();
        }
        let echo = if to.is_ipv4() { 0 } else { 129 };
        if reply.first() == Some(&echo) && (!raw || reply.get(4..6) == Some(&token[2..4])) {
            return Some(true);
        }
    }
    Some(false)
}

/// RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let mut sum: u32 = packet
        .chunks(2)
        .map(|pair| {
            u32::from(pair.first().copied().unwrap_or_default()) << 8
                | u32::from(pair.get(1).copied().unwrap_or_default())
        })
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn checksum_of_a_summed_packet_is_zero() {
        let mut packet = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&packet), 0);
    }
}
