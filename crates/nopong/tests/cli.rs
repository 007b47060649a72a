//! The contract of the command line, checked on the built program. Needs no Redis: a thread plays one.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test runs the program and reads what it wrote"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The program in an empty directory with an empty environment.
fn nopong(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopong"));
    command.args(args).env_clear().env("LANG", "C.UTF-8").current_dir(folder()).stdin(Stdio::null());
    command
}

fn folder() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{n}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn run(args: &[&str]) -> Output {
    nopong(args).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", out(output), err(output)))
}

/// A server that answers every command by the same reply; its address.
fn server(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let Ok(mut stream) = stream else { return };
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    // One reply for each command of a pipeline.
                    let commands = bytes[..n].iter().filter(|b| **b == b'*').count().max(1);
                    if stream.write_all(&reply.repeat(commands)).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// A port of loopback on which nobody listens.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn bad_usage_is_exit_2_and_says_what_to_do() {
    for args in [
        &["--no-such-flag"][..],
        &["--timeout", "soon", "h"],
        &["--timeout", "0", "h"],
        &["--format", "xml", "h"],
        &["--from", "pod:web", "h"],
        &["--from", "ssh:web", "h"],
        &["--server", "nowhere", "h"],
        &["--client", "not-an-address", "h"],
        &["--cert", "x", "h"],
        &["a", "b"],
        &["diagnose", "a", "b"],
        &["wait", "--role", "king", "h"],
        &["mcp"],
        &["diagnose", "--evidence", "no-such-file"],
        &["explain", "no-such-cause-at-all"],
        &["completions", "no-such-shell"],
        &["man", "no-such-verb"],
    ] {
        let output = run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", err(&output));
        assert!(output.stdout.is_empty(), "{args:?}: {}", out(&output));
        assert!(err(&output).starts_with("nopong: "), "{args:?}: {}", err(&output));
    }
}

