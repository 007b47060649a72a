//! The settings files of the working directory: `.env`, compose, Rails, Spring, .NET.

use super::expand;
use super::settings::{
    Candidate, Place, Surroundings, connection_string, expanded, from_pairs, from_parts, is_redis_url, whole,
};
use super::tree::{self, Leaf};

/// In order of precedence. Compose prefers `compose.yaml` (compose-spec, "Compose file").
pub(super) const NAMES: &[&str] = &[
    ".env",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "config/redis.yml",
    "config/cable.yml",
    "config/sidekiq.yml",
    "application.properties",
    "application.yml",
    "application.yaml",
    "config/application.properties",
    "config/application.yml",
    "src/main/resources/application.properties",
    "src/main/resources/application.yml",
    "src/main/resources/application.yaml",
    "appsettings.Production.json",
    "appsettings.json",
];

/// What a file says.
pub(super) fn candidates(name: &str, text: &str, here: &Surroundings) -> Vec<Candidate> {
    match name {
        ".env" => dotenv(name, text, here),
        _ if name.contains("compose") => compose(name, text, here),
        _ if name.ends_with(".properties") => framework(name, tree::properties(text), here),
        _ => framework(name, tree::yaml(text), here),
    }
}

/// A `file:line` for both uses.
fn at(name: &str, line: usize) -> Place {
    let place = format!("{name}:{line}");
    Place { source: place.clone(), place }
}

fn dotenv(name: &str, text: &str, here: &Surroundings) -> Vec<Candidate> {
    let lines = dotenv_lines(text);
    let raw: Vec<(String, String)> = lines.iter().map(|(_, k, v, _)| (k.clone(), v.clone())).collect();
    let pairs: Vec<(String, String)> = lines
        .iter()
        .map(|(_, key, value, literal)| {
            let value = if *literal { value.clone() } else { expanded(value, &raw, here) };
            (key.clone(), value)
        })
        .collect();
    from_pairs(&pairs, &|key| {
        at(name, lines.iter().rev().find(|(_, k, ..)| k == key).map_or(1, |(n, ..)| *n))
    })
}

/// `KEY=value` lines as the dotenv libraries read them: line, key, value, and whether it is literal (single quotes).
/// They all take a carriage return before the line end as part of it; one in the environment itself is a fault.
fn dotenv_lines(text: &str) -> Vec<(usize, String, String, bool)> {
    let mut lines = Vec::new();
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate().take(5000) {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((key, value)) = line.split_once('=').filter(|(key, _)| !key.starts_with('#')) else {
            continue;
        };
        let (value, literal) = unquoted(value);
        lines.push((i + 1, key.trim().to_owned(), value, literal));
    }
    lines
}

fn unquoted(value: &str) -> (String, bool) {
    let value = value.trim();
    for quote in ['"', '\'', '`'] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|inner| inner.split_once(quote)) {
            return (inner.to_owned(), quote == '\'');
        }
    }
    // An unquoted value ends at a blank and `#`; a `#` within a word belongs to it.
    let value = value.find(" #").map_or(value, |i| &value[..i]);
    (value.trim_end().to_owned(), false)
}

/// Key, value and line of each variable.
type Variables = Vec<(String, String, usize)>;

/// Every service's `environment`, as a mapping or as a list.
fn environments(text: &str, here: &Surroundings) -> Vec<(String, Variables)> {
    let mut services: Vec<(String, Variables)> = Vec::new();
    for leaf in tree::yaml(text) {
        let [services_, service, environment, key] = leaf.path.as_slice() else { continue };
        if services_ != "services" || environment != "environment" {
            continue;
        }
        let (key, value) = match leaf.value.split_once('=') {
            Some((key, value)) if super::mask::is_digits(leaf.path.last().map_or("", String::as_str)) => {
                (key.to_owned(), value.to_owned())
            }
            _ => (key.clone(), leaf.value.clone()),
        };
        // A variable that nothing sets is empty in a container.
        let value = expand::variables(&value, &|name| here.env(name), &|_| String::new());
        match services.iter_mut().find(|(s, _)| s == service) {
            Some((_, pairs)) => pairs.push((key, value, leaf.line)),
            None => services.push((service.clone(), vec![(key, value, leaf.line)])),
        }
    }
    services
}

