//! References within setting values: `${VAR:-default}`, `$VAR`, Spring's `${VAR:default}`, Ruby's `<%= ENV[…] %>`.

/// Replaces references. `unknown` says what becomes of one that has neither value nor default.
pub(super) fn variables<'a>(
    value: &str,
    known: &dyn Fn(&str) -> Option<&'a str>,
    unknown: &dyn Fn(&str) -> String,
) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let name_end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (whole, inner, next) = match braced {
            Some((inner, next)) => (&rest[at..rest.len() - next.len()], inner, next),
            None if name_end > 0 && !after.starts_with(|c: char| c.is_ascii_digit()) => {
                (&rest[at..at + 1 + name_end], &after[..name_end], &after[name_end..])
            }
            None => {
                out.push('$');
                rest = after;
                continue;
            }
        };
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, operator) = inner.split_at(end);
        let default = [":-", "-", ":"].iter().find_map(|o| operator.strip_prefix(o));
        match known(name).filter(|v| !v.is_empty()).or(default) {
            Some(value) => out.push_str(value),
            None => out.push_str(&unknown(whole)),
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

/// The value an ERB expression most likely has: its variable's, else the default beside it.
pub(super) fn erb<'a>(value: &str, known: &dyn Fn(&str) -> Option<&'a str>) -> Option<String> {
    let Some((before, rest)) = value.split_once("<%=") else { return Some(value.to_owned()) };
    let (inside, after) = rest.split_once("%>")?;
    let mut quoted = Vec::new();
    let mut left = inside;
    while let Some(at) = left.find(['"', '\'']) {
        let quote = if left[at..].starts_with('"') { '"' } else { '\'' };
        let (text, next) = left[at + 1..].split_once(quote)?;
        quoted.push(text);
        left = next;
    }
    let variable = quoted.first().filter(|_| inside.contains("ENV"));
    let value = variable
        .and_then(|name| known(name))
        .or_else(|| quoted.get(usize::from(variable.is_some())).copied())?;
    Some(format!("{before}{value}{after}"))
}

#[cfg(test)]
mod tests {
    use super::{erb, variables};

    fn known(name: &str) -> Option<&'static str> {
        (name == "A").then_some("x")
    }

    #[test]
    fn references() {
        let expand = |v| variables(v, &known, &|whole| format!("<{whole}>"));
        for (text, expected) in [
            ("${A}:${B:-1}", "x:1"),
            ("$A/$$A$", "x/$A$"),
            ("${B}", "<${B}>"),
            ("${B:localhost}", "localhost"),
            ("$B-", "<$B>-"),
            ("${A", "${A"),
        ] {
            assert_eq!(expand(text), expected, "{text}");
        }
    }

    #[test]
    fn ruby() {
        assert_eq!(erb("<%= ENV[\"A\"] %>", &known).as_deref(), Some("x"));
        let text = "<%= ENV.fetch(\"REDIS_URL\") { \"redis://localhost:6379/1\" } %>";
        assert_eq!(erb(text, &known).as_deref(), Some("redis://localhost:6379/1"));
        assert_eq!(erb("plain", &known).as_deref(), Some("plain"));
        assert_eq!(erb("<%= secret %>", &known), None);
    }
}
