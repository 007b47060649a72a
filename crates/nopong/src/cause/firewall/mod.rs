//! Causes of the category `firewall`.

use super::Cause;

mod client_firewall_blocks;
pub(crate) mod cloud_firewall_blocks;
mod network_policy_blocks;
mod path_firewall_blocks;
mod server_firewall_drops;
mod server_firewall_rejects;
mod shared;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &client_firewall_blocks::ClientFirewallBlocks,
    &network_policy_blocks::NetworkPolicyBlocks,
    &path_firewall_blocks::PathFirewallBlocks,
    &server_firewall_drops::ServerFirewallDrops,
    &server_firewall_rejects::ServerFirewallRejects,
    &cloud_firewall_blocks::CloudFirewallBlocks,
];
