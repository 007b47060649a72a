//! The client writes to a replica that takes only reads.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::Case;

/// See the module.
#[derive(Debug)]
pub(super) struct ReadOnlyReplica;

static META: Meta = Meta {
    id: "read-only-replica",
    category: Category::Health,
    stage: Stage::Ready,
    title: "this is a replica: it takes no writes",
    masked_by: &["instance-hijacked"],
    settled_by: &["inside"],
};

/// The role and the primary, as INFO tells them.
fn replica(case: &Case<'_>) -> Option<Reason> {
    let id = runtime::info_is(case, "role", "slave").or_else(|| runtime::info_is(case, "role", "replica"))?;
    if runtime::info_is(case, "slave_read_only", "0").is_some() {
        return None;
    }
    let of = match (runtime::info(case, "master_host"), runtime::info(case, "master_port")) {
        (Some((_, host)), Some((_, port))) => format!(" of {host}:{port}"),
        _ => String::new(),
    };
    Some(Reason::confirms(id, format!("INFO says that it is a read-only replica{of}")))
}

fn refusal<'a>(case: &Case<'a>) -> Option<&'a str> {
    runtime::replied(case, "READONLY").or_else(|| {
        let reply = case.file.client.topology.get()?.probe_reply.as_ref()?;
        reply.error().filter(|_| reply.word() == Some("READONLY"))
    })
}

impl Cause for ReadOnlyReplica {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let Some(text) = refusal(case) else { return Vec::new() };
        let mut reasons = vec![Reason::confirms("protocol", format!("it answers: {text}"))];
        reasons.extend(replica(case));
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match (runtime::info(case, "master_host"), runtime::info(case, "master_port")) {
            (Some((_, host)), Some((_, port))) => {
                format!("{} is a read-only replica of {host}:{port}", case.target())
            }
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let cli = common::cli(case);
        Some(
            Fix::new(Risk::Advice, "let writers dial the primary")
                .run("who is the primary", format!("{cli} ROLE"))
                .step("give the application the primary's address; where Sentinel or a cluster moves it, a client that asks them")
                .step("after a failover: restart clients that keep the old address, and check what the DNS name points to"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if refusal(case).is_some() {
            return None;
        }
        let reason = replica(case)?;
        Some(Latent {
            place: Place::Warning,
            title: format!("{}: writes are refused", self.title(case)),
            reasons: vec![reason],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ReadOnlyReplica;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};

    #[test]
    fn confirms_by_the_reply() {
        let file = ping_error("READONLY You can't write against a read only replica.");
        assert_eq!(first(&file), Some(("read-only-replica", Band::Confirmed)));
    }

    #[test]
    fn warns_beside_a_pong() {
        let file = pong(&[
            ("role", "slave"),
            ("master_host", "10.0.0.9"),
            ("master_port", "6379"),
            ("master_link_status", "up"),
        ]);
        let diagnosis = diagnose(&file);
        assert!(diagnosis.pong);
        assert_eq!(diagnosis.warnings[0].cause.meta().id, "read-only-replica");
    }

    #[test]
    fn silent_at_a_primary() {
        assert!(silent(&ReadOnlyReplica, &pong(&[("role", "master")])));
        assert!(silent(&ReadOnlyReplica, &refused()));
    }
}
