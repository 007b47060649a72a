//! `--trace`: a SYN of ours followed through the rules of nftables, by the kernel's own account.

use super::{Asked, Host, Rules, owner_words};
use crate::evidence::Why;
use crate::evidence::client::Dial;
use crate::evidence::server::{Traced, Verdict};
use crate::sys::nftrace::{Event, Flow, Tracer};
use crate::{sys, text};
use packet_verdict::{Hook, Kind, rule_by_handle};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Limit of the dial that is traced; our own hooks are passed within connect(2) itself.
const KNOCK: Duration = Duration::from_millis(20);
/// How long its events are waited for.
const EVENTS: Duration = Duration::from_millis(80);
/// Steps kept of a way.
const STEPS: usize = 60;

/// Follows one SYN for each connection that can be made from here; why nothing was followed, if so.
pub(super) fn follow(
    asked: &[Asked],
    rules: &Rules,
    host: &Host,
    verdicts: &mut [Verdict],
) -> Option<String> {
    let mut failed = None;
    for (asked, verdict) in asked.iter().zip(verdicts).filter(|(a, _)| host.has(a.src)) {
        match events(asked) {
            Ok(events) => settle(verdict, rules, &way(rules, &events, asked.hook)),
            Err(why) => failed = Some(why.to_string()),
        }
    }
    failed.or_else(|| legacy(rules))
}

fn legacy(rules: &Rules) -> Option<String> {
    let old = rules.read.iter().any(|r| r.kind == Kind::Iptables && r.rules() > 0);
    old.then(|| "rules of iptables-legacy leave no trace: only those of nftables were followed".to_owned())
}

fn events(asked: &Asked) -> Result<Vec<Event>, Why> {
    let to = SocketAddr::new(asked.dst, asked.port);
    let failed = |e: std::io::Error| sys::why("the traced dial", &e);
    let knock = sys::net::Knock::bind(asked.src).map_err(failed)?;
    let flow =
        Flow { from: Some(knock.from), to: Some(asked.dst), port: asked.port, v4: asked.dst.is_ipv4() };
    let mut tracer = Tracer::start(&[flow])?;
    knock.dial(to, KNOCK).map_err(failed)?;
    Ok(tracer.read(sys::now() + EVENTS))
}

/// A trace that was on while a client elsewhere dialled.
#[derive(Debug)]
pub struct Watched(Tracer);

impl Watched {
    /// Switches it on for whoever dials the port.
    pub fn start(port: u16) -> Result<Self, Why> {
        let flow = |v4| Flow { from: None, to: None, port, v4 };
        Tracer::start(&[flow(true), flow(false)]).map(Self)
    }

    /// What it saw of the dials, for [`super::of_server`].
    pub fn finish(mut self, dials: &[Dial]) -> Vec<Event> {
        let sources: Vec<IpAddr> = dials.iter().filter_map(|d| d.from.map(|f| f.ip())).collect();
        let mut events = self.0.read(sys::now() + EVENTS);
        events.retain(|e| e.source.is_some_and(|s| sources.contains(&s)));
        events
    }
}

/// What was seen of other hosts' SYNs, put to their verdicts.
pub(super) fn apply(asked: &[Asked], rules: &Rules, verdicts: &mut [Verdict], seen: &[Event]) {
    for (asked, verdict) in asked.iter().zip(verdicts) {
        let theirs: Vec<Event> = seen.iter().filter(|e| e.source == Some(asked.src)).cloned().collect();
        if !theirs.is_empty() {
            settle(verdict, rules, &way(rules, &theirs, asked.hook));
        }
    }
}

/// The way of the first packet on the asked side. Without any event no rule was met.
fn way(rules: &Rules, events: &[Event], hook: Hook) -> Traced {
    let side: Vec<&Event> = events.iter().filter(|e| e.inbound != (hook == Hook::Output)).collect();
    let first = side.first().map_or(0, |e| e.packet);
    let mut out = Traced { verdict: "accept".to_owned(), ..Traced::default() };
    for event in side.into_iter().filter(|e| e.packet == first) {
        let rule = rule_by_handle(&rules.read, event.family, &event.table, &event.chain, event.handle);
        let place = format!("{} {} {}", event.family, event.table, event.chain);
        let words = match (&rule, event.handle) {
            (Some(rule), _) => rule.text.clone(),
            (None, Some(handle)) => format!("handle {handle}"),
            (None, None) => "the policy".to_owned(),
        };
        if out.steps.len() < STEPS && (event.handle.is_some() || event.policy) {
            out.steps.push(text::shown_str(&format!("{place}: {words}: {}", event.verdict), 600));
        }
        if event.verdict == "drop" {
            out.verdict = if refuses(&words) { "reject" } else { "drop" }.to_owned();
            out.rule = Some(text::shown_str(&words, 1000));
            let chain = rule.as_ref().map_or(place, |r| format!("{} {}", r.table_words(), r.chain));
            out.chain = Some(text::shown_str(&chain, 300));
            out.handle = event.handle;
            out.owner = rule.as_ref().map(owner_words);
            break;
        }
    }
    out
}

