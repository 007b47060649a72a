//! What of this moment a verdict may hang on: the time, the programs that wait for packets, the neighbours' hardware addresses.

use crate::sys;
use packet_verdict::Clock;
use std::net::IpAddr;
use std::time::Duration;

/// Limit of `date`.
const LIMIT: Duration = Duration::from_millis(500);

/// The time, in UTC and, with `local`, as this host shows it.
pub fn now(local: bool) -> Clock {
    let ahead = if local { ahead() } else { None };
    Clock { unix: i64::try_from(sys::unix_time()).unwrap_or(0), ahead }
}

/// How far this host's time is ahead of UTC: nft shows hours in it.
fn ahead() -> Option<i64> {
    let is_utc = |name: &str| matches!(name.rsplit('/').next(), Some("UTC" | "GMT" | "Universal" | "Zulu"));
    match sys::env("TZ") {
        Some(tz) if is_utc(tz.trim_start_matches(':')) => return Some(0),
        Some(_) => {}
        None => match sys::read_link("/etc/localtime") {
            Ok(zone) if is_utc(&zone.to_string_lossy()) => return Some(0),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some(0),
            _ => {}
        },
    }
    let date = sys::program("date")?;
    let said = sys::run(&[date.to_str()?, "+%z"], LIMIT, 64).ok()?;
    offset(&String::from_utf8_lossy(&said.stdout))
}

/// `+0530` in seconds.
fn offset(text: &str) -> Option<i64> {
    let text = text.trim();
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let digits: i64 = text.get(1..5)?.parse().ok()?;
    Some(sign * (digits / 100 * 3600 + digits % 100 * 60))
}

/// Numbers of the queues of this namespace at which a program waits; none where the kernel would not say.
pub(super) fn queues() -> Option<Vec<u16>> {
    match sys::read_text("/proc/thread-self/net/netfilter/nfnetlink_queue", sys::FILE_MAX) {
        Ok(text) => Some(text.lines().filter_map(|l| l.split_whitespace().next()?.parse().ok()).collect()),
        // Without the module no program can wait at one.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some(Vec::new()),
        Err(_) => None,
    }
}

/// The IPv4 neighbours that this host has spoken with, and their hardware addresses.
pub(super) fn neighbours() -> Vec<(IpAddr, u64)> {
    let text = sys::read_text("/proc/thread-self/net/arp", sys::FILE_MAX).unwrap_or_default();
    text.lines().filter_map(neighbour).collect()
}

/// `10.0.0.7  0x1  0x2  02:00:00:00:00:07  *  eth0` (arp_format_neigh_entry).
fn neighbour(line: &str) -> Option<(IpAddr, u64)> {
    let mut words = line.split_whitespace();
    let ip = words.next()?.parse().ok()?;
    let (_, flags, mac) = (words.next()?, words.next()?, words.next()?);
    // ATF_COM: the neighbour answered.
    if u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()? & 2 == 0 {
        return None;
    }
    let mut parts = mac.split(':');
    let bits = parts
        .by_ref()
        .take(6)
        .try_fold(0u64, |all, p| Some((all << 8) | u64::from(u8::from_str_radix(p, 16).ok()?)))?;
    Some((ip, bits))
}

#[cfg(test)]
mod tests {
    use super::{neighbour, offset};

    #[test]
    fn lines_of_the_kernel() {
        let line = "10.0.0.7         0x1         0x2         02:00:00:00:00:07     *        eth0";
        assert_eq!(neighbour(line), Some(("10.0.0.7".parse().expect("address"), 0x0200_0000_0007)));
        let silent = "10.0.0.8         0x1         0x0         00:00:00:00:00:00     *        eth0";
        assert_eq!(neighbour(silent), None);
        for odd in ["", "IP address       HW type     Flags", "10.0.0.7 0x1 0x2 02:zz"] {
            assert_eq!(neighbour(odd), None);
        }
        assert_eq!((offset("+0530\n"), offset("-0100"), offset("CET")), (Some(19_800), Some(-3600), None));
    }
}
