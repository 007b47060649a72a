//! Compose files (compose-spec): what each service is told, and whether the name it is told means anything there.

use super::super::expand;
use super::super::pairs::{Candidate, Place, from_pairs};
use super::super::settings::Surroundings;
use super::super::tree::{self, Leaf};
use super::dotenv::{self, Layer};
use crate::evidence::client::Remark;
use crate::evidence::containers::Composed;
use crate::text::shown_str;

/// The first that is there is the project's, the first override is laid over it (compose-go 2, cli/options.go:
/// DefaultFileNames, DefaultOverrideFileNames).
const MAIN: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDE: &[&str] = &[
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
/// At most so many files of one project, and environment files of one service.
const FILES: usize = 8;
/// Most ports told of.
const PORTS: usize = 8;

/// One service, as all files together say.
#[derive(Debug, Default)]
struct Service {
    name: String,
    /// Where it is first spoken of.
    file: String,
    line: usize,
    /// Variables; a value that is none comes from the shell.
    environment: Vec<(String, Option<String>, Place)>,
    env_files: Vec<String>,
    profiles: Vec<String>,
    networks: Vec<String>,
    /// Names that mean it on its networks, beside its own.
    names: Vec<String>,
    /// Names that it alone knows, with the service each means.
    links: Vec<(String, String)>,
    ports: Vec<Port>,
    image: String,
    mode: String,
}

/// One of `ports:`, a text (`6380:6379`, `127.0.0.1:6380:6379/tcp`) or a mapping with `published` and `target`.
#[derive(Debug, Default)]
struct Port {
    /// As written; a mapping's in the form of a text.
    text: String,
    published: Option<u16>,
    target: Option<u16>,
    /// Which mapping of which file it comes from.
    mapping: Option<(String, String)>,
}

impl Port {
    fn of(text: String) -> Self {
        let mut parts = text.split('/').next().unwrap_or_default().rsplit(':').map(|p| p.parse().ok());
        let (target, published) = (parts.next().flatten(), parts.next().flatten());
        Self { text, published, target, mapping: None }
    }
}

/// Candidates of every service.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let services = project(here);
    let active = here.env("COMPOSE_PROFILES").map(str::to_owned).unwrap_or_default();
    let mut found = Vec::new();
    for service in services.iter().filter(|s| !is_redis(&s.image)) {
        let layer = variables(service, here);
        let pairs: Vec<(String, String)> = layer.iter().map(|(k, v, _)| (k.clone(), v.clone())).collect();
        let place = |key: &str| {
            let of = layer.iter().rev().find(|(k, ..)| k == key);
            of.map_or_else(|| Place::variable(key), |(.., p)| p.clone())
        };
        let idle = !service.profiles.is_empty()
            && !service.profiles.iter().any(|p| active.split(',').any(|a| a.trim() == p || a.trim() == "*"));
        for mut candidate in from_pairs(&pairs, &place) {
            let remark = remark(&candidate, service, &services);
            for setting in &mut candidate.settings {
                setting.inside = Some(format!("service {}", shown_str(&service.name, 60)));
                setting.remark.clone_from(&remark);
            }
            found.push(match idle {
                true => candidate.idle(format!("its profile {} is not active", service.profiles.join(", "))),
                false => candidate,
            });
        }
    }
    found
}

fn files(here: &Surroundings) -> Vec<String> {
    let named = here.env("COMPOSE_FILE").map(str::to_owned).or_else(|| {
        dotenv::layer(".env", here).into_iter().find(|(k, ..)| k == "COMPOSE_FILE").map(|(_, v, _)| v)
    });
    if let Some(named) = named {
        return named.split(':').filter(|n| !n.is_empty()).take(FILES).map(str::to_owned).collect();
    }
    let first = |names: &[&str]| names.iter().find(|n| here.file(n).is_some()).map(|n| (*n).to_owned());
    let Some(main) = first(MAIN) else { return Vec::new() };
    std::iter::once(main).chain(first(OVERRIDE)).collect()
}

