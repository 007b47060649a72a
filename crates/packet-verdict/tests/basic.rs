//! What the readers and the judge promise, on rule sets written out.

use packet_verdict::{Allow, CtState, Hook, Need, Outcome, Packet, Place, Reject, Verdict, judge, parse};
use std::net::IpAddr;

fn packet(src: &str, dst: &str, port: u16) -> Packet {
    let ip = |s: &str| s.parse::<IpAddr>().expect("an address");
    Packet::new(ip(src), ip(dst), port)
}

fn with(text: &str, packet: &Packet) -> Verdict {
    judge(&[parse("t", text).expect("a rule set")], packet)
}

fn table(filter: &str) -> String {
    format!("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{filter}\nCOMMIT\n")
}

const SRC: &str = "10.0.0.9";
const DST: &str = "10.0.0.5";

#[test]
fn the_first_matching_rule_decides_and_is_named() {
    let text = table(
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n[7:420] -A INPUT -p tcp -m tcp --dport 6379 -j DROP\n-A INPUT -j ACCEPT",
    );
    let v = with(&text, &packet(SRC, DST, 6379));
    assert_eq!(v.outcome, Outcome::Drop);
    let rule = v.rule.expect("named");
    assert_eq!((rule.table.as_str(), rule.chain.as_str(), rule.line), ("filter", "INPUT", 6));
    assert_eq!(rule.packets, Some(7));
    assert_eq!(rule.text, "-A INPUT -p tcp -m tcp --dport 6379 -j DROP");
    assert_eq!(with(&text, &packet(SRC, DST, 80)).outcome, Outcome::Accept);
}

#[test]
fn a_policy_is_a_rule_too() {
    let v = with("*filter\n:INPUT DROP [3:180]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n", &packet(SRC, DST, 6379));
    assert_eq!(v.outcome, Outcome::Drop);
    let rule = v.rule.expect("the policy");
    assert!(rule.policy);
    assert_eq!((rule.text.as_str(), rule.packets, rule.line), ("-P INPUT DROP", Some(3), 2));
}

#[test]
fn what_cannot_be_known_decides_only_where_it_matters() {
    let p = packet(SRC, DST, 6379);
    let same = table(
        "-A INPUT -m limit --limit 5/min -j LOG\n-A INPUT -p tcp -m limit --limit 5/min -j DROP\n-A INPUT -j DROP",
    );
    assert_eq!(with(&same, &p).outcome, Outcome::Drop);
    let other = table("-A INPUT -p tcp -m limit --limit 5/min -j ACCEPT\n-A INPUT -j DROP");
    let v = with(&other, &p);
    assert_eq!(v.outcome, Outcome::Undecided);
    assert!(v.because.contains("rate limit"), "{}", v.because);
    assert_eq!(v.possible.len(), 2);
}

#[test]
fn an_unknown_interface_is_asked_for() {
    let text = table(
        "-A INPUT -i eth0 -p tcp --dport 6379 -j REJECT --reject-with tcp-reset\n-A INPUT -i wg+ -j DROP",
    );
    let mut p = packet(SRC, DST, 6379);
    let v = with(&text, &p);
    assert_eq!((v.outcome, v.need), (Outcome::Undecided, Some(Need::IncomingInterface)));
    assert!(v.because.contains("--in"), "{}", v.because);
    p.iif = Some("eth0".into());
    assert_eq!(with(&text, &p).outcome, Outcome::Reject(Some(Reject::TcpReset)));
    p.iif = Some("wg0".into());
    assert_eq!(with(&text, &p).outcome, Outcome::Drop);
    // Every interface is treated alike: nothing to ask.
    let text = table("-A INPUT -i lo -j ACCEPT\n-A INPUT -i eth0 -j DROP\n-A INPUT ! -i eth0 -j DROP");
    assert_eq!(with(&text, &packet(SRC, DST, 6379)).outcome, Outcome::Drop);
}

