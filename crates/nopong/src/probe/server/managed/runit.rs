//! runit: folders of services with a `run` script each, and what runsv writes about them in `supervise/`.

use super::{is_redis, running};
use crate::evidence::managed::{Managed, Manager, Managers, Standing};
use crate::evidence::redact;
use crate::sys::{self, managers};
use crate::text;

/// Where runsvdir is pointed at: Debian and Void, upstream, Alpine and Void's other name.
const PLACES: [&str; 3] = ["/etc/service", "/service", "/var/service"];
/// A script is short.
const SCRIPT_MAX: usize = 64 << 10;

/// Adds its Redis services.
pub(super) fn look(found: &mut Managers) {
    let supervisors = running("runsvdir");
    let mut folders: Vec<&str> = Vec::new();
    for place in PLACES {
        let same = |known: &&str| sys::canonical(known) == sys::canonical(place);
        if sys::stat(place).is_ok_and(|m| m.is_dir()) && !folders.iter().any(same) {
            folders.push(place);
        }
    }
    for folder in folders {
        for name in sys::list(folder, 500).unwrap_or_default() {
            let name = text::shown_str(&name.to_string_lossy(), 100);
            let script = format!("{folder}/{name}/run");
            let Ok(run) = sys::read_text(&script, SCRIPT_MAX) else { continue };
            let Some(argv) = command(&run) else { continue };
            let mut program = Managed {
                manager: Manager::Runit,
                config: folder.to_owned(),
                file: script,
                argv: redact::argv(&argv),
                // runsv starts `run` in the service's own folder (runsv(8)).
                cwd: Some(format!("{folder}/{name}")),
                autostart: sys::lstat(format!("{folder}/{name}/down")).is_err(),
                standing: Standing::Unmanaged,
                name,
                ..Managed::default()
            };
            if !supervisors.is_empty() {
                let state = managers::runit(folder, &program.name);
                (program.standing, program.pid) = (state.standing, state.pid);
                program.says = state.says;
            }
            found.programs.push(program);
        }
    }
}

/// The line that starts the server: the last with its name, after `exec` and wrappers such as chpst.
fn command(script: &str) -> Option<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let words = |line: &str| {
        let line = line.trim();
        let code = !line.starts_with('#') && !line.is_empty();
        code.then(|| shlex::split(line)).flatten().filter(|argv| is_redis(argv))
    };
    let argv = joined.lines().rev().find_map(words)?;
    let shell = |w: &String| w == "exec" || w.contains('>') || w.contains('<');
    Some(argv.into_iter().filter(|w| !shell(w)).collect())
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_command_of_a_script() {
        let script = "#!/bin/sh\n# redis-server here\nexec 2>&1\nexec chpst -u redis \\\n  /usr/bin/redis-server /etc/r.conf 2>&1\n";
        let argv = command(script).unwrap();
        assert_eq!(argv, ["chpst", "-u", "redis", "/usr/bin/redis-server", "/etc/r.conf"]);
        assert!(command("#!/bin/sh\nexec nginx -g 'daemon off;'\n").is_none());
    }
}
