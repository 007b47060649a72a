//! Network plugins, recognised by their agents: whether network policies are enforced at all is theirs to say.
//!
//! Sources: the projects' own manifests (labels and names of their DaemonSets).

use super::parse::{labels, list};
use crate::evidence::kube::Plugin;
use serde_json::Value;

/// Value of the agent's usual label or DaemonSet name, the plugin, and whether it enforces policies as installed by its
/// own manifest. None: only where a feature is switched on.
const AGENTS: &[(&str, &str, Option<bool>)] = &[
    ("calico-node", "Calico", Some(true)),
    ("canal", "Canal", Some(true)),
    ("cilium", "Cilium", Some(true)),
    ("kube-router", "kube-router", Some(true)),
    ("weave-net", "Weave Net", Some(true)),
    ("antrea", "Antrea", Some(true)),
    ("antrea-agent", "Antrea", Some(true)),
    ("ovnkube-node", "OVN-Kubernetes", Some(true)),
    ("kube-ovn-cni", "Kube-OVN", Some(true)),
    ("azure-npm", "Azure NPM", Some(true)),
    ("kube-network-policies", "kube-network-policies", Some(true)),
    // The VPC plugin has a policy agent since 1.14, off by default; kindnet since kind 0.24.
    ("aws-node", "the AWS VPC plugin", None),
    ("kindnet", "kindnet", None),
    ("flannel", "flannel", Some(false)),
    ("kube-flannel-ds", "flannel", Some(false)),
];

fn by_word(word: &str) -> Option<Plugin> {
    let (_, name, enforces) = AGENTS.iter().find(|(agent, ..)| *agent == word)?;
    Some(Plugin { name: (*name).to_owned(), enforces: *enforces })
}

/// A pod of an agent: its labels tell.
pub(super) fn of_pod(object: &Value) -> Vec<Plugin> {
    if list(&object["metadata"]["ownerReferences"]).all(|o| o["kind"] != "DaemonSet") {
        return Vec::new();
    }
    let labels = labels(&object["metadata"]["labels"]);
    let named = ["k8s-app", "app", "name", "component", "app.kubernetes.io/name"];
    let by_label = named.iter().find_map(|l| by_word(labels.get(*l)?));
    by_label.into_iter().chain(with_policies(&object["spec"])).collect()
}

/// A DaemonSet: its name tells.
pub(super) fn of_daemon_set(object: &Value) -> Vec<Plugin> {
    let by_name = object["metadata"]["name"].as_str().and_then(by_word);
    by_name.into_iter().chain(with_policies(&object["spec"]["template"]["spec"])).collect()
}

/// A policy agent beside a plugin that has none: flannel's chart can add one.
fn with_policies(spec: &Value) -> Option<Plugin> {
    list(&spec["containers"]).find(|c| c["name"] == "kube-network-policies")?;
    by_word("kube-network-policies")
}

#[cfg(test)]
mod tests {
    use super::{of_daemon_set, of_pod};
    use serde_json::json;

    #[test]
    fn by_name_and_label() {
        let names = |v: Vec<super::Plugin>| v.into_iter().map(|p| (p.name, p.enforces)).collect::<Vec<_>>();
        let set = json!({"metadata": {"name": "kube-flannel-ds"}});
        assert_eq!(names(of_daemon_set(&set)), [("flannel".to_owned(), Some(false))]);
        let owner = json!([{"kind": "DaemonSet", "name": "cilium"}]);
        let pod = json!({"metadata": {"labels": {"k8s-app": "cilium"}, "ownerReferences": owner}});
        assert_eq!(names(of_pod(&pod)), [("Cilium".to_owned(), Some(true))]);
        // Anybody may call an application of theirs "canal".
        assert!(of_pod(&json!({"metadata": {"labels": {"app": "canal"}}})).is_empty());
    }
}
