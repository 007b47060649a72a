//! What was heard of one client, and the verdict on it. Pure.

use super::hello::ClientHello;
use crate::dials::Who;
use crate::secret::Secret;
use std::net::SocketAddr;

/// One attempt to authenticate. The password itself is never shown, only compared.
#[derive(Debug, Clone)]
pub struct Auth {
    /// The user; none with the old form of AUTH.
    pub user: Option<String>,
    /// Length of the password.
    pub bytes: usize,
    pub(super) password: Secret,
}

/// What the settings of the client's process say.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// `REDIS_URL`, `.env:3`.
    pub place: String,
    /// TLS is asked for there.
    pub tls: bool,
    /// The database there.
    pub db: Option<u32>,
    /// The user there.
    pub user: Option<String>,
    pub(super) password: Option<Secret>,
}

/// What the first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Nothing came.
    #[default]
    Silent,
    /// RESP.
    Resp,
    /// Lines of words: `PING`, as a person or a health check types it.
    Inline,
    /// HTTP.
    Http,
    /// Memcached's text or binary protocol.
    Memcached,
    /// HAProxy's PROXY protocol in front of it.
    Proxy,
    /// SSH.
    Ssh,
    /// AMQP (RabbitMQ).
    Amqp,
    /// MQTT.
    Mqtt,
    /// PostgreSQL.
    Postgres,
    /// Nothing known.
    Unknown,
}

impl Protocol {
    /// As the report has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Resp => "resp",
            Self::Inline => "inline",
            Self::Http => "http",
            Self::Memcached => "memcached",
            Self::Proxy => "proxy-protocol",
            Self::Ssh => "ssh",
            Self::Amqp => "amqp",
            Self::Mqtt => "mqtt",
            Self::Postgres => "postgresql",
            Self::Unknown => "unknown",
        }
    }

    /// What a client speaks, by its first bytes; none: more are needed.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let starts = |word: &[u8]| bytes.starts_with(word);
        let words = |all: &[&[u8]]| all.iter().any(|w| bytes.starts_with(w));
        Some(match bytes {
            [] => return None,
            [b'*', ..] => Self::Resp,
            // Magic byte of a memcached request; a request has 24 bytes at least.
            [0x80, ..] => Self::Memcached,
            // CONNECT with the protocol's name (MQTT 3.1.1, 3.1.2.1).
            [0x10, _, 0, 4, b'M', b'Q', ..] => Self::Mqtt,
            // SSLRequest and StartupMessage (PostgreSQL 55.7).
            [0, 0, _, _, 4, 210, 22, 47, ..] | [0, 0, _, _, 0, 3, 0, 0, ..] => Self::Postgres,
            _ if words(&[
                b"PRI * HTTP/2",
                b"HEAD /",
                b"POST /",
                b"PUT /",
                b"OPTIONS ",
                b"CONNECT ",
                b"DELETE /",
            ]) =>
            {
                Self::Http
            }
            _ if starts(b"GET /") || starts(b"GET http") => Self::Http,
            // Version 1 as text, version 2 by its signature (haproxy, doc/proxy-protocol.txt).
            _ if words(&[b"PROXY TCP", b"PROXY UNKNOWN", b"\r\n\r\n\0\r\nQUIT\n"]) => Self::Proxy,
            _ if starts(b"SSH-") => Self::Ssh,
            _ if starts(b"AMQP") => Self::Amqp,
            // Lower case as memcached wants it, and Redis's own names have other arguments.
            _ if words(&[b"version\r\n", b"stats\r\n", b"gets ", b"mg "]) => Self::Memcached,
            _ if bytes.iter().take(64).all(|b| (b' '..0x7f).contains(b) || b"\r\n\t".contains(b)) => {
                if bytes.contains(&b'\n') { Self::Inline } else { return None }
            }
            _ => Self::Unknown,
        })
    }
}

/// TLS with this client.
#[derive(Debug, Clone)]
pub struct TlsHeard {
    /// What it offered.
    pub hello: ClientHello,
    /// The version agreed on, with `--cert`; else why there is no session.
    pub outcome: Result<String, String>,
}

/// One client.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Its address.
    pub from: Option<SocketAddr>,
    /// Its process, when it runs here and may be seen.
    pub who: Option<Who>,
    /// The settings of that process.
    pub told: Option<Told>,
    /// TLS, when it offered some.
    pub tls: Option<TlsHeard>,
    /// We have a certificate: TLS is expected.
    pub tls_expected: bool,
    /// What it speaks, within TLS where there is a session.
    pub protocol: Protocol,
    /// Version asked for by HELLO.
    pub hello: Option<String>,
    /// AUTH, alone or with HELLO.
    pub auths: Vec<Auth>,
    /// CLIENT SETNAME.
    pub name: Option<String>,
    /// CLIENT SETINFO LIB-NAME.
    pub library: Option<String>,
    /// CLIENT SETINFO LIB-VER.
    pub version: Option<String>,
    /// SELECT.
    pub db: Option<String>,
    /// A command that only clients of a cluster send.
    pub cluster: Option<String>,
    /// It asked for a Sentinel.
    pub sentinel: bool,
    /// It wants to be a replica.
    pub replica: bool,
    /// The first commands, with the number of their arguments.
    pub commands: Vec<(String, usize)>,
    /// Commands in all.
    pub count: u64,
    /// How it ended: `closed by the client`, `still open`, …
    pub ended: String,
}

