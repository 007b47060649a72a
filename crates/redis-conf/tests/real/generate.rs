//! Configurations to compare on: some written by hand for the corners, many generated, the same ones on every run.

use std::fmt::Write as _;

use redis_conf::Release;
use redis_conf::table::{Directive, Form, Kind, Special};

/// A start: the files beside `c.conf`, further arguments, and whether a socket is added to ask it through.
pub(crate) struct Case {
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) args: Vec<String>,
    pub(crate) socket: bool,
}

impl Case {
    pub(crate) fn text(text: &str, socket: bool) -> Self {
        Self { files: vec![("c.conf", text.as_bytes().to_vec())], args: Vec::new(), socket }
    }

    pub(crate) fn sentinel(text: &str) -> Self {
        let mut case = Self::text(text, true);
        case.args.push("--sentinel".to_owned());
        case
    }

    fn with(mut self, path: &'static str, content: &[u8]) -> Self {
        self.files.push((path, content.to_vec()));
        self
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|a| (*a).to_owned()).collect();
        self
    }

    pub(crate) fn shown(&self) -> String {
        let mut out = String::new();
        for (path, content) in &self.files {
            let text: String = String::from_utf8_lossy(content).chars().take(1500).collect();
            let _ = write!(out, "--- {path} {:?}\n{text}", self.args);
        }
        out
    }
}

/// splitmix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// 200 files; `REDIS_CONF_CASES` asks for more, `REDIS_CONF_SEED` for others.
pub(crate) fn generated(release: Release) -> Vec<Case> {
    let number = |name, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let first: u64 = number("REDIS_CONF_SEED", 0);
    (first..first + number("REDIS_CONF_CASES", 200)).map(|seed| case(release, seed)).collect()
}

fn case(release: Release, seed: u64) -> Case {
    let mut random = Random(seed * 7919 + 17);
    let rows: Vec<&Directive> = Directive::all(release).filter(|row| !untestable(row.name)).collect();
    // Half of the files are all valid, so that values are compared and not only refusals.
    let faults = random.one_in(2);
    let mut text = String::new();
    for _ in 0..random.below(14) + 2 {
        let row = random.of(&rows);
        let bad = faults && random.one_in(4);
        let name = match row.alias {
            Some(alias) if random.one_in(3) => alias,
            _ => row.name,
        };
        let name = if random.one_in(5) { name.to_ascii_uppercase() } else { name.to_owned() };
        let value = if bad { bad_value(&mut random, row) } else { good_value(&mut random, row) };
        let indent = random.of(&["", "", "", "  ", "\t"]);
        let gap = random.of(&[" ", " ", "\t", "   "]);
        let end = random.of(&["\n", "\n", "\r\n", " \n", "\n\n# a comment\n"]);
        let _ = write!(text, "{indent}{name}{gap}{value}{end}");
    }
    if faults && random.one_in(3) {
        let odd = [
            "foo bar\n",
            "port\n",
            "port \"1\n",
            "user\n",
            "sentinel monitor a 127.0.0.1 1 1\n",
            "include /nonexistent\n",
            "rename-command NOPE x\n",
            "lua-replicate-commands yes\n",
            "list-max-ziplist-entries 5\n",
            "loadmodule\n",
            "a.b\n",
            "io-threads-do-reads yes\n",
            "dynamic-hz maybe\n",
            "set-max-listpack-entries 5\n",
            "commandlog-reply-larger-than 5\n",
        ];
        text.push_str(random.of(&odd));
    }
    Case::text(&text, true)
}

/// Directives that would take the server away from the test or change the machine.
fn untestable(name: &str) -> bool {
    let skipped = [
        // Would leave us, or be seen by someone else.
        "daemonize",
        "unixsocket",
        "unixsocketgroup",
        "supervised",
        "syslog-enabled",
        "oom-score-adj",
        "oom-score-adj-values",
        "logfile",
        "pidfile",
        "aclfile",
        "dir",
        "disable-thp",
        // Asks for locales, users or hardware of the machine.
        "locale-collate",
        "rdma-port",
        "rdma-bind",
        // Cost memory or threads when started.
        "databases",
        "io-threads",
        "maxclients",
        "enable-debug-assert",
        // Would cut us off.
        "maxmemory-clients",
    ];
    skipped.contains(&name)
}

