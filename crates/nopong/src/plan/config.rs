//! redis.conf: the smallest edit in the file really used, and the running server told where it listens to that.

use super::{Draft, NoPlan, config_door as door, served_address, start};
use crate::apply::{Action, ConfigSet};
use crate::diagnosis::Symptom;
use crate::evidence::bind_word::BindWord;
use crate::secret::Secret;

/// Length of a generated password: 32 letters and digits have about 190 bits.
const PASSWORD: usize = 32;

/// Adds the address that the client routes to; never all addresses. An open server gets a password first.
pub(super) fn bind(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let address = served_address(draft.case)
        .ok_or_else(|| NoPlan::Refused("this machine has no address for other hosts".to_owned()))?;
    bind_to(draft, address)
}

/// The address dialled is this machine's, and of a family that Redis does not listen on.
pub(super) fn family(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let unheard = |a: &std::net::SocketAddr| draft.case.listener_for(*a).is_none();
    let own = |ip: std::net::IpAddr| {
        draft.case.server.address.get().is_some_and(|all| all.iter().any(|a| a.address == ip))
    };
    let dialled = draft.case.dialled();
    let address = dialled
        .iter()
        .find(|a| unheard(a))
        .map(std::net::SocketAddr::ip)
        .filter(|ip| own(*ip) || crate::cause::common::is_loopback(*ip))
        .ok_or(NoPlan::Advice(None))?;
    bind_to(draft, address)
}

fn bind_to(draft: &mut Draft<'_>, address: std::net::IpAddr) -> Result<(), NoPlan> {
    if !crate::cause::common::is_loopback(address) {
        password_unless_set(draft)?;
    }
    let config = draft.case.config().ok_or(NoPlan::Advice(None))?;
    let now = config.value("bind").unwrap_or("127.0.0.1 -::1").to_owned();
    let mut words: Vec<String> = now.split_whitespace().map(str::to_owned).collect();
    let own = address.to_string();
    if !words.iter().any(|w| w.trim_start_matches('-') == own) {
        words.push(own);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // CONFIG SET bind is taken since Redis 6.2; it opens the new sockets before it closes the old ones.
    let can = can_set(draft, "bind");
    draft.set("bind", &words, can)?;
    // A server that does not run reads its file when it starts.
    draft.restart |= !can && draft.case.process().is_some();
    Ok(())
}

/// Sets a password, so that protected mode lets other hosts in.
pub(super) fn password(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    password_unless_set(draft)?;
    // A server without CONFIG reads its file when it starts.
    draft.restart |= door(draft.case).is_none() && draft.case.process().is_some();
    Ok(())
}

fn password_unless_set(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let config = draft.case.config().ok_or(NoPlan::Advice(None))?;
    if draft.plan.new_password.is_none() && config.default_user_has_password == Some(true) {
        return known_password(draft);
    }
    if draft.plan.new_password.is_some() {
        return Ok(());
    }
    if config.default_user_has_password.is_none() {
        return Err(NoPlan::Refused(
            "whether the server has a password cannot be seen: run as root".to_owned(),
        ));
    }
    let default_user = default_user(draft)?;
    let path = draft.file()?;
    let secret = new_password(draft, &path, default_user)?;
    if draft.case.process().is_some() && !can_set(draft, "requirepass") {
        // Renamed away, or no way in: it reads its file when it starts again.
        draft.restart = true;
    } else if let Some(door) = door(draft.case) {
        draft.running.push(Action::ConfigSet(ConfigSet {
            door,
            directive: "requirepass".to_owned(),
            value: None,
            secret: Some(secret),
            is_secret: true,
            file: Some(path),
            login: draft.wish.login.clone(),
        }));
    }
    Ok(())
}

/// Puts a password, the operator's or a new one, into the file and the line of the default user.
pub(super) fn new_password(
    draft: &mut Draft<'_>,
    path: &str,
    default_user: Option<DefaultUser>,
) -> Result<Secret, NoPlan> {
    let (secret, known) = match &draft.wish.password {
        Some(given) => (given.clone(), true),
        None => (Secret::new(generate()?), false),
    };
    // Before a new line shifts its number.
    if let Some(user) = default_user {
        let word = [b">", secret.reveal().as_bytes()].concat();
        let words: Vec<&[u8]> =
            user.words.iter().map(|w| if is_nopass(w) { word.as_slice() } else { w.as_slice() }).collect();
        draft.edits.of(&user.file)?.set_line(user.line, &words);
        draft.edits.says(&user.file, "user default … >*** for nopass".to_owned());
    }
    draft.edits.of(path)?.set("requirepass", &[secret.reveal().as_bytes()]);
    draft.edits.says(path, "requirepass ***".to_owned());
    draft.plan.noticed_by.push("clients: the server wants a password from now on".to_owned());
    if !known {
        draft.plan.advice.push("give the new password to every client of this server".to_owned());
    }
    draft.plan.new_password = Some(secret.clone());
    Ok(secret)
}

/// A line `user default … nopass`, as CONFIG REWRITE writes it.
pub(super) struct DefaultUser {
    file: String,
    line: usize,
    words: Vec<Vec<u8>>,
}

fn is_nopass(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"nopass")
}

