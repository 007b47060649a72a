//! The same configurations, given to the crate and to every server this machine has, must come to the same: taken or
//! refused, at the same line and with the same words, and with the same values as `CONFIG GET *` prints.
//!
//! A server runs in a network namespace of its own, so its ports disturb nobody; the socket it is asked through is
//! an argument that the crate is given too. Without a server or the right to make a namespace the tests are skipped
//! and say so; with `LAB=require` that is a failure.

#![expect(clippy::print_stdout, reason = "what was skipped and how much was compared must be seen")]

mod real {
    pub(crate) mod generate;
    pub(crate) mod server;
}

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use real::generate::{self, Case};
use real::server::{End, Machine, Server, can_isolate, run};
use redis_conf::{Fork, Loaded, Start, load};

/// Runs cases on all servers, two for each core's worth of waiting, and reports every difference at once.
fn compare(name: &str, cases: impl Fn(&Server) -> Vec<Case>) {
    let servers = Server::all();
    let require = std::env::var("LAB").is_ok_and(|v| v == "require");
    if servers.is_empty() || !can_isolate() {
        assert!(!require, "no server, or not allowed to make a network namespace");
        println!("skipped: {name}: {} servers, and namespaces can be made: {}", servers.len(), can_isolate());
        return;
    }
    let root = std::env::temp_dir().join(format!("redis-conf-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a directory of our own");
    let root = std::fs::canonicalize(root).expect("just made");
    let work: Vec<(Server, Case)> =
        servers.iter().flat_map(|s| cases(s).into_iter().map(move |case| (s.clone(), case))).collect();
    let next = AtomicUsize::new(0);
    let differences = Mutex::new(Vec::new());
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((server, case)) = work.get(index) else { break };
                    let dir = root.join(index.to_string());
                    let found = one(server, case, &dir, &refused);
                    if let Err(difference) = found {
                        let text =
                            format!("{} {}\n{}\n{difference}", server.release, dir.display(), case.shown());
                        differences.lock().expect("no panic while held").push(text);
                    } else {
                        let _ = std::fs::remove_dir_all(&dir);
                    }
                }
            });
        }
    });
    let differences = differences.into_inner().expect("no panic while held");
    println!(
        "{name}: {} starts of {} servers compared, {} of them refused",
        work.len(),
        servers.len(),
        refused.load(Ordering::Relaxed)
    );
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n\n"));
    let _ = std::fs::remove_dir_all(&root);
}

fn one(server: &Server, case: &Case, dir: &Path, refused: &AtomicUsize) -> Result<(), String> {
    for sub in ["sub", "conf.d"] {
        std::fs::create_dir_all(dir.join(sub)).expect("our own directory");
    }
    for (path, content) in &case.files {
        std::fs::write(dir.join(path), content).expect("our own directory");
    }
    let socket = dir.join("s");
    let mut args = vec![dir.join("c.conf").display().to_string()];
    args.extend(case.args.iter().cloned());
    if case.socket {
        args.extend(["--unixsocket".to_owned(), socket.display().to_string()]);
    }
    let argv: Vec<Vec<u8>> = std::iter::once(server.program().display().to_string())
        .chain(args.iter().cloned())
        .map(String::into_bytes)
        .collect();
    let mut start = Start::command_line(server.release, dir, &argv);
    // The servers of Debian.
    start.defrag = Some(false);
    let loaded = load(&start, &Machine).map_err(|e| format!("not readable: {e}"))?;
    let password = loaded.get("requirepass").and_then(|s| s.secret()).filter(|s| !s.is_empty());
    match run(server, dir, &args, &socket, password.map(redis_conf::Secret::expose)) {
        End::Up(values) => same_values(&loaded, &values),
        End::UpSilent(_) if loaded.is_valid() => Ok(()),
        End::UpSilent(why) => Err(format!("the server runs ({why}), the crate says {:?}", loaded.errors[0])),
        End::Down(printed) => {
            refused.fetch_add(1, Ordering::Relaxed);
            // `loglevel nothing` keeps even the fatal error from being printed.
            let silenced = loaded.text("loglevel") == "nothing";
            if printed.is_empty() && silenced && !loaded.is_valid() {
                return Ok(());
            }
            same_refusal(&loaded, &printed)
        }
    }
}

