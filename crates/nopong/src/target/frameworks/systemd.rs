//! The systemd unit of the application: `Environment=` and `EnvironmentFile=` with drop-ins (systemd.exec(5)).
//!
//! A running process already has what they said when it started; what they say now and it does not have is waiting
//! for a restart.

use super::super::pairs::{Candidate, Place, from_pairs, lookup};
use super::super::settings::Surroundings;
use super::dotenv;
use crate::sys;

/// Where units stand, in order of precedence (systemd.unit(5), "Unit File Load Path").
const FOLDERS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// At most so many drop-ins and environment files.
const FILES: usize = 32;

/// The system unit of a process, from its cgroup.
pub(crate) fn unit_of(pid: u32) -> Option<String> {
    let text = sys::read_text(format!("/proc/{pid}/cgroup"), 64 << 10).ok()?;
    let unit = text.lines().find_map(|l| l.rsplit('/').find(|p| p.ends_with(".service")))?;
    (!unit.starts_with("user@")).then(|| unit.to_owned())
}

/// Candidates of the unit's variables, with a reason where the process does not have them.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let Some(unit) = here.unit() else { return Vec::new() };
    let all = variables(unit, here);
    let pairs: Vec<(String, String)> = all.iter().map(|(k, v, _)| (k.clone(), v.clone())).collect();
    let place = |key: &str| {
        all.iter().rev().find(|(k, ..)| k == key).map_or_else(|| Place::at(unit, 1), |(.., p)| p.clone())
    };
    let found = from_pairs(&pairs, &place).into_iter();
    let late = |key: &str| lookup(&pairs, key).is_some() && here.env(key) != lookup(&pairs, key);
    found
        .map(|c| match c.settings.iter().find(|s| late(&s.key)) {
            Some(s) => {
                let has = if here.env(&s.key).is_some() { "another value" } else { "no such variable" };
                let why = format!("the running process has {has}: it was started before {unit} said so");
                c.lost(why)
            }
            None => c,
        })
        .collect()
}

/// What the unit sets: EnvironmentFile= overrides Environment=, later lines override earlier ones.
fn variables(unit: &str, here: &Surroundings) -> dotenv::Layer {
    let (mut set, mut files) = (dotenv::Layer::new(), Vec::new());
    for path in unit_files(unit, here) {
        let Some(text) = here.system_file(&path) else { continue };
        for (line, key, value) in assignments(&text) {
            match (key, value.as_str()) {
                ("Environment", "") => set.clear(),
                ("EnvironmentFile", "") => files.clear(),
                ("Environment", _) => {
                    let pairs = words(&value).into_iter().filter_map(|w| {
                        w.split_once('=')
                            .map(|(k, v)| (k.to_owned(), v.replace("%%", "%"), Place::at(&path, line)))
                    });
                    set.extend(pairs);
                }
                _ if files.len() < FILES => files.push(value.trim_start_matches('-').to_owned()),
                _ => {}
            }
        }
    }
    for path in files.into_iter().filter(|p| p.starts_with('/') && !p.contains(['*', '%'])) {
        if let Some(text) = here.system_file(&path) {
            set.extend(dotenv::parsed(&path, &text, &Surroundings::default()));
        }
    }
    set
}

/// The unit's file and its drop-ins, the main one first; a drop-in of one name counts once.
fn unit_files(unit: &str, here: &Surroundings) -> Vec<String> {
    let plain = unit.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@:\\".contains(c));
    if !plain {
        return Vec::new();
    }
    let mut names = vec![unit.to_owned()];
    if let Some((before, _)) = unit.split_once('@') {
        names.push(format!("{before}@.service"));
    }
    let paths = |name: &str| FOLDERS.iter().map(|f| format!("{f}/{name}")).collect::<Vec<_>>();
    let main = names.iter().flat_map(|n| paths(n)).find(|p| here.system_file(p).is_some());
    let mut drops: Vec<(String, String)> = Vec::new();
    for folder in names.iter().flat_map(|n| paths(&format!("{n}.d"))) {
        for name in here.system_names(&folder, FILES) {
            if name.ends_with(".conf") && !drops.iter().any(|(n, _)| *n == name) {
                drops.push((name.clone(), format!("{folder}/{name}")));
            }
        }
    }
    drops.sort();
    main.into_iter().chain(drops.into_iter().map(|(_, path)| path)).collect()
}

/// The lines that set variables, with their number; a backslash continues one.
fn assignments(text: &str) -> Vec<(usize, &'static str, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate().take(5000);
    while let Some((i, line)) = lines.next() {
        let line = line.trim();
        let key = ["Environment", "EnvironmentFile"]
            .into_iter()
            .find(|k| line.strip_prefix(k).is_some_and(|rest| rest.trim_start().starts_with('=')));
        let (Some(key), Some((_, value))) = (key, line.split_once('=')) else { continue };
        let mut value = value.trim().to_owned();
        while value.ends_with('\\') {
            value.pop();
            match lines.next() {
                Some((_, more)) => value.push_str(more.trim()),
                None => break,
            }
        }
        found.push((i + 1, key, value));
    }
    found
}

/// Words of a line, quotes removed.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut any) = (String::new(), None, false);
    for c in text.chars() {
        match (c, quote) {
            ('"' | '\'', None) => (quote, any) = (Some(c), true),
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (c, _) => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::{Surroundings, from_settings};

    const UNIT: &str = "[Service]\nEnvironment=\"REDIS_URL=redis://:p%%40w@old\" A=1\nExecStart=/srv/app\n";

    fn unit(env: &[(&str, &str)], files: &[(&str, &str)]) -> crate::evidence::client::Settings {
        from_settings(&Surroundings::of(env, files).of_unit("app.service")).settings
    }

    #[test]
    fn what_the_process_has_is_no_news() {
        let found =
            unit(&[("REDIS_URL", "redis://:p%40w@old")], &[("/etc/systemd/system/app.service", UNIT)]);
        let own = found.found.iter().find(|s| s.place == "/etc/systemd/system/app.service:2").unwrap();
        assert_eq!((own.ignored.as_deref(), own.dials.as_deref()), (None, Some("redis://:***@old:6379")));
    }

    #[test]
    fn a_drop_in_that_waits_for_a_restart() {
        let files = [
            ("/usr/lib/systemd/system/app.service", UNIT),
            (
                "/etc/systemd/system/app.service.d/redis.conf",
                "[Service]\nEnvironmentFile=-/etc/default/app\n",
            ),
            ("/etc/default/app", "REDIS_URL=redis://new:7\n"),
        ];
        let found = unit(&[("REDIS_URL", "redis://old")], &files);
        assert_eq!(found.found[0].place, "environment");
        let late = found.found.iter().find(|s| s.place == "/etc/default/app:1").unwrap();
        assert!(late.ignored.as_deref().is_some_and(|w| w.contains("another value")), "{found:?}");
        assert_eq!(late.dials.as_deref(), Some("redis://new:7"));
    }

    #[test]
    fn an_empty_assignment_clears() {
        let files = [
            ("/etc/systemd/system/app.service", UNIT),
            (
                "/etc/systemd/system/app.service.d/x.conf",
                "[Service]\nEnvironment=\nEnvironment=B=1 \\\n  REDIS_HOST=h\n",
            ),
        ];
        let found = unit(&[("REDIS_HOST", "h")], &files);
        assert!(!found.found.iter().any(|s| s.key == "REDIS_URL"), "{found:?}");
    }
}
