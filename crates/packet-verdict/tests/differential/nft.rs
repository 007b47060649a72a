//! Rule sets in nft's notation.

use crate::generate::{Gen, chain, table};
use crate::net::{BEHIND_V4, BEHIND_V6, Host, OWN_V4, OWN_V6};
use crate::spec::{Chain, Table, Tool};

pub(crate) fn tables(g: &mut Gen) -> Vec<Table> {
    let count = 1 + usize::from(g.rng.chance(35)) + usize::from(g.rng.chance(15));
    (0..count).map(|n| one(g, n)).collect()
}

fn family(g: &mut Gen) -> &'static str {
    match g.rng.below(10) {
        0..=5 => "inet",
        6..=8 => {
            if g.v4 {
                "ip"
            } else {
                "ip6"
            }
        }
        // Of the other family: it must not matter.
        _ => {
            if g.v4 {
                "ip6"
            } else {
                "ip"
            }
        }
    }
}

/// A table's own family decides which words its rules may use.
pub(crate) struct Words<'a> {
    pub(crate) g: &'a mut Gen,
    family: &'static str,
    sets: Vec<String>,
    targets: Vec<String>,
    pub(crate) hook: &'static str,
    nat: bool,
}

fn one(g: &mut Gen, number: usize) -> Table {
    let family = family(g);
    let mut out = table(Tool::Nft, &format!("{family} t{number}"));
    let foreign = family == if g.v4 { "ip6" } else { "ip" };
    let users = g.rng.below(4);
    let mut w = Words { g, family, sets: Vec::new(), targets: Vec::new(), hook: "input", nat: false };
    if foreign {
        out.chains.push(chain("in", Some("type filter hook input priority 0; policy drop;".into())));
        return out;
    }
    out.sets.extend(Words::objects());
    w.declare_sets(&mut out);
    // Chains may call only the ones made before: no circles.
    for n in 0..users {
        let mut c = chain(&format!("u{n}"), None);
        w.fill(&mut c, 4);
        out.chains.push(c);
        w.targets.push(format!("u{n}"));
    }
    let verdict_map = w.verdict_map();
    out.sets.extend(verdict_map);
    for &hook in w.g.hooks() {
        let main = hook == w.g.main_hook();
        if main || w.g.rng.chance(30) {
            w.base(&mut out, hook, if main { 7 } else { 3 });
        }
    }
    if w.g.from != Host::Rules && w.g.rng.chance(20) {
        w.nat(&mut out);
    }
    // What a packet meets behind the hook of its filter, and a second chain at the same one.
    if w.g.main_hook() != "input" && w.g.rng.chance(25) {
        let mut c = chain("post", Some("type nat hook postrouting priority srcnat; policy accept;".into()));
        c.rules.push(
            w.g.rng.pick(&["oifname \"eth1\" masquerade", "oifname \"wg0\" masquerade", "accept"]).into(),
        );
        out.chains.push(c);
    }
    if w.g.rng.chance(20) {
        let (hook, priority) = (w.g.main_hook(), w.g.rng.pick(&["0", "5", "filter - 1", "-10"]));
        w.hook = hook;
        let mut c =
            chain("again", Some(format!("type filter hook {hook} priority {priority}; policy accept;")));
        if hook == "output" {
            c.rules.push("oifname \"lo\" accept".into());
        }
        w.fill(&mut c, 3);
        out.chains.push(c);
    }
    out
}

