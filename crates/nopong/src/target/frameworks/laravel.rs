//! Laravel: `.env` through `config/database.php`; once `php artisan config:cache` has run, `bootstrap/cache/config.php`
//! alone (Laravel documentation, "Configuration caching": `.env` is not loaded any more).

use super::super::pairs::Candidate;
use super::super::settings::Surroundings;
use super::super::source;
use super::{dotenv, tree};

const CACHE: &str = "bootstrap/cache/config.php";
const DATABASE: &str = "config/database.php";

/// Candidates of the connections, the default one first.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    if let Some(text) = here.file(CACHE) {
        return connections(CACHE, &text, here, "database.redis.");
    }
    here.file(DATABASE).map(|text| connections(DATABASE, &text, here, "redis.")).unwrap_or_default()
}

/// The configuration is cached: variables and `.env` are not what the application reads.
pub(in crate::target) fn is_cached(here: &Surroundings) -> bool {
    here.file(CACHE).is_some_and(|text| text.contains("'redis'"))
}

fn connections(name: &str, text: &str, here: &Surroundings, below: &str) -> Vec<Candidate> {
    let vars = dotenv::variables(here);
    let known = |key: &str| vars.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let leaves = source::leaves(text, &known)
        .into_iter()
        .filter_map(|mut leaf| {
            // `return [` and `array (` are names of no setting.
            leaf.path.retain(|p| !matches!(p.as_str(), "return" | "array"));
            let path = leaf.path.join(".");
            let at = path.find(below)?;
            leaf.path = path[at..].split('.').map(str::to_owned).collect();
            (!path.contains(".options.") && !path.contains("clusters")).then_some(leaf)
        })
        .collect();
    let mut found = tree(name, leaves, here);
    found.sort_by_key(|c| !c.settings.iter().any(|s| s.key.contains("redis.default.")));
    // A URL of a connection comes before its host (Illuminate\Support\ConfigurationUrlParser).
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ignored, listed, taken};

    const DATABASE: &str = "<?php\nreturn [\n    'default' => env('DB_CONNECTION', 'mysql'),\n    'redis' => [\n        'client' => env('REDIS_CLIENT', 'phpredis'),\n        'options' => ['cluster' => env('REDIS_CLUSTER', 'redis')],\n        'default' => [\n            'url' => env('REDIS_URL'),\n            'host' => env('REDIS_HOST', '127.0.0.1'),\n            'password' => env('REDIS_PASSWORD'),\n            'port' => env('REDIS_PORT', '6379'),\n        ],\n        'cache' => [\n            'host' => env('REDIS_CACHE_HOST', 'cache'),\n        ],\n    ],\n];\n";
    const CACHED: &str = "<?php return array (\n  'database' => \n  array (\n    'redis' => \n    array (\n      'client' => 'phpredis',\n      'default' => \n      array (\n        'url' => NULL,\n        'host' => '10.0.0.9',\n        'password' => 'canary',\n        'port' => '6379',\n      ),\n    ),\n  ),\n);\n";

    #[test]
    fn defaults_of_the_configuration() {
        assert_eq!(
            taken(&[], &[("config/database.php", DATABASE)]),
            "redis://127.0.0.1:6379 config/database.php:9"
        );
        let env = (".env", "REDIS_HOST=redis\n");
        assert_eq!(taken(&[], &[env, ("config/database.php", DATABASE)]), "redis://redis:6379 .env:1");
    }

    #[test]
    fn a_cached_configuration_is_what_is_read() {
        let files = [(".env", "REDIS_HOST=redis\n"), ("bootstrap/cache/config.php", CACHED)];
        assert_eq!(taken(&[], &files), "redis://:***@10.0.0.9:6379 bootstrap/cache/config.php:10");
        let all = listed(&[], &files);
        assert!(ignored(&all, ".env:1").contains("config:clear"), "{all:?}");
        assert!(!format!("{all:?}").contains("canary"));
    }
}
