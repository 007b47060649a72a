//! The Redis host's end of a look whose client is elsewhere: watch the wire and remember the counters, then, once the
//! client has dialled, read everything.

use crate::diagnosis::{Case, Symptom};
use crate::evidence::{CaseFile, Server, Why};
use crate::probe::handshakes::{self, Watch};
use crate::probe::{Request, client, containers, firewall, server};
use std::sync::Arc;

/// An end under way.
#[derive(Debug)]
pub(super) struct ServerEnd {
    watch: Result<Watch, Why>,
    rules: Arc<firewall::Rules>,
}

impl ServerEnd {
    /// Before the client dials; in the network namespace that is to be watched.
    pub(super) fn start() -> Self {
        let watch = Watch::start();
        Self { watch, rules: Arc::new(firewall::read()) }
    }

    /// After it has: `file` holds the client's evidence, and gets the server's.
    pub(super) fn finish(self, request: &Request, file: &mut CaseFile) {
        let port = file.ask.port;
        let dials = file.client.connect.get().cloned().unwrap_or_default();
        let syn = match self.watch {
            Ok(watch) => watch.finish(&dials, port, server::xdp()),
            Err(why) => handshakes::unseen(why),
        };
        let request = &Request { before: Some(self.rules), trace: false, ..request.clone() };
        file.server = Server { syn, standing: client::standing::look(), ..server::base(request, file) };
        let healthy = Case::new(file).symptom == Symptom::Pong;
        if healthy && !request.everything {
            server::beside_a_pong(request, file);
        } else {
            server::everything(request, file);
        }
        if containers::wanted(request, file, healthy) {
            containers::look_at_server(request, file);
        }
    }
}
