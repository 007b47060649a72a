//! A cloud's security group, network ACL or allow-list drops the connection. From a host nobody can see those
//! rules: this stays possible until somebody looks in the console.

use super::shared::{came_in, reach};
use crate::cause::common::{meta, source_or_blank};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Journey, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct CloudFirewallBlocks;

static META: Meta = meta(
    "cloud-firewall-blocks",
    Category::Firewall,
    Stage::Connect,
    "a security group or allow-list of the cloud drops the connection",
    &["firewall", "listener"],
);

/// Domains of managed Redis services and of cloud machines.
pub(crate) const CLOUDS: &[&str] = &[
    ".cache.amazonaws.com",
    ".amazonaws.com",
    ".redis.cache.windows.net",
    ".redis.azure.net",
    ".redis.aliyuncs.com",
    ".rds.aliyuncs.com",
    ".redislabs.com",
    ".redis-cloud.com",
    ".upstash.io",
    ".ondigitalocean.com",
    ".render.com",
    ".rlwy.net",
    ".cloud.google.com",
];

/// The name is one of a cloud's.
pub(crate) fn cloud_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    CLOUDS.iter().any(|c| host.ends_with(c))
}

/// Makers of virtual machines whose networks have security groups (DMI sys_vendor, as cloud-init knows them).
const VENDORS: &[&str] = &[
    "Amazon",
    "Google",
    "Microsoft Corporation",
    "Alibaba",
    "Tencent",
    "Huawei Cloud",
    "DigitalOcean",
    "Hetzner",
    "Akamai",
    "Linode",
    "Vultr",
    "UpCloud",
    "Exoscale",
    "Scaleway",
    "OpenStack",
    "OVH",
    "Oracle",
];

/// The maker of one end's machine, where it is a cloud.
fn vendor<'a>(case: &Case<'a>) -> Option<&'a str> {
    let ends = [&case.file.server_at, &case.file.client_at];
    let of = |v: &&str| VENDORS.iter().any(|cloud| v.starts_with(cloud));
    ends.into_iter().flatten().filter_map(|p| p.vendor.as_deref()).find(of)
}

/// One of the ends is in a cloud, as far as its name or its machine tells.
pub(super) fn in_a_cloud(case: &Case<'_>) -> bool {
    cloud_name(&case.ask.host) || vendor(case).is_some()
}

impl Cause for CloudFirewallBlocks {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        // Some managed services take the connection and answer like this (Alibaba Cloud's allow-list).
        if case.symptom == Symptom::ErrorReply
            && case
                .error_reply()
                .and_then(|r| r.error())
                .is_some_and(|e| e.to_ascii_lowercase().contains("illegal address"))
        {
            return vec![Reason::confirms(
                "protocol",
                "the service answers that this client's address is not allowed",
            )];
        }
        if case.symptom != Symptom::TimedOut || case.unix().is_some() {
            return Vec::new();
        }
        if case.ask.local {
            return vec![Reason::rules_out("route", "the connection does not leave this machine")];
        }
        if let Some(reason) = came_in(case) {
            return vec![reason];
        }
        let mut reasons = Vec::new();
        if let (Journey::Lost { left, .. }, Some(vendor)) = (case.journey(), vendor(case)) {
            if left == Some(false) {
                return vec![Reason::rules_out("client-syn", "our SYN did not even leave the client")];
            }
            let says = format!(
                "no SYN of ours came in at {}, and the machines are of {vendor}",
                case.server_called()
            );
            return vec![Reason::strong("syn", says)];
        }
        if cloud_name(&case.ask.host) {
            reasons.push(Reason::weak("name", format!("{} is a name of a cloud service", case.ask.host)));
        }
        // A host of one's own that RSTs other ports is not filtered whole, as a security group does.
        if reach(case).and_then(|r| r.host_alive) == Some(true) && !cloud_name(&case.ask.host) {
            reasons.push(Reason::against(
                "connect",
                "the host answers on other ports, security groups drop all that is not allowed",
            ));
        }
        reasons
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Advice, "look at the rules in the cloud's console")
                .step(format!(
                    "inbound TCP {} from {} must be allowed by the security group (or allow-list) of the Redis side",
                    case.ask.port,
                    source_or_blank(case)
                ))
                .step("network ACLs know no state: they must also allow the answers, to ports 1024-65535")
                .step("managed services are often reachable from their own network (VPC) only"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{CloudFirewallBlocks, cloud_name};
    use crate::cause::testing::{bearings, confirms, on_server, ping_error, rules_out, silent, timed_out};
    use crate::diagnosis::Bearing;

    #[test]
    fn a_cloud_name_speaks_for_it_weakly() {
        let mut file = timed_out();
        file.ask.host = "my.abc123.0001.euw1.cache.amazonaws.com".to_owned();
        assert_eq!(bearings(&CloudFirewallBlocks, &file), [Bearing::Weak]);
        assert!(!cloud_name("redis.example.org") && !cloud_name("notamazonaws.com"));
    }

    #[test]
    fn confirmed_only_by_the_services_own_word() {
        assert!(confirms(&CloudFirewallBlocks, &ping_error("ERR illegal address: 203.0.113.9:4711")));
    }

    #[test]
    fn ruled_out_on_this_machine() {
        assert!(rules_out(&CloudFirewallBlocks, &on_server(timed_out())));
    }

    #[test]
    fn silent_otherwise() {
        assert!(silent(&CloudFirewallBlocks, &timed_out()));
    }
}
