//! Addresses in error texts: `10.0.0.5:6379`, `[::1]:6379`, `::1:6379`, `redis://h:p/0`, `tcp://h:p`,
//! `connecting to h:p`, `ENOTFOUND h`, `/run/redis.sock`.
//!
//! A text may hold a password before its `@`: only what stands behind the last one is ever taken for a host.

use super::text::Text;

/// A host, and a port where one was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or literal, without brackets; a path for a unix socket.
    pub host: String,
    /// Port.
    pub port: Option<u16>,
    /// A scheme said that TLS is spoken.
    pub tls: bool,
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
    fn new(host: &str, port: Option<u16>) -> Self {
        Self { host: host.to_owned(), port, tls: false }
    }
    /// As a target of nopong.
    pub fn url(&self, tls: bool) -> String {
        match self.is_socket() {
            true => format!("unix://{}", self.host),
            false if tls || self.tls => format!("rediss://{self}"),
            false => format!("redis://{self}"),
        }
    }
    /// A unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
    fn ip(&self) -> Option<std::net::IpAddr> {
        self.host.parse::<std::net::IpAddr>().ok().map(|a| a.to_canonical())
    }
    /// `localhost`, 127.0.0.0/8 or ::1.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.ip().is_some_and(|a| a.is_loopback())
    }
    /// A name without dots: a container, service or neighbour rather than a public host.
    pub fn is_single_label(&self) -> bool {
        !self.host.contains(['.', ':', '/']) && !self.host.eq_ignore_ascii_case("localhost")
    }
    /// 172.16.0.0/12, where Docker makes its bridges by default. AWS's default VPC has 172.31.0.0/16.
    pub fn is_docker_like(&self) -> bool {
        matches!(self.ip(), Some(std::net::IpAddr::V4(a)) if a.octets()[0] == 172 && (16..31).contains(&a.octets()[1]))
    }
    /// RFC 1918.
    pub fn is_private(&self) -> bool {
        matches!(self.ip(), Some(std::net::IpAddr::V4(a)) if a.is_private())
    }
    /// A literal that is no private one.
    pub fn is_public(&self) -> bool {
        self.ip().is_some() && !self.is_private() && !self.is_loopback()
    }
    /// An IPv6 literal.
    pub fn is_v6(&self) -> bool {
        self.ip().is_some_and(|a| a.is_ipv6())
    }
}

/// Words that stand before an address in the messages of common clients, the surest first.
const BEFORE: &[&str] = &[
    "econnrefused ",
    "etimedout ",
    "ehostunreach ",
    "enetunreach ",
    "econnreset ",
    "eaddrnotavail ",
    "emfile ",
    "connecting to unix socket: ",
    "connecting to ",
    "cannot connect to ",
    "error while reading from ",
    "connection to ",
    "connect to redis at ",
    "connect to valkey at ",
    "connect to redis on ",
    "connecting to redis on ",
    "connecting to host ",
    "failed to connect to ",
    "unable to connect to redis server: ",
    "unable to connect to ",
    "connect to ",
    "unabletoconnect on ",
    "connecttimeout on ",
    "socketfailure on ",
    "socketclosed on ",
    "protocolfailure on ",
    "authenticationfailure on ",
    "serverendpoint: ",
    "dial tcp ",
    "dial unix ",
    "read tcp ",
    "write tcp ",
    "connect(2) for ",
    "connection refused: ",
    "connection timed out: ",
    "connect call failed ",
    "for address ",
    "redis server: ",
    "on server ",
    "to master ",
    "master mymaster ",
    "connect enoent ",
    "connect eacces ",
];

/// Words that a name alone follows.
const BEFORE_NAME: &[&str] = &[
    "enotfound ",
    "eai_again ",
    "eai_fail ",
    "querya ",
    "lookup ",
    "could not resolve host: ",
    "resolve host ",
    "failed to resolve ",
    "unknownhostexception: ",
    "unknown host: ",
    "getaddrinfo for ",
];

/// Words the text is searched for.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    BEFORE.iter().chain(BEFORE_NAME).copied()
}

/// Characters around an address in running text.
fn around(c: char) -> bool {
    c.is_whitespace() || "()<>,;'\"`{}=|".contains(c)
}

/// Every address with a port or a scheme, in order, without duplicates; at most 32.
pub(super) fn all<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Address> {
    let mut found: Vec<Address> = Vec::new();
    let mut add = |address: Option<Address>| {
        if let Some(address) = address.filter(|a| !found.contains(a))
            && found.len() < 32
        {
            found.push(address);
        }
    };
    for line in lines {
        for token in line.split(around).filter(|t| t.contains([':', '/'])) {
            if token.contains("://") {
                let at = token.as_ptr() as usize - line.as_ptr() as usize;
                add(line.get(at..).and_then(url));
            } else {
                add(plain(token));
            }
        }
    }
    found
}

