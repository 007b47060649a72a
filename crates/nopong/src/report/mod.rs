//! Wording. One file for each format; none of them decides anything.
//!
//! A report is a pure function of the case file, its diagnosis and the [`Style`]: no clock, no terminal, no
//! environment. Texts that came from a server, a file or the kernel pass [`crate::text::shown`] on their way.

pub mod html;
pub mod human;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod nagios;
mod style;
mod words;

pub use style::Style;

use crate::diagnosis::Diagnosis;
use crate::evidence::CaseFile;

/// The formats of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a terminal
    Human,
    /// The public document, one on stdout
    Json,
    /// For an issue or a chat
    Markdown,
    /// One self-contained page with a drawing of the path
    Html,
    /// For CI: one test case for each stage
    Junit,
    /// One line with performance data, and Nagios's own exit codes
    Nagios,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Writes a report, with its final line end.
pub fn write(format: Format, style: Style, file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let mut text = match format {
        Format::Human => human::write(style, file, diagnosis),
        Format::Json => json::write(file, diagnosis),
        Format::Markdown => markdown::write(style, file, diagnosis),
        Format::Html => html::write(file, diagnosis),
        Format::Junit => junit::write(file, diagnosis),
        Format::Nagios => nagios::write(file, diagnosis),
    };
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod fixtures;
