//! Causes of the category `topology`.

use super::Cause;

mod announced_unreachable;
mod mode_mismatch;
mod no_primary;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] =
    &[&no_primary::NoPrimary, &announced_unreachable::AnnouncedUnreachable, &mode_mismatch::ModeMismatch];
