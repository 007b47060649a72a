//! The server runs without a plain TCP port: `port 0`.

use crate::cause::common::{
    directive, listing, meta, named, place, redis_listeners, restart, servers_here, sh,
};
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
        &["listener", "process", "config"],
    )
};

/// The running server's `port`, from the server itself or its file and command line.
fn port<'a>(case: &Case<'a>) -> Option<&'a str> {
    let inside = case.file.server.inside.get().and_then(|t| t.config("port"));
    inside.or_else(|| case.config().and_then(|c| c.value("port")))
}

impl Cause for TcpPortDisabled {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
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
    fn silent_for_a_lone_client() {
        assert!(silent(&TcpPortDisabled, &refused()));
    }
}
