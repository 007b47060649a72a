//! The matches of one rule.
//!
//! Options are told by their names, which hardly two matches share; where they do (`--sport` of tcp and udp, `--mark` of mark and
//! connmark), by the `-m` before. What is not known becomes a match that may or may not hold.

use super::targets;
use super::values::{
    flag_bits, id_range, interface, kinds, num, port_range, protocol, rate_per_second, states, value_mask,
};
use super::words::Words;
use crate::model::{Cond, Expr, Field, Op, Rule, SetRef, Stmt};
use crate::nft::{NO_IPSEC, rate_limit};
use crate::packet::prefix_range;
use crate::set::{Datum, SetBuilder};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Build {
    pub(super) v6: bool,
    pub(super) conds: Vec<Cond>,
    pub(super) comment: Option<String>,
    /// The matches named so far; the last one owns ambiguous options.
    modules: Vec<String>,
    protocol: Option<(u128, bool)>,
    /// An unknown match was reported already for the current `-m`.
    pub(super) doubted: bool,
}

pub(super) fn rule(words: &mut Words, v6: bool) -> Result<Rule, String> {
    let mut build = Build { v6, ..Build::default() };
    let mut stmts = Vec::new();
    let mut negate = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "!" => {
                negate = true;
                continue;
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                let target = words.arg(&word)?;
                stmts = targets::target(&target, word == "-g" || word == "--goto", words, v6)?;
            }
            "-c" | "--set-counters" => {
                words.arg(&word)?;
                words.arg(&word)?;
            }
            option => {
                let negate = negate != words.inner_negation();
                build.option(option, negate, words)?;
            }
        }
        negate = false;
    }
    build.close_module();
    let mut all: Vec<Stmt> = build.conds.into_iter().map(Stmt::If).collect();
    all.extend(stmts);
    Ok(Rule { stmts: all, comment: build.comment, ..Rule::default() })
}

/// Matches that say nothing by their mere presence.
const PLAIN: &[&str] = &[
    "tcp",
    "udp",
    "multiport",
    "comment",
    "conntrack",
    "state",
    "mark",
    "connmark",
    "iprange",
    "addrtype",
    "set",
    "owner",
    "length",
    "pkttype",
    "tos",
    "dscp",
    "ttl",
    "hl",
    "icmp",
    "icmp6",
    "ipv6-icmp",
    "physdev",
    "recent",
    "limit",
    "hashlimit",
    "statistic",
    "time",
    "rpfilter",
    "rt",
    "frag",
    "hbh",
    "dst",
    "mh",
    "sctp",
    "dccp",
    "esp",
    "ah",
    "udplite",
    "socket",
    "nfacct",
    "protocol",
];

/// Headers that no SYN of TCP has.
const ABSENT: &[&str] = &["rt", "frag", "hbh", "dst", "mh", "ah", "esp", "sctp", "dccp"];

impl Build {
    pub(super) fn push(&mut self, cond: Cond, negate: bool) {
        self.conds.push(if negate { Cond::Not(Box::new(cond)) } else { cond });
    }

    fn doubt(&mut self, what: impl Into<String>) {
        if !self.doubted {
            self.conds.push(Cond::Unknown(what.into()));
            self.doubted = true;
        }
    }

    /// A match named without an option that says more: some hold on their own terms.
    fn close_module(&mut self) {
        let Some(last) = self.modules.last().cloned() else { return };
        match last.as_str() {
            "limit" | "hashlimit" => self.doubt("a rate limit"),
            "rpfilter" if !self.doubted => {
                self.push(Cond::Cmp(Expr::Field(Field::ReversePath), Op::Eq, Expr::Const(1)), false);
                self.doubted = true;
            }
            "socket" => self.doubt("the socket that takes the packet"),
            // Named alone, each asks whether the header is there at all.
            other if ABSENT.contains(&other) => self.conds.push(Cond::Never),
            "icmp" | "icmp6" | "ipv6-icmp" | "udplite" | "udp" => {}
            other if !PLAIN.contains(&other) => {
                self.doubt(format!("the match `{other}`, which is not understood"));
            }
            _ => {}
        }
    }

