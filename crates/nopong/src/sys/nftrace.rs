//! The kernel's own account of which rules a SYN of ours meets (`meta nftrace`, as `nft monitor trace` shows it).
//!
//! What switches the trace on for our packets is a table of our own. It is owned by this process's netlink socket
//! (NFT_TABLE_F_OWNER, Linux 5.12): the kernel takes it away with the socket, however the process ends. Where the kernel
//! knows no such tables, no trace is made: one that stays behind after a kill would be worse than none.

use super::netfilter::{
    BUFFER, ERROR, NEW_TABLE, NFTABLES, attributes, error, failed, messages, number, set_limit, socket, text,
};
use crate::evidence::Why;
use netlink_sys::Socket;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// NFNL_MSG_BATCH_BEGIN and _END, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_TRACE, NFNLGRP_NFTRACE.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
const NEW_CHAIN: u16 = NFTABLES | 3;
const NEW_RULE: u16 = NFTABLES | 6;
const TRACE: u16 = NFTABLES | 17;
const TRACE_GROUP: u32 = 9;
/// NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, with NLM_F_APPEND for a rule.
const CREATE: u16 = 0x405;
const APPEND: u16 = CREATE | 0x800;
/// NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6.
const INET: u8 = 1;
/// NF_INET_PRE_ROUTING and NF_INET_LOCAL_OUT: where a packet begins its way.
const HOOKS: [(&str, u32); 2] = [("pre", 0), ("out", 3)];
/// Before every other chain but one of the very lowest priority, conntrack and the raw tables included.
const PRIORITY: i32 = i32::MIN + 1;
const OWNER: u32 = 2;
/// Events taken; a packet that meets more rules than this is cut.
const EVENTS: usize = 4096;

/// Whose packets are traced.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// From where; none: from anywhere.
    pub from: Option<SocketAddr>,
    /// To which address; none: to any.
    pub to: Option<IpAddr>,
    /// To which port.
    pub port: u16,
    /// IPv4, else IPv6.
    pub v4: bool,
}

/// One step of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The kernel's number for the packet.
    pub packet: u32,
    /// Family of the rule's table: `inet`, `ip`, `ip6`, `netdev`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The rule; none for the end of a chain.
    pub handle: Option<u64>,
    /// What it did: `accept`, `drop`, `continue`, `jump NAME`, `return`, …
    pub verdict: String,
    /// The chain's policy decided.
    pub policy: bool,
    /// Source of the packet.
    pub source: Option<IpAddr>,
    /// It came in, else it was sent from here.
    pub inbound: bool,
}

/// A trace that is on; off with its value.
#[derive(Debug)]
pub struct Tracer {
    // The table goes with this socket.
    _owner: Socket,
    events: Socket,
    table: String,
}

impl Tracer {
    /// Switches the trace on for the flows.
    pub fn start(flows: &[Flow]) -> Result<Self, Why> {
        let owner = socket(Duration::from_secs(1))?;
        let events = socket(Duration::from_secs(1))?;
        events.add_membership(TRACE_GROUP).map_err(|e| failed(&e))?;
        let table = format!("nopong-{}-{}", std::process::id(), nix::unistd::gettid());
        let (batch, expected) = batch(&table, flows);
        owner.send(&batch, 0).map_err(|e| failed(&e))?;
        let mut buffer = vec![0; BUFFER];
        let mut answered = 0;
        while answered < expected {
            let size = owner.recv(&mut &mut buffer[..], 0).map_err(|e| failed(&e))?;
            for message in messages(buffer.get(..size).unwrap_or_default()).filter(|m| m.kind == ERROR) {
                answered += 1;
                if let Some(e) = error(message.body) {
                    return Err(refused(&e));
                }
            }
            if size == 0 {
                return Err(Why::Garbled { what: "netlink, nftables: no answer".to_owned() });
            }
        }
        Ok(Self { _owner: owner, events, table })
    }

