//! Something between client and Redis host stops the connection: a router, a middlebox.

use super::cloud_firewall_blocks::in_a_cloud;
use super::shared::{answered_by_icmp, foreign_rst, reach, rejected};
use crate::cause::common::{meta, on_link, own_output, source_or_blank};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Bearing, Case, Journey, Symptom};
use crate::evidence::client::Icmp;

/// See the module.
#[derive(Debug)]
pub(super) struct PathFirewallBlocks;

static META: Meta = meta(
    "path-firewall-blocks",
    Category::Firewall,
    Stage::Connect,
    "a firewall between the client and the Redis host stops the connection",
    &["connect", "firewall", "listener"],
);

/// Codes that only a rule sends: network, host and communication prohibited (RFC 1812, 5.2.7.1), port
/// unreachable from a router; ICMPv6 administratively prohibited, policy, reject route, port unreachable
/// (RFC 4443, 3.1).
fn of_a_rule(icmp: &Icmp) -> bool {
    if icmp.from.is_ipv4() {
        icmp.kind == 3 && matches!(icmp.code, 3 | 9 | 10 | 13)
    } else {
        icmp.kind == 1 && matches!(icmp.code, 1 | 4 | 5 | 6)
    }
}

/// What the two ends tell of the way between them; none where they do not decide.
fn between(case: &Case<'_>) -> Option<Vec<Reason>> {
    let db = case.server_called();
    match case.journey() {
        Journey::Arrived { there, back } if case.symptom == Symptom::TimedOut => {
            let (client, came) = (there.client, &there.dev);
            let dev = there.answered_by.as_ref().unwrap_or(came);
            if there.ack_out == 0 {
                let says =
                    format!("the SYN from {client} came in on {came} of {db}, and no answer left there");
                return Some(vec![Reason::rules_out("syn", says)]);
            }
            if back == Some(true) {
                let says = format!("the SYN-ACK of {db} came in at the client");
                return Some(vec![Reason::rules_out("client-syn", says)]);
            }
            let left = format!(
                "{db} took the SYN and answered: {} SYN-ACK to {client} left by {dev}",
                there.ack_out
            );
            let mut reasons = vec![Reason::strong("syn", left)];
            if there.answered_by.is_some() {
                let says = format!(
                    "that is another way than the SYN's, which came in on {}: what stands on either way sees half a connection",
                    there.dev
                );
                reasons.push(Reason::strong("syn", says));
            }
            if back == Some(false) {
                reasons.push(Reason::strong("client-syn", "none of them came in at the client"));
            }
            let others =
                case.client.syn.get().is_some_and(|s| s.other_ports.iter().any(|h| h.rst_in + h.ack_in > 0));
            if back == Some(false) && others && !in_a_cloud(case) {
                let says =
                    format!("answers of other ports of {db} do come in there: the way back filters by port");
                reasons.push(Reason::confirms("client-syn", says));
            }
            Some(reasons)
        }
        Journey::Arrived { there, .. } if there.rst_out > 0 => {
            Some(vec![Reason::rules_out("syn", format!("{db} itself sent the RST, by {}", there.dev))])
        }
        Journey::Lost { left: Some(false), .. } => {
            Some(vec![Reason::rules_out("client-syn", "our SYN did not even leave the client")])
        }
        Journey::Lost { left, others } => {
            let lost =
                format!("no SYN of ours came in at {db}, which has the address and whose wire was watched");
            let mut reasons = vec![Reason::strong("syn", lost)];
            if left == Some(true) {
                reasons.push(Reason::strong("client-syn", "they were seen to leave the client"));
            }
            if left == Some(true) && others && !in_a_cloud(case) {
                let says =
                    format!("our SYNs to other ports do come in at {db}: something between filters by port");
                reasons.push(Reason::confirms("syn", says));
            }
            Some(reasons)
        }
        Journey::Arrived { .. } | Journey::Unknown => None,
    }
}

