//! Listings in the tools' documented forms (`fixtures/`), judged; broken ones; ten thousand rules.

use super::{Connection, Inventory, Source, commands, fuzz_cloud};
use crate::evidence::cloud::{CloudVerdict, Judged};

/// What one cloud does with a connection, after these listings.
fn judged(listings: &[(&str, &str)], connection: &Connection) -> CloudVerdict {
    let mut inventory = Inventory::default();
    for (name, text) in listings {
        inventory.add(name, text.as_bytes(), false).expect(name);
    }
    let clouds = inventory.judge(std::slice::from_ref(connection));
    assert_eq!(clouds.len(), 1, "one cloud was read");
    clouds[0].verdicts[0].clone()
}

fn dial(client: &str, server: &str) -> Connection {
    Connection {
        source: Source::Assumed(client.parse().expect("an address")),
        server: server.parse().expect("an address"),
        port: 6379,
        host: server.to_owned(),
        own_port: None,
        client_ports: Some((32768, 60999)),
        own: true,
    }
}

fn command(verdict: &CloudVerdict) -> String {
    let opening = verdict.blocker().and_then(|f| f.opening.as_ref());
    opening.and_then(|o| commands::of(o).1).unwrap_or_default()
}

mod aws {
    use super::{Judged, command, dial, judged};

    pub(super) const INTERFACES: &str = r#"{"NetworkInterfaces": [
        {"NetworkInterfaceId": "eni-c", "VpcId": "vpc-1", "SubnetId": "subnet-a", "PrivateIpAddress": "10.0.1.7",
         "Groups": [{"GroupId": "sg-app", "GroupName": "app"}]},
        {"NetworkInterfaceId": "eni-s", "VpcId": "vpc-1", "SubnetId": "subnet-b", "PrivateIpAddress": "10.0.2.5",
         "Association": {"PublicIp": "203.0.113.5"}, "Groups": [{"GroupId": "sg-redis", "GroupName": "redis"}],
         "Attachment": {"InstanceId": "i-1"}}]}"#;
    pub(super) const ACL: &str = r#"{"NetworkAcls": [{"NetworkAclId": "acl-1",
        "Associations": [{"SubnetId": "subnet-a"}, {"SubnetId": "subnet-b"}], "Entries": [
        {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": true, "CidrBlock": "0.0.0.0/0"},
        {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "Egress": false, "CidrBlock": "0.0.0.0/0"}]}]}"#;

    pub(super) fn groups(ingress: &str) -> String {
        format!(
            r#"{{"SecurityGroups": [
            {{"GroupId": "sg-app", "GroupName": "app", "OwnerId": "1", "IpPermissions": [],
              "IpPermissionsEgress": [{{"IpProtocol": "-1", "IpRanges": [{{"CidrIp": "0.0.0.0/0"}}]}}]}},
            {{"GroupId": "sg-redis", "GroupName": "redis", "OwnerId": "1", "IpPermissions": [{ingress}],
              "IpPermissionsEgress": []}}]}}"#
        )
    }

    fn verdict(ingress: &str, acl: bool, client: &str, server: &str) -> super::CloudVerdict {
        let groups = groups(ingress);
        let mut listings = vec![("i.json", INTERFACES), ("g.json", groups.as_str())];
        if acl {
            listings.push(("a.json", ACL));
        }
        judged(&listings, &dial(client, server))
    }

    pub(super) const BY_GROUP: &str = r#"{"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "UserIdGroupPairs": [{"GroupId": "sg-app", "UserId": "1"}]}"#;

    #[test]
    fn a_missing_rule_is_proven_and_its_command_is_for_the_client_alone() {
        let blocked = verdict("", true, "10.0.1.7", "10.0.2.5");
        assert_eq!((blocked.verdict, blocked.proven), (Judged::Blocked, true));
        assert!(blocked.because.contains("sg-redis (redis) has no inbound rule"), "{}", blocked.because);
        assert!(
            command(&blocked).contains("--group-id sg-redis") && command(&blocked).contains("10.0.1.7/32")
        );
        assert_eq!(blocked.server.as_deref(), Some("eni-s of i-1"));
    }

    #[test]
    fn a_group_means_its_members_own_addresses() {
        assert_eq!(verdict(BY_GROUP, true, "10.0.1.7", "10.0.2.5").verdict, Judged::Allowed);
        // A container's address behind the host's: the cloud sees another one.
        let hidden = verdict(BY_GROUP, true, "172.17.0.2", "10.0.2.5");
        assert_eq!(hidden.verdict, Judged::Undecided, "{}", hidden.because);
        // By the public address the group does not count.
        let public = verdict(BY_GROUP, true, "10.0.1.7", "203.0.113.5");
        assert_eq!(public.verdict, Judged::Blocked, "{}", public.because);
    }

    #[test]
    fn without_the_acls_nothing_is_called_allowed_and_a_block_stays_one() {
        let open = verdict(BY_GROUP, false, "10.0.1.7", "10.0.2.5");
        assert_eq!(open.verdict, Judged::Undecided);
        assert!(open.because.contains("network ACL of subnet subnet-a"), "{}", open.because);
        assert_eq!(verdict("", false, "10.0.1.7", "10.0.2.5").verdict, Judged::Blocked);
    }

    #[test]
    fn an_address_that_may_be_translated_proves_nothing() {
        let rule = r#"{"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}"#;
        let guessed = verdict(rule, true, "172.17.0.2", "10.0.2.5");
        assert_eq!((guessed.verdict, guessed.proven), (Judged::Blocked, false), "{}", guessed.because);
        assert_eq!(verdict("", true, "172.17.0.2", "10.0.2.5").verdict, Judged::Blocked);
        assert!(verdict("", true, "172.17.0.2", "10.0.2.5").proven, "nobody at all is admitted");
    }

    #[test]
    fn a_cache_is_known_by_its_name() {
        let cache = r#"{"CacheClusters": [{"CacheClusterId": "c1", "SecurityGroups": [{"SecurityGroupId": "sg-redis"}],
            "CacheNodes": [{"Endpoint": {"Address": "c1.x.0001.euw1.cache.amazonaws.com", "Port": 6379}}]}]}"#;
        let mut connection = dial("10.0.1.7", "10.0.7.7");
        connection.host = "C1.x.0001.euw1.cache.amazonaws.com.".to_owned();
        let verdict = judged(&[("g.json", &groups("")), ("c.json", cache)], &connection);
        assert_eq!(verdict.verdict, Judged::Blocked);
        assert_eq!(verdict.server.as_deref(), Some("cache cluster c1"));
    }
}

