//! Start the service: the canonical unit, enabled at boot, its mask and its start limit removed.

use super::{Draft, NoPlan};
use crate::apply::UnitState;

/// Plans the start of the target's unit.
pub(super) fn start(draft: &mut Draft<'_>, masked: bool) -> Result<(), NoPlan> {
    let unit = draft
        .case
        .unit()
        .ok_or_else(|| NoPlan::Refused("no systemd unit of Redis is known here".to_owned()))?;
    let is_masked = unit.load_state == "masked" || unit.file_state.as_deref() == Some("masked");
    if masked && !is_masked {
        return Err(NoPlan::Refused(format!("{} is not masked any more", unit.name)));
    }
    draft.start = Some(UnitState {
        unit: unit.name.clone(),
        unmask: is_masked,
        reset_failed: unit.active == "failed",
        start: true,
        // A unit that somebody disabled would be down again after the next boot.
        enable: is_masked || unit.file_state.as_deref() == Some("disabled"),
    });
    Ok(())
}

/// After the reason of a failed start is gone: start it, without touching whether it is enabled.
pub(super) fn again(draft: &mut Draft<'_>) {
    if let Some(unit) = draft.case.unit().filter(|_| draft.case.process().is_none()) {
        draft.start = Some(UnitState {
            unit: unit.name.clone(),
            reset_failed: unit.active == "failed",
            start: true,
            ..UnitState::default()
        });
    } else if draft.case.process().is_none() {
        draft.plan.advice.push("start the server again".to_owned());
    }
}
