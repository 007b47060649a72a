//! Server programs on disk: which, their versions, and why one does not run.
//!
//! A program is run only when root alone can have put it there, and only with `--version`.

use crate::evidence::Why;
use crate::evidence::server::{Binary, Process, Program, Units};
use crate::sys;
use crate::text;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// Limit of one `--version`.
const RUN: Duration = Duration::from_millis(500);
/// Programs run.
const PROGRAMS_MAX: usize = 8;
/// Where programs are.
const DIRS: [&str; 6] =
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/redis-stack/bin", "/snap/bin"];
/// Their names.
const NAMES: [(&str, Program); 5] = [
    ("redis-server", Program::Redis),
    ("valkey-server", Program::Valkey),
    ("keydb-server", Program::Keydb),
    ("dragonfly", Program::Other),
    ("kvrocks", Program::Other),
];

/// Looks in the usual places and at what runs.
pub(super) fn look(processes: &[Process]) -> Vec<Binary> {
    let running = processes.iter().filter(|p| p.container.is_none()).filter_map(|p| p.exe.clone());
    let usual = DIRS.iter().flat_map(|dir| NAMES.iter().map(move |(name, _)| format!("{dir}/{name}")));
    let mut found = Vec::new();
    for path in running.filter(|p| kind(p).is_some()).chain(usual) {
        add(&mut found, path);
    }
    found
}

/// Adds the programs that units start, also one that is not there.
pub(super) fn add_of_units(found: &mut Vec<Binary>, units: &Units) {
    for unit in &units.units {
        let Some(path) = unit.exec_start.first().filter(|p| p.starts_with('/') && kind(p).is_some()) else {
            continue;
        };
        match sys::stat(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !found.iter().any(|b| &b.path == path) => {
                let broken = Some("it is not there".to_owned());
                found.push(Binary {
                    path: path.clone(),
                    program: kind(path).unwrap_or_default(),
                    version: None,
                    broken,
                });
            }
            _ => add(found, path.clone()),
        }
    }
}

fn add(found: &mut Vec<Binary>, path: String) {
    let identity = |path: &str| sys::stat(path).ok().map(|m| (m.dev(), m.ino()));
    let Ok(file) = sys::stat(&path) else { return };
    let known = found.iter().any(|b| identity(&b.path) == Some((file.dev(), file.ino())));
    if file.is_file() && !known && found.len() < PROGRAMS_MAX {
        found.push(examine(path, &file));
    }
}

fn kind(path: &str) -> Option<Program> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "redis-check-rdb" | "redis-sentinel" => Some(Program::Redis),
        "valkey-check-rdb" | "valkey-sentinel" => Some(Program::Valkey),
        _ => NAMES.iter().find(|(known, _)| name.starts_with(known)).map(|(_, program)| *program),
    }
}

fn examine(path: String, file: &std::fs::Metadata) -> Binary {
    let program = kind(&path).unwrap_or_default();
    let mut binary = Binary { path, program, version: None, broken: None };
    if file.mode() & 0o111 == 0 {
        binary.broken = Some(format!("it may not be executed (mode {:04o})", file.mode() & 0o7777));
        return binary;
    }
    if file.len() == 0 {
        binary.broken = Some("it is empty".to_owned());
        return binary;
    }
    if !only_roots(Path::new(&binary.path)) {
        return binary;
    }
    match sys::run(&[&binary.path, "--version"], RUN, 4 << 10) {
        Ok(output) if output.code == Some(0) => {
            binary.version = version(&String::from_utf8_lossy(&output.stdout));
        }
        Ok(output) => binary.broken = Some(failure(&output)),
        // The file is there, so what is missing is the interpreter it names.
        Err(Why::Missing { .. }) => {
            binary.broken = Some("its loader or interpreter is missing: built for another system".to_owned());
        }
        Err(Why::Failed { what }) if what.ends_with("ENOEXEC") => {
            binary.broken = Some("Exec format error: built for another processor, or damaged".to_owned());
        }
        Err(Why::NotPermitted { .. }) => binary.broken = Some("it may not be executed here".to_owned()),
        // A time-out says nothing of the program on a loaded machine.
        Err(_) => {}
    }
    binary
}

fn failure(output: &sys::Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    match (output.signal, output.code) {
        (Some(4), _) => "illegal instruction: built for a newer processor".to_owned(),
        (Some(signal), _) => format!("signal {signal} ended it"),
        (None, Some(code)) if line.is_empty() => format!("it exited with {code}"),
        (None, _) => text::shown_str(line, 300),
    }
}

/// Nobody but root can have changed the file or put another in its place.
fn only_roots(path: &Path) -> bool {
    let Some(real) = sys::canonical(path) else { return false };
    real.ancestors().all(|part| sys::stat(part).is_ok_and(|m| m.uid() == 0 && m.mode() & 0o022 == 0))
}

/// `Redis server v=7.0.15 sha=…`; Valkey and KeyDB write the same form.
fn version(said: &str) -> Option<String> {
    let number =
        said.split_once("v=").map_or_else(|| said.split_whitespace().last(), |(_, r)| r.split(' ').next())?;
    let number = number.trim().trim_start_matches('v');
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| text::shown_str(number, 40))
}

#[cfg(test)]
mod tests {
    use super::{failure, look, version};
    use crate::sys::Output;

    #[test]
    fn versions() {
        assert_eq!(
            version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc").as_deref(),
            Some("7.0.15")
        );
        assert_eq!(version("Valkey server v=8.1.1 sha=0").as_deref(), Some("8.1.1"));
        assert_eq!(version("garbage"), None);
    }

    #[test]
    fn failures() {
        let output = |code, signal, stderr: &str| Output {
            code,
            signal,
            stdout: Vec::new(),
            stderr: stderr.as_bytes().to_vec(),
            cut: false,
        };
        let library = "redis-server: error while loading shared libraries: libssl.so.3: cannot open shared object file\n";
        assert!(failure(&output(Some(127), None, library)).contains("libssl.so.3"));
        assert!(failure(&output(None, Some(4), "")).contains("illegal instruction"));
    }

    #[test]
    fn looks() {
        for binary in look(&[]) {
            assert!(binary.path.starts_with('/'));
        }
    }
}
