//! The command line. One file for each verb; a new one is its file, its `mod` line and its line in `VERBS`.
//!
//! Nothing here looks or judges: arguments become a [`crate::probe::Request`], a diagnosis becomes an exit code.

mod args;
mod cloud;
mod collect;
mod config;
mod diagnose;
mod dials;
pub mod exit;
mod explain;
mod fix;
mod io;
mod kube;
mod listen;
mod packaging;
mod undo;
mod verdict;
mod wait;

use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::process::ExitCode;

/// A verb: its arguments, and what it does with them.
trait Verb: clap::Args {
    /// As typed.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// Its exit codes, for `--help`.
    const EXITS: &'static str = exit::HELP;
    /// Does it; the exit code, or why the arguments are of no use.
    fn run(self) -> Result<u8, Fail>;
}

/// A verb as the table has it.
struct Entry {
    name: &'static str,
    about: &'static str,
    exits: &'static str,
    arguments: fn(Command) -> Command,
    run: fn(&ArgMatches) -> Result<u8, Fail>,
}

const fn entry<V: Verb>() -> Entry {
    Entry { name: V::NAME, about: V::ABOUT, exits: V::EXITS, arguments: V::augment_args, run: run::<V> }
}

fn run<V: Verb>(matches: &ArgMatches) -> Result<u8, Fail> {
    V::from_arg_matches(matches).map_err(|e| Fail::usage(e.to_string()))?.run()
}

/// The verbs in the order of `--help`. The first is the default one.
const VERBS: &[Entry] = &[
    entry::<diagnose::Diagnose>(),
    entry::<fix::Fix>(),
    entry::<undo::Undo>(),
    entry::<wait::Wait>(),
    entry::<explain::Explain>(),
    entry::<collect::Collect>(),
    entry::<verdict::Verdict>(),
    entry::<config::Config>(),
    entry::<dials::Dials>(),
    entry::<listen::Listen>(),
    entry::<packaging::Completions>(),
    entry::<packaging::Man>(),
];

/// Words of the contract that no version up to this one has built. Without this list `nopong fix` would look for
/// a host of that name.
const RESERVED: &[&str] = &[
    "fix",
    "undo",
    "wait",
    "explain",
    "collect",
    "verdict",
    "config",
    "dials",
    "listen",
    "audit",
    "watch",
    "sentinel",
    "monitoring",
    "mcp",
    "completions",
    "man",
];

/// Why a verb did not do anything.
#[derive(Debug)]
pub(crate) struct Fail {
    /// The exit code.
    pub(crate) code: u8,
    /// A fragment naming the thing and saying what to do.
    pub(crate) says: String,
}

impl Fail {
    /// Bad usage, configuration or input.
    pub(crate) fn usage(says: impl Into<String>) -> Self {
        Self { code: exit::USAGE, says: says.into() }
    }
}

/// The whole command line, also for man pages and completions.
fn command() -> Command {
    let about = "Why is there no PONG from Redis: names the cause, with the proof";
    let root = Command::new("nopong")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .after_help(exit::HELP)
        .args_conflicts_with_subcommands(true)
        .subcommand_help_heading("Verbs")
        .disable_help_subcommand(true);
    let root = diagnose::Diagnose::augment(root).about(about);
    VERBS.iter().fold(root, |root, verb| {
        root.subcommand((verb.arguments)(Command::new(verb.name)).about(verb.about).after_help(verb.exits))
    })
}

/// Runs the program.
pub fn main() -> ExitCode {
    io::quiet_panics();
    let code = std::panic::catch_unwind(|| dispatch(std::env::args_os().collect()));
    ExitCode::from(code.unwrap_or(exit::DEFECT))
}

fn dispatch(argv: Vec<OsString>) -> u8 {
    let nagios = wants_nagios(&argv);
    let result = match command().try_get_matches_from(argv) {
        Ok(matches) => match matches.subcommand() {
            Some((name, inner)) => match VERBS.iter().find(|v| v.name == name) {
                Some(verb) => (verb.run)(inner),
                None => Err(Fail { code: exit::DEFECT, says: format!("the verb {name} has no code") }),
            },
            None => reserved(&matches).map_or_else(|| run::<diagnose::Diagnose>(&matches), Err),
        },
        Err(e) => usage(&e),
    };
    result.unwrap_or_else(|fail| {
        io::say(&fail.says);
        if nagios && fail.code == exit::USAGE {
            // Monitoring systems read stdout, and 2 would be CRITICAL to them.
            let says = crate::text::shown_str(&fail.says, 500).replace('|', "/");
            drop(io::emit(format!("REDIS UNKNOWN - {says}\n").as_bytes()));
            return crate::report::nagios::UNKNOWN;
        }
        fail.code
    })
}

/// `--format nagios`, as it stands in the arguments whether they parse or not.
fn wants_nagios(argv: &[OsString]) -> bool {
    argv.iter().any(|a| a == "--format=nagios")
        || argv.windows(2).any(|w| w[0] == "--format" && w[1] == "nagios")
}

/// A word the contract reserves for a verb, where a target would stand.
fn reserved(matches: &ArgMatches) -> Option<Fail> {
    let word = matches.get_one::<OsString>("target")?.to_str()?;
    RESERVED.contains(&word).then(|| {
        Fail::usage(format!(
            "the verb `{word}` is not built in this version; if it is a host's name, say: nopong diagnose {word}"
        ))
    })
}

/// `--help` and `--version` go to stdout; everything else clap has to say is bad usage.
fn usage(error: &clap::Error) -> Result<u8, Fail> {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            io::emit(format!("{text}{end}").as_bytes()).map(|()| exit::PONG)
        }
        _ => Err(Fail::usage(text.trim_start_matches("error: ").trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use super::{RESERVED, VERBS, command};

    #[test]
    fn clap_finds_no_contradiction() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_is_a_word_of_the_contract() {
        for verb in VERBS {
            assert!(verb.name == "diagnose" || RESERVED.contains(&verb.name), "{}", verb.name);
        }
    }
}
