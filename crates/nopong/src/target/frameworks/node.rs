//! Node.js: the `config` package's files, and the places where applications and NestJS modules make their client.

use super::super::pairs::Candidate;
use super::super::settings::Surroundings;
use super::super::{source, tree as files};
use super::{dotenv, stage, tree};

const CODE: &[&str] = &[
    "config/default.js",
    "config/default.ts",
    "config/redis.js",
    "config/redis.ts",
    "config/index.js",
    "src/config/redis.ts",
    "src/config/redis.js",
    "src/config/redis.config.ts",
    "src/config/configuration.ts",
    "src/config/index.ts",
    "src/app.module.ts",
    "src/redis.ts",
    "src/redis.js",
    "redis.js",
];

/// Candidates of `config/*.json` (node-config: local, then the environment's, then default) and of the code.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let running = stage(here).unwrap_or("development");
    let plain = running.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let mut names = vec!["config/local".to_owned()];
    if plain {
        names.push(format!("config/{running}"));
    }
    names.push("config/default".to_owned());
    let mut found: Vec<Candidate> = Vec::new();
    for name in names.iter().flat_map(|n| ["json", "yaml", "yml"].map(|end| format!("{n}.{end}"))) {
        let Some(text) = here.file(&name) else { continue };
        for candidate in tree(&name, files::yaml(&text), here) {
            let key = |c: &Candidate| c.settings.first().map(|s| s.key.clone());
            let before = found.iter().find(|c| c.ignored.is_none() && key(c) == key(&candidate));
            let place = before.map(|c| c.target.source.clone());
            found.push(match place {
                Some(place) => candidate.ignored(format!("{place} comes before it")),
                None => candidate,
            });
        }
    }
    let vars = dotenv::variables(here);
    let known = |key: &str| vars.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    for name in CODE {
        if let Some(text) = here.file(name) {
            found.extend(tree(name, source::leaves(&text, &known), here));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ignored, listed, taken};

    #[test]
    fn the_config_package() {
        let default = ("config/default.json", "{\"redis\": {\"host\": \"localhost\", \"port\": 6379}}");
        let production = ("config/production.json", "{\"redis\": {\"host\": \"cache\"}}");
        assert_eq!(taken(&[], &[default, production]), "redis://localhost:6379 config/default.json:1");
        let env = [("NODE_ENV", "production")];
        assert_eq!(taken(&env, &[default, production]), "redis://cache:6379 config/production.json:1");
        assert!(
            ignored(&listed(&env, &[default, production]), "config/default.json:1").contains("comes before")
        );
    }

    #[test]
    fn code() {
        let nest = "BullModule.forRoot({\n  redis: {\n    host: process.env.QUEUE_HOST || 'localhost',\n    port: 6379,\n  },\n})\n";
        assert_eq!(taken(&[], &[("src/app.module.ts", nest)]), "redis://localhost:6379 src/app.module.ts:3");
        assert_eq!(
            taken(&[("QUEUE_HOST", "q")], &[("src/app.module.ts", nest)]),
            "redis://q:6379 src/app.module.ts:3"
        );
        let js = "const redis = new Redis('redis://r:7/0');\n";
        assert_eq!(taken(&[], &[("redis.js", js)]), "redis://r:7/0 redis.js:1");
    }
}
