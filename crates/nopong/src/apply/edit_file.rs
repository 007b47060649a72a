//! Changes lines of a file, atomically: written beside it, synced, renamed over it, with owner, mode and extended
//! attributes (ACL, SELinux label) kept.
//!
//! The receipt holds the lines that were replaced and digests of both states, not the new lines: a new line may be
//! a password. A line that is a secret itself is never replaced.
#![expect(clippy::disallowed_methods, reason = "the writer of files")]

use super::{Change, Fault, State};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// An edit of one file.
#[derive(Clone, Serialize, Deserialize)]
pub struct EditFile {
    path: String,
    says: String,
    /// Digest of the content before and after.
    before: String,
    after: String,
    /// Replaced parts, in order, in line numbers of the new content (from 0).
    hunks: Vec<Hunk>,
    /// The new content; in memory only.
    #[serde(skip)]
    content: Option<Vec<u8>>,
    /// For the diff that is shown, secrets replaced; in memory only.
    #[serde(skip)]
    diff: String,
}

impl std::fmt::Debug for EditFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EditFile({})", self.path)
    }
}

/// `added` lines at `at` stand where `removed` stood.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Hunk {
    at: usize,
    added: usize,
    removed: Vec<Vec<u8>>,
    /// Instead of `removed`: how to make it from the added lines, which hold the secret that no receipt may store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pieces: Vec<Piece>,
}

/// A part of what was removed.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Piece {
    /// So many bytes of the added lines, from there.
    Copy(usize, usize),
    /// These.
    Text(Vec<u8>),
}

/// `old` from parts of `new`, with as little as possible of its own: the longest common subsequence between the
/// common head and tail.
fn pieces(old: &[u8], new: &[u8]) -> Vec<Piece> {
    /// The table of a longer middle would be large; it is not an address then.
    const MIDDLE: usize = 1000;
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    if a.len() > MIDDLE || b.len() > MIDDLE {
        return vec![Piece::Text(old.to_vec())];
    }
    let width = b.len() + 1;
    let mut common = vec![0u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = match a[i] == b[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let mut made = vec![Piece::Copy(0, head)];
    let (mut i, mut j) = (0, 0);
    while i < a.len() {
        if j < b.len() && a[i] == b[j] {
            match made.last_mut() {
                Some(Piece::Copy(at, len)) if *at + *len == head + j => *len += 1,
                _ => made.push(Piece::Copy(head + j, 1)),
            }
            (i, j) = (i + 1, j + 1);
        } else if j < b.len() && common[i * width + j + 1] >= common[(i + 1) * width + j] {
            j += 1;
        } else {
            match made.last_mut() {
                Some(Piece::Text(text)) => text.push(a[i]),
                _ => made.push(Piece::Text(vec![a[i]])),
            }
            i += 1;
        }
    }
    made.push(Piece::Copy(new.len() - tail, tail));
    made.retain(|p| !matches!(p, Piece::Copy(_, 0)));
    made
}

/// The opposite of [`pieces`]; none when they do not fit.
fn assembled(pieces: &[Piece], new: &[u8]) -> Option<Vec<u8>> {
    let mut old = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Copy(at, len) => old.extend(new.get(*at..at.checked_add(*len)?)?),
            Piece::Text(text) => old.extend(text),
        }
    }
    Some(old)
}

/// What the pieces give away of the secrets in `old`: a delimiter or two, never a word.
fn gives_away(pieces: &[Piece], old: &[u8]) -> bool {
    let text = String::from_utf8_lossy(old);
    if text.len() != old.len() {
        return true;
    }
    let hidden = crate::target::hidden(&text);
    let (mut at, mut bare) = (0, 0);
    for piece in pieces {
        let Piece::Text(own) = piece else {
            at += if let Piece::Copy(_, len) = piece { *len } else { 0 };
            continue;
        };
        for (i, byte) in own.iter().enumerate() {
            if hidden.iter().any(|r| r.contains(&(at + i))) {
                if byte.is_ascii_alphanumeric() {
                    return true;
                }
                bare += 1;
            }
        }
        at += own.len();
    }
    let secret: usize = hidden.iter().map(std::ops::Range::len).sum();
    bare * 2 > secret
}

fn digest(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').collect()
}

