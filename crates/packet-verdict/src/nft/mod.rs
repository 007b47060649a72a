//! `nft -j list ruleset` into the model.
//!
//! Two passes over the text: the first finds where each object stands, so that a rule keeps its place, the second
//! reads the objects one by one. An object of an unknown kind is passed over; a statement of an unknown kind is
//! kept as one that may do anything.

mod expr;
mod stmt;
mod text;
pub(crate) mod types;

pub(crate) use expr::NO_IPSEC;
pub(crate) use stmt::{XT_HARMLESS, rate_limit};

use crate::model::{Base, Chain, Cond, Family, Field, HookPoint, Kind, Rule, Ruleset, Stmt, Table};
use crate::parse::Trouble;
use crate::set::{SetBuilder, SetData};
use expr::{Data, fill, single};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use stmt::{Found, declared, statement};

pub(crate) fn read(text: &str) -> Result<Ruleset, Trouble> {
    let objects = objects(text)?;
    let mut builder = Builder::default();
    let mut places = Places::new(text);
    for raw in objects {
        let offset = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        let (line, column) = places.of(offset);
        let json: Json = serde_json::from_str(raw.get()).map_err(|e| {
            let on_first = e.line() <= 1;
            Trouble {
                line: line + number(e.line().saturating_sub(1)),
                column: if on_first {
                    column + number(e.column().saturating_sub(1))
                } else {
                    number(e.column())
                },
                says: words(&e),
            }
        })?;
        builder.object(&json, line, column).map_err(|says| Trouble { line, column, says })?;
    }
    let mut ruleset = builder.finish();
    ruleset.may_ask_time = ["\"hour\"", "\"time\""].iter().any(|word| text.contains(word));
    Ok(ruleset)
}

/// The objects of the listing, unread.
fn objects(text: &str) -> Result<Vec<&RawValue>, Trouble> {
    let bad = |e: serde_json::Error| Trouble {
        line: number(e.line()),
        column: number(e.column()),
        says: words(&e),
    };
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(bad);
    }
    let top: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(bad)?;
    let list = top
        .get("nftables")
        .ok_or_else(|| Trouble::at(1, "JSON without \"nftables\": not from `nft -j list ruleset`"))?;
    let offset = list.get().as_ptr() as usize - text.as_ptr() as usize;
    let (line, column) = Places::new(text).of(offset);
    serde_json::from_str(list.get()).map_err(|e| Trouble { line, column, says: words(&e) })
}

fn words(error: &serde_json::Error) -> String {
    let says = error.to_string();
    // serde_json adds its own position, which is relative to the piece.
    let says = says.split(" at line ").next().unwrap_or(&says);
    if says.starts_with("EOF") { "the text is cut off".into() } else { says.to_owned() }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Line and column of growing offsets, counted once.
struct Places<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    start: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1, start: 0 }
    }

    fn of(&mut self, offset: usize) -> (u32, u32) {
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        for (n, byte) in self.text.as_bytes()[self.offset..offset].iter().enumerate() {
            if *byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.start = self.offset + n + 1;
            }
        }
        self.offset = offset;
        (self.line, number(offset - self.start + 1))
    }
}

#[derive(Default)]
struct Builder {
    tables: Vec<Table>,
    index: HashMap<(String, String), usize>,
    touched: Vec<(usize, String)>,
    counters: HashMap<(usize, String), u64>,
    /// Named limits and quotas, which rules refer to; a listing has them before the rules.
    objects: HashMap<(usize, &'static str, String), Json>,
    /// Rules that count in a named counter.
    counted: Vec<(usize, usize, usize, String)>,
}

impl Builder {
    fn object(&mut self, json: &Json, line: u32, column: u32) -> Result<(), String> {
        let Some((kind, body)) = single(json) else {
            return Err("an object with one key was expected, such as {\"rule\": …}".into());
        };
        // `add` and the like: a batch for `nft -j -f`, whose objects are the same.
        if matches!(kind, "add" | "create" | "insert") {
            return self.object(body, line, column);
        }
        if !matches!(kind, "table" | "chain" | "rule" | "set" | "map" | "counter" | "limit" | "quota") {
            return Ok(());
        }
        let name = |key: &str| {
            let value = body.get(key).and_then(Json::as_str);
            value.map(str::to_owned).ok_or_else(|| format!("a {kind} without \"{key}\""))
        };
        let family = name("family")?;
        let table = self.table(&family, &if kind == "table" { name("name")? } else { name("table")? });
        match kind {
            "table" => {
                let flags = body.get("flags");
                let dormant = |f: &Json| f.as_str() == Some("dormant");
                self.tables[table].dormant =
                    flags.is_some_and(|f| dormant(f) || f.as_array().is_some_and(|a| a.iter().any(dormant)));
            }
            "chain" => {
                let chain = self.chain(table, &name("name")?);
                self.tables[table].chains[chain].base = base(body)?.map(|base| Base { line, column, ..base });
            }
            "rule" => {
                let chain = self.chain(table, &name("chain")?);
                let rule = self.rule(table, chain, body, line, column)?;
                self.tables[table].chains[chain].rules.push(rule);
            }
            "counter" => {
                let packets = body.get("packets").and_then(Json::as_u64).unwrap_or(0);
                self.counters.insert((table, name("name")?), packets);
            }
            "limit" => drop(self.objects.insert((table, "limit", name("name")?), body.clone())),
            "quota" => drop(self.objects.insert((table, "quota", name("name")?), body.clone())),
            _ => {
                let (name, set) = (name("name")?, named_set(body));
                self.tables[table].sets.insert(name, Arc::new(set));
            }
        }
        Ok(())
    }

