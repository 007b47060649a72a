//! The cluster's objects about the target: from files saved before, or asked of the API server through kubectl. Read-only.

use crate::evidence::kube::{Key, Kubernetes};
use crate::evidence::{CaseFile, Seen, Why, startup};
use crate::kube::{self, Cluster, Question};
use crate::probe::{Request, timed};
use crate::vantage::kubectl::Kubectl;
use crate::{sys, text};
use std::sync::Arc;

/// What is asked of a cluster, and where.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// `--kube-json`: what was saved, and the files' names.
    pub saved: Option<(Arc<Cluster>, String)>,
    /// `--kube`: ask the API server whatever the target's name looks like.
    pub live: bool,
    /// `--from pod:`.
    pub client: Option<Key>,
    /// `--server pod:`.
    pub server: Option<Key>,
    /// Nobody dials: the client's pod is named, and only saved objects tell of it.
    pub alone: bool,
    /// Nobody is to be asked: this look is made for another nopong, which asks itself.
    pub never: bool,
}

impl Objects {
    /// The settings of the client's pod, where nobody dials and its object alone tells of them. Values that are somebody
    /// else's (of a Secret) or masked are left out.
    pub fn pod_settings(&self) -> Option<Vec<(&str, &str)>> {
        if !self.alone {
            return None;
        }
        let pod = self.saved.as_ref().zip(self.client.as_ref()).and_then(|((c, _), key)| c.pod(key));
        let containers = pod.map_or(&[][..], |p| p.containers.as_slice());
        let known = |value: &str| !value.contains("***") && !value.contains(", key ");
        let set = containers.iter().filter(|c| !c.init).flat_map(|c| &c.env).filter(|v| known(&v.value));
        Some(set.map(|v| (v.name.as_str(), v.value.as_str())).collect())
    }
}

/// Where a pod finds its own namespace (client-go, rest.InClusterConfig).
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Lines of a dead container's log.
const LOG_LINES: u32 = 60;
/// Objects asked for at once; more of a namespace's are left out, and that is said.
const LIMIT: u32 = 500;

/// The case file of a target that nobody dials.
pub fn alone(request: &Request, mut file: CaseFile) -> Option<CaseFile> {
    if !request.kube.alone {
        return None;
    }
    let because = "nobody dials: the cluster's objects alone are judged";
    file.client.name = Seen::not_applicable(because);
    file.client.connect = Seen::not_applicable(because);
    file.client.kubernetes = look(request, &file);
    Some(file)
}

/// Looks, where the target may be a cluster's. A name of a cluster that does not resolve on a machine outside of it is not
/// the application's trouble: with objects that were asked for, those alone are judged then.
pub fn after_failure(request: &Request, file: &mut CaseFile) {
    if !wanted(request, file) {
        return;
    }
    let mut seen = look(request, file);
    let unresolved = file.client.name.get().is_some_and(|n| n.error.is_some());
    let inside = file.client.standing.get().is_some_and(|s| s.container.is_some());
    if let Seen::Yes(fact) = &mut seen
        && unresolved
        && !inside
        && (request.kube.live || request.kube.saved.is_some())
        && fact.value.means.is_some()
    {
        fact.value.objects_only = true;
        let because =
            format!("{} is a name of the cluster, and this machine is outside of it", file.ask.host);
        file.client.name = Seen::not_applicable(because);
    }
    file.client.kubernetes = seen;
}

fn wanted(request: &Request, file: &CaseFile) -> bool {
    let (kube, host) = (&request.kube, file.ask.host.as_str());
    if kube.never || file.ask.unix.is_some() {
        return false;
    }
    if kube.saved.is_some() || kube.live || kube.client.is_some() || kube.server.is_some() {
        return true;
    }
    // Unasked, only for what is surely a cluster's name, or may be one and was dialled inside a pod.
    let pod = file.client.standing.get().and_then(|s| s.container.as_deref()) == Some("a Kubernetes pod");
    kube::names::of_a_cluster(host) || (pod && kube::names::may_be_of_a_cluster(host))
}

/// Looks.
fn look(request: &Request, file: &CaseFile) -> Seen<Kubernetes> {
    let kube = &request.kube;
    let mut question = Question {
        host: file.ask.host.clone(),
        port: file.ask.port,
        namespace: own_namespace(file),
        client: kube.client.clone(),
        server: kube.server.clone(),
        address: file.ask.client.or_else(|| crate::diagnosis::Case::new(file).client_address()),
        source: String::new(),
        objects_only: kube.alone,
    };
    let by_hand = "kubectl get svc,endpointslices,pods,networkpolicies,namespaces -A -o json";
    timed(by_hand, || match &kube.saved {
        Some((cluster, source)) => {
            question.source.clone_from(source);
            Ok(kube::excerpt(cluster, &question))
        }
        None => {
            let kubectl = Kubectl::find()?;
            question.source = format!("kubectl, context {}", kubectl.context);
            let cluster = Asking { kubectl: &kubectl, question: &question }.all()?;
            Ok(kube::excerpt(&cluster, &question))
        }
    })
}