fn project(here: &Surroundings) -> Vec<Service> {
    let shell = dotenv::layer(".env", here);
    let mut services = Vec::new();
    for name in files(here) {
        if let Some(text) = here.file(&name) {
            add(&mut services, &name, &text, here, &shell);
        }
    }
    services
}

/// Lays one file over what the files before it said.
fn add(services: &mut Vec<Service>, file: &str, text: &str, here: &Surroundings, shell: &Layer) {
    let known = |key: &str| {
        here.env(key).or_else(|| shell.iter().find(|(k, ..)| k == key).map(|(_, v, _)| v.as_str()))
    };
    let leaves = tree::yaml(text);
    for leaf in &leaves {
        let [first, name, rest @ ..] = leaf.path.as_slice() else { continue };
        if first != "services" || overridden(&leaves, leaf) {
            continue;
        }
        // A variable that nothing sets is empty in a container.
        let value = expand::variables(&leaf.value, &known, &|_| String::new());
        let at = match services.iter().position(|s| s.name == *name) {
            Some(at) => at,
            None => {
                let (file, line) = (file.to_owned(), leaf.line);
                services.push(Service { name: name.clone(), file, line, ..Service::default() });
                services.len() - 1
            }
        };
        if let Some(service) = services.get_mut(at) {
            take(service, rest, value, file, leaf.line);
        }
    }
}

/// A merged mapping's leaf that the mapping has itself as well.
fn overridden(leaves: &[Leaf], leaf: &Leaf) -> bool {
    leaf.merged && leaves.iter().any(|l| !l.merged && l.path == leaf.path)
}

fn take(service: &mut Service, path: &[String], value: String, file: &str, line: usize) {
    let place = || Place::at(file, line);
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let null = matches!(value.as_str(), "~" | "null");
    match words.as_slice() {
        ["environment", key] if super::super::mask::is_digits(key) => {
            let (key, value) = match value.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (value, None),
            };
            set(service, key, value, place());
        }
        ["environment", key] => set(service, (*key).to_owned(), (!null).then_some(value), place()),
        ["env_file"] | ["env_file", _] | ["env_file", _, "path"] if service.env_files.len() < FILES => {
            service.env_files.push(value.trim_start_matches("./").to_owned());
        }
        ["profiles", _] => service.profiles.push(value),
        ["networks", n] if super::super::mask::is_digits(n) => service.networks.push(value),
        ["networks", name, "aliases", _] => {
            service.names.push(value);
            service.networks.push((*name).to_owned());
        }
        ["networks", name, ..] => service.networks.push((*name).to_owned()),
        ["links" | "external_links", _] => {
            let (of, alias) = value.split_once(':').unwrap_or((&value, &value));
            service.links.push((alias.to_owned(), of.to_owned()));
        }
        ["container_name" | "hostname"] => service.names.push(value),
        ["ports", _] => service.ports.push(Port::of(value)),
        ["ports", n, part @ ("published" | "target")] => {
            map_port(&mut service.ports, (file, n), part, &value);
        }
        ["image"] => service.image = value,
        ["network_mode"] => service.mode = value,
        _ => {}
    }
}

fn set(service: &mut Service, key: String, value: Option<String>, place: Place) {
    service.environment.retain(|(k, ..)| *k != key);
    service.environment.push((key, value, place));
}

fn map_port(ports: &mut Vec<Port>, (file, n): (&str, &str), part: &str, value: &str) {
    let mapping = Some((file.to_owned(), n.to_owned()));
    if ports.last().is_none_or(|p| p.mapping != mapping) {
        ports.push(Port { mapping, ..Port::default() });
    }
    let Some(port) = ports.last_mut() else { return };
    match part {
        "published" => port.published = value.parse().ok(),
        _ => port.target = value.parse().ok(),
    }
    let both = [port.published, port.target].into_iter().flatten().map(|p| p.to_string());
    port.text = both.collect::<Vec<_>>().join(":");
}

