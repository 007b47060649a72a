//! What to change: the first cause's remedy and what stands behind it, as actions that can be undone.
//!
//! A plan is shown before anything is done. It reads the files it would change and writes nothing. A cause that only
//! people can remove gives advice instead of actions; a plan that would expose a server without a password is refused.

mod config;
mod container;
mod dump;
mod exposure;
mod guard;
mod judged;
mod log_folder;
mod managed;
mod mounted;
mod persist;
mod repair;
mod rules;
mod settings;
mod start;
mod storage;
mod supervisor;

use crate::apply::{Action, EditFile};
use crate::diagnosis::{Case, Diagnosis, Finding, Fix, Risk, Symptom};
use crate::secret::Secret;
use std::collections::BTreeMap;

pub use settings::Place;

/// What the operator wishes beside the target.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// `--only ID`: this finding, instead of the first cause.
    pub only: Option<String>,
    /// `--allow CIDR`: whom a rule lets in, instead of exactly the client.
    pub allow: Option<String>,
    /// The password to set, instead of a generated one.
    pub password: Option<Secret>,
    /// User name and password given for the target: they open the running server's door too.
    pub login: Option<(Option<String>, Secret)>,
    /// `--force`: restart in spite of loading, saving or unsaved data.
    pub force: bool,
    /// Where the application's settings were read, for a correction there.
    pub place: Option<Place>,
}

/// A plan.
#[derive(Debug, Default)]
pub struct Plan {
    /// The cause removed.
    pub cause: String,
    /// One line.
    pub title: String,
    /// The finding's own title.
    pub finding: String,
    /// What the changes are, in order.
    pub actions: Vec<Action>,
    /// What the rules do with the client and with others once the change is made, judged beforehand.
    pub judged: Vec<String>,
    /// What a human has to do, before or after.
    pub advice: Vec<String>,
    /// Who notices: `clients`, `the service`, `the operator`.
    pub noticed_by: Vec<String>,
    /// Ids of causes behind the first that the plan removes too.
    pub also: Vec<String>,
    /// A password that the plan sets and that nobody knows yet; printed once.
    pub new_password: Option<Secret>,
    /// The actions could cut somebody's way in.
    pub guarded: bool,
    /// Risk.
    pub risk: Option<Risk>,
    /// The application's setting is corrected: what it says then, for the verification.
    pub retarget: Option<crate::target::Target>,
}

impl Plan {
    /// What a further plan, applied after this one, adds to the end's words.
    pub fn take(&mut self, further: Self) {
        let first = std::mem::replace(&mut self.cause, further.cause);
        if first != self.cause {
            self.also.push(first);
        }
        self.finding = further.finding;
        self.also.extend(further.also);
        self.judged.extend(further.judged);
        self.advice.extend(further.advice);
        self.noticed_by.extend(further.noticed_by);
        self.new_password = self.new_password.take().or(further.new_password);
        self.retarget = further.retarget.or(self.retarget.take());
    }
}

/// Why there is no plan of actions.
#[derive(Debug)]
pub enum NoPlan {
    /// Nothing is wrong (or not what `--only` names).
    Nothing(String),
    /// Only people can do it; the cause's own advice.
    Advice(Option<Fix>),
    /// It would be possible and is refused, with the reason and what would lift it.
    Refused(String),
}

/// Files being edited: several remedies may change one file.
#[derive(Default)]
struct Edits {
    files: BTreeMap<String, (Vec<u8>, redis_conf::Document, Vec<String>)>,
}

impl Edits {
    /// The document of a file, read once.
    fn of(&mut self, path: &str) -> Result<&mut redis_conf::Document, NoPlan> {
        if !self.files.contains_key(path) {
            let bytes = crate::sys::read(path, crate::sys::FILE_MAX).map_err(|e| {
                NoPlan::Refused(format!("cannot read {path}: {}", crate::sys::errno_name(&e)))
            })?;
            let document = redis_conf::Document::parse(&bytes);
            self.files.insert(path.to_owned(), (bytes, document, Vec::new()));
        }
        Ok(&mut self.files.get_mut(path).expect("inserted above").1)
    }

    fn says(&mut self, path: &str, what: String) {
        if let Some(file) = self.files.get_mut(path) {
            file.2.push(what);
        }
    }