impl Words<'_> {
    fn base(&mut self, out: &mut Table, hook: &'static str, most: usize) {
        self.hook = hook;
        let priority = if hook == "prerouting" {
            self.g.rng.pick(&["-300", "-150", "-310", "-90", "0"])
        } else {
            self.g.rng.pick(&["0", "0", "0", "-10", "10", "-150"])
        };
        let policy = if self.g.rng.chance(50) && (hook != "prerouting" || self.g.rng.chance(15)) {
            "drop"
        } else {
            "accept"
        };
        let head = format!("type filter hook {hook} priority {priority}; policy {policy};");
        let mut c = chain(&format!("b_{hook}"), Some(head));
        if hook == "output" {
            // The answer of a reject is itself sent over lo.
            c.rules.push("oifname \"lo\" accept".into());
        }
        self.fill(&mut c, most);
        out.chains.push(c);
    }

    fn nat(&mut self, out: &mut Table) {
        let mut c = chain("nat_pre", Some("type nat hook prerouting priority -100; policy accept;".into()));
        self.hook = "prerouting";
        self.nat = true;
        for _ in 0..=self.g.rng.below(2) {
            let mut rule = self.matches(2);
            rule.push_str(&self.nat_target());
            c.rules.push(rule);
        }
        self.nat = false;
        out.chains.push(c);
    }

    fn nat_target(&mut self) -> String {
        let port = self.g.a_port();
        let v6 = !self.g.v4;
        let own = if v6 { OWN_V6 } else { OWN_V4 };
        let addr = if self.g.rng.chance(40) {
            if v6 { BEHIND_V6 } else { BEHIND_V4 }
        } else {
            self.g.rng.pick(&own)
        };
        let fam = if v6 { "ip6" } else { "ip" };
        let shown = if v6 { format!("[{addr}]") } else { addr.to_owned() };
        match self.g.rng.below(9) {
            5 => format!("tcp dport {{ 1-9999 }} redirect to :tcp dport map {{ 6379 : {port}, 22 : 80 }}"),
            6 => format!(
                "dnat {fam} addr . port to tcp dport map {{ 6379 : {addr} . {port}, 22 : {addr} . 80 }}"
            ),
            7 => {
                let saddr = self.g.address(true);
                format!("dnat {fam} to {fam} saddr map {{ {saddr} : {addr} }}")
            }
            8 => format!("meta l4proto tcp dnat {fam} to numgen inc mod 2 map {{ 0 : {addr}, 1 : {addr} }}"),
            0 => format!("tcp dport {} redirect to :{port}", self.g.a_port()),
            1 => format!("meta l4proto tcp dnat {fam} to {addr}"),
            2 => "accept".into(),
            3 => format!("dnat {fam} to tcp dport map {{ 6379 : {addr}, 80 : {addr} }}"),
            _ => format!("meta l4proto tcp dnat {fam} to {shown}:{port}"),
        }
    }

    fn fill(&mut self, c: &mut Chain, most: usize) {
        for _ in 0..=self.g.rng.below(most) {
            let rule = self.rule();
            c.rules.push(rule);
        }
    }

    pub(crate) fn ip(&self) -> &'static str {
        if self.g.v4 { "ip" } else { "ip6" }
    }

    fn declare_sets(&mut self, out: &mut Table) {
        let ty = if self.g.v4 { "ipv4_addr" } else { "ipv6_addr" };
        for n in 0..self.g.rng.below(4) {
            let name = format!("s{n}");
            let (a, p, (lo, hi)) = (self.g.address(true), self.g.prefix(true), self.g.range(true));
            let decl = match self.g.rng.below(6) {
                0 => format!("set {name} {{ type {ty}; elements = {{ {a} }}; }}"),
                1 => format!(
                    "set {name} {{ type {ty}; flags interval; auto-merge; elements = {{ {p}, {lo}-{hi} }}; }}"
                ),
                2 => format!(
                    "set {name} {{ type {ty}; flags timeout; elements = {{ {a} timeout 1h comment \"x\" }}; }}"
                ),
                3 => {
                    let (port, (plo, phi)) = (self.g.a_port(), self.g.port_range());
                    format!(
                        "set {name} {{ type {ty} . inet_service; flags interval; elements = {{ {a} . {port}, {p} . {plo}-{phi} }}; }}"
                    )
                }
                4 => {
                    // Rules add to it: what is listed counts, until this packet's own way changes it.
                    let has =
                        if self.g.rng.chance(40) { format!("elements = {{ {a} }};") } else { String::new() };
                    format!("set {name} {{ type {ty}; flags dynamic,timeout; timeout 1h; {has} }}")
                }
                _ => {
                    let iface = self.g.iface();
                    format!("set {name} {{ type ifname; flags interval; elements = {{ {iface}, \"x*\" }}; }}")
                }
            };
            if decl.contains("dynamic") {
                self.sets.push(format!("@dyn {name}"));
            }
            let kind = if decl.contains("inet_service") {
                "@addrport"
            } else if decl.contains("ifname") {
                "@if"
            } else {
                "@addr"
            };
            self.sets.push(format!("{kind} {name}"));
            out.sets.push(decl);
        }
    }

    fn verdict_map(&mut self) -> Option<String> {
        if !self.g.rng.chance(35) {
            return None;
        }
        let mut elements = Vec::new();
        for port in [22u16, 80, 6379] {
            if self.g.rng.chance(70) {
                elements.push(format!("{port} : {}", self.verdict()));
            }
        }
        if elements.is_empty() {
            return None;
        }
        self.sets.push("@vmap vm".into());
        Some(format!("map vm {{ type inet_service : verdict; elements = {{ {} }}; }}", elements.join(", ")))
    }

    pub(crate) fn verdict(&mut self) -> String {
        match self.g.rng.below(10) {
            0..=3 => "accept".into(),
            4 | 5 => "drop".into(),
            6 => "return".into(),
            7 if !self.targets.is_empty() => {
                let n = self.g.rng.below(self.targets.len());
                format!("goto {}", self.targets[n])
            }
            8 | 9 if !self.targets.is_empty() => {
                let n = self.g.rng.below(self.targets.len());
                format!("jump {}", self.targets[n])
            }
            _ => "continue".into(),
        }
    }

    fn reject(&mut self) -> String {
        let inet = self.family == "inet";
        let codes4 = [
            "net-unreachable",
            "host-unreachable",
            "port-unreachable",
            "net-prohibited",
            "host-prohibited",
            "admin-prohibited",
        ];
        let codes6 = [
            "no-route",
            "admin-prohibited",
            "addr-unreachable",
            "port-unreachable",
            "policy-fail",
            "reject-route",
        ];
        match self.g.rng.below(4) {
            0 => "meta l4proto tcp reject with tcp reset".into(),
            1 if inet => {
                let code = self.g.rng.pick(&[
                    "no-route",
                    "port-unreachable",
                    "host-unreachable",
                    "admin-prohibited",
                ]);
                format!("reject with icmpx {code}")
            }
            2 => "reject".into(),
            _ if self.g.v4 => format!("reject with icmp {}", self.g.rng.pick(&codes4)),
            _ => format!("reject with icmpv6 {}", self.g.rng.pick(&codes6)),
        }
    }

    fn rule(&mut self) -> String {
        let mut out = self.matches(3);
        if self.g.rng.chance(25) {
            out.push_str("counter ");
        }
        let m = self.g.mark();
        match self.g.rng.below(33) {
            27..=32 => {
                let more = self.more_statement();
                out.push_str(&more);
            }
            24 if self.has("@dyn") => {
                let (ip, set) = (self.ip(), self.set("@dyn").unwrap_or_default());
                out.push_str(&format!("add {set} {{ {ip} saddr }}"));
            }
            25 => out.push_str(self.g.rng.pick(&[
                "limit rate 100/second burst 50 packets accept",
                "limit rate over 100/second burst 50 packets drop",
                "limit rate 5 mbytes/second accept",
            ])),
            26 if self.has("@dyn") => {
                let (ip, set) = (self.ip(), self.set("@dyn").unwrap_or_default());
                let (keeps, verdict) = (
                    self.g.rng.pick(&[
                        "limit rate over 50/second burst 20 packets",
                        "ct count over 30",
                        "counter",
                    ]),
                    self.verdict(),
                );
                out.push_str(&format!("update {set} {{ {ip} saddr {keeps} }} {verdict}"));
            }
            0 | 1 => out.push_str(&format!("meta mark set {m}")),
            2 => out.push_str(&format!("meta mark set mark or {m}")),
            3 => out.push_str(&format!("ct mark set {m}")),
            4 => out.push_str("log prefix \"x\""),
            5 if self.g.rng.chance(25) => out.push_str("limit rate 1/minute accept"),
            6 if self.has("@vmap") => out.push_str("tcp dport vmap @vm"),
            7 => {
                let verdict = self.verdict();
                out.push_str(&format!("tcp dport vmap {{ {} : {verdict}, 1-21 : drop }}", self.g.port));
            }
            8 | 9 if self.hook != "prerouting" || self.g.rng.chance(20) => {
                let reject = self.reject();
                // nft leaves the family out of a listing where nothing else stands between.
                let hidden = ["nfproto", "meta protocol"].iter().any(|w| out.contains(w));
                if hidden && !out.contains("counter") {
                    out.push_str("counter ");
                }
                out.push_str(&reject);
            }
            10 if self.hook == "prerouting" && self.g.rng.chance(30) => out.push_str("notrack"),
            _ => {
                let verdict = self.verdict();
                out.push_str(&verdict);
            }
        }
        out
    }

    fn has(&self, kind: &str) -> bool {
        self.sets.iter().any(|s| s.starts_with(&format!("{kind} ")))
    }

    fn set(&mut self, kind: &str) -> Option<String> {
        let fit: Vec<&String> = self.sets.iter().filter(|s| s.starts_with(&format!("{kind} "))).collect();
        let pick = fit.get(self.g.rng.below(fit.len().max(1)))?;
        Some(format!("@{}", pick.split(' ').nth(1)?))
    }

    fn matches(&mut self, most: usize) -> String {
        let mut out = String::new();
        let mut used = Vec::new();
        for _ in 0..self.g.rng.below(most + 1) {
            let kind = self.g.rng.below(31 + Self::MORE);
            if !used.contains(&kind) {
                used.push(kind);
                let words = if kind < 31 { self.one_match(kind) } else { self.more_match(kind - 31) };
                out.push_str(&words);
                out.push(' ');
            }
        }
        out
    }

    pub(crate) fn not(&mut self) -> &'static str {
        if self.g.rng.chance(20) { "!= " } else { "" }
    }

    fn one_match(&mut self, kind: usize) -> String {
        let (ip, not) = (self.ip(), self.not());
        let g = &mut *self.g;
        let source = g.rng.chance(60);
        let side = if source { "saddr" } else { "daddr" };
        let before = self.hook == "prerouting";
        match kind {
            0 => format!("tcp dport {not}{}", g.a_port()),
            1 => {
                let (lo, hi) = g.port_range();
                format!("tcp dport {not}{lo}-{hi}")
            }
            2 => format!("tcp dport {not}{{ {}, 443, 9000-9100 }}", g.a_port()),
            3 => format!("{ip} {side} {not}{}", g.address(source)),
            4 => format!("{ip} {side} {not}{}", g.prefix(source)),
            5 => {
                let (lo, hi) = g.range(source);
                format!("{ip} {side} {not}{lo}-{hi}")
            }
            6 => {
                let (a, b) = (g.address(source), g.prefix(!source));
                if b.starts_with(a.split(&['.', ':'][..]).next().unwrap_or("?")) {
                    format!("{ip} {side} {not}{{ {a} }}")
                } else {
                    format!("{ip} {side} {not}{{ {a}, {b} }}")
                }
            }
            7 => format!("iifname {not}\"{}\"", g.iface()),
            8 => format!("iifname {not}{{ \"{}\", \"wg*\" }}", g.iface()),
            9 => format!("iifname {not}\"eth*\""),
            10 => format!("oifname {not}\"{}\"", g.iface()),
            11 => format!(
                "ct state {}",
                g.rng.pick(&[
                    "new",
                    "established,related",
                    "invalid",
                    "new,untracked",
                    "untracked",
                    "{ new, established }",
                    "!= new"
                ])
            ),
            12 => format!("meta mark {not}{}", g.mark()),
            13 => format!("meta mark and {} == {}", g.mark() | 1, g.mark() & 1),
            14 => format!("ct mark {not}{}", g.mark()),
            15 => format!("meta l4proto {not}{}", g.rng.pick(&["tcp", "udp", "{ tcp, udp }"])),
            16 if self.family == "inet" => format!("meta nfproto {not}{}", g.rng.pick(&["ipv4", "ipv6"])),
            17 => g
                .rng
                .pick(&[
                    "tcp flags syn",
                    "tcp flags & (fin|syn|rst|ack) == syn",
                    "tcp flags & (syn|ack) == ack",
                    "tcp flags != syn",
                    "tcp flags { syn, ack }",
                ])
                .to_owned(),
            18 => format!(
                "fib {side} type {not}{}",
                g.rng.pick(&["local", "unicast", "{ local, broadcast }", "multicast"])
            ),
            19 => format!("th dport {not}{}", g.a_port()),
            20 => format!("tcp sport {}", g.rng.pick(&["1024-65535", "1-1023", ">= 1024", "< 1024"])),
            21 => {
                let set = self.set("@addr");
                set.map(|s| format!("{ip} saddr {not}{s}")).unwrap_or_default()
            }
            22 => {
                let set = self.set("@addrport");
                set.map(|s| format!("{ip} saddr . tcp dport {not}{s}")).unwrap_or_default()
            }
            23 => {
                let set = self.set("@if");
                set.map(|s| format!("iifname {not}{s}")).unwrap_or_default()
            }
            26 if ip == "ip" => g
                .rng
                .pick(&["ip frag-off & 0x1fff != 0", "ip frag-off & 0x1fff == 0", "ip version 4"])
                .to_owned(),
            27 => format!("tcp option maxseg size {}", g.rng.pick(&["1-500", ">= 536", "< 536"])),
            28 if self.hook == "output" => format!("meta skuid {not}{}", g.rng.pick(&["0", "1000", "0-99"])),
            29 if self.hook == "prerouting" => {
                format!("fib saddr . iif oif {}", g.rng.pick(&["missing", "exists"]))
            }
            30 => format!("meta iiftype {not}loopback"),
            24 if !before => format!("ct status {}", g.rng.pick(&["dnat", "snat", "assured"])),
            25 if !before => format!("ct original {ip} {side} {not}{}", g.address(source)),
            // Two of these in one rule nft lists as another one: `< 30` and `> 30` become `!= 30-30`.
            26..=29 => String::new(),
            _ => format!("meta length {}", g.rng.pick(&["> 30", "< 200", "< 30", "!= 1500"])),
        }
    }
}