impl Cause for PathFirewallBlocks {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let dialled = rejected(case.symptom) || case.symptom == Symptom::TimedOut;
        if !dialled && !matches!(case.symptom, Symptom::Reset | Symptom::Silent) || case.unix().is_some() {
            return Vec::new();
        }
        if case.ask.local {
            return vec![Reason::rules_out("route", "the connection does not leave this machine")];
        }
        let mut reasons = match between(case) {
            Some(told) if told.iter().any(|r| r.bearing == Bearing::RulesOut) => return told,
            told => told.unwrap_or_default(),
        };
        if let Some((dial, icmp)) = answered_by_icmp(case).and_then(|d| Some((d, d.icmp.as_ref()?))) {
            let stranger = icmp.from != dial.to.ip() && Some(icmp.from) != dial.from.map(|f| f.ip());
            if stranger && of_a_rule(icmp) {
                reasons.push(Reason::strong(
                    "connect",
                    format!("{} was sent by {}, which is not the host", icmp.name, icmp.from),
                ));
                reasons.push(Reason::strong(
                    "connect",
                    "a router sends this for a rule, not for a fault of the network",
                ));
            } else if stranger {
                reasons.push(Reason::weak(
                    "connect",
                    format!("{} was sent by {}, which is not the host", icmp.name, icmp.from),
                ));
            } else {
                reasons.push(Reason::rules_out(
                    "connect",
                    format!("{} was sent by {}: no router between", icmp.name, icmp.from),
                ));
            }
            return reasons;
        }
        if let Some((ttl, own)) = foreign_rst(case) {
            let says = format!("the RST came with TTL {ttl}; the host's own closed port answers with {own}");
            reasons.push(Reason::strong("connect", says));
            reasons.push(Reason::strong("connect", "another machine than the host sent it"));
            return reasons;
        }
        if case.symptom == Symptom::Refused
            && case.dials().iter().any(|d| d.rst.as_ref().is_some_and(|r| r.closed_port_ttl.is_some()))
        {
            return vec![Reason::against("connect", "the RST has the TTL of the host's own")];
        }
        if reasons.is_empty() && case.dials().iter().any(|d| on_link(case, d.to.ip()) == Some(true)) {
            reasons.push(Reason::against("route", "the host is on link: no router stands between"));
        }
        if let Some(reach) = reach(case).filter(|_| case.symptom == Symptom::TimedOut) {
            let last = reach.hops.iter().map(|h| h.ttl).max().unwrap_or(0);
            // Another port's SYNs get further: what stops these is a matter of the port, at that hop.
            if let Some(hop) = reach.other_hops.iter().filter(|h| h.ttl > last).min_by_key(|h| h.ttl) {
                let says = format!(
                    "SYNs to another port get past hop {last} to {}, those to port {} do not",
                    hop.from, case.ask.port
                );
                if last == 0 && own_output(case).is_none_or(|v| v.verdict != "accept") {
                    // Not even the first router answers: this machine's own rules do the same, and are not known.
                    reasons.push(Reason::weak("connect", says));
                } else {
                    reasons.push(Reason::strong("connect", says));
                    reasons.push(Reason::weak("connect", "something before that hop filters by port"));
                }
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let from = answered_by_icmp(case).and_then(|d| Some((d, d.icmp.as_ref()?)));
        match from {
            Some((dial, icmp)) if icmp.from != dial.to.ip() => {
                format!("{}, a router on the way, rejects the connection", icmp.from)
            }
            _ if let Journey::Arrived { there, .. } = case.journey()
                && let Some(by) = there.answered_by.as_ref().filter(|_| there.ack_out > 0) =>
            {
                format!(
                    "the answers of {} leave by {by}, not by {} where the SYN came in, and do not arrive",
                    case.server_called(),
                    there.dev
                )
            }
            _ if matches!(case.journey(), Journey::Arrived { there, .. } if there.ack_out > 0) => {
                format!("something between keeps the answers of {} from the client", case.server_called())
            }
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = case.ask.port;
        let to = case.dials().first().map(|d| d.to.ip().to_string()).unwrap_or_else(|| case.ask.host.clone());
        Some(
            Fix::new(Risk::Advice, "let the network between admit this one connection")
                .run("see how far packets to this port get", format!("traceroute -n -T -p {port} {}", crate::cause::common::sh(&to)))
                .step(format!("ask whoever runs the network between to admit TCP from {} to {to} port {port}, and the answers back", source_or_blank(case))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::PathFirewallBlocks;
    use crate::cause::testing::{
        apart, errno, first, handshake, on_server, refused, rules_out, seen, silent, timed_out, watched,
    };
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::client::Icmp;
    use crate::evidence::ends::{Handshake, Handshakes};

    fn icmp(mut file: CaseFile, from: &str, code: u8, name: &str) -> CaseFile {
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].watched = true;
        dials[0].icmp = Some(Icmp { from: from.parse().unwrap(), kind: 3, code, name: name.to_owned() });
        file.client.connect = seen(dials);
        file
    }

    #[test]
    fn a_prohibition_from_a_router_makes_it_likely_never_confirmed() {
        let file = icmp(errno("EHOSTUNREACH"), "10.0.9.1", 13, "icmp-admin-prohibited");
        assert_eq!(first(&file), Some(("path-firewall-blocks", Band::Likely)));
        let file = icmp(refused(), "10.0.9.1", 3, "icmp-port-unreachable");
        assert_eq!(first(&file), Some(("path-firewall-blocks", Band::Likely)));
    }

    #[test]
    fn ruled_out_on_this_machine_and_by_the_hosts_own_error() {
        assert!(rules_out(&PathFirewallBlocks, &on_server(timed_out())));
        assert!(rules_out(&PathFirewallBlocks, &icmp(refused(), "10.0.0.5", 3, "icmp-port-unreachable")));
    }

    /// The client's wire as well: what left, what came back, and another port that works.
    fn both(there: Vec<Handshake>, other_port: bool) -> CaseFile {
        let mut file = watched(apart(timed_out(), "10.0.0.5"), there);
        let at_client = |port: u16, rst_in: u32| Handshake {
            server: format!("10.0.0.5:{port}").parse().unwrap(),
            syn_in: 0,
            syn_out: 2,
            rst_in,
            ..handshake(true, 0, 0)
        };
        let mut syn = Handshakes { target: vec![at_client(6379, 0)], ..Handshakes::default() };
        if other_port {
            syn.other_ports.push(at_client(22, 1));
            if let crate::evidence::Seen::Yes(fact) = &mut file.server.syn {
                fact.value.other_ports.push(handshake(true, 1, 0));
            }
        }
        file.client.syn = seen(syn);
        file
    }

    #[test]
    fn a_syn_that_leaves_and_does_not_come_in_is_lost_between() {
        assert_eq!(first(&both(Vec::new(), false)), Some(("path-firewall-blocks", Band::Likely)));
        assert_eq!(first(&both(Vec::new(), true)), Some(("path-firewall-blocks", Band::Confirmed)));
        let mut cloud = both(Vec::new(), true);
        cloud.server_at.as_mut().unwrap().vendor = Some("Amazon EC2".to_owned());
        assert_ne!(first(&cloud).unwrap().1, Band::Confirmed);
    }

    #[test]
    fn an_answer_that_leaves_and_does_not_come_back_is_lost_between() {
        assert_eq!(
            first(&both(vec![handshake(true, 2, 2)], true)),
            Some(("path-firewall-blocks", Band::Confirmed))
        );
        assert_eq!(
            first(&both(vec![handshake(true, 2, 2)], false)),
            Some(("path-firewall-blocks", Band::Likely))
        );
        assert!(rules_out(&PathFirewallBlocks, &both(vec![handshake(true, 2, 0)], true)));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&PathFirewallBlocks, &timed_out()));
    }
}
