//! Three hosts of our own: a client, the host with the rules, and one behind it; each a network namespace.
//!
//!     client 10.77.0.2 ── eth0 10.77.0.1 [rules] 10.78.0.1 eth1 ── 10.78.0.2 behind
//!
//! Neighbours are fixed, so that rules cannot break their discovery; nothing answers or retries late, so that one
//! experiment does not reach into the next.

use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) const PORTS: [u16; 6] = [22, 80, 6379, 6380, 7000, 26379];
pub(crate) const SOURCES_V4: [&str; 3] = ["10.77.0.2", "10.77.0.3", "10.77.3.9"];
pub(crate) const SOURCES_V6: [&str; 3] = ["fd77::2", "fd77::3", "fd77:3::9"];
pub(crate) const OWN_V4: [&str; 2] = ["10.77.0.1", "10.77.0.5"];
pub(crate) const OWN_V6: [&str; 2] = ["fd77::1", "fd77::5"];
pub(crate) const BEHIND_V4: &str = "10.78.0.2";
pub(crate) const BEHIND_V6: &str = "fd78::2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Client,
    Rules,
    Behind,
}

pub(crate) struct Net {
    names: [String; 3],
    files: [File; 3],
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

/// What the kernel did with the SYN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Accept,
    Drop,
    /// Refused, with this errno.
    Reject(String),
}

