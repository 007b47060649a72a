//! The server has as many clients as maxclients allows.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Reply, Talk};

/// See the module.
#[derive(Debug)]
pub(super) struct ClientsExhausted;

static META: Meta = Meta {
    id: "clients-exhausted",
    category: Category::Capacity,
    stage: Stage::Protocol,
    title: "the server has as many clients as it takes",
    masked_by: &[],
    settled_by: &["inside"],
};

/// From this share of maxclients a warning is due.
const NEARLY: f64 = 0.9;

/// networking.c, acceptCommonHandler: "ERR max number of clients reached", or "… + cluster connections …";
/// managed services word it in lower case.
fn refusal(talk: &Talk) -> Option<&str> {
    [&talk.unasked, &talk.ping, &talk.auth]
        .into_iter()
        .flatten()
        .filter_map(Reply::error)
        .find(|text| text.to_lowercase().contains("max number of clients"))
}

fn figures(case: &Case<'_>) -> Option<(u64, u64, &'static str)> {
    let (id, _) = runtime::info(case, "connected_clients")?;
    let used = runtime::number(case, "connected_clients")?
        + runtime::number(case, "cluster_connections").unwrap_or(0);
    let max = runtime::number(case, "maxclients")
        .or_else(|| runtime::config(case, "maxclients")?.1.parse().ok())
        .filter(|max| *max > 0)?;
    Some((used, max, id))
}

impl Cause for ClientsExhausted {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(text) = case.talk().and_then(refusal) {
            return vec![Reason::confirms("protocol", format!("it answers: {text}"))];
        }
        // Over TLS the server cannot say so: it drops the connection (networking.c, acceptCommonHandler).
        let dropped = matches!(case.symptom, Symptom::Reset | Symptom::Closed | Symptom::TlsFailed);
        if !dropped {
            return Vec::new();
        }
        if let Some(text) = case.server.inside.get().and_then(refusal) {
            return vec![Reason::confirms("inside", format!("through another door it answers: {text}"))];
        }
        match figures(case) {
            Some((used, max, id)) if used >= max => {
                vec![Reason::strong(id, format!("{used} clients of {max} are connected"))]
            }
            Some((used, max, id)) => {
                vec![Reason::rules_out(id, format!("{used} clients of {max} are connected"))]
            }
            None => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match figures(case) {
            Some((_, max, _)) => format!("the server has as many clients as it takes (maxclients {max})"),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let cli = common::cli(case);
        let port = case.ask.port;
        Some(
            Fix::new(Risk::Ask, "find who holds the connections; raise maxclients if they are all wanted")
                .run(
                    "on the Redis host: connections by client address",
                    format!("ss -Htn state established '( sport = :{port} )' | awk '{{print $4}}' | sort | uniq -c | sort -n | tail"),
                )
                .run("once a slot is free: which clients are idle", format!("{cli} CLIENT LIST"))
                .step("bound the pools of the applications: processes x pool size must stay below maxclients")
                .step(format!("if all are wanted: {cli} CONFIG SET maxclients N, then CONFIG REWRITE; the file limit must be N + 32 at least")),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let (used, max, id) = figures(case).filter(|(used, max, _)| *used as f64 >= *max as f64 * NEARLY)?;
        let says = format!("{used} clients of {max} are connected");
        Some(Latent {
            place: Place::Warning,
            title: format!("the server is close to its limit of clients: {says}"),
            reasons: vec![Reason::confirms(id, says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ClientsExhausted;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::client::{Speaks, Talk};

    #[test]
    fn confirms_by_the_reply() {
        let unasked = Some(error("ERR max number of clients reached"));
        let file = talks(Talk { speaks: Speaks::Resp, unasked, ..Talk::default() });
        assert_eq!(first(&file), Some(("clients-exhausted", Band::Confirmed)));
    }

    #[test]
    fn free_slots_rule_it_out() {
        let mut file = on_server(mute(Speaks::Closed));
        file.server.inside = seen(pong_talk(&[("connected_clients", "3"), ("maxclients", "10000")]));
        assert!(rules_out(&ClientsExhausted, &file));
    }

    #[test]
    fn warns_before() {
        let file = pong(&[("connected_clients", "95"), ("maxclients", "100")]);
        assert_eq!(diagnose(&file).warnings[0].cause.meta().id, "clients-exhausted");
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&ClientsExhausted, &mute(Speaks::Closed)));
        assert!(silent(&ClientsExhausted, &pong(&[("connected_clients", "2"), ("maxclients", "100")])));
    }
}
