//! The packet filter of this machine: its rules read with the tools' own listings, and what they do with a connection.
//!
//! The rules are judged by the crate `packet-verdict`, which is pure; here the listings are fetched, and the host's
//! addresses and routes that a verdict may hang on. Nothing is changed: the tools only list.

mod host;
mod moment;
mod permanent;
mod rules;
mod trace;
mod ufw;
mod whom;

pub use host::Host;
pub use moment::now;
pub use rules::{Rules, read};
pub use trace::Watched;
pub(super) use whom::clients;

use crate::evidence::server::{Firewall, Verdict};
use crate::evidence::{CaseFile, Seen, Why};
use crate::sys::below::Below;
use crate::sys::nftrace::Event;
use crate::text;
use packet_verdict::{CtState, Hook, Outcome, Packet, RuleRef, Ruleset};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// Limit of the second attempt that a counter is watched for: our own hooks are passed within connect(2) itself.
const KNOCK: Duration = Duration::from_millis(20);
/// What the reader can run.
pub const BY_HAND: &str = "nft list ruleset; iptables-save -c; ip6tables-save -c";

/// A connection to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Who dials.
    pub src: IpAddr,
    /// Whom.
    pub dst: IpAddr,
    /// On which port.
    pub port: u16,
    /// Where on this machine.
    pub hook: Hook,
    /// Owner of the socket of this machine: the client's, where it sends, else the listening one.
    pub uid: Option<u32>,
}

/// What the client's own rules do with the dial.
pub fn of_client(file: &CaseFile) -> Seen<Firewall> {
    let uid = Some(nix::unistd::geteuid().as_raw());
    let asked: Vec<Asked> = whom::dialled(file)
        .into_iter()
        .filter_map(|(from, to)| {
            from.map(|src| Asked { src, dst: to.ip(), port: to.port(), hook: Hook::Output, uid })
        })
        .collect();
    if asked.is_empty() {
        return Seen::not_applicable("nothing was dialled over IP");
    }
    super::timed(BY_HAND, || look(&asked, file.ask.trace))
}

/// What the Redis host's rules do with the dial, and with a client of another host. `before` are the rules as they were
/// before a client of another host dialled: its SYN may have moved a counter.
pub fn of_server(file: &CaseFile, before: Option<&Before>) -> Seen<Firewall> {
    if file.ask.unix.is_some() {
        return Seen::not_applicable("the target is a unix socket");
    }
    let listeners = file.server.listener.get().map_or(&[][..], |l| l.tcp.as_slice());
    let input = |src, dst| {
        let to = SocketAddr::new(dst, file.ask.port);
        let uid = listeners.iter().find(|l| crate::diagnosis::takes(l, to)).map(|l| l.uid);
        Asked { src, dst, port: file.ask.port, hook: Hook::Input, uid }
    };
    let own: Vec<(IpAddr, u8)> = whom::own_networks(file);
    let mut asked = Vec::new();
    for (from, to) in whom::dialled(file) {
        let here = to.ip().is_loopback() || own.iter().any(|(ip, _)| *ip == to.ip());
        if let (true, Some(src)) = (here, from) {
            asked.push(input(src, to.ip()));
        }
    }
    let sources: Vec<IpAddr> = asked.iter().map(|a| a.src).collect();
    asked.extend(whom::outside(file, &own).map(|(src, dst)| input(src, dst)));
    if asked.is_empty() {
        return Seen::not_applicable("this host has no address that a client could dial");
    }
    super::timed(BY_HAND, || look_since(&asked, before, &sources, file.ask.trace))
}

/// What was there before a client of another host dialled, and what the kernel told meanwhile.
#[derive(Debug, Default)]
pub struct Before {
    /// The rules, with their counters.
    pub rules: Rules,
    /// Events of a trace, or why there was none.
    pub traced: Option<Result<Vec<Event>, Why>>,
}

/// Reads the rules and judges each connection; follows a SYN through them where that is asked for.
pub fn look(asked: &[Asked], trace: bool) -> Result<Firewall, Why> {
    look_since(asked, None, &[], trace)
}

