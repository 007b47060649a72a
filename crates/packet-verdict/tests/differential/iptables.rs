//! Rule sets for iptables-restore and ip6tables-restore.

use crate::generate::{Gen, chain, table};
use crate::iptables_more;
use crate::net::{BEHIND_V4, BEHIND_V6, Host, OWN_V4, OWN_V6};
use crate::spec::{Chain, Table, Tool};

pub(crate) fn tables(g: &mut Gen, tool: Tool) -> Vec<Table> {
    let mut out = Vec::new();
    if g.rng.chance(20) && g.from != Host::Rules {
        let mut raw = table(tool, "raw");
        let mut pre = chain("PREROUTING", Some("ACCEPT".into()));
        let rule = format!(
            "{}{}",
            matches(g, 2, "PREROUTING"),
            g.rng.pick(&["-j NOTRACK", "-j ACCEPT", "-j DROP", "-j RETURN", "-j CT --notrack"])
        );
        pre.rules.push(rule);
        raw.chains.push(pre);
        out.push(raw);
    }
    if g.rng.chance(35) {
        let mut mangle = table(tool, "mangle");
        let hook = if g.from == Host::Rules { "OUTPUT" } else { "PREROUTING" };
        let mut pre = chain(hook, Some("ACCEPT".into()));
        if hook == "OUTPUT" {
            pre.rules.push("-o lo -j ACCEPT".into());
        }
        for _ in 0..=g.rng.below(3) {
            let rule = format!("{}{}", matches(g, 2, hook), mangle_target(g));
            pre.rules.push(rule);
        }
        mangle.chains.push(pre);
        out.push(mangle);
    }
    if g.rng.chance(15) {
        let mut security = table(tool, "security");
        let mut c = chain(main_chain(g), Some(g.rng.pick(&["ACCEPT", "ACCEPT", "DROP"]).to_owned()));
        if g.from == Host::Rules {
            c.rules.push("-o lo -j ACCEPT".into());
        }
        let rule =
            format!("{}{}", matches(g, 2, main_chain(g)), g.rng.pick(&["-j ACCEPT", "-j DROP", "-j RETURN"]));
        c.rules.push(rule);
        security.chains.push(c);
        out.push(security);
    }
    if g.rng.chance(20) && g.from != Host::Rules {
        let mut nat = table(tool, "nat");
        if g.rng.chance(40) {
            let (name, rule) = iptables_more::nat_behind(g);
            let mut behind = chain(name, Some("ACCEPT".into()));
            behind.rules.push(rule);
            nat.chains.push(behind);
        }
        let mut pre = chain("PREROUTING", Some("ACCEPT".into()));
        for _ in 0..=g.rng.below(2) {
            let rule = format!("-p tcp {}{}", matches_after_tcp(g), nat_target(g));
            pre.rules.push(rule);
        }
        nat.chains.push(pre);
        out.push(nat);
    }
    out.push(filter(g, tool));
    out
}

fn main_chain(g: &Gen) -> &'static str {
    match g.main_hook() {
        "input" => "INPUT",
        "forward" => "FORWARD",
        _ => "OUTPUT",
    }
}

fn filter(g: &mut Gen, tool: Tool) -> Table {
    let mut out = table(tool, "filter");
    let main = main_chain(g);
    let policy = if g.rng.chance(50) { "DROP" } else { "ACCEPT" };
    let mut targets: Vec<String> = Vec::new();
    let mut users: Vec<Chain> = Vec::new();
    for n in 0..g.rng.below(4) {
        let mut c = chain(&format!("u{n}"), None);
        for _ in 0..=g.rng.below(4) {
            let rule = rule(g, main, &targets);
            c.rules.push(rule);
        }
        users.push(c);
        targets.push(format!("u{n}"));
    }
    let mut c = chain(main, Some(policy.into()));
    if main == "OUTPUT" {
        c.rules.push("-o lo -j ACCEPT".into());
    }
    for _ in 0..=g.rng.below(7) {
        let rule = rule(g, main, &targets);
        c.rules.push(rule);
    }
    out.chains.push(c);
    // DNAT may turn a packet for this host into a forwarded one and back.
    if main != "OUTPUT" && g.rng.chance(40) {
        let other = if main == "INPUT" { "FORWARD" } else { "INPUT" };
        let mut c = chain(other, Some(g.rng.pick(&["ACCEPT", "DROP"]).to_owned()));
        let rule = rule(g, other, &targets);
        c.rules.push(rule);
        out.chains.push(c);
    }
    out.chains.extend(users);
    out
}

