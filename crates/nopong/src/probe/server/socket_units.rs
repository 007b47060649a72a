//! For whom systemd itself holds a port: the socket unit, and the program that its service starts.

use crate::evidence::server::{Listener, SocketUnit};
use crate::sys;
use crate::text;
use std::net::SocketAddr;
use std::time::Duration;

/// systemctl asks over a socket of this machine.
const LIMIT: Duration = Duration::from_secs(1);
/// A line for each socket of the machine.
const MAX: usize = 256 << 10;
/// Words of a command line that is about a Redis, or passes connections on.
const OF_REDIS: [&str; 7] = ["redis", "valkey", "keydb", "dragonfly", "proxy", "socat", "6379"];

/// The socket units at that port, where systemd holds it.
pub(super) fn look(listeners: &[Listener], port: u16) -> Vec<SocketUnit> {
    // Who is not root does not see the holder; what systemd listens at, it tells everybody.
    let systemds = |l: &Listener| l.pids.contains(&1) || (l.pids.is_empty() && l.uid == 0);
    let held = |l: &&Listener| l.at.port() == port && systemds(l);
    if !listeners.iter().any(|l| held(&l)) || super::holders::comm(1).as_deref() != Some("systemd") {
        return Vec::new();
    }
    let all = systemctl(&["list-sockets", "--full", "--no-legend", "--no-pager"]);
    let found = all.unwrap_or_default().lines().filter_map(line).collect::<Vec<_>>();
    found
        .into_iter()
        .filter(|unit| listeners.iter().filter(held).any(|l| l.at == unit.at))
        .take(4)
        .map(|unit| match systemctl(&["show", "-P", "ExecStart", "--", &unit.activates]) {
            Some(command) => started(unit, &command),
            None => unit,
        })
        .collect()
}

fn systemctl(arguments: &[&str]) -> Option<String> {
    let program = sys::program("systemctl")?.to_string_lossy().into_owned();
    let argv: Vec<&str> = std::iter::once(program.as_str()).chain(arguments.iter().copied()).collect();
    let output = sys::run(&argv, LIMIT, MAX).ok().filter(|o| o.code == Some(0))?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `[::]:6379 shop.socket shop.service`
fn line(line: &str) -> Option<SocketUnit> {
    let mut words = line.split_whitespace();
    let at: SocketAddr = words.next()?.parse().ok()?;
    let unit = words.next().filter(|w| w.ends_with(".socket"))?;
    let activates = words.next().filter(|w| w.ends_with(".service"))?;
    let shown = |word: &str| text::shown_str(word, 200);
    Some(SocketUnit { at, unit: shown(unit), activates: shown(activates), program: None, of_redis: false })
}

/// `{ path=/bin/sleep ; argv[]=/bin/sleep 1000 ; ignore_errors=no ; … }`; of the arguments nothing is kept.
fn started(unit: SocketUnit, command: &str) -> SocketUnit {
    let path = command.split("path=").nth(1).and_then(|rest| rest.split(" ;").next()).map(str::trim);
    let lower = command.to_ascii_lowercase();
    SocketUnit {
        program: path.filter(|p| p.starts_with('/')).map(|p| text::shown_str(p, 200)),
        of_redis: OF_REDIS.iter().any(|word| lower.contains(word)),
        ..unit
    }
}

#[cfg(test)]
mod tests {
    use super::{line, started};

    #[test]
    fn lines_of_systemctl() {
        let unit = line("[::]:6379                      shop.socket   shop.service").expect("a socket");
        assert_eq!((unit.unit.as_str(), unit.activates.as_str()), ("shop.socket", "shop.service"));
        assert!(line("/run/dbus/system_bus_socket dbus.socket dbus.service").is_none());
        assert!(line("kobject-uevent 1 systemd-udevd-kernel.socket systemd-udevd.service").is_none());
        let own = started(unit.clone(), "{ path=/bin/sleep ; argv[]=/bin/sleep 1000 ; pid=0 }");
        assert_eq!((own.program.as_deref(), own.of_redis), (Some("/bin/sleep"), false));
        let proxy = "{ path=/usr/lib/systemd/systemd-socket-proxyd ; argv[]=/usr/lib/systemd/systemd-socket-proxyd 10.0.0.2:6379 }";
        assert!(started(unit.clone(), proxy).of_redis);
        assert_eq!(started(unit, "").program, None);
    }
}
