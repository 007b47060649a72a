//! supervisord: the files as its own parser reads them (supervisor/options.py, 4.2), the states by `supervisorctl status`.

use super::{is_redis, running};
use crate::evidence::managed::{Managed, Manager, Managers, Standing};
use crate::evidence::redact;
use crate::sys;
use crate::sys::managers::{self, State};
use crate::text;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where it looks itself, and where packages put the file.
const PLACES: [&str; 3] =
    ["/etc/supervisord.conf", "/etc/supervisor/supervisord.conf", "/usr/local/etc/supervisord.conf"];
/// Files are small.
const FILE_MAX: usize = 256 << 10;
/// Included files read.
const FILES_MAX: usize = 200;
/// `numprocs` taken.
const PROCESSES_MAX: u32 = 16;
/// SIGKILL follows after so many seconds unless the program says otherwise (stopwaitsecs).
const STOP_WAIT: u32 = 10;

/// A section: its name, its file, its values.
#[derive(Debug, Default)]
struct Section {
    name: String,
    file: String,
    values: BTreeMap<String, String>,
}

impl Section {
    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }
}

/// Adds its Redis programs.
pub(super) fn look(found: &mut Managers) {
    let supervisors = running("supervisord");
    let mut files: Vec<String> = supervisors.iter().filter_map(|pid| file_of(*pid)).collect();
    if files.is_empty() {
        files.extend(PLACES.iter().filter(|p| sys::stat(p).is_ok()).take(1).map(|p| (*p).to_owned()));
    }
    files.dedup();
    for file in files.into_iter().take(4) {
        let sections = match read(&file) {
            Ok(sections) => sections,
            Err(why) => {
                found.unread.push(why);
                continue;
            }
        };
        let mut programs = programs(&file, &sections);
        if programs.is_empty() {
            continue;
        }
        if supervisors.is_empty() {
            programs.iter_mut().for_each(|p| p.standing = Standing::Unmanaged);
        } else {
            let here = here(&file);
            let socket = sections.iter().find(|s| s.name == "unix_http_server").and_then(|s| s.get("file"));
            let told = socket.and_then(|s| managers::supervisord_at(&s.replace("%(here)s", &here)));
            match told.unwrap_or_else(|| ask(&file, &sections)) {
                Ok(told) => programs.iter_mut().for_each(|p| stand(p, &told)),
                Err(why) => found.unread.push(why),
            }
        }
        found.programs.extend(programs);
    }
}

/// The file that a running one was started with.
fn file_of(pid: u32) -> Option<String> {
    let bytes = sys::read(format!("/proc/{pid}/cmdline"), 16 << 10).ok()?;
    let words: Vec<String> = bytes.split(|b| *b == 0).map(|w| text::shown(w, 1000)).collect();
    let at = words.iter().position(|w| w == "-c" || w == "--configuration");
    let file = at.and_then(|at| words.get(at + 1).cloned()).or_else(|| {
        words
            .iter()
            .find_map(|w| w.strip_prefix("--configuration=").or(w.strip_prefix("-c")).map(str::to_owned))
    });
    let Some(file) = file.filter(|f| !f.is_empty()) else {
        return PLACES.iter().find(|p| sys::stat(p).is_ok()).map(|p| (*p).to_owned());
    };
    // It changes its folder only when told to (`directory`); then a relative file is not found, and said to be unread.
    let cwd = sys::read_link(format!("/proc/{pid}/cwd")).unwrap_or_else(|_| PathBuf::from("/"));
    Some(cwd.join(file).to_string_lossy().into_owned())
}

/// `%(here)s`: the folder of the main file.
fn here(config: &str) -> String {
    Path::new(config).parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned()
}

/// The main file and what it includes; included files include nothing themselves.
fn read(file: &str) -> Result<Vec<Section>, String> {
    let main = sys::read_text(file, FILE_MAX).map_err(|e| format!("{file}: {}", sys::why(file, &e)))?;
    let mut sections = sections(&main, file);
    let here = here(file);
    let include =
        sections.iter().find(|s| s.name == "include").and_then(|s| s.get("files")).unwrap_or_default();
    let include = include.replace("%(here)s", &here);
    for pattern in include.split_whitespace() {
        for path in sys::conf::glob(Path::new(&here), pattern.as_bytes()).into_iter().take(FILES_MAX) {
            let path = Path::new(&here).join(path).to_string_lossy().into_owned();
            let text =
                sys::read_text(&path, FILE_MAX).map_err(|e| format!("{path}: {}", sys::why(&path, &e)))?;
            sections.extend(self::sections(&text, &path));
        }
    }
    Ok(sections)
}

