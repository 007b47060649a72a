//! A replica without its primary, told to answer nothing rather than old data.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::Case;

/// See the module.
#[derive(Debug)]
pub(super) struct PrimaryLinkDown;

static META: Meta = Meta {
    id: "primary-link-down",
    category: Category::Health,
    stage: Stage::Ready,
    title: "the replica has lost its primary",
    masked_by: &["instance-hijacked"],
    settled_by: &["inside"],
};

/// `10.0.0.9:6379`, as the replica knows it.
fn primary(case: &Case<'_>) -> Option<String> {
    let host = runtime::info(case, "master_host")?.1;
    let port = runtime::info(case, "master_port")?.1;
    Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

fn link(case: &Case<'_>) -> Option<Reason> {
    let id = runtime::info_is(case, "master_link_status", "down")?;
    let since = runtime::number(case, "master_link_down_since_seconds");
    let since = since.map(|s| format!(" for {s} s")).unwrap_or_default();
    let to = primary(case).map(|p| format!(" to {p}")).unwrap_or_default();
    let sync = runtime::info_is(case, "master_sync_in_progress", "1")
        .map(|_| ", a synchronisation is under way")
        .unwrap_or_default();
    Some(Reason::confirms(id, format!("the link{to} is down{since}{sync}")))
}

impl Cause for PrimaryLinkDown {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let Some(text) = runtime::replied(case, "MASTERDOWN") else { return Vec::new() };
        let mut reasons = vec![Reason::confirms("protocol", format!("it answers: {text}"))];
        reasons.extend(link(case));
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match primary(case) {
            Some(primary) => format!("{} is a replica that has lost its primary {primary}", case.target()),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let primary = primary(case);
        let fix = Fix::new(Risk::Ask, "bring the link to the primary back, or dial the primary");
        let fix = match &primary {
            Some(primary) => fix.run(
                "on the replica's host: why it cannot reach the primary",
                format!("nopong {}", crate::text::shell(&format!("redis://{primary}"))),
            ),
            None => fix.run("which primary it looks for", format!("{} INFO replication", common::cli(case))),
        };
        Some(
            fix.step("a primary with a password needs masterauth (and masteruser) on the replica, one with TLS tls-replication yes")
                .step("if the primary is gone for good: promote this one with REPLICAOF NO ONE, once you know that no other primary lives"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if runtime::replied(case, "MASTERDOWN").is_some() {
            return None;
        }
        let reason = link(case)?;
        Some(Latent {
            place: Place::Warning,
            title: format!("{}: it answers with old data", self.title(case)),
            reasons: vec![reason],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PrimaryLinkDown;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};

    #[test]
    fn confirms_by_the_reply() {
        let file =
            ping_error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
        assert_eq!(first(&file), Some(("primary-link-down", Band::Confirmed)));
    }

    #[test]
    fn warns_when_old_data_is_served() {
        let file = pong(&[
            ("role", "slave"),
            ("master_link_status", "down"),
            ("master_host", "10.0.0.9"),
            ("master_port", "6379"),
        ]);
        let warnings = diagnose(&file).warnings;
        let warning = warnings.iter().find(|w| w.cause.meta().id == "primary-link-down").unwrap();
        assert!(warning.title.contains("10.0.0.9:6379"));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&PrimaryLinkDown, &pong(&[("role", "slave"), ("master_link_status", "up")])));
        assert!(silent(&PrimaryLinkDown, &refused()));
    }
}
