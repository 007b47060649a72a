//! Recognises what a text is, and hands it to its reader.

use crate::model::Ruleset;
use std::fmt;

/// The largest text taken; a set of 100,000 elements is about 10 MB of JSON.
const LARGEST: usize = 256 << 20;

/// Where a text stops making sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub label: String,
    /// Counted from 1; 0 when the whole text is meant.
    pub line: u32,
    pub column: u32,
    pub says: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.label, self.says),
            (line, 0) => write!(f, "{}: line {line}: {}", self.label, self.says),
            (line, column) => write!(f, "{}: line {line}, column {column}: {}", self.label, self.says),
        }
    }
}

impl std::error::Error for ParseError {}

/// An error within a text, before its name is added.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) says: String,
}

impl Trouble {
    pub(crate) fn at(line: u32, says: impl Into<String>) -> Self {
        Self { line, column: 0, says: says.into() }
    }
}

/// Reads a rule set of any of the known kinds.
///
/// # Errors
///
/// If the text is of no known kind or stops making sense, with the line.
pub fn parse(label: &str, text: &str) -> Result<Ruleset, ParseError> {
    let read = if text.len() > LARGEST {
        Err(Trouble::at(0, format!("larger than {} MiB", LARGEST >> 20)))
    } else {
        match text.trim_start_matches('\u{feff}').trim_start().chars().next() {
            None => {
                Err(Trouble::at(0, "empty: neither `nft -j list ruleset` nor `iptables-save` prints nothing"))
            }
            Some('{' | '[') => crate::nft::read(text),
            Some(_) if crate::ipset::looks_like(text) => crate::ipset::read(text),
            Some(_) => crate::iptables::read(text),
        }
    };
    read.map(|mut ruleset| {
        ruleset.label = label.to_owned();
        ruleset
    })
    .map_err(|t| ParseError { label: label.to_owned(), line: t.line, column: t.column, says: t.says })
}