    /// The events of our packets until then, or until one of them was decided and nothing more comes.
    pub fn read(&mut self, until: Instant) -> Vec<Event> {
        /// Events of one packet come within microseconds.
        const QUIET: Duration = Duration::from_millis(5);
        let mut seen: Vec<Event> = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let left = until.saturating_duration_since(super::now());
            if left.is_zero() || seen.len() >= EVENTS {
                break;
            }
            let wait = if seen.iter().any(|e| e.verdict == "drop") { left.min(QUIET) } else { left };
            if set_limit(&self.events, wait).is_err() {
                break;
            }
            // ENOBUFS: events were lost; those that follow still tell.
            let size = match self.events.recv(&mut &mut buffer[..], 0) {
                Ok(size) => size,
                Err(e) if e.raw_os_error() == Some(nix::libc::ENOBUFS) => continue,
                Err(_) => break,
            };
            let news = messages(buffer.get(..size).unwrap_or_default()).filter(|m| m.kind == TRACE);
            seen.extend(news.map(|m| event(m.family, m.body)));
        }
        // Another's trace may be on too: ours are the packets that our own table saw, and it tells their side.
        let known: Vec<Event> = seen.iter().filter(|e| e.table == self.table).cloned().collect();
        seen.retain_mut(|e| {
            let Some(first) = known.iter().find(|k| k.packet == e.packet) else { return false };
            (e.source, e.inbound) = (first.source, first.chain == HOOKS[0].0);
            e.table != self.table
        });
        seen
    }
}

fn refused(e: &std::io::Error) -> Why {
    match e.raw_os_error() {
        Some(nix::libc::EPERM) => {
            Why::NotPermitted { needs: "root (CAP_NET_ADMIN) to trace through the rules".to_owned() }
        }
        Some(nix::libc::EOPNOTSUPP | nix::libc::EINVAL) => {
            Why::Missing { what: "tables that go with their process (Linux 5.12)".to_owned() }
        }
        _ => failed(e),
    }
}

/// The table, its two chains and a rule in each for every flow; and how many answers that gets.
fn batch(table: &str, flows: &[Flow]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    // The subsystem stands in the place of the resource id, in network order (nfnetlink_rcv_batch).
    message(&mut out, BEGIN, 1, 0, 10, &[]);
    let mut body = string(1, table);
    body.extend(be32(2, OWNER));
    message(&mut out, NEW_TABLE, CREATE, INET, 0, &body);
    let mut expected = 1;
    for (chain, hook) in HOOKS {
        let mut body = string(1, table);
        body.extend(string(3, chain));
        let mut at = be32(1, hook);
        at.extend(attribute(2, &PRIORITY.to_be_bytes()));
        body.extend(nested(4, &at));
        // NF_ACCEPT.
        body.extend(be32(5, 1));
        body.extend(string(7, "filter"));
        message(&mut out, NEW_CHAIN, CREATE, INET, 0, &body);
        expected += 1;
        for flow in flows {
            let mut body = string(1, table);
            body.extend(string(2, chain));
            body.extend(nested(4, &rule(flow)));
            message(&mut out, NEW_RULE, APPEND, INET, 0, &body);
            expected += 1;
        }
    }
    message(&mut out, END, 1, 0, 10, &[]);
    (out, expected)
}

/// `meta nfproto … meta l4proto tcp … saddr … daddr … tcp sport … tcp dport … meta nftrace set 1`.
fn rule(flow: &Flow) -> Vec<u8> {
    /// NFT_META_NFPROTO, NFT_META_L4PROTO, NFT_META_NFTRACE.
    const NFPROTO: u32 = 15;
    const L4PROTO: u32 = 16;
    const NFTRACE: u32 = 12;
    let meta = |key: u32| expression("meta", &[be32(1, 1), be32(2, key)].concat());
    let is = |bytes: &[u8]| {
        let data = nested(3, &attribute(1, bytes));
        expression("cmp", &[be32(1, 1), be32(2, 0), data].concat())
    };
    // NFT_PAYLOAD_NETWORK_HEADER is 1, NFT_PAYLOAD_TRANSPORT_HEADER 2.
    let payload = |base: u32, offset: u32, length: u32| {
        expression("payload", &[be32(1, 1), be32(2, base), be32(3, offset), be32(4, length)].concat())
    };
    let address = |ip: IpAddr, offset: u32| match ip {
        IpAddr::V4(ip) => [payload(1, offset, 4), is(&ip.octets())].concat(),
        IpAddr::V6(ip) => [payload(1, offset, 16), is(&ip.octets())].concat(),
    };
    let (family, source, destination) = if flow.v4 { (2u8, 12, 16) } else { (10, 8, 24) };
    let mut out = [meta(NFPROTO), is(&[family]), meta(L4PROTO), is(&[6])].concat();
    if let Some(from) = flow.from {
        out.extend(address(from.ip(), source));
        out.extend([payload(2, 0, 2), is(&from.port().to_be_bytes())].concat());
    }
    if let Some(to) = flow.to {
        out.extend(address(to, destination));
    }
    out.extend([payload(2, 2, 2), is(&flow.port.to_be_bytes())].concat());
    let one = nested(2, &attribute(1, &[1]));
    out.extend(expression("immediate", &[be32(1, 1), one].concat()));
    out.extend(expression("meta", &[be32(2, NFTRACE), be32(3, 1)].concat()));
    out
}

