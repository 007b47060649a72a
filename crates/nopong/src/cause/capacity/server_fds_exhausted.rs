//! The server may open no more files, so it cannot accept, or its limit is too small to start at all.

use crate::cause::not_running::shared as dead;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::{DeathKind, Process};
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct ServerFdsExhausted;

static META: Meta = Meta {
    id: "server-fds-exhausted",
    category: Category::Capacity,
    stage: Stage::Connect,
    title: "the server may open no more files",
    masked_by: &["service-masked"],
    settled_by: &["process", "log"],
};

/// From this share of the limit a warning is due.
const NEARLY: f64 = 0.95;

fn figures(process: &Process) -> Option<(u64, u64)> {
    process.fd_open.zip(process.fd_limit).filter(|(_, limit)| *limit > 0)
}

fn complaint<'a>(case: &Case<'a>) -> Option<&'a str> {
    let log = case.file.server.log.get()?;
    log.complaints.iter().find(|c| c.to_lowercase().contains("too many open files")).map(String::as_str)
}

impl Cause for ServerFdsExhausted {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        // "Your current 'ulimit -n' of … is not enough for the server to start" (server.c, adjustOpenFilesLimit).
        if dead::last_word(case, META.id).is_some() {
            return dead::weigh(case, META.id, |_| Vec::new());
        }
        if !matches!(
            case.symptom,
            Symptom::Silent | Symptom::TimedOut | Symptom::Closed | Symptom::Reset | Symptom::TlsFailed
        ) {
            return Vec::new();
        }
        let Some(process) = case.holder() else { return Vec::new() };
        let name = format!("pid {}", process.pid);
        let mut reasons = match figures(process) {
            Some((open, limit)) if open >= limit => {
                vec![Reason::confirms(
                    "process",
                    format!("{name} has {open} files open, and its limit is {limit}"),
                )]
            }
            Some((open, limit)) => {
                return vec![Reason::rules_out(
                    "process",
                    format!("{name} has {open} files open of {limit} it may open"),
                )];
            }
            None => Vec::new(),
        };
        reasons.extend(complaint(case).map(|c| Reason::strong("log", c)));
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(death) = dead::last_word(case, META.id) {
            return format!(
                "redis-server may open too few files to start: {}",
                death.detail.as_deref().unwrap_or(&death.text)
            );
        }
        match case.holder().and_then(|p| Some((p.pid, figures(p)?))) {
            Some((pid, (open, limit))) => {
                format!(
                    "redis-server (pid {pid}) cannot accept: it has {open} files open, and its limit is {limit}"
                )
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let name = shell(&dead::unit_name(case));
        let fix = Fix::new(Risk::Ask, "raise the server's file limit");
        if dead::last_word(case, META.id).is_some_and(|d| d.kind == DeathKind::UlimitTooSmall) {
            return Some(dead::start(
                fix.step(format!("in a drop-in (systemctl edit {name}): [Service] LimitNOFILE=65535")),
                case,
            ));
        }
        let fix = match case.holder() {
            Some(process) => fix
                .run(
                    "what is open",
                    format!(
                        "ls -l /proc/{}/fd | awk '{{print $NF}}' | cut -d: -f1 | sort | uniq -c",
                        process.pid
                    ),
                )
                .run(
                    "at once, without a restart",
                    format!("prlimit --pid {} --nofile=65535:65535", process.pid),
                ),
            None => fix,
        };
        Some(fix.step(format!("for good, in a drop-in (systemctl edit {name}): [Service] LimitNOFILE=65535, more than maxclients + 32")))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let process = case.holder()?;
        let (open, limit) =
            figures(process).filter(|(open, limit)| *open as f64 >= *limit as f64 * NEARLY)?;
        let says = format!("pid {} has {open} files open of {limit} it may open", process.pid);
        Some(Latent {
            place: Place::Warning,
            title: format!("the server is close to its file limit: {says}"),
            reasons: vec![Reason::confirms("process", says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ServerFdsExhausted;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::client::Speaks;
    use crate::evidence::server::DeathKind;

    fn files(file: CaseFile, open: u64, limit: u64) -> CaseFile {
        let mut one = process(812);
        (one.fd_open, one.fd_limit) = (Some(open), Some(limit));
        let file = with_unit(on_server(file), "active", "running", "success");
        with_listener(with_process(file, one), listener("0.0.0.0:6379", 812, "redis-server"))
    }

    #[test]
    fn confirms_at_the_limit() {
        assert_eq!(
            first(&files(mute(Speaks::Silent), 12, 12)),
            Some(("server-fds-exhausted", Band::Confirmed))
        );
    }

    #[test]
    fn confirms_a_limit_too_small_to_start() {
        let file = died(
            DeathKind::UlimitTooSmall,
            "Your current 'ulimit -n' of 16 is not enough for the server to start",
        );
        assert_eq!(first(&file), Some(("server-fds-exhausted", Band::Confirmed)));
    }

    #[test]
    fn room_rules_it_out() {
        assert!(rules_out(&ServerFdsExhausted, &files(mute(Speaks::Silent), 12, 10032)));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&ServerFdsExhausted, &mute(Speaks::Silent)));
        assert!(silent(&ServerFdsExhausted, &files(pong(&[]), 12, 10032)));
        assert!(silent(&ServerFdsExhausted, &refused()));
    }
}
