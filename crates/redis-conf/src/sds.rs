//! The string rules of the server: how a line is trimmed and split into words, how a word is written back.
//! Works on bytes; a word may hold any of them.

/// `isspace` of the C locale, which is what the server runs its parser in.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What the server takes off both ends of a line: blank, tab, CR, LF. A NUL ends a line earlier, see `source`.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0);
    let start = line.iter().position(|b| !blank(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !blank(b)).map_or(start, |p| p + 1);
    &line[start..end]
}

/// A word of a line and the bytes it was written with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) value: Vec<u8>,
    /// Start and end in the line given to [`split`].
    pub(crate) span: (usize, usize),
}

/// Splits a line into words as the server does (`sdssplitargs`); `None` where it says that quotes are unbalanced.
///
/// Quotes may open anywhere in a word, and a closing quote must be followed by white space or the end. In double
/// quotes `\xHH`, `\n \r \t \b \a` and `\` before any byte are escapes; in single quotes only `\'` is.
pub(crate) fn split(line: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).copied().is_some_and(is_space) {
            at += 1;
        }
        if line.get(at).is_none_or(|b| *b == 0) {
            return Some(words);
        }
        let (value, end) = word(line, at)?;
        words.push(Word { value, span: (at, end) });
        at = end;
    }
}

/// The words alone.
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    Some(split(line)?.into_iter().map(|w| w.value).collect())
}

fn word(line: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let peek = |i: usize| line.get(i).copied().filter(|b| *b != 0);
    let mut value = Vec::new();
    let mut at = start;
    loop {
        match peek(at) {
            None | Some(b' ' | b'\n' | b'\r' | b'\t') => return Some((value, at)),
            Some(quote @ (b'"' | b'\'')) => {
                at = quoted(line, at + 1, quote, &mut value)?;
                // A quote ends the word: what follows must be white space or the end.
                return match peek(at) {
                    None => Some((value, at)),
                    Some(b) if is_space(b) => Some((value, at)),
                    Some(_) => None,
                };
            }
            Some(byte) => {
                value.push(byte);
                at += 1;
            }
        }
    }
}

/// Reads up to the closing quote and returns the position behind it.
fn quoted(line: &[u8], mut at: usize, quote: u8, value: &mut Vec<u8>) -> Option<usize> {
    let peek = |i: usize| line.get(i).copied().filter(|b| *b != 0);
    loop {
        let byte = peek(at)?;
        if byte == quote {
            return Some(at + 1);
        }
        if byte == b'\\' && quote == b'"' {
            if let (Some(b'x'), Some(hi), Some(lo)) =
                (peek(at + 1), peek(at + 2).and_then(hex), peek(at + 3).and_then(hex))
            {
                value.push(hi * 16 + lo);
                at += 4;
                continue;
            }
            if let Some(escaped) = peek(at + 1) {
                value.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                at += 2;
                continue;
            }
        }
        if byte == b'\\' && quote == b'\'' && peek(at + 1) == Some(b'\'') {
            value.push(b'\'');
            at += 2;
            continue;
        }
        value.push(byte);
        at += 1;
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Writes a word so that the server reads it back as it is: bare where that is safe, else in double quotes.
pub fn quote(value: &[u8]) -> Vec<u8> {
    let bare =
        !value.is_empty() && value.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\'));
    // A first `#` would make a comment of the line only in first place, but a reader would stumble over it anywhere.
    if bare && value.first() != Some(&b'#') { value.to_vec() } else { repr(value) }
}

/// The server's own quoting (`sdscatrepr`), which it applies to command line arguments too.
pub(crate) fn repr(value: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in value {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            0x20..=0x7e => out.push(*byte),
            other => out.extend(format!("\\x{other:02x}").bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        split_args(line.as_bytes())
            .map(|w| w.into_iter().map(|w| String::from_utf8_lossy(&w).into_owned()).collect())
    }

    #[test]
    fn splits_like_the_server() {
        let yes = |line: &str, want: &[&str]| {
            let want: Vec<String> = want.iter().map(|w| (*w).to_owned()).collect();
            assert_eq!(words(line), Some(want), "{line}");
        };
        yes("", &[]);
        yes("port 6379", &["port", "6379"]);
        yes(r#"requirepass "a b\x41\n\q""#, &["requirepass", "a bA\nq"]);
        yes(r#"save """#, &["save", ""]);
        yes(r"x 'it\'s \n'", &["x", r"it's \n"]);
        yes(r#"a b"c d""#, &["a", "bc d"]);
        yes("a\x0bb c", &["a\x0bb", "c"]);
        for line in [r#"a "b"#, r#"a "b"c"#, "a 'b", "a 'b'c", r#"a "b\"#, r#"a """"#] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn quoting_is_read_back_as_it_was() {
        for byte in 0u8..=255 {
            for value in [vec![byte], vec![b'a', byte, b'b'], vec![byte, byte]] {
                let line = quote(&value);
                assert_eq!(split_args(&line), Some(vec![value.clone()]), "{value:?} as {line:?}");
            }
        }
        assert_eq!(quote(b""), b"\"\"");
    }

    #[test]
    fn trims_only_the_four_blanks() {
        assert_eq!(trim(b" \t\r\n port 1 \r"), b"port 1");
        assert_eq!(trim(b"\x0bport"), b"\x0bport");
        assert_eq!(trim(b" \t "), b"");
    }
}
