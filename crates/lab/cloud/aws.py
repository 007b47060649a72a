"""AWS without AWS: moto's EC2 server on loopback, the real AWS CLI, and nopong between them.

Each situation is a VPC of its own with a client and a server. The client's network namespace has a route to the server
behind which nobody answers, as when a group drops; nopong looks from there, and asks the CLI or is given what it listed.
Where it names a missing rule, its own command is run, and nopong must then rule the cloud out.

    VENV/bin/python aws.py NOPONG [PART…]        (run by `lab cloud`)
"""

import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile

import boto3
from moto.server import ThreadedMotoServer

from bench import CAUSE, KEY, SECRET, Tally, dial_from, judged, look, namespace

BIN = os.path.dirname(sys.executable)
ALL = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def tcp(first, last=None, **ends):
    return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last or first, **ends}


def cidr(*blocks):
    return {"IpRanges": [{"CidrIp": b} for b in blocks]}


class World:
    """One VPC: subnets a (client) and b (server), group app at the client."""

    def __init__(self, ec2, number):
        self.ec2, self.number, self.net = ec2, number, f"10.{100 + number}"
        self.vpc = ec2.create_vpc(CidrBlock=f"{self.net}.0.0/16")["Vpc"]["VpcId"]
        self.a, self.b = (self.subnet(f"{self.net}.{n}.0/24") for n in (1, 2))
        self.app, self.redis = self.group("app"), self.group("redis")
        self.client, self.server = f"{self.net}.1.10", f"{self.net}.2.20"

    def subnet(self, block):
        return self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=block)["Subnet"]["SubnetId"]

    def group(self, name):
        return self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]

    def admit(self, group, *permissions):
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=list(permissions))

    def interface(self, subnet, address, *groups, **more):
        made = self.ec2.create_network_interface(
            SubnetId=subnet, PrivateIpAddress=address, Groups=list(groups), **more)
        return made["NetworkInterface"]

    def ends(self, server_groups=None, client_groups=None, client_subnet=None):
        self.interface(client_subnet or self.a, self.client, *(client_groups or [self.app]))
        return self.interface(self.b, self.server, *(server_groups or [self.redis]))

    def acl(self, subnet, inbound, outbound):
        """A network ACL of its own: lists of (number, action, block, ports or None)."""
        acl = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        for egress, rules in ((False, inbound), (True, outbound)):
            for number, action, block, ports in rules:
                entry = {"PortRange": {"From": ports[0], "To": ports[1]}, "Protocol": "6"} if ports else {"Protocol": "-1"}
                self.ec2.create_network_acl_entry(
                    NetworkAclId=acl, RuleNumber=number, RuleAction=action, Egress=egress, CidrBlock=block, **entry)
        for old in self.ec2.describe_network_acls()["NetworkAcls"]:
            for association in old["Associations"]:
                if association["SubnetId"] == subnet:
                    self.ec2.replace_network_acl_association(
                        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl)
        return acl

    def public(self, interface):
        # Of the documentation's addresses (RFC 5737): by itself moto gives out loopback ones.
        address = self.ec2.allocate_address(Domain="vpc", Address=f"198.51.100.{self.number}")
        self.ec2.associate_address(
            AllocationId=address["AllocationId"], NetworkInterfaceId=interface["NetworkInterfaceId"])
        return address["PublicIp"]


class Want:
    """What nopong must say. `says`: parts of the title; `command`: parts of a command of the fix."""

    def __init__(self, verdict, says=(), command=(), target=None, source=None, fixable=True):
        self.verdict, self.says, self.command = verdict, says, command
        self.target, self.source, self.fixable = target, source, fixable


# The situations.

def no_ingress_rule(w):
    w.ends()
    return Want("blocked", [w.redis, "no inbound rule that admits TCP 6379"],
                ["authorize-security-group-ingress", w.redis, f"{w.client}/32"])


def rule_for_another_network(w):
    w.admit(w.redis, tcp(6379, **cidr(f"{w.net}.9.0/24")))
    w.ends()
    return Want("blocked", [f"tcp 6379 from {w.net}.9.0/24"], [w.redis, f"{w.client}/32"])


def rule_by_the_clients_group(w):
    w.admit(w.redis, tcp(6379, UserIdGroupPairs=[{"GroupId": w.app}]))
    w.ends()
    return Want("allowed")


def rule_by_another_group(w):
    other = w.group("other")
    w.admit(w.redis, tcp(6379, UserIdGroupPairs=[{"GroupId": other}]))
    w.ends()
    return Want("blocked", [w.redis, other], [f"{w.client}/32"])


