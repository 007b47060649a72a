//! What the logs tell: the journal of the server's units, and the server's own file, read as one stream by time.

use crate::evidence::Why;
use crate::evidence::managed::Managed;
use crate::evidence::server::{Config, Death, Logs, Process, Units};
use crate::evidence::startup::{self, Line};
use crate::sys;
use crate::text;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

/// Limit of journalctl.
const JOURNAL: Duration = Duration::from_millis(1500);
/// Lines taken of the journal.
const JOURNAL_LINES: &str = "400";
/// Bytes taken of it.
const JOURNAL_MAX: usize = 1 << 20;
/// Bytes taken of the end of a log file.
const FILE_MAX: u64 = 96 << 10;
/// Longest line taken.
const LINE_MAX: usize = 2000;
/// Directories of log files, when no configuration names one.
const DIRS: [&str; 4] = ["/var/log/redis", "/var/log/valkey", "/var/log/keydb", "/var/log"];

/// A journal line and its unit.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    unit: String,
    line: Line,
}

/// Reads the journal of all units that may be a server, whatever their number: one run of journalctl.
pub(super) fn journal(extra: &[String]) -> Result<Vec<Entry>, Why> {
    let program = sys::program("journalctl").ok_or(Why::Missing { what: "journalctl".to_owned() })?;
    let program = program.to_string_lossy();
    let mut argv: Vec<&str> = vec![&program, "-o", "json", "-n", JOURNAL_LINES, "--no-pager", "-q"];
    argv.push("--output-fields=MESSAGE,_PID,UNIT,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER,_COMM,OBJECT_SYSTEMD_UNIT");
    for pattern in ["redis*", "valkey*", "keydb*", "dragonfly*", "*redis-server*"] {
        argv.extend(["-u", pattern]);
    }
    for unit in extra {
        argv.extend(["-u", unit]);
    }
    let output = sys::run(&argv, JOURNAL, JOURNAL_MAX)?;
    let entries: Vec<Entry> = output.stdout.split(|b| *b == b'\n').filter_map(entry).collect();
    if entries.is_empty() && !nix::unistd::geteuid().is_root() && !may_read_journal() {
        return Err(Why::NotPermitted {
            needs: "root or the group systemd-journal (to read the journal)".to_owned(),
        });
    }
    Ok(entries)
}

/// Without the right, journalctl shows nothing and calls it success.
fn may_read_journal() -> bool {
    ["/var/log/journal", "/run/log/journal"].iter().any(|dir| {
        let Ok(names) = sys::list(dir, 16) else { return false };
        names.iter().any(|name| {
            let file = format!("{dir}/{}/system.journal", name.to_string_lossy());
            sys::read(file, 1).is_ok()
        })
    })
}

fn entry(bytes: &[u8]) -> Option<Entry> {
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let field = |name: &str| json.get(name).and_then(Value::as_str);
    // A message that is not UTF-8 comes as a list of bytes.
    let message = match json.get("MESSAGE")? {
        Value::String(message) => message.chars().take(LINE_MAX).collect(),
        Value::Array(bytes) => {
            let bytes: Vec<u8> =
                bytes.iter().filter_map(|b| b.as_u64()?.try_into().ok()).take(LINE_MAX).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => return None,
    };
    let unit = field("UNIT").or_else(|| field("OBJECT_SYSTEMD_UNIT")).or_else(|| field("_SYSTEMD_UNIT"))?;
    let pid: Option<u32> = field("_PID").and_then(|p| p.parse().ok());
    let identifier = field("SYSLOG_IDENTIFIER").unwrap_or_default();
    // Before the exec, systemd's child signs with the name it will have, in brackets.
    let manager = pid == Some(1) || identifier == "systemd" || identifier.starts_with('(');
    let (own_pid, _, text) = startup::parse(&message);
    Some(Entry {
        unit: unit.to_owned(),
        line: Line {
            at: field("__REALTIME_TIMESTAMP").and_then(|t| t.parse().ok()),
            pid: if manager { None } else { own_pid.or(pid) },
            manager,
            text: text.to_owned(),
            source: format!("journal of {}", text::shown_str(unit, 100)),
        },
    })
}

/// What there is to read of a file.
#[derive(Debug, Default)]
struct FileLog {
    lines: Vec<Line>,
    path: String,
}

/// Reads the end of a server's own log. Its times have no zone: the file's own time of change is the time of its last
/// line, and the difference is the zone's.
fn file(path: &str) -> Result<FileLog, Why> {
    let found = sys::stat(path).map_err(|e| sys::why(path, &e))?;
    let bytes = sys::read_tail(path, FILE_MAX).map_err(|e| sys::why(path, &e))?;
    let written = found.mtime();
    Ok(FileLog { lines: file_lines(&bytes, path, written), path: path.to_owned() })
}

fn file_lines(bytes: &[u8], path: &str, written: i64) -> Vec<Line> {
    let cut = bytes.len() as u64 >= FILE_MAX;
    let mut lines: Vec<Line> = bytes
        .split(|b| *b == b'\n')
        // The first line of a cut is a half one.
        .skip(usize::from(cut))
        .map(|line| {
            let line = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]);
            let (pid, at, text) = startup::parse(&line);
            Line { at, pid, manager: false, text: text.to_owned(), source: path.to_owned() }
        })
        .filter(|l| !l.text.is_empty())
        .collect();
    let offset = lines.iter().rev().find_map(|l| l.at).and_then(|last| zone(last, written));
    let mut before = None;
    for line in &mut lines {
        line.at = match (line.at, offset) {
            (Some(at), Some(offset)) => at.checked_add_signed(offset).or(before),
            // A line without a time of its own belongs to the one before it.
            (None, Some(_)) => before,
            (_, None) => None,
        };
        before = line.at.or(before);
    }
    // Times of lines before the first one known.
    let first = lines.iter().find_map(|l| l.at);
    for line in lines.iter_mut().take_while(|l| l.at.is_none()) {
        line.at = first;
    }
    lines
}

