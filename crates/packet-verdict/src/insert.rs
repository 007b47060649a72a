//! A rule set with one rule more: what it would do, before anybody makes the rule.

use crate::judge::family_word;
use crate::model::{Action, Chain, Cond, Expr, Field, Kind, Op, Rule, Ruleset, Stmt};
use crate::packet::{addr_bits, prefix_range};
use std::net::IpAddr;

/// Where in its chain a rule is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    Head,
    /// Behind all others.
    Tail,
    /// Before the rule with this handle, as `nft insert rule … position` does.
    Before(u64),
}

/// A rule that accepts TCP from a network to one port.
#[derive(Debug, Clone, Copy)]
pub struct Allow<'a> {
    /// `inet`, `ip`, `ip6`, `netdev`; `ip` or `ip6` for iptables.
    pub family: &'a str,
    pub table: &'a str,
    pub chain: &'a str,
    pub place: Place,
    pub source: IpAddr,
    /// Bits of `source` that count.
    pub prefix: u8,
    /// One destination; any without.
    pub to: Option<IpAddr>,
    pub port: u16,
    /// It is the port that was dialled, not the one that a nat rule put in its place.
    pub published: bool,
}

impl Ruleset {
    /// Adds the rule, and tells whether its chain and place are here.
    pub fn insert(&mut self, allow: &Allow<'_>) -> bool {
        let same = |t: &&mut crate::model::Table| {
            family_word(t.family) == allow.family
                && t.name == allow.table
                && t.by_name.contains_key(allow.chain)
        };
        let Some(table) = self.tables.iter_mut().find(same) else { return false };
        let Some(chain) = table.by_name.get(allow.chain).and_then(|c| table.chains.get_mut(*c)) else {
            return false;
        };
        let Some(at) = allow.place.among(chain) else { return false };
        chain.rules.insert(at, allow.rule());
        true
    }

    /// Whether it has that chain.
    #[must_use]
    pub fn has_chain(&self, family: &str, table: &str, chain: &str) -> bool {
        let same = |t: &&crate::model::Table| family_word(t.family) == family && t.name == table;
        self.tables.iter().filter(same).any(|t| t.by_name.contains_key(chain))
    }

    /// Whether it is a listing of iptables, of either back-end.
    #[must_use]
    pub fn is_iptables(&self) -> bool {
        matches!(self.kind, Kind::Iptables | Kind::IptablesNft)
    }
}

impl Place {
    fn among(self, chain: &Chain) -> Option<usize> {
        match self {
            Self::Head => Some(0),
            Self::Tail => Some(chain.rules.len()),
            Self::Before(handle) => chain.rules.iter().position(|r| r.handle == Some(handle)),
        }
    }
}

impl Allow<'_> {
    fn rule(&self) -> Rule {
        let v4 = self.source.is_ipv4();
        let width = if v4 { 32 } else { 128 };
        let (lo, hi) = prefix_range(addr_bits(self.source), self.prefix.into(), width);
        let (saddr, daddr) =
            if v4 { (Field::SaddrV4, Field::DaddrV4) } else { (Field::SaddrV6, Field::DaddrV6) };
        let is = |field, value| Stmt::If(Cond::Cmp(Expr::Field(field), Op::Eq, value));
        let mut stmts = vec![
            is(saddr, Expr::Range(lo, hi)),
            // TCP is protocol 6 (IANA).
            is(Field::L4Proto, Expr::Const(6)),
            is(if self.published { Field::CtOrigDport } else { Field::Dport }, Expr::Const(self.port.into())),
        ];
        stmts.extend(self.to.map(|to| is(daddr, Expr::Const(addr_bits(to)))));
        stmts.push(Stmt::Do(Action::Accept));
        let text = format!("{}/{} to port {} accept", self.source, self.prefix, self.port);
        Rule { stmts, text, ..Rule::default() }
    }
}
