//! What the TLS causes have in common: the session in question, and how a strict client judges it.

use crate::cause::{Fix, Latent, Place, Reason};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Tls, Verified};

/// The session the client would use: the real one of a TLS target, or the offer to a plain one.
pub(super) fn session<'a>(case: &Case<'a>) -> Option<&'a Tls> {
    if case.ask.tls { case.tls() } else { case.file.client.tls_offer.get() }
}

/// The id of the fact that holds it.
pub(super) fn cites(case: &Case<'_>) -> &'static str {
    if case.ask.tls { "tls" } else { "tls-offer" }
}

/// The certificate was judged so, by a client that minds.
pub(super) fn judged(case: &Case<'_>, what: impl Fn(&Verified) -> bool) -> bool {
    session(case).and_then(|t| t.verified.as_ref()).is_some_and(what)
}

/// The handshake of this TLS target failed, or its certificate is not good.
pub(super) fn failed(case: &Case<'_>) -> bool {
    case.symptom == Symptom::TlsFailed
}

/// A name of an alert or failure, comparable: letters only, lower case.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The alert or failure that ended the session has one of these names.
pub(super) fn ended_by(tls: &Tls, names: &[&str]) -> Option<String> {
    [&tls.failure, &tls.died_at_first_read]
        .into_iter()
        .flatten()
        .find(|text| names.iter().any(|name| plain(text).contains(name)))
        .cloned()
}

/// A certificate fault beside a PONG (`--insecure`), or behind a plain target that should speak TLS.
pub(super) fn latent(
    case: &Case<'_>,
    title: String,
    reasons: Vec<Reason>,
    fix: Option<Fix>,
) -> Option<Latent> {
    let behind = match case.symptom {
        Symptom::Pong | Symptom::NotReady | Symptom::ErrorReply => false,
        Symptom::TlsFailed => true,
        // Only where TLS is what the plain target lacks.
        _ => session(case).is_some_and(|t| t.handshake),
    };
    (!reasons.is_empty()).then_some(Latent {
        place: if behind { Place::Behind } else { Place::Warning },
        title,
        reasons,
        fix,
    })
}

/// Unix time as a date in UTC. Days to civil: Howard Hinnant's algorithm.
pub(super) fn date(unix: i64) -> String {
    let days = unix.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let doe = days.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let second = unix.rem_euclid(86_400);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second % 3600 / 60)
}

#[cfg(test)]
pub(super) mod testing {
    use crate::cause::testing::{dialled, seen};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Certificate, DialOutcome, Standing, Tls, Verified};

    /// The client's clock in these tests: 2026-01-01.
    pub(crate) const NOW: u64 = 1_767_225_600;

    /// A finished handshake with a certificate judged so.
    pub(crate) fn session(verified: Verified) -> Tls {
        Tls {
            to: "10.0.0.5:6379".to_owned(),
            server_name: "redis.example.org".to_owned(),
            handshake: true,
            version: Some("TLSv1.3".to_owned()),
            certificate: Some(Certificate {
                subject: "CN=redis".to_owned(),
                issuer: "CN=ca".to_owned(),
                names: vec!["redis.internal".to_owned()],
                not_before: NOW as i64 - 86_400 * 400,
                not_after: NOW as i64 + 86_400 * 300,
                self_signed: false,
                chain_length: 1,
            }),
            verified: Some(verified),
            roots: "system".to_owned(),
            ..Tls::default()
        }
    }

    /// A TLS target with that session.
    pub(crate) fn target(tls: Tls) -> CaseFile {
        let mut file = dialled(DialOutcome::Connected);
        file.ask.tls = true;
        file.ask.host = "redis.example.org".to_owned();
        file.client.standing = seen(Standing { at: NOW, ..Standing::default() });
        file.client.tls = seen(vec![tls]);
        file
    }
}

#[cfg(test)]
mod tests {
    use super::{date, plain};

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59 UTC");
        assert_eq!(date(-1), "1969-12-31 23:59 UTC");
    }

    #[test]
    fn alert_names_in_any_spelling() {
        assert_eq!(plain("received fatal alert: HandshakeFailure"), "receivedfatalalerthandshakefailure");
        assert_eq!(plain("certificate_required"), "certificaterequired");
    }
}
