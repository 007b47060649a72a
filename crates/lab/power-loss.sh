#!/bin/bash
# Power loss between any two steps of a fix, with a real ext4 file system: at each point of the journal a debug build is
# killed, and what the loop device had written by then is copied. That copy is mounted, as after a reboot, and undone.
#
#   crates/lab/power-loss.sh [NOPONG]     root; a mount and a network namespace of its own; prints a line for each point
set -u
nopong=$(realpath "${1:-target/debug/nopong}")
[ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 0; }
[ "${INSIDE:-}" ] || INSIDE=yes exec unshare --mount --net bash "$0" "$nopong"
work=$(mktemp -d)
mkdir "$work/mnt"
mkdir -p /var/lib/nopong
trap 'umount -q /var/lib/nopong "$work/mnt"; rm -rf "$work"' EXIT
ip link set lo up
ip link add here type veth peer name there && ip address add 10.99.7.1/24 dev here && ip link set here up && ip link set there up
conf=$work/mnt/redis/redis.conf
attach() { mount -o "loop,commit=600" "$1" "$work/mnt" && mkdir -p "$work/mnt/nopong" && mount --bind "$work/mnt/nopong" /var/lib/nopong; }
detach() { umount /var/lib/nopong && umount "$work/mnt"; }
failed=0
for point in $(seq 40); do
  truncate -s 0 "$work/img" && truncate -s 64M "$work/img" && mkfs.ext4 -q -F "$work/img" && attach "$work/img" || exit 1
  mkdir -p "$work/mnt/redis"
  printf '# kept\nbind 127.0.0.1\nsave ""\ndir %s/mnt/redis\n' "$work" >"$conf"
  cp "$conf" "$work/before"
  sync -f "$conf"
  redis-server "$conf" >/dev/null 2>&1 &
  server=$!
  until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.05; done
  NOPONG_DIE_AFTER=$point "$nopong" fix --yes --client 10.99.7.2 redis://10.99.7.1:6379 >/dev/null 2>&1
  code=$?
  cp --sparse=always "$work/img" "$work/cut"
  # The watchdogs of this namespace hold its mounts.
  for pid in $(pgrep -f "undo [0-9]*-[0-9]* --unless-verified"); do
    [ "$(readlink "/proc/$pid/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ] && kill "$pid"
  done
  kill -9 $server
  wait $server 2>/dev/null
  until detach 2>/dev/null; do sleep 0.1; done
  attach "$work/cut" || exit 1
  cmp -s "$conf" "$work/before" && was=unchanged || was=changed
  "$nopong" undo >/dev/null 2>&1
  undo=$?
  if cmp -s "$conf" "$work/before" && [ "$(ls -A "$work/mnt/redis")" = redis.conf ]; then end=identical; else end=DIFFERENT failed=1; fi
  echo "point $point: fix $code, file $was, undo $undo: $end"
  detach
  [ $code = 137 ] || break
done
exit $failed
