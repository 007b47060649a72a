//! An engine's answer on one container, as facts. Pure; what is missing or of another type is as if it were not there.

use crate::evidence::containers::{Attachment, Container, Health, Mount, Published};
use crate::evidence::redact;
use crate::text::shown_str;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// Bounds on what a hostile engine could tell: items of a list, and characters of a text.
const ITEMS: usize = 32;
const TEXT: usize = 300;

/// Reads `/containers/ID/json`.
pub(super) fn container(v: &Value) -> Option<Container> {
    let (state, host, config) = (&v["State"], &v["HostConfig"], &v["Config"]);
    let id = v["Id"].as_str().filter(|id| id.len() <= 128)?;
    let image = text(&config["Image"]);
    let command = command(v);
    let labels = &config["Labels"];
    let label = |name: &str| labels[name].as_str().map(|l| shown_str(l, TEXT));
    let status = match text(&state["Status"]) {
        // Podman's words for what Docker calls exited, and for one that never ran.
        s if s == "stopped" => "exited".to_owned(),
        s if s == "configured" || s == "initialized" => "created".to_owned(),
        s => s,
    };
    let runs = matches!(status.as_str(), "running" | "paused");
    Some(Container {
        id: shown_str(id, 128),
        name: shown_str(v["Name"].as_str().unwrap_or(id).trim_start_matches('/'), 128),
        redis: is_redis(&image, &command),
        image,
        command: redact::argv(&command).iter().map(|w| shown_str(w, TEXT)).collect(),
        exit_code: state["ExitCode"].as_i64().filter(|_| !runs && status != "created"),
        oom_killed: state["OOMKilled"].as_bool().unwrap_or(false),
        error: state["Error"].as_str().filter(|e| !e.is_empty()).map(|e| shown_str(e, TEXT)),
        restarts: v["RestartCount"].as_u64().unwrap_or(0),
        policy: text(&host["RestartPolicy"]["Name"]),
        started_at: time(&state["StartedAt"]),
        finished_at: time(&state["FinishedAt"]),
        health: health(state),
        ports: ports(v),
        network_mode: text(&host["NetworkMode"]),
        networks: networks(v),
        project: label("com.docker.compose.project").or_else(|| label("io.podman.compose.project")),
        service: label("com.docker.compose.service"),
        folder: label("com.docker.compose.project.working_dir"),
        mounts: list(&v["Mounts"]).filter_map(mount).collect(),
        memory_limit: host["Memory"].as_u64().filter(|n| *n > 0),
        pid: state["Pid"].as_u64().and_then(|p| u32::try_from(p).ok()).filter(|p| *p > 0 && runs),
        user: config["User"].as_str().filter(|u| !u.is_empty()).map(|u| shown_str(u, 60)),
        status,
        ..Container::default()
    })
}

fn text(v: &Value) -> String {
    shown_str(v.as_str().unwrap_or_default(), TEXT)
}

fn list(v: &Value) -> impl Iterator<Item = &Value> {
    v.as_array().into_iter().flatten().take(ITEMS)
}

/// Entry point and arguments, unredacted: for the caller to read a file's name from.
pub(super) fn command(v: &Value) -> Vec<String> {
    let args = v["Args"].as_array().into_iter().flatten().take(128);
    let path = v["Path"].as_str().into_iter();
    path.chain(args.filter_map(Value::as_str)).map(|w| w.chars().take(2000).collect()).collect()
}

/// The command starts a Redis, Valkey, KeyDB or Dragonfly; or the image is one of theirs and the command does not
/// say what it starts.
pub(super) fn is_redis(image: &str, command: &[String]) -> bool {
    const SERVERS: &[&str] =
        &["redis-server", "valkey-server", "keydb-server", "redis-stack", "redis-sentinel", "dragonfly"];
    if command.iter().any(|w| SERVERS.iter().any(|s| w.contains(s))) {
        return true;
    }
    // `docker.io/bitnami/redis:7.2` is redis; `oliver006/redis_exporter` and `redis-commander` are not.
    let repository = image.split('@').next().unwrap_or_default();
    let last = repository.rsplit('/').next().unwrap_or_default();
    let last = last.split(':').next().unwrap_or_default();
    let image =
        ["redis", "valkey", "keydb", "redis-stack", "redis-stack-server", "dragonfly", "redis-cluster"]
            .contains(&last);
    // Their entry points are scripts: docker-entrypoint.sh, /opt/bitnami/scripts/redis/entrypoint.sh.
    let first = command.first().map_or("", String::as_str);
    image
        && (first.is_empty() || first.contains("entrypoint"))
        && command.get(1).is_none_or(|w| w.starts_with('-') || w.contains("redis") || w.contains("valkey"))
}