#[test]
fn what_is_no_listing_is_said() {
    let says = |text: &str| Inventory::default().add("x", text.as_bytes(), false).expect_err("is none");
    assert!(says("").contains("empty"));
    assert!(says("{").contains("cut off, at line 1"));
    assert!(says("[1, 2]").contains("none of the listings"));
    assert!(says("{\"a\": 1}").contains("describe-security-groups"));
    assert!(says("{\"SecurityGroups\": [{\"GroupId\": 7}]}").contains("a value of the wrong kind"));
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    assert!(says(&deep("[", "")).contains("cut off"));
    assert!(says(&deep("[", "]")).contains("none of the listings"));
    assert!(says(&format!("{{\"kind\": {}}}", deep("[", "]"))).contains("nested too deeply"));
}

/// A deterministic stand-in for a fuzzer: every listing cut, and with each of its values replaced.
#[test]
fn no_json_panics() {
    let all = [
        GCP_INSTANCES,
        GCP_EFFECTIVE,
        AZURE_NICS,
        AZURE_GROUPS,
        AZURE_NETS,
        AZURE_PUBLIC,
        aws::INTERFACES,
        aws::ACL,
    ];
    let groups = aws::groups(aws::BY_GROUP);
    let all: Vec<&str> = all.into_iter().chain([groups.as_str()]).collect();
    let hostile = [
        "null",
        "-1",
        "99999999999",
        "\"\"",
        "\"\\u001b[2J\"",
        "[]",
        "{}",
        "[[]]",
        "\"-\"",
        "\"0-\"",
        "true",
    ];
    for (at, text) in all.iter().enumerate() {
        // The others beside it, so that the judges get far.
        let beside: String = all.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, t)| *t).collect();
        for cut in (0..text.len()).step_by(97) {
            fuzz_cloud(text.get(..cut).unwrap_or_default().as_bytes());
        }
        let document: serde_json::Value = serde_json::from_str(text).expect("parses");
        for leaf in 0..count(&document) {
            let value = serde_json::from_str(hostile[leaf % hostile.len()]).expect("is JSON");
            let mut copy = document.clone();
            replace(&mut copy, &mut leaf.clone(), &value);
            fuzz_cloud(format!("{copy}{beside}").as_bytes());
        }
    }
}

