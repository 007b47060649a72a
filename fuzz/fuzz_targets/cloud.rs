//! Any bytes as a cloud's listing: taken in or refused, judged, worded; never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nopong::cloud::fuzz_cloud(bytes));
