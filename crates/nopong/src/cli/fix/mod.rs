//! `nopong fix [TARGET]`: show the plan, ask, apply, verify from the same place, or roll back.

mod verify;
mod words;

use super::args::{Asked, Look, Shown};
use super::{Fail, Verb, exit, io};
use crate::apply::{self, Journal, Place, Timer};
use crate::diagnosis::{self, Case, Diagnosis};
use crate::evidence::{CaseFile, scrub};
use crate::plan::{self, NoPlan, Plan, Wish};
use crate::report::Format;
use crate::secret::Secret;
use crate::{probe, sys};
use std::time::Duration;
use verify::Verified;
use words::{End, Outcome};

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Fix {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    shown: Shown,
    /// Show the plan and change nothing
    #[arg(long, help_heading = "Fix")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short, help_heading = "Fix")]
    yes: bool,
    /// Fix this finding instead of the first cause
    #[arg(long, value_name = "ID", help_heading = "Fix")]
    only: Option<String>,
    /// Whom a firewall rule lets in, instead of exactly the client
    #[arg(long, value_name = "CIDR", help_heading = "Fix")]
    allow: Option<String>,
    /// File with the password to set, where one is needed, instead of a generated one
    #[arg(long, value_name = "FILE", help_heading = "Fix")]
    new_password_file: Option<String>,
    /// Restart even while the server loads or saves, or has unsaved data
    #[arg(long, help_heading = "Fix")]
    force: bool,
    /// How long the fix may take before a process of its own undoes it
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = super::args::duration, help_heading = "Fix")]
    confirm_within: Duration,
}

impl Verb for Fix {
    const NAME: &'static str = "fix";
    const ABOUT: &'static str = "Diagnose, show the plan, apply it, verify from the same place, or roll back";

    fn run(self) -> Result<u8, Fail> {
        // Before any thread is there: one that does not hold signals back would be ended by them, and we with it.
        let stop = sys::signals::Held::new()
            .map_err(|e| Fail::usage(format!("cannot wait for signals: {}", sys::errno_name(&e))))?;
        let mut wish = self.wish()?;
        if let Some(crate::vantage::Vantage::Ssh(host)) = &self.asked.server {
            return Err(elsewhere(&host.shell()));
        }
        let mut look = self.asked.look()?;
        // Whoever names a network means those in it, though this host's own dial may pass.
        if look.request.client.is_none() && look.request.client_far.is_none() {
            look.request.client = self.allow.as_deref().and_then(first_host);
        }
        // Files of another machine are not corrected from here.
        wish.place = look.request.client_far.is_none().then(|| look.place.clone());
        let target = &look.request.target;
        wish.login = target.password.clone().map(|p| (target.user.clone(), p));
        // A plan needs the whole picture, also where the Redis host's own PING passes.
        look.request.everything = look.request.client.is_some() || self.only.is_some();
        let file = look.now()?;
        // What is changed is this machine: evidence of another one is no ground for it.
        if let Some(place) = file.server_far() {
            return Err(elsewhere(&place.shell));
        }
        let diagnosis = diagnosis::diagnose(&file);
        let plan = planned(&look.request, &file, &diagnosis, &wish);
        let plan = match plan
            .and_then(|plan| probe::may_change(&look.request).map(|()| plan).map_err(NoPlan::Refused))
        {
            Ok(plan) => plan,
            Err(no) => return self.no_plan(&file, &diagnosis, no),
        };
        let seen = (&file, &diagnosis);
        let document = words::json(&plan);
        let ask = !self.yes && !self.dry_run && sys::is_terminal();
        self.show(&plan, &file)?;
        if !self.dry_run
            && !nix::unistd::geteuid().is_root()
            && plan.actions.iter().any(apply::Action::needs_root)
        {
            let says = "nothing was changed: this plan needs root; run it with sudo, or its commands by hand";
            return self.end(seen, Some(&document), &Outcome::new(End::DryRun, says), exit::of(&diagnosis));
        }
        if self.dry_run || (!self.yes && !ask) {
            let says = "nothing was changed; `--yes` applies this plan";
            return self.end(seen, Some(&document), &Outcome::new(End::DryRun, says), exit::of(&diagnosis));
        }
        if ask && !sys::ask_yes("apply this plan? [y/N] ", &stop) {
            let declined = Outcome::new(End::Declined, "declined; nothing was changed");
            return self.end(seen, Some(&document), &declined, exit::DECLINED);
        }
        self.apply(&look, seen, plan, &wish, stop)
    }
}

