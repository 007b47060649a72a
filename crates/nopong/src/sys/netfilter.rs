//! nftables by netlink: which tables there are, where `nft list` costs a process, and the messages that `nftrace` is made of.

use crate::evidence::Why;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use std::time::Duration;

/// NFNL_SUBSYS_NFTABLES (linux/netfilter/nfnetlink.h) in the upper byte of a message type.
pub(super) const NFTABLES: u16 = 10 << 8;
/// NFT_MSG_NEWTABLE and NFT_MSG_GETTABLE (linux/netfilter/nf_tables.h).
pub(super) const NEW_TABLE: u16 = NFTABLES;
const GET_TABLE: u16 = NFTABLES | 1;
/// NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN.
const NEW_CHAIN: u16 = NFTABLES | 3;
const GET_CHAIN: u16 = NFTABLES | 4;
/// NLM_F_REQUEST | NLM_F_DUMP, NLMSG_ERROR, NLMSG_DONE (linux/netlink.h).
pub(super) const REQUEST_DUMP: u16 = 0x301;
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;
/// NFTA_TABLE_NAME, NFTA_TABLE_FLAGS; NFT_TABLE_F_DORMANT.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const DORMANT: u32 = 1;
/// NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK; within the last NFTA_HOOK_DEV, NFTA_HOOK_DEVS; within that NFTA_DEVICE_NAME.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const HOOK_DEV: u16 = 3;
const HOOK_DEVS: u16 = 4;
const DEVICE_NAME: u16 = 1;
/// Header of a message, and what nfnetlink puts behind it (struct nlmsghdr, struct nfgenmsg).
pub(super) const HEADER: usize = 16;
const GENERIC: usize = 4;
/// The kernel fills at most 32 KiB per read of a dump (NLMSG_GOODSIZE).
pub(super) const BUFFER: usize = 64 << 10;
/// Tables or chains taken of a dump; a host has a handful of the one, hundreds of the other.
const MOST: usize = 65_536;

/// A table as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// `inet`, `ip`, `ip6`, `netdev`; empty for others.
    pub family: &'static str,
    /// Its name.
    pub name: String,
    /// Its chains are switched off.
    pub dormant: bool,
}

/// A chain that sits on devices: nft before 1.0.9 does not list them as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDevices {
    /// Of its table.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Their names.
    pub devices: Vec<String>,
}

/// One message of the kernel.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) family: u8,
    /// What stands behind the headers; for an error the code and the request.
    pub(super) body: &'a [u8],
}

/// The messages in one read.
pub(super) fn messages(mut rest: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk::<4>()?) as usize;
        let message = rest.get(..length).filter(|m| m.len() >= HEADER)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([*message.get(4)?, *message.get(5)?]);
        let generic = if kind < NFTABLES { 0 } else { GENERIC };
        let family = if generic > 0 { message.get(HEADER).copied().unwrap_or(0) } else { 0 };
        Some(Message { kind, family, body: message.get(HEADER + generic..).unwrap_or_default() })
    })
}

/// The attributes of a message or of another attribute: kind without flags, and content.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk::<2>()?));
        let attribute = rest.get(..length).filter(|a| a.len() >= 4)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER are the two uppermost bits.
        let kind = u16::from_ne_bytes([*attribute.get(2)?, *attribute.get(3)?]) & 0x3fff;
        Some((kind, attribute.get(4..).unwrap_or_default()))
    })
}

pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b))
}

/// A socket for nftables whose reads end after the time.
pub(super) fn socket(limit: Duration) -> Result<Socket, Why> {
    open(NETLINK_NETFILTER, limit)
}

/// A socket for that part of the kernel whose reads end after the time.
pub(super) fn open(protocol: isize, limit: Duration) -> Result<Socket, Why> {
    let mut socket = Socket::new(protocol).map_err(|e| failed(&e))?;
    socket.bind_auto().map_err(|e| failed(&e))?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(|e| failed(&e))?;
    set_limit(&socket, limit)?;
    Ok(socket)
}

/// A read that does not block at all does not exist: at least a millisecond.
pub(super) fn set_limit(socket: &Socket, limit: Duration) -> Result<(), Why> {
    let limit = limit.max(Duration::from_millis(1));
    let value = TimeVal::new(limit.as_secs() as i64, i64::from(limit.subsec_micros()));
    setsockopt(socket, ReceiveTimeout, &value).map_err(|e| failed(&e.into()))
}

pub(super) fn failed(e: &std::io::Error) -> Why {
    Why::Failed { what: format!("netlink, nftables: {}", super::errno_name(e)) }
}

/// The reason in an error message; none for an acknowledgement.
pub(super) fn error(body: &[u8]) -> Option<std::io::Error> {
    let code = body.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
    (code != 0).then(|| std::io::Error::from_raw_os_error(-code))
}

/// Asks for the tables of every family. Without CAP_NET_ADMIN the kernel refuses.
pub fn tables() -> Result<Vec<Table>, Why> {
    dump(GET_TABLE, NEW_TABLE, |message| Some(table(message)))
}

/// The chains of hooks that belong to devices.
pub fn chains_on_devices() -> Result<Vec<OnDevices>, Why> {
    dump(GET_CHAIN, NEW_CHAIN, on_devices)
}

