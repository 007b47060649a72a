//! Causes of the category `bind`.

use super::Cause;

mod bind_loopback_only;
mod bind_other_address;
mod config_not_applied;
mod port_not_published;
mod protected_mode;
mod tcp_port_disabled;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &config_not_applied::ConfigNotApplied,
    &tcp_port_disabled::TcpPortDisabled,
    &port_not_published::PortNotPublished,
    &bind_loopback_only::BindLoopbackOnly,
    &bind_other_address::BindOtherAddress,
    &protected_mode::ProtectedMode,
];
