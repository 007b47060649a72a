//! The application's own setting, where the target came from one: the line corrected, and who has to read it again.
//!
//! Only what the evidence names as right is written: a port that Redis was seen on, TLS where the port finished a
//! handshake, no TLS on the same host where the port speaks none, the one Redis of the same compose file, the one socket of
//! the server here, a login percent-encoded. The corrected text is read the way the
//! application's settings are read before it counts as a plan, and the verification dials what it then says.

use super::{Draft, NoPlan};
use crate::apply::{Action, EditFile};
use crate::cause::common::sh;
use crate::diagnosis::{Case, Symptom};
use crate::sys;
use crate::target::{self, Correction, Surroundings};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the settings were read.
#[derive(Clone, Default)]
pub struct Place {
    /// Environment and files.
    pub here: Surroundings,
    /// The process whose they are; none for this one.
    pub pid: Option<u32>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({:?})", self.pid)
    }
}

impl Place {
    fn directory(&self) -> Option<PathBuf> {
        match self.pid {
            Some(pid) => sys::read_link(format!("/proc/{pid}/cwd")).ok(),
            None => sys::canonical("."),
        }
    }
}

/// What has to change in the setting for a cause; none when the evidence does not say.
fn corrections(case: &Case<'_>, id: &str) -> Option<Vec<Vec<Correction>>> {
    let one = |c: Correction| Some(vec![vec![c]]);
    match id {
        "url-malformed" => Some(vec![vec![Correction::Escape], vec![Correction::HostAlone]]),
        "env-collision" => one(Correction::Port(case.ask.port)),
        "wrong-port" => one(Correction::Port(crate::cause::right_port(case)?)),
        "tls-required" if case.symptom == Symptom::Refused => None,
        "tls-required" => one(Correction::Tls),
        "tls-not-spoken" => one(without_tls(case)?),
        "socket-missing" => one(Correction::Socket(the_socket(case)?)),
        _ => None,
    }
}

/// The server's TLS port, where it has one; else no TLS, which is right only where nothing crosses a network.
fn without_tls(case: &Case<'_>) -> Option<Correction> {
    let tls_port = case.config().and_then(|c| c.value("tls-port")).and_then(|p| p.parse::<u16>().ok());
    match tls_port.filter(|p| *p != 0 && *p != case.ask.port) {
        Some(port) => Some(Correction::Port(port)),
        None => case.ask.local.then_some(Correction::Plain),
    }
}

/// The one socket that the Redis server of this host listens on.
fn the_socket(case: &Case<'_>) -> Option<String> {
    let process = case.process()?;
    let listeners = case.server.listener.get()?;
    let mut own = listeners.unix.iter().filter(|u| u.pids.contains(&process.pid)).map(|u| u.path.clone());
    let first = own.next().filter(|path| path.starts_with('/'))?;
    own.next().is_none().then_some(first)
}

/// One place of a setting.
struct Spot {
    /// The file as it can be opened.
    path: PathBuf,
    /// Its name, which tells its kind.
    name: String,
    /// Line from 1.
    line: usize,
    key: String,
    text: String,
}

/// Plans the correction where the target came from a setting; none otherwise, or where nothing is known to be right.
pub(super) fn correct(draft: &mut Draft<'_>, id: &str) -> Option<Result<(), NoPlan>> {
    let place = draft.wish.place.as_ref()?;
    if matches!(draft.case.ask.source.as_str(), "" | "argument" | "default") {
        return None;
    }
    let ways = match id {
        "loopback-in-container" => None,
        _ => Some(corrections(draft.case, id)?),
    };
    Some(planned(draft, place, ways))
}

fn planned(draft: &mut Draft<'_>, place: &Place, ways: Option<Vec<Vec<Correction>>>) -> Result<(), NoPlan> {
    let spot = spot(draft.case, place)?;
    let ways = match ways {
        Some(ways) => ways,
        None => vec![vec![Correction::Host(service(&spot)?)]],
    };
    let mut unclear = None;
    for way in ways {
        match corrected(draft.case, place, &spot, &way) {
            Ok((text, target)) => return take(draft, place, &spot, &text, target),
            Err(why) => unclear = unclear.or(Some(why)),
        }
    }
    let why = unclear.unwrap_or_else(|| "nothing is evident".to_owned());
    Err(NoPlan::Refused(format!("{}:{} is not corrected by itself: {why}", spot.path.display(), spot.line)))
}

