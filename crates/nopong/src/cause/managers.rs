//! Programs that look after a server in place of a unit of its own: what restarts it there.

use super::Fix;
use crate::diagnosis::Case;
use crate::evidence::managed::{Managed, Manager as Kind, Standing};
use crate::evidence::server::Process;

/// What a unit's name begins with, and the manager's own command, with NAME for the program's name there.
const KNOWN: &[(&str, &str)] = &[
    ("supervisor", "supervisorctl restart NAME"),
    ("runit", "sv restart NAME"),
    ("runsvdir", "sv restart NAME"),
    ("s6", "s6-svc -r /run/service/NAME"),
    ("monit", "monit restart NAME"),
    ("pm2", "pm2 restart NAME"),
    ("circus", "circusctl restart NAME"),
    ("nomad", "nomad alloc restart ALLOCATION"),
];

/// Another service, in whose cgroup the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manager {
    /// Its unit.
    pub(crate) unit: String,
    command: Option<String>,
}

/// Who started this server, where it was no unit of its own.
pub(crate) fn of(case: &Case<'_>, process: &Process) -> Option<Manager> {
    let unit = case.unit_around(process).filter(|u| !u.is_for(process))?;
    let own = program(case, process).map(|m| m.manager.command("restart", &m.name));
    let usual = || KNOWN.iter().find(|(name, _)| unit.name.starts_with(name)).map(|(_, c)| (*c).to_owned());
    let command = own.or_else(usual);
    Some(Manager { unit: crate::text::shown_str(&unit.name, 100), command })
}

/// The manager's own program that this process is.
pub(crate) fn program<'a>(case: &Case<'a>, process: &Process) -> Option<&'a Managed> {
    let programs = &case.file.server.managed.get()?.programs;
    programs.iter().find(|m| m.pid == Some(process.pid))
}

/// Adds the start of a program through its manager. What systemd knows, says nothing of it.
pub(crate) fn start(mut fix: Fix, managed: &Managed) -> Fix {
    let (manager, name) = (managed.manager, &managed.name);
    fix.steps.retain(|s| {
        s.command.as_ref().is_none_or(|c| !c.starts_with("systemctl ") && !c.starts_with("journalctl -u"))
    });
    let fix = match (managed.standing, manager) {
        (Standing::GivenUp, Kind::Supervisord) => {
            fix.run("what it said at its last start", manager.command("tail", name))
        }
        (Standing::Unlisted, Kind::Supervisord) => {
            return fix.run(
                "let it read its files anew, which starts the program",
                format!(
                    "supervisorctl update {}",
                    crate::text::shell(name.split(':').next().unwrap_or(name))
                ),
            );
        }
        (Standing::Unmanaged, _) => fix.step(format!("start {} first", manager.name())),
        _ => fix,
    };
    fix.run("start the server", manager.command("start", name))
}

impl Manager {
    /// The command, or words where the manager is not known.
    pub(crate) fn command(&self) -> String {
        self.command.clone().unwrap_or_else(|| format!("see what {} starts", self.unit))
    }

    /// Adds the restart to a fix. A restart of the unit would take down all that it looks after.
    pub(crate) fn restart(&self, fix: Fix, server: &str) -> Fix {
        match &self.command {
            Some(command) => {
                fix.run(format!("restart {server} through {}, which started it", self.unit), command)
            }
            None => fix.step(format!(
                "restart {server} through {}, which started it, and nothing else of it",
                self.unit
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::cause::testing::{edit_unit, on_server, process, refused, with_process, with_unit};
    use crate::diagnosis::Case;

    #[test]
    fn a_service_that_started_the_server_is_not_its_unit() {
        let file = with_unit(on_server(refused()), "active", "running", "success");
        let mut server = process(7);
        server.unit = Some("supervisor.service".to_owned());
        let file = edit_unit(with_process(file, server.clone()), |unit| {
            unit.name = "supervisor.service".to_owned();
            unit.names = vec![unit.name.clone()];
            unit.exec_start = vec!["/usr/bin/supervisord".to_owned(), "-n".to_owned()];
            unit.main_pid = 3;
        });
        let case = Case::new(&file);
        assert!(case.unit().is_none());
        assert_eq!(of(&case, &server).unwrap().command(), "supervisorctl restart NAME");
        let own = edit_unit(file.clone(), |unit| unit.main_pid = 7);
        assert!(Case::new(&own).unit().is_some() && of(&Case::new(&own), &server).is_none());
    }
}
