//! Connection refused: the one error with a dozen causes. The address and the surroundings shift the odds; what is
//! left open stays open.

use super::{CONNECT, Weights, place};
use crate::explain::address::Address;
use crate::explain::text::Text;

/// Each system's and language's words for it: Linux 111, macOS 61, Windows 10061.
pub(super) const WORDS: &[&str] = winsock!(
    10061,
    "wsaeconnrefused",
    "econnrefused",
    "connection refused",
    "connectionrefused",
    "error 111 ",
    "error 61 ",
    "errno 111]",
    "errno 61]",
    "os error 111",
    "os error 61)",
    "winerror 1225",
    "actively refused",
    "remote computer refused",
    "refused the network connection",
    "conn refused",
    "expressément refusé",
    "expressement refus",
    "connexion refusée",
    "verbindung verweigerte",
    "verbindungsaufbau abgelehnt",
    "denegó expresamente",
    "conexión rehusada",
    "recusou ativamente",
    "conexão recusada",
    "connessione rifiutata",
    "отверг запрос на подключение",
    "в соединении отказано",
    "接続を拒否",
    "积极拒绝",
    "拒绝连接",
    "연결을 거부",
    "连接被拒绝",
);

/// Signs that another client of the same program works, or knows another address.
pub(super) const WORKED: &[&str] = &["connected to redis://", "connected to rediss://", "forkpoolworker"];

/// The rule about refusals; whether it spoke.
pub(super) fn weigh(text: &Text, dialled: Option<&Address>, weights: &mut Weights) -> bool {
    if !text.any(WORDS) {
        return false;
    }
    let (what, shares) = odds(text, dialled);
    weights.add(what, CONNECT, shares);
    true
}

pub(super) fn odds(text: &Text, dialled: Option<&Address>) -> (&'static str, super::Shares) {
    let Some(a) = dialled else {
        if text.any(place::CONTAINER) {
            return (
                "refused, in a container",
                &[
                    ("loopback-in-container", 0.26),
                    ("service-stopped", 0.2),
                    ("settings-not-applied", 0.14),
                    ("bind-loopback-only", 0.12),
                    ("second-client-on-defaults", 0.08),
                ],
            );
        }
        // An opaque error of a framework that knows Redis by a setting.
        return (
            "refused",
            &[
                ("service-stopped", 0.3),
                ("second-client-on-defaults", 0.14),
                ("settings-not-applied", 0.14),
                ("bind-loopback-only", 0.12),
                ("wrong-port", 0.08),
                ("loopback-in-container", 0.08),
            ],
        );
    };
    if a.is_socket() {
        return ("refused by a socket file", &[("service-stopped", 0.6), ("socket-missing", 0.25)]);
    }
    if !a.is_loopback() {
        return elsewhere(text, a);
    }
    let other = text.addresses.iter().any(|o| !o.is_loopback() && !o.is_socket() && o.port != Some(0))
        || another_host_is_set(text);
    let both = a.is_v6() && text.addresses.iter().any(|o| o.is_loopback() && !o.is_v6());
    let container = text.any(place::CONTAINER);
    // The setting itself is shown, and it says loopback.
    let shown = text.has("cannot connect to redis://");
    if a.is_v6() && !both {
        return (
            "refused on ::1",
            &[
                ("family-mismatch", 0.5),
                ("service-stopped", 0.2),
                ("loopback-in-container", 0.1),
                ("settings-not-applied", 0.08),
            ],
        );
    }
    if other || text.any(WORKED) {
        return (
            "refused on loopback, though another address is set",
            &[
                ("second-client-on-defaults", 0.4),
                ("settings-not-applied", 0.36),
                ("loopback-in-container", 0.1),
                ("service-stopped", 0.05),
            ],
        );
    }
    if a.host.starts_with("127.") && !a.host.starts_with("127.0.") {
        return (
            "refused on an odd loopback address",
            &[("wrong-host", 0.45), ("wrong-port", 0.35), ("service-stopped", 0.1)],
        );
    }
    match (container, shown) {
        (true, true) => {
            return (
                "refused on loopback, which the setting says, from a container",
                &[("loopback-in-container", 0.55), ("settings-not-applied", 0.2), ("service-stopped", 0.08)],
            );
        }
        (true, false) => {
            return (
                "refused on loopback, from a container",
                &[
                    ("settings-not-applied", 0.36),
                    ("loopback-in-container", 0.34),
                    ("service-stopped", 0.1),
                    ("port-not-published", 0.06),
                    ("second-client-on-defaults", 0.06),
                ],
            );
        }
        _ => {}
    }
    if a.port.is_some_and(|p| p != 6379) {
        return (
            "refused on loopback at another port",
            &[
                ("service-stopped", 0.25),
                ("config-not-applied", 0.2),
                ("wrong-port", 0.2),
                ("port-not-published", 0.12),
                ("loopback-in-container", 0.08),
            ],
        );
    }
    if shown {
        return (
            "refused on loopback, which the setting says",
            &[
                ("service-stopped", 0.34),
                ("loopback-in-container", 0.28),
                ("settings-not-applied", 0.14),
                ("wrong-port", 0.06),
            ],
        );
    }
    if text.any(place::CODE) {
        return (
            "refused on the default address, by a library that renamed its options",
            &[
                ("service-stopped", 0.32),
                ("settings-not-applied", 0.3),
                ("loopback-in-container", 0.14),
                ("wrong-port", 0.06),
                ("port-not-published", 0.04),
            ],
        );
    }
    (
        "refused on loopback",
        &[
            ("service-stopped", 0.36),
            ("settings-not-applied", 0.24),
            ("loopback-in-container", 0.15),
            ("wrong-port", 0.07),
            ("second-client-on-defaults", 0.05),
            ("port-not-published", 0.04),
            ("bind-loopback-only", 0.03),
        ],
    )
}

