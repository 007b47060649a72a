//! The rows of the table, in the order of the servers' own tables, one section for each type.
//!
//! Source: config.c of Redis 7.0.15 and 8.0.2 and of Valkey 8.1.1 (names, types, bounds, defaults), checked against
//! `CONFIG GET *` of these servers by `tests/real_server.rs`. Redis 7.2 and 7.4, Valkey 7.2 and 8.0: not
//! checked against a binary.

use super::{Directive, Form, Kind, Special, TextRule};
use crate::release::Release::{Redis70, Redis72, Redis74, Redis80, Valkey72, Valkey80, Valkey81};
use crate::release::Releases;

const BEFORE_VALKEY_8: Releases = Releases::of(&[Redis70, Redis72, Redis74, Redis80, Valkey72]);
const VALKEY_8: Releases = Releases::of(&[Valkey80, Valkey81]);
const VALKEY_8_1: Releases = Releases::of(&[Valkey81]);
const BEFORE_VALKEY_8_1: Releases = Releases::of(&[Redis70, Redis72, Redis74, Redis80, Valkey72, Valkey80]);
const SINCE_7_2: Releases = Releases::of(&[Redis72, Redis74, Redis80, Valkey72, Valkey80, Valkey81]);
const SINCE_7_4: Releases = Releases::of(&[Redis74, Redis80, Valkey80, Valkey81]);
const BEFORE_7_4: Releases = Releases::of(&[Redis70, Redis72, Valkey72]);
const REDIS_7_0: Releases = Releases::of(&[Redis70]);
const REDIS_8: Releases = Releases::of(&[Redis80]);
const BEFORE_8: Releases = Releases::of(&[Redis70, Redis72, Redis74, Valkey72]);
const BEFORE_REDIS_8: Releases = Releases::of(&[Redis70, Redis72, Redis74, Valkey72, Valkey80, Valkey81]);

const INT_MAX: u64 = i32::MAX as u64;
const INT_MIN: i64 = i32::MIN as i64;
const UINT_MAX: u64 = u32::MAX as u64;
const LONG_MAX: u64 = i64::MAX as u64;
const ULONG_MAX: u64 = u64::MAX;

type Words = &'static [(&'static str, u8)];

const SUPERVISED_MODE: Words = &[("upstart", 0), ("systemd", 1), ("auto", 2), ("no", 3)];
const SYSLOG_FACILITY: Words = &[
    ("user", 0),
    ("local0", 1),
    ("local1", 2),
    ("local2", 3),
    ("local3", 4),
    ("local4", 5),
    ("local5", 6),
    ("local6", 7),
    ("local7", 8),
];
const REPL_DISKLESS_LOAD: Words = &[("disabled", 0), ("on-empty-db", 1), ("swapdb", 2)];
const REPL_DISKLESS_LOAD_VALKEY: Words =
    &[("disabled", 0), ("on-empty-db", 1), ("swapdb", 2), ("flush-before-load", 3)];
const LOGLEVEL: Words = &[("debug", 0), ("verbose", 1), ("notice", 2), ("warning", 3)];
const LOGLEVEL_MORE: Words = &[("debug", 0), ("verbose", 1), ("notice", 2), ("warning", 3), ("nothing", 4)];
const MAXMEMORY_POLICY: Words = &[
    ("volatile-lru", 0),
    ("volatile-lfu", 1),
    ("volatile-random", 2),
    ("volatile-ttl", 3),
    ("allkeys-lru", 4),
    ("allkeys-lfu", 5),
    ("allkeys-random", 6),
    ("noeviction", 7),
];
const AOF_FSYNC: Words = &[("everysec", 0), ("always", 1), ("no", 2)];
const OOM_SCORE_ADJ: Words = &[("no", 0), ("yes", 1), ("relative", 1), ("absolute", 2)];
const ACL_PUBSUB_DEFAULT: Words = &[("allchannels", 0), ("resetchannels", 1)];
const SANITIZE_DUMP_PAYLOAD: Words = &[("no", 0), ("yes", 1), ("clients", 2)];
const PROTECTED_ACTION: Words = &[("no", 0), ("yes", 1), ("local", 2)];
const CLUSTER_PREFERRED_ENDPOINT_TYPE: Words = &[("ip", 0), ("hostname", 1), ("unknown-endpoint", 2)];
const PROPAGATION_ERROR_BEHAVIOR: Words = &[("ignore", 0), ("panic", 1), ("panic-on-replicas", 2)];
const SHUTDOWN_FLAGS: Words = &[("default", 0), ("save", 1), ("nosave", 2), ("now", 4), ("force", 8)];
const TLS_AUTH_CLIENTS: Words = &[("no", 0), ("yes", 1), ("optional", 2)];
const LOG_FORMAT: Words = &[("legacy", 0), ("logfmt", 1)];
const LOG_TIMESTAMP_FORMAT: Words = &[("legacy", 0), ("iso8601", 1), ("milliseconds", 2)];
const RDB_VERSION_CHECK: Words = &[("strict", 0), ("relaxed", 1)];

