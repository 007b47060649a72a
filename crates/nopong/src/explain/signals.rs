//! What words mean: each rule is a message's general meaning, not one incident.
//!
//! Weights: a server's own words about its death outweigh an error reply, that outweighs a connection error,
//! because a log often has all three and the first is the cause of the others.

use super::Text;
use super::address::Address;
use std::collections::BTreeMap;

/// Weight of a whole rule, by how near its words are to the cause.
const DEATH: f64 = 600.0;
const REPLY: f64 = 250.0;
const SETTING: f64 = 300.0;
const CONNECT: f64 = 100.0;

/// Odds collected.
#[derive(Default)]
pub(super) struct Weights {
    pub(super) causes: BTreeMap<&'static str, f64>,
    pub(super) recognised: Vec<&'static str>,
}

impl Weights {
    fn add(&mut self, what: &'static str, weight: f64, shares: &[(&'static str, f64)]) {
        self.recognised.push(what);
        for (id, share) in shares {
            *self.causes.entry(id).or_default() += weight * share;
        }
    }
}

/// One rule: any of the words, what it is called, the shares.
type Rule = (&'static [&'static str], &'static str, &'static [(&'static str, f64)]);

/// The server's own words (Redis 2.8 to 8, Valkey), systemd's and the kernel's.
const DEATHS: &[Rule] = &[
    (
        &[
            "rdb format version",
            "wrong signature trying to load db",
            "bad file format reading the append only",
            "unexpected end of file reading the append",
            "rdb crc error",
            "error loading the db",
            "aux module data i can't load",
            "redis-check-aof --fix",
            "redis-check-rdb",
            "short read or oom loading db",
            "unrecoverable error reading the append only",
            "unable to obtain the aof file",
            "internal error in rdb",
            "error reading the append only file",
            "rdb file was saved with checksum",
        ],
        "the data file cannot be loaded",
        &[("data-unloadable", 0.9), ("disk-full", 0.03), ("binary-incompatible", 0.02)],
    ),
    (
        &["address already in use", "unable to bind socket", "only one usage of each socket address"],
        "the port is taken",
        &[("port-taken", 0.9), ("bind-address-missing", 0.03), ("config-invalid", 0.03)],
    ),
    (
        &["configured to not listen anywhere"],
        "nothing to listen on",
        &[("tcp-port-disabled", 0.5), ("config-invalid", 0.4)],
    ),
    (
        &[
            "unsupported system page size",
            "exec format error",
            "cannot execute binary file",
            "illegal instruction",
            "version `glibc_",
            "arm64-cow-bug",
            "wrong elf class",
            "no matching manifest for linux",
        ],
        "the binary does not fit the machine",
        &[("binary-incompatible", 0.92)],
    ),
    (
        &[
            "failed to configure tls",
            "failed to load certificate",
            "failed to load private key",
            "key values mismatch",
            "failed to load ca certificate",
            "no tls-cert-file configured",
        ],
        "TLS files of the server",
        &[("tls-material-unusable", 0.9)],
    ),
    (
        &[
            "can't open the log file",
            "can't chdir to",
            "can't open the append-only file",
            "can't open or create append-only",
            "failed to write pid file",
            "sentinel config file",
        ],
        "a path of the server cannot be used",
        &[("storage-unwritable", 0.7), ("config-invalid", 0.1), ("mac-denied", 0.08)],
    ),
    (
        &["read-only file system"],
        "a read-only file system",
        &[("storage-unwritable", 0.7), ("writes-stopped", 0.15)],
    ),
    (
        &[
            "out of memory: kill",
            "oom-kill",
            "oomkilled",
            "oom_kill",
            "memory cgroup out of memory",
            "exit code 137",
            "exited with code 137",
            "exited (137)",
        ],
        "killed for memory",
        &[("oom-killed", 0.85), ("container-crashing", 0.08)],
    ),
    (
        &[
            "bug report start",
            "redis crashed by signal",
            "valkey crashed by signal",
            "crashed by signal",
            "assertion failed",
            "segmentation fault",
            "sigsegv",
            "status=11/segv",
            "code=dumped",
        ],
        "a crash",
        &[("crashed", 0.85), ("binary-incompatible", 0.08)],
    ),
    (
        &[
            "start operation timed out",
            "watchdog timeout",
            "liveness probe failed",
            "failed liveness probe",
            "readiness probe failed",
            "startup probe failed",
            "start-post operation timed out",
        ],
        "its supervisor ended it",
        &[("supervisor-kills", 0.75), ("not-ready", 0.1), ("loading", 0.08)],
    ),
    (&["is masked"], "the unit is masked", &[("service-masked", 0.92)]),
    (
        &[
            "unit redis.service could not be found",
            "unit redis-server.service could not be found",
            "unit redis.service not found",
            "redis-server: command not found",
            "redis-server: not found",
            "unit not found",
            "unrecognized service",
        ],
        "no such service",
        &[("not-installed", 0.88)],
    ),
    (
        &[
            "received sigterm scheduling shutdown",
            "user requested shutdown",
            "redis is now ready to exit",
            "valkey is now ready to exit",
        ],
        "an orderly stop",
        &[("service-stopped", 0.75), ("supervisor-kills", 0.12)],
    ),
    (
        &["start request repeated too quickly", "start-limit-hit"],
        "it dies at every start",
        &[
            ("config-invalid", 0.3),
            ("data-unloadable", 0.15),
            ("storage-unwritable", 0.15),
            ("port-taken", 0.1),
        ],
    ),
    (
        &["crashloopbackoff", "back-off restarting failed container", "restarting ("],
        "the container restarts again and again",
        &[("container-crashing", 0.7), ("config-invalid", 0.1), ("data-unloadable", 0.08)],
    ),
    (
        &["no endpoints available for service", "has no endpoints"],
        "no endpoint is ready",
        &[("no-ready-endpoints", 0.85)],
    ),
    (
        &["avc: denied", "avc:  denied", "apparmor=\"denied\""],
        "mandatory access control",
        &[("mac-denied", 0.9)],
    ),
    (
        &["/etc/cron", "/var/spool/cron", "authorized_keys", "/root/.ssh"],
        "a path that intruders use",
        &[("instance-hijacked", 0.8)],
    ),
    (
        &[
            "error loading acl",
            "aborting redis startup because of acl errors",
            "failed to load: cannot open shared object",
            "unbalanced quotes in configuration line",
            "bad directive or wrong number of arguments",
        ],
        "the configuration",
        &[("config-invalid", 0.85)],
    ),
];

/// Error replies of Redis (server.c, networking.c, acl.c, cluster.c, script.c).
const REPLIES: &[Rule] = &[
    (
        &["without any password configured", "but no password is set", "no password is set"],
        "AUTH to a server without a password",
        &[("auth-unexpected", 0.85), ("wrong-server", 0.08)],
    ),
    (
        &["wrongpass", "invalid username-password", "err invalid password", "auth failed: "],
        "AUTH refused",
        &[("auth-wrong", 0.8), ("wrong-server", 0.07), ("acl-denied", 0.05), ("url-malformed", 0.03)],
    ),
    (
        &["noauth", "authentication required"],
        "AUTH required",
        &[
            ("auth-missing", 0.68),
            ("wrong-server", 0.16),
            ("settings-not-applied", 0.07),
            ("second-client-on-defaults", 0.03),
        ],
    ),
    (&["noperm", "has no permissions to"], "the ACL denies it", &[("acl-denied", 0.93)]),
    (&["running in protected mode", "-denied "], "protected mode", &[("protected-mode", 0.93)]),
    (
        &["max number of clients", "maximum number of clients", "max clients reached"],
        "the server is full",
        &[("clients-exhausted", 0.9), ("client-pool-exhausted", 0.04)],
    ),
    (
        &["is loading the dataset", "busyloadingerror", "loading redis is", "loading valkey is"],
        "still loading",
        &[("loading", 0.46), ("not-ready", 0.44), ("supervisor-kills", 0.05)],
    ),
    (
        &[
            "misconf",
            "can't save in background",
            "failed opening the temp rdb file",
            "background saving error",
            "write error saving db on disk",
        ],
        "it cannot save",
        &[
            ("writes-stopped", 0.72),
            ("disk-full", 0.1),
            ("storage-unwritable", 0.06),
            ("instance-hijacked", 0.05),
        ],
    ),
    (
        &["failed opening .rdb", "failed opening the rdb file"],
        "it cannot open the dump",
        &[("instance-hijacked", 0.4), ("writes-stopped", 0.35), ("storage-unwritable", 0.2)],
    ),
    (&["oom command not allowed"], "memory full", &[("memory-full", 0.93)]),
    (
        &["readonly you can't write", "read only replica", "read only slave", "read-only replica"],
        "a replica was written to",
        &[
            ("read-only-replica", 0.42),
            ("mode-mismatch", 0.25),
            ("instance-hijacked", 0.12),
            ("endpoint-moved", 0.08),
        ],
    ),
    (&["masterdown"], "the primary's link is down", &[("primary-link-down", 0.92)]),
    (&["clusterdown", "hash slot not served"], "the cluster is down", &[("cluster-down", 0.9)]),
    (
        &["cluster support disabled", "select is not allowed in cluster mode"],
        "a cluster client and no cluster, or the reverse",
        &[("mode-mismatch", 0.9)],
    ),
    (&["crossslot"], "a cluster", &[("mode-mismatch", 0.8)]),
    (
        &[
            "noproto",
            "unknown command 'hello'",
            "unknown command `hello`",
            "unsupported protocol version",
            "waiting on response",
        ],
        "the protocol differs",
        &[("protocol-unsupported", 0.8), ("not-redis", 0.08)],
    ),
    (&["illegal address"], "the provider's allow-list", &[("cloud-firewall-blocks", 0.85)]),
    (
        &["busy redis is busy", "busy valkey is busy", "busy running a script"],
        "a script runs",
        &[("busy-script", 0.93)],
    ),
    (
        &[
            "as reply type byte",
            "protocol error, got",
            "invalid multibulk",
            "unexpected response from server: http",
            "expected '$', got",
        ],
        "what answers is not Redis",
        &[("not-redis", 0.75), ("wrong-port", 0.12), ("tls-required", 0.08)],
    ),
    (
        &["unknown command 'get'", "unknown command `get`", "unknown command 'set'", "unknown command `set`"],
        "a server without data",
        &[("sentinel-port", 0.75), ("mode-mismatch", 0.1)],
    ),
    (
        &[
            "no master found",
            "no such master",
            "all sentinels are unreachable",
            "all sentinels down",
            "unable to connect to any sentinel",
            "can't find master",
            "no primary",
            "master not found",
        ],
        "no primary",
        &[("no-primary", 0.6), ("mode-mismatch", 0.15), ("announced-unreachable", 0.12)],
    ),
    (
        &[
            "failed to refresh slots",
            "redirected to slot",
            "clusterallfailederror",
            "unable to establish a connection to redis cluster",
            "redis cluster cannot be connected",
            "could not initialize cluster",
        ],
        "cluster nodes cannot be reached",
        &[("announced-unreachable", 0.5), ("mode-mismatch", 0.25), ("tls-required", 0.08)],
    ),
    (
        &[
            "pool is exhausted",
            "jedisexhaustedpoolexception",
            "return the resource to the pool",
            "connection pool timeout",
            "no connection available.",
            "timeout waiting for idle object",
            "too many connections",
            "pool exhausted",
            "timeout waiting for connection from pool",
            "all pooled connections were in use",
            "timeouterror: queue",
            "could not checkout",
            "waited 5.0 sec",
        ],
        "the client's pool is empty",
        &[("client-pool-exhausted", 0.82), ("clients-exhausted", 0.06), ("hung", 0.04)],
    ),
    (
        &["worker: (busy=", "timeout performing ", "timeout awaiting response"],
        "the client waits for a thread or a reply",
        &[("client-pool-exhausted", 0.55), ("hung", 0.15), ("busy-script", 0.08), ("tls-required", 0.04)],
    ),
    // TLS.
    (
        &[
            "cert_has_expired",
            "certificate has expired",
            "certificate expired",
            "certificateexpired",
            "certificate has expired or is not yet valid",
            "notafter",
        ],
        "the certificate has expired",
        &[("tls-cert-expired", 0.93)],
    ),
    (
        &[
            "altname",
            "hostname mismatch",
            "doesn't contain any ip sans",
            "certificate is valid for",
            "no subject alternative",
            "host name in certificate",
            "does not match certificate",
            "certificate is not valid for",
            "notvalidforname",
            "no name matching",
            "remotecertificatenamemismatch",
        ],
        "the certificate has another name",
        &[("tls-name-mismatch", 0.93)],
    ),
    (
        &[
            "self signed certificate",
            "self-signed certificate",
            "unable to get local issuer",
            "unknown authority",
            "self_signed_cert",
            "unable_to_verify_leaf",
            "unable_to_get_issuer",
            "pkix path building",
            "certificate verify failed",
            "unknownissuer",
            "unknown ca",
            "unable to verify the first certificate",
            "remotecertificatechainerrors",
            "ssl operation failed",
            "signed by unknown",
        ],
        "the certificate's issuer is not trusted",
        &[("tls-issuer-unknown", 0.85), ("tls-cert-expired", 0.05), ("tls-name-mismatch", 0.05)],
    ),
    (
        &["certificate required", "did not return a certificate", "bad certificate", "certificaterequired"],
        "a client certificate is wanted",
        &[("tls-client-cert-required", 0.88)],
    ),
    (
        &[
            "protocol version",
            "unsupported protocol",
            "no protocols available",
            "unsupported_protocol",
            "tlsv1_alert_protocol",
            "no cipher",
            "inappropriate_fallback",
        ],
        "TLS versions do not meet",
        &[("tls-version-mismatch", 0.85)],
    ),
    (
        &[
            "wrong version number",
            "does not look like a tls handshake",
            "wrong_version_number",
            "invalidcontenttype",
            "not an ssl/tls record",
            "unrecognized ssl message",
            "packet length too long",
            "frame size corrupted",
        ],
        "TLS to a port that does not speak it",
        &[("tls-not-spoken", 0.86), ("wrong-port", 0.05)],
    ),
    (
        &[
            "handshake failure",
            "sslv3_alert_handshake",
            "handshakefailure",
            "ssl_error_syscall",
            "tls handshake timeout",
            "ssl handshake",
            "handshake timed out",
        ],
        "a TLS handshake that failed",
        &[("tls-client-cert-required", 0.3), ("tls-not-spoken", 0.3), ("tls-version-mismatch", 0.25)],
    ),
];

/// Settings: what a client says before it dials.
const SETTINGS: &[Rule] = &[
    (
        &[
            "invalidurierror",
            "bad uri",
            "url did not parse",
            "invalidclientconfig",
            "invalid url",
            "err_invalid_url",
            "could not be cast to integer",
            "must specify one of the following schemes",
            "invalid redis url",
            "redis url must",
            "invalid uri",
            "failed to parse url",
            "invalid port",
            "malformed uri",
            "uri malformed",
            "illegal character in",
            "invalid connection string",
            "invalid redis connection string",
            "first path segment in url",
            "invalid userinfo",
            "uri::invalidcomponenterror",
        ],
        "the URL does not parse",
        &[("url-malformed", 0.85), ("settings-not-applied", 0.05), ("env-collision", 0.03)],
    ),
    (
        &["err_socket_bad_port", "port should be", "invalid literal for int"],
        "the port is no number",
        &[("url-malformed", 0.5), ("env-collision", 0.35)],
    ),
    (
        &[
            "] not configured",
            "is used by default",
            "configuration is ignored",
            "misleading redisconfig",
            "missing redis configuration",
        ],
        "a setting is not there",
        &[("settings-not-applied", 0.85)],
    ),
    (
        &["the client is closed", "clientclosederror"],
        "the client was never connected",
        &[("settings-not-applied", 0.45), ("client-library-fault", 0.3), ("idle-connection-cut", 0.1)],
    ),
];

/// Odds of everything the text says.
pub(super) fn weigh(text: &Text<'_>, dialled: Option<&Address>, weights: &mut Weights) {
    for (words, what, shares) in DEATHS.iter().filter(|(words, ..)| text.any(words)) {
        // "Accepting" in a server log is a running server's complaint, and a client's bind is not a server's.
        let client_bind = words.contains(&"address already in use") && text.has("assign requested address");
        if !client_bind {
            weights.add(what, DEATH, shares);
        }
    }
    server_config(text, weights);
    for (words, what, shares) in REPLIES.iter().filter(|(words, ..)| text.any(words)) {
        // A server that logs "wrong version number" while accepting was spoken to in plain by a client.
        let server_side = text.has("error accepting a client connection") && text.has("wrong version number");
        let specific = words.contains(&"unable to get local issuer")
            && weights.recognised.iter().any(|r| r.starts_with("the certificate"));
        let saturated = words.contains(&"handshake failure")
            && weights.recognised.iter().any(|r| r.contains("certificate") || r.contains("TLS"));
        if words.contains(&"wrong version number") && server_side {
            weights.add("a plain client at a TLS port", REPLY, &[("tls-required", 0.9)]);
        } else if !specific && !saturated {
            weights.add(what, REPLY, shares);
        }
    }
    moved(text, weights);
    for (words, what, shares) in SETTINGS.iter().filter(|(words, ..)| text.any(words)) {
        if !text.has("tcp://") || !words.contains(&"invalid literal for int") {
            weights.add(what, SETTING, shares);
        }
    }
    injected(text, weights);
    name(text, dialled, weights);
    connect(text, dialled, weights);
}

/// `FATAL CONFIG FILE ERROR`, and what only looks like it.
fn server_config(text: &Text<'_>, weights: &mut Weights) {
    if text.has("fatal config file error") {
        if text.has("port tcp://") {
            weights.add(
                "a Docker or Kubernetes variable as port",
                DEATH,
                &[("env-collision", 0.9), ("config-invalid", 0.08)],
            );
        } else {
            weights.add(
                "a directive is refused",
                DEATH,
                &[("config-invalid", 0.9), ("binary-incompatible", 0.02)],
            );
        }
    }
    if text.has("can't open config file") {
        if text.has("permission denied") {
            weights.add(
                "the configuration may not be read",
                DEATH,
                &[("mac-denied", 0.4), ("config-invalid", 0.3), ("storage-unwritable", 0.2)],
            );
        } else {
            weights.add("the configuration is not there", DEATH, &[("config-invalid", 0.85)]);
        }
    }
    if text.has("listening socket") || text.has("could not create server tcp") {
        if text.any(&["assign requested address", "address family not supported", "protocol not supported"]) {
            weights.add("a bind address is not here", DEATH, &[("bind-address-missing", 0.92)]);
        } else if text.any(&["permission denied"]) {
            weights.add("bind is denied", DEATH, &[("mac-denied", 0.45), ("config-invalid", 0.3)]);
        } else if !text.has("address already in use") {
            weights.add("the port is taken", DEATH, &[("port-taken", 0.7), ("bind-address-missing", 0.15)]);
        }
    }
    if text.has("no space left on device") {
        let shares: &[(&str, f64)] = if text.has("misconf") {
            &[("writes-stopped", 0.7), ("disk-full", 0.25)]
        } else {
            &[("disk-full", 0.75), ("writes-stopped", 0.15)]
        };
        weights.add("the disk is full", REPLY, shares);
    }
    if text.has("error accepting a client connection") && text.has("too many open files") {
        weights.add("the server is out of descriptors", DEATH, &[("server-fds-exhausted", 0.92)]);
    }
    if text.has("nf_conntrack: table full") {
        weights.add("connection tracking is full", DEATH, &[("conntrack-full", 0.92)]);
    }
    if text.has("replicaof") && text.any(&["fullresync", "185.", "module load"]) {
        weights.add("a primary nobody set", REPLY, &[("instance-hijacked", 0.5)]);
    }
}

/// MOVED and ASK: the library does not follow, or cannot reach where it is sent.
fn moved(text: &Text<'_>, weights: &mut Weights) {
    let Some(at) = text.lower.find("moved ") else { return };
    let rest = &text.lower[at + 6..];
    let slot = rest.split_whitespace().next().unwrap_or_default();
    if !slot.chars().all(|c| c.is_ascii_digit() || "<>slot".contains(c)) {
        return;
    }
    let inner =
        text.addresses.iter().any(|a| a.is_docker_like() || a.host.starts_with("10.") || a.is_loopback());
    let follows = text.any(&["redirect", "cluster.js", "clusterredis"]);
    if inner || follows {
        weights.add(
            "sent to another node",
            REPLY,
            &[("announced-unreachable", 0.5), ("mode-mismatch", 0.44)],
        );
    } else {
        weights.add(
            "sent to another node",
            REPLY,
            &[("mode-mismatch", 0.7), ("announced-unreachable", 0.25)],
        );
    }
}

/// `tcp://` where a port belongs: variables that Docker links and Kubernetes services inject.
fn injected(text: &Text<'_>, weights: &mut Weights) {
    let as_port = text.any(&[
        "redis:tcp://",
        "-p tcp://",
        ":tcp://",
        "'tcp://",
        "\"tcp://",
        "port=tcp://",
        "port tcp://",
        "redis_port=tcp",
    ]);
    if as_port {
        weights.add(
            "an injected variable",
            SETTING * 2.0,
            &[("env-collision", 0.9), ("url-malformed", 0.05)],
        );
    }
    if text.any(&["${", "{{"]) && text.any(&["redis_url", "redis_host", "redis_port"]) {
        weights.add(
            "a placeholder that nothing filled in",
            SETTING,
            &[("settings-not-applied", 0.6), ("url-malformed", 0.3)],
        );
    }
}

/// Names by which stacks call their Redis service; unresolved, the client is not on that stack's network.
const SERVICE_NAMES: &[&str] = &[
    "redis",
    "valkey",
    "cache",
    "redis-server",
    "redis-master",
    "redis-primary",
    "keydb",
    "redis-cache",
    "broker",
    "queue",
];

fn name(text: &Text<'_>, dialled: Option<&Address>, weights: &mut Weights) {
    let missing = text.any(&[
        "enotfound",
        "name or service not known",
        "nodename nor servname",
        "no such host",
        "eai_noname",
        "unknownhostexception",
        "name does not resolve",
        "no address associated",
        "hostname could not be resolved",
        "getaddrinfo failed",
        "nxdomain",
        "unknown host",
        "error -2 connecting",
        "error -5 connecting",
        "error 11001",
        "error 8 connecting",
        "could not resolve host",
        "hôte inconnu",
    ]);
    let again = text.any(&[
        "eai_again",
        "temporary failure in name",
        "error -3 connecting",
        "try again",
        "server misbehaving",
    ]);
    if !missing && !again {
        return;
    }
    let service = dialled.is_none_or(|a| SERVICE_NAMES.contains(&a.host.to_lowercase().as_str()));
    let single = dialled.is_none_or(Address::is_single_label);
    let shares: &[(&str, f64)] = match (again, service, single) {
        (true, _, true) => &[
            ("name-on-other-network", 0.45),
            ("container-crashing", 0.2),
            ("resolver-unavailable", 0.15),
            ("name-not-found", 0.12),
        ],
        (true, _, false) => {
            &[("resolver-unavailable", 0.6), ("name-not-found", 0.2), ("name-on-other-network", 0.08)]
        }
        (false, true, _) => {
            &[("name-on-other-network", 0.5), ("name-not-found", 0.32), ("container-crashing", 0.08)]
        }
        (false, false, true) => {
            &[("name-not-found", 0.55), ("name-on-other-network", 0.3), ("container-crashing", 0.06)]
        }
        (false, false, false) => &[
            ("name-not-found", 0.65),
            ("endpoint-moved", 0.15),
            ("name-on-other-network", 0.08),
            ("url-malformed", 0.05),
        ],
    };
    weights.add("the name does not resolve", CONNECT, shares);
}

/// Managed services that take TLS only, or mostly.
const MANAGED: &[&str] = &[
    "upstash",
    "cache.amazonaws.com",
    "elasticache",
    "redis.cache.windows.net",
    "memorydb",
    "rediss",
    "redis cloud",
    "redns.redis-cloud",
    "ondigitalocean",
    "aivencloud",
    "mydomain",
];
/// Providers whose instances stand behind security groups.
const CLOUD: &[&str] = &[
    "amazonaws",
    "aliyun",
    "azure",
    "compute.internal",
    "ec2",
    "gcp",
    "cloudapp",
    "any host resolved for dns name",
];
/// Signs of a container or pod around the client.
const CONTAINER: &[&str] = &[
    "docker",
    "compose",
    "container",
    "kube",
    "pod/",
    "_1  |",
    "_1 |",
    "-1  |",
    "-1 |",
    "/workspaces/",
    "/usr/src/app",
    "host.docker.internal",
];

fn connect(text: &Text<'_>, dialled: Option<&Address>, weights: &mut Weights) {
    let refused = text.any(&[
        "econnrefused",
        "connection refused",
        "error 111",
        "error 61 ",
        "[errno 111]",
        "[errno 61]",
        "10061",
        "actively refused",
        "connectionrefused",
        "expressément refusé",
        "expressement refus",
        "verbindung verweigerte",
        "conexión rehusada",
        "denegó expresamente",
        "接続を拒否",
        "积极拒绝",
        "拒绝连接",
        "connection refusée",
        "connexion refusée",
        "verbindungsaufbau abgelehnt",
        "econn failure",
    ]);
    if refused {
        self::refused(text, dialled, weights);
    }
    if text.any(&[
        "cannot assign requested address",
        "can't assign requested address",
        "eaddrnotavail",
        "error 99 ",
        "error 49 ",
    ]) && !text.has("listening socket")
    {
        let by_name = dialled.is_some_and(|a| a.host.eq_ignore_ascii_case("localhost"));
        if text.has("time_wait") || !by_name {
            weights.add(
                "no local port or address is left",
                REPLY,
                &[
                    ("client-ports-exhausted", 0.75),
                    ("loopback-in-container", 0.12),
                    ("family-mismatch", 0.05),
                ],
            );
        } else {
            // A container without ::1 answers a dial to localhost with this errno.
            weights.add(
                "localhost inside a container",
                REPLY,
                &[
                    ("loopback-in-container", 0.45),
                    ("second-client-on-defaults", 0.3),
                    ("settings-not-applied", 0.12),
                    ("client-ports-exhausted", 0.08),
                ],
            );
        }
    }
    if text.any(&["emfile", "too many open files"]) && !text.has("error accepting") {
        weights.add(
            "the client is out of descriptors",
            REPLY,
            &[("client-fds-exhausted", 0.85), ("server-fds-exhausted", 0.08)],
        );
    }
    socket(text, weights);
    timed_out(text, dialled, weights);
    cut(text, weights);
    if text.any(&["ehostunreach", "no route to host", "error 113", "host is unreachable", "10065"]) {
        weights.add(
            "no route to the host",
            CONNECT,
            &[
                ("host-unreachable", 0.42),
                ("server-firewall-rejects", 0.38),
                ("path-firewall-blocks", 0.08),
                ("stale-address", 0.05),
            ],
        );
    }
    if text.any(&["enetunreach", "network is unreachable", "error 101"]) {
        weights.add(
            "no route to the network",
            CONNECT,
            &[("host-unreachable", 0.65), ("family-mismatch", 0.15), ("server-firewall-rejects", 0.05)],
        );
    }
    if text.any(&[
        "failed connecting to host",
        "unabletoconnect",
        "it was not possible to connect",
        "could not get a resource from the pool",
        "unable to connect to redis",
        "connection failure occurred",
        "cannot connect to redis-server",
    ]) && !refused
    {
        weights.add(
            "no connection, and no word why",
            CONNECT * 0.6,
            &[
                ("service-stopped", 0.22),
                ("server-firewall-drops", 0.2),
                ("settings-not-applied", 0.15),
                ("bind-loopback-only", 0.1),
                ("wrong-host", 0.08),
                ("tls-required", 0.06),
                ("client-library-fault", 0.05),
            ],
        );
    }
}

fn refused(text: &Text<'_>, dialled: Option<&Address>, weights: &mut Weights) {
    let other = text.addresses.iter().any(|a| !a.is_loopback() && Some(a) != dialled && a.port != Some(0));
    let container = text.any(CONTAINER);
    match dialled {
        Some(a) if a.host == "::1" => {
            weights.add(
                "refused on ::1",
                CONNECT,
                &[
                    ("family-mismatch", 0.5),
                    ("service-stopped", 0.2),
                    ("loopback-in-container", 0.1),
                    ("settings-not-applied", 0.08),
                ],
            );
        }
        Some(a) if a.is_loopback() && (other || text.any(&["forkpoolworker", "connected to redis://"])) => {
            weights.add(
                "refused on loopback, though another address is set",
                CONNECT,
                &[
                    ("second-client-on-defaults", 0.4),
                    ("settings-not-applied", 0.38),
                    ("loopback-in-container", 0.1),
                    ("service-stopped", 0.05),
                ],
            );
        }
        Some(a) if a.is_loopback() && a.host.starts_with("127.") && !a.host.starts_with("127.0.") => {
            weights.add(
                "refused on an odd loopback address",
                CONNECT,
                &[("wrong-host", 0.45), ("wrong-port", 0.35), ("service-stopped", 0.1)],
            );
        }
        Some(a) if a.is_loopback() && container => {
            weights.add(
                "refused on loopback, from a container",
                CONNECT,
                &[
                    ("settings-not-applied", 0.34),
                    ("loopback-in-container", 0.34),
                    ("service-stopped", 0.1),
                    ("port-not-published", 0.06),
                    ("second-client-on-defaults", 0.06),
                ],
            );
        }
        Some(a) if a.is_loopback() && a.port.is_some_and(|p| p != 6379) => {
            weights.add(
                "refused on loopback at another port",
                CONNECT,
                &[
                    ("service-stopped", 0.25),
                    ("config-not-applied", 0.2),
                    ("wrong-port", 0.2),
                    ("port-not-published", 0.12),
                    ("loopback-in-container", 0.08),
                ],
            );
        }
        Some(a) if a.is_loopback() => {
            weights.add(
                "refused on loopback",
                CONNECT,
                &[
                    ("service-stopped", 0.34),
                    ("settings-not-applied", 0.24),
                    ("loopback-in-container", 0.15),
                    ("wrong-port", 0.08),
                    ("second-client-on-defaults", 0.05),
                    ("port-not-published", 0.04),
                    ("bind-loopback-only", 0.03),
                ],
            );
        }
        Some(a) if a.is_single_label() => {
            weights.add(
                "refused by a service name",
                CONNECT,
                &[
                    ("not-ready", 0.24),
                    ("bind-loopback-only", 0.22),
                    ("service-stopped", 0.12),
                    ("container-stopped", 0.12),
                    ("wrong-port", 0.1),
                    ("no-ready-endpoints", 0.06),
                ],
            );
        }
        Some(_) => {
            weights.add(
                "refused by another host",
                CONNECT,
                &[
                    ("bind-loopback-only", 0.28),
                    ("service-stopped", 0.28),
                    ("wrong-port", 0.12),
                    ("server-firewall-rejects", 0.1),
                    ("wrong-host", 0.07),
                    ("stale-address", 0.04),
                ],
            );
        }
        None => {
            weights.add(
                "refused",
                CONNECT,
                &[
                    ("service-stopped", 0.26),
                    ("bind-loopback-only", 0.14),
                    ("second-client-on-defaults", 0.14),
                    ("settings-not-applied", 0.14),
                    ("wrong-port", 0.1),
                    ("loopback-in-container", 0.08),
                ],
            );
        }
    }
}

fn socket(text: &Text<'_>, weights: &mut Weights) {
    let path = text.any(&[".sock", "unix:", "unix socket", "unix://"]);
    if path && text.any(&["permission denied", "eacces"]) {
        weights.add("the socket may not be opened", REPLY, &[("socket-denied", 0.9), ("mac-denied", 0.05)]);
    } else if path && text.any(&["no such file", "enoent"]) {
        weights.add("the socket is not there", REPLY, &[("socket-missing", 0.75), ("service-stopped", 0.18)]);
    } else if text.any(&["permission denied", "eacces"])
        && text.any(&["connect", "socket"])
        && !text.any(&["rdb", "config file", "listening socket"])
    {
        weights.add(
            "the connection is not permitted",
            CONNECT,
            &[
                ("mac-denied", 0.5),
                ("server-firewall-rejects", 0.15),
                ("socket-denied", 0.15),
                ("client-firewall-blocks", 0.1),
            ],
        );
    }
}

fn timed_out(text: &Text<'_>, dialled: Option<&Address>, weights: &mut Weights) {
    let connecting = text.any(&[
        "dial tcp",
        "connect etimedout",
        "error 110",
        "connecttimeout",
        "connection timeout",
        "10060",
        "connection timed out",
        "operation timed out",
        "connect timed out",
        "any host resolved",
    ]);
    let waiting = text.any(&[
        "i/o timeout",
        "command timed out",
        "read timed out",
        "timeouterror",
        "timed out",
        "etimedout",
        "timeout",
    ]);
    if (!connecting && !waiting)
        || text.any(&["pool", "timeout performing", "start operation timed out", "watchdog timeout"])
    {
        return;
    }
    let managed = text.any(MANAGED);
    if managed && !text.has("rediss://") || text.has("read econnreset") {
        weights.add(
            "no answer from a managed service",
            CONNECT,
            &[("tls-required", 0.5), ("cloud-firewall-blocks", 0.28), ("server-firewall-drops", 0.06)],
        );
    } else if text.any(CLOUD) {
        weights.add(
            "no answer from a cloud host",
            CONNECT,
            &[
                ("cloud-firewall-blocks", 0.55),
                ("server-firewall-drops", 0.2),
                ("tls-required", 0.08),
                ("wrong-host", 0.05),
            ],
        );
    } else if dialled.is_some_and(Address::is_docker_like) {
        weights.add(
            "no answer from a container's address",
            CONNECT,
            &[
                ("announced-unreachable", 0.45),
                ("server-firewall-drops", 0.2),
                ("wrong-host", 0.1),
                ("host-unreachable", 0.08),
            ],
        );
    } else if connecting {
        weights.add(
            "no answer to the connection attempt",
            CONNECT,
            &[
                ("server-firewall-drops", 0.34),
                ("cloud-firewall-blocks", 0.28),
                ("path-firewall-blocks", 0.1),
                ("wrong-host", 0.06),
                ("network-policy-blocks", 0.05),
                ("tls-required", 0.05),
                ("host-unreachable", 0.04),
            ],
        );
    } else {
        weights.add(
            "no answer in time",
            CONNECT,
            &[
                ("tls-required", 0.32),
                ("server-firewall-drops", 0.18),
                ("cloud-firewall-blocks", 0.12),
                ("hung", 0.1),
                ("idle-connection-cut", 0.08),
                ("busy-script", 0.05),
            ],
        );
    }
}

fn cut(text: &Text<'_>, weights: &mut Weights) {
    if text.any(&[
        "socket closed unexpectedly",
        "unexpected end of stream",
        "broken pipe",
        "epipe",
        "keepalive",
    ]) {
        weights.add(
            "an established connection was cut",
            CONNECT,
            &[
                ("idle-connection-cut", 0.5),
                ("tls-required", 0.15),
                ("network-policy-blocks", 0.08),
                ("supervisor-kills", 0.05),
                ("clients-exhausted", 0.05),
            ],
        );
    } else if text.any(&[
        "disconnected by peer",
        "connection closed by server",
        "server closed the connection",
        "connection lost",
        "unexpected eof",
        "connection closed",
        ": eof",
    ]) {
        weights.add(
            "closed by the other side",
            CONNECT,
            &[
                ("tls-required", 0.38),
                ("idle-connection-cut", 0.25),
                ("clients-exhausted", 0.1),
                ("bind-loopback-only", 0.05),
            ],
        );
    } else if text.any(&["econnreset", "connection reset", "error 104", "10054", "forcibly closed"]) {
        // After a good connect and before any reply: TLS expected, or a mesh between.
        let established = text.any(&["read tcp", "reset by peer"]) && !text.any(&["read econnreset"]);
        let shares: &[(&str, f64)] = if established {
            &[
                ("network-policy-blocks", 0.28),
                ("tls-required", 0.27),
                ("idle-connection-cut", 0.22),
                ("clients-exhausted", 0.06),
            ]
        } else {
            &[
                ("tls-required", 0.42),
                ("idle-connection-cut", 0.2),
                ("network-policy-blocks", 0.15),
                ("clients-exhausted", 0.06),
            ]
        };
        weights.add("reset by the other side", CONNECT, shares);
    }
}
