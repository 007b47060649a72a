#!/bin/bash
# The figures of docs/guide.md, measured on this machine: whole processes, side by side, alternating.
#
#   bench/run.sh [RUNS]     NOPONG_BIN names another build
#
# Prints medians and ratios; changes nothing. A dropped SYN is measured in a network namespace of its own (root).
set -eu
cd "$(dirname "$0")/.."
runs=${1:-200}
nopong=${NOPONG_BIN:-${CARGO_TARGET_DIR:-target}/release/nopong}
[ -x "$nopong" ] || { echo "no $nopong: make build"; exit 1; }
nopong=$(realpath "$nopong")
for tool in redis-server redis-cli python3; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 0; }
done

work=$(mktemp -d)
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" --daemonize no >/dev/null 2>&1 &
server=$!
space=
cleanup() { kill $server 2>/dev/null || true; [ -z "$space" ] || ip netns del "$space"; rm -rf "$work"; }
trap cleanup EXIT
until redis-cli -p "$port" ping 2>/dev/null | grep -q PONG; do sleep 0.05; done

cd "$work" # no settings files to be found
cat >measure.py <<'PY'
import os, resource, statistics, subprocess, sys, time
runs, kind = int(sys.argv[1]), sys.argv[2]
commands = [c.split() for c in sys.argv[3:]]
times = [[] for _ in commands]
devnull = open(os.devnull, "w")
for _ in range(runs):
    # Alternating: whatever the machine does beside, it does to all of them.
    for command, taken in zip(commands, times):
        start = time.perf_counter()
        subprocess.run(command, stdout=devnull, stderr=devnull, stdin=subprocess.DEVNULL)
        taken.append((time.perf_counter() - start) * 1e3)
medians = [statistics.median(t) for t in times]
text = ", ".join(f"{c[0].rsplit('/', 1)[-1]} {m:.2f} ms" for c, m in zip(commands, medians))
ratio = f", ratio {medians[0] / medians[1]:.2f}" if len(medians) > 1 else ""
print(f"{kind}: median of {runs}: {text}{ratio}")
print(f"  peak memory of the largest child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.1f} MB")
PY

closed=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
python3 measure.py "$runs" "healthy PONG" "$nopong redis://127.0.0.1:$port" "redis-cli -p $port ping"
python3 measure.py "$((runs / 4 + 1))" "local fault, all server-side evidence" "$nopong redis://127.0.0.1:$closed"

if [ "$(id -u)" = 0 ] && command -v ip >/dev/null; then
  space=nopong-bench-$$
  ip netns add "$space"
  ip -n "$space" link set lo up
  # An address nobody has, behind a link that swallows everything.
  ip -n "$space" link add hole type veth peer name wall
  ip -n "$space" link set wall up
  ip -n "$space" addr add 198.51.100.1/24 dev hole
  ip -n "$space" link set hole up
  ip -n "$space" neigh add 198.51.100.2 lladdr 02:00:00:00:00:01 dev hole
  python3 measure.py 3 "dropped SYN (2000 ms time-out)" "ip netns exec $space $nopong redis://198.51.100.2:6379"
else
  echo "dropped SYN: skipped, needs root and ip"
fi
