//! Builders for the causes' tests: case files of a few lines. Nothing here is in the product.

use super::{Bearing, Cause};
use crate::diagnosis::{Band, Case, diagnose};
use crate::evidence::client::{Dial, DialOutcome, Reply, Speaks, Talk};
use crate::evidence::containers::{Attachment, Container, Published};
use crate::evidence::ends::{Handshake, Handshakes, Place};
use crate::evidence::server::{
    Address, Config, Death, DeathKind, Listener, Listeners, Logs, Process, Setting, Unit, Units,
};
use crate::evidence::{CaseFile, Seen};
use std::time::Duration;

/// A fact that was seen.
pub(crate) fn seen<T>(value: T) -> Seen<T> {
    Seen::yes(value, Duration::ZERO, "")
}

/// A client that dials `host:port`, nothing seen yet.
pub(crate) fn client(host: &str, port: u16) -> CaseFile {
    let mut file = CaseFile::default();
    file.ask.url = format!("redis://{host}:{port}");
    file.ask.host = host.to_owned();
    file.ask.port = port;
    file.ask.timeout_ms = 2000;
    file
}

/// 10.0.0.5:6379 dialled, with that outcome.
pub(crate) fn dialled(outcome: DialOutcome) -> CaseFile {
    let mut file = client("10.0.0.5", 6379);
    let dial = Dial {
        to: "10.0.0.5:6379".parse().unwrap(),
        outcome,
        took_ms: 0.2,
        from: Some("10.0.0.7:40000".parse().unwrap()),
        icmp: None,
        rst: None,
        reach: None,
        watched: false,
    };
    file.client.connect = seen(vec![dial]);
    file
}

/// connect() gave that errno.
pub(crate) fn errno(name: &str) -> CaseFile {
    dialled(DialOutcome::Errno { errno: name.to_owned() })
}

/// The Redis host's side was read on another machine, which has that address.
pub(crate) fn apart(mut file: CaseFile, address: &str) -> CaseFile {
    let place = |asked: &str, boot: &str| Place {
        asked: asked.to_owned(),
        shell: asked.replace(':', " "),
        boot: Some(boot.to_owned()),
        netns: Some(1),
        ..Place::default()
    };
    (file.client_at, file.server_at) = (Some(place("ssh:app1", "a")), Some(place("ssh:db", "b")));
    file.server.address = seen(vec![Address {
        dev: "eth0".to_owned(),
        address: address.parse().unwrap(),
        prefix: 24,
        up: true,
        tentative: false,
    }]);
    file.server.listener = seen(Listeners::default());
    file.server.process = seen(Vec::new());
    file.server.unit = seen(Units::default());
    file
}

/// The Redis host's wire was watched while the client dialled.
pub(crate) fn watched(mut file: CaseFile, target: Vec<Handshake>) -> CaseFile {
    file.server.syn = seen(Handshakes { target, ..Handshakes::default() });
    file
}

/// A handshake at the server's end: SYNs that came in, SYN-ACKs that left.
pub(crate) fn handshake(ours: bool, syn_in: u32, ack_out: u32) -> Handshake {
    Handshake {
        client: if ours { "10.0.0.7:40000" } else { "192.0.2.1:40000" }.parse().unwrap(),
        server: "10.0.0.5:6379".parse().unwrap(),
        dev: "eth0".to_owned(),
        ours,
        syn_in,
        syn_out: 0,
        ack_in: 0,
        ack_out,
        rst_in: 0,
        rst_out: 0,
        answered_by: None,
    }
}

/// Refused, seen by a client alone.
pub(crate) fn refused() -> CaseFile {
    errno("ECONNREFUSED")
}

/// No answer to the SYN, seen by a client alone.
pub(crate) fn timed_out() -> CaseFile {
    dialled(DialOutcome::TimedOut)
}

