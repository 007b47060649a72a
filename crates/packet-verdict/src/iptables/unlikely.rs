//! Matches that a SYN hardly finds, or hardly misses: texts, quotas, counts of a connection that has just begun.

use super::matches::Build;
use super::values::num;
use super::words::Words;
use crate::model::{Cond, Expr, Field, Op};

impl Build {
    /// Matches that a SYN hardly finds, or hardly misses.
    pub(super) fn unlikely(&mut self, option: &str, negate: bool, words: &mut Words) -> Result<bool, String> {
        match (self.module(), option) {
            ("string", "--string" | "--hex-string") => {
                let text = words.arg(option)?;
                self.doubted = true;
                // The search goes over the headers too: a short text may be found there by chance.
                let long = option == "--string" && text.len() > 3 || text.len() > 16;
                let syn =
                    if long { Some(Cond::Assumed(false, "a SYN carries no text".into())) } else { None };
                self.push(unless_syn(syn, "the text that the packet carries"), negate);
            }
            ("string", _) => words.skip_args(),
            ("connbytes", "--connbytes") => {
                let text = words.arg(option)?;
                let least = text.split(':').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
                self.doubted = true;
                // Of a connection that has just begun there is one packet of less than 200 bytes.
                let syn = (least > 200).then_some(Cond::Never);
                self.push_tracked(unless_syn(syn, "the bytes of the connection so far"), negate);
            }
            ("connbytes", "--connbytes-dir" | "--connbytes-mode") => words.skip_args(),
            ("quota", "--quota") => {
                let text = words.arg(option)?;
                self.doubted = true;
                self.conds.push(match text.parse::<u64>() {
                    Ok(0) if !negate => Cond::Never,
                    Ok(n) if n > 200 => {
                        Cond::Assumed(!negate, format!("the quota of {n} bytes is not used up"))
                    }
                    _ => Cond::Unknown("a quota".into()),
                });
            }
            (
                "ttl" | "hl",
                "--ttl-eq" | "--ttl-lt" | "--ttl-gt" | "--hl-eq" | "--hl-lt" | "--hl-gt" | "--ttl" | "--hl",
            ) => {
                let op = if option.ends_with("lt") {
                    Op::Lt
                } else if option.ends_with("gt") {
                    Op::Gt
                } else {
                    Op::Eq
                };
                let number = Expr::Const(num(&words.arg(option)?)?);
                self.push(Cond::Cmp(Expr::Field(Field::Ttl), op, number), negate);
            }
            // Two ports of one bridge: a packet that is routed, or for this host, did not pass so (physdev_mt).
            ("physdev", "--physdev-is-bridged") => {
                self.doubted = true;
                self.conds.push(Cond::Assumed(negate, "the packet is routed, not bridged".into()));
            }
            ("set", "--update-counters" | "--update-subcounters") => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A match on what only later packets have: `syn` for the first one, where it is known, and unknown for the others.
fn unless_syn(syn: Option<Cond>, what: &str) -> Cond {
    let unknown = Cond::Unknown(what.to_owned());
    let Some(syn) = syn else { return unknown };
    let flag = Expr::And(Box::new(Expr::Field(Field::TcpFlags)), Box::new(Expr::Const(0x12)));
    let later = Cond::Cmp(flag, Op::Ne, Expr::Const(2));
    Cond::Any(vec![syn, Cond::All(vec![later, unknown])])
}
