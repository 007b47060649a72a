//! Docker's and Podman's API sockets (Docker Engine API 1.24 and later, which both speak): where they are, and how
//! they are asked. Nothing is changed: every request is a GET.

use crate::evidence::Why;
use crate::sys;
use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Limit of one question. A daemon that is well answers within milliseconds.
const LIMIT: Duration = Duration::from_secs(2);
/// An inspect answer has some 10 KiB, the list of a busy host some hundred.
const MAX: usize = 4 << 20;

/// The sockets to ask, in the order in which the docker command would look; and what names an engine that cannot be
/// asked this way.
fn sockets() -> (Vec<PathBuf>, Vec<String>) {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut unread = Vec::new();
    match sys::env("DOCKER_HOST").filter(|v| !v.is_empty()) {
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => paths.push(PathBuf::from(path)),
            None => {
                let shown = crate::text::shown_str(&crate::target::redact(&host), 100);
                unread.push(format!("DOCKER_HOST is {shown}: only a unix socket is asked"));
            }
        },
        None => {
            // Rootless engines; under sudo those of the user who called it.
            let sudo = sys::env("SUDO_UID").filter(|u| u.bytes().all(|b| b.is_ascii_digit()));
            let runtime = sys::env("XDG_RUNTIME_DIR").or(sudo.map(|uid| format!("/run/user/{uid}")));
            if let Some(runtime) = runtime.filter(|r| r.starts_with('/')) {
                paths.push(PathBuf::from(&runtime).join("docker.sock"));
                paths.push(PathBuf::from(&runtime).join("podman/podman.sock"));
            }
        }
    }
    paths.extend(["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from));
    let mut seen = Vec::new();
    paths.retain(|path| match sys::stat(path) {
        // /var/run is /run on most systems: one socket, asked once.
        Ok(found) => {
            let id = (found.dev(), found.ino());
            let fresh = !seen.contains(&id);
            seen.push(id);
            fresh
        }
        // A folder that may not be entered holds one, perhaps.
        Err(e) => e.kind() == std::io::ErrorKind::PermissionDenied,
    });
    (paths, unread)
}

/// The same with Podman's in it where it is off: that one is there for as long as the third part is kept.
pub(crate) fn sockets_with_podman() -> (Vec<PathBuf>, Vec<String>, Option<Served>) {
    let (mut sockets, unread) = sockets();
    let served = Served::of_podman(&sockets);
    if let Some(served) = &served {
        sockets.retain(|s| s.file_name().is_none_or(|n| n != "podman.sock"));
        sockets.push(served.socket.clone());
    }
    (sockets, unread, served)
}

/// No dockerd runs behind the socket, which systemd holds in its stead: to connect would start it, and a look
/// changes nothing.
pub(crate) fn asleep(socket: &Path) -> bool {
    let docker = socket.file_name().is_some_and(|n| n == "docker.sock");
    let system = socket.starts_with("/run/docker.sock") || socket.starts_with("/var/run/docker.sock");
    docker && system && sys::stat("/run/systemd/system").is_ok() && !runs("dockerd")
}

/// What Podman has on disk for root, in each of its storage drivers (containers-storage.conf(5)).
const PODMAN_CONTAINERS: [&str; 3] = [
    "/var/lib/containers/storage/overlay-containers/containers.json",
    "/var/lib/containers/storage/vfs-containers/containers.json",
    "/var/lib/containers/storage/btrfs-containers/containers.json",
];
/// The service ends by itself when nobody has asked it anything for so many seconds.
const PODMAN_IDLE: &str = "2";
/// How the name of its socket begins.
const SERVED: &str = "nopong-podman-";
/// How long it may take until it answers.
const PODMAN_START: Duration = Duration::from_secs(2);

/// Podman's API, served for one look: Podman has no daemon, and its socket is off by default.
#[derive(Debug)]
pub(crate) struct Served {
    /// The socket, which is removed with this.
    socket: PathBuf,
}

impl Served {
    /// The same for a socket that was served for an earlier look, and is gone since.
    fn once_more(socket: &Path) -> Option<Self> {
        let ours = socket.file_name().is_some_and(|n| n.to_string_lossy().starts_with(SERVED));
        if ours { Self::of_podman(&[]) } else { None }
    }

    /// Starts it where root's Podman has containers and none of these sockets is one of its own that is served.
    fn of_podman(sockets: &[PathBuf]) -> Option<Self> {
        let own = |s: &&PathBuf| s.file_name().is_some_and(|n| n == "podman.sock");
        let answers = |s: &PathBuf| std::os::unix::net::UnixStream::connect(s).is_ok();
        // A list of none is `[]`.
        let any = || PODMAN_CONTAINERS.iter().any(|path| sys::stat(path).is_ok_and(|m| m.len() > 4));
        let root = nix::unistd::geteuid().is_root();
        if !root || sockets.iter().filter(own).any(answers) || !any() {
            return None;
        }
        let program = sys::program("podman")?.to_string_lossy().into_owned();
        let socket = PathBuf::from(format!("/run/{SERVED}{}.sock", std::process::id()));
        let at = format!("unix://{}", socket.to_string_lossy());
        std::thread::spawn(move || {
            let argv = [&program, "system", "service", "--time", PODMAN_IDLE, &at];
            drop(sys::run(&argv, Duration::from_secs(20), 64 << 10));
        });
        let served = Self { socket };
        let end = sys::now() + PODMAN_START;
        while !answers(&served.socket) {
            if sys::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        sys::remove_socket(&self.socket);
    }
}

fn runs(comm: &str) -> bool {
    sys::list("/proc", 200_000).unwrap_or_default().iter().any(|name| {
        let name = name.to_string_lossy();
        name.bytes().all(|b| b.is_ascii_digit())
            && sys::read_text(format!("/proc/{name}/comm"), 64).is_ok_and(|c| c.trim_end() == comm)
    })
}

/// Asks for a path; none when the engine says 404.
pub(crate) fn ask(socket: &Path, path: &str, max: usize) -> Result<Option<Vec<u8>>, Why> {
    let shown = crate::text::shown_str(&socket.to_string_lossy(), 200);
    let answer = sys::local_http::get(socket, path, sys::now() + LIMIT, max)?;
    match answer.status {
        200 => Ok(Some(answer.body)),
        404 => Ok(None),
        status => {
            // Both say {"message": "…"}.
            let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
            let said = said.as_ref().and_then(|v| v.get("message")?.as_str());
            let said = crate::text::shown_str(said.unwrap_or("without a reason"), 200);
            Err(Why::Failed { what: format!("{shown} answers {status}: {said}") })
        }
    }
}

/// The same as JSON. Depth is bounded by the parser (128).
pub(crate) fn json(socket: &Path, path: &str) -> Result<Option<Value>, Why> {
    let Some(body) = ask(socket, path, MAX)? else { return Ok(None) };
    let shown = crate::text::shown_str(&socket.to_string_lossy(), 200);
    serde_json::from_slice(&body)
        .map(Some)
        .map_err(|_| Why::Garbled { what: format!("{shown} does not answer in JSON, or not to its end") })
}

/// What the engine tells of a container that a look has found; none where it is gone. Podman's socket that was served for
/// that look only is served once more.
pub(crate) fn inspect(socket: &Path, id: &str) -> Result<Option<Value>, Why> {
    let served = Served::once_more(socket);
    json(served.as_ref().map_or(socket, |s| &s.socket), &format!("/containers/{id}/json"))
}

/// A name or an id as the API takes it in a path.
pub(crate) fn is_name(name: &str) -> bool {
    let shape = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !name.is_empty() && name.len() <= 128 && name.chars().all(shape)
}

/// Asks every socket there is for a container of that name or id: its main process, or its status when it has none.
pub(super) fn main_pid(name: &str) -> Result<Result<u32, String>, Why> {
    if !is_name(name) {
        return Err(Why::Failed {
            what: format!("{} is not a container's name", crate::text::shown_str(name, 60)),
        });
    }
    let mut last = Why::Missing { what: "a Docker or Podman API socket".to_owned() };
    let (sockets, _, _served) = sockets_with_podman();
    for socket in sockets {
        if asleep(&socket) {
            last = Why::Failed { what: "dockerd does not run: systemctl start docker".to_owned() };
            continue;
        }
        match json(&socket, &format!("/containers/{name}/json")) {
            Ok(Some(found)) => {
                let status = found["State"]["Status"].as_str().unwrap_or("not running");
                return Ok(match found["State"]["Pid"].as_u64() {
                    Some(pid @ 1..=0x7fff_ffff) if status != "restarting" => Ok(pid as u32),
                    _ => Err(crate::text::shown_str(status, 40)),
                });
            }
            Ok(None) => {
                last = Why::Missing { what: format!("container {name} (docker ps -a lists them)") };
            }
            Err(why) => last = why,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_cannot_leave_the_path() {
        assert!(is_name("shop-redis-1") && is_name("6b382f9f6135"));
        for bad in ["", "a/b", "a b", "a?all=1", "a\r\nX: y", &"a".repeat(200)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
