//! The server wants a password and the client gives none.

use crate::cause::common::{cli, meta, place};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct AuthMissing;

static META: Meta = Meta {
    masked_by: &["config-not-applied", "wrong-server"],
    ..meta(
        "auth-missing",
        Category::Access,
        Stage::Auth,
        "Redis wants a password and gets none",
        &["protocol", "inside", "config"],
    )
};

/// Reasons to know from the server's side that a client without a password will be refused.
pub(in crate::cause) fn wanted(case: &Case<'_>) -> Option<Reason> {
    let asked = case.server.inside.get().and_then(|t| {
        [&t.unasked, &t.ping, &t.ping_without_auth]
            .into_iter()
            .flatten()
            .any(|r| r.word() == Some("NOAUTH"))
            .then(|| Reason::confirms("inside", "asked through a side door, the server answers -NOAUTH"))
    });
    if asked.is_some() {
        return asked;
    }
    let config = case.config().filter(|c| c.default_user_has_password == Some(true))?;
    let says = match config.place("requirepass").filter(|p| p != "default") {
        Some(place) => format!("{place} sets requirepass"),
        None => "the default user has a password".to_owned(),
    };
    Some(Reason::strong("config", says))
}

impl Cause for AuthMissing {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        match case.error_word() {
            Some("NOAUTH") if case.talk().is_some_and(|t| t.auth.is_none()) => {
                vec![Reason::confirms(
                    "protocol",
                    "the server answers -NOAUTH, and the target has no password",
                )]
            }
            // AUTH was taken and yet NOAUTH: a proxy with a password of its own in front.
            Some("NOAUTH") => vec![Reason::strong(
                "protocol",
                "the server answers -NOAUTH after AUTH: another layer than the one that took it wants a password",
            )],
            Some(word) => {
                vec![Reason::rules_out("protocol", format!("the server answers -{word}, not -NOAUTH"))]
            }
            None => Vec::new(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "give the client the password")
                .run("try it: --askpass asks for the password and keeps it out of the process list", {
                    let user = case.ask.user.as_deref().map(crate::cause::common::sh);
                    let user = user.map(|u| format!(" --user {u}")).unwrap_or_default();
                    format!("{}{user} --askpass ping", cli(case))
                })
                .step("then set it where the application reads it (REDIS_PASSWORD, or in the URL: redis://:PASSWORD@host, percent-encoded)")
                .step(format!(
                    "on the Redis host the password stands in {}, or in the ACL file; where that switches the default user off, the client needs a user's name too",
                    place(case, "requirepass")
                )),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.ask.has_password
            || matches!(case.symptom, Symptom::ErrorReply | Symptom::Pong | Symptom::NotReady)
        {
            return None;
        }
        let reasons = vec![wanted(case)?];
        Some(Latent {
            place: Place::Behind,
            title: "Redis will want a password, and the target has none".to_owned(),
            reasons,
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AuthMissing;
    use crate::cause::testing::{
        error, first, on_server, ping_error, refused, rules_out, running, seen, silent,
    };
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::client::Talk;

    #[test]
    fn confirmed_by_noauth() {
        assert_eq!(
            first(&ping_error("NOAUTH Authentication required.")),
            Some(("auth-missing", Band::Confirmed))
        );
    }

    #[test]
    fn ruled_out_by_another_error() {
        assert!(rules_out(&AuthMissing, &ping_error("LOADING Redis is loading the dataset in memory")));
    }

    #[test]
    fn silent_for_a_lone_client() {
        assert!(silent(&AuthMissing, &refused()));
    }

    #[test]
    fn stands_behind_a_loopback_bind() {
        let mut file = running(on_server(refused()), "127.0.0.1:6379");
        file.server.inside =
            seen(Talk { ping: Some(error("NOAUTH Authentication required.")), ..Talk::default() });
        let diagnosis = diagnose(&file);
        assert_eq!(diagnosis.causes[0].cause.meta().id, "bind-loopback-only");
        assert_eq!(diagnosis.behind[0].cause.meta().id, "auth-missing");
    }
}
