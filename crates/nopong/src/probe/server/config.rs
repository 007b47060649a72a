//! The configuration of each instance: the file really used, what the server makes of it, and where the running one
//! differs.
//!
//! A secret is kept as `set` or as an empty text, whatever it is.

use super::machine::Machine;
use crate::evidence::client::Talk;
use crate::evidence::managed::{Managed, Standing};
use crate::evidence::server::{
    Address, Config, ConfigFault, Listeners, Process, Program, Setting, Unit, Units, Unreadable,
};
use crate::evidence::{Ask, redact};
use crate::sys;
use crate::text;
use redis_conf::{Loaded, Origin, OsError, Release, Start, Value};
use std::path::{Path, PathBuf};

/// Instances looked at; more on one host than this are not the target's.
const INSTANCES_MAX: usize = 16;
/// Faults handed on.
const FAULTS_MAX: usize = 20;

/// Where packages put the file: Debian, RHEL and Fedora, source, install_server.sh, SUSE.
const PLACES: &[(&str, Program)] = &[
    ("/etc/redis/redis.conf", Program::Redis),
    ("/etc/redis.conf", Program::Redis),
    ("/etc/redis/6379.conf", Program::Redis),
    ("/etc/redis-stack.conf", Program::Redis),
    ("/usr/local/etc/redis/redis.conf", Program::Redis),
    ("/usr/local/etc/redis.conf", Program::Redis),
    ("/etc/valkey/valkey.conf", Program::Valkey),
    ("/etc/valkey.conf", Program::Valkey),
    ("/etc/valkey/default.conf", Program::Valkey),
    ("/usr/local/etc/valkey/valkey.conf", Program::Valkey),
    ("/etc/keydb/keydb.conf", Program::Keydb),
    ("/etc/keydb.conf", Program::Keydb),
];

/// What is known already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) ask: &'a Ask,
    pub(super) processes: &'a [Process],
    pub(super) units: Option<&'a Units>,
    /// Programs of other service managers.
    pub(super) managed: &'a [Managed],
    pub(super) listeners: Option<&'a Listeners>,
    pub(super) addresses: &'a [Address],
    pub(super) talks: &'a [Talk],
    /// Path of a program and its `--version`.
    pub(super) versions: &'a [(String, String)],
}

/// One instance: how it is, or would be, started.
struct Instance<'a> {
    process: Option<&'a Process>,
    unit: Option<&'a Unit>,
    managed: Option<&'a Managed>,
    argv: Vec<String>,
    cwd: PathBuf,
    found_by: String,
    program: Program,
}

/// Looks at every instance, the target's first.
pub(super) fn look(known: &Known<'_>) -> Vec<Config> {
    let mut configs: Vec<_> = instances(known)
        .into_iter()
        .take(INSTANCES_MAX)
        .map(|instance| {
            let config = read(known, &instance);
            // Among equals the one that should run: a second package may have brought a unit that nobody uses.
            // A manager that knows its program is meant to run it, as a unit that is enabled is.
            let known_to_run = instance
                .managed
                .is_some_and(|m| matches!(m.standing, Standing::Down | Standing::GivenUp | Standing::Moving));
            let merit = instance.unit.map_or((true, !known_to_run, true, true), Unit::merit);
            ((rank(known, &instance, &config), merit), config)
        })
        .collect();
    configs.sort_by_key(|(key, _)| *key);
    configs.into_iter().map(|(_, config)| config).collect()
}

/// The target's instance sorts first: its process holds the port or socket, or its file names it.
fn rank(known: &Known<'_>, instance: &Instance<'_>, config: &Config) -> u8 {
    let listeners = known.listeners;
    let holds = instance.process.is_some_and(|p| {
        listeners.is_some_and(|l| match &known.ask.unix {
            Some(path) => l.unix.iter().any(|u| &u.path == path && u.pids.contains(&p.pid)),
            None => l.tcp.iter().any(|t| t.at.port() == known.ask.port && t.pids.contains(&p.pid)),
        })
    });
    let names = match &known.ask.unix {
        Some(path) => config.value("unixsocket") == Some(path),
        None => {
            let port = known.ask.port.to_string();
            config.value("port") == Some(&port) || config.value("tls-port") == Some(&port)
        }
    };
    // A process that serves something else and tells nothing of itself is not the one that is missing.
    let other = instance.process.is_some()
        && config.settings.is_empty()
        && listeners.is_some_and(|l| {
            l.tcp.iter().any(|t| instance.process.is_some_and(|p| t.pids.contains(&p.pid)))
                || instance.process.is_some_and(|p| p.unit.is_none())
        });
    if other && !holds && !names {
        return 5;
    }
    match (holds, names, instance.process.is_some(), is_sentinel(instance)) {
        (true, ..) => 0,
        (_, true, ..) => 1,
        (_, _, true, false) => 2,
        (_, _, false, false) => 3,
        (.., true) => 4,
    }
}

