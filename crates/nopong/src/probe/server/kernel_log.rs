//! The kernel's log: OOM kills, crashes and access denials of Redis-like programs.

use crate::evidence::Why;
use crate::evidence::server::{Death, DeathKind, KERNEL_LOG, Mac, MacDenial, OomKill, OomKills, Units};
use crate::sys;
use crate::text;
use serde_json::Value;
use std::time::Duration;

/// Bytes of the ring buffer; usual sizes are 256 KiB to 1 MiB.
const LOG_MAX: usize = 4 << 20;
/// Limit of journalctl.
const JOURNAL: Duration = Duration::from_millis(1500);
/// The end of the audit daemon's own log.
const AUDIT_MAX: u64 = 256 << 10;
/// Entries handed on.
const FOUND_MAX: usize = 20;

/// One record: Unix seconds and text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    at: Option<u64>,
    text: String,
}

/// Reads the log, straight from the kernel as root, else the journal's copy.
pub(super) fn read() -> Result<Vec<Record>, Why> {
    let direct = sys::kernel_log(LOG_MAX);
    if let Ok(bytes) = &direct {
        let records = kmsg(bytes, sys::unix_time(), uptime_us());
        if !records.is_empty() {
            return Ok(records);
        }
    }
    let journal = journal();
    match (journal, direct) {
        (Ok(records), _) if !records.is_empty() => Ok(records),
        (_, Ok(bytes)) if !bytes.is_empty() => Ok(Vec::new()),
        // Containers often lack the device and may still ask by syslog(2), as dmesg does.
        (_, Err(e)) if e.kind() == std::io::ErrorKind::NotFound => dmesg(),
        (_, Err(e)) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Why::NotPermitted { needs: "root (to read the kernel's log)".to_owned() })
        }
        (Err(why), _) => Err(why),
        // A container has no kernel log of its own.
        (Ok(_), _) => Err(Why::Missing { what: "a kernel log".to_owned() }),
    }
}

fn uptime_us() -> u64 {
    let text = sys::read_text("/proc/uptime", 100).unwrap_or_default();
    let seconds: f64 = text.split_whitespace().next().and_then(|s| s.parse().ok()).unwrap_or(0.0);
    (seconds * 1e6) as u64
}

/// Records of /dev/kmsg: `6,339,5140900,-;text`, with microseconds since boot; lines that begin with a blank go on.
fn kmsg(bytes: &[u8], now: u64, uptime: u64) -> Vec<Record> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter_map(|line| {
            let (head, text) = line.split_once(';')?;
            let stamp: u64 = head.split(',').nth(2)?.parse().ok()?;
            let at = now.checked_sub(uptime.checked_sub(stamp)? / 1_000_000);
            interesting(text).then(|| Record { at, text: text.to_owned() })
        })
        .collect()
}

fn journal() -> Result<Vec<Record>, Why> {
    let program = sys::program("journalctl").ok_or(Why::Missing { what: "journalctl".to_owned() })?;
    let program = program.to_string_lossy();
    let argv = [&*program, "-k", "-q", "-o", "json", "-n", "3000", "--no-pager", "--output-fields=MESSAGE"];
    let output = sys::run(&argv, JOURNAL, LOG_MAX)?;
    Ok(output
        .stdout
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let json: Value = serde_json::from_slice(line).ok()?;
            let text = json.get("MESSAGE")?.as_str()?.to_owned();
            let at =
                json.get("__REALTIME_TIMESTAMP").and_then(Value::as_str).and_then(|t| t.parse::<u64>().ok());
            Some(Record { at: at.map(|us| us / 1_000_000), text })
        })
        .collect())
}

fn dmesg() -> Result<Vec<Record>, Why> {
    let program = sys::program("dmesg").ok_or(Why::Missing { what: "a kernel log".to_owned() })?;
    let output = sys::run(&[&*program.to_string_lossy(), "-r"], JOURNAL, LOG_MAX)?;
    if output.stdout.is_empty() {
        return Err(Why::Missing { what: "a kernel log".to_owned() });
    }
    Ok(raw(&output.stdout, sys::unix_time(), uptime_us()))
}

