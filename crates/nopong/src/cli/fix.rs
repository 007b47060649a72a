//! `nopong fix [TARGET]`: show the plan, ask, apply, verify from the same place, or roll back.

use super::args::{Asked, Shown};
use super::{Fail, Verb, exit, io};
use crate::apply::{self, Journal, Place, Timer};
use crate::diagnosis::{self, Case, Diagnosis, Symptom};
use crate::evidence::CaseFile;
use crate::plan::{self, NoPlan, Plan, Wish};
use crate::secret::Secret;
use crate::{probe, sys};
use std::time::Duration;

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
        let wish = self.wish()?;
        if let Some(crate::vantage::Vantage::Ssh(host)) = &self.asked.server {
            return Err(elsewhere(&host.shell()));
        }
        let mut look = self.asked.look()?;
        // A plan needs the whole picture, also where the Redis host's own PING passes.
        look.request.everything = look.request.client.is_some() || self.only.is_some();
        let file = look.now()?;
        // What is changed is this machine: evidence of another one is no ground for it.
        if let Some(place) = file.server_at.as_ref().filter(|p| p.far()) {
            return Err(elsewhere(&place.shell));
        }
        let diagnosis = diagnosis::diagnose(&file);
        let case = Case::new(&file);
        let plan = match plan::plan(&case, &diagnosis, &wish) {
            Ok(plan) => plan,
            Err(no) => return self.no_plan(&file, &diagnosis, no),
        };
        let ask = !self.yes && !self.dry_run && sys::is_terminal();
        self.show(&plan, &file)?;
        if !nix::unistd::geteuid().is_root() && needs_root(&plan) {
            io::say("nothing was changed: this plan needs root; run it with sudo, or its commands by hand");
            return Ok(exit::of(&diagnosis));
        }
        if self.dry_run || (!self.yes && !ask) {
            io::say("nothing was changed; `--yes` applies this plan");
            return Ok(exit::of(&diagnosis));
        }
        if ask && !sys::ask_yes("apply this plan? [y/N] ") {
            io::say("declined; nothing was changed");
            return Ok(exit::DECLINED);
        }
        self.apply(&look.request, &file, plan)
    }
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
        Ok(Wish { only: self.only.clone(), allow: self.allow.clone(), password, force: self.force })
    }

    fn no_plan(&self, file: &CaseFile, diagnosis: &Diagnosis, no: NoPlan) -> Result<u8, Fail> {
        let code = self.shown.report(file, diagnosis)?;
        match no {
            NoPlan::Nothing(says) => io::say(&format!("nothing to fix: {says}")),
            NoPlan::Advice(_) => {
                io::say("nothing to apply by itself: the report says what a person has to do");
            }
            NoPlan::Refused(says) => io::say(&format!("no change was planned: {says}")),
        }
        Ok(code)
    }

    /// The plan, before anything is done.
    fn show(&self, plan: &Plan, file: &CaseFile) -> Result<(), Fail> {
        match self.shown.format {
            crate::report::Format::Json => io::emit(json(plan).as_bytes()),
            _ => io::emit(words(plan, file).as_bytes()),
        }
    }

    fn apply(&self, request: &probe::Request, file: &CaseFile, mut plan: Plan) -> Result<u8, Fail> {
        let place = Place::default_for_user();
        let failed = |f: apply::Fault| Fail {
            code: exit::ROLLED_BACK,
            says: format!("{}; nothing was changed", f.says),
        };
        let lock = place.lock().map_err(failed)?;
        let mut journal = Journal::create(&place, &file.ask.url, &plan.cause).map_err(failed)?;
        let timer = match plan.guarded {
            true => Some(Timer::arm(journal.id(), self.confirm_within).map_err(failed)?),
            false => None,
        };
        let outcome = self.work(request, file, &mut journal, &mut plan);
        let code = match outcome {
            Ok(says) => {
                if let Err(fault) = journal.close("verified") {
                    io::say(&fault.says);
                }
                let said = said(&plan, &says, journal.id());
                match self.shown.format {
                    crate::report::Format::Json => io::say(said.trim_end()),
                    _ => io::emit(said.as_bytes())?,
                }
                exit::PONG
            }
            Err(why) => {
                io::say(&format!("the fix failed: {why}"));
                roll_back(&mut journal, "rolled-back")?
            }
        };
        if let Some(timer) = timer {
            timer.disarm();
        }
        drop(lock);
        Ok(code)
    }

    /// Applies and verifies; what shows up behind the first obstacle, and can be removed as well, is removed in turn.
    fn work(
        &self,
        request: &probe::Request,
        before: &CaseFile,
        journal: &mut Journal,
        plan: &mut Plan,
    ) -> Result<String, String> {
        apply::apply(journal, &mut plan.actions).map_err(|f| f.says)?;
        for _ in 1..ROUNDS {
            let (file, why) = match self.verify(request, before, plan)? {
                Verified::Pong(says) => return Ok(says),
                Verified::Other(file, why) => (file, why),
            };
            let diagnosis = diagnosis::diagnose(&file);
            let wish = self.wish().map_err(|f| f.says)?;
            let wish = Wish { only: None, ..wish };
            let mut further = plan::plan(&Case::new(&file), &diagnosis, &wish).map_err(|_| why)?;
            self.show(&further, &file).map_err(|f| f.says)?;
            if !self.yes && !sys::ask_yes("this was behind it; apply this as well? [y/N] ") {
                return Err(format!("declined what was behind it: {}", further.cause));
            }
            apply::apply(journal, &mut further.actions).map_err(|f| f.says)?;
            plan.take(further);
        }
        match self.verify(request, before, plan)? {
            Verified::Pong(says) => Ok(says),
            Verified::Other(_, why) => Err(why),
        }
    }

    /// Looks again, as the client did. A service may take a moment to listen.
    fn verify(&self, request: &probe::Request, before: &CaseFile, plan: &Plan) -> Result<Verified, String> {
        let mut request = request.clone();
        if request.target.password.is_none() {
            request.target.password = plan.new_password.clone();
        }
        request.everything = before.ask.client.is_some();
        let began = sys::now();
        let deadline = sys::now() + Duration::from_secs(10).max(request.timeout);
        loop {
            let file = probe::look(&request);
            let case = Case::new(&file);
            let diagnosis = diagnosis::diagnose(&file);
            let gone =
                !diagnosis.warnings.iter().chain(&diagnosis.causes).any(|f| f.cause.meta().id == plan.cause);
            if case.symptom == Symptom::Pong && gone {
                return Ok(Verified::Pong(diagnosis.symptom));
            }
            // A server with a password of its own: that a client who knows it gets through is what is verified.
            if case.error_word() == Some("NOAUTH")
                && request.target.password.is_none()
                && let Some(secret) =
                    case.config().and_then(|c| c.file.as_deref()).and_then(apply::requirepass_of)
            {
                request.target.password = Some(secret);
                continue;
            }
            // Something else than before, confirmed, and for longer than a service takes to listen.
            let other = diagnosis
                .causes
                .first()
                .is_some_and(|f| f.band == diagnosis::Band::Confirmed && f.cause.meta().id != plan.cause);
            if gone && other && sys::now() > began + MOMENT {
                let why = format!("expected PONG, got: {}", diagnosis.symptom);
                return Ok(Verified::Other(Box::new(file), why));
            }
            let loading = case.error_word() == Some("LOADING");
            if sys::now() > deadline && !loading {
                let rest = if gone { String::new() } else { format!("; {} is still there", plan.cause) };
                return Err(format!("expected PONG, got: {}{rest}", diagnosis.symptom));
            }
            std::thread::sleep(Duration::from_millis(if loading { 500 } else { 50 }));
        }
    }
}

