//! Keeping rules across a reboot, the way the distribution keeps its rules: in the file that a service loads at boot,
//! where that service is enabled and the file has the chain. Nothing else is written; what is not kept is said.

use super::NoPlan;
use crate::apply::{Action, EditFile, Iptables, Nft};
use crate::sys;

/// Services that load rules at boot, by the link that `systemctl enable` makes, and their files.
const NFT: &[(&str, &str)] =
    &[("nftables.service", "/etc/nftables.conf"), ("nftables.service", "/etc/sysconfig/nftables.conf")];
const V4: &[(&str, &str)] = &[
    ("netfilter-persistent.service", "/etc/iptables/rules.v4"),
    ("iptables.service", "/etc/sysconfig/iptables"),
];
const V6: &[(&str, &str)] = &[
    ("netfilter-persistent.service", "/etc/iptables/rules.v6"),
    ("ip6tables.service", "/etc/sysconfig/ip6tables"),
];
/// Files that one rule set includes; a directory of fragments has a dozen.
const INCLUDES: usize = 100;

/// A file, as it is and as it is to be.
struct Kept {
    path: String,
    before: String,
    after: String,
}

/// The edits that keep nft and iptables rules, and whether they keep all of them. Other owners keep theirs themselves.
pub(super) fn keep(rules: &[&Action]) -> Result<(Vec<Action>, bool), NoPlan> {
    let mut files: Vec<Kept> = Vec::new();
    let mut all = true;
    for rule in rules {
        all &= match rule {
            Action::Nft(rule) => enabled(NFT).any(|main| nft(&mut files, main, rule)),
            Action::Iptables(rule) => {
                let places = if rule.tool.starts_with("ip6") { V6 } else { V4 };
                enabled(places).any(|path| {
                    take(&mut files, path).is_some_and(|file| edit(file, |text| with_iptables(text, rule)))
                })
            }
            _ => true,
        };
    }
    let mut edits = Vec::new();
    for file in files {
        let (before, after) = (file.before.as_bytes(), file.after.into_bytes());
        let made = EditFile::new(&file.path, "the same rule at boot", before, after, |_| false);
        edits.extend(made.map_err(|f| NoPlan::Refused(f.says))?.map(Action::EditFile));
    }
    Ok((edits, all))
}

/// Files of services that run at boot.
fn enabled(places: &'static [(&str, &'static str)]) -> impl Iterator<Item = &'static str> {
    const WANTS: [&str; 3] = ["sysinit.target.wants", "multi-user.target.wants", "basic.target.wants"];
    let is = |service: &str| {
        WANTS.iter().any(|wants| sys::lstat(format!("/etc/systemd/system/{wants}/{service}")).is_ok())
    };
    places.iter().filter(move |(service, _)| is(service)).map(|(_, path)| *path)
}

/// The file among those that change, read once.
fn take<'a>(files: &'a mut Vec<Kept>, path: &str) -> Option<&'a mut Kept> {
    let at = match files.iter().position(|f| f.path == path) {
        Some(at) => at,
        None => {
            let before = sys::read_text(path, sys::FILE_MAX).ok()?;
            files.push(Kept { path: path.to_owned(), after: before.clone(), before });
            files.len() - 1
        }
    };
    files.get_mut(at)
}

fn edit(file: &mut Kept, with: impl Fn(&str) -> Option<String>) -> bool {
    let Some(after) = with(&file.after) else { return false };
    file.after = after;
    true
}

/// In the file that has the chain: the main one, or one that it includes. Where the chain is made by commands, behind them.
fn nft(files: &mut Vec<Kept>, main: &str, rule: &Nft) -> bool {
    let Some(text) = take(files, main).map(|f| f.after.clone()) else { return false };
    let mut paths = vec![main.to_owned()];
    paths.extend(includes(&text));
    if paths.iter().any(|p| take(files, p).is_some_and(|file| edit(file, |text| with_nft(text, rule)))) {
        return true;
    }
    let made = paths.iter().any(|p| take(files, p).is_some_and(|f| makes_chain(&f.after, rule)));
    made && take(files, main).is_some_and(|file| edit(file, |text| Some(appended(text, rule))))
}