/// Some tenths of a second on an idle machine: what is quadratic takes minutes.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

#[test]
fn ten_thousand_rules_are_judged_in_bounded_time() {
    let rule = |n: u32| {
        format!(
            r#"{{"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "IpRanges": [{{"CidrIp": "172.16.{}.{}/32"}}]}}"#,
            n / 256 % 256,
            n % 256
        )
    };
    let rules: Vec<String> = (0..10_000).map(rule).collect();
    let groups = aws::groups(&rules.join(","));
    let before = crate::sys::now();
    let verdict =
        judged(&[("i", aws::INTERFACES), ("g", &groups), ("a", aws::ACL)], &dial("10.0.1.7", "10.0.2.5"));
    assert_eq!(verdict.verdict, Judged::Blocked);
    assert!(before.elapsed() < LIMIT, "{:?}", before.elapsed());
    let one = &GCP_RULES[GCP_RULES.find('{').expect("a rule")..GCP_RULES.find("\n },").expect("its end") + 3];
    let many = format!("[{}]", vec![one; 10_000].join(","));
    let before = crate::sys::now();
    let verdict = judged(&[("i", GCP_INSTANCES), ("r", &many)], &dial("10.132.0.7", "10.132.0.5"));
    assert_eq!(verdict.verdict, Judged::Blocked);
    assert!(before.elapsed() < LIMIT, "{:?}", before.elapsed());
    let groups: serde_json::Value = serde_json::from_str(AZURE_GROUPS).expect("parses");
    let rules: Vec<serde_json::Value> = (0..10_000u32)
        .map(|n| {
            let mut rule = groups[0]["securityRules"][1].clone();
            rule["priority"] = n.into();
            rule
        })
        .collect();
    let mut many = groups.clone();
    many[0]["securityRules"] = rules.into();
    let many = many.to_string();
    let before = crate::sys::now();
    let listings = [("n", AZURE_NICS), ("g", many.as_str()), ("v", AZURE_NETS)];
    let verdict = judged(&listings, &dial("192.168.7.7", "10.1.2.5"));
    assert_eq!(verdict.verdict, Judged::Blocked);
    assert!(before.elapsed() < LIMIT, "{:?}", before.elapsed());
}

fn count(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => items.iter().map(count).sum::<usize>() + 1,
        serde_json::Value::Object(map) => map.values().map(count).sum::<usize>() + 1,
        _ => 1,
    }
}

fn replace(value: &mut serde_json::Value, at: &mut usize, with: &serde_json::Value) -> bool {
    if *at == 0 {
        value.clone_from(with);
        return true;
    }
    *at -= 1;
    match value {
        serde_json::Value::Array(items) => items.iter_mut().any(|v| replace(v, at, with)),
        serde_json::Value::Object(map) => map.values_mut().any(|v| replace(v, at, with)),
        _ => false,
    }
}

const GCP_INSTANCES: &str = include_str!("fixtures/gcp-instances.json");
const GCP_RULES: &str = include_str!("fixtures/gcp-firewall-rules.json");
const GCP_EFFECTIVE: &str = include_str!("fixtures/gcp-effective-firewalls.json");
const AZURE_NICS: &str = include_str!("fixtures/azure-nic.json");
const AZURE_GROUPS: &str = include_str!("fixtures/azure-nsg.json");
const AZURE_NETS: &str = include_str!("fixtures/azure-vnet.json");
const AZURE_PUBLIC: &str = include_str!("fixtures/azure-public-ip.json");

