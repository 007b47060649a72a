//! The server's certificate is past its end, or before its beginning: by this machine's clock.

use super::shared::{cites, date, failed, judged, latent, session};
use crate::cause::common::{meta, place, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::client::{Certificate, Verified};

/// See the module.
#[derive(Debug)]
pub(super) struct TlsCertExpired;

static META: Meta = meta(
    "tls-cert-expired",
    Category::Tls,
    Stage::Tls,
    "the server's certificate is not valid today",
    &["tls"],
);

/// Warned of this many days before the end: renewals that run at a third of 90 days have failed by then.
const SOON_DAYS: i64 = 14;

fn out_of_dates(verified: &Verified) -> bool {
    matches!(verified, Verified::Expired | Verified::NotYetValid)
}

fn now(case: &Case<'_>) -> Option<i64> {
    case.client.standing.get().and_then(|s| i64::try_from(s.at).ok())
}

/// What is wrong with the dates, in words.
fn dates(case: &Case<'_>, certificate: &Certificate) -> String {
    let clock = now(case).map(|t| format!("; the clock here says {}", date(t))).unwrap_or_default();
    if judged(case, |v| *v == Verified::NotYetValid) {
        format!("the certificate is valid from {}{clock}", date(certificate.not_before))
    } else {
        format!("the certificate ended on {}{clock}", date(certificate.not_after))
    }
}

fn because(case: &Case<'_>) -> Vec<Reason> {
    if !judged(case, out_of_dates) {
        return Vec::new();
    }
    let Some(certificate) = session(case).and_then(|t| t.certificate.as_ref()) else {
        return vec![Reason::confirms(cites(case), "verification says: out of its dates")];
    };
    let mut reasons = vec![Reason::confirms(cites(case), dates(case, certificate))];
    let on_disk = case.server.storage.get().and_then(|s| s.tls.as_ref()?.certificate.as_ref());
    if let Some(disk) = on_disk.filter(|d| d.not_after > certificate.not_after) {
        reasons.push(Reason::strong(
            "storage",
            format!(
                "the file on disk is a newer one, valid until {}: the server has not loaded it",
                date(disk.not_after)
            ),
        ));
    }
    // A clock that is wrong makes good certificates look bad, on the client's side as well as at signing.
    if judged(case, |v| *v == Verified::NotYetValid) {
        reasons.push(Reason::weak("standing", "a clock here that is behind would look the same"));
    }
    reasons
}

impl Cause for TlsCertExpired {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !failed(case) {
            return Vec::new();
        }
        let reasons = because(case);
        // rustls stops at the first fault; only a judged chain with good dates excludes this.
        if reasons.is_empty() {
            let good = session(case).and_then(|t| t.certificate.as_ref()).zip(now(case));
            if let Some((certificate, now)) =
                good.filter(|(c, now)| c.not_before <= *now && *now <= c.not_after)
            {
                return vec![Reason::rules_out(
                    "tls",
                    format!(
                        "the certificate is valid until {}, {} days from now",
                        date(certificate.not_after),
                        (certificate.not_after - now) / 86_400
                    ),
                )];
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match session(case).and_then(|t| t.certificate.as_ref()) {
            Some(certificate) if judged(case, out_of_dates) => dates(case, certificate),
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let file = case.config().and_then(|c| c.value("tls-cert-file")).filter(|f| !f.is_empty());
        let fix = Fix::new(Risk::Advice, "renew the certificate and let the server load it")
            .run("compare this machine's clock first", "timedatectl");
        let fix = match file {
            Some(file) => fix.run(
                "see the file's dates on the Redis host",
                format!("openssl x509 -noout -dates -in {}", sh(file)),
            ),
            None => fix.run(
                "see what the server presents",
                format!(
                    "openssl s_client -connect {} -servername {} </dev/null | openssl x509 -noout -dates",
                    sh(&case.target()),
                    sh(&case.ask.host)
                ),
            ),
        };
        Some(
            fix.step(format!("put the new certificate and key in place ({})", place(case, "tls-cert-file")))
                .run(
                    "load them without a restart (the file is read again when the setting is set)",
                    format!(
                        "redis-cli --askpass CONFIG SET tls-cert-file {}",
                        sh(file.unwrap_or("/path/to/redis.crt"))
                    ),
                ),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let reasons = because(case);
        if !reasons.is_empty() {
            return latent(case, self.title(case), reasons, self.fix(case));
        }
        let certificate = session(case)
            .and_then(|t| t.certificate.as_ref())
            .or_else(|| case.file.server.storage.get().and_then(|s| s.tls.as_ref()?.certificate.as_ref()))?;
        let left = certificate.not_after - now(case)?;
        (0..SOON_DAYS * 86_400).contains(&left).then(|| {
            let title =
                format!("the certificate ends in {} days, on {}", left / 86_400, date(certificate.not_after));
            Latent {
                place: crate::cause::Place::Warning,
                reasons: vec![Reason::confirms(if case.ask.tls { "tls" } else { "storage" }, title.clone())],
                title,
                fix: self.fix(case),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TlsCertExpired;
    use crate::cause::Cause as _;
    use crate::cause::testing::{first, pong_talk, refused, rules_out, seen, silent};
    use crate::cause::tls::shared::testing::{NOW, session, target};
    use crate::diagnosis::{Band, Case, Place};
    use crate::evidence::client::Verified;

    #[test]
    fn confirmed_in_both_directions() {
        let mut tls = session(Verified::Expired);
        tls.certificate.as_mut().unwrap().not_after = NOW as i64 - 86_400;
        assert_eq!(first(&target(tls)), Some(("tls-cert-expired", Band::Confirmed)));
        let mut tls = session(Verified::NotYetValid);
        tls.certificate.as_mut().unwrap().not_before = NOW as i64 + 86_400;
        let file = target(tls);
        assert_eq!(first(&file), Some(("tls-cert-expired", Band::Confirmed)));
        assert!(TlsCertExpired.title(&Case::new(&file)).contains("valid from 2026-01-02"));
    }

    #[test]
    fn ruled_out_by_good_dates() {
        assert!(rules_out(&TlsCertExpired, &target(session(Verified::UnknownIssuer))));
    }

    #[test]
    fn warns_of_a_near_end() {
        let mut tls = session(Verified::Ok);
        tls.certificate.as_mut().unwrap().not_after = NOW as i64 + 3 * 86_400;
        let mut file = target(tls);
        file.client.protocol = seen(vec![pong_talk(&[])]);
        let latent = TlsCertExpired.latent(&Case::new(&file)).unwrap();
        assert_eq!(latent.place, Place::Warning);
        assert!(latent.title.contains("3 days"));
    }

    #[test]
    fn silent_about_plain_targets() {
        assert!(silent(&TlsCertExpired, &refused()));
    }
}
