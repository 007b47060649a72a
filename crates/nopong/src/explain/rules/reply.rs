//! Error replies of Redis (server.c, networking.c, acl.c, script.c), bare or in a client's words.

use super::{Rule, rule};

/// The first that matches counts, the most telling ones first.
pub(super) const RULES: &[Rule] = &[
    rule(
        "protected mode",
        &["running in protected mode", "-denied redis", "denied redis is running"],
        &[("protected-mode", 0.93)],
    ),
    rule(
        "the server is full",
        &[
            "max number of clients",
            "maximum number of clients",
            "max clients reached",
            "number of clients reached",
            "too many clients",
        ],
        &[("clients-exhausted", 0.9), ("client-pool-exhausted", 0.04)],
    ),
    rule(
        "the provider's allow-list",
        &[
            "illegal address",
            "not in the allowlist",
            "not in whitelist",
            "ip is not in",
            "client ip is not allowed",
            "not in the whitelist",
        ],
        &[("cloud-firewall-blocks", 0.88)],
    ),
    rule(
        "AUTH to a server without a password",
        &[
            "without any password configured",
            "but no password is set",
            "no password is set",
            "does not require a password, but",
            "called without any password",
        ],
        &[("auth-unexpected", 0.86), ("wrong-server", 0.08)],
    ),
    rule(
        "AUTH refused",
        &[
            "wrongpass",
            "invalid username-password",
            "err invalid password",
            "invalid password",
            "password authentication failed",
            "auth failed: ",
            "authentication failure",
            "authenticationfailure",
        ],
        &[("auth-wrong", 0.8), ("wrong-server", 0.06), ("acl-denied", 0.05), ("url-malformed", 0.03)],
    )
    .unless(&["noauth", "authentication required", "noperm"]),
    rule(
        "another Redis than the application's",
        &["authentication required"],
        // The URL that is shown has no password in it, so whoever wrote it knew a server without one.
        &[("wrong-server", 0.4), ("auth-missing", 0.38), ("settings-not-applied", 0.1)],
    )
    .with(&["cannot connect to redis://redis:"]),
    rule(
        "AUTH required",
        &["noauth", "authentication required", "rediserror: autherror", "redisauthrequired"],
        &[
            ("auth-missing", 0.72),
            ("wrong-server", 0.12),
            ("settings-not-applied", 0.07),
            ("second-client-on-defaults", 0.03),
        ],
    ),
    rule(
        "the ACL denies it",
        &["noperm", "has no permissions to", "nopermissionerror"],
        &[("acl-denied", 0.93)],
    ),
    rule(
        "it cannot open the dump",
        &["failed opening .rdb", "failed opening the rdb file", "failed opening the temp rdb file"],
        &[("instance-hijacked", 0.36), ("writes-stopped", 0.34), ("storage-unwritable", 0.25)],
    )
    .with(&["permission denied"]),
    rule(
        "it cannot save, the disk is full",
        &["background saving error", "write error saving db on disk", "error writing to the aof file"],
        &[("disk-full", 0.55), ("writes-stopped", 0.35)],
    )
    .with(&["no space left"])
    .unless(&["misconf"]),
    rule(
        "it cannot save",
        &[
            "misconf",
            "can't save in background",
            "failed opening the temp rdb file",
            "failed opening .rdb",
            "background saving error",
            "write error saving db on disk",
            "errors writing to the aof file",
            "error writing to the aof file",
        ],
        &[
            ("writes-stopped", 0.75),
            ("disk-full", 0.1),
            ("storage-unwritable", 0.06),
            ("instance-hijacked", 0.04),
        ],
    ),
    rule(
        "still loading",
        &[
            "is loading the dataset",
            "busyloadingerror",
            "loading redis is",
            "loading valkey is",
            "redisloadingexception",
        ],
        &[("not-ready", 0.45), ("loading", 0.44), ("supervisor-kills", 0.04), ("data-unloadable", 0.03)],
    ),
    rule(
        "memory full",
        &["oom command not allowed", "used memory > 'maxmemory'", "redisoutofmemoryexception"],
        &[("memory-full", 0.93)],
    ),
    rule(
        "too few replicas",
        &["noreplicas", "not enough good replicas", "not enough good slaves"],
        &[("primary-link-down", 0.5), ("writes-stopped", 0.35)],
    ),
    rule(
        "a replica was written to",
        &[
            "readonly you can't write",
            "can't write against a read only",
            "read only replica",
            "read only slave",
            "read-only replica",
            "readonlyerror",
        ],
        &[
            ("read-only-replica", 0.45),
            ("mode-mismatch", 0.25),
            ("instance-hijacked", 0.1),
            ("endpoint-moved", 0.06),
        ],
    ),
    rule(
        "the primary's link is down",
        &["masterdown", "link with master is down", "link with primary is down"],
        &[("primary-link-down", 0.92)],
    ),
    rule(
        "a script runs",
        &["busy redis is busy", "busy valkey is busy", "busy running a script", "busyscript"],
        &[("busy-script", 0.93)],
    ),
    rule(
        "the protocol differs",
        &[
            "noproto",
            "unknown command 'hello'",
            "unknown command `hello`",
            "unknown command hello",
            "unsupported protocol version",
            "waiting on response",
            "wrong number of arguments for 'auth'",
            "wrong number of arguments for `auth`",
            "unable to switch to resp3",
            "requires redis 5",
            "requires redis 6",
            "requires redis 7",
            "hello command available",
        ],
        &[("protocol-unsupported", 0.8), ("not-redis", 0.06), ("auth-unexpected", 0.04)],
    )
    .unless(&["tls", "ssl"]),
    // The first byte of a TLS record of type alert (RFC 8446, 5.1), read as a RESP type.
    rule(
        "a TLS alert was answered",
        &["got \"\\x15\"", "got '\\x15'", "\\x15\\x03", "unknown reply: \\x15", "b'\\x15"],
        &[("tls-required", 0.88), ("not-redis", 0.06)],
    ),
    rule(
        "what answers is not Redis",
        &[
            "as reply type byte",
            "protocol error, got",
            "protocol error: b'",
            "invalid multibulk",
            "unexpected response from server: http",
            "can't parse \"http",
            "expected '$', got",
            "unknown reply: ",
            "protocolfailure on",
            "unexpected response type",
            "can't parse reply",
            "invalid response when parsing",
            "failed to parse response",
            "http/1.1 400",
            "ssh-2.0-",
        ],
        &[("not-redis", 0.75), ("wrong-port", 0.12), ("tls-required", 0.08)],
    ),
    rule(
        "a server without data",
        &[
            "unknown command 'get'",
            "unknown command `get`",
            "unknown command 'set'",
            "unknown command `set`",
            "unknown command get",
            "unknown command set,",
        ],
        &[("sentinel-port", 0.75), ("mode-mismatch", 0.1)],
    ),
];
