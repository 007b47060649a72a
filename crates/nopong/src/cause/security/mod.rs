//! Causes of the category `security`.

use super::Cause;

mod instance_hijacked;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[&instance_hijacked::InstanceHijacked];
