//! Everything that was read, before it is known what matters.

use crate::evidence::kube::{Key, Namespace, Plugin, Pod, Policy, Read, Service, Slice, Workload};
use std::collections::{BTreeMap, BTreeSet};

/// Objects of a cluster as far as they were read.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    pub(super) services: Vec<Service>,
    pub(super) slices: Vec<Slice>,
    /// The core group's Endpoints: used where no slice was read.
    pub(super) endpoints: Vec<Slice>,
    pub(super) pods: Vec<Pod>,
    pub(super) policies: Vec<Policy>,
    pub(super) namespaces: Vec<Namespace>,
    pub(super) workloads: Vec<Workload>,
    pub(super) plugins: Vec<Plugin>,
    pub(super) others: Vec<String>,
    pub(super) strict_mtls: Vec<Key>,
    /// Objects seen, by kind and namespace.
    counts: BTreeMap<(String, String), usize>,
    /// Kinds of which every namespace was read.
    whole: BTreeSet<String>,
    /// Kinds and namespaces that were read, whether or not there was anything.
    asked: BTreeSet<(String, String)>,
    /// Kinds of which a part is missing.
    partial: BTreeSet<String>,
    /// Kinds that could not be read, and why.
    refused: BTreeMap<String, String>,
    /// Objects of the whole cluster were among them: the list was not of one namespace.
    everywhere: bool,
    /// Read from the server now, so that what was asked is known; nothing is concluded from what a list has in it.
    live: bool,
}

impl Cluster {
    /// One that is filled by asking the API server.
    pub fn live() -> Self {
        Self { live: true, ..Self::default() }
    }

    pub(super) fn seen(&mut self, kind: &str, namespace: &str, name: &str) {
        *self.counts.entry((kind.to_owned(), namespace.to_owned())).or_default() += 1;
        // What only a list of all namespaces has in it.
        self.everywhere |= kind == "Namespace"
            || namespace == "kube-system"
            || (namespace, name) == ("default", "kubernetes");
    }

    /// A typed list was read whole: there are no more of its kind in its scope.
    pub(super) fn listed_whole(&mut self, kind: &str) {
        if !self.live && !self.counts.keys().any(|(k, _)| k == kind) {
            self.whole.insert(kind.to_owned());
        }
    }

    pub(super) fn cut_short(&mut self, kind: &str) {
        self.partial.insert(kind.to_owned());
    }

    /// That kind was asked for in that namespace; in all without one.
    pub fn asked(&mut self, kind: &str, namespace: Option<&str>) {
        match namespace {
            Some(namespace) => self.asked.insert((kind.to_owned(), namespace.to_owned())),
            None => self.whole.insert(kind.to_owned()),
        };
    }

    /// That kind could not be read.
    pub fn refused(&mut self, kind: &str, why: String) {
        self.refused.insert(kind.to_owned(), why);
    }

    /// Every object of the kind in the namespace is known.
    fn complete(&self, kind: &str, namespace: &str) -> bool {
        let pair = (kind.to_owned(), namespace.to_owned());
        // kubectl prints all objects of a kind and namespace, or none: one seen means that all were.
        let listed = |kind: &str| self.counts.keys().any(|(k, _)| k == kind);
        !self.partial.contains(kind)
            && !self.partial.contains("")
            && (self.whole.contains(kind)
                || self.asked.contains(&pair)
                || (!self.live && (self.counts.contains_key(&pair) || (self.everywhere && listed(kind)))))
    }

    /// How reading a kind went, for the namespaces concerned.
    pub(super) fn read(&self, kind: &str, namespaces: &[&str]) -> Read {
        let count = self.counts.iter().filter(|((k, _), _)| k == kind).map(|(_, n)| n).sum();
        let complete = namespaces.iter().all(|n| self.complete(kind, n));
        let why = self.refused.get(kind).cloned().or_else(|| {
            (!complete).then(|| {
                if self.partial.contains(kind) {
                    "only a part was read".to_owned()
                } else {
                    "none was read: there may be none, or they were not asked for".to_owned()
                }
            })
        });
        Read { kind: kind.to_owned(), complete, count, why }
    }

    /// The namespace exists, as far as its own object or anything in it shows.
    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|n| n.name == name) || self.counts.keys().any(|(_, n)| n == name)
    }

    /// Some pod, for tests of any input.
    pub(super) fn any_pod(&self) -> Option<Key> {
        self.pods.first().map(|p| p.key.clone())
    }

    /// Some Service.
    pub(super) fn any_service(&self) -> Option<Key> {
        self.services.first().map(|s| s.key.clone())
    }

    /// The Service of that name, as read.
    pub fn service(&self, key: &Key) -> Option<&Service> {
        self.services.iter().find(|s| s.key == *key)
    }

    /// The pods of a namespace.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().filter(move |p| p.key.namespace == namespace)
    }

    /// A pod, as read.
    pub fn pod(&self, key: &Key) -> Option<&Pod> {
        self.pods.iter().find(|p| p.key == *key)
    }

    /// Adds what a dead container said last.
    pub fn last_words(&mut self, key: &Key, words: Vec<String>) {
        if let Some(pod) = self.pods.iter_mut().find(|p| p.key == *key) {
            pod.last_words = words;
        }
    }
}
