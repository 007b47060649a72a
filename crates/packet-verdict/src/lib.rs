//! What a firewall does with one connection, and which rule does it.
//!
//! Reads `nft -j list ruleset` and `iptables-save`, `ip6tables-save` (and `ipset save`) into one model, and walks a
//! packet through it as the kernel would: every base chain of every hook on its way, in order of priority, with
//! jumps, sets, maps, marks and translated destinations. What cannot be known beforehand (a rate limit's bucket,
//! the client's source port, an expression of a kind not understood) makes the verdict undecided only where it can
//! change the outcome.
//!
//! It does no IO: text in, verdict out. It does not know the clouds' firewalls, nor what happens below the hooks
//! (tc, XDP, eBPF) or above them (TCP itself).

mod clock;
mod combine;
mod exercise;
mod insert;
mod ipset;
mod iptables;
mod judge;
mod model;
mod nft;
mod owner;
mod packet;
mod parse;
mod set;
mod ufw;
mod usual;
mod value;

pub use clock::Clock;
pub use exercise::{exercise_iptables, exercise_nft};
pub use insert::{Allow, Place};
pub use judge::{Need, Outcome, Passed, RuleRef, Verdict, judge, rule_by_handle};
pub use model::{Kind, Reject, Ruleset};
pub use owner::Owner;
pub use packet::{Address, CtState, Hook, Packet, Route};
pub use parse::{ParseError, parse};
pub use ufw::number_ufw;
