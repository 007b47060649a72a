//! What the crate has to know about the machine, asked for through a trait: it does no IO itself. And the values that
//! go with it: an operating system error, a secret.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// An error number of the operating system.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OsError(pub i32);

impl OsError {
    pub const NOT_FOUND: Self = Self(2);
    pub const DENIED: Self = Self(13);
    pub const IS_DIRECTORY: Self = Self(21);
    pub const ADDRESS_IN_USE: Self = Self(98);
    pub const ADDRESS_MISSING: Self = Self(99);

    pub fn of(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(5))
    }

    /// As `strerror` words it, without Rust's `(os error N)`.
    pub fn text(self) -> String {
        let text = std::io::Error::from_raw_os_error(self.0).to_string();
        text.split(" (os error").next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OsError({}: {})", self.0, self.text())
    }
}

/// Whether a listening socket could be bound to an address here, whatever the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bindable {
    /// It can; the address that a name stands for.
    Yes(IpAddr),
    /// `bind` would fail so.
    No(OsError),
    /// The name does not resolve; the resolver's words.
    NotResolved(String),
    /// This machine has no such address family: the server skips the address.
    NoFamily,
    Unknown,
}

/// What is wrong with the certificate, key or authorities of a TLS configuration, in the server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// The directive to blame.
    pub directive: &'static str,
    pub says: String,
}

/// The files a TLS configuration names, resolved against the server's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub key_pass: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    pub ca_dir: Option<PathBuf>,
    pub dh_params: Option<PathBuf>,
    /// For the client side (replication, cluster bus) where it has a certificate of its own.
    pub client: bool,
}

/// The machine as the crate may ask about it. Paths are absolute. Only `read` must be written; the rest defaults to
/// "nothing speaks against it", so a caller that judges a file from elsewhere is not told of this machine's state.
pub trait Files {
    /// The bytes of a file, at most `limit` of them (a longer file is cut, the loader notices).
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, OsError>;

    /// The files a pattern matches, sorted as `glob(3)` does, relative patterns within `cwd`.
    fn glob(&self, cwd: &Path, pattern: &[u8]) -> Vec<PathBuf> {
        let _ = (cwd, pattern);
        Vec::new()
    }

    /// What `chdir` would do: the canonical directory, or why not.
    fn enter(&self, dir: &Path) -> Result<PathBuf, OsError> {
        Ok(dir.to_path_buf())
    }

    /// Whether a file could be opened for appending, created if absent, without doing it.
    fn appendable(&self, path: &Path) -> Result<(), OsError> {
        let _ = path;
        Ok(())
    }

    /// Whether an existing file or directory may be written (`access W_OK`).
    fn writable(&self, path: &Path) -> Result<(), OsError> {
        let _ = path;
        Ok(())
    }

    /// Whether a file exists and may be executed (`access X_OK`).
    fn executable(&self, path: &Path) -> Result<(), OsError> {
        let _ = path;
        Ok(())
    }

    /// Whether a socket could be bound to that address or name.
    fn bindable(&self, host: &str, ipv6: bool) -> Bindable {
        let _ = (host, ipv6);
        Bindable::Unknown
    }

    /// What OpenSSL would refuse in these files; the caller reads and parses them.
    fn tls(&self, files: &TlsFiles) -> Option<TlsFault> {
        let _ = files;
        None
    }

    /// The most open files a server started here could get (`RLIMIT_NOFILE`).
    fn open_files_limit(&self) -> Option<u64> {
        None
    }
}

/// A password or the like: compared and handed on, never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, for sending them to the server they belong to; never for print.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Files held in memory: for tests, fuzzing and callers that got the files as text.
#[derive(Clone, Debug, Default)]
pub struct InMemory(pub std::collections::BTreeMap<PathBuf, Vec<u8>>);

impl InMemory {
    pub fn one(path: &str, bytes: &[u8]) -> Self {
        Self(std::iter::once((PathBuf::from(path), bytes.to_vec())).collect())
    }
}

impl Files for InMemory {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, OsError> {
        let bytes = self.0.get(path).ok_or(OsError::NOT_FOUND)?;
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    }

    /// Knows `*` and `?` in the last part only.
    fn glob(&self, cwd: &Path, pattern: &[u8]) -> Vec<PathBuf> {
        let pattern = cwd.join(String::from_utf8_lossy(pattern).as_ref());
        let matches = |path: &&PathBuf| {
            path.parent() == pattern.parent()
                && matches!((path.file_name(), pattern.file_name()), (Some(name), Some(pattern))
                    if wild(pattern.as_encoded_bytes(), name.as_encoded_bytes()))
        };
        self.0.keys().filter(matches).cloned().collect()
    }
}

fn wild(pattern: &[u8], name: &[u8]) -> bool {
    // The last star seen and where its match began, to come back to.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star_p, star_n)) = star else { return false };
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_errors_are_worded_like_strerror() {
        assert_eq!(OsError::NOT_FOUND.text(), "No such file or directory");
        assert_eq!(OsError(98).text(), "Address already in use");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn patterns_in_memory() {
        assert!(wild(b"*.conf", b"a.conf"));
        assert!(wild(b"a*b?c", b"axxbbxc"));
        assert!(!wild(b"*.conf", b"a.conf~"));
        assert!(wild(b"*", b""));
    }
}
