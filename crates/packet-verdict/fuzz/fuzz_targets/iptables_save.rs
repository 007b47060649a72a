#![no_main]
//! A listing of iptables-save or ipset save of any bytes: read, and judged for a few packets. Run from crates/packet-verdict with
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run iptables_save`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet_verdict::exercise_iptables(data));
