//! The rule set with the planned rules in it, judged before anything is made: the client must pass, and nobody else may.

use super::NoPlan;
use crate::apply::Action;
use crate::evidence::server::Verdict;
use crate::probe::firewall::{self, Asked, Host, Rules};
use crate::text::shown_str;
use packet_verdict::{Allow, Hook, Outcome, Place, Ruleset};
use std::net::{IpAddr, SocketAddr};

/// This host's rules, and the same with what is planned.
pub(super) struct Judged {
    host: Host,
    /// Owner of the listening socket: rules on the answer may ask for it.
    uid: Option<u32>,
    before: Rules,
    now: Rules,
}

/// What the rules with the change in them do with a connection.
pub(super) enum Then {
    /// It passes.
    Passes,
    /// These stop it.
    Stopped(Box<Verdict>),
    /// It hangs on what cannot be known beforehand.
    Open(String),
}

impl Judged {
    /// Reads the rules. `uid` owns the listening socket.
    pub(super) fn read(uid: Option<u32>) -> Self {
        let before = firewall::read();
        Self { host: Host::read(&before), uid, now: before.clone(), before }
    }

    /// Puts a planned rule where its tool will put it. An error where that place is not in the rules as read.
    pub(super) fn add(&mut self, action: &Action) -> Result<(), String> {
        let legacy = matches!(action, Action::Iptables(rule) if rule.tool.contains("legacy"));
        if let Some((source, to, port, place)) = asks(action)
            && let Some((source, prefix)) = network(source)
        {
            let published = match action {
                Action::Nft(rule) => rule.published,
                Action::Iptables(rule) => rule.published,
                _ => false,
            };
            for (family, table, chain, xt) in &places(action) {
                let allow = Allow { family, table, chain, place, source, prefix, to, port, published };
                let fits =
                    |r: &&mut Ruleset| r.is_iptables() == *xt && (!legacy || r.label.contains("legacy"));
                if self.now.read.iter_mut().filter(fits).any(|r| r.insert(&allow)) {
                    return Ok(());
                }
            }
        }
        Err(match action {
            Action::Ufw(rule) if rule.source.contains(':') => {
                "ufw has no chain for IPv6 in the kernel: IPV6=no in /etc/default/ufw keeps it from making rules for it"
                    .to_owned()
            }
            Action::Firewalld(rule) => format!("zone {} takes no packet in the kernel's rules", rule.zone),
            _ => "the chain that the rule goes into is not in the listing".to_owned(),
        })
    }

    /// Whether that chain is known to the old back-end of iptables alone.
    pub(super) fn legacy(&self, source: IpAddr, table: &str, chain: &str) -> bool {
        let family = if source.is_ipv4() { "ip" } else { "ip6" };
        let mut with = self.before.read.iter().filter(|r| r.has_chain(family, table, chain)).peekable();
        with.peek().is_some()
            && with.all(|r| r.kind == packet_verdict::Kind::Iptables && r.label.contains("legacy"))
    }

    /// Judges the client's connection, the answer included.
    pub(super) fn then(&self, source: IpAddr, to: SocketAddr) -> Then {
        let verdict = firewall::verdict(&self.now, &self.host, &self.asked(source, to));
        match verdict.verdict.as_str() {
            "accept" => Then::Passes,
            "drop" | "reject" => Then::Stopped(Box::new(verdict)),
            _ => Then::Open(verdict.because),
        }
    }

    fn asked(&self, source: IpAddr, to: SocketAddr) -> Asked {
        Asked { src: source, dst: to.ip(), port: to.port(), hook: Hook::Input, uid: self.uid }
    }

    /// Others than `allowed`: those who were stopped still are. The sentence that says so; an error where one would pass.
    pub(super) fn strangers(&self, allowed: (IpAddr, u8), to: SocketAddr) -> Result<Option<String>, NoPlan> {
        let mut stopped = Vec::new();
        for source in strangers(allowed, to.ip()) {
            let outcome = |rules| firewall::judge(rules, &self.host.packet(&self.asked(source, to))).outcome;
            match (outcome(&self.before), outcome(&self.now)) {
                (was, Outcome::Accept) if was.blocks() => {
                    return Err(NoPlan::Refused(format!(
                        "with the rule, {source}, whom it does not name, would get through as well"
                    )));
                }
                (_, now) if now.blocks() => stopped.push(source.to_string()),
                _ => {}
            }
        }
        Ok((!stopped.is_empty()).then(|| format!("{} still stopped", stopped.join(" and "))))
    }
}

