# What every step of a scenario has at hand, in every machine. Described in docs/lab.md.

wait_for() { # CONDITION: the only way to wait; at most 10 s
  local end=$((SECONDS+10))
  until eval "$1" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "never came true: $1" >&2; return 1; }
    sleep 0.02
  done
}
conf() { # DIRECTIVE VALUE…: the configuration gets that line instead of its own
  grep -vE "^[[:space:]]*$1[[:space:]]" "$CONF" > /tmp/conf.new || true
  echo "$*" >> /tmp/conf.new
  cat /tmp/conf.new > "$CONF"
}
unit() { # LINE…: a drop-in for the server's unit
  mkdir -p /etc/systemd/system/$UNIT.service.d
  printf '%s\n' "$@" > /etc/systemd/system/$UNIT.service.d/override.conf
  systemctl daemon-reload
}
start() { # restart the unit and wait until something Redis answers, on the usual port or socket
  systemctl reset-failed $UNIT 2>/dev/null || true
  systemctl restart $UNIT
}
fail_start() { # restart it and wait until systemd has given up
  systemctl reset-failed $UNIT 2>/dev/null || true
  systemctl restart --no-block $UNIT
  wait_for '[ "$(systemctl show -P ActiveState $UNIT)" = failed ]'
}
pid_of() { systemctl show -P MainPID "${1:-$UNIT}"; }
background() { # COMMAND…: goes on after the step
  setsid "$@" </dev/null >/tmp/background.log 2>&1 &
}
hold() { # COUNT HOST PORT: that many connections, opened and kept
  rm -f /tmp/held
  background python3 -c '
import socket, sys, time
held = []
for n in range(int(sys.argv[1])):
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET)
    s.settimeout(0.3)
    try: s.connect((sys.argv[2], int(sys.argv[3])))
    except OSError: pass
    held.append(s)
open("/tmp/held", "w").close()
time.sleep(600)' "$@"
  wait_for 'test -e /tmp/held'
}
serve() { # PORT TEXT: says TEXT to whoever connects
  background python3 -c '
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
    c.recv(200)
    c.close()' "$@"
  wait_for "ss -Hltn sport = :$1 | grep -q ."
}
dns() { # NAME=ADDRESS…: (router) the name server of the domain lab, instead of the one before
  [ ! -e /run/dns.pid ] || { kill "$(cat /run/dns.pid)"; wait_for '! kill -0 $(cat /run/dns.pid)'; }
  local records=()
  for r in "$@"; do records+=("--host-record=${r%%=*},${r#*=}"); done
  dnsmasq -C /dev/null --user=root --no-resolv --no-hosts --local=/lab/ --pid-file=/run/dns.pid \
    --listen-address="$ROUTER" --bind-interfaces "${records[@]}"
}
ssh_key() { # root's key, made once
  mkdir -p -m 700 ~/.ssh
  [ -e ~/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
  cat ~/.ssh/id_ed25519.pub
}
ssh_let_in() { # USER KEY: a running sshd, and that key in the user's authorized_keys
  local home; home=$(getent passwd "$1" | cut -d: -f6)
  mkdir -p -m 700 "$home/.ssh"; echo "$2" >> "$home/.ssh/authorized_keys"; chown -R "$1:" "$home/.ssh"
  [ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
  if [ -d /run/systemd/system ]; then
    systemctl start ssh
  elif ! ss -Hltn sport = :22 | grep -q .; then
    mkdir -p /run/sshd; /usr/sbin/sshd -o UsePAM=no </dev/null >/dev/null 2>&1
  fi
  wait_for 'ss -Hltn sport = :22 | grep -q .'
}
ssh_knows() { # HOST KEY
  mkdir -p -m 700 ~/.ssh; echo "$1 ${2% *}" >> ~/.ssh/known_hosts
}
TLS=$(dirname "$CONF")/tls
ca() { # [NAME]: the private authority, ca.crt in the folder tls beside the configuration
  mkdir -p $TLS; cd $TLS
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=${1:-Lab CA}" \
    -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt 2>/dev/null
}
cert() { # NAME SUBJECT-ALT-NAME [DAYS-FROM DAYS-TO]: a certificate by that authority, days counted from now
  cd $TLS
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout $1.key -out $1.csr 2>/dev/null
  printf '%s\n' '[ca]' 'default_ca=d' '[d]' 'new_certs_dir=/tmp' 'database=/tmp/index' 'rand_serial=yes' 'default_md=sha256' \
    'policy=p' 'x509_extensions=e' 'unique_subject=no' '[p]' 'commonName=supplied' '[e]' "subjectAltName=$2" > /tmp/ca.cnf
  : > /tmp/index
  openssl ca -batch -notext -config /tmp/ca.cnf -cert ca.crt -keyfile ca.key -in $1.csr -out $1.crt \
    -startdate "$(date -u -d "${3:--1} days" +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d "${4:-30} days" +%Y%m%d%H%M%SZ)" 2>/dev/null
  chown -R "$(stat -c %U "$CONF")": $TLS; chmod 644 *.crt
}
tls() { # CERTIFICATE [no|yes]: the server's only port speaks TLS; the second word: client certificates asked for
  conf port 0; conf tls-port 6379
  conf tls-cert-file $TLS/$1.crt; conf tls-key-file $TLS/$1.key; conf tls-ca-cert-file $TLS/ca.crt
  conf tls-auth-clients ${2:-no}
}
docker_up() { # (trees with Docker) dockerd in control groups of its own, with the image redis:8 of the tree's redis
  local h
  for h in /sys/fs/cgroup/*/; do mount -o remount,bind,rw,nosuid,nodev,noexec $h; done
  mount -o remount,bind,rw /proc/sys
  # The name server that Docker's own passes on to what it does not know: there is no such name.
  dnsmasq -C /dev/null --user=root --no-resolv --no-hosts --local=/#/ --listen-address=$SERVER --bind-interfaces
  echo "nameserver $SERVER" > /etc/resolv.conf
  mkdir -p /var/lib/docker
  mount -t tmpfs docker /var/lib/docker # overlay2 does not stand on the overlay that the machine stands on
  systemctl start docker
  tar -C /opt/image -c . | docker import -c 'CMD ["redis-server","--protected-mode","no"]' \
    -c 'WORKDIR /data' -c 'EXPOSE 6379' - redis:8 >/dev/null
  docker tag redis:8 shop:1 # an application's image, by its name
}
podman_up() { # (the same trees) Podman, root's, without its API socket, with the same image
  local h
  for h in /sys/fs/cgroup/*/; do mount -o remount,bind,rw,nosuid,nodev,noexec $h; done
  mount -o remount,bind,rw /proc/sys
  mkdir -p /var/lib/containers /etc/containers
  mount -t tmpfs containers /var/lib/containers
  printf '[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\n[containers]\nlog_driver="k8s-file"\n' \
    > /etc/containers/containers.conf
  systemctl stop podman.socket
  tar -C /opt/image -c . | podman import -c 'CMD ["redis-server","--protected-mode","no"]' \
    -c 'WORKDIR /data' -c 'EXPOSE 6379' - docker.io/library/redis:8 >/dev/null 2>&1
}
app() { # [OPTION…]: a container named app that only waits, as an application would stand there
  docker run -d --name app "$@" shop:1 sleep infinity >/dev/null
}
compose() { # writes compose.yaml of stdin into /srv/shop, and brings it up; further words are for compose
  mkdir -p /srv/shop; cd /srv/shop; cat > compose.yaml
  docker compose "${@:-up}" -d --pull never 2>&1
}
