//! Settings in program text: PHP, Python, Ruby, JavaScript. Not a parser of any of them: nested literals become leaves,
//! and the usual ways to ask the environment become its value, or the default beside them.
//!
//! What is computed otherwise gives no leaf: a wrong address would be worse than none.

use super::tree::Leaf;
use std::collections::HashMap;

/// Most tokens of one file, and deepest nesting.
const TOKENS: usize = 60_000;
const DEPTH: usize = 40;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A quoted text; the flag says that it is a template (`f"…{X}…"`, `"#{X}"`, `` `${X}` ``).
    Text(String, bool),
    /// A word or number, with the dots and colons in it: `os.environ.get`, `ENV`, `6379`.
    Word(String),
    Open(char),
    Close,
    /// `=`, `:`, `=>`.
    Is,
    /// `,`, `;`.
    End,
    Line,
    /// `||`, `??`, `?:`, `or`.
    Else,
    Other,
}

/// Ways to ask for a variable whose name is the first text after it.
const ASKS: &[&str] = &[
    "env",
    "ENV",
    "ENV.fetch",
    "os.environ",
    "os.environ.get",
    "environ.get",
    "environ",
    "os.getenv",
    "getenv",
    "config",
    "env.str",
    "env.url",
    "env.cache_url",
    "env.cache",
    "env.int",
    "decouple.config",
    "env.get",
    "Env.get",
    "std::env::var",
    "os.Getenv",
    "$_ENV",
    "$_SERVER",
    "Deno.env.get",
    "int",
    "str",
];

/// Leaves of a program text; `known` gives the value of a variable of the environment.
pub(super) fn leaves<'a>(text: &str, known: &dyn Fn(&str) -> Option<&'a str>) -> Vec<Leaf> {
    let tokens = tokens(text);
    let mut read = Reader { stack: vec![Frame::default()], ..Reader::default() };
    let mut at = 0;
    while let Some((token, line)) = tokens.get(at) {
        at += 1;
        match token {
            Token::Word(word)
                if is_ask(word) && asks_something(&tokens[at..]) || word.starts_with("process.env.") =>
            {
                let (value, used) = asked(word, &tokens[at..], known);
                at += used;
                read.pending = None;
                read.top().value = value.map(|v| (v, *line));
            }
            Token::Word(word) => read.scalar(word.clone(), false, false, *line),
            Token::Text(text, template) => read.scalar(text.clone(), true, *template, *line),
            Token::Is => read.key(),
            Token::Open(_) => read.open(),
            Token::Close => read.close(),
            Token::End => read.end(),
            Token::Line if read.stack.len() == 1 => read.end(),
            Token::Line | Token::Else | Token::Other => {}
        }
        if read.leaves.len() >= 5000 {
            break;
        }
    }
    read.end();
    read.leaves
}

fn is_ask(word: &str) -> bool {
    ASKS.contains(&word)
}

fn asks_something(rest: &[(Token, usize)]) -> bool {
    matches!(rest.first(), Some((Token::Open('(' | '['), _)))
        && matches!(rest.get(1), Some((Token::Text(..) | Token::Word(_), _)))
}

/// The value of an expression that asks the environment, and the number of tokens it takes.
fn asked<'a>(
    word: &str,
    rest: &[(Token, usize)],
    known: &dyn Fn(&str) -> Option<&'a str>,
) -> (Option<String>, usize) {
    let mut name = word.strip_prefix("process.env.").map(str::to_owned);
    let mut default = None;
    let mut depth = 0usize;
    let mut used = 0;
    for (token, _) in rest.iter().take(40) {
        match token {
            Token::Open(_) => depth += 1,
            Token::Close if depth == 0 => break,
            Token::Close => depth -= 1,
            Token::End | Token::Line if depth == 0 => break,
            Token::Text(text, false) if name.is_none() => name = Some(text.clone()),
            Token::Text(text, false) if default.is_none() => default = Some(text.clone()),
            Token::Word(word) if name.is_some() && default.is_none() && number(word) => {
                default = Some(word.clone());
            }
            // What follows a call that is not a default belongs to something else: `.split(",")`.
            Token::Word(word) if depth == 0 && word.starts_with('.') => return (None, used),
            _ => {}
        }
        used += 1;
    }
    let value = name.and_then(|n| known(&n).map(str::to_owned)).or(default);
    (value, used)
}

