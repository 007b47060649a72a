//! Words of rule sets that a SYN hardly finds, or hardly misses, and what is taken for granted then.

use packet_verdict::{Outcome, Packet, Verdict, judge, parse};
use std::net::IpAddr;

fn of(texts: &[&str]) -> Verdict {
    let ip = |s: &str| s.parse::<IpAddr>().expect("an address");
    let sets: Vec<_> = texts.iter().map(|t| parse("t", t).expect("a rule set")).collect();
    judge(&sets, &Packet::new(ip("10.0.0.9"), ip("10.0.0.5"), 6379))
}

fn iptables(rules: &str) -> String {
    format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}\n-A INPUT -j DROP\nCOMMIT\n")
}

/// A chain at input that drops what its one rule does not accept.
fn nft(rule: &str) -> String {
    let head = r#"{"table":{"family":"inet","name":"t"}},
        {"limit":{"family":"inet","table":"t","name":"l","rate":400,"per":"second","burst":5}},
        {"quota":{"family":"inet","table":"t","name":"q","bytes":1000,"used":1200,"inv":false}},
        {"chain":{"family":"inet","table":"t","name":"c","type":"filter","hook":"input","prio":0,"policy":"drop"}}"#;
    format!(
        r#"{{"nftables":[{head},{{"rule":{{"family":"inet","table":"t","chain":"c","handle":2,"expr":[{rule},{{"accept":null}}]}}}}]}}"#
    )
}

#[test]
fn iptables_words() {
    let accept = |rule: &str| of(&[&iptables(&format!("-A INPUT {rule} -j ACCEPT"))]).outcome;
    for yes in [
        "-m string ! --string BitTorrent --algo bm",
        "-m quota --quota 1000000",
        "-m physdev ! --physdev-is-bridged",
        "-m connlimit --connlimit-above 0 --connlimit-mask 32 --connlimit-saddr",
        "-4 -p tcp",
        "-m ttl --ttl-gt 5",
        "-m time --datestop 2038-01-19T03:14:07",
    ] {
        assert_eq!(accept(yes), Outcome::Accept, "{yes}");
    }
    for no in [
        "-m string --string BitTorrent --algo bm --to 65535",
        "-m connbytes --connbytes 500000: --connbytes-mode bytes --connbytes-dir both",
        "-m connlimit --connlimit-upto 0",
        "-m frag",
        "-6",
        "-m ttl --ttl-eq 1",
        "-m ttl ! --ttl-lt 200",
    ] {
        assert_eq!(accept(no), Outcome::Drop, "{no}");
    }
    for maybe in [
        "-m string --string GE --algo bm",
        "-m connlimit --connlimit-above 20",
        "-m ttl --ttl-eq 64",
        "-m quota --quota 60",
    ] {
        assert_eq!(accept(maybe), Outcome::Undecided, "{maybe}");
    }
}

#[test]
fn nft_words() {
    let matching = |left: &str, op: &str, right: &str| {
        of(&[&nft(&format!(r#"{{"match":{{"op":"{op}","left":{left},"right":{right}}}}}"#))]).outcome
    };
    let numgen = r#"{"numgen":{"mode":"inc","mod":4,"offset":10}}"#;
    assert_eq!(matching(numgen, ">=", "10"), Outcome::Accept);
    assert_eq!(matching(numgen, "==", "14"), Outcome::Drop);
    assert_eq!(matching(numgen, "==", "12"), Outcome::Undecided);
    assert_eq!(matching(r#"{"ip option":{"name":"lsrr"}}"#, "==", "false"), Outcome::Accept);
    assert_eq!(matching(r#"{"exthdr":{"name":"rt","field":"type"}}"#, "==", "0"), Outcome::Drop);
    assert_eq!(matching(r#"{"ct":{"key":"bytes"}}"#, ">", "100000"), Outcome::Drop);
    assert_eq!(of(&[&nft(r#"{"limit":"l"}"#)]).outcome, Outcome::Accept);
    assert_eq!(of(&[&nft(r#"{"quota":"q"}"#)]).outcome, Outcome::Drop);
    // One who has only the text: the interface has the address.
    let local = matching(r#"{"fib":{"result":"type","flags":["daddr","iif"]}}"#, "==", r#""local""#);
    assert_eq!(local, Outcome::Accept);
}

#[test]
fn a_family_that_a_listing_may_hide_is_said() {
    let port = r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":6379}}"#;
    let rule = |before: &str| {
        let text = nft("")
            .replace(r#",{"accept":null}"#, &format!(r#"{before}{{"reject":{{"type":"tcp reset"}}}}"#));
        of(&[&text])
    };
    let plain = rule(&format!("{port},"));
    assert_eq!(plain.outcome.word(), "reject");
    assert!(plain.assumptions.iter().any(|a| a.contains("address family")), "{:?}", plain.assumptions);
    let counted = rule(&format!(r#"{port},{{"counter":{{"packets":0,"bytes":0}}}},"#));
    assert_eq!((counted.outcome.word(), counted.assumptions.len()), ("reject", 0));
}

#[test]
fn ipsets_with_a_mask_look_up_the_masked_address() {
    let rules = iptables("-A INPUT -m set --match-set s src -j ACCEPT");
    let set = |net: &str| format!("create s hash:ip family inet netmask 24\nadd s {net}\n");
    assert_eq!(of(&[&rules, &set("10.0.0.0")]).outcome, Outcome::Accept);
    assert_eq!(of(&[&rules, &set("10.0.1.0")]).outcome, Outcome::Drop);
}
