//! What sees packets before the rules do: XDP programs, and filters of traffic control (tc), by netlink.
//!
//! Programs attached as tcx (Linux 6.6) are listed by bpf(2) alone, and are not seen here.

use super::netfilter::{BUFFER, DONE, ERROR, HEADER, REQUEST_DUMP, attributes, messages, open, text};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::time::Duration;

/// Messages, in the order linux/rtnetlink.h has them.
const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const GET_QDISC: u16 = 38;
const NEW_QDISC: u16 = 36;
const GET_FILTER: u16 = 46;
const NEW_FILTER: u16 = 44;
/// struct ifinfomsg; struct tcmsg.
const LINK: usize = 16;
const TC: usize = 20;
/// IFLA_IFNAME, IFLA_XDP; within the last IFLA_XDP_ATTACHED, IFLA_XDP_PROG_ID (linux/if_link.h).
const IF_NAME: u16 = 3;
const IF_XDP: u16 = 43;
const XDP_ATTACHED: u16 = 2;
const XDP_PROGRAM: u16 = 4;
/// TCA_KIND, TCA_OPTIONS (linux/rtnetlink.h).
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// TC_H_CLSACT with TC_H_MIN_INGRESS, with TC_H_MIN_EGRESS (linux/pkt_sched.h).
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
/// Reads of one dump; a host has some hundred interfaces.
const READS: usize = 256;
/// Interfaces whose filters are asked for.
const DEVICES: usize = 64;
/// Limit of one read.
const READ: Duration = Duration::from_millis(500);

/// Something on an interface that may drop packets and that no listing of rules shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// The interface.
    pub dev: String,
    /// `an XDP program (id 7)`, `2 filters of tc (bpf)`.
    pub what: String,
    /// It sees what comes in; else what goes out.
    pub incoming: bool,
}

/// Looks at every interface of the calling thread's namespace. What cannot be asked is left out.
pub fn look() -> Vec<Below> {
    let mut links = Vec::new();
    dump(&request(GET_LINK, &[0; LINK]), NEW_LINK, |body| links.extend(link(body)));
    let mut found: Vec<Below> = Vec::new();
    for (_, dev, program) in &links {
        if let Some(id) = program {
            let what = match id {
                0 => "an XDP program".to_owned(),
                id => format!("an XDP program (id {id})"),
            };
            found.push(Below { dev: dev.clone(), what, incoming: true });
        }
    }
    // Qdiscs of all interfaces; only these two kinds hold filters that every packet passes.
    let mut filtered = Vec::new();
    dump(&request(GET_QDISC, &[0; TC]), NEW_QDISC, |body| {
        if let Some((index, kind)) = tc(body)
            && matches!(kind.as_str(), "clsact" | "ingress")
            && !filtered.contains(&index)
        {
            filtered.push(index);
        }
    });
    for index in filtered.into_iter().take(DEVICES) {
        let Some((_, dev, _)) = links.iter().find(|(i, ..)| *i == index) else { continue };
        for (parent, incoming) in [(INGRESS, true), (EGRESS, false)] {
            let mut header = [0; TC];
            header[4..8].copy_from_slice(&index.to_ne_bytes());
            header[12..16].copy_from_slice(&parent.to_ne_bytes());
            let mut kinds: Vec<String> = Vec::new();
            dump(&request(GET_FILTER, &header), NEW_FILTER, |body| kinds.extend(filter(body)));
            if !kinds.is_empty() {
                let count = kinds.len();
                kinds.sort();
                kinds.dedup();
                let s = if count == 1 { "" } else { "s" };
                let what = format!("{count} filter{s} of tc ({})", kinds.join(", "));
                found.push(Below { dev: dev.clone(), what, incoming });
            }
        }
    }
    found
}

fn request(kind: u16, header: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + header.len());
    bytes.extend(u32::try_from(HEADER + header.len()).unwrap_or(0).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(header);
    bytes
}

