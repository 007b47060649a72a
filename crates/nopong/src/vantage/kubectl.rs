//! `kubectl`, found in PATH and run with the user's own kubeconfig and environment: whatever he may read, and no more.

use super::Carrier;
use crate::evidence::Why;
use crate::evidence::kube::Key;
use crate::{kube, sys, text};
use std::time::Duration;

/// The tool's name.
const NAME: &str = "kubectl";
/// Limit of one question to the API server.
const REQUEST: &str = "--request-timeout=5s";
/// The same with a credential plugin's time before it.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest answer of a local question.
const SHORT: usize = 8 << 10;

/// The user's kubectl.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: String,
    /// The context in use, for the report.
    pub context: String,
}

/// Variables that kubectl and its credential plugins may see: all but those about Redis, which hold its password.
pub fn keeps(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    !["REDIS", "VALKEY"].iter().any(|w| name.contains(w)) && !matches!(name.as_str(), "LC_ALL" | "LANG")
}

/// Runs it in the user's environment.
fn run(argv: &[&str], max: usize) -> Result<sys::Output, Why> {
    let own: Vec<(String, String)> = sys::environment().into_iter().filter(|(k, _)| keeps(k)).collect();
    let mut environment: Vec<(&str, &str)> = own.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    environment.push(("LC_ALL", "C"));
    sys::run_in(argv, &environment, LIMIT, max)
}

impl Kubectl {
    /// Finds it, and the context that it will use.
    pub fn find() -> Result<Self, Why> {
        let path = sys::program_of_user(NAME)?;
        let missing = || Why::Missing { what: format!("{NAME} at a path of UTF-8") };
        let program = path.to_str().map(str::to_owned).ok_or_else(missing)?;
        let mut found = Self { program, context: String::new() };
        // Fails where there is no kubeconfig: inside a pod kubectl uses the service account's token then.
        found.context = match found.local(&["config", "current-context"]) {
            Ok(context) => context,
            Err(_) if sys::env("KUBERNETES_SERVICE_HOST").is_some() => "the pod's own account".to_owned(),
            Err(why) => return Err(why),
        };
        Ok(found)
    }

    /// The program, absolute.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The namespace of the context in use.
    pub fn namespace(&self) -> String {
        let named = self.local(&["config", "view", "--minify", "-o", "jsonpath={..namespace}"]);
        named.ok().filter(|n| kube::names::is_label(n)).unwrap_or_else(|| "default".to_owned())
    }

    fn local(&self, words: &[&str]) -> Result<String, Why> {
        let mut argv = vec![self.program.as_str()];
        argv.extend(words);
        let out = run(&argv, SHORT)?;
        match out.code {
            Some(0) => Ok(text::shown(out.stdout.trim_ascii(), 200)),
            _ => Err(why("config", &out.stderr)),
        }
    }

    /// A GET of the API server; bounded.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, Why> {
        let argv = [self.program.as_str(), REQUEST, "get", "--raw", path];
        let out = run(&argv, kube::MAX)?;
        if out.cut {
            return Err(Why::Garbled { what: format!("{path} answers more than {} MiB", kube::MAX >> 20) });
        }
        match out.code {
            Some(0) => Ok(out.stdout),
            _ => Err(why(path, &out.stderr)),
        }
    }
}

/// A way into a pod, for a nopong that is to look from there.
impl Kubectl {
    /// `kubectl exec` into the container. Its image must have sh and what copies a program: cat-like tools of busybox do.
    pub fn exec(&self, key: &Key, container: Option<&str>) -> Carrier {
        let mut argv = self.argv("exec", key);
        if let Some(container) = container.filter(|c| kube::names::is_label(c)) {
            argv.extend(["-c".to_owned(), container.to_owned()]);
        }
        Self::carrier(argv, key, false)
    }

    /// `kubectl debug`: an ephemeral container of that image, in the pod's network and beside its processes. It stays listed in
    /// the pod until that ends.
    pub fn debug(&self, key: &Key, container: Option<&str>, image: &str) -> Carrier {
        let mut argv = self.argv("debug", key);
        argv.extend(["--quiet".to_owned(), format!("--image={image}")]);
        if let Some(container) = container.filter(|c| kube::names::is_label(c)) {
            argv.push(format!("--target={container}"));
        }
        // The image may have to be pulled first.
        Self::carrier(argv, key, true)
    }

    fn argv(&self, verb: &str, key: &Key) -> Vec<String> {
        let words = [self.program.as_str(), verb, "-i", "-n", &key.namespace, &key.name];
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    fn carrier(mut argv: Vec<String>, key: &Key, slow: bool) -> Carrier {
        argv.extend(["--", "/bin/sh", "-c"].map(str::to_owned));
        Carrier {
            argv,
            asked: format!("pod:{key}"),
            shell: format!("kubectl exec -n {} {} -- sh -c", key.namespace, key.name),
            explain,
            keep: keeps,
            slow,
        }
    }
}

/// kubectl's and the runtime's words on a container that cannot be entered.
fn explain(carrier: &Carrier, said: &str) -> Option<Why> {
    let lower = said.to_ascii_lowercase();
    if lower.contains("(forbidden)") {
        let needs = format!(
            "the right to enter {} (RBAC: create pods/exec): {}",
            carrier.asked,
            text::shown_str(said, 200)
        );
        return Some(Why::NotPermitted { needs });
    }
    let no_shell = ["no such file or directory", "executable file not found", "not found in $path"];
    if lower.contains("/bin/sh") && no_shell.iter().any(|w| lower.contains(w)) {
        let what =
            format!("a shell in the image of {} (--debug-image IMAGE brings one along)", carrier.asked);
        return Some(Why::Missing { what });
    }
    None
}

/// A name of an image that is no option and no shell's business.
pub fn image_name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && text.len() <= 500 && text.chars().all(fine) {
        return Ok(text.to_owned());
    }
    Err(format!("{} is not an image's name", text::shown_str(text, 60)))
}

