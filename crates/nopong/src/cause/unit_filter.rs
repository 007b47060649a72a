//! The filter that systemd puts around a unit: IPAddressDeny= and IPAddressAllow= (systemd.resource-control(5)). It is an eBPF
//! program of the control group, which no listing of a packet filter shows.

use crate::cause::common::sh;
use crate::cause::{Fix, Reason, Risk};
use crate::diagnosis::{Case, Journey};
use crate::evidence::server::Unit;
use std::net::IpAddr;

/// The kernel's word for a packet that such a program, or a filter of the socket, threw away (include/net/dropreason-core.h;
/// net/core/filter.c, sk_filter_trim_cap).
const SOCKET_FILTER: &str = "SOCKET_FILTER";

/// The unit that Redis runs in, where it keeps that client out.
pub(crate) fn denying<'a>(case: &Case<'a>, client: IpAddr) -> Option<&'a Unit> {
    let unit = case.unit().filter(|u| u.active == "active")?;
    case.process().filter(|p| p.unit.as_deref().is_some_and(|name| unit.is_called(name)))?;
    let holds = |name: &str| {
        let list = unit.sandbox.get(name).map_or("", String::as_str);
        list.split_whitespace().any(|net| within(net, client))
    };
    // What is allowed is asked first; what neither names passes.
    (!holds("IPAddressAllow") && holds("IPAddressDeny")).then_some(unit)
}

fn within(net: &str, ip: IpAddr) -> bool {
    let Some((base, prefix)) = net.split_once('/') else { return net.parse() == Ok(ip) };
    match (base.parse(), prefix.parse()) {
        (Ok(dst), Ok(prefix)) => packet_verdict::Route { dst, prefix, dev: String::new() }.holds(ip),
        _ => false,
    }
}

/// Whose packets meet it in this case.
fn client(case: &Case<'_>) -> Option<IpAddr> {
    match case.journey() {
        Journey::Arrived { there, .. } => Some(there.client.ip().to_canonical()),
        _ => case.dial().and_then(|d| d.from).map(|f| f.ip()),
    }
}

/// Whether it stops the client that dialled.
pub(crate) fn stopping<'a>(case: &Case<'a>) -> Option<&'a Unit> {
    denying(case, client(case)?)
}

/// The same as reasons. That the setting is in force is shown by the kernel's word alone: some managers cannot put it in place.
pub(crate) fn reasons(case: &Case<'_>) -> Vec<Reason> {
    let (Some(client), Some(unit)) = (client(case), stopping(case)) else { return Vec::new() };
    let mut reasons = vec![Reason::strong("unit", says(unit, client))];
    let dropped = case.server.drop.get().is_some_and(|d| d.reasons.contains_key(SOCKET_FILTER));
    if dropped {
        let says = "the kernel dropped the packets of our own attempt at the socket's filter (SOCKET_FILTER)";
        reasons.push(Reason::confirms("drop", says));
    }
    reasons
}

/// What the unit does to that client.
pub(crate) fn says(unit: &Unit, client: IpAddr) -> String {
    let of = |name: &str| unit.sandbox.get(name).cloned().unwrap_or_else(|| "(empty)".to_owned());
    format!(
        "systemd's filter of {} keeps {client} out: IPAddressDeny={}, IPAddressAllow={}",
        unit.name,
        of("IPAddressDeny"),
        of("IPAddressAllow")
    )
}

/// Lets one client in; who wrote the setting meant something by it.
pub(crate) fn allow(unit: &Unit, source: &str) -> Fix {
    let name = sh(&unit.name);
    Fix::new(Risk::Advice, format!("admit {source}, and nobody else, in the unit's own filter"))
        .run(
            "see it",
            format!("systemctl show -p IPAddressDeny -p IPAddressAllow {name}; systemctl cat {name}"),
        )
        .run("an override: under [Service] the line IPAddressAllow=ADDRESS", format!("systemctl edit {name}"))
        .step(format!("the line is IPAddressAllow={source}; it is in force with the next start of the unit"))
}

#[cfg(test)]
mod tests {
    use super::within;
    use crate::cause::testing::{
        apart, edit_unit, first, handshake, running, seen, timed_out, watched, with_unit,
    };
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::server::Drops;

    fn case(allow: &str, reason: &str) -> CaseFile {
        let file = watched(apart(timed_out(), "10.0.0.5"), vec![handshake(true, 2, 0)]);
        let file = with_unit(running(file, "0.0.0.0:6379"), "active", "running", "success");
        let mut file = edit_unit(file, |unit| {
            unit.sandbox.insert("IPAddressDeny".to_owned(), "::/0 0.0.0.0/0".to_owned());
            unit.sandbox.insert("IPAddressAllow".to_owned(), allow.to_owned());
        });
        let mut processes = file.server.process.get().cloned().unwrap();
        processes[0].unit = Some("redis-server.service".to_owned());
        file.server.process = seen(processes);
        file.server.drop = seen(Drops { reasons: [(reason.to_owned(), 2)].into() });
        file
    }

    #[test]
    fn a_unit_that_denies_the_client_is_confirmed_by_the_kernel_alone() {
        let named = |allow, reason| first(&case(allow, reason));
        assert_eq!(named("127.0.0.0/8", "SOCKET_FILTER"), Some(("server-firewall-drops", Band::Confirmed)));
        assert_eq!(named("127.0.0.0/8", "OTHER"), Some(("server-firewall-drops", Band::Likely)));
        let admitted = named("10.0.0.0/24", "SOCKET_FILTER");
        assert_ne!(admitted, Some(("server-firewall-drops", Band::Confirmed)));
    }

    #[test]
    fn networks() {
        assert!(within("0.0.0.0/0", "10.0.0.7".parse().unwrap()));
        assert!(within("10.0.0.7", "10.0.0.7".parse().unwrap()));
        assert!(!within("::/0", "10.0.0.7".parse().unwrap()));
        assert!(!within("x/y", "10.0.0.7".parse().unwrap()));
    }
}
