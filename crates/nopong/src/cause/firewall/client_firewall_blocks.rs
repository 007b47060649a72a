//! The client's own machine does not let the connection out.

use super::shared::{came_in, reach, rejected, speaks_against, stopped_by};
use crate::cause::common::{failed, meta, own_output, rule, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Journey, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct ClientFirewallBlocks;

static META: Meta = meta(
    "client-firewall-blocks",
    Category::Firewall,
    Stage::Connect,
    "the client's own firewall does not let the connection out",
    &["client-firewall"],
);

impl Cause for ClientFirewallBlocks {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !rejected(case.symptom) && !matches!(case.symptom, Symptom::TimedOut | Symptom::LocalErrno) {
            return Vec::new();
        }
        if case.unix().is_some() {
            return Vec::new();
        }
        match case.journey() {
            // The answer came as far as this machine, which did not take it.
            Journey::Arrived { there, back: Some(true) } if case.symptom == Symptom::TimedOut => {
                let says = format!("the SYN-ACK of {} came in on the client's wire", there.server);
                let mut reasons = vec![
                    Reason::strong("client-syn", says),
                    Reason::strong("connect", "and the client's own host did not take it"),
                ];
                if let Some(verdict) = own_output(case).filter(|v| v.answer && v.verdict == "drop") {
                    let says = format!("this machine's own rules drop the answer: {}", rule(verdict));
                    reasons.extend(stopped_by(verdict, "client-firewall", says));
                }
                return reasons;
            }
            // Whether the answer came in, nobody saw: the rules decide.
            Journey::Arrived { there, back: None } if there.ack_out > 0 => {}
            _ => {
                if let Some(reason) = came_in(case) {
                    return vec![reason];
                }
            }
        }
        let mut reasons = Vec::new();
        if let Journey::Lost { left: Some(false), .. } = case.journey() {
            reasons.push(Reason::strong("client-syn", "no SYN was seen to leave this machine"));
        }
        if let Some(verdict) = own_output(case) {
            let fits = match verdict.verdict.as_str() {
                "drop" => matches!(case.symptom, Symptom::TimedOut | Symptom::LocalErrno),
                "reject" => rejected(case.symptom),
                _ => false,
            };
            match verdict.verdict.as_str() {
                "drop" | "reject" if fits => {
                    let says = format!("this machine's own rules {} it: {}", verdict.verdict, rule(verdict));
                    reasons.extend(stopped_by(verdict, "client-firewall", says));
                }
                // The ICMP error passes OUTPUT too, and a rule for everything swallows it: then a refusal looks like silence.
                "reject" if case.symptom == Symptom::TimedOut => {
                    let says = format!("this machine's own rules refuse it: {}", rule(verdict));
                    reasons.push(Reason::strong("client-firewall", says));
                }
                "accept" | "drop" | "reject" => {
                    let says =
                        format!("this machine's own rules {} it: {}", verdict.verdict, verdict.because);
                    reasons.push(speaks_against(
                        verdict,
                        case.client.firewall.get(),
                        "client-firewall",
                        says,
                    ));
                }
                _ => {
                    reasons
                        .push(Reason::weak("client-firewall", format!("not decided: {}", verdict.because)));
                }
            }
        }
        // Not even the first router sees the SYN, though it sees those to another port: our own rules, or that router's.
        let first = reach(case).filter(|r| case.symptom == Symptom::TimedOut && r.hops.is_empty());
        if own_output(case).is_none()
            && let Some(hop) = first.and_then(|r| r.other_hops.iter().min_by_key(|h| h.ttl))
        {
            reasons.push(Reason::weak(
                "connect",
                format!("{} answers SYNs to another port, those to port {} never get there; this machine's own rules could not be read", hop.from, case.ask.port),
            ));
        }
        // An ICMP error from our own address, about a SYN to another host, never was on a wire.
        let own_icmp = case.dials().iter().find(|d| {
            d.icmp.as_ref().is_some_and(|i| Some(i.from) == d.from.map(|f| f.ip()) && i.from != d.to.ip())
        });
        if let Some(icmp) = own_icmp.and_then(|d| d.icmp.as_ref()) {
            reasons.push(Reason::strong(
                "connect",
                format!("{} came from this machine's own address {}", icmp.name, icmp.from),
            ));
        }
        // connect() gives EPERM when a cgroup or eBPF filter forbids the destination (systemd's IPAddressDeny).
        if let Some(dial) = failed(case, &["EPERM"]) {
            reasons.push(Reason::strong(
                "connect",
                format!(
                    "connect to {} gives EPERM after {:.1} ms: this machine itself forbids it",
                    dial.to, dial.took_ms
                ),
            ));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match own_output(case).filter(|v| v.verdict == "drop" || v.verdict == "reject") {
            Some(verdict) => format!("this machine's own firewall stops the connection: {}", rule(verdict)),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = case.ask.port;
        let to = case.dials().first().map(|d| d.to.ip().to_string()).unwrap_or_else(|| case.ask.host.clone());
        let v6 = to.contains(':');
        let fix = Fix::new(Risk::Ask, format!("let this machine connect to {to} port {port}"));
        let verdict = own_output(case);
        if let Some(verdict) = verdict.filter(|v| v.answer) {
            return Some(
                Fix::new(Risk::Advice, "let the answers in")
                    .step(format!("the rule that stops them is {}", rule(verdict)))
                    .step("accept what belongs to connections that this machine began, before it: ct state established,related accept"),
            );
        }
        let owner = verdict.and_then(|v| v.owner.as_deref()).unwrap_or_default();
        if owner.starts_with("ufw") {
            return Some(fix.run(
                "before every other rule",
                format!("ufw prepend allow out proto tcp to {} port {port}", sh(&to)),
            ));
        }
        if owner.starts_with("iptables") || owner.starts_with("ip6tables") {
            let program = if v6 { "ip6tables" } else { "iptables" };
            return Some(fix.run(
                "at the head of the chain",
                format!("{program} -I OUTPUT 1 -d {} -p tcp --dport {port} -j ACCEPT", sh(&to)),
            ));
        }
        let family = if v6 { "ip6" } else { "ip" };
        Some(match verdict.and_then(|v| v.chain.as_deref()) {
            Some(chain) => fix.run(
                "at the head of the chain",
                format!(
                    "nft insert rule {} {family} daddr {} tcp dport {port} accept",
                    super::shared::chain_words(chain),
                    sh(&to)
                ),
            ),
            None => fix
                .run("see this machine's own rules", "nft list ruleset")
                .step("a service can have its own: look for IPAddressDeny= in its unit (systemctl cat)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ClientFirewallBlocks;
    use crate::cause::testing::{
        apart, errno, first, handshake, refused, rules_out, seen, silent, timed_out, watched,
    };
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::ends::{Handshake, Handshakes};
    use crate::evidence::server::{Firewall, Verdict};

    fn judged(mut file: CaseFile, verdict: &str) -> CaseFile {
        file.client.firewall = seen(Firewall {
            verdicts: vec![Verdict {
                source: "10.0.0.7".to_owned(),
                destination: "10.0.0.5:6379".to_owned(),
                hook: "output".to_owned(),
                verdict: verdict.to_owned(),
                rule: Some("tcp dport 6379 drop".to_owned()),
                chain: Some("inet filter output".to_owned()),
                ..Verdict::default()
            }],
            ..Firewall::default()
        });
        file
    }

    #[test]
    fn confirmed_by_an_own_rule_that_fits_the_symptom() {
        assert_eq!(first(&judged(timed_out(), "drop")), Some(("client-firewall-blocks", Band::Confirmed)));
        assert_eq!(first(&judged(refused(), "reject")), Some(("client-firewall-blocks", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_an_accept_or_another_behaviour() {
        assert!(rules_out(&ClientFirewallBlocks, &judged(timed_out(), "accept")));
        assert!(rules_out(&ClientFirewallBlocks, &judged(refused(), "drop")));
    }

    #[test]
    fn eperm_is_our_own_machine() {
        let (id, band) = first(&errno("EPERM")).unwrap();
        assert_eq!((id, band), ("client-firewall-blocks", Band::Likely));
    }

    #[test]
    fn an_answer_that_comes_in_and_is_not_taken_is_this_machines_doing() {
        let mut file = watched(apart(timed_out(), "10.0.0.5"), vec![handshake(true, 2, 2)]);
        let at_client = |ack_in| Handshakes {
            target: vec![Handshake { syn_in: 0, syn_out: 2, ack_in, ..handshake(true, 0, 0) }],
            ..Handshakes::default()
        };
        file.client.syn = seen(at_client(2));
        assert_eq!(first(&file), Some(("client-firewall-blocks", Band::Likely)));
        file.client.syn = seen(at_client(0));
        assert!(rules_out(&ClientFirewallBlocks, &file));
        file.client.syn = crate::evidence::Seen::NotRun;
        assert!(silent(&ClientFirewallBlocks, &file));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&ClientFirewallBlocks, &timed_out()));
    }
}
