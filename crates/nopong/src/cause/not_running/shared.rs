//! What the causes of a server that does not run have in common: whether it runs, its last words and which
//! cause they are blamed on.

use crate::cause::{Fix, Latent, Place, Reason, Risk};
use crate::cause::{containers, managers};
use crate::diagnosis::{Case, Symptom, holds};
use crate::evidence::containers::Container;
use crate::evidence::managed::{Managed, Standing};
use crate::evidence::server::{Binary, Death, DeathKind, KERNEL_LOG, Process, Unit};

/// Whether the target's server runs.
pub(in crate::cause) enum State<'a> {
    /// The server's side was not seen, or contradicts itself.
    Unseen,
    /// It runs: the reason that excludes every cause of this folder.
    Runs(Reason),
    /// It does not run, or dies again and again.
    Down(Down<'a>),
}

/// A server that does not run.
pub(in crate::cause) struct Down<'a> {
    /// Its unit.
    pub unit: Option<&'a Unit>,
    /// Its container, where it is known to be meant to run in one.
    pub container: Option<&'a Container>,
    /// The program of another service manager that is meant to serve it.
    pub managed: Option<&'a Managed>,
    /// What the client saw is what a dead server gives, and nothing stands before it.
    pub fit: Fit,
    /// The last word that tells most, and the id it is blamed on.
    pub blame: Option<(&'a Death, &'static str)>,
}

/// How what the client saw fits a dead server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cause) enum Fit {
    /// Exactly: it is the first obstacle.
    First,
    /// Something accepts in its place: a proxy may stand before it.
    Proxied,
    /// The client is stopped earlier.
    Behind,
}

/// The unit is between two attempts, or was tried more than once.
pub(in crate::cause) fn restarting(unit: &Unit) -> bool {
    unit.sub == "auto-restart"
        || unit.sub == "auto-restart-queued"
        || (unit.active != "active" && unit.restarts > 0)
}

/// systemd refuses to start the unit.
pub(in crate::cause) fn is_masked(unit: &Unit) -> bool {
    unit.load_state == "masked" || unit.file_state.as_deref().is_some_and(|s| s.starts_with("masked"))
}

/// The unit dies again and again while it loads: each time for some seconds it answers LOADING.
fn loops(unit: &Unit) -> bool {
    unit.active == "activating" && unit.restarts > 0
}

pub(in crate::cause) fn state<'a>(case: &Case<'a>) -> State<'a> {
    if let Some(meant) = containers::down(case) {
        let container = Some(meant.container);
        let blame = container_blame(case, meant.container);
        return State::Down(Down { unit: None, container, managed: None, fit: Fit::First, blame });
    }
    // The machine around the client's container is not the one dialled; a container that runs is no unit's server.
    let published = containers::meant(case).is_some_and(|m| m.tie != containers::Tie::Only);
    if answers(case).is_none() && (containers::own_loopback(case) || published) {
        return State::Unseen;
    }
    let looping = case.unit().is_some_and(loops);
    if !looping && let Some(reason) = answers(case) {
        return State::Runs(reason);
    }
    if !case.server_seen() {
        return State::Unseen;
    }
    if !looping && let Some(process) = case.holder().or_else(|| case.process()) {
        return runs(case, process);
    }
    let managed = case.managed();
    if managed.is_some_and(|m| m.standing == Standing::Up) {
        return State::Unseen;
    }
    let unit = case.unit();
    // hidepid hides processes from other users: what systemd says weighs more than an empty list.
    if unit.is_some_and(|u| u.active == "active" && u.main_pid > 0) {
        return State::Unseen;
    }
    if unit.is_none() && managed.is_none() && case.servers().len() > 1 {
        return State::Unseen;
    }
    State::Down(Down { unit, container: None, managed, fit: fit(case, looping), blame: blame(case, unit) })
}

