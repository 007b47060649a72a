//! `nopong listen` with real clients, where they are installed.
#![expect(clippy::disallowed_methods, reason = "starts the program under test, and clients")]

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A secret that may be seen nowhere.
const CANARY: &str = "canary-hunter2";

struct Standing {
    child: Child,
    port: String,
    error: BufReader<std::process::ChildStderr>,
}

impl Standing {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nopong"))
            .args(["listen", "127.0.0.1:0", "--for", "60s"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nopong");
        let mut error = BufReader::new(child.stderr.take().expect("stderr"));
        let mut line = String::new();
        error.read_line(&mut line).expect("where it stands");
        let port =
            line.split("127.0.0.1:").nth(1).and_then(|l| l.split(',').next()).expect("a port").to_owned();
        Self { child, port, error }
    }

    /// Ends it as Ctrl-C does: exit code, stdout and stderr.
    fn end(mut self) -> (i32, String, String) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
        let (mut out, mut error) = (String::new(), String::new());
        self.child.stdout.take().expect("stdout").read_to_string(&mut out).expect("text");
        self.error.read_to_string(&mut error).expect("text");
        (self.child.wait().expect("an end").code().expect("a code"), out, error)
    }

    fn clients(self) -> Vec<Value> {
        let (code, out, _) = self.end();
        assert_eq!(code, 0, "{out}");
        assert!(!out.contains(CANARY), "{out}");
        let document: Value = serde_json::from_str(&out).expect("one document");
        document["clients"].as_array().expect("clients").clone()
    }
}

fn says(client: &Value) -> String {
    client["says"].to_string()
}

