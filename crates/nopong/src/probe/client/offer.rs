//! The other protocol, offered to an address where the one asked for came to nothing. Never with a password.

use super::talk::{Login, Peer, converse};
use super::tls::{Material, Wait, handshake};
use crate::evidence::client::{Talk, Tls};
use crate::probe::{Request, TlsOptions};
use crate::sys;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// What an offer may take although the main conversation has already used its time up.
const GRACE: Duration = Duration::from_millis(200);

/// Offers TLS, and asks inside what speaks.
pub(super) fn tls(request: &Request, to: SocketAddr, deadline: Instant) -> Tls {
    let deadline = deadline.max(sys::now() + GRACE);
    let refused = |what: String| Tls { to: to.to_string(), failure: Some(what), ..Tls::default() };
    let stream = match sys::net::connect(to, deadline) {
        Ok(stream) => stream,
        Err(e) if e.kind() == std::io::ErrorKind::TimedOut => return refused("timeout".to_owned()),
        Err(e) => return refused(sys::errno_name(&e)),
    };
    // The user gave no TLS material; what a client with the system's roots would make of it is a fact all the same.
    let material = Material::load(&TlsOptions { insecure: false, ..request.tls.clone() });
    let host = &request.target.host;
    let wait = Wait { then: &mut || {}, settled: &AtomicBool::new(false) };
    let (mut tls, session) = handshake(stream, to, host, &material, deadline, wait);
    if let Some(mut session) = session {
        let left = deadline.saturating_duration_since(sys::now()).max(GRACE);
        let peer = Peer { to: to.to_string(), tls: true, private: false };
        let talk = converse(&mut session, peer, Login::default(), left, &mut || {});
        tls.speaks = Some(talk.speaks);
        tls.died_at_first_read = session.died;
    }
    tls
}

/// Offers plain RESP to a TLS target.
pub(super) fn plain(_request: &Request, to: SocketAddr, deadline: Instant) -> Option<Talk> {
    let deadline = deadline.max(sys::now() + GRACE);
    let mut stream = sys::net::connect(to, deadline).ok()?;
    let left = deadline.saturating_duration_since(sys::now());
    let peer = Peer { to: to.to_string(), tls: false, private: to.ip().to_canonical().is_loopback() };
    Some(converse(&mut stream, peer, Login::default(), left, &mut || {}))
}
