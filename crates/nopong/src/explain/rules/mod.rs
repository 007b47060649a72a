//! What words mean: each rule is a message's general meaning, not one incident.
//!
//! Weights: a server's own words about its death outweigh an error reply, that outweighs a connection error, that
//! outweighs what a client says after all of them: a log often has several, and the first is the cause of the others.
//! The shares are odds: where the words decide nothing between causes, they say so.

/// A list of words with the spellings of a Winsock error (winsock2.h): its number as programs show it, and its name.
macro_rules! winsock {
    ($number:literal, $name:literal, $($word:literal),* $(,)?) => {
        &[
            concat!("error ", $number),
            concat!("(", $number, ")"),
            concat!("[", $number, "]"),
            concat!("errno ", $number),
            concat!("error: ", $number),
            concat!("code ", $number),
            concat!($number, " connecting"),
            $name,
            $($word),*
        ]
    };
}

mod certificate;
mod connect;
mod foreign;
mod name;
mod place;
mod pool;
mod refused;
mod reply;
mod server;
mod setting;
mod silence;
mod supervisor;
mod topology;

use super::address::Address;
use super::text::Text;
use std::collections::BTreeMap;

/// Weight of a whole rule, by how near its words are to the cause.
const DEATH: f64 = 600.0;
const SETTING: f64 = 300.0;
const REPLY: f64 = 250.0;
const CONNECT: f64 = 100.0;
/// What a client says after its real error, or instead of it.
const WRAPPER: f64 = 25.0;

/// Cause ids with their odds; what is left to 1 is for causes that are not named.
type Shares = &'static [(&'static str, f64)];

/// One message: any of the words, and if need be one of others beside them, and none of a third kind.
struct Rule {
    words: &'static [&'static str],
    with: &'static [&'static str],
    unless: &'static [&'static str],
    what: &'static str,
    shares: Shares,
}

/// A rule that only needs its words.
const fn rule(what: &'static str, words: &'static [&'static str], shares: Shares) -> Rule {
    Rule { words, with: &[], unless: &[], what, shares }
}

impl Rule {
    /// One of these must be there as well.
    const fn with(self, with: &'static [&'static str]) -> Self {
        Self { with, ..self }
    }
    /// None of these may be there.
    const fn unless(self, unless: &'static [&'static str]) -> Self {
        Self { unless, ..self }
    }
    fn matches(&self, text: &Text) -> bool {
        text.any(self.words)
            && (self.with.is_empty() || text.any(self.with))
            && (self.unless.is_empty() || !text.any(self.unless))
    }
    fn words(&self) -> impl Iterator<Item = &'static str> {
        self.words.iter().chain(self.with).chain(self.unless).copied()
    }
}

/// Tables of rules, of which every one or only the first counts.
const TABLES: &[&[Rule]] = &[
    server::RULES,
    supervisor::RULES,
    reply::RULES,
    topology::RULES,
    pool::RULES,
    certificate::ACCEPTING,
    certificate::RULES,
    setting::RULES,
    connect::RULES,
    silence::CUT,
];

/// Lists of words that rules ask for in their own order.
const LISTS: &[&[&str]] = &[
    connect::UNREACHABLE,
    connect::NOT_AVAILABLE,
    connect::LISTENING,
    foreign::OTHERS,
    foreign::OURS,
    name::MISSING,
    name::AGAIN,
    place::CONTAINER,
    place::MANAGED,
    place::CLOUD,
    place::CODE,
    refused::HOST,
    refused::WORDS,
    refused::WORKED,
    silence::CONNECTING,
    silence::WAITING,
    silence::NOT_THE_NETWORK,
];

