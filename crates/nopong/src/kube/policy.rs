//! What NetworkPolicies (networking.k8s.io/v1) do with one connection, as their specification says: a pod that no policy
//! selects for a direction is open in it; one that is selected admits what any rule of any such policy names. Both ends
//! must agree. Policies name pods' ports, after the translation of the Service's.

use super::net::Network;
use super::selector;
use crate::evidence::kube::{Kubernetes, Labels, Peer, Pod, Policy, Port, Rule, RulePort};
use std::net::IpAddr;

/// One end of a connection.
#[derive(Debug, Clone)]
pub struct End<'a> {
    /// In a sentence: `the client (web/worker-1)`.
    pub name: String,
    /// Its namespace; none for what is outside of the cluster.
    pub namespace: Option<&'a str>,
    /// Labels, where known.
    pub labels: Option<&'a Labels>,
    /// Addresses, where known.
    pub addresses: Vec<IpAddr>,
    /// It has the node's network.
    pub host_network: bool,
    /// The pod, for its named ports.
    pub pod: Option<&'a Pod>,
}

impl<'a> End<'a> {
    /// A pod.
    pub fn pod(name: String, pod: &'a Pod) -> Self {
        Self {
            name,
            namespace: Some(&pod.key.namespace),
            labels: Some(&pod.labels),
            addresses: pod.addresses.iter().filter_map(|a| a.parse().ok()).collect(),
            host_network: pod.host_network,
            pod: Some(pod),
        }
    }
}

/// Which way the subject of a policy sees the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into the subject.
    Ingress,
    /// Out of it.
    Egress,
}

impl Direction {
    /// The word of the specification.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// What came of the evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted: no policy selects the subject, or this rule names the connection.
    Allowed {
        /// `ingress rule 2 of prod/redis`; none without a policy.
        by: Option<String>,
        /// Only an ipBlock names the pod: some plugins match those with addresses outside of the cluster alone.
        by_block: bool,
    },
    /// Selected, and no rule names the connection.
    Denied,
    /// It cannot be said, and why.
    Undecided(String),
}

/// One direction judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The direction.
    pub direction: Direction,
    /// The outcome.
    pub verdict: Verdict,
    /// The policies that select the subject for it.
    pub policies: Vec<String>,
    /// Why their rules do not name the connection, the nearest miss first.
    pub misses: Vec<String>,
}

/// Yes, no because, or not to be known because.
enum Match {
    Yes,
    No(String),
    Unknown(String),
}

/// A connection over `protocol` to `port` of `to`.
pub struct Flow<'a> {
    /// Where it comes from.
    pub from: &'a End<'a>,
    /// Where it goes.
    pub to: &'a End<'a>,
    /// `TCP`, `UDP`.
    pub protocol: &'a str,
    /// The pod's port.
    pub port: u16,
}

/// Judges one direction of a flow.
pub fn decide(k8s: &Kubernetes, direction: Direction, flow: &Flow<'_>) -> Decision {
    let (subject, peer) = match direction {
        Direction::Ingress => (flow.to, flow.from),
        Direction::Egress => (flow.from, flow.to),
    };
    let mut decision = Decision {
        direction,
        verdict: Verdict::Allowed { by: None, by_block: false },
        policies: Vec::new(),
        misses: Vec::new(),
    };
    // What is outside of the cluster has no policies; and a pod cannot be shut off from itself.
    let same = subject.pod.is_some() && subject.pod.map(|p| &p.key) == peer.pod.map(|p| &p.key);
    let (Some(namespace), false) = (subject.namespace, same) else { return decision };
    let limits = |p: &&Policy| match direction {
        Direction::Ingress => p.limits_ingress,
        Direction::Egress => p.limits_egress,
    };
    let all: Vec<&Policy> =
        k8s.policies.iter().filter(|p| p.key.namespace == namespace).filter(limits).collect();
    let mut unknown: Option<String> = None;
    let mut selecting = Vec::new();
    for policy in all {
        match (subject.labels, policy.pods == Default::default()) {
            (_, true) => selecting.push(policy),
            (Some(labels), _) if selector::matches(&policy.pods, labels) => selecting.push(policy),
            (None, _) => unknown = Some(format!("the labels of {} are not known", subject.name)),
            (Some(_), _) => {}
        }
    }
    decision.policies = selecting.iter().map(|p| p.key.to_string()).collect();
    if selecting.is_empty() {
        if let Some(why) = unknown.or_else(|| unread(k8s)) {
            decision.verdict = Verdict::Undecided(why);
        }
        return decision;
    }
    if subject.host_network {
        let why = format!("{} has the node's network, of which policies do not speak", subject.name);
        decision.verdict = Verdict::Undecided(why);
        return decision;
    }
    let mut misses: Vec<(bool, String)> = Vec::new();
    let mut by_block = None;
    for policy in &selecting {
        let rules = match direction {
            Direction::Ingress => &policy.ingress,
            Direction::Egress => &policy.egress,
        };
        if rules.is_empty() {
            misses.push((
                false,
                format!("{} selects {} and has no {} rule", policy.key, subject.name, direction.word()),
            ));
        }
        for (i, rule) in rules.iter().enumerate() {
            let named = format!("{} rule {} of {}", direction.word(), i + 1, policy.key);
            match (ports(rule, flow), peers(k8s, rule, policy, peer, direction)) {
                (Match::Yes, (Match::Yes, block)) => {
                    if !block {
                        decision.verdict = Verdict::Allowed { by: Some(named), by_block: false };
                        decision.misses.clear();
                        return decision;
                    }
                    by_block = Some(named);
                }
                (Match::No(port), (Match::No(peer), _)) => {
                    misses.push((false, format!("{named}: {peer}; {port}")));
                }
                (Match::No(why), _) | (_, (Match::No(why), _)) => {
                    misses.push((true, format!("{named}: {why}")));
                }
                (Match::Unknown(why), _) | (_, (Match::Unknown(why), _)) => {
                    unknown = Some(format!("{named}: {why}"));
                }
            }
        }
        if let Some(odd) = &policy.odd {
            unknown = Some(format!("{}: {odd}", policy.key));
        }
    }
    misses.sort_by_key(|(near, _)| !near);
    decision.misses = misses.into_iter().map(|(_, says)| says).take(6).collect();
    decision.verdict =
        match (by_block, unknown.or_else(|| k8s.cut.then(|| "not every policy was kept".to_owned()))) {
            (Some(by), _) => Verdict::Allowed { by: Some(by), by_block: true },
            (None, Some(why)) => Verdict::Undecided(why),
            (None, None) => Verdict::Denied,
        };
    decision
}

