//! Looking. Probes do the IO and never judge; what could not be seen is a value with its reason.
//!
//! The order is the client's ladder; the server's side is read beside it when the target is this machine.

pub mod client;
pub mod cloud;
pub(crate) mod containers;
pub mod ends;
pub mod firewall;
pub mod handshakes;
pub mod server;

use crate::diagnosis::{Case, Symptom};
use crate::evidence::{Ask, CaseFile, SCHEMA_VERSION, Seen, Why};
use crate::sys;
use crate::target::Target;
use crate::vantage::Vantage;
use std::net::IpAddr;
use std::time::Duration;

/// Everything one look needs.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to dial.
    pub target: Target,
    /// Settings found on the way to the target.
    pub settings: Option<crate::evidence::client::Settings>,
    /// Limit of one network wait.
    pub timeout: Duration,
    /// `--client`.
    pub client: Option<IpAddr>,
    /// `--no-trace` was not given: a private tracefs instance may be used.
    pub trace: bool,
    /// `--trace`: a SYN is followed through the rules of nftables.
    pub follow: bool,
    /// TLS material.
    pub tls: TlsOptions,
    /// Read the server's side when the target is this machine.
    pub server_side: bool,
    /// `--server local`: this machine is the Redis host, whatever its address looks like from here.
    pub server_here: bool,
    /// The client's ladder alone, also after a failure (for `wait`).
    pub light: bool,
    /// `--server`: where the Redis host's side is read, when that is not here.
    pub server_at: Option<crate::vantage::Vantage>,
    /// `--from`: where the client stands.
    pub from: Vantage,
    /// `--server container:NAME`: that one is meant, whether it runs or not.
    pub server_container: Option<String>,
    /// `--from` another place was entered: the place we came from.
    pub home: Option<crate::vantage::Home>,
    /// `--idle`: hold connections without a word for up to this long.
    pub idle: Option<Duration>,
    /// Collect everything even with a PONG (for `collect`).
    pub everything: bool,
    /// `--from ssh:`: the nopong that dials.
    pub client_far: Option<std::sync::Arc<crate::vantage::Far>>,
    /// `--server ssh:`: the nopong that reads the Redis host's side, or why there is none.
    pub server_far: Option<Result<std::sync::Arc<crate::vantage::Far>, Why>>,
    /// No target was given, and the far client's own settings are looked up.
    pub settings_there: bool,
    /// Watch the handshakes on the client's wire.
    pub watch: bool,
    /// The rules as they were before the client dialled, for their counters.
    pub before: Option<std::sync::Arc<firewall::Before>>,
    /// `--cloud`: whose rules are read, and what was saved of them.
    pub cloud: Option<cloud::Wanted>,
    /// The cluster whose objects are read.
    pub kube: client::kubernetes::Objects,
}

/// TLS flags, as redis-cli has them.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct TlsOptions {
    /// `--cacert FILE`.
    pub cacert: Option<String>,
    /// `--cert FILE`.
    pub cert: Option<String>,
    /// `--key FILE`.
    pub key: Option<String>,
    /// `--sni NAME`.
    pub sni: Option<String>,
    /// `--insecure`.
    pub insecure: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            target: Target::default(),
            settings: None,
            timeout: Duration::from_secs(2),
            client: None,
            trace: true,
            follow: false,
            tls: TlsOptions::default(),
            server_side: true,
            server_here: false,
            server_at: None,
            from: Vantage::Local,
            server_container: None,
            home: None,
            light: false,
            everything: false,
            idle: None,
            client_far: None,
            server_far: None,
            settings_there: false,
            watch: false,
            before: None,
            cloud: None,
            kube: client::kubernetes::Objects::default(),
        }
    }
}

/// Looks from the client's side, and from the server's where that is this machine.
pub fn look(request: &Request) -> CaseFile {
    if let Some(file) = client::kubernetes::alone(request, empty(request)) {
        return file;
    }
    let started = sys::now();
    let mut file = proceed(request, begin(request));
    file.took_ms = started.elapsed().as_secs_f64() * 1e3;
    file
}

/// A case file with the question alone.
fn empty(request: &Request) -> CaseFile {
    let mut file = CaseFile {
        schema_version: SCHEMA_VERSION,
        nopong: env!("CARGO_PKG_VERSION").to_owned(),
        ask: Ask {
            trace: request.follow,
            ..request.target.ask(request.timeout.as_millis() as u64, request.client)
        },
        ..CaseFile::default()
    };
    if let Some(settings) = &request.settings {
        file.client.settings = Seen::yes(settings.clone(), Duration::ZERO, "env | grep -i redis; cat .env");
    }
    file
}

/// Up to the name: what is to be dialled.
pub(crate) fn begin(request: &Request) -> CaseFile {
    let mut file = empty(request);
    file.client.standing = client::standing::look();
    if file.ask.problem.is_none() {
        client::find(request, &mut file);
    }
    file
}

