//! The way through a VPC: the client's security groups out, network ACLs where the subnet is left and entered, the
//! server's security groups in, and the answers back through the ACLs. Security groups remember connections.

use super::acl::{self, Passage};
use super::{Group, Interface, Inventory, Pair, Permission, Service};
use crate::cloud::net::{Match, Net, Peer, shown};
use crate::cloud::{Connection, conclude, undecided};
use crate::evidence::cloud::{CloudVerdict, Filter, Judged, Opening};
use std::net::IpAddr;

/// How many rules that come close are told.
const CLOSE: usize = 3;

/// The other end, as a security group's rule may name it.
struct Far<'a> {
    peer: Peer,
    /// Its interface, when it is among what was read.
    interface: Option<&'a Interface>,
    /// Its packets carry its own private address: only then do rules apply that name a group.
    private: bool,
}

/// What the VPC's filters do with the connection of a client at that address, or of any client.
pub(in crate::cloud) fn judge(
    inventory: &Inventory,
    connection: &Connection,
    client: Option<IpAddr>,
) -> CloudVerdict {
    let clients: Vec<&Interface> = client.map(|ip| inventory.at(ip)).unwrap_or_default();
    let mut servers = inventory.at(connection.server);
    // Networks of an account may overlap: the one that the client is in is meant.
    let same_vpc = |s: &&Interface| s.vpc_id.is_some() && clients.iter().any(|c| c.vpc_id == s.vpc_id);
    if servers.len() > 1 && servers.iter().any(same_vpc) {
        servers.retain(same_vpc);
    }
    let anyone = client.map_or(connection.anyone(), |ip| connection.seen_from_server(ip));
    match servers.as_slice() {
        [] => match inventory.service(&connection.host) {
            Some(service) => at_service(inventory, connection, anyone, service),
            None => undecided(anyone, inventory.not_found(connection.server)),
        },
        [server] => {
            let near = clients.iter().find(|c| c.vpc_id.is_some() && c.vpc_id == server.vpc_id);
            let client_at = near.or_else(|| clients.first().filter(|_| clients.len() == 1)).copied();
            between(inventory, connection, client, client_at, server)
        }
        several => {
            let names: Vec<_> = several.iter().take(4).map(|s| s.named()).collect();
            let why =
                format!("{} is the address of several interfaces: {}", connection.server, names.join(", "));
            undecided(anyone, why)
        }
    }
}

fn between(
    inventory: &Inventory,
    connection: &Connection,
    client: Option<IpAddr>,
    client_at: Option<&Interface>,
    server: &Interface,
) -> CloudVerdict {
    // Over its public address the server sees the client's public address, also within one VPC.
    let by_public = !server.holds(connection.server);
    let seen = match (client, client_at) {
        (Some(ip), Some(at)) if by_public && at.holds(ip) => at
            .translations()
            .find(|(own, _)| *own == Some(ip))
            .or_else(|| at.translations().next())
            .map_or(connection.anyone(), |(_, public)| Peer::At(public)),
        (Some(ip), _) => connection.seen_from_server(ip),
        (None, _) => connection.anyone(),
    };
    let far_server = Far { peer: Peer::At(connection.server), interface: Some(server), private: !by_public };
    // IPv6 addresses of a VPC are its own and not translated, although they are the internet's.
    let itself = client_at.zip(client).is_some_and(|(at, ip)| at.holds(ip));
    let private = !by_public && (itself || !seen.is_public());
    let far_client = Far { peer: seen, interface: client_at, private };
    let subnets = (client_at.and_then(|c| c.subnet_id.as_deref()), server.subnet_id.as_deref());
    let answers = connection.answered_on();
    let port = (connection.port, connection.port);
    let mut filters = Vec::new();
    if let Some(at) = client_at {
        filters.push(groups(inventory, &ids(at), true, connection.port, &far_server));
    }
    // Within one subnet no ACL is passed. Without the client's interface it is elsewhere, if all interfaces are known.
    let one_subnet = !by_public && subnets.0.is_some() && subnets.0 == subnets.1;
    let elsewhere = client_at.is_some() || inventory.whole || seen.is_public();
    let mut taken = acl::Taken::new();
    let mut acl = |at_client: bool, ingress: bool, back: bool, peer: Peer| {
        let subnet = if at_client { subnets.0 } else { subnets.1 };
        let passage = Passage {
            at_client,
            ingress,
            answers: back,
            peer,
            ports: if back { answers } else { port },
            // A translation on the way may take another port.
            exact: if back {
                connection.own_port.filter(|_| client_at.is_some())
            } else {
                Some(connection.port)
            },
        };
        match subnet.and_then(|s| acl::of_subnet(&inventory.acls, s)) {
            Some(acl) => {
                let mut filter = acl::judge(acl, passage, &mut taken);
                if filter.verdict == Judged::Blocked && !elsewhere {
                    filter.verdict = Judged::Undecided;
                    filter.because.push_str(", unless the client is in the same subnet, which is not known");
                }
                filter
            }
            None => acl::unread(subnet, at_client, ingress),
        }
    };
    let mut back = Vec::new();
    if !one_subnet {
        if client_at.is_some() {
            filters.push(acl(true, false, false, Peer::At(connection.server)));
            back.push(acl(true, true, true, Peer::At(connection.server)));
        }
        filters.push(acl(false, true, false, seen));
        back.insert(0, acl(false, false, true, seen));
    }
    filters.push(groups(inventory, &ids(server), false, connection.port, &far_client));
    filters.extend(back);
    let mut verdict = conclude(filters, seen, client_at.map(Interface::named), Some(server.named()));
    if verdict.verdict == Judged::Allowed && server.hands_on() {
        verdict.doubted(format!("what stands behind {} is not known", server.named()));
    }
    // A private client that is none of the interfaces here may have filters at its own end.
    if verdict.verdict == Judged::Allowed && client_at.is_none() && !seen.is_public() {
        verdict.doubted(crate::cloud::CLIENT_UNSEEN);
    }
    verdict
}