fn sh(script: &str) -> Result<(), String> {
    let out = Command::new("/bin/sh").args(["-ec", script]).output().map_err(|e| e.to_string())?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

impl Net {
    pub(crate) fn new(tag: &str) -> Result<Self, String> {
        let names = ["c", "r", "b"].map(|host| format!("pv{tag}{host}"));
        let [c, r, b] = &names;
        for name in &names {
            drop(sh(&format!("ip netns del {name} 2>/dev/null || true")));
        }
        sh(&format!(
            "for n in {c} {r} {b}; do ip netns add $n; ip -n $n link set lo up
                ip netns exec $n sysctl -qw net.ipv4.tcp_synack_retries=0 net.ipv4.conf.all.rp_filter=0 \
                    net.ipv4.conf.default.rp_filter=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
                    net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0; done
            ip link add eth0 netns {c} address 02:00:00:00:77:02 type veth peer name eth0 netns {r} address 02:00:00:00:77:01
            ip link add eth1 netns {r} address 02:00:00:00:78:01 type veth peer name eth0 netns {b} address 02:00:00:00:78:02
            for a in 10.77.0.2/24 10.77.0.3/24 10.77.3.9/24; do ip -n {c} addr add $a dev eth0; done
            for a in fd77::2/64 fd77::3/64 fd77:3::9/64; do ip -n {c} addr add $a dev eth0 nodad; done
            for a in 10.77.0.1/24 10.77.0.5/24; do ip -n {r} addr add $a dev eth0; done
            for a in fd77::1/64 fd77::5/64; do ip -n {r} addr add $a dev eth0 nodad; done
            ip -n {r} addr add 10.78.0.1/24 dev eth1; ip -n {r} addr add fd78::1/64 dev eth1 nodad
            ip -n {b} addr add 10.78.0.2/24 dev eth0; ip -n {b} addr add fd78::2/64 dev eth0 nodad
            ip -n {c} link set eth0 up; ip -n {r} link set eth0 up; ip -n {r} link set eth1 up; ip -n {b} link set eth0 up
            for a in 10.77.0.1 10.77.0.5 fd77::1 fd77::5; do ip -n {c} neigh replace $a lladdr 02:00:00:00:77:01 dev eth0 nud permanent; done
            for a in 10.77.0.2 10.77.0.3 10.77.3.9 fd77::2 fd77::3 fd77:3::9; do ip -n {r} neigh replace $a lladdr 02:00:00:00:77:02 dev eth0 nud permanent; done
            for a in 10.78.0.2 fd78::2; do ip -n {r} neigh replace $a lladdr 02:00:00:00:78:02 dev eth1 nud permanent; done
            for a in 10.78.0.1 fd78::1; do ip -n {b} neigh replace $a lladdr 02:00:00:00:78:01 dev eth0 nud permanent; done
            ip -n {c} route add 10.78.0.0/16 via 10.77.0.1; ip -n {c} -6 route add fd78::/16 via fd77::1
            ip -n {r} route add 10.77.3.0/24 via 10.77.0.2; ip -n {r} -6 route add fd77:3::/64 via fd77::2
            ip -n {b} route add default via 10.78.0.1; ip -n {b} -6 route add default via fd78::1"
        ))?;
        let open = |name: &String| File::open(format!("/run/netns/{name}")).map_err(|e| e.to_string());
        let files = [open(c)?, open(r)?, open(b)?];
        let net = Self { names, files, stop: std::sync::Arc::default() };
        for host in [Host::Rules, Host::Behind] {
            net.listen(host)?;
        }
        Ok(net)
    }

    /// This thread, and what it starts, stands in that host from now on.
    pub(crate) fn enter(&self, host: Host) {
        nix::sched::setns(&self.files[host as usize], nix::sched::CloneFlags::CLONE_NEWNET).expect("root");
    }

    fn listen(&self, host: Host) -> Result<(), String> {
        self.enter(host);
        for port in PORTS {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None).map_err(|e| e.to_string())?;
            socket.set_only_v6(false).map_err(|e| e.to_string())?;
            let any: SocketAddr = ([0u16; 8], port).into();
            socket.bind(&SockAddr::from(any)).map_err(|e| e.to_string())?;
            socket.listen(64).map_err(|e| e.to_string())?;
            socket.set_read_timeout(Some(Duration::from_millis(500))).map_err(|e| e.to_string())?;
            let stop = self.stop.clone();
            std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    if let Ok((taken, _)) = socket.accept() {
                        drop(taken.set_linger(Some(Duration::ZERO)));
                    }
                }
            });
        }
        Ok(())
    }

    /// One SYN. A reply may be lost on its way, so the receiving host's own count of segments decides.
    pub(crate) fn dial(&self, from: Host, src: IpAddr, to: SocketAddr, patience: Duration) -> Seen {
        let before = [self.segments(Host::Rules), self.segments(Host::Behind)];
        self.enter(from);
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        drop(socket.set_linger(Some(Duration::ZERO)));
        socket.bind(&SockAddr::from(SocketAddr::new(src, 0))).expect("own address");
        let result = socket.connect_timeout(&SockAddr::from(to), patience);
        match result {
            Ok(()) => Seen::Accept,
            // The handshake was done, and the listener closes at once.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Seen::Accept,
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                let after = [self.segments(Host::Rules), self.segments(Host::Behind)];
                // In the output case the host with the rules is the client and receives nothing.
                if after == before { Seen::Drop } else { Seen::Accept }
            }
            Err(e) => {
                let code = e.raw_os_error().unwrap_or(0);
                Seen::Reject(format!("{:?}", nix::errno::Errno::from_raw(code)))
            }
        }
    }

    fn segments(&self, host: Host) -> u64 {
        self.enter(host);
        let text = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("procfs");
        let line = text.lines().filter(|l| l.starts_with("Tcp:")).nth(1).expect("figures");
        // Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs
        line.split_whitespace().nth(10).and_then(|n| n.parse().ok()).expect("InSegs")
    }

    /// Runs a program in the host with the rules.
    pub(crate) fn run(&self, argv: &[&str], input: &str) -> Result<String, String> {
        self.enter(Host::Rules);
        let mut child = Command::new(argv[0])
            .args(&argv[1..])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", argv[0]))?;
        child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
        let out = child.wait_with_output().map_err(|e| e.to_string())?;
        if out.status.success() {
            Ok(String::from_utf8_lossy(&out.stdout).into_owned())
        } else {
            Err(format!("{}: {}", argv.join(" "), String::from_utf8_lossy(&out.stderr)))
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for name in &self.names {
            drop(sh(&format!("ip netns del {name}")));
        }
    }
}
