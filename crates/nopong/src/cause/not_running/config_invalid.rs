//! The server refuses its configuration, or systemd refuses the unit's.

use super::shared::{self, Down, State};
use crate::cause::containers;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::containers::Container;
use crate::evidence::server::{ConfigFault, Death, DeathKind};
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct ConfigInvalid;

static META: Meta = Meta {
    id: "config-invalid",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server refuses its configuration",
    masked_by: &["service-masked"],
    settled_by: &["log", "config", "unit"],
};

fn place(fault: &ConfigFault) -> String {
    fault.line.map_or_else(|| fault.file.clone(), |line| format!("{}:{line}", fault.file))
}

/// The first thing that Redis would refuse in the file as it is now. Where the words are right and the machine lacks
/// what they name (an address, a folder, a certificate), another cause has the proof.
fn fault<'a>(case: &Case<'a>) -> Option<&'a ConfigFault> {
    let lacks = |f: &ConfigFault| {
        let directive = f.directive.as_deref().unwrap_or_default().to_ascii_lowercase();
        f.says.contains("Cannot assign requested address")
            || f.says.contains("append-only dir")
            || matches!(directive.as_str(), "dir" | "logfile")
            || (directive.starts_with("tls-") && directive.contains("-file"))
    };
    case.config()?.errors.first().filter(|f| !lacks(f))
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    if let Some(unit) = down.unit.filter(|u| matches!(u.load_state.as_str(), "bad-setting" | "error")) {
        return vec![Reason::confirms(
            "unit",
            format!("systemd refuses the unit file of {} ({})", unit.name, unit.load_state),
        )];
    }
    if !down.failed() {
        return Vec::new();
    }
    if let Some(says) = shared::helper_failed(down.unit) {
        return vec![Reason::confirms("unit", says)];
    }
    let unreadable = case.config().and_then(|c| c.unreadable.as_ref()).filter(|u| u.errno == "ENOENT");
    if let Some(file) = unreadable {
        return vec![Reason::strong("config", format!("{} is not there", file.path))];
    }
    match fault(case) {
        Some(fault) => {
            vec![Reason::confirms(
                "config",
                format!("{}: redis-server refuses it: {}", place(fault), fault.says),
            )]
        }
        None => match shared::self_overlap(case) {
            Some(overlap) => vec![Reason::strong("config", overlap)],
            None if case
                .config()
                .is_some_and(|c| c.unreadable.is_none() && c.file.is_some() && c.errors.is_empty()) =>
            {
                vec![Reason::against("config", "redis-server would take every line of its configuration")]
            }
            None => Vec::new(),
        },
    }
}

/// The unit's RestrictAddressFamilies=, where it is a list without IP's families.
fn forbidden_families<'a>(case: &Case<'a>) -> Option<&'a str> {
    let families = case.unit()?.sandbox.get("RestrictAddressFamilies")?;
    let (denied, list) = families.strip_prefix('~').map_or((false, families.as_str()), |list| (true, list));
    let ip = list.split(' ').any(|f| f == "AF_INET");
    (ip == denied).then_some(families.as_str())
}

/// In a container the lines stand in a mounted file, or in the command it was made with.
fn in_container(case: &Case<'_>, c: &Container, line: Option<u32>) -> Fix {
    let (engine, name) = (containers::engine(case), shell(&c.name));
    let Some(file) = c.config.as_ref().and_then(|c| c.host.clone()) else {
        let fix = Fix::new(Risk::Ask, "correct the arguments that the container is started with")
            .run("show them", format!("{engine} inspect -f '{{{{json .Config.Cmd}}}}' {name}"));
        let fix = match (&c.folder, &c.service) {
            (Some(folder), Some(service)) => {
                fix.step(format!("correct command: of the service {service} in the compose file of {folder}"))
            }
            _ => fix
                .step("a container's command is fixed when it is made: remove it and run it anew, corrected"),
        };
        return containers::start(fix, case, c);
    };
    let fix = Fix::new(Risk::Ask, format!("correct {file}"));
    let fix = match line {
        Some(line) => fix.run("show the line", format!("sed -n {line}p {}", shell(&file))),
        None => fix,
    };
    containers::start(
        fix.run("check the file before the start", format!("nopong config {}", shell(&file))),
        case,
        c,
    )
}

