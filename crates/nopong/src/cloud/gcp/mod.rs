//! Google Cloud's VPC: instances, VPC firewall rules, and the policies above them.
//!
//! The forms are those of `gcloud compute … --format=json` (Compute Engine API v1).

mod judge;

pub(super) use judge::judge;

use super::document::count;
use super::net::Net;
use serde::Deserialize;
use std::net::IpAddr;

/// What is known of a project's networks.
#[derive(Debug, Clone, Default)]
pub(super) struct Inventory {
    instances: Vec<Instance>,
    rules: Vec<Rule>,
    /// For each network: the policies in force there, as `networks get-effective-firewalls` lists them.
    effective: Vec<Effective>,
    /// All listings are unfiltered.
    pub(super) whole: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Instance {
    name: String,
    network_interfaces: Option<Vec<Interface>>,
    tags: Option<Tags>,
    service_accounts: Option<Vec<Account>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tags {
    items: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Account {
    email: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Interface {
    network: String,
    #[serde(rename = "networkIP")]
    network_ip: Option<String>,
    ipv6_address: Option<String>,
    access_configs: Option<Vec<Access>>,
    ipv6_access_configs: Option<Vec<Access>>,
    alias_ip_ranges: Option<Vec<Alias>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Access {
    #[serde(rename = "natIP")]
    nat_ip: Option<String>,
    external_ipv6: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Alias {
    ip_cidr_range: String,
}

/// A VPC firewall rule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    name: String,
    network: String,
    direction: Option<String>,
    priority: Option<u32>,
    disabled: Option<bool>,
    source_ranges: Option<Vec<String>>,
    destination_ranges: Option<Vec<String>>,
    source_tags: Option<Vec<String>>,
    target_tags: Option<Vec<String>>,
    source_service_accounts: Option<Vec<String>>,
    target_service_accounts: Option<Vec<String>>,
    allowed: Option<Vec<Layer4>>,
    denied: Option<Vec<Layer4>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Layer4 {
    #[serde(rename = "IPProtocol", alias = "ipProtocol")]
    protocol: String,
    ports: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Effective {
    firewalls: Option<Vec<Rule>>,
    #[serde(rename = "firewallPolicys")]
    policies: Option<Vec<Policy>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Policy {
    name: Option<String>,
    short_name: Option<String>,
    display_name: Option<String>,
    /// HIERARCHY, NETWORK, NETWORK_REGIONAL, SYSTEM_GLOBAL, SYSTEM_REGIONAL.
    r#type: Option<String>,
    rules: Option<Vec<PolicyRule>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PolicyRule {
    priority: Option<u32>,
    direction: Option<String>,
    action: Option<String>,
    disabled: Option<bool>,
    r#match: Option<Matcher>,
    target_resources: Option<Vec<String>>,
    target_service_accounts: Option<Vec<String>>,
    target_secure_tags: Option<Vec<serde_json::Value>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Matcher {
    src_ip_ranges: Option<Vec<String>>,
    dest_ip_ranges: Option<Vec<String>>,
    layer4_configs: Option<Vec<Layer4>>,
    /// Whatever else the rule selects by: tags, names, countries, threat lists, address groups.
    #[serde(flatten)]
    others: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Matcher {
    /// A selector that cannot be evaluated here.
    fn other(&self) -> Option<&str> {
        let set = |v: &serde_json::Value| match v {
            serde_json::Value::Null => false,
            serde_json::Value::Array(items) => !items.is_empty(),
            serde_json::Value::String(text) => !text.is_empty(),
            _ => true,
        };
        self.others.iter().find(|(_, v)| set(v)).map(|(k, _)| k.as_str())
    }
}

impl Interface {
    fn own(&self) -> impl Iterator<Item = IpAddr> {
        [&self.network_ip, &self.ipv6_address].into_iter().flatten().filter_map(|t| t.parse().ok())
    }

    fn holds(&self, ip: IpAddr) -> bool {
        let aliases = self.alias_ip_ranges.iter().flatten().filter_map(|a| Net::parse(&a.ip_cidr_range));
        self.own().any(|a| a == ip) || aliases.into_iter().any(|n| n.holds(ip))
    }

    fn public(&self) -> impl Iterator<Item = IpAddr> {
        let configs = self.access_configs.iter().chain(&self.ipv6_access_configs).flatten();
        configs
            .flat_map(|c| [&c.nat_ip, &c.external_ipv6])
            .flatten()
            .filter_map(|t| t.split('/').next()?.parse().ok())
    }
}

impl Inventory {
    /// Takes one resource in; what it is.
    pub(super) fn add(&mut self, kind: &str, text: &str) -> Result<Option<&'static str>, serde_json::Error> {
        Ok(match kind {
            "firewall" => {
                self.rules.push(serde_json::from_str(text)?);
                Some("firewall rule")
            }
            "instance" => {
                self.instances.push(serde_json::from_str(text)?);
                Some("instance")
            }
            _ => None,
        })
    }

    /// Takes the effective rules of one network in.
    pub(super) fn add_effective(&mut self, text: &str) -> Result<String, serde_json::Error> {
        let effective: Effective = serde_json::from_str(text)?;
        let rules = effective.firewalls.as_ref().map_or(0, Vec::len);
        let policies = effective.policies.as_ref().map_or(0, Vec::len);
        self.effective.push(effective);
        Ok(format!("{}, {}", count(rules, "firewall rule"), count(policies, "firewall policy")))
    }

    /// Instance and interface with that address.
    fn at(&self, ip: IpAddr) -> Vec<(&Instance, &Interface)> {
        self.instances
            .iter()
            .flat_map(|i| i.network_interfaces.iter().flatten().map(move |n| (i, n)))
            .filter(|(_, n)| n.holds(ip) || n.public().any(|p| p == ip))
            .collect()
    }

    /// See [`super::Inventory::gcp_networks`].
    pub(super) fn networks_of(&self, ip: IpAddr) -> Vec<String> {
        let mut all: Vec<String> =
            self.at(ip).into_iter().map(|(_, n)| last(&n.network).to_owned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The last word of a resource's URL.
fn last(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// `projects/p/global/networks/n`, whatever host the URL begins with.
fn path(url: &str) -> &str {
    url.find("projects/").map_or(url, |at| &url[at..])
}

/// The project in a resource's URL.
fn project(url: &str) -> Option<&str> {
    path(url).strip_prefix("projects/")?.split('/').next().filter(|p| !p.is_empty())
}
