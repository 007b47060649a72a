//! Addresses in error texts: `10.0.0.5:6379`, `[::1]:6379`, `::1:6379`, `redis://h:p/0`, `tcp://h:p`,
//! `connecting to h:p`, `ENOTFOUND h`.

use super::Text;

/// A host, and a port where one was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or literal, without brackets.
    pub host: String,
    /// Port.
    pub port: Option<u16>,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let port = self.port.map(|p| format!(":{p}")).unwrap_or_default();
        if self.host.contains(':') {
            write!(f, "[{}]{port}", self.host)
        } else {
            write!(f, "{}{port}", self.host)
        }
    }
}

impl Address {
    /// `localhost`, 127.0.0.0/8 or ::1.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|a| a.to_canonical().is_loopback())
    }
    /// A name without dots: a container, service or neighbour rather than a public host.
    pub fn is_single_label(&self) -> bool {
        !self.host.contains(['.', ':']) && !self.host.eq_ignore_ascii_case("localhost")
    }
    /// 172.16.0.0/12, where Docker makes its bridges by default.
    pub fn is_docker_like(&self) -> bool {
        self.host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|a| a.octets()[0] == 172 && (16..32).contains(&a.octets()[1]))
    }
    /// RFC 1918.
    pub fn is_private(&self) -> bool {
        self.host.parse::<std::net::Ipv4Addr>().is_ok_and(|a| a.is_private())
    }
}

/// Words that stand before a host in the messages of common clients.
const BEFORE: &[&str] = &[
    "enotfound ",
    "eai_again ",
    "econnrefused ",
    "etimedout ",
    "ehostunreach ",
    "enetunreach ",
    "connecting to ",
    "connection to ",
    "connect to redis at ",
    "connect to redis on ",
    "connecting to redis on ",
    "connecting to host ",
    "connect to ",
    "unable to connect to ",
    "unabletoconnect on ",
    "lookup ",
    "dial tcp ",
    "resolve host ",
    "resolve ",
    "connection refused: ",
    "unknownhostexception: ",
    "for address ",
    "on server ",
    "serverendpoint: ",
];

/// Words that a name alone follows.
const BEFORE_NAME: &[&str] =
    &["enotfound ", "eai_again ", "lookup ", "resolve host ", "unknownhostexception: "];

/// Every address of a text with a port or a scheme, in order, without duplicates; at most 32.
pub(super) fn all(text: &str) -> Vec<Address> {
    let mut found: Vec<Address> = Vec::new();
    for token in text.split(|c: char| c.is_whitespace() || "()<>,;'\"`{}=".contains(c)) {
        if let Some(address) = token_address(token)
            && !found.contains(&address)
            && found.len() < 32
        {
            found.push(address);
        }
    }
    found
}

/// The address that was dialled: the one after the words that say so, else the first with a port.
pub(super) fn dialled(text: &Text<'_>) -> Option<Address> {
    after(text, BEFORE, token_address)
        .or_else(|| after(text, BEFORE_NAME, bare_host))
        .or_else(|| text.addresses.first().cloned())
        .or_else(|| after(text, BEFORE, bare_host))
}

fn after(text: &Text<'_>, words: &[&str], read: impl Fn(&str) -> Option<Address>) -> Option<Address> {
    words.iter().find_map(|before| {
        text.lower.match_indices(before).take(64).find_map(|(at, _)| {
            // Lower-casing can move bytes; a place that is no boundary of the original is left alone.
            let rest = text.original.get(at + before.len()..)?;
            let mut tokens =
                rest.split(|c: char| c.is_whitespace() || "(),;'\"`".contains(c)).filter(|t| !t.is_empty());
            read(tokens.next()?)
        })
    })
}

fn token_address(token: &str) -> Option<Address> {
    if token.len() > 512 {
        return None;
    }
    // A Go error names both ends: the second is the server.
    let token = token.rsplit("->").next().unwrap_or(token);
    let token = token.trim_end_matches(['.', ':', ']', '/']).trim_start_matches('[');
    let rest = match token.split_once("://") {
        Some((scheme, rest)) => {
            let known = ["redis", "rediss", "valkey", "valkeys", "tcp", "tls", "ssl", "redis-socket"];
            if !known.iter().any(|k| scheme.to_lowercase().ends_with(k)) {
                return None;
            }
            let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            return split(rest).or_else(|| bare_host(rest));
        }
        None => token.split(['/', '?']).next().unwrap_or(token),
    };
    split(rest)
}

/// `host:port`, `[v6]:port`, `v6:port`.
fn split(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|p| *p > 0)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err() {
        return None;
    }
    // `file.js:12` and `12:34` are no addresses.
    let code = [
        ".js", ".ts", ".py", ".rb", ".go", ".php", ".java", ".rs", ".c", ".h", ".kt", ".cs", ".yml", ".yaml",
        ".conf",
    ];
    if code.iter().any(|e| host.ends_with(e)) || host.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // A port that is a line number of a stack frame follows a file name, not a host; hosts of one word need a
    // port in the usual range to be believed.
    let known =
        host.contains('.') || host.contains(':') || host.eq_ignore_ascii_case("localhost") || port >= 1024;
    (known && is_host(host)).then(|| Address { host: host.to_owned(), port: Some(port) })
}

fn bare_host(text: &str) -> Option<Address> {
    let host = text.trim_end_matches(['.', ':', ',']).trim_start_matches('[').trim_end_matches(']');
    let words = ["redis", "the", "server", "host", "a", "any", "to", "cluster", "valkey"];
    (is_host(host)
        && !words.contains(&host.to_lowercase().as_str())
        && !host.chars().all(|c| c.is_ascii_digit()))
    .then(|| Address { host: host.to_owned(), port: None })
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:%".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<String> {
        dialled(&Text::new(text)).map(|a| a.to_string())
    }

    #[test]
    fn common_forms() {
        assert_eq!(one("connect ECONNREFUSED ::1:6379").as_deref(), Some("[::1]:6379"));
        assert_eq!(one("Connection refused [tcp://127.0.0.1:6379]").as_deref(), Some("127.0.0.1:6379"));
        assert_eq!(
            one("getaddrinfo ENOTFOUND my_redis\n at x (node:dns:107:26)").as_deref(),
            Some("my_redis")
        );
        assert_eq!(
            one(
                "Cannot connect to redis://:**@dag-redis:6379/0: Error -2 connecting to dag-redis:6379. Name"
            )
            .as_deref(),
            Some("dag-redis:6379")
        );
        assert_eq!(
            one("read tcp 10.0.0.1:34620->10.0.0.2:6379: read: reset").as_deref(),
            Some("10.0.0.2:6379")
        );
        assert_eq!(one("at /srv/a.js:12:3"), None);
    }
}
