//! The way through a VPC network: what leaves the client's instance, what enters the server's. Each end: hierarchical
//! policies, the VPC's own rules by priority (a deny before an allow of the same one), network policies, and what is
//! implied: out all, in nothing. Connections are remembered: answers pass.

use super::{
    Effective, Instance, Interface, Inventory, Layer4, Policy, PolicyRule, Rule, last, path, project,
};
use crate::cloud::net::{Match, Net, Peer, first_match, holds_port, shown};
use crate::cloud::{Connection, conclude, undecided};
use crate::evidence::cloud::{CloudVerdict, Filter, Judged, Opening};
use std::net::IpAddr;

/// Priority of a rule that does not say one (Compute Engine API, firewalls).
const DEFAULT: u32 = 1000;
/// Lowest priority, that of the implied rules.
const LOWEST: u32 = 65_535;

/// One end of the connection, to whose instance rules apply.
struct End<'a> {
    instance: &'a Instance,
    interface: &'a Interface,
    ingress: bool,
    port: u16,
    /// This end's own address.
    own: Peer,
    /// The other end's.
    peer: Peer,
    /// The instance at the other end, when its packets carry its own internal address.
    far: Option<&'a Instance>,
    far_known: bool,
}

pub(in crate::cloud) fn judge(
    inventory: &Inventory,
    connection: &Connection,
    client: Option<IpAddr>,
) -> CloudVerdict {
    let anyone = client.map_or(connection.anyone(), |ip| connection.seen_from_server(ip));
    let clients = client.map(|ip| inventory.at(ip)).unwrap_or_default();
    let mut servers = inventory.at(connection.server);
    if servers.len() > 1 {
        let near = |(_, s): &(&Instance, &Interface)| {
            clients.iter().any(|(_, c)| path(&c.network) == path(&s.network))
        };
        if servers.iter().any(near) {
            servers.retain(near);
        }
    }
    let (server, at) = match servers.as_slice() {
        [one] => *one,
        [] if inventory.instances.is_empty() => {
            return undecided(
                anyone,
                "no instance is among what was read (gcloud compute instances list)".to_owned(),
            );
        }
        [] => {
            let why = format!(
                "no instance that was read has the address {}: another project, or a managed service \
                 (Memorystore takes no VPC firewall rules at its own end)",
                connection.server
            );
            return undecided(anyone, why);
        }
        several => {
            let names: Vec<_> = several.iter().take(4).map(|(i, _)| shown(&i.name)).collect();
            return undecided(
                anyone,
                format!("{} is the address of several instances: {}", connection.server, names.join(", ")),
            );
        }
    };
    let by_public = !at.holds(connection.server);
    let near =
        clients.iter().find(|(_, c)| path(&c.network) == path(&at.network)).or(clients.first()).copied();
    let seen = match (client, near) {
        (Some(ip), Some((_, c))) if by_public && c.holds(ip) => {
            let same = |p: &IpAddr| p.is_ipv4() == connection.server.is_ipv4();
            c.public().find(same).map_or(connection.anyone(), Peer::At)
        }
        (Some(ip), _) => connection.seen_from_server(ip),
        (None, _) => connection.anyone(),
    };
    let own = at.own().find(|a| a.is_ipv4() == connection.server.is_ipv4()).unwrap_or(connection.server);
    let mut filters = Vec::new();
    if let Some((instance, interface)) = near {
        let own = client.map_or(connection.anyone(), Peer::At);
        filters.push(inventory.end(&End {
            instance,
            interface,
            ingress: false,
            port: connection.port,
            own,
            peer: Peer::At(connection.server),
            far: Some(server).filter(|_| !by_public),
            far_known: true,
        }));
    }
    filters.push(inventory.end(&End {
        instance: server,
        interface: at,
        ingress: true,
        port: connection.port,
        own: Peer::At(if by_public { own } else { connection.server }),
        peer: seen,
        far: near.filter(|(_, c)| !by_public && path(&c.network) == path(&at.network)).map(|(i, _)| i),
        far_known: near.is_some() || inventory.whole || seen.is_public(),
    }));
    let named = |i: &Instance| format!("instance {}", shown(&i.name));
    let mut verdict = conclude(filters, seen, near.map(|(i, _)| named(i)), Some(named(server)));
    let ends = std::iter::once(at).chain(near.map(|(_, c)| c));
    let unseen = ends.map(|i| &i.network).find(|n| inventory.effective_of(n).is_none());
    if let (Some(network), Judged::Allowed | Judged::Blocked) = (unseen, verdict.verdict) {
        verdict.doubted(format!(
            "firewall policies above network {} were not read (gcloud compute networks get-effective-firewalls)",
            shown(last(network))
        ));
    }
    if verdict.verdict == Judged::Allowed && near.is_none() && !seen.is_public() {
        verdict.doubted(crate::cloud::CLIENT_UNSEEN);
    }
    verdict
}

