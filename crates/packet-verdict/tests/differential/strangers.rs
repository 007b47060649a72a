//! Rule sets as other programs and people write them (`tests/strangers/`), against the kernel: each is loaded, real SYNs
//! are sent to, through and from the host, and what became of them is compared with the verdict.
//!
//! `NAME.nft` is nft's notation, `NAME.v4` and `NAME.v6` are for iptables-restore (tried with both back-ends), `NAME.ipset`
//! is restored before. `VERDICT_STRANGERS` names another directory of them, `VERDICT_SHOW` lists what is undecided. Judged twice: with the host's addresses and routes, and as one who has only the saved text.

use crate::net::{BEHIND_V4, BEHIND_V6, Host, Net, SOURCES_V4, SOURCES_V6};
use crate::spec::{Case, Tool};
use crate::{CERTAIN, EMPTY, PATIENCE, agrees, missing, packet};
use packet_verdict::{Outcome, Packet, Ruleset, judge, parse};
use std::path::{Path, PathBuf};

struct Stranger {
    name: String,
    tool: Tool,
    text: String,
    v6: bool,
    ipset: Option<String>,
}

fn strangers() -> Vec<Stranger> {
    let dir = match std::env::var_os("VERDICT_STRANGERS") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strangers"),
    };
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("the directory").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    let only = std::env::var("VERDICT_STRANGER").unwrap_or_default();
    let mut out = Vec::new();
    for path in paths.iter().filter(|p| p.display().to_string().contains(&only)) {
        let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let tools: &[Tool] = match kind {
            "nft" => &[Tool::Nft],
            "v4" | "v6" => &[Tool::IptablesNft, Tool::IptablesLegacy],
            _ => continue,
        };
        for tool in tools {
            out.push(Stranger {
                name: format!("{} ({tool:?})", path.file_name().expect("a name").to_string_lossy()),
                tool: *tool,
                text: std::fs::read_to_string(path).expect("text"),
                v6: kind == "v6",
                ipset: std::fs::read_to_string(path.with_extension("ipset")).ok(),
            });
        }
    }
    out
}

