//! Network ACLs: rules by number, the first that applies to a packet decides, and nothing is remembered: the answers
//! need a rule of their own, for whatever ports the client takes at its end.

use super::{Acl, Entry};
use crate::cloud::net::{Match, Net, Peer, shown};
use crate::evidence::cloud::{Filter, Judged, Opening};

/// The rule `*` that ends each list: 32767 for IPv4, 32768 for IPv6.
const LAST: u32 = 32_766;

/// One passage through an ACL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    /// The end it stands at is the client's.
    pub(super) at_client: bool,
    /// The packets come into the subnet.
    pub(super) ingress: bool,
    /// They are the answers.
    pub(super) answers: bool,
    /// The other end.
    pub(super) peer: Peer,
    /// Destination ports that must pass.
    pub(super) ports: (u16, u16),
    /// The one of them that our own attempt had.
    pub(super) exact: Option<u16>,
}

/// Rule numbers that openings of the same look have taken: ACL, inbound, number.
pub(super) type Taken = Vec<(String, bool, u32)>;

type Ports = Vec<(u16, u16)>;

/// Takes `range` out of `ports`; what was taken.
fn take(ports: &mut Ports, range: (u16, u16)) -> Ports {
    let (mut left, mut taken) = (Vec::new(), Vec::new());
    for (low, high) in ports.drain(..) {
        let (from, to) = (low.max(range.0), high.min(range.1));
        if from > to {
            left.push((low, high));
            continue;
        }
        taken.push((from, to));
        if low < from {
            left.push((low, from - 1));
        }
        if to < high {
            left.push((to + 1, high));
        }
    }
    *ports = left;
    taken
}

fn holds(ports: &Ports, port: u16) -> bool {
    ports.iter().any(|(low, high)| (*low..=*high).contains(&port))
}

/// `1024-65535`, `6379`.
fn range_text((low, high): (u16, u16)) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

fn list_text(ports: &Ports) -> String {
    ports.iter().take(4).map(|r| range_text(*r)).collect::<Vec<_>>().join(", ")
}

impl Entry {
    fn applies(&self, peer: Peer) -> Match {
        let block = self.cidr_block.as_deref().or(self.ipv6_cidr_block.as_deref()).unwrap_or_default();
        let of_protocol = match self.protocol.as_str() {
            // IANA's number of TCP; the API knows numbers only.
            "-1" | "6" | "tcp" | "all" => Match::Yes,
            "" => Match::Maybe(format!("rule {} has no protocol", self.rule_number)),
            _ => Match::No,
        };
        of_protocol.and(|| match Net::parse(block) {
            Some(net) => peer.within(net),
            None => Match::Maybe(format!(
                "the network {} of rule {} is not understood",
                shown(block),
                self.rule_number
            )),
        })
    }

    fn ports(&self) -> (u16, u16) {
        let bound = |port: i32| u16::try_from(port.max(0)).unwrap_or(u16::MAX);
        match self.port_range {
            Some(range) if self.protocol != "-1" && self.protocol != "all" => {
                (bound(range.from), bound(range.to))
            }
            _ => (0, u16::MAX),
        }
    }

    fn named(&self) -> String {
        let block = self.cidr_block.as_deref().or(self.ipv6_cidr_block.as_deref()).unwrap_or_default();
        let number = if self.rule_number > LAST { "*".to_owned() } else { self.rule_number.to_string() };
        let ports = match self.ports() {
            (0, u16::MAX) => "all".to_owned(),
            range => range_text(range),
        };
        let (way, what) = if self.egress { ("to", "outbound") } else { ("from", "inbound") };
        shown(&format!("{what} rule {number}: {} ports {ports} {way} {block}", self.rule_action))
    }
}

