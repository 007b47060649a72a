//! The Redis host's side: sockets, processes, units, logs, configuration, storage, kernel, firewall.

mod access;
mod addresses;
mod binaries;
mod config;
mod dbus;
mod default_user;
pub(super) mod drops;
mod holders;
mod inside;
mod kernel;
mod kernel_log;
mod listeners;
mod logs;
mod machine;
mod managed;
pub(super) mod processes;
mod sandbox;
mod socket_units;
mod storage;
mod tls_files;
mod units;
mod way_back;

pub(crate) use holders::{Holders, comm, pids};
pub(crate) use processes::{Users, container_of, unit_of};

use super::{Request, timed};
use crate::evidence::client::Talk;
use crate::evidence::server::{Binary, Config, Drops, Listeners, Logs, OomKills, Process, Storage, Units};
use crate::evidence::{CaseFile, Seen, Server, Why};
use crate::sys;
use std::time::{Duration, Instant};

/// Limit for all questions to systemd together.
const UNITS: Duration = Duration::from_millis(1500);

/// Some interface drops packets before anybody sees them, or may.
pub(super) fn xdp() -> bool {
    addresses::xdp()
}

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

/// TCP ports on which the Redis-like processes of this machine listen.
pub(crate) fn ports_of_servers() -> Vec<u16> {
    let pids: Vec<u32> = processes::look().iter().map(|p| p.pid).collect();
    let found = listeners::look(0, None, &pids, listeners::Reach::Usual).map(|l| l.tcp).unwrap_or_default();
    found.iter().filter(|l| l.pids.iter().any(|pid| pids.contains(pid))).map(|l| l.at.port()).collect()
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
pub fn beside_a_pong(request: &Request, file: &mut CaseFile) {
    let (firewall, units, config) = std::thread::scope(|scope| {
        let firewall = scope.spawn(|| super::firewall::of_server(file, request.before.as_deref()));
        // The unit may keep a client out that is asked for, or wait for a server that has just come up.
        let asked = file.ask.client.is_some() || has_just_started(file);
        let processes = file.server.process.get().filter(|_| asked);
        let units = processes.map(|p| scope.spawn(|| look_units(p.clone())));
        let config = look_config(file, &[]);
        (firewall.join(), units.and_then(|u| u.join().ok()), config)
    });
    file.server.unit = units.unwrap_or_default();
    file.server.firewall = firewall.unwrap_or_default();
    file.server.config = config;
    file.server.way_back = way_back::look(file);
}

/// By its own word the server is not up for longer than a unit may be starting.
fn has_just_started(file: &CaseFile) -> bool {
    /// DefaultTimeoutStartSec= is 90 s; few units have more than this.
    const STARTING_MAX: u64 = 600;
    let talks = file.client.protocol.get().map_or(&[][..], Vec::as_slice);
    let uptime =
        |t: &Talk| t.info.iter().find(|(name, _)| name == "uptime_in_seconds")?.1.parse::<u64>().ok();
    talks.iter().filter_map(uptime).any(|s| s < STARTING_MAX)
}

/// Everything, in parallel: after a failure.
pub fn everything(request: &Request, file: &mut CaseFile) {
    let processes = file.server.process.get().cloned().unwrap_or_default();
    let before: Vec<(u32, u64, Instant)> = processes
        .iter()
        .filter_map(|p| Some((p.pid, processes::main_thread_ns(p.pid)?, sys::now())))
        .collect();
    // The first half: what needs nothing but the processes.
    let (listener, units, journal, managed, firewall, binaries, kernel_log, drop) =
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| look_listeners(file, &file.server.process, listeners::Reach::All));
            let journal = scope.spawn(|| {
                let extra: Vec<String> = processes.iter().filter_map(|p| p.unit.clone()).collect();
                logs::journal(&extra)
            });
            let units = scope.spawn(|| look_units(processes.clone()));
            let managed =
                scope.spawn(|| timed("supervisorctl status; sv status /etc/service/*", managed::look));
            let firewall = scope.spawn(|| super::firewall::of_server(file, request.before.as_deref()));
            let binaries = scope.spawn(|| look_binaries(&processes));
            let kernel_log = scope.spawn(kernel_log::read);
            let drop = scope.spawn(|| look_drops(request, file));
            let (listener, units, journal) = (listener.join(), units.join(), journal.join());
            (
                listener,
                units,
                journal,
                managed.join(),
                firewall.join(),
                binaries.join(),
                kernel_log.join(),
                drop.join(),
            )
        });
    file.server.listener = listener.unwrap_or_default();
    file.server.unit = units.unwrap_or_default();
    file.server.managed = managed.unwrap_or_default();
    file.server.kernel =
        timed("sysctl net.core.somaxconn; nstat -az TcpExtListenDrops; free", || Ok(kernel::look()));
    file.server.drop = drop.unwrap_or_default();
    file.server.firewall = firewall.unwrap_or_default();
    file.server.binary = binaries.unwrap_or_default();
    if let (Seen::Yes(binaries), Some(units)) = (&mut file.server.binary, file.server.unit.get()) {
        binaries::add_of_units(&mut binaries.value, units);
    }
    let kernel_log = kernel_log.unwrap_or(Err(Why::Panicked));
    // The second: what needs the units, and the files they name.
    let binaries = file.server.binary.get().cloned().unwrap_or_default();
    file.server.config = look_config(file, &binaries);
    if inside::is_needed(file) {
        let by_hand = format!("redis-cli -h 127.0.0.1 -p {} INFO server", file.ask.port);
        file.server.inside = timed(&by_hand, || inside::look(request, file));
        if file.server.inside.get().is_some() {
            // What the running server tells is compared with its file.
            file.server.config = look_config(file, &binaries);
        }
    }
    file.server.way_back = way_back::look(file);
    file.server.log =
        look_logs(file, journal.unwrap_or(Err(Why::Panicked)), kernel_log.as_deref().unwrap_or(&[]));
    file.server.storage = look_storage(file);
    file.server.oom = look_oom(file, &kernel_log);
    file.server.mac =
        timed("getenforce; aa-status; ausearch -m avc", || kernel_log::mac(kernel_log.as_deref()));
    file.server.process = sampled(std::mem::take(&mut file.server.process), &before);
}

