//! The smallest change to one line of a settings file that makes it name the right Redis. Text to text, no IO.
//!
//! What stands around the address stays: quotes, comments, options, order. Whether the corrected text means what was
//! wanted is for the caller to see, by reading it as the application's settings are read.

use super::{mask, url};
use std::ops::Range;

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// Speak TLS.
    Tls,
    /// Speak no TLS.
    Plain,
    /// Another unix socket, by path.
    Socket(String),
    /// Another port.
    Port(u16),
    /// Another host, by name or address.
    Host(String),
    /// Percent-encode what the login holds unescaped.
    Escape,
    /// The host alone, where a whole address stands.
    HostAlone,
}

/// What of a settings line is or may be a secret.
pub fn hidden(line: &str) -> Vec<Range<usize>> {
    let mut hidden = mask::after_words(line);
    if let Some(url) = address(line) {
        hidden.extend(
            mask::secrets(&line[url.clone()]).into_iter().map(|r| url.start + r.start..url.start + r.end),
        );
    }
    hidden.retain(|r| r.start < r.end);
    hidden.sort_by_key(|r| (r.start, r.end));
    hidden
}

/// The line as it may be shown.
pub fn shown_line(line: &str) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for range in hidden(line) {
        if range.end <= at {
            continue;
        }
        out.push_str(line.get(at..range.start.max(at)).unwrap_or_default());
        out.push_str(if range.start < at { "" } else { "***" });
        at = range.end;
    }
    out.push_str(line.get(at..).unwrap_or_default());
    out
}

/// A sentence fragment: why the text cannot be corrected.
type Unclear = &'static str;

/// Keys that hold a host, a port, or switch TLS on, by their last word.
const HOST: &[&str] = &["host", "hostname"];
const TLS: &[&str] = &["tls", "ssl", "ssl_enabled", "ssl.enabled", "ssl-enabled", "use_tls", "use_ssl"];

/// The text of the file `name` with the setting `key` of `line` (from 1) corrected.
pub fn correct(
    name: &str,
    text: &str,
    line: usize,
    key: &str,
    correction: &Correction,
) -> Result<String, Unclear> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let own = lines.get(line.wrapping_sub(1)).ok_or("the file has no such line any more")?;
    let entry = entry(own, key).ok_or("the setting is not on its line any more")?;
    let value = own.get(entry.value.clone()).ok_or("the line cannot be cut there")?;
    // systemd expands `%` in its unit files (systemd.unit(5), Specifiers); a literal one is doubled.
    let unit = name.ends_with(".service") || name.ends_with(".conf");
    if let Some(url) = address(value) {
        let part = value.get(url.clone()).ok_or("the line cannot be cut there")?;
        let made = match unit {
            true => in_url(&part.replace("%%", "%"), correction)?.replace('%', "%%"),
            false => in_url(part, correction)?,
        };
        return Ok(with_line(
            &lines,
            line,
            &spliced(own, entry.value.start + url.start..entry.value.start + url.end, &made),
        ));
    }
    if value.contains(',') && value.contains('=') || value.contains(',') && name.ends_with(".json") {
        let made = in_options(value, correction)?;
        return Ok(with_line(&lines, line, &spliced(own, entry.value, &made)));
    }
    in_parts(name, &lines, line, own, &entry, correction)
}

/// One `key: value` or `KEY=value` of a line.
#[derive(Debug, Clone)]
struct Entry {
    key: String,
    /// Everything before the key: indentation, `- `, `export `, a quote.
    before: Range<usize>,
    /// The value's bytes, without its quotes.
    value: Range<usize>,
    /// What stands between key and value, quotes included.
    between: Range<usize>,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-.".contains(c)
}