/// A listing in each form that a tool gives it; several texts are judged together.
type Forms = Vec<Vec<(&'static str, String)>>;

/// Its rules in the kernel, and what the tools list then.
fn load(net: &Net, s: &Stranger) -> Result<Forms, String> {
    net.run(&["nft", "flush", "ruleset"], "")?;
    for tool in ["iptables-legacy-restore", "ip6tables-legacy-restore"] {
        net.run(&[tool], EMPTY)?;
    }
    let mut sets = Vec::new();
    if let Some(text) = &s.ipset {
        drop(net.run(&["ipset", "destroy"], ""));
        net.run(&["ipset", "restore", "-exist"], text)?;
        sets.push(("ipset save", net.run(&["ipset", "save"], "")?));
    }
    let nft =
        |options: &'static str| Ok::<_, String>(("nft", net.run(&["nft", options, "list", "ruleset"], "")?));
    let (restore, save) = match (s.tool, s.v6) {
        (Tool::Nft, _) => {
            net.run(&["nft", "-f", "-"], &s.text)?;
            let mut forms = vec![vec![nft("-j")?], vec![nft("-jn")?], vec![nft("-js")?], vec![nft("-jnn")?]];
            // Another version of nft, such as one in a lab's tree: `chroot TREE nft -j list ruleset`.
            if let Ok(other) = std::env::var("VERDICT_NFT") {
                forms.push(vec![("another nft", net.run(&other.split(' ').collect::<Vec<_>>(), "")?)]);
            }
            return Ok(forms);
        }
        (Tool::IptablesNft, false) => ("iptables-nft-restore", "iptables-nft-save"),
        (Tool::IptablesNft, true) => ("ip6tables-nft-restore", "ip6tables-nft-save"),
        (Tool::IptablesLegacy, false) => ("iptables-legacy-restore", "iptables-legacy-save"),
        (Tool::IptablesLegacy, true) => ("ip6tables-legacy-restore", "ip6tables-legacy-save"),
    };
    net.run(&[restore], &s.text)?;
    let with = |text: String| {
        let mut all = sets.clone();
        all.push((save, text));
        all
    };
    let mut forms =
        vec![with(net.run(&[save, "-c"], "")?), with(net.run(&[save], "")?), with(s.text.clone())];
    if s.tool == Tool::IptablesNft {
        let mut both = with(net.run(&[save], "")?);
        both.push(nft("-j")?);
        forms.push(both);
        // What nft cannot show leaves more undecided.
        forms.push(vec![nft("-j")?]);
    }
    Ok(forms)
}

/// Whether one SYN can change what the next one meets.
fn remembers(s: &Stranger) -> bool {
    ["dynamic", "limit", "recent", "quota", "meter", "statistic", "numgen", "ct count", "-j SET"]
        .iter()
        .any(|word| s.text.contains(word))
}

/// To the host, through it and from it.
fn dials(v4: bool) -> Vec<Case> {
    let ip = |s: &str| s.parse().expect("an address");
    let (sources, behind) = if v4 { (SOURCES_V4, BEHIND_V4) } else { (SOURCES_V6, BEHIND_V6) };
    let (own, second, inner) =
        if v4 { ("10.77.0.1", "10.77.0.5", "10.78.0.1") } else { ("fd77::1", "fd77::5", "fd78::1") };
    let mut out = Vec::new();
    let mut add = |from, src: &str, dst: &str, port| {
        out.push(Case {
            seed: 0,
            from,
            src: ip(src),
            dst: ip(dst),
            port,
            tables: Vec::new(),
            ipsets: Vec::new(),
        });
    };
    for port in crate::net::PORTS {
        add(Host::Client, sources[0], own, port);
        add(Host::Client, sources[1], second, port);
    }
    for port in [6379, 22, 6380] {
        add(Host::Client, sources[2], own, port);
        add(Host::Client, sources[0], behind, port);
        add(Host::Client, sources[1], behind, port);
        add(Host::Rules, inner, behind, port);
    }
    out
}

/// One who has only the text, and says which interface it comes in on.
fn from_afar(case: &Case, iif: bool) -> Packet {
    let mut plain = Packet::new(case.src, case.dst, case.port);
    plain.hook = packet(case, true).hook;
    plain.now = packet(case, true).now;
    if iif && case.from == Host::Client {
        plain.iif = Some("eth0".into());
    }
    plain
}

/// What all dials together came to.
#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    undecided: Vec<String>,
    judged: u64,
    /// Undecided only from nft's listing of iptables' rules.
    poorer: u64,
}

