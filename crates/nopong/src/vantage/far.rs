//! A nopong on another machine: started there through a carrier (ssh), or brought along and removed again, and talked with
//! over its standard input and output.
//!
//! The carrier runs one constant command of the far shell, [`SCRIPT`]; what differs is written to its standard input. The copy
//! lies in a directory of its own that only the user there may enter, and goes when the far shell ends: when told to, and
//! when the connection is lost.

use crate::evidence::Why;
use crate::evidence::ends::Place;
use crate::probe::ends::wire::{Hello, LINE, PROTOCOL};
use crate::sys::pipe::{Broken, Pipe};
use crate::{evidence, sys, text};
use serde::Serialize;
use std::sync::Mutex;
use std::time::Duration;

/// How one gets there.
#[derive(Debug, Clone)]
pub struct Carrier {
    /// Absolute argv, to which the far command is added as one word.
    pub argv: Vec<String>,
    /// As it was asked for: `ssh:app@db`.
    pub asked: String,
    /// What a shell line for that machine begins with: `ssh app@db`.
    pub shell: String,
    /// Makes the carrier's own last words a reason.
    pub explain: fn(&Self, &str) -> Option<Why>,
    /// Variables of our environment that the carrier may see.
    pub keep: fn(&str) -> bool,
    /// It takes a while until the far shell answers: a person may be asked for a password, an image pulled.
    pub slow: bool,
}

/// First word of the far shell's own line; what comes before it is a login's chatter.
const THERE: &str = "nopong-there-1 ";
/// Lines of chatter looked through.
const CHATTER: usize = 200;
/// Until the far shell answers: a connection of ssh with its own limit of 10 s, and a login.
const CONNECT: Duration = Duration::from_secs(20);
/// The same with a person who types a password, or an image that is pulled.
const CONNECT_SLOW: Duration = Duration::from_secs(120);
/// Until the far nopong answers, its copy included: 12 MiB at 2 Mbit/s.
const COPY: Duration = Duration::from_secs(60);
/// Largest program that is copied.
const PROGRAM_MAX: u64 = 256 << 20;

/// What the far shell does. Constant, one line, without single quotes, exclamation marks and line ends, so that every login
/// shell hands it to /bin/sh as one word. `read` takes its input byte by byte, so what follows is left for the next reader.
const SCRIPT: &str = concat!(
    "umask 077; PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH; ",
    "read -r wish || exit 0; s=; r=plain; ",
    "if [ \"$wish\" = sudo ]; then if sudo -n true >/dev/null 2>&1; then s=\"sudo -n\"; r=sudo; else r=refused; fi; fi; ",
    "v=$(nopong --version 2>/dev/null | head -n 1); echo \"nopong-there-1 $(uname -s) $(uname -m) $r $v\"; ",
    "read -r how size || exit 0; ",
    "if [ \"$how\" = installed ]; then exec $s nopong collect --far; fi; ",
    "[ \"$how\" = copy ] || exit 0; d=; ",
    "bye() { [ -z \"$d\" ] || rm -rf -- \"$d\"; }; trap bye EXIT; trap \"exit 1\" HUP INT TERM PIPE; ",
    "for t in \"${TMPDIR:-/tmp}\" \"$HOME\" /var/tmp; do ",
    "d=$(mktemp -d \"$t/nopong.XXXXXXXXXX\" 2>/dev/null) || { d=; continue; }; ",
    // An empty program shows whether anything may be run there (noexec).
    ": > \"$d/nopong\" && chmod 700 \"$d/nopong\" && \"$d/nopong\" 2>/dev/null && break; bye; d=; done; ",
    "[ -n \"$d\" ] || { echo nowhere; exit 0; }; ",
    "head -c \"$size\" > \"$d/nopong\"; ",
    "[ \"$(wc -c < \"$d/nopong\")\" -eq \"$size\" ] || { echo incomplete; exit 0; }; ",
    "$s \"$d/nopong\" collect --far"
);

/// A far nopong that waits for orders.
#[derive(Debug)]
pub struct Far {
    /// Where it is.
    pub place: Place,
    carrier: Carrier,
    pipe: Mutex<Option<Pipe>>,
}

/// What the far shell told of itself.
#[derive(Debug, PartialEq, Eq)]
struct There {
    system: String,
    machine: String,
    sudo: String,
    version: String,
}

