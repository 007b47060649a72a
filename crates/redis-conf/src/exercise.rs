//! Everything the crate does with foreign bytes, and what must hold for any of them. The fuzz target and a test call it.

use std::path::PathBuf;

use crate::{Document, InMemory, Release, Start, load, redact_line};

/// Longer inputs find nothing that shorter ones do not.
const INPUT_MAX: usize = 64 << 10;

/// Reads, prints, edits and redacts `data` as a configuration. Panics where a promise is broken.
pub fn exercise(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX)];
    let (choice, text) = data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest));
    let release = Release::ALL[choice % Release::ALL.len()];

    let document = Document::parse(text);
    assert_eq!(document.to_bytes(), text, "printing gives back what was read");

    let mut files = InMemory::one("/c", text);
    files.0.insert(PathBuf::from("/users.acl"), text.to_vec());
    let start = Start::file(release, "/c").sentinel(choice >= 128);
    let loaded = load(&start, &files).expect("the file is there");
    for (name, setting) in loaded.effective().step_by(37) {
        assert!(loaded.get(name).is_some(), "{name} is listed and found");
        let _ = setting.text();
    }
    for problem in loaded.errors.iter().chain(&loaded.warnings) {
        if let (Some(path), Some(line)) = (problem.path(), problem.line()) {
            let known = path == std::path::Path::new("/c") || path == std::path::Path::new("/users.acl");
            assert!(!known || document.line(line as usize).is_some(), "line {line} exists");
        }
    }
    for line in text.split(|b| *b == b'\n').take(64) {
        let _ = redact_line(line);
    }
    let words: Vec<Vec<u8>> = text.split(|b| *b == b' ').map(<[u8]>::to_vec).take(64).collect();
    let _ = load(&Start::command_line(release, "/", &words), &files);
    edit(&document, text, release);
}

/// A change touches the line it says and no other, and does what it is for.
fn edit(document: &Document, text: &[u8], release: Release) {
    let args: [&[u8]; 3] = [b"77", b"", text.get(..text.len().min(40)).unwrap_or_default()];
    for arg in args {
        let mut changed = document.clone();
        let Some(change) = changed.set("timeout", &[arg]) else { continue };
        let mut rest: Vec<&[u8]> = (1..=changed.len()).filter_map(|n| changed.line(n)).collect();
        let after = rest.remove(change.line - 1);
        assert_eq!(Some(after), change.after.as_deref());
        let mut old: Vec<&[u8]> = (1..=document.len()).filter_map(|n| document.line(n)).collect();
        if let Some(before) = &change.before {
            assert_eq!(old.remove(change.line - 1), before.as_slice());
        }
        for (new, old) in rest.iter().zip(&old) {
            // Only a last line without an end may have got one.
            assert!(new == old || new.strip_prefix(*old).is_some_and(|end| end == b"\n" || end == b"\r\n"));
        }
        assert_eq!(rest.len(), old.len());
        assert_eq!(
            changed.find("timeout").last(),
            Some(&change.line),
            "the line changed is the one in force"
        );
        // A NUL or an include makes the server read other lines than these.
        let plain = !text.contains(&0) && !text.to_ascii_lowercase().windows(7).any(|w| w == b"include");
        if arg == b"77" && plain {
            let files = InMemory::one("/c", &changed.to_bytes());
            let loaded = load(&Start::file(release, "/c"), &files).expect("the file is there");
            assert_eq!(loaded.text("timeout"), "77");
        }
        let mut removed = changed.clone();
        removed.remove("timeout");
        assert!(removed.find("timeout").is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::exercise;

    /// What configurations are made of, and what breaks readers.
    const PARTS: [&[u8]; 40] = [
        b"port",
        b"bind",
        b"TIMEOUT",
        b"timeout",
        b"# timeout 5\n",
        b"requirepass",
        b"user",
        b"alice",
        b">pw",
        b"(~a",
        b"+get)",
        b"+config|get|x",
        b"<x",
        b"include",
        b"/c",
        b"/*",
        b"aclfile",
        b"/users.acl",
        b"save",
        b"rename-command",
        b"GET",
        b"sentinel",
        b"monitor",
        b"127.0.0.1",
        b"::1",
        b"-::*",
        b"6379",
        b"18446744073709551616",
        b"-1",
        b"1gb",
        b"\"",
        b"'",
        b"\\x",
        b"\\",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\0",
        b"\xff\xfe",
    ];

    #[test]
    fn promises_hold_for_pseudo_random_files() {
        // xorshift64*: the same inputs on every run.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |n: usize| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0) % n
        };
        for _ in 0..1000 {
            let mut data = vec![u8::try_from(next(256)).unwrap_or(0)];
            for _ in 0..next(60) {
                match next(12) {
                    0 => data.push(u8::try_from(next(256)).unwrap_or(0)),
                    1 | 2 => data.push(b'\n'),
                    3..=5 => data.push(b' '),
                    _ => data.extend_from_slice(PARTS[next(PARTS.len())]),
                }
            }
            exercise(&data);
        }
    }

    #[test]
    fn files_that_include_themselves_come_to_an_end() {
        exercise(b"\0include /c\ninclude /c\ninclude /*\n");
        let many = [b"\0include /c\n".as_slice(), &b"x y\n".repeat(4000)].concat();
        exercise(&many);
    }
}
