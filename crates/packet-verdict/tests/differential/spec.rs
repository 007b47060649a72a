//! A generated rule set in pieces, so that it can be written for its tool and made smaller.

use crate::net::Host;
use std::fmt::Write as _;
use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Nft,
    IptablesNft,
    IptablesLegacy,
}

#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) name: String,
    /// nft: the line of a base chain; iptables: the policy.
    pub(crate) head: Option<String>,
    pub(crate) rules: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) tool: Tool,
    /// `inet filter`, `filter`.
    pub(crate) name: String,
    pub(crate) sets: Vec<String>,
    pub(crate) chains: Vec<Chain>,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) from: Host,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) port: u16,
    pub(crate) tables: Vec<Table>,
    /// Lines for `ipset restore`.
    pub(crate) ipsets: Vec<String>,
}

impl Case {
    pub(crate) fn uses(&self, tool: Tool) -> bool {
        self.tables.iter().any(|t| t.tool == tool)
    }

    /// The text the tool loads.
    pub(crate) fn text(&self, tool: Tool) -> String {
        let mut out = String::new();
        for table in self.tables.iter().filter(|t| t.tool == tool) {
            if tool == Tool::Nft { nft(&mut out, table) } else { iptables(&mut out, table) }
        }
        out
    }

    /// Every case with one piece less.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut out = Vec::new();
        let mut without = |change: &dyn Fn(&mut Self)| {
            let mut copy = self.clone();
            change(&mut copy);
            out.push(copy);
        };
        for (n, _) in self.ipsets.iter().enumerate().filter(|(_, l)| l.starts_with("add ")) {
            without(&|c| drop(c.ipsets.remove(n)));
        }
        for (t, table) in self.tables.iter().enumerate() {
            without(&|c| drop(c.tables.remove(t)));
            for (s, _) in table.sets.iter().enumerate() {
                without(&|c| drop(c.tables[t].sets.remove(s)));
            }
            for (n, chain) in table.chains.iter().enumerate() {
                without(&|c| drop(c.tables[t].chains.remove(n)));
                for (r, rule) in chain.rules.iter().enumerate() {
                    // Without it the answer of a reject in OUTPUT is lost, which is another matter.
                    if rule.contains("-o lo -j ACCEPT") || rule.starts_with("oifname \"lo\" accept") {
                        continue;
                    }
                    without(&|c| drop(c.tables[t].chains[n].rules.remove(r)));
                    // One word or one match less.
                    for cut in parts(rule) {
                        without(&|c| c.tables[t].chains[n].rules[r].clone_from(&cut));
                    }
                }
            }
        }
        out
    }
}

/// A rule without each run of one to four of its words.
fn parts(rule: &str) -> Vec<String> {
    let words: Vec<&str> = rule.split(' ').collect();
    let mut out = Vec::new();
    for len in 1..=6 {
        for start in 0..words.len().saturating_sub(len) {
            let kept: Vec<&str> = words[..start].iter().chain(&words[start + len..]).copied().collect();
            out.push(kept.join(" "));
        }
    }
    out
}

fn nft(out: &mut String, table: &Table) {
    writeln!(out, "table {} {{", table.name).expect("memory");
    for set in &table.sets {
        writeln!(out, "  {set}").expect("memory");
    }
    // All chains first, so that jumps and maps find them.
    for chain in &table.chains {
        let head = chain.head.as_deref().unwrap_or_default();
        writeln!(out, "  chain {} {{ {head}\n  }}", chain.name).expect("memory");
    }
    writeln!(out, "}}").expect("memory");
    writeln!(out, "table {} {{", table.name).expect("memory");
    for chain in &table.chains {
        writeln!(out, "  chain {} {{", chain.name).expect("memory");
        for rule in &chain.rules {
            writeln!(out, "    {rule}").expect("memory");
        }
        writeln!(out, "  }}").expect("memory");
    }
    writeln!(out, "}}").expect("memory");
}

fn iptables(out: &mut String, table: &Table) {
    writeln!(out, "*{}", table.name).expect("memory");
    for chain in &table.chains {
        writeln!(out, ":{} {} [0:0]", chain.name, chain.head.as_deref().unwrap_or("-")).expect("memory");
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            writeln!(out, "-A {} {rule}", chain.name).expect("memory");
        }
    }
    writeln!(out, "COMMIT").expect("memory");
}
