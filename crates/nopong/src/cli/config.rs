//! `nopong config FILE`: what redis-server would make of a configuration file, without starting one.

use super::{Fail, Verb, exit, io};
use crate::sys;
use crate::sys::conf::Machine;
use crate::text::shown_str;
use redis_conf::{Loaded, Origin, Problem, Release, Setting, Start, Value};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file would be taken.
const VALID: u8 = 0;
/// The server would refuse it.
const REFUSED: u8 = 1;
/// `redis-server --version` takes a few milliseconds.
const VERSION_MAX: Duration = Duration::from_secs(3);
/// Most characters shown of one text from a file.
const TEXT_MAX: usize = 400;
/// The largest server binaries, with modules in them, have some 30 MB.
const BINARY_MAX: usize = 64 << 20;

/// What a reader wants to know first about a file that would be taken.
const SUMMARY: [&str; 11] = [
    "bind",
    "port",
    "protected-mode",
    "tls-port",
    "unixsocket",
    "requirepass",
    "aclfile",
    "maxclients",
    "dir",
    "logfile",
    "supervised",
];

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a terminal
    Human,
    /// One document: valid, errors, warnings, effective
    Json,
}

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Config {
    /// A redis.conf, valkey.conf or sentinel.conf
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As redis-sentinel would take it
    #[arg(long)]
    sentinel: bool,
    /// As that version would take it: 7.0, 8.0.2, `valkey 8.1` [default: the installed one, else the newest known]
    #[arg(long, value_name = "V")]
    redis_version: Option<String>,
    /// How the result is written
    #[arg(long, value_name = "FORMAT", default_value = "human", help_heading = "Report")]
    format: Format,
}

impl Verb for Config {
    const NAME: &'static str = "config";
    const ABOUT: &'static str = "What redis-server would make of a configuration file, without starting one";
    const EXITS: &'static str = exit::CONFIG;

    fn run(self) -> Result<u8, Fail> {
        let file = shown_str(&self.file.display().to_string(), TEXT_MAX);
        let server = self.server()?;
        let cwd = sys::conf::current_dir()
            .map_err(|e| Fail::usage(format!("the current directory: {}", sys::errno_name(&e))))?;
        let meta = sys::stat(cwd.join(&self.file))
            .map_err(|e| Fail::usage(format!("{file} cannot be read: {}", sys::errno_name(&e))))?;
        if meta.is_dir() {
            return Err(Fail::usage(format!("{file} is a directory: name the file in it")));
        }
        let mut start = Start::file(server.release, &self.file).in_dir(&cwd).sentinel(self.sentinel);
        start.tls = server.tls;
        start.defrag = server.defrag;
        let loaded = redis_conf::load(&start, &Machine)
            .map_err(|e| Fail::usage(format!("{file} cannot be read: {e}")))?;
        let text = match self.format {
            Format::Json => json(&loaded),
            Format::Human => human(&loaded, &file, &server, &cwd),
        };
        io::emit(text.as_bytes())?;
        Ok(if loaded.is_valid() { VALID } else { REFUSED })
    }
}

/// The server a file is judged for.
struct Server {
    release: Release,
    /// Where that comes from, for the reader.
    from: String,
    tls: bool,
    defrag: Option<bool>,
}

impl Config {
    fn server(&self) -> Result<Server, Fail> {
        if let Some(asked) = &self.redis_version {
            let release = Release::parse(asked).ok_or_else(|| {
                Fail::usage(format!(
                    "--redis-version {}: write 7.0, 8.0.2 or `valkey 8.1`",
                    shown_str(asked, 40)
                ))
            })?;
            return Ok(Server { release, from: "as asked".to_owned(), tls: true, defrag: None });
        }
        // A machine with both servers: the file's own name says whose it is.
        let valkey = self.file.to_string_lossy().contains("valkey");
        let names =
            if valkey { ["valkey-server", "redis-server"] } else { ["redis-server", "valkey-server"] };
        let installed = names.iter().find_map(|name| installed(&sys::program(name)?));
        Ok(installed.unwrap_or_else(|| Server {
            release: Release::NEWEST,
            from: "none is installed; the newest known".to_owned(),
            tls: true,
            defrag: None,
        }))
    }
}

/// Asks an installed server for its version, and its binary for what it is built with.
fn installed(path: &Path) -> Option<Server> {
    let program = path.to_str()?;
    let output = sys::run(&[program, "--version"], VERSION_MAX, 4096).ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let release = Release::parse(&text).filter(|_| text.contains("v="))?;
    let number = text.split("v=").nth(1)?.split_whitespace().next()?;
    // The names of the libraries it is linked to stand in the binary; a static one is not judged.
    let binary = sys::read(path, BINARY_MAX).unwrap_or_default();
    let has = |name: &[u8]| memchr(&binary, name);
    let dynamic = has(b"libc.so");
    Some(Server {
        release,
        from: format!("{program}, version {}", shown_str(number, 40)),
        tls: !dynamic || has(b"libssl.so"),
        // The defragmenter needs a jemalloc of the server's own, patched; one in a shared library is not that.
        defrag: has(b"libjemalloc.so").then_some(false),
    })
}

