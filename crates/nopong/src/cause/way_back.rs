//! What the Redis host's own routing does with its answer to the client.

use crate::diagnosis::{Case, Journey};
use crate::evidence::client::RouteOutcome;
use crate::evidence::server::WayBack;

/// The answer cannot leave the Redis host for the client.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// Why, in a sentence.
    pub(crate) says: String,
    /// Nothing that is not known can change it.
    pub(crate) sure: bool,
}

/// The way back to the client, where it was looked at.
pub(crate) fn of_client<'a>(case: &Case<'a>) -> Option<&'a WayBack> {
    let known = case.file.server.way_back.get()?;
    match case.journey() {
        Journey::Arrived { there, .. } => {
            let same = |w: &&WayBack| w.client == there.client.ip().to_canonical();
            known.iter().find(same)
        }
        _ => known.first(),
    }
}

/// Whether it is known that no answer leaves for it. A SYN-ACK that was seen to leave says the contrary.
pub(crate) fn blocked(case: &Case<'_>) -> Option<Blocked> {
    let way = of_client(case)?;
    // An answer was due and none was seen to leave, not even a refusal.
    let mute = match case.journey() {
        Journey::Arrived { there, .. } if there.ack_out > 0 || there.rst_out > 0 => return None,
        Journey::Arrived { .. } => true,
        _ => false,
    };
    let (db, client) = (case.server_called(), way.client);
    let says = match &way.outcome {
        RouteOutcome::Forbidden { kind } => {
            format!("the routing of {db} has a {kind} rule or route for answers to {client}")
        }
        RouteOutcome::None { errno } => format!("{db} has no route back to {client} ({errno})"),
        RouteOutcome::Via { local: true, dev, .. } => {
            format!("{client} is an address of {db} itself ({dev}) as well: its answers do not leave")
        }
        // The neighbour table tells of this moment; whether an answer was due is known only where it was watched.
        RouteOutcome::Via { dev, gateway, .. } if mute && unanswered(way) => match gateway {
            Some(hop) => {
                format!("{db} answers {client} by way of {hop} on {dev}, and nobody answers there for {hop}")
            }
            None => format!(
                "{db} takes {client} to be on its own link {dev}, where nobody answers for that address"
            ),
        },
        RouteOutcome::Via { .. } => return None,
    };
    Some(Blocked { says, sure: way.doubt.is_none() })
}

fn unanswered(way: &WayBack) -> bool {
    matches!(way.link.as_deref(), Some("failed" | "incomplete"))
}

/// Strict reverse-path filtering where the client's SYN came in, with a way back by another interface: the kernel drops it
/// (net/ipv4/fib_frontend.c, __fib_validate_source).
pub(crate) fn reverse_path(case: &Case<'_>) -> Option<String> {
    let Journey::Arrived { there, .. } = case.journey() else { return None };
    let way = of_client(case)?;
    let came = way.came_by.as_deref()?;
    match &way.outcome {
        RouteOutcome::Via { dev, local: false, .. }
            if dev != came && way.rp_filter == Some(1) && there.ack_out == 0 =>
        {
            Some(format!(
                "strict reverse-path filtering on {came} (rp_filter 1), and the way back to {} is {dev}",
                way.client
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::blocked;
    use crate::cause::testing::{apart, first, handshake, seen, timed_out, watched};
    use crate::diagnosis::{Band, Case};
    use crate::evidence::CaseFile;
    use crate::evidence::client::RouteOutcome;
    use crate::evidence::server::WayBack;

    fn with(mut file: CaseFile, outcome: RouteOutcome, link: Option<&str>, doubt: Option<&str>) -> CaseFile {
        file.server.way_back = seen(vec![WayBack {
            client: "10.0.0.7".parse().unwrap(),
            served: "10.0.0.5".parse().unwrap(),
            outcome,
            link: link.map(str::to_owned),
            came_by: Some("eth0".to_owned()),
            rp_filter: Some(0),
            doubt: doubt.map(str::to_owned),
        }]);
        file
    }

    fn arrived(ack_out: u32) -> CaseFile {
        watched(apart(timed_out(), "10.0.0.5"), vec![handshake(true, 2, ack_out)])
    }

    fn prohibit() -> RouteOutcome {
        RouteOutcome::Forbidden { kind: "prohibit".to_owned() }
    }

    fn via(gateway: &str) -> RouteOutcome {
        RouteOutcome::Via {
            dev: "eth0".to_owned(),
            source: None,
            gateway: gateway.parse().ok(),
            local: false,
        }
    }

    #[test]
    fn a_way_back_that_is_forbidden_is_the_cause() {
        let file = with(arrived(0), prohibit(), None, None);
        assert_eq!(first(&file), Some(("host-unreachable", Band::Confirmed)));
        let file = with(arrived(0), via("10.0.0.1"), Some("failed"), None);
        assert_eq!(first(&file), Some(("host-unreachable", Band::Confirmed)));
    }

    #[test]
    fn not_where_an_answer_left_or_something_is_not_known() {
        assert!(blocked(&Case::new(&with(arrived(2), prohibit(), None, None))).is_none());
        assert!(blocked(&Case::new(&with(arrived(0), via("10.0.0.1"), Some("reachable"), None))).is_none());
        let file = with(arrived(0), prohibit(), None, Some("a mark"));
        assert_ne!(first(&file).map(|(_, band)| band), Some(Band::Confirmed));
    }

    #[test]
    fn a_next_hop_that_was_not_needed_accuses_nobody() {
        let file = with(apart(timed_out(), "10.0.0.5"), via("10.0.0.1"), Some("failed"), None);
        assert!(blocked(&Case::new(&file)).is_none());
    }
}