impl Far {
    /// Starts one. `sudo` asks for root there, without a password; `say` is told what takes long.
    pub fn open(carrier: &Carrier, sudo: bool, say: &mut dyn FnMut(&str)) -> Result<Self, Why> {
        match Self::start(carrier, sudo, true, say) {
            // The one that is installed there does not know this conversation: a copy does.
            Ok(None) => Self::start(carrier, sudo, false, say)?.ok_or(Why::Garbled {
                what: format!("{}: the copy of nopong does not answer as this one", carrier.called()),
            }),
            Ok(Some(far)) => Ok(far),
            Err(why) => Err(why),
        }
    }

    fn start(
        carrier: &Carrier,
        sudo: bool,
        installed: bool,
        say: &mut dyn FnMut(&str),
    ) -> Result<Option<Self>, Why> {
        let mut argv = carrier.argv.clone();
        argv.push(format!("exec /bin/sh -c '{SCRIPT}'"));
        let mut pipe = Pipe::start(&argv, carrier.keep)?;
        let until = sys::now() + if carrier.slow { CONNECT_SLOW } else { CONNECT };
        let wish: &[u8] = if sudo { b"sudo\n" } else { b"plain\n" };
        let there = pipe.write(wish, until).and_then(|()| {
            for _ in 0..CHATTER {
                if let Some(there) = There::parse(&pipe.line(LINE, until)?) {
                    return Ok(there);
                }
            }
            Err(Broken::TooLong)
        });
        let there = match there {
            Ok(there) => there,
            Err(broken) => return Err(carrier.broken(broken, pipe)),
        };
        let own = format!("nopong {}", env!("CARGO_PKG_VERSION"));
        let installed = installed && there.version == own;
        let until = sys::now() + COPY;
        let sent = if installed {
            pipe.write(b"installed -\n", until)
        } else {
            if let Some(why) = there.obstacle(carrier) {
                return Err(why);
            }
            say(&format!("copying nopong to {} …", carrier.called()));
            carrier.copy(&mut pipe, until)?
        };
        let line = match sent.and_then(|()| pipe.line(LINE, until)) {
            Ok(line) if line == b"nowhere" => {
                let needs = format!("a directory on {} in which a program may be run", carrier.called());
                return Err(Why::Missing { what: needs });
            }
            Ok(line) => line,
            Err(Broken::Closed) if installed => return Ok(None),
            Err(broken) => return Err(carrier.broken(broken, pipe)),
        };
        let hello = serde_json::from_slice::<Hello>(&line).ok();
        let fits = |h: &Hello| h.protocol == PROTOCOL && h.schema_version == evidence::SCHEMA_VERSION;
        let Some(hello) = hello.filter(fits) else { return Ok(None) };
        let by = match (installed, there.sudo.as_str()) {
            (true, "refused") => "nopong installed there; sudo -n was refused",
            (true, _) => "nopong installed there",
            (false, "refused") => "a copy of this nopong, removed afterwards; sudo -n was refused",
            (false, _) => "a copy of this nopong, removed afterwards",
        };
        let place = Place {
            asked: carrier.asked.clone(),
            shell: carrier.shell.clone(),
            by: by.to_owned(),
            ..hello.place
        };
        Ok(Some(Self { place, carrier: carrier.clone(), pipe: Mutex::new(Some(pipe)) }))
    }

    /// Sends a line.
    pub fn ask(&self, what: &impl Serialize) -> Result<(), Why> {
        let mut line = serde_json::to_vec(what)
            .map_err(|_| Why::Garbled { what: "a question that cannot be written".to_owned() })?;
        line.push(b'\n');
        self.with(|pipe| pipe.write(&line, sys::now() + COPY))
    }

    /// The line that answers, of at most `max` bytes.
    pub fn answer(&self, max: usize, limit: Duration) -> Result<Vec<u8>, Why> {
        self.with(|pipe| pipe.line(max, sys::now() + limit))
    }

