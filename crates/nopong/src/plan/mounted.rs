//! A Redis in a container whose configuration file is a file of this host, mounted into it. The file is edited here, and the
//! server is told from within its network; where it does not take that, or does not run, its engine starts it anew.
//!
//! A file that is mounted alone is pinned: the container goes on seeing the one that it was started with, and the one that
//! took its name at its next start (mount(2) binds what the path leads to at that moment).

use super::{Draft, NoPlan, config, container, repair};
use crate::apply::{Action, ConfigSet, ContainerVerb, Door, Gate, Standing, config_command};
use crate::cause::common::is_loopback;
use crate::cause::containers::{self, Meant, Tie};
use crate::evidence::containers::Container;
use crate::evidence::server::{ConfigFault, DeathKind};
use crate::sys;
use redis_conf::{Document, InMemory, Loaded, Release, Start};
use std::os::unix::fs::MetadataExt as _;

/// Causes whose remedies change this host's own units and files: not those of a container that does not run.
const OF_THE_HOST: &[&str] = &[
    "service-stopped",
    "service-masked",
    "crashed",
    "oom-killed",
    "port-taken",
    "bind-address-missing",
    "config-not-applied",
    "data-unloadable",
    "supervisor-kills",
    "storage-unwritable",
    "tls-material-unusable",
];

/// The file, as it is now.
struct Mounted<'a> {
    meant: Meant<'a>,
    /// On this host.
    path: String,
    /// Of the file alone, arguments aside.
    loaded: Loaded,
    /// Mounted by itself, not within a folder.
    alone: bool,
}

/// Plans the remedy, where the cause is a container's; none where it is not.
pub(super) fn remedy(draft: &mut Draft<'_>, id: &str) -> Option<Result<(), NoPlan>> {
    let meant = containers::meant(draft.case).filter(|m| m.tie != Tie::Only)?;
    let c = meant.container;
    let down = containers::down(draft.case).is_some();
    let loopback = || {
        containers::listeners(&meant)
            .is_some_and(|own| !own.is_empty() && own.iter().all(|at| is_loopback(at.ip())))
    };
    let served = c.status == "running" && !down;
    let done = match id {
        "bind-loopback-only" if served && loopback() => bind(draft, meant),
        "protected-mode" if served => protected(draft, meant),
        "tcp-port-disabled" if served => port(draft, meant),
        "config-invalid" if down => refused_line(draft, meant),
        _ if down && OF_THE_HOST.contains(&id) => Err(NoPlan::Advice(None)),
        _ => return None,
    };
    draft.contained = true;
    Some(done)
}

/// Every address of the container is its own: networks and published ports decide who comes that far. Not without a
/// password.
fn bind(draft: &mut Draft<'_>, meant: Meant<'_>) -> Result<(), NoPlan> {
    let at = mounted(draft, meant)?;
    not_in_the_command(&at, "bind")?;
    let (gate, standing) = asked(draft, &at)?;
    // `*` and `-` are understood since Redis 6.2; CONFIG SET bind is taken since then, too.
    let modern = version(&standing) >= (6, 2);
    let words: &[&str] = if modern { &["*", "-::*"] } else { &["0.0.0.0"] };
    let mut anew = password(draft, &at, &gate)?;
    anew |= !told(draft, &at, &gate, "bind", words, modern)?;
    carry_out(draft, &at, &gate, anew.then_some(&standing))
}

/// A password, so that protected mode lets other hosts in.
fn protected(draft: &mut Draft<'_>, meant: Meant<'_>) -> Result<(), NoPlan> {
    let at = mounted(draft, meant)?;
    let (gate, standing) = asked(draft, &at)?;
    let anew = password(draft, &at, &gate)?;
    carry_out(draft, &at, &gate, anew.then_some(&standing))
}

