//! No way leads to the host: no route, a forbidding one, or nobody there who answers for the address.

use crate::cause::common::{meta, on_link, outside_input, own_input, sh};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, way_back};
use crate::diagnosis::{Case, Journey, Symptom};
use crate::evidence::client::{Dial, DialOutcome, Icmp, RouteOutcome};
use crate::evidence::server::Verdict;

/// See the module.
#[derive(Debug)]
pub(super) struct HostUnreachable;

static META: Meta = Meta {
    // The address of a container that does not run, or of a network that the client's is kept apart from.
    masked_by: &[
        "container-stopped",
        "container-crashing",
        "config-invalid",
        "oom-killed",
        "name-on-other-network",
    ],
    ..meta(
        "host-unreachable",
        Category::Address,
        Stage::Route,
        "no way leads to the host",
        &["route", "connect", "way-back"],
    )
};

/// ARP and neighbour discovery give up after three tries a second apart (ucast/mcast_solicit, kernel
/// net/ipv4/arp.c); a firewall's rejection comes in a round trip.
const UNANSWERED_MS: f64 = 900.0;

/// What the kernel's own routing says.
fn no_route(case: &Case<'_>) -> Option<String> {
    let routes = case.client.route.get()?;
    let dialled = case.dialled();
    routes.iter().filter(|r| dialled.iter().any(|d| d.ip() == r.to)).find_map(|r| match &r.outcome {
        RouteOutcome::None { errno } => Some(format!("this machine has no route to {} ({errno})", r.to)),
        RouteOutcome::Forbidden { kind } => {
            Some(format!("this machine has a {kind} route or policy rule for {}", r.to))
        }
        RouteOutcome::Via { .. } => None,
    })
}

/// The Redis host cannot answer. Where its firewall stops the request, no answer is due.
fn no_way_back(case: &Case<'_>) -> Option<Reason> {
    let blocked = way_back::blocked(case).filter(|_| case.symptom == Symptom::TimedOut)?;
    let stopped = own_input(case).is_some_and(|v| matches!(v.verdict.as_str(), "drop" | "reject"));
    let kind = if blocked.sure && !stopped { Reason::confirms } else { Reason::strong };
    Some(kind("way-back", blocked.says))
}

/// The port is published for a container, and the Redis host passes nothing on to it.
fn not_passed_on(verdict: Option<&Verdict>) -> Option<String> {
    let verdict = verdict?;
    let (to, sysctl) = (verdict.through.as_ref()?, verdict.stays.as_ref()?);
    Some(format!(
        "a nat rule sends connections from {} on to {to}, and {sysctl} is 0: nothing is passed on",
        verdict.source
    ))
}

/// Passing on is switched on where other programs rely on it: what else it opens is not known here.
fn pass_on(verdict: Option<&Verdict>) -> Option<Fix> {
    let v6 = verdict?.stays.as_ref()?.contains("ipv6");
    let sysctl = if v6 { "net.ipv6.conf.all.forwarding" } else { "net.ipv4.ip_forward" };
    let fix = Fix::new(Risk::Advice, "on the Redis host: let it pass packets on to its containers")
        .run(
            "who switches it off",
            format!("grep -rs {sysctl} /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d"),
        )
        .run("for now", format!("sysctl -w {sysctl}=1"));
    Some(fix.step("correct the file that sets it to 0; dockerd sets it to 1 only when it starts"))
}

/// What is to be done about it, on the Redis host.
fn lead_back(case: &Case<'_>) -> Option<Fix> {
    let way = way_back::of_client(case)?;
    let fix =
        Fix::new(Risk::Advice, format!("on the Redis host: let answers to {} find their way", way.client))
            .run(
                "see the way back",
                format!(
                    "ip route get {} from {} ipproto tcp sport {}",
                    way.client, way.served, case.ask.port
                ),
            )
            .run("and the policy rules", if way.client.is_ipv6() { "ip -6 rule" } else { "ip rule" });
    Some(match &way.outcome {
        RouteOutcome::Forbidden { .. } => fix.step("remove the rule or route that forbids it, where it is not meant"),
        RouteOutcome::None { .. } => {
            fix.step("add the route to the client's network, or the default route, where this host keeps its network settings")
        }
        RouteOutcome::Via { .. } => fix.step(
            "correct the gateway, or the network that overlaps the client's (a wrong prefix length, a container network)",
        ),
    })
}

/// Network or host unreachable, as routers say it of a fault and not of a rule (RFC 792; RFC 4443, 3.1).
fn of_the_network(icmp: &Icmp) -> bool {
    if icmp.from.is_ipv4() {
        icmp.kind == 3 && icmp.code <= 1
    } else {
        icmp.kind == 1 && matches!(icmp.code, 0 | 3)
    }
}

