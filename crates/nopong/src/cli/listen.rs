//! `nopong listen [ADDR]`: stand in for Redis and show what an application really sends.

use super::{Fail, Verb, exit, io};
use crate::listen::{self, Heard, Options};
use crate::probe;
use crate::sys;
use crate::text::shown_str;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Listen {
    /// Where to listen: ADDR:PORT, PORT, or ADDR; port 0 is a free one
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:6379", value_parser = address)]
    at: SocketAddr,
    /// End after that time; without it, Ctrl-C ends it
    #[arg(long = "for", value_name = "TIME", value_parser = super::args::duration)]
    length: Option<Duration>,
    /// End after the first client
    #[arg(long)]
    once: bool,
    /// Speak TLS with this certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<String>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<String>,
    /// human or json
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = ["human", "json"])]
    format: String,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    if let Ok(at) = text.parse::<SocketAddr>() {
        return Ok(at);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, 6379));
    }
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    port.parse::<u16>()
        .map(|port| SocketAddr::new(loopback, port))
        .map_err(|_| "not an address: write 127.0.0.1:6379, 6390, 0.0.0.0 or [::1]:6379".to_owned())
}

impl Verb for Listen {
    const NAME: &'static str = "listen";
    const ABOUT: &'static str =
        "Stand in for Redis and show what an application really sends (never its password)";
    const EXITS: &'static str = exit::LISTEN;

    fn run(self) -> Result<u8, Fail> {
        let tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(probe::client::server_config(cert, key).map_err(Fail::usage)?),
            _ => None,
        };
        let listener = listen::bind(self.at).map_err(|why| {
            Fail::usage(format!(
                "cannot stand in: {why}; name another address (`nopong listen 6390`) and point the application at it"
            ))
        })?;
        let at = listener.address().unwrap_or(self.at);
        let with = if tls.is_some() { ", with TLS" } else { "" };
        let until = match (self.length, self.once) {
            (_, true) => "the first client ends it",
            (Some(_), false) => "for that time",
            (None, false) => "Ctrl-C ends it",
        };
        // From here on a signal ends it in order: who reads the line below may send one at once.
        let stop = sys::signals::stop()
            .map_err(|e| Fail::usage(format!("cannot wait for signals: {}", sys::errno_name(&e))))?;
        io::say(&format!("standing in for Redis on {at}{with}, {until}; nothing is stored"));
        let options = Options { length: self.length, once: self.once, tls };
        let human = self.format == "human";
        let mut tell = |heard: &Heard| {
            if human {
                drop(io::emit(as_text(heard).as_bytes()));
            }
        };
        let all = listen::serve(&listener, stop.as_fd(), &options, &mut tell)
            .map_err(|why| Fail::usage(format!("cannot stand in: {why}")))?;
        if !human {
            let clients: Vec<_> = all.iter().map(as_json).collect();
            let document = json!({
                "schema_version": 1, "at": at.to_string(), "tls": options.tls.is_some(), "clients": clients,
            });
            io::emit(format!("{document:#}\n").as_bytes())?;
        } else if all.is_empty() {
            io::emit(
                format!("nobody dialled {at}: see with `nopong dials` what the application dials instead\n")
                    .as_bytes(),
            )?;
        }
        Ok(if all.is_empty() { exit::NAMED } else { exit::PONG })
    }
}

fn origin(heard: &Heard) -> String {
    let from = heard.from.map(|f| f.to_string()).unwrap_or_default();
    let who = heard.who.as_ref().map(|who| {
        let user = who.user.as_deref().map(|u| format!(", user {u}")).unwrap_or_default();
        format!(", {}{user}", who.says())
    });
    format!("{from}{}", who.unwrap_or_default())
}

