//! Causes of the category `access`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
