//! `redis://[[user]:password@]host[:port][/db]` and its kin, with what is wrong when it does not parse.
//!
//! Pure, never panics, and no message holds a secret: parts of the text are shown through [`super::mask`] only.
//! Where client libraries disagree about a text (an unescaped `@`), it counts as malformed: whichever way it is
//! read, some client dials something else.

use super::Target;
use super::mask::{self, is_digits};
use crate::evidence::Problem;
use crate::secret::Secret;
use std::net::{Ipv4Addr, Ipv6Addr};

/// sun_path of Linux's `struct sockaddr_un` is 108 bytes with its final NUL (include/uapi/linux/un.h).
const SUN_PATH: usize = 107;
/// A longer text is no setting (and RFC 1035 bounds a name to 253).
const LONGEST: usize = 4096;

/// What a scheme stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Plain,
    Tls,
    Unix,
    Sentinel,
    Cluster,
}

/// The scheme of that name, whatever its case (RFC 3986, 3.1).
pub(super) fn scheme(name: &str) -> Option<Scheme> {
    Some(match name.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => Scheme::Plain,
        "rediss" | "valkeys" | "redis+ssl" | "redis+tls" => Scheme::Tls,
        "unix" | "redis+unix" | "valkey+unix" | "redis-socket" | "redis+socket" | "socket" => Scheme::Unix,
        "redis-sentinel" | "rediss-sentinel" | "redis+sentinel" | "rediss+sentinel" | "sentinel" => {
            Scheme::Sentinel
        }
        "redis-cluster" | "rediss-cluster" | "redis+cluster" | "rediss+cluster" => Scheme::Cluster,
        _ => return None,
    })
}

/// Why a text is no target: where, what, and what was probably meant (without secrets).
struct Trouble {
    at: usize,
    says: String,
    meant: Option<String>,
}

fn trouble<T>(at: usize, says: impl Into<String>, meant: impl Into<Option<String>>) -> Result<T, Trouble> {
    Err(Trouble { at, says: says.into(), meant: meant.into() })
}

/// Reads a target. One that does not parse has its `problem` and nothing to dial.
pub fn parse(text: &str, source: &str) -> Target {
    let parsed = if text.len() > LONGEST {
        trouble(0, format!("the target is {} bytes long, which no Redis address is", text.len()), None)
    } else {
        read(text)
    };
    match parsed {
        Ok(target) => Target { source: source.to_owned(), ..target },
        Err(trouble) => {
            let (shown, column) = mask::marked(text, trouble.at);
            Target {
                port: 6379,
                source: source.to_owned(),
                raw: Some(mask::redacted(text)),
                problem: Some(Problem {
                    id: "url-malformed".to_owned(),
                    says: trouble.says,
                    marked: Some((shown, column)),
                    meant: trouble.meant,
                }),
                ..Target::default()
            }
        }
    }
}

fn read(text: &str) -> Result<Target, Trouble> {
    clean(text)?;
    if text.is_empty() {
        return trouble(0, "the target is empty", "redis://127.0.0.1:6379".to_owned());
    }
    placeholder(text)?;
    if text.starts_with("redis-cli ") {
        let meant = text
            .find("redis")
            .and_then(|_| text.find("://"))
            .map(|_| "the address alone: redis://…".to_owned());
        return trouble(0, "this is a redis-cli command line, not an address", meant);
    }
    if text.starts_with('/') {
        return unix(text, 0);
    }
    match text.find("://") {
        Some(end) => with_scheme(text, end),
        None => without_scheme(text),
    }
}

