//! One sentence for each fact. Wording only: what it means is for the causes.

use super::{client, cloud, server};

/// A fact that can be put in one sentence.
pub trait Says {
    /// The sentence, without a final period, naming the thing. Never contains a secret.
    fn says(&self) -> String;
}

/// At most eight items: a sentence is for reading, the data holds all of them.
fn join<T>(items: &[T], none: &str, each: impl Fn(&T) -> String) -> String {
    const SHOWN: usize = 8;
    if items.is_empty() {
        return none.to_owned();
    }
    let mut text = items.iter().take(SHOWN).map(each).collect::<Vec<_>>().join("; ");
    if items.len() > SHOWN {
        text.push_str(&format!("; and {} more", items.len() - SHOWN));
    }
    text
}

impl<T: Says> Says for Vec<T> {
    fn says(&self) -> String {
        join(self, "none", Says::says)
    }
}

impl Says for client::Standing {
    fn says(&self) -> String {
        let place = self.container.as_deref().map(|c| format!(", inside {c}")).unwrap_or_default();
        format!("looked from {} as user id {}{place}", self.hostname, self.euid)
    }
}

impl Says for client::Settings {
    fn says(&self) -> String {
        let of = |s: &client::Setting| {
            let not = s.ignored.as_ref().map(|why| format!(" (not taken: {why})")).unwrap_or_default();
            format!("{} {} = {}{not}", s.place, s.key, s.value)
        };
        let mut dials: Vec<&str> =
            self.found.iter().filter(|s| s.ignored.is_none()).filter_map(|s| s.dials.as_deref()).collect();
        dials.sort_unstable();
        dials.dedup();
        let apart = match dials.len() {
            0 | 1 => String::new(),
            n => format!("they name {n} addresses: "),
        };
        apart + &join(&self.found, "no setting names a Redis", of)
    }
}

impl Says for client::IdleEnd {
    fn says(&self) -> String {
        match self {
            Self::Alive => "alive".to_owned(),
            Self::Closed { while_idle: true } => "closed by the other end".to_owned(),
            Self::Closed { while_idle: false } => "closed when used again".to_owned(),
            Self::Reset { while_idle: true } => "reset by the other end".to_owned(),
            Self::Reset { while_idle: false } => "reset when used again".to_owned(),
            Self::Silent => "no answer when used again".to_owned(),
            Self::Other { what } => what.clone(),
        }
    }
}

impl Says for client::IdleRung {
    fn says(&self) -> String {
        let idle = self.idle_ms as f64 / 1e3;
        match self.end {
            client::IdleEnd::Closed { while_idle: true } | client::IdleEnd::Reset { while_idle: true } => {
                format!("{idle} s: {} after {:.1} s", self.end.says(), self.after_ms / 1e3)
            }
            _ => format!("{idle} s: {}", self.end.says()),
        }
    }
}

impl Says for client::Idle {
    fn says(&self) -> String {
        format!("idle connections, {}", join(&self.rungs, "none could be opened", Says::says))
    }
}

impl Says for client::Name {
    fn says(&self) -> String {
        let addresses = || self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.error {
            Some(error) => format!("{} does not resolve: {error}", self.asked),
            None if self.literal => format!("{} is an address", self.asked),
            None => format!("{} is {}", self.asked, addresses()),
        }
    }
}

impl Says for client::Route {
    fn says(&self) -> String {
        match &self.outcome {
            client::RouteOutcome::Via { dev, local: true, .. } => {
                format!("{} is this machine, {dev}", self.to)
            }
            client::RouteOutcome::Via { dev, gateway: Some(gateway), .. } => {
                format!("{} by {dev}, next hop {gateway}", self.to)
            }
            client::RouteOutcome::Via { dev, .. } => format!("{} by {dev}, on link", self.to),
            client::RouteOutcome::Forbidden { kind } => format!("{}: a {kind} route or policy rule", self.to),
            client::RouteOutcome::None { errno } => format!("{}: no route ({errno})", self.to),
        }
    }
}

impl Says for client::DialOutcome {
    fn says(&self) -> String {
        match self {
            Self::Connected => "connected".to_owned(),
            Self::Errno { errno } => errno.clone(),
            Self::TimedOut => "no answer".to_owned(),
        }
    }
}

impl client::Dial {
    /// How it ended, without the address.
    pub fn how(&self) -> String {
        let mut text = format!("{}, {:.1} ms", self.outcome.says(), self.took_ms);
        if let Some(icmp) = &self.icmp {
            text.push_str(&format!(", {} from {}", icmp.name, icmp.from));
        }
        if let Some(rst) = &self.rst {
            text.push_str(&format!(", RST with TTL {}", rst.ttl));
        }
        text
    }
}

