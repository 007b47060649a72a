//! A look with its two ends on different machines: the client's end dials while the server's end watches, and both become
//! one case file.

mod serve;
mod server_end;
pub mod wire;

pub use serve::serve;

use super::{Request, after_ladder, begin, go_to_server, ladder};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::{CaseFile, Client, Seen, Server, Why, bundle, scrub};
use crate::sys;
use crate::vantage::{Far, Vantage, here};
use server_end::ServerEnd;
use std::net::IpAddr;
use std::time::Duration;
use wire::{Go, LINE, Order, Ready, Role};

/// How long the far end may take beyond what the network's own limits allow.
const PATIENCE: Duration = Duration::from_secs(20);
/// Network waits one after the other in the slowest look: name, connect, TLS, conversation, what follows a failure.
const WAITS: u32 = 6;

/// The server's end of this look.
enum End<'a> {
    None,
    Far(&'a Far),
    Here(ServerEnd),
}

/// Looks from both ends. What cannot be seen of the server's side is a fact with its reason; a client's end that is lost is
/// an error, for then nobody dialled.
pub fn look(request: &Request) -> Result<CaseFile, Why> {
    let started = sys::now();
    let mut lost = None;
    let mut server = match (&request.server_far, &request.server_at) {
        _ if request.light => End::None,
        (Some(Err(why)), _) => lose(&mut lost, why.clone()),
        (Some(Ok(far)), _) => match far.ask(&Order::of(request, Role::Server)) {
            Ok(()) => End::Far(far),
            Err(why) => lose(&mut lost, why),
        },
        (None, Some(at)) => start_here(request, at, &mut lost),
        (None, None) => End::None,
    };
    let mut file = begin_client(request)?;
    let mut at = request.server_at.clone();
    if matches!(server, End::None) && lost.is_none() && !request.light && is_ours(request, &file) {
        at = Some(Vantage::Local);
        server = start_here(request, &Vantage::Local, &mut lost);
    }
    if let End::Far(far) = server {
        let ready = far.answer(LINE, limit(request)).and_then(|line| read::<Ready>(&line));
        if let Err(why) = ready {
            server = lose(&mut lost, why);
        }
    }
    let near_server = !matches!(server, End::None) || lost.is_some();
    match &request.client_far {
        Some(far) => {
            let there = go(far, request, !near_server)?;
            if request.settings_there {
                file.ask = there.ask;
            } else {
                file.ask.local = there.ask.local;
            }
            let settings = if request.settings_there { there.client.settings } else { file.client.settings };
            file.client = Client { settings, ..there.client };
            if !near_server {
                file.server = there.server;
            }
            finish(request, server, &mut file, &mut lost);
            if Case::new(&file).symptom != Symptom::Pong || request.kube.live {
                super::client::kubernetes::after_failure(request, &mut file);
            }
        }
        None => {
            ladder(request, &mut file);
            let healthy = Case::new(&file).symptom == Symptom::Pong;
            let mut dialled = file.clone();
            // What follows a failure here and what is read there do not wait for each other.
            let seen = std::thread::scope(|scope| {
                let seen = scope.spawn(|| {
                    let mut lost = None;
                    finish(request, server, &mut dialled, &mut lost);
                    (dialled, lost)
                });
                after_ladder(request, healthy, &mut file);
                seen.join()
            });
            match seen {
                Ok((dialled, gone)) => {
                    file.server = dialled.server;
                    lost = lost.or(gone);
                }
                Err(_) => lost = lost.or(Some(Why::Panicked)),
            }
        }
    }
    place(request, &mut file, at.as_ref());
    if let Some(why) = lost {
        file.server = Server {
            standing: Seen::unknown(why, started.elapsed(), "sudo nopong …"),
            syn: Seen::NotRun,
            ..Server::default()
        };
    }
    let healthy = Case::new(&file).symptom == Symptom::Pong;
    if let Some(cloud) = super::cloud::start(request, &file, healthy) {
        file.client.cloud = cloud.join().unwrap_or_default();
    }
    file.took_ms = started.elapsed().as_secs_f64() * 1e3;
    Ok(file)
}

fn lose<'a>(lost: &mut Option<Why>, why: Why) -> End<'a> {
    *lost = Some(why);
    End::None
}

