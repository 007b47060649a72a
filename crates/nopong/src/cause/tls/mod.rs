//! Causes of the category `tls`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
