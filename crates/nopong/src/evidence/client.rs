//! What is seen from where the client stands, stage by stage.

pub use super::talk::{Reply, Speaks, Talk};

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Who looks, and from where.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Host name of the machine.
    pub hostname: String,
    /// Effective user id.
    pub euid: u32,
    /// Effective and supplementary group ids.
    pub gids: Vec<u32>,
    /// CAP_NET_RAW is effective: ICMP and RST details can be seen.
    pub net_raw: bool,
    /// CAP_NET_ADMIN is effective: rules and counters can be read.
    pub net_admin: bool,
    /// Running inside a container (a `/.dockerenv`, `/run/.containerenv`, or a container cgroup), and which kind.
    pub container: Option<String>,
    /// Unix time of the look, in seconds.
    pub at: u64,
}

/// One setting of the application that names a Redis, with its place.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Setting {
    /// `environment`, or `file:line`.
    pub place: String,
    /// The key: `REDIS_URL`, `spring.data.redis.host`.
    pub key: String,
    /// The value with any secret replaced by `***`.
    pub value: String,
    /// What it makes a client dial, as a redacted URL, when it parses.
    pub dials: Option<String>,
    /// What is wrong with it, when it does not.
    pub problem: Option<String>,
    /// Why the application does not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
    /// It is for another stage or profile than the one that runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
    /// Whose it is, where that is not this host's: `service web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// What its own file says against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<Remark>,
}

/// What a settings file says against one of its settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Remark {
    /// The cause that it speaks for.
    pub cause: String,
    /// In words.
    pub says: String,
}

/// All settings found, in order of precedence.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Every setting, the one taken first.
    pub found: Vec<Setting>,
}

/// The name stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Name {
    /// The name asked for.
    pub asked: String,
    /// It is an address literal: nothing was resolved.
    pub literal: bool,
    /// What the system's resolver (getaddrinfo) gave, in its order; what a client will dial.
    pub addresses: Vec<IpAddr>,
    /// The getaddrinfo error: `EAI_NONAME`, `EAI_AGAIN`, … when it gave none.
    pub error: Option<String>,
    /// Time of getaddrinfo in milliseconds.
    pub took_ms: f64,
    /// Addresses that /etc/hosts gives for the name, with the line.
    pub hosts_file: Vec<HostsLine>,
    /// Each resolver of /etc/resolv.conf asked by itself.
    pub resolvers: Vec<Resolver>,
    /// `search` domains of resolv.conf.
    pub search: Vec<String>,
    /// Characters in the name that no host name has (blank, CR, quote, scheme …), shown escaped.
    pub odd_bytes: Option<String>,
}

/// A line of /etc/hosts that names the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostsLine {
    /// Line number from 1.
    pub line: u32,
    /// The address it gives.
    pub address: IpAddr,
}

/// One DNS server's own answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolver {
    /// The server's address.
    pub server: SocketAddr,
    /// What it said.
    pub answer: DnsAnswer,
    /// Time in milliseconds.
    pub took_ms: f64,
}

/// What a DNS server said of a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum DnsAnswer {
    /// Addresses.
    Addresses {
        /// A and AAAA together.
        addresses: Vec<IpAddr>,
    },
    /// The name does not exist (RFC 1035 rcode 3).
    NxDomain,
    /// The name exists without an A or AAAA record.
    NoData,
    /// SERVFAIL or another error code.
    Error {
        /// The rcode's name.
        rcode: String,
    },
    /// No answer before the deadline.
    Silent,
    /// The server's host refused or was unreachable.
    Unreachable {
        /// The errno's name.
        errno: String,
    },
}

/// How the kernel would route to one address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub to: IpAddr,
    /// The outcome.
    pub outcome: RouteOutcome,
}

/// The kernel's answer to RTM_GETROUTE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum RouteOutcome {
    /// It leaves (or stays) by this device.
    Via {
        /// Output interface.
        dev: String,
        /// Source address the kernel chooses.
        source: Option<IpAddr>,
        /// Next hop, when not on-link.
        gateway: Option<IpAddr>,
        /// The destination is this machine.
        local: bool,
    },
    /// `unreachable`, `prohibit`, `blackhole` or `throw` route.
    Forbidden {
        /// Which kind.
        kind: String,
    },
    /// No route at all (ENETUNREACH).
    None {
        /// The errno's name.
        errno: String,
    },
}

