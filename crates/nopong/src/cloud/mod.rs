//! The clouds' own firewalls: listings of their command line tools in, a verdict for one connection out.
//!
//! Pure: no IO, no clock. Each cloud has its model and its judge; a part that cannot be told from what was read makes
//! the verdict undecided only where it could change it. What a listing does not show (another account's groups, policies
//! above a project) is never taken as absent.

mod aws;
mod azure;
pub mod commands;
mod document;
mod gcp;
mod net;

use crate::evidence::cloud::{Cloud, CloudVerdict, Filter, Judged, Provider};
use net::Peer;
use std::net::IpAddr;

/// Largest listing taken: 20,000 network interfaces of AWS are about 40 MiB.
pub const LARGEST: usize = 64 << 20;

/// Ports that clients are answered on where nothing is known of the client: RFC 6056, and NAT gateways use all of them.
const CLIENT_PORTS: (u16, u16) = (1024, 65535);

/// Why rules that let a connection pass at the server's end prove nothing yet.
const CLIENT_UNSEEN: &str =
    "the client's interface is not among what was read, and may have rules of its own";

/// What is known of the clouds' networks and rules.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    aws: aws::Inventory,
    gcp: gcp::Inventory,
    azure: azure::Inventory,
    read: Vec<(Provider, String)>,
}

/// Who dials, as the cloud sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// At this address, by the user's word.
    Known(IpAddr),
    /// At this address, unless something on the way translates it.
    Assumed(IpAddr),
}

impl Source {
    /// The address, whichever way it is known.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Known(ip) | Self::Assumed(ip) => ip,
        }
    }
}

/// One connection to be judged.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Who dials.
    pub source: Source,
    /// The address dialled.
    pub server: IpAddr,
    /// TCP port dialled.
    pub port: u16,
    /// The name it was dialled by, for managed services that are known by name only.
    pub host: String,
    /// The port that our own attempt came from.
    pub own_port: Option<u16>,
    /// The ports the client's system takes for its end, where known.
    pub client_ports: Option<(u16, u16)>,
    /// It is the connection dialled from here.
    pub own: bool,
}

impl Connection {
    fn answered_on(&self) -> (u16, u16) {
        self.client_ports.filter(|(low, high)| low <= high).unwrap_or(CLIENT_PORTS)
    }

    /// A client whose address is not known: of the internet where a public address is dialled.
    fn anyone(&self) -> Peer {
        let v6 = self.server.is_ipv6();
        if net::is_private(self.server) { Peer::Anywhere { v6 } } else { Peer::Internet { v6 } }
    }

    /// The client as the server's end sees it: whoever dials a public address from a private one is translated.
    fn seen_from_server(&self, ip: IpAddr) -> Peer {
        if net::is_private(ip) && !net::is_private(self.server) { self.anyone() } else { Peer::At(ip) }
    }
}

impl Inventory {
    /// Takes a listing in; what was in it, or what is wrong with it. `whole`: made just now, without a filter.
    pub fn add(&mut self, name: &str, bytes: &[u8], whole: bool) -> Result<(), String> {
        let read = document::read(self, name, bytes, whole)?;
        let name = crate::text::shown_str(name, 120);
        self.read.extend(read.into_iter().map(|(provider, what)| (provider, format!("{name}: {what}"))));
        Ok(())
    }

    /// The listings of that cloud were made with its tool, without a filter: what is not in them does not exist there.
    pub fn complete(&mut self, provider: Provider) {
        match provider {
            Provider::Aws => self.aws.whole = true,
            Provider::Gcp => self.gcp.whole = true,
            Provider::Azure => self.azure.whole = true,
        }
    }

    /// Nothing at all was read.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// There is a network interface, or a service, with the server's address.
    pub fn knows(&self, provider: Provider, connection: &Connection) -> bool {
        judge_at(self, provider, connection, None).server.is_some()
    }

    /// Prefix lists that rules of the interfaces with that address refer to, and whose entries are not known.
    pub fn prefix_lists_wanted(&self, address: IpAddr) -> Vec<String> {
        self.aws.prefix_lists_wanted(address)
    }

