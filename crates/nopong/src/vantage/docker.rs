//! The main process of a container, asked of Docker's or Podman's API socket (Docker Engine API 1.24 and later).

use crate::evidence::Why;
use crate::sys;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Sockets in the usual places.
const SOCKETS: &[&str] = &["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"];
/// Limit of one question.
const LIMIT: Duration = Duration::from_secs(2);
/// An inspect answer has some 10 KiB.
const MAX: u64 = 1 << 20;

/// Asks every socket there is for a container of that name or id.
pub(super) fn main_pid(name: &str) -> Result<u32, Why> {
    let shape = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(shape) {
        return Err(Why::Failed {
            what: format!("{} is not a container's name", crate::text::shown_str(name, 60)),
        });
    }
    let mut last = Why::Missing { what: "a Docker or Podman API socket".to_owned() };
    for socket in SOCKETS.iter().filter(|s| sys::stat(s).is_ok()) {
        match inspect(socket, name) {
            Ok(pid) => return Ok(pid),
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn inspect(socket: &str, name: &str) -> Result<u32, Why> {
    let failed = |e: std::io::Error| sys::why(socket, &e);
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(failed)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(failed)?;
    // HTTP/1.0: the answer ends with the connection and is not chunked.
    let request = format!("GET /containers/{name}/json HTTP/1.0\r\nHost: docker\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(MAX).read_to_end(&mut answer).map_err(failed)?;
    let garbled = || Why::Garbled { what: format!("{socket} answers no JSON") };
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(garbled)?;
    let (head, body) = answer.split_at(split);
    if head.starts_with(b"HTTP/1.0 404") || head.starts_with(b"HTTP/1.1 404") {
        return Err(Why::Missing { what: format!("container {name}") });
    }
    let body: serde_json::Value = serde_json::from_slice(body.trim_ascii_start()).map_err(|_| garbled())?;
    match body["State"]["Pid"].as_u64() {
        Some(pid @ 1..=0x7fff_ffff) => Ok(pid as u32),
        _ => {
            let status = body["State"]["Status"].as_str().unwrap_or("not running");
            Err(Why::Failed { what: format!("container {name} is {}", crate::text::shown_str(status, 40)) })
        }
    }
}
