//! The commands of service managers that are not systemd: how a program stands, and what is done to it.

use crate::evidence::managed::{Manager, Standing};
use crate::text;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

/// `supervisorctl` is a Python program: its start alone takes a fifth of a second.
const ASK: Duration = Duration::from_millis(3000);
/// Both wait until the program has ended, or has run for a second.
const VERB: Duration = Duration::from_secs(60);
/// How long `sv` waits for what it asked for, in seconds (sv(8), -w); its own default is 7.
const WAIT: &str = "30";

/// A script is short.
const SCRIPT_MAX: usize = 64 << 10;

/// How a program stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The name that the command takes.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// In the manager's words, bounded and escaped.
    pub says: String,
    /// Process id, while it runs.
    pub pid: Option<u32>,
}

/// Every program of the supervisord behind that socket, by its XML-RPC API (supervisor/rpcinterface.py, 4.2); none where
/// it wants a password or does not answer. An error is a sentence: its command would not be let in either.
pub fn supervisord_at(socket: &str) -> Option<Result<Vec<State>, String>> {
    const ASKED: &str =
        "<?xml version='1.0'?><methodCall><methodName>supervisor.getAllProcessInfo</methodName></methodCall>";
    let deadline = super::now() + Duration::from_millis(1500);
    let path = std::path::Path::new(socket);
    let answer = match super::local_http::post_xml(path, "/RPC2", ASKED, deadline, 1 << 20) {
        Ok(answer) => answer,
        Err(why @ crate::evidence::Why::NotPermitted { .. }) => {
            return Some(Err(format!("supervisord's socket: {why}")));
        }
        Err(_) => return None,
    };
    let text = String::from_utf8_lossy(&answer.body);
    (answer.status == 200 && text.contains("<methodResponse>") && !text.contains("<fault>"))
        .then(|| Ok(text.split("<struct>").skip(1).filter_map(process_info).collect()))
}

/// One process: a structure of names and values, none of them nested.
fn process_info(xml: &str) -> Option<State> {
    let value = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<name>{name}</name>"))?;
        let (_, rest) = rest.split_once("<value>")?;
        let (inner, _) = rest.split_once("</value>")?;
        let inner = inner.trim();
        // `<string>x</string>`, `<int>7</int>`.
        let text = inner.split_once('>').and_then(|(_, r)| r.rsplit_once("</")).map_or(inner, |(t, _)| t);
        Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    };
    let (group, own) = (value("group")?, value("name")?);
    let name = if group == own { own } else { format!("{group}:{own}") };
    // The line that `supervisorctl status` makes of it.
    line(&format!("{name} {} {}", value("statename")?, value("description").unwrap_or_default()))
}

/// Every program of a supervisord, by its own command. An error is a sentence.
pub fn supervisord(config: &str) -> Result<Vec<State>, String> {
    let (code, out) = run("supervisorctl", &["-c", config, "status"], ASK)?;
    match code {
        // 3: some program does not run (supervisor/supervisorctl.py, LSBStatusExitStatuses).
        Some(0 | 3) => Ok(out.lines().filter_map(line).collect()),
        // Its socket is root's unless `chmod` or `chown` of [unix_http_server] says otherwise.
        _ if out.contains("PermissionError") => {
            Err("supervisorctl status: not permitted, needs root (to use its socket)".to_owned())
        }
        _ => Err(format!("supervisorctl status: {}", text::shown_str(out.trim(), 200))),
    }
}