/// The files of `include "…"`, patterns in the last part resolved (nft(8): includes of a pattern are in the order of names).
fn includes(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let Some(path) = line.trim().strip_prefix("include").map(|r| r.trim().trim_matches('"')) else {
            continue;
        };
        // A relative path is looked for where nft was built to look, which is /etc.
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/etc/{path}") };
        let Some((dir, name)) = path.rsplit_once('/') else { continue };
        let Some((start, end)) = name.split_once('*') else {
            out.push(path);
            continue;
        };
        let fits = |n: &String| {
            n.len() >= start.len() + end.len()
                && n.starts_with(start)
                && n.ends_with(end)
                && !n.starts_with('.')
        };
        let names = sys::list(dir, INCLUDES).unwrap_or_default();
        let mut names: Vec<String> =
            names.into_iter().filter_map(|n| n.into_string().ok()).filter(fits).collect();
        names.sort();
        out.extend(names.into_iter().map(|n| format!("{dir}/{n}")));
    }
    out.truncate(INCLUDES);
    out
}

/// `add chain inet filter input { … }`.
fn makes_chain(text: &str, rule: &Nft) -> bool {
    let full = ["chain", &rule.family, &rule.table, &rule.chain];
    let short = ["chain", &rule.table, &rule.chain];
    text.lines().any(|line| {
        let words: Vec<&str> = line.split(['{', ';']).next().unwrap_or_default().split_whitespace().collect();
        matches!(words.first(), Some(&("add" | "create")))
            && (words.get(1..) == Some(&full) || (rule.family == "ip" && words.get(1..) == Some(&short)))
    })
}

/// The last command of the file puts the rule at the head of its chain.
fn appended(text: &str, rule: &Nft) -> String {
    let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let Nft { family, table, chain, .. } = rule;
    format!("{text}{line_end}insert rule {family} {table} {chain} {}\n", rule.words())
}

/// At the head of the chain in a file of nested blocks, behind what the chain says of itself.
fn with_nft(text: &str, rule: &Nft) -> Option<String> {
    let body = chain_body(text, rule)?;
    let mut at = body;
    while let Some(end) = property(text, at) {
        at = end;
    }
    let rest = text.get(at..)?;
    let (line_start, words) = (text.get(..at)?.rfind('\n').map_or(0, |n| n + 1), rule.words());
    // On a line of its own, where the block has lines.
    let newline = rest.find('\n').filter(|n| {
        let left = rest.get(..*n).unwrap_or_default().trim();
        left.is_empty() || left.starts_with('#')
    });
    Some(match newline {
        Some(newline) => {
            let at = at + newline + 1;
            let indent = |line: &str| line.chars().take_while(|c| c.is_whitespace()).collect::<String>();
            let own = indent(text.get(line_start..)?.lines().next()?);
            let unit = if line_start <= body && own.is_empty() { "\t" } else { &own };
            let deeper = if line_start <= body { format!("{own}{unit}") } else { own.clone() };
            format!("{}{deeper}{words}\n{}", text.get(..at)?, text.get(at..)?)
        }
        None => {
            let head = text.get(..at)?.trim_end();
            let separator = if head.ends_with([';', '{']) { "" } else { ";" };
            format!("{}{separator} {words};{rest}", text.get(..at)?)
        }
    })
}

/// Where the chain's block begins.
fn chain_body(text: &str, rule: &Nft) -> Option<usize> {
    let full = ["table", rule.family.as_str(), rule.table.as_str()];
    // `ip` is what a table is without a family (nft(8)).
    let short = ["table", rule.table.as_str()];
    let chain = ["chain", rule.chain.as_str()];
    let (mut depth, mut in_table, mut from) = (0usize, false, 0);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'#' => {
                bytes.by_ref().find(|(_, b)| *b == b'\n');
                // What follows begins after the comment.
                from = text.get(at..)?.find('\n').map_or(text.len(), |n| at + n + 1);
            }
            b'"' => drop(bytes.by_ref().find(|(_, b)| *b == b'"')),
            b'{' => {
                let words: Vec<&str> = text.get(from..at)?.split_whitespace().collect();
                let words = words.strip_prefix(&["add"]).unwrap_or(&words);
                match depth {
                    0 => in_table = words == full || (rule.family == "ip" && words == short),
                    1 if in_table && words == chain => return Some(at + 1),
                    _ => {}
                }
                (depth, from) = (depth + 1, at + 1);
            }
            b'}' => (depth, from) = (depth.saturating_sub(1), at + 1),
            b';' | b'\n' => from = at + 1,
            _ => {}
        }
    }
    None
}

