//! Many events of the whole machine at little cost: the binary pages of a private trace instance.
//!
//! The kernel filters; a page has some fifty events and is taken by one read, without being put into words
//! (Documentation/trace/ring-buffer-design; the page's form is that of `events/header_page`, the events' that of
//! `include/linux/ring_buffer.h`, struct ring_buffer_event).

use super::trace::Instance;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// Kernel memory for all CPUs together, in KiB; a stall of seconds at thousands of events a second fits.
const BUFFERS_KB: usize = 24 << 10;
/// Bounds of one CPU's share.
const SHARE_KB: (usize, usize) = (256, 6 << 10);
/// More CPUs than any machine has.
const CPUS_MAX: usize = 8192;
/// Largest page: `buffer_subbuf_size_kb` is 4 by default, the machine's page size at least.
const PAGE_MAX: usize = 64 << 10;
/// TRACE_FLAG_SOFTIRQ (include/linux/trace_events.h): it happened in a softirq, whoever ran then.
const SOFTIRQ: u8 = 0x10;

/// Where a field stands in an event: offset and size.
type Fields = BTreeMap<String, (usize, usize)>;

/// One event as it happened.
#[derive(Debug)]
pub struct Record<'a> {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub at_ns: u64,
    /// Which of the events that were asked for, by its place in the list.
    pub event: usize,
    /// The thread that ran, also when a softirq interrupted it.
    pub tid: u32,
    /// In a softirq.
    pub softirq: bool,
    body: &'a [u8],
    fields: &'a Fields,
}

impl Record<'_> {
    /// The bytes of a field; none when this kernel's event has no such field.
    pub fn bytes(&self, field: &str) -> Option<&[u8]> {
        let (offset, size) = self.fields.get(field)?;
        self.body.get(*offset..offset.checked_add(*size)?)
    }

    /// A field as a number.
    pub fn number(&self, field: &str) -> Option<u64> {
        let bytes = self.bytes(field)?;
        Some(match bytes.len() {
            1 => u64::from(*bytes.first()?),
            2 => u64::from(u16::from_ne_bytes(bytes.try_into().ok()?)),
            4 => u64::from(u32::from_ne_bytes(bytes.try_into().ok()?)),
            8 => u64::from_ne_bytes(bytes.try_into().ok()?),
            _ => return None,
        })
    }
}

/// Events being recorded. Fields are dropped in order: the pipes before the instance.
#[derive(Debug)]
pub struct Recorder {
    pipes: Vec<(usize, File)>,
    /// By the event's number in this kernel: its place in the list, and its fields.
    layouts: BTreeMap<u16, (usize, Fields)>,
    page: Vec<u8>,
    instance: Instance,
}

impl Recorder {
    /// Starts recording events (`sock/inet_sock_set_state`) with their filters. The first must exist; of the others, those
    /// that this kernel has. Everything is to be done on the calling
    /// thread, which is best one of its own: it may get its own mount namespace.
    pub fn start(purpose: &str, events: &[(&str, &str)]) -> std::io::Result<Self> {
        let instance = Instance::new(purpose)?;
        let mut cpus: Vec<usize> = super::list(instance.dir.join("per_cpu"), CPUS_MAX)?
            .iter()
            .filter_map(|n| n.to_str()?.strip_prefix("cpu")?.parse().ok())
            .collect();
        cpus.sort_unstable();
        let share = (BUFFERS_KB / cpus.len().max(1)).clamp(SHARE_KB.0, SHARE_KB.1);
        instance.set("buffer_size_kb", &share.to_string())?;
        // Comparable over CPUs, and with our own clock.
        instance.set("trace_clock", "mono")?;
        // Older kernels (before 5.0) have no such file and wake at any event.
        drop(instance.set("buffer_percent", "0"));
        let mut layouts = BTreeMap::new();
        let known = |(place, (event, _)): &(usize, &(&str, &str))| {
            *place == 0 || instance.dir.join("events").join(event).is_dir()
        };
        let events: Vec<_> = events.iter().enumerate().filter(known).collect();
        for (place, (event, filter)) in &events {
            let (place, dir) = (*place, format!("events/{event}"));
            let format = super::read_text(instance.dir.join(&dir).join("format"), 64 << 10)?;
            let (id, fields) = layout(&format).ok_or(std::io::ErrorKind::InvalidData)?;
            layouts.insert(id, (place, fields));
            instance.set(&format!("{dir}/filter"), filter)?;
        }
        let mut pipes = Vec::new();
        for cpu in cpus {
            pipes.push((cpu, instance.pipe(&format!("per_cpu/cpu{cpu}/trace_pipe_raw"))?));
        }
        for (_, (event, _)) in &events {
            instance.set(&format!("events/{event}/enable"), "1")?;
        }
        let kb = super::read_text(instance.dir.join("buffer_subbuf_size_kb"), 40).ok();
        let kb = kb.and_then(|t| t.trim().parse::<usize>().ok()).unwrap_or(4);
        let page = vec![0; (kb << 10).clamp(4 << 10, PAGE_MAX)];
        Ok(Self { pipes, layouts, page, instance })
    }