    /// What the edited files then say of who gets in.
    fn left(&self) -> exposure::Edited {
        let mut left = exposure::Edited::new();
        for (path, (_, document, _)) in &self.files {
            for name in exposure::DIRECTIVES {
                let line = document.find(name).last().and_then(|n| document.line(*n));
                let words = line.and_then(|l| redis_conf::split_args(l.trim_ascii()));
                if let Some([_, arguments @ ..]) = words.as_deref() {
                    let value = String::from_utf8_lossy(&arguments.join(&b' ')).into_owned();
                    left.entry(name.to_owned()).or_default().push((path.clone(), value));
                }
            }
        }
        left
    }

    fn actions(self) -> Result<Vec<Action>, NoPlan> {
        let mut actions = Vec::new();
        for (path, (before, document, says)) in self.files {
            if let Some(why) = crate::apply::unreplaceable(&path) {
                return Err(NoPlan::Refused(why));
            }
            let edit = EditFile::new(&path, &says.join(", "), &before, document.to_bytes(), is_secret_line)
                .map_err(|f| NoPlan::Refused(f.says))?;
            actions.extend(edit.map(Action::EditFile));
        }
        Ok(actions)
    }
}

/// Lines of redis.conf that hold a secret. An empty password is none.
fn is_secret_line(line: &[u8]) -> bool {
    const NAMES: [&str; 6] = [
        "requirepass",
        "masterauth",
        "tls-key-file-pass",
        "tls-client-key-file-pass",
        "sentinel auth-pass",
        "sentinel sentinel-pass",
    ];
    let text = String::from_utf8_lossy(line).trim_start().to_ascii_lowercase();
    let value = NAMES.iter().find_map(|name| text.strip_prefix(name));
    // Of a user's rules passwords and their digests are (ACL SETUSER); a line that does not parse may have any.
    let of_user = || {
        redis_conf::split_args(line.trim_ascii())
            .is_none_or(|words| words.iter().any(|w| w.first().is_some_and(|b| b"><#!".contains(b))))
    };
    value.is_some_and(|value| !["", "\"\"", "''"].contains(&value.trim()))
        || (text.starts_with("user ") && of_user())
}

/// What the remedies write to while a plan grows.
struct Draft<'a> {
    case: &'a Case<'a>,
    wish: &'a Wish,
    edits: Edits,
    /// Before the edits.
    first: Vec<Action>,
    /// After the edits: run-time settings.
    running: Vec<Action>,
    /// Rules.
    rules: Vec<Action>,
    /// The unit has to be started.
    start: Option<crate::apply::UnitState>,
    /// A program of another service manager has to be started.
    managed: Option<crate::apply::Supervised>,
    /// The unit has to be restarted, because the running server does not take the setting.
    restart: bool,
    /// The server is in a container: this host's own files and units are not its.
    contained: bool,
    plan: Plan,
}

/// What lets this host's own PING pass and keeps others out.
const KEEPS_OUT: &[&str] = &[
    "bind-loopback-only",
    "bind-other-address",
    "protected-mode",
    "server-firewall-drops",
    "server-firewall-rejects",
];

/// Makes the plan for the first cause, or for the finding that `--only` names.
pub fn plan(case: &Case<'_>, diagnosis: &Diagnosis, wish: &Wish) -> Result<Plan, NoPlan> {
    let everything = || diagnosis.causes.iter().chain(&diagnosis.warnings).chain(&diagnosis.behind);
    let finding: &Finding = match &wish.only {
        Some(id) => everything()
            .find(|f| f.cause.meta().id == id)
            .ok_or_else(|| NoPlan::Nothing(format!("{id} is not among the findings")))?,
        None => match diagnosis.causes.first() {
            Some(first) => first,
            // On the Redis host its own PING passes: `--client` asks for those who are kept out.
            None if case.ask.client.is_some() => diagnosis
                .warnings
                .iter()
                .find(|f| KEEPS_OUT.contains(&f.cause.meta().id))
                .ok_or_else(|| NoPlan::Nothing(open_question(case)))?,
            None => return Err(NoPlan::Nothing("the target answers PONG".to_owned())),
        },
    };
    // Of what it died may be open; that it does not run is not, and a start harms nothing.
    let only_start = matches!(finding.cause.meta().id, "crashed" | "service-stopped")
        && finding.band == crate::diagnosis::Band::Likely
        && case.process().is_none();
    if finding.band != crate::diagnosis::Band::Confirmed && wish.only.is_none() && !only_start {
        return Err(NoPlan::Refused(format!(
            "{} is not confirmed: what it rests on is above; `--only {}` takes it as given",
            finding.cause.meta().id,
            finding.cause.meta().id
        )));
    }
    let mut draft = Draft {
        case,
        wish,
        edits: Edits::default(),
        first: Vec::new(),
        running: Vec::new(),
        rules: Vec::new(),
        start: None,
        managed: None,
        restart: false,
        contained: false,
        plan: Plan {
            cause: finding.cause.meta().id.to_owned(),
            finding: finding.title.clone(),
            title: finding.fix.as_ref().map_or_else(|| finding.title.clone(), |f| f.title.clone()),
            risk: finding.fix.as_ref().map(|f| f.risk),
            ..Plan::default()
        },
    };
    remedy(&mut draft, finding.cause.meta().id, finding)?;
    // Of a container that is looked at again, and what is behind is planned then.
    let confirmed = |f: &&Finding| f.band == crate::diagnosis::Band::Confirmed && !draft.contained;
    let behind: Vec<&Finding> = diagnosis.behind.iter().filter(confirmed).collect();
    for behind in behind {
        let id = behind.cause.meta().id;
        // The file that is put into force says where to listen.
        let in_file = draft.plan.cause == "config-not-applied" && id.starts_with("bind-");
        if !in_file
            && id != draft.plan.cause
            && !draft.plan.also.iter().any(|a| a == id)
            && remedy(&mut draft, id, behind).is_ok()
        {
            draft.plan.also.push(id.to_owned());
        }
    }
    finish(draft)
}

