//! Which process holds a socket: the links of /proc/PID/fd. Without root only the own processes can be seen.

use crate::sys;
use std::collections::{BTreeMap, BTreeSet};

/// Most descriptors looked at in one process; a server with more clients has its listeners among the first.
const FDS_MAX: usize = 20_000;
/// Most processes looked at.
const PIDS_MAX: usize = 20_000;

/// Inodes and the processes that hold them.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    found: BTreeMap<u64, BTreeSet<u32>>,
}

impl Holders {
    /// Looks in the `first` processes (all their sockets), then in all others for what of `wanted` nobody holds yet.
    pub(crate) fn find(wanted: &[u64], first: &[u32]) -> Self {
        let mut holders = Self::default();
        for pid in first {
            holders.take(*pid, None);
        }
        let missing: BTreeSet<u64> =
            wanted.iter().copied().filter(|i| *i != 0 && !holders.found.contains_key(i)).collect();
        if !missing.is_empty() {
            for pid in pids().into_iter().filter(|pid| !first.contains(pid)) {
                holders.take(pid, Some(&missing));
            }
        }
        holders
    }

    fn take(&mut self, pid: u32, wanted: Option<&BTreeSet<u64>>) {
        let dir = format!("/proc/{pid}/fd");
        for name in sys::list(&dir, FDS_MAX).unwrap_or_default() {
            let Ok(link) = sys::read_link(format!("{dir}/{}", name.to_string_lossy())) else { continue };
            let inode = link
                .to_str()
                .and_then(|l| l.strip_prefix("socket:["))
                .and_then(|l| l.strip_suffix(']'))
                .and_then(|l| l.parse().ok());
            if let Some(inode) = inode.filter(|i| wanted.is_none_or(|w| w.contains(i))) {
                self.found.entry(inode).or_default().insert(pid);
            }
        }
    }

    /// Processes that hold the socket.
    pub(crate) fn of(&self, inode: u64) -> Vec<u32> {
        self.found.get(&inode).map(|pids| pids.iter().copied().collect()).unwrap_or_default()
    }
}

/// All process ids to be seen.
pub(crate) fn pids() -> Vec<u32> {
    let names = sys::list("/proc", PIDS_MAX + 200).unwrap_or_default();
    names.iter().filter_map(|n| n.to_str()?.parse().ok()).collect()
}

/// A process's name.
pub(crate) fn comm(pid: u32) -> Option<String> {
    let name = sys::read(format!("/proc/{pid}/comm"), 64).ok()?;
    Some(crate::text::shown(name.trim_ascii_end(), 32))
}
