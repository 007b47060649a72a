//! TCP handshakes on the wire: a packet socket (packet(7)) sees what comes in before netfilter does, and what goes out after
//! it (net/core/dev.c, __netif_receive_skb_core and dev_queue_xmit_nit). Needs CAP_NET_RAW.

use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::ClockId;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

/// ETH_P_ALL of linux/if_ether.h: both directions, all protocols.
const ALL: u16 = 3;
/// PACKET_HOST and PACKET_OUTGOING of linux/if_packet.h.
const TO_US: u8 = 0;
const FROM_US: u8 = 4;
/// Room for a burst of some thousand handshakes; the kernel halves what it may not give.
const BUFFER: usize = 4 << 20;

/// A SYN, a SYN-ACK or a RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// SYN is set.
    pub syn: bool,
    /// ACK is set.
    pub ack: bool,
    /// RST is set.
    pub rst: bool,
    /// It leaves this host.
    pub out: bool,
    /// Index of the interface.
    pub dev: u32,
    /// When it was on the wire, by the monotonic clock.
    pub at: Option<Duration>,
}

/// The socket.
#[derive(Debug)]
pub struct Packets {
    socket: Socket,
    lost: u32,
    /// The real-time clock, which packets are stamped by, is so far ahead of the monotonic one.
    ahead: Duration,
}

