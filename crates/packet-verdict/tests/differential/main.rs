//! The verdict against the kernel: random rule sets are loaded into namespaces of our own, a real SYN is sent, and what
//! became of it is compared with what the crate says.
//!
//! `cargo test` tries 200 sets; `VERDICT_SETS=2000` more, from `VERDICT_SEED`. Without root, nft or iptables it says
//! so and passes. A contradiction is made as small as it gets and written to `tests/kernel_said/`.

/// Figures for whoever runs it.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        drop(writeln!(std::io::stdout(), $($text)*));
    }};
}

mod generate;
mod iptables;
mod iptables_more;
mod net;
mod nft;
mod nft_more;
mod rng;
mod spec;
mod strangers;

use net::{Host, Net, OWN_V4, OWN_V6, Seen};
use packet_verdict::{Address, Clock, Hook, Need, Outcome, Packet, Route, Ruleset, Verdict, judge, parse};
use spec::{Case, Tool};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A SYN within one machine takes well under a millisecond; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_millis(150);
/// To be sure before something is called a contradiction. An ICMP error that comes back within the same softirq finds
/// the socket still locked by connect and is dropped (LockDroppedIcmps); the one for the SYN sent again after 1 s is not.
const CERTAIN: Duration = Duration::from_millis(1400);

fn tool_names(case: &Case, tool: Tool) -> (&'static str, &'static str) {
    match (tool, case.src.is_ipv4()) {
        (Tool::Nft, _) => ("nft", "nft"),
        (Tool::IptablesNft, true) => ("iptables-nft-restore", "iptables-nft-save"),
        (Tool::IptablesNft, false) => ("ip6tables-nft-restore", "ip6tables-nft-save"),
        (Tool::IptablesLegacy, true) => ("iptables-legacy-restore", "iptables-legacy-save"),
        (Tool::IptablesLegacy, false) => ("ip6tables-legacy-restore", "ip6tables-legacy-save"),
    }
}

const EMPTY: &str = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*security\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

/// Loads the case's rules; what they are read back as.
fn load(net: &Net, case: &Case) -> Result<Vec<(String, String)>, String> {
    net.run(&["nft", "flush", "ruleset"], "")?;
    // Legacy tables are there only once used; emptying both families costs little.
    for tool in ["iptables-legacy-restore", "ip6tables-legacy-restore"] {
        if std::fs::exists("/proc/self/net/ip_tables_names").unwrap_or(false) {
            net.run(&[tool], EMPTY)?;
        }
    }
    let mut saved = Vec::new();
    if !case.ipsets.is_empty() {
        // A list holds its members; the rules that used the sets before are freed a little later.
        net.run(&["ipset", "flush"], "")?;
        let mut tries = 0;
        while net.run(&["ipset", "destroy"], "").is_err() && tries < 40 {
            tries += 1;
            std::thread::sleep(Duration::from_millis(25));
        }
        net.run(&["ipset", "restore"], &case.ipsets.join("\n"))?;
        saved.push(("ipset save".to_owned(), net.run(&["ipset", "save"], "")?));
    }
    for tool in [Tool::Nft, Tool::IptablesNft, Tool::IptablesLegacy] {
        if !case.uses(tool) {
            continue;
        }
        let (restore, save) = tool_names(case, tool);
        let text = case.text(tool);
        if tool == Tool::Nft {
            net.run(&["nft", "-f", "-"], &text)?;
            saved.push(("nft -j list ruleset".to_owned(), net.run(&["nft", "-j", "list", "ruleset"], "")?));
        } else {
            net.run(&[restore], &text)?;
            saved.push((save.to_owned(), net.run(&[save], "")?));
        }
    }
    Ok(saved)
}

