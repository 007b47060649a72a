//! The far end: a nopong that was started by another one, over ssh or into a container, and does as it is told.

use super::server_end::ServerEnd;
use super::wire::{Go, Hello, LINE, Order, Ready, Role};
use crate::evidence::{CaseFile, bundle, scrub};
use crate::sys;
use serde::Serialize;
use std::sync::mpsc::Receiver;

/// Answers orders until the input ends; then whoever asked is gone.
pub fn serve() {
    let lines = sys::stdin_lines(bundle::MAX);
    if say(&Hello::here()).is_none() {
        return;
    }
    while let Ok(line) = lines.recv() {
        if order(&line, &lines).is_none() {
            return;
        }
    }
}

/// One look; none when there is nobody to tell.
fn order(line: &[u8], lines: &Receiver<Vec<u8>>) -> Option<()> {
    let order: Order = serde_json::from_slice(line.get(..line.len().min(LINE))?).ok()?;
    let role = order.role;
    let (request, secrets) = order.request();
    let file = match role {
        Role::Client => {
            let file = crate::probe::begin(&request);
            let addresses = file.client.name.get().map(|n| n.addresses.clone()).unwrap_or_default();
            say(&Ready { addresses })?;
            let go: Go = serde_json::from_slice(&lines.recv().ok()?).ok()?;
            crate::probe::proceed(&crate::probe::Request { server_side: go.server_side, ..request }, file)
        }
        Role::Server => {
            let end = ServerEnd::start(&request);
            say(&Ready::default())?;
            let mut file = bundle::read(&lines.recv().ok()?).ok()?;
            end.finish(&request, &mut file);
            CaseFile { client: crate::evidence::Client::default(), ..file }
        }
    };
    say(&scrub(file, &secrets))
}

fn say(what: &impl Serialize) -> Option<()> {
    sys::write_line(&serde_json::to_vec(what).ok()?).ok()
}
