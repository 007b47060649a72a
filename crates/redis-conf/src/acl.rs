//! The rules of a `user` line, as the server checks them twice: when it reads the line, where an unknown command or
//! category may still come from a module, and again once modules are loaded.
//!
//! Rules hold passwords. The server prints a word of the line with its error, and by an index fault often the wrong
//! one, a password at times; here such words are replaced by `***`.

use crate::commands::{Commands, Known, is_category};
use crate::release::Release;
use crate::sds::is_space;
use crate::setting::User;
use crate::table::value::c_str;

/// Why a rule is refused; the server keeps it as an error number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    UnknownCommand,
    Syntax,
    PatternAfterAll,
    ChannelAfterAll,
    NoSuchPassword,
    BadHash,
    Duplicate,
    FirstArgOfSubcommand,
    Other,
}

impl Wrong {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::UnknownCommand => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::PatternAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have \
                 any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::Duplicate => "Duplicate user found. A user can only be defined once in config files",
            Self::Other => "Wrong format",
            Self::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        }
    }
}

/// Checks the words behind `user` while the file is read, and gives the rules with selectors in one piece each.
pub(crate) fn check_line(
    words: &[Vec<u8>],
    duplicate: bool,
    all_channels: bool,
    commands: &Commands,
    release: Release,
) -> Result<Vec<Vec<u8>>, String> {
    let (name, rules) = words.split_first().map_or((b"".as_slice(), words), |(n, r)| (n.as_slice(), r));
    let refused = |index: usize, wrong: Wrong| {
        // The index counts from the first rule, the server takes it from the word `user`.
        let shown = match index {
            0 => "user".to_owned(),
            1 => String::from_utf8_lossy(name).into_owned(),
            _ => shown_rule(words.get(index - 1).map_or(b"", Vec::as_slice)),
        };
        format!("Error in user declaration '{shown}': {}", wrong.text())
    };
    if duplicate {
        return Err(refused(1, Wrong::Duplicate));
    }
    // The server sets no error for an open parenthesis and so prints what an older one left (measured).
    let stale = if release == Release::Redis70 { Wrong::UnknownCommand } else { Wrong::Other };
    let rules = merge_selectors(rules).map_err(|open| refused(open, stale))?;
    let mut state = State::new(all_channels);
    for (index, rule) in rules.iter().enumerate() {
        match state.apply(rule, commands) {
            Ok(()) | Err(Wrong::UnknownCommand) => {}
            Err(wrong) => return Err(refused(index, wrong)),
        }
    }
    Ok(rules)
}

/// The second check: the first rule that names a command or category nobody knows.
pub(crate) fn unknown_rule(user: &User, all_channels: bool, commands: &Commands) -> Option<(String, Wrong)> {
    let mut state = State::new(all_channels);
    user.rules
        .iter()
        .find_map(|rule| state.apply(rule, commands).err().map(|wrong| (shown_rule(rule), wrong)))
}

pub(crate) fn has_spaces(name: &[u8]) -> bool {
    name.iter().any(|b| is_space(*b) || *b == 0)
}

/// A word of a rule for print: passwords and their hashes are not.
pub(crate) fn shown_rule(word: &[u8]) -> String {
    let words = ["on", "off", "nopass", "reset", "resetpass", "resetkeys", "resetchannels", "user"];
    let longer =
        ["allkeys", "allchannels", "allcommands", "nocommands", "clearselectors", "sanitize-payload"];
    let is_word = words.iter().chain(&longer).any(|w| w.as_bytes().eq_ignore_ascii_case(word))
        || word.eq_ignore_ascii_case(b"skip-sanitize-payload");
    let is_rule = matches!(word.first(), Some(b'+' | b'-' | b'~' | b'%' | b'&' | b'('));
    let clean = word.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if (is_word || is_rule) && clean { String::from_utf8_lossy(word).into_owned() } else { "***".to_owned() }
}