/// A refusal answers and then drops; the trace shows the drop.
fn refuses(rule: &str) -> bool {
    rule.split_whitespace().any(|w| w == "reject" || w == "REJECT") || rule.contains("\"REJECT\"")
}

/// What the kernel did counts for more than what its rules seem to say.
fn settle(verdict: &mut Verdict, rules: &Rules, traced: &Traced) {
    verdict.traced = Some(traced.clone());
    let stopped = traced.verdict != "accept";
    if stopped {
        let same =
            verdict.verdict == traced.verdict && verdict.handle == traced.handle && traced.handle.is_some();
        if !same {
            let with = verdict.with.take().filter(|_| verdict.verdict == traced.verdict);
            verdict.because = "the kernel's own trace of a SYN ends there".to_owned();
            verdict.with = with;
            verdict.verdict.clone_from(&traced.verdict);
            verdict.rule.clone_from(&traced.rule);
            verdict.chain.clone_from(&traced.chain);
            verdict.handle = traced.handle;
            verdict.owner.clone_from(&traced.owner);
            (verdict.packets, verdict.moved) = (None, None);
        }
        return;
    }
    // Legacy rules, and those of another machine's view, are not in the trace.
    let elsewhere = verdict.owner.as_deref().is_some_and(|o| o.contains("legacy")) || legacy(rules).is_some();
    // The SYN was followed, not the answer to it.
    if matches!(verdict.verdict.as_str(), "drop" | "reject") && !elsewhere && !verdict.answer {
        verdict.because = format!(
            "the rules read as a {} by {}, but the kernel's own trace of a SYN passes them all",
            verdict.verdict,
            verdict.rule.as_deref().unwrap_or("a policy")
        );
        verdict.verdict = "undecided".to_owned();
        (verdict.rule, verdict.with, verdict.moved) = (None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::{refuses, settle, way};
    use crate::evidence::server::{Traced, Verdict};
    use crate::probe::firewall::Rules;
    use crate::sys::nftrace::Event;
    use packet_verdict::Hook;

    const LISTING: &str = r#"{"nftables": [
        {"table": {"family": "inet", "name": "fw", "handle": 1}},
        {"chain": {"family": "inet", "table": "fw", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "fw", "chain": "in", "handle": 5, "expr": [{"limit": {"rate": 1, "per": "hour"}}, {"accept": null}]}},
        {"rule": {"family": "inet", "table": "fw", "chain": "in", "handle": 6, "expr": [{"reject": {"type": "tcp reset"}}]}}]}"#;

    fn rules() -> Rules {
        Rules { read: vec![packet_verdict::parse("nft", LISTING).unwrap()], ..Rules::default() }
    }

    fn event(handle: u64, verdict: &str, packet: u32, inbound: bool) -> Event {
        Event {
            packet,
            family: "inet",
            table: "fw".to_owned(),
            chain: "in".to_owned(),
            handle: Some(handle),
            verdict: verdict.to_owned(),
            policy: false,
            source: None,
            inbound,
        }
    }

    #[test]
    fn the_rule_that_ends_the_way_is_named() {
        let events = [event(9, "drop", 1, false), event(5, "continue", 2, true), event(6, "drop", 2, true)];
        let traced = way(&rules(), &events, Hook::Input);
        assert_eq!((traced.verdict.as_str(), traced.handle), ("reject", Some(6)));
        assert_eq!(traced.rule.as_deref(), Some("reject with tcp reset"));
        assert_eq!(traced.steps.len(), 2);
        assert_eq!(traced.chain.as_deref(), Some("inet fw in"));
    }

    #[test]
    fn the_kernel_counts_for_more_than_the_reading_of_its_rules() {
        let stopped = Traced { verdict: "drop".to_owned(), handle: Some(6), ..Traced::default() };
        let mut verdict = Verdict { verdict: "undecided".to_owned(), ..Verdict::default() };
        settle(&mut verdict, &rules(), &stopped);
        assert_eq!((verdict.verdict.as_str(), verdict.handle), ("drop", Some(6)));
        let mut verdict = Verdict { verdict: "drop".to_owned(), ..Verdict::default() };
        settle(&mut verdict, &rules(), &Traced { verdict: "accept".to_owned(), ..Traced::default() });
        assert_eq!(verdict.verdict, "undecided");
    }

    #[test]
    fn refusals_by_their_words() {
        assert!(refuses("tcp dport 6379 reject with tcp reset"));
        assert!(refuses("-A INPUT -j REJECT --reject-with tcp-reset"));
        assert!(refuses("counter packets 0 bytes 0 xt target \"REJECT\""));
        assert!(!refuses("policy drop"));
    }
}
