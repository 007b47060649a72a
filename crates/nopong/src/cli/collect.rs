//! `nopong collect [TARGET]`: the evidence alone, as a bundle that `diagnose --evidence` judges anywhere.

use super::args::Asked;
use super::{Fail, Verb, exit, io};
use crate::evidence::bundle;
use crate::sys;
use std::path::PathBuf;

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Collect {
    #[command(flatten)]
    asked: Asked,
    /// The bundle's name, or - for stdout [default: nopong-HOST-TIME.json here]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Answers another nopong over standard input and output
    #[arg(long, hide = true, exclusive = true)]
    far: bool,
}

impl Verb for Collect {
    const NAME: &'static str = "collect";
    const ABOUT: &'static str = "Gather the evidence only, as a bundle without secrets";
    const EXITS: &'static str = exit::WRITES;

    fn run(self) -> Result<u8, Fail> {
        if self.far {
            crate::probe::ends::serve();
            return Ok(exit::PONG);
        }
        let mut look = self.asked.look()?;
        look.request.everything = true;
        let file = look.now()?;
        let text = bundle::write(&file)
            .map_err(|e| Fail { code: exit::DEFECT, says: format!("the bundle cannot be written: {e}") })?;
        let code = if file.ask.problem.is_some() { exit::USAGE } else { exit::PONG };
        if self.output.as_ref().is_some_and(|o| o.as_os_str() == "-") {
            io::emit(text.as_bytes())?;
            return Ok(code);
        }
        let path = self.output.unwrap_or_else(|| PathBuf::from(name(&file.ask.host, sys::unix_time())));
        sys::write_private(&path, text.as_bytes()).map_err(|e| {
            let path = crate::text::shown_str(&path.to_string_lossy(), 200);
            Fail::usage(format!("{path} cannot be written: {}", sys::errno_name(&e)))
        })?;
        io::emit(format!("{}\n", path.display()).as_bytes())?;
        if let Some(problem) = &file.ask.problem {
            io::say(&format!("{}: {}", file.ask.source, problem.says));
        }
        Ok(code)
    }
}

/// `nopong-10.0.0.5-20260102T030405Z.json`; nothing of a hostile name gets into the path.
fn name(host: &str, now: u64) -> String {
    let host: String =
        host.chars().take(60).map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let host = host.trim_matches(['.', '-']);
    let host = if host.is_empty() { "local" } else { host };
    let (days, second) = (now / 86_400, now % 86_400);
    let (year, month, day) = date(days);
    format!(
        "nopong-{host}-{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z.json",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Days since 1970 as a Gregorian date, by eras of 400 years that begin on 1 March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::{date, name};

    #[test]
    fn dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_454), (2026, 1, 1));
    }

    #[test]
    fn names_are_plain() {
        assert_eq!(name("../../etc/x", 0), "nopong-etc-x-19700101T000000Z.json");
        assert_eq!(name("::1", 86_399), "nopong-1-19700101T235959Z.json");
        assert_eq!(name("", 0), "nopong-local-19700101T000000Z.json");
    }
}
