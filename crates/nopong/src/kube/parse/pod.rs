//! Pods: states, and of their variables only those about Redis, without a secret's value.

use super::{labels, list, message, name, port, text};
use crate::evidence::kube::{Condition, Container, Ended, Key, Pod, Variable};
use crate::target;
use crate::text::shown_str;
use serde_json::Value;

/// Names of variables worth a look contain one of these.
const ABOUT_REDIS: &[&str] = &["REDIS", "VALKEY", "KEYDB", "CACHE_URL", "BROKER_URL", "CACHE_HOST"];
/// A value of a variable with one of these in its name is a secret, whatever it looks like.
const SECRET: &[&str] = &["PASS", "AUTH", "SECRET", "TOKEN", "CRED", "KEY", "PWD"];
/// Longest value shown.
const VALUE_MAX: usize = 200;

pub(super) fn pod(key: Key, object: &Value) -> Pod {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let mut containers: Vec<Container> = Vec::new();
    for (spec_field, status_field, init) in
        [("initContainers", "initContainerStatuses", true), ("containers", "containerStatuses", false)]
    {
        for of in list(&spec[spec_field]) {
            let state = list(&status[status_field]).find(|s| s["name"] == of["name"]);
            containers.push(container(of, state.unwrap_or(&Value::Null), init));
        }
    }
    let mut addresses: Vec<String> = list(&status["podIPs"]).filter_map(|a| name(&a["ip"])).collect();
    if addresses.is_empty() {
        addresses.extend(name(&status["podIP"]));
    }
    Pod {
        key,
        uid: name(&metadata["uid"]).unwrap_or_default(),
        labels: labels(&metadata["labels"]),
        node: name(&spec["nodeName"]),
        addresses,
        host_network: spec["hostNetwork"] == true,
        phase: name(&status["phase"]).unwrap_or_default(),
        reason: name(&status["reason"]),
        message: message(&status["message"]),
        terminating: metadata["deletionTimestamp"].is_string(),
        conditions: list(&status["conditions"])
            .map(|c| Condition {
                kind: name(&c["type"]).unwrap_or_default(),
                status: name(&c["status"]).unwrap_or_default(),
                reason: name(&c["reason"]),
                message: message(&c["message"]),
            })
            .collect(),
        containers,
        no_service_links: spec["enableServiceLinks"] == false,
        started: name(&status["startTime"]),
        last_words: Vec::new(),
    }
}

fn container(of: &Value, state: &Value, init: bool) -> Container {
    let now = &state["state"];
    let which = ["running", "waiting", "terminated"].into_iter().find(|s| now[s].is_object());
    let ended = [&now["terminated"], &state["lastState"]["terminated"]].into_iter().find(|t| t.is_object());
    Container {
        name: name(&of["name"]).unwrap_or_default(),
        image: name(&of["image"]).unwrap_or_default(),
        init,
        ports: list(&of["ports"])
            .filter_map(|p| {
                let protocol = name(&p["protocol"]).unwrap_or_else(|| "TCP".to_owned());
                Some((name(&p["name"]), port(&p["containerPort"])?, protocol))
            })
            .collect(),
        port_argument: port_argument(of),
        readiness: readiness(&of["readinessProbe"]),
        id: name(&state["containerID"]),
        ready: state["ready"] == true,
        restarts: state["restartCount"].as_u64().map_or(0, |n| n.min(u64::from(u32::MAX)) as u32),
        state: which.unwrap_or_default().to_owned(),
        waiting: now["waiting"].is_object().then(|| Condition {
            kind: "Waiting".to_owned(),
            status: "True".to_owned(),
            reason: name(&now["waiting"]["reason"]),
            message: message(&now["waiting"]["message"]),
        }),
        ended: ended.map(|t| Ended {
            reason: name(&t["reason"]).unwrap_or_default(),
            exit_code: t["exitCode"].as_i64().unwrap_or_default(),
            message: message(&t["message"]),
            at: name(&t["finishedAt"]),
        }),
        memory: name(&of["resources"]["limits"]["memory"]),
        env: list(&of["env"]).filter_map(variable).collect(),
        env_from: list(&of["envFrom"]).filter_map(env_from).collect(),
    }
}

/// `--port N` of a server, wherever it stands among command and arguments.
fn port_argument(of: &Value) -> Option<u16> {
    let words: Vec<&str> = list(&of["command"]).chain(list(&of["args"])).filter_map(Value::as_str).collect();
    let at = words.iter().position(|w| *w == "--port")?;
    words.get(at + 1)?.parse().ok()
}

fn readiness(probe: &Value) -> Option<String> {
    let at = |action: &Value| match super::service::either(&action["port"]) {
        Some(port) => port.to_string(),
        None => "?".to_owned(),
    };
    if probe["exec"].is_object() {
        Some("exec".to_owned())
    } else if probe["tcpSocket"].is_object() {
        Some(format!("tcp {}", at(&probe["tcpSocket"])))
    } else if probe["httpGet"].is_object() {
        Some(format!("http {}", at(&probe["httpGet"])))
    } else {
        None
    }
}

fn variable(of: &Value) -> Option<Variable> {
    let key = text(&of["name"])?;
    let upper = key.to_ascii_uppercase();
    if !ABOUT_REDIS.iter().any(|word| upper.contains(word)) {
        return None;
    }
    let from = &of["valueFrom"];
    let reference = |field: &str, what: &str| {
        let r = &from[field];
        r.is_object().then(|| {
            let (name, key) =
                (name(&r["name"]).unwrap_or_default(), self::name(&r["key"]).unwrap_or_default());
            format!("{what} {name}, key {key}")
        })
    };
    let value = reference("secretKeyRef", "secret")
        .or_else(|| reference("configMapKeyRef", "configmap"))
        .or_else(|| from["fieldRef"].is_object().then(|| "a field of the pod".to_owned()))
        .unwrap_or_else(|| plain(&upper, of["value"].as_str().unwrap_or_default()));
    Some(Variable { name: shown_str(key, 120), value })
}

/// A literal value, its secrets masked.
fn plain(upper: &str, value: &str) -> String {
    if value.is_empty() {
        String::new()
    } else if SECRET.iter().any(|s| upper.contains(s)) {
        "***".to_owned()
    } else {
        shown_str(&target::redact(value), VALUE_MAX)
    }
}

fn env_from(of: &Value) -> Option<String> {
    let named = |field: &str, what: &str| name(&of[field]["name"]).map(|n| format!("{what} {n}"));
    named("secretRef", "secret").or_else(|| named("configMapRef", "configmap"))
}

#[cfg(test)]
mod tests {
    use super::variable;
    use serde_json::json;

    #[test]
    fn no_value_of_a_secret_is_kept() {
        let shown = |v: serde_json::Value| variable(&v).map(|v| v.value);
        let literal = shown(json!({"name": "REDIS_PASSWORD", "value": "hunter2"}));
        assert_eq!(literal.as_deref(), Some("***"));
        let url = shown(json!({"name": "REDIS_URL", "value": "redis://:hunter2@redis:6379"}));
        assert_eq!(url.as_deref(), Some("redis://:***@redis:6379"));
        let from = json!({"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "redis-auth", "key": "password"}}});
        assert_eq!(shown(from).as_deref(), Some("secret redis-auth, key password"));
        assert_eq!(shown(json!({"name": "API_TOKEN", "value": "x"})), None);
    }
}
