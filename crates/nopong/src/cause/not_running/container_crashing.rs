//! The container's server ends by itself, once or again and again, and its log does not say of what.

use super::shared::{self, State};
use crate::cause::containers;
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::containers::Container;

/// See the module.
#[derive(Debug)]
pub(super) struct ContainerCrashing;

static META: Meta = Meta {
    id: "container-crashing",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the Redis container ends again and again",
    masked_by: &["oom-killed", "container-stopped"],
    settled_by: &["container"],
};

/// What the exit code says by convention: docker-run(1), and 128 and the signal.
fn code(code: i64) -> &'static str {
    match code {
        125 => ": the engine itself failed",
        126 => ": its command could not be run",
        127 => ": its command was not found in the image",
        132 => ": an instruction this processor does not have (SIGILL)",
        134 => ": it aborted (SIGABRT)",
        139 => ": it crashed (SIGSEGV)",
        _ => "",
    }
}

fn says(c: &Container) -> String {
    format!("{} {}{}", containers::named(c), containers::ending(c), code(c.exit_code.unwrap_or(0)))
}

/// The container that ends, where no known last word says why.
fn crashing<'a>(case: &Case<'a>) -> Option<&'a Container> {
    let State::Down(down) = shared::state(case) else { return None };
    let c = down.container?;
    let failed = containers::loops(case, c)
        || (c.status == "created" && c.error.is_some())
        || c.exit_code.is_some_and(|code| !matches!(code, 0 | 137 | 143));
    (failed && !c.oom_killed && down.blame.is_none()).then_some(c)
}

impl Cause for ContainerCrashing {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let Some(c) = crashing(case) else {
            let says = "inside a container the name of one that does not run, or just died, does not resolve";
            return Vec::from_iter(containers::lone_name(case).then(|| Reason::strong("name", says)));
        };
        let mut reasons = vec![Reason::confirms("container", says(c))];
        if let Some(error) = &c.error {
            reasons.push(Reason::strong("container", format!("the engine says: {error}")));
        }
        if let Some(last) = c.log.last() {
            reasons.push(Reason::strong("container", format!("the last line of its log: {last}")));
        } else if let Some(why) = &c.log_unread {
            reasons.push(Reason::weak("container", format!("its log could not be read: {why}")));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        crashing(case).map_or_else(|| META.title.to_owned(), says)
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let c = crashing(case)?;
        let engine = containers::engine(case);
        let name = crate::text::shell(&c.name);
        let fix = Fix::new(Risk::Ask, "remove what its log complains of, then start it")
            .run("read its last words", format!("{engine} logs --tail 50 {name}"))
            .run(
                "see what it was started with",
                format!("{engine} inspect -f '{{{{.Path}}}} {{{{json .Args}}}} {{{{json .Mounts}}}}' {name}"),
            );
        Some(containers::start(fix, case, c))
    }
}

#[cfg(test)]
mod tests {
    use super::ContainerCrashing;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::server::DeathKind;

    #[test]
    fn confirmed_by_the_exit_code_when_the_log_is_silent() {
        let file = with_container(on_server(refused()), |c| {
            c.status = "restarting".to_owned();
            c.policy = "always".to_owned();
            c.exit_code = Some(127);
            publish(c, "0.0.0.0:6379");
        });
        assert_eq!(first(&file), Some(("container-crashing", Band::Confirmed)));
    }

    #[test]
    fn its_last_word_is_the_nearer_cause() {
        let file = with_container(on_server(refused()), |c| {
            c.status = "restarting".to_owned();
            c.exit_code = Some(1);
            c.deaths = vec![death(DeathKind::ConfigError, ">>> 'maxmemry 1' Bad directive")];
            publish(c, "0.0.0.0:6379");
        });
        assert_eq!(first(&file), Some(("config-invalid", Band::Confirmed)));
    }

    #[test]
    fn an_oom_kill_is_the_nearer_cause() {
        let file = with_container(on_server(refused()), |c| {
            c.status = "exited".to_owned();
            c.exit_code = Some(137);
            c.oom_killed = true;
            publish(c, "0.0.0.0:6379");
        });
        assert_eq!(first(&file), Some(("oom-killed", Band::Confirmed)));
    }

    #[test]
    fn possible_for_a_name_inside_docker_without_the_engines_word() {
        use crate::evidence::client::{DnsAnswer, Name, Resolver, Standing};
        let mut file = client("redis", 6379);
        let docker =
            Resolver { server: "127.0.0.11:53".parse().unwrap(), answer: DnsAnswer::NxDomain, took_ms: 1.0 };
        let error = Some("EAI_NONAME".to_owned());
        file.client.name =
            seen(Name { asked: "redis".to_owned(), error, resolvers: vec![docker], ..Name::default() });
        let container = Some("a Docker container".to_owned());
        file.client.standing = seen(Standing { container, ..Standing::default() });
        let causes = crate::diagnosis::diagnose(&file).causes;
        let ids: Vec<_> = causes.iter().map(|f| f.cause.meta().id).collect();
        assert_eq!(ids[0], "name-on-other-network");
        assert!(ids.contains(&"container-crashing") && ids.contains(&"container-stopped"), "{ids:?}");
        assert!(causes.iter().all(|f| f.band != Band::Confirmed));
    }

    #[test]
    fn silent_for_one_that_runs_or_was_stopped() {
        assert!(silent(
            &ContainerCrashing,
            &with_container(on_server(refused()), |c| publish(c, "0.0.0.0:6379"))
        ));
        assert!(silent(&ContainerCrashing, &refused()));
    }
}
