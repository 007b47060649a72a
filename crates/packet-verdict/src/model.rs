//! Rule sets in one form, whatever tool wrote them: tables, chains, rules, and what a rule asks and does.
//!
//! Nothing here is specific to nft or iptables but the words kept for the reader (text, handle, line).

use crate::clock::Times;
use crate::set::SetData;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a text turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `nft -j list ruleset`
    Nft,
    /// `iptables-save` whose header says `(nf_tables)`
    IptablesNft,
    /// `iptables-legacy-save`, or a text without a header
    Iptables,
    /// `ipset save`
    Ipset,
}

/// One rule set as read.
#[derive(Debug, Clone)]
pub struct Ruleset {
    pub kind: Kind,
    /// Where it came from, for the reader: a file name, a command.
    pub label: String,
    /// Whether it says anything of IPv4, of IPv6. An `iptables-save` text knows one of them only.
    pub covers_v4: bool,
    pub covers_v6: bool,
    /// Remarks of the tool that wrote it, such as "iptables-legacy tables present".
    pub notes: Vec<String>,
    pub(crate) tables: Vec<Table>,
    pub(crate) ipsets: HashMap<String, Arc<SetData>>,
    /// Sets that a rule adds to or deletes from.
    pub(crate) changed_ipsets: Vec<String>,
    /// The text has the words for hours and dates.
    pub(crate) may_ask_time: bool,
}

/// What rules write, and other rules ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The class of service: DSCP and ECN.
    Tos,
    Zone,
    Label,
    Priority,
}

impl Ruleset {
    /// How many rules it has.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.tables.iter().flat_map(|t| &t.chains).map(|c| c.rules.len()).sum()
    }

    /// Whether a rule asks for the content of an ipset, which no listing of rules shows.
    #[must_use]
    pub fn asks_ipsets(&self) -> bool {
        fn asks(cond: &Cond) -> bool {
            match cond {
                Cond::In(_, SetRef::Ipset(_), _) => true,
                Cond::Not(inner) => asks(inner),
                Cond::All(list) | Cond::Any(list) => list.iter().any(asks),
                _ => false,
            }
        }
        let rules = self.tables.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules);
        rules.flat_map(|r| &r.stmts).any(|s| matches!(s, Stmt::If(cond) if asks(cond)))
    }

    /// Whether rules may ask for the hour or the date of the host that lists them ([`crate::Clock::ahead`]). True for
    /// some that do not.
    #[must_use]
    pub fn may_ask_time(&self) -> bool {
        self.may_ask_time
    }

    /// Switches a table off, as its flag `dormant` does, which nft before 1.0.7 does not list as JSON.
    pub fn set_dormant(&mut self, family: &str, name: &str) {
        let family = match family {
            "ip" => Family::Ip,
            "ip6" => Family::Ip6,
            "inet" => Family::Inet,
            "netdev" => Family::Netdev,
            _ => return,
        };
        for table in self.tables.iter_mut().filter(|t| !t.xt && t.family == family && t.name == name) {
            table.dormant = true;
        }
    }

    /// Whether it has chains that sit on devices and does not say on which, as nft before 1.0.9 lists them.
    #[must_use]
    pub fn lacks_devices(&self) -> bool {
        let mut bases = self.tables.iter().flat_map(|t| &t.chains).filter_map(|c| c.base.as_ref());
        bases.any(|b| matches!(b.hook, HookPoint::Ingress | HookPoint::Egress) && b.devices.is_empty())
    }

    /// Tells on which devices a chain sits.
    pub fn set_devices(&mut self, family: &str, table: &str, chain: &str, devices: &[String]) {
        let same = |t: &&mut Table| crate::judge::family_word(t.family) == family && t.name == table;
        for table in self.tables.iter_mut().filter(same) {
            if let Some(base) = table.by_name.get(chain).and_then(|at| table.chains[*at].base.as_mut()) {
                base.devices = devices.to_vec();
            }
        }
    }

    /// The programs whose tables or chains are in it: `ufw`, `firewalld`, `docker`, …
    #[must_use]
    pub fn owners(&self) -> Vec<&'static str> {
        let mut owners = Vec::new();
        for table in &self.tables {
            for chain in &table.chains {
                if let Some(owner) = crate::owner::owner(table, chain, 0)
                    && !owners.contains(&owner.name)
                {
                    owners.push(owner.name);
                }
            }
        }
        owners
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    Ip,
    Ip6,
    Inet,
    Netdev,
    /// bridge, arp: kept by name only, they do not see a routed TCP packet as such.
    Other,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) name: String,
    /// From iptables: its matches negate differently and its chains have the kernel's fixed priorities.
    pub(crate) xt: bool,
    pub(crate) dormant: bool,
    pub(crate) chains: Vec<Chain>,
    pub(crate) by_name: HashMap<String, usize>,
    pub(crate) sets: BTreeMap<String, Arc<SetData>>,
    /// What some rule may write into a packet or its connection.
    pub(crate) changes: Vec<Changed>,
}

/// The points where the kernel asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum HookPoint {
    Ingress,
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    Egress,
}