fn compose(name: &str, text: &str, here: &Surroundings) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (_, lines) in environments(text, here) {
        let pairs: Vec<(String, String)> = lines.iter().map(|(k, v, _)| (k.clone(), v.clone())).collect();
        found.extend(from_pairs(&pairs, &|key| {
            at(name, lines.iter().rev().find(|(k, ..)| k == key).map_or(1, |(_, _, line)| *line))
        }));
    }
    found
}

/// Lines of a compose file where a service gets a variable with that value.
pub(super) fn variable_lines(text: &str, key: &str, value: &str, here: &Surroundings) -> Vec<usize> {
    let all = environments(text, here);
    let lines = all.iter().flat_map(|(_, lines)| lines);
    lines.filter(|(k, v, _)| k == key && v == value).map(|(.., line)| *line).collect()
}

/// Services of a compose file that run Redis or what speaks like it, by their image.
pub fn redis_services(text: &str) -> Vec<String> {
    let is_redis = |image: &str| {
        let name = image.split(['@', ' ']).next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        let name = name.split(':').next().unwrap_or_default();
        let servers =
            ["redis", "redis-stack", "redis-stack-server", "valkey", "keydb", "dragonfly", "valkey-bundle"];
        servers.contains(&name)
    };
    let leaves = tree::yaml(text).into_iter();
    let of = leaves.filter_map(|leaf| match leaf.path.as_slice() {
        [services, service, image] if services == "services" && image == "image" => {
            is_redis(&leaf.value).then(|| service.clone())
        }
        _ => None,
    });
    of.collect()
}

/// The service that a line of a compose file belongs to.
pub fn service_at(text: &str, line: usize) -> Option<String> {
    let leaf = tree::yaml(text).into_iter().find(|l| l.line == line)?;
    match leaf.path.as_slice() {
        [services, service, ..] if services == "services" => Some(service.clone()),
        _ => None,
    }
}

/// A tree of settings: every address in it, and every `host` below a key that names Redis.
fn framework(name: &str, leaves: Vec<Leaf>, here: &Surroundings) -> Vec<Candidate> {
    let leaves: Vec<Leaf> = leaves
        .into_iter()
        .filter_map(|leaf| {
            let value = expand::erb(&leaf.value, &|name| here.env(name))?;
            let value = expand::variables(&value, &|name| here.env(name), &str::to_owned);
            Some(Leaf { value, ..leaf })
        })
        .collect();
    let rails = here.env("RAILS_ENV").or(here.env("RACK_ENV")).unwrap_or("production");
    let mut found: Vec<(bool, Candidate)> = Vec::new();
    for leaf in &leaves {
        let key = leaf.path.join(".");
        let lower = key.to_ascii_lowercase();
        let about = lower.contains("redis") || lower.contains("valkey") || name.contains("redis");
        let last = lower.rsplit('.').next().unwrap_or_default().trim_start_matches(':');
        let place = at(name, leaf.line);
        let candidate = if is_redis_url(&leaf.value) {
            Some(whole(&key, &leaf.value, place))
        } else if about && matches!(last, "host" | "hostname") {
            parts(name, &leaves, leaf)
        } else if about
            && !leaf.value.is_empty()
            && (lower.starts_with("connectionstrings.")
                || matches!(last, "connectionstring" | "configuration"))
        {
            Some(connection_string(&key, &leaf.value, place))
        } else {
            None
        };
        // Rails: the section of the environment that runs.
        let other = leaf.path.first().is_some_and(|p| {
            ["production", "development", "test", "staging"].contains(&p.as_str()) && p != rails
        });
        found.extend(candidate.map(|c| (other, c)));
    }
    // Stable: the file's order, other environments last.
    found.sort_by_key(|(other, _)| *other);
    found.into_iter().map(|(_, c)| c).collect()
}

