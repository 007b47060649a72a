#!/usr/bin/env python3
"""Records the fixtures of this folder from a real API server: kubectl in PATH, KUBECONFIG naming a throw-away cluster.

There are no kubelets in it: pods' statuses are patched in, in the words kubelets use. Everything else (defaults, cluster
addresses, endpoint slices) is the server's and its controllers' own. See README.md.
"""
import json, subprocess, sys, time

OUT = sys.argv[1] if len(sys.argv) > 1 else "."
ONLY = sys.argv[2:]  # names of scenarios; all without any


def kubectl(*args, stdin=None, check=True):
    run = subprocess.run(["kubectl", *args], input=stdin, capture_output=True, text=True)
    if check and run.returncode:
        sys.exit(f"kubectl {' '.join(args)}: {run.stderr}")
    return run.stdout


def apply(*objects):
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def namespace(name, **labels):
    labels["kubernetes.io/metadata.name"] = name  # servers since 1.21 set it themselves
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def service(ns, name, selector=None, port=6379, target="redis", **spec):
    spec = {"ports": [{"name": "redis", "port": port, "targetPort": target}], **spec}
    if selector:
        spec["selector"] = selector
    apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns}, "spec": spec})


def pod(ns, name, labels, ip=None, ready=True, container=None, env=None, image="redis:7.2", ports=True, node="node-1",
        phase="Running", conditions=None, owner=None, probe=False, **spec):
    c = {"name": name.split("-")[0], "image": image, "env": env or []}
    if ports:
        c["ports"] = [{"name": "redis", "containerPort": 6379}]
    if probe:
        c["readinessProbe"] = {"exec": {"command": ["redis-cli", "ping"]}}
    if "memory" in spec:
        c["resources"] = {"limits": {"memory": spec.pop("memory")}}
    meta = {"name": name, "namespace": ns, "labels": labels}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": owner, "uid": "0", "controller": True}]
    spec = {"containers": [c], **spec}
    if node:
        spec["nodeName"] = node
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    state = container or {"ready": ready, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-25T20:00:00Z"}}}
    status = {
        "phase": phase,
        "conditions": conditions or [
            {"type": t, "status": "True" if ready or t in ("Initialized", "PodScheduled") else "False",
             **({} if ready else {"reason": "ContainersNotReady", "message": f"containers with unready status: [{c['name']}]"})}
            for t in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "startTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.168.1.11"}
    if phase != "Pending" or container:
        status["containerStatuses"] = [{"name": c["name"], "image": image, "imageID": "", "started": ready,
                                        "containerID": "containerd://" + f"{abs(hash(name)):064x}"[:64], **state}]
    kubectl("patch", "pod", name, "-n", ns, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def waiting(reason, message, restarts=0, last=None):
    s = {"ready": False, "restartCount": restarts, "state": {"waiting": {"reason": reason, "message": message}}}
    if last:
        s["lastState"] = {"terminated": {"startedAt": "2026-11-25T20:00:00Z", "finishedAt": "2026-11-25T20:00:09Z", **last}}
    return s


def policy(ns, name, **spec):
    apply({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": ns}, "spec": spec})


def world():
    for node in ("node-1", "node-2"):
        apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"kubernetes.io/hostname": node}}})
    for ns in ("web", "prod", "stage"):
        kubectl("delete", "namespace", ns, "--ignore-not-found", "--wait=false")
        finalize(ns)
    namespace("web", team="shop")
    namespace("prod")
    pod("kube-system", "coredns-1", {"k8s-app": "kube-dns"}, ip="10.244.1.2", image="coredns:1.11")
    pod("kube-system", "calico-node-1", {"k8s-app": "calico-node"}, ip="192.168.1.11", image="calico/node:v3.28", owner="calico-node", hostNetwork=True)
    client()


def finalize(ns):
    """Without kubelets pods never end by themselves."""
    for _ in range(100):
        kubectl("delete", "pods", "--all", "-n", ns, "--force", "--grace-period=0", check=False)
        if not kubectl("get", "namespace", ns, "--ignore-not-found"):
            return
        time.sleep(0.3)
    sys.exit(f"namespace {ns} does not go away")


def client(**spec):
    env = [{"name": "REDIS_HOST", "value": "redis.prod"},
           {"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "redis-auth", "key": "password"}}},
           {"name": "REDIS_CACHE_PASSWORD", "value": "hunter2-literal"}]
    pod("web", "worker-1", {"app": "worker", "pod-template-hash": "5f7c"}, ip="10.244.2.7", env=env, image="shop/worker:1", ports=False, node="node-2", **spec)


def record(name):
    last = ""
    for _ in range(40):  # until the endpoint controllers have nothing more to do
        text = kubectl("get", "services,endpointslices,pods,networkpolicies,namespaces", "-A", "-o", "json")
        if text == last:
            break
        last = text
        time.sleep(1)
    items = json.loads(text)["items"]
    for item in items:
        item["metadata"].pop("managedFields", None)
        item["metadata"].get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    with open(f"{OUT}/{name}.json", "w") as f:
        lines = ",\n".join(json.dumps(item, separators=(",", ":"), sort_keys=True) for item in items)
        f.write('{"apiVersion":"v1","items":[\n' + lines + '\n],"kind":"List","metadata":{"resourceVersion":""}}\n')
    print(name, flush=True)


REDIS = {"app": "redis"}
OOM = {"exitCode": 137, "reason": "OOMKilled"}
CONFIG = {"exitCode": 1, "reason": "Error", "message": "*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\nReading the configuration file, at line 3\n>>> 'requirepass hunter2-literal extra'\nwrong number of arguments\n"}


def scenarios():
    yield "healthy"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    yield "selector-matches-nothing"
    service("prod", "redis", REDIS); pod("prod", "cache-0", {"app": "cache"}, ip="10.244.1.5")
    yield "oom-killed"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5", ready=False, memory="64Mi",
        container=waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container=redis pod=redis-0_prod(0)", 7, OOM))
    yield "config-invalid"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5", ready=False,
        container=waiting("CrashLoopBackOff", "back-off 2m40s restarting failed container=redis pod=redis-0_prod(0)", 5, CONFIG))
    yield "image-pull"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ready=False, phase="Pending", image="registry.example/redis:7.22",
        container=waiting("ImagePullBackOff", "Back-off pulling image \"registry.example/redis:7.22\""))
    yield "secret-missing"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ready=False, phase="Pending",
        container=waiting("CreateContainerConfigError", "secret \"redis-auth\" not found"))
    yield "unschedulable"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, node=None, ready=False, phase="Pending", conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}])
    yield "not-ready"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5", ready=False, probe=True)
    yield "target-port-name"
    service("prod", "redis", REDIS, target="tcp-redis"); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    yield "target-port-number"
    service("prod", "redis", REDIS, target=6380); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    yield "service-port"
    service("prod", "redis", REDIS, port=6380, target=6379); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    yield "headless-not-ready"
    service("prod", "redis", REDIS, clusterIP="None"); pod("prod", "redis-0", REDIS, ip="10.244.1.5", ready=False, probe=True)
    yield "headless-publish-not-ready"
    service("prod", "redis", REDIS, clusterIP="None", publishNotReadyAddresses=True); pod("prod", "redis-0", REDIS, ip="10.244.1.5", ready=False, probe=True)
    yield "no-selector"
    service("prod", "redis", target=6379)
    yield "external-name"
    apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "redis", "namespace": "prod"},
           "spec": {"type": "ExternalName", "externalName": "cache.example.com"}})
    yield "service-missing"
    namespace("stage"); service("stage", "redis", REDIS); pod("stage", "redis-0", REDIS, ip="10.244.1.5")
    yield "links"
    service("web", "redis", REDIS); pod("web", "redis-0", REDIS, ip="10.244.1.5")
    kubectl("delete", "pod", "worker-1", "-n", "web", "--force", "--grace-period=0"); client()
    yield "ingress-default-deny"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    policy("prod", "default-deny", podSelector={}, policyTypes=["Ingress"])
    yield "ingress-and-trap"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    policy("prod", "redis", podSelector={"matchLabels": REDIS}, ingress=[
        {"from": [{"podSelector": {"matchLabels": {"app": "worker"}}}], "ports": [{"port": 6379}]}])
    yield "egress-dns"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    policy("web", "egress", podSelector={}, policyTypes=["Egress"], egress=[
        {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "prod"}}}], "ports": [{"port": 6379}]}])
    yield "egress-port"
    service("prod", "redis", REDIS, port=80, target=6379); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    policy("web", "egress", podSelector={}, policyTypes=["Egress"], egress=[
        {"to": [{"namespaceSelector": {}}], "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}])
    yield "admitted"
    service("prod", "redis", REDIS); pod("prod", "redis-0", REDIS, ip="10.244.1.5")
    policy("prod", "default-deny", podSelector={})
    policy("prod", "redis", podSelector={"matchLabels": REDIS}, ingress=[
        {"from": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}, "podSelector": {"matchLabels": {"app": "worker"}}}],
         "ports": [{"port": "redis"}]}])
    yield None


def main():
    steps = scenarios()
    world()
    name = next(steps)
    while name:
        after = next(steps)  # makes the world of `name`
        if not ONLY or name in ONLY:
            record(name)
        name = after
        if name:
            world()


main()