/// The address that was dialled: the one after the words that say so, else the first with a port.
pub(super) fn dialled(text: &Text) -> Option<Address> {
    let after = |words: &[&str], read: fn(&str) -> Option<Address>| {
        words.iter().find_map(|word| text.after(word).find_map(read))
    };
    // The resolver that did not know a name is no Redis: `lookup redis on 127.0.0.11:53`.
    let name = after(BEFORE_NAME, named);
    let with_port = || {
        let host = name.as_ref()?;
        text.addresses.iter().find(|a| a.host.eq_ignore_ascii_case(&host.host)).cloned()
    };
    after(BEFORE, next)
        .filter(|a| a.port != Some(53))
        .or_else(with_port)
        .or_else(|| name.clone())
        .or_else(|| text.addresses.iter().find(|a| !matches!(a.port, Some(53 | 443 | 80))).cloned())
        .or_else(|| after(BEFORE, bare))
}

/// What stands next: a URL, a path, or host and port. Java writes `name/address:port`, Python `('host', port`.
fn next(rest: &str) -> Option<Address> {
    let rest = rest.get(..rest.len().min(600)).unwrap_or(rest).trim_start_matches(around);
    // Lettuce: `localhost/<unresolved>:6379`.
    let unresolved = rest.split(char::is_whitespace).next()?.replace("/<unresolved>", "");
    let rest =
        if unresolved.len() < rest.len() && rest.contains("/<unresolved>") { &unresolved } else { rest };
    let first = rest.split(around).next()?;
    if let Some((scheme, _)) = first.split_once("://")
        && scheme.len() < 20
    {
        return url(rest);
    }
    if let Some(tail) = rest.get(first.len()..).filter(|_| is_host(first) && !first.contains("://")) {
        // `"localhost" port 6379`, `('127.0.0.1', 6379)`, `host=h, port=6379`.
        let tail = tail.trim_start_matches(['"', '\'', ' ', ',']);
        let quoted = rest.get(first.len()..).is_some_and(|t| t.starts_with(['\'', '"']));
        let number = tail.strip_prefix("port ").or(quoted.then_some(tail)).unwrap_or_default();
        let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        if let Ok(port @ 1..) = number[..digits].parse::<u16>() {
            return Some(Address::new(first, Some(port)));
        }
    }
    plain(first)
}

/// The host of a URL, from behind any login. The text is not cut at quotes before that: a password may hold some.
fn url(text: &str) -> Option<Address> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme.ends_with("unix") || scheme.ends_with("socket") {
        return path(rest.split(around).next()?);
    }
    let tls = ["rediss", "valkeys", "tls", "ssl"].iter().any(|s| scheme.ends_with(s));
    if !tls && !["redis", "valkey", "tcp", "sentinel", "cluster"].iter().any(|s| scheme.ends_with(s)) {
        return None;
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (chunk, behind) = rest.split_at(end.min(4096).min(rest.len()));
    let authority = chunk.rsplit_once('@').map_or(chunk, |(_, host)| host);
    let host = authority.split(around).next()?.split(['/', '?', '#', '\\']).next()?;
    // Predis puts the whole in brackets.
    let outer = host.matches(']').count() > host.matches('[').count();
    let host = if outer { host.trim_end_matches('.').strip_suffix(']').unwrap_or(host) } else { host };
    let address = split(host).or_else(|| bare_host(host))?;
    // A password with a blank in it: what looks like the host may be its beginning.
    let line = behind.lines().next().unwrap_or_default();
    let doubtful = !chunk.contains('@') && address.port.is_none() && line.contains('@');
    (!doubtful).then_some(Address { tls, ..address })
}

fn plain(token: &str) -> Option<Address> {
    if token.len() > 512 || token.contains('@') {
        return None;
    }
    if token.starts_with('/') && token.contains(".sock") {
        return path(token);
    }
    // A Go error names both ends: the second is the server.
    let token = token.rsplit("->").next().unwrap_or(token);
    let token = token.trim_end_matches(['.', ':', '/', ']']).trim_start_matches(['/', '[']);
    let literal = token.rsplit('/').next().unwrap_or(token);
    if token.contains('/') {
        // Java: `cache/10.0.0.5:6379`, `localhost/<unresolved>:6379`. Elsewhere: `h:6379/0`.
        let (before, _) = token.split_once('/')?;
        if let Some(Address { port: Some(port), host, .. }) = split(literal) {
            let named = is_host(before) && !before.is_empty() && !before.contains(':');
            return Some(Address::new(if named { before } else { &host }, Some(port)));
        }
        return split(before);
    }
    split(token)
}

/// A unix socket's path.
fn path(token: &str) -> Option<Address> {
    let token = token.trim_end_matches(['.', ':']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    (token.starts_with('/') && token.len() < 200 && token.chars().all(plain))
        .then(|| Address::new(token, None))
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
        ".conf", ".mjs", ".cjs", ".scala", ".ex", ".cpp", ".cc", ".log",
    ];
    if code.iter().any(|e| host.ends_with(e)) || host.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // A number behind a word may count lines: hosts of one word need a port in the usual range to be believed.
    let known =
        host.contains('.') || host.contains(':') || host.eq_ignore_ascii_case("localhost") || port >= 1024;
    (known && is_host(host)).then(|| Address::new(host, Some(port)))
}