#[test]
fn what_a_client_sends_is_told_and_its_password_is_not() {
    for format in ["human", "json"] {
        let standing = Standing::start(&["--format", format]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", standing.port)).expect("a stand-in");
        let command = |words: &[&str]| {
            let mut all = format!("*{}\r\n", words.len());
            words.iter().for_each(|w| all.push_str(&format!("${}\r\n{w}\r\n", w.len())));
            all
        };
        let all = [
            command(&["AUTH", "app", CANARY]),
            command(&["CLIENT", "SETINFO", "LIB-NAME", "some-lib"]),
            command(&["SELECT", "5"]),
            command(&["SET", CANARY, CANARY]),
            // A password where a command should be.
            command(&[CANARY]),
        ];
        stream.write_all(all.concat().as_bytes()).expect("bytes");
        let mut answers = [0; 20];
        stream.read_exact(&mut answers).expect("answers");
        assert_eq!(&answers, b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
        drop(stream);
        let (code, out, error) = standing.end();
        assert_eq!(code, 0, "{out}");
        assert!(!out.contains(CANARY) && !error.contains(CANARY), "{out}{error}");
        let expected = format!("sends AUTH as user app, password of {} bytes", CANARY.len());
        assert!(out.contains(&expected) && out.contains("some-lib") && out.contains("SET"), "{out}");
    }
}

#[test]
fn nobody_came() {
    let (code, out, _) = Standing::start(&[]).end();
    assert!(code == 1 && out.starts_with("nobody dialled"), "{code} {out}");
}

#[test]
fn redis_cli() {
    let standing = Standing::start(&["--format", "json"]);
    let cli = |args: &[&str]| {
        Command::new("redis-cli").args(["-p", &standing.port]).args(args).env_remove("REDISCLI_AUTH").output()
    };
    let Ok(pong) = cli(&["ping"]) else {
        skipped("redis-cli is not installed");
        return;
    };
    assert_eq!(pong.stdout, b"PONG\n");
    let got = cli(&["-a", CANARY, "-n", "5", "get", CANARY]).expect("redis-cli");
    assert_eq!(got.stdout, b"\n");
    let tls = cli(&["--tls", "ping"]).expect("redis-cli");
    let clients = standing.clients();
    assert!(says(&clients[0]).contains("nothing wrong was heard"), "{clients:#?}");
    assert!(
        clients.iter().any(|c| says(c).contains("password of 14 bytes") && c["db"] == "5"),
        "{clients:#?}"
    );
    if String::from_utf8_lossy(&tls.stderr).contains("Unrecognized option") {
        skipped("this redis-cli has no TLS");
    } else {
        assert!(clients.iter().any(|c| says(c).contains("sends TLS to a plain port")), "{clients:#?}");
    }
}

#[expect(clippy::print_stdout, reason = "says why nothing was tested")]
fn skipped(why: &str) {
    println!("skipped: {why}");
}

/// Runs a script with `PORT` in its environment; none, with a word on why, where the client is not installed.
fn with_client(check: &[&str], run: &[&str], directory: Option<&str>) -> Option<Vec<Value>> {
    let start = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        command
    };
    if !start(check).output().is_ok_and(|o| o.status.success()) {
        skipped(&format!("`{}` fails", check.join(" ")));
        return None;
    }
    let standing = Standing::start(&["--format", "json"]);
    let output = start(run).env("PORT", &standing.port).output().expect("a client");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(standing.clients())
}

/// NOPONG_TEST_PYTHON names a Python that has redis-py.
#[test]
fn redis_py() {
    let python = std::env::var("NOPONG_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = "
import os, redis
port = int(os.environ['PORT'])
for protocol in (2, 3):
    r = redis.Redis(host='127.0.0.1', port=port, db=5, username='app', password='canary-hunter2', client_name='web-1', protocol=protocol)
    assert r.ping() and r.set('k', 'v') and r.get('k') is None and r.hgetall('h') == {} and r.incr('n') == 1
    p = r.pipeline(); p.set('a', 1); p.get('a'); assert p.execute() == [True, None]
    s = r.pubsub(); s.subscribe('c'); assert s.get_message(timeout=2)['type'] == 'subscribe'
try: redis.RedisCluster(host='127.0.0.1', port=port)
except redis.exceptions.RedisClusterException: pass
";
    let Some(clients) = with_client(&[&python, "-c", "import redis"], &[&python, "-c", script], None) else {
        return;
    };
    let first = clients.iter().find(|c| c["name"] == "web-1").expect("the client");
    assert_eq!((first["library"].as_str(), first["db"].as_str()), (Some("redis-py"), Some("5")), "{first:#}");
    assert!(says(first).contains("as user app, password of 14 bytes"), "{first:#}");
    assert!(clients.iter().any(|c| says(c).contains("set up for a cluster")), "{clients:#?}");
}

/// NOPONG_TEST_NODE names a directory with ioredis and redis in its node_modules.
#[test]
fn ioredis_and_node_redis() {
    let directory = std::env::var("NOPONG_TEST_NODE").ok();
    let script = "
const Redis = require('ioredis'), {createClient} = require('redis'), port = +process.env.PORT;
(async () => {
  const r = new Redis({port, db: 2, password: 'canary-hunter2', connectionName: 'web'});
  if (await r.ping() !== 'PONG' || await r.set('a', 'b') !== 'OK' || await r.get('a') !== null) throw 1;
  await r.quit();
  const c = createClient({url: `redis://app:canary-hunter2@127.0.0.1:${port}/3`});
  c.on('error', e => { throw e; });
  await c.connect();
  if (await c.ping() !== 'PONG' || await c.get('a') !== null) throw 2;
  await c.quit();
})().catch(e => { console.error(e); process.exit(1); });
";
    let check = ["node", "-e", "require('ioredis'); require('redis')"];
    let Some(clients) = with_client(&check, &["node", "-e", script], directory.as_deref()) else { return };
    for (library, db) in [("ioredis", "2"), ("node-redis", "3")] {
        let client =
            clients.iter().find(|c| c["library"] == library).unwrap_or_else(|| panic!("{clients:#?}"));
        assert_eq!(client["db"], db);
        assert!(says(client).contains("password of 14 bytes"), "{client:#}");
    }
}