/// A line that the server in it refuses, by its own word.
fn refused_line(draft: &mut Draft<'_>, meant: Meant<'_>) -> Result<(), NoPlan> {
    let c = meant.container;
    let at = mounted(draft, meant)?;
    let error = at.loaded.errors.first().ok_or(NoPlan::Advice(None))?;
    let number = error.line().ok_or(NoPlan::Advice(None))?;
    let own = draft.edits.of(&at.path)?.line(number as usize).map(<[u8]>::to_vec).unwrap_or_default();
    let own = String::from_utf8_lossy(own.trim_ascii()).into_owned();
    // The image may be of another release than is assumed here: what it complained of decides.
    let blames = |d: &crate::evidence::server::Death| {
        let says = [Some(&d.text), d.detail.as_ref()].into_iter().flatten().any(|t| t.contains(&own));
        d.kind == DeathKind::ConfigError && (d.line == Some(number) || says)
    };
    if own.is_empty() || !c.deaths.first().is_some_and(blames) {
        return Err(NoPlan::Advice(None));
    }
    let fault = ConfigFault {
        file: at.path.clone(),
        line: Some(number),
        directive: error.directive.as_deref().map(str::to_owned),
        says: error.says.clone(),
    };
    repair::line(draft, &fault)?;
    let left = draft.edits.of(&at.path)?.to_bytes();
    let password = read(c, &left).map(|loaded| has_password(&loaded));
    container::open_to_the_world(draft, &meant, password)?;
    let gate = gate(draft, &at);
    let edits = std::mem::take(&mut draft.edits).actions()?;
    if containers::loops(draft.case, c) {
        // It serves nobody now; once it does, an undo asks.
        draft.first.push(container::action(draft, &meant, ContainerVerb::RestartAfterUndo, Some(gate))?);
        draft.first.extend(edits);
        draft.first.push(container::action(draft, &meant, ContainerVerb::Restart, None)?);
    } else {
        draft.first.extend(edits);
        draft.first.push(container::action(draft, &meant, ContainerVerb::Start, Some(gate))?);
    }
    draft.plan.noticed_by.push("clients: the server starts".to_owned());
    draft.plan.advice.extend(container::by_compose(draft.case, c));
    Ok(())
}

/// TCP was switched off in the file: the port that the engine leads to is switched on, not without a password. The running
/// server is asked at its unix socket.
fn port(draft: &mut Draft<'_>, meant: Meant<'_>) -> Result<(), NoPlan> {
    let at = mounted(draft, meant)?;
    not_in_the_command(&at, "port")?;
    not_in_the_command(&at, "unixsocket")?;
    let (gate, standing) = asked(draft, &at)?;
    let mut anew = password(draft, &at, &gate)?;
    // CONFIG SET port is taken since Redis 7.0.
    anew |= !told(draft, &at, &gate, "port", &[&meant.port.to_string()], version(&standing) >= (7, 0))?;
    carry_out(draft, &at, &gate, anew.then_some(&standing))
}

/// The file, where it is surely the one that the container's server reads.
fn mounted<'a>(draft: &Draft<'_>, meant: Meant<'a>) -> Result<Mounted<'a>, NoPlan> {
    let c = meant.container;
    let name = containers::named(c);
    let refused = |says: String| Err(NoPlan::Refused(says));
    let engine = containers::all(draft.case).ok_or(NoPlan::Advice(None))?;
    if engine.asleep {
        return Err(NoPlan::Advice(None));
    }
    let mode = c.network_mode.as_str();
    if matches!(mode, "host" | "none") || mode.starts_with("container:") {
        return refused(format!(
            "{name} has no network of its own ({mode}): change its configuration by hand, and restart it"
        ));
    }
    let file = c.config.as_ref();
    let Some((file, path)) = file.and_then(|f| Some((f, f.host.clone()?))) else {
        let what = file.map(|f| f.inside.as_str()).filter(|inside| !inside.is_empty());
        let place = what.map_or_else(
            || "in its command or image".to_owned(),
            |inside| format!("in {inside}, which is no mounted file of this host"),
        );
        return refused(format!(
            "Redis runs in {name}, and its configuration is {place}: change its image or command, and make it anew"
        ));
    };
    let mount = c.mount_of(&file.inside).ok_or(NoPlan::Advice(None))?;
    let alone = mount.inside == file.inside;
    // A link within the mount leads to a place of the container, and here to another file.
    let rest = file.inside.strip_prefix(mount.inside.as_str()).unwrap_or_default().trim_start_matches('/');
    let source = sys::canonical(&mount.source);
    let straight = source.map(|s| if alone { s } else { s.join(rest) });
    if straight.is_none() || straight != sys::canonical(&path) {
        return refused(format!("{path} is not there, or a symbolic link, which leads elsewhere in {name}"));
    }
    // One that dies again and again is not there long enough to be compared: its log names the line.
    if let Some(pid) = c.pid.filter(|_| containers::down(draft.case).is_none()) {
        let id = |path: &str| sys::stat(path).map(|m| (m.dev(), m.ino()));
        match (id(&path), id(&format!("/proc/{pid}/root{}", file.inside))) {
            (Ok(here), Ok(there)) if here == there || alone => {}
            (Ok(_), Ok(_)) => {
                return refused(format!("{path} is another file than {} of {name}", file.inside));
            }
            (Err(e), _) | (_, Err(e)) => {
                let why = sys::errno_name(&e);
                return refused(format!("{path} cannot be compared with {} of {name}: {why}", file.inside));
            }
        }
    }
    let bytes = sys::read(&path, sys::FILE_MAX)
        .map_err(|e| NoPlan::Refused(format!("cannot read {path}: {}", sys::errno_name(&e))))?;
    if !Document::parse(&bytes).find("include").is_empty() {
        return refused(format!(
            "{path} includes other files, whose place is told within {name}: edit by hand"
        ));
    }
    let loaded = read(c, &bytes).ok_or(NoPlan::Advice(None))?;
    Ok(Mounted { meant, path, loaded, alone })
}