    fn table(&mut self, family: &str, name: &str) -> usize {
        let key = (family.to_owned(), name.to_owned());
        if let Some(index) = self.index.get(&key) {
            return *index;
        }
        self.tables.push(Table {
            family: match family {
                "ip" => Family::Ip,
                "ip6" => Family::Ip6,
                "inet" => Family::Inet,
                "netdev" => Family::Netdev,
                _ => Family::Other,
            },
            name: name.to_owned(),
            xt: false,
            dormant: false,
            chains: Vec::new(),
            by_name: HashMap::new(),
            sets: BTreeMap::new(),
            changes: Vec::new(),
        });
        self.index.insert(key, self.tables.len() - 1);
        self.tables.len() - 1
    }

    fn chain(&mut self, table: usize, name: &str) -> usize {
        let table = &mut self.tables[table];
        if let Some(index) = table.by_name.get(name) {
            return *index;
        }
        table.chains.push(Chain { name: name.to_owned(), base: None, rules: Vec::new() });
        table.by_name.insert(name.to_owned(), table.chains.len() - 1);
        table.chains.len() - 1
    }

    fn rule(
        &mut self,
        table: usize,
        chain: usize,
        body: &Json,
        line: u32,
        column: u32,
    ) -> Result<Rule, String> {
        let exprs = match body.get("expr") {
            Some(Json::Array(list)) => list.as_slice(),
            None | Some(Json::Null) => &[],
            Some(_) => return Err("a rule whose \"expr\" is not a list".into()),
        };
        let mut found = Found::default();
        let mut stmts: Vec<Stmt> = exprs
            .iter()
            .filter_map(|e| match self.named(table, e) {
                Some(object) => statement(&object, &mut found),
                None => statement(e, &mut found),
            })
            .collect();
        // `dnat ip to …` lets packets of the other family go on (nft_nat_inet_eval).
        let family = exprs.iter().filter_map(single).find(|(word, _)| matches!(*word, "dnat" | "snat"));
        let field = family.and_then(|(_, body)| match body.get("family")?.as_str()? {
            "ip" => Some(Field::SaddrV4),
            "ip6" => Some(Field::SaddrV6),
            _ => None,
        });
        if let Some(field) = field {
            stmts.insert(stmts.len().saturating_sub(1), Stmt::If(crate::usual::present(field)));
        }
        if self.tables[table].family == Family::Inet && hides_family(exprs) {
            let says =
                format!("`{}` asks for no address family that its listing leaves out", text::rule(exprs));
            stmts.insert(stmts.len() - 1, Stmt::If(Cond::Assumed(true, says)));
        }
        self.tables[table].changes.extend(exprs.iter().filter_map(stmt::changes));
        self.touched.extend(found.touched.into_iter().map(|name| (table, name)));
        if let Some(name) = found.counter {
            let rule = self.tables[table].chains[chain].rules.len();
            self.counted.push((table, chain, rule, name));
        }
        Ok(Rule {
            stmts,
            text: text::rule(exprs),
            comment: body.get("comment").and_then(Json::as_str).map(str::to_owned),
            handle: body.get("handle").and_then(Json::as_u64),
            packets: found.packets,
            line,
            column,
            number: None,
        })
    }

