//! Causes of the category `health`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