fn rule(g: &mut Gen, hook: &str, targets: &[String]) -> String {
    let words = matches(g, 3, hook);
    format!("{words}{}", target(g, &words, targets))
}

fn target(g: &mut Gen, words: &str, targets: &[String]) -> String {
    let tcp = words.starts_with("-p tcp ");
    match g.rng.below(16) {
        0..=4 => "-j ACCEPT".into(),
        5..=7 => "-j DROP".into(),
        8 => "-j RETURN".into(),
        9 => "-j LOG --log-prefix \"x y\"".into(),
        10 | 11 => reject(g, tcp),
        12 | 13 if !targets.is_empty() => format!("-j {}", targets[g.rng.below(targets.len())]),
        14 if !targets.is_empty() => format!("-g {}", targets[g.rng.below(targets.len())]),
        _ => "-j ACCEPT".into(),
    }
}

fn reject(g: &mut Gen, tcp: bool) -> String {
    if tcp && g.rng.chance(40) {
        return "-j REJECT --reject-with tcp-reset".into();
    }
    let v4 = [
        "icmp-net-unreachable",
        "icmp-host-unreachable",
        "icmp-port-unreachable",
        "icmp-net-prohibited",
        "icmp-host-prohibited",
        "icmp-admin-prohibited",
        "icmp-proto-unreachable",
    ];
    let v6 = [
        "icmp6-no-route",
        "icmp6-adm-prohibited",
        "icmp6-addr-unreachable",
        "icmp6-port-unreachable",
        "icmp6-policy-fail",
        "icmp6-reject-route",
    ];
    match g.rng.chance(30) {
        true => "-j REJECT".into(),
        false if g.v4 => format!("-j REJECT --reject-with {}", g.rng.pick(&v4)),
        false => format!("-j REJECT --reject-with {}", g.rng.pick(&v6)),
    }
}

fn mangle_target(g: &mut Gen) -> String {
    let (a, b) = (g.mark(), g.mark());
    match g.rng.below(11) {
        9 => "-j DROP".into(),
        10 => iptables_more::harmless(g).to_owned(),
        0 => format!("-j MARK --set-mark {a}"),
        1 => format!("-j MARK --set-xmark {a:#x}/{b:#x}"),
        2 => format!("-j MARK --or-mark {a}"),
        3 => format!("-j MARK --and-mark {a}"),
        4 => format!("-j CONNMARK --set-mark {a}"),
        5 => "-j CONNMARK --save-mark".into(),
        6 => "-j CONNMARK --restore-mark".into(),
        7 => "-j RETURN".into(),
        _ => format!("-j MARK --xor-mark {a}"),
    }
}

fn nat_target(g: &mut Gen) -> String {
    let own = if g.v4 { OWN_V4 } else { OWN_V6 };
    let behind = if g.v4 { BEHIND_V4 } else { BEHIND_V6 };
    let addr = if g.rng.chance(40) { behind } else { g.rng.pick(&own) };
    let port = g.a_port();
    match g.rng.below(4) {
        0 => format!("-j REDIRECT --to-ports {port}"),
        1 => format!("-j DNAT --to-destination {addr}"),
        2 if g.v4 => format!("-j DNAT --to-destination {addr}:{port}"),
        2 => format!("-j DNAT --to-destination [{addr}]:{port}"),
        _ => "-j RETURN".into(),
    }
}

fn matches_after_tcp(g: &mut Gen) -> String {
    if g.rng.chance(70) { format!("-m tcp --dport {} ", g.a_port()) } else { String::new() }
}

