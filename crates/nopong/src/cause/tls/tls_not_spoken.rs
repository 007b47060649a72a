//! The client speaks TLS to a port that speaks plainly.

use super::shared::{failed, session};
use crate::cause::common::{meta, sh, url};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::client::{Reply, Speaks};

/// See the module.
#[derive(Debug)]
pub(super) struct TlsNotSpoken;

static META: Meta = meta(
    "tls-not-spoken",
    Category::Tls,
    Stage::Tls,
    "the client speaks TLS and the port speaks plain Redis",
    &["plain-offer", "config", "listener"],
);

impl Cause for TlsNotSpoken {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !failed(case) {
            return Vec::new();
        }
        let Some(tls) = session(case) else { return Vec::new() };
        if tls.handshake || tls.certificate.is_some() {
            return vec![Reason::rules_out("tls", "the port speaks TLS: it sent a certificate")];
        }
        let mut reasons = Vec::new();
        if let Some(talk) = case.client.plain_offer.get() {
            let answer =
                [&talk.unasked, &talk.ping].into_iter().flatten().find(|r| !matches!(r, Reply::None { .. }));
            match (talk.speaks, answer) {
                (Speaks::Resp, Some(reply)) => {
                    let text = reply.error().or(reply.text()).unwrap_or("RESP");
                    reasons.push(Reason::confirms(
                        "plain-offer",
                        format!("asked plainly, the same port answers {text}"),
                    ));
                }
                (Speaks::Resp, None) => {
                    reasons
                        .push(Reason::confirms("plain-offer", "asked plainly, the same port speaks Redis"));
                }
                (Speaks::Tls, _) => return vec![Reason::rules_out("plain-offer", "the port answers in TLS")],
                (Speaks::Silent | Speaks::Closed | Speaks::Reset, _) => {}
                _ => {
                    return vec![Reason::rules_out(
                        "plain-offer",
                        "something else than Redis answers plainly",
                    )];
                }
            }
        }
        // Redis answers before it is asked when it turns somebody away: -DENIED, -ERR max number of clients.
        if let Some(text) = tls.instead.as_deref().filter(|t| t.starts_with('-') || t.starts_with('+')) {
            reasons.push(Reason::confirms("tls", format!("instead of TLS the server sent: {text}")));
        }
        let port = case.ask.port.to_string();
        if let Some(config) = case.config().filter(|c| c.value("port") == Some(port.as_str()))
            && config.value("tls-port").is_none_or(|p| p == "0")
        {
            let says = "the server has no tls-port, and port is the one dialled";
            reasons.push(Reason::strong("config", says));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        format!("{} speaks plain Redis, and the client speaks TLS", case.target())
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let plain = url(case, case.ask.port).replacen("rediss://", "redis://", 1);
        let fix = Fix::new(Risk::Advice, "dial the TLS port, or leave TLS out where the network is trusted");
        let tls_port = case.config().and_then(|c| c.value("tls-port")).filter(|p| *p != "0" && !p.is_empty());
        Some(match tls_port.and_then(|p| p.parse().ok()) {
            Some(port) => {
                fix.run("the server has TLS on another port", format!("nopong {}", sh(&url(case, port))))
            }
            None => fix
                .run("without TLS: the scheme is redis:// with one s", format!("nopong {}", sh(&plain)))
                .step("or give the server a tls-port with tls-cert-file, tls-key-file and tls-ca-cert-file"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TlsNotSpoken;
    use crate::cause::testing::{error, first, pong_talk, refused, rules_out, seen, silent};
    use crate::cause::tls::shared::testing::{session, target};
    use crate::diagnosis::Band;
    use crate::evidence::client::{Speaks, Talk, Tls, Verified};

    fn failed() -> Tls {
        Tls { failure: Some("timeout".to_owned()), ..Tls::default() }
    }

    #[test]
    fn confirmed_by_a_plain_answer() {
        let mut file = target(failed());
        file.client.plain_offer = seen(pong_talk(&[]));
        assert_eq!(first(&file), Some(("tls-not-spoken", Band::Confirmed)));
        let noauth = Some(error("NOAUTH Authentication required."));
        file.client.plain_offer = seen(Talk { speaks: Speaks::Resp, ping: noauth, ..Talk::default() });
        assert_eq!(first(&file), Some(("tls-not-spoken", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_a_certificate_or_another_service() {
        assert!(rules_out(&TlsNotSpoken, &target(session(Verified::Expired))));
        let mut file = target(failed());
        file.client.plain_offer = seen(Talk { speaks: Speaks::Http, ..Talk::default() });
        assert!(rules_out(&TlsNotSpoken, &file));
    }

    #[test]
    fn silent_without_an_answer() {
        assert!(silent(&TlsNotSpoken, &target(failed())));
        assert!(silent(&TlsNotSpoken, &refused()));
    }
}