impl Inventory {
    /// The effective rules of that network. A document with policies alone does not say of which it is.
    fn effective_of(&self, network: &str) -> Option<&Effective> {
        let names = |e: &Effective| e.firewalls.iter().flatten().next().map(|r| path(&r.network).to_owned());
        self.effective
            .iter()
            .find(|e| names(e).as_deref() == Some(path(network)))
            .or_else(|| self.effective.first().filter(|e| self.effective.len() == 1 && names(e).is_none()))
    }

    /// What is decided at one end.
    fn end(&self, end: &End<'_>) -> Filter {
        let effective = self.effective_of(&end.interface.network);
        let own: Vec<&Rule> = match effective.and_then(|e| e.firewalls.as_ref()) {
            Some(rules) => rules.iter().collect(),
            None => self.rules.iter().collect(),
        };
        let known = self.whole || effective.is_some() || !own.is_empty();
        let policies: Vec<&Policy> = effective.iter().flat_map(|e| e.policies.iter().flatten()).collect();
        let hierarchy: Vec<&Policy> = policies.iter().copied().filter(|p| p.is("HIERARCHY")).collect();
        let network: Vec<&Policy> = policies.iter().copied().filter(|p| !p.is("HIERARCHY")).collect();
        // The listing tells neither the order of folders nor which of a network's own rules and policies come first:
        // where that matters it stays open.
        let mut outcomes: Vec<Outcome> = Vec::new();
        for upside_down in [false, true] {
            for policies_first in [false, true] {
                let mut above = hierarchy.clone();
                if upside_down {
                    above.reverse();
                }
                outcomes.push(self.walk(end, &above, &network, &own, policies_first));
            }
        }
        let mut outcome = outcomes.remove(0);
        if outcomes.iter().any(|o| o.allows(end.ingress) != outcome.allows(end.ingress)) {
            outcome = Outcome::Open(
                "the order of firewall policies and rules decides, and is not known".to_owned(),
            );
        }
        self.filter(end, outcome, known, &own)
    }

    fn walk(
        &self,
        end: &End<'_>,
        above: &[&Policy],
        network: &[&Policy],
        own: &[&Rule],
        policies_first: bool,
    ) -> Outcome {
        let policy = |all: &[&Policy]| all.iter().find_map(|p| p.decides(end));
        let before = policy(above).or_else(|| policy(network).filter(|_| policies_first));
        if let Some(outcome) = before {
            return outcome;
        }
        match classic(end, own) {
            Outcome::Implied => policy(network).unwrap_or(Outcome::Implied),
            other => other,
        }
    }

