//! A saved listing: which cloud's, and what of it is known here. A file may hold several documents, one after the other.

use super::Inventory;
use crate::evidence::cloud::Provider;
use crate::text::json_fault;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// What tells the listings apart, before the rest is read.
#[derive(Deserialize)]
struct Peek {
    #[serde(rename = "SecurityGroups")]
    groups: Option<IgnoredAny>,
    #[serde(rename = "NetworkAcls")]
    acls: Option<IgnoredAny>,
    #[serde(rename = "NetworkInterfaces")]
    interfaces: Option<IgnoredAny>,
    #[serde(rename = "Reservations")]
    reservations: Option<IgnoredAny>,
    #[serde(rename = "PrefixLists")]
    prefix_lists: Option<IgnoredAny>,
    #[serde(rename = "Entries")]
    entries: Option<IgnoredAny>,
    #[serde(rename = "CacheClusters")]
    cache_clusters: Option<IgnoredAny>,
    #[serde(rename = "Clusters")]
    clusters: Option<IgnoredAny>,
    firewalls: Option<IgnoredAny>,
    #[serde(rename = "firewallPolicys")]
    policies: Option<IgnoredAny>,
    value: Option<IgnoredAny>,
    kind: Option<serde_json::Value>,
    id: Option<serde_json::Value>,
}

impl Peek {
    fn is_aws(&self) -> bool {
        [
            &self.groups,
            &self.acls,
            &self.interfaces,
            &self.reservations,
            &self.prefix_lists,
            &self.entries,
            &self.cache_clusters,
            &self.clusters,
        ]
        .iter()
        .any(|k| k.is_some())
    }
}

/// What was found, for each cloud, in words.
pub(super) fn read(
    inventory: &mut Inventory,
    name: &str,
    bytes: &[u8],
    whole: bool,
) -> Result<Vec<(Provider, String)>, String> {
    if bytes.len() > super::LARGEST {
        return Err(format!("more than {} MiB", super::LARGEST >> 20));
    }
    let mut found: Vec<(Provider, String)> = Vec::new();
    let mut documents = 0usize;
    // serde_json bounds the depth to 128.
    for document in serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>() {
        documents += 1;
        let raw = document.map_err(|e| json_fault(&e))?;
        one(inventory, name, raw, &mut found, true)?;
    }
    match (documents, found.is_empty()) {
        (0, _) => Err("empty".to_owned()),
        // A tool that was asked for everything and lists nothing has told something.
        (_, true) if !whole => Err(
            "none of the listings known here: aws ec2 describe-security-groups, describe-network-acls, \
             describe-network-interfaces or describe-instances; gcloud compute firewall-rules list, instances list or \
             networks get-effective-firewalls; az network nsg list, nic list, vnet list or public-ip list (all as JSON)"
                .to_owned(),
        ),
        _ => Ok(found),
    }
}

fn one(
    inventory: &mut Inventory,
    name: &str,
    raw: &RawValue,
    found: &mut Vec<(Provider, String)>,
    outermost: bool,
) -> Result<(), String> {
    let text = raw.get();
    if text.starts_with('[') && outermost {
        return list(inventory, name, text, found);
    }
    if !text.starts_with('{') {
        return Ok(());
    }
    let peek: Peek = serde_json::from_str(text).map_err(|e| json_fault(&e))?;
    if peek.is_aws() {
        found.extend(inventory.aws.add(name, text).map_err(|e| json_fault(&e))?.map(|w| (Provider::Aws, w)));
    } else if peek.firewalls.is_some() || peek.policies.is_some() {
        found.push((Provider::Gcp, inventory.gcp.add_effective(text).map_err(|e| json_fault(&e))?));
    } else if peek.value.is_some() && outermost {
        // Azure's REST form of a list.
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            value: &'a RawValue,
        }
        let page: Page<'_> = serde_json::from_str(text).map_err(|e| json_fault(&e))?;
        if page.value.get().starts_with('[') {
            return list(inventory, name, page.value.get(), found);
        }
    } else {
        resource(inventory, &peek, text, found)?;
    }
    Ok(())
}

fn list(
    inventory: &mut Inventory,
    name: &str,
    text: &str,
    found: &mut Vec<(Provider, String)>,
) -> Result<(), String> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| json_fault(&e))?;
    let mut inside = Vec::new();
    for item in items {
        one(inventory, name, item, &mut inside, false)?;
    }
    found.extend(counted(inside));
    Ok(())
}

/// One resource of Google Cloud or Azure.
fn resource(
    inventory: &mut Inventory,
    peek: &Peek,
    text: &str,
    found: &mut Vec<(Provider, String)>,
) -> Result<(), String> {
    let word = |value: &Option<serde_json::Value>| {
        value.as_ref().and_then(|v| v.as_str()).unwrap_or_default().to_owned()
    };
    let (kind, id) = (word(&peek.kind), word(&peek.id));
    if let Some(kind) = kind.strip_prefix("compute#") {
        let what = inventory.gcp.add(kind, text).map_err(|e| json_fault(&e))?;
        found.extend(what.map(|w| (Provider::Gcp, w.to_owned())));
    } else if let Some(kind) = super::azure::kind(&id) {
        let what = inventory.azure.add(kind, text).map_err(|e| json_fault(&e))?;
        found.extend(what.map(|w| (Provider::Azure, w.to_owned())));
    }
    Ok(())
}

/// `firewall rule` five times becomes `5 firewall rules`.
fn counted(found: Vec<(Provider, String)>) -> Vec<(Provider, String)> {
    let mut counts: std::collections::BTreeMap<(Provider, String), usize> = std::collections::BTreeMap::new();
    for item in found {
        *counts.entry(item).or_default() += 1;
    }
    counts.into_iter().map(|((provider, what), n)| (provider, count(n, &what))).collect()
}

/// `1 security group`, `3 security groups`.
pub(super) fn count(n: usize, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        (_, None) if what.ends_with('s') => format!("{n} {what}es"),
        (_, None) => format!("{n} {what}s"),
    }
}
