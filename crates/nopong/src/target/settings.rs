//! Where an application is told which Redis to dial: the argument, else its own settings, else the default.
//!
//! Every setting found is kept for the report, secrets replaced; only the first one is dialled. A setting that does
//! not parse is a finding only when it is the one that would be taken.

use super::{Target, mask, url};
use crate::evidence::Problem;
use crate::evidence::client::{Setting, Settings};
use crate::secret::Secret;
use crate::sys;
use std::ffi::OsStr;

/// What the lookup reads: the environment and the files of the working directory.
#[derive(Debug, Default, Clone)]
pub struct Surroundings {
    env: Vec<(String, String)>,
    files: Vec<(String, String)>,
}

/// A target, and every setting seen on the way to it.
#[derive(Debug)]
pub struct Found {
    /// What to dial.
    pub target: Target,
    /// All settings, the one taken first.
    pub settings: Settings,
    /// The password stands in the target's own text.
    pub password_in_text: bool,
}

/// Environment variables read; everything else of the environment stays unread.
const PREFIXES: &[&str] = &["REDIS", "VALKEY", "CELERY_", "RAILS_", "SPRING_", "CACHE_", "ConnectionStrings"];

/// Files read in the working directory, in order of precedence.
const FILES: &[&str] = &[".env"];

impl Surroundings {
    /// Reads them.
    pub fn read() -> Self {
        let env = sys::environment()
            .into_iter()
            .filter(|(k, _)| PREFIXES.iter().any(|p| k.starts_with(p)))
            .collect();
        let files = FILES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), sys::read_text(name, 256 << 10).ok()?)))
            .collect();
        Self { env, files }
    }

    /// Every password these settings hold, whether used or not: none of them may be shown.
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<Secret> = ["REDISCLI_AUTH", "REDIS_PASSWORD"]
            .iter()
            .filter_map(|key| self.env(key).map(Secret::new))
            .collect();
        secrets.extend(candidates(self).into_iter().filter_map(|c| c.target.password));
        secrets
    }

    fn env(&self, key: &str) -> Option<&str> {
        lookup(&self.env, key)
    }
}

fn lookup<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
}

/// Keys that hold a whole address, in order of precedence.
const URL_KEYS: &[&str] = &["REDIS_URL", "REDIS_TLS_URL", "REDIS_URI", "VALKEY_URL", "VALKEY_URI"];

/// The target of an argument.
pub fn from_argument(text: &OsStr, here: &Surroundings) -> Found {
    let mut target = url::parse(&text.to_string_lossy(), "argument");
    let password_in_text = target.password.is_some();
    lend_credentials(&mut target, here);
    Found {
        target,
        settings: Settings { found: candidates(here).into_iter().flat_map(|c| c.settings).collect() },
        password_in_text,
    }
}

/// The target of the application's settings, else the default.
pub fn from_settings(here: &Surroundings) -> Found {
    let candidates = candidates(here);
    let mut target = match candidates.first() {
        Some(first) => first.target.clone(),
        None => url::parse("redis://127.0.0.1:6379", "default"),
    };
    lend_credentials(&mut target, here);
    let settings = Settings { found: candidates.into_iter().flat_map(|c| c.settings).collect() };
    Found { target, settings, password_in_text: false }
}

/// One place that names a Redis.
struct Candidate {
    target: Target,
    settings: Vec<Setting>,
}

/// REDISCLI_AUTH and REDIS_PASSWORD for a target without a password.
///
/// REDIS_PASSWORD belongs to the host that REDIS_HOST names: it is not sent to another one.
fn lend_credentials(target: &mut Target, here: &Surroundings) {
    if target.password.is_some() || target.problem.is_some() {
        return;
    }
    let belongs = here
        .env("REDIS_HOST")
        .is_none_or(|host| target.unix.is_none() && host.eq_ignore_ascii_case(&target.host));
    let own = here.env("REDIS_PASSWORD").filter(|_| belongs);
    if let Some(password) = here.env("REDISCLI_AUTH").or(own) {
        target.password = Some(Secret::new(password));
        if target.user.is_none() && belongs {
            target.user = here.env("REDIS_USERNAME").map(str::to_owned);
        }
    }
}

