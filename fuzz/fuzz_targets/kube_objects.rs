#![no_main]
//! Objects of Kubernetes of any bytes: read, judged and reported in every format. Run from the repository's root with
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run kube_objects`; `crates/nopong/tests/kube/` is a corpus to begin with.

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopong::kube::fuzz_objects(data));
