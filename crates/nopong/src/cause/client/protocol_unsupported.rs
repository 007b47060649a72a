//! The client speaks a newer protocol than the server: HELLO (RESP3), or AUTH with a user name.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, runtime};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Reply;

/// See the module.
#[derive(Debug)]
pub(super) struct ProtocolUnsupported;

static META: Meta = Meta {
    id: "protocol-unsupported",
    category: Category::Client,
    stage: Stage::Auth,
    title: "the server does not know the protocol that the client speaks",
    masked_by: &[],
    settled_by: &["protocol"],
};

/// HELLO and two arguments of AUTH came with Redis 6.0.
fn before_six(case: &Case<'_>) -> Option<String> {
    let (_, version) = runtime::info(case, "redis_version")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < 6).then(|| version.to_owned())
}

/// AUTH with a user was not understood.
fn auth<'a>(case: &Case<'a>) -> Option<&'a str> {
    let text = case.talk()?.auth.as_ref().and_then(Reply::error)?;
    let lower = text.to_lowercase();
    (case.file.ask.user.is_some() && lower.contains("wrong number of arguments")).then_some(text)
}

/// HELLO is unknown, or refused for its version.
fn hello<'a>(case: &Case<'a>) -> Option<&'a str> {
    let reply = case.talk()?.hello.as_ref()?;
    let text = reply.error()?;
    (reply.word() == Some("NOPROTO") || text.to_lowercase().contains("unknown command")).then_some(text)
}

/// PING itself is unknown there: renamed away, or a proxy that passes on only some commands.
fn ping<'a>(case: &Case<'a>) -> Option<&'a str> {
    let text = case.talk()?.ping.as_ref().and_then(Reply::error)?;
    text.to_lowercase().contains("unknown command").then_some(text)
}

impl Cause for ProtocolUnsupported {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        if let Some(text) = auth(case) {
            reasons.push(Reason::confirms("protocol", format!("AUTH with a user name is answered: {text}")));
        }
        if case.error_word() == Some("NOPROTO") {
            reasons.push(Reason::confirms("protocol", "it answers NOPROTO"));
        }
        if let Some(text) = ping(case) {
            reasons.push(Reason::confirms("protocol", format!("PING is answered: {text}")));
        }
        if !reasons.is_empty() {
            reasons
                .extend(before_six(case).map(|v| Reason::strong("protocol", format!("its version is {v}"))));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if ping(case).is_some() {
            return "the server does not know PING: it was renamed there, or a proxy does not pass it on"
                .to_owned();
        }
        match (auth(case), before_six(case)) {
            (Some(_), Some(version)) => format!("Redis {version} knows no user names, and one was given"),
            (Some(_), None) => "this server knows no user names, and one was given".to_owned(),
            (None, Some(version)) => {
                format!("Redis {version} does not know HELLO, which RESP3 clients begin with")
            }
            (None, None) => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(if ping(case).is_some() {
            Fix::new(Risk::Advice, "let clients and health checks use a command that the server knows")
                .step("renamed: rename-command PING in redis.conf; an ACL rule (-@dangerous) protects without surprising clients")
                .step("a proxy: its manual lists the commands it passes on; let the health check use one of these")
        } else if auth(case).is_some() {
            Fix::new(Risk::Ask, "leave the user name out, or update the server to 6.0 or later")
                .step("in the URL: redis://:password@host instead of redis://user:password@host")
        } else {
            Fix::new(Risk::Ask, "let the client speak RESP2, or update the server (or the proxy before it)")
                .step("redis-py: protocol=2; ioredis and node-redis: RESP 2 is the default; Lettuce: ClientOptions.protocolVersion(RESP2); go-redis: Protocol: 2")
        })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.symptom != Symptom::Pong {
            return None;
        }
        // A newer server may have HELLO renamed on purpose.
        let text = hello(case)
            .filter(|_| before_six(case).is_some() || runtime::info(case, "redis_version").is_none())?;
        Some(Latent {
            place: Place::Warning,
            title: "clients that insist on RESP3 will fail here: HELLO is not known".to_owned(),
            reasons: vec![Reason::confirms("protocol", format!("HELLO is answered: {text}"))],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ProtocolUnsupported;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::client::{Speaks, Talk};

    #[test]
    fn confirms_a_user_name_before_six() {
        let auth = Some(error("ERR wrong number of arguments for 'auth' command"));
        let ping = Some(error("NOAUTH Authentication required."));
        let mut file = talks(Talk { speaks: Speaks::Resp, auth, ping, ..Talk::default() });
        assert!(silent(&ProtocolUnsupported, &file));
        file.ask.user = Some("app".to_owned());
        assert!(confirms(&ProtocolUnsupported, &file));
    }

    #[test]
    fn warns_of_an_unknown_hello() {
        let mut talk = pong_talk(&[("redis_version", "5.0.14")]);
        talk.hello = Some(error("ERR unknown command `HELLO`, with args beginning with: "));
        let warnings = diagnose(&talks(talk)).warnings;
        assert_eq!(
            (warnings[0].cause.meta().id, warnings[0].band),
            ("protocol-unsupported", Band::Confirmed)
        );
    }

    #[test]
    fn a_renamed_ping() {
        let file = ping_error("ERR unknown command 'PING', with args beginning with: ");
        assert_eq!(first(&file).map(|(id, _)| id), Some("protocol-unsupported"));
    }

    #[test]
    fn silent_without_evidence() {
        let mut talk = pong_talk(&[]);
        talk.hello = Some(error("NOPERM this user has no permissions to run the 'hello' command"));
        assert!(silent(&ProtocolUnsupported, &talks(talk)));
        assert!(silent(&ProtocolUnsupported, &refused()));
    }
}
