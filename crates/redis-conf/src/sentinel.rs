//! Sentinel's own directives. The server keeps them while it reads the file and takes them afterwards in three rounds:
//! its general settings, then `monitor`, then what belongs to a monitored primary; so order within the file matters
//! only within a round.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::files::Files;
use crate::load::to_path;
use crate::number::atoi;
use crate::release::{Fork, Release};
use crate::source::Origin;
use crate::table::value::c_str;

/// CONFIG_RUN_ID_SIZE, server.h.
const ID_LEN: usize = 40;

const NO_PRIMARY: &str = "No such master with specified name.";

/// What is taken in the first round (`preMonitorCfgName`, sentinel.c).
const GENERAL: [&str; 9] = [
    "announce-ip",
    "announce-port",
    "deny-scripts-reconfig",
    "sentinel-user",
    "sentinel-pass",
    "current-epoch",
    "myid",
    "resolve-hostnames",
    "announce-hostnames",
];

/// A primary that a Sentinel watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitored {
    pub name: Vec<u8>,
    pub host: Vec<u8>,
    pub port: i32,
    pub quorum: i32,
    /// Whether a password for it is set.
    pub has_password: bool,
    pub origin: Origin,
}

pub(crate) type Entry = (Vec<Vec<u8>>, Origin, u32);

/// Taken directives and refused ones, in the order in which the server meets them.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) monitored: Vec<Monitored>,
    pub(crate) refused: Vec<(Entry, &'static str)>,
}

pub(crate) fn take(queue: Vec<Entry>, release: Release, cwd: &Path, files: &dyn Files) -> Outcome {
    let mut state = State { release, cwd, files, resolve: false, primaries: BTreeMap::new() };
    let mut outcome = Outcome::default();
    let mut rounds: [Vec<Entry>; 3] = Default::default();
    for entry in queue {
        let round = match entry.0.first().map_or(b"".as_slice(), |w| c_str(w)) {
            name if name.eq_ignore_ascii_case(b"monitor") => 1,
            name if GENERAL.iter().any(|g| g.as_bytes().eq_ignore_ascii_case(name)) => 0,
            _ => 2,
        };
        rounds[round].push(entry);
    }
    for entry in rounds.into_iter().flatten() {
        if let Err(says) = state.directive(&entry) {
            outcome.refused.push((entry, says));
        }
    }
    outcome.monitored = state.primaries.into_values().map(|p| p.shown).collect();
    outcome
}

struct Primary {
    shown: Monitored,
    replicas: BTreeSet<(Vec<u8>, i32)>,
    sentinels: BTreeSet<Vec<u8>>,
    renamed: BTreeSet<Vec<u8>>,
}

struct State<'a> {
    release: Release,
    cwd: &'a Path,
    files: &'a dyn Files,
    resolve: bool,
    primaries: BTreeMap<Vec<u8>, Primary>,
}

