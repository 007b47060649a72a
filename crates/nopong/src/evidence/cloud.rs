//! What a cloud's firewall rules do with the connection: the judgement of `crate::cloud`, layer by layer.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A cloud whose rules can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Amazon Web Services.
    #[default]
    Aws,
    /// Google Cloud.
    Gcp,
    /// Microsoft Azure.
    Azure,
}

impl Provider {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Gcp => "Google Cloud",
            Self::Azure => "Azure",
        }
    }
}

/// What the rules of one cloud do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cloud {
    /// Which cloud.
    pub provider: Provider,
    /// Listings that were read: `sg.json: 3 security groups`.
    pub read: Vec<String>,
    /// Listings that could not be read, with the reason.
    pub unread: Vec<String>,
    /// One for each connection.
    pub verdicts: Vec<CloudVerdict>,
}

/// What a filter, or all of them, do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// Lets it pass.
    Allowed,
    /// Drops it.
    Blocked,
    /// Cannot be told from what was read.
    #[default]
    Undecided,
}

/// What all filters between two ends do with one connection.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudVerdict {
    /// The client's address as the cloud sees it; `any` where that is not known.
    pub source: String,
    /// Address and port dialled.
    pub destination: String,
    /// It is the connection dialled from here, not the one of `--client`.
    pub own: bool,
    /// The client's network interface, when it is among what was read.
    pub client: Option<String>,
    /// The server's.
    pub server: Option<String>,
    /// All of them together.
    pub verdict: Judged,
    /// Nothing that was not read, and no guess about the client's address, can change it.
    pub proven: bool,
    /// Why.
    pub because: String,
    /// What keeps it from being proven.
    pub doubt: Option<String>,
    /// The filters in the order in which packets meet them.
    pub filters: Vec<Filter>,
}

impl CloudVerdict {
    /// Takes the proof away.
    pub(crate) fn doubted(&mut self, why: impl Into<String>) {
        self.proven = false;
        self.doubt.get_or_insert(why.into());
    }

    /// The filter that decides: the first that blocks.
    pub fn blocker(&self) -> Option<&Filter> {
        self.filters.iter().find(|f| f.verdict == Judged::Blocked)
    }
}

/// One filter on the way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// `security group`, `network ACL`, `VPC firewall`, `network security group`.
    pub kind: String,
    /// Whose rules: ids, with the name where there is one.
    pub names: Vec<String>,
    /// It stands at the client's end, not at the server's.
    pub at_client: bool,
    /// It judges what comes in there, not what goes out.
    pub ingress: bool,
    /// It judges the answers, not the request: only filters without a memory of connections do.
    pub answers: bool,
    /// What it does.
    pub verdict: Judged,
    /// The deciding rule.
    pub rule: Option<String>,
    /// Why.
    pub because: String,
    /// Some of the client's ports are treated otherwise: which, and by what.
    pub partly: Option<String>,
    /// What would let the connection through here.
    pub opening: Option<Opening>,
}

/// The rule that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Opening {
    /// A rule of a security group.
    AwsGroup {
        /// Its id.
        group: String,
        /// Inbound.
        ingress: bool,
        /// TCP port.
        port: u16,
        /// The other end; none when it is not known.
        peer: Option<IpAddr>,
    },
    /// An entry of a network ACL.
    AwsAcl {
        /// Its id.
        acl: String,
        /// Inbound.
        ingress: bool,
        /// A free rule number before the one that decides; none when there is none.
        number: Option<u32>,
        /// TCP ports, first and last.
        ports: (u16, u16),
        /// The other end.
        peer: Option<IpAddr>,
    },
    /// A VPC firewall rule.
    Gcp {
        /// The network's name.
        network: String,
        /// The project, where the listing tells it.
        project: Option<String>,
        /// Inbound.
        ingress: bool,
        /// A priority before the rule that decides; none when there is none, or a policy decides.
        priority: Option<u32>,
        /// TCP port.
        port: u16,
        /// The other end.
        peer: Option<IpAddr>,
        /// A network tag of the instance, to limit the rule to it.
        tag: Option<String>,
    },
    /// A rule of a network security group.
    Azure {
        /// Its name.
        group: String,
        /// Its resource group.
        resource_group: String,
        /// Inbound.
        ingress: bool,
        /// A free priority before the rule that decides.
        priority: Option<u32>,
        /// TCP port.
        port: u16,
        /// The other end.
        peer: Option<IpAddr>,
        /// The end that the group stands at.
        own: Option<IpAddr>,
    },
}