fn packet(case: &Case, iif: bool) -> Packet {
    let mut packet = Packet::new(case.src, case.dst, case.port);
    let own: Vec<&str> = if case.src.is_ipv4() { OWN_V4.to_vec() } else { OWN_V6.to_vec() };
    let ip = |s: &str| s.parse().expect("an address");
    let here = |a: &&str| Address { addr: ip(a), dev: Some("eth0".into()) };
    let mut local: Vec<Address> = own.iter().map(here).collect();
    let inner = if case.src.is_ipv4() { "10.78.0.1" } else { "fd78::1" };
    local.push(Address { addr: ip(inner), dev: Some("eth1".into()) });
    packet.hook = match case.from {
        Host::Rules => Hook::Output,
        _ if local.iter().any(|a| a.addr == case.dst) => Hook::Input,
        _ => Hook::Forward,
    };
    packet.local = Some(local);
    let (net77, net78) = if case.src.is_ipv4() {
        (("10.77.0.0", 16), ("10.78.0.0", 16))
    } else {
        (("fd77::", 16), ("fd78::", 16))
    };
    for ((dst, prefix), dev) in [(net77, "eth0"), (net78, "eth1")] {
        packet.routes.push(Route { dst: ip(dst), prefix, dev: dev.into() });
    }
    (packet.uid, packet.gid) = (Some(0), Some(0));
    packet.now = Some(now());
    // No program waits at a queue here.
    packet.queues = Some(Vec::new());
    packet.mac = (case.from == Host::Client).then_some(0x0200_0000_7702);
    if iif {
        packet.iif = Some("eth0".into());
    }
    packet
}

/// These tests run where TZ says UTC, or nothing.
fn now() -> Clock {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Clock { unix: i64::try_from(since.as_secs()).expect("before the end of time"), ahead: Some(0) }
}

/// Judged without the interface first, and with it where that is what is missing.
fn verdict(case: &Case, saved: &[(String, String)]) -> Result<Verdict, String> {
    let rulesets: Vec<Ruleset> = saved
        .iter()
        .map(|(label, text)| parse(label, text).map_err(|e| e.to_string()))
        .collect::<Result<_, _>>()?;
    let v = judge(&rulesets, &packet(case, false));
    let asks = v.outcome == Outcome::Undecided
        && matches!(v.need, Some(Need::IncomingInterface | Need::OutgoingInterface));
    Ok(if asks { judge(&rulesets, &packet(case, true)) } else { v })
}

fn agrees(verdict: &Verdict, seen: &Seen) -> bool {
    match (verdict.outcome, seen) {
        (Outcome::Undecided, _) | (Outcome::Accept, Seen::Accept) | (Outcome::Drop, Seen::Drop) => true,
        (Outcome::Reject(None), Seen::Reject(_)) => true,
        (Outcome::Reject(Some(how)), Seen::Reject(errno)) => how.errno() == errno,
        _ => false,
    }
}

#[derive(Default)]
struct Tally {
    tried: u64,
    unloadable: BTreeMap<String, u64>,
    undecided: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
    contradictions: Vec<String>,
}

enum Tried {
    Unloadable(String),
    Agrees(Seen, Verdict),
    Contradicts(Seen, Verdict),
}

fn attempt(net: &Net, case: &Case, sure: bool) -> Tried {
    let saved = match load(net, case) {
        Ok(saved) => saved,
        Err(e) => return Tried::Unloadable(e),
    };
    let found = match verdict(case, &saved) {
        Ok(v) => v,
        Err(e) => return Tried::Unloadable(format!("our reader: {e}")),
    };
    let to = std::net::SocketAddr::new(case.dst, case.port);
    let mut seen = net.dial(case.from, case.src, to, if sure { CERTAIN } else { PATIENCE });
    if !sure && !agrees(&found, &seen) {
        seen = net.dial(case.from, case.src, to, CERTAIN);
    }
    if agrees(&found, &seen) { Tried::Agrees(seen, found) } else { Tried::Contradicts(seen, found) }
}

/// The smallest case that still contradicts.
fn shrink(net: &Net, mut case: Case) -> Case {
    let deadline = Instant::now() + Duration::from_secs(60);
    'again: loop {
        for smaller in case.smaller() {
            if Instant::now() > deadline {
                return case;
            }
            if matches!(attempt(net, &smaller, true), Tried::Contradicts(..)) {
                case = smaller;
                continue 'again;
            }
        }
        return case;
    }
}

/// In the form that `tests/kernel_said.rs` replays.
fn describe(net: &Net, case: &Case, seen: &Seen, verdict: &Verdict) -> String {
    let hook = match packet(case, true).hook {
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
    };
    let kernel = match seen {
        Seen::Accept => "accept".to_owned(),
        Seen::Drop => "drop".to_owned(),
        Seen::Reject(errno) => format!("reject {errno}"),
    };
    let mut out = format!(
        "# seed {}; said instead: {}, {}\npacket: {hook} {} {} {}\nkernel: {kernel}\n",
        case.seed,
        verdict.outcome.word(),
        verdict.because,
        case.src,
        case.dst,
        case.port,
    );
    for (label, text) in load(net, case).unwrap_or_default() {
        out.push_str(&format!("=== {label}\n{text}\n"));
    }
    out
}

