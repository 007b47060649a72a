//! `nopong dials`: who on this machine dials Redis, which address, and what becomes of it.

use super::{Fail, Verb, exit, io};
use crate::dials::{self, Line, Outcome, Seen, Told, Wanted};
use crate::target::{self, Surroundings};
use crate::{sys, text};
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;

/// Its arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Dials {
    /// How long to look: 10s, 5m
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = super::args::duration)]
    length: Duration,
    /// Only dials to this address (any port of it, without one); a name is resolved here
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = place)]
    to: Option<(String, Option<u16>)>,
    /// A port to watch beside the usual ones of Redis; may be repeated
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// human or json
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = ["human", "json"])]
    format: String,
    /// Do not use the kernel's trace points, also as root: take samples
    #[arg(long)]
    no_trace: bool,
}

/// `redis:6379`, `10.0.0.5`, `[fd00::5]:6379`, `fd00::5`.
fn place(text: &str) -> Result<(String, Option<u16>), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text.to_owned(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let port = port.map(str::parse::<u16>).transpose().ok().filter(|p| *p != Some(0));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port {
        Some(port) if !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err("not an address: write 10.0.0.5:6379, [fd00::5]:6379 or 10.0.0.5".to_owned()),
    }
}

impl Verb for Dials {
    const NAME: &'static str = "dials";
    const ABOUT: &'static str = "Who on this machine dials Redis, which address, and what becomes of it";
    const EXITS: &'static str = exit::DIALS;

    fn run(self) -> Result<u8, Fail> {
        let wanted = self.wanted()?;
        let human = self.format == "human";
        let mut progress = io::Progress::shown_at_once();
        progress.say(&format!(
            "looking for {:.0} s who dials Redis (Ctrl-C ends it) …",
            self.length.as_secs_f64()
        ));
        let live = |told: &Told<'_>| {
            if human {
                drop(io::emit(live_line(told).as_bytes()));
            }
        };
        let seen = dials::watch(&wanted, self.length, !self.no_trace, &mut { live })
            .map_err(|why| Fail::usage(format!("cannot look who dials: {why}")))?;
        drop(progress);
        let out = if human { as_text(&wanted, &seen) } else { as_json(&wanted, &seen) };
        io::emit(out.as_bytes())?;
        Ok(if seen.lines.iter().any(|l| l.says().is_some()) { exit::NAMED } else { exit::PONG })
    }
}

impl Dials {
    fn wanted(&self) -> Result<Wanted, Fail> {
        if let Some((host, port)) = &self.to {
            let resolved = sys::names::resolve(host, Duration::from_secs(2));
            let sys::names::Resolved::Addresses(addresses) = resolved else {
                let host = text::shown_str(host, 100);
                return Err(Fail::usage(format!("--to: {host} does not resolve here: give the address")));
            };
            let ports = port.iter().chain(&self.port).copied().collect();
            return Ok(Wanted { ports, addresses: addresses.iter().map(IpAddr::to_canonical).collect() });
        }
        let mut ports: std::collections::BTreeSet<u16> =
            dials::PORTS.iter().chain(&self.port).copied().collect();
        ports.extend(crate::probe::server::ports_of_servers());
        // What the settings in the working directory and the environment name.
        let found = target::from_settings(&Surroundings::read()).settings.found;
        ports.extend(found.iter().filter_map(|s| Some(crate::cause::address_of(s.dials.as_deref()?)?.1)));
        Ok(Wanted { ports, addresses: Vec::new() })
    }
}

fn live_line(told: &Told<'_>) -> String {
    let who = &told.line.who;
    let user = who.user.as_deref().map(|u| format!(", {u}")).unwrap_or_default();
    format!(
        "{:>8.3} s  {}{user} dials {}: {}\n",
        told.at.as_secs_f64(),
        who.says(),
        told.line.to,
        told.outcome.says()
    )
}

fn place_of(line: &Line) -> Option<String> {
    let who = &line.who;
    match (&who.container, &who.unit) {
        (Some(id), _) => Some(format!("container {}", id.get(..12).unwrap_or(id))),
        (None, Some(unit)) => Some(unit.clone()),
        (None, None) => None,
    }
}

