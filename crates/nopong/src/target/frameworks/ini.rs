//! INI files: PHP's session handler, Airflow, Discourse, GitLab's Omnibus file, Superset and their like.

use super::super::pairs::{Candidate, Place, from_pairs, is_redis_url, lookup, whole};
use super::super::settings::Surroundings;
use super::super::tree::{self, Leaf};

const FILES: &[&str] = &[
    "php.ini",
    "airflow.cfg",
    "config/discourse.conf",
    "discourse.conf",
    "gitlab.rb",
    "app.ini",
    "conf/app.ini",
    "config.ini",
];

/// Candidates of all files.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let mut found = Vec::new();
    for name in FILES {
        let Some(text) = here.file(name) else { continue };
        let leaves = tree::sections(&text);
        found.extend(php_session(name, &leaves));
        found.extend(gitlab(name, &text));
        let pairs: Vec<(String, String)> = leaves
            .iter()
            .map(|l| (l.path.last().cloned().unwrap_or_default().to_ascii_uppercase(), l.value.clone()))
            .collect();
        let line = |key: &str| {
            let of = leaves.iter().rev().find(|l| l.path.last().is_some_and(|p| p.eq_ignore_ascii_case(key)));
            of.map_or(1, |l| l.line)
        };
        found.extend(from_pairs(&pairs, &|key| Place::at(name, line(key))).into_iter().map(|mut c| {
            for setting in &mut c.settings {
                setting.key = setting.key.to_ascii_lowercase();
            }
            c
        }));
    }
    found
}

/// `session.save_handler = redis`, `session.save_path = "tcp://h:6379?auth=…, tcp://h2:6379"` (phpredis, "PHP Session
/// handler").
fn php_session(name: &str, leaves: &[Leaf]) -> Vec<Candidate> {
    let value = |key: &str| leaves.iter().rev().find(|l| l.path.join(".").ends_with(key));
    let handler = value("session.save_handler").is_some_and(|l| l.value == "redis");
    let Some(path) = value("session.save_path").filter(|_| handler) else { return Vec::new() };
    let of = |place: &str| {
        let place = place.trim();
        let url = match place.split_once("://") {
            Some(("tcp", rest)) => format!("redis://{rest}"),
            Some(("tls" | "ssl", rest)) => format!("rediss://{rest}"),
            Some(("unix", _)) => place.to_owned(),
            _ => format!("redis://{place}"),
        };
        // `?auth=…&weight=1`: the query is phpredis's.
        let (url, query) =
            url.split_once('?').map_or((url.clone(), None), |(u, q)| (u.to_owned(), Some(q.to_owned())));
        let mut candidate = whole("session.save_path", &url, Place::at(name, path.line));
        let auth = query.and_then(|q| q.split('&').find_map(|p| p.strip_prefix("auth=").map(str::to_owned)));
        if let Some(auth) = auth.filter(|_| candidate.target.password.is_none()) {
            candidate.target.password = Some(crate::secret::Secret::new(&auth));
        }
        candidate
    };
    path.value.split(',').take(8).map(of).collect()
}

/// `gitlab_rails['redis_host'] = "10.1.0.5"` (Omnibus, "Configure Redis").
fn gitlab(name: &str, text: &str) -> Option<Candidate> {
    let mut pairs = Vec::new();
    let mut lines = Vec::new();
    for (i, line) in text.lines().enumerate().take(20_000) {
        let Some((key, value)) = line.trim().strip_prefix("gitlab_rails['").and_then(|l| l.split_once("']"))
        else {
            continue;
        };
        let value = value.trim().trim_start_matches('=').trim().trim_matches(['"', '\'']);
        if key.starts_with("redis_") && !is_redis_url(value) {
            let key = key.to_ascii_uppercase();
            lines.push((key.clone(), i + 1));
            pairs.push((key, value.to_owned()));
        }
    }
    lookup(&pairs, "REDIS_HOST")?;
    let line = |key: &str| lines.iter().find(|(k, _)| k == key).map_or(1, |(_, line)| *line);
    super::super::pairs::from_parts(&pairs, "REDIS", &|key| Place::at(name, line(key)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{listed, taken};

    #[test]
    fn php_sessions() {
        let text = "[Session]\nsession.save_handler = redis\nsession.save_path = \"tcp://s:7?auth=canary&weight=1\"\n";
        assert_eq!(taken(&[], &[("php.ini", text)]), "redis://:***@s:7 php.ini:3");
        assert!(!format!("{:?}", listed(&[], &[("php.ini", text)])).contains("canary"));
        let files = "session.save_handler = files\nsession.save_path = \"/tmp\"\n";
        assert_eq!(taken(&[], &[("php.ini", files)]), "redis://127.0.0.1:6379 default");
    }

    #[test]
    fn others() {
        let airflow = "[celery]\nbroker_url = redis://:x@b:6379/0\nresult_backend = db+postgresql://y\n";
        assert_eq!(taken(&[], &[("airflow.cfg", airflow)]), "redis://:***@b:6379/0 airflow.cfg:2");
        let discourse = "redis_host = d\nredis_port = 7\n";
        assert_eq!(
            taken(&[], &[("config/discourse.conf", discourse)]),
            "redis://d:7 config/discourse.conf:1"
        );
        let gitlab =
            "external_url 'http://x'\ngitlab_rails['redis_host'] = \"g\"\ngitlab_rails['redis_port'] = 7\n";
        assert_eq!(taken(&[], &[("gitlab.rb", gitlab)]), "redis://g:7 gitlab.rb:2");
    }
}
