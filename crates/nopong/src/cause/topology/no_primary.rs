//! The Sentinels know no primary that works.

use crate::cause::common::{cli, meta, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Master;

/// See the module.
#[derive(Debug)]
pub(super) struct NoPrimary;

static META: Meta =
    meta("no-primary", Category::Topology, Stage::Ready, "there is no working primary", &["topology"]);

/// What is wrong with a primary as its Sentinel tells it.
fn trouble(master: &Master) -> Option<String> {
    let name = crate::text::shown_str(&master.name, 60);
    let at = master.address.as_deref().unwrap_or("no address");
    let flags = &master.flags;
    if flags.contains("o_down") {
        return Some(format!("the Sentinels agree that {name} ({at}) is down: flags {flags}"));
    }
    if flags.contains("s_down") {
        return Some(format!("this Sentinel finds {name} ({at}) down: flags {flags}"));
    }
    // Before down-after-milliseconds have passed it is not called down yet.
    if flags.contains("disconnected") {
        return Some(format!("the Sentinel has no connection to {name} ({at}) itself: flags {flags}"));
    }
    if master.address.is_none() {
        return Some(format!("the Sentinel has no address for {name}"));
    }
    if matches!(master.role_there.as_deref(), Some("slave" | "replica")) {
        return Some(format!("the address given for {name}, {at}, is a replica"));
    }
    None
}

/// Too few other Sentinels for the quorum: a failover can never be agreed on.
fn quorum(master: &Master) -> Option<String> {
    let (quorum, others) = (master.quorum?, master.other_sentinels?);
    (others + 1 < quorum).then(|| {
        format!(
            "the quorum is {quorum}, and {} Sentinels know each other: no failover can be agreed on",
            others + 1
        )
    })
}

impl Cause for NoPrimary {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::NotReady | Symptom::ErrorReply) {
            return Vec::new();
        }
        let Some(topology) = case.client.topology.get().filter(|t| t.mode == "sentinel") else {
            return Vec::new();
        };
        if topology.masters.is_empty() {
            return vec![Reason::strong("topology", "the Sentinel watches over no primary at all")];
        }
        let troubles: Vec<_> = topology.masters.iter().filter_map(|m| Some((m, trouble(m)?))).collect();
        if troubles.is_empty() {
            return vec![Reason::rules_out("topology", "the Sentinel knows a primary that is up")];
        }
        let mut reasons = Vec::new();
        for (master, says) in troubles {
            reasons.push(Reason::confirms("topology", says));
            if let Some(says) = quorum(master) {
                reasons.push(Reason::strong("topology", says));
            }
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let masters = case.client.topology.get().map_or(&[][..], |t| t.masters.as_slice());
        masters.iter().find_map(trouble).unwrap_or_else(|| META.title.to_owned())
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let masters = case.client.topology.get().map_or(&[][..], |t| t.masters.as_slice());
        let bad = masters.iter().find(|m| trouble(m).is_some()).or(masters.first());
        let name = sh(bad.map_or("mymaster", |m| m.name.as_str()));
        let mut fix = Fix::new(Risk::Advice, "bring the primary back, or let the Sentinels choose another")
            .run("see what the Sentinel knows", format!("{} SENTINEL MASTER {name}", cli(case)))
            .run("see whether enough Sentinels agree", format!("{} SENTINEL CKQUORUM {name}", cli(case)));
        if let Some(address) = bad.and_then(|m| m.address.as_ref()) {
            fix = fix.run(
                "ask why the primary does not answer",
                format!("nopong {}", sh(&format!("redis://{address}"))),
            );
        }
        Some(fix.step("a Sentinel that may not log in takes the primary for down: compare sentinel auth-pass and auth-user with the server's password"))
    }
}

#[cfg(test)]
mod tests {
    use super::NoPrimary;
    use crate::cause::testing::{first, pong, refused, rules_out, seen, silent};
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{Master, Topology};

    fn sentinel(flags: &str, role: &str) -> CaseFile {
        let mut file = pong(&[("redis_mode", "sentinel")]);
        file.client.topology = seen(Topology {
            mode: "sentinel".to_owned(),
            masters: vec![Master {
                name: "mymaster".to_owned(),
                address: Some("10.0.0.5:6379".to_owned()),
                flags: flags.to_owned(),
                role_there: Some(role.to_owned()),
                ..Master::default()
            }],
            ..Topology::default()
        });
        file
    }

    #[test]
    fn confirmed_by_the_sentinels_word() {
        assert_eq!(first(&sentinel("master,o_down,disconnected", "")), Some(("no-primary", Band::Confirmed)));
        assert_eq!(first(&sentinel("master,disconnected", "")), Some(("no-primary", Band::Confirmed)));
        assert_eq!(first(&sentinel("master", "slave")), Some(("no-primary", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_a_primary_that_is_up() {
        assert!(rules_out(&NoPrimary, &sentinel("master", "master")));
        assert_eq!(first(&sentinel("master", "master")).unwrap().0, "sentinel-port");
    }

    #[test]
    fn silent_without_a_sentinel() {
        assert!(silent(&NoPrimary, &refused()));
    }
}