/// A Redis answers, so one runs.
fn answers(case: &Case<'_>) -> Option<Reason> {
    let talk = case.talk()?;
    (talk.speaks == crate::evidence::client::Speaks::Resp)
        .then(|| Reason::rules_out("protocol", format!("a Redis answers at {}", talk.to)))
}

fn runs<'a>(case: &Case<'_>, process: &Process) -> State<'a> {
    let name = program(process);
    // In another network namespace it is as good as on another machine: nothing follows for this port.
    if process.same_netns == Some(false) {
        return State::Unseen;
    }
    let at: Vec<String> = case
        .file
        .server
        .listener
        .get()
        .map(|l| l.tcp.iter().filter(|l| holds(process, l)).map(|l| l.at.to_string()).collect())
        .unwrap_or_default();
    let at = if at.is_empty() {
        "listens on no TCP port".to_owned()
    } else {
        format!("listens on {}", at.join(" and "))
    };
    State::Runs(Reason::rules_out("process", format!("{name} (pid {}) runs and {at}", process.pid)))
}

/// The program's name as the process shows it.
pub(in crate::cause) fn program(process: &Process) -> String {
    let path = process.exe.as_deref().or(process.cmdline.first().map(String::as_str)).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() { "redis-server".to_owned() } else { name.to_owned() }
}

fn fit(case: &Case<'_>, looping: bool) -> Fit {
    match case.symptom {
        Symptom::Refused if rejected(case) => Fit::Behind,
        Symptom::Refused | Symptom::SocketMissing | Symptom::SocketStale => Fit::First,
        Symptom::ErrorReply if looping && case.error_word() == Some("LOADING") => Fit::First,
        Symptom::Reset | Symptom::Closed | Symptom::Silent if looping => Fit::First,
        Symptom::Reset | Symptom::Closed => Fit::Proxied,
        _ => Fit::Behind,
    }
}

/// A packet filter refused the connection before any server could.
fn rejected(case: &Case<'_>) -> bool {
    if case.dial().is_some_and(|d| d.icmp.is_some()) {
        return true;
    }
    let from = case.dial().and_then(|d| d.from).map(|a| a.ip().to_string());
    [&case.server.firewall, &case.client.firewall].into_iter().filter_map(|f| f.get()).any(|f| {
        f.verdicts.iter().any(|v| {
            v.verdict == "reject"
                && (v.moved == Some(true) || (v.moved.is_none() && Some(&v.source) == from.as_ref()))
        })
    })
}

/// The last word that tells most and the cause it is blamed on. A stop by the supervisor ends in an orderly
/// stop, and every failure in a start limit: consequences come last, else the newest line counts, because the
/// fatal one is the last that a server writes.
pub(in crate::cause) fn blame<'a>(case: &Case<'a>, unit: Option<&Unit>) -> Option<(&'a Death, &'static str)> {
    // Nothing is left that could run: what ended it once is history.
    if unit.is_none() && case.server.binary.get().is_some_and(|found| !found.iter().any(present)) {
        return None;
    }
    // A masked unit is not started, whatever ended its last attempt.
    if unit.is_some_and(is_masked) {
        return None;
    }
    // systemd tells which command failed: the server was not run, or ended because of it.
    if helper_failed(unit).is_some() {
        return None;
    }
    let logs = case.file.server.log.get()?;
    let booted = case.file.server.unit.get().and_then(|u| u.booted_at);
    // A watchdog ends it by SIGABRT, for which Redis writes a crash report (debug.c, sigsegvHandler).
    let supervised = unit.is_some_and(|u| matches!(u.result.as_str(), "watchdog" | "timeout"));
    // How the run before ended is no reason while systemd starts the next one.
    let starting =
        unit.is_some_and(|u| u.active == "activating" && u.sub.starts_with("start") && u.restarts == 0);
    let starting = starting || case.managed().is_some_and(|m| m.standing != Standing::Down);
    logs.deaths
        .iter()
        .filter(|d| d.last && is_of(d, unit))
        .filter(|d| !(starting && d.kind == DeathKind::OrderlyStop))
        // Of before the boot: that it died then is not why it does not run now.
        .filter(|d| d.at.zip(booted).is_none_or(|(at, boot)| at >= boot))
        .filter_map(|d| Some((d, blamed(case, d, unit)?)))
        .min_by_key(|(d, _)| match d.kind {
            DeathKind::OrderlyStop => 3,
            DeathKind::Killed => 2,
            DeathKind::Crashed if supervised => 2,
            DeathKind::SupervisorTimeout => 1,
            _ => 0,
        })
}

