//! The way through network security groups: out by the client's interface and subnet, in by the server's subnet and
//! interface. In each the rule of the lowest priority number that applies decides. Connections are remembered.
//!
//! Of the service tags three can be evaluated: VirtualNetwork (as far as routes and gateways allow), Internet,
//! AzureLoadBalancer. Whether any other one applies is not known here, and stays open.

use super::{Configuration, Group, Inventory, Network, Nic, Reference, Resource, Rule, RuleValues};
use crate::cloud::net::{Match, Net, Peer, first_match, holds_port, is_private, shown};
use crate::cloud::{Connection, conclude, undecided};
use crate::evidence::cloud::{CloudVerdict, Filter, Judged, Opening};
use std::net::{IpAddr, Ipv4Addr};

/// The address from which Azure's infrastructure asks (health probes): the tag AzureLoadBalancer.
const PLATFORM: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));
/// Priorities that a user's rule may have.
const PRIORITIES: std::ops::RangeInclusive<u32> = 100..=4096;

/// What rules are compared with.
struct Passage<'a> {
    at_client: bool,
    port: u16,
    /// The port that the client sends from, where known.
    from_port: Option<u16>,
    source: Peer,
    destination: Peer,
    /// Application security groups of either end, where known.
    source_groups: Option<Vec<String>>,
    destination_groups: Option<Vec<String>>,
    /// The virtual network that the group stands in.
    network: Option<&'a Network>,
}

pub(in crate::cloud) fn judge(
    inventory: &Inventory,
    connection: &Connection,
    client: Option<IpAddr>,
) -> CloudVerdict {
    let anyone = client.map_or(connection.anyone(), |ip| connection.seen_from_server(ip));
    let clients = client.map(|ip| inventory.at(ip)).unwrap_or_default();
    let mut servers = inventory.at(connection.server);
    let net_of = |c: &Configuration| inventory.subnet_of(c).map(|(n, _)| n.key());
    let near = |c: &Configuration| net_of(c).is_some() && clients.iter().any(|(_, k)| net_of(k) == net_of(c));
    if servers.len() > 1 && servers.iter().any(|(_, c)| near(c)) {
        servers.retain(|(_, c)| near(c));
    }
    let (nic, at) = match servers.as_slice() {
        [one] => *one,
        [] => return undecided(anyone, inventory.not_found(connection.server)),
        several => {
            let names: Vec<_> = several.iter().take(4).map(|(n, _)| shown(n.name())).collect();
            return undecided(
                anyone,
                format!("{} is the address of several interfaces: {}", connection.server, names.join(", ")),
            );
        }
    };
    let from = clients.iter().find(|(_, c)| net_of(c) == net_of(at)).or(clients.first()).copied();
    let own = at.values().private();
    let by_public = own != Some(connection.server);
    let seen = match (client, from) {
        (Some(_), Some((_, c))) if by_public => {
            inventory.public.get(&c.key()).map_or(connection.anyone(), |ip| Peer::At(*ip))
        }
        (Some(ip), _) => connection.seen_from_server(ip),
        (None, _) => connection.anyone(),
    };
    // Groups of applications are known of interfaces that were read.
    let marks = |c: &Configuration| -> Vec<String> {
        c.values().application_security_groups.iter().flatten().map(Reference::key).collect()
    };
    let mut filters = Vec::new();
    if let Some((n, c)) = from {
        let passage = Passage {
            at_client: true,
            port: connection.port,
            from_port: connection.own_port,
            source: c.values().private().map_or(seen, Peer::At),
            destination: Peer::At(connection.server),
            source_groups: Some(marks(c)),
            destination_groups: if by_public { Some(Vec::new()) } else { Some(marks(at)) },
            network: inventory.subnet_of(c).map(|(n, _)| n),
        };
        filters.extend(inventory.pass(n, c, &passage));
    }
    let passage = Passage {
        at_client: false,
        port: connection.port,
        from_port: connection.own_port.filter(|_| from.is_some() && !by_public),
        source: seen,
        // The public address is translated before the groups see it.
        destination: own.map_or(Peer::At(connection.server), Peer::At),
        source_groups: match from {
            Some((_, c)) if !by_public => Some(marks(c)),
            _ if seen.is_public() || inventory.whole => Some(Vec::new()),
            _ => None,
        },
        destination_groups: Some(marks(at)),
        network: inventory.subnet_of(at).map(|(n, _)| n),
    };
    let entering = inventory.pass(nic, at, &passage);
    let bare = entering.is_empty();
    filters.extend(entering);
    let named = |n: &Nic| {
        let of = n.values().virtual_machine.as_ref().and_then(|v| v.id.as_deref()?.rsplit('/').next());
        shown(&format!("{}{}", n.name(), of.map(|v| format!(" of {v}")).unwrap_or_default()))
    };
    let mut verdict = conclude(filters, seen, from.map(|(n, _)| named(n)), Some(named(nic)));
    if bare && verdict.verdict == Judged::Allowed {
        if by_public {
            // A public address of the Standard SKU is closed without a group, one of the Basic SKU is open.
            verdict.verdict = Judged::Undecided;
            "no network security group stands at the server: whether its public address is open hangs on its SKU"
                .clone_into(&mut verdict.because);
        } else {
            "no network security group stands at the server's interface or subnet"
                .clone_into(&mut verdict.because);
        }
    }
    if verdict.verdict == Judged::Allowed && from.is_none() && !seen.is_public() {
        verdict.doubted(crate::cloud::CLIENT_UNSEEN);
    }
    verdict
}

