//! Writing commands and reading replies, bounded by deadline and size; replies made safe to keep.

use crate::evidence::client::Reply;
use crate::secret::Secret;
use crate::sys::net::Stream;
use crate::text::{shown, shown_str};
use crate::wire::{Bounds, Decoder, Value};
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

/// Most characters kept of one reply. Redis's protected-mode message has about 900.
const REPLY_MAX: usize = 1200;
/// Most bytes kept of what is not RESP.
const FIRST_MAX: usize = 256;

/// Something to talk over, with a deadline.
pub trait Conversation: Read + Write {
    /// Sets when the next reads and writes give up.
    fn until(&mut self, deadline: Instant);
}

impl Conversation for Stream {
    fn until(&mut self, deadline: Instant) {
        Self::until(self, deadline);
    }
}

/// A conversation's state.
pub struct Channel<'a> {
    io: &'a mut dyn Conversation,
    decoder: Decoder,
    first: Vec<u8>,
    ended: Option<String>,
    secret: Option<&'a Secret>,
}

impl std::fmt::Debug for Channel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl<'a> Channel<'a> {
    /// Starts a conversation; `secret` is scrubbed from everything kept.
    pub fn new(io: &'a mut dyn Conversation, secret: Option<&'a Secret>) -> Self {
        Self { io, decoder: Decoder::new(Bounds::default()), first: Vec::new(), ended: None, secret }
    }

    /// Sends bytes; failure shows at the next read, where what the peer said before is still to be had.
    pub fn send(&mut self, bytes: &[u8], deadline: Instant) {
        self.io.until(deadline);
        drop(self.io.write_all(bytes).and_then(|()| self.io.flush()));
    }

    /// The next reply, or why there is none.
    pub fn value(&mut self, deadline: Instant) -> Result<Value, String> {
        self.io.until(deadline);
        let mut buffer = [0u8; 16 << 10];
        loop {
            match self.decoder.next() {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(garbled) => return Err(self.end(format!("garbled: {garbled}"))),
            }
            if let Some(ended) = &self.ended {
                return Err(ended.clone());
            }
            let partial = if self.decoder.partial() { " in the middle of a reply" } else { "" };
            match self.io.read(&mut buffer) {
                Ok(0) => drop(self.end(format!("closed{partial}"))),
                Ok(n) => {
                    let bytes = buffer.get(..n).unwrap_or_default();
                    let room = FIRST_MAX.saturating_sub(self.first.len()).min(n);
                    self.first.extend_from_slice(bytes.get(..room).unwrap_or_default());
                    self.decoder.feed(bytes);
                }
                // Not kept as the end: a later, longer deadline may still see the reply.
                Err(e) if e.kind() == ErrorKind::TimedOut => return Err(format!("timeout{partial}")),
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    drop(self.end(format!("reset{partial}")));
                }
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    drop(self.end(format!("closed{partial}")));
                }
                Err(e) => drop(self.end(self.clean(e.to_string().as_bytes(), 200))),
            }
        }
    }

    fn end(&mut self, what: String) -> String {
        self.ended = Some(what.clone());
        what
    }

    /// The next reply as evidence.
    pub fn reply(&mut self, deadline: Instant) -> Reply {
        match self.value(deadline) {
            Ok(value) => self.keep(&value),
            Err(what) => Reply::None { what },
        }
    }

    /// A reply as evidence: without our secret, bounded, harmless.
    pub fn keep(&self, value: &Value) -> Reply {
        match value {
            Value::Nil => Reply::Nil,
            Value::Error(bytes) => {
                let text = self.clean(bytes, REPLY_MAX);
                let word = text.split(' ').next().unwrap_or_default();
                Reply::Error { word: shown_str(word, 40), text: text.clone() }
            }
            _ => Reply::Text { text: self.clean(value.render(2 * REPLY_MAX).as_bytes(), REPLY_MAX) },
        }
    }

    /// Foreign bytes without our secret, bounded, harmless.
    pub fn clean(&self, bytes: &[u8], max: usize) -> String {
        match self.secret {
            // Scrubbed before anything is escaped or cut: both could hide a secret from the scrubbing.
            Some(secret) => shown_str(&secret.scrub(&String::from_utf8_lossy(bytes)), max),
            None => shown(bytes, max),
        }
    }

    /// The first bytes that came.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// The peer has ended the conversation.
    pub fn ended(&self) -> bool {
        self.ended.is_some()
    }
}