/// Python's RawConfigParser with `;` and `#` as comments after a blank: later lines that are indented go on.
fn sections(text: &str, file: &str) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let whole = line.trim_start();
        if whole.is_empty() || whole.starts_with([';', '#']) {
            continue;
        }
        let line = uncommented(line);
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.split_once(']')).map(|(name, _)| name) {
            found.push(Section { name: name.to_owned(), file: file.to_owned(), ..Section::default() });
            last = None;
            continue;
        }
        let Some(section) = found.last_mut() else { continue };
        if line.starts_with(char::is_whitespace)
            && let Some(key) = &last
        {
            if let Some(value) = section.values.get_mut(key) {
                value.push('\n');
                value.push_str(trimmed);
            }
            continue;
        }
        let Some(at) = trimmed.find(['=', ':']) else { continue };
        let (key, value) = trimmed.split_at(at);
        let key = key.trim().to_ascii_lowercase();
        section.values.insert(key.clone(), value[1..].trim().to_owned());
        last = Some(key);
    }
    found
}

/// Without the comment that follows a blank.
fn uncommented(line: &str) -> &str {
    let comment = line
        .char_indices()
        .zip(line.chars().skip(1))
        .find_map(|((at, c), next)| (c.is_whitespace() && matches!(next, ';' | '#')).then_some(at));
    comment.map_or(line, |at| &line[..at])
}

/// The Redis programs, one for each process.
fn programs(config: &str, sections: &[Section]) -> Vec<Managed> {
    let here = here(config);
    let logs = sections.iter().find(|s| s.name == "supervisord").and_then(|s| s.get("childlogdir"));
    let group_of = |program: &str| {
        sections.iter().find_map(|s| {
            let group = s.name.strip_prefix("group:")?;
            s.get("programs")?.split(',').any(|p| p.trim() == program).then_some(group)
        })
    };
    let mut found = Vec::new();
    for section in sections {
        let Some(program) = section.name.strip_prefix("program:").map(str::trim) else { continue };
        let group = group_of(program).unwrap_or(program);
        let count = section.get("numprocs").and_then(|n| n.parse().ok()).unwrap_or(1u32);
        for number in 0..count.min(PROCESSES_MAX) {
            let first: u32 = section.get("numprocs_start").and_then(|n| n.parse().ok()).unwrap_or(0);
            let expand = |text: &str| expanded(text, program, group, first.saturating_add(number), &here);
            let Some(command) = section.get("command").map(expand) else { continue };
            let Some(argv) = shlex::split(&command).filter(|argv| is_redis(argv)) else { continue };
            let process = section.get("process_name").map_or_else(|| program.to_owned(), expand);
            let log = |stream: &str| match section.get(&format!("{stream}_logfile")).map(expand).as_deref() {
                None | Some("AUTO") => automatic_log(logs.unwrap_or("/tmp"), &process, stream),
                Some(path) => (path.starts_with('/') && !path.starts_with("/dev/")).then(|| path.to_owned()),
            };
            let logs = ["stdout", "stderr"].into_iter().filter_map(log).collect();
            found.push(Managed {
                manager: Manager::Supervisord,
                name: if process == group { process } else { format!("{group}:{process}") },
                config: config.to_owned(),
                file: section.file.clone(),
                argv: redact::argv(&argv),
                cwd: section.get("directory").map(expand),
                user: section.get("user").map(str::to_owned),
                autostart: !section.get("autostart").is_some_and(is_no),
                stop_wait_s: section.get("stopwaitsecs").map_or(Some(STOP_WAIT), |n| n.parse().ok()),
                logs,
                ..Managed::default()
            });
        }
    }
    found
}

