//! .NET: `appsettings.{Environment}.json` before `appsettings.json`; StackExchange.Redis's connection strings.

use super::super::pairs::Candidate;
use super::super::settings::Surroundings;
use super::super::tree as files;
use super::tree;

/// Candidates of the environment's file, then of the common one.
pub(super) fn read(here: &Surroundings) -> Vec<Candidate> {
    // Production is the default (ASP.NET Core documentation, "Use multiple environments").
    let running =
        here.env("ASPNETCORE_ENVIRONMENT").or(here.env("DOTNET_ENVIRONMENT")).unwrap_or("Production");
    let mut found = Vec::new();
    let plain = running.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let own = format!("appsettings.{running}.json");
    for name in [own.as_str(), "appsettings.json"].into_iter().filter(|n| plain || *n != own) {
        found.extend(of_file(name, here));
    }
    for other in ["appsettings.Production.json", "appsettings.Development.json", "appsettings.Staging.json"] {
        if other != own {
            let all = of_file(other, here).into_iter();
            found.extend(all.map(|c| c.idle(format!("the environment is {running}"))));
        }
    }
    // A key of the common file that the environment's file has as well is overridden.
    let mut seen: Vec<(String, String)> = Vec::new();
    for candidate in &mut found {
        let Some(setting) = candidate.settings.first() else { continue };
        match seen.iter().find(|(key, _)| *key == setting.key) {
            Some((_, place)) if candidate.ignored.is_none() && *place != setting.place => {
                candidate.ignored = Some(format!("{place} comes before it"));
            }
            Some(_) => {}
            None => seen.push((setting.key.clone(), setting.place.clone())),
        }
    }
    found
}

fn of_file(name: &str, here: &Surroundings) -> Vec<Candidate> {
    here.file(name).map(|text| tree(name, files::yaml(&text), here)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ignored, listed, taken};

    #[test]
    fn connection_strings() {
        let text = "{\n  \"ConnectionStrings\": {\n    \"Redis\": \"h:7,password=x,ssl=true\"\n  }\n}\n";
        assert_eq!(taken(&[], &[("appsettings.json", text)]), "rediss://:***@h:7 appsettings.json:3");
        let other = "{\"ConnectionStrings\": {\"Db\": \"Server=x;Password=y\"}}";
        assert_eq!(taken(&[], &[("appsettings.json", other)]), "redis://127.0.0.1:6379 default");
        let section = "{\"Redis\": {\"ConnectionString\": \"h:7\"}}";
        assert_eq!(taken(&[], &[("appsettings.json", section)]), "redis://h:7 appsettings.json:1");
    }

    #[test]
    fn the_environments_file_comes_first() {
        let file = |host: &str| format!("{{\"ConnectionStrings\": {{\"Redis\": \"{host}:6379\"}}}}");
        let (common, development) = (file("a"), file("d"));
        let files = [("appsettings.json", common.as_str()), ("appsettings.Development.json", &development)];
        assert_eq!(taken(&[], &files), "redis://a:6379 appsettings.json:1");
        let env = [("ASPNETCORE_ENVIRONMENT", "Development")];
        assert_eq!(taken(&env, &files), "redis://d:6379 appsettings.Development.json:1");
        assert!(ignored(&listed(&env, &files), "appsettings.json:1").contains("comes before"));
        assert_eq!(
            ignored(&listed(&[], &files), "appsettings.Development.json:1"),
            "the environment is Production"
        );
    }
}
