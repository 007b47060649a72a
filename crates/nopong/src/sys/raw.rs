//! Raw sockets that watch what answers one dial: ICMP errors about our SYN, and the RST's TTL. Needs CAP_NET_RAW.
//!
//! The kernel hands a packet to raw sockets before it acts on it (net/ipv4/ip_input.c,
//! ip_protocol_deliver_rcu), so when connect() has failed the packet that made it fail can be read already.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::io::{IoSliceMut, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

/// Most packets looked through per socket.
const PACKETS_MAX: usize = 256;

/// An ICMP error that quotes our SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// Its sender.
    pub from: IpAddr,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
}

/// Sockets that watch for the answer to a dial.
#[derive(Debug)]
pub struct Watch {
    icmp: Socket,
    tcp: Socket,
    to: SocketAddr,
}

impl Watch {
    /// Starts watching, before the SYN leaves.
    pub fn open(to: SocketAddr) -> std::io::Result<Self> {
        let domain = Domain::for_address(to);
        let icmp = if to.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let icmp = Socket::new(domain, Type::RAW.nonblocking(), Some(icmp))?;
        let tcp = Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::TCP))?;
        // Only RSTs from the dialled port: a busy machine's other packets would fill the buffer.
        tcp.attach_filter(&rst_from(to))?;
        if to.is_ipv6() {
            nix::sys::socket::setsockopt(&tcp, nix::sys::socket::sockopt::Ipv6RecvHopLimit, &true)?;
        }
        Ok(Self { icmp, tcp, to })
    }

    /// The ICMP error about our SYN that came, if any. `from` is our end, where known.
    pub fn icmp(&self, from: Option<SocketAddr>) -> Option<IcmpError> {
        let mut buffer = [0u8; 1500];
        for _ in 0..PACKETS_MAX {
            let (size, sender) = receive(&self.icmp, &mut buffer)?;
            let packet = buffer.get(..size).unwrap_or_default();
            let found = match (self.to.ip(), sender) {
                (IpAddr::V4(to), _) => quoted_v4(packet, to),
                (IpAddr::V6(to), Some(sender)) => quoted_v6(packet, to, sender),
                (IpAddr::V6(_), None) => None,
            };
            if let Some((error, ports)) = found {
                let ours = from.is_none_or(|f| f.port() == 0 || f.port() == ports.0);
                if ports.1 == self.to.port() && ours {
                    return Some(error);
                }
            }
        }
        None
    }

    /// TTL or hop limit of the RST that came, if any.
    pub fn rst(&self, from: Option<SocketAddr>) -> Option<u8> {
        for _ in 0..PACKETS_MAX {
            let (ttl, destination) = match self.to.ip() {
                IpAddr::V4(to) => {
                    let mut buffer = [0u8; 256];
                    let size = (&self.tcp).read(&mut buffer).ok()?;
                    let packet = buffer.get(..size).unwrap_or_default();
                    let Some(header) = Ipv4::parse(packet) else { continue };
                    // A RST for a dial to 0.0.0.0 comes from loopback.
                    if header.source != to && !to.is_unspecified() {
                        continue;
                    }
                    (header.ttl, be16(packet, header.length + 2))
                }
                IpAddr::V6(to) => {
                    let (packet, limit, source) = receive_v6(&self.tcp)?;
                    if source != to && !to.is_unspecified() {
                        continue;
                    }
                    (limit?, be16(&packet, 2))
                }
            };
            if from.is_none_or(|f| f.port() == 0 || Some(f.port()) == destination) {
                return Some(ttl);
            }
        }
        None
    }
}

/// Classic BPF: a TCP segment with RST set whose source port is the one dialled. An IPv4 raw socket's filter sees the
/// IP header first, an IPv6 one the TCP header (net/ipv4/raw.c raw_rcv, net/ipv6/raw.c rawv6_rcv).
fn rst_from(to: SocketAddr) -> Vec<SockFilter> {
    // linux/filter.h: BPF_LDX|B|MSH, BPF_LD|B|IND, BPF_LD|H|IND, BPF_LDX|W|IMM, BPF_JMP|JSET|K, BPF_JMP|JEQ|K, BPF_RET|K.
    let (ldx_msh, ldb_ind, ldh_ind, ldx_imm, jset, jeq, ret) = (0xb1, 0x50, 0x48, 0x01, 0x45, 0x15, 0x06);
    let start =
        if to.is_ipv4() { SockFilter::new(ldx_msh, 0, 0, 0) } else { SockFilter::new(ldx_imm, 0, 0, 0) };
    vec![
        start,
        SockFilter::new(ldb_ind, 0, 0, 13),
        SockFilter::new(jset, 0, 3, 4),
        SockFilter::new(ldh_ind, 0, 0, 0),
        SockFilter::new(jeq, 0, 1, u32::from(to.port())),
        SockFilter::new(ret, 0, 0, 256),
        SockFilter::new(ret, 0, 0, 0),
    ]
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> Option<(usize, Option<Ipv6Addr>)> {
    let mut slices = [IoSliceMut::new(buffer)];
    let got = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut slices, None, MsgFlags::MSG_DONTWAIT).ok()?;
    Some((got.bytes, got.address.map(|a| a.ip())))
}

