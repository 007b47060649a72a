//! A rule's JSON in nft's own notation, for the reader. What it does not know it shows as JSON.

use super::expr::single;
use serde_json::Value as Json;

pub(super) fn rule(exprs: &[Json]) -> String {
    let words: Vec<String> = exprs.iter().map(statement).collect();
    words.join(" ")
}

fn statement(json: &Json) -> String {
    let Some((word, body)) = single(json) else { return value(json) };
    let field = |k: &str| body.get(k).and_then(Json::as_str).unwrap_or_default();
    match word {
        "match" => condition(body),
        "accept" | "drop" | "return" | "continue" | "notrack" => word.into(),
        "jump" | "goto" => format!("{word} {}", field("target")),
        "counter" => match (body.get("packets"), body.get("bytes"), body.as_str()) {
            (Some(p), Some(b), _) => format!("counter packets {p} bytes {b}"),
            (_, _, Some(name)) => format!("counter name \"{name}\""),
            _ => "counter".into(),
        },
        "vmap" => format!("{} vmap {}", value_of(body, "key"), value_of(body, "data")),
        "log" => log(body),
        "limit" => limit(body),
        "reject" => reject(body),
        "mangle" => format!("{} set {}", value_of(body, "key"), value_of(body, "value")),
        "set" | "map" if body.get("op").is_some() => {
            let stmts = value_list(body.get("stmt"));
            let set = [field("set"), field("map")].concat();
            format!("{} {set} {{ {}{stmts} }}", field("op"), value_of(body, "elem"))
        }
        "dnat" | "snat" | "redirect" | "masquerade" | "tproxy" => nat(word, body),
        "meter" => {
            let stmts = value_list(body.get("stmt"));
            format!("meter {} {{ {}{stmts} }}", field("name"), value_of(body, "key"))
        }
        "quota" => {
            let over = if body.get("inv").is_some_and(|i| i != &Json::Bool(false)) { "over " } else { "" };
            match body.as_str() {
                Some(name) => format!("quota name \"{name}\""),
                None => format!("quota {over}{} {}", value_of(body, "val"), field("val_unit")),
            }
        }
        "queue" => format!("queue num {}", value_of(body, "num")),
        "ct count" => {
            let over = if body.get("inv").is_some() { "over " } else { "" };
            format!("ct count {over}{}", value_of(body, "val"))
        }
        "xt" => match (field("type"), field("name")) {
            ("", _) => "xt".into(),
            (kind, name) => format!("xt {kind} \"{name}\""),
        },
        "flow" => format!("flow {} {}", field("op"), field("flowtable")),
        other => match body {
            Json::Null => other.into(),
            body => format!("{other} {}", value(body)),
        },
    }
}

/// A statement given by its key and what stands behind.
pub(super) fn statement_words(word: &str, body: &Json) -> String {
    let mut map = serde_json::Map::new();
    map.insert(word.to_owned(), body.clone());
    statement(&Json::Object(map))
}

fn condition(body: &Json) -> String {
    let op = match body.get("op").and_then(Json::as_str) {
        Some("==" | "in") | None => String::new(),
        Some(op) => format!("{op} "),
    };
    format!("{} {op}{}", value_of(body, "left"), value_of(body, "right"))
}

fn value_of(body: &Json, key: &str) -> String {
    body.get(key).map(value).unwrap_or_default()
}

fn value(json: &Json) -> String {
    match json {
        Json::String(s) => word(s),
        Json::Array(list) => {
            let words: Vec<String> = list.iter().map(value).collect();
            words.join(",")
        }
        Json::Object(_) => match single(json) {
            Some((kind, body)) => object(kind, body).unwrap_or_else(|| json.to_string()),
            None => json.to_string(),
        },
        Json::Bool(true) => "exists".into(),
        Json::Bool(false) => "missing".into(),
        other => other.to_string(),
    }
}

/// Statements kept with an element, each with a blank before it.
fn value_list(stmts: Option<&Json>) -> String {
    match stmts {
        Some(Json::Array(list)) => list.iter().map(|s| format!(" {}", statement(s))).collect(),
        Some(one) => format!(" {}", statement(one)),
        None => String::new(),
    }
}

/// Names of interfaces and the like stand in quotes, addresses and words of the language do not.
fn word(s: &str) -> String {
    let plain = s.starts_with('@') || s.chars().all(|c| c.is_ascii_alphanumeric() || "-.:/_".contains(c));
    if plain { s.to_owned() } else { format!("\"{s}\"") }
}

