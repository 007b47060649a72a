//! Checks the words behind a directive against its row, with the server's own words where they are refused, and
//! gives the value as `CONFIG GET` prints it. Directives with a grammar of their own are in `special`.

use super::{Directive, Form, Kind, TextRule};
use crate::number::{memtoull, string2ll, strtoll};

/// `CONFIG SET` and the file reader keep messages in a buffer of this size (LOADBUF_SIZE, config.c).
const MESSAGE_MAX: usize = 255;
/// NET_HOST_STR_LEN, server.h.
const HOSTNAME_MAX: usize = 256;

pub(crate) type Refused = String;

/// What the process title may need to know (`proc-title-template`).
#[derive(Clone, Copy, Default)]
pub(crate) struct TitleFacts {
    /// A set of one of the variables that may be empty.
    pub(crate) unixsocket: bool,
    pub(crate) mode: bool,
}

/// The value of a directive that takes plain words. `args` is never empty for a row that is not `multi`.
pub(crate) fn check(row: &Directive, args: &[Vec<u8>], title: TitleFacts) -> Result<Vec<u8>, Refused> {
    let first = args.first().map_or(b"".as_slice(), Vec::as_slice);
    match row.kind {
        Kind::YesNo => yes_no(c_str(first)).ok_or_else(|| "argument must be 'yes' or 'no'".to_owned()),
        Kind::Text(rule) => text(row, rule, first, title),
        Kind::Words { words, many } => choose(words, many, args),
        Kind::Number { .. } => number(row, first),
        Kind::Special(_) => Ok(first.to_vec()),
    }
}

/// What C sees of a word: up to a NUL, which `"\x00"` can put there.
pub(crate) fn c_str(word: &[u8]) -> &[u8] {
    &word[..word.iter().position(|b| *b == 0).unwrap_or(word.len())]
}

fn yes_no(word: &[u8]) -> Option<Vec<u8>> {
    [b"yes".as_slice(), b"no"].into_iter().find(|w| word.eq_ignore_ascii_case(w)).map(<[u8]>::to_vec)
}

fn text(row: &Directive, rule: TextRule, word: &[u8], title: TitleFacts) -> Result<Vec<u8>, Refused> {
    // These are binary-safe strings in the server (createSDSConfig, config.c), the other texts are C strings.
    let binary_safe = matches!(row.name, "requirepass" | "masterauth" | "primaryauth");
    let value = if binary_safe { word } else { c_str(word) };
    match refusal(rule, value, word, title) {
        Some(says) => Err(says.to_owned()),
        None => Ok(value.to_vec()),
    }
}

fn refusal(rule: TextRule, value: &[u8], raw: &[u8], title: TitleFacts) -> Option<&'static str> {
    let a_path = value.contains(&b'/') || value.contains(&b'\\');
    let empty = value.is_empty();
    match rule {
        TextRule::Any => None,
        TextRule::DbFilename | TextRule::DbFilenameNotEmpty => {
            if empty && rule == TextRule::DbFilenameNotEmpty {
                return Some("dbfilename can't be empty");
            }
            a_path.then_some("dbfilename can't be a path, just a filename")
        }
        TextRule::AppendFilename if empty => Some("appendfilename can't be empty"),
        TextRule::AppendFilename => a_path.then_some("appendfilename can't be a path, just a filename"),
        TextRule::AppendDirname if empty => Some("appenddirname can't be empty"),
        TextRule::AppendDirname => a_path.then_some("appenddirname can't be a path, just a dirname"),
        TextRule::ClusterConfigFile => empty.then_some("cluster-config-file can't be empty"),
        TextRule::Hostname if value.len() >= HOSTNAME_MAX => {
            Some("Hostnames must be less than 256 characters")
        }
        TextRule::Hostname => {
            let fine = value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
            (!fine).then_some("Hostnames may only contain alphanumeric characters, hyphens or dots")
        }
        TextRule::NodeName => {
            // isValidAuxChar, cluster_legacy.c; its strchr finds the NUL too.
            let fine = |b: &u8| b.is_ascii_alphanumeric() || !b"!#$%&()*+:;<>?@[]^{|}~\0".contains(b);
            (!raw.iter().all(fine)).then_some("Announced human node name contained invalid character")
        }
        TextRule::Ipv4 => (!empty && parse_as::<std::net::Ipv4Addr>(value)).then_some("Invalid IPv4 address"),
        TextRule::Ipv6 => (!empty && parse_as::<std::net::Ipv6Addr>(value)).then_some("Invalid IPv6 address"),
        TextRule::ProcTitle => (!title_is_valid(value, title))
            .then_some("template format is invalid or contains unknown variables"),
    }
}

