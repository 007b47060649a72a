//! What the firewall causes have in common: the rule that lets the client in, in the words of its owner.

use crate::cause::common::{public_address, rule, sh, source_or_blank};
use crate::cause::{Fix, Reason, Risk};
use crate::cloud::commands;
use crate::diagnosis::{Case, Journey, Symptom};
use crate::evidence::client::{Dial, Reach};
use crate::evidence::cloud::{CloudVerdict, Filter, Judged, Opening};
use crate::evidence::server::{Firewall, Permanent, Verdict};

/// Symptoms of a connection that was rejected by somebody.
pub(super) fn rejected(symptom: Symptom) -> bool {
    matches!(symptom, Symptom::Refused | Symptom::Unreachable)
}

/// What is known of how far the SYN got.
pub(super) fn reach<'a>(case: &Case<'a>) -> Option<&'a Reach> {
    case.dials().iter().find_map(|d| d.reach.as_ref())
}

/// The Redis host in a title: by its name where it was read from elsewhere.
pub(super) fn this_host(case: &Case<'_>) -> String {
    match case.file.server_far().is_some() {
        true => case.server_called(),
        false => "this host".to_owned(),
    }
}

/// Our SYN came in at the Redis host: nothing on the way there stops it.
pub(super) fn came_in(case: &Case<'_>) -> Option<Reason> {
    let Journey::Arrived { there, .. } = case.journey() else { return None };
    let says = format!("the SYN from {} came in on {} of {}", there.client, there.dev, case.server_called());
    Some(Reason::rules_out("syn", says))
}

/// It did not come in there, though that host has the address and its wire was watched.
pub(super) fn never_came_in(case: &Case<'_>) -> Option<Reason> {
    let Journey::Lost { .. } = case.journey() else { return None };
    let says = format!("no SYN of ours came in at {}, whose wire was watched", case.server_called());
    Some(Reason::rules_out("syn", says))
}

/// The dial that an ICMP error answered.
pub(super) fn answered_by_icmp<'a>(case: &Case<'a>) -> Option<&'a Dial> {
    case.dials().iter().find(|d| d.icmp.is_some())
}

/// A RST that another machine than the host's own closed port sends: its TTL is another.
pub(super) fn foreign_rst(case: &Case<'_>) -> Option<(u8, u8)> {
    case.dials().iter().find_map(|d| {
        let rst = d.rst.as_ref()?;
        let own = rst.closed_port_ttl?;
        (own != rst.ttl).then_some((rst.ttl, own))
    })
}

/// A rule that stops the connection. Where its counter stood still while our own SYN was sent, it is not proven that
/// this is the one that decides.
pub(super) fn stopped_by(verdict: &Verdict, evidence: &'static str, says: String) -> Vec<Reason> {
    if let Some(traced) = verdict.traced.as_ref().filter(|t| t.verdict == verdict.verdict) {
        let steps = traced.steps.len().max(1);
        return vec![
            Reason::confirms(evidence, says),
            Reason::strong(
                evidence,
                format!(
                    "the kernel's own trace of a SYN ends there, after {steps} step{}",
                    if steps == 1 { "" } else { "s" }
                ),
            ),
        ];
    }
    match verdict.moved {
        Some(true) => vec![
            Reason::confirms(evidence, says),
            Reason::strong(evidence, "its counter moved by our own SYN"),
        ],
        Some(false) => vec![
            Reason::strong(evidence, says),
            Reason::weak(evidence, "but its counter did not move by our own SYN"),
        ],
        None => vec![Reason::confirms(evidence, says)],
    }
}

/// Rules that do not decide; the counter of the one that it hangs on may tell more.
pub(super) fn undecided(verdict: &Verdict) -> Reason {
    let says = format!("not decided: {}", verdict.because);
    match (verdict.moved, exact(verdict)) {
        (Some(true), true) => {
            Reason::strong("firewall", format!("{says}; but that rule's counter moved by our own SYN"))
        }
        _ => Reason::weak("firewall", says),
    }
}

/// The rule stops packets, and its counter counts those alone: iptables counts what matches the whole rule, nft what came as far
/// as the word `counter`.
fn exact(verdict: &Verdict) -> bool {
    let Some(rule) = verdict.rule.as_deref() else { return false };
    let stops = |words: &str| words.contains("drop") || words.contains("reject");
    match rule.rsplit_once(" counter packets ") {
        Some((_, after)) => {
            // `N bytes N drop`, `N bytes N reject with tcp reset`
            after.split_whitespace().nth(3).is_some_and(stops)
        }
        None => rule.contains("-j DROP") || rule.contains("-j REJECT"),
    }
}