/// The plan, made where the Redis host's side is: it asks that server and that firewall.
fn planned(
    request: &probe::Request,
    file: &CaseFile,
    diagnosis: &Diagnosis,
    wish: &Wish,
) -> Result<Plan, NoPlan> {
    probe::at_server(request, file.ask.local, || plan::plan(&Case::new(file), diagnosis, wish))
        .unwrap_or_else(|why| Err(NoPlan::Refused(format!("the Redis host's side cannot be entered: {why}"))))
}

/// `fix` acts where it runs.
fn elsewhere(shell: &str) -> Fail {
    Fail::usage(format!(
        "nothing was changed: `fix` acts on the machine it runs on, and the Redis host is another one; \
         run it there ({shell}), with --from ssh: to this client, or --client and its address"
    ))
}

impl Fix {
    fn wish(&self) -> Result<Wish, Fail> {
        let password = match &self.new_password_file {
            Some(path) => {
                let text = sys::read_text(path, 4096)
                    .map_err(|e| Fail::usage(format!("{path}: {}", sys::errno_name(&e))))?;
                let text = text.trim_end_matches(['\r', '\n']);
                if text.len() < 8 || text.chars().any(char::is_whitespace) {
                    return Err(Fail::usage(format!(
                        "{path}: a password has at least 8 characters and no blank"
                    )));
                }
                Some(Secret::new(text))
            }
            None => None,
        };
        if let Some(allow) = &self.allow {
            network(allow).map_err(|why| Fail::usage(format!("--allow {allow}: {why}")))?;
        }
        if let Some(only) = &self.only
            && crate::cause::by_id(only).is_none()
        {
            return Err(Fail::usage(format!("--only {only}: no such cause; `nopong explain` lists them")));
        }
        Ok(Wish {
            only: self.only.clone(),
            allow: self.allow.clone(),
            password,
            force: self.force,
            login: None,
            place: None,
        })
    }

    fn no_plan(&self, file: &CaseFile, diagnosis: &Diagnosis, no: NoPlan) -> Result<u8, Fail> {
        let outcome = match no {
            NoPlan::Nothing(says) => Outcome::new(End::Nothing, format!("nothing to fix: {says}")),
            NoPlan::Advice(_) => {
                let says = "nothing to apply by itself: the report says what a person has to do";
                Outcome::new(End::Advice, says)
            }
            NoPlan::Refused(says) => Outcome::new(End::Refused, format!("no change was planned: {says}")),
        };
        if self.shown.format != Format::Json {
            let code = self.shown.report(file, diagnosis)?;
            io::say(&outcome.says);
            return Ok(code);
        }
        self.end((file, diagnosis), None, &outcome, exit::of(diagnosis))
    }

    /// The plan, before anything is done; in the document it comes with the end.
    fn show(&self, plan: &Plan, file: &CaseFile) -> Result<(), Fail> {
        match self.shown.format {
            Format::Json => Ok(()),
            _ => io::emit(words::words(plan, file).as_bytes()),
        }
    }

    /// The end: its sentence on stderr, or the one document on stdout.
    fn end(
        &self,
        (file, diagnosis): (&CaseFile, &Diagnosis),
        plan: Option<&serde_json::Value>,
        outcome: &Outcome,
        code: u8,
    ) -> Result<u8, Fail> {
        io::say(&outcome.says);
        if self.shown.format == Format::Json {
            io::emit(format!("{}\n", words::document(file, diagnosis, plan, outcome)).as_bytes())?;
        }
        Ok(code)
    }

