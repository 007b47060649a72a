//! What Redis would answer, from no data at all. Pure: a command in, a reply out, what was heard written down.

use super::heard::{Auth, Heard};
use crate::secret::Secret;
use crate::text::shown;

/// Names of commands kept.
const COMMANDS_MAX: usize = 20;
/// AUTH attempts kept.
const AUTHS_MAX: usize = 4;
/// Commands of one transaction answered.
const QUEUE_MAX: usize = 1000;
/// The version it claims to be: new enough for RESP3 and CLIENT SETINFO (Redis 7.2).
const VERSION: &str = "7.2.0";

/// The state of a conversation.
#[derive(Debug, Default)]
pub(super) struct Answerer {
    /// RESP3 was asked for.
    three: bool,
    queue: Option<Vec<Vec<u8>>>,
    subscribed: usize,
}

/// A reply, and what is done beside it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// Bytes to send.
    pub(super) bytes: Vec<u8>,
    /// The conversation is over.
    pub(super) close: bool,
    /// The command waits for data that never come: answer late, else a worker asks again and again.
    pub(super) late: bool,
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\r\n").into_bytes()
}

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

impl Answerer {
    /// Answers one command and writes down what it tells.
    pub(super) fn answer(&mut self, args: &[Vec<u8>], heard: &mut Heard) -> Reply {
        let word = |at: usize| args.get(at).map(|a| shown(a, 64).to_ascii_uppercase()).unwrap_or_default();
        let (name, sub) = (word(0), word(1));
        note(&name, &sub, args, heard);
        let in_queue = self.queue.is_some()
            && !matches!(name.as_str(), "EXEC" | "DISCARD" | "MULTI" | "WATCH" | "QUIT" | "RESET");
        let mut reply = self.reply(&name, &sub, args);
        if let Some(queue) = self.queue.as_mut().filter(|_| in_queue) {
            if queue.len() >= QUEUE_MAX {
                return Reply { bytes: line("-ERR a longer transaction than the stand-in takes"), ..reply };
            }
            queue.push(std::mem::take(&mut reply.bytes));
            reply = Reply { bytes: line("+QUEUED"), ..Reply::default() };
        }
        reply
    }

