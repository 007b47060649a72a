use super::{Found, Line, parse, recognise};
use crate::evidence::server::DeathKind::{self, *};

/// Logs of real servers that were made to fail, a section for each way.
const LOGS: [(&str, &str); 3] = [
    ("redis 7.0.15", include_str!("logs/redis-7.0.15.txt")),
    ("redis 8.0.2", include_str!("logs/redis-8.0.2.txt")),
    ("valkey 8.1.1", include_str!("logs/valkey-8.1.1.txt")),
];

fn lines(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| {
            let (pid, at, text) = parse(line);
            Line { at, pid, manager: false, text: text.to_owned(), source: "log".to_owned() }
        })
        .collect()
}

fn section(log: &str, name: &str) -> Found {
    let body = log.split("##### ").find(|s| s.lines().next() == Some(name)).unwrap_or_default();
    let body = body.split_once('\n').map_or("", |(_, body)| body);
    assert!(!body.is_empty(), "{name} is not in the log");
    recognise(&lines(body))
}

/// The deaths of every section, newest first; `Death.last` is true for all, as nothing came after.
const EXPECTED: &[(&str, &[DeathKind])] = &[
    ("port-taken", &[PortTaken]),
    ("port-taken-self", &[PortTaken]),
    ("addr-missing", &[AddressMissing]),
    ("bind-denied", &[BindDenied]),
    ("nowhere", &[NowhereToListen]),
    ("nowhere-optional", &[NowhereToListen, AddressMissing]),
    ("conf-directive", &[ConfigError]),
    ("conf-memory", &[ConfigError]),
    ("conf-quotes", &[ConfigError]),
    ("conf-args", &[ConfigError]),
    ("conf-argv", &[ConfigError]),
    ("conf-missing", &[ConfigUnreadable]),
    ("conf-denied", &[ConfigUnreadable]),
    ("conf-include", &[ConfigUnreadable]),
    ("conf-dir", &[PathMissing]),
    ("conf-dir-denied", &[PathDenied]),
    ("conf-logfile", &[PathMissing]),
    ("conf-logfile-denied", &[PathDenied]),
    ("unixsocket-missing", &[UnixSocketFailed]),
    ("unixsocket-denied", &[UnixSocketFailed]),
    ("rdb-signature", &[RdbUnloadable]),
    ("rdb-version", &[RdbUnloadable]),
    ("rdb-short", &[RdbUnloadable]),
    ("aof-format", &[AofUnloadable]),
    ("aof-truncated", &[AofUnloadable]),
    ("aof-missing", &[AofUnloadable]),
    ("aof-manifest", &[AofUnloadable]),
    ("aof-denied", &[PathDenied]),
    ("tls-nocert", &[TlsMaterial]),
    ("tls-missing", &[TlsMaterial]),
    ("tls-mismatch", &[TlsMaterial]),
    ("tls-noca", &[TlsMaterial]),
    ("tls-keydenied", &[TlsMaterial]),
    ("tls-passphrase", &[TlsMaterial]),
    ("acl-rule", &[AclError]),
    ("acl-file", &[AclError]),
    ("acl-missing", &[AclError]),
    ("acl-both", &[AclError]),
    ("module", &[ModuleFailed]),
    ("ulimit", &[UlimitTooSmall]),
    ("cluster-bus", &[ClusterConfig]),
    ("cluster-port", &[ClusterConfig]),
    ("sentinel-ro", &[SentinelConfig]),
    ("sentinel-none", &[SentinelConfig]),
    ("sigterm", &[OrderlyStop]),
    ("sigint-save", &[OrderlyStop]),
    ("shutdown", &[OrderlyStop]),
    ("oomcmd", &[OutOfMemory]),
    ("segv", &[Crashed]),
    ("assert", &[Crashed]),
    ("panic", &[Crashed]),
    ("ro-dir", &[ReadOnlyFs]),
    ("ro-log", &[ReadOnlyFs]),
    ("full-aof", &[NoSpace]),
    ("full-shutdown", &[]),
    ("max-fd", &[]),
];