fn is_sentinel(instance: &Instance<'_>) -> bool {
    instance.process.is_some_and(|p| p.sentinel)
        || instance.argv.iter().any(|w| w == "--sentinel")
        || instance.argv.first().is_some_and(|w| w.contains("-sentinel"))
}

fn instances<'a>(known: &Known<'a>) -> Vec<Instance<'a>> {
    let units: &[Unit] = known.units.map_or(&[], |u| u.units.as_slice());
    let mut found: Vec<Instance<'a>> = Vec::new();
    for process in known.processes.iter().filter(|p| p.state != 'Z') {
        let unit = units.iter().find(|u| {
            u.main_pid == process.pid || process.unit.as_deref().is_some_and(|name| u.is_called(name))
        });
        // What a supervisor's service is started with says nothing of the servers that it starts.
        let unit = unit.filter(|u| u.is_for(process));
        found.push(of_process(known, process, unit));
    }
    for managed in known.managed {
        let of_it = |i: &Instance<'_>| i.process.is_some_and(|p| Some(p.pid) == managed.pid);
        match found.iter_mut().find(|i| of_it(i)) {
            Some(instance) => {
                instance.managed = Some(managed);
                // Its title hides what it was started with; its manager has that.
                if instance.argv.is_empty() {
                    instance.argv = server_argv(&managed.argv);
                    instance.found_by = managed.called();
                }
            }
            None => found.push(of_managed(managed)),
        }
    }
    for unit in units {
        let taken = found.iter().any(|i| i.unit.is_some_and(|u| u.name == unit.name));
        if !taken && !unit.exec_start.is_empty() {
            found.push(of_unit(unit));
        }
    }
    // A mask hides what the unit would start: its file is then the one of the package.
    for unit in units.iter().filter(|u| u.load_state == "masked" && !u.name.contains("sentinel")) {
        let named = |program: &Program| match program {
            Program::Valkey => unit.name.contains("valkey"),
            Program::Keydb => unit.name.contains("keydb"),
            Program::Redis | Program::Other => unit.name.contains("redis"),
        };
        let taken = found.iter().any(|i| i.unit.is_some_and(|u| u.name == unit.name));
        if let Some((path, program)) =
            PLACES.iter().find(|(path, program)| !taken && named(program) && present(path))
        {
            found.push(Instance {
                process: None,
                unit: None,
                managed: None,
                argv: vec!["redis-server".to_owned(), (*path).to_owned()],
                cwd: PathBuf::from("/"),
                found_by: unit.name.clone(),
                program: *program,
            });
        }
    }
    // A file that nobody starts is still what its owner edits; it comes last, and only where there is nothing else.
    if found.iter().all(is_sentinel)
        && let Some((path, program)) = PLACES.iter().find(|(path, _)| present(path))
    {
        found.push(Instance {
            process: None,
            unit: None,
            managed: None,
            argv: vec!["redis-server".to_owned(), (*path).to_owned()],
            cwd: PathBuf::from("/"),
            found_by: "usual place".to_owned(),
            program: *program,
        });
    }
    found
}

/// There, or hidden from us by a directory that may not be entered.
fn present(path: &str) -> bool {
    match sys::stat(path) {
        Ok(found) => found.is_file(),
        Err(e) => e.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

fn program_in(argv: &[String]) -> Program {
    match argv.iter().any(|w| w.contains("valkey")) {
        true => Program::Valkey,
        false if argv.iter().any(|w| w.contains("keydb")) => Program::Keydb,
        false => Program::Redis,
    }
}

fn of_managed(managed: &Managed) -> Instance<'_> {
    Instance {
        process: None,
        unit: None,
        managed: Some(managed),
        argv: server_argv(&managed.argv),
        cwd: PathBuf::from(managed.cwd.as_deref().filter(|d| d.starts_with('/')).unwrap_or("/")),
        found_by: managed.called(),
        program: program_in(&managed.argv),
    }
}

fn of_unit(unit: &Unit) -> Instance<'_> {
    let program = program_in(&unit.exec_start);
    Instance {
        process: None,
        unit: Some(unit),
        managed: None,
        argv: server_argv(&unit.exec_start),
        cwd: working_directory(unit),
        found_by: unit.name.clone(),
        program,
    }
}

