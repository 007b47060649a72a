//! What firewalld would do after its next reload: the zone's file, of which the kernel's rules tell nothing.
//!
//! Zones and services are XML (firewalld.zone(5), firewalld.service(5)); those in /etc take the place of those in /usr/lib.

use crate::evidence::server::{Permanent, Verdict};
use crate::sys;
use packet_verdict::Route;
use std::net::IpAddr;

/// Where the administrator's files are, then the distribution's.
const ROOTS: [&str; 2] = ["/etc/firewalld", "/usr/lib/firewalld"];
/// Largest file taken; a zone is about 1 KiB.
const LARGEST: usize = 256 << 10;

/// For the zone that a verdict names.
pub(super) fn look(verdicts: &[Verdict], port: u16) -> Option<Permanent> {
    let named = |v: &Verdict| v.owner.as_deref()?.strip_prefix("firewalld, zone ").map(str::to_owned);
    let (zone, source) = verdicts
        .iter()
        .filter(|v| v.hook == "input" && !v.answer)
        .find_map(|v| Some((named(v)?, v.source.parse::<IpAddr>().ok())))?;
    let (file, text) = read("zones", &zone)?;
    let service = |name: &str| read("services", name).is_some_and(|(_, text)| has_port(&text, port));
    Some(Permanent { by: admits(&text, port, source, &service), zone, file })
}

fn read(kind: &str, name: &str) -> Option<(String, String)> {
    // A name is part of a path here: firewalld's own are words.
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let paths = ROOTS.iter().map(|root| format!("{root}/{kind}/{name}.xml"));
    paths.filter(|_| plain).find_map(|path| {
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
    while let Some((before, rule)) = left.split_once("<rule") {
        let (rule, after) = rule.split_once("</rule>").unwrap_or((rule, ""));
        let from = elements(rule, "source").filter_map(|e| attribute(e, "address")).next();
        let fits = from.is_none_or(|net| source.is_some_and(|ip| within(net, ip)));
        if fits && rule.contains("<accept") && by(rule).is_some() {
            return Some("a rich rule".to_owned());
        }
        rest.push_str(before);
        left = after;
    }
    rest.push_str(left);
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
