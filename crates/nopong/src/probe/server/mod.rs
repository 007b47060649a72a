//! The Redis host's side: sockets, processes, units, logs, configuration, storage, kernel, firewall.

mod access;
mod addresses;
mod binaries;
mod config;
mod dbus;
mod default_user;
mod holders;
mod kernel;
mod listeners;
mod logs;
mod machine;
mod processes;
mod units;

use super::{Request, timed};
use crate::evidence::client::Talk;
use crate::evidence::server::{Binary, Config, Listeners, Logs, Process, Units};
use crate::evidence::{CaseFile, Seen, Server, Why};
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
) -> Seen<Listeners> {
    let pids: Vec<u32> = processes.get().map(|p| p.iter().map(|p| p.pid).collect()).unwrap_or_default();
    let by_hand = match &file.ask.unix {
        Some(_) => "ss -lxp".to_owned(),
        None => format!("ss -Hltnp 'sport = :{}'; ss -ltnp", file.ask.port),
    };
    timed(&by_hand, || listeners::look(file.ask.port, file.ask.unix.as_deref(), &pids, reach))
}

/// What a PONG on the Redis host still needs, to answer for clients elsewhere: configuration and rules. Must stay cheap.
pub fn beside_a_pong(_request: &Request, file: &mut CaseFile) {
    let (firewall, config) = std::thread::scope(|scope| {
        let firewall = scope.spawn(|| super::firewall::of_server(file));
        let config = look_config(file, &[]);
        (firewall.join(), config)
    });
    file.server.firewall = firewall.unwrap_or_default();
    file.server.config = config;
}

/// Everything, in parallel: after a failure.
pub fn everything(_request: &Request, file: &mut CaseFile) {
    let processes = file.server.process.get().cloned().unwrap_or_default();
    // The first half: what needs nothing but the processes.
    let (listener, units, journal, firewall, binaries) = std::thread::scope(|scope| {
        let listener = scope.spawn(|| look_listeners(file, &file.server.process, listeners::Reach::All));
        let journal = scope.spawn(|| {
            let extra: Vec<String> = processes.iter().filter_map(|p| p.unit.clone()).collect();
            logs::journal(&extra)
        });
        let units = scope.spawn(|| look_units(processes.clone()));
        let firewall = scope.spawn(|| super::firewall::of_server(file));
        let binaries = scope.spawn(|| look_binaries(&processes));
        (listener.join(), units.join(), journal.join(), firewall.join(), binaries.join())
    });
    file.server.listener = listener.unwrap_or_default();
    file.server.unit = units.unwrap_or_default();
    file.server.kernel =
        timed("sysctl net.core.somaxconn; nstat -az TcpExtListenDrops; free", || Ok(kernel::look()));
    file.server.firewall = firewall.unwrap_or_default();
    file.server.binary = binaries.unwrap_or_default();
    if let (Seen::Yes(binaries), Some(units)) = (&mut file.server.binary, file.server.unit.get()) {
        binaries::add_of_units(&mut binaries.value, units);
    }
    // The second: what needs the units, and the files they name.
    let binaries = file.server.binary.get().cloned().unwrap_or_default();
    file.server.config = look_config(file, &binaries);
    file.server.log = look_logs(file, journal.unwrap_or(Err(Why::Panicked)));
}

fn look_binaries(processes: &[Process]) -> Seen<Vec<Binary>> {
    timed("redis-server --version; valkey-server --version", || Ok(binaries::look(processes)))
}

fn look_units(processes: Vec<Process>) -> Seen<Units> {
    timed("systemctl list-units --all 'redis*' 'valkey*' 'keydb*'", || {
        // The bus daemon may be stopped or hung, and a connection has no limit of its own.
        sys::bounded(UNITS, move || units::look(&processes))
    })
}

fn look_config(file: &CaseFile, binaries: &[Binary]) -> Seen<Vec<Config>> {
    let versions: Vec<(String, String)> =
        binaries.iter().filter_map(|b| Some((b.path.clone(), b.version.clone()?))).collect();
    let mut talks: Vec<Talk> = file.client.protocol.get().cloned().unwrap_or_default();
    talks.extend(file.server.inside.get().cloned());
    let known = config::Known {
        ask: &file.ask,
        processes: file.server.process.get().map_or(&[], Vec::as_slice),
        units: file.server.unit.get(),
        listeners: file.server.listener.get(),
        addresses: file.server.address.get().map_or(&[], Vec::as_slice),
        talks: &talks,
        versions: &versions,
    };
    timed("redis-cli CONFIG GET '*'; grep -vE '^ *(#|$)' /etc/redis/redis.conf", || Ok(config::look(&known)))
}

fn look_logs(file: &CaseFile, journal: Result<Vec<logs::Entry>, Why>) -> Seen<Logs> {
    let configs = file.server.config.get().map_or(&[][..], Vec::as_slice);
    let unit = configs.first().and_then(|c| c.unit.as_deref()).unwrap_or("redis-server.service");
    let by_hand = format!("journalctl -u {unit} -n 50; tail -n 50 /var/log/redis/*.log");
    timed(&by_hand, || {
        let processes = file.server.process.get().map_or(&[][..], Vec::as_slice);
        logs::look(journal, configs, file.server.unit.get(), processes)
    })
}