/// The same for a container's own log. Who killed it, or that it was stopped, its engine tells.
fn container_blame<'a>(case: &Case<'a>, container: &'a Container) -> Option<(&'a Death, &'static str)> {
    if container.oom_killed {
        return None;
    }
    let told = |d: &&Death| d.last && !matches!(d.kind, DeathKind::OrderlyStop | DeathKind::Killed);
    container.deaths.iter().filter(told).find_map(|d| Some((d, blamed(case, d, None)?)))
}

/// A journal of another unit tells nothing of this one.
fn is_of(death: &Death, unit: Option<&Unit>) -> bool {
    match unit {
        Some(unit) if death.source.contains(".service") => {
            death.source.contains(&unit.name) || unit.names.iter().any(|n| death.source.contains(n.as_str()))
        }
        _ => true,
    }
}

/// Which cause a last word is blamed on; none for a mere consequence.
fn blamed(case: &Case<'_>, death: &Death, unit: Option<&Unit>) -> Option<&'static str> {
    let text = format!("{} {}", death.text, death.detail.as_deref().unwrap_or_default()).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    Some(match death.kind {
        // `dir` and `logfile` are tried while the file is read: then the path is to blame, not the line.
        DeathKind::ConfigError if names_path(&text) && has(&["no space left"]) => "disk-full",
        DeathKind::ConfigError
            if names_path(&text)
                && has(&["permission denied", "no such file", "read-only file", "not a directory"]) =>
        {
            "storage-unwritable"
        }
        DeathKind::ConfigError
        | DeathKind::ConfigUnreadable
        | DeathKind::AclError
        | DeathKind::ModuleFailed
        | DeathKind::BindDenied => "config-invalid",
        DeathKind::PortTaken if self_overlap(case).is_some() => "config-invalid",
        DeathKind::PortTaken => "port-taken",
        // Redis also warns of an address it may miss ("-::1") and goes on (server.c, listenToPort).
        DeathKind::AddressMissing if optional(case, &text) => return None,
        DeathKind::AddressMissing => "bind-address-missing",
        DeathKind::NowhereToListen if only_optional(case) => "bind-address-missing",
        DeathKind::NowhereToListen => "config-invalid",
        DeathKind::RdbUnloadable | DeathKind::AofUnloadable => "data-unloadable",
        DeathKind::ClusterConfig if has(&["in use", "bind"]) => "port-taken",
        DeathKind::ClusterConfig if has(&["too high"]) => "config-invalid",
        DeathKind::ClusterConfig => "data-unloadable",
        DeathKind::PathDenied
        | DeathKind::PathMissing
        | DeathKind::ReadOnlyFs
        | DeathKind::UnixSocketFailed
        | DeathKind::SentinelConfig => "storage-unwritable",
        // The sandbox is set up around the program: its absence shows there first.
        DeathKind::SandboxFailed
            if program_missing(case, unit)
                && unit
                    .and_then(|u| u.exec_start.first())
                    .is_some_and(|p| death.text.contains(p.as_str())) =>
        {
            "not-installed"
        }
        // Exit codes 200 CHDIR, 209 STDOUT, 226 NAMESPACE, 233/238/239/240 …_DIRECTORY (systemd.exec(5)): a path.
        DeathKind::SandboxFailed if has(&["environment file"]) => "config-invalid",
        DeathKind::SandboxFailed if has(&["namespac", "chdir", "directory", "stdout", "no such file"]) => {
            "storage-unwritable"
        }
        DeathKind::SandboxFailed => "config-invalid",
        DeathKind::NoSpace => "disk-full",
        DeathKind::TlsMaterial => "tls-material-unusable",
        DeathKind::UlimitTooSmall => "server-fds-exhausted",
        DeathKind::OutOfMemory | DeathKind::OomKilled => "oom-killed",
        DeathKind::Crashed
            if unit.is_some_and(|u| u.exit_status == Some(4)) || has(&["sigill", "illegal instr"]) =>
        {
            "binary-incompatible"
        }
        DeathKind::Crashed | DeathKind::Killed => "crashed",
        DeathKind::OrderlyStop => "service-stopped",
        DeathKind::SupervisorTimeout => "supervisor-kills",
        // What the unit runs before the server is a line of the unit's, and no fault of the server's program.
        DeathKind::ExecFailed if before_the_server(death, unit) => "config-invalid",
        DeathKind::ExecFailed if program_missing(case, unit) => "not-installed",
        DeathKind::ExecFailed => "binary-incompatible",
        DeathKind::Environment if has(&["page size", "cow", "jemalloc", "illegal"]) => "binary-incompatible",
        DeathKind::Environment => "config-invalid",
        DeathKind::MacDenied => "mac-denied",
        DeathKind::StartLimit => return None,
    })
}

/// A command beside the server failed, and the unit with it.
pub(in crate::cause) fn helper_failed(unit: Option<&Unit>) -> Option<&str> {
    unit.filter(|u| failed(Some(u))).and_then(|u| u.helper_failed.as_deref())
}

/// systemd could not run a command of the unit that is not the server: ExecStartPre= and its kin.
pub(in crate::cause) fn before_the_server(death: &Death, unit: Option<&Unit>) -> bool {
    let Some(unit) = unit else { return false };
    let Some(program) = unit.exec_start.first() else { return false };
    if death.text.contains("Control process exited") {
        // The one of a unit that forks is the server itself.
        return unit.kind != "forking";
    }
    let told = ["Failed to locate executable ", "Failed to execute ", " spawning "]
        .iter()
        .find_map(|before| death.text.split_once(before))
        .and_then(|(_, rest)| rest.split([':', ' ']).next());
    told.is_some_and(|path| path.starts_with('/') && path != program)
}

fn names_path(text: &str) -> bool {
    ["'dir ", "\"dir ", "chdir", "log file", "logfile"].iter().any(|w| text.contains(w))
        || text.starts_with("dir ")
}

/// The program is on disk: one that a unit starts is listed even when it is not.
pub(in crate::cause) fn present(binary: &Binary) -> bool {
    binary.broken.as_deref() != Some("it is not there")
}

/// The unit's program is not among those on disk.
pub(in crate::cause) fn program_missing(case: &Case<'_>, unit: Option<&Unit>) -> bool {
    let Some(program) = unit.and_then(|u| u.exec_start.first()) else { return false };
    case.server.binary.get().is_some_and(|found| !found.iter().any(|b| &b.path == program && present(b)))
        && case.server.log.get().is_none_or(|l| {
            let words = |d: &&Death| d.kind == DeathKind::ExecFailed && d.last;
            l.deaths.iter().find(words).is_none_or(|d| d.text.contains("No such file"))
        })
}

/// The words of `bind`.
pub(in crate::cause) fn bind_words<'a>(case: &Case<'a>) -> Vec<&'a str> {
    case.config().and_then(|c| c.value("bind")).unwrap_or_default().split_whitespace().collect()
}

