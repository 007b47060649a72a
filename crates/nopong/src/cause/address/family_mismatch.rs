//! The name leads to an address of one family, and Redis listens on the other.

use super::shared::name;
use crate::cause::common::{
    holder, is_loopback, is_redis, listing, meta, neighbours, place, redis_listeners, restart, sh,
    somebody_listens,
};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Dial, DialOutcome, Neighbour};
use crate::evidence::server::Listener;
use std::net::IpAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct FamilyMismatch;

static META: Meta = Meta {
    masked_by: &["config-not-applied", "server-firewall-rejects", "client-firewall-blocks"],
    ..meta(
        "family-mismatch",
        Category::Address,
        Stage::Connect,
        "the client dials one address family, Redis listens on the other",
        &["neighbours", "listener", "name"],
    )
};

fn family(ip: IpAddr) -> &'static str {
    if ip.to_canonical().is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Redis's listeners on the port, where all are of another family than what was dialled, and one of them would
/// take the like of it: loopback for loopback, an outside address for an outside one.
fn listeners_of_the_other<'a>(case: &Case<'a>) -> Option<Vec<&'a Listener>> {
    let mut own = redis_listeners(case)?;
    own.retain(|l| l.at.port() == case.ask.port);
    if own.is_empty() || somebody_listens(case) {
        return None;
    }
    let dialled = case.dialled();
    let other = dialled.iter().all(|d| own.iter().all(|l| family(l.at.ip()) != family(d.ip())));
    let like = dialled.iter().any(|d| {
        own.iter().any(|l| l.at.ip().is_unspecified() || is_loopback(l.at.ip()) == is_loopback(d.ip()))
    });
    (!dialled.is_empty() && other && like).then_some(own)
}

/// The same port on the like address of the other family, where Redis answers.
fn neighbour<'a>(case: &Case<'a>) -> Option<&'a Neighbour> {
    let dialled = case.dialled();
    neighbours(case).iter().find(|n| {
        is_redis(n)
            && n.to.port() == case.ask.port
            && n.why == "other-family"
            && dialled.iter().all(|d| family(d.ip()) != family(n.to.ip()))
    })
}

/// The first address of the name fails, one of the other family works: clients that try only one fail.
fn first_fails<'a>(case: &Case<'a>) -> Option<(&'a Dial, &'a Dial)> {
    let dials = case.dials();
    let first = dials.first().filter(|d| d.outcome != DialOutcome::Connected)?;
    let other = dials
        .iter()
        .find(|d| d.outcome == DialOutcome::Connected && family(d.to.ip()) != family(first.to.ip()))?;
    Some((first, other))
}

