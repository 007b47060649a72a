//! Where an application is told which Redis to dial: the argument, else its own settings, else the default.
//!
//! Every setting found is kept for the report, secrets replaced; only the first one is dialled. A setting that does
//! not parse is a finding only when it is the one that would be taken.

use super::{Target, expand, files, mask, url};
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

/// Largest settings file.
const FILE: usize = 256 << 10;

impl Surroundings {
    /// Reads them.
    pub fn read() -> Self {
        let files = files::NAMES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), sys::read_text(name, FILE).ok()?)))
            .collect();
        Self { env: sys::environment(), files }
    }

    /// Made from pairs instead of read, for tests.
    #[doc(hidden)]
    pub fn of(env: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        Self { env: own(env), files: own(files) }
    }

    /// Reads those of a running process: its environment and its working directory. What may not be read is empty.
    pub fn of_process(pid: u32) -> Self {
        let environment = sys::read(format!("/proc/{pid}/environ"), 1 << 20).unwrap_or_default();
        let env = environment
            .split(|b| *b == 0)
            .filter_map(|pair| {
                String::from_utf8_lossy(pair).split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))
            })
            .collect();
        let read = |name: &&str| sys::read_text(format!("/proc/{pid}/cwd/{name}"), FILE).ok();
        let files = files::NAMES.iter().filter_map(|name| Some(((*name).to_owned(), read(name)?))).collect();
        Self { env, files }
    }

    /// Every password these settings hold, whether used or not: none of them may be shown.
    pub fn secrets(&self) -> Vec<Secret> {
        let named = self.env.iter().filter(|(k, v)| {
            let key = k.to_ascii_uppercase();
            let about = ["REDIS", "VALKEY"].iter().any(|w| key.contains(w));
            let secret = ["PASS", "AUTH", "SECRET", "TOKEN"].iter().any(|w| key.contains(w));
            about && secret && !v.is_empty()
        });
        let mut secrets: Vec<Secret> = named.map(|(_, v)| Secret::new(v)).collect();
        secrets.extend(self.candidates().into_iter().filter_map(|c| c.target.password));
        secrets
    }

    /// A variable of the environment.
    pub fn variable(&self, key: &str) -> Option<&str> {
        lookup(&self.env, key)
    }

    /// The same with another value of a variable.
    pub fn with_variable(&self, key: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.env.push((key.to_owned(), value.to_owned()));
        other
    }

    /// The same with another text of a file.
    pub fn with_file(&self, name: &str, text: &str) -> Self {
        let mut other = self.clone();
        for (own, old) in &mut other.files {
            if own == name {
                text.clone_into(old);
            }
        }
        other
    }

    /// Files and lines where a service of a compose file gets a variable with that value.
    pub fn compose_lines(&self, key: &str, value: &str) -> Vec<(String, usize)> {
        let compose = self.files.iter().filter(|(name, _)| name.contains("compose"));
        let lines = |(name, text): &(String, String)| {
            files::variable_lines(text, key, value, self)
                .into_iter()
                .map(|n| (name.clone(), n))
                .collect::<Vec<_>>()
        };
        compose.flat_map(lines).collect()
    }

    pub(super) fn env(&self, key: &str) -> Option<&str> {
        lookup(&self.env, key)
    }

    /// Every place that names a Redis, in order of precedence.
    fn candidates(&self) -> Vec<Candidate> {
        let mut found = from_pairs(&self.env, &|key| Place {
            source: format!("environment {key}"),
            place: "environment".to_owned(),
        });
        for (name, text) in &self.files {
            found.extend(files::candidates(name, text, self));
        }
        found
    }
}

pub(super) fn lookup<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    // The last of equal keys counts, as in a shell.
    pairs.iter().rev().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
}

/// The target of an argument.
pub fn from_argument(text: &OsStr, here: &Surroundings) -> Found {
    let mut target = url::parse(&text.to_string_lossy(), "argument");
    let password_in_text = target.password.is_some();
    lend_credentials(&mut target, here);
    Found { target, settings: settings(here.candidates()), password_in_text }
}

