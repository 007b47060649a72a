//! Semantics of the objects, in the form of the API.

mod policies;
mod property;
mod recorded;

use super::{Cluster, Question, excerpt, read};
use crate::evidence::kube::{Key, Kubernetes};
use serde_json::{Value, json};

/// Objects as a list of kubectl.
fn cluster(items: &[Value]) -> Cluster {
    let mut cluster = Cluster::default();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    read(list.as_bytes(), &mut cluster).unwrap();
    cluster
}

/// The excerpt for a client in pod web/worker-1 that dials `host`.
fn asked(cluster: &Cluster, host: &str, port: u16) -> Kubernetes {
    let client = Some(Key { namespace: "web".to_owned(), name: "worker-1".to_owned() });
    let host = host.to_owned();
    excerpt(cluster, &Question { host, port, client, objects_only: true, ..Question::default() })
}
