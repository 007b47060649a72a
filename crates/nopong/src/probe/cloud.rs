//! The clouds' firewall rules: listed with the user's own command line tool (`aws`, `gcloud`, `az`), which has the
//! credentials, or taken from listings that were saved; judged by [`crate::cloud`]. The tools only list.
//!
//! What a tool prints on its standard error is never shown: it may hold account names. It is recognised, and said in words.

mod listings;

use super::Request;
use crate::cloud::{Connection, Inventory, Source};
use crate::evidence::cloud::{Cloud, Judged, Provider};
use crate::evidence::{CaseFile, Seen, Why};
use crate::sys;
use std::net::IpAddr;
use std::thread::JoinHandle;
use std::time::Duration;

/// What `--cloud` asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Clouds whose tool is asked.
    pub providers: Vec<Provider>,
    /// They were not named: whichever tool there is.
    pub auto: bool,
    /// Listings that were saved.
    pub saved: Inventory,
}

/// Starts the look where it was asked for and can matter.
pub(super) fn start(
    request: &Request,
    file: &CaseFile,
    healthy: bool,
) -> Option<JoinHandle<Seen<Vec<Cloud>>>> {
    let wanted = request.cloud.clone().filter(|_| !request.light)?;
    // With a PONG the rules are of interest for another client only.
    let needless = healthy && !request.everything && file.ask.client.is_none();
    if needless && wanted.saved.is_empty() {
        return None;
    }
    let mut wanted = wanted;
    if let (true, Some(provider)) = (wanted.auto, by_name(&file.ask.host)) {
        wanted.providers.retain(|p| *p == provider);
    }
    let home = request.home.clone();
    let connections = connections(file, request.client, request.client_far.is_some());
    let thread = std::thread::Builder::new().name("cloud".to_owned());
    let look = move || match connections {
        // The tools need the network of whoever started us, not that of the place looked from.
        Ok(connections) => match home.map_or(Ok(()), |h| h.return_to()) {
            Ok(()) => look(&wanted, &connections),
            Err(why) => Seen::unknown(why, Duration::ZERO, by_hand(wanted.providers.first())),
        },
        Err(because) => Seen::not_applicable(because),
    };
    thread.spawn(look).ok()
}

/// The cloud that a name is of: the other tools need not be asked.
fn by_name(host: &str) -> Option<Provider> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let of = |ends: &[&str]| ends.iter().any(|e| host.ends_with(e));
    if of(&[".amazonaws.com", ".compute.internal", ".ec2.internal"]) {
        Some(Provider::Aws)
    } else if of(&[".google.internal", ".googleusercontent.com", ".cloud.google.com"]) {
        Some(Provider::Gcp)
    } else if of(&[".windows.net", ".azure.com", ".azure.net", ".cloudapp.net"]) {
        Some(Provider::Azure)
    } else {
        None
    }
}

/// The connections to be judged: the dials made from here, or those of `--client`.
fn connections(file: &CaseFile, client: Option<IpAddr>, far: bool) -> Result<Vec<Connection>, &'static str> {
    if file.ask.unix.is_some() {
        return Err("a unix socket is in no cloud's network");
    }
    let dials = file.client.connect.get().map_or(&[][..], Vec::as_slice);
    let mut servers: Vec<IpAddr> = dials.iter().map(|d| d.to.ip()).filter(|ip| !ip.is_loopback()).collect();
    if file.ask.local {
        let Some(client) = client else {
            return Err("the connection does not leave this machine; --client judges another host's");
        };
        // Dialled by loopback: seen from outside, the Redis host is at its own addresses.
        if servers.is_empty() {
            let own: Vec<IpAddr> = match file.server.address.get() {
                Some(seen) => seen.iter().map(|a| a.address).collect(),
                None if far => Vec::new(),
                None => sys::net::own_addresses(),
            };
            servers.extend(own.into_iter().filter(|a| !a.is_loopback()));
        }
        servers.retain(|s| s.is_ipv4() == client.is_ipv4());
    }
    if servers.is_empty() {
        servers = file.client.name.get().map(|n| n.addresses.clone()).unwrap_or_default();
    }
    servers.sort();
    servers.dedup();
    let range = match file.client.limits.get() {
        Some(limits) => limits.port_range,
        None if far => None,
        None => sys::read_text("/proc/sys/net/ipv4/ip_local_port_range", 64).ok().and_then(|text| {
            let mut numbers = text.split_whitespace().filter_map(|w| w.parse::<u16>().ok());
            Some((numbers.next()?, numbers.next()?))
        }),
    };
    let judged: Vec<Connection> = servers
        .into_iter()
        .filter_map(|server| {
            let from = dials.iter().find(|d| d.to.ip() == server).and_then(|d| d.from);
            let source = match client {
                Some(ip) => Source::Known(ip),
                None => Source::Assumed(from?.ip()),
            };
            let own = client.is_none_or(|ip| from.is_some_and(|f| f.ip() == ip)) && !file.ask.local;
            Some(Connection {
                source,
                server,
                port: file.ask.port,
                host: file.ask.host.clone(),
                own_port: from.map(|f| f.port()).filter(|port| own && *port != 0),
                client_ports: range.filter(|_| own),
                own,
            })
        })
        .take(8)
        .collect();
    if judged.is_empty() { Err("no address was dialled") } else { Ok(judged) }
}