fn number(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
}

#[derive(Debug, Default)]
struct Frame {
    key: Option<String>,
    items: usize,
    value: Option<(String, usize)>,
}

#[derive(Debug, Default)]
struct Reader {
    stack: Vec<Frame>,
    /// A scalar that may turn out to be a key.
    pending: Option<(String, bool, usize)>,
    leaves: Vec<Leaf>,
    /// What was assigned at the top level before.
    names: HashMap<String, String>,
}

impl Reader {
    fn top(&mut self) -> &mut Frame {
        if self.stack.is_empty() {
            self.stack.push(Frame::default());
        }
        let last = self.stack.len() - 1;
        &mut self.stack[last]
    }

    fn scalar(&mut self, text: String, quoted: bool, template: bool, line: usize) {
        self.pending = Some((text.clone(), quoted, line));
        let value = if template {
            self.filled(&text)
        } else if quoted || number(&text) {
            Some(text)
        } else {
            self.names.get(&text).cloned()
        };
        self.top().value = value.map(|v| (v, line));
    }

    /// A template with the names that are known put in; none when one is not.
    fn filled(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            out.push_str(before.trim_end_matches(['#', '$']));
            let (name, next) = after[1..].split_once('}')?;
            out.push_str(self.names.get(name.trim())?);
            rest = next;
        }
        out.push_str(rest);
        Some(out)
    }

    fn key(&mut self) {
        if let Some((text, ..)) = self.pending.take() {
            let key = text.trim_start_matches([':', '$']).to_owned();
            let top = self.top();
            top.key = Some(key);
            top.value = None;
        }
    }

    fn open(&mut self) {
        // `Redis(`, `createClient({`, `array(`: a callee is a name of what stands in it, unless it already has one.
        let callee = self.pending.take().filter(|(_, quoted, _)| !quoted).map(|(word, ..)| word);
        let top = self.top();
        top.value = None;
        if top.key.is_none() {
            let name = callee.filter(|w| !number(w)).unwrap_or_else(|| top.items.to_string());
            top.key = Some(name);
        }
        if self.stack.len() < DEPTH {
            self.stack.push(Frame::default());
        } else {
            // Deeper than any settings: what follows is not read.
            self.stack.push(Frame { key: Some("…".to_owned()), ..Frame::default() });
        }
    }

    fn close(&mut self) {
        self.end();
        if self.stack.len() > 1 {
            self.stack.pop();
        }
        self.pending = None;
        self.top().value = None;
    }

    fn end(&mut self) {
        self.pending = None;
        let depth = self.stack.len();
        let top = self.top();
        let (key, value) = (top.key.take(), top.value.take());
        let index = top.items.to_string();
        top.items += 1;
        let Some((value, line)) = value.filter(|_| depth <= DEPTH) else { return };
        if depth == 1 && key.is_none() {
            return;
        }
        let own = key.unwrap_or(index);
        if depth == 1 {
            self.names.insert(own.clone(), value.clone());
        }
        let mut path: Vec<String> = self.stack[..depth - 1].iter().filter_map(|f| f.key.clone()).collect();
        path.push(own);
        self.leaves.push(Leaf { path, value, line, merged: false });
    }
}

