//! The server cannot load its data: a damaged or foreign dump, append only file or cluster file.

use super::shared;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::server::{Death, DeathKind};
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct DataUnloadable;

static META: Meta = Meta {
    id: "data-unloadable",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server cannot load its data",
    masked_by: &["service-masked"],
    settled_by: &["log"],
};

/// A newer server, or a module that is not loaded here, wrote the data: nothing is damaged.
pub(crate) fn newer(death: &Death) -> bool {
    let text = death.text.to_lowercase();
    text.contains("rdb format version") || text.contains("module")
}

fn data_dir(case: &Case<'_>) -> String {
    case.config()
        .and_then(|c| c.value("dir"))
        .filter(|d| d.starts_with('/'))
        .unwrap_or("/var/lib/redis")
        .to_owned()
}

/// What was tried last, as one line of the reasons.
fn attempts(case: &Case<'_>) -> Option<Reason> {
    let unit = case.unit().filter(|u| u.restarts > 0)?;
    Some(Reason::strong("unit", format!("{} was restarted {} times, in vain", unit.name, unit.restarts)))
}

impl Cause for DataUnloadable {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |_| Vec::new());
        if shared::last_word(case, META.id).is_some() && !reasons.is_empty() {
            reasons.extend(attempts(case));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let Some(death) = shared::last_word(case, META.id) else { return META.title.to_owned() };
        let dump = case.config().and_then(|c| c.value("dbfilename")).unwrap_or("dump.rdb");
        let what = match death.kind {
            DeathKind::AofUnloadable => "its append only file".to_owned(),
            DeathKind::ClusterConfig => "its cluster file".to_owned(),
            _ => format!("{}/{dump}", data_dir(case)),
        };
        let why = death.detail.as_deref().unwrap_or(&death.text);
        format!("redis-server cannot load {what}: {why}")
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let dir = data_dir(case);
        let kept = format!("cp -a {} {}", shell(&dir), shell(&format!("{dir}.before-repair")));
        let death = shared::last_word(case, META.id);
        let fix = Fix::new(Risk::Advice, "repair a copy of the data, or bring the server that can read it")
            .run("keep everything as it is first", kept);
        let fix = match death.map(|d| d.kind) {
            Some(DeathKind::AofUnloadable) => {
                let fix = match death.and_then(|d| d.detail.as_deref()).filter(|d| d.starts_with('/')) {
                    Some(file) => fix.run("see how much is damaged", format!("redis-check-aof {}", shell(file))),
                    None => fix.run(
                        "see how much is damaged (from Redis 7 on: of the manifest)",
                        format!("redis-check-aof {}", shell(&format!("{dir}/appendonlydir/appendonly.aof.manifest"))),
                    ),
                };
                fix.step("if what it would cut off can be lost: the same with --fix, on the file whose copy you kept")
            }
            Some(DeathKind::ClusterConfig) => {
                fix.step("restore nodes.conf from a backup, or let the node join anew: without it, it forgets its slots")
            }
            Some(_) if death.is_some_and(newer) => {
                fix.step("a newer server, or one with more modules, wrote it: install that version again")
            }
            _ => {
                let dump = case.config().and_then(|c| c.value("dbfilename")).unwrap_or("dump.rdb");
                fix.run("see what is wrong with it", format!("redis-check-rdb {}", shell(&format!("{dir}/{dump}"))))
                    .step("a dump cannot be repaired: bring one from a backup, or let `nopong fix` look for a whole one beside it")
            }
        };
        Some(shared::start(fix, case))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        shared::behind(case, META.id, self.title(case), self.fix(case), |_| Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::DataUnloadable;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, Case};
    use crate::evidence::server::DeathKind;

    #[test]
    fn confirms_a_dump_that_is_none() {
        let file = died(DeathKind::RdbUnloadable, "Wrong signature trying to load DB from file");
        assert_eq!(first(&file), Some(("data-unloadable", Band::Confirmed)));
    }

    #[test]
    fn confirms_an_endless_loading() {
        let mut file = died(DeathKind::AofUnloadable, "Bad file format reading the append only file");
        file.client = ping_error("LOADING Redis is loading the dataset in memory").client;
        file = edit_unit(file, |u| {
            u.active = "activating".to_owned();
            u.sub = "auto-restart".to_owned();
            u.restarts = 40;
        });
        assert_eq!(first(&file), Some(("data-unloadable", Band::Confirmed)));
    }

    #[test]
    fn never_repairs_without_a_copy() {
        use crate::cause::Cause;
        let file = died(DeathKind::AofUnloadable, "Bad file format reading the append only file");
        let fix = DataUnloadable.fix(&Case::new(&file)).unwrap();
        assert!(fix.steps[0].command.as_deref().unwrap().starts_with("cp -a "));
        assert!(
            fix.steps
                .iter()
                .filter_map(|s| s.command.as_deref())
                .all(|c| !c.contains("--fix") && !c.contains("rm "))
        );
    }

    #[test]
    fn a_word_that_is_not_the_last_says_nothing() {
        let mut old = death(DeathKind::RdbUnloadable, "Wrong signature");
        old.last = false;
        let file = with_death(with_unit(on_server(refused()), "inactive", "dead", "success"), old);
        assert!(!confirms(&DataUnloadable, &file));
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&DataUnloadable, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&DataUnloadable, &refused()));
    }
}
