//! The services of a compose file in the working directory.

use super::tree;
use crate::evidence::containers::Composed;
use crate::sys;
use crate::text::shown_str;

/// As compose looks for them (compose-spec, "Compose file").
const NAMES: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Largest file read.
const FILE: usize = 256 << 10;
/// Most ports told of.
const PORTS: usize = 8;

/// The service of that name, in the file that compose would take.
pub fn compose_service(name: &str) -> Option<Composed> {
    let (file, text) = NAMES.iter().find_map(|file| Some((*file, sys::read_text(file, FILE).ok()?)))?;
    service(file, &text, name)
}

fn service(file: &str, text: &str, name: &str) -> Option<Composed> {
    let leaves = tree::yaml(text);
    let of = |path: &[String]| {
        path.first().is_some_and(|p| p == "services")
            && path.get(1).is_some_and(|s| s.eq_ignore_ascii_case(name))
    };
    let mine: Vec<_> = leaves.iter().filter(|l| of(&l.path)).collect();
    let first = mine.first()?;
    // A port is a text, or a mapping with `published` and `target`.
    let ports = mine.iter().filter(|l| l.path.get(2).is_some_and(|p| p == "ports"));
    Some(Composed {
        file: file.to_owned(),
        service: shown_str(first.path.get(1)?, 100),
        line: u32::try_from(first.line).unwrap_or(0),
        ports: ports
            .filter(|l| l.path.len() == 4 || l.path.last().is_some_and(|k| k == "published"))
            .map(|l| shown_str(&l.value, 60))
            .take(PORTS)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::service;

    #[test]
    fn a_service_with_its_ports() {
        let text = "services:\n  web:\n    image: x\n  redis:\n    image: redis:7\n    ports:\n      - \"6380:6379\"\n      - target: 1\n        published: 2\n";
        let found = service("compose.yaml", text, "redis").expect("it is there");
        assert_eq!((found.service.as_str(), found.line), ("redis", 5));
        assert_eq!(found.ports, ["6380:6379", "2"]);
        assert!(service("compose.yaml", text, "web").is_some_and(|s| s.ports.is_empty()));
        assert!(service("compose.yaml", text, "db").is_none());
        assert!(service("compose.yaml", "services: [", "redis").is_none());
    }
}