fn dump<T>(ask: u16, answer: u16, read: impl Fn(&Message<'_>) -> Option<T>) -> Result<Vec<T>, Why> {
    let socket = socket(Duration::from_secs(1))?;
    let mut request = Vec::with_capacity(20);
    request.extend(20u32.to_ne_bytes());
    request.extend(ask.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    // Sequence number, port id, and an nfgenmsg of family 0 (all).
    request.extend([0u8; 12]);
    socket.send(&request, 0).map_err(|e| failed(&e))?;
    let mut found = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let size = socket.recv(&mut &mut buffer[..], 0).map_err(|e| failed(&e))?;
        let mut any = false;
        for message in messages(buffer.get(..size).unwrap_or_default()) {
            any = true;
            match message.kind {
                DONE => return Ok(found),
                ERROR => return refused(error(message.body).as_ref()),
                kind if kind != answer => return Err(odd()),
                _ if found.len() < MOST => found.extend(read(&message)),
                _ => {}
            }
        }
        if !any {
            return Err(odd());
        }
    }
}

fn on_devices(message: &Message<'_>) -> Option<OnDevices> {
    let family = family(message.family);
    let mut found = OnDevices { family, table: String::new(), chain: String::new(), devices: Vec::new() };
    for (kind, content) in attributes(message.body) {
        match kind {
            CHAIN_TABLE => found.table = text(content),
            CHAIN_NAME => found.chain = text(content),
            CHAIN_HOOK => {
                for (kind, content) in attributes(content) {
                    match kind {
                        HOOK_DEV => found.devices.push(text(content)),
                        HOOK_DEVS => {
                            let names = attributes(content).filter(|(kind, _)| *kind == DEVICE_NAME);
                            found.devices.extend(names.map(|(_, name)| text(name)));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (!found.devices.is_empty()).then_some(found)
}

fn odd() -> Why {
    Why::Garbled { what: "netlink, nftables: an answer of another kind".to_owned() }
}

/// NFPROTO_* of linux/netfilter.h.
pub(super) fn family(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        5 => "netdev",
        10 => "ip6",
        _ => "",
    }
}

fn table(message: &Message<'_>) -> Table {
    let mut table = Table { family: family(message.family), name: String::new(), dormant: false };
    for (kind, content) in attributes(message.body) {
        match kind {
            TABLE_NAME => table.name = text(content),
            TABLE_FLAGS => table.dormant = number(content) & DORMANT != 0,
            _ => {}
        }
    }
    table
}

fn refused<T>(error: Option<&std::io::Error>) -> Result<Vec<T>, Why> {
    match error.and_then(std::io::Error::raw_os_error) {
        Some(nix::libc::EPERM) => {
            Err(Why::NotPermitted { needs: "root (CAP_NET_ADMIN) to list firewall rules".to_owned() })
        }
        // A kernel without nf_tables has no table.
        None | Some(nix::libc::EINVAL | nix::libc::EOPNOTSUPP) => Ok(Vec::new()),
        Some(code) => Err(failed(&std::io::Error::from_raw_os_error(code))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{attributes, messages, table};
    use crate::evidence::Why;

    #[test]
    fn an_answer_or_a_reason() {
        let answer = super::tables();
        assert!(matches!(answer, Ok(_) | Err(Why::NotPermitted { .. } | Why::Failed { .. })), "{answer:?}");
    }

    #[test]
    fn a_table_with_its_flags() {
        let mut bytes = Vec::new();
        bytes.extend(40u32.to_ne_bytes());
        bytes.extend(super::NEW_TABLE.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([2, 0, 0, 0]);
        bytes.extend([8, 0, 1, 0]);
        bytes.extend(b"fw\0\0");
        bytes.extend([8, 0, 2, 0, 0, 0, 0, 1]);
        bytes.extend([4, 0, 9, 0]);
        let seen: Vec<_> = messages(&bytes).map(|m| table(&m)).collect();
        assert_eq!(seen, [super::Table { family: "ip", name: "fw".to_owned(), dormant: true }]);
    }

    /// An attribute as the kernel writes it.
    pub(in crate::sys) fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u16::try_from(content.len() + 4).expect("short").to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_chain_with_its_devices() {
        let devices = [attribute(1, b"eth0\0"), attribute(1, b"eth1\0")].concat();
        let hook = [attribute(1, &[0; 4]), attribute(4 | 0x8000, &devices)].concat();
        let body =
            [attribute(1, b"early\0"), attribute(3, b"drops\0"), attribute(4 | 0x8000, &hook)].concat();
        let message = super::Message { kind: super::NEW_CHAIN, family: 5, body: &body };
        let seen = super::on_devices(&message).expect("devices");
        assert_eq!((seen.family, seen.table.as_str(), seen.chain.as_str()), ("netdev", "early", "drops"));
        assert_eq!(seen.devices, ["eth0", "eth1"]);
        let plain = super::Message { body: &attribute(3, b"input\0"), ..message };
        assert_eq!(super::on_devices(&plain), None);
    }

    #[test]
    fn cut_off_bytes_end() {
        for length in 0..48 {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            assert!(messages(&bytes).count() < 48);
            assert!(attributes(&bytes).count() < 48);
        }
        assert_eq!(attributes(&[0, 0, 0, 0]).count(), 0);
    }
}