/// What the ACL does with the packets of that passage.
pub(super) fn judge(acl: &Acl, passage: Passage, taken: &mut Taken) -> Filter {
    let mut rules: Vec<&Entry> = acl.entries.iter().filter(|e| e.egress != passage.ingress).collect();
    rules.sort_by_key(|e| e.rule_number);
    let mut left: Ports = vec![passage.ports];
    let (mut allowed, mut denied, mut doubtful): (Ports, Ports, Ports) = Default::default();
    let (mut allowing, mut denying): (Option<&Entry>, Option<&Entry>) = (None, None);
    let mut doubt = None;
    // The rule that decides for the exact port, where there is one.
    let mut own: Option<&Entry> = None;
    for rule in rules {
        if left.is_empty() {
            break;
        }
        let applies = rule.applies(passage.peer);
        if applies == Match::No {
            continue;
        }
        let taken = take(&mut left, rule.ports());
        if taken.is_empty() {
            continue;
        }
        if passage.exact.is_some_and(|port| holds(&taken, port)) {
            own = Some(rule);
        }
        match applies {
            Match::Maybe(why) => {
                doubt.get_or_insert(why);
                doubtful.extend(taken);
            }
            _ if rule.rule_action == "allow" => {
                allowing.get_or_insert(rule);
                allowed.extend(taken);
            }
            _ => {
                denying.get_or_insert(rule);
                denied.extend(taken);
            }
        }
    }
    denied.extend(left);
    let verdict = match passage.exact {
        Some(port) if holds(&allowed, port) => Judged::Allowed,
        Some(port) if holds(&denied, port) => Judged::Blocked,
        Some(_) => Judged::Undecided,
        None if denied.is_empty() && doubtful.is_empty() => Judged::Allowed,
        None if allowed.is_empty() && doubtful.is_empty() => Judged::Blocked,
        None => Judged::Undecided,
    };
    let rule = match verdict {
        Judged::Allowed => own.or(allowing),
        Judged::Blocked => own.or(denying),
        Judged::Undecided => None,
    };
    let id = shown(&acl.network_acl_id);
    let way = match (passage.ingress, passage.answers) {
        (true, false) => format!("TCP {} from {}", range_text(passage.ports), passage.peer),
        (false, false) => format!("TCP {} to {}", range_text(passage.ports), passage.peer),
        (true, true) => format!("the answers from {} to ports {}", passage.peer, range_text(passage.ports)),
        (false, true) => format!("the answers to {}, ports {}", passage.peer, range_text(passage.ports)),
    };
    let by = rule.map_or_else(
        || format!("the last {} rule, which denies", if passage.ingress { "inbound" } else { "outbound" }),
        Entry::named,
    );
    let because = match verdict {
        Judged::Allowed => format!("network ACL {id} lets {way} pass: {by}"),
        Judged::Blocked => format!("network ACL {id} drops {way}: {by}"),
        Judged::Undecided => match doubt {
            Some(why) => format!("network ACL {id}: {why}"),
            None => format!(
                "network ACL {id} lets {way} pass for ports {} only, and which the client takes is not known",
                list_text(&allowed)
            ),
        },
    };
    let partly = (verdict == Judged::Allowed && !denied.is_empty()).then(|| {
        format!(
            "network ACL {id} drops answers to ports {} of the client, which it also takes",
            list_text(&denied)
        )
    });
    let opening = (verdict == Judged::Blocked || partly.is_some()).then(|| {
        let decides = rule.filter(|_| verdict == Judged::Blocked).or(denying);
        let number = free_number(acl, passage.ingress, decides, taken);
        taken.extend(number.map(|n| (acl.network_acl_id.clone(), passage.ingress, n)));
        Opening::AwsAcl {
            acl: acl.network_acl_id.clone(),
            ingress: passage.ingress,
            number,
            ports: passage.ports,
            peer: passage.peer.ip(),
        }
    });
    Filter {
        kind: "network ACL".to_owned(),
        names: vec![id],
        at_client: passage.at_client,
        ingress: passage.ingress,
        answers: passage.answers,
        verdict,
        rule: Some(by).filter(|_| verdict != Judged::Undecided),
        because,
        partly,
        opening,
    }
}

/// A number that nobody has, before the rule that decides; the next ten where only the last rule does.
fn free_number(acl: &Acl, ingress: bool, before: Option<&Entry>, taken: &Taken) -> Option<u32> {
    let listed = acl.entries.iter().filter(|e| e.egress != ingress).map(|e| e.rule_number);
    let promised =
        taken.iter().filter(|(id, way, _)| *id == acl.network_acl_id && *way == ingress).map(|t| t.2);
    let used: Vec<u32> = listed.chain(promised).collect();
    match before.map(|e| e.rule_number).filter(|n| *n <= LAST) {
        Some(number) => (1..number).rev().find(|n| !used.contains(n)),
        None => {
            let highest = used.iter().copied().filter(|n| *n <= LAST).max().unwrap_or(90);
            Some(highest / 10 * 10 + 10).filter(|n| *n <= LAST)
        }
    }
}

