//! NetworkPolicy as its documentation has it. A client web/worker-1 (app=worker, 10.244.2.7) dials Service prod/redis, port
//! 6379, whose pod prod/redis-0 (app=redis, 10.244.1.5) names its port 6379 "redis". Namespace web has the label team=shop.
#![expect(clippy::needless_pass_by_value, reason = "json! in place reads as the YAML would")]

use super::{asked, cluster};
use crate::kube::path::{Path, path};
use crate::kube::policy::{Decision, Verdict};
use serde_json::{Value, json};

fn pod(namespace: &str, name: &str, labels: Value, ip: &str, port: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "x", "ports": port}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn world() -> Vec<Value> {
    let namespace = |name: &str, team: &str| {
        json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, "team": team}}})
    };
    vec![
        namespace("web", "shop"),
        namespace("prod", "data"),
        namespace("kube-system", "sys"),
        pod("web", "worker-1", json!({"app": "worker", "tier": "back"}), "10.244.2.7", json!([])),
        pod(
            "prod",
            "redis-0",
            json!({"app": "redis"}),
            "10.244.1.5",
            json!([{"name": "redis", "containerPort": 6379}]),
        ),
        pod(
            "kube-system",
            "coredns-1",
            json!({"k8s-app": "kube-dns"}),
            "10.244.1.2",
            json!([{"name": "dns", "containerPort": 53, "protocol": "UDP"}]),
        ),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "redis", "namespace": "prod"},
            "spec": {"clusterIP": "10.96.0.10", "selector": {"app": "redis"}, "ports": [{"port": 6379, "targetPort": "redis"}]}}),
        // One that selects nobody: policies were read, whatever else there is.
        policy("prod", json!({"podSelector": {"matchLabels": {"app": "nobody"}}})),
        policy("web", json!({"podSelector": {"matchLabels": {"app": "nobody"}}})),
    ]
}

fn policy(namespace: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "np", "namespace": namespace}, "spec": spec})
}

fn judged(policies: &[Value]) -> Path {
    let mut items = world();
    items.extend(policies.iter().cloned());
    let k8s = asked(&cluster(&items), "redis.prod.svc", 6379);
    path(&k8s, "redis.prod.svc", 6379, None).unwrap()
}

/// `dns`, `egress`, `ingress` for what denies first, `-` for what is admitted, `?` for what cannot be said.
fn outcome(path: &Path) -> &'static str {
    let is = |d: &Option<Decision>, of: &dyn Fn(&Verdict) -> bool| d.as_ref().is_some_and(|d| of(&d.verdict));
    let denied = |v: &Verdict| *v == Verdict::Denied;
    if is(&path.dns, &denied) {
        "dns"
    } else if is(&path.egress, &denied) {
        "egress"
    } else if is(&path.ingress, &denied) {
        "ingress"
    } else if path.all().any(|d| matches!(d.verdict, Verdict::Undecided(_))) {
        "?"
    } else {
        "-"
    }
}

fn check(what: &str, policies: &[Value], expected: &str) -> Path {
    let path = judged(policies);
    assert_eq!(outcome(&path), expected, "{what}: {path:#?}");
    path
}

/// One policy of the server's namespace with this ingress, for the server's pods.
fn ingress(rules: Value) -> Value {
    policy("prod", json!({"podSelector": {"matchLabels": {"app": "redis"}}, "ingress": rules}))
}