/// Accepted, then this conversation.
pub(crate) fn talks(talk: Talk) -> CaseFile {
    let mut file = dialled(DialOutcome::Connected);
    file.client.protocol = seen(vec![Talk { to: "10.0.0.5:6379".to_owned(), ..talk }]);
    file
}

/// Accepted, then silence, an end or a reset without a byte.
pub(crate) fn mute(speaks: Speaks) -> CaseFile {
    talks(Talk { speaks, ..Talk::default() })
}

/// An error line as a reply.
pub(crate) fn error(text: &str) -> Reply {
    Reply::Error { word: text.split(' ').next().unwrap_or_default().to_owned(), text: text.to_owned() }
}

/// PING was answered by this error.
pub(crate) fn ping_error(text: &str) -> CaseFile {
    talks(Talk { speaks: Speaks::Resp, ping: Some(error(text)), ..Talk::default() })
}

/// PONG with these INFO fields.
pub(crate) fn pong(info: &[(&str, &str)]) -> CaseFile {
    talks(pong_talk(info))
}

/// The conversation of a PONG with these INFO fields.
pub(crate) fn pong_talk(info: &[(&str, &str)]) -> Talk {
    Talk {
        speaks: Speaks::Resp,
        ping: Some(Reply::Text { text: "PONG".to_owned() }),
        info: info.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Talk::default()
    }
}

/// The target is this machine, and its sockets, processes and units were seen: none so far.
pub(crate) fn on_server(mut file: CaseFile) -> CaseFile {
    file.ask.local = true;
    file.server.listener = seen(Listeners::default());
    file.server.process = seen(Vec::new());
    file.server.unit = seen(Units::default());
    file
}

/// Adds a unit `redis-server.service` of these states, with the log read and empty.
pub(crate) fn with_unit(mut file: CaseFile, active: &str, sub: &str, result: &str) -> CaseFile {
    let mut units = file.server.unit.get().cloned().unwrap_or_default();
    units.units.push(unit("redis-server.service", active, sub, result));
    if let (Some(unit), true) = (units.units.last_mut(), result == "exit-code") {
        unit.exit_kind = Some("exited".to_owned());
        unit.exit_status = Some(1);
    }
    file.server.unit = seen(units);
    if file.server.log.get().is_none() {
        file.server.log = seen(Logs::default());
    }
    file
}

/// A loaded and enabled unit.
pub(crate) fn unit(name: &str, active: &str, sub: &str, result: &str) -> Unit {
    Unit {
        name: name.to_owned(),
        names: vec![name.to_owned()],
        load_state: "loaded".to_owned(),
        active: active.to_owned(),
        sub: sub.to_owned(),
        result: result.to_owned(),
        file_state: Some("enabled".to_owned()),
        exec_start: vec!["/usr/bin/redis-server".to_owned(), "/etc/redis/redis.conf".to_owned()],
        kind: "notify".to_owned(),
        user: Some("redis".to_owned()),
        ..Unit::default()
    }
}

/// Changes the first unit.
pub(crate) fn edit_unit(mut file: CaseFile, edit: impl FnOnce(&mut Unit)) -> CaseFile {
    let mut units = file.server.unit.get().cloned().unwrap_or_default();
    edit(units.units.first_mut().expect("with_unit comes first"));
    file.server.unit = seen(units);
    file
}

/// A running redis-server of `redis-server.service`.
pub(crate) fn process(pid: u32) -> Process {
    Process {
        pid,
        exe: Some("/usr/bin/redis-server".to_owned()),
        uid: 107,
        user: Some("redis".to_owned()),
        state: 'S',
        same_netns: Some(true),
        age_s: Some(3600),
        unit: Some("redis-server.service".to_owned()),
        ..Process::default()
    }
}

/// A listening socket of that process.
pub(crate) fn listener(at: &str, pid: u32, comm: &str) -> Listener {
    Listener {
        at: at.parse().unwrap(),
        v6only: Some(true),
        queue: 0,
        queue_max: 511,
        pids: vec![pid],
        comm: Some(comm.to_owned()),
        uid: 107,
        device: None,
    }
}

