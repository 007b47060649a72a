//! What the address causes have in common: settings as addresses, and what the resolvers said.

use crate::cause::{Fix, Latent, Place, Reason};
use crate::diagnosis::Case;
use crate::evidence::client::{DnsAnswer, Name, Resolver, Setting};
use std::net::IpAddr;

/// Host and port of a URL whose secrets are already masked; none for a unix socket.
pub(crate) fn address(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme == "unix" {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let at = authority.rsplit('@').next()?;
    let (host, port) = match at.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => at.split_once(':').map_or((at, None), |(host, port)| (host, Some(port))),
    };
    let port = port.filter(|p| !p.is_empty()).map_or(Ok(6379), str::parse).ok()?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Settings that name another address than the one dialled.
pub(crate) fn other_settings<'a>(case: &Case<'a>) -> Vec<(&'a Setting, String, u16)> {
    let found = case.file.client.settings.get().map_or(&[][..], |s| s.found.as_slice());
    found
        .iter()
        .filter(|s| !s.idle)
        .filter_map(|s| s.dials.as_deref().and_then(address).map(|(host, port)| (s, host, port)))
        .filter(|(_, host, port)| !host.eq_ignore_ascii_case(&case.ask.host) || *port != case.ask.port)
        .collect()
}

/// What settings files say for a cause against their own settings.
fn remarks<'a>(case: &Case<'a>, id: &str) -> Vec<&'a Setting> {
    let found = case.file.client.settings.get().map_or(&[][..], |s| s.found.as_slice());
    found.iter().filter(|s| !s.idle && s.remark.as_ref().is_some_and(|r| r.cause == id)).collect()
}

/// What its own file says against the setting that was dialled.
pub(super) fn remarked(case: &Case<'_>, id: &str) -> Option<Reason> {
    let own = remarks(case, id).into_iter().find(|s| s.place == case.ask.source)?;
    let says = own.remark.as_ref().map_or("", |r| r.says.as_str());
    Some(Reason::strong("settings", format!("{}: {says}", own.place)))
}

/// The same as a warning, where it is of another setting than the one dialled, or stands in nobody's way from here.
pub(super) fn remark_beside(case: &Case<'_>, id: &str, fix: Option<Fix>) -> Option<Latent> {
    let setting = remarks(case, id).into_iter().next()?;
    let says = setting.remark.as_ref().map_or("", |r| r.says.as_str());
    Some(Latent {
        place: Place::Warning,
        title: says.to_owned(),
        reasons: vec![Reason::strong(
            "settings",
            format!("{} {} = {}", setting.place, setting.key, setting.value),
        )],
        fix,
    })
}

/// Loopback with the default port was dialled: what a client does when nobody told it anything.
pub(crate) fn on_defaults(case: &Case<'_>) -> bool {
    let host = case.ask.host.as_str();
    let loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    loopback && case.ask.port == 6379 && case.ask.unix.is_none()
}

/// The name stage, where a name was resolved.
pub(super) fn name<'a>(case: &Case<'a>) -> Option<&'a Name> {
    case.file.client.name.get().filter(|n| !n.literal)
}

/// A resolver that answered: it knows the name, or knows that there is none.
pub(super) fn answered(resolver: &Resolver) -> bool {
    matches!(resolver.answer, DnsAnswer::Addresses { .. } | DnsAnswer::NxDomain | DnsAnswer::NoData)
}

/// What a resolver said, in words.
pub(super) fn said(resolver: &Resolver) -> String {
    let server = resolver.server.ip();
    match &resolver.answer {
        DnsAnswer::Addresses { addresses } => {
            let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("resolver {server} says {}", all.join(", "))
        }
        DnsAnswer::NxDomain => format!("resolver {server} says that there is no such name"),
        DnsAnswer::NoData => format!("resolver {server} says that the name has no address"),
        DnsAnswer::Error { rcode } => format!("resolver {server} answers {rcode}"),
        DnsAnswer::Silent => format!("resolver {server} does not answer"),
        DnsAnswer::Unreachable { errno } => format!("resolver {server} cannot be reached ({errno})"),
    }
}

/// Every address that DNS gives for the name.
pub(super) fn dns_addresses(name: &Name) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = name
        .resolvers
        .iter()
        .filter_map(|r| match &r.answer {
            DnsAnswer::Addresses { addresses } => Some(addresses.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_of_masked_urls() {
        assert_eq!(address("redis://10.0.0.5:6380/1"), Some(("10.0.0.5".to_owned(), 6380)));
        assert_eq!(address("rediss://app:***@cache.example"), Some(("cache.example".to_owned(), 6379)));
        assert_eq!(address("redis://[fd00::1]:7000"), Some(("fd00::1".to_owned(), 7000)));
        assert_eq!(address("unix:///run/redis.sock"), None);
        assert_eq!(address("redis://:***@"), None);
    }
}
