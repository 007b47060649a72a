//! The documented exit codes.

use crate::diagnosis::{Band, Diagnosis};

/// PONG, or fixed and verified.
pub const PONG: u8 = 0;
/// A fault, its cause named.
pub const NAMED: u8 = 1;
/// Bad usage, configuration or input.
pub const USAGE: u8 = 2;
/// A fault whose cause is not decided from here.
pub const UNDECIDED: u8 = 3;
/// A defect of ours.
pub const DEFECT: u8 = 70;

/// For `--help` and the man pages.
pub const HELP: &str = "\
Exit codes:
  0   PONG
  1   a fault, its cause named
  2   bad usage, configuration or input; a target that cannot be parsed
  3   a fault, its cause not decided from here
  70  a defect of nopong";

/// The exit code of a diagnosis.
pub fn of(diagnosis: &Diagnosis) -> u8 {
    match diagnosis.causes.first().map(|f| f.band) {
        _ if diagnosis.pong => PONG,
        _ if diagnosis.stage == crate::diagnosis::Stage::Target => USAGE,
        Some(Band::Confirmed | Band::Likely) => NAMED,
        Some(Band::Possible) | None => UNDECIDED,
    }
}