    pub(super) fn module(&self) -> &str {
        self.modules.last().map_or("", String::as_str)
    }

    fn option(&mut self, option: &str, negate: bool, words: &mut Words) -> Result<(), String> {
        let arg = |words: &mut Words| words.arg(option);
        let addr_fields = (Expr::Field(Field::Saddr), Expr::Field(Field::Daddr));
        match option {
            "-m" | "--match" => {
                let name = arg(words)?;
                self.close_module();
                self.doubted = false;
                self.modules.push(name);
            }
            "-p" | "--protocol" | "--proto" => self.protocol(&arg(words)?, negate)?,
            "-s" | "--source" | "--src" => {
                let cond = self.address(&addr_fields.0, &arg(words)?)?;
                self.push(cond, negate);
            }
            "-d" | "--destination" | "--dst" => {
                let cond = self.address(&addr_fields.1, &arg(words)?)?;
                self.push(cond, negate);
            }
            "-i" | "--in-interface" => {
                let cond = interface(Field::IifName, &arg(words)?)?;
                self.push(cond, negate);
            }
            "-o" | "--out-interface" => {
                let cond = interface(Field::OifName, &arg(words)?)?;
                self.push(cond, negate);
            }
            // A SYN is not a later fragment.
            "-f" | "--fragment" => self.push(Cond::Never, negate),
            "--comment" => self.comment = Some(arg(words)?),
            "--sport" | "--source-port" => self.port(Field::Sport, &arg(words)?, negate)?,
            "--dport" | "--destination-port" => self.port(Field::Dport, &arg(words)?, negate)?,
            "--sports" | "--source-ports" => {
                let list = arg(words)?;
                self.ports(&[Field::Sport], &list, negate)?;
            }
            "--dports" | "--destination-ports" => {
                let list = arg(words)?;
                self.ports(&[Field::Dport], &list, negate)?;
            }
            "--ports" => {
                let list = arg(words)?;
                self.ports(&[Field::Sport, Field::Dport], &list, negate)?;
            }
            "--syn" => self.flags(0x17, 0x02, negate),
            "--tcp-flags" => {
                let (mask, set) = (flag_bits(&arg(words)?)?, flag_bits(&arg(words)?)?);
                self.flags(mask, set, negate);
            }
            "--ctstate" | "--state" => {
                let cond = states(&arg(words)?, option == "--ctstate")?;
                self.push(cond, negate);
            }
            "--ctstatus" => self.status(&arg(words)?, negate)?,
            "--ctorigsrc" | "--ctorigdst" => {
                let field = if option == "--ctorigsrc" { Field::CtOrigSaddr } else { Field::CtOrigDaddr };
                let cond = self.address(&Expr::Field(field), &arg(words)?)?;
                self.push_tracked(cond, negate);
            }
            "--ctorigsrcport" | "--ctorigdstport" => {
                let field = if option == "--ctorigsrcport" { Field::CtOrigSport } else { Field::CtOrigDport };
                let (lo, hi) = port_range(&arg(words)?)?;
                self.push_tracked(Cond::Cmp(Expr::Field(field), Op::Eq, Expr::Range(lo, hi)), negate);
            }
            "--ctdir" => {
                let reply = arg(words)?.eq_ignore_ascii_case("REPLY");
                let cond = Cond::Cmp(Expr::Field(Field::CtDirection), Op::Eq, Expr::Const(reply.into()));
                self.push_tracked(cond, negate);
            }
            "--ctproto" => {
                let number = protocol(&arg(words)?)?;
                let cond = Cond::Cmp(Expr::Field(Field::L4Proto), Op::Eq, Expr::Const(number));
                self.push_tracked(cond, negate);
            }
            "--mark" => self.mark(&arg(words)?, negate)?,
            "--src-range" | "--dst-range" => {
                let field = if option == "--src-range" { addr_fields.0 } else { addr_fields.1 };
                let text = arg(words)?;
                let (lo, hi) = text.split_once('-').unwrap_or((&text, &text));
                let cond = Cond::Cmp(field, Op::Eq, Expr::Range(self.addr(lo)?, self.addr(hi)?));
                self.push(cond, negate);
            }
            "--src-type" => {
                let cond = kinds(Field::SaddrType, &arg(words)?, self.v6)?;
                self.push(cond, negate);
            }
            "--dst-type" => {
                let cond = kinds(Field::DaddrType, &arg(words)?, self.v6)?;
                self.push(cond, negate);
            }
            "--limit" | "--hashlimit" | "--hashlimit-upto" | "--hashlimit-above"
                if matches!(self.module(), "limit" | "hashlimit") =>
            {
                self.rate(&arg(words)?, (option == "--hashlimit-above") != negate);
            }
            "--set" if self.module() == "recent" => {
                // Whoever is not in the list is put there: it always holds (recent_mt).
                self.doubted = true;
                if negate {
                    self.conds.push(Cond::Never);
                }
            }
            "--mss" if self.module() == "tcpmss" => {
                let (lo, hi) = port_range(&arg(words)?)?;
                self.doubted = true;
                self.push(Cond::Cmp(Expr::Field(Field::Mss), Op::Eq, Expr::Range(lo, hi)), negate);
            }
            "--pol" if self.module() == "policy" => {
                let none = arg(words)? == "none";
                self.doubted = true;
                self.push(Cond::Assumed(none, NO_IPSEC.into()), negate);
            }
            "--dir" if self.module() == "policy" => {
                arg(words)?;
            }
            "--header" if self.module() == "ipv6header" => {
                let only = arg(words)?;
                let soft = words.peek() == Some("--soft");
                self.extension_headers(&only, soft, negate);
            }
            "--soft" if self.module() == "ipv6header" => {}
            // Counts, and holds (nfacct_mt).
            "--nfacct-name" => {
                arg(words)?;
            }
            "--helper" if self.module() == "helper" => {
                arg(words)?;
                self.doubted = true;
                self.push(Cond::Never, negate);
            }
            "--limit-iface-out" => self.doubt("the interface that carries the address"),
            // Of a rule for both families in one text; for the other one it is left out.
            "-4" | "--ipv4" if self.v6 => self.conds.push(Cond::Never),
            "-6" | "--ipv6" if !self.v6 => self.conds.push(Cond::Never),
            "-4" | "--ipv4" | "-6" | "--ipv6" => {}
            _ if self.unlikely(option, negate, words)? => {}
            _ if self.outside(option, negate, words)? => {}
            "--match-set" | "--set" if option != "--set" || self.module() == "set" => {
                let (name, dirs) = (arg(words)?, arg(words)?);
                let key = dirs.split(',').map(|d| d.trim().to_owned()).collect::<Vec<_>>();
                self.ipset(&name, &key, negate);
            }
            "--uid-owner" | "--gid-owner" => {
                let field = if option == "--uid-owner" { Field::Uid } else { Field::Gid };
                let cond = match id_range(&arg(words)?) {
                    Some((lo, hi)) => Cond::Cmp(Expr::Field(field), Op::Eq, Expr::Range(lo, hi)),
                    None => Cond::Unknown("the owner of the sending socket".into()),
                };
                self.push(cond, negate);
            }
            "--length" => {
                let text = arg(words)?;
                let (lo, hi) = text.split_once(':').unwrap_or((&text, &text));
                let lo = if lo.is_empty() { 0 } else { num(lo)? };
                let hi = if hi.is_empty() { 65535 } else { num(hi)? };
                self.push(Cond::Cmp(Expr::Field(Field::Length), Op::Eq, Expr::Range(lo, hi)), negate);
            }
            "--pkt-type" => {
                let kind = match arg(words)?.as_str() {
                    "unicast" | "host" => 0,
                    "broadcast" => 1,
                    "multicast" => 2,
                    _ => 3,
                };
                self.push(Cond::Cmp(Expr::Field(Field::PktType), Op::Eq, Expr::Const(kind)), negate);
            }
            "--icmp-type" | "--icmpv6-type" => {
                arg(words)?;
                self.push(Cond::Never, false);
            }
            "--invert" if self.module() == "rpfilter" => {
                self.push(Cond::Cmp(Expr::Field(Field::ReversePath), Op::Eq, Expr::Const(0)), false);
                self.doubted = true;
            }
            "--loose" | "--validmark" | "--accept-local" if self.module() == "rpfilter" => {}
            other => return self.other(other, words),
        }
        Ok(())
    }