impl Packets {
    /// Starts watching every interface of this network namespace.
    pub fn open() -> std::io::Result<Self> {
        let kind = Type::DGRAM.nonblocking();
        let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(i32::from(ALL.to_be()))))?;
        socket.attach_filter(&handshakes())?;
        drop(socket.set_recv_buffer_size(BUFFER));
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let now = |clock: ClockId| clock.now().map(Duration::from).unwrap_or_default();
        let ahead = now(ClockId::CLOCK_REALTIME).saturating_sub(now(ClockId::CLOCK_MONOTONIC));
        Ok(Self { socket, lost: 0, ahead })
    }

    /// The next segment; none at the deadline.
    pub fn next(&mut self, deadline: Instant) -> Option<Segment> {
        loop {
            match self.receive() {
                Ok(Some(segment)) => return Some(segment),
                Ok(None) => {}
                Err(nix::errno::Errno::EAGAIN) => {
                    if !super::net::readable(self.socket.as_fd(), deadline) {
                        return None;
                    }
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Packets that came faster than they were read.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    fn receive(&mut self) -> nix::Result<Option<Segment>> {
        let mut buffer = [0u8; 128];
        let mut control = nix::cmsg_space!(u32, TimeSpec);
        let (size, address, lost, stamp) = {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let got = recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
            let (mut lost, mut stamp) = (None, None);
            for message in got.cmsgs()? {
                match message {
                    ControlMessageOwned::RxqOvfl(count) => lost = Some(count),
                    ControlMessageOwned::ScmTimestampns(time) => stamp = Some(Duration::from(time)),
                    _ => {}
                }
            }
            (got.bytes, got.address, lost, stamp)
        };
        self.lost = lost.unwrap_or(self.lost);
        let Some(link) = address else { return Ok(None) };
        let out = match link.pkttype() {
            TO_US => false,
            FROM_US => true,
            _ => return Ok(None),
        };
        let found = segment(buffer.get(..size).unwrap_or_default());
        let dev = u32::try_from(link.ifindex()).unwrap_or(0);
        let at = stamp.and_then(|stamp| stamp.checked_sub(self.ahead));
        Ok(found.map(|s| Segment { out, dev, at, ..s }))
    }
}

/// Classic BPF: TCP over IPv4 (no later fragment) or IPv6 (no extension header) with SYN or RST set. A SOCK_DGRAM packet
/// socket's filter sees the network header first (net/packet/af_packet.c, packet_rcv).
fn handshakes() -> Vec<SockFilter> {
    // linux/filter.h: BPF_LD|B|ABS, BPF_LD|H|ABS, BPF_LD|B|IND, BPF_LDX|B|MSH, BPF_ALU|AND|K, BPF_JMP|JEQ|K, JSET, BPF_RET|K.
    let (ldb, ldh, ldb_ind, ldx_msh, and, jeq, jset, ret) = (0x30, 0x28, 0x50, 0xb1, 0x54, 0x15, 0x45, 0x06);
    vec![
        SockFilter::new(ldb, 0, 0, 0),
        SockFilter::new(and, 0, 0, 0xf0),
        SockFilter::new(jeq, 2, 0, 0x40),
        SockFilter::new(jeq, 8, 0, 0x60),
        SockFilter::new(ret, 0, 0, 0),
        // IPv4: protocol, fragment offset, flags of TCP.
        SockFilter::new(ldb, 0, 0, 9),
        SockFilter::new(jeq, 0, 10, 6),
        SockFilter::new(ldh, 0, 0, 6),
        SockFilter::new(jset, 8, 0, 0x1fff),
        SockFilter::new(ldx_msh, 0, 0, 0),
        SockFilter::new(ldb_ind, 0, 0, 13),
        SockFilter::new(jset, 4, 5, 6),
        // IPv6: next header, flags of TCP.
        SockFilter::new(ldb, 0, 0, 6),
        SockFilter::new(jeq, 0, 3, 6),
        SockFilter::new(ldb, 0, 0, 53),
        SockFilter::new(jset, 0, 1, 6),
        SockFilter::new(ret, 0, 0, 128),
        SockFilter::new(ret, 0, 0, 0),
    ]
}

/// Addresses, ports and flags of a packet that begins with its IP header.
fn segment(packet: &[u8]) -> Option<Segment> {
    let version = packet.first()? >> 4;
    let (from, to, tcp): (IpAddr, IpAddr, &[u8]) = match version {
        4 => {
            let address = |at: usize| <[u8; 4]>::try_from(packet.get(at..at + 4)?).ok().map(Ipv4Addr::from);
            let length = usize::from(packet.first()? & 0xf) * 4;
            (*packet.get(9)? == 6).then_some(())?;
            (address(12)?.into(), address(16)?.into(), packet.get(length..)?)
        }
        6 => {
            let address = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok().map(Ipv6Addr::from);
            (*packet.get(6)? == 6).then_some(())?;
            (address(8)?.into(), address(24)?.into(), packet.get(40..)?)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
    let flags = *tcp.get(13)?;
    let (syn, rst, ack) = (flags & 2 != 0, flags & 4 != 0, flags & 16 != 0);
    (syn || rst).then_some(())?;
    let (from, to) = (SocketAddr::new(from, port(0)?), SocketAddr::new(to, port(2)?));
    Some(Segment { from, to, syn, ack, rst, out: false, dev: 0, at: None })
}

#[cfg(test)]
mod tests {
    use super::{Packets, segment};
    use std::time::Duration;

    #[test]
    fn short_packets_are_nothing() {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 7, 10, 0, 0, 5];
        packet.extend([0xc0, 0x01, 0x18, 0xeb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12]);
        let found = segment(&packet).expect("a segment");
        assert_eq!((found.from.to_string(), found.to.port()), ("10.0.0.7:49153".to_owned(), 6379));
        assert!(found.syn && found.ack && !found.rst);
        for n in 0..packet.len() {
            assert_eq!(segment(&packet[..n]), None);
        }
    }

    #[test]
    fn a_refused_dial_is_seen_whole_or_it_is_said_why_not() {
        let Ok(mut packets) = Packets::open() else { return };
        let deadline = crate::sys::now() + Duration::from_secs(2);
        // Port 1 (tcpmux) is closed on any machine a test runs on; v6 where there is some.
        for to in ["127.0.0.1:1", "[::1]:1"] {
            let to = to.parse().expect("address");
            let Err(e) = crate::sys::net::connect(to, deadline) else { continue };
            if e.kind() != std::io::ErrorKind::ConnectionRefused {
                continue;
            }
            let mut seen = Vec::new();
            while let Some(s) = packets.next(deadline).filter(|_| seen.len() < 100) {
                if s.to == to || s.from == to {
                    let now = Duration::from(nix::time::ClockId::CLOCK_MONOTONIC.now().expect("a clock"));
                    let age = now.saturating_sub(s.at.expect("a time"));
                    assert!(age < Duration::from_secs(60) && !age.is_zero(), "{age:?}");
                    seen.push((s.syn, s.rst, s.out));
                }
                if seen.contains(&(true, false, false)) && seen.contains(&(false, true, false)) {
                    break;
                }
            }
            assert!(seen.contains(&(true, false, true)) && seen.contains(&(false, true, false)), "{seen:?}");
        }
        assert_eq!(packets.lost(), 0);
    }
}