impl State<'_> {
    fn directive(&mut self, (words, origin, _): &Entry) -> Result<(), &'static str> {
        let name = String::from_utf8_lossy(c_str(&words[0])).to_ascii_lowercase();
        let arg = |i: usize| words.get(i).map_or(b"".as_slice(), |w| c_str(w));
        match (name.as_str(), words.len()) {
            ("monitor", 5) => self.monitor(arg(1), arg(2), atoi(arg(3)), atoi(arg(4)), origin),
            ("down-after-milliseconds" | "failover-timeout", 3) => {
                self.primary(arg(1))?;
                if atoi(arg(2)) <= 0 { Err("negative or zero time parameter.") } else { Ok(()) }
            }
            ("parallel-syncs" | "auth-user" | "config-epoch" | "leader-epoch", 3) => {
                self.primary(arg(1)).map(drop)
            }
            ("auth-pass", 3) => {
                self.primary(arg(1))?.shown.has_password = true;
                Ok(())
            }
            ("notification-script", 3) => {
                self.primary(arg(1))?;
                self.script(arg(2), "Notification script seems non existing or non executable.")
            }
            ("client-reconfig-script", 3) => {
                self.primary(arg(1))?;
                self.script(arg(2), "Client reconfiguration script seems non existing or non executable.")
            }
            ("known-slave" | "known-replica", 4) => self.known_replica(arg(1), arg(2), atoi(arg(3))),
            ("known-sentinel", 4) => Ok(()),
            ("known-sentinel", 5) => self.known_sentinel(arg(1), arg(2), atoi(arg(3)), arg(4)),
            ("rename-command", 4) => {
                let command = arg(2).to_ascii_lowercase();
                if self.primary(arg(1))?.renamed.insert(command) {
                    Ok(())
                } else {
                    Err("Same command renamed multiple times with rename-command.")
                }
            }
            ("announce-ip" | "announce-port" | "sentinel-user" | "sentinel-pass" | "current-epoch", 2) => {
                Ok(())
            }
            ("myid", 2) if arg(1).len() == ID_LEN => Ok(()),
            ("myid", 2) => Err("Malformed Sentinel id in myid option."),
            ("deny-scripts-reconfig", 2) => yes_no(arg(1))
                .map(drop)
                .ok_or("Please specify yes or no for the deny-scripts-reconfig options."),
            ("resolve-hostnames", 2) => {
                self.resolve =
                    yes_no(arg(1)).ok_or("Please specify yes or no for the resolve-hostnames option.")?;
                Ok(())
            }
            ("announce-hostnames", 2) => {
                yes_no(arg(1)).map(drop).ok_or("Please specify yes or no for the announce-hostnames option.")
            }
            ("master-reboot-down-after-period", 3) => self.reboot_period(arg(1), arg(2)),
            ("primary-reboot-down-after-period", 3) if self.release.fork() == Fork::Valkey => {
                self.reboot_period(arg(1), arg(2))
            }
            _ => Err("Unrecognized sentinel configuration statement."),
        }
    }

    fn primary(&mut self, name: &[u8]) -> Result<&mut Primary, &'static str> {
        self.primaries.get_mut(name).ok_or(NO_PRIMARY)
    }

    fn monitor(
        &mut self,
        name: &[u8],
        host: &[u8],
        port: i32,
        quorum: i32,
        origin: &Origin,
    ) -> Result<(), &'static str> {
        if quorum <= 0 {
            return Err("Quorum must be 1 or greater.");
        }
        self.address(host, port)?;
        if self.primaries.contains_key(name) {
            return Err("Duplicate master name.");
        }
        let shown = Monitored {
            name: name.to_vec(),
            host: host.to_vec(),
            port,
            quorum,
            has_password: false,
            origin: origin.clone(),
        };
        let (replicas, sentinels, renamed) = Default::default();
        self.primaries.insert(name.to_vec(), Primary { shown, replicas, sentinels, renamed });
        Ok(())
    }

    fn known_replica(&mut self, name: &[u8], host: &[u8], port: i32) -> Result<(), &'static str> {
        self.primary(name)?;
        self.address(host, port)?;
        if self.primary(name)?.replicas.insert((host.to_vec(), port)) {
            Ok(())
        } else {
            Err("Duplicate hostname and port for replica.")
        }
    }

    fn known_sentinel(&mut self, name: &[u8], host: &[u8], port: i32, id: &[u8]) -> Result<(), &'static str> {
        self.primary(name)?;
        self.address(host, port)?;
        if self.primary(name)?.sentinels.insert(id.to_vec()) {
            Ok(())
        } else {
            Err("Duplicate runid for sentinel.")
        }
    }

    fn reboot_period(&mut self, name: &[u8], period: &[u8]) -> Result<(), &'static str> {
        self.primary(name)?;
        if atoi(period) < 0 { Err("negative time parameter.") } else { Ok(()) }
    }

    /// A name is only taken with `resolve-hostnames yes`, and then even if it does not resolve.
    fn address(&self, host: &[u8], port: i32) -> Result<(), &'static str> {
        if !(0..=65535).contains(&port) {
            return Err("Invalid port number.");
        }
        if self.resolve || is_numeric_address(host) {
            Ok(())
        } else {
            Err("Can't resolve instance hostname.")
        }
    }

    fn script(&self, path: &[u8], says: &'static str) -> Result<(), &'static str> {
        self.files.executable(&self.cwd.join(to_path(path))).map_err(|_| says)
    }
}