    fn filter(&self, end: &End<'_>, outcome: Outcome, known: bool, own: &[&Rule]) -> Filter {
        let network = shown(last(&end.interface.network));
        let (way, dir) = if end.ingress { ("from", "ingress") } else { ("to", "egress") };
        let what = format!("TCP {} {way} {}", end.port, end.peer);
        let name = shown(&end.instance.name);
        let (verdict, because, rule, priority) = match outcome {
            _ if !known => {
                let why = "no firewall rules are among what was read (gcloud compute firewall-rules list)";
                (Judged::Undecided, why.to_owned(), None, None)
            }
            Outcome::Open(why) => (Judged::Undecided, format!("VPC network {network}: {why}"), None, None),
            Outcome::Implied if end.ingress => {
                let close = own.iter().filter(|r| r.comes_close(end)).take(3).map(|r| r.named(end.ingress));
                let close: Vec<_> = close.collect();
                let near = if close.is_empty() { String::new() } else { format!(" ({})", close.join("; ")) };
                let because = format!(
                    "VPC network {network} has no {dir} rule for instance {name} that admits {what}{near}: what is \
                     not admitted is denied"
                );
                (Judged::Blocked, because, Some("implied deny ingress".to_owned()), Some(DEFAULT))
            }
            Outcome::Implied => (
                Judged::Allowed,
                format!("VPC network {network} lets {what} leave: no rule denies it"),
                Some("implied allow egress".to_owned()),
                None,
            ),
            Outcome::Rule { allows: true, text, .. } => {
                (Judged::Allowed, format!("VPC network {network} admits {what}: {text}"), Some(text), None)
            }
            Outcome::Rule { allows: false, text, priority } => (
                Judged::Blocked,
                format!("VPC network {network} denies {what}: {text}"),
                Some(text),
                priority,
            ),
        };
        let tags = end.instance.tags.as_ref().map_or(&[][..], |t| t.items.as_slice());
        // One tag limits the rule to this instance and its like; which of several is meant for it only people know.
        let tag = match tags {
            [one] => Some(one.clone()),
            _ => None,
        };
        let opening = (verdict == Judged::Blocked).then(|| Opening::Gcp {
            network: last(&end.interface.network).to_owned(),
            project: project(&end.interface.network).map(str::to_owned),
            ingress: end.ingress,
            priority,
            port: end.port,
            peer: end.peer.ip(),
            tag,
        });
        Filter {
            kind: "VPC firewall".to_owned(),
            names: vec![format!("network {network}")],
            at_client: !end.ingress,
            ingress: end.ingress,
            answers: false,
            verdict,
            rule,
            because,
            partly: None,
            opening,
        }
    }
}

/// What decides at one end.
#[derive(Debug, Clone)]
enum Outcome {
    Rule {
        allows: bool,
        text: String,
        /// A priority that comes before it, where it is a VPC rule.
        priority: Option<u32>,
    },
    /// No rule applies.
    Implied,
    Open(String),
}

impl Outcome {
    fn allows(&self, ingress: bool) -> Option<bool> {
        match self {
            Self::Rule { allows, .. } => Some(*allows),
            Self::Implied => Some(!ingress),
            Self::Open(_) => None,
        }
    }
}

/// The VPC's own rules.
fn classic(end: &End<'_>, rules: &[&Rule]) -> Outcome {
    let direction = if end.ingress { "INGRESS" } else { "EGRESS" };
    let mut own: Vec<&Rule> = rules
        .iter()
        .copied()
        .filter(|r| path(&r.network) == path(&end.interface.network) && r.disabled != Some(true))
        .filter(|r| r.direction.as_deref().unwrap_or("INGRESS") == direction)
        .collect();
    own.sort_by_key(|r| (r.priority(), !r.denies()));
    let rules = own.into_iter().map(|r| (r.applies(end), !r.denies(), Some(r)));
    match first_match(rules, (!end.ingress, None)) {
        Err(why) => Outcome::Open(why),
        Ok((_, None)) => Outcome::Implied,
        Ok((allows, Some(rule))) => Outcome::Rule {
            allows,
            text: rule.named(end.ingress),
            // The same priority would not do: there a deny wins.
            priority: rule.priority().checked_sub(1),
        },
    }
}

