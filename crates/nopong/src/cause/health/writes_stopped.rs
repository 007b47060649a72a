//! The server takes no writes: it cannot save (MISCONF), or too few replicas follow.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::Case;
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct WritesStopped;

static META: Meta = Meta {
    id: "writes-stopped",
    category: Category::Health,
    stage: Stage::Ready,
    title: "the server takes no writes because it cannot save",
    masked_by: &["instance-hijacked"],
    settled_by: &["inside", "storage", "log"],
};

fn misconf<'a>(case: &Case<'a>) -> Option<&'a str> {
    runtime::replied(case, "MISCONF").or_else(|| {
        let reply = case.file.client.topology.get()?.probe_reply.as_ref()?;
        reply.error().filter(|_| reply.word() == Some("MISCONF"))
    })
}

/// Why saving fails, as far as disk and log show.
fn why(case: &Case<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let complaint = case.server.log.get().into_iter().flat_map(|l| &l.complaints).find(|c| {
        let c = c.to_lowercase();
        ["fork", "for saving", "write error", "rewrit", "aof", "rdb", "no space", "background sav"]
            .iter()
            .any(|w| c.contains(w))
    });
    reasons.extend(complaint.map(|c| Reason::strong("log", c.clone())));
    let paths = case.server.storage.get().into_iter().flat_map(|s| &s.paths);
    for path in paths.filter(|p| matches!(p.purpose.as_str(), "dir" | "aof" | "rdb")) {
        if let Some(obstacle) = &path.obstacle {
            reasons.push(Reason::strong("storage", format!("{}: {obstacle}", path.path)));
        } else if path.free_bytes.is_some_and(|free| free < 16 * 1_048_576) {
            let free = runtime::size(path.free_bytes.unwrap_or(0));
            reasons
                .push(Reason::strong("storage", format!("{free} free on the file system of {}", path.path)));
        }
    }
    reasons.truncate(3);
    reasons
}

/// Saving failed last time: which of the two ways.
fn failed_save(case: &Case<'_>) -> Option<(&'static str, &'static str)> {
    if let Some(id) = runtime::info_is(case, "rdb_last_bgsave_status", "err") {
        return Some((id, "the last snapshot failed (rdb_last_bgsave_status:err)"));
    }
    let id = runtime::info_is(case, "aof_last_write_status", "err")?;
    Some((id, "the last write to the append only file failed (aof_last_write_status:err)"))
}

/// Fewer good replicas than min-replicas-to-write: writes are answered by NOREPLICAS.
fn too_few_replicas(case: &Case<'_>) -> Option<String> {
    let wanted: u64 = runtime::config(case, "min-replicas-to-write")?.1.parse().ok()?;
    let good = runtime::number(case, "min_slaves_good_slaves")?;
    runtime::info_is(case, "role", "master")?;
    (wanted > 0 && good < wanted)
        .then(|| format!("min-replicas-to-write is {wanted}, and {good} replicas are in order"))
}

impl Cause for WritesStopped {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let Some(text) = misconf(case).filter(|_| case.error_word().is_some()) else { return Vec::new() };
        let mut reasons = vec![Reason::confirms("protocol", format!("it answers: {text}"))];
        reasons.extend(failed_save(case).map(|(id, says)| Reason::strong(id, says)));
        reasons.extend(why(case));
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match why(case).first() {
            Some(reason) => format!("{}: {}", META.title, reason.says),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let dir = runtime::setting(case, "dir").map_or("/var/lib/redis", |(_, d)| d);
        let dir = shell(dir);
        let cli = common::cli(case);
        Some(
            Fix::new(Risk::Ask, "make saving work again; the server takes writes once a save succeeds")
                .run(
                    "room and rights of the data folder",
                    format!("df -h {dir}; df -i {dir}; namei -l {dir}"),
                )
                .run(
                    "what the server says of it",
                    format!(
                        "journalctl -u {} -n 30 --no-pager",
                        shell(
                            &case
                                .unit()
                                .map_or_else(|| "redis-server.service".to_owned(), |u| u.name.clone())
                        )
                    ),
                )
                .step("\"fork: Cannot allocate memory\" wants memory, or vm.overcommit_memory = 1")
                .run("save once the cause is gone", format!("{cli} BGSAVE"))
                .step("stop-writes-on-bgsave-error no would only hide it: a restart then loses the data"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if misconf(case).is_some() && case.error_word().is_some() {
            return None;
        }
        if let Some(says) = too_few_replicas(case) {
            return Some(Latent {
                place: Place::Warning,
                title: format!("writes are refused with NOREPLICAS: {says}"),
                reasons: vec![Reason::confirms("protocol", says)],
                fix: Some(Fix::new(Risk::Advice, "bring the replicas back").run(
                    "who follows, and how far behind",
                    format!("{} INFO replication", common::cli(case)),
                )),
            });
        }
        let (id, says) = failed_save(case)?;
        let mut reasons = vec![Reason::confirms(id, says)];
        reasons.extend(why(case));
        Some(Latent {
            place: Place::Warning,
            title: format!("the server cannot save: {says}"),
            reasons,
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::WritesStopped;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::server::Logs;

    const MISCONF: &str =
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.";

    #[test]
    fn confirms_by_the_reply() {
        assert_eq!(first(&ping_error(MISCONF)), Some(("writes-stopped", Band::Confirmed)));
    }

    #[test]
    fn says_why() {
        let mut file = running(on_server(ping_error(MISCONF)), "10.0.0.5:6379");
        file.server.log = seen(Logs {
            complaints: vec!["Can't save in background: fork: Cannot allocate memory".to_owned()],
            ..Logs::default()
        });
        assert!(diagnose(&file).causes[0].title.contains("fork"));
    }

    #[test]
    fn warns_of_a_failed_snapshot() {
        let file = pong(&[("rdb_last_bgsave_status", "err"), ("role", "master")]);
        assert_eq!(diagnose(&file).warnings[0].cause.meta().id, "writes-stopped");
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(
            &WritesStopped,
            &pong(&[("rdb_last_bgsave_status", "ok"), ("aof_last_write_status", "ok")])
        ));
        assert!(silent(&WritesStopped, &refused()));
    }
}
