//! A pasted text, made readable once: control sequences gone, blanks squeezed, JSON lines unescaped, and every word
//! that any rule asks for looked up in one pass.

use super::address::{self, Address};
use super::{clients, rules};
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Beyond it addresses are only looked for in lines that a rule knows a word of.
const ALL_LINES: usize = 64 << 10;
/// At most so many such lines.
const LINES: usize = 512;
/// At most so many places of one word are kept.
const PLACES: usize = 16;

/// Everything the rules read of a text.
pub(super) struct Text {
    /// Readable, in the case it was written in.
    pub(super) original: String,
    /// In lower case (ASCII), so places are those of the original.
    lower: String,
    /// Where each word of the vocabulary ends, by its number.
    places: Vec<Vec<usize>>,
    /// Every address named.
    pub(super) addresses: Vec<Address>,
}

/// The words that rules ask for, with the automaton that finds them all at once.
struct Vocabulary {
    numbers: HashMap<&'static str, usize>,
    /// None if it could not be built: then each word is looked for by itself.
    automaton: Option<AhoCorasick>,
}

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let mut numbers = HashMap::new();
    let mut words: Vec<&'static str> = Vec::new();
    for word in rules::words().chain(clients::words()).chain(address::words()) {
        numbers.entry(word).or_insert_with(|| {
            words.push(word);
            words.len() - 1
        });
    }
    let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&words).ok();
    Vocabulary { numbers, automaton }
});

impl Text {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let original = readable(&String::from_utf8_lossy(bytes));
        let lower = original.to_ascii_lowercase();
        let mut places = vec![Vec::new(); VOCABULARY.numbers.len()];
        let mut lines: Vec<&str> = Vec::new();
        let mut line_end = 0;
        for hit in VOCABULARY.automaton.iter().flat_map(|a| a.find_overlapping_iter(&lower)) {
            let kept: &mut Vec<usize> = &mut places[hit.pattern().as_usize()];
            if kept.len() < PLACES {
                kept.push(hit.end());
            }
            if hit.end() > line_end && lines.len() < LINES {
                let start = original[..hit.start()].rfind('\n').map_or(0, |i| i + 1);
                line_end = original[hit.end()..].find('\n').map_or(original.len(), |i| hit.end() + i);
                lines.push(&original[start..line_end]);
            }
        }
        let addresses = if original.len() <= ALL_LINES {
            address::all(original.lines())
        } else {
            address::all(lines.iter().flat_map(|l| l.lines()))
        };
        Self { original, lower, places, addresses }
    }

    /// The text has these words.
    pub(super) fn has(&self, word: &str) -> bool {
        match VOCABULARY.numbers.get(word) {
            Some(number) if VOCABULARY.automaton.is_some() => !self.places[*number].is_empty(),
            _ => {
                #[cfg(test)]
                tests::ASKED.with_borrow_mut(|asked| asked.insert(word.to_owned()));
                self.lower.contains(word)
            }
        }
    }

    pub(super) fn any(&self, words: &[&str]) -> bool {
        words.iter().any(|w| self.has(w))
    }

    /// What follows each of the first places of a word, in the original's case.
    pub(super) fn after(&self, word: &str) -> impl Iterator<Item = &str> {
        let number = VOCABULARY.numbers.get(word);
        number.into_iter().flat_map(|n| &self.places[*n]).filter_map(|end| self.original.get(*end..))
    }

    /// The same in lower case.
    pub(super) fn lower_after(&self, word: &str) -> impl Iterator<Item = &str> {
        let number = VOCABULARY.numbers.get(word);
        number.into_iter().flat_map(|n| &self.places[*n]).filter_map(|end| self.lower.get(*end..))
    }

    /// Lines in lower case, the first of a long text.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lower.lines().take(200)
    }
}

/// Without terminal sequences and control characters, runs of blanks made one (logs pad their columns), and what
/// JSON escapes in a line of its own written out.
fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let json =
            line.contains('\\') && line.trim_start().starts_with('{') && line.trim_end().ends_with('}');
        if !json && is_plain(line) {
            out.push_str(line);
            continue;
        }
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match c {
                '\u{1b}' => skip_sequence(&mut chars),
                '\\' if json => match chars.next() {
                    Some('n' | 'r') => out.push('\n'),
                    Some('t') => out.push(' '),
                    Some(other) => out.push(other),
                    None => {}
                },
                '\n' => out.push(c),
                c if c == ' ' || c.is_control() => {
                    if !out.ends_with([' ', '\n']) {
                        out.push(' ');
                    }
                }
                c => out.push(c),
            }
        }
    }
    out
}

/// Nothing in the line needs a change: no control character (0xC2 begins those beyond ASCII), no run of blanks.
fn is_plain(line: &str) -> bool {
    let bytes = line.strip_suffix('\n').unwrap_or(line).as_bytes();
    !bytes.iter().any(|b| *b < 0x20 || *b == 0x7f || *b == 0xc2) && !bytes.windows(2).any(|w| w == b"  ")
}

/// A control sequence (ECMA-48, 5.4: `ESC [` to a byte from `@` to `~`) or a string (`ESC ]` to BEL or ESC).
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    match chars.clone().next() {
        Some('[') => {
            chars.next();
            let _ = chars.find(|c| ('@'..='~').contains(c));
        }
        Some(']' | 'P' | '_' | '^') => {
            let _ = chars.find(|c| matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}'));
        }
        _ => {}
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Text, VOCABULARY, readable};
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        /// Words that were asked for and that the vocabulary lacks: each costs a pass of its own.
        pub(in crate::explain) static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    #[test]
    fn control_sequences_go() {
        assert_eq!(readable("\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7} x"), "red x");
        assert_eq!(readable("a\r\n\t b\u{0}\u{1b}"), "a \nb ");
    }

    #[test]
    fn json_lines_are_unescaped_and_windows_paths_are_not() {
        assert_eq!(readable("{\"m\":\"a\\nb \\\"c\\\"\"}"), "{\"m\":\"a\nb \"c\"\"}");
        assert_eq!(readable("at C:\\node_modules\\redis"), "at C:\\node_modules\\redis");
    }

    #[test]
    fn words_are_found_with_their_places() {
        let text = Text::new(b"Error: getaddrinfo ENOTFOUND Cache");
        assert!(text.has("enotfound ") && !text.has("not there"));
        assert_eq!(text.after("enotfound ").next(), Some("Cache"));
        assert!(VOCABULARY.automaton.is_some());
    }

    #[test]
    fn every_word_can_be_found() {
        for word in VOCABULARY.numbers.keys() {
            assert!(!word.is_empty() && !word.contains("  "), "{word:?}");
            assert!(!word.bytes().any(|b| b.is_ascii_uppercase()), "{word:?} is looked for in lower case");
        }
    }
}