/// What a service's process has: its env files in their order, `environment` over them.
fn variables(service: &Service, here: &Surroundings) -> Layer {
    let mut layer = Layer::new();
    for name in &service.env_files {
        layer.extend(dotenv::layer(name, here));
    }
    let shell = dotenv::layer(".env", here);
    for (key, value, place) in &service.environment {
        let from_shell = || {
            here.env(key)
                .map(str::to_owned)
                .or_else(|| shell.iter().find(|(k, ..)| k == key).map(|(_, v, _)| v.clone()))
        };
        if let Some(value) = value.clone().or_else(from_shell) {
            layer.push((key.clone(), value, place.clone()));
        }
    }
    layer
}

/// What is wrong with an address, seen from within the service.
fn remark(candidate: &Candidate, service: &Service, all: &[Service]) -> Option<Remark> {
    let target = &candidate.target;
    if target.problem.is_some() || target.unix.is_some() || service.mode == "host" {
        return None;
    }
    let remark = |cause: &str, says: String| Some(Remark { cause: cause.to_owned(), says });
    let (own, host) = (shown_str(&service.name, 60), shown_str(&target.host, 100));
    let redis: Vec<&Service> = all.iter().filter(|s| is_redis(&s.image)).collect();
    let loopback = host.eq_ignore_ascii_case("localhost")
        || target.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    if loopback {
        let meant = redis.first().map(|s| format!(", and {} is another service", s.name)).unwrap_or_default();
        let says =
            format!("service {own} is told {host}: inside its container that is the container itself{meant}");
        return remark("loopback-in-container", says);
    }
    if host.contains(['.', ':']) {
        return None;
    }
    let linked = service.links.iter().find(|(alias, _)| *alias == target.host).map(|(_, of)| of);
    let meant = all.iter().find(|s| {
        s.name == target.host || s.names.contains(&target.host) || linked.is_some_and(|of| *of == s.name)
    });
    let Some(meant) = meant else {
        // Another project's network may know the name.
        let elsewhere = service
            .networks
            .iter()
            .any(|n| !all.iter().any(|s| s.name != service.name && s.networks.contains(n)));
        if elsewhere && !service.networks.is_empty() {
            return None;
        }
        let like = redis.first().map(|s| format!("; Redis is service {}", s.name)).unwrap_or_default();
        return remark(
            "name-not-found",
            format!("service {own} is told {host}, and no service has that name{like}"),
        );
    };
    let shared = match (service.networks.is_empty(), meant.networks.is_empty()) {
        (true, true) => true,
        (false, false) => service.networks.iter().any(|n| meant.networks.contains(n)),
        (true, false) => meant.networks.iter().any(|n| n == "default"),
        (false, true) => service.networks.iter().any(|n| n == "default"),
    };
    if !shared && linked.is_none() {
        let says = format!("service {own} is told {host}, and shares no network with service {}", meant.name);
        return remark("name-on-other-network", says);
    }
    let mut ports = meant.ports.iter().filter_map(|p| p.published.zip(p.target));
    let port = ports.find(|(out, inside)| *out == target.port && out != inside);
    if let Some((out, inside)) = port.filter(|_| is_redis(&meant.image)) {
        let says = format!(
            "service {own} is told port {out}, which {host} has on the host only: inside it is {inside}"
        );
        return remark("wrong-port", says);
    }
    None
}

/// The image is of Redis or of what speaks like it.
fn is_redis(image: &str) -> bool {
    let name = image.split(['@', ' ']).next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    ["redis", "redis-stack", "redis-stack-server", "valkey", "keydb", "dragonfly", "valkey-bundle"]
        .contains(&name)
}

fn services_of(text: &str, here: &Surroundings) -> Vec<Service> {
    let mut services = Vec::new();
    add(&mut services, "compose.yaml", text, here, &dotenv::layer(".env", here));
    services
}