impl EditFile {
    /// An edit that makes `before` into `after`. `secret` tells which lines must not be stored or shown.
    /// None when there is nothing to change; an error when a secret line would have to be stored.
    pub fn new(
        path: &str,
        says: &str,
        before: &[u8],
        after: Vec<u8>,
        secret: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Self>, Fault> {
        if before == after {
            return Ok(None);
        }
        let (old, new) = (lines(before), lines(&after));
        let hunks = hunks(&old, &new);
        if hunks.iter().flat_map(|h| &h.removed).any(|l| secret(l)) {
            return Err(Fault::new(format!(
                "{path}: the line to change holds a secret, which no receipt may store; change it by hand"
            )));
        }
        let diff = diff(&old, &new, &hunks, secret);
        Ok(Some(Self::made(path, says, before, after, hunks, diff)))
    }

    /// An edit of an application's settings file. Its old lines may hold the password that the new ones keep: the
    /// receipt gets how to make the old from the new instead. An error when even that would store some of a secret.
    pub fn of_settings(path: &str, says: &str, before: &[u8], after: Vec<u8>) -> Result<Option<Self>, Fault> {
        if before == after {
            return Ok(None);
        }
        let (old, new) = (lines(before), lines(&after));
        let mut hunks = hunks(&old, &new);
        for hunk in &mut hunks {
            let removed = hunk.removed.concat();
            let text = String::from_utf8_lossy(&removed);
            if crate::target::hidden(&text).is_empty() {
                continue;
            }
            let added = new[hunk.at..hunk.at + hunk.added].concat();
            let made = pieces(&removed, &added);
            if gives_away(&made, &removed) || assembled(&made, &added).as_deref() != Some(&removed) {
                return Err(Fault::new(format!(
                    "{path}: the change would put a part of a secret into the receipt; change it by hand"
                )));
            }
            hunk.removed.clear();
            hunk.pieces = made;
        }
        let diff = settings_diff(before, &after);
        Ok(Some(Self::made(path, says, before, after, hunks, diff)))
    }

    fn made(path: &str, says: &str, before: &[u8], after: Vec<u8>, hunks: Vec<Hunk>, diff: String) -> Self {
        let (path, says) = (path.to_owned(), says.to_owned());
        let (before, digest_after) = (digest(before), digest(&after));
        Self { path, says, before, after: digest_after, hunks, diff, content: Some(after) }
    }

    /// The change as a diff, secrets replaced.
    pub fn diff(&self) -> &str {
        &self.diff
    }

    /// This user owns the file and may write beside it.
    pub fn is_ours_to_write(&self) -> bool {
        let Ok(real) = real_path(&self.path) else { return false };
        let own = sys::stat(&real).is_ok_and(|m| m.uid() == nix::unistd::geteuid().as_raw());
        let beside =
            real.parent().is_some_and(|d| nix::unistd::access(d, nix::unistd::AccessFlags::W_OK).is_ok());
        own && beside
    }

    /// The file.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Hunks between two line lists: common head and tail, and between them a greedy match of equal lines.
fn hunks(old: &[&[u8]], new: &[&[u8]]) -> Vec<Hunk> {
    let mut hunks = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        // The nearest place where both meet again; edits are small, so the search is.
        let (mut skip_old, mut skip_new) = (old.len() - i, new.len() - j);
        'search: for distance in 1..=64usize {
            for a in 0..=distance {
                let b = distance - a;
                if old.get(i + a).is_some() && old.get(i + a) == new.get(j + b) {
                    (skip_old, skip_new) = (a, b);
                    break 'search;
                }
            }
        }
        let removed = old[i..i + skip_old].iter().map(|l| l.to_vec()).collect();
        hunks.push(Hunk { at: j, added: skip_new, removed, pieces: Vec::new() });
        (i, j) = (i + skip_old, j + skip_new);
    }
    hunks
}

/// The diff of a settings file, each line as it may be shown.
fn settings_diff(before: &[u8], after: &[u8]) -> String {
    let (old, new) = (lines(before), lines(after));
    let shown = |line: &[u8]| {
        let line = crate::target::shown_line(&String::from_utf8_lossy(line));
        crate::text::shown_str(line.trim_end(), 200)
    };
    diff_with(&old, &new, &hunks(&old, &new), shown)
}

fn diff(old: &[&[u8]], new: &[&[u8]], hunks: &[Hunk], secret: impl Fn(&[u8]) -> bool) -> String {
    diff_with(old, new, hunks, |line| {
        let text = if secret(line) { redis_conf_name(line) } else { line.to_vec() };
        crate::text::shown(text.trim_ascii_end(), 200)
    })
}

fn diff_with(old: &[&[u8]], new: &[&[u8]], hunks: &[Hunk], shown: impl Fn(&[u8]) -> String) -> String {
    let mut out = String::new();
    let mut shift: isize = 0;
    for hunk in hunks {
        let from = (hunk.at as isize - shift) as usize;
        out.push_str(&format!("@@ line {} @@\n", from + 1));
        debug_assert!(from + hunk.removed.len() <= old.len());
        for line in &hunk.removed {
            out.push_str(&format!("-{}\n", shown(line)));
        }
        for line in &new[hunk.at..hunk.at + hunk.added] {
            out.push_str(&format!("+{}\n", shown(line)));
        }
        shift += hunk.added as isize - hunk.removed.len() as isize;
    }
    out
}