fn yes_no(word: &[u8]) -> Option<bool> {
    if word.eq_ignore_ascii_case(b"yes") {
        Some(true)
    } else if word.eq_ignore_ascii_case(b"no") {
        Some(false)
    } else {
        None
    }
}

/// What `getaddrinfo` takes with AI_NUMERICHOST: IPv6 with or without a scope, and IPv4 in all of `inet_aton`'s forms.
fn is_numeric_address(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let unscoped = host.split('%').next().unwrap_or(host);
    matches!(unscoped.parse::<IpAddr>(), Ok(IpAddr::V6(_))) || legacy_ipv4(host).is_some()
}

/// `127.1`, `0x7f000001`, `0177.0.0.1`.
pub(crate) fn legacy_ipv4(host: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| {
        if let Some(hex) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            u32::from_str_radix(if hex.is_empty() { "0" } else { hex }, 16).ok()
        } else if part.len() > 1 && part.starts_with('0') {
            u32::from_str_radix(part, 8).ok()
        } else {
            part.parse().ok()
        }
        .filter(|_| part.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let parts: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|p| *p > 255) {
        return None;
    }
    // The last part fills the bytes that are left.
    let room = 8 * (4 - u32::try_from(first.len()).ok()?);
    if room < 32 && *last >= 1 << room {
        return None;
    }
    let high = first.iter().enumerate().fold(0u32, |sum, (i, p)| sum | p << (24 - 8 * i));
    Some(Ipv4Addr::from(high | last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::InMemory;

    fn refused(text: &str) -> Vec<(u32, &'static str)> {
        let queue = text
            .lines()
            .zip(1..)
            .map(|(line, n)| (crate::sds::split_args(line.as_bytes()).expect("balanced"), Origin::Argv, n))
            .collect();
        let outcome = take(queue, Release::Redis70, Path::new("/"), &InMemory::default());
        outcome.refused.into_iter().map(|((_, _, n), says)| (n, says)).collect()
    }

    #[test]
    fn a_primary_may_be_named_before_it_is_monitored() {
        let text =
            "auth-pass mymaster x\nmonitor mymaster 127.0.0.1 6379 2\ndown-after-milliseconds mymaster 1000";
        assert_eq!(refused(text), []);
    }

    #[test]
    fn refusals_come_in_the_order_of_the_rounds() {
        let text = "auth-pass other x\nmonitor m redis.example 6379 2\nmyid short\nfoo bar\n\
                    monitor n 127.1 70000 1\nmonitor o ::1 1 0\nmonitor p ::1 1 1\nmonitor p ::1 1 1";
        assert_eq!(
            refused(text),
            [
                (3, "Malformed Sentinel id in myid option."),
                (2, "Can't resolve instance hostname."),
                (5, "Invalid port number."),
                (6, "Quorum must be 1 or greater."),
                (8, "Duplicate master name."),
                (1, NO_PRIMARY),
                (4, "Unrecognized sentinel configuration statement."),
            ]
        );
        assert_eq!(refused("resolve-hostnames yes\nmonitor m redis.example 6379 2"), []);
    }

    #[test]
    fn numeric_addresses() {
        assert_eq!(legacy_ipv4("127.1"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(legacy_ipv4("0x7f000001"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(legacy_ipv4("0177.0.0.1"), Some(Ipv4Addr::LOCALHOST));
        for bad in ["", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "a.b", "1..2", "+1"] {
            assert_eq!(legacy_ipv4(bad), None, "{bad}");
        }
    }
}