impl Heard {
    /// `redis-py 5.0.1`, as it says itself; else the process's name; else `the client`.
    pub fn client(&self) -> String {
        match (&self.library, &self.version, &self.who) {
            (Some(library), Some(version), _) => format!("{library} {version}"),
            (Some(library), None, _) => library.clone(),
            (None, _, Some(who)) => who.comm.clone(),
            (None, _, None) => "the client".to_owned(),
        }
    }

    /// What is to be said of it; the first sentence matters most.
    pub fn verdict(&self) -> Vec<String> {
        let client = self.client();
        let mut says = self.transport(&client);
        if matches!(self.protocol, Protocol::Resp | Protocol::Inline) {
            self.access(&client, &mut says);
            self.place(&client, &mut says);
            if self.protocol == Protocol::Inline {
                says.push(format!(
                    "{client} sends bare lines, as telnet or a health check does: no client library"
                ));
            }
            if says.is_empty() {
                says.push(format!("{client} talks to Redis as it should; nothing wrong was heard"));
            }
        }
        says
    }

    fn transport(&self, client: &str) -> Vec<String> {
        let told_tls = self.told.as_ref().map(|t| (t.tls, &t.place));
        let mut says = Vec::new();
        match &self.tls {
            Some(tls) => match &tls.outcome {
                Ok(_) => {}
                Err(_) if !self.tls_expected => {
                    let because = match told_tls {
                        Some((true, place)) => format!("; its {place} asks for TLS"),
                        _ => String::new(),
                    };
                    says.push(format!(
                        "{client} sends TLS to a plain port{because}: use redis:// there, or give the server a TLS port"
                    ));
                }
                Err(why) => says.push(format!("{client} does not complete the TLS handshake: {why}")),
            },
            None if self.tls_expected && self.protocol != Protocol::Silent => {
                says.push(format!("{client} speaks without TLS to a TLS port: use rediss:// there"));
            }
            None => {}
        }
        let ends = match self.protocol {
            Protocol::Silent if self.tls.is_none() => Some(
                "connects and sends nothing: a port check, or a client that waits for a greeting (MySQL, SMTP)",
            ),
            Protocol::Http => Some("speaks HTTP: it takes this address for a web server, or is a probe"),
            Protocol::Memcached => Some("speaks memcached's protocol, not Redis's"),
            Protocol::Proxy => {
                Some("begins with the PROXY protocol, which Redis does not understand: switch send-proxy off")
            }
            Protocol::Ssh => Some("speaks SSH"),
            Protocol::Amqp => Some("speaks AMQP: it takes this address for RabbitMQ"),
            Protocol::Mqtt => Some("speaks MQTT"),
            Protocol::Postgres => Some("speaks PostgreSQL's protocol"),
            Protocol::Unknown => Some("sends bytes of no known protocol"),
            _ => None,
        };
        says.extend(ends.map(|e| format!("{client} {e}")));
        if let (Some((true, place)), None, Protocol::Resp) = (told_tls, &self.tls, self.protocol) {
            says.push(format!("{client} speaks without TLS although its {place} asks for it"));
        }
        says
    }

    fn access(&self, client: &str, says: &mut Vec<String>) {
        let told = self.told.as_ref();
        let expected = told.and_then(|t| Some((t.password.as_ref()?, &t.place)));
        let Some(auth) = self.auths.last() else {
            if let Some((_, place)) = expected {
                says.push(format!("{client} sends no password although its {place} has one"));
            }
            return;
        };
        let user = auth.user.as_ref().map_or_else(|| "without user".to_owned(), |u| format!("as user {u}"));
        let mut sentence = format!("{client} sends AUTH {user}, password of {} bytes", auth.bytes);
        match expected {
            Some((password, _)) if *password == auth.password => {}
            Some((password, place)) if password.reveal().len() != auth.bytes => {
                sentence.push_str(&format!("; the one of its {place} has {} bytes", password.reveal().len()));
            }
            Some((_, place)) => sentence.push_str(&format!("; it is not the one of its {place}")),
            None => {}
        }
        let spaces = auth.password.reveal();
        if spaces.trim() != spaces {
            sentence.push_str("; it begins or ends with white space");
        } else if spaces.len() > 1
            && [('"', '"'), ('\'', '\'')].iter().any(|(a, b)| spaces.starts_with(*a) && spaces.ends_with(*b))
        {
            sentence.push_str("; it stands in quotes, which belong to the file it came from");
        } else if spaces.is_empty() {
            sentence.push_str("; an empty one");
        }
        says.push(sentence);
        let names = told.and_then(|t| Some((t.user.as_ref()?, &t.place)));
        if let Some((user, place)) =
            names.filter(|(u, _)| auth.user.as_ref().unwrap_or(&"default".to_owned()) != *u)
        {
            says.push(format!("its {place} says user {}", crate::text::shown_str(user, 100)));
        }
    }

