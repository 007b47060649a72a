//! Why a pod serves nobody, in words of its own status.

use crate::evidence::kube::{Condition, Container, Pod};

/// What is wrong with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A few words for a title: `redis-0 is OOM-killed again and again`.
    pub short: String,
    /// The same with all that its status says.
    pub says: String,
    /// How to see it by hand, after `kubectl -n NAMESPACE`.
    pub look: String,
    /// What removes it.
    pub remedy: String,
}

/// The pod takes connections: its `Ready` condition is True and it is not being deleted.
pub fn ready(pod: &Pod) -> bool {
    !pod.terminating && condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a Condition> {
    pod.conditions.iter().find(|c| c.kind == kind)
}

/// The words of a condition: reason and message.
fn words(c: &Condition) -> String {
    match (&c.reason, &c.message) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => c.status.clone(),
    }
}

/// What keeps the pod from being ready; none where it is, or where nothing is known.
pub fn trouble(pod: &Pod) -> Option<Trouble> {
    let name = &pod.key.name;
    let describe = format!("describe pod {name}");
    let say = |short: String, says: String, remedy: &str| Trouble {
        short,
        says,
        look: describe.clone(),
        remedy: remedy.to_owned(),
    };
    if pod.terminating {
        return Some(say(
            format!("{name} is being deleted"),
            format!("pod {name} is being deleted (it has a deletionTimestamp)"),
            "see why it does not end: finalizers, a node that is gone, a long grace period",
        ));
    }
    if pod.phase == "Failed" || pod.phase == "Succeeded" {
        let why =
            [pod.reason.clone(), pod.message.clone()].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let verb = if pod.reason.as_deref() == Some("Evicted") { "was evicted" } else { "has ended" };
        return Some(say(
            format!("{name} {verb}"),
            format!("pod {name} is {}{why}", pod.phase),
            "a pod that has ended does not come back: its controller must make a new one",
        ));
    }
    if let Some(c) = condition(pod, "PodScheduled").filter(|c| c.status == "False") {
        return Some(say(
            format!("{name} finds no node"),
            format!("pod {name} is Pending, {}", words(c)),
            "make room or change what the pod asks for: requests, node selector, taints, volumes",
        ));
    }
    if let Some(c) = condition(pod, "Ready").filter(|c| c.status == "Unknown") {
        return Some(say(
            format!("the node of {name} does not report"),
            format!("pod {name}: Ready is Unknown, {}", words(c)),
            "see what became of its node: kubectl get nodes",
        ));
    }
    let of_container = pod.containers.iter().find_map(|c| container(pod, c));
    of_container.or_else(|| not_ready(pod))
}

fn container(pod: &Pod, c: &Container) -> Option<Trouble> {
    let (pod_name, name) = (&pod.key.name, &c.name);
    let what = if c.init { "init container" } else { "container" };
    let restarts = match c.restarts {
        0 => String::new(),
        1 => ", 1 restart".to_owned(),
        n => format!(", {n} restarts"),
    };
    let trouble = |short: String, says: String, look: String, remedy: String| {
        Some(Trouble { short, says, look, remedy })
    };
    let describe = format!("describe pod {pod_name}");
    let reason = c.waiting.as_ref().and_then(|w| w.reason.as_deref()).unwrap_or_default();
    let message =
        c.waiting.as_ref().and_then(|w| w.message.clone()).map(|m| format!(": {m}")).unwrap_or_default();
    let logs = format!("logs {pod_name} -c {name} --previous");
    match (c.state.as_str(), reason) {
        (
            "waiting",
            "ImagePullBackOff"
            | "ErrImagePull"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable",
        ) => trouble(
            format!("the image of {pod_name} cannot be pulled"),
            format!("{what} {name} of {pod_name} waits, {reason}: image {}{message}", c.image),
            describe,
            "correct the image's name or tag, or give the pod an imagePullSecret of the registry".to_owned(),
        ),
        ("waiting", "CreateContainerConfigError") => trouble(
            format!("{pod_name} lacks a Secret or ConfigMap it names"),
            format!("{what} {name} of {pod_name} waits, {reason}{message}"),
            describe,
            "create the Secret or ConfigMap (and key) that it names, in the pod's own namespace".to_owned(),
        ),
        ("waiting", "CrashLoopBackOff") | ("terminated", _) if !(c.init && ended_well(c)) => {
            let ended = c.ended.as_ref();
            let oom = ended.is_some_and(|e| e.reason == "OOMKilled");
            let how = ended.map_or_else(|| "its end is not told".to_owned(), |e| how(c, e));
            let short = match (oom, ended) {
                (true, _) => format!("{pod_name} is OOM-killed again and again"),
                (false, Some(e)) => format!("{pod_name} crashes with exit code {}", e.exit_code),
                (false, None) => format!("{pod_name} crashes"),
            };
            let last = pod.last_words.first().map(|w| format!("; its log says: {w}")).unwrap_or_default();
            let remedy = if oom {
                "raise the memory limit, or set maxmemory well below it: a fork for saving needs room too"
            } else {
                "read why it ends, and correct that"
            };
            let reason = if reason.is_empty() { "terminated" } else { reason };
            let says = format!("{what} {name} of {pod_name}: {reason}{restarts}, last end: {how}{last}");
            trouble(short, says, logs, remedy.to_owned())
        }
        ("waiting", "ContainerCreating" | "PodInitializing" | "") => None,
        ("waiting", reason) => trouble(
            format!("{pod_name} cannot start its container ({reason})"),
            format!("{what} {name} of {pod_name} waits, {reason}{message}"),
            describe,
            "read the events of the pod: they name what is missing".to_owned(),
        ),
        _ => None,
    }
}

