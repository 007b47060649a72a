//! systemd units that run, or would run, Redis: states, results, settings.
//!
//! Found by their names, by the unit of a running server, and among failed ones by the program they start.

use super::dbus::{Properties, Systemd, array, fields, number, string};
use crate::evidence::server::{Process, Unit, Units};
use crate::evidence::{Why, redact};
use std::collections::{BTreeMap, BTreeSet};
use zbus::zvariant::{OwnedObjectPath, Value};

/// Names a packager or an administrator gives: Debian, RHEL, SUSE, Arch, redis-stack, KeyDB, install_server.sh.
const PATTERNS: [&str; 8] = [
    "*redis*.service",
    "*valkey*.service",
    "*keydb*.service",
    "*dragonfly*.service",
    "*kvrocks*.service",
    "*sentinel*.service",
    "garnet*.service",
    "pika*.service",
];
/// Servers' programs, as the last part of a path in ExecStart.
const PROGRAMS: [&str; 9] = [
    "redis-server",
    "redis-sentinel",
    "redis-stack-server",
    "valkey-server",
    "valkey-sentinel",
    "keydb-server",
    "dragonfly",
    "kvrocks",
    "GarnetServer",
];
/// More units than these are not the target's.
const UNITS_MAX: usize = 32;
/// Failed units whose ExecStart is read.
const FAILED_MAX: usize = 40;

/// name, description, load, active, sub, following, path, job id, job type, job path (org.freedesktop.systemd1(5)).
type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Looks at all of them.
pub(super) fn look(processes: &[Process]) -> Result<Units, Why> {
    let systemd = Systemd::connect()?;
    let patterns = PATTERNS.to_vec();
    let none: Vec<&str> = Vec::new();
    let files: Vec<(String, String)> =
        systemd.manager("ListUnitFilesByPatterns", &(&none, &patterns)).or_else(|_| {
            // Before systemd 230, or a policy that forbids the newer call.
            systemd.manager::<_, Vec<(String, String)>>("ListUnitFiles", &())
        })?;
    let listed: Vec<Listed> = systemd.manager("ListUnitsByPatterns", &(&none, &patterns))?;
    let failed: Vec<Listed> = systemd
        .manager("ListUnitsByPatterns", &(&["failed", "activating"], &["*.service"]))
        .unwrap_or_default();

    let mut names: BTreeSet<String> = files
        .iter()
        .filter_map(|(path, _)| path.rsplit('/').next())
        // A template (`redis-server@.service`) has no state of its own; its instances are listed as units.
        .filter(|name| !name.contains("@.") && by_pattern(name))
        .map(str::to_owned)
        .collect();
    names.extend(listed.iter().filter(|u| u.2 != "not-found").map(|u| u.0.clone()));
    names.extend(processes.iter().filter_map(|p| p.unit.clone()));
    let by_name = names.len();
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(|name| (!usual(name), name.clone()));
    names.truncate(UNITS_MAX);
    let extra: Vec<String> =
        failed.iter().map(|u| u.0.clone()).filter(|n| !names.contains(n)).take(FAILED_MAX).collect();
    names.extend(extra);

    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let certain = processes.iter().any(|p| p.unit.as_ref() == Some(name));
        let Ok(path) = systemd.manager::<_, OwnedObjectPath>("LoadUnit", &name.as_str()) else { continue };
        let Ok(service) = systemd.properties(&path, "Service") else { continue };
        let exec = first_command(&service, "ExecStart");
        let runs_server = exec.iter().any(|word| is_program(word));
        if !(certain || runs_server || (at < by_name && exec.is_empty() && usual(name))) {
            continue;
        }
        let Ok(general) = systemd.properties(&path, "Unit") else { continue };
        let unit = read(&systemd, name, &general, &service);
        if unit.load_state != "not-found" {
            units.insert(unit.name.clone(), unit);
        }
    }
    let booted_at = systemd
        .manager_number("UserspaceTimestamp")
        .filter(|us| *us != 0)
        .map(|us| us / 1_000_000)
        .or_else(super::kernel::boot_time);
    let mut units: Vec<Unit> = units.into_values().collect();
    units.sort_by_key(|u| (!usual(&u.name), u.name.contains("sentinel"), u.name.clone()));
    Ok(Units { units, booted_at })
}

