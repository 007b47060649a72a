//! Which server reads the file: the fork and the release, and which rows of the table it knows.
//! Does not find out which server is installed; the caller does.

use std::fmt;

/// Whose server it is: they share the format and differ in directives and in some texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    Redis,
    Valkey,
}

/// A server release whose directives are in the table. A version between two rows behaves as the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    Redis70,
    Redis72,
    Redis74,
    Redis80,
    Valkey72,
    Valkey80,
    Valkey81,
}

impl Release {
    pub const ALL: [Self; 7] = [
        Self::Redis70,
        Self::Redis72,
        Self::Redis74,
        Self::Redis80,
        Self::Valkey72,
        Self::Valkey80,
        Self::Valkey81,
    ];

    /// The newest release of Redis in the table, for a machine that has none installed.
    pub const NEWEST: Self = Self::Redis80;

    pub fn fork(self) -> Fork {
        match self {
            Self::Redis70 | Self::Redis72 | Self::Redis74 | Self::Redis80 => Fork::Redis,
            Self::Valkey72 | Self::Valkey80 | Self::Valkey81 => Fork::Valkey,
        }
    }

    pub fn version(self) -> (u16, u16) {
        match self {
            Self::Redis70 => (7, 0),
            Self::Redis72 | Self::Valkey72 => (7, 2),
            Self::Redis74 => (7, 4),
            Self::Redis80 | Self::Valkey80 => (8, 0),
            Self::Valkey81 => (8, 1),
        }
    }

    /// Reads `7.0.15`, `8`, `valkey 8.1`, `valkey-8.1.1` or what `--version` prints
    /// (`Redis server v=7.0.15 sha=…`, `Valkey server v=8.1.1 …`).
    ///
    /// A version older than the table is read as the oldest release of its fork, a newer one as the newest.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let fork = if lower.contains("valkey") { Fork::Valkey } else { Fork::Redis };
        let number = match lower.split_once("v=") {
            Some((_, rest)) => rest,
            None => lower.trim_start_matches(|c: char| !c.is_ascii_digit()),
        };
        let mut parts = number.split(|c: char| !c.is_ascii_digit());
        let major: u16 = parts.next()?.parse().ok()?;
        let written: Option<u16> = parts.next().and_then(|p| p.parse().ok());
        let minor = written.or_else(|| Self::newest_minor(fork, major)).unwrap_or_default();
        Some(Self::nearest(fork, (major, minor)))
    }

    fn newest_minor(fork: Fork, major: u16) -> Option<u16> {
        Self::ALL.iter().filter(|r| r.fork() == fork && r.version().0 == major).map(|r| r.version().1).max()
    }

    fn nearest(fork: Fork, version: (u16, u16)) -> Self {
        let mut found = match fork {
            Fork::Redis => Self::Redis70,
            Fork::Valkey => Self::Valkey72,
        };
        for release in Self::ALL {
            if release.fork() == fork && release.version() <= version {
                found = release;
            }
        }
        found
    }

    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// From Redis 8.0 on a directive nobody knows is kept for modules and refused only after they are loaded.
    pub(crate) fn queues_unknown_directives(self) -> bool {
        self == Self::Redis80
    }

    /// From 7.2 on sockets are opened after modules and ACLs are loaded; 7.0 opens them first.
    pub(crate) fn listens_last(self) -> bool {
        self != Self::Redis70
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.version();
        match self.fork() {
            Fork::Redis => write!(f, "Redis {major}.{minor}"),
            Fork::Valkey => write!(f, "Valkey {major}.{minor}"),
        }
    }
}

/// A set of releases, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Releases(pub(crate) u8);

impl Releases {
    pub(crate) const ALL: Self = Self(0x7f);
    pub(crate) const fn of(releases: &[Release]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < releases.len() {
            bits |= releases[i].bit();
            i += 1;
        }
        Self(bits)
    }

    pub(crate) const fn contains(self, release: Release) -> bool {
        self.0 & release.bit() != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Release> {
        Release::ALL.into_iter().filter(move |r| self.contains(*r))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_as_people_and_servers_write_them() {
        let cases = [
            ("7.0.15", Release::Redis70),
            ("7.2", Release::Redis72),
            ("8", Release::Redis80),
            ("6.2.7", Release::Redis70),
            ("9.9", Release::Redis80),
            ("valkey 8.1", Release::Valkey81),
            ("valkey-8", Release::Valkey81),
            ("redis 7.4.1", Release::Redis74),
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c97",
                Release::Redis70,
            ),
            ("Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0", Release::Valkey81),
        ];
        for (text, release) in cases {
            assert_eq!(Release::parse(text), Some(release), "{text}");
        }
        assert_eq!(Release::parse("latest"), None);
        assert_eq!(Release::parse(""), None);
        assert_eq!(Release::parse("99999999.1"), None);
    }
}
