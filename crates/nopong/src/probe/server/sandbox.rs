//! Which paths a unit's sandbox leaves writable: `ReadWritePaths=`, `ProtectSystem=` and their kin (systemd.exec(5)).

use crate::evidence::server::Unit;
use std::path::{Path, PathBuf};

/// What the service can do with a path, as far as the sandbox goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Writable,
    ReadOnly,
    Hidden,
}

/// The rules: the longest path that holds decides.
#[derive(Debug, Default)]
pub(super) struct Sandbox {
    rules: Vec<(PathBuf, Reach, String)>,
    made: Vec<PathBuf>,
}

impl Sandbox {
    /// Reads a unit's settings.
    pub(super) fn of(unit: &Unit) -> Self {
        let mut sandbox = Self::default();
        let value = |name: &str| unit.sandbox.get(name).map_or("", String::as_str);
        for (name, reach) in [
            ("ReadWritePaths", Reach::Writable),
            ("ReadOnlyPaths", Reach::ReadOnly),
            ("InaccessiblePaths", Reach::Hidden),
        ] {
            for path in value(name).split_whitespace() {
                // `-`: may be missing; `+`: within the service's root.
                let path = path.trim_start_matches(['-', '+']);
                sandbox.rule(path, reach, format!("{name}={path}"));
            }
        }
        let system = value("ProtectSystem");
        let roots: &[&str] = match system {
            "yes" => &["/usr", "/boot", "/efi"],
            "full" => &["/usr", "/boot", "/efi", "/etc"],
            "strict" => &["/"],
            _ => &[],
        };
        for root in roots {
            sandbox.rule(root, Reach::ReadOnly, format!("ProtectSystem={system}"));
        }
        if system == "strict" {
            for open in ["/dev", "/proc", "/sys"] {
                sandbox.rule(open, Reach::Writable, String::new());
            }
        }
        let home = value("ProtectHome");
        let reach = if home == "read-only" { Reach::ReadOnly } else { Reach::Hidden };
        if !home.is_empty() {
            for root in ["/home", "/root", "/run/user"] {
                sandbox.rule(root, reach, format!("ProtectHome={home}"));
            }
        }
        if unit.sandbox.contains_key("PrivateTmp") {
            for root in ["/tmp", "/var/tmp"] {
                sandbox.rule(root, Reach::Writable, String::new());
            }
        }
        for (name, root) in
            [("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log")]
        {
            for dir in value(name).split_whitespace() {
                let path = Path::new(root).join(dir);
                sandbox.rules.push((path.clone(), Reach::Writable, String::new()));
                sandbox.made.push(path);
            }
        }
        sandbox
    }

    fn rule(&mut self, path: &str, reach: Reach, by: String) {
        self.rules.push((PathBuf::from(path), reach, by));
    }

    /// What holds for a path, and by which setting.
    pub(super) fn reach(&self, path: &Path) -> (Reach, &str) {
        let real = crate::sys::canonical(path).unwrap_or_else(|| path.to_path_buf());
        // Of two rules for one path the one that allows is the later mount.
        let holds = self.rules.iter().filter(|(root, ..)| real.starts_with(root) || path.starts_with(root));
        let best =
            holds.max_by_key(|(root, reach, _)| (root.components().count(), *reach == Reach::Writable));
        best.map_or((Reach::Writable, ""), |(_, reach, by)| (*reach, by))
    }

    /// systemd makes this directory when the unit starts.
    pub(super) fn made(&self, path: &Path) -> bool {
        // /var/run is a link to /run.
        let path =
            path.strip_prefix("/var/run").map_or_else(|_| path.to_path_buf(), |p| Path::new("/run").join(p));
        self.made.iter().any(|made| path.starts_with(made))
    }
}

#[cfg(test)]
mod tests {
    use super::{Reach, Sandbox};
    use crate::evidence::server::Unit;
    use std::path::Path;

    fn sandbox(settings: &[(&str, &str)]) -> Sandbox {
        let sandbox = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Sandbox::of(&Unit { sandbox, ..Unit::default() })
    }

    #[test]
    fn the_longest_rule_decides() {
        let debian = sandbox(&[
            ("ReadOnlyPaths", "/"),
            ("ReadWritePaths", "-/var/lib/redis -/var/log/redis -/run/redis"),
            ("ProtectSystem", "yes"),
            ("ProtectHome", "yes"),
            ("RuntimeDirectory", "redis"),
        ]);
        assert_eq!(debian.reach(Path::new("/var/lib/redis")).0, Reach::Writable);
        assert_eq!(debian.reach(Path::new("/var/lib/redis2")).0, Reach::ReadOnly);
        assert_eq!(debian.reach(Path::new("/srv")), (Reach::ReadOnly, "ReadOnlyPaths=/"));
        assert_eq!(debian.reach(Path::new("/root/redis")).0, Reach::Hidden);
        assert!(debian.made(Path::new("/run/redis")));
        assert!(debian.made(Path::new("/var/run/redis/x")));
        assert!(!debian.made(Path::new("/run/other")));
        assert_eq!(sandbox(&[]).reach(Path::new("/")).0, Reach::Writable);
    }
}
