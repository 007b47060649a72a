//! Python: Django's `settings.py` (CACHES, CHANNEL_LAYERS, CELERY_*), Celery's and Flask's configuration modules.

use super::super::pairs::{Candidate, Place, is_redis_url, whole};
use super::super::settings::Surroundings;
use super::super::source;
use super::super::tree::Leaf;
use super::{dotenv, tree};

/// Modules with these names are settings, in the working directory or in a package of it.
const NAMES: &[&str] = &[
    "settings.py",
    "settings/production.py",
    "settings/base.py",
    "settings/common.py",
    "local_settings.py",
    "celeryconfig.py",
    "celery.py",
    "config.py",
    "config/settings.py",
    "config/settings/production.py",
    "config/settings/base.py",
];
/// At most so many folders of the working directory are looked into.
const FOLDERS: usize = 60;

/// Candidates of all modules.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let mut names: Vec<String> = NAMES.iter().map(|n| (*n).to_owned()).collect();
    // A project's package has the project's name.
    if here.file("manage.py").is_some()
        || here.file("pyproject.toml").is_some()
        || here.file("requirements.txt").is_some()
    {
        for folder in here.folders(FOLDERS) {
            names.extend(NAMES.iter().take(7).map(|name| format!("{folder}/{name}")));
        }
    }
    names.dedup();
    let vars = dotenv::variables(here);
    let known = |key: &str| vars.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let mut found = Vec::new();
    for name in names {
        let Some(text) = here.file(&name) else { continue };
        let leaves = source::leaves(&text, &known);
        let layers = channel_layers(&name, &leaves);
        found.extend(tree(&name, leaves, here));
        found.extend(layers);
    }
    found
}

/// channels_redis: `"hosts": [("127.0.0.1", 6379)]`.
fn channel_layers(name: &str, leaves: &[Leaf]) -> Vec<Candidate> {
    let mut found = Vec::new();
    for leaf in leaves
        .iter()
        .filter(|l| l.path.iter().any(|p| p == "hosts") && l.path.last().is_some_and(|p| p == "0"))
    {
        let port = leaves.iter().find(|l| {
            l.path.len() == leaf.path.len()
                && l.path.split_last().map(|(_, rest)| rest) == leaf.path.split_last().map(|(_, rest)| rest)
                && l.path.last().is_some_and(|p| p == "1")
        });
        // A tuple stands one deeper than a list of URLs.
        let tuple = leaf.path.iter().rev().nth(1).is_some_and(|p| p != "hosts");
        if tuple && !is_redis_url(&leaf.value) && leaf.path.iter().any(|p| p.contains("CHANNEL_LAYERS")) {
            let value = match port {
                Some(port) => format!("{}:{}", leaf.value, port.value),
                None => leaf.value.clone(),
            };
            found.push(whole(&leaf.path.join("."), &value, Place::at(name, leaf.line)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{listed, taken};

    #[test]
    fn django() {
        let text = "import os\nREDIS_URL = os.environ.get('REDIS_URL', 'redis://cache:6379/0')\nCACHES = {\n    'default': {\n        'BACKEND': 'django_redis.cache.RedisCache',\n        'LOCATION': REDIS_URL,\n    }\n}\nCELERY_BROKER_URL = 'redis://broker:6379/1'\nCHANNEL_LAYERS = {\n    'default': {\n        'BACKEND': 'channels_redis.core.RedisChannelLayer',\n        'CONFIG': {'hosts': [('127.0.0.1', 6379)]},\n    },\n}\n";
        let files = [("manage.py", "#"), ("shop/settings.py", text)];
        assert_eq!(taken(&[], &files), "redis://cache:6379/0 shop/settings.py:2");
        let dials: Vec<_> = listed(&[], &files).found.into_iter().filter_map(|s| s.dials).collect();
        assert_eq!(
            dials,
            [
                "redis://cache:6379/0",
                "redis://cache:6379/0",
                "redis://broker:6379/1",
                "redis://127.0.0.1:6379"
            ]
        );
    }

    #[test]
    fn celery_and_flask() {
        let text =
            "broker_url = \"redis://:canary@b:6379/0\"\nresult_backend = \"redis://localhost:6379/1\"\n";
        assert_eq!(taken(&[], &[("celeryconfig.py", text)]), "redis://:***@b:6379/0 celeryconfig.py:1");
        let text = "class Config:\n    CACHE_REDIS_HOST = os.getenv('CACHE_HOST') or 'c'\n    CACHE_REDIS_URL = 'redis://c:6379/2'\n";
        assert_eq!(taken(&[], &[("config.py", text)]), "redis://c:6379/2 config.py:3");
        let celery = "app = Celery('tasks', broker='redis://localhost:6379/0')\n";
        assert_eq!(taken(&[], &[("celery.py", celery)]), "redis://localhost:6379/0 celery.py:1");
    }
}