/// Characters that no address has, most of them unseen.
fn clean(text: &str) -> Result<(), Trouble> {
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || unseen(c));
    let unquoted = trimmed.trim_matches(['"', '\'', '`', '“', '”', '‘', '’']);
    let meant = || (!unquoted.is_empty()).then(|| mask::redacted(unquoted));
    for (i, c) in text.char_indices() {
        let edge = if i == 0 {
            " at the beginning"
        } else if i + c.len_utf8() == text.len()
            || text[i..].trim_matches(|c: char| c.is_whitespace() || c.is_control()).is_empty()
        {
            " at the end"
        } else {
            ""
        };
        let what = match c {
            '\r' => "a carriage return (a file with Windows line ends?)",
            '\n' => "a line end",
            '\t' => "a tab",
            '\0' => "a NUL byte",
            '\u{fffd}' => "bytes that are not UTF-8",
            '\u{feff}' => "a byte order mark",
            c if unseen(c) => "an invisible character",
            c if c.is_whitespace() => "a blank",
            c if c.is_control() => "a control character",
            '"' | '\'' | '`' | '“' | '”' | '‘' | '’' if !edge.is_empty() => "a quotation mark",
            _ => continue,
        };
        // A blank within `redis-cli -h …` is told better there.
        if what == "a blank" && edge.is_empty() && trimmed.starts_with("redis-cli ") {
            continue;
        }
        let meant = if edge.is_empty() { None } else { meant() };
        let escape =
            if edge.is_empty() && what == "a blank" { ": in a password it is written %20" } else { "" };
        return trouble(i, format!("there is {what}{edge}{escape}"), meant);
    }
    Ok(())
}

/// Zero-width and bidirectional characters.
fn unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `${REDIS_URL}`, `$HOST`, `{{ .Values.redis }}`, `<host>`, `%REDIS_URL%`: nobody expanded it.
fn placeholder(text: &str) -> Result<(), Trouble> {
    let start = mask::after_scheme(text);
    let host = mask::login_end(text, start).map_or(start, |at| at + 1);
    let marks = |s: &str| ["${", "{{", "#{", "<%"].iter().filter_map(|m| s.find(m)).min();
    let whole = text.starts_with('$') || (text.starts_with('%') && text.ends_with('%') && text.len() > 2);
    let at = if whole {
        Some(0)
    } else {
        let tail = &text[host..];
        marks(tail)
            .or(tail.find('$'))
            .or(tail.find('<').filter(|_| tail.contains('>')))
            .map(|i| host + i)
            .or_else(|| marks(&text[start..host]).map(|i| start + i))
    };
    match at {
        Some(at) => trouble(at, "a placeholder stands here that nothing has replaced by its value", None),
        None => Ok(()),
    }
}

fn with_scheme(text: &str, end: usize) -> Result<Target, Trouble> {
    let name = &text[..end];
    let rest = end + 3;
    let Some(scheme) = scheme(name) else {
        let tls = matches!(name.to_ascii_lowercase().as_str(), "https" | "tls" | "ssl");
        let scheme = if tls { "rediss" } else { "redis" };
        // `user:pa://ss@host` has no scheme at all; its beginning may be a secret.
        if mask::after_scheme(text) == 0 {
            return trouble(
                0,
                "it does not begin with a scheme of Redis's: redis://, rediss:// or unix://",
                None,
            );
        }
        let shown = crate::text::shown_str(name, 20);
        let meant = mask::redacted(text).split_once("://").map(|(_, rest)| format!("{scheme}://{rest}"));
        return trouble(0, format!("the scheme `{shown}` is not Redis's"), meant);
    };
    if let Some(again) = text[rest..].find("://").filter(|i| {
        self::scheme(&text[rest..rest + i]).is_some()
            || &text[rest..rest + i] == "tcp"
            || &text[rest..rest + i] == "http"
    }) {
        let inner = rest + again + 3;
        let meant = format!(
            "{name}://{}",
            mask::redacted(&format!("redis://{}", &text[inner..])).trim_start_matches("redis://")
        );
        return trouble(rest, "a second scheme stands where the host should", meant);
    }
    match scheme {
        Scheme::Plain => network(text, rest, false),
        Scheme::Tls => network(text, rest, true),
        Scheme::Unix => unix(text, rest),
        Scheme::Sentinel | Scheme::Cluster => {
            let tls = name.to_ascii_lowercase().starts_with("rediss");
            let first = text[rest..].split([',', '/', '?']).next().unwrap_or_default();
            let node = mask::login_end(first, 0).map_or(first, |at| &first[at + 1..]);
            let meant = (!node.is_empty()).then(|| {
                format!("{}://{}", if tls { "rediss" } else { "redis" }, crate::text::shown_str(node, 260))
            });
            let what = if scheme == Scheme::Sentinel { "Sentinels" } else { "cluster nodes" };
            trouble(
                0,
                format!(
                    "`{name}` names a set of {what}; nopong dials one of them, and follows what it announces"
                ),
                meant,
            )
        }
    }
}

