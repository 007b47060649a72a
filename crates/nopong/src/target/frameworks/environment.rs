//! The environment and what `.env` files add to it: a variable that is set already is not set again.

use super::super::pairs::{Candidate, Place, from_pairs};
use super::super::settings::Surroundings;
use super::dotenv::{self, Layer};

/// Candidates of the variables as they are in effect, then what is written and has no effect.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let own: Layer =
        here.variables().iter().map(|(k, v)| (k.clone(), v.clone(), Place::variable(k))).collect();
    let (loaded, others) = dotenv::names(here);
    let mut layers = vec![own];
    layers.extend(loaded.iter().map(|name| dotenv::layer(name, here)));
    let mut effective: Layer = Vec::new();
    for layer in &layers {
        for entry in layer.iter().rev().filter(|(_, value, _)| !value.is_empty()) {
            if !effective.iter().any(|(k, ..)| *k == entry.0) {
                effective.push(entry.clone());
            }
        }
    }
    let mut found = candidates(&effective);
    // A variable of the environment comes before one of a file, whatever it is called.
    let rank = |c: &Candidate| {
        layers
            .iter()
            .position(|l| l.iter().any(|(.., p)| p.source == c.target.source))
            .unwrap_or(layers.len())
    };
    found.sort_by_key(rank);
    demote_injected(&mut found, here);
    for (i, layer) in layers.iter().enumerate() {
        let hidden: Layer = layer
            .iter()
            .filter(|(key, _, place)| effective.iter().any(|(k, _, p)| k == key && p.source != place.source))
            .cloned()
            .collect();
        let before = |key: &str| {
            let first = effective.iter().find(|(k, ..)| k == key);
            first.map_or_else(String::new, |(.., p)| p.source.clone())
        };
        if i > 0 {
            let late = candidates(&hidden).into_iter().map(|c| {
                let key = c.settings.first().map(|s| s.key.clone()).unwrap_or_default();
                c.ignored(format!("{} comes before it", before(&key)))
            });
            found.extend(late);
        }
    }
    for name in others {
        let why = format!("nothing says that {name} is loaded");
        found.extend(candidates(&dotenv::layer(&name, here)).into_iter().map(|c| c.idle(why.clone())));
    }
    found
}

fn candidates(layer: &Layer) -> Vec<Candidate> {
    let pairs: Vec<(String, String)> = layer.iter().map(|(k, v, _)| (k.clone(), v.clone())).collect();
    from_pairs(&pairs, &|key| {
        layer.iter().rev().find(|(k, ..)| k == key).map_or_else(|| Place::variable(key), |(.., p)| p.clone())
    })
}

/// Docker and Kubernetes set REDIS_PORT=tcp://… in every container, also where nobody reads it: an address that was
/// written on purpose comes first.
fn demote_injected(found: &mut [Candidate], here: &Surroundings) {
    let alone = |c: &Candidate| {
        let injected = c.target.problem.as_ref().is_some_and(|p| p.id == "env-collision");
        let host = c.settings.iter().any(|s| s.key.ends_with("_HOST"));
        injected && !host && here.env("REDIS_HOST").is_none()
    };
    if found.iter().any(|c| c.target.problem.is_none() && !c.target.source.contains("_SERVICE_")) {
        found.sort_by_key(alone);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ignored, listed, taken};

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
            assert_eq!(taken(&[], &[(".env", text)]), expected, "{text}");
        }
    }

    #[test]
    fn layers_add_to_each_other() {
        let files = [(".env", "REDIS_HOST=a\nREDIS_PORT=7\n"), (".env.local", "REDIS_HOST=b\n")];
        assert_eq!(taken(&[], &files), "redis://b:7 .env.local:1");
        assert_eq!(taken(&[("REDIS_HOST", "c")], &files), "redis://c:7 environment REDIS_HOST");
        assert_eq!(ignored(&listed(&[], &files), ".env:1"), ".env.local:1 comes before it");
        // A variable of the environment is not overwritten, and injected ones are variables, too.
        let found = listed(&[("REDIS_PORT", "tcp://10.0.0.1:6379")], &files[..1]);
        assert!(
            found
                .found
                .iter()
                .any(|s| s.problem.as_deref().is_some_and(|p| p.contains("Docker or Kubernetes")))
        );
    }

    #[test]
    fn stages() {
        let files = [(".env", "REDIS_URL=redis://a\n"), (".env.production", "REDIS_URL=redis://p\n")];
        assert_eq!(taken(&[], &files), "redis://a:6379 .env:1");
        assert_eq!(taken(&[("NODE_ENV", "production")], &files), "redis://p:6379 .env.production:1");
        assert!(ignored(&listed(&[], &files), ".env.production:1").contains("nothing says"));
    }

    #[test]
    fn what_kubernetes_injects_comes_last() {
        let injected = [
            ("REDIS_SERVICE_HOST", "10.0.0.1"),
            ("REDIS_SERVICE_PORT", "6379"),
            ("REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(taken(&injected, &[]), "redis://10.0.0.1:6379 environment REDIS_SERVICE_HOST");
        let mut all = injected.to_vec();
        all.extend([("REDIS_PORT", "tcp://10.0.0.1:6379"), ("CACHE_REDIS_URL", "redis://cache")]);
        assert_eq!(taken(&all, &[]), "redis://cache:6379 environment CACHE_REDIS_URL");
    }

    #[test]
    fn prefixes_of_applications() {
        assert_eq!(
            taken(&[("AUTHENTIK_REDIS__HOST", "r")], &[]),
            "redis://r:6379 environment AUTHENTIK_REDIS__HOST"
        );
        let n8n = [("QUEUE_BULL_REDIS_HOST", "r"), ("QUEUE_BULL_REDIS_PORT", "7")];
        assert_eq!(taken(&n8n, &[]), "redis://r:7 environment QUEUE_BULL_REDIS_HOST");
        assert_eq!(taken(&[("REDIS_ADDR", "r:7")], &[]), "redis://r:7 environment REDIS_ADDR");
        let airflow = [("AIRFLOW__CELERY__BROKER_URL", "redis://:x@r/0")];
        assert_eq!(taken(&airflow, &[]), "redis://:***@r:6379/0 environment AIRFLOW__CELERY__BROKER_URL");
        for key in
            ["REDISCLOUD_URL", "REDISTOGO_URL", "UPSTASH_REDIS_URL", "HEROKU_REDIS_MAROON_TLS_URL", "KV_URL"]
        {
            assert_eq!(taken(&[(key, "redis://r")], &[]), format!("redis://r:6379 environment {key}"));
        }
    }
}
