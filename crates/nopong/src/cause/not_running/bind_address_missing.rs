//! `bind` names an address that this machine does not have.

use super::shared::{self, Down, State};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::bind_word::BindWord;

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

/// Words of `bind` that the server cannot listen at, and what is wrong with each. Those marked as optional by `-` are
/// none.
fn missing<'a>(case: &Case<'a>) -> Vec<(&'a str, BindWord)> {
    let Some(own) = case.server.address.get() else { return Vec::new() };
    let words = shared::bind_words(case).into_iter().map(|word| (word, BindWord::of(word, own)));
    words.filter(|(_, is)| *is != BindWord::Here).collect()
}

/// All that the server is told to listen at and cannot, in words.
fn listing(missing: &[(&str, BindWord)]) -> String {
    let absent = missing.iter().filter(|(_, is)| *is == BindWord::Missing).map(|(word, _)| *word);
    let absent: Vec<&str> = absent.collect();
    let rest =
        missing.iter().filter(|(_, is)| *is != BindWord::Missing).filter_map(|(word, is)| is.says(word));
    let absent = (!absent.is_empty()).then(|| format!("{}, which no interface has", absent.join(" and ")));
    absent.into_iter().chain(rest).collect::<Vec<_>>().join("; and ")
}

fn lacks(case: &Case<'_>) -> Option<String> {
    let missing = missing(case);
    let place = case.config().and_then(|c| c.place("bind")).unwrap_or_default();
    (!missing.is_empty()).then(|| format!("{place}: bind names {}", listing(&missing)))
}

/// The log's last word is of an address that could not be bound for now, and not of a word that never can be.
fn was_away(case: &Case<'_>) -> bool {
    shared::last_word(case, META.id)
        .is_some_and(|d| d.detail.as_deref().unwrap_or(&d.text).contains("Cannot assign requested address"))
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
                None if !was_away(case) => return reasons,
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
            return match missing.iter().all(|(_, is)| *is == BindWord::Missing) {
                true => format!(
                    "redis-server is told to listen on {}, which this machine does not have",
                    missing.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" and ")
                ),
                false => format!("redis-server cannot listen on {}", listing(&missing)),
            };
        }
        match shared::last_word(case, META.id) {
            Some(death) => {
                let what = death.detail.as_deref().unwrap_or(&death.text);
                match was_away(case) {
                    true => {
                        format!("an address of bind was not on this machine when the server started: {what}")
                    }
                    false => format!("a word of bind is no address the server can listen on: {what}"),
                }
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let place = case.config().and_then(|c| c.place("bind")).unwrap_or_else(|| shared::config_file(case));
        let missing = missing(case);
        if missing.is_empty() && was_away(case) {
            let name = crate::text::shell(&shared::unit_name(case));
            return Some(shared::then_start(Risk::Safe, "start it: the address is there now", case, |fix| fix).run(
                "against the same race at the next boot: After=network-online.target and Wants= of it in a drop-in",
                format!("systemctl edit {name}"),
            ));
        }
        if let [(word, BindWord::Tentative)] = missing.as_slice() {
            return Some(shared::then_start(
                Risk::Ask,
                format!("wait until {word} is settled"),
                case,
                |fix| {
                    fix.run("see whether another host has it (dadfailed)", "ip -6 address show")
                        .step(format!("or write a - before it in {place}: the server then starts without it"))
                },
            ));
        }
        let named = missing.iter().find_map(|(word, is)| Some((*word, is.corrected(word)?)));
        if let Some((word, right)) = named {
            let title = format!("name the interface: {right} ({place})");
            return Some(shared::then_start(Risk::Ask, title, case, |fix| {
                fix.step(format!("in {place}: {right} instead of {word}"))
            }));
        }
        let forgiven = match missing.iter().all(|(_, is)| is.is_forgiven()) {
            true => ", or write a - before it if it may be absent",
            false => "",
        };
        Some(shared::then_start(Risk::Ask, format!("correct the bind line ({place})"), case, |fix| {
            fix.run("see the addresses this machine has", "ip -brief address")
                .step(format!("in {place}: replace the address{forgiven}"))
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(behind) =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
        {
            return Some(behind);
        }
        let says = lacks(case)?;
        let listening = |word: &str| {
            let ip = word.split('%').next().and_then(|w| w.parse::<std::net::IpAddr>().ok());
            let at = |l: &&crate::evidence::server::Listener| Some(l.at.ip().to_canonical()) == ip;
            case.listeners_on_port().iter().any(at)
        };
        if missing(case).iter().all(|(word, _)| listening(word)) {
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