/// The target of the application's settings, else the default.
pub fn from_settings(here: &Surroundings) -> Found {
    let candidates = here.candidates();
    let mut target = match candidates.first() {
        Some(first) => first.target.clone(),
        None => url::parse("redis://127.0.0.1:6379", "default"),
    };
    lend_credentials(&mut target, here);
    Found { target, settings: settings(candidates), password_in_text: false }
}

fn settings(candidates: Vec<Candidate>) -> Settings {
    /// More would be noise.
    const SHOWN: usize = 50;
    let mut found: Vec<Setting> = Vec::new();
    for setting in candidates.into_iter().flat_map(|c| c.settings) {
        // The same line found by two rules is one setting.
        if !found.iter().any(|s| s.place == setting.place && s.key == setting.key) && found.len() < SHOWN {
            found.push(setting);
        }
    }
    Settings { found }
}

/// One place that names a Redis.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) target: Target,
    pub(super) settings: Vec<Setting>,
}

/// Where a key was read: as the target's source, and as a setting's place.
pub(super) struct Place {
    pub(super) source: String,
    pub(super) place: String,
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
    let own = here.env("REDIS_PASSWORD").filter(|v| belongs && *v != "null");
    if let Some(password) = here.env("REDISCLI_AUTH").or(own) {
        target.password = Some(Secret::new(password));
    }
    if let Some(user) = here.env("REDIS_USERNAME").filter(|_| belongs && target.user.is_none()) {
        (target.user, target.user_is_name) = (Some(user.to_owned()), true);
    }
}

/// Keys that hold a whole address, in order of precedence.
const URL_KEYS: &[&str] = &[
    "REDIS_URL",
    "REDIS_TLS_URL",
    "REDIS_URI",
    "REDIS_DSN",
    "VALKEY_URL",
    "VALKEY_URI",
    "SPRING_DATA_REDIS_URL",
    "SPRING_REDIS_URL",
    "CELERY_BROKER_URL",
    "BROKER_URL",
    "CACHE_URL",
];

/// Keys whose value may be of something else than Redis (RabbitMQ, memcached).
const SHARED: &[&str] = &["CELERY_BROKER_URL", "BROKER_URL", "CACHE_URL"];

/// Prefixes of `…_HOST`, `…_PORT` and so on.
const PARTS: &[&str] = &["REDIS", "VALKEY", "SPRING_DATA_REDIS", "SPRING_REDIS"];

/// Addresses among key-value pairs.
pub(super) fn from_pairs(pairs: &[(String, String)], place: &dyn Fn(&str) -> Place) -> Vec<Candidate> {
    let mut found = Vec::new();
    for key in URL_KEYS {
        let value = lookup(pairs, key).filter(|v| !SHARED.contains(key) || is_redis_url(v));
        found.extend(value.map(|value| whole(key, value, place(key))));
    }
    for prefix in PARTS {
        found.extend(from_parts(pairs, prefix, place));
    }
    // `CACHE_REDIS_URL`, `REDIS_SESSION_URL`: whatever it is called, it names a Redis.
    for (key, value) in pairs {
        let upper = key.to_ascii_uppercase();
        let about = upper.contains("REDIS") || upper.contains("VALKEY");
        if about && !URL_KEYS.contains(&key.as_str()) && is_redis_url(value) {
            found.push(whole(key, value, place(key)));
        }
        if upper.starts_with("CONNECTIONSTRINGS__") && about && !value.is_empty() {
            found.push(connection_string(key, value, place(key)));
        }
    }
    found
}

pub(super) fn is_redis_url(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'', ' ']);
    value.split_once("://").is_some_and(|(scheme, _)| url::scheme(scheme).is_some() && scheme != "unix")
}

/// A candidate whose one setting is the whole address.
pub(super) fn whole(key: &str, value: &str, place: Place) -> Candidate {
    let target = url::parse(value, &place.source);
    let setting = setting(place.place, key, &target, mask::redacted(value));
    Candidate { target, settings: vec![setting] }
}

