//! `nopong completions SHELL` and `nopong man [VERB]`: for packagers.

use super::{Fail, VERBS, Verb, command, exit, io};

/// Arguments of `completions`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Verb for Completions {
    const NAME: &'static str = "completions";
    const ABOUT: &'static str = "Completions for a shell, on stdout";
    const EXITS: &'static str = exit::WRITES;

    fn run(self) -> Result<u8, Fail> {
        let mut out = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "nopong", &mut out);
        io::emit(&out)?;
        Ok(exit::PONG)
    }
}

/// Arguments of `man`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Man {
    /// The verb; without it, the page of the program itself
    #[arg(value_name = "VERB")]
    verb: Option<String>,
}

impl Verb for Man {
    const NAME: &'static str = "man";
    const ABOUT: &'static str = "The man page of the program or of a verb, on stdout";
    const EXITS: &'static str = exit::WRITES;

    fn run(self) -> Result<u8, Fail> {
        io::emit(&page(self.verb.as_deref())?)?;
        Ok(exit::PONG)
    }
}

fn page(verb: Option<&str>) -> Result<Vec<u8>, Fail> {
    let mut root = command();
    root.build();
    let chosen = match verb {
        None => root,
        Some(name) => {
            let verbs: Vec<&str> = VERBS.iter().map(|v| v.name).collect();
            root.find_subcommand(name).cloned().ok_or_else(|| {
                Fail::usage(format!(
                    "no verb is called {}; there are {}",
                    crate::text::shown_str(name, 40),
                    verbs.join(", ")
                ))
            })?
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(chosen)
        .render(&mut out)
        .map_err(|e| Fail { code: exit::DEFECT, says: format!("the man page cannot be made: {e}") })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{VERBS, page};

    #[test]
    fn every_verb_has_a_man_page_with_the_exit_codes() {
        for verb in VERBS {
            let text = String::from_utf8(page(Some(verb.name)).expect("a page")).expect("text");
            assert!(text.contains(&format!("nopong\\-{}", verb.name)), "{text}");
            assert!(text.contains("Exit codes"), "{}", verb.name);
        }
        assert!(page(Some("nonsense")).is_err());
    }
}
