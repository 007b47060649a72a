//! The host dialled is not where Redis is meant to be. From one host this can only be made probable.

use crate::cause::common::{down_here, is_loopback, meta, named, outside_addresses, servers_here};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Journey, Symptom, ends};
use crate::evidence::server::Process;
use std::net::IpAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct WrongHost;

static META: Meta = meta(
    "wrong-host",
    Category::Address,
    Stage::Connect,
    "that host is not the one with Redis",
    &["address", "listener", "binary", "settings"],
);

/// Addresses that belong to no host: documentation (RFC 5737, RFC 3849), reserved (RFC 1112), broadcast.
fn nobodys(ip: IpAddr) -> Option<&'static str> {
    match ip.to_canonical() {
        IpAddr::V4(v4) if v4.is_documentation() => Some("is an address of examples in documentation"),
        IpAddr::V4(v4) if v4.is_broadcast() || v4.is_multicast() || v4.octets()[0] >= 240 => {
            Some("is no address of a host")
        }
        // 127.0.0.1 is written wrong more often than another loopback address is meant.
        IpAddr::V4(v4) if v4.is_loopback() && v4.octets()[1..3] != [0, 0] => {
            Some("is this machine itself: all of 127.0.0.0/8 is")
        }
        IpAddr::V6(v6) if v6.segments()[..2] == [0x2001, 0xdb8] => {
            Some("is an address of examples in documentation")
        }
        IpAddr::V6(v6) if v6.is_multicast() => Some("is no address of a host"),
        _ => None,
    }
}

/// The host that is meant was read, and does not have the address dialled.
fn another_machine(case: &Case<'_>) -> Option<Vec<Reason>> {
    (ends::owned(case.file) == Some(false)).then_some(())?;
    let ip = case.dialled().first()?.ip();
    let db = case.server_called();
    let own: Vec<String> = outside_addresses(case).iter().take(4).map(|a| a.address.to_string()).collect();
    let mut reasons = vec![if is_loopback(ip) {
        Reason::strong("connect", format!("{ip} is the client's own machine, not {db}"))
    } else {
        Reason::strong("address", format!("{ip} is not an address of {db}, which has {}", own.join(", ")))
    }];
    match case.journey() {
        Journey::Arrived { there, .. } => {
            let says = format!(
                "the SYN came in at {db} all the same, for {}: the address is translated",
                there.server
            );
            return Some(vec![Reason::rules_out("syn", says)]);
        }
        _ if case.server.syn.get().is_some_and(|s| !s.incomplete && s.target.is_empty()) => {
            reasons.push(Reason::strong("syn", format!("no packet of ours came in at {db}")));
        }
        _ => {}
    }
    Some(reasons)
}

/// A server of this machine that runs in another network namespace than the one dialled in. Containers and units with
/// a network of their own have causes that know more of them.
fn apart<'a>(case: &Case<'a>) -> Option<&'a Process> {
    let by_hand = |p: &&Process| p.container.is_none() && p.is_by_hand();
    case.servers().into_iter().filter(by_hand).find(|p| p.same_netns == Some(false))
}

impl Cause for WrongHost {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(
            case.symptom,
            Symptom::Refused | Symptom::TimedOut | Symptom::Unreachable | Symptom::NoRoute
        ) || case.unix().is_some()
        {
            return Vec::new();
        }
        if let Some((ip, what)) = case.dialled().iter().find_map(|a| Some((a.ip(), nobodys(a.ip())?))) {
            return vec![Reason::strong("connect", format!("{ip} {what}"))];
        }
        if let Some(reasons) = another_machine(case) {
            return reasons;
        }
        if servers_here(case).is_some_and(|s| !s.is_empty()) {
            return vec![Reason::rules_out("process", "Redis runs on the host dialled")];
        }
        if let Some(server) = apart(case) {
            let says = format!(
                "{} runs in another network namespace, whose addresses and ports are not those dialled here",
                named(server)
            );
            // It may be another application's.
            return vec![Reason::weak("process", says)];
        }
        if let Some(reason) = down_here(case) {
            return vec![reason];
        }
        Vec::new()
    }

    fn title(&self, case: &Case<'_>) -> String {
        let host = crate::text::shown_str(&case.ask.host, 100);
        match another_machine(case) {
            Some(_) => format!("{host} is not {}", case.server_called()),
            None => format!("{host} is not the host with Redis"),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let fix = Fix::new(Risk::Advice, "compare the address with where Redis is meant to be")
            .step(format!("correct it {}", crate::cause::common::stands(case)))
            .run("on the host that you mean: its addresses", "ip -br address")
            .run("and what listens there", "ss -ltnp");
        Some(match apart(case) {
            Some(p) => fix.run("from where that server runs", format!("nopong --from pid:{}", p.pid)),
            None => fix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{WrongHost, nobodys};
    use crate::cause::testing::{
        apart, bearings, first, handshake, on_server, process, refused, rules_out, running, seen, silent,
        watched, with_process,
    };
    use crate::diagnosis::{Band, Bearing};

    #[test]
    fn addresses_of_nobody() {
        for ip in ["192.0.2.7", "255.255.255.255", "127.17.0.2", "2001:db8::1", "240.0.0.1"] {
            assert!(nobodys(ip.parse().unwrap()).is_some(), "{ip}");
        }
        for ip in ["10.0.0.5", "127.0.0.1", "127.0.0.2", "::1", "172.17.0.2"] {
            assert!(nobodys(ip.parse().unwrap()).is_none(), "{ip}");
        }
        let mut file = refused();
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].to = "127.17.0.2:6379".parse().unwrap();
        file.client.connect = seen(dials);
        assert_eq!(bearings(&WrongHost, &file), [Bearing::Strong]);
    }

    #[test]
    fn ruled_out_by_a_redis_there() {
        assert!(rules_out(&WrongHost, &running(on_server(refused()), "127.0.0.1:6379")));
    }

    #[test]
    fn a_host_that_lacks_the_address_is_likely_another_one_and_never_surely() {
        let file = watched(apart(refused(), "10.0.0.99"), Vec::new());
        assert_eq!(first(&file), Some(("wrong-host", Band::Likely)));
        // A virtual address or a port forwarding in front of it: the SYN comes in all the same.
        let mut there = handshake(true, 1, 0);
        there.ours = false;
        there.server = "10.0.0.99:6379".parse().unwrap();
        assert!(rules_out(&WrongHost, &watched(apart(refused(), "10.0.0.99"), vec![there])));
    }

    #[test]
    fn a_server_of_another_namespace_is_a_hint() {
        let mut file = with_process(on_server(refused()), process(7));
        let mut processes = file.server.process.get().cloned().unwrap();
        processes[0].same_netns = Some(false);
        processes[0].unit = None;
        file.server.process = seen(processes.clone());
        assert_eq!(bearings(&WrongHost, &file), [Bearing::Weak]);
        processes[0].unit = Some("redis-server.service".to_owned());
        file.server.process = seen(processes);
        assert!(silent(&WrongHost, &file));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&WrongHost, &refused()));
    }
}