fn working_directory(unit: &Unit) -> PathBuf {
    let dir = unit.sandbox.get("WorkingDirectory").map(|d| d.trim_start_matches('-').trim_start_matches('!'));
    PathBuf::from(dir.filter(|d| d.starts_with('/')).unwrap_or("/"))
}

/// The server's own part of a command: after a wrapper (`/bin/sh -c`, `numactl`, `setpriv` …).
fn server_argv(argv: &[String]) -> Vec<String> {
    let is_server = |w: &String| {
        let name = w.rsplit('/').next().unwrap_or(w);
        [
            "redis-server",
            "valkey-server",
            "keydb-server",
            "redis-sentinel",
            "valkey-sentinel",
            "keydb-sentinel",
        ]
        .iter()
        .any(|known| name.starts_with(known))
    };
    if let Some(at) = argv.iter().position(is_server) {
        return argv.get(at..).unwrap_or_default().to_vec();
    }
    // `sh -c "exec redis-server /etc/…"`
    let inner = argv.iter().find(|w| w.contains("-server ") && w.contains(' '));
    let words: Vec<String> =
        inner.map(|w| w.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
    let at = words.iter().position(is_server).unwrap_or(words.len());
    words.get(at..).unwrap_or_default().to_vec()
}

fn of_process<'a>(known: &Known<'a>, process: &'a Process, unit: Option<&'a Unit>) -> Instance<'a> {
    let by = format!("process {}", process.pid);
    let instance = |argv: Vec<String>, cwd: PathBuf, found_by: String| Instance {
        process: Some(process),
        unit,
        managed: None,
        argv,
        cwd,
        found_by,
        program: process.program,
    };
    let titled = process.cmdline.len() < 2 || process.cmdline.first().is_some_and(|t| t.contains(' '));
    let cwd = process.cwd.clone().map_or_else(|| PathBuf::from("/"), PathBuf::from);
    if !titled {
        return instance(process.cmdline.clone(), cwd, by);
    }
    // The server overwrote its arguments; what it was started with stands in its unit, or it tells itself.
    if let Some(unit) = unit.filter(|u| !u.exec_start.is_empty()) {
        return instance(server_argv(&unit.exec_start), working_directory(unit), unit.name.clone());
    }
    let own = talk_of(known, process).and_then(|t| t.info("config_file"));
    if let Some(file) = own {
        // Without a file everything came from arguments that nobody can see any more: only its own word tells.
        let argv = match file {
            "" => Vec::new(),
            file => vec!["redis-server".to_owned(), file.to_owned()],
        };
        return instance(argv, cwd, format!("{} {}", Config::BY_ITS_WORD, process.pid));
    }
    instance(Vec::new(), cwd, by)
}

/// The conversation held with this very process.
fn talk_of<'a>(known: &Known<'a>, process: &Process) -> Option<&'a Talk> {
    known.talks.iter().find(|t| t.info("process_id").and_then(|p| p.parse().ok()) == Some(process.pid))
}

fn release(known: &Known<'_>, instance: &Instance<'_>) -> Release {
    let told = instance.process.and_then(|p| talk_of(known, p)).and_then(|t| {
        let valkey = t.info("valkey_version").map(|v| format!("valkey {v}"));
        valkey.or_else(|| t.info("redis_version").map(str::to_owned))
    });
    let program = instance.argv.first().map_or("", String::as_str);
    let exe = instance.process.and_then(|p| p.exe.as_deref()).unwrap_or(program);
    let installed = || {
        let same = |(path, _): &&(String, String)| path == exe || path == program;
        let kind =
            |(path, _): &&(String, String)| path.contains("valkey") == (instance.program == Program::Valkey);
        known.versions.iter().find(same).or_else(|| known.versions.iter().find(kind)).map(|(_, v)| v.clone())
    };
    let fork = if instance.program == Program::Valkey { "valkey " } else { "" };
    told.or_else(|| installed().map(|v| format!("{fork}{v}")))
        .and_then(|v| Release::parse(&v))
        .or_else(|| (instance.program == Program::Valkey).then_some(Release::Valkey81))
        .unwrap_or(Release::NEWEST)
}

