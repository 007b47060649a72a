//! The command line of a server: the file, and the directives it appends behind the file's last line
//! (main, server.c of 7.0 and later).

use std::path::PathBuf;

use crate::load::to_path;
use crate::release::Release;
use crate::sds::{repr, split_args};

/// The configuration file and the text of the directives, from all arguments, the server's own name first.
pub(crate) fn read(argv: &[Vec<u8>], release: Release) -> (Option<PathBuf>, Vec<u8>) {
    let args = argv.get(1..).unwrap_or_default();
    let (file, args) = match args.split_first() {
        Some((first, rest)) if first.first() != Some(&b'-') => (Some(to_path(first)), rest),
        _ => (None, args),
    };
    let mut options = Vec::new();
    let mut complete = true;
    for (index, arg) in args.iter().enumerate() {
        let next = args.get(index + 1);
        let last = next.is_none();
        // A lone `-` in first or last place stands for standard input, which nobody can read twice.
        if arg == b"-" && (last || (index == 0 && file.is_none())) {
            continue;
        }
        if complete && arg.starts_with(b"--") {
            if !options.is_empty() {
                options.push(b'\n');
            }
            options.extend_from_slice(&arg[2..]);
            options.push(b' ');
            let alone = split_args(arg).is_some_and(|words| words.len() == 1);
            // `--save` and `--sentinel` may stand without a value.
            let bare = last || next.is_some_and(|n| n.starts_with(b"--"));
            complete = !alone || (bare && !last && is_save_or_sentinel(arg));
            if alone && bare && arg.eq_ignore_ascii_case(b"--save") {
                options.extend(b"\"\"");
            }
        } else {
            options.extend(quoted(arg, release));
            options.push(b' ');
            complete = true;
        }
    }
    (file, options)
}

/// As the server quotes an argument. Valkey 8.1 does not escape quotes and backslashes, so it reads such an argument
/// back differently or not at all (sdscatrepr, sds.c of 8.1.1).
fn quoted(arg: &[u8], release: Release) -> Vec<u8> {
    if release != Release::Valkey81 {
        return repr(arg);
    }
    let mut out = vec![b'"'];
    for byte in arg {
        match byte {
            b'"' | b'\\' => out.push(*byte),
            other => {
                let one = repr(std::slice::from_ref(other));
                out.extend_from_slice(&one[1..one.len() - 1]);
            }
        }
    }
    out.push(b'"');
    out
}

fn is_save_or_sentinel(arg: &[u8]) -> bool {
    arg.eq_ignore_ascii_case(b"--save") || arg.eq_ignore_ascii_case(b"--sentinel")
}

/// Whether a server started so is a Sentinel: by its name or by the argument.
pub(crate) fn is_sentinel(argv: &[Vec<u8>]) -> bool {
    let name = argv.first().map_or(b"".as_slice(), Vec::as_slice);
    let name = name.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let ends = |suffix: &[u8]| name.windows(suffix.len()).any(|w| w == suffix);
    ends(b"redis-sentinel") || ends(b"valkey-sentinel") || argv.iter().skip(1).any(|a| a == b"--sentinel")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> (Option<PathBuf>, String) {
        let argv: Vec<Vec<u8>> = std::iter::once("redis-server")
            .chain(args.iter().copied())
            .map(|a| a.as_bytes().to_vec())
            .collect();
        let (file, options) = read(&argv, Release::Redis70);
        (file, String::from_utf8(options).expect("text"))
    }

    #[test]
    fn arguments_become_lines() {
        let (file, text) = options(&["/etc/redis.conf", "--port", "6380", "--bind", "1.2.3.4", "::1"]);
        assert_eq!(file, Some(PathBuf::from("/etc/redis.conf")));
        assert_eq!(text, "port \"6380\" \nbind \"1.2.3.4\" \"::1\" ");
        assert_eq!(options(&["--port 6380", "-"]), (None, "port 6380 ".to_owned()));
        assert_eq!(options(&["--save", "--port", "1"]).1, "save \"\"\nport \"1\" ");
        assert_eq!(options(&["--port", "1", "--save"]).1, "port \"1\" \nsave \"\"");
        assert_eq!(options(&["--requirepass", "--pw"]).1, "requirepass \"--pw\" ");
        assert_eq!(options(&["s.conf", "--sentinel", "--port", "1"]).1, "sentinel \nport \"1\" ");
    }

    #[test]
    fn sentinels_are_known_by_name_or_argument() {
        let argv = |words: &[&str]| words.iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
        assert!(is_sentinel(&argv(&["/usr/bin/redis-sentinel", "x.conf"])));
        assert!(is_sentinel(&argv(&["redis-server", "x.conf", "--sentinel"])));
        assert!(!is_sentinel(&argv(&["/opt/redis-sentinel/redis-server", "x.conf"])));
    }
}