/// What to add to the written times, in microseconds. Zones are multiples of a quarter of an hour, and the last line
/// is written within seconds of the change; anything else means that the file was touched since.
fn zone(last: u64, written: i64) -> Option<i64> {
    const QUARTER: i64 = 900;
    let last = i64::try_from(last / 1_000_000).ok()?;
    let difference = written.checked_sub(last)?;
    let quarters = (difference + QUARTER / 2).div_euclid(QUARTER);
    let rest = (difference - quarters * QUARTER).abs();
    // Zones reach from -12 to +14 hours.
    (rest <= 120 && (-56..=48).contains(&quarters)).then_some(quarters * QUARTER * 1_000_000)
}

/// The path of the log that a configuration names, if it names one.
fn log_of(config: &Config) -> Option<String> {
    let file = config.value("logfile").filter(|f| !f.is_empty())?;
    if file.starts_with('/') {
        return Some(file.to_owned());
    }
    // Relative to the directory the server was started in, which for a unit is the root.
    Some(format!(
        "{}/{file}",
        if config.pid.is_none() { "" } else { config.value("dir").unwrap_or_default() }
    ))
}

/// Puts it all together. `journal` may be what could not be read.
pub(super) fn look(
    journal: Result<Vec<Entry>, Why>,
    configs: &[Config],
    units: Option<&Units>,
    managed: &[Managed],
    processes: &[Process],
) -> Result<Logs, Why> {
    let mut logs = Logs::default();
    let mut streams: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    let mut failure = None;
    match journal {
        Ok(entries) => {
            let names = |unit: &str| canonical(units, unit);
            for entry in entries {
                streams.entry(names(&entry.unit)).or_default().push(entry.line);
            }
            logs.sources
                .extend(streams.keys().map(|unit| format!("journal of {}", text::shown_str(unit, 100))));
        }
        Err(why) => {
            logs.unread.push(format!("journal: {why}"));
            failure = Some(why);
        }
    }
    // The journals of other instances say nothing of this one.
    let target = configs.first().and_then(|c| c.unit.clone());
    // What a unit's server said is not what another manager's did.
    if configs.first().is_some_and(|c| c.managed.is_some()) {
        streams.clear();
        logs.sources.clear();
    }
    let sentinels = streams.keys().all(|u| u.contains("sentinel"));
    streams.retain(|unit, _| match &target {
        Some(target) => unit == target,
        None => sentinels || !unit.contains("sentinel"),
    });
    for (key, path) in files(configs, managed, target.as_deref()) {
        match file(&path) {
            Ok(read) => {
                logs.sources.push(read.path);
                streams.entry(key).or_default().extend(read.lines);
            }
            Err(Why::Missing { .. }) => {}
            Err(why) => {
                logs.unread.push(format!("{path}: {why}"));
                failure.get_or_insert(why);
            }
        }
    }
    if logs.sources.is_empty() {
        // Started by hand: what it prints goes to a terminal, and nobody else can read that.
        let by_hand = processes.iter().any(|p| p.unit.is_none());
        return match failure {
            Some(why) => Err(why),
            None if by_hand => Err(Why::Missing {
                what: "a log (the server was started by hand and writes to its own output)".to_owned(),
            }),
            None => Ok(logs),
        };
    }
    for lines in streams.values_mut() {
        // Stable: lines of the same moment stay in their order; a line without a time stays where it is.
        if lines.iter().all(|l| l.at.is_some()) {
            lines.sort_by_key(|l| l.at);
        }
        let found = startup::recognise(lines);
        logs.deaths.extend(found.deaths);
        logs.complaints.extend(found.complaints);
        logs.last_ready = logs.last_ready.max(found.last_ready);
    }
    logs.deaths.sort_by_key(|d| std::cmp::Reverse(d.at));
    logs.complaints.truncate(20);
    for death in &mut logs.deaths {
        if death.line.is_some() && death.file.is_none() {
            death.file = configs.first().and_then(|c| c.file.clone());
        }
    }
    Ok(logs)
}

