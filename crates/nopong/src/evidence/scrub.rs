//! The last line of defence: known secrets taken out of a finished case file.
//!
//! Probes do not record what was sent. But a server may echo it, a log may quote it, and a command line may hold the
//! same word.

use super::CaseFile;
use crate::secret::Secret;
use serde_json::Value;

/// A shorter secret would shred sentences and hide nothing: `db`, `1234`.
const SHORTEST: usize = 5;

/// Replaces the secrets in every text of the file.
pub fn scrub(file: CaseFile, secrets: &[Secret]) -> CaseFile {
    let secrets: Vec<&Secret> = secrets.iter().filter(|s| s.reveal().len() >= SHORTEST).collect();
    if secrets.is_empty() {
        return file;
    }
    let Ok(mut value) = serde_json::to_value(&file) else { return file };
    if !clean(&mut value, &secrets) {
        return file;
    }
    // A secret that is also a word of the format (`connected`) makes the file unreadable; such a word says nothing.
    serde_json::from_value(value).unwrap_or(file)
}

/// Cleans in place; whether there was anything to clean.
fn clean(value: &mut Value, secrets: &[&Secret]) -> bool {
    match value {
        Value::String(text) => {
            let mut found = false;
            for secret in secrets.iter().filter(|s| text.contains(s.reveal())).collect::<Vec<_>>() {
                *text = secret.scrub(text);
                found = true;
            }
            found
        }
        Value::Array(items) => items.iter_mut().filter_map(|v| clean(v, secrets).then_some(())).count() > 0,
        Value::Object(map) => map.values_mut().filter_map(|v| clean(v, secrets).then_some(())).count() > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::scrub;
    use crate::evidence::bundle;
    use crate::report::fixtures;
    use crate::secret::Secret;

    #[test]
    fn an_echoed_secret_is_gone() {
        let file = scrub(fixtures::hostile(), &[Secret::new("alert(1)")]);
        let text = bundle::write(&file).expect("writes");
        assert!(!text.contains("alert(1)") && text.contains("***"), "{text}");
    }

    #[test]
    fn a_word_of_the_format_breaks_nothing() {
        let file = fixtures::pong();
        assert_eq!(scrub(file.clone(), &[Secret::new("connected"), Secret::new("yes")]), file);
    }
}