/// The entry of a key, or of the line's only key. A YAML path (`spring.redis.host`) is known by its last word, too.
fn entry(line: &str, key: &str) -> Option<Entry> {
    let last = key.rsplit('.').next().unwrap_or(key).trim_start_matches(':');
    let at = |name: &str| -> Option<Entry> {
        let mut from = 0;
        while let Some(found) = line.get(from..)?.find(name) {
            let start = from + found;
            let end = start + name.len();
            from = end;
            let free = !line[..start].ends_with(is_word) && !line[..start].ends_with(['$', '{']);
            let rest = &line[end..];
            let closed = rest.trim_start_matches(['"', '\'']);
            let separator = closed.trim_start().chars().next();
            if !free || !matches!(separator, Some('=' | ':')) {
                continue;
            }
            let value_at = end + (rest.len() - closed.trim_start().len()) + 1;
            return Some(Entry {
                key: name.to_owned(),
                before: 0..start,
                value: 0..0,
                between: end..value_at,
            });
        }
        None
    };
    let found = at(key).or_else(|| at(last)).or_else(|| {
        // A list's item (`- REDIS_HOST=x` has the index as its last word), or a key written otherwise.
        let name: String = line
            .trim_start_matches(|c: char| c.is_whitespace() || "-\"':".contains(c))
            .trim_start_matches("export ")
            .chars()
            .take_while(|c| is_word(*c))
            .collect();
        (!name.is_empty()).then(|| at(&name)).flatten()
    })?;
    let rest = line.get(found.between.end..)?;
    let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let start = found.between.end + blank;
    let value = line.get(start..)?.trim_end_matches(['\n', '\r']);
    let opened = line[found.before.clone()].chars().rev().find(|c| !c.is_whitespace());
    let inside = opened.filter(|c| matches!(c, '"' | '\'') && !line[found.between.clone()].contains(*c));
    let (start, len) = match (value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')), inside) {
        (Some(quote), _) => (start + 1, value[1..].find(quote)?),
        (None, Some(quote)) => (start, value.find(quote)?),
        (None, None) => {
            let end = value.find(" #").unwrap_or(value.len());
            let end = value[..end].trim_end().trim_end_matches(',').len();
            // `Environment=A=1 B=2`: an assignment ends at the blank.
            let unit = line.trim_start().starts_with("Environment=");
            (start, value[..end].find(char::is_whitespace).filter(|_| unit).unwrap_or(end))
        }
    };
    Some(Entry { value: start..start + len, between: found.between.start..start, ..found })
}

/// The Redis address within a value: all of it, or the default within `${URL:-…}` or a template's quotes.
fn address(value: &str) -> Option<Range<usize>> {
    let scheme_at = value.match_indices("://").find_map(|(at, _)| {
        let start = value[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '+').map_or(0, |i| i + 1);
        url::scheme(&value[start..at]).map(|_| start)
    })?;
    let end = match value[..scheme_at].chars().last() {
        Some(quote @ ('"' | '\'')) => value[scheme_at..].find(quote),
        Some('-') => value[scheme_at..].find('}'),
        _ => None,
    };
    Some(scheme_at..end.map_or(value.len(), |n| scheme_at + n))
}

fn in_url(text: &str, correction: &Correction) -> Result<String, Unclear> {
    let start = text.find("://").ok_or("it has no scheme")? + 3;
    let login = mask::login_end(text, start);
    let place_at = login.map_or(start, |at| at + 1);
    let place_end = text[place_at..].find(['/', '?', '#']).map_or(text.len(), |n| place_at + n);
    let place = &text[place_at..place_end];
    let (host, port) = match place.rfind(':').filter(|i| !place[*i..].contains(']')) {
        Some(colon) => (&place[..colon], Some(&place[colon + 1..])),
        None => (place, None),
    };
    let foreign = |part: &str| part.contains(['$', '{', '<', '%']);
    match correction {
        Correction::Tls => {
            let scheme = &text[..start - 3];
            let secure = match scheme.to_ascii_lowercase().as_str() {
                "redis" => "rediss",
                "valkey" => "valkeys",
                _ => return Err("its scheme has no form with TLS that every library knows"),
            };
            Ok(format!("{secure}{}", &text[start - 3..]))
        }
        Correction::Plain => {
            let scheme = &text[..start - 3];
            let plain = match scheme.to_ascii_lowercase().as_str() {
                "rediss" => "redis",
                "valkeys" => "valkey",
                _ => return Err("its scheme has no form without TLS that every library knows"),
            };
            Ok(format!("{plain}{}", &text[start - 3..]))
        }
        Correction::Socket(new) => {
            let end = text[place_at..].find(['?', '#']).map_or(text.len(), |n| place_at + n);
            if foreign(&text[place_at..end]) || !text[place_at..].starts_with('/') {
                return Err("the socket's path comes from another variable");
            }
            Ok(format!("{}{new}{}", &text[..place_at], &text[end..]))
        }
        Correction::Port(new) => {
            if port.is_some_and(foreign) || (port.is_none() && foreign(host)) {
                return Err("the port comes from another variable");
            }
            Ok(format!("{}{host}:{new}{}", &text[..place_at], &text[place_end..]))
        }
        Correction::Host(new) => {
            if foreign(host) {
                return Err("the host comes from another variable");
            }
            let port = port.map(|p| format!(":{p}")).unwrap_or_default();
            Ok(format!("{}{}{port}{}", &text[..place_at], bracketed(new), &text[place_end..]))
        }
        Correction::Escape => {
            let at = login.ok_or("it has no login")?;
            if foreign_login(&text[start..at]) {
                return Err("the login comes from another variable");
            }
            let (user, password) =
                text[start..at].split_once(':').map_or((&text[start..at], None), |(u, p)| (u, Some(p)));
            let password = password.map(|p| format!(":{}", escaped(p))).unwrap_or_default();
            Ok(format!("{}{}{password}{}", &text[..start], escaped(user), &text[at..]))
        }
        Correction::HostAlone => {
            if foreign(host) {
                return Err("the host comes from another variable");
            }
            Ok(host.trim_matches(['[', ']']).to_owned())
        }
    }
}

