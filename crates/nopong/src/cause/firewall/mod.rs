//! Causes of the category `firewall`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
