//! This machine's addresses, from the kernel (RTM_GETADDR), with what keeps one from being used.

use crate::evidence::Why;
use crate::evidence::server::Address;
use crate::sys;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp, XdpAttached};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::collections::BTreeMap;

/// A host with more addresses (a router, a Kubernetes node) is cut.
const ADDRESSES_MAX: usize = 4096;

/// Looks at all of them.
pub(super) fn look() -> Result<Vec<Address>, Why> {
    let links = dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let links: BTreeMap<u32, (String, bool)> = links.iter().filter_map(link).collect();
    let found = dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let mut addresses: Vec<Address> = found
        .iter()
        .filter_map(|m| match m {
            RouteNetlinkMessage::NewAddress(m) => address(m, &links),
            _ => None,
        })
        .collect();
    addresses.dedup();
    Ok(addresses)
}

/// Some interface has an XDP program, which may drop packets before anybody sees them.
pub(super) fn xdp() -> bool {
    let links = dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).unwrap_or_default();
    let attached = |a: &LinkAttribute| matches!(a, LinkAttribute::Xdp(all) if all.iter().any(|x| matches!(x, LinkXdp::Attached(how) if *how != XdpAttached::None)));
    links.iter().any(|m| matches!(m, RouteNetlinkMessage::NewLink(l) if l.attributes.iter().any(attached)))
}

fn dump(request: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Why> {
    sys::netlink::dump(NETLINK_ROUTE, request, ADDRESSES_MAX)
}

fn link(message: &RouteNetlinkMessage) -> Option<(u32, (String, bool))> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    let name = link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfName(name) => Some(crate::text::shown_str(name, 64)),
        _ => None,
    })?;
    Some((link.header.index, (name, link.header.flags.contains(LinkFlags::Up))))
}

fn address(message: &AddressMessage, links: &BTreeMap<u32, (String, bool)>) -> Option<Address> {
    let mut local = None;
    let mut peer = None;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => peer = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let (dev, up) = links.get(&message.header.index).cloned().unwrap_or_default();
    Some(Address {
        dev,
        // On a point-to-point link IFA_ADDRESS is the other end, IFA_LOCAL this one (linux/if_addr.h).
        address: local.or(peer)?,
        prefix: message.header.prefix_len,
        up,
        // An address in duplicate detection, or that lost it, cannot be bound (EADDRNOTAVAIL).
        tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
            && !flags.contains(AddressFlags::Optimistic),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn has_loopback() {
        let found = super::look().expect("netlink");
        assert!(found.iter().any(|a| a.dev == "lo" && a.address.is_loopback()), "{found:?}");
    }
}