    fn reply(&mut self, name: &str, sub: &str, args: &[Vec<u8>]) -> Reply {
        let bytes = match name {
            "PING" if self.subscribed > 0 && !self.three => self.array(&[bulk("pong"), bulk("")]),
            "PING" => args.get(1).map_or_else(|| line("+PONG"), |echo| bulk(&shown(echo, 200))),
            "ECHO" => bulk(&shown(args.get(1).map_or(&[][..], Vec::as_slice), 200)),
            "HELLO" => self.hello(args),
            "QUIT" => return Reply { bytes: line("+OK"), close: true, late: false },
            "RESET" => {
                *self = Self::default();
                line("+RESET")
            }
            "AUTH" | "SELECT" | "SET" | "SETEX" | "PSETEX" | "MSET" | "HMSET" | "FLUSHDB" | "FLUSHALL"
            | "WATCH" | "UNWATCH" | "LTRIM" | "SWAPDB" | "MONITOR" | "ASKING" => line("+OK"),
            "CLIENT" => self.client(sub),
            "INFO" => bulk(&info()),
            "COMMAND" => match sub {
                "COUNT" => line(":0"),
                "DOCS" => self.map(&[]),
                _ => line("*0"),
            },
            "CONFIG" if sub == "GET" => self.map(&[]),
            "CONFIG" => line("+OK"),
            "CLUSTER" | "READONLY" | "READWRITE" => line("-ERR This instance has cluster support disabled"),
            "SENTINEL" => {
                line(&format!("-ERR unknown command 'SENTINEL', with args beginning with: '{}' ", plain(sub)))
            }
            "PSYNC" | "SYNC" => line("-ERR a stand-in has no data to replicate"),
            "REPLCONF" => line("+OK"),
            "ROLE" => self.array(&[bulk("master"), line(":0"), line("*0")]),
            "ACL" if sub == "WHOAMI" => bulk("default"),
            "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE" => {
                self.subscription(name, args)
            }
            "MULTI" => {
                self.queue = Some(Vec::new());
                line("+OK")
            }
            "EXEC" => match self.queue.take() {
                Some(queue) => self.array(&queue),
                None => line("-ERR EXEC without MULTI"),
            },
            "DISCARD" => {
                self.queue = None;
                line("+OK")
            }
            "BLPOP" | "BRPOP" | "BLMPOP" | "BRPOPLPUSH" | "BLMOVE" | "BZPOPMIN" | "BZPOPMAX" | "XREAD"
            | "XREADGROUP" => {
                let blocks = !name.starts_with('X') || args.iter().any(|a| a.eq_ignore_ascii_case(b"BLOCK"));
                let bytes = if self.three { line("_") } else { line("*-1") };
                return Reply { bytes, close: false, late: blocks };
            }
            "EVALSHA" | "EVALSHA_RO" | "FCALL" => line("-NOSCRIPT No matching script. Please use EVAL."),
            "SCRIPT" if sub == "LOAD" => bulk(&"0".repeat(40)),
            "SCRIPT" if sub == "EXISTS" => {
                self.array(&vec![line(":0"); args.len().saturating_sub(2).min(1000)])
            }
            "MGET" | "HMGET" => {
                let keys = args.len().saturating_sub(if name == "MGET" { 1 } else { 2 }).min(1000);
                self.array(&vec![self.nil(); keys])
            }
            "HGETALL" => self.map(&[]),
            "SCAN" | "SSCAN" | "HSCAN" | "ZSCAN" => self.array(&[bulk("0"), line("*0")]),
            "TYPE" => line("+none"),
            "TTL" | "PTTL" => line(":-2"),
            "TIME" => self.array(&[bulk("0"), bulk("0")]),
            "GET" | "GETEX" | "GETDEL" | "GETSET" | "HGET" | "LPOP" | "RPOP" | "SPOP" | "LINDEX"
            | "ZSCORE" | "EVAL" | "EVAL_RO" | "RANDOMKEY" | "LMOVE" | "RPOPLPUSH" => self.nil(),
            "DEL" | "UNLINK" | "EXISTS" | "STRLEN" | "HLEN" | "LLEN" | "SCARD" | "ZCARD" | "XLEN"
            | "DBSIZE" | "PUBLISH" | "WAIT" | "HEXISTS" | "SISMEMBER" | "GETBIT" | "ZCOUNT" | "HDEL"
            | "SREM" | "ZREM" | "LREM" | "XACK" => line(":0"),
            "INCR" | "DECR" | "INCRBY" | "DECRBY" | "HINCRBY" | "LPUSH" | "RPUSH" | "SADD" | "ZADD"
            | "HSET" | "HSETNX" | "SETNX" | "APPEND" | "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT"
            | "PERSIST" | "SETBIT" => line(":1"),
            "KEYS" | "LRANGE" | "SMEMBERS" | "HKEYS" | "HVALS" | "ZRANGE" | "ZREVRANGE" | "ZRANGEBYSCORE"
            | "XRANGE" | "XREVRANGE" | "SLOWLOG" | "LATENCY" | "MODULE" | "ACL" | "SCRIPT" | "MEMORY" => {
                line("*0")
            }
            other => line(&format!(
                "-ERR unknown command '{}' to nopong's stand-in, which stores nothing",
                plain(other)
            )),
        };
        Reply { bytes, ..Reply::default() }
    }

    /// HELLO [version [AUTH user password] [SETNAME name]] (Redis 6).
    fn hello(&mut self, args: &[Vec<u8>]) -> Vec<u8> {
        match args.get(1).map(Vec::as_slice) {
            None => {}
            Some(b"2") => self.three = false,
            Some(b"3") => self.three = true,
            Some(_) => return line("-NOPROTO unsupported protocol version"),
        }
        let proto = if self.three { line(":3") } else { line(":2") };
        self.map(&[
            ("server", bulk("redis")),
            ("version", bulk(VERSION)),
            ("proto", proto),
            ("id", line(":1")),
            ("mode", bulk("standalone")),
            ("role", bulk("master")),
            ("modules", line("*0")),
        ])
    }

