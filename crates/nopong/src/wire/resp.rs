//! RESP2 and RESP3, incremental and bounded. Decides nothing about what a reply means.

use crate::text::shown;
use std::fmt;

/// Bounds on what a peer may make us keep.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest line, type byte and CRLF included. Redis's own inline limit (server.h, PROTO_INLINE_MAX_SIZE).
    pub line: usize,
    /// Largest bulk string.
    pub bulk: usize,
    /// Deepest nesting; CLUSTER SLOTS needs five.
    pub depth: usize,
    /// Most elements of all aggregates of one reply together.
    pub elements: usize,
    /// Most bytes of a whole conversation.
    pub total: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { line: 64 << 10, bulk: 1 << 20, depth: 12, elements: 64 << 10, total: 4 << 20 }
    }
}

/// What makes bytes not RESP, or more than we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Garbled {
    /// No reply starts with this byte.
    Type(u8),
    /// A length or number that is none.
    Number,
    /// A bulk string without its CRLF.
    End,
    /// Longer than the bound of that name.
    TooMuch(&'static str),
}

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(byte) => write!(f, "no reply starts with '{}'", shown(&[*byte], 1)),
            Self::Number => f.write_str("a length that is no number"),
            Self::End => f.write_str("a string without its end"),
            Self::TooMuch(what) => write!(f, "{what} beyond any bound"),
        }
    }
}

/// One reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Simple, bulk, verbatim string, number, double or boolean, as its bytes.
    Text(Vec<u8>),
    /// An error line.
    Error(Vec<u8>),
    /// Null of any kind.
    Nil,
    /// Array, set or push.
    Array(Vec<Self>),
    /// Map, flattened to keys and values in turn.
    Map(Vec<Self>),
}

impl Value {
    /// Text of a text reply.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// Elements of an array, or keys and values in turn of a map.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Map(items) => Some(items),
            _ => None,
        }
    }

    /// Keys and values, of a map or of RESP2's flat array.
    pub fn pairs(&self) -> impl Iterator<Item = (String, &Self)> {
        let items = self.items().unwrap_or_default();
        items.chunks_exact(2).filter_map(|pair| Some((pair.first()?.text()?, pair.get(1)?)))
    }

    /// One line for a reader, at most about `max` characters.
    pub fn render(&self, max: usize) -> String {
        let mut out = String::new();
        self.render_into(&mut out, max);
        out
    }

    fn render_into(&self, out: &mut String, max: usize) {
        match self {
            Self::Text(bytes) | Self::Error(bytes) => {
                out.push_str(&String::from_utf8_lossy(bytes.get(..max.min(bytes.len())).unwrap_or_default()));
            }
            Self::Nil => out.push_str("nil"),
            Self::Array(items) | Self::Map(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if out.len() >= max {
                        out.push('…');
                        break;
                    }
                    if i > 0 {
                        out.push(' ');
                    }
                    item.render_into(out, max.saturating_sub(out.len()));
                }
                out.push(']');
            }
        }
    }
}

struct Frame {
    left: usize,
    map: bool,
    /// RESP3 attributes precede a reply and are thrown away.
    attribute: bool,
    items: Vec<Value>,
}