/// StackExchange.Redis: `host:port,password=…,ssl=true,defaultDatabase=1`.
pub(super) fn connection_string(key: &str, value: &str, place: Place) -> Candidate {
    if value.contains("://") {
        return whole(key, value, place);
    }
    let mut parts = value.split(',').map(str::trim);
    let mut target = url::parse(parts.next().unwrap_or_default(), &place.source);
    for (name, value) in parts.filter_map(|p| p.split_once('=')) {
        match name.trim().to_ascii_lowercase().as_str() {
            "password" => target.password = Some(Secret::new(value.trim())),
            "user" => (target.user, target.user_is_name) = (Some(value.trim().to_owned()), true),
            "ssl" => target.tls = value.trim().eq_ignore_ascii_case("true"),
            "defaultdatabase" => target.db = value.trim().parse().ok(),
            _ => {}
        }
    }
    let setting = setting(place.place, key, &target, mask::redacted(value));
    Candidate { target, settings: vec![setting] }
}

pub(super) fn setting(place: String, key: &str, target: &Target, value: String) -> Setting {
    Setting {
        place,
        key: crate::text::shown_str(key, 100),
        value,
        dials: target.problem.is_none().then(|| target.redacted()),
        problem: target.problem.as_ref().map(|p| p.says.clone()),
    }
}

/// `REDIS_HOST`, `REDIS_PORT`, `REDIS_USERNAME`, `REDIS_PASSWORD` and their kin.
pub(super) fn from_parts(
    pairs: &[(String, String)],
    prefix: &str,
    place: &dyn Fn(&str) -> Place,
) -> Option<Candidate> {
    let key = |suffix: &str| format!("{prefix}_{suffix}");
    // Laravel writes `null` for nothing.
    let value = |suffix: &str| lookup(pairs, &key(suffix)).filter(|v| *v != "null");
    let (host, port) = (value("HOST"), value("PORT"));
    host.or(port)?;
    let taken = key(if host.is_some() { "HOST" } else { "PORT" });
    let source = place(&taken).source;
    let mut target = url::parse(host.unwrap_or("127.0.0.1"), &source);
    let crowded = host.filter(|h| target.problem.is_none() && (h.contains("://") || target.port_given));
    if let Some(host) = crowded.filter(|_| port.is_some()) {
        target = crowded_host(host, &target, &key("HOST"));
    }
    if let Some(port) = port.filter(|_| target.problem.is_none()) {
        match port.parse::<u16>() {
            Ok(n) if n > 0 && mask::is_digits(port) => (target.port, target.port_given) = (n, true),
            _ => target = bad_port(port, &target, &key("PORT"), place(&key("PORT")).source),
        }
    }
    if target.problem.is_none() {
        credentials(&mut target, &value);
    }
    let settings = pairs
        .iter()
        .filter(|(k, v)| {
            !v.is_empty() && ["HOST", "PORT", "USERNAME", "USER", "DB"].iter().any(|s| *k == key(s))
        })
        .map(|(k, v)| setting(place(k).place, k, &target, mask::redacted(v)))
        .chain(
            value("PASSWORD")
                .map(|_| setting(place(&key("PASSWORD")).place, &key("PASSWORD"), &target, "***".to_owned())),
        )
        .collect();
    Some(Candidate { target, settings })
}

fn credentials<'a>(target: &mut Target, value: &dyn Fn(&str) -> Option<&'a str>) {
    let password = value("PASSWORD").or(value("PASS")).or(value("AUTH"));
    if let Some(password) = password.filter(|_| target.password.is_none()) {
        target.password = Some(Secret::new(password));
    }
    if let Some(user) = value("USERNAME").or(value("USER")).filter(|_| target.user.is_none()) {
        (target.user, target.user_is_name) = (Some(user.to_owned()), true);
    }
    let yes = |v: &str| ["true", "1", "yes", "on", "tls"].contains(&v.to_ascii_lowercase().as_str());
    if ["TLS", "SSL", "SCHEME", "SSL_ENABLED"].iter().any(|s| value(s).is_some_and(yes)) {
        target.tls = true;
    }
    if let Some(db) = value("DB").or(value("DATABASE")).and_then(|v| v.parse().ok()) {
        target.db = Some(db);
    }
}

