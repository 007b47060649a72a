//! A short conversation with systemd over D-Bus, and plain access to the values it gives.
//!
//! Only the system bus is taken: systemd's private socket answers with headers that zbus refuses. Without a bus
//! `systemctl` is asked instead (see `units`).

use crate::evidence::Why;
use crate::sys;
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use zbus::blocking::{Connection, connection::Builder};
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Value};

/// Limit of one call.
const CALL: Duration = Duration::from_millis(500);
/// The manager.
const MANAGER: &str = "/org/freedesktop/systemd1";

/// The properties of one interface of one object.
#[derive(Debug, Default)]
pub(super) struct Properties(HashMap<String, OwnedValue>);

/// An open connection.
#[derive(Debug)]
pub(super) struct Systemd {
    connection: Connection,
}

impl Systemd {
    /// Connects, or says what stands in the way.
    pub(super) fn connect() -> Result<Self, Why> {
        // sd_booted(3): this directory is the sign of systemd as init.
        if sys::stat("/run/systemd/system").is_err() {
            return Err(Why::Missing { what: "systemd (/run/systemd/system)".to_owned() });
        }
        let stream = UnixStream::connect(sys::SYSTEM_BUS).map_err(|e| sys::why(sys::SYSTEM_BUS, &e))?;
        let connection = Builder::async_io_unix_stream(stream)
            .method_timeout(CALL)
            .build()
            .map_err(|e| failed(sys::SYSTEM_BUS, &e))?;
        Ok(Self { connection })
    }

    /// Calls a method and takes its answer apart.
    pub(super) fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R, Why>
    where
        B: serde::Serialize + DynamicType,
        R: serde::de::DeserializeOwned + zbus::zvariant::Type,
    {
        let to = Some("org.freedesktop.systemd1");
        let reply = self
            .connection
            .call_method(to, path, Some(interface), method, body)
            .map_err(|e| failed(method, &e))?;
        reply.body().deserialize().map_err(|e| failed(method, &e))
    }

    /// A method of the manager.
    pub(super) fn manager<B, R>(&self, method: &str, body: &B) -> Result<R, Why>
    where
        B: serde::Serialize + DynamicType,
        R: serde::de::DeserializeOwned + zbus::zvariant::Type,
    {
        self.call(MANAGER, "org.freedesktop.systemd1.Manager", method, body)
    }

    /// All properties of an interface (`Unit`, `Service`, `Job`, `Manager`) of an object.
    pub(super) fn properties(&self, path: &OwnedObjectPath, interface: &str) -> Result<Properties, Why> {
        let interface = format!("org.freedesktop.systemd1.{interface}");
        self.call(path.as_str(), "org.freedesktop.DBus.Properties", "GetAll", &interface).map(Properties)
    }

    /// One number of the manager's.
    pub(super) fn manager_number(&self, name: &str) -> Option<u64> {
        let body = ("org.freedesktop.systemd1.Manager", name);
        let value: OwnedValue = self.call(MANAGER, "org.freedesktop.DBus.Properties", "Get", &body).ok()?;
        number(&value)
    }
}

fn failed(what: &str, error: &zbus::Error) -> Why {
    match error {
        zbus::Error::MethodError(name, text, _) => {
            let text = text.as_deref().unwrap_or_default();
            Why::Failed { what: crate::text::shown_str(&format!("systemd {what}: {name} {text}"), 200) }
        }
        zbus::Error::InputOutput(e) if e.kind() == std::io::ErrorKind::TimedOut => {
            Why::TimedOut { after_ms: CALL.as_millis() as u64 }
        }
        other => Why::Failed { what: crate::text::shown_str(&format!("systemd {what}: {other}"), 200) },
    }
}

/// A number of any width; negative ones are none.
pub(super) fn number(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::U8(n) => Some(u64::from(*n)),
        Value::U16(n) => Some(u64::from(*n)),
        Value::U32(n) => Some(u64::from(*n)),
        Value::U64(n) => Some(*n),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::I64(n) => u64::try_from(*n).ok(),
        Value::Value(inner) => number(inner),
        _ => None,
    }
}

/// A text, bounded and made showable.
pub(super) fn string(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) => Some(crate::text::shown_str(text.as_str(), 1000)),
        _ => None,
    }
}

/// The elements of an array.
pub(super) fn array<'v>(value: &'v Value<'_>) -> Vec<&'v Value<'v>> {
    match value {
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

/// The fields of a structure.
pub(super) fn fields<'v>(value: &'v Value<'_>) -> &'v [Value<'v>] {
    match value {
        Value::Structure(structure) => structure.fields(),
        _ => &[],
    }
}

impl Properties {
    /// A property as it came.
    pub(super) fn value(&self, name: &str) -> Option<&Value<'_>> {
        self.0.get(name).map(|v| &**v)
    }

    /// A text, empty when there is none.
    pub(super) fn text(&self, name: &str) -> String {
        self.value(name).and_then(string).unwrap_or_default()
    }

    /// A text that is not empty.
    pub(super) fn some_text(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|t| !t.is_empty())
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.value(name).and_then(number)
    }

    /// A number that is set: systemd writes "none" and "infinity" as the greatest one.
    pub(super) fn limit(&self, name: &str) -> Option<u64> {
        self.number(name).filter(|n| *n != u64::MAX)
    }

    /// A microsecond timestamp as Unix seconds; 0 means never.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        self.limit(name).filter(|n| *n != 0).map(|us| us / 1_000_000)
    }

    /// A flag.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.value(name) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.value(name).map(array).unwrap_or_default().into_iter().filter_map(string).collect()
    }
}