    fn client(&self, sub: &str) -> Vec<u8> {
        match sub {
            "ID" => line(":1"),
            "GETNAME" => self.nil(),
            "LIST" | "INFO" => bulk("id=1 addr=127.0.0.1:0 name= db=0 cmd=client"),
            _ => line("+OK"),
        }
    }

    fn subscription(&mut self, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
        let off = name.contains("UNSUB");
        let mut out = Vec::new();
        for channel in args.iter().skip(1).take(1000) {
            self.subscribed = if off { self.subscribed.saturating_sub(1) } else { self.subscribed + 1 };
            out.extend_from_slice(if self.three { b">3\r\n" } else { b"*3\r\n" });
            out.extend(bulk(&name.to_ascii_lowercase()));
            out.extend(bulk(&shown(channel, 200)));
            out.extend(line(&format!(":{}", self.subscribed)));
        }
        if out.is_empty() {
            out.extend(line("-ERR wrong number of arguments"));
        }
        out
    }

    fn nil(&self) -> Vec<u8> {
        if self.three { line("_") } else { line("$-1") }
    }

    #[expect(clippy::unused_self, reason = "beside `map` and `nil`, which need it")]
    fn array(&self, items: &[Vec<u8>]) -> Vec<u8> {
        let mut out = line(&format!("*{}", items.len()));
        out.extend(items.concat());
        out
    }

    fn map(&self, pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out = if self.three {
            line(&format!("%{}", pairs.len()))
        } else {
            line(&format!("*{}", pairs.len() * 2))
        };
        for (key, value) in pairs {
            out.extend(bulk(key));
            out.extend_from_slice(value);
        }
        out
    }
}

/// A word as it may stand in an error line.
fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_graphic).take(64).collect()
}

fn info() -> String {
    [
        "# Server",
        &format!("redis_version:{VERSION}"),
        "redis_mode:standalone",
        "# Persistence",
        "loading:0",
        "# Replication",
        "role:master",
        "connected_slaves:0",
        "# Cluster",
        "cluster_enabled:0",
        "",
    ]
    .join("\r\n")
}

