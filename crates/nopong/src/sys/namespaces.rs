//! Network and mount namespaces of the calling thread (setns(2), unshare(2)).
#![expect(clippy::disallowed_methods, reason = "part of the fence")]

use crate::evidence::Why;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::os::fd::OwnedFd;
use std::path::Path;

fn refused(what: &str, errno: nix::errno::Errno) -> Why {
    match errno {
        nix::errno::Errno::EPERM | nix::errno::Errno::EACCES => {
            Why::NotPermitted { needs: format!("root (to enter {what})") }
        }
        nix::errno::Errno::ENOENT => Why::Missing { what: what.to_owned() },
        errno => Why::Failed { what: format!("{what}: {errno:?}") },
    }
}

/// A handle of the network namespace we are in.
pub fn own_network() -> Result<OwnedFd, Why> {
    let path = "/proc/thread-self/ns/net";
    std::fs::File::open(path).map(OwnedFd::from).map_err(|e| super::why(path, &e))
}

/// Enters a namespace by its handle.
pub fn set_network(namespace: &OwnedFd, what: &str) -> Result<(), Why> {
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|e| refused(what, e))
}

/// Enters the namespace behind a path; nothing to do, and no right needed, when it is our own.
pub fn enter_network(path: &Path) -> Result<(), Why> {
    use std::os::unix::fs::MetadataExt as _;
    let shown = path.display().to_string();
    let theirs = std::fs::metadata(path).map_err(|e| super::why(&shown, &e))?;
    let ours = std::fs::metadata("/proc/thread-self/ns/net")
        .map_err(|e| super::why("/proc/thread-self/ns/net", &e))?;
    if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
        return Ok(());
    }
    let file = std::fs::File::open(path).map_err(|e| super::why(&shown, &e))?;
    set_network(&OwnedFd::from(file), &shown)
}

/// Lays texts over files of our own in a private mount namespace: nobody else sees it, and it ends with us.
pub fn lay_over(files: &[(Vec<u8>, &str)]) -> Result<(), Why> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| refused("a mount namespace of our own", e))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|e| refused("private mounts", e))?;
    // A file of another mount namespace cannot be bound (mount(2), EINVAL): its text is, from a file system that only we
    // see, and that is out of sight again before anything else looks.
    const OURS: &str = "/tmp";
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), OURS, Some("tmpfs"), flags, Some("size=1m,mode=755"))
        .map_err(|e| refused("a file system of our own", e))?;
    let laid = files.iter().enumerate().try_for_each(|(n, (text, to))| {
        let from = Path::new(OURS).join(n.to_string());
        std::fs::write(&from, text).map_err(|e| super::why(to, &e))?;
        // Docker bind-mounts these files itself; the link's target is what programs in there read.
        mount(Some(&from), *to, none, MsFlags::MS_BIND, none).map_err(|e| refused(to, e))
    });
    let hidden = umount2(OURS, MntFlags::MNT_DETACH).map_err(|e| refused("our own file system", e));
    laid.and(hidden)
}