/// Records of `dmesg -r`: `<6>[ 7589.412935] text`, with seconds since boot.
fn raw(bytes: &[u8], now: u64, uptime: u64) -> Vec<Record> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter_map(|line| {
            let (stamp, text) = line.split_once('>')?.1.strip_prefix('[')?.split_once("] ")?;
            let stamp: f64 = stamp.trim().parse().ok()?;
            let age = uptime.checked_sub((stamp * 1e6) as u64).map_or(0, |us| us / 1_000_000);
            interesting(text).then(|| Record { at: now.checked_sub(age), text: text.to_owned() })
        })
        .collect()
}

fn interesting(text: &str) -> bool {
    ["oom", "Killed process", "segfault", "general protection", "trap ", "denied", "DENIED"]
        .iter()
        .any(|word| text.contains(word))
}

fn is_server(comm: &str) -> bool {
    ["redis", "valkey", "keydb", "dragonfly", "kvrocks"].iter().any(|name| comm.starts_with(name))
}

/// OOM kills of servers, newest first.
pub(super) fn oom_kills(records: &[Record], units: Option<&Units>) -> OomKills {
    let mut kills: Vec<OomKill> = Vec::new();
    let mut cgroup: Option<(Option<u32>, String)> = None;
    for record in records {
        // `oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/system.slice/x,task_memcg=/…,task=redis-server,pid=12,uid=1`
        if let Some((_, rest)) = record.text.split_once("oom-kill:") {
            let field = |name: &str| rest.split(',').find_map(|f| f.strip_prefix(name)?.strip_prefix('='));
            let limit = field("constraint").is_some_and(|c| c.contains("MEMCG"));
            let path = field("oom_memcg").or_else(|| field("task_memcg")).unwrap_or_default();
            cgroup = limit.then(|| (field("pid").and_then(|p| p.parse().ok()), text::shown_str(path, 300)));
        } else if let Some((pid, comm)) = killed(&record.text) {
            let limited = record.text.contains("Memory cgroup out of memory");
            let path = cgroup.take().filter(|(of, _)| of.is_none() || *of == Some(pid)).map(|(_, path)| path);
            if is_server(&comm) {
                let cgroup = path.or_else(|| limited.then(|| "a memory cgroup".to_owned()));
                kills.push(OomKill { pid: Some(pid), comm, cgroup, at: record.at });
            }
        }
    }
    // What systemd knows without the kernel's log.
    for unit in units.into_iter().flat_map(|u| &u.units).filter(|u| u.result == "oom-kill") {
        let told = kills.iter().any(|k| match (k.at, unit.stopped_at) {
            (Some(at), Some(stopped)) => at.abs_diff(stopped) <= 10,
            _ => k.cgroup.as_deref().is_some_and(|c| c.contains(&unit.name)),
        });
        if !told {
            let program =
                unit.exec_start.first().map_or("redis-server", |p| p.rsplit('/').next().unwrap_or(p));
            let cgroup = unit.memory_max.map(|_| unit.name.clone());
            kills.push(OomKill { pid: None, comm: program.to_owned(), cgroup, at: unit.stopped_at });
        }
    }
    kills.reverse();
    kills.truncate(FOUND_MAX);
    OomKills { kills }
}

/// `Out of memory: Killed process 1234 (redis-server) total-vm:…`; `Kill process` before Linux 4.20.
fn killed(said: &str) -> Option<(u32, String)> {
    let rest = said.split_once("Killed process ").or_else(|| said.split_once("Kill process "))?.1;
    let (pid, rest) = rest.split_once(' ')?;
    let comm = rest.strip_prefix('(')?.split(')').next()?;
    Some((pid.parse().ok()?, text::shown_str(comm, 32)))
}