/// One policy of the client's namespace with this egress beside the names.
fn egress(rules: &[Value]) -> Value {
    let mut all = vec![json!({"ports": [{"port": 53, "protocol": "UDP"}]})];
    all.extend(rules.iter().cloned());
    policy("web", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": all}))
}

fn labels(value: Value) -> Value {
    json!({"matchLabels": value})
}

#[test]
fn isolation() {
    check("no policy selects them", &[], "-");
    check(
        "default deny of ingress",
        &[policy("prod", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))],
        "ingress",
    );
    check(
        "default deny without policyTypes is one of ingress",
        &[policy("prod", json!({"podSelector": {}}))],
        "ingress",
    );
    check(
        "default deny of egress",
        &[policy("web", json!({"podSelector": {}, "policyTypes": ["Egress"]}))],
        "dns",
    );
    check(
        "default deny of both, at the client",
        &[policy("web", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))],
        "dns",
    );
    check("ingress of the client does not matter", &[policy("web", json!({"podSelector": {}}))], "-");
    check(
        "egress of the server does not matter",
        &[policy("prod", json!({"podSelector": {}, "policyTypes": ["Egress"]}))],
        "-",
    );
    check("a policy of another namespace", &[policy("stage", json!({"podSelector": {}}))], "-");
    check(
        "a policy for other pods",
        &[policy("prod", json!({"podSelector": labels(json!({"app": "web"}))}))],
        "-",
    );
    // networking/v1: without policyTypes an egress section limits egress, an empty one does not.
    check(
        "policyTypes by default with egress rules",
        &[policy(
            "web",
            json!({"podSelector": {}, "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}),
        )],
        "egress",
    );
    check(
        "policyTypes by default with an empty egress",
        &[policy("web", json!({"podSelector": {}, "egress": []}))],
        "-",
    );
    check(
        "policyTypes of Egress alone leave ingress open",
        &[policy("prod", json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": []}))],
        "-",
    );
}

#[test]
fn rules() {
    check("an empty rule admits all", &[ingress(json!([{}]))], "-");
    check("an empty list of rules admits none", &[ingress(json!([]))], "ingress");
    check("an empty from means everybody", &[ingress(json!([{"from": [], "ports": [{"port": 6379}]}]))], "-");
    check("policies add up", &[policy("prod", json!({"podSelector": {}})), ingress(json!([{}]))], "-");
    check(
        "any rule is enough",
        &[ingress(json!([{"ports": [{"port": 1}]}, {"ports": [{"port": 6379}]}]))],
        "-",
    );
    check("both ends must agree", &[ingress(json!([{}])), egress(&[])], "egress");
    check(
        "both ends agree",
        &[ingress(json!([{}])), egress(&[json!({"to": [{"namespaceSelector": {}}]})])],
        "-",
    );
}

#[test]
fn peers() {
    let from = |peers: Value| ingress(json!([{"from": peers}]));
    let worker = || labels(json!({"app": "worker"}));
    let shop = || labels(json!({"team": "shop"}));
    let own = check(
        "a podSelector alone means the policy's own namespace",
        &[from(json!([{"podSelector": worker()}]))],
        "ingress",
    );
    assert!(own.ingress.unwrap().misses[0].contains("pods of prod, and the client (web/worker-1) is in web"));
    check("an empty podSelector too", &[from(json!([{"podSelector": {}}]))], "ingress");
    check("a namespaceSelector means all its pods", &[from(json!([{"namespaceSelector": shop()}]))], "-");
    check(
        "an empty namespaceSelector means all namespaces",
        &[from(json!([{"namespaceSelector": {}}]))],
        "-",
    );
    check(
        "both in one item: and, both fit",
        &[from(json!([{"namespaceSelector": shop(), "podSelector": worker()}]))],
        "-",
    );
    let and = check(
        "both in one item: and, the pod does not fit",
        &[from(json!([{"namespaceSelector": shop(), "podSelector": labels(json!({"app": "api"}))}]))],
        "ingress",
    );
    assert!(and.ingress.unwrap().misses[0].contains("in the same item wants app=api, there is app=worker"));
    let and = check(
        "both in one item: and, the namespace does not fit",
        &[from(json!([{"namespaceSelector": labels(json!({"team": "data"})), "podSelector": worker()}]))],
        "ingress",
    );
    assert!(and.ingress.unwrap().misses[0].contains("the podSelector fits, but the namespaceSelector"));
    check(
        "two items: or, the namespace fits",
        &[from(json!([{"namespaceSelector": shop()}, {"podSelector": labels(json!({"app": "api"}))}]))],
        "-",
    );
    check(
        "two items: or, neither fits",
        &[from(json!([{"namespaceSelector": labels(json!({"team": "x"}))}, {"podSelector": worker()}]))],
        "ingress",
    );
    check(
        "by the name every namespace has",
        &[from(json!([{"namespaceSelector": labels(json!({"kubernetes.io/metadata.name": "web"}))}]))],
        "-",
    );
    check("a peer that names nobody is none", &[from(json!([{}]))], "?");
}

#[test]
fn expressions() {
    let from = |e: Value| {
        ingress(json!([{"from": [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [e]}}]}]))
    };
    check("In", &[from(json!({"key": "app", "operator": "In", "values": ["api", "worker"]}))], "-");
    check("NotIn", &[from(json!({"key": "app", "operator": "NotIn", "values": ["worker"]}))], "ingress");
    check("NotIn without the label", &[from(json!({"key": "x", "operator": "NotIn", "values": ["y"]}))], "-");
    check("Exists", &[from(json!({"key": "tier", "operator": "Exists"}))], "-");
    check("DoesNotExist", &[from(json!({"key": "tier", "operator": "DoesNotExist"}))], "ingress");
    check(
        "one that is not known is not guessed at",
        &[from(json!({"key": "tier", "operator": "Gt", "values": ["1"]}))],
        "?",
    );
    let subject = policy(
        "prod",
        json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["redis"]}]}}),
    );
    check("of the subject", &[subject], "ingress");
}

#[test]
fn ports() {
    let on = |port: Value| ingress(json!([{"ports": [port]}]));
    check("a number", &[on(json!({"port": 6379}))], "-");
    let other = check("another number", &[on(json!({"port": 6380}))], "ingress");
    assert!(other.ingress.unwrap().misses[0].contains("it names port TCP 6380, not TCP 6379"));
    check("the pod's name for it", &[on(json!({"port": "redis"}))], "-");
    check("a name it does not have", &[on(json!({"port": "client"}))], "ingress");
    check("another protocol", &[on(json!({"port": 6379, "protocol": "UDP"}))], "ingress");
    check("a protocol alone", &[on(json!({"protocol": "TCP"}))], "-");
    check("a range that holds it", &[on(json!({"port": 6000, "endPort": 6400}))], "-");
    check("a range that does not", &[on(json!({"port": 6000, "endPort": 6378}))], "ingress");
    check(
        "a name out of the client: the pod dialled names it",
        &[egress(&[json!({"ports": [{"port": "redis"}]})])],
        "-",
    );
}