fn without_scheme(text: &str) -> Result<Target, Trouble> {
    if let Some(at) = mask::login_end(text, 0) {
        let _ = at;
        let shown = mask::redacted(text);
        return trouble(0, "the scheme is missing before user and password", format!("redis://{shown}"));
    }
    if let Some(comma) = text.find(',') {
        let first = crate::text::shown_str(&text[..comma], 260);
        let what = if text[comma..].contains('=') {
            "these are the options of a .NET connection string, not an address"
        } else {
            "there are several addresses: nopong dials one"
        };
        return trouble(comma, what, format!("redis://{first}"));
    }
    if let Some((name, rest)) = text.split_once(':') {
        // `redis:6379` is a host called redis; `redis:host` and `redis:/host` are a scheme cut short.
        let digits = rest.split([':', '/']).next().is_some_and(is_digits);
        if scheme(name).is_some() && !digits && !rest.is_empty() {
            let rest = rest.trim_start_matches('/');
            let slashes = if scheme(name) == Some(Scheme::Unix) { "///" } else { "//" };
            let meant = format!("{}:{slashes}{}", name.to_ascii_lowercase(), mask::redacted(rest));
            return trouble(name.len() + 1, "after the scheme come two slashes", meant);
        }
    }
    for name in ["rediss//", "redis//", "valkey//"] {
        if let Some(rest) = text.strip_prefix(name) {
            let meant = format!("{}://{}", name.trim_end_matches('/'), mask::redacted(rest));
            return trouble(name.len() - 2, "the colon after the scheme is missing", meant);
        }
    }
    if let Some(slash) = text.find(['/', '?', '#']) {
        return trouble(slash, "the scheme is missing", format!("redis://{}", mask::redacted(text)));
    }
    if is_digits(text) {
        return trouble(0, "a port alone: the host is missing", format!("127.0.0.1:{text}"));
    }
    network(text, 0, false)
}

fn unix(text: &str, start: usize) -> Result<Target, Trouble> {
    // `unix://:password@/path?db=1` and `unix://path?db=1` are redis-py's and ioredis's.
    let login = mask::login_end(text, start);
    let path_at = login.map_or(start, |at| at + 1);
    let (path, query) = text[path_at..].split_once('?').unwrap_or((&text[path_at..], ""));
    let mut target = Target { port: 6379, ..Target::default() };
    if let Some(at) = login {
        credentials(text, start, at, &mut target)?;
    }
    if !path.starts_with('/') {
        let meant = (!path.is_empty()).then(|| format!("unix:///{}", crate::text::shown_str(path, 120)));
        return trouble(path_at, "a socket's path begins with a slash", meant);
    }
    let path = decoded(path).map_or_else(|at| trouble(path_at + at, PERCENT, None), Ok)?;
    if path.len() > SUN_PATH {
        return trouble(
            path_at,
            format!("a socket's path has at most {SUN_PATH} bytes, this one has {}", path.len()),
            None,
        );
    }
    parameters(text, text.len() - query.len(), query, &mut target)?;
    target.unix = Some(path);
    Ok(target)
}

const PERCENT: &str = "a percent sign is written %25, unless two hexadecimal digits follow";

