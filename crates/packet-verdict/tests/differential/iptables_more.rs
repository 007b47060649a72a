//! Further matches and targets of iptables, and ipsets of several types.

use crate::generate::Gen;
use crate::net::{BEHIND_V4, BEHIND_V6, OWN_V4, OWN_V6};

/// As many as [`one_match`] knows.
pub(crate) const MORE: usize = 20;

/// `tcp` tells whether `-p tcp` stands before.
pub(crate) fn one_match(g: &mut Gen, kind: usize, hook: &str, tcp: bool) -> String {
    let not = if g.rng.chance(20) { "! " } else { "" };
    let inside = hook != "OUTPUT";
    match kind {
        0 => format!("-m addrtype {not}--src-type {} ", g.rng.pick(&["LOCAL", "UNICAST", "MULTICAST"])),
        1 => "-m string --string \"BitTorrent\" --algo bm ".into(),
        2 => format!("-m string {not}--hex-string \"|47455420|/index.html of a page\" --algo kmp "),
        3 => format!("-m connbytes {not}--connbytes 500000: --connbytes-dir both --connbytes-mode bytes "),
        4 => format!("-m quota {not}--quota {} ", g.rng.pick(&["100000000", "5000000"])),
        5 if hook == "FORWARD" => format!("-m physdev {not}--physdev-is-bridged "),
        6 => format!("-m pkttype {not}--pkt-type {} ", g.rng.pick(&["unicast", "broadcast", "multicast"])),
        7 if tcp => format!("-m tcpmss {not}--mss {} ", g.rng.pick(&["1:500", "536:65535"])),
        8 if hook == "PREROUTING" => format!("-m rpfilter {}", g.rng.pick(&["", "--invert ", "--loose "])),
        9 => format!("-m conntrack {not}--ctorigdstport {} ", g.a_port()),
        10 => format!("-m conntrack {not}--ctorigdst {} ", g.prefix(false)),
        11 => format!("-m conntrack --ctdir {} ", g.rng.pick(&["ORIGINAL", "REPLY"])),
        12 => format!("-m conntrack {not}--ctproto {} ", g.rng.pick(&["6", "17"])),
        13 => format!(
            "-m conntrack {not}--ctstatus {} ",
            g.rng.pick(&["NONE", "ASSURED", "SEEN_REPLY", "CONFIRMED"])
        ),
        14 if !g.v4 => g
            .rng
            .pick(&[
                "-m rt --rt-type 0 ",
                "-m frag --fragid 0:100 ",
                "-m hbh ",
                "-m ipv6header --header frag --soft ",
                "-m ipv6header ! --header hop-by-hop --soft ",
            ])
            .to_owned(),
        15 => format!(
            "-m connlimit {} ",
            g.rng.pick(&["--connlimit-above 0", "--connlimit-upto 0", "! --connlimit-above 0"])
        ),
        16 if inside => format!(
            "-m set {not}--match-set {} ",
            g.rng.pick(&["hosts src", "nets src", "nets dst", "masked src", "ifaces src,src"])
        ),
        17 if tcp => format!(
            "-m set {not}--match-set {} ",
            g.rng.pick(&["ports dst", "addrports src,dst", "both src,dst,dst"])
        ),
        18 if inside => format!("-m set {not}--match-set all {} ", g.rng.pick(&["src", "dst"])),
        19 => format!("-m helper {not}--helper ftp "),
        _ => String::new(),
    }
}

/// A SET target, or one that changes nothing of the verdict.
pub(crate) fn harmless(g: &mut Gen) -> &'static str {
    g.rng.pick(&[
        "-j NFLOG --nflog-group 1",
        "-j SET --add-set seen src",
        "-j TRACE",
        "-j TOS --set-tos 0x10/0x3f",
    ])
}

/// One set of each type that people use.
pub(crate) fn ipsets(g: &mut Gen) -> Vec<String> {
    let family = if g.v4 { "" } else { " family inet6" };
    let (v4, port, (lo, hi)) = (g.v4, g.a_port(), g.port_range());
    let (a, b, net, wide) = (g.address(true), g.address(false), g.prefix(true), g.prefix(false));
    let except = g.address(true);
    let masked = if v4 { "10.77.0.0" } else { "fd77::" };
    let bits = if v4 { 24 } else { 64 };
    let single = if v4 { 32 } else { 128 };
    let mut out = vec![
        format!("create hosts hash:ip{family} timeout 3600"),
        format!("add hosts {a} -exist"),
        format!("create nets hash:net{family}"),
        format!("add nets {net} -exist"),
        format!("add nets {wide} -exist"),
        format!("add nets {except}/{single} nomatch -exist"),
        format!("create ports bitmap:port range 1-65535"),
        format!("add ports {port} -exist"),
        format!("add ports {lo}-{hi} -exist"),
        format!("create addrports hash:ip,port{family}"),
        format!("add addrports {a},tcp:{port}"),
        format!("add addrports {b},udp:{port}"),
        format!("create masked hash:ip{family} netmask {bits}"),
        format!("add masked {masked}"),
        format!("create ifaces hash:net,iface{family}"),
        format!("add ifaces {net},{}", g.iface()),
        format!("create both hash:ip,port,net{family}"),
        format!("add both {a},{port},{wide}"),
        "create all list:set".into(),
        "add all hosts".into(),
        "add all nets".into(),
        format!("create seen hash:ip{family} timeout 60"),
    ];
    if g.rng.chance(30) {
        out.retain(|l| !l.contains("nomatch"));
    }
    out
}

/// Of OUTPUT and POSTROUTING, beside what PREROUTING does.
pub(crate) fn nat_behind(g: &mut Gen) -> (&'static str, String) {
    let behind = if g.v4 { BEHIND_V4 } else { BEHIND_V6 };
    let own = if g.v4 { OWN_V4 } else { OWN_V6 };
    match g.rng.below(3) {
        0 => ("POSTROUTING", "-o eth1 -j MASQUERADE".into()),
        1 => ("POSTROUTING", format!("-d {behind} -j RETURN")),
        _ => ("INPUT", format!("-d {} -j ACCEPT", g.rng.pick(&own))),
    }
}
