//! Takes a configuration line by line in the server's own order. Where the server would stop it notes the error and
//! goes on, so that further errors are known too; what it finds after the first is what the server would meet next.
//!
//! What is checked only after all lines are read is in `startup`; Sentinel's own directives are in `sentinel`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::acl;
use crate::files::{Files, OsError, Secret};
use crate::release::{Fork, Release};
use crate::sds;
use crate::sentinel::Monitored;
use crate::setting::{Loaded, Problem, Setting, User, Value};
use crate::source::{Line, Origin, Text, push_named};
use crate::special::Specials;
use crate::table::value::{TitleFacts, c_str, check};
use crate::table::{Directive, Kind, Special, known_elsewhere, nearest_name};

/// The server has no bound and dies of its stack; nobody nests this deep on purpose.
const INCLUDE_DEPTH: usize = 32;
/// A file that includes itself twice would double the work at each level.
const INCLUDE_FILES: usize = 512;
/// And one that includes a large one often would cost memory and time.
const TEXT_MAX: usize = 16 << 20;
/// Enough to show what is wrong; hostile files could hold millions of bad lines.
const PROBLEMS_MAX: usize = 1000;
/// REDIS_SENTINEL_PORT, sentinel.c.
const SENTINEL_PORT: &[u8] = b"26379";

/// How the server is started.
#[derive(Clone)]
pub struct Start {
    pub release: Release,
    pub sentinel: bool,
    /// The directory it is started in: relative paths count from there.
    pub cwd: PathBuf,
    /// The configuration file, as named on the command line.
    pub file: Option<PathBuf>,
    /// Whether the server is built with TLS. Debian's are.
    pub tls: bool,
    /// Whether its allocator can defragment. Debian's servers use the system's jemalloc, which cannot.
    pub defrag: Option<bool>,
    /// The directives of the command line, as the server appends them.
    pub(crate) options: Vec<u8>,
}

impl Start {
    /// A server started with nothing but a file.
    pub fn file(release: Release, path: impl Into<PathBuf>) -> Self {
        let (cwd, file) = (PathBuf::from("/"), Some(path.into()));
        Self { release, sentinel: false, cwd, file, tls: true, defrag: None, options: Vec::new() }
    }

    /// A server started with these arguments (its own name first), in that directory.
    pub fn command_line(release: Release, cwd: impl Into<PathBuf>, argv: &[Vec<u8>]) -> Self {
        let (file, options) = crate::argv::read(argv, release);
        let sentinel = crate::argv::is_sentinel(argv);
        Self { release, sentinel, cwd: cwd.into(), file, tls: true, defrag: None, options }
    }

    #[must_use]
    pub fn in_dir(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = cwd.into();
        self
    }

    #[must_use]
    pub fn sentinel(mut self, sentinel: bool) -> Self {
        self.sentinel = sentinel;
        self
    }
}

/// Reads a configuration as the server would. Fails only where the file itself cannot be read.
pub fn load(start: &Start, files: &dyn Files) -> Result<Loaded, OsError> {
    let mut loader = Loader::new(start, files);
    let mut text = Text::default();
    if let Some(path) = &start.file {
        // The server makes this path absolute first; it is shown as given.
        let name = start.cwd.join(path);
        let read = push_named(&mut text, name.as_os_str().as_encoded_bytes(), path, &start.cwd, files);
        loader.files_read.extend(read.map_err(|unread| unread.error)?);
    }
    if start.file.is_some() || !start.options.is_empty() {
        text.push_argv(&start.options);
    }
    loader.take_text(text, 0);
    loader.start_up();
    Ok(loader.finish())
}

/// The place and the words of one line.
pub(crate) struct At<'l> {
    pub(crate) line: &'l Line,
    pub(crate) directive: String,
}

pub(crate) struct Loader<'a> {
    pub(crate) start: &'a Start,
    pub(crate) files: &'a dyn Files,
    pub(crate) cwd: PathBuf,
    pub(crate) specials: Specials,
    pub(crate) values: BTreeMap<&'static str, (Vec<u8>, Origin)>,
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) users: Vec<User>,
    pub(crate) modules: Vec<(Vec<u8>, Origin)>,
    /// Directives kept for modules.
    pub(crate) queued: Vec<(String, Origin, u32)>,
    pub(crate) sentinel_queue: Vec<(Vec<Vec<u8>>, Origin, u32)>,
    pub(crate) commands: crate::commands::Commands,
    pub(crate) monitored: Vec<Monitored>,
    /// The sockets opened on paper.
    pub(crate) opened: Vec<(std::net::IpAddr, u16)>,
    files_read: Vec<PathBuf>,
    user_names: BTreeSet<Vec<u8>>,
    bytes_read: usize,
}