fn ids(interface: &Interface) -> Vec<&str> {
    interface.groups.iter().map(|g| g.group_id.as_str()).collect()
}

/// A managed cache that is known by name: its groups, and nothing of its subnets.
fn at_service(inventory: &Inventory, connection: &Connection, seen: Peer, service: &Service) -> CloudVerdict {
    let far = Far { peer: seen, interface: None, private: !seen.is_public() };
    let ids: Vec<&str> = service.groups.iter().map(String::as_str).collect();
    let filters = vec![groups(inventory, &ids, false, connection.port, &far), acl::unread(None, false, true)];
    conclude(filters, seen, None, Some(format!("cache cluster {}", shown(&service.name))))
}

impl Inventory {
    fn service(&self, host: &str) -> Option<&Service> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.services.iter().find(|s| !host.is_empty() && s.endpoints.contains(&host))
    }

    fn not_found(&self, server: IpAddr) -> String {
        if self.interfaces.is_empty() {
            return "no network interface is among what was read: which groups stand at the server is not known \
                    (aws ec2 describe-network-interfaces)"
                .to_owned();
        }
        format!(
            "none of the {} that were read has the address {server}: another account or region \
             (AWS_PROFILE, AWS_REGION)?",
            crate::cloud::document::count(self.interfaces.len(), "network interface")
        )
    }
}

/// All groups of an interface together: what one of them admits passes.
fn groups(inventory: &Inventory, ids: &[&str], egress: bool, port: u16, far: &Far<'_>) -> Filter {
    let mut names = Vec::new();
    let (mut unread, mut close) = (Vec::new(), Vec::new());
    let mut best = Match::No;
    let mut by = None;
    for id in ids {
        let Some(group) = inventory.groups.get(*id) else {
            unread.push(shown(id));
            names.push(shown(id));
            continue;
        };
        let name = group.named();
        let rules = if egress { &group.ip_permissions_egress } else { &group.ip_permissions };
        for rule in rules {
            let admits = rule.admits(inventory, group, port, far);
            if admits == Match::No && rule.covers(port) && close.len() < CLOSE {
                close.push(format!("{name} admits {}", rule.named(egress)));
            }
            if admits == Match::Yes && best != Match::Yes {
                by = Some(format!("{name}: {}", rule.named(egress)));
            }
            best = Match::any([best, admits]);
        }
        names.push(name);
    }
    let (way, end) = if egress { ("to", "client") } else { ("from", "server") };
    let what = format!("TCP {port} {way} {}", far.peer);
    let listed = match names.as_slice() {
        [] => "no security group".to_owned(),
        [one] => format!("security group {one}"),
        all => format!("security groups {}", all.join(" and ")),
    };
    let (verdict, because) = match (best, unread.first()) {
        (Match::Yes, _) => (Judged::Allowed, format!("{} admits {what}", by.clone().unwrap_or_default())),
        (_, Some(id)) => {
            let why =
                format!("the rules of {id}, a security group of the {end}, are not among what was read");
            (Judged::Undecided, why)
        }
        (Match::Maybe(why), None) => (Judged::Undecided, format!("{listed}: {why}")),
        // Without a group nothing is filtered here: some load balancers and endpoints.
        (Match::No, None) if names.is_empty() => {
            (Judged::Undecided, format!("no security group is listed at the {end}'s interface"))
        }
        (Match::No, None) => {
            let direction = if egress { "outbound" } else { "inbound" };
            let verb = if names.len() == 1 { "has" } else { "have" };
            let near = if close.is_empty() { String::new() } else { format!(" ({})", close.join("; ")) };
            (Judged::Blocked, format!("{listed} {verb} no {direction} rule that admits {what}{near}"))
        }
    };
    let opening = (verdict == Judged::Blocked).then(|| Opening::AwsGroup {
        group: ids.first().copied().unwrap_or_default().to_owned(),
        ingress: !egress,
        port,
        peer: far.peer.ip(),
    });
    Filter {
        kind: "security group".to_owned(),
        names,
        at_client: egress,
        ingress: !egress,
        answers: false,
        verdict,
        rule: by,
        because,
        partly: None,
        opening,
    }
}