fn as_text(heard: &Heard) -> String {
    let mut out = format!("client {}\n", origin(heard));
    let mut line = |text: String| out.push_str(&format!("  {}\n", shown_str(&text, 600)));
    if let Some(tls) = &heard.tls {
        let sni =
            tls.hello.sni.as_deref().map_or("no server name".to_owned(), |n| format!("server name {n}"));
        let alpn = if tls.hello.alpn.is_empty() {
            String::new()
        } else {
            format!(", ALPN {}", tls.hello.alpn.join(" "))
        };
        let session = match &tls.outcome {
            Ok(version) => format!("; session in {version}"),
            Err(why) => format!("; no session: {why}"),
        };
        line(format!("TLS offered: {}, {sni}{alpn}{session}", tls.hello.versions.join(", ")));
    }
    if heard.count > 0 {
        let hello = heard.hello.as_deref().map_or("no HELLO (RESP2)".to_owned(), |v| format!("HELLO {v}"));
        line(format!("{}, {hello}", heard.protocol.word().to_ascii_uppercase()));
    }
    for auth in &heard.auths {
        let user = auth.user.as_deref().map_or("no user".to_owned(), |u| format!("user {u}"));
        line(format!("AUTH: {user}, password of {} bytes", auth.bytes));
    }
    let named = [
        heard.name.as_ref().map(|n| format!("name {n}")),
        heard.library.as_ref().map(|_| format!("library {}", heard.client())),
        heard.db.as_ref().map(|n| format!("database {n}")),
    ];
    let named: Vec<String> = named.into_iter().flatten().collect();
    if !named.is_empty() {
        line(named.join(", "));
    }
    if !heard.commands.is_empty() {
        let first: Vec<String> = heard
            .commands
            .iter()
            .map(|(name, args)| if *args == 0 { name.clone() } else { format!("{name} +{args}") })
            .collect();
        line(format!("{} commands, first: {} (+n: arguments)", heard.count, first.join(", ")));
    }
    line(heard.ended.clone());
    for says in heard.verdict() {
        line(format!("=> {says}"));
    }
    out
}

fn as_json(heard: &Heard) -> serde_json::Value {
    let family = heard.from.map(|f| if f.is_ipv4() { "ipv4" } else { "ipv6" });
    let tls = heard.tls.as_ref().map(|t| {
        json!({
            "sni": t.hello.sni, "alpn": t.hello.alpn, "versions": t.hello.versions,
            "session": t.outcome.as_ref().ok(), "error": t.outcome.as_ref().err(),
        })
    });
    let auths: Vec<_> =
        heard.auths.iter().map(|a| json!({"user": a.user, "password_bytes": a.bytes})).collect();
    let commands: Vec<_> =
        heard.commands.iter().map(|(name, args)| json!({"name": name, "arguments": args})).collect();
    let process = heard.who.as_ref().map(
        |w| json!({"pid": w.pid, "comm": w.comm, "user": w.user, "container": w.container, "unit": w.unit}),
    );
    json!({
        "from": heard.from.map(|f| f.to_string()),
        "family": family,
        "process": process,
        "tls": tls,
        "protocol": heard.protocol.word(),
        "hello": heard.hello,
        "auth": auths,
        "name": heard.name,
        "library": heard.library,
        "library_version": heard.version,
        "db": heard.db,
        "commands": commands,
        "command_count": heard.count,
        "ended": heard.ended,
        "says": heard.verdict(),
    })
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses() {
        let at = |text: &str| address(text).map(|a| a.to_string());
        assert_eq!(at("6390"), Ok("127.0.0.1:6390".to_owned()));
        assert_eq!(at("0.0.0.0"), Ok("0.0.0.0:6379".to_owned()));
        assert_eq!(at("::1"), Ok("[::1]:6379".to_owned()));
        assert_eq!(at("[::1]:7"), Ok("[::1]:7".to_owned()));
        assert_eq!(at("localhost:7"), Ok("127.0.0.1:7".to_owned()));
        assert!(at("redis").is_err() && at("1.2.3.4:x").is_err());
    }
}
