//! Causes of the category `not-running`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
