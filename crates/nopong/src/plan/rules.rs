//! Let exactly the client in, in whoever owns the rules that block it.

use super::{Draft, NoPlan};
use crate::apply::{Action, Firewalld, Iptables, Nft, Ufw};
use crate::cause::common;
use crate::evidence::server::Verdict;

/// Plans one allow rule.
pub(super) fn allow(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let firewall = draft.case.server.firewall.get().ok_or(NoPlan::Advice(None))?;
    let blocks = |v: &&Verdict| matches!(v.verdict.as_str(), "drop" | "reject") && v.hook != "output";
    let verdict = firewall.verdicts.iter().find(blocks).ok_or(NoPlan::Advice(None))?;
    let source = match &draft.wish.allow {
        Some(allow) => allow.clone(),
        None => draft
            .case
            .client_address()
            .filter(|ip| !common::is_loopback(*ip))
            .map(|ip| ip.to_string())
            .filter(|ip| {
                !draft
                    .case
                    .server
                    .address
                    .get()
                    .is_some_and(|all| all.iter().any(|a| a.address.to_string() == *ip))
            })
            .ok_or_else(|| {
                NoPlan::Refused("whom to let in is not known: say --client ADDR or --allow CIDR".to_owned())
            })?,
    };
    if ["0.0.0.0/0", "::/0"].contains(&source.as_str()) {
        return Err(NoPlan::Refused(
            "a rule for the whole world is not made: name the clients' network".to_owned(),
        ));
    }
    let port = draft.case.ask.port;
    let action = match verdict.owner.as_deref() {
        Some(owner) if owner.starts_with("ufw") => Action::Ufw(Ufw { source, port }),
        Some(owner) if owner.starts_with("firewalld") => {
            Action::Firewalld(Firewalld { zone: zone(owner, verdict), source, port })
        }
        Some(owner) if owner.starts_with("docker") => return Err(NoPlan::Advice(None)),
        _ => plain(verdict, source, port)?,
    };
    draft.rules.push(action);
    draft.plan.noticed_by.push("the operator: one more rule in the firewall".to_owned());
    Ok(())
}

/// `firewalld, zone public` names it; else the chain does: `filter_IN_public`.
fn zone(owner: &str, verdict: &Verdict) -> String {
    let named = owner.split("zone ").nth(1).map(|z| z.trim().to_owned());
    let chain = || {
        verdict
            .chain
            .as_deref()
            .and_then(|c| c.split_whitespace().last()?.strip_prefix("filter_IN_").map(str::to_owned))
    };
    named.or_else(chain).unwrap_or_else(|| "public".to_owned())
}

fn plain(verdict: &Verdict, source: String, port: u16) -> Result<Action, NoPlan> {
    let chain = verdict.chain.as_deref().unwrap_or_default();
    let words: Vec<&str> = chain.split_whitespace().collect();
    let iptables = verdict.owner.as_deref().is_some_and(|o| o.contains("iptables"));
    match (iptables, words.as_slice()) {
        (true, [.., chain]) => {
            let legacy = verdict.owner.as_deref().is_some_and(|o| o.contains("legacy"));
            let ip = source
                .split('/')
                .next()
                .and_then(|s| s.parse().ok())
                .ok_or_else(|| NoPlan::Refused(format!("{source} is no address")))?;
            Ok(Action::Iptables(Iptables {
                tool: Iptables::tool_for(ip, legacy),
                chain: (*chain).to_owned(),
                place: 1,
                source,
                port,
            }))
        }
        (false, [family, table, chain]) => Ok(Action::Nft(Nft {
            family: (*family).to_owned(),
            table: (*table).to_owned(),
            chain: (*chain).to_owned(),
            before: verdict.handle.filter(|_| verdict.rule.is_some()),
            source,
            port,
        })),
        _ => Err(NoPlan::Advice(None)),
    }
}
