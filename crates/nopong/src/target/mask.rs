//! Which parts of a text that should name a Redis may be shown.
//!
//! Works on texts that do not parse, so it errs on the side of hiding: whatever may be a password is masked
//! character by character, and the length stays, so that a caret still points at the right place.

use std::ops::Range;

/// Query parameters whose values are no secrets.
const HARMLESS: &[&str] =
    &["db", "database", "ssl", "tls", "timeout", "protocol", "ssl_cert_reqs", "family", "poolsize"];

/// Words after which a secret stands.
const SECRET_WORDS: &[&str] = &["password", "passwd", "pass", "pwd", "auth", "secret", "token", "key"];

/// The byte ranges to hide.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let start = after_scheme(text);
    if let Some(at) = login_end(text, start) {
        // `user:password@`: the user may be seen. `something@`: redis-cli takes it as the password.
        let from = text[start..at].find(':').map_or(start, |i| start + i + 1);
        hidden.push(from..at);
    } else {
        hidden.extend(lone_login(text, start));
    }
    if let Some(query) = text[start..].find('?').map(|i| start + i + 1) {
        let mut from = query;
        for pair in text[query..].split('&') {
            if let Some(eq) =
                pair.find('=').filter(|eq| !HARMLESS.contains(&&*pair[..*eq].to_ascii_lowercase()))
            {
                hidden.push(from + eq + 1..from + pair.len());
            }
            from += pair.len() + 1;
        }
    }
    hidden.extend(after_words(text));
    hidden
}

/// Schemes that are not Redis's and yet are seen in its place.
const STRANGERS: &[&str] =
    &["http", "https", "tcp", "tls", "ssl", "amqp", "amqps", "memcached", "mysql", "postgres", "postgresql"];

/// Where the text goes on after a scheme that is known as one. In `default://secret@host` there is none: the user's
/// password begins with two slashes.
pub(super) fn after_scheme(text: &str) -> usize {
    let known =
        |name: &str| super::url::scheme(name).is_some() || STRANGERS.contains(&&*name.to_ascii_lowercase());
    text.split_once("://").filter(|(name, _)| known(name)).map_or(0, |(name, _)| name.len() + 3)
}

/// Where the login ends: the last `@`, unless it clearly belongs to a query.
pub(super) fn login_end(text: &str, start: usize) -> Option<usize> {
    let at = start + text[start..].rfind('@')?;
    let query = text[start..].find('?').map(|i| start + i).filter(|q| *q < at);
    match query {
        // `host:6379?password=p@ss`
        Some(q)
            if !text[start..q].contains('@')
                && plain_place(&text[start..q])
                && known_query(&text[q + 1..]) =>
        {
            None
        }
        _ => Some(at),
    }
}

/// `host`, `host:6379`, `host:6379/0`.
fn plain_place(text: &str) -> bool {
    let (place, db) = text.split_once('/').unwrap_or((text, ""));
    let (host, port) = place.split_once(':').unwrap_or((place, "6379"));
    !host.is_empty() && is_digits(port) && db.bytes().all(|b| b.is_ascii_digit())
}

fn known_query(query: &str) -> bool {
    query.split_once('=').is_some_and(|(key, _)| {
        let key = key.to_ascii_lowercase();
        HARMLESS.contains(&&*key) || SECRET_WORDS.contains(&&*key) || key == "username" || key == "user"
    })
}

/// Without any `@`: `redis://:password` and `redis://user:password`, where the host was forgotten.
fn lone_login(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text[start..];
    let end = start + rest.find(['/', '?', '#', ',', ' ']).unwrap_or(rest.len());
    let place = &text[start..end];
    if place.starts_with('[') {
        return None;
    }
    let colon = place.find(':')?;
    let port = &place[colon + 1..];
    let numeric = port.chars().all(|c| !c.is_alphabetic()) || port.parse::<std::net::Ipv6Addr>().is_ok();
    let address = place.parse::<std::net::Ipv6Addr>().is_ok();
    // After a known scheme's own name and one colon stands a host: `redis:host`.
    let scheme = start == 0 && super::url::scheme(&place[..colon]).is_some();
    if numeric || address || scheme { None } else { Some(start + colon + 1..text.len()) }
}

