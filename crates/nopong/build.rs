//! Puts the pages of `docs/causes/` into the program, for `nopong explain`.
//!
//! The table is made from the folder, not written out: a page has no order, and a test compares the pages with the
//! catalogue of causes.
#![expect(clippy::disallowed_methods, reason = "reads the source tree at build time")]

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../docs/causes");
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut pages: Vec<_> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|e| Some(e.ok()?.path())).collect(),
        // A packaged crate has no pages; `explain` then says so.
        Err(_) => Vec::new(),
    };
    pages.retain(|p| p.extension().is_some_and(|e| e == "md"));
    pages.sort();
    let mut table = String::from("&[\n");
    for page in pages {
        let id = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = page.canonicalize()?.display().to_string();
        table.push_str(&format!("    ({id:?}, include_str!({path:?})),\n"));
    }
    table.push_str("]\n");
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("pages.rs"), table)?;
    Ok(())
}