/// supervisor/datatypes.py, FALSY_STRINGS.
fn is_no(word: &str) -> bool {
    ["no", "false", "off", "0"].iter().any(|no| word.eq_ignore_ascii_case(no))
}

/// Python's `%` with names, for those that a program has. What the environment says is left as written.
fn expanded(text: &str, program: &str, group: &str, number: u32, here: &str) -> String {
    let mut text =
        text.replace("%(program_name)s", program).replace("%(group_name)s", group).replace("%(here)s", here);
    for width in 0..=4usize {
        let spelt =
            if width == 0 { "%(process_num)d".to_owned() } else { format!("%(process_num)0{width}d") };
        text = text.replace(&spelt, &format!("{number:0width$}"));
    }
    text.replace("%(process_num)s", &number.to_string()).replace("%%", "%")
}

/// `redis-stdout---supervisor-k2x3.log`: one for each run of the manager.
fn automatic_log(folder: &str, process: &str, stream: &str) -> Option<String> {
    let prefix = format!("{process}-{stream}---");
    let names = sys::list(folder, 2000).ok()?;
    let mut found: Vec<(i64, String)> = names
        .iter()
        .map(|n| n.to_string_lossy())
        .filter(|n| n.starts_with(&prefix) && n.ends_with(".log"))
        .map(|n| format!("{folder}/{n}"))
        .filter_map(|path| Some((sys::stat(&path).ok()?.mtime(), path)))
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// Asks it how its programs stand.
fn ask(config: &str, sections: &[Section]) -> Result<Vec<State>, String> {
    let section = |name: &str| sections.iter().find(|s| s.name == name);
    let url = section("supervisorctl").and_then(|s| s.get("serverurl")).unwrap_or("http://localhost:9001");
    let local = ["unix://", "http://localhost", "http://127.0.0.1"].iter().any(|p| url.starts_with(p));
    if !local {
        return Err(format!("{config}: its supervisorctl speaks to another machine: not asked"));
    }
    // It loads Python code that its configuration names: only root, or who runs nopong, may have written that.
    let mut files: Vec<&str> = sections.iter().map(|s| s.file.as_str()).collect();
    files.dedup();
    if let Some(why) = files.into_iter().find_map(managers::others_may_write) {
        return Err(format!("{why} by supervisorctl"));
    }
    managers::supervisord(config)
}

fn stand(program: &mut Managed, told: &[State]) {
    let Some(state) = told.iter().find(|state| state.name == program.name) else {
        program.standing = Standing::Unlisted;
        return;
    };
    (program.standing, program.pid) = (state.standing, state.pid);
    program.says.clone_from(&state.says);
}

#[cfg(test)]
mod tests {
    use super::{programs, sections, stand};
    use crate::evidence::managed::Standing;

    const CONFIG: &str = "; a comment\n[supervisord]\nlogfile=/var/log/s.log ; (main log)\n[program:cache]\n\
        command=/usr/bin/redis-server /etc/cache.conf\n  --port 6380 ; two lines\nautostart = No\nuser:redis\n\
        [program:shards]\ncommand=redis-server --port 70%(process_num)02d --requirepass hunter22\nnumprocs=2\n\
        process_name=%(program_name)s_%(process_num)02d\n[program:web]\ncommand=/usr/bin/web --redis x\n\
        [group:all]\nprograms=cache,web\n";

    #[test]
    fn programs_of_a_file() {
        let found = programs("/etc/s.conf", &sections(CONFIG, "/etc/s.conf"));
        let names: Vec<&str> = found.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["all:cache", "shards:shards_00", "shards:shards_01"]);
        assert_eq!(found[0].argv, ["/usr/bin/redis-server", "/etc/cache.conf", "--port", "6380"]);
        assert_eq!((found[0].autostart, found[0].user.as_deref()), (false, Some("redis")));
        assert_eq!(found[2].argv[..3], ["redis-server", "--port", "7001"]);
        assert!(!format!("{found:?}").contains("hunter22"));
    }

    #[test]
    fn what_is_not_listed_is_not_known_to_it() {
        let mut found = programs("/etc/s.conf", &sections(CONFIG, "/etc/s.conf"));
        stand(&mut found[0], &[]);
        assert_eq!(found[0].standing, Standing::Unlisted);
    }
}