/// Whether bytes are somewhere in other bytes, fast enough for a binary: the first byte is looked for first.
fn memchr(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((first, _)) = needle.split_first() else { return true };
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|b| b == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// One problem of the public document.
#[derive(serde::Serialize)]
struct Said {
    file: Option<String>,
    line: Option<u32>,
    directive: Option<String>,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The public document.
#[derive(serde::Serialize)]
struct Document {
    valid: bool,
    errors: Vec<Said>,
    warnings: Vec<Said>,
    effective: std::collections::BTreeMap<&'static str, serde_json::Value>,
}

fn said(problem: &Problem) -> Said {
    Said {
        file: problem.path().map(|p| p.display().to_string()),
        line: problem.line(),
        directive: problem.directive.clone(),
        says: problem.says.clone(),
        hint: problem.hint.clone(),
    }
}

fn json(loaded: &Loaded) -> String {
    let document = Document {
        valid: loaded.is_valid(),
        errors: loaded.errors.iter().map(said).collect(),
        warnings: loaded.warnings.iter().map(said).collect(),
        effective: loaded.effective().map(|(name, setting)| (name, shown_value(setting))).collect(),
    };
    let mut text = serde_json::to_string_pretty(&document).expect("texts, numbers and maps with text keys");
    text.push('\n');
    text
}

fn shown_value(setting: &Setting) -> serde_json::Value {
    match &setting.value {
        Value::Text(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
        Value::Secret(secret) => (!secret.is_empty()).into(),
    }
}

fn human(loaded: &Loaded, file: &str, server: &Server, cwd: &Path) -> String {
    let mut out = String::new();
    let whose = format!("{} ({})", server.release, server.from);
    let verdict = if loaded.is_valid() { "would start with it" } else { "would refuse it" };
    let _ = writeln!(out, "{file}: {whose} {verdict}");
    for (index, problem) in loaded.errors.iter().enumerate() {
        let kind = if index == 0 { "error" } else { "then" };
        write_problem(&mut out, kind, problem, cwd);
    }
    for problem in &loaded.warnings {
        write_problem(&mut out, "warning", problem, cwd);
    }
    if loaded.is_valid() {
        out.push('\n');
        for name in SUMMARY {
            let Some(setting) = loaded.get(name) else { continue };
            let value = match &setting.value {
                Value::Secret(secret) if secret.is_empty() => "not set".to_owned(),
                Value::Secret(_) => "set".to_owned(),
                Value::Text(bytes) if bytes.is_empty() => "\"\"".to_owned(),
                Value::Text(bytes) => crate::text::shown(bytes, TEXT_MAX),
            };
            let _ = writeln!(out, "  {name:<15} {value}{}", place_of(&setting.origin));
        }
    }
    out
}

fn place_of(origin: &Origin) -> String {
    match origin {
        Origin::Default => "  (default)".to_owned(),
        Origin::Argv => "  (command line)".to_owned(),
        Origin::File { path, line } => {
            format!("  ({}:{line})", shown_str(&path.display().to_string(), TEXT_MAX))
        }
    }
}

fn write_problem(out: &mut String, kind: &str, problem: &Problem, cwd: &Path) {
    let place = match (problem.path(), problem.line()) {
        (Some(path), Some(line)) => format!("{}:{line}: ", shown_str(&path.display().to_string(), TEXT_MAX)),
        _ => String::new(),
    };
    let directive = problem.directive.as_deref().map(|d| format!("{d}: ")).unwrap_or_default();
    let _ =
        writeln!(out, "\n{kind}: {place}{}{}", shown_str(&directive, 100), shown_str(&problem.says, 1000));
    if let Some((line, text)) = line_text(problem, cwd) {
        let _ = writeln!(out, "  {line} | {}", shown_str(&text, TEXT_MAX));
    }
    if let Some(hint) = &problem.hint {
        let _ = writeln!(out, "hint: {}", shown_str(hint, TEXT_MAX));
    }
}

/// The line a problem is about, without what may be a secret in it.
fn line_text(problem: &Problem, cwd: &Path) -> Option<(u32, String)> {
    let line = problem.line()?;
    let bytes = sys::read(cwd.join(problem.path()?), sys::FILE_MAX).ok()?;
    let document = redis_conf::Document::parse(&bytes);
    let text = redis_conf::redact_line(document.line(line as usize)?);
    Some((line, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_conf::InMemory;

    fn loaded(text: &str) -> Loaded {
        let files = InMemory::one("/c", text.as_bytes());
        redis_conf::load(&Start::file(Release::Redis70, "/c"), &files).expect("readable")
    }

    #[test]
    fn the_document_has_the_keys_of_the_contract_and_no_secret() {
        let text =
            "requirepass hunter2\nmasterauth hunter2\nuser a on >hunter2\nport x\nrequirepas hunter2\n";
        let document = json(&loaded(text));
        assert!(!document.contains("hunter2"), "{document}");
        let value: serde_json::Value = serde_json::from_str(&document).expect("json");
        assert_eq!(value["valid"], false);
        assert_eq!(value["errors"][0]["file"], "/c");
        assert_eq!(value["errors"][0]["line"], 4);
        assert_eq!(value["errors"][0]["directive"], "port");
        assert_eq!(value["errors"][0]["says"], "argument couldn't be parsed into an integer");
        assert_eq!(value["errors"][1]["hint"], "did you mean requirepass?");
        assert_eq!(value["effective"]["requirepass"], true);
        for name in SUMMARY {
            assert!(!value["effective"][name].is_null(), "{name}");
        }
        let valid: serde_json::Value = serde_json::from_str(&json(&loaded("bind 127.0.0.1"))).expect("json");
        assert_eq!((&valid["valid"], &valid["effective"]["requirepass"]), (&true.into(), &false.into()));
    }

    #[test]
    fn bytes_are_found_in_bytes() {
        assert!(memchr(b"abcabd", b"abd") && memchr(b"x", b"") && !memchr(b"aab", b"ab\0"));
    }
}
