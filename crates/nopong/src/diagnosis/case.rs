//! The case file with what every cause wants to know of it: the symptom, and the instance in question.

use super::{Stage, ends};
use crate::evidence::client::{Dial, DialOutcome, IdleEnd, Reply, Speaks, Talk, Tls, UnixPath};
use crate::evidence::managed::{Managed, Standing};
use crate::evidence::server::{Config, Listener, Process, SocketUnit, Unit, UnixListener};
use crate::evidence::{CaseFile, Says};
use std::net::{IpAddr, SocketAddr};

/// What the client saw, in classes that causes are conditioned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Symptom {
    /// The target's text cannot be parsed.
    Malformed,
    /// The name does not exist.
    NameNotFound,
    /// No resolver answered.
    ResolverFailed,
    /// No route, or a route that forbids.
    NoRoute,
    /// ECONNREFUSED.
    Refused,
    /// Nobody answered the SYN.
    TimedOut,
    /// EHOSTUNREACH, ENETUNREACH, EACCES, ENOPROTOOPT from the network.
    Unreachable,
    /// Our own machine would not send: EMFILE, EADDRNOTAVAIL, EPERM.
    LocalErrno,
    /// The unix socket is not there.
    SocketMissing,
    /// The unix socket may not be opened.
    SocketDenied,
    /// The unix socket is there and nobody listens.
    SocketStale,
    /// Accepted, then reset without an answer.
    Reset,
    /// Accepted, then closed without an answer.
    Closed,
    /// Accepted, then silence.
    Silent,
    /// Something else than Redis answers.
    NotRedis,
    /// The TLS handshake failed, or the certificate is not good.
    TlsFailed,
    /// AUTH, PING or SELECT was answered by an error.
    ErrorReply,
    /// PONG, but it cannot serve.
    NotReady,
    /// PONG, but a connection held idle is dead when it is used again.
    IdleCut,
    /// PONG.
    Pong,
    /// Nobody dialled: the cluster's objects alone are judged, and they show no obstacle.
    NotDialled,
}

/// A case with its derived view.
#[derive(Debug)]
pub struct Case<'a> {
    /// The facts.
    pub file: &'a CaseFile,
    /// What the client saw.
    pub symptom: Symptom,
    /// The first stage that failed.
    pub stage: Stage,
}

impl std::ops::Deref for Case<'_> {
    type Target = CaseFile;
    fn deref(&self) -> &CaseFile {
        self.file
    }
}

impl<'a> Case<'a> {
    /// Derives the symptom.
    pub fn new(file: &'a CaseFile) -> Self {
        let (symptom, stage) = symptom(file);
        Self { file, symptom, stage }
    }

