//! Certificates and keys named on the command line, and the configuration made of them.

use super::verify::Verifier;
use crate::probe::TlsOptions;
use crate::sys;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Largest certificate or key file read.
const PEM_MAX: usize = 4 << 20;

/// What a handshake needs.
#[derive(Debug)]
pub(in super::super) struct Material {
    pub(super) insecure: bool,
    pub(super) sni: Option<String>,
    /// `system`, or the CA file.
    pub(super) roots_name: String,
    /// Why nothing can be tried.
    pub(super) problem: Option<String>,
    roots: Arc<RootCertStore>,
    certificates: Arc<Vec<CertificateDer<'static>>>,
    client: Option<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl Material {
    /// Reads the files that the options name; without a CA file, the system's roots.
    pub(in super::super) fn load(options: &TlsOptions) -> Self {
        let mut material = Self {
            insecure: options.insecure,
            sni: options.sni.clone(),
            roots_name: options.cacert.clone().unwrap_or_else(|| "system".to_owned()),
            problem: None,
            roots: Arc::new(RootCertStore::empty()),
            certificates: Arc::default(),
            client: None,
            provider: Arc::new(ring::default_provider()),
        };
        let certificates = match &options.cacert {
            Some(path) => match certificates(path) {
                Ok(found) => found,
                Err(problem) => {
                    material.problem = Some(problem);
                    return material;
                }
            },
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        material.roots = Arc::new(roots);
        material.certificates = Arc::new(certificates);
        match client(options, &material.provider) {
            Ok(client) => material.client = client.map(Arc::new),
            Err(problem) => material.problem = Some(problem),
        }
        material
    }

    /// The configuration of one handshake, with what will record its course.
    pub(super) fn config(&self) -> Result<(ClientConfig, Arc<Verifier>, Arc<ClientCertificate>), Error> {
        self.config_with(self.verifier())
    }

    /// The same, and the server must show the first certificate of the CA file.
    pub(super) fn config_of_own(&self) -> Result<ClientConfig, Error> {
        let leaf = self.certificates.first().cloned().ok_or(Error::NoCertificatesPresented)?;
        self.config_with(self.verifier().only(leaf)).map(|(config, ..)| config)
    }

    fn verifier(&self) -> Verifier {
        let (roots, certificates) = (Arc::clone(&self.roots), Arc::clone(&self.certificates));
        Verifier::new(roots, certificates, self.provider.signature_verification_algorithms)
    }

    fn config_with(
        &self,
        verifier: Verifier,
    ) -> Result<(ClientConfig, Arc<Verifier>, Arc<ClientCertificate>), Error> {
        let verifier = Arc::new(verifier);
        let certificate = Arc::new(ClientCertificate {
            requested: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            key: self.client.clone(),
        });
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::clone(&certificate) as _);
        Ok((config, verifier, certificate))
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = sys::read(path, PEM_MAX).map_err(|e| format!("{path}: {}", sys::errno_name(&e)))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    if found.is_empty() { Err(format!("{path}: no certificate in PEM form")) } else { Ok(found) }
}

/// A server's configuration with this certificate and key.
pub(crate) fn server_config(cert: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let pair = pair(cert, key, &provider)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    Ok(Arc::new(config))
}

fn client(options: &TlsOptions, provider: &CryptoProvider) -> Result<Option<CertifiedKey>, String> {
    match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => pair(cert, key, provider).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err("--cert without --key".to_owned()),
        (None, Some(_)) => Err("--key without --cert".to_owned()),
    }
}

/// A certificate chain and its key.
fn pair(cert: &str, key: &str, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = certificates(cert)?;
    let pem = sys::read(key, PEM_MAX).map_err(|e| format!("{key}: {}", sys::errno_name(&e)))?;
    let der =
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| format!("{key}: no private key in PEM form"))?;
    let signer = provider
        .key_provider
        .load_private_key(der)
        .map_err(|_| format!("{key}: a private key that cannot be used"))?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Err(Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(format!("{key} is not the key of {cert}"))
        }
        _ => Ok(pair),
    }
}

/// Answers the server's request for a client certificate, and remembers that there was one.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    requested: AtomicBool,
    sent: AtomicBool,
    key: Option<Arc<CertifiedKey>>,
}

impl ClientCertificate {
    pub(super) fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
    pub(super) fn sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.requested.store(true, Ordering::Relaxed);
        self.sent.store(self.key.is_some(), Ordering::Relaxed);
        self.key.clone()
    }

    // Must be true for the request to reach us even without a certificate.
    fn has_certs(&self) -> bool {
        true
    }
}
