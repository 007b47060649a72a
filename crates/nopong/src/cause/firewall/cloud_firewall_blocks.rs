//! A cloud's security group, network ACL or allow-list drops the connection. From a host nobody can see those
//! rules: this stays possible until somebody looks in the console, or `--cloud` has them read and judged.

use super::shared::{came_in, opened_in_cloud, reach};
use crate::cause::common::{meta, own_input, own_output, source_or_blank};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::{Case, Journey, Symptom};
use crate::evidence::cloud::{Cloud, CloudVerdict, Judged};

/// See the module.
#[derive(Debug)]
pub(super) struct CloudFirewallBlocks;

static META: Meta = meta(
    "cloud-firewall-blocks",
    Category::Firewall,
    Stage::Connect,
    "a security group or allow-list of the cloud drops the connection",
    &["cloud", "firewall", "listener"],
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

/// What the clouds' rules say of each connection.
fn verdicts<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Cloud, &'a CloudVerdict)> {
    let clouds: &'a [Cloud] = case.file.client.cloud.get().map_or(&[], Vec::as_slice);
    clouds.iter().flat_map(|c| c.verdicts.iter().map(move |v| (c, v)))
}

/// The connection dialled from here that the rules block, one that is proven first.
fn blocked<'a>(case: &Case<'a>, own: bool) -> Option<(&'a Cloud, &'a CloudVerdict)> {
    let of = |(_, v): &(&Cloud, &CloudVerdict)| v.own == own && v.verdict == Judged::Blocked;
    verdicts(case).filter(of).min_by_key(|(_, v)| !v.proven)
}

/// A packet of our own attempt was seen beyond the cloud's filters, or never got as far.
fn decided_elsewhere(case: &Case<'_>) -> Option<Reason> {
    if own_input(case).and_then(|v| v.moved) == Some(true) {
        return Some(Reason::rules_out("firewall", "our own SYN came to the host: a rule there counted it"));
    }
    None
}

/// Our own machine stops the connection before it leaves.
fn stays_here(case: &Case<'_>) -> bool {
    own_output(case).is_some_and(|v| matches!(v.verdict.as_str(), "drop" | "reject"))
}

