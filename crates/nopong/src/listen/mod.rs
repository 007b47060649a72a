//! A stand-in for Redis that shows what an application really sends.
//!
//! Stores nothing, answers from nothing; connections, sizes and times are bounded.

mod answer;
mod heard;
mod hello;
mod serve;

pub use heard::{Auth, Heard, Protocol, TlsHeard, Told};
pub use hello::ClientHello;

use crate::evidence::Why;
use crate::sys::{
    self,
    serve::{Accepted, Listener},
};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Connections served at a time; further ones are closed at once.
const CLIENTS_MAX: usize = 64;
/// Clients reported.
const REPORTS_MAX: usize = 1000;

/// How to stand in.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// So long; without it until a signal.
    pub length: Option<Duration>,
    /// End after the first client.
    pub once: bool,
    /// With a certificate: TLS is spoken, and plain clients are heard all the same.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Listens; `ready` is told the address.
pub fn bind(at: SocketAddr) -> Result<Listener, Why> {
    Listener::bind(at).map_err(|e| match e.raw_os_error() {
        Some(nix::libc::EADDRINUSE) => Why::Failed { what: format!("{at} is taken (EADDRINUSE)") },
        Some(nix::libc::EADDRNOTAVAIL) => {
            Why::Failed { what: format!("no interface has {} (EADDRNOTAVAIL)", at.ip()) }
        }
        _ => sys::why(&at.to_string(), &e),
    })
}

/// Serves until the time is over, a signal comes, or `once` is fulfilled. `tell` gets each client when it has said what
/// it wants: closed, or quiet for a while. `stop` is of [`sys::signals::stop`], taken before anybody was told to come.
pub fn serve(
    listener: &Listener,
    stop: BorrowedFd<'_>,
    options: &Options,
    tell: &mut dyn FnMut(&Heard),
) -> Result<Vec<Heard>, Why> {
    let started = sys::now();
    let (send, receive) = mpsc::channel::<Heard>();
    let (over, busy) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut all: Vec<Heard> = Vec::new();
    std::thread::scope(|scope| {
        loop {
            while let Ok(heard) = receive.try_recv() {
                tell(&heard);
                all.push(heard);
            }
            let left = options.length.map(|l| l.saturating_sub(started.elapsed()));
            if left.is_some_and(|l| l.is_zero()) || (options.once && !all.is_empty()) {
                break;
            }
            let slice = Duration::from_millis(100);
            match listener.accept(stop, left.map_or(slice, |l| l.min(slice))) {
                Accepted::Nobody => {}
                Accepted::Stopped => break,
                Accepted::Stream(stream, peer) => {
                    if busy.load(Ordering::Relaxed) >= CLIENTS_MAX || all.len() >= REPORTS_MAX {
                        continue;
                    }
                    busy.fetch_add(1, Ordering::Relaxed);
                    let (send, over, busy) = (send.clone(), &over, &busy);
                    let client = move || {
                        serve::client(stream, peer, options, over, &send);
                        busy.fetch_sub(1, Ordering::Relaxed);
                    };
                    drop(std::thread::Builder::new().spawn_scoped(scope, client));
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    // Those that were still talking.
    while let Ok(heard) = receive.try_recv() {
        tell(&heard);
        all.push(heard);
    }
    Ok(all)
}
