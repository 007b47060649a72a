//! What a Kubernetes cluster says of the target: the Service that the name means, its endpoints and pods, the policies
//! that apply, and the client's own pod. An excerpt: only what bears on the target, without a secret's value.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels, as objects carry and selectors name them.
pub type Labels = BTreeMap<String, String>;

/// The excerpt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kubernetes {
    /// Where it was read: `kubectl, context prod`, or the files' names.
    pub source: String,
    /// Nobody dialled: the objects alone are judged, and what a client would see is inferred from them.
    pub objects_only: bool,
    /// The client's namespace; none when the client is outside of the cluster, or nobody said.
    pub namespace: Option<String>,
    /// The client's pod, when one was named.
    pub client: Option<Key>,
    /// The server's pod, when one was named (`--server pod:`).
    pub server: Option<Key>,
    /// The Service that the target's host means there, whether it exists or not.
    pub means: Option<Key>,
    /// The Service meant, its namesakes of other namespaces, and those that inject variables about Redis.
    pub services: Vec<Service>,
    /// Endpoint slices (or Endpoints) of the Service meant.
    pub slices: Vec<Slice>,
    /// Pods: selected, nearly selected, the client's, the name servers'.
    pub pods: Vec<Pod>,
    /// Network policies of the namespaces concerned.
    pub policies: Vec<Policy>,
    /// The namespaces concerned, with their labels.
    pub namespaces: Vec<Namespace>,
    /// Deployments and StatefulSets whose pods the Service would select.
    pub workloads: Vec<Workload>,
    /// Network plugins recognised by their agents.
    pub plugins: Vec<Plugin>,
    /// Policies of other kinds that were seen and not evaluated: `CiliumNetworkPolicy prod/redis`.
    pub others: Vec<String>,
    /// Istio PeerAuthentications with mode STRICT: namespace and name.
    pub strict_mtls: Vec<Key>,
    /// What was read of each kind.
    pub read: Vec<Read>,
    /// Something was left out for its number.
    pub cut: bool,
}

/// How reading one kind went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Read {
    /// `Service`, `Pod`, `NetworkPolicy` …
    pub kind: String,
    /// All namespaces were asked, or those concerned.
    pub complete: bool,
    /// Objects seen.
    pub count: usize,
    /// Why it could not be read.
    pub why: Option<String>,
}

/// A namespaced name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub key: Key,
    /// `ClusterIP`, `NodePort`, `LoadBalancer`, `ExternalName`.
    pub kind: String,
    /// Cluster addresses; empty for a headless Service.
    pub addresses: Vec<String>,
    /// External addresses (`externalIPs`, the load balancer's).
    pub outside: Vec<String>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// The selector; none when somebody else keeps the endpoints.
    pub selector: Option<Labels>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// The name of an ExternalName.
    pub external_name: Option<String>,
    /// `publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// `internalTrafficPolicy: Local`: only endpoints of the client's node are used.
    pub local_only: bool,
    /// creationTimestamp (RFC 3339, UTC).
    pub created: Option<String>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicePort {
    /// Its name.
    pub name: Option<String>,
    /// The port that clients dial.
    pub port: u16,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: String,
    /// The pods' port.
    pub target: Port,
    /// The port on every node.
    pub node_port: Option<u16>,
}

/// A port by number or by the name that the container gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// A number.
    Number(u16),
    /// A name.
    Name(String),
}

impl Default for Port {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

/// An EndpointSlice, or one subset of Endpoints.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Slice {
    /// The Service it belongs to.
    pub service: Key,
    /// Name and number of each port.
    pub ports: Vec<(Option<String>, u16)>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Addresses, alternatives of one another.
    pub addresses: Vec<String>,
    /// `conditions.ready`; what is not said is to be taken as true (discovery/v1).
    pub ready: Option<bool>,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// The pod behind it.
    pub pod: Option<String>,
    /// Its node.
    pub node: Option<String>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its name.
    pub key: Key,
    /// `metadata.uid`.
    pub uid: String,
    /// Labels.
    pub labels: Labels,
    /// The node it was given to.
    pub node: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// It has the node's network: network policies do not speak of it.
    pub host_network: bool,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// Why it is in that phase: `Evicted`.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// It is being deleted.
    pub terminating: bool,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Containers, the init ones first.
    pub containers: Vec<Container>,
    /// `enableServiceLinks: false`.
    pub no_service_links: bool,
    /// startTime (RFC 3339, UTC).
    pub started: Option<String>,
    /// The last words of a container that died, from its log; recognised, without secrets.
    pub last_words: Vec<String>,
}

/// A condition of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// `PodScheduled`, `Ready`, `ContainersReady`, `Initialized`, or a readiness gate's.
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// `Unschedulable`, `ContainersNotReady`.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
}