fn good_value(random: &mut Random, row: &Directive) -> String {
    match row.kind {
        Kind::YesNo if matches!(row.name, "activedefrag" | "tls-cluster" | "tls-replication") => {
            "no".to_owned()
        }
        Kind::YesNo => random.of(&["yes", "no", "YES", "\"no\""]).to_owned(),
        Kind::Words { words, many } => {
            let mut picked = vec![words[random.below(words.len())].0];
            if many && random.one_in(2) {
                picked.extend(["now", "force"]);
            }
            picked.join(" ")
        }
        Kind::Number { .. } if row.name == "tls-port" => "0".to_owned(),
        Kind::Number { lower, upper, form, .. } => number(random, lower, upper, form),
        Kind::Text(_) => text(random, row.name),
        Kind::Special(special) => special_value(random, special).to_owned(),
    }
}

fn number(random: &mut Random, lower: i64, upper: u64, form: Form) -> String {
    let top = i64::try_from(upper).unwrap_or(i64::MAX);
    let value = match random.below(4) {
        0 => lower,
        1 => top.min(1000),
        2 => lower.saturating_add(i64::try_from(random.below(500)).unwrap_or(0)).min(top),
        _ => top,
    };
    match form {
        Form::Octal => format!("{value:o}"),
        Form::Memory if lower <= 2048 && random.one_in(2) && upper > 1 << 40 => {
            random.of(&["1mb", "2GB", "100k", "64kb", "1g", "5b", "7M"]).to_owned()
        }
        _ => value.to_string(),
    }
}

fn text(random: &mut Random, name: &str) -> String {
    let word = match name {
        "cluster-announce-client-ipv4" | "replica-announce-ip" | "cluster-announce-ip" => "10.1.2.3",
        "cluster-announce-client-ipv6" => "fe80::1",
        "proc-title-template" => random.of(&["\"{title} {port}\"", "x", "\"{listen-addr} {server-mode}\""]),
        // A CPU that is not there is only logged.
        name if name.ends_with("cpulist") => "0",
        "bind-source-addr" => "127.0.0.1",
        _ => random.of(&["abc", "a-b.c", "\"two-words\"", "'x'", "Z9"]),
    };
    word.to_owned()
}

fn special_value(random: &mut Random, special: Special) -> &'static str {
    match special {
        Special::Bind => random.of(&[
            "127.0.0.1",
            "127.0.0.1 ::1",
            "* -::*",
            "\"127.0.0.1 -::1\"",
            "0.0.0.0",
            "127.0.0.1 -10.9.9.9",
            "127.0.0.2 127.0.0.3",
        ]),
        Special::Save => random.of(&["900 1", "60 10 30 2", "\"\"", "\"3600 1 300 100\"", ""]),
        Special::ClientOutputBufferLimit => {
            random.of(&["replica 1mb 2k 5", "normal 0 0 0 pubsub 8mb 1mb 60", "slave 0 0 0"])
        }
        Special::LatencyPercentiles => random.of(&["50", "50 99.5 99.9", "\"\"", "0 100 0.125", "1e1 0x10"]),
        Special::NotifyKeyspaceEvents => random.of(&["\"\"", "KEA", "Kl$g", "Elzn", "KEg$lshzxetd", "m"]),
        Special::OomScoreAdjValues => "0 200 800",
        Special::ReplicaOf => random.of(&["no one", "127.0.0.1 7", "NO ONE"]),
        Special::RdmaBind | Special::Dir => "",
    }
}

