//! Kubernetes through a stub of kubectl: a script that answers as the API server did when `tests/kube/` was recorded. A real
//! server cannot run on every machine that tests; `tests/kube/README.md` says from which one the answers are.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test runs the program and reads what it wrote"
)]

use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const STUB: &str = r#"#!/bin/sh
# Answers from files beside it, and writes down what it was asked and what it was given.
here=${0%/*}
echo "$*" >> "$here/asked"
env >> "$here/environment"
case "$1 $2" in
"config current-context") echo recorded; exit 0 ;;
"config view") echo web; exit 0 ;;
esac
case "$1" in
exec | debug)
    # A container whose image has a shell: what is run in it runs here.
    [ -f "$here/shell" ] || { echo 'exec: "/bin/sh": stat /bin/sh: no such file or directory' >&2; exit 126; }
    while [ "$1" != -- ]; do shift; done
    shift
    TMPDIR=$here/tmp exec "$@" ;;
esac
file="$here/answers/$(printf %s "$4" | tr -c 'a-zA-Z0-9\n' _)"
[ -f "$file" ] && exec cat "$file"
case "$4" in */nobody) echo 'Error from server (NotFound): pods "nobody" not found' >&2; exit 1 ;; esac
echo "Error from server (Forbidden): User \"bob\" cannot get $4" >&2
exit 1
"#;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/kube/{name}.json"))
}

