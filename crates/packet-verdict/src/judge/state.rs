//! What the packet is at one moment on its way, and what its fields read there.

use crate::clock::Clock;
use crate::model::{Field, HookPoint};
use crate::packet::{CtState, Hook, Packet, addr_bits};
use crate::value::{Value, name_bits};
use std::net::IpAddr;
use std::sync::Arc;

/// Connection tracking runs at this priority (NF_IP_PRI_CONNTRACK); earlier chains see no connection.
pub(super) const CONNTRACK: i32 = -200;

/// Bits of `ct state` (NF_CT_STATE_BIT).
pub(crate) mod ct {
    pub(crate) const INVALID: u128 = 1;
    pub(crate) const ESTABLISHED: u128 = 2;
    pub(crate) const NEW: u128 = 8;
    pub(crate) const UNTRACKED: u128 = 64;
    /// Bits of `ct status` (enum ip_conntrack_status).
    pub(crate) const SEEN_REPLY_ASSURED_CONFIRMED: u128 = 2 | 4 | 8;
    pub(crate) const SEEN_REPLY_CONFIRMED: u128 = 2 | 8;
    pub(crate) const SNAT: u128 = 16;
    pub(crate) const DNAT: u128 = 32;
    /// "NAT was looked at": depends on whether any nat chain exists.
    pub(crate) const NAT_DONE: u128 = 128 | 256;
}

/// Kinds of address (RTN_*).
pub(crate) mod rtn {
    pub(crate) const UNICAST: u128 = 1;
    pub(crate) const LOCAL: u128 = 2;
    pub(crate) const MULTICAST: u128 = 5;
}

/// IP_DF: of the field of fragments, all that a SYN may have set.
const DONT_FRAGMENT: u128 = 0x4000;
/// No stack announces less than 536 (RFC 9293, 3.7.1); the most that 16 bits hold.
const MSS: (u128, u128) = (536, 65535);
/// Linux, BSD and macOS send 64, Windows 128 (only some routers and appliances 255); paths are hardly longer than 34 hops.
const TTL: (u128, u128) = (30, 128);
/// More than the SYN of any stack: two headers of at most 60 bytes each.
const SYN_BYTES: u128 = 200;
/// Hardware type of lo (linux/if_arp.h).
const ARPHRD_LOOPBACK: u128 = 772;

/// What rules can change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) saddr: Value,
    pub(super) daddr: Value,
    pub(super) dport: Value,
    /// Whether the destination is this host.
    pub(super) to_us: bool,
    pub(super) mark: Value,
    pub(super) ct_mark: Value,
    pub(super) untracked: bool,
    pub(super) dnat: bool,
    pub(super) snat: bool,
    /// A nat chain has settled the destination; the ones behind it are not asked.
    pub(super) dst_done: bool,
    pub(super) redirected: bool,
    pub(super) oif: Value,
    /// Sets that a rule on the way added to or took from.
    pub(super) touched: Vec<Arc<str>>,
}

/// Where it stands: the same for all rules of one base chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) hook: HookPoint,
    pub(super) priority: i32,
    pub(super) iif: Value,
    /// Sent by this host.
    pub(super) ours: bool,
}

impl State {
    pub(super) fn start(packet: &Packet, oif: Value) -> Self {
        Self {
            saddr: Value::Known(addr_bits(packet.src)),
            daddr: Value::Known(addr_bits(packet.dst)),
            dport: Value::Known(packet.dport.into()),
            to_us: match packet.hook {
                Hook::Input => true,
                Hook::Forward => false,
                Hook::Output => packet.loops(),
            },
            mark: packet.mark.map_or(Value::Range(0, u128::from(u32::MAX)), |m| Value::Known(m.into())),
            // The first packet's way may have marked the connection.
            ct_mark: match packet.state {
                CtState::New => Value::Known(0),
                CtState::Answer | CtState::Established => Value::Range(0, u128::from(u32::MAX)),
            },
            untracked: false,
            dnat: false,
            snat: false,
            dst_done: false,
            redirected: false,
            oif,
            touched: Vec::new(),
        }
    }

