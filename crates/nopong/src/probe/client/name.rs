//! The name: what the system's resolver makes of it, and whether it is this machine.

use crate::evidence::CaseFile;
use crate::evidence::client::{HostsLine, Name};
use crate::probe::{Request, timed};
use crate::sys::{self, names::Resolved};
use crate::text::shown_str;
use std::net::IpAddr;

/// Most addresses dialled of one name.
pub(super) const ADDRESSES_DIALLED: usize = 8;

/// Resolves the host and says whether it is this machine.
pub(super) fn find(request: &Request, file: &mut CaseFile) {
    let host = file.ask.host.clone();
    let by_hand = format!("getent ahosts {}", quoted(&host));
    file.client.name = timed(&by_hand, || Ok(look(&host, request)));
    if let Some(name) = file.client.name.get() {
        let own = if name.addresses.iter().all(|a| a.to_canonical().is_loopback()) {
            Vec::new()
        } else {
            sys::net::own_addresses()
        };
        file.ask.local = name.addresses.iter().any(|a| {
            let a = a.to_canonical();
            a.is_loopback() || a.is_unspecified() || own.contains(&a)
        });
    }
}

fn look(host: &str, request: &Request) -> Name {
    let mut name = Name { asked: shown_str(host, 300), odd_bytes: odd_bytes(host), ..Name::default() };
    if let Some(address) = sys::names::literal(host) {
        name.literal = true;
        name.addresses = vec![address];
        return name;
    }
    let before = sys::now();
    match sys::names::resolve(host, request.timeout) {
        Resolved::Addresses(addresses) => name.addresses = addresses,
        Resolved::Error(error) => name.error = Some(error),
        Resolved::TimedOut => {
            name.error = Some(format!("EAI_AGAIN: no answer in {} ms", request.timeout.as_millis()));
        }
    }
    name.took_ms = before.elapsed().as_secs_f64() * 1e3;
    name.addresses.truncate(ADDRESSES_DIALLED * 2);
    name.hosts_file = hosts_file(host);
    name
}

/// Characters that no host name and no literal has (RFC 1123, 2.1; `_` and scopes are common enough).
fn odd_bytes(host: &str) -> Option<String> {
    let odd: String =
        host.chars().filter(|c| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%'))).collect();
    (!odd.is_empty()).then(|| shown_str(&odd, 40))
}

/// The lines of /etc/hosts that name the host.
fn hosts_file(host: &str) -> Vec<HostsLine> {
    let text = sys::read_text("/etc/hosts", 1 << 20).unwrap_or_default();
    let host = host.trim_end_matches('.');
    text.lines()
        .enumerate()
        .filter_map(|(i, line)| {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let address: IpAddr = words.next()?.parse().ok()?;
            words.any(|w| w.eq_ignore_ascii_case(host)).then_some(HostsLine { line: i as u32 + 1, address })
        })
        .take(20)
        .collect()
}

/// A text as one word of a shell line.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", shown_str(text, 300).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{odd_bytes, quoted};

    #[test]
    fn what_no_name_has() {
        assert_eq!(odd_bytes("redis-1.prod_eu.example"), None);
        assert_eq!(odd_bytes("fe80::1%eth0"), None);
        assert_eq!(odd_bytes("redis\r\n").as_deref(), Some("\\r\\n"));
        assert_eq!(odd_bytes("redis://x").as_deref(), Some("//"));
        assert_eq!(odd_bytes("\"redis\"").as_deref(), Some("\"\""));
    }

    #[test]
    fn shell_words() {
        assert_eq!(quoted("redis.example"), "redis.example");
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
    }
}