#[test]
fn every_way_to_die_is_recognised_in_every_release() {
    let mut wrong = Vec::new();
    for (version, log) in LOGS {
        for (name, expected) in EXPECTED {
            let found = section(log, name);
            let kinds: Vec<DeathKind> = found.deaths.iter().map(|d| d.kind).collect();
            if kinds != *expected || !found.deaths.iter().all(|d| d.last) {
                wrong.push(format!("{version} {name}: {:?}", found.deaths));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn details_name_what_matters() {
    let of = |name: &str| section(LOGS[0].1, name).deaths[0].clone();
    let config = of("conf-directive");
    assert_eq!(config.line, Some(2));
    assert_eq!(config.detail.as_deref(), Some("frobnicate ***: Bad directive or wrong number of arguments"));
    let secret = of("conf-args");
    assert_eq!(secret.detail.as_deref(), Some("requirepass ***: wrong number of arguments"));
    assert!(!secret.text.contains("a b c"), "{}", secret.text);
    assert!(of("addr-missing").detail.expect("told").contains("10.99.99.99:17001"));
    assert_eq!(of("conf-missing").detail.as_deref(), Some("/tmp/g/nope.conf: No such file or directory"));
    assert!(of("conf-dir-denied").detail.expect("told").contains("/tmp/g/locked"));
    assert!(of("tls-missing").detail.expect("told").starts_with("/no/c.pem: "));
    assert!(of("module").detail.expect("told").starts_with("/no/mod.so: "));
    assert_eq!(of("aof-format").detail.as_deref(), Some("appendonly.aof.1.incr.aof"));
    assert_eq!(of("sigterm").detail.as_deref(), Some("SIGTERM"));
    let shutdown = section(LOGS[2].1, "shutdown").deaths[0].clone();
    assert_eq!(shutdown.detail.as_deref(), Some("a SHUTDOWN command from 127.0.0.1:52106"));
    assert_eq!(of("segv").detail.as_deref(), Some("signal 11"));
}

#[test]
fn a_later_start_makes_a_death_past() {
    let log = LOGS[0].1;
    let took = |name: &str| {
        let body = log.split("##### ").find(|s| s.lines().next() == Some(name)).expect("there");
        body.split_once('\n').expect("body").1.to_owned()
    };
    let started = "9:M 22 Nov 2026 18:10:00.000 * Ready to accept connections\n";
    let starts = "9:C 22 Nov 2026 18:09:59.000 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n";
    let found = recognise(&lines(&format!("{}{starts}{started}", took("port-taken"))));
    assert_eq!(found.deaths.len(), 1);
    assert!(!found.deaths[0].last);
    assert!(found.alive);
    assert_eq!(found.last_ready, Some(1_795_371_000));
    let again = format!("{}{}{}", took("port-taken"), took("segv"), took("rdb-version"));
    let found = recognise(&lines(&again));
    let told: Vec<_> = found.deaths.iter().map(|d| (d.kind, d.last)).collect();
    assert_eq!(told, [(RdbUnloadable, true), (Crashed, false), (PortTaken, false)]);
}

#[test]
fn an_optional_address_is_no_death() {
    let log = "1:M 22 Nov 2026 18:00:00.000 # Warning: Could not create server TCP listening socket ::1:6379: bind: Cannot assign requested address\n\
        1:M 22 Nov 2026 18:00:00.001 # Server initialized\n\
        1:M 22 Nov 2026 18:00:00.002 * Loading RDB produced by version 7.0.15\n";
    assert!(recognise(&lines(log)).deaths.is_empty());
}

#[test]
fn old_servers_say_nothing_after_a_failed_bind() {
    let log = "21:M 22 Nov 18:00:00.000 # Creating Server TCP listening socket *:6379: bind: Address already in use\n";
    let kinds: Vec<_> = recognise(&lines(log)).deaths.iter().map(|d| d.kind).collect();
    assert_eq!(kinds, [PortTaken]);
}

/// What systemd 252 wrote, `who: text`, with the server's lines between.
fn unit(text: &str) -> Found {
    let lines: Vec<Line> = text
        .lines()
        .enumerate()
        .map(|(at, line)| {
            let (who, text) = line.trim().split_once(' ').expect("who and text");
            let pid = who.parse().ok();
            let at = Some(1_795_370_000_000_000 + at as u64 * 1_000_000);
            Line { at, pid, manager: pid.is_none(), text: text.to_owned(), source: "journal".to_owned() }
        })
        .collect();
    recognise(&lines)
}

fn told(found: &Found) -> Vec<(DeathKind, bool)> {
    found.deaths.iter().map(|d| (d.kind, d.last)).collect()
}

#[test]
fn units_that_fail() {
    let loop_of = |what: &str| {
        let one = format!(
            "systemd Starting redis-server.service - Advanced key-value store...\n{what}\
            systemd redis-server.service: Failed with result 'exit-code'.\n\
            systemd Failed to start redis-server.service - Advanced key-value store.\n\
            systemd redis-server.service: Scheduled restart job, restart counter is at 1.\n\
            systemd Stopped redis-server.service - Advanced key-value store.\n"
        );
        format!(
            "{one}{one}systemd redis-server.service: Start request repeated too quickly.\n\
            systemd redis-server.service: Failed with result 'exit-code'.\n"
        )
    };
    let config = "1158 *** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\n\
        1158 Reading the configuration file, at line 2277\n\
        1158 >>> 'frob 1'\n\
        1158 Bad directive or wrong number of arguments\n\
        systemd redis-server.service: Main process exited, code=exited, status=1/FAILURE\n";
    // The refusal to start again ends the attempt before it: both are of the last one.
    assert_eq!(
        told(&unit(&loop_of(config))),
        [(StartLimit, true), (ConfigError, true), (ConfigError, false)]
    );
    let namespace = "(s-server) redis-server.service: Failed to set up mount namespacing: /run/systemd/unit-root/no/such: No such file or directory\n\
        (s-server) redis-server.service: Failed at step NAMESPACE spawning /usr/bin/redis-server: No such file or directory\n\
        systemd redis-server.service: Main process exited, code=exited, status=226/NAMESPACE\n";
    let found = unit(&loop_of(namespace));
    assert_eq!(told(&found), [(StartLimit, true), (SandboxFailed, true), (SandboxFailed, false)]);
    assert!(
        found.deaths[1].detail.as_deref().is_some_and(|d| d.contains("/no/such")),
        "{:?}",
        found.deaths[1]
    );
    // A start that fails before the fork has no "Starting" of its own.
    let restart = "systemd Starting redis.service\n\
        systemd Stopping redis.service\n\
        systemd redis.service: Deactivated successfully.\n\
        systemd redis.service: Failed to load environment files: No such file or directory\n";
    assert_eq!(told(&unit(restart)), [(SandboxFailed, true), (OrderlyStop, false)]);
    let one = |text: &str| told(&unit(&format!("systemd Starting redis.service\n{text}")));
    assert_eq!(
        one("systemd redis.service: Main process exited, code=exited, status=203/EXEC\n"),
        [(ExecFailed, true)]
    );
    assert_eq!(
        one("systemd redis.service: Main process exited, code=killed, status=9/KILL\n"),
        [(Killed, true)]
    );
    assert_eq!(
        one("systemd redis.service: Main process exited, code=dumped, status=11/SEGV\n"),
        [(Crashed, true)]
    );
    assert_eq!(
        one("systemd redis.service: Main process exited, code=killed, status=31/SYS\n"),
        [(SandboxFailed, true)]
    );
    assert_eq!(
        one("systemd redis.service: A process of this unit has been killed by the OOM killer.\n\
            systemd redis.service: Main process exited, code=killed, status=9/KILL\n\
            systemd redis.service: Failed with result 'oom-kill'.\n"),
        [(OomKilled, true)]
    );
    assert_eq!(
        one("systemd redis.service: Watchdog timeout (limit 1s)!\n\
            systemd redis.service: Killing process 1538 (redis-server) with signal SIGABRT.\n\
            systemd redis.service: Main process exited, code=killed, status=6/ABRT\n\
            systemd redis.service: Failed with result 'watchdog'.\n"),
        [(SupervisorTimeout, true)]
    );
}

#[test]
fn a_start_that_takes_too_long_is_no_orderly_stop() {
    let found = unit(
        "systemd Starting redis.service\n\
        77 Server initialized\n\
        systemd redis.service: start operation timed out. Terminating.\n\
        77 Received SIGTERM scheduling shutdown...\n\
        77 User requested shutdown...\n\
        77 Redis is now ready to exit, bye bye...\n\
        systemd redis.service: Failed with result 'timeout'.\n",
    );
    assert_eq!(told(&found), [(SupervisorTimeout, true)]);
}

#[test]
fn a_stop_tells_by_whom() {
    let found = unit(
        "systemd Starting redis.service\n\
        77 Ready to accept connections\n\
        systemd Started redis.service\n\
        systemd Stopping redis.service\n\
        77 User requested shutdown...\n\
        77 Redis is now ready to exit, bye bye...\n\
        systemd redis.service: Deactivated successfully.\n\
        systemd Stopped redis.service\n",
    );
    assert_eq!(told(&found), [(OrderlyStop, true)]);
    assert_eq!(found.deaths[0].detail.as_deref(), Some("systemd, asked to stop the unit"));
}

#[test]
fn prefixes() {
    assert_eq!(parse("592:M 22 Nov 2026 18:00:12.303 # text here").1, Some(1_795_370_412_303_000));
    assert_eq!(parse("592:signal-handler (1795370412) Received SIGTERM scheduling shutdown...").0, Some(592));
    assert_eq!(parse("7:12:C 22 Nov 2026 18:00:12.303 # keydb").2, "keydb");
    let logfmt = parse(
        "pid=5 role=primary timestamp=\"22 Nov 2026 18:00:12.303\" level=warning message=\"text here\"",
    );
    assert_eq!(logfmt, (Some(5), Some(1_795_370_412_303_000), "text here"));
    for odd in ["", ":", "1:", "1:M", "1:M 99 Foo 1 2", "99999999999999:M 1 Jan 1 1", "*** x"] {
        parse(odd);
    }
}

#[test]
fn hostile_lines_are_bounded_and_escaped() {
    let long =
        format!("1:M 22 Nov 2026 18:00:12.303 # Module \x1b[31m{} failed to load: x", "a".repeat(100_000));
    let found = recognise(&lines(&long.repeat(3)));
    for death in found.deaths {
        assert!(death.text.len() < 2000 && !death.text.contains('\x1b'));
    }
}
