//! `nopong verdict --src A --dst A:PORT`: what the firewall does with that connection, and which rule.

use super::{Fail, Verb, exit, io};
use crate::probe::firewall::{self, Rules};
use crate::{sys, text};
use packet_verdict::{CtState, Hook, Outcome, Packet, RuleRef};
use serde_json::{Value as Json, json};
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};

/// Largest rule set taken: 100,000 elements are about 10 MB of JSON.
const LARGEST: usize = 64 << 20;

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Verdict {
    /// Who dials
    #[arg(long, value_name = "ADDR")]
    src: IpAddr,
    /// Whom: ADDR:PORT, an IPv6 address in brackets
    #[arg(long, value_name = "ADDR:PORT", value_parser = destination)]
    dst: SocketAddr,
    /// A saved rule set (nft -j list ruleset, iptables-save, ip6tables-save, ipset save), `-` for standard input; may
    /// be repeated: all must let the connection pass
    #[arg(long, value_name = "FILE")]
    ruleset: Vec<String>,
    /// Whose live rules, without --ruleset
    #[arg(long, value_name = "WHERE", default_value = "local", conflicts_with = "ruleset", value_parser = super::args::vantage)]
    at: crate::vantage::Vantage,
    /// The interface it comes in on
    #[arg(long = "in", value_name = "IFACE")]
    iface: Option<String>,
    /// The interface it leaves by, at the hooks forward and output
    #[arg(long = "out", value_name = "IFACE")]
    out: Option<String>,
    /// Where the packet is met
    #[arg(long, value_name = "HOOK", default_value = "input", value_parser = ["input", "forward", "output"])]
    hook: String,
    /// Which packet of the connection
    #[arg(long, value_name = "STATE", default_value = "new", value_parser = ["new", "established"])]
    state: String,
    /// human or json
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = ["human", "json"])]
    format: String,
    /// Every rule that mattered on the way
    #[arg(long, short)]
    verbose: bool,
}

fn destination(text: &str) -> Result<SocketAddr, String> {
    let hint = "write 10.0.0.5:6379 or [fd00::5]:6379";
    match text.parse::<SocketAddr>() {
        Ok(to) if to.port() > 0 => Ok(to),
        Ok(_) => Err(format!("port 0 cannot be dialled: {hint}")),
        Err(_) if text.parse::<IpAddr>().is_ok() => Err(format!("the port is missing: {hint}")),
        Err(_) => Err(format!("not an address and a port: {hint}")),
    }
}

impl Verb for Verdict {
    const NAME: &'static str = "verdict";
    const ABOUT: &'static str = "What a firewall does with one connection, and which rule";
    const EXITS: &'static str = exit::VERDICT;

    fn run(self) -> Result<u8, Fail> {
        let there = self.at.clone().resolve().and_then(|at| at.enter_network());
        there.map_err(|why| Fail::usage(format!("--at: {why}")))?;
        if self.src.is_ipv4() != self.dst.is_ipv4() {
            return Err(Fail::usage("--src and --dst are of different address families"));
        }
        let asked = firewall::Asked {
            src: self.src,
            dst: self.dst.ip(),
            port: self.dst.port(),
            hook: match self.hook.as_str() {
                "forward" => Hook::Forward,
                "output" => Hook::Output,
                _ => Hook::Input,
            },
            uid: None,
        };
        let live = self.ruleset.is_empty();
        let (rules, mut packet) = if live {
            let rules = firewall::read();
            let packet = firewall::Host::read(&rules).packet(&asked);
            (rules, packet)
        } else {
            let mut packet = Packet::new(asked.src, asked.dst, asked.port);
            packet.hook = asked.hook;
            // Rules that hold at some hours are judged for this one; the verdict says so.
            packet.now = Some(firewall::now(true));
            (self.saved()?, packet)
        };
        if let Some(iface) = &self.iface {
            packet.iif = Some(interface("--in", iface)?);
        }
        if let Some(iface) = &self.out {
            packet.oif = Some(interface("--out", iface)?);
        }
        if self.state == "established" {
            packet.state = CtState::Established;
        }
        let mut verdict = firewall::judge(&rules, &packet);
        if let (true, None, Some(dev)) = (live, &self.iface, &packet.iif) {
            verdict
                .assumptions
                .push(format!("it comes in on {dev}, by which the route to {} leaves", self.src));
        }
        let out = match self.format.as_str() {
            "json" => format!("{}\n", as_json(&verdict)),
            _ => as_text(&verdict, &rules, self.verbose),
        };
        io::emit(out.as_bytes())?;
        Ok(match verdict.outcome {
            Outcome::Accept => exit::PONG,
            Outcome::Drop | Outcome::Reject(_) => exit::NAMED,
            Outcome::Undecided => exit::UNDECIDED,
        })
    }
}

impl Verdict {
    fn saved(&self) -> Result<Rules, Fail> {
        if self.ruleset.iter().filter(|f| *f == "-").count() > 1 {
            return Err(Fail::usage("standard input can be read once: give `--ruleset -` once"));
        }
        let mut rules = Rules::default();
        for name in &self.ruleset {
            let label = if name == "-" { "standard input" } else { name.as_str() };
            let said = decoded(label, &fetch(name, label)?)?;
            let ruleset = packet_verdict::parse(label, &said)
                .map_err(|e| Fail::usage(text::shown_str(&e.to_string(), 1000)))?;
            rules.read.push(ruleset);
        }
        Ok(rules)
    }
}