fn within(ranges: &[String], peer: Peer) -> Match {
    Match::any(ranges.iter().map(|text| match Net::parse(text) {
        Some(net) => peer.within(net),
        None => Match::Maybe(format!("the network {} is not understood", shown(text))),
    }))
}

fn layer4(all: &[Layer4], port: u16) -> Match {
    Match::any(all.iter().map(|l| match l.protocol.to_ascii_lowercase().as_str() {
        "all" => Match::Yes,
        "tcp" | "6" => match l.ports.as_deref() {
            None | Some([]) => Match::Yes,
            Some(ports) => holds_port(ports.iter().map(String::as_str), port),
        },
        _ => Match::No,
    }))
}

/// A list that may be missing, empty lists counted as missing.
fn some(list: &Option<Vec<String>>) -> Option<&[String]> {
    list.as_deref().filter(|l| !l.is_empty())
}

fn has_account(instance: &Instance, wanted: &[String]) -> bool {
    instance.service_accounts.iter().flatten().any(|a| wanted.contains(&a.email))
}

fn has_tag(instance: &Instance, wanted: &[String]) -> bool {
    instance.tags.iter().flat_map(|t| &t.items).any(|t| wanted.contains(t))
}

impl Rule {
    fn priority(&self) -> u32 {
        self.priority.unwrap_or(DEFAULT).min(LOWEST)
    }

    fn denies(&self) -> bool {
        self.denied.as_ref().is_some_and(|d| !d.is_empty())
    }

    fn traffic(&self) -> &[Layer4] {
        let all = if self.denies() { &self.denied } else { &self.allowed };
        all.as_deref().unwrap_or_default()
    }

    /// It applies to the instance at this end.
    fn targets(&self, instance: &Instance) -> bool {
        match (some(&self.target_tags), some(&self.target_service_accounts)) {
            (None, None) => true,
            (tags, accounts) => {
                tags.is_some_and(|t| has_tag(instance, t))
                    || accounts.is_some_and(|a| has_account(instance, a))
            }
        }
    }

    fn applies(&self, end: &End<'_>) -> Match {
        if !self.targets(end.instance) {
            return Match::No;
        }
        let (ranges, own_ranges) = match end.ingress {
            true => (some(&self.source_ranges), some(&self.destination_ranges)),
            false => (some(&self.destination_ranges), some(&self.source_ranges)),
        };
        let (tags, accounts) = (some(&self.source_tags), some(&self.source_service_accounts));
        layer4(self.traffic(), end.port).and(|| own_ranges.map_or(Match::Yes, |r| within(r, end.own))).and(
            || {
                if ranges.is_none() && tags.is_none() && accounts.is_none() {
                    return Match::Yes;
                }
                let by_mark = match end.far {
                    Some(far) => Match::of(
                        tags.is_some_and(|t| has_tag(far, t))
                            || accounts.is_some_and(|a| has_account(far, a)),
                    ),
                    None if end.far_known || (tags.is_none() && accounts.is_none()) => Match::No,
                    None => Match::Maybe(format!(
                        "rule {} admits instances by tag or service account, and the client's are not known",
                        shown(&self.name)
                    )),
                };
                Match::any([ranges.map_or(Match::No, |r| within(r, end.peer)), by_mark])
            },
        )
    }

    /// It would allow the port, for somebody else or at another instance.
    fn comes_close(&self, end: &End<'_>) -> bool {
        path(&self.network) == path(&end.interface.network)
            && self.direction.as_deref().unwrap_or("INGRESS") == "INGRESS"
            && !self.denies()
            && layer4(self.traffic(), end.port) == Match::Yes
    }

