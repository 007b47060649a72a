//! What firewalld would do after its next reload: the zone's file, of which the kernel's rules tell nothing.
//!
//! Zones and services are XML (firewalld.zone(5), firewalld.service(5)); those in /etc take the place of those in /usr/lib. A directory
//! of a zone's name with files in it takes the place of both (firewalld's core/fw.py, combined zones).

use crate::evidence::server::{Permanent, Verdict};
use crate::sys;
use packet_verdict::Route;
use std::net::IpAddr;

/// Where the administrator's files are, then the distribution's.
const ROOTS: [&str; 2] = ["/etc/firewalld", "/usr/lib/firewalld"];
/// Files of one zone's directory.
const PARTS: usize = 200;
/// Largest file taken; a zone is about 1 KiB.
const LARGEST: usize = 256 << 10;

/// For the zone that a verdict names.
pub(super) fn look(verdicts: &[Verdict], port: u16) -> Option<Permanent> {
    let named = |v: &Verdict| v.owner.as_deref()?.strip_prefix("firewalld, zone ").map(str::to_owned);
    let (zone, source) = verdicts
        .iter()
        .filter(|v| v.hook == "input" && !v.answer)
        .find_map(|v| Some((named(v)?, v.source.parse::<IpAddr>().ok())))?;
    let (file, text) = parts(&zone).or_else(|| read("zones", &zone))?;
    let service = |name: &str| read("services", name).is_some_and(|(_, text)| has_port(&text, port));
    Some(Permanent { by: admits(&text, port, source, &service), zone, file })
}

/// A name is part of a path here: firewalld's own are words.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// The files of a zone's own directory, together.
fn parts(zone: &str) -> Option<(String, String)> {
    let dir = plain(zone).then(|| format!("{}/zones/{zone}", ROOTS[0]))?;
    let mut names: Vec<String> = sys::list(&dir, PARTS)
        .ok()?
        .into_iter()
        .filter_map(|name| name.into_string().ok().filter(|n| n.ends_with(".xml")))
        .collect();
    names.sort_unstable();
    let texts: Vec<String> =
        names.iter().filter_map(|name| sys::read_text(format!("{dir}/{name}"), LARGEST).ok()).collect();
    (!texts.is_empty()).then(|| (dir, texts.concat()))
}

fn read(kind: &str, name: &str) -> Option<(String, String)> {
    let paths = ROOTS.iter().map(|root| format!("{root}/{kind}/{name}.xml"));
    paths.filter(|_| plain(name)).find_map(|path| {
        let text = sys::read_text(&path, LARGEST).ok()?;
        Some((path, text))
    })
}

/// What of the zone lets the connection in.
fn admits(zone: &str, port: u16, source: Option<IpAddr>, service: &dyn Fn(&str) -> bool) -> Option<String> {
    let by = |text: &str| {
        if has_port(text, port) {
            return Some(format!("port {port}"));
        }
        elements(text, "service")
            .filter_map(|e| attribute(e, "name"))
            .find(|n| service(n))
            .map(|n| format!("service {n}"))
    };
    let mut rest = String::new();
    let mut left = zone;
    let (mut denied, mut accepted): (Option<i32>, Option<i32>) = (None, None);
    while let Some((before, rule)) = left.split_once("<rule") {
        let (rule, after) = rule.split_once("</rule>").unwrap_or((rule, ""));
        let from = elements(rule, "source").filter_map(|e| attribute(e, "address")).next();
        let fits = from.is_none_or(|net| source.is_some_and(|ip| within(net, ip)));
        // `<rule` is cut off: its attributes stand before the first `>`.
        let priority = attribute(rule.split('>').next().unwrap_or_default(), "priority");
        let priority = priority.and_then(|p| p.parse().ok()).unwrap_or(0);
        let whole = elements(rule, "port").next().is_none() && elements(rule, "service").next().is_none();
        let least = |known: Option<i32>| Some(known.map_or(priority, |k| k.min(priority)));
        if fits && rule.contains("<accept") && (by(rule).is_some() || (whole && from.is_some())) {
            accepted = least(accepted);
        } else if fits
            && (rule.contains("<drop") || rule.contains("<reject"))
            && (by(rule).is_some() || whole)
        {
            denied = least(denied);
        }
        rest.push_str(before);
        left = after;
    }
    rest.push_str(left);
    // Of one priority what denies comes first (firewalld.richlanguage(5)); a zone's ports and services stand at 0.
    if accepted.is_some_and(|a| denied.is_none_or(|d| a < d)) {
        return Some("a rich rule".to_owned());
    }
    if denied.is_some_and(|d| d <= 0) {
        return None;
    }
    if elements(&rest, "zone").any(|e| attribute(e, "target") == Some("ACCEPT")) {
        return Some("its target ACCEPT".to_owned());
    }
    by(&rest)
}

