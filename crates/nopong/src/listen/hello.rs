//! What a TLS client offers: its ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2), bounded, without a handshake.

/// Most bytes of a ClientHello taken; those with post-quantum key shares have about 2 KiB.
pub(super) const HELLO_MAX: usize = 16 << 10;
/// Most names and versions kept.
const LIST_MAX: usize = 16;

/// A ClientHello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// Server name.
    pub sni: Option<String>,
    /// Application protocols.
    pub alpn: Vec<String>,
    /// Versions offered, newest first as the client has them: `TLS 1.3`.
    pub versions: Vec<String>,
}

/// What is known of a ClientHello after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More bytes are needed.
    More,
    /// It is there.
    Hello(ClientHello),
    /// It is none, or beyond the bound.
    Garbled,
}

/// Takes the bytes so far, records and all.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    // The handshake message may be split over records.
    let mut message = Vec::new();
    let mut rest = bytes;
    while let Some((head, body)) = rest.split_at_checked(5) {
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if head[0] != 22 || head[1] != 3 || message.len() + length > HELLO_MAX {
            return Parsed::Garbled;
        }
        message.extend_from_slice(body.get(..length).unwrap_or(body));
        match body.get(length..) {
            Some(next) => rest = next,
            None => break,
        }
    }
    let Some((head, body)) = message.split_at_checked(4) else { return Parsed::More };
    let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
    if head[0] != 1 || length > HELLO_MAX {
        return Parsed::Garbled;
    }
    match body.get(..length) {
        Some(body) => fields(body).map_or(Parsed::Garbled, Parsed::Hello),
        None => Parsed::More,
    }
}

/// A cursor over a message; every read says whether there was enough.
struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
    fn short(&mut self) -> Option<u16> {
        self.bytes(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }
    /// A vector with a length of one byte.
    fn vector8(&mut self) -> Option<Self> {
        let length = usize::from(*self.bytes(1)?.first()?);
        self.bytes(length).map(Take)
    }
    /// A vector with a length of two bytes.
    fn vector16(&mut self) -> Option<Self> {
        let length = usize::from(self.short()?);
        self.bytes(length).map(Take)
    }
}

fn fields(body: &[u8]) -> Option<ClientHello> {
    let mut body = Take(body);
    let legacy = body.short()?;
    body.bytes(32)?;
    body.vector8()?;
    body.vector16()?;
    body.vector8()?;
    let mut hello = ClientHello::default();
    // Extensions may be missing altogether (SSL 3.0, old TLS 1.0).
    let mut extensions = body.vector16().unwrap_or(Take(&[]));
    while let Some(kind) = extensions.short() {
        let mut data = extensions.vector16()?;
        match kind {
            // server_name (RFC 6066): entries of type 0 are host names.
            0 => {
                let mut names = data.vector16()?;
                if names.bytes(1)? == [0] {
                    hello.sni = Some(crate::text::shown(names.vector16()?.0, 255));
                }
            }
            // ALPN (RFC 7301).
            16 => {
                let mut names = data.vector16()?;
                while let Some(name) = names.vector8().filter(|_| hello.alpn.len() < LIST_MAX) {
                    hello.alpn.push(crate::text::shown(name.0, 64));
                }
            }
            // supported_versions (RFC 8446 4.2.1).
            43 => {
                let mut versions = data.vector8()?;
                while let Some(version) = versions.short().filter(|_| hello.versions.len() < LIST_MAX) {
                    hello.versions.extend(name_of(version));
                }
            }
            _ => {}
        }
    }
    if hello.versions.is_empty() {
        hello.versions.extend(name_of(legacy));
    }
    Some(hello)
}

/// Versions by number; none for GREASE (RFC 8701).
fn name_of(version: u16) -> Option<String> {
    match version {
        0x0300 => Some("SSL 3.0".to_owned()),
        0x0301..=0x0304 => Some(format!("TLS 1.{}", version - 0x0301)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientHello, HELLO_MAX, Parsed, parse};

    /// What rustls sends.
    fn hello() -> Vec<u8> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"redis".to_vec()];
        let name = "cache.example".try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(config.into(), name).expect("a client");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("bytes");
        bytes
    }

    #[test]
    fn what_a_client_offers() {
        let expected = ClientHello {
            sni: Some("cache.example".to_owned()),
            alpn: vec!["redis".to_owned()],
            versions: vec!["TLS 1.3".to_owned(), "TLS 1.2".to_owned()],
        };
        let bytes = hello();
        assert_eq!(parse(&bytes), Parsed::Hello(expected));
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::More, "{cut}");
        }
    }

    #[test]
    fn hostile_bytes_end() {
        assert_eq!(parse(b"\x16\x03\x01\xff\xff"), Parsed::Garbled);
        assert_eq!(parse(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"), Parsed::Garbled);
        assert_eq!(parse(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"), Parsed::Garbled);
        let empty = b"\x16\x03\x01\x00\x00".repeat(HELLO_MAX);
        assert_eq!(parse(&empty), Parsed::More);
        // Any byte changed: no panic, whatever comes of it.
        let bytes = hello();
        for at in 0..bytes.len() {
            for value in [0, 1, 255] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = parse(&changed);
            }
        }
    }
}
