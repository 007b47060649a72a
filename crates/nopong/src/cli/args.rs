//! Arguments that several verbs share, and how they become a request.

use super::kube::{Entrance, KubeArgs};
use super::{Fail, cloud, exit, io};
use crate::diagnosis::Diagnosis;
use crate::evidence::{CaseFile, Why, client::Settings, scrub};
use crate::probe::client::kubernetes::Objects;
use crate::probe::{self, Request, TlsOptions};
use crate::report::{self, Color, Format, Style};
use crate::secret::Secret;
use crate::sys;
use crate::target::{self, Target};
use crate::vantage::{Far, Home, Host, Vantage};
use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What to dial, and from where to look.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Asked {
    /// redis://[[user]:password@]host[:port][/db], rediss://, valkey://, valkeys://, unix:///path, host, host:port;
    /// nothing: the application's own settings are looked up, then redis://127.0.0.1:6379
    #[arg(value_name = "TARGET")]
    pub(super) target: Option<OsString>,
    /// Where the client stands
    #[arg(long, value_name = "WHERE", default_value = "local", value_parser = vantage)]
    pub(super) from: Vantage,
    /// Where the Redis host's own evidence is read; without it, here when the target is this machine
    #[arg(long, value_name = "WHERE", value_parser = vantage)]
    pub(super) server: Option<Vantage>,
    /// On machines reached by ssh look as root, where sudo needs no password there
    #[arg(long)]
    pub(super) sudo: bool,
    /// Judge, on the Redis host, for a client at that address
    #[arg(long, value_name = "ADDR")]
    pub(super) client: Option<IpAddr>,
    /// Limit of one network wait: 500ms, 2s, 1m [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
    /// User name for AUTH; the password comes from the URL, REDISCLI_AUTH, REDIS_PASSWORD or --askpass
    #[arg(long, value_name = "NAME", help_heading = "Access")]
    pub(super) user: Option<String>,
    /// Ask for the password on the terminal
    #[arg(long, help_heading = "Access")]
    pub(super) askpass: bool,
    /// CA certificates to trust instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub(super) cacert: Option<String>,
    /// Client certificate
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "Access")]
    pub(super) cert: Option<String>,
    /// Key of the client certificate
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "Access")]
    pub(super) key: Option<String>,
    /// Server name for TLS
    #[arg(long, value_name = "NAME", help_heading = "Access")]
    pub(super) sni: Option<String>,
    /// Take any certificate
    #[arg(long, help_heading = "Access")]
    pub(super) insecure: bool,
    /// Follow a SYN of ours through the rules of nftables (root, Linux 5.12): a table of our own switches the trace on for
    /// that packet, and is gone with this process
    #[arg(long)]
    pub(super) trace: bool,
    /// Do not use the kernel's trace points, also as root
    #[arg(long, conflicts_with = "trace")]
    pub(super) no_trace: bool,
    /// Judge the cloud's firewall rules as well: aws, gcp or azure through its own tool (alone: whichever is here), or
    /// a file with listings of that tool as JSON; may be repeated
    #[arg(
        long,
        value_name = "CLOUD|FILE",
        num_args = 0..=1,
        default_missing_value = cloud::AUTO,
        action = clap::ArgAction::Append
    )]
    pub(super) cloud: Vec<String>,
    #[command(flatten)]
    pub(super) kube: KubeArgs,
}

/// A nopong that was started elsewhere, or why it was not.
type FarEnd = Result<Arc<Far>, Why>;

/// How the report is written.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Shown {
    /// How the report is written
    #[arg(long, value_name = "FORMAT", default_value = "human", help_heading = "Report")]
    pub(super) format: Format,
    /// All evidence, with the command to see each by hand
    #[arg(long, short, help_heading = "Report")]
    pub(super) verbose: bool,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Report")]
    pub(super) color: Color,
}

/// `500ms`, `2s`, `1m`; a bare number is seconds, as redis-cli's `-t`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("unit `{other}` is not known: write 500ms, 2s or 1m")),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = digits.parse::<f64>().ok().filter(|_| plain).map(|n| n * unit);
    match seconds {
        Some(s) if (0.001..=86_400.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        Some(_) => Err("must be between 1ms and 24h".to_owned()),
        None => Err("not a time: write 500ms, 2s or 1m".to_owned()),
    }
}

/// `local`, `netns:`, `pid:`, `container:`, `ssh:`.
pub(super) fn vantage(text: &str) -> Result<Vantage, String> {
    Vantage::parse(text)
}

/// What cannot be looked from is bad usage: nobody looked, so nothing is known.
fn no_look(why: &Why) -> Fail {
    Fail::usage(format!("cannot look from there: {why}"))
}