/// The name that stands next.
fn named(rest: &str) -> Option<Address> {
    let rest = rest.trim_start_matches(around);
    let token = rest.split(around).next()?;
    if token.contains("://") {
        return url(rest);
    }
    // `failed to lookup address information`, `dns lookup failed`.
    let ordinary = ["address", "failed", "for", "host", "of", "on", "the", "timed", "error"];
    split(token)
        .or_else(|| bare_host(token))
        .filter(|a| !ordinary.contains(&a.host.to_ascii_lowercase().as_str()))
}

/// A host without a port, from words that ordinary words may follow as well.
fn bare(rest: &str) -> Option<Address> {
    let token = rest.trim_start_matches(around).split(around).next()?;
    let ordinary = [
        "redis", "the", "server", "host", "a", "any", "to", "cluster", "valkey", "this", "your", "database",
        "master", "sentinel", "it", "remote", "lookup", "our", "an", "one", "all", "backend", "broker",
    ];
    bare_host(token).filter(|a| !ordinary.contains(&a.host.to_lowercase().as_str()))
}

fn bare_host(text: &str) -> Option<Address> {
    let host = text.trim_end_matches(['.', ':', ',']).trim_start_matches('[').trim_end_matches(']');
    (is_host(host) && !host.chars().all(|c| c.is_ascii_digit())).then(|| Address::new(host, None))
}

fn is_host(text: &str) -> bool {
    if text.contains(':') {
        // With a colon only an IPv6 literal, with its zone: `user:password` is none.
        return text.split('%').next().is_some_and(|a| a.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !text.is_empty()
        && text.len() <= 253
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<String> {
        dialled(&Text::new(text.as_bytes())).map(|a| a.to_string())
    }

    #[test]
    fn common_forms() {
        for (text, expected) in [
            ("connect ECONNREFUSED ::1:6379", "[::1]:6379"),
            ("connect ECONNREFUSED fd00::17:6379", "[fd00::17]:6379"),
            ("Connection refused [tcp://127.0.0.1:6379]", "127.0.0.1:6379"),
            ("Connection refused [tcp://[::1]:6379]", "[::1]:6379"),
            ("getaddrinfo ENOTFOUND my_redis\n at x (node:dns:107:26)", "my_redis"),
            ("getaddrinfo ENOTFOUND redis", "redis"),
            ("getaddrinfo ENOTFOUND redis redis:6380", "redis:6380"),
            ("dial tcp: lookup redis on 127.0.0.11:53: no such host", "redis"),
            ("dial tcp [fd00::2]:6379: i/o timeout", "[fd00::2]:6379"),
            ("dial unix /run/valkey/valkey.sock: connect: no such file", "/run/valkey/valkey.sock"),
            ("Error 2 connecting to unix socket: /var/run/redis.sock. No such file.", "/var/run/redis.sock"),
            (
                "Could not connect to Redis at /run/redis/redis.sock: Permission denied",
                "/run/redis/redis.sock",
            ),
            ("redis://:**@dag-redis:6379/0: Error -2 connecting to dag-redis:6379. Name", "dag-redis:6379"),
            ("read tcp 10.0.0.1:34620->10.0.0.2:6379: read: reset", "10.0.0.2:6379"),
            ("Unable to connect to localhost/<unresolved>:6379", "localhost:6379"),
            ("Unable to connect to cache/10.0.0.5:6379", "cache:6379"),
            ("Unable to connect to Redis server: /10.0.0.5:6379", "10.0.0.5:6379"),
            ("UnableToConnect on cache.example:6380/Interactive, Initializing", "cache.example:6380"),
            ("Connect call failed ('127.0.0.1', 6379)", "127.0.0.1:6379"),
            ("connect(2) for \"localhost\" port 6379", "localhost:6379"),
            ("Could not connect to Redis at cache: Temporary failure", "cache"),
            ("Error connecting to Redis on 10.0.3.7:6379 (Errno::ECONNREFUSED)", "10.0.3.7:6379"),
            ("Error: connect ENOENT /tmp/redis.sock", "/tmp/redis.sock"),
        ] {
            assert_eq!(one(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(one("at /srv/a.js:12:3"), None);
    }

    #[test]
    fn tls_is_remembered() {
        let address = dialled(&Text::new(b"connecting to rediss://u:p@cache.example:6380/0 failed"));
        assert_eq!(address.map(|a| a.url(false)).as_deref(), Some("rediss://cache.example:6380"));
    }

    #[test]
    fn no_part_of_a_password_is_an_address() {
        for text in [
            "bad URL redis://:canary",
            "bad URL redis://user:canary",
            "bad URL redis://user:can=canary@cache:6379",
            "bad URL 'redis://:can'canary@cache:6379'",
            "bad URL redis://:x/canary@cache:6379/0",
            "bad URL redis://:x@canary@cache:6379/0",
            "bad URL redis://canary x@cache:6379/0",
            "user:canary@cache:6379",
            "connecting to user:canary failed",
            "redis://:canary@",
        ] {
            let said = one(text).unwrap_or_default();
            assert!(!said.contains("canary"), "{text}: {said}");
        }
        assert_eq!(one("bad URL redis://user:ca=nary@cache:6379").as_deref(), Some("cache:6379"));
    }
}