/// How settings name a host, in code and in files.
pub(super) const HOST: &[&str] = &["host: ", "host:'", "host:\"", "host=", "host\": "];

/// A setting beside the error names another host than this machine.
fn another_host_is_set(text: &Text) -> bool {
    let literal = |rest: &str| {
        let value = rest.split(|c: char| c.is_whitespace() || ",;)}".contains(c)).next().unwrap_or_default();
        let value = value.trim_matches(['\'', '"']);
        let local = ["localhost", "127.", "0.0.0.0", "::1"].iter().any(|l| value.starts_with(l));
        // A variable's name is no host: what it holds is not seen.
        let host =
            value.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) && value.contains('.');
        let variable = ["process.", "this.", "config", "env.", "settings.", "options."];
        host && !local && !variable.iter().any(|v| value.starts_with(v))
    };
    HOST.iter().any(|word| text.after(word).any(literal))
}

/// Refused by another host than one's own.
fn elsewhere(text: &Text, a: &Address) -> (&'static str, super::Shares) {
    if a.is_single_label() {
        return (
            "refused by a service name",
            &[
                ("not-ready", 0.24),
                ("bind-loopback-only", 0.22),
                ("service-stopped", 0.12),
                ("container-stopped", 0.12),
                ("wrong-port", 0.1),
                ("no-ready-endpoints", 0.06),
            ],
        );
    }
    // 10.96.0.0/12 is kubeadm's default for Services: nothing else lives there.
    let service = a.host.contains(".svc") || a.host.starts_with("10.96.");
    if service {
        return (
            "refused by a Service of Kubernetes",
            &[
                ("no-ready-endpoints", 0.4),
                ("service-stopped", 0.2),
                ("wrong-port", 0.12),
                ("bind-loopback-only", 0.1),
            ],
        );
    }
    if a.is_docker_like() && !text.has("announce") {
        return (
            "refused by a container's address",
            &[
                ("service-stopped", 0.22),
                ("bind-loopback-only", 0.24),
                ("not-ready", 0.15),
                ("stale-address", 0.1),
                ("wrong-port", 0.08),
            ],
        );
    }
    (
        "refused by another host",
        &[
            ("bind-loopback-only", 0.29),
            ("service-stopped", 0.28),
            ("wrong-port", 0.12),
            ("server-firewall-rejects", 0.1),
            ("wrong-host", 0.07),
            ("stale-address", 0.04),
        ],
    )
}
