//! The user is known, but may not run this command or use this database.

use crate::cause::common::{meta, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Talk;

/// See the module.
#[derive(Debug)]
pub(super) struct AclDenied;

static META: Meta = meta(
    "acl-denied",
    Category::Access,
    Stage::Auth,
    "the ACL of this user forbids the command",
    &["protocol", "inside"],
);

/// The NOPERM reply and the command it answers.
fn refusal(talk: &Talk) -> Option<(&'static str, &str)> {
    [("ping", &talk.ping), ("select", &talk.select)].into_iter().find_map(|(command, reply)| {
        let reply = reply.as_ref()?;
        Some((command, reply.error().filter(|_| reply.word() == Some("NOPERM"))?))
    })
}

fn user(case: &Case<'_>) -> String {
    case.talk()
        .and_then(|t| t.whoami.clone())
        .or_else(|| case.ask.user.clone())
        .unwrap_or_else(|| "default".to_owned())
}

impl Cause for AclDenied {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        let Some(talk) = case.talk() else { return Vec::new() };
        match refusal(talk) {
            Some((command, text)) => vec![Reason::confirms(
                "protocol",
                format!(
                    "{} as user {} is answered by: {text}",
                    command.to_uppercase(),
                    crate::text::shown_str(&user(case), 60)
                ),
            )],
            None => match case.error_word() {
                Some(word) => {
                    vec![Reason::rules_out("protocol", format!("the server answers -{word}, not -NOPERM"))]
                }
                None => Vec::new(),
            },
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let command = case.talk().and_then(refusal).map_or("ping", |(command, _)| command);
        let name = sh(&user(case));
        Some(
            Fix::new(Risk::Ask, format!("allow the user +{command}"))
                .run("see what it may do, as an admin", format!("redis-cli --askpass ACL GETUSER {name}"))
                .run(
                    "allow what the application needs, nothing more",
                    format!("redis-cli --askpass ACL SETUSER {name} +{command}"),
                )
                .step("keep it: ACL SAVE with an aclfile, CONFIG REWRITE without one; else a restart forgets it"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        // The application's own refusals, seen by a user who may read the ACL log.
        let entry = case.talk().filter(|t| t.pong()).and_then(|t| t.acl_log.first())?;
        (case.symptom == Symptom::Pong).then(|| Latent {
            place: Place::Warning,
            title: "the server's ACL turned somebody away lately".to_owned(),
            reasons: vec![Reason::strong("protocol", format!("ACL LOG: {entry}"))],
            fix: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AclDenied;
    use crate::cause::testing::{first, ping_error, refused, rules_out, silent};
    use crate::diagnosis::Band;

    #[test]
    fn confirmed_by_noperm() {
        let file = ping_error("NOPERM User app has no permissions to run the 'ping' command");
        assert_eq!(first(&file), Some(("acl-denied", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_another_error() {
        assert!(rules_out(&AclDenied, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn silent_without_a_reply() {
        assert!(silent(&AclDenied, &refused()));
    }
}