/// Every message of that kind; ends at an error as at the end.
fn dump(request: &[u8], kind: u16, mut each: impl FnMut(&[u8])) {
    let Ok(socket) = open(NETLINK_ROUTE, READ) else { return };
    if socket.send(request, 0).is_err() {
        return;
    }
    let mut buffer = vec![0; BUFFER];
    for _ in 0..READS {
        let Ok(size) = socket.recv(&mut &mut buffer[..], 0) else { return };
        if !each_message(buffer.get(..size).unwrap_or_default(), kind, &mut each) {
            return;
        }
    }
}

/// False where the dump ends.
fn each_message(bytes: &[u8], kind: u16, each: &mut impl FnMut(&[u8])) -> bool {
    let mut any = false;
    for message in messages(bytes) {
        any = true;
        match message.kind {
            DONE | ERROR => return false,
            k if k == kind => each(message.body),
            _ => {}
        }
    }
    any
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

/// Index and name of an interface, and its XDP program where it has one; 0 where its number is not told.
fn link(body: &[u8]) -> Option<(u32, String, Option<u32>)> {
    let index = word(body, 4)?;
    let (mut name, mut program) = (String::new(), None);
    for (kind, content) in attributes(body.get(LINK..)?) {
        match kind {
            IF_NAME => name = text(content),
            IF_XDP => {
                let attached = attributes(content).any(|(k, c)| k == XDP_ATTACHED && c.first() > Some(&0));
                let id = attributes(content).find(|(k, _)| *k == XDP_PROGRAM).and_then(|(_, c)| word(c, 0));
                program = attached.then(|| id.unwrap_or(0));
            }
            _ => {}
        }
    }
    Some((index, name, program))
}

/// The interface and the kind of a qdisc or filter.
fn tc(body: &[u8]) -> Option<(u32, String)> {
    let index = word(body, 4)?;
    let kind = attributes(body.get(TC..)?).find(|(k, _)| *k == KIND).map(|(_, c)| text(c))?;
    Some((index, kind))
}

/// The kind of a filter; what a filter's own head says has no handle, and nothing of what it does.
fn filter(body: &[u8]) -> Option<String> {
    let options = attributes(body.get(TC..)?).any(|(k, c)| k == OPTIONS && !c.is_empty());
    (word(body, 8)? != 0 && options).then(|| tc(body).map(|(_, kind)| kind))?
}

#[cfg(test)]
mod tests {
    use super::{NEW_FILTER, each_message, filter, link, look, tc};
    use crate::sys::netfilter::tests::attribute;

    #[test]
    fn an_interface_with_a_program() {
        let mut body = vec![0; 4];
        body.extend(7u32.to_ne_bytes());
        body.extend([0; 8]);
        body.extend(attribute(3, b"eth0\0"));
        let plain = link(&[body.clone(), attribute(43, &attribute(2, &[0]))].concat());
        assert_eq!(plain, Some((7, "eth0".to_owned(), None)));
        let xdp = [attribute(2, &[2]), attribute(4, &[42, 0, 0, 0])].concat();
        body.extend(attribute(43 | 0x8000, &xdp));
        assert_eq!(link(&body), Some((7, "eth0".to_owned(), Some(42))));
    }

    #[test]
    fn a_filter_and_its_head() {
        let mut head = vec![0; 4];
        head.extend(7u32.to_ne_bytes());
        let mut one = head.clone();
        head.extend([0; 12]);
        one.extend(1u32.to_ne_bytes());
        one.extend([0; 8]);
        head.extend(attribute(1, b"bpf\0"));
        one.extend(attribute(1, b"bpf\0"));
        one.extend(attribute(2, &[0; 8]));
        assert_eq!((filter(&head), tc(&head)), (None, Some((7, "bpf".to_owned()))));
        assert_eq!(filter(&one).as_deref(), Some("bpf"));
    }

    #[test]
    fn cut_off_bytes_end() {
        for length in 0..64 {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            each_message(&bytes, NEW_FILTER, &mut |body| drop((link(body), tc(body), filter(body))));
            drop((link(&bytes), tc(&bytes), filter(&bytes)));
        }
        drop(look());
    }
}
