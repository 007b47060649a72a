#!/bin/bash
# Does `nopong dials` lose a connect, and what does it cost?
#
#   bench/dials.sh [CONNECTS A SECOND] [SECONDS]     NOPONG_BIN names another build; root
#
# Connects from one process in a network namespace of its own, half to an open port, half to a closed one, at a steady
# rate. Prints attempts made, attempts seen, lost, and the CPU time of nopong in percent of one core. Exit 1 when a connect
# was lost or more than 25 % were used. The rate that was really reached is printed: a slow machine makes fewer.
set -eu
cd "$(dirname "$0")/.."
rate=${1:-5000}
seconds=${2:-10}
nopong=${NOPONG_BIN:-${CARGO_TARGET_DIR:-target}/release/nopong}
[ -x "$nopong" ] || { echo "no $nopong: make build"; exit 1; }
nopong=$(realpath "$nopong")
[ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 0; }
for tool in python3 ip unshare; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 0; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/load.py" <<'PY'
import socket, sys, time, threading
rate, seconds = int(sys.argv[1]), float(sys.argv[2])
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 6379)); server.listen(4096)
def accept():
    while True:
        server.accept()[0].close()
threading.Thread(target=accept, daemon=True).start()
linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # closed by RST: no TIME-WAIT that uses up the ports
sys.stdin.readline()
begin = time.monotonic(); made = 0
while (now := time.monotonic() - begin) < seconds:
    due = int(now * rate)
    if made >= due:
        time.sleep(0.0005)
        continue
    while made < due:
        s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        s.connect_ex(("127.0.0.1", 6379 if made % 2 else 6380)); s.close()
        made += 1
print(made, time.monotonic() - begin, flush=True)
PY
cat >"$work/run.py" <<'PY'
import json, resource, subprocess, sys, time
nopong, load, rate, seconds = sys.argv[1:]
maker = subprocess.Popen(["unshare", "-n", "sh", "-c", f"ip link set lo up; exec python3 {load} {rate} {seconds}"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
length = float(seconds) + 2
look = subprocess.Popen([nopong, "dials", "--for", f"{length}s", "--format", "json"], stdout=subprocess.PIPE, text=True)
time.sleep(1)
maker.stdin.write("go\n"); maker.stdin.flush()
out = look.communicate()[0]
used = resource.getrusage(resource.RUSAGE_CHILDREN)  # the maker is not waited for yet
cpu = (used.ru_utime + used.ru_stime) / float(seconds) * 100
made, took = maker.communicate()[0].split()
seen = json.loads(out)
mine = [d for d in seen["dials"] if d["pid"] == maker.pid]
found = sum(d["attempts"] for d in mine)
kinds = {}
for d in mine:
    for k, n in d["outcomes"].items():
        if n: kinds[k] = kinds.get(k, 0) + n
rate = int(made) / float(took)
print(f"{made} connects in {float(took):.1f} s ({rate:.0f} a second): seen {found}, missed {int(made) - found}, "
      f"events lost {seen['lost']}, CPU {cpu:.1f} % of one core, peak memory {used.ru_maxrss / 1024:.0f} MB")
print("outcomes:", kinds)
sys.exit(0 if found == int(made) and seen["lost"] == 0 and cpu < 25 and seen["how"] == "trace" else 1)
PY
python3 "$work/run.py" "$nopong" "$work/load.py" "$rate" "$seconds"
