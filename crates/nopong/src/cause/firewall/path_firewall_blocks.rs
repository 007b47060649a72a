//! Something between client and Redis host stops the connection: a router, a middlebox.

use super::shared::{answered_by_icmp, foreign_rst, reach, rejected};
use crate::cause::common::{meta, on_link, own_output, source_or_blank};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
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
        let mut reasons = Vec::new();
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
        if case.dials().iter().any(|d| on_link(case, d.to.ip()) == Some(true)) {
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
    use crate::cause::testing::{errno, first, on_server, refused, rules_out, seen, silent, timed_out};
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::client::Icmp;

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

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&PathFirewallBlocks, &timed_out()));
    }
}
