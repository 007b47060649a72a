//! Lines of a configuration for print: what may be a password is replaced by `***`.
//!
//! On doubt it is replaced: the value of a directive nobody knows may be a password behind a mistyped `requirepass`.

use crate::acl::shown_rule;
use crate::sds;
use crate::table::{Directive, ROWS};

/// More of a line helps nobody.
const SHOWN_MAX: usize = 400;

/// U+FEFF in UTF-8, which some editors write before the first line.
pub const BYTE_ORDER_MARK: [u8; 3] = *b"\xef\xbb\xbf";

/// A line as it may be shown, without its line end and without control characters.
pub fn redact_line(line: &[u8]) -> String {
    let line = sds::trim(line);
    if let Some(rest) = line.strip_prefix(&BYTE_ORDER_MARK) {
        // The name behind it is one, and the mark is what a reader does not see.
        return format!("<U+FEFF>{}", redact_line(rest));
    }
    let shown = match line.strip_prefix(b"#") {
        Some(comment) if !names_a_secret(sds::trim(comment)) => printable(line),
        Some(comment) => format!("# {}", directive(sds::trim(comment))),
        None => directive(line),
    };
    let mut shown = shown;
    if shown.len() > SHOWN_MAX {
        let end = (0..=SHOWN_MAX).rev().find(|i| shown.is_char_boundary(*i)).unwrap_or(0);
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// A comment that was, or is about, a line with a secret.
fn names_a_secret(comment: &[u8]) -> bool {
    let word = comment.split(|b| sds::is_space(*b)).next().unwrap_or_default();
    is_secret_name(word) || matches!(word, b"user" | b"sentinel")
}

fn is_secret_name(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    let has = |part: &[u8]| lower.windows(part.len()).any(|w| w == part);
    ROWS.iter().any(|row| row.secret && is_called(row, &lower))
        || ((has(b"pass") || has(b"secret") || has(b"token"))
            && !ROWS.iter().any(|row| is_called(row, &lower)))
}

fn is_called(row: &Directive, name: &[u8]) -> bool {
    row.name.as_bytes() == name || row.alias.is_some_and(|alias| alias.as_bytes() == name)
}

fn directive(line: &[u8]) -> String {
    let first = line.split(|b| sds::is_space(*b)).next().unwrap_or_default();
    let lower = first.to_ascii_lowercase();
    let known = ROWS.iter().any(|row| is_called(row, &lower)) && !is_secret_name(&lower);
    if known || matches!(lower.as_slice(), b"include") {
        return printable(line);
    }
    let name = printable(first);
    let Some(words) = sds::split_args(line) else { return format!("{name} ***") };
    let shown: Vec<String> = match (lower.as_slice(), words.get(1..).unwrap_or_default()) {
        (_, []) if !is_name(first) => return "***".to_owned(),
        (_, []) => Vec::new(),
        (b"user", [user, rules @ ..]) => {
            std::iter::once(printable(user)).chain(rules.iter().map(|r| shown_rule(r))).collect()
        }
        (b"rename-command", [command, ..]) => vec![printable(command), "***".to_owned()],
        (b"loadmodule", [path]) => vec![printable(path)],
        (b"loadmodule", [path, ..]) => vec![printable(path), "***".to_owned()],
        (b"sentinel", [option, rest @ ..]) => sentinel(option, rest),
        _ => vec!["***".to_owned()],
    };
    let name = if is_name(first) { name } else { "***".to_owned() };
    std::iter::once(name).chain(shown).collect::<Vec<_>>().join(" ")
}

fn sentinel(option: &[u8], rest: &[Vec<u8>]) -> Vec<String> {
    let lower = option.to_ascii_lowercase();
    let open: [&[u8]; 6] = [
        b"monitor",
        b"down-after-milliseconds",
        b"failover-timeout",
        b"parallel-syncs",
        b"announce-ip",
        b"myid",
    ];
    let mut shown = vec![if is_name(option) { printable(option) } else { "***".to_owned() }];
    if open.contains(&lower.as_slice()) {
        shown.extend(rest.iter().map(|word| printable(word)));
    } else if let [primary, _, ..] = rest {
        shown.extend([printable(primary), "***".to_owned()]);
    } else if !rest.is_empty() {
        shown.push("***".to_owned());
    }
    shown
}

/// Whether a word looks like a directive's name, not like a value that stands in its place.
pub(crate) fn is_name(word: &[u8]) -> bool {
    word.len() <= 64
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && word.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_shown_and_hides_nothing_else() {
        assert_eq!(redact_line(b"\xef\xbb\xbfbind 0.0.0.0\r\n"), "<U+FEFF>bind 0.0.0.0");
        assert_eq!(redact_line(b"\xef\xbb\xbf# a comment"), "<U+FEFF># a comment");
        assert_eq!(redact_line(b"\xef\xbb\xbfrequirepass hunter22"), "<U+FEFF>requirepass ***");
        assert_eq!(
            redact_line(b"\xef\xbb\xbf\xef\xbb\xbfrequirepas hunter22"),
            "<U+FEFF><U+FEFF>requirepas ***"
        );
        assert_eq!(redact_line(b"\xef\xbb\xbfhunter22"), "<U+FEFF>hunter22");
    }

    #[test]
    fn secrets_do_not_pass() {
        let lines = [
            "requirepass hunter2",
            "  RequirePass \"hunter2\"",
            "requirepass \"hunter2",
            "requirepas hunter2",
            "requirepass: hunter2",
            "# requirepass hunter2",
            "#masterauth hunter2",
            "masterauth hunter2 hunter2",
            "user alice on >hunter2 #hunter2 <hunter2 hunter2! ~*",
            "user alice on \">hunter2",
            "# user alice >hunter2",
            "sentinel auth-pass mymaster hunter2",
            "sentinel sentinel-pass hunter2",
            "tls-key-file-pass hunter2",
            "rename-command CONFIG hunter2",
            "loadmodule /x.so --password hunter2",
            "primaryauth hunter2",
            "foo hunter2",
            "\"requirepass\" hunter2",
            "hunter2!",
        ];
        for line in lines {
            let shown = redact_line(line.as_bytes());
            assert!(!shown.contains("hunter2"), "{line} -> {shown}");
        }
    }

    #[test]
    fn the_rest_does() {
        for line in
            ["bind 127.0.0.1 ::1", "port \"6379", "# bind 127.0.0.1", "include /etc/x.conf", "appendonly yes"]
        {
            assert_eq!(redact_line(line.as_bytes()), line);
        }
        assert_eq!(redact_line(b"user bob on ~a:* +@all >x"), "user bob on ~a:* +@all ***");
        assert_eq!(redact_line(b"sentinel monitor m 10.0.0.1 6379 2"), "sentinel monitor m 10.0.0.1 6379 2");
        assert_eq!(redact_line(b"port \x1b[31m1"), "port \u{fffd}[31m1");
    }
}
