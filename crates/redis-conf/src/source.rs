//! Gets the text of a configuration together as the server does and remembers where each line came from.
//!
//! The server reads with `fgets` into 1024 bytes and appends up to the first NUL of each piece, so a NUL swallows the
//! rest of its piece, the line end included. The files of one `include` pattern are one text: a file without a last
//! line end runs into the next, and the server counts lines through all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{Files, OsError};

/// CONFIG_READ_LEN, config.c.
const READ_LEN: usize = 1024;
/// No bound of the server's, ours: more is not a configuration and would only cost memory.
pub(crate) const FILE_MAX: usize = 4 << 20;

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// `line` counts from 1 within the file.
    File { path: Arc<PathBuf>, line: u32 },
    /// An argument of the command line.
    Argv,
}

impl Origin {
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Default | Self::Argv => None,
        }
    }

    pub fn line(&self) -> Option<u32> {
        match self {
            Self::File { line, .. } => Some(*line),
            Self::Default | Self::Argv => None,
        }
    }
}

/// One line as the parser gets it.
pub(crate) struct Line {
    pub(crate) text: Vec<u8>,
    pub(crate) origin: Origin,
    /// The number the server would print.
    pub(crate) counted: u32,
}

/// A text in the making.
#[derive(Default)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    /// From which byte on what is added comes from where.
    marks: Vec<(usize, Origin)>,
}

impl Text {
    /// Appends a file as the server's reading loop does.
    pub(crate) fn push_file(&mut self, path: &Arc<PathBuf>, content: &[u8]) {
        let mut line = 1;
        let mut rest = content;
        while !rest.is_empty() {
            let piece_len = match rest.iter().take(READ_LEN).position(|b| *b == b'\n') {
                Some(end) => end + 1,
                None => rest.len().min(READ_LEN),
            };
            let (piece, after) = rest.split_at(piece_len);
            let seen = piece.iter().position(|b| *b == 0).map_or(piece, |nul| &piece[..nul]);
            self.marks.push((self.bytes.len(), Origin::File { path: Arc::clone(path), line }));
            self.bytes.extend_from_slice(seen);
            if piece.last() == Some(&b'\n') {
                line += 1;
            }
            rest = after;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the directives of the command line, on a line of their own.
    pub(crate) fn push_argv(&mut self, options: &[u8]) {
        self.bytes.push(b'\n');
        self.marks.push((self.bytes.len(), Origin::Argv));
        self.bytes.extend_from_slice(options);
    }

    pub(crate) fn into_lines(self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut start = 0;
        let mut mark = 0;
        for (index, text) in self.bytes.split(|b| *b == b'\n').enumerate() {
            // The last mark at or before the line's first byte; of several at one byte the first has content there.
            while self.marks.get(mark + 1).is_some_and(|(at, _)| *at <= start) {
                mark += 1;
            }
            let origin = self.marks.get(mark).map_or(Origin::Default, |(_, origin)| origin.clone());
            let counted = u32::try_from(index + 1).unwrap_or(u32::MAX);
            lines.push(Line { text: text.to_vec(), origin, counted });
            start += text.len() + 1;
        }
        lines
    }
}

/// Why a file or pattern could not be read.
pub(crate) struct Unread {
    pub(crate) path: PathBuf,
    pub(crate) error: OsError,
}

/// Adds what a path or pattern stands for. A pattern that matches nothing adds nothing, a missing file is an error.
pub(crate) fn push_named(
    text: &mut Text,
    name: &[u8],
    shown: &Path,
    cwd: &Path,
    files: &dyn Files,
) -> Result<Vec<PathBuf>, Unread> {
    let pattern = name.iter().any(|b| matches!(b, b'*' | b'?' | b'['));
    let paths = if pattern { files.glob(cwd, name) } else { vec![shown.to_path_buf()] };
    for path in &paths {
        let absolute = cwd.join(path);
        let content =
            files.read(&absolute, FILE_MAX).map_err(|error| Unread { path: path.clone(), error })?;
        text.push_file(&Arc::new(path.clone()), &content);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(files: &[(&str, &[u8])], argv: Option<&[u8]>) -> Vec<(String, Option<u32>, u32)> {
        let mut text = Text::default();
        for (path, content) in files {
            text.push_file(&Arc::new(PathBuf::from(path)), content);
        }
        if let Some(argv) = argv {
            text.push_argv(argv);
        }
        let show = |l: Line| (String::from_utf8_lossy(&l.text).into_owned(), l.origin.line(), l.counted);
        text.into_lines().into_iter().map(show).collect()
    }

    #[test]
    fn files_of_a_pattern_run_into_each_other() {
        let got = lines(&[("a", b"port 1\nbind x"), ("b", b"y\nsave 1 1\n")], None);
        let want =
            [("port 1", Some(1), 1), ("bind xy", Some(2), 2), ("save 1 1", Some(2), 3), ("", Some(2), 4)];
        assert_eq!(got.len(), want.len());
        for ((text, line, counted), want) in got.iter().zip(want) {
            assert_eq!((text.as_str(), *line, *counted), want);
        }
    }

    #[test]
    fn a_nul_swallows_the_rest_of_its_piece() {
        let got = lines(&[("a", b"port 63\x00junk\n79\nx")], None);
        assert_eq!(got[0].0, "port 6379");
        assert_eq!((got[1].0.as_str(), got[1].1, got[1].2), ("x", Some(3), 2));
        let long = [vec![b'a'; 1024], b"b\x00c\n".to_vec()].concat();
        let got = lines(&[("a", &long)], None);
        assert_eq!(got[0].0.len(), 1025);
    }

    #[test]
    fn the_command_line_comes_last() {
        let got = lines(&[("a", b"port 1\n")], Some(b"port \"2\" "));
        assert_eq!(got.last().map(|l| (l.0.as_str(), l.1)), Some(("port \"2\" ", None)));
    }
}
