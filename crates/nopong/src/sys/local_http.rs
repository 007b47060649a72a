//! One request over a unix socket, as Docker's and Podman's API and supervisord's take it.
//!
//! Whoever holds the socket is trusted with nothing: the answer is bounded in time and size, whether its length is
//! told, chunked (RFC 9112, 7.1) or ends with the connection. HTTP/1.0 is asked, so that nothing is kept alive.

use super::net;
use crate::evidence::Why;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

/// Longest head of an answer.
const HEAD_MAX: usize = 16 << 10;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, 404 …
    pub status: u16,
    /// At most as long as was asked for.
    pub body: Vec<u8>,
}

/// Asks for `path` (already escaped). A body longer than `max` is cut.
pub fn get(socket: &Path, path: &str, deadline: Instant, max: usize) -> Result<Answer, Why> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    ask(socket, &request, deadline, max)
}

/// The same with a question of XML (XML-RPC, "The Request").
pub fn post_xml(socket: &Path, path: &str, xml: &str, deadline: Instant, max: usize) -> Result<Answer, Why> {
    let length = xml.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\n");
    ask(socket, &format!("{head}Content-Length: {length}\r\n\r\n{xml}"), deadline, max)
}

fn ask(socket: &Path, request: &str, deadline: Instant, max: usize) -> Result<Answer, Why> {
    let shown = crate::text::shown_str(&socket.to_string_lossy(), 200);
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Why::NotPermitted { needs: format!("root or the group that owns {shown}") }
        }
        std::io::ErrorKind::ConnectionRefused => {
            Why::Failed { what: format!("{shown} is there and nobody listens on it") }
        }
        std::io::ErrorKind::TimedOut => Why::Failed { what: format!("{shown} does not answer") },
        _ => super::why(&shown, &e),
    };
    let mut stream = net::connect_unix(socket, deadline).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    // Chunks cost at most their frames: for one byte six.
    let most = HEAD_MAX + max.saturating_mul(2) + 1024;
    let read = stream.take(most as u64).read_to_end(&mut bytes);
    // What came before the time ran out may be whole: a log that is followed never ends.
    if bytes.is_empty() {
        read.map_err(failed)?;
    }
    parse(&bytes, max).ok_or_else(|| Why::Garbled { what: format!("{shown} does not answer in HTTP") })
}

fn parse(bytes: &[u8], max: usize) -> Option<Answer> {
    let end = bytes.windows(4).take(HEAD_MAX).position(|w| w == b"\r\n\r\n")?;
    let (head, body) = (bytes.get(..end)?, bytes.get(end + 4..)?);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    first.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = first.next()?.parse().ok()?;
    let header = |name: &str| {
        head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
        })
    };
    let mut body = match header("transfer-encoding") {
        Some(coding) if coding.contains("chunked") => unchunked(body, max),
        _ => {
            let length = header("content-length").and_then(|l| l.parse::<usize>().ok()).unwrap_or(usize::MAX);
            body.get(..length.min(body.len()))?.to_vec()
        }
    };
    body.truncate(max);
    Some(Answer { status, body })
}

/// The chunks put together, as far as they came.
fn unchunked(mut rest: &[u8], max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < max {
        let Some(end) = rest.windows(2).take(64).position(|w| w == b"\r\n") else { break };
        let size = rest.get(..end).unwrap_or_default();
        let size =
            String::from_utf8_lossy(size.split(|b| *b == b';').next().unwrap_or_default()).into_owned();
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        rest = rest.get(end + 2..).unwrap_or_default();
        let chunk = rest.get(..size.min(rest.len())).unwrap_or_default();
        body.extend_from_slice(chunk);
        match rest.get(size.saturating_add(2)..) {
            Some(after) if size > 0 => rest = after,
            _ => break,
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::{Answer, get, parse, unchunked};
    use crate::evidence::Why;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    fn of(text: &str, max: usize) -> Option<(u16, String)> {
        parse(text.as_bytes(), max).map(|a| (a.status, String::from_utf8_lossy(&a.body).into_owned()))
    }

    #[test]
    fn the_three_ways_to_tell_a_length() {
        assert_eq!(of("HTTP/1.0 200 OK\r\n\r\n[]", 10), Some((200, "[]".to_owned())));
        assert_eq!(of("HTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\n{}junk", 10), Some((404, "{}".to_owned())));
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n";
        assert_eq!(of(chunked, 100), Some((200, "abcdefg".to_owned())));
        assert_eq!(of(chunked, 5), Some((200, "abcde".to_owned())));
    }

    #[test]
    fn hostile_answers_end() {
        assert_eq!(of("", 10), None);
        assert_eq!(of("SSH-2.0-x\r\n\r\n", 10), None);
        assert_eq!(of("HTTP/1.1 abc\r\n\r\n", 10), None);
        assert_eq!(unchunked(b"ffffffffffffffff\r\nab", 10), b"ab");
        assert_eq!(unchunked(b"-1\r\nab", 10), b"");
        assert_eq!(unchunked(b"1\r\na1\r\nb", 10), b"a");
    }

    #[test]
    fn time_and_size_are_bounded() {
        let folder = crate::sys::TestDir::new("http");
        let path = folder.join("s");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || {
            for send in [&b"HTTP/1.0 200 OK\r\n\r\nendless"[..], b""] {
                let (mut client, _) = listener.accept().expect("accepts");
                drop(client.read(&mut [0; 1000]));
                drop(client.write_all(send));
                // Kept open past the deadline.
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let soon = || crate::sys::now() + Duration::from_millis(150);
        assert_eq!(get(&path, "/", soon(), 4), Ok(Answer { status: 200, body: b"endl".to_vec() }));
        assert!(
            matches!(get(&path, "/", soon(), 4), Err(Why::Failed { what }) if what.contains("does not answer"))
        );
        server.join().expect("ends");
        assert!(
            matches!(get(&path, "/", soon(), 4), Err(Why::Failed { what }) if what.contains("nobody listens"))
        );
    }
}
