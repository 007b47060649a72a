//! Configuration files without a framework, as Go and Rust programs have them.

use super::super::pairs::Candidate;
use super::super::settings::Surroundings;
use super::super::tree as files;
use super::tree;

const FILES: &[&str] = &[
    "config.yaml",
    "config.yml",
    "config.toml",
    "config.json",
    "config/config.yaml",
    "config/config.yml",
    "config/config.toml",
    "config/production.toml",
    "config/default.toml",
    "configs/config.yaml",
    "configs/config.yml",
    "Settings.toml",
    "Rocket.toml",
    "values.yaml",
];

/// Candidates of all files.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let mut found = Vec::new();
    for name in FILES {
        let Some(text) = here.file(name) else { continue };
        let leaves = if name.ends_with(".toml") { files::sections(&text) } else { files::yaml(&text) };
        let all = tree(name, leaves, here).into_iter();
        found.extend(all.map(|c| match *name {
            "values.yaml" => c.idle("a chart's values are no setting of an application here"),
            _ => c,
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::taken;

    #[test]
    fn go_and_rust() {
        let yaml = "server:\n  port: 8080\nredis:\n  addr: cache:6379\n";
        assert_eq!(taken(&[], &[("config.yaml", yaml)]), "redis://cache:6379 config.yaml:4");
        let toml = "[server]\nport = 1\n\n[redis]\nhost = \"cache\"\nport = 7 # x\n";
        assert_eq!(taken(&[], &[("config.toml", toml)]), "redis://cache:7 config.toml:5");
        let toml = "[default.databases.cache]\nurl = \"redis://:x#y@r\"\n";
        let found = super::super::super::settings::from_settings(&super::Surroundings::of(
            &[],
            &[("Rocket.toml", toml)],
        ));
        assert!(found.target.problem.is_some_and(|p| p.id == "url-malformed"));
    }
}