    fn apply(
        &self,
        look: &Look,
        seen: (&CaseFile, &Diagnosis),
        mut plan: Plan,
        wish: &Wish,
        stop: sys::signals::Held,
    ) -> Result<u8, Fail> {
        let request = &look.request;
        // From here on Ctrl-C, an end by the system and a hang-up put back what was done.
        stop.hold();
        let mut work = Work {
            fix: self,
            request,
            stop,
            document: words::json(&plan),
            timer: None,
            last: None,
            began: sys::now(),
            secrets: look.secrets.clone(),
        };
        let place = Place::default_for_user();
        let at = probe::server_place(request, seen.0.ask.local);
        let begun = place.lock().and_then(|lock| {
            if let Some(cut) = Journal::open(&place, None).ok().filter(|j| j.receipt().closed.is_none()) {
                let id = cut.id();
                io::say(&format!(
                    "an earlier fix was cut off in the middle: `nopong undo {id}` puts it back"
                ));
            }
            let mut journal = Journal::create(&place, &seen.0.ask.url, &plan.cause, at)?;
            if let Err(fault) = work.arm(&journal, &plan) {
                journal.close("undone")?;
                return Err(fault);
            }
            Ok((lock, journal))
        });
        let (lock, mut journal) = match begun {
            Ok(both) => both,
            Err(fault) => {
                let outcome = Outcome::new(End::NotStarted, format!("{}; nothing was changed", fault.says));
                return self.end(seen, Some(&work.document), &outcome, exit::ROLLED_BACK);
            }
        };
        // The watchdog undoes what is not written down as verified.
        let outcome = work
            .all(seen.0, &mut journal, &mut plan, wish)
            .and_then(|says| journal.close("verified").map(|()| says).map_err(|fault| fault.says));
        let (mut told, code) = match outcome {
            Ok(says) => {
                let said = words::said(&plan, &says, journal.id());
                match self.shown.format {
                    Format::Json => io::say(said.trim_end()),
                    _ => io::emit(said.as_bytes())?,
                }
                (Outcome::new(End::Fixed, says), exit::PONG)
            }
            Err(why) => {
                io::say(&format!("the fix failed: {why}"));
                let undone = roll_back(&mut journal, "rolled-back");
                let (end, code) = match undone.failed.is_empty() {
                    true => (End::RolledBack, exit::ROLLED_BACK),
                    false => (End::Incomplete, exit::INCOMPLETE),
                };
                let mut told = Outcome::new(end, why);
                told.restored = undone.restored;
                told.not_restored = undone
                    .failed
                    .into_iter()
                    .map(|(says, fault)| format!("{says}: {}", fault.says))
                    .collect();
                (told, code)
            }
        };
        if let Some(timer) = work.timer.take() {
            timer.disarm();
        }
        drop(lock);
        if self.shown.format == Format::Json {
            told.receipt = Some(journal.id().to_owned());
            told.receipt_path = Some(journal.path().display().to_string());
            work.secrets.extend(plan.new_password.clone());
            let last = scrub(work.last.take().unwrap_or_else(|| seen.0.clone()), &work.secrets);
            let diagnosis = diagnosis::diagnose(&last);
            let text = words::document(&last, &diagnosis, Some(&work.document), &told);
            io::emit(format!("{text}\n").as_bytes())?;
        }
        Ok(code)
    }
}

/// A fix being made.
struct Work<'a> {
    fix: &'a Fix,
    request: &'a probe::Request,
    /// The plans so far, as a part of the document.
    document: serde_json::Value,
    timer: Option<Timer>,
    /// SIGINT, SIGTERM, SIGHUP.
    stop: sys::signals::Held,
    /// What verification saw last.
    last: Option<CaseFile>,
    began: std::time::Instant,
    /// Passwords met on the way: they may be in no evidence.
    secrets: Vec<Secret>,
}

impl Work<'_> {
    /// The dead man's timer, before the first step that could cut somebody's way in.
    fn arm(&mut self, journal: &Journal, plan: &Plan) -> Result<(), apply::Fault> {
        if plan.guarded && self.timer.is_none() {
            self.timer = Some(Timer::arm(journal.id(), self.fix.confirm_within)?);
        }
        Ok(())
    }

    /// Makes the changes where the Redis host's side is.
    fn change(&self, file: &CaseFile, journal: &mut Journal, plan: &mut Plan) -> Result<(), String> {
        let local = file.ask.local;
        let stop = || self.stop.came();
        probe::at_server(self.request, local, || apply::apply(journal, &mut plan.actions, stop))
            .map_err(|why| why.to_string())?
            .map_err(|f| f.says)
    }

    /// The same. A start that fails is looked into like any other fault: its reason is returned, not an error.
    fn changed(
        &self,
        file: &CaseFile,
        journal: &mut Journal,
        plan: &mut Plan,
    ) -> Result<Option<String>, String> {
        let starts = match plan.actions.last() {
            Some(apply::Action::UnitState(unit)) => unit.start,
            Some(apply::Action::Supervised(program)) => program.starts(),
            _ => false,
        };
        let reached = |journal: &Journal| journal.receipt().steps.len();
        let first = reached(journal);
        match self.change(file, journal, plan) {
            Ok(()) => Ok(None),
            Err(why) if starts && reached(journal) == first + plan.actions.len() => Ok(Some(why)),
            Err(why) => Err(why),
        }
    }

    /// Looks as the client does; only a moment where a start has failed already.
    fn verified(
        &mut self,
        before: &CaseFile,
        plan: &Plan,
        failed: Option<String>,
    ) -> Result<Verified, String> {
        match failed {
            Some(why) => self.verify(before, plan, 2 * verify::MOMENT).map_err(|_| why),
            None => self.verify(before, plan, PATIENCE.max(self.request.timeout)),
        }
    }

    /// Applies and verifies; what shows up behind the first obstacle, and can be removed as well, is removed in turn.
    fn all(
        &mut self,
        before: &CaseFile,
        journal: &mut Journal,
        plan: &mut Plan,
        wish: &Wish,
    ) -> Result<String, String> {
        let mut failed = self.changed(before, journal, plan)?;
        for _ in 1..ROUNDS {
            let (file, why) = match self.verified(before, plan, failed.take())? {
                Verified::Pong(says) => return Ok(says),
                Verified::Other(file, why) => (file, why),
            };
            let diagnosis = diagnosis::diagnose(&file);
            let wish = Wish { only: None, ..wish.clone() };
            let mut further = planned(self.request, &file, &diagnosis, &wish).map_err(|no| match no {
                NoPlan::Refused(says) => format!("{why}; {says}"),
                _ => why,
            })?;
            self.fix.show(&further, &file).map_err(|f| f.says)?;
            let prompt = "this was behind it; apply this as well? [y/N] ";
            if !self.fix.yes && !sys::ask_yes(prompt, &self.stop) {
                return Err(format!("declined what was behind it: {}", further.cause));
            }
            words::join(&mut self.document, &further);
            self.arm(journal, &further).map_err(|f| f.says)?;
            failed = self.changed(before, journal, &mut further)?;
            plan.take(further);
        }
        match self.verified(before, plan, failed)? {
            Verified::Pong(says) => Ok(says),
            Verified::Other(_, why) => Err(why),
        }
    }
}