/// How much of one core each server's main thread has used since the first sample.
fn sampled(mut processes: Seen<Vec<Process>>, before: &[(u32, u64, Instant)]) -> Seen<Vec<Process>> {
    if let Seen::Yes(fact) = &mut processes {
        for process in &mut fact.value {
            let first = before.iter().find(|(pid, ..)| *pid == process.pid);
            process.cpu = first.zip(processes::main_thread_ns(process.pid)).map(|((_, ran, at), now)| {
                let share = now.saturating_sub(*ran) as f64 / (at.elapsed().as_nanos() as f64).max(1.0);
                share.min(1.0) as f32
            });
        }
    }
    processes
}

fn look_storage(file: &CaseFile) -> Seen<Storage> {
    let configs = file.server.config.get().map_or(&[][..], Vec::as_slice);
    let processes = file.server.process.get().map_or(&[][..], Vec::as_slice);
    let dir = configs.first().and_then(|c| c.value("dir")).unwrap_or("/var/lib/redis");
    timed(&format!("namei -l {dir}; df -h {dir}; df -i {dir}"), || {
        storage::look(configs, file.server.unit.get(), processes)
    })
}

fn look_oom(file: &CaseFile, log: &Result<Vec<kernel_log::Record>, Why>) -> Seen<OomKills> {
    timed("journalctl -k -g 'oom-kill|Killed process'", || {
        let kills = kernel_log::oom_kills(log.as_deref().unwrap_or(&[]), file.server.unit.get());
        match log {
            // systemd's own word is a finding even without the kernel's log; its silence is none.
            Err(why) if kills.kills.is_empty() => Err(why.clone()),
            _ => Ok(kills),
        }
    })
}

fn look_drops(request: &Request, file: &CaseFile) -> Seen<Drops> {
    let Some(to) = drops::target(file).filter(|_| request.trace) else { return Seen::NotRun };
    timed(drops::BY_HAND, || drops::look(to))
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
        managed: file.server.managed.get().map_or(&[], |m| m.programs.as_slice()),
        listeners: file.server.listener.get(),
        addresses: file.server.address.get().map_or(&[], Vec::as_slice),
        talks: &talks,
        versions: &versions,
    };
    timed("redis-cli CONFIG GET '*'; grep -vE '^ *(#|$)' /etc/redis/redis.conf", || Ok(config::look(&known)))
}

fn look_logs(
    file: &CaseFile,
    journal: Result<Vec<logs::Entry>, Why>,
    kernel_log: &[kernel_log::Record],
) -> Seen<Logs> {
    let configs = file.server.config.get().map_or(&[][..], Vec::as_slice);
    let unit = configs.first().and_then(|c| c.unit.as_deref()).unwrap_or("redis-server.service");
    let by_hand = format!("journalctl -u {unit} -n 50; tail -n 50 /var/log/redis/*.log");
    timed(&by_hand, || {
        let processes = file.server.process.get().map_or(&[][..], Vec::as_slice);
        let managed = file.server.managed.get().map_or(&[][..], |m| m.programs.as_slice());
        let mut logs = logs::look(journal, configs, file.server.unit.get(), managed, processes)?;
        logs::add_crashes(&mut logs, kernel_log::crashes(kernel_log), processes);
        Ok(logs)
    })
}
