"""What the situations of all clouds need: a client whose packets nobody answers, nopong, and a count."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NETNS = f"nopong-cloud-{os.getpid()}"
CAUSE = "cloud-firewall-blocks"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def namespace():
    # Those of runs that were killed.
    for line in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        if name.startswith("nopong-cloud-") and not os.path.exists(f"/proc/{name.rsplit('-', 1)[1]}"):
            ip("netns", "del", name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    ip("netns", "add", NETNS)
    try:
        ip("-n", NETNS, "link", "set", "lo", "up")
        # What leaves by one end comes in at the other, for a MAC address that nobody has: silence.
        ip("-n", NETNS, "link", "add", "out", "type", "veth", "peer", "name", "void")
        for end in ("out", "void"):
            ip("-n", NETNS, "link", "set", end, "up")
        yield
    finally:
        subprocess.run(["ip", "netns", "del", NETNS], capture_output=True)


def dial_from(source, target):
    length = 128 if ":" in source else 32
    ip("-n", NETNS, "addr", "replace", f"{source}/{length}", "dev", "out", *(["nodad"] if length > 32 else []))
    ip("-n", NETNS, "route", "replace", f"{target}/{length}", "dev", "out", "src", source)
    ip("-n", NETNS, "neigh", "replace", target, "lladdr", "02:00:00:00:00:99", "dev", "out")


def look(nopong, target, environment, *cloud, more=()):
    line = [nopong, "--from", f"netns:{NETNS}", "--timeout", "300ms", "--no-trace", "--format", "json",
            *(w for c in cloud for w in ("--cloud", c)), *more, f"redis://[{target}]" if ":" in target else f"redis://{target}"]
    began = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120)
    for secret in (KEY, SECRET):
        assert secret not in done.stdout + done.stderr, "a key of the account was printed"
    assert done.stdout, f"no report: {done.stderr}"
    return json.loads(done.stdout), time.monotonic() - began


def judged(report):
    fact = next(e for e in report["evidence"] if e["id"] == "cloud")
    assert fact["state"] == "seen", fact["says"]
    return fact["data"][0]["verdicts"][0]


class Tally:
    def __init__(self, cloud, parts):
        self.cloud, self.parts = cloud, parts
        self.passed, self.failed, self.times = 0, 0, []

    def wants(self, name):
        return not self.parts or any(p in f"{self.cloud}/{name.replace('_', '-')}" for p in self.parts)

    def judge(self, name, work):
        """`work` gives what is wrong, or None, and the time of the look."""
        took = 0.0
        try:
            fault, took = work()
        except (AssertionError, StopIteration, KeyError, IndexError, subprocess.SubprocessError) as e:
            fault = f"{type(e).__name__} {e}"
        self.passed, self.failed = self.passed + (not fault), self.failed + bool(fault)
        self.times.append(took)
        name = name.replace("_", "-")
        print(f"{'FAIL' if fault else 'ok  '} cloud/{self.cloud}/{name}  {took:.1f} s{': ' + fault if fault else ''}", flush=True)

    def end(self, what):
        longest = max(self.times, default=0.0)
        print(f"cloud/{self.cloud}: {self.passed} passed, {self.failed} failed; longest look {longest:.1f} s ({what})", flush=True)
        return 1 if self.failed else 0