/// One rule set, every dial, every form of listing.
fn compare(net: &Net, s: &Stranger, found: &mut Found) {
    if s.ipset.is_some() && net.run(&["ipset", "list", "-n"], "").is_err() {
        say!("{}: left out, no ipset here", s.name);
        return;
    }
    let families: &[bool] = match (s.tool, s.v6) {
        (Tool::Nft, _) => &[true, false],
        (_, v6) => &[!v6],
    };
    let mut forms: Option<Vec<Vec<Ruleset>>> = None;
    for case in families.iter().flat_map(|v4| dials(*v4)) {
        if forms.is_none() || remembers(s) {
            let read = |one: &Vec<(&str, String)>| one.iter().map(|(l, t)| parse(l, t)).collect();
            let texts = load(net, s);
            let parsed = texts
                .and_then(|f| f.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string()));
            match parsed {
                Ok(all) => forms = Some(all),
                // Each kernel is built with some of the matches.
                Err(e) if e.contains("Operation not supported") || e.contains("missing kernel module") => {
                    say!("{}: left out, this kernel lacks something: {e}", s.name);
                    break;
                }
                Err(e) => {
                    found.wrong.push(format!("{}: cannot be loaded or read: {e}", s.name));
                    break;
                }
            }
        }
        let Some(forms) = &forms else { break };
        let rulesets = &forms[0];
        let to = std::net::SocketAddr::new(case.dst, case.port);
        let ways = [
            ("on the host", packet(&case, true)),
            ("from afar", from_afar(&case, true)),
            ("from afar, interface unknown", from_afar(&case, false)),
        ];
        let verdicts: Vec<_> = ways.iter().map(|(_, p)| judge(rulesets, p)).collect();
        // The same rules in another form of listing.
        for (n, form) in forms.iter().enumerate().skip(1) {
            let v = judge(form, &ways[0].1);
            found.judged += 1;
            let worse = s.tool == Tool::IptablesNft && n == forms.len() - 1;
            let poor = matches!(v.outcome, Outcome::Undecided | Outcome::Reject(None));
            let allowed = poor && worse;
            if v.outcome != verdicts[0].outcome && !allowed && verdicts[0].outcome != Outcome::Undecided {
                found.wrong.push(format!(
                    "{}, listing {n}: {:?} {} -> {}:{}: {:?} ({}) instead of {:?} ({})",
                    s.name,
                    ways[0].1.hook,
                    case.src,
                    case.dst,
                    case.port,
                    v.outcome,
                    v.because,
                    verdicts[0].outcome,
                    verdicts[0].because
                ));
            }
            if allowed {
                found.poorer += 1;
            }
        }
        let mut seen = net.dial(case.from, case.src, to, PATIENCE);
        if !verdicts.iter().all(|v| agrees(v, &seen)) {
            load(net, s).expect("as before");
            seen = net.dial(case.from, case.src, to, CERTAIN);
        }
        for ((way, p), v) in ways.iter().zip(&verdicts) {
            found.judged += 1;
            let what = format!("{}, {way}: {:?} {} -> {to}: {}", s.name, p.hook, case.src, v.because);
            if !agrees(v, &seen) {
                found.wrong.push(format!("{what}; said {:?}, the kernel {seen:?}", v.outcome));
            } else if v.outcome == Outcome::Undecided {
                found.undecided.push(format!("{what}; the kernel {seen:?}"));
            }
        }
    }
}

/// Most of the time is waiting for what is dropped: many at once, each in namespaces of its own.
const THREADS: usize = 10;

#[test]
fn the_kernel_agrees_on_what_strangers_write() {
    if let Some(what) = missing() {
        say!("skipped: {what}");
        return;
    }
    let (all, next) = (strangers(), std::sync::atomic::AtomicUsize::new(0));
    let worker = |n: usize| {
        let net = Net::new(&format!("{}s{n}", std::process::id() % 100_000))?;
        let mut found = Found::default();
        while let Some(s) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            compare(&net, s, &mut found);
        }
        Ok::<_, String>(found)
    };
    let results: Vec<Result<Found, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || worker(n))).collect();
        workers.into_iter().map(|w| w.join().expect("no panic")).collect()
    });
    let mut found = Found::default();
    for result in results {
        match result {
            Ok(one) => {
                found.wrong.extend(one.wrong);
                found.undecided.extend(one.undecided);
                found.judged += one.judged;
                found.poorer += one.poorer;
            }
            Err(e) => return say!("skipped: no namespaces to be had: {e}"),
        }
    }
    say!(
        "{} verdicts, {} contradictions, {} undecided; {} only from nft's listing of iptables' rules",
        found.judged,
        found.wrong.len(),
        found.undecided.len(),
        found.poorer
    );
    if std::env::var_os("VERDICT_SHOW").is_some() {
        found.undecided.iter().for_each(|line| say!("undecided: {line}"));
    }
    assert!(found.wrong.is_empty(), "the kernel contradicts:\n{}", found.wrong.join("\n"));
}