/// The neighbour table says that nobody answers for the next hop.
fn nobody_on_link(dial: &Dial) -> bool {
    dial.reach.as_ref().and_then(|r| r.link.as_deref()).is_some_and(|l| l == "failed" || l == "incomplete")
}

fn because(case: &Case<'_>) -> Vec<Reason> {
    if let Some(reason) = no_way_back(case) {
        return vec![reason];
    }
    if let Some(says) = not_passed_on(own_input(case)).filter(|_| case.symptom == Symptom::TimedOut) {
        return vec![Reason::confirms("firewall", says)];
    }
    if let Journey::Arrived { there, .. } = case.journey() {
        let says = format!("the SYN from {} came in at {}", there.client, case.server_called());
        return vec![Reason::rules_out("syn", says)];
    }
    if let Some(says) = no_route(case) {
        return vec![Reason::confirms("route", says)];
    }
    let mut reasons = Vec::new();
    for dial in case.dials().iter().filter(|d| d.outcome != DialOutcome::Connected) {
        let near = on_link(case, dial.to.ip());
        if nobody_on_link(dial) {
            reasons.push(match near {
                Some(false) => {
                    Reason::confirms("connect", "the next router does not answer at all on the link")
                }
                _ => Reason::confirms(
                    "connect",
                    format!(
                        "nobody on the link answers for {}: ARP or neighbour discovery fails",
                        dial.to.ip()
                    ),
                ),
            });
            break;
        }
        if let Some(icmp) = &dial.icmp {
            let own = Some(icmp.from) == dial.from.map(|f| f.ip());
            if own && dial.took_ms >= UNANSWERED_MS {
                reasons.push(Reason::confirms(
                    "connect",
                    format!("nobody answers for {} on the link", dial.to.ip()),
                ));
            } else if icmp.from == dial.to.ip() {
                return vec![Reason::rules_out(
                    "connect",
                    format!("{} itself answered, so it can be reached", icmp.from),
                )];
            } else if own && of_the_network(icmp) {
                // Sooner than a fresh neighbour look-up gives up: an older one was under way, or a rule here sends it.
                reasons.push(Reason::strong(
                    "connect",
                    format!("this machine's own kernel says {}, not a router", icmp.name),
                ));
            } else if of_the_network(icmp) {
                reasons
                    .push(Reason::strong("connect", format!("the router {} says {}", icmp.from, icmp.name)));
                if dial.took_ms >= UNANSWERED_MS {
                    let says = format!(
                        "it says so after {:.1} s: nobody answered it for the address",
                        dial.took_ms / 1e3
                    );
                    reasons.push(Reason::strong("connect", says));
                }
            } else {
                reasons.push(Reason::against(
                    "connect",
                    format!("{} is what a rule sends, not a fault of the network", icmp.name),
                ));
            }
            break;
        }
        // The kernel's own EHOSTUNREACH: no packet said so, so nobody answered for the next hop. How long that
        // takes depends on how often it was asked for before.
        let own = matches!(&dial.outcome, DialOutcome::Errno { errno } if errno == "EHOSTUNREACH");
        if own && (dial.watched || dial.took_ms >= UNANSWERED_MS) {
            let says = format!(
                "EHOSTUNREACH after {:.1} s, and no packet says so: nobody on the link answers for the next hop",
                dial.took_ms / 1e3
            );
            reasons.push(if dial.watched {
                Reason::confirms("connect", says)
            } else {
                Reason::strong("connect", says)
            });
            break;
        }
        match dial.reach.as_ref().and_then(|r| r.host_alive) {
            Some(true) => {
                let by = dial
                    .reach
                    .as_ref()
                    .and_then(|r| r.alive_by.clone())
                    .map(|b| format!(" ({b})"))
                    .unwrap_or_default();
                return vec![Reason::rules_out("connect", format!("the host answers other packets{by}"))];
            }
            Some(false) => {
                reasons.push(Reason::weak("connect", "the host answers neither ping nor any usual port"));
            }
            None => {}
        }
    }
    reasons
}