/// The chains that the rule may go into: family, table, chain, and whether it is a listing of iptables that has them.
fn places(action: &Action) -> Vec<(String, String, String, bool)> {
    let own = |family: &str, table: &str, chain: &str, xt| (family.into(), table.into(), chain.into(), xt);
    let ip = |source: &str| if source.contains(':') { "ip6" } else { "ip" };
    match action {
        Action::Nft(rule) => vec![own(&rule.family, &rule.table, &rule.chain, false)],
        Action::Iptables(rule) => vec![own(ip(&rule.source), &rule.table, &rule.chain, true)],
        // `prepend` puts it at the head of the user's rules (ufw(8)).
        Action::Ufw(rule) => {
            let chain = if rule.source.contains(':') { "ufw6-user-input" } else { "ufw-user-input" };
            vec![own(ip(&rule.source), "filter", chain, true)]
        }
        // A rich rule with a negative priority stands in the zone's chain `_pre`, an accept without one in `_allow`
        // (firewalld.richlanguage(5)). The back-end is nft, with a table of its own, or iptables.
        Action::Firewalld(rule) => {
            let part = if rule.first { "pre" } else { "allow" };
            let chain = format!("IN_{}_{part}", rule.zone);
            let nft = own("inet", "firewalld", &format!("filter_{chain}"), false);
            vec![nft, own(ip(&rule.source), "filter", &chain, true)]
        }
        _ => Vec::new(),
    }
}

/// Source, destination, port and place of the rule that an action makes.
fn asks(action: &Action) -> Option<(&str, Option<IpAddr>, u16, Place)> {
    Some(match action {
        Action::Nft(r) => (&r.source, None, r.port, r.before.map_or(Place::Head, Place::Before)),
        Action::Iptables(r) => (&r.source, None, r.port, Place::Head),
        Action::Ufw(r) => (&r.source, r.to.as_ref().and_then(|t| t.parse().ok()), r.port, Place::Head),
        Action::Firewalld(r) => (&r.source, None, r.port, if r.first { Place::Head } else { Place::Tail }),
        _ => return None,
    })
}

/// An address, and how many of its bits count.
pub(super) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let ip: IpAddr = address.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(most), |p| p.parse().ok().filter(|p| *p <= most))?;
    Some((ip, prefix))
}

/// The neighbours on both sides of who is let in, and somebody far away (RFC 5737, RFC 3849).
fn strangers((source, prefix): (IpAddr, u8), to: IpAddr) -> Vec<IpAddr> {
    let around = match source {
        IpAddr::V4(ip) => {
            let size = 1u32.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
            let first = u32::from(ip) & !size.wrapping_sub(1);
            let ip = |n: u32| IpAddr::V4(n.into());
            vec![ip(first.wrapping_sub(1)), ip(first.wrapping_add(size)), IpAddr::from([198, 51, 100, 77])]
        }
        IpAddr::V6(ip) => {
            let size = 1u128.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
            let first = u128::from(ip) & !size.wrapping_sub(1);
            let ip = |n: u128| IpAddr::V6(n.into());
            let far = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77]);
            vec![ip(first.wrapping_sub(1)), ip(first.wrapping_add(size)), far]
        }
    };
    let inside = packet_verdict::Route { dst: source, prefix, dev: String::new() };
    around.into_iter().filter(|ip| *ip != to && !ip.is_loopback() && !inside.holds(*ip)).collect()
}

