//! Causes of the category `capacity`.

use super::Cause;

mod backlog_full;
mod client_fds_exhausted;
mod client_pool_exhausted;
mod client_ports_exhausted;
mod clients_exhausted;
mod conntrack_full;
mod idle_connection_cut;
mod server_fds_exhausted;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &client_fds_exhausted::ClientFdsExhausted,
    &client_ports_exhausted::ClientPortsExhausted,
    &conntrack_full::ConntrackFull,
    &backlog_full::BacklogFull,
    &server_fds_exhausted::ServerFdsExhausted,
    &clients_exhausted::ClientsExhausted,
    &idle_connection_cut::IdleConnectionCut,
    &client_pool_exhausted::ClientPoolExhausted,
];
