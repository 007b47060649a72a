//! Kernel figures: queues, connection tracking, memory, the switches of IPv6 and of the reverse path filter.

use crate::evidence::server::Kernel;
use crate::sys;
use std::path::Path;
use std::str::FromStr;

/// One number in a file of /proc/sys.
pub(super) fn number<T: FromStr>(name: &str) -> Option<T> {
    sys::read_text(Path::new("/proc/sys").join(name), 200).ok()?.trim().parse().ok()
}

/// Looks at all of them; what is not there is none.
pub(super) fn look() -> Kernel {
    let netstat = sys::read_text("/proc/thread-self/net/netstat", 64 << 10).unwrap_or_default();
    let meminfo = sys::read_text("/proc/meminfo", 16 << 10).unwrap_or_default();
    Kernel {
        somaxconn: number("net/core/somaxconn"),
        listen_overflows: extension(&netstat, "ListenOverflows"),
        listen_drops: extension(&netstat, "ListenDrops"),
        conntrack: number("net/netfilter/nf_conntrack_count").zip(number("net/netfilter/nf_conntrack_max")),
        overcommit: number("vm/overcommit_memory"),
        bindv6only: number::<u8>("net/ipv6/bindv6only").map(|n| n != 0),
        ipv6_disabled: ipv6_disabled(),
        rp_filter: rp_filter(),
        memory: kibibytes(&meminfo, "MemAvailable:").zip(kibibytes(&meminfo, "MemTotal:")),
    }
}

/// Unix time of boot.
pub(super) fn boot_time() -> Option<u64> {
    let stat = sys::read_text("/proc/stat", 1 << 20).ok()?;
    stat.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()
}

/// Without the module the directory is not there; otherwise `all` switches every device.
fn ipv6_disabled() -> Option<bool> {
    if sys::stat("/proc/sys/net").is_err() {
        return None;
    }
    match number::<u8>("net/ipv6/conf/all/disable_ipv6") {
        Some(n) => Some(n != 0),
        None => Some(sys::stat("/proc/thread-self/net/if_inet6").is_err()),
    }
}

/// The kernel takes the greater of `all` and the device's (Documentation/networking/ip-sysctl); the greatest of all
/// devices that are not loopback is reported.
fn rp_filter() -> Option<u8> {
    let devices = sys::list("/proc/sys/net/ipv4/conf", 500).ok()?;
    devices
        .iter()
        .filter_map(|d| d.to_str())
        .filter(|d| !matches!(*d, "lo" | "default"))
        .filter_map(|d| number::<u8>(&format!("net/ipv4/conf/{d}/rp_filter")))
        .max()
}

/// The one in force for packets that come in by an interface: the greater of `all` and its own.
pub(super) fn rp_filter_of(dev: &str) -> Option<u8> {
    // A name is part of a path here.
    let plain = !dev.is_empty() && !dev.contains('/') && !dev.starts_with('.');
    let of = |name: &str| number::<u8>(&format!("net/ipv4/conf/{name}/rp_filter"));
    of("all").max(of(dev).filter(|_| plain))
}

/// A figure of the `TcpExt:` pair of lines: names first, then numbers.
fn extension(netstat: &str, name: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter_map(|l| l.strip_prefix("TcpExt:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|n| n == name)?;
    numbers.split_whitespace().nth(at)?.parse().ok()
}

fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|n| n << 10)
}

#[cfg(test)]
mod tests {
    use super::{extension, kibibytes, look};

    #[test]
    fn tables() {
        let netstat =
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 7 9\nIpExt: A\nIpExt: 1\n";
        assert_eq!(extension(netstat, "ListenOverflows"), Some(7));
        assert_eq!(extension(netstat, "NoSuch"), None);
        assert_eq!(kibibytes("MemTotal:    16 kB\n", "MemTotal:"), Some(16384));
    }

    #[test]
    fn on_this_machine() {
        let kernel = look();
        assert!(kernel.somaxconn.is_some_and(|n| n > 0));
        assert!(kernel.memory.is_some_and(|(free, all)| free <= all));
    }
}