/// Adds crashes that the kernel noted and the server could not.
pub(super) fn add_crashes(logs: &mut Logs, crashes: Vec<Death>, processes: &[Process]) {
    let now = sys::unix_time();
    for mut crash in crashes {
        if logs.deaths.iter().any(|d| d.pid.is_some() && d.pid == crash.pid && d.kind == crash.kind) {
            continue;
        }
        // Something started after it, as the log or the process's age tells.
        let restarted = processes.iter().any(|p| match (p.age_s, crash.at) {
            (Some(age), Some(at)) => now.saturating_sub(age) > at,
            _ => true,
        });
        crash.last = !restarted && crash.at.is_some_and(|at| logs.last_ready.is_none_or(|ready| at >= ready));
        logs.deaths.push(crash);
    }
    logs.deaths.sort_by_key(|d| std::cmp::Reverse(d.at));
}

fn canonical(units: Option<&Units>, name: &str) -> String {
    let known = units.and_then(|u| u.units.iter().find(|u| u.names.iter().any(|n| n == name)));
    known.map_or_else(|| name.to_owned(), |u| u.name.clone())
}

/// Log files and the stream each belongs to.
fn files(configs: &[Config], managed: &[Managed], target: Option<&str>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    if let Some(config) = configs.first() {
        if let Some(path) = log_of(config) {
            found.push((config.unit.clone().unwrap_or_else(|| path.clone()), path));
        }
        let program = managed.iter().find(|m| config.managed.as_ref() == Some(&m.name));
        // What it says before it has read which log to write to, and a refused line: that has no time of its own.
        for output in program.map_or(&[][..], |m| m.logs.as_slice()) {
            let key = found.first().map_or_else(|| output.clone(), |(key, _)| key.clone());
            found.push((key, output.clone()));
        }
        if program.is_some() {
            found.sort_by_key(|(_, path)| sys::stat(path).map(|m| (m.mtime(), m.mtime_nsec())).ok());
        }
        // Beside a server started by hand: what a unit that wanted the same port said of it.
        let rival = |c: &&Config| {
            let server = c.unit.as_ref().is_some_and(|u| !u.contains("sentinel"));
            config.unit.is_none()
                && config.managed.is_none()
                && c.pid.is_none()
                && server
                && c.value("port") == config.value("port")
        };
        for config in configs.iter().skip(1).filter(rival).take(2) {
            if let (Some(unit), Some(path)) = (config.unit.clone(), log_of(config)) {
                found.push((unit, path));
            }
        }
        // A readable configuration that names no log has none.
        if !config.settings.is_empty() {
            return found;
        }
    }
    for dir in DIRS {
        for name in sys::list(dir, 500).unwrap_or_default() {
            let name = name.to_string_lossy().into_owned();
            let ours = ["redis", "valkey", "keydb"].iter().any(|p| name.starts_with(p))
                && !name.contains("sentinel")
                && std::path::Path::new(&name).extension().is_some_and(|e| e == "log");
            if ours && found.len() < 4 {
                let path = format!("{dir}/{name}");
                found.push((target.map_or_else(|| path.clone(), str::to_owned), path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{entry, file_lines, look, zone};
    use crate::evidence::Why;

    #[test]
    fn journal_lines() {
        let json = br#"{"__REALTIME_TIMESTAMP":"1795370000000000","MESSAGE":"redis-server.service: Main process exited, code=exited, status=1/FAILURE","UNIT":"redis-server.service","_PID":"1","SYSLOG_IDENTIFIER":"systemd"}"#;
        let read = entry(json).expect("read");
        assert!(read.line.manager);
        assert_eq!(read.line.at, Some(1_795_370_000_000_000));
        let bytes = br#"{"MESSAGE":[104,105,255],"_SYSTEMD_UNIT":"redis.service","_PID":"77"}"#;
        let read = entry(bytes).expect("read");
        assert_eq!((read.line.pid, read.line.manager), (Some(77), false));
        assert!(entry(b"{}").is_none());
        assert!(entry(b"\xff[[[").is_none());
    }

    #[test]
    fn the_zone_is_that_of_the_last_line() {
        // Written at 18:00:12 UTC; the file says 19:00:12.
        let log = b"592:M 22 Nov 2026 19:00:12.303 # one\ntwo\n";
        let lines = file_lines(log, "/x", 1_795_370_412);
        assert_eq!(lines[0].at, Some(1_795_370_412_303_000));
        assert_eq!(lines[1].at, lines[0].at);
        // Touched half a minute short of a quarter later: no zone is that far from whole.
        assert_eq!(zone(1_795_370_412_000_000, 1_795_370_412 + 450), None);
        assert_eq!(zone(1_795_370_412_000_000, 1_795_370_412 - 19_800), Some(-19_800_000_000));
    }

    #[test]
    fn nothing_to_read_is_said() {
        let missing = Err(Why::Missing { what: "journalctl".to_owned() });
        let configs = [crate::evidence::server::Config {
            settings: [("port".to_owned(), Default::default())].into(),
            ..Default::default()
        }];
        assert!(look(missing, &configs, None, &[], &[]).is_err());
        let empty = look(Ok(Vec::new()), &configs, None, &[], &[]).expect("nothing is known of");
        assert!(empty.deaths.is_empty());
    }
}
