//! Azure's virtual networks: network interfaces, subnets, peerings, network security groups.
//!
//! The forms are those of `az network … list --output json` and of the REST API, whose values are in `properties`.

mod judge;

pub(super) use judge::judge;

use super::net::Net;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What is known of a subscription's networks. Keys are resource ids in lower case: Azure compares them so.
#[derive(Debug, Clone, Default)]
pub(super) struct Inventory {
    groups: BTreeMap<String, Group>,
    interfaces: Vec<Nic>,
    networks: Vec<Network>,
    /// Public addresses by the id of the IP configuration that has them.
    public: BTreeMap<String, IpAddr>,
    /// All listings are unfiltered.
    pub(super) whole: bool,
}

/// A resource: flat as `az` prints it, or with its values in `properties`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Resource<T> {
    id: Option<String>,
    name: Option<String>,
    #[serde(rename = "resourceGroup")]
    resource_group: Option<String>,
    properties: Option<T>,
    #[serde(flatten)]
    flat: T,
}

impl<T> Resource<T> {
    fn values(&self) -> &T {
        self.properties.as_ref().unwrap_or(&self.flat)
    }

    fn key(&self) -> String {
        self.id.as_deref().map(str::to_ascii_lowercase).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref().and_then(|i| i.rsplit('/').next())).unwrap_or_default()
    }

    fn resource_group(&self) -> String {
        if let Some(group) = self.resource_group.as_deref().filter(|g| !g.is_empty()) {
            return group.to_owned();
        }
        let mut words = self.id.as_deref().unwrap_or_default().split('/');
        words.find(|w| w.eq_ignore_ascii_case("resourceGroups"));
        words.next().unwrap_or_default().to_owned()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Reference {
    id: Option<String>,
}

impl Reference {
    fn key(&self) -> String {
        self.id.as_deref().map(str::to_ascii_lowercase).unwrap_or_default()
    }
}

type Group = Resource<GroupValues>;
type Nic = Resource<NicValues>;
type Network = Resource<NetworkValues>;
type Rule = Resource<RuleValues>;
type Configuration = Resource<ConfigurationValues>;
type Subnet = Resource<SubnetValues>;
type Peering = Resource<PeeringValues>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroupValues {
    security_rules: Option<Vec<Rule>>,
    default_security_rules: Option<Vec<Rule>>,
    subnets: Option<Vec<Reference>>,
    network_interfaces: Option<Vec<Reference>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuleValues {
    priority: Option<u32>,
    direction: Option<String>,
    access: Option<String>,
    protocol: Option<String>,
    source_address_prefix: Option<String>,
    source_address_prefixes: Option<Vec<String>>,
    source_application_security_groups: Option<Vec<Reference>>,
    destination_address_prefix: Option<String>,
    destination_address_prefixes: Option<Vec<String>>,
    destination_application_security_groups: Option<Vec<Reference>>,
    source_port_range: Option<String>,
    source_port_ranges: Option<Vec<String>>,
    destination_port_range: Option<String>,
    destination_port_ranges: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NicValues {
    ip_configurations: Option<Vec<Configuration>>,
    network_security_group: Option<Reference>,
    virtual_machine: Option<Reference>,
    private_endpoint: Option<Reference>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigurationValues {
    #[serde(alias = "privateIPAddress")]
    private_ip_address: Option<String>,
    #[serde(alias = "publicIPAddress")]
    public_ip_address: Option<Reference>,
    subnet: Option<Reference>,
    application_security_groups: Option<Vec<Reference>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NetworkValues {
    address_space: Option<Space>,
    subnets: Option<Vec<Subnet>>,
    virtual_network_peerings: Option<Vec<Peering>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Space {
    address_prefixes: Option<Vec<String>>,
}

impl Space {
    fn holds(&self, ip: IpAddr) -> bool {
        self.address_prefixes.iter().flatten().filter_map(|p| Net::parse(p)).any(|n| n.holds(ip))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SubnetValues {
    network_security_group: Option<Reference>,
    route_table: Option<Reference>,
    private_endpoint_network_policies: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PeeringValues {
    allow_virtual_network_access: Option<bool>,
    peering_state: Option<String>,
    use_remote_gateways: Option<bool>,
    remote_address_space: Option<Space>,
    remote_virtual_network_address_space: Option<Space>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PublicValues {
    ip_address: Option<String>,
    ip_configuration: Option<Reference>,
}

/// What a resource id is of: the last type in it.
pub(super) fn kind(id: &str) -> Option<&'static str> {
    let id = id.to_ascii_lowercase();
    let (_, rest) = id.split_once("/providers/microsoft.network/")?;
    let mut words = rest.split('/');
    let kind = match words.next()? {
        "networksecuritygroups" => "group",
        "networkinterfaces" => "nic",
        "virtualnetworks" => "network",
        "publicipaddresses" => "public",
        _ => return None,
    };
    // A part of one (a rule, a subnet) is none itself.
    (words.count() == 1).then_some(kind)
}

impl Inventory {
    /// Takes one resource in; what it is.
    pub(super) fn add(&mut self, kind: &str, text: &str) -> Result<Option<&'static str>, serde_json::Error> {
        Ok(match kind {
            "group" => {
                let group: Group = serde_json::from_str(text)?;
                self.groups.insert(group.key(), group);
                Some("network security group")
            }
            "nic" => {
                self.interfaces.push(serde_json::from_str(text)?);
                Some("network interface")
            }
            "network" => {
                self.networks.push(serde_json::from_str(text)?);
                Some("virtual network")
            }
            "public" => {
                let public: Resource<PublicValues> = serde_json::from_str(text)?;
                let values = public.values();
                let ip = values.ip_address.as_deref().and_then(|t| t.parse().ok());
                if let (Some(ip), Some(of)) = (ip, &values.ip_configuration) {
                    self.public.insert(of.key(), ip);
                }
                Some("public address")
            }
            _ => None,
        })
    }

    /// Interface and IP configuration with that address, private or public.
    fn at(&self, ip: IpAddr) -> Vec<(&Nic, &Configuration)> {
        self.interfaces
            .iter()
            .flat_map(|n| n.values().ip_configurations.iter().flatten().map(move |c| (n, c)))
            .filter(|(_, c)| c.values().private() == Some(ip) || self.public.get(&c.key()) == Some(&ip))
            .collect()
    }

    /// The virtual network and subnet of an IP configuration.
    fn subnet_of(&self, configuration: &Configuration) -> Option<(&Network, &Subnet)> {
        let key = configuration.values().subnet.as_ref()?.key();
        self.networks.iter().find_map(|n| {
            let subnet = n.values().subnets.iter().flatten().find(|s| s.key() == key)?;
            Some((n, subnet))
        })
    }
}

impl ConfigurationValues {
    fn private(&self) -> Option<IpAddr> {
        self.private_ip_address.as_deref()?.parse().ok()
    }
}