#[test]
fn networks() {
    let from = |block: Value| ingress(json!([{"from": [{"ipBlock": block}]}]));
    let admitted = check("a block that holds the client", &[from(json!({"cidr": "10.244.0.0/16"}))], "-");
    assert!(matches!(admitted.ingress.unwrap().verdict, Verdict::Allowed { by_block: true, .. }));
    check("a block that does not", &[from(json!({"cidr": "192.168.0.0/16"}))], "ingress");
    let except = check(
        "taken out of the block",
        &[from(json!({"cidr": "10.0.0.0/8", "except": ["10.244.2.0/24"]}))],
        "ingress",
    );
    assert!(except.ingress.unwrap().misses[0].contains("takes 10.244.2.0/24 out"));
    check("another part taken out", &[from(json!({"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"]}))], "-");
    check(
        "the Service's address is not what policies see",
        &[egress(&[json!({"to": [{"ipBlock": {"cidr": "10.96.0.10/32"}}]})])],
        "egress",
    );
    check("a network that is none", &[from(json!({"cidr": "10.0.0.0/99"}))], "?");
}

#[test]
fn names() {
    let out =
        |rules: Value| policy("web", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}));
    let redis = json!({"to": [{"namespaceSelector": labels(json!({"kubernetes.io/metadata.name": "prod"}))}], "ports": [{"port": 6379}]});
    check("redis alone leaves the names out", &[out(json!([redis]))], "dns");
    check("TCP 53 is not what resolvers ask by", &[out(json!([redis, {"ports": [{"port": 53}]}]))], "dns");
    let dns = json!({"to": [{"namespaceSelector": labels(json!({"kubernetes.io/metadata.name": "kube-system"})), "podSelector": labels(json!({"k8s-app": "kube-dns"}))}], "ports": [{"port": 53, "protocol": "UDP"}]});
    check("redis and the name servers", &[out(json!([redis, dns]))], "-");
    let mine = json!({"to": [{"podSelector": labels(json!({"k8s-app": "kube-dns"}))}], "ports": [{"port": 53, "protocol": "UDP"}]});
    check("name servers sought in the own namespace", &[out(json!([redis, mine]))], "dns");
    // A node-local cache listens on the node: only an address can name it.
    let local = json!({"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [{"port": 53, "protocol": "UDP"}]});
    check("a name server that is no pod", &[out(json!([redis, local]))], "?");
    let k8s = asked(&cluster(&[world(), vec![out(json!([redis]))]].concat()), "10.244.1.5", 6379);
    assert!(path(&k8s, "10.244.1.5", 6379, None).unwrap().dns.is_none(), "an address needs no names");
}

#[test]
fn what_is_not_known_is_not_judged() {
    // Policies not among what was saved.
    let bare: Vec<Value> = world().into_iter().filter(|o| o["kind"] != "NetworkPolicy").collect();
    let k8s = asked(&cluster(&bare), "redis.prod.svc", 6379);
    assert_eq!(outcome(&path(&k8s, "redis.prod.svc", 6379, None).unwrap()), "?");
    // A pod of the node's network.
    let mut items = world();
    items[4]["spec"]["hostNetwork"] = json!(true);
    items.push(ingress(json!([])));
    let k8s = asked(&cluster(&items), "redis.prod.svc", 6379);
    assert_eq!(outcome(&path(&k8s, "redis.prod.svc", 6379, None).unwrap()), "?");
    // The namespace's labels, when its object was not saved.
    let mut items: Vec<Value> = world().into_iter().filter(|o| o["metadata"]["name"] != "web").collect();
    items.push(ingress(json!([{"from": [{"namespaceSelector": labels(json!({"team": "shop"}))}]}])));
    let k8s = asked(&cluster(&items), "redis.prod.svc", 6379);
    assert_eq!(outcome(&path(&k8s, "redis.prod.svc", 6379, None).unwrap()), "?");
}

#[test]
fn a_client_outside_is_known_by_its_address_alone() {
    let decide = |policies: Value, address: &str| {
        let mut items = world();
        items.push(policies);
        let question =
            crate::kube::Question { host: "redis.prod.svc".to_owned(), port: 6379, ..Default::default() };
        let k8s = crate::kube::excerpt(&cluster(&items), &question);
        outcome(&path(&k8s, "redis.prod.svc", 6379, address.parse().ok()).unwrap())
    };
    assert_eq!(decide(ingress(json!([{"from": [{"namespaceSelector": {}}]}])), "203.0.113.9"), "ingress");
    assert_eq!(
        decide(ingress(json!([{"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}])), "203.0.113.9"),
        "-"
    );
    // A node may put its own address in place.
    assert_eq!(
        decide(ingress(json!([{"from": [{"ipBlock": {"cidr": "192.168.1.0/24"}}]}])), "203.0.113.9"),
        "?"
    );
}
