//! The packet filter of this machine: its rules read with the tools' own listings, and what they do with a connection.
//!
//! The rules are judged by the crate `packet-verdict`, which is pure; here the listings are fetched, and the host's
//! addresses and routes that a verdict may hang on. Nothing is changed: the tools only list.

mod permanent;
mod trace;

pub use trace::Watched;

use crate::evidence::client::Dial;
use crate::evidence::server::{Firewall, Verdict};
use crate::evidence::{CaseFile, Seen, Why};
use crate::sys::nftrace::Event;
use crate::{sys, text};
use packet_verdict::{Address, CtState, Hook, Outcome, Packet, Route, RuleRef, Ruleset};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Limit of one listing; a set of 100,000 elements takes nft about a second.
const LIMIT: Duration = Duration::from_secs(4);
/// Largest listing taken.
const LARGEST: usize = 64 << 20;
/// Limit of the second attempt that a counter is watched for: our own hooks are passed within connect(2) itself.
const KNOCK: Duration = Duration::from_millis(20);
/// What the reader can run.
pub const BY_HAND: &str = "nft list ruleset; iptables-save -c; ip6tables-save -c";

/// The rules of this machine, as far as they could be read.
#[derive(Debug, Default)]
pub struct Rules {
    /// Listings that were read, those without a rule included.
    pub read: Vec<Ruleset>,
    /// Listings that could not be read, with the reason.
    pub unread: Vec<(String, Why)>,
}

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
            return Rules { read, unread: Vec::new() };
        }
        Err(why @ Why::NotPermitted { .. }) => {
            return Rules { read: Vec::new(), unread: vec![("nft".to_owned(), why.clone())] };
        }
        Ok(_) | Err(_) => {}
    }
    let mut wanted: Vec<(&str, &[&str])> =
        vec![("nft", &["-j", "list", "ruleset"]), ("iptables-save", &["-c"]), ("ip6tables-save", &["-c"])];
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
    for table in tables.iter().flatten().filter(|t| t.dormant) {
        rules.read.iter_mut().for_each(|r| r.set_dormant(table.family, &table.name));
    }
    // Only where a rule asks for them: most hosts have none, and not the tool.
    if rules.read.iter().any(Ruleset::asks_ipsets)
        && let Ok(sets) = list("ipset", &["save"])
    {
        rules.read.push(sets);
    }
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

/// The packet of a connection, with what this host knows: its addresses, and the interface by its routes.
pub fn packet(asked: &Asked) -> Packet {
    let mut packet = Packet::new(asked.src, asked.dst, asked.port);
    packet.hook = asked.hook;
    let own = sys::net::own_addresses();
    packet.local =
        (!own.is_empty()).then(|| own.into_iter().map(|addr| Address { addr, dev: None }).collect());
    packet.routes = routes();
    if asked.hook != Hook::Output {
        packet.iif = incoming(&packet, asked.src);
    }
    packet
}

/// What the machine sends itself comes in by lo, whatever address it carries; the tables read here are the main ones,
/// where the address's network lies on a real interface.
fn incoming(packet: &Packet, src: IpAddr) -> Option<String> {
    let own = packet.local.as_ref().is_some_and(|all| all.iter().any(|a| a.addr == src));
    if own || src.is_loopback() {
        return Some("lo".to_owned());
    }
    dev_of(&packet.routes, src).filter(|d| d != "lo")
}

/// The interface that the longest matching route names.
fn dev_of(routes: &[Route], addr: IpAddr) -> Option<String> {
    routes.iter().filter(|r| r.holds(addr)).max_by_key(|r| r.prefix).map(|r| r.dev.clone())
}

/// The main tables, as the kernel shows them without a tool.
fn routes() -> Vec<Route> {
    let v4 = sys::read_text("/proc/thread-self/net/route", sys::FILE_MAX).unwrap_or_default();
    let v6 = sys::read_text("/proc/thread-self/net/ipv6_route", sys::FILE_MAX).unwrap_or_default();
    v4.lines().filter_map(route_v4).chain(v6.lines().filter_map(route_v6)).collect()
}

