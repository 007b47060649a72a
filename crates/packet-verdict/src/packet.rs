//! The connection to be judged: one TCP packet and what is known of where it stands.

use crate::clock::Clock;
use std::net::IpAddr;

/// Where the packet is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// It arrives for this host.
    Input,
    /// It passes through this host.
    Forward,
    /// This host sends it.
    Output,
}

/// Which packet of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtState {
    /// The first: a SYN.
    New,
    /// A later one from the side that dialled.
    Established,
    /// The answer to the first, a SYN-ACK, on its way back: source and destination are those of the answer.
    Answer,
}

/// A route of this host: destination prefix and the interface it leaves by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub dst: IpAddr,
    pub prefix: u8,
    pub dev: String,
}

impl Route {
    /// Whether the address is in its prefix.
    #[must_use]
    pub fn holds(&self, addr: IpAddr) -> bool {
        prefix_holds(self.dst, self.prefix, addr)
    }
}

/// An address of this host, and the interface that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub addr: IpAddr,
    pub dev: Option<String>,
}

/// One TCP packet. What is `None` is not known; it makes a verdict `undecided` only where it can change it.
#[derive(Debug, Clone)]
pub struct Packet {
    pub src: IpAddr,
    pub dst: IpAddr,
    /// The client's port; by default any unprivileged one.
    pub sport: (u16, u16),
    pub dport: u16,
    pub hook: Hook,
    pub state: CtState,
    pub iif: Option<String>,
    pub oif: Option<String>,
    /// skb->mark on entry: 0 unless a program or a driver sets one.
    pub mark: Option<u32>,
    /// Owner of the sending socket, for packets of this host.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// This host's addresses, where they are known.
    pub local: Option<Vec<Address>>,
    /// This host's routes, to find the interface a forwarded packet leaves by.
    pub routes: Vec<Route>,
    /// Whether the way back to the source leaves by the interface it came in on; assumed when not known.
    pub reverse_path: Option<bool>,
    /// When it is sent; for rules that hold at some times only.
    pub now: Option<Clock>,
    /// The queues of packets at which a program waits.
    pub queues: Option<Vec<u16>>,
    /// The sender's hardware address, where it is in the same network: 48 bits.
    pub mac: Option<u64>,
    /// Nobody else uses up the limits of rates.
    pub(crate) unhurried: bool,
}

impl Packet {
    /// A SYN from any unprivileged port, arriving for this host.
    #[must_use]
    pub fn new(src: IpAddr, dst: IpAddr, dport: u16) -> Self {
        Self {
            src,
            dst,
            sport: (1024, 65535),
            dport,
            hook: Hook::Input,
            state: CtState::New,
            iif: None,
            oif: None,
            mark: Some(0),
            uid: None,
            gid: None,
            local: None,
            routes: Vec::new(),
            reverse_path: None,
            now: None,
            queues: None,
            mac: None,
            unhurried: false,
        }
    }

    /// Whether the packet never leaves the host, as far as its addresses tell.
    pub(crate) fn loops(&self) -> bool {
        match self.hook {
            Hook::Input => self.src == self.dst || self.has_local(self.src),
            Hook::Output => self.src == self.dst || self.has_local(self.dst),
            Hook::Forward => false,
        }
    }

    pub(crate) fn has_local(&self, addr: IpAddr) -> bool {
        addr.is_loopback() || self.local.as_ref().is_some_and(|l| l.iter().any(|x| x.addr == addr))
    }

    /// The interface of the longest matching route.
    pub(crate) fn route_dev(&self, dst: IpAddr) -> Option<&str> {
        self.routes.iter().filter(|r| r.holds(dst)).max_by_key(|r| r.prefix).map(|r| r.dev.as_str())
    }
}

pub(crate) fn prefix_holds(net: IpAddr, prefix: u8, addr: IpAddr) -> bool {
    match (net, addr) {
        (IpAddr::V4(n), IpAddr::V4(a)) => {
            let (lo, hi) = prefix_range(u128::from(u32::from(n)), prefix.into(), 32);
            (lo..=hi).contains(&u128::from(u32::from(a)))
        }
        (IpAddr::V6(n), IpAddr::V6(a)) => {
            let (lo, hi) = prefix_range(u128::from(n), prefix.into(), 128);
            (lo..=hi).contains(&u128::from(a))
        }
        _ => false,
    }
}

/// First and last number of a prefix of `len` bits in a number of `width` bits.
pub(crate) fn prefix_range(addr: u128, len: u32, width: u32) -> (u128, u128) {
    let free = width.saturating_sub(len);
    let host = if free >= 128 { u128::MAX } else { (1u128 << free) - 1 };
    let all = if width >= 128 { u128::MAX } else { (1u128 << width) - 1 };
    (addr & !host & all, (addr | host) & all)
}

pub(crate) fn addr_bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}