/// The client's end as far as the name. A far one is given the order, and answers when it is ready to dial.
fn begin_client(request: &Request) -> Result<CaseFile, Why> {
    let Some(far) = &request.client_far else { return Ok(begin(request)) };
    far.ask(&Order::of(request, Role::Client))?;
    let ready: Ready = read(&far.answer(LINE, limit(request))?)?;
    let mut file = super::empty(request);
    file.client.name = Seen::yes(
        crate::evidence::client::Name { addresses: ready.addresses, ..Default::default() },
        Duration::ZERO,
        "",
    );
    Ok(file)
}

/// The client dials from afar, and what it dials is an address of the machine we are on.
fn is_ours(request: &Request, file: &CaseFile) -> bool {
    let named = file.client.name.get().map_or(&[][..], |n| n.addresses.as_slice());
    let own: Vec<IpAddr> = sys::net::own_addresses();
    request.server_side
        && request.client_far.is_some()
        && named.iter().any(|ip| own.contains(ip) && !ip.is_loopback())
}

fn start_here<'a>(request: &Request, at: &Vantage, lost: &mut Option<Why>) -> End<'a> {
    // A thread of its own: a namespace that was entered is not left again.
    let started = std::thread::scope(|scope| {
        let start = || {
            go_to_server(&Request { server_at: Some(at.clone()), ..request.clone() }, false)?;
            Ok(ServerEnd::start(request))
        };
        scope.spawn(start).join().unwrap_or(Err(Why::Panicked))
    });
    match started {
        Ok(end) => End::Here(end),
        Err(why) => lose(lost, why),
    }
}

/// Lets a far client dial; its evidence.
fn go(far: &Far, request: &Request, server_side: bool) -> Result<CaseFile, Why> {
    far.ask(&Go { server_side })?;
    bundle::read(&far.answer(bundle::MAX, limit(request))?)
        .map_err(|e| Why::Garbled { what: format!("{}: {e}", far.place.called()) })
}

/// Lets the server's end read, now that the client has dialled.
fn finish(request: &Request, server: End<'_>, file: &mut CaseFile, lost: &mut Option<Why>) {
    match server {
        End::None => {}
        End::Here(end) => {
            let at = request.server_at.clone().unwrap_or_default();
            let request = &Request { server_at: Some(at), ..request.clone() };
            let done = std::thread::scope(|scope| {
                let file = &mut *file;
                let work = move || go_to_server(request, false).map(|()| end.finish(request, file));
                scope.spawn(work).join().unwrap_or(Err(Why::Panicked))
            });
            *lost = done.err();
        }
        End::Far(far) => {
            let there = far
                .ask(&shared(request, file))
                .and_then(|()| far.answer(bundle::MAX, limit(request)))
                .and_then(|line| {
                    bundle::read(&line)
                        .map_err(|e| Why::Garbled { what: format!("{}: {e}", far.place.called()) })
                });
            match there {
                Ok(there) => file.server = there.server,
                Err(why) => *lost = Some(why),
            }
        }
    }
}

/// What the Redis host's end needs of the client's: the dial and what came of it, not the application's settings.
fn shared(request: &Request, file: &CaseFile) -> CaseFile {
    let mut file = scrub(file.clone(), &request.target.secrets());
    (file.client.settings, file.client.limits) = (Seen::NotRun, Seen::NotRun);
    file
}

/// Notes where each side was seen from.
fn place(request: &Request, file: &mut CaseFile, at: Option<&Vantage>) {
    file.client_at = Some(match &request.client_far {
        Some(far) => far.place.clone(),
        None => here("local"),
    });
    file.server_at = match (&request.server_far, at) {
        (Some(far), _) => far.as_ref().ok().map(|far| far.place.clone()),
        (None, Some(Vantage::Local)) => Some(here("local")),
        (None, Some(_)) => None,
        (None, None) => file.client_at.clone(),
    };
}

fn limit(request: &Request) -> Duration {
    PATIENCE + request.timeout * WAITS
}

fn read<T: serde::de::DeserializeOwned>(line: &[u8]) -> Result<T, Why> {
    serde_json::from_slice(line)
        .map_err(|_| Why::Garbled { what: "the far nopong's answer makes no sense".to_owned() })
}