/// From the dial on.
pub(crate) fn proceed(request: &Request, mut file: CaseFile) -> CaseFile {
    let started = sys::now();
    if file.ask.problem.is_none() {
        let at_home = at_home(request, &file);
        let server_side =
            request.server_side && !request.light && (file.ask.local || request.server_here || at_home);
        let go = || go_to_server(request, file.ask.local);
        // The sockets and processes are wanted in every case and cost little: read beside the dial.
        let (client_side, base) = std::thread::scope(|scope| {
            let base = server_side.then(|| scope.spawn(|| go().map(|()| server::base(request, &file))));
            let mut dialled = file.clone();
            ladder(request, &mut dialled);
            (dialled.client, base.and_then(|b| b.join().ok()))
        });
        file.client = client_side;
        match base {
            Some(Ok(base)) => file.server = base,
            Some(Err(why)) => file.server.listener = Seen::unknown(why, started.elapsed(), "sudo nopong …"),
            None => {}
        }
        let healthy = Case::new(&file).symptom == Symptom::Pong;
        // Another company's API takes its seconds: asked beside everything else.
        let cloud = cloud::start(request, &file, healthy);
        if healthy {
            client::idle(request, &mut file);
        }
        after_ladder(request, healthy, &mut file);
        if server_side {
            let local = file.ask.local;
            let file = &mut file;
            // A thread of its own: entering a namespace cannot be taken back where --server is another place.
            let looked = std::thread::scope(|scope| {
                let look = scope.spawn(move || {
                    go_to_server(request, local).ok()?;
                    if healthy && !request.everything {
                        server::beside_a_pong(request, file);
                    } else {
                        server::everything(request, file);
                    }
                    Some(())
                });
                look.join()
            });
            drop(looked);
        }
        if let Some(cloud) = cloud {
            file.client.cloud = cloud.join().unwrap_or_default();
        }
        if containers::wanted(request, &file, healthy) {
            containers::look(request, &mut file);
        }
    }
    file
}

/// Dials and talks; watches the client's wire meanwhile where both ends are.
fn ladder(request: &Request, file: &mut CaseFile) {
    let watch = request.watch.then(handshakes::Watch::start);
    let mut client_side = file.client.clone();
    client::ladder(request, file, &mut client_side);
    file.client = client_side;
    if let Some(watch) = watch {
        let dials = file.client.connect.get().cloned().unwrap_or_default();
        file.client.syn = match watch {
            Ok(watch) => watch.finish(&dials, file.ask.port, false).0,
            Err(why) => handshakes::unseen(why),
        };
    }
}

/// What is worth a look of the client's side once its ladder is known.
fn after_ladder(request: &Request, healthy: bool, file: &mut CaseFile) {
    if (!healthy && !request.light) || request.everything {
        client::after_failure(request, file);
    } else if request.kube.saved.is_some() || request.kube.live {
        client::kubernetes::after_failure(request, file);
    }
}

/// The client stands in another namespace of this machine, and dials an address of the place we came from.
fn at_home(request: &Request, file: &CaseFile) -> bool {
    let Some(home) = &request.home else { return false };
    let named = file.client.name.get().map_or(&[][..], |n| n.addresses.as_slice());
    !file.ask.local && named.iter().any(|a| home.addresses.contains(a) && !a.is_loopback())
}

/// Moves this thread to where the Redis host's side is read: `--server`; else, for a target that is the client's
/// own namespace, stays there; else back to where we came from.
fn go_to_server(request: &Request, local: bool) -> Result<(), Why> {
    match (&request.server_at, &request.home) {
        (Some(crate::vantage::Vantage::Local), Some(home)) => home.return_to(),
        (Some(at), _) => at.enter_network(),
        (None, Some(home)) if !local => home.return_to(),
        (None, _) => Ok(()),
    }
}

/// Whether the Redis host's side can be changed from here: it is this machine, in whatever network namespace.
pub fn may_change(request: &Request) -> Result<(), String> {
    match &request.server_at {
        None | Some(Vantage::Local | Vantage::Netns(_)) if request.server_container.is_none() => Ok(()),
        _ => Err("changes are made on the Redis host itself: run nopong fix there".to_owned()),
    }
}

/// The network namespace where the Redis host's side is, as an undo can find it again; none for our own.
pub fn server_place(request: &Request, local: bool) -> Option<String> {
    let place = match (&request.server_at, &request.home) {
        (Some(Vantage::Netns(path)), _) => path.clone(),
        (None, Some(_)) if local => match &request.from {
            Vantage::Netns(path) => path.clone(),
            Vantage::Pid(pid) => format!("/proc/{pid}/ns/net").into(),
            _ => return None,
        },
        _ => return None,
    };
    Some(place.to_string_lossy().into_owned())
}

/// Does something where the Redis host's side is; on a thread of its own, for entering cannot be taken back.
pub fn at_server<T: Send>(request: &Request, local: bool, work: impl FnOnce() -> T + Send) -> Result<T, Why> {
    on_a_thread(|| go_to_server(request, local), work)
}

/// The same where an earlier run was: a place of [`server_place`].
pub fn at_place<T: Send>(place: Option<&str>, work: impl FnOnce() -> T + Send) -> Result<T, Why> {
    match place {
        None => Ok(work()),
        Some(path) => on_a_thread(|| Vantage::Netns(path.into()).enter_network(), work),
    }
}

fn on_a_thread<T: Send>(
    go: impl FnOnce() -> Result<(), Why> + Send,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Why> {
    let joined = std::thread::scope(|scope| scope.spawn(|| go().map(|()| work())).join());
    joined.unwrap_or(Err(Why::Panicked))
}

/// Runs one look, timed, its panic caught: a defect of one probe must not cost the report.
pub fn timed<T>(by_hand: &str, look: impl FnOnce() -> Result<T, Why>) -> Seen<T> {
    let started = sys::now();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(look)) {
        Ok(Ok(value)) => Seen::yes(value, started.elapsed(), by_hand),
        Ok(Err(why)) => Seen::unknown(why, started.elapsed(), by_hand),
        Err(_) => Seen::unknown(Why::Panicked, started.elapsed(), by_hand),
    }
}
