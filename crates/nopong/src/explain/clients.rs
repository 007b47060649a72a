//! Client libraries, servers and proxies by the form of their messages (exception names, prefixes, stack frames).

use super::text::Text;

/// A library and the marks that only it leaves; the first row that matches wins, wrappers before what they wrap.
const MARKS: &[(&str, &[&str])] = &[
    (
        "redis-sentinel",
        &["sentinel config file", "+sdown master", "+odown master", "failover-abort", "+monitor master"],
    ),
    (
        "redis-server",
        &[
            "*** fatal config file error (redis",
            "*** fatal config file error ***",
            "oo0oo",
            "fatal error loading the db",
            "# can't handle rdb",
            "can't open config file",
            "server tcp listening socket",
            "bad file format reading the append",
            "configured to not listen anywhere",
            "can't open the append-only file",
            "can't open the log file",
            "can't chdir to",
            "redis startup because of acl errors",
            "wrong signature trying to load db",
            "reading the append only file",
            "short read or oom loading db",
            "failed to configure tls",
            "is not enough for the server to start",
            "error accepting a client connection",
            "internal error in rdb",
            "redis bug report start",
            "possible security attack detected",
            "failed to load: cannot open shared object",
            "tcp backlog setting of",
            "failed opening the temp rdb file",
            "failed opening .rdb",
            "can't save in background",
            "<jemalloc>",
            "can't handle rdb format",
        ],
    ),
    (
        "valkey-server",
        &["*** fatal config file error (valkey", "valkey bug report start", "valkey is now ready to exit"],
    ),
    (
        "kubernetes",
        &[
            "back-off restarting failed container",
            "crashloopbackoff",
            "readiness probe failed",
            "liveness probe failed",
            "failed liveness probe",
            "reason: oomkilled",
            "nodes are available",
            "imagepullbackoff",
            "endpoints: <none>",
            "no endpoints available for service",
        ],
    ),
    (
        "docker",
        &[
            "error response from daemon",
            "port is already allocated",
            "driver failed programming external connectivity",
        ],
    ),
    (
        "systemd",
        &[
            "systemd[",
            ".service: ",
            "failed to start redis",
            "failed to start valkey",
            "redis-server.service",
            "redis.service",
            "valkey.service",
            "valkey-server.service",
            "loaded: loaded (",
        ],
    ),
    (
        "HAProxy",
        &[
            "haproxy",
            "has no server available!",
            "layer4 connection problem",
            "layer4 timeout",
            "layer7 timeout",
            "is down, reason: layer",
        ],
    ),
    (
        "Envoy",
        &["envoy", "upstream connect error or disconnect/reset", "-no healthy upstream", "-upstream failure"],
    ),
    ("twemproxy", &["nutcracker", "twemproxy"]),
    ("bullmq", &["bullmq"]),
    ("redis-py", &["aioredis"]),
    ("redis-commander", &["redis-commander", "setupconnection redis error"]),
    ("RedisInsight", &["redisinsight"]),
    (
        "ioredis",
        &[
            "[ioredis]",
            "ioredis",
            "maxretriesperrequesterror",
            "clusterallfailederror",
            "command: { name:",
            "command: {\n",
            "does not require a password, but",
            "enableofflinequeue options is false",
        ],
    ),
    (
        "node-redis",
        &[
            "redis connection to ",
            "@redis/client",
            "@redis+client",
            "redissocket",
            "socketclosedunexpectedlyerror",
            "socket closed unexpectedly",
            "clientclosederror",
            "clientofflineerror",
            "disconnectsclienterror",
            "the client is closed",
            "createclient(",
            "at createclient",
            "node_modules/redis/",
            "node_modules\\redis\\",
            "reconnectstrategyerror",
            "connectiontimeouterror",
            "connection lost and command aborted",
            "ready check failed",
        ],
    ),
    ("valkey-glide", &["glide_shared", "glide.", "glideclient", "glide-core"]),
    (
        "celery",
        &[
            "kombu.exceptions",
            "kombu.transport",
            "consumer: cannot connect to",
            "celery.",
            "mainprocess]",
            "forkpoolworker",
            "celery beat",
            "[celery]",
        ],
    ),
    (
        "redis-py",
        &[
            "redis.exceptions.",
            "redis/connection.py",
            "redis/client.py",
            "redis\\connection.py",
            "redis/_parsers",
            "busyloadingerror",
            "redis.asyncio",
            "redis.sentinel.",
            "aioredis",
            "rediscluster.",
            "redis.cluster",
            "django_redis",
            "channels_redis",
            "connectioninterrupted",
            "redis url must specify one of the following schemes",
        ],
    ),
    ("predis", &["predis\\", "predis/", "[tcp://", "refused tcp://", "[tls://", "[unix:/", "predis"]),
    ("sidekiq", &["sidekiq", "tid-", "tid="]),
    ("resque", &["resque"]),
    ("redis-client (Ruby)", &["redisclient::", "redis-client-", "redis_client"]),
    (
        "redis-rb",
        &[
            "redis::cannotconnecterror",
            "redis::commanderror",
            "redis::timeouterror",
            "redis::connectionerror",
            "redis::baseconnectionerror",
            "redis::protocolerror",
            "errno::econnrefused",
            "errno::e",
            "openssl::ssl::sslerror",
            "gems/redis-",
        ],
    ),
    ("redigo", &["redigo", "garyburd/redigo"]),
    ("rueidis", &["rueidis", "valkeycompat"]),
    (
        "go-redis",
        &[
            "redis: connection pool",
            "redis: nil",
            "go-redis",
            "redis/go-redis",
            "redis: can't",
            "redis: cluster",
            "redis: all sentinels",
            "redis: client is closed",
            "redis: invalid url",
            "redis: invalid database",
            "redis: discarding",
            "redis: conn.init",
            "redis: connecting to",
            "redis: unexpected",
        ],
    ),
    ("Redisson", &["org.redisson", "redisson"]),
    (
        "Lettuce",
        &[
            "io.lettuce",
            "lettuce",
            "rediscommandtimeoutexception",
            "rediscommandexecutionexception",
            "redisconnectionexception: unable to connect to ",
        ],
    ),
    (
        "Jedis",
        &[
            "redis.clients.jedis",
            "jedis",
            "failed connecting to host",
            "restarting subscription task",
            "return the resource to the pool",
            "resource from the pool",
            "any host resolved for dns name",
        ],
    ),
    (
        "phpredis",
        &[
            "redisexception",
            "rediscluster::",
            "redisclusterexception",
            "redis::connect(",
            "redis::pconnect(",
            "redissentinel",
            "session_start()",
            "phpredis",
        ],
    ),
    ("Laravel", &["illuminate\\redis", "redis connection ["]),
    ("Vert.x Redis", &["io.vertx.redis"]),
    (
        "Spring Data Redis",
        &["springframework.data.redis", "redisconnectionfailureexception", "spring.data.redis"],
    ),
    (
        "StackExchange.Redis",
        &[
            "stackexchange.redis",
            "it was not possible to connect to the redis server",
            "unabletoconnect on",
            "timeout performing ",
            "onconnectedasync",
            "socketfailure",
            "socketclosed on",
            "timeout awaiting response",
            "worker: (busy=",
            "no connection is active/available",
            "rediserverexception",
        ],
    ),
    ("ServiceStack.Redis", &["servicestack.redis"]),
    ("fred", &["fred::", "fred:", "redis error - kind:", "fred-"]),
    (
        "redis-rs",
        &[
            "invalidclientconfig",
            "redis url did not parse",
            "redis::rediserror",
            "rediserror {",
            "redis::client",
            "redis-rs",
            "an error was signalled by the server",
            "- authenticationfailed",
            "deadpool_redis",
            "bb8_redis",
        ],
    ),
    ("rustis", &["client(\"", "rustis"]),
    ("memjs", &["memjs"]),
    ("redis-plus-plus", &["sw::redis", "redis++", "redis-plus-plus"]),
    ("hiredis", &["hiredis", "connectredis", "redisconnect(", "redisconnectwithtimeout"]),
    ("Redix", &["redix.", "redix:"]),
    ("eredis", &["eredis"]),
    ("valkey-cli", &["could not connect to valkey at", "valkey-cli"]),
    (
        "redis-cli",
        &[
            "could not connect to redis at",
            "redis-cli",
            "not connected>",
            ":6379> ",
            "(error) ",
            "-> redirected to slot [",
            "option on the command line interface may not be safe",
            "could not negotiate a tls connection",
        ],
    ),
    ("rdcli", &["rdcli"]),
];