/// `sources` have sent a SYN since `before`.
fn look_since(
    asked: &[Asked],
    before: Option<&Before>,
    sources: &[IpAddr],
    trace: bool,
) -> Result<Firewall, Why> {
    let rules = &read();
    let host = Host::read(rules);
    if rules.read.is_empty()
        && let Some((_, why)) = rules.unread.first()
    {
        return Err(why.clone());
    }
    let mut managers: Vec<String> = Vec::new();
    for owner in rules.read.iter().flat_map(Ruleset::owners) {
        if !managers.iter().any(|m| m == owner) {
            managers.push(owner.to_owned());
        }
    }
    let mut verdicts: Vec<Verdict> = asked.iter().map(|a| verdict(rules, &host, a)).collect();
    match before {
        // The client's own SYNs came between the two readings: nothing has to be sent for it.
        Some(before) => {
            let sent = |a: &Asked| sources.contains(&a.src);
            for (asked, now) in asked.iter().zip(&mut verdicts).filter(|(a, v)| counts(v) && sent(a)) {
                now.moved = moved(&verdict(&before.rules, &host, asked), now);
            }
        }
        None => watch_counters(asked, &host, &mut verdicts),
    }
    let untraced = match before.and_then(|b| b.traced.as_ref()) {
        Some(Ok(events)) => {
            trace::apply(asked, rules, &mut verdicts, events);
            None
        }
        Some(Err(why)) => Some(why.to_string()),
        None if trace && before.is_none() => trace::follow(asked, rules, &host, &mut verdicts),
        None => None,
    };
    Ok(Firewall {
        read: rules.read.iter().map(|r| format!("{}, {} rules", r.label, r.rules())).collect(),
        unread: rules.unread.iter().map(|(name, why)| format!("{name}: {why}")).collect(),
        managers,
        below: rules.below.iter().map(|b| text::shown_str(&on(b), 200)).collect(),
        permanent: asked.first().and_then(|a| permanent::look(&verdicts, a.port)),
        verdicts,
        untraced,
    })
}

/// A rule that counts stops it.
fn stops(v: &Verdict) -> bool {
    matches!(v.verdict.as_str(), "drop" | "reject") && v.packets.is_some()
}

/// The same, or the one that it hangs on.
fn counts(v: &Verdict) -> bool {
    stops(v) || (v.verdict == "undecided" && v.packets.is_some())
}

/// Sends one more SYN where a counting rule stops our own connection, lists again, and sees whether its counter moved.
/// What another host sends cannot be made from here: its verdicts stay without.
fn watch_counters(asked: &[Asked], host: &Host, verdicts: &mut [Verdict]) {
    let watched: Vec<usize> = asked
        .iter()
        .zip(&*verdicts)
        .enumerate()
        .filter(|(_, (a, v))| host.has(a.src) && stops(v) && knock(SocketAddr::new(a.dst, a.port)))
        .map(|(at, _)| at)
        .collect();
    if watched.is_empty() {
        return;
    }
    let rules = read();
    for at in watched {
        if let (Some(asked), Some(before)) = (asked.get(at), verdicts.get_mut(at)) {
            before.moved = moved(before, &verdict(&rules, host, asked));
        }
    }
}

/// None where the rules were changed meanwhile: another rule's counter tells nothing about this one.
fn moved(before: &Verdict, after: &Verdict) -> Option<bool> {
    // nft's text holds the counter's own figures: there the handle is the name.
    let name = |v: &Verdict| if v.handle.is_some() { None } else { v.rule.clone() };
    let same = |v: &Verdict| (v.verdict.clone(), v.chain.clone(), v.handle, name(v));
    (same(before) == same(after)).then_some(after.packets? > before.packets?)
}

/// Dials once more; false where no packet was made (no route, no socket).
fn knock(to: SocketAddr) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, PermissionDenied, TimedOut};
    match TcpStream::connect_timeout(&to, KNOCK) {
        Ok(_) => true,
        Err(e) => matches!(e.kind(), ConnectionRefused | HostUnreachable | PermissionDenied | TimedOut),
    }
}

/// What is not read may block what the rest lets pass; what blocks, blocks.
pub fn judge(rules: &Rules, packet: &Packet) -> packet_verdict::Verdict {
    let mut verdict = packet_verdict::judge(&rules.read, packet);
    if verdict.outcome == Outcome::Accept && !rules.unread.is_empty() {
        let unread: Vec<String> = rules.unread.iter().map(|(name, why)| format!("{name} ({why})")).collect();
        verdict.outcome = Outcome::Undecided;
        verdict.rule = None;
        verdict.because =
            format!("no rule that was read blocks it, but not all were read: {}", unread.join(", "));
    }
    if verdict.outcome == Outcome::Accept
        && let Some(below) = rules.below.iter().find(|b| passes(packet, b))
    {
        verdict.outcome = Outcome::Undecided;
        verdict.rule = None;
        verdict.because = format!("no rule blocks it, but {} may", on(below));
    }
    verdict
}

/// Whether the packet passes the interface in that direction. What is not known may be so.
fn passes(packet: &Packet, below: &Below) -> bool {
    let by = |dev: &Option<String>| dev.as_ref().is_none_or(|d| *d == below.dev);
    match (packet.hook, below.incoming) {
        (Hook::Input | Hook::Forward, true) => by(&packet.iif),
        (Hook::Forward | Hook::Output, false) => by(&packet.oif),
        _ => false,
    }
}