fn own_namespace(file: &CaseFile) -> Option<String> {
    let in_pod = file.client.standing.get()?.container.is_some();
    let own = sys::read_text(OWN_NAMESPACE, 100).ok().filter(|_| in_pod)?;
    Some(own.trim().to_owned()).filter(|n| kube::names::is_label(n))
}

/// One look at a live cluster.
struct Asking<'a> {
    kubectl: &'a Kubectl,
    question: &'a Question,
}

/// A question: kind, namespace (none for all), path.
type Path = (&'static str, Option<String>, String);

impl Asking<'_> {
    fn all(&self) -> Result<Cluster, Why> {
        let mut cluster = Cluster::live();
        self.names(&mut cluster)?;
        let client = self.question.client.clone();
        let own = client.as_ref().map(|c| c.namespace.clone()).or_else(|| self.question.namespace.clone());
        let means = kube::names::means(&self.question.host, own.as_deref(), &cluster);
        self.ask(&mut cluster, self.around(means.as_ref(), own.as_deref()));
        if let Some(means) = &means {
            self.why_not_ready(&mut cluster, means);
        }
        Ok(cluster)
    }

    /// Services of the target's name, in all namespaces where that is permitted; the namespaces.
    fn names(&self, cluster: &mut Cluster) -> Result<(), Why> {
        let host = self.question.host.trim_end_matches('.').to_ascii_lowercase();
        let literal = host.parse::<std::net::IpAddr>().is_ok();
        let parts: Vec<&str> = host.split('.').filter(|p| kube::names::is_label(p)).take(3).collect();
        let mut paths: Vec<Path> = vec![("Namespace", None, format!("/api/v1/namespaces?limit={LIMIT}"))];
        if literal {
            paths.push(("Service", None, format!("/api/v1/services?limit={LIMIT}")));
        } else {
            // `redis`, or `redis-0.redis`: the Service is the first or the second word.
            for name in parts.iter().take(2) {
                paths.push((
                    "Service",
                    None,
                    format!("/api/v1/services?fieldSelector=metadata.name%3D{name}"),
                ));
            }
        }
        let failed = self.ask(cluster, paths);
        // Without the right to list everywhere, the namespaces that the name can mean are left.
        let services_failed =
            failed.iter().any(|(kind, why)| *kind == "Service" && matches!(why, Why::NotPermitted { .. }));
        match failed
            .into_iter()
            .find(|(kind, why)| *kind == "Service" && !matches!(why, Why::NotPermitted { .. }))
        {
            Some((_, why)) => return Err(why),
            None if !services_failed => return Ok(()),
            None => {}
        }
        let own = self
            .question
            .client
            .as_ref()
            .map(|c| c.namespace.as_str())
            .or(self.question.namespace.as_deref());
        let mut namespaces: Vec<&str> = parts.iter().skip(1).copied().chain(own).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let one = |n: &&str| {
            ("Service", Some((*n).to_owned()), format!("/api/v1/namespaces/{n}/services?limit={LIMIT}"))
        };
        self.ask(cluster, namespaces.iter().map(one).collect());
        Ok(())
    }

    /// All that bears on the Service meant, and on the client.
    fn around(&self, means: Option<&Key>, own: Option<&str>) -> Vec<Path> {
        let mut paths: Vec<Path> = Vec::new();
        let in_ns = |kind: &'static str, ns: &str, group: &str, rest: &str| {
            (kind, Some(ns.to_owned()), format!("{group}/namespaces/{ns}/{rest}"))
        };
        let (core, net, slices) = ("/api/v1", "/apis/networking.k8s.io/v1", "/apis/discovery.k8s.io/v1");
        if let Some(Key { namespace, name }) = means {
            let of = format!("endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{name}");
            paths.push(in_ns("EndpointSlice", namespace, slices, &of));
            paths.push(in_ns(
                "Endpoints",
                namespace,
                core,
                &format!("endpoints?fieldSelector=metadata.name%3D{name}"),
            ));
            paths.push(in_ns("Pod", namespace, core, &format!("pods?limit={LIMIT}")));
            paths.push(in_ns("NetworkPolicy", namespace, net, "networkpolicies"));
            paths.push(in_ns(
                "Deployment",
                namespace,
                "/apis/apps/v1",
                &format!("deployments?limit={LIMIT}"),
            ));
            paths.push(in_ns(
                "StatefulSet",
                namespace,
                "/apis/apps/v1",
                &format!("statefulsets?limit={LIMIT}"),
            ));
        }
        if let Some(own) = own {
            paths.push(in_ns("Service", own, core, &format!("services?limit={LIMIT}")));
            if means.is_none_or(|m| m.namespace != own) {
                paths.push(in_ns("NetworkPolicy", own, net, "networkpolicies"));
            }
        }
        for key in [&self.question.client, &self.question.server].into_iter().flatten() {
            if means.is_none_or(|m| m.namespace != key.namespace) {
                let one = format!("pods?fieldSelector=metadata.name%3D{}", key.name);
                paths.push(in_ns("", &key.namespace, core, &one));
            }
        }
        if let Some(means) = means {
            // Absent where there is no Istio.
            paths.push(in_ns("", &means.namespace, "/apis/security.istio.io/v1", "peerauthentications"));
        }
        paths.push(in_ns("", "kube-system", core, "pods?labelSelector=k8s-app%3Dkube-dns"));
        paths.push(("DaemonSet", None, format!("/apis/apps/v1/daemonsets?limit={LIMIT}")));
        paths
    }

    /// Asks at once, and puts the answers into the cluster; what failed and why.
    fn ask(&self, cluster: &mut Cluster, paths: Vec<Path>) -> Vec<(&'static str, Why)> {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                paths.iter().map(|(.., path)| scope.spawn(move || self.kubectl.get(path))).collect();
            threads.into_iter().map(|t| t.join().unwrap_or(Err(Why::Panicked))).collect()
        });
        let mut failed = Vec::new();
        for ((kind, namespace, path), answer) in paths.into_iter().zip(answers) {
            let garbled = |what: String| Why::Garbled { what: format!("{path}: {what}") };
            match answer.and_then(|bytes| kube::read(&bytes, cluster).map_err(garbled)) {
                Ok(()) if kind.is_empty() => {}
                Ok(()) => cluster.asked(kind, namespace.as_deref()),
                Err(why) => {
                    cluster.refused(kind, why.to_string());
                    failed.push((kind, why));
                }
            }
        }
        failed
    }

    /// The last words of a container that crashes, from its log: the server's own reason.
    fn why_not_ready(&self, cluster: &mut Cluster, means: &Key) {
        let Some(service) = cluster.service(means) else { return };
        let selects = |p: &&crate::evidence::kube::Pod| {
            service.selector.as_ref().is_some_and(|s| s.iter().all(|(k, v)| p.labels.get(k) == Some(v)))
        };
        let of = |p: &crate::evidence::kube::Pod| {
            let crashed = p.containers.iter().find(|c| !c.init && !c.ready && c.restarts > 0);
            crashed.map(|c| (p.key.clone(), c.name.clone()))
        };
        let found = cluster.in_namespace(&means.namespace).filter(selects).find_map(of);
        let Some((key, container)) = found.filter(|(k, _)| kube::names::is_pod_name(&k.name)) else { return };
        if !kube::names::is_label(&container) {
            return;
        }
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/log?container={container}&previous=true&tailLines={LOG_LINES}&limitBytes=65536",
            key.namespace, key.name
        );
        if let Ok(log) = self.kubectl.get(&path) {
            cluster.last_words(&key, last_words(&log));
        }
    }
}

/// What the start-up recogniser makes of a log; without anything recognised its last line.
fn last_words(log: &[u8]) -> Vec<String> {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<startup::Line> = log
        .lines()
        .map(|line| {
            let (pid, at, text) = startup::parse(line);
            startup::Line { at, pid, manager: false, text: text.to_owned(), source: "its log".to_owned() }
        })
        .collect();
    let found = startup::recognise(&lines);
    let dead = found.deaths.into_iter().map(|d| d.text);
    let mut words: Vec<String> = dead.chain(found.complaints).take(3).collect();
    if words.is_empty() {
        words.extend(log.lines().rev().find(|l| !l.trim().is_empty()).map(crate::evidence::redact::line));
    }
    words.into_iter().map(|w| text::shown_str(&w, 300)).collect()
}

/// Puts saved objects beside the evidence of a bundle.
pub fn beside(file: &mut CaseFile, objects: &Objects) {
    let request = Request { kube: objects.clone(), ..Request::default() };
    if objects.saved.is_some() {
        after_failure(&request, file);
    }
}
