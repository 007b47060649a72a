//! Configuration files as flat lists of leaves: YAML, JSON (which YAML contains) and Java properties.
//!
//! The YAML parser is asked event by event: nothing recurses, an alias is copied within a bound, and what does not
//! parse gives the leaves before the fault.

use std::collections::HashMap;
use yaml_rust2::Event;
use yaml_rust2::parser::Parser;

/// Most leaves of one file; aliases could multiply them without end.
const LEAVES: usize = 5000;
/// Deepest nesting.
const DEPTH: usize = 40;

/// A scalar, where it stands, and its line from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) path: Vec<String>,
    pub(super) value: String,
    pub(super) line: usize,
    /// It came with a merged mapping (`<<`): what the mapping says itself comes before it.
    pub(super) merged: bool,
}

/// A mapping or a sequence that is being read.
struct Open {
    /// The key that waits for its value, in a mapping.
    key: Option<String>,
    /// Items so far, in a sequence; none in a mapping.
    items: Option<usize>,
    /// Anchor id and the number of leaves at the beginning.
    anchor: (usize, usize),
}

/// Leaves of a YAML or JSON text.
pub(super) fn yaml(text: &str) -> Vec<Leaf> {
    let mut parser = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut stack: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Vec<Leaf>> = HashMap::new();
    // The parser gives one event for each of a bounded text's tokens, and ends with an error or StreamEnd.
    while let Ok((event, mark)) = parser.next_token() {
        match event {
            Event::StreamEnd => break,
            Event::MappingStart(anchor, _) | Event::SequenceStart(anchor, _) if stack.len() >= DEPTH => {
                let _ = anchor;
                break;
            }
            Event::MappingStart(anchor, _) => {
                stack.push(Open { key: None, items: None, anchor: (anchor, leaves.len()) });
            }
            Event::SequenceStart(anchor, _) => {
                stack.push(Open { key: None, items: Some(0), anchor: (anchor, leaves.len()) });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(Open { anchor: (anchor, from), .. }) = stack.pop() {
                    let depth = path(&stack).len();
                    if anchor > 0 {
                        anchors.insert(anchor, relative(leaves.get(from..).unwrap_or_default(), depth));
                    }
                    finished(&mut stack);
                }
            }
            Event::Alias(anchor) => {
                let here = path(&stack);
                for leaf in anchors.get(&anchor).into_iter().flatten() {
                    if leaves.len() >= LEAVES {
                        break;
                    }
                    let path = here.iter().chain(&leaf.path).cloned().collect();
                    leaves.push(Leaf { path, merged: merges(&stack), ..leaf.clone() });
                }
                finished(&mut stack);
            }
            Event::Scalar(value, _, anchor, _) => match stack.last_mut() {
                Some(open @ Open { items: None, key: None, .. }) => open.key = Some(value),
                _ if leaves.len() >= LEAVES => break,
                _ => {
                    let leaf = Leaf { path: path(&stack), value, line: mark.line(), merged: false };
                    if anchor > 0 {
                        anchors.insert(anchor, relative(std::slice::from_ref(&leaf), leaf.path.len()));
                    }
                    leaves.push(leaf);
                    finished(&mut stack);
                }
            },
            _ => {}
        }
    }
    leaves
}

/// Where the next value stands. A merged mapping (`<<`) stands where it is merged into.
fn path(stack: &[Open]) -> Vec<String> {
    stack
        .iter()
        .filter_map(|open| open.items.map(|n| n.to_string()).or_else(|| open.key.clone()))
        .filter(|key| key != "<<")
        .collect()
}

fn merges(stack: &[Open]) -> bool {
    stack.iter().any(|open| open.key.as_deref() == Some("<<"))
}

fn relative(leaves: &[Leaf], depth: usize) -> Vec<Leaf> {
    leaves
        .iter()
        .map(|l| Leaf { path: l.path.get(depth..).unwrap_or_default().to_vec(), ..l.clone() })
        .collect()
}

/// The value is complete: the next one has another key or index.
fn finished(stack: &mut [Open]) {
    if let Some(open) = stack.last_mut() {
        open.key = None;
        open.items = open.items.map(|n| n + 1);
    }
}

/// Leaves of a `.properties` file.
pub(super) fn properties(text: &str) -> Vec<Leaf> {
    text.lines()
        .enumerate()
        .take(LEAVES)
        .filter_map(|(i, line)| {
            let line = line.trim();
            let (key, value) = line.split_once(['=', ':']).filter(|_| !line.starts_with(['#', '!']))?;
            let path = key.trim().split('.').map(str::to_owned).collect();
            Some(Leaf { path, value: value.trim().to_owned(), line: i + 1, merged: false })
        })
        .collect()
}

/// Leaves of an INI or TOML file: `[section.sub]` and `key = value`.
pub(super) fn sections(text: &str) -> Vec<Leaf> {
    let mut section: Vec<String> = Vec::new();
    let mut leaves = Vec::new();
    for (i, line) in text.lines().enumerate().take(LEAVES) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split_once(']')).map(|(name, _)| name) {
            section = name.trim_matches('[').split('.').take(DEPTH).map(|s| s.trim().to_owned()).collect();
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';', '/'])) else {
            continue;
        };
        let value = value.trim();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let value = match quote {
            Some(quote) => value[1..].split(quote).next().unwrap_or_default(),
            None => value.split(" #").next().and_then(|v| v.split(" ;").next()).unwrap_or_default().trim(),
        };
        let mut path = section.clone();
        path.extend(key.trim().split('.').take(DEPTH).map(str::to_owned));
        leaves.push(Leaf { path, value: value.to_owned(), line: i + 1, merged: false });
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::{properties, yaml};

    fn flat(text: &str) -> Vec<(String, String, usize)> {
        yaml(text).into_iter().map(|l| (l.path.join("."), l.value, l.line)).collect()
    }

    #[test]
    fn mappings_sequences_and_lines() {
        let text = "a:\n  b: 1\n  c:\n    - x\n    - {y: z}\nd: ''\n";
        let expected = [("a.b", "1", 2), ("a.c.0", "x", 4), ("a.c.1.y", "z", 5), ("d", "", 6)];
        assert_eq!(flat(text), expected.map(|(p, v, l)| (p.to_owned(), v.to_owned(), l)));
        assert_eq!(flat("{\"A\": {\"B\": \"c:1\"}}"), [("A.B".to_owned(), "c:1".to_owned(), 1)]);
    }

    #[test]
    fn merged_anchors() {
        let text = "x: &e\n  A: 1\ns:\n  environment:\n    <<: *e\n    B: 2\n";
        let all = flat(text);
        assert!(all.contains(&("s.environment.A".to_owned(), "1".to_owned(), 2)), "{all:?}");
        assert!(all.contains(&("s.environment.B".to_owned(), "2".to_owned(), 6)), "{all:?}");
    }

    #[test]
    fn hostile_files_end() {
        yaml(&"- ".repeat(100_000));
        yaml(&"[".repeat(100_000));
        yaml("a: &a [*a, *a]");
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..30 {
            let items = vec![format!("*a{}", i - 1); 10].join(",");
            laughs.push_str(&format!("a{i}: &a{i} [{items}]\n"));
        }
        assert!(yaml(&laughs).len() <= super::LEAVES);
        yaml("\u{0}\t: %%\n@");
    }

    #[test]
    fn property_files() {
        let leaves = properties("# c\nspring.redis.host = h\n\nbad line\nspring.redis.port: 7\n");
        assert_eq!(leaves.len(), 2);
        assert_eq!((leaves[1].path.join("."), leaves[1].line), ("spring.redis.port".to_owned(), 5));
    }
}
