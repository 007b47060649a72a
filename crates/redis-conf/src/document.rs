//! A configuration file as lines, without losing a byte, and the smallest change to it.
//!
//! Knows one file only: includes and the command line may override what is set here. Load the changed text again to see
//! whether the change has the effect wanted.

use crate::sds::{self, Word};
use crate::table::{Directive, ROWS};

/// A file's bytes and where its lines begin.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Each with its line end, if it has one.
    lines: Vec<Vec<u8>>,
}

/// What was done to one line; numbers count from 1 in the text after the change.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    pub line: usize,
    /// `None`: the line was inserted.
    pub before: Option<Vec<u8>>,
    /// `None`: the line was removed.
    pub after: Option<Vec<u8>>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} lines)", self.lines.len())
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |line: &Option<Vec<u8>>| line.as_deref().map(crate::redact_line);
        write!(f, "Change({}: {:?} -> {:?})", self.line, show(&self.before), show(&self.after))
    }
}

impl Document {
    pub fn parse(bytes: &[u8]) -> Self {
        Self { lines: bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect() }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.lines.concat()
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A line with its end; counts from 1.
    pub fn line(&self, number: usize) -> Option<&[u8]> {
        self.lines.get(number.checked_sub(1)?).map(Vec::as_slice)
    }

    /// The lines in force for a directive, under any of its names.
    pub fn find(&self, name: &str) -> Vec<usize> {
        let names = names_of(name);
        let is = |line: &[u8]| active(line).is_some_and(|words| is_one_of(&words[0].value, &names));
        self.lines.iter().zip(1..).filter(|(line, _)| is(line)).map(|(_, number)| number).collect()
    }

    /// Makes `name args…` the setting: in the last line that sets it, else below its commented-out default, else at
    /// the end. `None` where the file says so already.
    pub fn set(&mut self, name: &str, args: &[&[u8]]) -> Option<Change> {
        if let Some(number) = self.find(name).last() {
            return self.set_line(*number, args);
        }
        let mut text = name.as_bytes().to_vec();
        for arg in args {
            text.push(b' ');
            text.extend(sds::quote(arg));
        }
        let names = names_of(name);
        let default = self.lines.iter().rposition(|line| is_commented(line, &names));
        Some(self.insert(default.map_or(self.lines.len() + 1, |index| index + 2), &text))
    }

    /// Gives a line other words; its indentation, its name, its line end and, if one word takes the place of one, its
    /// kind of quotes stay. `None` where nothing is to be changed or the line sets nothing.
    pub fn set_line(&mut self, number: usize, args: &[&[u8]]) -> Option<Change> {
        let before = self.line(number)?.to_vec();
        let words = active(&before)?;
        if words[1..].iter().map(|w| w.value.as_slice()).eq(args.iter().copied()) {
            return None;
        }
        let start = words.get(1).map_or(words[0].span.1, |w| w.span.0);
        let end = words.last().map_or(start, |w| w.span.1);
        let mut after = before[..start].to_vec();
        let old = words.get(1).filter(|_| words.len() == 2 && args.len() == 1);
        for (index, arg) in args.iter().enumerate() {
            if index > 0 || words.len() == 1 {
                after.push(b' ');
            }
            after.extend(quote_like(arg, old.map(|w| &before[w.span.0..w.span.1])));
        }
        after.extend_from_slice(&before[end..]);
        self.lines[number - 1].clone_from(&after);
        Some(Change { line: number, before: Some(before), after: Some(after) })
    }

    /// Removes every line that sets a directive.
    pub fn remove(&mut self, name: &str) -> Vec<Change> {
        let lines = self.find(name);
        lines.into_iter().rev().filter_map(|number| self.remove_line(number)).collect()
    }

    pub fn remove_line(&mut self, number: usize) -> Option<Change> {
        let index = number.checked_sub(1).filter(|i| *i < self.lines.len())?;
        let before = self.lines.remove(index);
        Some(Change { line: number, before: Some(before), after: None })
    }

    /// Puts a line in place `number` (at the end, if the file is shorter), with the line end of its neighbour.
    pub fn insert(&mut self, number: usize, text: &[u8]) -> Change {
        let index = number.saturating_sub(1).min(self.lines.len());
        let neighbour = index.checked_sub(1).or(Some(0)).and_then(|i| self.lines.get(i));
        let crlf = neighbour.is_some_and(|line| line.ends_with(b"\r\n"));
        let end: &[u8] = if crlf { b"\r\n" } else { b"\n" };
        // A last line without an end gets one, or both would be one line.
        if index > 0 && !self.lines[index - 1].ends_with(b"\n") {
            self.lines[index - 1].extend_from_slice(end);
        }
        let line = [text, end].concat();
        self.lines.insert(index, line.clone());
        Change { line: index + 1, before: None, after: Some(line) }
    }
}

/// The words of a line that the server would take, with their places in it. A NUL makes the server read another line
/// than the eye sees; such a line is left alone.
fn active(line: &[u8]) -> Option<Vec<Word>> {
    let trimmed = sds::trim(line);
    if trimmed.is_empty() || trimmed[0] == b'#' || line.contains(&0) {
        return None;
    }
    let offset = line.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))?;
    let mut words = sds::split(trimmed)?;
    for word in &mut words {
        word.span = (word.span.0 + offset, word.span.1 + offset);
    }
    (!words.is_empty()).then_some(words)
}