impl Cause for FamilyMismatch {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::Refused | Symptom::NoRoute | Symptom::Unreachable)
            || case.unix().is_some()
        {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        let dialled = case.dialled().first().map(std::net::SocketAddr::ip);
        if case.symptom == Symptom::Refused {
            if let Some(own) = listeners_of_the_other(case) {
                let what = dialled.map_or("the other family", family);
                reasons.push(Reason::confirms(
                    "listener",
                    format!("{} listens on {}, and {what} was dialled", holder(case, &own), listing(&own)),
                ));
            } else if case.server_seen() {
                return vec![Reason::rules_out(
                    "listener",
                    "no Redis listens on the like address of the other family",
                )];
            }
        }
        if let Some(n) = neighbour(case) {
            let says = format!("{} answers as Redis, {} does not", n.to, case.target());
            // On loopback both addresses are the same machine; elsewhere they need not be.
            reasons.push(if is_loopback(n.to.ip()) {
                Reason::confirms("neighbours", says)
            } else {
                Reason::strong("neighbours", says)
            });
        }
        if reasons.is_empty()
            && name(case).is_none()
            && case.client.name.get().is_some()
            && case.symptom == Symptom::Refused
            && dialled.is_some_and(|d| d.is_ipv4() && !is_loopback(d))
        {
            reasons.push(Reason::against("name", "an IPv4 address was dialled as such"));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match (case.dialled().first(), listeners_of_the_other(case)) {
            (Some(to), Some(own)) => {
                format!("{} leads to {}, and Redis listens on {} only", case.ask.host, to.ip(), listing(&own))
            }
            (Some(to), None) => match neighbour(case) {
                Some(n) => {
                    format!("{} leads to {}, and Redis answers on {}", case.ask.host, to.ip(), n.to.ip())
                }
                None => META.title.to_owned(),
            },
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let own = listeners_of_the_other(case);
        let good =
            neighbour(case).map(|n| n.to.ip()).or_else(|| first_fails(case).map(|(_, d)| d.to.ip())).or_else(
                || own.as_ref().and_then(|l| l.first().map(|l| l.at.ip())).filter(|ip| !ip.is_unspecified()),
            );
        let mut fix = Fix::new(Risk::Ask, "dial the family that Redis listens on, or let it listen on both");
        if let Some(ip) = good {
            let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
            fix = fix.run(
                "an address instead of the name leaves no choice of family",
                format!("nopong {}", sh(&format!("redis://{host}:{}", case.ask.port))),
            );
        }
        let Some(missing) = case.dialled().first().map(std::net::SocketAddr::ip) else { return Some(fix) };
        let fix = fix.step(format!(
            "or in {}: add -{missing} to the bind line (the minus: no fault where the address is absent; Redis 6.2 and later)",
            place(case, "bind")
        ));
        Some(if own.is_some() { restart(fix, case) } else { fix })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let answers = matches!(case.symptom, Symptom::Pong | Symptom::NotReady | Symptom::ErrorReply);
        let (first, other) = first_fails(case).filter(|_| answers)?;
        let what = crate::evidence::Says::says(&first.outcome);
        let shown = crate::text::shown_str(&case.ask.host, 100);
        Some(Latent {
            place: Place::Warning,
            title: format!(
                "{shown} leads to {} first, which fails ({what}); only {} works",
                first.to.ip(),
                other.to.ip()
            ),
            reasons: vec![Reason::confirms(
                "connect",
                format!(
                    "{}: {what}; {}: connected; a client that takes the first address fails",
                    first.to, other.to
                ),
            )],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FamilyMismatch;
    use crate::cause::Cause as _;
    use crate::cause::testing::{
        confirms, first, on_server, pong_talk, refused, rules_out, running, seen, silent, talks,
    };
    use crate::diagnosis::{Band, Case};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{DialOutcome, Neighbour, Reply, Speaks};

    fn dials(mut file: CaseFile, to: &str) -> CaseFile {
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].to = to.parse().unwrap();
        file.client.connect = seen(dials);
        file
    }

    #[test]
    fn confirmed_by_a_listener_of_the_other_family() {
        for (to, at) in [("[::1]:6379", "127.0.0.1:6379"), ("[fd00::5]:6379", "0.0.0.0:6379")] {
            let file = running(on_server(dials(refused(), to)), at);
            assert_eq!(first(&file), Some(("family-mismatch", Band::Confirmed)), "{to} {at}");
        }
    }

    #[test]
    fn confirmed_by_a_neighbour_on_loopback() {
        let mut file = dials(refused(), "[::1]:6379");
        file.client.neighbours = seen(vec![Neighbour {
            to: "127.0.0.1:6379".parse().unwrap(),
            why: "other-family".to_owned(),
            outcome: DialOutcome::Connected,
            speaks: Some(Speaks::Resp),
            ping: Some(Reply::Text { text: "PONG".to_owned() }),
            mode: None,
        }]);
        assert!(confirms(&FamilyMismatch, &file));
    }

    #[test]
    fn a_loopback_bind_is_not_a_matter_of_families() {
        let file = running(on_server(dials(refused(), "[fd00::5]:6379")), "127.0.0.1:6379");
        assert!(rules_out(&FamilyMismatch, &file));
        assert_eq!(first(&file).unwrap().0, "bind-loopback-only");
    }

    #[test]
    fn warns_when_only_the_second_address_works() {
        let mut file = talks(pong_talk(&[]));
        let mut both = file.client.connect.get().cloned().unwrap();
        both[0].to = "127.0.0.1:6379".parse().unwrap();
        let mut v6 = both[0].clone();
        (v6.to, v6.outcome) =
            ("[::1]:6379".parse().unwrap(), DialOutcome::Errno { errno: "ECONNREFUSED".to_owned() });
        both.insert(0, v6);
        file.client.connect = seen(both);
        assert!(FamilyMismatch.latent(&Case::new(&file)).is_some());
    }

    #[test]
    fn silent_for_a_lone_client() {
        assert!(silent(&FamilyMismatch, &refused()));
    }
}
