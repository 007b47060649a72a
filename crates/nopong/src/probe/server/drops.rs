//! Why the kernel dropped our packets: its own drop reason (skb:kfree_skb, Linux 5.17 and newer), for two SYNs of ours.
//!
//! A packet to one's own machine is received in the context of the thread that sends it, so the trace is limited to
//! that thread; what arrives of others in between is told apart by number: a reason counts only if every SYN had it.

use crate::evidence::server::Drops;
use crate::evidence::{CaseFile, Why};
use crate::sys;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// SYNs sent.
const SYNS: u32 = 2;
/// How long each is waited for: a drop happens within the call that sends.
const WAIT: Duration = Duration::from_millis(8);
/// Limit of the whole look.
const LIMIT: Duration = Duration::from_millis(150);
/// Text taken of the trace.
const TRACE_MAX: usize = 256 << 10;

/// Looks, if the dial was refused or timed out. None: it was not, there is nothing to ask.
pub(super) fn target(file: &CaseFile) -> Option<SocketAddr> {
    use crate::evidence::client::DialOutcome;
    let dial = file.client.connect.get()?.first()?;
    match &dial.outcome {
        DialOutcome::TimedOut => Some(dial.to),
        DialOutcome::Errno { errno } if errno == "ECONNREFUSED" || errno == "ETIMEDOUT" => Some(dial.to),
        _ => None,
    }
}

/// Sends the SYNs under the trace.
pub(super) fn look(to: SocketAddr) -> Result<Drops, Why> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Why::NotPermitted { needs: "root (to trace the kernel's drop reasons)".to_owned() });
    }
    sys::bounded(LIMIT, move || {
        let mut trace =
            sys::trace::Trace::start("skb/kfree_skb").map_err(|e| sys::why("/sys/kernel/tracing", &e))?;
        for _ in 0..SYNS {
            drop(sys::net::connect(to, sys::now() + WAIT));
        }
        let text = trace.read(TRACE_MAX);
        drop(trace);
        let reasons = reasons(&text, if to.is_ipv6() { 0x86dd } else { 0x0800 });
        if reasons.is_empty() {
            return Err(Why::Garbled { what: "the trace shows no packet that is surely ours".to_owned() });
        }
        Ok(Drops { reasons })
    })
}

/// Reasons that every SYN met. A line ends in `protocol=2048 location=… reason: NETFILTER_DROP`.
fn reasons(trace: &str, protocol: u16) -> BTreeMap<String, u32> {
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let protocol = format!("protocol={protocol} ");
    for line in trace.lines().filter(|l| l.contains("kfree_skb:") && l.contains(&protocol)) {
        let Some((_, reason)) = line.rsplit_once("reason: ") else { continue };
        let known = reason.trim();
        // Not specified is what is freed in the ordinary course.
        if known != "NOT_SPECIFIED"
            && known.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        {
            *found.entry(known.to_owned()).or_default() += 1;
        }
    }
    found.retain(|_, count| *count >= SYNS);
    found
}

#[cfg(test)]
mod tests {
    use super::{look, reasons};

    #[test]
    fn only_what_every_syn_met() {
        let line = |reason: &str, protocol: u16| {
            format!(
                "nopong-7 [000] b.s1. 5.1: kfree_skb: skbaddr=00000000a rx_sk=0 protocol={protocol} location=tcp_v4_rcv+0x1 reason: {reason}\n"
            )
        };
        let trace = [
            line("NO_SOCKET", 2048),
            line("NETFILTER_DROP", 2048),
            line("NO_SOCKET", 2048),
            line("NOT_SPECIFIED", 2048),
            line("NOT_SPECIFIED", 2048),
            line("NO_SOCKET", 34525),
        ]
        .concat();
        let found = reasons(&trace, 2048);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("NO_SOCKET".to_owned(), 2)]);
        assert!(reasons("", 2048).is_empty());
    }

    #[test]
    fn a_closed_port_has_no_socket_or_it_is_said_why_not() {
        // Port 1 (tcpmux) is closed on any machine a test runs on.
        match look("127.0.0.1:1".parse().expect("address")) {
            Ok(drops) => assert!(drops.reasons.contains_key("NO_SOCKET"), "{drops:?}"),
            Err(why) => assert!(!why.to_string().is_empty()),
        }
        let left = crate::sys::list("/sys/kernel/tracing/instances", 100).unwrap_or_default();
        let ours = format!("nopong-{}-drops", std::process::id());
        assert!(!left.iter().any(|name| name.to_string_lossy() == ours));
    }
}
