//! The file system of the data or the log has no space, or no inodes.

use super::shared::{self, Down};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::server::NeededPath;
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct DiskFull;

static META: Meta = Meta {
    id: "disk-full",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the disk is full",
    masked_by: &["service-masked"],
    settled_by: &["log", "storage"],
};

/// Below this not even a small dump fits: one block and some.
const FULL: u64 = 64 * 1024;
/// Below this a warning is due: less than most rewrites of an append only file need.
const NEARLY: u64 = 100 * 1024 * 1024;

fn short_of(path: &NeededPath, bytes: u64) -> Option<String> {
    if path.free_inodes == Some(0) {
        return Some(format!("the file system of {} has no free inode", path.path));
    }
    let free = path.free_bytes.filter(|free| *free < bytes)?;
    Some(format!("{} free on the file system of {}", size(free), path.path))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{} KB", bytes / 1024),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}

/// Paths that the server fills.
fn filled<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a NeededPath> {
    case.file
        .server
        .storage
        .get()
        .into_iter()
        .flat_map(|s| &s.paths)
        .filter(|p| matches!(p.purpose.as_str(), "dir" | "logfile" | "aof" | "rdb"))
}

fn shortage(case: &Case<'_>, bytes: u64) -> Option<(String, String)> {
    filled(case).find_map(|p| Some((p.path.clone(), short_of(p, bytes)?)))
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    match shortage(case, FULL).filter(|_| down.failed()) {
        Some((_, says)) => vec![Reason::strong("storage", says)],
        None if filled(case).any(|p| p.free_bytes.is_some()) => {
            vec![Reason::against("storage", "there is space on the file systems of its data and log")]
        }
        None => Vec::new(),
    }
}

impl Cause for DiskFull {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if !reasons.is_empty() && shared::last_word(case, META.id).is_some() {
            reasons.extend(shortage(case, NEARLY).map(|(_, says)| Reason::strong("storage", says)));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match (shortage(case, NEARLY), shared::last_word(case, META.id)) {
            (Some((_, says)), _) => format!("the disk is full: {says}"),
            (None, Some(death)) => format!("the disk was full when the server needed it: {}", death.text),
            (None, None) => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let path = shortage(case, NEARLY).map(|(path, _)| path);
        let path = path.or_else(|| case.config().and_then(|c| c.value("dir")).map(str::to_owned));
        let path = shell(path.as_deref().filter(|p| p.starts_with('/')).unwrap_or("/var/lib/redis"));
        Some(shared::then_start(Risk::Ask, "make room, then start the server", case, |fix| {
            fix.run("see what is full", format!("df -h {path}; df -i {path}"))
                .run("see what fills it", format!("du -xh {path} | sort -h | tail -20"))
                .step("remove what is surely not needed (old logs, temp-*.rdb of dead saves), never the dump or the append only file; or grow the file system")
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(behind) =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
        {
            return Some(behind);
        }
        let (path, says) = shortage(case, NEARLY)?;
        let place = if case.holder().is_some() { Place::Warning } else { Place::Behind };
        Some(Latent {
            place,
            title: format!("the disk is nearly full: {says}"),
            reasons: vec![Reason::confirms("storage", says)],
            fix: Some(
                Fix::new(Risk::Ask, "make room before saving fails")
                    .run("see what fills it", format!("du -xh {} | sort -h | tail -20", shell(&path))),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::DiskFull;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::server::{DeathKind, NeededPath, Storage};

    fn free(mut file: CaseFile, bytes: u64) -> CaseFile {
        let path = NeededPath {
            path: "/var/lib/redis".to_owned(),
            purpose: "dir".to_owned(),
            exists: true,
            free_bytes: Some(bytes),
            free_inodes: Some(1000),
            ..NeededPath::default()
        };
        file.server.storage = seen(Storage { paths: vec![path], tls: None });
        file
    }

    #[test]
    fn settles() {
        let file = died(DeathKind::NoSpace, "Can't open the append-only file: No space left on device");
        assert_eq!(first(&free(file, 0)), Some(("disk-full", Band::Confirmed)));
    }

    #[test]
    fn warns_while_it_runs() {
        let file = running(on_server(pong(&[])), "10.0.0.5:6379");
        assert!(diagnose(&free(file.clone(), 1 << 40)).warnings.is_empty());
        assert_eq!(diagnose(&free(file, 1 << 20)).warnings[0].cause.meta().id, "disk-full");
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&DiskFull, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&DiskFull, &refused()));
    }
}
