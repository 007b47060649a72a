//! Foreign bytes made safe to show: bounded, and without anything a terminal would obey.

/// Escapes control characters, bidirectional overrides and invalid UTF-8, and cuts at `max` characters.
pub fn shown(bytes: &[u8], max: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if count >= max {
                out.push('…');
                return out;
            }
            push(&mut out, c);
            count += 1;
        }
        for byte in chunk.invalid() {
            if count >= max {
                out.push('…');
                return out;
            }
            out.push_str(&format!("\\x{byte:02x}"));
            count += 1;
        }
    }
    out
}

/// The same for a string.
pub fn shown_str(text: &str, max: usize) -> String {
    shown(text.as_bytes(), max)
}

fn push(out: &mut String, c: char) {
    match c {
        '\r' => out.push_str("\\r"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        // Bidirectional controls and zero-width characters can make a line read as another (CVE-2021-42574).
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            out.push_str(&format!("\\u{{{:x}}}", c as u32));
        }
        c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
        c => out.push(c),
    }
}

/// A word as a POSIX shell takes it: bare when nothing in it is special, else in single quotes.
pub fn shell(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if !word.is_empty() && word.chars().all(bare) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A length of time in the largest unit that tells it well.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What is wrong with a JSON text. serde's words quote the input; only the kind and the place are told.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Syntax => "not JSON, or nested too deeply",
        Category::Eof => "cut off",
        Category::Data => "a value of the wrong kind",
        Category::Io => "not readable",
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::{shell, shown};

    #[test]
    fn quotes_what_a_shell_would_obey() {
        assert_eq!(shell("/var/lib/redis"), "/var/lib/redis");
        assert_eq!(shell("/tmp/a b"), "'/tmp/a b'");
        assert_eq!(shell("$(id)'"), r"'$(id)'\'''");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(shown(b"\x1b[31mred\x07\r\n", 80), "\\x1b[31mred\\x07\\r\\n");
        assert_eq!(shown("a\u{202e}b".as_bytes(), 80), "a\\u{202e}b");
        assert_eq!(shown(b"\xff\xfeok", 80), "\\xff\\xfeok");
    }

    #[test]
    fn cuts() {
        assert_eq!(shown(b"abcdef", 3), "abc…");
    }
}
