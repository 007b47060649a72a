//! Causes of the category `health`.

use super::Cause;

mod busy_script;
mod cluster_down;
mod hung;
mod loading;
mod memory_full;
mod not_ready;
mod primary_link_down;
mod read_only_replica;
mod writes_stopped;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &not_ready::NotReady,
    &hung::Hung,
    &busy_script::BusyScript,
    &loading::Loading,
    &writes_stopped::WritesStopped,
    &primary_link_down::PrimaryLinkDown,
    &memory_full::MemoryFull,
    &cluster_down::ClusterDown,
    &read_only_replica::ReadOnlyReplica,
];
