//! Kubernetes: objects parsed, the excerpt that bears on the target, and its evaluation. Pure: no IO, no clock.
//!
//! `kubectl`'s answers and a saved list go the same way: `parse` bounds and reads them into a [`Cluster`], `excerpt`
//! takes what matters for one target, and the causes ask [`endpoints`], [`policy`], [`ports`] and [`links`] what it means.

mod cluster;
pub mod endpoints;
mod excerpt;
pub mod foresee;
pub mod health;
pub mod links;
pub mod names;
mod net;
mod parse;
pub mod path;
mod plugins;
pub mod policy;
pub mod ports;
mod selector;
#[cfg(test)]
mod tests;

pub use cluster::Cluster;
pub use excerpt::{Question, excerpt};
pub use parse::{MAX, read};
pub use selector::matches;

/// For the property test and the fuzz target: reads, takes the excerpt, judges.
#[doc(hidden)]
pub fn fuzz_objects(bytes: &[u8]) {
    let mut cluster = Cluster::default();
    if read(bytes, &mut cluster).is_err() {
        return;
    }
    let client = cluster.any_pod();
    let host = cluster
        .any_service()
        .map_or_else(|| "redis.prod.svc".to_owned(), |k| format!("{}.{}.svc", k.name, k.namespace));
    let question = Question { host, port: 6379, client, objects_only: true, ..Question::default() };
    let schema_version = crate::evidence::SCHEMA_VERSION;
    let mut file = crate::evidence::CaseFile { schema_version, ..Default::default() };
    file.ask.host.clone_from(&question.host);
    file.ask.port = question.port;
    let found = excerpt(&cluster, &question);
    file.client.kubernetes = crate::evidence::Seen::yes(found, std::time::Duration::ZERO, "");
    crate::evidence::bundle::fuzz_case(&file);
}
