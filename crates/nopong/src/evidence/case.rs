//! The case file: everything one diagnosis is made from, and what is saved in a bundle.

use super::containers::{Container, Containers};
use super::{Says, Seen, Why, client, cloud, ends, kube, managed, server};
use serde::{Deserialize, Serialize};

/// Version of the bundle format. Older versions load for ever.
pub const SCHEMA_VERSION: u32 = 1;

/// What was asked: the target without its secrets, and the conditions of the look.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ask {
    /// The target as a URL, secrets replaced by `***`.
    pub url: String,
    /// Where it came from: `argument`, `environment REDIS_URL`, `.env:3`, `default`.
    pub source: String,
    /// TLS was asked for.
    pub tls: bool,
    /// Host as given (a name or a literal without brackets); empty for a unix socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Unix socket path.
    pub unix: Option<String>,
    /// Database number, when given.
    pub db: Option<u32>,
    /// User name, when given.
    pub user: Option<String>,
    /// A password was given.
    pub has_password: bool,
    /// The port was written, not taken by default.
    pub port_given: bool,
    /// Why the target cannot be parsed; then nothing else was looked at.
    pub problem: Option<Problem>,
    /// The target is this machine (a loopback or own address, or a unix socket).
    pub local: bool,
    /// `--client ADDR`: judge for a client at that address.
    pub client: Option<std::net::IpAddr>,
    /// The time limit for one network wait, in milliseconds.
    pub timeout_ms: u64,
    /// `--trace`: follow a SYN through the rules.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trace: bool,
}

/// A target that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Problem {
    /// `url-malformed` or `env-collision`.
    pub id: String,
    /// What is wrong, one sentence, without secrets.
    pub says: String,
    /// The text (secrets masked, same length) and the column from 0 of the offending place.
    pub marked: Option<(String, usize)>,
    /// What was probably meant.
    pub meant: Option<String>,
}

/// Facts from the client's side.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// Who looks.
    pub standing: Seen<client::Standing>,
    /// The application's settings.
    pub settings: Seen<client::Settings>,
    /// Name.
    pub name: Seen<client::Name>,
    /// Routes, one for each address.
    pub route: Seen<Vec<client::Route>>,
    /// One dial for each address, in getaddrinfo's order.
    pub connect: Seen<Vec<client::Dial>>,
    /// Unix socket.
    pub unix: Seen<client::UnixPath>,
    /// TLS handshakes: with a TLS target the real one, per connected address.
    pub tls: Seen<Vec<client::Tls>>,
    /// TLS offered to a plain target that was silent, closed or reset; or plain RESP offered to a TLS target (then in `plain_offer`).
    pub tls_offer: Seen<client::Tls>,
    /// Plain RESP offered to a TLS target whose handshake failed.
    pub plain_offer: Seen<client::Talk>,
    /// The conversation with each connected address.
    pub protocol: Seen<Vec<client::Talk>>,
    /// Other ports and addresses tried after a failure.
    pub neighbours: Seen<Vec<client::Neighbour>>,
    /// Cluster and Sentinel answers dialled.
    pub topology: Seen<client::Topology>,
    /// Connections held idle.
    pub idle: Seen<client::Idle>,
    /// Own limits.
    pub limits: Seen<client::Limits>,
    /// Own OUTPUT rules.
    pub firewall: Seen<server::Firewall>,
    /// The handshakes on the client's wire, where both ends were watched.
    pub syn: Seen<ends::Handshakes>,
    /// The clouds' rules between both ends, one for each cloud whose listings were read (`--cloud`).
    pub cloud: Seen<Vec<cloud::Cloud>>,
    /// The cluster's objects about the target.
    pub kubernetes: Seen<kube::Kubernetes>,
    /// The container it stands in, as the engine tells of it.
    pub container: Seen<Container>,
}

/// Facts from the Redis host's side.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Listening sockets.
    pub listener: Seen<server::Listeners>,
    /// Redis-like processes.
    pub process: Seen<Vec<server::Process>>,
    /// systemd units.
    pub unit: Seen<server::Units>,
    /// Programs of other service managers.
    pub managed: Seen<managed::Managers>,
    /// Programs on disk.
    pub binary: Seen<Vec<server::Binary>>,
    /// Journal and the server's own log.
    pub log: Seen<server::Logs>,
    /// OOM kills.
    pub oom: Seen<server::OomKills>,
    /// Configuration of each instance found, the one of the target first.
    pub config: Seen<Vec<server::Config>>,
    /// Own addresses.
    pub address: Seen<Vec<server::Address>>,
    /// Storage and permissions.
    pub storage: Seen<server::Storage>,
    /// Kernel figures.
    pub kernel: Seen<server::Kernel>,
    /// Packet filter.
    pub firewall: Seen<server::Firewall>,
    /// The kernel's drop reasons.
    pub drop: Seen<server::Drops>,
    /// The way of the answer to each client that is known.
    pub way_back: Seen<Vec<server::WayBack>>,
    /// SELinux, AppArmor.
    pub mac: Seen<server::Mac>,
    /// A conversation over a side door (loopback or unix socket of the same instance), with INFO and CONFIG GET.
    pub inside: Seen<client::Talk>,
    /// Who looks there, where that is another place than the client's.
    pub standing: Seen<client::Standing>,
    /// The handshakes on the Redis host's wire while the client dialled from elsewhere.
    pub syn: Seen<ends::Handshakes>,
    /// Containers that may be the target.
    pub container: Seen<Containers>,
}

