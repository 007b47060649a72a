//! No JSON panics, and whatever is read can be judged, written and read again.

use crate::kube::{MAX, fuzz_objects};

/// A recorded list with everything in it.
const RECORDED: &str = include_str!("../../../tests/kube/ingress-and-trap.json");

/// xorshift64: the same inputs on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// Values that a field of another kind may have.
const ODD: &[&str] = &[
    "null",
    "true",
    "-1",
    "1e99",
    "18446744073709551615",
    "\"\"",
    "\"\\u001b[2J\\u202e\"",
    "[]",
    "{}",
    "[[{}]]",
    "\"tcp://10.0.0.1:6379\"",
    "{\"matchLabels\":{\"a\":7}}",
    "[null]",
    "65536",
    "\"10.0.0.0/0\"",
];

/// Another value in place of the one that begins at `at`.
fn replace(text: &str, at: usize, with: &str) -> String {
    let bytes = text.as_bytes();
    let (mut depth, mut quoted, mut end) = (0i32, false, at);
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' if quoted => end += 1,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted && depth == 0 => break,
            b'}' | b']' if !quoted => depth -= 1,
            b',' if !quoted && depth == 0 => break,
            _ => {}
        }
        end += 1;
    }
    format!("{}{with}{}", &text[..at], &text[end..])
}

#[test]
fn no_value_in_any_place_panics() {
    let compact = serde_json::from_str::<serde_json::Value>(RECORDED).unwrap().to_string();
    assert!(compact.is_ascii());
    let places: Vec<usize> = compact.match_indices("\":").map(|(at, _)| at + 2).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        let at = places[random.next(places.len())];
        fuzz_objects(replace(&compact, at, ODD[random.next(ODD.len())]).as_bytes());
    }
}

#[test]
fn no_cut_panics() {
    for cut in (0..RECORDED.len()).step_by(RECORDED.len() / 150) {
        fuzz_objects(&RECORDED.as_bytes()[..cut]);
    }
    fuzz_objects(&vec![b' '; MAX + 1]);
}
