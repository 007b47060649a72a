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
/// The fix failed and was rolled back.
pub const ROLLED_BACK: u8 = 4;
/// The roll-back is incomplete; the receipt's path was printed.
pub const INCOMPLETE: u8 = 5;
/// The fix was declined.
pub const DECLINED: u8 = 6;
/// A defect of ours.
pub const DEFECT: u8 = 70;

/// For `--help` and the man pages.
pub const HELP: &str = "\
Exit codes:
  0   PONG, or fixed and verified
  1   a fault, its cause named
  2   bad usage, configuration or input; a target that cannot be parsed
  3   a fault, its cause not decided from here
  4   the fix failed and was rolled back
  5   the roll-back is incomplete; the receipt's path is printed
  6   the fix was declined
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
