//! Peers that mean no good, on loopback: whatever they do, the look ends in time, keeps little, and says what it saw.

#![expect(clippy::unwrap_used, reason = "a test")]

use nopong::diagnosis::{Case, Symptom};
use nopong::evidence::CaseFile;
use nopong::evidence::client::{Speaks, Talk};
use nopong::probe::{Request, look};
use nopong::secret::Secret;
use nopong::target::Target;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(400);
const SECRET: &str = "correct-horse-battery";

/// A server that does the same with every connection; gives its port and everything it was sent.
fn server(act: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> (u16, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (act, send) = (act.clone(), send.clone());
            std::thread::spawn(move || {
                let mut reader = stream.try_clone().unwrap();
                std::thread::spawn(move || act(stream));
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = reader.read(&mut buffer) {
                    drop(send.send(buffer[..n].to_vec()));
                }
            });
        }
    });
    (port, receive)
}

fn request(port: u16) -> Request {
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port,
        port_given: true,
        password: Some(Secret::new(SECRET)),
        source: "argument".to_owned(),
        ..Target::default()
    };
    Request { target, timeout: TIMEOUT, server_side: false, light: true, ..Request::default() }
}

fn at(port: u16) -> CaseFile {
    let before = nopong::sys::now();
    let file = look(&request(port));
    // One wait for PING, one for the rest, and the offer of TLS beside them.
    assert!(before.elapsed() < 3 * TIMEOUT + Duration::from_secs(5), "took {:?}", before.elapsed());
    let text = serde_json::to_string(&file).unwrap();
    assert!(text.len() < 256 << 10, "kept {} bytes", text.len());
    assert!(!text.contains(SECRET), "the password is in the evidence");
    file
}

fn talk(file: &CaseFile) -> &Talk {
    file.client.protocol.get().and_then(|t| t.first()).expect("a conversation")
}

fn symptom(file: &CaseFile) -> Symptom {
    Case::new(file).symptom
}

fn forever(mut stream: TcpStream, bytes: &[u8]) {
    while stream.write_all(bytes).is_ok() {}
}

#[test]
fn an_endless_line() {
    let (port, _) = server(|s| forever(s, &[b'+'; 8192]));
    let file = at(port);
    assert_eq!(talk(&file).speaks, Speaks::Unknown);
    assert_eq!(symptom(&file), Symptom::NotRedis);
}

#[test]
fn endless_nesting() {
    let (port, _) = server(|s| forever(s, &b"*1\r\n".repeat(1000)));
    assert_eq!(symptom(&at(port)), Symptom::NotRedis);
}

#[test]
fn an_endless_array_and_a_huge_string() {
    for bytes in [&b"*2000000000\r\n"[..], b"$2000000000\r\n", b"%9223372036854775807\r\n"] {
        let (port, _) = server(move |s| forever(s, bytes));
        assert_eq!(symptom(&at(port)), Symptom::NotRedis);
    }
}

#[test]
fn a_flood_of_pongs() {
    let (port, _) = server(|s| forever(s, &b"+PONG\r\n".repeat(1000)));
    // It does say PONG; the rest of the conversation makes no sense, and is bounded.
    assert!(talk(&at(port)).speaks == Speaks::Resp);
}

