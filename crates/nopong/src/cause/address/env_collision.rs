//! Docker links and Kubernetes services set REDIS_PORT=tcp://10.0.0.1:6379 for every container: an application
//! that reads REDIS_PORT as a number gets that.

use crate::cause::common::meta;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::kube::Service;
use crate::kube::links;

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

/// The Service whose link set the variable that was read.
fn injector<'a>(case: &Case<'a>) -> Option<&'a Service> {
    let k8s = case.file.client.kubernetes.get()?;
    let settings = case.file.client.settings.get().map_or(&[][..], |s| s.found.as_slice());
    let injected = settings.iter().find(|s| s.key.ends_with("_PORT") && s.value.contains("://"));
    links::injected_by(k8s, injected.map_or("REDIS_PORT", |s| s.key.as_str()))
}

impl Cause for EnvCollision {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match &case.ask.problem {
            Some(problem) if problem.id == META.id => {
                let by = injector(case).map(|s| {
                    let value = links::value(s).unwrap_or_default();
                    let says = format!("Service {} injects {value} into every container of its namespace (enableServiceLinks)", s.key);
                    Reason::strong("kubernetes", says)
                });
                std::iter::once(Reason::confirms("settings", problem.says.clone())).chain(by).collect()
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
        if let Some((variable, service)) = case.client.kubernetes.get().and_then(links::collision) {
            let value = links::value(service).unwrap_or_default();
            let host = variable.replace("_PORT", "_HOST");
            return Some(Latent {
                place: Place::Warning,
                title: format!(
                    "Service {} sets {variable}={value} in the client's pod: an application that reads it as a number fails",
                    service.key
                ),
                reasons: vec![
                    Reason::strong(
                        "kubernetes",
                        format!("the pod sets {host} and not {variable}, and has its service links"),
                    ),
                    Reason::weak("kubernetes", format!("{variable} is {value} in it")),
                ],
                fix: self.fix(case),
            });
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
