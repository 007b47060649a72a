//! Fixed case files, for the formats' tests.

use crate::evidence::client::{Dial, DialOutcome, Name, Reply, Route, RouteOutcome, Speaks, Talk};
use crate::evidence::server::{Config, Listener, Listeners, Process, Setting, Unit, Units};
use crate::evidence::{CaseFile, SCHEMA_VERSION, Seen, Why};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn dialled(url: &str, outcome: DialOutcome) -> CaseFile {
    let target = crate::target::parse(url, "argument");
    let mut file = CaseFile {
        schema_version: SCHEMA_VERSION,
        nopong: "0.0.0".to_owned(),
        ask: target.ask(2000, None),
        took_ms: 12.345,
        ..CaseFile::default()
    };
    let ip = "10.0.0.5".parse().unwrap();
    let name = Name { asked: "10.0.0.5".to_owned(), literal: true, addresses: vec![ip], ..Name::default() };
    file.client.name = Seen::yes(name, MS, "getent ahosts 10.0.0.5");
    let via = RouteOutcome::Via { dev: "eth0".to_owned(), source: Some(ip), gateway: None, local: true };
    file.client.route = Seen::yes(vec![Route { to: ip, outcome: via }], MS, "ip route get 10.0.0.5");
    let dial = Dial {
        to: "10.0.0.5:6379".parse().unwrap(),
        outcome,
        took_ms: 0.31,
        from: None,
        icmp: None,
        rst: None,
        reach: None,
        watched: false,
    };
    file.client.connect = Seen::yes(vec![dial], MS, "nc -vz 10.0.0.5 6379");
    file
}

/// Redis on loopback, the LAN address dialled.
pub(crate) fn bound_to_loopback() -> CaseFile {
    let mut file = dialled("redis://10.0.0.5:6379", DialOutcome::Errno { errno: "ECONNREFUSED".to_owned() });
    file.ask.local = true;
    let listener = Listener {
        at: "127.0.0.1:6379".parse().unwrap(),
        v6only: None,
        queue: 0,
        queue_max: 511,
        pids: vec![812],
        comm: Some("redis-server".to_owned()),
        uid: 108,
        device: None,
    };
    file.server.listener =
        Seen::yes(Listeners { tcp: vec![listener], ..Listeners::default() }, MS, "ss -ltnp");
    let process = Process {
        pid: 812,
        state: 'S',
        exe: Some("/usr/bin/redis-check-rdb".to_owned()),
        unit: Some("redis-server.service".to_owned()),
        ..Process::default()
    };
    file.server.process = Seen::yes(vec![process], MS, "pgrep -a redis-server");
    let unit = Unit {
        name: "redis-server.service".to_owned(),
        load_state: "loaded".to_owned(),
        active: "active".to_owned(),
        sub: "running".to_owned(),
        result: "success".to_owned(),
        main_pid: 812,
        ..Unit::default()
    };
    file.server.unit =
        Seen::yes(Units { units: vec![unit], booted_at: None }, MS, "systemctl status redis-server");
    let mut config =
        Config { file: Some("/etc/redis/redis.conf".to_owned()), pid: Some(812), ..Config::default() };
    let bind = Setting {
        value: "127.0.0.1 -::1".to_owned(),
        file: "/etc/redis/redis.conf".to_owned(),
        line: Some(87),
    };
    config.settings.insert("bind".to_owned(), bind);
    file.server.config = Seen::yes(vec![config], MS, "grep ^bind /etc/redis/redis.conf");
    file.server.drop = Seen::unknown(Why::NotPermitted { needs: "root".to_owned() }, MS, "");
    file
}

/// The same, seen by a client elsewhere: not decided.
pub(crate) fn refused_from_afar() -> CaseFile {
    dialled("redis://10.0.0.5:6379", DialOutcome::Errno { errno: "ECONNREFUSED".to_owned() })
}

/// All is well.
pub(crate) fn pong() -> CaseFile {
    let mut file = dialled("redis://10.0.0.5:6379", DialOutcome::Connected);
    let talk = Talk {
        to: "10.0.0.5:6379".to_owned(),
        speaks: Speaks::Resp,
        ping: Some(Reply::Text { text: "PONG".to_owned() }),
        ping_ms: Some(0.21),
        ..Talk::default()
    };
    file.client.protocol = Seen::yes(vec![talk], MS, "redis-cli -h 10.0.0.5 ping");
    file
}

/// A target that does not parse.
pub(crate) fn malformed(url: &str) -> CaseFile {
    let target = crate::target::parse(url, "argument");
    CaseFile { ask: target.ask(2000, None), ..CaseFile::default() }
}

/// A server that answers with what terminals, browsers and parsers obey.
pub(crate) fn hostile() -> CaseFile {
    let mut file = dialled("redis://10.0.0.5:6379", DialOutcome::Connected);
    let text =
        "ERR \x1b[2J\x07<script>alert(1)</script> `code` **bold** | pipe ]]> & \u{202e}\r\n# head".to_owned();
    let talk = Talk {
        to: "10.0.0.5:6379".to_owned(),
        speaks: Speaks::Resp,
        ping: Some(Reply::Error { text, word: "ERR".to_owned() }),
        ..Talk::default()
    };
    file.client.protocol = Seen::yes(vec![talk], MS, "redis-cli -h 10.0.0.5 ping; echo '<b>'");
    file
}
