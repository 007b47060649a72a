//! Certificate and key files on the server's disk: can they be read as such, and do they belong together.

use crate::evidence::server::{Config, TlsFiles};
use crate::probe::client::tls::describe;
use crate::sys;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::path::Path;

/// A chain is a few kilobytes.
const PEM_MAX: usize = 1 << 20;
/// Certificates of one file that are read.
const CHAIN_MAX: usize = 20;

/// Looks at the files of the configuration; none without TLS in it.
pub(super) fn look(config: &Config) -> Option<TlsFiles> {
    config.value("tls-port").filter(|p| *p != "0" && !p.is_empty())?;
    let path = |name: &str| {
        let value = config.value(name).filter(|v| !v.is_empty())?;
        Some(Path::new(config.value("dir").unwrap_or("/")).join(value))
    };
    let certificate = path("tls-cert-file").and_then(|p| sys::read(p, PEM_MAX).ok());
    let key = path("tls-key-file").and_then(|p| sys::read(p, PEM_MAX).ok());
    let phrase = config.value("tls-key-file-pass").is_some_and(|p| !p.is_empty());
    Some(judge(certificate.as_deref(), key.as_deref(), phrase))
}

fn judge(certificate: Option<&[u8]>, key: Option<&[u8]>, phrase: bool) -> TlsFiles {
    let mut files = TlsFiles::default();
    let Some(bytes) = certificate else { return files };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).take(CHAIN_MAX).collect();
    let Some(leaf) = chain.first() else {
        files.problem = Some("tls-cert-file holds no certificate in PEM form".to_owned());
        return files;
    };
    match x509_parser::parse_x509_certificate(leaf) {
        Ok((_, parsed)) => files.certificate = Some(describe(&parsed, chain.len())),
        Err(_) => files.problem = Some("the certificate in tls-cert-file cannot be parsed".to_owned()),
    }
    let Some(bytes) = key else { return files };
    // Such a key needs its pass phrase, which is not ours to use.
    let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| bytes.windows(mark.len()).any(|w| w == *mark));
    if encrypted {
        if !phrase {
            files.problem =
                Some("the key in tls-key-file is encrypted and no tls-key-file-pass is set".to_owned());
        }
        return files;
    }
    let Ok(key) = PrivateKeyDer::from_pem_slice(bytes) else {
        files.problem = Some("tls-key-file holds no private key in PEM form".to_owned());
        return files;
    };
    // OpenSSL takes kinds of keys that ring does not: then nothing is claimed.
    if let Ok(key) = default_provider().key_provider.load_private_key(key) {
        files.key_matches = match CertifiedKey::new(chain, key).keys_match() {
            Ok(()) => Some(true),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Some(false),
            Err(_) => None,
        };
    }
    files
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn what_is_no_certificate_is_said() {
        assert!(judge(Some(b"junk"), None, false).problem.is_some_and(|p| p.contains("no certificate")));
        assert_eq!(judge(None, Some(b"junk"), false), crate::evidence::server::TlsFiles::default());
    }

    #[test]
    fn keys_are_compared() {
        let [a, b] = ["a", "b"].map(|_| crate::probe::server::tls_files::tests::made());
        let (Some(a), Some(b)) = (a, b) else { return };
        assert_eq!(judge(Some(&a.0), Some(&a.1), false).key_matches, Some(true));
        assert_eq!(judge(Some(&a.0), Some(&b.1), false).key_matches, Some(false));
        assert!(judge(Some(&a.0), None, false).certificate.is_some_and(|c| c.self_signed));
        assert!(judge(Some(&a.0), Some(b"junk"), false).problem.is_some());
    }

    /// A certificate and its key, by openssl where there is one.
    fn made() -> Option<(Vec<u8>, Vec<u8>)> {
        let dir = crate::sys::TestDir::new("tls");
        let (cert, key) = (dir.join("c.pem"), dir.join("k.pem"));
        let argv = [
            "/usr/bin/openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=test",
            "-keyout",
            key.to_str()?,
            "-out",
            cert.to_str()?,
        ];
        crate::sys::run(&argv, std::time::Duration::from_secs(10), 1000).ok()?;
        let read = |path| crate::sys::read(path, 10_000).ok();
        Some((read(cert)?, read(key)?))
    }
}
