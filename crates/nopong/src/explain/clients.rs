//! Client libraries by the form of their messages (exception names, prefixes, stack frames).

use super::Text;

/// A library and the marks that only it leaves; the first row that matches wins, wrappers before what they wrap.
const MARKS: &[(&str, &[&str])] = &[
    (
        "redis-server",
        &[
            "*** fatal config file error",
            "oo0oo",
            "# fatal error loading the db",
            "# can't handle rdb",
            "server tcp listening socket",
            "# bad file format reading the append",
        ],
    ),
    ("bullmq", &["bullmq"]),
    ("redis-commander", &["redis-commander", "setupconnection redis error"]),
    (
        "ioredis",
        &[
            "[ioredis]",
            "ioredis",
            "maxretriesperrequesterror",
            "clusterallfailederror",
            "command: { name:",
            "command: {\n",
        ],
    ),
    (
        "node-redis",
        &[
            "redis connection to ",
            "@redis/client",
            "@redis+client",
            "socketclosedunexpectedlyerror",
            "clientclosederror",
            "the client is closed",
            "createclient(",
            "node_modules/redis/",
            "node_modules\\redis\\",
            "reconnectstrategyerror",
            "connectiontimeouterror",
        ],
    ),
    ("valkey-glide", &["glide_shared", "glide.", "glideclient"]),
    (
        "celery",
        &[
            "kombu.exceptions",
            "consumer: cannot connect to redis",
            "celery.",
            "mainprocess]",
            "forkpoolworker",
        ],
    ),
    (
        "redis-py",
        &[
            "redis.exceptions.",
            "redis/connection.py",
            "connecting to localhost:",
            "busyloadingerror",
            "redis.asyncio",
            "aioredis",
            "rediscluster",
            "django_redis",
            "connectioninterrupted",
        ],
    ),
    ("predis", &["predis\\", "predis/", "[tcp://", "refused tcp://", "[tls://", "predis"]),
    (
        "phpredis",
        &[
            "redisexception",
            "rediscluster::",
            "redis::connect",
            "redis::pconnect",
            "redissentinel",
            "session_start()",
        ],
    ),
    ("sidekiq", &["sidekiq", "tid-"]),
    ("redis-client (Ruby)", &["redisclient::"]),
    (
        "redis-rb",
        &[
            "redis::cannotconnecterror",
            "redis::commanderror",
            "redis::timeouterror",
            "redis::connectionerror",
            "redis::baseconnectionerror",
            "errno::econnrefused",
            "openssl::ssl::sslerror",
            "gems/redis-",
        ],
    ),
    ("redigo", &["redigo", "garyburd/redigo"]),
    (
        "go-redis",
        &[
            "redis: connection pool",
            "redis: nil",
            "go-redis",
            "redis: can't",
            "redis: cluster",
            "redis: all sentinels",
            "redis: client is closed",
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
            "redisconnectionexception: unable to connect",
        ],
    ),
    (
        "Jedis",
        &[
            "redis.clients.jedis",
            "jedis",
            "failed connecting to host",
            "springframework.data.redis",
            "restarting subscription task",
        ],
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
            "timeout awaiting response",
            "worker: (busy=",
            "no connection is active/available",
        ],
    ),
    (
        "redis-rs",
        &[
            "invalidclientconfig",
            "redis url did not parse",
            "redis::rediserror",
            "rediserror {",
            "redis-rs",
            "an error was signalled by the server",
        ],
    ),
    ("fred.rs", &["fred::"]),
    ("rustis", &["client(\"", "rustis"]),
    ("memjs", &["memjs"]),
    ("redis-plus-plus", &["sw::redis", "redis++"]),
    ("hiredis", &["hiredis", "connectredis", "redisconnect("]),
    (
        "redis-cli",
        &[
            "could not connect to redis at",
            "could not connect to valkey at",
            "redis-cli",
            "not connected>",
            "valkey-cli",
            ":6379> ",
            "(error) ",
        ],
    ),
    ("rdcli", &["rdcli"]),
    ("RedisInsight", &["redisinsight"]),
];

/// Names the library.
pub(super) fn recognise(text: &Text<'_>) -> Option<&'static str> {
    if let Some((name, _)) = MARKS.iter().find(|(_, marks)| text.any(marks)) {
        return Some(name);
    }
    if is_server_log(&text.lower) {
        return Some("redis-server");
    }
    if redis_py_form(&text.lower) {
        return Some("redis-py");
    }
    // Forms of a language rather than of one library.
    if text.any(&["dial tcp", "read tcp ", "write tcp ", "x509: "])
        || (text.has("i/o timeout") && text.has(".go:"))
    {
        return Some("go-redis or redigo");
    }
    if text.any(&[
        "tcpconnectwrap",
        "node:internal",
        "node:dns",
        "getaddrinforeqwrap",
        "econnrefused",
        "enotfound",
    ]) {
        return Some("Node.js: ioredis or node-redis");
    }
    if text.any(&["php_network_getaddresses", "php fatal error", "php warning"]) {
        return Some("PHP: predis or phpredis");
    }
    None
}

/// `1:M 27 Feb 08:33:27.021 # …`: process, role, time, level (Redis server.c, serverLogRaw).
fn is_server_log(lower: &str) -> bool {
    lower.lines().take(200).any(|line| {
        line.split_whitespace().take(8).any(|word| {
            word.split_once(':').is_some_and(|(pid, role)| {
                !pid.is_empty()
                    && pid.chars().all(|c| c.is_ascii_digit())
                    && matches!(role, "m" | "s" | "c" | "x")
            })
        })
    })
}

/// `Error 111 connecting to host:port.` (redis-py connection.py).
fn redis_py_form(lower: &str) -> bool {
    lower.match_indices("error ").any(|(at, _)| {
        let rest = &lower[at + 6..];
        let number = rest.trim_start_matches('-');
        let digits = number.chars().take_while(char::is_ascii_digit).count();
        digits > 0
            && number
                .get(digits..)
                .is_some_and(|r| r.starts_with(" connecting to") || r.starts_with(" while writing to socket"))
    })
}
