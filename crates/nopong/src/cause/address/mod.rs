//! Causes of the category `address`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
