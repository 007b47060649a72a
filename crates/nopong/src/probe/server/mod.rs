//! The Redis host's side: sockets, processes, units, logs, configuration, storage, kernel, firewall.

mod addresses;
mod holders;
mod listeners;
mod processes;

use super::{Request, timed};
use crate::evidence::{CaseFile, Seen, Server};

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
    processes: &Seen<Vec<crate::evidence::server::Process>>,
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
pub fn beside_a_pong(_request: &Request, _file: &mut CaseFile) {}

/// Everything, in parallel: after a failure.
pub fn everything(_request: &Request, file: &mut CaseFile) {
    file.server.listener = look_listeners(file, &file.server.process, listeners::Reach::All);
}
