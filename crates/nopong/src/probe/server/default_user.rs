//! Whether the default user has a password: `requirepass`, a `user default` line, or the ACL file (acl.c).

use crate::sys;
use redis_conf::{Loaded, Origin};
use std::path::Path;

/// Unknown where a file that decides cannot be read.
pub(super) fn has_password(loaded: &Loaded) -> Option<bool> {
    let aclfile = loaded.text("aclfile");
    if !aclfile.is_empty() {
        // ACLLoadFromFile: the file's users replace all others. Without a default user in it there is a fresh one,
        // which has no password, whatever requirepass says.
        let path = loaded.dir.join(aclfile);
        let text = sys::read(&path, sys::FILE_MAX).ok()?;
        let line = text.split(|b| *b == b'\n').rev().find_map(default_line);
        return Some(line.is_some_and(|rules| !has_nopass(&rules)));
    }
    let user = loaded.users.iter().rev().find(|u| u.name == b"default");
    if let Some(user) = user {
        let Origin::File { path, line } = &user.origin else { return None };
        let rules = line_of(path, *line).as_deref().and_then(default_line)?;
        return Some(!has_nopass(&rules));
    }
    loaded.get("requirepass").map(redis_conf::Setting::is_set)
}

fn line_of(path: &Path, line: u32) -> Option<Vec<u8>> {
    let text = sys::read(path, sys::FILE_MAX).ok()?;
    text.split(|b| *b == b'\n').nth(usize::try_from(line).ok()?.checked_sub(1)?).map(<[u8]>::to_vec)
}

/// The rules of a `user default …` line.
fn default_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let words = redis_conf::split_args(line)?;
    let [directive, name, rules @ ..] = words.as_slice() else { return None };
    (directive.eq_ignore_ascii_case(b"user") && name == b"default").then(|| rules.to_vec())
}

/// The rules start from a user that is reset: no password and not `nopass`; the last word on it counts.
fn has_nopass(rules: &[Vec<u8>]) -> bool {
    let mut nopass = false;
    for rule in rules {
        let is = |word: &[u8]| rule.eq_ignore_ascii_case(word);
        if is(b"nopass") {
            nopass = true;
        } else if is(b"resetpass") || is(b"reset") || matches!(rule.first(), Some(b'>' | b'#')) {
            nopass = false;
        }
    }
    nopass
}

#[cfg(test)]
mod tests {
    use super::{default_line, has_nopass};

    fn nopass(line: &str) -> Option<bool> {
        default_line(line.as_bytes()).map(|rules| has_nopass(&rules))
    }

    #[test]
    fn rules() {
        assert_eq!(nopass("user default on nopass ~* +@all"), Some(true));
        assert_eq!(nopass("user default on >pw ~* +@all"), Some(false));
        assert_eq!(nopass("USER default on nopass #abc"), Some(false));
        assert_eq!(nopass("user default on >pw nopass"), Some(true));
        assert_eq!(nopass("user default on"), Some(false));
        assert_eq!(nopass("user bob on nopass"), None);
        assert_eq!(nopass("user \"unbalanced"), None);
    }
}
