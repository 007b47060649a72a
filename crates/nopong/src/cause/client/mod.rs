//! Causes of the category `client`.

use super::Cause;

mod client_library_fault;
mod protocol_unsupported;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] =
    &[&protocol_unsupported::ProtocolUnsupported, &client_library_fault::ClientLibraryFault];
