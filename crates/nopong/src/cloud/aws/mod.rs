//! Amazon's VPC: network interfaces, security groups, network ACLs, prefix lists.
//!
//! The forms are those of `aws ec2 describe-… --output json` (EC2 API 2016-11-15).

mod acl;
mod judge;

pub(super) use judge::judge;

use super::document::count;
use super::net::Net;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What is known of an account's network in one region.
#[derive(Debug, Clone, Default)]
pub(super) struct Inventory {
    interfaces: Vec<Interface>,
    listed: BTreeSet<String>,
    groups: BTreeMap<String, Group>,
    acls: Vec<Acl>,
    prefix_lists: BTreeMap<String, Vec<Net>>,
    services: Vec<Service>,
    /// All listings are unfiltered.
    pub(super) whole: bool,
}

/// A managed cache, known by the names of its endpoints.
#[derive(Debug, Clone)]
struct Service {
    name: String,
    endpoints: Vec<String>,
    groups: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Document {
    security_groups: Vec<Group>,
    network_acls: Vec<Acl>,
    network_interfaces: Vec<Interface>,
    reservations: Vec<Reservation>,
    prefix_lists: Vec<PrefixList>,
    entries: Vec<PrefixEntry>,
    cache_clusters: Vec<CacheCluster>,
    clusters: Vec<CacheCluster>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Group {
    group_id: String,
    group_name: String,
    owner_id: Option<String>,
    vpc_id: Option<String>,
    ip_permissions: Vec<Permission>,
    ip_permissions_egress: Vec<Permission>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Permission {
    /// `tcp`, a protocol number, `-1` for all.
    ip_protocol: String,
    from_port: Option<i32>,
    to_port: Option<i32>,
    ip_ranges: Vec<Range>,
    ipv6_ranges: Vec<Range>,
    prefix_list_ids: Vec<PrefixListId>,
    user_id_group_pairs: Vec<Pair>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Range {
    #[serde(alias = "CidrIpv6")]
    cidr_ip: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PrefixListId {
    prefix_list_id: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Pair {
    group_id: Option<String>,
    user_id: Option<String>,
    vpc_peering_connection_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Acl {
    network_acl_id: String,
    associations: Vec<Association>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Association {
    subnet_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Entry {
    rule_number: u32,
    protocol: String,
    rule_action: String,
    egress: bool,
    cidr_block: Option<String>,
    ipv6_cidr_block: Option<String>,
    port_range: Option<PortRange>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PortRange {
    from: i32,
    to: i32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Reservation {
    instances: Vec<Instance>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Instance {
    instance_id: String,
    network_interfaces: Vec<Interface>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Interface {
    network_interface_id: String,
    vpc_id: Option<String>,
    subnet_id: Option<String>,
    private_ip_address: Option<String>,
    private_ip_addresses: Vec<PrivateAddress>,
    ipv6_addresses: Vec<Ipv6Address>,
    ipv4_prefixes: Vec<Prefix>,
    ipv6_prefixes: Vec<Prefix>,
    association: Option<PublicAddress>,
    groups: Vec<GroupName>,
    attachment: Option<Attachment>,
    interface_type: Option<String>,
    description: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PrivateAddress {
    private_ip_address: Option<String>,
    association: Option<PublicAddress>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PublicAddress {
    public_ip: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipv6Address {
    ipv6_address: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Prefix {
    #[serde(alias = "Ipv6Prefix")]
    ipv4_prefix: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct GroupName {
    #[serde(alias = "SecurityGroupId")]
    group_id: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Attachment {
    instance_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PrefixList {
    prefix_list_id: String,
    /// Of `describe-prefix-lists`; the managed ones list theirs elsewhere.
    cidrs: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PrefixEntry {
    cidr: String,
}

/// Of ElastiCache (`describe-cache-clusters --show-cache-node-info`) and MemoryDB (`describe-clusters`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CacheCluster {
    #[serde(alias = "Name")]
    cache_cluster_id: String,
    security_groups: Vec<GroupName>,
    cache_nodes: Vec<CacheNode>,
    configuration_endpoint: Option<Endpoint>,
    cluster_endpoint: Option<Endpoint>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CacheNode {
    endpoint: Option<Endpoint>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Endpoint {
    address: Option<String>,
}

impl Interface {
    fn ip(text: Option<&String>) -> Option<IpAddr> {
        text?.parse().ok()
    }

    /// It has that address in its VPC.
    fn holds(&self, ip: IpAddr) -> bool {
        let own = std::iter::once(self.private_ip_address.as_ref())
            .chain(self.private_ip_addresses.iter().map(|a| a.private_ip_address.as_ref()))
            .chain(self.ipv6_addresses.iter().map(|a| a.ipv6_address.as_ref()));
        own.filter_map(Self::ip).any(|a| a == ip)
            || self
                .ipv4_prefixes
                .iter()
                .chain(&self.ipv6_prefixes)
                .filter_map(|p| Net::parse(p.ipv4_prefix.as_deref()?))
                .any(|net| net.holds(ip))
    }

    /// Pairs of private and public address.
    fn translations(&self) -> impl Iterator<Item = (Option<IpAddr>, IpAddr)> {
        let main = (self.private_ip_address.as_ref(), self.association.as_ref());
        std::iter::once(main)
            .chain(
                self.private_ip_addresses
                    .iter()
                    .map(|a| (a.private_ip_address.as_ref(), a.association.as_ref())),
            )
            .filter_map(|(own, public)| Some((Self::ip(own), Self::ip(public?.public_ip.as_ref())?)))
    }

    /// `eni-1 of i-2`.
    fn named(&self) -> String {
        let of = self.attachment.as_ref().and_then(|a| a.instance_id.as_deref()).map(|i| format!(" of {i}"));
        let about = self.description.as_deref().filter(|d| !d.is_empty()).map(|d| format!(" ({d})"));
        super::net::shown(&format!("{}{}", self.network_interface_id, of.or(about).unwrap_or_default()))
    }

    /// A load balancer, NAT gateway or endpoint hands the connection on: what comes behind it is not known here.
    fn hands_on(&self) -> bool {
        self.interface_type.as_deref().is_some_and(|t| {
            ["balancer", "gateway", "endpoint", "accelerator", "firewall"].iter().any(|w| t.contains(w))
        })
    }
}

impl Inventory {
    /// Takes one document in; what was in it.
    pub(super) fn add(
        &mut self,
        name: &str,
        text: &str,
    ) -> Result<impl Iterator<Item = String> + use<>, serde_json::Error> {
        let document: Document = serde_json::from_str(text)?;
        let mut found = Vec::new();
        let mut say = |n: usize, what: &str| {
            if n > 0 {
                found.push(count(n, what));
            }
        };
        say(document.security_groups.len(), "security group");
        say(document.network_acls.len(), "network ACL");
        let caches = document.cache_clusters.len() + document.clusters.len();
        say(caches, "cache cluster");
        let in_list = document.entries.len();
        let lists: Vec<_> = document.prefix_lists.iter().filter(|l| l.cidrs.is_some()).collect();
        say(lists.len(), "prefix list");
        for list in lists {
            let nets = list.cidrs.iter().flatten().filter_map(|c| Net::parse(c)).collect();
            self.prefix_lists.insert(list.prefix_list_id.clone(), nets);
        }
        // get-managed-prefix-list-entries does not say of which list: its name has to be in the file's.
        if let (true, Some(id)) = (in_list > 0, prefix_list_in(name)) {
            self.prefix_lists
                .insert(id, document.entries.iter().filter_map(|e| Net::parse(&e.cidr)).collect());
            say(in_list, "prefix list entry");
        }
        let of_instances = document.reservations.into_iter().flat_map(|r| r.instances).flat_map(|i| {
            let id = i.instance_id;
            i.network_interfaces.into_iter().map(move |mut interface| {
                interface.attachment = Some(Attachment { instance_id: Some(id.clone()) });
                interface
            })
        });
        let interfaces: Vec<_> = document.network_interfaces.into_iter().chain(of_instances).collect();
        say(interfaces.len(), "network interface");
        for interface in interfaces {
            // describe-instances and describe-network-interfaces both list them.
            let id = &interface.network_interface_id;
            if id.is_empty() || self.listed.insert(id.clone()) {
                self.interfaces.push(interface);
            }
        }
        self.groups.extend(document.security_groups.into_iter().map(|g| (g.group_id.clone(), g)));
        self.acls.extend(document.network_acls);
        self.services.extend(document.cache_clusters.into_iter().chain(document.clusters).map(Service::from));
        if found.is_empty() {
            found.push("nothing listed".to_owned());
        }
        Ok(found.into_iter())
    }

    /// Interfaces with that address, in the VPC or on the internet.
    fn at(&self, ip: IpAddr) -> Vec<&Interface> {
        self.interfaces
            .iter()
            .filter(|i| i.holds(ip) || i.translations().any(|(_, public)| public == ip))
            .collect()
    }

    /// See [`super::Inventory::prefix_lists_wanted`].
    pub(super) fn prefix_lists_wanted(&self, address: IpAddr) -> Vec<String> {
        let mut wanted: Vec<String> = self
            .at(address)
            .into_iter()
            .flat_map(|i| &i.groups)
            .filter_map(|g| self.groups.get(&g.group_id))
            .flat_map(|g| g.ip_permissions.iter().chain(&g.ip_permissions_egress))
            .flat_map(|p| &p.prefix_list_ids)
            .map(|l| l.prefix_list_id.clone())
            .filter(|id| !self.prefix_lists.contains_key(id) && prefix_list_in(id).as_deref() == Some(id))
            .collect();
        wanted.sort();
        wanted.dedup();
        wanted
    }
}

impl From<CacheCluster> for Service {
    fn from(cluster: CacheCluster) -> Self {
        let nodes = cluster.cache_nodes.into_iter().filter_map(|n| n.endpoint);
        let endpoints = nodes.chain(cluster.configuration_endpoint).chain(cluster.cluster_endpoint);
        Self {
            name: cluster.cache_cluster_id,
            endpoints: endpoints.filter_map(|e| e.address).map(|a| a.to_ascii_lowercase()).collect(),
            groups: cluster.security_groups.into_iter().map(|g| g.group_id).collect(),
        }
    }
}

/// `pl-0123456789abcdef0` somewhere in a text.
fn prefix_list_in(text: &str) -> Option<String> {
    let from = text.rfind("pl-")?;
    let hex: String = text[from + 3..].chars().take_while(char::is_ascii_hexdigit).take(32).collect();
    (!hex.is_empty()).then(|| format!("pl-{hex}"))
}
