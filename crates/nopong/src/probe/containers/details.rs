//! What an engine's answer on a container does not hold: its log, its listening sockets, its configuration file.

use super::inspect;
use crate::evidence::containers::{ConfigFile, Container};
use crate::evidence::redact;
use crate::evidence::server::Setting;
use crate::evidence::startup::{self, Line};
use crate::probe::server::processes::container_of;
use crate::vantage::docker;
use crate::{sys, text};
use redis_conf::{InMemory, Origin, Release, Start, Value as Kept};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Lines asked of a log, and bytes taken of it.
const LINES: usize = 200;
const LOG_MAX: usize = 256 << 10;
/// Longest line taken.
const LINE_MAX: usize = 2000;
/// Lines kept for the reader.
const SHOWN: usize = 5;
/// What of a configuration decides who may connect.
const DIRECTIVES: &[&str] = &["bind", "port", "protected-mode", "tls-port", "maxmemory", "unixsocket"];

/// Adds them.
pub(super) fn add(socket: &Path, container: &mut Container, whole: &serde_json::Value, with_log: bool) {
    container.pid = container.pid.filter(|pid| is_of(*pid, &container.id));
    container.listens = container.pid.and_then(listens);
    container.config = config(container, &inspect::command(whole));
    if with_log {
        let tty = whole["Config"]["Tty"].as_bool().unwrap_or(false);
        read_log(socket, container, tty);
    }
}

/// The process is the container's: that of a remote engine, or of one in a virtual machine, is another process here.
pub(crate) fn is_of(pid: u32, id: &str) -> bool {
    let groups = sys::read_text(format!("/proc/{pid}/cgroup"), 64 << 10).unwrap_or_default();
    container_of(&groups).as_deref() == Some(id)
}

/// Listening TCP sockets of the process's network namespace (proc_pid_net(5)); open to everybody.
pub(crate) fn listens(pid: u32) -> Option<Vec<SocketAddr>> {
    let table = |name: &str| sys::read_text(format!("/proc/{pid}/net/{name}"), 4 << 20).ok();
    let mut all: Vec<SocketAddr> = table("tcp")?.lines().filter_map(listener).collect();
    all.extend(table("tcp6").unwrap_or_default().lines().filter_map(listener));
    // Docker's own resolver listens beside the container's programs.
    all.retain(|at| at.ip() != IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)));
    all.truncate(64);
    Some(all)
}