/// Rules that do something else than what the client saw. Not ruled out where rules were not read, or something was taken for
/// granted.
pub(super) fn speaks_against(
    verdict: &Verdict,
    firewall: Option<&Firewall>,
    evidence: &'static str,
    says: String,
) -> Reason {
    let unread = firewall.is_some_and(|f| !f.unread.is_empty());
    match verdict.assumed.iter().find(|a| a.contains("is not used up")) {
        Some(assumed) => Reason::against(evidence, format!("{says}, as far as {assumed}")),
        None if unread => Reason::against(evidence, says),
        None => Reason::rules_out(evidence, says),
    }
}

/// The rule is one of those that firewalld asks before the zone's own ports and services.
fn denied_in_zone(verdict: &Verdict) -> bool {
    verdict.chain.as_deref().is_some_and(|c| c.ends_with("_deny") || c.ends_with("_pre"))
}

/// What of firewalld's zone is missing, and whether its permanent configuration has it.
pub(super) fn zone_lacks(case: &Case<'_>, verdict: &Verdict) -> Option<Reason> {
    let zone = verdict.owner.as_deref()?.strip_prefix("firewalld, zone ")?;
    let port = case.ask.port;
    if denied_in_zone(verdict) {
        let says =
            format!("a rich rule of firewalld, zone {zone} stops it before the zone's ports are asked");
        return Some(Reason::strong("firewall", says));
    }
    let saved = case.server.firewall.get()?.permanent.as_ref().filter(|p| p.zone == zone);
    let says = match saved {
        Some(Permanent { by: Some(by), file, .. }) => format!(
            "firewalld, zone {zone} lacks port {port}; the permanent configuration ({file}) allows it by {by}: reload"
        ),
        Some(_) => format!("firewalld, zone {zone} lacks port {port}, in the permanent configuration too"),
        None => format!("firewalld, zone {zone} lacks port {port}"),
    };
    Some(Reason::strong("firewall", says))
}

/// Lets the client in, and nobody else, in the words of whoever owns the rule.
pub(super) fn allow(case: &Case<'_>, verdict: Option<&Verdict>) -> Fix {
    let port = case.ask.port;
    let source = source_or_blank(case);
    if let Some(verdict) = verdict.filter(|v| v.answer) {
        return Fix::new(Risk::Advice, format!("let the answers from port {port} out"))
            .step(format!("the rule that stops them is {}", rule(verdict)))
            .step("accept what belongs to connections that were let in, before it: ct state established,related accept");
    }
    let v6 = source.contains(':');
    let owner = verdict.and_then(|v| v.owner.as_deref()).unwrap_or_default();
    if let Some((verdict, to)) = verdict.and_then(|v| Some((v, v.through.as_deref()?))) {
        return pass_on(verdict, to, &source, port);
    }
    let on = if case.server_seen() { "" } else { "on the Redis host: " };
    let fix = Fix::new(Risk::Ask, format!("{on}admit {source} to port {port}, and nobody else"));
    let family = if v6 { "ipv6" } else { "ipv4" };
    // Rules with a negative priority come before those without (firewalld.richlanguage(5)).
    let first = if verdict.is_some_and(denied_in_zone) { "priority=\"-32768\" " } else { "" };
    let rich = format!(
        "rule {first}family=\"{family}\" source address=\"{source}\" port port=\"{port}\" protocol=\"tcp\" accept"
    );
    if owner.starts_with("ufw") {
        return fix
            .run(
                "before every other rule: one appended after a deny has no effect",
                format!("ufw prepend allow proto tcp from {source} to any port {port}"),
            )
            .run("see it", "ufw status numbered");
    }
    if let Some(policy) = owner.strip_prefix("firewalld, policy ") {
        let policy = sh(policy);
        let first = format!(
            "rule priority=\"-32768\" {}",
            rich.trim_start_matches("rule ").trim_start_matches(first)
        );
        return fix
            .run("what the policy says", format!("firewall-cmd --info-policy={policy}"))
            .run("for now", format!("firewall-cmd --policy={policy} --add-rich-rule='{first}'"))
            .run(
                "and after a reload or restart",
                format!("firewall-cmd --permanent --policy={policy} --add-rich-rule='{first}'"),
            );
    }
    if owner == "firewalld, panic mode" {
        return Fix::new(
            Risk::Advice,
            "firewalld is in panic mode, which drops everything: ask who switched it on, and why",
        )
        .run("see it", "firewall-cmd --query-panic")
        .run("end it", "firewall-cmd --panic-off");
    }
    if owner.starts_with("firewalld") {
        let zone = owner.split_once("zone ").map(|(_, z)| z.trim()).filter(|z| !z.is_empty());
        let fix = match zone {
            Some(_) => fix,
            None => fix.run("see which zone the traffic comes in by", "firewall-cmd --get-active-zones"),
        };
        let saved = case.server.firewall.get().and_then(|f| f.permanent.as_ref());
        if let Some(by) = saved.filter(|p| zone == Some(p.zone.as_str())).and_then(|p| p.by.as_ref()) {
            return fix.run(
                format!("the zone's permanent configuration admits it ({by}): load it"),
                "firewall-cmd --reload".to_owned(),
            );
        }
        let zone = sh(zone.unwrap_or("ZONE"));
        return fix.run("for now", format!("firewall-cmd --zone={zone} --add-rich-rule='{rich}'")).run(
            "and after a reload or restart",
            format!("firewall-cmd --permanent --zone={zone} --add-rich-rule='{rich}'"),
        );
    }
    if owner.starts_with("iptables") || owner.starts_with("ip6tables") {
        let program = if v6 { "ip6tables" } else { "iptables" };
        let chain =
            verdict.and_then(|v| v.chain.as_deref()).and_then(|c| c.rsplit(' ').next()).unwrap_or("INPUT");
        return fix
            .run(
                "at the head of the chain: a rule appended after the one that decides has no effect",
                format!("{program} -I {} 1 -s {source} -p tcp --dport {port} -j ACCEPT", sh(chain)),
            )
            .step(format!(
                "keep it over a restart the way this host keeps its rules ({program}-save only prints them; netfilter-persistent save stores them where it is installed)"
            ));
    }
    let to = public_address(case).map(|a| if a.is_ipv6() { "ip6" } else { "ip" });
    let saddr = if v6 { "ip6" } else { to.unwrap_or("ip") };
    match verdict.and_then(|v| v.chain.as_deref()) {
        Some(chain) => fix
            .run(
                "at the head of the chain: a rule added after the one that decides has no effect",
                format!("nft insert rule {} {saddr} saddr {source} tcp dport {port} accept", chain_words(chain)),
            )
            .step("keep it: write the same rule into /etc/nftables.conf (or the file this host loads)"),
        None => fix
            .run("see who owns the rules there", "nft list ruleset; ufw status verbose; firewall-cmd --get-active-zones")
            .step(format!(
                "allow it where the rules are kept: ufw prepend allow proto tcp from {source} to any port {port}, or the rich rule of the zone, or an nft rule before the one that decides"
            )),
    }
}

