//! The client's ladder: name, route, connect, TLS, conversation; each stage only when the one before let it.

pub mod standing;

use super::Request;
use crate::evidence::{CaseFile, Client};

/// Resolves the name and decides whether the target is this machine (`ask.local`).
pub fn find(_request: &Request, file: &mut CaseFile) {
    file.ask.local = file.ask.unix.is_some();
}

/// Dials every address and talks to what answers.
pub fn ladder(_request: &Request, _file: &CaseFile, _client: &mut Client) {}

/// What is worth a look only when something failed: resolvers one by one, neighbours, the other protocol, limits, own rules.
pub fn after_failure(_request: &Request, _file: &mut CaseFile) {}
