//! `nopong explain [ID|TEXT|-]`: a cause's page, or what an error text from a log most likely means.

use super::args::{Asked, Shown, duration, vantage};
use super::{Fail, Verb, exit, io};
use crate::report::{Color, Format};
use crate::vantage::Vantage;
use crate::{cause, diagnosis, explain, sys, text};
use clap::Parser as _;
use serde_json::json;
use std::time::Duration;

/// The pages by cause id.
static PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Explain {
    /// A cause's id, an error text, or - for a text on stdin; without it, the list of causes
    #[arg(value_name = "ID|TEXT|-", allow_hyphen_values = true)]
    what: Vec<String>,
    /// How the answer is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Form,
    /// Go on and diagnose the address that the text names; report and exit codes as of `nopong diagnose`
    #[arg(long)]
    run: bool,
    /// With --run: where the client stands
    #[arg(long, value_name = "WHERE", requires = "run", value_parser = vantage)]
    from: Option<Vantage>,
    /// With --run: where the Redis host's own evidence is read
    #[arg(long, value_name = "WHERE", requires = "run", value_parser = vantage)]
    server: Option<Vantage>,
    /// With --run: limit of one network wait
    #[arg(long, value_name = "TIME", requires = "run", value_parser = duration)]
    timeout: Option<Duration>,
}

/// What `diagnose` asks for, with nothing given but the target.
#[derive(Debug, clap::Parser)]
struct Given {
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For a terminal
    Human,
    /// One document on stdout
    Json,
}

impl Verb for Explain {
    const NAME: &'static str = "explain";
    const ABOUT: &'static str = "A cause's page, or what an error text from a log most likely means";
    const EXITS: &'static str = exit::EXPLAIN;

    fn run(mut self) -> Result<u8, Fail> {
        self.take_options()?;
        let what = self.what.join(" ");
        let what = what.trim();
        match what {
            "" if self.run => Err(Fail::usage("--run needs an error text, or - for one on stdin")),
            "" => list(self.format),
            "-" => {
                let bytes = sys::read_stdin(explain::READ_MAX)
                    .map_err(|e| Fail::usage(format!("standard input: {}", sys::errno_name(&e))))?;
                self.meaning(&bytes)
            }
            id if cause::by_id(id).is_some() || page(id).is_some() => one(id, self.format),
            // One word of the shape of an id that no rule recognises either: probably a typing error.
            word if like_an_id(word) && explain::explain(word.as_bytes()).causes.is_empty() => {
                Err(unknown(word))
            }
            words => self.meaning(words.as_bytes()),
        }
    }
}

impl Explain {
    /// A pasted text may begin with a hyphen (`-WRONGPASS …`), so clap takes every word after the first for text:
    /// `--format` and `--run` behind it are taken out here.
    fn take_options(&mut self) -> Result<(), Fail> {
        let mut words = std::mem::take(&mut self.what).into_iter();
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--format") {
                Some("") => words.next(),
                Some(rest) if rest.starts_with('=') => Some(rest[1..].to_owned()),
                _ if word == "--run" => {
                    self.run = true;
                    continue;
                }
                _ => {
                    self.what.push(word);
                    continue;
                }
            };
            let value = value.ok_or_else(|| Fail::usage("--format needs a value: human or json"))?;
            self.format = <Form as clap::ValueEnum>::from_str(&value, true).map_err(|_| {
                Fail::usage(format!("--format {}: not human or json", text::shown_str(&value, 40)))
            })?;
        }
        Ok(())
    }

    fn meaning(self, bytes: &[u8]) -> Result<u8, Fail> {
        let told = explain::explain(bytes);
        if !self.run {
            return meaning(&told, self.format);
        }
        let Some(target) = told.target() else {
            return Err(Fail::usage(
                "the text names no address to diagnose: give it, as in `nopong redis://HOST:6379`",
            ));
        };
        io::say(&format!("from the words alone: {}; now looking at {target}", guess(&told)));
        let given = Given::try_parse_from(["nopong", &target])
            .map_err(|_| Fail::usage(format!("{} cannot be dialled", text::shown_str(&target, 200))))?;
        let asked = Asked {
            from: self.from.unwrap_or(Vantage::Local),
            server: self.server,
            timeout: self.timeout,
            ..given.asked
        };
        let file = asked.look()?.now()?;
        let format = if self.format == Form::Json { Format::Json } else { Format::Human };
        Shown { format, verbose: false, color: Color::Auto }.report(&file, &diagnosis::diagnose(&file))
    }
}

/// The first guess, in a few words.
fn guess(told: &explain::Explanation) -> String {
    match told.causes.first() {
        Some((id, p)) => format!("{id} ({:.0} %)", p * 100.0),
        None => "no cause".to_owned(),
    }
}