/// The same for a connection that a nat rule sends on: the filter meets the new destination, conntrack keeps the old port.
fn pass_on(verdict: &Verdict, to: &str, source: &str, port: u16) -> Fix {
    let v6 = source.contains(':');
    let owner = verdict.owner.as_deref().unwrap_or_default();
    let chain = verdict.chain.as_deref().unwrap_or("filter FORWARD");
    let fix = Fix::new(Risk::Advice, format!("let {source}, and nobody else, through to {to}"));
    if owner.starts_with("docker") || owner.starts_with("iptables") {
        let program = if v6 { "ip6tables" } else { "iptables" };
        let chain = chain.rsplit(' ').next().unwrap_or("FORWARD");
        return fix
            .run(
                "at the head of the chain (Docker leaves DOCKER-USER to the administrator)",
                format!(
                    "{program} -I {} 1 -s {source} -p tcp -m conntrack --ctorigdstport {port} --ctdir ORIGINAL -j ACCEPT",
                    sh(chain)
                ),
            )
            .step("keep it over a restart the way this host keeps its rules");
    }
    if owner.starts_with("ufw") {
        let (ip, to_port) = to.rsplit_once(':').unwrap_or((to, "6379"));
        let ip = ip.trim_matches(['[', ']']);
        return fix.run(
            "before every other rule for what is passed on",
            format!("ufw route prepend allow proto tcp from {source} to {ip} port {to_port}"),
        );
    }
    if owner.starts_with("firewalld") {
        return fix
            .run(
                "see the policies and zones that it passes",
                "firewall-cmd --get-active-policies; firewall-cmd --get-active-zones",
            )
            .step("accept it there: firewalld.policy(5), a rich rule with the client as its source");
    }
    let saddr = if v6 { "ip6" } else { "ip" };
    fix.run(
        "at the head of the chain: a rule added after the one that decides has no effect",
        format!(
            "nft insert rule {} {saddr} saddr {source} ct original proto-dst {port} accept",
            chain_words(chain)
        ),
    )
    .step("keep it: write the same rule into the file that this host loads")
}

