//! A folder or file that the server needs is missing, or it may not use it.

use super::shared::{self, Down};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::server::{DeathKind, NeededPath};
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct StorageUnwritable;

static META: Meta = Meta {
    id: "storage-unwritable",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server may not use a path it needs",
    masked_by: &["service-masked", "mac-denied"],
    settled_by: &["log", "storage"],
};

/// Paths, certificates apart, that the server cannot use.
fn obstacles<'a>(case: &Case<'a>) -> Vec<&'a NeededPath> {
    let Some(storage) = case.file.server.storage.get() else { return Vec::new() };
    storage.paths.iter().filter(|p| !p.purpose.starts_with("tls-") && p.usable == Some(false)).collect()
}

fn sentence(path: &NeededPath) -> String {
    let why = path.obstacle.clone().unwrap_or_else(|| "cannot be used by the server's user".to_owned());
    if why.contains(&path.path) {
        format!("{}: {why}", path.purpose)
    } else {
        format!("{} {}: {why}", path.purpose, path.path)
    }
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    if !down.failed() {
        return Vec::new();
    }
    let obstacles = obstacles(case);
    let looked = case.server.storage.get().is_some_and(|s| s.paths.iter().any(|p| p.usable == Some(true)));
    if obstacles.is_empty() && looked {
        return vec![Reason::against("storage", "the server's user can use the paths it needs")];
    }
    obstacles.into_iter().take(2).map(|p| Reason::strong("storage", sentence(p))).collect()
}

impl Cause for StorageUnwritable {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if !reasons.is_empty() && shared::last_word(case, META.id).is_some() {
            reasons
                .extend(obstacles(case).into_iter().take(2).map(|p| Reason::strong("storage", sentence(p))));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(death) = shared::last_word(case, META.id) {
            let what = death.detail.as_deref().filter(|d| d.contains('/')).unwrap_or(&death.text);
            return match death.kind {
                DeathKind::UnixSocketFailed => format!("redis-server cannot make its unix socket: {what}"),
                DeathKind::SandboxFailed => {
                    format!("systemd cannot give {} its folders: {what}", shared::unit_name(case))
                }
                DeathKind::ReadOnlyFs => format!("a path that redis-server must write is read-only: {what}"),
                _ => format!("redis-server may not use a path it needs: {what}"),
            };
        }
        match obstacles(case).first() {
            Some(path) => format!("redis-server cannot use its {}", sentence(path)),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let user = shell(&shared::server_user(case));
        let name = shell(&shared::unit_name(case));
        let death = shared::last_word(case, META.id);
        let sandboxed =
            death.is_some_and(|d| matches!(d.kind, DeathKind::ReadOnlyFs | DeathKind::SandboxFailed));
        let obstacle = obstacles(case).first().copied();
        let at = obstacle.and_then(|p| p.obstacle_path.as_deref()).map_or_else(|| "PATH".to_owned(), shell);
        let path = obstacle.map(|p| p.path.clone()).or_else(|| {
            let text = death?.detail.as_deref().unwrap_or(&death?.text);
            let word = text.split([' ', '\'', '"']).find(|w| w.starts_with('/'))?;
            Some(word.trim_end_matches([':', '.', ',']).to_owned())
        });
        let path = shell(path.as_deref().unwrap_or_else(|| {
            case.config()
                .and_then(|c| c.value("dir"))
                .filter(|d| d.starts_with('/'))
                .unwrap_or("/var/lib/redis")
        }));
        Some(shared::then_start(Risk::Ask, format!("let {user} use {path}"), case, |fix| {
            let fix = fix.run("see every folder on the way", format!("namei -l {path}"));
            if sandboxed {
                fix.run(
                    "see what the unit makes read-only",
                    format!("systemctl show -p ProtectSystem -p ReadWritePaths {name}"),
                )
                .step(format!("in a drop-in (systemctl edit {name}): [Service] ReadWritePaths={path}"))
            } else {
                fix.step(format!(
                    "where it is missing: install -d -o {user} -g {user} -m 750 {at}; where it has a wrong owner: chown {user}: {at} (the path itself, never recursively over a system folder)"
                ))
            }
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(behind) =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
        {
            return Some(behind);
        }
        // While it runs, what matters is where it saves.
        case.holder()?;
        let path =
            obstacles(case).into_iter().find(|p| matches!(p.purpose.as_str(), "dir" | "aof" | "rdb"))?;
        Some(Latent {
            place: Place::Warning,
            title: format!("the server cannot save: {}", sentence(path)),
            reasons: vec![Reason::confirms("storage", sentence(path))],
            fix: Some(
                Fix::new(Risk::Ask, "give the path back to the server's user")
                    .run("see every folder on the way", format!("namei -l {}", shell(&path.path))),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::StorageUnwritable;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::server::{DeathKind, NeededPath, Storage};

    fn blocked(mut file: CaseFile) -> CaseFile {
        let path = NeededPath {
            path: "/var/lib/redis".to_owned(),
            purpose: "dir".to_owned(),
            exists: true,
            usable: Some(false),
            obstacle: Some("owned by root, mode 755".to_owned()),
            ..NeededPath::default()
        };
        file.server.storage = seen(Storage { paths: vec![path], tls: None });
        file
    }

    #[test]
    fn settles() {
        let file = died(DeathKind::PathDenied, "Can't open the append-only file: Permission denied");
        assert_eq!(first(&blocked(file)), Some(("storage-unwritable", Band::Confirmed)));
    }

    #[test]
    fn speaks_for_it_without_the_log() {
        let mut file = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        file.server.log = crate::evidence::Seen::NotRun;
        let (id, band) = first(&blocked(file)).unwrap();
        assert!(id == "storage-unwritable" && band != Band::Confirmed, "{id} {band:?}");
    }

    #[test]
    fn warns_while_it_runs() {
        let file = blocked(running(on_server(pong(&[])), "10.0.0.5:6379"));
        assert_eq!(diagnose(&file).warnings[0].cause.meta().id, "storage-unwritable");
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&StorageUnwritable, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&StorageUnwritable, &refused()));
    }
}
