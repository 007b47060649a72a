//! One client: its first bytes, TLS if it offers some, its commands answered; heard until it has said what it wants.

use super::Options;
use super::answer::Answerer;
use super::heard::{Heard, Protocol, TlsHeard, Told};
use super::hello::{self, Parsed};
use crate::dials;
use crate::sys::{self, net::Stream};
use crate::target::{self, Surroundings};
use crate::wire::{Bounds, Decoder, Value};
use rustls::ServerConnection;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// A client quiet for so long has said what it says at the beginning.
const QUIET: Duration = Duration::from_millis(1000);
/// One that never said a word is given longer: a pool connects first.
const SILENT: Duration = Duration::from_secs(3);
/// How often the end is looked for while nothing comes.
const SLICE: Duration = Duration::from_millis(100);
/// Limit of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Pause before a blocking command is answered.
const LATE: Duration = Duration::from_secs(1);
/// Longest inline command (Redis: PROTO_INLINE_MAX_SIZE, server.h).
const LINE_MAX: usize = 64 << 10;
/// Most bytes and commands taken of one client.
const BYTES_MAX: usize = 64 << 20;
const COMMANDS_MAX: u64 = 100_000;
/// A fatal alert, handshake_failure (RFC 8446 6): what a TLS library says in so many words.
const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

/// Bytes that were read already, then the stream; or within TLS.
enum Wire {
    Plain(Stream),
    Tls(Box<ServerConnection>, Replay),
}

/// Gives what was read already once more.
struct Replay {
    head: std::io::Cursor<Vec<u8>>,
    stream: Stream,
}

impl Read for Replay {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.head.read(buffer)? {
            0 => self.stream.read(buffer),
            n => Ok(n),
        }
    }
}

impl Write for Replay {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Wire {
    fn until(&mut self, deadline: Instant) {
        match self {
            Self::Plain(stream) | Self::Tls(_, Replay { stream, .. }) => stream.until(deadline),
        }
    }
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(connection, replay) => rustls::Stream::new(&mut **connection, replay).read(buffer),
        }
    }
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(connection, replay) => {
                let mut stream = rustls::Stream::new(&mut **connection, replay);
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
        }
    }
}

/// A client, and when it is told of.
struct Client<'a> {
    heard: Option<Heard>,
    over: &'a AtomicBool,
    tell: &'a Sender<Heard>,
    last: Instant,
}

impl Client<'_> {
    /// Hands over what was heard, once.
    fn tell(&mut self, ended: &str) {
        if let Some(mut heard) = self.heard.take() {
            ended.clone_into(&mut heard.ended);
            drop(self.tell.send(heard));
        }
    }

    /// Reads some; none when it is over.
    fn read(&mut self, wire: &mut Wire, into: &mut Vec<u8>) -> Option<()> {
        let mut buffer = [0u8; 16 << 10];
        loop {
            wire.until(sys::now() + SLICE);
            match wire.read(&mut buffer) {
                Ok(0) => {
                    self.tell("closed by the client");
                    return None;
                }
                Ok(n) => {
                    self.last = sys::now();
                    into.extend_from_slice(buffer.get(..n).unwrap_or_default());
                    return Some(());
                }
                Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                    let spoke = self.heard.as_ref().is_some_and(|h| h.count > 0 || h.tls.is_some());
                    if self.last.elapsed() > if spoke { QUIET } else { SILENT } {
                        self.tell("still open");
                    }
                    if self.over.load(Ordering::Relaxed) {
                        self.tell("still open");
                        return None;
                    }
                }
                Err(e) => {
                    self.tell(if e.kind() == ErrorKind::ConnectionReset {
                        "reset by the client"
                    } else {
                        "ended"
                    });
                    return None;
                }
            }
        }
    }
}

/// Serves one client to its end.
pub(super) fn client(
    stream: Stream,
    peer: SocketAddr,
    options: &Options,
    over: &AtomicBool,
    tell: &Sender<Heard>,
) {
    let (who, told) = stream.local().map_or((None, None), |local| process(peer, local));
    let heard =
        Heard { from: Some(peer), who, told, tls_expected: options.tls.is_some(), ..Heard::default() };
    let mut client = Client { heard: Some(heard), over, tell, last: sys::now() };
    let mut bytes = Vec::new();
    let mut wire = Wire::Plain(stream);
    if client.read(&mut wire, &mut bytes).is_none() {
        return;
    }
    if bytes.first() == Some(&22) {
        match shake(&mut client, wire, &mut bytes, options) {
            Some(within) => wire = within,
            None => return,
        }
    }
    converse(&mut client, &mut wire, bytes);
}

/// The process of a client on this machine, and what its settings say.
fn process(peer: SocketAddr, local: SocketAddr) -> (Option<dials::Who>, Option<Told>) {
    let Some(who) = dials::owner(peer, local) else { return (None, None) };
    if !who.reads_settings() {
        return (Some(who), None);
    }
    let here = Surroundings::of_process(who.pid);
    let found = target::from_settings(&here);
    let Some(first) = found.settings.found.first() else { return (Some(who), None) };
    let place = if first.place == "environment" { first.key.clone() } else { first.place.clone() };
    let target = found.target;
    let told = Told { place, tls: target.tls, db: target.db, user: target.user, password: target.password };
    (Some(who), Some(told))
}