fn tokens(text: &str) -> Vec<(Token, usize)> {
    let mut out = Vec::new();
    let mut line = 1;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if out.len() >= TOKENS {
            break;
        }
        let rest = &text[at..];
        let next = rest[c.len_utf8()..].chars().next();
        let token = match c {
            '\n' => {
                line += 1;
                out.push((Token::Line, line - 1));
                continue;
            }
            c if c.is_whitespace() => continue,
            // Ruby has `#{` only in texts; PHP's attributes (`#[`) are no settings either.
            '#' => {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
                continue;
            }
            '/' if next == Some('/') => {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
                continue;
            }
            '/' if next == Some('*') => {
                let end = rest.find("*/").map_or(rest.len(), |n| n + 2);
                line += rest[..end].matches('\n').count();
                while chars.next_if(|(i, _)| *i < at + end).is_some() {}
                continue;
            }
            '"' | '\'' | '`' => {
                let (token, len, lines) = quoted(rest, c);
                while chars.next_if(|(i, _)| *i < at + len).is_some() {}
                let format = matches!(out.last(), Some((Token::Word(w), _)) if w == "f");
                if format {
                    out.pop();
                }
                let template = match &token {
                    t if format => t.contains('{'),
                    t if c == '`' => t.contains("${"),
                    t if c == '"' => t.contains("#{") || t.contains("{$"),
                    _ => false,
                };
                out.push((Token::Text(token, template), line));
                line += lines;
                continue;
            }
            '[' | '(' | '{' => Token::Open(c),
            ']' | ')' | '}' => Token::Close,
            '=' if next == Some('>') => {
                chars.next();
                Token::Is
            }
            '=' if next == Some('=') => {
                while chars.next_if(|(_, c)| *c == '=').is_some() {}
                Token::Other
            }
            '=' => Token::Is,
            ':' if next == Some('=') => {
                chars.next();
                Token::Is
            }
            ':' if next.is_some_and(char::is_alphabetic) => {
                // Ruby's `:host => …`.
                let len = word_len(&rest[1..]) + 1;
                while chars.next_if(|(i, _)| *i < at + len).is_some() {}
                Token::Word(rest[..len].to_owned())
            }
            ':' => Token::Is,
            ',' | ';' => Token::End,
            '|' if next == Some('|') => {
                chars.next();
                Token::Else
            }
            '?' if matches!(next, Some('?' | ':')) => {
                chars.next();
                Token::Else
            }
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                let len = word_len(rest).max(c.len_utf8());
                while chars.next_if(|(i, _)| *i < at + len).is_some() {}
                match &rest[..len] {
                    "or" => Token::Else,
                    word => Token::Word(word.to_owned()),
                }
            }
            '.' if next.is_some_and(char::is_alphabetic) => {
                let len = word_len(&rest[1..]) + 1;
                while chars.next_if(|(i, _)| *i < at + len).is_some() {}
                Token::Word(rest[..len].to_owned())
            }
            _ => Token::Other,
        };
        out.push((token, line));
    }
    out
}

/// The length of a word with its dots: `os.environ.get`, `std::env::var`, `$config`.
fn word_len(text: &str) -> usize {
    let mut len = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let word = c.is_alphanumeric() || c == '_' || c == '$';
        let inner = c == '.' && i > 0 && next.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let path = c == ':' && (next == Some(':') || text[..i].ends_with(':')) && i > 0;
        if !(word || inner || path) {
            break;
        }
        len = i + c.len_utf8();
    }
    len
}

/// A quoted text, its length with the quotes, and the line ends in it. Python's three quotes count as one.
fn quoted(text: &str, quote: char) -> (String, usize, usize) {
    let three: String = std::iter::repeat_n(quote, 3).collect();
    let (open, close) = if text.starts_with(&three) { (3, three.as_str()) } else { (1, &three[..1]) };
    let mut out = String::new();
    let mut at = open;
    while let Some(c) = text[at..].chars().next() {
        if text[at..].starts_with(close) {
            at += close.len();
            break;
        }
        at += c.len_utf8();
        if c == '\\' {
            let Some(escaped) = text[at..].chars().next() else { break };
            at += escaped.len_utf8();
            out.push(escaped);
        } else {
            out.push(c);
        }
        // A quotation mark that nothing closes ends with its line.
        if c == '\n' && close.len() == 1 && quote != '`' {
            break;
        }
    }
    let lines = text[..at].matches('\n').count();
    (out, at, lines)
}

