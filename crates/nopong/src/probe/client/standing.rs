//! Who looks, and with which rights.

use crate::evidence::{Seen, client::Standing};
use crate::probe::timed;
use crate::sys;

/// Capability bit of CAP_NET_ADMIN (include/uapi/linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;
/// Capability bit of CAP_NET_RAW.
const CAP_NET_RAW: u32 = 13;

/// Looks at this process's own rights.
pub fn look() -> Seen<Standing> {
    timed("id; hostname; grep CapEff /proc/self/status", || {
        let status = sys::read_text("/proc/self/status", 16 << 10).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        let capabilities = field("CapEff:").and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0);
        let has = |bit: u32| capabilities & (1 << bit) != 0;
        let gids =
            field("Groups:").unwrap_or_default().split_whitespace().filter_map(|g| g.parse().ok()).collect();
        Ok(Standing {
            hostname: nix::unistd::gethostname()
                .map(|h| h.to_string_lossy().into_owned())
                .unwrap_or_default(),
            euid: nix::unistd::geteuid().as_raw(),
            gids,
            net_raw: has(CAP_NET_RAW),
            net_admin: has(CAP_NET_ADMIN),
            container: container(),
            at: sys::unix_time(),
        })
    })
}

fn container() -> Option<String> {
    if sys::stat("/.dockerenv").is_ok() {
        return Some("a Docker container".to_owned());
    }
    if sys::stat("/run/.containerenv").is_ok() {
        return Some("a Podman container".to_owned());
    }
    sys::env("KUBERNETES_SERVICE_HOST").map(|_| "a Kubernetes pod".to_owned())
}