#[test]
fn jumps_return_and_gotos_do_not() {
    let text = "*filter\n:INPUT ACCEPT [0:0]\n:a - [0:0]\n:b - [0:0]\n-A INPUT -j a\n-A INPUT -j DROP\n-A a -g b\n-A a -j ACCEPT\n-A b -p udp -j DROP\nCOMMIT\n";
    assert_eq!(with(text, &packet(SRC, DST, 6379)).outcome, Outcome::Drop);
    let text = text.replace("-A a -g b", "-A a -j b");
    assert_eq!(with(&text, &packet(SRC, DST, 6379)).outcome, Outcome::Accept);
}

#[test]
fn a_redirect_comes_before_the_filter() {
    let text = format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 6379\nCOMMIT\n{}",
        table("-A INPUT -p tcp --dport 6379 -j DROP")
    );
    assert_eq!(with(&text, &packet(SRC, DST, 80)).outcome, Outcome::Drop);
    assert_eq!(with(&text, &packet(SRC, DST, 81)).outcome, Outcome::Accept);
}

#[test]
fn a_mark_is_remembered() {
    let text = format!(
        "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 10.0.0.0/24 -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n{}",
        table("-A INPUT -m mark --mark 0x4000/0x4000 -j ACCEPT\n-A INPUT -j DROP")
    );
    assert_eq!(with(&text, &packet(SRC, DST, 6379)).outcome, Outcome::Accept);
    assert_eq!(with(&text, &packet("10.0.1.9", DST, 6379)).outcome, Outcome::Drop);
}

#[test]
fn both_rule_sets_must_let_it_pass() {
    let nft = r#"{"nftables":[{"table":{"family":"inet","name":"f","handle":1}},
        {"chain":{"family":"inet","table":"f","name":"in","handle":1,"type":"filter","hook":"input","prio":0,"policy":"drop"}},
        {"rule":{"family":"inet","table":"f","chain":"in","handle":2,"expr":[
            {"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":6379}},{"accept":null}]}}]}"#;
    let legacy = table("-A INPUT -p tcp --dport 6379 -j DROP");
    let both = [parse("nft", nft).expect("nft"), parse("legacy", &legacy).expect("legacy")];
    let p = packet(SRC, DST, 6379);
    assert_eq!(judge(&both[..1], &p).outcome, Outcome::Accept);
    assert_eq!(judge(&both, &p).outcome, Outcome::Drop);
    let v6 = packet("fd00::9", "fd00::5", 6379);
    assert_eq!(judge(&both[..1], &v6).outcome, Outcome::Accept);
    assert_eq!(judge(&both[1..], &v6).outcome, Outcome::Undecided);
}

#[test]
fn a_later_packet_passes_where_the_first_does_not() {
    let text = table("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -j DROP");
    let mut p = packet(SRC, DST, 6379);
    assert_eq!(with(&text, &p).outcome, Outcome::Drop);
    p.state = CtState::Established;
    assert_eq!(with(&text, &p).outcome, Outcome::Accept);
}

#[test]
fn output_knows_its_own_hook() {
    let text = table("-A OUTPUT -d 10.0.0.0/24 -p tcp --dport 6379 -j REJECT\n-A INPUT -j DROP");
    let mut p = packet(SRC, DST, 6379);
    p.hook = Hook::Output;
    assert_eq!(with(&text, &p).outcome, Outcome::Reject(Some(Reject::IcmpPortUnreachable)));
}

#[test]
fn bad_input_names_its_line() {
    let line = |text: &str| parse("f", text).map(|_| ()).expect_err("bad").line;
    assert_eq!(line("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport http3 -j DROP\nCOMMIT\n"), 3);
    assert_eq!(line("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j NOSUCH\nCOMMIT\n"), 3);
    assert_eq!(line("*filter\n:INPUT ACCEPT [0:0]\nnonsense\n"), 3);
    assert_eq!(line("{\"nftables\": [\n{\"rule\": }\n]}"), 2);
    assert!(parse("f", "").is_err());
    assert!(parse("f", "table inet x {\n}\n").expect_err("nft text").says.contains("nft -j"));
}