fn object(kind: &str, body: &Json) -> Option<String> {
    let field = |k: &str| body.get(k).and_then(Json::as_str);
    Some(match kind {
        "payload" => match (field("protocol"), field("field")) {
            (Some(p), Some(f)) => format!("{p} {f}"),
            _ => format!("@{},{},{}", field("base")?, body.get("offset")?, body.get("len")?),
        },
        "meta" => match field("key")? {
            short @ ("iif" | "oif" | "iifname" | "oifname") => short.into(),
            key => format!("meta {key}"),
        },
        "ct" => match field("dir") {
            Some(dir) => format!("ct {dir} {}", field("key")?),
            None => format!("ct {}", field("key")?),
        },
        "tcp option" | "ip option" | "exthdr" => {
            let kind = if kind == "exthdr" { "exthdr" } else { kind };
            match field("field") {
                Some(part) => format!("{kind} {} {part}", field("name")?),
                None => format!("{kind} {}", field("name")?),
            }
        }
        "numgen" => format!("numgen {} mod {}", field("mode")?, body.get("mod")?),
        "jhash" => format!("jhash {} mod {}", value_of(body, "expr"), body.get("mod")?),
        "symhash" => format!("symhash mod {}", body.get("mod")?),
        "socket" => format!("socket {}", field("key")?),
        "rt" => format!("rt {}", field("key")?),
        "fib" => {
            let flags = body.get("flags")?.as_array()?;
            let words: Vec<&str> = flags.iter().filter_map(Json::as_str).collect();
            format!("fib {} {}", words.join(" . "), field("result")?)
        }
        "&" | "|" | "^" | "<<" | ">>" => {
            let parts: Vec<String> = body.as_array()?.iter().map(value).collect();
            parts.join(&format!(" {kind} "))
        }
        "prefix" => format!("{}/{}", value_of(body, "addr"), value_of(body, "len")),
        "range" => {
            let ends: Vec<String> = body.as_array()?.iter().map(value).collect();
            ends.join("-")
        }
        "concat" => {
            let parts: Vec<String> = body.as_array()?.iter().map(value).collect();
            parts.join(" . ")
        }
        "set" => set(body),
        "elem" => value_of(body, "val"),
        "map" => format!("{} map {}", value_of(body, "key"), value_of(body, "data")),
        "accept" | "drop" | "return" | "continue" => kind.into(),
        "jump" | "goto" => format!("{kind} {}", field("target")?),
        _ => return None,
    })
}

/// Long sets are cut: the rule's line is to be read by a person.
fn set(body: &Json) -> String {
    const SHOWN: usize = 24;
    let Some(list) = body.as_array() else { return format!("{{ {} }}", value(body)) };
    let mut words: Vec<String> = list
        .iter()
        .take(SHOWN)
        .map(|e| match e {
            Json::Array(pair) if pair.len() == 2 => format!("{} : {}", value(&pair[0]), value(&pair[1])),
            other => value(other),
        })
        .collect();
    if list.len() > SHOWN {
        words.push(format!("… {} more", list.len() - SHOWN));
    }
    format!("{{ {} }}", words.join(", "))
}

fn log(body: &Json) -> String {
    let mut out = "log".to_owned();
    if let Some(prefix) = body.get("prefix").and_then(Json::as_str) {
        out.push_str(&format!(" prefix \"{prefix}\""));
    }
    if let Some(level) = body.get("level").and_then(Json::as_str) {
        out.push_str(&format!(" level {level}"));
    }
    out
}

fn limit(body: &Json) -> String {
    if let Some(name) = body.as_str() {
        return format!("limit name \"{name}\"");
    }
    let over = if body.get("inv").and_then(Json::as_bool) == Some(true) { "over " } else { "" };
    let burst = body.get("burst").map(|b| format!(" burst {b} packets")).unwrap_or_default();
    let per = body.get("per").and_then(Json::as_str).unwrap_or("second");
    format!("limit rate {over}{}/{per}{burst}", value_of(body, "rate"))
}

fn reject(body: &Json) -> String {
    match (body.get("type").and_then(Json::as_str), body.get("expr").map(value)) {
        (Some("tcp reset"), _) => "reject with tcp reset".into(),
        (Some(kind), Some(code)) => format!("reject with {kind} {code}"),
        _ => "reject".into(),
    }
}

fn nat(word: &str, body: &Json) -> String {
    let family = body.get("family").and_then(Json::as_str).map(|f| format!(" {f}")).unwrap_or_default();
    let addr = value_of(body, "addr");
    let addr = if addr.contains(':') && body.get("port").is_some() { format!("[{addr}]") } else { addr };
    let port = body.get("port").map(|p| format!(":{}", value(p))).unwrap_or_default();
    if addr.is_empty() && port.is_empty() { word.into() } else { format!("{word}{family} to {addr}{port}") }
}
