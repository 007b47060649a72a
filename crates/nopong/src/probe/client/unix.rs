//! A unix-domain socket's path, from the root directory to the listener.

use super::dial::outcome_of;
use super::talk::{Login, Peer, converse};
use crate::evidence::client::{DialOutcome, Talk, UnixPath};
use crate::sys;
use crate::sys::net::Stream;
use crate::text::shown_str;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

/// SO_ACCEPTCON in the flags column of /proc/net/unix (net/unix/af_unix.c, unix_seq_show).
const LISTENING: &str = "00010000";

/// Looks at the path and connects.
pub(super) fn look(path: &str, limit: Duration) -> (UnixPath, Option<Stream>) {
    let mut seen = UnixPath { path: shown_str(path, 300), ..UnixPath::default() };
    let entries = listeners();
    if let Ok(meta) = sys::stat(path) {
        seen.exists = true;
        seen.is_socket = meta.file_type().is_socket();
        seen.mode = Some(meta.mode() & 0o7777);
        seen.uid = Some(meta.uid());
        seen.gid = Some(meta.gid());
    }
    seen.blocked_at = blocked_at(Path::new(path));
    if let Some(entries) = &entries {
        seen.listener = Some(entries.iter().any(|p| p == path));
        seen.others = entries
            .iter()
            .filter(|p| *p != path && redis_like(p))
            .map(|p| shown_str(p, 300))
            .take(20)
            .collect();
    }
    match sys::net::connect_unix(Path::new(path), sys::now() + limit) {
        Ok(stream) => {
            seen.outcome = Some(DialOutcome::Connected);
            (seen, Some(stream))
        }
        Err(e) => {
            // sun_path holds 107 bytes and a NUL (unix(7)); socket2 refuses longer ones without an errno.
            let too_long = e.raw_os_error().is_none() && path.len() > 107;
            seen.outcome = Some(if too_long {
                DialOutcome::Errno { errno: "ENAMETOOLONG".to_owned() }
            } else {
                outcome_of(&e)
            });
            (seen, None)
        }
    }
}

/// Talks over the socket.
pub(super) fn talk(stream: &mut Stream, path: &str, login: Login<'_>, limit: Duration) -> Talk {
    let peer = Peer { to: shown_str(path, 300), tls: false, private: true };
    converse(stream, peer, login, limit, &mut || {})
}

/// Paths of all listening unix sockets of this network namespace.
fn listeners() -> Option<Vec<String>> {
    let table = sys::read_text("/proc/thread-self/net/unix", 8 << 20).ok()?;
    Some(
        table
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let flags = words.nth(3)?;
                let path = words.nth(3)?;
                (flags == LISTENING).then(|| path.to_owned())
            })
            .collect(),
    )
}

fn redis_like(path: &str) -> bool {
    ["redis", "valkey", "keydb"].iter().any(|word| path.contains(word))
}

/// The first directory on the way that we may not enter.
fn blocked_at(path: &Path) -> Option<String> {
    let mut directories: Vec<&Path> = path.ancestors().skip(1).collect();
    directories.reverse();
    directories
        .into_iter()
        .filter(|d| !d.as_os_str().is_empty())
        .find(|d| sys::may_not_enter(d))
        .map(|d| shown_str(&d.to_string_lossy(), 300))
}

#[cfg(test)]
mod tests {
    use super::look;
    use crate::evidence::client::DialOutcome;
    use std::time::Duration;

    #[test]
    fn missing_stale_and_no_socket() {
        let directory = crate::sys::TestDir::new("unix");
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let of = |name: &str| look(&path(name), Duration::from_millis(200)).0;
        let errno = |e: &str| Some(DialOutcome::Errno { errno: e.to_owned() });

        let missing = of("missing");
        assert!(!missing.exists);
        assert_eq!(missing.outcome, errno("ENOENT"));

        drop(std::os::unix::net::UnixListener::bind(path("stale")).unwrap());
        let stale = of("stale");
        assert!(stale.is_socket);
        assert_eq!(stale.listener, Some(false));
        assert_eq!(stale.outcome, errno("ECONNREFUSED"));

        let _alive = std::os::unix::net::UnixListener::bind(path("redis.sock")).unwrap();
        let alive = of("redis.sock");
        assert_eq!(alive.listener, Some(true));
        assert_eq!(alive.outcome, Some(DialOutcome::Connected));
        assert!(of("stale").others.contains(&path("redis.sock")));

        let long = of(&"x".repeat(200));
        assert_eq!(long.outcome, errno("ENAMETOOLONG"));
    }
}
