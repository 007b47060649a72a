//! The client speaks plainly to a port that speaks TLS.

use crate::cause::common::{meta, redis_listeners, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Speaks, Tls};

use super::shared::plain;

/// See the module.
#[derive(Debug)]
pub(super) struct TlsRequired;

static META: Meta = meta(
    "tls-required",
    Category::Tls,
    Stage::Protocol,
    "the port speaks TLS and the client speaks plainly",
    &["tls-offer", "config", "listener"],
);

/// The offer was answered in TLS: a finished handshake, a certificate, or an alert.
fn answered(tls: &Tls) -> Option<String> {
    if tls.handshake {
        let version = tls.version.as_deref().unwrap_or("TLS");
        return Some(format!("offered TLS, the same port finishes a {version} handshake"));
    }
    if tls.certificate.is_some() {
        return Some("offered TLS, the same port sends a certificate".to_owned());
    }
    let failure = tls.failure.as_deref()?;
    let no_tls = ["nottls", "reset", "closed", "timeout", "eof", "refused"];
    let word = plain(failure);
    let alert = ["alert", "certificate", "handshakefailure", "protocolversion", "unknownca"];
    (!no_tls.iter().any(|n| word.starts_with(n)) && alert.iter().any(|a| word.contains(a)))
        .then(|| format!("offered TLS, the same port answers with a TLS alert: {failure}"))
}

/// The server's configuration gives this port to TLS.
fn configured(case: &Case<'_>) -> Option<String> {
    let port = case.ask.port.to_string();
    let config = case.config()?;
    (config.value("tls-port") == Some(port.as_str()) && config.value("port") != Some(port.as_str())).then(
        || match config.place("tls-port") {
            Some(place) => format!("{place} says: tls-port {port}"),
            None => format!("tls-port is {port}"),
        },
    )
}

/// Redis has TLS on another port and no plain one: the refused plain port is no accident.
fn tls_elsewhere(case: &Case<'_>) -> Option<u16> {
    let config = case.config()?;
    let port: u16 = config.value("tls-port")?.parse().ok().filter(|p| *p != 0)?;
    let open = redis_listeners(case)?.iter().any(|l| l.at.port() == port);
    (config.value("port") == Some("0") && open && port != case.ask.port).then_some(port)
}

impl Cause for TlsRequired {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.ask.tls || case.ask.unix.is_some() {
            return Vec::new();
        }
        let closed_port = case.symptom == Symptom::Refused;
        if closed_port {
            return match tls_elsewhere(case) {
                Some(port) => {
                    vec![Reason::weak("config", format!("this server takes TLS only, on port {port}"))]
                }
                None => Vec::new(),
            };
        }
        if !matches!(case.symptom, Symptom::Reset | Symptom::Closed | Symptom::Silent | Symptom::NotRedis) {
            return Vec::new();
        }
        let talk = case.talk();
        // Whatever speaks HTTP or SSH plainly is not a Redis behind TLS.
        if talk.is_some_and(|t| {
            !matches!(
                t.speaks,
                Speaks::Tls | Speaks::Silent | Speaks::Closed | Speaks::Reset | Speaks::Unknown
            )
        }) {
            return vec![Reason::rules_out("protocol", "the port answers plainly")];
        }
        let mut reasons = Vec::new();
        if talk.is_some_and(|t| t.speaks == Speaks::Tls) {
            reasons.push(Reason::confirms("protocol", "the port answers a plain PING with a TLS record"));
        }
        if let Some(says) = configured(case) {
            reasons.push(Reason::confirms("config", says));
        }
        if let Some(tls) = case.client.tls_offer.get() {
            match answered(tls) {
                Some(says) => reasons.push(Reason::confirms("tls-offer", says)),
                None if reasons.is_empty() => match tls.failure.as_deref().map(plain) {
                    // Answered, and not in TLS.
                    Some(word) if word.starts_with("nottls") => {
                        reasons.push(Reason::rules_out(
                            "tls-offer",
                            "offered TLS, the port answers something else",
                        ));
                    }
                    Some(word) => reasons.push(Reason::against(
                        "tls-offer",
                        format!("offered TLS, the port does not take it: {word}"),
                    )),
                    None => {}
                },
                None => {}
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        format!("{} speaks TLS, and the client speaks plainly", case.target())
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = tls_elsewhere(case).unwrap_or(case.ask.port);
        let host =
            if case.ask.host.contains(':') { format!("[{}]", case.ask.host) } else { case.ask.host.clone() };
        let url = format!("rediss://{host}:{port}");
        Some(
            Fix::new(Risk::Advice, format!("let the client use TLS: {url}"))
                .run("try it", format!("nopong {}", sh(&url)))
                .step("in the application: the scheme rediss:// (two s), or its option for TLS; a private CA has to be given as well"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::TlsRequired;
    use crate::cause::testing::{confirms, first, mute, refused, rules_out, seen, silent};
    use crate::cause::tls::shared::testing::session;
    use crate::diagnosis::Band;
    use crate::evidence::client::{Speaks, Tls, Verified};

    #[test]
    fn confirmed_by_a_handshake_on_the_same_port() {
        for speaks in [Speaks::Silent, Speaks::Closed, Speaks::Reset] {
            let mut file = mute(speaks);
            file.client.tls_offer = seen(session(Verified::UnknownIssuer));
            assert_eq!(first(&file), Some(("tls-required", Band::Confirmed)), "{speaks:?}");
        }
    }

    #[test]
    fn confirmed_by_an_alert() {
        let mut file = mute(Speaks::Reset);
        let failure = Some("received fatal alert: HandshakeFailure".to_owned());
        file.client.tls_offer = seen(Tls { failure, ..Tls::default() });
        assert!(confirms(&TlsRequired, &file));
    }

    #[test]
    fn doubted_and_ruled_out_by_the_answer_to_the_offer() {
        let mut file = mute(Speaks::Closed);
        file.client.tls_offer = seen(Tls { failure: Some("not-tls".to_owned()), ..Tls::default() });
        assert!(rules_out(&TlsRequired, &file));
        assert!(rules_out(&TlsRequired, &mute(Speaks::Http)));
        let mut file = mute(Speaks::Closed);
        file.client.tls_offer = seen(Tls { failure: Some("closed".to_owned()), ..Tls::default() });
        assert!(!confirms(&TlsRequired, &file));
    }

    #[test]
    fn silent_without_an_offer() {
        assert!(silent(&TlsRequired, &mute(Speaks::Closed)));
        assert!(silent(&TlsRequired, &refused()));
    }
}
