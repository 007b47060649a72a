//! The server's own words about why it does not start or has died (Redis 2.8 to 8, Valkey, Sentinel).

use super::{DEATH, REPLY, Rule, Weights, rule};
use crate::explain::text::Text;

/// The first that matches counts: what a server logs last follows from what it logged first.
pub(super) const RULES: &[Rule] = &[
    rule(
        "a path that intruders use",
        &["/etc/cron", "/var/spool/cron", "authorized_keys", "/root/.ssh"],
        &[("instance-hijacked", 0.85), ("writes-stopped", 0.08)],
    ),
    rule(
        "the data file cannot be loaded",
        &[
            "rdb format version",
            "wrong signature trying to load db",
            "bad file format reading the append only",
            "unexpected end of file reading the append",
            "rdb crc error",
            "error loading the db",
            "error loading the rdb",
            "error loading data from rdb",
            "aux module data i can't load",
            "module data type i can't load",
            "redis-check-aof --fix",
            "redis-check-rdb",
            "short read or oom loading db",
            "unrecoverable error reading the append only",
            "unable to obtain the aof file",
            "internal error in rdb",
            "error reading the append only file",
            "invalid aof manifest",
            "the aof manifest file",
            "rdb file was saved with checksum",
            "rdb truncated",
            "corrupted rdb",
            "unexpected eof reading rdb",
            "unable to load the rdb",
        ],
        &[("data-unloadable", 0.9), ("disk-full", 0.03), ("binary-incompatible", 0.02)],
    ),
    rule(
        "an injected variable as port",
        &["port tcp://"],
        &[("env-collision", 0.9), ("config-invalid", 0.08)],
    )
    .with(&["fatal config file error"]),
    rule(
        "a file that the configuration names",
        &["fatal config file error", ">>> 'dir ", ">>> 'logfile "],
        &[("storage-unwritable", 0.6), ("config-invalid", 0.33)],
    )
    .with(&[">>> 'dir ", ">>> 'logfile ", "can't open the log file", "can't chdir"])
    .unless(&["bad directive", "wrong number of arguments"]),
    rule("TLS files of the server", TLS_FILES, &[("tls-material-unusable", 0.9), ("config-invalid", 0.05)]),
    rule(
        "a directive is refused",
        &["fatal config file error", "bad directive or wrong number of arguments"],
        &[("config-invalid", 0.9), ("binary-incompatible", 0.02)],
    ),
    rule("a line that is refused", &[">>> '"], &[("config-invalid", 0.88), ("binary-incompatible", 0.02)])
        .with(&["wrong number of arguments", "invalid argument", "argument must be", "argument couldn't"]),
    rule(
        "the configuration may not be read",
        &["can't open config file"],
        &[("mac-denied", 0.38), ("storage-unwritable", 0.28), ("config-invalid", 0.28)],
    )
    .with(&["permission denied"]),
    rule(
        "the configuration is not there",
        // The second is the Windows port's.
        &["can't open config file", "failed to open the .conf file"],
        &[("config-invalid", 0.85)],
    ),
    rule(
        "Sentinel cannot write its file",
        &["sentinel config file", "config file is not writable"],
        &[("storage-unwritable", 0.75), ("config-invalid", 0.15)],
    )
    .with(&["not writable", "read-only", "permission denied"]),
    rule(
        "a bind address is not here",
        &["listening socket", "could not create server tcp", "failed listening on", "# bind:"],
        &[("bind-address-missing", 0.92), ("port-taken", 0.03)],
    )
    .with(&[
        "assign requested address",
        "address family not supported",
        "protocol not supported",
        "errno: 97",
        "errno: 99",
    ]),
    rule(
        "bind is denied",
        &["listening socket", "could not create server tcp", "failed listening on"],
        &[("mac-denied", 0.45), ("config-invalid", 0.3)],
    )
    .with(&["permission denied"]),
    rule(
        "the port is taken",
        &[
            "address already in use",
            "unable to bind socket",
            "port is already allocated",
            "ports are not available",
            "could not create server tcp",
            "server tcp listening socket",
            "failed listening on port",
            "another redis instance is already",
        ],
        &[("port-taken", 0.88), ("bind-address-missing", 0.05), ("config-invalid", 0.02)],
    )
    .unless(&["ready to accept connections", "connecting to", "failed to accept"]),
    rule(
        "two servers on one port",
        &["ready to accept connections"],
        &[("port-taken", 0.6), ("wrong-server", 0.2), ("service-stopped", 0.05)],
    )
    .with(&["(listen)", "lsof"]),
    rule(
        "nothing to listen on",
        &["configured to not listen anywhere"],
        &[("tcp-port-disabled", 0.5), ("config-invalid", 0.4)],
    ),
    rule(
        "the binary does not fit the machine",
        &[
            "unsupported system page size",
            "exec format error",
            "cannot execute binary file",
            "illegal instruction",
            "version `glibc_",
            "arm64-cow-bug",
            "wrong elf class",
            "no matching manifest for linux",
            "error while loading shared libraries",
            "does not match the detected host platform",
            "not a valid win32 application",
            // An old container engine's seccomp profile refuses what a new libc calls.
            "can't initialize background jobs",
        ],
        &[("binary-incompatible", 0.92), ("not-installed", 0.02)],
    ),
    rule(
        "a path of the server cannot be used",
        &[
            "can't open the log file",
            "can't chdir to",
            "can't open the append-only file",
            "can't open or create append-only",
            "can't create or open",
            "failed to write pid file",
            "opening append only file",
            "creating append only dir",
            "cluster config file is read only",
            "can't open nodes.conf",
        ],
        &[("storage-unwritable", 0.78), ("mac-denied", 0.08), ("config-invalid", 0.08)],
    )
    .unless(&["no space left"]),
    rule(
        "a directory of the server cannot be made",
        &["cannot create directory", "can't create directory"],
        &[("storage-unwritable", 0.75), ("container-crashing", 0.1)],
    )
    .with(&["permission denied", "read-only file system"]),
    rule(
        "a socket file cannot be made",
        &["failed opening unix socket", "opening unix socket"],
        &[("storage-unwritable", 0.7), ("config-invalid", 0.2)],
    ),
    rule(
        "the configuration",
        &[
            "error loading acl",
            "aborting redis startup because of acl errors",
            "aborting valkey startup because of acl errors",
            "acl errors detected",
            "failed to load: cannot open shared object",
            "can't load module",
            "unbalanced quotes in configuration line",
            "argument must be a memory value",
            "failed to configure locale",
            "compiled without libsystemd",
        ],
        &[("config-invalid", 0.87), ("binary-incompatible", 0.04)],
    ),
    rule(
        "too few descriptors to start",
        &["is not enough for the server to start"],
        &[("server-fds-exhausted", 0.6), ("config-invalid", 0.25)],
    ),
    rule(
        "the server is out of descriptors",
        &["error accepting a client connection", "error registering fd event", "failed to accept"],
        &[("server-fds-exhausted", 0.92)],
    )
    .with(&["too many open files", "numerical result out of range"]),
    rule(
        "a crash",
        &[
            "bug report start",
            "crashed by signal",
            "=== assertion failed",
            "guru meditation",
            "software watchdog",
        ],
        &[("crashed", 0.88), ("binary-incompatible", 0.06)],
    ),
    rule(
        "no memory to be had",
        &["out of memory allocating"],
        &[("oom-killed", 0.55), ("crashed", 0.25), ("memory-full", 0.08)],
    ),
    rule(
        "spoken to in HTTP",
        &["possible security attack detected", "post or host: commands"],
        &[("not-redis", 0.4), ("wrong-port", 0.3), ("client-library-fault", 0.15)],
    ),
    rule(
        "the primary's link",
        &[
            "unable to connect to master:",
            "unable to connect to primary:",
            "master aborted replication",
            "primary aborted replication",
            "error condition on socket for sync",
            "master timed out",
            "timeout connecting to the master",
            "connection with master lost",
            "master_link_status:down",
            "timeout receiving bulk data from master",
        ],
        &[("primary-link-down", 0.8), ("auth-missing", 0.06), ("service-stopped", 0.05)],
    ),
    rule(
        "Sentinel has no primary to offer",
        &[
            "failover-abort",
            "-failover-abort-no-good-slave",
            "+odown master",
            "+sdown master",
            "no quorum",
            "noquorum",
            "-failover-abort-not-elected",
        ],
        &[("no-primary", 0.8), ("announced-unreachable", 0.08), ("primary-link-down", 0.05)],
    ),
    rule(
        "an orderly stop",
        &[
            "received sigterm scheduling shutdown",
            "received sigterm, scheduling shutdown",
            "received sigint scheduling shutdown",
            "user requested shutdown",
            "redis is now ready to exit",
            "valkey is now ready to exit",
        ],
        &[("service-stopped", 0.75), ("supervisor-kills", 0.12), ("container-stopped", 0.05)],
    )
    .unless(&["no space left", "error trying to save the db"]),
];

