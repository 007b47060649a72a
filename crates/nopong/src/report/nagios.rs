//! One line with performance data, and Nagios's own exit codes.
//!
//! Monitoring systems read the exit code, so this format uses theirs (Monitoring Plugins guidelines): 0 OK,
//! 1 WARNING, 2 CRITICAL, 3 UNKNOWN. A fault is CRITICAL, whether its cause is decided or not; a target that cannot be
//! parsed is UNKNOWN. A PONG with a warning about other hosts (bind, firewall, access) is OK: a Redis for local clients
//! only is often wanted, and an alarm that never ends is no alarm. Other warnings are WARNING.

use super::words;
use crate::cause::Category;
use crate::diagnosis::{Diagnosis, Finding, Stage};
use crate::evidence::CaseFile;

/// Nagios's code for "could not check".
pub const UNKNOWN: u8 = 3;

/// OK, WARNING, CRITICAL, UNKNOWN.
pub fn code(diagnosis: &Diagnosis) -> u8 {
    if diagnosis.stage == Stage::Target {
        UNKNOWN
    } else if !diagnosis.pong {
        2
    } else {
        u8::from(diagnosis.warnings.iter().any(alarming))
    }
}

fn alarming(warning: &Finding) -> bool {
    !matches!(warning.cause.meta().category, Category::Bind | Category::Firewall | Category::Access)
}

/// Writes the line.
pub fn write(file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let word = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::from(code(diagnosis)).min(3)];
    let mut text = words::headline(file, diagnosis);
    if let Some(first) = diagnosis.causes.first() {
        text.push_str(&format!(" ({}, {})", words::id(first), first.band.word()));
    }
    for warning in &diagnosis.warnings {
        text.push_str(&format!("; {} ({})", warning.title, words::id(warning)));
    }
    // A bar begins the performance data.
    let text = crate::text::shown_str(&text, 1000).replace('|', "/");
    let mut data = String::new();
    let mut figure = |label: &str, ms: Option<f64>| {
        if let Some(ms) = ms {
            data.push_str(&format!(" {label}={:.6}s;;;0", ms / 1e3));
        }
    };
    let connect = file.client.connect.get().and_then(|d| d.first()).map(|d| d.took_ms);
    let talks = file.client.protocol.get();
    figure("ping", talks.and_then(|t| t.iter().find_map(|t| t.ping_ms)));
    figure("connect", connect);
    figure("resolve", file.client.name.get().filter(|n| !n.literal).map(|n| n.took_ms));
    figure("took", Some(file.took_ms));
    format!("REDIS {word} - {text} |{data}\n")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::{code, write};
    use crate::diagnosis::diagnose;

    #[test]
    fn one_line_whatever_the_server_says() {
        for file in [fixtures::pong(), fixtures::bound_to_loopback(), fixtures::hostile()] {
            let line = write(&file, &diagnose(&file));
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(line.matches('|').count(), 1, "{line}");
        }
    }

    #[test]
    fn codes() {
        let of = |file| code(&diagnose(&file));
        assert_eq!(of(fixtures::pong()), 0);
        assert_eq!(of(fixtures::bound_to_loopback()), 2);
        assert_eq!(of(fixtures::refused_from_afar()), 2);
        assert_eq!(of(fixtures::malformed("redis://h:x")), 3);
        let file = fixtures::pong();
        assert_eq!(
            write(&file, &diagnose(&file)),
            "REDIS OK - redis://10.0.0.5:6379 answers PONG, 0.2 ms | ping=0.000210s;;;0 connect=0.000310s;;;0 took=0.012345s;;;0\n"
        );
    }
}
