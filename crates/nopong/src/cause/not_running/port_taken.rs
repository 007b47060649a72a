//! Something else holds the server's port.

use super::shared::{self, Down, Fit, State};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom, holds};
use crate::evidence::server::Listener;

/// See the module.
#[derive(Debug)]
pub(super) struct PortTaken;

static META: Meta = Meta {
    id: "port-taken",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "something else holds the server's port",
    masked_by: &["service-masked"],
    settled_by: &["log", "listener", "unit"],
};

/// A listener on the port that is not a process of the server's unit.
fn intruder<'a>(case: &Case<'a>) -> Option<&'a Listener> {
    let unit = case.unit().map(|u| u.name.as_str());
    let ours =
        |l: &Listener| {
            case.file.server.process.get().is_some_and(|p| {
                p.iter().any(|p| holds(p, l) && p.unit.is_some() && p.unit.as_deref() == unit)
            })
        };
    case.listeners_on_port().into_iter().find(|l| !ours(l))
}

fn whose(listener: &Listener) -> String {
    match (&listener.comm, listener.pids.first()) {
        (Some(comm), Some(pid)) => format!("{comm} (pid {pid}) listens on {}", listener.at),
        _ => format!("a process of user id {} listens on {}", listener.uid, listener.at),
    }
}

/// The unit died of its port, and who holds it is seen, though a server may answer there.
fn unit_lost_its_port(case: &Case<'_>) -> Option<Vec<Reason>> {
    let unit = case
        .server
        .unit
        .get()?
        .units
        .iter()
        .find(|u| shared::failed(Some(u)) && !u.name.contains("sentinel"))?;
    let (death, blamed) = shared::blame(case, Some(unit))?;
    let holder = intruder(case)?;
    (blamed == META.id).then(|| {
        vec![
            Reason::confirms("log", format!("{}: {}", death.source, death.text)),
            Reason::confirms("listener", whose(holder)),
        ]
    })
}

/// Redis got the port in one family only, and the client comes by the other, where something else listens.
fn other_family(case: &Case<'_>) -> Option<Vec<Reason>> {
    let dial = case.dial()?;
    let taken = case.listener_for(dial.to)?;
    let redis = case.holder()?;
    let own = case
        .listeners_on_port()
        .into_iter()
        .find(|l| holds(redis, l) && l.at.is_ipv4() != taken.at.is_ipv4())?;
    let wants = shared::bind_words(case).iter().any(|w| {
        let word = w.trim_start_matches('-');
        word == "*" || word == "0.0.0.0" || word == "::" || word == taken.at.ip().to_string()
    });
    (!holds(redis, taken) && wants).then(|| {
        vec![
            Reason::confirms("listener", whose(taken)),
            Reason::strong(
                "listener",
                format!("{} has port {} on {} only", shared::program(redis), case.ask.port, own.at.ip()),
            ),
        ]
    })
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    if !down.failed() {
        return Vec::new();
    }
    match intruder(case) {
        Some(holder) => vec![Reason::strong("listener", whose(holder))],
        None => vec![Reason::against("listener", format!("nothing listens on port {} now", case.ask.port))],
    }
}