/// The line that sets the default user, where there is one: it wins over requirepass at the next start (acl.c,
/// ACLLoadUsersAtStartup), so it gets the password too. Refused where that is not one word for another, and with an ACL
/// file, where CONFIG SET requirepass could not be taken back.
fn default_user(draft: &Draft<'_>) -> Result<Option<DefaultUser>, NoPlan> {
    let config = draft.case.config().ok_or(NoPlan::Advice(None))?;
    let files: std::collections::BTreeSet<&str> = config
        .settings
        .values()
        .filter(|s| s.line.is_some())
        .map(|s| s.file.as_str())
        .chain(config.file.as_deref())
        .collect();
    default_user_in(config.value("aclfile"), files)
}

/// The same for these files.
pub(super) fn default_user_in<'a>(
    aclfile: Option<&str>,
    files: impl IntoIterator<Item = &'a str>,
) -> Result<Option<DefaultUser>, NoPlan> {
    let refused = |place: &str| {
        NoPlan::Refused(format!(
            "the default user is set in {place}, and requirepass beside it does not last: give it a password there \
             (`user default on >PASSWORD ~* &* +@all`), load it, and fix again"
        ))
    };
    if let Some(path) = aclfile.filter(|path| !path.is_empty()) {
        return Err(refused(path));
    }
    let mut found = files.into_iter().flat_map(default_user_lines);
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(user), None) if user.words.iter().filter(|w| is_nopass(w)).count() == 1 => Ok(Some(user)),
        (Some(user), _) => Err(refused(&format!("{}:{}", user.file, user.line))),
    }
}

fn default_user_lines(file: &str) -> Vec<DefaultUser> {
    let Ok(bytes) = crate::sys::read(file, crate::sys::FILE_MAX) else { return Vec::new() };
    let document = redis_conf::Document::parse(&bytes);
    let of = |line: usize| {
        let words = redis_conf::split_args(document.line(line)?.trim_ascii())?;
        let is_default = words.get(1).is_some_and(|name| name == b"default");
        is_default.then(|| DefaultUser {
            file: file.to_owned(),
            line,
            words: words.into_iter().skip(1).collect(),
        })
    };
    document.find("user").into_iter().filter_map(of).collect()
}

/// The file has a password. A process that is older than it, and open, gets it too.
fn known_password(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let set = |a: &Action| matches!(a, Action::ConfigSet(set) if set.is_secret);
    if !super::exposure::is_open_now(draft.case) || draft.running.iter().any(set) {
        return Ok(());
    }
    let path = draft.file_of("requirepass")?;
    let (Some(secret), Some(door)) = (crate::apply::requirepass_of(&path), door(draft.case)) else {
        return Err(NoPlan::Refused(
            "the running server asks for no password, though its file has one: restart it first".to_owned(),
        ));
    };
    draft.running.push(Action::ConfigSet(ConfigSet {
        door,
        directive: "requirepass".to_owned(),
        value: None,
        secret: Some(secret),
        is_secret: true,
        file: Some(path),
        login: draft.wish.login.clone(),
    }));
    draft.plan.noticed_by.push("clients: the server wants its file's password from now on".to_owned());
    Ok(())
}

fn generate() -> Result<String, NoPlan> {
    use ring::rand::SecureRandom as _;
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut bytes = [0u8; 256];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NoPlan::Refused("the kernel gives no random bytes".to_owned()))?;
    // Bytes beyond the last whole multiple would favour the first letters.
    let limit = 256 - 256 % LETTERS.len();
    let letters = bytes
        .iter()
        .filter(|b| usize::from(**b) < limit)
        .map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()]));
    let text: String = letters.take(PASSWORD).collect();
    if text.len() == PASSWORD { Ok(text) } else { generate() }
}