/// Obstacles removed one behind the other; a chain of bind, protected mode and firewall has three.
const ROUNDS: usize = 4;
/// A start that systemd calls done listens within this.
const MOMENT: Duration = Duration::from_millis(300);

/// What verification saw.
enum Verified {
    /// PONG, in words.
    Pong(String),
    /// The obstacle is gone and another one is there.
    Other(Box<CaseFile>, String),
}

/// Everything but a setting of the running server.
fn needs_root(plan: &Plan) -> bool {
    plan.actions.iter().any(|a| !matches!(a, apply::Action::ConfigSet(_)))
}

/// The plan as a document.
fn json(plan: &Plan) -> String {
    let step = |(says, command, diff): (String, Option<String>, Option<String>)| serde_json::json!({ "says": says, "command": command, "diff": diff });
    let steps: Vec<_> = plan::shown(plan).into_iter().map(step).collect();
    let document = serde_json::json!({
        "schema_version": 1,
        "cause": plan.cause,
        "title": plan.title,
        "risk": plan.risk.map(crate::diagnosis::Risk::word),
        "steps": steps,
        "also": plan.also,
        "noticed_by": plan.noticed_by,
        "advice": plan.advice,
    });
    format!("{document:#}\n")
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

/// Undoes what was done; the exit code tells whether all of it went back.
pub(super) fn roll_back(journal: &mut Journal, how: &str) -> Result<u8, Fail> {
    let undone = apply::undo(journal);
    for says in &undone.restored {
        io::say(&format!("put back: {says}"));
    }
    if undone.failed.is_empty() {
        if how == "rolled-back" {
            drop(journal.close(how));
        }
        return Ok(exit::ROLLED_BACK);
    }
    for (says, fault) in &undone.failed {
        io::say(&format!("not put back: {says}: {}", fault.says));
    }
    io::say(&format!("the receipt is {}", journal.path().display()));
    Ok(exit::INCOMPLETE)
}

/// The plan in words.
fn words(plan: &Plan, file: &CaseFile) -> String {
    let mut out = format!("Plan for {} ({}): {}\n", file.ask.url, plan.cause, plan.title);
    for id in &plan.also {
        out.push_str(&format!("  also removes what stands behind it: {id}\n"));
    }
    for (number, (says, command, diff)) in plan::shown(plan).into_iter().enumerate() {
        out.push_str(&format!("  {}. {}\n", number + 1, crate::text::shown_str(&says, 300)));
        if let Some(command) = command {
            out.push_str(&format!("       {}\n", crate::text::shown_str(&command, 400)));
        }
        for line in diff.unwrap_or_default().lines() {
            out.push_str(&format!("       {line}\n"));
        }
    }
    for who in &plan.noticed_by {
        out.push_str(&format!("  noticed by {who}\n"));
    }
    for advice in &plan.advice {
        out.push_str(&format!("  then: {advice}\n"));
    }
    if let Some(risk) = plan.risk {
        out.push_str(&format!("  risk: {}\n", risk.word()));
    }
    out
}

/// The end of a fix that worked. The one place where a new password is shown, once.
fn said(plan: &Plan, says: &str, receipt: &str) -> String {
    let mut out = format!("Fixed: {says}\n");
    if let Some(secret) = &plan.new_password
        && plan.advice.iter().any(|a| a.contains("new password"))
    {
        out.push_str(&format!("The new password, shown this once: {}\n", secret.reveal()));
    }
    for advice in &plan.advice {
        out.push_str(&format!("Then: {advice}\n"));
    }
    out.push_str(&format!("Undo with: nopong undo {receipt}\n"));
    out
}
