//! One connect(): errno, time, and (as root) what exactly answered.

use crate::evidence::client::{Dial, DialOutcome};
use crate::sys;
use crate::sys::net::{Connecting, Stream};
use std::net::SocketAddr;
use std::time::Duration;

/// Dials one address.
pub(super) fn dial(to: SocketAddr, limit: Duration) -> (Dial, Option<Stream>) {
    let before = sys::now();
    let deadline = before + limit;
    let mut dial = Dial {
        to,
        outcome: DialOutcome::TimedOut,
        took_ms: 0.0,
        from: None,
        icmp: None,
        rst: None,
        reach: None,
        watched: false,
    };
    let mut stream = None;
    match Connecting::start(to, None) {
        Err(e) => dial.outcome = outcome_of(&e),
        Ok(mut connecting) => {
            dial.from = connecting.from;
            match connecting.wait(deadline) {
                None => {}
                Some(Err(e)) => dial.outcome = outcome_of(&e),
                Some(Ok(())) => {
                    dial.outcome = DialOutcome::Connected;
                    stream = connecting.stream(deadline).ok();
                }
            }
        }
    }
    dial.took_ms = before.elapsed().as_secs_f64() * 1e3;
    (dial, stream)
}

/// An IO error as an outcome.
pub(super) fn outcome_of(error: &std::io::Error) -> DialOutcome {
    if error.raw_os_error().is_none() && error.kind() == std::io::ErrorKind::TimedOut {
        return DialOutcome::TimedOut;
    }
    DialOutcome::Errno { errno: sys::errno_name(error) }
}
