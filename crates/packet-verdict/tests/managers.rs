//! Real listings of ufw, firewalld and Docker: the verdict, and whose rule it is.

use packet_verdict::{CtState, Hook, Outcome, Packet, Reject, Ruleset, Verdict, judge, number_ufw, parse};
use std::net::IpAddr;

fn read(name: &str) -> Ruleset {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    parse(name, &std::fs::read_to_string(path).expect("a fixture")).expect("a listing")
}

fn packet(src: &str, port: u16) -> Packet {
    let src: IpAddr = src.parse().expect("an address");
    let dst = if src.is_ipv4() { "10.0.0.5" } else { "fd00::5" };
    let mut packet = Packet::new(src, dst.parse().expect("an address"), port);
    packet.iif = Some("eth0".into());
    packet
}

fn owner(verdict: &Verdict) -> String {
    let rule = verdict.rule.as_ref().expect("a rule");
    rule.owner.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn ufw_rules_have_the_numbers_of_its_status() {
    let ufw = [read("ufw-iptables-save.txt")];
    let v = judge(&ufw, &packet("10.0.0.9", 6379));
    assert_eq!((v.outcome, owner(&v).as_str()), (Outcome::Accept, "ufw, rule 2"));
    let v = judge(&ufw, &packet("10.0.0.9", 22));
    assert_eq!((v.outcome, owner(&v).as_str()), (Outcome::Accept, "ufw, rule 1"));
    let v = judge(&ufw, &packet("10.0.0.9", 6380));
    assert_eq!((v.outcome, owner(&v).as_str()), (Outcome::Drop, "ufw, rule 4"));
    let v = judge(&ufw, &packet("10.0.0.9", 6381));
    assert_eq!(v.outcome, Outcome::Reject(Some(Reject::TcpReset)));
    assert_eq!(owner(&v), "ufw, rule 5 to 6");
    // Not allowed by any rule: the policy.
    let v = judge(&ufw, &packet("10.1.0.9", 6379));
    assert_eq!(v.outcome, Outcome::Drop);
    assert!(v.rule.expect("the policy").policy);
    // `ufw limit` counts who came lately.
    let v = judge(&ufw, &packet("10.0.0.9", 2222));
    assert_eq!(v.outcome, Outcome::Undecided);
    assert!(v.because.contains("lately"), "{}", v.because);
    let mut later = packet("10.0.0.9", 6380);
    later.state = CtState::Established;
    assert_eq!(judge(&ufw, &later).outcome, Outcome::Accept);
}

fn fixture(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read_to_string(path).expect("a fixture")
}

/// Applications, rules of all directions, for one or both protocols, inserted, with comments, limits and logging.
#[test]
fn ufw_numbers_by_its_own_files() {
    let mut ufw = [read("ufw-arranged.v4"), read("ufw-arranged.v6")];
    let plain = judge(&ufw, &packet("10.5.5.5", 22));
    assert_eq!(
        owner(&plain),
        "ufw, chain ufw-user-input",
        "without the files, with rules for other directions"
    );
    number_ufw(&mut ufw, &fixture("ufw-arranged-user.rules"), &fixture("ufw-arranged-user6.rules"));
    // As `ufw status numbered` printed them.
    let cases = [
        (1, "10.5.5.5", 22),
        (2, "10.5.5.5", 7200),
        (3, "10.5.5.5", 53),
        (5, "10.5.5.5", 7002),
        (10, "10.5.5.5", 6381),
        (11, "10.5.5.5", 7100),
        (12, "10.5.5.5", 6379),
        (13, "192.168.5.5", 6379),
        (14, "10.5.5.5", 7305),
        (15, "10.5.5.5", 7401),
        (16, "fd11::5", 22),
        (17, "fd11::5", 7200),
        (20, "fd11::5", 7001),
        (24, "fd11::5", 6381),
        (26, "fd11::5", 6379),
        (28, "fd11::5", 7400),
    ];
    for (number, src, port) in cases {
        let v = judge(&ufw, &packet(src, port));
        assert_eq!(owner(&v), format!("ufw, rule {number}"), "{src} to {port}");
    }
    let mut other = packet("10.9.5.5", 6379);
    other.iif = Some("eth7".into());
    assert_eq!(owner(&judge(&ufw, &other)), "ufw, rule 9");
    (other.hook, other.iif, other.oif) = (Hook::Forward, Some("host0".into()), Some("eth7".into()));
    assert_eq!(owner(&judge(&ufw, &other)), "ufw, rule 8");
    (other.hook, other.iif, other.oif) = (Hook::Output, None, Some("eth0".into()));
    assert_eq!(owner(&judge(&ufw, &other)), "ufw, rule 6");
}

/// A chain that someone changed by hand since: no number is better than a wrong one.
#[test]
fn ufw_files_that_tell_another_story_number_nothing() {
    let text = fixture("ufw-arranged.v4").replace("--dport 7200 -j DROP", "--dport 7200 -j ACCEPT");
    let mut ufw = [parse("t", &text).expect("a listing")];
    number_ufw(&mut ufw, &fixture("ufw-arranged-user.rules"), "");
    assert_eq!(owner(&judge(&ufw, &packet("10.5.5.5", 22))), "ufw, chain ufw-user-input");
}

#[test]
fn ufw_for_ipv6() {
    let ufw = [read("ufw-ip6tables-save.txt")];
    assert_eq!(judge(&ufw, &packet("fd00::9", 22)).outcome, Outcome::Accept);
    assert_eq!(judge(&ufw, &packet("fd00::9", 6379)).outcome, Outcome::Drop);
    assert_eq!(judge(&ufw, &packet("10.0.0.9", 6379)).outcome, Outcome::Undecided);
}

#[test]
fn what_nft_cannot_show_of_iptables_is_taken_from_its_own_listing() {
    let (save, nft) = (read("ufw-iptables-save.txt"), read("ufw-nft.json"));
    for port in [22, 6379, 6380, 6381, 9] {
        let alone = judge(std::slice::from_ref(&save), &packet("10.0.0.9", port));
        let both = judge(&[nft.clone(), save.clone()], &packet("10.0.0.9", port));
        assert_eq!(alone.outcome, both.outcome, "{port}");
        let shown = judge(std::slice::from_ref(&nft), &packet("10.0.0.9", port)).outcome;
        let not_against = match (shown, alone.outcome) {
            (Outcome::Undecided, _) | (Outcome::Reject(_), Outcome::Reject(_)) => true,
            (a, b) => a == b,
        };
        assert!(not_against, "port {port}: {shown:?}");
    }
}

#[test]
fn firewalld_zones() {
    let firewalld = [read("firewalld-nft.json")];
    // 10.0.0.0/28 is in zone internal, whose port is open.
    let v = judge(&firewalld, &packet("10.0.0.9", 6379));
    assert_eq!((v.outcome, owner(&v).as_str()), (Outcome::Accept, "firewalld, zone internal"));
    // Others meet zone public by their interface, which refuses at its end.
    let v = judge(&firewalld, &packet("10.0.0.99", 6379));
    assert_eq!(v.outcome, Outcome::Reject(Some(Reject::IcmpAdminProhibited)));
    assert!(owner(&v).starts_with("firewalld"), "{}", owner(&v));
    let v = judge(&firewalld, &packet("10.0.0.99", 22));
    assert_eq!((v.outcome, owner(&v).as_str()), (Outcome::Accept, "firewalld, zone public"));
    let v = judge(&firewalld, &packet("fd00::9", 6379));
    assert_eq!(v.outcome, Outcome::Reject(Some(Reject::Icmp6AdmProhibited)));
    // The interface is not needed: eth0 and all others are in the same zone.
    let mut anywhere = packet("10.0.0.99", 6379);
    anywhere.iif = None;
    assert!(judge(&firewalld, &anywhere).outcome.blocks());
}

#[test]
fn a_published_port_is_forwarded_and_docker_user_comes_first() {
    let docker = [read("docker-iptables-save.txt")];
    let v = judge(&docker, &packet("10.1.0.9", 6379));
    assert_eq!((v.outcome, owner(&v).as_str()), (Outcome::Drop, "docker, DOCKER-USER"));
    let container = Some((IpAddr::from([172, 17, 0, 2]), 6379));
    assert_eq!((v.through, v.to_port), (container, None));
    let mut near = packet("10.0.0.9", 6379);
    near.oif = Some("docker0".into());
    let v = judge(&docker, &near);
    assert_eq!((v.outcome, owner(&v).as_str()), (Outcome::Accept, "docker, DOCKER"));
    assert_eq!(v.through, container);
    // A port that is not published stays on this host.
    assert_eq!(judge(&docker, &packet("10.1.0.9", 22)).outcome, Outcome::Accept);
    assert_eq!(judge(&docker, &packet("10.1.0.9", 22)).through, None);
    // To the container itself, past the published port.
    let mut inside = packet("10.0.0.9", 6380);
    (inside.hook, inside.dst) = (Hook::Forward, "172.17.0.2".parse().expect("an address"));
    inside.oif = Some("docker0".into());
    assert_eq!(judge(&docker, &inside).outcome, Outcome::Drop);
}

/// firewalld 2.3: the target of a zone stands behind the jumps to the zone's policies and to the zone.
#[test]
fn firewalld_names_the_zone_whose_target_it_is_and_policies() {
    let listing = r#"{"nftables": [
        {"table": {"family": "inet", "name": "firewalld", "handle": 1}},
        {"chain": {"family": "inet", "table": "firewalld", "name": "filter_INPUT", "handle": 1, "type": "filter", "hook": "input", "prio": 10, "policy": "accept"}},
        {"chain": {"family": "inet", "table": "firewalld", "name": "filter_INPUT_POLICIES", "handle": 2}},
        {"chain": {"family": "inet", "table": "firewalld", "name": "filter_IN_apps", "handle": 3}},
        {"chain": {"family": "inet", "table": "firewalld", "name": "filter_IN_public", "handle": 4}},
        {"chain": {"family": "inet", "table": "firewalld", "name": "filter_IN_policy_guard_deny", "handle": 5}},
        {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_INPUT", "handle": 10, "expr": [{"jump": {"target": "filter_INPUT_POLICIES"}}]}},
        {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_INPUT_POLICIES", "handle": 11, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.0.0.9"}}, {"jump": {"target": "filter_IN_apps"}}]}},
        {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_INPUT_POLICIES", "handle": 12, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.0.0.9"}}, {"drop": null}]}},
        {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_INPUT_POLICIES", "handle": 13, "expr": [{"jump": {"target": "filter_IN_policy_guard_deny"}}]}},
        {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_INPUT_POLICIES", "handle": 14, "expr": [{"jump": {"target": "filter_IN_public"}}]}},
        {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_INPUT_POLICIES", "handle": 15, "expr": [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]}},
        {"rule": {"family": "inet", "table": "firewalld", "chain": "filter_IN_policy_guard_deny", "handle": 16, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 7000}}, {"drop": null}]}}]}"#;
    let rules = [parse("nft", listing).expect("a listing")];
    let whose = |src: &str, port| owner(&judge(&rules, &packet(src, port)));
    assert_eq!(whose("10.0.0.9", 6379), "firewalld, zone apps");
    assert_eq!(whose("10.0.0.7", 6379), "firewalld, zone public");
    assert_eq!(whose("10.0.0.7", 7000), "firewalld, policy guard");
}
