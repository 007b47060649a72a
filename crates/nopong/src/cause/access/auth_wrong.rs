//! A password was given, and the server does not take it.

use crate::cause::common::{cli, meta, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct AuthWrong;

static META: Meta = Meta {
    masked_by: &["wrong-server"],
    ..meta(
        "auth-wrong",
        Category::Access,
        Stage::Auth,
        "Redis does not take this user name and password",
        &["protocol", "inside"],
    )
};

/// The reply to AUTH, if it says "wrong": `WRONGPASS` since 6.0, `ERR invalid password` before.
fn refused<'a>(case: &Case<'a>) -> Option<&'a str> {
    let text = case.talk()?.auth.as_ref()?.error()?;
    (text.starts_with("WRONGPASS") || text.starts_with("ERR invalid password")).then_some(text)
}

impl Cause for AuthWrong {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        if case.default_user_is_off() {
            return vec![
                Reason::confirms(
                    "protocol",
                    "AUTH without a user is answered: no password is configured for the default user",
                ),
                Reason::strong(
                    "protocol",
                    "without AUTH the same server answers -NOAUTH: the default user is off",
                ),
            ];
        }
        let Some(text) = refused(case) else {
            return match case.talk().and_then(|t| t.auth.as_ref()) {
                Some(reply) if reply.word().is_none() && reply.text().is_some() => {
                    vec![Reason::rules_out("protocol", "AUTH was accepted")]
                }
                _ if !case.ask.has_password => {
                    vec![Reason::rules_out("protocol", "no password was sent that could be wrong")]
                }
                _ => Vec::new(),
            };
        };
        let user = case.ask.user.as_deref().unwrap_or("default");
        let mut reasons = vec![Reason::confirms(
            "protocol",
            format!("AUTH as {} is answered by: {text}", crate::text::shown_str(user, 60)),
        )];
        let logged = case.server.inside.get().or(case.talk()).and_then(|t| t.acl_log.first());
        if let Some(entry) = logged {
            reasons.push(Reason::weak("inside", format!("ACL LOG: {entry}")));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if case.default_user_is_off() {
            return "the default user is off, and the client names no other".to_owned();
        }
        match case.ask.user.as_deref() {
            Some(user) if refused(case).is_some() => format!(
                "Redis does not take the password of user {} (or knows no such user, or it is off)",
                crate::text::shown_str(user, 60)
            ),
            None if refused(case).is_some() => "Redis does not take this password".to_owned(),
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if case.default_user_is_off() {
            return Some(
                Fix::new(Risk::Advice, "give the client the name of a user, beside the password")
                    .step("whoever runs the server switched the default user off: every client has a user of its own there")
                    .run("try it", format!("{} --user NAME --askpass ping", cli(case)))
                    .step("then name the user where the application reads it (REDIS_USERNAME, or redis://NAME:PASSWORD@host)")
                    .run(
                        "on the Redis host, as an admin: see which users there are",
                        "redis-cli --user ADMIN --askpass ACL LIST",
                    ),
            );
        }
        let user = case.ask.user.as_deref().unwrap_or("default");
        let fix = Fix::new(Risk::Advice, "give the client the password in force")
            .run(
                "try the right one: --askpass asks for it",
                format!("{} --user {} --askpass ping", cli(case), sh(user)),
            )
            .step("a password in a URL is percent-encoded, and a secret file must not end in a line end")
            .run(
                "on the Redis host, as an admin: see whether the user exists and is on",
                format!("redis-cli --askpass ACL GETUSER {}", sh(user)),
            );
        Some(if case.ask.user.is_none() {
            fix.step("redis://NAME@host makes NAME the user, redis://:PASSWORD@host the password: look at the colon")
        } else {
            fix
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AuthWrong;
    use crate::cause::testing::{error, first, ping_error, refused, rules_out, silent, talks};
    use crate::diagnosis::Band;
    use crate::evidence::{
        CaseFile,
        client::{Reply, Speaks, Talk},
    };

    fn auth(reply: Reply) -> CaseFile {
        let mut file = talks(Talk {
            speaks: Speaks::Resp,
            auth: Some(reply),
            ping: Some(error("NOAUTH Authentication required.")),
            ..Talk::default()
        });
        file.ask.has_password = true;
        file
    }

    #[test]
    fn confirmed_by_the_reply_to_auth() {
        for text in ["WRONGPASS invalid username-password pair or user is disabled.", "ERR invalid password"]
        {
            assert_eq!(first(&auth(error(text))), Some(("auth-wrong", Band::Confirmed)), "{text}");
        }
    }

    #[test]
    fn a_default_user_that_is_off_leaves_only_named_users() {
        let mut file = auth(error(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        ));
        if let Some(talk) = file.client.protocol.get().cloned() {
            let mut talk = talk;
            talk[0].ping_without_auth = talk[0].ping.clone();
            file.client.protocol = crate::cause::testing::seen(talk);
        }
        assert_eq!(first(&file), Some(("auth-wrong", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_when_auth_was_taken_or_never_sent() {
        assert!(rules_out(&AuthWrong, &auth(Reply::Text { text: "OK".to_owned() })));
        assert!(rules_out(&AuthWrong, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn silent_without_a_reply() {
        assert!(silent(&AuthWrong, &refused()));
    }
}