#[test]
fn help_lists_what_is_built_and_nothing_else() {
    let output = run(&["--help"]);
    assert_eq!(code(&output), 0);
    let text = out(&output);
    for word in ["diagnose", "wait", "collect", "explain", "completions", "man", "Exit codes", "70"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for word in ["mcp", "audit"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(out(&run(&["--version"])).starts_with("nopong "));
}

#[test]
fn pong_is_exit_0() {
    let address = server(b"+PONG\r\n");
    for args in [&[address.as_str()][..], &["diagnose", &address], &["wait", &address]] {
        assert_eq!(code(&run(args)), 0, "{args:?}");
    }
    let report = json(&run(&[&address, "--format", "json"]));
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["outcome"], "pong");
    assert_eq!(report["stage"], "ready");
    assert_eq!(report["target"]["url"], format!("redis://{address}"));
    assert_eq!(report["target"]["source"], "argument");
    assert_eq!(report["causes"].as_array().map(Vec::len), Some(0));
    assert!(report["evidence"].as_array().is_some_and(|e| e.iter().all(|e| e["says"].is_string())));
}

#[test]
fn a_fault_is_exit_1_or_3_with_its_stage() {
    let output = run(&[&closed(), "--format", "json"]);
    assert!([1, 3].contains(&code(&output)), "{}", code(&output));
    let report = json(&output);
    assert_eq!((report["outcome"].as_str(), report["stage"].as_str()), (Some("fault"), Some("connect")));
    let sum: f64 =
        report["causes"].as_array().unwrap().iter().filter_map(|c| c["probability"].as_f64()).sum();
    assert!(sum <= 1.0, "{sum}");
}

#[test]
fn a_target_that_cannot_be_parsed_is_exit_2_with_a_report() {
    for text in ["redis://:p#ss@h:6379", "http://h", "redis://h:port", "redis://", "${REDIS_URL}", " ", ""] {
        let output = run(&["diagnose", "--format", "json", text]);
        assert_eq!(code(&output), 2, "{text}: {}", err(&output));
        let report = json(&output);
        assert_eq!(
            (report["outcome"].as_str(), report["stage"].as_str()),
            (Some("fault"), Some("target")),
            "{text}"
        );
        assert!(report["target"]["problem"]["marked"].is_string(), "{text}");
        for format in ["human", "markdown", "html", "junit"] {
            let output = run(&["diagnose", "--format", format, text]);
            assert_eq!(code(&output), 2, "{text} as {format}");
            assert!(!output.stdout.is_empty());
        }
    }
}

#[test]
fn settings_are_looked_up() {
    let address = server(b"+PONG\r\n");
    let (_, port) = address.split_once(':').unwrap();
    let url = format!("redis://{address}");
    let taken = |command: &mut Command| {
        let report = json(&command.args(["--format", "json"]).output().unwrap());
        (
            report["outcome"].as_str().unwrap().to_owned(),
            report["target"]["source"].as_str().unwrap().to_owned(),
        )
    };
    let pong = |source: &str| ("pong".to_owned(), source.to_owned());
    assert_eq!(taken(nopong(&[]).env("REDIS_URL", &url)), pong("environment REDIS_URL"));
    let mut parts = nopong(&[]);
    parts.env("REDIS_HOST", "127.0.0.1").env("REDIS_PORT", port);
    assert_eq!(taken(&mut parts), pong("environment REDIS_HOST"));
    let folder = folder();
    std::fs::write(folder.join(".env"), format!("A=1\nREDIS_URL={url}\r\n")).unwrap();
    assert_eq!(taken(nopong(&[]).current_dir(&folder)), pong(".env:2"));
}

#[test]
fn an_injected_port_is_an_env_collision() {
    let output = nopong(&["--format", "json"])
        .env("REDIS_HOST", "redis")
        .env("REDIS_PORT", "tcp://10.0.0.1:6379")
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert_eq!(json(&output)["stage"], "target");
    assert!(json(&output)["symptom"].as_str().unwrap().contains("REDIS_PORT"));
}

#[test]
fn nagios_has_its_own_codes_and_one_line() {
    let pong = run(&["--format", "nagios", &server(b"+PONG\r\n")]);
    assert!(out(&pong).starts_with("REDIS OK - ") && code(&pong) == 0, "{}", out(&pong));
    let fault = run(&["--format", "nagios", &closed()]);
    assert!(out(&fault).starts_with("REDIS CRITICAL - ") && code(&fault) == 2, "{}", out(&fault));
    let unparsable = run(&["--format", "nagios", "redis://h:x"]);
    assert!(out(&unparsable).starts_with("REDIS UNKNOWN - ") && code(&unparsable) == 3);
    let usage = run(&["--format", "nagios", "--no-such-flag"]);
    assert!(out(&usage).starts_with("REDIS UNKNOWN - ") && code(&usage) == 3, "{}", out(&usage));
    for output in [pong, fault, unparsable, usage] {
        assert_eq!(out(&output).lines().count(), 1);
    }
}

#[test]
fn no_secret_anywhere() {
    const CANARY: &str = "c4n4ry-s3cr3t";
    // A server that echoes the password in every reply.
    let address = server(b"-ERR you sent c4n4ry-s3cr3t\r\n");
    let malformed = [
        format!("redis://:{CANARY}#@{address}"),
        format!("redis://:{CANARY}@{address}:x"),
        format!("redis://user:{CANARY}"),
        format!("redis://:{CANARY}"),
        format!("user:{CANARY}@{address}"),
        format!("redis://h/{CANARY}@x"),
        format!("{address},password={CANARY}"),
        format!("redis-cli -h h -a {CANARY}"),
    ];
    let good = [format!("redis://u:{CANARY}@{address}"), format!("redis://{CANARY}@{address}")];
    for format in ["human", "json", "markdown", "html", "junit", "nagios"] {
        for url in malformed.iter().chain(&good) {
            let output = run(&["--verbose", "--format", format, url]);
            let all = out(&output) + &err(&output);
            assert!(!all.contains(CANARY), "{url} as {format}: {all}");
        }
        let output = nopong(&["-v", "--format", format, &format!("redis://{address}")])
            .env("REDISCLI_AUTH", CANARY)
            .env("REDIS_TLS_URL", format!("rediss://:{CANARY}@other"))
            .output()
            .unwrap();
        assert!(!(out(&output) + &err(&output)).contains(CANARY), "{format}");
    }
    let bundle = run(&["collect", "-o", "-", &good[0]]);
    assert!(!(out(&bundle) + &err(&bundle)).contains(CANARY), "{}", out(&bundle));
}

#[test]
fn a_password_in_an_argument_is_warned_of() {
    let output = run(&[&format!("redis://:longer-secret@{}", closed())]);
    assert!(err(&output).contains("can be read by every user"), "{}", err(&output));
}

#[test]
fn a_bundle_is_judged_alike_elsewhere() {
    let folder = folder();
    for address in [server(b"+PONG\r\n"), closed(), server(b"-NOAUTH Authentication required.\r\n")] {
        let made = nopong(&["collect", "-o", "b.json", &address]).current_dir(&folder).output().unwrap();
        assert_eq!(code(&made), 0, "{}", err(&made));
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.join("b.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let judge = |format: &str| {
            let args = ["diagnose", "--evidence", "b.json", "--format", format];
            nopong(&args).current_dir(&folder).output().unwrap()
        };
        assert_eq!(judge("json").stdout, judge("json").stdout);
        let mut piped = nopong(&["--evidence", "-", "--format", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        piped.stdin.take().unwrap().write_all(&std::fs::read(folder.join("b.json")).unwrap()).unwrap();
        let piped = piped.wait_with_output().unwrap();
        assert_eq!(piped.stdout, judge("json").stdout);
        // A second look sees another moment of this machine, whose servers may come and go meanwhile.
        let agree = (0..5).any(|_| {
            let made = nopong(&["collect", "-o", "b.json", &address]).current_dir(&folder).output().unwrap();
            let (judged, live) = (judge("json"), run(&["--format", "json", &address]));
            code(&made) == 0 && code(&judged) == code(&live) && json(&judged)["stage"] == json(&live)["stage"]
        });
        assert!(agree, "{address}: the bundle is judged otherwise than a look");
    }
    // Without a name it makes one, of its own form.
    let made = nopong(&["collect", &closed()]).current_dir(&folder).output().unwrap();
    assert!(folder.join(out(&made).trim()).is_file(), "{}", out(&made));
}

#[test]
fn a_bad_bundle_is_exit_2_with_its_place() {
    let folder = folder();
    let deep = "[".repeat(200_000);
    for text in
        ["", "{", "nonsense", "[]", "{\"schema_version\":1}", "{\"schema_version\":77,\"ask\":{}}", &deep]
    {
        std::fs::write(folder.join("bad.json"), text).unwrap();
        let args = ["diagnose", "--evidence", "bad.json"];
        let output = nopong(&args).current_dir(&folder).output().unwrap();
        assert_eq!(code(&output), 2, "{}", err(&output));
        assert!(err(&output).starts_with("nopong: bad.json: "), "{}", err(&output));
    }
}

#[test]
fn wait_ends_with_the_pong_or_with_the_diagnosis() {
    let address = closed();
    let started = std::time::Instant::now();
    let output = run(&["wait", "--timeout", "300ms", "--format", "json", &address]);
    assert!([1, 3].contains(&code(&output)));
    assert_eq!(json(&output)["stage"], "connect");
    assert!(started.elapsed() < std::time::Duration::from_secs(4));

    let late = address.clone();
    let server = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let listener = TcpListener::bind(late).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            let commands = bytes[..n].iter().filter(|b| **b == b'*').count().max(1);
            if stream.write_all(&b"+PONG\r\n".repeat(commands)).is_err() {
                break;
            }
        }
    });
    let output = run(&["wait", "--timeout", "20s", &address]);
    assert_eq!(code(&output), 0, "{}", out(&output));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "quiet in a pipe: {}", out(&output));
    server.join().unwrap();
    assert_eq!(code(&run(&["wait", "redis://h:x"])), 2);
}

