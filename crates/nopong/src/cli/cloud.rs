//! What `--cloud` was given: a cloud's name, files with saved listings, or nothing.

use super::Fail;
use crate::cloud::{Inventory, LARGEST};
use crate::evidence::cloud::Provider;
use crate::probe::cloud::Wanted;
use crate::{sys, text};
use std::ffi::OsString;

/// The word that stands for "whichever tool there is", and for `--cloud` alone.
pub(super) const AUTO: &str = "auto";

/// Reads the words. A word that can only be the target (`nopong --cloud redis://…`) is moved to it.
pub(super) fn wanted(words: &[String], target: &mut Option<OsString>) -> Result<Option<Wanted>, Fail> {
    if words.is_empty() {
        return Ok(None);
    }
    let mut wanted = Wanted::default();
    let mut named = Vec::new();
    let mut saved = Inventory::default();
    let mut auto = false;
    for word in words {
        match word.as_str() {
            AUTO => auto = true,
            "aws" => named.push(Provider::Aws),
            "gcp" | "gcloud" => named.push(Provider::Gcp),
            "azure" | "az" => named.push(Provider::Azure),
            path if target.is_none() && is_target(path) => {
                *target = Some(path.into());
                auto = true;
            }
            path => {
                let shown = text::shown_str(path, 200);
                let bytes =
                    if path == "-" { sys::read_stdin(LARGEST + 1) } else { sys::read(path, LARGEST + 1) };
                let bytes = bytes.map_err(|e| {
                    let says = format!("--cloud {shown}: {}", sys::errno_name(&e));
                    Fail::usage(format!("{says}; write aws, gcp, azure, or a file with their tool's JSON"))
                })?;
                saved.add(path, &bytes, false).map_err(|e| Fail::usage(format!("--cloud {shown}: {e}")))?;
            }
        }
    }
    named.dedup();
    if named.is_empty() && auto {
        named = vec![Provider::Aws, Provider::Gcp, Provider::Azure];
        wanted.auto = true;
    }
    (wanted.providers, wanted.saved) = (named, saved);
    Ok(Some(wanted))
}

/// Neither the name of a file that is there nor one that looks like a file's.
fn is_target(word: &str) -> bool {
    word.contains("://")
        || (word != "-" && !word.ends_with(".json") && !word.contains('/') && sys::stat(word).is_err())
}

#[cfg(test)]
mod tests {
    use super::wanted;
    use crate::evidence::cloud::Provider;

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn a_cloud_a_file_or_the_target() {
        let mut target = None;
        assert!(wanted(&[], &mut target).is_ok_and(|w| w.is_none()));
        let all = wanted(&words(&["auto"]), &mut target).unwrap().unwrap();
        assert_eq!((all.providers.len(), all.auto), (3, true));
        let one = wanted(&words(&["aws"]), &mut target).unwrap().unwrap();
        assert_eq!((one.providers.as_slice(), one.auto), (&[Provider::Aws][..], false));
        assert_eq!(target, None);
        let swallowed = wanted(&words(&["redis://10.0.0.5"]), &mut target).unwrap().unwrap();
        assert_eq!((target.as_deref(), swallowed.auto), (Some("redis://10.0.0.5".as_ref()), true));
        // With a target, a word that is no cloud is a file.
        let missing = wanted(&words(&["groups"]), &mut target).expect_err("no such file");
        assert!(missing.says.contains("--cloud groups: ENOENT"), "{}", missing.says);
        assert!(wanted(&words(&["/no/such.json"]), &mut None).is_err());
    }
}
