//! Docker links and Kubernetes services set REDIS_PORT=tcp://10.0.0.1:6379 for every container: an application
//! that reads REDIS_PORT as a number gets that.

use crate::cause::common::meta;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct EnvCollision;

static META: Meta = meta(
    "env-collision",
    Category::Address,
    Stage::Target,
    "an injected variable such as REDIS_PORT=tcp://… is read as a setting",
    &["settings"],
);

impl Cause for EnvCollision {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match &case.ask.problem {
            Some(problem) if problem.id == META.id => {
                vec![Reason::confirms("settings", problem.says.clone())]
            }
            Some(_) => vec![Reason::rules_out("settings", "no injected variable was read")],
            None => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        case.ask.problem.as_ref().map_or_else(|| META.title.to_owned(), |p| p.says.clone())
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let mut fix = Fix::new(Risk::Advice, "keep the injected variable away from the application");
        if let Some(meant) = case.ask.problem.as_ref().and_then(|p| p.meant.as_ref()) {
            fix = fix.step(format!("the address in it is probably meant: {meant}"));
        }
        Some(
            fix.step("Kubernetes: enableServiceLinks: false in the pod, or give the Service another name than redis")
                .step("Docker: use a network instead of --link")
                .step("or set REDIS_PORT=6379 in the application's own environment: what is set there wins"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.symptom == Symptom::Malformed {
            return None;
        }
        let settings = case.client.settings.get()?;
        let injected =
            settings.found.iter().find(|s| s.key.ends_with("_PORT") && s.value.starts_with("tcp://"))?;
        let says = format!("{} {} = {}", injected.place, injected.key, injected.value);
        Some(Latent {
            place: Place::Warning,
            title: format!(
                "{} is set to an address: an application that reads it as a number fails",
                injected.key
            ),
            reasons: vec![Reason::confirms("settings", says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::EnvCollision;
    use crate::cause::testing::{client, confirms, refused, rules_out, seen, silent};
    use crate::diagnosis::diagnose;
    use crate::evidence::client::{Setting, Settings};
    use crate::evidence::{CaseFile, Problem};

    fn problem(id: &str) -> CaseFile {
        let mut file = client("", 0);
        let says = "REDIS_PORT is tcp://10.0.0.1:6379".to_owned();
        file.ask.problem = Some(Problem { id: id.to_owned(), says, ..Problem::default() });
        file
    }

    #[test]
    fn confirmed_and_ruled_out_by_what_was_read() {
        assert!(confirms(&EnvCollision, &problem("env-collision")));
        assert!(rules_out(&EnvCollision, &problem("url-malformed")));
    }

    #[test]
    fn warns_of_one_beside_the_target() {
        let mut file = refused();
        let found = vec![Setting {
            place: "environment".to_owned(),
            key: "REDIS_PORT".to_owned(),
            value: "tcp://10.0.0.1:6379".to_owned(),
            ..Setting::default()
        }];
        file.client.settings = seen(Settings { found });
        assert!(diagnose(&file).warnings.iter().any(|f| f.cause.meta().id == "env-collision"));
    }

    #[test]
    fn silent_without_one() {
        assert!(silent(&EnvCollision, &refused()));
    }
}