/// Finds and enters the place to look from.
fn stand(from: &Vantage) -> Result<(Vantage, Option<Home>), Fail> {
    let failed = |why: Why| no_look(&why);
    if matches!(from, Vantage::Local | Vantage::Ssh(_)) {
        return Ok((Vantage::Local, None));
    }
    let home = Home::here().map_err(failed)?;
    let place = from.clone().resolve().map_err(failed)?;
    place.enter_network().map_err(failed)?;
    place.enter_names().map_err(failed)?;
    Ok((place, Some(home)))
}

/// A look that is ready to be made.
#[derive(Debug)]
pub(super) struct Look {
    /// What the probes need.
    pub(super) request: Request,
    /// Known secrets, which may be in no evidence.
    pub(super) secrets: Vec<Secret>,
    /// No progress is shown.
    pub(super) quiet: bool,
    /// Where the settings were read.
    pub(super) place: crate::plan::Place,
}

impl Look {
    /// Looks; says so on a terminal when it takes longer.
    pub(super) fn now(&self) -> Result<CaseFile, Fail> {
        let progress = (!self.quiet).then(|| match self.request.idle {
            Some(limit) => io::Progress::counting_down("holding idle connections", limit),
            None => io::Progress::after_a_moment("looking …"),
        });
        let far = self.request.client_far.is_some() || self.request.server_far.is_some();
        let file = if far && self.request.target.problem.is_none() {
            probe::ends::look(&self.request).map_err(|why| no_look(&why))?
        } else {
            probe::look(&self.request)
        };
        drop(progress);
        Ok(scrub(file, &self.secrets))
    }
}

impl Asked {
    /// Target, credentials and limits put together.
    pub(super) fn look(&self) -> Result<Look, Fail> {
        let mut given = self.target.clone();
        let cloud = cloud::wanted(&self.cloud, &mut given)?;
        let (client_far, server_far) = self.far_ends();
        let mut client_far = client_far.transpose().map_err(|why| no_look(&why))?;
        let mut objects = self.kube.objects(&self.from, self.server.as_ref())?;
        let (place, home) = match objects.client.clone().filter(|_| !objects.alone) {
            Some(key) => match self.kube.enter(&key).map_err(|why| no_look(&why))? {
                Entrance::Here(pid) => stand(&Vantage::Pid(pid))?,
                Entrance::Far(far) => {
                    client_far = Some(far);
                    (Vantage::Local, None)
                }
                Entrance::None(why) if given.is_none() => return Err(no_look(&why)),
                Entrance::None(why) => {
                    // What the cluster says of it can be judged without a dial.
                    io::say(&format!("nobody dials from pod {key}: {why}"));
                    objects.alone = true;
                    (Vantage::Local, None)
                }
            },
            None if objects.alone => (Vantage::Local, None),
            None => stand(&self.from)?,
        };
        if client_far.is_some() && given.is_none() && (self.user.is_some() || self.askpass) {
            return Err(Fail::usage("--user and --askpass with --from ssh: or pod: need a target"));
        }
        let here = match (place.pid(), objects.pod_settings()) {
            (Some(pid), _) => target::Surroundings::of_process(pid),
            (None, Some(settings)) => target::Surroundings::of(&settings, &[]),
            (None, None) => target::Surroundings::read(),
        };
        let mut found = match &given {
            Some(text) => target::from_argument(text, &here),
            // The application's settings are where the application is.
            None if client_far.is_some() => target::from_settings(&target::Surroundings::default()),
            None => target::from_settings(&here),
        };
        if found.password_in_text {
            io::say(
                "a password in an argument can be read by every user of this machine (ps): \
                 use REDIS_URL, REDISCLI_AUTH or --askpass",
            );
        }
        if let Some(user) = &self.user {
            (found.target.user, found.target.user_is_name) = (Some(user.clone()), true);
        }
        if self.askpass {
            found.target.password = Some(ask_password()?);
        }
        let mut secrets = here.secrets();
        secrets.extend(found.target.secrets());
        let mut request = self.request_for(found.target, Some(found.settings));
        request.home = home;
        request.cloud = cloud;
        request.from = place.clone();
        request.settings_there = client_far.is_some() && given.is_none();
        request.client_far = client_far;
        let (near, server_far) = self.server_end(&objects, server_far)?;
        // Without the server's side there is still the client's: the reason is one of the unknowns.
        request.watch = server_far.is_some();
        request.server_far = server_far;
        if let Some(Vantage::Container(name)) = &near {
            request.server_container = Some(name.clone());
        }
        request.server_here &= near.is_some() || objects.server.is_none();
        request.kube = objects;
        let resolved = near.map(Vantage::resolve_server).transpose();
        request.server_at = resolved.map_err(|why| Fail::usage(format!("--server: {why}")))?.flatten();
        request.server_here &= request.server_at.is_some() || request.server_container.is_none();
        let place = crate::plan::Place { here, pid: place.pid() };
        Ok(Look { request, secrets, quiet: false, place })
    }

