//! Addresses among key-value pairs: whole ones, and those in parts.

use super::{Target, mask, url};
use crate::evidence::Problem;
use crate::evidence::client::Setting;
use crate::secret::Secret;

/// One place that names a Redis.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) target: Target,
    pub(super) settings: Vec<Setting>,
    /// Why the application does not take it.
    pub(super) ignored: Option<String>,
    /// It is for another stage or profile: nobody expects it to be taken.
    pub(super) idle: bool,
    /// Whoever wrote it expects it to be taken.
    pub(super) lost: bool,
}

impl Candidate {
    fn new(target: Target, settings: Vec<Setting>) -> Self {
        Self { target, settings, ignored: None, idle: false, lost: false }
    }
    /// The same, as one that another comes before.
    pub(super) fn ignored(self, why: impl Into<String>) -> Self {
        Self { ignored: Some(why.into()), ..self }
    }
    /// The same, as one for another stage or profile than the one that runs.
    pub(super) fn idle(self, why: impl Into<String>) -> Self {
        Self { idle: true, ..self.ignored(why) }
    }
    /// The same, as one that does not reach the application although it should.
    pub(super) fn lost(self, why: impl Into<String>) -> Self {
        Self { lost: true, ..self.ignored(why) }
    }
    /// What a library dials that no setting reaches.
    pub(super) fn of_default(source: &str) -> Self {
        Self::new(url::parse("redis://127.0.0.1:6379", source), Vec::new())
    }
}

/// Where a key was read: as the target's source, and as a setting's place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) source: String,
    pub(super) place: String,
}

impl Place {
    /// A `file:line` for both uses.
    pub(super) fn at(name: &str, line: usize) -> Self {
        let place = format!("{name}:{line}");
        Self { source: place.clone(), place }
    }
    /// A variable of the environment.
    pub(super) fn variable(key: &str) -> Self {
        Self { source: format!("environment {key}"), place: "environment".to_owned() }
    }
}

pub(super) fn lookup<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    // The last of equal keys counts, as in a shell.
    pairs.iter().rev().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
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

/// Keys of Go, Rust and others that hold `host:port`.
const ADDRESS_KEYS: &[&str] = &[
    "REDIS_ADDR",
    "REDIS_ADDRESS",
    "REDIS_ENDPOINT",
    "REDIS_SERVER",
    "REDIS_SOCKET",
    "REDIS_PATH",
    "VALKEY_ADDR",
    "VALKEY_ADDRESS",
];

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
    for key in ADDRESS_KEYS {
        let value = lookup(pairs, key).filter(|v| v.contains([':', '.', '/']));
        found.extend(value.map(|value| whole(key, value, place(key))));
    }
    // `CACHE_REDIS_HOST`, `AUTHENTIK_REDIS__HOST`: the prefix is the application's. A Sentinel's is another thing.
    for (key, _) in pairs.iter().filter(|(k, v)| k.ends_with("_HOST") && !v.is_empty()).take(50) {
        let prefix = key.trim_end_matches("_HOST");
        let prefix = if key.ends_with("__HOST") { &key[..key.len() - "_HOST".len()] } else { prefix };
        let about = ["REDIS", "VALKEY"].iter().any(|w| prefix.contains(w));
        let known = PARTS.contains(&prefix) || prefix.contains("SENTINEL") || prefix.contains("SERVICE");
        if about && !known {
            found.extend(from_parts(pairs, prefix, place));
        }
    }
    // `CACHE_REDIS_URL`, `AIRFLOW__CELERY__BROKER_URL`: whatever it is called, its value names a Redis.
    for (key, value) in pairs {
        let upper = key.to_ascii_uppercase();
        let about = upper.contains("REDIS") || upper.contains("VALKEY");
        if !URL_KEYS.contains(&key.as_str()) && !ADDRESS_KEYS.contains(&key.as_str()) && is_redis_url(value) {
            found.push(whole(key, value, place(key)));
        }
        if upper.starts_with("CONNECTIONSTRINGS__") && about && !value.is_empty() {
            found.push(connection_string(key, value, place(key)));
        }
    }
    // Kubernetes sets these for a Service called redis; nobody reads them who has anything better.
    for prefix in ["REDIS_SERVICE", "VALKEY_SERVICE"] {
        found.extend(from_parts(pairs, prefix, place));
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
    Candidate::new(target, vec![setting])
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
    Candidate::new(target, vec![setting])
}

pub(super) fn setting(place: String, key: &str, target: &Target, value: String) -> Setting {
    Setting {
        place,
        key: crate::text::shown_str(key, 100),
        value,
        dials: target.problem.is_none().then(|| target.redacted()),
        problem: target.problem.as_ref().map(|p| p.says.clone()),
        ..Setting::default()
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
    let (host, port) = (value("HOST"), value("PORT").or(value("HOST_PORT")));
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
    Some(Candidate::new(target, settings))
}

fn credentials<'a>(target: &mut Target, value: &dyn Fn(&str) -> Option<&'a str>) {
    let password = value("PASSWORD").or(value("PASS")).or(value("AUTH")).or(value("HOST_PASSWORD"));
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