/// A service may take a while to listen; loading data is waited for as long as it takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Obstacles removed one behind the other; a chain of bind, protected mode and firewall has three.
const ROUNDS: usize = 4;

/// A host of the network: the one after its own address, which stands for the network.
fn first_host(text: &str) -> Option<std::net::IpAddr> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "128"));
    let (ip, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
    let base: std::net::IpAddr = crate::cause::common::network(ip, prefix).split('/').next()?.parse().ok()?;
    match base {
        std::net::IpAddr::V4(v4) if prefix < 31 => Some(std::net::Ipv4Addr::from(u32::from(v4) + 1).into()),
        std::net::IpAddr::V6(v6) if prefix < 127 => Some(std::net::Ipv6Addr::from(u128::from(v6) + 1).into()),
        _ => Some(ip),
    }
}

/// `10.0.0.5`, `10.0.0.0/24`, `fd00::/64`; not the whole world.
fn network(text: &str) -> Result<(), String> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let address: std::net::IpAddr =
        address.parse().map_err(|_| "write an address or a network like 10.0.0.0/24".to_owned())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match prefix.map(str::parse::<u8>) {
        None => Ok(()),
        Some(Ok(0)) => Err("the whole world is not let in: name the clients' network".to_owned()),
        Some(Ok(p)) if p <= most => Ok(()),
        Some(_) => Err(format!("the prefix is between 1 and {most}")),
    }
}

/// Whether an undo would stop a server that must not be stopped now.
pub(super) fn may_undo(journal: &Journal) -> Result<(), apply::Fault> {
    let at = journal.receipt().head.at.clone();
    // A place that cannot be entered is told of by the undo itself.
    probe::at_place(at.as_deref(), || apply::before_undo(journal.receipt())).unwrap_or(Ok(()))
}

/// Undoes what was done, and tells it.
pub(super) fn roll_back(journal: &mut Journal, how: &str) -> apply::Undone {
    let at = journal.receipt().head.at.clone();
    let undone = match probe::at_place(at.as_deref(), || apply::undo(journal)) {
        Ok(undone) => undone,
        Err(why) => {
            let fault = apply::Fault::new(format!("the place where it was made cannot be entered: {why}"));
            apply::Undone { failed: vec![("the fix".to_owned(), fault)], ..apply::Undone::default() }
        }
    };
    for says in &undone.restored {
        io::say(&format!("put back: {says}"));
    }
    for (says, fault) in &undone.failed {
        io::say(&format!("not put back: {says}: {}", fault.says));
    }
    if let Some(fault) = &undone.unwritten {
        io::say(&format!("put back, and not noted: {}", fault.says));
    }
    if !undone.failed.is_empty() {
        io::say(&format!("the receipt is {}", journal.path().display()));
    } else if how == "rolled-back" {
        drop(journal.close(how));
    }
    undone
}

#[cfg(test)]
mod tests {
    use super::first_host;

    #[test]
    fn the_first_of_a_network() {
        let of = |text: &str| first_host(text).map(|ip| ip.to_string());
        assert_eq!(of("10.1.2.3/24").as_deref(), Some("10.1.2.1"));
        assert_eq!(of("10.1.2.3").as_deref(), Some("10.1.2.3"));
        assert_eq!(of("10.1.2.3/32").as_deref(), Some("10.1.2.3"));
        assert_eq!(of("fd00::9/64").as_deref(), Some("fd00::1"));
        assert_eq!(of("fd00::9").as_deref(), Some("fd00::9"));
        assert_eq!(of("x/8"), None);
    }
}
