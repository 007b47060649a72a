//! Several rule sets as one: which tables to judge when two listings show the same ones.

use crate::model::{Action, Cond, Expr, Field, Kind, Op, Ruleset, SetRef, Stmt, Table};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The tables iptables makes; `nft` lists those of iptables-nft too, with matches it cannot name.
const XT_TABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];

/// Rule sets without the nft listing of tables that an `iptables-save` text of the nft back-end shows better.
pub(crate) fn for_judging(rulesets: &[Ruleset]) -> Vec<Cow<'_, Ruleset>> {
    let saved = |table: &Table| {
        rulesets
            .iter()
            .filter(|r| r.kind == Kind::IptablesNft)
            .any(|r| r.tables.iter().any(|t| t.family == table.family && t.name == table.name))
    };
    rulesets
        .iter()
        .map(|ruleset| {
            let double = |t: &Table| XT_TABLES.contains(&t.name.as_str()) && saved(t);
            if ruleset.kind == Kind::Nft && ruleset.tables.iter().any(double) {
                let mut copy = ruleset.clone();
                copy.tables.retain(|t| !double(t));
                Cow::Owned(copy)
            } else {
                Cow::Borrowed(ruleset)
            }
        })
        .collect()
}

/// Whether any rule gives a packet another destination.
pub(crate) fn translates(ruleset: &Ruleset) -> bool {
    let mut rules = ruleset.tables.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules);
    rules.any(|r| r.stmts.iter().any(|s| matches!(s, Stmt::Dnat { .. })))
}

/// The interface behind which the address is, as a rule has it that lets packets through to both (`-d 172.17.0.2 -o docker0
/// -j ACCEPT`): for one who has no routes. Of several the narrowest prefix counts; `None` if those disagree.
pub(crate) fn behind(rulesets: &[&Ruleset], addr: u128) -> Option<u128> {
    let mut best: Option<(u128, Option<u128>)> = None;
    let rules = rulesets.iter().flat_map(|r| &r.tables).flat_map(|t| &t.chains).flat_map(|c| &c.rules);
    for rule in rules.filter(|r| matches!(r.stmts.last(), Some(Stmt::Do(Action::Accept)))) {
        let (mut to, mut out) = (None, None);
        for stmt in &rule.stmts {
            let Stmt::If(Cond::Cmp(Expr::Field(field), Op::Eq, right)) = stmt else { continue };
            match (field, right) {
                (Field::Daddr | Field::DaddrV4 | Field::DaddrV6, Expr::Const(n)) => to = Some((*n, *n)),
                (Field::Daddr | Field::DaddrV4 | Field::DaddrV6, Expr::Range(lo, hi)) => {
                    to = Some((*lo, *hi));
                }
                (Field::OifName, Expr::Const(n)) => out = Some(*n),
                _ => {}
            }
        }
        let (Some((lo, hi)), Some(out)) = (to, out) else { continue };
        // Half the world lies behind no bridge.
        let widest = if hi <= u128::from(u32::MAX) { 0xffff } else { u128::from(u64::MAX) };
        if !(lo..=hi).contains(&addr) || hi - lo > widest {
            continue;
        }
        match &mut best {
            Some((width, _)) if *width < hi - lo => {}
            Some((width, at)) if *width == hi - lo => {
                if *at != Some(out) {
                    *at = None;
                }
            }
            best => *best = Some((hi - lo, Some(out))),
        }
    }
    best?.1
}

/// Every range of interface names that a rule asks for.
pub(crate) fn interface_ranges(ruleset: &Ruleset, out: &mut BTreeSet<(u128, u128)>) {
    for table in &ruleset.tables {
        for chain in &table.chains {
            if let Some(base) = &chain.base {
                let bits = base.devices.iter().filter_map(|d| crate::value::name_bits(d));
                out.extend(bits.map(|b| (b, b)));
            }
            for stmt in chain.rules.iter().flat_map(|r| &r.stmts) {
                match stmt {
                    Stmt::If(cond) => of_cond(cond, table, out),
                    Stmt::Vmap(key, set) => of_set(key, set, table, out),
                    Stmt::Dnat { map: Some((key, set)), .. } => of_set(key, set, table, out),
                    Stmt::SetMark(expr) | Stmt::SetCtMark(expr) => of_expr(expr, table, out),
                    _ => {}
                }
            }
        }
    }
}

fn is_name(expr: &Expr) -> bool {
    matches!(expr, Expr::Field(Field::IifName | Field::OifName))
}

fn of_cond(cond: &Cond, table: &Table, out: &mut BTreeSet<(u128, u128)>) {
    match cond {
        Cond::Cmp(left, _, right) if is_name(left) => match right {
            Expr::Const(n) => {
                out.insert((*n, *n));
            }
            Expr::Range(lo, hi) => {
                out.insert((*lo, *hi));
            }
            _ => {}
        },
        Cond::In(key, set, _) => of_set(key, set, table, out),
        Cond::Not(inner) => of_cond(inner, table, out),
        Cond::All(list) | Cond::Any(list) => list.iter().for_each(|c| of_cond(c, table, out)),
        _ => {}
    }
}

fn of_expr(expr: &Expr, table: &Table, out: &mut BTreeSet<(u128, u128)>) {
    if let Expr::Map(key, set) = expr {
        of_set(key, set, table, out);
    }
}

fn of_set(key: &[Expr], set: &SetRef, table: &Table, out: &mut BTreeSet<(u128, u128)>) {
    let data = match set {
        SetRef::Anonymous(data) => data,
        SetRef::Named(name) => match table.sets.get(name) {
            Some(data) => data,
            None => return,
        },
        SetRef::Ipset(_) => return,
    };
    for (place, expr) in key.iter().enumerate() {
        if is_name(expr) {
            data.field_ranges(place, out);
        }
    }
}

/// Chains that are called but not there, and names used by a verdict: for the reader of a file.
pub(crate) fn missing_chain(table: &Table) -> Option<(u32, String)> {
    for rule in table.chains.iter().flat_map(|c| &c.rules) {
        for stmt in &rule.stmts {
            if let Stmt::Do(Action::Jump(name) | Action::Goto(name)) = stmt
                && !table.by_name.contains_key(name)
            {
                return Some((rule.line, name.clone()));
            }
        }
    }
    None
}
