//! The client has no local port left for this address and port.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, runtime};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct ClientPortsExhausted;

static META: Meta = Meta {
    id: "client-ports-exhausted",
    category: Category::Capacity,
    stage: Stage::Connect,
    title: "the client has no local port left",
    masked_by: &[],
    settled_by: &["limits", "connect"],
};

/// Ports in use towards the target, and how many there are.
fn ports(case: &Case<'_>) -> Option<(u32, u32)> {
    let limits = case.client.limits.get()?;
    let (low, high) = limits.port_range.filter(|(low, high)| high >= low)?;
    Some((limits.ports_to_target?, u32::from(high - low) + 1))
}

fn sentence(case: &Case<'_>, used: u32, all: u32) -> String {
    let waiting = case.client.limits.get().and_then(|l| l.time_wait).filter(|n| *n > 0);
    let waiting = waiting.map(|n| format!(", {n} of them in TIME-WAIT")).unwrap_or_default();
    format!("{used} of {all} local ports are in use towards {}{waiting}", case.target())
}

impl Cause for ClientPortsExhausted {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::LocalErrno {
            return Vec::new();
        }
        let own = case.client.limits.get().and_then(|l| l.own_errno.as_deref());
        let errno = runtime::errno(case).or(own).unwrap_or_default();
        if errno != "EADDRNOTAVAIL" {
            return vec![Reason::rules_out("connect", format!("the errno is {errno}, not EADDRNOTAVAIL"))];
        }
        let mut reasons = vec![Reason::strong("connect", "the kernel found no local port: EADDRNOTAVAIL")];
        match ports(case) {
            // connect() gives up before the last port is tried when the rest is held by other sockets.
            Some((used, all)) if used * 10 >= all * 9 => {
                reasons.push(Reason::confirms("limits", sentence(case, used, all)));
            }
            Some((used, all)) => reasons.push(Reason::against("limits", sentence(case, used, all))),
            None => {}
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match ports(case).filter(|(used, all)| used * 10 >= all * 9) {
            Some((used, all)) => format!("the client has no local port left: {}", sentence(case, used, all)),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = case.ask.port;
        Some(
            Fix::new(Risk::Ask, "keep connections open instead of opening one for each request")
                .run("who holds them", format!("ss -tanp 'dport = :{port}' | awk '{{print $1, $NF}}' | sort | uniq -c | sort -n | tail"))
                .step("use one pool in each process, with a bound; a connection for each request needs a port for a minute")
                .run("relief until then: more ports", "sysctl -w net.ipv4.ip_local_port_range='15000 64999'")
                .run("and reuse of those in TIME-WAIT", "sysctl -w net.ipv4.tcp_tw_reuse=1"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.symptom == Symptom::LocalErrno {
            return None;
        }
        let (used, all) = ports(case).filter(|(used, all)| used * 10 >= all * 8)?;
        let says = sentence(case, used, all);
        Some(Latent {
            place: Place::Warning,
            title: format!("the client will soon have no local port left: {says}"),
            reasons: vec![Reason::confirms("limits", says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ClientPortsExhausted;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::client::Limits;

    fn used(mut file: CaseFile, used: u32) -> CaseFile {
        file.client.limits = seen(Limits {
            port_range: Some((50000, 50007)),
            ports_to_target: Some(used),
            time_wait: Some(0),
            ..Limits::default()
        });
        file
    }

    #[test]
    fn settles() {
        assert_eq!(
            first(&used(errno("EADDRNOTAVAIL"), 8)),
            Some(("client-ports-exhausted", Band::Confirmed))
        );
    }

    #[test]
    fn free_ports_leave_it_open() {
        assert!(!confirms(&ClientPortsExhausted, &used(errno("EADDRNOTAVAIL"), 1)));
    }

    #[test]
    fn warns_before() {
        assert_eq!(diagnose(&used(pong(&[]), 7)).warnings[0].cause.meta().id, "client-ports-exhausted");
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&ClientPortsExhausted, &errno("EMFILE")));
        assert!(silent(&ClientPortsExhausted, &refused()));
        assert!(silent(&ClientPortsExhausted, &used(pong(&[]), 1)));
    }
}