/// The text with the correction, and the target that an application reads there.
fn corrected(
    case: &Case<'_>,
    place: &Place,
    spot: &Spot,
    way: &[Correction],
) -> Result<(String, target::Target), String> {
    let mut text = spot.text.clone();
    for correction in way {
        text = target::correct(&spot.name, &text, spot.line, &spot.key, correction)?;
    }
    let source = &case.ask.source;
    let there = match source.strip_prefix("environment ") {
        Some(key) => {
            // The variables as a file: a port may stand beside the host.
            let mut lines = format!("{key}={}\n", place.here.variable(key).unwrap_or_default());
            let stem = ["HOST", "PORT"].iter().find_map(|word| key.strip_suffix(word));
            let beside = stem.map(|stem| ["HOST", "PORT", "TLS", "SSL"].map(|word| format!("{stem}{word}")));
            for other in beside.iter().flatten().filter(|other| *other != key) {
                if let Some(value) = place.here.variable(other) {
                    lines.push_str(&format!("{other}={value}\n"));
                }
            }
            for correction in way {
                lines = target::correct(".env", &lines, 1, key, correction)?;
            }
            let pairs = lines.lines().filter_map(|line| line.split_once('='));
            pairs.fold(place.here.clone(), |here, (key, value)| here.with_variable(key, value))
        }
        None => place.here.with_file(&spot.name, &text),
    };
    let target = target::from_settings(&there).target;
    match &target.problem {
        Some(problem) => Err(format!("what is left would not be an address either: {}", problem.says)),
        None if target.source != *source => Err(format!("the application would then take {}", target.source)),
        None => Ok((text, target)),
    }
}

fn take(
    draft: &mut Draft<'_>,
    place: &Place,
    spot: &Spot,
    text: &str,
    target: target::Target,
) -> Result<(), NoPlan> {
    let path = spot.path.to_string_lossy();
    let says = format!("{} names {}", spot.key, target.redacted());
    let edit = EditFile::of_settings(&path, &says, spot.text.as_bytes(), text.as_bytes().to_vec())
        .map_err(|f| NoPlan::Refused(f.says))?
        .ok_or(NoPlan::Advice(None))?;
    draft.first.push(Action::EditFile(edit));
    draft.plan.title = format!("correct {}:{}", spot.path.display(), spot.line);
    draft.plan.noticed_by.push("the application: when it reads the setting again".to_owned());
    draft.plan.advice.push(again(place, spot));
    draft.plan.retarget = Some(target);
    Ok(())
}

/// The line that the target's source means.
fn spot(case: &Case<'_>, place: &Place) -> Result<Spot, NoPlan> {
    let source = case.ask.source.as_str();
    if let Some(key) = source.strip_prefix("environment ") {
        return of_variable(place, key);
    }
    let unknown = || NoPlan::Advice(None);
    let (name, line) = source.rsplit_once(':').ok_or_else(unknown)?;
    let line: usize = line.parse().map_err(|_| unknown())?;
    let path = place.directory().ok_or_else(unknown)?.join(name);
    let settings = case.client.settings.get().ok_or_else(unknown)?;
    let key = settings.found.iter().find(|s| s.place == source).map(|s| s.key.clone()).ok_or_else(unknown)?;
    read(path, name, line, key)
}

fn read(path: PathBuf, name: &str, line: usize, key: String) -> Result<Spot, NoPlan> {
    let text = whole(&path)?;
    Ok(Spot { path, name: name.to_owned(), line, key, text })
}

/// A file that is written back must have been read whole, and as text.
fn whole(path: &Path) -> Result<String, NoPlan> {
    let refused = |why: &str| NoPlan::Refused(format!("{}: {why}", path.display()));
    let bytes = sys::read(path, sys::FILE_MAX).map_err(|e| refused(&sys::errno_name(&e)))?;
    if bytes.len() >= sys::FILE_MAX {
        return Err(refused("too large for a settings file"));
    }
    String::from_utf8(bytes).map_err(|_| refused("not UTF-8: correct it by hand"))
}

/// Where a running application has a variable from: its systemd unit, else the compose file here.
fn of_variable(place: &Place, key: &str) -> Result<Spot, NoPlan> {
    let by_hand =
        || NoPlan::Refused(format!("{key} comes from the environment: correct it where that is set"));
    let Some(pid) = place.pid else { return Err(by_hand()) };
    if let Some(unit) = target::unit_of(pid) {
        for (path, is_unit) in files_of(&unit) {
            let Ok(text) = whole(&path) else { continue };
            let Some(line) = assigned(&text, key, is_unit) else { continue };
            if is_unit && !path.starts_with("/etc") && !path.starts_with("/run") {
                return Err(NoPlan::Refused(format!(
                    "{key} is set in {}, which belongs to a package: override it with `systemctl edit {unit}`",
                    path.display()
                )));
            }
            // The name tells the kind: a unit file's percent signs are doubled.
            let name = if is_unit { "unit.service" } else { ".env" };
            return Ok(Spot { path, name: name.to_owned(), line, key: key.to_owned(), text });
        }
    }
    // The project's folder is where compose is run.
    let value = place.here.variable(key).unwrap_or_default();
    let directory = sys::canonical(".").ok_or_else(by_hand)?;
    let lines = Surroundings::read().compose_lines(key, value);
    let (name, line) = lines.into_iter().next().ok_or_else(by_hand)?;
    read(directory.join(&name), &name, line, key.to_owned())
}

