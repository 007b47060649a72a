//! The unix socket is there, but this user may not open it: its mode, or a directory on the way.

use crate::cause::common::{meta, place, restart, sh};
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::{Standing, UnixPath};

/// See the module.
#[derive(Debug)]
pub(super) struct SocketDenied;

static META: Meta = Meta {
    masked_by: &["mac-denied"],
    ..meta(
        "socket-denied",
        Category::Access,
        Stage::Connect,
        "this user may not open the unix socket",
        &["unix"],
    )
};

/// connect() needs write permission on the socket (unix(7)); the class that applies is the first that matches.
fn may_write(unix: &UnixPath, who: &Standing) -> Option<bool> {
    let mode = unix.mode?;
    if who.euid == 0 {
        return Some(true);
    }
    let bit = match (unix.uid, unix.gid) {
        (Some(uid), _) if uid == who.euid => 0o200,
        (_, Some(gid)) if who.gids.contains(&gid) => 0o020,
        _ => 0o002,
    };
    Some(mode & bit != 0)
}

impl Cause for SocketDenied {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let Some(unix) = case.unix() else { return Vec::new() };
        if case.symptom != Symptom::SocketDenied {
            return Vec::new();
        }
        if let Some(dir) = &unix.blocked_at {
            return vec![Reason::confirms("unix", format!("this user may not enter the directory {dir}"))];
        }
        match case.client.standing.get().and_then(|who| Some((who, may_write(unix, who)?))) {
            Some((who, false)) => vec![Reason::confirms(
                "unix",
                format!(
                    "{} has mode {:o}, owner {}, group {}; user id {} may not write to it",
                    unix.path,
                    unix.mode.unwrap_or_default() & 0o7777,
                    unix.uid.map_or_else(|| "unknown".to_owned(), |u| u.to_string()),
                    unix.gid.map_or_else(|| "unknown".to_owned(), |g| g.to_string()),
                    who.euid
                ),
            )],
            // The mode permits it and the kernel does not: SELinux or AppArmor.
            Some((_, true)) => {
                vec![Reason::against("unix", "mode and owner of the socket permit this user to open it")]
            }
            None => vec![Reason::strong("unix", "the kernel refuses to open it for this user")],
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match case.unix() {
            Some(UnixPath { blocked_at: Some(dir), .. }) => {
                format!("this user may not enter {dir}, where the socket is")
            }
            Some(unix) => format!("this user may not open the socket {}", unix.path),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let unix = case.unix()?;
        let mut fix = Fix::new(Risk::Ask, "let the application's user into the socket's group")
            .run("see who may", format!("namei -l {}", sh(&unix.path)))
            .run(
                "add the application's user to the group that owns it (here the packages' name)",
                "usermod -aG redis APP_USER",
            )
            .step("start the application anew: groups are taken at login");
        if unix.mode.is_some_and(|m| m & 0o020 == 0) {
            fix = fix.step(format!(
                "in {}: unixsocketperm 770 (0700 is the default)",
                place(case, "unixsocketperm")
            ));
            fix = restart(fix, case);
        }
        Some(fix)
    }
}

#[cfg(test)]
mod tests {
    use super::SocketDenied;
    use crate::cause::testing::{bearings, first, refused, seen, silent};
    use crate::diagnosis::{Band, Bearing};
    use crate::evidence::CaseFile;
    use crate::evidence::client::{DialOutcome, Standing, UnixPath};

    fn denied(mode: u32, gids: Vec<u32>, blocked: Option<&str>) -> CaseFile {
        let mut file = CaseFile::default();
        file.ask.unix = Some("/run/redis/redis.sock".to_owned());
        file.client.standing = seen(Standing { euid: 1000, gids, ..Standing::default() });
        file.client.unix = seen(UnixPath {
            path: "/run/redis/redis.sock".to_owned(),
            exists: blocked.is_none(),
            is_socket: blocked.is_none(),
            mode: blocked.is_none().then_some(mode),
            uid: Some(107),
            gid: Some(115),
            blocked_at: blocked.map(str::to_owned),
            outcome: Some(DialOutcome::Errno { errno: "EACCES".to_owned() }),
            ..UnixPath::default()
        });
        file
    }

    #[test]
    fn confirmed_by_mode_or_directory() {
        assert_eq!(first(&denied(0o140_770, vec![1000], None)), Some(("socket-denied", Band::Confirmed)));
        assert_eq!(
            first(&denied(0, vec![1000], Some("/run/redis"))),
            Some(("socket-denied", Band::Confirmed))
        );
    }

    #[test]
    fn doubted_when_the_mode_permits() {
        assert_eq!(bearings(&SocketDenied, &denied(0o140_770, vec![115], None)), [Bearing::Against]);
    }

    #[test]
    fn silent_about_tcp() {
        assert!(silent(&SocketDenied, &refused()));
    }
}
