//! What two ends of one look tell together: whether the host that was read is the one that was dialled, and what became of
//! our SYN on the way.

use crate::evidence::ends::{Handshake, Handshakes, Place};
use crate::evidence::{CaseFile, Server};
use std::net::IpAddr;

/// The way of our SYN, as the Redis host's end saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journey<'a> {
    /// Nobody watched there, or what was seen does not decide.
    Unknown,
    /// It came in.
    Arrived {
        /// What was counted there.
        there: &'a Handshake,
        /// The SYN-ACK was seen to come in at the client; none when nobody watched there.
        back: Option<bool>,
    },
    /// It did not, though the address is that host's and its wire was watched.
    Lost {
        /// It was seen to leave the client; none when nobody watched there.
        left: Option<bool>,
        /// Our SYNs to other ports of the address came in.
        others: bool,
    },
}

/// The two ends, where they are different machines or networks.
pub(crate) fn apart(file: &CaseFile) -> Option<(&Place, &Place)> {
    let (client, server) = (file.client_at.as_ref()?, file.server_at.as_ref()?);
    (client.same(server) != Some(true)).then_some((client, server))
}

/// The host that was read has the address dialled. None: not both ends were seen, or its addresses were not.
pub(crate) fn owned(file: &CaseFile) -> Option<bool> {
    apart(file)?;
    let own = file.server.address.get()?;
    let dials = file.client.connect.get()?;
    let mine = |ip: IpAddr| {
        let ip = ip.to_canonical();
        // Everybody has a loopback address, and the client's is the client itself.
        !ip.is_loopback() && own.iter().any(|a| a.address.to_canonical() == ip)
    };
    (!dials.is_empty()).then(|| dials.iter().any(|d| mine(d.to.ip())))
}

/// What became of the SYN.
pub(crate) fn journey(file: &CaseFile) -> Journey<'_> {
    let (Some(_), Some(syn)) = (apart(file), file.server.syn.get()) else { return Journey::Unknown };
    let dials = file.client.connect.get().map_or(&[][..], Vec::as_slice);
    let client = file.client.syn.get();
    // The client's address and port survive where only the destination was translated.
    let surely = |h: &&Handshake| h.ours || dials.iter().any(|d| d.from == Some(h.client));
    let mut arrived = syn.target.iter().filter(surely).filter(|h| h.syn_in > 0);
    if let Some(first) = arrived.next() {
        let there = arrived.fold(first, |best, h| if h.ack_out > best.ack_out { h } else { best });
        let back = client.and_then(|c| counted(c, |h| h.ack_in));
        return Journey::Arrived { there, back };
    }
    // A translation of both ends, packets that were not seen, a source that is not known: nothing follows.
    let maybe = syn.target.iter().any(|h| h.syn_in > 0);
    let known = dials.iter().all(|d| d.from.is_some());
    if maybe || syn.incomplete || syn.xdp || !known || owned(file) != Some(true) {
        return Journey::Unknown;
    }
    let left = client.and_then(|c| counted(c, |h| h.syn_out));
    Journey::Lost { left, others: syn.other_ports.iter().any(|h| h.syn_in > 0) }
}

/// Whether there was any among our own; none when some may have been missed.
fn counted(seen: &Handshakes, what: impl Fn(&Handshake) -> u32) -> Option<bool> {
    let any = seen.target.iter().any(|h| h.ours && what(h) > 0);
    (any || !seen.incomplete).then_some(any)
}

/// The file without what was read of a host that this dial has nothing to do with: another machine than the one dialled, or
/// one that the SYN never came to. None: it has to do with it, as far as is known.
pub(super) fn without_server(file: &CaseFile) -> Option<CaseFile> {
    let stranger = owned(file) == Some(false) && !matches!(journey(file), Journey::Arrived { .. });
    if !stranger && !matches!(journey(file), Journey::Lost { .. }) {
        return None;
    }
    let Server { address, standing, syn, .. } = file.server.clone();
    Some(CaseFile { server: Server { address, standing, syn, ..Server::default() }, ..file.clone() })
}

#[cfg(test)]
mod tests {
    use super::{Journey, journey, owned, without_server};
    use crate::cause::testing::{apart, handshake, refused, timed_out, watched};

    #[test]
    fn one_end_tells_nothing() {
        assert_eq!((owned(&timed_out()), journey(&timed_out())), (None, Journey::Unknown));
        assert!(without_server(&timed_out()).is_none());
    }

    #[test]
    fn a_host_without_the_address_is_not_the_one_dialled() {
        let file = apart(refused(), "10.0.0.99");
        assert_eq!(owned(&file), Some(false));
        assert!(without_server(&file).is_some_and(|f| f.server.listener.get().is_none()));
        assert_eq!(owned(&apart(refused(), "10.0.0.5")), Some(true));
    }

    #[test]
    fn a_syn_comes_in_or_is_lost() {
        let file = watched(apart(timed_out(), "10.0.0.5"), vec![handshake(true, 2, 0)]);
        assert!(matches!(journey(&file), Journey::Arrived { there, back: None } if there.syn_in == 2));
        let file = watched(apart(timed_out(), "10.0.0.5"), Vec::new());
        assert_eq!(journey(&file), Journey::Lost { left: None, others: false });
        assert!(without_server(&file).is_some());
    }

    #[test]
    fn what_may_be_ours_behind_a_translation_decides_nothing() {
        let file = watched(apart(timed_out(), "10.0.0.5"), vec![handshake(false, 2, 0)]);
        assert_eq!(journey(&file), Journey::Unknown);
        let mut file = watched(apart(timed_out(), "10.0.0.5"), Vec::new());
        if let crate::evidence::Seen::Yes(fact) = &mut file.server.syn {
            fact.value.incomplete = true;
        }
        assert_eq!(journey(&file), Journey::Unknown);
    }
}
