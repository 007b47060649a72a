//! The Redis host's side: sockets, processes, units, logs, configuration, storage, kernel, firewall.

use super::Request;
use crate::evidence::{CaseFile, Server};

/// Listening sockets, Redis processes and own addresses: wanted in every case, read beside the dial.
pub fn base(_request: &Request, _file: &CaseFile) -> Server {
    Server::default()
}

/// What a PONG on the Redis host still needs, to answer for clients elsewhere: configuration and rules. Must stay cheap.
pub fn beside_a_pong(_request: &Request, _file: &mut CaseFile) {}

/// Everything, in parallel: after a failure.
pub fn everything(_request: &Request, _file: &mut CaseFile) {}