fn as_text(wanted: &Wanted, seen: &Seen) -> String {
    let mut out = String::new();
    let took = seen.took.as_secs_f64();
    let lines = seen.lines.len();
    out.push_str(&format!(
        "\nseen in {took:.1} s: {} connects, {lines} process and address{}\n",
        seen.attempts,
        if lines == 1 { "" } else { " pairs" },
    ));
    for line in &seen.lines {
        let who = &line.who;
        let mut about: Vec<String> = who.user.iter().map(|u| format!("user {u}")).collect();
        about.extend(place_of(line));
        if line.processes > 1 {
            about.push(format!("{} processes, the last", line.processes));
        }
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        let mut counts: Vec<String> =
            line.outcomes.iter().map(|(o, n)| format!("{n} {}", o.says())).collect();
        if line.held > 0 {
            counts.push(format!("{} open since before", line.held));
        }
        out.push_str(&format!("  {}{about} dials {}: {}\n", who.says(), line.to, counts.join(", ")));
        if let Some(setting) = line.setting.as_ref().filter(|s| s.agrees == Some(true)) {
            out.push_str(&format!("      as its {} says\n", setting.place));
        }
    }
    let says: Vec<String> = seen.lines.iter().filter_map(Line::says).collect();
    if !says.is_empty() {
        out.push_str("\nwhat is wrong:\n");
        for sentence in says {
            out.push_str(&format!("  {sentence}\n"));
        }
    }
    if seen.lines.is_empty() {
        let ports: Vec<String> = wanted.ports.iter().map(u16::to_string).collect();
        let ports =
            if ports.is_empty() { "any port there".to_owned() } else { format!("port {}", ports.join(", ")) };
        out.push_str(&format!("  nobody dialled {ports}: an application that holds an open connection or waits does not dial; start the look, then the application\n"));
    }
    if seen.beyond > 0 {
        out.push_str(&format!("  {} connects more, of processes beyond the list's length\n", seen.beyond));
    }
    if seen.lost > 0 {
        out.push_str(&format!(
            "  {} events lost: the machine dials faster than they could be read; counts are too low\n",
            seen.lost
        ));
    }
    if let Some(why) = &seen.sampled {
        out.push_str(&format!("  samples only ({why}): short connects may be missed, and those of other users are not named; as root every connect is seen\n"));
    }
    out
}

fn as_json(wanted: &Wanted, seen: &Seen) -> String {
    let dials: Vec<_> = seen
        .lines
        .iter()
        .map(|line| {
            let who = &line.who;
            let outcomes: serde_json::Map<_, _> =
                Outcome::ALL.iter().map(|o| (o.word().to_owned(), line.count(*o).into())).collect();
            let error = line.first_error.map(|(outcome, after, at)| {
                json!({"outcome": outcome.word(), "after_ms": ms(after), "at_ms": ms(at)})
            });
            let settings = line.setting.as_ref().map(|s| {
                json!({"source": s.source, "host": text::shown_str(&s.host, 260), "port": s.port, "agrees": s.agrees})
            });
            json!({
                "pid": (who.pid > 0).then_some(who.pid),
                "processes": line.processes,
                "comm": who.comm,
                "user": who.user,
                "container": who.container,
                "unit": who.unit,
                "to": line.to.to_string(),
                "attempts": line.attempts,
                "held": line.held,
                "outcomes": outcomes,
                "first_error": error,
                "settings": settings,
                "says": line.says(),
            })
        })
        .collect();
    let document = json!({
        "schema_version": 1,
        "for_ms": seen.took.as_millis() as u64,
        "how": if seen.sampled.is_some() { "samples" } else { "trace" },
        "why_samples": seen.sampled.as_ref().map(ToString::to_string),
        "ports": wanted.ports,
        "addresses": wanted.addresses,
        "attempts": seen.attempts,
        "not_listed": seen.beyond,
        "lost": seen.lost,
        "dials": dials,
    });
    format!("{document:#}\n")
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn places() {
        assert_eq!(place("10.0.0.5"), Ok(("10.0.0.5".to_owned(), None)));
        assert_eq!(place("fd00::5"), Ok(("fd00::5".to_owned(), None)));
        assert_eq!(place("[fd00::5]:6380"), Ok(("fd00::5".to_owned(), Some(6380))));
        assert_eq!(place("redis:6379"), Ok(("redis".to_owned(), Some(6379))));
        assert!(place("redis:0").is_err() && place(":1").is_err() && place("a:x").is_err());
    }
}