#[test]
fn an_ipset_is_unknown_until_its_content_is_given() {
    let rules = table("-A INPUT -p tcp -m set --match-set friends src,dst -j ACCEPT\n-A INPUT -j DROP");
    let saved = "create friends hash:net,port family inet hashsize 1024 maxelem 65536\nadd friends 10.0.0.0/24,tcp:6379\nadd friends 10.0.1.0/24,udp:6379\n";
    let p = packet(SRC, DST, 6379);
    assert_eq!(with(&rules, &p).outcome, Outcome::Undecided);
    let both = [parse("r", &rules).expect("rules"), parse("s", saved).expect("sets")];
    assert_eq!(judge(&both, &p).outcome, Outcome::Accept);
    assert_eq!(judge(&both, &packet("10.0.1.9", DST, 6379)).outcome, Outcome::Drop);
    assert_eq!(judge(&both, &packet(SRC, DST, 6380)).outcome, Outcome::Drop);
    assert_eq!(parse("s", "create a hash:ip\nadd b 1.2.3.4\n").expect_err("no set b").line, 2);
}

#[test]
fn a_port_nobody_dials_from_is_taken_for_granted() {
    let text = table("-A INPUT -p tcp -m multiport --ports 22,6380 -j ACCEPT\n-A INPUT -j DROP");
    let v = with(&text, &packet(SRC, DST, 6379));
    assert_eq!(v.outcome, Outcome::Drop);
    assert!(v.assumptions.iter().any(|a| a.contains("32767")), "{:?}", v.assumptions);
}

#[test]
fn a_rule_more_is_judged_at_its_place() {
    let text = r#"{"nftables": [
        {"table": {"family": "inet", "name": "fw", "handle": 1}},
        {"chain": {"family": "inet", "table": "fw", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
        {"rule": {"family": "inet", "table": "fw", "chain": "in", "handle": 5, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 6379}}, {"drop": null}]}}]}"#;
    let allow = |place| Allow {
        family: "inet",
        table: "fw",
        chain: "in",
        place,
        source: SRC.parse().expect("an address"),
        prefix: 31,
        to: None,
        port: 6379,
        published: false,
    };
    let with = |place, src: &str, port| {
        let mut rules = parse("t", text).expect("a rule set");
        assert!(rules.insert(&allow(place)));
        judge(&[rules], &packet(src, DST, port)).outcome
    };
    assert_eq!(with(Place::Head, SRC, 6379), Outcome::Accept);
    assert_eq!(with(Place::Before(5), SRC, 6379), Outcome::Accept);
    assert_eq!(with(Place::Tail, SRC, 6379), Outcome::Drop);
    assert_eq!(with(Place::Head, "10.0.0.8", 6379), Outcome::Accept);
    assert_eq!(with(Place::Head, "10.0.0.10", 6379), Outcome::Drop);
    assert_eq!(with(Place::Head, SRC, 6380), Outcome::Drop);
    let mut rules = parse("t", text).expect("a rule set");
    assert!(!rules.insert(&allow(Place::Before(9))));
    assert!(!rules.insert(&Allow { chain: "out", ..allow(Place::Head) }));
}

#[test]
fn only_rules_with_hours_need_the_hosts_clock() {
    let rules = |matched: &str| {
        let text = format!(
            r#"{{"nftables": [{{"table": {{"family": "inet", "name": "t"}}}},
            {{"chain": {{"family": "inet", "table": "t", "name": "c", "hook": "input", "prio": 0, "policy": "accept", "type": "filter"}}}},
            {{"rule": {{"family": "inet", "table": "t", "chain": "c", "expr": [{{"match": {{"op": "==",
            "left": {{"meta": {{"key": "{matched}"}}}}, "right": 1}}}}, {{"drop": null}}]}}}}]}}"#
        );
        packet_verdict::parse("nft", &text).expect("a listing").may_ask_time()
    };
    assert!(rules("hour") && rules("time") && !rules("mark"));
}