/// The file as the container's server would take it; of which release that is, the image's tag tells at best.
fn read(c: &Container, bytes: &[u8]) -> Option<Loaded> {
    const PATH: &str = "/redis.conf";
    let (image, tag) = c.image.rsplit_once(':').unwrap_or((&c.image, ""));
    let fork = if image.contains("valkey") { "valkey " } else { "" };
    let release = Release::parse(&format!("{fork}{tag}")).unwrap_or(Release::NEWEST);
    redis_conf::load(&Start::file(release, PATH).in_dir("/data"), &InMemory::one(PATH, bytes)).ok()
}

fn in_command(c: &Container, directive: &str) -> bool {
    // `sh -c` has its words in one.
    let mut words = c.command.iter().flat_map(|w| w.split_whitespace());
    words.any(|w| w.strip_prefix("--").is_some_and(|name| name.eq_ignore_ascii_case(directive)))
}

/// What stands in the command wins over the file.
fn not_in_the_command(at: &Mounted<'_>, directive: &str) -> Result<(), NoPlan> {
    let c = at.meant.container;
    if !in_command(c, directive) {
        return Ok(());
    }
    Err(NoPlan::Refused(format!(
        "{directive} is set in the command of {}, which wins over {}: change it there, and make it anew",
        containers::named(c),
        at.path
    )))
}

fn has_password(loaded: &Loaded) -> bool {
    loaded.get("requirepass").is_some_and(redis_conf::Setting::is_set)
}

fn door(draft: &Draft<'_>, meant: &Meant<'_>) -> Door {
    Door::Container {
        socket: containers::all(draft.case).map(|all| all.socket.clone()).unwrap_or_default(),
        id: meant.container.id.clone(),
        engine: containers::engine(draft.case).to_owned(),
        name: meant.container.name.clone(),
        port: meant.port,
        unix: None,
    }
}

/// How the server in it is asked, also after the fix.
pub(super) fn gate_of(draft: &Draft<'_>, meant: &Meant<'_>) -> Gate {
    Gate {
        door: door(draft, meant),
        file: meant.container.config.as_ref().and_then(|f| f.host.clone()),
        save: None,
        login: draft.wish.login.clone(),
    }
}

fn gate(draft: &Draft<'_>, at: &Mounted<'_>) -> Gate {
    let mut gate = Gate { save: Some(at.loaded.text("save")), ..gate_of(draft, &at.meant) };
    let path = at.loaded.text("unixsocket");
    if let Door::Container { unix, .. } = &mut gate.door
        && at.loaded.text("port") == "0"
        && path.starts_with('/')
    {
        *unix = Some(path);
    }
    gate
}

fn asked(draft: &Draft<'_>, at: &Mounted<'_>) -> Result<(Gate, Standing), NoPlan> {
    let gate = gate(draft, at);
    let standing = gate.ask().map_err(|f| {
        let name = containers::named(at.meant.container);
        NoPlan::Refused(format!("the server in {name} cannot be asked: {}", f.says))
    })?;
    Ok((gate, standing))
}

