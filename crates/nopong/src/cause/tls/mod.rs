//! Causes of the category `tls`.

use super::Cause;

mod shared;
mod tls_cert_expired;
mod tls_client_cert_required;
mod tls_issuer_unknown;
mod tls_name_mismatch;
mod tls_not_spoken;
mod tls_required;
mod tls_version_mismatch;

/// In the order of the examination.
pub static ALL: &[&dyn Cause] = &[
    &tls_required::TlsRequired,
    &tls_not_spoken::TlsNotSpoken,
    &tls_version_mismatch::TlsVersionMismatch,
    &tls_issuer_unknown::TlsIssuerUnknown,
    &tls_cert_expired::TlsCertExpired,
    &tls_name_mismatch::TlsNameMismatch,
    &tls_client_cert_required::TlsClientCertRequired,
];
