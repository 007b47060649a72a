//! `.env` files, as dotenv, dotenv-flow, dotenv-rails, Vite, Next.js, python-dotenv and phpdotenv read them.

use super::super::expand;
use super::super::pairs::{Place, lookup};
use super::super::settings::Surroundings;
use super::stage;

/// One source of variables: key, value and place.
pub(super) type Layer = Vec<(String, String, Place)>;

/// The files in order of precedence; a second list that nobody loads in the stage that runs.
///
/// A local file comes before a shared one, the stage's own before the common one; `.env.local` is not loaded in tests.
pub(super) fn names(here: &Surroundings) -> (Vec<String>, Vec<String>) {
    let running =
        stage(here).filter(|s| s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    let mut loaded = Vec::new();
    if let Some(running) = running {
        loaded.push(format!(".env.{running}.local"));
    }
    if running != Some("test") {
        loaded.push(".env.local".to_owned());
    }
    if let Some(running) = running {
        loaded.push(format!(".env.{running}"));
    }
    loaded.push(".env".to_owned());
    let stages = ["production", "development", "staging", "test", "docker"];
    let others = stages.iter().map(|s| format!(".env.{s}")).filter(|n| !loaded.contains(n)).collect();
    (loaded, others)
}

/// Variables as an application of this directory has them: its environment, then the `.env` files.
pub(super) fn variables(here: &Surroundings) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() && !all.iter().any(|(k, _)| k == key) {
            all.push((key.to_owned(), value.to_owned()));
        }
    };
    for (key, value) in here.variables().iter().rev() {
        add(key, value);
    }
    for name in names(here).0 {
        for (key, value, _) in layer(&name, here) {
            add(&key, &value);
        }
    }
    all
}

/// The variables of one file; of equal keys the last.
pub(super) fn layer(name: &str, here: &Surroundings) -> Layer {
    here.file(name).map(|text| parsed(name, &text, here)).unwrap_or_default()
}

/// The same of a text.
pub(super) fn parsed(name: &str, text: &str, here: &Surroundings) -> Layer {
    let lines = lines(text);
    let raw: Vec<(String, String)> = lines.iter().map(|(_, k, v, _)| (k.clone(), v.clone())).collect();
    let known = |key: &str| here.env(key).or_else(|| lookup(&raw, key));
    let mut layer: Layer = Vec::new();
    for (line, key, value, literal) in lines {
        let value = if literal { value } else { expand::variables(&value, &known, &str::to_owned) };
        layer.retain(|(k, ..)| *k != key);
        layer.push((key, value, Place::at(name, line)));
    }
    layer
}

/// `KEY=value` lines: line, key, value, and whether it is literal (single quotes).
///
/// They all take a carriage return before the line end as part of it; one in the environment itself is a fault.
fn lines(text: &str) -> Vec<(usize, String, String, bool)> {
    let mut lines = Vec::new();
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate().take(5000) {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((key, value)) = line.split_once('=').filter(|(key, _)| !key.starts_with('#')) else {
            continue;
        };
        let (value, literal) = unquoted(value);
        lines.push((i + 1, key.trim().to_owned(), value, literal));
    }
    lines
}

fn unquoted(value: &str) -> (String, bool) {
    let value = value.trim();
    for quote in ['"', '\'', '`'] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|inner| inner.split_once(quote)) {
            return (inner.to_owned(), quote == '\'');
        }
    }
    // An unquoted value ends at a blank and `#`; a `#` within a word belongs to it.
    let value = value.find(" #").map_or(value, |i| &value[..i]);
    (value.trim_end().to_owned(), false)
}