fn version(standing: &Standing) -> (u32, u32) {
    let mut parts = standing
        .info
        .get("redis_version")
        .map_or("", String::as_str)
        .split('.')
        .map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Sets a directive in the file, and in the running server. False where that does not take it.
fn told(
    draft: &mut Draft<'_>,
    at: &Mounted<'_>,
    gate: &Gate,
    directive: &str,
    words: &[&str],
    can: bool,
) -> Result<bool, NoPlan> {
    let value = words.join(" ");
    let bytes: Vec<&[u8]> = words.iter().map(|w| w.as_bytes()).collect();
    draft.edits.of(&at.path)?.set(directive, &bytes);
    draft.edits.says(&at.path, format!("{directive} {value}"));
    let set = ConfigSet { value: Some(value), ..setting(gate, &at.path, directive) };
    let can = can && takes(&set);
    draft.running.extend(can.then_some(Action::ConfigSet(set)));
    Ok(can)
}

fn setting(gate: &Gate, path: &str, directive: &str) -> ConfigSet {
    ConfigSet {
        door: gate.door.clone(),
        directive: directive.to_owned(),
        value: None,
        secret: None,
        is_secret: false,
        file: Some(path.to_owned()),
        login: gate.login.clone(),
    }
}

/// CONFIG is there, and for us.
fn takes(set: &ConfigSet) -> bool {
    use crate::apply::Change as _;
    config_command(set.file.as_deref()).is_some() && set.observe().is_ok()
}

/// Sees to a password. True where the server has to be started anew to ask for it.
fn password(draft: &mut Draft<'_>, at: &Mounted<'_>, gate: &Gate) -> Result<bool, NoPlan> {
    let c = at.meant.container;
    let open = gate.lets_strangers_in().map_err(|f| NoPlan::Refused(f.says))?;
    let of_default = at.loaded.users.iter().any(|u| u.name == b"default");
    if !open {
        // By whatever way, it asks for one.
        return Ok(false);
    }
    not_in_the_command(at, "requirepass")?;
    not_in_the_command(at, "aclfile")?;
    if has_password(&at.loaded) && !of_default {
        // The process is older than its file.
        return Ok(true);
    }
    if c.config.as_ref().is_none_or(|f| f.unread.is_some()) {
        return Err(NoPlan::Refused(
            "whether the server has a password cannot be seen: run as root".to_owned(),
        ));
    }
    let aclfile = at.loaded.text("aclfile");
    let user = config::default_user_in(Some(&aclfile), [at.path.as_str()])?;
    let secret = config::new_password(draft, &at.path, user)?;
    let set = ConfigSet { is_secret: true, ..setting(gate, &at.path, "requirepass") };
    let can = takes(&set);
    let set = ConfigSet { secret: Some(secret), ..set };
    draft.running.extend(can.then_some(Action::ConfigSet(set)));
    Ok(!can)
}

/// Edits, and then either the running server is told, or its container restarted: `anew` is how it stands.
fn carry_out(
    draft: &mut Draft<'_>,
    at: &Mounted<'_>,
    gate: &Gate,
    anew: Option<&Standing>,
) -> Result<(), NoPlan> {
    let c = at.meant.container;
    let edits = std::mem::take(&mut draft.edits);
    let running = std::mem::take(&mut draft.running);
    draft.plan.guarded = true;
    let Some(standing) = anew else {
        if at.alone && !edits.files.is_empty() {
            draft.plan.advice.push(format!(
                "{} is mounted alone: {} goes on seeing the old file until its next start, and takes the new one then; \
                 CONFIG REWRITE in it writes neither",
                at.path, c.name
            ));
        }
        draft.first.extend(edits.actions()?);
        draft.first.extend(running);
        return Ok(());
    };
    if let Some(error) = at.loaded.errors.first() {
        return Err(NoPlan::Refused(format!("a restart would fail: {} says `{}`", at.path, error.says)));
    }
    let gate = may_restart(draft, at, standing)?.then(|| gate.clone());
    let edits = edits.actions()?;
    draft.first.push(container::action(draft, &at.meant, ContainerVerb::RestartAfterUndo, gate.clone())?);
    draft.first.extend(edits);
    draft.first.push(container::action(draft, &at.meant, ContainerVerb::Restart, gate)?);
    draft.plan.noticed_by.push("clients: the server restarts".to_owned());
    draft.plan.advice.extend(container::by_compose(draft.case, c));
    Ok(())
}

/// Whether the server has to be asked once more before the restart; refused where that would lose something.
fn may_restart(draft: &Draft<'_>, at: &Mounted<'_>, standing: &Standing) -> Result<bool, NoPlan> {
    if draft.wish.force {
        return Ok(false);
    }
    let c = at.meant.container;
    let refuse = |reason: &str| {
        Err(NoPlan::Refused(format!("no restart now: {reason}; `--force` restarts all the same")))
    };
    if let Some(against) = standing.against() {
        return refuse(&against.to_string());
    }
    if !standing.holds_keys() {
        return Ok(true);
    }
    let processes = draft.case.server.process.get().map_or(&[][..], Vec::as_slice);
    let own = processes.iter().find(|p| p.container.as_deref() == Some(c.id.as_str())).map(|p| p.pid);
    // Redis works in the folder of its data.
    let folder = own.or(c.pid).map(|pid| format!("/proc/{pid}/cwd"));
    match folder.as_deref().and_then(sys::is_in_memory) {
        Some(false) => {}
        Some(true) => {
            return refuse("its data are on a file system in memory, which ends with the container");
        }
        None => return refuse("where its data are cannot be seen"),
    }
    if folder.as_ref().and_then(sys::room).is_none_or(|(.., read_only)| read_only) {
        return refuse("it cannot write its folder");
    }
    let unsaved = standing.info.get("rdb_changes_since_last_save").is_some_and(|n| n != "0");
    let appends = standing.info.get("aof_enabled").is_some_and(|on| on == "1");
    if unsaved && !appends {
        return refuse(
            "there is unsaved data, and whether it is given the time to save at the stop is not known: \
             save it first with redis-cli BGSAVE",
        );
    }
    let file = at.loaded.text("appendonly");
    if !in_command(c, "appendonly") && (file == "yes") != appends {
        return refuse(&format!("{} says `appendonly {file}`, and it runs otherwise", at.path));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{in_command, read};
    use crate::evidence::containers::{Container, Mount};

    fn container(image: &str, command: &[&str]) -> Container {
        Container {
            image: image.to_owned(),
            command: command.iter().map(|w| (*w).to_owned()).collect(),
            ..Container::default()
        }
    }

    #[test]
    fn a_directive_of_the_command() {
        let c = container("redis:8", &["redis-server", "/etc/redis.conf", "--bind", "127.0.0.1"]);
        assert!(in_command(&c, "bind") && !in_command(&c, "port"));
        let c = container("redis:8", &["sh", "-c", "exec redis-server /r.conf --PORT 7000"]);
        assert!(in_command(&c, "port") && !in_command(&c, "r.conf"));
    }

    #[test]
    fn read_as_the_images_release_reads_it() {
        let errors = |image: &str| {
            let loaded = read(&container(image, &[]), b"io-threads-do-reads maybe\n").expect("read");
            loaded.errors.len()
        };
        // Deprecated and ignored since Redis 8.
        assert_eq!(errors("redis:7.2"), 1);
        assert_eq!(errors("registry:5000/redis:latest"), errors("redis:8"));
    }

    #[test]
    fn the_nearest_mount_brings_a_file() {
        let mount = |source: &str, inside: &str, kind: &str| Mount {
            source: source.to_owned(),
            inside: inside.to_owned(),
            kind: kind.to_owned(),
            writable: true,
        };
        let c = Container {
            mounts: vec![
                mount("/srv/etc", "/etc", "bind"),
                mount("conf", "/etc/redis", "volume"),
                mount("/srv/a.conf", "/etc/redis/a.conf", "bind"),
            ],
            ..Container::default()
        };
        let of = |path: &str| c.mount_of(path).map(|m| m.source.as_str());
        assert_eq!(of("/etc/redis/a.conf"), Some("/srv/a.conf"));
        assert_eq!(of("/etc/redis/b.conf"), Some("conf"));
        assert_eq!(of("/etc/redis.conf"), Some("/srv/etc"));
        assert_eq!(of("/data/x"), None);
    }
}
