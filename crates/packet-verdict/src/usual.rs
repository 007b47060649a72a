//! What the SYN of a common system looks like, where no rule on its way changes it; each with what is then taken for granted.

use crate::model::{Changed, Cond, Expr, Field, Op, Usual};

/// Numbers of TCP's options (IANA, TCP Option Kind Numbers) that every common system sends with a SYN.
const SENT: [u128; 4] = [2, 3, 4, 8];
/// Padding, of which a SYN may have any number.
const PADDING: [u128; 2] = [0, 1];

fn usual(first: u128, last: u128, what: &'static str, says: &'static str) -> Usual {
    Usual { first, last, what, says, unless: None, later: false }
}

/// The class of service: DSCP and ECN are its two parts, of 6 and 2 bits.
pub(crate) fn tos() -> Expr {
    let says = "the packet comes without a class of service (DSCP, ECN), as from common systems";
    Expr::Usual(Usual { unless: Some(Changed::Tos), ..usual(0, 0, "the packet's class of service", says) })
}

/// The connection's zone.
pub(crate) fn zone() -> Expr {
    let says = "connections are tracked in the default zone";
    let zone = usual(0, 0, "the connection's zone", says);
    tracked(Expr::Usual(Usual { unless: Some(Changed::Zone), later: true, ..zone }))
}

/// The connection's labels, as bits.
pub(crate) fn labels() -> Expr {
    let says = "no program has put a label on the connection";
    let labels = usual(0, 0, "the connection's labels", says);
    tracked(Expr::Usual(Usual { unless: Some(Changed::Label), later: true, ..labels }))
}

/// The class by which queues sort.
pub(crate) fn priority() -> Expr {
    let says = "the packet has no priority of its own";
    Expr::Usual(Usual { unless: Some(Changed::Priority), ..usual(0, 0, "the packet's priority", says) })
}

/// A value that a packet has only with a connection.
pub(crate) fn tracked(value: Expr) -> Expr {
    Expr::With(vec![Expr::Field(Field::CtDirection)], Box::new(value))
}

/// A field of TCP's header besides ports and flags.
pub(crate) fn tcp_field(name: &str) -> Option<Expr> {
    Some(match name {
        // In words of 32 bits: 5 without options, and four bits (RFC 9293, 3.1).
        "doff" => Expr::Between("the length of the TCP header".into(), 5, 15),
        "urgptr" => Expr::Usual(usual(0, 0, "tcp urgptr", "a SYN carries no urgent data")),
        "ackseq" => Expr::Usual(usual(0, 0, "tcp ackseq", "a SYN acknowledges nothing")),
        "window" => {
            Expr::Usual(usual(1025, 65535, "tcp window", "the client offers a window of over 1024 bytes"))
        }
        _ => return None,
    })
}

/// Whether the SYN has the option: 1 or 0.
pub(crate) fn tcp_option(kind: u128) -> Expr {
    let what = "an option of TCP";
    if SENT.contains(&kind) {
        let says = "a SYN carries the options of common systems (MSS, window scale, SACK, timestamps)";
        Expr::Usual(usual(1, 1, what, says))
    } else if PADDING.contains(&kind) {
        Expr::Between(what.into(), 0, 1)
    } else {
        Expr::Usual(usual(0, 0, what, "a SYN carries no options but those of common systems"))
    }
}

/// Names of TCP's options in nft (tcpopt.c).
pub(crate) fn tcp_option_number(name: &str) -> Option<u128> {
    Some(match name {
        "eol" => 0,
        "nop" | "noop" => 1,
        "maxseg" => 2,
        "window" => 3,
        "sack-permitted" | "sack-perm" => 4,
        "sack" | "sack0" | "sack1" | "sack2" | "sack3" => 5,
        "timestamp" => 8,
        "md5sig" => 19,
        "mptcp" => 30,
        "fastopen" => 34,
        _ => return None,
    })
}

/// That the packet has the field: a statement on one that it lacks ends the rule.
pub(crate) fn present(field: Field) -> Cond {
    Cond::Cmp(Expr::Field(field), Op::Ge, Expr::Const(0))
}

/// Below this a few clients reach a limit of connections: pools hold some ten of them.
const MANY: u64 = 20;

/// `most` connections at once, and whether the rule holds for more than that.
pub(crate) fn connections(most: Option<u64>, over: bool) -> Cond {
    match most {
        // The connection itself counts (nf_conncount_count).
        Some(0) if over => Cond::Not(Box::new(Cond::Never)),
        Some(0) => Cond::Never,
        Some(most) if most >= MANY => {
            Cond::Assumed(!over, format!("there are no more than {most} connections at once"))
        }
        _ => Cond::Unknown("the number of connections".into()),
    }
}