#[cfg(test)]
mod tests {
    use super::leaves;

    fn flat(text: &str) -> Vec<String> {
        let known = |name: &str| (name == "KNOWN").then_some("value");
        leaves(text, &known)
            .into_iter()
            .map(|l| format!("{}={}:{}", l.path.join("."), l.value, l.line))
            .collect()
    }

    #[test]
    fn php() {
        let text = "<?php\nreturn [\n  'redis' => [ // x\n    'client' => env('REDIS_CLIENT', 'phpredis'),\n    'default' => [\n      'host' => env('KNOWN', '127.0.0.1'),\n      'port' => 6380,\n    ],\n  ],\n];\n";
        let all = flat(text);
        assert!(all.iter().any(|l| l.ends_with("redis.client=phpredis:4")), "{all:?}");
        assert!(all.iter().any(|l| l.ends_with("redis.default.host=value:6")), "{all:?}");
        assert!(all.iter().any(|l| l.ends_with("redis.default.port=6380:7")), "{all:?}");
        let cached = "<?php return array (\n  'database' => \n  array (\n    'redis' => \n    array (\n      'default' => \n      array (\n        'host' => '10.0.0.1',\n        'password' => NULL,\n";
        assert!(flat(cached).iter().any(|l| l.ends_with("database.redis.default.host=10.0.0.1:8")));
    }

    #[test]
    fn python() {
        let text = "HOST = os.environ.get('NOT_SET', 'cache')\nCACHES = {\n    \"default\": {\"LOCATION\": f\"redis://{HOST}:6379/1\", \"X\": [1]},\n}\nCELERY_BROKER_URL = os.getenv(\"KNOWN\", \"redis://d\")\nCHANNEL_LAYERS = {'default': {'CONFIG': {'hosts': [('127.0.0.1', 6379)]}}}\n# A = 'b'\n";
        let all = flat(text);
        for expected in [
            "CACHES.default.LOCATION=redis://cache:6379/1:3",
            "CELERY_BROKER_URL=value:5",
            "CHANNEL_LAYERS.default.CONFIG.hosts.0.0=127.0.0.1:6",
            "CHANNEL_LAYERS.default.CONFIG.hosts.0.1=6379:6",
        ] {
            assert!(all.iter().any(|l| l == expected), "{expected}: {all:?}");
        }
        assert!(!all.iter().any(|l| l.starts_with("A=")));
    }

    #[test]
    fn ruby_and_javascript() {
        let ruby = "Sidekiq.configure_server do |config|\n  config.redis = { url: ENV.fetch(\"NOT_SET\") { \"redis://r:6379/1\" } }\nend\nRedis.new(:host => 'x', :port => 7)\n";
        let all = flat(ruby);
        assert!(all.iter().any(|l| l.contains("config.redis.url=redis://r:6379/1:2")), "{all:?}");
        assert!(all.iter().any(|l| l.contains("Redis.new.host=x:4")), "{all:?}");
        let js = "const client = createClient({ url: process.env.NOT_SET || 'redis://j:6379' });\nmodule.exports = { redis: { host: process.env.KNOWN ?? 'h', port: 6379 } };\n";
        let all = flat(js);
        assert!(all.iter().any(|l| l.ends_with("url=redis://j:6379:1")), "{all:?}");
        assert!(all.iter().any(|l| l.ends_with("redis.host=value:2")), "{all:?}");
    }

    #[test]
    fn what_is_computed_gives_nothing() {
        assert!(
            flat("URL = f\"redis://{unknown()}:1\"\nX = make('redis://a')\n")
                .iter()
                .all(|l| !l.starts_with("URL="))
        );
    }

    #[test]
    fn hostile_texts_end() {
        for text in [
            "[".repeat(100_000),
            "'".repeat(9_999),
            "a=>".repeat(50_000),
            "/*".into(),
            "f\"{".into(),
            "\\\u{e9}:é".into(),
        ] {
            leaves(&text, &|_| None);
        }
    }
}
