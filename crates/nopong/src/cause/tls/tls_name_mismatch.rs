//! The server's certificate is for other names than the one dialled.

use super::shared::{cites, failed, judged, latent, session};
use crate::cause::common::{meta, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::client::Verified;

/// See the module.
#[derive(Debug)]
pub(super) struct TlsNameMismatch;

static META: Meta = meta(
    "tls-name-mismatch",
    Category::Tls,
    Stage::Tls,
    "the server's certificate is for another name",
    &["tls"],
);

/// Names shown of a certificate that may hold hundreds.
const SHOWN: usize = 5;

fn names(case: &Case<'_>) -> String {
    let all = session(case).and_then(|t| t.certificate.as_ref()).map_or(&[][..], |c| c.names.as_slice());
    match all.len() {
        0 => "no name at all".to_owned(),
        n if n > SHOWN => format!("{} and {} more", all[..SHOWN].join(", "), n - SHOWN),
        _ => all.join(", "),
    }
}

fn because(case: &Case<'_>) -> Vec<Reason> {
    if !judged(case, |v| *v == Verified::NameMismatch) {
        return Vec::new();
    }
    let asked = session(case).map(|t| t.server_name.clone()).unwrap_or_default();
    vec![Reason::confirms(cites(case), format!("the certificate is for {}, not for {asked}", names(case)))]
}

impl Cause for TlsNameMismatch {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !failed(case) {
            return Vec::new();
        }
        let reasons = because(case);
        if reasons.is_empty() && judged(case, |v| *v == Verified::Ok) {
            return vec![Reason::rules_out("tls", "the certificate is for the name dialled")];
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if because(case).is_empty() {
            return META.title.to_owned();
        }
        format!("the server's certificate is for {}, and you dial {}", names(case), case.ask.host)
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let certificate = session(case).and_then(|t| t.certificate.as_ref());
        let fix =
            Fix::new(Risk::Advice, "dial a name that is in the certificate, or have one made for yours");
        let usable = certificate.and_then(|c| c.names.iter().find(|n| !n.starts_with('*')));
        let fix = match usable {
            Some(name) => {
                let host = if name.contains(':') { format!("[{name}]") } else { name.clone() };
                let port = case.ask.port;
                fix.run(
                    "if that name leads to the same host",
                    format!("nopong {}", sh(&format!("rediss://{host}:{port}"))),
                )
                .run(
                    "or check against it while dialling yours",
                    format!("nopong --sni {} {}", sh(name), sh(&crate::cause::common::url(case, port))),
                )
            }
            None => fix,
        };
        Some(fix.step(format!(
            "or issue a certificate whose subjectAltName holds {} (clients ignore the common name)",
            case.ask.host
        )))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        latent(case, self.title(case), because(case), self.fix(case))
    }
}

#[cfg(test)]
mod tests {
    use super::TlsNameMismatch;
    use crate::cause::Cause as _;
    use crate::cause::testing::{first, pong_talk, refused, rules_out, seen, silent};
    use crate::cause::tls::shared::testing::{session, target};
    use crate::diagnosis::{Band, Case, Place};
    use crate::evidence::client::Verified;

    #[test]
    fn confirmed_by_verification() {
        assert_eq!(
            first(&target(session(Verified::NameMismatch))),
            Some(("tls-name-mismatch", Band::Confirmed))
        );
    }

    #[test]
    fn ruled_out_by_a_good_certificate() {
        let mut tls = session(Verified::Ok);
        tls.died_at_first_read = Some("certificate_required".to_owned());
        assert!(rules_out(&TlsNameMismatch, &target(tls)));
    }

    #[test]
    fn a_warning_with_insecure() {
        let mut tls = session(Verified::NameMismatch);
        tls.insecure = true;
        let mut file = target(tls);
        file.client.protocol = seen(vec![pong_talk(&[])]);
        assert_eq!(TlsNameMismatch.latent(&Case::new(&file)).unwrap().place, Place::Warning);
    }

    #[test]
    fn silent_about_plain_targets() {
        assert!(silent(&TlsNameMismatch, &refused()));
    }
}
