//! How long reading and judging large rule sets takes: `cargo bench -p packet-verdict`.

use packet_verdict::{Packet, judge, parse};
use std::io::Write as _;
use std::time::Instant;

fn nft(rules: usize, elements: usize) -> String {
    let mut out = String::from(
        r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"table": {"family": "inet", "name": "f", "handle": 1}}, "#,
    );
    let addr = |n: usize| format!("11.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
    let listed: Vec<String> = (0..elements).map(|n| format!("\"{}\"", addr(2 * n))).collect();
    out.push_str(&format!(
        r#"{{"set": {{"family": "inet", "name": "s", "table": "f", "type": "ipv4_addr", "handle": 2, "elem": [{}]}}}}, "#,
        listed.join(", ")
    ));
    out.push_str(r#"{"chain": {"family": "inet", "table": "f", "name": "in", "handle": 3, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}"#);
    for n in 0..rules {
        let source = if n % 10 == 0 {
            "\"@s\"".to_owned()
        } else {
            format!(r#"{{"prefix": {{"addr": "{}", "len": 28}}}}"#, addr(16 * n))
        };
        out.push_str(&format!(
            r#", {{"rule": {{"family": "inet", "table": "f", "chain": "in", "handle": {}, "comment": "rule {n}", "expr": [{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "ip", "field": "saddr"}}}}, "right": {source}}}}}, {{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": {{"set": [22, 80, {{"range": [6000, 7000]}}]}}}}}}, {{"counter": {{"packets": 0, "bytes": 0}}}}, {{"accept": null}}]}}}}"#,
            n + 4
        ));
    }
    out.push_str("]}");
    out
}

fn iptables(rules: usize) -> String {
    let mut out = String::from("*filter\n:INPUT DROP [0:0]\n");
    for n in 0..rules {
        out.push_str(&format!("[0:0] -A INPUT -s 11.{}.{}.0/24 -i eth0 -p tcp -m conntrack --ctstate NEW -m multiport --dports 22,6000:7000 -m comment --comment \"rule {n}\" -j ACCEPT\n", n >> 8 & 255, n & 255));
    }
    out.push_str("COMMIT\n");
    out
}

fn figure(name: &str, text: &str) {
    let started = Instant::now();
    let ruleset = parse(name, text).expect("a rule set");
    let read = started.elapsed();
    let packet = Packet::new([10, 0, 0, 9].into(), [10, 0, 0, 5].into(), 6379);
    let started = Instant::now();
    let verdict = judge(&[ruleset], &packet);
    let judged = started.elapsed();
    drop(writeln!(
        std::io::stdout(),
        "{name}: {:.1} MB read in {:.1} ms, judged in {:.2} ms ({})",
        text.len() as f64 / 1e6,
        read.as_secs_f64() * 1e3,
        judged.as_secs_f64() * 1e3,
        verdict.outcome.word()
    ));
}

fn main() {
    figure("nft, 10,000 rules", &nft(10_000, 10));
    figure("nft, 10,000 rules and a set of 100,000", &nft(10_000, 100_000));
    figure("iptables-save, 10,000 rules", &iptables(10_000));
}
