//! Redis programs of service managers that are not systemd: what their files say, and what they say themselves.
//!
//! A manager is asked only where its files have a Redis. One file for each manager.

mod init_script;
mod runit;
mod supervisord;

use super::{holders, processes};
use crate::evidence::Why;
use crate::evidence::managed::Managers;
use crate::sys;

/// Looks at all of them.
pub(super) fn look() -> Result<Managers, Why> {
    let mut found = Managers::default();
    supervisord::look(&mut found);
    runit::look(&mut found);
    init_script::look(&mut found);
    Ok(found)
}

/// Processes of that name which see the same files as we do: those of containers have files of their own.
fn running(name: &str) -> Vec<u32> {
    let of = |pid: &str| sys::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = of("thread-self");
    holders::pids()
        .into_iter()
        .filter(|pid| holders::comm(*pid).as_deref() == Some(name))
        // Of root's processes others cannot read the link: then they are taken for this machine's.
        .filter(|pid| of(&pid.to_string()).is_none_or(|its| Some(&its) == own.as_ref()))
        .collect()
}

/// The command starts a Redis, perhaps through a wrapper or a shell.
fn is_redis(argv: &[String]) -> bool {
    argv.iter().flat_map(|word| word.split_whitespace()).any(|word| processes::program_of(word).is_some())
}
