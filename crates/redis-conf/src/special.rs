//! The directives whose words have a grammar of their own: what they may be, and how `CONFIG GET` prints them.
//! Those that add up over several lines (`save`, `client-output-buffer-limit`) keep what came before.

use crate::number::{memtoull, string2d, strtoll};
use crate::release::Release;
use crate::table::value::{Refused, c_str};

/// CONFIG_BINDADDR_MAX, server.h.
const BIND_MAX: usize = 16;

/// A client class of `client-output-buffer-limit`, in the order `CONFIG GET` prints them.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

#[derive(Clone, Copy)]
struct BufferLimit {
    hard: u64,
    soft: u64,
    seconds: i32,
}

/// What the special directives have been set to.
#[derive(Clone)]
pub(crate) struct Specials {
    pub(crate) bind: Vec<Vec<u8>>,
    pub(crate) rdma_bind: Vec<Vec<u8>>,
    pub(crate) replica_of: Option<(Vec<u8>, i64)>,
    save: Vec<(i64, i32)>,
    save_seen: bool,
    limits: [BufferLimit; 3],
    oom: Vec<i64>,
    percentiles: Vec<f64>,
    notify: Vec<u8>,
}

impl Default for Specials {
    /// The defaults of the servers, the same in all releases here (server.c, initServerConfig).
    fn default() -> Self {
        const MB: u64 = 1024 * 1024;
        Self {
            bind: vec![b"*".to_vec(), b"-::*".to_vec()],
            rdma_bind: Vec::new(),
            replica_of: None,
            save: vec![(3600, 1), (300, 100), (60, 10000)],
            save_seen: false,
            limits: [
                BufferLimit { hard: 0, soft: 0, seconds: 0 },
                BufferLimit { hard: 256 * MB, soft: 64 * MB, seconds: 60 },
                BufferLimit { hard: 32 * MB, soft: 8 * MB, seconds: 60 },
            ],
            oom: vec![0, 200, 800],
            percentiles: vec![50.0, 99.0, 99.9],
            notify: Vec::new(),
        }
    }
}