fn same_values(loaded: &Loaded, values: &std::collections::BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    if let Some(error) = loaded.errors.first() {
        return Err(format!("the server runs, the crate says {error:?}"));
    }
    let mut wrong = Vec::new();
    let effective: std::collections::BTreeMap<&str, Vec<u8>> = loaded
        .effective()
        .map(|(name, setting)| {
            let value = match &setting.value {
                redis_conf::Value::Text(bytes) => bytes.clone(),
                redis_conf::Value::Secret(secret) => secret.expose().to_vec(),
            };
            (name, value)
        })
        .collect();
    for (name, value) in values {
        match effective.get(name.as_str()) {
            None => wrong.push(format!("{name} is unknown to the crate")),
            Some(ours) if ours != value => {
                let (ours, theirs) = (String::from_utf8_lossy(ours), String::from_utf8_lossy(value));
                wrong.push(format!("{name}: the crate {ours:?}, the server {theirs:?}"));
            }
            Some(_) => {}
        }
    }
    wrong.extend(
        effective.keys().filter(|n| !values.contains_key(**n)).map(|n| format!("{n}: not in the server")),
    );
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn same_refusal(loaded: &Loaded, printed: &str) -> Result<(), String> {
    let Some(error) = loaded.errors.first() else {
        return Err(format!("the crate finds nothing, the server says\n{printed}"));
    };
    let at_line = printed.lines().find_map(|l| l.strip_prefix("Reading the configuration file, at line "));
    if let Some(number) = at_line {
        let says = printed.lines().skip_while(|l| !l.starts_with(">>> ")).nth(1).unwrap_or_default();
        // The server's own word in a user error may be a password, ours is not.
        let tail = |text: &str| text.rsplit("': ").next().unwrap_or_default().to_owned();
        let same = says == error.says
            || (error.says.starts_with("Error in user") && tail(says) == tail(&error.says));
        if error.counted.map(|n| n.to_string()).as_deref() == Some(number) && same {
            return Ok(());
        }
        return Err(format!("the crate says {error:?}, the server\n{printed}"));
    }
    let parts = error.says.split(". Failed").map(|p| p.trim_start_matches("Failed").trim());
    if error.counted.is_none() && parts.clone().all(|part| printed.contains(part)) {
        return Ok(());
    }
    Err(format!("the crate says {error:?}, the server\n{printed}"))
}

#[test]
fn stock_files() {
    compare("stock", |server| {
        let stock = match server.release.fork() {
            Fork::Redis => "etc/redis/redis.conf",
            Fork::Valkey => "etc/valkey/valkey.conf",
        };
        let mut cases = vec![Case::text("", true)];
        if let Ok(bytes) = std::fs::read(server.root().join(stock)) {
            // Its directories belong to a user and a service that are not here, and a daemon would leave us.
            let text =
                String::from_utf8_lossy(&bytes).replace("\ndir /", "\ndir ./sub # /").replace(" # /", "\n#");
            let text = text.replace("\nlogfile /", "\n#").replace("\ndaemonize yes", "\ndaemonize no");
            cases.push(Case::text(&text, true));
        }
        cases
    });
}

#[test]
fn sentinels() {
    compare("sentinel", |server| {
        let mut cases = generate::sentinels();
        for path in ["etc/redis/sentinel.conf", "etc/valkey/sentinel.conf"] {
            if let Ok(bytes) = std::fs::read(server.root().join(path)) {
                let text = String::from_utf8_lossy(&bytes).replace("\nlogfile /", "\n#");
                let text = text.replace("\ndir /", "\n#").replace("\ndaemonize yes", "\ndaemonize no");
                cases.push(Case::sentinel(&text));
            }
        }
        cases
    });
}

#[test]
fn written_cases() {
    compare("written", |_| generate::written());
}

#[test]
fn generated_cases() {
    compare("generated", |server| generate::generated(server.release));
}