fn parse_as<T: std::str::FromStr>(value: &[u8]) -> bool {
    std::str::from_utf8(value).ok().and_then(|v| v.parse::<T>().ok()).is_none()
}

/// A template of the process title: variables in braces, all known, and something to show in the end.
fn title_is_valid(template: &[u8], facts: TitleFacts) -> bool {
    let mut shown = false;
    let mut rest = template;
    while let Some(open) = rest.iter().position(|b| *b == b'{') {
        shown |= rest[..open].iter().any(|b| *b != b' ');
        rest = &rest[open + 1..];
        if let Some(after) = rest.strip_prefix(b"{") {
            shown = true;
            rest = after;
            continue;
        }
        let Some(close) = rest.iter().position(|b| *b == b'}') else { return false };
        match &rest[..close] {
            b"listen-addr" | b"config-file" | b"port" | b"tls-port" => shown = true,
            b"title" => {}
            b"server-mode" => shown |= facts.mode,
            b"unixsocket" => shown |= facts.unixsocket,
            _ => return false,
        }
        rest = &rest[close + 1..];
    }
    shown || rest.iter().any(|b| *b != b' ')
}

fn choose(words: &[(&'static str, u8)], many: bool, args: &[Vec<u8>]) -> Result<Vec<u8>, Refused> {
    let value_of = |arg: &Vec<u8>| {
        let arg = c_str(arg);
        words.iter().find(|(word, _)| word.as_bytes().eq_ignore_ascii_case(arg)).map(|(_, value)| *value)
    };
    let values: Option<Vec<u8>> = args.iter().map(value_of).collect();
    let values = values.filter(|v| if many { !v.is_empty() } else { v.len() == 1 });
    let Some(values) = values else {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let mut says = format!("argument(s) must be one of the following: {}", names.join(", "));
        says.truncate(MESSAGE_MAX);
        return Err(says);
    };
    let sum = values.iter().fold(0, |sum, v| sum | v);
    // SHUTDOWN_SAVE 1 and SHUTDOWN_NOSAVE 2, the only words that exclude each other.
    if many && sum & 3 == 3 {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned());
    }
    if let Some((word, _)) = words.iter().find(|(_, value)| *value == sum) {
        return Ok(word.as_bytes().to_vec());
    }
    let parts: Vec<&str> = words
        .iter()
        .filter(|(_, value)| *value != 0 && sum & value == *value)
        .map(|(word, _)| *word)
        .collect();
    Ok(parts.join(" ").into_bytes())
}

fn number(row: &Directive, word: &[u8]) -> Result<Vec<u8>, Refused> {
    let Kind::Number { lower, upper, unsigned, form } = row.kind else { return Ok(word.to_vec()) };
    let value = read_number(form, word)?;
    within(value, lower, upper, unsigned, form)?;
    Ok(print_number(value, form).into_bytes())
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "the server keeps a size in a signed number; sizes above 2^63 wrap"
)]
fn read_number(form: Form, word: &[u8]) -> Result<i64, Refused> {
    let refused = match form {
        Form::Plain => {
            return string2ll(word).ok_or_else(|| "argument couldn't be parsed into an integer".to_owned());
        }
        Form::Octal => {
            let (value, rest, overflow) = strtoll(c_str(word), 8);
            if rest.is_empty() && !overflow {
                return Ok(value);
            }
            "argument couldn't be parsed as an octal number"
        }
        Form::Memory => match memtoull(c_str(word)) {
            Some(bytes) => return Ok(bytes as i64),
            None => "argument must be a memory value",
        },
        Form::MemoryOrPercent => {
            if let Some(bytes) = memtoull(c_str(word)) {
                return Ok(bytes as i64);
            }
            // A percentage is kept as a negative number.
            let percent = word.strip_suffix(b"%").and_then(string2ll).filter(|p| *p >= 0);
            match percent {
                Some(percent) => return Ok(-percent),
                None => "argument must be a memory or percent value",
            }
        }
    };
    Err(refused.to_owned())
}