impl<'a> Loader<'a> {
    fn new(start: &'a Start, files: &'a dyn Files) -> Self {
        Self {
            start,
            files,
            cwd: start.cwd.clone(),
            specials: Specials::default(),
            values: BTreeMap::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            users: Vec::new(),
            modules: Vec::new(),
            queued: Vec::new(),
            sentinel_queue: Vec::new(),
            commands: crate::commands::Commands::of(start.release, start.sentinel),
            monitored: Vec::new(),
            opened: Vec::new(),
            files_read: Vec::new(),
            user_names: BTreeSet::new(),
            bytes_read: 0,
        }
    }

    fn release(&self) -> Release {
        self.start.release
    }

    fn take_text(&mut self, text: Text, depth: usize) {
        for line in text.into_lines() {
            self.take_line(&line, depth);
        }
        // These two follow every text, an included one as well.
        self.check_logfile();
        self.check_cluster();
    }

    fn take_line(&mut self, line: &Line, depth: usize) {
        let trimmed = sds::trim(&line.text);
        if trimmed.is_empty() || trimmed[0] == b'#' {
            return;
        }
        let Some(mut words) = sds::split_args(trimmed) else {
            let at = At { line, directive: first_word(trimmed) };
            let hint = "every quote needs its partner, and a blank or the line end behind that".to_owned();
            return self.refuse_with(&at, "Unbalanced quotes in configuration line", Some(hint));
        };
        if words.is_empty() {
            return;
        }
        let mut name = words.remove(0);
        name.make_ascii_lowercase();
        let at = At { line, directive: shown_name(&name) };
        if let Some(row) = self.row(&name) {
            match self.set(row, words, line) {
                Ok(()) => {}
                Err(says) => {
                    let hint = hint_for_value(trimmed, &says);
                    self.refuse_with(&at, &says, hint);
                }
            }
            return;
        }
        if is_obsolete(&name, self.release()) && words.len() == 1 {
            let hint = "accepted and ignored: the directive no longer does anything".to_owned();
            return self.warn(&line.origin, Some(&at.directive), hint);
        }
        match (c_str(&name), words.len()) {
            (b"include", 1) => self.include(&at, &words[0], depth),
            (b"rename-command", 2) => {
                if let Err(says) = self.commands.rename(&words[0], &words[1], &line.origin) {
                    self.refuse(&at, says);
                }
            }
            (b"user", 1..) => self.user(&at, &words),
            (b"loadmodule", 1..) => self.modules.push((words[0].clone(), line.origin.clone())),
            _ => self.other(&at, &name, words),
        }
    }