fn matches(g: &mut Gen, most: usize, hook: &str) -> String {
    let mut out = String::new();
    let tcp = g.rng.chance(60);
    if tcp {
        out.push_str("-p tcp ");
        if g.rng.chance(60) {
            let not = not(g);
            let (lo, hi) = g.port_range();
            let port = g.a_port();
            out.push_str(&match g.rng.below(6) {
                0 | 1 => format!("-m tcp {not}--dport {port} "),
                2 => format!("-m tcp {not}--dport {lo}:{hi} "),
                3 => format!("-m multiport {not}--dports {port},443,9000:9100 "),
                4 => format!(
                    "-m tcp {} ",
                    g.rng.pick(&[
                        "--syn",
                        "! --syn",
                        "--tcp-flags FIN,SYN,RST,ACK SYN",
                        "--tcp-flags ALL NONE",
                        "--sport 1024:65535",
                        "! --sport 1:1023"
                    ])
                ),
                _ => format!("-m multiport --ports {port} "),
            });
        }
    } else if g.rng.chance(15) {
        out.push_str(g.rng.pick(&["-p udp ", "! -p tcp ", "! -p udp ", "-p all "]));
    }
    let mut used = Vec::new();
    for _ in 0..g.rng.below(most + 1) {
        let kind = g.rng.below(18 + iptables_more::MORE);
        if !used.contains(&kind) {
            used.push(kind);
            let words = match kind.checked_sub(18) {
                Some(more) => iptables_more::one_match(g, more, hook, tcp),
                None => one_match(g, kind, hook),
            };
            // One match of a kind: twice it is another rule.
            let module = |w: &str| w.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let twice = words.starts_with("-m ") && out.contains(&format!("-m {} ", module(&words)));
            if !twice {
                out.push_str(&words);
            }
        }
    }
    out
}

fn not(g: &mut Gen) -> &'static str {
    if g.rng.chance(20) { "! " } else { "" }
}

fn one_match(g: &mut Gen, kind: usize, hook: &str) -> String {
    let not = not(g);
    let (inside, outside) = (hook != "OUTPUT", matches!(hook, "OUTPUT" | "FORWARD"));
    match kind {
        0 if g.rng.chance(50) => format!("{not}-s {} ", g.address(true)),
        0 => format!("{not}-s {} ", g.prefix(true)),
        1 => format!("-m iprange {not}--dst-range {0}-{0} ", g.address(false)),
        2 => format!("{not}-d {} ", g.prefix(false)),
        3 if inside => format!("{not}-i {} ", g.rng.pick(&["eth0", "eth+", "lo", "wg+", "eth1"])),
        4 if outside => format!("{not}-o {} ", g.rng.pick(&["eth0", "eth+", "lo", "eth1"])),
        5 => format!(
            "-m conntrack {not}--ctstate {} ",
            g.rng.pick(&[
                "NEW",
                "RELATED,ESTABLISHED",
                "INVALID",
                "NEW,UNTRACKED",
                "UNTRACKED",
                "DNAT",
                "NEW,DNAT"
            ])
        ),
        6 => format!("-m state --state {} ", g.rng.pick(&["NEW", "RELATED,ESTABLISHED", "INVALID"])),
        7 => format!("-m mark {not}--mark {:#x}/{:#x} ", g.mark() & 0xff, 0xffu32),
        8 => format!("-m connmark {not}--mark {} ", g.mark()),
        9 => {
            let (lo, hi) = g.range(true);
            format!("-m iprange {not}--src-range {lo}-{hi} ")
        }
        10 => format!(
            "-m addrtype {not}--dst-type {} ",
            g.rng.pick(&["LOCAL", "UNICAST", "MULTICAST", "LOCAL,UNICAST"])
        ),
        11 => "-m comment --comment \"it's \\\"quoted\\\"\" ".into(),
        12 => format!("-m length {not}--length {} ", g.rng.pick(&["0:200", "0:30", "300:65535"])),
        13 if hook == "OUTPUT" => {
            format!("-m owner {not}--uid-owner {} ", g.rng.pick(&["0", "1000", "0-500"]))
        }
        14 => format!("-m recent {not}--set --name R{} --rsource ", g.rng.below(2)),
        15 => format!(
            "-m hashlimit {not}--hashlimit-upto 200/sec --hashlimit-burst 100 --hashlimit-mode srcip --hashlimit-name h{} ",
            g.rng.below(2)
        ),
        16 => format!(
            "-m limit --limit {} ",
            g.rng.pick(&["100/sec --limit-burst 50", "20/second --limit-burst 40"])
        ),
        17 if inside && g.v4 => format!("-m policy --dir in --pol {} ", g.rng.pick(&["none", "ipsec"])),
        13 if g.rng.chance(10) => "-m limit --limit 1/min ".into(),
        _ => String::new(),
    }
}