impl Says for client::Dial {
    fn says(&self) -> String {
        format!("{}: {}", self.to, self.how())
    }
}

impl Says for client::UnixPath {
    fn says(&self) -> String {
        let state = match (self.exists, self.is_socket) {
            (false, _) if self.blocked_at.is_some() => {
                format!(
                    "cannot be reached: {} may not be entered",
                    self.blocked_at.as_deref().unwrap_or_default()
                )
            }
            (false, _) => "is not there".to_owned(),
            (true, false) => "is not a socket".to_owned(),
            (true, true) => self.outcome.as_ref().map_or_else(|| "is a socket".to_owned(), Says::says),
        };
        format!("{} {state}", self.path)
    }
}

impl Says for client::Tls {
    fn says(&self) -> String {
        match (&self.failure, &self.version) {
            (Some(failure), _) => format!("{}: no TLS session: {failure}", self.to),
            (None, Some(version)) => format!("{}: {version} handshake done", self.to),
            (None, None) => format!("{}: handshake done", self.to),
        }
    }
}

impl Says for client::Reply {
    fn says(&self) -> String {
        match self {
            Self::Text { text } | Self::Error { text, .. } => text.clone(),
            Self::Nil => "nil".to_owned(),
            Self::None { what } => what.clone(),
        }
    }
}

impl Says for client::Talk {
    fn says(&self) -> String {
        let told = self
            .unasked
            .as_ref()
            .or(self.auth.as_ref().filter(|a| a.word().is_some()))
            .or(self.ping.as_ref());
        match told {
            Some(reply) => format!("{}: {}", self.to, reply.says()),
            None => format!("{}: {:?}", self.to, self.speaks).to_lowercase(),
        }
    }
}

impl Says for client::Neighbour {
    fn says(&self) -> String {
        let speaks = self.speaks.map(|s| format!(", {s:?}").to_lowercase()).unwrap_or_default();
        format!("{}: {}{speaks}", self.to, self.outcome.says())
    }
}

impl Says for client::Topology {
    fn says(&self) -> String {
        let reached = join(&self.announced, "nothing announced", |a| {
            format!(
                "{} {}",
                a.address,
                a.outcome.as_ref().map_or_else(|| "unresolved".to_owned(), Says::says)
            )
        });
        format!("{}: {reached}", self.mode)
    }
}

impl Says for client::Limits {
    fn says(&self) -> String {
        let mut parts = Vec::new();
        if let (Some((low, high)), Some(used)) = (self.port_range, self.ports_to_target) {
            parts.push(format!("{used} local ports of {low}-{high} in use to the target"));
        }
        if let (Some(open), Some(limit)) = (self.fd_open, self.fd_limit) {
            parts.push(format!("{open} of {limit} descriptors open"));
        }
        if parts.is_empty() { "nothing near a limit".to_owned() } else { parts.join("; ") }
    }
}

impl Says for server::Listeners {
    fn says(&self) -> String {
        join(&self.tcp, "nothing listens on TCP", |l| match (&l.comm, l.pids.first()) {
            (Some(comm), Some(pid)) => format!("{comm} (pid {pid}) on {}", l.at),
            _ => l.at.to_string(),
        })
    }
}

impl Says for server::Process {
    fn says(&self) -> String {
        // The executable's own name misleads: Debian's redis-server is a link to redis-check-rdb.
        let program = match (self.program, self.sentinel) {
            (server::Program::Redis, false) => "redis-server",
            (server::Program::Redis, true) => "redis-sentinel",
            (server::Program::Valkey, false) => "valkey-server",
            (server::Program::Valkey, true) => "valkey-sentinel",
            (server::Program::Keydb, _) => "keydb-server",
            (server::Program::Other, _) => self.exe.as_deref().unwrap_or("a Redis-like server"),
        };
        let mut text = format!("{program} (pid {})", self.pid);
        if let Some(unit) = &self.unit {
            text.push_str(&format!(" of {unit}"));
        }
        if let Some(container) = &self.container {
            text.push_str(&format!(" in container {}", container.chars().take(12).collect::<String>()));
        }
        if let Some(user) = &self.user {
            text.push_str(&format!(" as {user}"));
        }
        // proc(5): R and S are everyday life.
        match self.state {
            'T' | 't' => text.push_str(", stopped"),
            'D' => text.push_str(", in uninterruptible sleep"),
            'Z' => text.push_str(", dead and not reaped"),
            _ => {}
        }
        if self.frozen == Some(true) {
            text.push_str(", frozen");
        }
        text
    }
}

