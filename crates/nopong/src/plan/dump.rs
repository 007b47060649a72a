//! A damaged dump cannot be repaired; a whole one that lies beside it can take its place.

use super::{Draft, NoPlan, start};
use crate::apply::{Action, RestoreDump};
use crate::evidence::server::{Death, DeathKind};
use crate::{sys, text};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

/// Names looked at in the folder, and files checked of them, the newest first.
const NAMES: usize = 4096;
const CHECKED: usize = 8;
/// The tool reads the whole file, at some 100 MB/s or more.
const CHECK: Duration = Duration::from_secs(60);

/// What redis-check-rdb says of a whole dump.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    keys: u64,
    /// When it was saved, Unix time.
    saved: Option<u64>,
}

/// Puts the newest whole dump of the folder in the place of the damaged one, of which nothing is lost.
pub(super) fn last_good(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let by_hand = || NoPlan::Advice(None);
    let deaths = draft.case.server.log.get().map_or(&[][..], |l| l.deaths.as_slice());
    // A newer format, or a module that is missing here, is no damage.
    let damaged = |d: &Death| {
        d.last && d.kind == DeathKind::RdbUnloadable && !crate::cause::not_running::data_unloadable::newer(d)
    };
    let config = draft.case.config().ok_or_else(by_hand)?;
    let from_aof = config.value("appendonly") == Some("yes");
    if !deaths.iter().any(damaged) || from_aof || draft.case.process().is_some() {
        return Err(by_hand());
    }
    let folder = config.value("dir").filter(|d| d.starts_with('/')).ok_or_else(by_hand)?;
    let name = config.value("dbfilename").filter(|n| !n.contains('/')).unwrap_or("dump.rdb");
    let path = format!("{folder}/{name}");
    let tool =
        ["redis-check-rdb", "valkey-check-rdb"].iter().find_map(|t| sys::program(t)).ok_or_else(by_hand)?;
    let tool = tool.to_string_lossy().into_owned();
    let old = sys::lstat(&path).ok().filter(std::fs::Metadata::is_file).ok_or_else(by_hand)?;
    // Nobody else's file: the server's user is given what it holds.
    let ours = |m: &std::fs::Metadata| m.is_file() && m.len() > 0 && [old.uid(), 0].contains(&m.uid());
    let regular = |p: &str| sys::lstat(p).ok().filter(ours);
    if check(&tool, &path).is_some() {
        return Err(NoPlan::Refused(format!("{path} is whole by now: start the server")));
    }

    let names = sys::list(folder, NAMES).map_err(|_| by_hand())?;
    let names = names.iter().filter_map(|n| n.to_str()).filter(|n| *n != name && is_dump(n, name));
    let mut found: Vec<(i64, u64, String)> = names
        .map(|n| format!("{folder}/{n}"))
        .filter_map(|p| regular(&p).map(|m| (m.mtime(), m.len(), p)))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    let good = found
        .iter()
        .take(CHECKED)
        .find_map(|(_, size, p)| Some((check(&tool, p).filter(|w| w.keys > 0)?, *size, p)));
    let Some((whole, size, good)) = good else {
        return Err(NoPlan::Refused(match found.len() {
            0 => format!("no other dump lies in {folder}: bring one from a backup"),
            n => format!(
                "none of the {n} other dumps in {folder} is whole and holds keys: bring one from a backup"
            ),
        }));
    };
    if sys::room(folder).is_some_and(|(free, ..)| free < size) {
        return Err(NoPlan::Refused(format!("there is no room in {folder} for a copy of {good}")));
    }
    let kept = format!("{path}.nopong-{}", sys::unix_time());
    let age = whole.saved.map(|at| text::span(sys::unix_time().saturating_sub(at)));
    let age = age.map_or_else(|| "before it".to_owned(), |age| format!("{age} ago"));
    draft.plan.title =
        format!("keep the damaged dump, and start with {}, saved {age}", text::shown_str(good, 300));
    draft.plan.noticed_by.push(format!("clients: what was written since then ({age}) is not there"));
    draft.plan.advice.push(format!("keep {kept} until nothing in it is missed"));
    draft.plan.advice.push(format!("an undo keeps what the server has saved since as {kept}.later"));
    let keys = whole.keys;
    draft.first.push(Action::RestoreDump(RestoreDump { damaged: path, good: good.clone(), kept, keys }));
    start::again(draft);
    Ok(())
}

/// The name of a dump: `dump.rdb.1`, `dump.rdb.bak`, `dump-2026-11-25.rdb`, `temp-812.rdb`, `dump.bak`. What is packed
/// cannot be judged.
fn is_dump(name: &str, own: &str) -> bool {
    let packed = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".new"];
    let stem = own.strip_suffix(".rdb").unwrap_or(own);
    !packed.iter().any(|p| name.ends_with(p))
        && (name.contains(".rdb") || (!stem.is_empty() && name.starts_with(stem)))
}

fn check(tool: &str, path: &str) -> Option<Whole> {
    let output = sys::run(&[tool, path], CHECK, 1 << 20).ok()?;
    (output.code == Some(0)).then(|| whole(&String::from_utf8_lossy(&output.stdout)))?
}

/// `AUX FIELD ctime = '1795686437'`, `\o/ RDB looks OK! \o/`, `[info] 4 keys read` (redis-check-rdb.c).
fn whole(said: &str) -> Option<Whole> {
    said.lines().find(|l| l.contains("RDB looks OK!"))?;
    let keys =
        said.lines().find_map(|l| l.strip_prefix("[info] ")?.strip_suffix(" keys read")?.parse().ok())?;
    let saved =
        said.lines().find_map(|l| l.split_once("AUX FIELD ctime = '")?.1.strip_suffix('\'')?.parse().ok());
    Some(Whole { keys, saved })
}

#[cfg(test)]
mod tests {
    use super::{Whole, is_dump, whole};

    #[test]
    fn names_of_dumps() {
        for name in ["dump.rdb.1", "dump-2026-11-25.rdb", "temp-812.rdb", "dump.bak", "old.rdb"] {
            assert!(is_dump(name, "dump.rdb"), "{name}");
        }
        for name in ["dump.rdb.gz", "nodes.conf", "appendonlydir", "users.acl"] {
            assert!(!is_dump(name, "dump.rdb"), "{name}");
        }
    }

    #[test]
    fn only_what_is_read_to_its_end_is_whole() {
        let good = "[offset 0] Checking RDB file dump.rdb\n[offset 53] AUX FIELD ctime = '1795686437'\n\
                    [offset 126] Checksum OK\n[offset 126] \\o/ RDB looks OK! \\o/\n[info] 4 keys read\n";
        assert_eq!(whole(good), Some(Whole { keys: 4, saved: Some(1_795_686_437) }));
        assert_eq!(whole("[offset 126] RDB CRC error\n[info] 4 keys read\n"), None);
        assert_eq!(whole(""), None);
    }
}
