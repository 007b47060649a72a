//! Host trees: a Debian made once with debootstrap under the cache folder, named by a stamp of its
//! recipe, so that a changed recipe makes a new one. Trees are never changed after they are made;
//! hosts boot with an overlay that dies with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Fail, shell};

/// Where trees live; outside the repository, and shared by all worktrees.
pub(crate) const CACHE: &str = "/var/cache/nopong-lab";

const COMMON: &str = "libpam-systemd,dbus,systemd-sysv,procps,iproute2,redis-server,redis-sentinel,redis-tools,\
firewalld,ufw,nftables,iptables,openssh-server,haproxy,stunnel4,openssl,acl,dnsmasq-base,ca-certificates,\
python3-minimal,memcached,socat,netcat-openbsd,nginx-light,conntrack,time,sudo";

/// Run in the tree after debootstrap. Services are disabled, so that a scenario starts what it
/// wants; timers go because they would work during a test; `app` is the ordinary user.
const FINISH: &str = r"
export DEBIAN_FRONTEND=noninteractive
apt-get -y -q -f install && dpkg --configure -a
for unit in firewalld haproxy memcached nginx redis-sentinel redis-server valkey-server valkey-sentinel \
    ssh stunnel.target supervisor runit ufw e2scrub_reap console-getty; do
  systemctl -q disable $unit 2>/dev/null
