//! TLS with one address: the handshake, what the certificate says, and whether a strict client would take it.
//!
//! The handshake is carried through whatever the certificate is, so that all that is wrong with it can be told;
//! the caller sends no password over a session that is not verified.

mod material;
mod verify;

pub(super) use material::Material;
pub(crate) use material::server_config;
pub(in crate::probe) use verify::describe;

use super::talk::{Conversation, PATIENCE};
use crate::evidence::client::{Tls, Verified};
use crate::probe::TlsOptions;
use crate::sys::net::Stream;
use crate::text::shown;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection, Error};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Most bytes kept of what came instead of TLS.
const HEAD: usize = 128;

/// What was sent before the failure is here already, or never comes.
const LAST_WORDS: Duration = Duration::from_millis(5);

/// A stream that remembers the first bytes that came.
#[derive(Debug)]
struct Recorded {
    stream: Stream,
    head: Vec<u8>,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.stream.read(buffer)?;
        let room = HEAD.saturating_sub(self.head.len()).min(n);
        self.head.extend_from_slice(buffer.get(..room).unwrap_or_default());
        Ok(n)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A TLS session over which one can talk.
#[derive(Debug)]
pub(super) struct Session {
    connection: ClientConnection,
    io: Recorded,
    /// Application data came.
    spoke: bool,
    /// How the session ended before any application data came.
    pub(super) died: Option<String>,
}

impl Read for Session {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let result = rustls::Stream::new(&mut self.connection, &mut self.io).read(buffer);
        let end = match &result {
            Ok(n) if *n > 0 => {
                self.spoke = true;
                return result;
            }
            Ok(_) => "closed".to_owned(),
            Err(e) => match failure(e) {
                Some(word) if word != "timeout" => word,
                _ => return result,
            },
        };
        if !self.spoke {
            self.died.get_or_insert(end.clone());
        }
        // Whichever way TLS ended it, to the conversation the peer is gone.
        if end == "reset" { result } else { Ok(0) }
    }
}

impl Write for Session {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        rustls::Stream::new(&mut self.connection, &mut self.io).write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        rustls::Stream::new(&mut self.connection, &mut self.io).flush()
    }
}

impl Conversation for Session {
    fn until(&mut self, deadline: Instant) {
        self.io.stream.until(deadline);
    }
}

/// What to do about a server that does not answer the first flight.
pub(super) struct Wait<'a> {
    /// Called once when there is no answer after [`PATIENCE`].
    pub(super) then: &'a mut dyn FnMut(),
    /// Set when it is known by other means that no answer will come: plain RESP was answered meanwhile.
    pub(super) settled: &'a AtomicBool,
}

/// TLS with this host's own server: who shows the certificate of its file is the server, whatever name that is for. The same
/// certificate is shown to it, where it asks for one and its key can be used. The handshake comes with the first byte.
pub(crate) fn own_server(
    stream: std::net::TcpStream,
    cert: &str,
    key: &str,
) -> Result<rustls::StreamOwned<ClientConnection, std::net::TcpStream>, String> {
    let to = stream.peer_addr().map_err(|e| crate::sys::errno_name(&e))?;
    let bare = TlsOptions { cacert: Some(cert.to_owned()), insecure: true, ..TlsOptions::default() };
    let both = TlsOptions { cert: Some(cert.to_owned()), key: Some(key.to_owned()), ..bare.clone() };
    let with = Material::load(&both);
    let material = if with.problem.is_some() { Material::load(&bare) } else { with };
    if let Some(problem) = material.problem {
        return Err(problem);
    }
    let config = material.config_of_own().map_err(|e| e.to_string())?;
    let name = ServerName::IpAddress(to.ip().into());
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
    Ok(rustls::StreamOwned::new(connection, stream))
}

/// How often `settled` is looked at.
const SLICE: Duration = Duration::from_millis(50);