    /// Waits until there are events or `stop` can be read, at most so long; true when `stop` can be read.
    pub fn wait(&self, stop: BorrowedFd<'_>, limit: Duration) -> bool {
        let mut fds: Vec<PollFd<'_>> =
            self.pipes.iter().map(|(_, pipe)| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
        fds.push(PollFd::new(stop, PollFlags::POLLIN));
        let ms = PollTimeout::try_from(limit.as_millis()).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, ms).is_ok()
            && fds.last().and_then(PollFd::revents).is_some_and(|r| r.contains(PollFlags::POLLIN))
    }

    /// Takes what there is, CPU after CPU; times are in order only within one. Ends at the deadline at the latest.
    pub fn read(&mut self, deadline: Instant, sink: &mut impl FnMut(&Record<'_>)) {
        for (_, pipe) in &mut self.pipes {
            while let Ok(size) = pipe.read(&mut self.page) {
                let page = self.page.get(..size).unwrap_or_default();
                if size == 0 || events(page, &self.layouts, sink).is_none() || super::now() >= deadline {
                    break;
                }
            }
        }
    }

    /// Events the kernel had no room for, since the start.
    pub fn lost(&self) -> u64 {
        let stats = self.pipes.iter().filter_map(|(cpu, _)| {
            super::read_text(self.instance.dir.join(format!("per_cpu/cpu{cpu}/stats")), 4 << 10).ok()
        });
        stats.map(|text| lost_in(&text)).sum()
    }

    /// The name of a thread that may be gone already, as the tracer saved it.
    pub fn saved_name(&self, tid: u32) -> Option<String> {
        let saved = super::read_text(self.instance.dir.parent()?.parent()?.join("saved_cmdlines"), 64 << 10);
        let saved = saved.ok()?;
        let name =
            saved.lines().find_map(|l| l.trim_start().strip_prefix(&tid.to_string())?.strip_prefix(' '))?;
        Some(name.to_owned()).filter(|n| n != "<...>" && !n.is_empty())
    }
}

/// `overrun` were overwritten unread, `dropped events` and `commit overrun` not written.
fn lost_in(stats: &str) -> u64 {
    let counted = |line: &str| match line.split_once(": ")? {
        ("overrun" | "dropped events" | "commit overrun", n) => n.trim().parse::<u64>().ok(),
        _ => None,
    };
    stats.lines().filter_map(counted).sum()
}

/// `ID: 2287` and `field:int oldstate; offset:16; size:4; signed:1;` of an event's `format`.
fn layout(format: &str) -> Option<(u16, Fields)> {
    let id = format.lines().find_map(|l| l.strip_prefix("ID: "))?.trim().parse().ok()?;
    let fields = format.lines().filter_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
        let name = parts.next()?.rsplit([' ', '*']).next()?.split('[').next()?;
        let offset = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
        let size = parts.next()?.strip_prefix("size:")?.parse().ok()?;
        Some((name.to_owned(), (offset, size)))
    });
    Some((id, fields.collect()))
}

/// A word of the page.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The two bit fields of an event's first word; the compiler lays them out from the other end on big-endian machines.
fn head(word: u32) -> (u32, u64) {
    if cfg!(target_endian = "little") {
        (word & 31, u64::from(word >> 5))
    } else {
        (word >> 27, u64::from(word & 0x7ff_ffff))
    }
}

