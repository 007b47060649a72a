//! The application's main client is configured, and a second one in it dials the default.

use super::settings_not_applied::nobody_there;
use super::shared::{on_defaults, other_settings};
use crate::cause::common::{down_here, meta};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;

/// See the module.
#[derive(Debug)]
pub(super) struct SecondClientOnDefaults;

static META: Meta = meta(
    "second-client-on-defaults",
    Category::Address,
    Stage::Target,
    "a second Redis client in the application dials the default address",
    &["settings"],
);

impl Cause for SecondClientOnDefaults {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !nobody_there(case.symptom) {
            return Vec::new();
        }
        if !on_defaults(case) {
            return if case.dialled().is_empty() {
                Vec::new()
            } else {
                vec![Reason::rules_out("connect", "not the default address 127.0.0.1:6379 was dialled")]
            };
        }
        match other_settings(case).first() {
            Some((setting, host, port)) => vec![Reason::weak(
                "settings",
                format!(
                    "the default address was dialled, while {} {} says {host}:{port}",
                    setting.place, setting.key
                ),
            )],
            None => down_here(case).into_iter().collect(),
        }
    }

    fn fix(&self, _case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "give every client in the application its address")
                .step("look for the ones that have settings of their own: Celery's result backend beside its broker, a queue, a session store, a cache, a plugin")
                .run("see what the running process really dials", "ss -tnp | grep -w 6379"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::SecondClientOnDefaults;
    use crate::cause::testing::{bearings, client, refused, rules_out, seen, silent};
    use crate::diagnosis::Bearing;
    use crate::evidence::client::{Setting, Settings};

    #[test]
    fn weak_when_the_default_is_dialled_beside_a_setting() {
        let mut file = refused();
        file.ask = client("localhost", 6379).ask;
        assert!(silent(&SecondClientOnDefaults, &file));
        let dials = Some("redis://10.0.0.5:6379".to_owned());
        file.client.settings = seen(Settings { found: vec![Setting { dials, ..Setting::default() }] });
        assert_eq!(bearings(&SecondClientOnDefaults, &file), [Bearing::Weak]);
    }

    #[test]
    fn ruled_out_when_another_address_was_dialled() {
        assert!(rules_out(&SecondClientOnDefaults, &refused()));
    }
}