/// REDIS_HOST with a scheme or a port in it, beside a REDIS_PORT: libraries put both together.
fn crowded_host(host: &str, target: &Target, key: &str) -> Target {
    Target {
        port: 6379,
        source: target.source.clone(),
        raw: Some(mask::redacted(host)),
        problem: Some(Problem {
            id: "url-malformed".to_owned(),
            says: format!("{key} holds more than a host, and its port is set beside it"),
            marked: Some(mask::marked(host, host.find(':').unwrap_or(0))),
            meant: Some(format!("the host alone: {}", crate::text::shown_str(&target.host, 260))),
        }),
        ..Target::default()
    }
}

/// `tcp://10.0.0.1:6379` in REDIS_PORT is what Docker links and Kubernetes put there for a service called `redis`.
fn bad_port(port: &str, target: &Target, key: &str, source: String) -> Target {
    let injected = port.split_once("://").filter(|(scheme, _)| matches!(*scheme, "tcp" | "udp"));
    let problem = match injected {
        Some((_, place)) => {
            let number = place.rsplit(':').next().filter(|p| mask::is_digits(p)).unwrap_or("6379");
            Problem {
                id: "env-collision".to_owned(),
                says: format!(
                    "{key} is {}: Docker or Kubernetes sets it so for a service called {}, \
                     where the application expects a number",
                    mask::redacted(port),
                    key.trim_end_matches("_PORT").to_ascii_lowercase().replace('_', "-"),
                ),
                marked: Some(mask::marked(port, 0)),
                meant: Some(format!("{key}={number}")),
            }
        }
        None => {
            // The address parser knows blanks, quotes, line ends and placeholders already.
            let problem = url::parse(port, &source).problem.filter(|_| !mask::is_digits(port));
            let says = problem.as_ref().map_or("a port is a number from 1 to 65535", |p| p.says.as_str());
            let at = problem.as_ref().and_then(|p| p.marked.as_ref()).map_or(0, |(_, column)| *column);
            Problem {
                id: "url-malformed".to_owned(),
                says: format!("{key}: {says}"),
                marked: Some((mask::marked(port, 0).0, at)),
                meant: Some(format!("{key}=6379")),
            }
        }
    };
    let raw = format!("{} with {key}={}", crate::text::shown_str(&target.host, 260), mask::redacted(port));
    Target { port: 6379, source, raw: Some(raw), problem: Some(problem), ..Target::default() }
}

