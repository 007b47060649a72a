//! RESP for hostile peers, and "that is TLS / HTTP / SSH": bytes to replies, bounded in size, depth and time.

pub mod resp;
mod speaks;

pub use resp::{Bounds, Decoder, Garbled, Value, command};
pub use speaks::recognise;

/// One input of a fuzzer: whatever comes, in whichever pieces, the decoder ends and never panics.
pub fn fuzz_one(bytes: &[u8]) {
    let mut whole = Decoder::new(Bounds::default());
    whole.feed(bytes);
    let mut at_once = Vec::new();
    while let Ok(Some(value)) = whole.next() {
        at_once.push(value);
    }
    // Cut anywhere, the same values must come out.
    let mut pieces = Decoder::new(Bounds::default());
    let mut one_by_one = Vec::new();
    'all: for piece in bytes.chunks(bytes.len() % 7 + 1) {
        pieces.feed(piece);
        loop {
            match pieces.next() {
                Ok(Some(value)) => one_by_one.push(value),
                Ok(None) => break,
                Err(_) => break 'all,
            }
        }
    }
    assert_eq!(at_once, one_by_one, "pieces change nothing");
    for value in &at_once {
        drop(value.render(200));
    }
    let _: crate::evidence::client::Speaks = recognise(bytes);
}