    /// The conversation a client would end up with: the first that PONGs, else the first that speaks.
    pub fn talk(&self) -> Option<&'a Talk> {
        talk(self.file)
    }

    /// AUTH without a user finds that none is configured, and without AUTH there is NOAUTH: the default user is `nopass`
    /// and `off` (acl.c, authCommand and authRequired).
    pub fn default_user_is_off(&self) -> bool {
        let Some(talk) = self.talk() else { return false };
        let word = |reply: &Option<Reply>| reply.as_ref().and_then(Reply::word).map(str::to_owned);
        let auth = talk.auth.as_ref().and_then(Reply::error);
        auth.is_some_and(|text| text.contains("without any password configured"))
            && word(&talk.ping_without_auth).as_deref() == Some("NOAUTH")
    }

    /// The TLS handshake that goes with it.
    pub fn tls(&self) -> Option<&'a Tls> {
        self.file.client.tls.get()?.first()
    }

    /// All dials.
    pub fn dials(&self) -> &'a [Dial] {
        self.file.client.connect.get().map_or(&[], Vec::as_slice)
    }

    /// The dial that stands for the failure: the first one.
    pub fn dial(&self) -> Option<&'a Dial> {
        self.dials().iter().find(|d| d.outcome == DialOutcome::Connected).or(self.dials().first())
    }

    /// The error reply that stopped the client, if that is what stopped it.
    pub fn error_reply(&self) -> Option<&'a Reply> {
        error_reply(self.talk()?)
    }

    /// Its first word: `NOAUTH`, `DENIED`, `LOADING` …
    pub fn error_word(&self) -> Option<&'a str> {
        self.error_reply()?.word()
    }

    /// Addresses the client dials.
    pub fn dialled(&self) -> Vec<SocketAddr> {
        self.dials().iter().map(|d| d.to).collect()
    }

    /// Listeners on the target's port.
    pub fn listeners_on_port(&self) -> Vec<&'a Listener> {
        let port = self.file.ask.port;
        self.file
            .server
            .listener
            .get()
            .map(|l| l.tcp.iter().filter(|l| l.at.port() == port).collect())
            .unwrap_or_default()
    }

    /// A listener that takes connections to that address.
    pub fn listener_for(&self, to: SocketAddr) -> Option<&'a Listener> {
        self.file.server.listener.get()?.tcp.iter().find(|l| takes(l, to))
    }

    /// The server's side was looked at: its processes and sockets are known.
    pub fn server_seen(&self) -> bool {
        self.file.server.listener.get().is_some() && self.file.server.process.get().is_some()
    }

    /// Redis-like processes that are not Sentinels, when they were looked at.
    pub fn servers(&self) -> Vec<&'a Process> {
        self.file
            .server
            .process
            .get()
            .map(|p| p.iter().filter(|p| !p.sentinel && p.state != 'Z').collect())
            .unwrap_or_default()
    }

    /// The process that serves the target: the holder of the port or socket, else the only server there is,
    /// unless the target's port is that of a stopped one.
    pub fn process(&self) -> Option<&'a Process> {
        if let Some(holder) = self.holder() {
            return Some(holder);
        }
        let servers = self.servers();
        (servers.len() == 1 && self.stopped_config().is_none()).then(|| servers.first().copied()).flatten()
    }

    /// The Redis-like process that listens on the target's port (on any address) or socket.
    pub fn holder(&self) -> Option<&'a Process> {
        let processes = self.file.server.process.get()?;
        if let Some(path) = &self.file.ask.unix {
            let listeners = self.file.server.listener.get()?;
            let at = |u: &&UnixListener| &u.path == path;
            let pids: Vec<u32> = listeners.unix.iter().filter(at).flat_map(|u| u.pids.clone()).collect();
            return processes.iter().find(|p| pids.contains(&p.pid));
        }
        let listeners = self.listeners_on_port();
        processes.iter().find(|p| listeners.iter().any(|l| holds(p, l)))
    }

    /// The socket unit for which systemd holds that port.
    pub fn socket_unit(&self, listener: &Listener) -> Option<&'a SocketUnit> {
        let units = &self.file.server.listener.get()?.socket_units;
        units.iter().find(|u| u.at == listener.at)
    }

    /// The configuration names the target's port or socket.
    fn claims(&self, config: &Config) -> bool {
        match &self.file.ask.unix {
            Some(path) => config.value("unixsocket") == Some(path),
            None => {
                let port = self.file.ask.port.to_string();
                config.value("port") == Some(&port)
                    || (port != "0" && config.value("tls-port") == Some(&port))
            }
        }
    }

    /// The configuration of an instance that does not run and would listen on the target's port or socket.
    /// While another server runs, only of one that is meant to run: packages bring units that nobody uses.
    fn stopped_config(&self) -> Option<&'a Config> {
        let configs = self.file.server.config.get()?;
        let units = self.file.server.unit.get().map_or(&[][..], |u| &u.units);
        let of = |c: &Config| units.iter().find(|u| starts(u, c));
        let idle = self.servers().is_empty();
        configs
            .iter()
            .filter(|c| c.pid.is_none() && self.claims(c))
            .filter(|c| idle || of(c).is_some_and(wanted))
            .min_by_key(|c| of(c).map_or((true, true, true, true), Unit::merit))
    }

    /// The configuration of the target's instance.
    pub fn config(&self) -> Option<&'a Config> {
        let configs = self.file.server.config.get()?;
        let pid = self.process().map(|p| p.pid);
        let unit = self.unit();
        configs
            .iter()
            .find(|c| pid.is_some() && c.pid == pid)
            .or_else(|| self.managed().and_then(|m| self.config_of(m)))
            .or_else(|| configs.iter().find(|c| c.pid.is_none() && unit.is_some_and(|u| starts(u, c))))
            .or_else(|| self.stopped_config())
            // Another unit's file says nothing of this one.
            .or_else(|| configs.iter().find(|c| !self.of_another_unit(c)))
    }

    fn of_another_unit(&self, config: &Config) -> bool {
        let units = self.file.server.unit.get().map_or(&[][..], |u| &u.units);
        let own = self.unit();
        units.iter().any(|u| own.is_some_and(|o| o.name != u.name) && starts(u, config))
    }

    /// The unit of the target's instance: the one of its process, else the one whose configuration has the
    /// target's port or socket, else the one that has most to do with a server that should run.
    pub fn unit(&self) -> Option<&'a Unit> {
        let units = &self.file.server.unit.get()?.units;
        if let Some((process, unit)) = self.process().and_then(|p| Some((p, self.unit_around(p)?))) {
            return unit.is_for(process).then_some(unit);
        }
        if self.managed().is_some() {
            return None;
        }
        // A Sentinel is meant only by its own port (sentinel.c, REDIS_SENTINEL_PORT).
        let sentinel = self.file.ask.port == 26379;
        let configs = self.file.server.config.get().map_or(&[][..], Vec::as_slice);
        units.iter().filter(|u| !u.name.contains("@.")).min_by_key(|u| {
            let config = configs.iter().find(|c| c.pid.is_none() && !c.settings.is_empty() && starts(u, c));
            let claims = config.map(|c| self.claims(c));
            (
                u.name.contains("sentinel") != sentinel,
                u.load_state == "not-found",
                claims == Some(false),
                u.merit(),
                claims.is_none(),
                std::cmp::Reverse(u.stopped_at),
            )
        })
    }

    /// The program of another service manager that would serve the target, and no process does.
    pub fn managed_for(&self) -> Option<&'a Managed> {
        let programs = &self.file.server.managed.get()?.programs;
        if self.process().is_some() {
            return None;
        }
        let sentinel = self.file.ask.port == 26379;
        let meant =
            |m: &&Managed| m.is_sentinel() == sentinel && self.config_of(m).is_some_and(|c| self.claims(c));
        let first = |m: &&Managed| (m.standing == Standing::Unmanaged, !m.autostart);
        programs.iter().filter(meant).min_by_key(first)
    }

    /// The same where no unit is meant instead: one that is enabled, failed or under way for the same port.
    pub fn managed(&self) -> Option<&'a Managed> {
        self.managed_for().filter(|m| self.unit_beside(m).is_none())
    }

    /// The unit that may be meant as well as a manager's program.
    pub fn unit_beside(&self, managed: &Managed) -> Option<&'a Unit> {
        let units = &self.file.server.unit.get()?.units;
        let configs = self.file.server.config.get().map_or(&[][..], Vec::as_slice);
        // One that was stopped and disabled has given way; where the manager does not run it may have been the other way.
        let likely = |u: &Unit| {
            let (quiet, disabled, untouched, _) = u.merit();
            !quiet || !disabled || (managed.standing == Standing::Unmanaged && !untouched)
        };
        let other = |u: &Unit| {
            let config = configs.iter().find(|c| c.pid.is_none() && !c.settings.is_empty() && starts(u, c));
            config.is_some_and(|c| !self.claims(c))
        };
        units.iter().find(|u| u.load_state == "loaded" && u.active != "active" && likely(u) && !other(u))
    }

    fn config_of(&self, managed: &Managed) -> Option<&'a Config> {
        let configs = self.file.server.config.get()?;
        configs.iter().find(|c| c.pid.is_none() && c.managed.as_ref() == Some(&managed.name))
    }

    /// The unit in whose cgroup a process is, its own or another service's that started it.
    pub fn unit_around(&self, process: &Process) -> Option<&'a Unit> {
        let name = process.unit.as_deref()?;
        let units = &self.file.server.unit.get()?.units;
        units.iter().find(|u| u.is_called(name))
    }

    /// The address the client comes from, or whom `--client` names.
    pub fn client_address(&self) -> Option<IpAddr> {
        self.file.ask.client.or_else(|| self.dial().and_then(|d| d.from).map(|a| a.ip()))
    }

    /// What became of our SYN, where both ends were seen.
    pub fn journey(&self) -> ends::Journey<'a> {
        ends::journey(self.file)
    }

    /// The Redis host's name, where it was read on another machine.
    pub fn server_called(&self) -> String {
        let far = self.file.server_far();
        far.map_or_else(|| "the Redis host".to_owned(), crate::evidence::ends::Place::called)
    }

    /// The unix socket's facts.
    pub fn unix(&self) -> Option<&'a UnixPath> {
        self.file.client.unix.get()
    }

    /// How the target is written in sentences: `10.0.0.5:6379`, `redis:6379`, `/run/redis.sock`.
    pub fn target(&self) -> String {
        match &self.file.ask.unix {
            Some(path) => path.clone(),
            None if self.file.ask.host.contains(':') => {
                format!("[{}]:{}", self.file.ask.host, self.file.ask.port)
            }
            None => format!("{}:{}", self.file.ask.host, self.file.ask.port),
        }
    }

    /// The longest idle time that a connection outlived, and the shortest that one did not, in milliseconds.
    pub(crate) fn idle_bounds(&self) -> Option<(Option<u64>, u64)> {
        let rungs = &self.file.client.idle.get()?.rungs;
        let dead = rungs.iter().filter(|r| r.end != IdleEnd::Alive).map(|r| r.idle_ms).min()?;
        let alive = rungs.iter().filter(|r| r.end == IdleEnd::Alive && r.idle_ms < dead);
        Some((alive.map(|r| r.idle_ms).max(), dead))
    }

    fn idle_limits(&self) -> String {
        match self.idle_bounds() {
            Some((Some(alive), dead)) => {
                format!(" between {} and {} s", alive as f64 / 1e3, dead as f64 / 1e3)
            }
            Some((None, dead)) => format!(" within {} s", dead as f64 / 1e3),
            None => String::new(),
        }
    }

    /// The symptom in one sentence.
    pub fn symptom_text(&self) -> String {
        let target = self.target();
        let dial = self.dial().map(|d| format!(": {}", d.how())).unwrap_or_default();
        if let Some((.., says)) = foreseen(self.file) {
            return format!("by the cluster's objects, {says}");
        }
        match self.symptom {
            Symptom::Malformed => self.file.ask.problem.as_ref().map(|p| p.says.clone()).unwrap_or_default(),
            Symptom::NameNotFound => format!("the name {} does not resolve", self.file.ask.host),
            Symptom::ResolverFailed => format!("no resolver answers for {}", self.file.ask.host),
            Symptom::NoRoute => format!("there is no route to {target}"),
            Symptom::Refused => format!("{target} refuses the connection{dial}"),
            Symptom::TimedOut => format!("{target} does not answer the connection attempt{dial}"),
            Symptom::Unreachable => format!("{target} cannot be reached{dial}"),
            Symptom::LocalErrno => format!("this machine could not start the connection to {target}{dial}"),
            Symptom::SocketMissing => format!("{target} is not there"),
            Symptom::SocketDenied => format!("{target} may not be opened by this user"),
            Symptom::SocketStale => format!("{target} is there and nobody listens on it"),
            Symptom::Reset => format!("{target} accepts the connection, then resets it"),
            Symptom::Closed => format!("{target} accepts the connection, then closes it without an answer"),
            Symptom::Silent => format!("{target} accepts the connection and never answers"),
            Symptom::NotRedis => format!("what answers at {target} is not Redis"),
            Symptom::TlsFailed => format!("no good TLS session with {target}"),
            Symptom::ErrorReply => {
                let text = self.error_reply().map(Says::says).unwrap_or_default();
                format!("{target} answers with an error: {text}")
            }
            Symptom::NotReady => format!("{target} answers PONG but cannot serve"),
            Symptom::IdleCut => {
                format!("{target} answers PONG, but idle connections die{}", self.idle_limits())
            }
            Symptom::Pong => format!("{target} answers PONG"),
            Symptom::NotDialled => {
                format!("nobody dialled {target}, and the cluster's objects show no obstacle")
            }
        }
    }
}