/// Crashes of servers that the kernel noted: `redis-server[12]: segfault at 0 ip … error 4 in redis-server[…]`, and traps.
pub(super) fn crashes(records: &[Record]) -> Vec<Death> {
    let mut found: Vec<Death> = records
        .iter()
        .rev()
        .filter_map(|record| {
            let said = record.text.strip_prefix("traps: ").unwrap_or(&record.text);
            let (comm, rest) = said.split_once('[')?;
            let (pid, what) = rest.split_once(']')?;
            let what = what.trim_start_matches(':').trim_start();
            let how = ["segfault at", "general protection", "trap invalid opcode", "trap divide error"]
                .iter()
                .find(|how| what.starts_with(**how))?;
            // An opcode the processor does not know: the program is built for another.
            let kind = if how.contains("opcode") { DeathKind::ExecFailed } else { DeathKind::Crashed };
            is_server(comm).then(|| Death {
                kind,
                text: text::shown_str(said, 300),
                detail: Some((*how).trim_end_matches(" at").to_owned()),
                file: None,
                line: None,
                source: KERNEL_LOG.to_owned(),
                at: record.at,
                pid: pid.parse().ok(),
                last: false,
            })
        })
        .collect();
    found.truncate(FOUND_MAX);
    found
}

/// SELinux and AppArmor: modes, profiles, denials.
pub(super) fn mac(records: Result<&[Record], &Why>) -> Result<Mac, Why> {
    let enforce = sys::read_text("/sys/fs/selinux/enforce", 16).ok();
    let selinux = enforce.map(|e| if e.trim() == "1" { "enforcing" } else { "permissive" }.to_owned());
    let enabled =
        sys::read_text("/sys/module/apparmor/parameters/enabled", 16).is_ok_and(|t| t.trim() == "Y");
    if selinux.is_none() && !enabled {
        return Ok(Mac::default());
    }
    // Only root may read which profiles are loaded.
    let profiles = sys::read_text("/sys/kernel/security/apparmor/profiles", 1 << 20).unwrap_or_default();
    let apparmor = profiles
        .lines()
        .filter(|l| l.ends_with("(enforce)") && ["redis", "valkey", "keydb"].iter().any(|n| l.contains(n)))
        .map(|l| text::shown_str(l.trim_end_matches("(enforce)").trim(), 200))
        .take(FOUND_MAX)
        .collect();
    let audit = sys::read_tail("/var/log/audit/audit.log", AUDIT_MAX).unwrap_or_default();
    let audit = String::from_utf8_lossy(&audit);
    let lines = audit.lines().chain(records.unwrap_or(&[]).iter().map(|r| r.text.as_str()));
    let mut denials: Vec<MacDenial> = lines.filter_map(denial).collect();
    if denials.is_empty()
        && audit.is_empty()
        && let Err(why) = records
    {
        return Err(why.clone());
    }
    denials.sort_by_key(|d| std::cmp::Reverse(d.at));
    denials.dedup();
    denials.truncate(FOUND_MAX);
    Ok(Mac { selinux, apparmor, denials })
}

/// `avc:  denied  { name_bind } for  pid=1 comm="redis-server" src=6380 … tclass=tcp_socket`, or
/// `apparmor="DENIED" operation="open" … name="/x" pid=1 comm="redis-server" …`.
fn denial(said: &str) -> Option<MacDenial> {
    let field = |name: &str| {
        let rest = said.split_once(&format!(" {name}="))?.1;
        let value = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => rest.split(' ').next()?,
        };
        Some(text::shown_str(value, 300))
    };
    let comm = field("comm")?;
    if !is_server(&comm) {
        return None;
    }
    let at = said.split_once("audit(").and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    if let Some((_, rest)) = said.split_once("denied  {") {
        let operation = rest.split('}').next()?.trim().to_owned();
        let port = field("src").or_else(|| field("dest")).map(|p| format!("port {p}"));
        let object = port.or_else(|| field("path")).or_else(|| field("name")).or_else(|| field("tclass"))?;
        return Some(MacDenial { system: "selinux".to_owned(), comm, operation, object, at });
    }
    said.contains("apparmor=\"DENIED\"").then(|| MacDenial {
        system: "apparmor".to_owned(),
        comm,
        operation: field("operation").unwrap_or_default(),
        object: field("name").or_else(|| field("capname")).or_else(|| field("family")).unwrap_or_default(),
        at,
    })
}

