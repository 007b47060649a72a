//! What parses, what does not, and where the caret stands.

use super::parse;

fn dials(text: &str) -> String {
    let target = parse(text, "argument");
    assert!(target.problem.is_none(), "{text}: {:?}", target.problem);
    target.redacted()
}

/// The column of the offending place, and what was meant.
fn wrong(text: &str) -> (usize, String) {
    let target = parse(text, "argument");
    let problem = target.problem.unwrap_or_else(|| panic!("{text} parses"));
    assert_eq!(problem.id, "url-malformed");
    (problem.marked.expect("marked").1, problem.meant.unwrap_or_default())
}

#[test]
fn the_contracts_forms() {
    for (text, url) in [
        ("redis://10.0.0.5", "redis://10.0.0.5:6379"),
        ("redis://10.0.0.5:6380/3", "redis://10.0.0.5:6380/3"),
        ("redis://10.0.0.5:6380/", "redis://10.0.0.5:6380"),
        ("rediss://u:p@h:6379", "rediss://u:***@h:6379"),
        ("valkey://:p@h", "redis://:***@h:6379"),
        ("valkeys://h", "rediss://h:6379"),
        ("REDIS://h", "redis://h:6379"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("/run/redis.sock", "unix:///run/redis.sock"),
        ("redis+unix:///run/r.sock?db=1", "unix:///run/r.sock"),
        ("h", "redis://h:6379"),
        ("h:6380", "redis://h:6380"),
        ("redis:6379", "redis://redis:6379"),
        ("::1", "redis://[::1]:6379"),
        ("[::1]:7000", "redis://[::1]:7000"),
        ("redis://[fe80::1%25eth0]:1", "redis://[fe80::1%eth0]:1"),
        ("redis://h?db=2&ssl=true", "rediss://h:6379/2"),
        ("redis://h?password=p@ss", "redis://:***@h:6379"),
        ("redis://u:a:b@h", "redis://u:***@h:6379"),
        ("redis://lone@h", "redis://***@h:6379"),
        ("redis://default@h", "redis://default@h:6379"),
        ("redis://h_1.example.", "redis://h_1.example.:6379"),
        ("redis://bücher.example", "redis://bücher.example:6379"),
    ] {
        assert_eq!(dials(text), url, "{text}");
    }
}

#[test]
fn percent_decoding() {
    let target = parse("redis://a%40b:p%23%2F%3a@h", "argument");
    assert_eq!(target.user.as_deref(), Some("a@b"));
    assert_eq!(target.password.expect("a password").reveal(), "p#/:");
}

#[test]
fn the_place_and_the_repair() {
    for (text, column, meant) in [
        ("", 0, "redis://127.0.0.1:6379"),
        ("redis://:p#ss@h:6379/0", 10, "redis://:***@h:6379/0, with every `#` of the password as %23"),
        ("redis://:p/ss@h", 10, "redis://:***@h, with every `/` of the password as %2F"),
        ("redis://:p?ss@h", 10, "redis://:***@h, with every `?` of the password as %3F"),
        ("redis://u:p@ss@h", 11, "redis://u:***@h, with every `@` of the password as %40"),
        ("redis://u:100%@h", 13, ""),
        ("u:p@h:6379", 0, "redis://u:***@h:6379"),
        ("h:6379/0", 6, "redis://h:6379/0"),
        ("http://h:6379", 0, "redis://h:6379"),
        ("https://h", 0, "rediss://h"),
        ("tcp://h:6379", 0, "redis://h:6379"),
        ("redis:h", 6, "redis://h"),
        ("redis:/h:6379", 6, "redis://h:6379"),
        ("redis//h", 5, "redis://h"),
        ("redis://redis://h", 8, "redis://h"),
        ("redis://h:70000", 10, "redis://h:6379"),
        ("redis://h:0", 10, "redis://h:6379"),
        ("redis://h:+1", 10, "redis://h:6379"),
        ("redis://h:", 10, "redis://h:6379"),
        ("redis://h:6379:6379", 14, "redis://h:6379"),
        ("redis://h/one", 10, "redis://h/0"),
        ("redis://h:6379 ", 14, "redis://h:6379"),
        ("redis://h:6379\r", 14, "redis://h:6379"),
        ("\"redis://h\"", 0, "redis://h"),
        ("redis://h:63 79", 12, ""),
        ("\u{feff}redis://h", 0, "redis://h"),
        ("redis://::1:6379", 8, "redis://[::1]:6379"),
        ("redis://fe80::1", 8, "redis://[fe80::1]:6379"),
        ("::1:6379", 0, "redis://[::1]:6379"),
        ("redis://[::1", 8, ""),
        ("redis://", 8, "redis://127.0.0.1:6379"),
        ("redis://:6380", 8, "redis://127.0.0.1:6380"),
        ("6379", 0, "127.0.0.1:6379"),
        ("redis://10.0.0.256", 8, ""),
        ("${REDIS_URL}", 0, ""),
        ("$REDIS_HOST", 0, ""),
        ("redis://${HOST}:6379", 8, ""),
        ("{{ .Values.redis }}", 2, ""),
        ("redis://<host>:6379", 8, ""),
        ("redis+sentinel://a:26379,b:26379/mymaster", 0, "redis://a:26379"),
        ("rediss-cluster://:p@a:7000", 0, "rediss://a:7000"),
        ("a:6379,b:6379", 6, "redis://a:6379"),
        ("a:6379,password=x,ssl=true", 6, "redis://a:6379"),
        ("redis://h:6379#x", 14, "redis://h:6379"),
        ("unix://run/redis.sock", 7, "unix:///run/redis.sock"),
    ] {
        assert_eq!(wrong(text), (column, meant.to_owned()), "{text}");
    }
    let long = format!("unix:///{}", "x".repeat(107));
    assert!(parse(&long, "argument").problem.is_some_and(|p| p.says.contains("107")));
    assert!(parse(&long[..7 + 107], "argument").problem.is_none());
}

/// A small generator (xorshift, Marsaglia 2003): the same texts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const PIECES: &[&str] = &[
    "redis",
    "rediss",
    "unix",
    "://",
    ":",
    "//",
    "/",
    "@",
    "#",
    "?",
    "%",
    "%2",
    "%zz",
    "%00",
    "&",
    "=",
    "[",
    "]",
    "::1",
    "10.0.0.5",
    "6379",
    "99999",
    "db",
    "password=",
    "\r",
    "\n",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "é",
    "💥",
    "${X}",
    "{{",
    "<",
    ">",
    ",",
    " ",
    "\"",
    "'",
    "redis-cli -a ",
    "tcp",
    "h",
    ".",
    "..",
    "-",
    "_",
    "$",
];