/// The configuration takes its own port twice: a wildcard beside an address of its family, an address twice,
/// or TLS on the plain port.
pub(in crate::cause) fn self_overlap(case: &Case<'_>) -> Option<String> {
    let config = case.config()?;
    if let (Some(port), Some(tls)) = (config.value("port"), config.value("tls-port"))
        && port == tls
        && port != "0"
    {
        return Some(format!("port and tls-port are both {port}"));
    }
    let words: Vec<&str> = bind_words(case).into_iter().map(|w| w.trim_start_matches('-')).collect();
    let wild = |w: &str| matches!(w, "*" | "0.0.0.0" | "::" | "::*");
    let six = |w: &str| w.contains(':');
    for (i, a) in words.iter().enumerate() {
        for b in words.iter().skip(i + 1) {
            if six(a) == six(b) && (a == b || wild(a) || wild(b)) {
                return Some(format!("bind {} takes {a} and {b}, which overlap", words.join(" ")));
            }
        }
    }
    None
}

fn optional(case: &Case<'_>, text: &str) -> bool {
    bind_words(case)
        .iter()
        .any(|w| w.strip_prefix('-').is_some_and(|a| text.contains(&format!("{}:", a.to_lowercase()))))
}

fn only_optional(case: &Case<'_>) -> bool {
    let words = bind_words(case);
    case.config().and_then(|c| c.value("port")) != Some("0")
        && !words.is_empty()
        && words.iter().all(|w| w.starts_with('-'))
}