    /// Once the conversation is broken it stays so.
    fn with<T>(&self, talk: impl FnOnce(&mut Pipe) -> Result<T, Broken>) -> Result<T, Why> {
        let gone = || Why::Failed { what: format!("the connection to {} is gone", self.carrier.called()) };
        let mut guard = self.pipe.lock().map_err(|_| gone())?;
        let pipe = guard.as_mut().ok_or_else(gone)?;
        talk(pipe).map_err(|broken| match guard.take() {
            Some(pipe) => self.carrier.broken(broken, pipe),
            None => gone(),
        })
    }
}

impl Carrier {
    /// The machine, as a reader knows it.
    fn called(&self) -> String {
        Place { asked: self.asked.clone(), ..Place::default() }.called()
    }

    /// Writes this very program. `Err` inside means that the conversation broke.
    fn copy(&self, pipe: &mut Pipe, until: std::time::Instant) -> Result<Result<(), Broken>, Why> {
        let (mut file, size) = sys::own_program().map_err(|e| sys::why("this program", &e))?;
        if size == 0 || size > PROGRAM_MAX {
            return Err(Why::Failed { what: "this program has no size to copy".to_owned() });
        }
        if let Err(broken) = pipe.write(format!("copy {size}\n").as_bytes(), until) {
            return Ok(Err(broken));
        }
        let mut left = size;
        let mut buffer = vec![0u8; 64 << 10];
        while left > 0 {
            let read = std::io::Read::read(&mut file, &mut buffer);
            let read = read.map_err(|e| sys::why("this program", &e))?;
            let chunk = buffer.get(..read.min(left as usize)).unwrap_or_default();
            if chunk.is_empty() {
                return Err(Why::Failed { what: "this program was changed while it was copied".to_owned() });
            }
            if let Err(broken) = pipe.write(chunk, until) {
                return Ok(Err(broken));
            }
            left -= chunk.len() as u64;
        }
        Ok(Ok(()))
    }

    /// Why a conversation ended, in the carrier's own words where it had some.
    fn broken(&self, broken: Broken, pipe: Pipe) -> Why {
        let called = self.called();
        let said = pipe.end();
        if let Some(why) = (self.explain)(self, &said) {
            return why;
        }
        let last =
            said.split("\\n").map(str::trim).filter(|l| !l.is_empty()).last().map(|l| format!(": {l}"));
        let last = text::shown_str(&last.unwrap_or_default(), 300);
        let what = match broken {
            Broken::TimedOut => format!("{called} does not answer in time{last}"),
            Broken::Closed => format!("{called} ended the conversation{last}"),
            Broken::TooLong => format!("{called} answers more than an answer can have{last}"),
        };
        Why::Failed { what }
    }
}

