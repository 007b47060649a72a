//! Causes of the category `topology`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