/// Lines of a compose file where a service gets a variable with that value.
pub(in crate::target) fn variable_lines(
    text: &str,
    key: &str,
    value: &str,
    here: &Surroundings,
) -> Vec<usize> {
    let all = services_of(text, here);
    let set = all.iter().flat_map(|s| &s.environment);
    let same = set.filter(|(k, v, _)| k == key && v.as_deref() == Some(value));
    same.filter_map(|(.., place)| place.place.rsplit_once(':')?.1.parse().ok()).collect()
}

/// The service of the working directory's project that is known by a name.
pub fn service_named(name: &str) -> Option<Composed> {
    known_by(name, &Surroundings::read())
}

fn known_by(name: &str, here: &Surroundings) -> Option<Composed> {
    let all = project(here);
    let by_name = all.iter().find(|s| s.name.eq_ignore_ascii_case(name));
    let found =
        by_name.or_else(|| all.iter().find(|s| s.names.iter().any(|n| n.eq_ignore_ascii_case(name))))?;
    Some(Composed {
        file: shown_str(&found.file, 200),
        service: shown_str(&found.name, 100),
        line: u32::try_from(found.line).unwrap_or(0),
        ports: found.ports.iter().take(PORTS).map(|p| shown_str(&p.text, 60)).collect(),
    })
}

/// Services of a compose file that run Redis or what speaks like it, by their image.
pub fn redis_services(text: &str) -> Vec<String> {
    let all = services_of(text, &Surroundings::default());
    all.into_iter().filter(|s| is_redis(&s.image)).map(|s| s.name).collect()
}

