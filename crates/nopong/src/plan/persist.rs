//! Keeping a rule across a reboot, the way the distribution keeps its rules: in the file that a service loads at boot,
//! where that service is enabled and the file has the chain. Nothing else is written; what is not kept is said.

use super::NoPlan;
use crate::apply::{Action, EditFile, Iptables, Nft};
use crate::sys;

/// Services that load rules at boot, by the link that `systemctl enable` makes, and their files.
const NFT: (&str, &[&str]) = ("nftables.service", &["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"]);
const V4: (&str, &[&str]) =
    ("netfilter-persistent.service", &["/etc/iptables/rules.v4", "/etc/sysconfig/iptables"]);
const V6: (&str, &[&str]) =
    ("netfilter-persistent.service", &["/etc/iptables/rules.v6", "/etc/sysconfig/ip6tables"]);

/// The edit that keeps an nft or iptables rule, or the words that it is not kept. Other owners keep theirs themselves.
pub(super) fn keep(action: &Action) -> Result<Option<Action>, NoPlan> {
    match action {
        Action::Nft(rule) => edit(NFT, |text| with_nft(text, rule)),
        Action::Iptables(rule) if rule.tool.starts_with("ip6") => edit(V6, |text| with_iptables(text, rule)),
        Action::Iptables(rule) => edit(V4, |text| with_iptables(text, rule)),
        _ => Ok(None),
    }
}

fn edit(
    (service, files): (&str, &[&str]),
    with: impl Fn(&str) -> Option<String>,
) -> Result<Option<Action>, NoPlan> {
    let enabled = ["sysinit.target.wants", "multi-user.target.wants", "basic.target.wants"]
        .iter()
        .any(|wants| sys::lstat(format!("/etc/systemd/system/{wants}/{service}")).is_ok());
    let unkept = || NoPlan::Advice(None);
    if !enabled {
        return Err(unkept());
    }
    for path in files {
        let Ok(before) = sys::read_text(path, sys::FILE_MAX) else { continue };
        if let Some(after) = with(&before) {
            let made =
                EditFile::new(path, "the same rule at boot", before.as_bytes(), after.into_bytes(), |_| {
                    false
                });
            return made.map(|e| e.map(Action::EditFile)).map_err(|f| NoPlan::Refused(f.says));
        }
    }
    Err(unkept())
}

/// At the head of the chain in a file as people write it: one table and one chain opened per line.
fn with_nft(text: &str, rule: &Nft) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let opens = |line: &str, words: &[&str]| {
        let found: Vec<&str> = line.trim().trim_end_matches('{').split_whitespace().collect();
        line.trim().ends_with('{') && found == words
    };
    let full = ["table", rule.family.as_str(), rule.table.as_str()];
    // `ip` is what a table is without a family (nft(8)).
    let short = ["table", rule.table.as_str()];
    let table = lines.iter().position(|l| opens(l, &full) || (rule.family == "ip" && opens(l, &short)))?;
    let end =
        lines[table + 1..].iter().position(|l| l.starts_with('}')).map_or(lines.len(), |n| table + 1 + n);
    let chain = table + 1 + lines[table + 1..end].iter().position(|l| opens(l, &["chain", &rule.chain]))?;
    let typed = lines[chain + 1..end].iter().take_while(|l| {
        let line = l.trim();
        line.is_empty() || line.starts_with("type ") || line.starts_with("policy ") || line.starts_with('#')
    });
    let at = chain + 1 + typed.count();
    let indent: String = lines[chain].chars().take_while(|c| c.is_whitespace()).collect();
    let unit = if indent.is_empty() { "\t" } else { &indent };
    Some([&lines[..at].concat(), &indent, unit, &rule.words(), "\n", &lines[at..].concat()].concat())
}

/// Before the first rule of the chain, in the format of iptables-save.
fn with_iptables(text: &str, rule: &Iptables) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let table = lines.iter().position(|l| l.trim() == format!("*{}", rule.table))?;
    let end = table + lines[table..].iter().position(|l| l.trim() == "COMMIT")?;
    let declared = format!(":{} ", rule.chain);
    lines[table..end].iter().find(|l| l.starts_with(&declared))?;
    let first = format!("-A {} ", rule.chain);
    let at = lines[table..end].iter().position(|l| l.starts_with(&first)).map_or(end, |n| table + n);
    let line = format!("-A {} {}\n", rule.chain, rule.specification().join(" "));
    Some([&lines[..at].concat(), line.as_str(), &lines[at..].concat()].concat())
}

#[cfg(test)]
mod tests {
    use super::{with_iptables, with_nft};
    use crate::apply::{Iptables, Nft};

    #[test]
    fn the_rule_stands_at_the_head_of_its_chain() {
        let rule = Nft {
            family: "inet".into(),
            table: "filter".into(),
            chain: "input".into(),
            before: Some(4),
            source: "10.0.0.9".into(),
            port: 6379,
        };
        let text = "flush ruleset\n\ntable inet filter {\n\tchain forward {\n\t}\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tiif lo accept\n\t}\n}\n";
        let made = with_nft(text, &rule).expect("the chain is there");
        let rule_line = "\t\tip saddr 10.0.0.9 tcp dport 6379 accept comment \"nopong\"\n";
        assert!(made.contains(&format!("policy drop;\n{rule_line}\t\tiif lo accept")), "{made}");
        assert_eq!(made.replacen(rule_line, "", 1), text);
        assert!(with_nft("table inet other {\n\tchain input {\n\t}\n}\n", &rule).is_none());
    }

    #[test]
    fn the_rule_stands_before_the_chains_first() {
        let rule = Iptables {
            tool: "iptables".into(),
            table: "filter".into(),
            chain: "INPUT".into(),
            place: 1,
            source: "10.0.0.9".into(),
            port: 6379,
        };
        let text = "*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n";
        let made = with_iptables(text, &rule).expect("the chain is there");
        let lines: Vec<&str> = made.lines().collect();
        assert!(
            lines[5].starts_with("-A INPUT -s 10.0.0.9 ") && lines[6] == "-A INPUT -i lo -j ACCEPT",
            "{made}"
        );
    }
}