/// What kubectl said on standard error, as a reason.
pub fn why(what: &str, stderr: &[u8]) -> Why {
    let said = text::shown(stderr.trim_ascii(), 300);
    let lower = said.to_ascii_lowercase();
    if lower.contains("(forbidden)") || lower.contains("unauthorized") {
        return Why::NotPermitted { needs: format!("the right to read it in the cluster (RBAC): {said}") };
    }
    if lower.contains("(notfound)") {
        return Why::Missing { what: format!("{what} of the cluster") };
    }
    Why::Failed { what: format!("kubectl: {}", if said.is_empty() { what } else { &said }) }
}

/// `[NAMESPACE/]NAME` of a pod. What is no name of Kubernetes's, such as `--foo`, never reaches an argv.
pub fn pod_name(what: &str) -> Result<(Option<String>, String), String> {
    let (namespace, name) = match what.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, what),
    };
    if namespace.is_some_and(|n| !kube::names::is_label(n)) || !kube::names::is_pod_name(name) {
        return Err(format!("{} is not a pod's name: write pod:[NAMESPACE/]NAME", text::shown_str(what, 60)));
    }
    Ok((namespace.map(str::to_owned), name.to_owned()))
}

/// The process of the pod's first container, where the pod runs on this very node and we may see it.
pub fn pid_here(pod: &crate::evidence::kube::Pod) -> Option<u32> {
    let ids: Vec<&str> = pod
        .containers
        .iter()
        .filter(|c| !c.init && c.state == "running")
        .filter_map(|c| c.id.as_deref()?.split_once("://").map(|(_, id)| id))
        .filter(|id| id.len() >= 12)
        .collect();
    let of = |pid: u32| sys::read_text(format!("/proc/{pid}/cgroup"), 8 << 10).ok();
    let mut pids: Vec<u32> =
        sys::list("/proc", 100_000).ok()?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    // The oldest process of a container has the lowest number, wrapped counters aside.
    pids.sort_unstable();
    pids.into_iter().find(|pid| of(*pid).is_some_and(|text| in_container(&text, &ids)))
}

/// The cgroup of a process is one of these containers': its last element has the id (cgroupfs: the id alone; systemd:
/// `cri-containerd-ID.scope`, `crio-ID.scope`, `docker-ID.scope`).
fn in_container(cgroup: &str, ids: &[&str]) -> bool {
    cgroup.lines().any(|line| {
        let last = line.rsplit('/').next().unwrap_or_default();
        ids.iter().any(|id| last.trim_end_matches(".scope").ends_with(id))
    })
}

/// Namespace and name, the namespace of the context in use where none was given.
pub fn key(kubectl: &Kubectl, namespace: Option<&str>, name: &str) -> Key {
    let namespace = namespace.map_or_else(|| kubectl.namespace(), str::to_owned);
    Key { namespace, name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{image_name, in_container, keeps, pod_name, why};
    use crate::evidence::Why;

    #[test]
    fn hostile_names_are_refused() {
        assert_eq!(pod_name("web-1"), Ok((None, "web-1".to_owned())));
        assert_eq!(pod_name("prod/web-1"), Ok((Some("prod".to_owned()), "web-1".to_owned())));
        for bad in ["--foo", "-n", "a/--foo", "--all/x", "a/b/c", "", "/", "a/", "/a", "a b", "$(id)", "a;b"]
        {
            assert!(pod_name(bad).is_err_and(|e| e.contains("not a pod's name")), "{bad}");
        }
    }

    #[test]
    fn images_are_no_options() {
        for good in ["busybox", "registry.example:5000/tools/busybox:1.36@sha256:abc"] {
            assert!(image_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-i", "--privileged", "a b", "a;b", "$(id)"] {
            assert!(image_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redis_variables_stay_here() {
        assert!(keeps("KUBECONFIG") && keeps("AWS_PROFILE"));
        assert!(!keeps("REDISCLI_AUTH") && !keeps("redis_password") && !keeps("VALKEY_URL"));
    }

    #[test]
    fn containers_by_their_cgroup() {
        let id = "3f4e5d6c7b8a99001122334455667788";
        let systemd = format!(
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podaa.slice/cri-containerd-{id}.scope\n"
        );
        let cgroupfs = format!("12:pids:/kubepods/burstable/podaa/{id}\n");
        assert!(in_container(&systemd, &[id]) && in_container(&cgroupfs, &[id]));
        assert!(!in_container("0::/user.slice/user-0.slice\n", &[id]) && !in_container(&systemd, &[]));
    }

    #[test]
    fn errors_are_told_apart() {
        let forbidden = b"Error from server (Forbidden): pods is forbidden: User \"bob\" cannot list";
        assert!(matches!(why("x", forbidden), Why::NotPermitted { .. }));
        assert!(matches!(
            why("x", b"Error from server (NotFound): pods \"a\" not found"),
            Why::Missing { .. }
        ));
        assert!(matches!(why("x", b"Unable to connect to the server"), Why::Failed { .. }));
    }
}