fn bad_value(random: &mut Random, row: &Directive) -> String {
    let any = ["", "a b c", "\"x", "x\"y\"z", "1 2", "\u{e9}", "\"\\x00\""];
    let of_kind: &[&str] = match row.kind {
        Kind::YesNo => &["true", "1", "on", "\"\"", "yes no"],
        Kind::Words { .. } => &["nope", "\"\"", "yes,no", "save nosave"],
        Kind::Number { form: Form::Plain, .. } => {
            &["-2147483649", "99999999999999999999", "1k", "+1", "010", "1.5", "x", "\" 1\"", "-1", "70000"]
        }
        Kind::Number { form: Form::Octal, .. } => &["888", "1000", "-1", "x", "7777777777777777777777777"],
        Kind::Number { .. } => {
            &["-1", "1tb", "1.5gb", "x", "101%", "-5%", "1 mb", "18446744073709551615", "%"]
        }
        Kind::Text(_) => &["a/b", "\"\"", "\"a b\"", "a_b!", "{nope}", "999.1.1.1"],
        Kind::Special(Special::Bind) => &[
            "0.0.0.0 127.0.0.1",
            "10.9.9.9",
            "127.0.0.1 127.0.0.1",
            "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
            "127.0.0.1,::1",
            "-10.9.9.9 ::1 ::1",
        ],
        Kind::Special(Special::Save) => &["1", "0 1", "x y", "1 -1", "1 2 3", "\"\" \"\""],
        Kind::Special(Special::ClientOutputBufferLimit) => {
            &["x 1 2 3", "normal 1 2", "master 0 0 0", "slave 1 2 x"]
        }
        Kind::Special(Special::LatencyPercentiles) => &["101", "-1", "x", "nan", "inf", "1e999"],
        Kind::Special(Special::NotifyKeyspaceEvents) => &["Q", "KEq", "K E"],
        Kind::Special(Special::ReplicaOf) => &["x", "x 70000", "x y", "a b c", "x -1"],
        Kind::Special(_) => &["x", "1 2", "a b c", "3000 0 0"],
    };
    if random.one_in(4) { random.of(&any).to_owned() } else { random.of(of_kind).to_owned() }
}