const fn flag(name: &'static str, default: &'static str) -> Directive {
    Directive::new(name, Kind::YesNo, default)
}

const fn text(name: &'static str, default: &'static str) -> Directive {
    ruled(name, TextRule::Any, default)
}

const fn ruled(name: &'static str, rule: TextRule, default: &'static str) -> Directive {
    Directive::new(name, Kind::Text(rule), default)
}

const fn words(name: &'static str, words: Words, default: &'static str) -> Directive {
    let mut row = Directive::new(name, Kind::Words { words, many: false }, default);
    // The shutdown flags are the only words that add up, in every release.
    if words.len() == SHUTDOWN_FLAGS.len() && words[4].1 == 8 {
        row.kind = Kind::Words { words, many: true };
    }
    row
}

const fn special(name: &'static str, special: Special, default: &'static str) -> Directive {
    Directive::new(name, Kind::Special(special), default)
}

const fn number(
    name: &'static str,
    lower: i64,
    upper: u64,
    unsigned: bool,
    form: Form,
    default: &'static str,
) -> Directive {
    Directive::new(name, Kind::Number { lower, upper, unsigned, form }, default)
}

const fn int(name: &'static str, lower: i64, upper: u64, default: &'static str) -> Directive {
    number(name, lower, upper, false, Form::Plain, default)
}

const fn uint(name: &'static str, lower: i64, upper: u64, default: &'static str) -> Directive {
    number(name, lower, upper, true, Form::Plain, default)
}

const fn memory(name: &'static str, lower: i64, upper: u64, default: &'static str) -> Directive {
    number(name, lower, upper, false, Form::Memory, default)
}

const fn umemory(name: &'static str, lower: i64, upper: u64, default: &'static str) -> Directive {
    number(name, lower, upper, true, Form::Memory, default)
}

const fn percent(name: &'static str, lower: i64, upper: u64, default: &'static str) -> Directive {
    number(name, lower, upper, false, Form::MemoryOrPercent, default)
}

const fn octal(name: &'static str, lower: i64, upper: u64, default: &'static str) -> Directive {
    number(name, lower, upper, true, Form::Octal, default)
}

