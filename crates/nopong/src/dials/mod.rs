//! Who on this machine dials Redis, which address, and what becomes of it.
//!
//! As root the kernel tells every change of state of every TCP socket, containers included, filtered by port in the kernel.
//! Without root the sockets of one's own network namespace are sampled; connects shorter than the pause between two
//! samples may be missed, which the report says.

mod follow;
mod sample;
mod table;
mod trace;
mod who;

pub use table::{Line, Outcome, Told};
pub use who::{Setting, Who};

use crate::evidence::Why;
use crate::sys;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What is dialled to be of interest.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Remote ports; empty: every port.
    pub ports: BTreeSet<u16>,
    /// Remote addresses; empty: every address.
    pub addresses: Vec<IpAddr>,
}

/// Ports of Redis and its kin: the default, its usual neighbours (TLS, a second instance), Sentinel, the usual cluster.
pub const PORTS: &[u16] = &[6379, 6380, 7000, 7001, 7002, 7003, 7004, 7005, 16379, 26379];

impl Wanted {
    /// Whether a dial to there is of interest.
    fn takes(&self, to: SocketAddr) -> bool {
        (self.ports.is_empty() || self.ports.contains(&to.port()))
            && (self.addresses.is_empty() || self.addresses.contains(&to.ip()))
    }
}

/// What was seen, and how.
#[derive(Debug)]
pub struct Seen {
    /// A line for each process and address, what is wrong first.
    pub lines: Vec<Line>,
    /// Connects seen begin.
    pub attempts: u64,
    /// Of these, connects of processes beyond the bound on lines.
    pub beyond: u64,
    /// How long was looked.
    pub took: Duration,
    /// Events the kernel had no room for.
    pub lost: u64,
    /// Why only samples were taken; none when every connect was traced.
    pub sampled: Option<Why>,
}

/// The process of this machine whose socket has these two ends, where it may be seen.
pub fn owner(local: SocketAddr, remote: SocketAddr) -> Option<Who> {
    sample::owner(local, remote)
}

/// Looks for so long, or until a signal. `live` is told of each first outcome of a process and address.
pub fn watch(
    wanted: &Wanted,
    length: Duration,
    trace: bool,
    live: &mut (dyn FnMut(&Told<'_>) + Send),
) -> Result<Seen, Why> {
    let stop = sys::signals::stop().map_err(|e| sys::why("the signals", &e))?;
    let started = sys::now();
    // A thread of its own: it may get a mount namespace for tracefs.
    let seen = std::thread::scope(|scope| {
        let traced = scope.spawn(|| {
            if !trace {
                return Err(Why::Missing { what: "the trace (--no-trace)".to_owned() });
            }
            trace::watch(wanted, length, &stop, live)
        });
        traced.join().unwrap_or(Err(Why::Panicked))
    });
    let (table, lost, sampled) = match seen {
        Ok((table, lost)) => (table, lost, None),
        Err(why) => (sample::watch(wanted, length, &stop, live)?, 0, Some(why)),
    };
    let took = started.elapsed();
    let (attempts, beyond) = (table.attempts(), table.beyond);
    let mut lines = table.finish();
    who::compare(&mut lines);
    lines.sort_by_key(|l| (l.says().is_none(), std::cmp::Reverse(l.attempts + l.held)));
    Ok(Seen { lines, attempts, beyond, took, lost, sampled })
}