    fn place(&self, client: &str, says: &mut Vec<String>) {
        if let Some(command) = &self.cluster {
            says.push(format!(
                "{client} asks {command}: it is set up for a cluster, and a single server refuses that"
            ));
        }
        if self.sentinel {
            says.push(format!("{client} asks for a primary by SENTINEL: it is set up for Sentinel and dials a server, or takes this for one"));
        }
        if self.replica {
            says.push(format!(
                "{client} wants to replicate: it is a Redis whose replicaof names this address"
            ));
        }
        let heard = self.db.as_deref().unwrap_or("0");
        if heard != "0" {
            says.push(format!("{client} selects database {heard}"));
        }
        if let Some((told, db)) = self.told.as_ref().and_then(|t| Some((t, t.db?)))
            && db.to_string() != heard
        {
            says.push(format!("its {} says database {db}", told.place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Auth, ClientHello, Heard, Protocol, TlsHeard, Told};
    use crate::secret::Secret;

    fn client() -> Heard {
        Heard {
            protocol: Protocol::Resp,
            library: Some("redis-py".to_owned()),
            version: Some("5.0.1".to_owned()),
            ..Heard::default()
        }
    }

    fn auth(user: Option<&str>, password: &str) -> Vec<Auth> {
        vec![Auth { user: user.map(str::to_owned), bytes: password.len(), password: Secret::new(password) }]
    }

    #[test]
    fn tls_to_a_plain_port_and_the_other_way_round() {
        let tls = TlsHeard { hello: ClientHello::default(), outcome: Err("no certificate".to_owned()) };
        let mut heard = Heard { tls: Some(tls), protocol: Protocol::Silent, ..client() };
        assert!(heard.verdict()[0].starts_with("redis-py 5.0.1 sends TLS to a plain port"));
        heard = Heard { tls_expected: true, ..client() };
        assert!(heard.verdict()[0].contains("without TLS to a TLS port"));
    }

    #[test]
    fn passwords_are_compared_and_not_shown() {
        let told = |password: &str| Told {
            place: "REDIS_URL".to_owned(),
            password: Some(Secret::new(password)),
            ..Told::default()
        };
        let mut heard = Heard { auths: auth(None, "twelve-bytes"), told: Some(told("other")), ..client() };
        assert_eq!(
            heard.verdict(),
            [
                "redis-py 5.0.1 sends AUTH without user, password of 12 bytes; the one of its REDIS_URL has 5 bytes"
            ]
        );
        heard.told = Some(told("twelve-bytez"));
        assert!(heard.verdict()[0].ends_with("it is not the one of its REDIS_URL"));
        heard.told = Some(told("twelve-bytes"));
        assert!(heard.verdict()[0].ends_with("12 bytes"));
        heard.auths = auth(Some("app"), "pass\n");
        assert!(heard.verdict()[0].contains("white space"));
        heard.auths.clear();
        assert_eq!(heard.verdict(), ["redis-py 5.0.1 sends no password although its REDIS_URL has one"]);
        assert!(!format!("{heard:?}").contains("twelve"));
    }

    #[test]
    fn where_it_wants_to_go() {
        let heard = Heard { cluster: Some("CLUSTER SLOTS".to_owned()), db: Some("5".to_owned()), ..client() };
        let says = heard.verdict();
        assert!(says[0].contains("CLUSTER SLOTS") && says[1].contains("database 5"), "{says:?}");
        assert_eq!(
            client().verdict(),
            ["redis-py 5.0.1 talks to Redis as it should; nothing wrong was heard"]
        );
    }

    #[test]
    fn strangers() {
        let cases: &[(&[u8], Option<Protocol>)] = &[
            (b"", None),
            (b"*1\r\n$4\r\nPING\r\n", Some(Protocol::Resp)),
            (b"PING\r\n", Some(Protocol::Inline)),
            (b"PIN", None),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http)),
            (b"get key\r\n", Some(Protocol::Inline)),
            (b"version\r\n", Some(Protocol::Memcached)),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Some(Protocol::Proxy)),
            (b"AMQP\x00\x00\x09\x01", Some(Protocol::Amqp)),
            (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Some(Protocol::Postgres)),
            (b"\x00\x01\x02", Some(Protocol::Unknown)),
        ];
        for (bytes, protocol) in cases {
            assert_eq!(Protocol::of(bytes), *protocol, "{bytes:?}");
        }
    }
}