/// One connect() and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dial {
    /// The address dialled.
    pub to: SocketAddr,
    /// The outcome.
    pub outcome: DialOutcome,
    /// Time from SYN to outcome, in milliseconds.
    pub took_ms: f64,
    /// The local address used, when known.
    pub from: Option<SocketAddr>,
    /// The ICMP error that answered, when a raw socket could see it.
    pub icmp: Option<Icmp>,
    /// The RST that answered, when a raw socket could see it.
    pub rst: Option<Rst>,
    /// How far the SYN gets, for one that nobody answered.
    pub reach: Option<Reach>,
    /// A raw socket watched during the dial: absence of `icmp` and `rst` then means something.
    pub watched: bool,
}

/// What connect() returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum DialOutcome {
    /// The handshake completed.
    Connected,
    /// An errno: `ECONNREFUSED`, `EHOSTUNREACH`, `EADDRNOTAVAIL` …
    Errno {
        /// The errno's name.
        errno: String,
    },
    /// No answer before the deadline.
    TimedOut,
}

/// An ICMP or ICMPv6 error about our SYN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Icmp {
    /// Who sent it.
    pub from: IpAddr,
    /// ICMP type (3 = destination unreachable; ICMPv6: 1).
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// The code's name as iptables spells it: `icmp-port-unreachable`, `icmp-admin-prohibited` …
    pub name: String,
}

/// A RST that answered our SYN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rst {
    /// TTL or hop limit of the RST as received.
    pub ttl: u8,
    /// TTL of a RST from a port of the same host that is surely closed, when one answered.
    pub closed_port_ttl: Option<u8>,
}

/// How far a SYN gets, from time-exceeded errors to connects with a small TTL.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reach {
    /// Hops that answered, by TTL.
    pub hops: Vec<Hop>,
    /// The number of hops after which nobody answered.
    pub silent_after: Option<u8>,
    /// The destination answers ping, or answers on another port: the host is up. False means that it answered
    /// nothing; none that it could not be tried.
    pub host_alive: Option<bool>,
    /// What showed it: `ping`, `port 22`.
    #[serde(default)]
    pub alive_by: Option<String>,
    /// The hops that answered SYNs to another port of the same host: more of them than of `hops` shows that the dialled
    /// port is filtered before the first silent hop.
    #[serde(default)]
    pub other_hops: Vec<Hop>,
    /// The neighbour table's word on the next hop: `reachable`, `stale`, `incomplete`, `failed` … (the last two: nobody
    /// answers ARP or neighbour discovery for it).
    #[serde(default)]
    pub link: Option<String>,
}

/// One router on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// The TTL that died there.
    pub ttl: u8,
    /// The router.
    pub from: IpAddr,
}

/// A unix-domain socket path as the client sees it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UnixPath {
    /// The path.
    pub path: String,
    /// Something is there.
    pub exists: bool,
    /// It is a socket.
    pub is_socket: bool,
    /// Mode bits, owner and group.
    pub mode: Option<u32>,
    /// Owner user id.
    pub uid: Option<u32>,
    /// Owner group id.
    pub gid: Option<u32>,
    /// The first directory on the way that may not be entered.
    pub blocked_at: Option<String>,
    /// Some process listens on it (/proc/net/unix).
    pub listener: Option<bool>,
    /// What connect() returned.
    pub outcome: Option<DialOutcome>,
    /// Other Redis-like sockets that listen on this machine.
    pub others: Vec<String>,
}

/// A TLS handshake with one address.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// The address.
    pub to: String,
    /// The server name sent and checked.
    pub server_name: String,
    /// The handshake finished (without regard to the certificate's validity).
    pub handshake: bool,
    /// `TLSv1.3` …
    pub version: Option<String>,
    /// Why it did not finish: an alert's name, `not-tls`, `reset`, `closed`, `timeout`, `version`, or text.
    pub failure: Option<String>,
    /// What the server sent instead of TLS, escaped and cut.
    pub instead: Option<String>,
    /// The leaf certificate.
    pub certificate: Option<Certificate>,
    /// Verification of the chain and the name as a strict client does it.
    pub verified: Option<Verified>,
    /// All that is wrong with the certificate, `verified` being the first of it.
    #[serde(default)]
    pub faults: Vec<Verified>,
    /// What spoke inside the session, where something was asked in it.
    #[serde(default)]
    pub speaks: Option<Speaks>,
    /// The server asked for a client certificate.
    pub client_cert_requested: bool,
    /// A client certificate was given to us and sent.
    pub client_cert_sent: bool,
    /// Handshake done, then an alert or end of file at the first read (TLS 1.3 without a client certificate).
    pub died_at_first_read: Option<String>,
    /// `--insecure` was given.
    pub insecure: bool,
    /// Which roots were used: `system`, or the CA file given.
    pub roots: String,
}