/// Joins `(a b c)`, written as several words, to one rule. Fails with the index of a parenthesis that stays open.
pub(crate) fn merge_selectors(rules: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, usize> {
    let mut merged: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (index, rule) in rules.iter().enumerate() {
        let closes = rule.last() == Some(&b')');
        if rule.first() == Some(&b'(') && !closes {
            open = Some((index, rule.clone()));
        } else if let Some((at, mut selector)) = open.take() {
            selector.push(b' ');
            selector.extend_from_slice(rule);
            if closes {
                merged.push(selector);
            } else {
                open = Some((at, selector));
            }
        } else {
            merged.push(rule.clone());
        }
    }
    match open {
        Some((index, _)) => Err(index),
        None => Ok(merged),
    }
}

/// What of a user decides whether a later rule is refused.
struct State {
    root: Selector,
    all_channels_first: bool,
    passwords: Vec<Vec<u8>>,
    /// A hash given as such could be the hash of any password.
    hashes: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Selector {
    all_keys: bool,
    all_channels: bool,
}

impl State {
    fn new(all_channels: bool) -> Self {
        let root = Selector { all_keys: false, all_channels };
        Self { root, all_channels_first: all_channels, passwords: Vec::new(), hashes: Vec::new() }
    }

    /// ACLSetUser, acl.c.
    fn apply(&mut self, rule: &[u8], commands: &Commands) -> Result<(), Wrong> {
        let is = |word: &[u8]| c_str(rule).eq_ignore_ascii_case(word);
        let words: [&[u8]; 6] =
            [b"on", b"off", b"skip-sanitize-payload", b"sanitize-payload", b"clearselectors", b""];
        if rule.is_empty() || words.iter().any(|w| is(w)) {
            return Ok(());
        }
        if is(b"nopass") || is(b"resetpass") || is(b"reset") {
            self.passwords.clear();
            self.hashes.clear();
            if is(b"reset") {
                self.root = Selector { all_keys: false, all_channels: self.all_channels_first };
            }
            return Ok(());
        }
        let (sign, body) = (rule[0], &rule[1..]);
        match sign {
            b'>' => self.passwords.push(body.to_vec()),
            b'#' | b'!' if !is_hash(body) => return Err(Wrong::BadHash),
            b'#' => self.hashes.push(body.to_vec()),
            b'<' => self.remove_password(body)?,
            b'!' => self.remove_hash(body)?,
            b'(' if rule.last() == Some(&b')') && rule.len() > 1 => {
                let inside = &rule[1..rule.len() - 1];
                let mut selector = Selector { all_keys: false, all_channels: self.all_channels_first };
                // Unbalanced quotes in there make an empty selector.
                for part in crate::sds::split_args(inside).unwrap_or_default() {
                    selector.apply(&part, commands)?;
                }
            }
            _ => return self.root.apply(rule, commands),
        }
        Ok(())
    }

    fn remove_password(&mut self, password: &[u8]) -> Result<(), Wrong> {
        if let Some(index) = self.passwords.iter().position(|p| p == password) {
            self.passwords.remove(index);
            return Ok(());
        }
        if self.hashes.is_empty() { Err(Wrong::NoSuchPassword) } else { Ok(()) }
    }

    fn remove_hash(&mut self, hash: &[u8]) -> Result<(), Wrong> {
        if let Some(index) = self.hashes.iter().position(|h| h == hash) {
            self.hashes.remove(index);
            return Ok(());
        }
        if self.passwords.is_empty() { Err(Wrong::NoSuchPassword) } else { Ok(()) }
    }
}

impl Selector {
    /// ACLSetSelector, acl.c.
    fn apply(&mut self, rule: &[u8], commands: &Commands) -> Result<(), Wrong> {
        let is = |word: &[u8]| c_str(rule).eq_ignore_ascii_case(word);
        if is(b"allkeys") || is(b"~*") {
            self.all_keys = true;
        } else if is(b"resetkeys") {
            self.all_keys = false;
        } else if is(b"allchannels") || is(b"&*") {
            self.all_channels = true;
        } else if is(b"resetchannels") {
            self.all_channels = false;
        } else if is(b"allcommands") || is(b"+@all") || is(b"nocommands") || is(b"-@all") {
        } else {
            return self.pattern_or_command(rule, commands);
        }
        Ok(())
    }

    fn pattern_or_command(&mut self, rule: &[u8], commands: &Commands) -> Result<(), Wrong> {
        let (sign, body) = match rule.split_first() {
            Some((sign, body)) => (*sign, body),
            None => return Err(Wrong::Syntax),
        };
        match sign {
            b'~' | b'%' if self.all_keys => Err(Wrong::PatternAfterAll),
            b'~' => no_spaces(body),
            b'%' => {
                let flags = body.iter().take_while(|b| **b != b'~').count();
                let (mut read, mut write) = (false, false);
                for flag in &body[..flags] {
                    match flag.to_ascii_uppercase() {
                        b'R' if !read => read = true,
                        b'W' if !write => write = true,
                        _ => return Err(Wrong::Syntax),
                    }
                }
                no_spaces(body.get(flags + 1..).unwrap_or_default())
            }
            b'&' if self.all_channels => Err(Wrong::ChannelAfterAll),
            b'&' => no_spaces(body),
            b'+' | b'-' if body.first() == Some(&b'@') => {
                if is_category(c_str(&body[1..])) {
                    Ok(())
                } else {
                    Err(Wrong::UnknownCommand)
                }
            }
            b'+' => allow(c_str(body), commands),
            b'-' if commands.known(c_str(body)) == Known::No => Err(Wrong::UnknownCommand),
            b'-' => Ok(()),
            _ => Err(Wrong::Syntax),
        }
    }
}

fn allow(name: &[u8], commands: &Commands) -> Result<(), Wrong> {
    let Some(bar) = name.iter().rposition(|b| *b == b'|') else {
        return if commands.known(name) == Known::No { Err(Wrong::UnknownCommand) } else { Ok(()) };
    };
    let (command, sub) = (&name[..bar], &name[bar + 1..]);
    match commands.known(command) {
        Known::No => Err(Wrong::UnknownCommand),
        Known::Subcommand => Err(Wrong::FirstArgOfSubcommand),
        Known::Command { .. } if sub.is_empty() => Err(Wrong::Syntax),
        Known::Command { subcommands: true } if commands.known(name) == Known::No => {
            Err(Wrong::UnknownCommand)
        }
        Known::Command { .. } => Ok(()),
    }
}

fn no_spaces(pattern: &[u8]) -> Result<(), Wrong> {
    if has_spaces(pattern) { Err(Wrong::Syntax) } else { Ok(()) }
}

fn is_hash(text: &[u8]) -> bool {
    text.len() == 64 && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<usize, String> {
        let words = crate::sds::split_args(line.as_bytes()).expect("balanced");
        check_line(&words, false, false, &Commands::of(Release::Redis70, false), Release::Redis70)
            .map(|rules| rules.len())
    }

    #[test]
    fn rules_as_redis_7_0_judges_them() {
        assert_eq!(
            check("alice on >pw ~a:* %R~b &c +@all -debug +config|get +get|x (~x +get) resetkeys"),
            Ok(11)
        );
        let says = |line: &str| check(line).expect_err("refused");
        assert_eq!(says("alice foo"), "Error in user declaration 'user': Syntax error");
        assert!(says("alice on >pw #zz").starts_with("Error in user declaration 'on': The password hash"));
        assert!(says("alice <x").ends_with("does not exist"));
        assert!(says("alice +config|get|x").ends_with("Allowing first-arg of a subcommand is not supported"));
        assert!(says("alice on >pw +get|").starts_with("Error in user declaration 'on': Syntax"));
        assert!(says("alice (~a +get").starts_with("Error in user declaration 'user'"));
        assert_eq!(check("alice +nosuch"), Ok(1), "may come from a module");
    }

    #[test]
    fn a_password_is_not_repeated() {
        for line in ["alice on >hunter2 ~* ~b", "alice >hunter2 >hunter2 ~* >hunter2 ~b", "alice <hunter2"] {
            let says = check(line).expect_err("refused");
            assert!(!says.contains("hunter2"), "{says}");
        }
        assert_eq!(shown_rule(b">hunter2"), "***");
        assert_eq!(shown_rule(b"letmein"), "***");
    }
}
