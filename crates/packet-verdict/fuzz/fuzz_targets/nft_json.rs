#![no_main]
//! A listing of `nft -j list ruleset` of any bytes: read, and judged for a few packets. Run from crates/packet-verdict with
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run nft_json`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet_verdict::exercise_nft(data));