/// The service that a line of a compose file belongs to.
pub fn service_at(text: &str, line: usize) -> Option<String> {
    let leaf = tree::yaml(text).into_iter().find(|l| l.line == line)?;
    match leaf.path.as_slice() {
        [services, service, ..] if services == "services" => Some(service.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ignored, listed, taken};
    use super::Surroundings;

    /// The remark on the only setting.
    fn remark(text: &str) -> Option<(String, String)> {
        let found = listed(&[], &[("compose.yaml", text)]).found;
        found.into_iter().find_map(|s| s.remark).map(|r| (r.cause, r.says))
    }

    #[test]
    fn maps_lists_and_interpolation() {
        let text = "services:\n  redis:\n    image: redis\n  web:\n    environment:\n      REDIS_URL: ${URL:-redis://redis:6379/1}\n";
        assert_eq!(taken(&[], &[("compose.yaml", text)]), "redis://redis:6379/1 compose.yaml:6");
        assert_eq!(
            taken(&[("URL", "redis://x")], &[("compose.yaml", text)]),
            "redis://x:6379 environment URL"
        );
        let dotenv = (".env", "URL=redis://y\n");
        assert_eq!(taken(&[], &[("compose.yaml", text), dotenv]), "redis://y:6379 .env:1");
        let text = "services:\n  web:\n    environment:\n      - REDIS_HOST=cache\n      - REDIS_PORT=7\n";
        assert_eq!(taken(&[], &[("docker-compose.yml", text)]), "redis://cache:7 docker-compose.yml:4");
    }

    #[test]
    fn overrides_env_files_and_merges() {
        let main = "x-env: &env\n  REDIS_HOST: a\nservices:\n  web:\n    environment:\n      REDIS_HOST: b\n      <<: *env\n";
        assert_eq!(taken(&[], &[("compose.yaml", main)]), "redis://b:6379 compose.yaml:6");
        let over = ("compose.override.yaml", "services:\n  web:\n    environment:\n      - REDIS_HOST=c\n");
        assert_eq!(taken(&[], &[("compose.yaml", main), over]), "redis://c:6379 compose.override.yaml:4");
        let text = "services:\n  web:\n    env_file:\n      - path: ./web.env\n        required: false\n    environment:\n      REDIS_PORT: 7\n";
        let files = [("compose.yaml", text), ("web.env", "REDIS_HOST=d\nREDIS_PASSWORD=canary\n")];
        assert_eq!(taken(&[], &files), "redis://:***@d:7 web.env:1");
        let named = [("COMPOSE_FILE", "other.yaml")];
        let other = ("other.yaml", "services:\n  web:\n    environment:\n      REDIS_HOST: e\n");
        assert_eq!(taken(&named, &[("compose.yaml", main), other]), "redis://e:6379 other.yaml:4");
    }

    #[test]
    fn profiles() {
        let text = "services:\n  debug:\n    profiles: [debug]\n    environment:\n      REDIS_HOST: d\n  web:\n    environment:\n      REDIS_HOST: w\n";
        assert_eq!(taken(&[], &[("compose.yaml", text)]), "redis://w:6379 compose.yaml:8");
        assert!(ignored(&listed(&[], &[("compose.yaml", text)]), "compose.yaml:5").contains("not active"));
        assert_eq!(
            taken(&[("COMPOSE_PROFILES", "debug")], &[("compose.yaml", text)]),
            "redis://d:6379 compose.yaml:5"
        );
    }

    #[test]
    fn what_a_name_means_inside() {
        let file = |host: &str, more: &str, redis: &str| {
            format!(
                "services:\n  web:\n    environment:\n      REDIS_HOST: {host}\n{more}  cache:\n    image: redis:7\n{redis}"
            )
        };
        let id = |text: &str| remark(text).map(|(id, _)| id);
        assert_eq!(id(&file("localhost", "", "")).as_deref(), Some("loopback-in-container"));
        assert_eq!(id(&file("cahce", "", "")).as_deref(), Some("name-not-found"));
        assert_eq!(id(&file("cache", "", "")), None);
        let apart = file("cache", "    networks: [front]\n", "    networks: [back]\n");
        assert_eq!(id(&apart).as_deref(), Some("name-on-other-network"));
        assert_eq!(
            id(&file(
                "cache",
                "    networks: [back]\n",
                "    networks:\n      back:\n        aliases: [r]\n"
            )),
            None
        );
        assert_eq!(
            id(&file("r", "    networks: [back]\n", "    networks:\n      back:\n        aliases: [r]\n")),
            None
        );
        assert_eq!(id(&file("db", "    links: [\"cache:db\"]\n", "")), None);
        let port = "services:\n  web:\n    environment:\n      REDIS_URL: redis://cache:6380\n  cache:\n    image: redis:7\n    ports: [\"6380:6379\"]\n";
        let (id, says) = remark(port).unwrap();
        assert!(id == "wrong-port" && says.contains("inside it is 6379"), "{says}");
    }

    #[test]
    fn a_service_by_its_name_with_its_ports() {
        let text = "services:\n  web:\n    image: x\n  redis:\n    image: redis:7\n    container_name: shop-redis\n    ports:\n      - \"6380:6379\"\n      - target: 1\n        published: 2\n";
        let over = ("compose.override.yml", "services:\n  redis:\n    ports: [\"7:8\"]\n");
        let here = Surroundings::of(&[], &[("compose.yaml", text), over]);
        let found = super::known_by("Redis", &here).unwrap();
        assert_eq!((found.file.as_str(), found.service.as_str(), found.line), ("compose.yaml", "redis", 5));
        assert_eq!(found.ports, ["6380:6379", "2:1", "7:8"]);
        assert!(super::known_by("web", &here).is_some_and(|s| s.ports.is_empty()));
        assert_eq!(super::known_by("shop-redis", &here).unwrap().service, "redis");
        assert!(super::known_by("db", &here).is_none());
        assert!(
            super::known_by("redis", &Surroundings::of(&[], &[("compose.yaml", "services: [")])).is_none()
        );
    }

    #[test]
    fn services_of_a_compose_file() {
        let text = "services:\n  cache:\n    image: docker.io/bitnami/redis:7\n  web:\n    image: redis-exporter\n    environment:\n      - REDIS_URL=redis://localhost\n";
        assert_eq!(super::redis_services(text), ["cache"]);
        assert_eq!(super::service_at(text, 7).as_deref(), Some("web"));
        let here = Surroundings::of(&[], &[]);
        assert_eq!(super::variable_lines(text, "REDIS_URL", "redis://localhost", &here), [7]);
    }
}