/// Bytes in, replies out.
pub struct Decoder {
    bounds: Bounds,
    bytes: Vec<u8>,
    /// Start of the element that is not yet complete.
    at: usize,
    /// Up to here no line end was found: a drip must not make us search from the start each time.
    searched: usize,
    total: usize,
    elements: usize,
    stack: Vec<Frame>,
    broken: Option<Garbled>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: they may hold what nobody should read.
        f.debug_struct("Decoder").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder with its bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bytes: Vec::new(),
            at: 0,
            searched: 0,
            total: 0,
            elements: 0,
            stack: Vec::new(),
            broken: None,
        }
    }

    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len());
        if self.total > self.bounds.total {
            self.broken.get_or_insert(Garbled::TooMuch("replies"));
            return;
        }
        // Consumed bytes go when they are the larger part, so that moving them costs a constant per byte.
        if self.at > self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.searched = self.searched.saturating_sub(self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Something was read of a reply that is not complete.
    pub fn partial(&self) -> bool {
        self.at < self.bytes.len() || !self.stack.is_empty()
    }

    /// Bytes read so far.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The next complete reply, if there is one. After an error it only repeats the error.
    #[expect(clippy::should_implement_trait, reason = "Ok(None) means more bytes are needed, not the end")]
    pub fn next(&mut self) -> Result<Option<Value>, Garbled> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let result = self.advance();
        if let Err(garbled) = &result {
            self.broken = Some(garbled.clone());
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Value>, Garbled> {
        loop {
            let Some(element) = self.element()? else { return Ok(None) };
            let mut value = match element {
                Element::Value(value) => value,
                Element::Open(frame) if frame.left > 0 => {
                    if self.stack.len() >= self.bounds.depth {
                        return Err(Garbled::TooMuch("nesting"));
                    }
                    self.stack.push(frame);
                    continue;
                }
                Element::Open(frame) if frame.attribute => continue,
                Element::Open(frame) => close(frame),
            };
            // A value completes its frame, which completes the one around it, and so on.
            loop {
                let Some(frame) = self.stack.last_mut() else {
                    self.elements = 0;
                    return Ok(Some(value));
                };
                frame.items.push(value);
                frame.left -= 1;
                if frame.left > 0 {
                    break;
                }
                let Some(done) = self.stack.pop() else { break };
                if done.attribute {
                    break;
                }
                value = close(done);
            }
        }
    }

    /// One element from `at`, if it is all there.
    fn element(&mut self) -> Result<Option<Element>, Garbled> {
        let Some(&kind) = self.bytes.get(self.at) else { return Ok(None) };
        if !b"+-:$*_,#!=(%~>|".contains(&kind) {
            return Err(Garbled::Type(kind));
        }
        let from = self.searched.max(self.at);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let Some(found) = rest.windows(2).position(|w| w == b"\r\n") else {
            if self.bytes.len() - self.at > self.bounds.line {
                return Err(Garbled::TooMuch("a line"));
            }
            self.searched = self.bytes.len().saturating_sub(1);
            return Ok(None);
        };
        let end = from + found;
        if end - self.at > self.bounds.line {
            return Err(Garbled::TooMuch("a line"));
        }
        let line = self.bytes.get(self.at + 1..end).unwrap_or_default();
        let after = end + 2;
        let (element, next) = match kind {
            b'+' | b',' | b'(' | b'#' => (Element::Value(Value::Text(line.to_vec())), after),
            b':' => {
                number(line)?;
                (Element::Value(Value::Text(line.to_vec())), after)
            }
            b'-' => (Element::Value(Value::Error(line.to_vec())), after),
            b'_' => (Element::Value(Value::Nil), after),
            b'$' | b'=' | b'!' => {
                let length = number(line)?;
                let Ok(length) = usize::try_from(length) else {
                    return self.took(Element::Value(Value::Nil), after);
                };
                if length > self.bounds.bulk {
                    return Err(Garbled::TooMuch("a string"));
                }
                let Some(body) = self.bytes.get(after..after + length + 2) else {
                    // The line's end was found; it must be found again when the body is there.
                    self.searched = self.at;
                    return Ok(None);
                };
                let (body, crlf) = body.split_at(length);
                if crlf != b"\r\n" {
                    return Err(Garbled::End);
                }
                let value = match kind {
                    b'!' => Value::Error(body.to_vec()),
                    // `txt:` before a verbatim string is its format (RESP3 specification).
                    b'=' => Value::Text(body.get(4..).unwrap_or(body).to_vec()),
                    _ => Value::Text(body.to_vec()),
                };
                (Element::Value(value), after + length + 2)
            }
            _ => {
                let length = number(line)?;
                let Ok(length) = usize::try_from(length) else {
                    return self.took(Element::Value(Value::Nil), after);
                };
                let pairs = matches!(kind, b'%' | b'|');
                let left = if pairs { length.saturating_mul(2) } else { length };
                self.elements = self.elements.saturating_add(left);
                if self.elements > self.bounds.elements {
                    return Err(Garbled::TooMuch("an aggregate"));
                }
                let frame = Frame { left, map: kind == b'%', attribute: kind == b'|', items: Vec::new() };
                (Element::Open(frame), after)
            }
        };
        self.took(element, next)
    }

    #[expect(clippy::unnecessary_wraps, reason = "ends the arms of `element`")]
    fn took(&mut self, element: Element, next: usize) -> Result<Option<Element>, Garbled> {
        self.at = next;
        self.searched = next;
        Ok(Some(element))
    }
}

enum Element {
    Value(Value),
    Open(Frame),
}

fn close(frame: Frame) -> Value {
    if frame.map { Value::Map(frame.items) } else { Value::Array(frame.items) }
}

fn number(line: &[u8]) -> Result<i64, Garbled> {
    std::str::from_utf8(line).ok().and_then(|t| t.parse().ok()).ok_or(Garbled::Number)
}

/// A command as an array of bulk strings.
pub fn command(parts: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Decoder, Garbled, Value, command};

    fn all(bytes: &[u8]) -> Result<Vec<Value>, Garbled> {
        let mut decoder = Decoder::new(Bounds::default());
        let mut values = Vec::new();
        for byte in bytes {
            decoder.feed(std::slice::from_ref(byte));
            while let Some(value) = decoder.next()? {
                values.push(value);
            }
        }
        Ok(values)
    }

    fn text(t: &str) -> Value {
        Value::Text(t.as_bytes().to_vec())
    }

    #[test]
    fn every_kind_byte_by_byte() {
        let values = all(b"+PONG\r\n-ERR no\r\n:12\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n_\r\n*2\r\n*1\r\n$1\r\nx\r\n:1\r\n%1\r\n+k\r\n#t\r\n|1\r\n+a\r\n+b\r\n=7\r\ntxt:abc\r\n*0\r\n")
            .unwrap();
        assert_eq!(
            values,
            vec![
                text("PONG"),
                Value::Error(b"ERR no".to_vec()),
                text("12"),
                text("a\r\n"),
                Value::Nil,
                Value::Nil,
                Value::Nil,
                Value::Array(vec![Value::Array(vec![text("x")]), text("1")]),
                Value::Map(vec![text("k"), text("t")]),
                text("abc"),
                Value::Array(Vec::new()),
            ]
        );
    }

    #[test]
    fn what_is_not_resp() {
        assert_eq!(all(b"HTTP/1.1"), Err(Garbled::Type(b'H')));
        assert_eq!(all(b"$x\r\n"), Err(Garbled::Number));
        assert_eq!(all(b"$1\r\nabc"), Err(Garbled::End));
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(all(&b"*1\r\n".repeat(100)), Err(Garbled::TooMuch("nesting")));
        assert_eq!(all(b"*999999999\r\n"), Err(Garbled::TooMuch("an aggregate")));
        assert_eq!(all(b"%9223372036854775807\r\n"), Err(Garbled::TooMuch("an aggregate")));
        assert_eq!(all(b"$999999999\r\n"), Err(Garbled::TooMuch("a string")));
        let mut endless = Decoder::new(Bounds::default());
        for _ in 0..100 {
            endless.feed(&[b'+'; 1024]);
        }
        assert_eq!(endless.next(), Err(Garbled::TooMuch("a line")));
        let mut flood = Decoder::new(Bounds { total: 100, ..Bounds::default() });
        flood.feed(&b"+OK\r\n".repeat(50));
        assert_eq!(flood.next(), Err(Garbled::TooMuch("replies")));
    }

    #[test]
    fn commands_are_bulk_arrays() {
        assert_eq!(command(&["GET", "a\r\nb"]), b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    }

    #[test]
    fn renders_bounded() {
        let deep = Value::Array(vec![text("abc"), Value::Nil, Value::Array(vec![text("d")])]);
        assert_eq!(deep.render(80), "[abc nil [d]]");
        assert!(Value::Array(vec![text("xxxxxxxxxx"); 1000]).render(50).len() < 80);
    }
}