/// A value with its references to other settings replaced; one that nothing defines stays, and is a finding.
pub(super) fn expanded(value: &str, pairs: &[(String, String)], here: &Surroundings) -> String {
    let known = |name: &str| here.env(name).or_else(|| lookup(pairs, name));
    expand::variables(value, &known, &str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Surroundings, from_argument, from_settings};
    use std::ffi::OsStr;

    fn taken(env: &[(&str, &str)], files: &[(&str, &str)]) -> (String, String) {
        let found = from_settings(&Surroundings::of(env, files));
        assert!(found.target.problem.is_none(), "{:?}", found.target.problem);
        (found.target.redacted(), found.target.source)
    }

    #[test]
    fn precedence_in_the_environment() {
        assert_eq!(taken(&[], &[]).1, "default");
        let env = [("REDIS_HOST", "b"), ("REDIS_URL", "redis://:pw@a:1")];
        assert_eq!(taken(&env, &[]), ("redis://:***@a:1".to_owned(), "environment REDIS_URL".to_owned()));
        assert_eq!(taken(&[("REDIS_HOST", "b"), ("REDIS_PORT", "7")], &[]).0, "redis://b:7");
        assert_eq!(taken(&[("REDIS_PORT", "7")], &[]).0, "redis://127.0.0.1:7");
        let amqp = [("CELERY_BROKER_URL", "amqp://x"), ("CACHE_REDIS_URL", "redis://c")];
        assert_eq!(taken(&amqp, &[]).1, "environment CACHE_REDIS_URL");
    }

    #[test]
    fn parts_carry_credentials() {
        let env =
            [("REDIS_HOST", "b"), ("REDIS_USERNAME", "app"), ("REDIS_PASSWORD", "pw"), ("REDIS_DB", "3")];
        assert_eq!(taken(&env, &[]).0, "redis://app:***@b:6379/3");
        assert_eq!(taken(&[("REDIS_HOST", "b"), ("REDIS_PASSWORD", "null")], &[]).0, "redis://b:6379");
    }

    #[test]
    fn an_injected_port_is_a_collision() {
        for env in [
            &[("REDIS_HOST", "redis"), ("REDIS_PORT", "tcp://10.0.0.1:6379")][..],
            &[("REDIS_PORT", "tcp://10.0.0.1:6379")],
        ] {
            let problem = from_settings(&Surroundings::of(env, &[])).target.problem.expect("a problem");
            assert_eq!(
                (problem.id.as_str(), problem.meant.as_deref()),
                ("env-collision", Some("REDIS_PORT=6379"))
            );
        }
        // Not the one that is taken: only listed.
        let env = [("REDIS_URL", "redis://a"), ("REDIS_PORT", "tcp://10.0.0.1:6379")];
        let found = from_settings(&Surroundings::of(&env, &[]));
        assert!(found.target.problem.is_none());
        assert!(found.settings.found.iter().any(|s| s.key == "REDIS_PORT" && s.problem.is_some()));
    }

    #[test]
    fn bad_parts_are_told() {
        for (host, port) in
            [("a:1", "2"), ("redis://a", "2"), ("a", "6379\r"), ("a", "x"), ("a b", "1"), ("a", "0")]
        {
            let env = [("REDIS_HOST", host), ("REDIS_PORT", port)];
            let problem = from_settings(&Surroundings::of(&env, &[])).target.problem;
            assert!(problem.is_some_and(|p| p.id == "url-malformed"), "{host} {port:?}");
        }
    }

    #[test]
    fn a_password_is_not_sent_to_another_host() {
        let here = Surroundings::of(&[("REDIS_HOST", "a"), ("REDIS_PASSWORD", "pw")], &[]);
        assert!(from_argument(OsStr::new("redis://b"), &here).target.password.is_none());
        assert!(from_argument(OsStr::new("redis://a"), &here).target.password.is_some());
        let here = Surroundings::of(&[("REDISCLI_AUTH", "pw")], &[]);
        assert!(from_argument(OsStr::new("redis://b"), &here).target.password.is_some());
    }

    #[test]
    fn no_secret_among_the_settings() {
        let env = [
            ("REDIS_URL", "redis://:canary@a"),
            ("REDIS_PASSWORD", "canary"),
            ("REDIS_HOST", "h"),
            ("REDIS_TLS_URL", "rediss://:can#canary@a"),
            ("ConnectionStrings__Redis", "h:1,password=canary"),
        ];
        let files = [
            (".env", "REDIS_URL=redis://x:canary@b\nREDIS_HOST=h\nREDIS_PASSWORD=canary\n"),
            ("appsettings.json", "{\"ConnectionStrings\": {\"Redis\": \"h:1,password=canary,ssl=true\"}}"),
            ("application.properties", "spring.data.redis.host=h\nspring.data.redis.password=canary\n"),
        ];
        let here = Surroundings::of(&env, &files);
        let found = from_settings(&here);
        assert!(found.settings.found.len() >= 8, "{found:?}");
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
        assert!(here.secrets().iter().any(|s| s.reveal() == "canary"));
    }
}