/// What stops the client still, and why no rule is made for it.
pub(super) fn behind(source: &str, verdict: &Verdict) -> NoPlan {
    let rule = shown_str(verdict.rule.as_deref().unwrap_or("a policy"), 200);
    let chain = shown_str(verdict.chain.as_deref().unwrap_or("another chain"), 100);
    let what = if verdict.answer { "the answer to it is stopped" } else { "it is still stopped" };
    NoPlan::Refused(format!(
        "with the change {source} would get no further: {what} by `{rule}` ({chain}), where no rule is put by itself; \
         change that one by hand first"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Judged, NoPlan, Then, network, strangers};
    use crate::apply::{Action, Firewalld, Iptables, Nft, Ufw};
    use crate::probe::firewall::{Host, Rules};
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn judged(listings: &[(&str, &str)]) -> Judged {
        let read = |(label, text): &(&str, &str)| packet_verdict::parse(label, text).expect("a listing");
        let rules = Rules { read: listings.iter().map(read).collect(), ..Rules::default() };
        Judged { host: Host::default(), uid: None, before: rules.clone(), now: rules }
    }

    fn nft(table: &str, before: Option<u64>) -> Action {
        let (family, table, chain) = ("inet".into(), table.into(), "in".into());
        Action::Nft(Nft {
            family,
            table,
            chain,
            before,
            source: "10.0.0.9".into(),
            port: 6379,
            published: false,
        })
    }

    fn stopped_by(judged: &Judged, source: &str) -> Option<String> {
        match judged.then(ip(source), "10.0.0.5:6379".parse().expect("an address")) {
            Then::Stopped(verdict) => verdict.chain.clone(),
            Then::Passes => None,
            Then::Open(why) => Some(why),
        }
    }

    const TWO: &str = r#"{"nftables": [
        {"table": {"family": "inet", "name": "a", "handle": 1}},
        {"chain": {"family": "inet", "table": "a", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": -10, "policy": "drop"}},
        {"table": {"family": "inet", "name": "b", "handle": 2}},
        {"chain": {"family": "inet", "table": "b", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "b", "chain": "in", "handle": 5, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 6379}}, {"drop": null}]}}]}"#;

    #[test]
    fn a_second_table_stops_what_the_first_lets_pass() {
        let mut judged = judged(&[("nft", TWO)]);
        assert_eq!(stopped_by(&judged, "10.0.0.9").as_deref(), Some("inet a in"));
        judged.add(&nft("a", None)).expect("its chain is there");
        assert_eq!(stopped_by(&judged, "10.0.0.9").as_deref(), Some("inet b in"));
        judged.add(&nft("b", Some(5))).expect("its place is there");
        assert_eq!(stopped_by(&judged, "10.0.0.9"), None);
        assert!(stopped_by(&judged, "10.0.0.10").is_some());
        let to = "10.0.0.5:6379".parse().expect("an address");
        let said = judged.strangers((ip("10.0.0.9"), 32), to).expect("nobody else passes");
        assert_eq!(said.as_deref(), Some("10.0.0.8 and 10.0.0.10 and 198.51.100.77 still stopped"));
        assert!(judged.add(&nft("c", None)).is_err());
    }

    #[test]
    fn a_rule_for_more_than_it_names_is_refused() {
        let mut judged = judged(&[("nft", TWO)]);
        let wide = |table: &str| {
            let (family, table, chain) = ("inet".into(), table.into(), "in".into());
            Action::Nft(Nft {
                family,
                table,
                chain,
                before: None,
                source: "10.0.0.0/24".into(),
                port: 6379,
                published: false,
            })
        };
        judged.add(&wide("a")).and_then(|()| judged.add(&wide("b"))).expect("its chains are there");
        let to = "10.0.0.5:6379".parse().expect("an address");
        assert!(matches!(judged.strangers((ip("10.0.0.9"), 32), to), Err(NoPlan::Refused(_))));
    }

    #[test]
    fn each_tool_has_its_place() {
        let ufw = "*filter\n:INPUT DROP [0:0]\n:ufw-user-input - [0:0]\n-A INPUT -j ufw-user-input\n-A ufw-user-input -p tcp --dport 6379 -j DROP\nCOMMIT\n";
        let mut rules = judged(&[("iptables-save", ufw)]);
        let rule = |source: &str| Ufw { source: source.into(), port: 6379, to: None };
        rules.add(&Action::Ufw(rule("10.0.0.9"))).expect("ufw's chain is there");
        assert_eq!(stopped_by(&rules, "10.0.0.9"), None);
        assert!(rules.add(&Action::Ufw(rule("fd00::9"))).is_err_and(|w| w.contains("IPV6=no")));

        let zone = "*filter\n:INPUT DROP [0:0]\n:IN_public_pre - [0:0]\n:IN_public_allow - [0:0]\n-A INPUT -j IN_public_pre\n-A INPUT -p tcp --dport 6379 -j REJECT\n-A INPUT -j IN_public_allow\nCOMMIT\n";
        let rich = |first| Firewalld { zone: "public".into(), first, source: "10.0.0.9".into(), port: 6379 };
        let mut rules = judged(&[("iptables-save", zone)]);
        rules.add(&Action::Firewalld(rich(false))).expect("the zone is there");
        assert!(stopped_by(&rules, "10.0.0.9").is_some(), "the reject stands before");
        rules.add(&Action::Firewalld(rich(true))).expect("the zone is there");
        assert_eq!(stopped_by(&rules, "10.0.0.9"), None);

        let policy = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
        let mut rules = judged(&[("iptables-save", policy), ("iptables-legacy-save", policy)]);
        let add = |tool: &str| {
            let (table, chain) = ("filter".into(), "INPUT".into());
            let tool = tool.into();
            Action::Iptables(Iptables {
                tool,
                table,
                chain,
                place: 1,
                source: "10.0.0.9".into(),
                port: 6379,
                published: false,
            })
        };
        rules.add(&add("iptables-legacy")).expect("its chain is there");
        assert!(stopped_by(&rules, "10.0.0.9").is_some(), "the other back-end still stops it");
        rules.add(&add("iptables")).expect("its chain is there");
        assert_eq!(stopped_by(&rules, "10.0.0.9"), None);
    }

    #[test]
    fn strangers_stand_on_both_sides() {
        let of = |text: &str| strangers(network(text).expect("a network"), ip("10.0.0.5"));
        assert_eq!(of("10.0.0.0/24"), [ip("9.255.255.255"), ip("10.0.1.0"), ip("198.51.100.77")]);
        assert_eq!(of("10.0.0.4"), [ip("10.0.0.3"), ip("198.51.100.77")]);
        assert_eq!(of("0.0.0.0/0"), Vec::<IpAddr>::new());
        assert_eq!(of("fd00::/64").len(), 3);
        assert!(network("10.0.0.0/33").is_none() && network("x").is_none());
    }
}