mod gcp {
    use super::{CloudVerdict, GCP_EFFECTIVE, GCP_INSTANCES, GCP_RULES, Judged, command, dial, judged};
    use serde_json::{Value, json};

    const CLIENT: &str = "10.132.0.7";
    const SERVER: &str = "10.132.0.5";

    /// With the effective rules changed.
    fn effective(change: impl FnOnce(&mut Value)) -> CloudVerdict {
        let mut value: Value = serde_json::from_str(GCP_EFFECTIVE).expect("parses");
        change(&mut value);
        judged(&[("i", GCP_INSTANCES), ("e", &value.to_string())], &dial(CLIENT, SERVER))
    }

    /// The rule for Redis admits the tag of the client's instance.
    fn admit(value: &mut Value) {
        value["firewalls"][1]["sourceTags"] = json!(["web"]);
    }

    #[test]
    fn what_no_rule_admits_is_denied_and_proven_with_the_policies() {
        let blocked = effective(|_| {});
        assert_eq!((blocked.verdict, blocked.proven), (Judged::Blocked, true), "{}", blocked.because);
        assert!(blocked.because.contains("no ingress rule for instance redis-1"), "{}", blocked.because);
        assert!(
            blocked.because.contains("allow-redis-from-batch"),
            "the rule that comes close: {}",
            blocked.because
        );
        let command = command(&blocked);
        for part in [
            "--network=prod",
            "--source-ranges=10.132.0.7/32",
            "--rules=tcp:6379",
            "--target-tags=redis",
            "--project=shop-prod",
        ] {
            assert!(command.contains(part), "{command}");
        }
        let alone = judged(&[("i", GCP_INSTANCES), ("r", GCP_RULES)], &dial(CLIENT, SERVER));
        assert_eq!((alone.verdict, alone.proven), (Judged::Blocked, false));
        assert!(alone.doubt.is_some_and(|d| d.contains("get-effective-firewalls")));
    }

    #[test]
    fn tags_and_accounts_mark_instances() {
        assert_eq!(effective(admit).verdict, Judged::Allowed);
        let by_account = effective(|v| {
            let rule = &mut v["firewalls"][1];
            rule["sourceTags"] = Value::Null;
            rule["targetTags"] = Value::Null;
            rule["sourceServiceAccounts"] = json!(["web@shop-prod.iam.gserviceaccount.com"]);
            rule["targetServiceAccounts"] = json!(["redis@shop-prod.iam.gserviceaccount.com"]);
        });
        assert_eq!(by_account.verdict, Judged::Allowed);
        // The rule is for other instances.
        let elsewhere = effective(|v| {
            admit(v);
            v["firewalls"][1]["targetTags"] = json!(["valkey"]);
        });
        assert_eq!(elsewhere.verdict, Judged::Blocked);
        let mut value: Value = serde_json::from_str(GCP_EFFECTIVE).expect("parses");
        admit(&mut value);
        let listings = [("i", GCP_INSTANCES), ("e", &value.to_string())];
        let public = judged(&listings, &dial(CLIENT, "203.0.113.5"));
        assert_eq!(public.verdict, Judged::Blocked, "a tag means internal addresses: {}", public.because);
    }

    #[test]
    fn the_lower_priority_number_decides_and_a_deny_before_an_allow() {
        let denied = |priority: u32, disabled: bool| {
            effective(|v| {
                admit(v);
                let rule = &mut v["firewalls"][0];
                rule["allowed"] = Value::Null;
                rule["denied"] = json!([{"IPProtocol": "all"}]);
                rule["priority"] = priority.into();
                rule["disabled"] = disabled.into();
            })
        };
        let before = denied(900, false);
        assert_eq!(before.verdict, Judged::Blocked, "{}", before.because);
        assert!(command(&before).contains("--priority=899"), "{}", command(&before));
        assert_eq!(denied(1000, false).verdict, Judged::Blocked);
        assert_eq!(denied(1001, false).verdict, Judged::Allowed);
        assert_eq!(denied(900, true).verdict, Judged::Allowed);
        assert_eq!(command(&denied(0, false)), "", "nothing comes before priority 0");
    }

