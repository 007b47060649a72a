//! Wording. One file for each format; none of them decides anything.

pub mod json;

use crate::diagnosis::Diagnosis;
use crate::evidence::CaseFile;

/// The formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a terminal.
    Human,
    /// The public document.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Writes a report.
pub fn write(_format: Format, file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let report = json::Report::new(file, diagnosis);
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    text
}
