//! The resolvers answer, and they know no such name.

use super::shared::{answered, dns_addresses, name, remark_beside, remarked, said};
use crate::cause::common::{meta, sh, stands};
use crate::cause::containers;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::kube::Key;
use crate::kube::names;

/// See the module.
#[derive(Debug)]
pub(super) struct NameNotFound;

static META: Meta = Meta {
    masked_by: &[
        "url-malformed",
        "name-on-other-network",
        // Docker's resolver forgets the name of a container that does not run.
        "container-stopped",
        "container-crashing",
        "config-invalid",
        "oom-killed",
        "data-unloadable",
        "storage-unwritable",
        "crashed",
    ],
    ..meta("name-not-found", Category::Address, Stage::Resolve, "the name does not exist", &["name"])
};

/// Names that exist in one place only: of a cluster, of a compose project, of a home.
pub(super) fn of_one_network(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !host.contains('.')
        || [".local", ".internal", ".svc", ".cluster.local", ".lan", ".home.arpa", ".consul", ".test"]
            .iter()
            .any(|suffix| host.ends_with(suffix))
}

/// The name means a Service that is in no namespace of the cluster, and it is surely that cluster that is meant.
fn no_service<'a>(case: &Case<'a>) -> Option<&'a Key> {
    let k8s = case.file.client.kubernetes.get().filter(|_| surely_meant(case))?;
    (names::missing(k8s) && names::elsewhere(k8s).is_empty()).then_some(k8s.means.as_ref())?
}

/// The cluster read is the one that the client dials: it stands in it, or somebody said so. What kubectl's context on a
/// machine outside names may be another.
pub(super) fn surely_meant(case: &Case<'_>) -> bool {
    let asked = case.file.client.kubernetes.get().is_some_and(|k| k.objects_only);
    asked || case.file.client.standing.get().is_some_and(|s| s.container.is_some())
}

/// The client is in a container, and no container of the engine, running or not, bears the name.
fn no_such_container(case: &Case<'_>) -> Option<String> {
    let (own, all) = (containers::own(case)?, containers::all(case)?);
    let host = case.ask.host.trim_end_matches('.');
    let bears = all.found.iter().any(|c| c.answers_to(host));
    // What was not asked may bear it.
    if bears || host.contains('.') || !containers::inside(case) || !all.unread.is_empty() {
        return None;
    }
    let near = neighbours(case);
    let near = match near.is_empty() {
        true => String::new(),
        false => format!("; Redis there is {}", near.join(", ")),
    };
    Some(format!(
        "no container of this {} is called {}, and the client is in {} on {}{near}",
        all.engine.split(' ').next().unwrap_or("engine"),
        crate::text::shown_str(host, 100),
        own.name,
        own.network_names().join(", ")
    ))
}

/// Names by which Redis containers on the client's networks can be dialled.
fn neighbours(case: &Case<'_>) -> Vec<String> {
    let (Some(own), Some(all)) = (containers::own(case), containers::all(case)) else { return Vec::new() };
    let near = all.found.iter().filter(|c| {
        c.redis && c.id != own.id && containers::shared_network(own, c).is_some_and(|n| n != "bridge")
    });
    near.map(|c| c.service.clone().unwrap_or_else(|| c.name.clone())).take(3).collect()
}