/// Without a policy in sight it matters whether they were read.
fn unread(k8s: &Kubernetes) -> Option<String> {
    if k8s.knows("NetworkPolicy") {
        return None;
    }
    let why = k8s.kind("NetworkPolicy").and_then(|r| r.why.clone());
    Some(format!("network policies: {}", why.unwrap_or_else(|| "not read".to_owned())))
}

fn ports(rule: &Rule, flow: &Flow<'_>) -> Match {
    if rule.ports.is_empty() {
        return Match::Yes;
    }
    let mut unknown = None;
    for port in &rule.ports {
        match one_port(port, flow) {
            Match::Yes => return Match::Yes,
            Match::Unknown(why) => unknown = Some(why),
            Match::No(_) => {}
        }
    }
    let listed: Vec<_> = rule.ports.iter().map(shown_port).collect();
    unknown.map_or_else(
        || Match::No(format!("it names port {}, not {} {}", listed.join(" and "), flow.protocol, flow.port)),
        Match::Unknown,
    )
}

fn one_port(port: &RulePort, flow: &Flow<'_>) -> Match {
    let no = || Match::No(String::new());
    if port.protocol != flow.protocol {
        return no();
    }
    match (&port.port, port.end) {
        (None, _) => Match::Yes,
        (Some(Port::Number(first)), Some(last)) if (*first..=last).contains(&flow.port) => Match::Yes,
        (Some(Port::Number(n)), None) if *n == flow.port => Match::Yes,
        (Some(Port::Number(_)), _) => no(),
        // A name is that of a port of the pod dialled, also in an egress rule.
        (Some(Port::Name(name)), _) => match flow.to.pod {
            None => Match::Unknown(format!("which port \"{name}\" is, only the pod dialled tells")),
            Some(pod) if names_port(pod, name, &port.protocol).contains(&flow.port) => Match::Yes,
            Some(_) => no(),
        },
    }
}

/// The numbers that the pod's containers give to a port of that name.
pub(super) fn names_port(pod: &Pod, name: &str, protocol: &str) -> Vec<u16> {
    let of = |(n, port, p): &(Option<String>, u16, String)| {
        (n.as_deref() == Some(name) && p == protocol).then_some(*port)
    };
    pod.containers.iter().filter(|c| !c.init).flat_map(|c| c.ports.iter().filter_map(of)).collect()
}

fn shown_port(port: &RulePort) -> String {
    let range = port.end.map(|end| format!("-{end}")).unwrap_or_default();
    match &port.port {
        None => format!("{} (all)", port.protocol),
        Some(number) => format!("{} {number}{range}", port.protocol),
    }
}

