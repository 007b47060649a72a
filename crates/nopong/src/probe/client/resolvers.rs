//! Each DNS server of resolv.conf asked by itself, so that a dead or differing one shows.

use super::ladder::side_by_side;
use crate::evidence::client::{DnsAnswer, Name, Resolver};
use crate::sys;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name as DnsName, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// glibc asks three servers (resolv.h, MAXNS); one more shows a list that is too long.
const SERVERS_MAX: usize = 4;
/// Most search domains tried of each server.
const SEARCH_MAX: usize = 6;
/// Most addresses kept of one answer.
const ADDRESSES_MAX: usize = 32;

/// What resolv.conf says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Conf {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// Asks every server for the name, and keeps what they said.
pub(super) fn ask(name: &mut Name, host: &str, limit: Duration) {
    let conf = parse(&sys::read_text("/etc/resolv.conf", 64 << 10).unwrap_or_default());
    let deadline = sys::now() + limit;
    let candidates = candidates(host, &conf);
    name.resolvers = side_by_side(&conf.servers, |server| {
        let before = sys::now();
        let answer = ask_one(*server, &candidates, deadline);
        Resolver { server: *server, answer, took_ms: before.elapsed().as_secs_f64() * 1e3 }
    });
    name.search = conf.search;
}

/// resolv.conf(5).
fn parse(text: &str) -> Conf {
    let mut conf = Conf { ndots: 1, ..Conf::default() };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(|w| w.split('%').next()).and_then(|w| w.parse().ok());
                conf.servers.extend(address.map(|a: IpAddr| SocketAddr::new(a, 53)));
            }
            Some("search") => conf.search = words.take(SEARCH_MAX).map(str::to_owned).collect(),
            Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
            Some("options") => {
                let ndots = words.find_map(|w| w.strip_prefix("ndots:")).and_then(|n| n.parse().ok());
                conf.ndots = ndots.unwrap_or(conf.ndots);
            }
            _ => {}
        }
    }
    conf.servers.truncate(SERVERS_MAX);
    conf
}

/// The names the C library would ask for, in its order.
fn candidates(host: &str, conf: &Conf) -> Vec<String> {
    if host.ends_with('.') {
        return vec![host.to_owned()];
    }
    let searched = conf.search.iter().map(|domain| format!("{host}.{domain}"));
    let mut names: Vec<String> = searched.collect();
    let bare = host.to_owned();
    if host.matches('.').count() >= conf.ndots {
        names.insert(0, bare);
    } else {
        names.push(bare);
    }
    names
}

/// The first answer with addresses, else the last.
fn ask_one(server: SocketAddr, names: &[String], deadline: Instant) -> DnsAnswer {
    let mut last = DnsAnswer::NxDomain;
    for name in names {
        let both = side_by_side(&[TYPE::A, TYPE::AAAA], |kind| query(server, name, *kind, deadline));
        let mut addresses = Vec::new();
        let mut other = None;
        for answer in both {
            match answer {
                DnsAnswer::Addresses { addresses: some } => addresses.extend(some),
                worse => other = other.or(Some(worse)),
            }
        }
        if !addresses.is_empty() {
            return DnsAnswer::Addresses { addresses };
        }
        last = other.unwrap_or(DnsAnswer::NoData);
        if matches!(last, DnsAnswer::Silent | DnsAnswer::Unreachable { .. }) {
            break;
        }
    }
    last
}

fn query(server: SocketAddr, name: &str, kind: TYPE, deadline: Instant) -> DnsAnswer {
    let unreachable = |e: &std::io::Error| match e.kind() {
        std::io::ErrorKind::TimedOut => DnsAnswer::Silent,
        _ => DnsAnswer::Unreachable { errno: sys::errno_name(e) },
    };
    let Ok(asked) = DnsName::new(name.trim_end_matches('.')) else {
        return DnsAnswer::Error { rcode: "not a name that DNS can carry".to_owned() };
    };
    // The port, not the id, keeps others out: the socket is connected and random, and nothing depends on the answer.
    let id = (std::process::id() as u16) ^ (u16::from(TYPE::A == kind) << 15);
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(asked, QTYPE::TYPE(kind), CLASS::IN.into(), false));
    let Ok(bytes) = packet.build_bytes_vec() else {
        return DnsAnswer::Error { rcode: "not a name that DNS can carry".to_owned() };
    };
    let reply = match sys::net::ask_udp(server, &bytes, deadline, |reply| {
        simple_dns::header_buffer::id(reply).is_ok_and(|r| r == id)
    }) {
        Ok(reply) => reply,
        Err(e) => return unreachable(&e),
    };
    let Ok(parsed) = Packet::parse(&reply) else {
        return DnsAnswer::Error { rcode: "an answer that cannot be read".to_owned() };
    };
    match parsed.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return DnsAnswer::NxDomain,
        other => return DnsAnswer::Error { rcode: format!("{other:?}") },
    }
    let addresses: Vec<IpAddr> = parsed
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::A(a) => Some(IpAddr::V4(a.address.into())),
            RData::AAAA(a) => Some(IpAddr::V6(a.address.into())),
            _ => None,
        })
        .take(ADDRESSES_MAX)
        .collect();
    if addresses.is_empty() { DnsAnswer::NoData } else { DnsAnswer::Addresses { addresses } }
}

#[cfg(test)]
mod tests {
    use super::{ask_one, candidates, parse};
    use crate::evidence::client::DnsAnswer;
    use std::net::{SocketAddr, UdpSocket};
    use std::time::Duration;

    #[test]
    fn resolv_conf() {
        let conf = parse(
            "nameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch a.example b.example\noptions ndots:2 rotate\n",
        );
        assert_eq!(conf.servers.len(), 2);
        assert_eq!(candidates("redis", &conf), ["redis.a.example", "redis.b.example", "redis"]);
        assert_eq!(candidates("r.x.y", &conf).first().unwrap(), "r.x.y");
        assert_eq!(candidates("r.", &conf), ["r."]);
    }

    /// A server on loopback that answers every question with the bytes that `answer` makes of it.
    fn server(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            for _ in 0..2 {
                let (n, from) = socket.recv_from(&mut buffer).unwrap();
                socket.send_to(&answer(&buffer[..n]), from).unwrap();
            }
        });
        at
    }

    #[test]
    fn answers_are_told_apart() {
        let deadline = || crate::sys::now() + Duration::from_millis(500);
        let names = ["redis.example".to_owned()];
        let rcode = |code: u8| {
            server(move |q| {
                let mut reply = q.to_vec();
                reply[2] |= 0x80;
                reply[3] = code;
                reply
            })
        };
        assert_eq!(ask_one(rcode(3), &names, deadline()), DnsAnswer::NxDomain);
        assert_eq!(ask_one(rcode(0), &names, deadline()), DnsAnswer::NoData);
        assert!(matches!(ask_one(rcode(2), &names, deadline()), DnsAnswer::Error { .. }));
        let garbage = server(|q| [&q[..2], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc0\x0c"].concat());
        assert!(matches!(ask_one(garbage, &names, deadline()), DnsAnswer::Error { .. }));
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let soon = crate::sys::now() + Duration::from_millis(50);
        assert_eq!(ask_one(mute.local_addr().unwrap(), &names, soon), DnsAnswer::Silent);
        let at = mute.local_addr().unwrap();
        drop(mute);
        assert_eq!(
            ask_one(at, &names, deadline()),
            DnsAnswer::Unreachable { errno: "ECONNREFUSED".to_owned() }
        );
    }
}
