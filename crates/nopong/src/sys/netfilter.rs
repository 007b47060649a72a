//! Whether the kernel holds any nftables table: one netlink question, where `nft list` costs a process.

use crate::evidence::Why;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;

/// NFNL_SUBSYS_NFTABLES (linux/netfilter/nfnetlink.h) in the upper byte of a message type.
const NFTABLES: u16 = 10 << 8;
/// NFT_MSG_NEWTABLE and NFT_MSG_GETTABLE (linux/netfilter/nf_tables.h).
const NEW_TABLE: u16 = NFTABLES;
const GET_TABLE: u16 = NFTABLES | 1;
/// NLM_F_REQUEST | NLM_F_DUMP, NLMSG_ERROR, NLMSG_DONE (linux/netlink.h).
const REQUEST_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Asks for the tables of every family. Without CAP_NET_ADMIN the kernel refuses.
pub fn has_tables() -> Result<bool, Why> {
    let failed =
        |e: std::io::Error| Why::Failed { what: format!("netlink, nftables: {}", super::errno_name(&e)) };
    let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed)?;
    socket.bind_auto().map_err(failed)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(1, 0)).map_err(|e| failed(e.into()))?;
    let mut request = Vec::with_capacity(20);
    request.extend(20u32.to_ne_bytes());
    request.extend(GET_TABLE.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    // Sequence number, port id, and an nfgenmsg of family 0 (all).
    request.extend([0u8; 12]);
    socket.send(&request, 0).map_err(failed)?;
    let mut buffer = vec![0; 16 << 10];
    let size = socket.recv(&mut &mut buffer[..], 0).map_err(failed)?;
    let answer = &buffer[..size.min(buffer.len())];
    let field = |at: usize| answer.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    match field(4) {
        Some(NEW_TABLE) => Ok(true),
        Some(DONE) => Ok(false),
        Some(ERROR) => {
            let code = answer.get(16..20).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
            match -code {
                nix::libc::EPERM => {
                    Err(Why::NotPermitted { needs: "root (CAP_NET_ADMIN) to list firewall rules".to_owned() })
                }
                // A kernel without nf_tables has no table.
                nix::libc::EINVAL | nix::libc::EOPNOTSUPP => Ok(false),
                other => Err(failed(std::io::Error::from_raw_os_error(other))),
            }
        }
        _ => Err(Why::Garbled { what: "netlink, nftables: an answer of another kind".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::Why;

    #[test]
    fn an_answer_or_a_reason() {
        let answer = super::has_tables();
        assert!(matches!(answer, Ok(_) | Err(Why::NotPermitted { .. } | Why::Failed { .. })), "{answer:?}");
    }
}
