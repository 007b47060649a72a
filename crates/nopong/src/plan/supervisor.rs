//! What of the unit itself keeps the server from starting: a time-out while it loads, a watchdog, a type that does not
//! fit, an address that comes later than the unit. Each is one drop-in, which the undo removes.

use super::{Draft, NoPlan, start};
use crate::apply::{Action, DropIn};
use crate::cause::not_running::supervisor_kills;
use crate::evidence::server::{DeathKind, Unit};
use crate::sys;

/// Services that hold network-online.target back until there are addresses, by the link that `systemctl enable` makes,
/// and ifupdown's, which every Debian with /etc/network/interfaces has.
const WAITERS: [&str; 4] = [
    "systemd-networkd-wait-online.service",
    "NetworkManager-wait-online.service",
    "ifupdown-wait-online.service",
    "networking.service",
];
/// A start in so many seconds after the boot met what was not there yet.
const BOOT: u64 = 600;

/// Ended by its supervisor before it was ready.
pub(super) fn let_start(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let unit = draft.case.unit().ok_or(NoPlan::Advice(None))?;
    if draft.case.process().is_some() && unit.active == "active" {
        return Err(NoPlan::Advice(None));
    }
    match unit.result.as_str() {
        // It never says that it is ready: systemd waits in vain, however long.
        _ if supervisor_kills::never_reports(draft.case, unit) => {
            draft.set("supervised", &["systemd"], false)?;
        }
        _ if supervisor_kills::never_leaves(draft.case, unit) => {
            add(draft, unit, "type", "[Service]\nType=exec\n");
        }
        "watchdog" => add(draft, unit, "watchdog", "[Service]\nWatchdogSec=0\n"),
        "timeout" if unit.kind == "notify" => {
            let size = data(draft).ok_or(NoPlan::Advice(None))?;
            draft
                .plan
                .noticed_by
                .push(format!("the service: it may take as long as its {size} bytes of data need to load"));
            add(draft, unit, "start-timeout", "[Service]\nTimeoutStartSec=infinity\n");
        }
        _ => return Err(NoPlan::Advice(None)),
    }
    start::again(draft);
    Ok(())
}

/// Bytes that the server loads at its start; none where there is nothing to load.
fn data(draft: &Draft<'_>) -> Option<u64> {
    let config = draft.case.config()?;
    let folder = config.value("dir").filter(|d| d.starts_with('/'))?;
    let value = |name: &str, usual: &str| config.value(name).unwrap_or(usual).to_owned();
    let size = |path: String| sys::stat(path).map_or(0, |m| m.len());
    let dump = size(format!("{folder}/{}", value("dbfilename", "dump.rdb")));
    let old = size(format!("{folder}/{}", value("appendfilename", "appendonly.aof")));
    let parts = format!("{folder}/{}", value("appenddirname", "appendonlydir"));
    let names = sys::list(&parts, 1000).unwrap_or_default();
    let parts: u64 = names.iter().map(|n| size(format!("{parts}/{}", n.to_string_lossy()))).sum();
    Some(dump + old + parts).filter(|size| *size > 0)
}

/// Every address of `bind` is here, and one was not when the server started: at boot, the unit has to wait for the
/// network; later, the address had moved, and a start is all.
pub(super) fn late_address(draft: &mut Draft<'_>) -> Result<(), NoPlan> {
    let unit = draft.case.unit().ok_or(NoPlan::Advice(None))?;
    let deaths = draft.case.server.log.get().map_or(&[][..], |l| l.deaths.as_slice());
    let death =
        deaths.iter().find(|d| d.last && d.kind == DeathKind::AddressMissing).ok_or(NoPlan::Advice(None))?;
    let said = death.detail.as_deref().unwrap_or(&death.text);
    if !said.contains("Cannot assign requested address") {
        // `Name or service not known`, `Invalid argument`: no start makes it right.
        return Err(NoPlan::Refused(format!("a word of bind is no address that can be listened on: {said}")));
    }
    let booted = draft.case.server.unit.get().and_then(|u| u.booted_at);
    let at = death.at.or(unit.stopped_at);
    let at_boot = booted.zip(at).is_some_and(|(boot, at)| at >= boot && at <= boot + BOOT);
    let enabled = unit.file_state.as_deref().is_some_and(|s| s.starts_with("enabled"));
    if at_boot && enabled {
        let text = "[Unit]\nWants=network-online.target\nAfter=network-online.target\n";
        match (waits_already(unit), waiter()) {
            (true, _) => draft.plan.advice.push(
                "the unit waits for network-online.target already, and the address came later still: find out who sets it"
                    .to_owned(),
            ),
            (false, Some(_)) => add(draft, unit, "network-online", text),
            (false, None) => draft.plan.advice.push(
                "nothing here waits for the network at boot (network-online.target): enable what your network manager \
                 has for it, such as systemd-networkd-wait-online.service, and add After= and Wants= of it to the unit"
                    .to_owned(),
            ),
        }
    }
    start::again(draft);
    Ok(())
}

fn waits_already(unit: &Unit) -> bool {
    let files = unit.fragment.iter().chain(&unit.drop_ins);
    let lines = files.filter_map(|f| sys::read_text(f, sys::FILE_MAX).ok()).collect::<String>();
    let has =
        |key: &str| lines.lines().any(|l| l.trim().starts_with(key) && l.contains("network-online.target"));
    has("After=") && (has("Wants=") || has("Requires="))
}

/// Which service holds network-online.target back here.
fn waiter() -> Option<&'static str> {
    let wanted = |name: &&&str| {
        ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"].iter().any(|root| {
            ["network-online.target.wants", "multi-user.target.wants"]
                .iter()
                .any(|wants| sys::lstat(format!("{root}/{wants}/{name}")).is_ok())
        })
    };
    let masked = |name: &&&str| {
        sys::read_link(format!("/etc/systemd/system/{name}")).is_ok_and(|to| to.as_os_str() == "/dev/null")
    };
    WAITERS.iter().find(|name| wanted(name) && !masked(name)).copied()
}

fn add(draft: &mut Draft<'_>, unit: &Unit, name: &str, text: &str) {
    if unit.needs_reload {
        draft.plan.noticed_by.push("systemd: it reads all unit files that changed since, too".to_owned());
    }
    draft.first.push(Action::DropIn(DropIn {
        unit: start::canonical(&unit.name),
        name: name.to_owned(),
        text: format!("# Written by nopong fix; nopong undo removes it.\n{text}"),
    }));
}
