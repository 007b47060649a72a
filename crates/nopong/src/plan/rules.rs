//! Let exactly the client in, in whoever owns the rules that block it; the host's own dial too, where they block that.

use super::judged::{self, Judged, Then};
use super::{Draft, NoPlan};
use crate::apply::{Action, Firewalld, Iptables, Nft, Ufw};
use crate::cause::common;
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::Verdict;
use std::net::{IpAddr, SocketAddr};

/// Plans an allow rule for each source that is blocked, as many as it takes: a second table may stop what the first one
/// lets pass. The rules are judged with the change in them; what would not let the client through is not made.
pub(super) fn allow(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let firewall = draft.case.server.firewall.get().ok_or(NoPlan::Advice(None))?;
    // A rule that stops the answers is left to its owner: accepting requests does not touch it.
    let blocks =
        |v: &&Verdict| matches!(v.verdict.as_str(), "drop" | "reject") && v.hook == "input" && !v.answer;
    let blocked: Vec<&Verdict> = firewall.verdicts.iter().filter(blocks).collect();
    if blocked.is_empty() {
        return Err(NoPlan::Advice(None));
    }
    let own = |ip: IpAddr| {
        common::is_loopback(ip)
            || draft.case.server.address.get().is_some_and(|all| all.iter().any(|a| a.address == ip))
    };
    let client = draft.case.client_address().filter(|ip| !own(*ip));
    let wished = match &draft.wish.allow {
        Some(allow) => Some(normal(allow)?),
        None => client.map(|ip| ip.to_string()),
    };
    let unknown =
        || NoPlan::Refused("whom to let in is not known: say --client ADDR or --allow CIDR".to_owned());
    let wished = wished.ok_or_else(unknown)?;
    if let (Some(ip), Some((dst, prefix))) = (client, judged::network(&wished))
        && !(packet_verdict::Route { dst, prefix, dev: String::new() }).holds(ip)
    {
        return Err(NoPlan::Refused(format!(
            "--allow {wished} would not help: the client {ip} is not in it"
        )));
    }
    let listeners = draft.case.server.listener.get().map_or(&[][..], |l| l.tcp.as_slice());
    let takes = |v: &&Verdict| {
        let to = v.destination.parse().ok()?;
        listeners.iter().find(|l| crate::diagnosis::takes(l, to)).map(|l| l.uid)
    };
    let mut judged = Judged::read(blocked.iter().find_map(takes));
    let mut rules: Vec<(String, Action)> = Vec::new();
    let mut done: Vec<String> = Vec::new();
    for verdict in blocked {
        let source = match verdict.source.parse::<IpAddr>() {
            // It got its PONG: nothing of its own is blocked.
            Ok(ip) if own(ip) && draft.case.symptom == Symptom::Pong => continue,
            Ok(ip) if own(ip) => ip.to_string(),
            _ => wished.clone(),
        };
        if done.contains(&source) {
            continue;
        }
        done.push(source.clone());
        // Of a network that is let in, the client is judged; where it is not known, anybody of it.
        let dials = client.filter(|_| source == wished);
        rules.extend(open(draft, &mut judged, verdict, &source, dials)?);
    }
    // The host's own dial is let in for the proof; the client's rules are kept at boot.
    let kept: Vec<&Action> = rules.iter().filter(|(s, _)| *s == wished).map(|(_, a)| a).collect();
    let (edits, all) = super::persist::keep(&kept)?;
    draft.rules.extend(edits);
    if !all {
        draft.plan.advice.push(format!(
            "the rule for {wished} is gone after a reboot: add it to what loads the rules at boot"
        ));
    }
    draft.rules.extend(rules.into_iter().map(|(_, action)| action));
    draft.plan.noticed_by.push("the operator: one more rule in the firewall".to_owned());
    Ok(())
}

/// Rules that may stand behind one another; beyond it a person should look.
const BEHIND: usize = 4;

