//! A real server, started in a network namespace of its own with a private directory, and what it says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis_conf::{Bindable, Files, OsError, Release};

/// Long enough for a loaded machine; a server is up in about 30 ms.
const START_MAX: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Server {
    /// What starts it: the program, or the dynamic loader of the tree it lies in with its arguments.
    command: Vec<PathBuf>,
    pub(crate) release: Release,
}

impl Server {
    /// The program itself, `argv[0]` of the server.
    pub(crate) fn program(&self) -> &Path {
        self.command.last().map_or(Path::new(""), PathBuf::as_path)
    }

    /// The root of the tree that the program is installed in: where its stock configurations lie.
    pub(crate) fn root(&self) -> &Path {
        self.program().ancestors().nth(3).unwrap_or(Path::new("/"))
    }

    /// Every server binary that this machine has: the installed ones, the ones in the lab's host trees, and
    /// those that `REDIS_CONF_SERVERS` names.
    pub(crate) fn all() -> Vec<Self> {
        let named = std::env::var("REDIS_CONF_SERVERS")
            .unwrap_or_else(|_| "/usr/bin/redis-server:/usr/bin/valkey-server".to_owned());
        let installed = named.split(':').map(|p| vec![PathBuf::from(p)]);
        let mut servers: Vec<Self> = Vec::new();
        for command in installed.chain(in_trees()) {
            let shown = command.last().map(|p| p.display().to_string()).unwrap_or_default();
            let Ok(out) = Command::new(&command[0]).args(&command[1..]).arg("--version").output() else {
                println!("skipped: no server at {shown}");
                continue;
            };
            match Release::parse(&String::from_utf8_lossy(&out.stdout)) {
                Some(release) if servers.iter().any(|s| s.release == release) => {}
                Some(release) => servers.push(Self { command, release }),
                None => println!("skipped: {shown} does not tell its version"),
            }
        }
        servers
    }
}

/// The servers in the lab's trixie trees (bookworm's is the installed one), each started by its own tree's loader: their libc may be newer than ours.
fn in_trees() -> Vec<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut trees: Vec<PathBuf> = std::fs::read_dir("/var/cache/nopong-lab")
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    trees.retain(|t| t.file_name().is_some_and(|n| n.to_string_lossy().starts_with("trixie-")));
    trees.sort();
    for tree in trees {
        let loader = tree.join("lib64/ld-linux-x86-64.so.2");
        let libraries = tree.join("usr/lib/x86_64-linux-gnu");
        for name in ["redis-server", "valkey-server"] {
            let program = tree.join("usr/bin").join(name);
            if loader.exists() && program.exists() {
                found.push(vec![loader.clone(), "--library-path".into(), libraries.clone(), program]);
            }
        }
    }
    found
}

/// How a start ended.
pub(crate) enum End {
    /// It serves; what `CONFIG GET *` gives.
    Up(BTreeMap<String, Vec<u8>>),
    /// It serves, but will not tell its configuration.
    UpSilent(String),
    /// It gave up; all it printed.
    Down(String),
}

pub(crate) fn can_isolate() -> bool {
    let unshare =
        Command::new("unshare").args(["-n", "ip", "link", "set", "lo", "up"]).stderr(Stdio::null()).status();
    unshare.is_ok_and(|status| status.success())
}

