//! The listings: which of them there are to read, and how.

use crate::evidence::Why;
use crate::sys::below::{self, Below};
use crate::{sys, text};
use packet_verdict::Ruleset;
use std::time::Duration;

/// Limit of one listing; a set of 100,000 elements takes nft about a second.
const LIMIT: Duration = Duration::from_secs(4);
/// Largest listing taken.
const LARGEST: usize = 64 << 20;

/// Tables of iptables in nftables (iptables/nft.c of iptables 1.8).
const XT_TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// The rules of this machine, as far as they could be read.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Listings that were read, those without a rule included.
    pub read: Vec<Ruleset>,
    /// Listings that could not be read, with the reason.
    pub unread: Vec<(String, Why)>,
    /// What sees packets before them.
    pub below: Vec<Below>,
}

/// Fetches every listing at once.
pub fn read() -> Rules {
    let legacy = |names: &str| match sys::read_text(names, 4096) {
        Ok(tables) => !tables.trim().is_empty(),
        // Not readable without root, absent without the module: only absence is an answer.
        Err(e) => e.kind() != std::io::ErrorKind::NotFound,
    };
    let legacy_v4 = legacy("/proc/thread-self/net/ip_tables_names");
    let legacy_v6 = legacy("/proc/thread-self/net/ip6_tables_names");
    // The common case costs no process: the kernel says that there is nothing to list, or that we may not ask.
    let tables = sys::netfilter::tables();
    match &tables {
        Ok(none) if none.is_empty() && !legacy_v4 && !legacy_v6 => {
            let read = packet_verdict::parse("nft -j list ruleset", empty("nft")).into_iter().collect();
            return Rules { read, unread: Vec::new(), below: below::look() };
        }
        Err(why @ Why::NotPermitted { .. }) => {
            let unread = vec![("nft".to_owned(), why.clone())];
            return Rules { unread, below: below::look(), ..Rules::default() };
        }
        Ok(_) | Err(_) => {}
    }
    let mut wanted: Vec<(&str, &[&str])> = vec![("nft", &["-j", "list", "ruleset"])];
    // iptables' own tools show their own tables, by whichever back-end; where none of these are, nft shows all.
    let theirs = |family: &str| match &tables {
        Ok(all) => all.iter().any(|t| t.family == family && XT_TABLES.contains(&t.name.as_str())),
        Err(_) => true,
    };
    let without_nft = sys::program("nft").is_none();
    if legacy_v4 || theirs("ip") || without_nft {
        wanted.push(("iptables-save", &["-c"]));
    }
    if legacy_v6 || theirs("ip6") || without_nft {
        wanted.push(("ip6tables-save", &["-c"]));
    }
    if legacy_v4 {
        wanted.push(("iptables-legacy-save", &["-c"]));
    }
    if legacy_v6 {
        wanted.push(("ip6tables-legacy-save", &["-c"]));
    }
    let answers: Vec<(&str, Result<Ruleset, Why>)> = std::thread::scope(|scope| {
        let running: Vec<_> =
            wanted.iter().map(|(name, args)| (*name, scope.spawn(|| list(name, args)))).collect();
        running.into_iter().map(|(name, r)| (name, r.join().unwrap_or(Err(Why::Panicked)))).collect()
    });
    let mut rules = sort_out(answers);
    rules.below = below::look();
    for table in tables.iter().flatten().filter(|t| t.dormant) {
        rules.read.iter_mut().for_each(|r| r.set_dormant(table.family, &table.name));
    }
    if rules.read.iter().any(Ruleset::lacks_devices) {
        for found in sys::netfilter::chains_on_devices().unwrap_or_default() {
            for ruleset in &mut rules.read {
                ruleset.set_devices(found.family, &found.table, &found.chain, &found.devices);
            }
        }
    }
    // Only where a rule asks for them: most hosts have none, and not the tool.
    if rules.read.iter().any(Ruleset::asks_ipsets)
        && let Ok(sets) = list("ipset", &["save"])
    {
        rules.read.push(sets);
    }
    super::ufw::number(&mut rules);
    rules
}

/// Which absences matter: iptables' tools only where nft could not show its tables, or where legacy tables are.
fn sort_out(answers: Vec<(&str, Result<Ruleset, Why>)>) -> Rules {
    let nft = answers.iter().any(|(name, a)| *name == "nft" && a.is_ok());
    let plain_is_legacy = |name: &str| {
        answers.iter().any(|(n, a)| {
            *n == name && a.as_ref().is_ok_and(|r| r.kind == packet_verdict::Kind::Iptables && r.rules() > 0)
        })
    };
    let (v4_read, v6_read) = (plain_is_legacy("iptables-save"), plain_is_legacy("ip6tables-save"));
    let mut rules = Rules::default();
    for (name, answer) in answers {
        // Where iptables-save is the legacy tool itself, the second listing would be the same one.
        let double =
            (name == "iptables-legacy-save" && v4_read) || (name == "ip6tables-legacy-save" && v6_read);
        match answer {
            Ok(_) if double => {}
            Ok(ruleset) => rules.read.push(ruleset),
            Err(_) if double => {}
            Err(Why::Missing { .. }) if nft && !name.contains("legacy") => {}
            Err(why) => rules.unread.push((name.to_owned(), why)),
        }
    }
    rules
}

fn list(name: &str, args: &[&str]) -> Result<Ruleset, Why> {
    let path = sys::program(name).ok_or_else(|| Why::Missing { what: name.to_owned() })?;
    let path = path.to_str().ok_or_else(|| Why::Missing { what: name.to_owned() })?.to_owned();
    let mut argv = vec![path.as_str()];
    argv.extend(args);
    let output = sys::run(&argv, LIMIT, LARGEST)?;
    let stderr = text::shown(&output.stderr, 300);
    if output.code != Some(0) {
        if stderr.contains("ermission") || stderr.contains("not permitted") || stderr.contains("be root") {
            return Err(Why::NotPermitted { needs: format!("root (CAP_NET_ADMIN) to run {name}") });
        }
        return Err(Why::Failed { what: format!("{name}: {stderr}") });
    }
    if output.cut {
        return Err(Why::Garbled { what: format!("{name} printed more than {} MiB", LARGEST >> 20) });
    }
    let label = if args == ["-c"] { name.to_owned() } else { format!("{name} {}", args.join(" ")) };
    let said = String::from_utf8_lossy(&output.stdout);
    // An iptables-save without a table prints nothing at all: no rule of this kind.
    let said = if said.trim().is_empty() { empty(name) } else { &said };
    packet_verdict::parse(&label, said)
        .map_err(|e| Why::Garbled { what: text::shown_str(&e.to_string(), 300) })
}

fn empty(name: &str) -> &'static str {
    match name {
        "nft" => "{\"nftables\": []}",
        "ipset" => "create empty hash:ip\n",
        n if n.starts_with("ip6") => "# Generated by ip6tables-save\n",
        _ => "# Generated by iptables-save\n",
    }
}

#[cfg(test)]
mod tests {
    use super::sort_out;
    use crate::evidence::Why;

    #[test]
    fn a_missing_iptables_is_no_gap_beside_nft() {
        let parsed = |t| packet_verdict::parse("nft", t).expect("empty");
        let missing = || Err(Why::Missing { what: "iptables-save".into() });
        let rules = sort_out(vec![("nft", Ok(parsed("{\"nftables\": []}"))), ("iptables-save", missing())]);
        assert!(rules.unread.is_empty());
        let rules = sort_out(vec![("nft", missing()), ("iptables-save", missing())]);
        assert_eq!(rules.unread.len(), 2);
    }
}