fn network(text: &str, start: usize, tls: bool) -> Result<Target, Trouble> {
    let mut target = Target { tls, port: 6379, ..Target::default() };
    let login = mask::login_end(text, start);
    let place_at = match login {
        Some(at) => {
            unescaped(text, start, at)?;
            credentials(text, start, at, &mut target)?;
            at + 1
        }
        None => start,
    };
    let rest = &text[place_at..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    place(text, place_at, &rest[..end], &mut target)?;
    let tail_at = place_at + end;
    let tail = &text[tail_at..];
    if let Some(hash) = tail.find('#') {
        return trouble(
            tail_at + hash,
            "nothing comes after `#` in a Redis address",
            mask::redacted(&text[..tail_at + hash]),
        );
    }
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if let Some(db) = path.strip_prefix('/').filter(|db| !db.is_empty()) {
        match db.parse() {
            Ok(n) if is_digits(db) => target.db = Some(n),
            _ => {
                let meant = mask::redacted(&text[..tail_at]);
                let says = "after the slash comes the number of a database".to_owned();
                return trouble(tail_at + 1, says, format!("{meant}/0"));
            }
        }
    }
    parameters(text, tail_at + path.len() + 1, query, &mut target)?;
    Ok(target)
}

/// A delimiter that ends the login too early for one client or another.
fn unescaped(text: &str, start: usize, at: usize) -> Result<(), Trouble> {
    let login = &text[start..at];
    let Some((i, c)) = login.char_indices().find(|(_, c)| matches!(c, '@' | '/' | '?' | '#')) else {
        return Ok(());
    };
    let escape = match c {
        '@' => "%40",
        '/' => "%2F",
        '?' => "%3F",
        _ => "%23",
    };
    let where_ = if login[..i].contains(':') { "password" } else { "user name" };
    let (before, after) =
        (mask::redacted(&text[..at + 1]), mask::redacted(&format!("x://{}", &text[at + 1..])));
    let before = before.trim_end_matches('@');
    let meant = format!(
        "{before}@{}, with every `{c}` of the {where_} as {escape}",
        after.trim_start_matches("x://")
    );
    trouble(start + i, format!("`{c}` in the {where_} must be written {escape}"), meant)
}

fn credentials(text: &str, start: usize, at: usize, target: &mut Target) -> Result<(), Trouble> {
    let login = &text[start..at];
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let decode = |part: &str, offset: usize| match decoded(part) {
        Ok(text) => Ok(text),
        Err(i) => trouble(start + offset + i, PERCENT, None),
    };
    if !user.is_empty() {
        target.user = Some(decode(user, 0)?);
    }
    if let Some(password) = password.filter(|p| !p.is_empty()) {
        target.password = Some(Secret::new(decode(password, user.len() + 1)?));
    }
    Ok(())
}

/// Percent-decoding (RFC 3986, 2.1); the byte offset of what is not.
pub(super) fn decoded(text: &str) -> Result<String, usize> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        if byte == b'%' {
            let hex = bytes.get(i + 1..i + 3).filter(|h| h.iter().all(u8::is_ascii_hexdigit));
            let value =
                hex.and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
            out.push(value.ok_or(i)?);
            i += 3;
        } else {
            out.push(byte);
            i += 1;
        }
    }
    String::from_utf8(out).map_err(|e| e.utf8_error().valid_up_to().min(text.len()))
}

/// `host`, `host:port`, `[v6]:port`.
fn place(text: &str, at: usize, place: &str, target: &mut Target) -> Result<(), Trouble> {
    let redis = || mask::redacted(&text[..at]);
    if let Some(inner) = place.strip_prefix('[') {
        let Some((host, rest)) = inner.split_once(']') else {
            return trouble(at, "the bracket of the IPv6 address is not closed", None);
        };
        if !is_ipv6(host) {
            return trouble(at + 1, "what stands in brackets is not an IPv6 address", None);
        }
        target.host = host.replace("%25", "%");
        return match rest.strip_prefix(':') {
            Some(port) => port_number(text, at + place.len() - port.len(), port, target),
            None if rest.is_empty() => Ok(()),
            None => {
                trouble(at + place.len() - rest.len(), "after the bracket comes a colon and the port", None)
            }
        };
    }
    if place.matches(':').count() > 1 {
        let bare = at == 0 && is_ipv6(place) && !place.ends_with(":6379") && !place.ends_with(":26379");
        if bare {
            target.host = place.to_owned();
            return Ok(());
        }
        if let Some((host, port)) =
            place.rsplit_once(':').filter(|(host, port)| is_ipv6(host) && port.len() >= 4 && is_digits(port))
        {
            return trouble(
                at,
                "an IPv6 address needs brackets",
                format!("{}[{host}]:{port}", scheme_or(redis())),
            );
        }
        if is_ipv6(place) {
            return trouble(
                at,
                "an IPv6 address needs brackets",
                format!("{}[{place}]:6379", scheme_or(redis())),
            );
        }
        let mut parts = place.split(':');
        let (host, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let second = at + host.len() + 1 + port.len();
        let meant =
            is_digits(port).then(|| format!("{}{}:{port}", redis(), crate::text::shown_str(host, 253)));
        return trouble(second, "there are two ports", meant);
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    if host.is_empty() {
        let port = port.filter(|p| is_digits(p)).unwrap_or("6379");
        return trouble(at, "the host is missing", format!("{}127.0.0.1:{port}", scheme_or(redis())));
    }
    host_name(at, host)?;
    target.host = host.to_owned();
    match port {
        Some(port) => port_number(text, at + host.len() + 1, port, target),
        None if is_digits(host) => {
            trouble(at, "a port alone: the host is missing", format!("{}127.0.0.1:{host}", redis()))
        }
        None => Ok(()),
    }
}

fn scheme_or(before: String) -> String {
    if before.is_empty() { "redis://".to_owned() } else { before }
}

fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|a| a.parse::<Ipv6Addr>().is_ok())
}