impl Inventory {
    fn not_found(&self, server: IpAddr) -> String {
        if self.interfaces.is_empty() {
            return "no network interface is among what was read (az network nic list)".to_owned();
        }
        format!(
            "no network interface that was read has the address {server}: another subscription, a public address \
             (az network public-ip list), or a managed cache, whose own firewall is listed by az redis firewall-rules list"
        )
    }

    /// The groups that stand at that interface, in the order in which packets meet them.
    fn pass(&self, nic: &Nic, at: &Configuration, passage: &Passage<'_>) -> Vec<Filter> {
        let subnet = self.subnet_of(at);
        if nic.values().private_endpoint.is_some() {
            let policies = subnet
                .and_then(|(_, s)| s.values().private_endpoint_network_policies.as_deref())
                .unwrap_or_default();
            match policies {
                "Enabled" | "NetworkSecurityGroupEnabled" => {}
                "Disabled" | "RouteTableEnabled" => return Vec::new(),
                _ => {
                    let why = "whether network security groups apply to the private endpoint is not among what was \
                               read (az network vnet list)";
                    return vec![open(passage, why.to_owned())];
                }
            }
        }
        let own_id = nic.key();
        let subnet_id = at.values().subnet.as_ref().map(Reference::key).unwrap_or_default();
        // Either side of the association may have been read.
        let of_nic = nic
            .values()
            .network_security_group
            .as_ref()
            .map(Reference::key)
            .or_else(|| self.group_of(|v| &v.network_interfaces, &own_id));
        let of_subnet = subnet
            .and_then(|(_, s)| s.values().network_security_group.as_ref().map(Reference::key))
            .or_else(|| self.group_of(|v| &v.subnets, &subnet_id));
        let mut filters = Vec::new();
        for id in [of_subnet, of_nic].into_iter().flatten() {
            filters.push(match self.groups.get(&id) {
                Some(group) => self.judge_group(group, passage),
                None => {
                    let name = shown(id.rsplit('/').next().unwrap_or_default());
                    open(
                        passage,
                        format!("the rules of network security group {name} are not among what was read"),
                    )
                }
            });
        }
        // Without the subnets and with only some groups, another one may stand there.
        if subnet.is_none() && !self.whole && filters.len() < 2 {
            let why = "whether the subnet has a network security group is not among what was read (az network vnet list)";
            filters.push(open(passage, why.to_owned()));
        }
        if passage.at_client {
            filters.reverse();
        }
        filters
    }

    fn group_of(
        &self,
        list: impl Fn(&super::GroupValues) -> &Option<Vec<Reference>>,
        id: &str,
    ) -> Option<String> {
        let names = |g: &&Group| list(g.values()).iter().flatten().any(|r| !id.is_empty() && r.key() == id);
        self.groups.values().find(names).map(Resource::key)
    }

    fn judge_group(&self, group: &Group, passage: &Passage<'_>) -> Filter {
        let direction = if passage.at_client { "Outbound" } else { "Inbound" };
        let values = group.values();
        let written = values.security_rules.iter().flatten();
        let by_default = defaults(direction);
        let listed: Vec<&Rule> = values.default_security_rules.iter().flatten().collect();
        let all_defaults = if listed.is_empty() { by_default.iter().collect() } else { listed };
        let mut rules: Vec<&Rule> = written
            .clone()
            .chain(all_defaults)
            .filter(|r| r.values().direction.as_deref().is_some_and(|d| d.eq_ignore_ascii_case(direction)))
            .collect();
        rules.sort_by_key(|r| r.values().priority);
        let walked = first_match(
            rules.into_iter().map(|r| (r.values().applies(passage), r.allows(), Some(r))),
            (false, None),
        );
        let name = shown(group.name());
        let what = if passage.at_client {
            format!("TCP {} to {}", passage.port, passage.destination)
        } else {
            format!("TCP {} from {}", passage.port, passage.source)
        };
        let (verdict, rule, because) = match walked {
            Err(why) => (Judged::Undecided, None, format!("network security group {name}: {why}")),
            Ok((allows, rule)) => {
                let by = rule.map_or_else(|| "no rule applies".to_owned(), Rule::named);
                let does = if allows { "admits" } else { "denies" };
                let verdict = if allows { Judged::Allowed } else { Judged::Blocked };
                (verdict, rule, format!("network security group {name} {does} {what}: {by}"))
            }
        };
        let opening = (verdict == Judged::Blocked).then(|| Opening::Azure {
            group: group.name().to_owned(),
            resource_group: group.resource_group(),
            ingress: !passage.at_client,
            priority: free_priority(written, direction, rule),
            port: passage.port,
            peer: if passage.at_client { passage.destination.ip() } else { passage.source.ip() },
            own: if passage.at_client { passage.source.ip() } else { passage.destination.ip() },
        });
        Filter {
            rule: rule.map(Rule::named),
            names: vec![name],
            verdict,
            because,
            opening,
            ..open(passage, String::new())
        }
    }
}