fn ended_well(c: &Container) -> bool {
    c.state == "terminated" && c.ended.as_ref().is_some_and(|e| e.exit_code == 0)
}

/// `OOMKilled, exit code 137, memory limit 64Mi`, and the container's own message.
fn how(c: &Container, e: &crate::evidence::kube::Ended) -> String {
    let mut text =
        format!("{}, exit code {}", if e.reason.is_empty() { "ended" } else { &e.reason }, e.exit_code);
    if let Some(limit) = c.memory.as_ref().filter(|_| e.reason == "OOMKilled") {
        text.push_str(&format!(", memory limit {limit}"));
    }
    if let Some(message) = &e.message {
        text.push_str(&format!(", saying: {message}"));
    }
    text
}

/// Nothing crashes, and yet it is not ready.
fn not_ready(pod: &Pod) -> Option<Trouble> {
    let name = &pod.key.name;
    let describe = format!("describe pod {name}");
    if pod.phase == "Pending" {
        let waits = pod.containers.iter().find(|c| c.state == "waiting");
        let why = waits
            .and_then(|c| c.waiting.as_ref())
            .map(words)
            .unwrap_or_else(|| "its containers do not run yet".to_owned());
        return Some(Trouble {
            short: format!("{name} is still starting"),
            says: format!("pod {name} is Pending, {why}"),
            look: describe,
            remedy: "read the events of the pod: volumes that do not mount, images that take long".to_owned(),
        });
    }
    if ready(pod) || pod.phase != "Running" {
        return None;
    }
    if let Some(c) = pod.containers.iter().find(|c| !c.init && c.state == "running" && !c.ready) {
        let probe = c.readiness.as_ref().map_or_else(
            || "it has no readiness probe, so it has only just started".to_owned(),
            |p| format!("its readiness probe ({p}) fails"),
        );
        return Some(Trouble {
            short: format!("{name} runs and is not ready"),
            says: format!("container {} of {name} runs and is not ready: {probe}", c.name),
            look: describe,
            remedy: "see in the pod's events what the probe says: LOADING, a password that the probe lacks, a wrong port".to_owned(),
        });
    }
    let gate = pod.conditions.iter().find(|c| {
        c.status != "True"
            && !matches!(c.kind.as_str(), "Ready" | "ContainersReady" | "Initialized" | "PodScheduled")
    });
    let ready = condition(pod, "Ready").filter(|c| c.status != "True")?;
    let says = gate.map_or_else(|| words(ready), |g| format!("readiness gate {} is {}", g.kind, g.status));
    Some(Trouble {
        short: format!("{name} is not ready"),
        says: format!("pod {name} is not Ready, {says}"),
        look: describe,
        remedy: "see which condition keeps it from being ready".to_owned(),
    })
}
