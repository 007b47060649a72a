//! A line that Redis refuses, where what was meant is evident: overlapping binds, a mistyped name, `true` for `yes`, a
//! blank before the unit, commas between addresses. Everything else is shown and left to a person.

use super::{Draft, NoPlan, is_secret_line, start};
use crate::evidence::server::ConfigFault;

/// Corrects the first refused line and starts the server again.
pub(super) fn repair(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let config = draft.case.config().ok_or(NoPlan::Advice(None))?;
    let closed = |p: &crate::evidence::server::NeededPath| p.purpose == "config" && p.usable == Some(false);
    if draft.case.server.storage.get().is_some_and(|s| s.paths.iter().any(closed)) {
        return super::storage::owner(draft, true);
    }
    let error = config.errors.first().ok_or(NoPlan::Advice(None))?;
    let bind = config.value("bind").unwrap_or_default().to_owned();
    let all_v4 = bind.split_whitespace().any(|w| w == "0.0.0.0" || w == "*");
    if error.directive.as_deref() == Some("bind") && all_v4 {
        // With every IPv4 address bound, another IPv4 one is taken already (EADDRINUSE).
        let words: Vec<&str> =
            bind.split_whitespace().filter(|w| w.contains(':') || *w == "0.0.0.0" || *w == "*").collect();
        draft.set("bind", &words, false)?;
    } else {
        line(draft, error)?;
    }
    start::again(draft);
    Ok(())
}

/// Corrects one refused line where it can only mean one thing.
pub(super) fn line(draft: &mut Draft<'_>, error: &ConfigFault) -> Result<(), NoPlan> {
    let unclear = || NoPlan::Advice(None);
    let number = error.line.ok_or_else(unclear)? as usize;
    let document = draft.edits.of(&error.file)?;
    let own = document.line(number).ok_or_else(unclear)?.to_vec();
    if let Some(text) = own.strip_prefix(&redis_conf::BYTE_ORDER_MARK).filter(|_| number == 1) {
        // The receipt would hold a secret of the line.
        if is_secret_line(text) {
            return Err(unclear());
        }
        document.remove_line(number);
        document.insert(number, text.trim_ascii_end());
        draft.edits.says(&error.file, "the byte order mark before the first line taken away".to_owned());
        return Ok(());
    }
    let words = redis_conf::split_args(own.trim_ascii()).ok_or_else(unclear)?;
    let (name, arguments) = words.split_first().ok_or_else(unclear)?;
    let (new_name, new_arguments) = meant(name, arguments, &error.says).ok_or_else(unclear)?;
    let renamed = new_name.as_bytes() != name.as_slice();
    // The receipt would hold the line as it was, with its secret: whatever the value is, `>` counts as one.
    if is_secret_line(&own) || is_secret_line(format!("{new_name} >").as_bytes()) {
        return Err(unclear());
    }
    if renamed {
        // The name alone is replaced: indentation, arguments and their quotes stay.
        let at = own.windows(name.len()).position(|w| w == name.as_slice()).ok_or_else(unclear)?;
        let text = [&own[..at], new_name.as_bytes(), &own[at + name.len()..]].concat();
        let text = text.trim_ascii_end().to_vec();
        document.remove_line(number);
        document.insert(number, &text);
    } else {
        let arguments: Vec<&[u8]> = new_arguments.iter().map(Vec::as_slice).collect();
        document.set_line(number, &arguments).ok_or_else(unclear)?;
    }
    let shown = [vec![new_name.into_bytes()], new_arguments].concat().join(&b' ');
    draft.edits.says(&error.file, crate::text::shown(&shown, 200));
    Ok(())
}

/// The name and arguments that a refused line can only mean.
fn meant(name: &[u8], arguments: &[Vec<u8>], says: &str) -> Option<(String, Vec<Vec<u8>>)> {
    let text = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    let same = |arguments: Vec<Vec<u8>>| Some((String::from_utf8_lossy(name).into_owned(), arguments));
    let unit = |word: &[u8]| {
        ["b", "k", "kb", "m", "mb", "g", "gb"].contains(&&*String::from_utf8_lossy(word).to_ascii_lowercase())
    };
    match arguments {
        [word] if says.contains("yes") && says.contains("no") => {
            let word = String::from_utf8_lossy(word).to_ascii_lowercase();
            let yes = ["true", "on", "1", "y", "enabled"].contains(&word.as_str());
            let no = ["false", "off", "0", "n", "disabled"].contains(&word.as_str());
            (yes || no)
                .then(|| if yes { b"yes".to_vec() } else { b"no".to_vec() })
                .and_then(|w| same(vec![w]))
        }
        // `maxmemory 2 gb`
        [number, word]
            if number.iter().all(u8::is_ascii_digit) && unit(word) && text.starts_with("maxmemory") =>
        {
            same(vec![[number.as_slice(), word.as_slice()].concat()])
        }
        // `bind 127.0.0.1,10.0.0.5`, `bind 127.0.0.1, ::1`
        words if text == "bind" && words.iter().any(|w| w.contains(&b',')) => {
            let addresses: Vec<Vec<u8>> = words
                .iter()
                .flat_map(|w| w.split(|b| *b == b','))
                .filter(|w| !w.is_empty())
                .map(<[u8]>::to_vec)
                .collect();
            let address = |w: &Vec<u8>| {
                std::str::from_utf8(w)
                    .is_ok_and(|w| w.trim_start_matches('-').parse::<std::net::IpAddr>().is_ok())
            };
            addresses.iter().all(address).then_some(addresses).and_then(same)
        }
        _ if says.contains("Bad directive") => {
            let near = redis_conf::evident_name(name)?;
            Some((near.to_owned(), arguments.to_vec()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::meant;

    fn said(line: &str, says: &str) -> Option<String> {
        let words = redis_conf::split_args(line.as_bytes())?;
        let (name, arguments) = meant(&words[0], &words[1..], says)?;
        let arguments: Vec<String> =
            arguments.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        Some(format!("{name} {}", arguments.join(" ")))
    }

    #[test]
    fn what_can_only_be_meant() {
        let bad = "Bad directive or wrong number of arguments";
        assert_eq!(said("maxmemry 100mb", bad).as_deref(), Some("maxmemory 100mb"));
        assert_eq!(said("maxmemory 2 gb", bad).as_deref(), Some("maxmemory 2gb"));
        assert_eq!(
            said("daemonize true", "argument must be 'yes' or 'no'").as_deref(),
            Some("daemonize yes")
        );
        assert_eq!(said("bind 127.0.0.1,10.0.0.5", "x").as_deref(), Some("bind 127.0.0.1 10.0.0.5"));
        assert_eq!(said("bind a,b", "x"), None);
        assert_eq!(said("maxmemory lots", "argument must be a memory value"), None);
        assert_eq!(said("zzzzz 1", bad), None);
        // Known, with a wrong number of arguments: what was meant is not evident.
        assert_eq!(said("port 1 2", bad), None);
    }
}
