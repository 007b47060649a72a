//! What protocol the first bytes of a peer are. Only the bytes decide, not the port.

use crate::evidence::client::Speaks;

/// Recognises a peer by the first bytes it sent, asked or unasked.
pub fn recognise(bytes: &[u8]) -> Speaks {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    match bytes {
        [] => Speaks::Silent,
        // TLS record: content type 20 to 23, version 3.x (RFC 8446, 5.1).
        [20..=23, 3, 0..=4, ..] => Speaks::Tls,
        // MySQL: packet number 0, then protocol 10 or an error packet (Protocol::HandshakeV10).
        [_, _, 0, 0, 10 | 255, ..] => Speaks::Mysql,
        _ if starts(b"HTTP/") || starts(b"<!DOCTYPE") || starts(b"<html") || starts(b"<HTML") => Speaks::Http,
        _ if starts(b"SSH-") => Speaks::Ssh,
        // Answers of memcached's text protocol to a line it does not know.
        _ if starts(b"ERROR\r\n") || starts(b"CLIENT_ERROR ") || starts(b"SERVER_ERROR ") => {
            Speaks::Memcached
        }
        _ if starts(b"220 ") || starts(b"220-") || starts(b"421 ") || starts(b"554 ") => Speaks::Smtp,
        // Cluster bus header (Redis cluster_legacy.h, clusterMsg.sig).
        _ if starts(b"RCmb") => Speaks::ClusterBus,
        // An ErrorResponse starts with E, a length and the severity field (PostgreSQL 55.7).
        [b'E', 0, 0, _, _, b'S', ..] => Speaks::Postgres,
        _ if starts(b"EFATAL") => Speaks::Postgres,
        [first, ..] if b"+-:$*_,#!=(%~>|".contains(first) && resp_like(bytes) => Speaks::Resp,
        _ => Speaks::Unknown,
    }
}

/// The first line, as far as it came, could be a RESP reply: printable, and digits where a length must be.
fn resp_like(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let (kind, rest) = line.split_first().unwrap_or((&0, &[]));
    let ended = line.len() < bytes.len();
    let printable = rest.iter().all(|b| *b >= b' ' && *b != 0x7f);
    match kind {
        b'+' | b'-' | b',' | b'#' | b'(' => printable && (ended || rest.len() < 64 << 10),
        b'_' => rest.is_empty(),
        _ => {
            let digits = rest.strip_prefix(b"-").unwrap_or(rest);
            digits.iter().all(u8::is_ascii_digit) && (!ended || !digits.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::recognise;
    use crate::evidence::client::Speaks;

    #[test]
    fn knows_its_neighbours() {
        let cases: &[(&[u8], Speaks)] = &[
            (b"", Speaks::Silent),
            (b"+PONG\r\n", Speaks::Resp),
            (b"-NOAUTH Authentication required.\r\n", Speaks::Resp),
            (b"$5\r\nhello\r\n", Speaks::Resp),
            (b"--boundary\x00", Speaks::Unknown),
            (b"*hello\r\n", Speaks::Unknown),
            (b"\x15\x03\x01\x00\x02\x02\x46", Speaks::Tls),
            (b"HTTP/1.1 400 Bad Request\r\n", Speaks::Http),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", Speaks::Ssh),
            (b"ERROR\r\nERROR\r\n", Speaks::Memcached),
            (b"220 mail ESMTP\r\n", Speaks::Smtp),
            (b"\x4a\x00\x00\x00\x0a8.0.36\x00", Speaks::Mysql),
            (b"E\x00\x00\x00\x85SFATAL\x00", Speaks::Postgres),
            (b"\x00\x01\x02", Speaks::Unknown),
        ];
        for (bytes, speaks) in cases {
            assert_eq!(recognise(bytes), *speaks, "{bytes:?}");
        }
    }
}
