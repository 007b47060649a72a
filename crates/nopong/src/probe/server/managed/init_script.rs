//! Init scripts of System V's kind, where systemd does not run: containers, WSL, chroots, old systems. They are read,
//! never run to ask: `status` is a script of its own making.

use super::is_redis;
use crate::evidence::managed::{Managed, Manager, Managers};
use crate::evidence::redact;
use crate::sys::{self, managers};
use crate::text;
use std::collections::BTreeMap;

/// Where they are (LSB 3.1, "System Initialization").
const FOLDER: &str = "/etc/init.d";
/// A script is short.
const SCRIPT_MAX: usize = 64 << 10;

/// Adds those of Redis.
pub(super) fn look(found: &mut Managers) {
    if sys::stat("/run/systemd/system").is_ok() {
        return;
    }
    for name in sys::list(FOLDER, 1000).unwrap_or_default() {
        let name = text::shown_str(&name.to_string_lossy(), 100);
        let file = format!("{FOLDER}/{name}");
        let Ok(script) = sys::read_text(&file, SCRIPT_MAX) else { continue };
        // OpenRC's are in a language of their own.
        if script.lines().next().is_none_or(|first| first.contains("openrc")) {
            continue;
        }
        let values = managers::assignments(&script);
        let Some(argv) = command(&values) else { continue };
        let mut program = Managed {
            manager: Manager::InitScript,
            config: FOLDER.to_owned(),
            file,
            argv: redact::argv(&argv),
            autostart: starts_at_boot(&name),
            ..Managed::default()
        };
        let state = managers::init_script(FOLDER, &name);
        (program.standing, program.pid, program.says, program.name) =
            (state.standing, state.pid, state.says, name);
        found.programs.push(program);
    }
}

/// The program and the file it is given: `DAEMON` and `DAEMON_ARGS` (Debian), `EXEC` and `CONF` (Redis's own
/// utils/redis_init_script).
fn command(values: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let program = ["DAEMON", "EXEC"].iter().find_map(|name| values.get(*name))?;
    let mut argv = vec![program.clone()];
    if !is_redis(&argv) {
        return None;
    }
    let given = ["DAEMON_ARGS", "CONF"].iter().find_map(|name| values.get(*name));
    argv.extend(given.into_iter().flat_map(|words| words.split_whitespace()).map(str::to_owned));
    Some(argv)
}

fn starts_at_boot(name: &str) -> bool {
    (2..=5).any(|level| {
        let links = sys::list(format!("/etc/rc{level}.d"), 1000).unwrap_or_default();
        let starts = |link: &str| link.starts_with('S') && link.get(3..) == Some(name);
        links.iter().any(|link| starts(&link.to_string_lossy()))
    })
}

#[cfg(test)]
mod tests {
    use super::command;
    use crate::sys::managers::assignments;

    #[test]
    fn scripts_of_debian_and_of_redis() {
        let debian = "#! /bin/sh\nDAEMON=/usr/bin/redis-server\nDAEMON_ARGS=/etc/redis/redis.conf\nNAME=redis-server\n\
            RUNDIR=/run/redis\nPIDFILE=$RUNDIR/redis-server.pid\nX=`id -u`\n";
        let values = assignments(debian);
        assert_eq!(command(&values).unwrap(), ["/usr/bin/redis-server", "/etc/redis/redis.conf"]);
        assert_eq!(values["PIDFILE"], "/run/redis/redis-server.pid");
        let own = "#!/bin/sh\nREDISPORT=6380\nEXEC=/usr/local/bin/redis-server\nPIDFILE=/var/run/redis_${REDISPORT}.pid\n\
            CONF=\"/etc/redis/${REDISPORT}.conf\"\n";
        let values = assignments(own);
        assert_eq!(command(&values).unwrap(), ["/usr/local/bin/redis-server", "/etc/redis/6380.conf"]);
        assert_eq!(values["PIDFILE"], "/var/run/redis_6380.pid");
        assert!(command(&assignments("#!/bin/sh\nDAEMON=/usr/sbin/nginx\n")).is_none());
    }
}