    #[test]
    fn policies_above_decide_first_and_what_they_select_by_may_stay_open() {
        let denies = effective(|v| {
            admit(v);
            v["firewallPolicys"][0]["rules"][0]["action"] = json!("deny");
        });
        assert_eq!(denies.verdict, Judged::Blocked);
        assert!(denies.because.contains("firewall policy org-baseline"), "{}", denies.because);
        let open = effective(|v| {
            let rule = &mut v["firewallPolicys"][0]["rules"][0];
            rule["action"] = json!("allow");
            rule["match"] = json!({"srcRegionCodes": ["DE"], "layer4Configs": [{"ipProtocol": "tcp"}]});
        });
        assert_eq!(open.verdict, Judged::Undecided);
        assert!(open.because.contains("srcRegionCodes"), "{}", open.because);
        // A network's own policy that allows: by default it comes after the VPC's rules, where nothing applies.
        let network = |allowed: bool| {
            effective(|v| {
                if !allowed {
                    v["firewalls"][0]["denied"] = json!([{"IPProtocol": "all"}]);
                }
                let policies = v["firewallPolicys"].as_array_mut().expect("a list");
                policies.push(json!({"type": "NETWORK", "name": "net", "rules": [{"priority": 1, "direction": "INGRESS",
                    "action": "allow", "match": {"srcIpRanges": ["10.0.0.0/8"], "layer4Configs": [{"ipProtocol": "tcp", "ports": ["6379"]}]}}]}));
            })
        };
        assert_eq!(network(true).verdict, Judged::Allowed);
        let hangs = network(false);
        assert_eq!(hangs.verdict, Judged::Undecided, "the order is not in the listing: {}", hangs.because);
    }

    #[test]
    fn the_clients_instance_may_not_let_it_out() {
        let out = effective(|v| {
            admit(v);
            let rule = &mut v["firewalls"][0];
            rule["direction"] = json!("EGRESS");
            rule["denied"] = json!([{"IPProtocol": "tcp", "ports": ["6379"]}]);
            rule["sourceRanges"] = Value::Null;
        });
        assert_eq!(out.verdict, Judged::Blocked, "{}", out.because);
        assert!(out.because.contains("denies TCP 6379 to 10.132.0.5"), "{}", out.because);
        let command = command(&out);
        assert!(
            command.contains("--direction=EGRESS") && command.contains("--destination-ranges=10.132.0.5/32")
        );
    }
}

mod azure {
    use super::{
        AZURE_GROUPS, AZURE_NETS, AZURE_NICS, AZURE_PUBLIC, CloudVerdict, Judged, command, dial, judged,
    };

    fn with(groups: &str, nets: &str, client: &str, server: &str) -> CloudVerdict {
        judged(&[("n", AZURE_NICS), ("g", groups), ("v", nets), ("p", AZURE_PUBLIC)], &dial(client, server))
    }

    fn inside(groups: &str) -> CloudVerdict {
        with(groups, AZURE_NETS, "10.1.1.7", "10.1.2.5")
    }

    #[test]
    fn the_subnets_group_denies_by_its_own_rule() {
        let blocked = inside(AZURE_GROUPS);
        assert_eq!((blocked.verdict, blocked.proven), (Judged::Blocked, true), "{}", blocked.because);
        assert!(
            blocked.because.contains("data-nsg denies") && blocked.because.contains("deny-other-subnets")
        );
        let command = command(&blocked);
        for part in [
            "--resource-group shop --nsg-name data-nsg",
            "--priority 301",
            "--source-address-prefixes 10.1.1.7/32",
            "--destination-address-prefixes 10.1.2.5/32",
        ] {
            assert!(command.contains(part), "{command}");
        }
    }