    /// Names of the networks that an instance with that address is in.
    pub fn gcp_networks(&self, address: IpAddr) -> Vec<String> {
        self.gcp.networks_of(address)
    }

    /// What each cloud that was read does with the connections.
    pub fn judge(&self, connections: &[Connection]) -> Vec<Cloud> {
        [Provider::Aws, Provider::Gcp, Provider::Azure]
            .into_iter()
            .filter_map(|provider| {
                let read: Vec<_> =
                    self.read.iter().filter(|(p, _)| *p == provider).map(|(_, text)| text.clone()).collect();
                let verdicts = connections.iter().map(|c| judge(self, provider, c)).collect();
                (!read.is_empty()).then_some(Cloud { provider, read, unread: Vec::new(), verdicts })
            })
            .collect()
    }
}

/// Judges with the client's address as it is seen here; where it may be translated on the way, the verdict is proven
/// only if it is the same for every client.
fn judge(inventory: &Inventory, provider: Provider, connection: &Connection) -> CloudVerdict {
    let ip = connection.source.ip();
    let mut verdict = judge_at(inventory, provider, connection, Some(ip));
    let guessed = matches!(connection.source, Source::Assumed(_)) && verdict.client.is_none();
    if guessed && verdict.verdict != Judged::Undecided {
        let anyone = judge_at(inventory, provider, connection, None);
        if anyone.verdict != verdict.verdict {
            let source = verdict.source.clone();
            verdict.doubted(format!("something on the way may translate the client's address {source}"));
        }
    }
    verdict
}

fn judge_at(
    inventory: &Inventory,
    provider: Provider,
    connection: &Connection,
    client: Option<IpAddr>,
) -> CloudVerdict {
    let mut verdict = match provider {
        Provider::Aws => aws::judge(&inventory.aws, connection, client),
        Provider::Gcp => gcp::judge(&inventory.gcp, connection, client),
        Provider::Azure => azure::judge(&inventory.azure, connection, client),
    };
    verdict.destination = std::net::SocketAddr::new(connection.server, connection.port).to_string();
    verdict.own = connection.own;
    verdict
}

/// Puts the filters together: the first that blocks decides, then one that cannot be told.
fn conclude(
    filters: Vec<Filter>,
    source: Peer,
    client: Option<String>,
    server: Option<String>,
) -> CloudVerdict {
    let decides = [Judged::Blocked, Judged::Undecided]
        .into_iter()
        .find_map(|wanted| filters.iter().find(|f| f.verdict == wanted));
    let (verdict, because) = match decides {
        Some(filter) => (filter.verdict, filter.because.clone()),
        None => {
            // The rule that is there for this connection says more than an ACL that lets everything pass.
            let tells = |f: &&Filter| f.ingress && !f.at_client && f.kind != "network ACL";
            let says = filters.iter().find(tells).or(filters.last());
            (Judged::Allowed, says.map_or_else(|| "no filter stands there".to_owned(), |f| f.because.clone()))
        }
    };
    CloudVerdict {
        source: source.to_string(),
        client,
        server,
        verdict,
        proven: true,
        because,
        filters,
        ..CloudVerdict::default()
    }
}

/// A verdict that is none, and why.
fn undecided(source: Peer, because: String) -> CloudVerdict {
    CloudVerdict { source: source.to_string(), because, ..CloudVerdict::default() }
}

/// For the fuzz target and the property test: takes anything in, judges, words it.
#[doc(hidden)]
pub fn fuzz_cloud(bytes: &[u8]) {
    let mut inventory = Inventory::default();
    drop(inventory.add("fuzz", bytes, true));
    for server in ["10.0.0.5", "203.0.113.5", "fd00::5"] {
        for client in ["10.0.0.7", "198.51.100.7", "fd00::7"] {
            let (Ok(server), Ok(client)) = (server.parse(), client.parse()) else { continue };
            let connection = Connection {
                source: Source::Assumed(client),
                server,
                port: 6379,
                host: String::new(),
                own_port: Some(40_000),
                client_ports: None,
                own: true,
            };
            for cloud in inventory.judge(&[connection]) {
                for filter in cloud.verdicts.iter().flat_map(|v| &v.filters) {
                    drop(filter.opening.as_ref().map(commands::of));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
