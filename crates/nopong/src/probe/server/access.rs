//! What another user may do with a path, from mode bits, without becoming that user.
//!
//! Access control lists and capabilities are not weighed: where a list is there, or the answer depends on a capability
//! of root, nothing is claimed.

use crate::sys;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Links followed at most (MAXSYMLINKS, include/linux/namei.h).
const LINKS_MAX: u32 = 40;
/// /etc/group on a large site.
const GROUP_MAX: usize = 4 << 20;

/// A user as the kernel would check it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gids: BTreeSet<u32>,
}

/// What is wanted of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
    /// Into a directory, and to make files there.
    Enter,
    /// Only to go through a directory, or to run a file.
    Search,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    /// It may not, by this errno and at this component.
    No {
        errno: i32,
        at: PathBuf,
    },
    /// Mode bits do not decide.
    Unknown,
}

impl User {
    /// By the user id and groups of a running process.
    pub(super) fn of_process(pid: u32) -> Option<Self> {
        let status = sys::read_text(format!("/proc/{pid}/status"), 16 << 10).ok()?;
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        let effective = |line: Option<&str>| line?.split_whitespace().nth(1)?.parse().ok();
        let mut gids: BTreeSet<u32> =
            field("Groups:")?.split_whitespace().filter_map(|g| g.parse().ok()).collect();
        gids.extend(effective(field("Gid:")));
        Some(Self { uid: effective(field("Uid:"))?, gids })
    }

    /// By name or number from /etc/passwd and /etc/group; NSS is not asked.
    pub(super) fn named(user: &str, group: Option<&str>) -> Option<Self> {
        let passwd = sys::read_text("/etc/passwd", GROUP_MAX).ok()?;
        let groups = sys::read_text("/etc/group", GROUP_MAX).unwrap_or_default();
        Self::from_text(user, group, &passwd, &groups)
    }

    fn from_text(user: &str, group: Option<&str>, passwd: &str, groups: &str) -> Option<Self> {
        let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let entry = passwd
            .lines()
            .map(fields)
            .find(|f| f.first().is_some_and(|n| n == user) || f.get(2).is_some_and(|uid| uid == user));
        let (name, uid, gid) = match &entry {
            Some(f) => (f.first()?.clone(), f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()),
            None => (user.to_owned(), user.parse().ok()?, None),
        };
        let mut gids: BTreeSet<u32> = gid.into_iter().collect();
        for line in groups.lines().map(fields) {
            let (Some(group_name), Some(gid)) = (line.first(), line.get(2).and_then(|g| g.parse().ok()))
            else {
                continue;
            };
            let member = line.get(3).is_some_and(|m| m.split(',').any(|m| m == name));
            if member || group.is_some_and(|g| g == group_name || g.parse() == Ok(gid)) {
                gids.insert(gid);
            }
        }
        Some(Self { uid, gids })
    }

    fn may(&self, mode: u32, uid: u32, gid: u32, bits: u32) -> bool {
        let shift = if self.uid == uid {
            6
        } else if self.gids.contains(&gid) {
            3
        } else {
            0
        };
        (mode >> shift) & bits == bits
    }

    /// Walks the path as the kernel would for that user.
    pub(super) fn can(&self, path: &Path, want: Want) -> Answer {
        self.walk(path, want, 0)
    }