impl Cause for HostUnreachable {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        match case.symptom {
            Symptom::NoRoute | Symptom::Unreachable | Symptom::TimedOut | Symptom::LocalErrno
                if case.unix().is_none() =>
            {
                because(case)
            }
            Symptom::Refused => {
                vec![Reason::rules_out("connect", "somebody answered the connection attempt")]
            }
            _ => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(blocked) = way_back::blocked(case) {
            return format!("no way leads back to the client: {}", blocked.says);
        }
        if let Some(says) = no_route(case) {
            return says;
        }
        if let Some(says) = not_passed_on(own_input(case)) {
            return format!("the Redis host does not pass the connection on: {says}");
        }
        match case.dials().iter().find(|d| nobody_on_link(d)) {
            Some(dial) if on_link(case, dial.to.ip()) != Some(false) => {
                format!(
                    "nobody on the network answers for {}: the host is down, or the address is wrong",
                    dial.to.ip()
                )
            }
            Some(_) => "the next router does not answer".to_owned(),
            None => format!("no way leads to {}", crate::text::shown_str(&case.ask.host, 100)),
        }
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(says) = not_passed_on(outside_input(case)) {
            return Some(Latent {
                place: Place::Behind,
                title: format!("the Redis host does not pass connections on: {says}"),
                reasons: vec![Reason::confirms("firewall", says)],
                fix: pass_on(outside_input(case)),
            });
        }
        let blocked = way_back::blocked(case)?;
        let reason = if blocked.sure { Reason::confirms } else { Reason::strong };
        Some(Latent {
            place: Place::Behind,
            title: format!("no way leads back to the client: {}", blocked.says),
            reasons: vec![reason("way-back", blocked.says)],
            fix: lead_back(case),
        })
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if way_back::blocked(case).is_some() {
            return lead_back(case);
        }
        if let Some(fix) = not_passed_on(own_input(case)).and_then(|_| pass_on(own_input(case))) {
            return Some(fix);
        }
        let ip = case.dialled().first().map_or_else(|| case.ask.host.clone(), |a| a.ip().to_string());
        let ip = sh(&ip);
        let fix = Fix::new(Risk::Advice, "make the host reachable, or dial the right one")
            .run("see the route", format!("ip route get {ip}"));
        Some(if no_route(case).is_some() {
            fix.step("add the route, or bring up the interface or VPN that leads there")
        } else {
            fix.run("see whether anybody answers for it on the link", format!("ip neigh show {ip}"))
                .step("see whether the host is up, in the right network, and has that address (ip -br address there)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::HostUnreachable;
    use crate::cause::testing::{bearings, errno, first, refused, rules_out, seen, silent, timed_out};
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Dial, Icmp, Reach, Route, RouteOutcome};

    fn edit(mut file: CaseFile, change: impl FnOnce(&mut Dial)) -> CaseFile {
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].watched = true;
        change(&mut dials[0]);
        file.client.connect = seen(dials);
        file
    }

    fn link(file: CaseFile, link: &str) -> CaseFile {
        edit(file, |d| d.reach = Some(Reach { link: Some(link.to_owned()), ..Reach::default() }))
    }

    #[test]
    fn confirmed_by_the_routing_table() {
        for outcome in [
            RouteOutcome::None { errno: "ENETUNREACH".to_owned() },
            RouteOutcome::Forbidden { kind: "prohibit".to_owned() },
        ] {
            let mut file = errno("ENETUNREACH");
            file.client.route = seen(vec![Route { to: "10.0.0.5".parse().unwrap(), outcome }]);
            assert_eq!(first(&file), Some(("host-unreachable", Band::Confirmed)));
        }
    }

    #[test]
    fn confirmed_when_nobody_answers_on_the_link() {
        assert_eq!(first(&link(timed_out(), "failed")), Some(("host-unreachable", Band::Confirmed)));
        let file = edit(errno("EHOSTUNREACH"), |d| d.took_ms = 3060.0);
        assert_eq!(first(&file), Some(("host-unreachable", Band::Confirmed)));
    }

    #[test]
    fn a_routers_word_makes_it_likely() {
        let file = edit(errno("EHOSTUNREACH"), |d| {
            d.took_ms = 3050.0;
            let name = "icmp-host-unreachable".to_owned();
            d.icmp = Some(Icmp { from: "10.0.9.1".parse().unwrap(), kind: 3, code: 1, name });
        });
        assert_eq!(first(&file), Some(("host-unreachable", Band::Likely)));
    }

    #[test]
    fn ruled_out_by_an_answer() {
        assert!(rules_out(&HostUnreachable, &refused()));
        let alive =
            edit(timed_out(), |d| d.reach = Some(Reach { host_alive: Some(true), ..Reach::default() }));
        assert!(rules_out(&HostUnreachable, &alive));
        let dead =
            edit(timed_out(), |d| d.reach = Some(Reach { host_alive: Some(false), ..Reach::default() }));
        assert_eq!(bearings(&HostUnreachable, &dead), [Bearing::Weak]);
    }

    #[test]
    fn silent_without_details() {
        assert!(silent(&HostUnreachable, &timed_out()));
        assert!(silent(&HostUnreachable, &link(timed_out(), "reachable")));
    }
}
