//! Causes of the category `security`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