/// The ClientHello, then an alert, or with a certificate the handshake.
fn shake(client: &mut Client<'_>, mut wire: Wire, bytes: &mut Vec<u8>, options: &Options) -> Option<Wire> {
    let offered = loop {
        match hello::parse(bytes) {
            Parsed::Hello(offered) => break offered,
            Parsed::Garbled => {
                client.heard.as_mut()?.protocol = Protocol::Unknown;
                client.tell("closed by us");
                return None;
            }
            Parsed::More => client.read(&mut wire, bytes)?,
        }
    };
    let heard = client.heard.as_mut()?;
    heard.tls = Some(TlsHeard {
        hello: offered,
        outcome: Err("the stand-in has no certificate (--cert, --key)".to_owned()),
    });
    let Some(config) = &options.tls else {
        wire.until(sys::now() + SLICE);
        drop(wire.write_all(ALERT));
        client.tell("closed by us");
        return None;
    };
    let Wire::Plain(stream) = wire else { return None };
    let mut connection = match ServerConnection::new(config.clone()) {
        Ok(connection) => Box::new(connection),
        Err(_) => return None,
    };
    let mut replay = Replay { head: std::io::Cursor::new(std::mem::take(bytes)), stream };
    replay.stream.until(sys::now() + HANDSHAKE);
    let mut outcome = Ok(String::new());
    while connection.is_handshaking() {
        if let Err(e) = connection.complete_io(&mut replay) {
            outcome = Err(crate::text::shown_str(&e.to_string(), 200));
            break;
        }
    }
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    let failed = outcome.is_err();
    if let Some(tls) = client.heard.as_mut().and_then(|h| h.tls.as_mut()) {
        tls.outcome = outcome.map(|_| version.to_owned());
    }
    if failed {
        client.tell("closed by us");
        return None;
    }
    client.last = sys::now();
    Some(Wire::Tls(connection, replay))
}

fn converse(client: &mut Client<'_>, wire: &mut Wire, mut bytes: Vec<u8>) {
    let protocol = loop {
        match Protocol::of(&bytes) {
            Some(protocol) => break protocol,
            None if bytes.len() > LINE_MAX => break Protocol::Unknown,
            None => {
                if client.read(wire, &mut bytes).is_none() {
                    return;
                }
            }
        }
    };
    if let Some(heard) = &mut client.heard {
        heard.protocol = protocol;
    }
    let mut answerer = Answerer::default();
    let mut decoder = Decoder::new(Bounds { total: BYTES_MAX, ..Bounds::default() });
    let mut spare = Heard::default();
    let mut count = 0;
    loop {
        let args = match protocol {
            Protocol::Resp => {
                decoder.feed(&std::mem::take(&mut bytes));
                match decoder.next() {
                    Ok(Some(command)) => arguments(&command),
                    Ok(None) => None,
                    Err(_) => {
                        drop(wire.write_all(b"-ERR Protocol error\r\n"));
                        client.tell("closed by us: no longer RESP, or more than the stand-in takes");
                        return;
                    }
                }
            }
            Protocol::Inline => match bytes.iter().position(|b| *b == b'\n') {
                Some(end) => {
                    let line: Vec<u8> = bytes.drain(..=end).collect();
                    Some(line.trim_ascii().split(u8::is_ascii_whitespace).map(<[u8]>::to_vec).collect())
                }
                None if bytes.len() > LINE_MAX => {
                    return client.tell("closed by us: a line beyond any bound");
                }
                None => None,
            },
            // What is no Redis client gets no answer that it would understand.
            _ => return client.tell("closed by us"),
        };
        let Some(args) = args else {
            if client.read(wire, &mut bytes).is_none() {
                return;
            }
            continue;
        };
        if args.first().is_none_or(Vec::is_empty) {
            continue;
        }
        count += 1;
        let reply = answerer.answer(&args, client.heard.as_mut().unwrap_or(&mut spare));
        if reply.late {
            std::thread::sleep(LATE);
        }
        wire.until(sys::now() + HANDSHAKE);
        if wire.write_all(&reply.bytes).is_err() {
            return client.tell("ended");
        }
        if reply.close {
            return client.tell("closed by the client (QUIT)");
        }
        if count > COMMANDS_MAX || client.over.load(Ordering::Relaxed) {
            return client.tell("still open");
        }
        if count == 200 {
            // A client that never pauses has introduced itself by now.
            client.tell("still open");
        }
    }
}

/// A command: an array of strings.
fn arguments(command: &Value) -> Option<Vec<Vec<u8>>> {
    let bytes = |v: &Value| if let Value::Text(bytes) = v { bytes.clone() } else { Vec::new() };
    Some(command.items()?.iter().map(bytes).collect())
}
