//! Causes of the category `access`.

use super::Cause;

mod acl_denied;
mod auth_missing;
mod auth_unexpected;
mod auth_wrong;
mod mac_denied;
mod socket_denied;

pub(super) use auth_missing::wanted as password_wanted;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &mac_denied::MacDenied,
    &socket_denied::SocketDenied,
    &auth_missing::AuthMissing,
    &auth_wrong::AuthWrong,
    &auth_unexpected::AuthUnexpected,
    &acl_denied::AclDenied,
];