/// Forms of a language rather than of one library.
const GO: &[&str] =
    &["dial tcp", "dial unix", "read tcp ", "write tcp ", "x509: ", "remote error: tls", "tls: first record"];
const NODE: &[&str] = &[
    "tcpconnectwrap",
    "pipeconnectwrap",
    "node:internal",
    "node:dns",
    "node:net",
    "node:_tls",
    "getaddrinforeqwrap",
    "econnrefused",
    "enotfound",
    "eai_again",
    "err_tls_cert",
    "err_socket_bad_port",
    "err_invalid_url",
    "redis-parser",
];
const PHP: &[&str] = &["php_network_getaddresses", "php fatal error", "php warning", "stream_socket_"];
const PYTHON: &[&str] = &[
    "traceback (most recent call last)",
    "ssl.sslcertverificationerror",
    "ssl.sslerror",
    "[errno ",
    "[winerror ",
    "(_ssl.c:",
];
const JAVA: &[&str] = &["java.net.", "javax.net.ssl", "io.netty.", "java.lang."];
const RUBY: &[&str] = &["uri::invalid", "(socketerror)", "errno::"];
const RUST: &[&str] = &["os error ", "invalid peer certificate", "received fatal alert: "];
const NET: &[&str] = &["system.net.sockets", "system.security.authentication", "remotecertificate"];

