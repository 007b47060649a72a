//! Causes of the category `capacity`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
