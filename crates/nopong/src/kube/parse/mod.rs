//! JSON as `kubectl get -o json` and the API server write it, into the model. Foreign: bounded in size, depth and number,
//! and what does not fit is left out, never an error of the whole: one odd object must not hide the others.

mod pod;
mod policy;
mod service;

use super::cluster::Cluster;
use crate::evidence::kube::{Key, Labels, Namespace, Workload};
use crate::text::{json_fault, shown_str};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Largest answer or file. The pods of a namespace of 1,000 take some 10 MiB.
pub const MAX: usize = 32 << 20;
/// Most objects kept of one file.
const OBJECTS_MAX: usize = 50_000;
/// Longest name or label taken: a DNS subdomain (RFC 1123) has 253 characters, a label's key prefix and name 317.
const NAME_MAX: usize = 320;
/// Longest message taken.
const MESSAGE_MAX: usize = 400;
/// Most entries of any list inside an object.
pub(super) const LIST_MAX: usize = 256;

/// Reads a list, or one object, into the cluster; what is wrong with the text otherwise.
pub fn read(bytes: &[u8], cluster: &mut Cluster) -> Result<(), String> {
    /// What tells a list's kind before its items are read, wherever it stands.
    #[derive(serde::Deserialize)]
    struct Header {
        kind: Option<String>,
        #[serde(rename = "apiVersion")]
        version: Option<String>,
    }
    if bytes.len() > MAX {
        return Err(format!(
            "more than {} MiB: save the namespaces concerned only (kubectl get … -n NAMESPACE -o json)",
            MAX >> 20
        ));
    }
    // serde_json itself bounds the depth to 128.
    let header: Header = serde_json::from_slice(bytes).map_err(|e| json_fault(&e))?;
    let Some(kind) = header.kind.filter(|_| header.version.is_some()) else {
        return Err(
            "no object of Kubernetes: it has no kind and apiVersion (kubectl get … -o json)".to_owned()
        );
    };
    let mut document = serde_json::Deserializer::from_slice(bytes);
    let of = kind.strip_suffix("List").unwrap_or_default();
    document.deserialize_map(Top { cluster, of, listed: 0 }).map_err(|e| json_fault(&e))?;
    if !of.is_empty() {
        cluster.listed_whole(of);
    }
    Ok(())
}

/// The outermost object. Items go into the model one by one: only one of them is in memory as JSON at a time.
struct Top<'a> {
    cluster: &'a mut Cluster,
    of: &'a str,
    listed: usize,
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut own = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                self.listed += 1;
                map.next_value_seed(Items { cluster: self.cluster, of: self.of })?;
            } else {
                own.insert(key, map.next_value()?);
            }
        }
        let own = Value::Object(own);
        if self.listed == 0 {
            self.cluster.take(&own, "");
        } else if text(&own["metadata"]["continue"]).is_some() {
            self.cluster.cut_short(self.of);
        }
        Ok(())
    }
}

/// The items of a list; those of a typed list carry no kind of their own.
struct Items<'a> {
    cluster: &'a mut Cluster,
    of: &'a str,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut left = OBJECTS_MAX;
        while left > 0 {
            let Some(item) = items.next_element::<Value>()? else { return Ok(()) };
            self.cluster.take(&item, self.of);
            left -= 1;
        }
        self.cluster.cut_short(self.of);
        while items.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl Cluster {
    /// One object, of its own kind or else of the list's.
    fn take(&mut self, object: &Value, of: &str) {
        let kind = object["kind"].as_str().unwrap_or(of);
        let group = object["apiVersion"].as_str().and_then(|v| v.split_once('/')).map_or("", |(g, _)| g);
        let Some(key) = key(object) else { return };
        match kind {
            "Service" => self.services.push(service::service(key.clone(), object)),
            "EndpointSlice" => self.slices.extend(service::slice(&key.namespace, object)),
            "Endpoints" => self.endpoints.extend(service::endpoints(&key, object)),
            "Pod" => {
                self.plugins.extend(super::plugins::of_pod(object));
                self.pods.push(pod::pod(key.clone(), object));
            }
            "DaemonSet" => self.plugins.extend(super::plugins::of_daemon_set(object)),
            "NetworkPolicy" if matches!(group, "" | "networking.k8s.io" | "extensions") => {
                self.policies.push(policy::policy(key.clone(), object));
            }
            "Namespace" => {
                self.namespaces.push(Namespace {
                    name: key.name.clone(),
                    labels: labels(&object["metadata"]["labels"]),
                });
            }
            "Deployment" | "StatefulSet" => self.workloads.push(workload(kind, key.clone(), object)),
            "PeerAuthentication" if object["spec"]["mtls"]["mode"] == "STRICT" => {
                self.strict_mtls.push(key.clone());
            }
            // Calico's has the same kind in a group of its own.
            "NetworkPolicy"
            | "GlobalNetworkPolicy"
            | "CiliumNetworkPolicy"
            | "CiliumClusterwideNetworkPolicy"
            | "AdminNetworkPolicy"
            | "BaselineAdminNetworkPolicy"
            | "ClusterNetworkPolicy" => self.others.push(format!("{kind} {}", place(&key))),
            _ => return,
        }
        self.seen(kind, &key.namespace, &key.name);
    }
}

fn place(key: &Key) -> String {
    if key.namespace.is_empty() { key.name.clone() } else { key.to_string() }
}

