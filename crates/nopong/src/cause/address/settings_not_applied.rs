//! The application has a setting, and yet another address is dialled.

use super::shared::{on_defaults, other_settings};
use crate::cause::common::{down_here, meta, servers_here, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

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

impl Cause for SettingsNotApplied {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !nobody_there(case.symptom) {
            return Vec::new();
        }
        let others = other_settings(case);
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
        match other_settings(case).first() {
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
}

#[cfg(test)]
mod tests {
    use super::SettingsNotApplied;
    use crate::cause::testing::{bearings, client, errno, refused, seen, silent};
    use crate::diagnosis::Bearing;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Setting, Settings};

    fn with(mut file: CaseFile, dials: &str) -> CaseFile {
        file.ask.source = "argument".to_owned();
        let setting = Setting {
            place: ".env:3".to_owned(),
            key: "REDIS_URL".to_owned(),
            value: dials.to_owned(),
            dials: Some(dials.to_owned()),
            problem: None,
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
    fn silent_without_settings() {
        assert!(silent(&SettingsNotApplied, &refused()));
    }
}