/// `requirepass ***` of a secret line.
fn redis_conf_name(line: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = line.iter().copied().take_while(|b| !b.is_ascii_whitespace() && *b != b'=').collect();
    [name.as_slice(), b" ***"].concat()
}

impl Change for EditFile {
    fn says(&self) -> String {
        format!("{}: {}", self.path, self.says)
    }

    fn command(&self) -> Option<String> {
        None
    }

    fn observe(&self) -> Result<State, Fault> {
        let real = real_path(&self.path)?;
        let bytes = whole(&real)?;
        Ok(serde_json::json!({ "sha256": digest(&bytes) }))
    }

    fn apply(&mut self, before: &State) -> Result<(), Fault> {
        if before["sha256"] != self.before.as_str() {
            return Err(Fault::conflict(format!("{} changed since the plan was made", self.path)));
        }
        if let Some(why) = unreplaceable(&self.path) {
            return Err(Fault::new(why));
        }
        let content =
            self.content.take().ok_or_else(|| Fault::new("the new content is not in memory any more"))?;
        replace(&real_path(&self.path)?, &content)
    }

    fn is_ours(&self, now: &State, _before: &State) -> bool {
        now["sha256"] == self.after.as_str()
    }

    fn restore(&self, before: &State) -> Result<(), Fault> {
        let real = real_path(&self.path)?;
        let now = whole(&real)?;
        let new = lines(&now);
        let mut old: Vec<u8> = Vec::new();
        let mut next = 0;
        for hunk in &self.hunks {
            let untouched =
                new.get(next..hunk.at).ok_or_else(|| Fault::conflict("it is shorter than we left it"))?;
            old.extend(untouched.concat());
            next = hunk.at + hunk.added;
            if hunk.pieces.is_empty() {
                old.extend(hunk.removed.concat());
            } else {
                let added = new.get(hunk.at..next).unwrap_or_default().concat();
                old.extend(assembled(&hunk.pieces, &added).unwrap_or_default());
            }
        }
        old.extend(new.get(next..).unwrap_or_default().concat());
        if before["sha256"] != digest(&old).as_str() {
            return Err(Fault::conflict(format!("{} is not as it was left; nothing written", self.path)));
        }
        replace(&real, &old)
    }

    fn tidy(&self) {
        let Ok(real) = real_path(&self.path) else { return };
        let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else { return };
        // Only what `replace` names so, of whichever process.
        let ours = format!(".{}.nopong-", name.to_string_lossy());
        for file in sys::list(directory, 10_000).unwrap_or_default() {
            let left = file.to_str().and_then(|f| f.strip_prefix(ours.as_str()));
            if left.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit())) {
                drop(std::fs::remove_file(directory.join(&file)));
            }
        }
    }
}

/// Configuration management links files into place: the file behind the link is changed, not the link.
fn real_path(path: &str) -> Result<PathBuf, Fault> {
    std::fs::canonicalize(path).map_err(|e| Fault::new(format!("{path}: {}", sys::errno_name(&e))))
}

/// Why a file is not replaced, known before anything is done: what would not take it, or what would be parted by it.
pub fn unreplaceable(path: &str) -> Option<String> {
    let real = real_path(path).ok()?;
    let folder = real.parent()?;
    let shown = real.display();
    let names = sys::stat(&real).map_or(1, |m| m.nlink());
    if names > 1 {
        return Some(format!(
            "{shown} has {names} names (hard links), of which the others would keep the old content: \
             find / -xdev -samefile {shown}, and make one of them a symbolic link"
        ));
    }
    if sys::room(folder).is_some_and(|(.., read_only)| read_only) {
        return Some(format!("{} is on a file system that is mounted read-only", folder.display()));
    }
    if let Some(how) = sys::pinned(&real) {
        return Some(format!(
            "{shown} is {how}: whoever made it so wants it kept; edit it where it comes from"
        ));
    }
    sys::pinned(folder).map(|how| format!("{} is {how}: nothing in it can be replaced", folder.display()))
}

/// The whole file; a cut one must not be written back.
fn whole(path: &Path) -> Result<Vec<u8>, Fault> {
    let bytes = sys::read(path, sys::FILE_MAX)
        .map_err(|e| Fault::new(format!("{}: {}", path.display(), sys::errno_name(&e))))?;
    if bytes.len() >= sys::FILE_MAX {
        return Err(Fault::new(format!("{} is larger than {} bytes", path.display(), sys::FILE_MAX)));
    }
    Ok(bytes)
}