#[test]
fn no_text_panics() {
    let mut random = Random(42);
    for _ in 0..50_000 {
        let n = random.below(12);
        let text: String = (0..n).map(|_| random.pick(PIECES)).collect();
        let target = parse(&text, "argument");
        let shown = format!("{target:?} {} {:?}", target.redacted(), target.ask(1, None));
        assert!(!shown.contains('\u{202e}'), "{text:?}: {shown}");
        if let Some((marked, column)) = target.problem.and_then(|p| p.marked) {
            assert!(column <= marked.chars().count(), "{text:?}: {marked} {column}");
        }
    }
}

#[test]
fn no_message_holds_the_password() {
    let mut random = Random(7);
    for _ in 0..50_000 {
        let scheme = random.pick(&[
            "redis://",
            "rediss://",
            "valkey://",
            "http://",
            "",
            "redis:",
            "redis:/",
            "foo://",
        ]);
        let user = random.pick(&["", "u", "default", "a.b", "é"]);
        let (before, after) = (random.pick(PIECES), random.pick(PIECES));
        let host = random.pick(&["h", "h:6379", "h:port", "", "[::1", "10.0.0.256", "h/0", "h/x?y", "h,i"]);
        let text = format!("{scheme}{user}:{before}canary{after}@{host}");
        let target = parse(&text, "argument");
        let problem = format!("{:?} {} {:?}", target.problem, target.redacted(), target.ask(1, None));
        assert!(!problem.contains("canary"), "{text:?}: {problem}");
    }
}