    #[test]
    fn default_rules_admit_the_virtual_network_and_its_peers_only() {
        let open = AZURE_GROUPS.replace("\"priority\": 4000", "\"priority\": 65400");
        assert_eq!(inside(&open).verdict, Judged::Allowed, "{}", inside(&open).because);
        let peer = with(&open, AZURE_NETS, "10.2.0.9", "10.1.2.5");
        assert_eq!(peer.verdict, Judged::Allowed, "{}", peer.because);
        let foreign = with(&open, AZURE_NETS, "192.168.7.7", "10.1.2.5");
        assert_eq!(foreign.verdict, Judged::Blocked, "{}", foreign.because);
        assert!(foreign.because.contains("DenyAllInBound"), "{}", foreign.because);
        // A gateway may bring the client's network into the tag.
        let routed = AZURE_NETS.replace("\"name\": \"web\"", "\"name\": \"GatewaySubnet\"");
        let behind = with(&open, &routed, "192.168.7.7", "10.1.2.5");
        assert_eq!(behind.verdict, Judged::Undecided, "{}", behind.because);
        let without = judged(&[("n", AZURE_NICS), ("g", &open)], &dial("10.1.1.7", "10.1.2.5"));
        assert_eq!(without.verdict, Judged::Undecided);
        assert!(without.because.contains("az network vnet list"), "{}", without.because);
    }

    #[test]
    fn an_unknown_service_tag_matters_only_where_it_would_change_the_end() {
        let internet = with(AZURE_GROUPS, AZURE_NETS, "192.168.7.7", "203.0.113.25");
        assert_eq!(
            internet.verdict,
            Judged::Blocked,
            "the subnet's group denies whoever it is: {}",
            internet.because
        );
        let at_nic = AZURE_GROUPS.replace("10.1.9.0/24", "Internet");
        let maybe = with(&at_nic, AZURE_NETS, "192.168.7.7", "203.0.113.25");
        assert_eq!(maybe.verdict, Judged::Undecided);
        assert!(maybe.because.contains("service tag AzureMonitor"), "{}", maybe.because);
        let open = at_nic.replace("AzureMonitor", "Internet");
        let allowed = with(&open, AZURE_NETS, "192.168.7.7", "203.0.113.25");
        assert_eq!((allowed.verdict, allowed.proven), (Judged::Allowed, true), "{}", allowed.because);
    }

    #[test]
    fn the_nested_form_of_the_rest_api_is_read_alike() {
        let mut groups: serde_json::Value = serde_json::from_str(AZURE_GROUPS).expect("parses");
        for group in groups.as_array_mut().expect("a list") {
            nest(group);
            for list in ["securityRules", "defaultSecurityRules"] {
                for rule in group["properties"][list].as_array_mut().expect("rules") {
                    nest(rule);
                }
            }
        }
        let nested = serde_json::json!({ "value": groups }).to_string();
        assert_eq!(inside(&nested).because, inside(AZURE_GROUPS).because);
    }

    fn nest(resource: &mut serde_json::Value) {
        let object = resource.as_object().expect("an object").clone();
        let keep = |k: &str| matches!(k, "id" | "name" | "type" | "location" | "etag");
        let (own, rest): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
            object.into_iter().partition(|(k, _)| keep(k));
        *resource = serde_json::Value::Object(own);
        resource["properties"] = serde_json::Value::Object(rest);
    }

    #[test]
    fn a_private_endpoint_is_filtered_only_where_its_subnet_says_so() {
        let nics = AZURE_NICS.replace(
            "\"primary\": true,\n  \"ipConfigurations\"",
            "\"privateEndpoint\": {\"id\": \"/x\"}, \"ipConfigurations\"",
        );
        let listings = |nets| [("n", nics.as_str()), ("g", AZURE_GROUPS), ("v", nets)];
        let verdict = |nets| judged(&listings(nets), &dial("10.1.1.7", "10.1.2.5")).verdict;
        assert_eq!(verdict(AZURE_NETS), Judged::Allowed);
        let enabled = AZURE_NETS.replace(
            "\"privateEndpointNetworkPolicies\": \"Disabled\"",
            "\"privateEndpointNetworkPolicies\": \"Enabled\"",
        );
        assert_eq!(verdict(&enabled), Judged::Blocked);
    }
}
