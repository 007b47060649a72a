//! The client's own limits: ports, descriptors, connection tracking.

use crate::evidence::client::{DialOutcome, Limits};
use crate::evidence::{CaseFile, Seen};
use crate::probe::timed;
use crate::sys;
use std::net::SocketAddr;

/// Errnos with which our own machine stops a connect() before a packet leaves (connect(2), socket(2)).
const OWN: [&str; 7] = ["EMFILE", "ENFILE", "EADDRNOTAVAIL", "EADDRINUSE", "ENOBUFS", "ENOMEM", "EPERM"];
/// Most sockets counted: more than there are ports.
const SOCKETS_MAX: usize = 70_000;

/// Our own machine stopped it.
pub(super) fn own_fault(outcome: &DialOutcome) -> bool {
    matches!(outcome, DialOutcome::Errno { errno } if OWN.contains(&errno.as_str()))
}

/// Reads them.
pub(super) fn look(file: &CaseFile) -> Seen<Limits> {
    let port = file.ask.port;
    let by_hand = format!(
        "sysctl net.ipv4.ip_local_port_range fs.file-nr; ulimit -n; ss -tan dport = :{port} | wc -l; \
         sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max"
    );
    timed(&by_hand, || {
        let dials = file.client.connect.get().map(Vec::as_slice).unwrap_or_default();
        let to: Vec<SocketAddr> = dials.iter().map(|d| d.to).collect();
        let own_errno = dials.iter().find_map(|d| match &d.outcome {
            DialOutcome::Errno { errno } if own_fault(&d.outcome) => Some(errno.clone()),
            _ => None,
        });
        let counted = sys::sockets::towards(&to, SOCKETS_MAX);
        let pair = |path: &str| numbers(path);
        let files = numbers("/proc/sys/fs/file-nr");
        Ok(Limits {
            port_range: match pair("/proc/sys/net/ipv4/ip_local_port_range").as_slice() {
                [low, high, ..] => u16::try_from(*low).ok().zip(u16::try_from(*high).ok()),
                _ => None,
            },
            ports_to_target: counted.map(|c| c.0),
            time_wait: counted.map(|c| c.1),
            fd_limit: sys::descriptor_limit(),
            // Our own reading of the directory holds one.
            fd_open: sys::list("/proc/self/fd", 1 << 20).ok().map(|l| (l.len() as u64).saturating_sub(1)),
            system_files: match files.as_slice() {
                [used, free, max] => Some((used.saturating_sub(*free), *max)),
                _ => None,
            },
            conntrack: match (
                numbers("/proc/sys/net/netfilter/nf_conntrack_count").first(),
                numbers("/proc/sys/net/netfilter/nf_conntrack_max").first(),
            ) {
                (Some(count), Some(max)) => Some((*count, *max)),
                _ => None,
            },
            own_errno,
        })
    })
}

fn numbers(path: &str) -> Vec<u64> {
    sys::read_text(path, 256).unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect()
}