/// A line of /proc/net/tcp in state LISTEN (include/net/tcp_states.h: 10). Addresses are words in host order.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (at, _peer, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (ip, port) = at.split_once(':').filter(|_| state == "0A")?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> =
        (0..ip.len() / 8).map(|n| u32::from_str_radix(ip.get(n * 8..n * 8 + 8)?, 16).ok()).collect();
    let ip: IpAddr = match words?.as_slice() {
        [v4] => Ipv4Addr::from(v4.to_ne_bytes()).into(),
        [a, b, c, d] => {
            let mut bytes = [0u8; 16];
            for (four, word) in bytes.chunks_mut(4).zip([a, b, c, d]) {
                four.copy_from_slice(&word.to_ne_bytes());
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn read_log(socket: &Path, container: &mut Container, tty: bool) {
    let path = format!("/containers/{}/logs?stdout=1&stderr=1&timestamps=1&tail={LINES}", container.id);
    let bytes = match docker::ask(socket, &path, LOG_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(why) => {
            container.log_unread = Some(why.to_string());
            return;
        }
    };
    let plain = if tty { bytes } else { unframed(&bytes) };
    let source = format!("log of container {}", container.name);
    let lines: Vec<Line> = plain.split(|b| *b == b'\n').filter_map(|line| parse(line, &source)).collect();
    container.deaths = startup::recognise(&lines).deaths;
    let shown = |l: &Line| text::shown_str(&redact::line(l.text.trim_end()), 300);
    container.log = lines.iter().rev().filter(|l| !l.text.trim().is_empty()).take(SHOWN).map(shown).collect();
    container.log.reverse();
}

/// The frames of a log without a terminal: stream, three zeros, length as four bytes, text.
fn unframed(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [0..=2, 0, 0, 0, a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        out.extend_from_slice(after.get(..length.min(after.len())).unwrap_or_default());
        rest = after.get(length..).unwrap_or_default();
    }
    // Podman before 4 sent them without frames.
    if out.is_empty() { rest.to_vec() } else { out }
}

/// `2026-11-25T22:43:01.622745850Z 1:C 25 Nov 2026 …`: the engine's time is exact, and its zone is told.
fn parse(line: &[u8], source: &str) -> Option<Line> {
    let line = String::from_utf8_lossy(line.get(..line.len().min(LINE_MAX))?);
    let (stamp, rest) = line.split_once(' ')?;
    let at = inspect::micros(stamp);
    let (pid, _, said) = startup::parse(if at.is_some() { rest } else { &line });
    Some(Line {
        at,
        pid,
        manager: false,
        text: said.trim_end_matches('\r').to_owned(),
        source: source.to_owned(),
    })
}

/// What the server in it was told: the arguments, and the file they name where it can be read from here.
fn config(container: &Container, command: &[String]) -> Option<ConfigFile> {
    let words: Vec<&str> = command
        .iter()
        .flat_map(|w| {
            // `sh -c "exec redis-server /etc/redis.conf"`
            if w.contains("-server") && w.contains(' ') {
                w.split_whitespace().collect()
            } else {
                vec![w.as_str()]
            }
        })
        .collect();
    let server = words.iter().position(|w| w.rsplit('/').next().is_some_and(|n| n.contains("-server")))?;
    let argv = words.get(server..)?;
    let file = argv.get(1).filter(|w| !w.starts_with('-') && !w.is_empty());
    let mut found = ConfigFile::default();
    let mut files = InMemory::default();
    if let Some(file) = file {
        let inside = if file.starts_with('/') { (*file).to_owned() } else { format!("/data/{file}") };
        found.host = on_host(container, &inside);
        let through = container.pid.map(|pid| format!("/proc/{pid}/root{inside}"));
        let read = [found.host.clone(), through]
            .into_iter()
            .flatten()
            .map(|path| sys::read(&path, sys::FILE_MAX).map_err(|e| sys::why(&path, &e)));
        match read.reduce(Result::or) {
            Some(Ok(bytes)) => drop(files.0.insert(PathBuf::from(&inside), bytes)),
            Some(Err(why)) => found.unread = Some(why.to_string()),
            None => found.unread = Some(format!("{} is inside the image", text::shown_str(&inside, 200))),
        }
        found.inside = text::shown_str(&inside, 300);
        found.host = found.host.map(|h| text::shown_str(&h, 300));
    }
    let bytes: Vec<Vec<u8>> = argv.iter().map(|w| w.as_bytes().to_vec()).collect();
    let mut start = Start::command_line(Release::NEWEST, "/data", &bytes);
    if found.unread.is_some() {
        start.file = None;
    }
    let loaded = redis_conf::load(&start, &files).ok()?;
    for name in DIRECTIVES {
        let Some(setting) = loaded.get(name) else { continue };
        let (file, line) = match &setting.origin {
            // Of a file that was not read nothing is known, defaults included.
            Origin::Default if found.unread.is_some() => continue,
            Origin::Default => ("default".to_owned(), None),
            Origin::Argv => ("command line".to_owned(), None),
            Origin::File { line, .. } => {
                (found.host.clone().unwrap_or_else(|| found.inside.clone()), Some(*line))
            }
        };
        let value = match &setting.value {
            Kept::Text(bytes) => text::shown(bytes, 300),
            Kept::Secret(_) => continue,
        };
        found.settings.insert((*name).to_owned(), Setting { value, file, line });
    }
    let password = loaded.get("requirepass").map(redis_conf::Setting::is_set);
    found.password = password.filter(|set| *set || found.unread.is_none());
    Some(found)
}

/// Where a path of the container is on the host, if a mount brings it.
fn on_host(container: &Container, inside: &str) -> Option<String> {
    let mount = container.mount_of(inside).filter(|m| m.kind == "bind")?;
    let rest = inside.strip_prefix(mount.inside.trim_end_matches('/'))?;
    Some(format!("{}{rest}", mount.source.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::{config, listener, parse, unframed};
    use crate::evidence::containers::Container;

    #[test]
    fn listening_sockets() {
        let of = |line: &str| listener(line).map(|a| a.to_string());
        let loopback = "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 999 0 1";
        assert_eq!(of(loopback).as_deref(), Some("127.0.0.1:6379"));
        let six = "   1: 00000000000000000000000001000000:18EB 00000000000000000000000000000000:0000 0A 0";
        assert_eq!(of(six).as_deref(), Some("[::1]:6379"));
        let established = "   0: 0100007F:18EB 0100007F:9000 01 0";
        for bad in
            [established, "", "  sl  local_address rem_address   st", "0: zz:18EB x 0A", "0: é100007F:1 x 0A"]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn frames_and_stamps() {
        let mut framed = vec![1, 0, 0, 0, 0, 0, 0, 3];
        framed.extend(b"ab\n");
        framed.extend([2, 0, 0, 0, 0, 0, 0, 200]);
        framed.extend(b"cut");
        assert_eq!(unframed(&framed), b"ab\ncut");
        assert_eq!(unframed(b"plain\n"), b"plain\n");
        assert_eq!(unframed(&[1, 0, 0, 0, 255, 255, 255, 255]), b"");
        let line = parse(
            b"2026-11-25T22:43:01.5Z 1:M 25 Nov 2026 22:43:01.610 * Ready to accept connections tcp",
            "x",
        );
        let line = line.expect("a line");
        assert_eq!((line.at, line.pid), (Some(1_795_646_581_500_000), Some(1)));
        assert_eq!(line.text, "Ready to accept connections tcp");
    }

    #[test]
    fn arguments_alone() {
        let of = |words: &[&str]| {
            config(&Container::default(), &words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
        };
        let plain =
            of(&["docker-entrypoint.sh", "redis-server", "--requirepass", "x", "--bind", "127.0.0.1"])
                .expect("one");
        assert_eq!(plain.password, Some(true));
        assert_eq!(plain.settings["bind"].value, "127.0.0.1");
        assert!(!format!("{plain:?}").contains("\"x\""));
        let file = of(&["redis-server", "/usr/local/etc/redis/redis.conf"]).expect("one");
        assert!(file.unread.is_some() && file.password.is_none() && file.settings.is_empty());
        let empty = of(&["redis-server", "--requirepass", ""]).expect("one");
        assert_eq!(empty.password, Some(false));
        assert!(of(&["sleep", "infinity"]).is_none());
        assert!(
            of(&["sh", "-c", "exec redis-server --port 7000"])
                .is_some_and(|c| c.settings["port"].value == "7000")
        );
    }
}