impl Specials {
    /// An empty word stands for no address at all.
    pub(crate) fn set_bind(args: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Refused> {
        if args.len() > BIND_MAX {
            return Err("Too many bind addresses specified.".to_owned());
        }
        if matches!(args, [only] if only.is_empty()) {
            return Ok(Vec::new());
        }
        Ok(args.iter().map(|a| c_str(a).to_vec()).collect())
    }

    /// The first `save` drops the defaults, later ones add up; `save ""` drops all.
    pub(crate) fn set_save(&mut self, args: &[Vec<u8>]) -> Result<(), Refused> {
        let refused = || Err("Invalid save parameters".to_owned());
        let mut args = args;
        if matches!(args, [only] if c_str(only).is_empty()) {
            self.save.clear();
            args = &[];
        }
        if !args.len().is_multiple_of(2) {
            return refused();
        }
        let mut points = Vec::new();
        for pair in args.chunks(2) {
            let [seconds, changes] = pair else { return refused() };
            let ((seconds, rest, _), (changes, rest2, _)) =
                (strtoll(c_str(seconds), 10), strtoll(c_str(changes), 10));
            if !rest.is_empty() || !rest2.is_empty() || seconds < 1 || changes < 0 {
                return refused();
            }
            #[expect(clippy::cast_possible_truncation, reason = "the server keeps the changes in an int")]
            points.push((seconds, changes as i32));
        }
        if !self.save_seen {
            self.save_seen = true;
            self.save.clear();
        }
        self.save.extend(points);
        Ok(())
    }

    pub(crate) fn set_limits(&mut self, args: &[Vec<u8>]) -> Result<(), Refused> {
        if !args.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
        }
        let mut limits = self.limits;
        for group in args.chunks(4) {
            let [class, hard, soft, seconds] = group else { continue };
            let Some(index) = class_index(c_str(class)) else {
                return Err("Invalid client class specified in buffer limit configuration.".to_owned());
            };
            let (seconds, rest, _) = strtoll(c_str(seconds), 10);
            #[expect(clippy::cast_possible_truncation, reason = "the server keeps the seconds in an int")]
            let seconds = seconds as i32;
            match (memtoull(c_str(hard)), memtoull(c_str(soft))) {
                (Some(hard), Some(soft)) if rest.is_empty() && seconds >= 0 => {
                    limits[index] = BufferLimit { hard, soft, seconds };
                }
                _ => {
                    return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration."
                        .to_owned());
                }
            }
        }
        self.limits = limits;
        Ok(())
    }

    pub(crate) fn set_oom(&mut self, args: &[Vec<u8>]) -> Result<(), Refused> {
        if args.len() != 3 {
            return Err("wrong number of arguments".to_owned());
        }
        let mut values = Vec::new();
        for arg in args {
            let (value, rest, _) = strtoll(c_str(arg), 10);
            if !rest.is_empty() || !(-2000..=2000).contains(&value) {
                return Err(
                    "Invalid oom-score-adj-values, elements must be between -2000 and 2000.".to_owned()
                );
            }
            values.push(value);
        }
        self.oom = values;
        Ok(())
    }

    pub(crate) fn set_notify(&mut self, args: &[Vec<u8>]) -> Result<(), Refused> {
        let [classes] = args else { return Err("wrong number of arguments".to_owned()) };
        let classes = c_str(classes);
        if !classes.iter().all(|c| b"Ag$lshzxeKEtmdn".contains(c)) {
            return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned());
        }
        // The classes that `A` stands for, in the order in which they are printed.
        let all = b"g$lshzxetd";
        let has = |c: &u8| classes.contains(c);
        let mut shown = Vec::new();
        if has(&b'A') || all.iter().all(has) {
            shown.push(b'A');
        } else {
            shown.extend(all.iter().chain(b"n").filter(|c| has(c)));
        }
        shown.extend(b"KEm".iter().filter(|c| has(c)));
        self.notify = shown;
        Ok(())
    }

    pub(crate) fn set_replica_of(&mut self, args: &[Vec<u8>], release: Release) -> Result<(), Refused> {
        let [host, port] = args else { return Err("wrong number of arguments".to_owned()) };
        let (host, port) = (c_str(host), c_str(port));
        self.replica_of = None;
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            return Ok(());
        }
        let (number, rest, _) = strtoll(port, 10);
        #[expect(clippy::cast_possible_truncation, reason = "the server keeps the port in an int")]
        let number = i64::from(number as i32);
        if !(0..=65535).contains(&number) || !rest.is_empty() {
            return Err(match release {
                Release::Valkey80 | Release::Valkey81 => "Invalid primary port".to_owned(),
                _ => "Invalid master port".to_owned(),
            });
        }
        self.replica_of = Some((host.to_vec(), number));
        Ok(())
    }

    pub(crate) fn set_percentiles(&mut self, args: &[Vec<u8>]) -> Result<(), Refused> {
        self.percentiles.clear();
        if matches!(args, [only] if only.is_empty()) {
            return Ok(());
        }
        let mut values = Vec::new();
        for arg in args {
            let Some(value) = string2d(arg) else {
                return Err("Invalid latency-tracking-info-percentiles parameters".to_owned());
            };
            if !(0.0..=100.0).contains(&value) {
                return Err(
                    "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned()
                );
            }
            values.push(value);
        }
        self.percentiles = values;
        Ok(())
    }

    pub(crate) fn print_save(&self) -> Vec<u8> {
        let points: Vec<String> = self.save.iter().map(|(s, c)| format!("{s} {c}")).collect();
        points.join(" ").into_bytes()
    }

    pub(crate) fn print_limits(&self) -> Vec<u8> {
        let line = |(name, l): (&str, &BufferLimit)| format!("{name} {} {} {}", l.hard, l.soft, l.seconds);
        let lines: Vec<String> = CLASSES.into_iter().zip(&self.limits).map(line).collect();
        lines.join(" ").into_bytes()
    }

    pub(crate) fn print_oom(&self) -> Vec<u8> {
        let values: Vec<String> = self.oom.iter().map(i64::to_string).collect();
        values.join(" ").into_bytes()
    }

    pub(crate) fn print_percentiles(&self) -> Vec<u8> {
        let print = |p: &f64| {
            let text = format!("{p:.6}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let values: Vec<String> = self.percentiles.iter().map(print).collect();
        values.join(" ").into_bytes()
    }

    pub(crate) fn print_notify(&self) -> Vec<u8> {
        self.notify.clone()
    }

    pub(crate) fn print_replica_of(&self) -> Vec<u8> {
        match &self.replica_of {
            Some((host, port)) => {
                let mut out = [host.as_slice(), format!(" {port}").as_bytes()].concat();
                // The buffer of getConfigReplicaOfOption.
                out.truncate(255);
                out
            }
            None => Vec::new(),
        }
    }
}

fn class_index(name: &[u8]) -> Option<usize> {
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    if is("replica") { Some(1) } else { CLASSES.into_iter().position(is) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &str) -> Vec<Vec<u8>> {
        crate::sds::split_args(words.as_bytes()).expect("balanced")
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn save_lines_add_up_after_the_first() {
        let mut s = Specials::default();
        assert_eq!(text(s.print_save()), "3600 1 300 100 60 10000");
        s.set_save(&args("900 1")).expect("valid");
        s.set_save(&args("300 10 60 5")).expect("valid");
        assert_eq!(text(s.print_save()), "900 1 300 10 60 5");
        s.set_save(&args("\"\"")).expect("valid");
        assert_eq!(text(s.print_save()), "");
        for bad in ["1", "0 1", "x 1", "1 -1", "1 1 1"] {
            assert!(s.set_save(&args(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn buffer_limits_change_only_the_class_named() {
        let mut s = Specials::default();
        s.set_limits(&args("replica 1mb 2k 5")).expect("valid");
        assert_eq!(text(s.print_limits()), "normal 0 0 0 slave 1048576 2000 5 pubsub 33554432 8388608 60");
        let says = s.set_limits(&args("master 0 0 0"));
        assert_eq!(
            says.err().as_deref(),
            Some("Invalid client class specified in buffer limit configuration.")
        );
    }

    #[test]
    fn events_percentiles_and_primary() {
        let mut s = Specials::default();
        s.set_notify(&args("KEg$lshzxetd")).expect("valid");
        assert_eq!(text(s.print_notify()), "AKE");
        s.set_notify(&args("nlK")).expect("valid");
        assert_eq!(text(s.print_notify()), "lnK");
        s.set_percentiles(&args("100 0.25 99.999")).expect("valid");
        assert_eq!(text(s.print_percentiles()), "100 0.25 99.999");
        assert!(s.set_percentiles(&args("100.1")).is_err());
        assert_eq!(text(s.print_percentiles()), "", "a refused list leaves none");
        s.set_replica_of(&args("10.0.0.1 6379"), Release::Redis70).expect("valid");
        assert_eq!(text(s.print_replica_of()), "10.0.0.1 6379");
        s.set_replica_of(&args("NO ONE"), Release::Redis70).expect("valid");
        assert_eq!(text(s.print_replica_of()), "");
    }
}
