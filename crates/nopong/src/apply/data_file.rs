//! What the repairs of data files share: copies that their owner can use, and what tells one content from another.
#![expect(clippy::disallowed_methods, reason = "a writer")]

use super::{Fault, edit_file};
use crate::sys;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// SHA-256 of a file, read in pieces.
pub(super) fn digest(path: &str) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => context.update(&buffer[..n]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect())
}

pub(super) fn fault(path: &str, e: &io::Error) -> Fault {
    Fault::new(format!("{path}: {}", sys::errno_name(e)))
}

/// A new file with that content, and with owner, mode and attributes of the one at `like`; on the disk when this returns.
pub(super) fn copy_as(mut from: File, like: &str, owner: &Metadata, to: &str) -> io::Result<()> {
    let mut made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to)?;
    io::copy(&mut from, &mut made)?;
    std::os::unix::fs::fchown(&made, Some(owner.uid()), Some(owner.gid()))?;
    made.set_permissions(owner.permissions())?;
    edit_file::copy_attributes(Path::new(like), Path::new(to))?;
    made.sync_all()
}

/// The names in the folder of that file are on the disk when this returns.
pub(super) fn sync_folder(path: &str) -> io::Result<()> {
    Path::new(path).parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