/// Shakes hands.
#[expect(clippy::needless_pass_by_value, reason = "the wait belongs to this handshake alone")]
pub(super) fn handshake(
    stream: Stream,
    to: SocketAddr,
    host: &str,
    material: &Material,
    deadline: Instant,
    wait: Wait<'_>,
) -> (Tls, Option<Session>) {
    let mut tls = Tls {
        to: to.to_string(),
        insecure: material.insecure,
        roots: material.roots_name.clone(),
        ..Tls::default()
    };
    if let Some(problem) = &material.problem {
        tls.failure = Some(problem.clone());
        return (tls, None);
    }
    let asked = material.sni.as_deref().unwrap_or(host);
    asked.clone_into(&mut tls.server_name);
    // A host that no certificate can name is checked by its address.
    let name = ServerName::try_from(asked.trim_end_matches('.').to_owned())
        .unwrap_or_else(|_| ServerName::IpAddress(to.ip().into()));
    let (config, verifier, client_certificate) = match material.config() {
        Ok(parts) => parts,
        Err(e) => {
            tls.failure = Some(e.to_string());
            return (tls, None);
        }
    };
    let connection = match ClientConnection::new(Arc::new(config), name) {
        Ok(connection) => connection,
        Err(e) => {
            tls.failure = Some(e.to_string());
            return (tls, None);
        }
    };
    let io = Recorded { stream, head: Vec::new() };
    let mut session = Session { connection, io, spoke: false, died: None };
    let soon = deadline.min(crate::sys::now() + PATIENCE);
    session.until(soon);
    let mut result = session.shake();
    let timed_out = |r: &std::io::Result<()>| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::TimedOut);
    if timed_out(&result) {
        (wait.then)();
    }
    while timed_out(&result) && crate::sys::now() < deadline && !wait.settled.load(Ordering::Relaxed) {
        session.until(deadline.min(crate::sys::now() + SLICE));
        result = session.shake();
    }
    tls.client_cert_requested = client_certificate.requested();
    tls.client_cert_sent = client_certificate.sent();
    let checked = verifier.checked();
    tls.certificate = checked.as_ref().map(|c| c.certificate.clone());
    tls.faults = checked.as_ref().map(|c| c.faults.clone()).unwrap_or_default();
    tls.verified = checked.map(|c| c.faults.first().cloned().unwrap_or(Verified::Ok));
    match result {
        Ok(()) => {
            tls.handshake = true;
            tls.version = session.connection.protocol_version().and_then(|v| v.as_str()).map(version_name);
            (tls, Some(session))
        }
        Err(e) => {
            let word = failure(&e).unwrap_or_else(|| e.to_string());
            if word == "not-tls" || !matches!(session.io.head.first(), None | Some(20..=23)) {
                tls.instead = Some(shown(&session.io.head, 100));
            }
            tls.failure = Some(word);
            (tls, None)
        }
    }
}

impl Session {
    /// Exchanges handshake records until it is done; can be called again after a time-out.
    fn shake(&mut self) -> std::io::Result<()> {
        while self.connection.is_handshaking() {
            if let Err(e) = self.connection.complete_io(&mut self.io) {
                if e.kind() == ErrorKind::TimedOut {
                    return Err(e);
                }
                return Err(self.last_words().unwrap_or(e));
            }
        }
        Ok(())
    }

    /// A server that refuses our flight sends its alert and closes; our write then fails although the alert is here.
    fn last_words(&mut self) -> Option<std::io::Error> {
        for _ in 0..8 {
            match self.connection.process_new_packets() {
                Err(alert @ Error::AlertReceived(_)) => {
                    return Some(std::io::Error::new(ErrorKind::InvalidData, alert));
                }
                Err(_) => return None,
                Ok(_) => {}
            }
            let soon = crate::sys::now() + LAST_WORDS;
            self.io.stream.until(soon);
            if self.connection.read_tls(&mut self.io).ok()? == 0 {
                return None;
            }
        }
        None
    }
}

/// `TLSv1_3` as people write it.
fn version_name(text: &str) -> String {
    text.replace('_', ".")
}

/// Why a handshake or a read failed, in a word.
fn failure(error: &std::io::Error) -> Option<String> {
    if let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
        return Some(match tls {
            Error::AlertReceived(alert) => alert_name(*alert),
            Error::InvalidMessage(_) => "not-tls".to_owned(),
            Error::PeerIncompatible(_) => "version".to_owned(),
            other => other.to_string(),
        });
    }
    match error.kind() {
        ErrorKind::TimedOut => Some("timeout".to_owned()),
        ErrorKind::UnexpectedEof => Some("closed".to_owned()),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            Some("reset".to_owned())
        }
        _ => None,
    }
}

/// The alert's name as RFC 8446 spells it.
fn alert_name(alert: AlertDescription) -> String {
    let name = format!("{alert:?}").replace("CA", "Ca").replace("PSK", "Psk");
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::alert_name;
    use rustls::AlertDescription as A;

    #[test]
    fn alerts_are_spelled_as_in_the_rfc() {
        assert_eq!(alert_name(A::CertificateRequired), "certificate_required");
        assert_eq!(alert_name(A::UnknownCA), "unknown_ca");
        assert_eq!(alert_name(A::ProtocolVersion), "protocol_version");
    }
}
