//! Rails and Sidekiq: `config/redis.yml`, `cable.yml`, `cache.yml`, `sidekiq.yml`, and the initializers' usual forms.

use super::super::pairs::Candidate;
use super::super::settings::Surroundings;
use super::super::{source, tree as files};
use super::{dotenv, staged, tree};

const YAML: &[&str] = &[
    "config/redis.yml",
    "config/resque.yml",
    "config/sidekiq.yml",
    "config/cable.yml",
    "config/cache.yml",
    "config/database.yml",
    "config/settings.yml",
    "config/gitlab.yml",
];
const RUBY: &[&str] = &[
    "config/initializers/redis.rb",
    "config/initializers/sidekiq.rb",
    "config/initializers/resque.rb",
    "config/initializers/session_store.rb",
    "config/initializers/cache_store.rb",
    "config/environments/production.rb",
    "config/application.rb",
    "config/cable.rb",
    "config/puma.rb",
];

/// Candidates of the stage that runs; without RAILS_ENV that is production for a server.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let running = here.env("RAILS_ENV").or(here.env("RACK_ENV")).unwrap_or("production").to_owned();
    let mut found = Vec::new();
    for name in YAML {
        let Some(text) = here.file(name) else { continue };
        for candidate in tree(name, files::yaml(&text), here) {
            let key = candidate.settings.first().map(|s| s.key.clone()).unwrap_or_default();
            let stage = key.split('.').next().unwrap_or_default().trim_start_matches(':').to_owned();
            found.push((stage, candidate));
        }
    }
    let mut found = staged(found, &running);
    let vars = dotenv::variables(here);
    let known = |key: &str| vars.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    for name in RUBY {
        let Some(text) = here.file(name) else { continue };
        let other = name.contains("environments/") && !name.contains(&running);
        let leaves = source::leaves(&text, &known).into_iter().filter(|l| !l.path.is_empty()).collect();
        let here_found = tree(name, leaves, here);
        found.extend(here_found.into_iter().map(|c| match other {
            true => c.idle(format!("{running} runs")),
            false => c,
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ignored, listed, taken};

    const CABLE: &str = "development:\n  adapter: redis\n  url: redis://d\nproduction:\n  adapter: redis\n  url: <%= ENV.fetch(\"REDIS_URL\") { \"redis://p:6379/1\" } %>\n";

    #[test]
    fn the_stage_that_runs() {
        assert_eq!(taken(&[], &[("config/cable.yml", CABLE)]), "redis://p:6379/1 config/cable.yml:6");
        let env = [("RAILS_ENV", "development")];
        assert_eq!(taken(&env, &[("config/cable.yml", CABLE)]), "redis://d:6379 config/cable.yml:3");
        let all = listed(&[], &[("config/cable.yml", CABLE)]);
        assert_eq!(ignored(&all, "config/cable.yml:3"), "it is for development, and production runs");
    }

    #[test]
    fn anchors_and_symbols() {
        let text = "default: &default\n  host: <%= ENV['REDIS_HOST'] || 'cache' %>\n  port: 7\nproduction:\n  <<: *default\n";
        assert_eq!(taken(&[], &[("config/redis.yml", text)]), "redis://cache:7 config/redis.yml:2");
        let sidekiq = ":concurrency: 5\nproduction:\n  :url: redis://s:6379/3\n";
        assert_eq!(taken(&[], &[("config/sidekiq.yml", sidekiq)]), "redis://s:6379/3 config/sidekiq.yml:3");
    }

    #[test]
    fn initializers() {
        let text = "Sidekiq.configure_server do |config|\n  config.redis = { url: ENV.fetch('REDIS_URL', 'redis://r:6379/1') }\nend\n";
        let name = "config/initializers/sidekiq.rb";
        assert_eq!(taken(&[], &[(name, text)]), "redis://r:6379/1 config/initializers/sidekiq.rb:2");
        let text = "$redis = Redis.new(host: 'h', port: 7, password: 'x')\n";
        assert_eq!(
            taken(&[], &[("config/initializers/redis.rb", text)]),
            "redis://:***@h:7 config/initializers/redis.rb:1"
        );
    }

    #[test]
    fn a_broker_that_is_another_one_than_the_environment_says() {
        let text = "REDIS = Redis.new(url: 'redis://localhost:6379')\n";
        let files = [(".env", "REDIS_URL=redis://cache\n"), ("config/initializers/redis.rb", text)];
        let all = listed(&[], &files);
        let dials: Vec<_> = all.found.iter().filter_map(|s| s.dials.as_deref()).collect();
        assert_eq!(dials, ["redis://cache:6379", "redis://localhost:6379"]);
    }
}