#[cfg(test)]
mod tests {
    use super::{Record, crashes, denial, kmsg, mac, oom_kills, raw};
    use crate::evidence::server::DeathKind;

    fn records(text: &str) -> Vec<Record> {
        text.lines().map(|l| Record { at: Some(5), text: l.to_owned() }).collect()
    }

    #[test]
    fn what_dmesg_prints() {
        let log = b"<6>[    1.5] nothing of note\n<4>[ 7589.412935] oom-kill:constraint=CONSTRAINT_NONE,task=redis-server,pid=9,uid=1\ngarbage";
        let found = raw(log, 1_700_000_000, 7_600_000_000);
        assert_eq!((found.len(), found[0].at), (1, Some(1_699_999_990)));
    }

    #[test]
    fn kills_of_a_cgroup_and_of_the_machine() {
        let log = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/redis-server.service,task_memcg=/system.slice/redis-server.service,task=redis-server,pid=1234,uid=106\n\
            Memory cgroup out of memory: Killed process 1234 (redis-server) total-vm:70000kB, anon-rss:60000kB, UID:106\n\
            oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/x,task=java,pid=77,uid=0\n\
            Out of memory: Killed process 77 (java) total-vm:1kB\n\
            Out of memory: Killed process 99 (valkey-server) total-vm:1kB";
        let kills = oom_kills(&records(log), None).kills;
        assert_eq!(kills.len(), 2);
        assert_eq!((kills[0].pid, kills[0].cgroup.as_deref()), (Some(99), None));
        assert_eq!(kills[1].cgroup.as_deref(), Some("/system.slice/redis-server.service"));
    }

    #[test]
    fn kernel_records() {
        let log = b"6,339,5000000,-;redis-server[12]: segfault at 0 ip 1 sp 2 error 4 in redis-server[1+2]\n SUBSYSTEM=x\n6,340,6000000,-;usb 1-1: new device\n";
        let found = kmsg(log, 1000, 10_000_000);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, Some(995));
        let deaths = crashes(&found);
        assert_eq!((deaths[0].kind, deaths[0].pid), (DeathKind::Crashed, Some(12)));
        let opcode =
            records("traps: redis-server[7] trap invalid opcode ip:1 sp:2 error:0 in redis-server[1+2]");
        assert_eq!(crashes(&opcode)[0].kind, DeathKind::ExecFailed);
        assert!(kmsg(b"\xff\xff;;;\n,,,;", 0, 0).is_empty());
    }

    #[test]
    fn denials() {
        let avc = "type=AVC msg=audit(1795370000.123:45): avc:  denied  { name_bind } for  pid=1 comm=\"redis-server\" src=6390 scontext=system_u:system_r:redis_t:s0 tcontext=x tclass=tcp_socket permissive=0";
        let found = denial(avc).expect("ours");
        assert_eq!(
            (found.operation.as_str(), found.object.as_str(), found.at),
            ("name_bind", "port 6390", Some(1_795_370_000))
        );
        let armor = "audit: type=1400 audit(1795370000.1:2): apparmor=\"DENIED\" operation=\"open\" profile=\"/usr/bin/redis-server\" name=\"/srv/redis/dump.rdb\" pid=1 comm=\"redis-server\" requested_mask=\"r\"";
        assert_eq!(denial(armor).expect("ours").object, "/srv/redis/dump.rdb");
        assert!(denial("avc:  denied  { read } for  pid=1 comm=\"nginx\" name=\"x\"").is_none());
    }

    #[test]
    fn looks_on_this_machine() {
        drop(super::read());
        drop(mac(Ok(&[])));
    }
}
