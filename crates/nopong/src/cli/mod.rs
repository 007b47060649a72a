//! The command line. One file for each verb.
#![expect(clippy::print_stdout, reason = "the report goes to stdout")]

pub mod exit;

use crate::{diagnosis, probe, report, target::Target};
use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    let host = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1".to_owned());
    let target = Target { host, port: 6379, source: "argument".to_owned(), ..Target::default() };
    let file = probe::look(&probe::Request { target, ..Default::default() });
    let diagnosis = diagnosis::diagnose(&file);
    let report = report::json::Report::new(&file, &diagnosis);
    println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    ExitCode::from(exit::of(&diagnosis))
}