/// `inet filter input`, each word safe for a shell.
pub(super) fn chain_words(chain: &str) -> String {
    chain.split_whitespace().map(sh).collect::<Vec<_>>().join(" ")
}

/// The rule that is missing, with the command that makes it; for one client and one port.
pub(super) fn opened_in_cloud(verdict: &CloudVerdict) -> Fix {
    let who = match verdict.source.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) => "the client".to_owned(),
    };
    let title = match verdict.blocker() {
        Some(Filter { kind, names, .. }) if !names.is_empty() => {
            format!("admit {who}, and nobody else, in the {kind} {}", names.join(", "))
        }
        _ => format!("admit {who}, and nobody else, in the cloud's rules"),
    };
    let mut fix = Fix::new(Risk::Advice, title);
    for filter in verdict.filters.iter().filter(|f| f.verdict == Judged::Blocked || f.partly.is_some()) {
        let Some(opening) = &filter.opening else { continue };
        fix = match commands::of(opening) {
            (says, Some(command)) => fix.run(says, command),
            (says, None) => fix.step(says),
        };
        if matches!(opening, Opening::AwsAcl { .. }) && !filter.answers {
            fix = fix.step("a network ACL knows no connections: it has to admit the answers as well");
        }
    }
    if who == "the client" {
        fix = fix.step("put in the address that the client has on the internet, or say --client ADDRESS");
    }
    fix.step("where the rules are kept as code (Terraform, CloudFormation …), make the change there: it is lost otherwise")
}

#[cfg(test)]
mod tests {
    use super::{allow, speaks_against, stopped_by};
    use crate::cause::testing::refused;
    use crate::diagnosis::{Bearing, Case};
    use crate::evidence::server::{Traced, Verdict};

    #[test]
    fn a_counter_that_stands_still_takes_the_proof_away() {
        let bearing = |moved| {
            let verdict = Verdict { moved, ..Verdict::default() };
            stopped_by(&verdict, "firewall", String::new()).first().map(|r| r.bearing)
        };
        assert_eq!(bearing(None), Some(Bearing::Confirms));
        assert_eq!(bearing(Some(true)), Some(Bearing::Confirms));
        assert_eq!(bearing(Some(false)), Some(Bearing::Strong));
    }

    #[test]
    fn the_kernels_own_trace_settles_it() {
        let traced =
            Traced { verdict: "drop".to_owned(), steps: vec![String::new(); 3], ..Traced::default() };
        let verdict = Verdict {
            verdict: "drop".to_owned(),
            moved: Some(false),
            traced: Some(traced),
            ..Verdict::default()
        };
        let reasons = stopped_by(&verdict, "firewall", String::new());
        assert_eq!(reasons[0].bearing, Bearing::Confirms);
        assert!(reasons[1].says.ends_with("after 3 steps"));
    }

    #[test]
    fn what_was_taken_for_granted_rules_nothing_out() {
        let bearing = |assumed: &[&str]| {
            let assumed = assumed.iter().map(|a| (*a).to_owned()).collect();
            let verdict = Verdict { assumed, ..Verdict::default() };
            speaks_against(&verdict, None, "firewall", String::new()).bearing
        };
        assert_eq!(bearing(&[]), Bearing::RulesOut);
        assert_eq!(bearing(&["the rate limit of 25/second is not used up"]), Bearing::Against);
    }

    #[test]
    fn every_owner_gets_a_rule_for_one_client_only() {
        let file = refused();
        for (owner, chain, expect) in [
            ("ufw", "ip filter ufw-user-input", "ufw prepend allow proto tcp from 10.0.0.7 to any port 6379"),
            (
                "firewalld, zone public",
                "inet firewalld x",
                "--zone=public --add-rich-rule='rule family=\"ipv4\" source address=\"10.0.0.7\"",
            ),
            ("iptables", "filter INPUT", "iptables -I INPUT 1 -s 10.0.0.7 -p tcp --dport 6379 -j ACCEPT"),
            (
                "nft",
                "inet filter input",
                "nft insert rule inet filter input ip saddr 10.0.0.7 tcp dport 6379 accept",
            ),
        ] {
            let verdict =
                Verdict { owner: Some(owner.into()), chain: Some(chain.into()), ..Verdict::default() };
            let fix = allow(&Case::new(&file), Some(&verdict));
            let commands: Vec<_> = fix.steps.iter().filter_map(|s| s.command.clone()).collect();
            assert!(commands.iter().any(|c| c.contains(expect)), "{commands:?}");
        }
    }
}