#[test]
fn a_drip() {
    let (port, _) = server(|mut s| {
        for byte in b"+".iter().chain(std::iter::repeat(&b'x')) {
            if s.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let file = at(port);
    assert!(!talk(&file).pong());
    assert_eq!(symptom(&file), Symptom::Silent);
}

#[test]
fn silence_close_and_reset() {
    let (port, _) =
        server(|s| std::thread::sleep(Duration::from_secs(if s.nodelay().is_ok() { 20 } else { 0 })));
    let file = at(port);
    assert_eq!(symptom(&file), Symptom::Silent);
    assert!(file.client.tls_offer.get().is_some(), "TLS is offered to a silent port");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    assert!(matches!(symptom(&at(port)), Symptom::Closed | Symptom::Reset));
}

#[test]
fn other_protocols_and_garbage() {
    let cases: &[(&'static [u8], Speaks)] = &[
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Speaks::Http),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Speaks::Ssh),
        (b"220 mail.example ESMTP\r\n", Speaks::Smtp),
        (b"ERROR\r\n", Speaks::Memcached),
        (b"\x15\x03\x03\x00\x02\x02\x46", Speaks::Tls),
        (b"\x1b]0;owned\x07\x1b[2J\xff\xfe", Speaks::Unknown),
        (b"$-5abc\r\n\r\n", Speaks::Unknown),
    ];
    for (bytes, speaks) in cases {
        let bytes: &'static [u8] = bytes;
        let (port, said) = server(move |mut s| {
            drop(s.write_all(bytes));
            std::thread::sleep(Duration::from_secs(2));
        });
        let file = at(port);
        assert_eq!(talk(&file).speaks, *speaks, "{bytes:?}");
        assert_eq!(symptom(&file), Symptom::NotRedis);
        assert!(!serde_json::to_string(&file).unwrap().contains('\u{1b}'));
        // What is not Redis never gets the password.
        let all: Vec<u8> = said.try_iter().flatten().collect();
        assert!(!String::from_utf8_lossy(&all).contains(SECRET));
    }
}

#[test]
fn an_echo_of_the_password_is_scrubbed() {
    let (port, said) = server(|mut s| {
        let mut reader = s.try_clone().unwrap();
        drop(s.write_all(b"-NOAUTH Authentication required.\r\n"));
        drop(reader.set_read_timeout(Some(Duration::from_millis(100))));
        std::thread::sleep(Duration::from_millis(50));
        let text = format!("-ERR invalid password {SECRET} given\r\n").repeat(8);
        drop(s.write_all(text.as_bytes()));
        drop(reader.read(&mut [0; 1]));
        std::thread::sleep(Duration::from_secs(1));
    });
    let file = at(port);
    assert_eq!(talk(&file).auth.as_ref().and_then(|r| r.word()), Some("ERR"));
    assert!(!said.try_iter().flatten().collect::<Vec<u8>>().is_empty());
}

#[test]
fn errors_before_anything_was_asked() {
    for (text, word) in [
        ("-ERR max number of clients reached\r\n", "ERR"),
        ("-DENIED Redis is running in protected mode\r\n", "DENIED"),
    ] {
        let (port, _) = server(move |mut s| drop(s.write_all(text.as_bytes())));
        let file = at(port);
        assert_eq!(talk(&file).unasked.as_ref().and_then(|r| r.word()), Some(word));
        assert_eq!(symptom(&file), Symptom::ErrorReply);
    }
}

/// A cluster node that announces itself, for ever: nobody follows.
#[test]
fn a_redirect_loop() {
    let (port, _) = server(|mut s| {
        let port = s.local_addr().unwrap().port();
        let info = "cluster_enabled:1\r\n";
        let mut all = b"+PONG\r\n".to_vec();
        all.extend_from_slice(b"+OK\r\n+PONG\r\n");
        all.extend_from_slice(format!("${}\r\n{info}\r\n*0\r\n+default\r\n*0\r\n", info.len()).as_bytes());
        drop(s.write_all(&all));
        // The rest comes when it has been asked for.
        std::thread::sleep(Duration::from_millis(100));
        all.clear();
        let state = "cluster_state:ok\r\ncluster_slots_ok:16384\r\n";
        all.extend_from_slice(format!("${}\r\n{state}\r\n", state.len()).as_bytes());
        let node = format!("*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$1\r\nx\r\n");
        all.extend_from_slice(format!("*1000\r\n{}", node.repeat(1000)).as_bytes());
        all.extend_from_slice(format!("-MOVED 1 127.0.0.1:{port}\r\n").as_bytes());
        drop(s.write_all(&all));
        std::thread::sleep(Duration::from_secs(2));
    });
    let file = at(port);
    let topology = file.client.topology.get().expect("asked");
    assert_eq!(topology.announced.len(), 1);
    assert_eq!(topology.probe_reply.as_ref().and_then(|r| r.word()), Some("MOVED"));
}