/// A directory with a kubectl that knows a recorded cluster.
fn stub(name: &str) -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let at = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kube-{}-{n}", std::process::id()));
    drop(std::fs::remove_dir_all(&at));
    std::fs::create_dir_all(at.join("answers")).unwrap();
    std::fs::write(at.join("kubectl"), STUB).unwrap();
    std::fs::set_permissions(at.join("kubectl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let list: Value = serde_json::from_slice(&std::fs::read(recorded(name)).unwrap()).unwrap();
    let items = list["items"].as_array().unwrap();
    let answer = |path: &str, kind: &str, of: &dyn Fn(&Value) -> bool| {
        // A typed list's items carry no kind.
        let found = items.iter().filter(|i| i["kind"] == kind && of(i)).map(|i| {
            let mut item = i.clone();
            item.as_object_mut().unwrap().retain(|k, _| k != "kind" && k != "apiVersion");
            item
        });
        let list = json!({"kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {}, "items": found.collect::<Vec<_>>()});
        put(&at, path, &list);
    };
    let ns = |i: &Value| i["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    answer("/api/v1/namespaces?limit=500", "Namespace", &|_| true);
    for name in ["redis", "prod"] {
        let path = format!("/api/v1/services?fieldSelector=metadata.name%3D{name}");
        answer(&path, "Service", &|i| i["metadata"]["name"] == name);
    }
    for namespace in ["prod", "web"] {
        let here = |i: &Value| ns(i) == namespace;
        let core = format!("/api/v1/namespaces/{namespace}");
        answer(&format!("{core}/services?limit=500"), "Service", &here);
        answer(&format!("{core}/pods?limit=500"), "Pod", &here);
        answer(
            &format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"),
            "NetworkPolicy",
            &here,
        );
        let slices = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dredis"
        );
        answer(&slices, "EndpointSlice", &here);
    }
    let system = |i: &Value| ns(i) == "kube-system" && i["metadata"]["labels"]["k8s-app"] == "kube-dns";
    answer("/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns", "Pod", &system);
    let worker = |i: &Value| i["metadata"]["name"] == "worker-1";
    answer("/api/v1/namespaces/web/pods?fieldSelector=metadata.name%3Dworker-1", "Pod", &worker);
    put(&at, "/api/v1/namespaces/web/pods/worker-1", items.iter().find(|i| worker(i)).unwrap());
    at
}

fn put(at: &Path, path: &str, answer: &Value) {
    let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    std::fs::write(at.join("answers").join(name), answer.to_string()).unwrap();
}

fn nopong(path: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nopong"))
        .args(args)
        .env_clear()
        .env("LANG", "C.UTF-8")
        .env("PATH", format!("relative:{}:/usr/bin:/bin", path.display()))
        .env("REDISCLI_AUTH", "hunter2-of-mine")
        .env("KUBECONFIG", "/home/somebody/.kube/config")
        .current_dir(path)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", out(output)))
}

/// Id and band of the first cause, and the exit code.
fn first(at: &Path, args: &[&str]) -> (String, String, Option<i32>) {
    let output = nopong(at, &[args, &["--format", "json"]].concat());
    let report = document(&output);
    let cause = &report["causes"][0];
    (cause["id"].to_string(), cause["band"].to_string(), output.status.code())
}

#[test]
fn live_through_kubectl() {
    for (name, id, band) in [
        ("oom-killed", "no-ready-endpoints", "confirmed"),
        ("selector-matches-nothing", "no-ready-endpoints", "confirmed"),
        ("ingress-default-deny", "network-policy-blocks", "likely"),
        ("egress-dns", "network-policy-blocks", "likely"),
        ("target-port-name", "wrong-port", "confirmed"),
    ] {
        let at = stub(name);
        let found = first(&at, &["--from", "pod:worker-1", "redis.prod"]);
        assert_eq!(found, (format!("\"{id}\""), format!("\"{band}\""), Some(1)), "{name}");
    }
}

#[test]
fn the_tool_sees_no_password_and_is_asked_to_read_only() {
    let at = stub("not-ready");
    let output =
        nopong(&at, &["--from", "pod:web/worker-1", "redis://:hunter2-in-url@redis.prod", "--verbose"]);
    let asked = std::fs::read_to_string(at.join("asked")).unwrap();
    let environment = std::fs::read_to_string(at.join("environment")).unwrap();
    for text in [&asked, &environment, &out(&output)] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(environment.contains("KUBECONFIG=/home/somebody/.kube/config"));
    let reads = |l: &str| {
        let get = l.starts_with("config ") || l.starts_with("--request-timeout=5s get --raw /");
        get || l.starts_with("exec -i -n web worker-1 -c worker -- /bin/sh -c exec /bin/sh -c ")
    };
    assert!(asked.lines().all(reads), "{asked}");
    assert!(out(&output).contains("redis-0 runs and is not ready"), "{}", out(&output));
}

#[test]
fn saved_objects_are_judged_without_a_cluster() {
    let at = stub("healthy");
    let file = recorded("config-invalid");
    let args = ["--from", "pod:web/worker-1", "--kube-json", file.to_str().unwrap(), "redis.prod"];
    let found = first(&at, &args);
    assert_eq!(found, ("\"no-ready-endpoints\"".to_owned(), "\"confirmed\"".to_owned(), Some(1)));
    assert!(!at.join("asked").exists(), "kubectl was asked all the same");
    let text = out(&nopong(&at, &args));
    assert!(text.contains("redis-0 crashes with exit code 1") && !text.contains("hunter2"), "{text}");
}

#[test]
fn without_a_target_the_pods_own_settings_are_taken() {
    let at = stub("healthy");
    let file = recorded("config-invalid");
    let args = ["--from", "pod:web/worker-1", "--kube-json", file.to_str().unwrap(), "--format", "json"];
    let report = document(&nopong(&at, &args));
    assert_eq!(report["target"]["url"], "redis://redis.prod:6379", "{}", report["target"]);
    assert_eq!(report["causes"][0]["id"], "no-ready-endpoints");
}

#[test]
fn bad_input_is_exit_2() {
    let at = stub("healthy");
    let code = |args: &[&str]| {
        let output = nopong(&at, args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for bad in ["pod:--foo", "pod:-n/x", "pod:a/b/c", "pod:a;b", "pod:"] {
        let (exit, says) = code(&["--from", bad, "redis.prod"]);
        assert_eq!(exit, Some(2), "{bad}: {says}");
    }
    assert!(!at.join("asked").exists(), "a hostile name reached kubectl");
    let (exit, says) = code(&["--from", "pod:web/nobody", "redis.prod"]);
    assert!(exit == Some(2) && says.contains("web/nobody"), "{says}");
    std::fs::write(at.join("no.json"), "{}").unwrap();
    std::fs::write(at.join("big.json"), vec![b' '; 50 << 20]).unwrap();
    for (file, why) in [
        ("no.json", "no object of Kubernetes"),
        ("big.json", "more than 32 MiB"),
        ("none.json", "cannot be read"),
    ] {
        let (exit, says) = code(&["--kube-json", file, "redis.prod.svc"]);
        assert!(exit == Some(2) && says.contains(why), "{says}");
    }
}

#[test]
fn what_may_not_be_read_is_said() {
    let at = stub("ingress-default-deny");
    std::fs::remove_dir_all(at.join("answers")).unwrap();
    let output = nopong(&at, &["--kube", "redis.prod.svc", "--format", "json"]);
    let report = document(&output);
    let fact =
        report["evidence"].as_array().unwrap().iter().find(|e| e["id"] == "kubernetes").unwrap().clone();
    assert_ne!(fact["data"]["read"][0]["why"], Value::Null, "{fact}");
    let named = |id: &str| {
        report["causes"].as_array().unwrap().iter().any(|c| c["id"] == id && c["band"] != "possible")
    };
    assert!(!named("network-policy-blocks") && !named("no-ready-endpoints"), "{report}");
}

/// A Redis for one answer, on loopback: that is where the stub's containers are.
fn redis() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    let commands = bytes[..n].iter().filter(|b| **b == b'*').count().max(1);
                    if stream.write_all(&b"+PONG\r\n".repeat(commands)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn a_copy_looks_from_inside_the_pod_and_is_gone_afterwards() {
    let at = stub("healthy");
    std::fs::write(at.join("shell"), "").unwrap();
    std::fs::create_dir(at.join("tmp")).unwrap();
    let target = format!("127.0.0.1:{}", redis());
    for more in [&[][..], &["--debug-image", "registry.example/busybox:1.36"]] {
        let output = nopong(&at, &[&["--from", "pod:worker-1", &target, "--format", "json"], more].concat());
        let report = document(&output);
        assert_eq!((&report["outcome"], output.status.code()), (&json!("pong"), Some(0)), "{report}");
        assert_eq!(std::fs::read_dir(at.join("tmp")).unwrap().count(), 0, "the copy stayed");
    }
    let asked = std::fs::read_to_string(at.join("asked")).unwrap();
    assert!(asked.contains(
        "debug -i -n web worker-1 --quiet --image=registry.example/busybox:1.36 --target=worker -- /bin/sh -c"
    ));
    // What the pod sees and what the cluster says become one report.
    let output =
        nopong(&stub_with_shell("not-ready"), &["--from", "pod:worker-1", "redis.prod", "--format", "json"]);
    let report = document(&output);
    let evidence = report["evidence"].as_array().unwrap();
    let seen = |id: &str| evidence.iter().any(|e| e["id"] == id && e["state"] == "seen");
    assert!(seen("kubernetes") && seen("name"), "{report}");
    assert!(report["behind"].as_array().unwrap().iter().any(|c| c["id"] == "no-ready-endpoints"), "{report}");
}

fn stub_with_shell(name: &str) -> PathBuf {
    let at = stub(name);
    std::fs::write(at.join("shell"), "").unwrap();
    std::fs::create_dir(at.join("tmp")).unwrap();
    at
}

#[test]
fn an_image_without_a_shell_is_said() {
    let output = nopong(&stub("not-ready"), &["--from", "pod:worker-1", "redis.prod"]);
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(says.contains("--debug-image"), "{says}");
    assert_eq!(output.status.code(), Some(1), "{says}");
}