/// Adds a process.
pub(crate) fn with_process(mut file: CaseFile, process: Process) -> CaseFile {
    let mut all = file.server.process.get().cloned().unwrap_or_default();
    all.push(process);
    file.server.process = seen(all);
    file
}

/// Adds a TCP listener.
pub(crate) fn with_listener(mut file: CaseFile, listener: Listener) -> CaseFile {
    let mut all = file.server.listener.get().cloned().unwrap_or_default();
    all.tcp.push(listener);
    file.server.listener = seen(all);
    file
}

/// A running Redis, pid 812, that listens on `at`.
pub(crate) fn running(file: CaseFile, at: &str) -> CaseFile {
    with_listener(
        with_process(with_unit(file, "active", "running", "success"), process(812)),
        listener(at, 812, "redis-server"),
    )
}

/// A recognised last word.
pub(crate) fn death(kind: DeathKind, text: &str) -> Death {
    Death {
        kind,
        text: text.to_owned(),
        detail: None,
        file: None,
        line: None,
        source: "journal of redis-server.service".to_owned(),
        at: Some(1_700_000_000),
        pid: Some(700),
        last: true,
    }
}

/// Adds a death to the log.
pub(crate) fn with_death(mut file: CaseFile, death: Death) -> CaseFile {
    let mut logs = file.server.log.get().cloned().unwrap_or_default();
    logs.deaths.push(death);
    file.server.log = seen(logs);
    file
}

/// The unit failed after this last word.
pub(crate) fn died(kind: DeathKind, text: &str) -> CaseFile {
    with_death(with_unit(on_server(refused()), "failed", "failed", "exit-code"), death(kind, text))
}

/// Adds the configuration `/etc/redis/redis.conf` with these settings, lines counted from 1.
pub(crate) fn with_config(mut file: CaseFile, settings: &[(&str, &str)]) -> CaseFile {
    let settings = settings.iter().zip(1..).map(|((key, value), line)| {
        let setting = Setting {
            value: (*value).to_owned(),
            file: "/etc/redis/redis.conf".to_owned(),
            line: Some(line),
        };
        ((*key).to_owned(), setting)
    });
    let pid = file.server.process.get().and_then(|p| p.first()).map(|p| p.pid);
    file.server.config = seen(vec![Config {
        file: Some("/etc/redis/redis.conf".to_owned()),
        found_by: "redis-server.service".to_owned(),
        settings: settings.collect(),
        pid,
        ..Config::default()
    }]);
    file
}

/// How the cause's reasons bear.
pub(crate) fn bearings(cause: &dyn Cause, file: &CaseFile) -> Vec<Bearing> {
    cause.weigh(&Case::new(file)).iter().map(|r| r.bearing).collect()
}

/// The evidence settles the cause.
pub(crate) fn confirms(cause: &dyn Cause, file: &CaseFile) -> bool {
    bearings(cause, file).contains(&Bearing::Confirms)
}

/// The evidence excludes the cause.
pub(crate) fn rules_out(cause: &dyn Cause, file: &CaseFile) -> bool {
    let all = bearings(cause, file);
    all.contains(&Bearing::RulesOut) && !all.contains(&Bearing::Confirms)
}

/// Nothing speaks for the cause, and nothing is latent.
pub(crate) fn silent(cause: &dyn Cause, file: &CaseFile) -> bool {
    bearings(cause, file).iter().all(|b| *b >= Bearing::Against) && cause.latent(&Case::new(file)).is_none()
}

/// Id and band of the first cause of the whole diagnosis.
pub(crate) fn first(file: &CaseFile) -> Option<(&'static str, Band)> {
    diagnose(file).causes.first().map(|f| (f.cause.meta().id, f.band))
}

