//! Causes of the category `address`.

use super::Cause;

mod database_missing;
mod endpoint_moved;
mod env_collision;
mod family_mismatch;
mod host_unreachable;
mod loopback_in_container;
mod name_not_found;
mod name_on_other_network;
mod not_redis;
mod resolver_unavailable;
mod second_client_on_defaults;
mod sentinel_port;
mod settings_not_applied;
pub(in crate::cause) mod shared;
mod socket_missing;
mod stale_address;
mod url_malformed;
mod wrong_host;
pub(in crate::cause) mod wrong_port;
mod wrong_server;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &url_malformed::UrlMalformed,
    &env_collision::EnvCollision,
    &settings_not_applied::SettingsNotApplied,
    &second_client_on_defaults::SecondClientOnDefaults,
    &resolver_unavailable::ResolverUnavailable,
    &name_not_found::NameNotFound,
    &name_on_other_network::NameOnOtherNetwork,
    &endpoint_moved::EndpointMoved,
    &stale_address::StaleAddress,
    &host_unreachable::HostUnreachable,
    &socket_missing::SocketMissing,
    &loopback_in_container::LoopbackInContainer,
    &wrong_host::WrongHost,
    &wrong_port::WrongPort,
    &family_mismatch::FamilyMismatch,
    &not_redis::NotRedis,
    &wrong_server::WrongServer,
    &sentinel_port::SentinelPort,
    &database_missing::DatabaseMissing,
];
