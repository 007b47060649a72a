//! A Redis in a container: started, restarted, or let go on, through its engine.

use super::{Draft, NoPlan, exposure, mounted};
use crate::apply::{Action, Container, ContainerVerb, Gate};
use crate::cause::common::{outside_addresses, sh};
use crate::cause::containers::{self, Meant, Tie};
use crate::diagnosis::Case;
use crate::evidence::containers as evidence;
use std::net::{IpAddr, SocketAddr};

/// Starts the container that is meant.
pub(super) fn start(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let meant = containers::down(draft.case).ok_or(NoPlan::Advice(None))?;
    let engine = containers::all(draft.case).ok_or(NoPlan::Advice(None))?;
    let c = meant.container;
    if engine.asleep || meant.tie == Tie::Only || containers::loops(draft.case, c) {
        return Err(NoPlan::Advice(None));
    }
    open_to_the_world(draft, &meant, None)?;
    let gate = mounted::gate_of(draft, &meant);
    let action = action(draft, &meant, ContainerVerb::Start, Some(gate))?;
    let command = containers::engine(draft.case);
    if matches!(c.policy.as_str(), "" | "no") {
        let how = match &c.service {
            Some(_) => "`restart: unless-stopped` in its compose file".to_owned(),
            None => format!("{command} update --restart unless-stopped {}", sh(&c.name)),
        };
        draft.plan.advice.push(format!("its restart policy is no: it is down after the next boot ({how})"));
    }
    draft.plan.advice.extend(by_compose(draft.case, c));
    draft.plan.noticed_by.push("clients: the server starts".to_owned());
    draft.first.push(action);
    Ok(())
}

/// What the operator of a compose project would run.
pub(super) fn by_compose(case: &Case<'_>, c: &evidence::Container) -> Option<String> {
    let (folder, service) = (c.folder.as_ref()?, c.service.as_ref()?);
    Some(format!(
        "it is of a compose project: `cd {} && {} compose up -d {}` takes up changes of its file as well",
        sh(folder),
        containers::engine(case),
        sh(service)
    ))
}

/// Ends the pause of the container that is meant.
pub(super) fn unpause(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let meant = containers::meant(draft.case)
        .filter(|m| m.tie != Tie::Only && m.container.status == "paused")
        .ok_or(NoPlan::Advice(None))?;
    // A paused one answers nobody, and its undo stops nothing.
    let action = action(draft, &meant, ContainerVerb::Unpause, None)?;
    draft.plan.noticed_by.push("clients: the server goes on".to_owned());
    draft.first.push(action);
    Ok(())
}

/// The engine's verb on it; `gate`: how to ask what a stop would lose.
pub(super) fn action(
    draft: &Draft<'_>,
    meant: &Meant<'_>,
    verb: ContainerVerb,
    gate: Option<Gate>,
) -> Result<Action, NoPlan> {
    let engine = containers::all(draft.case).ok_or(NoPlan::Advice(None))?;
    let c = meant.container;
    let action = Container {
        engine: containers::engine(draft.case).to_owned(),
        socket: engine.socket.clone(),
        id: c.id.clone(),
        name: c.name.clone(),
        verb,
        gate,
    };
    if !action.can() {
        return Err(NoPlan::Refused(format!("the command {} is not here: do it by its API", action.engine)));
    }
    Ok(Action::Container(action))
}

/// An engine publishes a port past the machine's INPUT rules: on a public address only a password closes it. `planned`: the
/// plan's edits leave the file with one, or without.
pub(super) fn open_to_the_world(
    draft: &mut Draft<'_>,
    meant: &Meant<'_>,
    planned: Option<bool>,
) -> Result<(), NoPlan> {
    let c = meant.container;
    let named = |word: &String| word.trim_start_matches('-') == "requirepass";
    let password = match planned.or(c.config.as_ref().and_then(|f| f.password)) {
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