/// Seconds since 1970 of an RFC 3339 time in UTC or with an offset; none for year 1, which stands for never.
pub(super) fn time(v: &Value) -> Option<u64> {
    micros(v.as_str()?).map(|us| us / 1_000_000)
}

/// `2026-11-25T22:43:01.602763306Z` or with an offset, in microseconds since 1970.
pub(super) fn micros(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once('T')?;
    let mut date = date.split('-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(|p| p.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !(1970..3000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let offset = match zone.split_at(1) {
        ("Z", _) => 0,
        (sign, hours) => {
            let (h, m) = hours.split_once(':')?;
            let minutes = h.parse::<i64>().ok()? * 60 + m.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    // Days of the Gregorian calendar, years counted from March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (y / 400, y % 400);
    let days =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    u64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)
}

/// Docker says `Health`, old Podman `Healthcheck`.
fn health(state: &Value) -> Option<Health> {
    let v = [&state["Health"], &state["Healthcheck"]].into_iter().find(|v| v.is_object())?;
    let status = text(&v["Status"]);
    let last = v["Log"].as_array().and_then(|l| l.last());
    let output = last.and_then(|l| l["Output"].as_str()).map(str::trim).filter(|o| !o.is_empty());
    (!status.is_empty() && status != "none").then(|| Health {
        status,
        failing: v["FailingStreak"].as_u64().unwrap_or(0),
        output: output.map(|o| shown_str(&redact::line(o), TEXT)),
    })
}

/// Ports in force, those that a stopped container would publish, and those only exposed. TCP only.
fn ports(v: &Value) -> Vec<Published> {
    let mut all: Vec<Published> = Vec::new();
    let mut add = |inside: &str, bindings: &Value| {
        let Some(inside) = inside.strip_suffix("/tcp").or((!inside.contains('/')).then_some(inside)) else {
            return;
        };
        let Ok(inside) = inside.parse::<u16>() else { return };
        let mut at: Vec<Option<SocketAddr>> =
            list(bindings).map(|b| address(b).filter(|a| a.port() > 0)).collect();
        if at.is_empty() {
            at.push(None);
        }
        for at in at {
            let known = all.iter().any(|p| p.inside == inside && (at.is_none() || p.at == at));
            if !known && all.len() < ITEMS {
                all.push(Published { inside, at });
            }
        }
    };
    let sources =
        [&v["NetworkSettings"]["Ports"], &v["HostConfig"]["PortBindings"], &v["Config"]["ExposedPorts"]];
    for (n, source) in sources.into_iter().enumerate() {
        // What is in force also says which of the host's ports an unnamed one got.
        let skip = n == 1 && sources[0].as_object().is_some_and(|o| o.values().any(Value::is_array));
        for (inside, bindings) in source.as_object().into_iter().flatten().take(ITEMS).filter(|_| !skip) {
            add(inside, bindings);
        }
    }
    // An exposed port that is published as well is told once.
    let published: Vec<u16> = all.iter().filter(|p| p.at.is_some()).map(|p| p.inside).collect();
    all.retain(|p| p.at.is_some() || !published.contains(&p.inside));
    all
}

fn address(binding: &Value) -> Option<SocketAddr> {
    let ip = binding["HostIp"].as_str().unwrap_or_default();
    let ip: IpAddr = if ip.is_empty() { [0, 0, 0, 0].into() } else { ip.parse().ok()? };
    Some(SocketAddr::new(ip, binding["HostPort"].as_str()?.parse().ok()?))
}

fn networks(v: &Value) -> Vec<Attachment> {
    let all = v["NetworkSettings"]["Networks"].as_object();
    let one = |(name, n): (&String, &Value)| {
        let addresses = [&n["IPAddress"], &n["GlobalIPv6Address"]];
        let mut names: Vec<String> = Vec::new();
        for word in list(&n["DNSNames"]).chain(list(&n["Aliases"])).filter_map(Value::as_str) {
            let word = shown_str(word, 128);
            if !names.contains(&word) {
                names.push(word);
            }
        }
        Attachment {
            network: shown_str(name, 128),
            addresses: addresses.iter().filter_map(|a| a.as_str()?.parse().ok()).collect(),
            names,
        }
    };
    all.into_iter().flatten().take(ITEMS).map(one).collect()
}

fn mount(m: &Value) -> Option<Mount> {
    let kind = text(&m["Type"]);
    let source = if kind == "volume" { m["Name"].as_str() } else { m["Source"].as_str() };
    Some(Mount {
        source: shown_str(source.unwrap_or_default(), TEXT),
        inside: shown_str(m["Destination"].as_str()?, TEXT),
        kind,
        writable: m["RW"].as_bool().unwrap_or(true),
    })
}

#[cfg(test)]
mod tests {
    use super::{container, is_redis, micros};
    use serde_json::json;

    /// As Docker 26.1.5 answered in the lab, cut to what is read.
    #[test]
    fn a_running_one() {
        let text = include_str!("compose-running.json");
        let c = container(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(
            (c.name.as_str(), c.status.as_str(), c.service.as_deref()),
            ("shop-redis-1", "running", Some("redis"))
        );
        assert!(c.redis && c.answers_to("redis") && c.answers_to("shop-redis-1") && !c.answers_to("db"));
        assert_eq!(c.publishes("127.0.0.1:6380".parse().unwrap()), Some(6379));
        assert_eq!(c.publishes("10.0.0.5:6380".parse().unwrap()), None);
        assert_eq!(c.exit_code, None);
        assert!(c.has("172.18.0.2".parse().unwrap()));
        assert_eq!(c.started_at, Some(1_795_646_581));
        assert_eq!(c.finished_at, None);
    }

    #[test]
    fn a_stopped_one_keeps_what_it_would_publish() {
        let v = json!({"Id": "ab", "Name": "/redis", "Path": "redis-server", "Args": ["--requirepass", "hunter22"],
            "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true, "Pid": 0},
            "HostConfig": {"PortBindings": {"6379/tcp": [{"HostIp": "", "HostPort": "6379"}]},
                           "RestartPolicy": {"Name": "always"}},
            "NetworkSettings": {"Ports": {}}, "Config": {"ExposedPorts": {"6379/tcp": {}}}});
        let c = container(&v).unwrap();
        assert_eq!((c.exit_code, c.oom_killed, c.pid), (Some(137), true, None));
        assert_eq!(c.publishes("127.0.0.1:6379".parse().unwrap()), Some(6379));
        assert_eq!(c.ports.len(), 1);
        assert!(!format!("{c:?}").contains("hunter22"));
    }

    #[test]
    fn answers_of_any_shape() {
        for v in
            [json!(null), json!([]), json!({"Id": 5}), json!({"Id": "a", "State": [], "Mounts": {"x": 1}})]
        {
            drop(container(&v));
        }
        let c = container(&json!({"Id": "a", "Name": "/\u{1b}[31m", "State": {"ExitCode": "x", "Pid": -1}}))
            .unwrap();
        assert!(!c.name.contains('\u{1b}'));
    }

    #[test]
    fn which_are_redis() {
        let is = |image: &str, command: &str| {
            is_redis(image, &command.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        assert!(is("redis:7", "docker-entrypoint.sh redis-server"));
        assert!(is(
            "docker.io/bitnami/redis:7.2",
            "/opt/bitnami/scripts/redis/entrypoint.sh /opt/bitnami/scripts/redis/run.sh"
        ));
        assert!(is("own:1", "sh -c exec redis-server /etc/redis.conf"));
        assert!(is("valkey/valkey", "docker-entrypoint.sh --port 7000"));
        assert!(!is("redis:8", "sleep infinity"));
        assert!(!is("redis:8", "docker-entrypoint.sh sh"));
        assert!(!is("oliver006/redis_exporter", "/redis_exporter"));
        assert!(!is("rediscommander/redis-commander", "/redis-commander/docker/entrypoint.sh"));
    }

    #[test]
    fn times() {
        assert_eq!(micros("1970-01-01T00:00:01.5Z"), Some(1_500_000));
        assert_eq!(micros("2026-11-25T22:43:01.602763306Z"), Some(1_795_646_581_602_763));
        assert_eq!(micros("2026-11-25T23:43:01+01:00"), Some(1_795_646_581_000_000));
        assert_eq!(micros("0001-01-01T00:00:00Z"), None);
        for bad in
            ["", "T", "2026-11-25", "2026-13-01T00:00:00Z", "2026-01-01T00:00Z", "2026-01-01T00:00:00+x"]
        {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }
}
