//! firewalld asked over D-Bus, as firewall-cmd asks it, without a Python for each question.

use crate::apply::Fault;
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use zbus::blocking::{Connection, connection::Builder};
use zbus::zvariant::{DynamicType, OwnedObjectPath, Type};

/// firewalld's name, and what its interfaces' names begin with (firewalld.dbus(5)).
const NAME: &str = "org.fedoraproject.FirewallD1";
const PATH: &str = "/org/fedoraproject/FirewallD1";
const CONFIG: &str = "/org/fedoraproject/FirewallD1/config";
/// Limit of one call: a change makes it write its rules anew, which takes a busy machine its time.
const LIMIT: Duration = Duration::from_secs(15);

/// An open connection to a firewalld that runs.
#[derive(Debug)]
pub(super) struct Bus(Connection);

/// The rules of one zone, those in force or those of its file.
#[derive(Debug)]
pub(super) enum Zone {
    Running(String),
    Permanent(OwnedObjectPath),
}

impl Bus {
    /// None where firewalld does not answer there: then firewall-cmd is asked, and its word is the answer.
    pub(super) fn connect() -> Option<Self> {
        let stream = UnixStream::connect(crate::sys::SYSTEM_BUS).ok()?;
        let bus = Self(Builder::async_io_unix_stream(stream).method_timeout(LIMIT).build().ok()?);
        bus.default_zone().is_ok().then_some(bus)
    }

    fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R, Fault>
    where
        B: serde::Serialize + DynamicType,
        R: serde::de::DeserializeOwned + Type,
    {
        let reply = self.0.call_method(Some(NAME), path, Some(interface), method, body);
        let answer = reply.and_then(|r| r.body().deserialize());
        answer.map_err(|e| {
            let says = match &e {
                zbus::Error::MethodError(_, Some(text), _) => text.clone(),
                other => other.to_string(),
            };
            super::failed(&format!("firewalld, {method}"), &says)
        })
    }

    pub(super) fn default_zone(&self) -> Result<String, Fault> {
        self.call(PATH, NAME, "getDefaultZone", &())
    }

    /// Interfaces and sources of each zone that takes packets by them.
    pub(super) fn active_zones(&self) -> Result<HashMap<String, HashMap<String, Vec<String>>>, Fault> {
        self.call(PATH, &format!("{NAME}.zone"), "getActiveZones", &())
    }

    pub(super) fn zone(&self, name: &str, permanent: bool) -> Result<Zone, Fault> {
        if !permanent {
            return Ok(Zone::Running(name.to_owned()));
        }
        let path = self.call(CONFIG, &format!("{NAME}.config"), "getZoneByName", &name)?;
        Ok(Zone::Permanent(path))
    }

    pub(super) fn has(&self, zone: &Zone, rule: &str) -> Result<bool, Fault> {
        match zone {
            Zone::Running(name) => {
                self.call(PATH, &format!("{NAME}.zone"), "queryRichRule", &(name.as_str(), rule))
            }
            Zone::Permanent(path) => {
                self.call(path.as_str(), &format!("{NAME}.config.zone"), "queryRichRule", &rule)
            }
        }
    }

    /// Adds the rule, without a time limit of its own, or removes it.
    pub(super) fn change(&self, zone: &Zone, rule: &str, add: bool) -> Result<(), Fault> {
        let (interface, config) = (format!("{NAME}.zone"), format!("{NAME}.config.zone"));
        match (zone, add) {
            (Zone::Running(name), true) => self
                .call::<_, String>(PATH, &interface, "addRichRule", &(name.as_str(), rule, 0i32))
                .map(drop),
            (Zone::Running(name), false) => {
                self.call::<_, String>(PATH, &interface, "removeRichRule", &(name.as_str(), rule)).map(drop)
            }
            (Zone::Permanent(path), true) => self.call(path.as_str(), &config, "addRichRule", &rule),
            (Zone::Permanent(path), false) => self.call(path.as_str(), &config, "removeRichRule", &rule),
        }
    }
}