/// `password=…`, `-a …`: everything after it, to be on the safe side.
pub(super) fn after_words(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut hidden = Vec::new();
    for word in SECRET_WORDS {
        for (i, _) in lower.match_indices(word) {
            let after = i + word.len();
            let rest = lower[after..].trim_start_matches(['"', '\'', ' ']);
            if rest.starts_with('=') || (rest.starts_with(':') && !lower[..i].ends_with("//")) {
                let value = lower.len() - rest.len() + 1;
                let end = lower[value..]
                    .find(',')
                    .filter(|_| !rest.contains('@'))
                    .map_or(lower.len(), |c| value + c);
                hidden.push(value..end);
            }
        }
    }
    if let Some(i) = lower.find(" -a ").map(|i| i + 4).or(lower.find(" --pass ").map(|i| i + 8)) {
        hidden.push(i..lower.len());
    }
    hidden
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The text with its secrets masked and every character visible, and the column of the byte `at` in it.
pub(super) fn marked(text: &str, at: usize) -> (String, usize) {
    /// A terminal's width and a half is what a reader can take in.
    const SHOWN: usize = 300;
    let hidden = secrets(text);
    let (mut out, mut column) = (String::new(), None);
    let mut count = 0;
    for (i, c) in text.char_indices() {
        if i >= at && column.is_none() {
            column = Some(count);
        }
        if count >= SHOWN {
            out.push('…');
            break;
        }
        let piece = if hidden.iter().any(|h| h.contains(&i)) {
            "*".to_owned()
        } else if c == ' ' {
            // A blank that matters must be seen.
            "␣".to_owned()
        } else {
            crate::text::shown_str(c.encode_utf8(&mut [0; 4]), 8)
        };
        count += piece.chars().count();
        out.push_str(&piece);
    }
    (out, column.unwrap_or(count))
}

/// The text with its secrets replaced by `***`, whatever their length.
pub fn redacted(text: &str) -> String {
    let hidden = secrets(text);
    let mut out = String::new();
    let mut inside = false;
    for (i, c) in text.char_indices() {
        let hide = hidden.iter().any(|h| h.contains(&i));
        match (hide, inside) {
            (true, false) => out.push_str("***"),
            (true, true) => {}
            (false, _) => out.push(c),
        }
        inside = hide;
    }
    crate::text::shown_str(&out, 300)
}

#[cfg(test)]
mod tests {
    use super::{marked, redacted};

    #[test]
    fn hides_what_may_be_a_password() {
        for text in [
            "redis://:canary@h",
            "redis://u:canary@h:1/0",
            "redis://canary@h",
            "redis://:ca#canary/x@h",
            "redis://u:a@canary@h",
            "redis://:canary",
            "redis://u:canary",
            "u:canary@h",
            "default:canary",
            "h:6379,password=canary,ssl=true",
            "redis://h:6379?password=canary",
            "redis://h:6379/0?auth=can&token=canary",
            "redis-cli -h h -a canary",
            "redis-cli --tls -u redis://default:canary@h:1",
            "redis://redis://:canary@h",
            "redis://u:1234/canary@h",
            "http://:canary@h",
            "{\"password\": \"canary\"}",
        ] {
            assert!(!redacted(text).contains("canary"), "{text}: {}", redacted(text));
            assert!(!marked(text, 0).0.contains("canary"), "{text}: {}", marked(text, 0).0);
        }
    }

    #[test]
    fn shows_the_rest() {
        assert_eq!(redacted("redis://h:6379/0"), "redis://h:6379/0");
        assert_eq!(redacted("redis://u:pw@h:6379"), "redis://u:***@h:6379");
        assert_eq!(redacted("redis:host"), "redis:host");
        assert_eq!(redacted("redis://::1:6379"), "redis://::1:6379");
        assert_eq!(marked("h:6379\r", 6), ("h:6379\\r".to_owned(), 6));
        assert_eq!(marked("\u{feff}h x", 5), ("\\u{feff}h␣x".to_owned(), 10));
    }
}