fn page(id: &str) -> Option<&'static str> {
    PAGES.iter().find(|(page, _)| *page == id).map(|(_, text)| *text)
}

fn like_an_id(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn unknown(word: &str) -> Fail {
    let mut near: Vec<(f64, &str)> = cause::all()
        .map(|c| (strsim::jaro_winkler(word, c.meta().id), c.meta().id))
        .filter(|(likeness, _)| *likeness > 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, id)| id).collect();
    let hint = if near.is_empty() {
        "`nopong explain` lists them".to_owned()
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    Fail::usage(format!("no cause is called {}; {hint}", text::shown_str(word, 80)))
}

fn one(id: &str, form: Form) -> Result<u8, Fail> {
    let title = cause::by_id(id).map_or(id, |c| c.meta().title);
    let text = page(id);
    if form == Form::Json {
        let document = json!({"id": id, "title": title, "page": text});
        io::emit(format!("{document:#}\n").as_bytes())?;
        return Ok(exit::PONG);
    }
    match text {
        Some(text) => io::emit(text.as_bytes())?,
        None => io::emit(format!("# {id}\n\n{title}. This build has no page about it.\n").as_bytes())?,
    }
    Ok(exit::PONG)
}

fn list(form: Form) -> Result<u8, Fail> {
    if form == Form::Json {
        let causes: Vec<_> = cause::all()
            .map(
                |c| json!({"id": c.meta().id, "category": c.meta().category.word(), "title": c.meta().title}),
            )
            .collect();
        io::emit(format!("{:#}\n", json!({"causes": causes})).as_bytes())?;
        return Ok(exit::PONG);
    }
    let mut out = String::from("Causes; `nopong explain ID` shows the page of one.\n");
    let mut category = "";
    for cause in cause::all() {
        let meta = cause.meta();
        if meta.category.word() != category {
            category = meta.category.word();
            out.push_str(&format!("\n{category}\n"));
        }
        out.push_str(&format!("  {:<28} {}\n", meta.id, meta.title));
    }
    io::emit(out.as_bytes())?;
    Ok(exit::PONG)
}

fn meaning(told: &explain::Explanation, form: Form) -> Result<u8, Fail> {
    let title =
        |id: &str| cause::by_id(id).map_or_else(|| id.replace('-', " "), |c| c.meta().title.to_owned());
    let code = if told.causes.is_empty() { exit::UNDECIDED } else { exit::PONG };
    if form == Form::Json {
        let causes: Vec<_> = told
            .causes
            .iter()
            .map(|(id, p)| json!({"id": id, "probability": (p * 1e3).floor() / 1e3, "title": title(id)}))
            .collect();
        let address = told.address.as_ref().map(|a| json!({"host": a.host, "port": a.port}));
        let next: Vec<_> =
            told.next().iter().map(|(says, command)| json!({"says": says, "command": command})).collect();
        let document = json!({"causes": causes, "client": told.client, "address": address, "next": next});
        io::emit(format!("{document:#}\n").as_bytes())?;
        return Ok(code);
    }
    let mut out = String::new();
    match (told.client, &told.address) {
        (Some(client), Some(address)) => {
            out.push_str(&format!("{client} dialled {}\n", text::shown_str(&address.to_string(), 200)));
        }
        (Some(client), None) => out.push_str(&format!("written by {client}\n")),
        (None, Some(address)) => {
            out.push_str(&format!("dialled: {}\n", text::shown_str(&address.to_string(), 200)));
        }
        (None, None) => {}
    }
    if told.causes.is_empty() {
        out.push_str("nothing in this text is known to speak for a cause\n");
    } else {
        out.push_str("most likely, from the words alone:\n");
    }
    for (id, probability) in &told.causes {
        out.push_str(&format!("  {:>3.0} %  {} ({id})\n", probability * 100.0, title(id)));
    }
    for (says, command) in told.next() {
        out.push_str(&format!("next: {says}: {command}\n"));
    }
    io::emit(out.as_bytes())?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::{PAGES, page, unknown};
    use crate::cause;

    #[test]
    fn an_unknown_id_gets_suggestions() {
        assert!(unknown("bind-loopback").says.contains("bind-loopback-only"));
    }

    #[test]
    fn every_page_is_of_a_cause() {
        for (id, text) in PAGES {
            assert!(cause::by_id(id).is_some(), "docs/causes/{id}.md is of no cause");
            assert!(text.starts_with("# "), "docs/causes/{id}.md has no heading");
        }
    }

    #[test]
    fn every_cause_has_a_page() {
        let missing: Vec<_> = cause::all().map(|c| c.meta().id).filter(|id| page(id).is_none()).collect();
        assert!(missing.is_empty(), "no docs/causes page: {missing:?}");
    }
}