/// The ACL of a subnet. Each subnet has exactly one.
pub(super) fn of_subnet<'a>(acls: &'a [Acl], subnet: &str) -> Option<&'a Acl> {
    acls.iter().find(|a| a.associations.iter().any(|s| s.subnet_id.as_deref() == Some(subnet)))
}

/// The subnet's ACL was not read.
pub(super) fn unread(subnet: Option<&str>, at_client: bool, ingress: bool) -> Filter {
    let end = if at_client { "client" } else { "server" };
    let subnet = subnet.map_or_else(|| "of its subnet".to_owned(), |s| format!("of subnet {}", shown(s)));
    Filter {
        kind: "network ACL".to_owned(),
        at_client,
        ingress,
        because: format!("the network ACL {subnet} at the {end}'s end is not among what was read"),
        ..Filter::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Acl, Entry, Passage, judge, take};
    use crate::cloud::net::Peer;
    use crate::evidence::cloud::{Judged, Opening};

    fn entry(number: u32, action: &str, block: &str, ports: Option<(i32, i32)>) -> Entry {
        Entry {
            rule_number: number,
            protocol: if ports.is_some() { "6" } else { "-1" }.to_owned(),
            rule_action: action.to_owned(),
            egress: true,
            cidr_block: Some(block.to_owned()),
            ipv6_cidr_block: None,
            port_range: ports.map(|(from, to)| super::super::PortRange { from, to }),
        }
    }

    fn answers(entries: Vec<Entry>, ports: (u16, u16), exact: Option<u16>) -> super::Filter {
        let acl = Acl { network_acl_id: "acl-1".to_owned(), associations: Vec::new(), entries };
        let peer = Peer::At("10.0.0.7".parse().unwrap());
        judge(
            &acl,
            Passage { at_client: false, ingress: false, answers: true, peer, ports, exact },
            &mut Vec::new(),
        )
    }

    #[test]
    fn ranges_are_taken_apart() {
        let mut ports = vec![(1024, 65535)];
        assert_eq!(take(&mut ports, (2000, 3000)), [(2000, 3000)]);
        assert_eq!(ports, [(1024, 1999), (3001, 65535)]);
        assert_eq!(take(&mut ports, (0, 65535)), [(1024, 1999), (3001, 65535)]);
        assert!(ports.is_empty());
    }

    #[test]
    fn the_lowest_number_decides() {
        let rules = || {
            vec![
                entry(200, "allow", "0.0.0.0/0", None),
                entry(100, "deny", "10.0.0.0/24", Some((1024, 65535))),
            ]
        };
        let filter = answers(rules(), (32768, 60999), None);
        assert_eq!(filter.verdict, Judged::Blocked);
        assert!(filter.because.contains("rule 100"), "{}", filter.because);
        assert!(matches!(
            filter.opening,
            Some(Opening::AwsAcl { number: Some(99), ports: (32768, 60999), .. })
        ));
        let other = vec![entry(200, "allow", "0.0.0.0/0", None), entry(100, "deny", "10.9.0.0/24", None)];
        assert_eq!(answers(other, (32768, 60999), None).verdict, Judged::Allowed);
    }

    #[test]
    fn answers_need_the_ports_that_the_client_takes() {
        let windows = || vec![entry(100, "allow", "0.0.0.0/0", Some((49152, 65535)))];
        // Not known which port: some pass.
        assert_eq!(answers(windows(), (32768, 60999), None).verdict, Judged::Undecided);
        assert_eq!(answers(windows(), (32768, 60999), Some(40000)).verdict, Judged::Blocked);
        let lucky = answers(windows(), (32768, 60999), Some(50000));
        assert_eq!(lucky.verdict, Judged::Allowed);
        assert!(lucky.partly.is_some_and(|p| p.contains("32768-49151")));
        assert_eq!(answers(Vec::new(), (1024, 65535), None).verdict, Judged::Blocked);
    }
}