/// Writes down what a command tells of the client; of keys and values only the number.
fn note(name: &str, sub: &str, args: &[Vec<u8>], heard: &mut Heard) {
    let text = |at: usize| args.get(at).map(|a| shown(a, 100));
    heard.count += 1;
    let shape = |c: char| c.is_ascii_alphabetic() || "._-".contains(c);
    // A password or a key where a command's name should be is not shown.
    let known = name.len() <= 32 && !name.is_empty() && name.chars().all(shape);
    let known = if known { name } else { "(not a command's name)" };
    let container = ["CLIENT", "CLUSTER", "COMMAND", "CONFIG", "SENTINEL", "SCRIPT", "ACL"].contains(&name)
        && sub.chars().all(|c| c.is_ascii_uppercase() || c == '-' || c == '_');
    let full = if container && !sub.is_empty() { format!("{known} {sub}") } else { known.to_owned() };
    let counted = args.len().saturating_sub(if full == known { 1 } else { 2 });
    if heard.commands.len() < COMMANDS_MAX {
        heard.commands.push((full, counted));
    }
    let mut auth = |user: Option<&Vec<u8>>, password: Option<&Vec<u8>>| {
        if let Some(password) = password.filter(|_| heard.auths.len() < AUTHS_MAX) {
            heard.auths.push(Auth {
                user: user.map(|u| shown(u, 100)),
                bytes: password.len(),
                password: Secret::new(String::from_utf8_lossy(password)),
            });
        }
    };
    match (name, sub) {
        ("AUTH", _) if args.len() == 2 => auth(None, args.get(1)),
        ("AUTH", _) => auth(args.get(1), args.get(2)),
        ("HELLO", version) => {
            heard.hello = Some(version.to_owned());
            let at = |word: &[u8]| args.iter().position(|a| a.eq_ignore_ascii_case(word));
            if let Some(at) = at(b"AUTH") {
                auth(args.get(at + 1), args.get(at + 2));
            }
            if let Some(at) = at(b"SETNAME") {
                heard.name = text(at + 1);
            }
        }
        ("SELECT", _) => heard.db = text(1),
        ("CLIENT", "SETNAME") => heard.name = text(2),
        ("CLIENT", "SETINFO") => match args.get(2) {
            Some(key) if key.eq_ignore_ascii_case(b"LIB-NAME") => heard.library = text(3),
            Some(key) if key.eq_ignore_ascii_case(b"LIB-VER") => heard.version = text(3),
            _ => {}
        },
        ("CLUSTER", "SLOTS" | "SHARDS" | "NODES") => heard.cluster = Some(format!("CLUSTER {sub}")),
        ("SENTINEL", _) => heard.sentinel = true,
        ("PSYNC" | "SYNC", _) => heard.replica = true,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Answerer;
    use crate::listen::heard::Heard;
    use crate::wire::{Bounds, Decoder, Value};

    fn ask(answerer: &mut Answerer, heard: &mut Heard, command: &str) -> String {
        let args: Vec<Vec<u8>> = command.split(' ').map(|w| w.as_bytes().to_vec()).collect();
        let reply = answerer.answer(&args, heard);
        // Whatever is answered is RESP.
        let mut decoder = Decoder::new(Bounds::default());
        decoder.feed(&reply.bytes);
        let mut said = Vec::new();
        while let Some(value) = decoder.next().expect("RESP") {
            said.push(if let Value::Error(e) = &value {
                format!("-{}", String::from_utf8_lossy(e))
            } else {
                value.render(500)
            });
        }
        assert!(!decoder.partial(), "{command}");
        said.join(" ")
    }

    #[test]
    fn a_client_tells_who_it_is() {
        let (mut answerer, mut heard) = (Answerer::default(), Heard::default());
        let mut all = |command: &str| ask(&mut answerer, &mut heard, command);
        assert!(all("HELLO 3 AUTH app hunter2 SETNAME web-1").contains("proto 3"));
        assert_eq!(all("client setinfo LIB-NAME redis-py"), "OK");
        assert_eq!(all("CLIENT SETINFO LIB-VER 5.0.1"), "OK");
        assert_eq!(all("SELECT 5"), "OK");
        assert!(all("CLUSTER SLOTS").starts_with("-ERR This instance has cluster support disabled"));
        assert!(
            all("SENTINEL get-master-addr-by-name mymaster").starts_with("-ERR unknown command 'SENTINEL'")
        );
        assert_eq!(all("GET hunter2"), "nil");
        assert_eq!(all("PING"), "PONG");
        assert_eq!((heard.hello.as_deref(), heard.db.as_deref()), (Some("3"), Some("5")));
        assert_eq!((heard.library.as_deref(), heard.version.as_deref()), (Some("redis-py"), Some("5.0.1")));
        assert_eq!((heard.auths[0].user.as_deref(), heard.auths[0].bytes), (Some("app"), 7));
        assert_eq!(heard.commands[6], ("GET".to_owned(), 1));
        assert!(!format!("{heard:?}").contains("hunter2"), "{heard:?}");
    }

    #[test]
    fn transactions_subscriptions_and_blocking() {
        let (mut answerer, mut heard) = (Answerer::default(), Heard::default());
        let mut all = |command: &str| ask(&mut answerer, &mut heard, command);
        assert_eq!(all("MULTI"), "OK");
        assert_eq!(all("SET a b"), "QUEUED");
        assert_eq!(all("INCR n"), "QUEUED");
        assert_eq!(all("EXEC"), "[OK 1]");
        assert_eq!(all("SUBSCRIBE a b"), "[subscribe a 1] [subscribe b 2]");
        assert_eq!(all("PING"), "[pong ]");
        assert!(answerer.answer(&[b"BRPOP".to_vec(), b"q".to_vec(), b"0".to_vec()], &mut heard).late);
        assert!(answerer.answer(&[b"QUIT".to_vec()], &mut heard).close);
        assert!(!answerer.answer(&[], &mut heard).bytes.is_empty());
        assert!(!answerer.answer(&[b"a\r\n+OK\r\n".to_vec()], &mut heard).bytes.starts_with(b"+"));
    }
}