    fn other(&mut self, option: &str, words: &mut Words) -> Result<(), String> {
        if !option.starts_with('-') {
            return Err(format!("`{option}` stands where an option was expected"));
        }
        words.skip_args();
        let module = self.module().to_owned();
        // The packet carries none of these headers; a match on one does not hold without it, negated or not.
        if ABSENT.contains(&module.as_str()) {
            self.conds.push(Cond::Never);
            return Ok(());
        }
        let what = match module.as_str() {
            "" => return Err(format!("the option `{option}` belongs to no match")),
            "limit" | "hashlimit" => "a rate limit".to_owned(),
            "recent" => "which addresses were seen lately".to_owned(),
            "owner" => "the owner of the sending socket".to_owned(),
            "physdev" => "the bridge port it came in on".to_owned(),
            "socket" => "the socket that takes the packet".to_owned(),
            "quota" => "a quota".to_owned(),
            "connbytes" => "the bytes of the connection so far".to_owned(),
            "policy" => "IPsec".to_owned(),
            other => format!("the match `{other}` ({option})"),
        };
        self.doubt(what);
        Ok(())
    }

    /// A limit that only a flood uses up holds.
    fn rate(&mut self, text: &str, over: bool) {
        if self.doubted {
            return;
        }
        match rate_per_second(text) {
            Some(rate) => {
                self.conds.push(rate_limit(rate, over, text));
                self.doubted = true;
            }
            None => self.doubt("a rate limit"),
        }
    }