fn worker(tag: &str, next: &AtomicU64, end: u64, tally: &Mutex<Tally>) -> Result<(), String> {
    let net = Net::new(tag)?;
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return Ok(());
        }
        let case = generate::case(seed);
        let tried = attempt(&net, &case, false);
        let mut shrunk = None;
        if let Tried::Contradicts(..) = tried {
            let few = tally.lock().expect("no panic").contradictions.len() < 8;
            let small = if few { shrink(&net, case.clone()) } else { case.clone() };
            if let Tried::Contradicts(seen, v) = attempt(&net, &small, true) {
                // A listing may leave out what was loaded.
                for tool in [Tool::Nft, Tool::IptablesNft, Tool::IptablesLegacy] {
                    say!("loaded, seed {seed}:\n{}", small.text(tool));
                }
                shrunk = Some(describe(&net, &small, &seen, &v));
            }
        }
        let mut t = tally.lock().expect("no panic");
        t.tried += 1;
        match tried {
            Tried::Unloadable(why) => {
                t.tried -= 1;
                let first = why.lines().find(|l| l.contains("rror") || l.contains("reader")).unwrap_or(&why);
                if std::env::var_os("VERDICT_SHOW").is_some() {
                    say!(
                        "not loadable, seed {seed}: {why}{}{}{}",
                        case.text(Tool::Nft),
                        case.text(Tool::IptablesNft),
                        case.text(Tool::IptablesLegacy)
                    );
                }
                *t.unloadable.entry(first.chars().take(110).collect()).or_default() += 1;
            }
            Tried::Agrees(seen, v) => {
                *t.seen.entry(format!("{seen:?}")).or_default() += 1;
                if v.outcome == Outcome::Undecided {
                    *t.undecided.entry(v.because.chars().take(100).collect()).or_default() += 1;
                }
            }
            Tried::Contradicts(..) => t.contradictions.extend(shrunk),
        }
    }
}

fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root");
    }
    let there = |name: &str| {
        ["/usr/sbin", "/sbin", "/usr/bin"]
            .iter()
            .any(|d| std::fs::exists(format!("{d}/{name}")).unwrap_or(false))
    };
    ["nft", "iptables-nft-restore", "iptables-legacy-restore", "ip"].into_iter().find(|name| !there(name))
}

#[test]
fn the_kernel_agrees() {
    if let Some(what) = missing() {
        say!("skipped: {what}");
        return;
    }
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (sets, first) = (number("VERDICT_SETS", 200), number("VERDICT_SEED", 1));
    let threads = number("VERDICT_THREADS", 10);
    let started = Instant::now();
    let (next, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|n| {
                let (next, tally) = (&next, &tally);
                let tag = format!("{}x{n}", std::process::id() % 100_000);
                scope.spawn(move || worker(&tag, next, first + sets, tally))
            })
            .collect();
        workers.into_iter().filter_map(|w| w.join().expect("no panic").err()).collect()
    });
    let t = tally.into_inner().expect("no panic");
    if t.tried == 0 && !failures.is_empty() {
        say!("skipped: no namespaces to be had: {}", failures[0]);
        return;
    }
    assert!(failures.is_empty(), "{failures:?}");
    let undecided: u64 = t.undecided.values().sum();
    say!(
        "{} rule sets in {:.1} s, {} contradictions, {undecided} undecided, not loadable {:?}",
        t.tried,
        started.elapsed().as_secs_f64(),
        t.contradictions.len(),
        t.unloadable
    );
    say!("the kernel: {:?}", t.seen);
    say!("undecided: {:?}", t.undecided);
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel_said");
    for (n, text) in t.contradictions.iter().enumerate() {
        say!("==== {text}");
        std::fs::create_dir_all(&dir).ok();
        std::fs::write(dir.join(format!("seed_{first}_{n}.txt")), text).ok();
    }
    assert!(t.contradictions.is_empty(), "the kernel contradicts");
    assert!(undecided * 50 <= t.tried, "more than 2 % undecided");
}
