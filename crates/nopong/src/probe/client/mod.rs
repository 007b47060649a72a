//! The client's ladder: name, route, connect, TLS, conversation; each stage only when the one before let it.

mod dial;
mod ladder;
mod name;
mod offer;
mod reach;
mod route;
pub mod standing;
pub mod talk;
mod tls;
mod unix;

use super::Request;
use crate::evidence::{CaseFile, Client};

/// Resolves the name and decides whether the target is this machine (`ask.local`).
pub fn find(request: &Request, file: &mut CaseFile) {
    if file.ask.unix.is_some() {
        file.ask.local = true;
        return;
    }
    name::find(request, file);
}

/// Dials every address and talks to what answers.
pub fn ladder(request: &Request, file: &CaseFile, client: &mut Client) {
    if let Some(path) = &file.ask.unix {
        ladder::unix(request, path, client);
        return;
    }
    ladder::climb(request, file, client);
}

/// What is worth a look only when something failed: resolvers one by one, neighbours, the other protocol, limits, own rules.
pub fn after_failure(_request: &Request, file: &mut CaseFile) {
    file.client.firewall = super::firewall::of_client(file);
}