/// The events of one page. None: the page makes no sense from there on.
fn events(
    page: &[u8],
    layouts: &BTreeMap<u16, (usize, Fields)>,
    sink: &mut impl FnMut(&Record<'_>),
) -> Option<()> {
    let mut time = u64::from_ne_bytes(page.get(..8)?.try_into().ok()?);
    // local_t is a long; the upper bits tell of missed events (RB_MISSED_EVENTS), which the statistics count.
    let commit = u64::from_ne_bytes(page.get(8..16)?.try_into().ok()?);
    let data = page.get(16..)?;
    let data = data.get(..(commit & 0xf_ffff) as usize)?;
    let mut at = 0;
    while at < data.len() {
        let (kind, delta) = head(word(data, at)?);
        let (from, size) = match kind {
            // Padding without a length fills the rest of the page.
            29 if delta == 0 => return Some(()),
            29 => (at + 4, word(data, at + 4)? as usize),
            // RINGBUF_TYPE_TIME_EXTEND: more bits of the difference.
            30 => {
                time = time.wrapping_add((u64::from(word(data, at + 4)?) << 27) + delta);
                at += 8;
                continue;
            }
            // RINGBUF_TYPE_TIME_STAMP: 59 bits of the time itself.
            31 => {
                let low = (u64::from(word(data, at + 4)?) << 27) + delta;
                time = (time & (0x1f << 59)) | low;
                at += 8;
                continue;
            }
            // The length is a word of its own and counts itself.
            0 => (at + 8, (word(data, at + 4)? as usize).checked_sub(4)?),
            words => (at + 4, words as usize * 4),
        };
        time = time.wrapping_add(delta);
        let end = from.checked_add(size)?;
        let body = data.get(from..end)?;
        at = end.next_multiple_of(4);
        if kind == 29 {
            continue;
        }
        // struct trace_entry: type, flags, preempt count, pid.
        let (Some(id), Some(flags), Some(tid)) = (body.first_chunk::<2>(), body.get(2), word(body, 4)) else {
            continue;
        };
        if let Some((event, fields)) = layouts.get(&u16::from_ne_bytes(*id)) {
            sink(&Record { at_ns: time, event: *event, tid, softirq: flags & SOFTIRQ != 0, body, fields });
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Fields, events, layout, lost_in};
    use std::collections::BTreeMap;

    const FORMAT: &str = "name: x\nID: 7\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;\n\tfield:__u8 daddr[4];\toffset:16;\tsize:4;\tsigned:0;\n";

    fn layouts() -> BTreeMap<u16, (usize, Fields)> {
        let (id, fields) = layout(FORMAT).expect("a format");
        BTreeMap::from([(id, (0, fields))])
    }

    fn page(words: &[u32]) -> Vec<u8> {
        let mut bytes = 1000u64.to_ne_bytes().to_vec();
        bytes.extend((words.len() as u64 * 4).to_ne_bytes());
        bytes.extend(words.iter().flat_map(|w| w.to_ne_bytes()));
        bytes.resize(4096, 0);
        bytes
    }

    /// An event of 20 bytes: type 7, softirq, pid 812, skaddr 5, daddr 127.0.0.1.
    fn event(delta: u32) -> Vec<u32> {
        vec![5 | delta << 5, 7 | 0x10 << 16, 812, 5, 0, u32::from_ne_bytes([127, 0, 0, 1])]
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_page() {
        let mut words = event(2);
        // A time extend of 1 << 27, padding of one word, another event, and the rest void.
        words.extend([30, 1]);
        words.extend([29 | 1 << 5, 4]);
        words.extend(event(3));
        words.extend([29, 0, 0]);
        let mut seen = Vec::new();
        let took = events(&page(&words), &layouts(), &mut |r| {
            seen.push((r.at_ns, r.tid, r.softirq, r.number("skaddr"), r.bytes("daddr").map(<[u8]>::to_vec)));
        });
        assert!(took.is_some());
        let one = |at| (at, 812, true, Some(5), Some(vec![127, 0, 0, 1]));
        assert_eq!(seen, [one(1002), one(1002 + (1 << 27) + 1 + 3)]);
    }

    #[test]
    fn pages_that_make_no_sense_end() {
        for words in
            [vec![0, u32::MAX], vec![28], vec![0, 0], vec![29 | 1 << 5, u32::MAX], vec![31], vec![1, 2]]
        {
            let _ = events(&page(&words), &layouts(), &mut |_| {});
        }
        assert!(events(&[1; 10], &layouts(), &mut |_| {}).is_none());
        let mut long = page(&[]);
        long[8..16].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert!(events(&long, &layouts(), &mut |_| {}).is_none());
    }

    #[test]
    fn statistics() {
        let stats = "entries: 9\noverrun: 3\ncommit overrun: 1\nbytes: 52\noldest event ts:  5.1\nnow ts:  6.0\n\
            dropped events: 2\nread events: 4\n";
        assert_eq!(lost_in(stats), 6);
    }
}
