//! A Redis in a container: started, or let go on, through its engine.

use super::{Draft, NoPlan, exposure};
use crate::apply::{Action, Container, ContainerVerb, Door, Gate};
use crate::cause::common::{outside_addresses, sh};
use crate::cause::containers::{self, Meant, Tie};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Starts the container that is meant.
pub(super) fn start(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let meant = containers::down(draft.case).ok_or(NoPlan::Advice(None))?;
    let engine = containers::all(draft.case).ok_or(NoPlan::Advice(None))?;
    let c = meant.container;
    if engine.asleep || meant.tie == Tie::Only || containers::loops(draft.case, c) {
        return Err(NoPlan::Advice(None));
    }
    open_to_the_world(draft, &meant)?;
    let action = action(draft, &meant, ContainerVerb::Start)?;
    let command = containers::engine(draft.case);
    if matches!(c.policy.as_str(), "" | "no") {
        let how = match &c.service {
            Some(_) => "`restart: unless-stopped` in its compose file".to_owned(),
            None => format!("{command} update --restart unless-stopped {}", sh(&c.name)),
        };
        draft.plan.advice.push(format!("its restart policy is no: it is down after the next boot ({how})"));
    }
    if let (Some(folder), Some(service)) = (&c.folder, &c.service) {
        draft.plan.advice.push(format!(
            "it is of a compose project: `cd {} && {command} compose up -d {}` takes up changes of its file as well",
            sh(folder),
            sh(service)
        ));
    }
    draft.plan.noticed_by.push("clients: the server starts".to_owned());
    draft.first.push(action);
    Ok(())
}

/// Ends the pause of the container that is meant.
pub(super) fn unpause(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let meant = containers::meant(draft.case)
        .filter(|m| m.tie != Tie::Only && m.container.status == "paused")
        .ok_or(NoPlan::Advice(None))?;
    let action = action(draft, &meant, ContainerVerb::Unpause)?;
    draft.plan.noticed_by.push("clients: the server goes on".to_owned());
    draft.first.push(action);
    Ok(())
}

fn action(draft: &Draft<'_>, meant: &Meant<'_>, verb: ContainerVerb) -> Result<Action, NoPlan> {
    let engine = containers::all(draft.case).ok_or(NoPlan::Advice(None))?;
    let c = meant.container;
    let at = c.published().find(|(inside, _)| *inside == meant.port).map(|(_, at)| match at.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), at.port()),
        _ => at,
    });
    let gate = |at| Gate {
        door: Door::Tcp { at },
        file: c.config.as_ref().and_then(|f| f.host.clone()),
        save: None,
        login: draft.wish.login.clone(),
    };
    let action = Container {
        engine: containers::engine(draft.case).to_owned(),
        socket: engine.socket.clone(),
        id: c.id.clone(),
        name: c.name.clone(),
        verb,
        // A paused one answers nobody, and its undo stops nothing.
        gate: at.filter(|_| verb == ContainerVerb::Start).map(gate),
    };
    if !action.can() {
        return Err(NoPlan::Refused(format!(
            "the command {} is not here: start it by its API",
            action.engine
        )));
    }
    Ok(Action::Container(action))
}

/// An engine publishes a port past the machine's INPUT rules: on a public address only a password closes it.
fn open_to_the_world(draft: &mut Draft<'_>, meant: &Meant<'_>) -> Result<(), NoPlan> {
    let c = meant.container;
    let named = |word: &String| word.trim_start_matches('-') == "requirepass";
    let password = match c.config.as_ref().and_then(|f| f.password) {
        _ if c.command.iter().any(named) => Some(true),
        None if c.config.is_none() && c.image.starts_with("redis:") => Some(false),
        known => known,
    };
    let public: Option<IpAddr> = outside_addresses(draft.case).into_iter().map(|a| a.address).find(|ip| {
        let served =
            |at: &SocketAddr| at.ip() == *ip || (at.ip().is_unspecified() && (at.is_ipv6() || ip.is_ipv4()));
        exposure::is_public(*ip) && c.published().any(|(_, at)| served(&at))
    });
    if password == Some(false) && c.published().any(|(_, at)| !at.ip().is_loopback()) {
        let says = format!("set a password (requirepass): whoever reaches {} gets in without one", c.name);
        draft.plan.advice.push(says);
    }
    match (public, password) {
        (None, _) | (_, Some(true)) => Ok(()),
        (Some(ip), Some(false)) => Err(NoPlan::Refused(format!(
            "{} would answer on the public address {ip} without a password: set requirepass first",
            containers::named(c)
        ))),
        (Some(_), None) if draft.wish.force => Ok(()),
        (Some(ip), None) => Err(NoPlan::Refused(format!(
            "{} would answer on the public address {ip}, and whether it asks for a password is not known: look, then `--force`",
            containers::named(c)
        ))),
    }
}
