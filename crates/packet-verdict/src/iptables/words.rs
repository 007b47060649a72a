//! A line of iptables-save in words, with its quotes taken off.

#[derive(Debug)]
pub(super) struct Words {
    words: Vec<String>,
    at: usize,
}

impl Words {
    /// iptables quotes with `"` and escapes `"` and `\` within by a backslash (xtables_save_string).
    pub(super) fn split(line: &str) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quoted = None;
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match (quoted, c) {
                (Some(q), c) if c == q => quoted = None,
                (Some('"') | None, '\\') => {
                    let next = chars.next().ok_or("a backslash at the end of the line")?;
                    word.get_or_insert_default().push(next);
                }
                (Some(_), c) => word.get_or_insert_default().push(c),
                (None, '"' | '\'') => {
                    quoted = Some(c);
                    word.get_or_insert_default();
                }
                (None, c) if c.is_whitespace() => words.extend(word.take()),
                (None, c) => word.get_or_insert_default().push(c),
            }
        }
        if quoted.is_some() {
            return Err("a quotation mark that is not closed".into());
        }
        words.extend(word);
        Ok(Self { words, at: 0 })
    }

    pub(super) fn next(&mut self) -> Option<String> {
        let word = self.words.get_mut(self.at).map(std::mem::take);
        self.at += usize::from(word.is_some());
        word
    }

    pub(super) fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    /// Whether a match begins here: `!`, or an option of one letter.
    pub(super) fn at_match(&self) -> bool {
        self.peek().is_some_and(|w| w == "!" || (is_option(w) && !w.starts_with("--")))
    }

    /// `-s ! 10.0.0.0/8`, as iptables wrote before 1.4.3: takes the mark away.
    pub(super) fn inner_negation(&mut self) -> bool {
        let found =
            self.peek() == Some("!") && self.words.get(self.at + 1).is_some_and(|w| !w.starts_with('-'));
        self.at += usize::from(found);
        found
    }

    /// The argument of an option.
    pub(super) fn arg(&mut self, option: &str) -> Result<String, String> {
        self.next().ok_or_else(|| format!("`{option}` without its argument"))
    }

    /// Passes over the arguments of an option that is not known.
    pub(super) fn skip_args(&mut self) {
        while self.peek().is_some_and(|w| !is_option(w)) {
            self.at += 1;
        }
    }
}

fn is_option(word: &str) -> bool {
    word == "!"
        || (word.starts_with('-') && word.len() > 1 && !word[1..].starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes() {
        let mut w = Words::split(r#"-m comment --comment "a \"b\" c" -j ACCEPT"#).expect("closed");
        assert_eq!(w.words, ["-m", "comment", "--comment", "a \"b\" c", "-j", "ACCEPT"]);
        assert_eq!(w.next().as_deref(), Some("-m"));
        assert!(Words::split("--comment \"open").is_err());
        assert_eq!(Words::split("--comment \"\" x").expect("closed").words, ["--comment", "", "x"]);
    }
}