/// The running server is there, can be asked, and takes the directive at run time.
fn can_set(draft: &Draft<'_>, directive: &str) -> bool {
    let talk = draft.case.server.inside.get().or_else(|| draft.case.talk());
    let version = talk.and_then(|t| t.info("redis_version")).unwrap_or_default();
    // Renamed away, or not this user's to call.
    if talk.is_some_and(|t| t.config_refused.is_some() && t.config.is_empty()) {
        return false;
    }
    // A server that wants a password tells the probes nothing; the file's lets us in, and a refusal is rolled back.
    if version.is_empty() {
        return set_on(draft, directive, None).is_some_and(|set| set.change().observe().is_ok());
    }
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let since = match directive {
        "bind" => (6, 2),
        "port" => (7, 0),
        _ => (2, 8),
    };
    door(draft.case).is_some() && version >= since
}

/// The setting of a directive on the running server.
fn set_on(draft: &Draft<'_>, directive: &str, value: Option<&str>) -> Option<Action> {
    Some(Action::ConfigSet(ConfigSet {
        door: door(draft.case)?,
        directive: directive.to_owned(),
        value: value.map(str::to_owned),
        secret: None,
        is_secret: false,
        file: draft.file().ok(),
        login: draft.wish.login.clone(),
    }))
}

/// A bind address that is not (yet) on this machine becomes optional (`-`, Redis 6.2); a link-local one gets the interface
/// that has it.
pub(super) fn optional_binds(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let config = draft.case.config().ok_or(NoPlan::Advice(None))?;
    let own = draft.case.server.address.get().ok_or(NoPlan::Advice(None))?;
    let bind = config.value("bind").unwrap_or_default().to_owned();
    let mut words = Vec::new();
    let mut left = false;
    for word in bind.split_whitespace() {
        let (sign, plain) = word.strip_prefix('-').map_or(("", word), |plain| ("-", plain));
        let is = BindWord::of(plain, own);
        left |= is == BindWord::Here;
        words.push(match (is.corrected(plain), &is) {
            (_, BindWord::Here) => word.to_owned(),
            (_, BindWord::Tentative) if sign.is_empty() => {
                return Err(NoPlan::Refused(format!(
                    "{plain} is tentative: look again in some seconds; if it stays so, another host has it (ip -6 address)"
                )));
            }
            (Some(right), _) if sign.is_empty() || !is.is_forgiven() => {
                left = true;
                format!("{sign}{right}")
            }
            (None, is) if !is.is_forgiven() => {
                let says = is.says(plain).unwrap_or_default();
                return Err(NoPlan::Refused(format!("bind names {says}: correct the line")));
            }
            _ => format!("-{plain}"),
        });
    }
    if words.join(" ") == bind {
        // Every one of them is here by now.
        return super::supervisor::late_address(draft);
    }
    if !left {
        return Err(NoPlan::Refused(format!(
            "no address of `bind {bind}` is on this machine: name one that is"
        )));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    draft.set("bind", &words, false)?;
    start::again(draft);
    Ok(())
}

/// TCP was switched off: switch the target's port on, not without a password.
pub(super) fn port(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    password_unless_set(draft)?;
    let port = draft.case.ask.port.to_string();
    let can = can_set(draft, "port");
    draft.set("port", &[&port], can)?;
    // A server that does not run reads its file when it starts.
    draft.restart |= !can && draft.case.process().is_some();
    Ok(())
}

/// The file says what is needed; the process is older than it.
pub(super) fn apply_file(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let config = draft.case.config().ok_or(NoPlan::Advice(None))?;
    if let Some(error) = config.errors.first() {
        return Err(NoPlan::Refused(format!("a restart would fail: {} says `{}`", error.file, error.says)));
    }
    let opens = !crate::cause::common::binds_loopback_only(config.value("bind").unwrap_or_default());
    let bare =
        config.default_user_has_password == Some(false) && config.value("protected-mode") == Some("no");
    let mut differ: Vec<(String, String)> = config
        .disagree
        .iter()
        .filter(|(name, ..)| ["bind", "port", "protected-mode"].contains(&name.as_str()))
        .map(|(name, file, _)| (name.clone(), file.clone()))
        .collect();
    // Only what keeps the client out: the rest may differ on purpose.
    if draft.case.symptom == Symptom::Refused {
        differ.retain(|(name, _)| name != "protected-mode");
    }
    let secrets =
        config.disagree.iter().any(|(name, ..)| ["requirepass", "user", "aclfile"].contains(&name.as_str()));
    if opens && bare {
        password_unless_set(draft)?;
    }
    // Set at run time where the server takes it: no restart, and an undo that brings the old setting back.
    if !secrets && !differ.is_empty() && differ.iter().all(|(name, _)| can_set(draft, name)) {
        for (name, value) in differ {
            draft.running.extend(set_on(draft, &name, Some(&value)));
        }
        return Ok(());
    }
    draft.plan.advice.push("an undo cannot bring back what the process had before the restart".to_owned());
    draft.restart = true;
    Ok(())
}
