//! The server wants a certificate of the client, and gets none or one it does not take.

use super::shared::{cites, ended_by, failed, latent, session};
use crate::cause::common::{cli, directive, meta, place};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::client::Verified;

/// See the module.
#[derive(Debug)]
pub(super) struct TlsClientCertRequired;

static META: Meta = Meta {
    // A client that minds the server's certificate stops there first.
    masked_by: &["tls-cert-expired", "tls-issuer-unknown", "tls-name-mismatch"],
    ..meta(
        "tls-client-cert-required",
        Category::Tls,
        Stage::Tls,
        "the server wants a client certificate",
        &["tls", "config"],
    )
};

/// Alerts about the certificate a client sent (RFC 8446, 6.2).
const REFUSED: &[&str] = &[
    "badcertificate",
    "unsupportedcertificate",
    "certificaterevoked",
    "certificateexpired",
    "certificateunknown",
    "unknownca",
    "accessdenied",
    "decrypterror",
];

fn because(case: &Case<'_>) -> Vec<Reason> {
    let Some(tls) = session(case) else { return Vec::new() };
    let mut reasons = Vec::new();
    if let Some(alert) = ended_by(tls, &["certificaterequired"]) {
        reasons.push(Reason::confirms(cites(case), format!("the server ends the session: {alert}")));
    } else if tls.client_cert_sent {
        if let Some(alert) = ended_by(tls, REFUSED) {
            reasons.push(Reason::confirms(
                cites(case),
                format!("the server does not take the client certificate sent: {alert}"),
            ));
        }
    } else if tls.client_cert_requested {
        // TLS 1.2 answers a missing certificate with handshake_failure, TLS 1.3 after its own handshake.
        if let Some(end) = tls.died_at_first_read.as_ref() {
            let says = format!(
                "the server asked for a client certificate, got none, and ended the session at the first read ({end})"
            );
            reasons.push(Reason::confirms(cites(case), says));
        } else if let Some(alert) = ended_by(tls, &["handshakefailure", "badcertificate"]) {
            let says = format!("the server asked for a client certificate, got none, and answered {alert}");
            reasons.push(Reason::confirms(cites(case), says));
        }
    } else if tls.handshake && tls.died_at_first_read.is_some() {
        reasons
            .push(Reason::weak(cites(case), "the handshake succeeds and the session ends at the first read"));
    }
    if !reasons.is_empty() {
        let says = case.config().filter(|c| c.value("tls-auth-clients") == Some("yes"));
        if let Some(says) = says.and_then(|c| directive(c, "tls-auth-clients")) {
            reasons.push(Reason::strong("config", says));
        }
    }
    reasons
}

impl Cause for TlsClientCertRequired {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !failed(case) {
            return Vec::new();
        }
        let reasons = because(case);
        if reasons.is_empty() {
            let asked = session(case).map(|t| (t.handshake, t.client_cert_requested));
            if asked == Some((true, false)) {
                return vec![Reason::rules_out("tls", "the server did not ask for a client certificate")];
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match session(case) {
            Some(tls) if tls.client_cert_sent => {
                "the server does not take this client certificate".to_owned()
            }
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "give the client a certificate of the server's CA")
                .run(
                    "try it",
                    format!("{} --cacert /path/to/ca.crt --cert /path/to/client.crt --key /path/to/client.key --askpass ping", cli(case)),
                )
                .step("in the application: its options for certificate and key; the certificate must be signed by the CA of tls-ca-cert-file")
                .step(format!(
                    "or, where passwords are to do: tls-auth-clients no (or optional) in {}",
                    place(case, "tls-auth-clients")
                )),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let mut reasons = because(case);
        let tls = session(case)?;
        // A finished plain-target offer that was asked for a certificate: most servers insist.
        if reasons.is_empty() && !case.ask.tls && tls.client_cert_requested && !tls.client_cert_sent {
            reasons.push(Reason::strong(cites(case), "the server asks for a client certificate"));
        }
        if case.ask.tls && tls.verified.as_ref().is_none_or(|v| *v == Verified::Ok) {
            return None;
        }
        latent(case, self.title(case), reasons, self.fix(case))
    }
}

#[cfg(test)]
mod tests {
    use super::TlsClientCertRequired;
    use crate::cause::testing::{first, refused, rules_out, silent};
    use crate::cause::tls::shared::testing::{session, target};
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::client::{Tls, Verified};

    fn asked(verified: Verified) -> Tls {
        let mut tls = session(verified);
        tls.client_cert_requested = true;
        tls.died_at_first_read = Some("received fatal alert: CertificateRequired".to_owned());
        tls
    }

    #[test]
    fn confirmed_at_the_first_read_of_tls_1_3() {
        assert_eq!(first(&target(asked(Verified::Ok))), Some(("tls-client-cert-required", Band::Confirmed)));
    }

    #[test]
    fn confirmed_by_the_handshake_of_tls_1_2() {
        let failure = Some("received fatal alert: HandshakeFailure".to_owned());
        let file = target(Tls { failure, client_cert_requested: true, ..Tls::default() });
        assert_eq!(first(&file), Some(("tls-client-cert-required", Band::Confirmed)));
    }

    #[test]
    fn stands_behind_an_unknown_issuer() {
        let diagnosis = diagnose(&target(asked(Verified::UnknownIssuer)));
        assert_eq!(diagnosis.causes[0].cause.meta().id, "tls-issuer-unknown");
        assert_eq!(diagnosis.behind[0].cause.meta().id, "tls-client-cert-required");
    }

    #[test]
    fn ruled_out_when_none_was_asked_for() {
        assert!(rules_out(&TlsClientCertRequired, &target(session(Verified::Expired))));
    }

    #[test]
    fn silent_about_plain_targets() {
        assert!(silent(&TlsClientCertRequired, &refused()));
    }
}