fn candidates(here: &Surroundings) -> Vec<Candidate> {
    let mut found = from_pairs(&here.env, &|key| (format!("environment {key}"), "environment".to_owned()));
    for (name, text) in &here.files {
        let pairs: Vec<(usize, (String, String))> = dotenv(text);
        let lines: Vec<(String, usize)> = pairs.iter().map(|(n, (k, _))| (k.clone(), *n)).collect();
        let pairs: Vec<(String, String)> = pairs.into_iter().map(|(_, pair)| pair).collect();
        found.extend(from_pairs(&pairs, &|key| {
            let line = lines.iter().find(|(k, _)| k == key).map_or(1, |(_, n)| *n);
            (format!("{name}:{line}"), format!("{name}:{line}"))
        }));
    }
    found
}

/// Addresses among key-value pairs; `place` gives the source and the place of a key.
fn from_pairs(pairs: &[(String, String)], place: &dyn Fn(&str) -> (String, String)) -> Vec<Candidate> {
    let mut found = Vec::new();
    for key in URL_KEYS {
        if let Some(value) = lookup(pairs, key) {
            let (source, place) = place(key);
            let target = url::parse(value, &source);
            let setting = setting(place, key, &target, mask::redacted(value));
            found.push(Candidate { target, settings: vec![setting] });
        }
    }
    found.extend(from_parts(pairs, place));
    found
}

fn setting(place: String, key: &str, target: &Target, value: String) -> Setting {
    Setting {
        place,
        key: key.to_owned(),
        value,
        dials: target.problem.is_none().then(|| target.redacted()),
        problem: target.problem.as_ref().map(|p| p.says.clone()),
    }
}

/// REDIS_HOST, REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD.
fn from_parts(pairs: &[(String, String)], place: &dyn Fn(&str) -> (String, String)) -> Option<Candidate> {
    let (host, port) = (lookup(pairs, "REDIS_HOST"), lookup(pairs, "REDIS_PORT"));
    let key = if host.is_some() { "REDIS_HOST" } else { "REDIS_PORT" };
    host.or(port)?;
    let (source, _) = place(key);
    let mut target = match host {
        Some(host) => url::parse(host, &source),
        None => url::parse("127.0.0.1", &source),
    };
    if target.problem.is_none()
        && host.is_some_and(|h| h.contains("://") || target.port_given)
        && port.is_some()
    {
        let (raw, meant) = (mask::marked(host.unwrap_or_default(), 0), target.redacted());
        target = Target {
            port: 6379,
            source: source.clone(),
            raw: Some(mask::redacted(host.unwrap_or_default())),
            problem: Some(Problem {
                id: "url-malformed".to_owned(),
                says: "REDIS_HOST holds more than a host, and REDIS_PORT is set beside it".to_owned(),
                marked: Some(raw),
                meant: Some(format!("REDIS_URL={meant}, or the host alone in REDIS_HOST")),
            }),
            ..Target::default()
        };
    }
    if let Some(port) = port.filter(|_| target.problem.is_none()) {
        let (source, _) = place("REDIS_PORT");
        match port.parse::<u16>() {
            Ok(n) if n > 0 && mask::is_digits(port) => (target.port, target.port_given) = (n, true),
            _ => target = bad_port(port, &target, source),
        }
    }
    let mut settings = Vec::new();
    for key in ["REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD"] {
        if let Some(value) = lookup(pairs, key) {
            let (_, place) = place(key);
            let value = if key == "REDIS_PASSWORD" { "***".to_owned() } else { mask::redacted(value) };
            settings.push(setting(place, key, &target, value));
        }
    }
    if target.problem.is_none() {
        if let Some(password) = lookup(pairs, "REDIS_PASSWORD").filter(|_| target.password.is_none()) {
            target.password = Some(Secret::new(password));
        }
        if let Some(user) = lookup(pairs, "REDIS_USERNAME").filter(|_| target.user.is_none()) {
            (target.user, target.user_is_name) = (Some(user.to_owned()), true);
        }
    }
    Some(Candidate { target, settings })
}

