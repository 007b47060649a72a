//! Any bytes through everything: for the fuzz targets and the tests beside them.

use crate::{CtState, Hook, Packet, Ruleset, judge, parse};
use std::net::IpAddr;

/// Reads the bytes as a listing of `nft -j`, if they are one, and judges a few packets by it.
pub fn exercise_nft(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(ruleset) = crate::nft::read(&text) {
        judge_all(&[ruleset]);
    }
}

/// The same for `iptables-save`, and for `ipset save`.
pub fn exercise_iptables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(ruleset) = crate::iptables::read(&text) {
        judge_all(&[ruleset]);
    }
    if let Ok(ruleset) = parse("fuzz", &text) {
        judge_all(&[ruleset]);
    }
}

fn judge_all(rulesets: &[Ruleset]) {
    let v4 = [IpAddr::from([10, 0, 0, 9]), IpAddr::from([10, 0, 0, 5])];
    let v6 = [IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 9]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 5])];
    for [src, dst] in [v4, v6] {
        for hook in [Hook::Input, Hook::Forward, Hook::Output] {
            let mut packet = Packet::new(src, dst, 6379);
            packet.hook = hook;
            let verdict = judge(rulesets, &packet);
            packet.state = CtState::Established;
            packet.iif = Some("eth0".into());
            let later = judge(rulesets, &packet);
            // Whatever is said can be said: no rule is named that is not there.
            assert!(verdict.because.len() + later.because.len() > 0, "a verdict without a reason");
        }
    }
}