fn expression(name: &str, data: &[u8]) -> Vec<u8> {
    nested(1, &[string(1, name), nested(2, data)].concat())
}

fn message(out: &mut Vec<u8>, kind: u16, flags: u16, family: u8, resource: u16, body: &[u8]) {
    let length = u32::try_from(20 + body.len()).unwrap_or(u32::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
    out.extend(body);
}

fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + content.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(content.len() + 8);
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn nested(kind: u16, content: &[u8]) -> Vec<u8> {
    attribute(kind | 0x8000, content)
}

fn string(kind: u16, content: &str) -> Vec<u8> {
    attribute(kind, &[content.as_bytes(), &[0]].concat())
}

fn be32(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

/// NFTA_TRACE_* of linux/netfilter/nf_tables.h.
fn event(family: u8, body: &[u8]) -> Event {
    let mut event = Event {
        packet: 0,
        family: super::netfilter::family(family),
        table: String::new(),
        chain: String::new(),
        handle: None,
        verdict: "continue".to_owned(),
        policy: false,
        source: None,
        inbound: false,
    };
    for (kind, content) in attributes(body) {
        match kind {
            1 => event.table = text(content),
            2 => event.chain = text(content),
            3 => event.handle = content.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)),
            // NFT_TRACETYPE_POLICY.
            4 => event.policy = number(content) == 1,
            5 => event.verdict = verdict(content),
            6 => event.packet = number(content),
            8 => event.source = source(content),
            16 => event.verdict = code(number(content), ""),
            _ => {}
        }
    }
    event
}

fn verdict(content: &[u8]) -> String {
    let (mut number_, mut chain) = (0, String::new());
    for (kind, content) in attributes(content) {
        match kind {
            1 => number_ = number(content),
            2 => chain = text(content),
            _ => {}
        }
    }
    code(number_, &chain)
}

/// NF_* and NFT_* verdicts.
fn code(number: u32, chain: &str) -> String {
    match number.cast_signed() {
        0 => "drop".to_owned(),
        1 => "accept".to_owned(),
        -1 => "continue".to_owned(),
        -3 => format!("jump {chain}"),
        -4 => format!("goto {chain}"),
        -5 => "return".to_owned(),
        // NF_STOLEN, NF_QUEUE; the lower half is the verdict.
        other => match other & 0xff {
            0 => "drop".to_owned(),
            2 => "stolen".to_owned(),
            3 => "queue".to_owned(),
            _ => "break".to_owned(),
        },
    }
}

fn source(header: &[u8]) -> Option<IpAddr> {
    match header.first()? >> 4 {
        4 => header.get(12..16)?.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        6 => header.get(8..24)?.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Tracer, code, event, source};
    use crate::evidence::Why;
    use std::net::IpAddr;

    #[test]
    fn an_event_from_bytes() {
        let mut bytes = super::string(1, "filter");
        bytes.extend(super::string(2, "input"));
        bytes.extend(super::attribute(3, &7u64.to_be_bytes()));
        bytes.extend(super::be32(4, 3));
        bytes.extend(super::nested(5, &super::be32(1, 0)));
        bytes.extend(super::be32(6, 99));
        let seen = event(1, &bytes);
        assert_eq!((seen.family, seen.table.as_str(), seen.handle), ("inet", "filter", Some(7)));
        assert_eq!((seen.verdict.as_str(), seen.packet), ("drop", 99));
        assert_eq!(code(u32::MAX - 2, "x"), "jump x");
        assert!(source(&[]).is_none());
        assert!(!event(1, &bytes[..9]).policy);
    }

    #[test]
    fn the_table_is_there_as_long_as_its_value_or_it_is_said_why_not() {
        let name = || {
            let all = crate::sys::netfilter::tables().unwrap_or_default();
            let ours = format!("nopong-{}-{}", std::process::id(), nix::unistd::gettid());
            all.iter().any(|t| t.name == ours)
        };
        let flow = Flow { from: None, to: Some(IpAddr::from([127, 0, 0, 1])), port: 1, v4: true };
        match Tracer::start(&[flow]) {
            Ok(tracer) => {
                assert!(name());
                drop(tracer);
                assert!(!name());
            }
            Err(why) => {
                assert!(matches!(why, Why::NotPermitted { .. } | Why::Missing { .. } | Why::Failed { .. }));
            }
        }
    }
}
