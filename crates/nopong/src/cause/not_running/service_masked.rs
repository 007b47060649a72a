//! The unit is masked: systemd refuses to start it.

use super::shared::{self, Fit, State};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::server::Unit;

/// See the module.
#[derive(Debug)]
pub(super) struct ServiceMasked;

static META: Meta = Meta {
    id: "service-masked",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the service is masked",
    masked_by: &[],
    settled_by: &["unit"],
};

fn masked<'a>(case: &Case<'a>) -> Option<&'a Unit> {
    case.unit().filter(|u| shared::is_masked(u))
}

fn because(unit: &Unit) -> Vec<Reason> {
    let place = unit.fragment.as_deref().map(|f| format!(" ({f})")).unwrap_or_default();
    vec![Reason::confirms("unit", format!("{} is masked{place}: systemd refuses to start it", unit.name))]
}

impl Cause for ServiceMasked {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match (shared::state(case), masked(case)) {
            (State::Runs(reason), _) => vec![reason],
            (State::Down(down), Some(_)) if down.fit == Fit::Behind => Vec::new(),
            (State::Down(_), Some(unit)) => because(unit),
            (State::Down(down), None) => match down.unit {
                Some(unit) => vec![Reason::rules_out("unit", format!("{} is not masked", unit.name))],
                None => Vec::new(),
            },
            (State::Unseen, _) => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        masked(case)
            .map_or_else(|| META.title.to_owned(), |u| format!("{} is masked and does not run", u.name))
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let name = crate::text::shell(&shared::unit_name(case));
        Some(
            Fix::new(Risk::Ask, "unmask the unit and start it")
                .step("somebody masked it on purpose: ask why first")
                .run("unmask it", format!("systemctl unmask {name}"))
                .run("start it now and at boot", format!("systemctl enable --now {name}")),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let unit = masked(case)?;
        match shared::state(case) {
            State::Runs(_) if unit.active == "active" => Some(Latent {
                place: Place::Warning,
                title: format!("{} runs but is masked: once stopped it cannot be started", unit.name),
                reasons: because(unit),
                fix: self.fix(case),
            }),
            State::Down(down) if down.fit == Fit::Behind => Some(Latent {
                place: Place::Behind,
                title: self.title(case),
                reasons: because(unit),
                fix: self.fix(case),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServiceMasked;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::server::DeathKind;

    fn masked() -> crate::evidence::CaseFile {
        let file = with_unit(on_server(refused()), "inactive", "dead", "success");
        edit_unit(file, |u| {
            u.load_state = "masked".to_owned();
            u.fragment = Some("/etc/systemd/system/redis-server.service".to_owned());
        })
    }

    #[test]
    fn settles() {
        assert_eq!(first(&masked()), Some(("service-masked", Band::Confirmed)));
    }

    #[test]
    fn comes_before_what_made_it_stop() {
        let file =
            with_death(masked(), death(DeathKind::OrderlyStop, "Received SIGTERM scheduling shutdown..."));
        assert_eq!(first(&file), Some(("service-masked", Band::Confirmed)));
    }

    #[test]
    fn a_loaded_unit_rules_it_out() {
        let file = with_unit(on_server(refused()), "inactive", "dead", "success");
        assert!(rules_out(&ServiceMasked, &file));
    }

    #[test]
    fn silent_from_a_lone_client() {
        assert!(silent(&ServiceMasked, &refused()));
    }
}