/// The names that packages give to the server itself.
fn usual(name: &str) -> bool {
    let stem = name.trim_end_matches(".service");
    let stem = stem.split('@').next().unwrap_or(stem);
    ["redis", "redis-server", "valkey", "valkey-server", "keydb", "keydb-server", "redis-stack-server"]
        .contains(&stem)
        || stem.contains("sentinel")
        // install_server.sh: redis_6379
        || stem.strip_prefix("redis_").is_some_and(|port| port.parse::<u16>().is_ok())
}

/// The fallback listing gives every unit file there is.
fn by_pattern(name: &str) -> bool {
    PATTERNS.iter().any(|p| {
        let core = p.trim_end_matches(".service").trim_matches('*');
        name.ends_with(".service") && name.contains(core)
    })
}

/// A word of a command that names a server program, also within `sh -c "…"`.
fn is_program(word: &str) -> bool {
    word.split(|c: char| c.is_whitespace() || matches!(c, ';' | '"' | '\''))
        .any(|part| PROGRAMS.contains(&part.rsplit('/').next().unwrap_or(part)))
}

/// The argv of the first command of an Exec list, secrets masked.
fn first_command(service: &Properties, name: &str) -> Vec<String> {
    let commands = service.value(name).map(array).unwrap_or_default();
    let Some(first) = commands.first().map(|c| fields(c)) else { return Vec::new() };
    let words: Vec<String> =
        first.get(1).map(array).unwrap_or_default().into_iter().filter_map(string).collect();
    redact::argv(&words)
}

/// The command of an Exec list that ended its unit's start: run, failed, and not one whose failure is ignored (`-`).
fn helper_failed(service: &Properties, name: &str) -> Option<String> {
    let commands = service.value(name).map(array).unwrap_or_default();
    commands.into_iter().find_map(|c| {
        let fields = fields(c);
        let (code, status) = (number(fields.get(8)?)?, number(fields.get(9)?)?);
        let ignored = matches!(fields.get(2)?, Value::Bool(true));
        // siginfo's codes: 0 it never ran, 1 it exited.
        if ignored || code == 0 || (code == 1 && status == 0) {
            return None;
        }
        let words: Vec<String> = array(fields.get(1)?).into_iter().filter_map(string).collect();
        let command = crate::text::shown_str(&redact::argv(&words).join(" "), 80);
        // systemd.exec(5), EXIT_EXEC: it is not there, is no program, or NoExecPaths= forbids it.
        if (code, status) == (1, 203) {
            return Some(format!("{name}={command} could not be executed"));
        }
        let how = if code == 1 { "ended with status" } else { "was ended by signal" };
        Some(format!("{name}={command} {how} {status}"))
    })
}

/// Exit kind and status of the last run of a command in an Exec list: fields 8 and 9 (siginfo's code, status).
fn last_exit(service: &Properties, name: &str) -> Option<(u64, i32)> {
    let commands = service.value(name).map(array).unwrap_or_default();
    commands.into_iter().rev().find_map(|c| {
        let fields = fields(c);
        let code = number(fields.get(8)?)?;
        let status = number(fields.get(9)?)?;
        (code != 0).then_some((code, status as i32))
    })
}

/// siginfo's si_code for SIGCHLD (asm-generic/siginfo.h).
fn exit_kind(code: u64) -> Option<String> {
    Some(match code {
        1 => "exited".to_owned(),
        2 => "killed".to_owned(),
        3 => "dumped".to_owned(),
        _ => return None,
    })
}

