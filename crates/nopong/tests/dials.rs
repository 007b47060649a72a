//! `nopong dials` on real connects: traced as root, sampled as anybody.
#![expect(clippy::disallowed_methods, reason = "starts the program under test")]

use serde_json::Value;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Looks at two ports of ours while `dial` dials, then ends the look as Ctrl-C does.
fn look(args: &[&str], ports: [u16; 2], dial: impl FnOnce()) -> (i32, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nopong"))
        .args(["dials", "--for", "60s", "--format", "json", "--port", &ports[0].to_string()])
        .args(["--port", &ports[1].to_string()])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("nopong");
    std::thread::sleep(Duration::from_millis(1500));
    dial();
    std::thread::sleep(Duration::from_millis(300));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("a signal");
    let mut out = String::new();
    child.stdout.take().expect("stdout").read_to_string(&mut out).expect("text");
    let code = child.wait().expect("an end").code().expect("a code");
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}")))
}

/// An open and a closed port.
fn ports() -> (TcpListener, [SocketAddr; 2]) {
    let open = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let at = open.local_addr().expect("an address");
    (open, [at, closed])
}

fn line(document: &Value, to: SocketAddr) -> Option<&Value> {
    let own = u64::from(std::process::id());
    let to = to.to_string();
    document["dials"].as_array()?.iter().find(|d| d["to"] == to && d["pid"] == own)
}

#[test]
fn every_connect_is_seen_as_root() {
    let (_open, [at, closed]) = ports();
    let (code, seen) = look(&[], [at.port(), closed.port()], || {
        for _ in 0..20 {
            drop(TcpStream::connect(at).expect("an open port"));
            assert!(TcpStream::connect(closed).is_err());
        }
    });
    if seen["how"] != "trace" {
        println!("skipped: {}", seen["why_samples"]);
        return;
    }
    assert_eq!(seen["lost"], 0);
    let good = line(&seen, at).expect("a line");
    assert_eq!((&good["attempts"], &good["outcomes"]["connected"]), (&20.into(), &20.into()), "{good:#}");
    let bad = line(&seen, closed).expect("a line");
    assert_eq!((&bad["attempts"], &bad["outcomes"]["refused"]), (&20.into(), &20.into()), "{bad:#}");
    assert!(bad["says"].as_str().is_some_and(|s| s.ends_with("refused")), "{bad:#}");
    assert_eq!(code, 1);
}

#[test]
fn samples_see_what_lasts() {
    let (_open, [at, closed]) = ports();
    let mut kept = Vec::new();
    let (code, seen) = look(&["--no-trace"], [at.port(), closed.port()], || {
        for _ in 0..3 {
            kept.push(TcpStream::connect(at).expect("an open port"));
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(seen["how"], "samples");
    let line = line(&seen, at).expect("a line");
    assert_eq!(line["outcomes"]["connected"], 3, "{line:#}");
    assert_eq!(code, 0);
}
