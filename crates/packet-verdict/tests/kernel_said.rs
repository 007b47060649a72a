//! Rule sets on which the crate was once contradicted by the kernel: they must not come back.
//!
//! Files in `kernel_said/` are written by the differential test, made as small as it could; each holds the packet,
//! what the kernel did, and the listings of the rules.

use packet_verdict::{Address, Hook, Outcome, Packet, Route, judge, parse};
use std::net::IpAddr;

/// The host of the differential test: eth0 towards the client, eth1 behind it.
fn host(packet: &mut Packet) {
    let ip = |s: &str| s.parse::<IpAddr>().expect("an address");
    let (eth0, eth1, routes) = if packet.src.is_ipv4() {
        (["10.77.0.1", "10.77.0.5"], "10.78.0.1", ["10.77.0.0", "10.78.0.0"])
    } else {
        (["fd77::1", "fd77::5"], "fd78::1", ["fd77::", "fd78::"])
    };
    let mut local: Vec<Address> =
        eth0.iter().map(|a| Address { addr: ip(a), dev: Some("eth0".into()) }).collect();
    local.push(Address { addr: ip(eth1), dev: Some("eth1".into()) });
    packet.local = Some(local);
    for (dst, dev) in routes.iter().zip(["eth0", "eth1"]) {
        packet.routes.push(Route { dst: ip(dst), prefix: 16, dev: dev.into() });
    }
    (packet.uid, packet.gid) = (Some(0), Some(0));
    packet.iif = (packet.hook != Hook::Output).then(|| "eth0".into());
}

fn check(name: &str, text: &str) {
    let field = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).expect("a header").trim();
    let words: Vec<&str> = field("packet:").split_whitespace().collect();
    let [hook, src, dst, port] = words.as_slice() else { panic!("{name}: hook, source, destination, port") };
    let mut packet = Packet::new(
        src.parse().expect("an address"),
        dst.parse().expect("an address"),
        port.parse().expect("a port"),
    );
    packet.hook = match *hook {
        "input" => Hook::Input,
        "forward" => Hook::Forward,
        _ => Hook::Output,
    };
    host(&mut packet);
    let listings: Vec<_> = text
        .split("\n=== ")
        .skip(1)
        .map(|piece| {
            let (label, listing) = piece.split_once('\n').expect("a listing");
            parse(label, listing).expect("what a tool printed")
        })
        .collect();
    let verdict = judge(&listings, &packet);
    let said = match verdict.outcome {
        Outcome::Reject(Some(how)) => format!("reject {}", how.errno()),
        other => other.word().to_owned(),
    };
    assert_eq!(said, field("kernel:"), "{name}: {}", verdict.because);
}

#[test]
fn none_comes_back() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel_said");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).expect("the directory") {
        let path = entry.expect("an entry").path();
        check(&path.display().to_string(), &std::fs::read_to_string(&path).expect("text"));
        seen += 1;
    }
    assert!(seen > 0);
}
