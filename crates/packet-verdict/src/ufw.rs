//! The numbers of `ufw status numbered`. No listing of the kernel's rules has them: ufw counts the rules of all directions
//! together, those for IPv6 behind those for IPv4, and an application's only once. Its own files have that order:
//! each rule is a comment `### tuple ###` and, behind it, the lines it makes (backend_iptables.py, ufw 0.35 to 0.36).

use crate::iptables::rule_of;
use crate::model::{Rule, Ruleset};
use std::collections::{BTreeMap, HashMap};

/// By chain: each line of it, with the number of the rule that made it.
type Lines<'a> = HashMap<&'a str, Vec<(&'a str, u32)>>;

/// Numbers the rules that ufw made, from the texts of its `user.rules` and `user6.rules` (empty where IPv6 is off). A chain
/// that does not hold what the files say, as after a change by hand, is left alone.
pub fn number_ufw(rulesets: &mut [Ruleset], user: &str, user6: &str) {
    let mut count = 0;
    let mut lines = Lines::new();
    for text in [user, user6] {
        read(text, &mut count, &mut lines);
    }
    for chain in rulesets.iter_mut().flat_map(|r| &mut r.tables).flat_map(|t| {
        let xt = t.xt;
        t.chains.iter_mut().map(move |c| (xt, c))
    }) {
        let (xt, chain) = chain;
        let Some(lines) = lines.get(chain.name.as_str()).filter(|l| l.len() == chain.rules.len()) else {
            continue;
        };
        let v6 = chain.name.starts_with("ufw6-");
        let same = |(rule, (line, _)): (&Rule, &(&str, u32))| {
            !xt || rule_of(line, v6).is_some_and(|r| alike(&r, rule))
        };
        if chain.rules.iter().zip(lines).all(same) {
            chain.rules.iter_mut().zip(lines).for_each(|(rule, (_, n))| rule.number = Some(*n));
        }
    }
}

fn read<'a>(text: &'a str, count: &mut u32, lines: &mut Lines<'a>) {
    let mut apps: BTreeMap<Vec<&str>, u32> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().map(str::trim) {
        if let Some(tuple) = line.strip_prefix("### tuple ###") {
            let tuple = tuple.split(" comment=").next().unwrap_or_default();
            let words: Vec<&str> = tuple.split_whitespace().collect();
            let mut next = || {
                *count += 1;
                *count
            };
            current = Some(match application(&words) {
                Some(key) => *apps.entry(key).or_insert_with(next),
                None => next(),
            });
        } else if let Some(rule) = line.strip_prefix("-A ")
            && let (Some(chain), Some(number)) = (rule.split_whitespace().next(), current)
        {
            lines.entry(chain).or_default().push((line, number));
        } else if line.starts_with("### END") {
            current = None;
        }
    }
}

/// What ufw takes for one rule, if it names an application (get_app_tuple): action, protocol, port, destination, source
/// port, source, applications, direction.
fn application<'a>(words: &[&'a str]) -> Option<Vec<&'a str>> {
    let [_, _, dport, dst, sport, src, dapp, sapp, rest @ ..] = words else { return None };
    let mut key = match (*dapp, *sapp) {
        ("-", "-") => return None,
        ("-", sapp) => vec![*dport, *dst, sapp, *src],
        (dapp, "-") => vec![dapp, *dst, *sport, *src],
        (dapp, sapp) => vec![dapp, *dst, sapp, *src],
    };
    key.extend(rest);
    Some(key)
}

/// iptables-save writes the matches in another order, and more words.
fn alike(a: &Rule, b: &Rule) -> bool {
    let sorted = |rule: &Rule| {
        let mut stmts: Vec<String> = rule.stmts.iter().map(|s| format!("{s:?}")).collect();
        stmts.sort_unstable();
        stmts
    };
    sorted(a) == sorted(b)
}