    /// The SYN carries no extension header: only the protocol itself is there (ipv6header_mt6).
    fn extension_headers(&mut self, list: &str, soft: bool, negate: bool) {
        let mut words = list.split(',');
        let protocol = |w: &str| matches!(w, "prot" | "proto" | "protocol");
        let holds = if soft { words.any(protocol) } else { words.all(protocol) };
        self.doubted = true;
        if holds == negate {
            self.conds.push(Cond::Never);
        }
    }

    /// A match on the connection does not hold without one, negated or not (conntrack_mt).
    pub(super) fn push_tracked(&mut self, cond: Cond, negate: bool) {
        let tracked = Cond::Cmp(Expr::Field(Field::CtDirection), Op::Ge, Expr::Const(0));
        let cond = if negate { Cond::Not(Box::new(cond)) } else { cond };
        self.conds.push(Cond::All(vec![tracked, cond]));
    }

    fn protocol(&mut self, text: &str, negate: bool) -> Result<(), String> {
        let number = protocol(text)?;
        let module = match number {
            6 => "tcp",
            17 => "udp",
            _ => "protocol",
        };
        self.modules.push(module.to_owned());
        if number == 0 {
            return Ok(());
        }
        self.protocol = Some((number, negate));
        self.push(Cond::Cmp(Expr::Field(Field::L4Proto), Op::Eq, Expr::Const(number)), negate);
        Ok(())
    }

    pub(super) fn address(&self, field: &Expr, text: &str) -> Result<Cond, String> {
        let mut any = Vec::new();
        for one in text.split(',') {
            any.push(self.network(field.clone(), one)?);
        }
        Ok(if any.len() == 1 { any.swap_remove(0) } else { Cond::Any(any) })
    }