/// Everything a diagnosis is made from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseFile {
    /// Bundle version.
    pub schema_version: u32,
    /// Version of the nopong that looked.
    pub nopong: String,
    /// What was asked.
    pub ask: Ask,
    /// The client's side.
    pub client: Client,
    /// The server's side.
    pub server: Server,
    /// Where the client's side was seen from, where the two ends were looked at apart.
    pub client_at: Option<ends::Place>,
    /// Where the server's side was seen from, likewise.
    pub server_at: Option<ends::Place>,
    /// Whole time of looking, in milliseconds.
    pub took_ms: f64,
}

/// Which side a fact is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Seen from where the client stands.
    Client,
    /// Seen on the Redis host.
    Server,
}

/// One fact as the report shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its stable id, which reasons cite.
    pub id: &'static str,
    /// Which side.
    pub from: Side,
    /// `seen`, `unknown`, `not-run`, `not-applicable`.
    pub state: &'static str,
    /// One sentence.
    pub says: String,
    /// Why it is unknown or does not apply.
    pub why: Option<String>,
    /// How to see it by hand.
    pub by_hand: Option<String>,
    /// How long the look took.
    pub took_ms: Option<f64>,
    /// The fact itself.
    pub data: serde_json::Value,
    /// The place it was seen from, where that is a far one: `ssh:db`.
    pub at: Option<String>,
}

/// What a fact is called in a sentence, before it is looked at.
fn item<T: Serialize + Says>(id: &'static str, from: Side, what: &str, seen: &Seen<T>) -> Item {
    let (state, says, why, by_hand, took_ms, data) = match seen {
        Seen::Yes(f) => (
            "seen",
            f.value.says(),
            None,
            Some(f.by_hand.clone()),
            Some(f.took_ms),
            serde_json::to_value(&f.value).unwrap_or_default(),
        ),
        Seen::Unknown { why, by_hand, took_ms } => {
            let text = format!("{what}: {why}");
            let by_hand = (!by_hand.is_empty()).then(|| by_hand.clone());
            ("unknown", text, Some(why.to_string()), by_hand, Some(*took_ms), serde_json::Value::Null)
        }
        Seen::NotApplicable { because } => (
            "not-applicable",
            format!("{what}: {because}"),
            Some(because.clone()),
            None,
            None,
            serde_json::Value::Null,
        ),
        Seen::NotRun => {
            ("not-run", format!("{what}: not looked at"), None, None, None, serde_json::Value::Null)
        }
    };
    Item { id, from, state, says, why, by_hand, took_ms, data, at: None }
}

/// Writes the ordered table of facts once: ids, fields, and words for "not seen".
macro_rules! facts {
    ($($side:ident $field:ident $id:literal $what:literal;)*) => {
        /// The ids of all facts, in order.
        pub const IDS: &[&str] = &[$($id),*];

        impl CaseFile {
            /// Every fact in the order of the examination.
            pub fn items(&self) -> Vec<Item> {
                let items = vec![$(item($id, facts!(@side $side), $what, &self.$side.$field)),*];
                items.into_iter().map(|item| self.placed(item)).collect()
            }

            /// The facts that could not be seen: id, side, what, why.
            pub fn blind_spots(&self) -> Vec<(&'static str, Side, &'static str, Why)> {
                let mut spots = Vec::new();
                $(if let Some(why) = self.$side.$field.why() {
                    spots.push(($id, facts!(@side $side), $what, why.clone()));
                })*
                spots
            }
        }
    };
    (@side client) => { Side::Client };
    (@side server) => { Side::Server };
}

impl CaseFile {
    /// The far machine that the server's side was read on, where it was one.
    pub fn server_far(&self) -> Option<&ends::Place> {
        self.server_at.as_ref().filter(|p| p.far())
    }

    /// Says of a fact from a far machine where that is, and how its command is run there.
    fn placed(&self, mut item: Item) -> Item {
        let place = match item.from {
            Side::Client => &self.client_at,
            Side::Server => &self.server_at,
        };
        if let Some(place) = place.as_ref().filter(|p| p.far()) {
            item.at = Some(place.asked.clone());
            let over_there = |line: String| format!("{} {}", place.shell, crate::text::shell(&line));
            item.by_hand = item.by_hand.filter(|b| !b.is_empty()).map(over_there);
        }
        item
    }
}

facts! {
    client standing "standing" "who looks";
    client settings "settings" "the application's settings";
    client name "name" "the name";
    client route "route" "the route";
    client connect "connect" "the connection";
    client unix "unix" "the socket's path";
    client tls "tls" "the TLS handshake";
    client tls_offer "tls-offer" "whether TLS is spoken there";
    client plain_offer "plain-offer" "whether plain Redis is spoken there";
    client protocol "protocol" "the conversation";
    client neighbours "neighbours" "other ports and addresses of the host";
    client topology "topology" "the addresses announced";
    client idle "idle" "idle connections";
    client limits "limits" "the client's own limits";
    client firewall "client-firewall" "the client's own firewall";
    client syn "client-syn" "the handshakes on the client's wire";
    client cloud "cloud" "the cloud's firewall rules";
    client kubernetes "kubernetes" "the cluster's objects";
    client container "client-container" "the client's own container";
    server standing "server-standing" "the Redis host's side";
    server syn "syn" "the handshakes on the Redis host's wire";
    server listener "listener" "listening sockets";
    server process "process" "Redis processes";
    server unit "unit" "systemd units";
    server managed "managed" "programs of other service managers";
    server binary "binary" "installed servers";
    server log "log" "the server's logs";
    server oom "oom" "kernel OOM kills";
    server config "config" "the server's configuration";
    server address "address" "the machine's addresses";
    server storage "storage" "disk and permissions";
    server kernel "kernel" "kernel figures";
    server firewall "firewall" "firewall rules";
    server drop "drop" "the kernel's drop reason";
    server way_back "way-back" "the way back to the client";
    server mac "mac" "SELinux and AppArmor";
    server inside "inside" "the server asked through a side door";
    server container "container" "containers";
}
