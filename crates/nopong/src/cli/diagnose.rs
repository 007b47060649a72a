//! `nopong [diagnose] [TARGET]`: why is there no PONG.

use super::args::{Asked, Shown};
use super::{Fail, Verb};
use crate::{diagnosis, probe};

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Diagnose {
    #[command(flatten)]
    asked: Asked,
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

    fn run(self) -> Result<u8, Fail> {
        let request = self.asked.request()?;
        let file = probe::look(&request);
        let diagnosis = diagnosis::diagnose(&file);
        self.shown.report(&file, &diagnosis)
    }
}