/// A container with its state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// An init container.
    pub init: bool,
    /// Declared ports: name, number, protocol. Information only: a port that is not declared can be open.
    pub ports: Vec<(Option<String>, u16, String)>,
    /// `--port` among its arguments.
    pub port_argument: Option<u16>,
    /// Its readiness probe: `exec`, `tcp 6379`, `http …`.
    pub readiness: Option<String>,
    /// `runtime://id`.
    pub id: Option<String>,
    /// Ready.
    pub ready: bool,
    /// Restarts.
    pub restarts: u32,
    /// `running`, `waiting`, `terminated`; empty when the kubelet has said nothing yet.
    pub state: String,
    /// Why it waits: `CrashLoopBackOff`, `ImagePullBackOff`, `CreateContainerConfigError`.
    pub waiting: Option<Condition>,
    /// How it ended now or the last time.
    pub ended: Option<Ended>,
    /// Memory limit as written.
    pub memory: Option<String>,
    /// Variables that speak of Redis: name, and the value where it is no secret.
    pub env: Vec<Variable>,
    /// `envFrom` is there: more variables come from elsewhere.
    pub env_from: Vec<String>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// `OOMKilled`, `Error`, `Completed`, `ContainerCannotRun`, `StartError`.
    pub reason: String,
    /// Exit code.
    pub exit_code: i64,
    /// The container's own last message, without secrets.
    pub message: Option<String>,
    /// When (RFC 3339, UTC).
    pub at: Option<String>,
}

/// A variable of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The value with any secret as `***`, or where it comes from: `secret redis-auth, key password`.
    pub value: String,
}

/// A label selector.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Selector {
    /// `matchLabels`.
    pub labels: Labels,
    /// `matchExpressions`.
    pub expressions: Vec<Expression>,
}

/// One of `matchExpressions`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// Values.
    pub values: Vec<String>,
}

/// A NetworkPolicy (networking.k8s.io/v1).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its name.
    pub key: Key,
    /// The pods it speaks of, in its own namespace; an empty selector means all of them.
    pub pods: Selector,
    /// It limits what comes in.
    pub limits_ingress: bool,
    /// It limits what goes out.
    pub limits_egress: bool,
    /// What may come in.
    pub ingress: Vec<Rule>,
    /// What may go out.
    pub egress: Vec<Rule>,
    /// Part of it was not understood: it cannot be evaluated.
    pub odd: Option<String>,
}

/// One rule: any of the peers, on any of the ports.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Empty: everybody.
    pub peers: Vec<Peer>,
    /// Empty: every port.
    pub ports: Vec<RulePort>,
}

/// One peer. Both selectors in one peer must match together; two peers are alternatives.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Peer {
    /// `podSelector`.
    pub pods: Option<Selector>,
    /// `namespaceSelector`.
    pub namespaces: Option<Selector>,
    /// `ipBlock`: the network, and what is taken out of it.
    pub block: Option<(String, Vec<String>)>,
}

/// A port of a rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RulePort {
    /// `TCP` unless said.
    pub protocol: String,
    /// None: every port of the protocol.
    pub port: Option<Port>,
    /// The last port of a range that begins with `port`.
    pub end: Option<u16>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
}

/// What makes pods.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`.
    pub kind: String,
    /// Its name.
    pub key: Key,
    /// `spec.replicas`.
    pub replicas: u32,
    /// Labels of its pods.
    pub labels: Labels,
    /// Why it cannot make pods: quota, webhook.
    pub trouble: Option<String>,
}

/// A network plugin, recognised by its agents' names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Plugin {
    /// `Calico`, `Cilium`, `flannel` …
    pub name: String,
    /// It enforces network policies; none where that depends on its configuration.
    pub enforces: Option<bool>,
}

impl Kubernetes {
    /// How reading that kind went.
    pub fn kind(&self, kind: &str) -> Option<&Read> {
        self.read.iter().find(|r| r.kind == kind)
    }

    /// All objects of that kind that matter are here.
    pub fn knows(&self, kind: &str) -> bool {
        self.kind(kind).is_some_and(|r| r.complete && r.why.is_none())
    }

    /// The Service meant, when it exists.
    pub fn service(&self) -> Option<&Service> {
        let means = self.means.as_ref()?;
        self.services.iter().find(|s| s.key == *means)
    }

    /// A pod by its name.
    pub fn pod(&self, key: &Key) -> Option<&Pod> {
        self.pods.iter().find(|p| p.key == *key)
    }

    /// The client's pod.
    pub fn client_pod(&self) -> Option<&Pod> {
        self.pod(self.client.as_ref()?)
    }
}

impl super::Says for Kubernetes {
    fn says(&self) -> String {
        let at = &self.source;
        let Some(means) = &self.means else { return format!("{at}: the target is no name of the cluster") };
        match self.service() {
            None if self.knows("Service") => format!("{at}: there is no Service {means}"),
            None => format!("{at}: Service {means} was not seen"),
            Some(service) => {
                let pods: Vec<_> =
                    self.slices.iter().filter(|s| s.service == *means).flat_map(|s| &s.endpoints).collect();
                let ready = pods.iter().filter(|e| e.ready != Some(false)).count();
                let kind = if service.headless { "headless" } else { service.kind.as_str() };
                let name = service.external_name.as_ref().map(|n| format!(" of {n}")).unwrap_or_default();
                format!(
                    "{at}: Service {means} ({kind}{name}), {ready} of {} endpoints ready, {} network policies read",
                    pods.len(),
                    self.policies.len()
                )
            }
        }
    }
}
