//! Spring Boot: `spring.redis.*` until 2.7, `spring.data.redis.*` from 3.0 (Spring Boot 3.0 Migration Guide, "Redis
//! Properties"); either version ignores the other's names in silence and dials localhost:6379.

use super::super::pairs::Candidate;
use super::super::settings::Surroundings;
use super::super::tree as files;
use super::tree;

/// Folders in order of precedence (Spring Boot reference, "External Application Properties").
const FOLDERS: &[&str] = &["config/", "", "src/main/resources/config/", "src/main/resources/"];
const ENDS: &[&str] = &["properties", "yml", "yaml"];

/// Candidates of the active profiles' files, then of the common ones.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    let profiles = here.env("SPRING_PROFILES_ACTIVE").unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    let plain = |p: &&str| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    // The last profile wins.
    for profile in profiles.split(',').map(str::trim).filter(plain).rev().take(8) {
        names.push(format!("application-{profile}"));
    }
    names.push("application".to_owned());
    let mut found = Vec::new();
    for name in names {
        for folder in FOLDERS {
            for end in ENDS {
                found.extend(of_file(&format!("{folder}{name}.{end}"), here));
            }
        }
    }
    renamed(found, major(here))
}

fn of_file(name: &str, here: &Surroundings) -> Vec<Candidate> {
    let Some(text) = here.file(name) else { return Vec::new() };
    let leaves = if name.ends_with("properties") { files::properties(&text) } else { files::yaml(&text) };
    tree(name, leaves, here)
}

/// Spring Boot's major version by the build file: its plugin, its parent, or its own artefacts.
fn major(here: &Surroundings) -> Option<(u8, &'static str)> {
    ["pom.xml", "build.gradle", "build.gradle.kts", "gradle/libs.versions.toml"]
        .into_iter()
        .find_map(|name| Some((version(&here.file(name)?)?, name)))
}

fn version(text: &str) -> Option<u8> {
    // The number that stands next behind the name: `<version>3.2.1`, `version '3.2.1'`, `= "3.2.1"`.
    let names = [
        "spring-boot-starter-parent",
        "org.springframework.boot",
        "spring-boot-dependencies",
        "spring-boot",
        "springBoot",
    ];
    names.iter().find_map(|name| {
        text.match_indices(name).take(20).find_map(|(at, _)| {
            let near: String = text[at + name.len()..].chars().take(120).collect();
            let start = near.find("version").or_else(|| near.find('='))?;
            let digits = near[start..].find(|c: char| c.is_ascii_digit())? + start;
            let (major, rest) = near[digits..].split_at(1);
            rest.starts_with('.').then(|| major.parse().ok()).flatten()
        })
    })
}

/// Settings under the other version's name have no effect; without any other, the default is dialled.
fn renamed(found: Vec<Candidate>, major: Option<(u8, &'static str)>) -> Vec<Candidate> {
    let Some((major, file)) = major else { return found };
    let (read, ignored) = match major {
        3.. => ("spring.data.redis", "spring.redis."),
        _ => ("spring.redis", "spring.data.redis."),
    };
    let under = |c: &Candidate, prefix: &str| c.settings.iter().any(|s| s.key.starts_with(prefix));
    let lost = found.iter().any(|c| under(c, ignored));
    let heard = found.iter().any(|c| !under(c, ignored));
    let why = format!("Spring Boot {major} ({file}) reads {read}.* instead");
    let mut all: Vec<Candidate> =
        found.into_iter().map(|c| if under(&c, ignored) { c.lost(why.clone()) } else { c }).collect();
    if lost && !heard {
        all.push(Candidate::of_default(&format!("Spring Boot {major}'s default: {read}.* is not set")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ignored, listed, taken};

    const POM3: &str = "<parent>\n  <groupId>org.springframework.boot</groupId>\n  <artifactId>spring-boot-starter-parent</artifactId>\n  <version>3.2.1</version>\n</parent>\n";

    #[test]
    fn yaml_and_properties() {
        let yaml = "spring:\n  data:\n    redis:\n      host: ${HOST:cache}\n      port: 7\n      ssl:\n        enabled: true\n";
        assert_eq!(taken(&[], &[("application.yml", yaml)]), "rediss://cache:7 application.yml:4");
        let text = "spring.redis.host=h\nspring.redis.password=x\n";
        assert_eq!(
            taken(&[], &[("application.properties", text)]),
            "redis://:***@h:6379 application.properties:1"
        );
    }

    #[test]
    fn a_profile_comes_before_the_common_file() {
        let files = [
            ("src/main/resources/application.properties", "spring.data.redis.host=a\n"),
            ("src/main/resources/application-prod.properties", "spring.data.redis.host=b\n"),
        ];
        assert_eq!(taken(&[], &files), "redis://a:6379 src/main/resources/application.properties:1");
        let env = [("SPRING_PROFILES_ACTIVE", "prod")];
        assert_eq!(taken(&env, &files), "redis://b:6379 src/main/resources/application-prod.properties:1");
    }

    #[test]
    fn the_renamed_properties_are_a_trap() {
        let old = ("application.properties", "spring.redis.host=cache\nspring.redis.port=7\n");
        let files = [old, ("pom.xml", POM3)];
        assert_eq!(
            taken(&[], &files),
            "redis://127.0.0.1:6379 Spring Boot 3's default: spring.data.redis.* is not set"
        );
        assert!(
            ignored(&listed(&[], &files), "application.properties:1").contains("reads spring.data.redis.*")
        );
        let gradle = ("build.gradle", "plugins {\n  id 'org.springframework.boot' version '2.7.18'\n}\n");
        assert_eq!(taken(&[], &[old, gradle]), "redis://cache:7 application.properties:1");
        let new = ("application.yml", "spring:\n  data:\n    redis:\n      host: cache\n");
        assert!(taken(&[], &[new, gradle]).contains("Spring Boot 2's default"));
        assert_eq!(taken(&[], &[new, ("pom.xml", POM3)]), "redis://cache:6379 application.yml:4");
    }
}
