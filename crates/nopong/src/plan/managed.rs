//! A Redis under supervisord or runit: started and restarted through its manager, never beside it.

use super::{Draft, NoPlan, guard};
use crate::apply::{Action, Supervised, SupervisedVerb};
use crate::cause::managers;
use crate::diagnosis::Case;
use crate::evidence::managed::{Managed, Manager, Standing};

/// Plans the start of a manager's program, where one is meant; none where no manager has one for the target.
pub(super) fn start(draft: &mut Draft<'_>) -> Option<Result<(), NoPlan>> {
    let managed = draft.case.managed_for()?;
    if let Some(unit) = draft.case.unit_beside(managed) {
        return Some(Err(NoPlan::Refused(format!(
            "{} and {} would both serve {}: which is meant is not to be seen; disable one, or start the one you want ({})",
            unit.name,
            managed.called(),
            draft.case.target(),
            managed.manager.command("start", &managed.name)
        ))));
    }
    Some(of(draft, managed))
}

fn of(draft: &mut Draft<'_>, managed: &Managed) -> Result<(), NoPlan> {
    let called = managed.called();
    let refuse = |says: String| Err(NoPlan::Refused(says));
    match managed.standing {
        Standing::Down | Standing::GivenUp => {}
        Standing::Up => return Err(NoPlan::Nothing(format!("{called} runs already"))),
        Standing::Moving => {
            return refuse(format!("{called} is on its way ({}): look again in some seconds", managed.says));
        }
        Standing::Unlisted => {
            let unread = "which also stops and starts whatever else changed there";
            return refuse(match managed.manager {
                Manager::Supervisord => {
                    format!("{called} is not known to it yet: supervisorctl update, {unread}")
                }
                Manager::Runit | Manager::InitScript => {
                    format!("{called} is not known to it yet: runsvdir takes it up within 5 s")
                }
            });
        }
        Standing::Unmanaged => {
            return refuse(format!(
                "{} does not run: start that first, and all it looks after",
                managed.manager.name()
            ));
        }
        Standing::Unknown => {
            let why = draft.case.server.managed.get().and_then(|m| m.unread.first().cloned());
            return refuse(format!("how {called} stands is not known: {}", why.unwrap_or_default()));
        }
    }
    if !managed.autostart {
        draft.plan.advice.push(format!(
            "{called} is not started with {}: down after the next boot ({})",
            managed.manager.name(),
            managed.file
        ));
    }
    if super::storage::give(draft, false).is_ok() {
        draft.plan.also.push("storage-unwritable".to_owned());
    }
    let gate = guard::gate_of_start(draft.case, draft.wish);
    draft.managed = Some(action(managed, SupervisedVerb::Start, gate));
    Ok(())
}

fn action(managed: &Managed, verb: SupervisedVerb, gate: Option<crate::apply::Gate>) -> Supervised {
    let (manager, config, name) = (managed.manager, managed.config.clone(), managed.name.clone());
    Supervised { manager, config, name, verb, gate }
}

/// The restart of the server that runs, through the manager that started it: before the edits for the undo, and after
/// them. None where no manager says that the process is its own.
pub(super) fn restart(case: &Case<'_>, gate: Option<&crate::apply::Gate>) -> Option<(Action, Action)> {
    use crate::apply::When;
    let managed = managers::program(case, case.process()?)?;
    let of = |when| Action::Supervised(action(managed, SupervisedVerb::Restart(when), gate.cloned()));
    Some((of(When::AfterUndo), of(When::Now)))
}

/// A stop that takes longer than its manager waits ends in SIGKILL, in the middle of the save.
pub(super) fn short_stop(case: &Case<'_>) -> Option<String> {
    let process = case.process()?;
    let managed = managers::program(case, process).filter(|m| m.manager == Manager::Supervisord)?;
    let wait = managed.stop_wait_s?;
    let saves = case.config().and_then(|c| c.value("save")) != Some("");
    // A GiB takes some seconds to save: 100 MB/s is a slow disk's pace.
    let needs = process.rss.unwrap_or(0) / 100_000_000;
    (saves && needs > u64::from(wait)).then(|| {
        format!(
            "{} kills it {wait} s after asking it to stop (stopwaitsecs in {}), and saving its {} MB may take longer: set it higher",
            managed.manager.name(),
            managed.file,
            process.rss.unwrap_or(0) / 1_000_000
        )
    })
}
