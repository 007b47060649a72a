//! The Redis host's own firewall drops the connection without an answer.

use super::shared::{
    allow, never_came_in, reach, speaks_against, stopped_by, this_host, undecided, zone_lacks,
};
use crate::cause::common::{meta, on_link, outside_input, own_input, own_output, redis_listeners, rule};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, unit_filter, way_back};
use crate::diagnosis::{Case, Journey, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct ServerFirewallDrops;

static META: Meta = Meta {
    masked_by: &["client-firewall-blocks"],
    ..meta(
        "server-firewall-drops",
        Category::Firewall,
        Stage::Connect,
        "the Redis host's firewall drops the connection",
        &["firewall", "drop", "listener"],
    )
};

/// The kernel's own word for a packet that a netfilter hook dropped (include/net/dropreason-core.h).
const NETFILTER_DROP: &str = "NETFILTER_DROP";

fn dropped(case: &Case<'_>) -> u32 {
    case.server.drop.get().and_then(|d| d.reasons.get(NETFILTER_DROP).copied()).unwrap_or(0)
}

/// The words for what sees packets before netfilter does (same file), and what it is called.
const BELOW: [(&str, &str); 2] =
    [("TC_INGRESS", "a filter of traffic control (tc)"), ("XDP", "an XDP program")];

fn lower(case: &Case<'_>) -> Option<(&'static str, &'static str)> {
    let reasons = &case.server.drop.get()?.reasons;
    BELOW.into_iter().find(|(word, _)| reasons.contains_key(*word))
}

/// Packets that came in, and that something below the rules dropped.
fn below(case: &Case<'_>) -> Option<String> {
    let (reason, who) = lower(case)?;
    let what = case.server.firewall.get().map(|f| f.below.join(", ")).filter(|all| !all.is_empty());
    let there = what.map_or(String::new(), |all| format!("; there is {all}"));
    Some(format!("{who} dropped the packets before any rule saw them ({reason}){there}"))
}

/// The word for a source that the routes say cannot come in there (net.ipv4.conf.*.rp_filter; same file).
const RPFILTER: &str = "IP_RPFILTER";

/// Packets of the client that came in, and that reverse-path filtering threw away.
fn reverse_path(case: &Case<'_>) -> Option<String> {
    let Journey::Arrived { there, .. } = case.journey() else { return None };
    // Without any way back the filter drops as well: that it is missing is the cause.
    if way_back::blocked(case).is_some() {
        return None;
    }
    let count = case.server.drop.get()?.reasons.get(RPFILTER).filter(|n| **n > 0)?;
    Some(format!(
        "the kernel of {} threw away {count} SYNs from {} (IP_RPFILTER): they came in on {}, and its route to that address leads elsewhere",
        case.server_called(),
        there.client,
        there.dev
    ))
}

/// What the server's own side tells; empty when it was not read.
fn on_server(case: &Case<'_>) -> Vec<Reason> {
    if let Some(says) = reverse_path(case) {
        return vec![Reason::confirms("drop", says)];
    }
    let mut reasons = Vec::new();
    if let Some(says) = way_back::reverse_path(case) {
        reasons.push(Reason::strong("way-back", says));
    }
    if let Journey::Arrived { there, .. } = case.journey() {
        let (client, dev) = (there.client, &there.dev);
        if there.ack_out > 0 {
            // What leaves has passed the host's own OUTPUT rules.
            let by = there.answered_by.as_ref().unwrap_or(dev);
            let says = format!("{} answered: a SYN-ACK to {client} left by {by}", case.server_called());
            return vec![Reason::rules_out("syn", says)];
        }
        if there.rst_out == 0 {
            let says =
                format!("{} SYNs from {client} came in on {dev}, and nothing left in answer", there.syn_in);
            reasons.push(Reason::strong("syn", says));
        }
    }
    let unit = unit_filter::reasons(case);
    let by_unit = !unit.is_empty();
    reasons.extend(unit);
    if let Some(says) = below(case) {
        reasons.push(Reason::confirms("drop", says));
    }
    if let Some(verdict) = own_input(case) {
        match verdict.verdict.as_str() {
            "accept" if by_unit => {}
            "drop" => {
                let says = format!("dropped by the rule {}", rule(verdict));
                reasons.extend(stopped_by(verdict, "firewall", says));
            }
            "accept" | "reject" => {
                let says = format!("the rules here {} the connection: {}", verdict.verdict, verdict.because);
                reasons.push(speaks_against(verdict, case.server.firewall.get(), "firewall", says));
            }
            _ => reasons.push(undecided(verdict)),
        }
    }
    // A refusal drops the packet as well.
    if dropped(case) > 0 && own_input(case).is_none_or(|v| v.verdict != "reject") {
        let mut says =
            "the kernel dropped the packets of our own attempt in netfilter (NETFILTER_DROP)".to_owned();
        if let Some(to) = own_input(case).filter(|v| v.verdict == "accept").and_then(|v| v.through.as_ref()) {
            says.push_str(&format!(
                "; the rules read let it pass on to {to}: look at those of the network namespace there"
            ));
        }
        // On this machine they pass OUTPUT as well: it has to be known to let them go. Seen to come in, they have.
        let passed = own_output(case).is_some_and(|v| v.verdict == "accept");
        reasons.push(if passed || matches!(case.journey(), Journey::Arrived { .. }) {
            Reason::confirms("drop", says)
        } else {
            Reason::strong("drop", says)
        });
    }
    reasons
}

impl Cause for ServerFirewallDrops {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match case.symptom {
            Symptom::TimedOut if case.unix().is_none() => {}
            Symptom::Refused | Symptom::Unreachable | Symptom::NoRoute => {
                return vec![Reason::rules_out("connect", "the attempt was answered; a dropped one is not")];
            }
            _ => return Vec::new(),
        }
        if let Some(reason) = never_came_in(case) {
            return vec![reason];
        }
        let mut reasons = on_server(case);
        if reasons.is_empty() && case.ask.local {
            let listener = case.dialled().into_iter().find_map(|to| Some((to, case.listener_for(to)?)));
            if let Some((to, listener)) = listener {
                let says = format!("{to} is listened for on {}, and yet nobody answers the SYN", listener.at);
                reasons.push(Reason::weak("listener", says));
            }
        }
        if reasons.is_empty() && !case.ask.local {
            let near = case.dials().iter().any(|d| on_link(case, d.to.ip()) == Some(true));
            // With a router between, the same silence speaks as much for the router.
            if near && reach(case).and_then(|r| r.host_alive) == Some(true) {
                reasons.push(Reason::weak(
                    "connect",
                    "the host is up and answers elsewhere, only this port is silent",
                ));
                reasons.push(Reason::weak("route", "no router stands between"));
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if reverse_path(case).is_some() {
            return format!("reverse-path filtering of {} drops the connection", this_host(case));
        }
        if let Some((_, who)) = lower(case) {
            return format!("{who} of {} drops the connection", this_host(case));
        }
        match own_input(case).filter(|v| v.verdict == "drop") {
            Some(verdict) => {
                format!("the firewall of {} drops the connection: {}", this_host(case), rule(verdict))
            }
            None => match unit_filter::stopping(case) {
                Some(unit) => {
                    format!("the filter of the unit {} drops the connection (IPAddressDeny=)", unit.name)
                }
                None => META.title.to_owned(),
            },
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if reverse_path(case).is_some() {
            let client = crate::cause::common::source_or_blank(case);
            return Some(
                Fix::new(
                    Risk::Advice,
                    "on the Redis host: let the route to the client lead back the way it comes",
                )
                .run("where its answers would go", format!("ip route get {client}"))
                .run("what is filtered (1 strict, 2 loose)", "sysctl -a -r '\\.rp_filter'".to_owned())
                .step("correct the route; where two ways are meant, net.ipv4.conf.*.rp_filter=2"),
            );
        }
        if below(case).is_some() {
            return Some(
                Fix::new(Risk::Advice, "on the Redis host: find who attached the program or filter, and let the client through there")
                    .run("programs on interfaces", "ip -details link show".to_owned())
                    .run("filters of tc", "tc -s filter show dev eth0 ingress".to_owned()),
            );
        }
        let verdict = own_input(case).filter(|v| v.verdict == "drop").or_else(|| outside_input(case));
        if let Some(unit) =
            unit_filter::stopping(case).filter(|_| own_input(case).is_none_or(|v| v.verdict != "drop"))
        {
            return Some(unit_filter::allow(unit, &crate::cause::common::source_or_blank(case)));
        }
        let mut fix = allow(case, verdict);
        if !case.server_seen() {
            fix.risk = Risk::Advice;
        }
        Some(fix)
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some((client, unit)) = case.ask.client.and_then(|c| Some((c, unit_filter::denying(case, c)?)))
        {
            let says = unit_filter::says(unit, client);
            return Some(Latent {
                place: Place::Behind,
                title: says.clone(),
                reasons: vec![Reason::strong("unit", says)],
                fix: Some(unit_filter::allow(unit, &client.to_string())),
            });
        }
        let verdict = outside_input(case).filter(|v| v.verdict == "drop")?;
        outside(case, verdict, "drops", self.fix(case))
    }
}

/// A rule that keeps other hosts out although this machine's own connection does not meet it.
pub(super) fn outside(
    case: &Case<'_>,
    verdict: &crate::evidence::server::Verdict,
    does: &str,
    fix: Option<Fix>,
) -> Option<Latent> {
    let own = redis_listeners(case).unwrap_or_default();
    let private = !own.is_empty() && own.iter().all(|l| crate::cause::common::is_loopback(l.at.ip()));
    // A server that is meant for its own host alone is not in need of a rule.
    if case.ask.unix.is_some() || (private && case.symptom == Symptom::Pong && case.ask.client.is_none()) {
        return None;
    }
    let behind = case.symptom != Symptom::Pong && case.ask.client.is_some();
    Some(Latent {
        place: if behind { Place::Behind } else { Place::Warning },
        title: format!("the firewall {does} connections from {}: {}", verdict.source, rule(verdict)),
        reasons: std::iter::once(Reason::confirms(
            "firewall",
            format!(
                "{} to {}: {}, by the rule {}",
                verdict.source,
                verdict.destination,
                verdict.verdict,
                rule(verdict)
            ),
        ))
        .chain(zone_lacks(case, verdict))
        .collect(),
        fix,
    })
}

#[cfg(test)]
mod tests {
    use super::ServerFirewallDrops;
    use crate::cause::Cause as _;
    use crate::cause::testing::{
        apart, bearings, confirms, first, handshake, on_server, pong_talk, refused, rules_out, running, seen,
        silent, talks, timed_out, watched,
    };
    use crate::diagnosis::{Band, Bearing, Case};
    use crate::evidence::CaseFile;
    use crate::evidence::server::{Drops, Firewall, Verdict};

    fn judged(mut file: CaseFile, source: &str, verdict: &str) -> CaseFile {
        file.server.firewall = seen(Firewall {
            read: vec!["nft, 3 rules".to_owned()],
            verdicts: vec![Verdict {
                source: source.to_owned(),
                destination: "10.0.0.5:6379".to_owned(),
                hook: "input".to_owned(),
                verdict: verdict.to_owned(),
                rule: Some("tcp dport 6379 drop".to_owned()),
                chain: Some("inet filter input".to_owned()),
                owner: Some("nft".to_owned()),
                ..Verdict::default()
            }],
            ..Firewall::default()
        });
        file
    }

    #[test]
    fn confirmed_by_the_verdict_on_our_own_attempt() {
        let file = judged(running(on_server(timed_out()), "0.0.0.0:6379"), "10.0.0.7", "drop");
        assert_eq!(first(&file), Some(("server-firewall-drops", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_an_accept_or_an_answer() {
        assert!(rules_out(&ServerFirewallDrops, &judged(on_server(timed_out()), "10.0.0.7", "accept")));
        assert!(rules_out(&ServerFirewallDrops, &refused()));
    }

    #[test]
    fn two_ends_tell_a_drop_here_from_one_on_the_way() {
        let both = |target| watched(apart(timed_out(), "10.0.0.5"), target);
        assert_eq!(bearings(&ServerFirewallDrops, &both(vec![handshake(true, 2, 0)])), [Bearing::Strong]);
        assert!(rules_out(&ServerFirewallDrops, &both(vec![handshake(true, 2, 2)])));
        assert!(rules_out(&ServerFirewallDrops, &both(Vec::new())));
        let file = judged(both(vec![handshake(true, 2, 0)]), "10.0.0.7", "drop");
        assert_eq!(first(&file), Some(("server-firewall-drops", Band::Confirmed)));
    }

    #[test]
    fn undecided_is_not_confirmed() {
        let file = judged(on_server(timed_out()), "10.0.0.7", "undecided");
        assert_eq!(bearings(&ServerFirewallDrops, &file), [Bearing::Weak]);
    }

    #[test]
    fn the_kernels_drop_reason_is_strong() {
        let mut file = on_server(timed_out());
        file.server.drop = seen(Drops { reasons: [("NETFILTER_DROP".to_owned(), 3)].into() });
        assert_eq!(bearings(&ServerFirewallDrops, &file), [Bearing::Strong]);
    }

    #[test]
    fn a_lone_client_confirms_nothing() {
        assert!(silent(&ServerFirewallDrops, &timed_out()));
        assert!(!confirms(&ServerFirewallDrops, &timed_out()));
        let (id, band) = first(&timed_out()).unwrap();
        assert_eq!((id, band), ("server-firewall-drops", Band::Possible));
    }

    #[test]
    fn warns_of_other_hosts_kept_out() {
        let file = judged(running(on_server(talks(pong_talk(&[]))), "0.0.0.0:6379"), "10.0.0.99", "drop");
        assert!(ServerFirewallDrops.latent(&Case::new(&file)).is_some());
        let file = judged(running(on_server(talks(pong_talk(&[]))), "127.0.0.1:6379"), "10.0.0.99", "drop");
        assert!(ServerFirewallDrops.latent(&Case::new(&file)).is_none());
    }
}