fn foreign_login(login: &str) -> bool {
    ["${", "{{", "#{", "<%"].iter().any(|mark| login.contains(mark))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A part of a login with what would end it written as %XX (RFC 3986, 2.1 and 3.2.1). What is escaped already stays.
fn escaped(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = String::with_capacity(part.len());
    for (i, c) in part.char_indices() {
        let hex = || bytes.get(i + 1..i + 3).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit));
        let plain = c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:".contains(c) || (c == '%' && hex());
        if plain {
            out.push(c);
        } else {
            let mut buffer = [0u8; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// `host:port,password=…,ssl=true` of StackExchange.Redis.
fn in_options(value: &str, correction: &Correction) -> Result<String, Unclear> {
    let (place, rest) = value.split_once(',').map_or((value, String::new()), |(p, r)| (p, format!(",{r}")));
    let (host, port) = place.split_once(':').map_or((place, None), |(h, p)| (h, Some(p)));
    Ok(match correction {
        Correction::Port(new) => format!("{host}:{new}{rest}"),
        Correction::Host(new) => {
            format!("{}{}{rest}", bracketed(new), port.map(|p| format!(":{p}")).unwrap_or_default())
        }
        Correction::Tls => match rest.to_ascii_lowercase().find("ssl=false") {
            Some(at) => format!("{place}{}ssl=true{}", &rest[..at], &rest[at + "ssl=false".len()..]),
            None => format!("{value},ssl=true"),
        },
        Correction::Plain => match rest.to_ascii_lowercase().find("ssl=true") {
            Some(at) => format!("{place}{}ssl=false{}", &rest[..at], &rest[at + "ssl=true".len()..]),
            None => return Err("no option of it switches TLS on"),
        },
        Correction::Escape | Correction::HostAlone | Correction::Socket(_) => {
            return Err("it is a list of options, not an address");
        }
    })
}

/// Host, port and TLS under keys of their own.
fn in_parts(
    name: &str,
    lines: &[&str],
    line: usize,
    own: &str,
    entry: &Entry,
    correction: &Correction,
) -> Result<String, Unclear> {
    let value = &own[entry.value.clone()];
    let lower = entry.key.to_ascii_lowercase();
    let word = HOST.iter().find(|w| lower.ends_with(**w));
    let stem = word.map_or("", |w| &entry.key[..entry.key.len() - w.len()]);
    let like_key = |word: &str| {
        let upper = entry.key.chars().all(|c| !c.is_lowercase());
        format!("{stem}{}", if upper { word.to_ascii_uppercase() } else { word.to_owned() })
    };
    let set = |number: usize, entry: &Entry, to: &str| {
        with_line(lines, number, &spliced(lines[number - 1], entry.value.clone(), to))
    };
    match correction {
        Correction::Host(_) | Correction::HostAlone if word.is_none() => {
            Err("the host stands nowhere: it is the library's default")
        }
        Correction::Host(new) => Ok(set(line, entry, new)),
        Correction::HostAlone => Err("its host is one already"),
        Correction::Port(new) => {
            // The port is in the host's value, or the line is the port's own.
            if let Some((host, _)) =
                value.split_once(':').filter(|(h, p)| !h.is_empty() && mask::is_digits(p))
            {
                return Ok(set(line, entry, &format!("{host}:{new}")));
            }
            if word.is_none() && lower.ends_with("port") {
                return Ok(set(line, entry, &new.to_string()));
            }
            if word.is_none() {
                return Err("which line sets the port is not evident");
            }
            match sibling(lines, line, &like_key("port")) {
                Some((number, port)) => {
                    let value = &lines[number - 1][port.value.clone()];
                    match mask::is_digits(value) || value.contains("://") {
                        true => Ok(set(number, &port, &new.to_string())),
                        false => Err("the port comes from another variable"),
                    }
                }
                None => beside(name, lines, line, own, entry, &like_key("port"), &new.to_string()),
            }
        }
        Correction::Tls => {
            let tls = TLS.iter().find_map(|w| sibling(lines, line, &like_key(w)));
            if let Some((number, tls)) = tls {
                return Ok(set(number, &tls, "true"));
            }
            if let Some((number, scheme)) = sibling(lines, line, &like_key("scheme")) {
                return Ok(set(number, &scheme, "tls"));
            }
            // Spring Boot's own key (Common Application Properties, spring.data.redis.ssl.enabled, since 3.1).
            if name.ends_with(".properties") && stem.starts_with("spring.data.redis.") {
                return beside(name, lines, line, own, entry, &format!("{stem}ssl.enabled"), "true");
            }
            Err("which option switches TLS on depends on the application's library")
        }
        Correction::Plain => {
            let tls = TLS.iter().find_map(|w| sibling(lines, line, &like_key(w)));
            let off = |(number, tls): (usize, Entry)| set(number, &tls, "false");
            tls.map(off).ok_or("which option switches TLS off depends on the application's library")
        }
        Correction::Socket(new) if value.starts_with('/') => Ok(set(line, entry, new)),
        Correction::Socket(_) => Err("which line has the socket's path is not evident"),
        Correction::Escape => Err("it is no URL"),
    }
}

/// The line of a key of the same block: the same indentation, and nothing less indented between.
fn sibling(lines: &[&str], line: usize, key: &str) -> Option<(usize, Entry)> {
    let depth = |l: &str| l.len() - l.trim_start().len();
    let own = depth(lines.get(line - 1)?);
    let here = |number: usize| {
        let text = lines[number - 1];
        let entry = entry(text, key).filter(|e| e.key == key)?;
        let code = !text.trim_start().starts_with('#');
        (code && depth(text) == own).then_some((number, entry))
    };
    let block = |number: &usize| {
        let text = lines[*number - 1];
        text.trim().is_empty() || depth(text) >= own
    };
    let beside = here(line);
    let after = (line + 1..=lines.len()).take_while(block).filter_map(here).last();
    // The last of equal keys counts.
    beside.or(after).or_else(|| (1..line).rev().take_while(block).find_map(here))
}

/// A line of the same form after this one.
fn beside(
    name: &str,
    lines: &[&str],
    line: usize,
    own: &str,
    entry: &Entry,
    key: &str,
    value: &str,
) -> Result<String, Unclear> {
    if name.ends_with(".json") || own.trim_start().starts_with("Environment=") || own.contains('{') {
        return Err("the port has no line of its own");
    }
    let between = own[entry.between.clone()].trim_matches(['"', '\'', '`']);
    let between = if between.starts_with(':') && !between.ends_with(' ') { ": " } else { between };
    let before = own[entry.before.clone()].trim_end_matches(['"', '\'']);
    let end = if own.ends_with("\r\n") { "\r\n" } else { "\n" };
    let own = own.trim_end_matches(['\n', '\r']);
    Ok(with_line(lines, line, &format!("{own}{end}{before}{key}{between}{value}{end}")))
}

fn spliced(line: &str, range: Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &line[..range.start], &line[range.end..])
}

fn with_line(lines: &[&str], line: usize, new: &str) -> String {
    [&lines[..line - 1].concat(), new, &lines[line..].concat()].concat()
}

#[cfg(test)]
mod tests {
    use super::Correction::{Escape, Host, HostAlone, Plain, Port, Socket, Tls};
    use super::{Correction, correct};

    fn line(name: &str, text: &str, key: &str, correction: &Correction) -> String {
        correct(name, text, 1, key, correction).unwrap_or_else(|why| format!("unclear: {why}"))
    }

    #[test]
    fn addresses_in_a_dotenv_file() {
        let env = |text: &str, correction: &Correction| line(".env", text, "REDIS_URL", correction);
        assert_eq!(env("REDIS_URL=redis://c:1/2 # x\n", &Port(6379)), "REDIS_URL=redis://c:6379/2 # x\n");
        assert_eq!(
            env("export REDIS_URL=\"redis://c\"\r\n", &Port(7)),
            "export REDIS_URL=\"redis://c:7\"\r\n"
        );
        assert_eq!(env("REDIS_URL='redis://u:p@c:1'", &Host("d".into())), "REDIS_URL='redis://u:p@d:1'");
        assert_eq!(
            env("REDIS_URL=redis://[::1]:1\n", &Host("fd00::5".into())),
            "REDIS_URL=redis://[fd00::5]:1\n"
        );
        assert_eq!(env("REDIS_URL=redis://c:1\n", &Tls), "REDIS_URL=rediss://c:1\n");
        assert_eq!(env("REDIS_URL=rediss://u:p@c:1/3\n", &Plain), "REDIS_URL=redis://u:p@c:1/3\n");
        assert!(env("REDIS_URL=redis://c:1\n", &Plain).starts_with("unclear"));
        let socket = Socket("/run/r.sock".into());
        assert_eq!(
            env("REDIS_URL='unix:///tmp/a.sock?db=1' # x\n", &socket),
            "REDIS_URL='unix:///run/r.sock?db=1' # x\n"
        );
        assert_eq!(env("REDIS_URL=unix://u:p@/tmp/a\n", &socket), "REDIS_URL=unix://u:p@/run/r.sock\n");
        assert!(env("REDIS_URL=unix://$DIR/a\n", &socket).starts_with("unclear"));
        assert_eq!(
            env("REDIS_URL=redis://:p@ss/w#%1%41@c:1/0\n", &Escape),
            "REDIS_URL=redis://:p%40ss%2Fw%23%251%41@c:1/0\n"
        );
        assert!(env("REDIS_URL=redis://${H}:1\n", &Host("d".into())).starts_with("unclear"));
        assert!(env("REDIS_URL=redis://c:${P}\n", &Port(1)).starts_with("unclear"));
        assert_eq!(env("REDIS_URL=redis://${H}:1\n", &Port(2)), "REDIS_URL=redis://${H}:2\n");
    }

    #[test]
    fn hosts_and_ports_of_their_own() {
        let two = "REDIS_HOST=c\nX=1\nREDIS_PORT=6380\n";
        assert_eq!(line(".env", two, "REDIS_HOST", &Port(6379)), "REDIS_HOST=c\nX=1\nREDIS_PORT=6379\n");
        assert_eq!(line(".env", "REDIS_HOST=c\n", "REDIS_HOST", &Port(7)), "REDIS_HOST=c\nREDIS_PORT=7\n");
        assert_eq!(
            line(".env", two, "REDIS_HOST", &Host("d".into())),
            "REDIS_HOST=d\nX=1\nREDIS_PORT=6380\n"
        );
        assert_eq!(line(".env", "REDIS_PORT=1\n", "REDIS_PORT", &Port(2)), "REDIS_PORT=2\n");
        assert_eq!(line(".env", "REDIS_HOST=redis://c:1\n", "REDIS_HOST", &HostAlone), "REDIS_HOST=c\n");
        assert_eq!(
            line(".env", "REDIS_HOST=c\nREDIS_TLS=false\n", "REDIS_HOST", &Tls),
            "REDIS_HOST=c\nREDIS_TLS=true\n"
        );
        assert!(line(".env", "REDIS_HOST=c\n", "REDIS_HOST", &Tls).starts_with("unclear"));
    }

    #[test]
    fn compose_files() {
        let map = "services:\n  web:\n    environment:\n      REDIS_URL: \"redis://localhost:6379/0\"\n";
        let made = correct("compose.yaml", map, 4, "REDIS_URL", &Host("cache".into())).unwrap();
        assert!(made.ends_with("      REDIS_URL: \"redis://cache:6379/0\"\n"), "{made}");
        let list = "    environment:\n      - REDIS_HOST=localhost\n      - \"REDIS_PORT=1\"\n";
        let made = correct("compose.yaml", list, 2, "REDIS_HOST", &Port(2)).unwrap();
        assert_eq!(made, "    environment:\n      - REDIS_HOST=localhost\n      - \"REDIS_PORT=2\"\n");
        let made = correct("compose.yaml", list, 2, "0", &Host("cache".into())).unwrap();
        assert!(made.contains("- REDIS_HOST=cache\n"), "{made}");
        let default = "      REDIS_URL: ${URL:-redis://redis:1/1}\n";
        assert_eq!(
            line("compose.yaml", default, "REDIS_URL", &Port(2)),
            "      REDIS_URL: ${URL:-redis://redis:2/1}\n"
        );
    }

    #[test]
    fn frameworks() {
        let rails = "  url: <%= ENV.fetch(\"REDIS_URL\") { \"redis://p:1/1\" } %>\n";
        assert_eq!(
            line("config/cable.yml", rails, "production.url", &Port(2)),
            "  url: <%= ENV.fetch(\"REDIS_URL\") { \"redis://p:2/1\" } %>\n"
        );
        let spring = "spring:\n  data:\n    redis:\n      host: cache\n      port: 1\n";
        let made = correct("application.yml", spring, 4, "spring.data.redis.host", &Port(2)).unwrap();
        assert!(made.ends_with("      port: 2\n"), "{made}");
        let made =
            correct("application.yml", &spring[..spring.len() - 14], 4, "spring.data.redis.host", &Port(2))
                .unwrap();
        assert!(made.ends_with("      host: cache\n      port: 2\n"), "{made}");
        let made = line(
            "application.properties",
            "spring.data.redis.host = c\n",
            "spring.data.redis.host",
            &Port(2),
        );
        assert_eq!(made, "spring.data.redis.host = c\nspring.data.redis.port = 2\n");
        let json = "    \"Redis\": \"h:1,password=x\",\n";
        assert_eq!(
            line("appsettings.json", json, "ConnectionStrings.Redis", &Tls),
            "    \"Redis\": \"h:1,password=x,ssl=true\",\n"
        );
        assert_eq!(
            line("appsettings.json", json, "ConnectionStrings.Redis", &Port(2)),
            "    \"Redis\": \"h:2,password=x\",\n"
        );
    }

    #[test]
    fn systemd_units() {
        let unit = "Environment=\"A=1\" \"REDIS_URL=redis://:p@x@c:1\"\n";
        assert_eq!(
            line("app.service", unit, "REDIS_URL", &Escape),
            "Environment=\"A=1\" \"REDIS_URL=redis://:p%%40x@c:1\"\n"
        );
        let unit = "Environment=REDIS_URL=redis://c:1 B=2\n";
        assert_eq!(
            line("app.service", unit, "REDIS_URL", &Port(2)),
            "Environment=REDIS_URL=redis://c:2 B=2\n"
        );
        let unit = "Environment=REDIS_URL=redis://:a%%40b#c@c:1\n";
        assert_eq!(
            line("app.service", unit, "REDIS_URL", &Escape),
            "Environment=REDIS_URL=redis://:a%%40b%%23c@c:1\n"
        );
        let unit = "Environment=REDIS_HOST=c REDIS_PORT=1\n";
        assert_eq!(
            line("app.service", unit, "REDIS_HOST", &Port(2)),
            "Environment=REDIS_HOST=c REDIS_PORT=2\n"
        );
        assert_eq!(
            line("app.service", unit, "REDIS_HOST", &Host("d".into())),
            "Environment=REDIS_HOST=d REDIS_PORT=1\n"
        );
    }

    #[test]
    fn lines_are_shown_without_their_secrets() {
        for (line, expected) in [
            ("REDIS_URL=redis://:p@s@c:1/0 # x", "REDIS_URL=redis://:***@c:1/0 # x"),
            ("  REDIS_URL: \"redis://u:pw@c:1\"", "  REDIS_URL: \"redis://u:***@c:1\""),
            ("REDIS_PASSWORD=pw", "REDIS_PASSWORD=***"),
            ("REDIS_HOST=c", "REDIS_HOST=c"),
            ("\"Redis\": \"h:1,password=pw,ssl=true\"", "\"Redis\": \"h:1,password=***,ssl=true\""),
        ] {
            assert_eq!(super::shown_line(line), expected);
        }
    }

    #[test]
    fn no_text_panics() {
        for text in [
            "",
            "=",
            "é=é",
            "REDIS_URL=",
            "REDIS_URL='",
            "REDIS_URL=redis://",
            "REDIS_URL=redis://é@[",
            "\u{feff}A:",
        ] {
            for correction in [Tls, Port(1), Host("h".into()), Escape, HostAlone] {
                for number in [0, 1, 2, 9] {
                    let _ = correct(".env", text, number, "REDIS_URL", &correction);
                }
            }
        }
    }
}