fn read(systemd: &Systemd, asked: &str, general: &Properties, service: &Properties) -> Unit {
    let main_exit = service
        .number("ExecMainCode")
        .filter(|c| *c != 0)
        .map(|code| (code, service.number("ExecMainStatus").unwrap_or(0) as i32))
        .or_else(|| last_exit(service, "ExecStartPre").filter(|(code, status)| *code != 1 || *status != 0))
        .or_else(|| last_exit(service, "ExecStart"));
    let active = general.text("ActiveState");
    let started = service.seconds("ExecMainStartTimestamp").max(general.seconds("ActiveEnterTimestamp"));
    let job = match general.value("Job").map(fields) {
        Some([id, Value::ObjectPath(path), ..]) if number(id) != Some(0) => {
            let path = OwnedObjectPath::from(path.to_owned());
            systemd.properties(&path, "Job").ok().map(|job| job.text("JobType"))
        }
        _ => None,
    };
    Unit {
        name: general.some_text("Id").unwrap_or_else(|| asked.to_owned()),
        names: general.texts("Names"),
        load_state: general.text("LoadState"),
        sub: general.text("SubState"),
        result: service.text("Result"),
        file_state: general.some_text("UnitFileState"),
        exit_kind: main_exit.and_then(|(code, _)| exit_kind(code)),
        exit_status: main_exit.map(|(_, status)| status),
        restarts: service.number("NRestarts").unwrap_or(0) as u32,
        main_pid: service.number("MainPID").unwrap_or(0) as u32,
        exec_start: first_command(service, "ExecStart"),
        fragment: general.some_text("FragmentPath"),
        drop_ins: general.texts("DropInPaths"),
        kind: service.text("Type"),
        user: service.some_text("User"),
        group: service.some_text("Group"),
        timeout_start_s: service.limit("TimeoutStartUSec").map(|us| us as f64 / 1e6),
        watchdog_s: service.limit("WatchdogUSec").filter(|us| *us != 0).map(|us| us as f64 / 1e6),
        pid_file: service.some_text("PIDFile"),
        restart: service.text("Restart"),
        needs_reload: general.flag("NeedDaemonReload").unwrap_or(false),
        limit_nofile: service.limit("LimitNOFILESoft"),
        memory_max: service.limit("MemoryMax").or_else(|| service.limit("MemoryLimit")),
        stopped_at: general.seconds("InactiveEnterTimestamp"),
        started_at: started,
        job,
        sandbox: sandbox(service),
        helper_failed: helper_failed(service, "ExecStartPre").or_else(|| {
            // Where the server itself ended badly, what came after it fails for that.
            let main = (service.number("ExecMainCode"), service.number("ExecMainStatus"));
            let well = matches!(main, (None | Some(0), _) | (Some(1), Some(0)) | (Some(2), Some(15)));
            well.then(|| helper_failed(service, "ExecStartPost")).flatten()
        }),
        blocked_by: blocked_by(systemd, &active, general),
        active,
    }
}

/// Settings that can keep a server from its files or its network, those that are set.
fn sandbox(service: &Properties) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in ["PrivateNetwork", "PrivateUsers", "MemoryDenyWriteExecute", "DynamicUser", "PrivateTmp"] {
        if service.flag(name) == Some(true) {
            found.insert(name.to_owned(), "yes".to_owned());
        }
    }
    for name in [
        "ProtectSystem",
        "ProtectHome",
        "NetworkNamespacePath",
        "RootDirectory",
        "RootImage",
        "WorkingDirectory",
        "RuntimeDirectoryPreserve",
    ] {
        if let Some(value) = service.some_text(name).filter(|v| v != "no") {
            found.insert(name.to_owned(), value);
        }
    }
    for name in [
        "ReadWritePaths",
        "ReadOnlyPaths",
        "InaccessiblePaths",
        "RuntimeDirectory",
        "StateDirectory",
        "LogsDirectory",
        "ExecPaths",
        "NoExecPaths",
    ] {
        let values = service.texts(name);
        if !values.is_empty() {
            found.insert(name.to_owned(), values.join(" "));
        }
    }
    for name in ["IPAddressDeny", "IPAddressAllow"] {
        let values: Vec<String> =
            service.value(name).map(array).unwrap_or_default().into_iter().filter_map(prefix).collect();
        if !values.is_empty() {
            found.insert(name.to_owned(), values.join(" "));
        }
    }
    for name in ["RestrictAddressFamilies", "SystemCallFilter"] {
        // (is it a list of what is allowed, the list)
        if let Some([Value::Bool(allow), list, ..]) = service.value(name).map(fields) {
            let words: Vec<String> = array(list).into_iter().filter_map(string).collect();
            if *allow || !words.is_empty() {
                let shown = if name == "SystemCallFilter" {
                    format!("{} system calls", words.len())
                } else {
                    words.join(" ")
                };
                found.insert(name.to_owned(), format!("{}{shown}", if *allow { "" } else { "~" }));
            }
        }
    }
    for name in ["SocketBindDeny", "SocketBindAllow"] {
        let count = service.value(name).map(array).unwrap_or_default().len();
        if count > 0 {
            found.insert(name.to_owned(), format!("{count} rules"));
        }
    }
    // (ignore when it fails, the profile)
    for name in ["AppArmorProfile", "SELinuxContext"] {
        if let Some(profile) =
            service.value(name).map(fields).and_then(|f| string(f.get(1)?)).filter(|p| !p.is_empty())
        {
            found.insert(name.to_owned(), profile);
        }
    }
    found
}

