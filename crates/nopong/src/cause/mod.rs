//! The causes: pure judgement of the evidence, one file each, in folders by category.
//!
//! A cause never looks: no IO, no clock. It reads facts and returns reasons that cite them. To add one,
//! write its file and one line in [`CATALOGUE`] (a test compares the folders with the table), its page in
//! `docs/causes/`, and its scenarios.

pub(crate) use address::shared::address as address_of;

use crate::diagnosis::Case;
pub use crate::diagnosis::{Bearing, Fix, Latent, Place, Reason, Risk, Stage, Step};

pub mod access;
pub mod address;
pub mod bind;
pub mod capacity;
pub mod client;
mod cluster;
pub(crate) mod common;
pub(crate) mod containers;
pub mod firewall;
pub mod health;
pub(crate) mod managers;
pub mod not_running;
mod runtime;
pub mod security;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod topology;
pub(crate) mod unit_filter;
pub(crate) mod way_back;

/// The contract's categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// The server does not run.
    NotRunning,
    /// Packets are filtered.
    Firewall,
    /// The client dials the wrong thing.
    Address,
    /// The server listens elsewhere or takes only some.
    Bind,
    /// Authentication and permission.
    Access,
    /// Transport encryption.
    Tls,
    /// Something is full.
    Capacity,
    /// It runs but cannot serve.
    Health,
    /// Cluster and Sentinel.
    Topology,
    /// The client program.
    Client,
    /// A taken-over server.
    Security,
}

impl Category {
    /// The word of the JSON report.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotRunning => "not-running",
            Self::Firewall => "firewall",
            Self::Address => "address",
            Self::Bind => "bind",
            Self::Access => "access",
            Self::Tls => "tls",
            Self::Capacity => "capacity",
            Self::Health => "health",
            Self::Topology => "topology",
            Self::Client => "client",
            Self::Security => "security",
        }
    }
}

/// The port that a client should dial instead, where only one can be meant (cause wrong-port).
pub(crate) fn right_port(case: &Case<'_>) -> Option<u16> {
    address::wrong_port::evident(case)
}

/// What is fixed about a cause.
#[derive(Debug)]
pub struct Meta {
    /// The contract's id; completes "the client gets no PONG because …".
    pub id: &'static str,
    /// Its category.
    pub category: Category,
    /// The stage at which it stops a client.
    pub stage: Stage,
    /// A title without particulars.
    pub title: &'static str,
    /// Causes whose consequence this one is: when one of them is as well proven, this one is not reported.
    pub masked_by: &'static [&'static str],
    /// Facts that would decide it; used to say which look would settle most.
    pub settled_by: &'static [&'static str],
}

/// One cause.
pub trait Cause: Sync {
    /// What is fixed about it.
    fn meta(&self) -> &'static Meta;

    /// Reasons for and against it being the first obstacle. Empty means: the evidence is silent.
    fn weigh(&self, case: &Case<'_>) -> Vec<Reason>;

    /// The title with particulars: "redis-server listens on 127.0.0.1 only, and you dial 10.0.0.5".
    fn title(&self, _case: &Case<'_>) -> String {
        self.meta().title.to_owned()
    }

    /// How to remove it.
    fn fix(&self, _case: &Case<'_>) -> Option<Fix> {
        None
    }

    /// What is wrong although it is not the first obstacle: the next one behind it, or a warning.
    fn latent(&self, _case: &Case<'_>) -> Option<Latent> {
        None
    }
}

/// Every cause, in the order of the examination, which also breaks ties.
pub static CATALOGUE: &[&[&dyn Cause]] = &[
    address::ALL,
    not_running::ALL,
    bind::ALL,
    firewall::ALL,
    tls::ALL,
    access::ALL,
    capacity::ALL,
    health::ALL,
    topology::ALL,
    client::ALL,
    security::ALL,
];

/// All causes in order.
pub fn all() -> impl Iterator<Item = &'static dyn Cause> {
    CATALOGUE.iter().flat_map(|folder| folder.iter().copied())
}

/// The cause of that id.
pub fn by_id(id: &str) -> Option<&'static dyn Cause> {
    all().find(|c| c.meta().id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// One file a cause, one line in the table, and the id is the file's name.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "reads the source tree")]
    fn folders_and_table_agree() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cause");
        let mut files = BTreeSet::new();
        for folder in std::fs::read_dir(root).unwrap().map(Result::unwrap).filter(|e| e.path().is_dir()) {
            for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
                let name = file.file_name().into_string().unwrap();
                let name = name.trim_end_matches(".rs").replace('_', "-");
                // `mod` is the folder's table, `shared` what its causes have in common.
                if name != "mod" && name != "shared" {
                    files.insert(name);
                }
            }
        }
        let table: BTreeSet<_> = super::all().map(|c| c.meta().id.to_owned()).collect();
        assert_eq!(files, table);
        assert_eq!(table.len(), super::all().count(), "an id twice");
    }
}