fn on(below: &Below) -> String {
    format!("{} on {}", below.what, below.dev)
}

/// The client's port where none is known: in Linux's default range (net.ipv4.ip_local_port_range), and IANA's.
const EPHEMERAL: u16 = 50_000;

/// The SYN-ACK on its way back, as this host meets it: in the other direction, of a connection that conntrack knows. Where a
/// nat rule sent the request on to another host, it comes from that one.
fn answer(host: &Host, asked: &Asked, through: Option<(IpAddr, u16)>) -> Option<Packet> {
    let (src, port) = through.unwrap_or((asked.dst, asked.port));
    let (hook, uid) = match asked.hook {
        Hook::Input if through.is_none() => (Hook::Output, asked.uid),
        Hook::Input if !host.has(asked.src) => (Hook::Forward, None),
        Hook::Input | Hook::Output => (Hook::Input, None),
        Hook::Forward => return None,
    };
    let mut packet = host.packet(&Asked { src, dst: asked.src, port: EPHEMERAL, hook, uid });
    packet.sport = (port, port);
    packet.state = CtState::Answer;
    Some(packet)
}

/// The request's verdict; where it passes and the answer to it is stopped, or may be, the answer's. The client sees silence
/// then, also by a reject: that goes to the sender of the answer.
pub fn verdict(rules: &Rules, host: &Host, asked: &Asked) -> Verdict {
    let mut found = judge(rules, &host.packet(asked));
    if asked.hook == Hook::Input && host.has(asked.src) {
        // What this host sends itself meets OUTPUT first; what is sent on to a container there never comes in.
        let sent = judge(rules, &host.packet(&Asked { hook: Hook::Output, uid: None, ..*asked }));
        if sent.through.is_some() {
            found = sent;
        }
    }
    let through = found.through.map(|(ip, port)| SocketAddr::new(ip, port).to_string());
    let stays = found.through.and_then(|_| host.keeps(asked));
    if found.outcome == Outcome::Accept
        && let Some(back) = answer(host, asked, found.through).map(|packet| judge(rules, &packet))
        && back.outcome != Outcome::Accept
    {
        let (outcome, says) = match back.outcome {
            Outcome::Undecided => (Outcome::Undecided, "the answer may not"),
            _ => (Outcome::Drop, "the answer does not"),
        };
        let because = format!("the request passes, {says}: {}", back.because);
        let stopped = packet_verdict::Verdict { outcome, because, ..back };
        return Verdict { answer: true, through, stays, ..told(asked, &stopped) };
    }
    Verdict { through, stays, ..told(asked, &found) }
}

fn told(asked: &Asked, found: &packet_verdict::Verdict) -> Verdict {
    let shown = |s: &str| text::shown_str(s, 1000);
    let rule = found.rule.as_ref();
    Verdict {
        source: asked.src.to_string(),
        destination: std::net::SocketAddr::new(asked.dst, asked.port).to_string(),
        hook: match asked.hook {
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
        }
        .to_owned(),
        verdict: found.outcome.word().to_owned(),
        with: with(found.outcome).map(str::to_owned),
        rule: rule.map(|r| shown(&r.text)),
        chain: rule.map(|r| shown(&format!("{} {}", r.table_words(), r.chain))),
        handle: rule.and_then(|r| r.handle),
        packets: rule.and_then(|r| r.packets),
        moved: None,
        owner: rule.map(owner_words),
        because: shown(&found.because),
        answer: false,
        to_port: found.to_port,
        assumed: found.assumptions.iter().map(|a| shown(a)).collect(),
        traced: None,
        through: None,
        stays: None,
    }
}

/// Who made the rule, or the tool that shows it.
fn owner_words(rule: &RuleRef) -> String {
    match &rule.owner {
        Some(owner) => text::shown_str(&owner.to_string(), 1000),
        None if rule.xt && rule.source.contains("legacy") => "iptables-legacy".to_owned(),
        None if rule.xt => "iptables".to_owned(),
        None => "nft".to_owned(),
    }
}

/// The answer a refused client gets.
pub fn with(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Reject(Some(how)) => Some(how.word()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::moved;
    use crate::evidence::server::Verdict;

    #[test]
    fn a_counter_moved_only_if_it_is_the_same_rules() {
        let rule = |handle, packets| Verdict {
            verdict: "drop".to_owned(),
            handle: Some(handle),
            packets,
            ..Verdict::default()
        };
        assert_eq!(moved(&rule(3, Some(4)), &rule(3, Some(5))), Some(true));
        assert_eq!(moved(&rule(3, Some(4)), &rule(3, Some(4))), Some(false));
        assert_eq!(moved(&rule(3, Some(4)), &rule(9, Some(5))), None);
        assert_eq!(moved(&rule(3, Some(4)), &rule(3, None)), None);
    }
}
