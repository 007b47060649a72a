//! What a configuration comes to: the values with the place each comes from, the users, the problems.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::files::Secret;
use crate::release::Release;
use crate::sentinel::Monitored;
use crate::source::Origin;

/// A value as `CONFIG GET` prints it, or a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Text(Vec<u8>),
    Secret(Secret),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Secret(secret) if secret.is_empty() => f.write_str("no secret"),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

/// A directive's value and who set it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub value: Value,
    pub origin: Origin,
}

impl Setting {
    /// The value where it may be shown; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Secret(_) => None,
        }
    }

    pub fn secret(&self) -> Option<&Secret> {
        match &self.value {
            Value::Secret(secret) => Some(secret),
            Value::Text(_) => None,
        }
    }

    /// Whether it is set to anything at all.
    pub fn is_set(&self) -> bool {
        match &self.value {
            Value::Text(bytes) => !bytes.is_empty(),
            Value::Secret(secret) => !secret.is_empty(),
        }
    }
}

/// Something the server refuses (an error) or takes in a way its owner may not expect (a warning).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The line number the server prints; it differs from the origin's within the files of an include pattern and for
    /// command line arguments. `None` where the server names no line.
    pub counted: Option<u32>,
    pub directive: Option<String>,
    /// The server's own words for an error.
    pub says: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn path(&self) -> Option<&Path> {
        self.origin.path()
    }

    pub fn line(&self) -> Option<u32> {
        self.origin.line()
    }
}

/// A `user` line. The rules may hold passwords, so only their number is public.
#[derive(Clone)]
pub struct User {
    pub name: Vec<u8>,
    pub(crate) rules: Vec<Vec<u8>>,
    pub origin: Origin,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({:?}, {} rules)", String::from_utf8_lossy(&self.name), self.rules.len())
    }
}

/// A configuration as the server would take it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub release: Release,
    pub sentinel: bool,
    /// In the server's order: it stops at the first. The rest is what would come next.
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// By the directive's own name; aliases are found through [`Loaded::get`].
    pub(crate) settings: BTreeMap<&'static str, Setting>,
    /// Of `user` lines and of the ACL file.
    pub users: Vec<User>,
    /// The primaries of a Sentinel.
    pub monitored: Vec<Monitored>,
    /// Commands renamed, or removed (an empty new name), and where.
    pub renamed: Vec<(Vec<u8>, Vec<u8>, Origin)>,
    /// `loadmodule` paths.
    pub modules: Vec<(Vec<u8>, Origin)>,
    /// Every file read, in order.
    pub files: Vec<PathBuf>,
    /// The server's directory after all `dir` directives.
    pub dir: PathBuf,
}

impl Loaded {
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// The value of a directive, by name or alias.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        let row = crate::table::Directive::find(name.as_bytes(), self.release)?;
        self.settings.get(row.name)
    }

    /// The value of a directive as text; empty for unknown ones and secrets.
    pub fn text(&self, name: &str) -> String {
        self.get(name).and_then(Setting::text).unwrap_or_default()
    }

    /// What `CONFIG GET *` lists, aliases included, in the order of names.
    pub fn effective(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        let mut rows: Vec<(&'static str, &Setting)> = Vec::new();
        for row in crate::table::Directive::all(self.release).filter(|row| !row.hidden) {
            if let Some(setting) = self.settings.get(row.name) {
                rows.push((row.name, setting));
                rows.extend(row.alias.map(|alias| (alias, setting)));
            }
        }
        rows.sort_by_key(|(name, _)| *name);
        rows.into_iter()
    }
}