impl Down<'_> {
    /// Something made it fail, by the word of its manager.
    pub(in crate::cause) fn failed(&self) -> bool {
        failed(self.unit)
            || self.managed.is_some_and(|m| matches!(m.standing, Standing::GivenUp | Standing::Moving))
    }

    /// The reason that a last word gives its cause. An attempt that systemd does not count as failed was
    /// perhaps made by hand: then it only speaks for it.
    fn settles(&self, death: &Death) -> Reason {
        let says = format!("{}: {}", death.source, death.text);
        let failed = self.unit.is_none_or(|u| u.active != "inactive" || u.result != "success");
        // All containers share the kernel's log: a unit that a signal ended tells that the crash was this server's.
        if death.source == KERNEL_LOG && !self.unit.is_some_and(Unit::ended_by_signal) {
            return Reason::strong("log", says);
        }
        match (self.fit, death.kind) {
            // Who sent SIGKILL is not told by anything.
            (_, DeathKind::Killed) => Reason::strong("log", says),
            (Fit::First | Fit::Behind, _) if failed || death.kind == DeathKind::OrderlyStop => {
                Reason::confirms("log", says)
            }
            _ => Reason::strong("log", says),
        }
    }
}

/// The last word blamed on that cause.
pub(in crate::cause) fn last_word<'a>(case: &Case<'a>, id: &str) -> Option<&'a Death> {
    match state(case) {
        State::Down(down) => down.blame.filter(|(_, blamed)| *blamed == id).map(|(death, _)| death),
        _ => None,
    }
}

/// Reasons from the server's state and last words; `circumstances` is asked when no last word is known.
pub(in crate::cause) fn weigh<'a>(
    case: &Case<'a>,
    id: &str,
    circumstances: impl FnOnce(&Down<'a>) -> Vec<Reason>,
) -> Vec<Reason> {
    match state(case) {
        State::Unseen => Vec::new(),
        State::Runs(reason) => vec![reason],
        State::Down(down) if down.fit == Fit::Behind => Vec::new(),
        State::Down(down) => match down.blame {
            Some((death, blamed)) if blamed == id => vec![down.settles(death)],
            Some((death, _)) => {
                vec![Reason::rules_out("log", format!("the last attempt ended otherwise: {}", death.text))]
            }
            None => match down.container {
                Some(c) => vec![Reason::rules_out(
                    "container",
                    format!("{} is meant to serve it, no unit", containers::named(c)),
                )],
                None => circumstances(&down),
            },
        },
    }
}

