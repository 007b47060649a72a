//! The two ends of a look: where each side was seen from, and which handshakes were on the wire there.

use super::Says;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The machine at one end, and how it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// As it was asked for: `ssh:app@db`, `local`, `pid:812`.
    pub asked: String,
    /// What a shell line for that machine begins with: `ssh app@db`; empty for this one.
    pub shell: String,
    /// The machine's own name.
    pub hostname: String,
    /// The kernel's boot id: two ends with the same one are one machine.
    pub boot: Option<String>,
    /// Inode of the network namespace there.
    pub netns: Option<u64>,
    /// Maker of the machine as its firmware tells it: `Amazon EC2`, `QEMU`.
    pub vendor: Option<String>,
    /// Which nopong looked: the one installed there, or a copy of this one.
    pub by: String,
}

impl Place {
    /// What it is called in sentences: `db` for `ssh:app@db`, else `this machine`.
    pub fn called(&self) -> String {
        match self.asked.split_once(':') {
            Some(("ssh", what)) => {
                let what = what.trim_start_matches("//");
                what.rsplit_once('@').map_or(what, |(_, host)| host).to_owned()
            }
            Some(_) => self.asked.clone(),
            None => "this machine".to_owned(),
        }
    }

    /// It was reached over a wire; its network need not be the one nopong runs in.
    pub fn far(&self) -> bool {
        !self.shell.is_empty()
    }

    /// The same machine and the same network namespace; none when that is not known.
    pub fn same(&self, other: &Self) -> Option<bool> {
        let (a, b) = (self.boot.as_ref()?, other.boot.as_ref()?);
        Some(a == b && self.netns? == other.netns?)
    }
}

/// The handshakes of one connection, counted at one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// Who sent the SYN, as seen there.
    pub client: SocketAddr,
    /// To whom.
    pub server: SocketAddr,
    /// The interface.
    pub dev: String,
    /// It is surely one of our attempts: source and destination are those of a dial.
    pub ours: bool,
    /// SYNs that came in.
    pub syn_in: u32,
    /// SYNs that went out.
    pub syn_out: u32,
    /// SYN-ACKs that came in.
    pub ack_in: u32,
    /// SYN-ACKs that went out.
    pub ack_out: u32,
    /// RSTs that came in.
    pub rst_in: u32,
    /// RSTs that went out.
    pub rst_out: u32,
    /// The interface by which the SYN-ACK left, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
}

/// What was on the wire at one end while the client dialled. Netfilter comes after this look for what comes in, and before it
/// for what goes out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshakes {
    /// Our own attempts to the target, and what may be one of them behind an address translation.
    pub target: Vec<Handshake>,
    /// Attempts from the client's address to other ports of the address dialled.
    pub other_ports: Vec<Handshake>,
    /// Further connections to the target's port that came about or were refused as usual.
    pub others: u32,
    /// Packets were lost to the look, or there were too many: what is not in it may have been there.
    pub incomplete: bool,
    /// A program in front of the kernel's network stack (XDP) may have taken packets unseen.
    pub xdp: bool,
}

impl Says for Handshake {
    fn says(&self) -> String {
        let count = |n: u32, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let parts: Vec<String> = [
            count(self.syn_out, "SYN out"),
            count(self.syn_in, "SYN in"),
            count(self.ack_out, "SYN-ACK out"),
            count(self.ack_in, "SYN-ACK in"),
            count(self.rst_out, "RST out"),
            count(self.rst_in, "RST in"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let other = self.answered_by.as_ref().map(|dev| format!(" by {dev}")).unwrap_or_default();
        format!("{} to {} on {}: {}{other}", self.client, self.server, self.dev, parts.join(", "))
    }
}

impl Says for Handshakes {
    fn says(&self) -> String {
        let (ours, maybe): (Vec<_>, Vec<_>) = self.target.iter().partition(|h| h.ours);
        let mut text = match ours.as_slice() {
            [] => "no packet of our own attempts".to_owned(),
            [first] => first.says(),
            [first, rest @ ..] => format!("{}; and {} more of ours", first.says(), rest.len()),
        };
        if !maybe.is_empty() {
            text.push_str(&format!("; {} that may be ours behind a translation of addresses", maybe.len()));
        }
        if !self.other_ports.is_empty() {
            let mut ports: Vec<u16> = self.other_ports.iter().map(|h| h.server.port()).collect();
            ports.sort_unstable();
            ports.dedup();
            let ports: Vec<String> = ports.iter().take(5).map(ToString::to_string).collect();
            text.push_str(&format!("; our attempts to port {} are there", ports.join(", ")));
        }
        if self.incomplete {
            text.push_str("; not all packets were seen");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn places_are_called_by_their_host() {
        let called = |asked: &str| Place { asked: asked.to_owned(), ..Place::default() }.called();
        assert_eq!(called("ssh:app@db"), "db");
        assert_eq!(called("ssh:db"), "db");
        assert_eq!(called("ssh://app@db:2222"), "db:2222");
        assert_eq!(called("local"), "this machine");
        assert_eq!(called("pid:7"), "pid:7");
    }

    #[test]
    fn one_machine_is_one_kernel_and_one_network() {
        let place =
            |boot: &str, netns| Place { boot: Some(boot.to_owned()), netns: Some(netns), ..Place::default() };
        assert_eq!(place("a", 1).same(&place("a", 1)), Some(true));
        assert_eq!(place("a", 1).same(&place("a", 2)), Some(false));
        assert_eq!(place("a", 1).same(&Place::default()), None);
    }
}