    /// The server's end: a place that is entered from here, or a nopong over there.
    fn server_end(
        &self,
        objects: &Objects,
        far: Option<FarEnd>,
    ) -> Result<(Option<Vantage>, Option<FarEnd>), Fail> {
        let near = self.server.clone().filter(|at| !matches!(at, Vantage::Ssh(_) | Vantage::Pod(..)));
        let Some(key) = objects.server.as_ref().filter(|_| objects.saved.is_none()) else {
            return Ok((near, far));
        };
        let entrance = self.kube.enter(key).map_err(|why| Fail::usage(format!("--server: {why}")))?;
        Ok(match entrance {
            Entrance::Here(pid) => (Some(Vantage::Pid(pid)), far),
            Entrance::Far(there) => (near, Some(Ok(there))),
            Entrance::None(why) => (near, Some(Err(why))),
        })
    }

    /// Starts a nopong at each end that ssh reaches; at once, unless ssh may have something to ask.
    fn far_ends(&self) -> (Option<FarEnd>, Option<FarEnd>) {
        let start = |at: Option<&Vantage>| match at {
            Some(Vantage::Ssh(host)) => Some(self.far(host)),
            _ => None,
        };
        if sys::is_terminal() {
            return (start(Some(&self.from)), start(self.server.as_ref()));
        }
        std::thread::scope(|scope| {
            let server = scope.spawn(|| start(self.server.as_ref()));
            (start(Some(&self.from)), server.join().unwrap_or(Some(Err(Why::Panicked))))
        })
    }

    /// Starts a nopong over there.
    fn far(&self, host: &Host) -> FarEnd {
        let mut progress = io::Progress::shown_at_once();
        Far::open(&host.carrier()?, self.sudo, &mut |text| progress.say(text)).map(Arc::new)
    }

    fn request_for(&self, target: Target, settings: Option<Settings>) -> Request {
        Request {
            target,
            settings,
            timeout: self.timeout.unwrap_or(Duration::from_secs(2)),
            client: self.client,
            trace: !self.no_trace,
            follow: self.trace,
            tls: TlsOptions {
                cacert: self.cacert.clone(),
                cert: self.cert.clone(),
                key: self.key.clone(),
                sni: self.sni.clone(),
                insecure: self.insecure,
            },
            server_here: self.server.is_some(),
            ..Request::default()
        }
    }
}

impl Shown {
    /// How a report for people is set here.
    pub(super) fn style(&self) -> Style {
        let dumb = sys::env("TERM").is_some_and(|t| t == "dumb");
        let plain = sys::env("NO_COLOR").is_some_and(|v| !v.is_empty());
        let terminal = sys::terminal_width();
        let color = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal.is_some() && !plain && !dumb,
        };
        // POSIX: the first of these that is set and not empty decides.
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|v| sys::env(v).filter(|v| !v.is_empty()));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let unicode = !dumb && (locale.contains("utf-8") || locale.contains("utf8"));
        let width = terminal.or_else(|| sys::env("COLUMNS")?.parse().ok()).unwrap_or(80);
        // Beyond 120 columns a line is hard to read, below 40 nothing fits.
        Style { color, unicode, width: width.clamp(40, 120), verbose: self.verbose }
    }

    /// Writes the report to stdout; the exit code.
    pub(super) fn report(&self, file: &CaseFile, diagnosis: &Diagnosis) -> Result<u8, Fail> {
        io::emit(report::write(self.format, self.style(), file, diagnosis).as_bytes())?;
        Ok(match self.format {
            Format::Nagios => report::nagios::code(diagnosis),
            _ => exit::of(diagnosis),
        })
    }
}

/// Reads one line from the terminal without echo.
fn ask_password() -> Result<Secret, Fail> {
    crate::sys::ask_hidden("password: ")
        .map(Secret::new)
        .map_err(|e| Fail::usage(format!("--askpass needs a terminal: {}", crate::sys::errno_name(&e))))
}

#[cfg(test)]
mod tests {
    use super::{duration, vantage};
    use std::time::Duration;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for bad in ["", "s", "-1s", "2 s", "1e9", "inf", "NaN", "0", "99h", "2d", "+2"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_are_checked_before_anything_is_done() {
        assert!(vantage("local").is_ok());
        assert!(vantage("pod:--foo").is_err_and(|e| e.contains("not a pod's name")));
        assert!(vantage("nowhere").is_err_and(|e| e.contains("not a place")));
    }
}