/// The same as something behind: the server is dead, but the client does not even get there.
pub(in crate::cause) fn behind<'a>(
    case: &Case<'a>,
    id: &str,
    title: String,
    fix: Option<Fix>,
    circumstances: impl FnOnce(&Down<'a>) -> Vec<Reason>,
) -> Option<Latent> {
    let State::Down(down) = state(case) else { return None };
    if down.fit != Fit::Behind {
        return None;
    }
    let reasons = match down.blame {
        Some((death, blamed)) if blamed == id => vec![down.settles(death)],
        Some(_) => return None,
        None => circumstances(&down),
    };
    let speaks = reasons.iter().any(|r| r.bearing <= crate::cause::Bearing::Strong);
    speaks.then_some(Latent { place: Place::Behind, title, reasons, fix })
}

/// The unit failed or fails again and again, so something made it fail.
pub(in crate::cause) fn failed(unit: Option<&Unit>) -> bool {
    unit.is_some_and(|u| (u.active == "failed" && !start_limited(u)) || restarting(u))
}

/// systemd refuses to start it for a while because it was started too often. That stands as the result only
/// when the last run ended well (service.c, service_enter_dead).
pub(in crate::cause) fn start_limited(unit: &Unit) -> bool {
    unit.active == "failed" && unit.result == "start-limit-hit"
}

/// The canonical name of the unit, for commands.
pub(in crate::cause) fn unit_name(case: &Case<'_>) -> String {
    if let Some(meant) = containers::down(case) {
        return containers::named(meant.container);
    }
    if let Some(managed) = case.managed() {
        return managed.called();
    }
    case.unit().map_or_else(|| "redis-server.service".to_owned(), |u| u.name.clone())
}

/// The file to edit, for commands.
pub(in crate::cause) fn config_file(case: &Case<'_>) -> String {
    if let Some(meant) = containers::down(case) {
        let config = meant.container.config.as_ref();
        let host = config.and_then(|c| c.host.clone());
        return host.unwrap_or_else(|| format!("the command line of {}", containers::named(meant.container)));
    }
    case.config().and_then(|c| c.file.clone()).unwrap_or_else(|| "/etc/redis/redis.conf".to_owned())
}

/// The user the server runs as.
pub(in crate::cause) fn server_user(case: &Case<'_>) -> String {
    let unit = case.unit().and_then(|u| u.user.clone()).filter(|u| !u.is_empty());
    let managed = case.managed().and_then(|m| m.user.clone());
    unit.or(managed)
        .or_else(|| case.process().and_then(|p| p.user.clone()))
        .unwrap_or_else(|| "redis".to_owned())
}

/// The steps that start it again, the start limit cleared where it holds.
pub(in crate::cause) fn start(fix: Fix, case: &Case<'_>) -> Fix {
    if let Some(meant) = containers::down(case) {
        return containers::start(fix, case, meant.container);
    }
    if let Some(managed) = case.managed() {
        return managers::start(fix, managed);
    }
    let name = crate::text::shell(&unit_name(case));
    let limited = case.unit().is_some_and(|u| u.result == "start-limit-hit")
        || case
            .server
            .log
            .get()
            .is_some_and(|l| l.deaths.iter().any(|d| d.last && d.kind == DeathKind::StartLimit));
    let fix = if limited {
        fix.run("let systemd forget the failed attempts", format!("systemctl reset-failed {name}"))
    } else {
        fix
    };
    fix.run("start the server", format!("systemctl start {name}"))
}

/// A title with the container that it is true of.
pub(in crate::cause) fn placed(title: String, case: &Case<'_>) -> String {
    match containers::down(case) {
        Some(meant) => format!("{title}, in {}", containers::named(meant.container)),
        None => title,
    }
}

/// A fix that ends in a start.
pub(in crate::cause) fn then_start(
    risk: Risk,
    title: impl Into<String>,
    case: &Case<'_>,
    steps: impl FnOnce(Fix) -> Fix,
) -> Fix {
    start(steps(Fix::new(risk, title)), case)
}