/// The rules that let a source through, from the one that blocks to the last behind it.
fn open(
    draft: &mut Draft<'_>,
    judged: &mut Judged,
    first: &Verdict,
    source: &str,
    client: Option<IpAddr>,
) -> Result<Vec<(String, Action)>, NoPlan> {
    let to: SocketAddr = first.destination.parse().map_err(|_| NoPlan::Advice(None))?;
    let to = SocketAddr::new(to.ip(), draft.case.ask.port);
    let allowed = judged::network(source).ok_or(NoPlan::Advice(None))?;
    let dials = client.unwrap_or(allowed.0);
    let mut rules: Vec<(String, Action)> = Vec::new();
    let mut blocks = first.clone();
    let end = loop {
        let place = (blocks.chain.clone(), blocks.handle, blocks.rule.clone());
        let mut action = action(draft.case, &blocks, source.to_owned(), to.port())?;
        if let Action::Iptables(rule) = &mut action
            && rule.published
        {
            // The owner's name does not tell which back-end it uses.
            let legacy = blocks.owner.as_deref() == Some("iptables-legacy")
                || judged.legacy(allowed.0, &rule.table, &rule.chain);
            rule.tool = Iptables::tool_for(allowed.0, legacy);
        }
        if let Err(why) = judged.add(&action) {
            return Err(NoPlan::Refused(format!("{}: {why}", action.change().says())));
        }
        rules.push((source.to_owned(), action));
        match judged.then(dials, to) {
            Then::Stopped(next) => {
                let stands = place == (next.chain.clone(), next.handle, next.rule.clone());
                if stands || next.answer || rules.len() == BEHIND {
                    return Err(judged::behind(&dials.to_string(), &next));
                }
                blocks = *next;
            }
            end => break end,
        }
    };
    let others = judged.strangers(allowed, to)?;
    draft.plan.judged.push(match end {
        Then::Open(why) => {
            format!(
                "whether {dials} passes then cannot be told from the rules ({why}); the verification tells"
            )
        }
        _ => format!(
            "with the change {dials} passes to {to}{}",
            others.map_or(String::new(), |o| format!("; {o}"))
        ),
    });
    Ok(rules)
}

/// The form in which the tools list it: a network's own address, no prefix for a single one.
fn normal(text: &str) -> Result<String, NoPlan> {
    let bad = || NoPlan::Refused(format!("{text} is no address or network"));
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let ip: IpAddr = address.parse().map_err(|_| bad())?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    match prefix.map(str::parse::<u8>) {
        None => Ok(ip.to_string()),
        // No organisation has more: what is wider means the world, or half of it.
        Some(Ok(p)) if p < if ip.is_ipv4() { 8 } else { 16 } => Err(NoPlan::Refused(format!(
            "a rule for as much of the world as {text} is not made: name the clients' network"
        ))),
        Some(Ok(p)) if p == most => Ok(ip.to_string()),
        Some(Ok(p)) if p < most => Ok(common::network(ip, p)),
        Some(_) => Err(bad()),
    }
}

fn action(case: &Case<'_>, verdict: &Verdict, source: String, port: u16) -> Result<Action, NoPlan> {
    match verdict.owner.as_deref() {
        // Behind a nat rule, on the way to a container: Docker leaves this chain to the user, and asks it first. Rules for
        // forwarded packets of ufw and firewalld are of other kinds than those made here.
        Some("docker, DOCKER-USER" | "nft" | "iptables" | "iptables-legacy") if verdict.through.is_some() => {
            plain(verdict, source, port)
        }
        Some(owner)
            if verdict.through.is_some() && (owner.starts_with("ufw") || owner.starts_with("firewalld")) =>
        {
            Err(NoPlan::Advice(None))
        }
        Some(owner) if owner.starts_with("ufw") => {
            let mut rule = Ufw { source, port, to: None };
            // It stands behind the one that blocks, and does not help there.
            if rule.stands() {
                rule.to =
                    verdict.destination.parse::<std::net::SocketAddr>().ok().map(|d| d.ip().to_string());
            }
            Ok(Action::Ufw(rule))
        }
        // A zone's rule does not help against either.
        Some(owner)
            if owner.starts_with("firewalld, policy")
                || owner.starts_with("firewalld, panic")
                || owner.starts_with("firewalld, closed") =>
        {
            Err(NoPlan::Advice(None))
        }
        Some(owner) if owner.starts_with("firewalld") => {
            let zone = match zone(owner, verdict) {
                Some(zone) => zone,
                None => crate::apply::firewalld_zone(&verdict.source, interface(case, verdict).as_deref())
                    .map_err(|f| {
                        NoPlan::Refused(format!("which zone takes the client is not known: {}", f.says))
                    })?,
            };
            let chain = verdict.chain.as_deref().unwrap_or_default();
            let first = chain.ends_with("_deny") || chain.ends_with("_pre");
            Ok(Action::Firewalld(Firewalld { zone, first, source, port }))
        }
        Some(owner) if !["nft", "iptables", "iptables-legacy"].contains(&owner) => {
            Err(NoPlan::Refused(format!(
                "the rule that blocks belongs to {owner}, which would overwrite a change: allow {source} there"
            )))
        }
        _ => plain(verdict, source, port),
    }
}

