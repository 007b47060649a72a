//! The name leads to an address where the server no longer is: an old line of /etc/hosts, a dead record.

use super::shared::{dns_addresses, name};
use crate::cause::common::{meta, neighbours};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{DialOutcome, HostsLine, Reply};
use std::net::IpAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct StaleAddress;

static META: Meta = meta(
    "stale-address",
    Category::Address,
    Stage::Connect,
    "the name leads to an address where Redis no longer is",
    &["name", "neighbours"],
);

/// Lines of /etc/hosts whose addresses DNS does not give, and what DNS gives instead.
fn contradicted<'a>(case: &Case<'a>) -> Option<(&'a HostsLine, Vec<IpAddr>)> {
    let name = name(case)?;
    let dns = dns_addresses(name);
    if dns.is_empty() {
        return None;
    }
    let dialled = case.dialled();
    let line = name
        .hosts_file
        .iter()
        .find(|l| !dns.contains(&l.address) && dialled.iter().any(|d| d.ip() == l.address))?;
    Some((line, dns))
}

/// Addresses of the name that failed while others of the same family answered.
fn dead(case: &Case<'_>) -> Vec<(IpAddr, String)> {
    let connected = |v4: bool| {
        case.dials()
            .iter()
            .any(|d| d.outcome == DialOutcome::Connected && d.to.ip().to_canonical().is_ipv4() == v4)
    };
    case.dials()
        .iter()
        .filter(|d| d.outcome != DialOutcome::Connected && connected(d.to.ip().to_canonical().is_ipv4()))
        .map(|d| (d.to.ip(), crate::evidence::Says::says(&d.outcome)))
        .collect()
}

/// Redis answers at an address that DNS gives and the client does not dial.
fn alive_elsewhere(case: &Case<'_>, dns: &[IpAddr]) -> Option<IpAddr> {
    neighbours(case)
        .iter()
        .filter(|n| n.to.port() == case.ask.port && dns.contains(&n.to.ip()))
        .find(|n| crate::cause::common::is_redis(n) || n.ping.as_ref().is_some_and(Reply::is_pong))
        .map(|n| n.to.ip())
}

impl Cause for StaleAddress {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(
            case.symptom,
            Symptom::Refused | Symptom::TimedOut | Symptom::Unreachable | Symptom::NoRoute
        ) {
            return Vec::new();
        }
        if case.client.name.get().is_some_and(|n| n.literal) {
            return vec![Reason::rules_out("name", "an address was dialled, not a name")];
        }
        let Some((line, dns)) = contradicted(case) else { return Vec::new() };
        let all: Vec<_> = dns.iter().map(ToString::to_string).collect();
        let mut reasons = vec![
            Reason::strong(
                "name",
                format!("/etc/hosts line {} says {}, DNS says {}", line.line, line.address, all.join(", ")),
            ),
            Reason::strong(
                "connect",
                format!("{} is what was dialled, and it gives no connection", line.address),
            ),
        ];
        if let Some(ip) = alive_elsewhere(case, &dns) {
            reasons.insert(
                0,
                Reason::confirms("neighbours", format!("Redis answers at {ip}, the address that DNS gives")),
            );
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match contradicted(case) {
            Some((line, _)) => format!(
                "/etc/hosts line {} leads {} to {}, DNS leads it elsewhere",
                line.line,
                crate::text::shown_str(&case.ask.host, 100),
                line.address
            ),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let host = crate::cause::common::sh(&case.ask.host);
        let fix = Fix::new(Risk::Ask, "let the name lead to where Redis is now");
        Some(match contradicted(case) {
            Some((line, _)) => fix
                .run("see the line", format!("sed -n {}p /etc/hosts", line.line))
                .step("remove or correct it, then start the application anew: many keep the first answer"),
            None => fix
                .run("see every address the name has", format!("getent ahosts {host}"))
                .step("take the dead address out of the DNS record"),
        })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if !matches!(case.symptom, Symptom::Pong | Symptom::NotReady | Symptom::ErrorReply) {
            return None;
        }
        let dead = dead(case);
        let (ip, what) = dead.first()?;
        let shown = crate::text::shown_str(&case.ask.host, 100);
        Some(Latent {
            place: Place::Warning,
            title: format!(
                "{ip}, one of the addresses of {shown}, does not work ({what}): clients that pick it fail"
            ),
            reasons: dead
                .iter()
                .map(|(ip, what)| {
                    Reason::strong("connect", format!("{ip} is an address of {shown}, and gives: {what}"))
                })
                .collect(),
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::StaleAddress;
    use crate::cause::Cause as _;
    use crate::cause::testing::{confirms, first, pong_talk, refused, rules_out, seen, silent, talks};
    use crate::diagnosis::{Band, Case};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{
        DialOutcome, DnsAnswer, HostsLine, Name, Neighbour, Reply, Resolver, Speaks,
    };

    fn hosts_against_dns() -> CaseFile {
        let mut file = refused();
        file.ask.host = "redis.example.org".to_owned();
        file.client.name = seen(Name {
            asked: "redis.example.org".to_owned(),
            addresses: vec!["10.0.0.5".parse().unwrap()],
            hosts_file: vec![HostsLine { line: 4, address: "10.0.0.5".parse().unwrap() }],
            resolvers: vec![Resolver {
                server: "10.0.0.2:53".parse().unwrap(),
                answer: DnsAnswer::Addresses { addresses: vec!["10.0.0.9".parse().unwrap()] },
                took_ms: 1.0,
            }],
            ..Name::default()
        });
        file
    }

    #[test]
    fn likely_by_the_contradiction_confirmed_by_the_right_address() {
        let mut file = hosts_against_dns();
        assert_eq!(first(&file), Some(("stale-address", Band::Likely)));
        file.client.neighbours = seen(vec![Neighbour {
            to: "10.0.0.9:6379".parse().unwrap(),
            why: "other-address".to_owned(),
            outcome: DialOutcome::Connected,
            speaks: Some(Speaks::Resp),
            ping: Some(Reply::Text { text: "PONG".to_owned() }),
            mode: None,
        }]);
        assert!(confirms(&StaleAddress, &file));
    }

    #[test]
    fn ruled_out_for_a_literal() {
        let mut file = refused();
        file.client.name = seen(Name { literal: true, ..Name::default() });
        assert!(rules_out(&StaleAddress, &file));
    }

    #[test]
    fn warns_of_a_dead_address_among_others() {
        let mut file = talks(pong_talk(&[]));
        let mut dials = file.client.connect.get().cloned().unwrap();
        let mut dead = dials[0].clone();
        (dead.to, dead.outcome) = ("10.0.0.6:6379".parse().unwrap(), DialOutcome::TimedOut);
        dials.push(dead);
        file.client.connect = seen(dials);
        assert!(StaleAddress.latent(&Case::new(&file)).is_some());
    }

    #[test]
    fn silent_without_a_name() {
        assert!(silent(&StaleAddress, &refused()));
    }
}
