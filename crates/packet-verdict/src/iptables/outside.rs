//! Matches on what is not an address, a port or a state: the time, the class of service, options of the header, the sender's
//! hardware address, what was seen before.

use super::matches::Build;
use super::values::num;
use super::words::Words;
use crate::clock::{Times, parse_date, parse_time};
use crate::model::{Cond, Expr, Field, Op};
use crate::nft::types::DSCP;
use crate::usual;

/// The lists by which `recent` and the limits only say how they count.
const COUNTING: [&str; 11] = [
    "--name",
    "--rsource",
    "--rdest",
    "--mask",
    "--limit-burst",
    "--hashlimit-burst",
    "--hashlimit-name",
    "--hashlimit-mode",
    "--hashlimit-srcmask",
    "--hashlimit-dstmask",
    "--hashlimit-htable-size",
];

impl Build {
    /// Options of such matches; false if it is none of them.
    pub(super) fn outside(&mut self, option: &str, negate: bool, words: &mut Words) -> Result<bool, String> {
        let module = self.module().to_owned();
        match (module.as_str(), option) {
            ("recent" | "limit" | "hashlimit", o)
                if COUNTING.contains(&o)
                    || o.starts_with("--hashlimit-htable")
                    || o == "--hashlimit-rate-match" =>
            {
                words.skip_args();
            }
            ("time", _) => return self.time(option, negate, words),
            ("dscp", "--dscp") => {
                let value = num(&words.arg(option)?)?;
                self.class_of_service(value, negate);
            }
            ("dscp", "--dscp-class") => {
                let name = words.arg(option)?.to_ascii_lowercase();
                let found = DSCP.iter().find(|(n, _)| *n == name).map(|(_, n)| *n);
                self.class_of_service(found.ok_or(format!("the DSCP class {name} is not known"))?, negate);
            }
            ("tos", "--tos") => {
                let text = words.arg(option)?;
                let (value, mask) = tos(&text).ok_or(format!("the TOS `{text}` is not known"))?;
                self.doubted = true;
                let masked = Expr::And(Box::new(usual::tos()), Box::new(Expr::Const(mask)));
                self.push(Cond::Cmp(masked, Op::Eq, Expr::Const(value)), negate);
            }
            ("ecn", "--ecn-ip-ect") => {
                let value = num(&words.arg(option)?)?;
                self.class_of_service(value, negate);
            }
            ("ecn", "--ecn-tcp-ece" | "--ecn-tcp-cwr") => {
                let bit = if option == "--ecn-tcp-ece" { 0x40 } else { 0x80 };
                self.doubted = true;
                self.push(Cond::AnyBit(Expr::Field(Field::TcpFlags), bit, false), negate);
            }
            ("tcp", "--tcp-option") => {
                let kind = num(&words.arg(option)?)?;
                self.push(Cond::Cmp(usual::tcp_option(kind), Op::Eq, Expr::Const(1)), negate);
            }
            ("mac", "--mac-source") => {
                let text = words.arg(option)?;
                let mac = mac(&text).ok_or(format!("`{text}` is no hardware address"))?;
                // Without one it does not hold, negated or not (mac_mt).
                self.conds.push(usual::present(Field::Mac));
                self.push(Cond::Cmp(Expr::Field(Field::Mac), Op::Eq, Expr::Const(mac)), negate);
                self.doubted = true;
            }
            ("cgroup", _) => {
                words.skip_args();
                self.doubted = true;
                // Without a socket it does not hold, negated or not (cgroup_mt); by the path the class is not known.
                self.conds.push(usual::present(Field::Cgroup));
                self.conds.push(Cond::Unknown("the control group of the sending socket".into()));
            }
            ("statistic", "--probability") => {
                let text = words.arg(option)?;
                self.chance(text.parse::<f64>().ok().map(|p| (p <= 0.0, p >= 1.0)), negate);
            }
            ("statistic", "--every") => {
                let text = words.arg(option)?;
                self.chance(text.parse::<u32>().ok().map(|n| (false, n == 1)), negate);
            }
            ("statistic", "--mode" | "--packet") => {
                words.arg(option)?;
            }
            ("connlabel", "--label") => {
                let text = words.arg(option)?;
                self.doubted = true;
                let cond = match text.parse::<u32>().ok().filter(|n| *n < 128) {
                    Some(bit) => Cond::AnyBit(usual::labels(), 1 << bit, false),
                    None => Cond::AnyBit(usual::labels(), u128::MAX, false),
                };
                self.push_tracked(cond, negate);
            }
            ("connlabel", "--set") => {}
            ("connlimit", "--connlimit-above" | "--connlimit-upto") => {
                let most = words.arg(option)?.parse().ok();
                self.doubted = true;
                self.conds.push(usual::connections(most, (option == "--connlimit-above") != negate));
            }
            ("connlimit", "--connlimit-mask" | "--connlimit-saddr" | "--connlimit-daddr") => {
                words.skip_args();
            }
            ("socket", "--transparent") => {
                self.doubted = true;
                self.conds.push(Cond::Assumed(false, "no transparent proxy waits for the connection".into()));
            }
            ("socket", "--nowildcard" | "--restore-skmark") => {}
            ("addrtype", "--limit-iface-in") => {
                for cond in &mut self.conds {
                    on_interface(cond);
                }
            }
            ("conntrack", "--ctreplsrc" | "--ctrepldst") => {
                let field = if option == "--ctreplsrc" { Field::CtReplySaddr } else { Field::CtReplyDaddr };
                let cond = self.address(&Expr::Field(field), &words.arg(option)?)?;
                self.push_tracked(cond, negate);
            }
            ("conntrack", "--ctreplsrcport" | "--ctrepldstport") => {
                let field =
                    if option == "--ctreplsrcport" { Field::CtReplySport } else { Field::CtReplyDport };
                let (lo, hi) = super::values::port_range(&words.arg(option)?)?;
                self.push_tracked(Cond::Cmp(Expr::Field(field), Op::Eq, Expr::Range(lo, hi)), negate);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A value of DSCP or ECN: both are 0 together.
    fn class_of_service(&mut self, value: u128, negate: bool) {
        self.doubted = true;
        self.push(Cond::Cmp(usual::tos(), Op::Eq, Expr::Const(value)), negate);
    }

    /// Never, always, or by chance.
    fn chance(&mut self, known: Option<(bool, bool)>, negate: bool) {
        let cond = match known {
            Some((true, _)) => Cond::Never,
            Some((_, true)) => Cond::Not(Box::new(Cond::Never)),
            _ => Cond::Unknown("chance".into()),
        };
        self.doubted = true;
        self.push(cond, negate);
    }

    /// All options of one match `time` are one condition.
    fn time(&mut self, option: &str, negate: bool, words: &mut Words) -> Result<bool, String> {
        let mut times = match self.conds.pop() {
            Some(Cond::Time(times)) if self.doubted => *times,
            other => {
                self.conds.extend(other);
                Times::default()
            }
        };
        // So that what stands before another `-m time` is not taken for this one's.
        self.doubted = true;
        let bad = |text: &str| format!("`{option} {text}` is not understood");
        match option {
            "--timestart" | "--timestop" => {
                let text = words.arg(option)?;
                let seconds = parse_time(&text).ok_or_else(|| bad(&text))?;
                *(if option == "--timestart" { &mut times.start } else { &mut times.stop }) = seconds;
            }
            "--datestart" | "--datestop" => {
                let text = words.arg(option)?;
                let seconds = parse_date(&text).ok_or_else(|| bad(&text))?;
                *(if option == "--datestart" { &mut times.from } else { &mut times.until }) = seconds;
            }
            "--weekdays" => {
                let text = words.arg(option)?;
                let bits =
                    text.split(',').map(weekday).collect::<Option<Vec<u32>>>().ok_or_else(|| bad(&text))?;
                let set = bits.into_iter().fold(0, |all, n| all | (1 << n));
                times.weekdays = if negate { !set } else { set };
            }
            "--monthdays" => {
                let text = words.arg(option)?;
                let day = |d: &str| {
                    let digits = d.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                    digits.parse::<u32>().ok().filter(|n| (1..=31).contains(n))
                };
                let bits =
                    text.split(',').map(day).collect::<Option<Vec<u32>>>().ok_or_else(|| bad(&text))?;
                let set = bits.into_iter().fold(0, |all, n| all | (1 << n));
                times.monthdays = if negate { !set } else { set };
            }
            "--contiguous" => times.contiguous = true,
            // The kernel's own time zone is UTC, unless a boot loader of old set it.
            "--kerneltz" | "--utc" | "--localtz" => {}
            _ => return Ok(false),
        }
        self.conds.push(Cond::Time(Box::new(times)));
        Ok(true)
    }
}

/// The kind of address, as the incoming interface has it (addrtype's `--limit-iface-in`).
fn on_interface(cond: &mut Cond) {
    match cond {
        Cond::Cmp(Expr::Field(field @ Field::DaddrType), ..) => *field = Field::DaddrTypeOnIface,
        Cond::Not(inner) => on_interface(inner),
        Cond::All(list) | Cond::Any(list) => list.iter_mut().for_each(on_interface),
        _ => {}
    }
}

/// `Mon`, `Monday`, `1`; 7 is Sunday.
fn weekday(text: &str) -> Option<u32> {
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if let Ok(n) = text.parse::<u32>() {
        return (1..=7).contains(&n).then_some(n % 7);
    }
    let lower = text.to_ascii_lowercase();
    // Two letters are enough for iptables.
    let at = DAYS.iter().position(|d| lower.len() >= 2 && lower.starts_with(&d[..2]))?;
    u32::try_from(at).ok()
}

/// Value and mask: `0x10`, `0x10/0x3f`, `Minimize-Delay`.
fn tos(text: &str) -> Option<(u128, u128)> {
    // By name, and by number without a mask, all but the two bits of ECN count (tos_parse_symbolic, xtables).
    let named = match text {
        "Minimize-Delay" => Some(0x10),
        "Maximize-Throughput" => Some(0x08),
        "Maximize-Reliability" => Some(0x04),
        "Minimize-Cost" => Some(0x02),
        "Normal-Service" => Some(0),
        _ => None,
    };
    if let Some(value) = named {
        return Some((value, 0x3f));
    }
    let (value, mask) = text.split_once('/').map_or((text, None), |(v, m)| (v, Some(m)));
    Some((num(value).ok()?, mask.map_or(Ok(0xff), num).ok()?))
}

fn mac(text: &str) -> Option<u128> {
    let mut out = 0;
    let mut count = 0;
    for part in text.split(':') {
        out = (out << 8) | u128::from(u8::from_str_radix(part, 16).ok()?);
        count += 1;
    }
    (count == 6).then_some(out)
}