    fn named(&self, ingress: bool) -> String {
        let mut text = format!(
            "rule {}, priority {}: {}",
            self.name,
            self.priority(),
            if self.denies() { "deny" } else { "allow" }
        );
        let ranges = if ingress { &self.source_ranges } else { &self.destination_ranges };
        let lists = [
            (if ingress { "from" } else { "to" }, ranges),
            ("from tag", &self.source_tags),
            ("from", &self.source_service_accounts),
            ("at tag", &self.target_tags),
            ("at", &self.target_service_accounts),
        ];
        for (word, list) in lists {
            if let Some(list) = some(list) {
                let all: Vec<_> = list.iter().take(4).map(String::as_str).collect();
                text.push_str(&format!(" {word} {}", all.join(", ")));
            }
        }
        if self.disabled == Some(true) {
            text.push_str(", disabled");
        }
        crate::text::shown_str(&text, 160)
    }
}

impl Policy {
    fn is(&self, kind: &str) -> bool {
        self.r#type.as_deref() == Some(kind)
    }

    /// What the policy says; none: it hands on.
    fn decides(&self, end: &End<'_>) -> Option<Outcome> {
        let direction = if end.ingress { "INGRESS" } else { "EGRESS" };
        let mut rules: Vec<&PolicyRule> = self
            .rules
            .iter()
            .flatten()
            .filter(|r| r.disabled != Some(true) && r.direction.as_deref() == Some(direction))
            .collect();
        rules.sort_by_key(|r| r.priority);
        let mut skipped = None;
        for rule in rules {
            let action = rule.action.as_deref().unwrap_or_default();
            match (rule.applies(end), action) {
                (Match::No, _) => {}
                // Whether the rest of this policy counts hangs on it.
                (Match::Maybe(why), "goto_next") => {
                    skipped.get_or_insert(why);
                }
                (Match::Maybe(why), _) => return Some(Outcome::Open(why)),
                (Match::Yes, "goto_next") => return None,
                (Match::Yes, _) if skipped.is_some() => return skipped.map(Outcome::Open),
                (Match::Yes, "allow" | "deny") => {
                    return Some(Outcome::Rule {
                        allows: action == "allow",
                        text: format!(
                            "{}, rule of priority {}: {action}",
                            self.named(),
                            rule.priority.unwrap_or(0)
                        ),
                        priority: None,
                    });
                }
                (Match::Yes, other) => {
                    return Some(Outcome::Open(format!("{} does {}", self.named(), shown(other))));
                }
            }
        }
        None
    }

    fn named(&self) -> String {
        let name = self.short_name.as_ref().or(self.display_name.as_ref()).or(self.name.as_ref());
        format!("firewall policy {}", shown(name.map_or("without a name", String::as_str)))
    }
}

impl PolicyRule {
    fn applies(&self, end: &End<'_>) -> Match {
        let Some(matcher) = &self.r#match else { return Match::Yes };
        let (ranges, own) = match end.ingress {
            true => (some(&matcher.src_ip_ranges), some(&matcher.dest_ip_ranges)),
            false => (some(&matcher.dest_ip_ranges), some(&matcher.src_ip_ranges)),
        };
        let selected = || {
            if let Some(other) = matcher.other() {
                return Match::Maybe(format!(
                    "a policy's rule selects by {}, which is not known here",
                    shown(other)
                ));
            }
            if self.target_secure_tags.as_ref().is_some_and(|t| !t.is_empty()) {
                return Match::Maybe(
                    "a policy's rule is for secure tags, which are not known here".to_owned(),
                );
            }
            Match::Yes
        };
        let targets = some(&self.target_resources)
            .is_none_or(|all| all.iter().any(|n| path(n) == path(&end.interface.network)))
            && some(&self.target_service_accounts).is_none_or(|a| has_account(end.instance, a));
        Match::of(targets)
            .and(|| matcher.layer4_configs.as_deref().map_or(Match::Yes, |l| layer4(l, end.port)))
            .and(|| ranges.map_or(Match::Yes, |r| within(r, end.peer)))
            .and(|| own.map_or(Match::Yes, |r| within(r, end.own)))
            .and(selected)
    }
}