/// `host` and its siblings, named as the variables are.
fn parts(name: &str, leaves: &[Leaf], host: &Leaf) -> Option<Candidate> {
    let parent = &host.path[..host.path.len().saturating_sub(1)];
    let mut pairs = Vec::new();
    let mut lines = Vec::new();
    for leaf in leaves.iter().filter(|l| l.path.starts_with(parent)) {
        let rest = leaf.path[parent.len()..].join("_").to_ascii_uppercase().replace('-', "_");
        let suffix = match rest.trim_start_matches(':') {
            "HOSTNAME" => "HOST",
            other => other,
        };
        let key = format!("REDIS_{suffix}");
        lines.push((key.clone(), leaf.line, leaf.path.join(".")));
        pairs.push((key, leaf.value.clone()));
    }
    let line = |key: &str| lines.iter().find(|(k, ..)| k == key).map_or(1, |(_, line, _)| *line);
    let mut candidate = from_parts(&pairs, "REDIS", &|key| at(name, line(key)))?;
    // The report names the file's own keys.
    for setting in &mut candidate.settings {
        if let Some((.., own)) = lines.iter().find(|(k, ..)| *k == setting.key) {
            setting.key = crate::text::shown_str(own, 100);
        }
    }
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Surroundings, from_settings};

    fn taken(env: &[(&str, &str)], file: (&str, &str)) -> String {
        let found = from_settings(&Surroundings::of(env, &[file]));
        assert!(found.target.problem.is_none(), "{:?}", found.target);
        format!("{} {}", found.target.redacted(), found.target.source)
    }

    #[test]
    fn dotenv_files() {
        for (text, expected) in [
            ("# x\nexport REDIS_URL=\"redis://c:2\" # y\n", "redis://c:2 .env:2"),
            ("REDIS_URL=redis://c:2\r\nB=1\r\n", "redis://c:2 .env:1"),
            ("REDIS_URL='redis://c:2'\n", "redis://c:2 .env:1"),
            ("REDIS_URL=redis://c:2 # note\n", "redis://c:2 .env:1"),
            ("H=c\nREDIS_URL=redis://${H}:2\n", "redis://c:2 .env:2"),
            ("REDIS_URL=redis://a\nREDIS_URL=redis://c:2\n", "redis://c:2 .env:2"),
            ("REDIS_HOST=c\nREDIS_PASSWORD=null\nREDIS_PORT=2\n", "redis://c:2 .env:1"),
        ] {
            assert_eq!(taken(&[], (".env", text)), expected, "{text}");
        }
    }

    #[test]
    fn compose_files() {
        let text = "services:\n  redis:\n    image: redis\n  web:\n    environment:\n      REDIS_URL: ${URL:-redis://redis:6379/1}\n";
        assert_eq!(taken(&[], ("compose.yaml", text)), "redis://redis:6379/1 compose.yaml:6");
        assert_eq!(taken(&[("URL", "redis://x")], ("compose.yaml", text)), "redis://x:6379 compose.yaml:6");
        let text = "services:\n  web:\n    environment:\n      - REDIS_HOST=cache\n      - REDIS_PORT=7\n";
        assert_eq!(taken(&[], ("docker-compose.yml", text)), "redis://cache:7 docker-compose.yml:4");
    }

    #[test]
    fn services_of_a_compose_file() {
        let text = "services:\n  cache:\n    image: docker.io/bitnami/redis:7\n  web:\n    image: redis-exporter\n    environment:\n      - REDIS_URL=redis://localhost\n";
        assert_eq!(super::redis_services(text), ["cache"]);
        assert_eq!(super::service_at(text, 7).as_deref(), Some("web"));
        let here = Surroundings::of(&[], &[]);
        assert_eq!(super::variable_lines(text, "REDIS_URL", "redis://localhost", &here), [7]);
    }

    #[test]
    fn frameworks() {
        let cable = "development:\n  adapter: redis\n  url: redis://d\nproduction:\n  adapter: redis\n  url: <%= ENV.fetch(\"REDIS_URL\") { \"redis://p:6379/1\" } %>\n";
        assert_eq!(taken(&[], ("config/cable.yml", cable)), "redis://p:6379/1 config/cable.yml:6");
        assert_eq!(
            taken(&[("RAILS_ENV", "development")], ("config/cable.yml", cable)),
            "redis://d:6379 config/cable.yml:3"
        );
        let spring = "spring:\n  data:\n    redis:\n      host: ${HOST:cache}\n      port: 7\n      ssl:\n        enabled: true\n";
        assert_eq!(taken(&[], ("application.yml", spring)), "rediss://cache:7 application.yml:4");
        let properties = "spring.redis.host=h\nspring.redis.password=x\n";
        assert_eq!(
            taken(&[], ("application.properties", properties)),
            "redis://:***@h:6379 application.properties:1"
        );
        let net = "{\n  \"ConnectionStrings\": {\n    \"Redis\": \"h:7,password=x,ssl=true\"\n  }\n}\n";
        assert_eq!(taken(&[], ("appsettings.json", net)), "rediss://:***@h:7 appsettings.json:3");
        let other = "{\"ConnectionStrings\": {\"Db\": \"Server=x;Password=y\"}}";
        assert_eq!(taken(&[], ("appsettings.json", other)), "redis://127.0.0.1:6379 default");
    }
}