#[test]
fn explain_pages_and_texts() {
    assert!(out(&run(&["explain"])).contains("bind-loopback-only"));
    let output = run(&["explain", "bind-loopback-only"]);
    assert!(code(&output) == 0 && out(&output).starts_with("# "), "{}", out(&output));
    assert!(err(&run(&["explain", "bind-loopback"])).contains("bind-loopback-only"));
    let output = run(&["explain", "--format", "json", "NOAUTH Authentication required."]);
    assert_eq!(json(&output)["causes"][0]["id"], "auth-missing");
}

#[test]
fn completions_and_man_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(out(&run(&["completions", shell])).contains("nopong"), "{shell}");
    }
    assert!(out(&run(&["man"])).contains(".TH nopong"));
    assert!(out(&run(&["man", "wait"])).contains("Exit codes"));
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = nopong(&["-v", &closed()]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!([1, 3].contains(&code(&output)), "{}", err(&output));
    assert!(output.stderr.is_empty(), "{}", err(&output));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = nopong(&["--version"]).stdout(full).output().unwrap();
    assert_eq!(code(&output), 2);
}

#[test]
fn no_escape_sequence_reaches_a_pipe() {
    let address = server(b"-ERR \x1b[2J\x1b]0;title\x07\xc2\x9b31m\r\n");
    for format in ["human", "json", "markdown", "html", "junit", "nagios"] {
        let output = run(&["-v", "--format", format, &address]);
        let text = out(&output);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{format}: {text:?}");
    }
    assert!(out(&run(&["--color", "always", &address])).contains("\x1b["));
    let ascii = nopong(&[&address]).env("LANG", "C").output().unwrap();
    assert!(out(&ascii).is_ascii(), "{}", out(&ascii));
}