/// Nothing is known to keep the client out; the rules may leave it open.
fn open_question(case: &Case<'_>) -> String {
    let verdicts = case.server.firewall.get().map_or(&[][..], |f| f.verdicts.as_slice());
    let open = verdicts.iter().find(|v| v.hook == "input" && v.verdict == "undecided");
    open.map_or_else(
        || "nothing is in the way".to_owned(),
        |v| {
            let why = crate::text::shown_str(&v.because, 300);
            format!("nothing is known to be in the way; whether the rules let {} in is open: {why}", v.source)
        },
    )
}

/// Adds the remedy of one cause to the draft.
fn remedy(draft: &mut Draft<'_>, id: &str, finding: &Finding) -> Result<(), NoPlan> {
    if let Some(done) = settings::correct(draft, id) {
        return done;
    }
    if let Some(done) = mounted::remedy(draft, id) {
        return done;
    }
    match id {
        "service-stopped" | "service-masked" | "crashed" | "oom-killed" => {
            start::start(draft, id == "service-masked")
        }
        "container-stopped" => container::start(draft),
        "hung" => container::unpause(draft),
        "port-taken" => start::port_is_free(draft),
        "bind-loopback-only" | "bind-other-address" => config::bind(draft),
        "family-mismatch" => config::family(draft),
        "protected-mode" => config::password(draft),
        "bind-address-missing" => config::optional_binds(draft),
        "tcp-port-disabled" => config::port(draft),
        "config-not-applied" => config::apply_file(draft),
        "config-invalid" => repair::repair(draft),
        "data-unloadable" => match storage::append_only_file(draft) {
            Err(NoPlan::Advice(None)) => dump::last_good(draft),
            done => done,
        },
        "supervisor-kills" => supervisor::let_start(draft),
        "storage-unwritable" | "tls-material-unusable" => storage::owner(draft, false),
        "server-firewall-drops" | "server-firewall-rejects" => rules::allow(draft),
        _ => Err(NoPlan::Advice(finding.fix.clone())),
    }
}

