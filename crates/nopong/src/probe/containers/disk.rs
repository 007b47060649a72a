//! What Docker left on disk, while dockerd does not run (moby, container/container.go: config.v2.json and
//! hostconfig.json). Only root may read it. Its shape is not promised to anybody: what is missing is as if it were not
//! there.

use super::container_of;
use crate::evidence::Why;
use crate::sys;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Containers read.
const MOST: usize = 200;
/// Largest file of one.
const FILE: usize = 1 << 20;

/// The containers, in the shape in which the API tells of them.
pub(super) fn containers() -> Result<Vec<Value>, Why> {
    let root = root().join("containers");
    let shown = root.display().to_string();
    let names = sys::list(&root, MOST).map_err(|e| sys::why(&shown, &e))?;
    Ok(names.iter().filter_map(|name| one(&root.join(name))).collect())
}

/// `data-root` of the daemon's configuration, else the default.
fn root() -> PathBuf {
    let text = sys::read("/etc/docker/daemon.json", 64 << 10).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    PathBuf::from(config["data-root"].as_str().filter(|r| r.starts_with('/')).unwrap_or("/var/lib/docker"))
}

fn one(folder: &Path) -> Option<Value> {
    let read = |name: &str| -> Option<Value> {
        serde_json::from_slice(&sys::read(folder.join(name), FILE).ok()?).ok()
    };
    Some(shaped(&read("config.v2.json")?, &read("hostconfig.json").unwrap_or_default(), alive))
}

/// A container outlives its daemon with live-restore.
fn alive(pid: u64, id: &str) -> bool {
    let groups = sys::read_text(format!("/proc/{pid}/cgroup"), 64 << 10).unwrap_or_default();
    pid > 0 && container_of(&groups).as_deref() == Some(id)
}

fn shaped(config: &Value, host: &Value, alive: impl Fn(u64, &str) -> bool) -> Value {
    let mut state = config["State"].clone();
    let id = config["ID"].as_str().unwrap_or_default();
    let running = alive(state["Pid"].as_u64().unwrap_or(0), id);
    let never = state["StartedAt"].as_str().is_some_and(|t| t.starts_with("0001-"));
    if let Some(state) = state.as_object_mut() {
        let status = if running {
            "running"
        } else if never {
            "created"
        } else {
            "exited"
        };
        state.insert("Status".to_owned(), status.into());
    }
    let mounts: Vec<Value> =
        config["MountPoints"].as_object().into_iter().flat_map(|m| m.values()).cloned().collect();
    json!({
        "Id": id, "Name": config["Name"], "Path": config["Path"], "Args": config["Args"],
        "RestartCount": config["RestartCount"], "State": state, "Config": config["Config"], "HostConfig": host,
        "NetworkSettings": {"Networks": config["NetworkSettings"]["Networks"]}, "Mounts": mounts,
    })
}

#[cfg(test)]
mod tests {
    use super::shaped;
    use crate::probe::containers::inspect;
    use serde_json::{Value, json};

    #[test]
    fn in_the_shape_of_the_api() {
        let config = json!({"ID": "ab", "Name": "/redis", "Path": "redis-server", "Args": [],
            "State": {"Running": true, "Pid": 9, "ExitCode": 0, "StartedAt": "2026-11-25T22:43:01Z"},
            "Config": {"Image": "redis:8"}, "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
            "MountPoints": {"/etc/redis.conf": {"Type": "bind", "Source": "/srv/r.conf", "Destination": "/etc/redis.conf"}}});
        let host = json!({"PortBindings": {"6379/tcp": [{"HostIp": "", "HostPort": "6379"}]}});
        let c = inspect::container(&shaped(&config, &host, |_, _| false)).expect("one");
        assert_eq!((c.status.as_str(), c.exit_code, c.mounts.len()), ("exited", Some(0), 1));
        assert!(c.publishes("127.0.0.1:6379".parse().unwrap()).is_some());
        let c = inspect::container(&shaped(&config, &host, |pid, id| pid == 9 && id == "ab")).expect("one");
        assert!(c.runs(), "live-restore");
        drop(inspect::container(&shaped(&Value::Null, &Value::Null, |_, _| false)));
    }
}
