//! PHP applications with an array of their own: Nextcloud's and ownCloud's `config/config.php`, Magento's
//! `app/etc/env.php`, WordPress's `wp-config.php`, Drupal's `settings.php`.

use super::super::pairs::{Candidate, Place, is_redis_url, whole};
use super::super::settings::Surroundings;
use super::super::source;
use super::super::tree::Leaf;
use super::tree;

const FILES: &[&str] = &[
    "config/config.php",
    "app/etc/env.php",
    "wp-config.php",
    "sites/default/settings.php",
    "config/autoload/redis.php",
];

/// Candidates of all files.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let mut found = Vec::new();
    for name in FILES {
        let Some(text) = here.file(name) else { continue };
        let leaves: Vec<Leaf> = source::leaves(&text, &|key| here.env(key)).into_iter().map(server).collect();
        for leaf in
            leaves.iter().filter(|l| l.path.last().is_some_and(|p| p == "host") && l.value.starts_with('/'))
        {
            found.push(whole(&leaf.path.join("."), &leaf.value, Place::at(name, leaf.line)));
        }
        let rest =
            leaves.into_iter().filter(|l| !l.value.starts_with('/') || is_redis_url(&l.value)).collect();
        found.extend(tree(name, rest, here));
    }
    found.extend(wordpress(here));
    found
}

/// Magento calls the host `server`.
fn server(mut leaf: Leaf) -> Leaf {
    if let Some(last) = leaf.path.last_mut().filter(|p| *p == "server") {
        "host".clone_into(last);
    }
    leaf
}

/// `define('WP_REDIS_HOST', 'cache');`
fn wordpress(here: &Surroundings) -> Vec<Candidate> {
    let name = "wp-config.php";
    let Some(text) = here.file(name) else { return Vec::new() };
    let mut pairs = Vec::new();
    let mut lines = Vec::new();
    for (i, line) in text.lines().enumerate().take(5000) {
        let Some(inside) = line.trim().strip_prefix("define(") else { continue };
        let mut words = inside.split(['\'', '"', ',', ')', ' ']).filter(|w| !w.is_empty());
        if let (Some(key), Some(value)) = (words.next(), words.next())
            && key.starts_with("WP_REDIS_")
        {
            pairs.push((key.to_owned(), value.to_owned()));
            lines.push((key.to_owned(), i + 1));
        }
    }
    let line = |key: &str| lines.iter().find(|(k, _)| k == key).map_or(1, |(_, line)| *line);
    super::super::pairs::from_parts(&pairs, "WP_REDIS", &|key| Place::at(name, line(key)))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::taken;

    #[test]
    fn nextcloud() {
        let text = "<?php\n$CONFIG = array (\n  'memcache.locking' => '\\\\OC\\\\Memcache\\\\Redis',\n  'redis' => \n  array (\n    'host' => 'cache',\n    'port' => 6379,\n    'password' => 'canary',\n  ),\n);\n";
        assert_eq!(taken(&[], &[("config/config.php", text)]), "redis://:***@cache:6379 config/config.php:6");
        let text = "<?php\n$CONFIG = [\n  'redis' => [\n    'host' => '/run/redis/redis.sock',\n    'port' => 0,\n  ],\n];\n";
        assert_eq!(
            taken(&[], &[("config/config.php", text)]),
            "unix:///run/redis/redis.sock config/config.php:4"
        );
    }

    #[test]
    fn magento_and_wordpress() {
        let text = "<?php\nreturn [\n  'session' => ['save' => 'redis', 'redis' => [\n    'host' => 'm', 'port' => '7',\n  ]],\n];\n";
        assert_eq!(taken(&[], &[("app/etc/env.php", text)]), "redis://m:7 app/etc/env.php:4");
        let text = "<?php\ndefine( 'WP_REDIS_HOST', 'w' );\ndefine('WP_REDIS_PORT', 7);\n";
        assert_eq!(taken(&[], &[("wp-config.php", text)]), "redis://w:7 wp-config.php:2");
    }
}
