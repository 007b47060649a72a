//! Which look would move the ranking most: the facts that undecided causes say would settle them, weighed by
//! the probability at stake.

use super::{Band, Case, Finding, Next, Symptom};
use crate::cause::common::{sh, url};
use crate::evidence::ends::Place;
use crate::evidence::{Seen, Side, Why};

/// How many proposals a reader can use.
const SHOWN: usize = 3;

pub(super) fn next(case: &Case<'_>, causes: &[Finding]) -> Vec<Next> {
    if causes.first().is_some_and(|f| f.band == Band::Confirmed) {
        return Vec::new();
    }
    let mut proposals: Vec<(f64, Next)> = Vec::new();
    let stake = |id: &str| -> f64 {
        causes.iter().filter(|f| f.cause.meta().settled_by.contains(&id)).map(|f| f.probability).sum()
    };
    let server_unseen = matches!(case.server.listener, Seen::NotRun);
    let mut on_server = 0.0;
    let mut as_root = 0.0;
    let mut as_root_there = 0.0;
    // Without its user part: what is printed can be run, and shows no secret.
    let target = match &case.ask.unix {
        Some(path) => format!("unix://{path}"),
        None => url(case, case.ask.port),
    };
    let spots = case.blind_spots();
    let of = |kind: fn(&Why) -> bool| -> Vec<_> {
        spots.iter().filter(|(.., why)| kind(why)).map(|(id, ..)| *id).collect()
    };
    let rights = of(|why| matches!(why, Why::NotPermitted { .. }));
    let absent = of(|why| matches!(why, Why::Missing { .. }));
    let own = crate::cause::common::own_input(case).filter(|v| v.verdict == "undecided" && !case.ask.trace);
    if let Some(verdict) = own {
        let says = format!("have the kernel follow a SYN through the rules of nftables: {}", verdict.because);
        let there = case.file.server_far().map(|p| format!(" --server {}", sh(&p.asked))).unwrap_or_default();
        proposals.push((
            stake("firewall"),
            Next { says, command: format!("nopong --trace{there} {}", sh(&target)) },
        ));
    }
    for item in case.items() {
        let worth = stake(item.id);
        if worth <= 0.0 || item.state == "seen" || item.state == "not-applicable" {
            continue;
        }
        if item.from == Side::Server && server_unseen {
            on_server += worth;
            continue;
        }
        if rights.contains(&item.id) {
            *if item.at.is_some() { &mut as_root_there } else { &mut as_root } += worth;
            continue;
        }
        if item.id == "cloud" && item.state == "not-run" {
            let says =
                "have the cloud's rules read and judged, where one of the hosts is in a cloud".to_owned();
            proposals.push((worth, Next { says, command: format!("nopong --cloud {}", sh(&target)) }));
            continue;
        }
        // What is not here cannot be asked by hand either.
        if absent.contains(&item.id) {
            continue;
        }
        if let Some(by_hand) = item.by_hand.filter(|b| !b.is_empty()) {
            proposals.push((worth, Next { says: item.says, command: by_hand }));
        }
    }
    let of_cluster: Vec<Next> = mesh(case).into_iter().chain(in_cluster(case, &target)).collect();
    if !of_cluster.is_empty() {
        // It dials, and it looks from both ends: what is asked of the Redis host's side is in it.
        return of_cluster.into_iter().chain(proposals.into_iter().map(|(_, n)| n)).take(SHOWN).collect();
    }
    if on_server > 0.0 {
        let host = crate::text::shown_str(&case.ask.host, 100);
        let says = format!(
            "look from the Redis host {host} as well (from here: --server ssh:{host}): a client alone cannot tell these apart"
        );
        proposals.push((on_server, Next { says, command: format!("sudo nopong {}", sh(&target)) }));
    }
    if as_root > 0.0 {
        let says = "look again as root: some facts are closed to other users".to_owned();
        proposals.push((as_root, Next { says, command: format!("sudo nopong {}", sh(&target)) }));
    }
    if as_root_there > 0.0 {
        let end = |option: &str, place: &Option<Place>| {
            let asked = place.as_ref().filter(|p| p.far()).map(|p| sh(&p.asked));
            asked.map(|asked| format!("{option} {asked} ")).unwrap_or_default()
        };
        let ends = end("--from", &case.file.client_at) + &end("--server", &case.file.server_at);
        let says =
            "look again as root over there, by sudo or as another user: some facts are closed".to_owned();
        let command = format!("nopong --sudo {ends}{}", sh(&target));
        proposals.push((as_root_there, Next { says, command }));
    }
    proposals.sort_by(|a, b| b.0.total_cmp(&a.0));
    proposals.into_iter().take(SHOWN).map(|(_, n)| n).collect()
}