fn fetch(name: &str, label: &str) -> Result<Vec<u8>, Fail> {
    let read = if name == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(LARGEST as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
    } else {
        sys::read(name, LARGEST + 1)
    };
    let shown = text::shown_str(label, 300);
    match read {
        Ok(bytes) if bytes.len() > LARGEST => {
            Err(Fail::usage(format!("{shown}: larger than {} MiB", LARGEST >> 20)))
        }
        Ok(bytes) => Ok(bytes),
        Err(e) => Err(Fail::usage(format!("{shown}: cannot be read: {}", sys::errno_name(&e)))),
    }
}

/// A comment in another encoding changes no verdict; a text of 16-bit characters is none of these listings.
fn decoded(label: &str, bytes: &[u8]) -> Result<String, Fail> {
    match bytes.iter().position(|b| *b == 0) {
        None => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Some(at) => {
            let line = bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
            Err(Fail::usage(format!("{}: line {line}: not UTF-8 text", text::shown_str(label, 300))))
        }
    }
}

fn interface(option: &str, name: &str) -> Result<String, Fail> {
    // IFNAMSIZ is 16, with the zero behind; the kernel takes neither `/` nor blanks (dev_valid_name).
    let bad = name.is_empty() || name.len() > 15 || name.contains(|c: char| c == '/' || c.is_whitespace());
    if bad {
        return Err(Fail::usage(format!(
            "{option} {}: not an interface name; `ip -br link` lists them",
            text::shown_str(name, 40)
        )));
    }
    Ok(name.to_owned())
}

fn shown(s: &str) -> String {
    text::shown_str(s, 4000)
}

fn rule_json(rule: &RuleRef) -> Json {
    json!({
        "table": shown(&rule.table),
        "chain": shown(&rule.chain),
        "text": shown(&rule.text),
        "handle": rule.handle,
        "packets": rule.packets,
        "family": rule.family,
        "policy": rule.policy,
        "source": shown(&rule.source),
        "line": (rule.line > 0).then_some(rule.line),
        "column": (rule.column > 0).then_some(rule.column),
        "comment": rule.comment.as_deref().map(shown),
        "owner": rule.owner.as_ref().map(|o| shown(&o.to_string())),
    })
}

fn as_json(verdict: &packet_verdict::Verdict) -> Json {
    let decided = verdict.outcome != Outcome::Undecided;
    json!({
        "verdict": verdict.outcome.word(),
        "with": firewall::with(verdict.outcome),
        "rule": verdict.rule.as_ref().filter(|_| decided).map(rule_json),
        "because": shown(&verdict.because),
        "assumptions": verdict.assumptions.iter().map(|a| shown(a)).collect::<Vec<_>>(),
        "possible": verdict.possible.iter().map(|(outcome, rule)| json!({
            "verdict": outcome.word(),
            "with": firewall::with(*outcome),
            "rule": rule.as_ref().map(rule_json),
        })).collect::<Vec<_>>(),
        "trace": verdict.trace.iter().map(|p| json!({
            "says": shown(&p.says), "rule": rule_json(&p.rule),
        })).collect::<Vec<_>>(),
    })
}

fn place(rule: &RuleRef) -> String {
    let mut out = format!("{} {}", shown(&rule.table_words()), shown(&rule.chain));
    if let Some(handle) = rule.handle {
        out.push_str(&format!(", handle {handle}"));
    }
    if rule.line > 0 {
        out.push_str(&format!(", {} line {}", shown(&rule.source), rule.line));
    }
    if let Some(packets) = rule.packets {
        out.push_str(&format!(", {packets} packets so far"));
    }
    if let Some(owner) = &rule.owner {
        out.push_str(&format!(", made by {}", shown(&owner.to_string())));
    }
    out
}

fn as_text(verdict: &packet_verdict::Verdict, rules: &Rules, verbose: bool) -> String {
    let mut out = verdict.outcome.word().to_owned();
    if let Some(with) = firewall::with(verdict.outcome) {
        out.push_str(&format!(" with {with}"));
    }
    out.push_str(&format!(": {}\n", shown(&verdict.because)));
    if let Some(rule) = verdict.rule.as_ref().filter(|_| verdict.outcome != Outcome::Undecided) {
        out.push_str(&format!("  rule   {}\n  where  {}\n", shown(&rule.text), place(rule)));
    }
    for (outcome, rule) in &verdict.possible {
        let by =
            rule.as_ref().map(|r| format!(" by `{}` ({})", shown(&r.text), place(r))).unwrap_or_default();
        out.push_str(&format!("  could be {}{by}\n", outcome.word()));
    }
    for assumption in &verdict.assumptions {
        out.push_str(&format!("  taken for granted: {}\n", shown(assumption)));
    }
    for (name, why) in &rules.unread {
        out.push_str(&format!("  not read: {name}: {}\n", shown(&why.to_string())));
    }
    if verbose {
        for passed in &verdict.trace {
            let says = shown(&passed.says);
            out.push_str(&format!(
                "  on the way: `{}` {says} ({})\n",
                shown(&passed.rule.text),
                place(&passed.rule)
            ));
        }
        for ruleset in &rules.read {
            out.push_str(&format!("  read: {}, {} rules\n", shown(&ruleset.label), ruleset.rules()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{destination, interface};

    #[test]
    fn destinations() {
        assert!(destination("10.0.0.5:6379").is_ok());
        assert!(destination("[fd00::5]:6379").is_ok());
        assert!(destination("10.0.0.5").is_err_and(|e| e.contains("port is missing")));
        assert!(destination("fd00::5").is_err());
        assert!(destination("10.0.0.5:0").is_err());
        assert!(destination("redis:6379").is_err());
    }

    #[test]
    fn interface_names() {
        assert!(interface("--in", "eth0").is_ok());
        assert!(interface("--in", "a name too long for it").is_err());
        assert!(interface("--in", "").is_err());
    }
}