/// `eth0 00006E0A 00000000 0001 0 0 0 00FFFFFF …`: numbers as they lie in memory (fib_route_seq_show).
fn route_v4(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let dev = words.next()?.to_owned();
    let hex = |w: Option<&str>| u32::from_str_radix(w?, 16).ok();
    let dst = hex(words.next())?;
    let mask = hex(words.nth(5))?;
    let prefix = u8::try_from(mask.count_ones()).ok()?;
    Some(Route { dst: IpAddr::V4(Ipv4Addr::from(u32::from_be(dst))), prefix, dev })
}

/// `fd00…0 40 00…0 00 00…0 00000100 … eth0`: destination, its length in hex, and the device at the end.
fn route_v6(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (dst, prefix, dev) = (words.first()?, words.get(1)?, words.get(9)?);
    // RTF_REJECT (0x0200): a route that refuses.
    let flags = u32::from_str_radix(words.get(8)?, 16).ok()?;
    if flags & 0x0200 != 0 {
        return None;
    }
    let dst = Ipv6Addr::from(u128::from_str_radix(dst, 16).ok()?);
    Some(Route { dst: IpAddr::V6(dst), prefix: u8::from_str_radix(prefix, 16).ok()?, dev: (*dev).to_owned() })
}

/// What the client's own rules do with the dial.
pub fn of_client(file: &CaseFile) -> Seen<Firewall> {
    let asked: Vec<Asked> = dialled(file)
        .into_iter()
        .filter_map(|(from, to)| {
            from.map(|src| Asked { src, dst: to.ip(), port: to.port(), hook: Hook::Output })
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
    let input = |src, dst| Asked { src, dst, port: file.ask.port, hook: Hook::Input };
    let own: Vec<(IpAddr, u8)> = own_networks(file);
    let mut asked = Vec::new();
    for (from, to) in dialled(file) {
        let here = to.ip().is_loopback() || own.iter().any(|(ip, _)| *ip == to.ip());
        if let (true, Some(src)) = (here, from) {
            asked.push(input(src, to.ip()));
        }
    }
    let sources: Vec<IpAddr> = asked.iter().map(|a| a.src).collect();
    asked.extend(outside(file, &own).map(|(src, dst)| input(src, dst)));
    if asked.is_empty() {
        return Seen::not_applicable("this host has no address that a client could dial");
    }
    super::timed(BY_HAND, || look_since(&asked, before, &sources, file.ask.trace))
}

/// Each address dialled, and the one it was dialled from; before the dial the loopback address for itself.
fn dialled(file: &CaseFile) -> Vec<(Option<IpAddr>, SocketAddr)> {
    let dials = file.client.connect.get().map_or(&[][..], Vec::as_slice);
    let from = |d: &Dial| d.from.map(|f| f.ip()).filter(|f| !f.is_unspecified());
    // The routes of another machine than the client's tell nothing of the client's address.
    let guessed = |d: &Dial| if file.server.syn == Seen::NotRun { source_for(file, d.to.ip()) } else { None };
    let came = |d: &Dial| match translated(file) {
        Some(clients) => {
            if let [only] = clients.as_slice() {
                Some(*only)
            } else {
                None
            }
        }
        None => from(d).or_else(|| guessed(d)),
    };
    dials.iter().map(|d| (came(d), d.to)).collect()
}

/// The clients' addresses as the Redis host's wire shows them, where none of our SYNs came in there as it was sent, but some that
/// may be ours: an address was translated on the way, and the rules meet the new one.
fn translated(file: &CaseFile) -> Option<Vec<IpAddr>> {
    let came: Vec<_> = file.server.syn.get()?.target.iter().filter(|h| h.syn_in > 0).collect();
    (!came.is_empty() && !came.iter().any(|h| h.ours)).then(|| {
        let mut clients: Vec<IpAddr> = came.iter().map(|h| h.client.ip()).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    })
}

/// A dial that was refused at once leaves no source behind: the address of the interface the route names.
fn source_for(file: &CaseFile, dst: IpAddr) -> Option<IpAddr> {
    let own = own_networks(file);
    if dst.is_loopback() || own.iter().any(|(ip, _)| *ip == dst) {
        return Some(dst);
    }
    sys::net::source_towards(dst)
}

fn own_networks(file: &CaseFile) -> Vec<(IpAddr, u8)> {
    let seen = file.server.address.get().map(|all| all.iter().map(|a| (a.address, a.prefix)).collect());
    seen.unwrap_or_else(|| sys::net::own_addresses().into_iter().map(|ip| (ip, 32)).collect())
}

/// A client that is not this host, and the address it dials: `--client`, else a neighbour in the target's network.
fn outside(file: &CaseFile, own: &[(IpAddr, u8)]) -> Option<(IpAddr, IpAddr)> {
    let target = file.client.connect.get().and_then(|d| d.first()).map(|d| d.to.ip());
    let reachable = |ip: &IpAddr| !ip.is_loopback() && !is_link_local(*ip);
    let fits = |ip: &IpAddr| file.ask.client.is_none_or(|c| c.is_ipv4() == ip.is_ipv4());
    let by_target = target.filter(|t| reachable(t) && fits(t) && own.iter().any(|(ip, _)| ip == t));
    let mut addresses = own.iter().map(|(ip, _)| *ip).filter(|ip| reachable(ip) && fits(ip));
    let dst = by_target
        .or_else(|| addresses.find(IpAddr::is_ipv4))
        .or_else(|| own.iter().map(|(ip, _)| *ip).find(|ip| reachable(ip) && fits(ip)))?;
    match file.ask.client {
        Some(client) if client.is_ipv4() == dst.is_ipv4() => Some((client, dst)),
        Some(_) => None,
        None => Some((neighbour(dst, own), dst)),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The next address, or the one before where that is our own or the network's last.
fn neighbour(dst: IpAddr, own: &[(IpAddr, u8)]) -> IpAddr {
    let step = |by: i32| match dst {
        IpAddr::V4(ip) => IpAddr::V4(u32::from(ip).wrapping_add_signed(by).into()),
        IpAddr::V6(ip) => IpAddr::V6(u128::from(ip).wrapping_add_signed(by.into()).into()),
    };
    let prefix = own.iter().find(|(ip, _)| *ip == dst).map_or(24, |(_, p)| *p);
    let inside = Route { dst, prefix, dev: String::new() };
    let good = |ip: &IpAddr| !own.iter().any(|(o, _)| o == ip) && inside.holds(*ip);
    [1, -1, 2, -2].into_iter().map(step).find(good).unwrap_or_else(|| step(1))
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
    let rules = read();
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
    let mut verdicts: Vec<Verdict> = asked.iter().map(|a| verdict(&rules, a)).collect();
    match before {
        // The client's own SYNs came between the two readings: nothing has to be sent for it.
        Some(before) => {
            let sent = |a: &Asked| sources.contains(&a.src);
            for (asked, now) in asked.iter().zip(&mut verdicts).filter(|(a, v)| stops(v) && sent(a)) {
                now.moved = moved(&verdict(&before.rules, asked), now);
            }
        }
        None => watch_counters(asked, &mut verdicts),
    }
    let untraced = match before.and_then(|b| b.traced.as_ref()) {
        Some(Ok(events)) => {
            trace::apply(asked, &rules, &mut verdicts, events);
            None
        }
        Some(Err(why)) => Some(why.to_string()),
        None if trace && before.is_none() => trace::follow(asked, &rules, &mut verdicts),
        None => None,
    };
    Ok(Firewall {
        read: rules.read.iter().map(|r| format!("{}, {} rules", r.label, r.rules())).collect(),
        unread: rules.unread.iter().map(|(name, why)| format!("{name}: {why}")).collect(),
        managers,
        permanent: asked.first().and_then(|a| permanent::look(&verdicts, a.port)),
        verdicts,
        untraced,
    })
}

/// A rule that counts stops it.
fn stops(v: &Verdict) -> bool {
    matches!(v.verdict.as_str(), "drop" | "reject") && v.packets.is_some()
}

/// Sends one more SYN where a counting rule stops our own connection, lists again, and sees whether its counter moved.
/// What another host sends cannot be made from here: its verdicts stay without.
fn watch_counters(asked: &[Asked], verdicts: &mut [Verdict]) {
    let own = sys::net::own_addresses();
    let ours = |ip: IpAddr| ip.is_loopback() || own.contains(&ip);
    let watched: Vec<usize> = asked
        .iter()
        .zip(&*verdicts)
        .enumerate()
        .filter(|(_, (a, v))| ours(a.src) && stops(v) && knock(SocketAddr::new(a.dst, a.port)))
        .map(|(at, _)| at)
        .collect();
    if watched.is_empty() {
        return;
    }
    let rules = read();
    for at in watched {
        if let (Some(asked), Some(before)) = (asked.get(at), verdicts.get_mut(at)) {
            before.moved = moved(before, &verdict(&rules, asked));
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
    verdict
}

/// The client's port where none is known: in Linux's default range (net.ipv4.ip_local_port_range), and IANA's.
const EPHEMERAL: u16 = 50_000;

/// The SYN-ACK on its way back, as this host meets it: in the other direction, of a connection that conntrack knows.
fn answer(asked: &Asked) -> Option<Packet> {
    let hook = match asked.hook {
        Hook::Input => Hook::Output,
        Hook::Output => Hook::Input,
        Hook::Forward => return None,
    };
    let mut packet = packet(&Asked { src: asked.dst, dst: asked.src, port: EPHEMERAL, hook });
    packet.sport = (asked.port, asked.port);
    packet.state = CtState::Answer;
    Some(packet)
}

/// The request's verdict; where it passes and the answer to it is stopped, the answer's. The client sees silence then,
/// also by a reject: that goes to the sender of the answer.
fn verdict(rules: &Rules, asked: &Asked) -> Verdict {
    let found = judge(rules, &packet(asked));
    if found.outcome == Outcome::Accept
        && let Some(back) = answer(asked).map(|packet| judge(rules, &packet))
        && matches!(back.outcome, Outcome::Drop | Outcome::Reject(_))
    {
        let because = format!("the request passes, the answer does not: {}", back.because);
        let stopped = packet_verdict::Verdict { outcome: Outcome::Drop, because, ..back };
        return Verdict { answer: true, ..told(asked, &stopped) };
    }
    told(asked, &found)
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
    use super::{dev_of, incoming, moved, neighbour, route_v4, route_v6, sort_out};
    use crate::evidence::Why;
    use crate::evidence::server::Verdict;
    use std::net::IpAddr;

    #[test]
    fn routes_of_the_kernel() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("address");
        let text = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nwg0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0";
        let mut routes: Vec<_> = text.lines().filter_map(route_v4).collect();
        assert_eq!(dev_of(&routes, ip("10.1.2.3")).as_deref(), Some("wg0"));
        assert_eq!(dev_of(&routes, ip("11.1.2.3")).as_deref(), Some("eth0"));
        let line = "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1";
        routes.extend(route_v6(line));
        assert_eq!(dev_of(&routes, ip("fd00::9")).as_deref(), Some("eth1"));
        assert_eq!(dev_of(&routes, ip("fd01::9")), None);
    }

    #[test]
    fn what_is_sent_to_oneself_comes_in_by_lo() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("address");
        let route = packet_verdict::Route { dst: ip("10.0.0.0"), prefix: 24, dev: "eth0".to_owned() };
        let mut packet = packet_verdict::Packet::new(ip("10.0.0.5"), ip("10.0.0.5"), 6379);
        packet.routes = vec![route];
        packet.local = Some(vec![packet_verdict::Address { addr: ip("10.0.0.5"), dev: None }]);
        assert_eq!(incoming(&packet, ip("10.0.0.5")).as_deref(), Some("lo"));
        assert_eq!(incoming(&packet, ip("127.0.0.1")).as_deref(), Some("lo"));
        assert_eq!(incoming(&packet, ip("10.0.0.7")).as_deref(), Some("eth0"));
    }

    #[test]
    fn a_neighbour_is_of_the_same_network_and_not_ourselves() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("address");
        let own = [(ip("10.0.0.5"), 24), (ip("10.0.0.6"), 24), (ip("fd00::1"), 64), (ip("10.9.9.9"), 32)];
        assert_eq!(neighbour(own[0].0, &own), ip("10.0.0.4"));
        assert_eq!(neighbour(own[1].0, &own), ip("10.0.0.7"));
        assert_eq!(neighbour(own[2].0, &own), ip("fd00::2"));
        assert_eq!(neighbour(own[3].0, &own), ip("10.9.9.10"));
    }

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