/// Puts the parts in order, and refuses what must not be.
fn finish(mut draft: Draft<'_>) -> Result<Plan, NoPlan> {
    let contained = draft.case.process().and_then(|p| p.container.clone());
    if let Some(container) =
        contained.filter(|_| !draft.edits.files.is_empty() || draft.restart || draft.start.is_some())
    {
        // Its paths are not this machine's, and what is written in it is gone with the next one.
        let name = crate::text::shown_str(container.get(..12).unwrap_or(&container), 40);
        return Err(NoPlan::Refused(format!(
            "Redis runs in container {name}: change its image, command or mounted configuration, and make it anew"
        )));
    }
    let unit = draft.case.unit().map(|u| u.name.clone());
    let edited = draft.edits.left();
    let edits = std::mem::take(&mut draft.edits).actions()?;
    let changes_files = !edits.is_empty();
    let mut plan = draft.plan;
    plan.actions.extend(draft.first);
    let runs = draft.case.process().is_some();
    if draft.restart {
        let gate = guard::restart(draft.case, draft.wish)?;
        let through = managed::restart(draft.case, gate.as_ref()).filter(|_| unit.is_none());
        if let Some(says) = managed::short_stop(draft.case).filter(|_| through.is_some() && !draft.wish.force)
        {
            return Err(NoPlan::Refused(format!("no restart now: {says}; `--force` restarts all the same")));
        }
        let unit = unit.clone().ok_or_else(|| {
            let manager = draft.case.process().and_then(|p| crate::cause::managers::of(draft.case, p));
            NoPlan::Refused(manager.map_or_else(
                || "the server runs outside any unit: restart it by hand".to_owned(),
                |m| format!("the server was started by {}, which restarts it: {}", m.unit, m.command()),
            ))
        });
        let (undone, now) = match through {
            Some(both) => both,
            None => {
                let unit = unit?;
                let restart = |when| {
                    let (unit, gate) = (unit.clone(), gate.clone());
                    Action::Restart(crate::apply::Restart { unit, when, gate })
                };
                (restart(crate::apply::When::AfterUndo), restart(crate::apply::When::Now))
            }
        };
        plan.actions.push(undone);
        plan.actions.extend(edits);
        plan.actions.push(now);
        plan.noticed_by.push("clients: the server restarts".to_owned());
    } else {
        plan.actions.extend(edits);
    }
    plan.actions.extend(draft.running);
    if let Some(start) = draft.start {
        plan.noticed_by.push("clients: the server starts".to_owned());
        plan.actions.push(Action::UnitState(start));
    }
    if let Some(start) = draft.managed {
        plan.noticed_by.push("clients: the server starts".to_owned());
        plan.actions.push(Action::Supervised(start));
    }
    if !draft.contained {
        exposure::check(draft.case, &edited, &mut plan)?;
    }
    plan.advice.extend(undo_needs(draft.case, &plan));
    plan.guarded |= !draft.rules.is_empty() || (changes_files && runs);
    plan.actions.extend(draft.rules);
    if plan.actions.is_empty() {
        return Err(NoPlan::Advice(None));
    }
    if plan.risk != Some(Risk::Safe)
        || plan.actions.iter().any(|a| !matches!(a, Action::UnitState(_) | Action::Supervised(_)))
    {
        plan.risk = Some(Risk::Ask);
    }
    Ok(plan)
}

/// A setting of the running server is put back over its own door, and the password for that may be in no file in clear.
fn undo_needs(case: &Case<'_>, plan: &Plan) -> Option<String> {
    let set = plan.actions.iter().find_map(|action| match action {
        Action::ConfigSet(set) => Some(set),
        _ => None,
    })?;
    let wants = case.config().is_some_and(|c| c.default_user_has_password == Some(true));
    let known = set.file.as_deref().is_some_and(|file| crate::apply::requirepass_of(file).is_some());
    (wants && !known).then(|| {
        "to undo this the server's password is needed, and no file has it in clear: set REDISCLI_AUTH (and \
         REDIS_USERNAME, for another user than default) for `nopong undo`; the timer cannot undo it"
            .to_owned()
    })
}

/// The address to serve: the one dialled, unless that is loopback; then the machine's own in the client's network.
fn served_address(case: &Case<'_>) -> Option<std::net::IpAddr> {
    crate::cause::common::public_address(case)
}

/// A way in to the running server: the side door, else the target.
fn door(case: &Case<'_>) -> Option<crate::apply::Door> {
    let process = case.process()?;
    let listeners = case.server.listener.get()?;
    let own: Vec<_> = listeners.tcp.iter().filter(|l| l.pids.contains(&process.pid)).collect();
    let tls_port =
        case.config().and_then(|c| c.value("tls-port")).and_then(|p| p.parse::<u16>().ok()).unwrap_or(0);
    let port = case.config().and_then(|c| c.value("port")).and_then(|p| p.parse::<u16>().ok());
    let plain = |l: &&&crate::evidence::server::Listener| {
        l.at.port() != tls_port && port.is_none_or(|p| p == l.at.port())
    };
    let chosen =
        own.iter().find(|l| plain(l) && l.at.ip().is_loopback()).or_else(|| own.iter().find(|l| plain(l)));
    if let Some(listener) = chosen {
        return Some(crate::apply::Door::Tcp { at: this_host(listener.at) });
    }
    if let Some(socket) = listeners.unix.iter().find(|u| u.pids.contains(&process.pid)) {
        return Some(crate::apply::Door::Unix { path: socket.path.clone() });
    }
    // A server of TLS only: its own certificate file says who it is.
    let material = |name: &str| {
        let value = case.config().and_then(|c| c.value(name)).filter(|p| p.starts_with('/'));
        value.map(str::to_owned)
    };
    let of_tls = |l: &&&crate::evidence::server::Listener| l.at.port() == tls_port;
    let listener =
        own.iter().find(|l| of_tls(l) && l.at.ip().is_loopback()).or_else(|| own.iter().find(of_tls))?;
    let (cert, key) = (material("tls-cert-file")?, material("tls-key-file")?);
    Some(crate::apply::Door::Tls { at: this_host(listener.at), cert, key })
}