#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) hook: HookPoint,
    pub(crate) priority: i32,
    pub(crate) nat: bool,
    pub(crate) accept: bool,
    /// Devices of an ingress chain; empty when the listing does not say.
    pub(crate) devices: Vec<String>,
    pub(crate) packets: Option<u64>,
    /// Where the text has the chain and its policy; 0 if not known.
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) name: String,
    pub(crate) base: Option<Base>,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Rule {
    pub(crate) stmts: Vec<Stmt>,
    pub(crate) text: String,
    pub(crate) comment: Option<String>,
    pub(crate) handle: Option<u64>,
    pub(crate) packets: Option<u64>,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// In its manager's own count.
    pub(crate) number: Option<u32>,
}

/// What a rule does, in order. A condition that does not hold ends the rule.
#[derive(Debug, Clone)]
pub(crate) enum Stmt {
    If(Cond),
    Do(Action),
    /// The verdict stands in a map; without an entry the rule ends.
    Vmap(Vec<Expr>, SetRef),
    /// Refused; nft does not show how an iptables rule does it.
    Reject(Option<Reject>),
    /// New destination address and port, each if given.
    Dnat {
        addr: Option<Expr>,
        port: Option<Expr>,
        map: Option<(Vec<Expr>, SetRef)>,
    },
    /// New destination on this host.
    Redirect {
        port: Option<Expr>,
    },
    /// The source changes; the verdict of a nat chain is accept.
    Snat,
    SetMark(Expr),
    SetCtMark(Expr),
    /// Adds the key to the set, or takes it out; what it keeps with the element may end the rule.
    Touch {
        set: SetRef,
        key: Vec<Expr>,
        keeps: Vec<Kept>,
    },
    Notrack,
    /// A program takes the packet and decides, if one waits at one of these queues.
    Queue {
        first: u16,
        last: u16,
        /// Without a program the packet goes on.
        bypass: bool,
    },
    /// Something else takes the packet and decides: a program, a proxy.
    Taken(String),
    /// Turns the packet into another, which nobody can judge.
    Rewrites(&'static str),
    /// Not understood: it may end the rule, or the packet, in any way.
    Opaque(String),
}

/// A count kept with a set's element.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Whether the rule goes on for an element just made.
    pub(crate) first: bool,
    /// The same for one that is there already.
    pub(crate) later: Cond,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    Continue,
}

/// How a packet is refused, in iptables' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reject {
    TcpReset,
    IcmpNetUnreachable,
    IcmpHostUnreachable,
    IcmpProtoUnreachable,
    IcmpPortUnreachable,
    IcmpNetProhibited,
    IcmpHostProhibited,
    IcmpAdminProhibited,
    Icmp6NoRoute,
    Icmp6AdmProhibited,
    Icmp6AddrUnreachable,
    Icmp6PortUnreachable,
    Icmp6PolicyFail,
    Icmp6RejectRoute,
    /// The four of nft's `icmpx`, which depend on the packet's family.
    IcmpxNoRoute,
    IcmpxPortUnreachable,
    IcmpxHostUnreachable,
    IcmpxAdminProhibited,
}