/// (family, address bytes, prefix length) as text.
fn prefix(value: &Value<'_>) -> Option<String> {
    let [_, bytes, length] = fields(value) else { return None };
    let bytes: Vec<u8> = array(bytes).into_iter().filter_map(|b| number(b)?.try_into().ok()).collect();
    let address = match bytes.len() {
        4 => std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(format!("{address}/{}", number(length)?))
}

/// What else has to be well first: needed units that failed or are masked, conditions that were not met.
fn blocked_by(systemd: &Systemd, active: &str, general: &Properties) -> Vec<String> {
    let mut found = Vec::new();
    if active != "active" {
        let needed: Vec<String> = ["Requires", "Requisite", "BindsTo"]
            .iter()
            .flat_map(|name| general.texts(name))
            .filter(|n| !n.ends_with(".slice"))
            .take(64)
            .collect();
        let states: Vec<Listed> = systemd.manager("ListUnitsByNames", &needed).unwrap_or_default();
        for unit in states {
            match (unit.2.as_str(), unit.3.as_str()) {
                ("masked" | "not-found" | "error" | "bad-setting", _) => {
                    found.push(format!("needs {}, which is {}", unit.0, unit.2));
                }
                (_, "failed") => found.push(format!("needs {}, which failed", unit.0)),
                _ => {}
            }
        }
        if let Some([_, text]) = general.value("LoadError").map(fields) {
            found.extend(string(text).filter(|t| !t.is_empty() && general.text("LoadState") != "masked"));
        }
    }
    for (name, result) in [("Conditions", "ConditionResult"), ("Asserts", "AssertResult")] {
        let checked =
            general.seconds(if name == "Conditions" { "ConditionTimestamp" } else { "AssertTimestamp" });
        if general.flag(result) != Some(false) || checked.is_none() {
            continue;
        }
        for condition in general.value(name).map(array).unwrap_or_default() {
            // (type, is one of several alternatives, negated, parameter, state: 1 met, 0 untried, negative not met)
            let [kind, _, negated, parameter, Value::I32(state)] = fields(condition) else { continue };
            if *state < 0 {
                let not = if matches!(negated, Value::Bool(true)) { "!" } else { "" };
                let (kind, parameter) =
                    (string(kind).unwrap_or_default(), string(parameter).unwrap_or_default());
                found.push(format!("{kind}={not}{parameter} is not met"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{by_pattern, exit_kind, is_program, look, usual};

    #[test]
    fn names_of_packages() {
        for name in [
            "redis.service",
            "redis-server@a.service",
            "redis_6379.service",
            "valkey.service",
            "keydb-server.service",
        ] {
            assert!(usual(name), "{name}");
        }
        for name in ["redis-exporter.service", "myapp-redis-worker.service", "redis_exporter.service"] {
            assert!(!usual(name), "{name}");
            assert!(by_pattern(name), "{name}");
        }
    }

    #[test]
    fn programs_in_commands() {
        assert!(is_program("/usr/bin/redis-server"));
        assert!(is_program("exec /opt/bin/valkey-server /etc/v.conf"));
        assert!(!is_program("/usr/bin/redis-cli"));
        assert!(!is_program("/usr/bin/redis-server-exporter"));
    }

    #[test]
    fn exit_kinds() {
        assert_eq!(exit_kind(3).as_deref(), Some("dumped"));
        assert_eq!(exit_kind(0), None);
    }

    #[test]
    fn looks_or_says_why() {
        match look(&[]) {
            Ok(units) => assert!(units.units.iter().all(|u| u.name.ends_with(".service"))),
            Err(why) => assert!(!why.to_string().is_empty()),
        }
    }
}