/// Words that the functions among the rules ask for by themselves.
const ASKED: &[&str] = &[
    "timeout",
    "'tcp://",
    "(errno=28)",
    "-p tcp://",
    ".sock",
    ".svc.cluster.local",
    "185.",
    ":53: ",
    ":tcp://",
    "[tcp://",
    "\"tcp://",
    ":6380",
    "_port: tcp",
    "_port=tcp",
    "address tcp://",
    "after 1 minute",
    "amazonaws.com",
    "announce",
    "ask ",
    "cannot connect to redis://",
    "clientclosederror",
    "cluster.js",
    "clusterredis",
    "command timed out",
    "commandtimeout",
    "config file",
    "connect",
    "connect etimedout",
    "connect timed out",
    "connection failure occurred",
    "could not get a resource from the pool",
    "dial tcp",
    "disk quota exceeded",
    "eacces",
    "enableofflinequeue",
    "enoent",
    "enospc",
    "enotfound '",
    "enotfound \"",
    "error 13 ",
    "error 2 connecting",
    "esrvfail",
    "failed connecting to host",
    "fullresync",
    "hello timed out",
    "heroku",
    "interactive",
    "lookup ",
    "lookup \"",
    "misconf",
    "module load",
    "moved ",
    "nf_conntrack: table full",
    "no space left on device",
    "no such file",
    "permission denied",
    "port tcp://",
    "port=tcp://",
    "querya econnrefused",
    "rdb",
    "read error on connection",
    "read tcp",
    "read timed out",
    "reading from socket",
    "redirect",
    "rescue in io",
    "redis::timeouterror",
    "redis://",
    "redisexception",
    "redislabs.com",
    "rediss:",
    "rediss://",
    "refused tcp://",
    "replicaof",
    "server misbehaving",
    "server went away",
    "servfail",
    "socket",
    "stream isn't writeable",
    "the client is closed",
    "time_wait",
    "unabletoconnect",
    "unknown command",
    "tlssocket",
    "tlswrap",
    "no password is set",
    "without any password",
    "unix socket",
    "unix:",
    "unix://",
];

/// Every word any rule asks for.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    let tables = TABLES.iter().flat_map(|t| t.iter()).flat_map(Rule::words);
    let pool = pool::NO_WORD_WHY.iter().copied();
    tables.chain(ASKED.iter().copied()).chain(pool).chain(LISTS.iter().flat_map(|l| l.iter().copied()))
}

/// Odds collected.
#[derive(Default)]
pub(super) struct Weights {
    pub(super) causes: BTreeMap<&'static str, f64>,
    pub(super) recognised: Vec<&'static str>,
}

impl Weights {
    fn add(&mut self, what: &'static str, weight: f64, shares: &[(&'static str, f64)]) {
        self.recognised.push(what);
        for (id, share) in shares {
            *self.causes.entry(id).or_default() += weight * share;
        }
    }
    /// Every rule of a table that matches.
    fn every(&mut self, text: &Text, weight: f64, rules: &'static [Rule]) {
        for rule in rules.iter().filter(|r| r.matches(text)) {
            self.add(rule.what, weight, rule.shares);
        }
    }
    /// The first rule of a table that matches.
    fn first(&mut self, text: &Text, weight: f64, rules: &'static [Rule]) -> bool {
        let found = rules.iter().find(|r| r.matches(text));
        if let Some(rule) = found {
            self.add(rule.what, weight, rule.shares);
        }
        found.is_some()
    }
}

/// Odds of everything the text says.
pub(super) fn weigh(text: &Text, dialled: Option<&Address>) -> Weights {
    let mut weights = Weights::default();
    if foreign::is_it(text, dialled) {
        return weights;
    }
    weights.first(text, DEATH, server::RULES);
    weights.first(text, DEATH, supervisor::RULES);
    server::pressed(text, &mut weights);
    weights.first(text, REPLY, reply::RULES);
    weights.first(text, REPLY, topology::RULES);
    topology::moved(text, &mut weights);
    topology::sentinel(text, dialled, &mut weights);
    if !weights.first(text, REPLY, certificate::ACCEPTING) {
        weights.first(text, REPLY, certificate::RULES);
    }
    setting::weigh(text, &mut weights);
    let named = name::weigh(text, dialled, &mut weights);
    if !named {
        let refused = refused::weigh(text, dialled, &mut weights);
        weights.every(text, CONNECT, connect::RULES);
        connect::local(text, dialled, &mut weights);
        silence::weigh(text, dialled, refused, &mut weights);
        pool::weigh(text, dialled, refused, &mut weights);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::TABLES;
    use crate::cause;

    #[test]
    fn shares_are_of_causes_and_sum_to_one_at_most() {
        for rule in TABLES.iter().flat_map(|t| t.iter()) {
            let sum: f64 = rule.shares.iter().map(|s| s.1).sum();
            assert!(sum <= 1.0 + 1e-9, "{}: {sum}", rule.what);
            for (id, _) in rule.shares {
                // A cause of CONTRACT.md that has no file yet counts as well.
                let known = cause::by_id(id).is_some() || NOT_BUILT.contains(id);
                assert!(known, "{}: no cause is called {id}", rule.what);
            }
        }
    }

    /// Causes that only a text can speak for so far.
    const NOT_BUILT: &[&str] = &[
        "container-stopped",
        "container-crashing",
        "no-ready-endpoints",
        "network-policy-blocks",
        "port-not-published",
        "client-pool-exhausted",
        "idle-connection-cut",
        "client-library-fault",
    ];
}