/// The files that set variables of a unit, the strongest first: EnvironmentFile= overrides Environment=, later ones
/// override earlier ones (systemd.exec(5)). The flag says that it is a unit file.
fn files_of(unit: &str) -> Vec<(PathBuf, bool)> {
    let Some(systemctl) = sys::program("systemctl") else { return Vec::new() };
    let systemctl = systemctl.to_string_lossy().into_owned();
    let properties = "FragmentPath,DropInPaths,EnvironmentFiles";
    let argv = [systemctl.as_str(), "show", "-p", properties, "--", unit];
    let Ok(output) = sys::run(&argv, Duration::from_secs(5), 64 << 10) else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of = |key: &str| -> Vec<String> {
        let values = text.lines().filter_map(|l| l.strip_prefix(key)).filter(|v| !v.is_empty());
        values.map(str::to_owned).collect()
    };
    let mut files: Vec<(PathBuf, bool)> = Vec::new();
    for path in of("FragmentPath=") {
        files.push((PathBuf::from(path), true));
    }
    for paths in of("DropInPaths=") {
        files.extend(paths.split_whitespace().map(|p| (PathBuf::from(p), true)));
    }
    // `EnvironmentFiles=/etc/default/app (ignore_errors=no)`
    for file in of("EnvironmentFiles=") {
        let path = file.rsplit_once(" (").map_or(file.as_str(), |(p, _)| p);
        files.push((PathBuf::from(path), false));
    }
    files.reverse();
    files
}

/// The last line that assigns a variable.
fn assigned(text: &str, key: &str, is_unit: bool) -> Option<usize> {
    let assignment = format!("{key}=");
    let sets = |line: &str| {
        let line = line.trim_start();
        let body = if is_unit { line.strip_prefix("Environment=") } else { Some(line) };
        let free = |at: usize, body: &str| {
            at == 0 || body[..at].ends_with([' ', '\t', '"', '\'']) || &body[..at] == "export "
        };
        body.is_some_and(|b| b.match_indices(&assignment).any(|(at, _)| free(at, b)))
    };
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().rposition(|l| sets(l)).map(|n| n + 1)
}

/// The one Redis of the compose file: what a service calls it by.
fn service(spot: &Spot) -> Result<String, NoPlan> {
    let all = if spot.name.contains("compose") { target::redis_services(&spot.text) } else { Vec::new() };
    match all.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(NoPlan::Advice(None)),
        several => Err(NoPlan::Refused(format!(
            "which Redis is meant is not evident: the services are {}",
            crate::text::shown_str(&several.join(", "), 200)
        ))),
    }
}

/// Who has to read the setting again, and how.
fn again(place: &Place, spot: &Spot) -> String {
    let named = |pid: u32| {
        let comm = sys::read_text(format!("/proc/{pid}/comm"), 256).unwrap_or_default();
        format!("{} (pid {pid})", crate::text::shown_str(comm.trim(), 40))
    };
    if spot.name.contains("compose") {
        let service = target::service_at(&spot.text, spot.line).unwrap_or_default();
        let file = sh(&spot.path.to_string_lossy());
        return format!(
            "make the container anew, a restart keeps the old value: docker compose -f {file} up -d {service}"
        );
    }
    if let Some(pid) = place.pid {
        return match target::unit_of(pid) {
            Some(unit) => format!(
                "{} has the old value until it is restarted: systemctl daemon-reload && systemctl restart {}",
                named(pid),
                sh(&unit)
            ),
            None => format!("{} has the old value until it is restarted", named(pid)),
        };
    }
    let readers = readers(&spot.path);
    if readers.is_empty() {
        return format!("restart what reads {}: it has the old value until then", spot.path.display());
    }
    let all: Vec<String> = readers.into_iter().take(5).map(named).collect();
    format!("restart what works in that folder, it has the old value until then: {}", all.join(", "))
}

/// Processes whose working directory is the file's project; shells and ourselves left out.
fn readers(file: &Path) -> Vec<u32> {
    const SHELLS: &[&str] =
        &["sh", "bash", "dash", "zsh", "fish", "sudo", "su", "nopong", "tmux", "screen", "vim", "vi"];
    let Some(directory) = file.parent() else { return Vec::new() };
    let own = nix::unistd::getpid().as_raw() as u32;
    let mut pids: Vec<u32> = sys::list("/proc", 100_000)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|n| n.to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| sys::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory))
        .filter(|pid| {
            let comm = sys::read_text(format!("/proc/{pid}/comm"), 256).unwrap_or_default();
            !SHELLS.contains(&comm.trim())
        })
        .collect();
    pids.sort_unstable();
    pids
}

#[cfg(test)]
mod tests {
    use super::assigned;

    #[test]
    fn the_line_that_assigns() {
        let unit = "[Service]\nEnvironment=\"A=1\" \"REDIS_URL=redis://c\"\nEnvironment=X_REDIS_URL=2\n# REDIS_URL=x\n";
        assert_eq!(assigned(unit, "REDIS_URL", true), Some(2));
        assert_eq!(assigned("A=1\nexport REDIS_URL=x\nREDIS_URL=y\n", "REDIS_URL", false), Some(3));
        assert_eq!(assigned("#REDIS_URL=x\nB=REDIS_URL=\n", "REDIS_URL", false), None);
    }
}