    fn row(&self, name: &[u8]) -> Option<&'static Directive> {
        // 7.0 without TLS does not know its directives; later releases know them and fail when they are used.
        let gone = !self.start.tls && self.release() == Release::Redis70 && name.starts_with(b"tls-");
        Directive::find(name, self.release()).filter(|_| !gone)
    }

    /// Directives of modules and of Sentinel, and what nobody knows.
    fn other(&mut self, at: &At<'_>, name: &[u8], words: Vec<Vec<u8>>) {
        let dotted = c_str(name).contains(&b'.');
        let queues_unknown = self.release().queues_unknown_directives();
        if dotted && !queues_unknown && words.is_empty() {
            return self.refuse(at, "Module config specified without value");
        }
        if name == b"sentinel" {
            if words.is_empty() {
                return;
            }
            if !self.start.sentinel {
                let hint = Some("this is a file for redis-sentinel, or redis-server --sentinel".to_owned());
                return self.refuse_with(at, "sentinel directive while not in sentinel mode", hint);
            }
            self.sentinel_queue.push((words, at.line.origin.clone(), at.line.counted));
            return;
        }
        if !words.is_empty() && (dotted || queues_unknown) {
            self.queued.push((at.directive.clone(), at.line.origin.clone(), at.line.counted));
            return;
        }
        let hint = self.hint_for(name, words.len());
        self.refuse_with(at, "Bad directive or wrong number of arguments", hint);
    }

    /// What may have been meant by a directive that is refused.
    pub(crate) fn hint_for(&self, name: &[u8], words: usize) -> Option<String> {
        // Hints cost more than the lines; nobody sees those beyond the bound.
        if self.errors.len() >= PROBLEMS_MAX {
            return None;
        }
        let takes = |n: &str| Some(format!("{} takes {n}", String::from_utf8_lossy(name)));
        match name {
            b"include" => return takes("one path or pattern"),
            b"rename-command" => return takes("a command and its new name, or \"\" to remove it"),
            b"user" => return takes("a name and rules"),
            b"loadmodule" => return takes("the path of a module"),
            _ => {}
        }
        if is_obsolete(name, self.release()) {
            return Some(format!("{} takes one argument, not {words}", String::from_utf8_lossy(name)));
        }
        if name.starts_with(&crate::BYTE_ORDER_MARK) {
            return Some(
                "the file begins with a byte order mark (EF BB BF), which the server takes for text"
                    .to_owned(),
            );
        }
        known_elsewhere(name, self.release())
            .or_else(|| nearest_name(name, self.release()).map(|near| format!("did you mean {near}?")))
    }

    fn set(&mut self, row: &'static Directive, words: Vec<Vec<u8>>, line: &Line) -> Result<(), String> {
        if !row.multi && words.len() != 1 {
            return Err("wrong number of arguments".to_owned());
        }
        let words = match words.as_slice() {
            // One quoted argument may hold them all; what cannot be split counts as none.
            [only] if row.multi && !only.is_empty() => sds::split_args(c_str(only)).unwrap_or_default(),
            _ => words,
        };
        if let Kind::Special(special) = row.kind {
            let value = self.set_special(special, &words)?;
            self.store(row, value, line);
            return Ok(());
        }
        let title = TitleFacts {
            unixsocket: self.values.get("unixsocket").is_some_and(|(v, _)| !v.is_empty()),
            mode: self.start.sentinel || self.value("cluster-enabled") == b"yes",
        };
        let value = check(row, &words, title)?;
        if row.name == "activedefrag" && value == b"yes" {
            self.check_defrag(&line.origin)?;
        }
        self.store(row, value, line);
        Ok(())
    }

    fn check_defrag(&mut self, origin: &Origin) -> Result<(), String> {
        let [what, whose] = match self.release().fork() {
            Fork::Redis => ["a Redis server", "the Redis source"],
            Fork::Valkey => ["a server", "the source"],
        };
        let says = format!(
            "Active defragmentation cannot be enabled: it requires {what} compiled with a modified Jemalloc like the \
             one shipped by default with {whose} distribution"
        );
        match self.start.defrag {
            Some(true) => Ok(()),
            Some(false) => Err(says),
            None => {
                let says = "a server that uses the system's jemalloc, as Debian's, refuses this".to_owned();
                self.warn(origin, Some("activedefrag"), says);
                Ok(())
            }
        }
    }

    fn store(&mut self, row: &'static Directive, value: Vec<u8>, line: &Line) {
        let old = self.values.insert(row.name, (value, line.origin.clone()));
        let adds_up = matches!(row.kind, Kind::Special(Special::Save | Special::ClientOutputBufferLimit));
        let Some((_, before)) = old.filter(|_| !adds_up) else { return };
        let place = match &before {
            Origin::File { line: number, .. } if before.path() == line.origin.path() => {
                format!("line {number}")
            }
            Origin::File { path, line: number } => format!("{}:{number}", path.display()),
            Origin::Default | Origin::Argv => "the command line".to_owned(),
        };
        self.warn(&line.origin, Some(row.name), format!("set again here: {place} no longer counts"));
    }

    fn set_special(&mut self, special: Special, words: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        let release = self.release();
        let s = &mut self.specials;
        match special {
            Special::Bind => s.bind = Specials::set_bind(words)?,
            Special::RdmaBind => s.rdma_bind = Specials::set_bind(words)?,
            Special::Save => s.set_save(words)?,
            Special::ClientOutputBufferLimit => s.set_limits(words)?,
            Special::OomScoreAdjValues => s.set_oom(words)?,
            Special::NotifyKeyspaceEvents => s.set_notify(words)?,
            Special::ReplicaOf => s.set_replica_of(words, release)?,
            Special::LatencyPercentiles => s.set_percentiles(words)?,
            Special::Dir => {
                let dir = words.first().map_or(b"".as_slice(), |w| c_str(w));
                if dir.is_empty() {
                    return Err(match release {
                        Release::Valkey81 => "dir can't be empty".to_owned(),
                        _ => OsError::NOT_FOUND.text(),
                    });
                }
                self.cwd = self.files.enter(&self.cwd.join(to_path(dir))).map_err(OsError::text)?;
            }
        }
        // Printed from the specials when all is read.
        Ok(Vec::new())
    }

    fn include(&mut self, at: &At<'_>, name: &[u8], depth: usize) {
        let name = c_str(name);
        let much = self.files_read.len() >= INCLUDE_FILES || self.bytes_read >= TEXT_MAX;
        if depth >= INCLUDE_DEPTH || much {
            return self.refuse(at, "too many nested includes; does a file include itself?");
        }
        let mut text = Text::default();
        let shown = self.cwd.join(to_path(name));
        match push_named(&mut text, name, &shown, &self.cwd, self.files) {
            Ok(paths) => {
                self.files_read.extend(paths);
                self.bytes_read += text.len();
                self.take_text(text, depth + 1);
            }
            Err(unread) => {
                let path = if unread.path == shown { to_path(name) } else { unread.path };
                let says =
                    format!("Fatal error, can't open config file '{}': {}", path.display(), unread.error);
                self.problem(at.line.origin.clone(), None, Some(&at.directive), says, None);
            }
        }
    }

    fn user(&mut self, at: &At<'_>, words: &[Vec<u8>]) {
        let all_channels = self.value("acl-pubsub-default") == b"allchannels";
        match acl::check_line(
            words,
            self.user_names.contains(&words[0]),
            all_channels,
            &self.commands,
            self.release(),
        ) {
            Ok(rules) => {
                let origin = at.line.origin.clone();
                self.user_names.insert(words[0].clone());
                self.users.push(User { name: words[0].clone(), rules, origin });
            }
            Err(says) => {
                let open = acl::merge_selectors(&words[1..]).is_err();
                self.refuse_with(
                    at,
                    &says,
                    open.then(|| "a parenthesis of a selector is not closed".to_owned()),
                );
            }
        }
    }

    fn check_logfile(&mut self) {
        let Some((logfile, origin)) = self.values.get("logfile").filter(|(v, _)| !v.is_empty()).cloned()
        else {
            return;
        };
        if let Err(error) = self.files.appendable(&self.cwd.join(to_path(&logfile))) {
            self.problem_once(origin, "logfile", format!("Can't open the log file: {error}"));
        }
    }

    fn check_cluster(&mut self) {
        if self.value("cluster-enabled") == b"yes" && self.specials.replica_of.is_some() {
            let origin = self.origin("replicaof");
            self.problem_once(
                origin,
                "replicaof",
                "replicaof directive not allowed in cluster mode".to_owned(),
            );
        }
    }

    /// The value of a plain directive so far.
    pub(crate) fn value(&self, name: &str) -> &[u8] {
        match self.values.get(name) {
            Some((value, _)) => value,
            None => {
                let row = Directive::find(name.as_bytes(), self.release());
                self.value_or(name, row.map_or(b"", |row| row.default.as_bytes()))
            }
        }
    }

    fn value_or<'v>(&'v self, name: &str, default: &'v [u8]) -> &'v [u8] {
        match (self.values.get(name), name) {
            (Some((value, _)), _) => value,
            // initSentinelConfig, sentinel.c.
            (None, "port") if self.start.sentinel => SENTINEL_PORT,
            (None, "protected-mode") if self.start.sentinel => b"no",
            (None, _) => default,
        }
    }

    pub(crate) fn origin(&self, name: &str) -> Origin {
        self.values.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    fn refuse(&mut self, at: &At<'_>, says: &str) {
        self.refuse_with(at, says, None);
    }

    fn refuse_with(&mut self, at: &At<'_>, says: &str, hint: Option<String>) {
        let (origin, counted) = (at.line.origin.clone(), Some(at.line.counted));
        self.problem(origin, counted, Some(&at.directive), says.to_owned(), hint);
    }

    pub(crate) fn problem(
        &mut self,
        origin: Origin,
        counted: Option<u32>,
        directive: Option<&str>,
        says: String,
        hint: Option<String>,
    ) {
        if self.errors.len() < PROBLEMS_MAX {
            let directive = directive.map(str::to_owned);
            self.errors.push(Problem { origin, counted, directive, says, hint });
        }
    }

    /// For checks that run again and again: the same problem is noted once.
    pub(crate) fn problem_once(&mut self, origin: Origin, directive: &str, says: String) {
        if !self.errors.iter().any(|p| p.says == says && p.directive.as_deref() == Some(directive)) {
            self.problem(origin, None, Some(directive), says, None);
        }
    }

    pub(crate) fn warn(&mut self, origin: &Origin, directive: Option<&str>, says: String) {
        if self.warnings.len() < PROBLEMS_MAX {
            let (origin, directive) = (origin.clone(), directive.map(str::to_owned));
            self.warnings.push(Problem { origin, counted: None, directive, says, hint: None });
        }
    }

    fn finish(mut self) -> Loaded {
        let mut settings = BTreeMap::new();
        for row in Directive::all(self.release()) {
            let value = self.printed(row);
            let value = if row.secret { Value::Secret(Secret::new(value)) } else { Value::Text(value) };
            settings.insert(row.name, Setting { value, origin: self.origin(row.name) });
        }
        let renamed = self.commands.take_renamed();
        Loaded {
            release: self.release(),
            sentinel: self.start.sentinel,
            errors: self.errors,
            warnings: self.warnings,
            settings,
            users: self.users,
            monitored: self.monitored,
            renamed,
            modules: self.modules,
            files: self.files_read,
            dir: self.cwd,
        }
    }

    /// A value as a running server prints it, with what it changes while starting.
    fn printed(&self, row: &Directive) -> Vec<u8> {
        let s = &self.specials;
        match row.kind {
            Kind::Special(Special::Bind) => s.bind.join(&b' '),
            Kind::Special(Special::RdmaBind) => s.rdma_bind.join(&b' '),
            Kind::Special(Special::Save) => s.print_save(),
            Kind::Special(Special::ClientOutputBufferLimit) => s.print_limits(),
            Kind::Special(Special::OomScoreAdjValues) => s.print_oom(),
            Kind::Special(Special::NotifyKeyspaceEvents) => s.print_notify(),
            Kind::Special(Special::ReplicaOf) => s.print_replica_of(),
            Kind::Special(Special::LatencyPercentiles) => s.print_percentiles(),
            Kind::Special(Special::Dir) => self.cwd.as_os_str().as_encoded_bytes().to_vec(),
            _ => self.adjusted(row),
        }
    }

    fn adjusted(&self, row: &Directive) -> Vec<u8> {
        let value = self.value_or(row.name, row.default.as_bytes());
        let number = || std::str::from_utf8(value).ok().and_then(|v| v.parse::<i64>().ok());
        match row.name {
            // CONFIG_MIN_HZ and CONFIG_MAX_HZ, server.h: out of range is pulled in.
            "hz" => number().map_or_else(|| value.to_vec(), |hz| hz.clamp(1, 500).to_string().into_bytes()),
            // From 7.2 on a cluster has one database; Valkey says so from 8.0 on.
            "databases" if self.value("cluster-enabled") == b"yes" && self.one_cluster_database() => {
                b"1".to_vec()
            }
            // createPidFile, server.c: a daemon gets a pid file even if nobody asked.
            "pidfile" if value.is_empty() && self.value("daemonize") == b"yes" => match self.release().fork()
            {
                Fork::Redis => b"/var/run/redis.pid".to_vec(),
                Fork::Valkey => b"/var/run/valkey.pid".to_vec(),
            },
            _ => value.to_vec(),
        }
    }

    fn one_cluster_database(&self) -> bool {
        self.release() != Release::Redis70
    }
}

