//! Network policies (networking.k8s.io/v1).

use super::service::either;
use super::{labels, list, name, port};
use crate::evidence::kube::{Expression, Key, Peer, Policy, Rule, RulePort, Selector};
use serde_json::Value;

pub(super) fn policy(key: Key, object: &Value) -> Policy {
    let spec = &object["spec"];
    let mut odd = None;
    let types: Vec<_> = list(&spec["policyTypes"]).filter_map(Value::as_str).collect();
    let egress: Vec<Rule> = list(&spec["egress"]).map(|r| rule(r, &r["to"], &mut odd)).collect();
    // Not said: Ingress always, Egress where there is a rule for it (networking/v1, SetDefaults_NetworkPolicy).
    let limits_egress = if types.is_empty() { !egress.is_empty() } else { types.contains(&"Egress") };
    Policy {
        key,
        pods: selector(&spec["podSelector"], &mut odd),
        limits_ingress: types.is_empty() || types.contains(&"Ingress"),
        limits_egress,
        ingress: list(&spec["ingress"]).map(|r| rule(r, &r["from"], &mut odd)).collect(),
        egress,
        odd,
    }
}

fn rule(rule: &Value, peers: &Value, odd: &mut Option<String>) -> Rule {
    Rule {
        peers: list(peers).map(|p| peer(p, odd)).collect(),
        ports: list(&rule["ports"])
            .map(|p| RulePort {
                protocol: name(&p["protocol"]).unwrap_or_else(|| "TCP".to_owned()),
                port: either(&p["port"]),
                end: port(&p["endPort"]),
            })
            .collect(),
    }
}

fn peer(value: &Value, odd: &mut Option<String>) -> Peer {
    let block = value["ipBlock"].is_object().then(|| {
        let cidr = name(&value["ipBlock"]["cidr"]).unwrap_or_default();
        if super::super::net::Network::parse(&cidr).is_none() {
            *odd = Some(format!("the network {cidr} is none"));
        }
        (cidr, list(&value["ipBlock"]["except"]).filter_map(name).collect())
    });
    let mut part = |field: &str| value[field].is_object().then(|| selector(&value[field], odd));
    let peer = Peer { pods: part("podSelector"), namespaces: part("namespaceSelector"), block };
    if peer == Peer::default() {
        *odd = Some("a peer names nobody".to_owned());
    }
    peer
}

fn selector(value: &Value, odd: &mut Option<String>) -> Selector {
    let expressions: Vec<Expression> = list(&value["matchExpressions"])
        .map(|e| Expression {
            key: name(&e["key"]).unwrap_or_default(),
            operator: name(&e["operator"]).unwrap_or_default(),
            values: list(&e["values"]).filter_map(name).collect(),
        })
        .collect();
    for e in &expressions {
        if !matches!(e.operator.as_str(), "In" | "NotIn" | "Exists" | "DoesNotExist") {
            *odd = Some(format!("the operator {} is not known", e.operator));
        }
    }
    Selector { labels: labels(&value["matchLabels"]), expressions }
}
