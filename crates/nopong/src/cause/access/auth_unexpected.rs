//! The client sends a password to a server that has none.

use crate::cause::common::{cli, meta, place, restart};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct AuthUnexpected;

static META: Meta = Meta {
    masked_by: &["config-not-applied", "wrong-server"],
    ..meta(
        "auth-unexpected",
        Category::Access,
        Stage::Auth,
        "the client sends a password and Redis has none",
        &["protocol", "inside", "config"],
    )
};

/// Since 6.0 "ERR AUTH <password> called without any password configured for the default user", before it
/// "ERR Client sent AUTH, but no password is set" (acl.c, authCommand).
fn refused<'a>(case: &Case<'a>) -> Option<&'a str> {
    let text = case.talk()?.auth.as_ref()?.error()?;
    (text.contains("without any password configured") || text.contains("no password is set")).then_some(text)
}

impl Cause for AuthUnexpected {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        let Some(text) = refused(case) else {
            return if case.ask.has_password {
                Vec::new()
            } else {
                vec![Reason::rules_out("protocol", "no password was sent")]
            };
        };
        if case.default_user_is_off() {
            return vec![Reason::rules_out("protocol", "without AUTH the same server answers -NOAUTH")];
        }
        let mut reasons = vec![Reason::confirms("protocol", format!("AUTH is answered by: {text}"))];
        if case
            .talk()
            .and_then(|t| t.ping_without_auth.as_ref())
            .is_some_and(crate::evidence::client::Reply::is_pong)
        {
            reasons.push(Reason::strong("protocol", "without AUTH the same server answers PONG"));
        }
        reasons
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let fix = Fix::new(Risk::Advice, "take the password out of the client, or set it on the server")
            .step("first make sure that it is the server you mean: one without a password where you expect one is often another instance")
            .run(
                "ask which one answers",
                format!("{} INFO server", cli(case)),
            )
            .step("either remove the password from the application's setting (an empty variable or the word \"false\" can count as one)")
            .step(format!("or set requirepass in {} on the Redis host", place(case, "requirepass")));
        Some(if case.server_seen() { restart(fix, case) } else { fix })
    }
}

#[cfg(test)]
mod tests {
    use super::AuthUnexpected;
    use crate::cause::testing::{error, first, ping_error, refused, rules_out, silent, talks};
    use crate::diagnosis::Band;
    use crate::evidence::client::{Reply, Speaks, Talk};

    #[test]
    fn confirmed_by_the_reply_to_auth() {
        for text in [
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            "ERR Client sent AUTH, but no password is set",
        ] {
            let mut file = talks(Talk {
                speaks: Speaks::Resp,
                auth: Some(error(text)),
                ping: Some(Reply::Text { text: "PONG".to_owned() }),
                ..Talk::default()
            });
            file.ask.has_password = true;
            assert_eq!(first(&file), Some(("auth-unexpected", Band::Confirmed)));
        }
    }

    #[test]
    fn ruled_out_without_a_password() {
        assert!(rules_out(&AuthUnexpected, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn silent_without_a_reply() {
        assert!(silent(&AuthUnexpected, &refused()));
    }
}
