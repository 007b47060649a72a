//! Where an application is told which Redis to dial: the argument, else its own settings, else the default.
//!
//! Every setting found is kept for the report, secrets replaced; only the first one that the application takes is
//! dialled. A setting that does not parse is a finding only when it is the one that would be taken.

use super::frameworks;
use super::pairs::{Candidate, lookup};
use super::{Target, url};
use crate::evidence::client::{Remark, Setting, Settings};
use crate::secret::Secret;
use crate::sys;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// What the lookup reads: the environment and the files of the application's directory.
#[derive(Debug, Default, Clone)]
pub struct Surroundings {
    env: Vec<(String, String)>,
    /// Files that are not read but given, by name.
    files: Vec<(String, String)>,
    /// The application's directory.
    root: Option<PathBuf>,
    /// The surroundings are those of a running process, not of a shell.
    running: bool,
    /// Its systemd unit.
    unit: Option<String>,
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
    /// Those of this process.
    pub fn read() -> Self {
        Self { env: sys::environment(), root: Some(PathBuf::from(".")), ..Self::default() }
    }

    /// Made from pairs instead of read, for tests.
    #[doc(hidden)]
    pub fn of(env: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        Self { env: own(env), files: own(files), ..Self::default() }
    }

    #[cfg(test)]
    pub(super) fn of_unit(self, unit: &str) -> Self {
        Self { running: true, unit: Some(unit.to_owned()), ..self }
    }

    /// Those of a running process: its environment, its working directory, its unit. What may not be read is empty.
    pub fn of_process(pid: u32) -> Self {
        let environment = sys::read(format!("/proc/{pid}/environ"), 1 << 20).unwrap_or_default();
        let env = environment
            .split(|b| *b == 0)
            .filter_map(|pair| {
                String::from_utf8_lossy(pair).split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))
            })
            .collect();
        let root = Some(PathBuf::from(format!("/proc/{pid}/cwd")));
        Self { env, root, running: true, unit: frameworks::unit_of(pid), ..Self::default() }
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
        other.files.retain(|(own, _)| own != name);
        other.files.push((name.to_owned(), text.to_owned()));
        other
    }

    /// Files and lines where a service of a compose file gets a variable with that value.
    pub fn compose_lines(&self, key: &str, value: &str) -> Vec<(String, usize)> {
        let names = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
        let lines = |name: &str| -> Vec<(String, usize)> {
            let Some(text) = self.file(name) else { return Vec::new() };
            let lines = frameworks::variable_lines(&text, key, value, self);
            lines.into_iter().map(|n| (name.to_owned(), n)).collect()
        };
        names.into_iter().flat_map(lines).collect()
    }

    pub(super) fn env(&self, key: &str) -> Option<&str> {
        lookup(&self.env, key)
    }

    pub(super) fn variables(&self) -> &[(String, String)] {
        &self.env
    }

    pub(super) fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// A file of the application's directory; what is outside of it is no setting of the application's.
    pub(super) fn file(&self, name: &str) -> Option<String> {
        if let Some((_, text)) = self.files.iter().find(|(own, _)| own == name) {
            return Some(text.clone());
        }
        let inside =
            Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        let root = self.root.as_ref().filter(|_| inside && name.len() < 256)?;
        sys::read_text(root.join(name), FILE).ok()
    }

    /// A file of the system, by its absolute path.
    pub(super) fn system_file(&self, path: &str) -> Option<String> {
        if let Some((_, text)) = self.files.iter().find(|(own, _)| own == path) {
            return Some(text.clone());
        }
        self.root.as_ref()?;
        sys::read_text(path, FILE).ok()
    }

    /// Names in a folder of the system, in order.
    pub(super) fn system_names(&self, folder: &str, max: usize) -> Vec<String> {
        let given = self.files.iter().filter_map(|(own, _)| {
            own.strip_prefix(folder)?.strip_prefix('/').filter(|n| !n.contains('/')).map(str::to_owned)
        });
        let mut names: Vec<String> = given.collect();
        if self.root.is_some() {
            let found = sys::list(folder, max).unwrap_or_default();
            names.extend(found.into_iter().filter_map(|n| n.into_string().ok()));
        }
        names.sort();
        names
    }

    /// Folders of the application's directory, hidden ones left out.
    pub(super) fn folders(&self, max: usize) -> Vec<String> {
        let given =
            self.files.iter().filter_map(|(own, _)| own.split_once('/').map(|(folder, _)| folder.to_owned()));
        let mut names: Vec<String> = given.filter(|f| !f.is_empty()).collect();
        if let Some(root) = &self.root {
            let found =
                sys::list(root, 500).unwrap_or_default().into_iter().filter_map(|n| n.into_string().ok());
            let is_folder =
                |n: &String| !n.starts_with('.') && sys::stat(root.join(n)).is_ok_and(|s| s.is_dir());
            names.extend(found.filter(is_folder).take(max));
        }
        names.sort();
        names.dedup();
        names
    }

    /// Every place that names a Redis, in order of precedence, what nobody takes last.
    fn candidates(&self) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = frameworks::ALL.iter().flat_map(|read| read(self)).collect();
        if frameworks::is_cached(self) {
            // Of a shell's variables nobody knows whether they are the application's.
            let read = |c: &Candidate| {
                let (own, file) =
                    (c.target.source.starts_with("environment "), c.target.source.starts_with(".env"));
                !file && (!own || !self.running)
            };
            for candidate in found.iter_mut().filter(|c| c.ignored.is_none() && !read(c)) {
                candidate.lost = true;
                candidate.ignored = Some(
                    "Laravel reads bootstrap/cache/config.php, which was made before: php artisan config:clear".to_owned(),
                );
            }
        }
        found.sort_by_key(|c| c.ignored.is_some());
        found
    }
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
    let mut target = match candidates.iter().find(|c| c.ignored.is_none()) {
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
    for candidate in candidates {
        for mut setting in candidate.settings {
            setting.ignored.clone_from(&candidate.ignored);
            setting.idle = candidate.idle;
            if let Some(says) = candidate.ignored.clone().filter(|_| candidate.lost) {
                setting.remark = Some(Remark { cause: "settings-not-applied".to_owned(), says });
            }
            // The same line found by two rules is one setting.
            if !found.iter().any(|s| s.place == setting.place && s.key == setting.key) && found.len() < SHOWN
            {
                found.push(setting);
            }
        }
    }
    Settings { found }
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
