//! The application has a setting, and yet another address is dialled.

use super::shared::{on_defaults, other_settings};
use crate::cause::common::{down_here, meta, servers_here, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Setting;

/// See the module.
#[derive(Debug)]
pub(super) struct SettingsNotApplied;

static META: Meta = meta(
    "settings-not-applied",
    Category::Address,
    Stage::Target,
    "the application does not dial the address it was given",
    &["settings"],
);

/// What happened is that the address gave no Redis.
pub(super) fn nobody_there(symptom: Symptom) -> bool {
    matches!(
        symptom,
        Symptom::Refused
            | Symptom::TimedOut
            | Symptom::Unreachable
            | Symptom::NoRoute
            | Symptom::NameNotFound
            | Symptom::ResolverFailed
            | Symptom::NotRedis
    )
}

/// A setting that names another address and does not reach the application, as its own surroundings show.
fn lost<'a>(case: &Case<'a>) -> Option<(&'a Setting, String, u16)> {
    let lost = |s: &Setting| s.remark.as_ref().is_some_and(|r| r.cause == META.id);
    other_settings(case).into_iter().find(|(s, ..)| lost(s))
}

impl Cause for SettingsNotApplied {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !nobody_there(case.symptom) {
            return Vec::new();
        }
        let others = other_settings(case);
        if let Some((setting, host, port)) =
            lost(case).filter(|_| case.ask.source != "argument" || on_defaults(case))
        {
            let why = setting.ignored.as_deref().unwrap_or("it has no effect");
            let says = format!(
                "{} {} says {host}:{port}, and {} was dialled",
                setting.place,
                setting.key,
                case.target()
            );
            return vec![
                Reason::strong("settings", says),
                Reason::strong("settings", format!("it has no effect: {why}")),
            ];
        }
        let Some((setting, host, port)) = others.first() else {
            if let Some(reason) = down_here(case) {
                return vec![reason];
            }
            if servers_here(case).is_some_and(|s| !s.is_empty()) {
                return vec![Reason::against("process", "Redis runs on the host dialled")];
            }
            let found = case.client.settings.get().is_some_and(|s| !s.found.is_empty());
            return if found {
                vec![Reason::against("settings", "every setting found names the address dialled")]
            } else {
                Vec::new()
            };
        };
        let says = format!(
            "{} {} says {host}:{port}, and {} was dialled",
            setting.place,
            setting.key,
            case.target()
        );
        if case.ask.source == "argument" && on_defaults(case) {
            // 127.0.0.1:6379 is what client libraries dial when their options do not reach them.
            let mut reasons = vec![Reason::strong("settings", says)];
            if case.ask.local && case.server.binary.get().is_some_and(Vec::is_empty) {
                reasons.push(Reason::weak("binary", "no Redis is installed on the machine dialled"));
            }
            return reasons;
        }
        if case.ask.source != "argument" {
            let taken = &case.ask.source;
            return vec![Reason::weak("settings", format!("{says}: {taken} comes before it"))];
        }
        vec![Reason::weak("settings", says)]
    }

    fn title(&self, case: &Case<'_>) -> String {
        match lost(case).as_ref().or(other_settings(case).first()) {
            Some((setting, host, port)) => {
                format!("{} is dialled, but {} says {host}:{port}", case.target(), setting.place)
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let others = other_settings(case);
        let fix = Fix::new(Risk::Advice, "let the application read its setting");
        let fix = match others.first() {
            Some((_, host, port)) => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                fix.run(
                    "see whether Redis is where the setting says",
                    format!("nopong {}", sh(&format!("redis://{host}:{port}"))),
                )
            }
            None => fix,
        };
        Some(
            fix.run("see the environment the running application really has", "tr '\\0' '\\n' </proc/PID/environ | grep -i redis")
                .step("compare the option's name with the installed version of the client library: unknown options are ignored in silence (node-redis 4 wants socket.host, Spring Boot 3 spring.data.redis.host)")
                .step("clear cached configuration (php artisan config:clear) and start the application anew"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let (setting, ..) = lost(case).filter(|_| case.ask.source != "argument")?;
        let why = setting.ignored.as_deref().unwrap_or("it has no effect");
        Some(Latent {
            place: Place::Warning,
            title: format!("{} {} has no effect: {why}", setting.place, setting.key),
            reasons: vec![Reason::strong("settings", format!("{} = {}", setting.key, setting.value))],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SettingsNotApplied;
    use crate::cause::Cause;
    use crate::cause::testing::{bearings, client, errno, refused, seen, silent};
    use crate::diagnosis::Bearing;
    use crate::diagnosis::Case;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Remark, Setting, Settings};

    fn with(mut file: CaseFile, dials: &str) -> CaseFile {
        file.ask.source = "argument".to_owned();
        let setting = Setting {
            place: ".env:3".to_owned(),
            key: "REDIS_URL".to_owned(),
            value: dials.to_owned(),
            dials: Some(dials.to_owned()),
            ..Setting::default()
        };
        file.client.settings = seen(Settings { found: vec![setting] });
        file
    }

    #[test]
    fn strong_when_the_default_is_dialled_against_a_setting() {
        let mut file = errno("ECONNREFUSED");
        file.ask = client("127.0.0.1", 6379).ask;
        assert_eq!(bearings(&SettingsNotApplied, &with(file, "redis://10.0.0.5:6379")), [Bearing::Strong]);
        assert_eq!(bearings(&SettingsNotApplied, &with(refused(), "redis://10.0.0.9:6379")), [Bearing::Weak]);
    }

    #[test]
    fn against_when_the_setting_is_what_was_dialled() {
        assert_eq!(
            bearings(&SettingsNotApplied, &with(refused(), "redis://10.0.0.5:6379")),
            [Bearing::Against]
        );
    }

    #[test]
    fn strong_when_the_surroundings_show_that_it_is_lost() {
        let mut file = with(errno("ECONNREFUSED"), "redis://10.0.0.9:6379");
        file.ask.source = "Spring Boot 3's default: spring.data.redis.* is not set".to_owned();
        let mut settings = file.client.settings.get().cloned().unwrap();
        let says = "Spring Boot 3 (pom.xml) reads spring.data.redis.* instead".to_owned();
        settings.found[0].ignored = Some(says.clone());
        settings.found[0].remark = Some(Remark { cause: "settings-not-applied".to_owned(), says });
        file.client.settings = seen(settings.clone());
        assert_eq!(bearings(&SettingsNotApplied, &file), [Bearing::Strong, Bearing::Strong]);
        assert!(SettingsNotApplied.latent(&Case::new(&file)).is_some());
        // One for another stage is expected to be elsewhere.
        settings.found[0].idle = true;
        file.client.settings = seen(settings);
        assert!(SettingsNotApplied.latent(&Case::new(&file)).is_none());
    }

    #[test]
    fn silent_without_settings() {
        assert!(silent(&SettingsNotApplied, &refused()));
    }
}
