//! What the machine must offer before the lab can start: root, Linux, a Debian family userland and a
//! few tools, which are installed with apt where missing. Anything else is a reason to skip.

use std::path::Path;
use std::time::Duration;

use crate::{Fail, shell};

/// Tools of the machine itself; everything else comes from the trees.
const TOOLS: &[(&str, &str)] = &[
    ("debootstrap", "debootstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("timeout", "coreutils"),
    ("sysctl", "procps"),
];

/// Whether the lab can run here; the text says why not.
pub fn check() -> Result<(), Fail> {
    if !cfg!(target_os = "linux") {
        return Err("the lab needs Linux namespaces".into());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("the lab needs root for namespaces (sudo -E cargo …)".into());
    }
    let mut missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| find(tool).is_none()).map(|&(_, package)| package).collect();
    // Without it debootstrap cannot verify a Debian release on another distribution.
    if !Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists() {
        missing.push("debian-archive-keyring");
    }
    if missing.is_empty() {
        return namespaces();
    }
    if find("apt-get").is_none() {
        return Err(format!("missing {} and no apt to install them", missing.join(", ")));
    }
    let mut argv = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q"];
    argv.push("--no-install-recommends");
    argv.extend(&missing);
    if !shell::run(Duration::from_secs(180), &argv, "")?.ok() {
        // The package lists may be old, or not there at all.
        shell::must(Duration::from_secs(120), &["apt-get", "update", "-q"], "")?;
        shell::must(Duration::from_secs(180), &argv, "")?;
    }
    namespaces()
}

/// Root in a container may lack the right to make namespaces and mounts.
fn namespaces() -> Result<(), Fail> {
    let try_out = "mount -t tmpfs lab /mnt && ip link set lo up";
    let argv = ["unshare", "--mount", "--net", "sh", "-c", try_out];
    let made = shell::must(Duration::from_secs(5), &argv, "");
    made.map(drop).map_err(|e| format!("this root may not make namespaces and mounts ({e})"))
}

/// First match of `tool` in PATH and the folders where root's tools live.
pub fn find(tool: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/bin"])
        .map(|dir| Path::new(dir).join(tool))
        .find(|p| p.is_file())
}
