#![no_main]
//! A configuration of any bytes: read, print, take, edit, redact. Run from the repository's root with
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run redis_conf`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| redis_conf::exercise(data));