fn host_name(at: usize, host: &str) -> Result<(), Trouble> {
    if let Some((i, c)) = host
        .char_indices()
        .find(|(_, c)| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_' | '%'))
    {
        if c == ',' {
            return trouble(at + i, "there are several hosts: nopong dials one", None);
        }
        return trouble(at + i, format!("`{c}` cannot be in a host name"), None);
    }
    if host.len() > 253 || host.split('.').any(|label| label.len() > 63) {
        return trouble(at, "a host name has at most 253 characters, and 63 between two dots", None);
    }
    if host.trim_end_matches('.').is_empty() || host.contains("..") {
        return trouble(at + host.find("..").unwrap_or(0), "the host name has an empty part", None);
    }
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.') && host.contains('.');
    // inet_aton takes one to four parts, and so does getaddrinfo.
    let four = host.matches('.').count() == 3;
    if numeric
        && (host.matches('.').count() > 3
            || (four
                && host.parse::<Ipv4Addr>().is_err()
                && !host.split('.').any(|p| p.len() > 1 && p.starts_with('0'))))
    {
        return trouble(at, format!("{} is not an IPv4 address", crate::text::shown_str(host, 60)), None);
    }
    Ok(())
}

fn port_number(text: &str, at: usize, port: &str, target: &mut Target) -> Result<(), Trouble> {
    let before = || mask::redacted(&text[..at]);
    if port.is_empty() {
        return trouble(at, "after the colon comes the port", format!("{}6379", before()));
    }
    match port.parse::<u16>() {
        Ok(n) if n > 0 && is_digits(port) => {
            target.port = n;
            target.port_given = true;
            Ok(())
        }
        _ if is_digits(port) => {
            trouble(at, "a port is a number from 1 to 65535", format!("{}6379", before()))
        }
        // The text itself is not told: where the host was forgotten, this is the password.
        _ => trouble(at, "the port is not a number", format!("{}6379", before())),
    }
}

/// `?db=2`, `?ssl=true`, `?password=…`: what redis-py and the IANA registration of the scheme take.
fn parameters(text: &str, at: usize, query: &str, target: &mut Target) -> Result<(), Trouble> {
    let mut from = at;
    for pair in query.split('&').filter(|_| !query.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value_at = (from + key.len() + 1).min(text.len());
        let value = match decoded(value) {
            Ok(value) => value,
            Err(i) => return trouble(value_at + i, PERCENT, None),
        };
        match key.to_ascii_lowercase().as_str() {
            "db" | "database" => match value.parse() {
                Ok(n) if is_digits(&value) => target.db = Some(n),
                _ => return trouble(value_at, "a database is a number", None),
            },
            "ssl" | "tls" => match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => target.tls = true,
                _ => {}
            },
            "password" if !value.is_empty() => target.password = Some(Secret::new(value)),
            "username" | "user" if !value.is_empty() => target.user = Some(value),
            _ => {}
        }
        from += pair.len() + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