fn names_of(name: &str) -> Vec<String> {
    let mut names = vec![name.to_ascii_lowercase()];
    let is = |row: &&Directive| row.name == names[0] || row.alias == Some(names[0].as_str());
    let more: Vec<String> = ROWS
        .iter()
        .filter(is)
        .flat_map(|row| [Some(row.name), row.alias])
        .flatten()
        .map(str::to_owned)
        .collect();
    names.extend(more);
    names
}

fn is_one_of(word: &[u8], names: &[String]) -> bool {
    names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word))
}

/// `# port 6379`, as the stock files show a default: one `#`, the name, something behind it.
fn is_commented(line: &[u8], names: &[String]) -> bool {
    let Some(rest) = sds::trim(line).strip_prefix(b"#") else { return false };
    let rest = sds::trim(rest);
    let name = rest.split(|b| sds::is_space(*b)).next().unwrap_or_default();
    // In prose the name is followed by a sentence; a default has few words behind it.
    is_one_of(name, names) && sds::split_args(rest).is_some_and(|words| (2..=6).contains(&words.len()))
}

fn quote_like(arg: &[u8], old: Option<&[u8]>) -> Vec<u8> {
    match old.and_then(|o| o.first()) {
        Some(b'\'') if arg.iter().all(|b| *b != b'\'' && *b != b'\\' && (b' '..=b'~').contains(b)) => {
            [b"'", arg, b"'"].concat()
        }
        Some(b'"') => sds::repr(arg),
        _ => sds::quote(arg),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edit: impl FnOnce(&mut Document)) -> String {
        let mut document = Document::parse(text.as_bytes());
        edit(&mut document);
        String::from_utf8(document.to_bytes()).expect("text")
    }

    #[test]
    fn only_the_value_changes() {
        let text = "a\n  bind\t127.0.0.1 ::1  \r\nport 1\nBIND \"10.0.0.1\"\t\r\n";
        let set = |d: &mut Document| drop(d.set("bind", &[b"0.0.0.0"]));
        assert_eq!(edited(text, set), text.replace("10.0.0.1", "0.0.0.0"));
        let two = |d: &mut Document| drop(d.set_line(2, &[b"*", b"-::*"]));
        assert_eq!(edited(text, two), text.replace("127.0.0.1 ::1", "* -::*"));
    }

    #[test]
    fn quotes_stay_where_they_can() {
        assert_eq!(edited("dir '/a b'\n", |d| drop(d.set("dir", &[b"/c d"]))), "dir '/c d'\n");
        assert_eq!(edited("dir '/a b'\n", |d| drop(d.set("dir", &[b"/it's"]))), "dir \"/it's\"\n");
        assert_eq!(edited("save 900 1\n", |d| drop(d.set("save", &[b""]))), "save \"\"\n");
    }

    #[test]
    fn a_new_line_goes_below_the_commented_default_or_to_the_end() {
        let text = "# maxmemory is a limit that one sets with care, see below\n# maxmemory <bytes>\r\nport 1";
        let set = |d: &mut Document| drop(d.set("maxmemory", &[b"1gb"]));
        assert_eq!(edited(text, set), text.replace("<bytes>\r\n", "<bytes>\r\nmaxmemory 1gb\r\n"));
        assert_eq!(edited("port 1", |d| drop(d.set("timeout", &[b"5"]))), "port 1\ntimeout 5\n");
        assert_eq!(edited("", |d| drop(d.set("timeout", &[b"5"]))), "timeout 5\n");
    }

    #[test]
    fn an_alias_is_the_same_directive() {
        let set = |d: &mut Document| drop(d.set("replicaof", &[b"h", b"1"]));
        assert_eq!(edited("slaveof no one\n", set), "slaveof h 1\n");
        assert_eq!(edited("slaveof a 1\nreplicaof b 2\nx\n", |d| drop(d.remove("replicaof"))), "x\n");
    }

    #[test]
    fn what_is_already_so_is_left() {
        let mut document = Document::parse(b"port  6379\n");
        assert_eq!(document.set("port", &[b"6379"]), None);
        assert_eq!(document.set_line(9, &[b"x"]), None);
    }
}
