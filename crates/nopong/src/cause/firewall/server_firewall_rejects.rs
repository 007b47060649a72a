//! The Redis host's own firewall answers the connection with a rejection.

use super::server_firewall_drops::outside;
use super::shared::{
    allow, answered_by_icmp, foreign_rst, never_came_in, rejected, speaks_against, stopped_by, this_host,
    undecided,
};
use crate::cause::common::{meta, outside_input, own_input, rule, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::Verdict;

/// See the module.
#[derive(Debug)]
pub(super) struct ServerFirewallRejects;

static META: Meta = Meta {
    masked_by: &["client-firewall-blocks"],
    ..meta(
        "server-firewall-rejects",
        Category::Firewall,
        Stage::Connect,
        "the Redis host's firewall rejects the connection",
        &["firewall", "listener", "drop"],
    )
};

/// A nat rule sends the connection to a port of this host where nobody listens: the kernel refuses it then.
fn redirected(case: &Case<'_>, verdict: &Verdict) -> Option<String> {
    let port = verdict.to_port.filter(|_| verdict.verdict == "accept")?;
    let listeners = case.server.listener.get()?;
    (!listeners.tcp.iter().any(|l| l.at.port() == port)).then(|| {
        format!(
            "a nat rule of this host sends connections from {} to port {port}, where nobody listens",
            verdict.source
        )
    })
}

/// The same for clients elsewhere, whose packets come in by PREROUTING.
fn redirects_others(case: &Case<'_>, verdict: &Verdict) -> Option<Latent> {
    let says = redirected(case, verdict)?;
    let port = case.ask.port;
    Some(Latent {
        place: if case.symptom == Symptom::Pong { Place::Warning } else { Place::Behind },
        title: format!("other hosts are refused: {says}"),
        reasons: vec![Reason::confirms("firewall", says)],
        fix: Some(
            Fix::new(
                Risk::Advice,
                format!("take port {port} out of the nat rule, or let its new port be served"),
            )
            .run("find it", "nft list ruleset | grep -nE 'redirect|dnat'; iptables-save -t nat".to_owned()),
        ),
    })
}

fn on_server(case: &Case<'_>) -> Option<Vec<Reason>> {
    let verdict = own_input(case)?;
    if let Some(says) = redirected(case, verdict).filter(|_| case.symptom == Symptom::Refused) {
        return Some(vec![Reason::confirms("firewall", says)]);
    }
    Some(match verdict.verdict.as_str() {
        "reject" => {
            let says = match &verdict.with {
                Some(with) => format!("rejected with {with} by the rule {}", rule(verdict)),
                None => format!("rejected by the rule {}", rule(verdict)),
            };
            stopped_by(verdict, "firewall", says)
        }
        "accept" | "drop" => {
            let says = format!("the rules here {} the connection: {}", verdict.verdict, verdict.because);
            vec![speaks_against(verdict, case.server.firewall.get(), "firewall", says)]
        }
        _ => vec![undecided(verdict)],
    })
}

/// What the answer itself tells: TCP sends a RST for a closed port, never an ICMP error (RFC 9293, 3.5.2).
fn on_the_wire(case: &Case<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(dial) = answered_by_icmp(case) {
        let Some(icmp) = &dial.icmp else { return reasons };
        let own = dial.from.map(|f| f.ip()) == Some(icmp.from) && icmp.from != dial.to.ip();
        if icmp.from == dial.to.ip() && !own {
            reasons.push(Reason::strong(
                "connect",
                format!(
                    "{} itself answered {}: a closed port answers with RST, only a rule sends this",
                    icmp.from, icmp.name
                ),
            ));
            reasons
                .push(Reason::strong("connect", "the error comes from the host itself, not from a router"));
        } else {
            reasons.push(Reason::against(
                "connect",
                format!("{} was sent by {}, not by the host", icmp.name, icmp.from),
            ));
        }
        return reasons;
    }
    if let Some((ttl, own)) = foreign_rst(case) {
        reasons.push(Reason::against(
            "connect",
            format!("the RST has TTL {ttl}, the host's own have {own}: another machine sent it"),
        ));
    } else if case.symptom == Symptom::Refused && case.dials().iter().any(|d| d.rst.is_some()) {
        reasons.push(Reason::against("connect", "a RST answered: most rules reject with ICMP"));
    }
    reasons
}

/// The rule that lets clients in is only there until firewalld reads its files again.
fn lost_at_reload(case: &Case<'_>, verdict: &Verdict) -> Option<Latent> {
    let zone = verdict.owner.as_deref()?.strip_prefix("firewalld, zone ")?;
    let saved = case.server.firewall.get()?.permanent.as_ref()?;
    if saved.zone != zone || saved.by.is_some() {
        return None;
    }
    let port = case.ask.port;
    let says = format!(
        "{} is let in by the rule {}, and nothing in {} admits it to port {port}",
        verdict.source,
        rule(verdict),
        saved.file
    );
    let title = format!(
        "firewalld, zone {zone}: port {port} is open now, and not in the permanent configuration: lost at the next reload"
    );
    let fix = Fix::new(Risk::Ask, "keep what is loaded now")
        .run("see the difference", format!("firewall-cmd --permanent --zone={} --list-all", sh(zone)))
        .run("make everything that is loaded permanent", "firewall-cmd --runtime-to-permanent".to_owned());
    Some(Latent {
        place: Place::Warning,
        title,
        reasons: vec![Reason::confirms("firewall", says)],
        fix: Some(fix),
    })
}

impl Cause for ServerFirewallRejects {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !rejected(case.symptom) {
            // The answer passes this host's own rules too, and one for everything swallows it.
            let refused = own_input(case).filter(|v| v.verdict == "reject");
            if let (Symptom::TimedOut, Some(verdict)) = (case.symptom, refused) {
                let says =
                    format!("rejected by the rule {}, and the answer is lost on its way", rule(verdict));
                let kernel = case.server.drop.get().is_some_and(|d| d.reasons.contains_key("NETFILTER_DROP"));
                let traced = verdict.traced.is_some() || verdict.moved == Some(true) || kernel;
                return vec![if traced {
                    Reason::confirms("firewall", says)
                } else {
                    Reason::strong("firewall", says)
                }];
            }
            return if case.symptom == Symptom::TimedOut && case.unix().is_none() {
                vec![Reason::rules_out("connect", "nobody answered; a rejection is an answer")]
            } else {
                Vec::new()
            };
        }
        if let Some(reason) = never_came_in(case) {
            return vec![reason];
        }
        if let Some(reasons) = on_server(case) {
            return reasons;
        }
        if case.server.drop.get().is_some_and(|d| d.reasons.contains_key("NO_SOCKET")) {
            return vec![Reason::rules_out(
                "drop",
                "the kernel found no socket for our packets (NO_SOCKET): they passed the firewall",
            )];
        }
        let mut reasons = on_the_wire(case);
        if case.server_seen() && case.symptom == Symptom::Refused {
            let listener = case.dialled().into_iter().find_map(|to| Some((to, case.listener_for(to)?)));
            reasons.push(match listener {
                Some((to, listener)) => Reason::strong(
                    "listener",
                    format!("{} is listened for on {}, and yet refused", to, listener.at),
                ),
                None => Reason::against("listener", "nothing listens there: the refusal needs no rule"),
            });
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match own_input(case).filter(|v| v.verdict == "reject") {
            Some(verdict) => {
                format!("the firewall of {} rejects the connection: {}", this_host(case), rule(verdict))
            }
            None => {
                own_input(case).and_then(|v| redirected(case, v)).unwrap_or_else(|| META.title.to_owned())
            }
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let verdict = own_input(case).filter(|v| v.verdict == "reject").or_else(|| outside_input(case));
        let mut fix = allow(case, verdict);
        if !case.server_seen() {
            fix.risk = Risk::Advice;
        }
        Some(fix)
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let verdict = outside_input(case)?;
        if verdict.verdict == "accept" {
            return redirects_others(case, verdict).or_else(|| lost_at_reload(case, verdict));
        }
        (verdict.verdict == "reject").then(|| outside(case, verdict, "rejects", self.fix(case)))?
    }
}

#[cfg(test)]
mod tests {
    use super::ServerFirewallRejects;
    use crate::cause::testing::{
        bearings, errno, first, on_server, refused, rules_out, running, seen, silent, timed_out,
    };
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Icmp, Rst};
    use crate::evidence::server::{Drops, Firewall, Verdict};

    fn judged(mut file: CaseFile, verdict: &str) -> CaseFile {
        file.server.firewall = seen(Firewall {
            verdicts: vec![Verdict {
                source: "10.0.0.7".to_owned(),
                destination: "10.0.0.5:6379".to_owned(),
                hook: "input".to_owned(),
                verdict: verdict.to_owned(),
                with: Some("tcp-reset".to_owned()),
                rule: Some("tcp dport 6379 reject with tcp reset".to_owned()),
                chain: Some("inet filter input".to_owned()),
                ..Verdict::default()
            }],
            ..Firewall::default()
        });
        file
    }

    fn icmp(mut file: CaseFile, from: &str) -> CaseFile {
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].watched = true;
        dials[0].icmp = Some(Icmp {
            from: from.parse().unwrap(),
            kind: 3,
            code: 3,
            name: "icmp-port-unreachable".to_owned(),
        });
        file.client.connect = seen(dials);
        file
    }

    #[test]
    fn confirmed_by_the_verdict_even_with_nothing_listening_there() {
        let file = judged(running(on_server(refused()), "127.0.0.1:6379"), "reject");
        assert_eq!(first(&file), Some(("server-firewall-rejects", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_an_accept_or_by_the_kernel() {
        assert!(rules_out(&ServerFirewallRejects, &judged(on_server(refused()), "accept")));
        let mut file = on_server(refused());
        file.server.drop = seen(Drops { reasons: [("NO_SOCKET".to_owned(), 1)].into() });
        assert!(rules_out(&ServerFirewallRejects, &file));
        assert!(rules_out(&ServerFirewallRejects, &timed_out()));
    }

    #[test]
    fn an_icmp_error_of_the_host_itself_makes_it_likely() {
        assert_eq!(first(&icmp(refused(), "10.0.0.5")), Some(("server-firewall-rejects", Band::Likely)));
        assert_eq!(first(&icmp(errno("EHOSTUNREACH"), "10.0.0.5")).unwrap().0, "server-firewall-rejects");
        assert_ne!(first(&icmp(refused(), "10.0.9.1")).unwrap().0, "server-firewall-rejects");
    }

    #[test]
    fn a_rst_of_another_machine_speaks_for_the_path() {
        let mut file = refused();
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].watched = true;
        dials[0].rst = Some(Rst { ttl: 64, closed_port_ttl: Some(63) });
        file.client.connect = seen(dials);
        assert_eq!(first(&file).unwrap().0, "path-firewall-blocks");
    }

    #[test]
    fn an_answer_that_is_lost_looks_like_silence() {
        let mut file = judged(running(on_server(timed_out()), "0.0.0.0:6379"), "reject");
        assert_eq!(bearings(&ServerFirewallRejects, &file), [Bearing::Strong]);
        file.server.drop = seen(Drops { reasons: [("NETFILTER_DROP".to_owned(), 2)].into() });
        assert_eq!(first(&file), Some(("server-firewall-rejects", Band::Confirmed)));
    }

    #[test]
    fn silent_for_a_lone_client_without_details() {
        assert!(silent(&ServerFirewallRejects, &refused()));
    }
}
