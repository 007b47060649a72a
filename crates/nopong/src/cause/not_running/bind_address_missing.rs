//! `bind` names an address that this machine does not have.

use super::shared::{self, Down, State};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use std::net::IpAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct BindAddressMissing;

static META: Meta = Meta {
    id: "bind-address-missing",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "bind names an address that the machine does not have",
    masked_by: &["service-masked"],
    settled_by: &["log", "address", "config"],
};

/// Addresses of `bind` that the machine lacks and that are not marked as optional by `-`.
fn missing(case: &Case<'_>) -> Vec<IpAddr> {
    let Some(own) = case.server.address.get() else { return Vec::new() };
    shared::bind_words(case)
        .into_iter()
        .filter_map(|w| w.parse::<IpAddr>().ok())
        .filter(|a| !a.is_unspecified() && !own.iter().any(|o| same(o.address, *a)))
        // All of 127.0.0.0/8 is local to lo (net/ipv4/devinet.c), whatever addresses are set.
        .filter(|a| !(a.is_loopback() && a.is_ipv4()))
        .collect()
}

fn same(own: IpAddr, bound: IpAddr) -> bool {
    own == bound || own.to_canonical() == bound.to_canonical()
}

fn listing(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn lacks(case: &Case<'_>) -> Option<String> {
    let missing = missing(case);
    let place = case.config().and_then(|c| c.place("bind")).unwrap_or_default();
    (!missing.is_empty())
        .then(|| format!("{place}: bind names {}, which no interface has", listing(&missing)))
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    match lacks(case).filter(|_| down.failed()) {
        Some(says) => vec![Reason::strong("address", says)],
        None if case.server.address.get().is_some() && !shared::bind_words(case).is_empty() => {
            vec![Reason::against("address", "this machine has every address of bind")]
        }
        None => Vec::new(),
    }
}

impl Cause for BindAddressMissing {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if !reasons.is_empty() && shared::last_word(case, META.id).is_some() {
            reasons.push(match lacks(case) {
                Some(says) => Reason::strong("address", says),
                None => Reason::weak(
                    "address",
                    "no address of bind is missing now: it may have come after the attempt",
                ),
            });
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let missing = missing(case);
        if !missing.is_empty() {
            return format!(
                "redis-server is told to listen on {}, which this machine does not have",
                listing(&missing)
            );
        }
        match shared::last_word(case, META.id) {
            Some(death) => {
                let what = death.detail.as_deref().unwrap_or(&death.text);
                format!("an address of bind was not on this machine when the server started: {what}")
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let place = case.config().and_then(|c| c.place("bind")).unwrap_or_else(|| shared::config_file(case));
        if missing(case).is_empty() && shared::last_word(case, META.id).is_some() {
            let name = crate::text::shell(&shared::unit_name(case));
            return Some(shared::then_start(Risk::Safe, "start it: the address is there now", case, |fix| fix).run(
                "against the same race at the next boot: After=network-online.target and Wants= of it in a drop-in",
                format!("systemctl edit {name}"),
            ));
        }
        Some(shared::then_start(Risk::Ask, format!("correct the bind line ({place})"), case, |fix| {
            fix.run("see the addresses this machine has", "ip -brief address")
                .step(format!("in {place}: replace the address, or write a - before it if it may be absent"))
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(behind) =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
        {
            return Some(behind);
        }
        let says = lacks(case)?;
        let listening = |a: &IpAddr| case.listeners_on_port().iter().any(|l| same(l.at.ip(), *a));
        if missing(case).iter().all(listening) {
            return None;
        }
        let (place, title) = match shared::state(case) {
            State::Runs(_) => (Place::Warning, "the server would not start again"),
            State::Down(_) => (Place::Behind, "the server will not start"),
            State::Unseen => return None,
        };
        let fix = Fix::new(Risk::Ask, "correct the bind line")
            .run("see the addresses this machine has", "ip -brief address")
            .step("replace the address, or write a - before it if it may be absent");
        Some(Latent {
            place,
            title: format!("{title}: {says}"),
            reasons: vec![Reason::confirms("address", says)],
            fix: Some(fix),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BindAddressMissing;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::server::{Address, DeathKind};

    const ABSENT: &str =
        "Could not create server TCP listening socket 10.9.9.9:6379: bind: Cannot assign requested address";

    fn addressed(mut file: CaseFile, bind: &str) -> CaseFile {
        file = with_config(file, &[("bind", bind), ("port", "6379")]);
        file.server.address = seen(vec![Address {
            dev: "eth0".to_owned(),
            address: "10.0.0.5".parse().unwrap(),
            prefix: 24,
            up: true,
            tentative: false,
        }]);
        file
    }

    #[test]
    fn settles() {
        let file = addressed(died(DeathKind::AddressMissing, ABSENT), "10.9.9.9 127.0.0.1");
        assert_eq!(first(&file), Some(("bind-address-missing", Band::Confirmed)));
        assert!(crate::diagnosis::diagnose(&file).causes[0].title.contains("10.9.9.9"));
    }

    #[test]
    fn an_optional_address_is_not_to_blame() {
        let text =
            "Could not create server TCP listening socket ::1:6379: bind: Cannot assign requested address";
        let file = addressed(died(DeathKind::AddressMissing, text), "127.0.0.1 -::1");
        assert!(!confirms(&BindAddressMissing, &file));
    }

    #[test]
    fn speaks_for_it_without_the_log() {
        let mut file = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        file.server.log = crate::evidence::Seen::NotRun;
        let file = addressed(file, "10.9.9.9");
        let (id, band) = first(&file).unwrap();
        assert!(id == "bind-address-missing" && band != Band::Confirmed, "{id} {band:?}");
    }

    #[test]
    fn a_running_server_rules_it_out() {
        assert!(rules_out(&BindAddressMissing, &running(on_server(refused()), "127.0.0.1:6379")));
    }

    #[test]
    fn warns_while_it_runs() {
        let file = addressed(running(on_server(pong(&[])), "10.0.0.5:6379"), "10.0.0.5 10.9.9.9");
        assert_eq!(crate::diagnosis::diagnose(&file).warnings.len(), 1);
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&BindAddressMissing, &refused()));
        assert!(silent(
            &BindAddressMissing,
            &addressed(running(on_server(pong(&[])), "10.0.0.5:6379"), "10.0.0.5 127.0.0.2")
        ));
    }
}