/// A filter of which nothing is known.
fn open(passage: &Passage<'_>, because: String) -> Filter {
    Filter {
        kind: "network security group".to_owned(),
        at_client: passage.at_client,
        ingress: !passage.at_client,
        because,
        ..Filter::default()
    }
}

/// A priority that nobody has, before the rule that decides.
fn free_priority<'a>(
    written: impl Iterator<Item = &'a Rule> + Clone,
    direction: &str,
    decides: Option<&Rule>,
) -> Option<u32> {
    let of_direction =
        |r: &&Rule| r.values().direction.as_deref().is_some_and(|d| d.eq_ignore_ascii_case(direction));
    let used: Vec<u32> = written.filter(of_direction).filter_map(|r| r.values().priority).collect();
    let before = decides.and_then(|r| r.values().priority).unwrap_or(u32::MAX).min(PRIORITIES.end() + 1);
    let highest = used.iter().copied().filter(|p| *p < before).max().unwrap_or(PRIORITIES.start() - 1);
    // After the rules that are there already, where there is room; else anywhere before.
    let wanted = (highest + 1)..before;
    wanted.chain((*PRIORITIES.start()..before).rev()).find(|p| PRIORITIES.contains(p) && !used.contains(p))
}

/// The rules that every group has (documented as its default security rules), for listings without them.
fn defaults(direction: &str) -> Vec<Rule> {
    let rule = |name: &str, priority: u32, access: &str, source: &str, destination: &str| {
        let text = |t: &str| Some(t.to_owned());
        let flat = RuleValues {
            priority: Some(priority),
            direction: text(direction),
            access: text(access),
            protocol: text("*"),
            source_address_prefix: text(source),
            destination_address_prefix: text(destination),
            source_port_range: text("*"),
            destination_port_range: text("*"),
            ..RuleValues::default()
        };
        Rule { name: text(name), flat, ..Rule::default() }
    };
    if direction == "Inbound" {
        vec![
            rule("AllowVnetInBound", 65_000, "Allow", "VirtualNetwork", "VirtualNetwork"),
            rule("AllowAzureLoadBalancerInBound", 65_001, "Allow", "AzureLoadBalancer", "*"),
            rule("DenyAllInBound", 65_500, "Deny", "*", "*"),
        ]
    } else {
        vec![
            rule("AllowVnetOutBound", 65_000, "Allow", "VirtualNetwork", "VirtualNetwork"),
            rule("AllowInternetOutBound", 65_001, "Allow", "*", "Internet"),
            rule("DenyAllOutBound", 65_500, "Deny", "*", "*"),
        ]
    }
}

impl Rule {
    fn allows(&self) -> bool {
        self.values().access.as_deref().is_some_and(|a| a.eq_ignore_ascii_case("allow"))
    }

    fn named(&self) -> String {
        let values = self.values();
        let list = |one: &Option<String>, many: &Option<Vec<String>>| {
            let all: Vec<_> = one.iter().chain(many.iter().flatten()).take(4).map(String::as_str).collect();
            if all.is_empty() { "an application group".to_owned() } else { all.join(", ") }
        };
        let text = format!(
            "rule {}, priority {}: {} from {} to {}",
            self.name(),
            values.priority.unwrap_or_default(),
            values.access.as_deref().unwrap_or("nothing"),
            list(&values.source_address_prefix, &values.source_address_prefixes),
            list(&values.destination_address_prefix, &values.destination_address_prefixes),
        );
        crate::text::shown_str(&text, 160)
    }
}