impl Says for server::Units {
    fn says(&self) -> String {
        join(&self.units, "no Redis unit", |u| format!("{}: {} ({}), {}", u.name, u.active, u.sub, u.result))
    }
}

impl Says for server::Binary {
    fn says(&self) -> String {
        match (&self.broken, &self.version) {
            (Some(broken), _) => format!("{}: {broken}", self.path),
            (None, Some(version)) => format!("{} {version}", self.path),
            (None, None) => self.path.clone(),
        }
    }
}

impl Says for server::Logs {
    fn says(&self) -> String {
        match (self.deaths.first(), self.complaints.first()) {
            (Some(death), _) => format!("{}: {}", death.source, death.text),
            (None, Some(complaint)) => complaint.clone(),
            (None, None) => "nothing of note".to_owned(),
        }
    }
}

impl Says for server::OomKills {
    fn says(&self) -> String {
        join(&self.kills, "no OOM kill of Redis", |k| {
            k.pid.map_or_else(|| format!("{} killed", k.comm), |pid| format!("{} (pid {pid}) killed", k.comm))
        })
    }
}

impl Says for server::Config {
    fn says(&self) -> String {
        let file = self.file.as_deref().unwrap_or("no file");
        match (self.place("bind"), self.value("bind")) {
            (Some(place), Some(bind)) => format!("{place}: bind {bind}"),
            _ => format!("{file}, {} settings", self.settings.len()),
        }
    }
}

impl Says for server::Address {
    fn says(&self) -> String {
        format!("{} {}/{}", self.dev, self.address, self.prefix)
    }
}

impl Says for server::Storage {
    fn says(&self) -> String {
        let troubled: Vec<_> = self.paths.iter().filter_map(|p| p.obstacle.clone()).collect();
        join(&troubled, "every path can be used", Clone::clone)
    }
}

impl Says for server::Kernel {
    fn says(&self) -> String {
        let somaxconn = self.somaxconn.map(|n| format!("somaxconn {n}"));
        let tracked = self.conntrack.map(|(n, max)| format!("{n} of {max} connections tracked"));
        [somaxconn, tracked].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl Says for server::Verdict {
    fn says(&self) -> String {
        let rule = self.rule.as_deref().map(|r| format!(" by: {r}")).unwrap_or_default();
        let traced = self.traced.as_ref().map(|t| match &t.chain {
            Some(chain) => format!("; the kernel's trace of a SYN ends in {chain}: {}", t.verdict),
            None => "; the kernel's trace of a SYN passes the rules of nftables".to_owned(),
        });
        format!(
            "{} to {}: {}{rule}{}",
            self.source,
            self.destination,
            self.verdict,
            traced.unwrap_or_default()
        )
    }
}

impl Says for server::Firewall {
    fn says(&self) -> String {
        let read = join(&self.read, "no rules", Clone::clone);
        let untraced = self.untraced.as_ref().map(|why| format!("; --trace: {why}")).unwrap_or_default();
        let below = if self.below.is_empty() {
            String::new()
        } else {
            format!("; before the rules: {}", self.below.join(", "))
        };
        format!("{read}; {}{below}{untraced}", self.verdicts.says())
    }
}

impl Says for server::Drops {
    fn says(&self) -> String {
        let reasons: Vec<_> = self.reasons.iter().collect();
        join(&reasons, "the kernel dropped no packet to the port", |(reason, n)| format!("{reason} ({n})"))
    }
}

impl Says for server::Mac {
    fn says(&self) -> String {
        join(&self.denials, "no denial", |d| {
            format!("{} denied {} {} on {}", d.system, d.comm, d.operation, d.object)
        })
    }
}

impl Says for cloud::CloudVerdict {
    fn says(&self) -> String {
        let does = match self.verdict {
            cloud::Judged::Allowed => "allowed",
            cloud::Judged::Blocked => "blocked",
            cloud::Judged::Undecided => "not decided",
        };
        format!("{} to {}: {does}, {}", self.source, self.destination, self.because)
    }
}

impl Says for cloud::Cloud {
    fn says(&self) -> String {
        let verdicts = join(&self.verdicts, "no connection to judge", Says::says);
        match self.unread.first() {
            Some(unread) => format!("{}: {verdicts}; not read: {unread}", self.provider.name()),
            None => format!("{}: {verdicts}", self.provider.name()),
        }
    }
}