/// The cluster's objects, as kubectl lists them, for a client in pod web/worker-1.
pub(crate) fn in_cluster(mut file: CaseFile, objects: &serde_json::Value) -> CaseFile {
    let mut cluster = crate::kube::Cluster::default();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    crate::kube::read(list.as_bytes(), &mut cluster).unwrap();
    let client = crate::evidence::kube::Key { namespace: "web".to_owned(), name: "worker-1".to_owned() };
    let question = crate::kube::Question {
        host: file.ask.host.clone(),
        port: file.ask.port,
        client: Some(client),
        ..Default::default()
    };
    file.client.kubernetes = seen(crate::kube::excerpt(&cluster, &question));
    file
}

/// A pod of Kubernetes with that label `app`.
pub(crate) fn pod(namespace: &str, name: &str, app: &str, ready: bool) -> serde_json::Value {
    serde_json::json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {"containers": [{"name": app, "image": app, "ports": [{"name": app, "containerPort": 6379}]}]},
        "status": {"phase": "Running", "podIP": "10.244.1.5",
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            "containerStatuses": [{"name": app, "ready": ready, "state": {"running": {}}}]}})
}

/// Service `redis` of that namespace for the pods `app=redis`, with an endpoint for `redis-0`.
pub(crate) fn service(namespace: &str, ready: bool) -> Vec<serde_json::Value> {
    let metadata = serde_json::json!({"name": "redis", "namespace": namespace, "labels": {"kubernetes.io/service-name": "redis"}});
    vec![
        serde_json::json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"clusterIP": "10.96.0.10", "selector": {"app": "redis"}, "ports": [{"port": 6379}]}}),
        serde_json::json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
            "ports": [{"port": 6379}],
            "endpoints": [{"addresses": ["10.244.1.5"], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": "redis-0"}}]}),
    ]
}

/// Adds a running Redis container `redis`, 172.17.0.2, changed by `edit`.
pub(crate) fn with_container(mut file: CaseFile, edit: impl FnOnce(&mut Container)) -> CaseFile {
    let mut all = file.server.container.get().cloned().unwrap_or_default();
    let mut container = Container {
        id: format!("{:064x}", all.found.len() + 1),
        name: "redis".to_owned(),
        image: "redis:8".to_owned(),
        command: vec!["redis-server".to_owned()],
        redis: true,
        status: "running".to_owned(),
        policy: "no".to_owned(),
        network_mode: "bridge".to_owned(),
        networks: vec![attached("bridge", "172.17.0.2", &[])],
        ..Container::default()
    };
    edit(&mut container);
    all.engine = "Docker 26.1.5".to_owned();
    all.total += 1;
    all.found.push(container);
    file.server.container = seen(all);
    file
}

/// An attachment to a network with these names there.
pub(crate) fn attached(network: &str, address: &str, names: &[&str]) -> Attachment {
    Attachment {
        network: network.to_owned(),
        addresses: address.parse().into_iter().collect(),
        names: names.iter().map(|n| (*n).to_owned()).collect(),
    }
}

/// Publishes port 6379 of the container there.
pub(crate) fn publish(container: &mut Container, at: &str) {
    container.ports = vec![Published { inside: 6379, at: Some(at.parse().unwrap()) }];
}

/// The client stands in a container `app` on that network.
pub(crate) fn from_container(mut file: CaseFile, network: &str) -> CaseFile {
    file.client.container = seen(Container {
        id: "a".repeat(64),
        name: "app".to_owned(),
        status: "running".to_owned(),
        network_mode: network.to_owned(),
        networks: vec![attached(network, "172.18.0.9", &["app"])],
        ..Container::default()
    });
    let standing = file.client.standing.get().cloned().unwrap_or_default();
    let container = Some("a Docker container".to_owned());
    file.client.standing = seen(crate::evidence::client::Standing { container, ..standing });
    file
}