/// The end of a statement that is about the chain itself, or of a comment line; none where a rule begins.
fn property(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let start = at + rest.len() - rest.trim_start().len();
    let rest = text.get(start..)?;
    let word = rest.split_whitespace().next()?;
    if !matches!(word, "type" | "policy" | "flags" | "comment" | "devices") && !word.starts_with(';') {
        return None;
    }
    let mut depth = 0;
    for (n, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(start + n),
            b'}' => depth -= 1,
            b';' if depth == 0 => return Some(start + n + 1),
            b'\n' if depth == 0 => return Some(start + n),
            _ => {}
        }
    }
    None
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
    use super::{appended, makes_chain, with_iptables, with_nft};
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
            published: false,
        };
        let text = "flush ruleset\n\ntable inet filter {\n\tchain forward {\n\t}\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tiif lo accept\n\t}\n}\n";
        let made = with_nft(text, &rule).expect("the chain is there");
        let rule_line = "\t\tip saddr 10.0.0.9 tcp dport 6379 accept comment \"nopong\"\n";
        assert!(made.contains(&format!("policy drop;\n{rule_line}\t\tiif lo accept")), "{made}");
        assert_eq!(made.replacen(rule_line, "", 1), text);
        assert!(with_nft("table inet other {\n\tchain input {\n\t}\n}\n", &rule).is_none());
    }

    #[test]
    fn the_chain_is_found_however_it_is_written() {
        let rule = |family: &str, chain: &str| Nft {
            family: family.into(),
            table: "fw".into(),
            chain: chain.into(),
            before: None,
            source: "10.0.0.9".into(),
            port: 6379,
            published: false,
        };
        let words = "ip saddr 10.0.0.9 tcp dport 6379 accept comment \"nopong\"";
        let one = "table inet fw { chain in { type filter hook input priority 0; policy drop; iif lo accept; }; }\n";
        let made = with_nft(one, &rule("inet", "in")).expect("the chain is there");
        assert_eq!(made, one.replace("policy drop;", &format!("policy drop; {words};")));
        let short = "table inet fw { chain in { type filter hook input priority 0 } }";
        let made = with_nft(short, &rule("inet", "in")).expect("the chain is there");
        assert_eq!(made, short.replace("0 }", &format!("0 ; {words};}}")));
        let bare =
            "table fw {\n  # chain in {\n  chain a { }\n  chain in {\n    tcp dport 6379 drop\n  }\n}\n";
        let made = with_nft(bare, &rule("ip", "in")).expect("a table without a family");
        assert_eq!(made, bare.replace("    tcp", &format!("    {words}\n    tcp")));
        assert!(with_nft(bare, &rule("inet", "in")).is_none());
        let devices = "table netdev fw {\n\tchain in {\n\t\ttype filter hook ingress devices = { a, b } priority 0\n\t\tpolicy accept\n\t\tcounter\n\t}\n}\n";
        let made = with_nft(devices, &rule("netdev", "in")).expect("the chain is there");
        assert_eq!(made, devices.replace("\t\tcounter", &format!("\t\t{words}\n\t\tcounter")));
        let commands =
            "add table inet fw\nadd chain inet fw in { type filter hook input priority 0; policy drop; }";
        assert!(with_nft(commands, &rule("inet", "in")).is_none());
        assert!(makes_chain(commands, &rule("inet", "in")) && !makes_chain(commands, &rule("inet", "out")));
        let made = appended(commands, &rule("inet", "in"));
        assert!(made.ends_with(&format!("}}\ninsert rule inet fw in {words}\n")), "{made}");
        for hostile in [
            "",
            "{",
            "}",
            "table inet fw {",
            "table inet fw { chain in {",
            "\"",
            "#",
            "table inet fw { chain in { type",
        ] {
            drop(with_nft(hostile, &rule("inet", "in")));
        }
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
            published: false,
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