impl Cause for PortTaken {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.server_seen() {
            let accepted = !matches!(case.symptom, Symptom::Pong | Symptom::NotReady | Symptom::TimedOut);
            if let Some(reasons) = unit_lost_its_port(case).filter(|_| accepted) {
                return reasons;
            }
            if let Some(reasons) = other_family(case).filter(|_| accepted) {
                return reasons;
            }
        }
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if !reasons.is_empty() && shared::last_word(case, META.id).is_some() {
            reasons.push(match intruder(case) {
                Some(holder) => Reason::strong("listener", whose(holder)),
                None => Reason::weak(
                    "listener",
                    format!("nothing listens on port {} now: whoever had it left", case.ask.port),
                ),
            });
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match intruder(case) {
            Some(l) if case.socket_unit(l).is_some() => {
                let unit = case.socket_unit(l).map_or("", |s| s.unit.as_str());
                format!(
                    "{unit} of systemd holds port {}, which {} needs",
                    case.ask.port,
                    shared::unit_name(case)
                )
            }
            Some(l) => {
                let who = l.comm.clone().unwrap_or_else(|| format!("a process of user id {}", l.uid));
                let pid = l.pids.first().map(|p| format!(" (pid {p})")).unwrap_or_default();
                format!("{who}{pid} holds port {}, which {} needs", case.ask.port, shared::unit_name(case))
            }
            None if shared::last_word(case, META.id).is_some() => {
                format!("port {} was taken when {} tried to start", case.ask.port, shared::unit_name(case))
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let Some(holder) = intruder(case) else {
            return Some(shared::then_start(Risk::Safe, "start it: the port is free now", case, |fix| fix));
        };
        let fix = Fix::new(Risk::Ask, format!("free port {}, or give Redis another one", case.ask.port));
        let fix = match holder.pids.first() {
            // A process of it does not have the port: the unit has.
            Some(_) if case.socket_unit(holder).is_some() => fix.run(
                "see what the socket unit is for",
                format!(
                    "systemctl status {}",
                    case.socket_unit(holder)
                        .map_or_else(String::new, |s| crate::text::shell(&s.unit).to_string())
                ),
            ),
            Some(1) => {
                fix.run("see for which socket unit systemd holds it", "systemctl list-sockets".to_owned())
            }
            Some(pid) => fix.run("see whose process it is", format!("systemctl status {pid}")),
            None => fix
                .run("see whose process it is (as root)", format!("ss -Hltnp 'sport = :{}'", case.ask.port)),
        };
        Some(shared::start(
            fix.step("stop it, or move one of the two to another port (and tell the clients)"),
            case,
        ))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.symptom == Symptom::Pong {
            let reasons = unit_lost_its_port(case)?;
            return Some(Latent {
                place: Place::Warning,
                title: format!("another server answers here: {}", self.title(case)),
                reasons,
                fix: self.fix(case),
            });
        }
        let behind =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down));
        behind.or_else(|| {
            let State::Down(down) = shared::state(case) else { return None };
            let holder = intruder(case).filter(|_| down.fit == Fit::Behind || down.blame.is_none())?;
            // A proxy in front of a stopped server holds the port by right: only who is no proxy is in the way.
            let proxy =
                ["haproxy", "nginx", "stunnel", "stunnel4", "envoy", "socat", "docker-proxy", "systemd"];
            if case.symptom != Symptom::NotRedis || holder.comm.as_deref().is_some_and(|c| proxy.contains(&c))
            {
                return None;
            }
            Some(Latent {
                place: Place::Behind,
                title: self.title(case),
                reasons: vec![Reason::strong("listener", whose(holder))],
                fix: self.fix(case),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PortTaken;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::client::Speaks;
    use crate::evidence::server::DeathKind;

    const IN_USE: &str =
        "Could not create server TCP listening socket 127.0.0.1:6379: bind: Address already in use";

    #[test]
    fn confirms_with_who_holds_it() {
        let file =
            with_listener(died(DeathKind::PortTaken, IN_USE), listener("127.0.0.1:6379", 900, "memcached"));
        assert_eq!(first(&file), Some(("port-taken", Band::Confirmed)));
    }

    #[test]
    fn confirms_when_a_stranger_answers() {
        let mut file = died(DeathKind::PortTaken, IN_USE);
        let http = mute(Speaks::Http);
        file.client = http.client;
        let file = with_listener(file, listener("0.0.0.0:6379", 900, "python3"));
        assert!(confirms(&PortTaken, &file));
    }

    #[test]
    fn confirms_a_port_taken_in_one_family() {
        let mut file = running(on_server(mute(Speaks::Silent)), "[::]:6379");
        file = with_listener(file, listener("0.0.0.0:6379", 900, "nc"));
        file = with_config(file, &[("bind", "* -::*"), ("port", "6379")]);
        assert!(confirms(&PortTaken, &file));
    }

    #[test]
    fn only_speaks_for_it_when_the_log_is_unseen() {
        let mut file = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        file.server.log = crate::evidence::Seen::NotRun;
        let file = with_listener(file, listener("127.0.0.1:6379", 900, "memcached"));
        let (id, band) = first(&file).unwrap();
        assert!(id == "port-taken" && band != Band::Confirmed, "{id} {band:?}");
    }

    #[test]
    fn a_running_server_rules_it_out() {
        assert!(rules_out(&PortTaken, &running(on_server(refused()), "127.0.0.1:6379")));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&PortTaken, &refused()));
        assert!(silent(&PortTaken, &running(on_server(pong(&[])), "10.0.0.5:6379")));
    }
}