fn read(known: &Known<'_>, instance: &Instance<'_>) -> Config {
    let mut config = Config {
        found_by: instance.found_by.clone(),
        pid: instance.process.map(|p| p.pid),
        unit: instance.unit.map(|u| u.name.clone()),
        managed: instance.managed.map(|m| m.name.clone()),
        ..Config::default()
    };
    let talk = instance.process.and_then(|p| talk_of(known, p));
    // A container has files of its own: a path of its command line means another file here.
    let elsewhere = instance.process.is_some_and(|p| p.container.is_some());
    if !instance.argv.is_empty() && !elsewhere {
        let argv: Vec<Vec<u8>> = instance
            .argv
            .iter()
            // A masked password must still read as one, in `requirepass` as in a `user` rule.
            .map(|w| if w == redact::MASK { b">set".to_vec() } else { w.clone().into_bytes() })
            .collect();
        let start = Start::command_line(release(known, instance), &instance.cwd, &argv);
        config.file = start.file.as_ref().map(|f| instance.cwd.join(f).to_string_lossy().into_owned());
        let machine = Machine::new(instance.process, instance.unit, known.addresses);
        match redis_conf::load(&start, &machine) {
            Ok(loaded) => fill(&mut config, &loaded),
            Err(error) => {
                config.unreadable =
                    config.file.clone().map(|path| Unreadable { path, errno: name_of(error) });
            }
        }
    }
    if let Some(talk) = talk {
        compare(&mut config, talk);
    }
    config
}

fn name_of(error: OsError) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(error.0))
}

fn shown(path: &Path) -> String {
    text::shown_str(&path.to_string_lossy(), 500)
}

fn fill(config: &mut Config, loaded: &Loaded) {
    for (name, setting) in loaded.effective() {
        let value = match &setting.value {
            Value::Text(bytes) => text::shown(bytes, 1000),
            Value::Secret(secret) if secret.is_empty() => String::new(),
            Value::Secret(_) => "set".to_owned(),
        };
        let (file, line) = match &setting.origin {
            Origin::Default => ("default".to_owned(), None),
            Origin::File { path, line } => (shown(path), Some(*line)),
            Origin::Argv => ("command line".to_owned(), None),
        };
        config.settings.insert(name.to_owned(), Setting { value, file, line });
    }
    let fault = |p: &redis_conf::Problem| ConfigFault {
        file: match &p.origin {
            Origin::File { path, .. } => shown(path),
            Origin::Argv => "command line".to_owned(),
            Origin::Default => config.file.clone().unwrap_or_default(),
        },
        line: p.line(),
        directive: p.directive.as_deref().map(|d| text::shown_str(d, 100)),
        says: text::shown_str(&redact::line(&p.says), 500),
    };
    config.errors = loaded.errors.iter().take(FAULTS_MAX).map(fault).collect();
    config.warnings = loaded.warnings.iter().take(FAULTS_MAX).map(fault).collect();
    config.modified_at = loaded
        .files
        .iter()
        .filter_map(|f| {
            use std::os::unix::fs::MetadataExt as _;
            u64::try_from(sys::stat(f).ok()?.mtime()).ok()
        })
        .max();
    config.default_user_has_password = super::default_user::has_password(loaded);
}

/// Settings that the running server tells otherwise than its file.
fn compare(config: &mut Config, talk: &Talk) {
    for (name, running) in &talk.config {
        match config.settings.get(name) {
            Some(setting) if !same(name, &setting.value, running) => {
                config.disagree.push((name.clone(), setting.value.clone(), running.clone()));
            }
            Some(_) => {}
            None => {
                let file = "running".to_owned();
                config.settings.insert(name.clone(), Setting { value: running.clone(), file, line: None });
            }
        }
    }
    if config.default_user_has_password.is_none() {
        config.default_user_has_password = talk.config("requirepass").map(|p| !p.is_empty());
    }
}