fn within(net: &str, ip: IpAddr) -> bool {
    let (base, prefix) = net.split_once('/').unwrap_or((net, if ip.is_ipv4() { "32" } else { "128" }));
    match (base.parse(), prefix.parse()) {
        (Ok(dst), Ok(prefix)) => Route { dst, prefix, dev: String::new() }.holds(ip),
        _ => false,
    }
}

fn has_port(text: &str, port: u16) -> bool {
    elements(text, "port").any(|e| {
        let range = attribute(e, "port").unwrap_or_default();
        let (lo, hi) = range.split_once('-').unwrap_or((range, range));
        let within =
            lo.parse::<u16>().is_ok_and(|lo| lo <= port) && hi.parse::<u16>().is_ok_and(|hi| port <= hi);
        within && attribute(e, "protocol") == Some("tcp")
    })
}

/// The attributes of each element of that name.
fn elements<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = &'t str> {
    text.split('<').skip(1).filter_map(move |e| {
        let attributes = e.strip_prefix(name)?;
        attributes.starts_with(|c: char| c.is_whitespace() || c == '/' || c == '>').then_some(())?;
        attributes.split('>').next()
    })
}

fn attribute<'t>(element: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = element.split_once(&format!(" {name}="))?;
    let quote = rest.chars().next().filter(|c| "\"'".contains(*c))?;
    rest.get(1..)?.split(quote).next()
}

#[cfg(test)]
mod tests {
    use super::{admits, attribute, has_port};

    const ZONE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<zone target="default">
  <short>Public</short>
  <service name="ssh"/>
  <service name="redis"/>
  <port port="7000-7010" protocol="tcp"/>
  <port port="6400" protocol="udp"/>
  <rule family="ipv4"><source address="10.0.0.0/8"/><port port="26379" protocol="tcp"/><accept/></rule>
  <rule family="ipv4"><port port="9999" protocol="tcp"/><reject/></rule>
</zone>"#;

    #[test]
    fn what_a_zone_lets_in() {
        let client = "10.1.2.3".parse().ok();
        let service = |name: &str| name == "redis";
        let by = |port, source| admits(ZONE, port, source, &|n: &str| service(n) && port == 6379);
        assert_eq!(by(6379, client).as_deref(), Some("service redis"));
        assert_eq!(by(7005, client).as_deref(), Some("port 7005"));
        assert_eq!(by(26379, client).as_deref(), Some("a rich rule"));
        assert_eq!(by(26379, "192.0.2.1".parse().ok()), None);
        assert_eq!(by(6400, client), None);
        assert_eq!(by(9999, client), None);
        let guarded = ZONE.replace(
            "</zone>",
            "<rule priority=\"-5\" family=\"ipv4\"><source address=\"10.1.0.0/16\"/><drop/></rule></zone>",
        );
        assert_eq!(admits(&guarded, 7005, client, &|_| false), None);
        assert_eq!(admits(&guarded, 26379, client, &|_| false), None);
        let other = "10.2.0.1".parse().ok();
        assert_eq!(admits(&guarded, 7005, other, &|_| false).as_deref(), Some("port 7005"));
        assert_eq!(
            admits("<zone target=\"ACCEPT\"/>", 1, None, &|_| false).as_deref(),
            Some("its target ACCEPT")
        );
    }

    #[test]
    fn hostile_texts_end() {
        for text in
            ["", "<", "<port", "<rule", "<port port=", "<port port=\"x\" protocol='tcp", "<zone target=>"]
        {
            assert!(!has_port(text, 1));
            assert_eq!(admits(text, 1, None, &|_| true), None);
        }
        assert_eq!(attribute(" port='1' protocol=\"tcp\"/", "protocol"), Some("tcp"));
    }
}