impl RuleValues {
    fn applies(&self, passage: &Passage<'_>) -> Match {
        let of_protocol = match self.protocol.as_deref().unwrap_or("*") {
            "*" => true,
            p => p.eq_ignore_ascii_case("tcp"),
        };
        let ports = |one: &Option<String>, many: &Option<Vec<String>>, port: u16| {
            holds_port(
                one.iter().chain(many.iter().flatten()).map(String::as_str).filter(|t| !t.is_empty()),
                port,
            )
        };
        let from_ports = || {
            let all = || self.source_port_range.iter().chain(self.source_port_ranges.iter().flatten());
            if all().all(|t| t == "*") {
                return Match::Yes;
            }
            match passage.from_port {
                Some(port) => ports(&self.source_port_range, &self.source_port_ranges, port),
                None => Match::Maybe(
                    "a rule is for some source ports only, and the client's is not known".to_owned(),
                ),
            }
        };
        Match::of(of_protocol)
            .and(|| ports(&self.destination_port_range, &self.destination_port_ranges, passage.port))
            .and(|| {
                side(
                    (&self.destination_address_prefix, &self.destination_address_prefixes),
                    &self.destination_application_security_groups,
                    passage.destination,
                    passage.destination_groups.as_deref(),
                    passage.network,
                )
            })
            .and(|| {
                side(
                    (&self.source_address_prefix, &self.source_address_prefixes),
                    &self.source_application_security_groups,
                    passage.source,
                    passage.source_groups.as_deref(),
                    passage.network,
                )
            })
            .and(from_ports)
    }
}

/// One side of a rule: networks, service tags, application security groups.
fn side(
    (one, many): (&Option<String>, &Option<Vec<String>>),
    groups: &Option<Vec<Reference>>,
    peer: Peer,
    own_groups: Option<&[String]>,
    network: Option<&Network>,
) -> Match {
    let by_text = one.iter().chain(many.iter().flatten()).filter(|t| !t.is_empty()).map(|text| {
        match Net::parse(text) {
            Some(net) => peer.within(net),
            None => tag(text, peer, network),
        }
    });
    let by_group = groups.iter().flatten().map(|g| match own_groups {
        Some(own) => Match::of(own.contains(&g.key())),
        None => Match::Maybe(
            "a rule is for an application security group, and the client's are not known".to_owned(),
        ),
    });
    Match::any(by_text.chain(by_group))
}

/// A service tag.
fn tag(text: &str, peer: Peer, network: Option<&Network>) -> Match {
    match text.to_ascii_lowercase().as_str() {
        "*" | "any" | "0.0.0.0/0" => Match::Yes,
        "virtualnetwork" => in_network(peer, network),
        "azureloadbalancer" => match peer.ip() {
            Some(ip) => Match::of(ip == PLATFORM),
            // Nobody's client has that address.
            None => Match::No,
        },
        "internet" => match peer.ip() {
            Some(ip) if is_private(ip) => Match::No,
            None if !peer.is_public() => Match::Maybe("the client's address is not known".to_owned()),
            _ => match in_network(peer, network) {
                Match::Yes => Match::No,
                Match::No => Match::Yes,
                Match::Maybe(why) => Match::Maybe(why),
            },
        },
        _ => Match::Maybe(format!(
            "which addresses the service tag {} stands for is not known here",
            shown(text)
        )),
    }
}

/// VirtualNetwork: the network's own space and its peers', and what gateways and routes add to it.
fn in_network(peer: Peer, network: Option<&Network>) -> Match {
    let Some(network) = network else {
        return Match::Maybe(
            "which addresses the tag VirtualNetwork stands for is not among what was read (az network vnet list)"
                .to_owned(),
        );
    };
    let values = network.values();
    let peerings = || values.virtual_network_peerings.iter().flatten().map(Resource::values);
    if let Some(ip) = peer.ip() {
        let own = values.address_space.as_ref().is_some_and(|s| s.holds(ip));
        let peered = peerings()
            .filter(|p| p.allow_virtual_network_access != Some(false))
            .filter(|p| p.peering_state.as_deref().is_none_or(|s| s == "Connected"))
            .flat_map(|p| p.remote_virtual_network_address_space.iter().chain(&p.remote_address_space))
            .any(|s| s.holds(ip));
        if own || peered || ip == PLATFORM {
            return Match::Yes;
        }
    }
    let subnets = || values.subnets.iter().flatten();
    let gateway = subnets().any(|s| s.name().eq_ignore_ascii_case("GatewaySubnet"))
        || peerings().any(|p| p.use_remote_gateways == Some(true));
    let routed = subnets().any(|s| s.values().route_table.is_some());
    match (peer.ip(), gateway || routed) {
        (_, true) => Match::Maybe(format!(
            "virtual network {} has a gateway or routes of its own, which may make the address part of VirtualNetwork",
            shown(network.name())
        )),
        (Some(_), false) => Match::No,
        (None, false) if peer.is_public() => Match::No,
        (None, false) => Match::Maybe("the client's address is not known".to_owned()),
    }
}