    pub(super) fn read(&self, field: Field, place: &Place, packet: &Packet) -> Value {
        let v4 = packet.src.is_ipv4();
        let only = |yes: bool, value: Value| if yes { value } else { Value::Absent };
        let known = |n: u128| Value::Known(n);
        match field {
            Field::NfProto => known(if v4 { 2 } else { 10 }),
            Field::EtherType => known(if v4 { 0x0800 } else { 0x86dd }),
            Field::L4Proto => known(6),
            Field::SaddrV4 => only(v4, self.saddr),
            Field::DaddrV4 => only(v4, self.daddr),
            Field::SaddrV6 => only(!v4, self.saddr),
            Field::DaddrV6 => only(!v4, self.daddr),
            Field::Saddr => self.saddr,
            Field::Daddr => self.daddr,
            Field::Sport => Value::Range(packet.sport.0.into(), packet.sport.1.into()),
            Field::Dport => self.dport,
            // A later packet always carries ACK; PSH and FIN as the application writes.
            Field::TcpFlags => match packet.state {
                CtState::New => known(0x02),
                CtState::Established => Value::Bits(0x10, !0x09),
                CtState::Answer => known(0x12),
            },
            Field::IifName => match place.hook {
                _ if place.ours => known(0),
                HookPoint::Output | HookPoint::Egress => known(0),
                _ => place.iif,
            },
            Field::OifName => match place.hook {
                HookPoint::Ingress | HookPoint::Prerouting | HookPoint::Input => known(0),
                _ => self.oif,
            },
            Field::Mark => self.mark,
            Field::CtMark => only(self.tracked(place), self.ct_mark),
            Field::CtState => known(self.ct_state(place, packet)),
            Field::CtStatus => only(self.tracked(place), self.ct_status(packet)),
            Field::CtDirection => only(self.tracked(place), known((packet.state == CtState::Answer).into())),
            // The SYN itself, or nothing where net.netfilter.nf_conntrack_acct is off.
            Field::CtBytes | Field::CtPackets => {
                let most = match (packet.state, field) {
                    (CtState::New, Field::CtBytes) => SYN_BYTES,
                    (CtState::New, _) => 1,
                    _ => u64::MAX.into(),
                };
                only(self.tracked(place), Value::Range(0, most))
            }
            Field::CtOrigSaddr | Field::CtOrigDaddr | Field::CtOrigSport | Field::CtOrigDport => {
                only(self.tracked(place), original(field, packet))
            }
            Field::CtReplySaddr | Field::CtReplyDaddr | Field::CtReplySport | Field::CtReplyDport => {
                only(self.tracked(place), self.reply(field, packet))
            }
            Field::Uid => owner(packet.uid, place, packet),
            Field::Gid => owner(packet.gid, place, packet),
            Field::SaddrType => known(source_type(packet)),
            Field::DaddrType => match self.daddr {
                Value::Known(_) => known(self.dest_type(packet)),
                _ if self.to_us => known(rtn::LOCAL),
                _ => Value::Range(rtn::UNICAST, rtn::LOCAL),
            },
            Field::DaddrTypeOnIface => self.dest_type_on(place, packet),
            Field::ReversePath => known(packet.reverse_path.unwrap_or(true).into()),
            // PACKET_HOST: of one's own to another, too; over lo only multicast is marked as looped back.
            Field::PktType => known(0),
            // At least both headers; a SYN carries up to 40 bytes of options.
            Field::Length => match packet.state {
                CtState::New | CtState::Answer => {
                    if v4 {
                        Value::Range(40, 80)
                    } else {
                        Value::Range(60, 100)
                    }
                }
                CtState::Established => Value::Range(40, 65535),
            },
            // net.ipv4.ip_default_ttl is 64 (RFC 1700), and hardly ever less than what arrives.
            Field::Ttl => Value::Range(if place.ours { 64 } else { TTL.0 }, TTL.1),
            Field::FragOff => only(v4, Value::Bits(0, !DONT_FRAGMENT)),
            Field::Mss => match packet.state {
                CtState::New | CtState::Answer => Value::Range(MSS.0, MSS.1),
                CtState::Established => Value::Absent,
            },
            Field::IifType => match place.hook {
                _ if place.ours => Value::Absent,
                HookPoint::Output | HookPoint::Egress => Value::Absent,
                _ if name_bits("lo").map(Value::Known) == Some(place.iif) => known(ARPHRD_LOOPBACK),
                _ => Value::Range(0, 65535),
            },
            Field::OifType => match place.hook {
                HookPoint::Ingress | HookPoint::Prerouting | HookPoint::Input => Value::Absent,
                _ if name_bits("lo").map(Value::Known) == Some(self.oif) => known(ARPHRD_LOOPBACK),
                _ => Value::Range(0, 65535),
            },
            Field::WayBack => match packet.route_dev(packet.src).and_then(name_bits) {
                _ if place.ours => Value::UNKNOWN,
                Some(dev) => known(dev),
                None => place.iif,
            },
            Field::Hour => packet.now.and_then(Clock::hour).map_or(Value::UNKNOWN, known),
            Field::Date => packet.now.and_then(Clock::date).map_or(Value::UNKNOWN, known),
            Field::Weekday => packet.now.map_or(Value::Range(0, 6), |now| known(now.weekday())),
            Field::Mac => match place.hook {
                _ if place.ours => Value::Absent,
                HookPoint::Output | HookPoint::Postrouting | HookPoint::Egress => Value::Absent,
                _ if name_bits("lo").map(Value::Known) == Some(place.iif) => Value::Absent,
                _ => packet.mac.map_or(Value::Range(0, (1 << 48) - 1), |m| known(m.into())),
            },
            // Like its owner: the socket is not found yet (nft_meta_get_eval_cgroup, cgroup_mt).
            Field::Cgroup => owner(None, place, packet),
            Field::Foreign => Value::Absent,
        }
    }