impl Cause for ConfigInvalid {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if let Some(death) = shared::last_word(case, META.id).filter(|_| !reasons.is_empty()) {
            if death.kind == DeathKind::PortTaken {
                reasons.extend(shared::self_overlap(case).map(|says| Reason::strong("config", says)));
            }
            reasons
                .extend(fault(case).map(|f| Reason::strong("config", format!("{}: {}", place(f), f.says))));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(says) = shared::helper_failed(case.unit()) {
            return format!("what {} runs beside the server fails: {says}", shared::unit_name(case));
        }
        if let Some(death) = shared::last_word(case, META.id) {
            let at = match (&death.file, death.line) {
                (Some(file), Some(line)) => format!("{file}:{line}: "),
                (Some(file), None) => format!("{file}: "),
                _ => String::new(),
            };
            let says = death.detail.as_deref().unwrap_or(&death.text);
            return match death.kind {
                DeathKind::SandboxFailed if says.ends_with("31/SYS") => format!(
                    "{} forbids a system call that the server needs: SystemCallFilter= ended it (SIGSYS)",
                    shared::unit_name(case)
                ),
                DeathKind::ExecFailed => {
                    format!("{} cannot run what stands before the server: {says}", shared::unit_name(case))
                }
                DeathKind::Environment if says.contains("Background Jobs") => {
                    format!("the server may start no thread: {says}")
                }
                DeathKind::NowhereToListen if forbidden_families(case).is_some() => format!(
                    "{} lets the server open no IP socket: RestrictAddressFamilies={}",
                    shared::unit_name(case),
                    forbidden_families(case).unwrap_or_default()
                ),
                DeathKind::SandboxFailed => {
                    format!("systemd cannot set up {}: {says}", shared::unit_name(case))
                }
                DeathKind::PortTaken => {
                    format!(
                        "redis-server takes its own port twice: {}",
                        shared::self_overlap(case).unwrap_or_default()
                    )
                }
                _ => shared::placed(format!("redis-server refuses its configuration: {at}{says}"), case),
            };
        }
        match fault(case) {
            Some(fault) => {
                format!("redis-server refuses its configuration: {}: {}", place(fault), fault.says)
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let death = shared::last_word(case, META.id);
        let name = shell(&shared::unit_name(case));
        if death.is_some_and(|d| d.text.contains("Background Jobs")) && containers::down(case).is_none() {
            return Some(
                Fix::new(Risk::Ask, "raise what limits the server's threads: LimitNPROC= or TasksMax=")
                    .run(
                        "the unit's limits (LimitNPROC counts all of the user's)",
                        format!("systemctl show -p LimitNPROC -p TasksMax {name}"),
                    )
                    .run("in a drop-in, under [Service]", format!("systemctl edit {name}"))
                    .run("start the server", format!("systemctl restart {name}")),
            );
        }
        if shared::helper_failed(case.unit()).is_some() {
            return Some(
                Fix::new(Risk::Ask, "correct that line of the unit, or what the command needs")
                    .run("what it wrote", format!("journalctl -u {name} -n 20 --no-pager"))
                    .run(
                        "the line, with the file it is in",
                        format!("systemctl cat {name} | grep -nE '^# /|^ExecStart'"),
                    )
                    .run("start the server", format!("systemctl restart {name}")),
            );
        }
        if death.is_some_and(|d| matches!(d.kind, DeathKind::SandboxFailed | DeathKind::ExecFailed))
            || forbidden_families(case).is_some()
            || case.unit().is_some_and(|u| matches!(u.load_state.as_str(), "bad-setting" | "error"))
        {
            return Some(
                Fix::new(Risk::Ask, "correct the unit's settings")
                    .run("show the unit with its drop-ins", format!("systemctl cat {name}"))
                    .run("edit a drop-in", format!("systemctl edit {name}"))
                    .run("start the server", format!("systemctl restart {name}")),
            );
        }
        if let Some(meant) = containers::down(case) {
            return Some(in_container(case, meant.container, death.and_then(|d| d.line)));
        }
        let file = death
            .and_then(|d| d.file.clone())
            .or_else(|| fault(case).map(|f| f.file.clone()))
            .unwrap_or_else(|| shared::config_file(case));
        let line = death.and_then(|d| d.line).or_else(|| fault(case).and_then(|f| f.line));
        let at = line.map_or_else(|| file.clone(), |line| format!("{file}, line {line}"));
        let closed =
            |d: &Death| d.kind == DeathKind::ConfigUnreadable && d.text.contains("Permission denied");
        if death.is_some_and(closed) {
            let user = shared::server_user(case);
            return Some(shared::then_start(Risk::Ask, format!("let {user} read {file}"), case, |fix| {
                fix.run("see which folder or file keeps it out", format!("namei -l {}", shell(&file)))
                    .step(format!("give {user} the right to it, and to the folders above it"))
            }));
        }
        Some(shared::then_start(Risk::Ask, format!("correct {at}"), case, |fix| {
            let fix = match line {
                Some(line) => fix.run("show the line", format!("sed -n {line}p {}", shell(&file))),
                None => fix,
            };
            let marked = death.and_then(|d| d.detail.as_deref()).is_some_and(|d| d.starts_with("<U+FEFF>"));
            let fix = match marked {
                true => fix.run(
                    "the file begins with a byte order mark, which the server takes for text; take it away",
                    format!("sed -i '1s/^\\xEF\\xBB\\xBF//' {}", shell(&file)),
                ),
                false => fix.step(format!("correct {at}")),
            };
            fix.run(
                "check the file before the start",
                format!("nopong config {}", shell(&shared::config_file(case))),
            )
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(behind) =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
        {
            return Some(behind);
        }
        // Not refused yet: at the next start it will be.
        let fault = fault(case)?;
        let (place_of, title) = match shared::state(case) {
            State::Runs(_) => (Place::Warning, "the configuration would be refused at the next start"),
            State::Down(_) => (Place::Behind, "the configuration will be refused at the start"),
            State::Unseen => return None,
        };
        Some(Latent {
            place: place_of,
            title: format!("{title}: {}: {}", place(fault), fault.says),
            reasons: vec![Reason::confirms("config", format!("{}: {}", place(fault), fault.says))],
            fix: Some(
                Fix::new(Risk::Ask, format!("correct {}", place(fault)))
                    .run("check the file", format!("nopong config {}", shell(&shared::config_file(case)))),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigInvalid;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::server::{ConfigFault, DeathKind};

    fn with_fault(file: CaseFile) -> CaseFile {
        let mut file = with_config(file, &[("bind", "127.0.0.1")]);
        let mut configs = file.server.config.get().cloned().unwrap();
        configs[0].errors.push(ConfigFault {
            file: "/etc/redis/redis.conf".to_owned(),
            line: Some(12),
            directive: Some("maxmemry".to_owned()),
            says: "Bad directive or wrong number of arguments".to_owned(),
        });
        file.server.config = seen(configs);
        file
    }

    #[test]
    fn a_command_beside_the_server() {
        let says = "ExecStartPre=/opt/wait-for-disk ended with status 3";
        let file = died(DeathKind::OrderlyStop, "Received SIGTERM scheduling shutdown...");
        let file = edit_unit(file, |unit| unit.helper_failed = Some(says.to_owned()));
        let told = diagnose(&file);
        assert_eq!(first(&file), Some(("config-invalid", Band::Confirmed)));
        assert!(told.causes[0].title.contains(says), "{}", told.causes[0].title);
    }

    #[test]
    fn the_units_own_lines() {
        let of = |kind, text: &str, setting: Option<(&str, &str)>| {
            let file = edit_unit(died(kind, text), |unit| {
                unit.exec_start = vec!["/usr/bin/redis-server".to_owned()];
                unit.sandbox.extend(setting.map(|(name, value)| (name.to_owned(), value.to_owned())));
            });
            let finding = &diagnose(&file).causes[0];
            assert_eq!(finding.cause.meta().id, "config-invalid", "{text}");
            finding.title.clone()
        };
        let title =
            of(DeathKind::ExecFailed, "Failed to locate executable /opt/wait: Permission denied", None);
        assert!(title.contains("before the server"), "{title}");
        let families = Some(("RestrictAddressFamilies", "AF_UNIX"));
        let title = of(DeathKind::NowhereToListen, "Configured to not listen anywhere, exiting.", families);
        assert!(title.contains("no IP socket"), "{title}");
        let text = "Main process exited, code=killed, status=31/SYS";
        assert!(of(DeathKind::SandboxFailed, text, None).contains("SystemCallFilter"));
    }

    #[test]
    fn confirms_by_the_last_word() {
        let file =
            died(DeathKind::ConfigError, ">>> 'maxmemry 100mb' Bad directive or wrong number of arguments");
        assert_eq!(first(&file), Some(("config-invalid", Band::Confirmed)));
    }

    #[test]
    fn confirms_by_the_file_when_the_log_is_silent() {
        let file = with_fault(with_unit(on_server(refused()), "failed", "failed", "exit-code"));
        assert_eq!(first(&file), Some(("config-invalid", Band::Confirmed)));
    }

    #[test]
    fn a_stopped_server_comes_first_and_the_file_behind() {
        let file = with_fault(with_unit(on_server(refused()), "inactive", "dead", "success"));
        assert_eq!(first(&file), Some(("service-stopped", Band::Confirmed)));
        assert!(diagnose(&file).behind.iter().any(|f| f.cause.meta().id == "config-invalid"));
    }

    #[test]
    fn an_overlap_of_its_own_is_the_configurations_fault() {
        let file = died(DeathKind::PortTaken, "bind: Address already in use");
        let file = with_config(file, &[("bind", "0.0.0.0 127.0.0.1"), ("port", "6379")]);
        assert_eq!(first(&file), Some(("config-invalid", Band::Confirmed)));
    }

    #[test]
    fn a_missing_dir_is_not_the_lines_fault() {
        let file = died(DeathKind::ConfigError, ">>> 'dir /srv/gone' No such file or directory");
        assert_eq!(first(&file), Some(("storage-unwritable", Band::Confirmed)));
    }

    #[test]
    fn another_last_word_rules_it_out() {
        assert!(rules_out(&ConfigInvalid, &died(DeathKind::NoSpace, "No space left on device")));
        assert!(rules_out(&ConfigInvalid, &running(on_server(refused()), "127.0.0.1:6379")));
    }

    #[test]
    fn a_word_of_before_the_boot_says_nothing() {
        let file = with_unit(on_server(refused()), "inactive", "dead", "success");
        let mut file = with_death(file, death(DeathKind::ConfigError, ">>> 'x'"));
        let mut units = file.server.unit.get().cloned().unwrap();
        units.booted_at = Some(1_800_000_000);
        file.server.unit = seen(units);
        assert_eq!(first(&file), Some(("service-stopped", Band::Confirmed)));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&ConfigInvalid, &refused()));
        assert!(silent(&ConfigInvalid, &pong(&[])));
    }
}
