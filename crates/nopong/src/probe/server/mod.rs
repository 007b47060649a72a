//! The Redis host's side: sockets, processes, units, logs, configuration, storage, kernel, firewall.

mod addresses;
mod dbus;
mod holders;
mod kernel;
mod listeners;
mod processes;
mod units;

use super::{Request, timed};
use crate::evidence::server::{Process, Units};
use crate::evidence::{CaseFile, Seen, Server};
use crate::sys;
use std::time::Duration;

/// Limit for all questions to systemd together.
const UNITS: Duration = Duration::from_millis(1500);

/// Listening sockets, Redis processes and own addresses: wanted in every case, read beside the dial.
pub fn base(_request: &Request, file: &CaseFile) -> Server {
    let process = timed("ps -eo pid,user,stat,args | grep -E 'redis|valkey|keydb'", || Ok(processes::look()));
    Server {
        listener: look_listeners(file, &process, listeners::Reach::Usual),
        process,
        address: timed("ip -br address", addresses::look),
        ..Server::default()
    }
}

fn look_listeners(
    file: &CaseFile,
    processes: &Seen<Vec<Process>>,
    reach: listeners::Reach,
) -> Seen<crate::evidence::server::Listeners> {
    let pids: Vec<u32> = processes.get().map(|p| p.iter().map(|p| p.pid).collect()).unwrap_or_default();
    let by_hand = match &file.ask.unix {
        Some(_) => "ss -lxp".to_owned(),
        None => format!("ss -Hltnp 'sport = :{}'; ss -ltnp", file.ask.port),
    };
    timed(&by_hand, || listeners::look(file.ask.port, file.ask.unix.as_deref(), &pids, reach))
}

/// What a PONG on the Redis host still needs, to answer for clients elsewhere: configuration and rules. Must stay cheap.
pub fn beside_a_pong(_request: &Request, file: &mut CaseFile) {
    file.server.firewall = super::firewall::of_server(file);
}

/// Everything, in parallel: after a failure.
pub fn everything(_request: &Request, file: &mut CaseFile) {
    let processes = file.server.process.get().cloned().unwrap_or_default();
    let (listener, unit) = std::thread::scope(|scope| {
        let listener = scope.spawn(|| look_listeners(file, &file.server.process, listeners::Reach::All));
        let unit = scope.spawn(|| look_units(processes.clone()));
        (listener.join(), unit.join())
    });
    file.server.listener = listener.unwrap_or_default();
    file.server.unit = unit.unwrap_or_default();
    file.server.firewall = super::firewall::of_server(file);
    file.server.kernel =
        timed("sysctl net.core.somaxconn; nstat -az TcpExtListenDrops; free", || Ok(kernel::look()));
}

fn look_units(processes: Vec<Process>) -> Seen<Units> {
    timed("systemctl list-units --all 'redis*' 'valkey*' 'keydb*'", || {
        // The bus daemon may be stopped or hung, and a connection has no limit of its own.
        sys::bounded(UNITS, move || units::look(&processes))
    })
}