/// Directives that are read over, with exactly one argument (`deprecated_configs`, config.c).
fn is_obsolete(name: &[u8], release: Release) -> bool {
    match c_str(name) {
        b"list-max-ziplist-entries" | b"list-max-ziplist-value" | b"lua-replicate-commands" => true,
        b"io-threads-do-reads" => matches!(release, Release::Redis80 | Release::Valkey80 | Release::Valkey81),
        b"dynamic-hz" => release == Release::Valkey81,
        _ => false,
    }
}

/// What is often behind a value that is refused.
fn hint_for_value(line: &[u8], says: &str) -> Option<String> {
    let words = sds::split_args(line).unwrap_or_default();
    if says == "wrong number of arguments" && words.iter().skip(1).any(|w| w.starts_with(b"#")) {
        return Some("a comment needs a line of its own; behind a value # is part of it".to_owned());
    }
    if says == "wrong number of arguments" && words.len() > 2 {
        return Some("a value with blanks in it must be quoted".to_owned());
    }
    None
}

/// The first word of a line that cannot be split.
fn first_word(line: &[u8]) -> String {
    let end = line.iter().position(|b| sds::is_space(*b)).unwrap_or(line.len());
    let word = &line[..end];
    shown_name(&word.to_ascii_lowercase())
}

/// A directive's name for print; what does not look like one may be a value, even a password.
fn shown_name(name: &[u8]) -> String {
    if crate::redact::is_name(name) { String::from_utf8_lossy(name).into_owned() } else { "***".to_owned() }
}

pub(crate) fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes)).to_path_buf()
}
