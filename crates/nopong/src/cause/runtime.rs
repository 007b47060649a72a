//! What the running server says of itself, by whatever door it was asked: the client's own conversation first,
//! else the side door on its host.

use crate::diagnosis::Case;
use crate::evidence::client::{DialOutcome, Talk};

/// The conversations, the client's first.
fn talks<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'static str, &'a Talk)> {
    let own = case.talk().map(|t| ("protocol", t));
    own.into_iter().chain(case.file.server.inside.get().map(|t| ("inside", t)))
}

/// A field of INFO, with the id of the fact it is from.
pub(crate) fn info<'a>(case: &Case<'a>, key: &str) -> Option<(&'static str, &'a str)> {
    talks(case).find_map(|(id, talk)| Some((id, talk.info(key)?)))
}

/// The same, when it is that word.
pub(crate) fn info_is(case: &Case<'_>, key: &str, value: &str) -> Option<&'static str> {
    info(case, key).filter(|(_, v)| *v == value).map(|(id, _)| id)
}

/// The same as a number.
pub(crate) fn number(case: &Case<'_>, key: &str) -> Option<u64> {
    info(case, key)?.1.parse().ok()
}

/// A value that is in force: by CONFIG GET, with the id of the fact.
pub(crate) fn config<'a>(case: &Case<'a>, key: &str) -> Option<(&'static str, &'a str)> {
    talks(case).find_map(|(id, talk)| Some((id, talk.config(key)?)))
}

/// A value in force, or at least in the file.
pub(crate) fn setting<'a>(case: &Case<'a>, key: &str) -> Option<(&'static str, &'a str)> {
    config(case, key).or_else(|| Some(("config", case.config()?.value(key)?)))
}

/// The errno of the dial that stands for the failure.
pub(crate) fn errno<'a>(case: &Case<'a>) -> Option<&'a str> {
    match &case.dial()?.outcome {
        DialOutcome::Errno { errno } => Some(errno),
        _ => None,
    }
}

/// Some error reply of the client's conversation has this first word.
pub(crate) fn replied<'a>(case: &Case<'a>, word: &str) -> Option<&'a str> {
    case.error_reply().filter(|r| r.word() == Some(word))?.error()
}

/// Bytes, to read.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KB", bytes / 1024),
        1_048_576..1_073_741_824 => format!("{} MB", bytes / 1_048_576),
        // Fits: an f64 keeps 53 bits.
        _ => format!("{:.1} GB", bytes as f64 / 1_073_741_824.0),
    }
}

/// The target as an argument of nopong, without its login: what a reader can run.
pub(crate) fn target(case: &Case<'_>) -> String {
    crate::text::shell(&match &case.file.ask.unix {
        Some(path) => format!("unix://{path}"),
        None => super::common::url(case, case.file.ask.port),
    })
}
