//! The unix socket dialled is not the one Redis has.

use crate::cause::common::{meta, named, place, restart, servers_here, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct SocketMissing;

static META: Meta = meta(
    "socket-missing",
    Category::Address,
    Stage::Connect,
    "Redis has no unix socket at that path",
    &["unix", "process", "config", "listener"],
);

/// Paths that Redis listens on, other than the one dialled.
fn others(case: &Case<'_>) -> Vec<String> {
    let mut paths: Vec<String> = case.unix().map(|u| u.others.clone()).unwrap_or_default();
    if let Some(listeners) = case.server.listener.get() {
        paths.extend(listeners.unix.iter().map(|u| u.path.clone()));
    }
    paths.retain(|p| Some(p) != case.ask.unix.as_ref());
    paths.sort();
    paths.dedup();
    paths
}

impl Cause for SocketMissing {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let Some(unix) = case.unix() else { return Vec::new() };
        if !matches!(case.symptom, Symptom::SocketMissing | Symptom::SocketStale) {
            return Vec::new();
        }
        if unix.exists && !unix.is_socket {
            return vec![Reason::confirms("unix", format!("{} is there, and it is no socket", unix.path))];
        }
        let servers = servers_here(case);
        if servers.as_ref().is_some_and(Vec::is_empty) {
            return vec![Reason::rules_out("process", "no Redis runs here that could have a socket")];
        }
        let others = others(case);
        let mut reasons = Vec::new();
        if let Some(server) = servers.as_ref().and_then(|s| s.first()) {
            if others.is_empty() {
                let says = format!("{} runs and has no unix socket", named(server));
                // An ordinary user sees sockets by path only; the setting decides.
                match case.config().and_then(|c| c.value("unixsocket")) {
                    Some("") => {
                        reasons.push(Reason::confirms("config", format!("{says}: unixsocket is not set")));
                    }
                    Some(path) if path != unix.path => {
                        reasons.push(Reason::confirms(
                            "config",
                            format!("{} says: unixsocket {path}", place(case, "unixsocket")),
                        ));
                    }
                    // The setting is right and the file is gone: somebody removed it under the server.
                    Some(_) => reasons.push(Reason::strong(
                        "unix",
                        format!("{} runs, and the path is gone", named(server)),
                    )),
                    None => reasons.push(Reason::strong("process", says)),
                }
            } else {
                let says = format!("Redis listens on {}, not on {}", others.join(" and "), unix.path);
                reasons.push(if unix.exists {
                    Reason::strong("unix", says)
                } else {
                    Reason::confirms("unix", says)
                });
            }
        } else if !others.is_empty() {
            reasons
                .push(Reason::strong("unix", format!("a Redis socket listens at {}", others.join(" and "))));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let Some(unix) = case.unix() else { return META.title.to_owned() };
        match others(case).first() {
            Some(other) => format!("Redis has its socket at {other}, and you dial {}", unix.path),
            None if unix.exists && !unix.is_socket => format!("{} is no socket", unix.path),
            None => format!("Redis has no socket at {}", unix.path),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let unix = case.unix()?;
        let fix = Fix::new(Risk::Ask, "dial the socket that Redis has, or give it this one");
        let fix = match others(case).first() {
            Some(other) => {
                fix.run("dial the one it has", format!("nopong {}", sh(&format!("unix://{other}"))))
            }
            None => fix,
        };
        let fix = fix.step(format!(
            "or in {}: unixsocket {} with unixsocketperm 770",
            place(case, "unixsocket"),
            unix.path
        ));
        Some(restart(fix, case))
    }
}

#[cfg(test)]
mod tests {
    use super::SocketMissing;
    use crate::cause::testing::{
        client, confirms, first, on_server, process, refused, rules_out, seen, silent, with_config,
        with_process,
    };
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{DialOutcome, UnixPath};

    fn missing(others: &[&str]) -> CaseFile {
        let mut file = client("", 0);
        file.ask.unix = Some("/run/redis.sock".to_owned());
        file.client.unix = seen(UnixPath {
            path: "/run/redis.sock".to_owned(),
            outcome: Some(DialOutcome::Errno { errno: "ENOENT".to_owned() }),
            others: others.iter().map(|o| (*o).to_owned()).collect(),
            ..UnixPath::default()
        });
        file
    }

    #[test]
    fn confirmed_by_the_socket_it_has() {
        let file = with_process(on_server(missing(&["/run/redis/redis-server.sock"])), process(812));
        assert_eq!(first(&file), Some(("socket-missing", Band::Confirmed)));
    }

    #[test]
    fn confirmed_by_its_configuration() {
        let file = with_process(on_server(missing(&[])), process(812));
        assert!(confirms(&SocketMissing, &with_config(file, &[("unixsocket", "")])));
    }

    #[test]
    fn ruled_out_when_nothing_runs() {
        assert!(rules_out(&SocketMissing, &on_server(missing(&[]))));
    }

    #[test]
    fn silent_about_tcp_and_without_the_servers_side() {
        assert!(silent(&SocketMissing, &refused()));
        assert!(silent(&SocketMissing, &missing(&[])));
    }
}