/// The result of checking a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Verified {
    /// Chain, dates and name are right.
    Ok,
    /// Past notAfter.
    Expired,
    /// Before notBefore.
    NotYetValid,
    /// The issuer is not among the roots, or it signs itself.
    UnknownIssuer,
    /// No name in the certificate matches.
    NameMismatch,
    /// Anything else.
    Other {
        /// rustls's words.
        what: String,
    },
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Certificate {
    /// Subject.
    pub subject: String,
    /// Issuer.
    pub issuer: String,
    /// DNS names and addresses it is for.
    pub names: Vec<String>,
    /// Unix time.
    pub not_before: i64,
    /// Unix time.
    pub not_after: i64,
    /// Subject and issuer are the same.
    pub self_signed: bool,
    /// Number of certificates the server sent.
    pub chain_length: usize,
}

/// Another port of the host, or the same port on another address of this machine, tried after a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The address.
    pub to: SocketAddr,
    /// Why it was tried: `usual-port`, `other-family`, `other-address`.
    pub why: String,
    /// What connect() returned.
    pub outcome: DialOutcome,
    /// What speaks there, for a connected one.
    pub speaks: Option<Speaks>,
    /// Its reply to PING, for RESP.
    pub ping: Option<Reply>,
    /// `sentinel`, `cluster`, `standalone` where HELLO or INFO told.
    pub mode: Option<String>,
}

/// Where a cluster or a Sentinel sends its clients.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// `cluster`, `sentinel` or `standalone`.
    pub mode: String,
    /// `cluster_state` of CLUSTER INFO.
    pub cluster_state: Option<String>,
    /// Slots that nobody serves, of 16384.
    pub slots_missing: Option<u32>,
    /// Sentinel master names and what was said of each.
    pub masters: Vec<Master>,
    /// Every address announced, dialled from here.
    pub announced: Vec<Announced>,
    /// The reply to a data command (`EXISTS` of one key): MOVED, CLUSTERDOWN …
    pub probe_reply: Option<Reply>,
}

/// A master as Sentinel tells it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Master {
    /// Its name.
    pub name: String,
    /// The address given.
    pub address: Option<String>,
    /// Flags: `master`, `s_down`, `o_down`, `disconnected` …
    pub flags: String,
    /// Quorum configured.
    pub quorum: Option<u32>,
    /// Other sentinels known.
    pub other_sentinels: Option<u32>,
    /// The role that the address really has (`master`, `slave`), when it answered.
    pub role_there: Option<String>,
}

/// An address announced by the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    /// `cluster-node`, `sentinel-master`, `replica`.
    pub what: String,
    /// host:port as announced.
    pub address: String,
    /// What connect() from here returned; none when the name did not resolve.
    pub outcome: Option<DialOutcome>,
    /// Name resolution failed.
    pub unresolved: bool,
}

/// Connections held idle (`--idle`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Idle {
    /// One for each idle time, shortest first.
    pub rungs: Vec<IdleRung>,
    /// A new connection gave PONG when one of them had died.
    pub fresh: Option<bool>,
    /// The server was started anew meanwhile (INFO, uptime_in_seconds).
    pub restarted: Option<bool>,
}

/// One connection held idle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdleRung {
    /// For so long, in milliseconds.
    pub idle_ms: u64,
    /// What became of it.
    pub end: IdleEnd,
    /// When that was known, in milliseconds since it was last used.
    pub after_ms: f64,
}

/// What became of an idle connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum IdleEnd {
    /// PONG.
    Alive,
    /// A FIN came.
    Closed {
        /// Before it was used again.
        while_idle: bool,
    },
    /// A RST came.
    Reset {
        /// Before it was used again.
        while_idle: bool,
    },
    /// No answer to PING, and none to its retransmissions.
    Silent,
    /// Anything else.
    Other {
        /// The error.
        what: String,
    },
}

/// The client's own limits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// net.ipv4.ip_local_port_range.
    pub port_range: Option<(u16, u16)>,
    /// Local ports in use towards the target's address and port, TIME-WAIT included.
    pub ports_to_target: Option<u32>,
    /// Of these in TIME-WAIT.
    pub time_wait: Option<u32>,
    /// RLIMIT_NOFILE soft limit of this process.
    pub fd_limit: Option<u64>,
    /// Open descriptors of this process.
    pub fd_open: Option<u64>,
    /// fs.file-nr: in use and maximum, system-wide.
    pub system_files: Option<(u64, u64)>,
    /// Connection tracking: entries and maximum of this namespace.
    pub conntrack: Option<(u64, u64)>,
    /// The errno that stopped us before a packet left (`EMFILE`, `EADDRNOTAVAIL` …).
    pub own_errno: Option<String>,
}