/// What the judged rules say for and against it being the first obstacle.
fn by_rules(case: &Case<'_>) -> Vec<Reason> {
    if let Some((cloud, verdict)) = blocked(case, true) {
        let says = format!("{}: {}", cloud.provider.name(), verdict.because);
        let mut reasons = vec![match &verdict.doubt {
            None if verdict.proven => Reason::confirms("cloud", says),
            None => Reason::strong("cloud", says),
            Some(doubt) => Reason::strong("cloud", format!("{says}; but {doubt}")),
        }];
        if let Some(server) = &verdict.server {
            reasons.push(Reason::weak("cloud", format!("{} is {server} there", verdict.destination)));
        }
        return reasons;
    }
    let own: Vec<_> = verdicts(case).filter(|(_, v)| v.own).collect();
    let allowed = |proven: bool| {
        let passes = |v: &CloudVerdict| v.verdict == Judged::Allowed && (v.proven || !proven);
        own.iter().find(|(_, v)| passes(v)).filter(|_| {
            // Every address that was dialled has to be let through by somebody.
            own.iter().all(|(_, v)| own.iter().any(|(_, o)| o.destination == v.destination && passes(o)))
        })
    };
    let says = |(cloud, verdict): &(&Cloud, &CloudVerdict)| {
        format!("{}: {}", cloud.provider.name(), verdict.because)
    };
    match (allowed(true), allowed(false)) {
        (Some(found), _) => vec![Reason::rules_out("cloud", says(found))],
        (None, Some(found)) => vec![Reason::against("cloud", says(found))],
        (None, None) => Vec::new(),
    }
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
        if let Some(reason) = came_in(case).or_else(|| decided_elsewhere(case)) {
            return vec![reason];
        }
        // The rules beyond are of no account yet: see `latent`.
        let judged = if stays_here(case) { Vec::new() } else { by_rules(case) };
        if !judged.is_empty() {
            return judged;
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

    fn title(&self, case: &Case<'_>) -> String {
        match blocked(case, true) {
            Some((cloud, verdict)) if case.symptom == Symptom::TimedOut => {
                format!("{} drops the connection: {}", cloud.provider.name(), verdict.because)
            }
            _ => META.title.to_owned(),
        }
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        // What answered came through: rules that would block are not in the way of this client.
        let own = match case.symptom {
            Symptom::TimedOut if stays_here(case) => blocked(case, true),
            Symptom::NameNotFound | Symptom::NoRoute | Symptom::LocalErrno => blocked(case, true),
            _ => None,
        };
        let pong = case.symptom == Symptom::Pong;
        if let Some((cloud, verdict)) = own.or_else(|| blocked(case, false)) {
            let says = format!("{}: {}", cloud.provider.name(), verdict.because);
            return Some(Latent {
                place: if pong { Place::Warning } else { Place::Behind },
                title: format!(
                    "{} drops connections of {}: {}",
                    cloud.provider.name(),
                    verdict.source,
                    verdict.because
                ),
                reasons: vec![if verdict.proven {
                    Reason::confirms("cloud", says)
                } else {
                    Reason::strong("cloud", says)
                }],
                fix: Some(opened_in_cloud(verdict)),
            });
        }
        // Answers to some of the client's ports are lost: now and then a connection hangs.
        let partly = |(c, v): (&'_ Cloud, &CloudVerdict)| {
            let filter = v.filters.iter().find(|f| f.partly.is_some())?;
            Some((c.provider, v.clone(), filter.partly.clone()?))
        };
        let (provider, verdict, says) = verdicts(case).find_map(partly)?;
        Some(Latent {
            place: Place::Warning,
            title: format!("{} drops some connections: {says}", provider.name()),
            reasons: vec![Reason::strong("cloud", says)],
            fix: Some(opened_in_cloud(&verdict)),
        })
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some((_, verdict)) = blocked(case, true) {
            return Some(opened_in_cloud(verdict));
        }
        Some(
            Fix::new(Risk::Advice, "look at the rules in the cloud's console")
                .step(format!(
                    "inbound TCP {} from {} must be allowed by the security group (or allow-list) of the Redis side",
                    case.ask.port,
                    source_or_blank(case)
                ))
                .step("network ACLs know no state: they must also allow the answers, to ports 1024-65535")
                .step("managed services are often reachable from their own network (VPC) only")
                .run(
                    "or have the rules read and judged, with the cloud's own tool",
                    format!("nopong --cloud {}", crate::cause::common::sh(&crate::cause::common::url(case, case.ask.port))),
                ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{CloudFirewallBlocks, cloud_name};
    use crate::cause::testing::{
        bearings, client, confirms, first, on_server, ping_error, pong, refused, rules_out, seen, silent,
        timed_out,
    };
    use crate::diagnosis::{Band, Bearing, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::cloud::{Cloud, CloudVerdict, Filter, Judged, Opening};

    fn judged(mut file: CaseFile, verdict: Judged, proven: bool, own: bool) -> CaseFile {
        let opening = Opening::AwsGroup {
            group: "sg-1".to_owned(),
            ingress: true,
            port: 6379,
            peer: Some("10.0.0.7".parse().unwrap()),
        };
        let filter = Filter {
            kind: "security group".to_owned(),
            names: vec!["sg-1 (redis)".to_owned()],
            ingress: true,
            verdict,
            opening: Some(opening).filter(|_| verdict == Judged::Blocked),
            ..Filter::default()
        };
        let verdict = CloudVerdict {
            source: "10.0.0.7".to_owned(),
            destination: "10.0.0.5:6379".to_owned(),
            own,
            server: Some("eni-1 of i-1".to_owned()),
            verdict,
            proven,
            because: "security group sg-1 (redis) has no inbound rule".to_owned(),
            filters: vec![filter],
            ..CloudVerdict::default()
        };
        file.client.cloud = seen(vec![Cloud { verdicts: vec![verdict], ..Cloud::default() }]);
        file
    }

    #[test]
    fn judged_rules_confirm_with_the_group_and_the_missing_rule() {
        let file = judged(timed_out(), Judged::Blocked, true, true);
        assert_eq!(first(&file), Some(("cloud-firewall-blocks", Band::Confirmed)));
        let diagnosis = diagnose(&file);
        let found = &diagnosis.causes[0];
        assert!(found.title.contains("sg-1 (redis)"), "{}", found.title);
        let fix = found.fix.as_ref().unwrap();
        assert_eq!(fix.risk, crate::diagnosis::Risk::Advice);
        assert!(fix.steps.iter().any(|s| s.command.as_deref().is_some_and(|c| c.contains("10.0.0.7/32"))));
        // A guess about the client's address, or policies nobody read: not proven.
        assert_eq!(
            first(&judged(timed_out(), Judged::Blocked, false, true))
                .map(|(id, band)| (id, band == Band::Confirmed)),
            Some(("cloud-firewall-blocks", false))
        );
    }

    #[test]
    fn rules_that_allow_rule_it_out_and_undecided_ones_say_nothing() {
        assert!(rules_out(&CloudFirewallBlocks, &judged(timed_out(), Judged::Allowed, true, true)));
        let unproven = judged(timed_out(), Judged::Allowed, false, true);
        assert_eq!(bearings(&CloudFirewallBlocks, &unproven), [Bearing::Against]);
        assert!(silent(&CloudFirewallBlocks, &judged(timed_out(), Judged::Undecided, false, true)));
    }

    #[test]
    fn what_was_answered_came_through() {
        assert!(silent(&CloudFirewallBlocks, &judged(refused(), Judged::Blocked, true, true)));
        assert!(silent(&CloudFirewallBlocks, &judged(pong(&[]), Judged::Blocked, true, true)));
    }

    #[test]
    fn another_clients_block_is_behind_or_a_warning() {
        let behind = diagnose(&judged(on_server(refused()), Judged::Blocked, true, false)).behind;
        assert!(behind.iter().any(|f| f.cause.meta().id == "cloud-firewall-blocks"));
        let warnings = diagnose(&judged(pong(&[]), Judged::Blocked, true, false)).warnings;
        assert!(warnings.iter().any(|f| f.cause.meta().id == "cloud-firewall-blocks"));
        let mut unresolved = client("cache", 6379);
        unresolved.client.name = seen(crate::evidence::client::Name {
            asked: "cache".to_owned(),
            error: Some("EAI_NONAME".to_owned()),
            ..Default::default()
        });
        let behind = diagnose(&judged(unresolved, Judged::Blocked, true, true)).behind;
        assert!(behind.iter().any(|f| f.cause.meta().id == "cloud-firewall-blocks"));
    }

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