/// The process holds the socket. Whose socket it is only root sees; others go by the owner.
pub(crate) fn holds(process: &Process, listener: &Listener) -> bool {
    listener.pids.contains(&process.pid)
        || (listener.pids.is_empty() && process.uid != 0 && listener.uid == process.uid)
}

/// The unit is meant to run: enabled, or tried since the boot (systemd forgets at a reboot).
fn wanted(unit: &Unit) -> bool {
    let (failed, disabled, untouched, _) = unit.merit();
    !(failed && disabled && untouched)
}

/// The unit starts a server with that configuration.
pub(crate) fn starts(unit: &Unit, config: &Config) -> bool {
    config.found_by == unit.name
        || unit.names.contains(&config.found_by)
        || config.file.as_ref().is_some_and(|file| unit.exec_start.contains(file))
}

/// A listener takes connections to an address: the same one, a wildcard of its family, or a dual-stack one.
pub(crate) fn takes(listener: &Listener, to: SocketAddr) -> bool {
    if listener.at.port() != to.port() {
        return false;
    }
    match (listener.at.ip(), to.ip()) {
        (IpAddr::V4(at), IpAddr::V4(to)) => at.is_unspecified() || at == to,
        (IpAddr::V6(at), IpAddr::V6(to)) => at.is_unspecified() || at == to,
        (IpAddr::V6(at), IpAddr::V4(to)) => {
            (at.is_unspecified() && listener.v6only == Some(false)) || at.to_ipv4_mapped() == Some(to)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

/// What a client in the cluster would see, where nobody there could be asked.
fn foreseen(file: &CaseFile) -> Option<(Symptom, Stage, String)> {
    let k8s = file.client.kubernetes.get().filter(|k| k.objects_only)?;
    crate::kube::foresee::foresee(k8s, &file.ask.host, file.ask.port)
}

fn talk(file: &CaseFile) -> Option<&Talk> {
    let talks = file.client.protocol.get()?;
    talks.iter().find(|t| t.pong()).or(talks.first())
}

/// The error among the replies that stops a client: unasked, AUTH's, PING's, SELECT's, in this order.
fn error_reply(talk: &Talk) -> Option<&Reply> {
    [&talk.unasked, &talk.auth, &talk.ping, &talk.select]
        .into_iter()
        .filter_map(Option::as_ref)
        .find(|r| r.word().is_some())
}

/// Error words that speak of the server's health rather than of access.
const HEALTH: &[&str] =
    &["LOADING", "MISCONF", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "OOM", "READONLY", "NOREPLICAS"];

fn symptom(file: &CaseFile) -> (Symptom, Stage) {
    if file.ask.problem.is_some() {
        return (Symptom::Malformed, Stage::Target);
    }
    if let Some((symptom, stage, _)) = foreseen(file) {
        return (symptom, stage);
    }
    if file.client.kubernetes.get().is_some_and(|k| k.objects_only) {
        return (Symptom::NotDialled, Stage::Connect);
    }
    if let Some(found) = before_talk(file) {
        return found;
    }
    if let Some(tls) = file.client.tls.get().and_then(|t| t.first()).filter(|_| file.ask.tls) {
        let bad = tls.verified.as_ref().is_some_and(|v| *v != crate::evidence::client::Verified::Ok)
            && !tls.insecure;
        if !tls.handshake || bad || tls.died_at_first_read.is_some() {
            return (Symptom::TlsFailed, Stage::Tls);
        }
    }
    let Some(talk) = talk(file) else { return (Symptom::Silent, Stage::Protocol) };
    if let Some(reply) = error_reply(talk) {
        let stage = match reply.word() {
            Some(word) if HEALTH.contains(&word) => Stage::Ready,
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => Stage::Auth,
            Some("ERR") if talk.auth.as_ref() == Some(reply) => Stage::Auth,
            Some(_) if talk.select.as_ref() == Some(reply) => Stage::Ready,
            _ => Stage::Protocol,
        };
        return (Symptom::ErrorReply, stage);
    }
    if talk.pong() {
        let cut = file.client.idle.get().is_some_and(|i| i.rungs.iter().any(|r| r.end != IdleEnd::Alive));
        return if not_ready(file, talk) {
            (Symptom::NotReady, Stage::Ready)
        } else if cut {
            (Symptom::IdleCut, Stage::Ready)
        } else {
            (Symptom::Pong, Stage::Ready)
        };
    }
    match talk.speaks {
        Speaks::Silent => (Symptom::Silent, Stage::Protocol),
        Speaks::Closed => (Symptom::Closed, Stage::Protocol),
        Speaks::Reset => (Symptom::Reset, Stage::Protocol),
        // RESP that stopped speaking: the reply to PING never came whole.
        Speaks::Resp => match &talk.ping {
            Some(Reply::None { what }) if what.contains("closed") => (Symptom::Closed, Stage::Protocol),
            Some(Reply::None { what }) if what.contains("reset") => (Symptom::Reset, Stage::Protocol),
            _ => (Symptom::Silent, Stage::Protocol),
        },
        _ => (Symptom::NotRedis, Stage::Protocol),
    }
}

/// Everything up to an accepted connection.
fn before_talk(file: &CaseFile) -> Option<(Symptom, Stage)> {
    if let Some(unix) = file.client.unix.get() {
        return match &unix.outcome {
            Some(DialOutcome::Connected) => None,
            Some(DialOutcome::Errno { errno }) if errno == "ENOENT" => {
                Some((Symptom::SocketMissing, Stage::Connect))
            }
            Some(DialOutcome::Errno { errno }) if errno == "EACCES" || errno == "EPERM" => {
                Some((Symptom::SocketDenied, Stage::Connect))
            }
            Some(DialOutcome::Errno { errno }) if errno == "ECONNREFUSED" => {
                Some((Symptom::SocketStale, Stage::Connect))
            }
            Some(DialOutcome::TimedOut) => Some((Symptom::TimedOut, Stage::Connect)),
            Some(DialOutcome::Errno { .. }) => Some((Symptom::LocalErrno, Stage::Connect)),
            None if !unix.exists => Some((Symptom::SocketMissing, Stage::Connect)),
            None => Some((Symptom::SocketDenied, Stage::Connect)),
        };
    }
    let name = file.client.name.get();
    if let Some(error) = name.and_then(|n| n.error.as_deref()) {
        let symptom =
            if error.contains("EAI_AGAIN") { Symptom::ResolverFailed } else { Symptom::NameNotFound };
        return Some((symptom, Stage::Resolve));
    }
    let dials = file.client.connect.get()?;
    if dials.iter().any(|d| d.outcome == DialOutcome::Connected) {
        return None;
    }
    let routes = file.client.route.get().map_or(&[][..], Vec::as_slice);
    let forbidden = |d: &Dial| {
        routes.iter().any(|r| {
            r.to == d.to.ip() && !matches!(r.outcome, crate::evidence::client::RouteOutcome::Via { .. })
        })
    };
    let dial = dials.first()?;
    Some(match &dial.outcome {
        _ if forbidden(dial) => (Symptom::NoRoute, Stage::Route),
        DialOutcome::TimedOut => (Symptom::TimedOut, Stage::Connect),
        DialOutcome::Connected => (Symptom::Silent, Stage::Protocol),
        DialOutcome::Errno { errno } => match errno.as_str() {
            "ECONNREFUSED" => (Symptom::Refused, Stage::Connect),
            "ETIMEDOUT" => (Symptom::TimedOut, Stage::Connect),
            "EHOSTUNREACH" | "ENOPROTOOPT" | "EHOSTDOWN" | "EPROTO" => (Symptom::Unreachable, Stage::Connect),
            "ENETUNREACH" if dial.icmp.is_none() && dial.watched => (Symptom::NoRoute, Stage::Route),
            "ENETUNREACH" | "EACCES" => (Symptom::Unreachable, Stage::Connect),
            "ECONNRESET" => (Symptom::Reset, Stage::Connect),
            _ => (Symptom::LocalErrno, Stage::Connect),
        },
    })
}

/// PONG that is of no use: a Sentinel instead of a server, a cluster that is down, memory full without eviction.
fn not_ready(file: &CaseFile, talk: &Talk) -> bool {
    let topology = file.client.topology.get();
    let sentinel = talk.info("redis_mode") == Some("sentinel");
    let down = topology.is_some_and(|t| {
        t.cluster_state.as_deref() == Some("fail")
            || t.announced
                .iter()
                .any(|a| a.unresolved || a.outcome.as_ref().is_some_and(|o| *o != DialOutcome::Connected))
            || t.masters.iter().any(|m| m.flags.contains("down") || m.address.is_none())
    });
    sentinel || down || memory_full(talk) || talk.info("loading") == Some("1")
}

/// `noeviction` and used memory at the limit: every write is refused (Redis evict.c, performEvictions).
pub(crate) fn memory_full(talk: &Talk) -> bool {
    let number = |key: &str| talk.info(key).and_then(|v| v.parse::<u64>().ok());
    match (number("used_memory"), number("maxmemory")) {
        (Some(used), Some(max)) => {
            max > 0 && used >= max && talk.info("maxmemory_policy") == Some("noeviction")
        }
        _ => false,
    }
}