fn workload(kind: &str, key: Key, object: &Value) -> Workload {
    let stuck = |c: &&Value| c["type"] == "ReplicaFailure" && c["status"] == "True";
    Workload {
        kind: kind.to_owned(),
        key,
        replicas: object["spec"]["replicas"].as_u64().map_or(1, |n| n.min(u64::from(u32::MAX)) as u32),
        labels: labels(&object["spec"]["template"]["metadata"]["labels"]),
        trouble: list(&object["status"]["conditions"]).find(stuck).and_then(|c| message(&c["message"])),
    }
}

/// Namespace and name; an object without a name is none.
fn key(object: &Value) -> Option<Key> {
    let metadata = &object["metadata"];
    Some(Key { namespace: name(&metadata["namespace"]).unwrap_or_default(), name: name(&metadata["name"])? })
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|t| !t.is_empty())
}

/// A name, made harmless and bounded.
pub(super) fn name(value: &Value) -> Option<String> {
    text(value).map(|t| shown_str(t, NAME_MAX))
}

/// A message: bounded, without what looks like a secret.
pub(super) fn message(value: &Value) -> Option<String> {
    text(value).map(said)
}

/// What a foreign program said, fit to be shown: image pulls quote URLs with logins, containers their configuration.
pub(super) fn said(text: &str) -> String {
    let words = text.split(' ').map(|word| match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}***{}", &word[..scheme + 3], &word[at..]),
        _ => word.to_owned(),
    });
    let lines: Vec<_> =
        words.collect::<Vec<_>>().join(" ").lines().map(crate::evidence::redact::line).collect();
    shown_str(lines.join(" ").trim(), MESSAGE_MAX)
}

/// The entries of a list, bounded; none of anything else.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().take(LIST_MAX)
}

/// A map of texts.
pub(super) fn labels(value: &Value) -> Labels {
    let Some(map) = value.as_object() else { return Labels::new() };
    let entry = |(k, v): (&String, &Value)| Some((shown_str(k, NAME_MAX), shown_str(v.as_str()?, NAME_MAX)));
    map.iter().take(LIST_MAX).filter_map(entry).collect()
}

/// A port number.
pub(super) fn port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|n| u16::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::{MAX, read, said};
    use crate::kube::cluster::Cluster;

    fn parsed(text: &str) -> Result<Cluster, String> {
        let mut cluster = Cluster::default();
        read(text.as_bytes(), &mut cluster).map(|()| cluster)
    }

    #[test]
    fn lists_of_kubectl_and_of_the_server() {
        let kubectl = r#"{"apiVersion":"v1","items":[{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"prod"}}],"kind":"List"}"#;
        assert_eq!(parsed(kubectl).unwrap().namespaces[0].name, "prod");
        // Items of a typed list have no kind; the list's own may come after them.
        let raw = r#"{"items":[{"metadata":{"name":"prod"}}],"apiVersion":"v1","kind":"NamespaceList"}"#;
        assert_eq!(parsed(raw).unwrap().namespaces.len(), 1);
        let one = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"prod"}}"#;
        assert_eq!(parsed(one).unwrap().namespaces.len(), 1);
        assert!(parsed(r#"{"apiVersion":"v1","kind":"PodList","items":null}"#).unwrap().pods.is_empty());
    }

    #[test]
    fn what_is_none_is_said_with_its_place() {
        let says = |text: &str| parsed(text).expect_err("is refused");
        assert!(says("").contains("cut off"));
        assert!(says("{}").contains("no kind"));
        assert!(says("[]").contains("line 1"));
        assert!(says("{\"kind\":\"List\",\"apiVersion\":\"v1\",\n\"items\":7}").contains("line 2"));
        let deep = format!(
            "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":{}{}}}",
            "[".repeat(999),
            "]".repeat(999)
        );
        assert!(says(&deep).contains("nested"));
        assert!(says(&" ".repeat(MAX + 1)).contains("32 MiB"));
    }

    #[test]
    fn odd_objects_do_not_hide_the_others() {
        let text = r#"{"apiVersion":"v1","kind":"List","items":[7,null,{"kind":"Pod"},{"kind":"Pod","metadata":[]},
            {"kind":"Pod","metadata":{"name":"a","namespace":"p"},"spec":"x","status":[1]},
            {"kind":"Service","metadata":{"name":"r","namespace":"p"},"spec":{"ports":[{"port":99999},{"port":6379,"targetPort":{}}]}}]}"#;
        let cluster = parsed(text).unwrap();
        assert_eq!((cluster.pods.len(), cluster.services[0].ports.len()), (1, 1));
    }

    #[test]
    fn a_custom_policy_is_not_taken_for_the_standard_one() {
        let text = r#"{"apiVersion":"crd.projectcalico.org/v1","kind":"NetworkPolicy","metadata":{"name":"a","namespace":"p"}}"#;
        let cluster = parsed(text).unwrap();
        assert!(cluster.policies.is_empty());
        assert_eq!(cluster.others, ["NetworkPolicy p/a"]);
    }

    #[test]
    fn messages_lose_their_secrets() {
        let pull = "failed to pull image \"https://bob:hunter2@registry.example/x\": denied";
        assert!(!said(pull).contains("hunter2") && said(pull).contains("registry.example"));
        assert!(!said("FATAL\n>>> 'requirepass hunter2'\n").contains("hunter2"));
        assert!(!said("a\u{1b}[31m").contains('\u{1b}'));
    }
}
