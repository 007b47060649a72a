//! Bundles: a case file on its way to another machine or another day.
//!
//! Whoever sends one may be hostile: size and depth are bounded, and what is wrong with it is said with its place.
//! What is in it was freed of secrets when it was looked at; [`super::scrub`] has the last word before it is written.

use super::{CaseFile, SCHEMA_VERSION};
use crate::text::json_fault;

/// Largest bundle. A full one of a busy host is some 300 KiB.
pub const MAX: usize = 16 << 20;

/// Reads a bundle; what is wrong with it otherwise.
pub fn read(bytes: &[u8]) -> Result<CaseFile, String> {
    /// What tells a bundle from other JSON before the rest is read.
    #[derive(serde::Deserialize)]
    struct Header {
        schema_version: Option<u32>,
        ask: Option<serde::de::IgnoredAny>,
        outcome: Option<serde::de::IgnoredAny>,
    }
    if bytes.len() > MAX {
        return Err(format!("more than {} MiB, which no bundle is", MAX >> 20));
    }
    // serde_json itself bounds the depth to 128.
    let header: Header = serde_json::from_slice(bytes).map_err(|e| json_fault(&e))?;
    match header {
        Header { outcome: Some(_), ask: None, .. } => {
            Err("this is a report, not a bundle: `nopong collect` makes one".to_owned())
        }
        Header { schema_version: None | Some(0), .. } | Header { ask: None, .. } => {
            Err("this is not a bundle of `nopong collect`: it has no schema_version and ask".to_owned())
        }
        Header { schema_version: Some(version), .. } if version > SCHEMA_VERSION => Err(format!(
            "a bundle of version {version}; this nopong reads up to {SCHEMA_VERSION}: take a newer one"
        )),
        Header { .. } => serde_json::from_slice(bytes).map_err(|e| json_fault(&e)),
    }
}

/// Writes a bundle.
pub fn write(file: &CaseFile) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(file).map(|mut text| {
        text.push('\n');
        text
    })
}

/// For the fuzz target: reads, judges and writes in every format.
#[doc(hidden)]
pub fn fuzz_bundle(bytes: &[u8]) {
    let Ok(file) = read(bytes) else { return };
    fuzz_case(&file);
}

/// Judges a case file, writes it in every format, and reads it again.
#[doc(hidden)]
pub fn fuzz_case(file: &CaseFile) {
    use crate::report::{self, Format, Style};
    let diagnosis = crate::diagnosis::diagnose(file);
    for format in <Format as clap::ValueEnum>::value_variants() {
        let style = Style { verbose: true, ..Style::default() };
        let text = report::write(*format, style, file, &diagnosis);
        assert!(!text.contains('\x1b'), "{format:?} lets an escape through");
    }
    let again = write(file).map(|text| read(text.as_bytes()));
    assert!(matches!(again, Ok(Ok(_))), "what was read cannot be written and read again");
}

#[cfg(test)]
mod tests {
    use super::{fuzz_bundle, read, write};
    use crate::diagnosis::diagnose;
    use crate::report::{Format, Style, fixtures, write as report};

    #[test]
    fn a_bundle_gives_the_same_diagnosis() {
        for file in [fixtures::pong(), fixtures::bound_to_loopback(), fixtures::hostile()] {
            let again = read(write(&file).expect("writes").as_bytes()).expect("reads");
            assert_eq!(again, file);
            for format in [Format::Json, Format::Human, Format::Html] {
                let text = |file| report(format, Style::default(), file, &diagnose(file));
                assert_eq!(text(&again), text(&file));
            }
        }
    }

    #[test]
    fn what_is_no_bundle_is_said_with_its_place() {
        let says = |text: &str| read(text.as_bytes()).expect_err("is no bundle");
        assert!(says("").contains("line 1 column 0"));
        assert!(says("{\"schema_version\": 1,\n \"ask\": 7}").contains("line 2"));
        assert!(says("{}").contains("not a bundle"));
        assert!(says("{\"schema_version\": 1, \"outcome\": \"pong\"}").contains("report"));
        assert!(says("{\"schema_version\": 99, \"ask\": {}}").contains("version 99"));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(says(&deep).contains("line 1 column"));
        let deep = write(&fixtures::pong())
            .expect("writes")
            .replace("\"literal\": true", &format!("\"literal\": {deep}"));
        assert!(says(&deep).contains("nested"), "{}", says(&deep));
        assert!(says(&" ".repeat(super::MAX + 1)).contains("16 MiB"));
    }

    #[test]
    fn mutilated_bundles_do_not_panic() {
        let text = write(&fixtures::bound_to_loopback()).expect("writes");
        for cut in (0..text.len()).step_by(97) {
            if text.is_char_boundary(cut) {
                fuzz_bundle(&text.as_bytes()[..cut]);
            }
        }
        // Every number made huge, every text made hostile.
        fuzz_bundle(text.replace("6379", "65535").replace("812", "4294967295").as_bytes());
        fuzz_bundle(text.replace("redis", "\\u001b[2J\\u202e<b>").as_bytes());
    }
}