impl Cause for NameNotFound {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if !matches!(case.symptom, Symptom::NameNotFound | Symptom::ResolverFailed) {
            return Vec::new();
        }
        if let Some(means) = no_service(case) {
            let says = format!("no Service of the cluster is called {}, in whatever namespace", means.name);
            return vec![
                Reason::confirms("kubernetes", format!("there is no Service {means}")),
                Reason::strong("kubernetes", says),
            ];
        }
        let Some(name) = name(case) else { return Vec::new() };
        if let Some(says) = no_such_container(case) {
            return vec![Reason::confirms("container", says)];
        }
        let heard: Vec<_> = name.resolvers.iter().filter(|r| answered(r)).collect();
        if heard.is_empty() && !name.resolvers.is_empty() {
            return vec![Reason::rules_out(
                "name",
                "no resolver answered, so nobody said that the name does not exist",
            )];
        }
        if containers::lone_name(case) {
            return heard.iter().take(1).map(|r| Reason::weak("name", said(r))).collect();
        }
        let error = name.error.as_deref().unwrap_or("no address");
        let mut reasons: Vec<Reason> = remarked(case, META.id).into_iter().collect();
        let known = dns_addresses(name);
        if known.is_empty() {
            for resolver in heard.iter().take(3) {
                reasons.push(Reason::strong("name", said(resolver)));
            }
            if !heard.is_empty() && case.symptom == Symptom::NameNotFound {
                let says =
                    format!("getaddrinfo gives {error}, and every resolver that answers says the same");
                // Where the name may exist on another network, its absence here is only half the answer.
                reasons.insert(
                    0,
                    if of_one_network(&name.asked) {
                        Reason::strong("name", says)
                    } else {
                        Reason::confirms("name", says)
                    },
                );
            }
        } else {
            for resolver in heard.iter().take(3) {
                reasons.push(Reason::weak("name", said(resolver)));
            }
        }
        if name.hosts_file.is_empty() && case.symptom == Symptom::NameNotFound && !reasons.is_empty() {
            reasons.push(Reason::weak("name", "/etc/hosts does not have it"));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(means) = no_service(case) {
            return format!("there is no Service {means} in the cluster");
        }
        let shown = crate::text::shown_str(&case.ask.host, 100);
        match name(case).map(dns_addresses) {
            Some(known) if !known.is_empty() => format!("only some of the resolvers know the name {shown}"),
            _ => format!("the name {shown} does not exist here"),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some(means) = no_service(case) {
            return Some(
                Fix::new(Risk::Advice, "correct the name, or create the Service")
                    .run(
                        "see which Services there are",
                        format!("kubectl -n {} get services", sh(&means.namespace)),
                    )
                    .step(format!("correct it {}", stands(case))),
            );
        }
        let host = sh(&case.ask.host);
        if let (Some(_), Some(right), Some(own)) =
            (no_such_container(case), neighbours(case).into_iter().next(), containers::own(case))
        {
            let to = format!("redis://{right}:{}", case.ask.port);
            return Some(
                Fix::new(
                    Risk::Advice,
                    format!("dial {right} instead of {}", crate::text::shown_str(&case.ask.host, 100)),
                )
                .run(
                    "see that it answers from there",
                    format!("nopong --from {} {}", sh(&format!("container:{}", own.name)), sh(&to)),
                )
                .step(format!("then correct the name {}", stands(case)))
                .step("or give the service an alias of that name on the network"),
            );
        }
        let fix = Fix::new(Risk::Advice, "correct the name, or make it known")
            .run("ask as the application does", format!("getent ahosts {host}"))
            .step(format!("correct it {}", stands(case)));
        let search = name(case).map(|n| n.search.join(" ")).filter(|s| !s.is_empty());
        Some(match search {
            Some(search) if !case.ask.host.contains('.') => fix.step(format!(
                "a name without dots is looked for in the search domains too ({search}): write the full name"
            )),
            _ => fix.step("or add a DNS record for it; a line in /etc/hosts is for tests, it goes stale"),
        })
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        remark_beside(case, META.id, self.fix(case))
    }
}

#[cfg(test)]
mod tests {
    use super::NameNotFound;
    use crate::cause::testing::{bearings, client, first, refused, rules_out, seen, silent};
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{DnsAnswer, Name, Resolver};

    fn unresolved(host: &str, error: &str, answers: &[DnsAnswer]) -> CaseFile {
        let mut file = client(host, 6379);
        let resolvers = answers
            .iter()
            .map(|a| Resolver { server: "10.0.0.2:53".parse().unwrap(), answer: a.clone(), took_ms: 1.0 })
            .collect();
        file.client.name = seen(Name {
            asked: host.to_owned(),
            error: Some(error.to_owned()),
            resolvers,
            ..Name::default()
        });
        file
    }

    #[test]
    fn confirmed_by_the_resolvers() {
        let file = unresolved("redis.exmaple.org", "EAI_NONAME", &[DnsAnswer::NxDomain]);
        assert_eq!(first(&file), Some(("name-not-found", Band::Confirmed)));
    }

    #[test]
    fn a_name_that_may_live_elsewhere_is_not_confirmed() {
        let file = unresolved("redis", "EAI_NONAME", &[DnsAnswer::NxDomain]);
        assert!(!bearings(&NameNotFound, &file).contains(&Bearing::Confirms));
    }

    #[test]
    fn ruled_out_when_no_resolver_answers() {
        assert!(rules_out(
            &NameNotFound,
            &unresolved("redis.example.org", "EAI_AGAIN", &[DnsAnswer::Silent])
        ));
    }

    #[test]
    fn silent_about_addresses() {
        assert!(silent(&NameNotFound, &refused()));
    }
}
