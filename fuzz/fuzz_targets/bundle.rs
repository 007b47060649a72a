#![no_main]
//! A bundle of any bytes: read, judged and reported in every format. Run from the repository's root with
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run bundle`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopong::evidence::fuzz_bundle(data));