/// The corners: what real files get wrong, and what the reader does that a manual does not say.
pub(crate) fn written() -> Vec<Case> {
    let up = [
        "dir sub\nlogfile log.txt\ninclude ../conf.d/*.conf\n",
        "include conf.d/*.none\n",
        "user alice on >pw ~a:* %R~b &c +@all -debug +config|get (~x +get)\nuser bob off\n",
        "user carol on +nosuch\n",
        "user dave on +@nosuch\n",
        "user eve on (~a +get\n",
        "user \"a b\" on\n",
        "user frank on >pw ~* ~x\n",
        "user g +config|get|x\n",
        "user h <none\n",
        "user i on\nuser i off\n",
        "acl-pubsub-default allchannels\nuser j &x\n",
        "user k +get|\n",
        "user l +vadd\n",
        "aclfile users.acl\n",
        "aclfile bad.acl\n",
        "aclfile nothere.acl\n",
        "aclfile users.acl\nuser a on\n",
        "rename-command FLUSHALL \"\"\nrename-command KEYS scan\n",
        "rename-command DEBUG bug\nrename-command bug debug\n",
        "rename-command NOSUCH x\n",
        "requirepass \"p w\"\nmasterauth '#x'\nrequirepass \"a\\x41b\"\n",
        "requirepass foo bar\n",
        "port 6379 # the default\n",
        "bind 127.0.0.1 # local\n",
        "\u{feff}port 1\n",
        "port 7000\nport 7001\nbind *\nbind 127.0.0.1\n",
        "maxmemory-samples 100\n",
        "io-threads-do-reads yes\ndynamic-hz no\n",
        "loglevel nothing\n",
        "server_cpulist 0\n",
        "server-cpulist 0\n",
        "cluster-enabled yes\ndatabases 4\n",
        "cluster-enabled yes\nport 60000\n",
        "cluster-enabled yes\ncluster-port 6379\n",
        "cluster-enabled yes\nbind \"\"\n",
        "cluster-enabled yes\nreplicaof 127.0.0.1 1\n",
        "cluster-enabled yes\ncluster-config-file /nonexistent/n\n",
        "replicaof 127.0.0.1 1\ninclude conf.d/cluster.conf\n",
        "tls-port 7001\n",
        "tls-port 7001\ntls-cert-file x\n",
        "tls-port 7001\ntls-cert-file x\ntls-key-file y\n",
        "tls-port 7001\ntls-cert-file x\ntls-key-file y\ntls-auth-clients no\ntls-protocols \"TLSv1.2 x\"\n",
        "tls-port 7001\ntls-cert-file x\ntls-key-file y\ntls-auth-clients no\n",
        "tls-port 7001\ntls-cert-file sub\ntls-key-file y\ntls-auth-clients no\n",
        "tls-replication yes\n",
        "logfile /nonexistent/log\n",
        "logfile sub\n",
        "dir /nonexistent\n",
        "dir \"\"\n",
        "dbfilename \"\"\n",
        "dbfilename a/b\n",
        "loadmodule /nonexistent.so\n",
        "loadmodule ./c.conf\n",
        "foo.bar 1\n",
        "foo.bar\n",
        "foobar 1\n",
        "foobar\n",
        "include\n",
        "include a b\n",
        "include nothere.conf\n",
        "include conf.d/nothere.conf\n",
        "locale-collate C\n",
        "hz 0\n",
        "hz 100000\n",
        "appendonly yes\nappenddirname c.conf\n",
        "appendonly yes\n",
        "activedefrag yes\n",
        "sentinel monitor a 127.0.0.1 1 1\n",
        "sentinel\n",
        "save\nshutdown-on-sigterm\n",
        "save\n",
        "bind\n",
        "client-output-buffer-limit\n",
        "latency-tracking-info-percentiles\n",
        "save \"1 2\" 3 4\n",
        "save \"1 2\\\"\"\n",
        "save \" \"\n",
        "cluster-blacklist-ttl 60\n",
        "databases 0\n",
        "unixsocketperm 777\n",
        "\"port\" 7000\n",
        "'po'rt 7000\n",
        "port\u{b}7000\n",
        "\u{b}port 7000\n",
        "port \"7000\"x\n",
        "port '70''00'\n",
        "proc-title-template \"{title}\"\n",
        "cluster-announce-hostname a_b\n",
        "cluster-announce-human-nodename \"a b\"\n",
        "cluster-announce-human-nodename a!b\n",
        "replica-announce-port 70000\n",
        "maxmemory-clients 5%\nmaxmemory 0\n",
        "maxmemory-clients 101%\n",
        "masteruser u\nslaveof no one\nslave-priority 5\n",
        "slowlog-max-len 5\nslowlog-log-slower-than -1\n",
    ];
    let users = "user alice on >pw ~* +@all\nuser bob off\n";
    let mut cases: Vec<Case> = up
        .iter()
        .map(|text| {
            Case::text(text, true)
                .with("conf.d/1.conf", b"maxmemory 5mb\ntimeout 7")
                .with("conf.d/2.conf", b"0\nsave 5 5\n")
                .with("users.acl", users.as_bytes())
                .with("bad.acl", b"# no comments here\nuser x +@nosuch\n")
        })
        .collect();
    cases.push(
        Case::text("include conf.d/*.conf\n", true)
            .with("conf.d/1.conf", b"maxmemory 5mb\nport 1")
            .with("conf.d/2.conf", b"\nport x\n"),
    );
    cases.push(
        Case::text("replicaof 127.0.0.1 1\ninclude conf.d/cluster.conf\n", true)
            .with("conf.d/cluster.conf", b"cluster-enabled yes\n"),
    );
    // No socket: only taken or refused can be compared, and these are refused.
    for text in ["port 0\n", "bind \"\"\n", "port 0\nunixsocket /nonexistent/s\n", "bind -10.9.9.9\n"] {
        cases.push(Case::text(text, false));
    }
    cases.push(Case::text(&format!("port 0\nunixsocket /tmp/{}\n", "x".repeat(120)), false));
    for args in [
        ["--port", "6380"].as_slice(),
        &["--port 6380", "--bind", "127.0.0.1", "::1"],
        &["--save", "--port", "1"],
        &["--requirepass", "--pw"],
        &["--requirepass", "a b\"c"],
        &["--port", "x"],
        &["--nosuch"],
        &["--maxmemory 1mb 2mb"],
        &["--bind", "127.0.0.1 ::1"],
        &["--loglevel", "debug", "--hz", "20"],
    ] {
        cases.push(Case::text("port 7005\nsave 1 1\n", true).args(args));
    }
    for bytes in [
        b"port 70\x0000\n05\nhz 20\n".as_slice(),
        b"port 7005",
        b"\r\n\r\nport\t7005\t\r\n#x\n  # y\nhz 11\r",
        b"requirepass \xff\xfe\nport 7005\n",
    ] {
        cases.push(Case { files: vec![("c.conf", bytes.to_vec())], args: Vec::new(), socket: true });
    }
    cases
}