/// Starts a server in `dir` with these arguments, asks it for its configuration on `socket` and kills it.
pub(crate) fn run(
    server: &Server,
    dir: &Path,
    args: &[String],
    socket: &Path,
    password: Option<&[u8]>,
) -> End {
    let output = dir.join(".output");
    let log = std::fs::File::create(&output).expect("a file in our own directory");
    let child = Command::new("unshare")
        .args(["-n", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .args(&server.command)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(log.try_clone().expect("a second handle"))
        .stdout(log)
        .spawn()
        .expect("unshare is there");
    let end = watch(child, socket, password);
    let printed = String::from_utf8_lossy(&std::fs::read(&output).unwrap_or_default()).into_owned();
    match end {
        Some(Ok(values)) => End::Up(values),
        Some(Err(why)) => End::UpSilent(why),
        None => End::Down(printed),
    }
}

fn watch(
    mut child: Child,
    socket: &Path,
    password: Option<&[u8]>,
) -> Option<Result<BTreeMap<String, Vec<u8>>, String>> {
    let started = Instant::now();
    let end = loop {
        if child.try_wait().expect("our child").is_some() {
            return None;
        }
        if let Ok(mut stream) = UnixStream::connect(socket) {
            // 7.0 opens its socket before it has loaded users and modules: only an answer counts.
            match ask(&mut stream, password) {
                Ok(values) => break Some(Ok(values)),
                Err(Asked::Refused(why)) => break Some(Err(why)),
                Err(Asked::Cut) => {}
            }
        }
        assert!(started.elapsed() < START_MAX, "the server neither serves nor stops");
        std::thread::sleep(Duration::from_millis(4));
    };
    let _ = child.kill();
    let _ = child.wait();
    end
}

enum Asked {
    Refused(String),
    Cut,
}

fn ask(stream: &mut UnixStream, password: Option<&[u8]>) -> Result<BTreeMap<String, Vec<u8>>, Asked> {
    stream.set_read_timeout(Some(START_MAX)).expect("a timeout");
    if let Some(password) = password {
        send(stream, &[b"AUTH", password])?;
        let answer = line(stream)?;
        if !answer.starts_with('+') {
            return Err(Asked::Refused(answer));
        }
    }
    send(stream, &[b"CONFIG", b"GET", b"*"])?;
    let head = line(stream)?;
    let Some(count) = head.strip_prefix('*').and_then(|n| n.parse::<usize>().ok()) else {
        return Err(Asked::Refused(head));
    };
    let mut values = BTreeMap::new();
    for _ in 0..count / 2 {
        let name = String::from_utf8_lossy(&bulk(stream)?).into_owned();
        values.insert(name, bulk(stream)?);
    }
    Ok(values)
}

fn send(stream: &mut UnixStream, words: &[&[u8]]) -> Result<(), Asked> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend_from_slice(word);
        out.extend(b"\r\n");
    }
    stream.write_all(&out).map_err(|_| Asked::Cut)
}

fn line(stream: &mut UnixStream) -> Result<String, Asked> {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).map_err(|_| Asked::Cut)?;
        match byte[0] {
            b'\n' => return Ok(String::from_utf8_lossy(&text).into_owned()),
            b'\r' => {}
            other => text.push(other),
        }
    }
}

fn bulk(stream: &mut UnixStream) -> Result<Vec<u8>, Asked> {
    let head = line(stream)?;
    let len: usize = head.strip_prefix('$').and_then(|n| n.parse().ok()).ok_or(Asked::Cut)?;
    let mut bytes = vec![0; len + 2];
    stream.read_exact(&mut bytes).map_err(|_| Asked::Cut)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// The machine as the server sees it in its namespace: only `lo` has addresses.
pub(crate) struct Machine;

impl Files for Machine {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, OsError> {
        let file = std::fs::File::open(path).map_err(|e| OsError::of(&e))?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes).map_err(|e| OsError::of(&e))?;
        Ok(bytes)
    }

    fn glob(&self, cwd: &Path, pattern: &[u8]) -> Vec<PathBuf> {
        let pattern = cwd.join(String::from_utf8_lossy(pattern).as_ref());
        let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|n| n.to_str())) else {
            return Vec::new();
        };
        // Enough for the tests: one star in the last part.
        let (head, tail) = name.split_once('*').unwrap_or((name, ""));
        let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
            .map(|entries| entries.flatten().map(|e| e.path()).collect())
            .unwrap_or_default();
        found.retain(|p| {
            p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(head) && n.ends_with(tail))
        });
        found.sort();
        found
    }

    fn enter(&self, dir: &Path) -> Result<PathBuf, OsError> {
        let canonical = std::fs::canonicalize(dir).map_err(|e| OsError::of(&e))?;
        if canonical.is_dir() { Ok(canonical) } else { Err(OsError(20)) }
    }

    fn appendable(&self, path: &Path) -> Result<(), OsError> {
        if path.is_dir() {
            return Err(OsError::IS_DIRECTORY);
        }
        let dir = path.parent().unwrap_or(path);
        self.enter(dir).map(drop)
    }

    fn executable(&self, path: &Path) -> Result<(), OsError> {
        use std::os::unix::fs::PermissionsExt;
        let meta = std::fs::metadata(path).map_err(|e| OsError::of(&e))?;
        if meta.permissions().mode() & 0o111 != 0 { Ok(()) } else { Err(OsError::DENIED) }
    }

    fn bindable(&self, host: &str, ipv6: bool) -> Bindable {
        let loopback = if ipv6 { host == "::1" } else { host.starts_with("127.") || host == "localhost" };
        match (loopback, host.parse()) {
            (true, Ok(ip)) => Bindable::Yes(ip),
            (true, Err(_)) => Bindable::Yes(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
            (false, Ok(_)) => Bindable::No(OsError::ADDRESS_MISSING),
            (false, Err(_)) => Bindable::Unknown,
        }
    }
}