impl Reject {
    /// In iptables' spelling.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TcpReset => "tcp-reset",
            Self::IcmpNetUnreachable => "icmp-net-unreachable",
            Self::IcmpHostUnreachable => "icmp-host-unreachable",
            Self::IcmpProtoUnreachable => "icmp-proto-unreachable",
            Self::IcmpPortUnreachable => "icmp-port-unreachable",
            Self::IcmpNetProhibited => "icmp-net-prohibited",
            Self::IcmpHostProhibited => "icmp-host-prohibited",
            Self::IcmpAdminProhibited => "icmp-admin-prohibited",
            Self::Icmp6NoRoute => "icmp6-no-route",
            Self::Icmp6AdmProhibited => "icmp6-adm-prohibited",
            Self::Icmp6AddrUnreachable => "icmp6-addr-unreachable",
            Self::Icmp6PortUnreachable => "icmp6-port-unreachable",
            Self::Icmp6PolicyFail => "icmp6-policy-fail",
            Self::Icmp6RejectRoute => "icmp6-reject-route",
            Self::IcmpxNoRoute => "icmpx-no-route",
            Self::IcmpxPortUnreachable => "icmpx-port-unreachable",
            Self::IcmpxHostUnreachable => "icmpx-host-unreachable",
            Self::IcmpxAdminProhibited => "icmpx-admin-prohibited",
        }
    }

    /// What `connect` says to a client that is told so while it dials (icmp_err_convert, tab_unreach in icmpv6.c).
    #[must_use]
    pub fn errno(self) -> &'static str {
        match self {
            Self::TcpReset
            | Self::IcmpPortUnreachable
            | Self::Icmp6PortUnreachable
            | Self::IcmpxPortUnreachable => "ECONNREFUSED",
            Self::IcmpNetUnreachable | Self::IcmpNetProhibited | Self::Icmp6NoRoute | Self::IcmpxNoRoute => {
                "ENETUNREACH"
            }
            Self::IcmpProtoUnreachable => "ENOPROTOOPT",
            Self::IcmpHostUnreachable
            | Self::IcmpHostProhibited
            | Self::IcmpAdminProhibited
            | Self::Icmp6AddrUnreachable
            | Self::IcmpxHostUnreachable
            | Self::IcmpxAdminProhibited => "EHOSTUNREACH",
            Self::Icmp6AdmProhibited | Self::Icmp6PolicyFail | Self::Icmp6RejectRoute => "EACCES",
        }
    }

    /// An ICMP answer of the other family than the packet's.
    pub(crate) fn other_family(self, v4: bool) -> bool {
        let word = self.word();
        if v4 { word.starts_with("icmp6-") } else { word.starts_with("icmp-") }
    }

    /// `icmpx` becomes the family's own code (nft_reject_icmp_code, nft_reject_icmpv6_code).
    pub(crate) fn for_family(self, v4: bool) -> Self {
        match (self, v4) {
            (Self::IcmpxNoRoute, true) => Self::IcmpNetUnreachable,
            (Self::IcmpxNoRoute, false) => Self::Icmp6NoRoute,
            (Self::IcmpxPortUnreachable, true) => Self::IcmpPortUnreachable,
            (Self::IcmpxPortUnreachable, false) => Self::Icmp6PortUnreachable,
            (Self::IcmpxHostUnreachable, true) => Self::IcmpHostUnreachable,
            (Self::IcmpxHostUnreachable, false) => Self::Icmp6AddrUnreachable,
            (Self::IcmpxAdminProhibited, true) => Self::IcmpAdminProhibited,
            (Self::IcmpxAdminProhibited, false) => Self::Icmp6AdmProhibited,
            (other, _) => other,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Cond {
    Never,
    Cmp(Expr, Op, Expr),
    /// Within any of the ranges; the flag negates.
    In(Vec<Expr>, SetRef, bool),
    AnyBit(Expr, u128, bool),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    /// Depends on what cannot be known beforehand.
    Unknown(String),
    /// A rate that others may have used up: whether it holds if not, and what is then taken for granted.
    Rate(bool, String),
    /// Within these times.
    Time(Box<Times>),
    /// Taken to hold, or not to, because of what the text says, as nearly every packet finds it.
    Assumed(bool, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
}

#[derive(Debug, Clone)]
pub(crate) enum SetRef {
    Anonymous(Arc<SetData>),
    Named(String),
    /// An ipset, by name; the directions are in the key.
    Ipset(String),
}

#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Const(u128),
    Range(u128, u128),
    Field(Field),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Xor(Box<Self>, Box<Self>),
    Shl(Box<Self>, Box<Self>),
    Shr(Box<Self>, Box<Self>),
    Map(Vec<Self>, SetRef),
    /// Of unknown value, with its name for the reader.
    Unknown(String),
    /// The same, but within these bounds.
    Between(String, u128, u128),
    /// The last, where the packet has all of the others; else it lacks this one too.
    With(Vec<Self>, Box<Self>),
    /// What a SYN nearly always has there.
    Usual(Usual),
}

/// A range that a value is taken to be in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    pub(crate) first: u128,
    pub(crate) last: u128,
    /// Its name for the reader.
    pub(crate) what: &'static str,
    /// What is taken for granted.
    pub(crate) says: &'static str,
    /// Not where rules change it.
    pub(crate) unless: Option<Changed>,
    /// Also of later packets.
    pub(crate) later: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    NfProto,
    EtherType,
    L4Proto,
    SaddrV4,
    DaddrV4,
    SaddrV6,
    DaddrV6,
    /// Whatever the family, for tools that know one family only.
    Saddr,
    Daddr,
    Sport,
    Dport,
    TcpFlags,
    IifName,
    OifName,
    Mark,
    CtMark,
    CtState,
    CtStatus,
    CtDirection,
    /// Bytes and packets of the connection so far; their average stays below the first.
    CtBytes,
    CtPackets,
    CtOrigSaddr,
    CtOrigDaddr,
    CtOrigSport,
    CtOrigDport,
    /// As the answer will have them.
    CtReplySaddr,
    CtReplyDaddr,
    CtReplySport,
    CtReplyDport,
    Uid,
    Gid,
    /// Kind of address (RTN_*), of source or destination.
    SaddrType,
    DaddrType,
    /// The same for the incoming or outgoing interface only.
    DaddrTypeOnIface,
    /// Whether the way back to the source leaves by the interface it came in on.
    ReversePath,
    PktType,
    /// Of IPv4: flags and offset of a fragment.
    FragOff,
    /// The largest segment that the SYN announces.
    Mss,
    IifType,
    OifType,
    /// The interface that the way back to the source leaves by, whichever it came in on.
    WayBack,
    /// The class of the control group of the socket that sends it.
    Cgroup,
    /// The sender's hardware address, as 48 bits.
    Mac,
    /// Second of the day, day of the week, second since 1970, as nft shows them.
    Hour,
    Weekday,
    Date,
    Length,
    /// Hops the packet may still go.
    Ttl,
    /// A field of a protocol that this packet does not carry.
    Foreign,
}
