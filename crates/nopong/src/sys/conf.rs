//! This machine, for the questions of [`redis_conf::Files`]: files, directories, addresses, certificates.
//!
//! Looks only: nothing is created, and a socket that is bound to see whether an address is there takes a port that the
//! kernel picks and is closed at once. What may be done is asked for the user who runs nopong.

use super::names::{self, Resolved};
use nix::unistd::AccessFlags;
use redis_conf::{Bindable, Files, OsError, TlsFault, TlsFiles};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A name in `bind` is looked up no longer than this.
const RESOLVE_MAX: Duration = Duration::from_secs(2);
/// Most files taken of one include pattern.
const GLOB_MAX: usize = 512;
/// Certificates and keys are small; a bundle of all authorities has about 250 KB.
const PEM_MAX: usize = 1 << 20;

/// This machine, as the user who runs nopong sees it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

/// Where this process stands: relative paths of a configuration count from there.
pub fn current_dir() -> std::io::Result<PathBuf> {
    std::env::current_dir()
}

fn access(path: &Path, how: AccessFlags) -> Result<(), OsError> {
    nix::unistd::access(path, how).map_err(|e| OsError(e as i32))
}

impl Files for Machine {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, OsError> {
        super::read(path, limit).map_err(|e| OsError::of(&e))
    }

    fn glob(&self, cwd: &Path, pattern: &[u8]) -> Vec<PathBuf> {
        glob(cwd, pattern)
    }

    fn enter(&self, dir: &Path) -> Result<PathBuf, OsError> {
        let canonical = std::fs::canonicalize(dir).map_err(|e| OsError::of(&e))?;
        let meta = super::stat(&canonical).map_err(|e| OsError::of(&e))?;
        if !meta.is_dir() {
            return Err(OsError(nix::libc::ENOTDIR));
        }
        access(&canonical, AccessFlags::X_OK).map(|()| canonical)
    }

    fn appendable(&self, path: &Path) -> Result<(), OsError> {
        match super::stat(path) {
            Ok(meta) if meta.is_dir() => Err(OsError::IS_DIRECTORY),
            Ok(_) => access(path, AccessFlags::W_OK),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let dir = path.parent().unwrap_or(path);
                self.enter(dir)?;
                access(dir, AccessFlags::W_OK)
            }
            Err(e) => Err(OsError::of(&e)),
        }
    }

    fn writable(&self, path: &Path) -> Result<(), OsError> {
        access(path, AccessFlags::W_OK)
    }

    fn executable(&self, path: &Path) -> Result<(), OsError> {
        access(path, AccessFlags::X_OK)
    }

    fn bindable(&self, host: &str, ipv6: bool) -> Bindable {
        if let Some((Ok(ip), dev)) = host.split_once('%').map(|(ip, dev)| (ip.parse::<Ipv6Addr>(), dev)) {
            let index = dev.parse().ok().or_else(|| nix::net::if_::if_nametoindex(dev).ok());
            return match index {
                // The same on another interface is another: not to be compared by the address.
                Some(index) => match bind(SocketAddrV6::new(ip, 0, 0, index).into()) {
                    Bindable::Yes(_) => Bindable::Unknown,
                    not => not,
                },
                None => Bindable::NotResolved("Name or service not known".to_owned()),
            };
        }
        let found = match names::literal(host) {
            Some(ip) => Resolved::Addresses(vec![ip]),
            None => names::resolve(host, RESOLVE_MAX),
        };
        match found {
            // The server takes the first address of the family it asks for.
            Resolved::Addresses(list) => match list.into_iter().find(|ip| ip.is_ipv6() == ipv6) {
                Some(ip) => bind(SocketAddr::new(ip, 0)),
                None => Bindable::NotResolved("Address family for hostname not supported".to_owned()),
            },
            Resolved::Error(code) if code == "EAI_NONAME" => {
                Bindable::NotResolved("Name or service not known".to_owned())
            }
            Resolved::Error(code) if code == "EAI_AGAIN" => {
                Bindable::NotResolved("Temporary failure in name resolution".to_owned())
            }
            Resolved::Error(code) => Bindable::NotResolved(code),
            Resolved::TimedOut => Bindable::Unknown,
        }
    }

    fn tls(&self, files: &TlsFiles) -> Option<TlsFault> {
        tls_fault(files)
    }

    fn open_files_limit(&self) -> Option<u64> {
        use nix::sys::resource::{Resource, getrlimit};
        if nix::unistd::geteuid().is_root() {
            // Root raises its own hard limit up to this one.
            return super::read_text("/proc/sys/fs/nr_open", 64).ok()?.trim().parse().ok();
        }
        getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard)
    }
}