    fn network(&self, field: Expr, text: &str) -> Result<Cond, String> {
        let (addr, mask) = text.split_once('/').map_or((text, None), |(a, m)| (a, Some(m)));
        let width = if self.v6 { 128 } else { 32 };
        let bits = self.addr(addr)?;
        let Some(mask) = mask else { return Ok(Cond::Cmp(field, Op::Eq, Expr::Const(bits))) };
        if let Ok(len) = mask.parse::<u32>() {
            if len > width {
                return Err(format!("/{len} is longer than an address"));
            }
            let (lo, hi) = prefix_range(bits, len, width);
            return Ok(Cond::Cmp(field, Op::Eq, Expr::Range(lo, hi)));
        }
        let mask = self.addr(mask)?;
        let masked = Expr::And(Box::new(field), Box::new(Expr::Const(mask)));
        Ok(Cond::Cmp(masked, Op::Eq, Expr::Const(bits & mask)))
    }

    fn addr(&self, text: &str) -> Result<u128, String> {
        if self.v6 {
            text.parse::<Ipv6Addr>().map(u128::from).map_err(|_| format!("`{text}` is not an IPv6 address"))
        } else {
            let addr = text.parse::<Ipv4Addr>().map_err(|_| format!("`{text}` is not an IPv4 address"))?;
            Ok(u128::from(u32::from(addr)))
        }
    }

    /// Ports of a protocol that the packet does not carry were excluded by its `-p`.
    fn port(&mut self, field: Field, text: &str, negate: bool) -> Result<(), String> {
        // iptables takes `-m multiport --dport 80,443` too.
        if text.contains(',') {
            return self.ports(&[field], text, negate);
        }
        let (lo, hi) = port_range(text)?;
        self.push(Cond::Cmp(Expr::Field(field), Op::Eq, Expr::Range(lo, hi)), negate);
        Ok(())
    }

    fn ports(&mut self, fields: &[Field], text: &str, negate: bool) -> Result<(), String> {
        let mut builder = SetBuilder::new(1);
        for one in text.split(',') {
            builder.add(vec![port_range(one)?], Datum::None);
        }
        let set = SetRef::Anonymous(Arc::new(builder.build()));
        let mut any: Vec<Cond> =
            fields.iter().map(|f| Cond::In(vec![Expr::Field(*f)], set.clone(), false)).collect();
        let cond = if any.len() == 1 { any.swap_remove(0) } else { Cond::Any(any) };
        self.push(cond, negate);
        Ok(())
    }

    fn flags(&mut self, mask: u128, set: u128, negate: bool) {
        let masked = Expr::And(Box::new(Expr::Field(Field::TcpFlags)), Box::new(Expr::Const(mask)));
        self.push(Cond::Cmp(masked, Op::Eq, Expr::Const(set)), negate);
    }

    fn status(&mut self, text: &str, negate: bool) -> Result<(), String> {
        let mut mask = 0;
        for word in text.split(',') {
            mask |= match word {
                "NONE" => 0,
                "EXPECTED" => 1,
                "SEEN_REPLY" => 2,
                "ASSURED" => 4,
                "CONFIRMED" => 8,
                other => return Err(format!("the connection status {other} is not known")),
            };
        }
        self.push_tracked(Cond::AnyBit(Expr::Field(Field::CtStatus), mask, false), negate);
        Ok(())
    }

    fn mark(&mut self, text: &str, negate: bool) -> Result<(), String> {
        let (value, mask) = value_mask(text)?;
        let connection = self.module() == "connmark";
        let field = if connection { Field::CtMark } else { Field::Mark };
        let masked = Expr::And(Box::new(Expr::Field(field)), Box::new(Expr::Const(mask)));
        let cond = Cond::Cmp(masked, Op::Eq, Expr::Const(value));
        if connection {
            self.push_tracked(cond, negate);
        } else {
            self.push(cond, negate);
        }
        Ok(())
    }

    /// A set of the other family, or of another shape, is not known better than an unknown one.
    fn ipset(&mut self, name: &str, dirs: &[String], negate: bool) {
        let mut key = Vec::new();
        for dir in dirs {
            let src = dir == "src";
            key.push(Expr::Field(if src { Field::Saddr } else { Field::Daddr }));
            key.push(Expr::Field(if src { Field::Sport } else { Field::Dport }));
            key.push(Expr::Field(if src { Field::IifName } else { Field::OifName }));
        }
        self.push(Cond::In(key, SetRef::Ipset(name.to_owned()), false), negate);
    }
}