pub(crate) static ROWS: &[Directive] = &[
    // Directives with a grammar of their own.
    special("dir", Special::Dir, ""),
    special("save", Special::Save, "3600 1 300 100 60 10000").multi(),
    special(
        "client-output-buffer-limit",
        Special::ClientOutputBufferLimit,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    )
    .multi(),
    special("oom-score-adj-values", Special::OomScoreAdjValues, "0 200 800").multi(),
    special("notify-keyspace-events", Special::NotifyKeyspaceEvents, ""),
    special("bind", Special::Bind, "* -::*").multi(),
    special("replicaof", Special::ReplicaOf, "").alias("slaveof").immutable().multi(),
    special("latency-tracking-info-percentiles", Special::LatencyPercentiles, "50 99 99.9").multi(),
    special("rdma-bind", Special::RdmaBind, "").multi().only(VALKEY_8_1),
    // Yes or no.
    flag("rdbchecksum", "yes").immutable(),
    flag("daemonize", "no").immutable(),
    flag("io-threads-do-reads", "no").immutable().only(BEFORE_8),
    flag("always-show-logo", "no").immutable(),
    flag("protected-mode", "yes"),
    flag("rdbcompression", "yes"),
    flag("rdb-del-sync-files", "no"),
    flag("activerehashing", "yes"),
    flag("stop-writes-on-bgsave-error", "yes"),
    flag("set-proc-title", "yes").immutable(),
    flag("dynamic-hz", "yes").only(BEFORE_VALKEY_8_1),
    flag("lazyfree-lazy-eviction", "no").only(BEFORE_VALKEY_8),
    flag("lazyfree-lazy-eviction", "yes").only(VALKEY_8),
    flag("lazyfree-lazy-expire", "no").only(BEFORE_VALKEY_8),
    flag("lazyfree-lazy-expire", "yes").only(VALKEY_8),
    flag("lazyfree-lazy-server-del", "no").only(BEFORE_VALKEY_8),
    flag("lazyfree-lazy-server-del", "yes").only(VALKEY_8),
    flag("lazyfree-lazy-user-del", "no").only(BEFORE_VALKEY_8),
    flag("lazyfree-lazy-user-del", "yes").only(VALKEY_8),
    flag("lazyfree-lazy-user-flush", "no").only(BEFORE_VALKEY_8),
    flag("lazyfree-lazy-user-flush", "yes").only(VALKEY_8),
    flag("repl-disable-tcp-nodelay", "no"),
    flag("repl-diskless-sync", "yes"),
    flag("aof-rewrite-incremental-fsync", "yes"),
    flag("no-appendfsync-on-rewrite", "no"),
    flag("cluster-require-full-coverage", "yes"),
    flag("rdb-save-incremental-fsync", "yes"),
    flag("aof-load-truncated", "yes"),
    flag("aof-use-rdb-preamble", "yes"),
    flag("aof-timestamp-enabled", "no"),
    flag("cluster-replica-no-failover", "no").alias("cluster-slave-no-failover"),
    flag("replica-lazy-flush", "no").alias("slave-lazy-flush").only(BEFORE_VALKEY_8),
    flag("replica-lazy-flush", "yes").alias("slave-lazy-flush").only(VALKEY_8),
    flag("replica-serve-stale-data", "yes").alias("slave-serve-stale-data"),
    flag("replica-read-only", "yes").alias("slave-read-only"),
    flag("replica-ignore-maxmemory", "yes").alias("slave-ignore-maxmemory"),
    flag("jemalloc-bg-thread", "yes"),
    flag("activedefrag", "no"),
    flag("syslog-enabled", "no").immutable(),
    flag("cluster-enabled", "no").immutable(),
    flag("appendonly", "no"),
    flag("cluster-allow-reads-when-down", "no"),
    flag("cluster-allow-pubsubshard-when-down", "yes"),
    flag("crash-log-enabled", "yes"),
    flag("crash-memcheck-enabled", "yes"),
    flag("use-exit-on-panic", "no").hidden(),
    flag("disable-thp", "yes").immutable(),
    flag("cluster-allow-replica-migration", "yes"),
    flag("replica-announced", "yes"),
    flag("latency-tracking", "yes"),
    flag("aof-disable-auto-gc", "no").only(REDIS_7_0),
    flag("aof-disable-auto-gc", "no").hidden().only(SINCE_7_2),
    flag("replica-ignore-disk-write-errors", "no"),
    flag("tls-cluster", "no"),
    flag("tls-replication", "no"),
    flag("tls-prefer-server-ciphers", "no"),
    flag("tls-session-caching", "yes"),
    flag("repl-rdb-channel", "yes").hidden().only(REDIS_8),
    flag("hide-user-data-from-log", "no").only(REDIS_8),
    flag("hide-user-data-from-log", "yes").only(VALKEY_8),
    flag("dual-channel-replication-enabled", "no").only(VALKEY_8),
    flag("extended-redis-compatibility", "no").only(VALKEY_8),
    flag("enable-debug-assert", "no").immutable().hidden().only(VALKEY_8),
    flag("cluster-slot-stats-enabled", "no").only(VALKEY_8),
    flag("import-mode", "no").only(VALKEY_8_1),
    // Texts.
    text("aclfile", "").immutable(),
    text("unixsocket", "").immutable(),
    text("pidfile", "").immutable(),
    text("replica-announce-ip", "").alias("slave-announce-ip"),
    text("masteruser", "").secret().only(BEFORE_VALKEY_8),
    text("cluster-announce-ip", ""),
    text("cluster-config-file", "nodes.conf").immutable().only(BEFORE_VALKEY_8_1),
    ruled("cluster-config-file", TextRule::ClusterConfigFile, "nodes.conf").immutable().only(VALKEY_8_1),
    ruled("cluster-announce-hostname", TextRule::Hostname, ""),
    text("syslog-ident", "redis").immutable().only(BEFORE_VALKEY_8),
    text("syslog-ident", "valkey").immutable().only(VALKEY_8),
    ruled("dbfilename", TextRule::DbFilename, "dump.rdb").only(BEFORE_VALKEY_8_1),
    ruled("dbfilename", TextRule::DbFilenameNotEmpty, "dump.rdb").only(VALKEY_8_1),
    ruled("appendfilename", TextRule::AppendFilename, "appendonly.aof").immutable(),
    ruled("appenddirname", TextRule::AppendDirname, "appendonlydir").immutable(),
    text("server_cpulist", "").immutable().only(REDIS_7_0),
    text("bio_cpulist", "").immutable().only(REDIS_7_0),
    text("aof_rewrite_cpulist", "").immutable().only(REDIS_7_0),
    text("bgsave_cpulist", "").immutable().only(REDIS_7_0),
    text("ignore-warnings", ""),
    ruled("proc-title-template", TextRule::ProcTitle, "{title} {listen-addr} {server-mode}"),
    text("bind-source-addr", ""),
    text("logfile", "").immutable(),
    text("masterauth", "").secret().only(BEFORE_VALKEY_8),
    text("requirepass", "").secret(),
    text("tls-cert-file", ""),
    text("tls-key-file", ""),
    text("tls-key-file-pass", "").secret(),
    text("tls-client-cert-file", ""),
    text("tls-client-key-file", ""),
    text("tls-client-key-file-pass", "").secret(),
    text("tls-dh-params-file", ""),
    text("tls-ca-cert-file", ""),
    text("tls-ca-cert-dir", ""),
    text("tls-protocols", ""),
    text("tls-ciphers", ""),
    text("tls-ciphersuites", ""),
    ruled("cluster-announce-human-nodename", TextRule::NodeName, "").only(SINCE_7_2),
    text("server-cpulist", "").alias("server_cpulist").immutable().only(SINCE_7_2),
    text("bio-cpulist", "").alias("bio_cpulist").immutable().only(SINCE_7_2),
    text("aof-rewrite-cpulist", "").alias("aof_rewrite_cpulist").immutable().only(SINCE_7_2),
    text("bgsave-cpulist", "").alias("bgsave_cpulist").immutable().only(SINCE_7_2),
    text("locale-collate", "").only(SINCE_7_2),
    text("unixsocketgroup", "").immutable().only(VALKEY_8_1),
    text("primaryuser", "").alias("masteruser").secret().only(VALKEY_8),
    ruled("cluster-announce-client-ipv4", TextRule::Ipv4, "").only(VALKEY_8),
    ruled("cluster-announce-client-ipv6", TextRule::Ipv6, "").only(VALKEY_8),
    text("debug-context", "").hidden().only(VALKEY_8_1),
    text("primaryauth", "").alias("masterauth").secret().only(VALKEY_8),
    text("availability-zone", "").only(VALKEY_8),
    // One of some words.
    words("supervised", SUPERVISED_MODE, "no").immutable(),
    words("syslog-facility", SYSLOG_FACILITY, "local0").immutable(),
    words("repl-diskless-load", REPL_DISKLESS_LOAD, "disabled").only(BEFORE_VALKEY_8),
    words("repl-diskless-load", REPL_DISKLESS_LOAD_VALKEY, "disabled").only(VALKEY_8),
    words("loglevel", LOGLEVEL, "notice").only(REDIS_7_0),
    words("loglevel", LOGLEVEL_MORE, "notice").only(SINCE_7_2),
    words("maxmemory-policy", MAXMEMORY_POLICY, "noeviction"),
    words("appendfsync", AOF_FSYNC, "everysec"),
    words("oom-score-adj", OOM_SCORE_ADJ, "no"),
    words("acl-pubsub-default", ACL_PUBSUB_DEFAULT, "resetchannels"),
    words("sanitize-dump-payload", SANITIZE_DUMP_PAYLOAD, "no"),
    words("enable-protected-configs", PROTECTED_ACTION, "no").immutable(),
    words("enable-debug-command", PROTECTED_ACTION, "no").immutable(),
    words("enable-module-command", PROTECTED_ACTION, "no").immutable(),
    words("cluster-preferred-endpoint-type", CLUSTER_PREFERRED_ENDPOINT_TYPE, "ip"),
    words("propagation-error-behavior", PROPAGATION_ERROR_BEHAVIOR, "ignore"),
    words("shutdown-on-sigint", SHUTDOWN_FLAGS, "default").multi(),
    words("shutdown-on-sigterm", SHUTDOWN_FLAGS, "default").multi(),
    words("tls-auth-clients", TLS_AUTH_CLIENTS, "yes"),
    words("log-format", LOG_FORMAT, "legacy").only(VALKEY_8_1),
    words("log-timestamp-format", LOG_TIMESTAMP_FORMAT, "legacy").only(VALKEY_8_1),
    words("rdb-version-check", RDB_VERSION_CHECK, "strict").only(VALKEY_8_1),
    // Numbers.
    int("databases", 1, INT_MAX, "16").immutable(),
    int("port", 0, 65_535, "6379"),
    int("io-threads", 1, 128, "1").immutable().only(BEFORE_VALKEY_8_1),
    int("io-threads", 1, 256, "1").immutable().only(VALKEY_8_1),
    int("auto-aof-rewrite-percentage", 0, INT_MAX, "100"),
    int("cluster-replica-validity-factor", 0, INT_MAX, "10").alias("cluster-slave-validity-factor"),
    int("list-max-listpack-size", INT_MIN, INT_MAX, "-2").alias("list-max-ziplist-size"),
    int("tcp-keepalive", 0, INT_MAX, "300"),
    int("cluster-migration-barrier", 0, INT_MAX, "1"),
    int("active-defrag-cycle-min", 1, 99, "1"),
    int("active-defrag-cycle-max", 1, 99, "25"),
    int("active-defrag-threshold-lower", 0, 1000, "10"),
    int("active-defrag-threshold-upper", 0, 1000, "100"),
    int("lfu-log-factor", 0, INT_MAX, "10"),
    int("lfu-decay-time", 0, INT_MAX, "1"),
    int("replica-priority", 0, INT_MAX, "100").alias("slave-priority"),
    int("repl-diskless-sync-delay", 0, INT_MAX, "5"),
    int("maxmemory-samples", 1, INT_MAX, "5").only(BEFORE_7_4),
    int("maxmemory-samples", 1, 64, "5").only(SINCE_7_4),
    int("maxmemory-eviction-tenacity", 0, 100, "10"),
    int("timeout", 0, INT_MAX, "0"),
    int("replica-announce-port", 0, 65_535, "0").alias("slave-announce-port"),
    int("tcp-backlog", 0, INT_MAX, "511").immutable(),
    int("cluster-port", 0, 65_535, "0").immutable(),
    int("cluster-announce-bus-port", 0, 65_535, "0"),
    int("cluster-announce-port", 0, 65_535, "0"),
    int("cluster-announce-tls-port", 0, 65_535, "0"),
    int("repl-timeout", 1, INT_MAX, "60"),
    int("repl-ping-replica-period", 1, INT_MAX, "10").alias("repl-ping-slave-period"),
    int("list-compress-depth", 0, INT_MAX, "0"),
    int("rdb-key-save-delay", INT_MIN, INT_MAX, "0").hidden(),
    int("key-load-delay", INT_MIN, INT_MAX, "0").hidden(),
    int("active-expire-effort", 1, 10, "1"),
    int("hz", 0, INT_MAX, "10"),
    int("min-replicas-to-write", 0, INT_MAX, "0").alias("min-slaves-to-write"),
    int("min-replicas-max-lag", 0, INT_MAX, "10").alias("min-slaves-max-lag"),
    int("watchdog-period", 0, INT_MAX, "0").hidden(),
    int("shutdown-timeout", 0, INT_MAX, "10"),
    int("repl-diskless-sync-max-replicas", 0, INT_MAX, "0"),
    uint("maxclients", 1, UINT_MAX, "10000"),
    octal("unixsocketperm", 0, 0o777, "0").immutable(),
    uint("socket-mark-id", 0, UINT_MAX, "0").immutable(),
    int("active-defrag-max-scan-fields", 1, LONG_MAX, "1000"),
    int("slowlog-max-len", 0, LONG_MAX, "128").only(BEFORE_VALKEY_8_1),
    int("acllog-max-len", 0, LONG_MAX, "128"),
    int("busy-reply-threshold", 0, LONG_MAX, "5000").alias("lua-time-limit"),
    int("cluster-node-timeout", 0, LONG_MAX, "15000"),
    int("slowlog-log-slower-than", -1, LONG_MAX, "10000").only(BEFORE_VALKEY_8_1),
    int("latency-monitor-threshold", 0, LONG_MAX, "0"),
    memory("proto-max-bulk-len", 1_048_576, LONG_MAX, "536870912"),
    int("stream-node-max-entries", 0, LONG_MAX, "100"),
    memory("repl-backlog-size", 1, LONG_MAX, "1048576").only(BEFORE_VALKEY_8),
    memory("repl-backlog-size", 1, LONG_MAX, "10485760").only(VALKEY_8),
    umemory("maxmemory", 0, ULONG_MAX, "0"),
    umemory("cluster-link-sendbuf-limit", 0, ULONG_MAX, "0"),
    uint("hash-max-listpack-entries", 0, LONG_MAX, "512").alias("hash-max-ziplist-entries"),
    uint("set-max-intset-entries", 0, LONG_MAX, "512"),
    uint("zset-max-listpack-entries", 0, LONG_MAX, "128").alias("zset-max-ziplist-entries"),
    umemory("active-defrag-ignore-bytes", 1, LONG_MAX, "104857600"),
    umemory("hash-max-listpack-value", 0, LONG_MAX, "64").alias("hash-max-ziplist-value"),
    umemory("stream-node-max-bytes", 0, LONG_MAX, "4096"),
    umemory("zset-max-listpack-value", 0, LONG_MAX, "64").alias("zset-max-ziplist-value"),
    umemory("hll-sparse-max-bytes", 0, LONG_MAX, "3000"),
    uint("tracking-table-max-keys", 0, LONG_MAX, "1000000"),
    umemory("client-query-buffer-limit", 1_048_576, LONG_MAX, "1073741824"),
    percent("maxmemory-clients", -100, LONG_MAX, "0"),
    int("repl-backlog-ttl", 0, LONG_MAX, "3600"),
    memory("auto-aof-rewrite-min-size", 0, LONG_MAX, "67108864"),
    int("loading-process-events-interval-bytes", 1024, INT_MAX, "2097152").hidden().only(BEFORE_REDIS_8),
    int("loading-process-events-interval-bytes", 1024, INT_MAX, "524288").hidden().only(REDIS_8),
    int("tls-port", 0, 65_535, "0"),
    int("tls-session-cache-size", 0, INT_MAX, "20480"),
    int("tls-session-cache-timeout", 0, INT_MAX, "300"),
    int("cluster-compatibility-sample-ratio", 0, 100, "0").only(REDIS_8),
    uint("max-new-connections-per-cycle", 1, 1000, "10").only(SINCE_7_4),
    uint("max-new-tls-connections-per-cycle", 1, 1000, "1").only(SINCE_7_4),
    int("cluster-ping-interval", 0, LONG_MAX, "0").hidden().only(SINCE_7_2),
    memory("replica-full-sync-buffer-limit", 0, LONG_MAX, "0").only(REDIS_8),
    uint("set-max-listpack-entries", 0, LONG_MAX, "128").only(SINCE_7_2),
    uint("set-max-listpack-value", 0, LONG_MAX, "64").only(SINCE_7_2),
    int("events-per-io-thread", 0, INT_MAX, "2").hidden().only(VALKEY_8),
    int("prefetch-batch-max-size", 0, 128, "16").only(VALKEY_8),
    int("active-defrag-cycle-us", 0, 100_000, "500").only(VALKEY_8_1),
    int("rdma-port", 0, 65_535, "0").only(VALKEY_8_1),
    int("rdma-rx-size", 65_536, 16_777_216, "1048576").immutable().only(VALKEY_8_1),
    int("rdma-completion-vector", -1, 1024, "-1").immutable().only(VALKEY_8_1),
    int("commandlog-slow-execution-max-len", 0, LONG_MAX, "128").alias("slowlog-max-len").only(VALKEY_8_1),
    int("commandlog-large-request-max-len", 0, LONG_MAX, "128").only(VALKEY_8_1),
    int("commandlog-large-reply-max-len", 0, LONG_MAX, "128").only(VALKEY_8_1),
    uint("cluster-blacklist-ttl", 0, ULONG_MAX, "60").only(VALKEY_8_1),
    int("commandlog-execution-slower-than", -1, LONG_MAX, "10000")
        .alias("slowlog-log-slower-than")
        .only(VALKEY_8_1),
    int("commandlog-request-larger-than", -1, LONG_MAX, "1048576").only(VALKEY_8_1),
    int("commandlog-reply-larger-than", -1, LONG_MAX, "1048576").only(VALKEY_8_1),
    int("cluster-manual-failover-timeout", 1, INT_MAX, "5000").only(VALKEY_8_1),
];
