//! Causes of the category `client`.

use super::Cause;

mod protocol_unsupported;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[&protocol_unsupported::ProtocolUnsupported];