/// The interface that has the address dialled.
fn interface(case: &Case<'_>, verdict: &Verdict) -> Option<String> {
    let to: std::net::SocketAddr = verdict.destination.parse().ok()?;
    case.server.address.get()?.iter().find(|a| a.address == to.ip()).map(|a| a.dev.clone())
}

/// `firewalld, zone public` names it; else the chain does: `filter_IN_public_deny`.
fn zone(owner: &str, verdict: &Verdict) -> Option<String> {
    let named = owner.split("zone ").nth(1).map(|z| z.trim().to_owned());
    let chain = || {
        let chain = verdict.chain.as_deref()?.split_whitespace().last()?.strip_prefix("filter_IN_")?;
        let part = ["_pre", "_log", "_deny", "_allow", "_post"].iter().find_map(|p| chain.strip_suffix(p));
        Some(part.unwrap_or(chain).to_owned()).filter(|z| !z.starts_with("policy_"))
    };
    named.or_else(chain)
}

/// The chain's words: `inet filter input` for nft, `filter INPUT` for iptables.
fn plain(verdict: &Verdict, source: String, port: u16) -> Result<Action, NoPlan> {
    let chain = verdict.chain.as_deref().unwrap_or_default();
    // The filter meets another port then than the client dials.
    let published = verdict.through.is_some();
    let words: Vec<&str> = chain.split_whitespace().collect();
    match words.as_slice() {
        [table, chain] => {
            let ip = source
                .split('/')
                .next()
                .and_then(|s| s.parse().ok())
                .ok_or_else(|| NoPlan::Refused(format!("{source} is no address")))?;
            let legacy = verdict.owner.as_deref() == Some("iptables-legacy");
            Ok(Action::Iptables(Iptables {
                tool: Iptables::tool_for(ip, legacy),
                table: (*table).to_owned(),
                chain: (*chain).to_owned(),
                place: 1,
                source,
                port,
                published,
            }))
        }
        [family, table, chain] => Ok(Action::Nft(Nft {
            family: (*family).to_owned(),
            table: (*table).to_owned(),
            chain: (*chain).to_owned(),
            before: verdict.handle.filter(|_| verdict.rule.is_some()),
            source,
            port,
            published,
        })),
        _ => Err(NoPlan::Advice(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, action, normal};
    use crate::apply::Action;
    use crate::evidence::server::Verdict;

    fn of(owner: &str, chain: &str) -> Verdict {
        Verdict {
            owner: Some(owner.to_owned()),
            chain: Some(chain.to_owned()),
            rule: Some("drop".to_owned()),
            handle: Some(7),
            ..Verdict::default()
        }
    }

    #[test]
    fn each_owner_gets_its_own_kind_of_rule() {
        let file = crate::evidence::CaseFile::default();
        let case = Case::new(&file);
        let made = |owner, chain| action(&case, &of(owner, chain), "10.0.0.9".to_owned(), 6379);
        assert!(matches!(made("ufw, rule 3", "filter ufw-user-input"), Ok(Action::Ufw(_))));
        assert!(
            matches!(made("firewalld, zone dmz", "inet firewalld filter_IN_dmz"), Ok(Action::Firewalld(f)) if f.zone == "dmz")
        );
        assert!(
            matches!(made("firewalld", "inet firewalld filter_IN_dmz_deny"), Ok(Action::Firewalld(f)) if f.zone == "dmz" && f.first)
        );
        assert!(matches!(made("nft", "inet filter input"), Ok(Action::Nft(n)) if n.before == Some(7)));
        assert!(
            matches!(made("iptables", "raw PREROUTING"), Ok(Action::Iptables(i)) if i.table == "raw" && i.chain == "PREROUTING")
        );
        assert!(made("fail2ban, f2b-sshd", "filter f2b-sshd").is_err());
    }

    #[test]
    fn sources_as_the_tools_list_them() {
        assert_eq!(normal("10.1.2.3/24").ok().as_deref(), Some("10.1.2.0/24"));
        assert_eq!(normal("10.1.2.3/32").ok().as_deref(), Some("10.1.2.3"));
        assert_eq!(normal("fd00::5").ok().as_deref(), Some("fd00::5"));
        assert!(normal("0.0.0.0/0").is_err() && normal("::/0").is_err() && normal("x").is_err());
        assert!(
            normal("128.0.0.0/1").is_err() && normal("10.0.0.0/8").is_ok() && normal("2000::/3").is_err()
        );
    }
}