def prefix_list(w, entry=None):
    entry = entry or f"{w.client}/32"
    made = w.ec2.create_managed_prefix_list(
        PrefixListName="clients", MaxEntries=5, AddressFamily="IPv4", Entries=[{"Cidr": entry}])
    id = made["PrefixList"]["PrefixListId"]
    w.admit(w.redis, tcp(6379, PrefixListIds=[{"PrefixListId": id}]))
    w.ends()
    return id


def prefix_list_with_the_client(w):
    prefix_list(w)
    return Want("allowed")


def prefix_list_without_the_client(w):
    id = prefix_list(w, f"{w.net}.9.0/24")
    return Want("blocked", [id], [f"{w.client}/32"])


def ipv6_rule_only(w):
    w.admit(w.redis, tcp(6379, Ipv6Ranges=[{"CidrIpv6": "::/0"}]))
    w.ends()
    return Want("blocked", ["tcp 6379 from ::/0"], [f"{w.client}/32"])


def ipv6_dialled_and_rules_for_ipv4(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    own = [f"2001:db8:{w.number}:{n}::10" for n in (1, 2)]
    w.interface(w.a, w.client, w.app, Ipv6Addresses=[{"Ipv6Address": own[0]}])
    w.interface(w.b, w.server, w.redis, Ipv6Addresses=[{"Ipv6Address": own[1]}])
    # Groups out and in, and the default ACL in both subnets, request and answers.
    return Want("blocked", [w.app], ["authorize-security-group-egress", "CidrIpv6", f"{own[0]}/128", "--ipv6-cidr-block"],
                own[1], own[0])


def egress_removed_at_the_client(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    w.ec2.revoke_security_group_egress(GroupId=w.app, IpPermissions=ALL)
    w.ends()
    return Want("blocked", [w.app, "no outbound rule"], ["authorize-security-group-egress", f"{w.server}/32"])


def acl_denies_by_number(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    anywhere = [(100, "allow", "0.0.0.0/0", None)]
    acl = w.acl(w.b, [(50, "deny", f"{w.net}.1.0/24", (6000, 7000)), *anywhere], anywhere)
    w.ends()
    return Want("blocked", [acl, "inbound rule 50"], ["--rule-number 49", "--ingress", f"{w.client}/32"])


def acl_denies_behind_an_allow(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    rules = [(50, "allow", f"{w.client}/32", (6379, 6379)), (60, "deny", "0.0.0.0/0", None)]
    w.acl(w.b, rules, [(100, "allow", "0.0.0.0/0", None)])
    w.ends()
    return Want("allowed")


def acl_lets_no_answers_out(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    acl = w.acl(w.b, [(100, "allow", "0.0.0.0/0", None)], [(100, "allow", "0.0.0.0/0", (443, 443))])
    w.ends()
    return Want("blocked", [acl, "the answers"], ["--egress", f"{w.client}/32", "--rule-action allow"])


def acl_lets_no_answers_into_the_clients_subnet(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    acl = w.acl(w.a, [(100, "allow", "0.0.0.0/0", (443, 443))], [(100, "allow", "0.0.0.0/0", None)])
    w.ends()
    return Want("blocked", [acl, "the answers"], ["--ingress", f"{w.server}/32"])


def acl_within_one_subnet(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    w.acl(w.b, [], [])
    w.client = f"{w.net}.2.10"
    w.ends(client_subnet=w.b)
    return Want("allowed")


def allowed_all_over(w):
    w.admit(w.redis, {"IpProtocol": "-1", **cidr(f"{w.net}.0.0/16")})
    w.ends()
    return Want("allowed")


def nobody_has_the_address(w):
    w.interface(w.a, w.client, w.app)
    return Want("undecided", [f"has the address {w.server}"])


def second_interface_has_other_groups(w):
    w.admit(w.redis, tcp(6379, **cidr("0.0.0.0/0")))
    closed = w.group("closed")
    own = [w.interface(w.b, f"{w.net}.2.19", w.redis), w.interface(w.b, w.server, closed)]
    # Groups given to the instance itself would be listed at both interfaces: moto's way, not Amazon's.
    w.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, NetworkInterfaces=[
        {"DeviceIndex": n, "NetworkInterfaceId": i["NetworkInterfaceId"]} for n, i in enumerate(own)])
    w.interface(w.a, w.client, w.app)
    return Want("blocked", [closed], [closed, f"{w.client}/32"])


def default_group_admits_its_members(w):
    groups = w.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [w.vpc]}])["SecurityGroups"]
    default = next(g["GroupId"] for g in groups if g["GroupName"] == "default")
    if not any(p["UserIdGroupPairs"] for g in groups if g["GroupId"] == default for p in g["IpPermissions"]):
        # AWS makes the rule with the group; moto does not.
        w.admit(default, {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": default}]})
    w.ends([default], [default])
    return Want("allowed")


def one_of_two_groups_admits(w):
    second = w.group("second")
    w.admit(second, tcp(6379, **cidr(f"{w.client}/32")))
    w.ends([w.redis, second])
    return Want("allowed")


def port_range_ends_before(w):
    w.admit(w.redis, tcp(6000, 6378, **cidr("0.0.0.0/0")), {"IpProtocol": "udp", "FromPort": 6379, "ToPort": 6379, **cidr("0.0.0.0/0")})
    w.ends()
    return Want("blocked", [w.redis], [f"{w.client}/32"])


def public_address_and_rules_for_private_ones(w):
    w.admit(w.redis, tcp(6379, **cidr("10.0.0.0/8")))
    target = w.public(w.interface(w.b, w.server, w.redis))
    return Want("blocked", ["any address of the internet"], ["CLIENT_ADDRESS/32"], target, "192.168.77.5", False)


def public_address_and_a_rule_for_somebody(w):
    w.admit(w.redis, tcp(6379, **cidr("203.0.113.0/24")))
    target = w.public(w.interface(w.b, w.server, w.redis))
    return Want("undecided", ["is not known"], (), target, "192.168.77.5")


def client_of_another_network(w):
    w.admit(w.redis, tcp(6379, **cidr("172.16.0.0/12")))
    w.interface(w.b, w.server, w.redis)
    return Want("unproven", [w.redis], ["192.168.77.5/32"], w.server, "192.168.77.5", False)


# nopong runs the CLI itself; for the others the CLI's listings were saved before.
THROUGH_THE_TOOL = (
    no_ingress_rule, prefix_list_with_the_client, prefix_list_without_the_client, ipv6_dialled_and_rules_for_ipv4,
    acl_lets_no_answers_out, allowed_all_over, nobody_has_the_address, public_address_and_rules_for_private_ones)

SITUATIONS = [v for v in list(globals().values()) if callable(v) and getattr(v, "__code__", None)
              and v.__code__.co_varnames[:1] == ("w",) and v.__code__.co_argcount == 1]


def held(report, want):
    """None, or what is wrong."""
    verdict, first = judged(report), report["causes"][0]
    cloud = next((c for c in report["causes"] if c["id"] == CAUSE), None)
    if want.verdict in ("blocked", "unproven"):
        band = "confirmed" if want.verdict == "blocked" else "likely"
        if verdict["verdict"] != "blocked" or first["id"] != CAUSE or first["band"] != band:
            return f"wanted {CAUSE} {band}, got {first['id']} {first['band']}: {verdict['because']}"
        commands = " ; ".join(s["command"] or "" for s in first["fix"]["steps"])
        lacks = [p for p in want.says if p not in first["title"]] + [p for p in want.command if p not in commands]
        if first["fix"]["risk"] != "advice":
            return "the fix is no advice"
        return f"lacks {lacks}: {first['title']} | {commands}" if lacks else None
    if verdict["verdict"] != want.verdict:
        return f"wanted {want.verdict}, got {verdict['verdict']}: {verdict['because']}"
    if want.verdict == "allowed" and cloud:
        return f"not ruled out: {cloud['title']}"
    if cloud and cloud["band"] != "possible":
        return f"accused: {cloud['band']}"
    lacks = [p for p in want.says if p not in verdict["because"]]
    return f"lacks {lacks}: {verdict['because']}" if lacks else None


def fixed(report, environment):
    """Runs the commands of the fix."""
    for step in report["causes"][0]["fix"]["steps"]:
        if step["command"]:
            argv = shlex.split(step["command"])
            assert argv[:2] == ["aws", "ec2"], argv
            done = subprocess.run([f"{BIN}/aws", *argv[1:]], capture_output=True, text=True, env=environment)
            assert done.returncode == 0, f"{step['command']}: {done.stderr}"


def saved(ec2, folder):
    """The same as they are now, by the library the CLI is made with."""
    paths = []
    for call, key in (("describe_network_interfaces", "NetworkInterfaces"), ("describe_security_groups", "SecurityGroups"),
                      ("describe_network_acls", "NetworkAcls")):
        path = os.path.join(folder, f"{key}.json")
        with open(path, "w") as file:
            json.dump({key: getattr(ec2, call)()[key]}, file, default=str)
        paths.append(path)
    for listed in ec2.describe_managed_prefix_lists()["PrefixLists"]:
        path = os.path.join(folder, f"{listed['PrefixListId']}.json")
        entries = ec2.get_managed_prefix_list_entries(PrefixListId=listed["PrefixListId"])["Entries"]
        with open(path, "w") as file:
            json.dump({"Entries": entries}, file)
        paths.append(path)
    return paths


def refusals(nopong, environment, target):
    """What cannot be looked at is an unknown with its reason."""
    bare = {k: v for k, v in environment.items() if not k.startswith("AWS_ACCESS") and not k.startswith("AWS_SECRET")}
    bare.update(AWS_EC2_METADATA_DISABLED="true", HOME="/nonexistent")
    yield "no_credentials", bare, "aws configure"
    yield "no_tool", {**environment, "PATH": "/nonexistent"}, "aws (in PATH) is not here"
    yield "no_endpoint", {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "endpoint cannot be reached"


def beside_redis(nopong, environment, world):
    """On the Redis host, which refuses: for another client the group stands behind that."""
    world.ends()
    report, took = look(nopong, world.server, environment, "aws", more=["--client", world.client])
    behind = [c for c in report["behind"] if c["id"] == CAUSE]
    if not report["evidence"] or report["causes"][0]["id"] == CAUSE:
        return f"accused first: {report['causes'][0]['title']}", took
    if not behind or behind[0]["band"] != "confirmed" or world.redis not in behind[0]["title"]:
        return f"not behind: {behind or judged(report)}", took
    return None, took


def main():
    nopong, parts = sys.argv[1], sys.argv[2:]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}", AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_DEFAULT_REGION="eu-west-1", PATH=f"{BIN}:{os.environ['PATH']}")
    os.environ.update({k: v for k, v in environment.items() if k.startswith("AWS_")})
    ec2 = boto3.client("ec2")
    tally = Tally("aws", parts)
    try:
        with namespace():
            worlds = []
            for number, situation in enumerate(SITUATIONS):
                if tally.wants(situation.__name__):
                    world = World(ec2, number)
                    worlds.append((situation, world, situation(world)))
            with tempfile.TemporaryDirectory() as folder:
                listings = listed(environment, folder)
                for situation, world, want in worlds:
                    clouds = ["aws"] if situation in THROUGH_THE_TOOL else listings
                    tally.judge(situation.__name__, lambda: situated(nopong, environment, ec2, world, want, clouds))
            for name, other, words in refusals(nopong, environment, "10.100.2.20"):
                if tally.wants(name):
                    tally.judge(name, lambda: refused(nopong, other, words))
            if tally.wants("beside_redis"):
                world = World(ec2, len(SITUATIONS))
                dial_from(world.server, world.client)
                tally.judge("beside_redis", lambda: beside_redis(nopong, environment, world))
    finally:
        server.stop()
    return tally.end("three listings of the AWS CLI")


def listed(environment, folder):
    """The CLI's listings as files."""
    paths = []
    for words in ("describe-network-interfaces", "describe-security-groups", "describe-network-acls"):
        paths.append(os.path.join(folder, f"{words}.json"))
        with open(paths[-1], "w") as file:
            subprocess.run([f"{BIN}/aws", "ec2", words, "--output", "json"], stdout=file, env=environment, check=True)
    return paths


def situated(nopong, environment, ec2, world, want, clouds):
    target = want.target or world.server
    dial_from(want.source or world.client, target)
    report, took = look(nopong, target, environment, *clouds)
    fault = held(report, want)
    if not fault and want.verdict == "blocked" and want.fixable:
        fixed(report, environment)
        with tempfile.TemporaryDirectory() as folder:
            again, _ = look(nopong, target, environment, *saved(ec2, folder))
        if judged(again)["verdict"] != "allowed":
            fault = f"after its own fix: {judged(again)['because']}"
    return fault, took


def refused(nopong, environment, words):
    dial_from("10.100.1.10", "10.100.2.20")
    report, took = look(nopong, "10.100.2.20", environment, "aws")
    fact = next(e for e in report["evidence"] if e["id"] == "cloud")
    good = fact["state"] == "unknown" and words in fact["says"] and report["causes"][0]["band"] != "confirmed"
    return (None if good else f"{fact['state']}: {fact['says']}"), took


if __name__ == "__main__":
    sys.exit(main())