/// The same for CONFIG SET; none where the server has no CONFIG.
fn config_door(case: &Case<'_>) -> Option<crate::apply::Door> {
    crate::apply::config_command(case.config().and_then(|c| c.file.as_deref())).and_then(|_| door(case))
}

/// An address that a server of this host is dialled at.
fn this_host(mut at: std::net::SocketAddr) -> std::net::SocketAddr {
    if at.ip().is_unspecified() {
        at.set_ip(if at.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    at
}

impl Draft<'_> {
    /// The file in force, which must be readable and known.
    fn file(&self) -> Result<String, NoPlan> {
        let config =
            self.case.config().ok_or_else(|| NoPlan::Refused("no configuration file is known".to_owned()))?;
        if let Some(unreadable) = &config.unreadable {
            return Err(NoPlan::Refused(format!(
                "{} cannot be read ({}): run as root",
                unreadable.path, unreadable.errno
            )));
        }
        config
            .file
            .clone()
            .ok_or_else(|| {
                let says = "the server runs without a configuration file, and nothing that is set would last: start it with one";
                NoPlan::Refused(says.to_owned())
            })
    }

    /// The file that has the directive, else the main one: includes come into force where they stand.
    fn file_of(&self, directive: &str) -> Result<String, NoPlan> {
        let setting = self.case.config().and_then(|c| c.settings.get(directive));
        match setting {
            Some(s) if s.file == "command line" => Err(NoPlan::Refused(format!(
                "{directive} is set on the command line: change the unit or script that starts the server"
            ))),
            Some(s) if s.line.is_some() => Ok(s.file.clone()),
            _ => self.file(),
        }
    }

    /// Sets a directive in the file, and in the running server where it takes it.
    fn set(&mut self, directive: &str, words: &[&str], running: bool) -> Result<(), NoPlan> {
        let hidden = self.case.config().filter(|c| c.hides_arguments() && running);
        if hidden.is_some_and(|c| c.file.is_none() || c.running_otherwise(directive).is_some()) {
            self.plan.advice.push(format!(
                "the command that starts the server has the last word at its next start: add --{directive} {} there",
                words.join(" ")
            ));
        }
        // A server without a file is told for as long as it runs; there is nothing to write into.
        if hidden.is_none_or(|c| c.file.is_some()) {
            let path = self.file_of(directive)?;
            let bytes: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
            self.edits.of(&path)?.set(directive, &bytes);
            self.edits.says(&path, format!("{directive} {}", words.join(" ")));
        }
        if running
            && let Some(door) = config_door(self.case).filter(|_| {
                self.case.symptom != Symptom::ErrorReply || self.case.error_word() == Some("DENIED")
            })
        {
            self.running.push(Action::ConfigSet(crate::apply::ConfigSet {
                door,
                directive: directive.to_owned(),
                value: Some(words.join(" ")),
                secret: None,
                is_secret: false,
                file: self.file().ok(),
                login: self.wish.login.clone(),
            }));
        }
        Ok(())
    }
}

/// Every action as a sentence, its command and its diff.
pub fn shown(plan: &Plan) -> Vec<(String, Option<String>, Option<String>)> {
    plan.actions
        .iter()
        .map(|action| {
            let diff = match action {
                Action::EditFile(edit) => Some(edit.diff().to_owned()),
                _ => None,
            };
            let change = action.change();
            (change.says(), change.command(), diff)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_secret_line;

    #[test]
    fn an_empty_password_is_no_secret() {
        assert!(is_secret_line(b"requirepass hunter22\n") && is_secret_line(b" user a on >x\n"));
        assert!(!is_secret_line(b"requirepass \"\"\r\n") && !is_secret_line(b"# requirepass x\n"));
    }

    #[test]
    fn a_user_without_a_password_has_no_secret() {
        assert!(!is_secret_line(b"user default on nopass sanitize-payload ~* &* +@all\n"));
        for secret in
            ["user a \">x y\"", "user a on #0123", "user a on <x", "user a on !0123", "user a \"x", "user >"]
        {
            assert!(is_secret_line(secret.as_bytes()), "{secret}");
        }
    }
}
