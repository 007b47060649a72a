//! A client for one mode, a server in the other: cluster against standalone.

use crate::cause::common::{cli, meta};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Reply;

/// See the module.
#[derive(Debug)]
pub(super) struct ModeMismatch;

static META: Meta = meta(
    "mode-mismatch",
    Category::Topology,
    Stage::Ready,
    "client and server do not agree whether this is a cluster",
    &["protocol", "topology"],
);

/// Replies that only come of such a disagreement (cluster.c, db.c).
fn says_so(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.starts_with("moved ")
        || lower.starts_with("ask ")
        || lower.contains("select is not allowed in cluster mode")
        || lower.contains("cluster support disabled")
        || lower.starts_with("crossslot")
}

impl Cause for ModeMismatch {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::ErrorReply {
            return Vec::new();
        }
        match case.error_reply().and_then(Reply::error) {
            Some(text) if says_so(text) => {
                vec![Reason::confirms("protocol", format!("the server answers: {text}"))]
            }
            Some(_) => {
                vec![Reason::rules_out("protocol", "the error speaks of something else than the mode")]
            }
            None => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match case.error_reply().and_then(Reply::error) {
            Some(text) if text.to_ascii_lowercase().contains("select is not allowed") => {
                let db = case.ask.db.unwrap_or_default();
                format!("the server is a cluster, which has database 0 only, and you ask for {db}")
            }
            Some(text) if text.to_ascii_lowercase().contains("cluster support disabled") => {
                "the client speaks cluster, and the server is none".to_owned()
            }
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "let client and server agree")
                .run("see the server's mode (redis_mode, cluster_enabled)", format!("{} INFO", cli(case)))
                .step("a cluster wants the client library's cluster class (RedisCluster, Redis.Cluster, JedisCluster) and database 0")
                .step("a server without cluster-enabled yes wants the plain one"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.symptom != Symptom::Pong {
            return None;
        }
        let topology = case.client.topology.get().filter(|t| t.mode == "cluster")?;
        let reply = topology.probe_reply.as_ref().filter(|r| r.word() == Some("MOVED"))?;
        Some(Latent {
            place: Place::Warning,
            title: "this is a node of a cluster: a client without cluster support gets MOVED for most keys"
                .to_owned(),
            reasons: vec![Reason::strong(
                "topology",
                format!("asked for a key, it answers: {}", reply.error().unwrap_or_default()),
            )],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ModeMismatch;
    use crate::cause::testing::{error, first, ping_error, pong_talk, refused, rules_out, silent, talks};
    use crate::diagnosis::Band;
    use crate::evidence::client::Talk;

    #[test]
    fn confirmed_by_what_only_a_cluster_says() {
        let select = Some(error("ERR SELECT is not allowed in cluster mode"));
        let file = talks(Talk { select, ..pong_talk(&[]) });
        assert_eq!(first(&file), Some(("mode-mismatch", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_another_error() {
        assert!(rules_out(&ModeMismatch, &ping_error("NOAUTH Authentication required.")));
    }

    #[test]
    fn silent_without_an_error() {
        assert!(silent(&ModeMismatch, &refused()));
    }
}