#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the server compares through C's casts"
)]
fn within(value: i64, lower: i64, upper: u64, unsigned: bool, form: Form) -> Result<(), Refused> {
    if unsigned {
        let (value, lower) = (value as u64, lower as u64);
        if value < lower || value > upper {
            return Err(match form {
                Form::Octal => format!("argument must be between {lower:o} and {upper:o} inclusive"),
                _ => format!("argument must be between {lower} and {upper} inclusive"),
            });
        }
        return Ok(());
    }
    let upper = upper as i64;
    if form == Form::MemoryOrPercent && value < 0 {
        if value < lower {
            return Err(format!("percentage argument must be less or equal to {}", -lower));
        }
    } else if value > upper || value < lower {
        return Err(format!("argument must be between {lower} and {upper} inclusive"));
    }
    Ok(())
}

#[expect(clippy::cast_sign_loss, reason = "sizes are printed unsigned, as the server does")]
fn print_number(value: i64, form: Form) -> String {
    match form {
        Form::MemoryOrPercent if value < 0 => format!("{}%", value.unsigned_abs()),
        Form::Memory | Form::MemoryOrPercent => format!("{}", value as u64),
        Form::Octal => format!("{value:o}"),
        Form::Plain => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    fn set_in(release: Release, name: &str, args: &[&str]) -> Result<String, String> {
        let row = Directive::find(name.as_bytes(), release).expect("in the table");
        let args: Vec<Vec<u8>> = args.iter().map(|a| a.as_bytes().to_vec()).collect();
        check(row, &args, TitleFacts::default()).map(|v| String::from_utf8(v).expect("text"))
    }

    fn set(name: &str, args: &[&str]) -> Result<String, String> {
        set_in(Release::Redis70, name, args)
    }

    fn yes(value: &str) -> Result<String, String> {
        Ok(value.to_owned())
    }

    fn no(says: &str) -> Result<String, String> {
        Err(says.to_owned())
    }

    #[test]
    fn values_are_printed_as_config_get_does() {
        assert_eq!(set("daemonize", &["YES"]), yes("yes"));
        assert_eq!(set("maxmemory", &["100MB"]), yes("104857600"));
        assert_eq!(set("maxmemory-clients", &["5%"]), yes("5%"));
        assert_eq!(set("unixsocketperm", &["0770"]), yes("770"));
        assert_eq!(set("oom-score-adj", &["relative"]), yes("yes"));
        assert_eq!(set("shutdown-on-sigterm", &["force", "NOW", "save"]), yes("save now force"));
        assert_eq!(set("shutdown-on-sigterm", &["default"]), yes("default"));
    }

    #[test]
    fn refusals_have_the_words_of_the_server() {
        assert_eq!(set("daemonize", &["true"]), no("argument must be 'yes' or 'no'"));
        assert_eq!(set("port", &["65536"]), no("argument must be between 0 and 65535 inclusive"));
        assert_eq!(set("port", &["six"]), no("argument couldn't be parsed into an integer"));
        assert_eq!(set("maxclients", &["-1"]), no("argument must be between 1 and 4294967295 inclusive"));
        assert_eq!(set("maxmemory", &["1tb"]), no("argument must be a memory value"));
        assert_eq!(
            set("maxmemory-clients", &["101%"]),
            no("percentage argument must be less or equal to 100")
        );
        assert_eq!(set("unixsocketperm", &["1000"]), no("argument must be between 0 and 777 inclusive"));
        assert_eq!(set("unixsocketperm", &["rw"]), no("argument couldn't be parsed as an octal number"));
        assert_eq!(
            set("loglevel", &["nothing"]),
            no("argument(s) must be one of the following: debug, verbose, notice, warning")
        );
        assert_eq!(set_in(Release::Redis80, "loglevel", &["nothing"]), yes("nothing"));
        assert_eq!(set("dbfilename", &["a/b"]), no("dbfilename can't be a path, just a filename"));
        assert_eq!(set("dbfilename", &[""]), yes(""));
        assert_eq!(set_in(Release::Valkey81, "dbfilename", &[""]), no("dbfilename can't be empty"));
    }

    #[test]
    fn process_titles() {
        assert!(set("proc-title-template", &["{title} {port}"]).is_ok());
        assert!(set("proc-title-template", &["{{x"]).is_ok());
        for bad in ["{nope}", "{title", "{title}", " ", "", "{"] {
            assert!(set("proc-title-template", &[bad]).is_err(), "{bad}");
        }
    }
}
