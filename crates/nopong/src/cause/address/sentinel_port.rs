//! A Sentinel answers where a server is expected: it PONGs and knows no data commands.

use crate::cause::common::{meta, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct SentinelPort;

static META: Meta = Meta {
    // With no primary at all, the right address would not help either.
    masked_by: &["no-primary"],
    ..meta(
        "sentinel-port",
        Category::Address,
        Stage::Ready,
        "the port is a Sentinel's, not a server's",
        &["protocol"],
    )
};

/// The primary the Sentinel names first.
fn primary(case: &Case<'_>) -> Option<String> {
    case.client.topology.get()?.masters.iter().find_map(|m| m.address.clone())
}

impl Cause for SentinelPort {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::NotReady | Symptom::ErrorReply) {
            return Vec::new();
        }
        let Some(talk) = case.talk() else { return Vec::new() };
        match talk.info("redis_mode") {
            Some("sentinel") => {
                vec![Reason::confirms("protocol", format!("{} says of itself: redis_mode:sentinel", talk.to))]
            }
            Some(mode) => {
                vec![Reason::rules_out("protocol", format!("{} says of itself: redis_mode:{mode}", talk.to))]
            }
            None => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        format!("{} is a Sentinel: it answers PONG and keeps no data", case.target())
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let masters = case.client.topology.get().map_or(&[][..], |t| t.masters.as_slice());
        let name = masters.first().map_or("mymaster", |m| m.name.as_str());
        let fix = Fix::new(Risk::Advice, "dial the primary, or tell the client that this is a Sentinel").run(
            "ask it where the primary is",
            format!("{} SENTINEL GET-MASTER-ADDR-BY-NAME {}", crate::cause::common::cli(case), sh(name)),
        );
        let fix = match primary(case) {
            Some(address) => {
                fix.run("dial that one", format!("nopong {}", sh(&format!("redis://{address}"))))
            }
            None => fix,
        };
        Some(fix.step(format!(
            "in the application: its Sentinel option, with the list of Sentinels and the name {}",
            crate::text::shown_str(name, 60)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::SentinelPort;
    use crate::cause::testing::{
        first, ping_error, pong, pong_talk, refused, rules_out, seen, silent, talks,
    };
    use crate::diagnosis::Band;
    use crate::evidence::client::{Talk, Topology};

    #[test]
    fn confirmed_by_its_own_word() {
        assert_eq!(first(&pong(&[("redis_mode", "sentinel")])), Some(("sentinel-port", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_another_mode() {
        let mut file = talks(Talk {
            ping: Some(crate::cause::testing::error("LOADING x")),
            ..pong_talk(&[("redis_mode", "standalone")])
        });
        file.client.topology = seen(Topology::default());
        assert!(rules_out(&SentinelPort, &file));
    }

    #[test]
    fn silent_without_a_word() {
        assert!(silent(&SentinelPort, &refused()));
        assert!(silent(&SentinelPort, &ping_error("NOAUTH Authentication required.")));
    }
}
