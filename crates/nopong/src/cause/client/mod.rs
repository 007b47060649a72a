//! Causes of the category `client`.

use super::Cause;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[];
