//! `nopong [diagnose] [TARGET]`: why is there no PONG.

use super::args::{Asked, Shown, duration};
use super::{Fail, Verb, exit};
use crate::evidence::{CaseFile, bundle};
use crate::{diagnosis, sys, text};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Diagnose {
    #[command(flatten)]
    asked: Asked,
    /// Judge a bundle of `nopong collect` instead of looking; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "server", "client", "askpass", "cloud"])]
    evidence: Option<PathBuf>,
    /// Hold connections without a word for up to so long, and see which of them die
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "evidence")]
    idle: Option<Duration>,
    #[command(flatten)]
    shown: Shown,
}

impl Diagnose {
    /// The same arguments for the program itself, whose default verb this is.
    pub(super) fn augment(command: clap::Command) -> clap::Command {
        <Self as clap::Args>::augment_args(command)
    }
}

impl Verb for Diagnose {
    const NAME: &'static str = "diagnose";
    const ABOUT: &'static str = "Why is there no PONG, with the proof (the default)";
    const EXITS: &'static str = exit::DIAGNOSING;

    fn run(self) -> Result<u8, Fail> {
        let file = match &self.evidence {
            Some(path) => {
                let mut file = saved(path)?;
                let objects = self.asked.kube.objects(&self.asked.from, None)?;
                crate::probe::client::kubernetes::beside(&mut file, &objects);
                file
            }
            None => {
                let mut look = self.asked.look()?;
                if self.idle.is_some() && look.request.client_far.is_some() {
                    return Err(Fail::usage("--idle does not reach through --from ssh: run nopong there"));
                }
                look.request.idle = self.idle;
                look.now()?
            }
        };
        self.shown.report(&file, &diagnosis::diagnose(&file))
    }
}

/// A bundle, from a file or stdin.
fn saved(path: &Path) -> Result<CaseFile, Fail> {
    let (name, bytes) = if path.as_os_str() == "-" {
        ("standard input".to_owned(), sys::read_stdin(bundle::MAX + 1))
    } else {
        (text::shown_str(&path.to_string_lossy(), 200), sys::read(path, bundle::MAX + 1))
    };
    let bytes = bytes.map_err(|e| Fail::usage(format!("{name} cannot be read: {}", sys::errno_name(&e))))?;
    bundle::read(&bytes).map_err(|e| Fail::usage(format!("{name}: {e}")))
}