/// Replaces a file's content so that after a power cut it is the old one or the new one, whole.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), Fault> {
    let fault = |what: &str, e: &std::io::Error| {
        Fault::new(format!("cannot {what} {}: {}", path.display(), sys::errno_name(e)))
    };
    let directory =
        path.parent().ok_or_else(|| Fault::new(format!("{} has no directory", path.display())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = directory.join(format!(".{name}.nopong-{}", nix::unistd::getpid()));
    let old = std::fs::metadata(path).map_err(|e| fault("read", &e))?;
    // A leftover of a killed run with the same pid is ours by its name.
    drop(std::fs::remove_file(&beside));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        file.set_permissions(old.permissions())?;
        copy_attributes(path, &beside)?;
        file.sync_all()?;
        super::point();
        std::fs::rename(&beside, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|e| {
        drop(std::fs::remove_file(&beside));
        fault("replace", &e)
    })
}

/// ACLs and SELinux labels are extended attributes. A file system without them has none to lose.
pub(super) fn copy_attributes(from: &Path, to: &Path) -> std::io::Result<()> {
    let names = match xattr::list(from) {
        Ok(names) => names,
        Err(e) if e.raw_os_error() == Some(nix::libc::ENOTSUP) => return Ok(()),
        Err(e) => return Err(e),
    };
    for name in names {
        if let Some(value) = xattr::get(from, &name)? {
            xattr::set(to, &name, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(before: &str, after: &str) {
        let dir = std::env::temp_dir().join(format!(
            "nopong-edit-{}-{:x}",
            nix::unistd::getpid(),
            before.len() * 1000 + after.len()
        ));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("f.conf");
        std::fs::write(&path, before).unwrap();
        let mut change = EditFile::new(
            path.to_str().unwrap(),
            "test",
            before.as_bytes(),
            after.as_bytes().to_vec(),
            |_| false,
        )
        .unwrap()
        .unwrap();
        let state = change.observe().unwrap();
        change.apply(&state).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        // What undo has is what was stored: the content is not in it.
        let stored: EditFile = serde_json::from_str(&serde_json::to_string(&change).unwrap()).unwrap();
        assert!(stored.is_ours(&stored.observe().unwrap(), &state));
        stored.restore(&state).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn undo_is_the_identity() {
        edit("a\nb\nc\n", "a\nB\nc\n");
        edit("a\nb\nc\n", "a\nb\nx\ny\nc\n");
        edit("a\nb\nc", "a\nc");
        edit("", "requirepass x\n");
        edit("bind 127.0.0.1\nport 1\n# end", "bind 127.0.0.1 10.0.0.5\nport 1\n# end\nrequirepass q\n");
    }

    #[test]
    fn a_setting_with_a_password_goes_back_without_a_copy_of_it() {
        for (before, after) in [
            (
                "A=1\nREDIS_URL=redis://:hunter@22/x@c:1/0\nB=2\n",
                "A=1\nREDIS_URL=redis://:hunter%4022%2Fx@c:1/0\nB=2\n",
            ),
            (
                "REDIS_URL=redis://:hunter@22/w%1@c:1/0 # x\n",
                "REDIS_URL=redis://:hunter%4022%2Fw%251@c:1/0 # x\n",
            ),
            ("REDIS_URL=redis://u:hunter22@c:1\n", "REDIS_URL=rediss://u:hunter22@c:1\n"),
            ("REDIS_URL=redis://u:hunter22@c:6380\n", "REDIS_URL=redis://u:hunter22@c:6379\n"),
        ] {
            let edit = EditFile::of_settings("/x", "t", before.as_bytes(), after.as_bytes().to_vec())
                .unwrap()
                .unwrap();
            let stored = serde_json::to_string(&edit).unwrap();
            assert!(!stored.contains("hunter") && !edit.diff().contains("hunter"), "{}", edit.diff());
            // Byte arrays are stored as numbers.
            assert!(!stored.contains("104,117,110"), "{stored}");
            let stored: EditFile = serde_json::from_str(&stored).unwrap();
            let now = lines(after.as_bytes());
            let hunk = &stored.hunks[0];
            let added = now[hunk.at..hunk.at + hunk.added].concat();
            let line = before.split_inclusive('\n').find(|l| l.contains("hunter")).unwrap();
            assert_eq!(assembled(&hunk.pieces, &added).unwrap(), line.as_bytes());
        }
        let (before, after) =
            (&b"REDIS_URL=redis://:hunter@c\n"[..], b"REDIS_URL=redis://:other@c\n".to_vec());
        assert!(EditFile::of_settings("/x", "t", before, after).is_err());
    }

    #[test]
    fn a_receipt_holds_no_secret() {
        let secret = |l: &[u8]| l.starts_with(b"requirepass");
        let change =
            EditFile::new("/x", "t", b"a\n", b"a\nrequirepass hunter22\n".to_vec(), secret).unwrap().unwrap();
        assert!(!serde_json::to_string(&change).unwrap().contains("hunter22"));
        assert!(!change.diff().contains("hunter22"));
        assert!(
            EditFile::new("/x", "t", b"requirepass old\n", b"requirepass new\n".to_vec(), secret).is_err()
        );
    }
}