    /// The connection as its answer will be addressed, of the first packet.
    fn reply(&self, field: Field, packet: &Packet) -> Value {
        if packet.state != CtState::New {
            return Value::UNKNOWN;
        }
        match field {
            Field::CtReplySaddr => self.daddr,
            Field::CtReplySport => self.dport,
            _ if self.snat => Value::UNKNOWN,
            Field::CtReplyDaddr => Value::Known(addr_bits(packet.src)),
            _ => Value::Range(packet.sport.0.into(), packet.sport.1.into()),
        }
    }

    /// Whether a connection is attached to the packet here.
    pub(super) fn tracked(&self, place: &Place) -> bool {
        !self.untracked && !before_conntrack(place)
    }

    fn ct_state(&self, place: &Place, packet: &Packet) -> u128 {
        if self.untracked {
            ct::UNTRACKED
        } else if before_conntrack(place) {
            ct::INVALID
        } else {
            match packet.state {
                CtState::New => ct::NEW,
                CtState::Established | CtState::Answer => ct::ESTABLISHED,
            }
        }
    }

    fn ct_status(&self, packet: &Packet) -> Value {
        let mut bits = 0;
        if self.dnat {
            bits |= ct::DNAT;
        }
        if self.snat {
            bits |= ct::SNAT;
        }
        let mut known = !ct::NAT_DONE;
        match packet.state {
            CtState::New => {}
            // What the request met is not known here; ASSURED comes with the third packet.
            CtState::Answer => {
                bits |= ct::SEEN_REPLY_CONFIRMED;
                known &= !(ct::SNAT | ct::DNAT);
            }
            // ASSURED comes with the third packet, SNAT may have come at the end of the first one's way.
            CtState::Established => {
                bits |= ct::SEEN_REPLY_ASSURED_CONFIRMED;
                known &= !(4 | ct::SNAT);
            }
        }
        Value::Bits(bits, known)
    }

