//! The client does not know who signed the server's certificate.

use super::shared::{cites, failed, judged, latent, session};
use crate::cause::common::{cli, meta, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::client::Verified;

/// See the module.
#[derive(Debug)]
pub(super) struct TlsIssuerUnknown;

static META: Meta = meta(
    "tls-issuer-unknown",
    Category::Tls,
    Stage::Tls,
    "the client does not trust who signed the server's certificate",
    &["tls"],
);

fn because(case: &Case<'_>) -> Vec<Reason> {
    if !judged(case, |v| *v == Verified::UnknownIssuer) {
        return Vec::new();
    }
    let Some(tls) = session(case) else { return Vec::new() };
    let roots = if tls.roots.is_empty() { "the roots used" } else { tls.roots.as_str() };
    let mut reasons = Vec::new();
    match &tls.certificate {
        Some(c) if c.self_signed => reasons.push(Reason::confirms(
            cites(case),
            format!("the certificate {} signs itself and is not among the roots ({roots})", c.subject),
        )),
        Some(c) => {
            reasons.push(Reason::confirms(
                cites(case),
                format!("the certificate is signed by {}, which no root vouches for ({roots})", c.issuer),
            ));
            if c.chain_length == 1 {
                reasons.push(Reason::weak(cites(case), "the server sends no intermediate certificate"));
            }
        }
        None => reasons
            .push(Reason::confirms(cites(case), format!("verification against {roots} finds no issuer"))),
    }
    reasons
}

impl Cause for TlsIssuerUnknown {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !failed(case) {
            return Vec::new();
        }
        let reasons = because(case);
        if reasons.is_empty() && judged(case, |v| matches!(v, Verified::Ok | Verified::NameMismatch)) {
            return vec![Reason::rules_out("tls", "the chain ends at a known root")];
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match session(case).and_then(|t| t.certificate.as_ref()) {
            Some(c) if c.self_signed => {
                format!("the server's certificate signs itself ({}), the client does not know it", c.subject)
            }
            Some(c) => {
                format!("the client does not trust the issuer of the server's certificate, {}", c.issuer)
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let ca = case.config().and_then(|c| c.value("tls-ca-cert-file")).filter(|f| !f.is_empty());
        let ca = sh(ca.unwrap_or("/path/to/ca.crt"));
        Some(
            Fix::new(Risk::Advice, "give the client the CA that signed the certificate")
                .run("try it with the CA's certificate", format!("nopong --cacert {ca} {}", sh(&crate::cause::common::url(case, case.ask.port))))
                .run("the same with redis-cli", format!("{} --cacert {ca} --askpass ping", cli(case)))
                .step("in the application: its option for a CA file (ssl_ca_certs, tls.ca, trust store); not the option that turns checking off")
                .step("with a public CA: let the server send the intermediate certificates too (tls-cert-file may hold the chain)"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        latent(case, self.title(case), because(case), self.fix(case))
    }
}

#[cfg(test)]
mod tests {
    use super::TlsIssuerUnknown;
    use crate::cause::testing::{first, mute, refused, rules_out, seen, silent};
    use crate::cause::tls::shared::testing::{session, target};
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::client::{Speaks, Verified};

    #[test]
    fn confirmed_by_verification() {
        assert_eq!(
            first(&target(session(Verified::UnknownIssuer))),
            Some(("tls-issuer-unknown", Band::Confirmed))
        );
    }

    #[test]
    fn ruled_out_by_a_good_chain() {
        assert!(rules_out(&TlsIssuerUnknown, &target(session(Verified::NameMismatch))));
    }

    #[test]
    fn stands_behind_a_plain_target() {
        let mut file = mute(Speaks::Closed);
        file.client.tls_offer = seen(session(Verified::UnknownIssuer));
        let diagnosis = diagnose(&file);
        assert_eq!(diagnosis.causes[0].cause.meta().id, "tls-required");
        assert!(diagnosis.behind.iter().any(|f| f.cause.meta().id == "tls-issuer-unknown"));
    }

    #[test]
    fn silent_about_plain_targets() {
        assert!(silent(&TlsIssuerUnknown, &refused()));
    }
}