/// A port of this machine that nobody listens on.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn explain_goes_on_to_the_address_that_the_text_names() {
    let text = format!("Error: connect ECONNREFUSED 127.0.0.1:{}", closed_port());
    for args in
        [["explain", "--run", "--format", "json", &text], ["explain", &text, "--run", "--format", "json"]]
    {
        let output = run(&args);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((report["outcome"].as_str(), report["stage"].as_str()), (Some("fault"), Some("connect")));
        assert!([1, 3].contains(&code(&output)), "{}", err(&output));
    }
    let output = run(&["explain", "--run", "NOAUTH Authentication required."]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("names no address"), "{}", err(&output));
}

#[test]
fn explain_echoes_no_password_of_the_text() {
    for text in [
        "cannot connect to redis://app:canary@127.0.0.1:1/0: Connection refused",
        "Invalid URL redis://:can=canary@cache:6379",
        "Invalid URL redis://:canary",
        "redis-cli -a canary: Connection refused \u{1b}]0;canary\u{7}",
    ] {
        for args in
            [&["explain", text][..], &["explain", text, "--format", "json"], &["explain", text, "--run"]]
        {
            let output = run(args);
            let all = out(&output) + &err(&output);
            assert!(!all.contains("canary"), "{text}: {all}");
            assert!(!all.contains('\u{1b}'), "{text}");
        }
    }
}

#[test]
fn explain_takes_its_format_on_either_side_of_the_text() {
    let text = "-WRONGPASS invalid username-password pair or user is disabled.";
    for args in [["explain", "--format", "json", text], ["explain", text, "--format", "json"]] {
        let answer = json(&run(&args));
        assert_eq!(answer["causes"][0]["id"], "auth-wrong", "{args:?}");
    }
    assert_eq!(code(&run(&["explain", "NOAUTH", "--format=xml"])), 2);
}

#[test]
fn a_far_place_is_a_host_and_nothing_else() {
    for bad in ["ssh:-oProxyCommand=touch /tmp/x", "ssh:a@-Fx", "ssh:$(id)", "ssh:a b", "ssh:", "ssh:db:22"] {
        for option in ["--from", "--server"] {
            let output = run(&[option, bad, "redis://127.0.0.1:1"]);
            assert_eq!((code(&output), output.stdout.len()), (2, 0), "{option} {bad}");
        }
    }
    assert!(err(&run(&["--from", "ssh:app@db:2222", "redis://db"])).contains("ssh://app@db:2222"));
}

#[test]
fn a_client_that_cannot_stand_there_is_exit_2_and_a_server_is_an_unknown() {
    // Port 1 (tcpmux) is closed on any machine a test runs on; without ssh it says that ssh is not here.
    let output = run(&["--from", "ssh://127.0.0.1:1", "redis://127.0.0.1:1"]);
    assert_eq!((code(&output), output.stdout.len()), (2, 0));
    assert!(err(&output).contains("cannot look from there: "), "{}", err(&output));
    let output = run(&["--format", "json", "--server", "ssh://127.0.0.1:1", "redis://127.0.0.1:1"]);
    let report = json(&output);
    assert!(matches!(code(&output), 1 | 3), "{report}");
    let evidence = report["evidence"].as_array().unwrap();
    let side = evidence.iter().find(|e| e["id"] == "server-standing").unwrap();
    assert_eq!(side["state"], "unknown", "{side}");
    let output = run(&["fix", "--server", "ssh:db", "redis://db:6379"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("acts on the machine it runs on"), "{}", err(&output));
}

#[test]
fn the_far_end_answers_orders_and_ends_with_its_input() {
    let mut child =
        nopong(&["collect", "--far"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let order = "{\"role\":\"client\",\"target\":{\"tls\":false,\"host\":\"127.0.0.1\",\"port\":1,\"port_given\":true,\"user_is_name\":false,\
                 \"password\":\"hunter2hunter2\",\"source\":\"argument\"},\"timeout_ms\":500,\"trace\":false,\
                 \"tls\":{\"insecure\":false},\"light\":true,\"everything\":false}\n{\"server_side\":false}\nnonsense\n";
    child.stdin.take().unwrap().write_all(order.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<String> = out(&output).lines().map(str::to_owned).collect();
    assert_eq!((code(&output), lines.len()), (0, 3), "{lines:?}");
    assert!(lines[0].contains("\"nopong-far\":1") && lines[1].contains("127.0.0.1"));
    assert!(lines[2].contains("ECONNREFUSED") && !out(&output).contains("hunter2"), "{}", lines[2]);
}
