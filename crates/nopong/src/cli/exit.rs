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

/// A list of codes for `--help` and the man pages: those below 2, those above; 2 and 70 mean the same for every verb.
macro_rules! codes {
    ($($low:literal)*; $($high:literal)*) => {
        concat!(
            "Exit codes:", $("\n  ", $low,)* "\n  2   bad usage, configuration or input", $("\n  ", $high,)*
            "\n  70  a defect of nopong"
        )
    };
}

/// Of the program, and of `fix`, which may end in each of these ways.
pub const HELP: &str = codes!(
    "0   PONG, or fixed and verified"
    "1   a fault, its cause named";
    "3   a fault, its cause not decided from here"
    "4   the fix failed and was rolled back"
    "5   the roll-back is incomplete; the receipt's path is printed"
    "6   the fix was declined"
);
/// Of the verbs that diagnose.
pub const DIAGNOSING: &str = codes!(
    "0   PONG"
    "1   a fault, its cause named";
    "3   a fault, its cause not decided from here"
);
/// Of `undo`.
pub const UNDO: &str = codes!(
    "0   all is as before";
    "5   not all could be put back; the receipt's path is printed"
);
/// Of `explain`.
pub const EXPLAIN: &str = codes!(
    "0   the page, or the causes that the text speaks of";
    "3   nothing in the text is known"
);
/// Of `collect`, and of the verbs for packagers.
pub const WRITES: &str = codes!(
    "0   written";
);
/// Of `verdict`.
pub const VERDICT: &str = codes!(
    "0   accept"
    "1   drop or reject";
    "3   undecided"
);
/// Of `config`.
pub const CONFIG: &str = codes!(
    "0   valid"
    "1   redis-server would refuse it";
);
/// Of `dials`.
pub const DIALS: &str = codes!(
    "0   looked, and nothing is wrong"
    "1   a dialler that fails, or dials something else than its settings say";
);
/// Of `listen`.
pub const LISTEN: &str = codes!(
    "0   a client came"
    "1   nobody came";
);

/// The exit code of a diagnosis.
pub fn of(diagnosis: &Diagnosis) -> u8 {
    match diagnosis.causes.first().map(|f| f.band) {
        _ if diagnosis.pong => PONG,
        _ if diagnosis.stage == crate::diagnosis::Stage::Target => USAGE,
        Some(Band::Confirmed | Band::Likely) => NAMED,
        Some(Band::Possible) | None => UNDECIDED,
    }
}
