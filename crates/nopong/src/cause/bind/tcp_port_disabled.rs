//! The server runs without a plain TCP port: `port 0`.

use crate::cause::common::{
    directive, listing, meta, named, place, redis_listeners, restart, servers_here, sh,
};
use crate::cause::containers::{self, Meant, Tie};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct TcpPortDisabled;

static META: Meta = Meta {
    masked_by: &["config-not-applied"],
    ..meta(
        "tcp-port-disabled",
        Category::Bind,
        Stage::Connect,
        "Redis runs without a TCP port",
        &["listener", "process", "config", "container"],
    )
};

/// The running server's `port`, from the server itself or its file and command line.
fn port<'a>(case: &Case<'a>) -> Option<&'a str> {
    let inside = case.file.server.inside.get().and_then(|t| t.config("port"));
    inside.or_else(|| case.config().and_then(|c| c.value("port")))
}

/// A container whose Redis has its port switched off, and listens on none at all.
fn in_container<'a>(case: &Case<'a>) -> Option<Meant<'a>> {
    let fits = matches!(case.symptom, Symptom::Refused | Symptom::Closed | Symptom::Reset);
    let meant =
        containers::meant(case).filter(|m| fits && m.tie != Tie::Only && m.container.status == "running")?;
    let c = meant.container;
    let off = c.config.as_ref().and_then(|f| f.settings.get("port")).is_some_and(|s| s.value == "0");
    let nowhere = c.listens.as_ref().is_some_and(Vec::is_empty);
    (off && nowhere && c.network_mode != "host" && !containers::loops(case, c)).then_some(meant)
}

fn fix_of_container(case: &Case<'_>, meant: &Meant<'_>) -> Fix {
    let place = meant.container.config.as_ref().and_then(|f| f.settings.get("port")).map_or_else(
        || "its configuration".to_owned(),
        |s| s.line.map_or_else(|| "its command".to_owned(), |line| format!("{}:{line}", s.file)),
    );
    let fix = Fix::new(Risk::Ask, "give Redis its TCP port back, with a password set")
        .step(format!("in {place}: port {}", meant.port))
        .step("and requirepass with a long random value: protected mode refuses other addresses without one");
    containers::restart(fix, case, meant.container)
}

impl Cause for TcpPortDisabled {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(meant) = in_container(case) {
            let says = "has port 0 in its configuration, and nobody in it listens on a TCP port";
            return vec![Reason::confirms(
                "container",
                format!("{} {says}", containers::named(meant.container)),
            )];
        }
        if case.symptom != Symptom::Refused {
            return Vec::new();
        }
        let (Some(own), Some(servers)) = (redis_listeners(case), servers_here(case)) else {
            return Vec::new();
        };
        let Some(server) = servers.first() else {
            return vec![Reason::rules_out(
                "process",
                "no server runs that could have its port switched off",
            )];
        };
        let tls_only = !own.is_empty()
            && port(case) == Some("0")
            && case
                .config()
                .and_then(|c| c.value("tls-port"))
                .is_some_and(|p| own.iter().all(|l| p == l.at.port().to_string()));
        // A TLS port that is the one dialled is refused for another reason.
        let this_port = own.iter().any(|l| l.at.port() == case.ask.port);
        if !own.is_empty() && (!tls_only || this_port) {
            return vec![Reason::rules_out("listener", format!("Redis listens on {}", listing(&own)))];
        }
        // As an ordinary user the holder of a socket can be unknown; then only the setting speaks.
        let mut reasons = Vec::new();
        if port(case) == Some("0") {
            let says = case.config().and_then(|c| directive(c, "port"));
            reasons.push(Reason::confirms(
                "config",
                says.unwrap_or_else(|| "the running server has port 0".to_owned()),
            ));
        }
        if tls_only {
            reasons
                .push(Reason::strong("listener", format!("only TLS is listened for, on {}", listing(&own))));
        } else if servers.len() == 1 {
            let unix: Vec<_> = case
                .server
                .listener
                .get()
                .map(|l| l.unix.iter().map(|u| u.path.clone()).collect())
                .unwrap_or_default();
            let there =
                if unix.is_empty() { String::new() } else { format!(", only on {}", unix.join(" and ")) };
            let says = format!("{} runs and listens on no TCP port{there}", named(server));
            reasons.push(if unix.is_empty() {
                Reason::weak("listener", says)
            } else {
                Reason::strong("listener", says)
            });
        }
        reasons
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some(meant) = in_container(case) {
            return Some(fix_of_container(case, &meant));
        }
        let socket =
            case.config().and_then(|c| c.value("unixsocket")).filter(|p| !p.is_empty()).map(str::to_owned);
        let mut fix = Fix::new(Risk::Ask, "use the unix socket, or give Redis its TCP port back");
        if let Some(path) = socket {
            fix = fix.run(
                "a client on the same host can use the socket",
                format!("redis-cli -s {} ping", sh(&path)),
            );
        }
        let fix = fix.step(format!(
            "or in {}: port {}, with bind and a password chosen before other hosts come in",
            place(case, "port"),
            case.ask.port
        ));
        Some(restart(fix, case))
    }
}

#[cfg(test)]
mod tests {
    use super::TcpPortDisabled;
    use crate::cause::testing::{
        confirms, first, on_server, process, refused, rules_out, running, silent, with_config, with_process,
        with_unit,
    };
    use crate::diagnosis::Band;

    #[test]
    fn confirmed_by_port_0() {
        let file =
            with_process(with_unit(on_server(refused()), "active", "running", "success"), process(812));
        let file = with_config(file, &[("port", "0"), ("unixsocket", "/run/redis/redis.sock")]);
        assert!(confirms(&TcpPortDisabled, &file));
        assert_eq!(first(&file), Some(("tcp-port-disabled", Band::Confirmed)));
    }

    #[test]
    fn ruled_out_by_a_listener_and_by_no_process() {
        assert!(rules_out(&TcpPortDisabled, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(rules_out(&TcpPortDisabled, &on_server(refused())));
    }

    #[test]
    fn of_a_container() {
        use crate::cause::testing::{publish, with_container};
        use crate::evidence::containers::ConfigFile;
        use crate::evidence::server::Setting;
        let with_port = |port: &str, listens: &[&str]| {
            with_container(on_server(refused()), |c| {
                publish(c, "0.0.0.0:6379");
                c.listens = Some(listens.iter().map(|at| at.parse().unwrap()).collect());
                let set = Setting { value: port.to_owned(), file: "/srv/r.conf".to_owned(), line: Some(1) };
                let settings = [("port".to_owned(), set)].into();
                c.config = Some(ConfigFile { settings, ..ConfigFile::default() });
            })
        };
        assert_eq!(first(&with_port("0", &[])), Some(("tcp-port-disabled", Band::Confirmed)));
        assert!(!confirms(&TcpPortDisabled, &with_port("6379", &[])));
        assert!(!confirms(&TcpPortDisabled, &with_port("0", &["0.0.0.0:6380"])), "TLS, perhaps");
    }

    #[test]
    fn silent_for_a_lone_client() {
        assert!(silent(&TcpPortDisabled, &refused()));
    }
}
