#!/bin/bash
# How long a two-ended look over ssh takes: a refused connection (the server's side is read whole), with the copy of the
# program and with nopong installed at the other end. Real sshd and systemd in the lab's machines (root).
#
#   bench/ssh.sh [RUNS]     NOPONG_BIN names another build
set -eu
cd "$(dirname "$0")/.."
runs=${1:-10}
export NOPONG_BIN=${NOPONG_BIN:-${CARGO_TARGET_DIR:-target}/release/nopong}
[ -x "$NOPONG_BIN" ] || { echo "no $NOPONG_BIN: make build"; exit 1; }
NOPONG_BIN=$(realpath "$NOPONG_BIN")
name=bench-ssh-$$
lab() { cargo run -q -p lab -- "$@"; }
trap 'lab down $name >/dev/null' EXIT
lab up $name --scenario two-ends/copied >/dev/null

measure() { # LABEL
  lab exec $name client -- bash -c '
    for i in $(seq '"$runs"'); do
      s=$EPOCHREALTIME
      nopong --format json --server ssh:$SERVER redis://$SERVER:6379 >/tmp/report || true
      e=$EPOCHREALTIME
      grep -q "\"id\": \"bind-loopback-only\"" /tmp/report || { echo "a wrong report" >&2; exit 1; }
      echo $(( (${e/./} - ${s/./}) / 1000 ))
    done | sort -n | sed -n "$((('"$runs"' + 1) / 2))p;\$p" | paste -sd" " | (read median worst; echo "'"$1"': median $median ms, worst $worst ms")'
}
echo "program: $(($(stat -c %s "$NOPONG_BIN") >> 20)) MiB, $runs runs each"
measure "copied over and removed"
# To run something on the server puts the program there.
lab exec $name server -- nopong --version >/dev/null
measure "installed there"