/// Binds a socket there on a port of the kernel's choice, as the server does but for the port.
fn bind(at: SocketAddr) -> Bindable {
    use socket2::{Domain, Socket, Type};
    let domain = if at.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = match Socket::new(domain, Type::STREAM, None) {
        Ok(socket) => socket,
        Err(e) if e.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => return Bindable::NoFamily,
        Err(_) => return Bindable::Unknown,
    };
    if at.is_ipv6() && socket.set_only_v6(true).is_err() {
        return Bindable::Unknown;
    }
    match socket.bind(&at.into()) {
        Ok(()) => Bindable::Yes(at.ip()),
        Err(e) => Bindable::No(OsError::of(&e)),
    }
}

/// `glob(3)` for what an include has: `*`, `?` and `[…]` in any part of the path, sorted by bytes.
pub(crate) fn glob(cwd: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let absolute = pattern.first() == Some(&b'/');
    let mut found = vec![if absolute { PathBuf::from("/") } else { PathBuf::new() }];
    for part in pattern.split(|b| *b == b'/').filter(|p| !p.is_empty()) {
        let mut next = Vec::new();
        for dir in &found {
            if !part.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
                let path = dir.join(std::ffi::OsStr::from_bytes(part));
                if super::lstat(cwd.join(&path)).is_ok() {
                    next.push(path);
                }
                continue;
            }
            let mut names = super::list(cwd.join(dir), GLOB_MAX * 8).unwrap_or_default();
            names.retain(|name| {
                let hidden = name.as_bytes().starts_with(b".") && part[0] != b'.';
                !hidden && wild(part, name.as_bytes())
            });
            names.sort();
            next.extend(names.into_iter().map(|name| dir.join(name)));
        }
        next.truncate(GLOB_MAX);
        found = next;
    }
    found
}