impl There {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = text::shown(line, 300);
        // A login's chatter may lack a line end.
        let mut words = line.rsplit_once(THERE)?.1.split_whitespace();
        let mut next = || words.next().map(str::to_owned);
        let (system, machine, sudo) = (next()?, next()?, next()?);
        Some(Self { system, machine, sudo, version: words.collect::<Vec<_>>().join(" ") })
    }

    /// Why this program cannot run there.
    fn obstacle(&self, carrier: &Carrier) -> Option<Why> {
        let own = std::env::consts::ARCH;
        let names: &[&str] = match own {
            "x86_64" => &["x86_64", "amd64"],
            "aarch64" => &["aarch64", "arm64"],
            "x86" => &["i686", "i586", "i486", "i386", "x86_64"],
            "arm" => &["armv7l", "armv6l", "armv8l", "aarch64"],
            "riscv64" => &["riscv64"],
            "powerpc64" => &["ppc64", "ppc64le"],
            "s390x" => &["s390x"],
            _ => &[],
        };
        let known = |w: &str| text::shown_str(w, 30);
        if self.system == "Linux" && (names.contains(&self.machine.as_str()) || self.machine == own) {
            return None;
        }
        let (system, machine, called) = (known(&self.system), known(&self.machine), carrier.called());
        Some(Why::Failed {
            what: format!(
                "{called} is {system} on {machine} and this nopong is made for Linux on {own}: install nopong {} there",
                env!("CARGO_PKG_VERSION")
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Carrier, Far, SCRIPT, There};
    use crate::evidence::Why;

    /// A shell on this machine in ssh's place: the script, the copy and the conversation are the real ones, the wire is not.
    fn shell(explain: fn(&Carrier, &str) -> Option<Why>) -> Carrier {
        Carrier {
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned()],
            asked: "ssh:db".to_owned(),
            shell: "ssh db".to_owned(),
            explain,
            keep: |name| name == "PATH" || name == "TMPDIR",
            slow: false,
        }
    }

    #[test]
    fn the_script_is_one_word_for_every_login_shell() {
        assert!(!SCRIPT.contains(['\'', '!', '\n', '\\', '`']));
        let checked =
            crate::sys::run(&["/bin/sh", "-n", "-c", SCRIPT], std::time::Duration::from_secs(5), 100);
        assert_eq!(checked.expect("runs").code, Some(0));
    }

    #[test]
    fn what_is_there_is_read_through_a_logins_chatter() {
        let there = There::parse(b"\x1b[0mnopong-there-1 Linux x86_64 plain nopong 0.1.0").expect("parses");
        assert_eq!((there.machine.as_str(), there.version.as_str()), ("x86_64", "nopong 0.1.0"));
        assert_eq!(There::parse(b"Welcome to db"), None);
        assert_eq!(There::parse(b"nopong-there-1 Linux"), None);
    }

    #[test]
    fn another_architecture_is_said() {
        let there = |system: &str, machine: &str| There {
            system: system.to_owned(),
            machine: machine.to_owned(),
            sudo: "plain".to_owned(),
            version: String::new(),
        };
        let carrier = shell(|_, _| None);
        let why = there("Linux", "mips").obstacle(&carrier).expect("an obstacle").to_string();
        assert!(why.starts_with("db is Linux on mips") && why.contains("install nopong"), "{why}");
        assert!(there("Darwin", "arm64").obstacle(&carrier).is_some());
        assert_eq!(there("Linux", std::env::consts::ARCH).obstacle(&carrier), None);
    }

    /// A far end that says what it likes: `said` is what its shell runs instead of the script.
    fn liar(said: &str) -> Result<Far, Why> {
        let mut carrier = shell(|_, _| None);
        carrier.argv.extend([said.to_owned(), "sh".to_owned()]);
        Far::open(&carrier, false, &mut |_| {})
    }

    #[test]
    fn a_far_end_may_say_what_it_likes() {
        let own = format!(
            "echo nopong-there-1 Linux {} plain nopong {}",
            std::env::consts::ARCH,
            env!("CARGO_PKG_VERSION")
        );
        let hello = |body: &str| format!("{own}; read -r a; read -r b; echo '{body}'; cat >/dev/null");
        for said in [
            "true".to_owned(),
            "yes".to_owned(),
            "head -c 200000 /dev/zero".to_owned(),
            "echo nopong-there-1 Linux".to_owned(),
            own.clone(),
            hello("{}"),
            hello("{\"nopong-far\": 99, \"schema_version\": 1, \"place\": {}}"),
        ] {
            let why = liar(&said);
            assert!(why.is_err(), "{said}: {why:?}");
        }
        let escape = "{\"nopong-far\": 1, \"schema_version\": 1, \"place\": {\"asked\": \"local\", \"shell\": \"rm\", \"hostname\": \"h\"}}";
        let far = liar(&hello(escape)).expect("a hello");
        // Where it is, is what was asked for, not what it says.
        assert_eq!((far.place.asked.as_str(), far.place.shell.as_str()), ("ssh:db", "ssh db"));
        let nothing = far.answer(100, std::time::Duration::from_millis(50));
        assert!(nothing.is_err_and(|w| w.to_string().contains("does not answer in time")));
        assert!(far.ask(&1).is_err_and(|w| w.to_string().contains("is gone")));
    }

    #[test]
    fn a_program_that_is_no_nopong_is_refused_and_nothing_stays() {
        // The test's own program is what gets copied: it runs, and does not answer as nopong.
        let dir = crate::sys::TestDir::new("far");
        let mut carrier = shell(|_, _| None);
        carrier.argv = vec!["/usr/bin/env".to_owned(), format!("TMPDIR={}", dir.display())];
        carrier.argv.extend(["/bin/sh".to_owned(), "-c".to_owned()]);
        let refused = Far::open(&carrier, false, &mut |_| {});
        assert!(refused.is_err(), "{refused:?}");
        let left = crate::sys::list(&*dir, 10).expect("lists");
        assert!(left.is_empty(), "{left:?}");
    }
}