    fn walk(&self, path: &Path, want: Want, links: u32) -> Answer {
        let no = |error: &std::io::Error, at: &Path| match error.raw_os_error() {
            // Our own rights end here: that says nothing of the server's.
            Some(nix::libc::EACCES) if !nix::unistd::geteuid().is_root() => Answer::Unknown,
            Some(errno) => Answer::No { errno, at: at.to_path_buf() },
            None => Answer::Unknown,
        };
        if links > LINKS_MAX {
            return Answer::No { errno: nix::libc::ELOOP, at: path.to_path_buf() };
        }
        let mut at = PathBuf::new();
        let parts: Vec<Component<'_>> = path.components().collect();
        for (index, part) in parts.iter().enumerate() {
            at.push(part);
            let found = match sys::lstat(&at) {
                Ok(found) => found,
                Err(e) => return no(&e, &at),
            };
            let rest: PathBuf = parts.get(index + 1..).unwrap_or_default().iter().collect();
            if found.file_type().is_symlink() {
                let Ok(target) = sys::read_link(&at) else { return Answer::Unknown };
                let parent = at.parent().unwrap_or(Path::new("/")).to_path_buf();
                return self.walk(&parent.join(target).join(rest), want, links + 1);
            }
            let last = index + 1 == parts.len();
            if !last && !found.is_dir() {
                return Answer::No { errno: nix::libc::ENOTDIR, at };
            }
            let bits = match (last, want) {
                (false, _) | (true, Want::Search) => 1,
                (true, Want::Read) => 4,
                (true, Want::Write) => 2,
                (true, Want::Enter) => 3,
            };
            if last && want == Want::Enter && !found.is_dir() {
                return Answer::No { errno: nix::libc::ENOTDIR, at };
            }
            // CAP_DAC_OVERRIDE: root passes, but for running a file that nobody may run.
            if self.uid == 0 || self.may(found.mode(), found.uid(), found.gid(), bits) {
                continue;
            }
            if has_acl(&at) {
                return Answer::Unknown;
            }
            return Answer::No { errno: nix::libc::EACCES, at };
        }
        Answer::Yes
    }
}

/// The file carries an access control list: `getfacl` would show more than `ls`.
fn has_acl(path: &Path) -> bool {
    sys::xattr(path, "system.posix_acl_access").is_some()
}

/// An obstacle in words: what, for whom, and where.
pub(super) fn obstacle(user: &str, path: &Path, answer: &Answer, want: Want) -> Option<String> {
    let Answer::No { errno, at } = answer else { return None };
    let shown = crate::text::shown_str(&at.to_string_lossy(), 200);
    let verb = match (want, at == path) {
        (_, false) => "enter",
        (Want::Read, _) => "read",
        (Want::Write | Want::Enter, _) => "write to",
        (Want::Search, _) => "use",
    };
    Some(match *errno {
        nix::libc::ENOENT => format!("{shown} does not exist"),
        nix::libc::ENOTDIR => format!("{shown} is not a directory"),
        nix::libc::ELOOP => format!("{shown}: too many links"),
        nix::libc::EACCES => {
            use std::os::unix::fs::MetadataExt as _;
            let mode = sys::stat(at)
                .map(|m| format!(" (mode {:04o}, owner {}:{})", m.mode() & 0o7777, m.uid(), m.gid()));
            format!("user {user} may not {verb} {shown}{}", mode.unwrap_or_default())
        }
        other => format!("{shown}: {}", nix::errno::Errno::from_raw(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, User, Want};
    use std::path::Path;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nredis:x:106:112::/var/lib/redis:/bin/false\n";
    const GROUP: &str = "adm:x:4:syslog,redis\nredis:x:112:\nssl:x:50:\n";

    #[test]
    fn users_with_their_groups() {
        let user = User::from_text("redis", Some("ssl"), PASSWD, GROUP).expect("known");
        assert_eq!(user.uid, 106);
        assert_eq!(user.gids.into_iter().collect::<Vec<_>>(), [4, 50, 112]);
        assert!(User::from_text("nobody-here", None, PASSWD, GROUP).is_none());
        assert_eq!(User::from_text("777", None, PASSWD, GROUP).map(|u| u.uid), Some(777));
    }

    #[test]
    fn walks() {
        let stranger = User { uid: 65000, gids: [65000].into() };
        assert_eq!(stranger.can(Path::new("/etc/passwd"), Want::Read), Answer::Yes);
        assert!(matches!(stranger.can(Path::new("/etc/passwd"), Want::Write), Answer::No { errno: 13, .. }));
        assert!(matches!(stranger.can(Path::new("/no/such"), Want::Read), Answer::No { errno: 2, .. }));
        assert!(matches!(stranger.can(Path::new("/etc/passwd/x"), Want::Read), Answer::No { errno: 20, .. }));
        assert_eq!(User::default().can(Path::new("/etc"), Want::Enter), Answer::Yes);
    }
}