/// Whether a rule names the peer, and whether by an ipBlock alone.
fn peers(
    k8s: &Kubernetes,
    rule: &Rule,
    policy: &Policy,
    peer: &End<'_>,
    direction: Direction,
) -> (Match, bool) {
    if rule.peers.is_empty() {
        return (Match::Yes, false);
    }
    let (mut unknown, mut why, mut block) = (None, Vec::new(), false);
    for named in &rule.peers {
        match one_peer(k8s, named, policy, peer) {
            Match::Yes if named.block.is_some() && peer.namespace.is_some() => block = true,
            Match::Yes => return (Match::Yes, false),
            Match::Unknown(says) => unknown = Some(says),
            Match::No(says) => why.push(says),
        }
    }
    if block {
        return (Match::Yes, true);
    }
    if let Some(says) = unknown {
        return (Match::Unknown(says), false);
    }
    why.truncate(3);
    let list = if direction == Direction::Ingress { "from" } else { "to" };
    (Match::No(format!("{list}: {}", why.join("; or: "))), false)
}

fn one_peer(k8s: &Kubernetes, named: &Peer, policy: &Policy, peer: &End<'_>) -> Match {
    if let Some((cidr, except)) = &named.block {
        return block(cidr, except, peer);
    }
    let (Some(namespace), who) = (peer.namespace, &peer.name) else {
        return Match::No(format!("it names pods, and {} is none of the cluster's", peer.name));
    };
    if peer.host_network {
        return Match::Unknown(format!(
            "{who} has the node's network: whether a selector means it is the plugin's choice"
        ));
    }
    let pods = match (&named.pods, peer.labels) {
        (None, _) => None,
        (Some(wanted), Some(labels)) => selector::lacks(wanted, labels),
        (Some(wanted), None) if *wanted == Default::default() => None,
        (Some(_), None) => return Match::Unknown(format!("the labels of {who} are not known")),
    };
    match &named.namespaces {
        None if namespace != policy.key.namespace => {
            let own = &policy.key.namespace;
            Match::No(match pods {
                None => format!("a podSelector alone means pods of {own}, and {who} is in {namespace}"),
                Some(lacks) => format!("a podSelector alone means pods of {own}, and it {lacks}"),
            })
        }
        None => pods.map_or(Match::Yes, |lacks| Match::No(format!("the podSelector {lacks}"))),
        Some(wanted) => match (in_namespace(k8s, wanted, namespace), pods) {
            (Match::Yes, None) => Match::Yes,
            (Match::Yes, Some(lacks)) => Match::No(format!(
                "namespace {namespace} is meant, but the podSelector in the same item {lacks}"
            )),
            (Match::No(lacks), None) if named.pods.is_some() => {
                Match::No(format!("the podSelector fits, but the namespaceSelector in the same item {lacks}"))
            }
            (Match::No(lacks), _) => Match::No(format!("the namespaceSelector {lacks}")),
            (Match::Unknown(_), Some(lacks)) => Match::No(format!("the podSelector {lacks}")),
            (Match::Unknown(why), None) => Match::Unknown(why),
        },
    }
}

fn in_namespace(k8s: &Kubernetes, wanted: &crate::evidence::kube::Selector, name: &str) -> Match {
    let known = k8s.namespaces.iter().find(|n| n.name == name).map(|n| n.labels.clone());
    // Every namespace has this one since 1.22 (NamespaceDefaultLabelName); more is not known without its object.
    let labels =
        known.clone().unwrap_or_else(|| [("kubernetes.io/metadata.name".to_owned(), name.to_owned())].into());
    match selector::lacks(wanted, &labels) {
        None if known.is_some() || wanted.expressions.is_empty() => Match::Yes,
        Some(lacks) if known.is_some() => Match::No(format!("{lacks} (namespace {name})")),
        Some(lacks) if lacks.starts_with("wants kubernetes.io/metadata.name=") => Match::No(lacks),
        _ => Match::Unknown(format!("the labels of namespace {name} are not known")),
    }
}

fn block(cidr: &str, except: &[String], peer: &End<'_>) -> Match {
    let Some(network) = Network::parse(cidr) else {
        return Match::Unknown(format!("the network {cidr} is none"));
    };
    if peer.addresses.is_empty() {
        return Match::Unknown(format!("the address of {} is not known", peer.name));
    }
    let taken_out = |ip: IpAddr| except.iter().find(|e| Network::parse(e).is_some_and(|n| n.contains(ip)));
    let inside: Vec<IpAddr> = peer.addresses.iter().copied().filter(|a| network.contains(*a)).collect();
    let shown = peer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let says = match inside.first().and_then(|ip| taken_out(*ip)) {
        _ if inside.iter().any(|ip| taken_out(*ip).is_none()) => return Match::Yes,
        Some(except) => format!("ipBlock {cidr} takes {except} out, where {} is ({shown})", peer.name),
        None => format!("ipBlock {cidr} does not hold {shown}"),
    };
    if peer.namespace.is_none() {
        // Where traffic enters a cluster, a node may put its own address in place of the client's.
        return Match::Unknown(format!("{says}, but a node may have put its own address in place"));
    }
    Match::No(says)
}