/// `all:cache    STOPPED   Nov 26 01:02 PM`.
fn line(line: &str) -> Option<State> {
    let (name, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim();
    let (state, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    // supervisor/states.py, ProcessStates.
    let standing = match state {
        "RUNNING" => Standing::Up,
        "STOPPED" | "EXITED" => Standing::Down,
        "FATAL" => Standing::GivenUp,
        "STARTING" | "BACKOFF" | "STOPPING" => Standing::Moving,
        "UNKNOWN" => Standing::Unknown,
        _ => return None,
    };
    let pid = rest.strip_prefix("pid ").and_then(|r| r.split(',').next()?.trim().parse().ok());
    let says = text::shown_str(format!("{state} {rest}").trim(), 200);
    Some(State { name: name.to_owned(), standing, says, pid })
}

/// A service of runit: `supervise/stat` has `run`, `down` or `finish` and what is wanted besides, `supervise/pid` the
/// process (runsv(8)).
pub fn runit(folder: &str, name: &str) -> State {
    let supervise = format!("{folder}/{name}/supervise");
    let name = name.to_owned();
    let says = match super::read_text(format!("{supervise}/stat"), 200) {
        Ok(stat) => text::shown_str(stat.trim(), 100),
        Err(_) => {
            let gone = super::lstat(&supervise).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
            let standing = if gone { Standing::Unlisted } else { Standing::Unknown };
            return State { name, standing, ..State::default() };
        }
    };
    let standing = match says.as_str() {
        says if says.starts_with("run") => Standing::Up,
        "down" => Standing::Down,
        // Wanted up: it dies and is started again each second.
        _ => Standing::Moving,
    };
    let pid = super::read_text(format!("{supervise}/pid"), 20).ok();
    State { name, standing, says, pid: pid.and_then(|p| p.trim().parse().ok()) }
}

/// What an init script started, by the file that its process notes its number in.
pub fn init_script(folder: &str, name: &str) -> State {
    let script = super::read_text(format!("{folder}/{name}"), SCRIPT_MAX).unwrap_or_default();
    let values = assignments(&script);
    let name = name.to_owned();
    let Some(path) = values.get("PIDFILE").filter(|path| path.starts_with('/')) else {
        return State { name, ..State::default() };
    };
    let pid = super::read_text(path, 20).ok().and_then(|p| p.trim().parse::<u32>().ok());
    let comm = pid.and_then(|pid| super::read_text(format!("/proc/{pid}/comm"), 64).ok());
    // A number that was left behind may be another process's by now.
    let server = |comm: &String| ["redis", "valkey", "keydb"].iter().any(|known| comm.starts_with(known));
    match pid.zip(comm.filter(server)) {
        Some((pid, _)) => State { name, standing: Standing::Up, says: format!("pid {pid}"), pid: Some(pid) },
        None => State { name, standing: Standing::Down, says: format!("no process of {path}"), pid: None },
    }
}

/// `NAME=value` lines, with the names before them put in.
pub fn assignments(script: &str) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for line in script.lines() {
        let Some((name, value)) = line.trim().split_once('=') else { continue };
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let computed = value.contains(['`', '(']);
        if !plain || computed {
            continue;
        }
        let mut value = shlex::split(value).and_then(|w| w.into_iter().next()).unwrap_or_default();
        for (known, with) in values.iter().rev() {
            value = value.replace(&format!("${{{known}}}"), with).replace(&format!("${known}"), with);
        }
        values.insert(name.to_owned(), text::shown_str(&value, 500));
    }
    values
}

/// How one program stands now.
pub fn state(manager: Manager, config: &str, name: &str) -> Result<State, String> {
    match manager {
        Manager::Runit => Ok(runit(config, name)),
        Manager::InitScript => Ok(init_script(config, name)),
        Manager::Supervisord => supervisord(config)?
            .into_iter()
            .find(|state| state.name == name)
            .ok_or_else(|| format!("supervisord has no program {name}")),
    }
}

/// `start`, `stop` or `restart`: waits until it is done. An error is a sentence.
pub fn act(manager: Manager, config: &str, name: &str, verb: &str) -> Result<(), String> {
    let service = format!("{config}/{name}");
    let (tool, words) = match manager {
        Manager::Supervisord => ("supervisorctl", vec!["-c", config, verb, name]),
        Manager::Runit => ("sv", vec!["-w", WAIT, verb, &service]),
        Manager::InitScript => (service.as_str(), vec![verb]),
    };
    if manager == Manager::InitScript
        && let Some(why) = others_may_write(&service)
    {
        return Err(why);
    }
    let (code, out) = run(tool, &words, VERB)?;
    // Older supervisorctl exits with 0 whatever became of it (before 4.0): its line tells.
    let failed = code != Some(0) || out.contains(": ERROR (");
    if failed { Err(format!("{tool} {verb} {name}: {}", text::shown_str(out.trim(), 300))) } else { Ok(()) }
}

/// A file that somebody else than root or the own user could have written, as a sentence: not to be run.
pub fn others_may_write(path: &str) -> Option<String> {
    let own = nix::unistd::geteuid().as_raw();
    let foreign = |m: std::fs::Metadata| (m.uid() != 0 && m.uid() != own) || m.mode() & 0o022 != 0;
    super::stat(path)
        .map_or(true, foreign)
        .then(|| format!("{path} may be changed by others: it is not run as root"))
}

/// Exit code, and both outputs.
fn run(tool: &str, words: &[&str], limit: Duration) -> Result<(Option<i32>, String), String> {
    let program = match tool.starts_with('/') {
        true => Some(std::path::PathBuf::from(tool)),
        false => super::program(tool),
    };
    let program = program.ok_or_else(|| format!("the command {tool} is not here"))?;
    let program = program.to_string_lossy();
    let argv: Vec<&str> = std::iter::once(&*program).chain(words.iter().copied()).collect();
    let output = super::run(&argv, limit, 64 << 10).map_err(|why| format!("{tool}: {why}"))?;
    let both = [output.stdout, output.stderr].concat();
    Ok((output.code, String::from_utf8_lossy(&both).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Standing, line, process_info};

    #[test]
    fn what_the_api_tells() {
        let member = |name: &str, value: &str| {
            format!("<member>\n<name>{name}</name>\n<value>{value}</value>\n</member>\n")
        };
        let all = ["description", "pid", "group", "statename", "name"]
            .into_iter()
            .zip([
                "<string>pid 812, uptime 0:00:10</string>",
                "<int>812</int>",
                "<string>a&amp;b</string>",
                "<string>RUNNING</string>",
                "<string>cache</string>",
            ])
            .map(|(name, value)| member(name, value))
            .collect::<String>();
        let state = process_info(&all).unwrap();
        assert_eq!((state.name.as_str(), state.standing, state.pid), ("a&b:cache", Standing::Up, Some(812)));
        for cut in 0..all.len() {
            drop(process_info(&all[..cut]));
        }
    }

    #[test]
    fn lines_of_the_status() {
        let down = line("all:cache                        STOPPED   Nov 26 01:02 PM").unwrap();
        assert_eq!((down.name.as_str(), down.standing, down.pid), ("all:cache", Standing::Down, None));
        let up = line("s:s_00    RUNNING   pid 812, uptime 0:00:10").unwrap();
        assert_eq!((up.standing, up.pid), (Standing::Up, Some(812)));
        let lost = line("x  FATAL     Exited too quickly (process log may have details)").unwrap();
        assert_eq!((lost.standing, lost.says.split(' ').next()), (Standing::GivenUp, Some("FATAL")));
        assert!(line("x: ERROR (no such process)").is_none() && line("").is_none());
    }
}