/// OpenSSL's and tls.c's words about the server's own files.
const TLS_FILES: &[&str] = &[
    "failed to configure tls",
    "failed to load certificate",
    "failed to load private key",
    "key values mismatch",
    "failed to load ca certificate",
    "failed to configure ca certificate",
    "no tls-cert-file configured",
    "failed finding tls support",
    "invalid ca certificate file",
    "invalid client certificate",
    "could not read client certificate",
];

/// A server that lives and is in trouble: disk, memory, and what intruders leave.
pub(super) fn pressed(text: &Text, weights: &mut Weights) {
    if text.any(&["no space left on device", "disk quota exceeded", "(errno=28)", "enospc"]) {
        let shares: &[(&str, f64)] = if text.has("misconf") {
            &[("writes-stopped", 0.7), ("disk-full", 0.25)]
        } else {
            &[("disk-full", 0.75), ("writes-stopped", 0.15)]
        };
        weights.add("the disk is full", REPLY, shares);
    }
    if text.has("nf_conntrack: table full") {
        weights.add("connection tracking is full", DEATH, &[("conntrack-full", 0.92)]);
    }
    if text.has("replicaof") && text.any(&["fullresync", "185.", "module load"]) {
        weights.add("a primary nobody set", REPLY, &[("instance-hijacked", 0.5)]);
    }
}
