"""Google Cloud and Azure: nobody has a server that behaves like theirs. `gcloud` and `az` are stand-ins here that print
the hand-written listings of `crates/nopong/src/cloud/fixtures/`; where the real `gcloud` is installed it is run as well,
against a server that hands out the same resources. What is tested is how nopong calls the tools, and what it makes of
listings and of refusals.

    python3 others.py NOPONG [PART…]        (run by `lab cloud`)
"""

import http.server
import json
import os
import shutil
import stat
import sys
import tempfile
import threading

from bench import CAUSE, SECRET, Tally, dial_from, judged, look, namespace

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../nopong/src/cloud/fixtures")

GCLOUD = {
    "compute instances list --format=json": "gcp-instances.json",
    "compute firewall-rules list --format=json": "gcp-firewall-rules.json",
    "compute networks get-effective-firewalls prod --format=json": "gcp-effective-firewalls.json",
}
AZ = {f"network {what} list --output json --only-show-errors": f"azure-{what}.json" for what in ("nic", "nsg", "vnet", "public-ip")}


def tool(folder, name, answers, otherwise):
    """A program that knows these command lines; to any other it says `otherwise` and fails."""
    path = os.path.join(folder, name)
    cases = "".join(f"  '{words}') exec cat '{FIXTURES}/{file}' ;;\n" for words, file in answers.items())
    with open(path, "w") as file:
        file.write(f"#!/bin/sh\ncase \"$*\" in\n{cases}  *) echo \"{otherwise}\" >&2; exit 1 ;;\nesac\n")
    os.chmod(path, stat.S_IRWXU)
    os.chmod(folder, stat.S_IRWXU)


def path_with(folder):
    return {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}


def blocked(report, took, *words):
    first = report["causes"][0]
    commands = " ; ".join(s["command"] or "" for s in first["fix"]["steps"])
    lacks = [w for w in words if w not in first["title"] + commands]
    if first["id"] != CAUSE or first["band"] != "confirmed" or lacks:
        return f"{first['id']} {first['band']}, lacks {lacks}: {first['title']} | {commands}", took
    return None, took


def gcp_through_the_tool(nopong, folder):
    tool(folder, "gcloud", GCLOUD, "ERROR: (gcloud) unknown")
    dial_from("10.132.0.7", "10.132.0.5")
    return blocked(*look(nopong, "10.132.0.5", path_with(folder), "gcp"), "no ingress rule for instance redis-1", "10.132.0.7/32")


class Compute(http.server.BaseHTTPRequestHandler):
    """The three questions of the Compute Engine API that are asked."""

    def do_GET(self):
        def listed(name):
            with open(os.path.join(FIXTURES, name)) as file:
                return json.load(file)
        answer = {"error": {"code": 404, "message": "not here"}}
        if "/aggregated/instances" in self.path:
            answer = {"items": {"zones/europe-west1-b": {"instances": listed("gcp-instances.json")}}}
        elif self.path.split("?")[0].endswith("/networks/prod/getEffectiveFirewalls"):
            answer = listed("gcp-effective-firewalls.json")
        elif self.path.split("?")[0].endswith("/global/firewalls"):
            answer = {"items": listed("gcp-firewall-rules.json")}
        body = json.dumps(answer).encode()
        self.send_response(200 if "error" not in answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def gcp_through_the_real_tool(nopong, folder):
    if not shutil.which("gcloud"):
        print("skip cloud/others/gcp-through-the-real-tool: gcloud is not installed", flush=True)
        return None, 0.0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Compute)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    token = os.path.join(folder, "token")
    with open(token, "w") as file:
        file.write(SECRET)
    environment = {
        **os.environ, "CLOUDSDK_CONFIG": os.path.join(folder, "config"), "CLOUDSDK_CORE_PROJECT": "shop-prod",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": token,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"http://127.0.0.1:{server.server_port}/compute/v1/"}
    dial_from("10.132.0.7", "10.132.0.5")
    try:
        return blocked(*look(nopong, "10.132.0.5", environment, "gcp"), "no ingress rule for instance redis-1", "10.132.0.7/32")
    finally:
        server.shutdown()


def gcp_policies_not_readable(nopong, folder):
    tool(folder, "gcloud", dict(list(GCLOUD.items())[:2]), "ERROR: (gcloud) PERMISSION_DENIED: Required 'compute.networks.get'")
    dial_from("10.132.0.7", "10.132.0.5")
    report, took = look(nopong, "10.132.0.5", path_with(folder), "gcp")
    fact = next(e for e in report["evidence"] if e["id"] == "cloud")
    first = report["causes"][0]
    if first["id"] != CAUSE or first["band"] != "likely" or "roles/compute.viewer" not in str(fact["data"][0]["unread"]):
        return f"{first['id']} {first['band']}: {fact['data'][0]['unread']}", took
    return None, took


def gcp_without_a_login(nopong, folder):
    tool(folder, "gcloud", {}, "ERROR: (gcloud.compute.instances.list) You do not currently have an active account selected.")
    dial_from("10.132.0.7", "10.132.0.5")
    report, took = look(nopong, "10.132.0.5", path_with(folder), "gcp")
    fact = next(e for e in report["evidence"] if e["id"] == "cloud")
    good = fact["state"] == "unknown" and "gcloud auth login" in fact["says"]
    return (None if good else fact["says"]), took


def azure_through_the_tool(nopong, folder):
    tool(folder, "az", AZ, "ERROR: unknown")
    dial_from("10.1.1.7", "10.1.2.5")
    return blocked(*look(nopong, "10.1.2.5", path_with(folder), "azure"), "data-nsg denies", "10.1.1.7/32")


def azure_from_saved_listings(nopong, folder):
    dial_from("10.1.1.7", "10.1.2.5")
    files = [os.path.join(FIXTURES, name) for name in AZ.values()]
    return blocked(*look(nopong, "10.1.2.5", path_with(folder), *files), "data-nsg denies")


def whichever_tool_is_here(nopong, folder):
    tool(folder, "gcloud", GCLOUD, "ERROR: unknown")
    tool(folder, "az", AZ, "ERROR: unknown")
    dial_from("10.1.1.7", "10.1.2.5")
    report, took = look(nopong, "10.1.2.5", path_with(folder), "auto")
    clouds = [c["provider"] for c in next(e for e in report["evidence"] if e["id"] == "cloud")["data"]]
    if clouds != ["azure"]:
        return f"clouds {clouds}, {judged(report)['because']}", took
    return blocked(report, took, "data-nsg denies")


def a_tool_that_others_can_change(nopong, folder):
    tool(folder, "az", AZ, "ERROR: unknown")
    os.chmod(os.path.join(folder, "az"), 0o777)
    dial_from("10.1.1.7", "10.1.2.5")
    report, took = look(nopong, "10.1.2.5", path_with(folder), "azure")
    fact = next(e for e in report["evidence"] if e["id"] == "cloud")
    good = fact["state"] == "unknown" and "not run as root" in fact["says"]
    return (None if good else fact["says"]), took


SITUATIONS = [v for v in list(globals().values()) if callable(v) and getattr(v, "__code__", None)
              and v.__code__.co_varnames[:2] == ("nopong", "folder")]


def main():
    nopong, parts = sys.argv[1], sys.argv[2:]
    tally = Tally("others", parts)
    with namespace():
        for situation in SITUATIONS:
            if tally.wants(situation.__name__):
                with tempfile.TemporaryDirectory() as folder:
                    tally.judge(situation.__name__, lambda: situation(nopong, folder))
    return tally.end("stand-ins for the tools")


if __name__ == "__main__":
    sys.exit(main())
