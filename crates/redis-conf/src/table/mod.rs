//! The directives a server knows: name, alias, type, default and the releases that have it.
//! The rows are in `rows`; words are checked against a row's type in `value`.

mod rows;
pub(crate) mod value;

use crate::release::{Fork, Release, Releases};

pub(crate) use rows::ROWS;

/// What the words behind a directive must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// Any text; the rule adds a restriction.
    Text(TextRule),
    /// One of the words (or, where `many`, several that add up); equal numbers are synonyms.
    Words { words: &'static [(&'static str, u8)], many: bool },
    /// A whole number within bounds.
    Number { lower: i64, upper: u64, unsigned: bool, form: Form },
    /// Directives with a grammar of their own.
    Special(Special),
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// `100mb`; printed in bytes.
    Memory,
    /// `100mb` or `5%`, the latter kept as a negative number.
    MemoryOrPercent,
    Octal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRule {
    Any,
    DbFilename,
    DbFilenameNotEmpty,
    AppendFilename,
    AppendDirname,
    Hostname,
    NodeName,
    ProcTitle,
    ClusterConfigFile,
    Ipv4,
    Ipv6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Bind,
    ClientOutputBufferLimit,
    Dir,
    LatencyPercentiles,
    NotifyKeyspaceEvents,
    OomScoreAdjValues,
    RdmaBind,
    ReplicaOf,
    Save,
}

/// One row: a directive, or what a directive was in some releases.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    pub name: &'static str,
    pub alias: Option<&'static str>,
    pub kind: Kind,
    /// As `CONFIG GET` prints it.
    pub default: &'static str,
    /// Cannot be changed by `CONFIG SET`, only by a restart.
    pub immutable: bool,
    /// Takes more than one word.
    pub multi: bool,
    /// Not listed by `CONFIG GET *`.
    pub hidden: bool,
    /// Its value must never be shown.
    pub secret: bool,
    pub(crate) releases: Releases,
}

impl Directive {
    /// The row for a name or alias, in any case of letters, in that release.
    pub fn find(name: &[u8], release: Release) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.releases.contains(release) && row.is_called(name))
    }

    pub fn all(release: Release) -> impl Iterator<Item = &'static Self> {
        ROWS.iter().filter(move |row| row.releases.contains(release))
    }

    fn is_called(&self, name: &[u8]) -> bool {
        self.name.as_bytes().eq_ignore_ascii_case(name)
            || self.alias.is_some_and(|alias| alias.as_bytes().eq_ignore_ascii_case(name))
    }

    const fn new(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self {
            name,
            alias: None,
            kind,
            default,
            immutable: false,
            multi: false,
            hidden: false,
            secret: false,
            releases: Releases::ALL,
        }
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn only(mut self, releases: Releases) -> Self {
        self.releases = releases;
        self
    }

    const fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    const fn multi(mut self) -> Self {
        self.multi = true;
        self
    }

    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// Where a directive that this release does not know is known: for a hint.
pub(crate) fn known_elsewhere(name: &[u8], release: Release) -> Option<String> {
    let known: Vec<Release> =
        ROWS.iter().filter(|row| row.is_called(name)).flat_map(|row| row.releases.iter()).collect();
    let same: Vec<Release> = known.iter().copied().filter(|r| r.fork() == release.fork()).collect();
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    if let Some(first) = same.iter().filter(|r| **r > release).min() {
        return Some(format!("{name} is known from {first} on; this is {release}"));
    }
    if let Some(last) = same.iter().filter(|r| **r < release).max() {
        return Some(format!("{name} was last known in {last}; this is {release}"));
    }
    let other = known.iter().filter(|r| r.fork() != release.fork()).min()?;
    let fork = match other.fork() {
        Fork::Redis => "Redis",
        Fork::Valkey => "Valkey",
    };
    Some(format!("{name} is a directive of {fork} (from {other}); this is {release}"))
}

/// The directive whose name is nearest to a mistyped one, if one is near enough.
pub(crate) fn nearest_name(name: &[u8], release: Release) -> Option<&'static str> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    if name.len() < 3 || name.len() > 64 {
        return None;
    }
    let specials = ["include", "rename-command", "user", "loadmodule", "sentinel"];
    Directive::all(release)
        .filter(|row| !row.hidden)
        .flat_map(|row| [Some(row.name), row.alias].into_iter().flatten())
        .chain(specials)
        .map(|known| (distance(&name, known), known))
        .filter(|(d, known)| *d > 0 && *d <= 2 && *d * 3 <= known.len())
        .min()
        .map(|(_, known)| known)
}

/// The one directive that a mistyped name can only mean: near enough, and no other as near, in whatever release.
pub fn evident_name(name: &[u8]) -> Option<&'static str> {
    let near = |release: &Release| nearest_name(name, *release);
    let found = Release::ALL.iter().find_map(near)?;
    let text = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    let own = distance(&text, found);
    let rival = |row: &Directive| {
        !row.hidden
            && [Some(row.name), row.alias]
                .into_iter()
                .flatten()
                .any(|n| n != found && distance(&text, n) <= own)
    };
    let rivals = Release::ALL.iter().any(|r| Directive::all(*r).any(rival));
    (!rivals).then_some(found)
}

/// Levenshtein's distance with `-` and `_` taken as equal.
fn distance(a: &str, b: &str) -> usize {
    let same = |x: u8, y: u8| x == y || (matches!(x, b'-' | b'_') && matches!(y, b'-' | b'_'));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = if x == y { 0 } else { 1 };
            let next = (corner + cost).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = if same(x, y) && x != y { next.max(1) } else { next };
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_row_in_each_release() {
        for release in Release::ALL {
            let mut seen = std::collections::BTreeSet::new();
            for row in Directive::all(release) {
                for name in [Some(row.name), row.alias].into_iter().flatten() {
                    assert!(seen.insert(name), "{name} twice in {release}");
                    assert_eq!(name, name.to_ascii_lowercase());
                }
            }
            assert!(seen.len() > 180, "{release}");
        }
    }

    #[test]
    fn hints_name_the_release_or_the_near_name() {
        let hint = |name: &str, r| known_elsewhere(name.as_bytes(), r);
        assert_eq!(
            hint("set-max-listpack-entries", Release::Redis70).as_deref(),
            Some("set-max-listpack-entries is known from Redis 7.2 on; this is Redis 7.0")
        );
        assert!(
            hint("io-threads-do-reads", Release::Redis80)
                .is_some_and(|h| h.contains("last known in Redis 7.4"))
        );
        assert!(hint("rdma-port", Release::Redis70).is_some_and(|h| h.contains("Valkey")));
        assert_eq!(hint("no-such", Release::Redis70), None);
        assert_eq!(nearest_name(b"requirepas", Release::Redis70), Some("requirepass"));
        assert_eq!(nearest_name(b"max-clients", Release::Redis70), Some("maxclients"));
        assert_eq!(nearest_name(b"zzzzz", Release::Redis70), None);
        assert_eq!(evident_name(b"maxmemry"), Some("maxmemory"));
        assert_eq!(evident_name(b"prt"), Some("port"));
        assert_eq!(evident_name(b"zzzzz"), None);
    }
}
