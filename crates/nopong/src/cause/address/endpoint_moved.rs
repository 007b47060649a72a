//! The endpoint was a managed service's or a platform's, and has gone or moved.

use super::shared::name;
use crate::cause::common::meta;
use crate::cause::firewall::cloud_firewall_blocks::cloud_name;
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct EndpointMoved;

static META: Meta = meta(
    "endpoint-moved",
    Category::Address,
    Stage::Resolve,
    "the endpoint has moved or was taken down",
    &["name"],
);

impl Cause for EndpointMoved {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::NameNotFound | Symptom::Refused) || case.unix().is_some() {
            return Vec::new();
        }
        if case.ask.local {
            return vec![Reason::rules_out("name", "the target is this machine")];
        }
        let Some(name) = name(case) else {
            return if case.client.name.get().is_some() && case.symptom == Symptom::Refused {
                vec![Reason::against("name", "an address was dialled, managed endpoints have names")]
            } else {
                Vec::new()
            };
        };
        if !cloud_name(&name.asked) {
            return Vec::new();
        }
        let says = format!(
            "{} is a name of a managed service; it goes when the instance is replaced or deleted",
            name.asked
        );
        vec![match case.symptom {
            Symptom::NameNotFound => Reason::strong("name", says),
            _ => Reason::weak("name", says),
        }]
    }

    fn fix(&self, _case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "take the present endpoint from the service's console")
                .step("read it from the platform's variable each time the application starts, instead of copying the value: platforms rotate host, port and password (Heroku), and may offer the new one under another variable (REDIS_TLS_URL)"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::EndpointMoved;
    use crate::cause::testing::{bearings, client, refused, seen, silent};
    use crate::diagnosis::Bearing;
    use crate::evidence::client::Name;

    #[test]
    fn strong_for_a_managed_name_that_is_gone() {
        let host = "old.abc.0001.euw1.cache.amazonaws.com";
        let mut file = client(host, 6379);
        let name = Name { asked: host.to_owned(), error: Some("EAI_NONAME".to_owned()), ..Name::default() };
        file.client.name = seen(name);
        assert_eq!(bearings(&EndpointMoved, &file), [Bearing::Strong]);
    }

    #[test]
    fn against_for_a_literal_and_silent_without_a_name() {
        let mut file = refused();
        assert!(silent(&EndpointMoved, &file));
        file.client.name = seen(Name { literal: true, ..Name::default() });
        assert_eq!(bearings(&EndpointMoved, &file), [Bearing::Against]);
    }
}
