//! `--kube`, `--kube-json`, and pods as places to stand.

use super::{Fail, io};
use crate::evidence::Why;
use crate::evidence::kube::{Key, Pod};
use crate::kube::{self, Cluster};
use crate::probe::client::kubernetes::Objects;
use crate::vantage::kubectl::{self, Kubectl};
use crate::vantage::{Far, Vantage};
use crate::{sys, text};
use std::path::PathBuf;
use std::sync::Arc;

/// Which cluster's objects are read.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct KubeArgs {
    /// Read the cluster's objects through kubectl, whatever the target's name looks like
    #[arg(long, conflicts_with = "kube_json", help_heading = "Kubernetes")]
    kube: bool,
    /// Judge by saved objects instead: kubectl get svc,endpointslices,pods,networkpolicies,namespaces -A -o json > FILE;
    /// may be repeated. With --from pod:NAMESPACE/NAME nobody dials: that client is judged from the objects alone
    #[arg(long, value_name = "FILE", help_heading = "Kubernetes")]
    kube_json: Vec<PathBuf>,
    /// Look from a pod whose image has no shell by an ephemeral container of this image (kubectl debug), which stays listed in
    /// the pod until that ends; without it a copy of nopong is brought in by kubectl exec, and removed
    #[arg(long, value_name = "IMAGE", value_parser = kubectl::image_name, help_heading = "Kubernetes")]
    debug_image: Option<String>,
}

impl KubeArgs {
    /// What the probes are to read.
    pub(super) fn objects(&self, from: &Vantage, server: Option<&Vantage>) -> Result<Objects, Fail> {
        let mut objects = Objects { live: self.kube, ..Objects::default() };
        if !self.kube_json.is_empty() {
            objects.saved = Some(self.saved()?);
        }
        objects.client = self.key(from)?;
        objects.server = server.map(|s| self.key(s)).transpose()?.flatten();
        objects.alone = objects.client.is_some() && objects.saved.is_some();
        if let (Some((cluster, names)), Some(key)) = (&objects.saved, &objects.client)
            && cluster.pod(key).is_none()
        {
            return Err(Fail::usage(format!("no pod {key} in {names}")));
        }
        Ok(objects)
    }

    /// The pod of a place, its namespace that of kubectl's context unless given.
    fn key(&self, place: &Vantage) -> Result<Option<Key>, Fail> {
        let Vantage::Pod(namespace, name) = place else { return Ok(None) };
        if let Some(namespace) = namespace {
            return Ok(Some(Key { namespace: namespace.clone(), name: name.clone() }));
        }
        if !self.kube_json.is_empty() {
            return Err(Fail::usage(format!("pod:{name}: of which namespace? Write pod:NAMESPACE/{name}")));
        }
        let kubectl = Kubectl::find().map_err(|why| Fail::usage(format!("pod:{name}: {why}")))?;
        Ok(Some(kubectl::key(&kubectl, None, name)))
    }

    /// Enters a pod. A pod that does not exist is an error; one that cannot be entered is not.
    pub(super) fn enter(&self, key: &Key) -> Result<Entrance, Why> {
        let kubectl = Kubectl::find()?;
        let pod = pod(&kubectl, key)?;
        if let Some(pid) = process_here(&pod) {
            return Ok(Entrance::Here(pid));
        }
        let running = pod.containers.iter().find(|c| !c.init && c.state == "running");
        let Some(container) = running.map(|c| c.name.as_str()) else {
            return Ok(Entrance::None(Why::Failed { what: "none of its containers runs".to_owned() }));
        };
        let carrier = match &self.debug_image {
            Some(image) => kubectl.debug(key, Some(container), image),
            None => kubectl.exec(key, Some(container)),
        };
        let mut progress = io::Progress::shown_at_once();
        let far = Far::open(&carrier, false, &mut |text| progress.say(text));
        Ok(far.map_or_else(Entrance::None, |far| Entrance::Far(Arc::new(far))))
    }

    fn saved(&self) -> Result<(Arc<Cluster>, String), Fail> {
        let mut cluster = Cluster::default();
        let mut names = Vec::new();
        for path in &self.kube_json {
            let name = text::shown_str(&path.to_string_lossy(), 200);
            let read = if path.as_os_str() == "-" {
                sys::read_stdin(kube::MAX + 1)
            } else {
                sys::read(path, kube::MAX + 1)
            };
            let bytes =
                read.map_err(|e| Fail::usage(format!("{name} cannot be read: {}", sys::errno_name(&e))))?;
            kube::read(&bytes, &mut cluster).map_err(|e| Fail::usage(format!("{name}: {e}")))?;
            names.push(name);
        }
        Ok((Arc::new(cluster), names.join(", ")))
    }
}

/// How one gets into a pod.
pub(super) enum Entrance {
    /// It runs on this very node: by its process.
    Here(u32),
    /// Through kubectl, by a nopong in it.
    Far(Arc<Far>),
    /// Not at all, and why.
    None(Why),
}

/// A pod, asked of the API server.
fn pod(kubectl: &Kubectl, key: &Key) -> Result<Pod, Why> {
    let bytes = kubectl.get(&format!("/api/v1/namespaces/{}/pods/{}", key.namespace, key.name));
    let missing = || Why::Missing { what: format!("pod {key} (kubectl's context: {})", kubectl.context) };
    let bytes = bytes.map_err(|why| if matches!(why, Why::Missing { .. }) { missing() } else { why })?;
    let mut cluster = Cluster::live();
    kube::read(&bytes, &mut cluster).map_err(|what| Why::Garbled { what: format!("pod {key}: {what}") })?;
    cluster.pod(key).cloned().ok_or_else(missing)
}

/// The process of a pod that runs on this very node, where we may enter it.
fn process_here(pod: &Pod) -> Option<u32> {
    if nix::unistd::geteuid().is_root() { kubectl::pid_here(pod) } else { None }
}
