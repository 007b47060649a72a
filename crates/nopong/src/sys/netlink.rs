//! One netlink dump: a request out, all its answers in, bounded in number and time.

use crate::evidence::Why;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use std::fmt::Debug;

/// The kernel answers a dump at once; a second without an answer means that it never will.
const ANSWER_SECONDS: i64 = 1;
/// The kernel fills at most 32 KiB per read of a dump (NLMSG_GOODSIZE, net/netlink/af_netlink.c).
const BUFFER: usize = 64 << 10;

/// Asks for all objects of a kind. An answer that cannot be parsed is left out: a newer kernel's addition must not
/// hide the rest.
pub fn dump<T>(protocol: isize, request: T, max: usize) -> Result<Vec<T>, Why>
where
    T: NetlinkSerializable + NetlinkDeserializable + Debug,
{
    let failed = |what: &str, e: &std::io::Error| Why::Failed {
        what: format!("netlink {what}: {}", super::errno_name(e)),
    };
    let mut socket = Socket::new(protocol).map_err(|e| failed("socket", &e))?;
    socket.bind_auto().map_err(|e| failed("bind", &e))?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(|e| failed("connect", &e))?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(ANSWER_SECONDS, 0))
        .map_err(|e| failed("time limit", &e.into()))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map_err(|e| failed("send", &e))?;
    let mut found = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let size = socket.recv(&mut &mut buffer[..], 0).map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => Why::TimedOut { after_ms: ANSWER_SECONDS as u64 * 1000 },
            _ => failed("receive", &e),
        })?;
        let mut rest = &buffer[..size.min(BUFFER)];
        while let Some(length) = rest.first_chunk::<4>().map(|l| u32::from_ne_bytes(*l) as usize) {
            if length < 16 || length > rest.len() {
                break;
            }
            match NetlinkMessage::<T>::deserialize(&rest[..length]).map(|m| m.payload) {
                Ok(NetlinkPayload::Done(_)) => return Ok(found),
                Ok(NetlinkPayload::Error(e)) if e.code.is_some() => {
                    return Err(failed("request", &e.to_io()));
                }
                Ok(NetlinkPayload::InnerMessage(inner)) if found.len() < max => found.push(inner),
                _ => {}
            }
            // Messages are aligned to 4 bytes (NLMSG_ALIGN).
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        if size == 0 {
            return Ok(found);
        }
    }
}
