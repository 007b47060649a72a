//! Error texts as libraries, servers and supervisors write them, with the cause that a careful reader would name
//! first. Written from knowledge of the libraries before the rules were run on them; `a|b`: the text decides nothing
//! between the two.

mod connect;
mod mixed;
mod reply;
mod server;
mod tls;

use super::explain;

/// A text, the causes that may come first, and the client library where it can be told.
pub(super) type Case = (&'static str, &'static str, &'static str);

fn wrong(cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (text, expected, client) in cases {
        let said = explain(text.as_bytes());
        let first = said.causes.first().map_or("", |c| c.0);
        if !expected.split('|').any(|e| e == first) {
            wrong.push(format!("{expected} expected, {:?} said: {text}", said.causes));
        }
        if !client.is_empty() && said.client != Some(client) {
            wrong.push(format!("{client} expected, {:?} said: {text}", said.client));
        }
    }
    wrong
}

/// Every table.
fn all() -> [&'static [Case]; 5] {
    [connect::CASES, reply::CASES, tls::CASES, server::CASES, mixed::CASES]
}

#[test]
fn the_cause_a_reader_would_name_comes_first() {
    let wrong: Vec<String> = all().iter().flat_map(|cases| wrong(cases)).collect();
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn there_are_enough_of_them() {
    assert!(all().iter().map(|c| c.len()).sum::<usize>() >= 150);
}

#[test]
fn no_odds_sum_to_more_than_one() {
    for (text, ..) in all().iter().flat_map(|c| c.iter()) {
        let sum: f64 = explain(text.as_bytes()).causes.iter().map(|c| c.1).sum();
        assert!(sum < 1.0, "{sum}: {text}");
    }
}

#[test]
fn no_rule_costs_a_pass_of_its_own() {
    for (text, ..) in all().iter().flat_map(|c| c.iter()) {
        explain(text.as_bytes());
    }
    let asked = super::text::tests::ASKED.with_borrow(Clone::clone);
    assert!(asked.is_empty(), "not in the vocabulary: {asked:?}");
}
