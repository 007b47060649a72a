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

/// The exit code of a diagnosis.
pub fn of(diagnosis: &Diagnosis) -> u8 {
    match diagnosis.causes.first().map(|f| f.band) {
        _ if diagnosis.pong => PONG,
        _ if diagnosis.stage == crate::diagnosis::Stage::Target => USAGE,
        Some(Band::Confirmed | Band::Likely) => NAMED,
        Some(Band::Possible) | None => UNDECIDED,
    }
}
