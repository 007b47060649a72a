//! Secrets taken out of command lines and log lines before anything else sees them.
//!
//! It rather hides too much: a word that only looks like a password directive costs a reader one value.

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// Directives and options whose values are secrets: requirepass, masterauth, primaryauth, tls-key-file-pass,
/// sentinel auth-pass, `-a`, `--pass` … (config.c of Redis 8 and Valkey 8, redis-cli.c).
fn names_secret(word: &str) -> bool {
    let word = word.trim_start_matches('-').to_ascii_lowercase();
    ["pass", "auth", "secret", "token", "credential"].iter().any(|s| word.contains(s))
        // These say how authentication is done, not with what.
        && !matches!(
            word.as_str(),
            "tls-auth-clients" | "masteruser" | "primaryuser" | "acllog-max-len" | "auth-user" | "tls-auth-clients-user"
        )
}

/// A rule of an ACL user that holds a password: `>clear`, `<clear`, `#hash`, `!hash` (acl.c).
fn is_acl_password(word: &str) -> bool {
    word.len() > 1 && word.starts_with(['>', '<', '#', '!'])
}

/// A command line with the values of secret options masked.
pub fn argv(words: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(words.len());
    let mut masking = false;
    // `user NAME rules…` may hold passwords in any rule.
    let mut user = false;
    for word in words {
        let option = word.starts_with("--") || word == "-a";
        if option {
            masking = false;
            user = word.trim_start_matches('-').eq_ignore_ascii_case("user");
        }
        if masking || (user && is_acl_password(word)) {
            out.push(MASK.to_owned());
        } else if word.contains(char::is_whitespace) {
            // A whole directive in one argument: `--requirepass foo`, `user default on >pw`.
            out.push(line(word));
            masking = false;
        } else if let Some((name, value)) = word.split_once('=').filter(|(name, _)| names_secret(name)) {
            out.push(if value.is_empty() { word.clone() } else { format!("{name}={MASK}") });
        } else {
            out.push(word.clone());
            masking = word == "-a" || (option && names_secret(word));
        }
    }
    // `--sentinel auth-pass MASTER SECRET`: the directive is the word after the option.
    let directive = out.iter().position(|w| w == "--sentinel").map(|at| at + 1);
    if let Some(at) = directive.filter(|at| out.get(*at).is_some_and(|w| names_secret(w))) {
        for word in out.iter_mut().skip(at + 1).take_while(|w| !w.starts_with("--")) {
            MASK.clone_into(word);
        }
    }
    out
}

/// A directive line, or any text that may quote one: what follows a secret directive's name is masked. Of a line that
/// the server refused the value of a name that nobody knows is too: it may be a mistyped `requirepass`.
pub fn line(text: &str) -> String {
    match refused(text) {
        Some((head, refused, tail)) => {
            format!("{}{}{tail}", words(head), directive(refused))
        }
        None => words(text),
    }
}

/// A line of a configuration that the server refused.
pub fn directive(refused: &str) -> String {
    redis_conf::redact_line(refused.as_bytes())
}

/// What stands before, in and after the line that a server quotes as `>>> '…'` (config.c, loadServerConfigFromString).
fn refused(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(">>> '")? + ">>> '".len();
    let end = text.rfind('\'').filter(|end| *end >= start).unwrap_or(text.len());
    Some((&text[..start], &text[start..end], &text[end..]))
}

fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut user = false;
    while !rest.is_empty() {
        let word_at = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        out.push_str(&rest[..word_at]);
        rest = &rest[word_at..];
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let bare = word.trim_matches(|c| matches!(c, '\'' | '"' | '`'));
        if user && is_acl_password(bare) {
            out.push_str(MASK);
        } else if is_directive(bare) {
            out.push_str(word);
            if !after.trim().is_empty() {
                out.push(' ');
                out.push_str(MASK);
                // The quote that closed what the server quoted stays, for the reader's eye.
                if text.ends_with('\'') {
                    out.push('\'');
                }
            }
            return out;
        } else {
            out.push_str(word);
        }
        user |= bare.eq_ignore_ascii_case("user");
        rest = after;
    }
    out
}

/// A message about an ACL rule: whatever is quoted in it and holds a password.
pub fn acl(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_matches(|c| matches!(c, '\'' | '"' | ':' | ','));
        if is_acl_password(bare) { word.replace(bare, MASK) } else { word.to_owned() }
    });
    line(&words.collect::<Vec<_>>().join(" "))
}

/// Full names only: a sentence that speaks of a "password" is not a directive.
fn is_directive(word: &str) -> bool {
    matches!(
        word.trim_start_matches('-').to_ascii_lowercase().as_str(),
        "requirepass"
            | "masterauth"
            | "primaryauth"
            | "tls-key-file-pass"
            | "tls-client-key-file-pass"
            | "auth-pass"
            | "sentinel-pass"
            | "pass"
    )
}

#[cfg(test)]
mod tests {
    use super::{argv, line};

    fn masked(words: &[&str]) -> String {
        argv(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn options_with_secrets_are_masked() {
        assert_eq!(
            masked(&["redis-server", "/etc/r.conf", "--requirepass", "a", "b", "--port", "7"]),
            "redis-server /etc/r.conf --requirepass *** *** --port 7"
        );
        assert_eq!(masked(&["redis-cli", "-a", "pw", "--masterauth=x"]), "redis-cli -a *** --masterauth=***");
        assert_eq!(masked(&["s", "--user", "bob", "on", ">pw", "+@all"]), "s --user bob on *** +@all");
        assert_eq!(masked(&["s", "--requirepass pw", "--port 1"]), "s --requirepass *** --port 1");
        assert_eq!(masked(&["s", "--sentinel", "auth-pass", "m", "pw"]), "s --sentinel auth-pass *** ***");
        assert_eq!(masked(&["s", "--tls-auth-clients", "no"]), "s --tls-auth-clients no");
    }

    #[test]
    fn lines_with_secrets_are_masked() {
        assert_eq!(line(">>> 'requirepass \"a b\" c'"), ">>> 'requirepass ***'");
        assert_eq!(line(">>> 'user bob on >pw ~*'"), ">>> 'user bob on *** ~*'");
        assert_eq!(line("Invalid password given by user"), "Invalid password given by user");
        assert_eq!(line(">>> 'bind 127.0.0.1'"), ">>> 'bind 127.0.0.1'");
        let refused = "Reading the configuration file, at line 7 >>> 'requirepas pw' Bad directive";
        assert_eq!(line(refused), refused.replace("pw", "***"));
        assert_eq!(line(">>> 'requirepas pw"), ">>> 'requirepas ***");
    }
}
