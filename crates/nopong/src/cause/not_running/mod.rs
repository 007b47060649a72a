//! Causes of the category `not-running`.

use super::Cause;

mod binary_incompatible;
mod bind_address_missing;
mod config_invalid;
mod container_crashing;
mod container_stopped;
mod crashed;
pub(crate) mod data_unloadable;
mod disk_full;
mod no_ready_endpoints;
mod not_installed;
mod oom_killed;
mod port_taken;
mod service_masked;
mod service_stopped;
pub(in crate::cause) mod shared;
mod storage_unwritable;
pub(crate) mod supervisor_kills;
mod tls_material_unusable;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &no_ready_endpoints::NoReadyEndpoints,
    &not_installed::NotInstalled,
    &service_masked::ServiceMasked,
    &service_stopped::ServiceStopped,
    &container_stopped::ContainerStopped,
    &config_invalid::ConfigInvalid,
    &port_taken::PortTaken,
    &bind_address_missing::BindAddressMissing,
    &data_unloadable::DataUnloadable,
    &storage_unwritable::StorageUnwritable,
    &disk_full::DiskFull,
    &tls_material_unusable::TlsMaterialUnusable,
    &oom_killed::OomKilled,
    &crashed::Crashed,
    &container_crashing::ContainerCrashing,
    &supervisor_kills::SupervisorKills,
    &binary_incompatible::BinaryIncompatible,
];
