//! No resolver answers: the name may be right, nobody can say.

use super::shared::{answered, name, said};
use crate::cause::common::meta;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::kube::path::path;

/// See the module.
#[derive(Debug)]
pub(super) struct ResolverUnavailable;

static META: Meta = Meta {
    // Docker's resolver passes on what it does not know, and a network without a way out answers nothing.
    masked_by: &[
        "name-on-other-network",
        "name-not-found",
        "container-stopped",
        "container-crashing",
        "config-invalid",
        "oom-killed",
    ],
    ..meta("resolver-unavailable", Category::Address, Stage::Resolve, "no name server answers", &["name"])
};

/// A lookup that took longer than this was waiting for somebody (resolv.conf(5): the time-out is 5 s a server).
const SLOW_MS: f64 = 1000.0;

/// A network policy does not let the client ask: that nobody answers is then its consequence.
fn kept_from_asking(case: &Case<'_>) -> bool {
    let k8s = case.file.client.kubernetes.get();
    k8s.and_then(|k| path(k, &case.ask.host, case.ask.port, None)).is_some_and(|p| p.dns_denied())
}

impl Cause for ResolverUnavailable {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed) {
            return Vec::new();
        }
        if kept_from_asking(case) {
            return vec![Reason::weak(
                "kubernetes",
                "a network policy keeps the client from asking, whoever answers",
            )];
        }
        let Some(name) = name(case) else { return Vec::new() };
        let mut reasons = Vec::new();
        match name.resolvers.iter().find(|r| answered(r)) {
            Some(resolver) if case.symptom == Symptom::NameNotFound => {
                return vec![Reason::rules_out("name", said(resolver))];
            }
            Some(resolver) => reasons.push(Reason::against("name", said(resolver))),
            None if name.resolvers.is_empty() => {}
            None => {
                for resolver in name.resolvers.iter().take(3) {
                    reasons.push(Reason::confirms("name", said(resolver)));
                }
            }
        }
        if case.symptom == Symptom::ResolverFailed {
            let error = name.error.as_deref().unwrap_or("EAI_AGAIN");
            reasons.push(Reason::weak(
                "name",
                format!("getaddrinfo gives {error} after {:.1} s", name.took_ms / 1e3),
            ));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        let servers: Vec<_> = name(case)
            .map(|n| n.resolvers.iter().filter(|r| !answered(r)).map(|r| r.server.ip().to_string()).collect())
            .unwrap_or_default();
        if servers.is_empty() {
            META.title.to_owned()
        } else {
            format!("the name server {} gives no answer", servers.join(" and "))
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let host = crate::cause::common::sh(&case.ask.host);
        let fix = Fix::new(Risk::Advice, "make a name server answer, or name one that does")
            .run("see which servers are asked", "cat /etc/resolv.conf");
        let fix = match name(case).and_then(|n| n.resolvers.first()) {
            Some(r) => fix.run("ask it by hand", format!("dig @{} {host}", r.server.ip())),
            None => fix.run("ask by hand", format!("getent ahosts {host}")),
        };
        Some(
            fix.step("where systemd-resolved is used: resolvectl status, and systemctl restart systemd-resolved.service")
                .step("a firewall must let UDP and TCP port 53 out (in Kubernetes: the network policy must allow DNS)"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        // The name came in the end, but a dead server is asked first each time.
        let name = name(case).filter(|n| n.error.is_none() && n.took_ms > SLOW_MS)?;
        let dead = name.resolvers.iter().find(|r| !answered(r));
        let says = format!("the name took {:.1} s to resolve", name.took_ms / 1e3);
        let mut reasons = vec![Reason::strong("name", says.clone())];
        if let Some(resolver) = dead {
            reasons.push(Reason::confirms("name", said(resolver)));
        }
        Some(Latent { place: Place::Warning, title: says, reasons, fix: self.fix(case) })
    }
}

#[cfg(test)]
mod tests {
    use super::ResolverUnavailable;
    use crate::cause::testing::{client, first, refused, rules_out, seen, silent};
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::client::{DnsAnswer, Name, Resolver};

    fn unresolved(error: &str, answers: &[DnsAnswer]) -> CaseFile {
        let mut file = client("redis.example.org", 6379);
        let resolvers = answers
            .iter()
            .map(|a| Resolver { server: "10.0.0.2:53".parse().unwrap(), answer: a.clone(), took_ms: 1.0 })
            .collect();
        let asked = "redis.example.org".to_owned();
        file.client.name = seen(Name { asked, error: Some(error.to_owned()), resolvers, ..Name::default() });
        file
    }

    #[test]
    fn confirmed_when_nobody_answers() {
        let refused = DnsAnswer::Unreachable { errno: "ECONNREFUSED".to_owned() };
        for answers in
            [&[DnsAnswer::Silent][..], &[refused, DnsAnswer::Error { rcode: "SERVFAIL".to_owned() }]]
        {
            let file = unresolved("EAI_AGAIN", answers);
            assert_eq!(first(&file), Some(("resolver-unavailable", Band::Confirmed)));
        }
    }

    #[test]
    fn ruled_out_by_an_answer() {
        assert!(rules_out(&ResolverUnavailable, &unresolved("EAI_NONAME", &[DnsAnswer::NxDomain])));
    }

    #[test]
    fn likely_when_the_resolvers_were_not_asked() {
        assert_eq!(first(&unresolved("EAI_AGAIN", &[])).unwrap().0, "resolver-unavailable");
        assert_ne!(first(&unresolved("EAI_AGAIN", &[])).unwrap().1, Band::Confirmed);
    }

    #[test]
    fn silent_about_addresses() {
        assert!(silent(&ResolverUnavailable, &refused()));
    }
}
