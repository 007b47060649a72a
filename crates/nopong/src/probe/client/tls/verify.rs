//! Checks a certificate as a strict client does and keeps the result; never ends the handshake for it.

use crate::evidence::client::{Certificate, Verified};
use crate::text::shown_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Most names kept of one certificate.
const NAMES_MAX: usize = 50;

/// What was found out about a certificate.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) certificate: Certificate,
    /// All that is wrong; empty means nothing.
    pub(super) faults: Vec<Verified>,
}

/// The recording verifier of one handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<RootCertStore>,
    certificates: Arc<Vec<CertificateDer<'static>>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// The one certificate that is taken; any without.
    only: Option<CertificateDer<'static>>,
    checked: Mutex<Option<Checked>>,
}

impl Verifier {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        certificates: Arc<Vec<CertificateDer<'static>>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { roots, certificates, algorithms, only: None, checked: Mutex::new(None) }
    }

    /// Ends the handshake with whoever shows another certificate than this.
    pub(super) fn only(self, leaf: CertificateDer<'static>) -> Self {
        Self { only: Some(leaf), ..self }
    }

    /// What was checked, once the server has sent its certificate.
    pub(super) fn checked(&self) -> Option<Checked> {
        self.checked.lock().ok()?.clone()
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Checked {
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
            let what = "not an X.509 certificate".to_owned();
            return Checked { certificate: Certificate::default(), faults: vec![Verified::Other { what }] };
        };
        let certificate = describe(&parsed, intermediates.len() + 1);
        let mut faults = Vec::new();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut when = now;
        if seconds > certificate.not_after {
            faults.push(Verified::Expired);
            when = at(certificate.not_after);
        } else if seconds < certificate.not_before {
            faults.push(Verified::NotYetValid);
            when = at(certificate.not_before);
        }
        // The issuer is judged at a time when the dates are right, so that one fault does not hide the other.
        faults.extend(self.issuer(leaf, &parsed, intermediates, when));
        match ParsedCertificate::try_from(leaf).and_then(|c| verify_server_name(&c, name)) {
            Ok(()) => {}
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => faults.push(Verified::NameMismatch),
            // webpki parses version 3 only; older certificates have no names that a strict client takes.
            Err(_) => faults.push(Verified::NameMismatch),
        }
        Checked { certificate, faults }
    }

    /// What is wrong with the chain, if anything.
    fn issuer(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        when: UnixTime,
    ) -> Option<Verified> {
        // A certificate that is itself trusted needs no issuer (as OpenSSL has it; webpki refuses a CA as a server's).
        if self.certificates.iter().any(|c| c.as_ref() == leaf.as_ref()) {
            return None;
        }
        let chain = ParsedCertificate::try_from(leaf).and_then(|c| {
            verify_server_cert_signed_by_trust_anchor(
                &c,
                &self.roots,
                intermediates,
                when,
                self.algorithms.all,
            )
        });
        match chain {
            Ok(()) => None,
            Err(Error::InvalidCertificate(error)) => match error {
                CertificateError::UnknownIssuer => Some(Verified::UnknownIssuer),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Some(Verified::Other { what: "a certificate of the chain has expired".to_owned() })
                }
                // Version 1 certificates and the like, which OpenSSL takes: signed by a root all the same?
                other if self.signed_by_a_root(parsed) => {
                    drop(other);
                    None
                }
                _ if certificate_is_foreign(parsed, &self.certificates) => Some(Verified::UnknownIssuer),
                other => Some(Verified::Other { what: shown_str(&Error::from(other).to_string(), 200) }),
            },
            Err(other) => Some(Verified::Other { what: shown_str(&other.to_string(), 200) }),
        }
    }

    /// The leaf's signature is one of a given CA's.
    fn signed_by_a_root(&self, leaf: &X509Certificate<'_>) -> bool {
        self.certificates.iter().any(|root| {
            let Ok((_, root)) = X509Certificate::from_der(root) else { return false };
            root.subject() == leaf.issuer()
                && self.algorithms.all.iter().any(|algorithm| {
                    algorithm
                        .verify_signature(
                            &root.public_key().subject_public_key.data,
                            leaf.tbs_certificate.as_ref(),
                            &leaf.signature_value.data,
                        )
                        .is_ok()
                })
        })
    }
}

/// No given CA has the name of the leaf's issuer.
fn certificate_is_foreign(leaf: &X509Certificate<'_>, roots: &[CertificateDer<'_>]) -> bool {
    !roots
        .iter()
        .any(|root| X509Certificate::from_der(root).is_ok_and(|(_, root)| root.subject() == leaf.issuer()))
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// What a certificate says, names bounded and made showable.
pub(in crate::probe) fn describe(leaf: &X509Certificate<'_>, chain_length: usize) -> Certificate {
    let names = leaf.subject_alternative_name().ok().flatten().map(|e| e.value.general_names.clone());
    let names = names
        .unwrap_or_default()
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(shown_str(name, 200)),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .take(NAMES_MAX)
        .collect();
    Certificate {
        subject: shown_str(&leaf.subject().to_string(), 300),
        issuer: shown_str(&leaf.issuer().to_string(), 300),
        names,
        not_before: leaf.validity().not_before.timestamp(),
        not_after: leaf.validity().not_after.timestamp(),
        self_signed: leaf.subject() == leaf.issuer(),
        chain_length,
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.only.as_ref().is_some_and(|only| only != leaf) {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        let checked = self.check(leaf, intermediates, name, now);
        if let Ok(mut slot) = self.checked.lock() {
            *slot = Some(checked);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tolerate(verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tolerate(verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A wrong signature ends the handshake: then the peer does not have the certificate's key. A certificate that webpki
/// cannot parse (version 1) does not: that is for the record only.
fn tolerate(result: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
    match result {
        Err(Error::InvalidCertificate(CertificateError::BadSignature)) => result,
        Err(Error::InvalidCertificate(_)) => Ok(HandshakeSignatureValid::assertion()),
        other => other,
    }
}