/// `fnmatch(3)` without classes; the last star is the only one to come back to.
fn wild(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => bracket(&pattern[p..], name[n]),
            Some(b'\\') if pattern.get(p + 1) == Some(&name[n]) => Some(2),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += step;
                n += 1;
            }
            (None, Some((star_p, star_n))) => {
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether `[a-z]` at the start takes a byte; the length of the bracket if so.
fn bracket(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = 1 + usize::from(negated);
    // A `]` in first place stands for itself; a bracket without its end is a plain character.
    let close = pattern.iter().skip(start + 1).position(|b| *b == b']').map(|i| i + start + 1);
    let Some(close) = close else { return (byte == b'[').then_some(1) };
    let set = &pattern[start..close];
    let mut takes = false;
    let mut i = 0;
    while i < set.len() {
        match set[i..] {
            [low, b'-', high, ..] => {
                takes |= (low..=high).contains(&byte);
                i += 3;
            }
            [one, ..] => {
                takes |= one == byte;
                i += 1;
            }
            [] => break,
        }
    }
    (takes != negated).then_some(close + 1)
}

/// What OpenSSL 3 surely refuses, in its words (measured with 3.0 and 3.5). Everything else is taken: it knows more
/// kinds of keys than we do.
fn tls_fault(files: &TlsFiles) -> Option<TlsFault> {
    let (cert_name, key_name) = match files.client {
        false => ("tls-cert-file", "tls-key-file"),
        true => ("tls-client-cert-file", "tls-client-key-file"),
    };
    let fault = |directive, what: &str, path: &Path, error: &str| {
        Some(TlsFault { directive, says: format!("Failed to load {what}: {}: {error}", path.display()) })
    };
    let cert = super::read(&files.cert, PEM_MAX).ok()?;
    if !has_block(&cert, "CERTIFICATE") {
        return fault(cert_name, "certificate", &files.cert, "error:0480006C:PEM routines::no start line");
    }
    let key = super::read(&files.key, PEM_MAX).ok()?;
    if !has_block(&key, "PRIVATE KEY") {
        return fault(key_name, "private key", &files.key, "error:1E08010C:DECODER routines::unsupported");
    }
    let encrypted = has(&key, "ENCRYPTED");
    if encrypted && files.key_pass.is_none() {
        let error = "error:07880109:common libcrypto routines::interrupted or cancelled";
        return fault(key_name, "private key", &files.key, error);
    }
    if !encrypted && keys_differ(&cert, &key) == Some(true) {
        let error = "error:05800074:x509 certificate routines::key values mismatch";
        return fault(key_name, "private key", &files.key, error);
    }
    let authorities = super::read(files.ca_file.as_ref()?, PEM_MAX).ok()?;
    if has_block(&authorities, "CERTIFICATE") || has_block(&authorities, "X509 CRL") {
        return None;
    }
    let error = "error:05800088:x509 certificate routines::no certificate or crl found";
    let says = format!("Failed to configure CA certificate(s) file/directory: {error}");
    Some(TlsFault { directive: "tls-ca-cert-file", says })
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

/// A PEM block whose label ends so: `RSA PRIVATE KEY`, `TRUSTED CERTIFICATE`.
fn has_block(bytes: &[u8], label: &str) -> bool {
    let end = format!("{label}-----");
    bytes
        .split(|b| *b == b'\n')
        .any(|line| line.starts_with(b"-----BEGIN ") && line.trim_ascii_end().ends_with(end.as_bytes()))
}

/// Whether a certificate and a key are of one kind and yet do not belong together. A key of another kind is taken by
/// OpenSSL beside the certificate.
fn keys_differ(cert: &[u8], key: &[u8]) -> Option<bool> {
    let cert = CertificateDer::from_pem_slice(cert).ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).ok()?.public_key()?.to_vec();
    let (_, cert) = x509_parser::parse_x509_certificate(&cert).ok()?;
    let of_cert = cert.tbs_certificate.subject_pki.raw;
    // SEQUENCE { SEQUENCE { algorithm, parameters }, BIT STRING key }: equal up to the key means one kind.
    let (_, of_key) =
        <x509_parser::x509::SubjectPublicKeyInfo<'_> as x509_parser::prelude::FromDer<'_, _>>::from_der(&key)
            .ok()?;
    let same_kind = of_key.algorithm == cert.tbs_certificate.subject_pki.algorithm;
    same_kind.then(|| of_cert != key.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_like_the_c_library() {
        for (pattern, name, want) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("[0-9]*", "10-x", true),
            ("[!0-9]*", "10-x", false),
            ("a?c*d", "abcxd", true),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(wild(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn addresses_of_this_machine() {
        assert_eq!(Machine.bindable("127.0.0.1", false), Bindable::Yes([127, 0, 0, 1].into()));
        // TEST-NET-2, RFC 5737: nobody has it.
        assert_eq!(Machine.bindable("198.51.100.7", false), Bindable::No(OsError::ADDRESS_MISSING));
    }

    #[test]
    fn a_pem_block_is_told_by_its_label() {
        assert!(has_block(b"x\n-----BEGIN RSA PRIVATE KEY-----\r\nAA", "PRIVATE KEY"));
        assert!(!has_block(b"-----BEGIN PUBLIC KEY-----\n", "PRIVATE KEY"));
        assert!(!has_block(b"", "CERTIFICATE"));
    }
}
