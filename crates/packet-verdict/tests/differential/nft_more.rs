//! Further words of nft: verdict maps over anything, marks through maps, named objects, numbers, raw bytes, headers that
//! no SYN has.

use crate::nft::Words;

impl Words<'_> {
    /// As many as [`Words::more_match`] knows.
    pub(crate) const MORE: usize = 19;

    pub(crate) fn more_match(&mut self, kind: usize) -> String {
        let (ip, not) = (self.ip(), self.not());
        let v4 = self.g.v4;
        let source = self.g.rng.chance(60);
        let side = if source { "saddr" } else { "daddr" };
        let (port, other) = (self.g.a_port(), self.g.a_port());
        let (addr, prefix, (lo, hi)) = (self.g.address(source), self.g.prefix(source), self.g.port_range());
        match kind {
            0 => format!("ct direction {not}{}", self.g.rng.pick(&["original", "reply"])),
            1 => format!("meta l4proto {{ tcp, udp }} th dport {not}{{ {port}, 53, 9000-9100 }}"),
            2 if v4 => format!("ip {side} & 255.255.0.255 {}", masked(&addr, not)),
            2 => format!("ip6 {side} & ffff:ffff:: {not}fd77::"),
            3 => format!("iif {not}\"{}\"", self.g.rng.pick(&["eth0", "eth1", "lo"])),
            4 => format!(
                "meta pkttype {not}{}",
                self.g.rng.pick(&["host", "broadcast", "{ broadcast, multicast }"])
            ),
            5 if v4 => format!("ip protocol {not}{}", self.g.rng.pick(&["tcp", "udp", "{ tcp, icmp }"])),
            5 => format!("ip6 nexthdr {not}{}", self.g.rng.pick(&["tcp", "udp", "ipv6-icmp"])),
            6 if v4 => format!(
                "ip option {} {}",
                self.g.rng.pick(&["lsrr", "ra", "rr"]),
                self.g.rng.pick(&["exists", "missing"])
            ),
            6 => format!(
                "exthdr {} {}",
                self.g.rng.pick(&["frag", "rt", "hbh"]),
                self.g.rng.pick(&["exists", "missing"])
            ),
            7 => format!("meta l4proto tcp ct original proto-dst {not}{port}"),
            // Not `ct l3proto`: nft takes it out of a listing where a match on the protocol follows.
            8 => format!("ct original {ip} {side} {not}{prefix}"),
            9 => self
                .g
                .rng
                .pick(&[
                    "numgen random mod 4 <= 3",
                    "numgen inc mod 2 offset 10 >= 10",
                    "numgen inc mod 8 offset 4 < 4",
                    "symhash mod 4 >= 0",
                ])
                .to_owned(),
            10 => format!("jhash {ip} saddr mod 4 {}", self.g.rng.pick(&["<= 3", ">= 0"])),
            11 if self.hook != "output" => {
                format!(
                    "fib daddr . iif type {not}{}",
                    self.g.rng.pick(&["local", "unicast", "{ local, multicast }"])
                )
            }
            12 => format!(
                "{ip} saddr . {ip} daddr . tcp dport {not}{{ {} . {} . {port} }}",
                self.g.address(true),
                self.g.address(false)
            ),
            13 => format!("iifname . tcp dport {not}{{ \"{}\" . {port}, \"lo\" . 0-65535 }}", self.g.iface()),
            14 => format!("meta l4proto . th dport {not}{{ tcp . {port}, udp . 53, tcp . {lo}-{hi} }}"),
            15 => self
                .g
                .rng
                .pick(&[
                    "tcp flags syn / fin,syn,rst,ack",
                    "tcp flags & (fin|syn) == 0",
                    "tcp flags { syn, syn | ack }",
                    "tcp flags & syn != 0",
                    "tcp flags != { syn, rst }",
                ])
                .to_owned(),
            16 => format!("meta l4proto tcp @th,16,16 {not}{other}"),
            18 => self
                .g
                .rng
                .pick(&[
                    "ct protocol tcp",
                    "ct bytes < 1000",
                    "ct packets > 10",
                    "fib saddr oif exists",
                    "fib saddr . mark . iif oif missing",
                    "ct helper \"ftp\"",
                    "ct helper != \"ftp\"",
                    "socket transparent 1",
                    "meta ipsec missing",
                ])
                .to_owned(),
            17 => format!("{ip} {side} . tcp dport {not}{{ {prefix} . {lo}-{hi} }}"),
            _ => String::new(),
        }
    }

    /// A statement that decides by a map, or changes what later rules see.
    pub(crate) fn more_statement(&mut self) -> String {
        let ip = self.ip();
        let (a, b, c) = (self.verdict(), self.verdict(), self.verdict());
        let (m, n) = (self.g.mark(), self.g.mark());
        let (port, addr, prefix) = (self.g.port, self.g.address(true), self.g.prefix(true));
        match self.g.rng.below(19) {
            0 => format!(
                "ct state vmap {{ established : accept, related : accept, invalid : drop, new : {a} }}"
            ),
            1 => format!("ct state vmap {{ invalid : {a}, untracked : {b}, new : {c} }}"),
            2 => format!(
                "iifname vmap {{ \"lo\" : accept, \"{}\" : {a} }}",
                self.g.rng.pick(&["eth0", "eth1", "wg0"])
            ),
            3 => format!("{ip} saddr vmap {{ {prefix} : {a}, * : {b} }}"),
            4 => format!("{ip} saddr . tcp dport vmap {{ {addr} . {port} : {a}, {addr} . 22 : {b} }}"),
            5 => format!("meta l4proto vmap {{ tcp : {a}, udp : drop }}"),
            6 => format!("meta mark vmap {{ 0 : {a}, {} : {b} }}", m | 1),
            7 => format!("meta l4proto . th dport vmap {{ tcp . {port} : {a}, udp . 53 : accept }}"),
            8 => format!("meta mark set tcp dport map {{ {port} : {m}, 80 : {n} }}"),
            9 => format!("meta mark set {ip} saddr map {{ {prefix} : {} }}", m | 4),
            10 => "meta mark set ct mark".into(),
            11 => "ct mark set meta mark".into(),
            12 => self
                .g
                .rng
                .pick(&[
                    "quota 100 mbytes accept",
                    "quota over 25 mbytes drop",
                    "quota name \"q0\" drop",
                    "limit name \"l0\" accept",
                    "counter name \"c0\" drop",
                    "counter name \"c0\"",
                ])
                .to_owned(),
            13 => format!("numgen inc mod 2 vmap {{ 0 : {a}, 1 : {a} }}"),
            14 => format!("fib daddr type vmap {{ local : {a}, unicast : {b} }}"),
            15 => format!("tcp dport vmap {{ 1-1023 : {a}, 1024-7000 : {b}, * : {c} }}"),
            16 => format!("ct direction vmap {{ original : {a}, reply : drop }}"),
            17 => self
                .g
                .rng
                .pick(&[
                    "meta priority set 1:10",
                    "meta nftrace set 1",
                    "tcp option maxseg size set 1300",
                    "log group 2",
                ])
                .to_owned(),
            _ => format!("meta mark set meta mark and {} or {n}", m | 3),
        }
    }

    pub(crate) fn objects() -> [String; 3] {
        [
            "quota q0 { over 100 mbytes used 0 bytes }".into(),
            "limit l0 { rate 100/second burst 20 packets }".into(),
            "counter c0 { }".into(),
        ]
    }
}

/// The address under the mask 255.255.0.255.
fn masked(addr: &str, not: &str) -> String {
    let octets: Vec<&str> = addr.split('.').collect();
    let op = if not.is_empty() { "==" } else { "!=" };
    match octets.as_slice() {
        [a, b, _, d] => format!("{op} {a}.{b}.0.{d}"),
        _ => format!("{op} 0.0.0.0"),
    }
}