/// The same value in two spellings: `dir` is told with links resolved, lists are words.
fn same(name: &str, file: &str, running: &str) -> bool {
    if file == running || file.split_whitespace().eq(running.split_whitespace()) {
        return true;
    }
    let canonical = |path: &str| {
        use std::os::unix::fs::MetadataExt as _;
        sys::stat(path).ok().map(|m| (m.dev(), m.ino()))
    };
    name == "dir" && canonical(file).is_some() && canonical(file) == canonical(running)
}

#[cfg(test)]
mod tests {
    use super::{Known, look, same, server_argv};
    use crate::evidence::Ask;
    use crate::evidence::client::Talk;
    use crate::evidence::server::{Process, Program, Unit, Units};

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_server_within_a_command() {
        let argv = words("/usr/bin/numactl --interleave=all /usr/bin/redis-server /etc/r.conf --port 1");
        assert_eq!(server_argv(&argv), words("/usr/bin/redis-server /etc/r.conf --port 1"));
        let shell = ["/bin/sh".to_owned(), "-c".to_owned(), "exec redis-server /etc/r.conf".to_owned()];
        assert_eq!(server_argv(&shell), words("redis-server /etc/r.conf"));
        assert!(server_argv(&words("/bin/true")).is_empty());
    }

    #[test]
    fn spellings() {
        assert!(same("bind", "127.0.0.1  -::1", "127.0.0.1 -::1"));
        assert!(same("dir", "/proc/../tmp", "/tmp"));
        assert!(!same("port", "6379", "6380"));
    }

    #[test]
    fn arguments_that_a_title_hides_are_no_defaults() {
        let process = Process {
            pid: 7,
            cmdline: vec!["redis-server 127.0.0.1:6379".to_owned()],
            program: Program::Redis,
            ..Process::default()
        };
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let talk = Talk {
            info: vec![pair("process_id", "7"), pair("config_file", "")],
            config: vec![pair("bind", "127.0.0.1"), pair("requirepass", "set")],
            ..Talk::default()
        };
        let ask = Ask { port: 6379, ..Ask::default() };
        let known = Known {
            ask: &ask,
            processes: std::slice::from_ref(&process),
            units: None,
            managed: &[],
            listeners: None,
            addresses: &[],
            talks: std::slice::from_ref(&talk),
            versions: &[],
        };
        let configs = look(&known);
        let config = configs.first().expect("one");
        assert_eq!((config.file.as_deref(), config.value("bind")), (None, Some("127.0.0.1")));
        assert_eq!(config.place("bind").as_deref(), Some("running"));
        assert_eq!(config.default_user_has_password, Some(true));
        assert!(config.disagree.is_empty() && config.value("port").is_none());
    }

    #[test]
    fn a_units_file_is_read_with_its_lines_and_without_its_secrets() {
        let dir = crate::sys::TestDir::new("config");
        let file = dir.join("redis.conf");
        let included = dir.join("more.conf");
        crate::sys::write_private(&included, b"requirepass hunter2secret\nfrobnicate 1\n").expect("written");
        let text = format!("port 7001\ninclude {}\n", included.display());
        crate::sys::write_private(&file, text.as_bytes()).expect("written");
        let unit = Unit {
            name: "redis-server.service".to_owned(),
            exec_start: vec![
                "/usr/bin/redis-server".to_owned(),
                file.display().to_string(),
                "--daemonize".to_owned(),
                "no".to_owned(),
            ],
            ..Unit::default()
        };
        let units = Units { units: vec![unit], booted_at: None };
        let ask = Ask { port: 7001, ..Ask::default() };
        let versions = [("/usr/bin/redis-server".to_owned(), "7.0.15".to_owned())];
        let known = Known {
            ask: &ask,
            processes: &[],
            units: Some(&units),
            managed: &[],
            listeners: None,
            addresses: &[],
            talks: &[],
            versions: &versions,
        };
        let configs = look(&known);
        let config = configs.first().expect("one");
        assert_eq!(config.value("port"), Some("7001"));
        assert_eq!(config.place("port"), Some(format!("{}:1", file.display())));
        assert_eq!(config.value("requirepass"), Some("set"));
        assert_eq!(config.default_user_has_password, Some(true));
        let fault = config.errors.first().expect("refused");
        assert_eq!((fault.file.as_str(), fault.line), (included.display().to_string().as_str(), Some(2)));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
