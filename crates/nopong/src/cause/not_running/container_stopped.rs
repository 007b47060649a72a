//! The container is there and does not run: it was stopped, killed, or never started; or its engine does not run.

use crate::cause::common::{dials_loopback, servers_here};
use crate::cause::containers::{self, Meant, Tie};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::Why;
use crate::evidence::containers::Container;

/// See the module.
#[derive(Debug)]
pub(super) struct ContainerStopped;

static META: Meta = Meta {
    id: "container-stopped",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the Redis container does not run",
    masked_by: &[],
    settled_by: &["container"],
};

/// It was ended from outside, or by itself without a failure. 143 and 137 are SIGTERM and SIGKILL (128 and the
/// signal), as `docker stop` sends them; an OOM kill is another cause's.
fn quiet(case: &Case<'_>, c: &Container) -> bool {
    !c.oom_killed
        && !containers::loops(case, c)
        && match c.status.as_str() {
            "created" => c.error.is_none(),
            _ => matches!(c.exit_code, None | Some(0 | 137 | 143)),
        }
}

/// The engine itself does not run, and nothing else serves the port.
fn no_engine(case: &Case<'_>) -> Option<String> {
    let Why::Failed { what } = case.file.server.container.why()? else { return None };
    let idle = case.ask.local && servers_here(case).is_some_and(|s| s.is_empty());
    (case.symptom == Symptom::Refused && idle && what.contains("dockerd does not run")).then(|| what.clone())
}

fn says(c: &Container) -> String {
    let mut text = format!("{} {}", containers::named(c), containers::ending(c));
    if matches!(c.policy.as_str(), "" | "no") {
        text.push_str("; its restart policy is no, so nothing starts it again");
    } else if c.policy == "unless-stopped" || c.policy == "always" {
        text.push_str(&format!("; its restart policy {} does not start what was stopped by hand", c.policy));
    }
    text
}

/// A guess: the only Redis of the engine does not run, and nothing else is here.
fn only<'a>(case: &Case<'a>) -> Option<Meant<'a>> {
    let meant = containers::meant(case).filter(|m| m.tie == Tie::Only && case.symptom == Symptom::Refused)?;
    (!meant.container.runs() && servers_here(case).is_none_or(|s| s.is_empty())).then_some(meant)
}

impl Cause for ContainerStopped {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(meant) = containers::down(case) {
            if !quiet(case, meant.container) {
                return vec![Reason::rules_out(
                    "container",
                    format!("it was not stopped: {}", says(meant.container)),
                )];
            }
            let asleep = containers::all(case).is_some_and(|c| c.asleep);
            let mut reasons = vec![Reason::confirms("container", says(meant.container))];
            if asleep {
                reasons.insert(
                    0,
                    Reason::confirms("container", "dockerd does not run, and with it no container"),
                );
            }
            return reasons;
        }
        if let Some(meant) = containers::meant(case)
            && meant.tie != Tie::Only
            && meant.container.runs()
        {
            return vec![Reason::rules_out(
                "container",
                format!("{} runs", containers::named(meant.container)),
            )];
        }
        if let Some(meant) = only(case) {
            return vec![Reason::strong(
                "container",
                format!("{}, and no other Redis is here", says(meant.container)),
            )];
        }
        if containers::lone_name(case) {
            let says = "inside a container the name of one that does not run does not resolve";
            return vec![Reason::strong("name", says)];
        }
        no_engine(case).map(|what| vec![Reason::strong("container", what)]).unwrap_or_default()
    }

    fn title(&self, case: &Case<'_>) -> String {
        let asleep = containers::all(case).is_some_and(|c| c.asleep);
        match containers::down(case).or_else(|| only(case)) {
            Some(m) if asleep => {
                format!("dockerd does not run, and with it {}", containers::named(m.container))
            }
            Some(m) => format!(
                "{} does not run: it {}",
                containers::named(m.container),
                containers::ending(m.container)
            ),
            None if no_engine(case).is_some() => {
                "dockerd does not run; if Redis is one of its containers, that is why".to_owned()
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let engine = containers::engine(case);
        let asleep = containers::all(case).is_some_and(|c| c.asleep) || no_engine(case).is_some();
        let fix = Fix::new(
            Risk::Ask,
            if asleep { "start dockerd and the container" } else { "start the container" },
        );
        let fix = if asleep { fix.run("start dockerd", "systemctl start docker") } else { fix };
        let Some(meant) = containers::down(case).or_else(|| only(case)) else {
            return Some(fix.run("see which containers there are", format!("{engine} ps -a")));
        };
        let c = meant.container;
        let name = crate::text::shell(&c.name);
        let fix = containers::start(fix, case, c);
        let fix = if matches!(c.policy.as_str(), "" | "no") && c.service.is_none() {
            fix.run(
                "let it come back after a crash and a reboot",
                format!("{engine} update --restart unless-stopped {name}"),
            )
        } else {
            fix
        };
        Some(fix.run("see what it says", format!("{engine} logs --tail 50 {name}")))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let meant = containers::meant(case).filter(|m| m.tie == Tie::Name && !m.container.runs())?;
        let resolves = matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed);
        (resolves && !containers::inside(case) && !dials_loopback(case) && quiet(case, meant.container)).then(
            || Latent {
                place: Place::Behind,
                title: format!("{} does not run either", containers::named(meant.container)),
                reasons: vec![Reason::confirms("container", says(meant.container))],
                fix: Some(containers::start(
                    Fix::new(Risk::Ask, "start the container"),
                    case,
                    meant.container,
                )),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::ContainerStopped;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;

    #[test]
    fn confirmed_for_the_publisher_of_the_port() {
        let file = with_container(on_server(refused()), |c| {
            c.status = "exited".to_owned();
            c.exit_code = Some(0);
            publish(c, "0.0.0.0:6379");
        });
        assert_eq!(first(&file), Some(("container-stopped", Band::Confirmed)));
    }

    #[test]
    fn a_units_server_is_not_blamed_in_its_stead() {
        let file = with_unit(on_server(refused()), "inactive", "dead", "success");
        let file = with_container(file, |c| {
            c.status = "exited".to_owned();
            c.exit_code = Some(143);
            publish(c, "0.0.0.0:6379");
        });
        assert_eq!(first(&file), Some(("container-stopped", Band::Confirmed)));
    }

    #[test]
    fn a_guess_is_not_confirmed() {
        let file = with_container(on_server(refused()), |c| c.status = "exited".to_owned());
        assert!(!confirms(&ContainerStopped, &file));
    }

    #[test]
    fn ruled_out_by_a_failure_and_by_one_that_runs() {
        let file = with_container(on_server(refused()), |c| {
            c.status = "exited".to_owned();
            c.exit_code = Some(1);
            publish(c, "0.0.0.0:6379");
        });
        assert!(rules_out(&ContainerStopped, &file));
        let file = with_container(on_server(refused()), |c| publish(c, "0.0.0.0:6379"));
        assert!(rules_out(&ContainerStopped, &file));
    }

    #[test]
    fn silent_without_an_engine() {
        assert!(silent(&ContainerStopped, &refused()));
        assert!(silent(&ContainerStopped, &pong(&[])));
    }
}
