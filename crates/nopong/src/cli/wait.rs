//! `nopong wait [TARGET]`: block until PONG and ready; on time-out say why there is none.
//!
//! Each try climbs the client's ladder alone. The Redis host's side and everything costly is looked at once, at the end.

use super::args::{Asked, Shown, duration};
use super::{Fail, Verb, exit, io};
use crate::diagnosis::{self, Case, Symptom};
use crate::evidence::{CaseFile, client::Talk};
use crate::report::Format;
use crate::sys;
use std::io::IsTerminal as _;
use std::time::Duration;

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
#[command(mut_arg("timeout", |a| a.help("Give up after that time, and say why [default: 60s]")))]
pub(super) struct Wait {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    shown: Shown,
    /// Wait until it has this role
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// Wait until it takes writes, as far as INFO tells without writing
    #[arg(long)]
    writable: bool,
    /// Time between two tries [default: 50ms, doubling up to 1s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    interval: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// It takes writes and feeds replicas
    Primary,
    /// It follows a primary
    Replica,
}

/// First pause; a server that just starts is often there within it.
const FIRST: Duration = Duration::from_millis(50);
/// Longest pause.
const LAST: Duration = Duration::from_secs(1);
/// Longest single try, as `diagnose` has it by default.
const TRY: Duration = Duration::from_secs(2);

impl Verb for Wait {
    const NAME: &'static str = "wait";
    const ABOUT: &'static str = "Block until PONG; on time-out say why there is none";
    const EXITS: &'static str = exit::DIAGNOSING;

    fn run(self) -> Result<u8, Fail> {
        let limit = self.asked.timeout.unwrap_or(Duration::from_secs(60));
        let started = sys::now();
        let mut look = self.asked.look()?;
        look.quiet = true;
        look.request.light = true;
        let mut pause = FIRST;
        let mut progress = io::Progress::shown_at_once();
        loop {
            let left = limit.saturating_sub(started.elapsed());
            look.request.timeout = left.clamp(Duration::from_millis(1), TRY);
            let file = look.now()?;
            if file.ask.problem.is_some() {
                break;
            }
            let lack = self.lack(&file);
            let Some(lack) = lack else { return self.done(&file, started.elapsed()) };
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            progress.say(&format!("waiting for {}, {:.0} s left: {lack}", file.ask.url, left.as_secs_f64()));
            std::thread::sleep(self.interval.unwrap_or(pause).min(left));
            pause = (pause * 2).min(LAST);
        }
        drop(progress);
        // The whole look, whose network waits get their usual limit again.
        look.request.light = false;
        look.request.timeout = TRY;
        look.quiet = false;
        let file = look.now()?;
        let lack = self.lack(&file);
        let mut diagnosis = diagnosis::diagnose(&file);
        if let (true, Some(lack)) = (diagnosis.pong, &lack) {
            // It answers PONG and is still not what was waited for.
            diagnosis = diagnosis.unmet(lack);
            io::say(&format!("gave up after {limit:?}: {lack}"));
        }
        self.shown.report(&file, &diagnosis)
    }
}

impl Wait {
    /// What is missing yet; none when all is there.
    fn lack(&self, file: &CaseFile) -> Option<String> {
        let case = Case::new(file);
        if case.symptom != Symptom::Pong {
            return Some(crate::text::shown_str(&case.symptom_text(), 200));
        }
        let Some(talk) = case.talk() else { return Some("no conversation".to_owned()) };
        if talk.info("loading") == Some("1") {
            return Some("it loads its data".to_owned());
        }
        self.role
            .and_then(|role| lacks_role(talk, role))
            .or_else(|| if self.writable { lacks_writes(talk) } else { None })
    }

    fn done(&self, file: &CaseFile, took: Duration) -> Result<u8, Fail> {
        // An entrypoint's log is no place for good news; a person and a program that reads JSON want to see it.
        if self.shown.format != Format::Human {
            return self.shown.report(file, &diagnosis::diagnose(file));
        }
        if std::io::stdout().is_terminal() || self.shown.verbose {
            io::emit(
                format!("{} answers PONG after {:.1} s\n", file.ask.url, took.as_secs_f64()).as_bytes(),
            )?;
        }
        Ok(exit::PONG)
    }
}

fn lacks_role(talk: &Talk, role: Role) -> Option<String> {
    // INFO keeps the old words for compatibility.
    let wanted = match role {
        Role::Primary => "master",
        Role::Replica => "slave",
    };
    match talk.info("role") {
        Some(has) if has == wanted => None,
        Some(_) if wanted == "master" => Some("it is a replica, not a primary".to_owned()),
        Some(_) => Some("it is a primary, not a replica".to_owned()),
        None => Some("it answers PONG, but does not tell its role (INFO refused?)".to_owned()),
    }
}

fn lacks_writes(talk: &Talk) -> Option<String> {
    match talk.info("role") {
        Some("master") => {}
        Some("slave") if talk.info("slave_read_only") == Some("0") => {}
        Some(_) => return Some("it is a read-only replica".to_owned()),
        None => return Some("it answers PONG, but does not tell its role (INFO refused?)".to_owned()),
    }
    // NOREPLICAS: fewer good replicas than min-replicas-to-write wants (Redis replication.c).
    let good = talk.info("min_slaves_good_slaves").and_then(|n| n.parse::<u32>().ok());
    let wanted = talk.config("min-replicas-to-write").and_then(|n| n.parse::<u32>().ok());
    match (good, wanted) {
        (Some(good), Some(wanted)) if good < wanted => {
            Some(format!("{good} of {wanted} replicas that writes need are there"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, lacks_role, lacks_writes};
    use crate::evidence::client::Talk;

    fn talk(info: &[(&str, &str)]) -> Talk {
        Talk {
            info: info.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Talk::default()
        }
    }

    #[test]
    fn roles() {
        assert_eq!(lacks_role(&talk(&[("role", "master")]), Role::Primary), None);
        assert!(lacks_role(&talk(&[("role", "slave")]), Role::Primary).is_some());
        assert!(lacks_role(&talk(&[]), Role::Replica).is_some());
    }

    #[test]
    fn writes() {
        assert_eq!(lacks_writes(&talk(&[("role", "master")])), None);
        assert!(lacks_writes(&talk(&[("role", "slave"), ("slave_read_only", "1")])).is_some());
        let mut few = talk(&[("role", "master"), ("min_slaves_good_slaves", "0")]);
        few.config.push(("min-replicas-to-write".to_owned(), "1".to_owned()));
        assert!(lacks_writes(&few).is_some());
    }
}
