#![no_main]
//! Replies of a hostile server: decoded, bounded, told apart. Run from the repository's root with
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run resp`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopong::wire::fuzz_one(data));