fn receive_v6(socket: &Socket) -> Option<(Vec<u8>, Option<u8>, Ipv6Addr)> {
    let mut buffer = [0u8; 256];
    let mut control = nix::cmsg_space!(i32);
    let (size, limit, source) = {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let got = recvmsg::<SockaddrIn6>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )
        .ok()?;
        let limit = got.cmsgs().ok()?.find_map(|c| match c {
            ControlMessageOwned::Ipv6HopLimit(limit) => u8::try_from(limit).ok(),
            _ => None,
        });
        (got.bytes, limit, got.address?.ip())
    };
    Some((buffer.get(..size).unwrap_or_default().to_vec(), limit, source))
}

struct Ipv4 {
    length: usize,
    ttl: u8,
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
}

impl Ipv4 {
    fn parse(packet: &[u8]) -> Option<Self> {
        let length = usize::from(packet.first()? & 0xf) * 4;
        let address =
            |at: usize| packet.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(Ipv4Addr::from);
        Some(Self {
            length,
            ttl: *packet.get(8)?,
            protocol: *packet.get(9)?,
            source: address(12)?,
            destination: address(16)?,
        })
    }
}

fn be16(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]))
}

/// The error and the quoted ports of an ICMP packet (RFC 792) that quotes a TCP segment to `to`.
fn quoted_v4(packet: &[u8], to: Ipv4Addr) -> Option<(IcmpError, (u16, u16))> {
    let outer = Ipv4::parse(packet)?;
    let icmp = packet.get(outer.length..)?;
    let (kind, code) = (*icmp.first()?, *icmp.get(1)?);
    if !matches!(kind, 3 | 11 | 12) {
        return None;
    }
    let quote = icmp.get(8..)?;
    let inner = Ipv4::parse(quote)?;
    if inner.protocol != 6 || inner.destination != to {
        return None;
    }
    let ports = (be16(quote, inner.length)?, be16(quote, inner.length + 2)?);
    Some((IcmpError { from: IpAddr::V4(outer.source), kind, code }, ports))
}

/// The same for ICMPv6 (RFC 4443); a raw socket does not see the outer header.
fn quoted_v6(packet: &[u8], to: Ipv6Addr, from: Ipv6Addr) -> Option<(IcmpError, (u16, u16))> {
    let (kind, code) = (*packet.first()?, *packet.get(1)?);
    if !matches!(kind, 1..=4) {
        return None;
    }
    let quote = packet.get(8..)?;
    let destination: [u8; 16] = quote.get(24..40)?.try_into().ok()?;
    if *quote.get(6)? != 6 || Ipv6Addr::from(destination) != to {
        return None;
    }
    Some((IcmpError { from: IpAddr::V6(from), kind, code }, (be16(quote, 40)?, be16(quote, 42)?)))
}

/// The name that iptables gives an error of destination unreachable.
pub fn icmp_name(v4: bool, kind: u8, code: u8) -> String {
    let name = match (v4, kind, code) {
        (true, 3, 0) => "icmp-net-unreachable",
        (true, 3, 1) => "icmp-host-unreachable",
        (true, 3, 2) => "icmp-proto-unreachable",
        (true, 3, 3) => "icmp-port-unreachable",
        (true, 3, 4) => "icmp-fragmentation-needed",
        (true, 3, 9) => "icmp-net-prohibited",
        (true, 3, 10) => "icmp-host-prohibited",
        (true, 3, 13) => "icmp-admin-prohibited",
        (true, 11, _) => "icmp-time-exceeded",
        (false, 1, 0) => "icmp6-no-route",
        (false, 1, 1) => "icmp6-adm-prohibited",
        (false, 1, 2) => "icmp6-beyond-scope",
        (false, 1, 3) => "icmp6-addr-unreachable",
        (false, 1, 4) => "icmp6-port-unreachable",
        (false, 1, 5) => "icmp6-policy-fail",
        (false, 1, 6) => "icmp6-reject-route",
        (false, 3, _) => "icmp6-time-exceeded",
        _ => return format!("icmp type {kind} code {code}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{quoted_v4, quoted_v6};

    #[test]
    fn short_packets_are_nothing() {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.splice(10..10, [0, 0]);
        packet.extend([3, 13, 0, 0, 0, 0, 0, 0]);
        packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 5]);
        packet.extend([0xc0, 0x01, 0x18, 0xeb]);
        let (error, ports) = quoted_v4(&packet, "10.0.0.5".parse().unwrap()).unwrap();
        assert_eq!((error.kind, error.code, error.from.to_string().as_str()), (3, 13, "10.0.0.1"));
        assert_eq!(ports, (0xc001, 6379));
        for n in 0..packet.len() {
            assert_eq!(quoted_v4(&packet[..n], "10.0.0.5".parse().unwrap()), None);
            assert_eq!(quoted_v6(&packet[..n], "::1".parse().unwrap(), "::1".parse().unwrap()), None);
        }
    }
}