/// Words the text is searched for.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    let forms = [GO, NODE, PHP, PYTHON, JAVA, RUBY, RUST, NET];
    MARKS
        .iter()
        .flat_map(|(_, marks)| marks.iter().copied())
        .chain(forms.into_iter().flatten().copied())
        .chain(["error ", ".go:"])
}

/// Names the library.
pub(super) fn recognise(text: &Text) -> Option<&'static str> {
    if is_sentinel_log(text) {
        return Some("redis-sentinel");
    }
    if let Some((name, _)) = MARKS.iter().find(|(_, marks)| text.any(marks)) {
        return Some(name);
    }
    if is_server_log(text) {
        return Some("redis-server");
    }
    if redis_py_form(text) {
        return Some("redis-py");
    }
    if text.any(GO) || (text.has("i/o timeout") && text.has(".go:")) {
        return Some("go-redis or redigo");
    }
    if text.any(RUBY) {
        return Some("Ruby: redis-rb or redis-client");
    }
    if prompt(text) {
        return Some("redis-cli");
    }
    if text.any(NODE) {
        return Some("Node.js: ioredis or node-redis");
    }
    if text.any(PHP) {
        return Some("PHP: predis or phpredis");
    }
    if text.any(JAVA) {
        return Some("Java: Lettuce, Jedis or Redisson");
    }
    if text.any(NET) {
        return Some("StackExchange.Redis");
    }
    if text.any(RUST) {
        return Some("redis-rs");
    }
    text.any(PYTHON).then_some("redis-py")
}

/// `1:M 27 Feb 08:33:27.021 # …`: process, role, time, level (Redis server.c, serverLogRaw).
fn role(text: &Text, roles: &[&str]) -> bool {
    text.lines().any(|line| {
        line.split_whitespace().take(8).any(|word| {
            word.split_once(':').is_some_and(|(pid, role)| {
                !pid.is_empty() && pid.chars().all(|c| c.is_ascii_digit()) && roles.contains(&role)
            })
        })
    })
}

fn is_server_log(text: &Text) -> bool {
    role(text, &["m", "s", "c", "signal-handler"])
}

fn is_sentinel_log(text: &Text) -> bool {
    role(text, &["x"])
}

/// `127.0.0.1:6379> `: the prompt of redis-cli and valkey-cli.
fn prompt(text: &Text) -> bool {
    text.lines().any(|line| {
        line.split_once('>').is_some_and(|(before, _)| {
            before.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains(' ') && port.parse::<u16>().is_ok()
            })
        })
    })
}

/// `Error 111 connecting to host:port.` and `Error -2 connecting to` (redis-py connection.py).
fn redis_py_form(text: &Text) -> bool {
    text.lower_after("error ").any(|rest| {
        let number = rest.trim_start_matches('-');
        let digits = number.chars().take_while(char::is_ascii_digit).count();
        digits > 0
            && number
                .get(digits..)
                .is_some_and(|r| r.starts_with(" connecting to") || r.starts_with(" while writing to socket"))
    })
}
