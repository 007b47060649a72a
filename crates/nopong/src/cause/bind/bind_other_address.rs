//! Redis listens on other addresses of the host than the one dialled, not just on loopback.

use crate::cause::common::{
    dials_loopback, directive, holder, is_loopback, listing, meta, place, redis_listeners, restart,
    somebody_listens,
};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::Listener;

/// See the module.
#[derive(Debug)]
pub(super) struct BindOtherAddress;

static META: Meta = Meta {
    masked_by: &[
        "config-not-applied",
        "family-mismatch",
        "server-firewall-rejects",
        "client-firewall-blocks",
    ],
    ..meta(
        "bind-other-address",
        Category::Bind,
        Stage::Connect,
        "Redis listens on another address of its host",
        &["listener", "process"],
    )
};

/// Redis's listeners on the port, when some are not loopback and none takes an address dialled. Loopback
/// dialled and only another address bound counts too.
fn elsewhere<'a>(case: &Case<'a>) -> Option<Vec<&'a Listener>> {
    let mut own = redis_listeners(case)?;
    own.retain(|l| l.at.port() == case.ask.port);
    let some_public = own.iter().any(|l| !is_loopback(l.at.ip()));
    // 127.0.1.1 of Debian's hosts file is not 127.0.0.1, though both are this machine.
    let other_loopback = !own.is_empty() && dials_loopback(case);
    (case.ask.unix.is_none() && (some_public || other_loopback) && !somebody_listens(case)).then_some(own)
}

/// The target, with the address that its name means.
fn dialled(case: &Case<'_>) -> String {
    let target = case.target();
    match case.dialled().first() {
        Some(to) if case.ask.host.parse::<std::net::IpAddr>().is_err() => format!("{target} ({})", to.ip()),
        _ => target,
    }
}

impl Cause for BindOtherAddress {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::Refused {
            return Vec::new();
        }
        let Some(own) = elsewhere(case) else {
            return if case.server_seen() {
                vec![Reason::rules_out(
                    "listener",
                    format!(
                        "no Redis listens on another outside address of this host at port {}",
                        case.ask.port
                    ),
                )]
            } else {
                Vec::new()
            };
        };
        // A wildcard of the other family, or only addresses of it, is a matter of families.
        let family = |ip: std::net::IpAddr| ip.to_canonical().is_ipv4();
        let same_family =
            case.dialled().iter().any(|to| own.iter().any(|l| family(l.at.ip()) == family(to.ip())));
        if !same_family {
            return Vec::new();
        }
        let mut reasons = vec![Reason::confirms(
            "listener",
            format!("{} listens on {}, not on {}", holder(case, &own), listing(&own), dialled(case)),
        )];
        if let Some(says) = case.config().and_then(|c| directive(c, "bind")) {
            reasons.push(Reason::strong("config", says));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match elsewhere(case) {
            Some(own) => format!("Redis listens on {}, and you dial {}", listing(&own), dialled(case)),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let own = elsewhere(case)?;
        let wanted = case.dialled().first().map(|a| a.ip().to_string())?;
        let bind = case.config().and_then(|c| c.value("bind")).unwrap_or_default().to_owned();
        let other = own.iter().find(|l| !is_loopback(l.at.ip())).or(own.first())?.at;
        let what = if dials_loopback(case) { "loopback" } else { "that address" };
        let fix = Fix::new(Risk::Ask, format!("dial {other}, or let Redis listen on {what} as well"))
            .run("see whether Redis answers where it listens", format!("nopong redis://{other}"))
            .step(format!("or in {}: bind {bind} {wanted}", place(case, "bind")));
        Some(restart(fix, case))
    }
}

#[cfg(test)]
mod tests {
    use super::BindOtherAddress;
    use crate::cause::testing::{confirms, first, on_server, refused, rules_out, running, seen, silent};
    use crate::diagnosis::Band;

    #[test]
    fn confirmed_by_a_listener_on_another_address() {
        let file = running(on_server(refused()), "192.168.7.2:6379");
        assert!(confirms(&BindOtherAddress, &file));
        assert_eq!(first(&file), Some(("bind-other-address", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_without_such_a_listener() {
        assert!(rules_out(&BindOtherAddress, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(rules_out(&BindOtherAddress, &running(on_server(refused()), "0.0.0.0:6379")));
    }

    #[test]
    fn another_loopback_address_is_another_address() {
        let mut file = refused();
        let mut dials = file.client.connect.get().cloned().unwrap();
        dials[0].to = "127.0.1.1:6379".parse().unwrap();
        file.client.connect = seen(dials);
        let file = running(on_server(file), "127.0.0.1:6379");
        assert_eq!(first(&file), Some(("bind-other-address", Band::Confirmed)));
    }

    #[test]
    fn leaves_families_to_their_cause() {
        assert!(!confirms(&BindOtherAddress, &running(on_server(refused()), "[fd00::5]:6379")));
    }

    #[test]
    fn silent_for_a_lone_client() {
        assert!(silent(&BindOtherAddress, &refused()));
    }
}