/// Sentinel's file: what is refused, in which order it is found, and what depends on what.
pub(crate) fn sentinels() -> Vec<Case> {
    let texts = [
        "sentinel monitor m 127.0.0.1 6379 2\nsentinel auth-pass m pw\n",
        "sentinel auth-pass m pw\nsentinel monitor m 127.0.0.1 6379 2\n",
        "sentinel auth-pass other pw\nsentinel monitor m 127.0.0.1 6379 2\n",
        "sentinel monitor m 127.0.0.1 6379 0\n",
        "sentinel monitor m 127.0.0.1 70000 1\n",
        "sentinel monitor m redis.example 6379 1\n",
        "sentinel resolve-hostnames yes\nsentinel monitor m localhost 6379 1\n",
        "sentinel monitor m 127.1 6379 1\nsentinel monitor n ::1 1 1\n",
        "sentinel monitor m 127.0.0.1 1 1\nsentinel monitor m 127.0.0.1 2 1\n",
        "sentinel monitor m 127.0.0.1 1\n",
        "sentinel nosuch x\n",
        "sentinel foo x\nsentinel myid short\n",
        "sentinel down-after-milliseconds m 0\nsentinel monitor m 127.0.0.1 1 1\n",
        "sentinel notification-script m /nonexistent\nsentinel monitor m 127.0.0.1 1 1\n",
        "sentinel deny-scripts-reconfig maybe\n",
        "sentinel announce-hostnames 1\n",
        "sentinel master-reboot-down-after-period m -1\nsentinel monitor m 127.0.0.1 1 1\n",
        "sentinel primary-reboot-down-after-period m 5\nsentinel monitor m 127.0.0.1 1 1\n",
        "sentinel known-replica m 127.0.0.1 5\nsentinel known-replica m 127.0.0.1 5\nsentinel monitor m ::1 1 1\n",
        "sentinel rename-command m A b\nsentinel rename-command m a c\nsentinel monitor m ::1 1 1\n",
        "port 26380\nbind 127.0.0.1\nsentinel announce-ip 10.0.0.1\n",
        "port x\nsentinel nosuch y\n",
        "rename-command GET x\n",
        "rename-command PING x\n",
        "user a on +get\n",
        "user a on +ping\n",
        "bind 127.0.0.1 127.0.0.1\n",
        "requirepass pw\n",
        "maxmemory 1mb\nappendonly yes\nsave 1 1\n",
        "foo.bar 1\n",
        "loadmodule /nonexistent.so\n",
    ];
    texts.iter().map(|text| Case::sentinel(text)).collect()
}
