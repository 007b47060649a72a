//! Start the service: the canonical unit, enabled at boot, its mask and its start limit removed.

use super::{Draft, NoPlan, guard, managed};
use crate::apply::{Action, Restart, UnitState, When};
use crate::cause::containers;
use crate::sys;

/// Where `systemctl enable` links aliases, and where a mask is put (systemd.unit(5)).
const ADMIN: &str = "/etc/systemd/system";

/// Plans the start of the target's unit.
pub(super) fn start(draft: &mut Draft<'_>, masked: bool) -> Result<(), NoPlan> {
    if let Some(managed) = managed::start(draft) {
        return managed;
    }
    let unit = draft
        .case
        .unit()
        .ok_or_else(|| NoPlan::Refused("no systemd unit of Redis is known here".to_owned()))?;
    if draft.case.process().is_some() {
        return Err(NoPlan::Nothing(format!("{} runs already", unit.name)));
    }
    // A unit that nobody ever wanted, beside an engine whose container may be what is meant.
    let given = draft.wish.only.is_some();
    if !given && !masked && !containers::unit_wanted(draft.case) && containers::perhaps(draft.case) {
        return Err(NoPlan::Refused(format!(
            "{} was never enabled or started, and a container may be what is meant: look at those first; `--only \
             service-stopped` starts the unit all the same",
            unit.name
        )));
    }
    let file_state = unit.file_state.as_deref();
    let at_run_time = file_state == Some("masked-runtime");
    let is_masked = unit.load_state == "masked" || file_state == Some("masked") || at_run_time;
    if masked && !is_masked {
        return Err(NoPlan::Refused(format!("{} is not masked any more", unit.name)));
    }
    if let Some(condition) = unit.blocked_by.iter().find(|c| is_unmet(c)) {
        return Err(NoPlan::Refused(format!("systemd would skip the start: {condition}; see to that first")));
    }
    let name = canonical(&unit.name);
    if is_masked {
        // A step of its own: whether it is enabled underneath is seen only without the mask.
        draft.first.push(Action::UnitState(UnitState {
            unit: name.clone(),
            unmask: true,
            at_run_time,
            ..UnitState::default()
        }));
    }
    if super::storage::give(draft, false).is_ok() {
        draft.plan.also.push("storage-unwritable".to_owned());
    }
    draft.start = Some(UnitState {
        unit: name,
        reset_failed: unit.active == "failed",
        start: true,
        // A unit that somebody disabled would be down again after the next boot.
        enable: is_masked || unit.file_state.as_deref() == Some("disabled"),
        gate: guard::gate_of_start(draft.case, draft.wish),
        ..UnitState::default()
    });
    Ok(())
}

/// `ConditionPathExists=/x is not met`, and it would not be met now either. What else conditions ask, systemd decides.
fn is_unmet(condition: &str) -> bool {
    let path = ["ConditionPathExists=", "AssertPathExists="]
        .iter()
        .find_map(|kind| condition.strip_prefix(kind)?.strip_suffix(" is not met"));
    path.is_some_and(|path| match path.strip_prefix('!') {
        Some(path) => sys::stat(path).is_ok(),
        None => sys::stat(path).is_err(),
    })
}

/// A masked unit does not tell its aliases any more: the link of the alias does.
pub(super) fn canonical(name: &str) -> String {
    sys::read_link(format!("{ADMIN}/{name}"))
        .ok()
        .and_then(|to| to.file_name().and_then(|f| f.to_str()).map(str::to_owned))
        .filter(|to| to.ends_with(".service"))
        .unwrap_or_else(|| name.to_owned())
}

/// Whoever held the port is left alone; where nobody does any more, a start is all.
pub(super) fn port_is_free(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let nobody = draft.case.server.listener.get().is_some() && draft.case.listeners_on_port().is_empty();
    let died = draft.case.unit().is_some_and(|u| u.active != "active") && draft.case.process().is_none();
    if !nobody || !died {
        return Err(NoPlan::Advice(None));
    }
    again(draft);
    Ok(())
}

/// After the reason of a failed start is gone: start it, without touching whether it is enabled.
pub(super) fn again(draft: &mut Draft<'_>) {
    match managed::start(draft) {
        Some(Ok(())) => return,
        Some(Err(NoPlan::Refused(says) | NoPlan::Nothing(says))) => return draft.plan.advice.push(says),
        Some(Err(NoPlan::Advice(_))) | None => {}
    }
    if let Some(unit) = draft.case.unit().filter(|_| draft.case.process().is_none()) {
        if unit.file_state.as_deref() == Some("disabled") {
            let says = format!("{} is not enabled: down after the next boot (systemctl enable)", unit.name);
            draft.plan.advice.push(says);
        }
        if unit.active == "activating" && (unit.sub.starts_with("auto-restart") || unit.restarts > 0) {
            let (unit, when) = (canonical(&unit.name), When::TriesAfterUndo);
            draft.first.insert(0, Action::Restart(Restart { unit, when, gate: None }));
        }
        draft.start = Some(UnitState {
            unit: canonical(&unit.name),
            reset_failed: unit.active == "failed",
            start: true,
            gate: guard::gate_of_start(draft.case, draft.wish),
            ..UnitState::default()
        });
    } else if draft.case.process().is_none() {
        draft.plan.advice.push("start the server again".to_owned());
    }
}