done
rm -f /etc/systemd/system/timers.target.wants/* /etc/systemd/system/getty.target.wants/*
systemctl -q mask console-getty.service systemd-networkd-wait-online.service
useradd -m -u 1500 -s /bin/bash app
apt-get clean; rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale
command -v redis-server && command -v firewall-cmd && id app
";

/// Docker's own services stay down: the lab starts dockerd by hand, in control groups of its own. The image of its
/// containers is this tree's redis with what it links to, and a shell.
const DOCKER: &str = include_str!("docker-image.sh");

pub struct Recipe {
    pub name: &'static str,
    suite: &'static str,
    extra: &'static str,
    /// Run after [`FINISH`].
    after: &'static str,
}

pub const RECIPES: &[Recipe] = &[
    Recipe { name: "bookworm", suite: "bookworm", extra: ",supervisor,runit", after: "" },
    Recipe {
        name: "trixie",
        suite: "trixie",
        extra: ",valkey-server,valkey-sentinel,valkey-tools",
        after: "",
    },
    Recipe {
        name: "docker",
        suite: "trixie",
        extra: ",docker.io,docker-cli,docker-compose,psmisc,podman,netavark,aardvark-dns,crun",
        after: DOCKER,
    },
];

/// What a scenario may name: a tree, and which server runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    pub name: &'static str,
    pub tree: &'static str,
    /// Unit, main configuration file and command line client of the server.
    pub unit: &'static str,
    pub conf: &'static str,
    pub cli: &'static str,
}

pub const HOSTS: &[Host] = &[
    Host {
        name: "bookworm",
        tree: "bookworm",
        unit: "redis-server",
        conf: "/etc/redis/redis.conf",
        cli: "redis-cli",
    },
    Host {
        name: "trixie-redis8",
        tree: "trixie",
        unit: "redis-server",
        conf: "/etc/redis/redis.conf",
        cli: "redis-cli",
    },
    Host {
        name: "trixie-valkey8",
        tree: "trixie",
        unit: "valkey-server",
        conf: "/etc/valkey/valkey.conf",
        cli: "valkey-cli",
    },
    Host {
        name: "trixie-docker",
        tree: "docker",
        unit: "redis-server",
        conf: "/etc/redis/redis.conf",
        cli: "redis-cli",
    },
];

pub fn host(name: &str) -> Result<Host, Fail> {
    HOSTS.iter().copied().find(|h| h.name == name).ok_or_else(|| {
        let names: Vec<_> = HOSTS.iter().map(|h| h.name).collect();
        format!("no tree {name}; there are {}", names.join(", "))
    })
}

/// The tree's folder, made if it is missing. Several processes may ask at once: one makes it.
pub fn ready(name: &str) -> Result<PathBuf, Fail> {
    let recipe = RECIPES.iter().find(|r| r.name == name).ok_or_else(|| format!("no recipe for {name}"))?;
    let path = Path::new(CACHE).join(format!("{}-{:016x}", recipe.name, stamp(recipe)));
    if path.is_dir() {
        return Ok(path);
    }
    fs::create_dir_all(CACHE).map_err(|e| format!("cannot make {CACHE}: {e}"))?;
    let lock = Path::new(CACHE).join(format!("{name}.lock"));
    let lock = fs::File::create(&lock).map_err(|e| format!("cannot open {}: {e}", lock.display()))?;
    lock.lock().map_err(|e| format!("cannot lock the tree {name}: {e}"))?;
    if path.is_dir() {
        return Ok(path);
    }
    make(recipe, &path)?;
    Ok(path)
}

fn make(recipe: &Recipe, path: &Path) -> Result<(), Fail> {
    let part = Path::new(CACHE).join(format!("{}.part", recipe.name));
    let _ = fs::remove_dir_all(&part);
    let debs = Path::new(CACHE).join("debs");
    fs::create_dir_all(&debs).map_err(|e| format!("cannot make {}: {e}", debs.display()))?;
    let include = format!("--include={COMMON}{}", recipe.extra);
    let cache = format!("--cache-dir={}", debs.display());
    let dir = part.display().to_string();
    let mirror = mirror();
    let mut argv = vec!["debootstrap", "--variant=minbase", &include, &cache, recipe.suite, &dir];
    argv.extend(mirror.as_deref());
    shell::must(Duration::from_secs(600), &argv, "")?;
    shell::must(Duration::from_secs(300), &["chroot", &dir, "sh", "-s"], FINISH)?;
    shell::must(Duration::from_secs(300), &["chroot", &dir, "bash", "-es"], recipe.after)?;
    for entry in fs::read_dir(CACHE).into_iter().flatten().flatten() {
        // Trees of older recipes: nobody boots them any more.
        let file = entry.file_name();
        let file = file.to_string_lossy();
        if file.starts_with(&format!("{}-", recipe.name)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    fs::rename(&part, path).map_err(|e| format!("cannot rename {dir}: {e}"))
}

/// FNV-1a over everything that shapes the tree.
fn stamp(recipe: &Recipe) -> u64 {
    [recipe.suite, COMMON, recipe.extra, FINISH, recipe.after]
        .iter()
        .flat_map(|s| s.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The mirror this machine's own apt uses, if it is a Debian; otherwise debootstrap knows one.
fn mirror() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    if !release.lines().any(|l| l == "ID=debian") {
        return None;
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|e| e.path()));
    files.iter().filter_map(|f| fs::read_to_string(f).ok()).find_map(|text| mirror_in(&text))
}

/// The first archive with a `main` component and a plain release suite, in either of apt's formats.
fn mirror_in(text: &str) -> Option<String> {
    let releases = ["bookworm", "trixie", "stable", "oldstable"];
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().filter(|w| !w.starts_with('[')).collect();
        if let ["deb", uri, suite, components @ ..] = &words[..]
            && releases.contains(suite)
            && components.contains(&"main")
        {
            return Some((*uri).to_owned());
        }
    }
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            stanza.lines().find_map(|l| l.strip_prefix(name).and_then(|v| v.strip_prefix(':'))).map(str::trim)
        };
        let suites = field("Suites")?;
        let plain = suites.split_whitespace().any(|s| releases.contains(&s));
        let main = field("Components")?.split_whitespace().any(|c| c == "main");
        (plain && main).then(|| field("URIs")?.split_whitespace().next().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_in_both_formats() {
        let one = "deb https://other.example/x focal main\ndeb [signed-by=/k.gpg] http://m.example/debian bookworm main contrib\n";
        assert_eq!(mirror_in(one).as_deref(), Some("http://m.example/debian"));
        let deb822 = "Types: deb\nURIs: http://s.example/security\nSuites: bookworm-security\nComponents: main\n\n\
            Types: deb\n# a comment\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";
        assert_eq!(mirror_in(deb822).as_deref(), Some("http://m.example/debian"));
        assert_eq!(
            mirror_in("Types: deb\nURIs: https://x.example\nSuites: nodistro\nComponents: main\n"),
            None
        );
    }
}
