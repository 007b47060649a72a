//! Client and server have no TLS version or cipher in common.

use super::shared::{ended_by, failed, plain, session};
use crate::cause::common::{directive, meta, place, restart, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;

/// See the module.
#[derive(Debug)]
pub(super) struct TlsVersionMismatch;

static META: Meta = meta(
    "tls-version-mismatch",
    Category::Tls,
    Stage::Tls,
    "client and server have no TLS version or cipher in common",
    &["tls", "config"],
);

/// Alerts and failures that mean a version (RFC 8446, 6.2: protocol_version 70).
const VERSION: &[&str] =
    &["protocolversion", "unsupportedversion", "noversion", "tls12notoffered", "tlsversionnot"];
/// No cipher or curve in common.
const CIPHER: &[&str] = &["insufficientsecurity", "nociphersuite", "nokx", "nosignature"];

/// What the server's configuration narrows: versions that the client does not speak (it offers 1.2 and 1.3), else suites.
fn settings(case: &Case<'_>) -> Option<String> {
    let config = case.config()?;
    let set = |name: &str| config.value(name).filter(|v| !v.is_empty());
    let old = set("tls-protocols").is_some_and(|v| !v.contains("TLSv1.2") && !v.contains("TLSv1.3"));
    let name = match old {
        true => "tls-protocols",
        false => ["tls-ciphers", "tls-ciphersuites"].into_iter().find(|name| set(name).is_some())?,
    };
    directive(config, name)
}

impl Cause for TlsVersionMismatch {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !failed(case) {
            return Vec::new();
        }
        let Some(tls) = session(case) else { return Vec::new() };
        if tls.handshake {
            let version = tls.version.as_deref().unwrap_or("TLS");
            return vec![Reason::rules_out("tls", format!("both sides agreed on {version}"))];
        }
        let named = tls.failure.as_deref().filter(|f| plain(f) == "version").map(str::to_owned);
        let mut reasons = Vec::new();
        if let Some(says) = named.or_else(|| ended_by(tls, VERSION)) {
            reasons.push(Reason::confirms("tls", format!("the handshake fails over the version: {says}")));
        } else if let Some(says) = ended_by(tls, CIPHER) {
            reasons.push(Reason::strong("tls", format!("the handshake fails over ciphers: {says}")));
        } else if !tls.client_cert_requested
            && let Some(says) = ended_by(tls, &["handshakefailure"])
        {
            reasons.push(Reason::weak("tls", format!("the server finds no common ground: {says}")));
        }
        if !reasons.is_empty() {
            reasons.extend(settings(case).map(|says| Reason::strong("config", says)));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match session(case).and_then(|tls| ended_by(tls, VERSION)) {
            Some(_) => "client and server have no TLS version in common".to_owned(),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let fix = Fix::new(Risk::Advice, "let both sides speak TLS 1.2 or 1.3")
            .run(
                "see which versions the server takes (try -tls1_2, then -tls1_3)",
                format!("openssl s_client -connect {} -tls1_2 </dev/null", sh(&case.target())),
            )
            .step(format!(
                "on the server, in {}: tls-protocols \"TLSv1.2 TLSv1.3\"",
                place(case, "tls-protocols")
            ))
            .step("a list in tls-ciphers must have suites that fit the certificate's key: ECDSA for an EC key, RSA for an RSA key")
            .step(
                "an old client (Java 7, OpenSSL 1.0) needs an update: 1.0 and 1.1 are forbidden by RFC 8996",
            );
        Some(if case.server_seen() { restart(fix, case) } else { fix })
    }
}

#[cfg(test)]
mod tests {
    use super::TlsVersionMismatch;
    use crate::cause::testing::{bearings, first, on_server, refused, rules_out, silent, with_config};
    use crate::cause::tls::shared::testing::{session, target};
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::client::{Tls, Verified};

    #[test]
    fn confirmed_by_the_alert() {
        for failure in ["version", "received fatal alert: ProtocolVersion", "tlsv1 alert protocol version"] {
            let file = target(Tls { failure: Some(failure.to_owned()), ..Tls::default() });
            assert_eq!(first(&file), Some(("tls-version-mismatch", Band::Confirmed)), "{failure}");
        }
    }

    #[test]
    fn ruled_out_by_a_handshake() {
        assert!(rules_out(&TlsVersionMismatch, &target(session(Verified::Expired))));
    }

    #[test]
    fn silent_about_other_failures() {
        let file = target(Tls { failure: Some("timeout".to_owned()), ..Tls::default() });
        assert!(silent(&TlsVersionMismatch, &file));
        assert!(silent(&TlsVersionMismatch, &refused()));
    }

    #[test]
    fn versions_that_the_client_speaks_are_no_reason() {
        let failed = || {
            let failure = Some("received fatal alert: HandshakeFailure".to_owned());
            on_server(target(Tls { failure, ..Tls::default() }))
        };
        let with = |settings| bearings(&TlsVersionMismatch, &with_config(failed(), settings));
        assert_eq!(with(&[("tls-protocols", "TLSv1.2")]), [Bearing::Weak]);
        assert_eq!(with(&[("tls-protocols", "TLSv1.1")]), [Bearing::Weak, Bearing::Strong]);
        assert_eq!(with(&[("tls-ciphers", "ECDHE-RSA-AES256-SHA")]), [Bearing::Weak, Bearing::Strong]);
    }
}