fn look(wanted: &Wanted, connections: &[Connection]) -> Seen<Vec<Cloud>> {
    let started = sys::now();
    let listed: Vec<(Provider, Result<Vec<Cloud>, Why>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = wanted
            .providers
            .iter()
            .map(|provider| (*provider, scope.spawn(|| listings::read(*provider, connections))))
            .collect();
        threads.into_iter().map(|(p, t)| (p, t.join().unwrap_or(Err(Why::Panicked)))).collect()
    });
    let mut clouds = wanted.saved.judge(connections);
    let mut failed = Vec::new();
    for (provider, result) in listed {
        match result {
            Ok(found) => clouds.extend(found),
            // Nobody has all three tools.
            Err(Why::Missing { .. }) if wanted.auto && wanted.providers.len() > 1 => {}
            Err(why) => failed.push((provider, why)),
        }
    }
    let decides = |c: &Cloud| c.verdicts.iter().any(|v| v.verdict != Judged::Undecided);
    if wanted.auto && clouds.iter().any(decides) {
        // The host is in this cloud: that it is not in the others is no news.
        clouds.retain(|c| decides(c) || c.verdicts.iter().any(|v| v.server.is_some()));
        failed.clear();
    }
    let first = failed.first().map(|(p, _)| *p).or(clouds.first().map(|c| c.provider));
    let hand = by_hand(first.or(wanted.providers.first().copied()).as_ref());
    if clouds.is_empty() {
        let why = match failed.into_iter().next() {
            Some((_, why)) => why,
            None if wanted.auto => Why::Missing {
                what: "aws, gcloud or az (in PATH); with `--cloud FILE` saved listings are judged; a cloud's tool"
                    .to_owned(),
            },
            None => Why::Failed { what: "the listings hold nothing".to_owned() },
        };
        return Seen::unknown(why, started.elapsed(), hand);
    }
    if let Some(first) = clouds.first_mut() {
        let name = |(p, why): (Provider, Why)| format!("{}: {why}", p.name());
        first.unread.extend(failed.into_iter().map(name));
    }
    Seen::yes(clouds, started.elapsed(), hand)
}

/// What the reader can run, also on another machine that has the tool.
fn by_hand(provider: Option<&Provider>) -> String {
    match provider {
        Some(Provider::Gcp) => "gcloud compute instances list --format=json >i.json; gcloud compute firewall-rules list --format=json >f.json; nopong --cloud i.json --cloud f.json …",
        Some(Provider::Azure) => "az network nic list >n.json; az network nsg list >g.json; az network vnet list >v.json; nopong --cloud n.json --cloud g.json --cloud v.json …",
        Some(Provider::Aws) | None => "aws ec2 describe-network-interfaces >i.json; aws ec2 describe-security-groups >g.json; aws ec2 describe-network-acls >a.json; nopong --cloud i.json --cloud g.json --cloud a.json …",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{by_name, connections};
    use crate::cause::testing::{on_server, timed_out};
    use crate::cloud::Source;
    use crate::evidence::cloud::Provider;

    #[test]
    fn a_name_tells_the_cloud() {
        assert_eq!(by_name("c1.x.0001.euw1.cache.amazonaws.com."), Some(Provider::Aws));
        assert_eq!(by_name("redis-1.c.shop.internal"), None);
        assert_eq!(by_name("shop.redis.cache.windows.net"), Some(Provider::Azure));
        assert_eq!(by_name("10.0.0.5"), None);
    }

    #[test]
    fn the_dial_is_judged_as_made_and_another_clients_as_asked() {
        let file = timed_out();
        let own = connections(&file, None, false).expect("dialled");
        assert_eq!(own[0].source, Source::Assumed("10.0.0.7".parse().unwrap()));
        assert_eq!((own[0].own, own[0].own_port), (true, Some(40_000)));
        let other = connections(&file, Some("10.0.0.9".parse().unwrap()), false).expect("dialled");
        assert_eq!(other[0].source, Source::Known("10.0.0.9".parse().unwrap()));
        assert_eq!((other[0].own, other[0].own_port, other[0].client_ports), (false, None, None));
        assert!(connections(&on_server(timed_out()), None, false).is_err());
    }
}