    /// Behind a translation: later chains of the same hook ask already where the new address lives.
    pub(super) fn translated(&mut self, daddr: Value, dport: Value, packet: &Packet) {
        self.dnat |= daddr != self.daddr || dport != self.dport;
        self.dst_done = true;
        (self.daddr, self.dport) = (daddr, dport);
        // What this host sends is asked at the end, when the route is looked up again.
        if packet.hook == Hook::Output {
            return;
        }
        let address = match daddr {
            Value::Known(bits) if packet.src.is_ipv4() => {
                u32::try_from(bits).ok().map(|b| IpAddr::V4(b.into()))
            }
            Value::Known(bits) => Some(IpAddr::V6(bits.into())),
            _ => None,
        };
        self.to_us = self.redirected
            || address.is_some_and(|a| {
                if a == packet.dst { packet.hook == Hook::Input } else { packet.has_local(a) }
            });
    }

    fn dest_type(&self, packet: &Packet) -> u128 {
        if self.to_us {
            rtn::LOCAL
        } else if is_multicast(self.daddr, packet.src.is_ipv4()) {
            rtn::MULTICAST
        } else {
            rtn::UNICAST
        }
    }

    /// An address of another interface of this host counts as unicast here.
    fn dest_type_on(&self, place: &Place, packet: &Packet) -> Value {
        match self.daddr {
            _ if self.to_us => {}
            Value::Known(_) => return Value::Known(self.dest_type(packet)),
            _ => return Value::Range(rtn::UNICAST, rtn::LOCAL),
        }
        let device = packet.local.iter().flatten().find(|a| Value::Known(addr_bits(a.addr)) == self.daddr);
        match (device.and_then(|a| a.dev.as_deref()).and_then(name_bits), place.iif) {
            (Some(dev), Value::Known(iif)) if dev == iif => Value::Known(rtn::LOCAL),
            (Some(_), Value::Known(_)) => Value::Known(rtn::UNICAST),
            _ => Value::Range(rtn::UNICAST, rtn::LOCAL),
        }
    }
}

fn before_conntrack(place: &Place) -> bool {
    match place.hook {
        HookPoint::Ingress => true,
        HookPoint::Prerouting | HookPoint::Output => place.priority < CONNTRACK,
        _ => false,
    }
}

/// The owner is that of the sending socket. A packet that arrives has none before its socket is found.
fn owner(id: Option<u32>, place: &Place, packet: &Packet) -> Value {
    let any = Value::Range(0, u128::from(u32::MAX));
    if place.ours {
        id.map_or(any, |n| Value::Known(n.into()))
    } else if packet.state == CtState::New {
        Value::Absent
    } else {
        any
    }
}

/// The connection as it was dialled.
fn original(field: Field, packet: &Packet) -> Value {
    let back = packet.state == CtState::Answer;
    match (field, back) {
        (Field::CtOrigSaddr, false) | (Field::CtOrigDaddr, true) => Value::Known(addr_bits(packet.src)),
        (Field::CtOrigDaddr, false) | (Field::CtOrigSaddr, true) => Value::Known(addr_bits(packet.dst)),
        (Field::CtOrigSport, false) | (Field::CtOrigDport, true) => {
            Value::Range(packet.sport.0.into(), packet.sport.1.into())
        }
        _ => Value::Known(packet.dport.into()),
    }
}

fn source_type(packet: &Packet) -> u128 {
    let ours = packet.hook == Hook::Output || packet.loops() || packet.has_local(packet.src);
    if ours { rtn::LOCAL } else { rtn::UNICAST }
}

fn is_multicast(addr: Value, v4: bool) -> bool {
    match addr {
        Value::Known(n) if v4 => u32::try_from(n).is_ok_and(|n| IpAddr::V4(n.into()).is_multicast()),
        Value::Known(n) => IpAddr::V6(n.into()).is_multicast(),
        _ => false,
    }
}
