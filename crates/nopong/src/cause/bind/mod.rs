//! Causes of the category `bind`.

use super::Cause;

mod bind_loopback_only;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[&bind_loopback_only::BindLoopbackOnly];