impl Group {
    fn named(&self) -> String {
        if self.group_name.is_empty() {
            return shown(&self.group_id);
        }
        shown(&format!("{} ({})", self.group_id, self.group_name))
    }
}

impl Permission {
    /// The rule is about that TCP port.
    fn covers(&self, port: u16) -> bool {
        match self.ip_protocol.as_str() {
            "-1" => true,
            "tcp" | "6" => {
                let (from, to) = (self.from_port.unwrap_or(0), self.to_port.unwrap_or(65_535));
                // -1 to -1 is how some tools write all ports.
                (from == -1 && to == -1) || (from..=to).contains(&i32::from(port))
            }
            _ => false,
        }
    }

    fn admits(&self, inventory: &Inventory, own: &Group, port: u16, far: &Far<'_>) -> Match {
        if !self.covers(port) {
            return Match::No;
        }
        let nets = self.ip_ranges.iter().chain(&self.ipv6_ranges).map(|r| match Net::parse(&r.cidr_ip) {
            Some(net) => far.peer.within(net),
            None => Match::Maybe(format!("the network {} is not understood", shown(&r.cidr_ip))),
        });
        let lists =
            self.prefix_list_ids.iter().map(|l| match inventory.prefix_lists.get(&l.prefix_list_id) {
                Some(nets) => Match::any(nets.iter().map(|n| far.peer.within(*n))),
                None => Match::Maybe(format!(
                    "the entries of prefix list {} are not among what was read",
                    shown(&l.prefix_list_id)
                )),
            });
        let pairs = self.user_id_group_pairs.iter().map(|p| refers(inventory, own, p, far));
        Match::any(nets.chain(lists).chain(pairs))
    }

    /// `tcp 6379 from 10.0.0.0/16, sg-1`.
    fn named(&self, egress: bool) -> String {
        let ports = match (self.ip_protocol.as_str(), self.from_port, self.to_port) {
            ("-1", ..) => "all traffic".to_owned(),
            (protocol, Some(from), Some(to)) if from == to => format!("{protocol} {from}"),
            (protocol, Some(from), Some(to)) => format!("{protocol} {from}-{to}"),
            (protocol, ..) => protocol.to_owned(),
        };
        let ranges = self.ip_ranges.iter().chain(&self.ipv6_ranges).map(|r| r.cidr_ip.clone());
        let lists = self.prefix_list_ids.iter().map(|l| l.prefix_list_id.clone());
        let pairs = self.user_id_group_pairs.iter().filter_map(|p| p.group_id.clone());
        let mut ends: Vec<String> = ranges.chain(lists).chain(pairs).take(5).collect();
        if ends.is_empty() {
            ends.push("nobody".to_owned());
        }
        let text = format!("{ports} {} {}", if egress { "to" } else { "from" }, ends.join(", "));
        crate::text::shown_str(&text, 160)
    }
}

/// A rule that names a group means the private addresses of its members.
fn refers(inventory: &Inventory, own: &Group, pair: &Pair, far: &Far<'_>) -> Match {
    let id = pair.group_id.as_deref().unwrap_or_default();
    if let Some(interface) = far.interface {
        return Match::of(far.private && interface.groups.iter().any(|g| g.group_id == id));
    }
    if far.peer.is_public() && !far.peer.is_v6() {
        return Match::No;
    }
    let foreign = pair.vpc_peering_connection_id.is_some()
        || pair.user_id.is_some() && own.owner_id.is_some() && pair.user_id != own.owner_id;
    match far.peer.ip() {
        // All interfaces here are known, and none has the client's address.
        Some(_) if inventory.whole && !foreign => Match::No,
        _ => Match::Maybe(format!(
            "a rule admits members of {}, and whether the client is one is not known",
            shown(id)
        )),
    }
}
