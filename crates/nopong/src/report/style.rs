//! How a report for people is set: width, colour, character set.

/// The setting of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colour, beside the words that carry the meaning.
    pub color: bool,
    /// Characters beyond ASCII may be used.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
    /// All evidence.
    pub verbose: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, unicode: true, width: 80, verbose: false }
    }
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Good,
    Bad,
    Warn,
    Label,
    Command,
    Dim,
}

impl Style {
    /// The text in its colour (ECMA-48 SGR).
    pub(super) fn ink(self, ink: Ink, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "1;32",
            Ink::Bad => "1;31",
            Ink::Warn => "1;33",
            Ink::Label => "1",
            Ink::Command => "36",
            Ink::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Foreign or own text as one line that no terminal obeys, in the characters there are.
    pub(super) fn line(self, text: &str) -> String {
        let text = crate::text::shown_str(text, 2000);
        if self.unicode { text } else { ascii(&text) }
    }

    /// The text in lines of at most `room` columns; a word is never broken, so that it can be copied.
    pub(super) fn wrap(self, text: &str, room: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in self.line(text).split(' ').filter(|w| !w.is_empty()) {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

/// The text in ASCII; what has no equivalent is escaped.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '…' => out.push_str("..."),
            '–' | '—' => out.push('-'),
            '→' => out.push_str("->"),
            '✓' => out.push_str("ok"),
            '✗' => out.push('x'),
            '␣' => out.push('_'),
            '“' | '”' | '„' => out.push('"'),
            '‘' | '’' => out.push('\''),
            '\u{a0}' => out.push(' '),
            c if c.is_ascii() => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Style;

    #[test]
    fn wraps_between_words_only() {
        let style = Style::default();
        assert_eq!(style.wrap("aa bb  cc", 5), ["aa bb", "cc"]);
        assert_eq!(style.wrap("a-very-long-word b", 5), ["a-very-long-word", "b"]);
    }

    #[test]
    fn ascii_keeps_the_meaning() {
        let style = Style { unicode: false, ..Style::default() };
        assert_eq!(style.line("✗ bücher – x…"), "x b\\u{fc}cher - x...");
    }
}
