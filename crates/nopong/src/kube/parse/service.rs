//! Services and their endpoints.

use super::{labels, list, name, port, text};
use crate::evidence::kube::{Endpoint, Key, Port, Service, ServicePort, Slice};
use serde_json::Value;

/// The label that names the Service of a slice (discovery/v1, LabelServiceName).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn service(key: Key, object: &Value) -> Service {
    let (spec, status) = (&object["spec"], &object["status"]);
    let first = text(&spec["clusterIP"]);
    let real = |v: &Value| name(v).filter(|a| a != "None");
    let mut addresses: Vec<String> = list(&spec["clusterIPs"]).filter_map(real).collect();
    if addresses.is_empty() {
        addresses.extend(real(&spec["clusterIP"]));
    }
    let balancer = list(&status["loadBalancer"]["ingress"]);
    let selector = labels(&spec["selector"]);
    Service {
        key,
        kind: name(&spec["type"]).unwrap_or_else(|| "ClusterIP".to_owned()),
        addresses,
        outside: list(&spec["externalIPs"])
            .filter_map(name)
            .chain(balancer.filter_map(|i| name(&i["ip"]).or_else(|| name(&i["hostname"]))))
            .collect(),
        headless: first == Some("None"),
        // An empty selector is none: nobody then keeps the endpoints.
        selector: (!selector.is_empty()).then_some(selector),
        ports: list(&spec["ports"]).filter_map(service_port).collect(),
        external_name: name(&spec["externalName"]).filter(|_| spec["type"] == "ExternalName"),
        publish_not_ready: spec["publishNotReadyAddresses"] == true,
        local_only: spec["internalTrafficPolicy"] == "Local",
        created: name(&object["metadata"]["creationTimestamp"]),
    }
}

fn service_port(value: &Value) -> Option<ServicePort> {
    let number = port(&value["port"])?;
    Some(ServicePort {
        name: name(&value["name"]),
        port: number,
        protocol: name(&value["protocol"]).unwrap_or_else(|| "TCP".to_owned()),
        // Without one it is the port itself (core/v1, ServicePort.targetPort).
        target: either(&value["targetPort"]).unwrap_or(Port::Number(number)),
        node_port: port(&value["nodePort"]),
    })
}

/// A number or a name (util/intstr). Digits in a text are a number to nobody but the reader: they stay a name.
pub(super) fn either(value: &Value) -> Option<Port> {
    port(value).filter(|p| *p > 0).map(Port::Number).or_else(|| name(value).map(Port::Name))
}

pub(super) fn slice(namespace: &str, object: &Value) -> Option<Slice> {
    let service = name(&object["metadata"]["labels"][SERVICE_NAME])?;
    Some(Slice {
        service: Key { namespace: namespace.to_owned(), name: service },
        ports: list(&object["ports"]).filter_map(|p| Some((name(&p["name"]), port(&p["port"])?))).collect(),
        endpoints: list(&object["endpoints"])
            .map(|e| Endpoint {
                addresses: list(&e["addresses"]).filter_map(name).collect(),
                ready: e["conditions"]["ready"].as_bool(),
                terminating: e["conditions"]["terminating"] == true,
                pod: name(&e["targetRef"]["name"]).filter(|_| e["targetRef"]["kind"] == "Pod"),
                // v1beta1 had it among the topology.
                node: name(&e["nodeName"]).or_else(|| name(&e["topology"]["kubernetes.io/hostname"])),
            })
            .collect(),
    })
}

/// Endpoints of the core group, as slices: each subset has ports of its own.
pub(super) fn endpoints(key: &Key, object: &Value) -> Vec<Slice> {
    let of = |address: &Value, ready: bool| Endpoint {
        addresses: name(&address["ip"]).into_iter().collect(),
        ready: Some(ready),
        terminating: false,
        pod: name(&address["targetRef"]["name"]).filter(|_| address["targetRef"]["kind"] == "Pod"),
        node: name(&address["nodeName"]),
    };
    let subset = |s: &Value| Slice {
        service: key.clone(),
        ports: list(&s["ports"]).filter_map(|p| Some((name(&p["name"]), port(&p["port"])?))).collect(),
        endpoints: list(&s["addresses"])
            .map(|a| of(a, true))
            .chain(list(&s["notReadyAddresses"]).map(|a| of(a, false)))
            .collect(),
    };
    let mut slices: Vec<Slice> = list(&object["subsets"]).map(subset).collect();
    if slices.is_empty() {
        slices.push(Slice { service: key.clone(), ..Slice::default() });
    }
    slices
}