/// A mesh that takes its own mutual TLS alone ends connections of clients outside of it. That is possible, no more: a
/// PeerAuthentication may leave the port out, and the server's pod may have no sidecar.
fn mesh(case: &Case<'_>) -> Option<Next> {
    let k8s = case.client.kubernetes.get()?;
    let strict = k8s.strict_mtls.first()?;
    let ended = matches!(case.symptom, Symptom::Reset | Symptom::Closed | Symptom::Silent);
    let outside = k8s.client_pod().is_some_and(|p| p.containers.iter().all(|c| c.name != "istio-proxy"));
    (ended && outside).then(|| Next {
        says: format!(
            "see whether Istio wants mutual TLS of its own there: PeerAuthentication {strict} is STRICT, and the client has no sidecar"
        ),
        command: format!("kubectl get peerauthentication -n {} -o yaml", sh(&strict.namespace)),
    })
}

/// The same look from the pods themselves, where the cluster told which they are and nobody stood in them.
fn in_cluster(case: &Case<'_>, target: &str) -> Option<Next> {
    let k8s = case.client.kubernetes.get()?;
    let server =
        k8s.service().and_then(|s| crate::kube::endpoints::ready_pods(k8s, s).first().map(|p| &p.key));
    let client = k8s.client.as_ref().filter(|_| k8s.objects_only);
    let command = match (client, server.filter(|_| matches!(case.server.listener, Seen::NotRun))) {
        (None, None) => return None,
        (Some(client), None) => format!("nopong --from pod:{client} {}", sh(target)),
        (None, Some(server)) => format!("nopong --server pod:{server} {}", sh(target)),
        (Some(client), Some(server)) => {
            format!("nopong --from pod:{client} --server pod:{server} {}", sh(target))
        }
    };
    Some(Next {
        says: "look from the pods themselves: it takes the right to exec into them".to_owned(),
        command,
    })
}

#[cfg(test)]
mod tests {
    use crate::cause::testing::{on_server, refused, timed_out};
    use crate::diagnosis::diagnose;
    use crate::evidence::{Seen, Why};

    #[test]
    fn a_lone_client_is_sent_to_the_redis_host_without_its_password() {
        let mut file = refused();
        file.ask.url = "redis://app:***@10.0.0.5:6379".to_owned();
        let next = diagnose(&file).next;
        assert_eq!(next[0].command, "sudo nopong redis://10.0.0.5:6379");
    }

    #[test]
    fn rights_that_are_missing_over_there_are_asked_for_there() {
        let mut file = crate::cause::testing::apart(timed_out(), "10.0.0.5");
        let why = Why::NotPermitted { needs: "root".to_owned() };
        file.server.firewall = Seen::unknown(why, std::time::Duration::ZERO, "nft list ruleset");
        let next = diagnose(&file).next;
        let wanted = "nopong --sudo --from ssh:app1 --server ssh:db redis://10.0.0.5:6379";
        assert!(next.iter().any(|n| n.command == wanted), "{next:?}");
    }

    #[test]
    fn a_strict_mesh_is_proposed_to_a_client_without_a_sidecar() {
        use crate::cause::testing::{in_cluster, mute, pod, service};
        let look = |client: &str| {
            let mut file = mute(crate::evidence::client::Speaks::Closed);
            file.ask.host = "redis.prod.svc".to_owned();
            let mut objects = service("prod", true);
            objects.extend([pod("prod", "redis-0", "redis", true), pod("web", "worker-1", client, true)]);
            objects
                .push(serde_json::json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
                "metadata": {"name": "default", "namespace": "prod"}, "spec": {"mtls": {"mode": "STRICT"}}}));
            let next = diagnose(&in_cluster(file, &serde_json::json!(objects))).next;
            next.iter().any(|n| n.says.contains("PeerAuthentication prod/default"))
        };
        assert!(look("worker") && !look("istio-proxy"));
    }

    #[test]
    fn a_missing_tool_is_not_proposed() {
        let mut file = on_server(timed_out());
        let gone = Why::Missing { what: "nft".to_owned() };
        file.server.firewall = Seen::unknown(gone, std::time::Duration::ZERO, "nft list ruleset");
        assert!(diagnose(&file).next.iter().all(|n| !n.command.starts_with("nft")));
    }

    #[test]
    fn what_is_closed_to_users_is_one_look_as_root() {
        let mut file = on_server(timed_out());
        let closed = || Why::NotPermitted { needs: "root".to_owned() };
        file.server.firewall = Seen::unknown(closed(), std::time::Duration::ZERO, "nft list ruleset");
        file.server.drop = Seen::unknown(closed(), std::time::Duration::ZERO, "");
        let next = diagnose(&file).next;
        assert_eq!(next.iter().filter(|n| n.command.starts_with("sudo nopong")).count(), 1, "{next:?}");
    }
}
