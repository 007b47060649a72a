//! The Redis host's end of a look whose client is elsewhere: watch the wire and remember the counters, then, once the
//! client has dialled, read everything.

use crate::diagnosis::{Case, Symptom};
use crate::evidence::{CaseFile, Seen, Server, Why};
use crate::probe::handshakes::{self, Watch};
use crate::probe::server::drops::DropWatch;
use crate::probe::{Request, client, containers, firewall, server};
use std::sync::Arc;
use std::time::Duration;

/// An end under way.
#[derive(Debug)]
pub(super) struct ServerEnd {
    watch: Result<Watch, Why>,
    drops: Option<Result<DropWatch, Why>>,
    rules: firewall::Rules,
    trace: Option<Result<firewall::Watched, Why>>,
}

impl ServerEnd {
    /// Before the client dials; in the network namespace that is to be watched.
    pub(super) fn start(request: &Request) -> Self {
        let drops = request.trace.then(DropWatch::start);
        let watch = Watch::start();
        let trace = request.follow.then(|| firewall::Watched::start(request.target.port));
        Self { watch, drops, rules: firewall::read(), trace }
    }

    /// After it has: `file` holds the client's evidence, and gets the server's.
    pub(super) fn finish(self, request: &Request, file: &mut CaseFile) {
        let port = file.ask.port;
        let dials = file.client.connect.get().cloned().unwrap_or_default();
        let (syn, unanswered) = match self.watch {
            Ok(watch) => watch.finish(&dials, port, server::xdp()),
            Err(why) => (handshakes::unseen(why), Vec::new()),
        };
        // Without a SYN of ours that came to nothing here, there is no reason to ask for.
        let drop = match self.drops.filter(|_| !unanswered.is_empty()) {
            Some(Ok(drops)) => drops.finish(&unanswered),
            Some(Err(why)) => Seen::unknown(why, Duration::ZERO, server::drops::BY_HAND),
            None => Seen::NotRun,
        };
        let traced = self.trace.map(|t| t.map(|t| t.finish(&dials)));
        let before = firewall::Before { rules: self.rules, traced };
        let request = &Request { before: Some(Arc::new(before)), trace: false, ..request.clone() };
        file.server = Server { syn, standing: client::standing::look(), ..server::base(request, file) };
        let healthy = Case::new(file).symptom == Symptom::Pong;
        if healthy && !request.everything {
            server::beside_a_pong(request, file);
        } else {
            server::everything(request, file);
            file.server.drop = drop;
        }
        if containers::wanted(request, file, healthy) {
            containers::look_at_server(request, file);
        }
    }
}