/// `tcp://10.0.0.1:6379` in REDIS_PORT is what Docker links and Kubernetes put there for a service called `redis`.
fn bad_port(port: &str, target: &Target, source: String) -> Target {
    let collision = port.split_once("://").filter(|(scheme, _)| matches!(*scheme, "tcp" | "udp"));
    let problem = match collision {
        Some((_, place)) => Problem {
            id: "env-collision".to_owned(),
            says: format!(
                "REDIS_PORT is {}: Docker or Kubernetes sets it so for a service called redis, where the application expects a number",
                mask::redacted(port)
            ),
            marked: Some(mask::marked(port, 0)),
            meant: Some(format!(
                "REDIS_PORT={}",
                place.rsplit(':').next().filter(|p| mask::is_digits(p)).unwrap_or("6379")
            )),
        },
        None => {
            let parsed = url::parse(&format!("h:{port}"), &source);
            let says = parsed.problem.map_or_else(|| "is not a port".to_owned(), |p| p.says);
            Problem {
                id: "url-malformed".to_owned(),
                says: format!("REDIS_PORT: {says}"),
                marked: Some(mask::marked(port, 0)),
                meant: Some("REDIS_PORT=6379".to_owned()),
            }
        }
    };
    let raw = format!("{} with REDIS_PORT={}", target.host, mask::redacted(port));
    Target { port: 6379, source, raw: Some(raw), problem: Some(problem), ..Target::default() }
}

/// `KEY=value` lines with their numbers, as the dotenv libraries read them: `export`, quotes, comments.
fn dotenv(text: &str) -> Vec<(usize, (String, String))> {
    let mut pairs: Vec<(usize, (String, String))> = Vec::new();
    // A carriage return at a line's end stays: some libraries keep it in the value, and that is a finding.
    for (i, line) in text.trim_start_matches('\u{feff}').split('\n').enumerate().take(5000) {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once('=').filter(|(k, _)| !k.starts_with('#')) else { continue };
        pairs.push((i + 1, (key.trim().to_owned(), unquoted(value))));
    }
    // The last line of a key counts.
    pairs.reverse();
    pairs
}

fn unquoted(value: &str) -> String {
    let value = value.trim_start_matches([' ', '\t']);
    let ended = value.trim_end();
    for quote in ['"', '\''] {
        if let Some((inner, _)) = ended.strip_prefix(quote).and_then(|inner| inner.split_once(quote)) {
            return inner.to_owned();
        }
    }
    // An unquoted value ends at a blank and `#`; a `#` within a word belongs to it.
    let value = value.find(" #").map_or(value, |i| &value[..i]);
    value.trim_end_matches([' ', '\t']).to_owned()
}

/// For tests and for other modules' tests.
#[doc(hidden)]
impl Surroundings {
    /// Made from pairs instead of read.
    pub fn of(env: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        Self { env: own(env), files: own(files) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Surroundings, from_argument, from_settings};
    use std::ffi::OsStr;

    fn taken(env: &[(&str, &str)], files: &[(&str, &str)]) -> (String, String) {
        let found = from_settings(&Surroundings::of(env, files));
        (found.target.redacted(), found.target.source)
    }

    #[test]
    fn precedence() {
        assert_eq!(taken(&[], &[]).1, "default");
        let env = [("REDIS_URL", "redis://:pw@a:1"), ("REDIS_HOST", "b")];
        assert_eq!(taken(&env, &[]), ("redis://:***@a:1".to_owned(), "environment REDIS_URL".to_owned()));
        assert_eq!(taken(&[("REDIS_HOST", "b"), ("REDIS_PORT", "7")], &[]).0, "redis://b:7");
        let file = [(".env", "# x\nexport REDIS_URL=\"redis://c:2\" # y\n")];
        assert_eq!(taken(&[], &file), ("redis://c:2".to_owned(), ".env:2".to_owned()));
    }

    #[test]
    fn an_injected_port_is_a_collision() {
        let env = [("REDIS_HOST", "redis"), ("REDIS_PORT", "tcp://10.0.0.1:6379")];
        let found = from_settings(&Surroundings::of(&env, &[]));
        assert_eq!(found.target.problem.expect("a problem").id, "env-collision");
    }

    #[test]
    fn a_password_is_not_sent_to_another_host() {
        let here = Surroundings::of(&[("REDIS_HOST", "a"), ("REDIS_PASSWORD", "pw")], &[]);
        assert!(from_argument(OsStr::new("redis://b"), &here).target.password.is_none());
        assert!(from_argument(OsStr::new("redis://a"), &here).target.password.is_some());
    }
}