    /// `{"limit": "NAME"}` with the object in place of its name.
    fn named(&self, table: usize, stmt: &Json) -> Option<Json> {
        let (kind, body) = single(stmt)?;
        let kind = ["limit", "quota"].into_iter().find(|k| *k == kind)?;
        let object = self.objects.get(&(table, kind, body.as_str()?.to_owned()))?;
        Some(serde_json::json!({ kind: object }))
    }

    fn finish(mut self) -> Ruleset {
        for (table, name) in std::mem::take(&mut self.touched) {
            if let Some(set) = self.tables[table].sets.get_mut(&name) {
                Arc::make_mut(set).changing = true;
            }
        }
        for (table, chain, rule, name) in std::mem::take(&mut self.counted) {
            let packets = self.counters.get(&(table, name)).copied();
            if let Some(rule) = self.tables[table].chains[chain].rules.get_mut(rule) {
                rule.packets = packets;
            }
        }
        Ruleset {
            kind: Kind::Nft,
            label: String::new(),
            covers_v4: true,
            covers_v6: true,
            notes: Vec::new(),
            tables: self.tables,
            ipsets: HashMap::new(),
            changed_ipsets: Vec::new(),
            may_ask_time: false,
        }
    }
}

/// Up to 1.1 at least, nft lists `meta nfproto ipv4 tcp dport 6379 reject with tcp reset` of an inet table without the family
/// (stmt_reject_postprocess), unless another statement stands between. A refusal by ICMP shows it by its kind.
fn hides_family(exprs: &[Json]) -> bool {
    let Some((last, before)) = exprs.split_last() else { return false };
    let reset = last.get("reject").is_some_and(|r| r.get("type").and_then(Json::as_str) == Some("tcp reset"));
    reset
        && before.iter().all(|e| e.get("match").is_some_and(|m| m.get("left").is_some_and(|l| !of_family(l))))
}

/// Whether the expression is of one address family.
fn of_family(expr: &Json) -> bool {
    let Some((kind, body)) = single(expr) else { return false };
    let field = |key: &str| body.get(key).and_then(Json::as_str).unwrap_or_default();
    match kind {
        "payload" => matches!(field("protocol"), "ip" | "ip6" | "icmp" | "icmpv6"),
        "meta" => matches!(field("key"), "nfproto" | "protocol"),
        "ct" => field("key").starts_with("ip"),
        "exthdr" | "ip option" => true,
        _ => match body {
            Json::Array(parts) => parts.iter().any(of_family),
            _ => false,
        },
    }
}

fn base(body: &Json) -> Result<Option<Base>, String> {
    let Some(hook) = body.get("hook").and_then(Json::as_str) else { return Ok(None) };
    let hook = match hook {
        "ingress" => HookPoint::Ingress,
        "prerouting" => HookPoint::Prerouting,
        "input" => HookPoint::Input,
        "forward" => HookPoint::Forward,
        "output" => HookPoint::Output,
        "postrouting" => HookPoint::Postrouting,
        "egress" => HookPoint::Egress,
        other => return Err(format!("a chain at the hook \"{other}\", which is not known")),
    };
    let devices = match body.get("dev") {
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let priority = body.get("prio").and_then(Json::as_i64).and_then(|p| i32::try_from(p).ok());
    Ok(Some(Base {
        hook,
        priority: priority.ok_or("a base chain without a priority")?,
        nat: body.get("type").and_then(Json::as_str) == Some("nat"),
        accept: body.get("policy").and_then(Json::as_str) != Some("drop"),
        devices,
        packets: None,
        line: 0,
        column: 0,
    }))
}

fn named_set(body: &Json) -> SetData {
    let types = declared(body.get("type"));
    let data = match body.get("map") {
        None => Data::None,
        Some(Json::String(word)) if word == "verdict" => Data::Verdict,
        other => Data::Values(declared(other)),
    };
    let mut builder = SetBuilder::new(types.len());
    if let Some(Json::Array(elements)) = body.get("elem") {
        fill(&mut builder, elements, &types, &data);
    }
    let name = body.get("name").and_then(Json::as_str).unwrap_or("?");
    let limits = match body.get("stmt") {
        Some(Json::Array(list)) => list.iter().any(|s| !matches!(single(s), Some(("counter" | "last", _)))),
        _ => false,
    };
    builder.limits |= limits;
    if let Some(why) = builder.unknown.take() {
        builder.unknown = Some(format!("the content of @{name}: {why}"));
    }
    builder.build()
}
